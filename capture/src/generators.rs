//! Generators that are on no stack, turned into captured ones.

use crate::cpython::codeobject::CodeInfo;
use crate::cpython::generator::Generator;
use crate::cpython::slot::SlotValue;
use crate::cpython::CURRENT;
use crate::error::MorphError;
use crate::morph::{check_fit, function_of, write_fields, Objects};
use crate::snapshot::{FrameState, ObjectId, Slot};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Turns a fresh generator into a captured one that is not on any stack.
pub fn morph_generator(
    generator: &Generator<'_>,
    state: &FrameState,
    objects: &Objects,
) -> Result<(), MorphError> {
    let py = generator.object().py();
    let misfit = |what: &str| MorphError::Misfit {
        frame: 0,
        what: what.into(),
    };
    let frame = generator
        .frame()
        .ok_or_else(|| misfit("the generator has no frame"))?;
    let info = CodeInfo::of(&frame.code())?;
    check_fit(state, objects, &info, 0)?;
    if state.instruction >= info.facts.len() as i32 || state.instruction < -1 {
        return Err(misfit("no such instruction"));
    }
    if let Some(suspended) = state.suspended {
        if !generator.can_go_on(suspended) {
            return Err(misfit("the generator is not suspended"));
        }
    }
    write_fields(py, frame, state, &info, objects);
    frame.stand_at(state.instruction);
    generator.handled().write(py, objects.handled(py, &state.handled));
    if let Some(suspended) = state.suspended {
        generator.set_raw_state(suspended);
    }
    Ok(())
}

/// Prepares a generator that was marked as running, while what it delegates to was closed, for what comes
/// of that to be thrown into itself.
pub fn stop_delegating(generator: &Generator<'_>) -> PyResult<()> {
    let py = generator.object().py();
    generator.mark_running(false);
    let Some(frame) = generator.frame() else {
        return Ok(());
    };
    let info = CodeInfo::of(&frame.code())?;
    // Where it delegates lies an iterator instead, which neither `throw` nor `close` has anything to ask.
    let nothing = PyTuple::empty(py).into_any().try_iter()?.into_any();
    let place = frame
        .stored_depth(info.slots)
        .and_then(|depth| depth.checked_sub(CURRENT.operands.iterator_words));
    if let Some(place) = place {
        frame.write_local(info.slots + place, SlotValue::Object(nothing));
    }
    Ok(())
}

/// The function that a generator was made from: its frame's, or one with the same code and cells.
pub fn function_of_generator<'py>(generator: &Generator<'py>) -> Result<Bound<'py, PyAny>, MorphError> {
    let py = generator.object().py();
    let misfit = |what: &str| MorphError::Misfit {
        frame: 0,
        what: what.into(),
    };
    let frame = generator.frame().ok_or_else(|| misfit("the generator is over"))?;
    if let Some(function) = frame.function() {
        return Ok(function);
    }
    let info = CodeInfo::of(&frame.code())?;
    let mut objects = Vec::new();
    let mut cells = Vec::new();
    for slot in info.slots - info.free..info.slots {
        let SlotValue::Object(cell) = frame.read_slot(slot) else {
            return Err(misfit("a free variable is gone"));
        };
        cells.push(Slot::Object(ObjectId(objects.len() as u32)));
        objects.push(cell.unbind());
    }
    let globals = frame.globals().cast_into::<PyDict>().map_err(PyErr::from)?;
    let function = function_of(py, &frame.code(), &globals, &cells, &Objects::new(objects), 0)?;
    Ok(function.into_any())
}
