//! Frames that wait in C code of which it is known that it does nothing until it returns: it is called again.

use super::call::{has_positional_places, CallOperands};
use super::Caller;
use crate::code::Op;
use crate::cpython::modules::loaded;
use crate::cpython::{Entering, CURRENT};
use pyo3::prelude::*;

/// A wait.
pub(crate) struct Wait<'py> {
    /// How long it takes.
    pub timeout: Option<Timeout>,
    /// What belongs on top of the stack when the instruction runs again, where something else lies there.
    pub given_back: Option<Bound<'py, PyAny>>,
}

/// The argument that says how long a wait takes.
pub(crate) struct Timeout {
    /// Where the frame's stack holds it.
    pub place: usize,
    /// What it is to be when the instruction runs again.
    pub left: Left,
}

/// How long a wait is to take when it begins again.
pub(crate) enum Left {
    /// What is left of so many seconds.
    Of(f64),
    /// No time: who waits looks at what there is and waits again.
    None,
}

/// What a frame calls in C, or does there, in words.
pub(crate) fn c_function<'py>(caller: &Caller<'_, 'py>) -> PyResult<String> {
    Ok(match is_call(caller.instruction.op) {
        true => match CallOperands::of(caller)? {
            Some(operands) => crate::boundary::name_of(&operands.callable),
            None => caller.instruction.op.name().into(),
        },
        false => caller.instruction.op.name().into(),
    })
}

fn is_call(op: Op) -> bool {
    matches!(
        op,
        Op::CallFunction | Op::CallMethod | Op::CallFunctionKw | Op::CallFunctionEx | Op::Call | Op::CallKw
    )
}

/// How a frame waits, if it does so in C code that can be called again.
pub(crate) fn wait_of<'py>(caller: &Caller<'_, 'py>) -> PyResult<Option<Wait<'py>>> {
    if caller.depth != caller.expected {
        return Ok(None);
    }
    let py = caller.py;
    if matches!(caller.instruction.op, Op::SetupWith | Op::BeforeWith) {
        let Some(top) = caller.operand(0) else {
            return Ok(None);
        };
        let manager = match CURRENT.operands.entering {
            Entering::Exit => match top.getattr_opt("__self__")? {
                Some(manager) => manager,
                None => return Ok(None),
            },
            Entering::Manager | Entering::Call => top,
        };
        return Ok(is_lock(&manager)?.then_some(Wait {
            timeout: None,
            given_back: Some(manager),
        }));
    }
    if !is_call(caller.instruction.op) {
        return Ok(None);
    }
    let Some(operands) = CallOperands::of(caller)? else {
        return Ok(None);
    };
    if caller.instruction.op == Op::CallFunctionEx && !super::call::unpacked_holds(caller)? {
        return Ok(None);
    }
    let Some(name) = operands.callable.getattr_opt("__name__")? else {
        return Ok(None);
    };
    let name: String = name.extract()?;
    let module = operands.callable.getattr_opt("__module__")?;
    let receiver = operands.owner()?;
    let of = |module: &str, kind: &str| match &receiver {
        Some(receiver) => is_one(py, receiver, module, kind),
        None => Ok(false),
    };
    let is_of = |name: &str| {
        module
            .as_ref()
            .is_some_and(|module| module.eq(name).unwrap_or(false))
    };
    let timeout_at = match name.as_str() {
        "sleep" if is_of("time") => 0,
        "acquire" | "acquire_lock" | "__enter__" if receiver.as_ref().map_or(Ok(false), is_lock)? => 1,
        "join" if of("_thread", "_ThreadHandle")? => 0,
        // Of all threads, at the end of the program; it has no argument.
        "_shutdown" if is_of("_thread") => 0,
        "get" if of("_queue", "SimpleQueue")? => 1,
        // An event loop's, which is made anew: of any other the object itself is refused.
        "poll" if of("select", "epoll")? => 0,
        _ => return Ok(None),
    };
    let argument = match has_positional_places(caller) {
        true => argument(caller, timeout_at)?,
        false => None,
    };
    let timeout = argument.and_then(|(place, value)| {
        let left = match name.as_str() {
            "poll" => Left::None,
            _ => Left::Of(value.extract::<f64>().ok().filter(|seconds| *seconds > 0.0)?),
        };
        Some(Timeout { place, left })
    });
    Ok(Some(Wait {
        timeout,
        given_back: None,
    }))
}

/// Where the stack holds the argument that says how long, and what that is.
fn argument<'py>(caller: &Caller<'_, 'py>, position: usize) -> PyResult<Option<(usize, Bound<'py, PyAny>)>> {
    let count = caller.instruction.arg as usize;
    let names = super::call::keyword_names(caller)?;
    let above = usize::from(matches!(caller.instruction.op, Op::CallFunctionKw | Op::CallKw));
    let positional = count.saturating_sub(names.len());
    let index = match names.iter().position(|name| name == "timeout") {
        Some(named) => positional + named,
        None if position < positional => position,
        None => return Ok(None),
    };
    let below_top = above + count - 1 - index;
    let value = caller.operand(below_top);
    Ok(value.map(|value| (caller.expected - below_top - 1, value)))
}

fn is_lock(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    Ok(is_one(py, object, "_thread", "LockType")? || is_one(py, object, "_thread", "RLock")?)
}

/// Whether an object is of a type in C that a module has, if that is loaded.
fn is_one(py: Python<'_>, object: &Bound<'_, PyAny>, module: &str, kind: &str) -> PyResult<bool> {
    match loaded(py, module)? {
        Some(module) => match module.getattr_opt(kind)? {
            Some(kind) => object.is_instance(&kind),
            None => Ok(false),
        },
        None => Ok(false),
    }
}
