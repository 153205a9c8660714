//! The object graph's bytes: a row of records. They can be read without running anything.
//!
//! A record is a byte that says what it is ([`Tag`]), then its parts. Numbers are those of postcard: seven bits
//! a byte, the lowest first, signed ones in zigzag. Most records make a node, and nodes are numbered in the order
//! in which they are made. An *operand* stands for an object: a number below [`LITERALS`] for one whose value
//! follows at once, or else how many nodes back it was made.
//!
//! What can be part of itself is made empty, and a later record fills it; so a node is always older than whatever
//! refers to it, and no record nests.

use super::{GraphReader, PayloadError};
use std::io::Read;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    /// An operand: one of the things that the graph is made of is complete.
    End,
    /// A signed number.
    Int,
    /// Little-endian bytes of a signed number, behind their count.
    BigInt,
    /// Eight bytes.
    Float,
    /// Twice eight bytes.
    Complex,
    /// UTF-8, behind its length.
    Text,
    /// The same, interned.
    Interned,
    /// The same, in which half characters may stand alone (`surrogatepass`).
    Surrogates,
    /// Bytes, behind their number.
    Bytes,
    /// A bytearray's.
    ByteArray,
    /// The next buffer that travels out of band.
    Buffer,
    /// The same, not to be written to.
    FixedBuffer,
    /// What both ends find: a count, then that many texts, each behind its length.
    Name,
    /// A count, then that many operands; so for all that follow, where nothing else is said.
    Tuple,
    /// Items.
    List,
    /// Keys and values in turns; the count is that of pairs.
    Dict,
    /// Members, and where they lie: 0, or the table's size as a power of two, the place from where `pop` goes on,
    /// and a count of the entries in use, each the number of free ones before it, doubled, and 1 more where a member
    /// was taken out.
    Set,
    /// As `Set`.
    FrozenSet,
    /// A frozen set that will be filled.
    UnfilledFrozenSet,
    /// What a call gives; the first operand is called, the others are its arguments.
    Call,
    /// What `__new__` of a class gives; the first operand is the class, the others are the arguments.
    New,
    /// Two counts, of names of attributes and of slots; then a class, the names, and for each slot a class that has
    /// it and its name. It is no node: shapes have numbers of their own.
    Shape,
    /// An operand: an instance of this class, without attributes, made by `object`.
    Bare,
    /// The number of a shape, then as many values: an instance with these attributes.
    Instance,
    /// An operand, then items for the end of this list.
    Extend,
    /// An operand, then keys and values for this dict.
    Items,
    /// An operand, then what `Set` has, for this set.
    Add,
    /// An operand, then what `Set` has, for this frozen set.
    FillFrozenSet,
    /// An operand, the number of a shape, then values: an instance gets these attributes.
    Attributes,
    /// Two operands: an object, and its state, to be set as `pickle` sets it.
    State,
    /// Three operands: an object, its state, and what is called with both.
    StateBy,
    /// As `Extend`, by the object's own `extend` or `append`.
    Append,
    /// As `Items`, by the object's own `__setitem__`.
    SetItems,
}

const TAGS: [Tag; 33] = {
    use Tag::*;
    [
        End,
        Int,
        BigInt,
        Float,
        Complex,
        Text,
        Interned,
        Surrogates,
        Bytes,
        ByteArray,
        Buffer,
        FixedBuffer,
        Name,
        Tuple,
        List,
        Dict,
        Set,
        FrozenSet,
        UnfilledFrozenSet,
        Call,
        New,
        Shape,
        Bare,
        Instance,
        Extend,
        Items,
        Add,
        FillFrozenSet,
        Attributes,
        State,
        StateBy,
        Append,
        SetItems,
    ]
};

/// Operands below this are values.
pub const LITERALS: u64 = 15;

/// An operand, but for those that refer to nodes.
pub mod literal {
    /// `None`.
    pub const NONE: u64 = 0;
    /// `True`.
    pub const TRUE: u64 = 1;
    /// `False`.
    pub const FALSE: u64 = 2;
    /// `()`.
    pub const EMPTY: u64 = 3;
    /// A signed number follows.
    pub const INT: u64 = 4;
    /// Eight bytes follow.
    pub const FLOAT: u64 = 5;
    /// A length and UTF-8 follow.
    pub const TEXT: u64 = 6;
    /// A length and bytes follow.
    pub const BYTES: u64 = 7;
}

/// Puts a number behind what is there.
#[inline]
pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The same for one that may be negative.
#[inline]
pub fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, ((number << 1) ^ (number >> 63)) as u64);
}

/// Bytes behind their number.
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What records are read from.
pub trait RecordSource {
    /// How many bytes are left.
    fn remaining(&self) -> u64;
    /// The next bytes, so many if there are.
    fn read(&mut self, count: usize) -> Result<Vec<u8>, PayloadError>;
    /// Fills a place as far as there are bytes left; says how far.
    fn read_into(&mut self, place: &mut [u8]) -> Result<usize, PayloadError>;
}

impl<R: Read> RecordSource for GraphReader<R> {
    fn remaining(&self) -> u64 {
        self.remaining()
    }

    fn read(&mut self, count: usize) -> Result<Vec<u8>, PayloadError> {
        self.read(count)
    }

    fn read_into(&mut self, place: &mut [u8]) -> Result<usize, PayloadError> {
        self.read_into(place)
    }
}

/// Records in memory.
impl RecordSource for std::io::Cursor<Vec<u8>> {
    fn remaining(&self) -> u64 {
        (self.get_ref().len() as u64).saturating_sub(self.position())
    }

    fn read(&mut self, count: usize) -> Result<Vec<u8>, PayloadError> {
        let count = count.min(self.remaining() as usize);
        let mut bytes = vec![0; count];
        self.read_into(&mut bytes)?;
        Ok(bytes)
    }

    fn read_into(&mut self, place: &mut [u8]) -> Result<usize, PayloadError> {
        Read::read(self, place).map_err(|source| PayloadError::reading(super::Section::Graph, source))
    }
}

/// Records in memory, in pieces.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    /// What is left, in order.
    left: std::collections::VecDeque<&'a [u8]>,
}

impl<'a> Pieces<'a> {
    /// The records that these pieces are, one behind the other.
    pub fn new(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self {
            left: pieces.into_iter().collect(),
        }
    }
}

impl RecordSource for Pieces<'_> {
    fn remaining(&self) -> u64 {
        self.left.iter().map(|piece| piece.len() as u64).sum()
    }

    fn read(&mut self, count: usize) -> Result<Vec<u8>, PayloadError> {
        let count = count.min(usize::try_from(self.remaining()).unwrap_or(usize::MAX));
        let mut bytes = vec![0; count];
        self.read_into(&mut bytes)?;
        Ok(bytes)
    }

    fn read_into(&mut self, place: &mut [u8]) -> Result<usize, PayloadError> {
        let mut done = 0;
        while let Some(piece) = self.left.front_mut().filter(|_| done < place.len()) {
            let length = piece.len().min(place.len() - done);
            let (now, later) = piece.split_at(length);
            place[done..done + length].copy_from_slice(now);
            done += length;
            *piece = later;
            if later.is_empty() {
                self.left.pop_front();
            }
        }
        Ok(done)
    }
}

/// No number has more bytes.
const NUMBER: usize = 10;

/// How much is asked of the payload at once.
const AHEAD: usize = 256 << 10;

/// Reads records. What it gives is within the bytes that there are, whatever these say.
#[derive(Debug)]
pub struct RecordReader<S> {
    source: S,
    /// What was read of it, used up to `at`.
    chunk: Vec<u8>,
    at: usize,
}

impl<S: RecordSource> RecordReader<S> {
    /// The graph's records.
    pub fn new(source: S) -> Self {
        Self {
            source,
            chunk: Vec::new(),
            at: 0,
        }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> u64 {
        self.source.remaining() + (self.chunk.len() - self.at) as u64
    }

    /// Sees to it that so many bytes are at hand.
    #[inline]
    fn need(&mut self, count: usize) -> Result<(), PayloadError> {
        if self.chunk.len() - self.at >= count {
            return Ok(());
        }
        self.load(count)
    }

    #[cold]
    fn load(&mut self, count: usize) -> Result<(), PayloadError> {
        if self.remaining() < count as u64 {
            return Err(PayloadError::Graph {
                what: "it ends too early",
            });
        }
        self.chunk.drain(..self.at);
        self.at = 0;
        while self.chunk.len() < count {
            let more = self.source.read(AHEAD.max(count - self.chunk.len()))?;
            self.chunk.extend_from_slice(&more);
        }
        Ok(())
    }

    /// What the next record says.
    #[inline]
    pub fn tag(&mut self) -> Result<Tag, PayloadError> {
        let byte = self.byte()?;
        TAGS.get(usize::from(byte)).copied().ok_or(PayloadError::Graph {
            what: "there is no such record",
        })
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, PayloadError> {
        self.need(1)?;
        self.at += 1;
        Ok(self.chunk[self.at - 1])
    }

    /// A number.
    #[inline]
    pub fn number(&mut self) -> Result<u64, PayloadError> {
        let rest = &self.chunk[self.at..];
        let mut number = 0;
        for (index, &byte) in rest.iter().take(NUMBER).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.at += index + 1;
                return Ok(number);
            }
        }
        self.number_at_end()
    }

    /// One of which not all bytes are at hand.
    #[cold]
    fn number_at_end(&mut self) -> Result<u64, PayloadError> {
        let mut number = 0;
        for index in 0..NUMBER {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(PayloadError::Graph {
            what: "a number is too long",
        })
    }

    /// One that may be negative.
    #[inline]
    pub fn signed(&mut self) -> Result<i64, PayloadError> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A count of things of which each takes a byte at least.
    #[inline]
    pub fn count(&mut self) -> Result<usize, PayloadError> {
        let count = self.number()?;
        if count > (self.chunk.len() - self.at) as u64 && count > self.remaining() {
            return Err(PayloadError::Graph {
                what: "a count is more than there is",
            });
        }
        Ok(count as usize)
    }

    /// A float.
    #[inline]
    pub fn float(&mut self) -> Result<f64, PayloadError> {
        let bytes = self.bytes(8)?;
        let mut own = [0; 8];
        own.copy_from_slice(bytes);
        Ok(f64::from_le_bytes(own))
    }

    /// So many bytes.
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Result<&[u8], PayloadError> {
        self.need(count)?;
        self.at += count;
        Ok(&self.chunk[self.at - count..self.at])
    }

    /// Fills a place, straight from the source where it is large.
    pub fn read_into(&mut self, place: &mut [u8]) -> Result<(), PayloadError> {
        let at_hand = (self.chunk.len() - self.at).min(place.len());
        let (first, rest) = place.split_at_mut(at_hand);
        first.copy_from_slice(&self.chunk[self.at..self.at + at_hand]);
        self.at += at_hand;
        if self.source.read_into(rest)? < rest.len() {
            return Err(PayloadError::Graph {
                what: "it ends too early",
            });
        }
        Ok(())
    }
}

impl<S: RecordSource + ?Sized> RecordSource for Box<S> {
    fn remaining(&self) -> u64 {
        (**self).remaining()
    }

    fn read(&mut self, count: usize) -> Result<Vec<u8>, PayloadError> {
        (**self).read(count)
    }

    fn read_into(&mut self, place: &mut [u8]) -> Result<usize, PayloadError> {
        (**self).read_into(place)
    }
}
