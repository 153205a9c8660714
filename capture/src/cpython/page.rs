//! Where items are written down that a source gives.

use super::asked::Asking;
use core::cell::Cell;
use core::ptr::{null_mut, slice_from_raw_parts_mut};
use pyo3::ffi;
use pyo3::prelude::*;

/// The items that the source gave which was asked last, until the page is full or somebody wants to
/// know. To write one down must take next to no time, and so must it to hand over a full page.
pub(super) struct Page {
    /// Which source, as in [`Asking`]: all zero for none.
    source: Cell<usize>,
    caller: Cell<usize>,
    at: Cell<usize>,
    /// A box's memory for [`PAGE_SIZE`] items, of which the first `count` are there; null for none yet.
    items: Cell<*mut Py<PyAny>>,
    count: Cell<usize>,
}

/// So many items are written down before they are handed over.
pub const PAGE_SIZE: usize = 256;

// SAFETY: it is only touched with the GIL held, and no code of the program's runs meanwhile.
unsafe impl Sync for Page {}

pub(super) static PAGE: Page = Page {
    source: Cell::new(0),
    caller: Cell::new(0),
    at: Cell::new(0),
    items: Cell::new(null_mut()),
    count: Cell::new(0),
};

impl Page {
    #[inline(always)]
    pub(super) fn is_of(&self, asking: Asking) -> bool {
        self.source.get() == asking.source && self.at.get() == asking.at && self.caller.get() == asking.caller
    }

    /// Turns it, taken before, into an empty one.
    pub(super) fn begin(&self, asking: Asking) {
        if self.items.get().is_null() {
            let memory = Box::into_raw(Box::<[Py<PyAny>]>::new_uninit_slice(PAGE_SIZE));
            self.items.set(memory.cast());
        }
        self.count.set(0);
        self.source.set(asking.source);
        self.caller.set(asking.caller);
        self.at.set(asking.at);
    }

    /// What is on it; it is nobody's then. The memory goes with the items if they fill it.
    pub(super) fn take(&self, _py: Python<'_>) -> Vec<Py<PyAny>> {
        self.source.set(0);
        let memory = self.items.get();
        if memory.is_null() {
            return Vec::new();
        }
        let count = self.count.replace(0);
        // SAFETY: the memory is a box's, which nobody else has, and so many items have been written to
        // it, each a reference of its own; they are given up here, and so is the memory of a full one.
        unsafe {
            if count == PAGE_SIZE {
                self.items.set(null_mut());
                return Box::from_raw(slice_from_raw_parts_mut(memory, count)).into_vec();
            }
            let mut items: Vec<Py<PyAny>> = Vec::with_capacity(count);
            items.as_mut_ptr().copy_from_nonoverlapping(memory, count);
            items.set_len(count);
            items
        }
    }

    /// Writes an item down.
    ///
    /// # Safety
    /// The page has begun, and is not full; the object is live.
    #[inline(always)]
    pub(super) unsafe fn note(&self, item: *mut ffi::PyObject) {
        let count = self.count.get();
        // SAFETY: as the caller promises; a `Py` is a pointer to an object, and owns a reference.
        unsafe {
            ffi::Py_INCREF(item);
            self.items
                .get()
                .cast::<*mut ffi::PyObject>()
                .add(count)
                .write(item);
        }
        self.count.set(count + 1);
    }

    /// The source, 0 for none.
    #[inline(always)]
    pub(super) fn source(&self) -> usize {
        self.source.get()
    }

    /// Whether nothing more goes on it.
    #[inline(always)]
    pub(super) fn is_full(&self) -> bool {
        self.count.get() >= PAGE_SIZE
    }
}
