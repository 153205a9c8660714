//! The PEP 523 function as C sees it.
//!
//! CPython 3.8 gives it the frame alone and keeps it in a field of the interpreter state; from 3.9 on
//! it is given the thread state too, and two functions read and set it. Neither release exports what
//! the other one has, so this is the one place where the choice is made when we are compiled; what
//! ours do is written once, as an [`Evaluator`].

use core::ffi::{c_int, c_void};
use pyo3::ffi::{PyInterpreterState, PyObject, PyThreadState};

pub(super) use by_release::{call, call_default, default_address, enter, get, set};

/// A PEP 523 function of ours.
pub trait Evaluator {
    /// Evaluates a frame, a `PyFrameObject` up to 3.10 and an `_PyInterpreterFrame` from 3.11 on. The
    /// thread state is NULL where CPython does not give it.
    ///
    /// # Safety
    /// The arguments are those that CPython has given.
    unsafe fn evaluate(thread: *mut PyThreadState, frame: *mut c_void, throw: c_int) -> *mut PyObject;
}

/// The address of an evaluator of ours.
pub(super) fn address_of<E: Evaluator>() -> *mut c_void {
    enter::<E> as *mut c_void
}

#[cfg(Py_3_9)]
mod by_release {
    use super::*;

    type EvalFrame = unsafe extern "C" fn(*mut PyThreadState, *mut c_void, c_int) -> *mut PyObject;

    extern "C" {
        fn _PyEval_EvalFrameDefault(
            thread: *mut PyThreadState,
            frame: *mut c_void,
            throw: c_int,
        ) -> *mut PyObject;
        fn _PyInterpreterState_GetEvalFrameFunc(interpreter: *mut PyInterpreterState) -> *mut c_void;
        fn _PyInterpreterState_SetEvalFrameFunc(interpreter: *mut PyInterpreterState, function: *mut c_void);
    }

    /// What CPython calls.
    pub unsafe extern "C" fn enter<E: Evaluator>(
        thread: *mut PyThreadState,
        frame: *mut c_void,
        throw: c_int,
    ) -> *mut PyObject {
        // SAFETY: passed on unchanged.
        unsafe { E::evaluate(thread, frame, throw) }
    }

    /// Calls the evaluator at an address.
    ///
    /// # Safety
    /// It is the address of an eval-frame function, the arguments are those that CPython has given.
    #[inline(always)]
    pub unsafe fn call(
        function: *mut c_void,
        thread: *mut PyThreadState,
        frame: *mut c_void,
        throw: c_int,
    ) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { core::mem::transmute::<*mut c_void, EvalFrame>(function)(thread, frame, throw) }
    }

    /// Calls CPython's own.
    ///
    /// # Safety
    /// The arguments are those that CPython has given.
    #[inline(always)]
    pub unsafe fn call_default(
        thread: *mut PyThreadState,
        frame: *mut c_void,
        throw: c_int,
    ) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { _PyEval_EvalFrameDefault(thread, frame, throw) }
    }

    /// The address of CPython's own.
    pub fn default_address() -> *mut c_void {
        _PyEval_EvalFrameDefault as *mut c_void
    }

    /// The address of the one that is set.
    ///
    /// # Safety
    /// The interpreter is alive and the GIL is held.
    pub unsafe fn get(interpreter: *mut PyInterpreterState) -> *mut c_void {
        // SAFETY: as the caller promises.
        unsafe { _PyInterpreterState_GetEvalFrameFunc(interpreter) }
    }

    /// Sets one.
    ///
    /// # Safety
    /// As for [`get`]; it is the address of an eval-frame function that lives as long as the process.
    pub unsafe fn set(interpreter: *mut PyInterpreterState, function: *mut c_void) {
        // SAFETY: as the caller promises.
        unsafe { _PyInterpreterState_SetEvalFrameFunc(interpreter, function) }
    }
}

#[cfg(not(Py_3_9))]
mod by_release {
    use super::super::{EvalFrame as Kept, CURRENT};
    use super::*;
    use core::ptr::null_mut;

    type EvalFrame = unsafe extern "C" fn(*mut c_void, c_int) -> *mut PyObject;

    extern "C" {
        fn _PyEval_EvalFrameDefault(frame: *mut c_void, throw: c_int) -> *mut PyObject;
    }

    /// What CPython calls.
    pub unsafe extern "C" fn enter<E: Evaluator>(frame: *mut c_void, throw: c_int) -> *mut PyObject {
        // SAFETY: passed on unchanged.
        unsafe { E::evaluate(null_mut(), frame, throw) }
    }

    /// Calls the evaluator at an address.
    ///
    /// # Safety
    /// It is the address of an eval-frame function, the arguments are those that CPython has given.
    #[inline(always)]
    pub unsafe fn call(
        function: *mut c_void,
        _thread: *mut PyThreadState,
        frame: *mut c_void,
        throw: c_int,
    ) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { core::mem::transmute::<*mut c_void, EvalFrame>(function)(frame, throw) }
    }

    /// Calls CPython's own.
    ///
    /// # Safety
    /// The arguments are those that CPython has given.
    #[inline(always)]
    pub unsafe fn call_default(
        _thread: *mut PyThreadState,
        frame: *mut c_void,
        throw: c_int,
    ) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { _PyEval_EvalFrameDefault(frame, throw) }
    }

    /// The address of CPython's own.
    pub fn default_address() -> *mut c_void {
        _PyEval_EvalFrameDefault as *mut c_void
    }

    /// Where the one that is set is kept.
    ///
    /// # Safety
    /// The interpreter is alive.
    unsafe fn field(interpreter: *mut PyInterpreterState) -> *mut *mut c_void {
        let Kept::Field(offset) = CURRENT.eval_frame else {
            unreachable!("a release without functions has a field");
        };
        // SAFETY: the field lies within the interpreter state, by the checked layout.
        unsafe { interpreter.cast::<u8>().add(offset).cast() }
    }

    /// The address of the one that is set.
    ///
    /// # Safety
    /// The interpreter is alive and the GIL is held.
    pub unsafe fn get(interpreter: *mut PyInterpreterState) -> *mut c_void {
        // SAFETY: as the caller promises.
        unsafe { field(interpreter).read() }
    }

    /// Sets one.
    ///
    /// # Safety
    /// As for [`get`]; it is the address of an eval-frame function that lives as long as the process.
    pub unsafe fn set(interpreter: *mut PyInterpreterState, function: *mut c_void) {
        // SAFETY: as the caller promises.
        unsafe { field(interpreter).write(function) }
    }
}
