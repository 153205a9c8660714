//! How a frame goes on when its callee has returned: what CPython would have done with the result.

use crate::rest;
use capture::code::{Instruction, Op};
use capture::consumed;
use capture::cpython::evalframe::Next;
use capture::cpython::fields;
use capture::cpython::frame::RunningFrame;
use capture::cpython::slot::SlotValue;
use capture::cpython::thread::ThreadState;
use capture::cpython::{CallShape, CURRENT};
use capture::morph::{self, Prepared};
use capture::snapshot::Block;
use capture::waiting::LiveEntry;
use pyo3::exceptions::{PyStopIteration, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList, PyTuple};

/// What a frame needs to know when what is above it has returned.
#[derive(Clone, Copy)]
pub struct Place {
    slots: usize,
    /// Where the instruction in progress begins, when it is to run again.
    first: u32,
    /// The instruction itself.
    at: u32,
    /// The one after it.
    next: u32,
    /// Where it jumps to.
    target: Option<u32>,
    /// How deep the stack is behind it, if none of its operands were left out.
    after: usize,
    /// A region of the exception table begins or ends at it.
    at_border: bool,
    /// The result is what is going to be called, and comes with a NULL.
    for_a_call: bool,
    /// It asks an iterator for the next item of a loop.
    loops: bool,
    /// It enters an `async with` rather than a `with`.
    is_async: bool,
    /// It has taken an exit method off the stack before it called it.
    exit_taken_off: bool,
    with_block: Option<Block>,
}

impl Place {
    /// The place of a captured frame.
    pub fn of(prepared: &Prepared, instruction: &Instruction) -> Self {
        let facts = &prepared.info.facts;
        let kept = prepared.state.stack.len();
        let after = facts.depth_after(instruction, kept.try_into().unwrap_or(u16::MAX));
        Self {
            slots: prepared.info.slots,
            first: facts.reexecute_from(instruction),
            at: prepared.state.named.try_into().unwrap_or(instruction.unit),
            next: instruction.next,
            target: instruction.target,
            after: after.map_or(0, usize::from),
            at_border: facts.handler_at(instruction.unit) != facts.handler_before(instruction.unit),
            for_a_call: morph::loads_for_a_call(instruction),
            loops: instruction.op == Op::ForIter,
            is_async: instruction.op == Op::BeforeAsyncWith,
            exit_taken_off: instruction.op == Op::WithCleanupStart,
            with_block: morph::with_block(prepared),
        }
    }
}

/// Puts the callee's result where it belongs; the frame is evaluated from there.
pub fn finish(
    py: Python<'_>,
    frame: RunningFrame<'_>,
    result: PyResult<Py<PyAny>>,
    entry: LiveEntry,
    place: &Place,
) -> Next {
    let (result, entry) = match entry {
        LiveEntry::Rest { rest, step, with } => {
            let with = with.into_bound(py);
            (
                rest::finish(py, frame, rest, step, with, result),
                LiveEntry::Value,
            )
        }
        entry => (result, entry),
    };
    let imports = matches!(entry, LiveEntry::Import | LiveEntry::Imported);
    let finished = match result {
        Err(error)
            if error.is_instance_of::<PyStopIteration>(py) && matches!(entry, LiveEntry::Item { .. }) =>
        {
            end_source(py, frame, entry, place).map(|()| place.first)
        }
        Ok(result) => take(py, frame, result.into_bound(py), entry, place),
        Err(error) if place.loops && error.is_instance_of::<PyStopIteration>(py) => {
            end_loop(py, frame, place).map(|()| place.first)
        }
        Err(error) if imports => Err(rest::hide_importlib(py, error)),
        Err(error) => Err(error),
    };
    match finished {
        Ok(next) => {
            frame.run_at(next);
            Next::Run
        }
        Err(error) => {
            frame.raise_at(place.at, place.next, place.at_border);
            Next::Raise(error)
        }
    }
}

/// Takes a result; the unit that runs next.
fn take(
    py: Python<'_>,
    frame: RunningFrame<'_>,
    result: Bound<'_, PyAny>,
    entry: LiveEntry,
    place: &Place,
) -> PyResult<u32> {
    let push = |value: Bound<'_, PyAny>| frame.push(place.slots, SlotValue::Object(value));
    match entry {
        LiveEntry::Instance(instance) => {
            check_initialized(&result)?;
            push(instance.into_bound(py));
        }
        LiveEntry::Raise(instance) => {
            check_initialized(&result)?;
            push(instance.into_bound(py));
            return Ok(place.first);
        }
        LiveEntry::WithEnter => {
            let mut blocks = frame.blocks();
            blocks.extend(place.with_block);
            frame.write_blocks(&blocks);
            morph::leave_exit_method(frame, place.slots, place.is_async)?;
            push(result);
        }
        LiveEntry::Value if place.for_a_call => match CURRENT.operands.calls {
            CallShape::MethodFirst => {
                frame.push(place.slots, SlotValue::Null);
                push(result);
            }
            CallShape::CallableFirst | CallShape::CallableFirstKeywordsLast => {
                push(result);
                frame.push(place.slots, SlotValue::Null);
            }
        },
        LiveEntry::Discard => {}
        LiveEntry::WithExit => {
            if place.exit_taken_off {
                morph::repeat_what_was_raised(py, frame, place.slots);
            }
            push(result);
        }
        LiveEntry::Value
        | LiveEntry::Again
        | LiveEntry::AgainCached(_)
        | LiveEntry::AgainOver { .. }
        | LiveEntry::Sent(_)
        | LiveEntry::Closed(_)
        | LiveEntry::Imported => push(result),
        LiveEntry::Jumped => return Ok(place.target.unwrap_or(place.next)),
        LiveEntry::Repeat | LiveEntry::Between(_) | LiveEntry::Import => return Ok(place.first),
        LiveEntry::OnTop => {
            frame.pop(place.slots);
            push(result);
            return Ok(place.first);
        }
        LiveEntry::First(items) => {
            items.bind(py).cast::<PyList>()?.append(result)?;
            return Ok(place.first);
        }
        LiveEntry::Item { items, over, decides } => {
            let item = match decides {
                None => Some(result),
                // The truth may be asked of a method of the program, below which the frame stands.
                Some((when, item)) => {
                    let truth = ThreadState::current(py).with_waiting(frame, || result.is_truthy())?;
                    (truth == when).then(|| item.into_bound(py))
                }
            };
            let items = items.bind(py);
            if let Some(item) = item {
                items.cast::<PyList>()?.append(item)?;
            }
            if let Some((_, source)) = over {
                consumed::repeat(py, source.bind(py), frame, items.extract()?);
            }
            return Ok(place.first);
        }
        LiveEntry::Rest { .. } => push(result),
        LiveEntry::Kept { by, item } => {
            let Some(item) = keep(py, frame, by.bind(py), item, result)? else {
                return Ok(place.first);
            };
            frame.drop_to(place.slots, place.after - 1);
            push(item);
        }
        LiveEntry::Either { when, value } => {
            // The truth may be asked of a method of the program, below which the frame stands.
            let truth = ThreadState::current(py).with_waiting(frame, || result.is_truthy())?;
            if truth != when {
                return Ok(place.first);
            }
            frame.drop_to(place.slots, place.after - 1);
            push(value.into_bound(py));
        }
    }
    Ok(place.next)
}

/// Has an iterator keep what it would have kept of its function's result; the next item, if that is one.
fn keep<'py>(
    py: Python<'py>,
    frame: RunningFrame<'py>,
    by: &Bound<'py, PyAny>,
    item: Option<Py<PyAny>>,
    result: Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(item) = item else {
        fields::write(by, "total", Some(result.clone()))?;
        return Ok(Some(result));
    };
    // The truth may be asked of a method of the program, below which the frame stands.
    let truth = ThreadState::current(py).with_waiting(frame, || result.is_truthy())?;
    let one = || Some(PyInt::new(py, 1).into_any());
    let stops = by.get_type().name()? == "takewhile";
    match (stops, truth) {
        (true, true) => {}
        (true, false) => {
            fields::write(by, "stop", one())?;
            return Ok(None);
        }
        (false, true) => return Ok(None),
        (false, false) => fields::write(by, "start", one())?,
    }
    Ok(Some(item.into_bound(py)))
}

/// What CPython says of an `__init__` that returns something.
pub fn check_initialized(result: &Bound<'_, PyAny>) -> PyResult<()> {
    if result.is_none() {
        return Ok(());
    }
    let kind = result.get_type();
    let kind = kind.name().map_or_else(|_| "?".into(), |name| name.to_string());
    Err(PyTypeError::new_err(format!(
        "__init__() should return None, not '{kind}'"
    )))
}

/// Gives C code that collects only the items that it has, or what is exhausted in place of the source that
/// somebody stopped.
fn end_source(py: Python<'_>, frame: RunningFrame<'_>, entry: LiveEntry, place: &Place) -> PyResult<()> {
    match entry {
        LiveEntry::Item {
            items,
            over: Some((operand, _)),
            ..
        } => {
            // It is one that is known by this kind of source.
            let all = PyList::new(py, [items])?.call_method0("__reversed__")?;
            fields::write(operand.bind(py), "source", Some(all))
        }
        _ => {
            let exhausted = exhausted(py)?;
            frame.pop(place.slots);
            frame.push(place.slots, SlotValue::Object(exhausted));
            Ok(())
        }
    }
}

fn exhausted(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Ok(PyTuple::empty(py).into_any().try_iter()?.into_any())
}

/// Gives a loop an iterator that is exhausted, in place of the one that somebody stopped.
fn end_loop(py: Python<'_>, frame: RunningFrame<'_>, place: &Place) -> PyResult<()> {
    let exhausted = exhausted(py)?;
    for _ in 0..CURRENT.operands.iterator_words {
        frame.pop(place.slots);
    }
    frame.push(place.slots, SlotValue::Object(exhausted));
    for _ in 1..CURRENT.operands.iterator_words {
        frame.push(place.slots, SlotValue::Null);
    }
    Ok(())
}
