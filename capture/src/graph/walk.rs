//! The way through the objects: depth first, with a stack of its own, however deep they nest.

use super::encoder::{Class, Encoder, NAMED, PENDING};
use super::frames::{Fill, Frame, Kind, Late, NO_NODE};
use super::memo::ByAddress;
use super::out::Operand;
use crate::cpython::buffer::HeldBuffer;
use crate::cpython::making::{is_hashed_by_identity, is_interned, references, small_int};
use crate::cpython::objects::{is_pickle_buffer, own_attributes};
use crate::payload::records::{put_bytes, put_number, put_signed, Tag};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString,
    PyTuple,
};

/// What is at least this long is not copied.
const HOLD_FROM: usize = 1 << 16;
/// Texts and bytes that nobody else has stand where they are needed, up to this length.
const INLINE_TO: usize = 1 << 10;
/// The integers of which there is one everywhere.
const SMALLEST: std::ops::RangeInclusive<i64> = -5..=256;
/// The references to an object that its container has alone, while we look at it.
pub(super) const ALONE: isize = 2;

/// One walk, from one root.
pub(super) struct Walk<'a, 'py> {
    pub(super) py: Python<'py>,
    pub(super) encoder: &'a mut Encoder,
    /// What is being written, outermost first.
    pub(super) frames: Vec<Frame<'py>>,
    /// What is to be visited next, last first: the parts of all these.
    pub(super) todo: Vec<Bound<'py, PyAny>>,
    /// What has been visited: the parts of all these.
    pub(super) operands: Vec<Operand<'py>>,
    /// Fills that wait until what they look into is whole.
    pub(super) late: Vec<Late<'py>>,
    /// Frozen sets that are made and not filled.
    pub(super) unfilled: ByAddress<()>,
    /// Fills that wait until something is made, by its address.
    pub(super) parked: Vec<(usize, Frame<'py>)>,
    /// When that was begun which may still be led back to.
    pub(super) open: Vec<u32>,
    /// Where the groups begin in which all lead to each other, as far as is known (after Gabow).
    pub(super) groups: Vec<u32>,
}

impl<'a, 'py> Walk<'a, 'py> {
    pub(super) fn new(encoder: &'a mut Encoder, py: Python<'py>) -> Self {
        Self {
            py,
            encoder,
            frames: Vec::new(),
            todo: Vec::new(),
            operands: Vec::new(),
            late: Vec::new(),
            unfilled: ByAddress::default(),
            parked: Vec::new(),
            open: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Goes all the way.
    pub(super) fn root(mut self, root: Bound<'py, PyAny>) -> PyResult<()> {
        self.todo.push(root);
        loop {
            let base = self.frames.last().map_or(0, |frame| frame.todo);
            if self.todo.len() > base {
                if let Some(next) = self.todo.pop() {
                    self.visit(next)?;
                }
            } else if !self.frames.is_empty() {
                self.finish()?;
            } else {
                break;
            }
        }
        self.encoder.out.tag(Tag::End);
        self.encoder.out.operands(&self.operands)
    }

    /// Writes an object, or begins to.
    fn visit(&mut self, object: Bound<'py, PyAny>) -> PyResult<()> {
        if self.atom(&object)? || self.is_known(&object)? {
            return Ok(());
        }
        let base = self.operands.len();
        if let Ok(tuple) = object.cast_exact::<PyTuple>() {
            if tuple.is_empty() {
                self.operands.push(Operand::Empty);
                return Ok(());
            }
            if self.numbers(Tag::Tuple, tuple.len(), tuple.iter()) {
                self.made_of_atoms(&object);
                return Ok(());
            }
            for (index, item) in tuple.iter().enumerate() {
                if !self.atom(&item)? {
                    self.begin(Kind::Tuple, &object, base);
                    self.todo.extend(tuple.iter().skip(index).rev());
                    return Ok(());
                }
            }
            self.of_atoms(&object, Tag::Tuple, base, 1)
        } else if let Ok(dict) = object.cast_exact::<PyDict>() {
            for (index, (key, value)) in dict.iter().enumerate() {
                let is_key = self.atom(&key)?;
                if is_key && self.atom(&value)? {
                    continue;
                }
                let from = self.todo.len();
                let mut sure = true;
                for (key, value) in dict.iter().skip(index) {
                    sure = sure && is_sure(&key);
                    self.todo.push(key);
                    self.todo.push(value);
                }
                self.todo[from..].reverse();
                if is_key {
                    self.todo.pop();
                }
                self.begin(Kind::Dict { sure }, &object, base);
                if let Some(frame) = self.frames.last_mut() {
                    frame.todo = from;
                }
                return Ok(());
            }
            self.of_atoms(&object, Tag::Dict, base, 2)
        } else if let Ok(list) = object.cast_exact::<PyList>() {
            if self.numbers(Tag::List, list.len(), list.iter()) {
                self.made_of_atoms(&object);
                return Ok(());
            }
            for (index, item) in list.iter().enumerate() {
                if !self.atom(&item)? {
                    self.begin(Kind::List, &object, base);
                    let from = self.todo.len();
                    self.todo.extend(list.iter().skip(index));
                    self.todo[from..].reverse();
                    return Ok(());
                }
            }
            self.of_atoms(&object, Tag::List, base, 1)
        } else if object.is_exact_instance_of::<PySet>() {
            self.begin(Kind::Set { sure: true }, &object, base);
            self.parts_of_top()
        } else if object.is_exact_instance_of::<PyFrozenSet>() {
            self.begin(Kind::FrozenSet { sure: true }, &object, base);
            self.parts_of_top()
        } else {
            self.other(object)
        }
    }

    /// Writes a tuple, list or dict that consists of what has been visited from here on, and that is all.
    fn of_atoms(
        &mut self,
        object: &Bound<'py, PyAny>,
        tag: Tag,
        base: usize,
        to_a_count: usize,
    ) -> PyResult<()> {
        let out = &mut self.encoder.out;
        let operands = &self.operands[base..];
        out.tag(tag);
        put_number(&mut out.bytes, (operands.len() / to_a_count) as u64);
        out.operands(operands)?;
        self.operands.truncate(base);
        self.made_of_atoms(object);
        Ok(())
    }

    /// A record was written that makes a tuple, list or dict, and that is all of it.
    fn made_of_atoms(&mut self, object: &Bound<'py, PyAny>) {
        if references(object) == ALONE {
            // Nothing else leads here again, not even a weak reference.
            let node = self.encoder.out.node();
            self.encoder.begun.push(0);
            self.operands.push(Operand::Node(node));
        } else {
            self.leaf(object);
        }
    }

    /// Writes a tuple or list at one go if it is of numbers that nobody else has; else nothing is written.
    fn numbers(&mut self, tag: Tag, count: usize, items: impl Iterator<Item = Bound<'py, PyAny>>) -> bool {
        let out = &mut self.encoder.out;
        let before = out.bytes.len();
        out.tag(tag);
        put_number(&mut out.bytes, count as u64);
        for item in items {
            let is_alone = references(&item) == ALONE;
            if let Ok(float) = item.cast_exact::<PyFloat>() {
                if is_alone {
                    out.float(float.value());
                    continue;
                }
            } else if let Some(value) = item
                .is_exact_instance_of::<PyInt>()
                .then(|| small_int(&item))
                .flatten()
            {
                if is_alone || SMALLEST.contains(&value) {
                    out.int(value);
                    continue;
                }
            }
            out.bytes.truncate(before);
            return false;
        }
        true
    }

    /// Whether an object is a text, a number or the like. Then it is an operand now.
    #[inline]
    pub(super) fn atom(&mut self, object: &Bound<'py, PyAny>) -> PyResult<bool> {
        if let Ok(text) = object.cast_exact::<PyString>() {
            self.text(text)?;
        } else if object.is_exact_instance_of::<PyInt>() {
            self.int(object)?;
        } else if let Ok(float) = object.cast_exact::<PyFloat>() {
            let value = float.value();
            if references(object) == ALONE {
                self.operands.push(Operand::Float(value));
            } else if !self.is_known(object)? {
                self.encoder.out.tag(Tag::Float);
                self.encoder.out.bytes.extend_from_slice(&value.to_le_bytes());
                self.leaf(object);
            }
        } else if object.is_none() {
            self.operands.push(Operand::None);
        } else if let Ok(value) = object.cast_exact::<PyBool>() {
            self.operands.push(Operand::Bool(value.is_true()));
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn other(&mut self, object: Bound<'py, PyAny>) -> PyResult<()> {
        if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            if references(&object) == ALONE && bytes.as_bytes().len() <= INLINE_TO {
                self.operands.push(Operand::Bytes(bytes.clone()));
                return Ok(());
            }
            self.bytes(Tag::Bytes, &object)?;
            self.leaf(&object);
        } else if object.is_exact_instance_of::<PyByteArray>() {
            self.bytes(Tag::ByteArray, &object)?;
            self.leaf(&object);
        } else if let Ok(complex) = object.cast_exact::<PyComplex>() {
            let (real, imaginary) = (complex.real(), complex.imag());
            self.encoder.out.tag(Tag::Complex);
            self.encoder.out.bytes.extend_from_slice(&real.to_le_bytes());
            self.encoder.out.bytes.extend_from_slice(&imaginary.to_le_bytes());
            self.leaf(&object);
        } else if is_pickle_buffer(&object) {
            let fixed = crate::cpython::buffer::is_fixed(&object)?;
            let tag = if fixed { Tag::FixedBuffer } else { Tag::Buffer };
            self.encoder.out.tag(tag);
            self.encoder.buffers.push(object.clone().unbind());
            self.leaf(&object);
        } else {
            return self.instance(object);
        }
        Ok(())
    }

    /// Whether an object was written before, or is being written; then it is an operand now.
    pub(super) fn is_known(&mut self, object: &Bound<'py, PyAny>) -> PyResult<bool> {
        let Some(&found) = self.encoder.memo.get(&(object.as_ptr() as usize)) else {
            return Ok(false);
        };
        if found >= PENDING {
            self.meet_again((found - PENDING) as usize)?;
        } else if found >= NAMED {
            let name = self.encoder.named[(found - NAMED) as usize]
                .bind(self.py)
                .extract::<Vec<String>>()?;
            if name.is_empty() {
                self.instance(object.clone())?;
            } else {
                self.name(object, &name)?;
            }
        } else {
            self.lead_back(self.encoder.begun[found as usize]);
            self.operands.push(Operand::Node(found));
        }
        Ok(true)
    }

    /// An object leads to one that was begun at this time: all since then lead to each other, if it is still open.
    pub(super) fn lead_back(&mut self, begun: u32) {
        if begun == 0 || self.groups.last().is_none_or(|&top| top <= begun) {
            return;
        }
        if self.open.binary_search(&begun).is_ok() {
            while self.groups.last().is_some_and(|&top| top > begun) {
                self.groups.pop();
            }
        }
    }

    /// The record of an object without parts has been written.
    pub(super) fn leaf(&mut self, object: &Bound<'py, PyAny>) {
        let node = self.make_node(object, 0);
        self.operands.push(Operand::Node(node));
    }

    /// The node that the record just written makes, of this object.
    pub(super) fn make_node(&mut self, object: &Bound<'py, PyAny>, begun: u32) -> u32 {
        let encoder = &mut *self.encoder;
        let node = encoder.out.node();
        encoder.begun.push(begun);
        encoder.memo.insert(object.as_ptr() as usize, node);
        encoder.kept.push(object.clone().unbind());
        node
    }

    pub(super) fn text(&mut self, text: &Bound<'py, PyString>) -> PyResult<()> {
        let interned = is_interned(text);
        if !interned && references(text) == ALONE && text.len()? <= INLINE_TO && text.to_str().is_ok() {
            self.operands.push(Operand::Text(text.clone()));
            return Ok(());
        }
        if self.is_known(text)? {
            return Ok(());
        }
        let out = &mut self.encoder.out;
        match text.to_str() {
            Ok(utf8) => {
                out.tag(if interned { Tag::Interned } else { Tag::Text });
                put_bytes(&mut out.bytes, utf8.as_bytes());
            }
            Err(_) => {
                let bytes = text.call_method1("encode", ("utf-8", "surrogatepass"))?;
                out.tag(Tag::Surrogates);
                put_bytes(&mut out.bytes, bytes.cast::<PyBytes>()?.as_bytes());
            }
        }
        self.leaf(text);
        Ok(())
    }

    fn int(&mut self, object: &Bound<'py, PyAny>) -> PyResult<()> {
        let small = small_int(object);
        if let Some(value) = small {
            if SMALLEST.contains(&value) || references(object) == ALONE {
                self.operands.push(Operand::Int(value));
                return Ok(());
            }
        }
        if self.is_known(object)? {
            return Ok(());
        }
        let out = &mut self.encoder.out;
        if let Some(value) = small {
            out.tag(Tag::Int);
            put_signed(&mut out.bytes, value);
        } else {
            let length = object.call_method0("bit_length")?.extract::<usize>()? / 8 + 1;
            let signed = [("signed", true)];
            let signed = pyo3::types::IntoPyDict::into_py_dict(signed, self.py)?;
            let bytes = object.call_method("to_bytes", (length, "little"), Some(&signed))?;
            out.tag(Tag::BigInt);
            put_bytes(&mut out.bytes, bytes.cast::<PyBytes>()?.as_bytes());
        }
        self.leaf(object);
        Ok(())
    }

    fn bytes(&mut self, tag: Tag, object: &Bound<'py, PyAny>) -> PyResult<()> {
        let out = &mut self.encoder.out;
        let buffer = HeldBuffer::new(object)?;
        out.tag(tag);
        if buffer.len() >= HOLD_FROM {
            put_number(&mut out.bytes, buffer.len() as u64);
            out.hold(buffer);
        } else {
            put_bytes(&mut out.bytes, &buffer);
        }
        Ok(())
    }

    pub(super) fn name(&mut self, object: &Bound<'py, PyAny>, name: &[String]) -> PyResult<()> {
        let out = &mut self.encoder.out;
        out.tag(Tag::Name);
        put_number(&mut out.bytes, name.len() as u64);
        for part in name {
            put_bytes(&mut out.bytes, part.as_bytes());
        }
        self.leaf(object);
        Ok(())
    }

    /// Begins to write an object of which some parts have been visited; the others are to be put on the stack by
    /// whoever calls this.
    pub(super) fn begin(&mut self, kind: Kind<'py>, object: &Bound<'py, PyAny>, operands: usize) {
        self.encoder.clock += 1;
        let begun = self.encoder.clock;
        self.open.push(begun);
        self.groups.push(begun);
        let place = PENDING + self.frames.len() as u32;
        self.encoder.memo.insert(object.as_ptr() as usize, place);
        self.frames.push(Frame {
            kind,
            object: object.clone(),
            node: NO_NODE,
            begun,
            todo: self.todo.len(),
            operands,
            quiet: false,
            nested: false,
        });
    }

    /// Puts the parts of the innermost frame on the stack.
    pub(super) fn parts_of_top(&mut self) -> PyResult<()> {
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        let todo = &mut self.todo;
        let base = todo.len();
        let object = &frame.object;
        match &mut frame.kind {
            Kind::Tuple => todo.extend(object.cast::<PyTuple>()?.iter()),
            Kind::List => todo.extend(object.cast::<PyList>()?.iter()),
            Kind::Dict { sure } => {
                for (key, value) in object.cast::<PyDict>()?.iter() {
                    *sure = *sure && is_sure(&key);
                    todo.push(key);
                    todo.push(value);
                }
            }
            Kind::Set { sure } => {
                todo.extend(object.cast::<PySet>()?.iter());
                *sure = todo[base..].iter().all(is_sure);
            }
            Kind::FrozenSet { sure } => {
                todo.extend(object.cast::<PyFrozenSet>()?.iter());
                *sure = todo[base..].iter().all(is_sure);
            }
            Kind::Instance { .. } => {
                let class = object.get_type_ptr() as usize;
                if let Some(Class::Plain(plain)) = self.encoder.classes.get(&class) {
                    if let Some(own) = plain.has_attributes.then(|| own_attributes(object)).flatten() {
                        todo.extend(own.cast::<PyDict>()?.iter().map(|(_, value)| value));
                    }
                    todo.extend(plain.slots.iter().filter_map(|(slot, ..)| slot.get(object)));
                }
            }
            Kind::Make(parts) => parts.to_make(todo),
            Kind::Fill(fill, parts) => {
                parts.to_fill(*fill, todo);
                match fill {
                    Fill::State => {}
                    Fill::List { sure } => *sure = todo[base..].iter().all(is_sure),
                    Fill::Dict { sure } => *sure = todo[base..].iter().step_by(2).all(is_sure),
                }
            }
            Kind::Done => {}
        }
        todo[base..].reverse();
        Ok(())
    }

    /// Remembers that an object cannot travel; what stands for it is made of these parts.
    pub(super) fn refuse(&self, object: &Bound<'py, PyAny>, reason: &str) -> PyResult<Bound<'py, PyAny>> {
        let asker = self.encoder.seam.asker.bind(self.py);
        asker.call_method1("refuse", (object, reason))
    }

    /// The same where asking it failed.
    pub(super) fn failed(&self, object: &Bound<'py, PyAny>, error: PyErr) -> PyResult<Bound<'py, PyAny>> {
        let asker = self.encoder.seam.asker.bind(self.py);
        asker.call_method1("failed", (object, error.into_value(self.py)))
    }
}

/// Whether the hash of a key needs nothing that is set later, and runs no code of the program.
pub(super) fn is_sure(key: &Bound<'_, PyAny>) -> bool {
    key.is_exact_instance_of::<PyString>()
        || key.is_exact_instance_of::<PyInt>()
        || key.is_exact_instance_of::<PyBytes>()
        || key.is_exact_instance_of::<PyFloat>()
        || key.is_exact_instance_of::<PyComplex>()
        || key.is_none()
        || key.is_exact_instance_of::<PyBool>()
        || is_hashed_by_identity(key)
}
