//! The depths of CPython 3.8, where what a frame holds tells by which way a `finally` was entered:
//! held against every way that a second implementation in Python found.

mod golden_files;

use capture::code::{CodeFacts, Instruction, Op, Peek, Progress, Stacks};
use capture::snapshot::Block;
use golden_files::{Release, Shape};

/// Every shape of every instruction.
fn each_shape(mut look: impl FnMut(&CodeFacts, Instruction, &Shape, &str)) -> usize {
    let release = Release::named("3.8");
    let mut seen = 0;
    for code in &release.codes {
        let facts = release.facts(code);
        for expected in &code.instructions {
            let instruction = facts.instruction_at(expected.first).unwrap();
            for shape in &expected.shapes {
                let place = format!("{} {} {:?}", code.name, expected.unit, shape.blocks);
                look(&facts, instruction, shape, &place);
                seen += 1;
            }
        }
    }
    seen
}

#[test]
fn every_shape_has_its_depth() {
    let mut ways = [0; 3];
    let seen = each_shape(|facts, instruction, shape, place| {
        let depth = facts.depth_at(&instruction, Progress::Begun, shape);
        // With nothing above what tells the way, that may not be looked at; nothing is called there.
        let on_top = |way: &(usize, _)| way.0 + 1 == usize::from(shape.depth);
        let hidden = depth.is_none() && shape.ways.last().is_some_and(on_top);
        assert!(hidden || depth == Some(shape.depth), "{place}: {depth:?}");
        let unit = instruction.unit as i32;
        for kept in [shape.depth, shape.ways.last().map_or(0, |way| way.0 as u16 + 1)] {
            assert_eq!(
                facts.check_stacks(unit, Progress::Begun, &Kept(shape), kept),
                Ok(()),
                "{place}"
            );
        }
        let is_plain = shape.blocks.is_empty() && shape.ways.is_empty();
        let deeper = facts.check_stacks(unit, Progress::Begun, &Kept(shape), shape.depth + 1);
        assert!(is_plain || deeper.is_err(), "{place}");
        for (_, way) in &shape.ways {
            ways[usize::from(way.is_some())] += 1;
        }
        ways[2] += usize::from(shape.blocks.iter().any(|block| block.kind == 257));
    });
    assert!(
        seen > 3000 && ways.iter().all(|&seen| seen > 100),
        "{seen} {ways:?}"
    );
}

/// A shape at rest, beyond which there is nothing.
struct Kept<'a>(&'a Shape);

impl Stacks for Kept<'_> {
    fn blocks(&self) -> Vec<Block> {
        self.0.blocks()
    }

    fn peek(&self, place: usize) -> Peek {
        match place < self.0.depth.into() {
            true => self.0.peek(place),
            false => Peek::Object,
        }
    }
}

/// A shape with something else in one place, or with other blocks.
struct Changed<'a> {
    shape: &'a Shape,
    place: Option<(usize, Peek)>,
    blocks: Vec<Block>,
}

impl Stacks for Changed<'_> {
    fn blocks(&self) -> Vec<Block> {
        self.blocks.clone()
    }

    fn peek(&self, place: usize) -> Peek {
        match self.place {
            Some((changed, value)) if changed == place => value,
            _ => self.shape.peek(place),
        }
    }
}

#[test]
fn stacks_that_the_code_does_not_make_have_no_depth() {
    each_shape(|facts, instruction, shape, place| {
        let refused = |place_and_value, blocks: &[Block]| {
            let changed = Changed {
                shape,
                place: place_and_value,
                blocks: blocks.to_vec(),
            };
            let depth = facts.depth_at(&instruction, Progress::Begun, &changed);
            let unit = instruction.unit as i32;
            let fits = facts
                .check_stacks(unit, Progress::Begun, &changed, shape.depth)
                .is_ok();
            assert!(depth != Some(shape.depth) && !fits, "{place}: {depth:?}");
        };
        // What lies on top is looked at only if it is live whichever way was taken; nothing is called
        // from there.
        let below_top = |way: &&(usize, _)| way.0 + 1 < shape.depth.into();
        for &(way, _) in shape.ways.iter().filter(below_top) {
            for value in [Peek::Object, Peek::Integer(1)] {
                refused(Some((way, value)), &shape.blocks);
            }
        }
        for index in 0..shape.blocks.len() {
            for change in [
                |block: &mut Block| block.kind += 1,
                |block: &mut Block| block.handler += 1,
                |block: &mut Block| block.level += 100,
            ] {
                let mut blocks = shape.blocks.clone();
                change(&mut blocks[index]);
                refused(None, &blocks);
            }
        }
    });
}

/// What `return` gives back may be an integer that equals an address: as long as nothing else tells,
/// the depth is not known, and a call tells.
#[test]
fn a_value_that_equals_an_address_is_told_by_what_is_called() {
    let release = Release::named("3.8");
    let code = release.codes.iter().find(|code| code.name == "returns").unwrap();
    let facts = release.facts(code);
    let (mut known, mut unknown) = (0, 0);
    for expected in &code.instructions {
        let instruction = facts.instruction_at(expected.first).unwrap();
        let addresses: Vec<u32> = expected
            .shapes
            .iter()
            .filter(|shape| shape.ways.first().is_some_and(|way| way.0 == 0))
            .filter_map(|shape| shape.ways[0].1)
            .collect();
        for shape in &expected.shapes {
            let Some(&(1, Some(_))) = shape.ways.first() else {
                continue;
            };
            for &address in &addresses {
                let changed = Changed {
                    shape,
                    place: Some((0, Peek::Integer(address))),
                    blocks: shape.blocks.clone(),
                };
                let found = facts.depth_at(&instruction, Progress::Begun, &changed);
                match found {
                    Some(depth) => assert_eq!(depth, shape.depth),
                    None => unknown += 1,
                }
                if instruction.op == Op::CallFunction && shape.depth == 3 + instruction.arg as u16 {
                    assert_eq!(found, Some(shape.depth));
                    known += 1;
                }
            }
        }
    }
    assert!(known > 0 && unknown > 0, "{known} {unknown}");
}
