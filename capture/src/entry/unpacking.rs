//! Displays and calls with stars on CPython 3.8, where one instruction collects all that is unpacked.
//!
//! What it has collected is in C. It can run again as long as nothing that it has gone through is
//! used up by that.

use super::{Callee, Caller, Explained, Refusal};
use crate::boundary;
use pyo3::prelude::*;

pub(super) fn explain_unpacking<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
) -> Result<Explained, Refusal> {
    let receiver = callee.parameters()?.argument(0);
    for index in (0..caller.instruction.arg as usize).rev() {
        let Some(operand) = caller.operand(index) else {
            return Err(Refusal::Unexplained);
        };
        if callee.is_method(&operand, "__iter__") && receiver.as_ref().is_some_and(|it| it.is(&operand)) {
            return caller.again();
        }
        if !boundary::is_collection(&operand) {
            break;
        }
    }
    Err(Refusal::Boundary(format!(
        "the instruction {}",
        caller.instruction.op.name()
    )))
}
