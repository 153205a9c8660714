//! Handlers of signals, which CPython runs between instructions.
//!
//! From 3.11 on it does so at the jump back of a loop, at the start of a function, and behind calls;
//! before, behind nearly every instruction. What was done is done, what comes next is clear, and the
//! handler's result is dropped. But C code that an instruction has called may look for signals as well, in the
//! middle of its work. From 3.14 on the depth that is stored tells that apart, before the C stack has to.

use super::{Callee, Caller, Explained, Refusal};
use crate::boundary::{self, Passage};
use crate::code::{Instruction, Op};
use crate::cpython::codeobject::CodeInfo;
use crate::cpython::frame::RunningFrame;
use crate::cpython::modules::import;
use crate::cpython::pending::{self, Between};
use crate::cpython::{SignalChecks, CURRENT};
use crate::waiting::LiveEntry;
use pyo3::prelude::*;
use pyo3::types::PyInt;

/// The handler that the program has set for the signal that the callee was called with, if it leads to it.
fn handler<'py>(
    py: Python<'py>,
    frame: RunningFrame<'py>,
    callee: &Callee<'py>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    // It is given the frame that was interrupted.
    if !frame.is_held() {
        return Ok(None);
    }
    let parameters = callee.parameters()?;
    // Others, a method's receiver say, may come first; the frame comes last.
    let passed = (0..MOST_ARGUMENTS).map_while(|index| match index < parameters.len() {
        true => Some(parameters.passed(index)),
        false => parameters.argument(index).map(Some),
    });
    // Of anything else, code of the program would make a number.
    let numbers: Vec<i32> = passed
        .flatten()
        .filter(|passed| passed.is_exact_instance_of::<PyInt>())
        .filter_map(|passed| passed.extract().ok())
        .collect();
    if numbers.is_empty() {
        return Ok(None);
    }
    // Loaded long ago by whoever has set a handler.
    let modules = import(py, "sys")?.getattr("modules")?;
    if !modules.contains("_signal")? {
        return Ok(None);
    }
    let signals = import(py, "_signal")?;
    for number in numbers {
        let Ok(handler) = signals.call_method1("getsignal", (number,)) else {
            continue;
        };
        let operands = [PyInt::new(py, number).into_any()];
        if handler.is_callable()
            && matches!(
                boundary::passage(py, &handler, &operands, callee),
                Ok(Passage::Value)
            )
        {
            return Ok(Some(handler));
        }
    }
    Ok(None)
}

/// Whether the callee is what the program has set for the signal that it was called with.
pub(crate) fn is_handler<'py>(
    py: Python<'py>,
    frame: RunningFrame<'py>,
    callee: &Callee<'py>,
) -> PyResult<bool> {
    Ok(handler(py, frame, callee)?.is_some())
}

/// More than a handler is bound to, and the two that it is called with.
const MOST_ARGUMENTS: usize = 8;

/// What there is to say that the callee is a handler.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suspicion {
    /// It is what the program has set for the signal that it was called with, or was called with the frame that
    /// was interrupted: it may have set another handler in its own place.
    Handler,
    /// The program has set some, and nothing else explains the callee.
    Any,
}

impl Suspicion {
    fn holds<'py>(self, py: Python<'py>, frame: RunningFrame<'py>, callee: &Callee<'py>) -> PyResult<bool> {
        match self {
            Self::Handler => Ok(handler(py, frame, callee)?.is_some() || was_passed(frame, callee)?),
            Self::Any => Ok(frame.is_held() && sets_handlers(py)?),
        }
    }
}

/// Whether the callee was called with the object of this frame.
fn was_passed(frame: RunningFrame<'_>, callee: &Callee<'_>) -> PyResult<bool> {
    let Some(object) = frame.frame_object().filter(|_| frame.is_held()) else {
        return Ok(false);
    };
    let parameters = callee.parameters()?;
    let mut arguments = (0..MOST_ARGUMENTS).filter_map(|index| parameters.argument(index));
    Ok(arguments.any(|argument| argument.is(&object)))
}

/// Whether the program has set any handler.
fn sets_handlers(py: Python<'_>) -> PyResult<bool> {
    let modules = import(py, "sys")?.getattr("modules")?;
    if !modules.contains("_signal")? {
        return Ok(false);
    }
    let signals = import(py, "_signal")?;
    let default = signals.getattr("default_int_handler")?;
    for number in 1..=libc::SIGRTMAX() {
        // Two of them belong to the C library, which is not asked.
        let Ok(handler) = signals.call_method1("getsignal", (number,)) else {
            continue;
        };
        if handler.is_callable() && !handler.is(&default) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How the handler was run, if that was between two instructions of the frame.
fn between<'py>(
    py: Python<'py>,
    frame: RunningFrame<'py>,
    callee: &Callee<'py>,
    suspicion: Suspicion,
) -> Result<Option<Between>, Refusal> {
    if !suspicion.holds(py, frame, callee)? {
        return Ok(None);
    }
    let Some(between) = pending::interrupted(py, frame)? else {
        return Ok(None);
    };
    match between.is_direct || handler(py, frame, callee)?.is_some() {
        true => Ok(Some(between)),
        false => Err(Refusal::Boundary("a signal's handler in C".into())),
    }
}

/// Where a frame goes on that has run a handler between two instructions, where what it stands at does not tell:
/// that can be any instruction up to 3.10, and a comparison on 3.11, which may be one with the jump behind it.
pub(crate) fn goes_on_at<'py>(
    py: Python<'py>,
    frame: RunningFrame<'py>,
    info: &CodeInfo,
    callee: &Callee<'py>,
    suspicion: Suspicion,
) -> Result<Option<Instruction>, Refusal> {
    let is_open = match CURRENT.signals {
        SignalChecks::AtTop => true,
        SignalChecks::Behind => last_of(frame, info).is_some_and(|last| last.op == Op::CompareOp),
        SignalChecks::BehindStored => false,
    };
    if !is_open {
        return Ok(None);
    }
    let Some(between) = between(py, frame, callee, suspicion)? else {
        return Ok(None);
    };
    let next = between.next.and_then(|unit| info.facts.instruction_at(unit));
    match next.filter(|next| follows(frame, info, next)) {
        Some(next) => Ok(Some(next)),
        None => Err(Refusal::Boundary(
            "a signal's arrival where it cannot be told what runs next".into(),
        )),
    }
}

/// Whether an instruction may be the next one to run.
fn follows(frame: RunningFrame<'_>, info: &CodeInfo, next: &Instruction) -> bool {
    let Some(last) = last_of(frame, info) else {
        return next.first == 0;
    };
    if CURRENT.signals == SignalChecks::Behind {
        let jump = info.facts.instruction_at(last.next);
        return jump.is_some_and(|jump| jump.target == Some(next.first));
    }
    let handles = || {
        frame
            .blocks()
            .last()
            .is_some_and(|block| block.kind == EXCEPT_HANDLER)
    };
    next.first == last.next || Some(next.first) == last.target || handles()
}

/// The instruction that a frame names, if it has begun one.
fn last_of(frame: RunningFrame<'_>, info: &CodeInfo) -> Option<Instruction> {
    let unit = u32::try_from(frame.raw_instruction()).ok()?;
    info.facts.instruction_covering(unit)
}

/// The kind of a block whose exception is being handled.
const EXCEPT_HANDLER: i32 = 257;

/// Explains the callee as a handler that was run behind the caller's instruction, from 3.11 on.
pub(super) fn explain_handler<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
    suspicion: Suspicion,
) -> Result<Option<Explained>, Refusal> {
    let op = caller.instruction.op;
    let is_call = matches!(op, Op::Call | Op::CallKw | Op::CallFunctionEx);
    let is_jump = matches!(
        op,
        Op::PopJumpBackwardIfTrue
            | Op::PopJumpBackwardIfFalse
            | Op::PopJumpBackwardIfNone
            | Op::PopJumpBackwardIfNotNone
    );
    // These call nothing else.
    if matches!(op, Op::Resume | Op::JumpBackward) && suspicion == Suspicion::Handler {
        // Once more does the same.
        return match handler(caller.py, caller.frame, callee)?.is_some() {
            true => caller.with_operands(LiveEntry::Repeat).map(Some),
            false => Ok(None),
        };
    }
    match CURRENT.signals {
        SignalChecks::BehindStored if is_call && suspicion == Suspicion::Handler => {
            // The depth behind it is stored, and is another one than before.
            let is_over =
                caller.depth == caller.after() && handler(caller.py, caller.frame, callee)?.is_some();
            Ok(is_over.then(|| Explained::with(LiveEntry::Discard, caller.depth)))
        }
        SignalChecks::Behind if is_call || is_jump => {
            if between(caller.py, caller.frame, callee, suspicion)?.is_none() {
                return Ok(None);
            }
            match is_call {
                true => Ok(Some(Explained::with(LiveEntry::Discard, caller.after()))),
                // 3.11 looks once the jump is taken; what it was decided by is gone.
                false => caller
                    .without_operands(LiveEntry::Jumped, caller.expected.saturating_sub(1))
                    .map(Some),
            }
        }
        _ => Ok(None),
    }
}

/// The refusal of what else a handler is: it was run by C code in the middle of its work, which the refusal of
/// an ordinary callee may name.
pub(super) fn refusal<'py>(
    refusal: Refusal,
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
) -> Result<Refusal, Refusal> {
    let is_handler = || handler(caller.py, caller.frame, callee).map(|handler| handler.is_some());
    match refusal {
        Refusal::Unexplained if is_handler()? => Ok(Refusal::Boundary(format!(
            "{}, which has looked for signals in the middle of its work",
            caller.instruction.op.name()
        ))),
        refusal => Ok(refusal),
    }
}
