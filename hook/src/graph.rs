//! The object graph's two ends, and single things that its Python side asks of us.

use crate::errors::payload_error;
use capture::cpython::buffer::HeldBuffer;
use capture::cpython::{fields, hashes, making, objects, sets};
use capture::graph::{DecodeError, Decoder, Encoder, Piece, Seam};
use capture::payload::records::RecordSource;
use capture::payload::GraphReader;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{
    PyBytes, PyCFunction, PyDict, PyFrozenSet, PySet, PyString, PyTuple, PyWeakref, PyWeakrefMethods,
};
use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::sync::Mutex;

/// Writes the graph's records.
///
/// Args:
///     asker: takes apart what is not built in: `pyteleport.graph.Asker`.
///     plain: the taker of instances that are no more than their attributes.
///     fill: what sets the state of others.
///     newobj: ``copyreg.__newobj__``.
///     named: the names of what both ends find, as tuples, by the ``id()`` of the object.
#[pyclass]
pub struct GraphEncoder {
    encoder: Encoder,
}

#[pymethods]
impl GraphEncoder {
    #[new]
    fn new(
        asker: Py<PyAny>,
        plain: Py<PyAny>,
        fill: Py<PyAny>,
        newobj: Py<PyAny>,
        named: HashMap<usize, Py<PyTuple>>,
    ) -> Self {
        let seam = Seam {
            asker,
            plain,
            fill,
            newobj,
        };
        Self {
            encoder: Encoder::new(seam, named),
        }
    }

    /// Writes an object, and all that it refers to and that has not been written yet.
    fn write(&mut self, root: Bound<'_, PyAny>) -> PyResult<()> {
        self.encoder.write(root)
    }

    /// Takes out what was written: its bytes, and the objects whose buffers travel out of band.
    fn taken<'py>(&mut self, py: Python<'py>) -> (Bound<'py, PyBytes>, Vec<Py<PyAny>>) {
        let pieces = self.encoder.take();
        let bytes: Vec<&[u8]> = pieces.iter().map(Piece::bytes).collect();
        (PyBytes::new(py, &bytes.concat()), self.encoder.take_buffers())
    }
}

impl GraphEncoder {
    /// Takes out what was written.
    pub fn take(&mut self) -> Vec<Piece> {
        self.encoder.take()
    }

    /// Takes out what travels out of band.
    pub fn take_buffers(&mut self) -> Vec<Py<PyAny>> {
        self.encoder.take_buffers()
    }
}

/// What a payload is read from.
pub type Input = Box<dyn Read + Send>;

/// Reads the graph's records.
///
/// Args:
///     records: their bytes.
///     buffers: those that came out of band.
#[pyclass]
pub struct GraphDecoder {
    decoder: Mutex<Decoder<Box<dyn RecordSource + Send>>>,
}

impl GraphDecoder {
    /// The rest of a payload, and the buffers that came before.
    pub fn new(reader: GraphReader<Input>, buffers: Vec<Py<PyAny>>) -> Self {
        Self {
            decoder: Mutex::new(Decoder::new(Box::new(reader), buffers)),
        }
    }

    /// How much of the stream has not been read.
    pub fn remaining(&self) -> u64 {
        self.decoder.lock().map_or(0, |decoder| decoder.remaining())
    }
}

#[pymethods]
impl GraphDecoder {
    #[new]
    fn of_bytes(records: Vec<u8>, buffers: Vec<Py<PyAny>>) -> Self {
        Self {
            decoder: Mutex::new(Decoder::new(Box::new(Cursor::new(records)), buffers)),
        }
    }

    /// The next object that was written; `find` gets the names of what is found here.
    fn read<'py>(&self, find: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let mut decoder = self
            .decoder
            .try_lock()
            .map_err(|_| PyRuntimeError::new_err("the graph is being read"))?;
        decoder.read(find).map_err(|error| match *error {
            DecodeError::Payload(error) => payload_error(find.py(), error),
            DecodeError::Python(error) => error,
        })
    }
}

/// The bytes that an ``io.BufferedReader`` has read ahead.
#[pyfunction]
pub fn buffered_unread<'py>(reader: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    objects::buffered_unread(reader)
}

/// The text that an ``io.TextIOWrapper`` has decoded ahead.
#[pyfunction]
pub fn text_unread<'py>(stream: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    objects::text_unread(stream)
}

/// Puts text in front of an ``io.TextIOWrapper``, as if it had been decoded ahead.
#[pyfunction]
pub fn text_give_back(stream: &Bound<'_, PyAny>, text: Bound<'_, PyString>) -> PyResult<()> {
    objects::text_give_back(stream, text)
}

/// The callbacks registered with ``atexit``, oldest first: ``(function, args, kwargs)`` each.
#[pyfunction]
pub fn atexit_entries(py: Python<'_>) -> PyResult<Vec<objects::AtexitEntry<'_>>> {
    objects::atexit_entries(py)
}

/// Where the memory of a bytes-like object begins, which is in one piece.
#[pyfunction]
pub fn address_of_memory(object: &Bound<'_, PyAny>) -> PyResult<usize> {
    HeldBuffer::new(object).map(|buffer| buffer.address())
}

/// The ``newline`` that an ``io.TextIOWrapper`` was made with.
#[pyfunction]
pub fn text_newline<'py>(stream: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    objects::text_newline(stream)
}

/// What a weak reference or proxy refers to, without asking it; ``None`` when it is gone.
#[pyfunction]
pub fn referent<'py>(reference: &Bound<'py, PyWeakref>) -> Option<Bound<'py, PyAny>> {
    reference.upgrade()
}

/// What a field of a C object holds, ``None`` where it is empty; CPython's name of the field.
#[pyfunction]
pub fn read_field<'py>(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    fields::read(object, name)
}

/// Puts an object or a number into a field of a C object; ``None`` empties it.
#[pyfunction]
pub fn write_field(object: &Bound<'_, PyAny>, name: &str, value: Option<Bound<'_, PyAny>>) -> PyResult<()> {
    fields::write(object, name, value)
}

/// An object of the same type in C as this one, with nothing in it yet.
#[pyfunction]
pub fn blank_like<'py>(specimen: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    making::blank_like(specimen)
}

/// The same function in C as this one, as a method of another receiver.
#[pyfunction]
pub fn bound_again<'py>(
    function: &Bound<'py, PyCFunction>,
    receiver: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    making::bound_again(function, receiver)
}

/// The dictionary of an object whose type does not show it; ``None`` if it has none.
#[pyfunction]
pub fn own_attributes<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    objects::own_attributes(object)
}

/// Whether a field is known of objects like this one, on this release.
#[pyfunction]
pub fn has_field(object: &Bound<'_, PyAny>, name: &str) -> bool {
    fields::has(object, name)
}

/// All fields that a C object owns, by CPython's names, without those that are empty.
#[pyfunction]
pub fn read_fields<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    fields::read_all(object)
}

/// Puts back what :func:`read_fields` gave, into an object made with arrays of the same lengths.
#[pyfunction]
pub fn write_fields(object: &Bound<'_, PyAny>, values: &Bound<'_, PyDict>) -> PyResult<()> {
    fields::write_all(object, values)
}

/// The environment that C code sees.
#[pyfunction]
pub fn environment(py: Python<'_>) -> Vec<(Bound<'_, PyBytes>, Bound<'_, PyBytes>)> {
    let bytes = |text: std::ffi::OsString| PyBytes::new(py, text.as_encoded_bytes());
    std::env::vars_os()
        .map(|(name, value)| (bytes(name), bytes(value)))
        .collect()
}

/// The secret of this interpreter that hashes of texts depend on.
#[pyfunction]
pub fn hash_secret(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &hashes::secret())
}

/// A set that gives its members in this order, to be gone through and for nothing else.
#[pyfunction]
pub fn set_in_order<'py>(py: Python<'py>, members: Vec<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PySet>> {
    sets::in_order(py, &members)
}

/// Where the members of a set or frozen set lie, of whatever class: one less than the entries of its table, from where
/// `pop` goes on, and the entries in use, doubled, and one more where no member is left.
#[pyfunction]
pub fn set_places(set: &Bound<'_, PyAny>) -> PyResult<(usize, usize, Vec<usize>)> {
    if !set.is_instance_of::<PySet>() && !set.is_instance_of::<PyFrozenSet>() {
        return Err(PyTypeError::new_err("a set is needed"));
    }
    let places = sets::Places::of(set);
    let entry = |(slot, is_member): (usize, bool)| slot << 1 | usize::from(!is_member);
    Ok((
        places.mask,
        places.finger,
        places.used.into_iter().map(entry).collect(),
    ))
}

/// Has the members of a set lie so; whether they do.
#[pyfunction]
pub fn set_rearrange(
    set: &Bound<'_, PyAny>,
    members: Vec<Bound<'_, PyAny>>,
    places: (usize, usize, Vec<usize>),
) -> PyResult<bool> {
    let (mask, finger, used) = places;
    let used = used
        .into_iter()
        .map(|entry| (entry >> 1, entry & 1 == 0))
        .collect();
    sets::rearrange(set, &members, &sets::Places { mask, finger, used })
}
