//! Fork and wait: the one place that makes a process out of this one, and asks how one ended.

use crate::spawn::Ending;
use nix::errno::Errno;
use nix::unistd::{fork, ForkResult, Pid};

/// Which of the two we are.
pub(crate) enum Side {
    Parent { child: Pid },
    Child,
}

/// Makes a copy of this process.
///
/// To be called while this is its only thread: a freshly started interpreter that has not yet
/// taken in a program.
pub(crate) fn split() -> nix::Result<Side> {
    // SAFETY: after `fork` in a process with threads only async-signal-safe functions may be
    // called in the child. The callers (`Receiver::split_off_relay`, at the start of a peer's life)
    // are documented to run while there is one thread, so no lock can be held by a thread that the
    // child lacks.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Side::Parent { child }),
        ForkResult::Child => Ok(Side::Child),
    }
}

/// Reaps a child if it has ended. (`nix` has no value for an end by a real-time signal.)
pub(crate) fn reap(child: Pid) -> nix::Result<Option<Ending>> {
    let mut status = 0;
    // SAFETY: `status` lives through the call.
    let reaped = Errno::result(unsafe { libc::waitpid(child.as_raw(), &mut status, libc::WNOHANG) })?;
    Ok(match reaped {
        0 => None,
        _ if libc::WIFEXITED(status) => Some(Ending::Code(libc::WEXITSTATUS(status))),
        _ => Some(Ending::Signal(libc::WTERMSIG(status))),
    })
}
