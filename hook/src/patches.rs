//! What the program has put into modules that travel by name.

use capture::cpython::objects::own_attributes;
use capture::graph::ByAddress;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFunction, PyList, PyModule, PySet, PyString, PyTuple, PyType};
use std::collections::HashSet;

/// How deep in the entries of a registry the program's own are looked for.
const NESTED: u32 = 3;
/// `Py_TPFLAGS_HEAPTYPE` in `__flags__`.
const HEAP_TYPE: u64 = 1 << 9;
/// How many objects are looked at for that in one registry.
const PATIENCE: u32 = 100_000;

/// How to tell whether the values of a type are the program's own.
#[derive(Clone, Copy)]
enum Kind {
    /// By the namespace that it was made in.
    Function,
    /// By the function behind it, and whose it is.
    Method,
    /// By the module that it names.
    Class,
    /// By its identity.
    Module,
    /// All are.
    Own,
    /// None is.
    Other,
    /// None is, but an attribute of one may be.
    Instance,
}

/// Finds the program's own functions, classes, modules and instances.
struct Search<'a, 'py> {
    by_value: &'a Bound<'py, PyDict>,
    modules: HashSet<usize>,
    namespaces: HashSet<usize>,
    /// By the address of the type.
    kinds: ByAddress<Kind>,
    patience: u32,
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
            kinds: ByAddress::default(),
            patience: 0,
        })
    }

    fn is_own(&mut self, value: &Bound<'py, PyAny>) -> PyResult<bool> {
        match self.kind_known(value)? {
            Kind::Function => self.is_own_function(value),
            Kind::Method => Ok(self.is_own(&value.getattr(intern!(value.py(), "__func__"))?)?
                || self.is_own(&value.getattr(intern!(value.py(), "__self__"))?)?),
            Kind::Class => self.is_own_class(value),
            Kind::Module => Ok(self.modules.contains(&(value.as_ptr() as usize))),
            Kind::Own => Ok(true),
            Kind::Other | Kind::Instance => Ok(false),
        }
    }

    fn kind_known(&mut self, value: &Bound<'py, PyAny>) -> PyResult<Kind> {
        let address = value.get_type_ptr() as usize;
        if let Some(kind) = self.kinds.get(&address) {
            return Ok(*kind);
        }
        let kind = self.kind_of(value)?;
        self.kinds.insert(address, kind);
        Ok(kind)
    }

    fn kind_of(&self, value: &Bound<'py, PyAny>) -> PyResult<Kind> {
        if value.is_instance_of::<PyFunction>() {
            return Ok(Kind::Function);
        }
        let kind = value.get_type();
        let is_own = self.is_own_class(&kind)?;
        Ok(match () {
            () if is_own => Kind::Own,
            () if value.is_instance_of::<PyType>() => Kind::Class,
            () if value.is_instance_of::<PyModule>() => Kind::Module,
            () if kind.name()? == "method" => Kind::Method,
            () if is_made_in_python(&kind)? => Kind::Instance,
            () => Kind::Other,
        })
    }

    fn is_own_function(&self, function: &Bound<'py, PyAny>) -> PyResult<bool> {
        let globals = function.getattr(intern!(function.py(), "__globals__"))?;
        Ok(self.namespaces.contains(&(globals.as_ptr() as usize)))
    }

    /// Whether a value is the program's own, or a tuple, list, dictionary or instance with such in it.
    fn leads_to_own(&mut self, value: &Bound<'py, PyAny>, depth: u32) -> PyResult<bool> {
        if self.is_own(value)? {
            return Ok(true);
        }
        self.patience = self.patience.saturating_sub(1);
        let parts = match () {
            () if depth == 0 || self.patience == 0 => return Ok(false),
            () if value.is_exact_instance_of::<PyTuple>() => value.cast::<PyTuple>()?.to_list(),
            () if value.is_exact_instance_of::<PyList>() => value.cast::<PyList>()?.clone(),
            () if value.is_exact_instance_of::<PyDict>() => value.cast::<PyDict>()?.items(),
            () => match self.attributes_of(value)? {
                Some(own) => own.values(),
                None => return Ok(false),
            },
        };
        for part in parts.iter() {
            if self.leads_to_own(&part, depth - 1)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The attributes of an instance of a class that was made in Python.
    fn attributes_of(&mut self, value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
        if !matches!(self.kind_known(value)?, Kind::Instance) {
            return Ok(None);
        }
        Ok(own_attributes(value).and_then(|own| own.cast_into_exact::<PyDict>().ok()))
    }

    /// What is the program's own in a list, set or dictionary: items, and pairs of keys and values.
    fn own_entries(&mut self, container: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let entries = match () {
            () if container.is_exact_instance_of::<PyDict>() => container.cast::<PyDict>()?.items(),
            () if container.is_exact_instance_of::<PyList>() => {
                PyList::new(container.py(), container.cast::<PyList>()?.iter())?
            }
            () if container.is_exact_instance_of::<PySet>() => {
                PyList::new(container.py(), container.cast::<PySet>()?.iter())?
            }
            () => return Ok(Vec::new()),
        };
        let mut own = Vec::new();
        self.patience = PATIENCE;
        for entry in entries.iter() {
            if self.leads_to_own(&entry, NESTED)? {
                own.push(entry);
            }
        }
        Ok(own)
    }

    fn is_own_class(&self, class: &Bound<'py, PyAny>) -> PyResult<bool> {
        let module = class.getattr(intern!(class.py(), "__module__"))?;
        Ok(module.is_instance_of::<PyString>() && self.by_value.contains(module)?)
    }
}

/// Whether a class statement has made a class, or a call of a metaclass.
fn is_made_in_python(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let flags = class.getattr(intern!(class.py(), "__flags__"))?;
    Ok(flags.extract::<u64>()? & HEAP_TYPE != 0)
}

/// A module or class, what its module is called, and its namespace.
type Place<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyDict>);

/// A module or class, what its module is called, an attribute of it, and what was found there.
type Found<'py, T> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, T);

/// What is found in the values of the attributes.
fn search_in<'py, T>(
    places: Vec<Place<'py>>,
    mut look: impl FnMut(Bound<'py, PyAny>) -> PyResult<Option<T>>,
) -> PyResult<Vec<Found<'py, T>>> {
    let mut all = Vec::new();
    for (owner, name, namespace) in places {
        // What is looked at may run code of the program, so not in the dictionary itself.
        let (attributes, values) = (namespace.keys(), namespace.values());
        for (attribute, value) in attributes.iter().zip(values.iter()) {
            if let Some(found) = look(value)? {
                all.push((owner.clone(), name.clone(), attribute, found));
            }
        }
    }
    Ok(all)
}

/// The attributes of modules whose values are the program's own.
///
/// Args:
///     modules: the modules to look at, with their names and namespaces.
///     by_value: the program's own modules, by name.
#[pyfunction]
pub fn own_values<'py>(
    modules: Vec<Place<'py>>,
    by_value: &Bound<'py, PyDict>,
) -> PyResult<Vec<Found<'py, Bound<'py, PyAny>>>> {
    let mut search = Search::new(by_value)?;
    search_in(modules, |value| Ok(search.is_own(&value)?.then_some(value)))
}

/// The lists, sets and dictionaries of modules and classes with something of the program's own in them.
///
/// Args:
///     places: the modules and classes to look at, with the names of their modules, and their namespaces.
///     by_value: the program's own modules, by name.
#[pyfunction]
pub fn own_entries<'py>(
    places: Vec<Place<'py>>,
    by_value: &Bound<'py, PyDict>,
) -> PyResult<Vec<Found<'py, Vec<Bound<'py, PyAny>>>>> {
    let mut search = Search::new(by_value)?;
    search_in(places, |value| {
        let own = search.own_entries(&value)?;
        Ok((!own.is_empty()).then_some(own))
    })
}
