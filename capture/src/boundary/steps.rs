//! The steps of asyncio's tasks: C code that sends to a task's coroutine, or throws into it.
//!
//! Where the coroutine stands now, it goes on as if None had been sent, whatever this step brought. So the task makes
//! a step once more, one that brings nothing.

use super::{is_exactly, type_name};
use crate::cpython::fields;
use crate::cpython::modules::import;
use crate::entry::{Callee, Refusal};
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

/// The task that goes on when this is called.
fn task_of<'py>(called: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let task = match type_name(called).as_str() {
        "TaskStepMethWrapper" if fields::has(called, "sw_task") => fields::read(called, "sw_task")?,
        "TaskWakeupMethWrapper" if fields::has(called, "ww_task") => fields::read(called, "ww_task")?,
        // The wake-up is a method in C that no class has (from 3.10 on).
        "builtin_function_or_method" if called.is_instance_of::<PyCFunction>() => {
            let is_wakeup = called.getattr("__name__")?.eq("task_wakeup")?;
            is_wakeup.then(|| called.getattr("__self__")).transpose()?
        }
        _ => None,
    };
    Ok(task.filter(|task| fields::has(task, "task_coro")))
}

/// The coroutine of the task that goes on when this is called.
pub(crate) fn stepped<'py>(called: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    match task_of(called)? {
        Some(task) => fields::read(&task, "task_coro"),
        None => Ok(None),
    }
}

/// What makes the step of a task once more whose coroutine is the callee, given what the context's `run` has called.
pub(super) fn step_again<'py>(
    called: &Bound<'py, PyAny>,
    callee: &Callee<'py>,
) -> Result<Option<Py<PyAny>>, Refusal> {
    let Some(task) = task_of(called)? else {
        return Ok(None);
    };
    let coroutine = fields::read(&task, "task_coro")?;
    let runs =
        |coroutine: &Bound<'py, PyAny>| callee.belongs_to(coroutine) || callee.is_closed_through(coroutine);
    if !coroutine.is_some_and(|coroutine| runs(&coroutine)) {
        return Ok(None);
    }
    let again = import(called.py(), "pyteleport.tasks")?.getattr("Again")?;
    Ok(Some(again.call1((task,))?.unbind()))
}

/// Whether this is the `run` of a context.
pub(crate) fn is_run_of_context(callable: &Bound<'_, PyAny>) -> PyResult<bool> {
    if !callable.is_instance_of::<PyCFunction>() || !callable.getattr("__name__")?.eq("run")? {
        return Ok(false);
    }
    let owner = callable.getattr("__self__")?;
    is_exactly(owner.py(), &owner, "_contextvars", "Context")
}
