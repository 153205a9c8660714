//! A snapshot's bytes. All numbers are little-endian.
//!
//! ```text
//!     magic     8 bytes
//!     format    u16       of everything behind the header
//!     length    u32       of the header
//!     header              who made it, then how long each section is (postcard)
//!     checksum  u32       of all of the above
//!     frames    section   the Snapshot (postcard)
//!     buffers   sections  one for each big buffer that travels out of band
//!     graph     section   the objects, as records
//!
//!     section:  blocks of 1 MiB, the last one shorter
//!     block:    length u32 | checksum u32 | its bytes
//! ```
//!
//! Any version reads the header of any other ([`Header`] says what holds for ever), so an old
//! payload can still say who made it. Nothing is interpreted before its checksum was compared, no
//! length is believed before memory is asked for, and what is big is neither copied on its way out
//! nor on its way in.
//!
//! - `header`: what stands first
//! - `writer` and `reader`: the same sections in the same order
//! - [`records`]: what the graph is made of
//! - [`sizes`]: how much of it each variable takes

mod header;
mod reader;
pub mod records;
pub mod sizes;
mod writer;

pub use header::{BuildIdentity, Header, Start};
pub use reader::{GraphReader, PayloadReader};
pub use writer::PayloadWriter;

use std::fmt;
use std::io;

/// What every payload begins with. The high bit and the line ends show a transfer as text.
pub const MAGIC: [u8; 8] = *b"\x89tport\r\n";
/// The format that this version writes, and the only one whose sections it reads.
pub const FORMAT: u16 = 4;

/// Bytes of a section that are checked together.
const BLOCK: usize = 1 << 20;
/// Length and checksum in front of a block.
const BLOCK_HEAD: usize = 8;
/// No header is longer.
const HEADER_LIMIT: u32 = 16 << 20;
/// No frames section is longer.
const FRAMES_LIMIT: u64 = 1 << 30;

/// A part of the payload, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Everything up to the header's checksum.
    Header,
    /// The snapshot.
    Frames,
    /// A buffer that travels out of band, counted from 0.
    Buffer(usize),
    /// The objects.
    Graph,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Section::Header => f.write_str("header"),
            Section::Frames => f.write_str("frames section"),
            Section::Buffer(index) => write!(f, "buffer {index}"),
            Section::Graph => f.write_str("object graph"),
        }
    }
}

/// Why bytes could not be read as a payload, or a payload not be put into bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The first bytes are not those of a payload.
    #[error("this is not a pyteleport payload")]
    NotAPayload,
    /// The sections are in a format of another version.
    #[error(
        "the payload has format {found}, made by pyteleport {made_by}; this version reads format {FORMAT}"
    )]
    Version {
        /// The payload's format.
        found: u16,
        /// The version of pyteleport that made it.
        made_by: String,
    },
    /// The bytes end too early.
    #[error("the payload ends within its {section}")]
    Truncated {
        /// Where.
        section: Section,
    },
    /// The bytes are not those that were written.
    #[error("the payload's {section} is damaged")]
    Checksum {
        /// Where.
        section: Section,
    },
    /// A length beyond what is sane.
    #[error("the payload's {section} claims {length} bytes, more than the {limit} that it may have")]
    TooLarge {
        /// Where.
        section: Section,
        /// The length in the payload.
        length: u64,
        /// The most there can be.
        limit: u64,
    },
    /// The lengths in the header do not add up to what there is.
    #[error("the payload's header claims {declared} bytes in all, but there are {found}")]
    Total {
        /// By the header.
        declared: u64,
        /// As the transport or the file says.
        found: u64,
    },
    /// The bytes arrived as they were written, and still make no sense.
    #[error("the payload's {section} cannot be decoded")]
    Decode {
        /// Where.
        section: Section,
        /// What the decoder says.
        #[source]
        source: postcard::Error,
    },
    /// The frames section holds more than a snapshot.
    #[error("the payload's {section} has {count} bytes too many")]
    Excess {
        /// Where.
        section: Section,
        /// How many are left.
        count: usize,
    },
    /// A value that has no bytes.
    #[error("the {section} cannot be encoded")]
    Encode {
        /// Which part.
        section: Section,
        /// What the encoder says.
        #[source]
        source: postcard::Error,
    },
    /// A section was asked for out of its turn, or after reading it failed.
    #[error("the payload's {section} is not what comes next")]
    Order {
        /// What was asked for.
        section: Section,
    },
    /// A buffer was to be read into memory of another size.
    #[error("the payload's {section} has {length} bytes, and the place for it {place}")]
    Place {
        /// Which buffer.
        section: Section,
        /// Its length.
        length: u64,
        /// The length of the memory.
        place: u64,
    },
    /// The records of the graph make no sense.
    #[error("the payload's object graph is damaged: {what}")]
    Graph {
        /// What is wrong.
        what: &'static str,
    },
    /// The bytes could not be got.
    #[error("the payload's {section} could not be read")]
    Io {
        /// Where.
        section: Section,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

impl PayloadError {
    /// What a failed read means.
    fn reading(section: Section, source: io::Error) -> PayloadError {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => PayloadError::Truncated { section },
            _ => PayloadError::Io { section, source },
        }
    }
}

/// The bytes that a section of this length takes, with its blocks' heads.
fn framed(length: u64) -> Option<u64> {
    length.checked_add(length.div_ceil(BLOCK as u64).checked_mul(BLOCK_HEAD as u64)?)
}
