//! The hand-off: a program is handed to a peer, or stays; nothing lost, never two.
//!
//! ```text
//!  home                                  peer
//!   │  start ──────────────────────────▶ │
//!   │ ◀──────────────── preamble, Hello  │   noise before the preamble is passed on
//!   │  does it fit?                      │
//!   │  preamble, Hello ────────────────▶ │
//!   │ (Stdio: descriptors 0, 1, 2) ────▶ │   over a socket through a local shell
//!   │                                    │
//!   │  capture, encode                   │
//!   │  Offer, payload ═════════════════▶ │   decodes while it arrives
//!   │ ◀────────────── Ready, or Failed   │
//!   │                                    │
//!   │  Commit ─────────────────────────▶ │   the program is there
//!   ▼  becomes a pump                    ▼  resumes
//! ```
//!
//! What each end may rely on:
//!
//! - Before Commit the program is at home. Whatever goes wrong, home's operation returns an error
//!   and the peer does nothing: it ends when the channel does, or is killed.
//! - Commit is one small packet, written at once or not at all. If the write failed, the program
//!   is at home. If it did not, home runs nothing of the program any more, even if nobody read it.
//! - The peer sends nothing between Ready and Commit, so home sees a peer that has died by then.
//! - Signals that the program should get, from home's decision on, wait in both processes until
//!   the pump and the program are there to take them.
//!
//! [`crate::home`] and [`crate::peer`] make each step a method of the value that the step before
//! returned, so a step out of order does not compile. Dropping such a value is giving up.

use crate::channel::{Channel, Unwritten};
use crate::error::ChannelError;
use crate::packet::{self, Kind, OfferBody};
use crate::wait::Wait;
use std::io::{self, BufWriter, IoSlice, Write};

/// Something that knows its length and can write itself.
pub trait PayloadSource {
    /// How many bytes [`write_to`](PayloadSource::write_to) writes.
    fn len(&self) -> u64;

    /// Writes the bytes. Large blocks are best written as they are, in one call each: they are not
    /// copied on their way.
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PayloadSource for &[u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self)
    }
}

/// Writes below this are gathered; larger ones go straight through.
const GATHER: usize = 128 << 10;

/// What becomes of a program that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Going {
    /// It is there from then on, and not at home.
    Moves,
    /// So many copies of it run there, and home goes on.
    Copies(u8),
    /// It runs there while home waits, and comes back.
    Guest,
}

/// Why an Offer did not go out as a whole.
pub(crate) enum OfferError {
    Channel(ChannelError),
    /// The peer has something to say already.
    PeerSpoke,
    /// The source gave up, or did not keep to its length.
    Source(io::Error),
}

/// Sends Offer and the payload.
pub(crate) fn send_offer(
    channel: &mut Channel,
    payload: &dyn PayloadSource,
    going: Going,
    wait: &mut Wait<'_>,
) -> Result<(), OfferError> {
    let mut bytes = Vec::new();
    let (copies, guest) = match going {
        Going::Moves => (0, false),
        Going::Copies(copies) => (copies, false),
        Going::Guest => (1, true),
    };
    let offer = OfferBody {
        length: payload.len(),
        copies,
        guest,
    };
    packet::append_value(&mut bytes, Kind::Offer, &offer)
        .map_err(|error| OfferError::Channel(error.into()))?;

    let mut sink = Sink {
        channel,
        wait,
        left: bytes.len() as u64,
        stopped: None,
    };
    let mut outcome = sink.write_all(&bytes);
    if outcome.is_ok() {
        sink.left = payload.len();
        let mut gathering = BufWriter::with_capacity(GATHER, &mut sink);
        outcome = payload.write_to(&mut gathering).and_then(|()| gathering.flush());
        drop(gathering.into_parts());
    }
    match (sink.stopped, outcome) {
        (Some(Unwritten::PeerSpoke), _) => Err(OfferError::PeerSpoke),
        (Some(Unwritten::Error(error)), _) => Err(OfferError::Channel(error)),
        (None, Err(error)) => Err(OfferError::Source(error)),
        (None, Ok(())) if sink.left > 0 => Err(OfferError::Source(wrong_length())),
        (None, Ok(())) => Ok(()),
    }
}

fn wrong_length() -> io::Error {
    io::Error::other("the payload is not as long as it said")
}

/// The channel as something to write to. What stops it is kept here: an `io::Error` cannot say it.
struct Sink<'a, 'w> {
    channel: &'a mut Channel,
    wait: &'a mut Wait<'w>,
    left: u64,
    stopped: Option<Unwritten>,
}

impl Write for Sink<'_, '_> {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(block)])
    }

    fn write_vectored(&mut self, blocks: &[IoSlice<'_>]) -> io::Result<usize> {
        let length: usize = blocks.iter().map(|block| block.len()).sum();
        if length as u64 > self.left {
            return Err(wrong_length());
        }
        if self.stopped.is_some() {
            return Err(io::Error::other("the channel is closed"));
        }
        let asked = self.wait.ask_now_and_then().map_err(Unwritten::Error);
        match asked.and_then(|()| self.channel.write_some(blocks, true, self.wait)) {
            Ok(written) => {
                self.left -= written as u64;
                Ok(written)
            }
            Err(unwritten) => {
                self.stopped = Some(unwritten);
                Err(io::Error::other("the channel is closed"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
