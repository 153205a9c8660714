//! From objects to records.

use super::memo::ByAddress;
use super::out::{Output, Piece};
use super::walk::Walk;
use crate::cpython::making::InstanceSlot;
use crate::cpython::objects::lookup_on_type;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple, PyType};

/// What the graph's Python side offers the encoder.
///
/// `asker` has these methods: `taker_of(class)`, what takes the instances of a class apart, to be called with
/// the asker and the object and to return what `__reduce_ex__` would; `fields_of(class)`, whether its instances have
/// a dictionary, and their slots, by the class that has each and its name; `refuse(object, reason)` and
/// `failed(object, exception)`, which remember a culprit and return a stand-in's parts; `consumes(object, setter)`,
/// whether setting the state looks into it.
pub struct Seam {
    /// See above.
    pub asker: Py<PyAny>,
    /// The taker of instances that are no more than their attributes and slots.
    pub plain: Py<PyAny>,
    /// What sets the state of those whose contents only their built-in base knows.
    pub fill: Py<PyAny>,
    /// `copyreg.__newobj__`.
    pub newobj: Py<PyAny>,
}

/// Writes objects as records. All that was written once is known, across calls.
pub struct Encoder {
    pub(super) seam: Seam,
    pub(super) out: Output,
    /// The node of an object; from [`NAMED`] on, the number of its name; from [`PENDING`] on, the place of what is
    /// being written.
    pub(super) memo: ByAddress<u32>,
    /// What the memo knows must live: else another object might come to lie in its place.
    pub(super) kept: Vec<Py<PyAny>>,
    /// When a node was begun, 0 for what has no parts.
    pub(super) begun: Vec<u32>,
    pub(super) clock: u32,
    /// What both ends find by themselves.
    pub(super) named: Vec<Py<PyTuple>>,
    pub(super) classes: ByAddress<Class>,
    pub(super) shapes: u32,
    /// How objects took themselves apart whose writing was put off.
    pub(super) answers: ByAddress<Py<PyTuple>>,
    pub(super) buffers: Vec<Py<PyAny>>,
}

/// From here on numbers in the memo are those of names,
pub(super) const NAMED: u32 = 1 << 30;
/// and from here on, places.
pub(super) const PENDING: u32 = 1 << 31;

/// How the instances of a class are written.
pub(super) enum Class {
    /// The taker is asked.
    Asked(Py<PyAny>),
    /// By their attributes and slots, once the first one was asked for.
    Plain(Plain),
}

/// A class whose instances are no more than their attributes and slots.
pub(super) struct Plain {
    pub(super) taker: Py<PyAny>,
    /// Whether none was asked for yet.
    pub(super) first: bool,
    pub(super) has_attributes: bool,
    pub(super) slots: Vec<NamedSlot>,
    /// What instances were seen to have, the last one first.
    pub(super) shapes: Vec<Shape>,
}

/// A slot of an instance, a class that has it, and its name there.
type NamedSlot = (InstanceSlot, Py<PyAny>, Py<PyString>);

/// The names of the attributes of an instance, and which of its slots hold something.
pub(super) struct Shape {
    pub(super) number: u32,
    /// The node of the class.
    pub(super) class: u32,
    /// Addresses of strings that are kept.
    pub(super) names: Vec<usize>,
    pub(super) set: u64,
}

impl Encoder {
    /// One that has written nothing. `named` are the objects that both ends find, by their addresses.
    pub fn new(seam: Seam, named: impl IntoIterator<Item = (usize, Py<PyTuple>)>) -> Self {
        let mut memo = ByAddress::default();
        let name = |(number, (address, name)): (u32, (usize, Py<PyTuple>))| {
            memo.insert(address, NAMED + number);
            name
        };
        let named = (0..).zip(named).map(name).collect();
        Self {
            seam,
            out: Output::default(),
            memo,
            kept: Vec::new(),
            begun: Vec::new(),
            clock: 0,
            named,
            classes: ByAddress::default(),
            shapes: 0,
            answers: ByAddress::default(),
            buffers: Vec::new(),
        }
    }

    /// Writes an object with all that it refers to.
    pub fn write(&mut self, root: Bound<'_, PyAny>) -> PyResult<()> {
        Walk::new(self, root.py()).root(root)
    }

    /// The records.
    pub fn take(&mut self) -> Vec<Piece> {
        self.out.take()
    }

    /// What travels out of band, in the order of its records.
    pub fn take_buffers(&mut self) -> Vec<Py<PyAny>> {
        std::mem::take(&mut self.buffers)
    }

    /// How the instances of a class are written.
    pub(super) fn class_of(&mut self, object: &Bound<'_, PyAny>) -> PyResult<&mut Class> {
        use std::collections::hash_map::Entry;
        let kind: Bound<'_, PyType> = object.get_type();
        match self.classes.entry(kind.as_ptr() as usize) {
            Entry::Occupied(found) => Ok(found.into_mut()),
            Entry::Vacant(place) => {
                let asker = self.seam.asker.bind(object.py());
                let taker = asker.call_method1("taker_of", (&kind,))?;
                let class = if taker.is(&self.seam.plain) {
                    let (has_attributes, slots) = asker.call_method1("fields_of", (&kind,))?.extract()?;
                    match slots_of(&kind, slots) {
                        Some(slots) => Class::Plain(Plain {
                            taker: taker.unbind(),
                            first: true,
                            has_attributes,
                            slots,
                            shapes: Vec::new(),
                        }),
                        None => Class::Asked(taker.unbind()),
                    }
                } else {
                    Class::Asked(taker.unbind())
                };
                self.kept.push(kind.into_any().unbind());
                Ok(place.insert(class))
            }
        }
    }
}

/// The slots of the instances of a class, by the class that has each and its name.
fn slots_of(
    class: &Bound<'_, PyType>,
    names: Vec<(Bound<'_, PyType>, Bound<'_, PyString>)>,
) -> Option<Vec<NamedSlot>> {
    let slot = |(owner, name): (Bound<'_, PyType>, Bound<'_, PyString>)| {
        let descriptor = lookup_on_type(&owner, name.to_str().ok()?)?;
        let slot = InstanceSlot::new(&descriptor, class)?;
        Some((slot, owner.into_any().unbind(), name.unbind()))
    };
    names.into_iter().map(slot).collect()
}
