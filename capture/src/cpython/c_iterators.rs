//! What iterators in C give to C code that collects it, where they ask or call something of the program's.
//!
//! An evaluator sees the frames of that, and cannot tell what is made of their results. So in the recording
//! mode the types of such iterators have functions of ours for their next item, which call on, and write down
//! what comes as it is written down of generators. Types that were derived from them meanwhile keep ours for
//! good; without the recording mode it only calls on.

use super::asked;
use super::evalframe::InstallError;
use super::ffi::{
    PyCallIter_Type, PyDictIterItem_Type, PyDictIterKey_Type, PyDictIterValue_Type, PyListIter_Type,
    PyListRevIter_Type, PySeqIter_Type,
};
use super::fields::offset_of;
use super::modules::import;
use super::zipping;
use core::ptr::{self, addr_of_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use core::{ffi::c_void, mem};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// What an iterator asks for its next item, before it has taken anything: who is asked later is of no
/// interest, as it could not go on there. All of it is the same for as long as the iterator gives something.
#[derive(Clone, Copy)]
enum Asks {
    /// Nobody.
    Nobody,
    /// The iterator at this offset.
    One(usize),
    /// The first of the tuple of iterators at this offset.
    First(usize),
    /// All of the tuple of iterators at this offset: what it has taken is known.
    All(usize),
    /// The sequence at this offset, for an item of that number.
    Sequence(usize),
    /// Those that the iterator at this offset gives, one after the other.
    Each(usize),
    /// Nobody knows.
    Unknown,
}

/// What is known of a type of iterators.
struct Kind {
    name: &'static str,
    asks: Asks,
    /// Where it has the function that it calls for an item.
    function: Option<usize>,
    /// What one is made with, to see whether its fields are where they should be: `i` an iterator, `n` None.
    made_with: &'static str,
}

const fn kind(name: &'static str, asks: Asks, function: Option<usize>, made_with: &'static str) -> Kind {
    Kind {
        name,
        asks,
        function,
        made_with,
    }
}

const fn one(kind: &str, name: &str) -> Asks {
    Asks::One(offset_of(kind, name))
}

const fn first(kind: &str, name: &str) -> Asks {
    Asks::First(offset_of(kind, name))
}

/// The place of `zip` in [`KINDS`].
const ZIP: usize = 2;

const fn sequence(kind: &str, name: &str) -> Asks {
    Asks::Sequence(offset_of(kind, name))
}

const fn function(kind: &str, name: &str) -> Option<usize> {
    Some(offset_of(kind, name))
}

const KINDS: [Kind; COUNT] = [
    kind("map", first("map", "iters"), function("map", "func"), "ni"),
    kind("filter", one("filter", "it"), function("filter", "func"), "ni"),
    kind("zip", Asks::All(offset_of("zip", "ittuple")), None, "i"),
    kind("enumerate", one("enumerate", "en_sit"), None, "i"),
    kind("reversed", sequence("reversed", "seq"), None, ""),
    kind("iterator", sequence("iterator", "it_seq"), None, ""),
    kind(
        "callable_iterator",
        Asks::Nobody,
        function("callable_iterator", "it_callable"),
        "",
    ),
    kind("accumulate", one("accumulate", "it"), None, "i"),
    kind("chain", Asks::Each(offset_of("chain", "source")), None, "i"),
    kind("compress", one("compress", "data"), None, "ii"),
    kind("dropwhile", one("dropwhile", "it"), None, "ni"),
    kind(
        "filterfalse",
        one("filterfalse", "it"),
        function("filterfalse", "func"),
        "ni",
    ),
    kind("islice", one("islice", "it"), None, "in"),
    kind("pairwise", one("pairwise", "it"), None, "i"),
    kind("starmap", one("starmap", "it"), function("starmap", "func"), "ni"),
    kind("takewhile", one("takewhile", "it"), None, "ni"),
    kind("_tee", Asks::Unknown, None, ""),
    kind("zip_longest", Asks::Unknown, None, ""),
];

const COUNT: usize = 18;

/// Our function of each, and the type's own.
static OURS: [ffi::iternextfunc; COUNT] = [
    next_of::<0>,
    next_of::<1>,
    next_of::<2>,
    next_of::<3>,
    next_of::<4>,
    next_of::<5>,
    next_of::<6>,
    next_of::<7>,
    next_of::<8>,
    next_of::<9>,
    next_of::<10>,
    next_of::<11>,
    next_of::<12>,
    next_of::<13>,
    next_of::<14>,
    next_of::<15>,
    next_of::<16>,
    next_of::<17>,
];

/// See [`OURS`].
static ORIGINAL: [AtomicPtr<c_void>; COUNT] = [const { AtomicPtr::new(ptr::null_mut()) }; COUNT];

/// The types, null for one that is not there or not known yet; they are kept for good.
static TYPES: [AtomicPtr<ffi::PyTypeObject>; COUNT] = [const { AtomicPtr::new(ptr::null_mut()) }; COUNT];

/// Whether items are written down.
static WATCHES: AtomicBool = AtomicBool::new(false);

/// Whether what iterators of CPython's own of this name give to C code is written down.
pub fn is_watched(name: &str) -> bool {
    KINDS.iter().any(|kind| kind.name == name)
}

/// Begins to write items down, or no longer does.
pub(super) fn watch(py: Python<'_>, watches: bool) -> Result<(), InstallError> {
    if watches {
        for (kind, known) in KINDS.iter().zip(&TYPES) {
            if !known.load(Ordering::Relaxed).is_null() {
                continue;
            }
            if let Some(found) = kind.type_object(py)? {
                if !kind.is_as_known(&found)? {
                    return Err(InstallError::Layout);
                }
                known.store(found.into_ptr().cast(), Ordering::Relaxed);
            }
        }
    }
    for (index, ours) in OURS.into_iter().enumerate() {
        let type_object = TYPES[index].load(Ordering::Relaxed);
        if type_object.is_null() {
            continue;
        }
        // SAFETY: the types are kept for good, and nobody else changes them while the GIL is held.
        let next = unsafe { &mut (*type_object).tp_iternext };
        let now = next.map_or(ptr::null_mut(), |own| own as *mut c_void);
        let is_ours = now == ours as *mut c_void;
        if watches && !is_ours {
            ORIGINAL[index].store(now, Ordering::Relaxed);
            *next = Some(ours);
        } else if !watches && is_ours {
            // SAFETY: what is stored is the address of such a function.
            *next = unsafe { mem::transmute::<*mut c_void, Option<ffi::iternextfunc>>(original(index)) };
        }
    }
    WATCHES.store(watches, Ordering::Relaxed);
    Ok(())
}

impl Kind {
    /// The type, if this CPython has it.
    fn type_object<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let is_static = match self.name {
            "map" => addr_of_mut!(ffi::PyMap_Type),
            "filter" => addr_of_mut!(ffi::PyFilter_Type),
            "zip" => addr_of_mut!(ffi::PyZip_Type),
            "enumerate" => addr_of_mut!(ffi::PyEnum_Type),
            "reversed" => addr_of_mut!(ffi::PyReversed_Type),
            "iterator" => addr_of_mut!(PySeqIter_Type),
            "callable_iterator" => addr_of_mut!(PyCallIter_Type),
            _ => {
                let found = import(py, "itertools")?.getattr_opt(self.name)?;
                return Ok(found.filter(is_of_cpython));
            }
        };
        // SAFETY: a type is an object, and these live as long as the process.
        Ok(Some(unsafe { Bound::from_borrowed_ptr(py, is_static.cast()) }))
    }

    /// Whether the fields of one are where they should be.
    fn is_as_known(&self, type_object: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = type_object.py();
        if self.made_with.is_empty() {
            return Ok(true);
        }
        let over = PyTuple::empty(py).into_any().try_iter()?.into_any();
        let none = py.None().into_bound(py);
        let arguments = self.made_with.chars().map(|what| match what {
            'i' => &over,
            _ => &none,
        });
        let probe = type_object.call1(PyTuple::new(py, arguments.collect::<Vec<_>>())?)?;
        // SAFETY: the object is one of the type; its fields lie in it if it is large enough.
        unsafe {
            let size = usize::try_from((*ffi::Py_TYPE(probe.as_ptr())).tp_basicsize).unwrap_or(0);
            let holds = |offset: usize, object: *mut ffi::PyObject| {
                offset + mem::size_of::<usize>() <= size && field(probe.as_ptr(), offset) == object
            };
            let asks = match self.asks {
                Asks::One(offset) => holds(offset, over.as_ptr()),
                Asks::First(offset) | Asks::All(offset) => {
                    let tuple = || Bound::from_borrowed_ptr_or_opt(py, field(probe.as_ptr(), offset));
                    let is_tuple = offset + mem::size_of::<usize>() <= size;
                    is_tuple && tuple().is_some_and(|it| it.get_item(0).is_ok_and(|it| it.is(&over)))
                }
                Asks::Each(offset) => {
                    let each = field(probe.as_ptr(), offset);
                    let is_field = offset + mem::size_of::<usize>() <= size;
                    let is_iterator = is_field
                        && !each.is_null()
                        && ffi::Py_TYPE(each) == addr_of_mut!(ffi::PyTupleIter_Type);
                    let tuple = || Bound::from_borrowed_ptr_or_opt(py, field(each, TUPLE));
                    is_iterator && tuple().is_some_and(|it| it.get_item(0).is_ok_and(|it| it.is(&over)))
                }
                _ => true,
            };
            Ok(asks && self.function.is_none_or(|offset| holds(offset, none.as_ptr())))
        }
    }

    /// Whether nothing of the program's runs for an object of this type, before it has taken anything. This
    /// is the same each time that the object gives something.
    ///
    /// # Safety
    /// It is one.
    #[inline(always)]
    unsafe fn is_quick(&self, iterator: *mut ffi::PyObject) -> bool {
        // SAFETY: the fields lie in the object, as was tried.
        unsafe {
            if let Some(offset) = self.function {
                if !is_of_c(field(iterator, offset)) {
                    return false;
                }
            }
            match self.asks {
                Asks::Nobody => true,
                Asks::One(offset) => is_plain(field(iterator, offset)),
                Asks::First(offset) => {
                    let several = field(iterator, offset);
                    several.is_null()
                        || ffi::PyTuple_GET_SIZE(several) == 0
                        || is_plain(ffi::PyTuple_GET_ITEM(several, 0))
                }
                Asks::All(offset) => {
                    let several = field(iterator, offset);
                    several.is_null() || !is_any_busy(several, 0)
                }
                Asks::Sequence(offset) => {
                    let sequence = field(iterator, offset);
                    sequence.is_null() || is_static(ffi::Py_TYPE(sequence))
                }
                Asks::Each(offset) => are_plain(field(iterator, offset)),
                Asks::Unknown => false,
            }
        }
    }
}

/// Whether a type is one of CPython's own, from 3.12 on made on the heap and immutable.
fn is_of_cpython(found: &Bound<'_, PyAny>) -> bool {
    const IMMUTABLE: u64 = 1 << 8;
    let Ok(found) = found.cast::<pyo3::types::PyType>() else {
        return false;
    };
    let flags = found
        .getattr("__flags__")
        .and_then(|flags| flags.extract::<u64>());
    !crate::boundary::is_python_class(found) || flags.is_ok_and(|flags| flags & IMMUTABLE != 0)
}

/// The object that a field holds, borrowed, or NULL.
///
/// # Safety
/// The object has it.
#[inline(always)]
unsafe fn field(object: *mut ffi::PyObject, offset: usize) -> *mut ffi::PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        object
            .cast::<u8>()
            .add(offset)
            .cast::<*mut ffi::PyObject>()
            .read()
    }
}

#[inline(always)]
unsafe fn is_static(kind: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: it is a type.
    unsafe { ffi::PyType_HasFeature(kind, ffi::Py_TPFLAGS_HEAPTYPE) == 0 }
}

/// Whether no frame of the program can be told from the items: a function in C is called. NULL is none any more.
///
/// # Safety
/// It is an object, or NULL.
#[inline(always)]
unsafe fn is_of_c(function: *mut ffi::PyObject) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        if function.is_null() {
            return true;
        }
        let kind = ffi::Py_TYPE(function);
        kind == addr_of_mut!(ffi::PyCFunction_Type)
            || kind == addr_of_mut!(ffi::PyMethodDescr_Type)
            || kind == addr_of_mut!(ffi::PyType_Type) && is_static(function.cast())
    }
}

/// Whether an iterator is one of those, known at a glance, which ask nobody. NULL is none any more.
///
/// # Safety
/// It is an object, or NULL.
#[inline(always)]
unsafe fn is_plain(iterator: *mut ffi::PyObject) -> bool {
    if iterator.is_null() {
        return true;
    }
    // SAFETY: as the caller promises; the types live as long as the process.
    let kind = unsafe { ffi::Py_TYPE(iterator) };
    kind == addr_of_mut!(PyListIter_Type).cast()
        || kind == addr_of_mut!(ffi::PyRangeIter_Type)
        || kind == addr_of_mut!(ffi::PyTupleIter_Type)
        || kind == addr_of_mut!(ffi::PyUnicodeIter_Type)
        || kind == addr_of_mut!(PyDictIterItem_Type).cast()
        || kind == addr_of_mut!(PyDictIterKey_Type).cast()
        || kind == addr_of_mut!(PyDictIterValue_Type).cast()
        || kind == addr_of_mut!(ffi::PySetIter_Type)
}

/// Whether what an iterator gives are collections or iterators, known at a glance, which ask nobody: a few in a
/// tuple. So is one over a list, backwards: that was put in the place of a source, for C code that runs again,
/// and what the source gives is written down.
///
/// # Safety
/// It is an object, or NULL.
#[inline(always)]
unsafe fn are_plain(each: *mut ffi::PyObject) -> bool {
    const FEW: isize = 4;
    if each.is_null() {
        return false;
    }
    // SAFETY: as the caller promises; one over a tuple has that at this offset, as was tried, until it is at its
    // end.
    unsafe {
        let kind = ffi::Py_TYPE(each);
        if kind != addr_of_mut!(ffi::PyTupleIter_Type) {
            return kind == addr_of_mut!(PyListRevIter_Type).cast();
        }
        let several = field(each, TUPLE);
        if several.is_null() {
            return false;
        }
        let count = ffi::PyTuple_GET_SIZE(several);
        count <= FEW
            && (0..count).all(|index| {
                let one = ffi::PyTuple_GET_ITEM(several, index);
                is_collection(one) || is_plain(one)
            })
    }
}

/// Whether one of several iterators, from this number on, may ask somebody.
///
/// # Safety
/// It is a tuple of iterators.
#[inline(always)]
unsafe fn is_any_busy(several: *mut ffi::PyObject, from: isize) -> bool {
    // SAFETY: as the caller promises; the numbers are in range.
    unsafe {
        let mut places = from..ffi::PyTuple_GET_SIZE(several);
        places.any(|index| !is_plain(ffi::PyTuple_GET_ITEM(several, index)))
    }
}

/// Where an iterator over a tuple has the tuple.
const TUPLE: usize = 3 * mem::size_of::<usize>();

/// Whether an object is a collection, itself and of no derived type, to go through which asks nobody.
///
/// # Safety
/// It is an object.
#[inline(always)]
unsafe fn is_collection(object: *mut ffi::PyObject) -> bool {
    // SAFETY: as the caller promises; the types live as long as the process.
    let kind = unsafe { ffi::Py_TYPE(object) };
    kind == addr_of_mut!(ffi::PyList_Type)
        || kind == addr_of_mut!(ffi::PyTuple_Type)
        || kind == addr_of_mut!(ffi::PyRange_Type)
        || kind == addr_of_mut!(ffi::PyUnicode_Type)
        || kind == addr_of_mut!(ffi::PyDict_Type)
        || kind == addr_of_mut!(ffi::PySet_Type)
}

#[inline(always)]
fn original(kind: usize) -> *mut c_void {
    ORIGINAL[kind].load(Ordering::Relaxed)
}

/// The next item, by the type's own function.
///
/// # Safety
/// It is called as CPython calls that one.
#[inline(always)]
unsafe fn own_next(kind: usize, iterator: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: what is stored is the address of that function, from before ours was called.
    unsafe { mem::transmute::<*mut c_void, ffi::iternextfunc>(original(kind))(iterator) }
}

/// The next item, with what is taken meanwhile known if nothing else tells.
///
/// # Safety
/// As above; the type is watched.
#[inline(always)]
unsafe fn step(kind: usize, iterator: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let sources = match kind {
            ZIP => zipping::sources(iterator).filter(|&sources| is_any_busy(sources, 1)),
            _ => None,
        };
        match sources {
            Some(sources) => zipping::next(iterator, sources),
            None => own_next(kind, iterator),
        }
    }
}

unsafe extern "C" fn next_of<const KIND: usize>(iterator: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls it with an object of the type, which somebody holds, and with the GIL held.
    unsafe {
        if const { &KINDS[KIND] }.is_quick(iterator) || !WATCHES.load(Ordering::Relaxed) {
            return own_next(KIND, iterator);
        }
        note_next(KIND, iterator)
    }
}

#[inline(never)]
unsafe fn note_next(kind: usize, iterator: *mut ffi::PyObject) -> *mut ffi::PyObject {
    let source = iterator as usize;
    // SAFETY: as above; who runs stands at the instruction that asks.
    unsafe {
        let asking = asked::running().and_then(|caller| asked::asked_by_c(caller, source));
        let Some(asking) = asking.filter(|&asking| asked::is_to_be_noted(asking)) else {
            return step(kind, iterator);
        };
        let result = asked::inside(asking, || step(kind, iterator));
        asked::note(source, result);
        result
    }
}
