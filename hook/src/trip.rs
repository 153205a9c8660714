//! There and back: a program that runs elsewhere as a guest while home waits, and comes back.
//!
//! On the way there it is a copy, as `fork` makes them, of the calling thread alone; on the way back what `dump`
//! keeps, which home goes on from in its own process, as `resume` does.

use crate::arrive::FEW_FRAMES;
use crate::depart::{send_copies, write_to};
use crate::encode::encode;
use crate::errors::{raise, transport_error};
use crate::meanwhile::Meanwhile;
use crate::times;
use capture::cpython::lifecycle::{leave, make_room_to_return};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};
use transport::guest::{tell, Lines, Waited, Waiting};
use transport::{Ending, Going};

/// See [`send_guest`].
type Waits<'py> = (
    Option<GuestLines>,
    Bound<'py, PyBytes>,
    Option<i32>,
    Option<i32>,
    [i32; 2],
);

/// The lines to a guest that home does not wait for now.
#[pyclass(frozen)]
pub struct GuestLines {
    lines: Mutex<Option<Lines>>,
    children: [i32; 2],
}

/// Has the program run in another process, as a guest there, and waits at home until that has ended. Signals are
/// passed on to it meanwhile, and other threads run.
///
/// Args:
///     argv, shell, extras: as for ``depart``; the extras' value is a list of what the call is worth there, and
///         ``guest`` is among them.
///     heard: called with each message that comes meanwhile, as bytes. Where it returns true, home goes on.
///
/// Returns:
///     For :func:`wait_guest`, the lines to it if it has not ended; what it sent; its exit status (minus a signal's
///     number; None if the way to it broke); the signal that ended it, if that has come through here and would have
///     ended home; and children that are to be waited for.
#[pyfunction]
pub fn send_guest<'py>(
    py: Python<'py>,
    argv: Vec<OsString>,
    shell: Option<&Bound<'py, PyDict>>,
    extras: &Bound<'py, PyDict>,
    heard: Py<PyAny>,
) -> PyResult<Waits<'py>> {
    let mut waiting = None;
    let carried = send_copies(py, &argv, shell, extras, Going::Guest, |frames| {
        make_room_to_return(py, frames + FEW_FRAMES)
            .map_err(|error| raise(py, "CaptureError", error.to_string()))?;
        waiting = Some(begin_to_wait(py)?);
        Ok(())
    })?;
    let mut talks = carried.talks.into_iter();
    let (Some(talk), Some(waiting)) = (talks.next(), waiting) else {
        let message = "there is no line to the program";
        return Err(raise(py, "TransportError", message.into()));
    };
    let lines = Lines::new(carried.control, talk);
    wait(py, waiting, lines, carried.children, &heard)
}

/// Tells a guest something, and waits for it again.
///
/// Args:
///     guest: the lines to it.
///     message: what it is told.
///     heard: as for :func:`send_guest`.
///
/// Returns:
///     As :func:`send_guest`.
#[pyfunction]
pub fn wait_guest<'py>(
    py: Python<'py>,
    guest: &GuestLines,
    message: &[u8],
    heard: Py<PyAny>,
) -> PyResult<Waits<'py>> {
    let waiting = begin_to_wait(py)?;
    let lines = guest.lines.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(lines) = lines else {
        return Err(raise(py, "TransportError", "somebody else waits for it".into()));
    };
    py.detach(|| lines.tell(message));
    wait(py, waiting, lines, guest.children, &heard)
}

fn begin_to_wait(py: Python<'_>) -> PyResult<Waiting> {
    let waiting = Waiting::new().map_err(|error| transport_error(py, error))?;
    // One that came before is the program's, which is still here.
    py.check_signals()?;
    Ok(waiting)
}

fn wait<'py>(
    py: Python<'py>,
    waiting: Waiting,
    lines: Lines,
    children: [i32; 2],
    heard: &Py<PyAny>,
) -> PyResult<Waits<'py>> {
    let waited = py
        .detach(|| waiting.wait(lines, |message| hear(heard, message)))
        .map_err(|error| transport_error(py, error))?;
    let returned = match waited {
        Waited::Paused(lines) => {
            let lines = Mutex::new(Some(lines));
            let lines = GuestLines { lines, children };
            return Ok((Some(lines), PyBytes::new(py, &[]), None, None, children));
        }
        Waited::Returned(returned) => returned,
    };
    let code = returned.ending.map(|ending| match ending {
        Ending::Code(code) => code,
        Ending::Signal(number) => -number,
    });
    let payload = PyBytes::new(py, &returned.payload);
    Ok((None, payload, code, returned.ended_by, children))
}

/// Has the Python side hear a message; whether home goes on.
fn hear(heard: &Py<PyAny>, message: &[u8]) -> bool {
    Python::attach(|py| {
        let answer = heard.call1(py, (PyBytes::new(py, message),));
        let goes_on = answer.and_then(|answer| answer.is_truthy(py));
        goes_on.unwrap_or_else(|error| {
            error.write_unraisable(py, None);
            false
        })
    })
}

/// In a guest: sends home a message, all of it.
///
/// Args:
///     line: the descriptor that leads to home.
///     message: what home is to hear.
///
/// Raises:
///     OSError: home is gone.
#[pyfunction]
pub fn tell_home(py: Python<'_>, line: i32, message: &[u8]) -> PyResult<()> {
    Ok(py.detach(|| tell(line, message))?)
}

/// In a guest: sends the program home, and ends this process; returns only if it raises.
///
/// Args:
///     file: an open binary file that leads to home.
///     extras: what travels beside the program.
///     trailer: bytes to put behind the payload.
///
/// Raises:
///     CaptureError: the program cannot be captured here, or other threads run.
///     OSError: home is gone.
#[pyfunction]
pub fn come_home(
    py: Python<'_>,
    file: &Bound<'_, PyAny>,
    extras: &Bound<'_, PyDict>,
    trailer: &[u8],
) -> PyResult<()> {
    crate::install::ready(py)?;
    Meanwhile::refuse(py)?;
    times::clear();
    let encoded = encode(py, extras, true)?;
    if encoded.has_threads() {
        let message =
            "threads that were started away from home run here: join them before the program comes back";
        return Err(raise(py, "CaptureError", message.into()));
    }
    write_to(file, &encoded, trailer)?;
    // The program is on its way; what is here is left where it is: no destructor, no `finally`.
    leave(0)
}

/// Keeps an object for as long as this process lives, and beyond its last destructor.
#[pyfunction]
pub fn keep_for_good(object: Py<PyAny>) {
    std::mem::forget(object);
}
