//! What the caller's instruction does with its callee's result, and whether it explains the callee.
//!
//! Between a frame and the one above it there may be C code, and it may have been entered by
//! anything: the call that the frame is at, or a finalizer that happens to run during it. So the
//! caller's instruction and its operands, which still lie on its stack, must *explain* the callee;
//! what they do not explain is refused. How the frame goes on when its callee returns is the
//! [`Entry`](crate::snapshot::Entry).

use crate::boundary;
use crate::code::{Instruction, Op};
use crate::cpython::codeobject::CodeInfo;
use crate::cpython::frame::{RunningFrame, SlotValue};
use crate::cpython::objects::lookup_on_type;
use crate::cpython::CURRENT;
use crate::parameters::Parameters;
use crate::waiting::LiveEntry;
use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyType};

/// A frame that waits for the one above it.
pub(crate) struct Caller<'a, 'py> {
    pub py: Python<'py>,
    pub frame: RunningFrame<'py>,
    pub info: &'a CodeInfo,
    pub instruction: Instruction,
    /// How many values its stack holds.
    pub depth: usize,
    /// How many its code says it holds before the instruction.
    pub expected: usize,
}

/// The frame above.
pub(crate) struct Callee<'py> {
    pub frame: RunningFrame<'py>,
    pub code: Bound<'py, PyAny>,
    /// Whether it was entered through C.
    pub from_c: bool,
}

/// How the callee was entered, and how much of the caller's stack outlives its return.
pub(crate) struct Explained {
    pub entry: LiveEntry,
    pub keep: usize,
}

/// Why it could not be told.
pub(crate) enum Refusal {
    /// C code stands between: its name.
    Boundary(String),
    /// The instruction has nothing to do with the callee.
    Unexplained,
    /// A class was called, but its instance is not known.
    Instance,
    /// The stack is not as deep as it should be.
    Depth,
    /// CPython raised an exception.
    Python(PyErr),
}

impl From<PyErr> for Refusal {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl<'py> Caller<'_, 'py> {
    /// The operand `index` places below the top that the code gives the stack, 0 for the top.
    pub fn operand(&self, index: usize) -> Option<Bound<'py, PyAny>> {
        let place = self.expected.checked_sub(index + 1)?;
        match self.frame.read_slot(self.info.slots + place) {
            SlotValue::Null => None,
            SlotValue::Object(object) => Some(object),
        }
    }

    /// Name number `index` of the code.
    fn name(&self, index: u32) -> Option<String> {
        let names = self.frame.code().getattr("co_names").ok()?;
        names.get_item(index as usize).ok()?.extract().ok()
    }

    /// The stack without the instruction's operands, below where its result goes.
    fn below_result(&self) -> usize {
        let after = self.info.facts.depth_after(&self.instruction);
        after.map_or(0, |depth| usize::from(depth).saturating_sub(1))
    }

    fn value(&self) -> Explained {
        Explained {
            entry: LiveEntry::Value,
            keep: self.below_result(),
        }
    }

    fn again(&self) -> Explained {
        Explained {
            entry: LiveEntry::Again,
            keep: self.expected,
        }
    }
}

impl<'py> Callee<'py> {
    /// What it was called with.
    pub fn parameters(&self) -> PyResult<Parameters<'py>> {
        Parameters::of(self.frame, self.code.cast()?)
    }

    /// Whether it runs the code of this Python function.
    pub fn is(&self, function: &Bound<'py, PyAny>) -> bool {
        function.getattr("__code__").is_ok_and(|code| code.is(&self.code))
    }

    /// Whether the type of `object` defines `name` as a Python function that the callee runs.
    fn is_method(&self, object: &Bound<'py, PyAny>, name: &str) -> bool {
        self.is_method_of_type(&object.get_type(), name)
    }

    pub fn is_method_of_type(&self, kind: &Bound<'py, PyType>, name: &str) -> bool {
        lookup_on_type(kind, name).is_some_and(|found| self.is(&found) || self.is_wrapped(&found))
    }

    /// A static or class method's function.
    fn is_wrapped(&self, found: &Bound<'py, PyAny>) -> bool {
        let wraps = boundary::is_builtin(found, "staticmethod") || boundary::is_builtin(found, "classmethod");
        wraps && found.getattr("__func__").is_ok_and(|function| self.is(&function))
    }

    /// Whether it is the frame of this generator or coroutine.
    pub fn belongs_to(&self, object: &Bound<'py, PyAny>) -> bool {
        self.frame
            .generator()
            .is_some_and(|generator| generator.is(object))
    }
}

/// Explains the callee by the instruction that its caller stands at.
pub(crate) fn explain<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    if !callee.from_c {
        return explain_inlined(caller);
    }
    if caller.depth != caller.expected {
        return Err(Refusal::Depth);
    }
    match caller.instruction.op {
        Op::CallFunction
        | Op::CallMethod
        | Op::CallFunctionKw
        | Op::CallFunctionEx
        | Op::Call
        | Op::CallKw => explain_call(caller, callee),
        Op::ForIter => explain_iteration(caller, callee, caller.operand(0)),
        Op::YieldFrom | Op::Send => explain_iteration(caller, callee, caller.operand(1)),
        Op::ListExtend => match caller.operand(0) {
            Some(source) if callee.belongs_to(&source) => Ok(caller.again()),
            Some(source) => Err(Refusal::Boundary(boundary::operation("list.extend", &source))),
            None => Err(Refusal::Unexplained),
        },
        Op::SetupWith | Op::BeforeWith => explain_enter(caller, callee),
        Op::WithExceptStart => explain_exit(caller, callee),
        _ => explain_operation(caller, callee),
    }
}

/// A callee that the same evaluator entered: it can only be what the instruction calls, and the
/// operands have moved into it.
fn explain_inlined(caller: &Caller<'_, '_>) -> Result<Explained, Refusal> {
    let explained = caller.value();
    match caller.instruction.op {
        Op::Call | Op::BinarySubscr if explained.keep == caller.depth => Ok(explained),
        Op::Call | Op::BinarySubscr => Err(Refusal::Depth),
        _ => Err(Refusal::Unexplained),
    }
}

/// The callable of a call instruction, and its first positional argument where that lies on the
/// stack by itself.
fn callable<'py>(caller: &Caller<'_, 'py>) -> Option<(Bound<'py, PyAny>, Option<Bound<'py, PyAny>>)> {
    let count = caller.instruction.arg as usize;
    match caller.instruction.op {
        Op::CallFunction => Some((
            caller.operand(count)?,
            count.checked_sub(1).and_then(|at| caller.operand(at)),
        )),
        Op::CallFunctionKw => Some((
            caller.operand(count + 1)?,
            (count > 0).then(|| caller.operand(count)).flatten(),
        )),
        // A method and its receiver, or a NULL and a callable.
        Op::CallMethod | Op::Call => match caller.operand(count + 1) {
            Some(method) => Some((method, caller.operand(count))),
            None => Some((
                caller.operand(count)?,
                count.checked_sub(1).and_then(|at| caller.operand(at)),
            )),
        },
        Op::CallFunctionEx => Some((caller.operand(1 + (count & 1))?, None)),
        _ => None,
    }
}

fn explain_call<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    let Some((callable, first)) = callable(caller) else {
        return Err(Refusal::Unexplained);
    };
    use boundary::Passage;
    let passage = match boundary::passage(caller.py, &callable, first.as_ref(), callee) {
        Ok(Passage::Value)
            if callable.is_instance_of::<PyFunction>() && !arguments_agree(caller, callee, 0)? =>
        {
            return Err(Refusal::Boundary(format!(
                "an object that was made of {} and called in its place",
                boundary::name_of(&callable)
            )));
        }
        Err(refusal) if !is_receiver(caller, callee, &callable)? => return Err(refusal),
        Err(_) => Passage::Value,
        Ok(passage) => passage,
    };
    match passage {
        Passage::Value => Ok(caller.value()),
        Passage::Instance(instance) => Ok(Explained {
            entry: LiveEntry::Instance(instance),
            keep: caller.below_result(),
        }),
        // What was unpacked for the call lies in C, and what is left on the stack may dangle.
        Passage::Again if caller.instruction.op == Op::CallFunctionEx => Err(Refusal::Boundary(
            boundary::name_of(&callable) + " called with unpacked arguments",
        )),
        Passage::Again => Ok(caller.again()),
        Passage::Body => explain_class_body(caller),
    }
}

/// The body of a class. `__build_class__` is called again, which asks the bases for their metaclass
/// and that for a namespace: harmless unless the program wrote what is asked.
fn explain_class_body(caller: &Caller<'_, '_>) -> Result<Explained, Refusal> {
    let count = caller.instruction.arg as usize;
    let plain = matches!(caller.instruction.op, Op::CallFunction | Op::Call) && !has_keyword_names(caller);
    // The function of the body, the name, the bases.
    for index in 0..count.saturating_sub(2) {
        let Some(base) = caller.operand(index) else {
            return Err(Refusal::Unexplained);
        };
        let Ok(class) = base.cast::<PyType>() else {
            return Err(Refusal::Boundary(
                "__build_class__, with a base that is no class".into(),
            ));
        };
        let prepare = lookup_on_type(&class.get_type(), "__prepare__");
        if prepare.is_some_and(|prepare| prepare.hasattr("__func__").unwrap_or(true)) {
            return Err(Refusal::Boundary(
                "__build_class__, with a __prepare__ of its own".into(),
            ));
        }
    }
    if !plain {
        return Err(Refusal::Boundary(
            "__build_class__, with keyword arguments".into(),
        ));
    }
    Ok(caller.again())
}

/// Whether what lies in the callable's place is the callee's first argument.
///
/// While a bound method runs that was called with a vector, CPython keeps its receiver in the slot
/// of the method (`method_vectorcall` in Objects/classobject.c); `functools.partial` does so with
/// its one argument. The method itself is then to be had nowhere, but its function runs.
fn is_receiver<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
    found: &Bound<'py, PyAny>,
) -> PyResult<bool> {
    if caller.instruction.op == Op::CallFunctionEx {
        return Ok(false);
    }
    let parameters = callee.parameters()?;
    let is_passed = |index| parameters.passed(index).is_some_and(|passed| passed.is(found));
    if is_passed(0) {
        return arguments_agree(caller, callee, 1);
    }
    // A partial of a bound method.
    if is_passed(1) {
        return arguments_agree(caller, callee, 2);
    }
    // Bound anew: then by the function's name, as an instance's method or a class's.
    let name = callee.code.getattr("co_name")?.extract::<String>()?;
    let class = found.cast::<PyType>().ok();
    let is_method = callee.is_method_of_type(&found.get_type(), &name)
        || class.is_some_and(|class| callee.is_method_of_type(class, &name));
    Ok(is_method && arguments_agree(caller, callee, 1)?)
}

/// Whether the call's positional operands are what the callee got for its parameters from `skip`
/// on, as far as those still tell.
fn arguments_agree<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>, skip: usize) -> PyResult<bool> {
    let count = caller.instruction.arg as usize;
    let is_method_call =
        matches!(caller.instruction.op, Op::CallMethod | Op::Call) && caller.operand(count + 1).is_some();
    let names = match caller.instruction.op {
        Op::CallFunction => 0,
        // The names of keyword arguments lie above them.
        Op::CallFunctionKw => 1,
        Op::CallMethod | Op::Call => 0,
        _ => return Ok(true),
    };
    let parameters = callee.parameters()?;
    // Keyword arguments come behind the positional ones, and how many those are is only known where
    // their names lie on the stack.
    let keywords = match names {
        0 => 0,
        _ => caller.operand(0).map_or(Ok(0), |names| names.len())?,
    };
    let receiver = usize::from(is_method_call);
    let positional = (count + receiver).saturating_sub(keywords);
    if caller.instruction.op == Op::Call && has_keyword_names(caller) {
        return Ok(true);
    }
    for index in 0..positional.min(parameters.len().saturating_sub(skip)) {
        let given = caller.operand(names + count + receiver - 1 - index);
        let (Some(given), Some(passed)) = (given, parameters.passed(index + skip)) else {
            continue;
        };
        if !given.is(&passed) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the call has keyword arguments by an instruction before it (3.11, 3.12).
fn has_keyword_names(caller: &Caller<'_, '_>) -> bool {
    let facts = &caller.info.facts;
    let first = facts.reexecute_from(&caller.instruction);
    facts
        .instruction_at(first)
        .is_some_and(|first| first.op == Op::KwNames)
}

/// `for`, `yield from` and `await`: a generator that runs, or an iterator written in Python.
fn explain_iteration<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
    iterator: Option<Bound<'py, PyAny>>,
) -> Result<Explained, Refusal> {
    let Some(iterator) = iterator else {
        return Err(Refusal::Unexplained);
    };
    if callee.belongs_to(&iterator) || callee.is_method(&iterator, "__next__") {
        return Ok(caller.again());
    }
    if boundary::is_python_class(&iterator.get_type()) {
        return Err(Refusal::Unexplained);
    }
    Err(Refusal::Boundary(boundary::operation("the iteration", &iterator)))
}

/// `__enter__` runs. CPython up to 3.11 has put the exit method in the manager's place already.
fn explain_enter<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    let Some(exit) = caller.operand(0) else {
        return Err(Refusal::Unexplained);
    };
    let manager = exit.getattr("__self__").map_err(|_| Refusal::Unexplained)?;
    if callee.is_method(&manager, "__enter__") {
        return Ok(Explained {
            entry: LiveEntry::WithEnter,
            keep: caller.expected,
        });
    }
    Err(Refusal::Boundary(boundary::operation(
        "the `with` statement's __enter__",
        &manager,
    )))
}

/// `__exit__` runs with an exception. It lies below what describes that exception.
fn explain_exit<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    // 3.9 and 3.10: the exception and the one before it, three values each; from 3.11 on: the
    // instruction's offset, the exception before, the exception.
    let below = if CURRENT.handled.triple.is_some() { 6 } else { 3 };
    let Some(exit) = caller.operand(below) else {
        return Err(Refusal::Unexplained);
    };
    match boundary::passage(caller.py, &exit, None, callee)? {
        boundary::Passage::Value => Ok(Explained {
            entry: LiveEntry::WithExit,
            keep: caller.expected,
        }),
        _ => Err(Refusal::Boundary(boundary::operation(
            "the `with` statement's __exit__",
            &exit,
        ))),
    }
}

/// Operators, attributes, subscripts: the instruction runs again, asks the same type for the same
/// method, and enters it again.
fn explain_operation<'py>(caller: &Caller<'_, 'py>, callee: &Callee<'py>) -> Result<Explained, Refusal> {
    let (instruction, op) = (caller.instruction, caller.instruction.op);
    if let Some((method, reflected)) = binary_methods(op, instruction.arg) {
        let (Some(left), Some(right)) = (caller.operand(1), caller.operand(0)) else {
            return Err(Refusal::Unexplained);
        };
        return explain_binary(caller, callee, &left, &right, method, reflected);
    }
    let (object, methods): (_, &[&str]) = match op {
        Op::BinarySubscr => (caller.operand(1), &["__getitem__", "__class_getitem__"]),
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
        Op::ContainsOp => (caller.operand(0), &["__contains__"]),
        Op::UnaryNot
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
        return Ok(caller.again());
    }
    Err(Refusal::Boundary(boundary::operation(
        &op.name().to_lowercase(),
        &object,
    )))
}

/// The methods of a binary operator or a comparison: the left operand's and the right one's.
fn binary_methods(op: Op, argument: u32) -> Option<(&'static str, &'static str)> {
    const ARITHMETIC: [&str; 13] = [
        "add", "and", "floordiv", "lshift", "matmul", "mul", "mod", "or", "pow", "rshift", "sub", "truediv",
        "xor",
    ];
    const COMPARE: [(&str, &str); 6] = [
        ("__lt__", "__gt__"),
        ("__le__", "__ge__"),
        ("__eq__", "__eq__"),
        ("__ne__", "__ne__"),
        ("__gt__", "__lt__"),
        ("__ge__", "__le__"),
    ];
    let name = match op {
        Op::CompareOp => return COMPARE.get(argument as usize).copied(),
        Op::BinaryOp => ARITHMETIC[argument as usize % ARITHMETIC.len()],
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
    METHODS
        .iter()
        .find(|(short, _, _)| *short == name)
        .map(|(_, left, right)| (*left, *right))
}

/// Arithmetic: a short name, the method, the reflected one.
const METHODS: [(&str, &str, &str); 13] = [
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
    tried.insert(0, (left_type, in_place.as_str()));
    let python_method = |kind: &Bound<'py, PyType>, name: &str| {
        lookup_on_type(kind, name).is_some_and(|found| found.hasattr("__code__").unwrap_or(false))
    };
    let mut first = None;
    for (kind, name) in &tried {
        if python_method(kind, name) {
            if callee.is_method_of_type(kind, name) {
                return match first {
                    None => Ok(caller.again()),
                    Some(_) => Err(Refusal::Boundary(format!(
                        "the operator that had asked another operand's {} before",
                        first.unwrap_or_default()
                    ))),
                };
            }
            if *name != in_place || caller.instruction.op.name().starts_with("INPLACE") {
                first.get_or_insert(*name);
            }
        }
    }
    Err(Refusal::Boundary(boundary::operation(
        &caller.instruction.op.name().to_lowercase(),
        left,
    )))
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
        return Ok(caller.again());
    }
    let kind = object.get_type();
    let name = caller.name(caller.instruction.arg).unwrap_or_default();
    let found = match boundary::is_builtin(&object, "super") {
        true => lookup_behind(&object, &name)?,
        false => lookup_on_type(&kind, &name),
    };
    if let Some(found) = found {
        let getter = boundary::is_builtin(&found, "property")
            .then(|| found.getattr(part))
            .transpose()?;
        if getter.is_some_and(|getter| callee.is(&getter)) || callee.is_method(&found, accessor) {
            return Ok(caller.again());
        }
    }
    // Whatever was asked before it failed, and it has the last word: its result is the value.
    if accessor == "__get__"
        && caller.instruction.op == Op::LoadAttr
        && callee.is_method(&object, "__getattr__")
    {
        return Ok(caller.value());
    }
    Err(Refusal::Boundary(boundary::operation(
        &format!("the attribute {name}"),
        &object,
    )))
}
