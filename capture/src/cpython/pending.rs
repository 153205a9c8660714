//! Whether CPython has run a signal's handler between two instructions of a frame, and where the frame goes on.
//!
//! Nothing in the frame tells up to 3.13: its evaluator runs handlers between instructions, and so does C code
//! that an instruction has called, in the middle of its own work. The C stack tells them apart. What the
//! evaluator calls for it has no name that a running program could look up, and may be compiled into the
//! evaluator or not; so the way from the evaluator to a handler is learned, once, from a [`probe`](super::probe).

use super::frame::RunningFrame;
use super::probe;
use super::tripped;
use super::unwinding::{CallStack, Place};
use pyo3::prelude::*;
use std::collections::HashMap;
use std::sync::OnceLock;

/// What is known of the way from the evaluator to a handler, in return addresses.
#[derive(Default)]
pub(super) struct Learned {
    /// From the evaluator inwards: what it calls, as far as that is the same for all handlers.
    pub way: Vec<usize>,
    /// Whether its own call is of a function that nothing else calls.
    pub is_apart: bool,
    /// The whole way to the evaluator of a handler that is a function, or a method, of the program's.
    pub direct: Vec<Vec<usize>>,
    /// The functions that such an evaluator is, or consists of.
    pub evaluators: Vec<usize>,
    /// Where the evaluator calls it.
    pub sites: HashMap<usize, CallSite>,
}

impl Learned {
    /// Whether an evaluator has called a handler that is a function or a method of the program's.
    fn is_direct(&self, stack: &CallStack, from: usize) -> bool {
        self.direct.iter().any(|way| {
            let called = leads(stack, from, way).then(|| &stack.activations()[from - way.len() - 1]);
            called.is_some_and(|called| self.evaluators.contains(&called.function))
        })
    }
}

/// A place of the evaluator's where it looks for signals, and where it keeps meanwhile what it needs again.
#[derive(Default)]
pub(super) struct CallSite {
    /// Its frame.
    pub frame: Vec<Place>,
    /// Its next instruction: all places that ever held that when it was known.
    pub next: Vec<Place>,
    /// How often it was seen.
    pub seen: usize,
}

impl CallSite {
    /// How often it has to be seen, from different instructions, until no place is right by chance.
    const LEAST: usize = 4;

    /// What all of the places hold, if they agree.
    fn agreed(&self, places: &[Place], stack: &CallStack, index: usize) -> Option<usize> {
        let (first, others) = places.split_first().filter(|_| self.seen >= Self::LEAST)?;
        let value = stack.kept(index, *first);
        let agree = others.iter().all(|place| stack.kept(index, *place) == value);
        agree.then_some(value)
    }
}

/// How a handler was run between two instructions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Between {
    /// The unit that runs next, as far as the evaluator tells.
    pub next: Option<u32>,
    /// Whether the handler is the frame above itself, a function or a method of the program's.
    pub is_direct: bool,
}

/// Whether the evaluator of `frame` has run a handler between two instructions, and is not through with that;
/// the frame must be one that an evaluator evaluates. `None` also where that cannot be told.
pub(crate) fn interrupted(py: Python<'_>, frame: RunningFrame<'_>) -> PyResult<Option<Between>> {
    let Some(learned) = learned(py)? else {
        return Ok(None);
    };
    let shim = frame.shim_below();
    let found = |stack: &CallStack| match shim {
        Some(shim) => {
            let index = stack.activations().len().checked_sub(2)?;
            stack.has(index, shim).then_some(index)
        }
        None => {
            let index = stack.activations().len().checked_sub(1)?;
            let site = learned.sites.get(&stack.activations()[index].returns_to)?;
            let is_this = site.agreed(&site.frame, stack, index) == Some(frame.id());
            (is_this && leads(stack, index, &learned.way)).then_some(index)
        }
    };
    Ok(CallStack::look(
        |stack| found(stack).is_some(),
        |stack| {
            let index = found(stack)?;
            let site = learned.sites.get(&stack.activations()[index].returns_to);
            let known = site.is_some() || learned.is_apart;
            (known && leads(stack, index, &learned.way)).then(|| {
                let next = site.and_then(|site| site.agreed(&site.next, stack, index));
                let unit = next.and_then(|next| next.checked_sub(frame.first_unit()));
                Between {
                    next: unit.and_then(|bytes| u32::try_from(bytes / 2).ok().filter(|_| bytes % 2 == 0)),
                    is_direct: learned.is_direct(stack, index),
                }
            })
        },
    ))
}

/// Whether this way leads inwards from an activation.
pub(super) fn leads(stack: &CallStack, from: usize, way: &[usize]) -> bool {
    let inwards = stack.activations()[..from].iter().rev();
    way.len() < from
        && inwards
            .zip(way)
            .all(|(activation, address)| activation.returns_to == *address)
}

/// What there is to know of this interpreter, if it can be known.
fn learned(py: Python<'_>) -> PyResult<Option<&'static Learned>> {
    static LEARNED: OnceLock<Learned> = OnceLock::new();
    if LEARNED.get().is_none() {
        if let Some(learned) = tripped::with_none_waiting(py, || probe::learn(py))? {
            // Somebody else may have come first: the same.
            let _first = LEARNED.set(learned);
        }
    }
    Ok(LEARNED.get())
}
