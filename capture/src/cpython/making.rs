//! What the object graph asks of objects, and makes of them, that no public function offers.
//!
//! The offsets here are the same on CPython 3.8–3.15 (Objects/unicodeobject.c),
//! printed by programs compiled against each.

use super::ffi::PyMemberDescr_Type;
use super::fields;
use super::frame::Address;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyList, PyString, PyTuple, PyType};

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
        let plain = ffi::PyBaseObject_Type.tp_hash;
        own.map(|hash| hash as usize) == plain.map(|hash| hash as usize)
    }
}

/// A tuple of what `next` gives, so many times. It must run no code of the program, which could see the tuple.
#[inline]
pub fn tuple_of<'py, E: From<PyErr>>(
    py: Python<'py>,
    count: usize,
    mut next: impl FnMut() -> Result<Bound<'py, PyAny>, E>,
) -> Result<Bound<'py, PyTuple>, E> {
    // SAFETY: a fresh tuple, in which a reference is put at each place once; those that are left at an error are NULL,
    // which the tuple's end allows. The size fits, as the places are in memory.
    unsafe {
        let made = Bound::from_owned_ptr_or_err(py, ffi::PyTuple_New(count as ffi::Py_ssize_t))?;
        for index in 0..count {
            ffi::PyTuple_SET_ITEM(made.as_ptr(), index as ffi::Py_ssize_t, next()?.into_ptr());
        }
        Ok(made.cast_into_unchecked())
    }
}

/// The same as a list.
#[inline]
pub fn list_of<'py, E: From<PyErr>>(
    py: Python<'py>,
    count: usize,
    mut next: impl FnMut() -> Result<Bound<'py, PyAny>, E>,
) -> Result<Bound<'py, PyList>, E> {
    // SAFETY: as in `tuple_of`.
    unsafe {
        let made = Bound::from_owned_ptr_or_err(py, ffi::PyList_New(count as ffi::Py_ssize_t))?;
        for index in 0..count {
            ffi::PyList_SET_ITEM(made.as_ptr(), index as ffi::Py_ssize_t, next()?.into_ptr());
        }
        Ok(made.cast_into_unchecked())
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

/// An instance of a class that derives from `object` alone, whatever its own `__new__` does.
pub fn bare_instance<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    // SAFETY: reads slots of two live types; `object`'s is called for a class that has it as its own, which it is
    // made for, with no arguments.
    unsafe {
        let plain = ffi::PyBaseObject_Type.tp_new;
        let own = (*class.as_type_ptr()).tp_new;
        if let Some(new) = own.filter(|own| plain.is_some_and(|plain| *own as usize == plain as usize)) {
            let made = new(
                class.as_type_ptr(),
                PyTuple::empty(py).as_ptr(),
                core::ptr::null_mut(),
            );
            return Bound::from_owned_ptr_or_err(py, made);
        }
    }
    // Asked in Python it refuses a class that has a state in C.
    py.get_type::<PyAny>().call_method1("__new__", (class,))
}

/// An object of the same type in C as this one, with nothing in it yet. Its fields have to be written before anybody
/// uses it.
pub fn blank_like<'py>(specimen: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = specimen.py();
    let known = ["sw_task", "ww_task"];
    if !known.iter().any(|field| fields::has(specimen, field)) {
        let kind = specimen.get_type();
        return Err(PyTypeError::new_err(format!("a {kind} cannot be made blank")));
    }
    // SAFETY: a live type of asyncio's, whose instances are allocated like this by its module, are zeroed, and may hold
    // NULL in all of their fields while nobody calls them.
    unsafe {
        let made = ffi::PyType_GenericAlloc(specimen.get_type_ptr(), 0);
        Bound::from_owned_ptr_or_err(py, made)
    }
}

/// `m_ml` of `PyCFunctionObject`.
const FUNCTION_DEFINITION: usize = 16;

/// The same function in C as this one, as a method of another receiver.
pub fn bound_again<'py>(
    function: &Bound<'py, PyCFunction>,
    receiver: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let definition: *mut ffi::PyMethodDef = Address::of(function).get(FUNCTION_DEFINITION);
    // SAFETY: the definition lies in the memory of its module, which is never unloaded; a method that takes a class
    // besides is refused by the function itself.
    unsafe {
        let made = ffi::PyCFunction_NewEx(definition, receiver.as_ptr(), core::ptr::null_mut());
        Bound::from_owned_ptr_or_err(function.py(), made)
    }
}

/// `d_type` and `d_member` of `PyMemberDescrObject`; the class whose instances have the slot, and what it is.
const MEMBER_OWNER: usize = 16;
const MEMBER: usize = 40;
/// `Py_T_OBJECT_EX`: a reference, NULL while nothing is set.
const MEMBER_IS_SLOT: core::ffi::c_int = 16;

/// A slot of the instances of a class and of those that derive from it, which `__slots__` named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceSlot {
    offset: usize,
}

impl InstanceSlot {
    /// What a descriptor stands for, if that is a slot of the instances of this class.
    pub fn new(descriptor: &Bound<'_, PyAny>, class: &Bound<'_, PyType>) -> Option<Self> {
        // SAFETY: only addresses of types are compared; then it is a `PyMemberDescrObject`, whose member outlives it.
        // `PyMemberDef` is public, and the same everywhere.
        unsafe {
            if !core::ptr::eq(descriptor.get_type_ptr(), &raw mut PyMemberDescr_Type) {
                return None;
            }
            let at = Address::of(descriptor);
            let owner: *mut ffi::PyTypeObject = at.get(MEMBER_OWNER);
            let member: *const ffi::PyMemberDef = at.get(MEMBER);
            let is_slot = (*member).type_code == MEMBER_IS_SLOT && (*member).flags & ffi::Py_READONLY == 0;
            let fits = ffi::PyType_IsSubtype(class.as_type_ptr(), owner) != 0;
            let offset = usize::try_from((*member).offset).ok()?;
            (is_slot && fits).then_some(Self { offset })
        }
    }

    /// What an instance has there. It must be one of the class.
    pub fn get<'py>(self, instance: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        Address::of(instance).object(instance.py(), self.offset)
    }

    /// Puts something there.
    pub fn set(self, instance: &Bound<'_, PyAny>, value: Bound<'_, PyAny>) {
        Address::of(instance).replace(instance.py(), self.offset, Some(value.unbind()));
    }
}
