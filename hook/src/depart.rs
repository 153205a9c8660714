//! Home's side of a move: reach the peer, capture, offer, commit, become the pump.

use crate::encode::encode;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::io::Write;
use std::path::PathBuf;

/// Keeps the state in a file.
#[pyfunction]
pub fn dump(py: Python<'_>, path: PathBuf, extras: &Bound<'_, PyDict>) -> PyResult<()> {
    crate::install::ready(py)?;
    let encoded = encode(py, extras)?;
    let writer = encoded.writer(py)?;
    let mut file = std::fs::File::create(path)?;
    writer.write_to(&mut file)?;
    file.flush()?;
    Ok(())
}

/// TBD
#[pyfunction]
pub fn depart(py: Python<'_>) -> PyResult<()> {
    let _ = py;
    Ok(())
}

/// TBD
#[pyfunction]
pub fn pump(py: Python<'_>) -> PyResult<()> {
    let _ = py;
    Ok(())
}
