//! Handlers of signals, which CPython runs between instructions.
//!
//! From 3.11 on it does so at the jump back of a loop, at the start of a function, and behind calls;
//! before, behind nearly every instruction. What was done is done, what comes next is clear, and the
//! handler's result is dropped. Behind a call, up to 3.13, nothing tells whether the call is over, or its
//! C code has looked for signals itself and goes on.

use super::{Callee, Caller, Explained, Refusal};
use crate::code::Op;
use crate::cpython::modules::import;
use crate::cpython::CURRENT;
use crate::waiting::LiveEntry;
use pyo3::prelude::*;
use pyo3::types::PyInt;

/// Whether the callee is what the program has set for the signal that it was called with.
pub(super) fn is_handler<'py>(py: Python<'py>, callee: &Callee<'py>) -> PyResult<bool> {
    // A method has its receiver first.
    let parameters = callee.parameters()?;
    let mut passed = (0..2).filter_map(|index| {
        let passed = parameters.passed(index)?;
        // Of anything else, code of the program would make a number.
        passed
            .is_instance_of::<PyInt>()
            .then(|| passed.extract::<i32>().ok())?
    });
    let Some(number) = passed.next() else {
        return Ok(false);
    };
    // Loaded long ago by whoever has set a handler.
    let modules = import(py, "sys")?.getattr("modules")?;
    if !modules.contains("_signal")? {
        return Ok(false);
    }
    let Ok(handler) = import(py, "_signal")?.call_method1("getsignal", (number,)) else {
        return Ok(false);
    };
    let function = handler.getattr_opt("__func__")?.unwrap_or(handler);
    Ok(callee.is(&function))
}

/// Whether CPython looks for signals behind an instruction, and nobody else while it runs.
pub(super) fn may_run_behind(op: Op) -> bool {
    matches!(
        op,
        Op::Resume
            | Op::Nop
            | Op::JumpBackward
            | Op::JumpAbsolute
            | Op::PopJumpBackwardIfTrue
            | Op::PopJumpBackwardIfFalse
            | Op::PopJumpBackwardIfNone
            | Op::PopJumpBackwardIfNotNone
            | Op::LoadFast
            | Op::LoadConst
            | Op::StoreFast
    ) || CURRENT.operands.signals_behind_jumps && matches!(op, Op::PopJumpIfTrue | Op::PopJumpIfFalse)
}

/// Explains it where its caller stands at a call: CPython has stored the depth behind it if it is over.
pub(super) fn explain_behind_call(caller: &Caller<'_, '_>) -> Result<Explained, Refusal> {
    match !caller.may_dangle && caller.depth == caller.after() {
        true => Ok(Explained::with(LiveEntry::Discard, caller.depth)),
        false => Err(Refusal::Boundary(
            "a signal's arrival during a call or right behind it".into(),
        )),
    }
}

/// Explains it by where its caller stands.
pub(super) fn explain_handler(caller: &Caller<'_, '_>) -> Result<Explained, Refusal> {
    match caller.instruction.op {
        // Once more does the same.
        Op::Resume | Op::JumpBackward | Op::JumpAbsolute | Op::Nop => caller.with_operands(LiveEntry::Repeat),
        // Up to 3.10: done, with what it loads on the stack already.
        Op::LoadFast | Op::LoadConst | Op::StoreFast => {
            Ok(Explained::with(LiveEntry::Discard, caller.after()))
        }
        // 3.10 and 3.11 look once the jump is taken; what it was decided by is gone.
        _ => caller.without_operands(LiveEntry::Jumped, caller.expected.saturating_sub(1)),
    }
}
