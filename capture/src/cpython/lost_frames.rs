//! Frames that are evaluated, but which nothing refers to any more that can be looked up.
//!
//! `throw` of a generator that delegates goes on to the innermost one. Up to 3.9 it makes the generator's frame,
//! which stands suspended and hangs below nothing, the current one meanwhile, and keeps the one that was that before
//! in C. That one's evaluator has it on the C stack as well.

use super::alive::{is_mapped, looks_alive};
use super::frame::RunningFrame;
use super::unwinding::CallStack;
use super::CURRENT;
use core::ffi::c_void;
use pyo3::ffi;
use pyo3::prelude::*;
use std::collections::HashSet;

const WORD: usize = core::mem::size_of::<usize>();

/// More than an activation has of the stack for itself: what seems to is on another one.
const MOST_BYTES: usize = 1 << 20;

/// No less than this is mapped at a time.
const PAGE: usize = 4096;

/// The frames that are evaluated by the calling thread, the innermost first, as far as they are objects: all that
/// its C stack knows.
pub(crate) fn frames_on_stack<'py>(_py: Python<'py>) -> Vec<RunningFrame<'py>> {
    if CURRENT.frame.frame_object.is_some() {
        return Vec::new();
    }
    CallStack::look(
        |_| false,
        |stack| {
            let mut seen = HashSet::new();
            let mut found = Vec::new();
            for pair in stack.activations().windows(2) {
                let (start, end) = (pair[0].stack.next_multiple_of(WORD), pair[1].stack);
                if end.saturating_sub(start) > MOST_BYTES {
                    continue;
                }
                for address in (start..end.saturating_sub(WORD - 1)).step_by(WORD) {
                    if (address == start || address % PAGE == 0) && !is_mapped(address) {
                        break;
                    }
                    // SAFETY: a word of memory that is mapped, on the stack of a caller of this.
                    let word = unsafe { (address as *const usize).read_volatile() };
                    if word > PAGE && word % WORD == 0 && seen.insert(word) {
                        found.extend(evaluated_at(word));
                    }
                }
            }
            found
        },
    )
}

/// The frame at an address, if there is one that is evaluated.
fn evaluated_at<'py>(address: usize) -> Option<RunningFrame<'py>> {
    // SAFETY: an object is looked at only if there is one; frames are frame objects where this is asked, and one
    // that is evaluated stays alive until its evaluator returns.
    unsafe {
        let is_frame = looks_alive(address) && ffi::PyFrame_Check(address as *mut ffi::PyObject) != 0;
        let frame = RunningFrame::from_raw(address as *mut c_void).filter(|_| is_frame)?;
        frame.is_evaluated().then_some(frame)
    }
}
