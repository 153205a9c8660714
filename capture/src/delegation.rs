//! Generators that something is thrown through, or that are closed with what they delegate to.
//!
//! `throw` and `close` of a generator that delegates (`yield from`, `await`) are C functions that go to the innermost
//! one first. Meanwhile those outside of it are marked as running, but stand where they were suspended, and whether
//! they are in the chain of frames depends on the release:
//!
//! ```text
//! throw: 3.8 none · 3.9 the one directly outside, and nothing outside of that · 3.10 and later all
//!        (before 3.13 none that delegates to something else than a generator or a coroutine)
//! close: none
//! ```
//!
//! From where the innermost stands now, `throw` goes on like `send`: the others are captured as if they had sent None
//! inwards. `close` goes on from one to the next.

use crate::boundary::driven;
use crate::code::{Instruction, Op};
use crate::cpython::codeobject::CodeInfo;
use crate::cpython::frame::RunningFrame;
use crate::cpython::generator::{Generator, GeneratorState};
use pyo3::prelude::*;

/// How many units may lie between a yield and the instruction that sends on.
const UNITS_TO_SEND: usize = 8;

/// The generator of a frame if it stands suspended, though it is marked as running.
pub(crate) fn standing<'py>(frame: RunningFrame<'py>) -> Option<Generator<'py>> {
    let generator = Generator::new(&frame.generator()?)?;
    generator.is_standing().then_some(generator)
}

/// The instruction with which a suspended frame delegates, and the depth of its stack there: what is sent lies on top.
pub(crate) fn delegating(frame: RunningFrame<'_>, info: &CodeInfo) -> Option<(Instruction, usize)> {
    let depth = frame.stored_depth(info.slots)?;
    let facts = &info.facts;
    let mut at = facts.instruction_covering(u32::try_from(frame.raw_instruction()).ok()?)?;
    for _ in 0..UNITS_TO_SEND {
        at = match at.op {
            Op::YieldFrom | Op::Send => return Some((at, depth + 1)),
            Op::JumpBackwardNoInterrupt => facts.instruction_at(at.target?)?,
            _ => facts.instruction_at(at.next)?,
        };
    }
    None
}

/// What a suspended generator delegates to.
fn delegate<'py>(generator: &Generator<'py>) -> Option<Bound<'py, PyAny>> {
    let frame = generator.frame()?;
    let info = CodeInfo::of(&frame.code()).ok()?;
    let (instruction, depth) = delegating(frame, &info)?;
    let words = crate::cpython::CURRENT.operands.iterator_words;
    let place = depth.checked_sub(words + 1)?;
    matches!(instruction.op, Op::YieldFrom | Op::Send)
        .then(|| frame.read_slot(info.slots + place).object())
        .flatten()
}

/// The generators that `throw` or `close` of `owner` goes through, outermost first: all but the last stand, and that
/// one runs. `None` if it does not go through any.
pub(crate) fn path<'py>(owner: &Bound<'py, PyAny>) -> Option<Vec<Generator<'py>>> {
    let mut path = vec![Generator::new(&driven(owner)?)?];
    loop {
        let last = path.last()?;
        if !last.is_standing() {
            return (last.state() == GeneratorState::Running).then_some(path);
        }
        let next = Generator::new(&driven(&delegate(last)?)?)?;
        if path.iter().any(|one| one.object().is(next.object())) {
            return None;
        }
        path.push(next);
    }
}
