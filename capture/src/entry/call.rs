//! Calls: what lies in the callable's place, and how calling it led to the callee.

use super::{Callee, Caller, Explained, Refusal};
use crate::boundary::{self, Passage};
use crate::code::Op;
use crate::cpython::objects::lookup_on_type;
use crate::waiting::LiveEntry;
use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyType};

/// The callable of a call instruction, and its positional operands as far as they lie on the stack by
/// themselves: a method's receiver first.
fn callable<'py>(caller: &Caller<'_, 'py>) -> Option<(Bound<'py, PyAny>, Vec<Bound<'py, PyAny>>)> {
    let count = caller.instruction.arg as usize;
    let operands = |from: usize, names: usize| {
        (names..from)
            .rev()
            .map_while(|index| caller.operand(index))
            .collect()
    };
    match caller.instruction.op {
        Op::CallFunction => Some((caller.operand(count)?, operands(count, 0))),
        // Those that have names are among them, at the end.
        Op::CallFunctionKw => Some((caller.operand(count + 1)?, operands(count + 1, 1))),
        // A method and its receiver, or a NULL and a callable.
        Op::CallMethod | Op::Call => match caller.operand(count + 1) {
            Some(method) => Some((method, operands(count + 1, 0))),
            None => Some((caller.operand(count)?, operands(count, 0))),
        },
        Op::CallFunctionEx => Some((caller.operand(1 + (count & 1))?, Vec::new())),
        _ => None,
    }
}

pub(super) fn explain_call<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
) -> Result<Explained, Refusal> {
    let Some((callable, operands)) = callable(caller) else {
        return Err(Refusal::Unexplained);
    };
    let passage = match boundary::passage(caller.py, &callable, &operands, callee) {
        Ok(Passage::Value)
            if callable.is_instance_of::<PyFunction>() && !arguments_agree(caller, callee, 0)? =>
        {
            return Err(Refusal::Boundary(format!(
                "an object that was made of {} and called in its place",
                boundary::name_of(&callable)
            )));
        }
        Err(refusal) if !is_receiver(caller, callee, &callable)? => return Err(refusal),
        Err(_) => Passage::Value,
        Ok(passage) => passage,
    };
    match passage {
        Passage::Value => Ok(caller.value()),
        Passage::Instance(instance) => Ok(Explained {
            entry: LiveEntry::Instance(instance),
            keep: caller.below_result(),
        }),
        // What was unpacked for the call lies in C, and what is left on the stack may dangle.
        Passage::Again if caller.instruction.op == Op::CallFunctionEx => Err(Refusal::Boundary(
            boundary::name_of(&callable) + " called with unpacked arguments",
        )),
        Passage::Again => Ok(caller.again()),
        Passage::Body => explain_class_body(caller),
    }
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
    Ok(caller.again())
}

/// Whether what lies in the callable's place is the callee's first argument.
///
/// While a bound method runs that was called with a vector, CPython keeps its receiver in the slot
/// of the method (`method_vectorcall` in Objects/classobject.c); `functools.partial` does so with
/// its one argument. The method itself is then to be had nowhere, but its function runs.
fn is_receiver<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
    found: &Bound<'py, PyAny>,
) -> PyResult<bool> {
    if caller.instruction.op == Op::CallFunctionEx {
        return Ok(false);
    }
    let parameters = callee.parameters()?;
    let is_passed = |index| parameters.passed(index).is_some_and(|passed| passed.is(found));
    if is_passed(0) {
        return arguments_agree(caller, callee, 1);
    }
    // A partial of a bound method.
    if is_passed(1) {
        return arguments_agree(caller, callee, 2);
    }
    // Bound anew: then by the function's name, as an instance's method or a class's.
    let name = callee.code.getattr("co_name")?.extract::<String>()?;
    let class = found.cast::<PyType>().ok();
    let is_method = callee.is_method_of_type(&found.get_type(), &name)
        || class.is_some_and(|class| callee.is_method_of_type(class, &name));
    Ok(is_method && arguments_agree(caller, callee, 1)?)
}

/// Whether the call's positional operands are what the callee got for its parameters from `skip`
/// on, as far as those still tell.
fn arguments_agree<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>, skip: usize) -> PyResult<bool> {
    let count = caller.instruction.arg as usize;
    let is_method_call =
        matches!(caller.instruction.op, Op::CallMethod | Op::Call) && caller.operand(count + 1).is_some();
    let names = match caller.instruction.op {
        Op::CallFunction => 0,
        // The names of keyword arguments lie above them.
        Op::CallFunctionKw => 1,
        Op::CallMethod | Op::Call => 0,
        _ => return Ok(true),
    };
    let parameters = callee.parameters()?;
    // Keyword arguments come behind the positional ones, and how many those are is only known where
    // their names lie on the stack.
    let keywords = match names {
        0 => 0,
        _ => caller.operand(0).map_or(Ok(0), |names| names.len())?,
    };
    let receiver = usize::from(is_method_call);
    let positional = (count + receiver).saturating_sub(keywords);
    if caller.instruction.op == Op::Call && has_keyword_names(caller) {
        return Ok(true);
    }
    for index in 0..positional.min(parameters.len().saturating_sub(skip)) {
        let given = caller.operand(names + count + receiver - 1 - index);
        let (Some(given), Some(passed)) = (given, parameters.passed(index + skip)) else {
            continue;
        };
        if !given.is(&passed) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the call has keyword arguments by an instruction before it (3.11, 3.12).
fn has_keyword_names(caller: &Caller<'_, '_>) -> bool {
    let facts = &caller.info.facts;
    let first = facts.reexecute_from(&caller.instruction);
    facts
        .instruction_at(first)
        .is_some_and(|first| first.op == Op::KwNames)
}
