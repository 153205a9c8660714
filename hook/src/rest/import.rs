//! The traceback of an exception that leaves an import.

use capture::cpython::modules::import;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

/// The files of importlib, as CPython names them in its code.
const IMPORTLIB: [&str; 2] = [
    "<frozen importlib._bootstrap>",
    "<frozen importlib._bootstrap_external>",
];

/// The function below which the frames are not importlib's any more.
const LAST_OF_IMPORTLIB: &str = "_call_with_frames_removed";

/// An exception as it leaves the C code of an import, which takes importlib out of its traceback: all of
/// it where a module is not found, else each part that led to a module's own code.
pub fn hide_importlib(py: Python<'_>, error: PyErr) -> PyErr {
    // If that fails, nothing is hidden.
    let hidden = trim(py, &error).unwrap_or_else(|_| error.traceback(py).map(Bound::into_any));
    let hidden = hidden.and_then(|first| first.cast_into().ok());
    error.set_traceback(py, hidden);
    error
}

fn trim<'py>(py: Python<'py>, error: &PyErr) -> PyResult<Option<Bound<'py, PyAny>>> {
    let first = error.traceback(py).map(Bound::into_any);
    if import(py, "sys")?
        .getattr("flags")?
        .getattr("verbose")?
        .is_truthy()?
    {
        return Ok(first);
    }
    let hides_all = error.is_instance_of::<PyImportError>(py);
    let mut kept: Vec<Bound<'py, PyAny>> = Vec::new();
    // Where the part of importlib that is looked at began.
    let mut begin = None;
    let mut next = first;
    while let Some(traceback) = next {
        let code = traceback.getattr("tb_frame")?.getattr("f_code")?;
        let file: String = code.getattr("co_filename")?.extract()?;
        let is_last = code.getattr("co_name")?.eq(LAST_OF_IMPORTLIB)?;
        next = Some(traceback.getattr("tb_next")?).filter(|next| !next.is_none());
        if !IMPORTLIB.contains(&file.as_str()) {
            begin = None;
            kept.push(traceback);
            continue;
        }
        let begin = *begin.get_or_insert(kept.len());
        kept.push(traceback);
        if hides_all || is_last {
            kept.truncate(begin);
        }
    }
    for pair in kept.windows(2) {
        pair[0].setattr("tb_next", &pair[1])?;
    }
    if let Some(last) = kept.last() {
        last.setattr("tb_next", py.None())?;
    }
    Ok(kept.into_iter().next())
}
