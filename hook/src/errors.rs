//! Rust errors as the exceptions of `pyteleport.errors`; the only place that names both.

use capture::payload::PayloadError;
use capture::{CaptureError, MorphError};
use pyo3::prelude::*;

/// An exception class of `pyteleport.errors`, with a message.
pub fn raise(py: Python<'_>, class: &str, message: String) -> PyErr {
    let made = py.import("pyteleport.errors").and_then(|errors| {
        let class = errors.getattr(class)?;
        class.call1((message,))
    });
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// The exception for a capture that was refused.
pub fn capture_error(py: Python<'_>, error: CaptureError) -> PyErr {
    match error {
        CaptureError::Python(error) => error,
        CaptureError::Boundary { .. } => raise(py, "BoundaryError", error.to_string()),
        _ => raise(py, "CaptureError", error.to_string()),
    }
}

/// The exception for a snapshot that cannot be brought back to life.
pub fn morph_error(py: Python<'_>, error: MorphError) -> PyErr {
    match error {
        MorphError::Python(error) => error,
        _ => raise(py, "ResumeError", error.to_string()),
    }
}

/// The exception for bytes that are no payload.
pub fn payload_error(py: Python<'_>, error: PayloadError) -> PyErr {
    raise(py, "PayloadError", error.to_string())
}
