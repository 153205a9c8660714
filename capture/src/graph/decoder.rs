//! From records to objects.

use crate::cpython::buffer::{filled_bytearray, filled_bytes};
use crate::cpython::making::{bare_instance, interned, list_of, new_instance, tuple_of, InstanceSlot};
use crate::cpython::objects::{lookup_on_type, own_attributes};
use crate::cpython::sets::{self, fill_frozenset, unfilled_frozenset};
use crate::payload::records::{literal, RecordReader, RecordSource, Tag, LITERALS};
use crate::payload::PayloadError;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyMemoryView, PySet, PyString,
    PyTuple, PyType,
};

/// Why no object came.
#[derive(Debug)]
pub enum DecodeError {
    /// The bytes are not what they should be.
    Payload(PayloadError),
    /// What was called while objects were made raised this.
    Python(PyErr),
}

impl From<PyErr> for Box<DecodeError> {
    fn from(error: PyErr) -> Self {
        Self::new(DecodeError::Python(error))
    }
}

impl From<PayloadError> for Box<DecodeError> {
    fn from(error: PayloadError) -> Self {
        Self::new(DecodeError::Payload(error))
    }
}

/// Errors are rare, and as small as can be: there is one result for each operand.
type Decoded<T> = Result<T, Box<DecodeError>>;

#[cold]
fn broken<T>(what: &'static str) -> Decoded<T> {
    Err(PayloadError::Graph { what }.into())
}

/// A class, names of attributes of its instances, and slots that they have.
struct Shape {
    class: Py<PyType>,
    names: Vec<Py<PyAny>>,
    slots: Vec<InstanceSlot>,
}

/// Reads records, and makes what they say.
pub struct Decoder<S> {
    records: RecordReader<S>,
    nodes: Vec<Py<PyAny>>,
    shapes: Vec<Shape>,
    /// The buffers that came out of band, those that are next last.
    buffers: Vec<Py<PyAny>>,
    /// Frozen sets that wait to be filled. No others are.
    unfilled: Vec<Py<PyFrozenSet>>,
}

/// Texts up to this length are read at once.
const LARGE: usize = 1 << 16;
/// No more room is made on the word of a count.
const ROOM: usize = 1 << 16;
/// No table of a set has more entries, as a power of two.
const BITS: u64 = 40;

impl<S: RecordSource + Send> Decoder<S> {
    /// One that has read nothing. `buffers` came out of band.
    pub fn new(source: S, mut buffers: Vec<Py<PyAny>>) -> Self {
        buffers.reverse();
        Self {
            records: RecordReader::new(source),
            nodes: Vec::new(),
            shapes: Vec::new(),
            buffers,
            unfilled: Vec::new(),
        }
    }

    /// How many bytes have not been read.
    pub fn remaining(&self) -> u64 {
        self.records.remaining()
    }

    /// Reads up to the next thing that is complete. `find` is called with the parts of names.
    pub fn read<'py>(&mut self, find: &Bound<'py, PyAny>) -> Decoded<Bound<'py, PyAny>> {
        let py = find.py();
        let mut parts: Vec<Bound<'py, PyAny>> = Vec::new();
        loop {
            let tag = self.records.tag()?;
            if tag == Tag::End {
                return self.operand(py);
            }
            parts.clear();
            if let Some(made) = self.record(find, tag, &mut parts)? {
                self.nodes.push(made.unbind());
            }
        }
    }

    /// Does what a record says; the object that it makes, if it makes one.
    fn record<'py>(
        &mut self,
        find: &Bound<'py, PyAny>,
        tag: Tag,
        parts: &mut Vec<Bound<'py, PyAny>>,
    ) -> Decoded<Option<Bound<'py, PyAny>>> {
        let py = find.py();
        Ok(Some(match tag {
            Tag::End => return Ok(None),
            Tag::Int => self
                .records
                .signed()?
                .into_pyobject(py)
                .map_err(PyErr::from)?
                .into_any(),
            Tag::BigInt => {
                let bytes = self.bytes(py)?;
                let signed = PyDict::new(py);
                signed.set_item("signed", true)?;
                py.get_type::<PyInt>()
                    .call_method("from_bytes", (bytes, "little"), Some(&signed))?
            }
            Tag::Float => PyFloat::new(py, self.records.float()?).into_any(),
            Tag::Complex => {
                let (real, imaginary) = (self.records.float()?, self.records.float()?);
                PyComplex::from_doubles(py, real, imaginary).into_any()
            }
            Tag::Text => self.text(py)?.into_any(),
            Tag::Interned => interned(self.text(py)?).into_any(),
            Tag::Surrogates => {
                let bytes = self.bytes(py)?;
                bytes.call_method1("decode", ("utf-8", "surrogatepass"))?
            }
            Tag::Bytes => self.bytes(py)?,
            Tag::ByteArray => {
                let count = self.records.count()?;
                let records = &mut self.records;
                filled_bytearray(py, count, |place| records.read_into(place))??.into_any()
            }
            Tag::Buffer | Tag::FixedBuffer => {
                let Some(buffer) = self.buffers.pop() else {
                    return broken("there are not as many buffers");
                };
                let buffer = buffer.into_bound(py);
                if tag == Tag::Buffer {
                    buffer
                } else {
                    PyMemoryView::from(&buffer)?.call_method0("toreadonly")?
                }
            }
            Tag::Name => {
                for _ in 0..self.records.count()? {
                    parts.push(self.text(py)?.into_any());
                }
                let name = PyTuple::new(py, parts.drain(..))?;
                find.call1((name,))?
            }
            Tag::Tuple => {
                let count = self.records.count()?;
                tuple_of(py, count, || self.operand(py))?.into_any()
            }
            Tag::List => {
                let count = self.records.count()?;
                list_of(py, count, || self.operand(py))?.into_any()
            }
            Tag::Dict => {
                let made = PyDict::new(py);
                self.items(&made)?;
                made.into_any()
            }
            Tag::Set => {
                let made = PySet::empty(py)?;
                self.members(&made)?;
                made.into_any()
            }
            Tag::FrozenSet => {
                let set = PySet::empty(py)?;
                self.members(&set)?;
                if set.is_empty() {
                    PyFrozenSet::empty(py)?.into_any()
                } else {
                    let made = unfilled_frozenset(py)?;
                    fill_frozenset(&made, &set)?;
                    made.into_any()
                }
            }
            Tag::UnfilledFrozenSet => {
                let made = unfilled_frozenset(py)?;
                self.unfilled.push(made.clone().unbind());
                made.into_any()
            }
            Tag::Call => {
                self.operands(py, parts)?;
                let mut parts = parts.drain(..);
                let Some(function) = parts.next() else {
                    return broken("a call of nothing");
                };
                function.call1(PyTuple::new(py, parts)?)?
            }
            Tag::New => {
                self.operands(py, parts)?;
                let mut parts = parts.drain(..);
                let Some(class) = parts.next() else {
                    return broken("an instance of nothing");
                };
                new_instance(&class, &PyTuple::new(py, parts)?)?
            }
            Tag::Shape => {
                let shape = self.shape(py)?;
                self.shapes.push(shape);
                return Ok(None);
            }
            Tag::Bare => match self.operand(py)?.cast::<PyType>() {
                Ok(class) => bare_instance(class)?,
                Err(_) => return broken("an instance of no class"),
            },
            Tag::Instance => {
                let shape = self.records.number()? as usize;
                let Some(Shape { class, .. }) = self.shapes.get(shape) else {
                    return broken("there is no such shape");
                };
                let made = bare_instance(class.bind(py))?;
                self.attributes(&made, shape)?;
                made
            }
            _ => {
                self.fill(py, tag, parts)?;
                return Ok(None);
            }
        }))
    }

    /// Does what a record says that fills an object.
    fn fill<'py>(&mut self, py: Python<'py>, tag: Tag, parts: &mut Vec<Bound<'py, PyAny>>) -> Decoded<()> {
        let target = self.operand(py)?;
        match tag {
            Tag::Extend => {
                let Ok(list) = target.cast::<PyList>() else {
                    return broken("items for what is no list");
                };
                self.operands(py, parts)?;
                for item in parts.drain(..) {
                    list.append(item)?;
                }
            }
            Tag::Items => {
                let Ok(dict) = target.cast::<PyDict>() else {
                    return broken("items for what is no dict");
                };
                self.items(dict)?;
            }
            Tag::Add => {
                let Ok(set) = target.cast::<PySet>() else {
                    return broken("members for what is no set");
                };
                self.members(set)?;
            }
            Tag::FillFrozenSet => {
                let Some(at) = self.unfilled.iter().rposition(|one| one.is(&target)) else {
                    return broken("a frozen set that is filled already");
                };
                self.unfilled.swap_remove(at);
                let set = PySet::empty(py)?;
                self.members(&set)?;
                fill_frozenset(&target, &set)?;
            }
            Tag::Attributes => {
                let shape = self.records.number()? as usize;
                self.attributes(&target, shape)?;
            }
            Tag::State => {
                let state = self.operand(py)?;
                set_state(&target, &state)?;
            }
            Tag::StateBy => {
                let (state, setter) = (self.operand(py)?, self.operand(py)?);
                setter.call1((target, state))?;
            }
            Tag::Append => {
                self.operands(py, parts)?;
                append(&target, parts)?;
            }
            Tag::SetItems => {
                for _ in 0..self.records.count()? {
                    let (key, value) = (self.operand(py)?, self.operand(py)?);
                    target.set_item(key, value)?;
                }
            }
            _ => return broken("a record that is out of place"),
        }
        Ok(())
    }

    /// An object, as part of a record.
    #[inline]
    fn operand<'py>(&mut self, py: Python<'py>) -> Decoded<Bound<'py, PyAny>> {
        let number = self.records.number()?;
        if number >= LITERALS {
            let back = number - (LITERALS - 1);
            let at = (self.nodes.len() as u64).checked_sub(back);
            return match at.and_then(|at| self.nodes.get(at as usize)) {
                Some(node) => Ok(node.bind(py).clone()),
                None => broken("there is no such node"),
            };
        }
        Ok(match number {
            literal::NONE => py.None().into_bound(py),
            literal::TRUE => PyBool::new(py, true).to_owned().into_any(),
            literal::FALSE => PyBool::new(py, false).to_owned().into_any(),
            literal::EMPTY => PyTuple::empty(py).into_any(),
            literal::INT => self
                .records
                .signed()?
                .into_pyobject(py)
                .map_err(PyErr::from)?
                .into_any(),
            literal::FLOAT => PyFloat::new(py, self.records.float()?).into_any(),
            literal::TEXT => self.text(py)?.into_any(),
            literal::BYTES => self.bytes(py)?,
            _ => return broken("there is no such operand"),
        })
    }

    /// A count, and as many operands.
    fn operands<'py>(&mut self, py: Python<'py>, parts: &mut Vec<Bound<'py, PyAny>>) -> Decoded<()> {
        for _ in 0..self.records.count()? {
            let part = self.operand(py)?;
            parts.push(part);
        }
        Ok(())
    }

    fn items(&mut self, dict: &Bound<'_, PyDict>) -> Decoded<()> {
        let py = dict.py();
        for _ in 0..self.records.count()? {
            let key = self.operand(py)?;
            let value = self.operand(py)?;
            dict.set_item(key, value)?;
        }
        Ok(())
    }

    /// Members for a set, which lie where they did if that is possible here.
    fn members(&mut self, set: &Bound<'_, PySet>) -> Decoded<()> {
        let mut parts = Vec::new();
        self.operands(set.py(), &mut parts)?;
        let placed = match self.places()? {
            Some(places) => sets::put(set, &parts, &places)?,
            None => false,
        };
        if !placed {
            for member in parts {
                set.add(member)?;
            }
        }
        Ok(())
    }

    fn places(&mut self) -> Decoded<Option<sets::Places>> {
        let bits = self.records.number()?;
        if bits == 0 {
            return Ok(None);
        }
        if bits > BITS {
            return broken("a set that no memory holds");
        }
        let finger = self.records.number()? as usize;
        let mut used = Vec::new();
        let mut next = 0usize;
        for _ in 0..self.records.count()? {
            let number = self.records.number()? as usize;
            let slot = next.saturating_add(number >> 1);
            used.push((slot, number & 1 == 0));
            next = slot.saturating_add(1);
        }
        Ok(Some(sets::Places {
            mask: (1 << bits) - 1,
            finger,
            used,
        }))
    }

    /// Gives an instance the attributes of a shape.
    fn attributes(&mut self, target: &Bound<'_, PyAny>, shape: usize) -> Decoded<()> {
        let py = target.py();
        let Some(Shape { class, names, slots }) = self.shapes.get(shape) else {
            return broken("there is no such shape");
        };
        if !target.get_type().is(class.bind(py)) {
            return broken("attributes for another class");
        }
        let (names, slots) = (names.len(), slots.len());
        if names > 0 {
            let Some(Ok(own)) = own_attributes(target).map(Bound::cast_into::<PyDict>) else {
                return Err(PyTypeError::new_err(format!("{} has no attributes", target.get_type())).into());
            };
            for index in 0..names {
                let value = self.operand(py)?;
                own.set_item(self.shapes[shape].names[index].bind(py), value)?;
            }
        }
        for index in 0..slots {
            let value = self.operand(py)?;
            self.shapes[shape].slots[index].set(target, value);
        }
        Ok(())
    }

    fn shape(&mut self, py: Python<'_>) -> Decoded<Shape> {
        let (count, slot_count) = (self.records.count()?, self.records.count()?);
        let Ok(class) = self.operand(py)?.cast_into::<PyType>() else {
            return broken("a shape of no class");
        };
        let mut names = Vec::with_capacity(count.min(ROOM));
        for _ in 0..count {
            names.push(as_text(self.operand(py)?)?.into_any().unbind());
        }
        let mut slots = Vec::with_capacity(slot_count.min(ROOM));
        for _ in 0..slot_count {
            let (owner, name) = (self.operand(py)?, as_text(self.operand(py)?)?);
            let slot = owner
                .cast::<PyType>()
                .ok()
                .and_then(|owner| lookup_on_type(owner, name.to_str().ok()?))
                .and_then(|descriptor| InstanceSlot::new(&descriptor, &class));
            let Some(slot) = slot else {
                return broken("a slot that no class has");
            };
            slots.push(slot);
        }
        Ok(Shape {
            class: class.unbind(),
            names,
            slots,
        })
    }

    fn text<'py>(&mut self, py: Python<'py>) -> Decoded<Bound<'py, PyString>> {
        let count = self.records.count()?;
        let records = &mut self.records;
        let bytes = if count <= LARGE {
            records.bytes(count)?
        } else {
            py.detach(|| records.bytes(count))?
        };
        PyString::from_bytes(py, bytes).or_else(|_| broken("a text that is none"))
    }

    fn bytes<'py>(&mut self, py: Python<'py>) -> Decoded<Bound<'py, PyAny>> {
        let count = self.records.count()?;
        if count <= LARGE {
            return Ok(PyBytes::new(py, self.records.bytes(count)?).into_any());
        }
        let records = &mut self.records;
        let made = filled_bytes(py, count, |place| records.read_into(place))??;
        Ok(made.into_any())
    }
}

fn as_text(name: Bound<'_, PyAny>) -> Decoded<Bound<'_, PyString>> {
    match name.cast_into_exact::<PyString>() {
        Ok(name) => Ok(name),
        Err(_) => broken("an attribute without a name"),
    }
}

/// Puts items behind those of an object, as `pickle` does.
fn append<'py>(target: &Bound<'py, PyAny>, items: &mut Vec<Bound<'py, PyAny>>) -> PyResult<()> {
    let py = target.py();
    if let Ok(list) = target.cast_exact::<PyList>() {
        return items.drain(..).try_for_each(|item| list.append(item));
    }
    if let Some(extend) = target.getattr_opt(intern!(py, "extend"))? {
        extend.call1((PyList::new(py, items.drain(..))?,))?;
        return Ok(());
    }
    let append = target.getattr(intern!(py, "append"))?;
    items
        .drain(..)
        .try_for_each(|item| append.call1((item,)).map(drop))
}

/// Gives an object its state, as `pickle` does.
fn set_state(target: &Bound<'_, PyAny>, state: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = target.py();
    if let Some(setter) = target.getattr_opt(intern!(py, "__setstate__"))? {
        setter.call1((state,))?;
        return Ok(());
    }
    let pair = state.cast_exact::<PyTuple>().ok().filter(|pair| pair.len() == 2);
    let (own, slots) = match pair {
        Some(pair) => (pair.get_item(0)?, Some(pair.get_item(1)?)),
        None => (state.clone(), None),
    };
    if !own.is_none() {
        let attributes = target.getattr(intern!(py, "__dict__"))?;
        for item in own.call_method0("items")?.try_iter()? {
            let (name, value) = item?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            attributes.set_item(name, value)?;
        }
    }
    if let Some(slots) = slots.filter(|slots| !slots.is_none()) {
        for item in slots.call_method0("items")?.try_iter()? {
            let (name, value) = item?.extract::<(Bound<'_, PyString>, Bound<'_, PyAny>)>()?;
            target.setattr(name, value)?;
        }
    }
    Ok(())
}
