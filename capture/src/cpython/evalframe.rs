//! The PEP 523 function: putting ours in, calling on, taking it out again.
//!
//! Two C functions can stand in CPython's place. `record` looks at one pointer of each frame and
//! calls on; only the frame of an `__init__` makes it stop, for what is known nowhere else: the
//! instance that is being made. `resume` is there only while a stack is brought back to life, and
//! offers each frame that starts to a [`Resumer`]. Both call on whatever function was set before.

use super::ffi::{_PyEval_EvalFrameDefault, EvalFrame};
use super::frame::RunningFrame;
use super::CURRENT;
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::ptr::{null_mut, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use pyo3::exceptions::PySystemError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// What becomes of a frame that was offered to a [`Resumer`].
pub enum Next {
    /// It is not one that is waited for: evaluate it as ever.
    PassOn,
    /// It has been turned into a captured one: evaluate it from where it stands.
    Run,
    /// The same, and the exception is raised where it stands.
    Raise(PyErr),
}

/// Who knows which frames are to become captured ones.
pub trait Resumer {
    /// Looks at a frame that starts (not one that an exception is thrown into).
    fn enter<'py>(py: Python<'py>, frame: RunningFrame<'py>) -> Next;
}

/// Why our function cannot be put in or taken out.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Somebody has set a function above ours.
    #[error("another eval-frame function was set after pyteleport's and calls it; remove that one first")]
    Covered,
}

/// What is installed, and what stood there before. Only touched with the GIL held.
struct Installed {
    recording: bool,
    resuming: Option<EvalFrame>,
    before: Option<EvalFrame>,
}

struct Guarded(UnsafeCell<Installed>);

// SAFETY: the cell is only reached through `installed`, which asks for the GIL.
unsafe impl Sync for Guarded {}

static INSTALLED: Guarded = Guarded(UnsafeCell::new(Installed {
    recording: false,
    resuming: None,
    before: None,
}));

/// The function that `record` and `resume` call on, as an address: read in every call.
static CALL_ON: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// The interned string `__init__`, compared by address with each frame's name.
static INIT_NAME: AtomicUsize = AtomicUsize::new(0);

#[allow(clippy::mut_from_ref)]
fn installed(_py: Python<'_>) -> &'static mut Installed {
    // SAFETY: the GIL makes us the only user, and no reference is kept across a call that could
    // give it away or come back here.
    unsafe { &mut *INSTALLED.0.get() }
}

/// How things stand with the eval-frame function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Ours is set, for good.
    pub recording: bool,
    /// There is one of somebody else's that ours calls on.
    pub calls_on: bool,
}

/// How things stand.
pub fn status(py: Python<'_>) -> Status {
    let installed = installed(py);
    Status {
        recording: installed.recording,
        calls_on: installed.before.is_some(),
    }
}

/// Turns the recording of every frame on or off.
pub fn set_recording(py: Python<'_>, recording: bool) -> Result<(), InstallError> {
    if recording && INIT_NAME.load(Ordering::Relaxed) == 0 {
        let name = pyo3::types::PyString::intern(py, "__init__");
        // Interned strings that nobody holds go; this one has to stay.
        INIT_NAME.store(name.into_ptr() as usize, Ordering::Relaxed);
    }
    let before = installed(py).recording;
    installed(py).recording = recording;
    apply(py).inspect_err(|_| installed(py).recording = before)
}

/// Offers every frame that starts to `R`, until [`stop_resuming`].
pub fn start_resuming<R: Resumer>(py: Python<'_>) -> Result<(), InstallError> {
    installed(py).resuming = Some(resume::<R>);
    apply(py).inspect_err(|_| installed(py).resuming = None)
}

/// Ends what [`start_resuming`] began; frames that were taken over go on.
pub fn stop_resuming(py: Python<'_>) {
    installed(py).resuming = None;
    // Nothing can have been set above ours between the two, and if it was it calls us: harmless.
    let _covered = apply(py);
}

/// Sets the function that the state asks for.
fn apply(py: Python<'_>) -> Result<(), InstallError> {
    let wanted = {
        let state = installed(py);
        match (state.resuming, state.recording) {
            (Some(resume), _) => Some(resume),
            (None, true) => Some(record as EvalFrame),
            (None, false) => None,
        }
    };
    // SAFETY: the GIL is held. Both functions only read or write a field of the interpreter; all
    // pointers that are set are functions of this type that live as long as the process.
    unsafe {
        let interpreter = ffi::PyInterpreterState_Get();
        let now = eval_frame_of(interpreter);
        let ours = CALL_ON.load(Ordering::Relaxed);
        if ours.is_null() {
            // Ours is not set: what is there is what we call on.
            if wanted.is_none() {
                return Ok(());
            }
            installed(py).before = (now as usize != default_address()).then_some(now);
            CALL_ON.store(now as *mut c_void, Ordering::Relaxed);
            SET.store(wanted.map_or(0, |function| function as usize), Ordering::Relaxed);
            set_eval_frame(interpreter, wanted);
            return Ok(());
        }
        if now as usize != SET.load(Ordering::Relaxed) {
            return Err(InstallError::Covered);
        }
        match wanted {
            Some(function) => {
                SET.store(function as usize, Ordering::Relaxed);
                set_eval_frame(interpreter, wanted);
            }
            None => {
                let before = installed(py).before.take();
                SET.store(0, Ordering::Relaxed);
                set_eval_frame(interpreter, Some(before.unwrap_or(default_function())));
                // Frames that were entered through ours may still be running, but they have
                // called on already; `call_on` takes the default for a null.
                CALL_ON.store(null_mut(), Ordering::Relaxed);
            }
        }
    }
    Ok(())
}

/// The address of the function of ours that is set; 0 for none.
static SET: AtomicUsize = AtomicUsize::new(0);

fn default_function() -> EvalFrame {
    _PyEval_EvalFrameDefault
}

fn default_address() -> usize {
    default_function() as usize
}

unsafe fn eval_frame_of(interpreter: *mut ffi::PyInterpreterState) -> EvalFrame {
    // SAFETY: pyo3-ffi gives the function's type per release; all are pointers to functions that
    // take a thread state, a frame and an int, and none is ever NULL when read.
    unsafe { core::mem::transmute(ffi::_PyInterpreterState_GetEvalFrameFunc(interpreter)) }
}

unsafe fn set_eval_frame(interpreter: *mut ffi::PyInterpreterState, function: Option<EvalFrame>) {
    // SAFETY: as in `eval_frame_of`.
    unsafe {
        ffi::_PyInterpreterState_SetEvalFrameFunc(
            interpreter,
            core::mem::transmute::<Option<EvalFrame>, Option<ffi::_PyFrameEvalFunction>>(function),
        )
    }
}

/// Evaluates a frame as it would have been without us.
#[inline(always)]
unsafe fn call_on(thread: *mut ffi::PyThreadState, frame: *mut c_void, throw: c_int) -> *mut ffi::PyObject {
    let function = CALL_ON.load(Ordering::Relaxed);
    if function as usize == default_address() || function.is_null() {
        // SAFETY: the arguments are those that CPython gave us.
        return unsafe { _PyEval_EvalFrameDefault(thread, frame, throw) };
    }
    // SAFETY: what is stored is the address of an eval-frame function, put there by `apply`.
    unsafe { core::mem::transmute::<*mut c_void, EvalFrame>(function)(thread, frame, throw) }
}

/// The evaluator of the recording mode.
///
/// One comparison of pointers for a frame that is no `__init__`: it must cost what CPython charges
/// for any custom evaluator, and no more.
unsafe extern "C" fn record(
    thread: *mut ffi::PyThreadState,
    frame: *mut c_void,
    throw: c_int,
) -> *mut ffi::PyObject {
    // SAFETY: CPython hands us a live frame; its code object and the name of that are alive with
    // it, and the offsets are those of the checked layout.
    let name = unsafe {
        let code = frame
            .cast::<u8>()
            .add(CURRENT.frame.code)
            .cast::<*mut u8>()
            .read();
        code.add(CURRENT.code_object.name).cast::<usize>().read()
    };
    if name == INIT_NAME.load(Ordering::Relaxed) {
        // SAFETY: passed on unchanged.
        return unsafe { record_init(thread, frame, throw) };
    }
    // SAFETY: passed on unchanged.
    unsafe { call_on(thread, frame, throw) }
}

/// An `__init__` that runs, and its instance: a link of a list whose links lie on the C stack.
struct Making {
    frame: *mut c_void,
    instance: *mut ffi::PyObject,
    older: *mut Making,
    newer: *mut Making,
}

/// The newest link. Threads take turns, so links need not go in the order they came: the list is
/// linked both ways. Only touched with the GIL held.
static NEWEST: AtomicPtr<Making> = AtomicPtr::new(null_mut());

#[inline(never)]
unsafe fn record_init(
    thread: *mut ffi::PyThreadState,
    frame: *mut c_void,
    throw: c_int,
) -> *mut ffi::PyObject {
    // SAFETY: the first local of a frame that starts is its first argument, here the instance, and
    // whoever called `__init__` keeps it alive until we return. The links are on the stacks of
    // activations that have not returned; the GIL is held at every change of the list.
    unsafe {
        let instance = frame
            .cast::<u8>()
            .add(CURRENT.frame.slots)
            .cast::<*mut ffi::PyObject>()
            .read();
        let older = NEWEST.load(Ordering::Relaxed);
        let mut link = Making {
            frame,
            instance,
            older,
            newer: null_mut(),
        };
        let here: *mut Making = &mut link;
        if let Some(mut older) = NonNull::new(older) {
            older.as_mut().newer = here;
        }
        NEWEST.store(here, Ordering::Relaxed);
        let result = call_on(thread, frame, throw);
        let Making { older, newer, .. } = here.read();
        match NonNull::new(newer) {
            Some(mut newer) => newer.as_mut().older = older,
            None => NEWEST.store(older, Ordering::Relaxed),
        }
        if let Some(mut older) = NonNull::new(older) {
            older.as_mut().newer = newer;
        }
        result
    }
}

/// The instance that the `__init__` of this frame was entered with, if that was recorded.
pub fn recorded_instance<'py>(py: Python<'py>, frame: RunningFrame<'py>) -> Option<Bound<'py, PyAny>> {
    let mut link = NEWEST.load(Ordering::Relaxed);
    // SAFETY: the links are alive and do not change while the GIL is held, see `record_init`; so is
    // the instance, as the `__init__` has not returned.
    unsafe {
        while let Some(making) = link.as_ref() {
            if making.frame == frame.address.raw() {
                return Bound::from_borrowed_ptr_or_opt(py, making.instance);
            }
            link = making.older;
        }
    }
    None
}

/// The evaluator while a stack is brought back to life.
unsafe extern "C" fn resume<R: Resumer>(
    thread: *mut ffi::PyThreadState,
    frame: *mut c_void,
    throw: c_int,
) -> *mut ffi::PyObject {
    let throw = if throw == 0 {
        // SAFETY: CPython holds the GIL when it evaluates a frame, and the frame is alive.
        let next = unsafe {
            let py = Python::assume_attached();
            let running = RunningFrame::from_raw(frame).expect("CPython evaluates a frame");
            catch_unwind(AssertUnwindSafe(|| R::enter(py, running))).unwrap_or_else(|_| {
                Next::Raise(PySystemError::new_err("pyteleport: a bug stopped the resume"))
            })
        };
        match next {
            Next::PassOn | Next::Run => 0,
            Next::Raise(error) => {
                // SAFETY: the GIL is held.
                error.restore(unsafe { Python::assume_attached() });
                1
            }
        }
    } else {
        throw
    };
    let recording = {
        // SAFETY: the GIL is held.
        installed(unsafe { Python::assume_attached() }).recording
    };
    // SAFETY: the frame is passed on to the evaluator that it would have gone to.
    unsafe {
        if recording {
            record(thread, frame, throw)
        } else {
            call_on(thread, frame, throw)
        }
    }
}
