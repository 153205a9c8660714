//! The analysis of code objects, held against what a second implementation in Python found out
//! about the same ones.

mod golden_files;

use std::collections::HashMap;

use capture::code::{slot_names, CodeError, CodeFacts, Instruction, Op};
use capture::snapshot::Block;
use golden_files::Release;

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
fn slots_are_those_that_cpython_numbers() {
    let (mut hidden, mut twice) = (0, 0);
    for release in Release::all() {
        for code in &release.codes {
            let names = |kind: &str| code.names.get(kind).map_or(&[][..], Vec::as_slice);
            let slots = slot_names(
                release.rules.family,
                names("locals"),
                names("cells"),
                names("free"),
            );
            let place = format!("{} {}", release.name, code.name);
            match code.names.get("slots") {
                Some(expected) => assert_eq!(&slots, expected, "{place}"),
                None => {
                    let every = ["locals", "cells", "free"].map(names).concat();
                    assert_eq!(slots, every, "{place}");
                }
            }
            let is_module = code.name == "<module>";
            hidden += usize::from(is_module && !slots.is_empty());
            twice += usize::from((1..slots.len()).any(|at| slots[..at].contains(&slots[at])));
        }
    }
    assert!(hidden > 1 && twice > 1, "{hidden} {twice}");
}

#[test]
fn a_call_leaves_one_value_for_its_operands() {
    let popped = |facts: &CodeFacts, it: Instruction| {
        let before = facts.depth_before(&it)?;
        let after = facts.depth_after(&it, before)?;
        Some(u32::from(before) + 1 - u32::from(after))
    };
    let each = |release, op, operands: fn(u32) -> u32| {
        let seen = Release::named(release).each(op, |facts, it| {
            assert_eq!(popped(facts, it).unwrap_or(operands(it.arg)), operands(it.arg));
        });
        assert!(seen > 0, "{release} {op:?}");
    };
    each("3.8", Op::CallFunction, |n| n + 1);
    each("3.8", Op::CallMethod, |n| n + 2);
    each("3.9", Op::CallFunction, |n| n + 1);
    each("3.9", Op::CallMethod, |n| n + 2);
    each("3.9", Op::CallFunctionKw, |n| n + 2);
    each("3.9", Op::CallFunctionEx, |flags| 2 + (flags & 1));
    each("3.11", Op::Precall, |_| 1);
    each("3.11", Op::Call, |n| n + 2);
    each("3.11", Op::CallFunctionEx, |flags| 3 + (flags & 1));
    each("3.12", Op::Call, |n| n + 2);
    each("3.13", Op::CallKw, |n| n + 3);
    each("3.14", Op::CallFunctionEx, |_| 4);
    each("3.15", Op::CallKw, |n| n + 3);
}

#[test]
fn a_loop_keeps_two_words_from_3_15_on() {
    let effect = |release, op, jumps: bool| {
        let mut effects = Vec::new();
        Release::named(release).each(op, |facts, it| {
            let behind = match it.target {
                Some(target) if jumps => facts.instruction_at(target).unwrap(),
                _ => facts.instruction_at(it.next).unwrap(),
            };
            if let Some(depth) = facts.depth_before(&it) {
                let after = facts.depth_before(&behind).unwrap();
                effects.push(i32::from(after) - i32::from(depth));
            }
        });
        effects.sort_unstable();
        effects.dedup();
        effects
    };
    for (release, words) in [("3.12", 1), ("3.13", 1), ("3.14", 1), ("3.15", 2)] {
        assert_eq!(effect(release, Op::GetIter, false), [words - 1], "{release}");
        assert_eq!(effect(release, Op::ForIter, false), [1], "{release}");
        assert_eq!(effect(release, Op::ForIter, true), [1], "{release}");
        assert_eq!(effect(release, Op::EndSend, false), [-words], "{release}");
    }
    assert_eq!(effect("3.15", Op::PopIter, false), [-2]);
    assert_eq!(effect("3.14", Op::PopIter, false), [-1]);
}

#[test]
fn what_never_goes_on_has_no_depth_after() {
    for release in Release::all() {
        let seen = release.each(Op::ReturnValue, |facts, it| {
            assert_eq!(facts.depth_after(&it, 1), None)
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
