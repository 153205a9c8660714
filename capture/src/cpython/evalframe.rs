//! The PEP 523 function: putting ours in, calling on, taking it out again.
//!
//! Two C functions can stand in CPython's place. `record` looks at one pointer of each frame and
//! at the room on the stack, and calls on; only few kinds of frame make it stop, for what is known
//! nowhere else: that of an `__init__`, for the instance that is being made, and those of a generator
//! and of a `__next__` which C code asks for items, for those that were given. `resume` is there only
//! while a stack is brought back to life, and offers each frame that starts to a [`Resumer`]. Both call
//! on whatever function was set before.

use super::activations::Activations;
use super::asked::{self, Does};
pub use super::asked::{let_go, source_asked, turn_page, Asking, Watcher};
use super::ffi::PyInterpreterState_Get;
use super::frame::RunningFrame;
pub use super::page::PAGE_SIZE;
use super::signature::{self, address_of, Evaluator};
use super::stack_room::{self, stack_pointer};
use super::{c_iterators, codeobject, slot, CURRENT};
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use pyo3::exceptions::PySystemError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::OnceLock;

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
pub trait Resumer: Sync {
    /// Looks at a frame that starts (not one that an exception is thrown into).
    fn enter<'py>(&self, py: Python<'py>, starting: &mut Starting<'py>) -> Next;
}

/// A frame that starts.
pub struct Starting<'py> {
    frame: RunningFrame<'py>,
    /// What is evaluated in its place, which nobody else may hold.
    instead: Option<Bound<'py, PyAny>>,
}

impl<'py> Starting<'py> {
    /// The frame that is to be evaluated.
    pub fn frame(&self) -> RunningFrame<'py> {
        self.frame
    }

    /// Has this frame evaluated, which may be another one than CPython has started.
    pub fn evaluate(&mut self, frame: RunningFrame<'py>) {
        if frame != self.frame {
            self.instead = frame.frame_object();
            self.frame = frame;
        }
    }
}

/// Why our function cannot be put in or taken out.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Somebody has set a function above ours.
    #[error("another eval-frame function was set after pyteleport's and calls it; remove that one first")]
    Covered,
    /// CPython raised an exception, when it was asked for its opcodes say.
    #[error("this interpreter cannot be looked at: {0}")]
    Python(#[from] PyErr),
    /// An iterator in C is not what it was when this was built.
    #[error("a built-in type of this interpreter has another layout than pyteleport was made for")]
    Layout,
}

/// What is wanted and what is there. Written with the GIL held, which orders it; atomics only
/// because the evaluators read it in every call.
static RECORDING: AtomicBool = AtomicBool::new(false);

/// How many stacks a [`Resumer`] waits for.
static RESUMING: AtomicUsize = AtomicUsize::new(0);

/// The one there is, from the first time that one waits.
static RESUMER: OnceLock<&'static dyn Resumer> = OnceLock::new();

/// The address of the function of ours that is set in the interpreter, null for none.
static SET: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// The address of the function that was there before: what ours call on. Null while ours is not set.
static CALL_ON: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// What ours call on, also when none of ours is set any more: CPython's own then. Null only until one of
/// ours was set first.
static TARGET: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// The interned strings `__init__` and `__next__`, compared by address with each frame's name.
static INIT_NAME: AtomicUsize = AtomicUsize::new(0);
/// See [`INIT_NAME`].
static NEXT_NAME: AtomicUsize = AtomicUsize::new(0);

/// How things stand with the eval-frame function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Ours is set, for good.
    pub recording: bool,
    /// There is one of somebody else's that ours calls on.
    pub calls_on: bool,
}

/// How things stand.
pub fn status(_py: Python<'_>) -> Status {
    let before = CALL_ON.load(Ordering::Relaxed);
    Status {
        recording: RECORDING.load(Ordering::Relaxed),
        calls_on: !before.is_null() && before != signature::default_address(),
    }
}

/// Turns the recording of every frame on or off.
pub fn set_recording(
    py: Python<'_>,
    watcher: &'static dyn Watcher,
    recording: bool,
) -> Result<(), InstallError> {
    if recording && INIT_NAME.load(Ordering::Relaxed) == 0 {
        for (name, kept) in [("__init__", &INIT_NAME), ("__next__", &NEXT_NAME)] {
            let name = pyo3::types::PyString::intern(py, name);
            // Interned strings that nobody holds go; these have to stay.
            kept.store(name.into_ptr() as usize, Ordering::Relaxed);
        }
    }
    if recording {
        // Asked for while generators are looked at, when its own import would have some.
        codeobject::opcode_table(py)?;
        super::lifecycle::make_room_for_hooked_calls();
        stack_room::look(py);
    }
    if recording != RECORDING.load(Ordering::Relaxed) {
        asked::begin(py, watcher);
    }
    let before = RECORDING.swap(recording, Ordering::Relaxed);
    let applied = apply(py).and_then(|()| c_iterators::watch(py, recording));
    applied.inspect_err(|_| {
        RECORDING.store(before, Ordering::Relaxed);
        // If it was put in, it is taken out; if it could not be, it is not there.
        let _covered = apply(py);
    })
}

/// Offers every frame that starts to the resumer, the same each time, until [`stop_resuming`].
pub fn start_resuming(py: Python<'_>, resumer: &'static dyn Resumer) -> Result<(), InstallError> {
    stack_room::look(py);
    RESUMER.get_or_init(|| resumer);
    RESUMING.fetch_add(1, Ordering::Relaxed);
    // Each start is followed by a stop, also one that failed.
    apply(py)
}

/// Ends what one [`start_resuming`] began; frames that were taken over go on.
pub fn stop_resuming(py: Python<'_>) {
    RESUMING.fetch_sub(1, Ordering::Relaxed);
    // Nothing can have been set above ours between the two, and if it was it calls us: harmless.
    let _covered = apply(py);
}

/// Sets the function that is wanted.
fn apply(_py: Python<'_>) -> Result<(), InstallError> {
    let wanted = if RESUMING.load(Ordering::Relaxed) > 0 {
        address_of::<Resume>()
    } else if RECORDING.load(Ordering::Relaxed) {
        address_of::<Record>()
    } else {
        null_mut()
    };
    let set = SET.load(Ordering::Relaxed);
    // SAFETY: the GIL is held, so there is an interpreter and nobody else changes the field.
    let (interpreter, now) = unsafe {
        let interpreter = PyInterpreterState_Get();
        (interpreter, signature::get(interpreter))
    };
    if !set.is_null() && now != set {
        return Err(InstallError::Covered);
    }
    if set == wanted {
        return Ok(());
    }
    if set.is_null() {
        CALL_ON.store(now, Ordering::Relaxed);
        TARGET.store(now, Ordering::Relaxed);
    }
    let next = if wanted.is_null() {
        CALL_ON.load(Ordering::Relaxed)
    } else {
        wanted
    };
    // SAFETY: as above; `next` is a function of ours or the one that was there before us, and lives
    // as long as the process.
    unsafe { signature::set(interpreter, next) };
    SET.store(wanted, Ordering::Relaxed);
    if wanted.is_null() {
        // Frames that were entered through ours may still be running, but have called on already.
        CALL_ON.store(null_mut(), Ordering::Relaxed);
        TARGET.store(signature::default_address(), Ordering::Relaxed);
    }
    Ok(())
}

/// Evaluates a frame as it would have been without us.
#[inline(always)]
unsafe fn call_on(thread: *mut ffi::PyThreadState, frame: *mut c_void, throw: c_int) -> *mut ffi::PyObject {
    // SAFETY: the arguments are those that CPython gave us; what is stored is the address of an eval-frame
    // function, put there by `apply` before any of ours was called.
    unsafe { signature::call(TARGET.load(Ordering::Relaxed), thread, frame, throw) }
}

/// The evaluator of the recording mode.
///
/// Two comparisons of pointers for a frame that is no `__init__` and no `__next__`, and one for the stack: it
/// must cost what CPython charges for any custom evaluator, and no more.
struct Record;

impl Evaluator for Record {
    #[inline(always)]
    unsafe fn evaluate(
        thread: *mut ffi::PyThreadState,
        frame: *mut c_void,
        throw: c_int,
    ) -> *mut ffi::PyObject {
        // SAFETY: passed on unchanged.
        unsafe { record(thread, frame, throw) }
    }
}

#[inline(always)]
unsafe fn record(thread: *mut ffi::PyThreadState, frame: *mut c_void, throw: c_int) -> *mut ffi::PyObject {
    if !stack_room::is_left(stack_pointer()) {
        // SAFETY: passed on unchanged.
        return unsafe { record_at_end(thread, frame, throw) };
    }
    // SAFETY: CPython hands us the state of this thread and a live frame; its code object and the name
    // of that are alive with it, and the offsets are those of the checked layout.
    unsafe {
        stack_room::grant_all(thread.cast());
        record_granted(thread, frame, throw)
    }
}

/// The same where CPython's budget of calls is set.
#[inline(always)]
unsafe fn record_granted(
    thread: *mut ffi::PyThreadState,
    frame: *mut c_void,
    throw: c_int,
) -> *mut ffi::PyObject {
    // SAFETY: as above.
    unsafe {
        if asked::is_of_generator(frame) {
            return record_generator(thread, frame, throw);
        }
        let code = frame.cast::<u8>().add(CURRENT.frame.code).cast::<usize>().read();
        let code = slot::pointer(code) as *mut u8;
        let name = code.add(CURRENT.code_object.name).cast::<usize>().read();
        if name == INIT_NAME.load(Ordering::Relaxed) {
            record_init(thread, frame, throw)
        } else if name == NEXT_NAME.load(Ordering::Relaxed) {
            record_next(thread, frame, throw)
        } else {
            call_on(thread, frame, throw)
        }
    }
}

/// A generator, of which nothing is known to the evaluator alone unless C code asks it.
#[inline(always)]
unsafe fn record_generator(
    thread: *mut ffi::PyThreadState,
    frame: *mut c_void,
    throw: c_int,
) -> *mut ffi::PyObject {
    // SAFETY: passed on unchanged; who is asked by a frame has that waiting at an instruction.
    unsafe {
        let caller = asked::caller_of(thread, frame);
        match caller.and_then(|caller| asked::asked_by_c(caller, frame as usize)) {
            Some(asking) if throw == 0 && asked::is_noted(asking) && !asked::begins(frame) => {
                record_noted(thread, frame)
            }
            Some(asking) => record_asked(thread, frame, throw, asking.caller, asking.at),
            None => call_on(thread, frame, throw),
        }
    }
}

/// A generator that C code asks: its items are what a [`Watcher`] may want.
#[inline(never)]
unsafe extern "C" fn record_asked(
    thread: *mut ffi::PyThreadState,
    frame: *mut c_void,
    throw: c_int,
    caller: usize,
    at: usize,
) -> *mut ffi::PyObject {
    let asking = Asking {
        source: frame as usize,
        caller,
        at,
    };
    // SAFETY: passed on unchanged.
    unsafe {
        let does = match throw {
            0 if asked::begins(frame) => Does::Begins,
            0 => Does::GoesOn,
            _ => Does::Throws,
        };
        match asked::enter(asking, does) {
            true => record_noted(thread, frame),
            false => call_on(thread, frame, throw),
        }
    }
}

/// The same, and its [`Watcher`] wants them: no exception is thrown into it.
#[inline(never)]
unsafe extern "C" fn record_noted(thread: *mut ffi::PyThreadState, frame: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython holds the GIL when it evaluates a frame, and the frame is alive until the
    // evaluator has returned: it lies in a generator, or is an object, which whoever asks holds.
    unsafe {
        let result = call_on(thread, frame, 0);
        // What a generator returns in the end is no item.
        let gives = !result.is_null() && asked::is_suspended(frame.cast());
        asked::note(frame as usize, if gives { result } else { null_mut() });
        result
    }
}

/// A `__next__`, whose iterator C code may ask.
#[inline(never)]
unsafe extern "C" fn record_next(
    thread: *mut ffi::PyThreadState,
    frame: *mut c_void,
    throw: c_int,
) -> *mut ffi::PyObject {
    // SAFETY: as for a generator. The first local is its first argument, here the iterator, of which only the
    // address is used; without one there is memory of the frame's or behind it all the same.
    unsafe {
        let first = frame.cast::<u8>().add(CURRENT.frame.slots).cast::<usize>().read();
        let source = slot::pointer(first);
        let caller = asked::caller_of(thread, frame);
        let asking = caller.and_then(|caller| asked::asked_by_c(caller, source));
        let is_noted = asking.is_some_and(asked::is_to_be_noted);
        let result = call_on(thread, frame, throw);
        if is_noted {
            asked::note(source, result);
        }
        result
    }
}

/// The stack is used as far as it should be, or by another segment, or it is another one than that of the
/// call before.
///
/// A C function, which does not unwind: it is left to by a jump.
#[cold]
unsafe extern "C" fn record_at_end(
    thread: *mut ffi::PyThreadState,
    frame: *mut c_void,
    throw: c_int,
) -> *mut ffi::PyObject {
    if stack_room::is_left_on_this(stack_pointer()) {
        // SAFETY: passed on unchanged.
        let result = unsafe { record_elsewhere(thread, frame, throw) };
        stack_room::is_left_on_this(stack_pointer());
        // SAFETY: as above.
        unsafe { stack_room::grant(thread.cast()) };
        return result;
    }
    // SAFETY: passed on unchanged.
    let further = unsafe { stack_room::call_on_further(record_elsewhere, thread, frame, throw) };
    stack_room::is_left_on_this(stack_pointer());
    if let Some(result) = further {
        // SAFETY: as above.
        unsafe { stack_room::grant(thread.cast()) };
        return result;
    }
    if stack_room::is_left_for_the_last(stack_pointer()) {
        // SAFETY: passed on unchanged.
        return unsafe { record_elsewhere(thread, frame, throw) };
    }
    // SAFETY: the GIL is held; a frame that an exception is thrown into runs nothing of its own
    // unless it is a suspended generator, whose handlers then have the reserve.
    unsafe {
        let message = c"maximum recursion depth exceeded: the C stack is used up";
        ffi::PyErr_SetString(ffi::PyExc_RecursionError, message.as_ptr());
        call_on(thread, frame, 1)
    }
}

/// With as much of the budget as the stack has room for.
unsafe extern "C" fn record_elsewhere(
    thread: *mut ffi::PyThreadState,
    frame: *mut c_void,
    throw: c_int,
) -> *mut ffi::PyObject {
    // SAFETY: passed on unchanged.
    unsafe {
        stack_room::grant(thread.cast());
        record_granted(thread, frame, throw)
    }
}

/// An `__init__` that runs, and its instance.
#[derive(Clone, Copy)]
struct Making {
    frame: *mut c_void,
    instance: *mut ffi::PyObject,
}

static MAKING: Activations<Making> = Activations::new();

#[inline(never)]
unsafe extern "C" fn record_init(
    thread: *mut ffi::PyThreadState,
    frame: *mut c_void,
    throw: c_int,
) -> *mut ffi::PyObject {
    // SAFETY: the first local of a frame that starts is its first argument, here the instance, and
    // whoever called `__init__` keeps it alive until we return. The GIL is held.
    unsafe {
        let first = frame.cast::<u8>().add(CURRENT.frame.slots).cast::<usize>().read();
        let instance = slot::pointer(first) as *mut ffi::PyObject;
        MAKING.during(Making { frame, instance }, || call_on(thread, frame, throw))
    }
}

/// The instance that the `__init__` of this frame was entered with, if that was recorded.
pub fn recorded_instance<'py>(py: Python<'py>, frame: RunningFrame<'py>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: the GIL is held, and the instance is alive, as the `__init__` has not returned.
    unsafe {
        let making = MAKING.find(|making| making.frame == frame.address.raw())?;
        Bound::from_borrowed_ptr_or_opt(py, making.instance)
    }
}

/// The evaluator while a stack is brought back to life.
struct Resume;

impl Evaluator for Resume {
    #[inline(always)]
    unsafe fn evaluate(
        thread: *mut ffi::PyThreadState,
        frame: *mut c_void,
        throw: c_int,
    ) -> *mut ffi::PyObject {
        // SAFETY: passed on unchanged.
        unsafe { resume(thread, frame, throw) }
    }
}

/// Not inlined: what a C function has to do when it is unwound is passed over where that is forced.
#[inline(never)]
unsafe fn resume(thread: *mut ffi::PyThreadState, frame: *mut c_void, throw: c_int) -> *mut ffi::PyObject {
    // Ours may be taken out while the frames above this one run.
    let before = CALL_ON.load(Ordering::Relaxed);
    let (frame, throw, held) = match throw {
        // SAFETY: passed on unchanged.
        0 => unsafe { enter(frame) },
        _ => (frame, throw, None),
    };
    let evaluate: unsafe extern "C-unwind" fn(_, _, _, _) -> _ = pass_on;
    let ending = Ending;
    // SAFETY: the frame goes to the evaluator that it would have gone to. What that function is must not be
    // known here: it would be taken for one that never unwinds.
    let result = unsafe { core::hint::black_box(evaluate)(before, thread, frame, throw) };
    core::mem::forget(ending);
    if let Some(held) = held {
        // SAFETY: CPython holds the GIL when an evaluator returns.
        drop(held.into_bound(unsafe { Python::assume_attached() }));
    }
    result
}

/// Evaluates a frame as it would have been without the resume; `before` is the function that was set.
#[inline(never)]
unsafe extern "C-unwind" fn pass_on(
    before: *mut c_void,
    thread: *mut ffi::PyThreadState,
    frame: *mut c_void,
    throw: c_int,
) -> *mut ffi::PyObject {
    // SAFETY: the arguments are those that CPython gave us; what is stored is the address of an eval-frame
    // function.
    unsafe {
        stack_room::grant(thread.cast());
        if RECORDING.load(Ordering::Relaxed) {
            record(thread, frame, throw)
        } else if before.is_null() {
            signature::call_default(thread, frame, throw)
        } else {
            signature::call(before, thread, frame, throw)
        }
    }
}

/// Dropped where a resumed frame is left neither by a value nor by an exception: up to 3.13 CPython ends a daemon
/// thread that wants the GIL of an interpreter which has ended by `pthread_exit`, which unwinds (Python/ceval_gil.c,
/// `take_gil`). Further out are functions that nothing but a panic may leave. The thread stays as it is until the
/// process ends, as from 3.14 on.
struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

/// Offers a frame that starts to the [`Resumer`]: the frame that is to be evaluated, whether an exception is to be
/// raised in it, and what keeps it alive if CPython does not.
unsafe fn enter(frame: *mut c_void) -> (*mut c_void, c_int, Option<Py<PyAny>>) {
    // SAFETY: CPython holds the GIL when it evaluates a frame, and the frame is alive.
    let (py, frame) = unsafe {
        (
            Python::assume_attached(),
            RunningFrame::from_raw(frame).expect("a frame is given"),
        )
    };
    let mut starting = Starting { frame, instead: None };
    let enter = || match RESUMER.get() {
        Some(resumer) => resumer.enter(py, &mut starting),
        None => Next::PassOn,
    };
    let next = catch_unwind(AssertUnwindSafe(enter))
        .unwrap_or_else(|_| Next::Raise(PySystemError::new_err("pyteleport: a bug stopped the resume")));
    let throw = match next {
        Next::PassOn | Next::Run => 0,
        Next::Raise(error) => {
            error.restore(py);
            1
        }
    };
    let Starting { frame, instead } = starting;
    (frame.address.raw(), throw, instead.map(Bound::unbind))
}
