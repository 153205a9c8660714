//! Symbols that libpython exports and pyo3-ffi does not declare.

use core::ffi::{c_int, c_void};
use pyo3::ffi::{PyObject, PyThreadState, PyTypeObject};

/// The PEP 523 function type. A frame is a `PyFrameObject` up to 3.10, a `_PyInterpreterFrame` from
/// 3.11 on; we only pass it through.
pub type EvalFrame = unsafe extern "C" fn(*mut PyThreadState, *mut c_void, c_int) -> *mut PyObject;

extern "C" {
    /// The evaluator itself (Include/cpython/ceval.h, Include/internal/pycore_ceval.h).
    pub fn _PyEval_EvalFrameDefault(
        thread: *mut PyThreadState,
        frame: *mut c_void,
        throw: c_int,
    ) -> *mut PyObject;
    /// An attribute of a type or its bases, without descriptors; borrowed, no exception set.
    pub fn _PyType_Lookup(kind: *mut PyTypeObject, name: *mut PyObject) -> *mut PyObject;
    /// A frame object that never ran; steals nothing.
    pub fn PyFrame_New(
        thread: *mut PyThreadState,
        code: *mut PyObject,
        globals: *mut PyObject,
        locals: *mut PyObject,
    ) -> *mut PyObject;
    /// The frame object of the thread's current frame, made if there was none; a new reference.
    pub fn PyThreadState_GetFrame(thread: *mut PyThreadState) -> *mut PyObject;
    /// The runtime; from 3.13 on it begins with `_Py_DebugOffsets`.
    pub static mut _PyRuntime: u8;
    /// The type of bound methods.
    pub static mut PyMethod_Type: PyTypeObject;
    /// The function of a bound method, borrowed.
    pub fn PyMethod_Function(method: *mut PyObject) -> *mut PyObject;
}
