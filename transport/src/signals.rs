//! Signals: which ones follow the program, holding them, and ending by one.

use crate::spawn::Ending;
use libc::c_int;
use nix::errno::Errno;
use nix::sys::resource::{setrlimit, Resource};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

/// Signals that are meant for the program, wherever it is. Not in here: those that stop a
/// process (home and a local peer stop together, by their terminal), those about children, and
/// those that a fault in home itself would raise.
const FORWARDED: [Signal; 12] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGTERM,
    Signal::SIGCONT,
    Signal::SIGWINCH,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGIO,
];

/// Timers of this process raise these; the program's timers are not home's.
const TIMERS: [Signal; 3] = [Signal::SIGALRM, Signal::SIGVTALRM, Signal::SIGPROF];

/// The forwarded signals, real-time ones included.
pub(crate) fn forwarded() -> SigSet {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the whole set, `sigaddset` is only given signal numbers,
    // and a set with real-time signals in it is only used as a mask, never iterated by `nix`.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for number in FORWARDED
            .map(|signal| signal as c_int)
            .into_iter()
            .chain(real_time())
        {
            libc::sigaddset(set.as_mut_ptr(), number);
        }
        SigSet::from_sigset_t_unchecked(set.assume_init())
    }
}

fn real_time() -> std::ops::RangeInclusive<c_int> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

/// Holds the forwarded signals of this thread: they wait until the value is released, or for ever.
#[derive(Debug)]
pub(crate) struct Held {
    before: SigSet,
}

impl Held {
    pub(crate) fn new() -> nix::Result<Held> {
        Ok(Held {
            before: forwarded().thread_swap_mask(SigmaskHow::SIG_BLOCK)?,
        })
    }

    /// Forgets the signals that came so far.
    pub(crate) fn discard(&self) {
        let set = forwarded();
        while take_pending(&set) {}
    }

    /// Lets them come while something is done.
    pub(crate) fn without(&self, act: impl FnOnce()) -> nix::Result<()> {
        self.before.thread_set_mask()?;
        act();
        forwarded().thread_swap_mask(SigmaskHow::SIG_BLOCK).map(drop)
    }

    /// Lets them come again.
    pub(crate) fn release(self) {
        // The mask was this thread's mask before, so it is a valid one.
        let _ = self.before.thread_set_mask();
    }
}

/// Raises signals, which are held in this thread, if they are among those that follow the program.
///
/// Not those of timers, which have moved with the program.
pub(crate) fn raise_held(numbers: &[c_int]) {
    let set = forwarded();
    for number in numbers {
        // SAFETY: the set is initialised; the thread has these signals blocked, so no handler runs.
        unsafe {
            if libc::sigismember(set.as_ref(), *number) == 1
                && !TIMERS.iter().any(|timer| *timer as c_int == *number)
            {
                libc::raise(*number);
            }
        }
    }
}

/// While it lives, signals for the program wait that come to this thread.
#[derive(Debug)]
pub struct Quiet(Option<Held>);

impl Quiet {
    /// Begins.
    pub fn begin() -> Quiet {
        Quiet(Held::new().ok())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(held) = self.0.take() {
            held.release();
        }
    }
}

/// Takes one pending signal of the set, if there is one.
fn take_pending(set: &SigSet) -> bool {
    let now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both pointers are to live values, and a null `info` is permitted.
    unsafe { libc::sigtimedwait(set.as_ref(), ptr::null_mut(), &now) > 0 }
}

/// Runs a write that must not end this process by SIGPIPE, whatever is done about that signal.
pub(crate) fn without_sigpipe<T>(write: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGPIPE);
    let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let outcome = write();
    if matches!(outcome, Err(Errno::EPIPE)) && !before.contains(Signal::SIGPIPE) {
        take_pending(&set);
    }
    let _ = before.thread_set_mask();
    outcome
}

/// Runs `start` while the signals that a terminal sends for ^C and ^\\ are ignored, which a process
/// started meanwhile keeps. Here none of them is lost: they wait.
pub(crate) fn ignoring_terminal<T>(start: impl FnOnce() -> T) -> nix::Result<T> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGINT);
    set.add(Signal::SIGQUIT);
    let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let actions = [Signal::SIGINT, Signal::SIGQUIT].map(|signal| (signal as c_int, ignore(signal as c_int)));
    let started = start();
    for (number, action) in actions {
        if let Some(action) = action {
            // SAFETY: this is the action that the process had before, unchanged.
            unsafe { libc::sigaction(number, &action, ptr::null_mut()) };
        }
    }
    before.thread_set_mask()?;
    Ok(started)
}

/// Ignores a signal; returns what was done about it.
fn ignore(number: c_int) -> Option<libc::sigaction> {
    let mut before = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: an all-zero action with SIG_IGN is a valid one, and no handler of ours; on success
    // the kernel has written the whole old action.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_IGN;
        (libc::sigaction(number, &action, before.as_mut_ptr()) == 0).then(|| before.assume_init())
    }
}

/// The signals of a process that passes them on, as something to poll and read.
pub(crate) struct Incoming {
    queue: SignalFd,
}

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// A child changed.
    Child,
    /// One to pass on. `from_terminal`: the whole foreground process group got it.
    Signal { number: c_int, from_terminal: bool },
}

impl Incoming {
    /// From here on the signals of this process are read here. There is no way back.
    pub(crate) fn new() -> nix::Result<Incoming> {
        let mut set = forwarded();
        set.add(Signal::SIGCHLD);
        set.thread_block()?;
        set_disposition(Signal::SIGCHLD, SigHandler::SigDfl)?;
        set_disposition(Signal::SIGPIPE, SigHandler::SigIgn)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Incoming {
            queue: SignalFd::with_flags(&set, flags)?,
        })
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }

    /// The next signal, if one is there.
    pub(crate) fn next(&self) -> Option<Came> {
        loop {
            let info = self.queue.read_signal().ok()??;
            let number = info.ssi_signo as c_int;
            let from_kernel = info.ssi_code == libc::SI_KERNEL;
            if number == libc::SIGCHLD {
                return Some(Came::Child);
            }
            if from_kernel && TIMERS.iter().any(|timer| *timer as c_int == number) {
                continue;
            }
            return Some(Came::Signal {
                number,
                from_terminal: from_kernel,
            });
        }
    }
}

/// Sets what is done about a signal: the default, or nothing.
pub(crate) fn set_disposition(signal: Signal, handler: SigHandler) -> nix::Result<SigHandler> {
    debug_assert!(matches!(handler, SigHandler::SigDfl | SigHandler::SigIgn));
    // SAFETY: no handler function is installed, so no code of ours runs in a signal's context.
    unsafe { nix::sys::signal::signal(signal, handler) }
}

/// Stops the interval timers, which live on through exec.
pub(crate) fn stop_timers() {
    // SAFETY: an all-zero `itimerval` means "stopped"; a null old value is permitted.
    unsafe {
        let stopped: libc::itimerval = std::mem::zeroed();
        for timer in [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF] {
            libc::setitimer(timer, &stopped, ptr::null_mut());
        }
    }
}

/// Makes sure that the end of a child can be waited for; true if it could not until now.
pub(crate) fn stop_ignoring_children() -> bool {
    let mut current = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action only asks; on success the whole value is written.
    let ignored = unsafe {
        libc::sigaction(libc::SIGCHLD, ptr::null(), current.as_mut_ptr()) == 0
            && current.assume_init().sa_sigaction == libc::SIG_IGN
    };
    ignored && set_disposition(Signal::SIGCHLD, SigHandler::SigDfl).is_ok()
}

/// Sends a signal, real-time ones included, to a child that has not been reaped.
pub(crate) fn send(child: Pid, number: c_int) {
    // SAFETY: `kill` has no memory effects; `child` is one pid (callers have it from spawn or
    // fork), so neither a group nor everybody.
    unsafe { libc::kill(child.as_raw(), number) };
}

/// Stops the processes of this group, as a terminal does for ^Z: this one goes on when it is continued, or at once if
/// there is nobody who could.
pub(crate) fn stop_group() {
    // SAFETY: `kill` has no memory effects; 0 means our own group.
    unsafe { libc::kill(0, libc::SIGTSTP) };
}

/// Sends a signal to the group of a child that has not been reaped.
pub(crate) fn send_to_group_of(child: Pid, number: c_int) {
    // SAFETY: as above; the group is that of a child of ours, and not 0 or 1.
    unsafe {
        let group = libc::getpgid(child.as_raw());
        if group > 1 {
            libc::kill(-group, number);
        }
    }
}

/// Whether a signal has come and is held.
pub(crate) fn is_pending(number: c_int) -> bool {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigpending` fills in the set, or fails and it is not looked at.
    unsafe { libc::sigpending(set.as_mut_ptr()) == 0 && libc::sigismember(set.as_ptr(), number) == 1 }
}

/// Makes a terminal that of this session, which has none and is led by this process.
pub(crate) fn take_terminal(terminal: BorrowedFd<'_>) -> nix::Result<()> {
    // SAFETY: this call takes a number, and no memory.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

/// The size of a terminal.
pub(crate) fn window_size(terminal: BorrowedFd<'_>) -> nix::Result<libc::winsize> {
    let mut size = MaybeUninit::uninit();
    // SAFETY: on success the kernel has written the whole struct.
    unsafe {
        Errno::result(libc::ioctl(
            terminal.as_raw_fd(),
            libc::TIOCGWINSZ,
            size.as_mut_ptr(),
        ))?;
        Ok(size.assume_init())
    }
}

/// Sets it.
pub(crate) fn set_window_size(terminal: BorrowedFd<'_>, size: &libc::winsize) -> nix::Result<()> {
    let size: *const libc::winsize = size;
    // SAFETY: the struct lives through the call, which reads it.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, size) }).map(drop)
}

/// Name of a signal, the same on every architecture.
pub(crate) fn name(number: c_int) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) if real_time().contains(&number) => format!("SIGRTMIN+{}", number - libc::SIGRTMIN()),
        Err(_) => format!("signal {number}"),
    }
}

/// Number of a signal here.
pub(crate) fn number(name: &str) -> Option<c_int> {
    match name.strip_prefix("SIGRTMIN+") {
        Some(offset) => {
            let number = libc::SIGRTMIN().checked_add(offset.parse().ok()?)?;
            real_time().contains(&number).then_some(number)
        }
        None => name.parse::<Signal>().ok().map(|signal| signal as c_int),
    }
}

/// Ends this process as the program ended, so that whoever waits for it cannot tell.
pub fn end_like(ending: Ending) -> ! {
    match ending {
        Ending::Code(code) => exit_now(code),
        Ending::Signal(number) => {
            // The program has left its core where it died; this process has nothing to show.
            let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
            die_by(number);
            exit_now(128 + number)
        }
    }
}

fn die_by(number: c_int) {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is initialised by `sigemptyset`; `signal` only sets the default action; the
    // rest takes plain numbers and live pointers. An invalid `number` fails and changes nothing.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), number);
        libc::signal(number, libc::SIG_DFL);
        libc::kill(libc::getpid(), number);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut());
    }
}

/// Ends this process at once: nothing of Python or of C is run any more.
pub(crate) fn exit_now(code: c_int) -> ! {
    // SAFETY: `_exit` does not return and touches no memory.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_numbers() {
        for number in FORWARDED
            .map(|signal| signal as c_int)
            .into_iter()
            .chain(real_time())
        {
            assert_eq!(super::number(&name(number)), Some(number));
        }
        assert_eq!(name(libc::SIGRTMIN() + 3), "SIGRTMIN+3");
        for wrong in [
            "SIGRTMIN+999",
            "SIGRTMIN+",
            "SIGRTMIN+2147483647",
            "SIGNOPE",
            "",
            "9",
        ] {
            assert_eq!(super::number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_held_signal_waits_and_can_be_forgotten() {
        let held = Held::new().unwrap();
        nix::sys::signal::raise(Signal::SIGUSR1).unwrap(); // to this thread; would end the test
        held.discard();
        held.release();
    }

    #[test]
    fn a_write_that_nobody_reads_is_an_error_and_no_signal() {
        let (reading, writing) = crate::fd::pipe().unwrap();
        drop(reading);
        let mut set = SigSet::empty();
        set.add(Signal::SIGPIPE);
        let outcome = without_sigpipe(|| nix::unistd::write(&writing, b"x"));
        assert_eq!(outcome, Err(Errno::EPIPE));
        assert!(!take_pending(&set));
    }
}
