//! `print`, from one text on.

use super::Next;
use capture::cpython::objects::lookup_on_type;
use capture::rest::{PrintRest, PrintStep};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyString, PyTuple};

/// What comes after a step.
pub(super) fn step<'py>(
    step: u8,
    with: &Bound<'py, PyTuple>,
    result: Bound<'py, PyAny>,
) -> PyResult<Next<'py>> {
    let rest = PrintRest::of(with)?;
    let made_by = match PrintStep::numbered(step) {
        Some(PrintStep::Written) => return next(rest),
        Some(PrintStep::Flushed) => return done(with.py()),
        Some(PrintStep::Str) => "__str__",
        Some(PrintStep::Repr) => "__repr__",
        None => return Err(PyValueError::new_err("no such step")),
    };
    if !result.is_instance_of::<PyString>() {
        let kind = result.get_type().name()?.to_string();
        let text = format!("{made_by} returned non-string (type {kind})");
        return Err(PyTypeError::new_err(text));
    }
    write(rest, result)
}

fn done(py: Python<'_>) -> PyResult<Next<'_>> {
    Ok(Next::Done(py.None().into_bound(py)))
}

/// Writes the next of what is left, and flushes the file in the end.
fn next(mut rest: PrintRest<'_>) -> PyResult<Next<'_>> {
    let py = rest.file.py();
    let Ok(piece) = rest.left.get_item(0) else {
        if !rest.flush {
            return done(py);
        }
        let called = rest.file.getattr("flush")?;
        return call(&rest, PrintStep::Flushed, called, PyTuple::empty(py));
    };
    rest.left = rest.left.get_slice(1, rest.left.len());
    if piece.is_exact_instance_of::<PyString>() {
        return write(rest, piece);
    }
    // The program's own methods may move it on.
    let kind = piece.get_type();
    for (name, step) in [("__str__", PrintStep::Str), ("__repr__", PrintStep::Repr)] {
        let method = lookup_on_type(&kind, name);
        if let Some(method) = method.filter(|method| method.is_instance_of::<PyFunction>()) {
            return call(&rest, step, method, PyTuple::new(py, [piece])?);
        }
        let of_object = lookup_on_type(&py.get_type::<PyAny>(), name);
        if !lookup_on_type(&kind, name)
            .zip(of_object)
            .is_some_and(|(own, object)| own.is(&object))
        {
            break;
        }
    }
    let text = piece.str()?.into_any();
    write(rest, text)
}

fn write<'py>(rest: PrintRest<'py>, text: Bound<'py, PyAny>) -> PyResult<Next<'py>> {
    let called = rest.file.getattr("write")?;
    let arguments = PyTuple::new(text.py(), [text])?;
    call(&rest, PrintStep::Written, called, arguments)
}

fn call<'py>(
    rest: &PrintRest<'py>,
    step: PrintStep,
    called: Bound<'py, PyAny>,
    arguments: Bound<'py, PyTuple>,
) -> PyResult<Next<'py>> {
    Ok(Next::Call {
        entry: rest.entry(called.py(), step)?,
        called,
        arguments,
        keywords: None,
    })
}
