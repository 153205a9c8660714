//! Fields of C objects whose state no API shows, read and written by name.
//!
//! Which there are is in `field_table`, and in the layouts where releases differ; which type is meant in `field_kinds`.

use super::field_kinds::{is_the_c_type, static_kind};
use super::field_table::FIELDS;
use super::frame::Address;
use super::CURRENT;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi as py_ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum Holds {
    /// A reference that it owns, or NULL.
    Object,
    /// A `Py_ssize_t` or an `unsigned long`.
    Size,
    /// An `int`.
    Int,
    /// A `char`.
    Byte,
    /// A bit of an `int`, by its number.
    Bit(u8),
    /// The address of an object that need not live any more.
    Address,
    /// A pointer to an array of `Py_ssize_t`, as many as this says.
    Sizes(Count),
    /// Sizes in the object itself, two for each of as many groups as the `Py_ssize_t` at this offset says.
    Marks(usize),
    /// An array of references in the object itself, as many as the `int` at this offset says.
    Values(usize),
    /// A tuple, or NULL, in which items may be NULL: a list with None for these.
    Holey,
}

/// How many sizes an array has.
#[derive(Clone, Copy, Debug)]
pub enum Count {
    /// As many as the tuple at this offset has items.
    Length(usize),
    /// The `Py_ssize_t` at this offset.
    Field(usize),
}

/// One field.
#[derive(Debug)]
pub struct Field {
    kind: &'static str,
    name: &'static str,
    holds: Holds,
    offset: usize,
}

/// A field of the type `kind`, by CPython's name for it.
pub const fn field(kind: &'static str, name: &'static str, holds: Holds, offset: usize) -> Field {
    Field {
        kind,
        name,
        holds,
        offset,
    }
}

/// How many marks a match of so many groups has.
fn marks_of(at: Address, groups: usize) -> usize {
    usize::try_from(at.get::<isize>(groups)).unwrap_or(0) * 2
}

/// Values that one link of `tee` has room for (`LINKCELLS`).
const LINK_VALUES: usize = 57;

/// Where the field of a type is that is the same on all releases.
pub(super) const fn offset_of(kind: &str, name: &str) -> usize {
    let mut index = 0;
    while index < FIELDS.len() {
        if is_same(FIELDS[index].kind, kind) && is_same(FIELDS[index].name, name) {
            return FIELDS[index].offset;
        }
        index += 1;
    }
    panic!("there is no such field")
}

/// Where a field is that only some releases have, on this one.
pub(super) const fn offset_here(kind: &str, name: &str) -> Option<usize> {
    let mut group = 0;
    while group < CURRENT.fields.len() {
        let fields = CURRENT.fields[group];
        let mut index = 0;
        while index < fields.len() {
            if is_same(fields[index].kind, kind) && is_same(fields[index].name, name) {
                return Some(fields[index].offset);
            }
            index += 1;
        }
        group += 1;
    }
    None
}

/// Whether two names are one; constants cannot compare them by `==`.
const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

/// The fields of a type, by its name here.
fn fields_of(kind: &str) -> impl Iterator<Item = &'static Field> + '_ {
    let everywhere = FIELDS.iter();
    let here = CURRENT.fields.iter().flat_map(|group| group.iter());
    everywhere.chain(here).filter(move |field| field.kind == kind)
}

/// The field of an object's type, which must be the C type of that name itself or derive from it.
fn find(object: &Bound<'_, PyAny>, name: &str) -> PyResult<&'static Field> {
    let size = basic_size(object);
    let found = kind_of(object)?
        .and_then(|kind| fields_of(kind).find(|field| field.name == name && field.fits(size)));
    found.ok_or_else(|| {
        let kind = object.get_type();
        PyTypeError::new_err(format!("no field {name} is known of a {kind}"))
    })
}

/// How much memory an object of this type has at least.
fn basic_size(object: &Bound<'_, PyAny>) -> usize {
    let kind = object.get_type_ptr();
    // SAFETY: a type lives as long as its instance, and a positive number is set once.
    usize::try_from(unsafe { (*kind).tp_basicsize }).unwrap_or(0)
}

/// The name under which the object's type, or the base that its memory begins with, is known here.
fn kind_of(object: &Bound<'_, PyAny>) -> PyResult<Option<&'static str>> {
    // Asked for as an attribute, which readies a type that nobody has looked at yet (3.8 has such).
    let order = object.get_type().getattr("__mro__")?;
    for base in order.cast_into::<PyTuple>()?.iter() {
        let base = base.cast_into::<PyType>()?;
        if let Some(kind) = static_kind(&base) {
            return Ok(Some(kind));
        }
        let name = base.name()?.to_string();
        let known = fields_of(&name).next().map(|field| field.kind);
        if known.is_some() && is_the_c_type(&base, &name).unwrap_or(false) {
            return Ok(known);
        }
    }
    Ok(None)
}

impl Count {
    fn of(self, at: Address) -> PyResult<usize> {
        let count = match self {
            Self::Field(offset) => at.get::<isize>(offset),
            Self::Length(offset) => {
                let tuple: *mut py_ffi::PyObject = at.get(offset);
                // SAFETY: the field holds a tuple or NULL, which the function refuses by -1.
                let length = unsafe { py_ffi::PyTuple_Size(tuple) };
                if length < 0 {
                    // SAFETY: the GIL is held by whoever holds the object.
                    unsafe { py_ffi::PyErr_Clear() };
                }
                length
            }
        };
        usize::try_from(count).map_err(|_| PyValueError::new_err("an array of no length"))
    }
}

impl Field {
    /// Whether objects of this size have it: some fields came with a micro release.
    fn fits(&self, size: usize) -> bool {
        let own = match self.holds {
            Holds::Int | Holds::Bit(_) => size_of::<i32>(),
            Holds::Byte => 1,
            Holds::Values(_) | Holds::Marks(_) => 0,
            _ => WORD,
        };
        self.offset + own <= size
    }

    fn read<'py>(&self, py: Python<'py>, at: Address) -> PyResult<Option<Bound<'py, PyAny>>> {
        let offset = self.offset;
        Ok(match self.holds {
            Holds::Object => at.object(py, offset),
            Holds::Size => Some(at.get::<isize>(offset).into_pyobject(py)?.into_any()),
            Holds::Int => Some(at.get::<i32>(offset).into_pyobject(py)?.into_any()),
            Holds::Byte => Some(at.get::<u8>(offset).into_pyobject(py)?.into_any()),
            Holds::Bit(bit) => Some((at.get::<u32>(offset) >> bit & 1).into_pyobject(py)?.into_any()),
            Holds::Address => Some(at.get::<usize>(offset).into_pyobject(py)?.into_any()),
            Holds::Sizes(count) => Some(PyList::new(py, read_sizes(at, offset, count)?)?.into_any()),
            Holds::Marks(groups) => {
                let marks = (0..marks_of(at, groups)).map(|index| at.get::<isize>(offset + index * WORD));
                Some(PyList::new(py, marks.collect::<Vec<_>>())?.into_any())
            }
            Holds::Values(count) => {
                let count = usize::try_from(at.get::<i32>(count))
                    .unwrap_or(0)
                    .min(LINK_VALUES);
                let values = (0..count).filter_map(|index| at.object(py, offset + index * WORD));
                Some(PyList::new(py, values.collect::<Vec<_>>())?.into_any())
            }
            Holds::Holey => match at.object(py, offset) {
                Some(tuple) => Some(with_holes(&tuple)?.into_any()),
                None => None,
            },
        })
    }

    fn write(&self, py: Python<'_>, at: Address, value: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let offset = self.offset;
        let there = || PyValueError::new_err(format!("the field {} is never empty", self.name));
        let value = match (self.holds, value) {
            (Holds::Object | Holds::Holey, None) => {
                at.replace(py, offset, None);
                return Ok(());
            }
            (_, value) => value.ok_or_else(there)?,
        };
        match self.holds {
            Holds::Object => at.replace(py, offset, Some(value.unbind())),
            Holds::Size => at.set(offset, value.extract::<isize>()?),
            Holds::Int => at.set(offset, value.extract::<i32>()?),
            Holds::Byte => at.set(offset, value.extract::<u8>()?),
            Holds::Bit(bit) => {
                let others = at.get::<u32>(offset) & !(1 << bit);
                at.set(offset, others | u32::from(value.is_truthy()?) << bit);
            }
            Holds::Address => at.set(offset, value.extract::<usize>()?),
            Holds::Sizes(count) => write_sizes(at, offset, count, &value.extract::<Vec<isize>>()?)?,
            Holds::Marks(groups) => {
                let marks = value.extract::<Vec<isize>>()?;
                if marks.len() != marks_of(at, groups) {
                    return Err(PyValueError::new_err("there are not as many groups"));
                }
                for (index, mark) in marks.into_iter().enumerate() {
                    at.set(offset + index * WORD, mark);
                }
            }
            Holds::Values(count) => {
                let values = value.extract::<Vec<Py<PyAny>>>()?;
                if at.get::<i32>(count) != 0 || values.len() > LINK_VALUES {
                    return Err(PyValueError::new_err("a link that does not fit"));
                }
                let number = values.len() as i32; // at most LINK_VALUES
                for (index, value) in values.into_iter().enumerate() {
                    at.set(offset + index * WORD, value.into_ptr());
                }
                at.set(count, number);
            }
            Holds::Holey => {
                let items = value.extract::<Vec<Option<Py<PyAny>>>>()?;
                at.replace(py, offset, Some(without_items(py, items)?));
            }
        }
        Ok(())
    }
}

const WORD: usize = size_of::<usize>();

fn read_sizes(at: Address, offset: usize, count: Count) -> PyResult<Vec<isize>> {
    let count = count.of(at)?;
    let array: *const isize = at.get(offset);
    if array.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: CPython allocated `count` sizes when it made the iterator, and they are its own.
    Ok(unsafe { core::slice::from_raw_parts(array, count) }.to_vec())
}

/// The object was made with as many sizes.
fn write_sizes(at: Address, offset: usize, count: Count, sizes: &[isize]) -> PyResult<()> {
    let array: *mut isize = at.get(offset);
    if count.of(at)? != sizes.len() || (array.is_null() && !sizes.is_empty()) {
        return Err(PyValueError::new_err("an array of another length"));
    }
    if !array.is_null() {
        // SAFETY: as in `read_sizes`; nobody else reads or writes while the GIL is held.
        unsafe { core::slice::from_raw_parts_mut(array, sizes.len()) }.copy_from_slice(sizes);
    }
    Ok(())
}

/// The items of a tuple, None where there is none.
fn with_holes<'py>(tuple: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    let py = tuple.py();
    let tuple = tuple.cast::<PyTuple>()?;
    // SAFETY: the indices are in range; an item is a borrowed reference, or NULL without an exception.
    let item = |index: usize| unsafe {
        let item = py_ffi::PyTuple_GetItem(tuple.as_ptr(), index as py_ffi::Py_ssize_t);
        Bound::from_borrowed_ptr_or_opt(py, item)
    };
    PyList::new(py, (0..tuple.len()).map(item).collect::<Vec<_>>())
}

/// A tuple with nothing at the places where there is none.
fn without_items(py: Python<'_>, items: Vec<Option<Py<PyAny>>>) -> PyResult<Py<PyAny>> {
    // SAFETY: a fresh tuple with NULL items, which only the iterator sees that expects them; the
    // indices are in range, and a reference is given away for each.
    unsafe {
        let tuple = py_ffi::PyTuple_New(items.len() as py_ffi::Py_ssize_t);
        let tuple = Bound::from_owned_ptr_or_err(py, tuple)?;
        for (index, item) in items.into_iter().enumerate() {
            if let Some(item) = item {
                py_ffi::PyTuple_SetItem(tuple.as_ptr(), index as py_ffi::Py_ssize_t, item.into_ptr());
            }
        }
        Ok(tuple.unbind())
    }
}

/// What a field holds; `None` for NULL.
pub fn read<'py>(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    find(object, name)?.read(object.py(), Address::of(object))
}

/// Puts an object or a number into a field; `None` empties it.
pub fn write(object: &Bound<'_, PyAny>, name: &str, value: Option<Bound<'_, PyAny>>) -> PyResult<()> {
    find(object, name)?.write(object.py(), Address::of(object), value)
}

/// Whether the field is known of objects like this one, on this release.
pub fn has(object: &Bound<'_, PyAny>, name: &str) -> bool {
    find(object, name).is_ok()
}

/// All fields that an object owns, by their names; those are left out that are NULL.
pub fn read_all<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = object.py();
    let found = PyDict::new(py);
    for field in owned_fields(object)? {
        if let Some(value) = field.read(py, Address::of(object))? {
            found.set_item(field.name, value)?;
        }
    }
    Ok(found)
}

/// Puts back what [`read_all`] gave, into an object that was made with arrays of the same lengths.
pub fn write_all(object: &Bound<'_, PyAny>, values: &Bound<'_, PyDict>) -> PyResult<()> {
    let fields = owned_fields(object)?;
    // Arrays first: they are held against what the object was made with.
    let (arrays, others): (Vec<_>, Vec<_>) = fields.partition(|field| matches!(field.holds, Holds::Sizes(_)));
    for field in arrays.iter().chain(&others) {
        field.write(object.py(), Address::of(object), values.get_item(field.name)?)?;
    }
    for field in arrays {
        let Holds::Sizes(count) = field.holds else {
            continue;
        };
        let given = values.get_item(field.name)?.map_or(Ok(0), |sizes| sizes.len())?;
        if count.of(Address::of(object))? != given {
            return Err(PyValueError::new_err("an array of another length"));
        }
    }
    Ok(())
}

/// The fields that an object owns; the type is one of those that have some, on some release at least.
fn owned_fields(object: &Bound<'_, PyAny>) -> PyResult<impl Iterator<Item = &'static Field>> {
    let kind = kind_of(object)?.ok_or_else(|| {
        let kind = object.get_type();
        PyTypeError::new_err(format!("no fields are known of a {kind}"))
    })?;
    let size = basic_size(object);
    Ok(fields_of(kind).filter(move |field| !matches!(field.holds, Holds::Address) && field.fits(size)))
}
