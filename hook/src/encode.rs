//! From the stopped stack to a payload's parts.

use crate::errors::{capture_error, payload_error};
use crate::graph::GraphEncoder;
use crate::identity::{build_identity, host, start};
use crate::meanwhile::Meanwhile;
use crate::prompt;
use crate::times::timed;
use capture::cpython::buffer::HeldBuffer;
use capture::cpython::codeobject::slot_names_of;
use capture::cpython::evalframe;
use capture::cpython::frame::RunningFrame;
use capture::cpython::lifecycle;
use capture::cpython::modules::{import, loaded};
use capture::cpython::thread::CoroutineHooks;
use capture::cpython::tripped;
use capture::graph::Piece;
use capture::payload::records::Pieces;
use capture::payload::sizes::{of_parts, Variable};
use capture::payload::{Header, PayloadWriter, Start};
use capture::read::{frame_objects, Captured, Place};
use capture::snapshot::{Slot, Snapshot};
use capture::stacks::read_stacks;
use capture::threads::{Stopped, StoppedThreads};
use capture::CaptureError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use std::time::{Duration, Instant};

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
    /// For each stack what `threading.get_ident` gives in its thread.
    #[pyo3(get)]
    idents: Vec<u64>,
    /// The index of the main thread's stack.
    #[pyo3(get)]
    main: usize,
    /// For each stack the context that its thread has.
    #[pyo3(get)]
    contexts: Vec<Option<Py<PyAny>>>,
    /// For each stack what ``sys.get_asyncgen_hooks()`` and ``sys.get_coroutine_origin_tracking_depth()`` give in
    /// its thread.
    #[pyo3(get)]
    coroutine_hooks: Vec<CoroutineHooks>,
    /// For each stack the index of its first frame.
    #[pyo3(get)]
    firsts: Vec<usize>,
    /// The index of an object that is the state of an RLock which a thread gives back when its wait ends,
    /// and the index of its stack.
    #[pyo3(get)]
    saved: Vec<(usize, usize)>,
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

/// A payload's parts, ready to be written. Other threads stand for as long as it lives.
pub struct Encoded {
    header: Header,
    start: Start,
    snapshot: Snapshot,
    buffers: Vec<HeldBuffer>,
    graph: Vec<Piece>,
    /// Keeps alive what the parts borrow from.
    _objects: Py<PyList>,
    _stopped: Option<StoppedThreads>,
}

impl Encoded {
    /// How many frames there are.
    pub fn frames(&self) -> u32 {
        self.header.frames
    }

    /// Whether other threads stand with it.
    pub fn has_threads(&self) -> bool {
        self.snapshot.stacks.len() > 1
    }

    /// The variables that take the space, the largest first; none where that would take long to find out.
    pub fn sizes(&self) -> impl Fn() -> Vec<Variable> + Sync + '_ {
        let (major, minor, _) = self.header.build.version;
        let lengths: Vec<u64> = self.buffers.iter().map(|buffer| buffer.len() as u64).collect();
        let written = self
            .graph
            .iter()
            .filter(|piece| matches!(piece, Piece::Written(_)));
        let records: usize = written.map(|piece| piece.bytes().len()).sum();
        let graph = Pieces::new(self.graph.iter().map(Piece::bytes));
        let snapshot = &self.snapshot;
        move || match records > LARGE_GRAPH {
            true => Vec::new(),
            false => of_parts((major, minor), snapshot, lengths.clone(), graph.clone()).unwrap_or_default(),
        }
    }

    /// The payload, which borrows all that is large.
    pub fn writer(&self, py: Python<'_>) -> PyResult<PayloadWriter<'_>> {
        let buffers = self.buffers.iter().map(|buffer| &buffer[..]).collect();
        let graph = self.graph.iter().map(Piece::bytes).collect();
        PayloadWriter::new(&self.header, &self.start, &self.snapshot, buffers, graph)
            .map_err(|error| payload_error(py, error))
    }
}

/// A graph with so many bytes of records is not gone through only to show what is in it.
const LARGE_GRAPH: usize = 32 << 20;

/// Stops the other threads, captures the calling thread's stack below pyteleport's own frames and theirs, and
/// encodes it all.
///
/// Nothing of the program is changed, whatever comes out.
pub fn encode(py: Python<'_>, extras: &Bound<'_, PyDict>, copies: bool) -> PyResult<Encoded> {
    let _meanwhile = Meanwhile::begin();
    let timeout = extras.get_item("timeout")?.map_or(Ok(TIMEOUT), |timeout| {
        extras.del_item("timeout")?;
        timeout.extract()
    })?;
    let timeout = Duration::try_from_secs_f64(timeout).unwrap_or(Duration::MAX);
    let bottom = prompt::bottom(py, extras, copies)?;
    let read = match extras.contains("guest")? {
        // The other threads stay, and run on.
        true => read_stacks(py, None, bottom, is_ours).map(|captured| (None, captured)),
        false => stop_and_read(py, timeout, bottom),
    };
    let (stopped, captured) = read.map_err(|error| capture_error(py, error))?;
    let running = PyDict::new(py);
    for (index, frame) in captured.frames.iter().enumerate() {
        if let Some(generator) = frame.generator() {
            running.set_item(generator.as_ptr() as usize, index)?;
        }
    }
    let codes = PyList::new(py, captured.frames.iter().map(|frame| frame.code()))?;
    let live_frames = frame_objects(py, &captured)?;
    let places = captured.table.places().to_vec();
    let saved = saved_states(py, &captured)?;
    let objects = PyList::new(py, captured.table.into_objects())?;
    let firsts = captured.snapshot.stacks.iter().scan(0, |next, stack| {
        let first = *next;
        *next += stack.frames as usize;
        Some(first)
    });
    let threads = captured.threads.iter();
    let capture = Capture {
        idents: threads.clone().map(|thread| thread.ident()).collect(),
        coroutine_hooks: threads.clone().map(|thread| thread.coroutine_hooks(py)).collect(),
        contexts: threads
            .map(|thread| thread.context(py).map(Bound::unbind))
            .collect(),
        main: captured.main,
        firsts: firsts.collect(),
        saved,
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
        _stopped: stopped.map(Stopped::into_threads),
    })
}

/// How long threads have to come out of C code, in seconds, unless the caller says.
const TIMEOUT: f64 = 1.0;

/// How long threads run on whose stacks cannot be read.
const IN_BETWEEN: Duration = Duration::from_millis(1);

/// Stops the other threads and reads all stacks. Where one of theirs cannot be read they run on for a moment: it
/// may be in the middle of C code's work, which has an end.
fn stop_and_read<'py>(
    py: Python<'py>,
    timeout: Duration,
    bottom: Option<RunningFrame<'py>>,
) -> Result<(Option<Stopped<'py>>, Captured<'py>), CaptureError> {
    let begun = Instant::now();
    loop {
        let mut stopped = timed("stop", || Stopped::all(py, timeout))?;
        let refusal = match timed("capture", || read_all(py, &mut stopped, timeout, bottom)) {
            Ok(captured) => return Ok((stopped, captured)),
            Err(refusal) => refusal,
        };
        let is_ours_to_blame = stopped.is_none() || read_stacks(py, None, bottom, is_ours).is_err();
        if is_ours_to_blame || begun.elapsed() >= timeout {
            return Err(refusal);
        }
        drop(stopped);
        py.detach(|| std::thread::sleep(IN_BETWEEN));
    }
}

/// Reads all stacks, again if one of the other threads has gone on meanwhile.
fn read_all<'py>(
    py: Python<'py>,
    stopped: &mut Option<Stopped<'py>>,
    timeout: Duration,
    bottom: Option<RunningFrame<'py>>,
) -> Result<Captured<'py>, CaptureError> {
    loop {
        let read = read_stacks(py, stopped.as_ref(), bottom, is_ours);
        match stopped.as_mut().filter(|stopped| !stopped.still_stand()) {
            Some(stopped) => stopped.again(py, timeout)?,
            None => return read,
        }
    }
}

/// The states of RLocks that threads have saved which wait for a condition: they tell the owner by its ident.
fn saved_states(py: Python<'_>, captured: &Captured<'_>) -> PyResult<Vec<(usize, usize)>> {
    let Some(threading) = loaded(py, "threading")? else {
        return Ok(Vec::new());
    };
    let waits = threading.getattr("Condition")?.getattr("wait")?;
    let Some(code) = waits.getattr_opt("__code__")? else {
        return Ok(Vec::new());
    };
    let slot = slot_names_of(&code)?
        .iter()
        .position(|name| name == "saved_state");
    let mut found = Vec::new();
    let mut index = 0;
    for (stack, frames) in captured.snapshot.stacks.iter().enumerate() {
        for _ in 0..frames.frames {
            let held = slot.and_then(|slot| captured.snapshot.frames[index].slots.get(slot));
            // Up to 3.10 the code may have come with an earlier move.
            if let (true, Some(Slot::Object(id))) = (captured.frames[index].code().eq(&code)?, held) {
                found.push((id.0 as usize, stack));
            }
            index += 1;
        }
    }
    Ok(found)
}

/// The memory behind a ``pickle.PickleBuffer``, as one row of bytes.
fn raw_of<'py>(buffer: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match buffer.getattr_opt("raw")? {
        Some(raw) => raw.call0(),
        None => Ok(buffer.clone()),
    }
}

/// Modules whose frames are part of the program: coroutines that it awaits, and what a trip begins with.
const PARTS: [&str; 2] = ["pyteleport.coroutines", BASES];

/// See ``bases.py``.
const BASES: &str = "pyteleport.bases";

/// Whether a frame is one of pyteleport's.
pub fn is_ours(frame: &RunningFrame<'_>) -> bool {
    is_in(frame, |name| {
        name == "pyteleport" || name.starts_with("pyteleport.") && !PARTS.contains(&name)
    })
}

/// Whether a frame is a base: those that have called it stay where they are.
pub fn is_base(frame: &RunningFrame<'_>) -> bool {
    is_in(frame, |name| name == BASES)
}

/// Whether a frame is in a module of such a name.
fn is_in(frame: &RunningFrame<'_>, is_such: impl Fn(&str) -> bool) -> bool {
    let name = frame.globals().get_item("__name__");
    let name = name.and_then(|name| name.cast_into::<PyString>().map_err(PyErr::from));
    name.is_ok_and(|name| name.to_str().is_ok_and(is_such))
}

fn program(py: Python<'_>) -> PyResult<String> {
    let argv = import(py, "sys")?.getattr_opt("argv")?;
    let first = argv.and_then(|argv| argv.get_item(0).ok());
    Ok(first.and_then(|first| first.extract().ok()).unwrap_or_default())
}
