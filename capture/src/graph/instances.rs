//! Instances: by their attributes and slots where that is all, else by what their takers say.

use super::encoder::{Class, Shape, NAMED};
use super::frames::{Kind, Parts};
use super::out::Operand;
use super::walk::{Walk, ALONE};
use crate::cpython::making::references;
use crate::cpython::objects::own_attributes;
use crate::payload::records::{put_number, Tag};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// Instances of one class with more orders of attributes than this are asked.
const SHAPES: usize = 16;

impl<'py> Walk<'_, 'py> {
    /// An instance: by its attributes where that is all, else its taker is asked.
    pub(super) fn instance(&mut self, object: Bound<'py, PyAny>) -> PyResult<()> {
        let address = object.get_type_ptr() as usize;
        let is_plain = match self.encoder.classes.get(&address) {
            Some(Class::Plain(plain)) => !plain.first,
            Some(_) => false,
            None => {
                self.encoder.class_of(&object)?;
                false
            }
        };
        if is_plain && self.plain(&object, address)? {
            return Ok(());
        }
        let py = self.py;
        let answer = match self.encoder.answers.remove(&(object.as_ptr() as usize)) {
            Some(answer) => answer.into_bound(py).into_any(),
            None => {
                let taker = match self.encoder.class_of(&object)? {
                    Class::Asked(taker) => taker,
                    Class::Plain(plain) => {
                        plain.first = false;
                        &plain.taker
                    }
                };
                let taker = taker.clone_ref(py).into_bound(py);
                let asked = taker.call1((&self.encoder.seam.asker, &object));
                asked.or_else(|error| self.failed(&object, error))?
            }
        };
        if answer.is(py.NotImplemented()) {
            let mut name = vec!["a".to_owned(), object.getattr("__module__")?.extract()?];
            let path = object.getattr("__qualname__")?.extract::<String>()?;
            name.extend(path.split('.').map(str::to_owned));
            return self.name(&object, &name);
        }
        let parts = match Parts::new(&answer, &self.encoder.seam) {
            Some(parts) => parts,
            None => {
                let reason = format!("its reducer returned {answer:.40?}; leave it out");
                let stand_in = self.refuse(&object, &reason)?;
                Parts::new(&stand_in, &self.encoder.seam)
                    .ok_or_else(|| PyTypeError::new_err("a stand-in without parts"))?
            }
        };
        self.begin(Kind::Make(Box::new(parts)), &object, self.operands.len());
        self.parts_of_top()
    }

    /// Begins to write an instance by its attributes and slots, if the former are nobody else's and have names.
    fn plain(&mut self, object: &Bound<'py, PyAny>, class: usize) -> PyResult<bool> {
        let Some(Class::Plain(plain)) = self.encoder.classes.get_mut(&class) else {
            return Ok(false);
        };
        let attributes = match plain.has_attributes.then(|| own_attributes(object)) {
            None => None,
            Some(Some(own)) if references(&own) == ALONE && own.is_exact_instance_of::<PyDict>() => Some(own),
            Some(_) => return Ok(false),
        };
        let attributes = attributes.as_ref().map(|own| own.cast::<PyDict>()).transpose()?;
        // Reading changes nothing, so both ways through the attributes are the same.
        let base = self.todo.len();
        let mut set = 0;
        for (number, (slot, ..)) in plain.slots.iter().enumerate() {
            if let Some(value) = slot.get(object) {
                set |= 1 << number;
                self.todo.push(value);
            }
        }
        let count = attributes.map_or(0, |own| own.len());
        let is_this = |shape: &Shape| {
            let mut names = attributes.iter().flat_map(|own| own.iter()).zip(&shape.names);
            shape.set == set
                && shape.names.len() == count
                && names.all(|((name, _), &address)| name.as_ptr() as usize == address)
        };
        let shape = match plain.shapes.iter().position(is_this) {
            Some(at) => {
                plain.shapes.swap(at, 0);
                let Shape { number, class, .. } = plain.shapes[0];
                self.lead_back(self.encoder.begun[class as usize]);
                number
            }
            None => match self.new_shape(object, attributes, set)? {
                Some(number) => number,
                None => {
                    self.todo.truncate(base);
                    return Ok(false);
                }
            },
        };
        let slots = set.count_ones() as usize;
        self.todo.extend(
            attributes
                .iter()
                .flat_map(|own| own.iter())
                .map(|(_, value)| value),
        );
        self.todo[base..].rotate_left(slots);
        self.todo[base..].reverse();
        let operands = self.operands.len();
        while let Some(value) = (self.todo.len() > base).then(|| self.todo.pop()).flatten() {
            if !self.atom(&value)? {
                self.todo.push(value);
                break;
            }
        }
        if self.todo.len() == base {
            let out = &mut self.encoder.out;
            out.tag(Tag::Instance);
            put_number(&mut out.bytes, u64::from(shape));
            out.operands(&self.operands[operands..])?;
            self.operands.truncate(operands);
            self.leaf(object);
            return Ok(true);
        }
        self.begin(Kind::Instance { shape }, object, operands);
        if let Some(frame) = self.frames.last_mut() {
            frame.todo = base;
        }
        Ok(true)
    }

    /// Writes down a shape that is new.
    fn new_shape(
        &mut self,
        object: &Bound<'py, PyAny>,
        attributes: Option<&Bound<'py, PyDict>>,
        set: u64,
    ) -> PyResult<Option<u32>> {
        let py = self.py;
        let address = object.get_type_ptr() as usize;
        let Some(Class::Plain(plain)) = self.encoder.classes.get(&address) else {
            return Ok(None);
        };
        let names: Vec<_> = attributes
            .iter()
            .flat_map(|own| own.iter())
            .map(|(name, _)| name)
            .collect();
        let mut classes = vec![address];
        let mut texts = Vec::new();
        for (number, (_, owner, name)) in plain.slots.iter().enumerate() {
            if set >> number & 1 == 1 {
                classes.push(owner.as_ptr() as usize);
                texts.push(name.bind(py).clone());
            }
        }
        let made = |class| self.encoder.memo.get(class).copied().filter(|&node| node < NAMED);
        let classes: Option<Vec<u32>> = classes.iter().map(made).collect();
        let (Some(classes), true) = (classes, plain.shapes.len() < SHAPES) else {
            return Ok(None);
        };
        if !names.iter().all(|name| name.is_exact_instance_of::<PyString>()) {
            return Ok(None);
        }
        let base = self.operands.len();
        self.operands.push(Operand::Node(classes[0]));
        for name in &names {
            self.encoder.kept.push(name.clone().unbind());
            self.text(name.cast()?)?;
        }
        for (class, text) in classes[1..].iter().zip(texts) {
            self.operands.push(Operand::Node(*class));
            self.text(&text)?;
        }
        let encoder = &mut *self.encoder;
        encoder.out.tag(Tag::Shape);
        put_number(&mut encoder.out.bytes, names.len() as u64);
        put_number(&mut encoder.out.bytes, (classes.len() - 1) as u64);
        encoder.out.operands(&self.operands[base..])?;
        self.operands.truncate(base);
        let number = encoder.shapes;
        encoder.shapes += 1;
        let shape = Shape {
            number,
            class: classes[0],
            names: names.iter().map(|name| name.as_ptr() as usize).collect(),
            set,
        };
        if let Some(Class::Plain(plain)) = encoder.classes.get_mut(&address) {
            plain.shapes.insert(0, shape);
        }
        self.lead_back(self.encoder.begun[classes[0] as usize]);
        Ok(Some(number))
    }
}
