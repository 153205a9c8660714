//! A key that a `defaultdict` lacks: it calls its function, sets the key to what that gives, and is worth it.
//!
//! The call cannot be made again: the function may have set the key itself meanwhile. So what is left is
//! done by the hook ([`Rest::Missing`](crate::snapshot::Rest::Missing)).

use super::{Callee, Refusal};
use crate::boundary::{self, Passage};
use crate::cpython::modules::import;
use crate::cpython::objects::lookup_on_type;
use crate::rest::{MissingRest, MissingStep};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

/// How a `defaultdict` that lacks a key leads to the callee; `None` if it does not, or is none.
pub(super) fn missing_item_of<'py>(
    py: Python<'py>,
    items: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    match asks_itself(items)? {
        true => made_item(py, items, key, callee),
        false => Ok(None),
    }
}

/// How its `__missing__` leads to the callee.
pub(crate) fn made_item<'py>(
    py: Python<'py>,
    items: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    let Some(factory) = factory_of(items)? else {
        return Ok(None);
    };
    let rest = |step, made: Option<Bound<'py, PyAny>>| {
        let (items, key) = (items.clone(), key.clone());
        Ok(Some(Passage::Rest(
            MissingRest { items, key, made }.entry(py, step)?,
        )))
    };
    if callee.is_method(items, "__setitem__") {
        return match callee.parameters()?.argument(2) {
            Some(made) => rest(MissingStep::Stored, Some(made)),
            None => Ok(None),
        };
    }
    if factory.is_none() {
        return Ok(None);
    }
    match boundary::passage(py, &factory, &[], callee) {
        Ok(Passage::Value) => rest(MissingStep::Called, None),
        Ok(Passage::Instance(made)) => rest(MissingStep::Initialized, Some(made.into_bound(py))),
        // As long as the key is still missing, it does all once more.
        Ok(Passage::Again) if !boundary::has_own_hash(key)? && !has_item(items, key)? => {
            Ok(Some(Passage::Again))
        }
        _ => Ok(None),
    }
}

/// Whether it asks a key for its hash twice, before and after it has called its function.
pub(super) fn asks_key_twice(items: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(asks_itself(items)? && factory_of(items)?.is_some_and(|factory| !factory.is_none()))
}

/// Whether it asks no `__missing__` of the program.
fn asks_itself(items: &Bound<'_, PyAny>) -> PyResult<bool> {
    let missing = lookup_on_type(&items.get_type(), "__missing__");
    let of_defaultdict = lookup_on_type(&defaultdict(items.py())?, "__missing__");
    Ok(missing.zip(of_defaultdict).is_some_and(|(own, its)| own.is(&its)))
}

fn defaultdict(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let class = import(py, "_collections")?.getattr("defaultdict")?;
    Ok(class.cast_into()?)
}

/// The function of a `defaultdict`; `None` for another object.
fn factory_of<'py>(items: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let defaultdict = defaultdict(items.py())?;
    let mro = items.get_type().mro();
    if !mro.iter().any(|class| class.is(&defaultdict)) {
        return Ok(None);
    }
    // By the member itself: a subclass may have put something of the program before it.
    let member = lookup_on_type(&defaultdict, "default_factory");
    member
        .map(|member| member.call_method1("__get__", (items,)))
        .transpose()
}

/// Whether a dictionary has a key that asks nothing of the program.
fn has_item(items: &Bound<'_, PyAny>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
    items.cast::<PyDict>()?.contains(key)
}
