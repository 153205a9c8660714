//! Code objects: bytes in, facts out. Nothing here touches an interpreter.
//!
//! - `table`: what the interpreter says about its opcodes
//! - `op`: opcodes by name
//! - `instructions`: decoding, with prefixes and inline caches
//! - `depth`: instruction → stack depth
//! - `blocks`: where exceptions go on
//! - `finally`: depths where one instruction has several (3.8)
//! - `slots`: whose slot is which

mod blocks;
mod depth;
mod finally;
mod instructions;
mod op;
mod slots;
mod table;

pub use blocks::Handler;
pub use finally::{Peek, Progress, Stacks};
pub use instructions::Instruction;
pub use op::Op;
pub use slots::slot_names;
pub use table::{CodeRules, Family, OpcodeModule, OpcodeTable, StackEffect};

use depth::Depths;
use finally::Shapes;
use instructions::Units;

/// Why a code object could not be analysed. Places are units of two bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// The interpreter's opcode table lacks an opcode that decoding needs.
    #[error("the interpreter has no opcode {0}")]
    NoOpcode(&'static str),
    /// The interpreter's opcode table is not one of CPython's.
    #[error("opcode {opcode} is said to have {count} inline caches")]
    Caches {
        /// The opcode.
        opcode: u8,
        /// How many caches the table says.
        count: u8,
    },
    /// Code is pairs of bytes, and less than 4 GiB of them.
    #[error("{0} bytes are no bytecode")]
    Length(usize),
    /// EXTENDED_ARG without an opcode behind it, or too many of them.
    #[error("the argument prefix at {unit} extends nothing")]
    Prefix {
        /// The first prefix.
        unit: u32,
    },
    /// The code ends inside an instruction's inline caches.
    #[error("the code ends within the instruction at {unit}")]
    CutShort {
        /// The instruction.
        unit: u32,
    },
    /// An argument that CPython's compiler cannot have made.
    #[error("the instruction at {unit} has the argument {arg}")]
    Argument {
        /// The instruction.
        unit: u32,
        /// Its argument.
        arg: u32,
    },
    /// Control goes to a place where no instruction begins.
    #[error("the instruction at {unit} leads to {target}, where no instruction begins")]
    Jump {
        /// Where from.
        unit: u32,
        /// Where to.
        target: u32,
    },
    /// Control goes on behind the last instruction.
    #[error("the code goes on behind its last instruction, at {unit}")]
    FallsOff {
        /// The last instruction.
        unit: u32,
    },
    /// The interpreter does not know what the instruction does to the stack.
    #[error("the interpreter knows no stack effect of {name} (opcode {opcode}) at {unit}")]
    NoEffect {
        /// The instruction.
        unit: u32,
        /// Its opcode.
        opcode: u8,
        /// CPython's name for it.
        name: String,
    },
    /// The instruction takes more from the stack than is there.
    #[error("the instruction at {unit} takes more from the stack than is on it")]
    Underflow {
        /// The instruction.
        unit: u32,
    },
    /// Two ways to the same instruction leave different depths.
    #[error("the stack at {unit} is both {} and {} deep", depths.0, depths.1)]
    Contradiction {
        /// The instruction.
        unit: u32,
        /// The two depths.
        depths: (u16, u16),
    },
    /// What ends a `finally` or a handler stands where none was entered (CPython 3.8).
    #[error("the instruction at {unit} ends a block that was not entered")]
    Finally {
        /// The instruction.
        unit: u32,
    },
    /// More ways lead to an instruction than are followed (CPython 3.8).
    #[error("too many ways lead to the instruction at {unit}")]
    Shapes {
        /// The instruction.
        unit: u32,
    },
    /// The exception table has an entry that cannot be.
    #[error("the exception table is wrong from byte {byte} on")]
    ExceptionTable {
        /// Where the entry begins.
        byte: usize,
    },
    /// A frame has a block that its code cannot have set up.
    #[error("block {index} of the frame does not belong to its code")]
    Block {
        /// Counted from the bottom of the block stack.
        index: usize,
    },
}

/// What is known of one code object: its instructions, depths and handlers.
#[derive(Clone, Debug)]
pub struct CodeFacts {
    table: OpcodeTable,
    jump_bytes: u8,
    units: Units,
    depths: Depths,
    /// Where instructions may have several depths.
    finally: Option<Shapes>,
    handlers: Box<[Handler]>,
}

impl CodeFacts {
    /// Analyses the bytes of `co_code` and `co_exceptiontable` (empty up to CPython 3.10).
    ///
    /// `co_code` must be the bytes that CPython shows, which are never specialised ones.
    pub fn analyse<E: StackEffect + ?Sized>(
        rules: &CodeRules,
        table: &OpcodeTable,
        effects: &E,
        code: &[u8],
        exception_table: &[u8],
    ) -> Result<CodeFacts, CodeError> {
        let units = Units::new(rules, table, code)?;
        let handlers = match rules.family {
            Family::SharedFinally | Family::BlockStack => Box::default(),
            Family::ExceptionTable => blocks::handlers(&units, exception_table)?,
        };
        let finally = match rules.family {
            Family::SharedFinally if units.has_blocks() => Some(Shapes::new(table, effects, &units)?),
            _ => None,
        };
        let depths = match &finally {
            Some(shapes) => shapes.depths(&units),
            None => Depths::new(table, effects, &units, &handlers)?,
        };
        Ok(CodeFacts {
            table: table.clone(),
            jump_bytes: rules.jump_bytes,
            units,
            depths,
            finally,
            handlers,
        })
    }

    /// How many units of two bytes the code has.
    pub fn len(&self) -> u32 {
        self.units.len()
    }

    /// The code is empty, as CPython's never is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The instruction that CPython means when it points at `unit`: the one whose prefixes, opcode
    /// or inline caches lie there. `None` outside the code.
    ///
    /// On CPython 3.11 a call is two instructions, PRECALL and CALL, and either may be the one in
    /// progress: both are given as the CALL.
    pub fn instruction_covering(&self, unit: u32) -> Option<Instruction> {
        let found = self.units.covering(unit)?;
        match found.op {
            Op::Precall => self.units.covering(found.next).filter(|call| call.op == Op::Call),
            _ => Some(found),
        }
    }

    /// The instruction that begins at `unit`, as it stands; `None` where none begins.
    pub fn instruction_at(&self, unit: u32) -> Option<Instruction> {
        self.units.begins(unit).then(|| self.units.decode(unit).0)
    }

    /// All instructions, in the order of the code.
    pub fn instructions(&self) -> impl Iterator<Item = Instruction> + '_ {
        let mut unit = 0;
        std::iter::from_fn(move || {
            let found = self.instruction_at(unit)?;
            unit = found.next;
            Some(found)
        })
    }

    /// How many values are on the stack before the instruction, on 3.8 at most; `None` if it is never
    /// reached.
    pub fn depth_before(&self, instruction: &Instruction) -> Option<u16> {
        self.depths.before(instruction.first)
    }

    /// How many values a frame has on its stack that is at the instruction; `None` if it is never reached, or
    /// not with these stacks.
    pub fn depth_at(
        &self,
        instruction: &Instruction,
        progress: Progress,
        stacks: &dyn Stacks,
    ) -> Option<u16> {
        match &self.finally {
            Some(finally) => u16::try_from(finally.depth_at(instruction, progress, stacks)?).ok(),
            None => self.depth_before(instruction),
        }
    }

    /// How many are there when it is done and did not jump, if there were `before` values; `None` if
    /// it is never reached or never goes on to the next one.
    pub fn depth_after(&self, instruction: &Instruction, before: u16) -> Option<u16> {
        self.depth_before(instruction)?;
        if instruction.op.ends_path() {
            return None;
        }
        match &self.finally {
            Some(finally) => before.checked_add_signed(finally.effect(instruction)?.try_into().ok()?),
            None => self.depths.before(instruction.next),
        }
    }

    /// Where to start so that the instruction is executed again as a whole: at its first prefix,
    /// or at the KW_NAMES (CPython 3.11, 3.12) and PRECALL (3.11) that belong to a call.
    pub fn reexecute_from(&self, instruction: &Instruction) -> u32 {
        let mut first = instruction.first;
        if instruction.op == Op::Call {
            for part in [Op::Precall, Op::KwNames] {
                if let Some(before) = self.units.before(first).filter(|it| it.op == part) {
                    first = before.first;
                }
            }
        }
        first
    }

    /// Where an exception raised at `unit` goes on in this code (CPython 3.11 and later).
    pub fn handler_at(&self, unit: u32) -> Option<&Handler> {
        let behind = self.handlers.partition_point(|handler| handler.start <= unit);
        let candidate = self.handlers.get(behind.checked_sub(1)?)?;
        (unit < candidate.end).then_some(candidate)
    }

    /// The same for the unit before.
    pub fn handler_before(&self, unit: u32) -> Option<&Handler> {
        self.handler_at(unit.checked_sub(1)?)
    }

    /// The exception table, in the order of the code.
    pub fn handlers(&self) -> &[Handler] {
        &self.handlers
    }
}
