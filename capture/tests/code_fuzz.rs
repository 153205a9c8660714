//! The analysis of bytes that no compiler made: refused or analysed, never a panic.

mod golden_files;

use std::panic::{catch_unwind, AssertUnwindSafe};

use capture::code::{CodeFacts, Peek, Progress, StackEffect, Stacks};
use capture::snapshot::Block;
use golden_files::Release;

/// A small generator of numbers, the same ones every time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// A frame without blocks whose stack holds one value everywhere.
struct Filled(Peek);

impl Stacks for Filled {
    fn blocks(&self) -> Vec<Block> {
        Vec::new()
    }

    fn peek(&self, _place: usize) -> Peek {
        self.0
    }
}

/// Analyses the bytes and asks every question about the outcome; it may be refused, never panic.
fn survives(release: &Release, effects: &dyn StackEffect, code: &[u8], exception_table: &[u8]) -> bool {
    let ask = || {
        let Ok(facts) = CodeFacts::analyse(&release.rules, &release.table, effects, code, exception_table)
        else {
            return false;
        };
        for unit in (0..=facts.len()).chain([u32::MAX]) {
            let handler = facts.handler_at(unit);
            assert!(handler.is_none_or(|it| it.start <= unit && unit < it.end));
            facts.block_target(unit as i32);
            if let Some(it) = facts.instruction_covering(unit) {
                let before = facts.depth_before(&it).unwrap_or(0);
                facts.depth_after(&it, before);
                for value in [Peek::Null, Peek::Integer(2 * unit)] {
                    let stacks = Filled(value);
                    facts.depth_at(&it, Progress::Begun, &stacks);
                    // An error or not.
                    let _either = facts.check_stacks(it.unit as i32, Progress::Begun, &stacks, before);
                }
                assert!(facts.reexecute_from(&it) <= it.first);
            }
        }
        assert_eq!(facts.instructions().last().map_or(0, |it| it.next), facts.len());
        true
    };
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| panic!("{code:02x?} {exception_table:02x?}"))
}

#[test]
fn bytes_that_no_compiler_made_are_refused_or_analysed() {
    let mut dice = Dice(0x5eed);
    for release in Release::all() {
        let mut good = 0;
        let known: Vec<u8> = release.effects.0.keys().map(|key| key.0).collect();
        let any = |opcode: u8, arg: Option<u32>, jump: bool| {
            let known = release.effects.effect(opcode, arg, jump);
            known.or(Some(
                i32::from(opcode as i8) * arg.map_or(0, |arg| arg as i32 % 3),
            ))
        };
        for _ in 0..20_000 {
            let length = dice.below(40);
            let mut code = dice.bytes(length);
            if dice.below(2) == 0 {
                code.truncate(length / 2 * 2);
                for pair in code.chunks_mut(2) {
                    pair[0] = known[dice.below(known.len())];
                    pair[1] %= 8;
                }
            }
            let length = dice.below(12);
            let exception_table = dice.bytes(length);
            good += usize::from(survives(&release, &any, &code, &exception_table));
            good += usize::from(survives(&release, &any, &code, &[]));
        }
        assert!(good > 20, "{} {good}", release.name);
    }
}

#[test]
fn changed_code_is_refused_or_analysed() {
    let mut dice = Dice(0xc0de);
    for release in Release::all() {
        let any = |opcode: u8, arg: Option<u32>, jump: bool| {
            let known = release.effects.effect(opcode, arg, jump);
            known.or_else(|| {
                release
                    .effects
                    .0
                    .iter()
                    .find(|(key, _)| key.0 == opcode)
                    .map(|it| *it.1)
            })
        };
        let (mut good, mut all) = (0, 0);
        for code in release.codes.iter().filter(|code| code.bytes.len() < 400) {
            for _ in 0..60 {
                let (mut bytes, mut table) = (code.bytes.clone(), code.exception_table.clone());
                let at = dice.below(bytes.len());
                bytes[at] ^= 1 << dice.below(8);
                if !table.is_empty() && dice.below(3) == 0 {
                    let at = dice.below(table.len());
                    table[at] ^= 1 << dice.below(8);
                    table.truncate(dice.below(table.len() + 40));
                }
                good += usize::from(survives(&release, &any, &bytes, &table));
                all += 1;
            }
        }
        assert!(good > all / 10 && good < all, "{} {good} of {all}", release.name);
    }
}
