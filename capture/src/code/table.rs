//! What the running interpreter says about its bytecode, as plain data.
//!
//! The hook fills an [`OpcodeTable`] once from CPython's own `opcode` module and answers
//! [`StackEffect`] with CPython's own function. What no module tells is in [`CodeRules`].

use std::fmt;
use std::sync::Arc;

use super::{CodeError, Op};

/// The bytecode facts of a release that CPython publishes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeRules {
    /// Where handlers are kept.
    pub family: Family,
    /// How many bytes one step of a jump's argument stands for: 1 up to CPython 3.9, 2 after.
    pub jump_bytes: u8,
}

/// Where a release keeps the handlers of its `try` and `with` statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Family {
    /// As [`Family::BlockStack`], and the body of a `finally` is shared by all ways into it, which leave
    /// stacks of different depths (CPython 3.8).
    SharedFinally,
    /// In each frame, as a stack of blocks; a handler starts six values above its block
    /// (CPython 3.9 and 3.10).
    BlockStack,
    /// In the code object, as a table (CPython 3.11 and later).
    ExceptionTable,
}

/// By how much an instruction changes the stack's depth.
pub trait StackEffect {
    /// What CPython's `stack_effect` says for the instruction, when it jumps or when it does not;
    /// `None` if it knows no such instruction. `arg` is `None` for an opcode without argument.
    fn effect(&self, opcode: u8, arg: Option<u32>, jump: bool) -> Option<i32>;
}

impl<F: Fn(u8, Option<u32>, bool) -> Option<i32>> StackEffect for F {
    fn effect(&self, opcode: u8, arg: Option<u32>, jump: bool) -> Option<i32> {
        self(opcode, arg, jump)
    }
}

/// Most inline cache units behind one opcode that a table may claim.
const MAX_CACHES: u8 = 64;

/// The opcodes of the running interpreter. Cloning is cheap.
#[derive(Clone)]
pub struct OpcodeTable(Arc<Table>);

struct Table {
    rows: [Row; 256],
    names: Vec<String>,
    /// There is a PRECALL: it books the pops that CALL then does (CPython 3.11).
    precall: bool,
}

/// What decoding wants to know of an opcode.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub op: Op,
    pub caches: u8,
    pub argument: bool,
    pub jump: Jump,
}

/// How an instruction's argument names the place it jumps to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Jump {
    Never,
    Forward,
    Backward,
    Absolute,
}

/// What CPython's `opcode` module holds, as it says it.
#[derive(Clone, Debug, Default)]
pub struct OpcodeModule {
    /// `opname`; what is beyond 256 is left out.
    pub names: Vec<String>,
    /// `hasjrel`.
    pub relative_jumps: Vec<u8>,
    /// `hasjabs`.
    pub absolute_jumps: Vec<u8>,
    /// The opcodes that use their argument: `hasarg`, or all from `HAVE_ARGUMENT` on.
    pub with_argument: Vec<u8>,
    /// Opcode and number of inline cache units, for those that have any.
    pub caches: Vec<(u8, u8)>,
}

impl OpcodeTable {
    /// Makes the table that decoding uses.
    pub fn new(module: &OpcodeModule) -> Result<OpcodeTable, CodeError> {
        let names: Vec<String> = module.names.iter().take(256).cloned().collect();
        let mut rows = [Row {
            op: Op::Other,
            caches: 0,
            argument: false,
            jump: Jump::Never,
        }; 256];
        for (row, name) in rows.iter_mut().zip(&names) {
            row.op = Op::named(name);
        }
        for &opcode in &module.with_argument {
            rows[usize::from(opcode)].argument = true;
        }
        for &(opcode, count) in &module.caches {
            if count > MAX_CACHES {
                return Err(CodeError::Caches { opcode, count });
            }
            rows[usize::from(opcode)].caches = count;
        }
        for &opcode in &module.absolute_jumps {
            rows[usize::from(opcode)].jump = Jump::Absolute;
        }
        for &opcode in &module.relative_jumps {
            let row = &mut rows[usize::from(opcode)];
            let name = names.get(usize::from(opcode)).map_or("", String::as_str);
            row.jump = if row.op == Op::EndAsyncFor {
                // From 3.14 on listed among the jumps: its argument is for tools, it never jumps.
                Jump::Never
            } else if name.contains("BACKWARD") {
                Jump::Backward
            } else {
                Jump::Forward
            };
        }
        if !rows.iter().any(|row| row.op == Op::ExtendedArg) {
            return Err(CodeError::NoOpcode("EXTENDED_ARG"));
        }
        let precall = rows.iter().any(|row| row.op == Op::Precall);
        Ok(OpcodeTable(Arc::new(Table { rows, names, precall })))
    }

    /// CPython's name of an opcode; empty for a number that has none.
    pub fn name(&self, opcode: u8) -> &str {
        self.0.names.get(usize::from(opcode)).map_or("", String::as_str)
    }

    /// The opcode by which this release knows an operation.
    pub fn opcode(&self, op: Op) -> Option<u8> {
        let found = self.0.rows.iter().position(|row| row.op == op)?;
        u8::try_from(found).ok()
    }

    pub(super) fn row(&self, opcode: u8) -> Row {
        self.0.rows[usize::from(opcode)]
    }

    pub(super) fn has_precall(&self) -> bool {
        self.0.precall
    }
}

impl fmt::Debug for OpcodeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.rows.iter().filter(|row| row.op != Op::Other).count();
        write!(f, "OpcodeTable({known} known opcodes)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(names: &[&str]) -> OpcodeModule {
        OpcodeModule {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..OpcodeModule::default()
        }
    }

    #[test]
    fn opcodes_are_found_by_name() {
        let table = OpcodeTable::new(&module(&["CACHE", "EXTENDED_ARG", "NEW_ONE"])).unwrap();
        assert_eq!(table.opcode(Op::ExtendedArg), Some(1));
        assert_eq!(table.opcode(Op::Call), None);
        assert_eq!(table.row(2).op, Op::Other);
        assert_eq!((table.name(2), table.name(200)), ("NEW_ONE", ""));
    }

    #[test]
    fn a_jump_listed_for_tools_only_is_none() {
        let mut module = module(&["EXTENDED_ARG", "END_ASYNC_FOR", "JUMP_BACKWARD", "SEND"]);
        module.relative_jumps = vec![1, 2, 3];
        let table = OpcodeTable::new(&module).unwrap();
        assert!(table.row(1).jump == Jump::Never);
        assert!(table.row(2).jump == Jump::Backward);
        assert!(table.row(3).jump == Jump::Forward);
    }

    #[test]
    fn a_table_that_cannot_be_is_refused() {
        assert_eq!(
            OpcodeTable::new(&module(&["CACHE"])).unwrap_err(),
            CodeError::NoOpcode("EXTENDED_ARG")
        );
        let mut module = module(&["EXTENDED_ARG"]);
        module.caches = vec![(9, 200)];
        assert_eq!(
            OpcodeTable::new(&module).unwrap_err(),
            CodeError::Caches {
                opcode: 9,
                count: 200
            }
        );
    }
}
