//! `__build_class__` from the end of the class's body on, and `type.__call__` of the metaclass.

use super::Next;
use capture::cpython::objects::{is_called_as_type, is_cell, lookup_on_type};
use capture::cpython::CURRENT;
use capture::rest::{ClassRest, ClassStep};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyFunction, PySuper, PyTuple, PyType};

/// What comes after a step.
pub(super) fn step<'py>(
    step: u8,
    with: &Bound<'py, PyTuple>,
    result: Bound<'py, PyAny>,
) -> PyResult<Next<'py>> {
    let mut rest = ClassRest::of(with)?;
    let step = ClassStep::numbered(step).ok_or_else(|| PyValueError::new_err("no such step"))?;
    match step {
        ClassStep::Body => {
            rest.cell = (!result.is_none()).then_some(result);
            if let (Some(namespace), Some(written)) = (&rest.namespace, rest.written.take()) {
                namespace.set_item("__orig_bases__", written)?;
            }
            make(rest)
        }
        ClassStep::New => initialize(rest, result),
        ClassStep::Subclass => match rest.made.clone() {
            Some(made) => initialize(rest, made),
            None => Ok(Next::Done(result)),
        },
        ClassStep::Init => {
            crate::tail::check_initialized(&result)?;
            let made = rest.made.clone().unwrap_or(result);
            check(&rest, made)
        }
        ClassStep::Made => check(&rest, result),
        ClassStep::Names => tell_names(rest),
    }
}

/// Tells the next object in the namespace its name, and in the end the bases of their subclass.
fn tell_names(mut rest: ClassRest<'_>) -> PyResult<Next<'_>> {
    let py = rest.keywords.py();
    let (Some(made), Some(left)) = (rest.made.clone(), rest.namespace.take()) else {
        return Err(PyValueError::new_err("no such step"));
    };
    let left = left.cast_into::<PyTuple>()?;
    let left = left.get_slice(1, left.len());
    if left.is_empty() {
        let behind = py.get_type::<PySuper>().call1((&made, &made))?;
        let called = behind.getattr("__init_subclass__")?;
        return call(rest, ClassStep::Subclass, called, PyTuple::empty(py));
    }
    let (told, name): (Bound<'_, PyAny>, Bound<'_, PyAny>) = left.get_item(0)?.extract()?;
    rest.namespace = Some(left.into_any());
    // It may have gone since.
    let Some(set_name) = lookup_on_type(&told.get_type(), "__set_name__") else {
        return tell_names(rest);
    };
    let entry = rest.entry(py, ClassStep::Names)?;
    let arguments = (told, made, name).into_pyobject(py)?;
    Ok(Next::Call {
        entry,
        called: set_name,
        arguments,
        keywords: None,
    })
}

/// An exception as it leaves a step.
pub(super) fn failed(py: Python<'_>, step: u8, with: &Bound<'_, PyTuple>, error: PyErr) -> PyErr {
    if ClassStep::numbered(step) != Some(ClassStep::Names) {
        return error;
    }
    explain_failed(py, with, &error).unwrap_or(error)
}

fn explain_failed(py: Python<'_>, with: &Bound<'_, PyTuple>, error: &PyErr) -> PyResult<PyErr> {
    let rest = ClassRest::of(with)?;
    let (Some(made), Some(left)) = (rest.made, rest.namespace) else {
        return Err(PyValueError::new_err("no such step"));
    };
    let (told, name): (Bound<'_, PyAny>, Bound<'_, PyAny>) = left.get_item(0)?.extract()?;
    let kind = told.get_type();
    let made = made.cast_into::<PyType>()?;
    let text = format!(
        "Error calling __set_name__ on '{}' instance {} in '{}'",
        kind.name()?,
        name.repr()?,
        made.name()?
    );
    let value = error.value(py);
    if CURRENT.operands.notes_set_name {
        value.call_method1("add_note", (text,))?;
        return Ok(error.clone_ref(py));
    }
    let raised = PyRuntimeError::new_err(text);
    let context = error.clone_ref(py);
    value.setattr("__traceback__", error.traceback(py))?;
    raised.value(py).setattr("__context__", value)?;
    raised.set_cause(py, Some(context));
    Ok(raised)
}

/// Calls for the class.
fn make(rest: ClassRest<'_>) -> PyResult<Next<'_>> {
    let py = rest.metaclass.py();
    let meta = rest.metaclass.cast::<PyType>().ok();
    let Some(meta) = meta.filter(|meta| is_called_as_type(meta)) else {
        let arguments = (&rest.name, &rest.bases, &rest.namespace).into_pyobject(py)?;
        let called = rest.metaclass.clone();
        return call(rest, ClassStep::Made, called, arguments);
    };
    let arguments = (meta, &rest.name, &rest.bases, &rest.namespace).into_pyobject(py)?;
    let new = meta.getattr("__new__")?;
    call(rest, ClassStep::New, new, arguments)
}

/// Initializes what a metaclass has made, if it is of that metaclass.
fn initialize<'py>(mut rest: ClassRest<'py>, made: Bound<'py, PyAny>) -> PyResult<Next<'py>> {
    let kind = made.get_type();
    let is_own = kind.mro().iter().any(|above| above.is(&rest.metaclass));
    let init = lookup_on_type(&kind, "__init__").filter(|init| init.is_instance_of::<PyFunction>());
    // `type.__init__` does nothing.
    let (true, Some(init)) = (is_own, init) else {
        return check(&rest, made);
    };
    let arguments = (&made, &rest.name, &rest.bases, &rest.namespace).into_pyobject(made.py())?;
    rest.made = Some(made);
    call(rest, ClassStep::Init, init, arguments)
}

fn call<'py>(
    rest: ClassRest<'py>,
    step: ClassStep,
    called: Bound<'py, PyAny>,
    arguments: Bound<'py, PyTuple>,
) -> PyResult<Next<'py>> {
    Ok(Next::Call {
        entry: rest.entry(called.py(), step)?,
        keywords: Some(rest.keywords),
        called,
        arguments,
    })
}

/// The functions of the class have to find it in the cell that the body has made for them.
fn check<'py>(rest: &ClassRest<'py>, made: Bound<'py, PyAny>) -> PyResult<Next<'py>> {
    let cell = rest.cell.as_ref().filter(|cell| is_cell(cell));
    let (Some(cell), true) = (cell, made.is_instance_of::<PyType>()) else {
        return Ok(Next::Done(made));
    };
    let name = rest.name.repr()?;
    match cell.getattr("cell_contents").ok() {
        Some(found) if found.is(&made) => Ok(Next::Done(made)),
        Some(found) => {
            let text = format!(
                "__class__ set to {} defining {name} as {}",
                found.repr()?,
                made.repr()?
            );
            Err(PyTypeError::new_err(text))
        }
        None => {
            let text = format!(
                "__class__ not set defining {name} as {}. Was __classcell__ propagated to type.__new__?",
                made.repr()?
            );
            Err(PyRuntimeError::new_err(text))
        }
    }
}
