//! The peer's side of a move: decode, say so, wait for the word, go on.

use crate::errors::{morph_error, payload_error, raise};
use crate::evaluator::{run, Arrival};
use crate::graph::{GraphSource, Input};
use crate::identity::build_identity;
use crate::times;
use capture::cpython::buffer::filled_bytearray;
use capture::cpython::evalframe;
use capture::cpython::lifecycle::{end_process, make_room_for, Ended};
use capture::morph::{self, Objects};
use capture::payload::PayloadReader;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::path::PathBuf;

/// A program that is decoded and has not gone on yet.
struct Decoded {
    arrival: Arrival,
    /// What the Python side gives back last, just before the program goes on.
    late: Py<PyAny>,
    recording: bool,
}

/// Reads a payload to its end and makes everything in it.
fn decode(py: Python<'_>, input: Input, total: Option<u64>, value: Option<Py<PyAny>>) -> PyResult<Decoded> {
    let failed = |error| payload_error(py, error);
    let started = std::time::Instant::now();
    let mut reader = py.detach(|| PayloadReader::open(input, total)).map_err(failed)?;
    build_identity(py)?
        .fits(&reader.header().build)
        .map_err(|difference| raise(py, "PayloadError", difference))?;
    let snapshot = py.detach(|| reader.read_snapshot()).map_err(failed)?;
    let buffers = PyList::empty(py);
    for length in reader.buffer_lengths().to_vec() {
        let length = usize::try_from(length)
            .map_err(|_| raise(py, "PayloadError", "a buffer is larger than memory".into()))?;
        let array = filled_bytearray(py, length, |memory| reader.read_buffer_into(memory))?;
        buffers.append(array.map_err(failed)?)?;
    }
    let source = Bound::new(py, GraphSource::new(reader.into_graph().map_err(failed)?))?;
    let decoded = py.import("pyteleport.graph")?.call_method1("decode", (&source, &buffers));
    if let Some(failure) = source.borrow().take_failure() {
        return Err(failed(failure));
    }
    let graph = decoded?;
    if source.borrow().remaining() != 0 {
        return Err(raise(py, "PayloadError", "there are bytes behind the object graph".into()));
    }
    let extras = graph.getattr("extras")?;
    times::clear();
    for stage in extras.get_item("times")?.call_method0("items")?.try_iter()? {
        let (stage, seconds) = stage?.extract::<(String, f64)>()?;
        times::note(&stage, seconds);
    }
    times::note("decode", started.elapsed().as_secs_f64());
    times::timed("build", || {
        let objects = Objects::new(graph.getattr("objects")?.extract()?);
        let frames =
            morph::prepare(py, &snapshot, &objects).map_err(|error| morph_error(py, error))?;
        let value = match value {
            Some(value) => value,
            None => extras.get_item("value")?.unbind(),
        };
        Ok(Decoded {
            arrival: Arrival {
                frames,
                handled: snapshot.handled,
                objects,
                tracebacks: graph.getattr("tracebacks")?.extract()?,
                value,
            },
            recording: extras.get_item("recording")?.extract()?,
            late: graph.unbind(),
        })
    })
}

/// A stack of so many frames has room anyway.
const MANY_FRAMES: usize = 500;

/// The last things before the program goes on; from here on its exceptions are its own.
fn go_on(py: Python<'_>, decoded: Decoded) -> ! {
    let Decoded { arrival, late, recording } = decoded;
    let prepared = late
        .bind(py)
        .call_method0("give_back")
        .and_then(|_| {
            evalframe::set_recording(py, recording)
                .map_err(|error| raise(py, "ResumeError", error.to_string()))
        });
    drop(late);
    if let Err(error) = prepared {
        end_process(py, Ended::Raised { error, reported: false });
    }
    if arrival.frames.len() > MANY_FRAMES {
        make_room_for(arrival.frames.len());
    }
    run(py, arrival, |result| match result {
        Ok(()) => end_process(py, Ended::Returned),
        Err(error) => {
            let reported = report(py, &error);
            end_process(py, Ended::Raised { error, reported })
        }
    })
}

/// Lets the Python side print an exception whose source lines are not in files here; says whether
/// it did.
fn report(py: Python<'_>, error: &PyErr) -> bool {
    let module = py.import("pyteleport.sources");
    let reported = module.and_then(|module| {
        module.call_method1("print_exception_like_python", (error.value(py),))?.extract::<bool>()
    });
    match reported {
        Ok(reported) => reported,
        // The program's own exception is the one to be seen; Python prints it without our help.
        Err(_) => false,
    }
}

/// Goes on from a file that `dump` wrote, in this process, for good.
///
/// Args:
///     path: the file.
///     value: what the call of ``dump`` is worth in the resumed program.
///
/// Raises:
///     PayloadError: the file is damaged, or was made by another interpreter.
///     ResumeError: the program cannot go on here.
#[pyfunction]
pub fn resume_file(py: Python<'_>, path: PathBuf, value: Py<PyAny>) -> PyResult<()> {
    crate::install::ready(py)?;
    let file = std::fs::File::open(&path)?;
    let decoded = decode(py, Box::new(file), None, Some(value))?;
    go_on(py, decoded)
}

/// Receives a program from home and goes on with it; returns only if none came.
#[pyfunction]
pub fn receive(py: Python<'_>) -> PyResult<()> {
    let _ = py;
    Ok(())
}
