//! A `defaultdict` that lacks a key, from the result of its function on.

use super::Next;
use crate::tail::check_initialized;
use capture::cpython::modules::import;
use capture::cpython::objects::lookup_on_type;
use capture::rest::{MissingRest, MissingStep};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// What comes after a step.
pub(super) fn step<'py>(
    step: u8,
    with: &Bound<'py, PyTuple>,
    result: Bound<'py, PyAny>,
) -> PyResult<Next<'py>> {
    let py = with.py();
    let mut rest = MissingRest::of(with)?;
    let none_such = || PyValueError::new_err("no such step");
    let made = match MissingStep::numbered(step).ok_or_else(none_such)? {
        MissingStep::Called => result,
        MissingStep::Initialized => {
            check_initialized(&result)?;
            rest.made.take().ok_or_else(none_such)?
        }
        // What was there first.
        MissingStep::Stored if keeps_what_is_set(py)? => return Ok(Next::Done(result)),
        MissingStep::Stored => return Ok(Next::Done(rest.made.take().ok_or_else(none_such)?)),
    };
    rest.made = Some(made.clone());
    let called = match keeps_what_is_set(py)? {
        true => lookup_on_type(&py.get_type::<PyDict>(), "setdefault"),
        false => lookup_on_type(&rest.items.get_type(), "__setitem__"),
    };
    let called = called.ok_or_else(none_such)?;
    Ok(Next::Call {
        entry: rest.entry(py, MissingStep::Stored)?,
        called,
        arguments: PyTuple::new(py, [&rest.items, &rest.key, &made])?,
        keywords: None,
    })
}

/// Whether a `defaultdict` leaves what its function has set the key to meanwhile, and asks no `__setitem__`, as 3.14
/// and 3.15 do. Such a change may come with any micro version, so it is tried, with nothing but C code.
fn keeps_what_is_set(py: Python<'_>) -> PyResult<bool> {
    let tried = import(py, "_collections")?.getattr("defaultdict")?.call0()?;
    let partial = import(py, "_functools")?.getattr("partial")?;
    let sets = partial.call1((tried.getattr("__setitem__")?, 0, true))?;
    tried.setattr("default_factory", sets)?;
    Ok(!tried.get_item(0)?.is_none())
}
