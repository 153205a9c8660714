//! Frame objects in the object graph: what its Python side asks of us.

use crate::errors::{capture_error, morph_error, raise};
use capture::cpython::frame::RunningFrame;
use capture::cpython::objects;
use capture::morph::Objects;
use capture::outlived::morph_frame_that_is_over;
use capture::read::read_frame_that_is_over;
use capture::snapshot::FrameState;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCode, PyDict, PyTuple};

/// A frame object of this code that never ran: for a captured frame, or one that is over.
#[pyfunction]
pub fn new_frame<'py>(
    code: &Bound<'py, PyCode>,
    globals: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    objects::new_frame(code, globals)
}

/// The generator, coroutine or async generator that a frame is of.
#[pyfunction]
pub fn generator_of_frame<'py>(frame: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(RunningFrame::of_object(frame)?.generator())
}

/// Whether nothing runs in a frame any more.
#[pyfunction]
pub fn is_frame_over(frame: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(RunningFrame::of_object(frame)?.is_over())
}

/// A frame that is over: its fields as bytes, and the tuple of objects that they refer to.
#[pyfunction]
pub fn read_frame<'py>(
    frame: &Bound<'py, PyAny>,
    with_variables: bool,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyTuple>)> {
    let py = frame.py();
    let (state, table) = read_frame_that_is_over(RunningFrame::of_object(frame)?, with_variables)
        .map_err(|error| capture_error(py, error))?;
    let bytes =
        postcard::to_allocvec(&state).map_err(|error| raise(py, "CaptureError", error.to_string()))?;
    Ok((PyBytes::new(py, &bytes), PyTuple::new(py, table.into_objects())?))
}

/// Turns a frame that never ran into the one that `read_frame` read, above this one.
#[pyfunction]
pub fn write_frame<'py>(
    frame: &Bound<'py, PyAny>,
    state: &[u8],
    objects: Vec<Py<PyAny>>,
    back: Option<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = frame.py();
    let state: FrameState = postcard::from_bytes(state)
        .map_err(|error| raise(py, "PayloadError", format!("a frame that is over: {error}")))?;
    morph_frame_that_is_over(frame, &state, &Objects::new(objects), back)
        .map_err(|error| morph_error(py, error))
}
