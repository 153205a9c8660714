//! `match`: an instruction asks a class whether it has the subject, and the subject for attributes or keys.
//!
//! It can run again as long as nobody of the program was asked before.

use super::operation::{attribute, Access};
use super::{Callee, Caller, Explained, Refusal};
use crate::boundary::{self, Passage};
use crate::cpython::objects::lookup_on_type;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

/// A pattern with a class: `__instancecheck__`, then the attributes by place and by name.
pub(super) fn explain_class_pattern<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
) -> Result<Explained, Refusal> {
    let (Some(subject), Some(class), Some(names)) = (caller.operand(2), caller.operand(1), caller.operand(0))
    else {
        return Err(Refusal::Unexplained);
    };
    let refusal = || Refusal::Boundary(boundary::operation("match_class", &subject));
    if callee.is_method(&class, "__instancecheck__") {
        return caller.again();
    }
    let checks = lookup_on_type(&class.get_type(), "__instancecheck__");
    let is_checked =
        !subject.get_type().is(&class) && checks.is_some_and(|found| boundary::is_python_function(&found));
    let Ok(class) = class.cast_into::<PyType>() else {
        return Err(refusal());
    };
    let mut asked: Vec<String> = Vec::new();
    let by_place = caller.instruction.arg as usize;
    if by_place > 0 {
        // A class that has none takes the subject itself.
        let places =
            lookup_on_type(&class, "__match_args__").and_then(|found| found.cast_into::<PyTuple>().ok());
        let places = places.ok_or_else(refusal)?;
        asked.extend(places.get_slice(0, by_place).extract::<Vec<String>>()?);
    }
    asked.extend(names.extract::<Vec<String>>()?);
    for name in asked {
        match attribute(callee, &subject, &name, Access::Get)? {
            Some(Passage::Again) if !is_checked => return caller.again(),
            Some(_) => return Err(refusal()),
            None if asks_program(&subject, &name) => return Err(refusal()),
            None => {}
        }
    }
    Err(refusal())
}

/// Whether reading an attribute may have run code of the program.
fn asks_program(subject: &Bound<'_, PyAny>, name: &str) -> bool {
    let kind = subject.get_type();
    let hooks = ["__getattribute__", "__getattr__"];
    let is_hooked = hooks
        .iter()
        .any(|hook| lookup_on_type(&kind, hook).is_some_and(|found| boundary::is_python_function(&found)));
    is_hooked
        || lookup_on_type(&kind, name).is_some_and(|found| {
            let get = lookup_on_type(&found.get_type(), "__get__");
            boundary::is_builtin(&found, "property")
                || get.is_some_and(|get| boundary::is_python_function(&get))
        })
}

/// A pattern with keys, for which the subject's `get` is called one by one.
pub(super) fn explain_keys_pattern<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
) -> Result<Explained, Refusal> {
    let (Some(subject), Some(keys)) = (caller.operand(1), caller.operand(0)) else {
        return Err(Refusal::Unexplained);
    };
    let first = keys.get_item(0).ok();
    let asked = callee.parameters()?.argument(1);
    let is_first = first.zip(asked).is_some_and(|(first, asked)| first.is(&asked));
    match is_first && callee.is_method(&subject, "get") {
        true => caller.again(),
        false => Err(Refusal::Boundary(boundary::operation("match_keys", &subject))),
    }
}
