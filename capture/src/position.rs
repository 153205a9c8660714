//! Where a frame stands: its instruction, how deep its stack is there, and the same in words.

use crate::code::{Instruction, Peek, Progress, Stacks};
use crate::cpython::codeobject::CodeInfo;
use crate::cpython::frame::RunningFrame;
use crate::delegation;
use crate::entry::Caller;
use crate::error::{CaptureError, Site};
use crate::snapshot::Block;
use pyo3::prelude::*;
use std::cell::Cell;

/// Where a frame stands.
pub(crate) struct Position {
    pub instruction: Instruction,
    /// How deep its stack is, where CPython has stored that.
    pub stored: Option<usize>,
    pub depth: usize,
    /// How deep its code says that the stack is before the instruction.
    pub expected: usize,
    /// Whether nothing was changed by the instruction before it called.
    pub is_certain: bool,
}

impl Position {
    pub fn of(frame: RunningFrame<'_>, info: &CodeInfo) -> Result<Self, CaptureError> {
        let site = || Box::new(site_of(frame, info));
        let raw = u32::try_from(frame.raw_instruction()).ok();
        let instruction = raw.and_then(|unit| info.facts.instruction_covering(unit));
        let instruction = instruction.ok_or_else(|| CaptureError::Nowhere { site: site() })?;
        Self::at(frame, info, instruction, Progress::Begun)
    }

    /// The same for a frame that has come so far with this instruction.
    pub fn at(
        frame: RunningFrame<'_>,
        info: &CodeInfo,
        instruction: Instruction,
        progress: Progress,
    ) -> Result<Self, CaptureError> {
        let site = || Box::new(site_of(frame, info));
        let stored = frame.stored_depth(info.slots);
        let stacks = FrameStacks {
            frame,
            slots: info.slots,
            stored,
        };
        let deepest = info.facts.depth_before(&instruction);
        let deepest = usize::from(deepest.ok_or_else(|| CaptureError::Nowhere { site: site() })?);
        let found = info
            .facts
            .depth_at(&instruction, progress, &stacks)
            .map(usize::from);
        let expected = found.unwrap_or(deepest);
        let depth = stored.unwrap_or(expected);
        if depth > expected.max(info.stack_size) {
            return Err(CaptureError::DepthMismatch {
                site: site(),
                found: depth,
                expected,
            });
        }
        Ok(Self {
            instruction,
            stored,
            depth,
            expected,
            is_certain: found.is_some(),
        })
    }

    /// The frame as one that waits here.
    pub fn caller<'a, 'py>(
        &self,
        py: Python<'py>,
        frame: RunningFrame<'py>,
        info: &'a CodeInfo,
    ) -> Caller<'a, 'py> {
        Caller {
            py,
            frame,
            info,
            instruction: self.instruction,
            depth: self.depth,
            expected: self.expected,
            may_dangle: self.stored.is_none(),
            dangles: Cell::new(false),
        }
    }

    /// The same for a frame that stands suspended: where it sends on what it is given.
    pub fn of_standing(frame: RunningFrame<'_>, info: &CodeInfo) -> Result<Self, CaptureError> {
        let site = || Box::new(site_of(frame, info));
        let delegating = delegation::delegating(frame, info);
        let (instruction, expected) = delegating.ok_or_else(|| CaptureError::Nowhere { site: site() })?;
        let depth = expected - 1;
        let deepest = info.facts.depth_before(&instruction).map(usize::from);
        // Up to 3.8 it depends on the blocks, which the analysis of what is restored will ask.
        if deepest.is_none_or(|deepest| expected > deepest) {
            return Err(CaptureError::DepthMismatch {
                site: site(),
                found: expected,
                expected: deepest.unwrap_or(0),
            });
        }
        Ok(Self {
            instruction,
            stored: Some(depth),
            depth,
            expected,
            is_certain: true,
        })
    }
}

/// The stacks of a frame that runs, as far as its depth depends on them.
struct FrameStacks<'py> {
    frame: RunningFrame<'py>,
    slots: usize,
    /// The depth, where CPython has stored it.
    stored: Option<usize>,
}

impl Stacks for FrameStacks<'_> {
    fn blocks(&self) -> Vec<Block> {
        self.frame.blocks()
    }

    fn peek(&self, place: usize) -> Peek {
        if self.stored.is_some_and(|depth| place >= depth) {
            return Peek::Object;
        }
        let slot = self.slots + place;
        match self.stored {
            Some(_) => self.frame.read_slot(slot).peek(),
            None => {
                let value = self.frame.read_slot_if_alive(slot);
                value.map_or(Peek::Object, |value| value.peek())
            }
        }
    }
}

/// Where a frame stands, in words.
pub(crate) fn site_of(frame: RunningFrame<'_>, info: &CodeInfo) -> Site {
    let code = frame.code();
    let text = |name: &str| {
        code.getattr(name)
            .and_then(|value| value.extract::<String>())
            .unwrap_or_else(|_| "?".into())
    };
    let raw = u32::try_from(frame.raw_instruction()).ok();
    let unit = raw
        .and_then(|unit| info.facts.instruction_covering(unit))
        .map_or(0, |at| at.unit);
    Site {
        function: text("co_name"),
        file: text("co_filename"),
        line: line_of(&code, unit).unwrap_or(0),
    }
}

/// The line of a code unit, by the table that every release has (PEP 626's or its forerunner's).
fn line_of(code: &Bound<'_, PyAny>, unit: u32) -> Option<u32> {
    let lines = code
        .py()
        .import("dis")
        .ok()?
        .call_method1("findlinestarts", (code,))
        .ok()?;
    let mut line = None;
    for pair in lines.try_iter().ok()? {
        let (start, number) = pair.ok()?.extract::<(u32, Option<u32>)>().ok()?;
        if start > 2 * unit {
            break;
        }
        line = number.or(line);
    }
    line
}
