//! The other threads, brought to a stand.
//!
//! A thread is stopped between two instructions ([`crate::cpython::parking`]), or waits in C code that can be
//! called again. Which of both, or neither, is asked of the kernel: who waits for the GIL has its wait over
//! already, and has to be let on. All stand when that was found twice with nothing having changed.

use crate::code::Progress;
use crate::cpython::codeobject::CodeInfo;
use crate::cpython::frame::RunningFrame;
use crate::cpython::parking::{is_traced, Parking};
use crate::cpython::thread::ThreadState;
use crate::entry::wait::{c_function, wait_of};
use crate::error::{CaptureError, Site};
use crate::kernel::{doing, gil_place, native_ids, Doing, SystemCall};
use crate::position::{site_of, Position};
use pyo3::prelude::*;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::cpython::modules::loaded;

/// How a thread stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// Between two instructions, for as long as it is asked to.
    Parked,
    /// In C code, which waits in this system call.
    Waits(SystemCall),
    /// It runs no Python.
    Empty,
}

/// A thread that does not run.
#[derive(Clone, Copy)]
pub(crate) struct Standing<'py> {
    pub thread: ThreadState<'py>,
    pub stand: Stand,
}

/// The other threads, which do not run on for as long as this lives.
pub struct Stopped<'py> {
    parking: Parking,
    pub(crate) threads: Vec<Standing<'py>>,
    arrivals: u64,
}

/// How long others may run before it is looked whether they stand.
const BRIEFLY: Duration = Duration::from_micros(500);
/// How long those that stand wait for the others, before all run again,
const AT_A_TIME: Duration = Duration::from_millis(60);
/// and for how long.
const IN_BETWEEN: Duration = Duration::from_millis(15);
/// How long a thread has that is about to begin, or to end.
const COMING_OR_GOING: Duration = Duration::from_millis(20);

/// A thread that does not stand yet.
struct Busy {
    thread: usize,
    name: String,
    /// What it does, if anything that takes time.
    does: Option<(String, Site)>,
}

impl<'py> Stopped<'py> {
    /// Stops the other threads; `None` where there are none. Those that are in C code have so long to come
    /// out of it.
    pub fn all(py: Python<'py>, timeout: Duration) -> Result<Option<Self>, CaptureError> {
        let others = others(py);
        if others.is_empty() {
            return Ok(None);
        }
        let names = names(py)?;
        if let Some(traced) = others.iter().find(|thread| is_traced(**thread)) {
            return Err(CaptureError::Traced {
                thread: name_of(&names, *traced),
            });
        }
        let begun = Instant::now();
        let mut patience = AT_A_TIME;
        loop {
            let mut stopped = Self {
                parking: Parking::begin(py)?.ok_or(CaptureError::MovedByAnother)?,
                threads: Vec::new(),
                arrivals: 0,
            };
            patience = patience
                .min(timeout.saturating_sub(begun.elapsed()))
                .max(AT_A_TIME);
            match stopped.stop(py, patience, &names)? {
                None => return Ok(Some(stopped)),
                Some(busy) if begun.elapsed() >= timeout => {
                    return Err(CaptureError::Threads {
                        seconds: timeout.as_secs_f64(),
                        busy,
                    })
                }
                Some(_) => {}
            }
            // One of those that stood may be what the others wait for.
            drop(stopped);
            py.detach(|| std::thread::sleep(IN_BETWEEN));
            patience = patience * 3 / 2;
        }
    }

    /// Stops the other threads; what they do that do not come to a stand.
    fn stop(
        &mut self,
        py: Python<'py>,
        timeout: Duration,
        names: &HashMap<u64, String>,
    ) -> Result<Option<Vec<String>>, CaptureError> {
        let begun = Instant::now();
        let natives = native_ids(py)?;
        let mut last: Vec<(usize, Stand, i32)> = Vec::new();
        let mut waiting = 0;
        loop {
            let others = others(py);
            self.parking.ask(py, &others)?;
            self.parking
                .let_run(py, others.len().saturating_sub(waiting), BRIEFLY);
            let others = self::others(py);
            let (mut standing, mut busy) = (Vec::new(), Vec::new());
            for thread in others {
                match self.look(py, thread, &natives)? {
                    Ok(Stand::Empty) if begun.elapsed() < COMING_OR_GOING => busy.push(Busy {
                        thread: thread.id(),
                        name: name_of(names, thread),
                        does: None,
                    }),
                    Ok(stand) => standing.push(Standing { thread, stand }),
                    Err(does) => busy.push(Busy {
                        thread: thread.id(),
                        name: name_of(names, thread),
                        does,
                    }),
                }
            }
            waiting = standing
                .iter()
                .filter(|standing| standing.stand != Stand::Parked)
                .count();
            let seen = standing.iter().map(|Standing { thread, stand }| {
                let unit = thread.frame().map_or(-1, RunningFrame::raw_instruction);
                (thread.id(), *stand, unit)
            });
            let seen: Vec<_> = seen.collect();
            if busy.is_empty() && (waiting == 0 || seen == last) {
                let waiting: Vec<_> = standing
                    .iter()
                    .filter(|standing| matches!(standing.stand, Stand::Waits(_)))
                    .map(|standing| standing.thread)
                    .collect();
                let arrivals = self.parking.arrivals();
                self.parking.watch(py, &waiting)?;
                self.threads = standing;
                self.arrivals = arrivals;
                return Ok(None);
            }
            last = seen;
            if !busy.is_empty() && begun.elapsed() > timeout {
                return Ok(Some(busy.iter().map(Busy::text).collect()));
            }
        }
    }

    /// How a thread stands, or what it does.
    #[allow(clippy::type_complexity)]
    fn look(
        &self,
        py: Python<'py>,
        thread: ThreadState<'py>,
        natives: &HashMap<u64, u64>,
    ) -> Result<Result<Stand, Option<(String, Site)>>, CaptureError> {
        let Some(frame) = thread.frame() else {
            return Ok(Ok(Stand::Empty));
        };
        if self.parking.is_parked(thread) {
            return Ok(Ok(Stand::Parked));
        }
        let info = CodeInfo::of(&frame.code())?;
        let Ok(position) = Position::of(frame, &info) else {
            return Ok(Err(None));
        };
        let caller = position.caller(py, frame, &info);
        // The kernel is asked of those alone that may be waiting: most others wait for the GIL.
        let wait = wait_of(&caller)?;
        let does = || Ok::<_, CaptureError>(Some((c_function(&caller)?, site_of(frame, &info))));
        if wait.is_none() {
            return Ok(Err(does()?));
        }
        let native = thread.native_id();
        let native = native.or_else(|| natives.get(&thread.ident()).copied());
        let call = match native.map(doing) {
            Some(Doing::Waits(call)) => match gil_place().map(|gil| call.is_for_gil(gil)) {
                Some(true) => return Ok(Err(None)),
                Some(false) => Some(call),
                None => None,
            },
            _ => None,
        };
        match call {
            Some(call) => Ok(Ok(Stand::Waits(call))),
            None => Ok(Err(does()?)),
        }
    }

    /// Whether none of the threads has come out of its wait since they were found standing.
    pub fn still_stand(&self) -> bool {
        self.parking.arrivals() == self.arrivals
    }

    /// Finds all threads standing anew.
    pub fn again(&mut self, py: Python<'py>, timeout: Duration) -> Result<(), CaptureError> {
        let names = names(py)?;
        match self.stop(py, timeout, &names)? {
            None => Ok(()),
            Some(busy) => Err(CaptureError::Threads {
                seconds: timeout.as_secs_f64(),
                busy,
            }),
        }
    }
}

/// Other threads that stand for as long as this lives; nothing is asked of them any more.
pub struct StoppedThreads {
    _parking: Parking,
}

impl Stopped<'_> {
    /// The same when all was read.
    pub fn into_threads(self) -> StoppedThreads {
        StoppedThreads {
            _parking: self.parking,
        }
    }
}

impl Busy {
    fn text(&self) -> String {
        match &self.does {
            Some((does, site)) => format!("{}, in {does}, called in {site}", self.name),
            None => format!("{} (0x{:x})", self.name, self.thread),
        }
    }
}

/// All threads of the interpreter but this one.
fn others(py: Python<'_>) -> Vec<ThreadState<'_>> {
    let own = ThreadState::current(py).id();
    let mut all = ThreadState::all(py);
    all.retain(|thread| thread.id() != own);
    // The oldest first.
    all.reverse();
    all
}

fn name_of(names: &HashMap<u64, String>, thread: ThreadState<'_>) -> String {
    let ident = thread.ident();
    names
        .get(&ident)
        .cloned()
        .unwrap_or_else(|| format!("thread {ident}"))
}

/// The names that `threading` has for the threads, by their idents.
fn names(py: Python<'_>) -> PyResult<HashMap<u64, String>> {
    let Some(threading) = loaded(py, "threading")? else {
        return Ok(HashMap::new());
    };
    let mut found = HashMap::new();
    for pair in threading.getattr("_active")?.call_method0("items")?.try_iter()? {
        let (ident, thread) = pair?.extract::<(u64, Bound<'_, PyAny>)>()?;
        if let Ok(name) = thread.getattr("_name").and_then(|name| name.extract()) {
            found.insert(ident, name);
        }
    }
    Ok(found)
}

/// Where a frame stands that is stopped between two instructions.
pub(crate) fn stopped_at(frame: RunningFrame<'_>, info: &CodeInfo) -> Result<Position, CaptureError> {
    let raw = u32::try_from(frame.raw_instruction()).ok();
    let next = raw.and_then(|unit| info.facts.instruction_covering(unit));
    let next = next.ok_or_else(|| CaptureError::Nowhere {
        site: Box::new(site_of(frame, info)),
    })?;
    Position::at(frame, info, next, Progress::Ahead)
}
