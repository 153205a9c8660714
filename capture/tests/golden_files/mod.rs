//! The golden files, read: see `make_golden.py`.
#![allow(dead_code)] // each test file uses its part of this

use std::collections::HashMap;

use capture::code::{
    CodeError, CodeFacts, CodeRules, Family, Instruction, Op, OpcodeModule, OpcodeTable, Peek, StackEffect,
    Stacks,
};
use capture::snapshot::Block;

const GOLDEN: [(&str, &str); 8] = [
    ("3.8", include_str!("../golden/code_3_8.txt")),
    ("3.9", include_str!("../golden/code_3_9.txt")),
    ("3.10", include_str!("../golden/code_3_10.txt")),
    ("3.11", include_str!("../golden/code_3_11.txt")),
    ("3.12", include_str!("../golden/code_3_12.txt")),
    ("3.13", include_str!("../golden/code_3_13.txt")),
    ("3.14", include_str!("../golden/code_3_14.txt")),
    ("3.15", include_str!("../golden/code_3_15.txt")),
];

/// One golden file.
pub struct Release {
    pub name: &'static str,
    pub rules: CodeRules,
    pub table: OpcodeTable,
    pub effects: Effects,
    pub codes: Vec<Code>,
}

/// One code object of a golden file.
#[derive(Default)]
pub struct Code {
    pub name: String,
    pub bytes: Vec<u8>,
    pub exception_table: Vec<u8>,
    pub instructions: Vec<Expected>,
    pub handlers: Vec<[u32; 5]>,
    /// `locals`, `cells`, `free`, `slots`.
    pub names: HashMap<String, Vec<String>>,
}

pub struct Expected {
    pub first: u32,
    pub unit: u32,
    pub next: u32,
    pub name: String,
    pub arg: Option<u32>,
    pub target: Option<u32>,
    pub depth: Option<u16>,
    pub shapes: Vec<Shape>,
}

/// What a frame of 3.8 may hold.
pub struct Shape {
    pub depth: u16,
    pub blocks: Vec<Block>,
    /// The places of NULLs, and of addresses to go back to.
    pub ways: Vec<(usize, Option<u32>)>,
}

impl Stacks for Shape {
    fn blocks(&self) -> Vec<Block> {
        self.blocks.clone()
    }

    fn peek(&self, place: usize) -> Peek {
        assert!(place < self.depth.into(), "{place} is not live");
        match self.ways.iter().find(|way| way.0 == place) {
            Some((_, Some(address))) => Peek::Integer(*address),
            Some((_, None)) => Peek::Null,
            None => Peek::Object,
        }
    }
}

#[derive(Default)]
pub struct Effects(pub HashMap<(u8, Option<u32>, bool), i32>);

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
                    "SharedFinally" => Family::SharedFinally,
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
            ["names", kind, ref names @ ..] => {
                let names = names.iter().map(|&name| name.to_owned()).collect();
                codes.last_mut().unwrap().names.insert(kind.to_owned(), names);
            }
            ["i", first, unit, next, name, arg, target, depth] => {
                codes.last_mut().unwrap().instructions.push(Expected {
                    first: number(first),
                    unit: number(unit),
                    next: number(next),
                    name: name.to_owned(),
                    arg: optional(arg),
                    target: optional(target),
                    depth: optional(depth),
                    shapes: Vec::new(),
                });
            }
            ["s", depth, blocks, ways] => {
                let parts = |words: &str| -> Vec<Vec<String>> {
                    let words = words.split(',').filter(|words| *words != "-");
                    words
                        .map(|word| word.split(':').map(str::to_owned).collect())
                        .collect()
                };
                let blocks = parts(blocks);
                let blocks = blocks.iter().map(|block| Block {
                    kind: number(&block[0]),
                    handler: number(&block[1]),
                    level: number(&block[2]),
                });
                let ways = parts(ways);
                let ways = ways.iter().map(|way| (number(&way[0]), optional(&way[1])));
                let shape = Shape {
                    depth: number(depth),
                    blocks: blocks.collect(),
                    ways: ways.collect(),
                };
                let code = codes.last_mut().unwrap();
                code.instructions.last_mut().unwrap().shapes.push(shape);
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
    pub fn all() -> impl Iterator<Item = Release> {
        GOLDEN.into_iter().map(|(name, text)| release(name, text))
    }

    pub fn named(name: &str) -> Release {
        Release::all().find(|release| release.name == name).unwrap()
    }

    pub fn facts(&self, code: &Code) -> CodeFacts {
        self.analyse(&code.bytes, &code.exception_table)
            .unwrap_or_else(|error| panic!("{} {}: {error}", self.name, code.name))
    }

    pub fn analyse(&self, code: &[u8], exception_table: &[u8]) -> Result<CodeFacts, CodeError> {
        CodeFacts::analyse(&self.rules, &self.table, &self.effects, code, exception_table)
    }

    /// Every instruction of every code object whose opcode is `op`.
    pub fn each(&self, op: Op, mut look: impl FnMut(&CodeFacts, Instruction)) -> usize {
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
