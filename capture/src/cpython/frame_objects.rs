//! Objects that stand for frames.
//!
//! Up to 3.10 a frame is an object. From 3.11 on it has one only if somebody has asked for it: the two refer to
//! each other until the frame comes to its end, and then the object takes the frame over.

use super::frame::{Address, RunningFrame};
use super::slot::{self, SlotValue};
use super::{Executing, Owner, CURRENT};
use core::ffi::c_char;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;

/// `f_back` and `f_frame` of `PyFrameObject`, where that is not the frame itself: the same on 3.11–3.15.
const BACK_OF_OBJECT: usize = 16;
/// See [`BACK_OF_OBJECT`].
pub(super) const FRAME_OF_OBJECT: usize = 24;

/// `FRAME_OWNED_BY_FRAME_OBJECT`.
const OWNED_BY_OBJECT: c_char = 2;

impl<'py> RunningFrame<'py> {
    /// The frame that an object stands for.
    pub fn of_object(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        // SAFETY: compares the type.
        if unsafe { ffi::PyFrame_Check(object.as_ptr()) } == 0 {
            return Err(PyTypeError::new_err("not a frame"));
        }
        let raw = match CURRENT.frame.frame_object {
            None => object.as_ptr().cast(),
            Some(_) => Address::of(object).get(FRAME_OF_OBJECT),
        };
        // SAFETY: a frame object's frame is itself, or lies in it, in a generator or on a thread's stack, and is
        // alive as long as the object, which the caller holds.
        unsafe { Self::from_raw(raw) }.ok_or_else(|| PyTypeError::new_err("a frame object without a frame"))
    }

    /// Whether an evaluator has the frame, where frames say so.
    pub(super) fn is_evaluated(self) -> bool {
        match CURRENT.frame.owner {
            Owner::Field { executing, .. } => match executing {
                Executing::Flag(offset) => self.address.get::<c_char>(offset) != 0,
                Executing::State { offset, states } => self.address.get::<i8>(offset) == states.executing,
            },
            Owner::Byte { .. } => false,
        }
    }

    /// Whether nothing will be evaluated in the frame any more: its object has outlived it.
    pub fn is_over(self) -> bool {
        match CURRENT.frame.owner {
            Owner::Field { generator, executing } => {
                let runs = match executing {
                    Executing::Flag(offset) => self.address.get::<c_char>(offset) != 0,
                    Executing::State { offset, states } => {
                        let state = self.address.get::<i8>(offset);
                        [states.created, states.suspended, states.executing].contains(&state)
                    }
                };
                !runs && self.address.get::<usize>(generator) == 0
            }
            Owner::Byte { offset, .. } => self.address.get::<c_char>(offset) == OWNED_BY_OBJECT,
        }
    }

    /// Makes `object`, which stands for a frame that never ran, the object of this one, which has just started and
    /// has none yet. What is to be evaluated then: where frames are objects, `object` itself.
    pub fn become_known_as(self, object: &Bound<'py, PyAny>, slots: usize) -> PyResult<Self> {
        let py = object.py();
        let known = Self::of_object(object)?;
        let layout = &CURRENT.frame;
        let Some(field) = layout.frame_object else {
            let back = layout.back;
            for field in [
                back,
                layout.code,
                layout.builtins,
                layout.globals,
                layout.namespace,
            ] {
                let value = self.address.object(py, field).map(Bound::unbind);
                known.address.replace(py, field, value);
            }
            // It is not evaluated: what it was called with goes now, as if it had gone on.
            for slot in 0..slots {
                self.write_local(slot, SlotValue::Null);
            }
            return Ok(known);
        };
        if !known.is_over() || self.address.object(py, field).is_some() {
            return Err(PyTypeError::new_err("one of the two frames is in use"));
        }
        // The frame that lies in the object is not used until this one is over, and copied there: what it owns goes.
        for word in [Some(layout.code), layout.function].into_iter().flatten() {
            let owned = known.address.get(word);
            known.address.set(word, slot::own(SlotValue::Null));
            slot::release(py, owned);
        }
        known.address.replace(py, layout.namespace, None);
        // SAFETY: a live object that the collector keeps track of, as it does of one that owns its frame only.
        unsafe { ffi::PyObject_GC_UnTrack(object.as_ptr().cast()) };
        Address::of(object).set(FRAME_OF_OBJECT, self.address.raw());
        self.address.replace(py, field, Some(object.clone().unbind()));
        Ok(self)
    }

    /// Puts what a frame that is over hung above.
    pub fn set_back_of_object(object: &Bound<'py, PyAny>, back: Option<Bound<'py, PyAny>>) -> PyResult<()> {
        let known = Self::of_object(object)?;
        let (at, field) = match CURRENT.frame.frame_object {
            None => (known.address, CURRENT.frame.back),
            Some(_) => (Address::of(object), BACK_OF_OBJECT),
        };
        if !known.is_over() {
            return Err(PyTypeError::new_err("the frame is not over"));
        }
        if let Some(back) = &back {
            Self::of_object(back)?;
        }
        at.replace(object.py(), field, back.map(Bound::unbind));
        Ok(())
    }

    /// Marks a frame that never ran as one that has come to its end.
    pub fn mark_over(self) {
        if let Owner::Field {
            executing: Executing::State { offset, .. },
            ..
        } = CURRENT.frame.owner
        {
            self.address.set::<i8>(offset, COMPLETED);
        }
    }
}

/// `FRAME_RETURNED` (3.10).
const COMPLETED: i8 = 1;
