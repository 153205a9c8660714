//! The object graph's stream, and single things that its Python side asks of us.

use capture::cpython::buffer::{fill_buffer, HeldBuffer};
use capture::cpython::{fields, objects};
use capture::payload::{GraphReader, PayloadError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyCode, PyDict, PyString, PyTuple};
use std::collections::HashMap;
use std::io::Read;
use std::sync::Mutex;

/// Objects that travel by name: a callable for ``pickle``'s ``persistent_id``.
///
/// Args:
///     by_id: the name, a tuple, by the ``id()`` of the object.
#[pyclass(frozen)]
pub struct PersistentIds {
    by_address: HashMap<usize, Py<PyTuple>>,
}

#[pymethods]
impl PersistentIds {
    #[new]
    fn new(by_id: HashMap<usize, Py<PyTuple>>) -> Self {
        Self { by_address: by_id }
    }

    fn __call__<'py>(&self, object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyTuple>> {
        let name = self.by_address.get(&(object.as_ptr() as usize))?;
        Some(name.bind(object.py()).clone())
    }
}

/// A piece of the graph's stream.
pub enum Piece {
    /// Bytes that the pickler made.
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

/// Where the pickler writes to. Large objects are kept, not copied.
#[pyclass]
#[derive(Default)]
pub struct GraphSink {
    pieces: Vec<Piece>,
}

/// What is at least this long is kept as it is.
const HOLD_FROM: usize = 1 << 16;

#[pymethods]
impl GraphSink {
    /// An empty one.
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes, and returns their number.
    fn write(&mut self, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        // A memoryview that the pickler makes of a string's text does not keep it alive.
        let owns = data.is_instance_of::<PyBytes>() || data.is_instance_of::<PyByteArray>();
        let data = HeldBuffer::new(data)?;
        let length = data.len();
        if owns && length >= HOLD_FROM {
            self.pieces.push(Piece::Held(data));
        } else if let Some(Piece::Written(last)) = self.pieces.last_mut() {
            last.extend_from_slice(&data);
        } else {
            self.pieces.push(Piece::Written(data.to_vec()));
        }
        Ok(length)
    }
}

impl GraphSink {
    /// Takes out what was written.
    pub fn take(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.pieces)
    }
}

/// What a payload is read from.
pub type Input = Box<dyn Read + Send>;

/// Where the unpickler reads from; every block is checked before it is handed out.
#[pyclass]
pub struct GraphSource {
    reader: Mutex<GraphReader<Input>>,
    failure: Mutex<Option<PayloadError>>,
}

impl GraphSource {
    /// The rest of a payload.
    pub fn new(reader: GraphReader<Input>) -> Self {
        Self {
            reader: Mutex::new(reader),
            failure: Mutex::new(None),
        }
    }

    /// What went wrong with the bytes, if anything.
    pub fn take_failure(&self) -> Option<PayloadError> {
        self.failure.lock().ok().and_then(|mut failure| failure.take())
    }

    /// How much of the stream has not been read.
    pub fn remaining(&self) -> u64 {
        self.reader.lock().map_or(0, |reader| reader.remaining())
    }

    fn read_with<T>(
        &self,
        read: impl FnOnce(&mut GraphReader<Input>) -> Result<T, PayloadError>,
    ) -> PyResult<T> {
        let mut reader = self.reader.lock().map_err(|_| broken("the stream is in use"))?;
        read(&mut reader).map_err(|error| {
            let shown = broken(&error.to_string());
            if let Ok(mut failure) = self.failure.lock() {
                failure.get_or_insert(error);
            }
            shown
        })
    }
}

/// What stops the unpickler; whoever called it asks for the real cause.
fn broken(message: &str) -> PyErr {
    pyo3::exceptions::PyEOFError::new_err(message.to_owned())
}

#[pymethods]
impl GraphSource {
    /// The next `size` bytes, fewer at the end.
    fn read<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| self.read_with(|reader| reader.read(size)))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Fills a buffer, straight from the source, and returns how far.
    fn readinto(&self, target: &Bound<'_, PyAny>) -> PyResult<usize> {
        fill_buffer(target, |memory| self.read_with(|reader| reader.read_into(memory)))?
    }

    /// The bytes up to the next newline.
    fn readline<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| self.read_with(GraphReader::read_line))?;
        Ok(PyBytes::new(py, &bytes))
    }
}

/// A frame object of this code that never ran, for tracebacks.
#[pyfunction]
pub fn dead_frame<'py>(
    code: &Bound<'py, PyCode>,
    globals: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    objects::dead_frame(code, globals)
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

/// The ``newline`` that an ``io.TextIOWrapper`` was made with.
#[pyfunction]
pub fn text_newline<'py>(stream: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    objects::text_newline(stream)
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
