//! Decoding: bytes in, instructions out.
//!
//! CPython points at an instruction in several ways: at the first of its EXTENDED_ARG prefixes, at
//! the opcode itself, or at one of its inline caches. [`Units`] knows for each unit of two bytes
//! which instruction covers it:
//!
//! ```text
//!     unit      EXTENDED_ARG  EXTENDED_ARG  CALL  cache  cache | POP_TOP
//!               first                       unit               | next
//! ```

use super::table::{Jump, Row};
use super::{CodeError, CodeRules, Op, OpcodeTable};

/// One decoded instruction. Places are counted in units of two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Its first EXTENDED_ARG prefix, or the opcode where there is none.
    pub first: u32,
    /// The opcode itself.
    pub unit: u32,
    /// The instruction behind it, past the inline caches.
    pub next: u32,
    /// The whole argument; meaningless for an opcode that takes none.
    pub arg: u32,
    /// Where it jumps to, if it is a jump. In code that is never reached this may be anywhere.
    pub target: Option<u32>,
    /// The opcode in this release's numbers.
    pub opcode: u8,
    /// The opcode by name.
    pub op: Op,
}

impl Instruction {
    /// Inline cache units follow the opcode.
    pub fn has_caches(&self) -> bool {
        self.next > self.unit + 1
    }
}

/// More than this many prefixes make an argument that does not fit 32 bits.
const MAX_PREFIXES: u32 = 3;

/// A code object's bytes, cut into instructions.
#[derive(Clone, Debug)]
pub(super) struct Units {
    table: OpcodeTable,
    jump_bytes: u8,
    /// Opcode and argument byte of each unit.
    code: Box<[u8]>,
    /// For each unit, how far behind the start of its instruction it lies.
    lead: Box<[u8]>,
}

impl Units {
    /// Cuts `code` into instructions; none may be cut short.
    pub fn new(rules: &CodeRules, table: &OpcodeTable, code: &[u8]) -> Result<Units, CodeError> {
        if code.len() % 2 != 0 || u32::try_from(code.len()).is_err() {
            return Err(CodeError::Length(code.len()));
        }
        let mut lead = vec![0u8; code.len() / 2];
        let mut first = 0;
        while first < lead.len() {
            let mut unit = first;
            let mut row = table.row(code[2 * unit]);
            while row.op == Op::ExtendedArg {
                unit += 1;
                if unit == lead.len() || unit - first > MAX_PREFIXES as usize {
                    return Err(CodeError::Prefix { unit: first as u32 });
                }
                row = table.row(code[2 * unit]);
            }
            let next = unit + 1 + usize::from(row.caches);
            let Some(covered) = lead.get_mut(first..next) else {
                return Err(CodeError::CutShort { unit: unit as u32 });
            };
            for (distance, lead) in covered.iter_mut().enumerate() {
                *lead = distance as u8; // at most prefixes + opcode + caches < 256
            }
            first = next;
        }
        Ok(Units {
            table: table.clone(),
            jump_bytes: rules.jump_bytes.max(1),
            code: code.into(),
            lead: lead.into_boxed_slice(),
        })
    }

    /// How many units there are.
    pub fn len(&self) -> u32 {
        self.lead.len() as u32 // checked in `new`
    }

    /// Whether some instruction sets up a block of the frame.
    pub fn has_blocks(&self) -> bool {
        let mut opcodes = self.code.iter().step_by(2);
        opcodes.any(|&opcode| {
            let op = self.table.row(opcode).op;
            matches!(op, Op::SetupFinally | Op::SetupWith | Op::SetupAsyncWith)
        })
    }

    /// An instruction begins at this unit.
    pub fn begins(&self, unit: u32) -> bool {
        self.lead.get(unit as usize) == Some(&0)
    }

    /// The instruction that covers a unit.
    pub fn covering(&self, unit: u32) -> Option<Instruction> {
        let lead = *self.lead.get(unit as usize)?;
        Some(self.decode(unit - u32::from(lead)).0)
    }

    /// The instruction that ends where the one beginning at `first` begins.
    pub fn before(&self, first: u32) -> Option<Instruction> {
        self.covering(first.checked_sub(1)?)
    }

    /// The instruction that begins at `first`, and its opcode's row. `first` must begin one.
    pub fn decode(&self, first: u32) -> (Instruction, Row) {
        let mut unit = first as usize;
        let (mut opcode, mut arg) = (self.code[2 * unit], u32::from(self.code[2 * unit + 1]));
        let mut row = self.table.row(opcode);
        while row.op == Op::ExtendedArg {
            unit += 1;
            opcode = self.code[2 * unit];
            arg = arg << 8 | u32::from(self.code[2 * unit + 1]);
            row = self.table.row(opcode);
        }
        let unit = unit as u32;
        let next = unit + 1 + u32::from(row.caches);
        let target = self.target(row.jump, next, arg);
        (
            Instruction {
                first,
                unit,
                next,
                arg,
                target,
                opcode,
                op: row.op,
            },
            row,
        )
    }

    /// Where a jump goes; a place that cannot be is the last one there is, which no code reaches.
    fn target(&self, jump: Jump, next: u32, arg: u32) -> Option<u32> {
        let (arg, next) = (i64::from(arg) * i64::from(self.jump_bytes), i64::from(next) * 2);
        let byte = match jump {
            Jump::Never => return None,
            Jump::Forward => next + arg,
            Jump::Backward => next - arg,
            Jump::Absolute => arg,
        };
        let unit = if byte % 2 == 0 {
            u32::try_from(byte / 2).ok()
        } else {
            None
        };
        Some(unit.unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::super::OpcodeModule;
    use super::*;

    const NOP: u8 = 0;
    const EXTENDED_ARG: u8 = 1;
    const CALL: u8 = 2; // with two caches
    const FORWARD: u8 = 3;
    const BACKWARD: u8 = 4;
    const ABSOLUTE: u8 = 5;

    fn table() -> OpcodeTable {
        let names = [
            "NOP",
            "EXTENDED_ARG",
            "CALL",
            "JUMP_FORWARD",
            "JUMP_BACKWARD",
            "JUMP_ABSOLUTE",
        ];
        OpcodeTable::new(&OpcodeModule {
            names: names.map(str::to_owned).to_vec(),
            relative_jumps: vec![FORWARD, BACKWARD],
            absolute_jumps: vec![ABSOLUTE],
            with_argument: (1..=5).collect(),
            caches: vec![(CALL, 2)],
        })
        .unwrap()
    }

    fn units(jump_bytes: u8, code: &[u8]) -> Result<Units, CodeError> {
        let rules = CodeRules {
            family: super::super::Family::ExceptionTable,
            jump_bytes,
        };
        Units::new(&rules, &table(), code)
    }

    #[test]
    fn prefixes_and_caches_belong_to_their_instruction() {
        let code = [EXTENDED_ARG, 1, EXTENDED_ARG, 2, CALL, 3, 0, 0, 0, 0, NOP, 0];
        let units = units(2, &code).unwrap();
        for unit in 0..5 {
            let call = units.covering(unit).unwrap();
            assert_eq!((call.first, call.unit, call.next), (0, 2, 5));
            assert_eq!((call.op, call.arg), (Op::Call, 0x01_02_03));
            assert!(call.has_caches());
        }
        assert_eq!(units.covering(5).unwrap().op, Op::Nop);
        assert!(!units.covering(5).unwrap().has_caches());
        assert_eq!(units.before(5).unwrap().op, Op::Call);
        assert_eq!(units.before(0), None);
        assert_eq!(units.covering(6), None);
        assert!(units.begins(0) && !units.begins(2) && !units.begins(4) && units.begins(5));
    }

    #[test]
    fn jumps_are_counted_in_the_releases_own_steps() {
        let code = [FORWARD, 2, BACKWARD, 2, ABSOLUTE, 2];
        let targets = |jump_bytes| {
            let units = units(jump_bytes, &code).unwrap();
            [0, 1, 2].map(|unit| units.covering(unit).unwrap().target.unwrap())
        };
        assert_eq!(targets(2), [3, 0, 2]);
        assert_eq!(targets(1), [2, 1, 1]);
    }

    #[test]
    fn a_jump_to_nowhere_names_a_place_that_no_code_reaches() {
        let jump = |code: &[u8]| units(1, code).unwrap().covering(0).unwrap().target;
        assert_eq!(jump(&[BACKWARD, 200]), Some(u32::MAX));
        assert_eq!(jump(&[FORWARD, 1]), Some(u32::MAX));
    }

    #[test]
    fn code_that_is_cut_short_is_refused() {
        assert_eq!(units(2, &[NOP]).unwrap_err(), CodeError::Length(1));
        assert_eq!(
            units(2, &[NOP, 0, EXTENDED_ARG, 0]).unwrap_err(),
            CodeError::Prefix { unit: 1 }
        );
        assert_eq!(
            units(2, &[CALL, 0, 0, 0]).unwrap_err(),
            CodeError::CutShort { unit: 0 }
        );
        let prefixed = [
            EXTENDED_ARG,
            0,
            EXTENDED_ARG,
            0,
            EXTENDED_ARG,
            0,
            EXTENDED_ARG,
            0,
            NOP,
            0,
        ];
        assert_eq!(units(2, &prefixed).unwrap_err(), CodeError::Prefix { unit: 0 });
        assert!(units(2, &prefixed[2..]).is_ok());
    }
}
