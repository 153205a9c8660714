//! Resumed frames that wait for the frame above them, with what its result will mean to them.
//!
//! Such a frame has no evaluator yet and its call's operands are gone, so its entry cannot be told
//! from its instruction when it is captured once more. It is kept here while it waits.

use crate::cpython::frame::RunningFrame;
use crate::snapshot::Rest;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{current, ThreadId};

/// An [`Entry`](crate::snapshot::Entry) with its object at hand.
#[derive(Debug)]
pub enum LiveEntry {
    /// See [`Entry::Value`](crate::snapshot::Entry::Value).
    Value,
    /// See [`Entry::Instance`](crate::snapshot::Entry::Instance).
    Instance(Py<PyAny>),
    /// See [`Entry::Discard`](crate::snapshot::Entry::Discard).
    Discard,
    /// See [`Entry::WithEnter`](crate::snapshot::Entry::WithEnter).
    WithEnter,
    /// See [`Entry::WithExit`](crate::snapshot::Entry::WithExit).
    WithExit,
    /// See [`Entry::Again`](crate::snapshot::Entry::Again).
    Again,
    /// See [`Entry::AgainCached`](crate::snapshot::Entry::AgainCached).
    AgainCached(Py<PyAny>),
    /// See [`Entry::AgainOver`](crate::snapshot::Entry::AgainOver).
    AgainOver {
        /// What the C code has already.
        items: Py<PyAny>,
        /// What gives the others.
        source: Py<PyAny>,
    },
    /// See [`Entry::Item`](crate::snapshot::Entry::Item).
    Item {
        /// The list.
        items: Py<PyAny>,
        /// The operand that is over it and the source, and the source.
        over: Option<(Py<PyAny>, Py<PyAny>)>,
        /// The item, and the truth that decides on it.
        decides: Option<(bool, Py<PyAny>)>,
    },
    /// See [`Entry::First`](crate::snapshot::Entry::First).
    First(Py<PyAny>),
    /// See [`Entry::OnTop`](crate::snapshot::Entry::OnTop).
    OnTop,
    /// See [`Entry::Sent`](crate::snapshot::Entry::Sent).
    Sent(Py<PyAny>),
    /// See [`Entry::Closed`](crate::snapshot::Entry::Closed).
    Closed(Py<PyAny>),
    /// See [`Entry::Raise`](crate::snapshot::Entry::Raise).
    Raise(Py<PyAny>),
    /// See [`Entry::Jumped`](crate::snapshot::Entry::Jumped).
    Jumped,
    /// See [`Entry::Repeat`](crate::snapshot::Entry::Repeat).
    Repeat,
    /// See [`Entry::Between`](crate::snapshot::Entry::Between).
    Between(u32),
    /// See [`Entry::Import`](crate::snapshot::Entry::Import).
    Import,
    /// See [`Entry::Imported`](crate::snapshot::Entry::Imported).
    Imported,
    /// See [`Entry::Rest`](crate::snapshot::Entry::Rest).
    Rest {
        /// Which C code.
        rest: Rest,
        /// The step that the result belongs to.
        step: u8,
        /// What it works with.
        with: Py<PyTuple>,
    },
    /// See [`Entry::Either`](crate::snapshot::Entry::Either).
    Either {
        /// The truth that ends the instruction.
        when: bool,
        /// What the instruction is worth then.
        value: Py<PyAny>,
    },
    /// See [`Entry::Kept`](crate::snapshot::Entry::Kept).
    Kept {
        /// The iterator.
        by: Py<PyAny>,
        /// The item, if the result is not it but decides on it.
        item: Option<Py<PyAny>>,
    },
}

impl LiveEntry {
    /// The same entry with a reference of its own.
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Value => Self::Value,
            Self::Instance(instance) => Self::Instance(instance.clone_ref(py)),
            Self::Discard => Self::Discard,
            Self::WithEnter => Self::WithEnter,
            Self::WithExit => Self::WithExit,
            Self::Again => Self::Again,
            Self::AgainCached(cache) => Self::AgainCached(cache.clone_ref(py)),
            Self::AgainOver { items, source } => Self::AgainOver {
                items: items.clone_ref(py),
                source: source.clone_ref(py),
            },
            Self::First(items) => Self::First(items.clone_ref(py)),
            Self::Item { items, over, decides } => Self::Item {
                items: items.clone_ref(py),
                over: over
                    .as_ref()
                    .map(|(operand, source)| (operand.clone_ref(py), source.clone_ref(py))),
                decides: decides.as_ref().map(|(when, item)| (*when, item.clone_ref(py))),
            },
            Self::OnTop => Self::OnTop,
            Self::Sent(driver) => Self::Sent(driver.clone_ref(py)),
            Self::Closed(path) => Self::Closed(path.clone_ref(py)),
            Self::Raise(instance) => Self::Raise(instance.clone_ref(py)),
            Self::Jumped => Self::Jumped,
            Self::Repeat => Self::Repeat,
            Self::Between(next) => Self::Between(*next),
            Self::Import => Self::Import,
            Self::Imported => Self::Imported,
            Self::Rest { rest, step, with } => Self::Rest {
                rest: *rest,
                step: *step,
                with: with.clone_ref(py),
            },
            Self::Either { when, value } => Self::Either {
                when: *when,
                value: value.clone_ref(py),
            },
            Self::Kept { by, item } => Self::Kept {
                by: by.clone_ref(py),
                item: item.as_ref().map(|item| item.clone_ref(py)),
            },
        }
    }
}

/// A frame that waits.
struct Waiting {
    thread: ThreadId,
    frame: usize,
    entry: LiveEntry,
    waits_for: For,
}

/// What a frame waits for.
enum For {
    /// A frame that was captured, once it has started.
    Callee(Option<usize>),
    /// What the hook has called for it.
    Call(Py<PyAny>, Py<PyTuple>),
    /// Handlers of signals that are called one after the other.
    Handlers,
}

/// The waiting frames of all threads, outermost first. Only held for moments, with the GIL, and never while
/// anything of Python's runs.
static WAITING: Mutex<Vec<Waiting>> = Mutex::new(Vec::new());

fn all() -> MutexGuard<'static, Vec<Waiting>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of the calling thread's innermost one.
fn innermost(waiting: &[Waiting]) -> Option<usize> {
    let own = current().id();
    waiting.iter().rposition(|waiting| waiting.thread == own)
}

fn push_waiting(frame: RunningFrame<'_>, entry: LiveEntry, waits_for: For) {
    all().push(Waiting {
        thread: current().id(),
        frame: frame.id(),
        entry,
        waits_for,
    });
}

/// Notes that `frame` waits; undone by [`pop`].
pub fn push(frame: RunningFrame<'_>, entry: LiveEntry) {
    push_waiting(frame, entry, For::Callee(None));
}

/// Notes that `frame` waits for what calling `called` with these arguments enters; undone by [`pop`].
pub fn push_called(frame: RunningFrame<'_>, entry: LiveEntry, called: Py<PyAny>, arguments: Py<PyTuple>) {
    push_waiting(frame, entry, For::Call(called, arguments));
}

/// Notes that `frame` waits for handlers of signals; undone by [`pop`].
pub fn push_for_handlers(frame: RunningFrame<'_>, entry: LiveEntry) {
    push_waiting(frame, entry, For::Handlers);
}

/// Notes that the innermost waiting frame waits for this one, if it waits for none yet.
pub fn started(callee: RunningFrame<'_>) {
    let mut waiting = all();
    let last = innermost(&waiting).map(|last| &mut waiting[last].waits_for);
    if let Some(For::Callee(awaited)) = last {
        awaited.get_or_insert(callee.id());
    }
}

/// Ends what the last [`push`] began, and gives the entry back.
pub fn pop() -> Option<LiveEntry> {
    let last = {
        let mut waiting = all();
        innermost(&waiting).map(|last| waiting.remove(last))
    };
    last.map(|last| last.entry)
}

/// The generators that the innermost waiting frame closes, if that is what it does.
pub fn innermost_closed(py: Python<'_>) -> Option<Py<PyAny>> {
    let waiting = all();
    match &waiting[innermost(&waiting)?].entry {
        LiveEntry::Closed(path) => Some(path.clone_ref(py)),
        _ => None,
    }
}

/// Notes that the innermost waiting frame waits for another frame now.
pub fn wait_for(callee: Option<RunningFrame<'_>>, entry: LiveEntry) {
    let before = {
        let mut waiting = all();
        innermost(&waiting).map(|last| {
            let last = &mut waiting[last];
            let waits_for =
                core::mem::replace(&mut last.waits_for, For::Callee(callee.map(RunningFrame::id)));
            (core::mem::replace(&mut last.entry, entry), waits_for)
        })
    };
    // Its objects go when nothing is held.
    drop(before);
}

/// What the result of its callee means to `frame`, if it is one that waits.
pub enum Found {
    /// It is none.
    NotWaiting,
    /// It waits for another frame: this callee was entered while that one comes or goes.
    ForAnother,
    /// It waits for the callee.
    Entry(LiveEntry),
    /// It waits for what this call enters.
    Called(LiveEntry, Py<PyAny>, Py<PyTuple>),
    /// It waits for handlers of signals.
    Handlers(LiveEntry),
}

/// Looks for `frame` among those that wait.
pub fn entry_of(py: Python<'_>, frame: RunningFrame<'_>, callee: RunningFrame<'_>) -> Found {
    let waiting = all();
    let Some(found) = waiting.iter().rev().find(|waiting| waiting.frame == frame.id()) else {
        return Found::NotWaiting;
    };
    let entry = found.entry.clone_ref(py);
    match &found.waits_for {
        For::Call(called, arguments) => Found::Called(entry, called.clone_ref(py), arguments.clone_ref(py)),
        For::Handlers => Found::Handlers(entry),
        For::Callee(awaited) if *awaited == Some(callee.id()) => Found::Entry(entry),
        For::Callee(_) => Found::ForAnother,
    }
}
