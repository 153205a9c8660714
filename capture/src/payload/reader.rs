//! Payload in: a header first, then each section in its turn.

use std::io::{BufReader, Read, Take};

use super::header::{header_length, next_block, take, Header, Lengths, Start, CHECKSUM, FIXED};
use super::{PayloadError, Section, BLOCK, BLOCK_HEAD, FORMAT, MAGIC};
use crate::snapshot::Snapshot;

/// Small reads are taken from a buffer of this size; bigger ones pass by.
const AHEAD: usize = 32 << 10;

/// A payload being read. It reads ahead: what it is given must not hold anything behind the
/// payload, unless the payload's length is given too.
#[derive(Debug)]
pub struct PayloadReader<R> {
    input: Input<R>,
    format: u16,
    header: Header,
    lengths: Lengths,
    start: Start,
    turn: Section,
}

impl<R: Read> PayloadReader<R> {
    /// Reads the header. `total` is the payload's length as the transport or the file knows it.
    pub fn open(input: R, total: Option<u64>) -> Result<PayloadReader<R>, PayloadError> {
        let input = BufReader::with_capacity(AHEAD, input.take(total.unwrap_or(u64::MAX)));
        let mut input = Input {
            input,
            trusted: total.is_some(),
        };
        let (format, bytes) = input.header()?;
        let whole = bytes.len() as u64;
        let (header, rest) = take::<Header>(&bytes[FIXED..bytes.len() - CHECKSUM])?;
        let (mut lengths, mut start) = (Lengths::default(), Start::default());
        if format == FORMAT {
            // What is left was appended by a later version.
            let behind;
            (lengths, behind) = take(rest)?;
            if !behind.is_empty() {
                (start, _) = take(behind)?;
            }
            let declared = lengths.framed()?.saturating_add(whole);
            if let Some(found) = total.filter(|&found| found != declared) {
                return Err(PayloadError::Total { declared, found });
            }
        }
        Ok(PayloadReader {
            input,
            format,
            header,
            lengths,
            start,
            turn: Section::Frames,
        })
    }

    /// What the payload says about itself, whatever its format.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How the interpreter was started; of another format, nothing is known.
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// The format of what follows; only [`FORMAT`] can be read on.
    pub fn format(&self) -> u16 {
        self.format
    }

    /// Reads the snapshot.
    pub fn read_snapshot(&mut self) -> Result<Snapshot, PayloadError> {
        let section = Section::Frames;
        self.begin(section)?;
        let mut bytes = Vec::new();
        self.input.append(section, self.lengths.frames, &mut bytes)?;
        let (snapshot, rest) =
            postcard::take_from_bytes(&bytes).map_err(|source| PayloadError::Decode { section, source })?;
        if !rest.is_empty() {
            return Err(PayloadError::Excess {
                section,
                count: rest.len(),
            });
        }
        self.turn = Section::Buffer(0);
        Ok(snapshot)
    }

    /// How long each buffer is.
    pub fn buffer_lengths(&self) -> &[u64] {
        &self.lengths.buffers
    }

    /// Reads the next buffer into its final place, which must be as long as the buffer. After an
    /// error what is there means nothing.
    pub fn read_buffer_into(&mut self, place: &mut [u8]) -> Result<(), PayloadError> {
        let index = if let Section::Buffer(index) = self.turn {
            index
        } else {
            usize::MAX
        };
        let section = Section::Buffer(index);
        let length = *self
            .lengths
            .buffers
            .get(index)
            .ok_or(PayloadError::Order { section })?;
        if length != place.len() as u64 {
            return Err(PayloadError::Place {
                section,
                length,
                place: place.len() as u64,
            });
        }
        self.begin(section)?;
        for block in place.chunks_mut(BLOCK) {
            self.input.block(section, block)?;
        }
        self.turn = Section::Buffer(index + 1);
        Ok(())
    }

    /// Goes past all buffers that have not been read, which are checked.
    pub fn skip_buffers(&mut self) -> Result<(), PayloadError> {
        while let Section::Buffer(index) = self.turn {
            let Some(&length) = self.lengths.buffers.get(index) else {
                break;
            };
            let section = Section::Buffer(index);
            self.begin(section)?;
            let (mut left, mut block) = (length, Vec::new());
            while left > 0 {
                block.resize(next_block(left), 0);
                self.input.block(section, &mut block)?;
                left -= block.len() as u64;
            }
            self.turn = Section::Buffer(index + 1);
        }
        Ok(())
    }

    /// Goes on to the graph; all buffers must have been read.
    pub fn into_graph(mut self) -> Result<GraphReader<R>, PayloadError> {
        if self.turn != Section::Buffer(self.lengths.buffers.len()) {
            return Err(PayloadError::Order {
                section: Section::Graph,
            });
        }
        self.turn = Section::Graph;
        self.begin(Section::Graph)?;
        let behind = self.lengths.graph;
        Ok(GraphReader {
            input: self.input,
            behind,
            block: Vec::new(),
            at: 0,
            failed: false,
        })
    }

    /// A section may be read only in its turn; if reading it fails, none has its turn any more.
    fn begin(&mut self, section: Section) -> Result<(), PayloadError> {
        if self.format != FORMAT {
            let made_by = self.header.build.pyteleport.clone();
            return Err(PayloadError::Version {
                found: self.format,
                made_by,
            });
        }
        if self.turn != section {
            return Err(PayloadError::Order { section });
        }
        self.turn = Section::Header;
        Ok(())
    }
}

/// The objects' records, as a stream. Every byte it gives has been checked.
#[derive(Debug)]
pub struct GraphReader<R> {
    input: Input<R>,
    /// Bytes of the graph that are not read from the input yet.
    behind: u64,
    /// A block that was checked, given out up to `at`.
    block: Vec<u8>,
    at: usize,
    failed: bool,
}

impl<R: Read> GraphReader<R> {
    /// How many bytes are left.
    pub fn remaining(&self) -> u64 {
        self.behind + self.at_hand().len() as u64
    }

    /// The next `count` bytes, or as many as are left.
    pub fn read(&mut self, count: usize) -> Result<Vec<u8>, PayloadError> {
        let count = usize::try_from(self.remaining()).map_or(count, |left| count.min(left));
        let mut bytes = Vec::with_capacity(if self.input.trusted {
            count
        } else {
            count.min(BLOCK)
        });
        while bytes.len() < count {
            let want = count - bytes.len();
            let now = match self.at_hand().len() {
                0 => want.min(BLOCK),
                at_hand => want.min(at_hand),
            };
            let from = bytes.len();
            bytes.resize(from + now, 0);
            self.read_into(&mut bytes[from..])?;
        }
        Ok(bytes)
    }

    /// Fills `place` as far as there are bytes left; says how far.
    pub fn read_into(&mut self, place: &mut [u8]) -> Result<usize, PayloadError> {
        let mut filled = 0;
        while filled < place.len() && self.remaining() > 0 {
            let rest = &mut place[filled..];
            let next = next_block(self.behind);
            filled += if self.at_hand().is_empty() && rest.len() >= next {
                self.next_into(&mut rest[..next])?;
                next
            } else {
                self.load()?;
                let count = rest.len().min(self.at_hand().len());
                rest[..count].copy_from_slice(&self.at_hand()[..count]);
                self.at += count;
                count
            };
        }
        Ok(filled)
    }

    /// What is left of the checked block.
    fn at_hand(&self) -> &[u8] {
        &self.block[self.at..]
    }

    /// Sees to it that there is something at hand, if there is anything left.
    fn load(&mut self) -> Result<(), PayloadError> {
        if !self.at_hand().is_empty() {
            return Ok(());
        }
        let mut block = std::mem::take(&mut self.block);
        self.at = 0;
        block.resize(next_block(self.behind), 0);
        self.next_into(&mut block)?;
        self.block = block;
        Ok(())
    }

    /// Reads the next block, which must have this length, and checks it.
    fn next_into(&mut self, place: &mut [u8]) -> Result<(), PayloadError> {
        if self.failed {
            return Err(PayloadError::Order {
                section: Section::Graph,
            });
        }
        self.failed = true;
        self.input.block(Section::Graph, place)?;
        self.failed = false;
        self.behind -= place.len() as u64;
        Ok(())
    }
}

/// Where the bytes come from.
#[derive(Debug)]
struct Input<R> {
    input: BufReader<Take<R>>,
    /// The lengths in the header add up to what the transport or the file says.
    trusted: bool,
}

impl<R: Read> Input<R> {
    /// The payload's beginning, checked: its format, and all bytes with the checksum.
    fn header(&mut self) -> Result<(u16, Vec<u8>), PayloadError> {
        let section = Section::Header;
        let mut bytes = vec![0; FIXED];
        self.fill(section, &mut bytes[..MAGIC.len()])
            .map_err(|error| match error {
                PayloadError::Truncated { .. } => PayloadError::NotAPayload,
                other => other,
            })?;
        if bytes[..MAGIC.len()] != MAGIC {
            return Err(PayloadError::NotAPayload);
        }
        self.fill(section, &mut bytes[MAGIC.len()..])?;
        let format = u16::from_le_bytes([bytes[8], bytes[9]]);
        let length = header_length(u64::from(u32::from_le_bytes([
            bytes[10], bytes[11], bytes[12], bytes[13],
        ])))?;
        let whole = FIXED + length as usize + CHECKSUM;
        let behind = (&mut self.input)
            .take((whole - FIXED) as u64)
            .read_to_end(&mut bytes);
        behind.map_err(|source| PayloadError::reading(section, source))?;
        if bytes.len() < whole {
            return Err(PayloadError::Truncated { section });
        }
        let (checked, checksum) = bytes.split_at(whole - CHECKSUM);
        if crc32fast::hash(checked).to_le_bytes() != checksum {
            return Err(PayloadError::Checksum { section });
        }
        Ok((format, bytes))
    }

    /// Appends the next `length` bytes of a section, taking memory only as they come.
    fn append(&mut self, section: Section, length: u64, bytes: &mut Vec<u8>) -> Result<(), PayloadError> {
        let mut left = length;
        while left > 0 {
            let (from, count) = (bytes.len(), next_block(left));
            bytes.resize(from + count, 0);
            self.block(section, &mut bytes[from..])?;
            left -= count as u64;
        }
        Ok(())
    }

    /// Reads one block, which must have this length, into its place, and checks it there.
    fn block(&mut self, section: Section, place: &mut [u8]) -> Result<(), PayloadError> {
        let mut head = [0; BLOCK_HEAD];
        self.fill(section, &mut head)?;
        let (length, checksum) = head.split_at(4);
        if length != (place.len() as u32).to_le_bytes() {
            return Err(PayloadError::Checksum { section });
        }
        self.fill(section, place)?;
        if crc32fast::hash(place).to_le_bytes() != checksum {
            return Err(PayloadError::Checksum { section });
        }
        Ok(())
    }

    fn fill(&mut self, section: Section, place: &mut [u8]) -> Result<(), PayloadError> {
        self.input
            .read_exact(place)
            .map_err(|source| PayloadError::reading(section, source))
    }
}
