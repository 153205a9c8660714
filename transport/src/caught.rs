//! Signals of a process that waits for its program to come back: caught, to be passed on, whichever of its
//! threads they reach.

use crate::fd;
use crate::signals;
use libc::c_int;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::getpid;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

/// Those that ask something of a program, beside the real-time ones.
const CAUGHT: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTERM,
    Signal::SIGIO,
];

/// Where the handler writes; -1 while nothing is caught.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// In how many threads the handler runs.
static INSIDE: AtomicI32 = AtomicI32::new(0);

/// There is one at a time.
#[cfg(test)]
pub(crate) static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Catches signals for as long as it lives; then puts back what was done about them, and has those come again that
/// nobody has asked for.
#[derive(Debug)]
pub(crate) struct Caught {
    reading: OwnedFd,
    _writing: OwnedFd,
    before: Vec<(c_int, libc::sigaction)>,
}

/// A signal that was caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signalled {
    pub number: c_int,
    /// The whole foreground process group got it.
    pub from_terminal: bool,
}

impl Caught {
    /// Begins. There must be no other.
    pub(crate) fn new() -> nix::Result<Caught> {
        let (reading, writing) = fd::pipe()?;
        fd::set_nonblocking(&reading)?;
        fd::set_nonblocking(&writing)?;
        let number = writing.as_raw_fd();
        if PIPE.compare_exchange(-1, number, Ordering::SeqCst, Ordering::SeqCst) != Ok(-1) {
            return Err(Errno::EBUSY);
        }
        let numbers = CAUGHT.map(|signal| signal as c_int).into_iter();
        let before = numbers
            .chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
            .filter_map(|number| Some((number, catch(number)?)))
            .collect();
        Ok(Caught {
            reading,
            _writing: writing,
            before,
        })
    }

    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.reading
    }

    /// The next signal, if there is one.
    pub(crate) fn next(&self) -> Option<Signalled> {
        let mut note = [0; 2];
        // Both bytes are written at once.
        match nix::unistd::read(&self.reading, &mut note) {
            Ok(2) => Some(Signalled {
                number: note[0].into(),
                from_terminal: note[1] != 0,
            }),
            _ => None,
        }
    }

    /// Whether this signal ended the process if it were not caught.
    pub(crate) fn would_end(&self, number: c_int) -> bool {
        let found = self.before.iter().find(|(its, _)| *its == number);
        found.is_some_and(|(_, action)| action.sa_sigaction == libc::SIG_DFL)
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        for (number, action) in &self.before {
            // SAFETY: this is the action that the process had before, unchanged.
            unsafe { libc::sigaction(*number, action, ptr::null_mut()) };
        }
        PIPE.store(-1, Ordering::SeqCst);
        while let Some(signal) = self.next() {
            signals::send(getpid(), signal.number);
        }
        // The pipe is closed next, and its number may mean something else then.
        while INSIDE.load(Ordering::SeqCst) > 0 {
            std::hint::spin_loop();
        }
    }
}

/// Catches a signal; what was done about it before. One that is ignored stays so.
fn catch(number: c_int) -> Option<libc::sigaction> {
    let mut before = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action only asks; on success the whole value is written.
    let before = unsafe {
        match libc::sigaction(number, ptr::null(), before.as_mut_ptr()) {
            0 => before.assume_init(),
            _ => return None,
        }
    };
    if before.sa_sigaction == libc::SIG_IGN {
        return None;
    }
    // SAFETY: an all-zero action with a handler of the three-argument kind and its flag is a valid one, and
    // `note` does only what is safe in a handler.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = note as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigaction(number, &action, ptr::null_mut())
    };
    (done == 0).then_some(before)
}

/// The handler: notes a signal down.
extern "C" fn note(number: c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    INSIDE.fetch_add(1, Ordering::SeqCst);
    let pipe: RawFd = PIPE.load(Ordering::SeqCst);
    // SAFETY: the kernel gives a handler of this kind a whole `siginfo_t`; `write` may be called in handlers, and
    // `errno` of what was interrupted is put back. The pipe is open while we are counted as inside; a full one loses the note.
    unsafe {
        let from_terminal = (*info).si_code == libc::SI_KERNEL;
        let errno = libc::__errno_location();
        let before = *errno;
        let bytes = [number as u8, from_terminal.into()];
        if pipe >= 0 {
            libc::write(pipe, bytes.as_ptr().cast(), bytes.len());
        }
        *errno = before;
    }
    INSIDE.fetch_sub(1, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_caught_once_and_what_was_done_about_it_is_put_back() {
        let _alone = ALONE.lock();
        let number = Signal::SIGUSR2 as c_int;
        let caught = Caught::new().unwrap();
        assert!(matches!(Caught::new(), Err(Errno::EBUSY)));
        assert!(caught.would_end(number) && caught.next().is_none());
        // SAFETY: the handler of this signal is ours just now.
        unsafe { libc::raise(number) };
        let expected = Signalled {
            number,
            from_terminal: false,
        };
        assert_eq!(caught.next(), Some(expected));
        assert_eq!(caught.next(), None);
        drop(caught);
        assert!(Caught::new().unwrap().would_end(number));
    }
}
