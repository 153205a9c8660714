//! Calls: what lies in the callable's place, and how calling it led to the callee.

use super::{class, print, Callee, Caller, Explained, Refusal};
use crate::boundary::{self, Passage};
use crate::code::{Instruction, Op};
use crate::cpython::objects::{is_method_descriptor, own_attributes};
use crate::cpython::{CallShape, CURRENT};
use crate::delegation;
use crate::waiting::LiveEntry;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyFunction, PyTuple, PyType};

/// What a call instruction has on the stack.
pub(crate) struct CallOperands<'py> {
    pub callable: Bound<'py, PyAny>,
    /// A method's receiver and the arguments, keyword ones last; as far as they lie on the stack by
    /// themselves.
    pub arguments: Vec<Bound<'py, PyAny>>,
    /// How many of the arguments are keyword ones, where the stack tells.
    pub keywords: usize,
    /// The operand that C code has borrowed for an argument of its own, and will empty again.
    borrowed: Option<usize>,
}

impl<'py> CallOperands<'py> {
    /// Whose method in C is called, bound or not.
    pub(super) fn owner(&self) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.callable.is_instance_of::<PyCFunction>() {
            true => self.callable.getattr_opt("__self__"),
            false if self.callable.get_type().name()? == "method_descriptor" => {
                Ok(self.arguments.first().cloned())
            }
            false => Ok(None),
        }
    }

    pub fn of(caller: &Caller<'_, 'py>) -> PyResult<Option<Self>> {
        let count = caller.instruction.arg as usize;
        let op = caller.instruction.op;
        if op == Op::CallFunctionEx {
            let keywords = count & 1;
            let (above, keywords_above) = match CURRENT.operands.calls {
                CallShape::MethodFirst => (1 + keywords, keywords),
                CallShape::CallableFirst => (2 + keywords, keywords),
                CallShape::CallableFirstKeywordsLast => (3, 1),
            };
            // What was unpacked lies in C, and what is left on the stack may dangle.
            let arguments = match unpacked_holds(caller)? {
                true => caller.operand(keywords_above),
                false => None,
            };
            let arguments = arguments.and_then(|arguments| arguments.cast_into::<PyTuple>().ok());
            let arguments = arguments.map_or(Vec::new(), |arguments| arguments.iter().collect());
            return Ok(caller.operand(above).map(|callable| Self {
                callable,
                arguments,
                keywords: 0,
                borrowed: None,
            }));
        }
        // The names of keyword arguments lie above them all.
        let names = usize::from(matches!(op, Op::CallFunctionKw | Op::CallKw));
        let keywords = match names {
            0 => names_before(caller)?.map_or(Ok(0), |names| names.len())?,
            _ => caller.operand(0).map_or(Ok(0), |names| names.len())?,
        };
        let below = |places: usize| caller.operand(names + count + places);
        let (callable, receiver) = match (op, CURRENT.operands.calls) {
            (Op::CallFunction | Op::CallFunctionKw, _) => (below(0), None),
            (_, CallShape::MethodFirst) => match below(1) {
                Some(method) => (Some(method), below(0)),
                None => (below(0), None),
            },
            (_, CallShape::CallableFirst | CallShape::CallableFirstKeywordsLast) => (below(1), below(0)),
        };
        let arguments = (names..names + count)
            .rev()
            .map_while(|index| caller.operand(index));
        Ok(callable.map(|callable| {
            let is_borrowed = receiver.is_some() && !takes_receiver(&callable);
            let receiver = receiver.filter(|_| !is_borrowed);
            Self {
                callable,
                arguments: receiver.into_iter().chain(arguments).collect(),
                keywords,
                borrowed: is_borrowed.then_some(names + count),
            }
        }))
    }
}

/// The place of the arguments that were unpacked for a call, where no keywords were.
fn unpacked_place(caller: &Caller<'_, '_>) -> Option<usize> {
    if caller.instruction.op != Op::CallFunctionEx || caller.instruction.arg & 1 != 0 {
        return None;
    }
    let above = match CURRENT.operands.calls {
        CallShape::CallableFirstKeywordsLast => 1,
        CallShape::MethodFirst | CallShape::CallableFirst => 0,
    };
    caller.expected.checked_sub(above + 1)
}

/// Whether a receiver beside this callable was put there by the instruction that loaded it.
///
/// From 3.13 on the place for it is just below the arguments, and a callable that adds one argument in
/// front may put it there for as long as its call lasts (`PY_VECTORCALL_ARGUMENTS_OFFSET`).
fn takes_receiver(callable: &Bound<'_, PyAny>) -> bool {
    match CURRENT.operands.calls {
        CallShape::MethodFirst => true,
        CallShape::CallableFirst | CallShape::CallableFirstKeywordsLast => is_method_descriptor(callable),
    }
}

/// The object whose `throw` is called, or the coroutine of a task that makes a step.
pub(crate) fn thrower<'py>(caller: &Caller<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let is_call = matches!(
        caller.instruction.op,
        Op::CallFunction | Op::CallMethod | Op::CallFunctionKw | Op::CallFunctionEx | Op::Call | Op::CallKw
    );
    let operands = match is_call {
        true => CallOperands::of(caller)?,
        false => None,
    };
    let Some(operands) = operands else { return Ok(None) };
    if boundary::is_run_of_context(&operands.callable)? {
        return match operands.arguments.first() {
            Some(called) => boundary::stepped(called),
            None => Ok(None),
        };
    }
    let name = operands.callable.getattr_opt("__name__")?;
    match name.is_some_and(|name| name.eq("throw").unwrap_or(false)) {
        true => operands.owner(),
        false => Ok(None),
    }
}

pub(super) fn explain_call<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
) -> Result<Explained, Refusal> {
    if caller.instruction.op == Op::CallFunctionEx && is_unpacking(caller, callee)? {
        return caller.again();
    }
    let Some(operands) = CallOperands::of(caller)? else {
        return Err(Refusal::Unexplained);
    };
    let callable = &operands.callable;
    let passage = match boundary::passage(caller.py, callable, &operands.arguments, callee) {
        Ok(Passage::Value)
            if callable.is_instance_of::<PyFunction>() && !arguments_agree(caller, &operands, callee, 0)? =>
        {
            return Err(Refusal::Boundary(format!(
                "an object that was made of {} and called in its place",
                boundary::name_of(callable)
            )));
        }
        Err(Refusal::Unexplained)
            if caller.instruction.op == Op::CallFunctionEx && is_item_of_something(callee)? =>
        {
            let name = boundary::name_of(callable);
            return Err(Refusal::Boundary(format!(
                "the unpacking of arguments for {name}"
            )));
        }
        Err(refusal) if !is_receiver(caller, &operands, callee)? => return Err(refusal),
        Err(_) => Passage::Value,
        Ok(passage) => passage,
    };
    let passage = match passage {
        Passage::Cached(call) => match keyword_arguments(caller)? {
            Some(given) => call.meaning(&given, operands.keywords)?,
            None => return Err(unpacked(callable)),
        },
        passage => passage,
    };
    match passage {
        Passage::AgainThrough { .. } if caller.instruction.op == Op::CallFunctionEx => {
            Err(unpacked(callable))
        }
        // What was unpacked for the call lies in C, and what is left on the stack may dangle.
        Passage::Again
        | Passage::AgainCached(_)
        | Passage::Repeat
        | Passage::Either { .. }
        | Passage::Kept { .. }
        | Passage::Item { .. }
        | Passage::Import
        | Passage::Step(_)
            if caller.instruction.op == Op::CallFunctionEx && !unpacked_holds(caller)? =>
        {
            Err(unpacked(callable))
        }
        Passage::Step(step) => {
            // Whoever waits for the loop's own handles unpacks what they call, and what to call it with.
            let place =
                unpacked_place(caller).ok_or_else(|| Refusal::Boundary(boundary::name_of(callable)))?;
            let arguments = PyTuple::new(caller.py, [step])?.into_any().unbind();
            Ok(Explained {
                given_back: Some((place, arguments)),
                ..caller.again()?
            })
        }
        Passage::Print => {
            let positional = operands.arguments.len() - operands.keywords;
            print::explain_print(caller, callee, &operands.arguments[..positional])
        }
        Passage::Class => {
            let positional = operands.arguments.len() - operands.keywords;
            class::explain_class(caller, callee, &operands.arguments[..positional])
        }
        Passage::Closed => {
            let owner = operands.owner()?.ok_or(Refusal::Unexplained)?;
            let mut path = delegation::path(&owner).ok_or(Refusal::Unexplained)?;
            path.reverse();
            let path = PyTuple::new(caller.py, path.iter().map(|generator| generator.object()))?;
            caller.without_operands(LiveEntry::Closed(path.into_any().unbind()), caller.below_result())
        }
        passage => {
            let explained = caller.explained(callee, passage)?;
            let borrowed = operands.borrowed.map(|index| caller.expected - index - 1);
            Ok(Explained {
                emptied: borrowed.filter(|place| *place < explained.keep),
                ..explained
            })
        }
    }
}

/// The refusal of a call that would have to be made again.
fn unpacked(callable: &Bound<'_, PyAny>) -> Refusal {
    Refusal::Boundary(boundary::name_of(callable) + " called with unpacked arguments")
}

/// Whether the callee may be what gives the items of something that is unpacked.
fn is_item_of_something(callee: &Callee<'_>) -> PyResult<bool> {
    let name = callee.code.getattr("co_name")?.extract::<String>()?;
    let gives = ["__next__", "__getitem__", "__iter__", "keys"].contains(&name.as_str());
    Ok(gives || callee.frame.generator().is_some())
}

/// Whether what was unpacked for a call is still to be had: on the stack, alive, and as it was.
///
/// Up to 3.13 the call takes its tuple and its dictionary off the stack, and lets them go when they had to
/// be copied. They were not if the code has just made them, or if a variable has them still, or an attribute
/// of what is in a variable.
pub(super) fn unpacked_holds(caller: &Caller<'_, '_>) -> PyResult<bool> {
    if matches!(CURRENT.operands.calls, CallShape::CallableFirstKeywordsLast) {
        return Ok(caller.depth == caller.expected);
    }
    let variables = (0..caller.info.slots).filter_map(|slot| caller.frame.read_slot(slot).object());
    let variables: Vec<Bound<'_, PyAny>> = variables.collect();
    let attributes = variables.iter().filter_map(own_attributes);
    let attributes: Vec<Bound<'_, PyAny>> = attributes
        .filter_map(|found| found.cast_into::<PyDict>().ok())
        .flat_map(|found| found.values())
        .collect();
    let holds = |index: usize, kind: &str, made: &[Op]| {
        let mut held = variables.iter().chain(&attributes);
        is_made_by(caller, index, made)
            || held.any(|held| boundary::is_builtin(held, kind) && caller.operand_is(index, held))
    };
    let keywords = caller.instruction.arg as usize & 1;
    Ok(holds(keywords, "tuple", &MAKES_TUPLE) && (keywords == 0 || holds(0, "dict", &MAKES_DICT)))
}

const MAKES_TUPLE: [Op; 4] = [
    Op::LoadConst,
    Op::ListToTuple,
    Op::BuildTuple,
    Op::BuildTupleUnpackWithCall,
];
const MAKES_DICT: [Op; 4] = [
    Op::DictMerge,
    Op::BuildMap,
    Op::BuildConstKeyMap,
    Op::BuildMapUnpackWithCall,
];

/// `INTRINSIC_LIST_TO_TUPLE`, what LIST_TO_TUPLE is from 3.12 on.
const INTRINSIC_LIST_TO_TUPLE: u32 = 6;

/// Whether operand `index` is what one of these instructions has just made: the last one before the call that
/// left something in that place, with no jump to anywhere behind it.
fn is_made_by(caller: &Caller<'_, '_>, index: usize, ops: &[Op]) -> bool {
    let facts = &caller.info.facts;
    let Some(place) = caller.expected.checked_sub(index + 1) else {
        return false;
    };
    let before = facts
        .instructions()
        .take_while(|found| found.next <= caller.instruction.unit);
    let makes = |found: &Instruction| {
        let depth = facts.depth_before(found).map(usize::from);
        // What replaces the top of the stack, or builds on what lies below it.
        let after = facts
            .depth_before(found)
            .and_then(|depth| facts.depth_after(found, depth));
        depth.is_some_and(|depth| depth <= place) || after.map(usize::from) == Some(place + 1)
    };
    let Some(maker) = before
        .filter(|found| found.op != Op::ExtendedArg)
        .filter(makes)
        .last()
    else {
        return false;
    };
    let is_intrinsic = maker.op == Op::CallIntrinsic1 && maker.arg == INTRINSIC_LIST_TO_TUPLE;
    let is_one = ops.contains(&maker.op) || is_intrinsic && ops.contains(&Op::ListToTuple);
    let behind = maker.unit + 1..=caller.instruction.unit;
    let mut jumps = facts.instructions().filter_map(|found| found.target);
    is_one && !jumps.any(|target| behind.contains(&target))
}

/// Whether the callee is the `__iter__` of what is being unpacked for a call. That may be gone when
/// anything else runs, so it is not looked at, but compared with what the callee was called with.
fn is_unpacking<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> PyResult<bool> {
    let keywords = match CURRENT.operands.calls {
        CallShape::MethodFirst | CallShape::CallableFirst => caller.instruction.arg as usize & 1,
        CallShape::CallableFirstKeywordsLast => 1,
    };
    let receiver = callee.parameters()?.passed(0);
    Ok(receiver.is_some_and(|receiver| {
        caller.operand_is(keywords, &receiver) && callee.is_method(&receiver, "__iter__")
    }))
}

/// Whether what lies in the callable's place is the callee's first argument.
///
/// While a bound method runs that was called with a vector, CPython keeps its receiver in the slot
/// of the method (`method_vectorcall` in Objects/classobject.c); `functools.partial` does so with
/// its one argument. The method itself is then to be had nowhere, but its function runs.
fn is_receiver<'py>(
    caller: &Caller<'_, 'py>,
    operands: &CallOperands<'py>,
    callee: &Callee<'py>,
) -> PyResult<bool> {
    if caller.instruction.op == Op::CallFunctionEx {
        return Ok(false);
    }
    let found = &operands.callable;
    let parameters = callee.parameters()?;
    let is_passed = |index| parameters.argument(index).is_some_and(|passed| passed.is(found));
    if boundary::is_kept_by_cache(found, callee)? {
        return Ok(false);
    }
    if is_passed(0) {
        return arguments_agree(caller, operands, callee, 1);
    }
    // A partial of a bound method.
    if is_passed(1) {
        return arguments_agree(caller, operands, callee, 2);
    }
    // Bound anew: then by the function's name, as an instance's method or as a class method. (A class
    // that was called itself lies there too, while its `__init__` runs.)
    let name = callee.code.getattr("co_name")?.extract::<String>()?;
    let class = found.cast::<PyType>().ok();
    let is_method = callee.is_method_of_type(&found.get_type(), &name)
        || class.is_some_and(|class| callee.is_class_method_of(class, &name));
    Ok(is_method && arguments_agree(caller, operands, callee, 1)?)
}

/// Whether the call's positional operands are what the callee got for its parameters from `skip`
/// on, as far as those still tell.
fn arguments_agree<'py>(
    caller: &Caller<'_, 'py>,
    operands: &CallOperands<'py>,
    callee: &Callee<'py>,
    skip: usize,
) -> PyResult<bool> {
    if has_keyword_names(caller) {
        return Ok(true);
    }
    let positional = operands.arguments.len().saturating_sub(operands.keywords);
    let parameters = callee.parameters()?;
    for (index, given) in operands.arguments[..positional].iter().enumerate() {
        if parameters
            .argument(index + skip)
            .is_some_and(|passed| !given.is(&passed))
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the call has keyword arguments by an instruction before it (3.11, 3.12).
pub(super) fn has_keyword_names(caller: &Caller<'_, '_>) -> bool {
    names_before(caller).is_ok_and(|names| names.is_some())
}

/// The names of the keyword arguments that an instruction before the call gives (3.11, 3.12).
fn names_before<'py>(caller: &Caller<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if caller.instruction.op != Op::Call {
        return Ok(None);
    }
    let facts = &caller.info.facts;
    let first = facts.reexecute_from(&caller.instruction);
    let first = facts
        .instruction_at(first)
        .filter(|first| first.op == Op::KwNames);
    let constant = first.map(|first| caller.frame.code().getattr("co_consts")?.get_item(first.arg));
    constant.transpose()
}

/// The keyword arguments of a call, as far as they are to be had.
pub(super) fn keyword_arguments<'py>(caller: &Caller<'_, 'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let py = caller.py;
    if caller.instruction.op == Op::CallFunctionEx {
        if !unpacked_holds(caller)? {
            return Ok(None);
        }
        let is_given = caller.instruction.arg & 1 != 0
            || matches!(CURRENT.operands.calls, CallShape::CallableFirstKeywordsLast);
        let given = is_given.then(|| caller.operand(0)).flatten();
        return Ok(match given {
            Some(given) => given
                .cast_into::<PyDict>()
                .ok()
                .map(|given| given.copy())
                .transpose()?,
            None => Some(PyDict::new(py)),
        });
    }
    let found = PyDict::new(py);
    let (names, above) = match caller.instruction.op {
        Op::CallFunctionKw | Op::CallKw => (caller.operand(0), 1),
        _ => (names_before(caller)?, 0),
    };
    let Some(names) = names else {
        return Ok(Some(found));
    };
    let names: Vec<Bound<'py, PyAny>> = names.extract()?;
    for (index, name) in names.iter().rev().enumerate() {
        let Some(value) = caller.operand(above + index) else {
            return Ok(None);
        };
        found.set_item(name, value)?;
    }
    // In the order in which they were given.
    let ordered = PyDict::new(py);
    for name in &names {
        ordered.set_item(name, found.get_item(name)?)?;
    }
    Ok(Some(ordered))
}

/// Whether the arguments of a call lie on the stack one by one.
pub(super) fn has_positional_places(caller: &Caller<'_, '_>) -> bool {
    caller.instruction.op != Op::CallFunctionEx
}

/// The names of the keyword arguments of a call whose arguments lie on the stack.
pub(super) fn keyword_names(caller: &Caller<'_, '_>) -> PyResult<Vec<String>> {
    let names = match caller.instruction.op {
        Op::CallFunctionKw | Op::CallKw => caller.operand(0),
        _ => names_before(caller)?,
    };
    names.map_or(Ok(Vec::new()), |names| names.extract())
}
