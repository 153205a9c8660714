//! The prompt: where it is what runs a program, and what comes after the program's end.
//!
//! What a prompt runs is a program of its own. At the interpreter's prompt that is one statement, called by C; and
//! a script may have a prompt after its end (`python -i`). Which it is, the Python side tells at home, and at the
//! end what to go on with.

use crate::encode::is_base;
use capture::cpython::frame::RunningFrame;
use capture::cpython::lifecycle::{end_process, keep_types, Ended, Status};
use capture::cpython::modules::import;
use capture::cpython::prompt;
use capture::cpython::thread::ThreadState;
use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::collections::VecDeque;

/// How many of the outermost frames are looked at.
const OUTERMOST: usize = 64;

/// Where the program's stack ends, if not at its outermost frame; notes what runs the program.
///
/// The extras' ``base`` says that it ends at the innermost base.
pub fn bottom<'py>(
    py: Python<'py>,
    extras: &Bound<'py, PyDict>,
    copies: bool,
) -> PyResult<Option<RunningFrame<'py>>> {
    let thread = ThreadState::current(py);
    if extras.contains("base")? {
        extras.del_item("base")?;
        extras.set_item("prompt", import(py, "pyteleport.prompts")?.call_method0("based")?)?;
        let mut next = thread.frame();
        while let Some(frame) = next.filter(|frame| !is_base(frame)) {
            next = frame.back();
        }
        return Ok(next);
    }
    let mut frames = VecDeque::new();
    if ThreadState::main(py).is_some_and(|main| main.id() == thread.id()) {
        let mut next = thread.frame();
        while let Some(frame) = next {
            frames.truncate(OUTERMOST - 1);
            frames.push_front(frame);
            next = frame.back();
        }
    }
    let codes = PyList::new(py, frames.iter().map(|frame| frame.code()))?;
    let names = frames
        .iter()
        .map(|frame| frame.globals().get_item("__name__").ok());
    let names = PyList::new(py, names)?;
    let trip = extras.get_item("guest")?.or(extras.get_item("coming")?);
    let found = import(py, "pyteleport.prompts")?.call_method1("found", (codes, names, copies, trip))?;
    let (prompt, bottom) = found.extract::<(Bound<'py, PyAny>, Option<usize>)>()?;
    extras.set_item("prompt", prompt)?;
    Ok(bottom.and_then(|place| frames.get(place).copied()))
}

/// The program's end: the process's too, unless a prompt comes after it. If it had ended `before`, all that has come
/// to its end is what waited for the other threads.
pub fn end(py: Python<'_>, result: PyResult<()>, before: Option<Status>, prompt: &Py<PyAny>) -> ! {
    if let Some(status) = before {
        if let Err(error) = result {
            error.write_unraisable(py, None);
        }
        end_process(py, Ended::Before(status));
    }
    let next = next(py, &result, prompt).unwrap_or_else(|error| {
        error.write_unraisable(py, None);
        None
    });
    let Some((prints, next)) = next else {
        end_with(py, result)
    };
    if let (true, Err(error)) = (prints, result) {
        if let Err(failed) = print(py, error) {
            failed.write_unraisable(py, None);
        }
    }
    if let Err(failed) = prompt::let_exit(py) {
        failed.write_unraisable(py, None);
    }
    let result = match next {
        Next::InC { features } => {
            // `exit()` there ends the process by itself.
            keep_types(py);
            prompt::run_prompt(py, features);
            Ok(())
        }
        Next::InPython { function, arguments } => function.call1(py, arguments).map(drop),
    };
    end_with(py, result)
}

/// A prompt.
enum Next {
    /// The interpreter's own, with the features of `from __future__` that were chosen there.
    InC { features: i32 },
    /// One that is made in Python.
    InPython {
        function: Py<PyAny>,
        arguments: Py<PyTuple>,
    },
}

/// What comes after a program.
/// Before it, whether what the program raised is printed.
fn next(py: Python<'_>, result: &PyResult<()>, prompt: &Py<PyAny>) -> PyResult<Option<(bool, Next)>> {
    let raised = result
        .as_ref()
        .err()
        .map(|error| value_of(py, error))
        .transpose()?;
    let next = import(py, "pyteleport.prompts")?.call_method1("after", (prompt, raised))?;
    if next.is_none() {
        return Ok(None);
    }
    let (prints, function, rest) = next.extract::<(bool, Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
    let next = match function.is_none() {
        true => Next::InC {
            features: rest.extract()?,
        },
        false => Next::InPython {
            function: function.unbind(),
            arguments: rest.extract()?,
        },
    };
    Ok(Some((prints, next)))
}

/// An exception with its traceback: up to 3.11 the interpreter keeps that beside it until somebody catches it.
fn value_of<'py>(py: Python<'py>, error: &PyErr) -> PyResult<Bound<'py, PyAny>> {
    let value = error.value(py).as_any().clone();
    value.setattr("__traceback__", error.traceback(py))?;
    Ok(value)
}

/// Prints what a program raised before a prompt comes: its end is not the process's, `exit()` or not.
fn print(py: Python<'_>, error: PyErr) -> PyResult<()> {
    let reported = report(py, &error);
    if !reported && !error.is_instance_of::<PySystemExit>(py) {
        error.print_and_set_sys_last_vars(py);
        return Ok(());
    }
    let value = error.into_value(py);
    import(py, "pyteleport.prompts")?
        .call_method1("print_raised", (value, reported))
        .map(drop)
}

fn end_with(py: Python<'_>, result: PyResult<()>) -> ! {
    match result {
        Ok(()) => end_process(py, Ended::Returned),
        Err(error) => {
            let reported = report(py, &error);
            end_process(py, Ended::Raised { error, reported })
        }
    }
}

/// Lets the Python side print an exception whose source lines are not in files here; says whether
/// it did.
fn report(py: Python<'_>, error: &PyErr) -> bool {
    let reported = import(py, "pyteleport.sources")
        .and_then(|sources| sources.call_method1("print_exception_like_python", (value_of(py, error)?,)))
        .and_then(|reported| reported.extract::<bool>());
    // If that failed: the program's own exception is the one to be seen, and Python prints it
    // without our help.
    reported.unwrap_or(false)
}

/// The like of `sys.flags` with some of its fields changed.
#[pyfunction]
pub fn flags_with<'py>(
    flags: &Bound<'py, PyTuple>,
    changes: Vec<(usize, Bound<'py, PyAny>)>,
) -> PyResult<Bound<'py, PyAny>> {
    prompt::with_fields(flags, &changes)
}

/// Runs as many statements at a prompt as have been, each of which does nothing.
#[pyfunction]
pub fn run_empty_statements(py: Python<'_>, number: usize) -> PyResult<()> {
    Ok(prompt::run_empty_statements(py, number)?)
}

/// Takes back what C's library has read ahead of standard input, which is a file.
#[pyfunction]
pub fn sync_input() {
    prompt::sync_input();
}

/// Has C's library read no more of standard input than it is asked for.
#[pyfunction]
pub fn read_by_the_byte() {
    prompt::read_by_the_byte();
}
