//! Generators, coroutines and async generators: their frame and their state.

use super::frame::{Address, RunningFrame};
use super::thread::HandledItem;
use super::{GeneratorFrame, CURRENT};
use core::ffi::{c_char, c_void};
use pyo3::ffi;
use pyo3::prelude::*;

/// Where a generator stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GeneratorState {
    /// Not started.
    Created,
    /// At a yield or an await.
    Suspended,
    /// On a stack.
    Running,
    /// Over.
    Finished,
}

/// A generator, coroutine or async generator.
#[derive(Clone)]
pub struct Generator<'py> {
    object: Bound<'py, PyAny>,
    address: Address,
}

/// How far inside a generator its frame lies.
pub(super) fn frame_offset() -> usize {
    match CURRENT.generator.frame {
        GeneratorFrame::Pointer { frame, .. } | GeneratorFrame::Inside { frame, .. } => frame,
    }
}

impl<'py> Generator<'py> {
    /// The object as a generator, `None` if it is nothing of the kind.
    pub fn new(object: &Bound<'py, PyAny>) -> Option<Self> {
        let raw = object.as_ptr();
        // SAFETY: the types are static objects of libpython; only their addresses are compared.
        let is_one = unsafe {
            ffi::PyGen_CheckExact(raw) != 0
                || ffi::PyCoro_CheckExact(raw) != 0
                || ffi::PyAsyncGen_CheckExact(raw) != 0
        };
        let address = Address::new(raw.cast())?;
        is_one.then(|| Self {
            object: object.clone(),
            address,
        })
    }

    /// The frame; `None` once finished.
    pub fn frame(&self) -> Option<RunningFrame<'py>> {
        let raw: *mut c_void = match CURRENT.generator.frame {
            GeneratorFrame::Pointer { frame, .. } => self.address.get(frame),
            GeneratorFrame::Inside { frame, .. } => {
                if self.state() == GeneratorState::Finished {
                    return None;
                }
                self.address.at(frame)
            }
        };
        // SAFETY: the generator is held, and owns its frame until it is finished.
        unsafe { RunningFrame::from_raw(raw) }
    }

    /// Where it stands.
    pub fn state(&self) -> GeneratorState {
        match CURRENT.generator.frame {
            GeneratorFrame::Pointer { frame, running } => {
                // SAFETY: as in `frame`.
                let held = unsafe { RunningFrame::from_raw(self.address.get(frame)) };
                match held {
                    None => GeneratorState::Finished,
                    Some(_) if self.address.get::<c_char>(running) != 0 => GeneratorState::Running,
                    Some(frame) if frame.raw_instruction() < 0 => GeneratorState::Created,
                    Some(_) => GeneratorState::Suspended,
                }
            }
            GeneratorFrame::Inside { state, states, .. } => match self.address.get::<i8>(state) {
                now if now == states.created => GeneratorState::Created,
                now if now == states.suspended => GeneratorState::Suspended,
                now if now == states.executing => GeneratorState::Running,
                _ => GeneratorState::Finished,
            },
        }
    }

    /// CPython's number of the state, where there is one to keep.
    pub fn raw_state(&self) -> Option<i8> {
        match CURRENT.generator.frame {
            GeneratorFrame::Pointer { .. } => None,
            GeneratorFrame::Inside { state, .. } => Some(self.address.get(state)),
        }
    }

    /// Puts CPython's number of the state.
    pub fn set_raw_state(&self, value: i8) {
        if let GeneratorFrame::Inside { state, .. } = CURRENT.generator.frame {
            self.address.set(state, value);
        }
    }

    /// Makes a fresh generator look suspended with nothing on its stack, so that whoever resumes
    /// it enters the hook with its frame.
    pub fn await_entry(&self, locals: usize) {
        let Some(frame) = self.frame() else { return };
        frame.clear_stack(locals);
        match CURRENT.generator.frame {
            GeneratorFrame::Pointer { .. } => frame.stand_at(0),
            GeneratorFrame::Inside { state, states, .. } => {
                self.address.set(state, states.suspended);
            }
        }
    }

    /// The exception that it handles while it is suspended.
    pub fn handled(&self) -> HandledItem {
        let raw: *mut c_void = self.address.at(CURRENT.generator.handled);
        HandledItem(Address::new(raw).expect("a field has an address"))
    }

    /// The object itself.
    pub fn object(&self) -> &Bound<'py, PyAny> {
        &self.object
    }
}
