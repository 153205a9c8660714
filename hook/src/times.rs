//! How long the stages of the last move of this process took.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Mutex;
use std::time::Instant;

/// Owned here: the stages of the last move, in order.
static LAST: Mutex<Vec<(String, f64)>> = Mutex::new(Vec::new());

/// Starts anew.
pub fn clear() {
    if let Ok(mut last) = LAST.lock() {
        last.clear();
    }
}

/// Notes a stage that took `seconds`.
pub fn note(stage: &str, seconds: f64) {
    log::debug!("{stage}: {:.1} ms", seconds * 1e3);
    if let Ok(mut last) = LAST.lock() {
        last.push((stage.to_owned(), seconds));
    }
}

/// Runs `work` and notes how long it took.
pub fn timed<T>(stage: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    note(stage, start.elapsed().as_secs_f64());
    result
}

/// The stages of the last move of this process and the seconds that each took.
///
/// At home: ``spawn``, ``hello``, ``capture``, ``encode``, ``send``. In a resumed program: those of
/// home up to ``encode``, then ``decode`` and ``build``.
#[pyfunction]
pub fn last_move_times(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let stages = PyDict::new(py);
    let last = LAST.lock().map(|last| last.clone()).unwrap_or_default();
    for (stage, seconds) in last {
        stages.set_item(stage, seconds)?;
    }
    Ok(stages)
}
