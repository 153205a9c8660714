//! The steps of a `zip` that asks several sources, of which not only the first is the program's.
//!
//! CPython's own function for the next item has in C alone what the sources gave that it has asked already. So in
//! the recording mode the step is done here, the same way, and what was taken is known meanwhile.

use super::activations::Activations;
use super::fields::{offset_here, offset_of};
use core::ptr::null_mut;
use pyo3::ffi;
use pyo3::prelude::*;

/// A step that is being done.
#[derive(Clone, Copy)]
struct Taking {
    zip: *mut ffi::PyObject,
    /// The item, of which there is only what was taken.
    item: *mut ffi::PyObject,
}

static TAKING: Activations<Taking> = Activations::new();

/// Where a `zip` has its sources, and whether their lengths are held against each other.
const SOURCES: usize = offset_of("zip", "ittuple");
/// See [`SOURCES`].
const STRICT: Option<usize> = offset_here("zip", "strict");

/// The sources of a `zip`, borrowed, if its steps can be done here.
///
/// # Safety
/// It is one.
#[inline(always)]
pub(super) unsafe fn sources(zip: *mut ffi::PyObject) -> Option<*mut ffi::PyObject> {
    // SAFETY: as the caller promises; the fields were tried.
    unsafe {
        let field = |offset: usize| zip.cast::<u8>().add(offset);
        let is_strict = STRICT.is_some_and(|offset| field(offset).cast::<i32>().read() != 0);
        let sources = field(SOURCES).cast::<*mut ffi::PyObject>().read();
        (!is_strict && !sources.is_null()).then_some(sources)
    }
}

/// The next item, NULL at the end or with an exception.
///
/// # Safety
/// It is a `zip` that somebody holds, with these sources. The GIL is held.
pub(super) unsafe fn next(zip: *mut ffi::PyObject, sources: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the sources live as long as the zip, and are iterators; the item has room for one of each, and takes
    // over the reference.
    unsafe {
        let count = ffi::PyTuple_GET_SIZE(sources);
        let item = ffi::PyTuple_New(count);
        if item.is_null() {
            return null_mut();
        }
        let is_whole = TAKING.during(Taking { zip, item }, || {
            (0..count).all(|index| {
                let source = ffi::PyTuple_GET_ITEM(sources, index);
                let next = (*ffi::Py_TYPE(source)).tp_iternext;
                let given = next.map_or(null_mut(), |next| next(source));
                if !given.is_null() {
                    ffi::PyTuple_SET_ITEM(item, index, given);
                }
                !given.is_null()
            })
        });
        if is_whole {
            return item;
        }
        // Code of the program may run.
        ffi::Py_DECREF(item);
        null_mut()
    }
}

/// What a `zip` has taken in the step that it is in, if that is done here, and is the only one.
pub fn taken_by<'py>(zip: &Bound<'py, PyAny>) -> Option<Vec<Bound<'py, PyAny>>> {
    // SAFETY: the GIL is held by whoever holds the object; what lies in the item is an object or NULL, up to its
    // size, and the item is alive as long as the step is.
    unsafe {
        let is_it = |taking: Taking| taking.zip == zip.as_ptr();
        let item = TAKING.find(is_it)?.item;
        if TAKING
            .find(|taking| is_it(taking) && taking.item != item)
            .is_some()
        {
            return None;
        }
        let places = (0..ffi::PyTuple_GET_SIZE(item)).map(|index| ffi::PyTuple_GET_ITEM(item, index));
        let taken = places.map_while(|place| Bound::from_borrowed_ptr_or_opt(zip.py(), place));
        Some(taken.collect())
    }
}
