//! What the object graph asks of objects, and makes of them, that no public function offers.
//!
//! The offsets here are the same on CPython 3.8–3.15 (Objects/unicodeobject.c, Objects/setobject.c),
//! printed by programs compiled against each.

use super::frame::Address;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PySet, PyString, PyTuple, PyType};

/// How many references there are to an object, ours among them. Immortal ones have very many.
pub fn references(object: &Bound<'_, PyAny>) -> isize {
    // SAFETY: reads the count of a live object.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) as isize }
}

/// `state` of `PyASCIIObject`; its lowest two bits say whether, and how, a string is interned.
const TEXT_STATE: usize = 32;

/// Whether there is one string only with this text among those that are interned: this one.
pub fn is_interned(text: &Bound<'_, PyString>) -> bool {
    Address::of(text).get::<u8>(TEXT_STATE) & 3 != 0
}

/// The interned string of this text.
pub fn interned(text: Bound<'_, PyString>) -> Bound<'_, PyString> {
    let py = text.py();
    let mut raw = text.into_ptr();
    // SAFETY: a string that we own goes in, one that we own comes out.
    unsafe {
        ffi::PyUnicode_InternInPlace(&raw mut raw);
        Bound::from_owned_ptr(py, raw).cast_into_unchecked()
    }
}

/// The value of an `int`, if it is not too large.
pub fn small_int(object: &Bound<'_, PyAny>) -> Option<i64> {
    let mut overflow = 0;
    // SAFETY: an `int` cannot fail otherwise than by being too large, which is no exception here; for another
    // object the function may raise, which is forgotten.
    unsafe {
        let value = ffi::PyLong_AsLongLongAndOverflow(object.as_ptr(), &raw mut overflow);
        if value == -1 && !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        (overflow == 0).then_some(value)
    }
}

/// Whether an object's hash is its address, so that no code of the program makes it.
pub fn is_hashed_by_identity(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: reads a slot of two live types.
    unsafe {
        let own = (*ffi::Py_TYPE(object.as_ptr())).tp_hash;
        let plain = (*(&raw const ffi::PyBaseObject_Type)).tp_hash;
        own.map(|hash| hash as usize) == plain.map(|hash| hash as usize)
    }
}

/// What `__new__` in the slot of a class makes; that of `object` and other C types, or the class's own.
pub fn new_instance<'py>(
    class: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let class = class.cast::<PyType>()?;
    // SAFETY: a live type; its slot is called as CPython calls it, with a tuple and no keywords.
    unsafe {
        let Some(new) = (*class.as_type_ptr()).tp_new else {
            return Err(PyTypeError::new_err(format!("a {class} cannot be made")));
        };
        let made = new(class.as_type_ptr(), arguments.as_ptr(), core::ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, made)
    }
}

/// `PySetObject`, of sets and frozen sets alike.
mod set {
    pub const FILL: usize = 16;
    pub const USED: usize = 24;
    pub const MASK: usize = 32;
    pub const TABLE: usize = 40;
    pub const HASH: usize = 48;
    pub const FINGER: usize = 56;
    pub const SMALL_TABLE: usize = 64;
    /// Eight entries of a key and its hash.
    pub const SMALL_WORDS: usize = 16;
}

/// A frozen set that holds nothing yet, and is no other's: the empty one is shared on old releases.
pub fn unfilled_frozenset(py: Python<'_>) -> PyResult<Bound<'_, PyFrozenSet>> {
    let made = PyFrozenSet::new(py, [0])?;
    exchange(&made, &PySet::empty(py)?);
    Ok(made)
}

/// Puts what a set holds into such a frozen set. The set is empty then.
pub fn fill_frozenset(target: &Bound<'_, PyAny>, items: &Bound<'_, PySet>) -> PyResult<()> {
    let target = target.cast_exact::<PyFrozenSet>()?;
    if !target.is_empty() {
        return Err(PyTypeError::new_err("a frozen set that is filled already"));
    }
    exchange(target, items);
    Ok(())
}

/// Lets a frozen set and a set hold each what the other one held.
fn exchange(one: &Bound<'_, PyFrozenSet>, other: &Bound<'_, PySet>) {
    let (one, other) = (Address::of(one), Address::of(other));
    for at in [one, other] {
        // The tables that lie in the objects are copied, so that these are told by NULL meanwhile.
        if at.get::<usize>(set::TABLE) == at.at::<usize>(set::SMALL_TABLE) as usize {
            at.set::<usize>(set::TABLE, 0);
        }
    }
    let words = [set::FILL, set::USED, set::MASK, set::TABLE, set::FINGER];
    let small = (0..set::SMALL_WORDS).map(|word| set::SMALL_TABLE + word * size_of::<usize>());
    for offset in words.into_iter().chain(small) {
        let (a, b) = (one.get::<usize>(offset), other.get::<usize>(offset));
        one.set(offset, b);
        other.set(offset, a);
    }
    for at in [one, other] {
        if at.get::<usize>(set::TABLE) == 0 {
            at.set(set::TABLE, at.at::<usize>(set::SMALL_TABLE) as usize);
        }
        // what was remembered is that of the other contents
        at.set::<isize>(set::HASH, -1);
    }
}
