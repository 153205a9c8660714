//! `with` where the manager or its exit method is to be had nowhere: what the callee was called with
//! must tell.

use super::{Callee, Caller, Explained, Refusal};
use crate::boundary::is_builtin;
use crate::cpython::objects::{function_of_method, lookup_on_type};
use crate::parameters::Parameters;
use crate::waiting::LiveEntry;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// The manager of which only the exit method is left, while its `__enter__` runs (up to 3.11): what
/// that is bound to, or, where it is bound to a class or to nothing, what the callee was called with.
pub(super) fn manager_of<'py>(
    exit: &Bound<'py, PyAny>,
    name: &str,
    callee: &Callee<'py>,
) -> Result<Bound<'py, PyAny>, Refusal> {
    let has_exit = |object: &Bound<'py, PyAny>| {
        let found = lookup_on_type(&object.get_type(), name)?;
        let is_wrapped = is_builtin(&found, "staticmethod") || is_builtin(&found, "classmethod");
        let found = if is_wrapped {
            found.getattr("__func__").ok()?
        } else {
            found
        };
        let function = function_of_method(exit).unwrap_or_else(|| exit.clone());
        Some(function.is(&found))
    };
    let bound_to = exit.getattr("__self__").ok();
    let receiver = callee.parameters()?.argument(0);
    let mut candidates = bound_to.iter().chain(&receiver);
    let manager = candidates.find(|object| has_exit(object) == Some(true)).cloned();
    manager.or(bound_to).ok_or(Refusal::Unexplained)
}

const NAMES: [&str; 2] = ["__exit__", "__aexit__"];

/// `__exit__` runs on 3.8, whose WITH_CLEANUP_START takes the method off the stack before it calls it. What
/// was raised still lies there; the callee's receiver must have the method.
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
        Some(receiver) => NAMES.iter().any(|name| {
            // Of a class method it is the class.
            let class = receiver.cast::<PyType>();
            callee.is_method(&receiver, name)
                || class.is_ok_and(|class| callee.is_method_of_type(class, name))
        }),
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
