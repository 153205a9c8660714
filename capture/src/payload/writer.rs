//! Payload out: what is big is borrowed, and goes by in one pass, block by block.

use std::io::{self, BufWriter, Write};

use super::header::{encode, next_block, Header, Lengths, Start};
use super::{PayloadError, Section, BLOCK_HEAD};
use crate::snapshot::Snapshot;

/// Small writes are put together up to this size; bigger ones pass by.
const GATHER: usize = 32 << 10;

/// A payload whose bytes are known, and can be written any number of times.
#[derive(Debug)]
pub struct PayloadWriter<'a> {
    header: Vec<u8>,
    frames: Vec<u8>,
    buffers: Vec<&'a [u8]>,
    graph: Vec<&'a [u8]>,
    length: u64,
}

impl<'a> PayloadWriter<'a> {
    /// A payload of these parts; the graph is the concatenation of its pieces.
    pub fn new(
        header: &Header,
        start: &Start,
        snapshot: &Snapshot,
        buffers: Vec<&'a [u8]>,
        graph: Vec<&'a [u8]>,
    ) -> Result<PayloadWriter<'a>, PayloadError> {
        let frames = postcard::to_stdvec(snapshot).map_err(|source| PayloadError::Encode {
            section: Section::Frames,
            source,
        })?;
        let lengths = Lengths {
            frames: frames.len() as u64,
            buffers: buffers.iter().map(|buffer| buffer.len() as u64).collect(),
            graph: graph.iter().map(|piece| piece.len() as u64).sum(),
        };
        let sections = lengths.framed()?;
        let header = encode(header, &lengths, start)?;
        let length = header.len() as u64 + sections;
        Ok(PayloadWriter {
            header,
            frames,
            buffers,
            graph,
            length,
        })
    }

    /// How many bytes `write_to` will write.
    #[allow(clippy::len_without_is_empty)] // there is always a header
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Writes all of it.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(GATHER, out);
        out.write_all(&self.header)?;
        write_section(&mut out, &[&self.frames])?;
        for buffer in &self.buffers {
            write_section(&mut out, &[buffer])?;
        }
        write_section(&mut out, &self.graph)?;
        out.flush()
    }
}

/// Writes pieces as one section.
fn write_section(out: &mut impl Write, pieces: &[&[u8]]) -> io::Result<()> {
    let mut left: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
    let mut pieces = pieces.iter().copied();
    let mut rest: &[u8] = &[];
    let mut block = Vec::new();
    while left > 0 {
        let length = next_block(left);
        let mut checksum = crc32fast::Hasher::new();
        let mut room = length;
        block.clear();
        while room > 0 {
            if rest.is_empty() {
                let Some(piece) = pieces.next() else { break };
                rest = piece;
            }
            let (now, later) = rest.split_at(rest.len().min(room));
            checksum.update(now);
            block.push(now);
            (room, rest) = (room - now.len(), later);
        }
        let mut head = [0; BLOCK_HEAD];
        head[..4].copy_from_slice(&(length as u32).to_le_bytes());
        head[4..].copy_from_slice(&checksum.finalize().to_le_bytes());
        out.write_all(&head)?;
        for piece in &block {
            out.write_all(piece)?;
        }
        left -= length as u64;
    }
    Ok(())
}
