//! Iterators in C that ask an iterator or a function of the program for their next item.
//!
//! Those that ask before they have taken anything else can be asked once more: what they keep
//! between two items lies in them. What they have taken already lies in C, and only some of it is to be
//! had: the item that a function is asked about is its argument.

use super::{chains, is_builtin, is_python_class, is_python_function, passage, Passage};
use crate::cpython::fields;
use crate::cpython::generator::Generator;
use crate::cpython::modules::import;
use crate::cpython::objects::{function_of_method, lookup_on_type};
use crate::cpython::zipping::taken_by;
use crate::entry::{Callee, Refusal};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFunction};

/// Collections of CPython's own: going through one runs nothing of the program's.
const COLLECTIONS: [&str; 8] = [
    "list",
    "tuple",
    "dict",
    "set",
    "frozenset",
    "str",
    "bytes",
    "range",
];

/// How deep iterators may be nested.
const MAX_NESTED: usize = 64;

/// How asking `iterator` for its next item leads to the callee; `None` if it does not.
pub(crate) fn next_item<'py>(
    py: Python<'py>,
    iterator: &Bound<'py, PyAny>,
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    if is_asked(py, iterator, callee, MAX_NESTED)? {
        return Ok(Some(Passage::Again));
    }
    let Some(kind) = kind_of(iterator)? else {
        return Ok(None);
    };
    if kind == "zip" {
        return zipped(iterator, callee);
    }
    if ["accumulate", "takewhile", "dropwhile"].contains(&kind.as_str()) {
        return keeping(iterator, &kind, callee);
    }
    let kept = kept_by(py, iterator)?;
    let (items, function) = match (kind.as_str(), kept.as_slice()) {
        ("map" | "starmap" | "filter" | "filterfalse", [items, function]) => (items, function),
        _ => return Ok(None),
    };
    // Where one of the iterators that it asks calls the same function, nothing tells which call this is.
    if may_call(items, callee, MAX_NESTED)? {
        return Ok(None);
    }
    let decides = match kind.as_str() {
        "filter" => Some(true),
        "filterfalse" => Some(false),
        _ => None,
    };
    let Some(when) = decides else {
        return Ok(match passage(py, function, &[], callee)? {
            passage @ (Passage::Value | Passage::Instance(_)) => Some(passage),
            _ => None,
        });
    };
    // Without a function, or with `bool`, the item's own truth decides.
    let asks_item = function.is_none() || function.is(py.get_type::<PyBool>());
    let item = match asks_item {
        true => callee
            .parameters()?
            .passed(0)
            .filter(|item| callee.is_truth_of(item)),
        false => item_asked_about(function, callee)?,
    };
    Ok(item.map(|item| Passage::Either {
        when,
        value: item.unbind(),
    }))
}

/// The item that a function was called with to decide on it.
fn item_asked_about<'py>(
    function: &Bound<'py, PyAny>,
    callee: &Callee<'py>,
) -> Result<Option<Bound<'py, PyAny>>, Refusal> {
    match passage(function.py(), function, &[], callee)? {
        Passage::Value => match bound_before(function, callee)? {
            Some(place) => Ok(callee.parameters()?.passed(place)),
            None => Ok(None),
        },
        _ => Ok(None),
    }
}

/// How many arguments a callable that leads to the callee passes to that by itself, before the first that it is
/// called with; `None` where that is not known.
fn bound_before<'py>(callable: &Bound<'py, PyAny>, callee: &Callee<'py>) -> PyResult<Option<usize>> {
    let partial = import(callable.py(), "_functools")?.getattr("partial")?;
    let mut callable = callable.clone();
    let mut bound = 0;
    for _ in 0..MAX_NESTED {
        if callable.is_exact_instance_of::<PyFunction>() {
            return Ok(callable.getattr("__code__")?.is(&callee.code).then_some(bound));
        }
        let (function, more) = if let Some(function) = function_of_method(&callable) {
            (function, 1)
        } else if callable.get_type().is(&partial) {
            (callable.getattr("func")?, callable.getattr("args")?.len()?)
        } else {
            match lookup_on_type(&callable.get_type(), "__call__").filter(is_python_function) {
                Some(function) => (function, 1),
                None => return Ok(None),
            }
        };
        callable = function;
        bound += more;
    }
    Ok(None)
}

/// How asking an iterator leads to the callee which keeps something of what its function gives.
fn keeping<'py>(
    iterator: &Bound<'py, PyAny>,
    kind: &str,
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    let adds = kind == "accumulate";
    let function = fields::read(iterator, if adds { "binop" } else { "func" })?;
    let (Some(items), Some(function)) = (fields::read(iterator, "it")?, function) else {
        return Ok(None);
    };
    if function.is_none() || may_call(&items, callee, MAX_NESTED)? {
        return Ok(None);
    }
    let item = match adds {
        true => match passage(iterator.py(), &function, &[], callee)? {
            Passage::Value => None,
            _ => return Ok(None),
        },
        false => match item_asked_about(&function, callee)? {
            Some(item) => Some(item.unbind()),
            None => return Ok(None),
        },
    };
    let by = iterator.clone().unbind();
    Ok(Some(Passage::Kept { by, item }))
}

/// How a `zip` leads to the callee if it has taken something meanwhile which is known: one that has that to take once
/// more may stand in its place.
fn zipped<'py>(zip: &Bound<'py, PyAny>, callee: &Callee<'py>) -> Result<Option<Passage>, Refusal> {
    let Some(taken) = taken_by(zip) else {
        return Ok(None);
    };
    let sources = asked_in_turn(zip, "zip")?;
    match sources.get(taken.len()) {
        Some(source) if is_asked(zip.py(), source, callee, MAX_NESTED)? => Ok(Some(Passage::AgainThrough {
            operand: zip.clone().unbind(),
            source: chains::zip_again(zip, taken, sources)?.unbind(),
        })),
        _ => Ok(None),
    }
}

/// How a call that goes through `items`, and keeps what comes in an object that was there before,
/// leads to the callee.
pub(super) fn collected<'py>(
    py: Python<'py>,
    items: Option<&Bound<'py, PyAny>>,
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    let Some(items) = items else { return Ok(None) };
    if callee.is_method(items, "__iter__") || is_asked(py, items, callee, MAX_NESTED)? {
        return Ok(Some(Passage::Again));
    }
    match next_item(py, items, callee)? {
        Some(passage @ Passage::AgainThrough { .. }) => Ok(Some(passage)),
        _ => through_made(items, callee),
    }
}

/// How a call that goes through `items` leads to the callee, if that is the generator that their `__iter__` has
/// made: the C code has it from nowhere else, and would have no other there if it began with that one.
pub(crate) fn through_made<'py>(
    items: &Bound<'py, PyAny>,
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    let iterated = callee.iterates()?.filter(|iterated| iterated.is(items));
    let made = iterated.and(callee.frame.generator());
    Ok(made.map(|made| Passage::AgainThrough {
        operand: items.clone().unbind(),
        source: made.unbind(),
    }))
}

/// How asking `iterator` for the items that go to the end of a list leads to the callee.
pub(crate) fn collected_into<'py>(
    list: &Bound<'py, PyAny>,
    iterator: &Bound<'py, PyAny>,
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    let items = || list.clone().unbind();
    Ok(match next_item(list.py(), iterator, callee)? {
        Some(Passage::Value) => Some(Passage::Item {
            items: items(),
            decides: None,
        }),
        Some(Passage::Either { when, value }) => Some(Passage::Item {
            items: items(),
            decides: Some((when, value)),
        }),
        Some(passage @ (Passage::Again | Passage::AgainThrough { .. })) => Some(passage),
        _ => None,
    })
}

/// Whether asking `iterator` for its next item enters the callee before anything else is done.
fn is_asked<'py>(
    py: Python<'py>,
    iterator: &Bound<'py, PyAny>,
    callee: &Callee<'py>,
    nested: usize,
) -> Result<bool, Refusal> {
    if is_itself(iterator, callee)? {
        return Ok(true);
    }
    let Some(kind) = kind_of(iterator)?.filter(|_| nested > 0) else {
        return Ok(false);
    };
    let kept = kept_by(py, iterator)?;
    let calls_itself = |kept: &[Bound<'py, PyAny>]| kept.iter().any(|one| leads_to(one, callee));
    let first = match (kind.as_str(), kept.as_slice()) {
        // A list's own iterator, or one of a class with `__getitem__`.
        ("iterator" | "reversed", [sequence, ..]) => return Ok(callee.is_method(sequence, "__getitem__")),
        ("callable_iterator", [called, ..]) => {
            let passage = passage(py, called, &[], callee);
            return Ok(matches!(passage, Ok(Passage::Value | Passage::Again)));
        }
        // It calls the same, once it has been given something.
        (_, kept) if calls_itself(kept) => return Ok(false),
        ("map" | "zip" | "zip_longest" | "compress", _) => {
            let mut several = asked_in_turn(iterator, &kind)?.into_iter();
            let Some(first) = several.next() else {
                return Ok(false);
            };
            // Only the first is asked before anything was taken; nothing tells which one is asked now, unless
            // what was taken is known.
            let taken = match kind.as_str() {
                "zip" => taken_by(iterator),
                _ => None,
            };
            if taken.as_ref().is_some_and(|taken| !taken.is_empty()) {
                return Ok(false);
            }
            for another in several.filter(|_| taken.is_none()) {
                if may_ask(&another, callee, nested - 1)? {
                    return Ok(false);
                }
            }
            first
        }
        ("enumerate" | "filter" | "filterfalse" | "takewhile" | "dropwhile", [first, ..])
        | ("islice" | "starmap" | "pairwise" | "_tee_dataobject", [first, ..]) => first.clone(),
        // The one that is gone through now, else the one that gives it.
        ("chain" | "cycle" | "accumulate" | "_tee", several) => {
            for one in several {
                if is_asked(py, one, callee, nested - 1)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        _ => return Ok(false),
    };
    is_asked(py, &first, callee, nested - 1)
}

/// Whether the callee is the frame of this very iterator, a generator, or its `__next__`.
fn is_itself<'py>(iterator: &Bound<'py, PyAny>, callee: &Callee<'py>) -> Result<bool, Refusal> {
    if callee.belongs_to(iterator) {
        return Ok(true);
    }
    if !callee.is_method(iterator, "__next__") {
        return Ok(false);
    }
    // It may be that of another one of the same class, if that is still known.
    let receiver = callee.parameters()?.argument(0);
    Ok(receiver.is_none_or(|receiver| receiver.is(iterator) || receiver.is(iterator.get_type())))
}

/// The iterators that one asks for an item, one after the other; those of `zip_longest` that have come to their end
/// are left out.
fn asked_in_turn<'py>(iterator: &Bound<'py, PyAny>, kind: &str) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let (several, more) = match kind {
        "map" => ("iters", None),
        "compress" => ("data", Some("selectors")),
        _ => ("ittuple", None),
    };
    let Some(several) = fields::read(iterator, several)? else {
        return Ok(Vec::new());
    };
    match more {
        Some(more) => Ok([Some(several), fields::read(iterator, more)?]
            .into_iter()
            .flatten()
            .collect()),
        None => Ok(several
            .extract::<Vec<Option<_>>>()?
            .into_iter()
            .flatten()
            .collect()),
    }
}

/// Whether asking an iterator may lead to the callee, with no frame of the program's between.
fn may_ask<'py>(asked: &Bound<'py, PyAny>, callee: &Callee<'py>, nested: usize) -> Result<bool, Refusal> {
    let is_it = |one: &Bound<'py, PyAny>| is_itself(one, callee);
    Ok(is_it(asked)? || keeps(asked, &is_it, nested)?)
}

/// Whether an iterator in C has to do with something of this kind, directly or through others like it. What is
/// nested deeper than that may be anything.
fn keeps<'py>(
    asked: &Bound<'py, PyAny>,
    is_it: &dyn Fn(&Bound<'py, PyAny>) -> Result<bool, Refusal>,
    nested: usize,
) -> Result<bool, Refusal> {
    if !asks_others(asked)? {
        return Ok(false);
    }
    if nested == 0 {
        return Ok(true);
    }
    for kept in kept_by(asked.py(), asked)? {
        if is_it(&kept)? || keeps(&kept, is_it, nested - 1)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an object is an iterator in C, or what one has to do with, but no generator.
fn asks_others(asked: &Bound<'_, PyAny>) -> PyResult<bool> {
    let is_one = match lookup_on_type(&asked.get_type(), "__next__") {
        Some(next) => !is_python_function(&next),
        None => kind_of(asked)?.is_some_and(|kind| ["tuple", "_tee_dataobject"].contains(&kind.as_str())),
    };
    Ok(is_one && Generator::new(asked).is_none())
}

/// Whether a callable leads to the callee.
fn leads_to<'py>(callable: &Bound<'py, PyAny>, callee: &Callee<'py>) -> bool {
    callable.is_callable() && passage(callable.py(), callable, &[], callee).is_ok()
}

/// Whether what is asked for an item, an iterator or a tuple of several, may call what leads to the callee, with
/// no frame of the program's between.
fn may_call<'py>(asked: &Bound<'py, PyAny>, callee: &Callee<'py>, nested: usize) -> Result<bool, Refusal> {
    // A sequence is asked for one item after the other.
    let is_it =
        |kept: &Bound<'py, PyAny>| Ok(callee.is_method(kept, "__getitem__") || leads_to(kept, callee));
    Ok(leads_to(asked, callee) || keeps(asked, &is_it, nested)?)
}

/// Whether an object is an iterator of CPython's own, which cannot have called the callee itself.
pub(crate) fn is_aside<'py>(iterator: &Bound<'py, PyAny>, callee: &Callee<'py>) -> Result<bool, Refusal> {
    let is_own = kind_of(iterator)?.is_some() && lookup_on_type(&iterator.get_type(), "__next__").is_some();
    Ok(is_own && !may_call(iterator, callee, MAX_NESTED)?)
}

/// Whether an object is a collection of CPython's own, itself and of no derived type.
pub(crate) fn is_collection(object: &Bound<'_, PyAny>) -> bool {
    COLLECTIONS.iter().any(|kind| is_builtin(object, kind))
}

/// The name of an iterator's class if it is one of CPython's own.
pub(crate) fn kind_of(iterator: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let kind = iterator.get_type();
    let module = kind.getattr("__module__")?;
    let is_own = match is_python_class(&kind) {
        false => module.eq("builtins")?,
        true => false,
    };
    // From 3.12 on the classes of itertools are made when it is imported, like the program's own.
    let name = kind.name()?.to_string();
    let is_known = is_own
        || module.eq("itertools")? && {
            let found = import(iterator.py(), "itertools")?.getattr_opt(&name)?;
            found.is_some_and(|found| found.is(&kind))
        };
    Ok(is_known.then_some(name))
}

/// The objects that an iterator refers to, in the order of its own struct.
pub(crate) fn kept_by<'py>(
    py: Python<'py>,
    iterator: &Bound<'py, PyAny>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let kept: Vec<Bound<'py, PyAny>> = import(py, "gc")?
        .call_method1("get_referents", (iterator,))?
        .extract()?;
    let kind = iterator.get_type();
    Ok(kept.into_iter().filter(|one| !one.is(&kind)).collect())
}

/// Whether an object is its own iterator.
pub(super) fn is_iterator(object: &Bound<'_, PyAny>) -> bool {
    is_builtin(object, "generator") || object.hasattr("__next__").unwrap_or(false)
}
