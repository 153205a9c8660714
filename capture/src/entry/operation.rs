//! Operators, subscripts, attributes, truth, formatting: what a type's methods are asked for.

use super::missing::{asks_key_twice, missing_item_of};
use super::operator::{binary, Operator};
use super::{Callee, Caller, Explained, Refusal};
use crate::boundary::{self, Passage};
use crate::code::Op;
use crate::cpython::objects::{behind_proxy, lookup_on_type, own_attributes};
use crate::cpython::CURRENT;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

/// Operators, attributes, subscripts: the instruction runs again, asks the same type for the same
/// method, and enters it again.
pub(super) fn explain_operation<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
) -> Result<Explained, Refusal> {
    let (instruction, op) = (caller.instruction, caller.instruction.op);
    if let Some(operator) = Operator::of(&instruction) {
        let (Some(left), Some(right)) = (caller.operand(1), caller.operand(0)) else {
            return Err(Refusal::Unexplained);
        };
        let passage = binary(callee, (&left, &right), &operator)?;
        return caller.explained(callee, passage.ok_or_else(|| refusal(op, &left))?);
    }
    if matches!(op, Op::BinarySubscr | Op::BinaryOp) {
        if let (Some(items), Some(key)) = (caller.operand(1), caller.operand(0)) {
            if let Some(passage) = missing_item(caller.py, &items, &key, callee)? {
                return caller.explained(callee, passage);
            }
        }
    }
    let (object, methods): (_, &[&str]) = match op {
        Op::BinarySubscr | Op::BinaryOp => (caller.operand(1), &["__getitem__", "__class_getitem__"]),
        Op::BinarySlice => return explain_slice(caller, callee, "__getitem__"),
        Op::StoreSlice => return explain_slice(caller, callee, "__setitem__"),
        Op::StoreSubscr => (caller.operand(1), &["__setitem__"]),
        Op::DeleteSubscr => (caller.operand(1), &["__delitem__"]),
        Op::UnaryNegative => (caller.operand(0), &["__neg__"]),
        Op::UnaryPositive => (caller.operand(0), &["__pos__"]),
        Op::CallIntrinsic1 if instruction.arg == INTRINSIC_UNARY_POSITIVE => {
            (caller.operand(0), &["__pos__"])
        }
        Op::UnaryInvert => (caller.operand(0), &["__invert__"]),
        // What is asked before anything is unpacked; the items are kept in C.
        Op::GetIter
        | Op::GetYieldFromIter
        | Op::UnpackSequence
        | Op::UnpackEx
        | Op::ListExtend
        | Op::SetUpdate => (caller.operand(0), &["__iter__"]),
        Op::GetAiter => (caller.operand(0), &["__aiter__"]),
        Op::GetAnext => (caller.operand(0), &["__anext__"]),
        Op::GetAwaitable => (caller.operand(0), &["__await__"]),
        Op::GetLen => (caller.operand(0), &["__len__"]),
        // With a format specification that lies above the value (`FVS_HAVE_SPEC`).
        Op::FormatValue => (
            caller.operand((instruction.arg >> 2 & 1) as usize),
            &["__format__", "__str__", "__repr__"],
        ),
        Op::FormatSimple => (caller.operand(0), &["__format__", "__str__", "__repr__"]),
        Op::ConvertValue => (caller.operand(0), &["__str__", "__repr__"]),
        Op::FormatWithSpec => (caller.operand(1), &["__format__", "__str__", "__repr__"]),
        // What COMPARE_OP compares in no order is `in` (3.8).
        Op::ContainsOp | Op::CompareOp => (caller.operand(0), &["__contains__", "__iter__"]),
        Op::UnaryNot
        | Op::ToBool
        | Op::WithCleanupFinish
        | Op::PopJumpIfTrue
        | Op::PopJumpIfFalse
        | Op::PopJumpForwardIfTrue
        | Op::PopJumpForwardIfFalse
        | Op::PopJumpBackwardIfTrue
        | Op::PopJumpBackwardIfFalse
        | Op::JumpIfTrueOrPop
        | Op::JumpIfFalseOrPop => (caller.operand(0), &["__bool__", "__len__"]),
        // The namespace of a class's body may be of a class of the program.
        Op::StoreName => (caller.frame.namespace(), &["__setitem__"]),
        Op::DeleteName => (caller.frame.namespace(), &["__delitem__"]),
        Op::LoadName | Op::LoadClassderef | Op::LoadFromDictOrDeref | Op::LoadFromDictOrGlobals => {
            (caller.frame.namespace(), &["__getitem__", "__missing__"])
        }
        Op::LoadAttr | Op::LoadMethod => {
            return explain_attribute(caller, callee, Access::Get);
        }
        Op::ImportFrom => return explain_attribute(caller, callee, Access::Get),
        Op::LoadSuperAttr => return explain_super(caller, callee),
        Op::StoreAttr => return explain_attribute(caller, callee, Access::Set),
        Op::DeleteAttr => return explain_attribute(caller, callee, Access::Delete),
        _ => return explain_key(caller, callee),
    };
    let Some(object) = object else {
        return explain_unpacking(caller, callee);
    };
    let object = behind_proxy(&object)?.unwrap_or(object);
    if is_asked_twice(op, &object) {
        return Err(refusal(op, &object));
    }
    if methods.iter().any(|method| callee.is_method(&object, method))
        || is_class_item(callee, &object, methods)
    {
        return caller.again();
    }
    explain_key(caller, callee).map_err(|_| refusal(op, &object))
}

/// A dictionary that lacks a key asks its `__missing__`, whose answer it gives.
pub(crate) fn missing_item<'py>(
    py: Python<'py>,
    items: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    let kind = items.get_type();
    let of_dict = lookup_on_type(&py.get_type::<PyDict>(), "__getitem__");
    let own = lookup_on_type(&kind, "__getitem__");
    if !own.zip(of_dict).is_some_and(|(own, dict)| own.is(&dict)) {
        return Ok(None);
    }
    missing_key(py, items, key, callee)
}

/// The same where it is a dictionary's own `__getitem__` that is asked.
pub(crate) fn missing_key<'py>(
    py: Python<'py>,
    items: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    if callee.is_method(items, "__missing__") {
        return Ok(Some(Passage::Value));
    }
    missing_item_of(py, items, key, callee)
}

/// Whether a class is asked for its `__class_getitem__`.
pub(crate) fn is_class_item(callee: &Callee<'_>, object: &Bound<'_, PyAny>, methods: &[&str]) -> bool {
    const NAME: &str = "__class_getitem__";
    let class = object.cast::<PyType>();
    methods.contains(&NAME) && class.is_ok_and(|class| callee.is_method_of_type(class, NAME))
}

/// What is unpacked may have left the stack (3.15); whoever is asked for its items is it.
fn explain_unpacking<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    let receiver = callee.parameters()?.passed(0);
    let receiver = receiver.filter(|receiver| callee.is_method(receiver, "__iter__"));
    let op = caller.instruction.op;
    let receiver = receiver.filter(|receiver| !is_asked_twice(op, receiver));
    match (op, receiver) {
        (Op::UnpackSequence | Op::UnpackEx, Some(receiver)) => caller.again_with(receiver),
        // Whatever gives the items, some of which are in C by now.
        (op @ (Op::UnpackSequence | Op::UnpackEx), None) => {
            Err(Refusal::Boundary(format!("the instruction {}", op.name())))
        }
        _ => Err(Refusal::Unexplained),
    }
}

/// Whether nothing tells which time the `__iter__` of an object is asked: targets with a star go on with a
/// list of the iterator, which makes an iterator of that as well.
fn is_asked_twice(op: Op, object: &Bound<'_, PyAny>) -> bool {
    op == Op::UnpackEx && lookup_on_type(&object.get_type(), "__next__").is_some()
}

/// `INTRINSIC_UNARY_POSITIVE`, what `+` is from 3.12 on.
const INTRINSIC_UNARY_POSITIVE: u32 = 5;

fn refusal(op: Op, object: &Bound<'_, PyAny>) -> Refusal {
    Refusal::Boundary(boundary::operation(&op.name().to_lowercase(), object))
}

/// The `__hash__` of a key: a dictionary or a set asks for it before anything else. (An `__eq__` may be
/// one of several that were asked, which nobody has counted.)
fn explain_key<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    let op = caller.instruction.op;
    let count = caller.instruction.arg as usize;
    let other = || Refusal::Boundary(format!("the instruction {}", op.name()));
    let key = match op {
        Op::BinarySubscr | Op::BinaryOp | Op::StoreSubscr | Op::DeleteSubscr => {
            // A sequence in C asks for a number.
            let number = caller.operand(0).filter(|key| callee.is_method(key, "__index__"));
            if number.is_some() {
                return caller.again();
            }
            caller.operand(0)
        }
        Op::ContainsOp | Op::CompareOp => caller.operand(1),
        Op::SetAdd => caller.operand(0),
        Op::MapAdd => caller.operand(1),
        // All that are there, in their order; whoever has no method of the program's is asked without harm.
        Op::BuildSet => {
            if let Some(explained) = explain_taken_item(caller, callee, count)? {
                return Ok(explained);
            }
            return explain_first_hash(caller, callee, (0..count).rev()).ok_or_else(other);
        }
        Op::BuildMap => {
            let keys = (0..count).rev().map(|pair| 2 * pair + 1);
            return explain_first_hash(caller, callee, keys).ok_or_else(other);
        }
        _ => return Err(other()),
    };
    let items = match op {
        Op::BinarySubscr | Op::BinaryOp => caller.operand(1),
        _ => None,
    };
    if items.map_or(Ok(false), |items| asks_key_twice(&items))? {
        return Err(other());
    }
    match key {
        Some(key) if callee.is_method(&key, "__hash__") => caller.again(),
        _ => Err(other()),
    }
}

/// The first of several operands whose hash the program computes itself.
fn explain_first_hash<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
    operands: impl Iterator<Item = usize>,
) -> Option<Explained> {
    let mut keys = operands.filter_map(|index| caller.operand(index));
    let first = keys.find(|key| {
        lookup_on_type(&key.get_type(), "__hash__").is_some_and(|found| boundary::is_python_function(&found))
    })?;
    callee
        .is_method(&first, "__hash__")
        .then(|| caller.again().ok())
        .flatten()
}

/// The first item of a set, which the set takes off the stack before it asks for the hash (3.14 and
/// later). It is what the callee was called with.
fn explain_taken_item<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
    count: usize,
) -> Result<Option<Explained>, Refusal> {
    let is_taken = |index: usize| caller.operand(index).is_none();
    if count == 0 || !is_taken(count - 1) || (0..count - 1).any(is_taken) {
        return Ok(None);
    }
    let item = callee.parameters()?.passed(0);
    let item = item.filter(|item| callee.is_method(item, "__hash__"));
    item.map(|item| {
        Ok(Explained {
            given_back: Some((caller.expected - count, item.unbind())),
            ..caller.again()?
        })
    })
    .transpose()
}

/// A slice of a container, read or written (3.12 and later). The ends have been made one object by
/// now, and are gone from the stack.
fn explain_slice<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
    method: &str,
) -> Result<Explained, Refusal> {
    let Some(container) = caller.operand(2) else {
        return Err(Refusal::Unexplained);
    };
    let container = behind_proxy(&container)?.unwrap_or(container);
    if !callee.is_method(&container, method) {
        return Err(Refusal::Boundary(boundary::operation(
            &caller.instruction.op.name().to_lowercase(),
            &container,
        )));
    }
    match method {
        "__getitem__" => caller.value(),
        _ => caller.discard(),
    }
}

/// An attribute of `super()`, found without a `super` object (3.12 and later). Its operands are gone
/// by now; what they were is told by the callee's own receiver.
fn explain_super<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    let name = caller.name(caller.instruction.arg >> 2).unwrap_or_default();
    let refusal = || Refusal::Boundary(format!("the attribute {name} of super()"));
    let parameters = callee.parameters()?;
    let receiver = (0..parameters.len()).find_map(|index| parameters.passed(index));
    let Some(receiver) = receiver else {
        return Err(refusal());
    };
    for class in receiver.get_type().mro().iter() {
        let Ok(found) = class.getattr("__dict__").and_then(|dict| dict.get_item(&name)) else {
            continue;
        };
        let getter = boundary::is_builtin(&found, "property")
            .then(|| found.getattr("fget"))
            .transpose()?;
        if getter.is_some_and(|getter| callee.is(&getter)) {
            return caller.value();
        }
    }
    Err(refusal())
}

/// An attribute that a `super` object finds: in the MRO, behind its class.
fn lookup_behind<'py>(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    // A super object passes every attribute on, its own ones too, unless its type is asked.
    let own = |field| {
        object
            .get_type()
            .getattr("__getattribute__")?
            .call1((object, field))
    };
    let (class, start) = (own("__self_class__")?, own("__thisclass__")?);
    let mut behind = false;
    for base in class.getattr("__mro__")?.try_iter()? {
        let base = base?;
        if behind {
            if let Ok(found) = base.getattr("__dict__")?.get_item(name) {
                return Ok(Some(found));
            }
        }
        behind |= base.is(&start);
    }
    Ok(None)
}

/// What is done to an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It is read.
    Get,
    /// It is set.
    Set,
    /// It is deleted.
    Delete,
}

impl Access {
    /// The type's own hook, a descriptor's method, the part of a property.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Access::Get => ("__getattribute__", "__get__", "fget"),
            Access::Set => ("__setattr__", "__set__", "fset"),
            Access::Delete => ("__delattr__", "__delete__", "fdel"),
        }
    }
}

fn explain_attribute<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
    access: Access,
) -> Result<Explained, Refusal> {
    let Some(object) = caller.operand(0) else {
        return Err(Refusal::Unexplained);
    };
    // The lowest bit of LOAD_ATTR's argument may be another matter.
    let shift = match caller.instruction.op {
        Op::LoadAttr => CURRENT.operands.attribute_shift,
        _ => 0,
    };
    let name = caller.name(caller.instruction.arg >> shift).unwrap_or_default();
    match attribute(callee, &object, &name, access)? {
        // An attribute that is imported lies beside its module, which stays.
        Some(Passage::Value) if caller.instruction.op == Op::ImportFrom => caller.value(),
        Some(passage) => caller.explained(callee, passage),
        None => Err(Refusal::Boundary(boundary::operation(
            &format!("the attribute {name}"),
            &object,
        ))),
    }
}

/// An attribute: a property or another descriptor of the type, or the type's own hooks. `None` if it
/// does not lead to the callee.
pub(crate) fn attribute<'py>(
    callee: &Callee<'py>,
    object: &Bound<'py, PyAny>,
    name: &str,
    access: Access,
) -> Result<Option<Passage>, Refusal> {
    let behind = behind_proxy(object)?;
    let object = behind.as_ref().unwrap_or(object);
    let (hook, accessor, part) = access.names();
    if callee.is_method(object, hook) {
        return Ok(Some(Passage::Again));
    }
    let kind = object.get_type();
    let of_type = match boundary::is_builtin(object, "super") {
        true => lookup_behind(object, name)?,
        false => lookup_on_type(&kind, name),
    };
    // A class has attributes of its own, which may be descriptors too.
    let of_class = match object.cast::<PyType>() {
        Ok(class) if access == Access::Get => lookup_on_type(class, name),
        _ => None,
    };
    // What lies beside the type's attribute: the callee may have put it there, and it would be found instead.
    let is_kept = match object.is_instance_of::<PyType>() {
        true => of_class.is_some(),
        false => own_attributes(object).is_some_and(|own| own.contains(name).unwrap_or(false)),
    };
    let has_hook = lookup_on_type(&kind, "__getattr__").is_some();
    for (found, may_be_hidden) in [(&of_type, is_kept), (&of_class, false)] {
        let Some(found) = found else { continue };
        let getter = boundary::is_builtin(found, "property")
            .then(|| found.getattr(part))
            .transpose()?;
        if getter.is_some_and(|getter| callee.is(&getter)) || callee.is_method(found, accessor) {
            let is_first = ["__set__", "__delete__"]
                .iter()
                .any(|method| lookup_on_type(&found.get_type(), method).is_some());
            return Ok(match access == Access::Get && may_be_hidden && !is_first {
                false => Some(Passage::Again),
                // An AttributeError would have the other one asked.
                true => (!has_hook).then_some(Passage::Value),
            });
        }
    }
    if access == Access::Get {
        let of_module = boundary::is_module(object)
            .then(|| object.getattr("__dict__")?.get_item("__getattr__"))
            .and_then(Result::ok);
        if callee.is_method(object, "__getattr__") || of_module.is_some_and(|hook| callee.is(&hook)) {
            // Something that was asked before has failed, and may be the program's own, or is there by now;
            // the callee has the last word.
            let hooked = lookup_on_type(&kind, hook).is_some_and(|hook| boundary::is_python_function(&hook));
            let is_missing = of_type.is_none() && of_class.is_none() && !is_kept;
            return Ok(Some(match is_missing && !hooked {
                true => Passage::Again,
                false => Passage::Value,
            }));
        }
    }
    Ok(None)
}
