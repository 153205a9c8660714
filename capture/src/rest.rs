//! What C code has left to do, as a tuple that travels with the frame.

use crate::snapshot::Rest;
use crate::waiting::LiveEntry;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// How far `__build_class__` and the metaclass have come: what has just returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassStep {
    /// The body: the result is the cell of `__class__`, or None.
    Body,
    /// The metaclass's `__new__`.
    New,
    /// The metaclass's `__init__`.
    Init,
    /// Whatever makes the class.
    Made,
    /// The `__init_subclass__` that a metaclass in C has called, all of which is done.
    Subclass,
    /// The `__set_name__` that it has called before: of the namespace only the names and objects are left
    /// that are still to be told, and first the one that was told now.
    Names,
}

impl ClassStep {
    const ALL: [Self; 6] = [
        Self::Body,
        Self::New,
        Self::Init,
        Self::Made,
        Self::Subclass,
        Self::Names,
    ];

    /// The step of this number.
    pub fn numbered(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether the body is over.
    pub fn is_behind_body(self) -> bool {
        self != Self::Body
    }
}

/// [`Rest::Class`].
pub struct ClassRest<'py> {
    /// What is called for the class, a class mostly.
    pub metaclass: Bound<'py, PyAny>,
    /// The name of the class.
    pub name: Bound<'py, PyAny>,
    /// Its bases.
    pub bases: Bound<'py, PyTuple>,
    /// The bases as they are written, if they differ and the class has still to be told.
    pub written: Option<Bound<'py, PyTuple>>,
    /// Its namespace; none once it is of no use any more.
    pub namespace: Option<Bound<'py, PyAny>>,
    /// The keyword arguments, without the metaclass.
    pub keywords: Bound<'py, PyDict>,
    /// The cell of `__class__`.
    pub cell: Option<Bound<'py, PyAny>>,
    /// The class, if it is there already.
    pub made: Option<Bound<'py, PyAny>>,
}

impl<'py> ClassRest<'py> {
    /// As an entry of the frame that stands at the class statement.
    pub fn entry(&self, py: Python<'py>, step: ClassStep) -> PyResult<LiveEntry> {
        let with = (
            &self.metaclass,
            &self.name,
            &self.bases,
            &self.written,
            &self.namespace,
            &self.keywords,
            &self.cell,
            &self.made,
        );
        Ok(LiveEntry::Rest {
            rest: Rest::Class,
            step: step as u8,
            with: with.into_pyobject(py)?.unbind(),
        })
    }

    /// From what has travelled.
    pub fn of(with: &Bound<'py, PyTuple>) -> PyResult<Self> {
        let (metaclass, name, bases, written, namespace, keywords, cell, made) = with.extract()?;
        let keywords: Bound<'py, PyAny> = keywords;
        let bases: Bound<'py, PyAny> = bases;
        let written: Option<Bound<'py, PyAny>> = written;
        Ok(Self {
            metaclass,
            name,
            bases: bases.cast_into()?,
            written: written.map(Bound::cast_into).transpose()?,
            namespace,
            keywords: keywords.cast_into()?,
            cell,
            made,
        })
    }
}

/// How far `print` has come: what has just returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrintStep {
    /// The `__str__` of an object.
    Str,
    /// The `__repr__` of an object that has no other text.
    Repr,
    /// The file's `write`.
    Written,
    /// The file's `flush`.
    Flushed,
}

impl PrintStep {
    const ALL: [Self; 4] = [Self::Str, Self::Repr, Self::Written, Self::Flushed];

    /// The step of this number.
    pub fn numbered(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// [`Rest::Print`].
pub struct PrintRest<'py> {
    /// What is still to be written.
    pub left: Bound<'py, PyTuple>,
    /// Where.
    pub file: Bound<'py, PyAny>,
    /// Whether the file is flushed in the end.
    pub flush: bool,
}

impl<'py> PrintRest<'py> {
    /// As an entry of the frame that called `print`.
    pub fn entry(&self, py: Python<'py>, step: PrintStep) -> PyResult<LiveEntry> {
        Ok(LiveEntry::Rest {
            rest: Rest::Print,
            step: step as u8,
            with: (&self.left, &self.file, self.flush).into_pyobject(py)?.unbind(),
        })
    }

    /// From what has travelled.
    pub fn of(with: &Bound<'py, PyTuple>) -> PyResult<Self> {
        let (left, file, flush): (Bound<'py, PyAny>, _, _) = with.extract()?;
        Ok(Self {
            left: left.cast_into()?,
            file,
            flush,
        })
    }
}

/// How far a `defaultdict` has come with a key that it lacks: what has just returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingStep {
    /// Its function: the result is what the key is set to.
    Called,
    /// The `__init__` of that, which its function, a class, has made.
    Initialized,
    /// The `__setitem__` of the dictionary.
    Stored,
}

impl MissingStep {
    const ALL: [Self; 3] = [Self::Called, Self::Initialized, Self::Stored];

    /// The step of this number.
    pub fn numbered(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// [`Rest::Missing`].
pub struct MissingRest<'py> {
    /// The dictionary.
    pub items: Bound<'py, PyAny>,
    /// The key.
    pub key: Bound<'py, PyAny>,
    /// What the key is set to, if that is there already.
    pub made: Option<Bound<'py, PyAny>>,
}

impl<'py> MissingRest<'py> {
    /// As an entry of the frame that asks the dictionary.
    pub fn entry(&self, py: Python<'py>, step: MissingStep) -> PyResult<LiveEntry> {
        let made = PyTuple::new(py, &self.made)?;
        Ok(LiveEntry::Rest {
            rest: Rest::Missing,
            step: step as u8,
            with: (&self.items, &self.key, made).into_pyobject(py)?.unbind(),
        })
    }

    /// From what has travelled.
    pub fn of(with: &Bound<'py, PyTuple>) -> PyResult<Self> {
        let (items, key, made): (_, _, Bound<'py, PyAny>) = with.extract()?;
        let made = made.cast_into::<PyTuple>()?;
        Ok(Self {
            items,
            key,
            made: made.get_item(0).ok(),
        })
    }
}
