//! What records are written to: large objects are kept, not copied.

use crate::cpython::buffer::HeldBuffer;
use crate::cpython::sets::Places;
use crate::payload::records::{literal, put_bytes, put_number, put_signed, Tag, LITERALS};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// A piece of the graph's bytes.
pub enum Piece {
    /// Records.
    Written(Vec<u8>),
    /// The memory of an object of the program.
    Held(HeldBuffer),
}

impl Piece {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Written(bytes) => bytes,
            Self::Held(buffer) => buffer,
        }
    }
}

/// An object as part of a record.
pub enum Operand<'py> {
    /// `None`.
    None,
    /// A `bool`.
    Bool(bool),
    /// `()`.
    Empty,
    /// A number that nobody else has.
    Int(i64),
    /// The same.
    Float(f64),
    /// A text that nobody else has.
    Text(Bound<'py, PyString>),
    /// The same.
    Bytes(Bound<'py, PyBytes>),
    /// What an earlier record made.
    Node(u32),
}

/// The records.
#[derive(Default)]
pub struct Output {
    pieces: Vec<Piece>,
    /// Those that come after the pieces.
    pub bytes: Vec<u8>,
    /// How many nodes they make.
    nodes: u32,
}

impl Output {
    /// Begins a record.
    #[inline]
    pub fn tag(&mut self, tag: Tag) {
        self.bytes.push(tag as u8);
    }

    /// The node that the record just written makes.
    #[inline]
    pub fn node(&mut self) -> u32 {
        self.nodes += 1;
        self.nodes - 1
    }

    /// An operand of the record that is being written.
    #[inline]
    pub fn operand(&mut self, operand: &Operand<'_>) -> PyResult<()> {
        let bytes = &mut self.bytes;
        match operand {
            Operand::None => put_number(bytes, literal::NONE),
            Operand::Bool(true) => put_number(bytes, literal::TRUE),
            Operand::Bool(false) => put_number(bytes, literal::FALSE),
            Operand::Empty => put_number(bytes, literal::EMPTY),
            Operand::Int(value) => self.int(*value),
            Operand::Float(value) => self.float(*value),
            Operand::Text(text) => {
                put_number(bytes, literal::TEXT);
                put_bytes(bytes, text.to_str()?.as_bytes());
            }
            Operand::Bytes(own) => {
                put_number(bytes, literal::BYTES);
                put_bytes(bytes, own.as_bytes());
            }
            Operand::Node(node) => put_number(bytes, LITERALS - 1 + u64::from(self.nodes - node)),
        }
        Ok(())
    }

    /// A number that nobody else has, as one.
    #[inline]
    pub fn int(&mut self, value: i64) {
        put_number(&mut self.bytes, literal::INT);
        put_signed(&mut self.bytes, value);
    }

    /// The same.
    #[inline]
    pub fn float(&mut self, value: f64) {
        put_number(&mut self.bytes, literal::FLOAT);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Several of them.
    pub fn operands(&mut self, operands: &[Operand<'_>]) -> PyResult<()> {
        operands.iter().try_for_each(|operand| self.operand(operand))
    }

    /// Where the members of a set lie, of which so many were written.
    pub fn places(&mut self, set: &Bound<'_, PyAny>, written: usize) {
        let places = Places::of(set);
        if places.members() != written {
            return self.no_places(); // it was changed meanwhile
        }
        put_number(&mut self.bytes, u64::from((places.mask + 1).trailing_zeros()));
        put_number(&mut self.bytes, places.finger as u64);
        put_number(&mut self.bytes, places.used.len() as u64);
        let mut next = 0;
        for (slot, is_member) in places.used {
            put_number(
                &mut self.bytes,
                ((slot - next) << 1) as u64 | u64::from(!is_member),
            );
            next = slot + 1;
        }
    }

    /// That its members may lie anywhere.
    pub fn no_places(&mut self) {
        put_number(&mut self.bytes, 0);
    }

    /// The memory of an object, as it is when the payload is written.
    pub fn hold(&mut self, buffer: HeldBuffer) {
        self.close_piece();
        self.pieces.push(Piece::Held(buffer));
    }

    /// Takes all out.
    pub fn take(&mut self) -> Vec<Piece> {
        self.close_piece();
        std::mem::take(&mut self.pieces)
    }

    fn close_piece(&mut self) {
        if !self.bytes.is_empty() {
            let bytes = std::mem::take(&mut self.bytes);
            self.pieces.push(Piece::Written(bytes));
        }
    }
}
