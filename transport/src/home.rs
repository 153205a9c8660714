//! Home's side of the hand-off.

use crate::channel::Channel;
use crate::command::ReceiveCommand;
use crate::copies::CommittedCopies;
use crate::error::{ChannelError, TransportError};
use crate::fd::duplicate_standard;
use crate::handoff::{send_offer, Going, OfferError, PayloadSource};
use crate::handshake::{expect_preamble, find_preamble, out_of_turn, say_hello, Hello, Opening};
use crate::keeper;
use crate::packet::{Failed, Kind, Packet, ReadyBody};
use crate::pump::PumpArgs;
use crate::reach::{Link, Started};
use crate::signals::{self, Held};
use crate::spawn::Child;
use crate::wait::Wait;
use crate::warm::{self, Wanted};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal};
use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// A peer that was started. Dropping it ends it.
#[derive(Debug)]
pub struct Peer {
    started: Started,
    committed: bool,
}

impl Peer {
    /// Starts a local process. It inherits 0, 1 and 2 and one end of a socket, whose number
    /// replaces `{fd}` in `argv`. `env` sets (or with `None` unsets) variables beside those of
    /// this process.
    pub fn spawn_direct(
        argv: &[OsString],
        env: &[(OsString, Option<OsString>)],
    ) -> Result<Peer, TransportError> {
        Ok(Peer {
            started: Started::direct(argv, env)?,
            committed: false,
        })
    }

    /// Starts a command that leads to a peer: `argv`, and the shell command as one more argument.
    /// What it prints before the peer answers, and on standard error at any time, is passed on.
    pub fn spawn_command(argv: &[OsString], command: &ReceiveCommand) -> Result<Peer, TransportError> {
        Ok(Peer {
            started: Started::command(argv, command)?,
            committed: false,
        })
    }

    /// Takes a process of the server that listens at `path`, if there is one that fits. It has nothing of
    /// this process, but is in its process group.
    pub fn warm(path: &Path, wanted: &Wanted) -> Option<Peer> {
        Some(Peer {
            started: Started::warm(warm::take(path, wanted)?),
            committed: false,
        })
    }

    /// Whether it is a server's.
    pub fn is_warm(&self) -> bool {
        self.started.child.as_foreign().is_some()
    }

    /// Number of the process that was started.
    pub fn pid(&self) -> i32 {
        self.started.child.pid().as_raw()
    }

    /// Waits for the peer's Hello, has `check` say whether it fits (its text becomes the error),
    /// and answers with ours. `interrupted` is asked whenever a signal comes, and now and then.
    ///
    /// `bare`: what is sent to a Python without pyteleport, which has said what it is.
    pub fn hello(
        &mut self,
        ours: &Hello,
        check: impl FnOnce(&Hello) -> Result<(), String>,
        bare: impl FnOnce(&str) -> Result<Vec<u8>, TransportError>,
        interrupted: &mut dyn FnMut() -> bool,
    ) -> Result<Hello, TransportError> {
        self.started.find_way(interrupted)?;
        let mut opening = match self.with_channel(interrupted, expect_preamble) {
            Ok(opening) => opening,
            Err(error) => return Err(self.started.explain_start(error)),
        };
        if opening.is_bare() {
            opening = self.send_package(bare, interrupted)?;
        }
        opening.check()?;
        let theirs: Hello = match self.with_channel(interrupted, Channel::receive) {
            Ok(packet) if packet.kind == Kind::Hello => packet.read()?,
            Ok(packet) if packet.kind == Kind::Failed => return Err(failure(&packet)),
            Ok(packet) => return Err(out_of_turn(packet.kind, "Hello or Failed").into()),
            Err(error) => return Err(self.started.explain_start(error)),
        };
        check(&theirs).map_err(TransportError::Misfit)?;

        let passes_stdio = matches!(self.started.link, Link::Own { .. }) || self.is_warm();
        let answered = self.with_channel(interrupted, |channel, wait| {
            say_hello(channel, ours, wait)?;
            if passes_stdio {
                pass_stdio(channel, wait)?;
            }
            Ok(())
        });
        answered.map_err(|error| self.started.explain_loss(error, "after it said Hello"))?;
        Ok(theirs)
    }

    /// Has a Python without pyteleport run the one that `bare` gives; its opening.
    fn send_package(
        &mut self,
        bare: impl FnOnce(&str) -> Result<Vec<u8>, TransportError>,
        interrupted: &mut dyn FnMut() -> bool,
    ) -> Result<Opening, TransportError> {
        let during = "while pyteleport was sent there";
        let said = match self.with_channel(interrupted, Channel::receive) {
            Ok(packet) if packet.kind == Kind::Bare => packet.body,
            Ok(packet) => return Err(out_of_turn(packet.kind, "Bare").into()),
            Err(error) => return Err(self.started.explain_loss(error, during)),
        };
        let package = bare(&String::from_utf8_lossy(&said))?;
        let sent = self.with_channel(interrupted, |channel, wait| channel.write_all(&package, wait));
        sent.map_err(|error| self.started.explain_loss(error, during))?;
        self.started.sent_package = true;
        let opening = match self.with_channel(interrupted, find_preamble) {
            Ok(opening) => opening,
            Err(error) => return Err(self.started.explain_start(error)),
        };
        if !opening.is_bare() {
            return Ok(opening);
        }
        match self.with_channel(interrupted, Channel::receive) {
            Ok(packet) if packet.kind == Kind::Failed => Err(failure(&packet)),
            Ok(packet) => Err(out_of_turn(packet.kind, "Failed").into()),
            Err(error) => Err(self.started.explain_loss(error, during)),
        }
    }

    /// Sends the payload, and waits until the peer has taken it in. A peer that could not is
    /// [`TransportError::PeerFailed`].
    pub fn offer(
        mut self,
        payload: &dyn PayloadSource,
        going: Going,
        interrupted: &mut dyn FnMut() -> bool,
    ) -> Result<ReadyPeer, TransportError> {
        let mut source_error = None;
        let sent = self.with_channel(interrupted, |channel, wait| {
            match send_offer(channel, payload, going, wait) {
                Ok(()) | Err(OfferError::PeerSpoke) => Ok(()),
                // It may have said why before it went.
                Err(OfferError::Channel(ChannelError::Gone)) => Ok(()),
                Err(OfferError::Channel(error)) => Err(error),
                Err(OfferError::Source(error)) => {
                    source_error = Some(error);
                    Ok(())
                }
            }
        });
        if let Some(error) = source_error {
            return Err(TransportError::Payload(error));
        }
        let answer = sent.and_then(|()| self.with_channel(interrupted, Channel::receive));
        match answer {
            Ok(packet) if packet.kind == Kind::Ready => {
                let ReadyBody { copies, lease } = packet.read()?;
                // What was printed until now comes before what the program prints.
                self.started.side.drain();
                Ok(ReadyPeer {
                    peer: self,
                    going,
                    copies,
                    lease,
                })
            }
            Ok(packet) if packet.kind == Kind::Failed => Err(failure(&packet)),
            Ok(packet) => Err(out_of_turn(packet.kind, "Ready or Failed").into()),
            Err(error) => Err(self.started.explain_loss(error, "while it took the program in")),
        }
    }

    fn with_channel<T>(
        &mut self,
        interrupted: &mut dyn FnMut() -> bool,
        act: impl FnOnce(&mut Channel, &mut Wait<'_>) -> Result<T, ChannelError>,
    ) -> Result<T, ChannelError> {
        let channel = self.started.link.channel().ok_or(ChannelError::Gone)?;
        act(channel, &mut Wait::beside(&mut self.started.side, interrupted))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if !self.committed {
            self.started.end();
        }
    }
}

/// The peer's own words for why it cannot be done.
fn failure(packet: &Packet) -> TransportError {
    match packet.read() {
        Ok(Failed { kind, text }) => TransportError::PeerFailed { kind, text },
        Err(error) => error.into(),
    }
}

/// Passes our standard descriptors to a local peer that does not have them. The body says which
/// are open.
fn pass_stdio(channel: &mut Channel, wait: &mut Wait<'_>) -> Result<(), ChannelError> {
    let mut which = 0u8;
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for number in 0..=2 {
        match duplicate_standard(number) {
            Ok(fd) => {
                which |= 1 << number;
                descriptors.push(fd);
            }
            Err(Errno::EBADF) => {}
            Err(errno) => return Err(ChannelError::Io(errno.into())),
        }
    }
    let numbers: Vec<_> = descriptors.iter().map(|fd| fd.as_raw_fd()).collect();
    channel.send_with(Kind::Stdio, &[which], &numbers, wait)
}

/// A peer that has taken everything in and waits for Commit. Dropping it ends it.
#[derive(Debug)]
pub struct ReadyPeer {
    peer: Peer,
    going: Going,
    copies: Vec<i32>,
    lease: u32,
}

impl ReadyPeer {
    /// Says Commit: the program is there from then on. An error means that it was not said.
    ///
    /// Signals for the program are held in this thread from here on.
    pub fn commit(mut self, interrupted: &mut dyn FnMut() -> bool) -> Result<Committed, TransportError> {
        let held = Held::new().map_err(TransportError::io("hold signals"))?;
        let children_were_ignored = signals::stop_ignoring_children();
        match self.say_commit(interrupted) {
            Ok(()) => {
                self.peer.committed = true;
                Ok(Committed {
                    peer: self.peer,
                    _held: held,
                })
            }
            Err(error) => {
                if children_were_ignored {
                    let _ = signals::set_disposition(Signal::SIGCHLD, SigHandler::SigIgn);
                }
                held.release();
                Err(self
                    .peer
                    .started
                    .explain_loss(error, "before it was told to go on"))
            }
        }
    }

    /// Says Commit to a peer that has made copies: they run from then on, and home goes on. An error means
    /// that it was not said.
    pub fn commit_copies(
        mut self,
        interrupted: &mut dyn FnMut() -> bool,
    ) -> Result<CommittedCopies, TransportError> {
        match self.say_commit(interrupted) {
            Ok(()) => {
                self.peer.committed = true;
                let started = &mut self.peer.started;
                let link = std::mem::replace(&mut started.link, Link::Closed);
                let side = std::mem::take(&mut started.side.streams);
                let leader = started.child.pid();
                let guest = (self.going == Going::Guest).then_some(self.lease);
                Ok(CommittedCopies::new(self.copies, guest, leader, link, side))
            }
            Err(error) => Err(self
                .peer
                .started
                .explain_loss(error, "before it was told to go on")),
        }
    }

    fn say_commit(&mut self, interrupted: &mut dyn FnMut() -> bool) -> Result<(), ChannelError> {
        self.peer.with_channel(interrupted, |channel, wait| {
            // It has nothing to say now; if there is something, it is its end.
            if channel.is_readable(wait)? {
                let packet = channel.receive(wait)?;
                return Err(out_of_turn(packet.kind, "none").into());
            }
            channel.send(Kind::Commit, &[], wait)
        })
    }
}

/// The program is there; what is left here is a pump. Dropping it leaves the program on its own.
#[derive(Debug)]
pub struct Committed {
    peer: Peer,
    _held: Held,
}

impl Committed {
    /// Has signals come once more that have come to this process, for the program: they are passed on from here.
    pub fn raise_again(&self, numbers: &[i32]) {
        signals::raise_held(numbers);
    }

    /// Ends this process, if the program is on this machine and whoever waits for this process waits
    /// for it from now on; else gives back what there is for a pump.
    pub fn leave(mut self) -> Committed {
        let Started {
            child, link, side, ..
        } = &mut self.peer.started;
        let handed = match link {
            Link::Direct(channel) => keeper::hand_over(child, channel.input()).then(|| child.pid()),
            Link::Own { channel, .. } => keeper::hand_over_behind(child, channel),
            Link::Unknown(_) | Link::Stdio(_) | Link::Closed => None,
        };
        if let Some(program) = handed {
            side.drain();
            keeper::pass_on_signals(program);
            signals::exit_now(0);
        }
        self
    }

    /// What the pump goes on with, as the arguments of a process that replaces this one (same
    /// pid, by exec) and calls [`crate::pump::run`] with them; or of a call in this process.
    ///
    /// Its descriptors live on through exec from here on, the signals for the program stay held,
    /// and the interval timers of this process are stopped.
    pub fn into_pump_args(mut self) -> Result<Vec<OsString>, TransportError> {
        signals::stop_timers();
        let started = &mut self.peer.started;
        let link = std::mem::replace(&mut started.link, Link::Closed);
        let streams = std::mem::take(&mut started.side.streams);
        let kinds = (started.terminal, started.detach);
        let same = Child::adopt(started.child.pid());
        let child = std::mem::replace(&mut started.child, same);
        PumpArgs::new(child, link, streams, kinds)
            .and_then(PumpArgs::into_words)
            .map_err(TransportError::io("keep the channel for the pump"))
    }
}
