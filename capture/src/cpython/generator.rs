//! Generators, coroutines and async generators: their frame and their state.

use super::frame::{Address, RunningFrame};
use super::thread::HandledItem;
use super::{GeneratorFrame, GeneratorStates, CURRENT};
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

    /// The frame object, NULL once finished, where the generator has a pointer to it.
    fn frame_object(&self) -> Option<RunningFrame<'py>> {
        // SAFETY: as in `frame`.
        unsafe { RunningFrame::from_raw(self.address.get(frame_offset())) }
    }

    /// CPython's number of the state and what the numbers mean, where there is one.
    fn numbered_state(&self) -> Option<(i8, GeneratorStates)> {
        match CURRENT.generator.frame {
            GeneratorFrame::Pointer { .. } => self.frame_object()?.state(),
            GeneratorFrame::Inside { state, states, .. } => Some((self.address.get(state), states)),
        }
    }

    /// Where it stands.
    pub fn state(&self) -> GeneratorState {
        if let Some((now, states)) = self.numbered_state() {
            return match now {
                now if now == states.created => GeneratorState::Created,
                now if now == states.suspended || now == states.delegating => GeneratorState::Suspended,
                now if now == states.executing => GeneratorState::Running,
                _ => GeneratorState::Finished,
            };
        }
        let running = match CURRENT.generator.frame {
            GeneratorFrame::Pointer { running, .. } => running,
            GeneratorFrame::Inside { .. } => None,
        };
        match self.frame_object() {
            None => GeneratorState::Finished,
            Some(_) if running.is_some_and(|offset| self.address.get::<c_char>(offset) != 0) => {
                GeneratorState::Running
            }
            Some(frame) if frame.raw_instruction() < 0 => GeneratorState::Created,
            Some(_) => GeneratorState::Suspended,
        }
    }

    /// Whether it stands suspended, though it is marked as running: one that runs has its handled exceptions
    /// above somebody's.
    pub fn is_standing(&self) -> bool {
        self.state() == GeneratorState::Running && self.handled().previous().is_none()
    }

    /// CPython's number of the state, where there is one to keep.
    pub fn raw_state(&self) -> Option<i8> {
        self.numbered_state().map(|(state, _)| state)
    }

    /// CPython's number for one that is suspended and delegates, where there are numbers.
    pub fn delegating_state(&self) -> Option<i8> {
        self.numbered_state().map(|(_, states)| states.delegating)
    }

    /// Whether CPython's number of a state is that of a generator which can go on.
    pub fn can_go_on(&self, value: i8) -> bool {
        self.numbered_state()
            .is_some_and(|(_, states)| [states.created, states.suspended, states.delegating].contains(&value))
    }

    /// Puts CPython's number of the state.
    pub fn set_raw_state(&self, value: i8) {
        match CURRENT.generator.frame {
            GeneratorFrame::Pointer { .. } => {
                if let Some(frame) = self.frame_object() {
                    frame.set_state(value);
                }
            }
            GeneratorFrame::Inside { state, .. } => self.address.set(state, value),
        }
    }

    /// Makes a fresh generator look suspended with nothing on its stack, so that whoever resumes
    /// it enters the hook with its frame.
    pub fn await_entry(&self, locals: usize) {
        let Some(frame) = self.frame() else { return };
        frame.clear_stack(locals);
        if matches!(CURRENT.generator.frame, GeneratorFrame::Pointer { .. }) {
            frame.stand_at(0);
        }
        if let Some((_, states)) = self.numbered_state() {
            self.set_raw_state(states.suspended);
        }
    }

    /// Marks a suspended generator that delegates as running, or as what it is again.
    pub fn mark_running(&self, runs: bool) {
        match (CURRENT.generator.frame, self.numbered_state()) {
            (
                GeneratorFrame::Pointer {
                    running: Some(flag), ..
                },
                _,
            ) => {
                self.address.set::<c_char>(flag, runs.into());
            }
            (_, Some((_, states))) => self.set_raw_state(match runs {
                true => states.executing,
                false => states.delegating,
            }),
            _ => {}
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
