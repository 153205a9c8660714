//! What C code has left to do when its callee has returned.
//!
//! It is done step by step. What a step calls may move the program on; then the frame is captured with
//! the next step for its entry, as far as that is what the callee was called for.

mod class;
mod import;
mod missing;
mod operator;
mod print;

pub use import::hide_importlib;

use capture::cpython::frame::RunningFrame;
use capture::cpython::thread::ThreadState;
use capture::snapshot::Rest;
use capture::waiting::{self, LiveEntry};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};

/// What comes of a step.
enum Next<'py> {
    /// All is done; this is its worth.
    Done(Bound<'py, PyAny>),
    /// All is done; it is worth whether this is true.
    Truth(Bound<'py, PyAny>),
    /// Something is called; its result is for `entry`, which is a [`LiveEntry::Rest`].
    Call {
        entry: LiveEntry,
        called: Bound<'py, PyAny>,
        arguments: Bound<'py, PyTuple>,
        keywords: Option<Bound<'py, PyDict>>,
    },
}

/// Does what is left, from the callee's result on; what the instruction is worth.
pub fn finish<'py>(
    py: Python<'py>,
    frame: RunningFrame<'py>,
    mut rest: Rest,
    mut step: u8,
    mut with: Bound<'py, PyTuple>,
    mut result: PyResult<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    loop {
        let value = match (result, rest) {
            (Ok(value), _) => value.into_bound(py),
            (Err(error), Rest::Class) => return Err(class::failed(py, step, &with, error)),
            (Err(error), _) => return Err(error),
        };
        let next = match rest {
            Rest::Worth => Next::Done(with.get_item(0)?),
            Rest::Class => class::step(step, &with, value)?,
            Rest::Operator => operator::step(&with, value)?,
            Rest::Print => print::step(step, &with, value)?,
            Rest::Missing => missing::step(step, &with, value)?,
        };
        let (entry, called, arguments, keywords) = match next {
            Next::Done(value) => return Ok(value.unbind()),
            // The truth may be asked of a method of the program, below which the frame stands.
            Next::Truth(value) => {
                let truth = ThreadState::current(py).with_waiting(frame, || value.is_truthy())?;
                return Ok(PyBool::new(py, truth).to_owned().into_any().unbind());
            }
            Next::Call {
                entry,
                called,
                arguments,
                keywords,
            } => (entry, called, arguments, keywords),
        };
        waiting::push_called(frame, entry, called.clone().unbind(), arguments.clone().unbind());
        let call = || called.call(&arguments, keywords.as_ref()).map(Bound::unbind);
        result = ThreadState::current(py).with_waiting(frame, call);
        let Some(LiveEntry::Rest {
            rest: next,
            step: number,
            with: state,
        }) = waiting::pop()
        else {
            return result;
        };
        (rest, step, with) = (next, number, state.into_bound(py));
    }
}
