//! Running frames, and suspended generators, as data. Changes nothing.

use crate::code::{Instruction, Progress};
use crate::cpython::codeobject::CodeInfo;
use crate::cpython::frame::RunningFrame;
use crate::cpython::generator::{Generator, GeneratorState};
use crate::cpython::slot::SlotValue;
use crate::cpython::thread::{HandledValues, ThreadState};
use crate::delegation;
use crate::entry::signal::{goes_on_at, is_handler, Suspicion};
use crate::entry::wait::{wait_of, Left};
use crate::entry::{explain, explain_rest, explain_standing, Callee, Consumer, Explained, Refusal};
use crate::error::{CaptureError, Site};
use crate::position::{site_of, Position};
use crate::snapshot::{Entry, FrameState, Handled, ObjectId, Slot, Snapshot};
use crate::threads::{stopped_at, Stand};
use crate::waiting::{self, Found, LiveEntry};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat};
use std::collections::HashMap;
use std::sync::Arc;

/// Where an object of a snapshot was found first, for messages.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A local, a cell or a free variable, by its slot.
    Slot(usize),
    /// The value stack.
    Stack,
    /// What belongs to the frame itself: its code, function, globals.
    Frame,
}

/// The objects of a snapshot, each once, in the order in which they were met.
#[derive(Default)]
pub struct ObjectTable {
    ids: HashMap<usize, ObjectId>,
    objects: Vec<Py<PyAny>>,
    places: Vec<(u32, Place)>,
}

impl ObjectTable {
    fn id(&mut self, object: Bound<'_, PyAny>, frame: usize, place: Place) -> ObjectId {
        *self.ids.entry(object.as_ptr() as usize).or_insert_with(|| {
            let id = ObjectId(self.objects.len() as u32);
            self.objects.push(object.unbind());
            self.places.push((frame as u32, place));
            id
        })
    }

    fn slot(&mut self, value: SlotValue<'_>, frame: usize, place: Place) -> Slot {
        match value {
            SlotValue::Null => Slot::Null,
            SlotValue::Object(object) => Slot::Object(self.id(object, frame, place)),
            SlotValue::Tagged(number) => Slot::Tagged(number),
        }
    }

    pub(crate) fn handled(&mut self, py: Python<'_>, values: HandledValues, frame: usize) -> Handled {
        let mut id = |object: Option<Py<PyAny>>| {
            object.map(|object| self.id(object.into_bound(py), frame, Place::Frame))
        };
        Handled {
            kind: id(values.kind),
            value: id(values.value),
            traceback: id(values.traceback),
        }
    }

    /// The objects, by their [`ObjectId`].
    pub fn into_objects(self) -> Vec<Py<PyAny>> {
        self.objects
    }

    /// The objects, by their [`ObjectId`].
    pub fn objects(&self) -> &[Py<PyAny>] {
        &self.objects
    }

    /// Where each was met first: the frame's index, outermost first, and the place in it.
    pub fn places(&self) -> &[(u32, Place)] {
        &self.places
    }
}

/// The stopped stacks, read.
pub struct Captured<'py> {
    /// The frames as data.
    pub snapshot: Snapshot,
    /// Their objects.
    pub table: ObjectTable,
    /// The frames themselves, outermost first.
    pub frames: Vec<RunningFrame<'py>>,
    /// Whose the stacks are.
    pub threads: Vec<ThreadState<'py>>,
    /// The index of the main thread's stack.
    pub main: usize,
}

/// One frame of the stack, with what is known of its code.
pub(crate) struct Read<'py> {
    pub frame: RunningFrame<'py>,
    pub info: Arc<CodeInfo>,
    /// It stands suspended, while something that was thrown into it passes on to what it delegates to.
    pub stands: bool,
}

impl<'py> Read<'py> {
    pub fn new(frame: RunningFrame<'py>) -> Result<Self, CaptureError> {
        Ok(Self {
            frame,
            info: CodeInfo::of(&frame.code())?,
            stands: delegation::standing(frame).is_some(),
        })
    }

    pub fn site(&self) -> Box<Site> {
        Box::new(site_of(self.frame, &self.info))
    }
}

/// Reads a frame that waits for `callee`.
pub(crate) fn read_waiting<'py>(
    py: Python<'py>,
    read: &Read<'py>,
    callee: RunningFrame<'py>,
    table: &mut ObjectTable,
    index: usize,
) -> Result<FrameState, CaptureError> {
    let Read { frame, info, stands } = read;
    let found = waiting::entry_of(py, *frame, callee);
    let (position, explained) = match (&found, stands) {
        (Found::NotWaiting, false) => read_running(py, read, callee, &found)?,
        (Found::Entry(LiveEntry::Between(next)) | Found::Handlers(LiveEntry::Between(next)), _) => {
            let next = info.facts.instruction_covering(*next);
            explain_waiting(py, read, callee, &found, next)?
        }
        _ => explain_waiting(py, read, callee, &found, None)?,
    };
    let instruction = position.instruction;
    let entry = match explained.entry {
        LiveEntry::Value => Entry::Value,
        LiveEntry::Instance(instance) => {
            Entry::Instance(table.id(instance.into_bound(py), index, Place::Stack))
        }
        LiveEntry::Discard => Entry::Discard,
        LiveEntry::WithEnter => Entry::WithEnter,
        LiveEntry::WithExit => Entry::WithExit,
        LiveEntry::Again => Entry::Again,
        LiveEntry::AgainCached(cache) => {
            Entry::AgainCached(table.id(cache.into_bound(py), index, Place::Stack))
        }
        LiveEntry::AgainOver { items, source } => Entry::AgainOver {
            items: table.id(items.into_bound(py), index, Place::Stack),
            source: table.id(source.into_bound(py), index, Place::Stack),
        },
        LiveEntry::First(items) => Entry::First(table.id(items.into_bound(py), index, Place::Stack)),
        LiveEntry::Item { items, over, decides } => {
            let mut id = |object: Py<PyAny>| table.id(object.into_bound(py), index, Place::Stack);
            Entry::Item {
                items: id(items),
                over: over.map(|(operand, source)| (id(operand), id(source))),
                decides: decides.map(|(when, item)| (when, id(item))),
            }
        }
        LiveEntry::OnTop => Entry::OnTop,
        LiveEntry::Sent(driver) => Entry::Sent(table.id(driver.into_bound(py), index, Place::Stack)),
        LiveEntry::Closed(path) => Entry::Closed(table.id(path.into_bound(py), index, Place::Stack)),
        LiveEntry::Raise(instance) => Entry::Raise(table.id(instance.into_bound(py), index, Place::Stack)),
        LiveEntry::Jumped => Entry::Jumped,
        LiveEntry::Repeat => Entry::Repeat,
        LiveEntry::Between(next) => Entry::Between(next),
        LiveEntry::Import => Entry::Import,
        LiveEntry::Imported => Entry::Imported,
        LiveEntry::Rest { rest, step, with } => Entry::Rest {
            rest,
            step,
            with: table.id(with.into_bound(py).into_any(), index, Place::Stack),
        },
        LiveEntry::Either { when, value } => Entry::Either {
            when,
            value: table.id(value.into_bound(py), index, Place::Stack),
        },
        LiveEntry::Kept { by, item } => Entry::Kept {
            by: table.id(by.into_bound(py), index, Place::Stack),
            item: item.map(|item| table.id(item.into_bound(py), index, Place::Stack)),
        },
    };
    let mut state = read_fields(*frame, info, explained.keep, table, index);
    if let Some(place) = explained.emptied {
        state.stack[place] = Slot::Null;
    }
    if let Some((place, operand)) = explained.given_back {
        let operand = table.slot(SlotValue::Object(operand.into_bound(py)), index, Place::Stack);
        match state.stack.get_mut(place) {
            Some(slot) => *slot = operand,
            None => state.stack.push(operand),
        }
    }
    state.instruction = instruction.unit as i32;
    if *stands {
        state.named = state.instruction;
    }
    state.entry = entry;
    read_generator_of(py, *frame, &mut state, table, index);
    Ok(state)
}

/// Reads the generator that runs in a frame, and what it handles.
fn read_generator_of<'py>(
    py: Python<'py>,
    frame: RunningFrame<'py>,
    state: &mut FrameState,
    table: &mut ObjectTable,
    index: usize,
) {
    let generator = frame.generator();
    let handled = generator.as_ref().and_then(Generator::new);
    let handled = handled.map_or_else(HandledValues::default, |generator| generator.handled().read(py));
    state.generator = generator.map(|object| table.id(object, index, Place::Frame));
    state.handled = table.handled(py, handled, index);
}

/// Reads the innermost frame of a thread that stands.
pub(crate) fn read_standing<'py>(
    py: Python<'py>,
    read: &Read<'py>,
    stand: Stand,
    table: &mut ObjectTable,
    index: usize,
) -> Result<FrameState, CaptureError> {
    let Read { frame, info, .. } = read;
    let mut state = match stand {
        Stand::Waits(call) => {
            let position = Position::of(*frame, info)?;
            let caller = position.caller(py, *frame, info);
            let wait = wait_of(&caller)?.ok_or_else(|| CaptureError::Moved { site: read.site() })?;
            let mut state = read_fields(*frame, info, position.depth, table, index);
            let mut place = |place: usize, object: Bound<'py, PyAny>| {
                state.stack[place] = table.slot(SlotValue::Object(object), index, Place::Stack);
            };
            if let Some(operand) = wait.given_back {
                place(position.depth - 1, operand);
            }
            if let Some(timeout) = wait.timeout {
                let left = match timeout.left {
                    Left::Of(longest) => call.seconds_left(py, longest)?,
                    Left::None => Some(0.0),
                };
                if let Some(left) = left {
                    place(timeout.place, PyFloat::new(py, left).into_any());
                }
            }
            state.instruction = position.instruction.unit as i32;
            state.entry = Entry::Repeat;
            state
        }
        Stand::Parked | Stand::Empty => {
            let position = stopped_at(*frame, info)?;
            let mut state = read_fields(*frame, info, position.depth, table, index);
            state.instruction = position.instruction.unit as i32;
            state.named = state.instruction;
            state.entry = Entry::Between(position.instruction.unit);
            state
        }
    };
    read_generator_of(py, *frame, &mut state, table, index);
    Ok(state)
}

/// How a frame that runs waits for `callee`.
fn read_running<'py>(
    py: Python<'py>,
    read: &Read<'py>,
    callee: RunningFrame<'py>,
    found: &Found,
) -> Result<(Position, Explained), CaptureError> {
    let Read { frame, info, .. } = read;
    let called = Callee::of(callee, true);
    let goes_on_at = |suspicion| {
        goes_on_at(py, *frame, info, &called, suspicion)
            .map_err(|refusal| refused(refusal, site_or_none(callee), read.site(), 0, 0, ""))
    };
    let next = goes_on_at(Suspicion::Handler)?;
    let explained = explain_waiting(py, read, callee, found, next);
    let Err(refusal) = explained else {
        return explained;
    };
    match next.is_none().then(|| goes_on_at(Suspicion::Any)).transpose()? {
        Some(Some(next)) => explain_waiting(py, read, callee, found, Some(next)),
        _ => Err(refusal),
    }
}

/// Where a frame stands, and what that has to do with `callee`; given the next instruction where that is what
/// it stands at.
fn explain_waiting<'py>(
    py: Python<'py>,
    read: &Read<'py>,
    callee: RunningFrame<'py>,
    found: &Found,
    next: Option<Instruction>,
) -> Result<(Position, Explained), CaptureError> {
    let Read { frame, info, stands } = read;
    let position = match (stands, next) {
        (true, _) => Position::of_standing(*frame, info)?,
        (false, Some(next)) => Position::at(*frame, info, next, Progress::Ahead)?,
        (false, None) => match Position::of(*frame, info) {
            Err(CaptureError::Nowhere { site: caller }) => {
                // Not begun, or somewhere between: nothing of it has called anything.
                let callee = CodeInfo::of(&callee.code()).map(|info| site_of(callee, &info))?;
                return Err(CaptureError::Unexplained {
                    callee: Box::new(callee),
                    caller,
                    instruction: "nothing yet".into(),
                });
            }
            position => position?,
        },
    };
    let Position {
        instruction,
        stored,
        depth,
        expected,
        is_certain,
    } = position;
    let refuse = |refusal| {
        let name = instruction.op.name();
        refused(refusal, site_or_none(callee), read.site(), depth, expected, name)
    };
    if !is_certain {
        // The instruction has changed the stacks, and is not through: it calls nothing then.
        return Err(refuse(Refusal::Unexplained));
    }
    let explained = match found {
        Found::Entry(entry) => Explained::with(entry.clone_ref(py), depth),
        Found::Called(entry, called, arguments) => {
            let called_by_hook = (called.bind(py), arguments.bind(py));
            let entry = entry.clone_ref(py);
            explain_rest(&Callee::of(callee, true), entry, called_by_hook, depth).map_err(refuse)?
        }
        Found::Handlers(entry) if is_handler(py, *frame, &Callee::of(callee, true))? => {
            Explained::with(entry.clone_ref(py), depth)
        }
        Found::Handlers(_) | Found::ForAnother => return Err(refuse(Refusal::Unexplained)),
        Found::NotWaiting if next.is_some() => Explained::with(LiveEntry::Between(instruction.unit), depth),
        Found::NotWaiting => {
            let caller = position.caller(py, *frame, info);
            // An evaluator that leaves the depth in a register has called a C function.
            let callee_stands = delegation::standing(callee).is_some();
            let from_c = callee.entered_from_c() || stored.is_none() || callee_stands;
            let called = Callee::of(callee, from_c);
            match stands {
                true => explain_standing(&caller, &called).map_err(refuse)?,
                false => explain(&caller, &called).map_err(refuse)?,
            }
        }
    };
    Ok((position, explained))
}

/// Where a frame stands, in words, as far as there are any.
fn site_or_none(frame: RunningFrame<'_>) -> Box<Site> {
    let info = CodeInfo::of(&frame.code());
    Box::new(info.map_or_else(
        |_| Site {
            function: "?".into(),
            file: "?".into(),
            line: 0,
        },
        |info| site_of(frame, &info),
    ))
}

/// Whether a frame waits for C code that goes through a source of items and could be run again.
pub(crate) fn consumes<'py>(py: Python<'py>, frame: RunningFrame<'py>) -> bool {
    let Ok(info) = CodeInfo::of(&frame.code()) else {
        return false;
    };
    let position = Position::of(frame, &info).ok();
    let position = position.filter(|position| position.is_certain);
    position.is_some_and(|position| Consumer::of(&position.caller(py, frame, &info)).is_some())
}

/// The fields that all frames have, with `depth` values of the stack.
fn read_fields<'py>(
    frame: RunningFrame<'py>,
    info: &CodeInfo,
    depth: usize,
    table: &mut ObjectTable,
    index: usize,
) -> FrameState {
    let is_function = info.is_function();
    FrameState {
        code: table.id(frame.code().into_any(), index, Place::Frame),
        // The function of a module's or a class's body was made for it by CPython, which makes
        // another one when the body is run again.
        function: frame
            .function()
            .filter(|_| is_function)
            .map(|function| table.id(function, index, Place::Frame)),
        globals: table.id(frame.globals(), index, Place::Frame),
        namespace: frame
            .namespace()
            .filter(|_| !is_function)
            .map(|namespace| table.id(namespace, index, Place::Frame)),
        generator: None,
        instruction: frame.raw_instruction(),
        named: frame.raw_instruction(),
        slots: (0..info.slots)
            .map(|slot| table.slot(frame.read_slot(slot), index, Place::Slot(slot)))
            .collect(),
        stack: (0..depth)
            .map(|place| table.slot(frame.read_slot(info.slots + place), index, Place::Stack))
            .collect(),
        blocks: frame.blocks(),
        handled: Handled::default(),
        entry: Entry::Value,
        suspended: None,
    }
}

fn refused(
    refusal: Refusal,
    callee: Box<Site>,
    caller: Box<Site>,
    found: usize,
    expected: usize,
    instruction: &str,
) -> CaptureError {
    match refusal {
        Refusal::Boundary(c_function) => CaptureError::Boundary {
            callee,
            c_function,
            caller,
        },
        Refusal::Unexplained => CaptureError::Unexplained {
            callee,
            caller,
            instruction: instruction.into(),
        },
        Refusal::Instance => CaptureError::Instance { callee },
        Refusal::Depth => CaptureError::DepthMismatch {
            site: caller,
            found,
            expected,
        },
        Refusal::Python(error) => CaptureError::Python(error),
    }
}

/// A generator or coroutine that is not on any stack, and its objects.
pub fn read_generator<'py>(generator: &Generator<'py>) -> Result<(FrameState, ObjectTable), CaptureError> {
    let py = generator.object().py();
    let refuse = |reason| CaptureError::Generator {
        generator: name_of(generator),
        reason,
    };
    let stands = generator.is_standing();
    let frame = match (generator.state(), generator.frame()) {
        (GeneratorState::Running, Some(frame)) if stands => frame,
        (GeneratorState::Running, _) => return Err(refuse("runs on a stack that is not captured")),
        (GeneratorState::Created | GeneratorState::Suspended, Some(frame)) => frame,
        _ => return Err(refuse("is over and has no frame")),
    };
    let info = CodeInfo::of(&frame.code())?;
    let depth = frame.stored_depth(info.slots);
    let depth = depth.ok_or_else(|| refuse("is suspended, but the depth of its stack is not known"))?;
    if depth > info.stack_size {
        let site = Box::new(site_of(frame, &info));
        return Err(CaptureError::DepthMismatch {
            site,
            found: depth,
            expected: info.stack_size,
        });
    }
    let mut table = ObjectTable::default();
    let mut state = read_fields(frame, &info, depth, &mut table, 0);
    state.handled = table.handled(py, generator.handled().read(py), 0);
    state.suspended = match stands {
        true => generator.delegating_state(),
        false => generator.raw_state(),
    };
    Ok((state, table))
}

/// A frame that is over, and its objects; without its variables if these are not wanted.
pub fn read_frame_that_is_over(
    frame: RunningFrame<'_>,
    with_variables: bool,
) -> Result<(FrameState, ObjectTable), CaptureError> {
    let info = CodeInfo::of(&frame.code())?;
    let mut table = ObjectTable::default();
    let mut state = read_fields(frame, &info, 0, &mut table, 0);
    if !with_variables {
        table = ObjectTable::default();
        state.code = table.id(frame.code().into_any(), 0, Place::Frame);
        state.globals = table.id(frame.globals(), 0, Place::Frame);
        state.namespace = None;
        state.slots.fill(Slot::Null);
    }
    (state.function, state.blocks) = (None, Vec::new());
    Ok((state, table))
}

fn name_of(generator: &Generator<'_>) -> String {
    let object = generator.object();
    let name = object
        .getattr("__qualname__")
        .and_then(|name| name.extract::<String>());
    let kind = object
        .get_type()
        .name()
        .map_or_else(|_| "generator".into(), |name| name.to_string());
    format!("{kind} {}", name.unwrap_or_else(|_| "?".into()))
}

/// The frames by the address of their frame objects, as far as they have one.
pub fn frame_objects<'py>(py: Python<'py>, captured: &Captured<'py>) -> PyResult<Bound<'py, PyDict>> {
    let by_address = PyDict::new(py);
    for (index, frame) in captured.frames.iter().enumerate() {
        if let Some(object) = frame.frame_object() {
            by_address.set_item(object.as_ptr() as usize, index)?;
        }
    }
    Ok(by_address)
}
