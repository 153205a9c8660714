//! What goes on with a generator, coroutine or async generator when something is sent to it, thrown
//! into it, or when it is closed.

use super::{is_python_class, passage, type_name, Passage};
use crate::cpython::fields;
use crate::cpython::generator::Generator;
use crate::cpython::modules::import;
use crate::entry::{Callee, Refusal};
use pyo3::prelude::*;

/// How deep objects of CPython's lie one in another that only pass on what they are given.
const MAX_WRAPPED: usize = 8;

/// The generator that an object goes on with: itself, or that of what a method of it gave to be
/// awaited.
pub(crate) fn driven<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let mut object = object.clone();
    for _ in 0..MAX_WRAPPED {
        if Generator::new(&object).is_some() {
            return Some(object);
        }
        let field = match kind_of(&object)?.as_str() {
            "async_generator_asend" => "ags_gen",
            "async_generator_athrow" => "agt_gen",
            "coroutine_wrapper" => "cw_coroutine",
            "anext_awaitable" => "wrapped",
            _ => return None,
        };
        object = fields::read(&object, field).ok()??;
    }
    None
}

/// The name of an object's type, if CPython's own code made that.
fn kind_of(object: &Bound<'_, PyAny>) -> Option<String> {
    let kind = object.get_type();
    (!is_python_class(&kind)).then(|| type_name(object))
}

/// Whether the callee is the program's hook for async generators that are new: the first method of one that gives
/// something to be awaited calls it, and will not do so again.
pub(crate) fn is_first_hook<'py>(object: &Bound<'py, PyAny>, callee: &Callee<'py>) -> Result<bool, Refusal> {
    if kind_of(object).as_deref() != Some("async_generator") {
        return Ok(false);
    }
    let py = object.py();
    let hooks = import(py, "sys")?.call_method0("get_asyncgen_hooks")?;
    let hook = hooks.getattr("firstiter")?;
    Ok(matches!(
        passage(py, &hook, core::slice::from_ref(object), callee),
        Ok(Passage::Value)
    ))
}

/// The methods of an async generator that give something to be awaited.
pub(super) const GIVE_AWAITABLES: [&str; 4] = ["__anext__", "asend", "athrow", "aclose"];

/// `AWAITABLE_STATE_ITER`.
const BEGUN: i32 = 1;

/// The methods of `owner` that enter the frame which it goes on with. What was thrown in has been taken up
/// by the frame; from there on it is as if it had been resumed by `send`.
pub(super) fn through_generator<'py>(
    name: &str,
    owner: &Bound<'py, PyAny>,
    callee: &Callee<'py>,
) -> Option<Passage> {
    match name {
        "send" | "__next__" => Some(Passage::Again),
        "throw" if is_begun(owner) => Some(Passage::Sent(owner.clone().unbind())),
        "close" if callee.is_closed_through(owner) => Some(Passage::Closed),
        _ => None,
    }
}

/// Whether sending to this goes on where it stands, also after something was thrown in.
fn is_begun(owner: &Bound<'_, PyAny>) -> bool {
    let state = match type_name(owner).as_str() {
        "async_generator_asend" => "ags_state",
        "async_generator_athrow" => "agt_state",
        "anext_awaitable" => return false,
        _ => return true,
    };
    let state = fields::read(owner, state).ok().flatten();
    state.is_some_and(|state| state.extract::<i32>().is_ok_and(|state| state == BEGUN))
}
