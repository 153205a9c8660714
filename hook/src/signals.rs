//! Signals whose handlers waited, when the program moved, for the handler to return that has moved it.

use capture::cpython::frame::RunningFrame;
use capture::cpython::modules::import;
use capture::cpython::thread::ThreadState;
use capture::cpython::{lifecycle, tripped};
use capture::waiting::{self, LiveEntry};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

/// Has the other handlers called, above the frame that has run the first one; `result` is what came of that.
/// Where it raised, they come when CPython looks for signals next.
pub fn handle_others(
    py: Python<'_>,
    frame: RunningFrame<'_>,
    entry: LiveEntry,
    result: PyResult<Py<PyAny>>,
    numbers: &[i32],
) -> (PyResult<Py<PyAny>>, LiveEntry) {
    let is_arranged = arrange(py, numbers);
    let value = match (result, is_arranged) {
        (Ok(_), Err(error)) => return (Err(error), entry),
        (Ok(value), Ok(true)) => value,
        (result, _) => return (result, entry),
    };
    waiting::push_for_handlers(frame, entry);
    let handled = ThreadState::current(py).with_waiting(frame, || py.check_signals());
    let entry = waiting::pop().unwrap_or(LiveEntry::Value);
    (handled.map(|()| value), entry)
}

/// Notes that these signals have come; whether there is anything to call for them.
pub fn arrange(py: Python<'_>, numbers: &[i32]) -> PyResult<bool> {
    if numbers.is_empty() {
        return Ok(false);
    }
    let signals = import(py, "_signal")?;
    let has_handler = |number: &i32| {
        let handler = signals.call_method1("getsignal", (number,));
        handler.is_ok_and(|handler| handler.is_callable())
    };
    let numbers: Vec<i32> = numbers.iter().copied().filter(has_handler).collect();
    let Some(first) = numbers.first() else {
        return Ok(false);
    };
    tripped::set_waiting(py, &numbers, true)?;
    // Whoever is told of signals was told of these at home.
    let told = signals.call_method1("set_wakeup_fd", (-1,))?;
    lifecycle::raise_signal(*first);
    signals.call_method1("set_wakeup_fd", (told,))?;
    Ok(true)
}

/// Raises what Ctrl-C raises, if that has come and the program has no other handler for it.
pub fn interrupt(py: Python<'_>) -> PyResult<()> {
    let signals = import(py, "_signal")?;
    let number = signals.getattr("SIGINT")?.extract::<i32>()?;
    let handler = signals.call_method1("getsignal", (number,))?;
    if !tripped::waiting(py)?.contains(&number) || !handler.is(&signals.getattr("default_int_handler")?) {
        return Ok(());
    }
    tripped::set_waiting(py, &[number], false)?;
    Err(PyKeyboardInterrupt::new_err(()))
}
