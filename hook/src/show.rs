//! What a file says of the program in it, which is not made for that.

use crate::errors::payload_error;
use capture::payload::{sizes as payload_sizes, PayloadReader};
use pyo3::prelude::*;
use std::fs::File;
use std::path::PathBuf;

/// What is known of a program in a file: its name, the machine that it left, and who made the file (interpreter,
/// release, kind of machine, pyteleport's version); how many frames it has; and ``(variable, bytes)`` for all
/// variables, with all that each leads to, the largest first.
#[pyfunction]
#[pyo3(signature = (path, /))]
pub fn sizes(py: Python<'_>, path: PathBuf) -> PyResult<(Vec<String>, u32, Vec<payload_sizes::Variable>)> {
    let file = File::open(&path)?;
    let read = || {
        let reader = PayloadReader::open(file, None)?;
        let header = reader.header().clone();
        payload_sizes::variables(reader).map(|variables| (header, variables))
    };
    let (header, variables) = py.detach(read).map_err(|error| payload_error(py, error))?;
    let build = header.build;
    let (major, minor, micro) = build.version;
    let release = format!("{major}.{minor}.{micro}");
    let facts = vec![
        header.program,
        header.host,
        build.implementation,
        release,
        build.machine,
        build.pyteleport,
    ];
    Ok((facts, header.frames, variables))
}
