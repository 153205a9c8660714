//! Packets: the units on a channel.
//!
//! ```text
//! | kind: u8 | length: u32, little endian | length bytes |
//! ```
//!
//! The length is checked against the kind's limit before anything is allocated. The bytes of a
//! payload are not packets: they follow their Offer as they are.

use crate::error::PacketError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Bytes before the body.
pub(crate) const HEADER: usize = 5;

/// The most bytes of a stream in one packet.
pub(crate) const STREAM_BLOCK: usize = 64 << 10;

/// Answers in a body of one byte.
pub(crate) const YES: u8 = 1;
pub(crate) const NO: u8 = 0;

/// What a packet is. Zero is none, so that zeroed bytes are an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Who is there: [`crate::Hello`].
    Hello = 1,
    /// Home's standard descriptors, attached to the packet; which ones is in the body.
    Stdio = 2,
    /// What the payload is, which follows: [`OfferBody`].
    Offer = 3,
    /// The peer has decoded everything and waits for Commit: [`ReadyBody`].
    Ready = 4,
    /// The peer could not: [`Failed`].
    Failed = 5,
    /// From here on the program is there.
    Commit = 6,
    /// Bytes of a stream; the first byte of the body says which.
    Data = 7,
    /// The writing end of a stream was closed.
    End = 8,
    /// The reading end of a stream was closed.
    Closed = 9,
    /// So many bytes more of a stream may be sent.
    Credit = 10,
    /// A signal for the program: [`SignalBody`].
    Signal = 11,
    /// How the program ended: [`ExitBody`].
    Exit = 12,
    /// From a program to who waits for it: it is in another process now. The body is that one's
    /// number, in four bytes, and the line to it is attached.
    Moved = 13,
    /// Whether that one is waited for now: [`YES`] or [`NO`].
    Adopted = 14,
    /// How a copy of a program ended: [`CopyExit`].
    CopyExit = 15,
    /// A signal for a copy: [`CopySignal`].
    CopySignal = 16,
    /// From a Python that has no pyteleport: what it is, in lines.
    Bare = 17,
    /// The size of home's terminal: [`crate::terminal::Size`].
    Window = 18,
    /// The program was stopped at its terminal.
    Stopped = 19,
    /// From the far end: whether home is there. The body is a number, in four bytes.
    Ask = 20,
    /// It is; with the same number.
    Answer = 21,
    /// From one that has moved behind a command of this machine: whether the relay need stay, which says Moved, or
    /// Adopted with [`NO`].
    Leave = 22,
}

impl Kind {
    pub(crate) const ALL: [Kind; 22] = [
        Kind::Hello,
        Kind::Stdio,
        Kind::Offer,
        Kind::Ready,
        Kind::Failed,
        Kind::Commit,
        Kind::Data,
        Kind::End,
        Kind::Closed,
        Kind::Credit,
        Kind::Signal,
        Kind::Exit,
        Kind::Moved,
        Kind::Adopted,
        Kind::CopyExit,
        Kind::CopySignal,
        Kind::Bare,
        Kind::Window,
        Kind::Stopped,
        Kind::Ask,
        Kind::Answer,
        Kind::Leave,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Hello => "Hello",
            Kind::Stdio => "Stdio",
            Kind::Offer => "Offer",
            Kind::Ready => "Ready",
            Kind::Failed => "Failed",
            Kind::Commit => "Commit",
            Kind::Data => "Data",
            Kind::End => "End",
            Kind::Closed => "Closed",
            Kind::Credit => "Credit",
            Kind::Signal => "Signal",
            Kind::Exit => "Exit",
            Kind::Moved => "Moved",
            Kind::Adopted => "Adopted",
            Kind::CopyExit => "CopyExit",
            Kind::CopySignal => "CopySignal",
            Kind::Bare => "Bare",
            Kind::Window => "Window",
            Kind::Stopped => "Stopped",
            Kind::Ask => "Ask",
            Kind::Answer => "Answer",
            Kind::Leave => "Leave",
        }
    }

    /// The longest body of this kind.
    pub(crate) fn limit(self) -> usize {
        match self {
            Kind::Hello | Kind::Bare => 64 << 10,
            Kind::Failed => 256 << 10,
            Kind::Data => 1 + STREAM_BLOCK,
            Kind::Stdio | Kind::End | Kind::Closed | Kind::Adopted => 1,
            Kind::Moved | Kind::Ask | Kind::Answer => 4,
            Kind::Credit => 5,
            Kind::Ready => 1 << 10,
            Kind::Commit | Kind::Stopped | Kind::Leave => 0,
            Kind::Signal | Kind::CopySignal | Kind::CopyExit => 1 << 10,
            Kind::Offer | Kind::Exit | Kind::Window => 64,
        }
    }
}

/// One packet, taken off a channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub kind: Kind,
    pub body: Vec<u8>,
}

impl Packet {
    /// The body as what a body of this kind says.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, PacketError> {
        read_body(self.kind, &self.body)
    }
}

pub(crate) fn read_body<T: DeserializeOwned>(kind: Kind, body: &[u8]) -> Result<T, PacketError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(PacketError::Body { kind: kind.name() }),
    }
}

/// Kind and length of the packet that begins with these bytes, if both can be.
pub(crate) fn read_header(header: &[u8; HEADER]) -> Result<(Kind, usize), PacketError> {
    let [number, length @ ..] = *header;
    let kind = *Kind::ALL
        .iter()
        .find(|kind| **kind as u8 == number)
        .ok_or(PacketError::UnknownKind(number))?;
    let length = u32::from_le_bytes(length) as usize;
    check_length(kind, length)?;
    Ok((kind, length))
}

fn check_length(kind: Kind, length: usize) -> Result<(), PacketError> {
    match length > kind.limit() {
        false => Ok(()),
        true => Err(PacketError::TooLarge {
            kind: kind.name(),
            length: length as u64,
            limit: kind.limit() as u64,
        }),
    }
}

/// Appends a packet to `out`; the body is what `write` appends.
pub(crate) fn append(
    out: &mut Vec<u8>,
    kind: Kind,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<(), PacketError> {
    let start = out.len();
    out.extend([kind as u8, 0, 0, 0, 0]);
    write(out);
    let length = out.len() - start - HEADER;
    if let Err(error) = check_length(kind, length) {
        out.truncate(start);
        return Err(error);
    }
    out[start + 1..start + HEADER].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(())
}

/// Appends a packet whose body is a value.
pub(crate) fn append_value<T: Serialize>(
    out: &mut Vec<u8>,
    kind: Kind,
    value: &T,
) -> Result<(), PacketError> {
    let body = postcard::to_stdvec(value).map_err(|_| PacketError::Body { kind: kind.name() })?;
    append(out, kind, |out| out.extend(body))
}

/// Body of Offer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OfferBody {
    /// Bytes of the payload.
    pub length: u64,
    /// How many copies are to be made of the program; none if it moves.
    pub copies: u8,
    /// Whether the one copy is a guest: home waits for it to come back.
    pub guest: bool,
}

/// Body of Ready.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadyBody {
    /// The processes of the copies.
    pub copies: Vec<i32>,
    /// Of a guest elsewhere: it ends when home has not been heard of for so many milliseconds.
    pub lease: u32,
}

/// Body of CopyExit.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopyExit {
    pub copy: u8,
    pub ending: ExitBody,
}

/// Body of CopySignal.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopySignal {
    pub copy: u8,
    pub name: String,
    /// Of a signal from home's terminal: the process group that got it.
    pub group: Option<Group>,
}

/// Body of Failed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub kind: String,
    pub text: String,
}

/// Body of Signal. A name, since numbers differ between architectures.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignalBody {
    pub name: String,
    /// Of a signal from home's terminal: the process group that got it.
    pub group: Option<Group>,
}

/// A process group, anywhere.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Which running system, and which process numbers in it.
    pub system: String,
    pub number: i32,
}

/// Body of Exit.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ExitBody {
    Code(i32),
    Signal(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_from_its_number() {
        for kind in Kind::ALL {
            let mut bytes = Vec::new();
            append(&mut bytes, kind, |_| ()).unwrap();
            assert_eq!(
                read_header(bytes.as_slice().try_into().unwrap()).unwrap(),
                (kind, 0)
            );
        }
    }

    #[test]
    fn zeroed_and_unknown_kinds_are_refused() {
        for number in [0, 23, 255] {
            let refusal = read_header(&[number, 0, 0, 0, 0]).unwrap_err();
            assert!(matches!(refusal, PacketError::UnknownKind(n) if n == number));
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_from_the_header_alone() {
        for kind in Kind::ALL {
            let mut header = [kind as u8, 0, 0, 0, 0];
            header[1..].copy_from_slice(&(kind.limit() as u32 + 1).to_le_bytes());
            assert!(
                matches!(read_header(&header), Err(PacketError::TooLarge { .. })),
                "{kind:?}"
            );
            header[1..].copy_from_slice(&u32::MAX.to_le_bytes());
            assert!(
                matches!(read_header(&header), Err(PacketError::TooLarge { .. })),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_body_over_the_limit_is_not_appended() {
        let mut out = b"before".to_vec();
        let refusal = append(&mut out, Kind::Credit, |out| out.extend([0; 6]));
        assert!(matches!(refusal, Err(PacketError::TooLarge { .. })));
        assert_eq!(out, b"before");
    }

    #[test]
    fn a_body_with_bytes_left_over_is_refused() {
        let body = [postcard::to_stdvec(&7u64).unwrap(), vec![0]].concat();
        assert!(read_body::<u64>(Kind::Offer, &body).is_err());
        assert_eq!(read_body::<u64>(Kind::Offer, &body[..1]).unwrap(), 7);
    }
}
