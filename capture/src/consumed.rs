//! What generators have given to C code that collects it: the half-made list of `list(generator)` is in
//! C, and so is the sum of `sum(generator)`.
//!
//! In the recording mode the items are kept here for as long as that C code runs, so that it can be made
//! to run again: over these items first, and then over the generator, which goes on.

use crate::code::Op;
use crate::cpython::codeobject::CodeInfo;
use crate::cpython::evalframe::{let_go, turn_page, Asking, Watcher, PAGE_SIZE};
use crate::cpython::frame::RunningFrame;
use crate::read::consumes;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A generator that C code goes through.
struct Consumption {
    /// When it was noted: see [`Begun`].
    number: usize,
    /// Which one, and who asks.
    asking: Asking,
    /// What the generator has given; `None` if that is too much to keep, or not known from the start.
    items: Option<Items>,
    /// The C code runs again already, over items of before, which are the first of these.
    is_repeated: bool,
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

/// The items that were given to a C function which still runs.
pub(crate) struct Given {
    /// The items, in order.
    pub items: Vec<Py<PyAny>>,
    /// The C code has them from an iterator that was put in the generator's place.
    pub is_repeated: bool,
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
        let is_it = |it: &Consumption| it.asking == asking && it.number == number;
        if with_open(|open| open.iter().rev().any(is_it)) {
            return Some(true);
        }
        let kept = KEEPS_NOTHING[hash(asking.at)].load(Ordering::Relaxed);
        (kept == asking.at).then_some(false)
    }

    fn wants<'py>(
        &self,
        py: Python<'py>,
        asking: Asking,
        generator: RunningFrame<'py>,
        caller: RunningFrame<'py>,
    ) -> bool {
        let consumes = consumes(py, caller);
        if consumes {
            // One that was at work before us has items that nobody has noted.
            let may_be_old = BEGUN.lock().is_ok_and(|begun| begun.is_old(asking)) && !is_fresh(generator);
            start(py, asking, (!may_be_old).then(Items::default), false);
        } else {
            let place = &KEEPS_NOTHING[hash(asking.at)];
            // Where another one is this one is looked at anew each time.
            let _taken = place.compare_exchange(0, asking.at, Ordering::Relaxed, Ordering::Relaxed);
        }
        consumes
    }

    fn gave(&self, py: Python<'_>, generator: usize, given: Vec<Py<PyAny>>) {
        // Let go outside: code of the program may run.
        let left_over = with_open(|open| {
            let found = open.iter_mut().rev().find(|it| it.asking.generator == generator);
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

    fn ended(&self, py: Python<'_>, generator: usize) {
        let ended = with_open(|open| {
            let place = open.iter().rposition(|it| it.asking.generator == generator)?;
            Some(open.remove(place))
        });
        // Let go outside: code of the program may run.
        if let Some(items) = ended.and_then(|ended| ended.items) {
            items.let_go(py);
        }
    }
}

fn hash(at: usize) -> usize {
    (at >> 1) % PLACES
}

/// Whether nothing of a generator has run yet.
fn is_fresh(generator: RunningFrame<'_>) -> bool {
    let raw = generator.raw_instruction();
    let begins = |info: Arc<CodeInfo>| {
        let mut instructions = info.facts.instructions();
        // Up to 3.10 nothing at all has, from 3.11 on what makes the generator.
        instructions
            .find(|found| found.op == Op::ReturnGenerator)
            .map(|found| found.next)
    };
    let begins = CodeInfo::of(&generator.code()).ok().and_then(begins);
    begins.map_or(raw < 0, |begins| raw <= begins as i32)
}

fn start(py: Python<'_>, asking: Asking, items: Option<Items>, is_repeated: bool) {
    let started = Consumption {
        number: NUMBER.load(Ordering::Relaxed),
        asking,
        items,
        is_repeated,
    };
    let over: Vec<Consumption> = with_open(|open| {
        // A frame is in one instruction at a time, and a generator gives to one at a time. What is left
        // over was given up in its middle.
        let is_over =
            |it: &Consumption| it.asking.generator == asking.generator || it.asking.caller == asking.caller;
        let (mut over, mut still): (Vec<_>, Vec<_>) = open.drain(..).partition(is_over);
        if still.len() >= MOST_OPEN {
            over.push(still.remove(0));
        }
        still.push(started);
        *open = still;
        over
    });
    // Outside: code of the program may run.
    for items in over.into_iter().filter_map(|over| over.items) {
        items.let_go(py);
    }
}

/// What the generator has given to the C code that its caller stands at, if all of it is known.
pub(crate) fn given_by(
    py: Python<'_>,
    generator: RunningFrame<'_>,
    caller: RunningFrame<'_>,
) -> Option<Given> {
    turn_page(py);
    let asking = Asking::between(generator, caller);
    with_open(|open| {
        let found = open
            .iter()
            .find(|it| it.asking == asking && it.number == NUMBER.load(Ordering::Relaxed))?;
        Some(Given {
            items: found
                .items
                .as_ref()?
                .iter()
                .map(|item| item.clone_ref(py))
                .collect(),
            is_repeated: found.is_repeated,
        })
    })
}

/// Keeps what C code that runs again has before the generator goes on.
pub fn repeat(py: Python<'_>, generator: RunningFrame<'_>, caller: RunningFrame<'_>, items: Vec<Py<PyAny>>) {
    let count = items.len();
    let pages = vec![items];
    start(
        py,
        Asking::between(generator, caller),
        Some(Items { pages, count }),
        true,
    );
}
