//! What generators have given to C code that collects it: the half-made list of `list(generator)` is in
//! C, and so is the sum of `sum(generator)`.
//!
//! In the recording mode the items are kept here for as long as that C code runs, so that it can be made
//! to run again: over these items first, and then over the generator, which goes on.

use crate::cpython::evalframe::Watcher;
use crate::cpython::frame::RunningFrame;
use crate::read::consumes;
use pyo3::prelude::*;
use std::cell::{Cell, RefCell};

/// A generator that C code goes through.
struct Consumption {
    /// The generator's frame.
    generator: usize,
    /// The frame that has called the C code, and the instruction that it stands at.
    caller: usize,
    at: i32,
    /// What the generator has given; `None` once that is too much to keep.
    items: Option<Vec<Py<PyAny>>>,
    /// The C code runs again already, over items of before, which are the first of these.
    is_repeated: bool,
}

impl Consumption {
    fn is_of(&self, generator: RunningFrame<'_>, caller: RunningFrame<'_>) -> bool {
        (self.generator, self.caller, self.at) == (generator.id(), caller.id(), caller.raw_instruction())
    }
}

/// So many items are kept at most.
const MOST_ITEMS: usize = 1 << 20;

/// So many generators are kept in mind at most; more are not inside one another, but left over.
const MOST_OPEN: usize = 256;

/// How many places are kept in mind.
const PLACES: usize = 64;

thread_local! {
    /// The calling thread's, those inside others last. Owned by [`Consumed`], which is told of each end.
    static OPEN: RefCell<Vec<Consumption>> = const { RefCell::new(Vec::new()) };
    /// Instructions whose C code keeps nothing, as `next` does, by their hash. One that is wrong, as code
    /// comes and goes, costs a refusal later.
    static KEEPS_NOTHING: [Cell<Place>; PLACES] = const { [const { Cell::new(Place(0, 0)) }; PLACES] };
}

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
    fn known(frame: RunningFrame<'_>, caller: RunningFrame<'_>) -> Option<bool> {
        let is_open = OPEN.with_borrow(|open| open.iter().rev().any(|it| it.is_of(frame, caller)));
        let place = Place::of(caller);
        let keeps_nothing = || KEEPS_NOTHING.with(|places| places[place.hash()].get() == place);
        match is_open {
            true => Some(true),
            false => keeps_nothing().then_some(false),
        }
    }

    fn asked<'py>(py: Python<'py>, frame: RunningFrame<'py>, caller: RunningFrame<'py>) -> bool {
        let consumes = consumes(py, caller);
        if consumes {
            start(frame, caller, Vec::new(), false);
        } else {
            let place = Place::of(caller);
            KEEPS_NOTHING.with(|places| places[place.hash()].set(place));
        }
        consumes
    }

    fn gave<'py>(frame: RunningFrame<'py>, item: &Bound<'py, PyAny>) {
        // Let go outside: code of the program may run.
        let too_many = OPEN.with_borrow_mut(|open| {
            let found = open.iter_mut().rev().find(|it| it.generator == frame.id())?;
            let items = found.items.as_mut()?;
            if items.len() < MOST_ITEMS {
                items.push(item.clone().unbind());
                return None;
            }
            found.items.take()
        });
        drop(too_many);
    }

    fn ended(_py: Python<'_>, frame: RunningFrame<'_>) {
        let ended = OPEN.with_borrow_mut(|open| {
            let place = open.iter().rposition(|it| it.generator == frame.id())?;
            Some(open.remove(place))
        });
        drop(ended);
    }
}

/// An instruction: the code's address, and its number.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place(usize, i32);

impl Place {
    fn of(frame: RunningFrame<'_>) -> Self {
        Self(frame.code_address(), frame.raw_instruction())
    }

    fn hash(self) -> usize {
        (self.0 >> 4).wrapping_add(self.1 as usize) % PLACES
    }
}

fn start(generator: RunningFrame<'_>, caller: RunningFrame<'_>, items: Vec<Py<PyAny>>, is_repeated: bool) {
    let started = Consumption {
        generator: generator.id(),
        caller: caller.id(),
        at: caller.raw_instruction(),
        items: Some(items),
        is_repeated,
    };
    let over: Vec<Consumption> = OPEN.with_borrow_mut(|open| {
        // A frame is in one instruction at a time, and a generator gives to one at a time. What is left
        // over was given up in its middle.
        let is_over = |it: &Consumption| it.generator == started.generator || it.caller == started.caller;
        let (mut over, mut still): (Vec<_>, Vec<_>) = open.drain(..).partition(is_over);
        if still.len() >= MOST_OPEN {
            over.push(still.remove(0));
        }
        still.push(started);
        *open = still;
        over
    });
    // Outside: code of the program may run.
    drop(over);
}

/// What the generator has given to the C code that its caller stands at, if all of it is known.
pub(crate) fn given_by(
    py: Python<'_>,
    generator: RunningFrame<'_>,
    caller: RunningFrame<'_>,
) -> Option<Given> {
    OPEN.with_borrow(|open| {
        let found = open.iter().find(|it| it.is_of(generator, caller))?;
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
pub fn repeat(generator: RunningFrame<'_>, caller: RunningFrame<'_>, items: Vec<Py<PyAny>>) {
    start(generator, caller, items, true);
}
