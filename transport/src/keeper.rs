//! Who waits for this process and speaks for it: a pump at home, or the relay of a command.
//!
//! A program that has arrived keeps its line to that process. When it moves on to a child of its
//! own on the same machine, it says so there; the keeper then waits for the new process, and this
//! one need not stay as one more pump. The keeper's side is [`crate::ward`].

use crate::channel::Channel;
use crate::fd;
use crate::packet::{self, Kind};
use crate::packet::{NO, YES};
use crate::relay::pass_on_signal;
use crate::signals::Incoming;
use crate::spawn::Child;
use crate::wait::Wait;
use crate::ward::{parent_of, Ward};
use nix::unistd::{getpid, getsid, Pid};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a relay may take to end before it is looked for again.
const PATIENCE: Duration = Duration::from_secs(1);

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
    if leads_session() {
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

/// The end of a session's leader is felt by all of its session.
pub(crate) fn leads_session() -> bool {
    getsid(None).is_ok_and(|session| session == getpid())
}

/// As [`hand_over`], of a program behind a command of this machine, whose channel this is: the process of the program, if the
/// keeper has it once this process ends. The command has ended then.
pub(crate) fn hand_over_behind(command: &mut Child, channel: &mut Channel) -> Option<Pid> {
    if leads_session() || line().is_none() {
        return None;
    }
    let never = &mut || false;
    let mut wait = Wait::new(never);
    channel.send(Kind::Leave, &[], &mut wait).ok()?;
    // It may have ended: that stays for the pump to read.
    if !matches!(channel.peek(&mut wait).ok()?, Some(Kind::Moved | Kind::Adopted)) {
        return None;
    }
    let (packet, attached) = channel.receive_with(&mut wait).ok()?;
    let ([line], Ok(number)) = (attached.as_slice(), <[u8; 4]>::try_from(packet.body.as_slice())) else {
        return None;
    };
    let program = Child::adopt(Pid::from_raw(i32::from_le_bytes(number)));
    // What is between the two was started for a reason.
    let is_alone = parent_of(program.pid()) == Some(command.pid());
    let handed = is_alone && hand_over(&program, line.as_fd());
    let told = channel.send(Kind::Adopted, &[if handed { YES } else { NO }], &mut wait);
    if !handed {
        return None;
    }
    // It must not be left to the keeper, which would take it for the parent of the program. It ends when it has heard, or
    // has died.
    while told.is_ok() && command.wait_within(PATIENCE).is_none() {}
    Some(program.pid())
}

/// Passes on the signals for the program that have reached this process, which is about to end.
pub(crate) fn pass_on_signals(program: Pid) {
    let mut program = Ward::handed_on(program);
    let Ok(signals) = Incoming::new() else { return };
    while let Some(came) = signals.next() {
        pass_on_signal(&mut program, came);
    }
}
