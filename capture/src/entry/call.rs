//! Calls: what lies in the callable's place, and how calling it led to the callee.

use super::{Callee, Caller, Explained, Refusal};
use crate::boundary::{self, Passage};
use crate::code::Op;
use crate::cpython::objects::{is_method_descriptor, lookup_on_type};
use crate::cpython::{CallShape, CURRENT};
use crate::delegation;
use crate::waiting::LiveEntry;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyFunction, PyTuple, PyType};

/// What a call instruction has on the stack.
pub(super) struct CallOperands<'py> {
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
    fn owner(&self) -> PyResult<Option<Bound<'py, PyAny>>> {
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
            let above = match CURRENT.operands.calls {
                CallShape::MethodFirst => 1 + keywords,
                CallShape::CallableFirst => 2 + keywords,
                CallShape::CallableFirstKeywordsLast => 3,
            };
            // What was unpacked lies in C, and what is left on the stack may dangle.
            return Ok(caller.operand(above).map(|callable| Self {
                callable,
                arguments: Vec::new(),
                keywords: 0,
                borrowed: None,
            }));
        }
        // The names of keyword arguments lie above them all.
        let names = usize::from(matches!(op, Op::CallFunctionKw | Op::CallKw));
        let keywords = match names {
            0 => 0,
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

/// The object whose `throw` is called.
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
        Err(refusal) if !is_receiver(caller, &operands, callee)? => return Err(refusal),
        Err(_) => Passage::Value,
        Ok(passage) => passage,
    };
    match passage {
        // What was unpacked for the call lies in C, and what is left on the stack may dangle.
        Passage::Again | Passage::AgainCached(_) | Passage::Repeat | Passage::Either { .. }
            if caller.instruction.op == Op::CallFunctionEx =>
        {
            Err(Refusal::Boundary(
                boundary::name_of(callable) + " called with unpacked arguments",
            ))
        }
        Passage::Body => explain_class_body(caller),
        Passage::Closed => {
            let owner = operands.owner()?.ok_or(Refusal::Unexplained)?;
            let mut path = delegation::path(&owner).ok_or(Refusal::Unexplained)?;
            path.reverse();
            let path = PyTuple::new(caller.py, path.iter().map(|generator| generator.object()))?;
            caller.without_operands(LiveEntry::Closed(path.into_any().unbind()), caller.below_result())
        }
        passage => {
            let explained = caller.explained(passage)?;
            let borrowed = operands.borrowed.map(|index| caller.expected - index - 1);
            Ok(Explained {
                emptied: borrowed.filter(|place| *place < explained.keep),
                ..explained
            })
        }
    }
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

/// The body of a class. `__build_class__` is called again, which asks the bases for their metaclass
/// and that for a namespace: harmless unless the program wrote what is asked.
fn explain_class_body(caller: &Caller<'_, '_>) -> Result<Explained, Refusal> {
    let count = caller.instruction.arg as usize;
    let plain = matches!(caller.instruction.op, Op::CallFunction | Op::Call) && !has_keyword_names(caller);
    // The function of the body, the name, the bases.
    for index in 0..count.saturating_sub(2) {
        let Some(base) = caller.operand(index) else {
            return Err(Refusal::Unexplained);
        };
        let Ok(class) = base.cast::<PyType>() else {
            return Err(Refusal::Boundary(
                "__build_class__, with a base that is no class".into(),
            ));
        };
        let prepare = lookup_on_type(&class.get_type(), "__prepare__");
        if prepare.is_some_and(|prepare| prepare.hasattr("__func__").unwrap_or(true)) {
            return Err(Refusal::Boundary(
                "__build_class__, with a __prepare__ of its own".into(),
            ));
        }
    }
    if !plain {
        return Err(Refusal::Boundary(
            "__build_class__, with keyword arguments".into(),
        ));
    }
    caller.again()
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
    if caller.instruction.op != Op::Call {
        return false;
    }
    let facts = &caller.info.facts;
    let first = facts.reexecute_from(&caller.instruction);
    facts
        .instruction_at(first)
        .is_some_and(|first| first.op == Op::KwNames)
}
