//! From the stopped stack to a payload's parts.

use crate::errors::{capture_error, payload_error, raise};
use crate::graph::GraphEncoder;
use crate::identity::{build_identity, host, start};
use crate::meanwhile::Meanwhile;
use crate::times::timed;
use capture::cpython::buffer::HeldBuffer;
use capture::cpython::codeobject::slot_names_of;
use capture::cpython::evalframe;
use capture::cpython::frame::RunningFrame;
use capture::cpython::lifecycle;
use capture::cpython::modules::import;
use capture::cpython::thread::ThreadState;
use capture::cpython::tripped;
use capture::graph::Piece;
use capture::payload::{Header, PayloadWriter, Start};
use capture::read::{frame_objects, read_stack, Place};
use capture::snapshot::Snapshot;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

/// What the graph's encoder is told of the stopped stack.
#[pyclass(frozen)]
pub struct Capture {
    /// The objects of all frames, each once.
    #[pyo3(get)]
    objects: Py<PyList>,
    /// The frame's index, outermost first, by the ``id()`` of the generator that runs in it.
    #[pyo3(get)]
    running: Py<PyDict>,
    /// The frame's index by the ``id()`` of its frame object.
    #[pyo3(get)]
    live_frames: Py<PyDict>,
    /// The code objects of the frames.
    #[pyo3(get)]
    codes: Py<PyList>,
    places: Vec<(u32, Place)>,
}

#[pymethods]
impl Capture {
    /// For each object the variable that it was found in first, as in ``main() → job``.
    fn labels(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.places
            .iter()
            .map(|(frame, place)| self.label(py, *frame, *place))
            .collect()
    }
}

impl Capture {
    fn label(&self, py: Python<'_>, frame: u32, place: Place) -> PyResult<String> {
        let code = self.codes.bind(py).get_item(frame as usize)?;
        let name = code.getattr("co_name")?.extract::<String>()?;
        let frame = if name.starts_with('<') {
            name
        } else {
            format!("{name}()")
        };
        let what = match place {
            Place::Slot(slot) => variable(&code, slot)?,
            Place::Stack => "(value stack)".into(),
            Place::Frame => "(frame)".into(),
        };
        Ok(format!("{frame} → {what}"))
    }
}

/// The name of a slot.
fn variable(code: &Bound<'_, PyAny>, slot: usize) -> PyResult<String> {
    let name = slot_names_of(code)?.into_iter().nth(slot);
    Ok(name.unwrap_or_else(|| format!("(slot {slot})")))
}

/// A payload's parts, ready to be written.
pub struct Encoded {
    header: Header,
    start: Start,
    snapshot: Snapshot,
    buffers: Vec<HeldBuffer>,
    graph: Vec<Piece>,
    /// Keeps alive what the parts borrow from.
    _objects: Py<PyList>,
}

impl Encoded {
    /// The payload, which borrows all that is large.
    pub fn writer(&self, py: Python<'_>) -> PyResult<PayloadWriter<'_>> {
        let buffers = self.buffers.iter().map(|buffer| &buffer[..]).collect();
        let graph = self.graph.iter().map(Piece::bytes).collect();
        PayloadWriter::new(&self.header, &self.start, &self.snapshot, buffers, graph)
            .map_err(|error| payload_error(py, error))
    }
}

/// Captures the calling thread's stack below pyteleport's own frames, and encodes it.
///
/// Nothing of the program is changed, whatever comes out.
pub fn encode(py: Python<'_>, extras: &Bound<'_, PyDict>) -> PyResult<Encoded> {
    refuse_threads(py)?;
    let _meanwhile = Meanwhile::begin();
    let captured = timed("capture", || read_stack(py, is_ours)).map_err(|error| capture_error(py, error))?;
    let running = PyDict::new(py);
    for (index, frame) in captured.frames.iter().enumerate() {
        if let Some(generator) = frame.generator() {
            running.set_item(generator.as_ptr() as usize, index)?;
        }
    }
    let codes = PyList::new(py, captured.frames.iter().map(|frame| frame.code()))?;
    let live_frames = frame_objects(py, &captured)?;
    let places = captured.table.places().to_vec();
    let objects = PyList::new(py, captured.table.into_objects())?;
    let capture = Capture {
        objects: objects.clone().unbind(),
        running: running.unbind(),
        live_frames: live_frames.unbind(),
        codes: codes.unbind(),
        places,
    };
    extras.set_item("recording", evalframe::status(py).recording)?;
    extras.set_item("signals", tripped::waiting(py)?)?;
    extras.set_item("held back", lifecycle::held_back())?;
    extras.set_item("times", crate::times::last_move_times(py)?)?;
    let encoder = timed("encode", || {
        import(py, "pyteleport.graph")?.call_method1("encode", (capture, extras))
    })?
    .cast_into::<GraphEncoder>()?;
    let buffers = encoder.borrow_mut().take_buffers();
    let buffers = buffers
        .iter()
        .map(|buffer| HeldBuffer::new(&raw_of(buffer.bind(py))?));
    let header = Header {
        build: build_identity(py)?,
        host: host(py)?,
        program: program(py)?,
        frames: captured.snapshot.frames.len() as u32,
    };
    let graph = encoder.borrow_mut().take();
    Ok(Encoded {
        header,
        start: start(py)?,
        snapshot: captured.snapshot,
        buffers: buffers.collect::<PyResult<_>>()?,
        graph,
        _objects: objects.unbind(),
    })
}

/// The memory behind a ``pickle.PickleBuffer``, as one row of bytes.
fn raw_of<'py>(buffer: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match buffer.getattr_opt("raw")? {
        Some(raw) => raw.call0(),
        None => Ok(buffer.clone()),
    }
}

/// A module whose coroutines are part of the program that awaits them.
const COROUTINES: &str = "pyteleport.coroutines";

/// Whether a frame is one of pyteleport's.
pub fn is_ours(frame: &RunningFrame<'_>) -> bool {
    let name = frame.globals().get_item("__name__");
    let name = name.and_then(|name| name.cast_into::<PyString>().map_err(PyErr::from));
    name.is_ok_and(|name| {
        name.to_str()
            .is_ok_and(|name| name == "pyteleport" || name.starts_with("pyteleport.") && name != COROUTINES)
    })
}

/// Other threads do not travel yet.
fn refuse_threads(py: Python<'_>) -> PyResult<()> {
    let others = ThreadState::count_threads(py) - 1;
    if others == 0 {
        return Ok(());
    }
    let names = thread_names(py).unwrap_or_default();
    let names = if names.is_empty() {
        format!("{others} unnamed")
    } else {
        names.join(", ")
    };
    let message =
        format!("other threads are running and cannot be moved: {names}; join them before the move");
    Err(raise(py, "CaptureError", message))
}

fn thread_names(py: Python<'_>) -> PyResult<Vec<String>> {
    let modules = import(py, "sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    let Some(threading) = modules.get_item("threading")? else {
        return Ok(Vec::new());
    };
    let current = threading.call_method0("current_thread")?;
    let mut names = Vec::new();
    for thread in threading.call_method0("enumerate")?.try_iter()? {
        let thread = thread?;
        if !thread.is(&current) {
            names.push(thread.getattr("name")?.extract()?);
        }
    }
    Ok(names)
}

fn program(py: Python<'_>) -> PyResult<String> {
    let argv = import(py, "sys")?.getattr_opt("argv")?;
    let first = argv.and_then(|argv| argv.get_item(0).ok());
    Ok(first.and_then(|first| first.extract().ok()).unwrap_or_default())
}
