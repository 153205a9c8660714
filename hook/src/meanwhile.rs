//! What a capture asks the program, or an arrival: reducers, a key's hash. A move that one of them makes would
//! ask it again, and so on without end.

use crate::encode::is_ours;
use crate::errors::capture_error;
use capture::stacks::meanwhile;
use pyo3::prelude::*;
use std::cell::Cell;

thread_local! {
    /// Whether this thread captures the program, or brings one back.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// For as long as this lives, nothing else is captured or brought back on this thread.
pub struct Meanwhile(());

impl Meanwhile {
    /// Begins.
    pub fn begin() -> Self {
        BUSY.set(true);
        Self(())
    }

    /// Refuses what is called meanwhile.
    pub fn refuse(py: Python<'_>) -> PyResult<()> {
        match BUSY.get() {
            true => Err(capture_error(py, meanwhile(py, is_ours))),
            false => Ok(()),
        }
    }
}

impl Drop for Meanwhile {
    fn drop(&mut self) {
        BUSY.set(false);
    }
}
