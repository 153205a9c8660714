//! How deep the value stack is before each instruction, by abstract interpretation.
//!
//! The walk starts where CPython can enter the code: at its first instruction, and at each handler
//! of the exception table. It follows every path with the stack effects that CPython's own
//! compiler uses, and visits each instruction once; a second visit must agree with the first.

use super::blocks::Handler;
use super::instructions::{Instruction, Units};
use super::{CodeError, Op, OpcodeTable, StackEffect};

/// The depth of an instruction that no path reaches.
const UNREACHED: u16 = u16::MAX;
/// The depth of an instruction with more values below it than are counted.
const UNCOUNTED: u16 = u16::MAX - 1;
/// Arguments from here on would overflow CPython's own sums.
const ARGUMENT_LIMIT: u32 = 1 << 30;

/// The depth before each instruction, by the unit that it begins at.
#[derive(Clone, Debug)]
pub(super) struct Depths(Box<[u16]>);

impl Depths {
    /// Walks all paths of the code.
    pub fn new<E: StackEffect + ?Sized>(
        table: &OpcodeTable,
        effects: &E,
        units: &Units,
        handlers: &[Handler],
    ) -> Result<Depths, CodeError> {
        let mut walk = Walk {
            table,
            effects,
            units,
            depths: vec![UNREACHED; units.len() as usize],
            open: Vec::new(),
        };
        if units.len() > 0 {
            // CPython 3.10 sends a generator its first None before GEN_START, which drops it.
            let sent = units.decode(0).0.op == Op::GenStart;
            walk.reach(0, 0, u32::from(sent))?;
        }
        for handler in handlers {
            walk.reach(handler.start, handler.target, handler.entry_depth())?;
        }
        walk.finish()
    }

    /// Depths that another walk has found: unit and depth, units that are not among them unreached.
    pub fn given(units: &Units, depths: impl Iterator<Item = (u32, u32)>) -> Depths {
        let mut known = vec![UNREACHED; units.len() as usize];
        for (first, depth) in depths {
            known[first as usize] = counted(depth);
        }
        Depths(known.into_boxed_slice())
    }

    /// The depth before the instruction that begins at `first`.
    pub fn before(&self, first: u32) -> Option<u16> {
        self.0
            .get(first as usize)
            .copied()
            .filter(|&depth| depth < UNCOUNTED)
    }
}

struct Walk<'a, E: ?Sized> {
    table: &'a OpcodeTable,
    effects: &'a E,
    units: &'a Units,
    depths: Vec<u16>,
    /// Beginnings of instructions that were reached, and with what depth.
    open: Vec<(u32, u32)>,
}

impl<E: StackEffect + ?Sized> Walk<'_, E> {
    fn finish(mut self) -> Result<Depths, CodeError> {
        while let Some((first, depth)) = self.open.pop() {
            self.follow(first, depth)?;
        }
        Ok(Depths(self.depths.into_boxed_slice()))
    }

    /// Follows one path to its end, or until it meets one that was followed before.
    fn follow(&mut self, mut first: u32, mut depth: u32) -> Result<(), CodeError> {
        loop {
            let (instruction, row) = self.units.decode(first);
            if let Some(target) = instruction.target {
                let there = self.after(&instruction, row.argument, true, depth)?;
                self.reach(instruction.unit, target, there)?;
            }
            if instruction.op.ends_path() {
                return Ok(());
            }
            depth = self.after(&instruction, row.argument, false, depth)?;
            first = instruction.next;
            if first == self.units.len() {
                return Err(CodeError::FallsOff {
                    unit: instruction.unit,
                });
            }
            if !self.note(first, depth)? {
                return Ok(());
            }
        }
    }

    /// Notes that control gets from `from` to `to`, and follows it later if that is new.
    fn reach(&mut self, from: u32, to: u32, depth: u32) -> Result<(), CodeError> {
        if !self.units.begins(to) {
            return Err(CodeError::Jump {
                unit: from,
                target: to,
            });
        }
        if self.note(to, depth)? {
            self.open.push((to, depth));
        }
        Ok(())
    }

    /// Writes down the depth before an instruction; false if it was known.
    fn note(&mut self, first: u32, depth: u32) -> Result<bool, CodeError> {
        let depth = counted(depth);
        let known = &mut self.depths[first as usize];
        match *known {
            UNREACHED => {
                *known = depth;
                Ok(true)
            }
            known if known == depth => Ok(false),
            known => Err(CodeError::Contradiction {
                unit: first,
                depths: (known, depth),
            }),
        }
    }

    /// The depth behind an instruction.
    fn after(
        &self,
        instruction: &Instruction,
        argument: bool,
        jump: bool,
        depth: u32,
    ) -> Result<u32, CodeError> {
        let effect = effect_of(self.table, self.effects, instruction, argument, jump)?;
        depth.checked_add_signed(effect).ok_or(CodeError::Underflow {
            unit: instruction.unit,
        })
    }
}

/// A depth as it is written down.
pub(super) fn counted(depth: u32) -> u16 {
    u16::try_from(depth).map_or(UNCOUNTED, |depth| depth.min(UNCOUNTED))
}

/// By how much an instruction changes the depth, when it jumps or when it does not.
pub(super) fn effect_of<E: StackEffect + ?Sized>(
    table: &OpcodeTable,
    effects: &E,
    instruction: &Instruction,
    argument: bool,
    jump: bool,
) -> Result<i32, CodeError> {
    let &Instruction {
        unit,
        opcode,
        op,
        arg,
        ..
    } = instruction;
    if argument && arg >= ARGUMENT_LIMIT {
        return Err(CodeError::Argument { unit, arg });
    }
    let effect = match op {
        // 3.11's compiler books at PRECALL what CALL pops.
        Op::Precall => Some(0),
        Op::Call if table.has_precall() => Some(-1 - arg as i32),
        // The instruction behind it begins when the first value is sent in.
        Op::ReturnGenerator => Some(1),
        _ => effects.effect(opcode, argument.then_some(arg), jump),
    };
    effect.ok_or_else(|| CodeError::NoEffect {
        unit,
        opcode,
        name: table.name(opcode).to_owned(),
    })
}
