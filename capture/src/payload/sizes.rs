//! How much of a payload each variable takes: the records are gone through, nothing is made of them.

use super::records::{literal, RecordReader, RecordSource, Tag, LITERALS};
use super::{PayloadError, PayloadReader};
use crate::snapshot::{ObjectId, Slot, Snapshot};
use std::io::Read;

/// A part of a record.
#[derive(Clone, Debug)]
enum Part {
    Node(u32),
    Text(String),
    /// Another value that stands where it is needed, by its bytes.
    Value(u64),
}

/// What a record has made.
#[derive(Debug, Default)]
struct Node {
    bytes: u64,
    text: Option<String>,
    parts: Vec<Part>,
    kind: Kind,
}

/// What of a node is not only its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Any,
    /// What makes cells.
    MakesCells,
    /// A cell. What it holds may come with a function: in a pair with it.
    Cell,
    Tuple,
}

/// Texts that may be names are no longer.
const NAME: usize = 256;
/// Roots of the graph, in their order (`pyteleport.graph`): namespaces of modules, the objects of frames with what
/// goes along; behind the next one, what completes objects.
const NAMESPACES: usize = 2;
const OBJECTS: usize = 3;
const DEFERRED: usize = 5;
/// The function that makes cells (`pyteleport.builders`).
const MAKES_CELLS: &str = "make_cell";
/// Where a code object's parts stand behind what makes it, and behind the end.
const VARIABLES: usize = 10;
const CODE_NAME: usize = 12;
const FREE_FROM_END: usize = 2;
const CELLS_FROM_END: usize = 1;
/// Since this release a variable that is an argument and a cell has one slot.
const ONE_SLOT: (u16, u16) = (3, 11);

/// A variable, as in `main() → job`, and the bytes of all that it leads to.
pub type Variable = (String, u64);

/// All variables, the largest first.
pub fn variables<R: Read>(mut reader: PayloadReader<R>) -> Result<Vec<Variable>, PayloadError> {
    let version = reader.header().build.version;
    let snapshot = reader.read_snapshot()?;
    let lengths = reader.buffer_lengths().to_vec();
    reader.skip_buffers()?;
    of_parts((version.0, version.1), &snapshot, lengths, reader.into_graph()?)
}

/// The same from a payload's parts: of which release it is, the frames, the lengths of its buffers, and the graph.
pub fn of_parts<S: RecordSource>(
    release: (u16, u16),
    snapshot: &Snapshot,
    lengths: Vec<u64>,
    graph: S,
) -> Result<Vec<Variable>, PayloadError> {
    let mut graph = Graph::read(RecordReader::new(graph), lengths)?;
    graph.attach_deferred();
    graph.attach_contents();
    let mut found = graph.of_modules();
    found.extend(graph.of_frames(snapshot, release >= ONE_SLOT));
    found.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    Ok(found)
}

struct Graph {
    nodes: Vec<Node>,
    roots: Vec<Part>,
    /// The last walk that came to each node.
    seen: Vec<u32>,
    walks: u32,
}

fn broken<T>(what: &'static str) -> Result<T, PayloadError> {
    Err(PayloadError::Graph { what })
}

impl Graph {
    fn read<S: RecordSource>(mut records: RecordReader<S>, buffers: Vec<u64>) -> Result<Self, PayloadError> {
        let mut graph = Self {
            nodes: Vec::new(),
            roots: Vec::new(),
            seen: Vec::new(),
            walks: 0,
        };
        let mut buffers = buffers.into_iter();
        let mut shapes = Vec::new();
        while records.remaining() > 0 {
            graph.record(&mut records, &mut buffers, &mut shapes)?;
        }
        graph.seen = vec![0; graph.nodes.len()];
        Ok(graph)
    }

    fn record<S: RecordSource>(
        &mut self,
        records: &mut RecordReader<S>,
        buffers: &mut impl Iterator<Item = u64>,
        shapes: &mut Vec<(Part, usize)>,
    ) -> Result<(), PayloadError> {
        let before = records.remaining();
        let tag = records.tag()?;
        let mut node = Node::default();
        let mut target = None;
        match tag {
            Tag::End => {
                let root = self.operand(records)?;
                self.roots.push(root);
                return Ok(());
            }
            Tag::Int => drop(records.signed()?),
            Tag::Float => drop(records.float()?),
            Tag::Complex => drop((records.float()?, records.float()?)),
            Tag::Text | Tag::Interned => node.text = text(records)?,
            Tag::BigInt | Tag::Surrogates | Tag::Bytes | Tag::ByteArray => skip(records)?,
            Tag::Buffer | Tag::FixedBuffer => node.bytes = buffers.next().unwrap_or(0),
            Tag::Name => {
                let mut last = None;
                for _ in 0..records.count()? {
                    last = text(records)?;
                }
                if last.as_deref() == Some(MAKES_CELLS) {
                    node.kind = Kind::MakesCells;
                }
            }
            Tag::Tuple | Tag::List | Tag::Call | Tag::New => {
                self.operands(records, 1, &mut node.parts)?;
                let made_by = node.parts.first().map_or(Kind::Any, |part| self.kind(part));
                node.kind = match (tag, made_by) {
                    (Tag::Tuple, _) => Kind::Tuple,
                    (Tag::Call, Kind::MakesCells) => Kind::Cell,
                    _ => Kind::Any,
                };
            }
            Tag::Dict => self.operands(records, 2, &mut node.parts)?,
            Tag::Set | Tag::FrozenSet => self.members(records, &mut node.parts)?,
            Tag::UnfilledFrozenSet => {}
            Tag::Shape => {
                let (names, slots) = (records.count()?, records.count()?);
                let class = self.operand(records)?;
                for _ in 0..names + 2 * slots {
                    self.operand(records)?;
                }
                shapes.push((class, names + slots));
                return Ok(());
            }
            Tag::Bare => node.parts.push(self.operand(records)?),
            Tag::Instance => self.attributes(records, shapes, &mut node.parts)?,
            _ => {
                let Part::Node(filled) = self.operand(records)? else {
                    return broken("what is filled is no node");
                };
                target = Some(filled);
                match tag {
                    Tag::Extend | Tag::Append => self.operands(records, 1, &mut node.parts)?,
                    Tag::Items | Tag::SetItems => self.operands(records, 2, &mut node.parts)?,
                    Tag::Add | Tag::FillFrozenSet => self.members(records, &mut node.parts)?,
                    Tag::Attributes => self.attributes(records, shapes, &mut node.parts)?,
                    Tag::State => node.parts.push(self.operand(records)?),
                    _ => node
                        .parts
                        .extend([self.operand(records)?, self.operand(records)?]),
                }
            }
        }
        node.bytes += before - records.remaining();
        match target {
            None => self.nodes.push(node),
            Some(filled) => match self.nodes.get_mut(filled as usize) {
                Some(filled) => {
                    filled.bytes += node.bytes;
                    filled.parts.append(&mut node.parts);
                }
                None => return broken("there is no such node"),
            },
        }
        Ok(())
    }

    fn operand<S: RecordSource>(&self, records: &mut RecordReader<S>) -> Result<Part, PayloadError> {
        let before = records.remaining();
        let number = records.number()?;
        if number >= LITERALS {
            let back = number - (LITERALS - 1);
            return match (self.nodes.len() as u64).checked_sub(back).map(u32::try_from) {
                Some(Ok(node)) => Ok(Part::Node(node)),
                _ => broken("there is no such node"),
            };
        }
        match number {
            literal::NONE | literal::TRUE | literal::FALSE | literal::EMPTY => {}
            literal::INT => drop(records.signed()?),
            literal::FLOAT => drop(records.float()?),
            literal::TEXT => {
                if let Some(text) = text(records)? {
                    return Ok(Part::Text(text));
                }
            }
            literal::BYTES => skip(records)?,
            _ => return broken("there is no such operand"),
        }
        Ok(Part::Value(before - records.remaining()))
    }

    fn operands<S: RecordSource>(
        &self,
        records: &mut RecordReader<S>,
        each: usize,
        parts: &mut Vec<Part>,
    ) -> Result<(), PayloadError> {
        for _ in 0..records.count()? {
            for _ in 0..each {
                parts.push(self.operand(records)?);
            }
        }
        Ok(())
    }

    fn members<S: RecordSource>(
        &self,
        records: &mut RecordReader<S>,
        parts: &mut Vec<Part>,
    ) -> Result<(), PayloadError> {
        self.operands(records, 1, parts)?;
        if records.number()? != 0 {
            records.number()?;
            for _ in 0..records.count()? {
                records.number()?;
            }
        }
        Ok(())
    }

    fn attributes<S: RecordSource>(
        &self,
        records: &mut RecordReader<S>,
        shapes: &[(Part, usize)],
        parts: &mut Vec<Part>,
    ) -> Result<(), PayloadError> {
        let Some((class, count)) = usize::try_from(records.number()?)
            .ok()
            .and_then(|at| shapes.get(at))
        else {
            return broken("there is no such shape");
        };
        parts.push(class.clone());
        for _ in 0..*count {
            parts.push(self.operand(records)?);
        }
        Ok(())
    }

    /// Has generators, functions and others lead to what completes them.
    fn attach_deferred(&mut self) {
        let batches: Vec<Part> = self.roots.iter().skip(DEFERRED).cloned().collect();
        for batch in batches {
            for step in self.parts(&batch).to_vec() {
                if let (Part::Node(step), Some(Part::Node(object))) = (&step, self.parts(&step).get(1)) {
                    let (step, object) = (*step, *object);
                    self.nodes[object as usize].parts.push(Part::Node(step));
                }
            }
        }
    }

    /// Has cells lead to what they hold.
    fn attach_contents(&mut self) {
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            if let (Kind::Tuple, [cell @ Part::Node(number), content]) = (node.kind, &node.parts[..]) {
                if self.kind(cell) == Kind::Cell {
                    let (number, content) = (*number as usize, content.clone());
                    self.nodes[number].parts.push(content);
                }
            }
        }
    }

    fn kind(&self, part: &Part) -> Kind {
        match part {
            Part::Node(node) => self.nodes.get(*node as usize).map_or(Kind::Any, |node| node.kind),
            _ => Kind::Any,
        }
    }

    fn parts(&self, part: &Part) -> &[Part] {
        match part {
            Part::Node(node) => self.nodes.get(*node as usize).map_or(&[], |node| &node.parts),
            _ => &[],
        }
    }

    fn text_of<'a>(&'a self, part: Option<&'a Part>) -> Option<&'a str> {
        match part? {
            Part::Text(text) => Some(text),
            Part::Node(node) => self.nodes.get(*node as usize)?.text.as_deref(),
            Part::Value(_) => None,
        }
    }

    /// The bytes of all that some parts lead to.
    fn size(&mut self, parts: &[Part]) -> u64 {
        self.walks += 1;
        let (mut bytes, mut todo) = (0, Vec::new());
        let visit = |part: &Part, todo: &mut Vec<u32>| match part {
            Part::Node(node) => {
                todo.push(*node);
                0
            }
            Part::Text(text) => text.len() as u64,
            Part::Value(bytes) => *bytes,
        };
        for part in parts {
            bytes += visit(part, &mut todo);
        }
        while let Some(next) = todo.pop() {
            let Some(seen) = self.seen.get_mut(next as usize) else {
                continue;
            };
            if std::mem::replace(seen, self.walks) == self.walks {
                continue;
            }
            let node = &self.nodes[next as usize];
            bytes += node.bytes;
            for part in &node.parts {
                if matches!(part, Part::Node(_)) {
                    visit(part, &mut todo);
                }
            }
        }
        bytes
    }

    fn of_modules(&mut self) -> Vec<Variable> {
        let mut found = Vec::new();
        let Some(root) = self.roots.get(NAMESPACES).cloned() else {
            return found;
        };
        for module in self.parts(&root).to_vec().chunks_exact(2) {
            let name = self.text_of(module.first()).unwrap_or("?").to_owned();
            let Some(namespace) = self.parts(&module[1]).first().cloned() else {
                continue;
            };
            for item in self.parts(&namespace).to_vec().chunks_exact(2) {
                let variable = self.text_of(item.first()).unwrap_or("?").to_owned();
                found.push((format!("{name} → {variable}"), self.size(&item[1..])));
            }
        }
        found
    }

    fn of_frames(&mut self, snapshot: &Snapshot, one_slot: bool) -> Vec<Variable> {
        let mut found = Vec::new();
        let root = self.roots.get(OBJECTS).cloned();
        let objects = root.and_then(|root| self.parts(&root).first().cloned());
        let objects = objects.map_or(Vec::new(), |objects| self.parts(&objects).to_vec());
        let object = |ObjectId(at): ObjectId| objects.get(at as usize).cloned();
        for frame in &snapshot.frames {
            let code = object(frame.code).map_or(Vec::new(), |code| self.parts(&code).to_vec());
            let name = self.text_of(code.get(CODE_NAME)).unwrap_or("?");
            let calls = if name.starts_with('<') { "" } else { "()" };
            let frame_name = format!("{name}{calls}");
            let names = self.slot_names(&code, one_slot);
            for (at, slot) in frame.slots.iter().enumerate() {
                let Slot::Object(id) = *slot else { continue };
                let name = names.get(at).cloned().unwrap_or_else(|| format!("(slot {at})"));
                let parts: Vec<Part> = object(id).into_iter().collect();
                found.push((format!("{frame_name} → {name}"), self.size(&parts)));
            }
            let stack = frame.stack.iter().filter_map(|slot| match *slot {
                Slot::Object(id) => object(id),
                _ => None,
            });
            let stack: Vec<Part> = stack.collect();
            if !stack.is_empty() {
                found.push((format!("{frame_name} → (value stack)"), self.size(&stack)));
            }
        }
        found
    }

    /// The names of a frame's slots, from the parts of its code.
    fn slot_names(&self, code: &[Part], one_slot: bool) -> Vec<String> {
        let texts = |part: Option<&Part>| -> Vec<String> {
            let parts = part.map_or(&[][..], |part| self.parts(part));
            let text = |part| self.text_of(Some(part)).unwrap_or("?").to_owned();
            parts.iter().map(text).collect()
        };
        let from_end = |back: usize| code.len().checked_sub(back).and_then(|at| code.get(at));
        let mut names = texts(code.get(VARIABLES));
        let cells = texts(from_end(CELLS_FROM_END));
        let cells: Vec<String> = cells
            .into_iter()
            .filter(|cell| !one_slot || !names.contains(cell))
            .collect();
        names.extend(cells);
        names.extend(texts(from_end(FREE_FROM_END)));
        names
    }
}

/// A text, if it may be a name.
fn text<S: RecordSource>(records: &mut RecordReader<S>) -> Result<Option<String>, PayloadError> {
    let count = records.count()?;
    if count > NAME {
        skip_bytes(records, count)?;
        return Ok(None);
    }
    Ok(String::from_utf8(records.bytes(count)?.to_vec()).ok())
}

fn skip<S: RecordSource>(records: &mut RecordReader<S>) -> Result<(), PayloadError> {
    let count = records.count()?;
    skip_bytes(records, count)
}

fn skip_bytes<S: RecordSource>(records: &mut RecordReader<S>, count: usize) -> Result<(), PayloadError> {
    const AT_ONCE: usize = 1 << 16;
    let mut left = count;
    while left > 0 {
        let now = left.min(AT_ONCE);
        records.bytes(now)?;
        left -= now;
    }
    Ok(())
}
