//! Running frames, and suspended generators, as data. Changes nothing.

use crate::code::{Instruction, Peek, Stacks};
use crate::cpython::codeobject::CodeInfo;
use crate::cpython::frame::RunningFrame;
use crate::cpython::generator::{Generator, GeneratorState};
use crate::cpython::slot::SlotValue;
use crate::cpython::thread::{HandledItem, HandledValues, ThreadState};
use crate::entry::{explain, explain_rest, Callee, Caller, Consumer, Explained, Refusal};
use crate::error::{CaptureError, Site};
use crate::snapshot::{Block, Entry, FrameState, Handled, ObjectId, Slot, Snapshot};
use crate::waiting::{self, Found, LiveEntry};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::cell::Cell;
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
    /// The frames' index by the address of their frame objects.
    frames: HashMap<usize, usize>,
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
            SlotValue::Object(object) => match self.frames.get(&(object.as_ptr() as usize)) {
                // It is there again before this frame is.
                Some(&other) if other < frame => Slot::Frame(other as u32),
                _ => Slot::Object(self.id(object, frame, place)),
            },
            SlotValue::Tagged(number) => Slot::Tagged(number),
        }
    }

    fn handled(&mut self, py: Python<'_>, values: HandledValues, frame: usize) -> Handled {
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

/// A stopped stack, read.
pub struct Captured<'py> {
    /// The frames as data.
    pub snapshot: Snapshot,
    /// Their objects.
    pub table: ObjectTable,
    /// The frames themselves, outermost first.
    pub frames: Vec<RunningFrame<'py>>,
}

/// One frame of the stack, with what is known of its code.
struct Read<'py> {
    frame: RunningFrame<'py>,
    info: Arc<CodeInfo>,
}

/// Reads the calling thread's stack, below the innermost frames that `ours` knows as pyteleport's.
pub fn read_stack<'py>(
    py: Python<'py>,
    ours: impl Fn(&RunningFrame<'py>) -> bool,
) -> Result<Captured<'py>, CaptureError> {
    let thread = ThreadState::current(py);
    let mut above = None;
    let mut next = thread.frame();
    while let Some(frame) = next.filter(&ours) {
        above = Some(frame);
        next = frame.back();
    }
    let mut inner_first = Vec::new();
    while let Some(frame) = next {
        inner_first.push(Read {
            frame,
            info: CodeInfo::of(&frame.code())?,
        });
        next = frame.back();
    }
    let (Some(above), false) = (above, inner_first.is_empty()) else {
        return Err(CaptureError::NoFrame);
    };
    let base = base_handled(thread, &inner_first)?;

    let mut table = ObjectTable::default();
    let count = inner_first.len();
    for (index, read) in inner_first.iter().rev().enumerate() {
        if let Some(object) = read.frame.frame_object() {
            table.frames.insert(object.as_ptr() as usize, index);
        }
    }
    let mut frames = Vec::with_capacity(count);
    for index in 0..count {
        // Outermost first.
        let at = count - 1 - index;
        let callee = if at == 0 { above } else { inner_first[at - 1].frame };
        frames.push(read_waiting(py, &inner_first[at], callee, &mut table, index)?);
    }
    let handled = table.handled(py, base.read(py), 0);
    Ok(Captured {
        snapshot: Snapshot { frames, handled },
        table,
        frames: inner_first.iter().rev().map(|read| read.frame).collect(),
    })
}

/// The item of handled exceptions that the outermost frame runs under: the chain has one for each
/// generator that runs, and that one.
fn base_handled(thread: ThreadState<'_>, inner_first: &[Read<'_>]) -> Result<HandledItem, CaptureError> {
    let mut item = thread.handled();
    for read in inner_first {
        let Some(generator) = read.frame.generator().and_then(|object| Generator::new(&object)) else {
            continue;
        };
        if generator.handled() != item {
            return Err(CaptureError::HandledMismatch);
        }
        item = item.previous().ok_or(CaptureError::HandledMismatch)?;
    }
    Ok(item)
}

/// Reads a frame that waits for `callee`.
fn read_waiting<'py>(
    py: Python<'py>,
    read: &Read<'py>,
    callee: RunningFrame<'py>,
    table: &mut ObjectTable,
    index: usize,
) -> Result<FrameState, CaptureError> {
    let Read { frame, info } = read;
    let site = || Box::new(site_of(*frame, info));
    let standing = Standing::of(*frame, info).ok_or_else(|| CaptureError::Nowhere { site: site() })?;
    let Standing {
        instruction,
        stored,
        expected,
        ..
    } = standing;
    let depth = standing.depth();
    if depth > expected.max(info.stack_size) {
        return Err(CaptureError::DepthMismatch {
            site: site(),
            found: depth,
            expected,
        });
    }

    let refuse = |refusal| {
        let info = CodeInfo::of(&callee.code());
        let callee = Box::new(info.map_or_else(
            |_| Site {
                function: "?".into(),
                file: "?".into(),
                line: 0,
            },
            |info| site_of(callee, &info),
        ));
        refused(refusal, callee, site(), depth, expected, instruction.op.name())
    };
    if !standing.is_regular {
        // The instruction has changed the stacks, and is not through: it calls nothing then.
        return Err(refuse(Refusal::Unexplained));
    }
    let explained = match waiting::entry_of(py, *frame, callee) {
        Found::Entry(entry) => Explained::with(entry, depth),
        Found::Called(entry, called, arguments) => {
            let called_by_hook = (called.bind(py), arguments.bind(py));
            explain_rest(&Callee::of(callee, true), entry, called_by_hook, depth).map_err(refuse)?
        }
        Found::ForAnother => return Err(refuse(Refusal::Unexplained)),
        Found::NotWaiting => {
            let caller = standing.caller(py, *frame, info);
            // An evaluator that leaves the depth in a register has called a C function.
            let called = Callee::of(callee, callee.entered_from_c() || stored.is_none());
            explain(&caller, &called).map_err(refuse)?
        }
    };
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
        LiveEntry::AgainOver(items) => Entry::AgainOver(table.id(items.into_bound(py), index, Place::Stack)),
        LiveEntry::Raise(instance) => Entry::Raise(table.id(instance.into_bound(py), index, Place::Stack)),
        LiveEntry::Jumped => Entry::Jumped,
        LiveEntry::Repeat => Entry::Repeat,
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
    };
    let generator = frame.generator();
    let handled = generator
        .as_ref()
        .and_then(Generator::new)
        .map(|generator| generator.handled());
    let handled = handled.map_or_else(HandledValues::default, |item| item.read(py));
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
    state.entry = entry;
    state.generator = generator.map(|object| table.id(object, index, Place::Frame));
    state.handled = table.handled(py, handled, index);
    Ok(state)
}

/// Where a frame stands that waits for another one.
struct Standing {
    instruction: Instruction,
    /// The depth of its stack, where CPython has stored it.
    stored: Option<usize>,
    /// The depth that its code says it has before the instruction.
    expected: usize,
    /// Its stacks are as they are before the instruction.
    is_regular: bool,
}

impl Standing {
    fn of(frame: RunningFrame<'_>, info: &CodeInfo) -> Option<Self> {
        let raw = u32::try_from(frame.raw_instruction()).ok()?;
        let instruction = info.facts.instruction_covering(raw)?;
        let stored = frame.stored_depth(info.slots);
        let stacks = FrameStacks {
            frame,
            slots: info.slots,
            stored,
        };
        let deepest = info.facts.depth_before(&instruction)?;
        let found = info.facts.depth_in(&instruction, &stacks);
        Some(Self {
            instruction,
            stored,
            expected: usize::from(found.unwrap_or(deepest)),
            is_regular: found.is_some(),
        })
    }

    fn depth(&self) -> usize {
        self.stored.unwrap_or(self.expected)
    }

    fn caller<'a, 'py>(
        &self,
        py: Python<'py>,
        frame: RunningFrame<'py>,
        info: &'a CodeInfo,
    ) -> Caller<'a, 'py> {
        Caller {
            py,
            frame,
            info,
            instruction: self.instruction,
            depth: self.depth(),
            expected: self.expected,
            may_dangle: self.stored.is_none(),
            dangles: Cell::new(false),
        }
    }
}

/// Whether a frame waits for C code that goes through a source of items and could be run again.
pub(crate) fn consumes<'py>(py: Python<'py>, frame: RunningFrame<'py>) -> bool {
    let Ok(info) = CodeInfo::of(&frame.code()) else {
        return false;
    };
    let standing = Standing::of(frame, &info).filter(|standing| standing.is_regular);
    standing.is_some_and(|standing| Consumer::of(&standing.caller(py, frame, &info)).is_some())
}

/// The stacks of a frame that runs, as far as its depth depends on them.
struct FrameStacks<'py> {
    frame: RunningFrame<'py>,
    slots: usize,
    /// The depth, where CPython has stored it.
    stored: Option<usize>,
}

impl Stacks for FrameStacks<'_> {
    fn blocks(&self) -> Vec<Block> {
        self.frame.blocks()
    }

    fn peek(&self, place: usize) -> Peek {
        if self.stored.is_some_and(|depth| place >= depth) {
            return Peek::Object;
        }
        let slot = self.slots + place;
        match self.stored {
            Some(_) => self.frame.read_slot(slot).peek(),
            None => {
                let value = self.frame.read_slot_if_alive(slot);
                value.map_or(Peek::Object, |value| value.peek())
            }
        }
    }
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

/// Where a frame stands, in words.
pub fn site_of(frame: RunningFrame<'_>, info: &CodeInfo) -> Site {
    let code = frame.code();
    let text = |name: &str| {
        code.getattr(name)
            .and_then(|value| value.extract::<String>())
            .unwrap_or_else(|_| "?".into())
    };
    let raw = u32::try_from(frame.raw_instruction()).ok();
    let unit = raw
        .and_then(|unit| info.facts.instruction_covering(unit))
        .map_or(0, |at| at.unit);
    Site {
        function: text("co_name"),
        file: text("co_filename"),
        line: line_of(&code, unit).unwrap_or(0),
    }
}

/// The line of a code unit, by the table that every release has (PEP 626's or its forerunner's).
fn line_of(code: &Bound<'_, PyAny>, unit: u32) -> Option<u32> {
    let lines = code
        .py()
        .import("dis")
        .ok()?
        .call_method1("findlinestarts", (code,))
        .ok()?;
    let mut line = None;
    for pair in lines.try_iter().ok()? {
        let (start, number) = pair.ok()?.extract::<(u32, Option<u32>)>().ok()?;
        if start > 2 * unit {
            break;
        }
        line = number.or(line);
    }
    line
}

/// A generator or coroutine that is not on any stack, and its objects.
pub fn read_generator<'py>(generator: &Generator<'py>) -> Result<(FrameState, ObjectTable), CaptureError> {
    let py = generator.object().py();
    let refuse = |reason| CaptureError::Generator {
        generator: name_of(generator),
        reason,
    };
    let frame = match (generator.state(), generator.frame()) {
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
    state.suspended = generator.raw_state();
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
