//! Depths in code whose `finally` bodies are shared by all ways into them (CPython 3.8).
//!
//! The compiler of 3.8 writes the body of a `finally` once, and what lies below its values tells how
//! it was entered:
//!
//! ```text
//!     the `try` came to its end (BEGIN_FINALLY)         NULL
//!     `return`, `break`, `continue` (CALL_FINALLY)      address to go back to
//!     `return` with a value                             value, address
//!     an exception                                      six values, and a block in the frame
//! ```
//!
//! So one instruction has several depths. The walk follows each way with all that CPython would have
//! in the frame, the [`Shape`]; which of them a frame has is told by its stack of blocks, and by what
//! lies at the places of NULLs and addresses.

use super::blocks::MAX_BLOCKS;
use super::depth::{counted, effect_of, Depths};
use super::instructions::{Instruction, Units};
use super::{CodeError, Op, OpcodeTable, StackEffect};
use crate::snapshot::Block;
use std::collections::{BTreeMap, HashSet};

/// CPython's number for the block of a handler that is running.
const EXCEPT_HANDLER: i32 = 257;
/// What a handler begins with: the exception that was handled before, and its own.
const RAISED: u32 = 6;
/// What a handler puts back when it ends.
const SAVED: u32 = 3;
/// More shapes of one instruction than a program has.
const MAX_SHAPES: usize = 1 << 10;

/// What a frame's stacks hold, for where the code alone does not tell how deep they are.
pub trait Stacks {
    /// The stack of blocks, innermost last.
    fn blocks(&self) -> Vec<Block>;

    /// What lies at a place of the value stack, counted from its bottom. It is only asked for places
    /// that are live in every frame that has these blocks.
    fn peek(&self, place: usize) -> Peek;
}

/// How far a frame has come with an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has not begun it.
    Ahead,
    /// It is in the middle of it: it has called something.
    Begun,
}

/// What lies at a place of the value stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// NULL.
    Null,
    /// An integer, if it is one that could be an address.
    Integer(u32),
    /// Any other object.
    Object,
}

/// Why a `finally` body runs, as long as that is not an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// NULL: it goes on behind it.
    On,
    /// The address of the instruction to go back to, in bytes; the unit at which the body begins.
    Back(u32),
}

/// All that CPython has on a frame's stacks before an instruction, as far as the code tells.
#[derive(Clone, Debug)]
struct Shape {
    depth: u32,
    blocks: Vec<Block>,
    /// What lies below the values of `finally` bodies that are open: place and kind.
    ways: Vec<(u32, Way)>,
}

impl Shape {
    /// The frame at the instruction. While that has called something it is as before, but for the one that
    /// takes an exit method off the stack before it calls it.
    fn at(&self, op: Op, progress: Progress) -> Option<Shape> {
        match (op, progress) {
            (Op::WithCleanupStart, Progress::Begun) => self.exit_taken_off(),
            _ => Some(self.clone()),
        }
    }

    /// Below the values that say why a `with` body is left lies the exit method: it is taken off. An
    /// exception's six values then are seven, with a NULL in the middle.
    fn exit_taken_off(&self) -> Option<Shape> {
        let mut after = self.clone();
        match after.ways.last_mut() {
            Some((place, _)) if *place + 1 == self.depth => {
                *place = place.checked_sub(1)?;
                after.depth -= 1;
            }
            _ => {
                let block = after
                    .blocks
                    .last_mut()
                    .filter(|block| block.kind == EXCEPT_HANDLER)?;
                if block.level < 1 || block.level as u32 + RAISED != self.depth {
                    return None;
                }
                block.level -= 1;
            }
        }
        Some(after)
    }

    /// Whether the same blocks and bodies are open.
    fn holds_like(&self, other: &Shape) -> bool {
        self.blocks == other.blocks && self.ways == other.ways
    }

    /// The same with more or fewer values.
    fn changed(&self, effect: i32) -> Option<Shape> {
        let depth = self.depth.checked_add_signed(effect)?;
        let mut after = self.clone();
        after.depth = depth;
        after.ways.retain(|&(place, _)| place < depth);
        Some(after)
    }

    /// A handler of that level entered by an exception.
    fn raised(&self, level: u32) -> Shape {
        let mut handler = self.clone();
        handler.ways.retain(|&(place, _)| place < level);
        handler.blocks.push(Block {
            kind: EXCEPT_HANDLER,
            handler: -1,
            level: level as i32,
        });
        handler.depth = level + RAISED;
        handler
    }

    /// Without its innermost block, which must be a handler that runs.
    fn without_handler(&self, effect: i32) -> Option<Shape> {
        let mut after = self.changed(effect)?;
        let block = after.blocks.pop()?;
        (block.kind == EXCEPT_HANDLER).then_some(after)
    }

    /// How the innermost `finally` body was entered, if that lies `above` values below the top.
    fn way(&self, above: u32) -> Option<Way> {
        let &(place, way) = self.ways.last()?;
        (place + 1 + above == self.depth).then_some(way)
    }
}

/// The shapes before each instruction of one code object.
#[derive(Clone, Debug)]
pub(super) struct Shapes {
    /// By the unit at which the instruction begins.
    before: BTreeMap<u32, Vec<Shape>>,
    /// Where CALL_FINALLY wants to be gone back to: the body's first unit, and the address in bytes.
    addresses: HashSet<(u32, u32)>,
    /// By how much instructions change the depth that change nothing else.
    effects: BTreeMap<u32, i32>,
}

impl Shapes {
    /// Walks all paths of the code.
    pub fn new<E: StackEffect + ?Sized>(
        table: &OpcodeTable,
        effects: &E,
        units: &Units,
    ) -> Result<Shapes, CodeError> {
        let setup = table
            .opcode(Op::SetupFinally)
            .ok_or(CodeError::NoOpcode("SETUP_FINALLY"))?;
        let mut walk = Walk {
            table,
            effects,
            units,
            setup: i32::from(setup),
            shapes: Shapes {
                before: BTreeMap::new(),
                addresses: HashSet::new(),
                effects: BTreeMap::new(),
            },
            open: Vec::new(),
        };
        if units.len() > 0 {
            let empty = Shape {
                depth: 0,
                blocks: Vec::new(),
                ways: Vec::new(),
            };
            walk.reach(0, 0, empty)?;
        }
        while let Some((first, shape)) = walk.open.pop() {
            walk.step(first, &shape)?;
        }
        Ok(walk.shapes)
    }

    /// The most values that there can be before each instruction.
    pub fn depths(&self, units: &Units) -> Depths {
        let deepest = |shapes: &Vec<Shape>| shapes.iter().map(|shape| shape.depth).max();
        let depths = self.before.iter();
        Depths::given(
            units,
            depths.filter_map(|(&first, shapes)| Some((first, deepest(shapes)?))),
        )
    }

    /// By how much the instruction changes the depth if it goes on.
    pub fn effect(&self, instruction: &Instruction) -> Option<i32> {
        self.effects.get(&instruction.first).copied()
    }

    /// How many values a frame has on its stack that is at this instruction; `None` if its stacks are none that this code makes there, or if they do not tell.
    pub fn depth_at(
        &self,
        instruction: &Instruction,
        progress: Progress,
        stacks: &dyn Stacks,
    ) -> Option<u32> {
        let blocks = stacks.blocks();
        let shapes = self.before.get(&instruction.first)?.iter();
        let mut fitting: Vec<Shape> = shapes
            .filter_map(|shape| shape.at(instruction.op, progress))
            .filter(|shape| shape.blocks == blocks)
            .collect();
        // What lies below the least deep one's top is live in all of them.
        let least = fitting.iter().map(|shape| shape.depth).min()?;
        fitting.retain(|shape| {
            let mut live = shape.ways.iter().filter(|&&(place, _)| place < least);
            live.all(|&(place, way)| self.lies(way, stacks.peek(place as usize)))
                && !self.calls_integer(instruction, shape.depth, least, stacks)
        });
        let depth = fitting.first()?.depth;
        fitting.iter().all(|shape| shape.depth == depth).then_some(depth)
    }

    /// Whether that may be what says that a body was entered this way.
    fn lies(&self, way: Way, found: Peek) -> bool {
        match (way, found) {
            (Way::On, Peek::Null) => true,
            (Way::Back(body), Peek::Integer(address)) => self.addresses.contains(&(body, address)),
            _ => false,
        }
    }

    /// Whether, at this depth, the callable of a call would be an integer. That cannot be; where the
    /// value that is returned happens to equal an address, it tells that the depth is another one.
    fn calls_integer(&self, instruction: &Instruction, depth: u32, least: u32, stacks: &dyn Stacks) -> bool {
        let callable = match instruction.op {
            Op::CallFunction => depth.checked_sub(instruction.arg + 1),
            Op::CallFunctionKw => depth.checked_sub(instruction.arg + 2),
            Op::CallFunctionEx => depth.checked_sub(2 + (instruction.arg & 1)),
            Op::CallMethod => depth.checked_sub(instruction.arg + 2),
            _ => None,
        };
        callable.is_some_and(|place| place < least && matches!(stacks.peek(place as usize), Peek::Integer(_)))
    }

    /// Whether a frame may stand at this instruction with these blocks and so many values, some of
    /// the topmost ones being left out.
    pub fn fits(
        &self,
        instruction: &Instruction,
        progress: Progress,
        stacks: &dyn Stacks,
        kept: u32,
    ) -> bool {
        let blocks = stacks.blocks();
        let shapes = self.before.get(&instruction.first);
        let shapes = shapes.into_iter().flatten();
        shapes
            .filter_map(|shape| shape.at(instruction.op, progress))
            .any(|shape| {
                let mut ways = shape.ways.iter();
                shape.blocks == blocks
                    && kept <= shape.depth
                    && ways.all(|&(place, way)| place < kept && self.lies(way, stacks.peek(place as usize)))
            })
    }
}

struct Walk<'a, E: ?Sized> {
    table: &'a OpcodeTable,
    effects: &'a E,
    units: &'a Units,
    /// The kind of the block of a `try`.
    setup: i32,
    shapes: Shapes,
    open: Vec<(u32, Shape)>,
}

impl<E: StackEffect + ?Sized> Walk<'_, E> {
    /// Notes that control gets from `from` to `to` with this shape, and follows it later if that is new.
    fn reach(&mut self, from: u32, to: u32, shape: Shape) -> Result<(), CodeError> {
        if to == self.units.len() {
            return Err(CodeError::FallsOff { unit: from });
        }
        if !self.units.begins(to) {
            return Err(CodeError::Jump {
                unit: from,
                target: to,
            });
        }
        let known = self.shapes.before.entry(to).or_default();
        if let Some(same) = known.iter().find(|known| known.holds_like(&shape)) {
            return match same.depth == shape.depth {
                true => Ok(()),
                false => Err(CodeError::Contradiction {
                    unit: to,
                    depths: (counted(same.depth), counted(shape.depth)),
                }),
            };
        }
        if known.len() == MAX_SHAPES || shape.blocks.len() > MAX_BLOCKS {
            return Err(CodeError::Shapes { unit: to });
        }
        known.push(shape.clone());
        self.open.push((to, shape));
        Ok(())
    }

    /// Follows one instruction to all places that it leads to.
    fn step(&mut self, first: u32, shape: &Shape) -> Result<(), CodeError> {
        let (instruction, row) = self.units.decode(first);
        let Instruction { unit, next, .. } = instruction;
        let underflow = || CodeError::Underflow { unit };
        let unbalanced = || CodeError::Finally { unit };
        let target = instruction.target.unwrap_or(u32::MAX);
        let on = match instruction.op {
            Op::SetupFinally => {
                self.reach(unit, target, shape.raised(shape.depth))?;
                Some(self.opened(shape.clone(), shape.depth, target))
            }
            Op::SetupWith => {
                self.reach(unit, target, shape.raised(shape.depth))?;
                let entered = shape.changed(1).ok_or_else(underflow)?;
                Some(self.opened(entered, shape.depth, target))
            }
            Op::SetupAsyncWith => {
                // The block is set up below the value that __aenter__ gave.
                let level = shape.depth.checked_sub(1).ok_or_else(underflow)?;
                self.reach(unit, target, shape.raised(level))?;
                Some(self.opened(shape.clone(), level, target))
            }
            Op::PopBlock => {
                let mut after = shape.clone();
                after.blocks.pop().ok_or_else(unbalanced)?;
                Some(after)
            }
            Op::PopExcept => Some(shape.without_handler(-(SAVED as i32)).ok_or_else(unbalanced)?),
            Op::EndAsyncFor => {
                // The handler's values, and the iterator below.
                let effect = -1 - RAISED as i32;
                Some(shape.without_handler(effect).ok_or_else(unbalanced)?)
            }
            Op::BeginFinally => Some(entered(shape, Way::On).ok_or_else(underflow)?),
            Op::CallFinally => {
                let body = entered(shape, Way::Back(target)).ok_or_else(underflow)?;
                self.reach(unit, target, body)?;
                self.shapes.addresses.insert((target, 2 * next));
                Some(shape.clone())
            }
            Op::EndFinally => match shape.way(0) {
                Some(Way::On) => shape.changed(-1),
                // Back to behind CALL_FINALLY, which was followed from there.
                Some(Way::Back(_)) => None,
                // The exception is raised again.
                None if is_handler(shape.blocks.last()) => None,
                None => return Err(unbalanced()),
            },
            Op::PopFinally => Some(popped(shape, instruction.arg).ok_or_else(unbalanced)?),
            Op::WithCleanupStart => {
                // What was raised, or None, and the exit method's answer.
                let taken_off = shape.exit_taken_off().ok_or_else(unbalanced)?;
                taken_off.changed(2)
            }
            Op::WithCleanupFinish => {
                let after = shape.changed(-2).ok_or_else(underflow)?;
                if after.way(0).is_none() {
                    // The exit method has swallowed the exception.
                    let level = after.blocks.last().map_or(0, |block| block.level as u32);
                    let effect = level as i32 - after.depth as i32;
                    let swallowed = after.without_handler(effect).ok_or_else(unbalanced)?;
                    let swallowed = entered(&swallowed, Way::On).ok_or_else(underflow)?;
                    self.reach(unit, next, swallowed)?;
                }
                Some(after)
            }
            _ => {
                let argument = row.argument;
                if instruction.target.is_some() {
                    let effect = effect_of(self.table, self.effects, &instruction, argument, true)?;
                    let there = shape.changed(effect).ok_or_else(underflow)?;
                    self.reach(unit, target, there)?;
                }
                if instruction.op.ends_path() {
                    None
                } else {
                    let effect = effect_of(self.table, self.effects, &instruction, argument, false)?;
                    self.shapes.effects.insert(first, effect);
                    Some(shape.changed(effect).ok_or_else(underflow)?)
                }
            }
        };
        match on {
            Some(after) => self.reach(unit, next, after),
            None => Ok(()),
        }
    }

    /// With the block of a `try` or `with` at that level, whose handler begins at `target`.
    fn opened(&self, mut shape: Shape, level: u32, target: u32) -> Shape {
        shape.blocks.push(Block {
            kind: self.setup,
            handler: 2 * target as i32, // reached before, so it lies in the code
            level: level as i32,
        });
        shape
    }
}

fn is_handler(block: Option<&Block>) -> bool {
    block.is_some_and(|block| block.kind == EXCEPT_HANDLER)
}

/// In a `finally` body that was entered this way.
fn entered(shape: &Shape, way: Way) -> Option<Shape> {
    let mut body = shape.changed(1)?;
    body.ways.push((shape.depth, way));
    Some(body)
}

/// Without what tells why a `finally` body runs: `return`, `break` or `continue` in it leaves it for
/// good. So many values above it stay.
fn popped(shape: &Shape, above: u32) -> Option<Shape> {
    if shape.way(above).is_some() {
        let mut after = shape.changed(-1)?;
        after.ways.retain(|&(place, _)| place + 1 + above < shape.depth);
        return Some(after);
    }
    let block = shape.blocks.last()?;
    if block.level as u32 + RAISED + above != shape.depth {
        return None;
    }
    shape.without_handler(-(RAISED as i32))
}
