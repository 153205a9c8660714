//! Generators and coroutines in the object graph: what its Python side asks of us.

use crate::errors::{capture_error, morph_error, raise};
use capture::cpython::codeobject::CodeInfo;
use capture::cpython::generator::{Generator, GeneratorState};
use capture::generators::{function_of_generator, morph_generator};
use capture::morph::Objects;
use capture::snapshot::FrameState;
use capture::{morph, read};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFunction, PyTuple};

fn generator<'py>(object: &Bound<'py, PyAny>) -> PyResult<Generator<'py>> {
    Generator::new(object)
        .ok_or_else(|| PyTypeError::new_err("not a generator, coroutine or async generator"))
}

/// The frame of a generator that was not started or is suspended: its fields as bytes, and the tuple
/// of objects that they refer to.
#[pyfunction]
pub fn read_generator<'py>(
    object: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyTuple>)> {
    let py = object.py();
    let (state, table) =
        read::read_generator(&generator(object)?).map_err(|error| capture_error(py, error))?;
    let bytes =
        postcard::to_allocvec(&state).map_err(|error| raise(py, "CaptureError", error.to_string()))?;
    Ok((PyBytes::new(py, &bytes), PyTuple::new(py, table.into_objects())?))
}

/// The function that a generator was made from.
#[pyfunction]
pub fn generator_function<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    function_of_generator(&generator(object)?).map_err(|error| morph_error(object.py(), error))
}

/// A fresh generator of this function; nothing of it has run.
#[pyfunction]
pub fn new_generator<'py>(function: &Bound<'py, PyFunction>) -> PyResult<Bound<'py, PyAny>> {
    let made = morph::call_with_stand_ins(function)?;
    generator(&made)?;
    Ok(made)
}

/// Turns a fresh generator into the one that `read_generator` read.
#[pyfunction]
pub fn write_generator(object: &Bound<'_, PyAny>, state: &[u8], objects: Vec<Py<PyAny>>) -> PyResult<()> {
    let py = object.py();
    let state: FrameState = postcard::from_bytes(state)
        .map_err(|error| raise(py, "PayloadError", format!("a generator's frame: {error}")))?;
    let generator = generator(object)?;
    if generator.state() != GeneratorState::Created {
        return Err(PyTypeError::new_err("the generator is not a fresh one"));
    }
    morph_generator(&generator, &state, &Objects::new(objects)).map_err(|error| morph_error(py, error))
}

/// Whether a generator is marked as running, but stands suspended: what it delegates to is being closed.
#[pyfunction]
pub fn is_closing(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(generator(object)?.is_standing())
}

/// Marks such a one.
#[pyfunction]
pub fn mark_closing(object: &Bound<'_, PyAny>) -> PyResult<()> {
    generator(object)?.mark_running(true);
    Ok(())
}

/// Prepares a fresh generator that stands for one that runs on the captured stack.
#[pyfunction]
pub fn await_running(object: &Bound<'_, PyAny>) -> PyResult<()> {
    let generator = generator(object)?;
    let Some(frame) = generator
        .frame()
        .filter(|_| generator.state() == GeneratorState::Created)
    else {
        return Err(PyTypeError::new_err("the generator is not a fresh one"));
    };
    generator.await_entry(CodeInfo::of(&frame.code())?.slots);
    Ok(())
}
