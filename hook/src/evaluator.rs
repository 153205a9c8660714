//! A captured stack comes back to life.
//!
//! Each frame is started by a call of its function with stand-ins for arguments, so that CPython
//! itself allocates it. The evaluator hook sees it before it runs, turns it into the captured one,
//! and starts the next one above it; the innermost gets the value that the program waits for, and
//! is evaluated from where it stood. Then everything returns the way it always does:
//!
//! ```text
//! start(0) → CPython → enter(0): morph, wait ─▶ start(1) → CPython → enter(1): morph, …
//!                      push what came back, evaluate ◀─ result ─┘
//! ```
//!
//! A frame whose [`Entry`] is [`Entry::Again`] does not wait here: it is evaluated at once, its
//! instruction runs again and enters the next frame by itself.

use crate::closing;
use crate::errors::{morph_error, raise};
use crate::signals;
use crate::tail::{self, Place};
use capture::code::Op;
use capture::consumed;
use capture::cpython::evalframe::{self, Next, Resumer, Starting};
use capture::cpython::fields;
use capture::cpython::frame::RunningFrame;
use capture::cpython::modules::import;
use capture::cpython::objects::eval_code;
use capture::cpython::thread::ThreadState;
use capture::morph::{self, Objects, Prepared, Start};
use capture::snapshot::{Entry, Handled};
use capture::waiting::{self, LiveEntry};
use pyo3::prelude::*;
use pyo3::types::PyInt;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A stack that is being brought back.
struct Resume {
    /// The frames, outermost first.
    frames: Vec<Prepared>,
    /// What they refer to; let go once the last frame has taken its share.
    objects: RefCell<Option<Objects>>,
    /// The frame objects of captured frames that something refers to, by the frame's index.
    known_as: RefCell<HashMap<usize, Py<PyAny>>>,
    /// What the call that stopped the program is worth.
    value: RefCell<Option<Py<PyAny>>>,
    /// Signals whose handlers wait for the innermost one to return.
    signals: RefCell<Vec<i32>>,
    /// Tasks that are to be cancelled at their next step, which is not the one that is made again.
    cancelled: RefCell<Vec<Py<PyAny>>>,
    /// The frame that has to start next.
    expected: Cell<Option<usize>>,
}

/// Garbage is not collected while frames are rebuilt: a finalizer would run in the middle of a call that is
/// made again.
struct Rebuilding {
    /// How many stacks are.
    stacks: usize,
    /// Whether garbage was collected before.
    collecting: bool,
}

/// Only touched with the GIL held.
static REBUILDING: Mutex<Rebuilding> = Mutex::new(Rebuilding {
    stacks: 0,
    collecting: false,
});

thread_local! {
    /// Owned by [`run`], which sets it and whose last frame takes it away.
    static RESUME: RefCell<Option<Rc<Resume>>> = const { RefCell::new(None) };
}

/// All that a stack needs to go on.
pub struct Arrival {
    /// The frames, checked.
    pub frames: Vec<Prepared>,
    /// The exception that the outermost runs under.
    pub handled: Handled,
    /// The objects.
    pub objects: Objects,
    /// Objects that stand for captured frames, with the frame's index.
    pub frame_objects: Vec<(Py<PyAny>, usize)>,
    /// What the call that stopped the program is worth here.
    pub value: Py<PyAny>,
    /// Signals whose handlers wait for the innermost one to return.
    pub signals: Vec<i32>,
    /// Tasks that run, and are to be cancelled at their next step.
    pub cancelled: Vec<Py<PyAny>>,
}

/// Runs a stack on, as the only thing on this thread's, and gives what it has returned or raised to `end`, which runs
/// there too.
pub fn run<T>(py: Python<'_>, arrival: Arrival, end: impl FnOnce(Python<'_>, PyResult<Py<PyAny>>) -> T) -> T {
    let thread = ThreadState::current(py);
    thread.with_empty_stack(|| {
        let Arrival {
            frames,
            handled,
            objects,
            frame_objects,
            value,
            signals,
            cancelled,
        } = arrival;
        let by_index = |(object, index)| (index, object);
        let known_as = frame_objects.into_iter().map(by_index).collect();
        thread.with_own_handled(|item| {
            item.write(py, objects.handled(py, &handled));
            let resume = Rc::new(Resume {
                frames,
                objects: RefCell::new(Some(objects)),
                known_as: RefCell::new(known_as),
                value: RefCell::new(Some(value)),
                signals: RefCell::new(signals),
                cancelled: RefCell::new(cancelled),
                expected: Cell::new(None),
            });
            RESUME.set(Some(resume.clone()));
            let result = begin(py).and_then(|()| start(py, resume, 0));
            // If the innermost frame was never reached: nothing may hold objects past the end.
            abandon(py);
            end(py, result)
        })
    })
}

fn rebuilding() -> MutexGuard<'static, Rebuilding> {
    REBUILDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to wait for frames.
fn begin(py: Python<'_>) -> PyResult<()> {
    let collecting = pause_collector(py);
    {
        let mut rebuilding = rebuilding();
        if rebuilding.stacks == 0 {
            rebuilding.collecting = collecting;
        }
        rebuilding.stacks += 1;
    }
    evalframe::start_resuming(py, &StackResumer).map_err(|error| raise(py, "ResumeError", error.to_string()))
}

/// Stops waiting for frames.
fn abandon(py: Python<'_>) {
    if RESUME.take().is_none() {
        return;
    }
    evalframe::stop_resuming(py);
    let collects = {
        let mut rebuilding = rebuilding();
        rebuilding.stacks -= 1;
        rebuilding.stacks == 0 && rebuilding.collecting
    };
    if collects {
        // It was there when it was paused.
        let _there = import(py, "gc").and_then(|gc| gc.call_method0("enable"));
    }
}

/// Stops the collection of garbage; whether there was any.
fn pause_collector(py: Python<'_>) -> bool {
    let pause = || -> PyResult<bool> {
        let gc = import(py, "gc")?;
        let collecting = gc.call_method0("isenabled")?.extract()?;
        gc.call_method0("disable")?;
        Ok(collecting)
    };
    pause().unwrap_or(false)
}

/// Starts frame `index` and everything above it; its result, once it has returned.
fn start(py: Python<'_>, resume: Rc<Resume>, index: usize) -> PyResult<Py<PyAny>> {
    resume.expected.set(Some(index));
    let start = resume.frames[index].start.clone_ref(py);
    let driver = index
        .checked_sub(1)
        .and_then(|caller| match resume.frames[caller].state.entry {
            Entry::Sent(driver) => resume
                .objects
                .borrow()
                .as_ref()?
                .get(py, driver)
                .map(Bound::unbind),
            _ => None,
        });
    // Nothing of the snapshot is held while the program runs.
    let resume = {
        let waits = Rc::downgrade(&resume);
        drop(resume);
        waits
    };
    let result = match start {
        Start::Body(code, globals, namespace, closure) => {
            let (code, globals, namespace) = (
                code.into_bound(py),
                globals.into_bound(py),
                namespace.into_bound(py),
            );
            let closure = closure.map(|closure| closure.into_bound(py));
            eval_code(&code, &globals, &namespace, closure)
        }
        Start::Call(function) => morph::call_with_stand_ins(&function.into_bound(py)),
        Start::Generator(generator) => driver
            .unwrap_or(generator)
            .into_bound(py)
            .call_method1("send", (py.None(),)),
    };
    let taken_over = resume
        .upgrade()
        .is_none_or(|resume| resume.expected.get() != Some(index));
    if !taken_over {
        result?;
        return Err(raise(
            py,
            "ResumeError",
            format!("frame {index} was not taken over"),
        ));
    }
    result.map(Bound::unbind)
}

/// Offers CPython's fresh frames to the stack that waits for them.
struct StackResumer;

impl Resumer for StackResumer {
    fn enter<'py>(&self, py: Python<'py>, starting: &mut Starting<'py>) -> Next {
        let expected = RESUME.with_borrow(|resume| {
            let resume = resume.as_ref()?;
            Some((resume.clone(), resume.expected.get()?))
        });
        let Some((resume, index)) = expected else {
            return Next::PassOn;
        };
        if is_expected(py, starting.frame(), &resume.frames[index]) {
            resume.expected.set(None);
            let object = resume.known_as.borrow_mut().remove(&index);
            if let Some(object) = object {
                match morph::make_known(starting.frame(), &resume.frames[index], object.bind(py), index) {
                    Ok(known) => starting.evaluate(known),
                    Err(error) => return Next::Raise(morph_error(py, error)),
                }
            }
            waiting::started(starting.frame());
            return take_over(py, starting.frame(), resume, index);
        }
        if !comes_from_again(py, &resume, index) {
            return Next::PassOn;
        }
        // The instruction that runs again has entered something else. What it entered must not run:
        // it would be for the second time.
        drop(resume);
        abandon(py);
        let message = "the call that has to be made again led to another function than at home";
        Next::Raise(raise(py, "ResumeError", message.into()))
    }
}

/// Whether an unexpected frame was entered by the instruction that runs again to enter frame `index`,
/// rather than by a signal handler or a finalizer before it.
fn comes_from_again(py: Python<'_>, resume: &Resume, index: usize) -> bool {
    let Some(caller) = index.checked_sub(1).map(|caller| &resume.frames[caller]) else {
        return false;
    };
    let unit = u32::try_from(caller.state.instruction).ok();
    let again = unit.and_then(|unit| caller.info.facts.instruction_covering(unit));
    let (true, Some(again)) = (caller.state.entry.is_again(), again) else {
        return false;
    };
    let first = caller.info.facts.reexecute_from(&again);
    // The unexpected frame is not linked yet: the current one is its caller.
    ThreadState::current(py).frame().is_some_and(|caller| {
        u32::try_from(caller.raw_instruction()).is_ok_and(|now| (first..again.next).contains(&now))
    })
}

/// Whether this is the frame that was started for a captured one.
///
/// A function that travels by name has its own code object here, equal to the captured one.
fn is_expected<'py>(py: Python<'py>, frame: RunningFrame<'py>, prepared: &Prepared) -> bool {
    let code = prepared.code.bind(py);
    if !frame.runs(code) && !frame.code().eq(code).unwrap_or(false) {
        return false;
    }
    match (&prepared.start, frame.generator()) {
        (Start::Generator(expected), Some(generator)) => generator.is(expected.bind(py)),
        (Start::Generator(_), None) | (_, Some(_)) => false,
        (_, None) => true,
    }
}

/// Turns a fresh frame into captured frame `index` and has what is above it run.
fn take_over(py: Python<'_>, frame: RunningFrame<'_>, resume: Rc<Resume>, index: usize) -> Next {
    let prepared = &resume.frames[index];
    let facts = &prepared.info.facts;
    let at = prepared.state.instruction;
    let Some(instruction) = u32::try_from(at)
        .ok()
        .and_then(|unit| facts.instruction_covering(unit))
    else {
        return Next::Raise(raise(py, "ResumeError", format!("frame {index} stands nowhere")));
    };
    let place = Place::of(prepared, &instruction);
    let entry = {
        let objects = resume.objects.borrow();
        let Some(objects) = objects.as_ref() else {
            return Next::Raise(raise(py, "ResumeError", "the stack was resumed already".into()));
        };
        if let Err(error) = morph::morph(py, frame, prepared, objects) {
            return Next::Raise(morph_error(py, error));
        }
        match objects.live_entry(py, &prepared.state.entry) {
            Some(entry) => entry,
            None => {
                return Next::Raise(raise(
                    py,
                    "ResumeError",
                    format!("frame {index} lacks its result"),
                ))
            }
        }
    };
    if index + 1 == resume.frames.len() {
        return give_value(py, frame, resume, entry, place);
    }
    if let LiveEntry::AgainCached(cache) = &entry {
        if let Err(error) = forget_miss(cache.bind(py)) {
            return Next::Raise(error);
        }
    }
    if let LiveEntry::AgainOver { items, source } = &entry {
        match items.bind(py).extract() {
            Ok(items) => consumed::repeat(py, source.bind(py), frame, items),
            Err(error) => return Next::Raise(error),
        }
    }
    if prepared.state.entry.is_again() {
        resume.expected.set(Some(index + 1));
        frame.run_at(facts.reexecute_from(&instruction));
        return Next::Run;
    }
    let signals = match resume.frames.iter().rposition(runs_handler) == Some(index) {
        true => resume.signals.take(),
        false => Vec::new(),
    };
    waiting::push(frame, entry);
    let result = ThreadState::current(py).with_waiting(frame, move || {
        let result = start(py, resume, index + 1);
        closing::close_rest(py, result)
    });
    let entry = waiting::pop().unwrap_or(LiveEntry::Value);
    let (result, entry) = match signals.as_slice() {
        [] => (result, entry),
        numbers => signals::handle_others(py, frame, entry, result, numbers),
    };
    tail::finish(py, frame, result, entry, &place)
}

/// Whether a frame has run the handler of a signal that the one above it belongs to.
fn runs_handler(prepared: &Prepared) -> bool {
    match prepared.state.entry {
        Entry::Between(_) | Entry::Repeat | Entry::Jumped => true,
        // What else drops a result is no call.
        Entry::Discard => {
            let unit = u32::try_from(prepared.state.instruction).ok();
            let instruction = unit.and_then(|unit| prepared.info.facts.instruction_covering(unit));
            instruction.is_some_and(|instruction| {
                matches!(instruction.op, Op::Call | Op::CallKw | Op::CallFunctionEx)
            })
        }
        _ => false,
    }
}

/// Takes back that a cache has counted a call, which is made again.
fn forget_miss(cache: &Bound<'_, PyAny>) -> PyResult<()> {
    let Some(misses) = fields::read(cache, "misses")? else {
        return Ok(());
    };
    fields::write(cache, "misses", Some(misses.sub(1)?))
}

/// The innermost frame: gets the value, and from here on the program runs by itself.
fn give_value(
    py: Python<'_>,
    frame: RunningFrame<'_>,
    resume: Rc<Resume>,
    entry: LiveEntry,
    place: Place,
) -> Next {
    abandon(py);
    let value = resume.value.take().unwrap_or_else(|| py.None());
    for task in resume.cancelled.take() {
        let one = PyInt::new(py, 1).into_any();
        if let Err(error) = fields::write(task.bind(py), "task_must_cancel", Some(one)) {
            return Next::Raise(error);
        }
    }
    // References that only the snapshot holds go now, before the program goes on.
    drop(resume.objects.take());
    // Where no handler is waited for, these have come in between.
    if let Err(error) = signals::arrange(py, &resume.signals.take()) {
        return Next::Raise(error);
    }
    drop(resume);
    tail::finish(py, frame, Ok(value), entry, &place)
}
