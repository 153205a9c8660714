//! Another evaluator than ours: it counts its calls and passes them on to CPython's own.
//!
//! Built by the tests and the benchmarks with a bare `rustc`, and loaded with ctypes: it needs no header, as
//! an evaluator takes a thread state, a frame and an int on every release from 3.9 on. On 3.8 it takes a frame
//! and an int, which are passed on all the same, and is a field of the interpreter: `--cfg without_functions`.

use std::os::raw::{c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

type Evaluator = unsafe extern "C" fn(*mut c_void, *mut c_void, c_int) -> *mut c_void;

extern "C" {
    fn _PyEval_EvalFrameDefault(thread: *mut c_void, frame: *mut c_void, throw: c_int) -> *mut c_void;
}

#[cfg(not(without_functions))]
mod interpreter {
    use super::*;

    extern "C" {
        fn _PyInterpreterState_GetEvalFrameFunc(interpreter: *mut c_void) -> *const c_void;
        fn _PyInterpreterState_SetEvalFrameFunc(interpreter: *mut c_void, evaluator: Evaluator);
        fn PyInterpreterState_Get() -> *mut c_void;
    }

    pub unsafe fn get() -> *const c_void {
        _PyInterpreterState_GetEvalFrameFunc(PyInterpreterState_Get())
    }

    pub unsafe fn set(evaluator: Evaluator) {
        _PyInterpreterState_SetEvalFrameFunc(PyInterpreterState_Get(), evaluator)
    }
}

#[cfg(without_functions)]
mod interpreter {
    use super::*;

    extern "C" {
        fn _PyInterpreterState_Get() -> *mut c_void;
    }

    /// `eval_frame` of 3.8's `PyInterpreterState`.
    const EVAL_FRAME: usize = 568;

    unsafe fn field() -> *mut *const c_void {
        _PyInterpreterState_Get().cast::<u8>().add(EVAL_FRAME).cast()
    }

    pub unsafe fn get() -> *const c_void {
        *field()
    }

    pub unsafe fn set(evaluator: Evaluator) {
        *field() = evaluator as *const c_void
    }
}

static CALLS: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" fn count(thread: *mut c_void, frame: *mut c_void, throw: c_int) -> *mut c_void {
    CALLS.fetch_add(1, Ordering::Relaxed);
    _PyEval_EvalFrameDefault(thread, frame, throw)
}

unsafe extern "C" fn pass(thread: *mut c_void, frame: *mut c_void, throw: c_int) -> *mut c_void {
    _PyEval_EvalFrameDefault(thread, frame, throw)
}

/// How often the counting evaluator was called.
#[no_mangle]
pub extern "C" fn calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

/// The address of the evaluator that is set now.
#[no_mangle]
pub unsafe extern "C" fn current() -> *const c_void {
    interpreter::get()
}

/// Sets the evaluator that counts.
#[no_mangle]
pub unsafe extern "C" fn set_counting() {
    interpreter::set(count)
}

/// Sets the evaluator that does nothing.
#[no_mangle]
pub unsafe extern "C" fn set_passing() {
    interpreter::set(pass)
}

/// Sets CPython's own.
#[no_mangle]
pub unsafe extern "C" fn set_default() {
    interpreter::set(_PyEval_EvalFrameDefault)
}
