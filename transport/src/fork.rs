//! Fork and wait: the one place that makes a process out of this one, and asks how one ended.

use crate::spawn::Ending;
use nix::errno::Errno;
use nix::unistd::{fork, getppid, ForkResult, Pid};

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

/// Has this process be killed as soon as its parent, which is `parent`, ends.
pub(crate) fn end_with(parent: Pid) -> nix::Result<()> {
    // SAFETY: sets an attribute of this process; no memory is involved.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) })?;
    // It may have ended before.
    match getppid() == parent {
        true => Ok(()),
        false => Err(Errno::ESRCH),
    }
}

/// Reaps the children that have ended, up to the first that is `but`: processes of the program
/// that have become ours.
pub(crate) fn reap_others(but: Pid) {
    loop {
        // SAFETY: an all-zero `siginfo_t` is a valid one.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: `info` lives through the call.
        let found = Errno::result(unsafe { libc::waitid(libc::P_ALL, 0, &mut info, options) });
        // SAFETY: `waitid` filled in the child's number, or left the zero.
        let child = Pid::from_raw(unsafe { info.si_pid() });
        if found.is_err() || child.as_raw() == 0 || child == but || reap(child).is_err() {
            return;
        }
    }
}

/// Whether this process, which has one thread, has that child and no other; no, where the kernel does not tell.
pub(crate) fn has_only(child: Pid) -> bool {
    let own = std::process::id();
    let children = std::fs::read_to_string(format!("/proc/self/task/{own}/children"));
    children.is_ok_and(|text| text.split_whitespace().eq([child.to_string().as_str()]))
}

/// Whether a child has been stopped since this was asked last.
pub(crate) fn has_stopped(child: Pid) -> bool {
    // SAFETY: an all-zero `siginfo_t` is a valid one.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let Ok(number) = libc::id_t::try_from(child.as_raw()) else {
        return false;
    };
    // SAFETY: `info` lives through the call, which fills in the child's number, or leaves the zero.
    unsafe {
        let options = libc::WSTOPPED | libc::WNOHANG;
        libc::waitid(libc::P_PID, number, &mut info, options) == 0 && info.si_pid() != 0
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
