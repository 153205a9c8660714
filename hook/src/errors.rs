//! Rust errors as the exceptions of `pyteleport.errors`; the only place that names both.

use capture::cpython::modules::import;
use capture::payload::PayloadError;
use capture::{CaptureError, MorphError};
use pyo3::prelude::*;
use std::error::Error;
use transport::TransportError;

/// An exception class of `pyteleport.errors`, with a message.
pub fn raise(py: Python<'_>, class: &str, message: String) -> PyErr {
    let made = import(py, "pyteleport.errors").and_then(|errors| {
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
        CaptureError::Boundary { .. }
        | CaptureError::Unexplained { .. }
        | CaptureError::CalledByInterpreter { .. }
        | CaptureError::Meanwhile { .. }
        | CaptureError::Threads { .. } => raise(py, "BoundaryError", error.to_string()),
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

/// The exception for a peer that cannot be reached, or that cannot take the program in. In the
/// latter case it is of the peer's own class, if that is one of ours.
pub fn transport_error(py: Python<'_>, error: TransportError) -> PyErr {
    if let TransportError::PeerFailed { kind, text } = &error {
        return match kind.as_str() {
            "PayloadError" | "ResumeError" | "CaptureError" | "TransportError" => {
                raise(py, kind, text.clone())
            }
            _ => raise(py, "ResumeError", format!("{kind} at the far end: {text}")),
        };
    }
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        message = format!("{message}: {source}");
        cause = source.source();
    }
    raise(py, "TransportError", message)
}
