//! What generators, and other sources of the program's, have given to C code that collects it: the half-made
//! list of `list(generator)` is in C, and so is the sum of `sum(generator)`.
//!
//! In the recording mode the items are kept here for as long as that C code runs, so that it can be made
//! to run again: over these items first, and then over the source, which goes on.

use crate::cpython::evalframe::{let_go, turn_page, Asking, Watcher, PAGE_SIZE};
use crate::cpython::frame::RunningFrame;
use crate::cpython::generator::Generator;
use crate::read::consumes;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A source that C code goes through.
struct Consumption {
    /// When it was noted: see [`Begun`].
    number: usize,
    /// Which one, and who asks.
    asking: Asking,
    /// What the source has given; `None` if that is too much to keep, or not known from the start.
    items: Option<Items>,
    /// The source, if the C code runs again already: it has it from an iterator that was put in its place,
    /// behind items of before, which are the first of these.
    repeated: Option<Py<PyAny>>,
}

impl Consumption {
    /// Gives it up; not while anything is locked, as code of the program may run.
    fn let_go(self, py: Python<'_>) {
        if let Some(items) = self.items {
            items.let_go(py);
        }
        drop(self.repeated.map(|source| source.into_bound(py)));
    }
}

/// Items in order, a page at a time.
#[derive(Default)]
struct Items {
    pages: Vec<Vec<Py<PyAny>>>,
    count: usize,
}

impl Items {
    fn add(&mut self, given: Vec<Py<PyAny>>) {
        self.count += given.len();
        match self.pages.last_mut() {
            // A generator that another one interrupts gives few at a time.
            Some(last) if last.len() + given.len() <= PAGE_SIZE => last.extend(given),
            _ => self.pages.push(given),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Py<PyAny>> {
        self.pages.iter().flatten()
    }

    fn let_go(self, py: Python<'_>) {
        for page in self.pages {
            let_go(py, page);
        }
    }
}

/// When the recording mode began or ended last.
struct Begun {
    /// How many times it has.
    number: usize,
    /// The frames that waited then, of what they had called.
    waiting: Vec<Asking>,
}

impl Begun {
    /// Whether C code may have been at work then already.
    fn is_old(&self, asking: Asking) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|it| (it.caller, it.at) == (asking.caller, asking.at))
    }
}

static BEGUN: Mutex<Begun> = Mutex::new(Begun {
    number: 0,
    waiting: Vec::new(),
});

/// The number of [`BEGUN`], for whoever only compares it.
static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// So many items are kept at most.
const MOST_ITEMS: usize = 1 << 20;

/// So many generators are kept in mind at most; more are not inside one another, but left over.
const MOST_OPEN: usize = 256;

/// The opcode of C code that will run next.
const ANYWHERE: usize = 0;

/// How many places are kept in mind.
const PLACES: usize = 4096;

/// Those of all threads, the ones inside others last. [`Consumed`] is told of each end. Never locked while
/// code of the program's runs.
static OPEN: Mutex<Vec<Consumption>> = Mutex::new(Vec::new());

fn with_open<T>(work: impl FnOnce(&mut Vec<Consumption>) -> T) -> T {
    // A panic leaves it whole: nothing that could is done half-way.
    work(&mut OPEN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The addresses of opcodes whose C code keeps nothing, as `next` does, each at its hash. None is ever
/// forgotten: one that is wrong, as code comes and goes, then costs a refusal, and never lets C code that
/// collects be noticed in its middle.
static KEEPS_NOTHING: [AtomicUsize; PLACES] = [const { AtomicUsize::new(0) }; PLACES];

/// What was given to C code that still runs.
pub(crate) struct Given {
    /// The address of the source, as in [`Asking`].
    source: usize,
    /// The items, in order; `None` if not all of them are known.
    pub items: Option<Vec<Py<PyAny>>>,
    /// The source, where the C code has it from an iterator that was put in its place.
    pub repeated: Option<Py<PyAny>>,
}

impl Given {
    /// Whether this is the source.
    pub fn is_from(&self, source: &Bound<'_, PyAny>) -> bool {
        address_of(source) == self.source
    }
}

/// The address of a source, as in [`Asking`].
fn address_of(source: &Bound<'_, PyAny>) -> usize {
    let frame = Generator::new(source).and_then(|generator| generator.frame());
    frame.map_or(source.as_ptr() as usize, |frame| frame.id())
}

/// Keeps what generators give to C code.
pub struct Consumed;

impl Watcher for Consumed {
    fn begins(&self, waiting: Vec<Asking>) {
        if let Ok(mut begun) = BEGUN.lock() {
            begun.number += 1;
            NUMBER.store(begun.number, Ordering::Relaxed);
            begun.waiting = waiting;
        }
    }

    fn known(&self, asking: Asking) -> Option<bool> {
        let number = NUMBER.load(Ordering::Relaxed);
        let is_it = |it: &&mut Consumption| {
            (it.asking.source, it.asking.caller, it.number) == (asking.source, asking.caller, number)
                && [asking.at, ANYWHERE].contains(&it.asking.at)
        };
        let found = with_open(|open| {
            let found = open.iter_mut().rev().find(is_it);
            found.map(|found| found.asking.at = asking.at).is_some()
        });
        if found {
            return Some(true);
        }
        let kept = KEEPS_NOTHING[hash(asking.at)].load(Ordering::Relaxed);
        (kept == asking.at).then_some(false)
    }

    fn wants<'py>(&self, py: Python<'py>, asking: Asking, begins: bool, caller: RunningFrame<'py>) -> bool {
        let consumes = consumes(py, caller);
        if consumes {
            // One that was at work before us has items that nobody has noted.
            let may_be_old = !begins && BEGUN.lock().is_ok_and(|begun| begun.is_old(asking));
            start(py, asking, (!may_be_old).then(Items::default), None);
        } else {
            let place = &KEEPS_NOTHING[hash(asking.at)];
            // Where another one is this one is looked at anew each time.
            let _taken = place.compare_exchange(0, asking.at, Ordering::Relaxed, Ordering::Relaxed);
        }
        consumes
    }

    fn gave(&self, py: Python<'_>, source: usize, given: Vec<Py<PyAny>>) {
        // Let go outside: code of the program may run.
        let left_over = with_open(|open| {
            let found = open.iter_mut().rev().find(|it| it.asking.source == source);
            let items = found.map(|found| &mut found.items);
            match items {
                Some(Some(items)) if items.count + given.len() <= MOST_ITEMS => {
                    items.add(given);
                    (None, Vec::new())
                }
                Some(items) => (items.take(), given),
                None => (None, given),
            }
        });
        let (too_many, given) = left_over;
        if let Some(items) = too_many {
            items.let_go(py);
        }
        let_go(py, given);
    }

    fn ended(&self, py: Python<'_>, source: usize) {
        let ended = with_open(|open| {
            let place = open.iter().rposition(|it| it.asking.source == source)?;
            Some(open.remove(place))
        });
        if let Some(ended) = ended {
            ended.let_go(py);
        }
    }
}

fn hash(at: usize) -> usize {
    (at >> 1) % PLACES
}

fn start(py: Python<'_>, asking: Asking, items: Option<Items>, repeated: Option<Py<PyAny>>) {
    let started = Consumption {
        number: NUMBER.load(Ordering::Relaxed),
        asking,
        items,
        repeated,
    };
    let over: Vec<Consumption> = with_open(|open| {
        // A frame is in one instruction at a time, and a source gives to one at a time. What is left
        // over was given up in its middle.
        let is_over =
            |it: &Consumption| it.asking.source == asking.source || it.asking.caller == asking.caller;
        let (mut over, mut still): (Vec<_>, Vec<_>) = open.drain(..).partition(is_over);
        if still.len() >= MOST_OPEN {
            over.push(still.remove(0));
        }
        still.push(started);
        *open = still;
        over
    });
    over.into_iter().for_each(|over| over.let_go(py));
}

/// What was given to the C code that a caller stands at, if anything is known of that.
pub(crate) fn given_to(py: Python<'_>, caller: RunningFrame<'_>) -> Option<Given> {
    turn_page(py);
    let now = Asking::between(0, caller);
    with_open(|open| {
        let number = NUMBER.load(Ordering::Relaxed);
        let is_it = |it: &&Consumption| {
            (it.asking.caller, it.asking.at) == (now.caller, now.at) && it.number == number
        };
        let found = open.iter().find(is_it)?;
        let items = found.items.as_ref();
        Some(Given {
            source: found.asking.source,
            items: items.map(|items| items.iter().map(|item| item.clone_ref(py)).collect()),
            repeated: found.repeated.as_ref().map(|source| source.clone_ref(py)),
        })
    })
}

/// Keeps what C code that is to run again, of this caller's, has before the source goes on.
pub fn repeat(py: Python<'_>, source: &Bound<'_, PyAny>, caller: RunningFrame<'_>, items: Vec<Py<PyAny>>) {
    turn_page(py);
    let asking = Asking {
        source: address_of(source),
        caller: caller.id(),
        at: ANYWHERE,
    };
    let count = items.len();
    let pages = vec![items];
    start(
        py,
        asking,
        Some(Items { pages, count }),
        Some(source.clone().unbind()),
    );
}
