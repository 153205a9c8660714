//! What the program has put into modules that travel by name.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFunction, PyModule, PyString, PyType};
use std::collections::HashSet;

/// How to tell whether the values of a type are the program's own.
#[derive(Clone, Copy)]
enum Kind {
    /// By the namespace that it was made in.
    Function,
    /// By the function behind it.
    Method,
    /// By the module that it names.
    Class,
    /// By its identity.
    Module,
    /// All are, or none.
    Plain(bool),
}

/// Finds the program's own functions, classes, modules and instances.
struct Search<'a, 'py> {
    by_value: &'a Bound<'py, PyDict>,
    modules: HashSet<usize>,
    namespaces: HashSet<usize>,
    /// By the address of the type; a handful of them are those of nearly all values, and come first.
    kinds: Vec<(usize, Kind)>,
}

impl<'a, 'py> Search<'a, 'py> {
    fn new(by_value: &'a Bound<'py, PyDict>) -> PyResult<Self> {
        let modules: Vec<_> = by_value
            .values()
            .iter()
            .map(|module| module.cast_into::<PyModule>().map_err(PyErr::from))
            .collect::<PyResult<_>>()?;
        Ok(Self {
            by_value,
            namespaces: modules
                .iter()
                .map(|module| module.dict().as_ptr() as usize)
                .collect(),
            modules: modules.iter().map(|module| module.as_ptr() as usize).collect(),
            kinds: Vec::new(),
        })
    }

    fn is_own(&mut self, value: &Bound<'py, PyAny>) -> PyResult<bool> {
        let address = value.get_type_ptr() as usize;
        let kind = match self.kinds.iter().find(|(known, _)| *known == address) {
            Some((_, kind)) => *kind,
            None => {
                let kind = self.kind_of(value)?;
                self.kinds.push((address, kind));
                kind
            }
        };
        match kind {
            Kind::Function => self.is_own_function(value),
            Kind::Method => self.is_own(&value.getattr(intern!(value.py(), "__func__"))?),
            Kind::Class => self.is_own_class(value),
            Kind::Module => Ok(self.modules.contains(&(value.as_ptr() as usize))),
            Kind::Plain(is_own) => Ok(is_own),
        }
    }

    fn kind_of(&self, value: &Bound<'py, PyAny>) -> PyResult<Kind> {
        if value.is_instance_of::<PyFunction>() {
            return Ok(Kind::Function);
        }
        let kind = value.get_type();
        let is_own = self.is_own_class(&kind)?;
        Ok(match () {
            () if is_own => Kind::Plain(true),
            () if value.is_instance_of::<PyType>() => Kind::Class,
            () if value.is_instance_of::<PyModule>() => Kind::Module,
            () if kind.name()? == "method" => Kind::Method,
            () => Kind::Plain(false),
        })
    }

    fn is_own_function(&self, function: &Bound<'py, PyAny>) -> PyResult<bool> {
        let globals = function.getattr(intern!(function.py(), "__globals__"))?;
        Ok(self.namespaces.contains(&(globals.as_ptr() as usize)))
    }

    fn is_own_class(&self, class: &Bound<'py, PyAny>) -> PyResult<bool> {
        let module = class.getattr(intern!(class.py(), "__module__"))?;
        Ok(module.is_instance_of::<PyString>() && self.by_value.contains(module)?)
    }
}

/// A module, what it is called, an attribute of it, and its value.
type Patch<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
);

/// The attributes of modules whose values are the program's own.
///
/// Args:
///     modules: the modules to look at, with their names and namespaces.
///     by_value: the program's own modules, by name.
#[pyfunction]
pub fn own_values<'py>(
    modules: Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyDict>)>,
    by_value: &Bound<'py, PyDict>,
) -> PyResult<Vec<Patch<'py>>> {
    let mut search = Search::new(by_value)?;
    let mut found = Vec::new();
    for (module, name, namespace) in modules {
        // What is looked at may run code of the program, so not in the dictionary itself.
        let (attributes, values) = (namespace.keys(), namespace.values());
        for (attribute, value) in attributes.iter().zip(values.iter()) {
            if search.is_own(&value)? {
                found.push((module.clone(), name.clone(), attribute, value));
            }
        }
    }
    Ok(found)
}
