//! The peer's end of the channel to home, with what goes with it.

use crate::channel::Channel;
use crate::error::{ChannelError, PacketError, TransportError};
use crate::fd::{self, inherited};
use crate::handshake::{out_of_turn, preamble};
use crate::packet::{self, Failed, Kind, ReadyBody};
use crate::signals::Held;
use crate::wait::Wait;
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::os::fd::{AsFd, OwnedFd, RawFd};

/// The most of an error's text that is worth sending.
const TEXT: usize = 64 << 10;

/// The channel to home and what goes with it.
#[derive(Debug)]
pub(crate) struct Line {
    pub channel: Channel,
    pub way: Way,
    pub held: Held,
    /// Whether our direction has begun.
    pub opened: bool,
    /// To the relay, which listens for Commit.
    pub relay: Option<OwnedFd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// A child of home, with home's 0, 1 and 2.
    Direct,
    /// Behind a command, on its standard input and output.
    Stdio,
    /// Behind a command, on a socket of our own; home passes its 0, 1 and 2.
    Own,
    /// From a server; home passes its 0, 1 and 2.
    Warm,
}

impl Way {
    const WORDS: [(Way, &'static str); 4] = [
        (Way::Direct, "direct"),
        (Way::Stdio, "stdio"),
        (Way::Own, "own"),
        (Way::Warm, "warm"),
    ];

    pub(crate) fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(_, its)| *its == word)
            .map(|(way, _)| *way)
    }
}

/// The socket that home left open, if it is open here: the same number on another machine can
/// be anything, but not a socket with the same inode.
pub(crate) fn own_socket(number: RawFd, expected: u64) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    let socket = inherited(number).ok()?;
    match fd::is_socket(&socket) && fd::inode(&socket).is_ok_and(|inode| inode == expected) {
        true => Some(socket),
        false => {
            // Something else's: it stays as it was.
            let _ = fd::keep_on_exec(&socket, true);
            std::mem::forget(socket);
            None
        }
    }
}

impl Line {
    pub(crate) fn act<T>(
        &mut self,
        act: impl FnOnce(&mut Channel, &mut Wait<'_>) -> Result<T, ChannelError>,
    ) -> Result<T, TransportError> {
        act(&mut self.channel, &mut Wait::new(&mut || false)).map_err(at_peer)
    }

    /// Whether the relay, if there is to be one, has not died. Without it the program would be cut off from home,
    /// and home must not think that it is well here.
    fn has_way_home(&self) -> bool {
        let Some(relay) = &self.relay else { return true };
        // It says nothing before it has heard of Commit.
        let mut polled = [PollFd::new(relay.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut polled, PollTimeout::ZERO), Ok(0) | Err(Errno::EINTR))
    }

    /// Tells home that all is ready, if there is a way home.
    pub(crate) fn ready(&mut self, body: &ReadyBody) -> Result<(), TransportError> {
        if !self.has_way_home() {
            return Err(TransportError::HomeGaveUp);
        }
        // Those that a terminal sent to both of us until now are home's. From here on they wait for
        // the program, wherever it will be: home may say Commit, and pass on one, at any moment.
        self.held.discard();
        let mut bytes = Vec::new();
        packet::append_value(&mut bytes, Kind::Ready, body)?;
        self.act(|channel, wait| channel.write_all(&bytes, wait))
    }

    /// Waits for Commit.
    pub(crate) fn committed(&mut self) -> Result<(), TransportError> {
        let packet = self.act(Channel::receive)?;
        match packet.kind {
            Kind::Commit => Ok(()),
            kind => Err(out_of_turn(kind, "Commit").into()),
        }
    }

    /// Puts home's descriptors in the place of ours.
    pub(crate) fn take_stdio(&mut self) -> Result<(), TransportError> {
        let (packet, descriptors) = self.act(Channel::receive_with)?;
        let which = match (packet.kind, packet.body.as_slice()) {
            (Kind::Stdio, [which]) => *which,
            (Kind::Stdio, _) => {
                return Err(PacketError::Body {
                    kind: Kind::Stdio.name(),
                }
                .into())
            }
            (kind, _) => return Err(out_of_turn(kind, "Stdio").into()),
        };
        if which > 7 || which.count_ones() as usize != descriptors.len() {
            return Err(PacketError::Body {
                kind: Kind::Stdio.name(),
            }
            .into());
        }
        let mut descriptors = descriptors.into_iter();
        for number in 0..=2 {
            let placed = match (which & 1 << number, number) {
                (0, _) => nix::unistd::close(number),
                (_, 0) => descriptors.next().map_or(Ok(()), dup2_stdin),
                (_, 1) => descriptors.next().map_or(Ok(()), dup2_stdout),
                (_, _) => descriptors.next().map_or(Ok(()), dup2_stderr),
            };
            placed.map_err(TransportError::io("put home's descriptors in place"))?;
        }
        Ok(())
    }

    /// Tells home that it cannot be done.
    pub(crate) fn failed(mut self, kind: &str, text: &str) -> Result<(), TransportError> {
        let body = Failed {
            kind: shortened(kind),
            text: shortened(text),
        };
        let mut bytes = if self.opened {
            Vec::new()
        } else {
            preamble().to_vec()
        };
        packet::append_value(&mut bytes, Kind::Failed, &body)?;
        self.act(|channel, wait| channel.write_all(&bytes, wait))
    }
}

fn shortened(text: &str) -> String {
    let mut end = text.len().min(TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn at_peer(error: ChannelError) -> TransportError {
    match error {
        ChannelError::Gone => TransportError::HomeGaveUp,
        ChannelError::Interrupted => TransportError::Interrupted,
        ChannelError::Packet(PacketError::CutOff) => TransportError::HomeGaveUp,
        ChannelError::Packet(error) => TransportError::Packet(error),
        ChannelError::Io(source) => TransportError::Io {
            what: "use the channel",
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsRawFd, IntoRawFd};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "é".repeat(TEXT);
        assert_eq!(shortened(&text).len(), TEXT);
        assert_eq!(shortened(&format!("x{text}")).len(), TEXT - 1);
    }

    #[test]
    fn a_socket_of_that_number_that_is_another_is_left_alone() {
        let (one, other) = UnixStream::pair().unwrap();
        let inode = fd::inode(&one).unwrap();
        assert!(own_socket(other.as_raw_fd(), inode).is_none());
        assert!(fd::inode(&other).is_ok());
        assert!(own_socket(-1, inode).is_none() && own_socket(1 << 20, inode).is_none());
        assert!(own_socket(one.into_raw_fd(), inode).is_some());
    }
}
