//! C code between a call and the Python frame that it led to.
//!
//! Some of it only passes the call on: what the frame returns is what the call is worth
//! ([`Passage::Value`]), or has a known tail ([`Passage::Instance`]), or can be entered again
//! without doing anything twice ([`Passage::Again`]). Everything else has work of its own left, and
//! is refused by name.

mod builtins;
mod cached;
mod chains;
mod driving;
mod iterators;
mod steps;

pub(crate) use cached::{is_kept_by_cache, CachedCall};
pub(crate) use chains::{chained, without_spent_items};
pub(crate) use driving::{driven, is_first_hook};
pub(crate) use iterators::{collected_into, is_aside, is_collection, kind_of, next_item, through_made};
pub(crate) use steps::{is_run_of_context, stepped};

use crate::cpython::evalframe::recorded_instance;
use crate::cpython::modules::import;
use crate::cpython::objects::{behind_proxy, function_of_method, is_called_as_type, lookup_on_type};
use crate::entry::{Callee, Refusal};
use crate::waiting::LiveEntry;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyFunction, PyModule, PyType};

/// How a call leads to the frame above it.
pub(crate) enum Passage {
    /// The frame's result is the call's.
    Value,
    /// The frame is the `__init__` of this instance, which is the call's result.
    Instance(Py<PyAny>),
    /// The call can be made again, and leads to the same frame.
    Again,
    /// The same if one operand is replaced: the frame is that of a generator which the call goes through, and which
    /// it has made of that operand.
    AgainThrough {
        /// The operand.
        operand: Py<PyAny>,
        /// The generator.
        source: Py<PyAny>,
    },
    /// The frame is that of a task's coroutine, which a call of the same with this alone enters again.
    Step(Py<PyAny>),
    /// The frame's result is dropped, and the call is made again: it finds done what the frame did.
    Repeat,
    /// The frame's result is the call's, and the frame goes on when None is sent to this.
    Sent(Py<PyAny>),
    /// The frame is that of a generator which is being closed, perhaps for the sake of those that
    /// delegate to it.
    Closed,
    /// `functools.lru_cache` has called what it wraps, in a call like this.
    Cached(CachedCall),
    /// The call can be made again through this cache, which has counted it.
    AgainCached(Py<PyAny>),
    /// Importlib imports a module for the call, which is made again once that is there.
    Import,
    /// Importlib's result is the call's.
    Imported,
    /// The C code has something left that the hook does.
    Rest(LiveEntry),
    /// The frame's result is dropped: the call is worth this.
    Worth(Py<PyAny>),
    /// The frame is the `__set_name__` of something in the namespace of this class, which has been made,
    /// and is what the call is worth.
    Names(Py<PyAny>),
    /// `print` prints, which is a matter of its own.
    Print,
    /// A class statement makes a class, which is a matter of its own.
    Class,
    /// The frame's result decides on the next item, or is that, and the call can be made again once it is in
    /// this list.
    Item {
        /// The list.
        items: Py<PyAny>,
        /// The item, if the result is not it, and the truth that the result has to have.
        decides: Option<(bool, Py<PyAny>)>,
    },
    /// If the frame's result is as true as `when` says, the call is worth `value`; otherwise it can
    /// be made again, and goes on with what comes next.
    Either {
        /// The truth that ends the call.
        when: bool,
        /// What it is worth then.
        value: Py<PyAny>,
    },
    /// This iterator keeps something of the frame's result, which is the next item, or decides on this one.
    Kept {
        /// The iterator.
        by: Py<PyAny>,
        /// The item, if the result is not it.
        item: Option<Py<PyAny>>,
    },
}

/// How deep callables may be wrapped in one another.
const MAX_WRAPPERS: usize = 64;

/// How calling `callable` leads to `callee`.
///
/// `operands` are the first positional ones, a method's receiver before them, as far as they lie on
/// the stack by themselves.
pub(crate) fn passage<'py>(
    py: Python<'py>,
    callable: &Bound<'py, PyAny>,
    operands: &[Bound<'py, PyAny>],
    callee: &Callee<'py>,
) -> Result<Passage, Refusal> {
    let mut callable = callable.clone();
    let mut operands = operands.to_vec();
    let keywords = PyDict::new(py);
    for _ in 0..MAX_WRAPPERS {
        if callee.is(&callable) && !is_python_instance(&callable) {
            return Ok(Passage::Value);
        }
        if let Some(function) = function_of_method(&callable) {
            operands.insert(0, callable.getattr("__self__")?);
            callable = function;
        } else if is_exactly(py, &callable, "functools", "partial")? {
            let bound: Vec<Bound<'py, PyAny>> = callable.getattr("args")?.extract()?;
            operands.splice(0..0, bound);
            let added = callable.getattr("keywords")?;
            for (name, value) in added.cast::<PyDict>().map_err(PyErr::from)? {
                if !keywords.contains(&name)? {
                    keywords.set_item(name, value)?;
                }
            }
            callable = callable.getattr("func")?;
        } else if is_exactly(py, &callable, "functools", "_lru_cache_wrapper")? {
            return cached::through_cache(&callable, &operands, &keywords, callee);
        } else if let Ok(class) = callable.cast::<PyType>() {
            return match builtins::through_type(class, &operands, callee) {
                Some(passage) => Ok(passage),
                None => through_class(class, callee),
            };
        } else if let Some(passed_on) = through_builtin(py, &callable, &operands, callee)? {
            return Ok(passed_on);
        } else if let Some(behind) = behind_proxy(&callable)? {
            callable = behind;
        } else if let Some(call) = python_call(&callable) {
            operands.insert(0, callable);
            callable = call;
        } else if callable.is_instance_of::<PyFunction>() {
            // It was called, but is not the one that runs.
            return Err(Refusal::Unexplained);
        } else {
            return Err(Refusal::Boundary(name_of(&callable)));
        }
    }
    Err(Refusal::Boundary(name_of(&callable)))
}

/// Whether the program computes the hash of an object, or of what is in it.
pub(crate) fn has_own_hash(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    has_own_hash_in(object, MAX_WRAPPERS)
}

fn has_own_hash_in(object: &Bound<'_, PyAny>, nested: usize) -> PyResult<bool> {
    let kind = object.get_type();
    if lookup_on_type(&kind, "__hash__").is_some_and(|hash| is_python_function(&hash)) {
        return Ok(true);
    }
    if !is_builtin(object, "tuple") && !is_builtin(object, "frozenset") {
        return Ok(false);
    }
    for item in object.try_iter()? {
        if nested == 0 || has_own_hash_in(&item?, nested - 1)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The Python `__call__` of an instance.
fn python_call<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let call = lookup_on_type(&object.get_type(), "__call__")?;
    (call.get_type().name().is_ok_and(|name| name == "function")).then_some(call)
}

fn is_python_instance(object: &Bound<'_, PyAny>) -> bool {
    python_call(object).is_some()
}

/// A class that is called: its metaclass's `__call__`, or its `__init__`.
fn through_class<'py>(class: &Bound<'py, PyType>, callee: &Callee<'py>) -> Result<Passage, Refusal> {
    if !is_called_as_type(class) {
        if callee.is_method_of_type(&class.get_type(), "__call__") {
            return Ok(Passage::Value);
        }
        return Err(Refusal::Boundary(name_of(class)));
    }
    through_type_call(class, callee)
}

/// `type.__call__` of a class.
fn through_type_call<'py>(class: &Bound<'py, PyType>, callee: &Callee<'py>) -> Result<Passage, Refusal> {
    // The call begins with `__new__`, and goes on with `__init__` by itself.
    if callee.is_method_of_type(class, "__new__") {
        return Ok(Passage::Again);
    }
    if let Some(passage) = made_by_metaclass(class, callee)? {
        return Ok(passage);
    }
    let Some(instance) = instance_of(callee) else {
        if callee.is_method_of_type(class, "__init__") {
            return Err(Refusal::Instance);
        }
        return Err(Refusal::Boundary(name_of(class)));
    };
    // `__new__` may have made an instance of a subclass, whose `__init__` it then is.
    let made = instance.get_type();
    if made.is_subclass(class)? && callee.is_method_of_type(&made, "__init__") {
        return Ok(Passage::Instance(instance.unbind()));
    }
    Err(Refusal::Boundary(name_of(class)))
}

/// How a metaclass whose own methods are in C leads to the callee, once it has made the class.
pub(crate) fn made_by_metaclass<'py>(
    meta: &Bound<'py, PyType>,
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    let in_c = |name: &str| {
        let found = lookup_on_type(meta, name);
        found.is_some_and(|found| !is_python_function(&found) && !is_builtin(&found, "staticmethod"))
    };
    let is_metaclass = meta
        .mro()
        .iter()
        .any(|above| above.is(meta.py().get_type::<PyType>()));
    match is_metaclass && in_c("__init__") && in_c("__new__") {
        true => made_class(callee),
        false => Ok(None),
    }
}

/// How `type.__new__` leads to the callee: it tells what is in the namespace its name, and calls
/// `__init_subclass__` in the end.
fn made_class(callee: &Callee<'_>) -> Result<Option<Passage>, Refusal> {
    let parameters = callee.parameters()?;
    let Some(first) = parameters.argument(0) else {
        return Ok(None);
    };
    if callee.is_method(&first, "__set_name__") {
        let owner = parameters
            .argument(1)
            .filter(|owner| owner.is_instance_of::<PyType>());
        return Ok(owner.map(|made| Passage::Names(made.unbind())));
    }
    let Ok(class) = first.cast::<PyType>() else {
        return Ok(None);
    };
    for above in class.mro().iter().skip(1) {
        let names = above.getattr("__dict__")?;
        if names.contains("__init_subclass__")? {
            let found = names.get_item("__init_subclass__")?;
            return Ok(callee.is_or_wraps(&found).then(|| Passage::Worth(first.unbind())));
        }
    }
    Ok(None)
}

/// The instance that an `__init__` was entered with: recorded, or still its first argument.
fn instance_of<'py>(callee: &Callee<'py>) -> Option<Bound<'py, PyAny>> {
    let parameters = callee.parameters().ok()?;
    match recorded_instance(callee.code.py(), callee.frame) {
        // What was recorded is the first local: without named parameters, the tuple of all arguments.
        Some(arguments) if parameters.len() == 0 => arguments.get_item(0).ok(),
        Some(instance) => Some(instance),
        None => parameters.argument(0),
    }
}

/// Functions and methods in C.
fn through_builtin<'py>(
    py: Python<'py>,
    callable: &Bound<'py, PyAny>,
    operands: &[Bound<'py, PyAny>],
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    let name = callable
        .getattr("__name__")
        .and_then(|name| name.extract::<String>());
    let Ok(name) = name else {
        return builtins::through_object(py, callable, operands, callee);
    };
    let kind = callable.get_type();
    let kind = kind.name()?;
    if callable.is_instance_of::<PyCFunction>() {
        let owner = callable.getattr("__self__")?;
        let Ok(module) = owner.cast::<PyModule>() else {
            return through_method(py, &name, &owner, operands, callee);
        };
        return match module.name()?.to_str()? {
            "builtins" => builtins::through_function(py, &name, operands, callee),
            "_operator" => builtins::through_operator(py, &name, operands, callee),
            "_collections" if name == "_count_elements" => {
                Ok(iterators::collected(py, operands.get(1), callee)?)
            }
            _ => Ok(None),
        };
    }
    if kind == "method-wrapper" {
        return through_method(py, &name, &callable.getattr("__self__")?, operands, callee);
    }
    // The same, not bound: the receiver is the first argument.
    if let ("method_descriptor" | "wrapper_descriptor", Some((owner, rest))) =
        (kind.to_str()?, operands.split_first())
    {
        return through_method(py, &name, owner, rest, callee);
    }
    builtins::through_object(py, callable, operands, callee)
}

/// A method in C of `owner`.
fn through_method<'py>(
    py: Python<'py>,
    name: &str,
    owner: &Bound<'py, PyAny>,
    operands: &[Bound<'py, PyAny>],
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    if callee.belongs_to(owner) || callee.is_closed_through(owner) {
        return Ok(driving::through_generator(name, owner, callee));
    }
    match name {
        name if driving::GIVE_AWAITABLES.contains(&name) && is_first_hook(owner, callee)? => {
            Ok(Some(Passage::Repeat))
        }
        "run" if is_context(owner) => through_context(py, operands, callee),
        "__next__" => iterators::next_item(py, owner, callee),
        "__call__" => match owner.cast::<PyType>() {
            Ok(class) => through_type_call(class, callee).map(Some),
            Err(_) => Ok(None),
        },
        _ => builtins::through_method(py, name, owner, operands, callee),
    }
}

fn is_context(object: &Bound<'_, PyAny>) -> bool {
    is_exactly(object.py(), object, "_contextvars", "Context").unwrap_or(false)
}

/// `Context.run`: entered again, it enters the context again, which travels as one that is not
/// entered, and calls on.
fn through_context<'py>(
    py: Python<'py>,
    operands: &[Bound<'py, PyAny>],
    callee: &Callee<'py>,
) -> Result<Option<Passage>, Refusal> {
    let Some((called, rest)) = operands.split_first() else {
        return Ok(None);
    };
    if let Some(step) = steps::step_again(called, callee)? {
        return Ok(Some(Passage::Step(step)));
    }
    match passage(py, called, rest, callee)? {
        Passage::Value | Passage::Again => Ok(Some(Passage::Again)),
        _ => Ok(None),
    }
}

pub(crate) fn is_exactly(
    py: Python<'_>,
    object: &Bound<'_, PyAny>,
    module: &str,
    name: &str,
) -> PyResult<bool> {
    let kind = object.get_type();
    if kind.name()? != name {
        return Ok(false);
    }
    Ok(kind.is(&import(py, module)?.getattr(name)?))
}

/// Whether an object is a function that a `def` or a `lambda` made.
pub(crate) fn is_python_function(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyFunction>()
}

/// Whether an object is a module, of whatever class.
pub(crate) fn is_module(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyModule>()
}

/// Whether `object` is an instance of a built-in class, itself and no subclass.
pub(crate) fn is_builtin(object: &Bound<'_, PyAny>, name: &str) -> bool {
    is_exactly(object.py(), object, "builtins", name).unwrap_or(false)
}

/// Whether a class was made by a `class` statement.
pub(crate) fn is_python_class(class: &Bound<'_, PyType>) -> bool {
    /// `Py_TPFLAGS_HEAPTYPE`.
    const HEAP_TYPE: u64 = 1 << 9;
    let flags = class
        .getattr("__flags__")
        .and_then(|flags| flags.extract::<u64>());
    flags.is_ok_and(|flags| flags & HEAP_TYPE != 0)
}

/// A C function or a class as a message names it.
pub(crate) fn name_of(object: &Bound<'_, PyAny>) -> String {
    let text = |name: &str| {
        object
            .getattr(name)
            .ok()
            .and_then(|value| value.extract::<String>().ok())
    };
    let Some(name) = text("__qualname__").or_else(|| text("__name__")) else {
        return format!("an object of type {}", type_name(object));
    };
    match text("__module__") {
        Some(module) if module != "builtins" => format!("{module}.{name}"),
        _ => name,
    }
}

/// What an instruction does to an object, as a message names it.
pub(crate) fn operation(what: &str, object: &Bound<'_, PyAny>) -> String {
    format!("{what} of an object of type {}", type_name(object))
}

fn type_name(object: &Bound<'_, PyAny>) -> String {
    object
        .get_type()
        .qualname()
        .map_or_else(|_| "?".into(), |name| name.to_string())
}
