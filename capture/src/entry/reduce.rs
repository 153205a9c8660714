//! `functools.reduce`, while it calls a function of the program.
//!
//! What it has come to so far is what the function was called with, and is of no use any more: it goes on from
//! the function's result, with what its iterator has left. That iterator is the operand itself, or one that
//! it has made of it, which is in C alone; but such iterators are known to the garbage collector, and if there
//! is only one over this very object, it is that one.

use super::call::{has_keyword_names, CallOperands};
use super::{Callee, Caller, Explained, Refusal};
use crate::boundary::{self, is_builtin, Passage};
use crate::cpython::lifecycle;
use crate::cpython::modules::import;
use crate::cpython::objects::function_of_method;
use crate::waiting::LiveEntry;
use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyList, PyRange};

/// The function of a `reduce`; `None` if it is nothing of the kind.
pub(super) fn explain_reduce<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
) -> Result<Option<Explained>, Refusal> {
    let py = caller.py;
    let Some(operands) = CallOperands::of(caller)? else {
        return Ok(None);
    };
    let reduce = import(py, "_functools")?.getattr("reduce")?;
    if !operands.callable.is(&reduce) || operands.keywords > 0 || has_keyword_names(caller) {
        return Ok(None);
    }
    let (function, source, has_initial) = match operands.arguments.as_slice() {
        [function, source] => (function, source, false),
        [function, source, _initial] => (function, source, true),
        _ => return Ok(None),
    };
    match boundary::passage(py, function, &[], callee) {
        Ok(Passage::Value) => {}
        Err(Refusal::Python(error)) => return Err(error.into()),
        _ => return Ok(None),
    }
    let Some(left) = left_of(source, function, callee)? else {
        return Ok(None);
    };
    let place = caller.expected.checked_sub(1 + usize::from(has_initial));
    let place = place.ok_or(Refusal::Depth)?;
    let (entry, left) = match has_initial {
        true => (LiveEntry::OnTop, left),
        false => {
            let items = PyList::empty(py);
            let left = boundary::chained(&items, &boundary::without_spent_items(&left)?)?;
            (LiveEntry::First(items.into_any().unbind()), left)
        }
    };
    Ok(Some(Explained {
        entry,
        given_back: Some((place, left.unbind())),
        ..caller.again()?
    }))
}

/// The iterator over what is left of a `reduce`'s operand, if it is to be had.
fn left_of<'py>(
    source: &Bound<'py, PyAny>,
    function: &Bound<'py, PyAny>,
    callee: &Callee<'py>,
) -> Result<Option<Bound<'py, PyAny>>, Refusal> {
    if boundary::is_aside(source, callee)? {
        return Ok(Some(source.clone()));
    }
    if let Ok(range) = source.cast_exact::<PyRange>() {
        return left_of_range(range, function, callee);
    }
    if boundary::is_collection(source) {
        return Ok(only_iterator_over(source)?);
    }
    Ok(None)
}

/// A range's numbers differ: the one that the function was called with tells where it is.
fn left_of_range<'py>(
    range: &Bound<'py, PyRange>,
    function: &Bound<'py, PyAny>,
    callee: &Callee<'py>,
) -> Result<Option<Bound<'py, PyAny>>, Refusal> {
    let bound = usize::from(function_of_method(function).is_some());
    if bound == 0 && !function.is_exact_instance_of::<PyFunction>() {
        return Ok(None);
    }
    let Some(number) = callee.parameters()?.argument(bound + 1) else {
        return Ok(None);
    };
    if !is_builtin(&number, "int") {
        return Ok(None);
    }
    let next: isize = range.call_method1("index", (number,))?.extract::<isize>()? + 1;
    let slice = pyo3::types::PySlice::new(range.py(), next, isize::MAX, 1);
    Ok(Some(range.get_item(slice)?.try_iter()?.into_any()))
}

/// The one iterator over a container that there is.
fn only_iterator_over<'py>(container: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let gc = import(container.py(), "gc")?;
    if lifecycle::has_frozen(container.py())? {
        return Ok(None); // what is frozen is not looked at
    }
    let kind = container.try_iter()?.get_type();
    let referrers = gc.call_method1("get_referrers", (container,))?;
    let mut found = Vec::new();
    for referrer in referrers.try_iter()? {
        let referrer = referrer?;
        if referrer.get_type().is(&kind) {
            found.push(referrer);
        }
    }
    Ok(match found.len() {
        1 => found.pop(),
        _ => None,
    })
}
