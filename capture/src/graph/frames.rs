//! What is being written at a time, and what of it waits.

use super::encoder::Seam;
use super::out::Operand;
use crate::payload::records::Tag;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

/// An object that no record has made yet.
pub(super) const NO_NODE: u32 = u32::MAX;

/// An object that is being written.
pub(super) struct Frame<'py> {
    pub(super) kind: Kind<'py>,
    pub(super) object: Bound<'py, PyAny>,
    pub(super) node: u32,
    /// The time.
    pub(super) begun: u32,
    /// Where its parts begin among what is to be visited,
    pub(super) todo: usize,
    /// and among what has been.
    pub(super) operands: usize,
    /// Whether it is no part of the frame below: whatever has it got it empty, earlier.
    pub(super) quiet: bool,
    /// Whether the frame of the same object is further down.
    pub(super) nested: bool,
}

/// What kind of object it is, and how far it has come. `sure` says that the hashes of all keys need nothing that is
/// set later.
pub(super) enum Kind<'py> {
    Tuple,
    List,
    Dict {
        sure: bool,
    },
    Set {
        sure: bool,
    },
    FrozenSet {
        sure: bool,
    },
    Instance {
        shape: u32,
    },
    /// What it is made of.
    Make(Box<Parts<'py>>),
    /// It is made; what it is filled with.
    Fill(Fill, Box<Parts<'py>>),
    /// It is whole.
    Done,
}

impl<'py> Frame<'py> {
    /// Stands in the place of a frame that is looked at.
    pub(super) fn hole(object: &Bound<'py, PyAny>) -> Self {
        Self {
            kind: Kind::Done,
            object: object.clone(),
            node: NO_NODE,
            begun: 0,
            todo: 0,
            operands: 0,
            quiet: false,
            nested: false,
        }
    }

    /// Whether the object can be there before its parts are.
    pub(super) fn is_fillable(&self) -> bool {
        match self.kind {
            Kind::List | Kind::Dict { .. } | Kind::Set { .. } | Kind::Instance { .. } | Kind::Fill(..) => {
                true
            }
            Kind::FrozenSet { sure } => !sure,
            Kind::Tuple | Kind::Make(_) | Kind::Done => false,
        }
    }
}

/// What an object is filled with that was taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    State,
    List { sure: bool },
    Dict { sure: bool },
}

/// A record that fills something, put off until what it looks into is whole.
pub(super) struct Late<'py> {
    /// When the object was begun.
    pub(super) begun: u32,
    pub(super) tag: Tag,
    pub(super) object: Bound<'py, PyAny>,
    pub(super) operands: Vec<Operand<'py>>,
}

/// What `__reduce_ex__` or a taker says of an object.
pub(super) struct Parts<'py> {
    /// All of it.
    pub(super) answer: Bound<'py, PyTuple>,
    /// None where `__new__` of the first argument is called.
    pub(super) function: Option<Bound<'py, PyAny>>,
    arguments: Bound<'py, PyTuple>,
    state: Option<Bound<'py, PyAny>>,
    pub(super) setter: Option<Bound<'py, PyAny>>,
    list: Option<Bound<'py, PyAny>>,
    dict: Option<Bound<'py, PyAny>>,
    /// The items are put in by the methods of the built-in base, and the state comes before them.
    pub(super) raw: bool,
}

impl<'py> Parts<'py> {
    /// What the answer says, if it is one.
    pub(super) fn new(answer: &Bound<'py, PyAny>, seam: &Seam) -> Option<Self> {
        let answer = answer.cast::<PyTuple>().ok()?;
        let part = |index| {
            let part = answer.get_item(index).ok();
            part.filter(|part| !part.is_none())
        };
        let function = part(0).filter(|function| function.is_callable())?;
        let arguments = part(1)?.cast_into::<PyTuple>().ok()?;
        let makes = function.is(&seam.newobj) && !arguments.is_empty();
        let setter = part(5);
        Some(Self {
            answer: answer.clone(),
            function: (!makes).then_some(function),
            arguments,
            state: part(2),
            list: part(3),
            dict: part(4),
            raw: setter.as_ref().is_some_and(|setter| setter.is(&seam.fill)),
            setter,
        })
    }

    /// What is filled in next.
    pub(super) fn after(&self, last: Option<Fill>) -> Option<Fill> {
        const LIST: Fill = Fill::List { sure: true };
        const DICT: Fill = Fill::Dict { sure: true };
        let order = if self.raw {
            [Fill::State, LIST, DICT]
        } else {
            [LIST, DICT, Fill::State]
        };
        let same = |a: &Fill, b: Fill| std::mem::discriminant(a) == std::mem::discriminant(&b);
        let from = match last {
            None => 0,
            Some(last) => order
                .iter()
                .position(|fill| same(fill, last))
                .map_or(3, |at| at + 1),
        };
        order[from..].iter().copied().find(|fill| match fill {
            Fill::State => self.state.is_some(),
            Fill::List { .. } => self.list.is_some(),
            Fill::Dict { .. } => self.dict.is_some(),
        })
    }

    /// Asks an iterator for what it gives, which may run code of the program.
    pub(super) fn collect(&mut self, fill: Fill) -> PyResult<()> {
        let part = match fill {
            Fill::State => return Ok(()),
            Fill::List { .. } => &mut self.list,
            Fill::Dict { .. } => &mut self.dict,
        };
        let Some(items) = part.take() else {
            return Ok(());
        };
        let found = PyList::empty(items.py());
        if let Ok(mapping) = items.cast_exact::<PyDict>() {
            for (key, value) in mapping.iter() {
                found.append(key)?;
                found.append(value)?;
            }
        } else {
            for item in items.try_iter()? {
                let item = item?;
                if let Fill::Dict { .. } = fill {
                    let (key, value) = item.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>()?;
                    found.append(key)?;
                    found.append(value)?;
                } else {
                    found.append(item)?;
                }
            }
        }
        *part = Some(found.into_any());
        Ok(())
    }

    /// What it is made of.
    pub(super) fn to_make(&self, todo: &mut Vec<Bound<'py, PyAny>>) {
        todo.extend(self.function.clone());
        todo.extend(self.arguments.iter());
    }

    /// What it is filled with.
    pub(super) fn to_fill(&self, fill: Fill, todo: &mut Vec<Bound<'py, PyAny>>) {
        let items = match fill {
            Fill::State => {
                todo.extend(self.state.clone());
                todo.extend(self.setter.clone());
                return;
            }
            Fill::List { .. } => &self.list,
            Fill::Dict { .. } => &self.dict,
        };
        if let Some(Ok(items)) = items.as_ref().map(|items| items.cast::<PyList>()) {
            todo.extend(items.iter());
        }
    }
}
