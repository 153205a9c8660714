//! What `map` and `filter` give to C code that collects it, where they call a function of the program.
//!
//! An evaluator sees the frames of that function, and cannot tell what is made of their results. So in
//! the recording mode the two types have functions of ours for their next item, which call on, and write
//! down what comes as it is written down of generators. Types that were derived from them meanwhile keep
//! ours for good; without the recording mode it only calls on.

use super::asked;
use super::evalframe::InstallError;
use core::ptr::addr_of_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use core::{ffi::c_void, mem, ptr};
use pyo3::ffi;
use pyo3::prelude::*;

/// One of the types.
struct Kind {
    /// Where its objects keep the iterator that they ask, or a tuple of them.
    asked: usize,
    asks_several: bool,
    /// Where its objects keep the function that they call.
    function: usize,
    /// The type's own function for the next item.
    original: AtomicPtr<c_void>,
}

static MAP: Kind = Kind {
    asked: 2 * mem::size_of::<usize>(),
    asks_several: true,
    function: 3 * mem::size_of::<usize>(),
    original: AtomicPtr::new(ptr::null_mut()),
};

static FILTER: Kind = Kind {
    asked: 3 * mem::size_of::<usize>(),
    asks_several: false,
    function: 2 * mem::size_of::<usize>(),
    original: AtomicPtr::new(ptr::null_mut()),
};

/// Whether items are written down.
static WATCHES: AtomicBool = AtomicBool::new(false);

/// Begins to write items down, or no longer does.
pub(super) fn watch(py: Python<'_>, watches: bool) -> Result<(), InstallError> {
    // SAFETY: the two types live as long as the process, and nobody else changes them while the GIL is held.
    let kinds = unsafe {
        [
            (
                &MAP,
                next_of_map as ffi::iternextfunc,
                &mut *addr_of_mut!(ffi::PyMap_Type),
            ),
            (
                &FILTER,
                next_of_filter as ffi::iternextfunc,
                &mut *addr_of_mut!(ffi::PyFilter_Type),
            ),
        ]
    };
    for (kind, ours, type_object) in kinds {
        // SAFETY: a type is an object, and is called with a function and something empty.
        unsafe {
            if watches && kind.original().is_null() {
                let called = py.None().into_bound(py);
                let type_object = Bound::from_borrowed_ptr(py, ptr::from_mut(type_object).cast());
                let probe = type_object.call1((&called, ())).map_err(InstallError::Python)?;
                if kind.function_of(probe.as_ptr()) != called.as_ptr() {
                    return Err(InstallError::Layout);
                }
            }
        }
        let now = type_object
            .tp_iternext
            .map_or(ptr::null_mut(), |own| own as *mut c_void);
        let is_ours = now == ours as *mut c_void;
        if watches && !is_ours {
            kind.original.store(now, Ordering::Relaxed);
            type_object.tp_iternext = Some(ours);
        } else if !watches && is_ours {
            // SAFETY: what is stored is the address of such a function.
            type_object.tp_iternext =
                unsafe { mem::transmute::<*mut c_void, Option<ffi::iternextfunc>>(kind.original()) };
        }
    }
    WATCHES.store(watches, Ordering::Relaxed);
    Ok(())
}

unsafe extern "C" fn next_of_map(iterator: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: passed on unchanged.
    unsafe { next_of(&MAP, iterator) }
}

unsafe extern "C" fn next_of_filter(iterator: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: passed on unchanged.
    unsafe { next_of(&FILTER, iterator) }
}

impl Kind {
    /// The function that an object of this type calls, borrowed.
    ///
    /// # Safety
    /// It is one.
    #[inline(always)]
    unsafe fn function_of(&self, iterator: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: the field lies in the object, as was tried.
        unsafe {
            iterator
                .cast::<u8>()
                .add(self.function)
                .cast::<*mut ffi::PyObject>()
                .read()
        }
    }

    /// Whether an object of this type asks a generator, before all others if it asks several.
    ///
    /// # Safety
    /// It is one.
    #[inline(always)]
    unsafe fn asks_generator(&self, iterator: *mut ffi::PyObject) -> bool {
        // SAFETY: the field lies in the object, which has at least one iterator, in a tuple if there may be more.
        unsafe {
            let mut asked = iterator
                .cast::<u8>()
                .add(self.asked)
                .cast::<*mut ffi::PyObject>()
                .read();
            if self.asks_several {
                asked = ffi::PyTuple_GET_ITEM(asked, 0);
            }
            ffi::PyGen_CheckExact(asked) != 0
        }
    }

    /// The next item, by the type's own function.
    ///
    /// # Safety
    /// It is called as CPython calls that one.
    #[inline(always)]
    unsafe fn next(&self, iterator: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: what is stored is the address of that function, from before ours was called.
        unsafe { mem::transmute::<*mut c_void, ffi::iternextfunc>(self.original())(iterator) }
    }

    #[inline(always)]
    fn original(&self) -> *mut c_void {
        self.original.load(Ordering::Relaxed)
    }
}

/// Whether no frame of the program can be told from the items: a function in C is called.
///
/// # Safety
/// It is an object.
#[inline(always)]
unsafe fn is_of_c(function: *mut ffi::PyObject) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let kind = ffi::Py_TYPE(function);
        kind == addr_of_mut!(ffi::PyCFunction_Type)
            || kind == addr_of_mut!(ffi::PyMethodDescr_Type)
            || kind == addr_of_mut!(ffi::PyType_Type)
                && ffi::PyType_HasFeature(function.cast(), ffi::Py_TPFLAGS_HEAPTYPE) == 0
    }
}

#[inline(always)]
unsafe fn next_of(kind: &Kind, iterator: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls it with an object of the type, which somebody holds, and with the GIL held.
    unsafe {
        let is_quick = is_of_c(kind.function_of(iterator)) && !kind.asks_generator(iterator);
        if is_quick || !WATCHES.load(Ordering::Relaxed) {
            return kind.next(iterator);
        }
        note_next(kind, iterator)
    }
}

#[inline(never)]
unsafe fn note_next(kind: &Kind, iterator: *mut ffi::PyObject) -> *mut ffi::PyObject {
    let source = iterator as usize;
    // SAFETY: as above; who runs stands at the instruction that asks.
    unsafe {
        let asking = asked::running().and_then(|caller| asked::asked_by_c(caller, source));
        let Some(asking) = asking.filter(|&asking| asked::is_to_be_noted(asking)) else {
            return kind.next(iterator);
        };
        let result = asked::inside(asking, || kind.next(iterator));
        asked::note(source, result);
        result
    }
}
