//! Symbols that libpython exports and pyo3-ffi does not declare, or not for every release.

use pyo3::ffi::{PyInterpreterState, PyObject, PyThreadState, PyTypeObject};

extern "C" {
    /// The interpreter of the calling thread; 3.8 has it under its private name.
    #[cfg_attr(not(Py_3_9), link_name = "_PyInterpreterState_Get")]
    pub fn PyInterpreterState_Get() -> *mut PyInterpreterState;
    /// An attribute of a type or its bases, without descriptors; borrowed, no exception set.
    pub fn _PyType_Lookup(kind: *mut PyTypeObject, name: *mut PyObject) -> *mut PyObject;
    /// A frame object that never ran; steals nothing.
    pub fn PyFrame_New(
        thread: *mut PyThreadState,
        code: *mut PyObject,
        globals: *mut PyObject,
        locals: *mut PyObject,
    ) -> *mut PyObject;
    /// The runtime; from 3.13 on it begins with `_Py_DebugOffsets`.
    pub static mut _PyRuntime: u8;
    /// Iterators over dictionaries.
    pub static mut PyDictIterKey_Type: PyTypeObject;
    /// As above.
    pub static mut PyDictIterValue_Type: PyTypeObject;
    /// As above.
    pub static mut PyDictIterItem_Type: PyTypeObject;
    /// Backwards.
    pub static mut PyDictRevIterKey_Type: PyTypeObject;
    /// As above.
    pub static mut PyDictRevIterValue_Type: PyTypeObject;
    /// As above.
    pub static mut PyDictRevIterItem_Type: PyTypeObject;
    /// Iterators over sets and frozen sets.
    pub static mut PySetIter_Type: PyTypeObject;
    /// Iterators over ordered dictionaries, all kinds.
    pub static mut PyODictIter_Type: PyTypeObject;
    /// What `iter` makes of `__getitem__`.
    pub static mut PySeqIter_Type: PyTypeObject;
    /// Iterators over lists.
    pub static mut PyListIter_Type: PyTypeObject;
    /// Backwards.
    pub static mut PyListRevIter_Type: PyTypeObject;
    /// What `iter` makes of a callable and its last value.
    pub static mut PyCallIter_Type: PyTypeObject;
    /// Weak proxies.
    pub static mut _PyWeakref_ProxyType: PyTypeObject;
    /// Those of what can be called.
    pub static mut _PyWeakref_CallableProxyType: PyTypeObject;
    /// The type of functions made in Python.
    pub static mut PyFunction_Type: PyTypeObject;
    /// The type of bound methods.
    pub static mut PyMethod_Type: PyTypeObject;
    /// What offers a buffer to go out of band.
    pub static mut PyPickleBuffer_Type: PyTypeObject;
    /// Descriptors of members of C structs, `__slots__` among them.
    pub static mut PyMemberDescr_Type: PyTypeObject;
    /// What hashes of texts depend on.
    pub static _Py_HashSecret: [u8; 24];
    /// What lies in the table of a set where a member was taken out.
    pub static _PySet_Dummy: *mut PyObject;
    /// The stream of C's library for descriptor 0.
    #[link_name = "stdin"]
    pub static STANDARD_INPUT: *mut libc::FILE;
    /// The function of a bound method, borrowed.
    pub fn PyMethod_Function(method: *mut PyObject) -> *mut PyObject;
}
