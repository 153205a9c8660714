//! Operators, subscripts, attributes, truth, formatting: what a type's methods are asked for.

use super::{Callee, Caller, Explained, Refusal};
use crate::boundary;
use crate::code::Op;
use crate::cpython::objects::lookup_on_type;
use crate::cpython::CURRENT;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// Operators, attributes, subscripts: the instruction runs again, asks the same type for the same
/// method, and enters it again.
pub(super) fn explain_operation<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
) -> Result<Explained, Refusal> {
    let (instruction, op) = (caller.instruction, caller.instruction.op);
    if let Some((method, reflected)) = binary_methods(op, instruction.arg) {
        let (Some(left), Some(right)) = (caller.operand(1), caller.operand(0)) else {
            return Err(Refusal::Unexplained);
        };
        return explain_binary(caller, callee, &left, &right, method, reflected);
    }
    let (object, methods): (_, &[&str]) = match op {
        Op::BinarySubscr | Op::BinaryOp => (caller.operand(1), &["__getitem__", "__class_getitem__"]),
        Op::BinarySlice => return explain_slice(caller, callee, "__getitem__"),
        Op::StoreSlice => return explain_slice(caller, callee, "__setitem__"),
        Op::StoreSubscr => (caller.operand(1), &["__setitem__"]),
        Op::DeleteSubscr => (caller.operand(1), &["__delitem__"]),
        Op::UnaryNegative => (caller.operand(0), &["__neg__"]),
        Op::UnaryPositive => (caller.operand(0), &["__pos__"]),
        Op::UnaryInvert => (caller.operand(0), &["__invert__"]),
        Op::GetIter => (caller.operand(0), &["__iter__"]),
        // With a format specification that lies above the value (`FVS_HAVE_SPEC`).
        Op::FormatValue => (
            caller.operand((instruction.arg >> 2 & 1) as usize),
            &["__format__", "__str__", "__repr__"],
        ),
        // What COMPARE_OP compares in no order is `in` (3.8).
        Op::ContainsOp | Op::CompareOp => (caller.operand(0), &["__contains__"]),
        Op::FormatSimple => (caller.operand(0), &["__format__", "__str__", "__repr__"]),
        Op::ConvertValue => (caller.operand(0), &["__str__", "__repr__"]),
        Op::FormatWithSpec => (caller.operand(1), &["__format__", "__str__", "__repr__"]),
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
        Op::LoadAttr | Op::LoadMethod => {
            return explain_attribute(caller, callee, caller.operand(0), "__get__", "fget");
        }
        Op::LoadSuperAttr => return explain_super(caller, callee),
        Op::StoreAttr => {
            return explain_attribute(caller, callee, caller.operand(0), "__set__", "fset");
        }
        Op::DeleteAttr => {
            return explain_attribute(caller, callee, caller.operand(0), "__delete__", "fdel");
        }
        _ => return Err(Refusal::Boundary(format!("the instruction {}", op.name()))),
    };
    let Some(object) = object else {
        return Err(Refusal::Unexplained);
    };
    if methods.iter().any(|method| callee.is_method(&object, method)) {
        return caller.again();
    }
    Err(Refusal::Boundary(boundary::operation(
        &op.name().to_lowercase(),
        &object,
    )))
}

/// The methods of a binary operator or a comparison: the left operand's and the right one's.
fn binary_methods(op: Op, argument: u32) -> Option<(&'static str, &'static str)> {
    const COMPARE: [(&str, &str); 6] = [
        ("__lt__", "__gt__"),
        ("__le__", "__ge__"),
        ("__eq__", "__eq__"),
        ("__ne__", "__ne__"),
        ("__gt__", "__lt__"),
        ("__ge__", "__le__"),
    ];
    let name = match op {
        Op::CompareOp => {
            let number = argument >> CURRENT.operands.compare_shift;
            return COMPARE.get(number as usize).copied();
        }
        Op::BinaryOp if argument == SUBSCRIPT => return None,
        // The in-place forms follow the others in the same order.
        Op::BinaryOp => ARITHMETIC[argument as usize % ARITHMETIC.len()].0,
        Op::BinaryAdd | Op::InplaceAdd => "add",
        Op::BinarySubtract | Op::InplaceSubtract => "sub",
        Op::BinaryMultiply | Op::InplaceMultiply => "mul",
        Op::BinaryMatrixMultiply | Op::InplaceMatrixMultiply => "matmul",
        Op::BinaryTrueDivide | Op::InplaceTrueDivide => "truediv",
        Op::BinaryFloorDivide | Op::InplaceFloorDivide => "floordiv",
        Op::BinaryModulo | Op::InplaceModulo => "mod",
        Op::BinaryPower | Op::InplacePower => "pow",
        Op::BinaryLshift | Op::InplaceLshift => "lshift",
        Op::BinaryRshift | Op::InplaceRshift => "rshift",
        Op::BinaryAnd | Op::InplaceAnd => "and",
        Op::BinaryOr | Op::InplaceOr => "or",
        Op::BinaryXor | Op::InplaceXor => "xor",
        _ => return None,
    };
    ARITHMETIC
        .iter()
        .find(|(short, _, _)| *short == name)
        .map(|(_, left, right)| (*left, *right))
}

/// `NB_SUBSCR`: a subscript is a BINARY_OP from 3.14 on.
const SUBSCRIPT: u32 = 26;

/// Arithmetic, in the order of `BINARY_OP`'s argument (3.11 and later): a short name, the method, the
/// reflected one.
const ARITHMETIC: [(&str, &str, &str); 13] = [
    ("add", "__add__", "__radd__"),
    ("and", "__and__", "__rand__"),
    ("floordiv", "__floordiv__", "__rfloordiv__"),
    ("lshift", "__lshift__", "__rlshift__"),
    ("matmul", "__matmul__", "__rmatmul__"),
    ("mul", "__mul__", "__rmul__"),
    ("mod", "__mod__", "__rmod__"),
    ("or", "__or__", "__ror__"),
    ("pow", "__pow__", "__rpow__"),
    ("rshift", "__rshift__", "__rrshift__"),
    ("sub", "__sub__", "__rsub__"),
    ("truediv", "__truediv__", "__rtruediv__"),
    ("xor", "__xor__", "__rxor__"),
];

/// The method that is tried first can be entered again. One that is tried after another Python
/// method gave `NotImplemented` cannot: that one would run a second time.
fn explain_binary<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
    left: &Bound<'py, PyAny>,
    right: &Bound<'py, PyAny>,
    method: &str,
    reflected: &str,
) -> Result<Explained, Refusal> {
    let in_place = format!("__i{}", &method[2..]);
    let mut tried: Vec<(Bound<'py, PyType>, &str)> =
        vec![(left.get_type(), method), (right.get_type(), reflected)];
    let (left_type, right_type) = (left.get_type(), right.get_type());
    if !right_type.is(&left_type) && right_type.is_subclass(&left_type)? {
        tried.swap(0, 1);
    } else if right_type.is(&left_type) && method != reflected {
        // Arithmetic asks one type once.
        tried.truncate(1);
    }
    // The in-place forms of `BINARY_OP` follow the others.
    let op = caller.instruction.op;
    let is_in_place = match op {
        Op::BinaryOp => caller.instruction.arg as usize >= ARITHMETIC.len(),
        _ => op.name().starts_with("INPLACE"),
    };
    if is_in_place {
        tried.insert(0, (left_type, in_place.as_str()));
    }
    let python_method = |kind: &Bound<'py, PyType>, name: &str| {
        lookup_on_type(kind, name).is_some_and(|found| found.hasattr("__code__").unwrap_or(false))
    };
    let mut asked = None;
    for (kind, name) in &tried {
        if !python_method(kind, name) {
            continue;
        }
        if !callee.is_method_of_type(kind, name) {
            asked.get_or_insert(*name);
            continue;
        }
        return match asked {
            None => caller.again(),
            Some(name) => Err(Refusal::Boundary(format!(
                "the operator that had asked another operand's {name} before"
            ))),
        };
    }
    Err(Refusal::Boundary(boundary::operation(
        &caller.instruction.op.name().to_lowercase(),
        left,
    )))
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

/// An attribute: a property or another descriptor of the type, or the type's own hooks.
fn explain_attribute<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
    object: Option<Bound<'py, PyAny>>,
    accessor: &str,
    part: &str,
) -> Result<Explained, Refusal> {
    let Some(object) = object else {
        return Err(Refusal::Unexplained);
    };
    let hook = match accessor {
        "__get__" => "__getattribute__",
        "__set__" => "__setattr__",
        _ => "__delattr__",
    };
    if callee.is_method(&object, hook) {
        return caller.again();
    }
    let kind = object.get_type();
    // The lowest bit of LOAD_ATTR's argument may be another matter.
    let shift = match caller.instruction.op {
        Op::LoadAttr => CURRENT.operands.attribute_shift,
        _ => 0,
    };
    let name = caller.name(caller.instruction.arg >> shift).unwrap_or_default();
    let found = match boundary::is_builtin(&object, "super") {
        true => lookup_behind(&object, &name)?,
        false => lookup_on_type(&kind, &name),
    };
    if let Some(found) = found {
        let getter = boundary::is_builtin(&found, "property")
            .then(|| found.getattr(part))
            .transpose()?;
        if getter.is_some_and(|getter| callee.is(&getter)) || callee.is_method(&found, accessor) {
            return caller.again();
        }
    }
    // Whatever was asked before it failed, and it has the last word: its result is the value.
    if accessor == "__get__" && callee.is_method(&object, "__getattr__") {
        return caller.value();
    }
    Err(Refusal::Boundary(boundary::operation(
        &format!("the attribute {name}"),
        &object,
    )))
}
