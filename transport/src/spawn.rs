//! Starting the process that leads to the peer, and its end.

use crate::error::TransportError;
use crate::{fd, fork, signals, warm};
use nix::errno::Errno;
use nix::spawn::{posix_spawnp, PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, Instant};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Ending {
    /// As a shell says it in `$?`.
    pub fn status(self) -> i32 {
        match self {
            Ending::Code(code) => code,
            Ending::Signal(number) => 128 + number,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Code(code) => write!(f, "exit status {code}"),
            Ending::Signal(number) => write!(f, "ended by {}", signals::name(*number)),
        }
    }
}

/// What a child is started with.
pub(crate) struct Plan<'a> {
    pub argv: &'a [OsString],
    /// Variables to set (or, with `None`, to unset) beside those of this process.
    pub env: &'a [(OsString, Option<OsString>)],
    /// Our descriptors, and the numbers that they have there. Everything else is closed on exec,
    /// except what the program itself made inheritable.
    pub descriptors: &'a [(&'a OwnedFd, RawFd)],
    /// Whether signals for a program wait there until they are read, from its first moment on.
    pub holds_signals: bool,
}

/// A process that we started and have not reaped. Dropping it changes nothing.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    ending: Option<Option<Ending>>,
    foreign: Option<Foreign>,
}

/// What we have of a process that is a server's child ([`crate::warm`]).
#[derive(Debug)]
pub(crate) struct Foreign {
    /// It, to poll and to send signals to.
    pub process: OwnedFd,
    /// Where the server says how it has ended.
    pub status: OwnedFd,
}

impl Child {
    pub(crate) fn start(plan: &Plan<'_>) -> Result<Child, TransportError> {
        let program = plan.argv.first().map_or(OsStr::new(""), |word| word).to_owned();
        start(plan)
            .map(Child::adopt)
            .map_err(|errno| TransportError::Spawn {
                program: program.to_string_lossy().into_owned(),
                source: errno.into(),
            })
    }

    /// A child that was started by other means: by fork, or before this process was exec'ed.
    pub(crate) fn adopt(pid: Pid) -> Child {
        Child {
            pid,
            ending: None,
            foreign: None,
        }
    }

    /// A child of a server.
    pub(crate) fn foreign(pid: Pid, process: OwnedFd, status: OwnedFd) -> Child {
        Child {
            foreign: Some(Foreign { process, status }),
            ..Child::adopt(pid)
        }
    }

    /// What there is of it if it is a server's.
    pub(crate) fn as_foreign(&self) -> Option<&Foreign> {
        self.foreign.as_ref()
    }

    pub(crate) fn into_foreign(self) -> Option<Foreign> {
        self.foreign
    }

    /// Readable once it has ended, if that is not told by SIGCHLD.
    pub(crate) fn end_line(&self) -> Option<BorrowedFd<'_>> {
        let foreign = self.foreign.as_ref().filter(|_| self.ending.is_none())?;
        Some(foreign.process.as_fd())
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it has ended, and then how; the inner `None` if somebody else reaped it.
    pub(crate) fn try_wait(&mut self) -> Option<Option<Ending>> {
        if let Some(foreign) = &self.foreign {
            if self.ending.is_none() && warm::is_over(&foreign.process) {
                self.ending = Some(warm::ending_of(&foreign.status));
            }
            return self.ending;
        }
        while self.ending.is_none() {
            match fork::reap(self.pid) {
                Ok(None) => return None,
                Ok(ending) => self.ending = Some(ending),
                Err(Errno::EINTR) => {}
                Err(_) => self.ending = Some(None),
            }
        }
        self.ending
    }

    /// Waits for its end for at most `patience`.
    pub(crate) fn wait_within(&mut self, patience: Duration) -> Option<Option<Ending>> {
        let start = Instant::now();
        loop {
            match self.try_wait() {
                None if start.elapsed() < patience => std::thread::sleep(Duration::from_millis(2)),
                outcome => return outcome,
            }
        }
    }

    /// Sends a signal unless it has ended.
    pub(crate) fn signal(&mut self, number: i32) {
        if self.try_wait().is_none() {
            self.send(number);
        }
    }

    /// Sends a signal to what is known to have not been reaped.
    pub(crate) fn send(&self, number: i32) {
        match &self.foreign {
            Some(foreign) => fd::send_signal(&foreign.process, number),
            None => signals::send(self.pid, number),
        }
    }

    /// Ends it for good: asks first if `politely`, and reaps it.
    pub(crate) fn end(&mut self, politely: bool) {
        if politely {
            self.signal(Signal::SIGTERM as i32);
            if self.wait_within(Duration::from_millis(500)).is_some() {
                return;
            }
        }
        self.signal(Signal::SIGKILL as i32);
        self.wait_within(Duration::from_secs(5));
    }
}

fn start(plan: &Plan<'_>) -> nix::Result<Pid> {
    let argv = plan
        .argv
        .iter()
        .map(|word| c_string(word.as_bytes()))
        .collect::<Result<Vec<_>, _>>()?;
    let program = argv.first().ok_or(Errno::ENOENT)?;
    let env = environment(plan.env)?;

    let mut actions = PosixSpawnFileActions::init()?;
    for (fd, number) in plan.descriptors {
        actions.add_dup2(fd.as_raw_fd(), *number)?;
    }

    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF)?;
    let blocked = match plan.holds_signals {
        true => signals::forwarded(),
        false => SigSet::empty(),
    };
    attributes.set_sigmask(&blocked)?;
    // Python ignores the first two for itself; ignoring the third would hide the ends of children.
    let mut default = SigSet::empty();
    for signal in [Signal::SIGPIPE, Signal::SIGXFSZ, Signal::SIGCHLD] {
        default.add(signal);
    }
    attributes.set_sigdefault(&default)?;
    posix_spawnp(program, &actions, &attributes, &argv, &env)
}

fn environment(changes: &[(OsString, Option<OsString>)]) -> nix::Result<Vec<CString>> {
    let kept = std::env::vars_os().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    let set = changes
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
    kept.chain(set)
        .map(|(name, value)| {
            let mut entry = name.into_vec();
            entry.push(b'=');
            entry.extend(value.as_bytes());
            c_string(&entry)
        })
        .collect()
}

fn c_string(bytes: &[u8]) -> nix::Result<CString> {
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}
