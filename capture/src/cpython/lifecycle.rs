//! The end of the interpreter, as `python script.py` has it (Modules/main.c).

use super::modules::import;
use super::{CStack, CURRENT};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering};
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, PoisonError};

/// How a program ended.
pub enum Ended {
    /// It came to its end.
    Returned,
    /// With an exception that nobody caught; it has been reported already if `reported`.
    Raised {
        /// The exception.
        error: PyErr,
        /// Whether its traceback was printed.
        reported: bool,
    },
    /// Before it moved here: its other threads have gone on.
    Before(Status),
}

/// What the process of a program that is over ends with.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// The exit status.
    pub code: i32,
    /// Whether Ctrl-C has ended it, of which whoever waits for the process is told by the signal.
    pub interrupted: bool,
}

/// How the program in this process has ended, once it has: other threads may still run.
static ENDED: Mutex<Option<Status>> = Mutex::new(None);

/// How the program that has moved here has ended, if it has.
pub fn ended() -> Option<Status> {
    *ENDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes how it has ended: its other threads go on.
pub fn set_ended(status: Status) {
    *ENDED.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
}

/// Ends the process as a script's end does: the exception is reported, exit code or signal, threads
/// waited for, atexit callbacks, streams flushed.
pub fn end_process(py: Python<'_>, ended: Ended) -> ! {
    let status = match ended {
        Ended::Returned => Status {
            code: 0,
            interrupted: false,
        },
        Ended::Before(status) => status,
        Ended::Raised { error, reported } => {
            let status = Status {
                code: exit_code(py, &error).unwrap_or(1),
                interrupted: error.is_instance_of::<PyKeyboardInterrupt>(py),
            };
            set_ended(status);
            if !reported {
                error.restore(py);
                // SAFETY: the GIL is held and an exception is set. For SystemExit this does not
                // return: it ends the process by itself, in the same way.
                unsafe { ffi::PyErr_PrintEx(1) };
            }
            status
        }
    };
    set_ended(status);
    let Status { code, interrupted } = status;
    keep_types(py);
    // SAFETY: the GIL is held by the thread that the interpreter was started in, and nothing of
    // Python is used afterwards.
    let flushed = unsafe { ffi::Py_FinalizeEx() } == 0;
    if interrupted {
        // SAFETY: plain system calls; the interpreter is gone.
        unsafe {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            libc::kill(libc::getpid(), libc::SIGINT);
        }
    }
    let code = match (interrupted, flushed) {
        (true, _) => 128 + libc::SIGINT,
        (false, true) => code,
        (false, false) => 120,
    };
    // SAFETY: ends the process; destructors of C run, nothing of ours is in use.
    unsafe { libc::exit(code) }
}

/// What `SystemExit` ends the process with; `None` for another exception.
fn exit_code(py: Python<'_>, error: &PyErr) -> Option<i32> {
    let exit = error.value(py).cast::<PySystemExit>().ok()?;
    let code = exit.getattr("code").ok()?;
    match code.is_none() {
        true => Some(0),
        // What is no number is printed.
        false => Some(code.extract().unwrap_or(1)),
    }
}

/// Keeps alive, for good, the one type whose last instances 3.12 clears through the type, and crashes
/// if the collection that ends the interpreter cleared that first. Which comes first depends on
/// where in memory's order `__main__` was made: here it is younger than what the peer had imported.
pub fn keep_types(py: Python<'_>) {
    let modules = import(py, "sys").and_then(|sys| sys.getattr("modules"));
    let itertools = modules.and_then(|modules| modules.get_item("itertools"));
    if let Ok(links) = itertools.and_then(|itertools| itertools.getattr("_tee_dataobject")) {
        core::mem::forget(links.unbind());
    }
}

/// Lets `fork` split the process, with the interpreter told before and after; `fork` says whether it
/// did, and the parent does not come back from it then.
pub fn around_fork<E>(_py: Python<'_>, fork: impl FnOnce() -> Result<bool, E>) -> Result<bool, E> {
    // SAFETY: the GIL is held, and what is begun here (the import lock is taken, which 3.13 and later
    // insist on) is ended below in this process or its child.
    unsafe { ffi::PyOS_BeforeFork() };
    let forked = fork();
    match forked {
        // SAFETY: as above; this is the only thread of a process that was just forked.
        Ok(true) => unsafe { ffi::PyOS_AfterFork_Child() },
        // SAFETY: as above; nothing was forked.
        _ => unsafe { ffi::PyOS_AfterFork_Parent() },
    }
    forked
}

/// How many objects the garbage collector left out when we were loaded: 3.12 begins with some.
static FROZEN: AtomicUsize = AtomicUsize::new(0);

/// How many objects the garbage collector leaves out.
fn frozen(py: Python<'_>) -> PyResult<usize> {
    import(py, "gc")?.call_method0("get_freeze_count")?.extract()
}

/// Remembers how things stood before the program went on.
pub fn remember_start(py: Python<'_>) -> PyResult<()> {
    FROZEN.store(frozen(py)?, Ordering::Relaxed);
    Ok(())
}

/// Whether the garbage collector was told since to leave objects out (`gc.freeze`).
pub fn has_frozen(py: Python<'_>) -> PyResult<bool> {
    Ok(frozen(py)? > FROZEN.load(Ordering::Relaxed))
}

/// What one resumed frame takes of the C stack, generously: the evaluator's own activation, and
/// ours, which starts the next frame. Measured: 1.7 to 2.3 KB.
const STACK_PER_FRAME: u64 = 4 << 10;

/// The C stack cannot grow to what a program's frames take.
#[derive(Debug, thiserror::Error)]
#[error(
    "the C stack has room for some {room} frames here, and the program has {frames}: raise the limit of the \
     stack (ulimit -Hs) for the process that it is to go on in"
)]
pub struct StackTooSmall {
    frames: usize,
    room: usize,
}

/// Lets the calling thread's stack grow by what `frames` resumed frames take, beyond the room that
/// any program has. At home they may have taken none at all (3.11 and later).
pub fn make_room_for(py: Python<'_>, frames: usize) -> Result<(), StackTooSmall> {
    raise_stack_limit(|limit| limit.saturating_add(frames as u64 * STACK_PER_FRAME));
    let room = super::stack_room::look(py) / STACK_PER_FRAME as usize;
    match frames < room {
        true => Ok(()),
        false => Err(StackTooSmall { frames, room }),
    }
}

/// What one call of the program may take of the C stack, where it nests in C (up to 3.10, or in C code).
const STACK_PER_CALL: usize = 1 << 10;

/// What a program may take of the stack in any case.
const STACK_FOR_ALL: usize = 1 << 20;

/// What the calling thread's stack had room for when a program left from it first.
static FIRST_ROOM: AtomicUsize = AtomicUsize::new(0);

/// The frames that have waited for programs that came back take too much of the C stack.
#[derive(Debug, thiserror::Error)]
#[error(
    "the C stack has no room for another way there and back: the frames that waited for those before are still on \
     it, and {} KB are left. Have fewer blocks do more each, or raise the limit of the stack (ulimit -Hs)",
    room >> 10
)]
pub struct StackUsedUp {
    room: usize,
}

/// Lets the calling thread's stack grow so that a program of so many frames can come back above those that it
/// leaves here, and call on from there as deep as it might have at first, or half as deep.
pub fn make_room_to_return(py: Python<'_>, frames: usize) -> Result<(), StackUsedUp> {
    raise_stack_limit(|limit| limit.saturating_add(frames as u64 * STACK_PER_FRAME));
    let room = super::stack_room::look(py);
    let _ = FIRST_ROOM.compare_exchange(0, room, Ordering::Relaxed, Ordering::Relaxed);
    // SAFETY: reads a number of the interpreter's; the GIL is held.
    let limit = usize::try_from(unsafe { ffi::Py_GetRecursionLimit() }).unwrap_or(0);
    let calls = STACK_FOR_ALL.max(limit.saturating_mul(STACK_PER_CALL));
    let wanted = calls.saturating_add(frames * STACK_PER_FRAME as usize);
    match room >= wanted.min(FIRST_ROOM.load(Ordering::Relaxed) / 2) {
        true => Ok(()),
        false => Err(StackUsedUp { room }),
    }
}

/// Lets the main thread's stack grow to what deep recursion takes when every call nests in C. Not where
/// CPython measures it: C code would recurse deeper too.
pub(super) fn make_room_for_hooked_calls() {
    const WANTED: u64 = 64 << 20;
    if !matches!(CURRENT.thread.c_stack, CStack::Measured) {
        raise_stack_limit(|limit| limit.max(WANTED));
    }
}

/// Linux looks at the limit when the stack grows, and keeps at least 128 MB free below it.
fn raise_stack_limit(wanted: impl FnOnce(u64) -> u64) {
    const FREE_BELOW_STACK: u64 = 120 << 20;
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: fills a local struct.
    if unsafe { libc::getrlimit(libc::RLIMIT_STACK, &mut limit) } != 0 {
        return;
    }
    let wanted = wanted(limit.rlim_cur).min(FREE_BELOW_STACK.max(limit.rlim_cur));
    let wanted = wanted.min(limit.rlim_max);
    if limit.rlim_cur == libc::RLIM_INFINITY || wanted <= limit.rlim_cur {
        return;
    }
    limit.rlim_cur = wanted;
    // SAFETY: reads a local struct. If it is refused the stack stays as it is, and a program that
    // is too deep for it is told so, as at home.
    unsafe { libc::setrlimit(libc::RLIMIT_STACK, &limit) };
}

/// Ends the process at once: no Python code, no destructor, no flush.
pub fn leave(code: i32) -> ! {
    // SAFETY: ends the process; nothing of it runs any more.
    unsafe { libc::_exit(code) }
}

/// Replaces the process by another program, with the same pid, descriptors and blocked signals (the
/// standard library's way unblocks them, and one that came in between would be lost). Returns only
/// if that failed.
pub fn replace_process(program: &OsStr, words: &[OsString]) {
    let text = |word: &OsStr| CString::new(word.as_bytes()).ok();
    let words: Option<Vec<CString>> = words.iter().map(|word| text(word)).collect();
    let (Some(program), Some(words)) = (text(program), words) else {
        return;
    };
    let mut pointers: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(core::ptr::null());
    // SAFETY: writes out what C code of the program has printed; then a path and a list of words
    // that ends with NULL, all alive for the call.
    unsafe {
        libc::fflush(core::ptr::null_mut());
        libc::execv(program.as_ptr(), pointers.as_ptr());
    }
}

/// Raises a signal in the calling thread, whose handler is one of CPython's.
pub fn raise_signal(number: i32) {
    // SAFETY: CPython handles the signal, by a note for later.
    unsafe { libc::raise(number) };
}

/// The signals that have come for this thread and wait, as it holds them back.
pub fn held_back() -> Vec<i32> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigpending` fills in the set, or fails and it is not looked at.
    unsafe {
        match libc::sigpending(set.as_mut_ptr()) {
            0 => numbers_in(&set.assume_init()),
            _ => Vec::new(),
        }
    }
}

/// Has signals wait which this thread holds back.
pub fn come_held_back(numbers: &[i32]) {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: a null set only asks for the mask, which is filled in or not looked at.
    let held = unsafe {
        match libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), mask.as_mut_ptr()) {
            0 => numbers_in(&mask.assume_init()),
            _ => Vec::new(),
        }
    };
    numbers
        .iter()
        .filter(|number| held.contains(number))
        .for_each(|number| raise_signal(*number));
}

/// Forgets that these came, once each; there is no Python here any more.
pub fn forget_held_back(numbers: &[i32]) {
    let now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    for number in numbers {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: a set of one signal, and no wish to know more of it.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), *number);
            libc::sigtimedwait(set.as_ptr(), core::ptr::null_mut(), &now);
        }
    }
}

fn numbers_in(set: &libc::sigset_t) -> Vec<i32> {
    // SAFETY: a set that was filled in.
    let has = |number: &i32| unsafe { libc::sigismember(set, *number) == 1 };
    (1..=libc::SIGRTMAX()).filter(has).collect()
}
