//! A fresh frame turned into a captured one: the same fields as in `read`, given back.

use crate::code::{Instruction, Peek, Progress, Stacks};
use crate::cpython::codeobject::CodeInfo;
use crate::cpython::frame::RunningFrame;
use crate::cpython::generator::Generator;
use crate::cpython::modules::import;
use crate::cpython::objects::{is_cell, lookup_on_type};
use crate::cpython::slot::SlotValue;
use crate::cpython::thread::HandledValues;
use crate::cpython::{Blocks, Entering, CURRENT};
use crate::entry::results;
use crate::error::MorphError;
use crate::snapshot::{Block, Entry, FrameState, Handled, ObjectId, Slot, Snapshot};
use crate::waiting::LiveEntry;
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyCode, PyDict, PyFunction, PyList, PyTuple};
use std::sync::Arc;

/// The objects of a snapshot on this side, by their [`ObjectId`].
pub struct Objects {
    objects: Arc<Vec<Py<PyAny>>>,
}

impl Objects {
    /// The decoded list.
    pub fn new(objects: Vec<Py<PyAny>>) -> Self {
        Self {
            objects: Arc::new(objects),
        }
    }

    /// The same objects for another stack.
    pub fn share(&self) -> Self {
        Self {
            objects: self.objects.clone(),
        }
    }

    /// One of them.
    pub fn get<'py>(&self, py: Python<'py>, id: ObjectId) -> Option<Bound<'py, PyAny>> {
        self.objects
            .get(id.0 as usize)
            .map(|object| object.bind(py).clone())
    }

    fn slot<'py>(&self, slot: Slot, py: Python<'py>) -> SlotValue<'py> {
        match slot {
            Slot::Object(id) => self.get(py, id).into(),
            Slot::Tagged(number) => SlotValue::Tagged(number),
            Slot::Null => SlotValue::Null,
        }
    }

    /// What the result of a callee means to its frame, with the object at hand; `None` if that is not
    /// among these.
    pub fn live_entry(&self, py: Python<'_>, entry: &Entry) -> Option<LiveEntry> {
        let own = |id| self.get(py, id).map(Bound::unbind);
        Some(match *entry {
            Entry::Value => LiveEntry::Value,
            Entry::Instance(id) => LiveEntry::Instance(own(id)?),
            Entry::Discard => LiveEntry::Discard,
            Entry::WithEnter => LiveEntry::WithEnter,
            Entry::WithExit => LiveEntry::WithExit,
            Entry::Again => LiveEntry::Again,
            Entry::AgainCached(id) => LiveEntry::AgainCached(own(id)?),
            Entry::AgainOver { items, source } => LiveEntry::AgainOver {
                items: own(items)?,
                source: own(source)?,
            },
            Entry::First(items) => LiveEntry::First(own(items)?),
            Entry::Item { items, over, decides } => LiveEntry::Item {
                items: own(items)?,
                over: match over {
                    Some((operand, source)) => Some((own(operand)?, own(source)?)),
                    None => None,
                },
                decides: match decides {
                    Some((when, item)) => Some((when, own(item)?)),
                    None => None,
                },
            },
            Entry::OnTop => LiveEntry::OnTop,
            Entry::Sent(id) => LiveEntry::Sent(own(id)?),
            Entry::Closed(id) => LiveEntry::Closed(own(id)?),
            Entry::Raise(id) => LiveEntry::Raise(own(id)?),
            Entry::Jumped => LiveEntry::Jumped,
            Entry::Repeat => LiveEntry::Repeat,
            Entry::Between(next) => LiveEntry::Between(next),
            Entry::Import => LiveEntry::Import,
            Entry::Imported => LiveEntry::Imported,
            Entry::Rest { rest, step, with } => LiveEntry::Rest {
                rest,
                step,
                with: self.get(py, with)?.cast_into().ok()?.unbind(),
            },
            Entry::Either { when, value } => LiveEntry::Either {
                when,
                value: own(value)?,
            },
            Entry::Kept { by, item } => LiveEntry::Kept {
                by: own(by)?,
                item: match item {
                    Some(item) => Some(own(item)?),
                    None => None,
                },
            },
        })
    }

    /// The objects of a handled exception.
    pub fn handled(&self, py: Python<'_>, handled: &Handled) -> HandledValues {
        let take = |id: Option<ObjectId>| id.and_then(|id| self.get(py, id)).map(Bound::unbind);
        HandledValues {
            kind: take(handled.kind),
            value: take(handled.value),
            traceback: take(handled.traceback),
        }
    }

    /// An object of a frame that must be of type `T`.
    fn typed<'py, T: pyo3::PyTypeCheck>(
        &self,
        py: Python<'py>,
        id: ObjectId,
        frame: usize,
        what: &'static str,
    ) -> Result<Bound<'py, T>, MorphError> {
        let object = self.get(py, id).and_then(|object| object.cast_into::<T>().ok());
        object.ok_or(MorphError::Object {
            frame,
            object: id.0,
            what,
        })
    }
}

/// How a captured frame is started anew.
pub enum Start {
    /// A module's or a class's body, or what `exec` was given: code, globals, namespace, closure.
    Body(Py<PyCode>, Py<PyDict>, Py<PyAny>, Option<Py<PyTuple>>),
    /// A function, called with stand-ins for its arguments.
    Call(Py<PyFunction>),
    /// The generator that owns it, when whoever waits for it goes on.
    Generator(Py<PyAny>),
}

impl Start {
    /// The same with references of its own.
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Body(code, globals, namespace, closure) => Self::Body(
                code.clone_ref(py),
                globals.clone_ref(py),
                namespace.clone_ref(py),
                closure.as_ref().map(|closure| closure.clone_ref(py)),
            ),
            Self::Call(function) => Self::Call(function.clone_ref(py)),
            Self::Generator(generator) => Self::Generator(generator.clone_ref(py)),
        }
    }
}

/// A captured frame, checked against its code and ready to be started.
pub struct Prepared {
    /// Its fields.
    pub state: FrameState,
    /// Its code object.
    pub code: Py<PyCode>,
    /// What is known of that.
    pub info: Arc<CodeInfo>,
    /// How it is started.
    pub start: Start,
}

/// Checks a decoded snapshot against the code that came with it; the frames of each stack.
pub fn prepare(
    py: Python<'_>,
    snapshot: &Snapshot,
    objects: &Objects,
) -> Result<Vec<Vec<Prepared>>, MorphError> {
    let mut stacks = Vec::with_capacity(snapshot.stacks.len());
    let mut first = 0;
    for stack in &snapshot.stacks {
        let end = (stack.frames as usize).checked_add(first);
        let states = end.and_then(|end| snapshot.frames.get(first..end));
        let states = states.ok_or_else(|| MorphError::Misfit {
            frame: first,
            what: "there are fewer frames than the stacks have".into(),
        })?;
        stacks.push(prepare_stack(py, states, first, objects)?);
        first += states.len();
    }
    if stacks.is_empty() || first != snapshot.frames.len() {
        let what = "there are no frames, or some that belong to no stack".into();
        return Err(MorphError::Misfit { frame: first, what });
    }
    Ok(stacks)
}

fn prepare_stack(
    py: Python<'_>,
    states: &[FrameState],
    first: usize,
    objects: &Objects,
) -> Result<Vec<Prepared>, MorphError> {
    let last = states.len().wrapping_sub(1);
    let mut prepared: Vec<Prepared> = Vec::with_capacity(states.len());
    for (at, state) in states.iter().enumerate() {
        let index = first + at;
        let frame = prepare_frame(py, state, objects, index)?;
        let follows_again = prepared
            .last()
            .is_some_and(|caller| caller.state.entry.is_again());
        let misfit = |what: &str| MorphError::Misfit {
            frame: index,
            what: what.into(),
        };
        let goes_on = prepared
            .last()
            .is_some_and(|caller| matches!(caller.state.entry, Entry::Sent(_) | Entry::Closed(_)));
        if matches!(frame.start, Start::Generator(_)) && !follows_again && !goes_on {
            return Err(misfit("it belongs to a generator that nobody waits for"));
        }
        if at == last && state.entry.is_again() {
            return Err(misfit("the call that stopped the program cannot be made again"));
        }
        prepared.push(frame);
    }
    if prepared.is_empty() {
        return Err(MorphError::Misfit {
            frame: first,
            what: "there are no frames".into(),
        });
    }
    Ok(prepared)
}

fn prepare_frame(
    py: Python<'_>,
    state: &FrameState,
    objects: &Objects,
    index: usize,
) -> Result<Prepared, MorphError> {
    let code: Bound<'_, PyCode> = objects.typed(py, state.code, index, "code object")?;
    let info = CodeInfo::of(&code)?;
    check_fit(state, objects, &info, index)?;
    let unit = u32::try_from(state.instruction).ok();
    let instruction = unit.and_then(|unit| info.facts.instruction_covering(unit));
    let deepest = instruction.and_then(|instruction| info.facts.depth_before(&instruction));
    let named = u32::try_from(state.named).ok();
    let fits = instruction.is_some_and(|instruction| {
        let is_named = match (state.entry, named) {
            // It may have been about to begin.
            (Entry::Between(next), None) => state.named == -1 && unit == Some(next),
            (Entry::Between(next), Some(named)) => named < info.facts.len() && unit == Some(next),
            // A call of 3.11 may be at the PRECALL in front of it.
            (_, Some(named)) => (info.facts.reexecute_from(&instruction)..instruction.next).contains(&named),
            (_, None) => false,
        };
        Some(instruction.unit) == unit && is_named
    }) && deepest.is_some_and(|deepest| state.stack.len() <= usize::from(deepest));
    if !fits {
        let what = format!(
            "no instruction at {} with {} values",
            state.instruction,
            state.stack.len()
        );
        return Err(MorphError::Misfit { frame: index, what });
    }
    match state.entry {
        Entry::Instance(id)
        | Entry::Raise(id)
        | Entry::AgainCached(id)
        | Entry::Sent(id)
        | Entry::Kept { by: id, .. }
        | Entry::Either { value: id, .. } => {
            objects.typed::<PyAny>(py, id, index, "value of its entry")?;
        }
        Entry::Closed(id) => {
            objects.typed::<PyTuple>(py, id, index, "generators that are closed")?;
        }
        _ => {}
    }
    if let Entry::AgainOver { items, .. } | Entry::Item { items, .. } | Entry::First(items) = state.entry {
        objects.typed::<PyList>(py, items, index, "items that were given")?;
    }
    if let Entry::Rest { with, .. } = state.entry {
        objects.typed::<PyTuple>(py, with, index, "tuple of its entry")?;
    }
    let globals: Bound<'_, PyDict> = objects.typed(py, state.globals, index, "globals")?;
    let start = if let Some(generator) = state.generator {
        let generator: Bound<'_, PyAny> = objects.typed(py, generator, index, "generator")?;
        if Generator::new(&generator)
            .and_then(|generator| generator.frame())
            .is_none()
        {
            return Err(MorphError::Misfit {
                frame: index,
                what: "its generator has no frame".into(),
            });
        }
        Start::Generator(generator.unbind())
    } else if info.is_function() {
        let function = match state.function {
            Some(function) => objects.typed(py, function, index, "function")?,
            None => {
                let cells = &state.slots[state.slots.len() - info.free..];
                function_of(py, &code, &globals, cells, objects, index)?
            }
        };
        Start::Call(function.unbind())
    } else {
        let namespace = match state.namespace {
            Some(namespace) => objects.typed(py, namespace, index, "namespace")?,
            None => globals.clone().into_any(),
        };
        let cells = &state.slots[state.slots.len() - info.free..];
        let closure = closure_of(py, cells, objects, index)?.map(Bound::unbind);
        Start::Body(
            code.clone().unbind(),
            globals.unbind(),
            namespace.unbind(),
            closure,
        )
    };
    Ok(Prepared {
        state: state.clone(),
        code: code.unbind(),
        info,
        start,
    })
}

/// What every captured frame, running or suspended, must keep to.
pub(crate) fn check_fit(
    state: &FrameState,
    objects: &Objects,
    info: &CodeInfo,
    index: usize,
) -> Result<(), MorphError> {
    check_slots(state, objects, info, index)?;
    let misfit = |what: String| MorphError::Misfit { frame: index, what };
    if state.stack.len() > info.stack_size {
        return Err(misfit(format!(
            "{} values on a stack of {}",
            state.stack.len(),
            info.stack_size
        )));
    }
    let progress = match state.entry {
        Entry::Between(_) => Progress::Ahead,
        _ => Progress::Begun,
    };
    let stacks = KeptStacks { state, objects };
    info.facts
        .check_stacks(state.instruction, progress, &stacks, state.stack.len() as u16)
        .map_err(|error| misfit(error.to_string()))
}

/// What every captured frame must keep to, also one that is over.
pub(crate) fn check_slots(
    state: &FrameState,
    objects: &Objects,
    info: &CodeInfo,
    index: usize,
) -> Result<(), MorphError> {
    if state.slots.len() != info.slots {
        let what = format!("{} slots, not {}", state.slots.len(), info.slots);
        return Err(MorphError::Misfit { frame: index, what });
    }
    let handled = [state.handled.kind, state.handled.value, state.handled.traceback];
    let in_slots = state
        .slots
        .iter()
        .chain(&state.stack)
        .filter_map(|slot| match slot {
            Slot::Object(id) => Some(*id),
            _ => None,
        });
    for id in in_slots.chain(handled.into_iter().flatten()) {
        if id.0 as usize >= objects.objects.len() {
            return Err(MorphError::Object {
                frame: index,
                object: id.0,
                what: "value",
            });
        }
    }
    Ok(())
}

/// The stacks of a captured frame.
struct KeptStacks<'a> {
    state: &'a FrameState,
    objects: &'a Objects,
}

impl Stacks for KeptStacks<'_> {
    fn blocks(&self) -> Vec<Block> {
        self.state.blocks.clone()
    }

    fn peek(&self, place: usize) -> Peek {
        let Some(&slot) = self.state.stack.get(place) else {
            return Peek::Object;
        };
        Python::attach(|py| self.objects.slot(slot, py).peek())
    }
}

/// A function with this code whose closure is these cells: CPython up to 3.10 keeps no function in
/// a frame.
pub(crate) fn function_of<'py>(
    py: Python<'py>,
    code: &Bound<'py, PyCode>,
    globals: &Bound<'py, PyDict>,
    cells: &[Slot],
    objects: &Objects,
    index: usize,
) -> Result<Bound<'py, PyFunction>, MorphError> {
    let closure = closure_of(py, cells, objects, index)?;
    let name = code.getattr("co_name")?;
    let kind = py.get_type::<PyFunction>();
    let function = kind.call1((code, globals, name, py.None(), closure))?;
    Ok(function.cast_into::<PyFunction>().map_err(PyErr::from)?)
}

/// The cells of a closure; `None` if there is none.
fn closure_of<'py>(
    py: Python<'py>,
    cells: &[Slot],
    objects: &Objects,
    index: usize,
) -> Result<Option<Bound<'py, PyTuple>>, MorphError> {
    if cells.is_empty() {
        return Ok(None);
    }
    let cells = cells
        .iter()
        .map(|cell| objects.slot(*cell, py).object().filter(is_cell));
    let cells = cells
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| MorphError::Misfit {
            frame: index,
            what: "a free variable is gone".into(),
        })?;
    Ok(Some(PyTuple::new(py, cells)?))
}

/// Calls a function with stand-ins for its arguments: what it would do with them is never run, or
/// only as far as the frame's own prologue.
pub fn call_with_stand_ins<'py>(function: &Bound<'py, PyFunction>) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let code = function.getattr("__code__")?.cast_into::<PyCode>()?;
    let info = CodeInfo::of(&code)?;
    let names = code.getattr("co_varnames")?.cast_into::<PyTuple>()?;
    /// `CO_ASYNC_GENERATOR`.
    const ASYNC_GENERATOR: u32 = 0x200;
    let is_async = code.getattr("co_flags")?.extract::<u32>()? & ASYNC_GENERATOR != 0;
    let stand_in = |name: Bound<'py, PyAny>| -> PyResult<Bound<'py, PyAny>> {
        // A comprehension's first iterator may be asked for its own at once.
        let iterator = name.eq(".0")?;
        if iterator && is_async {
            // It may be asked by `for` or by `async for`.
            return import(py, "pyteleport.generators")?.getattr("FIRST");
        }
        Ok(if iterator {
            PyTuple::empty(py).into_any()
        } else {
            py.None().into_bound(py)
        })
    };
    let positional = names.iter().take(info.positional).map(stand_in);
    let positional = PyTuple::new(py, positional.collect::<PyResult<Vec<_>>>()?)?;
    if info.keyword_only == 0 {
        return function.call1(positional);
    }
    let keywords = PyDict::new(py);
    for name in names.iter().skip(info.positional).take(info.keyword_only) {
        keywords.set_item(name, py.None())?;
    }
    function.call(positional, Some(&keywords))
}

/// Makes `object` the frame object of a fresh frame that is to become this captured one; the frame that is to be
/// evaluated then.
pub fn make_known<'py>(
    frame: RunningFrame<'py>,
    prepared: &Prepared,
    object: &Bound<'py, PyAny>,
    index: usize,
) -> Result<RunningFrame<'py>, MorphError> {
    let code = frame.code();
    if !code.is(prepared.code.bind(object.py())) {
        // An equal one, which has to be as large.
        let info = CodeInfo::of(&code)?;
        if (info.slots, info.stack_size) != (prepared.info.slots, prepared.info.stack_size) {
            let what = "its code needs another number of places here".into();
            return Err(MorphError::Misfit { frame: index, what });
        }
    }
    Ok(frame.become_known_as(object, prepared.info.slots)?)
}

/// Turns a fresh frame into a captured one, its instruction in progress.
pub fn morph(
    py: Python<'_>,
    frame: RunningFrame<'_>,
    prepared: &Prepared,
    objects: &Objects,
) -> Result<(), MorphError> {
    let Prepared { state, info, .. } = prepared;
    if !info.is_function() {
        refill_namespace(py, frame, prepared)?;
    }
    write_fields(py, frame, state, info, objects);
    frame.stand_at(match state.entry {
        Entry::Between(_) => state.named,
        _ => state.instruction,
    });
    let generator = frame.generator().as_ref().and_then(Generator::new);
    if let Some(generator) = generator {
        generator.handled().write(py, objects.handled(py, &state.handled));
    }
    Ok(())
}

/// The body of a class gets its namespace from whoever makes the class, who keeps it: it is filled,
/// not replaced.
fn refill_namespace(py: Python<'_>, frame: RunningFrame<'_>, prepared: &Prepared) -> Result<(), MorphError> {
    let Start::Body(_, _, captured, _) = &prepared.start else {
        return Ok(());
    };
    let Some(fresh) = frame.namespace().filter(|fresh| !fresh.is(captured.bind(py))) else {
        return Ok(());
    };
    fresh.call_method0("clear")?;
    fresh.call_method1("update", (captured,))?;
    Ok(())
}

pub(crate) fn write_fields(
    py: Python<'_>,
    frame: RunningFrame<'_>,
    state: &FrameState,
    info: &CodeInfo,
    objects: &Objects,
) {
    frame.clear_stack(info.slots);
    for (index, slot) in state.slots.iter().enumerate() {
        frame.write_local(index, objects.slot(*slot, py));
    }
    for slot in &state.stack {
        frame.push(info.slots, objects.slot(*slot, py));
    }
    frame.write_blocks(&state.blocks);
}

/// `SETUP_FINALLY` as 3.8–3.10 number it: the kind of block that `with` sets up.
const SETUP_FINALLY: i32 = 122;

/// The block that a `with` statement opens once its `__enter__` has returned, where there are
/// blocks: the handler's place is in CPython's unit.
pub fn with_block(prepared: &Prepared) -> Option<Block> {
    if matches!(CURRENT.frame.blocks, Blocks::ExceptionTable) {
        return None;
    }
    let unit = u32::try_from(prepared.state.instruction).ok()?;
    let target = prepared.info.facts.instruction_covering(unit)?.target?;
    Some(Block {
        kind: SETUP_FINALLY,
        handler: (2 * target / u32::from(CURRENT.code.jump_bytes)) as i32,
        level: prepared.state.stack.len() as i32,
    })
}

/// Whether the instruction loads what is going to be called, with a NULL beside it.
pub fn loads_for_a_call(instruction: &Instruction) -> bool {
    results(instruction) == 2
}

/// Pushes what WITH_CLEANUP_START (3.8) has below the exit method's answer: the class of the exception
/// once more, None where nothing was raised.
pub fn repeat_what_was_raised(py: Python<'_>, frame: RunningFrame<'_>, slots: usize) {
    let top = frame.stored_depth(slots).unwrap_or(0).checked_sub(1);
    let raised = top.and_then(|top| frame.read_slot(slots + top).object());
    let raised = raised.unwrap_or_else(|| py.None().into_bound(py));
    frame.push(slots, SlotValue::Object(raised));
}

/// Puts the exit method where `with` keeps it, once `__enter__` has returned: on 3.12 and 3.13 the
/// manager itself lies there meanwhile, and CPython has the method in C.
pub fn leave_exit_method(frame: RunningFrame<'_>, slots: usize, is_async: bool) -> PyResult<()> {
    if CURRENT.operands.entering != Entering::Manager {
        return Ok(());
    }
    let SlotValue::Object(manager) = frame.pop(slots) else {
        return Ok(());
    };
    let kind = manager.get_type();
    let name = if is_async { "__aexit__" } else { "__exit__" };
    let exit = lookup_on_type(&kind, name).ok_or_else(|| PyAttributeError::new_err(name))?;
    let exit = match exit.get_type().getattr_opt("__get__")? {
        Some(bind) => bind.call1((exit, manager, kind))?,
        None => exit,
    };
    frame.push(slots, SlotValue::Object(exit));
    Ok(())
}
