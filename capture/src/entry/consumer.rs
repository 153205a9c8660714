//! C code that collects what a generator gives, and can be run again over the same items.
//!
//! It asks for all of them, does nothing else meanwhile that the program could see, and lets go of what
//! it has when it is given up: so nobody can tell that it has run twice, as long as the items themselves
//! have no part in it. `consumed` has what the generator has given.

use super::call::{has_keyword_names, CallOperands};
use super::{Callee, Caller, Explained, Refusal};
use crate::boundary::{is_builtin, is_python_class, name_of};
use crate::code::Op;
use crate::consumed::{given_by, Given};
use crate::waiting::LiveEntry;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyList, PyModule, PyTuple, PyType};

/// What C code does with the items.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// It keeps them, and nothing else.
    Keeps,
    /// It keeps so many at most, and fails when there are more.
    Unpacks(usize),
    /// It adds them up, from this operand on if there is one.
    Adds,
    /// It compares them.
    Compares,
    /// It hashes them.
    Hashes,
    /// They are pairs, whose first it hashes.
    HashesFirst,
}

/// C code that goes through a source of items.
pub(crate) struct Consumer {
    work: Work,
    /// The place of the source on the caller's stack.
    place: usize,
    name: String,
}

impl Consumer {
    /// What the caller's instruction does, if it is of this kind.
    pub fn of(caller: &Caller<'_, '_>) -> Option<Self> {
        let top = caller.expected.checked_sub(1)?;
        let (work, place, name) = match caller.instruction.op {
            Op::UnpackSequence => {
                let work = Work::Unpacks(caller.instruction.arg as usize);
                (work, top, "the unpacking".into())
            }
            Op::UnpackEx => (Work::Keeps, top, "the unpacking".into()),
            Op::CallFunction | Op::CallMethod | Op::CallFunctionKw | Op::Call | Op::CallKw => {
                let operands = CallOperands::of(caller).ok()??;
                let (work, number) = called(caller, &operands)?;
                let source = operands.arguments.get(number)?;
                let index = (0..=top).find(|index| caller.operand_is(*index, source))?;
                (work, top - index, name_of(&operands.callable))
            }
            _ => return None,
        };
        Some(Self { work, place, name })
    }

    /// Whether it does the same over these items again.
    fn can_repeat(&self, items: &[Py<PyAny>], py: Python<'_>) -> bool {
        let mut items = items.iter().map(|item| item.bind(py));
        match self.work {
            Work::Keeps => true,
            Work::Unpacks(count) => items.len() <= count,
            Work::Adds => items.all(is_number),
            Work::Compares => {
                let items: Vec<_> = items.collect();
                items.iter().all(|item| is_number(item))
                    || ["str", "bytes"]
                        .iter()
                        .any(|kind| items.iter().all(|item| is_builtin(item, kind)))
            }
            Work::Hashes => items.all(is_plain),
            Work::HashesFirst => items.all(|item| {
                let pair = item.cast_exact::<PyTuple>();
                pair.is_ok_and(|pair| pair.len() == 2 && pair.get_item(0).is_ok_and(|key| is_plain(&key)))
            }),
        }
    }
}

/// What a callable does with which of its arguments.
fn called<'py>(caller: &Caller<'_, 'py>, operands: &CallOperands<'py>) -> Option<(Work, usize)> {
    let callable = &operands.callable;
    let has_keywords = operands.keywords > 0 || has_keyword_names(caller);
    let count = operands.arguments.len();
    if let Ok(class) = callable.cast_exact::<PyType>() {
        if class.getattr("__module__").ok()?.eq("collections").ok()? {
            let is_deque = class.is(&caller.py.import("collections").ok()?.getattr("deque").ok()?);
            return is_deque.then_some((Work::Keeps, 0));
        }
        if !class.getattr("__module__").ok()?.eq("builtins").ok()? || is_python_class(class) {
            return None;
        }
        let work = match class.name().ok()?.to_str().ok()? {
            "list" | "tuple" => Work::Keeps,
            "set" | "frozenset" => Work::Hashes,
            "dict" => Work::HashesFirst,
            _ => return None,
        };
        return (count == 1 && !has_keywords).then_some((work, 0));
    }
    let name = |callable: &Bound<'py, PyAny>| callable.getattr("__name__").ok()?.extract::<String>().ok();
    if callable.is_exact_instance_of::<PyCFunction>() {
        let name = name(callable)?;
        let owner = callable.getattr("__self__").ok()?;
        if owner
            .cast_exact::<PyModule>()
            .is_ok_and(|module| module.name().is_ok_and(|it| it == "builtins"))
        {
            return match name.as_str() {
                "sorted" => Some((Work::Keeps, 0)),
                "min" | "max" if count == 1 && !has_keywords => Some((Work::Compares, 0)),
                "sum" if count == 1 && !has_keywords => Some((Work::Adds, 0)),
                "sum" if count == 2 && is_number(operands.arguments.get(1)?) => Some((Work::Adds, 0)),
                _ => None,
            };
        }
        return match name.as_str() {
            "join" if is_text(&owner) => Some((Work::Keeps, 0)),
            "fromkeys" if owner.is(caller.py.get_type::<pyo3::types::PyDict>()) => Some((Work::Hashes, 0)),
            _ => None,
        };
    }
    // Not bound: its object comes first.
    let is_method = callable.get_type().name().ok()? == "method_descriptor";
    (is_method && name(callable)? == "join" && is_text(operands.arguments.first()?))
        .then_some((Work::Keeps, 1))
}

fn is_text(object: &Bound<'_, PyAny>) -> bool {
    is_builtin(object, "str") || is_builtin(object, "bytes")
}

fn is_number(object: &Bound<'_, PyAny>) -> bool {
    ["int", "float", "bool", "complex"]
        .iter()
        .any(|kind| is_builtin(object, kind))
}

/// Whether nothing of the program runs when an object is hashed and compared.
fn is_plain(object: &Bound<'_, PyAny>) -> bool {
    let of_plain = |items: &Bound<'_, PyTuple>| items.iter().all(|item| is_number(&item) || is_text(&item));
    is_number(object)
        || is_text(object)
        || object.is_none()
        || object.cast_exact::<PyTuple>().is_ok_and(of_plain)
}

/// A generator that such C code asks: the code runs again, over what it was given and then over the
/// generator. `None` if it is nothing of the kind.
pub(super) fn explain_consumer<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
) -> Result<Option<Explained>, Refusal> {
    let (Some(generator), Some(consumer)) = (callee.frame.generator(), Consumer::of(caller)) else {
        return Ok(None);
    };
    let given = given_by(caller.py, callee.frame, caller.frame);
    // Where it runs again already, the generator is inside of what was put in its place.
    let is_repeated = given.as_ref().is_some_and(|given| given.is_repeated);
    if !is_repeated && !caller.lies_at(consumer.place, &generator) {
        return Ok(None);
    }
    let Some(Given { items, .. }) = given else {
        let name = consumer.name;
        return Err(Refusal::Boundary(format!(
            "{name}, which can be followed after install_hook() only"
        )));
    };
    if !consumer.can_repeat(&items, caller.py) {
        return Err(Refusal::Boundary(format!(
            "{}, over items of the program's own kind",
            consumer.name
        )));
    }
    let items = PyList::new(caller.py, items)?;
    let chain = caller.py.import("itertools")?.getattr("chain")?;
    let source = chain.call1((&items, generator))?.unbind();
    let explained = match consumer.place == caller.depth {
        // The unpacking has taken it off the stack (3.14 and later).
        true => Explained::with(LiveEntry::Again, caller.depth),
        false => caller.again()?,
    };
    Ok(Some(Explained {
        entry: LiveEntry::AgainOver(items.into_any().unbind()),
        given_back: Some((consumer.place, source)),
        ..explained
    }))
}
