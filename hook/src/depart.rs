//! Home's side of a move: reach the peer, capture, offer, commit, become the pump.

use crate::encode::{encode, Encoded};
use crate::errors::{raise, transport_error};
use crate::identity::{hello, host};
use crate::meanwhile::Meanwhile;
use crate::signals;
use crate::times::{self, timed};
use capture::cpython::lifecycle::{forget_held_back, replace_process};
use capture::cpython::modules::import;
use capture::cpython::tripped;
use capture::payload::PayloadWriter;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::IntoRawFd;
use std::path::PathBuf;
use transport::{PayloadSource, Peer, ReadyPeer, ReceiveCommand, TransportError};

/// Goes on with the program in another process; returns only if it raises.
///
/// Args:
///     argv: the command that leads to the peer.
///     shell: ``None`` if it is a Python of this machine, in whose words ``{fd}`` stands for the
///         descriptor to home; else a dict with ``python``, ``before`` and ``env``, from which the
///         last word, a shell command, is made.
///     extras: what travels beside the program.
#[pyfunction]
pub fn depart(
    py: Python<'_>,
    argv: Vec<OsString>,
    shell: Option<&Bound<'_, PyDict>>,
    extras: &Bound<'_, PyDict>,
) -> PyResult<()> {
    let mut calls = Calls::of_a_move();
    let (committed, encoded, held_back) = loop {
        let extras = extras.copy()?;
        let moved = offer(py, &argv, shell, &extras, 0, &mut calls).and_then(|(ready, encoded)| {
            let held_back = extras.as_any().get_item("held back")?.extract::<Vec<i32>>()?;
            let committed = py.detach(|| ready.commit(&mut || calls.signalled()));
            let committed = committed.map_err(|error| calls.failed(py, error))?;
            Ok((committed, encoded, held_back))
        });
        match moved {
            Err(_) if calls.begin_again() => {}
            moved => break moved?,
        }
    };
    // What CPython here has noted meanwhile, on whatever thread, is passed on as what comes from here on.
    committed.raise_again(&calls.came_since(py));

    // From here on the program is there, and nothing of it runs here: no destructor, no `finally`.
    // What the snapshot was made of goes with the rest of the memory.
    std::mem::forget(encoded);
    // These are there already; what comes from here on is passed on.
    forget_held_back(&held_back);
    let committed = committed.leave();
    let arguments = match committed.into_pump_args() {
        Ok(arguments) => arguments,
        // The peer is on its own; its exit status is lost, and no Python may run here to say so.
        Err(_) => capture::cpython::lifecycle::leave(LOST),
    };
    become_pump(py, arguments)
}

/// Processes, descriptor, descriptors, children: see [`fork`].
type Copies = (Vec<i32>, i32, Vec<i32>, [i32; 2]);

/// Makes copies of the program in other processes, and goes on.
///
/// Args:
///     argv, shell, extras: as for ``depart``; the extras' value is a list, of what the call is worth in each copy.
///
/// Returns:
///     The processes of the copies, the descriptor of the process that carries for them, those to the copies
///     themselves, and the children of this process that are to be waited for in the end.
#[pyfunction]
pub fn fork(
    py: Python<'_>,
    argv: Vec<OsString>,
    shell: Option<&Bound<'_, PyDict>>,
    extras: &Bound<'_, PyDict>,
) -> PyResult<Copies> {
    let copies = extras.as_any().get_item("value")?.len()?;
    let copies = u8::try_from(copies)
        .ok()
        .filter(|copies| (1..=transport::copies::MOST).contains(copies))
        .ok_or_else(|| {
            PyValueError::new_err(format!(
                "fork() makes 1 to {} copies, not {copies}",
                transport::copies::MOST
            ))
        })?;
    let mut calls = Calls::default();
    let (python, script) = pump_command(py)?;
    let command = pump_words(python, script);
    let (ready, encoded) = offer(py, &argv, shell, extras, copies, &mut calls)?;
    drop(encoded);
    let committed = py.detach(|| ready.commit_copies(&mut || calls.signalled()));
    let committed = committed.map_err(|error| calls.failed(py, error))?;
    let carried = py
        .detach(|| committed.carry(&command))
        .map_err(|error| transport_error(py, error))?;
    Ok((
        carried.pids,
        carried.control.into_raw_fd(),
        carried.talks.into_iter().map(IntoRawFd::into_raw_fd).collect(),
        carried.children,
    ))
}

/// What a move and a fork have in common: reach the peer, capture, offer.
fn offer(
    py: Python<'_>,
    argv: &[OsString],
    shell: Option<&Bound<'_, PyDict>>,
    extras: &Bound<'_, PyDict>,
    copies: u8,
    calls: &mut Calls,
) -> PyResult<(ReadyPeer, Encoded)> {
    crate::install::ready(py)?;
    Meanwhile::refuse(py)?;
    times::clear();
    let command = shell.map(receive_command).transpose()?;

    // What was printed so far comes before whatever the way there prints.
    import(py, "pyteleport.streams")?.call_method0("flush_streams")?;
    let environment = import(py, "pyteleport.interpreter")?.call_method0("environment_of_peer")?;
    let environment = environment.extract::<Vec<(OsString, Option<OsString>)>>()?;
    let peer = timed("spawn", || {
        py.detach(|| spawn(argv, command.as_ref(), &environment))
    });
    let mut peer = peer.map_err(|error| transport_error(py, error))?;
    // The peer starts meanwhile.
    import(py, "pyteleport.graph")?;
    let (ours, check) = hello(py)?;
    let greeted = timed("hello", || {
        py.detach(|| peer.hello(&ours, check, &mut || calls.signalled()))
    });
    let theirs = greeted.map_err(|error| calls.failed(py, error))?;
    extras.set_item("elsewhere", theirs.host != host(py)?)?;

    let encoded = encode(py, extras, copies > 0)?;
    calls.captured(extras.as_any().get_item("signals")?.extract()?);
    if copies > 0 && encoded.has_threads() {
        let message = "fork() makes copies of one thread, and others run here too: join them before, or move the program";
        return Err(raise(py, "CaptureError", message.into()));
    }
    let payload = Payload(encoded.writer(py)?);
    let ready = timed("send", || {
        py.detach(|| peer.offer(&payload, copies, &mut || calls.signalled()))
    });
    let ready = ready.map_err(|error| calls.failed(py, error))?;
    drop(payload);
    Ok((ready, encoded))
}

/// The exit status of a home that cannot know the program's.
const LOST: i32 = 255;

fn spawn(
    argv: &[OsString],
    command: Option<&ReceiveCommand>,
    environment: &[(OsString, Option<OsString>)],
) -> Result<Peer, TransportError> {
    match command {
        None => Peer::spawn_direct(argv, environment),
        Some(command) => Peer::spawn_command(argv, command),
    }
}

fn receive_command(shell: &Bound<'_, PyDict>) -> PyResult<ReceiveCommand> {
    let part = |name: &str| shell.as_any().get_item(name);
    let before = part("before")?.extract::<OsString>()?;
    Ok(ReceiveCommand {
        python: part("python")?.extract()?,
        before: (!before.is_empty()).then_some(before),
        cwd: None,
        env: part("env")?
            .call_method0("items")?
            .try_iter()?
            .map(|item| item?.extract())
            .collect::<PyResult<_>>()?,
        copies: shell.contains("copies")?,
        detach: shell.contains("detach")?,
    })
}

/// Calls back into Python while the transport waits.
///
/// A handler that runs here after the capture changes what has been captured: the first time that one has, the
/// move begins anew; if it comes to that again, handlers are left to the program where it goes on.
#[derive(Default)]
struct Calls {
    raised: Option<PyErr>,
    /// For a move: the signals that have been captured, once they have.
    captured: Option<Vec<i32>>,
    is_move: bool,
    handlers: Handlers,
}

/// What is done about signals after the capture.
#[derive(Default, PartialEq)]
enum Handlers {
    /// Their handlers run.
    #[default]
    Run,
    /// One has run.
    HaveRun,
    /// They wait.
    Wait,
}

impl Calls {
    fn of_a_move() -> Self {
        Self {
            is_move: true,
            ..Self::default()
        }
    }

    /// From here on handlers change what has been captured.
    fn captured(&mut self, signals: Vec<i32>) {
        self.captured = self.is_move.then_some(signals);
    }

    /// Whether the capture is out of date, so that the move is to begin anew.
    fn begin_again(&mut self) -> bool {
        let is_stale = self.handlers == Handlers::HaveRun && self.raised.is_none();
        if is_stale {
            self.handlers = Handlers::Wait;
            self.captured = None;
        }
        is_stale
    }

    /// What a failure of the transport is: what a handler has raised, if it gave up because of that.
    fn failed(&mut self, py: Python<'_>, error: TransportError) -> PyErr {
        match self.raised.take() {
            Some(raised) => {
                self.handlers = Handlers::Wait;
                raised
            }
            None => transport_error(py, error),
        }
    }

    /// Runs the program's signal handlers if signals came; whether to give up.
    fn signalled(&mut self) -> bool {
        Python::attach(|py| match self.look(py) {
            Ok(give_up) => give_up,
            Err(raised) => {
                self.raised = Some(raised);
                true
            }
        })
    }

    fn look(&mut self, py: Python<'_>) -> PyResult<bool> {
        if self.captured.is_none() || !tripped::are_known(py)? {
            return py.check_signals().map(|()| false);
        }
        if self.came_since(py).is_empty() {
            return Ok(false);
        }
        if self.handlers == Handlers::Wait {
            return signals::interrupt(py).map(|()| false);
        }
        self.handlers = Handlers::HaveRun;
        py.check_signals().map(|()| true)
    }

    /// The signals that CPython has noted here since the capture.
    fn came_since(&self, py: Python<'_>) -> Vec<i32> {
        let Some(captured) = &self.captured else {
            return Vec::new();
        };
        let mut waiting = tripped::waiting(py).unwrap_or_default();
        waiting.retain(|number| !captured.contains(number));
        waiting
    }
}

/// A payload as the transport takes it.
struct Payload<'a>(PayloadWriter<'a>);

impl PayloadSource for Payload<'_> {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.write_to(out)
    }
}

/// Replaces this process by a small one with the same pid and descriptors, which forwards what
/// belongs to the program.
fn become_pump(py: Python<'_>, arguments: Vec<OsString>) -> ! {
    if let Ok((python, script)) = pump_command(py) {
        let mut words = pump_words(python.clone(), script);
        words.extend(arguments.iter().cloned());
        // Returns only if it failed: then this process serves as it is, with its memory.
        replace_process(&python, &words);
    }
    py.detach(|| transport::pump::run(&arguments))
}

/// What starts the pump, without its arguments.
fn pump_words(python: OsString, script: OsString) -> Vec<OsString> {
    vec![python, "-I".into(), "-S".into(), "-E".into(), script]
}

/// The interpreter and the script of the pump.
fn pump_command(py: Python<'_>) -> PyResult<(OsString, OsString)> {
    let python = import(py, "sys")?.getattr("executable")?.extract::<OsString>()?;
    let package = import(py, "pyteleport")?
        .getattr("__file__")?
        .extract::<PathBuf>()?;
    Ok((python, package.with_file_name("_pump.py").into_os_string()))
}

/// Forwards stdio, signals and the exit status of a program that has moved away, and ends as it
/// ends. The whole of what ``_pump.py`` does.
#[pyfunction]
pub fn pump(py: Python<'_>, arguments: Vec<OsString>) -> PyResult<()> {
    py.detach(|| transport::pump::run(&arguments))
}

/// Keeps the running program in a file, whole or not at all.
///
/// Args:
///     path: the file.
///     extras: what travels beside the program.
///     trailer: bytes to put behind the payload.
#[pyfunction]
pub fn dump(py: Python<'_>, path: PathBuf, extras: &Bound<'_, PyDict>, trailer: &[u8]) -> PyResult<()> {
    crate::install::ready(py)?;
    Meanwhile::refuse(py)?;
    times::clear();
    let encoded = encode(py, extras, false)?;
    let kept = Kept {
        payload: encoded.writer(py)?,
        trailer,
    };
    py.detach(|| transport::file::write(&path, &kept))?;
    Ok(())
}

/// A payload with what follows it in a file.
struct Kept<'a> {
    payload: PayloadWriter<'a>,
    trailer: &'a [u8],
}

impl PayloadSource for Kept<'_> {
    fn len(&self) -> u64 {
        self.payload.len() + self.trailer.len() as u64
    }

    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        self.payload.write_to(out)?;
        out.write_all(self.trailer)
    }
}

/// Writes the running program to an open binary file; arguments as for ``dump``.
#[pyfunction]
pub fn dump_to(file: &Bound<'_, PyAny>, extras: &Bound<'_, PyDict>, trailer: &[u8]) -> PyResult<()> {
    let py = file.py();
    crate::install::ready(py)?;
    Meanwhile::refuse(py)?;
    times::clear();
    let encoded = encode(py, extras, false)?;
    let mut out = PythonFile { file, raised: None };
    let written = encoded
        .writer(py)?
        .write_to(&mut out)
        .and_then(|()| out.write_all(trailer));
    match (written, out.raised) {
        (_, Some(raised)) => Err(raised),
        (Err(error), None) => Err(error.into()),
        (Ok(()), None) => Ok(()),
    }
}

/// A Python file object as a writer.
struct PythonFile<'a, 'py> {
    file: &'a Bound<'py, PyAny>,
    raised: Option<PyErr>,
}

impl Write for PythonFile<'_, '_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let data_len = data.len();
        let written = self
            .file
            .call_method1("write", (PyBytes::new(self.file.py(), data),))
            .and_then(|count| {
                if count.is_none() {
                    Ok(data_len)
                } else {
                    count.extract()
                }
            });
        written.map_err(|error| {
            self.raised = Some(error);
            io::Error::other("the file object raised an exception")
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
