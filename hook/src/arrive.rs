//! The peer's side of a move: decode, say so, wait for the word, go on.

use crate::errors::{morph_error, payload_error, raise, transport_error};
use crate::evaluator::{run, Arrival};
use crate::graph::{GraphDecoder, Input};
use crate::identity::{build_identity, hello};
use crate::meanwhile::Meanwhile;
use crate::prompt;
use crate::threads;
use crate::times;
use capture::consumed::Consumed;
use capture::cpython::buffer::filled_bytearray;
use capture::cpython::evalframe;
use capture::cpython::lifecycle::{
    around_fork, come_held_back, leave, make_room_for, replace_process, set_ended, Status,
};
use capture::cpython::modules::import;
use capture::morph::{self, Objects};
use capture::payload::{PayloadReader, Start};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::IntoRawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use transport::terminal::HasTerminal;
use transport::{Arriving, HeldSignals, Receiver, TransportError};

/// A program that is decoded and has not gone on yet.
struct Decoded {
    /// What goes on in the main thread.
    arrival: Arrival,
    /// The stacks of the other threads, by their numbers.
    others: HashMap<usize, Arrival>,
    /// What the Python side gives back last, just before the program goes on.
    late: Py<PyAny>,
    /// What the program's end leads to.
    prompt: Py<PyAny>,
    recording: bool,
    /// How the main thread's program has ended, whose other threads go on.
    ended: Option<Status>,
    /// Signals that have come and are held back.
    held_back: Vec<i32>,
}

/// A stack of so many frames has room anyway.
const MANY_FRAMES: usize = 500;

/// As much of a stack as pyteleport's own calls take below them.
pub const FEW_FRAMES: usize = 8;

/// Reads a payload to its end and makes everything in it.
fn decode(py: Python<'_>, input: Input, total: Option<u64>, value: Option<Py<PyAny>>) -> PyResult<Decoded> {
    let _meanwhile = Meanwhile::begin();
    let failed = |error| payload_error(py, error);
    let started = std::time::Instant::now();
    let mut reader = py.detach(|| PayloadReader::open(input, total)).map_err(failed)?;
    build_identity(py)?
        .fits(&reader.header().build)
        .map_err(|difference| raise(py, "PayloadError", difference))?;
    let snapshot = py.detach(|| reader.read_snapshot()).map_err(failed)?;
    let mut buffers = Vec::new();
    for length in reader.buffer_lengths().to_vec() {
        let length = usize::try_from(length)
            .map_err(|_| raise(py, "PayloadError", "a buffer is larger than memory".into()))?;
        let array = filled_bytearray(py, length, |memory| reader.read_buffer_into(memory))?;
        buffers.push(array.map_err(failed)?.into_any().unbind());
    }
    let reader = reader.into_graph().map_err(failed)?;
    let decoder = Bound::new(py, GraphDecoder::new(reader, buffers))?;
    let graph = import(py, "pyteleport.graph")?.call_method1("decode", (&decoder,))?;
    if decoder.borrow().remaining() != 0 {
        return Err(raise(
            py,
            "PayloadError",
            "there are bytes behind the object graph".into(),
        ));
    }
    let extras = graph.getattr("extras")?;
    times::clear();
    for stage in extras.get_item("times")?.call_method0("items")?.try_iter()? {
        let (stage, seconds) = stage?.extract::<(String, f64)>()?;
        times::note(&stage, seconds);
    }
    times::note("decode", started.elapsed().as_secs_f64());
    times::timed("build", || {
        let objects = Objects::new(graph.getattr("objects")?.extract()?);
        let prepared = morph::prepare(py, &snapshot, &objects).map_err(|error| morph_error(py, error))?;
        let main = graph.getattr("main")?.extract()?;
        // The other threads have begun with stacks that are large enough.
        let deep = prepared.get(main).map_or(0, Vec::len);
        // Those that have waited for a program that comes back stay below.
        let is_back = graph.getattr("is_back")?.extract::<bool>()?;
        if is_back || deep > MANY_FRAMES {
            make_room_for(py, deep + FEW_FRAMES)
                .map_err(|error| raise(py, "ResumeError", error.to_string()))?;
        }
        let value = match value {
            Some(value) => value,
            None => extras.get_item("value")?.unbind(),
        };
        let frame_objects: Vec<(Py<PyAny>, usize)> = graph.getattr("frames")?.extract()?;
        let mut stacks = Vec::with_capacity(prepared.len());
        let mut first = 0;
        for (frames, stack) in prepared.into_iter().zip(&snapshot.stacks) {
            let own = first..first + frames.len();
            let own_objects = frame_objects.iter().filter(|(_, frame)| own.contains(frame));
            stacks.push(Arrival {
                frame_objects: own_objects
                    .map(|(object, frame)| (object.clone_ref(py), frame - first))
                    .collect(),
                // Handlers run in the main thread.
                signals: match stacks.len() == main {
                    true => extras.get_item("signals")?.extract()?,
                    false => Vec::new(),
                },
                cancelled: Vec::new(),
                handled: stack.handled,
                objects: objects.share(),
                // The call that stopped the program is that of the first.
                value: if first == 0 {
                    value.clone_ref(py)
                } else {
                    py.None()
                },
                frames,
            });
            first = own.end;
        }
        let (arrival, others) = threads::apart(stacks, main)?;
        Ok(Decoded {
            arrival,
            others,
            recording: extras.get_item("recording")?.extract()?,
            ended: extras
                .get_item("ended")?
                .extract::<Option<(i32, bool)>>()?
                .map(|(code, interrupted)| Status { code, interrupted }),
            held_back: extras.get_item("held back")?.extract()?,
            prompt: extras.get_item("prompt")?.unbind(),
            late: graph.unbind(),
        })
    })
}

/// Gives the program its surroundings back; everything that can fail has been tried after this.
fn settle(py: Python<'_>, decoded: &Decoded) -> PyResult<()> {
    let _meanwhile = Meanwhile::begin();
    decoded.late.bind(py).call_method0("give_back")?;
    evalframe::set_recording(py, &Consumed, decoded.recording)
        .map_err(|error| raise(py, "ResumeError", error.to_string()))
}

/// The program goes on; from here on its exceptions are its own.
fn go_on(py: Python<'_>, mut decoded: Decoded) -> ! {
    let prompt = decoded.prompt.clone_ref(py);
    let ended = decoded.ended.take();
    let arrival = begin(py, decoded, ended);
    run(py, arrival, |py, result| {
        prompt::end(py, result.map(drop), ended, &prompt)
    });
    leave(0)
}

/// Starts all of the program but its main thread's stack, which is returned.
fn begin(py: Python<'_>, decoded: Decoded, ended: Option<Status>) -> Arrival {
    let Decoded {
        mut arrival,
        mut others,
        late,
        held_back,
        ..
    } = decoded;
    if let Some(status) = ended {
        set_ended(status);
    }
    let begun = late.bind(py).call_method0("begin");
    match begun.and_then(|cancelled| cancelled.extract::<Vec<(usize, Py<PyAny>)>>()) {
        Ok(cancelled) => {
            for (stack, task) in cancelled {
                let of = others.get_mut(&stack).unwrap_or(&mut arrival);
                of.cancelled.push(task);
            }
        }
        Err(error) => error.write_unraisable(py, None),
    }
    come_held_back(&held_back);
    drop(late);
    threads::open(others);
    arrival
}

/// Goes on from a file that ``dump`` wrote, in this process, for good.
///
/// Args:
///     file: its path, or an open binary file.
///     value: what the call of ``dump`` is worth in the resumed program.
///     prompt: what its end leads to, if not what has travelled.
///
/// Raises:
///     PayloadError: the file is damaged, or was made by another interpreter.
///     ResumeError: the program cannot go on here.
///     OSError: the file cannot be read.
#[pyfunction]
#[pyo3(signature = (file, value, prompt=None))]
pub fn resume_file(file: &Bound<'_, PyAny>, value: Py<PyAny>, prompt: Option<Py<PyAny>>) -> PyResult<()> {
    let py = file.py();
    let mut decoded = decode_file(file, Some(value))?;
    if let Some(prompt) = prompt {
        decoded.prompt = prompt;
    }
    settle(py, &decoded)?;
    go_on(py, decoded)
}

/// Goes on from an open file with what has come back to the frame that calls this, and waits for its end.
///
/// Args:
///     file: an open binary file.
///
/// Returns:
///     What its outermost frame returns.
///
/// Raises:
///     PayloadError, ResumeError: as ``resume_file``.
///     BaseException: what its outermost frame raises.
#[pyfunction]
pub fn resume_above(file: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = file.py();
    let decoded = decode_file(file, None)?;
    settle(py, &decoded)?;
    let arrival = begin(py, decoded, None);
    run(py, arrival, |_, result| result)
}

fn decode_file(file: &Bound<'_, PyAny>, value: Option<Py<PyAny>>) -> PyResult<Decoded> {
    let py = file.py();
    crate::install::ready(py)?;
    Meanwhile::refuse(py)?;
    if !file.hasattr("read")? {
        let (file, _) = transport::file::open(&file.extract::<PathBuf>()?)?;
        return decode(py, Box::new(file), None, value);
    }
    let slot = Arc::new(Mutex::new(None));
    let input = PythonFile {
        file: file.clone().unbind(),
        raised: slot.clone(),
    };
    let decoded = decode(py, Box::new(input), None, value);
    let raised = slot.lock().ok().and_then(|mut raised| raised.take());
    raised.map_or(decoded, Err)
}

/// Replaces this process by one that is started as that was which a file is from; returns if this
/// one is, or has to do.
///
/// Args:
///     path: the file.
///
/// Raises:
///     PayloadError: the file is damaged.
///     OSError: the file cannot be read.
#[pyfunction]
pub fn become_like_file(py: Python<'_>, path: PathBuf) -> PyResult<()> {
    let (file, _) = transport::file::open(&path)?;
    let reader = PayloadReader::open(file, None).map_err(|error| payload_error(py, error))?;
    if build_identity(py)?.fits(&reader.header().build).is_err() {
        return Ok(());
    }
    if let Ok(Some((program, words))) = words_to_become(py, reader.start()) {
        let more = ["--file".into(), path.into_os_string()];
        let words: Vec<_> = words.into_iter().chain(more).collect();
        replace_process(&program, &words);
    }
    Ok(())
}

/// A Python file object as a reader.
struct PythonFile {
    file: Py<PyAny>,
    /// What the file object raised.
    raised: Arc<Mutex<Option<PyErr>>>,
}

impl Read for PythonFile {
    fn read(&mut self, memory: &mut [u8]) -> io::Result<usize> {
        Python::attach(|py| {
            let data = self.file.bind(py).call_method1("read", (memory.len(),))?;
            let data = data.cast_into::<PyBytes>()?;
            let data = data.as_bytes();
            let length = data.len().min(memory.len());
            memory[..length].copy_from_slice(&data[..length]);
            Ok(length)
        })
        .map_err(|error: PyErr| {
            if let Ok(mut raised) = self.raised.lock() {
                raised.get_or_insert(error);
            }
            io::Error::other("the file object raised an exception")
        })
    }
}

/// Holds the folder that pyteleport runs from, if home has sent it along.
///
/// Args:
///     path: the folder.
///     held: a descriptor that has held it until now.
#[pyfunction]
pub fn enter_folder(py: Python<'_>, path: PathBuf, held: Option<i32>) -> PyResult<()> {
    transport::folder::enter(&path, held).map_err(|error| transport_error(py, error))
}

/// Receives a program from home and goes on with it.
///
/// Args:
///     fd: the descriptor to home.
///     inode: behind a shell: which socket that has to be; if it is not, standard input and output
///         lead home.
///     makes_copies: whether home asks for copies.
///     terminal: what home's terminal is, if it has one.
///     detach: whether the program lives on when home is gone.
///
/// Returns:
///     An exit status, if no program came.
#[pyfunction]
pub fn receive(
    py: Python<'_>,
    fd: i32,
    inode: Option<u64>,
    makes_copies: bool,
    terminal: Option<String>,
    detach: bool,
) -> PyResult<i32> {
    let terminal = terminal.as_deref().and_then(HasTerminal::of_word);
    arrived(
        py,
        receive_program(py, fd, inode, makes_copies, (terminal, detach)),
    )
}

fn arrived(py: Python<'_>, received: Result<(Decoded, HeldSignals), Refused>) -> PyResult<i32> {
    match received {
        Ok((decoded, signals)) => {
            signals.release();
            go_on(py, decoded)
        }
        Err(Refused::Quietly) => {
            transport::folder::leave();
            leave(1)
        }
        Err(Refused::Told(error)) => {
            // Home was told, or cannot be; what is left is for whoever reads this end's stderr.
            Err(transport_error(py, error))
        }
    }
}

/// Why no program came.
enum Refused {
    /// Home gave up, or was told why: there is nobody else to tell.
    Quietly,
    /// The way home is broken.
    Told(TransportError),
}

impl From<TransportError> for Refused {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::HomeGaveUp => Self::Quietly,
            error => Self::Told(error),
        }
    }
}

fn receive_program(
    py: Python<'_>,
    fd: i32,
    inode: Option<u64>,
    makes_copies: bool,
    (terminal, detach): (Option<HasTerminal>, bool),
) -> Result<(Decoded, HeldSignals), Refused> {
    crate::steps::begin();
    log::debug!("receive: as process {}", std::process::id());
    let mut receiver = match inode {
        None => Receiver::from_fd(fd)?,
        Some(inode) => Receiver::from_stdio_or_fd(fd, inode)?,
    };
    match makes_copies {
        // It will split itself, later.
        true => receiver.stand_alone()?,
        // This splits the process in two, and has to come before anything else does.
        false => drop(around_fork(py, || receiver.split_off_relay(terminal, detach))?),
    }
    greet_and_receive(py, receiver, inode.is_some())
}

/// Waits for a program as a process that a server has started, and goes on with it.
///
/// Args:
///     server: the descriptor to the server.
///
/// Returns:
///     An exit status, if no program came.
#[pyfunction]
pub fn receive_warm(py: Python<'_>, server: i32) -> PyResult<i32> {
    crate::install::ready(py)?;
    let Some(home) = crate::warm::await_home(py, server)? else {
        return Ok(0);
    };
    crate::steps::begin();
    log::debug!("receive: as process {}, which has waited", std::process::id());
    let receiver = Receiver::from_server(home).map_err(|error| transport_error(py, error))?;
    arrived(py, greet_and_receive(py, receiver, true))
}

/// Says Hello and takes the program in.
///
/// `renewed`: standard input and output are others than when this process began.
fn greet_and_receive(
    py: Python<'_>,
    mut receiver: Receiver,
    renewed: bool,
) -> Result<(Decoded, HeldSignals), Refused> {
    let ready = crate::install::ready(py).and_then(|()| hello(py));
    let (ours, _) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            receiver.failed(&kind_of(py, &error), &text_of(py, &error))?;
            return Err(Refused::Quietly);
        }
    };
    let theirs = py.detach(|| receiver.hello(&ours))?;
    log::debug!(
        "greeted: by process {} of {}, {}",
        theirs.pid,
        theirs.host,
        theirs.build
    );
    let started = Start {
        hashes: theirs.hashes,
        options: theirs.options,
    };
    go_on_receiving(py, become_like(py, receiver, &started)?, renewed)
}

/// Replaces this process by one that is started as home's was, unless it is like that.
fn become_like(py: Python<'_>, receiver: Receiver, home: &Start) -> Result<Receiver, TransportError> {
    match words_to_become(py, home) {
        Ok(Some((program, mut words))) => receiver.hand_on(|more| {
            if let Some(held) = transport::folder::keep_on_exec(true) {
                words.extend(["--lodger".into(), held.to_string().into()]);
            }
            words.push("--channel".into());
            words.extend(more.into_iter().map(OsString::from));
            replace_process(&program, &words);
            transport::folder::keep_on_exec(false);
        }),
        // This one has to do.
        Ok(None) | Err(_) => Ok(receiver),
    }
}

/// A program and its words, for a process that is started as another was; None if this is one.
fn words_to_become(py: Python<'_>, home: &Start) -> PyResult<Option<(OsString, Vec<OsString>)>> {
    let hashes = PyBytes::new(py, &home.hashes);
    import(py, "pyteleport.interpreter")?
        .call_method1("words_to_become", (hashes, home.options.clone()))?
        .extract()
}

/// Goes on receiving in a process that replaced the one which said Hello.
///
/// Args:
///     words: what tells the channel.
///     behind_shell: whether standard input and output were others when that process began.
///
/// Returns:
///     An exit status, if no program came.
#[pyfunction]
pub fn receive_on(py: Python<'_>, words: Vec<String>, behind_shell: bool) -> PyResult<i32> {
    crate::steps::begin();
    log::debug!("started anew: with the options and hashes of home");
    let receiver = Receiver::from_words(&words).map_err(|error| transport_error(py, error))?;
    let ready = crate::install::ready(py);
    if let Err(error) = ready {
        let told = receiver.failed(&kind_of(py, &error), &text_of(py, &error));
        return told.map(|()| 1).map_err(|error| transport_error(py, error));
    }
    arrived(py, go_on_receiving(py, receiver, behind_shell))
}

fn go_on_receiving(
    py: Python<'_>,
    receiver: Receiver,
    behind_shell: bool,
) -> Result<(Decoded, HeldSignals), Refused> {
    let prepared = import(py, "pyteleport.arrival").and_then(|arrival| {
        if behind_shell {
            arrival.call_method0("renew_surroundings")?;
        }
        import(py, "pyteleport.graph")
    });
    let arriving = py.detach(|| receiver.offer())?;
    let length = arriving.payload_len();
    log::debug!("offered: {length} bytes");
    let makes_copies = arriving.copies() > 0;
    let shared = Arc::new(Mutex::new(Some(arriving)));
    let decoded = prepared
        .and_then(|_| decode(py, Box::new(SharedInput(shared.clone())), Some(length), None))
        .and_then(|decoded| {
            // Copies do that each for itself.
            if !makes_copies {
                settle(py, &decoded)?;
            }
            Ok(decoded)
        });
    let arriving = shared.lock().ok().and_then(|mut arriving| arriving.take());
    let Some(arriving) = arriving else {
        return Err(Refused::Quietly);
    };
    match decoded {
        Ok(decoded) if makes_copies => become_copy(py, decoded, arriving),
        Ok(decoded) => {
            let standby = py.detach(|| arriving.ready())?;
            log::debug!("ready");
            let signals = py.detach(|| standby.wait_commit())?;
            log::debug!("goes on");
            Ok((decoded, signals))
        }
        Err(error) => {
            arriving.failed(&kind_of(py, &error), &text_of(py, &error))?;
            Err(Refused::Quietly)
        }
    }
}

/// Makes the copies that home asks for; returns in each of them.
fn become_copy(
    py: Python<'_>,
    mut decoded: Decoded,
    arriving: Arriving,
) -> Result<(Decoded, HeldSignals), Refused> {
    let module = match arriving.is_guest() {
        true => "pyteleport.away",
        false => "pyteleport.copies",
    };
    // What each of them would import by itself is imported once.
    if let Err(error) = import(py, module) {
        arriving.failed(&kind_of(py, &error), &text_of(py, &error))?;
        return Err(Refused::Quietly);
    }
    let mut splitting = arriving.split()?;
    let mut new = None;
    while new.is_none() && splitting.has_more() {
        around_fork(py, || {
            new = splitting.split()?;
            Ok::<bool, TransportError>(new.is_some())
        })?;
    }
    let Some(copy) = new else { splitting.stay() };
    // They were sent to home.
    decoded.held_back.clear();
    let settled = decoded
        .arrival
        .value
        .bind(py)
        .get_item(copy.number())
        .and_then(|value| {
            decoded.arrival.value = value.unbind();
            settle(py, &decoded)
        });
    if let Err(error) = settled {
        copy.failed(&kind_of(py, &error), &text_of(py, &error));
        return Err(Refused::Quietly);
    }
    let (signals, talk) = py.detach(|| copy.wait_commit())?;
    let talk = talk.into_raw_fd();
    let told = import(py, module).and_then(|module| module.call_method1("remember", (talk,)));
    if let Err(error) = told {
        error.write_unraisable(py, None);
    }
    Ok((decoded, signals))
}

/// The payload that is arriving, which the decoder reads and `receive` takes back.
struct SharedInput(Arc<Mutex<Option<Arriving>>>);

impl Read for SharedInput {
    fn read(&mut self, memory: &mut [u8]) -> io::Result<usize> {
        let mut arriving = self
            .0
            .lock()
            .map_err(|_| io::Error::other("the stream is in use"))?;
        match arriving.as_mut() {
            Some(arriving) => arriving.read(memory),
            None => Ok(0),
        }
    }
}

/// The name of an exception's class, by which home raises the same.
fn kind_of(py: Python<'_>, error: &PyErr) -> String {
    let name = error.get_type(py).name();
    name.map_or_else(|_| "Exception".into(), |name| name.to_string())
}

fn text_of(py: Python<'_>, error: &PyErr) -> String {
    let text = error.value(py).str();
    text.map_or_else(
        |_| "an exception that has no text".into(),
        |text| text.to_string(),
    )
}
