//! `__exit__` on CPython 3.8, whose WITH_CLEANUP_START takes it off the stack before it calls it.
//!
//! The method is then to be had nowhere, so what it was called with must tell: its receiver, whose
//! type has it, and what was raised, which still lies on the stack.

use super::{Callee, Caller, Explained, Refusal};
use crate::parameters::Parameters;
use crate::waiting::LiveEntry;
use pyo3::prelude::*;

const NAMES: [&str; 2] = ["__exit__", "__aexit__"];

pub(super) fn explain_cleanup<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
) -> Result<Explained, Refusal> {
    let none = || caller.py.None().into_bound(caller.py);
    // Class, exception and traceback from the top down, or NULL: then it was called with None thrice.
    let given = [0, 1, 2].map(|place| match caller.operand(0) {
        Some(_) => caller.operand(place).unwrap_or_else(none),
        None => none(),
    });
    let parameters = callee.parameters()?;
    let name = callee.code.getattr("co_name")?.extract::<String>()?;
    let is_method = match parameters.argument(0) {
        Some(receiver) => NAMES.iter().any(|name| callee.is_method(&receiver, name)),
        // Bound anew: then by the function's name.
        None => NAMES.contains(&name.as_str()),
    };
    // A static method has no receiver.
    let is_static = NAMES.contains(&name.as_str()) && agree(&parameters, &given, 0);
    if is_static || (is_method && agree(&parameters, &given, 1)) {
        return caller.with_operands(LiveEntry::WithExit);
    }
    Err(Refusal::Boundary("the `with` statement's __exit__".into()))
}

/// Whether the function got these arguments from `skip` on, as far as its frame still tells.
fn agree<'py>(parameters: &Parameters<'py>, given: &[Bound<'py, PyAny>], skip: usize) -> bool {
    let mut given = given.iter().enumerate();
    given.all(|(index, given)| {
        let passed = parameters.argument(index + skip);
        passed.is_none_or(|passed| passed.is(given))
    })
}
