//! The peer's threads: begun while the program is built, so that it can be told who they are, and waiting at a
//! gate until it goes on.

use crate::evaluator::{run, Arrival};
use capture::cpython::lifecycle;
use capture::cpython::modules::import;
use capture::cpython::thread::ThreadState;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What the threads wait for.
enum Gate {
    /// They wait.
    Closed,
    /// Each goes on with its stack, by its number.
    Open(HashMap<usize, Arrival>),
    /// The program does not go on here: they end.
    Given,
}

static GATE: Mutex<Gate> = Mutex::new(Gate::Closed);
static CHANGED: Condvar = Condvar::new();

/// Only held for moments, and never while anything of Python's runs.
fn gate() -> MutexGuard<'static, Gate> {
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set(next: Gate) {
    let before = std::mem::replace(&mut *gate(), next);
    CHANGED.notify_all();
    drop(before);
}

/// Lets the threads that wait go on, each with its stack.
pub fn open(stacks: HashMap<usize, Arrival>) {
    if !stacks.is_empty() {
        set(Gate::Open(stacks));
    }
}

/// Lets the threads that wait end: the program does not go on here.
#[pyfunction]
pub fn abandon_threads() {
    set(Gate::Given);
}

/// Has the threads that begin from now on wait.
#[pyfunction]
pub fn close_gate() {
    set(Gate::Closed);
}

/// A thread of the program's: what the thread of this process does that is to become it.
#[pyclass(frozen)]
pub struct ThreadStack {
    number: usize,
}

#[pymethods]
impl ThreadStack {
    #[new]
    fn new(number: usize) -> Self {
        Self { number }
    }

    /// Waits until the program goes on, and goes on with its stack.
    fn go_on(&self, py: Python<'_>) -> PyResult<()> {
        import(py, "pyteleport.threads")?.call_method1("enter", (self.number,))?;
        let arrival = py.detach(|| self.wait());
        let Some(arrival) = arrival else { return Ok(()) };
        run(py, arrival, |_, result| result.map(drop))
    }
}

impl ThreadStack {
    fn wait(&self) -> Option<Arrival> {
        let closed = |gate: &mut Gate| matches!(gate, Gate::Closed);
        let waited = CHANGED.wait_while(gate(), closed);
        match &mut *waited.unwrap_or_else(PoisonError::into_inner) {
            Gate::Open(stacks) => stacks.remove(&self.number),
            Gate::Closed | Gate::Given => None,
        }
    }
}

/// Which of the stacks goes on in the main thread, and the others by their numbers.
pub fn apart(mut stacks: Vec<Arrival>, main: usize) -> PyResult<(Arrival, HashMap<usize, Arrival>)> {
    if main >= stacks.len() {
        return Err(PyRuntimeError::new_err("there is no stack for the main thread"));
    }
    let own = stacks.remove(main);
    let numbers = (0..).filter(|number| *number != main);
    Ok((own, numbers.zip(stacks).collect()))
}

/// The key of a thread's part among the parts of a ``threading.local``, by the thread's ident.
#[pyfunction]
pub fn key_of_local<'py>(local: &Bound<'py, PyAny>, ident: u64) -> PyResult<Option<Bound<'py, PyAny>>> {
    match ThreadState::of_ident(local.py(), ident) {
        Some(thread) => thread.key_of_local(local),
        None => Ok(None),
    }
}

/// How the program of the main thread has ended, if it had moved here before: the exit status, and whether by Ctrl-C.
#[pyfunction]
pub fn main_ended() -> Option<(i32, bool)> {
    lifecycle::ended().map(|status| (status.code, status.interrupted))
}
