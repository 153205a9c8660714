//! The program that a pump or a relay waits for, through its local moves.
//!
//! ```text
//!  keeper                    the program             its child
//!   │                          │  moves: Commit ─────▶ │
//!   │ ◀── Moved, its line ──── │                       │
//!   │ ─── Adopted ───────────▶ │                       │
//!   │                          ▼  ends                 │
//!   │ ◀──────────────────────────── its child now ──── │
//! ```
//!
//! With a move through a command of this machine the child is the command, which has become the relay of the program.
//! That has nothing to do that the keeper does not do as well, if it is alone there: it hands the program on (Leave), and ends
//! before the one whose place it is.
//!
//! The kernel gives the children of a process that ends to its nearest ancestor that asked for
//! them (`prctl(2)`, PR_SET_CHILD_SUBREAPER). We ask for the time between Adopted and that end, so
//! daemons that the program leaves behind go where they always went.

use crate::channel::Channel;
use crate::error::ChannelError;
use crate::fd;
use crate::handshake::out_of_turn;
use crate::packet::{Kind, NO, YES};
use crate::spawn::{Child, Ending};
use crate::wait::Wait;
use nix::sys::prctl;
use nix::unistd::Pid;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// A process that we wait for, and the line to it.
#[derive(Debug)]
pub(crate) struct Ward {
    child: Child,
    line: Option<Channel>,
    /// The one before, which has handed its place on and is about to end.
    leaving: Option<(Child, Option<Adopting>)>,
}

impl Ward {
    pub(crate) fn new(child: Child, line: Option<OwnedFd>) -> Ward {
        Ward {
            child,
            line: line.map(Channel::over_socket),
            leaving: None,
        }
    }

    /// Of a process that another one waits for by now.
    pub(crate) fn handed_on(child: Pid) -> Ward {
        Ward {
            leaving: Some((Child::adopt(child), None)),
            ..Ward::new(Child::adopt(child), None)
        }
    }

    /// The process and the line to it, to be handed on, if it is not about to change.
    pub(crate) fn to_hand_on(&self) -> Option<(Pid, BorrowedFd<'_>)> {
        let is_settled = self.leaving.is_none() && self.child.as_foreign().is_none();
        self.line().filter(|_| is_settled).map(|line| (self.pid(), line))
    }

    pub(crate) fn pid(&self) -> Pid {
        self.child.pid()
    }

    /// What to poll for something to [`Ward::listen`] to.
    pub(crate) fn line(&self) -> Option<BorrowedFd<'_>> {
        self.line.as_ref().map(Channel::input)
    }

    /// What to poll beside SIGCHLD for an end.
    pub(crate) fn end_line(&self) -> Option<BorrowedFd<'_>> {
        match &self.leaving {
            Some((leaving, _)) => leaving.end_line(),
            None => self.child.end_line(),
        }
    }

    /// Takes what the program says.
    pub(crate) fn listen(&mut self) {
        if self.hear().is_err() {
            // It has ended, or has closed its descriptors.
            self.line = None;
        }
    }

    fn hear(&mut self) -> Result<(), ChannelError> {
        let line = self.line.as_mut().ok_or(ChannelError::Gone)?;
        let never = &mut || false;
        let mut wait = Wait::new(never);
        let (packet, mut attached) = line.receive_with(&mut wait)?;
        let said = match (packet.kind, <[u8; 4]>::try_from(packet.body.as_slice())) {
            (Kind::Moved, Ok(number)) => Pid::from_raw(i32::from_le_bytes(number)),
            (kind, _) => return Err(out_of_turn(kind, "Moved").into()),
        };
        let child = match (self.leaving.is_none(), attached.len()) {
            (true, 1) => self.adopted(said),
            (true, 3) => foreign(said, &mut attached).map(|child| (child, None)),
            _ => None,
        };
        let (Some(theirs), Some((child, adopting))) = (attached.pop(), child) else {
            return self.answer(NO, &mut wait);
        };
        self.answer(YES, &mut wait)?;
        let leaving = std::mem::replace(&mut self.child, child);
        self.leaving = Some((leaving, adopting));
        self.line = Some(Channel::over_socket(theirs));
        Ok(())
    }

    /// The program's child, if it can be ours: it comes to us from a descendant only.
    fn adopted(&self, said: Pid) -> Option<(Child, Option<Adopting>)> {
        if self.child.as_foreign().is_some() || !self.is_its_child(said) {
            return None;
        }
        Some((Child::adopt(said), Some(Adopting::begin().ok()?)))
    }

    fn answer(&mut self, answer: u8, wait: &mut Wait<'_>) -> Result<(), ChannelError> {
        let line = self.line.as_mut().ok_or(ChannelError::Gone)?;
        line.send(Kind::Adopted, &[answer], wait)
    }

    /// Whether a number means a child of the program here, or of a command that is one: process numbers of another
    /// namespace mean other processes.
    fn is_its_child(&self, number: Pid) -> bool {
        let parent = parent_of(number);
        let itself = Some(self.child.pid());
        parent == itself || parent.and_then(parent_of) == itself
    }

    /// Whether the program has ended, and then how; the inner `None` if somebody else reaped it.
    pub(crate) fn try_wait(&mut self) -> Option<Option<Ending>> {
        if let Some((leaving, _)) = &mut self.leaving {
            // Until then the new one is not our child.
            leaving.try_wait()?;
            self.leaving = None;
        }
        self.child.try_wait()
    }

    /// Sends a signal unless it has ended.
    pub(crate) fn signal(&mut self, number: i32) {
        match self.leaving {
            // Not reaped by us, nor by the one that is leaving: it does not wait any more.
            Some(_) => self.child.send(number),
            None => self.child.signal(number),
        }
    }
}

/// A server's child, of which the last two that are attached are its pidfd and the server's line.
fn foreign(said: Pid, attached: &mut Vec<OwnedFd>) -> Option<Child> {
    let (status, process) = (attached.pop()?, attached.pop()?);
    (fd::number_of_process(&process) == Some(said)).then(|| Child::foreign(said, process, status))
}

/// While there is one, the children of a descendant that ends become ours.
///
/// It is a setting of the process, and one that goes with several programs may be adopting for one
/// of them when it is done with another.
#[derive(Debug)]
struct Adopting(());

/// How many there are.
static ADOPTING: Mutex<usize> = Mutex::new(0);

impl Adopting {
    fn begin() -> nix::Result<Adopting> {
        let mut count = ADOPTING.lock().unwrap_or_else(PoisonError::into_inner);
        if *count == 0 {
            prctl::set_child_subreaper(true)?;
        }
        *count += 1;
        Ok(Adopting(()))
    }
}

impl Drop for Adopting {
    fn drop(&mut self) {
        let mut count = ADOPTING.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            // The kernel refuses this of no process.
            let _ = prctl::set_child_subreaper(false);
        }
    }
}

/// The parent of a process, from `/proc/PID/stat`: the word after the name, which is in
/// parentheses and may have any, and the state.
pub(crate) fn parent_of(process: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok().map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_adoption_ends_the_adopting() {
        let first = Adopting::begin().unwrap();
        let second = Adopting::begin().unwrap();
        drop(first);
        assert_eq!(prctl::get_child_subreaper(), Ok(true));
        drop(second);
        assert_eq!(prctl::get_child_subreaper(), Ok(false));
    }
}
