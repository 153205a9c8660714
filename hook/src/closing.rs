//! Generators that were being closed when the program moved: what `close` does when the innermost is done.

use capture::cpython::generator::Generator;
use capture::cpython::CURRENT;
use capture::generators::stop_delegating;
use capture::waiting::{self, LiveEntry};
use pyo3::exceptions::{PyGeneratorExit, PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// What the call of `close` is worth that the innermost waiting frame made, if it did: the first generator
/// has come to `result`, and those that delegate to it are closed one after the other.
pub fn close_rest(py: Python<'_>, result: PyResult<Py<PyAny>>) -> PyResult<Py<PyAny>> {
    let mut result = result;
    loop {
        let Some(path) = waiting::innermost_closed(py) else {
            return result;
        };
        let path = path.into_bound(py).cast_into::<PyTuple>().map_err(PyErr::from)?;
        let closed = match path.get_item(0) {
            Ok(closed) => after_close(py, &closed, result),
            Err(_) => return result,
        };
        let rest = path.get_slice(1, path.len());
        let Some(next) = rest.get_item(0).ok().and_then(|next| Generator::new(&next)) else {
            return closed;
        };
        stop_delegating(&next)?;
        waiting::wait_for(next.frame(), LiveEntry::Closed(rest.into_any().unbind()));
        // The exit, or what has become of it, is thrown in where the generator stands.
        let thrown = match closed {
            Ok(_) => PyGeneratorExit::new_err(()),
            Err(error) => error,
        };
        let value = thrown.value(py);
        // Up to 3.11 the interpreter keeps it beside the exception until somebody catches that.
        value.setattr("__traceback__", thrown.traceback(py))?;
        result = next.object().call_method1("throw", (value,)).map(Bound::unbind);
    }
}

/// What closing a generator is worth that has come to this after `GeneratorExit` was thrown in.
fn after_close(
    py: Python<'_>,
    generator: &Bound<'_, PyAny>,
    result: PyResult<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    match result {
        Ok(_) => {
            let kind = generator.get_type();
            Err(PyRuntimeError::new_err(format!(
                "{} ignored GeneratorExit",
                kind.name()?
            )))
        }
        Err(error) if error.is_instance_of::<PyGeneratorExit>(py) => Ok(py.None()),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
            match CURRENT.generator.close_gives_value {
                true => Ok(error.value(py).getattr("value")?.unbind()),
                false => Ok(py.None()),
            }
        }
        Err(error) => Err(error),
    }
}
