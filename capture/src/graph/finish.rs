//! What becomes of an object once its parts are written, and of one that its own parts lead back to.
//!
//! - What can be filled later is made at once, empty.
//! - A tuple is written a second time, within itself: what led back is there by now, so this ends, and the first
//!   one is forgotten. So is a frozen set.
//! - For what is made by a call the innermost object on the way that can be filled stays empty until it is made.
//! - Where nothing on the way can be filled, nobody could have made it either; it is refused. So is what is made of
//!   sets or dicts whose keys have no hashes before it is made.

use super::encoder::{NAMED, PENDING};
use super::frames::{Fill, Frame, Kind, Late, NO_NODE};
use super::memo::ByAddress;
use super::out::Operand;
use super::walk::Walk;
use crate::payload::records::{put_number, Tag};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PySet, PyTuple};

impl<'py> Walk<'_, 'py> {
    /// The parts of the innermost frame have been visited.
    pub(super) fn finish(&mut self) -> PyResult<()> {
        let Some(mut frame) = self.frames.pop() else {
            return Ok(());
        };
        let is_root = self.groups.last() == Some(&frame.begun);
        let address = frame.object.as_ptr() as usize;
        if let Kind::Fill(fill, parts) = &frame.kind {
            let (fill, raw) = (*fill, parts.raw);
            self.fill_parts(&frame, fill, raw, is_root)?;
            return self.fill_next(frame);
        }
        match frame.kind {
            Kind::Tuple | Kind::FrozenSet { sure: true } => {
                match self.encoder.memo.get(&address) {
                    Some(&node) if node < NAMED => frame.node = node, // by the one within
                    _ => {
                        let tag = if matches!(frame.kind, Kind::Tuple) {
                            Tag::Tuple
                        } else {
                            Tag::FrozenSet
                        };
                        self.make(&mut frame, tag, 1)?;
                    }
                }
            }
            Kind::List if frame.node == NO_NODE => self.make(&mut frame, Tag::List, 1)?,
            Kind::List => self.fill(&frame, Tag::Extend, false)?,
            Kind::Dict { sure } => {
                let waits = self.waits(&mut frame, sure, is_root)?;
                if frame.node == NO_NODE {
                    self.make(&mut frame, Tag::Dict, 2)?;
                } else {
                    self.fill(&frame, Tag::Items, waits)?;
                }
            }
            Kind::Set { sure } => {
                let waits = self.waits(&mut frame, sure, is_root)?;
                if frame.node == NO_NODE {
                    self.make(&mut frame, Tag::Set, 1)?;
                } else {
                    self.fill(&frame, Tag::Add, waits)?;
                }
            }
            Kind::FrozenSet { .. } => {
                let waits = self.waits(&mut frame, false, is_root)?;
                if frame.node == NO_NODE {
                    self.make(&mut frame, Tag::FrozenSet, 1)?;
                } else {
                    self.fill(&frame, Tag::FillFrozenSet, waits)?;
                }
            }
            Kind::Instance { shape } => {
                let is_made = frame.node != NO_NODE;
                let out = &mut self.encoder.out;
                if is_made {
                    out.tag(Tag::Attributes);
                    out.operand(&Operand::Node(frame.node))?;
                } else {
                    out.tag(Tag::Instance);
                }
                put_number(&mut out.bytes, u64::from(shape));
                out.operands(&self.operands[frame.operands..])?;
                if !is_made {
                    frame.node = self.make_node(&frame.object, frame.begun);
                }
            }
            Kind::Make(_) => {
                // A call may look at all that it is given.
                if self.comes_too_early(frame.begun) {
                    self.impossible(&frame.object)?;
                    self.operands.pop();
                }
                self.fill_late(frame.begun)?;
                return self.finish_making(frame);
            }
            Kind::Fill(..) | Kind::Done => {}
        }
        self.finished(&frame)
    }

    /// Whether what has these keys must be filled later. If not, and unless they are sure, whatever they reach is
    /// whole after this.
    fn waits(&mut self, frame: &mut Frame<'py>, sure: bool, is_root: bool) -> PyResult<bool> {
        if sure {
            return Ok(false);
        }
        if is_root && frame.node == NO_NODE {
            self.fill_late(frame.begun)?;
            return Ok(false);
        }
        // What waits may have this as a key.
        self.shell(frame)?;
        Ok(true)
    }

    /// Writes the record that makes an object of its parts, so many to a count.
    fn make(&mut self, frame: &mut Frame<'py>, tag: Tag, to_a_count: usize) -> PyResult<()> {
        let operands = &self.operands[frame.operands..];
        let out = &mut self.encoder.out;
        out.tag(tag);
        put_number(&mut out.bytes, (operands.len() / to_a_count) as u64);
        out.operands(operands)?;
        if matches!(tag, Tag::Set | Tag::FrozenSet) {
            out.places(&frame.object, operands.len());
        }
        frame.node = self.make_node(&frame.object, frame.begun);
        Ok(())
    }

    /// Writes the record that makes an object empty.
    fn shell(&mut self, frame: &mut Frame<'py>) -> PyResult<()> {
        if frame.node != NO_NODE {
            return Ok(());
        }
        let out = &mut self.encoder.out;
        match frame.kind {
            Kind::List => out.tag(Tag::List),
            Kind::Dict { .. } => out.tag(Tag::Dict),
            Kind::Set { .. } => out.tag(Tag::Set),
            Kind::FrozenSet { .. } => {
                out.tag(Tag::UnfilledFrozenSet);
                self.unfilled.insert(frame.object.as_ptr() as usize, ());
            }
            Kind::Instance { .. } => {
                out.tag(Tag::Bare);
                let class = frame.object.get_type_ptr() as usize;
                let class = self.encoder.memo.get(&class).copied().unwrap_or(0);
                out.operand(&Operand::Node(class))?;
            }
            Kind::Tuple | Kind::Make(_) | Kind::Fill(..) | Kind::Done => return Ok(()),
        }
        if !matches!(frame.kind, Kind::FrozenSet { .. } | Kind::Instance { .. }) {
            put_number(&mut out.bytes, 0);
        }
        if matches!(frame.kind, Kind::Set { .. }) {
            out.no_places();
        }
        frame.node = self.make_node(&frame.object, frame.begun);
        Ok(())
    }

    /// Writes the record that fills an object, or keeps it for later.
    fn fill(&mut self, frame: &Frame<'py>, tag: Tag, waits: bool) -> PyResult<()> {
        let mut operands = vec![Operand::Node(frame.node)];
        operands.extend(self.operands.drain(frame.operands..));
        if waits {
            let begun = frame.begun;
            let object = frame.object.clone();
            self.late.push(Late {
                begun,
                tag,
                object,
                operands,
            });
            return Ok(());
        }
        self.put_fill(tag, &frame.object, &operands)
    }

    fn put_fill(&mut self, tag: Tag, object: &Bound<'py, PyAny>, operands: &[Operand<'py>]) -> PyResult<()> {
        let Some((target, rest)) = operands.split_first() else {
            return Ok(());
        };
        let out = &mut self.encoder.out;
        let count = match tag {
            Tag::State | Tag::StateBy => None,
            Tag::Items | Tag::SetItems => Some(rest.len() / 2),
            _ => Some(rest.len()),
        };
        if count == Some(0) {
            return Ok(());
        }
        out.tag(tag);
        out.operand(target)?;
        if let Some(count) = count {
            put_number(&mut out.bytes, count as u64);
        }
        out.operands(rest)?;
        if matches!(tag, Tag::Add | Tag::FillFrozenSet) {
            out.places(object, rest.len());
        }
        Ok(())
    }

    /// Writes what has waited since this time.
    fn fill_late(&mut self, since: u32) -> PyResult<()> {
        if self.late.iter().all(|late| late.begun < since) {
            return Ok(());
        }
        let (now, later) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|late| late.begun >= since);
        self.late = later;
        let now = in_order(now);
        for late in &now {
            self.unfilled.remove(&(late.object.as_ptr() as usize));
        }
        now.iter()
            .try_for_each(|late| self.put_fill(late.tag, &late.object, &late.operands))
    }

    /// Whether something that waits since this time, and is looked at now, lacks what its keys' hashes need.
    fn comes_too_early(&self, since: u32) -> bool {
        let late = || self.late.iter().filter(move |late| late.begun >= since);
        if late().next().is_none() {
            return false;
        }
        let is_filled_now = |set: &Bound<'py, PyAny>| {
            late().any(|late| late.tag == Tag::FillFrozenSet && late.object.is(set))
        };
        let lacks = |late: &Late<'py>| match keys_of(&late.object) {
            Some(keys) => keys
                .iter()
                .flat_map(unchangeable_within)
                .any(|set| self.unfilled.contains_key(&(set.as_ptr() as usize)) && !is_filled_now(&set)),
            None => true,
        };
        !self.parked.is_empty() || (!self.unfilled.is_empty() && late().any(lacks))
    }

    /// Writes the record that makes what was taken apart, and what has waited for that.
    fn finish_making(&mut self, mut frame: Frame<'py>) -> PyResult<()> {
        let tag = match &frame.kind {
            Kind::Make(parts) if parts.function.is_none() => Tag::New,
            _ => Tag::Call,
        };
        self.make(&mut frame, tag, 1)?;
        self.operands.truncate(frame.operands);
        let address = frame.object.as_ptr() as usize;
        self.fill_next(frame)?;
        self.go_on_with_parked(address)
    }

    /// Takes up again what has waited until this object is made.
    fn go_on_with_parked(&mut self, made: usize) -> PyResult<()> {
        if self.parked.iter().all(|(waits_for, _)| *waits_for != made) {
            return Ok(());
        }
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.parked)
            .into_iter()
            .partition(|(waits_for, _)| *waits_for == made);
        self.parked = later;
        for (_, mut parked) in now.into_iter().rev() {
            parked.todo = self.todo.len();
            parked.operands = self.operands.len();
            self.frames.push(parked);
            self.parts_of_top()?;
        }
        Ok(())
    }

    /// Goes on with what an object is filled with next.
    fn fill_next(&mut self, mut frame: Frame<'py>) -> PyResult<()> {
        self.operands.truncate(frame.operands);
        let (mut parts, last) = match std::mem::replace(&mut frame.kind, Kind::Done) {
            Kind::Make(parts) => (parts, None),
            Kind::Fill(fill, parts) => (parts, Some(fill)),
            _ => return Ok(()),
        };
        if let Some(fill) = parts.after(last) {
            let stand_in = match parts.collect(fill) {
                Ok(()) => None,
                Err(error) => Some(self.failed(&frame.object, error)?),
            };
            if stand_in.is_none() {
                frame.kind = Kind::Fill(fill, parts);
            }
        }
        self.frames.push(frame);
        self.parts_of_top()
    }

    fn fill_parts(&mut self, frame: &Frame<'py>, fill: Fill, raw: bool, is_root: bool) -> PyResult<()> {
        let (tag, waits) = match fill {
            Fill::State => {
                let setter = self.operands.len() - frame.operands > 1;
                let tag = if setter { Tag::StateBy } else { Tag::State };
                // What leads back may lead to all that waits.
                let leads_to_late = match is_root {
                    true => self.late.iter().any(|late| late.begun >= frame.begun),
                    false => !self.late.is_empty(),
                };
                let waits = leads_to_late && self.consumes(frame)?;
                (tag, waits)
            }
            // What is not sure comes when the object is whole, or later.
            Fill::List { sure } if raw && !frame.object.is_instance_of::<PyList>() => (Tag::Add, !sure),
            Fill::List { .. } if raw => (Tag::Extend, false),
            Fill::List { .. } => (Tag::Append, false),
            Fill::Dict { sure } if raw && frame.object.is_instance_of::<PyDict>() => (Tag::Items, !sure),
            Fill::Dict { sure } => (Tag::SetItems, !sure),
        };
        self.fill(frame, tag, waits)
    }

    /// Whether whoever sets the state looks into it, so that it has to be whole.
    fn consumes(&self, frame: &Frame<'py>) -> PyResult<bool> {
        let Kind::Fill(_, parts) = &frame.kind else {
            return Ok(true);
        };
        let asker = self.encoder.seam.asker.bind(self.py);
        asker
            .call_method1("consumes", (&frame.object, &parts.setter))?
            .extract()
    }

    /// An object is whole, as far as it will be for now.
    fn finished(&mut self, frame: &Frame<'py>) -> PyResult<()> {
        self.operands.truncate(frame.operands);
        if !frame.quiet {
            self.operands.push(Operand::Node(frame.node));
        }
        if self.groups.last() == Some(&frame.begun) {
            self.groups.pop();
            while self.open.last().is_some_and(|&begun| begun >= frame.begun) {
                self.open.pop();
            }
            self.fill_late(frame.begun)?;
        }
        if self.parked.is_empty() {
            return Ok(());
        }
        self.go_on_with_parked(frame.object.as_ptr() as usize)
    }

    /// The parts of the object at this place lead back to it.
    pub(super) fn meet_again(&mut self, place: usize) -> PyResult<()> {
        self.lead_back(self.frames[place].begun);
        let object = self.frames[place].object.clone();
        match self.frames[place].kind {
            Kind::Tuple | Kind::FrozenSet { sure: true } => {
                if self.frames[place].nested {
                    return self.park(place);
                }
                let kind = match self.frames[place].kind {
                    Kind::Tuple => Kind::Tuple,
                    _ => Kind::FrozenSet { sure: true },
                };
                self.begin(kind, &object, self.operands.len());
                if let Some(frame) = self.frames.last_mut() {
                    frame.nested = true;
                }
                self.parts_of_top()
            }
            Kind::Make(_) => self.park(place),
            _ => {
                let mut frame = std::mem::replace(&mut self.frames[place], Frame::hole(&object));
                let made = self.shell(&mut frame);
                self.operands.push(Operand::Node(frame.node));
                self.frames[place] = frame;
                made
            }
        }
    }

    /// Leaves the innermost object empty that can be, until the one at this place is made.
    fn park(&mut self, place: usize) -> PyResult<()> {
        let inner = (place + 1..self.frames.len()).rev();
        let stays = |at: usize| self.frames[at].is_fillable() && !self.is_looked_into(at);
        let Some(innermost) = inner.into_iter().find(|&at| stays(at)) else {
            let object = self.frames[place].object.clone();
            return self.impossible(&object);
        };
        while self.frames.len() > innermost + 1 {
            if let Some(dropped) = self.frames.pop() {
                self.put_off(dropped);
            }
        }
        let address = self.frames[place].object.as_ptr() as usize;
        let Some(mut parked) = self.frames.pop() else {
            return Ok(());
        };
        self.shell(&mut parked)?;
        self.todo.truncate(parked.todo);
        self.operands.truncate(parked.operands);
        if !parked.quiet {
            self.operands.push(Operand::Node(parked.node));
        }
        parked.quiet = true;
        self.parked.push((address, parked));
        Ok(())
    }

    /// Whether a container is part of a state, and looked into when that is set.
    fn is_looked_into(&self, at: usize) -> bool {
        if !matches!(
            self.frames[at].kind,
            Kind::List | Kind::Dict { .. } | Kind::Set { .. }
        ) {
            return false;
        }
        let mut own = false;
        for below in self.frames[..at].iter().rev() {
            match &below.kind {
                Kind::Tuple => {}
                Kind::List | Kind::Dict { .. } => own = true,
                // What our own setters get is theirs at every level, as far as can be told.
                Kind::Fill(Fill::State, parts) => return !own || (parts.setter.is_some() && !parts.raw),
                _ => return false,
            }
        }
        false
    }

    /// Forgets that an object was begun.
    fn put_off(&mut self, frame: Frame<'py>) {
        if frame.node != NO_NODE {
            return;
        }
        let address = frame.object.as_ptr() as usize;
        let outer = self
            .frames
            .iter()
            .position(|outer| frame.nested && outer.object.is(&frame.object));
        match outer {
            Some(place) => self.encoder.memo.insert(address, PENDING + place as u32),
            None => self.encoder.memo.remove(&address),
        };
        if let Kind::Make(parts) = frame.kind {
            self.encoder.answers.insert(address, parts.answer.unbind());
        }
    }

    fn impossible(&mut self, object: &Bound<'py, PyAny>) -> PyResult<()> {
        self.refuse(
            object,
            "what it is made of leads back to it, and cannot be made first; leave it out",
        )?;
        self.operands.push(Operand::None);
        Ok(())
    }
}

/// Frozen sets come first, those that are within others before these: once one is filled, its hash stays.
fn in_order(fills: Vec<Late<'_>>) -> Vec<Late<'_>> {
    let (frozen, others): (Vec<_>, Vec<_>) =
        fills.into_iter().partition(|late| late.tag == Tag::FillFrozenSet);
    let mut waiting: ByAddress<usize> = ByAddress::default();
    for (number, late) in frozen.iter().enumerate() {
        waiting.insert(late.object.as_ptr() as usize, number);
    }
    let mut frozen: Vec<_> = frozen.into_iter().map(Some).collect();
    let mut ordered = Vec::new();
    for first in 0..frozen.len() {
        // Each stands here twice: once to put what is within before it, once to be put itself.
        let mut stack = vec![(first, false)];
        while let Some((number, is_after)) = stack.pop() {
            if is_after {
                ordered.extend(frozen[number].take());
                continue;
            }
            let Some(late) = &frozen[number] else { continue };
            waiting.remove(&(late.object.as_ptr() as usize));
            stack.push((number, true));
            let within = unchangeable_within(&late.object);
            let within = within
                .iter()
                .filter_map(|object| waiting.get(&(object.as_ptr() as usize)));
            stack.extend(within.map(|&number| (number, false)));
        }
    }
    ordered.extend(others);
    ordered
}

/// The keys of a dict, the members of a set.
fn keys_of<'py>(object: &Bound<'py, PyAny>) -> Option<Vec<Bound<'py, PyAny>>> {
    if let Ok(dict) = object.cast_exact::<PyDict>() {
        Some(dict.iter().map(|(key, _)| key).collect())
    } else if let Ok(set) = object.cast_exact::<PySet>() {
        Some(set.iter().collect())
    } else {
        let set = object.cast_exact::<PyFrozenSet>().ok()?;
        Some(set.iter().collect())
    }
}

/// The frozen sets within a frozen set, also within its tuples.
fn unchangeable_within<'py>(object: &Bound<'py, PyAny>) -> Vec<Bound<'py, PyAny>> {
    let mut seen = ByAddress::default();
    let (mut found, mut todo) = (Vec::new(), vec![object.clone()]);
    while let Some(next) = todo.pop() {
        if seen.insert(next.as_ptr() as usize, ()).is_some() {
            continue;
        }
        if let Ok(set) = next.cast_exact::<PyFrozenSet>() {
            todo.extend(set.iter());
            found.push(next);
        } else if let Ok(tuple) = next.cast_exact::<PyTuple>() {
            todo.extend(tuple.iter());
        }
    }
    found
}
