//! Binary operators and comparisons: which methods of the operands are asked, and in which order.
//!
//! The method that is asked first can be asked again. One that is asked after another of the program's gave
//! `NotImplemented` cannot: that one would run a second time. Then what is left is done by the hook
//! ([`Rest::Operator`](crate::snapshot::Rest::Operator)).

use super::{Callee, Refusal};
use crate::boundary::{is_python_function, Passage};
use crate::code::{Instruction, Op};
use crate::cpython::objects::{behind_proxy, lookup_on_type};
use crate::cpython::CURRENT;
use crate::snapshot::Rest;
use crate::waiting::LiveEntry;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

/// A binary operator or a comparison.
pub(crate) struct Operator {
    /// The left operand's method.
    method: &'static str,
    /// The right operand's.
    reflected: &'static str,
    /// As it is written.
    sign: &'static str,
    is_in_place: bool,
    is_comparison: bool,
    /// The instruction asks whether the result is true.
    as_bool: bool,
}

impl Operator {
    /// The operator of an instruction, if that is what it is.
    pub fn of(instruction: &Instruction) -> Option<Self> {
        let (op, argument) = (instruction.op, instruction.arg);
        let shift = CURRENT.operands.compare_shift;
        let name = match op {
            Op::CompareOp => {
                let (method, reflected, sign) = *COMPARE.get((argument >> shift) as usize)?;
                return Some(Self {
                    method,
                    reflected,
                    sign,
                    is_in_place: false,
                    is_comparison: true,
                    // From 3.13 on the bit below the operator's number.
                    as_bool: shift > 4 && argument >> (shift - 1) & 1 != 0,
                });
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
        let is_in_place = match op {
            Op::BinaryOp => argument as usize >= ARITHMETIC.len(),
            _ => op.name().starts_with("INPLACE"),
        };
        Self::named(name).map(|operator| Self {
            is_in_place,
            ..operator
        })
    }

    /// The operator that has such a short name, as `add`, `lt`, or `iadd`.
    pub fn named(name: &str) -> Option<Self> {
        let arithmetic = |name: &str| {
            let (_, method, reflected, sign) = *ARITHMETIC.iter().find(|(short, ..)| *short == name)?;
            Some(Self {
                method,
                reflected,
                sign,
                is_in_place: false,
                is_comparison: false,
                as_bool: false,
            })
        };
        let comparison = COMPARE
            .iter()
            .find(|(method, ..)| method.trim_matches('_') == name);
        if let Some(&(method, reflected, sign)) = comparison {
            return Some(Self {
                method,
                reflected,
                sign,
                is_in_place: false,
                is_comparison: true,
                as_bool: false,
            });
        }
        arithmetic(name).or_else(|| {
            let in_place = arithmetic(name.strip_prefix('i')?)?;
            Some(Self {
                is_in_place: true,
                ..in_place
            })
        })
    }

    /// What an error says of it.
    fn text(&self) -> String {
        match (self.is_in_place, self.sign) {
            (true, sign) => format!("{sign}="),
            (false, "**") => "** or pow()".into(),
            (false, sign) => sign.into(),
        }
    }
}

/// One method that is asked.
struct Attempt<'py> {
    receiver: Bound<'py, PyAny>,
    other: Bound<'py, PyAny>,
    name: String,
    is_reflected: bool,
}

impl<'py> Attempt<'py> {
    fn kind(&self) -> Bound<'py, PyType> {
        self.receiver.get_type()
    }

    /// The method, if the program has written it.
    fn method(&self) -> Option<Bound<'py, PyAny>> {
        lookup_on_type(&self.kind(), &self.name).filter(|found| found.hasattr("__code__").unwrap_or(false))
    }

    /// Whether it is the callee, by its function, and by its arguments as far as those still tell.
    fn is(&self, callee: &Callee<'py>) -> PyResult<bool> {
        if !callee.is_method_of_type(&self.kind(), &self.name) {
            return Ok(false);
        }
        // Several methods may share their code, but from 3.11 on the frame has its function.
        let function = callee.frame.function();
        if function.is_some_and(|function| !self.method().is_none_or(|method| method.is(&function))) {
            return Ok(false);
        }
        let parameters = callee.parameters()?;
        let is = |index: usize, given: &Bound<'py, PyAny>| {
            parameters.argument(index).is_none_or(|passed| passed.is(given))
        };
        Ok(is(0, &self.receiver) && is(1, &self.other))
    }

    /// Whether the hook can ask it as CPython does: there is none, or a function, or what all objects have,
    /// which knows nothing.
    fn is_plain(&self) -> bool {
        let Some(found) = lookup_on_type(&self.kind(), &self.name) else {
            return true;
        };
        let of_object = lookup_on_type(&self.receiver.py().get_type::<PyAny>(), &self.name);
        is_python_function(&found) || self.name != "__ne__" && of_object.is_some_and(|own| own.is(&found))
    }
}

/// The methods that are asked, in their order; up to the one whose answer is not `NotImplemented`.
fn attempts<'py>(
    left: &Bound<'py, PyAny>,
    right: &Bound<'py, PyAny>,
    operator: &Operator,
) -> PyResult<Vec<Attempt<'py>>> {
    let (left_type, right_type) = (left.get_type(), right.get_type());
    let attempt = |name: &str, is_reflected: bool| {
        let (receiver, other) = if is_reflected {
            (right, left)
        } else {
            (left, right)
        };
        Attempt {
            receiver: receiver.clone(),
            other: other.clone(),
            name: name.into(),
            is_reflected,
        }
    };
    let mut tried = vec![attempt(operator.method, false), attempt(operator.reflected, true)];
    let is_same = right_type.is(&left_type);
    let is_subclass = !is_same && right_type.mro().iter().any(|above| above.is(&left_type));
    // Arithmetic prefers a subclass only if it has a method of its own, and asks one type once.
    let reflected = |kind| lookup_on_type(kind, operator.reflected);
    let is_own = || match (reflected(&left_type), reflected(&right_type)) {
        (Some(left), Some(right)) => !left.is(&right),
        (left, right) => left.is_none() && right.is_some(),
    };
    if is_subclass && (operator.is_comparison || is_own()) {
        tried.swap(0, 1);
    } else if is_same && !operator.is_comparison {
        tried.truncate(1);
    }
    if operator.is_in_place {
        tried.insert(0, attempt(&format!("__i{}", &operator.method[2..]), false));
    }
    Ok(tried)
}

/// Whether the left operand's method is one of the program's.
fn asks_program(left: &Bound<'_, PyAny>, operator: &Operator) -> bool {
    let in_place = format!("__i{}", &operator.method[2..]);
    let mut names = [operator.method, &in_place].into_iter();
    names.any(|name| lookup_on_type(&left.get_type(), name).is_some_and(|found| is_python_function(&found)))
}

/// A binary operator or a comparison of `left` and `right`; `None` if it does not lead to the callee.
pub(crate) fn binary<'py>(
    callee: &Callee<'py>,
    (left, right): (&Bound<'py, PyAny>, &Bound<'py, PyAny>),
    operator: &Operator,
) -> Result<Option<Passage>, Refusal> {
    let py = left.py();
    let behind = (behind_proxy(left)?, behind_proxy(right)?);
    let stands_for_other = behind.0.is_some() || behind.1.is_some();
    let (left, right) = match &behind {
        // A weak proxy on the left asks for the same operator between what both stand for; one on the right
        // does that only if the left operand does not know.
        (Some(left), behind) => (left, behind.as_ref().unwrap_or(right)),
        (None, Some(behind)) if !asks_program(left, operator) => (left, behind),
        _ => (left, right),
    };
    let mut tried = attempts(left, right, operator)?;
    if operator.method == "__ne__" {
        // Whoever has none asks `__eq__`.
        for attempt in &mut tried {
            let has_none = attempt.method().is_none();
            let found = lookup_on_type(&attempt.kind(), "__ne__");
            let of_object = lookup_on_type(&py.get_type::<PyAny>(), "__ne__");
            if has_none && found.zip(of_object).is_some_and(|(found, own)| found.is(&own)) {
                attempt.name = "__eq__".into();
            }
        }
    }
    let mut found = Vec::new();
    for (index, attempt) in tried.iter().enumerate() {
        if attempt.is(callee)? {
            found.push(index);
        }
    }
    let at = match found.as_slice() {
        [] => return Ok(None),
        [at] => *at,
        _ => {
            let sign = operator.sign;
            return Err(Refusal::Boundary(match left.is(right) {
                true => format!(
                    "{sign} of an object with itself, which asks its {} twice",
                    tried[0].name
                ),
                false => format!("the operator {sign}, whose methods all have the same code"),
            }));
        }
    };
    let Some(asked) = tried[..at].iter().find(|attempt| attempt.method().is_some()) else {
        return Ok(Some(Passage::Again));
    };
    let refusal = || {
        let name = &asked.name;
        Refusal::Boundary(format!(
            "the operator that had asked another operand's {name} before"
        ))
    };
    let inverts = operator.method == "__ne__" && tried.iter().any(|attempt| attempt.name == "__eq__");
    let in_c = [operator.method, operator.reflected].iter().any(|name| {
        let of = |kind: &Bound<'py, PyType>| {
            lookup_on_type(kind, name).is_some_and(|found| !is_python_function(&found))
        };
        !operator.is_comparison && (of(&left.get_type()) || of(&right.get_type()))
    });
    if inverts
        || in_c
        || stands_for_other
        || !tried.iter().all(Attempt::is_plain)
        || operator.sign == "divmod()"
    {
        return Err(refusal());
    }
    let left_over = tried[at + 1..]
        .iter()
        .map(|attempt| (&attempt.name, attempt.is_reflected));
    let left_over = PyTuple::new(py, left_over)?;
    let with = (
        operator.text(),
        left,
        right,
        left_over,
        operator.is_comparison,
        operator.as_bool,
    );
    Ok(Some(Passage::Rest(LiveEntry::Rest {
        rest: Rest::Operator,
        step: 0,
        with: with.into_pyobject(py)?.unbind(),
    })))
}

/// Comparisons, in the order of `COMPARE_OP`'s argument: the method, that of the right operand, the sign.
const COMPARE: [(&str, &str, &str); 6] = [
    ("__lt__", "__gt__", "<"),
    ("__le__", "__ge__", "<="),
    ("__eq__", "__eq__", "=="),
    ("__ne__", "__ne__", "!="),
    ("__gt__", "__lt__", ">"),
    ("__ge__", "__le__", ">="),
];

/// `NB_SUBSCR`: a subscript is a BINARY_OP from 3.14 on.
const SUBSCRIPT: u32 = 26;

/// Arithmetic, in the order of `BINARY_OP`'s argument (3.11 and later): a short name, the method, the
/// reflected one, the sign.
const ARITHMETIC: [(&str, &str, &str, &str); 13] = [
    ("add", "__add__", "__radd__", "+"),
    ("and", "__and__", "__rand__", "&"),
    ("floordiv", "__floordiv__", "__rfloordiv__", "//"),
    ("lshift", "__lshift__", "__rlshift__", "<<"),
    ("matmul", "__matmul__", "__rmatmul__", "@"),
    ("mul", "__mul__", "__rmul__", "*"),
    ("mod", "__mod__", "__rmod__", "%"),
    ("or", "__or__", "__ror__", "|"),
    ("pow", "__pow__", "__rpow__", "**"),
    ("rshift", "__rshift__", "__rrshift__", ">>"),
    ("sub", "__sub__", "__rsub__", "-"),
    ("truediv", "__truediv__", "__rtruediv__", "/"),
    ("xor", "__xor__", "__rxor__", "^"),
];

/// `divmod`, which is no instruction.
pub(crate) const DIVMOD: Operator = Operator {
    method: "__divmod__",
    reflected: "__rdivmod__",
    sign: "divmod()",
    is_in_place: false,
    is_comparison: false,
    as_bool: false,
};
