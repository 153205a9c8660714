//! `__build_class__`: the body of a class, and what is done with it.
//!
//! The C code asks the bases which are no classes what stands for them (`__mro_entries__`), the
//! metaclass for a namespace (`__prepare__`), runs the body, and calls the metaclass. Whatever the
//! program has of that may run only once; so from the body on the rest of it is done by the hook
//! ([`Rest::Class`](crate::snapshot::Rest::Class)), for which all that it takes must be to be had.

use super::call::keyword_arguments;
use super::{Callee, Caller, Explained, Refusal};
use crate::boundary::{self, Passage};
use crate::code::Op;
use crate::cpython::codeobject::CodeInfo;
use crate::cpython::modules::import;
use crate::cpython::objects::{is_called_as_type, lookup_on_type};
use crate::parameters::Parameters;
use crate::rest::{ClassRest, ClassStep};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

/// What a class statement gives to `__build_class__`.
struct Statement<'py> {
    body: Bound<'py, PyAny>,
    name: Bound<'py, PyAny>,
    /// The bases as they are written.
    written: Bound<'py, PyTuple>,
    /// The keyword arguments without the metaclass.
    keywords: Bound<'py, PyDict>,
    metaclass: Option<Bound<'py, PyAny>>,
}

impl<'py> Statement<'py> {
    fn of(caller: &Caller<'_, 'py>, positional: &[Bound<'py, PyAny>]) -> PyResult<Option<Self>> {
        let ([body, name, bases @ ..], Some(keywords)) = (positional, keyword_arguments(caller)?) else {
            return Ok(None);
        };
        let metaclass = keywords.get_item("metaclass")?;
        if metaclass.is_some() {
            keywords.del_item("metaclass")?;
        }
        Ok(Some(Self {
            body: body.clone(),
            name: name.clone(),
            written: PyTuple::new(caller.py, bases)?,
            keywords,
            metaclass,
        }))
    }

    /// The bases that the class gets; `None` if only code of the program knows.
    fn bases(&self) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let mut bases = Vec::new();
        for base in self.written.iter() {
            match base.is_instance_of::<PyType>() || !base.hasattr("__mro_entries__")? {
                true => bases.push(base),
                false if is_of_typing(&base)? => {
                    let entries = base.call_method1("__mro_entries__", (&self.written,))?;
                    bases.extend(entries.cast_into::<PyTuple>()?.iter());
                }
                false => return Ok(None),
            }
        }
        PyTuple::new(self.written.py(), bases).map(Some)
    }

    /// The metaclass, the most derived of those that the class and its bases name.
    fn metaclass(&self, bases: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let py = bases.py();
        let mut winner = match (&self.metaclass, bases.is_empty()) {
            (Some(metaclass), _) => metaclass.clone(),
            (None, true) => return Ok(py.get_type::<PyType>().into_any()),
            (None, false) => bases.get_item(0)?.get_type().into_any(),
        };
        if !winner.is_instance_of::<PyType>() {
            return Ok(winner);
        }
        for base in bases.iter() {
            let kind = base.get_type();
            if kind.mro().iter().any(|above| above.is(&winner)) {
                winner = kind.into_any();
            }
        }
        Ok(winner)
    }
}

/// Whether what an object says of the bases that stand for it is said by the standard library, which
/// says it twice without harm.
fn is_of_typing(base: &Bound<'_, PyAny>) -> PyResult<bool> {
    let module = base.get_type().getattr("__module__")?;
    if module.eq("typing")? || module.eq("types")? {
        return Ok(true);
    }
    // Up to a release NamedTuple and TypedDict are functions.
    let is_function = boundary::is_python_function(base) || !boundary::is_python_class(&base.get_type());
    let module = base.getattr_opt("__module__")?;
    Ok(is_function && module.is_some_and(|module| module.eq("typing").unwrap_or(false)))
}

fn refusal(what: &str) -> Refusal {
    Refusal::Boundary(format!("__build_class__{what}"))
}

/// Explains what `__build_class__` has called; `positional` are its arguments.
pub(super) fn explain_class<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
    positional: &[Bound<'py, PyAny>],
) -> Result<Explained, Refusal> {
    let statement = Statement::of(caller, positional)?;
    let statement = statement.ok_or_else(|| refusal(", with arguments that are not to be had any more"))?;
    if asked_for_bases(&statement, callee)? {
        return caller.again();
    }
    let parameters = callee.parameters()?;
    let bases = match statement.bases()? {
        Some(bases) => bases,
        // The metaclass has been told, and so has the class.
        None => told_bases(&parameters)?
            .filter(|_| !callee.is(&statement.body))
            .ok_or_else(|| refusal(", with a __mro_entries__ of the program"))?,
    };
    let metaclass = statement.metaclass(&bases)?;
    let meta = metaclass.cast::<PyType>().ok();
    if meta.is_some_and(|meta| callee.is_method_of_type(meta, "__prepare__")) {
        return caller.again();
    }
    let rest = |step: ClassStep, namespace: Option<Bound<'py, PyAny>>, made: Option<Bound<'py, PyAny>>| {
        let cell = match (&step, &namespace) {
            (ClassStep::Body | ClassStep::Names, _) | (_, None) => None,
            (_, Some(namespace)) => cell_of(&statement, namespace)?,
        };
        let rest = ClassRest {
            metaclass: metaclass.clone(),
            name: statement.name.clone(),
            bases: bases.clone(),
            written: (!step.is_behind_body() && !bases.eq(&statement.written)?)
                .then(|| statement.written.clone()),
            namespace,
            keywords: statement.keywords.clone(),
            cell,
            made,
        };
        caller.without_operands(rest.entry(caller.py, step)?, caller.below_result())
    };
    if callee.is(&statement.body) {
        return rest(ClassStep::Body, callee.frame.namespace(), None);
    }
    let argument = |index: usize, what: &str| {
        let lost = || {
            refusal(&format!(
                ", whose metaclass's {what} has bound its parameters anew"
            ))
        };
        parameters.argument(index).ok_or_else(lost)
    };
    let Some(meta) = meta.filter(|meta| is_called_as_type(meta)) else {
        // A metaclass that is called in its own way, or no class at all: its result is the class.
        return match boundary::passage(caller.py, &metaclass, &[], callee)? {
            Passage::Value => {
                let skip = usize::from(meta.is_some());
                rest(ClassStep::Made, Some(argument(skip + 2, "__call__")?), None)
            }
            _ => Err(refusal("")),
        };
    };
    if callee.is_method_of_type(meta, "__new__") {
        let namespace = match parameters.argument(3) {
            // It goes on to nobody who would look at it.
            None if !has_class_cell(&statement)? && ignores_arguments(meta)? => {
                PyDict::new(caller.py).into_any()
            }
            _ => argument(3, "__new__")?,
        };
        return rest(ClassStep::New, Some(namespace), None);
    }
    if callee.is_method_of_type(meta, "__init__") {
        let made = argument(0, "__init__")?;
        return rest(ClassStep::Init, Some(argument(3, "__init__")?), Some(made));
    }
    match boundary::made_by_metaclass(meta, callee)? {
        Some(Passage::Worth(made)) => rest(ClassStep::Subclass, None, Some(made.into_bound(caller.py))),
        Some(Passage::Names(made)) => {
            let made = made.into_bound(caller.py);
            let left = names_left(callee, &made)?;
            rest(ClassStep::Names, Some(left.into_any()), Some(made))
        }
        _ => Err(refusal("")),
    }
}

/// The bases that a method of the metaclass was called with, or those of the class that another one was called for.
fn told_bases<'py>(parameters: &Parameters<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let told = parameters
        .argument(2)
        .and_then(|bases| bases.cast_into::<PyTuple>().ok());
    if told.is_some() {
        return Ok(told);
    }
    let mut passed = (0..2).filter_map(|index| parameters.argument(index));
    let made = passed.find(|passed| passed.is_instance_of::<PyType>());
    let bases = made.map(|made| {
        let bases = made
            .py()
            .get_type::<PyType>()
            .getattr("__dict__")?
            .get_item("__bases__")?;
        Ok::<_, PyErr>(bases.call_method1("__get__", (made,))?.cast_into()?)
    });
    bases.transpose()
}

/// Explains the `__set_name__` that the call of a metaclass's `__new__` in C has led to.
pub(super) fn explain_names<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
    made: Bound<'py, PyAny>,
) -> Result<Explained, Refusal> {
    let py = caller.py;
    let lost =
        || Refusal::Boundary("type.__new__, with keyword arguments that are not to be had any more".into());
    let rest = ClassRest {
        metaclass: py.None().into_bound(py),
        name: py.None().into_bound(py),
        bases: PyTuple::empty(py),
        written: None,
        namespace: Some(names_left(callee, &made)?.into_any()),
        keywords: keyword_arguments(caller)?.ok_or_else(lost)?,
        cell: None,
        made: Some(made),
    };
    caller.without_operands(rest.entry(py, ClassStep::Names)?, caller.below_result())
}

/// What is still to be told its name in a class that has been made, and first what the callee is told now: pairs
/// of object and name. CPython goes through a copy of the namespace, which nobody but it has.
pub(super) fn names_left<'py>(
    callee: &Callee<'py>,
    made: &Bound<'py, PyAny>,
) -> Result<Bound<'py, PyTuple>, Refusal> {
    let py = made.py();
    let lost = || Refusal::Boundary("type.__new__, which calls __set_name__".into());
    let parameters = callee.parameters()?;
    let (Some(told), Some(name)) = (parameters.argument(0), parameters.argument(2)) else {
        return Err(lost());
    };
    let own = namespace_of(made)?;
    let referrers = import(py, "gc")?.call_method1("get_referrers", (&told,))?;
    let mut found = Vec::new();
    for referrer in referrers.try_iter()? {
        let Ok(names) = referrer?.cast_into_exact::<PyDict>() else {
            continue;
        };
        let has_it = names.get_item(&name)?.is_some_and(|held| held.is(&told));
        // The namespace that the class was made from has the one, and lacks the other.
        let is_copy = names.contains("__doc__")? && !names.contains("__qualname__")?;
        if has_it && is_copy && !own.as_ref().is_some_and(|own| own.is(&names)) {
            found.push(names);
        }
    }
    let [copy] = found.as_slice() else {
        return Err(lost());
    };
    let mut left = Vec::new();
    for (key, value) in copy.iter() {
        let is_first = left.is_empty() && key.is(&name);
        let is_told = || lookup_on_type(&value.get_type(), "__set_name__").is_some();
        if is_first || !left.is_empty() && is_told() {
            left.push((value, key));
        }
    }
    Ok(PyTuple::new(py, left)?)
}

/// The dictionary of a class.
fn namespace_of<'py>(class: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let gc = import(class.py(), "gc")?;
    let view = class
        .py()
        .get_type::<PyType>()
        .getattr("__dict__")?
        .get_item("__dict__")?;
    let view = view.call_method1("__get__", (class,))?;
    gc.call_method1("get_referents", (view,))?
        .try_iter()?
        .next()
        .transpose()
}

/// Whether a metaclass's `__init__` does nothing at all.
fn ignores_arguments(meta: &Bound<'_, PyType>) -> PyResult<bool> {
    let Some(init) = lookup_on_type(meta, "__init__").filter(boundary::is_python_function) else {
        return Ok(true);
    };
    let info = CodeInfo::of(&init.getattr("__code__")?.cast_into()?)?;
    let is_nothing = |op| {
        matches!(
            op,
            Op::Resume | Op::Nop | Op::LoadConst | Op::ReturnValue | Op::ReturnConst | Op::Cache
        )
    };
    let ignores = info.facts.instructions().all(|found| is_nothing(found.op));
    Ok(ignores)
}

/// Whether the callee is the first Python method that says which bases stand for a base.
fn asked_for_bases(statement: &Statement<'_>, callee: &Callee<'_>) -> PyResult<bool> {
    for base in statement.written.iter() {
        if !base.is_instance_of::<PyType>() && !is_of_typing(&base)? {
            let kind = base.get_type();
            if lookup_on_type(&kind, "__mro_entries__").is_some() {
                return Ok(callee.is_method(&base, "__mro_entries__"));
            }
        }
    }
    Ok(false)
}

fn has_class_cell(statement: &Statement<'_>) -> PyResult<bool> {
    let code = statement.body.getattr("__code__")?;
    code.getattr("co_cellvars")?.contains("__class__")
}

/// The cell in which the body's functions find their class, which its namespace has until the class is
/// made.
fn cell_of<'py>(
    statement: &Statement<'py>,
    namespace: &Bound<'py, PyAny>,
) -> Result<Option<Bound<'py, PyAny>>, Refusal> {
    if !has_class_cell(statement)? {
        return Ok(None);
    }
    // Whoever the namespace is of: not the program's own methods.
    let found = match namespace.cast::<PyDict>() {
        Ok(namespace) => namespace.get_item("__classcell__")?,
        Err(_) => None,
    };
    match found {
        Some(cell) => Ok(Some(cell)),
        None => Err(refusal(", whose namespace has lost the cell of __class__")),
    }
}
