//! The analysis of code objects, held against what a second implementation in Python found out
//! about the same ones (`make_golden.py`), and against bytes that no compiler made.

use std::collections::HashMap;
use std::panic::{catch_unwind, AssertUnwindSafe};

use capture::code::{
    CodeError, CodeFacts, CodeRules, Family, Instruction, Op, OpcodeModule, OpcodeTable, StackEffect,
};
use capture::snapshot::Block;

const GOLDEN: [(&str, &str); 5] = [
    ("3.9", include_str!("golden/code_3_9.txt")),
    ("3.10", include_str!("golden/code_3_10.txt")),
    ("3.11", include_str!("golden/code_3_11.txt")),
    ("3.12", include_str!("golden/code_3_12.txt")),
    ("3.13", include_str!("golden/code_3_13.txt")),
];

/// One golden file.
struct Release {
    name: &'static str,
    rules: CodeRules,
    table: OpcodeTable,
    effects: Effects,
    codes: Vec<Code>,
}

/// One code object of a golden file.
#[derive(Default)]
struct Code {
    name: String,
    bytes: Vec<u8>,
    exception_table: Vec<u8>,
    instructions: Vec<Expected>,
    handlers: Vec<[u32; 5]>,
}

struct Expected {
    first: u32,
    unit: u32,
    next: u32,
    name: String,
    arg: Option<u32>,
    target: Option<u32>,
    depth: Option<u16>,
}

#[derive(Default)]
struct Effects(HashMap<(u8, Option<u32>, bool), i32>);

impl StackEffect for Effects {
    fn effect(&self, opcode: u8, arg: Option<u32>, jump: bool) -> Option<i32> {
        self.0.get(&(opcode, arg, jump)).copied()
    }
}

fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word} is no number"))
}

fn optional<T: std::str::FromStr>(word: &str) -> Option<T> {
    (word != "-").then(|| number(word))
}

fn bytes(word: &str) -> Vec<u8> {
    let digits = if word == "-" { "" } else { word };
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| hex(pair[0]) << 4 | hex(pair[1]))
        .collect()
}

fn hex(digit: u8) -> u8 {
    (digit as char).to_digit(16).unwrap() as u8
}

fn release(name: &'static str, text: &str) -> Release {
    let mut rules = None;
    let mut module = OpcodeModule {
        names: vec![String::new(); 256],
        ..OpcodeModule::default()
    };
    let mut effects = Effects::default();
    let mut codes: Vec<Code> = Vec::new();
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["rules", family, jump_bytes] => {
                let family = match family {
                    "BlockStack" => Family::BlockStack,
                    _ => Family::ExceptionTable,
                };
                rules = Some(CodeRules {
                    family,
                    jump_bytes: number(jump_bytes),
                });
            }
            ["op", opcode, name, argument, jump, caches] => {
                let opcode: u8 = number(opcode);
                module.names[usize::from(opcode)] = name.to_owned();
                if argument == "arg" {
                    module.with_argument.push(opcode);
                }
                match jump {
                    "rel" => module.relative_jumps.push(opcode),
                    "abs" => module.absolute_jumps.push(opcode),
                    _ => {}
                }
                module.caches.push((opcode, number(caches)));
            }
            ["code", name, code, exception_table] => codes.push(Code {
                name: name.to_owned(),
                bytes: bytes(code),
                exception_table: bytes(exception_table),
                ..Code::default()
            }),
            ["i", first, unit, next, name, arg, target, depth] => {
                codes.last_mut().unwrap().instructions.push(Expected {
                    first: number(first),
                    unit: number(unit),
                    next: number(next),
                    name: name.to_owned(),
                    arg: optional(arg),
                    target: optional(target),
                    depth: optional(depth),
                });
            }
            ["h", start, end, target, depth, offset] => {
                let handler = [start, end, target, depth, offset].map(number);
                codes.last_mut().unwrap().handlers.push(handler);
            }
            ["effect", opcode, arg, jump, effect] => {
                effects
                    .0
                    .insert((number(opcode), optional(arg), jump == "1"), number(effect));
            }
            _ => panic!("{name}: {line}"),
        }
    }
    let table = OpcodeTable::new(&module).unwrap();
    Release {
        name,
        rules: rules.unwrap(),
        table,
        effects,
        codes,
    }
}

impl Release {
    fn all() -> impl Iterator<Item = Release> {
        GOLDEN.into_iter().map(|(name, text)| release(name, text))
    }

    fn named(name: &str) -> Release {
        Release::all().find(|release| release.name == name).unwrap()
    }

    fn facts(&self, code: &Code) -> CodeFacts {
        self.analyse(&code.bytes, &code.exception_table)
            .unwrap_or_else(|error| panic!("{} {}: {error}", self.name, code.name))
    }

    fn analyse(&self, code: &[u8], exception_table: &[u8]) -> Result<CodeFacts, CodeError> {
        CodeFacts::analyse(&self.rules, &self.table, &self.effects, code, exception_table)
    }

    /// Every instruction of every code object whose opcode is `op`.
    fn each(&self, op: Op, mut look: impl FnMut(&CodeFacts, Instruction)) -> usize {
        let mut seen = 0;
        for code in &self.codes {
            let facts = self.facts(code);
            for instruction in facts.instructions().filter(|it| it.op == op) {
                look(&facts, instruction);
                seen += 1;
            }
        }
        seen
    }
}

#[test]
fn instructions_and_depths_are_those_of_the_golden_files() {
    for release in Release::all() {
        assert!(release.codes.len() >= 38, "{}", release.name);
        for code in &release.codes {
            let facts = release.facts(code);
            let found: Vec<_> = facts.instructions().collect();
            assert_eq!(
                found.len(),
                code.instructions.len(),
                "{} {}",
                release.name,
                code.name
            );
            for (it, expected) in found.iter().zip(&code.instructions) {
                let place = format!("{} {} {}", release.name, code.name, it.unit);
                assert_eq!(it.first, expected.first, "{place}");
                assert_eq!((it.unit, it.next), (expected.unit, expected.next), "{place}");
                assert_eq!(release.table.name(it.opcode), expected.name, "{place}");
                assert!(it.op == Op::Other || it.op.name() == expected.name, "{place}");
                assert_eq!(expected.arg.unwrap_or(it.arg), it.arg, "{place}");
                assert_eq!(it.target, expected.target, "{place}");
                assert_eq!(facts.depth_before(it), expected.depth, "{place}");
            }
            assert_eq!(facts.len() as usize, code.bytes.len() / 2);
        }
    }
}

#[test]
fn every_unit_belongs_to_the_instruction_that_covers_it() {
    for release in Release::all() {
        for code in &release.codes {
            let facts = release.facts(code);
            for it in facts.instructions() {
                let is_call = it.op == Op::Precall;
                let meant = if is_call {
                    facts.instruction_at(it.next).unwrap()
                } else {
                    it
                };
                for unit in it.first..it.next {
                    assert_eq!(facts.instruction_covering(unit), Some(meant));
                    assert_eq!(facts.instruction_at(unit).is_some(), unit == it.first);
                }
            }
            assert_eq!(facts.instruction_covering(facts.len()), None);
            assert_eq!(facts.instruction_covering(u32::MAX), None);
        }
    }
}

#[test]
fn handlers_are_those_of_the_golden_files() {
    let mut seen = 0;
    for release in Release::all() {
        for code in &release.codes {
            let facts = release.facts(code);
            let found = facts.handlers().iter();
            let found = found.map(|it| {
                [
                    it.start,
                    it.end,
                    it.target,
                    it.depth.into(),
                    it.pushes_offset.into(),
                ]
            });
            assert_eq!(
                found.collect::<Vec<_>>(),
                code.handlers,
                "{} {}",
                release.name,
                code.name
            );
            for unit in 0..facts.len() {
                let expected = code.handlers.iter().find(|it| (it[0]..it[1]).contains(&unit));
                assert_eq!(
                    facts.handler_at(unit).map(|it| it.target),
                    expected.map(|it| it[2])
                );
                seen += usize::from(expected.is_some());
            }
        }
    }
    assert!(seen > 1000, "{seen}");
}

#[test]
fn a_call_leaves_one_value_for_its_operands() {
    let popped = |facts: &CodeFacts, it: Instruction| {
        let (before, after) = (facts.depth_before(&it)?, facts.depth_after(&it)?);
        Some(u32::from(before) + 1 - u32::from(after))
    };
    let each = |release, op, operands: fn(u32) -> u32| {
        let seen = Release::named(release).each(op, |facts, it| {
            assert_eq!(popped(facts, it).unwrap_or(operands(it.arg)), operands(it.arg));
        });
        assert!(seen > 0, "{release} {op:?}");
    };
    each("3.9", Op::CallFunction, |n| n + 1);
    each("3.9", Op::CallMethod, |n| n + 2);
    each("3.9", Op::CallFunctionKw, |n| n + 2);
    each("3.9", Op::CallFunctionEx, |flags| 2 + (flags & 1));
    each("3.11", Op::Precall, |_| 1);
    each("3.11", Op::Call, |n| n + 2);
    each("3.11", Op::CallFunctionEx, |flags| 3 + (flags & 1));
    each("3.12", Op::Call, |n| n + 2);
    each("3.13", Op::CallKw, |n| n + 3);
}

#[test]
fn what_never_goes_on_has_no_depth_after() {
    for release in Release::all() {
        let seen = release.each(Op::ReturnValue, |facts, it| {
            assert_eq!(facts.depth_after(&it), None)
        });
        assert!(seen > 0);
    }
}

#[test]
fn a_call_runs_again_from_its_keyword_names_on() {
    let mut with_names = 0;
    Release::named("3.11").each(Op::Call, |facts, call| {
        let precall = facts.instruction_at(facts.reexecute_from(&call)).unwrap();
        let precall = if precall.op == Op::KwNames {
            with_names += 1;
            facts.instruction_at(precall.next).unwrap()
        } else {
            precall
        };
        assert_eq!(precall.op, Op::Precall);
        assert_eq!(precall.next, call.first);
    });
    assert!(with_names > 3);
    let mut starts = HashMap::new();
    Release::named("3.12").each(Op::Call, |facts, call| {
        let start = facts.instruction_at(facts.reexecute_from(&call)).unwrap();
        *starts.entry(start.op).or_insert(0) += 1;
        assert!(start.op == Op::Call || start.next == call.first);
    });
    assert_eq!(starts.len(), 2, "{starts:?}");
    Release::named("3.9").each(Op::CallFunction, |facts, call| {
        assert_eq!(facts.reexecute_from(&call), call.first);
    });
}

#[test]
fn a_frames_blocks_are_held_against_its_code() {
    for name in ["3.9", "3.10"] {
        let release = Release::named(name);
        let step = i32::from(2 / release.rules.jump_bytes);
        let kind = i32::from(release.table.opcode(Op::SetupFinally).unwrap());
        let seen = release.each(Op::SetupFinally, |facts, setup| {
            let Some(depth) = facts.depth_before(&setup) else {
                return;
            };
            let level = i32::from(depth);
            let block = Block {
                kind,
                handler: setup.target.unwrap() as i32 * step,
                level,
            };
            let running = Block {
                kind: 257,
                handler: -1,
                level,
            };
            let check = |blocks: &[Block], depth| facts.check_blocks(blocks, depth);
            assert_eq!(facts.block_target(block.handler), setup.target);
            assert_eq!(check(&[], depth), Ok(()));
            assert_eq!(check(&[block], depth), Ok(()));
            assert_eq!(check(&[running], depth + 6), Ok(()));
            let refused = Err(CodeError::Block { index: 0 });
            let wrong = |change: fn(&mut Block)| {
                let mut block = block;
                change(&mut block);
                check(&[block], depth)
            };
            assert_eq!(wrong(|block| block.kind += 1), refused);
            assert_eq!(wrong(|block| block.level -= 1), refused);
            assert_eq!(wrong(|block| block.level = i32::MAX), refused);
            assert_eq!(wrong(|block| block.level = i32::MIN), refused);
            assert_eq!(wrong(|block| block.handler = -1), refused);
            assert_eq!(wrong(|block| block.handler = i32::MAX), refused);
            assert_eq!(wrong(|block| block.handler = i32::MIN), refused);
            assert_eq!(check(&[running], depth + 2), refused);
            assert_eq!(
                check(
                    &[
                        Block {
                            level: level + 1,
                            ..running
                        },
                        block
                    ],
                    depth + 9
                ),
                { Err(CodeError::Block { index: 1 }) }
            );
            assert_eq!(check(&[block; 20], depth), Ok(()));
            assert_eq!(check(&[block; 21], depth), Err(CodeError::Block { index: 20 }));
        });
        assert!(seen > 10, "{seen}");
    }
}

#[test]
fn paths_that_disagree_are_refused() {
    let release = Release::named("3.9");
    let opcode = |op| release.table.opcode(op).unwrap();
    let (load, jump, end) = (
        opcode(Op::LoadFast),
        opcode(Op::PopJumpIfTrue),
        opcode(Op::ReturnValue),
    );
    let effects = |code: u8, _: Option<u32>, _: bool| match code {
        code if code == load => Some(1),
        code if code == jump => Some(-1),
        _ => None,
    };
    let analyse = |code: &[u8]| CodeFacts::analyse(&release.rules, &release.table, &effects, code, &[]);
    assert!(analyse(&[load, 0, load, 0, jump, 6, end, 0]).is_ok());
    let loops = analyse(&[load, 0, load, 0, jump, 0, end, 0]).unwrap_err();
    assert_eq!(
        loops,
        CodeError::Contradiction {
            unit: 0,
            depths: (0, 1)
        }
    );
    assert_eq!(loops.to_string(), "the stack at 0 is both 0 and 1 deep");
    assert_eq!(
        analyse(&[jump, 2, end, 0]).unwrap_err(),
        CodeError::Underflow { unit: 0 }
    );
    assert_eq!(analyse(&[load, 0]).unwrap_err(), CodeError::FallsOff { unit: 0 });
    assert_eq!(
        analyse(&[load, 0, jump, 3, end, 0]).unwrap_err(),
        CodeError::Jump {
            unit: 1,
            target: u32::MAX
        }
    );
    let unknown = opcode(Op::BinaryAdd);
    let name = "BINARY_ADD".to_owned();
    assert_eq!(
        analyse(&[unknown, 0]).unwrap_err(),
        CodeError::NoEffect {
            unit: 0,
            opcode: unknown,
            name
        }
    );
    assert!(analyse(&[]).unwrap().is_empty());
}

#[test]
fn a_depth_beyond_counting_is_unknown_and_the_rest_is_not() {
    let release = Release::named("3.9");
    let load = release.table.opcode(Op::LoadFast).unwrap();
    let code: Vec<u8> = [load, 0].repeat(70_000).into_iter().chain([83, 0]).collect();
    assert_eq!(release.table.name(83), "RETURN_VALUE");
    let effects = |_: u8, _: Option<u32>, _: bool| Some(1);
    let facts = CodeFacts::analyse(&release.rules, &release.table, &effects, &code, &[]).unwrap();
    let depth = |unit| facts.depth_before(&facts.instruction_at(unit).unwrap());
    assert_eq!(depth(65_533), Some(65_533));
    assert_eq!(depth(65_534), None);
    assert_eq!(depth(70_000), None);
}

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
                facts.depth_before(&it);
                facts.depth_after(&it);
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
