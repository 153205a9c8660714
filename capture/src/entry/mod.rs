//! What the caller's instruction does with its callee's result, and whether it explains the callee.
//!
//! Between a frame and the one above it there may be C code, and it may have been entered by
//! anything: the call that the frame is at, or a finalizer that happens to run during it. So the
//! caller's instruction and its operands, which still lie on its stack, must *explain* the callee;
//! what they do not explain is refused. How the frame goes on when its callee returns is the
//! [`Entry`](crate::snapshot::Entry).

pub(crate) mod call;
mod callee;
mod class;
mod cleanup;
mod consumer;
pub(crate) mod import;
mod matching;
pub(crate) mod missing;
pub(crate) mod operation;
pub(crate) mod operator;
mod print;
mod reduce;
pub(crate) mod signal;
mod unpacking;
pub(crate) mod wait;

pub(crate) use callee::Callee;
pub(crate) use consumer::Consumer;

use crate::boundary::{self, Passage};
use crate::code::{Instruction, Op};
use crate::cpython::codeobject::CodeInfo;
use crate::cpython::frame::RunningFrame;
use crate::cpython::{Entering, CURRENT};
use crate::rest::{ClassRest, ClassStep};
use crate::snapshot::Rest;
use crate::waiting::LiveEntry;
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};
use signal::Suspicion;
use std::cell::Cell;

/// A frame that waits for the one above it.
pub(crate) struct Caller<'a, 'py> {
    pub py: Python<'py>,
    pub frame: RunningFrame<'py>,
    pub info: &'a CodeInfo,
    pub instruction: Instruction,
    /// How many values its stack holds.
    pub depth: usize,
    /// How many its code says it holds before the instruction.
    pub expected: usize,
    /// Whether CPython has not stored the depth: what lies on the stack may have been given up.
    pub may_dangle: bool,
    /// Whether something was asked for that has been given up: then the instruction is over.
    pub dangles: Cell<bool>,
}

/// How the callee was entered, and how much of the caller's stack outlives its return.
pub(crate) struct Explained {
    pub entry: LiveEntry,
    pub keep: usize,
    /// An operand that has left the caller's stack, for the instruction to find when it runs again, and
    /// its place.
    pub given_back: Option<(usize, Py<PyAny>)>,
    /// A place of the caller's stack that holds what will not be there when the instruction runs again.
    pub emptied: Option<usize>,
}

impl Explained {
    /// An entry that keeps so many values.
    pub fn with(entry: LiveEntry, keep: usize) -> Self {
        Self {
            entry,
            keep,
            given_back: None,
            emptied: None,
        }
    }
}

/// Why it could not be told.
pub(crate) enum Refusal {
    /// C code stands between: its name.
    Boundary(String),
    /// The instruction has nothing to do with the callee.
    Unexplained,
    /// A class was called, but its instance is not known.
    Instance,
    /// The stack is not as deep as it should be.
    Depth,
    /// CPython raised an exception.
    Python(PyErr),
}

impl From<PyErr> for Refusal {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl<'py> Caller<'_, 'py> {
    /// The operand `index` places below the top that the code gives the stack, 0 for the top.
    pub fn operand(&self, index: usize) -> Option<Bound<'py, PyAny>> {
        let place = self.expected.checked_sub(index + 1)?;
        // From 3.14 on an instruction may have dropped operands already, which then are beyond the
        // depth that CPython has stored.
        if place >= self.depth {
            return None;
        }
        let slot = self.info.slots + place;
        let value = match self.may_dangle {
            true => self.frame.read_slot_if_alive(slot),
            false => Some(self.frame.read_slot(slot)),
        };
        self.dangles.set(self.dangles.get() || value.is_none());
        value?.object()
    }

    /// Whether all operands that an entry keeps are still there.
    fn has_operands(&self, keep: usize) -> bool {
        let operands = self.below_result()..keep;
        let mut slots = operands.map(|place| self.info.slots + place);
        !self.may_dangle || slots.all(|slot| self.frame.read_slot_if_alive(slot).is_some())
    }

    /// Whether that operand is this very object. The slot may dangle.
    fn operand_is(&self, index: usize, object: &Bound<'py, PyAny>) -> bool {
        let place = self.expected.checked_sub(index + 1);
        place.is_some_and(|place| place < self.depth && self.frame.slot_is(self.info.slots + place, object))
    }

    /// Whether this very object lies at a place of the stack, or was the last that left it.
    fn lies_at(&self, place: usize, object: &Bound<'py, PyAny>) -> bool {
        place <= self.depth && place < self.expected && self.frame.slot_is(self.info.slots + place, object)
    }

    /// The place of an operand of the instruction on the stack, the last one if there are several.
    fn place_of(&self, operand: &Bound<'py, PyAny>) -> Option<usize> {
        let operands = match self.instruction.op {
            Op::ForIter => CURRENT.operands.iterator_words,
            Op::YieldFrom | Op::Send => CURRENT.operands.iterator_words + 1,
            _ => self.expected.checked_sub(self.below_result())?,
        };
        let index = (0..operands).find(|index| self.operand_is(*index, operand))?;
        Some(self.expected - index - 1)
    }

    /// Name number `index` of the code.
    fn name(&self, index: u32) -> Option<String> {
        let names = self.frame.code().getattr("co_names").ok()?;
        names.get_item(index as usize).ok()?.extract().ok()
    }

    /// The stack without the instruction's operands, below where its results go.
    fn below_result(&self) -> usize {
        self.after().saturating_sub(results(&self.instruction))
    }

    /// The depth behind the instruction.
    fn after(&self) -> usize {
        let before = u16::try_from(self.expected).unwrap_or(u16::MAX);
        let after = self.info.facts.depth_after(&self.instruction, before);
        after.map_or(0, usize::from)
    }

    /// The entry of a callee that the instruction leads to in this way.
    fn explained(&self, callee: &Callee<'py>, passage: Passage) -> Result<Explained, Refusal> {
        match passage {
            Passage::Value => self.value(),
            Passage::Instance(instance) => {
                self.without_operands(LiveEntry::Instance(instance), self.below_result())
            }
            Passage::Again => self.again(),
            Passage::Repeat => self.with_operands(LiveEntry::Repeat),
            Passage::AgainThrough { operand, source } => {
                let place = self.place_of(operand.bind(self.py)).ok_or(Refusal::Unexplained)?;
                Ok(Explained {
                    given_back: Some((place, source)),
                    ..self.again()?
                })
            }
            Passage::AgainCached(cache) => self.with_operands(LiveEntry::AgainCached(cache)),
            Passage::Either { when, value } => self.with_operands(LiveEntry::Either { when, value }),
            Passage::Kept { by, item } => self.with_operands(LiveEntry::Kept { by, item }),
            Passage::Item { items, decides } => self.with_operands(LiveEntry::Item {
                items,
                over: None,
                decides,
            }),
            Passage::Import => self.with_operands(LiveEntry::Import),
            Passage::Imported => self.without_operands(LiveEntry::Imported, self.below_result()),
            Passage::Rest(entry) => self.without_operands(entry, self.below_result()),
            Passage::Worth(value) => {
                let with = PyTuple::new(self.py, [value])?.unbind();
                let rest = Rest::Worth;
                self.without_operands(LiveEntry::Rest { rest, step: 0, with }, self.below_result())
            }
            Passage::Names(made) => class::explain_names(self, callee, made.into_bound(self.py)),
            Passage::Cached(_) | Passage::Closed | Passage::Class | Passage::Print | Passage::Step(_) => {
                Err(Refusal::Unexplained)
            }
            Passage::Sent(driver) => self.without_operands(LiveEntry::Sent(driver), self.below_result()),
        }
    }

    /// The entry of a callee whose result replaces the operands.
    fn value(&self) -> Result<Explained, Refusal> {
        self.without_operands(LiveEntry::Value, self.below_result())
    }

    /// The entry of a callee whose result is dropped, and the operands with it.
    fn discard(&self) -> Result<Explained, Refusal> {
        self.without_operands(LiveEntry::Discard, self.after())
    }

    fn without_operands(&self, entry: LiveEntry, keep: usize) -> Result<Explained, Refusal> {
        match keep <= self.depth {
            true => Ok(Explained::with(entry, keep)),
            false => Err(Refusal::Depth),
        }
    }

    /// The entry of a callee that the instruction enters once more, with its operands.
    fn again(&self) -> Result<Explained, Refusal> {
        self.with_operands(LiveEntry::Again)
    }

    /// The same for an instruction whose only operand has left the stack (3.14 and later), but is what
    /// the callee was called with.
    fn again_with(&self, operand: Bound<'_, PyAny>) -> Result<Explained, Refusal> {
        match self.depth + 1 == self.expected {
            true => Ok(Explained {
                given_back: Some((self.depth, operand.unbind())),
                ..Explained::with(LiveEntry::Again, self.depth)
            }),
            false => Err(Refusal::Depth),
        }
    }

    fn with_operands(&self, entry: LiveEntry) -> Result<Explained, Refusal> {
        match self.depth == self.expected {
            true => Ok(Explained::with(entry, self.depth)),
            false => Err(Refusal::Depth),
        }
    }
}

/// How many values an instruction pushes: where it loads what is going to be called, a NULL comes
/// with it.
pub(crate) fn results(instruction: &Instruction) -> usize {
    let for_a_call = match instruction.op {
        Op::LoadMethod => true,
        Op::LoadAttr if CURRENT.operands.attribute_shift > 0 => instruction.arg & 1 != 0,
        Op::LoadSuperAttr => instruction.arg & 1 != 0,
        _ => false,
    };
    1 + usize::from(for_a_call)
}

/// Explains the callee by the instruction that its caller stands at.
pub(crate) fn explain<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    if !callee.from_c {
        return explain_inlined(caller, callee);
    }
    // What has left the stack may look like operands that explain a handler.
    let explained = match signal::explain_handler(caller, callee, Suspicion::Handler)? {
        Some(explained) => return kept(caller, explained),
        None => explain_ordinary(caller, callee),
    };
    match explained {
        Ok(explained) => Ok(explained),
        Err(refusal) => match signal::explain_handler(caller, callee, Suspicion::Any)? {
            Some(explained) => kept(caller, explained),
            None => Err(signal::refusal(refusal, caller, callee)?),
        },
    }
}

/// A callee that the caller's instruction has to do with.
fn explain_ordinary<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    let explained = match explain_from_c(caller, callee) {
        Err(refusal) => match consumer::explain_consumer(caller, callee)? {
            Some(explained) => explained,
            None => reduce::explain_reduce(caller, callee)?.ok_or(refusal)?,
        },
        Ok(explained) => explained,
    };
    match caller.dangles.get() {
        true => Err(Refusal::Unexplained),
        false => kept(caller, explained),
    }
}

/// How it is explained, if what has to be kept is there.
fn kept(caller: &Caller<'_, '_>, explained: Explained) -> Result<Explained, Refusal> {
    match caller.has_operands(explained.keep) {
        true => Ok(explained),
        false => Err(Refusal::Unexplained),
    }
}

/// A callee that C code has entered.
fn explain_from_c<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    match caller.instruction.op {
        Op::CallFunction
        | Op::CallMethod
        | Op::CallFunctionKw
        | Op::CallFunctionEx
        | Op::Call
        | Op::CallKw => call::explain_call(caller, callee),
        Op::ForIter => explain_iteration(
            caller,
            callee,
            caller.operand(CURRENT.operands.iterator_words - 1),
        ),
        Op::YieldFrom | Op::Send => {
            explain_iteration(caller, callee, caller.operand(CURRENT.operands.iterator_words))
        }
        Op::ListExtend | Op::SetUpdate => explain_collection(caller, callee),
        Op::BuildListUnpack | Op::BuildTupleUnpack | Op::BuildTupleUnpackWithCall | Op::BuildSetUnpack => {
            unpacking::explain_unpacking(caller, callee)
        }
        Op::SetupWith | Op::BeforeWith | Op::BeforeAsyncWith => explain_enter(caller, callee),
        Op::WithExceptStart => explain_exit(caller, callee),
        Op::MatchClass => matching::explain_class_pattern(caller, callee),
        Op::MatchKeys => matching::explain_keys_pattern(caller, callee),
        Op::ImportName => import::explain_import(caller, callee),
        Op::RaiseVarargs => explain_raise(caller, callee),
        Op::GetAnext if is_first_hook(caller, callee)? => caller.with_operands(LiveEntry::Repeat),
        Op::WithCleanupStart => cleanup::explain_cleanup(caller, callee),
        _ => operation::explain_operation(caller, callee),
    }
}

/// Explains the callee of a frame that waits while the hook does what C code had left to do there, and has
/// called `called`.
pub(crate) fn explain_rest<'py>(
    callee: &Callee<'py>,
    entry: LiveEntry,
    (called, arguments): (&Bound<'py, PyAny>, &Bound<'py, PyTuple>),
    depth: usize,
) -> Result<Explained, Refusal> {
    let py = called.py();
    let operands: Vec<Bound<'py, PyAny>> = arguments.iter().collect();
    let passage = boundary::passage(py, called, &operands, callee)?;
    let refusal = || Refusal::Boundary(boundary::name_of(called));
    let entry = match (passage, &entry) {
        (Passage::Value, _) => entry,
        // What is called is a metaclass's `__new__` in C.
        (
            Passage::Worth(made),
            LiveEntry::Rest {
                rest: Rest::Class,
                with,
                ..
            },
        ) => {
            let mut rest = ClassRest::of(with.bind(py))?;
            rest.made = Some(made.into_bound(py));
            rest.entry(py, ClassStep::Subclass)?
        }
        (
            Passage::Names(made),
            LiveEntry::Rest {
                rest: Rest::Class,
                with,
                ..
            },
        ) => {
            let made = made.into_bound(py);
            let mut rest = ClassRest::of(with.bind(py))?;
            rest.namespace = Some(class::names_left(callee, &made)?.into_any());
            rest.made = Some(made);
            rest.entry(py, ClassStep::Names)?
        }
        _ => return Err(refusal()),
    };
    Ok(Explained::with(entry, depth))
}

/// A generator that stands while something is thrown through it: it goes on as if it had sent None.
pub(crate) fn explain_standing<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
) -> Result<Explained, Refusal> {
    let receiver = caller.operand(CURRENT.operands.iterator_words);
    match receiver.is_some_and(|receiver| callee.belongs_to(&receiver)) {
        true => Ok(Explained {
            given_back: Some((caller.depth, caller.py.None())),
            ..Explained::with(LiveEntry::Again, caller.depth)
        }),
        false => Err(Refusal::Unexplained),
    }
}

/// Whether `async for` begins with an async generator whose first item nobody has asked for yet.
fn is_first_hook<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<bool, Refusal> {
    match caller.operand(0) {
        Some(source) => boundary::is_first_hook(&source, callee),
        None => Ok(false),
    }
}

/// `raise` makes an instance of a class. From 3.14 on the class has left the stack.
fn explain_raise<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    let refusal = || Refusal::Boundary("raise, which makes an instance".into());
    if caller.instruction.arg != 1 {
        return Err(refusal());
    }
    let keep = caller.expected - 1;
    let Some(class) = caller.operand(0) else {
        let first = callee.parameters()?.passed(0).ok_or_else(refusal)?;
        if let Ok(class) = first.cast::<PyType>() {
            let is_exception = class.is_subclass_of::<PyBaseException>()?;
            return match is_exception && callee.is_method_of_type(class, "__new__") {
                true => caller.again_with(first),
                false => Err(refusal()),
            };
        }
        if !first.is_instance_of::<PyBaseException>() || !callee.is_method(&first, "__init__") {
            return Err(refusal());
        }
        return caller.without_operands(LiveEntry::Raise(first.unbind()), keep);
    };
    match boundary::passage(caller.py, &class, &[], callee)? {
        Passage::Instance(instance) => caller.without_operands(LiveEntry::Raise(instance), keep),
        Passage::Again => caller.again(),
        _ => Err(refusal()),
    }
}

/// A callee that the same evaluator entered: it can only be what the instruction calls, and the
/// operands have moved into it.
fn explain_inlined<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    match caller.instruction.op {
        Op::Call | Op::CallKw | Op::CallFunctionEx | Op::BinarySubscr | Op::BinaryOp | Op::LoadAttr => {
            let entry = match callee.frame.made_instance() {
                Some(instance) => LiveEntry::Instance(instance.unbind()),
                None => LiveEntry::Value,
            };
            match caller.below_result() == caller.depth {
                true => Ok(Explained::with(entry, caller.depth)),
                false => Err(Refusal::Depth),
            }
        }
        Op::ForIter if callee.frame.generator().is_some() => caller.again(),
        Op::Send if callee.frame.generator().is_some() && caller.depth + 1 == caller.expected => {
            // Whoever is entered again gets it, but drops it: the real one has been taken already.
            Ok(Explained {
                given_back: Some((caller.depth, caller.py.None())),
                ..Explained::with(LiveEntry::Again, caller.depth)
            })
        }
        _ => Err(Refusal::Unexplained),
    }
}

/// `for`, `yield from` and `await`: a generator that runs, an iterator written in Python, or one in C
/// that asks such a one.
fn explain_iteration<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
    iterator: Option<Bound<'py, PyAny>>,
) -> Result<Explained, Refusal> {
    let Some(iterator) = iterator else {
        return Err(Refusal::Unexplained);
    };
    // Whatever is not None is sent by a method, where the iterator is not CPython's own.
    let sends = matches!(caller.instruction.op, Op::YieldFrom | Op::Send)
        && caller.operand(0).is_some_and(|value| !value.is_none());
    match boundary::next_item(caller.py, &iterator, callee)? {
        Some(Passage::Again) => caller.again(),
        Some(passage @ Passage::AgainThrough { .. }) => caller.explained(callee, passage),
        _ if sends && callee.is_method(&iterator, "send") => caller.again(),
        // The callee's result is the item, or decides on it.
        Some(passage) if caller.instruction.op == Op::ForIter => caller.explained(callee, passage),
        _ if boundary::is_python_class(&iterator.get_type()) => Err(Refusal::Unexplained),
        _ => Err(Refusal::Boundary(boundary::operation("the iteration", &iterator))),
    }
}

/// `[*items]` and `{*items}`: what came so far is in the list or the set already.
fn explain_collection<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    let Some(source) = caller.operand(0) else {
        return Err(Refusal::Unexplained);
    };
    let into = (caller.instruction.op == Op::ListExtend)
        .then(|| caller.operand(caller.instruction.arg as usize))
        .flatten();
    let passage = match into {
        Some(list) => boundary::collected_into(&list, &source, callee)?,
        None => boundary::next_item(caller.py, &source, callee)?,
    };
    let passage = match passage {
        None => boundary::through_made(&source, callee)?,
        passage => passage,
    };
    match passage {
        Some(passage @ (Passage::Again | Passage::AgainThrough { .. } | Passage::Item { .. })) => {
            caller.explained(callee, passage)
        }
        _ => operation::explain_operation(caller, callee),
    }
}

/// `__enter__` runs. In the manager's place lies the exit method, bound, or the manager itself.
fn explain_enter<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    let Some(found) = caller.operand(0) else {
        return Err(Refusal::Unexplained);
    };
    let (name, exit) = match caller.instruction.op {
        Op::BeforeAsyncWith => ("__aenter__", "__aexit__"),
        _ => ("__enter__", "__exit__"),
    };
    let manager = match CURRENT.operands.entering {
        Entering::Exit => cleanup::manager_of(&found, exit, callee)?,
        Entering::Manager | Entering::Call => found,
    };
    if callee.is_method(&manager, name) {
        return caller.with_operands(LiveEntry::WithEnter);
    }
    Err(Refusal::Boundary(boundary::operation(
        &format!("the `with` statement's {name}"),
        &manager,
    )))
}

/// `__exit__` runs with an exception. It lies below what describes that exception.
fn explain_exit<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    let above = CURRENT.operands.above_exit;
    let Some(exit) = caller.operand(above) else {
        return Err(Refusal::Unexplained);
    };
    // From 3.14 on the method is not bound, and the manager lies above it.
    let receiver = match CURRENT.operands.entering {
        Entering::Call => caller.operand(above - 1),
        Entering::Exit | Entering::Manager => None,
    };
    match boundary::passage(caller.py, &exit, receiver.as_slice(), callee)? {
        boundary::Passage::Value => caller.with_operands(LiveEntry::WithExit),
        _ => Err(Refusal::Boundary(boundary::operation(
            "the `with` statement's __exit__",
            &exit,
        ))),
    }
}
