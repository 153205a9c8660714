//! Hello: who is at the other end, before anything is captured.
//!
//! Each end opens its direction of the channel with a preamble and a Hello packet. The preamble is
//! what the other end looks for among whatever a login prints first, and it carries the protocol's
//! version, so that ends of different versions can say so to their users.
//!
//! ```text
//! | 00 ff "pyteleport" 0d 0a | version: u16, little endian | Hello packet |
//! ```
//!
//! Version 0 is that of a far end without pyteleport, where a text speaks that home itself has put on
//! the command line: it says Bare in place of Hello, and what home answers is not a packet but source
//! and package, which that text runs. Then all begins anew.

use crate::channel::Channel;
use crate::error::{ChannelError, TransportError};
use crate::packet::{self, Kind, Packet};
use crate::side::write_standard;
use crate::wait::Wait;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Version of everything on the wire but the payload.
pub const PROTOCOL: u16 = 5;

/// No login banner begins like this, and a terminal or a text-mode pipe on the way would change it.
const MAGIC: [u8; 14] = *b"\x00\xffpyteleport\r\n";

/// Length of the preamble.
pub(crate) const PREAMBLE: usize = MAGIC.len() + 2;

/// What one end tells the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What runs there.
    pub build: BuildIdentity,
    /// Name of the machine.
    pub host: String,
    /// Number of the process, on that machine.
    pub pid: u32,
    /// The secret that its hashes depend on.
    pub hashes: Vec<u8>,
    /// The options that its interpreter was started with.
    pub options: Vec<String>,
}

/// What of an interpreter decides which programs it can take in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildIdentity {
    /// `sys.implementation.name`.
    pub implementation: String,
    /// Major, minor, micro.
    pub version: (u8, u8, u8),
    /// `sys.implementation.cache_tag`.
    pub cache_tag: String,
    /// `sys.platform`.
    pub platform: String,
    /// `platform.machine()`.
    pub machine: String,
    /// Version of pyteleport.
    pub pyteleport: String,
}

impl fmt::Display for BuildIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, micro) = self.version;
        write!(
            f,
            "{} {major}.{minor}.{micro} on {} {}",
            self.implementation, self.platform, self.machine
        )
    }
}

/// How each direction begins.
pub(crate) fn preamble() -> [u8; PREAMBLE] {
    let mut bytes = [0; PREAMBLE];
    bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
    bytes[MAGIC.len()..].copy_from_slice(&PROTOCOL.to_le_bytes());
    bytes
}

/// Opens our direction.
pub(crate) fn say_hello(
    channel: &mut Channel,
    hello: &Hello,
    wait: &mut Wait<'_>,
) -> Result<(), ChannelError> {
    let mut bytes = preamble().to_vec();
    packet::append_value(&mut bytes, Kind::Hello, hello)?;
    channel.write_all(&bytes, wait)
}

/// Reads the other end's preamble.
pub(crate) fn expect_preamble(channel: &mut Channel, wait: &mut Wait<'_>) -> Result<Opening, ChannelError> {
    let mut found = [0; PREAMBLE];
    channel.read_exact(&mut found, wait)?;
    Ok(Opening(found))
}

/// Reads the other end's preamble behind noise, which is passed on.
pub(crate) fn find_preamble(channel: &mut Channel, wait: &mut Wait<'_>) -> Result<Opening, ChannelError> {
    let mut scanner = Scanner::default();
    let mut block = [0; 4 << 10];
    loop {
        let length = channel.read(&mut block, wait)?;
        if length == 0 {
            write_standard(1, &scanner.finish());
            return Err(ChannelError::Gone);
        }
        let scanned = scanner.feed(&block[..length]);
        write_standard(1, &scanned.noise);
        if let Some(rest) = scanned.rest {
            channel.give_back(rest);
            return expect_preamble(channel, wait);
        }
    }
}

/// Reads the other end's Hello.
pub(crate) fn expect_hello(channel: &mut Channel, wait: &mut Wait<'_>) -> Result<Hello, ChannelError> {
    let packet: Packet = channel.receive(wait)?;
    match packet.kind {
        Kind::Hello => Ok(packet.read()?),
        kind => Err(out_of_turn(kind, "Hello").into()),
    }
}

pub(crate) fn out_of_turn(found: Kind, expected: &'static str) -> crate::error::PacketError {
    crate::error::PacketError::OutOfTurn {
        found: found.name(),
        expected,
    }
}

/// The first bytes of the other end, where a preamble is due.
pub(crate) struct Opening([u8; PREAMBLE]);

impl Opening {
    /// Whether it is that of a Python without pyteleport.
    pub(crate) fn is_bare(&self) -> bool {
        self.0[..MAGIC.len()] == MAGIC && self.0[MAGIC.len()..] == [0, 0]
    }

    pub(crate) fn check(&self) -> Result<(), TransportError> {
        let (magic, version) = self.0.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(TransportError::NotPyteleport {
                found: self.0.escape_ascii().to_string(),
            });
        }
        match u16::from_le_bytes([version[0], version[1]]) {
            PROTOCOL => Ok(()),
            theirs => Err(TransportError::Protocol {
                theirs,
                ours: PROTOCOL,
            }),
        }
    }
}

/// Looks for the magic bytes in a stream that begins with noise.
#[derive(Default)]
pub(crate) struct Scanner {
    /// Bytes that may be the beginning of the magic bytes.
    kept: Vec<u8>,
}

/// What a block of the stream was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// To pass on.
    pub noise: Vec<u8>,
    /// From the magic bytes on, once they were there.
    pub rest: Option<Vec<u8>>,
}

impl Scanner {
    pub(crate) fn feed(&mut self, block: &[u8]) -> Scanned {
        self.kept.extend(block);
        let found = self.kept.windows(MAGIC.len()).position(|window| window == MAGIC);
        if let Some(start) = found {
            let rest = self.kept.split_off(start);
            return Scanned {
                noise: std::mem::take(&mut self.kept),
                rest: Some(rest),
            };
        }
        let begun = (0..MAGIC.len())
            .rev()
            .find(|&length| self.kept.ends_with(&MAGIC[..length]));
        let rest = self.kept.split_off(self.kept.len() - begun.unwrap_or(0));
        Scanned {
            noise: std::mem::replace(&mut self.kept, rest),
            rest: None,
        }
    }

    /// What was kept back, when nothing follows.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(blocks: &[&[u8]]) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut scanner = Scanner::default();
        let mut noise = Vec::new();
        for block in blocks {
            let scanned = scanner.feed(block);
            noise.extend(scanned.noise);
            if scanned.rest.is_some() {
                return (noise, scanned.rest);
            }
        }
        noise.extend(scanner.finish());
        (noise, None)
    }

    #[test]
    fn noise_before_the_preamble_is_kept_apart_wherever_the_blocks_are_cut() {
        let mut stream = b"Welcome\x00\xff\x00\xffpytele\n".to_vec();
        let noise = stream.clone();
        stream.extend(preamble());
        stream.extend(b"hello");
        for cut in 0..=stream.len() {
            let (head, tail) = stream.split_at(cut);
            let (found, rest) = scan(&[head, tail]);
            assert_eq!(found, noise, "cut at {cut}");
            let mut rest = rest.unwrap();
            if cut >= noise.len() + MAGIC.len() {
                rest.extend(tail); // the scanner stopped at the first block
            }
            assert_eq!(rest, &stream[noise.len()..], "cut at {cut}");
        }
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(scan(&single), (noise, Some(MAGIC.to_vec())));
    }

    #[test]
    fn noise_without_a_preamble_is_passed_on_whole_and_in_time() {
        let mut scanner = Scanner::default();
        assert_eq!(scanner.feed(b"login: ").noise, b"login: ");
        assert_eq!(scanner.feed(b"almost \x00\xffpyteleport\r").noise, b"almost ");
        assert_eq!(scanner.finish(), b"\x00\xffpyteleport\r");
    }

    #[test]
    fn other_magic_bytes_and_other_versions_are_told_apart() {
        assert!(Opening(preamble()).check().is_ok());
        assert!(matches!(
            Opening(*b"HTTP/1.1 400 Bad").check(),
            Err(TransportError::NotPyteleport { .. })
        ));
        let mut newer = preamble();
        newer[MAGIC.len()] = 9;
        let refusal = Opening(newer).check().unwrap_err();
        assert!(matches!(
            refusal,
            TransportError::Protocol {
                theirs: 9,
                ours: PROTOCOL
            }
        ));
    }
}
