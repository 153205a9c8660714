//! The recording mode, on and off.

use crate::errors::raise;
use capture::consumed::Consumed;
use capture::cpython::{check, evalframe, thread::ThreadState};
use pyo3::prelude::*;

/// Evaluates every frame through pyteleport from now on, and records what only C would know.
///
/// More programs can be moved at more places then. It costs what CPython charges for any custom
/// evaluator (PEP 523). Calling it again changes nothing.
///
/// Raises:
///     CaptureError: on an interpreter that this build was not made for.
#[pyfunction]
pub fn install_hook(py: Python<'_>) -> PyResult<()> {
    ready(py)?;
    evalframe::set_recording(py, &Consumed, true)
        .map_err(|error| raise(py, "TeleportError", error.to_string()))
}

/// Leaves the interpreter as `install_hook` found it; without it nothing is changed.
#[pyfunction]
pub fn uninstall_hook(py: Python<'_>) -> PyResult<()> {
    evalframe::set_recording(py, &Consumed, false)
        .map_err(|error| raise(py, "TeleportError", error.to_string()))
}

/// How things stand: ``"armed"`` (nothing is installed until a move needs it) or ``"recording"``.
#[pyfunction]
pub fn hook_status(py: Python<'_>) -> &'static str {
    let status = evalframe::status(py);
    match (status.recording, status.calls_on) {
        (false, _) => "armed",
        (true, false) => "recording",
        (true, true) => "recording, calls on another evaluator",
    }
}

/// Makes sure, once, that this is the interpreter that the layouts are for.
pub fn ready(py: Python<'_>) -> PyResult<()> {
    if !ThreadState::current(py).in_main_interpreter() {
        let message = "pyteleport works in the main interpreter only, this is a subinterpreter";
        return Err(raise(py, "CaptureError", message.into()));
    }
    check::interpreter(py).map_err(|error| raise(py, "CaptureError", error.to_string()))
}

/// Sees whether this interpreter can be served.
///
/// Raises:
///     CaptureError: it cannot, and why.
#[pyfunction]
#[pyo3(name = "check")]
pub fn check_interpreter(py: Python<'_>) -> PyResult<()> {
    ready(py)
}
