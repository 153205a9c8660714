//! How far a move or a dump has come: told to Python between two writes, or not at all.

use crate::meanwhile::Meanwhile;
use capture::cpython::modules::import;
use capture::payload::sizes::Variable;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use transport::Quiet;

/// How long what has a line may take before it is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two times of telling.
const PAUSE: Duration = Duration::from_millis(100);

/// As much is written at once where somebody is told of it.
const BLOCK: usize = 1 << 20;

/// So many variables are named that take the space.
const NAMED: usize = 2;

/// Who is told.
enum Listener {
    /// A function of the program's.
    Function(Py<PyAny>),
    /// Who sees the terminal; the line, once it is shown.
    Line(Option<Py<PyAny>>),
}

/// How far it has come.
struct State {
    listener: Listener,
    phase: &'static str,
    /// When the bytes began to go.
    sending: Option<Instant>,
    total: u64,
    last: Instant,
    raised: Option<PyErr>,
    /// Whether there is nothing more to tell.
    is_over: bool,
}

/// The course of one move or dump.
pub struct Progress {
    began: Instant,
    done: AtomicU64,
    state: Option<Mutex<State>>,
}

impl Progress {
    /// As the option `progress` has it, which is taken out of what travels: a function, whether there is a
    /// terminal to show a line on, or nothing.
    pub fn of(extras: &Bound<'_, PyDict>) -> PyResult<Self> {
        let began = Instant::now();
        let option = extras.get_item("progress")?;
        let listener = match option {
            None => None,
            Some(option) => {
                extras.del_item("progress")?;
                match option.extract::<bool>() {
                    Ok(true) => Some(Listener::Line(None)),
                    Ok(false) => None,
                    Err(_) => Some(Listener::Function(option.unbind())),
                }
            }
        };
        let state = listener.map(|listener| {
            Mutex::new(State {
                listener,
                phase: "connect",
                sending: None,
                total: 0,
                last: began,
                raised: None,
                is_over: false,
            })
        });
        Ok(Self {
            began,
            done: AtomicU64::new(0),
            state,
        })
    }

    fn state(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.state.as_ref()?;
        Some(state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes on to a phase, of so many bytes if it is one of them, and tells.
    pub fn phase(&self, phase: &'static str, total: Option<u64>) -> PyResult<()> {
        let Some(mut state) = self.state() else {
            return Ok(());
        };
        state.phase = phase;
        state.is_over = false;
        if let Some(total) = total {
            state.total = total;
            self.done.store(0, Ordering::Relaxed);
            state.sending = Some(Instant::now());
        }
        if matches!(state.listener, Listener::Function(_)) {
            self.tell(&mut state, &|| Vec::new());
        }
        state.raised.take().map_or(Ok(()), Err)
    }

    /// Tells if it is time for that; true if the function has raised an exception, which is kept.
    pub fn tick(&self, sizes: &dyn Fn() -> Vec<Variable>) -> bool {
        let Some(mut state) = self.state() else {
            return false;
        };
        if state.raised.is_some() {
            return true;
        }
        let is_due = match &state.listener {
            _ if state.is_over => false,
            Listener::Function(_) | Listener::Line(Some(_)) => state.last.elapsed() >= PAUSE,
            Listener::Line(None) => state.sending.is_some_and(|since| since.elapsed() >= PATIENCE),
        };
        if is_due {
            if state.phase == "send" && self.done.load(Ordering::Relaxed) >= state.total {
                state.phase = "start";
            }
            self.tell(&mut state, sizes);
        }
        state.raised.is_some()
    }

    fn tell(&self, state: &mut State, sizes: &dyn Fn() -> Vec<Variable>) {
        let done = self.done.load(Ordering::Relaxed).min(state.total);
        let seconds = self.began.elapsed().as_secs_f64();
        let sending = state.sending.map_or(0.0, |since| since.elapsed().as_secs_f64());
        // A handler of the program's that ran meanwhile would change what has been captured.
        let told = Python::attach(|py| {
            let _meanwhile = Meanwhile::begin();
            let _quiet = Quiet::begin();
            let module = import(py, "pyteleport.progress")?;
            match &mut state.listener {
                Listener::Function(function) => {
                    let facts = (function.bind(py), state.phase, done, state.total, seconds);
                    module.call_method1("tell", facts).map(drop)
                }
                Listener::Line(line) => {
                    if line.is_none() {
                        let largest: Vec<_> = sizes().into_iter().take(NAMED).collect();
                        *line = Some(module.call_method1("Line", (state.total, largest))?.unbind());
                    }
                    let line = line.as_ref().map(|line| line.bind(py));
                    line.map_or(Ok(()), |line| {
                        line.call_method1("show", (state.phase, done, sending)).map(drop)
                    })
                }
            }
        });
        state.last = Instant::now();
        state.raised = told.err();
    }

    /// What the function has raised.
    pub fn raised(&self) -> Option<PyErr> {
        self.state()?.raised.take()
    }

    /// All is done, or it has failed: there is nothing more to be seen. What a function has printed is written
    /// out, for this process may be about to leave.
    pub fn end(&self, py: Python<'_>, succeeded: bool) -> PyResult<()> {
        let Some(mut state) = self.state() else {
            return Ok(());
        };
        state.is_over = true;
        match &mut state.listener {
            Listener::Function(_) if succeeded => {
                self.done.store(state.total, Ordering::Relaxed);
                self.tell(&mut state, &|| Vec::new());
                import(py, "pyteleport.streams")?.call_method0("flush_streams")?;
            }
            Listener::Line(line) => {
                if let Some(line) = line.take() {
                    line.call_method0(py, "close")?;
                }
            }
            Listener::Function(_) => {}
        }
        state.raised.take().map_or(Ok(()), Err)
    }

    /// What is written here is counted, and told of.
    pub fn counting<'a>(
        &'a self,
        out: &'a mut dyn Write,
        sizes: &'a dyn Fn() -> Vec<Variable>,
    ) -> Counting<'a> {
        Counting {
            out,
            progress: self,
            sizes,
        }
    }
}

/// A writer that counts.
pub struct Counting<'a> {
    out: &'a mut dyn Write,
    progress: &'a Progress,
    sizes: &'a dyn Fn() -> Vec<Variable>,
}

impl Write for Counting<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.progress.state.is_none() {
            return self.out.write(data);
        }
        let written = self.out.write(&data[..data.len().min(BLOCK)])?;
        self.progress.done.fetch_add(written as u64, Ordering::Relaxed);
        match self.progress.tick(self.sizes) {
            true => Err(io::Error::other(
                "the function that was told has raised an exception",
            )),
            false => Ok(written),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
