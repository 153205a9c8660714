//! Signals of our own, to see how CPython comes to run their handlers.
//!
//! A signal that nobody uses is raised from within instructions of a few functions made for it. Where the
//! evaluator stands when it has called the handler, by which way, and where it keeps what it needs again,
//! is what [`Learned`] has in the end. Everything is put back as it was.

use super::codeobject::CodeInfo;
use super::frame::RunningFrame;
use super::modules::import;
use super::pending::Learned;
use super::stack_room::stack_pointer;
use super::thread::ThreadState;
use super::unwinding::{CActivation, CallStack, Place};
use super::{SignalChecks, CURRENT};
use crate::code::Op;
use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict};
use std::cell::RefCell;
use std::ffi::CStr;

/// What raises the signal, from within every kind of instruction that CPython may look for signals behind:
/// `trip` by turns with 1 and 0 for its result, `fail` with an exception.
const PROGRAM: &CStr = c"
class Failed(Exception):
    pass

class Thing:
    pass
for name in 'add sub mul neg lt getitem setitem contains len'.split():
    setattr(Thing, '__%s__' % name, trip)
thing = Thing()

def calls():
    trip()
    trip(1, 2)
    return trip(trip(), *(1, 2), **{})

def loops():
    for item in iter(trip, 0):
        item = item + 1
    while thing:
        item = 1
    for item in iter(trip, 0):
        for number in range(2):
            item = trip()

def conditions():
    if thing:
        item = 1
    if not thing:
        item = 2
    item = thing and 1
    item = thing or 2
    item = 3 if thing else 4
    while not thing:
        item = 5
    return thing or 6

def operations():
    item = thing + 1
    item = item, thing - 1, thing * 1
    item = -thing
    item = [thing < 1, thing[1]]
    thing[1] = 2
    return 1 in thing

def failures():
    item = 1
    try:
        fail()
    except Failed:
        item = 2
    return item

def failures_in_loops():
    for item in iter(trip, 0):
        try:
            item = fail(1)
        except Failed:
            item = 3
    return item

def generate(item):
    trip()
    yield trip()
    trip(item)

def with_keywords(*items, key=1, **others):
    trip()
    return trip(items)

def by_others():
    # What calls an evaluator may leave the frame in a register, which that saves: each does so elsewhere.
    list(generate(1))
    with_keywords(2, key=3, more=4)
    class Body:
        trip()
        item = trip()
    for method in Thing.called, Thing().called, Thing():
        method()
    exec('trip(); item = trip()', globals())
    return [trip() for item in (1, 2)]

def called(self=None):
    trip()
    return trip(self)
Thing.called = Thing.__call__ = called

def start(item):
    return item

def starts():
    return list(map(start, iter(trip, 0)))

def all_of_them():
    for probe in (calls, loops, conditions, operations, failures, failures_in_loops, by_others, starts):
        probe()

def one():
    trip()

def within():
    ask()

class Looker:
    __neg__ = look
looker = Looker()

def function(number, frame):
    return look(), -looker

class Handlers:
    def method(self, number, frame):
        return look(), -looker
    __call__ = method
handlers = Handlers()
method = handlers.method
";

/// What was raised last.
struct Tripped {
    /// The frame and the unit that it came from.
    from: (usize, i32),
    result: Tripping,
    /// The C stack there.
    stack: Vec<CActivation>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tripping {
    Number(i32),
    Exception,
}

/// What is going on.
struct Probing {
    number: c_int,
    /// The part of the stack that is not looked at begins here.
    base: usize,
    turns: i32,
    tripped: Option<Tripped>,
    /// The ways from where the evaluator called, inwards to who looked.
    ways: Vec<Vec<usize>>,
    learned: Learned,
    /// Whether it has all that there is of where the evaluator calls.
    knows_sites: bool,
}

thread_local! {
    static PROBING: RefCell<Option<Probing>> = const { RefCell::new(None) };
}

/// Learns the way from the evaluator to a handler; `None` where it cannot be. The exception may be one that
/// a handler of the program has raised meanwhile.
#[inline(never)]
pub(super) fn learn(py: Python<'_>) -> PyResult<Option<Learned>> {
    let signals = import(py, "_signal")?;
    let Some(signal) = Signal::free(&signals)? else {
        return Ok(None);
    };
    let names = PyDict::new(py);
    for (name, function) in [
        ("trip", trip as Native),
        ("fail", fail),
        ("ask", ask),
        ("look", look),
    ] {
        let function =
            PyCFunction::new_closure(py, None, None, move |arguments, _| function(arguments.py()))?;
        names.set_item(name, function)?;
    }
    py.run(PROGRAM, Some(&names), None)?;
    PROBING.set(Some(Probing {
        number: signal.number,
        base: stack_pointer(),
        turns: 0,
        tripped: None,
        ways: Vec::new(),
        learned: Learned::default(),
        knows_sites: false,
    }));
    let probed = probe(&signals, signal.number, &names);
    let restored = signal.restore(&signals);
    let probing = PROBING.take();
    restored?;
    let ways = probed?;
    Ok(probing.and_then(|probing| conclude(probing.learned, ways)))
}

/// The ways that were found, from the evaluator inwards, by who the handler was.
struct Ways {
    native: Vec<usize>,
    /// A function, a method, an object that can be called: as far as to its evaluator.
    of_python: [Vec<usize>; 3],
    /// From the middle of a C function of ours.
    within: Vec<usize>,
}

fn probe(signals: &Bound<'_, PyAny>, number: c_int, names: &Bound<'_, PyDict>) -> PyResult<Option<Ways>> {
    let named = |name: &str| names.as_any().get_item(name);
    // What all ways have in common that one handler has looked along.
    let way = |handler: &str, called: &str| -> PyResult<Vec<usize>> {
        signals.call_method1("signal", (number, named(handler)?))?;
        named(called)?.call0()?;
        let ways = PROBING.with_borrow_mut(|probing| {
            let probing = probing.as_mut()?;
            Some(core::mem::take(&mut probing.ways))
        });
        let mut ways = ways.unwrap_or_default().into_iter();
        let first = ways.next().unwrap_or_default();
        Ok(ways.fold(first, |way, other| common(&way, &other).to_vec()))
    };
    way("look", "all_of_them")?;
    PROBING.with_borrow_mut(|probing| {
        if let Some(probing) = probing {
            probing.knows_sites = true;
        }
    });
    let ways = Ways {
        native: way("look", "one")?,
        of_python: [
            way("function", "one")?,
            way("method", "one")?,
            way("handlers", "one")?,
        ],
        within: way("look", "within")?,
    };
    let is_complete = ![&ways.native, &ways.within]
        .into_iter()
        .chain(&ways.of_python)
        .any(Vec::is_empty);
    Ok(is_complete.then_some(ways))
}

/// What two ways begin with.
fn common<'a>(way: &'a [usize], other: &[usize]) -> &'a [usize] {
    let same = way.iter().zip(other).take_while(|(a, b)| a == b).count();
    &way[..same]
}

fn conclude(mut learned: Learned, ways: Option<Ways>) -> Option<Learned> {
    let Ways {
        native,
        of_python,
        within,
    } = ways?;
    let way = of_python
        .iter()
        .fold(&native[..], |way, other| common(way, other));
    // C code that has looked for signals by itself comes to the same place in the end.
    let shared = way.iter().position(|address| within.contains(address))?;
    learned.is_apart = shared > 0;
    learned.way = way.to_vec();
    learned.direct = of_python.into();
    Some(learned)
}

type Native = fn(Python<'_>) -> PyResult<i32>;

/// Raises the signal and gives 1 and 0 by turns.
fn trip(py: Python<'_>) -> PyResult<i32> {
    let turn = PROBING.with_borrow_mut(|probing| {
        let probing = probing.as_mut()?;
        probing.turns += 1;
        (probing.turns < MOST_TURNS).then_some(probing.turns % 2)
    });
    let turn = turn.ok_or_else(over)?;
    note(py, Tripping::Number(turn))?;
    Ok(turn)
}

/// Raises the signal and an exception.
fn fail(py: Python<'_>) -> PyResult<i32> {
    let frame = ThreadState::current(py).frame().ok_or_else(over)?;
    note(py, Tripping::Exception)?;
    let kind = frame.globals().get_item("Failed")?;
    Err(PyErr::from_value(kind.call0()?))
}

/// Raises the signal and has its handler run within.
fn ask(py: Python<'_>) -> PyResult<i32> {
    note(py, Tripping::Number(0))?;
    py.check_signals()?;
    Ok(0)
}

/// More than there are in the program, whose loops end by their turns.
const MOST_TURNS: i32 = 1000;

fn over() -> PyErr {
    PyRuntimeError::new_err("nobody asks")
}

/// Notes where the signal comes from, and raises it.
fn note(py: Python<'_>, result: Tripping) -> PyResult<()> {
    let frame = ThreadState::current(py).frame().ok_or_else(over)?;
    let number = PROBING.with_borrow_mut(|probing| {
        let probing = probing.as_mut()?;
        let base = probing.base;
        let stack = CallStack::look(
            |stack| is_outside(stack, base),
            |stack| stack.activations().to_vec(),
        );
        probing.tripped = Some(Tripped {
            from: (frame.id(), frame.raw_instruction()),
            result,
            stack,
        });
        Some(probing.number)
    });
    let number = number.ok_or_else(over)?;
    // SAFETY: CPython handles the signal, by a note for later.
    unsafe { libc::raise(number) };
    Ok(())
}

/// Looks where the evaluator stands, in a handler or for one.
fn look(py: Python<'_>) -> PyResult<i32> {
    let frame = ThreadState::current(py).frame().ok_or_else(over)?;
    let info = CodeInfo::of(&frame.code())?;
    PROBING.with_borrow_mut(|probing| {
        if let Some(probing) = probing {
            let base = probing.base;
            CallStack::look(
                |stack| is_outside(stack, base),
                |stack| probing.look(stack, frame, &info),
            );
        }
    });
    Ok(0)
}

/// Whether the last activation is one of those that are not looked at.
fn is_outside(stack: &CallStack, base: usize) -> bool {
    stack.activations().last().is_some_and(|last| last.stack > base)
}

impl Probing {
    fn look(&mut self, stack: &CallStack, frame: RunningFrame<'_>, info: &CodeInfo) {
        let Some(tripped) = &self.tripped else { return };
        // The activation that the signal was raised from, and that has called us on another way since, lies
        // just within those that are the same as then.
        let (now, then) = (stack.activations(), &tripped.stack);
        let same = now.iter().rev().zip(then.iter().rev());
        let same = same.take_while(|(now, then)| now.is_as_was(then)).count();
        let last = |stack: &[CActivation]| stack.len().checked_sub(same + 1);
        let (Some(index), Some(index_then)) = (last(now), last(then)) else {
            return;
        };
        let way = now[..index].iter().rev().map(|activation| activation.returns_to);
        self.ways.push(way.collect());
        if self.knows_sites || tripped.from.0 != frame.id() {
            return;
        }
        let next = match CURRENT.signals {
            SignalChecks::AtTop | SignalChecks::Behind => {
                let Some(next) = next_unit(frame, info, tripped) else {
                    return;
                };
                Some(frame.first_unit() + 2 * next as usize)
            }
            SignalChecks::BehindStored => None,
        };
        for evaluator in [now[index].function, then[index_then].function] {
            if !self.learned.evaluators.contains(&evaluator) {
                self.learned.evaluators.push(evaluator);
            }
        }
        let site = self.learned.sites.entry(now[index].returns_to).or_default();
        narrow(&mut site.frame, site.seen, || stack.places(index, frame.id()));
        if let Some(next) = next {
            narrow(&mut site.next, site.seen, || stack.places(index, next));
        }
        site.seen += 1;
    }
}

/// Leaves the places that have been right every time.
fn narrow(places: &mut Vec<Place>, seen: usize, right: impl FnOnce() -> Vec<Place>) {
    let right = right();
    match seen {
        0 => *places = right,
        _ => places.retain(|place| right.contains(place)),
    }
}

/// Which unit runs next, of a frame whose evaluator looks for signals; `None` where the frame does not tell.
fn next_unit(frame: RunningFrame<'_>, info: &CodeInfo, tripped: &Tripped) -> Option<u32> {
    let raw = frame.raw_instruction();
    let Ok(unit) = u32::try_from(raw) else {
        return Some(0);
    };
    let instruction = info.facts.instruction_covering(unit)?;
    let target = instruction.target;
    let truth = match tripped.result {
        _ if tripped.from != (frame.id(), raw) => None,
        Tripping::Exception => {
            // The functions that have something fail have one handler each.
            let mut instructions = info.facts.instructions();
            return instructions.find(|found| found.op == Op::SetupFinally)?.target;
        }
        Tripping::Number(number) => Some(number != 0),
    };
    match instruction.op {
        Op::PopJumpIfFalse | Op::JumpIfFalseOrPop | Op::ForIter if !truth? => target,
        Op::PopJumpIfTrue | Op::JumpIfTrueOrPop if truth? => target,
        Op::PopJumpIfFalse | Op::JumpIfFalseOrPop | Op::ForIter | Op::PopJumpIfTrue | Op::JumpIfTrueOrPop => {
            Some(instruction.next)
        }
        Op::JumpForward | Op::JumpAbsolute => target,
        _ if target.is_some() || instruction.op.ends_path() => None,
        _ => Some(instruction.next),
    }
}

/// A signal that nobody uses, as long as we do.
struct Signal {
    number: c_int,
    /// What the kernel does about it otherwise.
    action: libc::sigaction,
    /// What the thread lets through otherwise.
    mask: libc::sigset_t,
    /// The pipe that is told of signals meanwhile.
    pipe: [c_int; 2],
    /// Who is told otherwise, -1 for nobody.
    told: c_int,
}

impl Signal {
    /// One of those that have no meaning, if there is one that nobody has given one.
    fn free(signals: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        for number in (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev() {
            let handler = signals.call_method1("getsignal", (number,))?;
            let Some(action) = action_of(number).filter(|action| action.sa_sigaction == libc::SIG_DFL) else {
                continue;
            };
            if handler.eq(libc::SIG_DFL)? {
                return Self::take(signals, number, action).map(Some);
            }
        }
        Ok(None)
    }

    fn take(signals: &Bound<'_, PyAny>, number: c_int, action: libc::sigaction) -> PyResult<Self> {
        let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
        let mut pipe = [0; 2];
        // SAFETY: the sets are ours, the first one is made before it is used; so is the pipe.
        let mask = unsafe {
            let mut ours = MaybeUninit::<libc::sigset_t>::uninit();
            libc::sigemptyset(ours.as_mut_ptr());
            libc::sigaddset(ours.as_mut_ptr(), number);
            libc::sigemptyset(mask.as_mut_ptr());
            if libc::pipe2(pipe.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) != 0 {
                return Err(std::io::Error::last_os_error().into());
            }
            libc::pthread_sigmask(libc::SIG_UNBLOCK, ours.as_ptr(), mask.as_mut_ptr());
            mask.assume_init()
        };
        let mut signal = Self {
            number,
            action,
            mask,
            pipe,
            told: -1,
        };
        match signals
            .call_method1("set_wakeup_fd", (pipe[1],))
            .and_then(|told| told.extract())
        {
            Ok(told) => {
                signal.told = told;
                Ok(signal)
            }
            Err(error) => {
                signal.close();
                Err(error)
            }
        }
    }

    /// Puts everything back.
    fn restore(self, signals: &Bound<'_, PyAny>) -> PyResult<()> {
        // Either runs handlers of the program first that may raise an exception: then it has not been done.
        let mut raised = Ok(());
        for _ in 0..MOST_TRIES {
            match signals.call_method1("signal", (self.number, libc::SIG_DFL)) {
                Ok(_) => break,
                Err(error) => raised = Err(error),
            }
        }
        for _ in 0..MOST_TRIES {
            match signals.call_method1("set_wakeup_fd", (self.told,)) {
                Ok(_) => break,
                Err(error) => raised = Err(error),
            }
        }
        self.tell();
        self.close();
        raised
    }

    /// Tells who is told of signals otherwise of those that came meanwhile.
    fn tell(&self) {
        let mut numbers = [0u8; 256];
        loop {
            // SAFETY: reads into a buffer of this size.
            let count = unsafe { libc::read(self.pipe[0], numbers.as_mut_ptr().cast(), numbers.len()) };
            let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) else {
                return;
            };
            let others = numbers[..count]
                .iter()
                .filter(|&&number| c_int::from(number) != self.number);
            for number in others.filter(|_| self.told >= 0) {
                // SAFETY: one byte that is there, as CPython itself writes it; a full pipe has told already.
                unsafe { libc::write(self.told, (number as *const u8).cast(), 1) };
            }
        }
    }

    fn close(&self) {
        // SAFETY: what `take` has opened, changed and read; nobody else has it any more.
        unsafe {
            libc::sigaction(self.number, &self.action, null_mut());
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.mask, null_mut());
            self.pipe.iter().for_each(|end| {
                libc::close(*end);
            });
        }
    }
}

/// How often something is put back that a handler of the program has come before.
const MOST_TRIES: usize = 16;

fn action_of(number: c_int) -> Option<libc::sigaction> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: only asks, into what is made for it.
    unsafe {
        (libc::sigaction(number, core::ptr::null(), action.as_mut_ptr()) == 0).then(|| action.assume_init())
    }
}
