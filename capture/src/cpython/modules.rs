//! Modules that we ask something ourselves.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// A module, loaded if it is not there yet, without the `__import__` that the program may have in `builtins`:
/// that is code of the program, which a capture does not run.
pub fn import<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    if let Some(there) = loaded(py, name)? {
        return Ok(there);
    }
    match loaded(py, "pyteleport.imports")? {
        Some(imports) => imports.call_method1("load", (name,)),
        // The package itself is being loaded, or it is tested without.
        None => Ok(py.import(name)?.into_any()),
    }
}

/// What `sys.modules` has under that name.
pub fn loaded<'py>(py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let name = PyString::new(py, name);
    // SAFETY: gives a reference that is ours, or NULL, with an exception or without.
    let found = unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyImport_GetModule(name.as_ptr())) };
    match (found, PyErr::take(py)) {
        (None, Some(error)) => Err(error),
        (found, _) => Ok(found),
    }
}
