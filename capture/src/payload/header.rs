//! What stands first in a payload, and can be read by itself.
//!
//! The header is a run of postcard values: [`Header`], [`Lengths`] and [`Start`]. A later version may put
//! further values behind them, each read only where bytes are left and with a default where not;
//! who does not know them skips them. `Header` itself never changes, whatever the format: it is
//! what one version tells any other.

use serde::{Deserialize, Serialize};

use super::{framed, PayloadError, Section, BLOCK, FORMAT, FRAMES_LIMIT, HEADER_LIMIT, MAGIC};

/// Magic, format, header length.
pub(super) const FIXED: usize = MAGIC.len() + 2 + 4;
/// The header's checksum.
pub(super) const CHECKSUM: usize = 4;

/// Which interpreter and which pyteleport an end of the way is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildIdentity {
    /// `sys.implementation.name`.
    pub implementation: String,
    /// `sys.version_info`: major, minor, micro.
    pub version: (u16, u16, u16),
    /// `sys.implementation.cache_tag` and `sys.abiflags`.
    pub abi: String,
    /// `sys.platform`.
    pub platform: String,
    /// `os.uname().machine`.
    pub machine: String,
    /// Bits of a machine word.
    pub word_bits: u8,
    /// `sys.byteorder`.
    pub byte_order: String,
    /// Our own version.
    pub pyteleport: String,
}

impl BuildIdentity {
    /// Whether a program captured by `other` can go on here; if not, why.
    ///
    /// The micro version, the platform and the machine may differ.
    pub fn fits(&self, other: &BuildIdentity) -> Result<(), String> {
        let release = |it: &BuildIdentity| (it.version.0, it.version.1);
        if self.implementation != other.implementation {
            return Err(self.against(other, "the implementation must be the same"));
        }
        if release(self) != release(other) {
            return Err(self.against(other, "the minor version must be the same"));
        }
        if self.abi != other.abi {
            let why = format!("{} and {} do not fit", other.abi, self.abi);
            return Err(self.against(other, &why));
        }
        if (self.word_bits, &self.byte_order) != (other.word_bits, &other.byte_order) {
            return Err(self.against(other, "the words of the machines must be alike"));
        }
        Ok(())
    }

    fn against(&self, other: &BuildIdentity, why: &str) -> String {
        format!(
            "the program comes from {}, and this is {}: {why}",
            other.interpreter(),
            self.interpreter()
        )
    }

    /// The interpreter in words: `cpython 3.11.7`.
    pub fn interpreter(&self) -> String {
        let (major, minor, micro) = self.version;
        format!("{} {major}.{minor}.{micro}", self.implementation)
    }
}

/// What a payload says about itself to any version. Its fields never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Who made it.
    pub build: BuildIdentity,
    /// The machine that the program left.
    pub host: String,
    /// What the program was started as.
    pub program: String,
    /// How many frames it had.
    pub frames: u32,
}

/// How the interpreter was started that the program ran in, for one that is to be like it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The secret that hashes of texts depend on.
    pub hashes: Vec<u8>,
    /// The options of its command.
    pub options: Vec<String>,
}

/// How long each section is, without its blocks' heads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lengths {
    pub frames: u64,
    pub buffers: Vec<u64>,
    pub graph: u64,
}

impl Lengths {
    /// The bytes of all sections with their blocks' heads; an error names one that cannot be.
    pub fn framed(&self) -> Result<u64, PayloadError> {
        let too_large = |section, length, limit| PayloadError::TooLarge {
            section,
            length,
            limit,
        };
        if self.frames > FRAMES_LIMIT {
            return Err(too_large(Section::Frames, self.frames, FRAMES_LIMIT));
        }
        let buffers = self
            .buffers
            .iter()
            .enumerate()
            .map(|(index, &length)| (Section::Buffer(index), length));
        let others = buffers.chain([(Section::Graph, self.graph)]);
        let mut sum = framed(self.frames).unwrap_or(FRAMES_LIMIT);
        for (section, length) in others {
            let limit = u64::MAX - sum;
            let longer = framed(length).and_then(|length| sum.checked_add(length));
            sum = longer.ok_or_else(|| too_large(section, length, limit))?;
        }
        Ok(sum)
    }
}

/// The beginning of a payload up to and with the header's checksum.
pub(super) fn encode(header: &Header, lengths: &Lengths, start: &Start) -> Result<Vec<u8>, PayloadError> {
    let failed = |source| PayloadError::Encode {
        section: Section::Header,
        source,
    };
    let mut bytes = MAGIC.to_vec();
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend([0; 4]);
    bytes = postcard::to_extend(header, bytes).map_err(failed)?;
    bytes = postcard::to_extend(lengths, bytes).map_err(failed)?;
    bytes = postcard::to_extend(start, bytes).map_err(failed)?;
    let length = header_length((bytes.len() - FIXED) as u64)?;
    bytes[FIXED - 4..FIXED].copy_from_slice(&length.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    Ok(bytes)
}

/// A header's length, if it may be that long.
pub(super) fn header_length(length: u64) -> Result<u32, PayloadError> {
    let limit = HEADER_LIMIT;
    let too_large = PayloadError::TooLarge {
        section: Section::Header,
        length,
        limit: u64::from(limit),
    };
    u32::try_from(length)
        .ok()
        .filter(|&length| length <= limit)
        .ok_or(too_large)
}

/// Takes the first value of a header's checked bytes; gives the rest too.
pub(super) fn take<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), PayloadError> {
    postcard::take_from_bytes(bytes).map_err(|source| PayloadError::Decode {
        section: Section::Header,
        source,
    })
}

/// How much of a section comes as its next block.
pub(super) fn next_block(left: u64) -> usize {
    usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build() -> BuildIdentity {
        BuildIdentity {
            implementation: "cpython".into(),
            version: (3, 11, 7),
            abi: "cpython-311".into(),
            platform: "linux".into(),
            machine: "x86_64".into(),
            word_bits: 64,
            byte_order: "little".into(),
            pyteleport: "0.4.0".into(),
        }
    }

    #[test]
    fn micro_versions_and_machines_may_differ() {
        let other = BuildIdentity {
            version: (3, 11, 2),
            platform: "darwin".into(),
            machine: "aarch64".into(),
            pyteleport: "0.5.1".into(),
            ..build()
        };
        assert_eq!(build().fits(&other), Ok(()));
    }

    #[test]
    fn another_interpreter_is_refused_in_words() {
        let refused = |other: BuildIdentity| build().fits(&other).unwrap_err();
        assert_eq!(
            refused(BuildIdentity { version: (3, 9, 18), ..build() }),
            "the program comes from cpython 3.9.18, and this is cpython 3.11.7: the minor version must be the same"
        );
        let implementation = refused(BuildIdentity {
            implementation: "pypy".into(),
            ..build()
        });
        assert!(implementation.ends_with("the implementation must be the same"));
        let abi = refused(BuildIdentity {
            abi: "cpython-311d".into(),
            ..build()
        });
        assert!(abi.ends_with("cpython-311d and cpython-311 do not fit"));
        let words = refused(BuildIdentity {
            machine: "s390x".into(),
            byte_order: "big".into(),
            ..build()
        });
        assert!(words.ends_with("the words of the machines must be alike"));
    }

    #[test]
    fn lengths_that_no_memory_holds_are_refused() {
        let lengths = |frames, buffers, graph| {
            Lengths {
                frames,
                buffers,
                graph,
            }
            .framed()
        };
        assert_eq!(
            lengths(1, vec![BLOCK as u64 + 1, 0], 5).unwrap(),
            BLOCK as u64 + 1 + 1 + 5 + 8 * 4
        );
        let section = |result| match result {
            Err(PayloadError::TooLarge { section, .. }) => section,
            other => panic!("{other:?}"),
        };
        assert_eq!(section(lengths(FRAMES_LIMIT + 1, vec![], 0)), Section::Frames);
        assert_eq!(section(lengths(0, vec![0, u64::MAX], 0)), Section::Buffer(1));
        assert_eq!(section(lengths(0, vec![u64::MAX / 2; 2], 0)), Section::Buffer(1));
        assert_eq!(section(lengths(0, vec![], u64::MAX)), Section::Graph);
    }
}
