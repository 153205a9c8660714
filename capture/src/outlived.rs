//! Frame objects that have outlived their frames, turned into captured ones.

use crate::cpython::codeobject::CodeInfo;
use crate::cpython::frame::RunningFrame;
use crate::error::MorphError;
use crate::morph::{check_slots, write_fields, Objects};
use crate::snapshot::FrameState;
use pyo3::prelude::*;

/// Turns the object of a frame that never ran into that of a captured one which is over.
pub fn morph_frame_that_is_over<'py>(
    object: &Bound<'py, PyAny>,
    state: &FrameState,
    objects: &Objects,
    back: Option<Bound<'py, PyAny>>,
) -> Result<(), MorphError> {
    let py = object.py();
    let misfit = |what: &str| MorphError::Misfit {
        frame: 0,
        what: what.into(),
    };
    let frame = RunningFrame::of_object(object)?;
    let info = CodeInfo::of(&frame.code())?;
    check_slots(state, objects, &info, 0)?;
    if state.instruction >= info.facts.len() as i32 || !state.stack.is_empty() || !state.blocks.is_empty() {
        return Err(misfit("it does not look like one that is over"));
    }
    frame.mark_over();
    write_fields(py, frame, state, &info, objects);
    if let Some(namespace) = state.namespace {
        let namespace = objects.get(py, namespace);
        frame.set_namespace(namespace.ok_or_else(|| misfit("its namespace is gone"))?);
    }
    if state.instruction >= 0 {
        frame.stand_at(state.instruction);
    }
    Ok(RunningFrame::set_back_of_object(object, back)?)
}
