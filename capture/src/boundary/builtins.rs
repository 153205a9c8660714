//! Functions, methods and types in C that ask an operand for a special method, and are worth its
//! result, or can be called once more because they have done nothing before.

use super::iterators::{collected, collected_into, is_iterator, next_item};
use super::{is_builtin, is_exactly, is_python_class, made_by_metaclass, made_class, passage, Passage};
use crate::cpython::objects::{behind_proxy, lookup_on_type};
use crate::entry::import::passage_of_import;
use crate::entry::missing::made_item;
use crate::entry::operation::{attribute, is_class_item, missing_item, missing_key, Access};
use crate::entry::operator::{binary, Operator, DIVMOD};
use crate::entry::{Callee, Refusal};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

/// What a function or a type in C asks its first operand for, before it does anything else.
const ASKS_FIRST: &[(&str, &[&str])] = &[
    ("abs", &["__abs__"]),
    ("aiter", &["__aiter__"]),
    ("anext", &["__anext__"]),
    ("ascii", &["__repr__"]),
    ("bin", &["__index__"]),
    ("chr", &["__index__"]),
    ("dir", &["__dir__"]),
    ("format", &["__format__", "__str__", "__repr__"]),
    ("hash", &["__hash__"]),
    ("hex", &["__index__"]),
    ("iter", &["__iter__"]),
    ("len", &["__len__"]),
    ("oct", &["__index__"]),
    ("print", &["__str__", "__repr__"]),
    ("repr", &["__repr__"]),
    ("round", &["__round__"]),
    ("sorted", &["__iter__"]),
    ("sum", &["__iter__"]),
    ("min", &["__iter__"]),
    ("max", &["__iter__"]),
    // types
    ("bool", &["__bool__", "__len__"]),
    ("bytes", &["__bytes__"]),
    ("complex", &["__complex__", "__float__", "__index__"]),
    ("dict", &["keys"]),
    ("enumerate", &["__iter__"]),
    ("float", &["__float__", "__index__"]),
    ("frozenset", &["__iter__"]),
    ("int", &["__int__", "__index__", "__trunc__"]),
    ("list", &["__iter__"]),
    ("reversed", &["__reversed__", "__len__"]),
    ("set", &["__iter__"]),
    ("str", &["__str__", "__repr__"]),
    ("tuple", &["__iter__"]),
    ("zip", &["__iter__"]),
];

fn asks_first<'py>(name: &str, operands: &[Bound<'py, PyAny>], callee: &Callee<'py>) -> Option<Passage> {
    let (_, methods) = ASKS_FIRST.iter().find(|(function, _)| *function == name)?;
    let (first, others) = operands.split_first()?;
    let behind = behind_proxy(first).ok()?;
    let first = behind.as_ref().unwrap_or(first);
    let is_asked = |operand| methods.iter().any(|method| callee.is_method(operand, method));
    // If others have the same method they may be the one that is asked now.
    (is_asked(first) && !others.iter().any(is_asked)).then_some(Passage::Again)
}

/// A type in C that is called.
pub(super) fn through_type<'py>(
    class: &Bound<'py, PyType>,
    operands: &[Bound<'py, PyAny>],
    callee: &Callee<'py>,
) -> Option<Passage> {
    if is_python_class(class)
        || !class
            .getattr("__module__")
            .is_ok_and(|module| module.eq("builtins").unwrap_or(false))
    {
        return None;
    }
    let name = class.name().ok()?;
    if operands.len() >= 3 && name == "type" {
        return made_by_metaclass(class, callee).ok()?;
    }
    let from = match name.to_str().ok()? {
        // The function comes first.
        "map" | "filter" => 1,
        _ => 0,
    };
    match from {
        0 => asks_first(name.to_str().ok()?, operands, callee),
        _ => asks_first("iter", operands.get(from..)?, callee),
    }
}

/// A function of `builtins`.
pub(super) fn through_function<'py>(
    py: Python<'py>,
    name: &str,
    operands: &[Bound<'py, PyAny>],
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    if name == "__import__" {
        return Ok(passage_of_import(py, callee)?);
    }
    let Some(first) = operands.first() else {
        // Called with unpacked arguments, which are not to be had.
        let body = matches!(name, "exec") && is_body(callee)?;
        return Ok(body.then_some(Passage::Value));
    };
    if let Some(passage) = asks_first(name, operands, callee) {
        return Ok(Some(passage));
    }
    Ok(match name {
        "__build_class__" => Some(Passage::Class),
        "print" => Some(Passage::Print),
        // The code that was given, or what a string was compiled to: its result is the call's.
        "exec" | "eval" => {
            let given = first.is(&callee.code);
            let compiled = !first.hasattr("co_code")? && is_compiled_from_string(callee)?;
            (given || compiled).then_some(Passage::Value)
        }
        // An item that somebody else makes may be the end, which a default stands for.
        "next" => next_item(py, first, callee)?.filter(|passage| {
            operands.len() == 1 || matches!(passage, Passage::Again | Passage::AgainThrough { .. })
        }),
        // What was gone through decided nothing.
        "any" | "all" if is_iterator(first) => match next_item(py, first, callee)? {
            Some(Passage::Value) => {
                let when = name == "any";
                let value = pyo3::types::PyBool::new(py, when).to_owned().into_any().unbind();
                Some(Passage::Either { when, value })
            }
            Some(passage @ (Passage::Again | Passage::AgainThrough { .. })) => Some(passage),
            _ => None,
        },
        "any" | "all" => collected(py, Some(first), callee)?,
        "isinstance" | "issubclass" => {
            let hook = format!(
                "__{}check__",
                if name == "isinstance" {
                    "instance"
                } else {
                    "subclass"
                }
            );
            let class = operands.get(1);
            class
                .filter(|class| callee.is_method(class, &hook))
                .map(|_| Passage::Again)
        }
        "getattr" | "setattr" | "delattr" | "hasattr" => {
            let access = match name {
                "setattr" => Access::Set,
                "delattr" => Access::Delete,
                _ => Access::Get,
            };
            let passage = through_attribute(operands.get(1), first, access, callee)?;
            // Where an AttributeError is taken care of, the result alone is not enough.
            let takes_care = name == "hasattr" || name == "getattr" && operands.len() > 2;
            passage.filter(|passage| !takes_care || matches!(passage, Passage::Again))
        }
        "divmod" | "pow" => match operands {
            [left, right, ..] => match operator_of(name) {
                // A third operand is asked too (3.14 and later), and what is left then is another matter.
                Some(operator) => binary(callee, (left, right), &operator)?
                    .filter(|passage| operands.len() == 2 || matches!(passage, Passage::Again)),
                None => None,
            },
            _ => None,
        },
        _ => None,
    })
}

fn through_attribute<'py>(
    name: Option<&Bound<'py, PyAny>>,
    object: &Bound<'py, PyAny>,
    access: Access,
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    let Some(name) = name.and_then(|name| name.cast::<PyString>().ok()) else {
        return Ok(None);
    };
    attribute(callee, object, name.to_str()?, access)
}

/// The operator that a function of `builtins` stands for.
fn operator_of(name: &str) -> Option<Operator> {
    match name {
        "divmod" => Some(DIVMOD),
        _ => Operator::named(name),
    }
}

/// A function of `operator`.
pub(super) fn through_operator<'py>(
    py: Python<'py>,
    name: &str,
    operands: &[Bound<'py, PyAny>],
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    let name = name.trim_matches('_');
    let Some((first, rest)) = operands.split_first() else {
        return Ok(None);
    };
    let behind = behind_proxy(first)?;
    let operand = first;
    let first = behind.as_ref().unwrap_or(operand);
    let asked: &[&str] = match name {
        "call" => return passage(py, first, rest, callee).map(Some),
        "getitem" if !callee.is_method(first, "__getitem__") && !rest.is_empty() => {
            let missing = missing_item(py, first, &rest[0], callee)?;
            return Ok(missing
                .or_else(|| is_class_item(callee, first, &["__class_getitem__"]).then_some(Passage::Again)));
        }
        "getitem" => &["__getitem__", "__class_getitem__"],
        "setitem" => &["__setitem__"],
        "delitem" => &["__delitem__"],
        "contains" => &["__contains__", "__iter__"],
        "length_hint" => match lookup_on_type(&first.get_type(), "__len__") {
            Some(_) => &["__len__"],
            None => &["__length_hint__"],
        },
        "neg" => &["__neg__"],
        "pos" => &["__pos__"],
        "invert" | "inv" => &["__invert__"],
        "abs" => &["__abs__"],
        "index" => &["__index__"],
        "not" | "truth" => &["__bool__", "__len__"],
        _ => {
            return match (Operator::named(name), rest) {
                (Some(operator), [second, ..]) => binary(callee, (operand, second), &operator),
                _ => Ok(None),
            };
        }
    };
    let is_asked =
        asked.iter().any(|method| callee.is_method(first, method)) || is_class_item(callee, first, asked);
    Ok(is_asked.then_some(Passage::Again))
}

/// A method in C, that of a type in C: `owner` is what it is called on.
pub(super) fn through_method<'py>(
    py: Python<'py>,
    name: &str,
    owner: &Bound<'py, PyAny>,
    operands: &[Bound<'py, PyAny>],
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    let first = operands.first();
    Ok(match name {
        "__getitem__" if owner.is_instance_of::<PyDict>() && !is_hashed(owner) => match first {
            Some(key) => missing_key(py, owner, key, callee)?,
            None => None,
        },
        "__missing__" => match first {
            Some(key) => made_item(py, owner, key, callee)?,
            None => None,
        },
        // The key is asked for its hash before anything else.
        "get" | "setdefault" | "pop" | "add" | "discard" | "remove" | "__getitem__" | "__setitem__"
        | "__delitem__" | "__contains__"
            if is_hashed(owner) =>
        {
            first
                .filter(|key| callee.is_method(key, "__hash__"))
                .map(|_| Passage::Again)
        }
        // What came so far is where it belongs.
        "extend" | "extendleft" | "update" | "writelines" if operands.len() == 1 => {
            // A dictionary asks for `keys` first.
            let pairs = !first.is_some_and(|items| items.hasattr("keys").unwrap_or(true));
            let keeps_all = is_builtin(owner, "list")
                || is_builtin(owner, "set")
                || is_builtin(owner, "dict") && pairs
                || is_exactly(py, owner, "collections", "deque")?
                || is_exactly(py, owner, "array", "array").unwrap_or(false)
                || name == "writelines" && owner.getattr("__class__")?.getattr("__module__")?.eq("_io")?;
            match (keeps_all, first) {
                (true, Some(items)) if name == "extend" && is_builtin(owner, "list") => {
                    match collected(py, first, callee)? {
                        Some(passage) => Some(passage),
                        None => collected_into(owner, items, callee)?,
                    }
                }
                (true, Some(items)) if is_builtin(owner, "dict") => match collected(py, first, callee)? {
                    // The generator may go through one of its pairs.
                    Some(Passage::AgainThrough { .. }) if !callee.is_only_one_over(items)? => None,
                    passage => passage,
                },
                (true, _) => collected(py, first, callee)?,
                _ => None,
            }
        }
        // `type.__new__`, which a metaclass of the program has called.
        "__new__" if owner.is(py.get_type::<PyType>()) => made_class(callee)?,
        // `object.__reduce_ex__` returns what an overridden `__reduce__` does.
        "__reduce_ex__" if is_of_object(owner, name) => {
            callee.is_method(owner, "__reduce__").then_some(Passage::Value)
        }
        "__getattribute__" => through_attribute(first, owner, Access::Get, callee)?,
        "__setattr__" => through_attribute(first, owner, Access::Set, callee)?,
        "__delattr__" => through_attribute(first, owner, Access::Delete, callee)?,
        _ => None,
    })
}

/// Whether an object has a method from `object` itself.
fn is_of_object(owner: &Bound<'_, PyAny>, name: &str) -> bool {
    let plain = lookup_on_type(&owner.py().get_type::<PyAny>(), name);
    let found = lookup_on_type(&owner.get_type(), name);
    matches!((plain, found), (Some(plain), Some(found)) if found.is(&plain))
}

fn is_hashed(owner: &Bound<'_, PyAny>) -> bool {
    ["dict", "set", "frozenset"]
        .iter()
        .any(|name| is_builtin(owner, name))
}

/// Objects in C that are called.
pub(super) fn through_object<'py>(
    py: Python<'py>,
    callable: &Bound<'py, PyAny>,
    operands: &[Bound<'py, PyAny>],
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    let Some(first) = operands.first() else {
        return Ok(None);
    };
    let parts = |callable: &Bound<'py, PyAny>| -> PyResult<Vec<Bound<'py, PyAny>>> {
        callable.call_method0("__reduce__")?.get_item(1)?.extract()
    };
    if is_exactly(py, callable, "operator", "methodcaller")? {
        // With keyword arguments it is made by a partial that has the name.
        let made_by = callable.call_method0("__reduce__")?.get_item(0)?;
        let name = match is_exactly(py, &made_by, "functools", "partial")? {
            true => made_by.getattr("args")?.get_item(0).ok(),
            false => parts(callable)?.into_iter().next(),
        };
        let name = name.and_then(|name| name.extract::<String>().ok());
        let found = name.filter(|name| callee.is_method(first, name));
        return Ok(found.map(|_| Passage::Value));
    }
    if is_exactly(py, callable, "operator", "itemgetter")? {
        return match parts(callable)?.as_slice() {
            [_] if callee.is_method(first, "__getitem__") => Ok(Some(Passage::Again)),
            [key] => missing_item(py, first, key, callee),
            _ => Ok(None),
        };
    }
    if is_exactly(py, callable, "operator", "attrgetter")? {
        return match parts(callable)?.as_slice() {
            [name] if !name.extract::<String>()?.contains('.') => {
                through_attribute(Some(name), first, Access::Get, callee)
            }
            _ => Ok(None),
        };
    }
    Ok(None)
}

fn is_body(callee: &Callee<'_>) -> PyResult<bool> {
    callee.code.getattr("co_name")?.eq("<module>")
}

fn is_compiled_from_string(callee: &Callee<'_>) -> PyResult<bool> {
    let file = callee.code.getattr("co_filename")?.extract::<String>()?;
    Ok(file == "<string>" && is_body(callee)?)
}
