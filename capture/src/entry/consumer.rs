//! C code that collects what a source gives, a generator say, and can be run again over the same items.
//!
//! It asks for all of them, does nothing else meanwhile that the program could see, and lets go of what
//! it has when it is given up: so nobody can tell that it has run twice, as long as the items themselves
//! have no part in it. `consumed` has what the source has given.

use super::call::{has_keyword_names, CallOperands};
use super::{Callee, Caller, Explained, Refusal};
use crate::boundary::{self, is_builtin, is_python_class, name_of, Passage};
use crate::code::Op;
use crate::consumed::given_to;
use crate::cpython::c_iterators;
use crate::cpython::evalframe::{source_asked, status};
use crate::cpython::modules::import;
use crate::cpython::objects::{lookup_on_type, own_attributes};
use crate::waiting::LiveEntry;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyFunction, PyList, PyModule, PyTuple, PyType};

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
    /// Whether it calls something in C on the items, once it has all.
    calls_c: bool,
    name: String,
}

impl Consumer {
    /// What the caller's instruction does, if it is of this kind.
    pub fn of(caller: &Caller<'_, '_>) -> Option<Self> {
        let top = caller.expected.checked_sub(1)?;
        let mut calls_c = false;
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
                calls_c = operands.arguments[number + 1..].iter().any(is_called_in_c);
                (work, top - index, name_of(&operands.callable))
            }
            _ => return None,
        };
        Some(Self {
            work,
            place,
            calls_c,
            name,
        })
    }

    /// The generator that runs, if it has made that of its operand, which is in C alone.
    fn made<'py>(
        &self,
        caller: &Caller<'_, 'py>,
        callee: &Callee<'py>,
    ) -> Result<Option<Bound<'py, PyAny>>, Refusal> {
        let iterated = callee.iterates()?;
        let Some(operand) = iterated.filter(|iterated| caller.lies_at(self.place, iterated)) else {
            return Ok(None);
        };
        // It may run for what is made of an item, if that is the operand too.
        let is_for_items = !self.calls_c
            && (self.work != Work::HashesFirst
                || !may_have_keys(&operand)? && callee.is_only_one_over(&operand)?);
        Ok(callee.frame.generator().filter(|_| is_for_items))
    }

    /// The source, if it is what asks the callee for an item.
    fn source<'py>(
        &self,
        caller: &Caller<'_, 'py>,
        callee: &Callee<'py>,
    ) -> Result<Option<Bound<'py, PyAny>>, Refusal> {
        // What is asked, as far as that is written down; what an iterator's `__next__` was called with.
        let noted = source_asked(caller.py, caller.frame);
        let asked = match noted.or_else(|| callee.frame.generator()) {
            Some(asked) => Some(asked),
            None => callee.parameters()?.passed(0),
        };
        // The instruction may have taken it off its stack (3.14 and later).
        let asked = asked.filter(|asked| caller.lies_at(self.place, asked));
        let index = caller.expected.checked_sub(self.place + 1);
        Ok(asked.or_else(|| caller.operand(index?)))
    }

    /// Whether it does the same over these items again.
    fn can_repeat(&self, items: &[Py<PyAny>], py: Python<'_>) -> bool {
        let mut items = items.iter().map(|item| item.bind(py));
        match self.work {
            Work::Keeps => true,
            Work::Unpacks(count) => items.len() <= count,
            Work::Adds => items.all(is_summand),
            Work::Compares => {
                let items: Vec<_> = items.collect();
                // Complex numbers cannot be compared.
                items
                    .iter()
                    .all(|item| is_number(item) && !is_builtin(item, "complex"))
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
            let is_deque = class.is(&import(caller.py, "collections").ok()?.getattr("deque").ok()?);
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
                "sum" if count == 2 && is_summand(operands.arguments.get(1)?) => Some((Work::Adds, 0)),
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

/// Whether calling an argument may run C code, which goes through what it is given perhaps.
fn is_called_in_c(argument: &Bound<'_, PyAny>) -> bool {
    argument.is_callable() && !argument.is_exact_instance_of::<PyFunction>()
}

/// Whether a dictionary that is made of an object may ask that for its keys.
fn may_have_keys(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let kind = object.get_type();
    let asks_program = ["__getattr__", "__getattribute__"]
        .iter()
        .any(|name| lookup_on_type(&kind, name).is_some_and(|found| boundary::is_python_function(&found)));
    let own = own_attributes(object);
    let has_own = own.map_or(Ok(false), |own| own.contains("keys"))?;
    Ok(asks_program || has_own || lookup_on_type(&kind, "keys").is_some())
}

fn is_text(object: &Bound<'_, PyAny>) -> bool {
    is_builtin(object, "str") || is_builtin(object, "bytes")
}

fn is_number(object: &Bound<'_, PyAny>) -> bool {
    ["int", "float", "bool", "complex"]
        .iter()
        .any(|kind| is_builtin(object, kind))
}

/// Whether nothing goes wrong when an object is added to others of the kind: large integers do not go with
/// floats.
fn is_summand(object: &Bound<'_, PyAny>) -> bool {
    const MOST_BITS: usize = 900;
    let bits = || object.call_method0("bit_length")?.extract::<usize>();
    is_number(object) && (!is_builtin(object, "int") || bits().is_ok_and(|bits| bits <= MOST_BITS))
}

/// Whether nothing of the program runs when an object is hashed and compared.
fn is_plain(object: &Bound<'_, PyAny>) -> bool {
    let of_plain = |items: &Bound<'_, PyTuple>| items.iter().all(|item| is_number(&item) || is_text(&item));
    is_number(object)
        || is_text(object)
        || object.is_none()
        || object.cast_exact::<PyTuple>().is_ok_and(of_plain)
}

/// A source that such C code asks: the code runs again, over what it was given and then over the source.
/// `None` if it is nothing of the kind.
pub(super) fn explain_consumer<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
) -> Result<Option<Explained>, Refusal> {
    let py = caller.py;
    let Some(consumer) = Consumer::of(caller) else {
        return Ok(None);
    };
    let mut given = given_to(py, caller.frame);
    // Where it runs again already, the source is inside of what was put in its place.
    let repeated = given.as_mut().and_then(|given| given.repeated.take());
    let source = match repeated {
        Some(repeated) => Some(repeated.into_bound(py)),
        None => match consumer.made(caller, callee)? {
            Some(made) => Some(made),
            None => consumer.source(caller, callee)?,
        },
    };
    let Some(source) = source else { return Ok(None) };
    let passage = match boundary::next_item(py, &source, callee) {
        Ok(Some(passage)) => passage,
        Err(Refusal::Python(error)) => return Err(error.into()),
        _ => return Ok(None),
    };
    // What other iterators give is noted nowhere.
    let is_noted = callee.belongs_to(&source)
        || callee.is_method(&source, "__next__")
        || boundary::kind_of(&source)?.is_some_and(|kind| c_iterators::is_watched(&kind));
    if !is_noted {
        return Ok(None);
    }
    let given = given.filter(|given| given.is_from(&source));
    let Some(items) = given.and_then(|given| given.items) else {
        let why = match status(py).recording {
            true => "whose items are not known from the start",
            false => "which can be followed after install_hook() only",
        };
        return Err(Refusal::Boundary(format!("{}, {why}", consumer.name)));
    };
    let kind = source.get_type();
    let tells_length = || {
        let tells = |name| lookup_on_type(&kind, name).is_some();
        is_python_class(&kind) && (tells("__length_hint__") || tells("__len__"))
    };
    if caller.instruction.op == Op::UnpackEx && tells_length() {
        // It is asked when the last of the targets gets its list.
        return Err(Refusal::Boundary(
            consumer.name + ", which asks how many items there are",
        ));
    }
    if !consumer.can_repeat(&items, py) {
        return Err(Refusal::Boundary(format!(
            "{}, over items of the program's own kind",
            consumer.name
        )));
    }
    let items = PyList::new(py, items)?;
    let (passage, source) = match passage {
        Passage::AgainThrough { source, .. } => (Passage::Again, source.into_bound(py)),
        passage => (passage, source),
    };
    let over = boundary::chained(&items, &source)?;
    let (items, source) = (items.into_any().unbind(), source.unbind());
    let item = |items, source, decides| LiveEntry::Item {
        items,
        over: Some((over.clone().unbind(), source)),
        decides,
    };
    let entry = match passage {
        Passage::Again => LiveEntry::AgainOver { items, source },
        Passage::Value => item(items, source, None),
        Passage::Either { when, value } => item(items, source, Some((when, value))),
        _ => return Ok(None),
    };
    let explained = match consumer.place == caller.depth {
        // The unpacking has taken it off the stack (3.14 and later).
        true => Explained::with(LiveEntry::Again, caller.depth),
        false => caller.again()?,
    };
    Ok(Some(Explained {
        entry,
        given_back: Some((consumer.place, over.unbind())),
        ..explained
    }))
}
