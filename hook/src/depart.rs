//! Home's side of a move: reach the peer, capture, offer, commit, become the pump.

use crate::encode::{encode, Encoded};
use crate::errors::{raise, transport_error};
use crate::identity::{hello, host};
use crate::meanwhile::Meanwhile;
use crate::progress::Progress;
use crate::signals;
use crate::times::{self, timed};
use capture::cpython::lifecycle::{forget_held_back, replace_process};
use capture::cpython::modules::import;
use capture::cpython::tripped;
use capture::payload::sizes::Variable;
use capture::payload::PayloadWriter;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use transport::copies::Carried;
use transport::{Going, Hello, PayloadSource, Peer, ReadyPeer, ReceiveCommand, TransportError};

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
    let mut calls = Calls::of(extras, true)?;
    let (committed, encoded, held_back) = loop {
        let extras = extras.copy()?;
        let moved =
            offer(py, &argv, shell, &extras, Going::Moves, &mut calls).and_then(|(ready, encoded)| {
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
    log::debug!("committed: the program is there");

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
    let carried = send_copies(py, &argv, shell, extras, Going::Copies(copies), |_| Ok(()))?;
    Ok((
        carried.pids,
        carried.control.into_raw_fd(),
        carried.talks.into_iter().map(IntoRawFd::into_raw_fd).collect(),
        carried.children,
    ))
}

/// Has copies of the program run in other processes, or one that comes back; `prepare` is called before that is
/// decided, with the number of the program's frames.
pub fn send_copies(
    py: Python<'_>,
    argv: &[OsString],
    shell: Option<&Bound<'_, PyDict>>,
    extras: &Bound<'_, PyDict>,
    going: Going,
    prepare: impl FnOnce(usize) -> PyResult<()>,
) -> PyResult<Carried> {
    let mut calls = Calls::of(extras, false)?;
    let (python, script) = pump_command(py)?;
    let command = pump_words(python, script);
    let (ready, encoded) = offer(py, argv, shell, extras, going, &mut calls)?;
    let frames = encoded.frames() as usize;
    drop(encoded);
    prepare(frames)?;
    let committed = py.detach(|| ready.commit_copies(&mut || calls.signalled()));
    let committed = committed.map_err(|error| calls.failed(py, error))?;
    log::debug!("committed: {going:?}");
    py.detach(|| committed.carry(&command))
        .map_err(|error| transport_error(py, error))
}

/// What a move and a fork have in common: reach the peer, capture, offer.
fn offer(
    py: Python<'_>,
    argv: &[OsString],
    shell: Option<&Bound<'_, PyDict>>,
    extras: &Bound<'_, PyDict>,
    going: Going,
    calls: &mut Calls,
) -> PyResult<(ReadyPeer, Encoded)> {
    let offered = try_offer(py, argv, shell, extras, going, calls);
    let ended = calls.progress.end(py, offered.is_ok());
    let offered = offered?;
    ended.map(|()| offered)
}

fn try_offer(
    py: Python<'_>,
    argv: &[OsString],
    shell: Option<&Bound<'_, PyDict>>,
    extras: &Bound<'_, PyDict>,
    going: Going,
    calls: &mut Calls,
) -> PyResult<(ReadyPeer, Encoded)> {
    crate::steps::begin();
    crate::install::ready(py)?;
    Meanwhile::refuse(py)?;
    times::clear();
    calls.progress.phase("connect", None)?;
    let command = shell.map(receive_command).transpose()?;

    // What was printed so far comes before whatever the way there prints.
    import(py, "pyteleport.streams")?.call_method0("flush_streams")?;
    let environment = import(py, "pyteleport.interpreter")?.call_method0("environment_of_peer")?;
    let environment = environment.extract::<Vec<(OsString, Option<OsString>)>>()?;
    let warm = match take_server(extras)? {
        Some(server) if command.is_none() && going == Going::Moves => {
            warm_peer(py, &server, argv, &environment, calls)?
        }
        _ => None,
    };
    let (peer, theirs) = match warm {
        Some(greeted) => greeted,
        None => fresh_peer(py, argv, command.as_ref(), &environment, calls)?,
    };
    log::debug!(
        "greeted: {} on {}, process {}, pyteleport {}",
        theirs.build,
        theirs.host,
        theirs.pid,
        theirs.build.pyteleport
    );
    extras.set_item("elsewhere", theirs.host != host(py)?)?;

    calls.progress.phase("capture", None)?;
    let encoded = encode(py, extras, going != Going::Moves)?;
    calls.captured(extras.as_any().get_item("signals")?.extract()?);
    if going != Going::Moves && encoded.has_threads() {
        let message = "fork() makes copies of one thread, and others run here too: join them before, or move the program";
        return Err(raise(py, "CaptureError", message.into()));
    }
    let writer = encoded.writer(py)?;
    let sizes = encoded.sizes();
    log::debug!("encoded: {} bytes, {} frames", writer.len(), encoded.frames());
    calls.progress.phase("send", Some(writer.len()))?;
    let progress = calls.progress.clone();
    let payload = Payload {
        writer,
        progress: &progress,
        sizes: &sizes,
    };
    let ready = timed("send", || {
        py.detach(|| {
            peer.offer(&payload, going, &mut || {
                calls.interrupted() || progress.tick(&sizes)
            })
        })
    });
    let ready = ready.map_err(|error| calls.failed(py, error))?;
    drop(payload);
    drop(sizes);
    Ok((ready, encoded))
}

/// Where a server of warm peers listens, if one is to be asked; taken out of what travels.
fn take_server(extras: &Bound<'_, PyDict>) -> PyResult<Option<PathBuf>> {
    let Some(server) = extras.get_item("server")? else {
        return Ok(None);
    };
    extras.del_item("server")?;
    match server.extract::<bool>() {
        Ok(true) => crate::warm::server_path(extras.py()).map(Some),
        Ok(false) => Ok(None),
        Err(_) => server.extract().map(Some),
    }
}

/// A peer of a server, if one fits and answers.
fn warm_peer(
    py: Python<'_>,
    server: &Path,
    argv: &[OsString],
    environment: &[(OsString, Option<OsString>)],
    calls: &mut Calls,
) -> PyResult<Option<(Peer, Hello)>> {
    if !server.exists() {
        return Ok(None);
    }
    let Some(wanted) = crate::warm::wanted(py, argv, environment)? else {
        return Ok(None);
    };
    let peer = timed("spawn", || py.detach(|| Peer::warm(server, &wanted)));
    let Some(mut peer) = peer else { return Ok(None) };
    log::debug!(
        "taken: process {} of the server at {}",
        peer.pid(),
        server.display()
    );
    import(py, "pyteleport.graph")?;
    let (ours, check) = hello(py)?;
    let none = |_: &str| Err(TransportError::Misfit("a warm peer has pyteleport".into()));
    let greeted = timed("hello", || {
        py.detach(|| peer.hello(&ours, check, none, &mut || calls.signalled()))
    });
    match greeted {
        Ok(theirs) => Ok(Some((peer, theirs))),
        Err(TransportError::Interrupted) => Err(calls.failed(py, TransportError::Interrupted)),
        // A fresh one will do.
        Err(error) => {
            log::debug!("process {} did not answer: {error}", peer.pid());
            Ok(None)
        }
    }
}

/// A peer that is started now.
fn fresh_peer(
    py: Python<'_>,
    argv: &[OsString],
    command: Option<&ReceiveCommand>,
    environment: &[(OsString, Option<OsString>)],
    calls: &mut Calls,
) -> PyResult<(Peer, Hello)> {
    let peer = timed("spawn", || py.detach(|| spawn(argv, command, environment)));
    let mut peer = peer.map_err(|error| transport_error(py, error))?;
    log::debug!("spawned: process {} by {}", peer.pid(), shown(argv));
    // The peer starts meanwhile.
    import(py, "pyteleport.graph")?;
    let (ours, check) = hello(py)?;
    let mut refusal = None;
    let package = |said: &str| {
        package_for(said).map_err(|error| {
            refusal = Some(error);
            TransportError::Interrupted
        })
    };
    let greeted = timed("hello", || {
        py.detach(|| peer.hello(&ours, check, package, &mut || calls.signalled()))
    });
    match (greeted, refusal) {
        (Err(_), Some(refusal)) => Err(refusal),
        (Err(error), None) => Err(calls.failed(py, error)),
        (Ok(theirs), _) => Ok((peer, theirs)),
    }
}

/// A command as it may be read.
fn shown(argv: &[OsString]) -> String {
    let words: Vec<_> = argv.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// What is sent to a Python without pyteleport that has said this.
fn package_for(said: &str) -> PyResult<Vec<u8>> {
    Python::attach(|py| {
        import(py, "pyteleport.bare")?
            .call_method1("answer", (said,))?
            .extract()
    })
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
        begin: Some(part("begin")?.extract()?),
        detach: shell.contains("detach")?,
    })
}

/// Calls back into Python while the transport waits.
///
/// A handler that runs here after the capture changes what has been captured: the first time that one has, the
/// move begins anew; if it comes to that again, handlers are left to the program where it goes on.
struct Calls {
    raised: Option<PyErr>,
    progress: Arc<Progress>,
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
    /// With what the extras say of who is told how far it is.
    fn of(extras: &Bound<'_, PyDict>, is_move: bool) -> PyResult<Self> {
        Ok(Self {
            raised: None,
            progress: Arc::new(Progress::of(extras)?),
            captured: None,
            is_move,
            handlers: Handlers::default(),
        })
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
        match self.raised.take().or_else(|| self.progress.raised()) {
            Some(raised) => {
                // It has given up for good: nothing begins again.
                self.handlers = Handlers::Wait;
                raised
            }
            None => transport_error(py, error),
        }
    }

    /// Runs the program's signal handlers if signals came; whether to give up.
    fn interrupted(&mut self) -> bool {
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

    /// The same, and tells how far it is.
    fn signalled(&mut self) -> bool {
        self.interrupted() || self.progress.tick(&Vec::new)
    }
}

/// A payload as the transport takes it.
struct Payload<'a> {
    writer: PayloadWriter<'a>,
    progress: &'a Progress,
    sizes: &'a (dyn Fn() -> Vec<Variable> + Sync),
}

impl PayloadSource for Payload<'_> {
    fn len(&self) -> u64 {
        self.writer.len()
    }

    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        self.writer.write_to(&mut self.progress.counting(out, self.sizes))
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
    keep(py, extras, |payload| {
        let kept = Kept { payload, trailer };
        py.detach(|| transport::file::write(&path, &kept))?;
        Ok(())
    })
}

/// Captures the program and has `write` keep it.
fn keep(
    py: Python<'_>,
    extras: &Bound<'_, PyDict>,
    write: impl FnOnce(Payload<'_>) -> PyResult<()>,
) -> PyResult<()> {
    crate::steps::begin();
    let progress = Progress::of(extras)?;
    crate::install::ready(py)?;
    Meanwhile::refuse(py)?;
    times::clear();
    let kept = (|| {
        progress.phase("capture", None)?;
        let encoded = encode(py, extras, false)?;
        let (writer, sizes) = (encoded.writer(py)?, encoded.sizes());
        log::debug!("encoded: {} bytes, {} frames", writer.len(), encoded.frames());
        progress.phase("write", Some(writer.len()))?;
        let payload = Payload {
            writer,
            progress: &progress,
            sizes: &sizes,
        };
        write(payload)
    })();
    let ended = progress.end(py, kept.is_ok());
    kept.map_err(|error| progress.raised().unwrap_or(error))?;
    ended
}

/// A payload with what follows it in a file.
struct Kept<'a> {
    payload: Payload<'a>,
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
    keep(file.py(), extras, |payload| {
        write_all(file, trailer, |out| payload.write_to(out))
    })
}

/// Writes a payload, and what follows it, to an open binary file.
pub fn write_to(file: &Bound<'_, PyAny>, encoded: &Encoded, trailer: &[u8]) -> PyResult<()> {
    let payload = encoded.writer(file.py())?;
    write_all(file, trailer, |out| payload.write_to(out))
}

fn write_all(
    file: &Bound<'_, PyAny>,
    trailer: &[u8],
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> PyResult<()> {
    let mut out = PythonFile { file, raised: None };
    let written = write(&mut out).and_then(|()| out.write_all(trailer));
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
