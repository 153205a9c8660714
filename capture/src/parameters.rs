//! What a running function was called with, as far as its frame still tells.
//!
//! A parameter that the code nowhere binds anew or deletes still holds what was passed.

use crate::code::{Instruction, Op};
use crate::cpython::codeobject::CodeInfo;
use crate::cpython::frame::RunningFrame;
use crate::cpython::objects::is_cell;
use crate::cpython::slot::SlotValue;
use crate::cpython::CURRENT;
use pyo3::prelude::*;
use pyo3::types::{PyCode, PyTuple};
use std::sync::Arc;

/// The positional parameters of a frame.
pub(crate) struct Parameters<'py> {
    frame: RunningFrame<'py>,
    info: Arc<CodeInfo>,
    /// All locals; parameters come first.
    names: Vec<String>,
    cells: Vec<String>,
}

/// `CO_VARARGS`: the other positional arguments are in a tuple, behind the keyword-only ones.
const CO_VARARGS: u32 = 0x4;

impl<'py> Parameters<'py> {
    /// Those of a frame that runs `code`.
    pub fn of(frame: RunningFrame<'py>, code: &Bound<'py, PyCode>) -> PyResult<Self> {
        let info = CodeInfo::of(code)?;
        Ok(Self {
            frame,
            names: code.getattr("co_varnames")?.extract()?,
            cells: code.getattr("co_cellvars")?.extract()?,
            info,
        })
    }

    /// How many positional parameters there are.
    pub fn len(&self) -> usize {
        self.info.positional.min(self.names.len())
    }

    /// Positional argument number `index`, with or without a parameter of its own, if it cannot have
    /// been bound anew since.
    pub fn argument(&self, index: usize) -> Option<Bound<'py, PyAny>> {
        let Some(more) = index.checked_sub(self.len()) else {
            return self.held(index);
        };
        if self.info.flags & CO_VARARGS == 0 {
            return None;
        }
        let rest = self.held(self.len() + self.info.keyword_only)?;
        rest.cast_into::<PyTuple>().ok()?.get_item(more).ok()
    }

    /// What was passed for parameter `index`, if it cannot have been bound anew since.
    pub fn passed(&self, index: usize) -> Option<Bound<'py, PyAny>> {
        (index < self.len()).then(|| self.held(index)).flatten()
    }

    /// What a parameter holds, if nothing binds it.
    fn held(&self, index: usize) -> Option<Bound<'py, PyAny>> {
        let name = self.names.get(index)?;
        let cell = self.cells.iter().position(|cell| cell == name);
        // A parameter that inner functions use lives in a cell. From 3.11 on that has the
        // parameter's own slot, before it stood among the cells, behind the locals.
        let has_own_slot = CURRENT.frame.function.is_some();
        let (slot, number) = match cell {
            None => (index, index),
            Some(_) if has_own_slot => (index, index),
            Some(place) => (self.names.len() + place, place),
        };
        let mut instructions = self.info.facts.instructions();
        if instructions.any(|found| binds(&found, number as u32, cell.is_some())) {
            return None;
        }
        match self.frame.read_slot(slot) {
            SlotValue::Null | SlotValue::Tagged(_) => None,
            SlotValue::Object(held) if cell.is_some() => is_cell(&held)
                .then(|| held.getattr("cell_contents").ok())
                .flatten(),
            SlotValue::Object(held) => Some(held),
        }
    }
}

/// Whether an instruction binds local or cell `number`, or unbinds it.
fn binds(instruction: &Instruction, number: u32, is_cell: bool) -> bool {
    let arg = instruction.arg;
    match instruction.op {
        Op::StoreFast | Op::DeleteFast | Op::LoadFastAndClear => !is_cell && arg == number,
        // Two instructions in one, the first in the upper bits of the argument (3.13 and later).
        Op::StoreFastLoadFast => !is_cell && arg >> 4 == number,
        Op::StoreFastStoreFast => !is_cell && (arg >> 4 == number || arg & 0xf == number),
        Op::StoreDeref | Op::DeleteDeref => is_cell && arg == number,
        _ => false,
    }
}
