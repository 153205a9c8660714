//! Who waits for this process and speaks for it: a pump at home, or the relay of a command.
//!
//! A program that has arrived keeps its line to that process. When it moves on to a child of its
//! own on the same machine, it says so there; the keeper then waits for the new process, and this
//! one need not stay as one more pump. The keeper's side is [`crate::ward`].

use crate::channel::Channel;
use crate::fd;
use crate::packet::{self, Kind};
use crate::relay::pass_on_signal;
use crate::signals::Incoming;
use crate::spawn::Child;
use crate::wait::Wait;
use crate::ward::Ward;
use nix::unistd::{getpid, getsid, Pid};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

/// The keeper of this process, if a program came into it. Set once, by [`remember`].
static KEEPER: Mutex<Option<Keeper>> = Mutex::new(None);

/// A line to the keeper. The program may close any descriptor, and fork: the line is ours as long
/// as the number still means this socket, in this process.
#[derive(Debug, Clone, Copy)]
struct Keeper {
    number: RawFd,
    inode: u64,
    owner: Pid,
}

/// Keeps the line for as long as this process lives.
pub(crate) fn remember(line: OwnedFd) {
    let Ok(line) = fd::duplicate_above(&line, fd::HIGH).or_else(|_| fd::duplicate(&line)) else {
        return; // this process will stay as a pump
    };
    let Ok(inode) = fd::inode(&line) else { return };
    let keeper = Keeper {
        number: line.into_raw_fd(),
        inode,
        owner: getpid(),
    };
    *KEEPER.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
}

/// The line, if it still is one.
fn line() -> Option<Channel> {
    let keeper = (*KEEPER.lock().unwrap_or_else(PoisonError::into_inner))?;
    let line = match keeper.owner == getpid() {
        true => fd::copy_of_socket(keeper.number, keeper.inode)?,
        false => return None,
    };
    Some(Channel::over_socket(line))
}

/// Has the keeper of this process wait for `child`, to which `theirs` leads, in its place. True
/// says that it does, and has the child once this process ends.
pub(crate) fn hand_over(child: &Child, theirs: BorrowedFd<'_>) -> bool {
    // The end of a session's leader is felt by all of its session.
    let leads_session = getsid(None).is_ok_and(|session| session == getpid());
    if leads_session {
        return false;
    }
    let Some(mut line) = line() else { return false };
    let never = &mut || false;
    let mut wait = Wait::new(never);
    let body = child.pid().as_raw().to_le_bytes();
    let mut attached = vec![theirs.as_raw_fd()];
    if let Some(foreign) = child.as_foreign() {
        attached.extend([foreign.process.as_raw_fd(), foreign.status.as_raw_fd()]);
    }
    line.send_with(Kind::Moved, &body, &attached, &mut wait)
        .and_then(|()| line.receive(&mut wait))
        .is_ok_and(|packet| packet.kind == Kind::Adopted && packet.body == [packet::YES])
}

/// Passes on the signals for the program that have reached this process, whose child it still is.
pub(crate) fn pass_on_signals(program: Child) {
    let mut program = Ward::new(program, None);
    let Ok(signals) = Incoming::new() else { return };
    while let Some(came) = signals.next() {
        pass_on_signal(&mut program, came);
    }
}
