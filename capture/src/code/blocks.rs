//! Where exceptions go on: the exception table of a code object, or the block stack of a frame.
//!
//! From CPython 3.11 on the regions of `try` and `with` are in the code object, as variable-length
//! numbers of six bits a byte, most significant first; bit 6 says that more follow, bit 7 that a
//! new entry begins. An entry is four numbers: start, length, target, and twice the depth plus one
//! if the instruction's offset is pushed below the exception. Up to 3.10 each frame has its own
//! stack of blocks, which is held against the code here.

use super::instructions::Units;
use super::{CodeError, CodeFacts, Op, Progress, Stacks};
use crate::snapshot::Block;

/// Where an exception that is raised in a region goes on (CPython 3.11 and later).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handler {
    /// First unit of the region.
    pub start: u32,
    /// First unit behind the region.
    pub end: u32,
    /// Where the handler begins.
    pub target: u32,
    /// The depth that the stack is cut down to.
    pub depth: u16,
    /// The instruction's offset is pushed before the exception.
    pub pushes_offset: bool,
}

impl Handler {
    /// The depth before the handler's first instruction.
    pub(super) fn entry_depth(&self) -> u32 {
        u32::from(self.depth) + u32::from(self.pushes_offset) + 1
    }
}

/// Reads an exception table; its regions must be in order and its places in the code.
pub(super) fn handlers(units: &Units, table: &[u8]) -> Result<Box<[Handler]>, CodeError> {
    let mut rest = Numbers { table, at: 0 };
    let mut handlers: Vec<Handler> = Vec::new();
    while rest.at < table.len() {
        let at = rest.at;
        let bad = || CodeError::ExceptionTable { byte: at };
        let handler = rest.handler().ok_or_else(bad)?;
        let behind = handlers.last().map_or(0, |last| last.end);
        let in_order = behind <= handler.start && handler.start < handler.end;
        if !in_order || handler.end > units.len() || !units.begins(handler.target) {
            return Err(bad());
        }
        handlers.push(handler);
    }
    Ok(handlers.into_boxed_slice())
}

/// The numbers of an exception table.
struct Numbers<'a> {
    table: &'a [u8],
    at: usize,
}

impl Numbers<'_> {
    const BEGINS: u8 = 0x80;
    const MORE: u8 = 0x40;
    const BITS: u8 = 0x3f;

    fn handler(&mut self) -> Option<Handler> {
        let start = self.number(true)?;
        let length = self.number(false)?;
        let target = self.number(false)?;
        let depth = self.number(false)?;
        Some(Handler {
            start,
            end: start.checked_add(length)?,
            target,
            depth: u16::try_from(depth >> 1).ok()?,
            pushes_offset: depth & 1 == 1,
        })
    }

    fn number(&mut self, begins: bool) -> Option<u32> {
        let mut byte = *self.table.get(self.at)?;
        if begins != (byte & Self::BEGINS != 0) {
            return None;
        }
        let mut number = u32::from(byte & Self::BITS);
        self.at += 1;
        while byte & Self::MORE != 0 {
            byte = *self.table.get(self.at)?;
            if byte & Self::BEGINS != 0 || number >> 26 != 0 {
                return None;
            }
            number = number << 6 | u32::from(byte & Self::BITS);
            self.at += 1;
        }
        Some(number)
    }
}

/// CPython's number for the block of a handler that is running.
const EXCEPT_HANDLER: i32 = 257;
/// A frame has room for this many blocks.
pub(super) const MAX_BLOCKS: usize = 20;
/// What a running handler puts back when it ends: the exception that was handled before.
const SAVED: i64 = 3;
/// What a handler begins with: what it puts back, and the exception it handles.
const RAISED: i32 = 6;

impl CodeFacts {
    /// Holds a frame's stacks against its code: whether one that stands at this unit, or is suspended
    /// there, may have these blocks and so many values, perhaps without its topmost ones. An error
    /// says which block CPython cannot have made.
    pub fn check_stacks(
        &self,
        unit: i32,
        progress: Progress,
        stacks: &dyn Stacks,
        kept: u16,
    ) -> Result<(), CodeError> {
        let Some(finally) = &self.finally else {
            return self.check_blocks(&stacks.blocks(), kept);
        };
        let instruction = u32::try_from(unit).ok();
        let instruction = instruction.and_then(|unit| self.instruction_covering(unit));
        let fits = match instruction {
            Some(instruction) => finally.fits(&instruction, progress, stacks, kept.into()),
            None => unit == -1 && kept == 0 && stacks.blocks().is_empty(),
        };
        let index = stacks.blocks().len().saturating_sub(1);
        fits.then_some(()).ok_or(CodeError::Block { index })
    }

    /// The same for blocks alone, where the code gives each instruction one depth
    /// (CPython 3.9 and 3.10).
    pub fn check_blocks(&self, blocks: &[Block], depth: u16) -> Result<(), CodeError> {
        if blocks.len() > MAX_BLOCKS {
            return Err(CodeError::Block { index: MAX_BLOCKS });
        }
        let setup = self.table.opcode(Op::SetupFinally).map(i32::from);
        let mut floor = 0;
        for (index, block) in blocks.iter().enumerate() {
            let room = i64::from(depth) - i64::from(block.level);
            let fits = if block.kind == EXCEPT_HANDLER {
                // -1, on 3.10 the instruction that raised, which RERAISE goes back to.
                (-1..self.len() as i32).contains(&block.handler) && room >= SAVED
            } else {
                Some(block.kind) == setup && room >= 0 && self.enters(block)
            };
            if !fits || block.level < floor {
                return Err(CodeError::Block { index });
            }
            floor = block.level;
        }
        Ok(())
    }

    /// The block's handler begins with its six values above the block's level.
    fn enters(&self, block: &Block) -> bool {
        let unit = self.block_target(block.handler);
        let depth = unit.and_then(|unit| self.depths.before(unit));
        depth.map(i32::from) == block.level.checked_add(RAISED)
    }

    /// The unit that a block's handler stands for: CPython counts it in steps of a jump.
    pub fn block_target(&self, handler: i32) -> Option<u32> {
        let bytes = i64::from(handler) * i64::from(self.jump_bytes);
        let unit = u32::try_from(bytes / 2).ok()?;
        (bytes % 2 == 0 && self.units.begins(unit)).then_some(unit)
    }
}
