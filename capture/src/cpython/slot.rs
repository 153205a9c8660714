//! The words of a frame: what a local, a cell or a place of the value stack holds.
//!
//! Up to CPython 3.13 a word is an owned reference or NULL. From 3.14 on it is a `_PyStackRef`
//! (Include/internal/pycore_stackref.h, without free threading): its two low bits are 00 for a
//! reference that it owns, 01 for one that it does not (an immortal object, or one that a local of
//! the same frame keeps alive) and 11 for an integer in the word itself. NULL is 01 with no pointer.

use super::frame::Address;
use super::{alive, Words, CURRENT};
use crate::code::Peek;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyInt;

/// What a slot holds.
#[derive(Debug)]
pub enum SlotValue<'py> {
    /// Nothing.
    Null,
    /// An object.
    Object(Bound<'py, PyAny>),
    /// An integer of CPython's own, in the slot itself (3.14 and later).
    Tagged(i64),
}

impl<'py> SlotValue<'py> {
    /// The object, if it is one.
    pub fn object(self) -> Option<Bound<'py, PyAny>> {
        match self {
            SlotValue::Object(object) => Some(object),
            SlotValue::Null | SlotValue::Tagged(_) => None,
        }
    }
}

impl SlotValue<'_> {
    /// What it is, as far as the depth of a stack depends on that.
    pub fn peek(&self) -> Peek {
        match self {
            SlotValue::Null => Peek::Null,
            SlotValue::Object(object) if object.is_exact_instance_of::<PyInt>() => {
                object.extract().map_or(Peek::Object, Peek::Integer)
            }
            SlotValue::Object(_) | SlotValue::Tagged(_) => Peek::Object,
        }
    }
}

impl<'py> From<Option<Bound<'py, PyAny>>> for SlotValue<'py> {
    fn from(object: Option<Bound<'py, PyAny>>) -> Self {
        object.map_or(SlotValue::Null, SlotValue::Object)
    }
}

const TAGS: usize = 0b11;
const NOT_OWNED: usize = 0b01;
const INTEGER: usize = 0b11;

/// The pointer in a word that refers to an object; the word of a frame's code, say.
#[inline(always)]
pub(super) const fn pointer(word: usize) -> usize {
    match CURRENT.frame.words {
        Words::Pointers => word,
        Words::StackRefs => word & !TAGS,
    }
}

/// What a live word holds.
pub(super) fn read(py: Python<'_>, word: usize) -> SlotValue<'_> {
    if CURRENT.frame.words == Words::StackRefs && word & TAGS == INTEGER {
        return SlotValue::Tagged((word as i64) >> 2);
    }
    let raw = pointer(word) as *mut ffi::PyObject;
    // SAFETY: a live word of a frame is NULL or refers to a live object, kept by the frame or by
    // what the frame keeps; we take a reference of our own.
    unsafe { Bound::from_borrowed_ptr_or_opt(py, raw) }.into()
}

/// What a word holds that may dangle; `None` if it does.
pub(super) fn read_if_alive(py: Python<'_>, word: usize) -> Option<SlotValue<'_>> {
    let found = pointer(word);
    (found == 0 || alive::looks_alive(found)).then(|| read(py, word))
}

/// The word for a value, which it owns from now on.
pub(super) fn own(value: SlotValue<'_>) -> usize {
    let stack_refs = CURRENT.frame.words == Words::StackRefs;
    match value {
        SlotValue::Null if stack_refs => NOT_OWNED,
        SlotValue::Null => 0,
        SlotValue::Object(object) if stack_refs && is_immortal(&object) => {
            object.into_ptr() as usize | NOT_OWNED
        }
        SlotValue::Object(object) => object.into_ptr() as usize,
        SlotValue::Tagged(number) => (number as usize) << 2 | INTEGER,
    }
}

/// Gives up what a word held; the frame holds another one already.
pub(super) fn release(py: Python<'_>, word: usize) {
    let owned = match CURRENT.frame.words {
        Words::Pointers => word,
        Words::StackRefs if word & TAGS == 0 => word,
        Words::StackRefs => 0,
    };
    // SAFETY: the word owned a reference, which nobody else gives up.
    drop(unsafe { Bound::from_owned_ptr_or_opt(py, owned as *mut ffi::PyObject) });
}

/// Whether an object's reference count never changes (PEP 683, 64 bits): `(int32_t)ob_refcnt < 0`.
fn is_immortal(object: &Bound<'_, PyAny>) -> bool {
    Address::of(object).get::<i32>(0) < 0
}
