//! Fields of C objects whose state no API shows, read and written by name.
//!
//! The offsets here are the same on CPython 3.8–3.15 (Modules/itertoolsmodule.c, _functoolsmodule.c, _io/textio.c,
//! _csv.c, _decimal/_decimal.c, Objects/{dict,odict,set,iter,enum,gen,memory}object.c, Python/bltinmodule.c),
//! printed by programs compiled against each; what differs is in the layouts ([`Layout::fields`]).
//!
//! [`Layout::fields`]: super::Layout::fields

use super::ffi;
use super::frame::Address;
use super::modules::import;
use super::CURRENT;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi as py_ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple, PyType};

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
    /// The address of an object that need not live any more.
    Address,
    /// A pointer to an array of `Py_ssize_t`, as many as this says.
    Sizes(Count),
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

use Holds::{Address as Borrowed, Holey, Int, Object, Size, Sizes, Values};

const FIELDS: &[Field] = &[
    field("_lru_cache_wrapper", "next", Object, 24),
    field("_lru_cache_wrapper", "typed", Int, 64),
    field("_lru_cache_wrapper", "cache", Object, 72),
    field("_lru_cache_wrapper", "hits", Size, 80),
    field("_lru_cache_wrapper", "func", Object, 88),
    field("_lru_cache_wrapper", "maxsize", Size, 96),
    field("_lru_cache_wrapper", "misses", Size, 104),
    field("_lru_list_elem", "next", Object, 24),
    field("_lru_list_elem", "key", Object, 40),
    field("_lru_list_elem", "result", Object, 48),
    field("TextIOWrapper", "buffer", Object, 32),
    field("reader", "input_iter", Object, 16),
    field("reader", "line_num", Size, 80),
    field("memory_iterator", "it_index", Size, 16),
    field("memory_iterator", "it_seq", Object, 24),
    field("ContextManager", "local", Object, 16),
    field("ContextManager", "global", Object, 24),
    // Iterators of `builtins`. The result that some of them use again stays the shell's own.
    field("iterator", "it_index", Size, 16),
    field("iterator", "it_seq", Object, 24),
    field("list_iterator", "it_index", Size, 16),
    field("list_iterator", "it_seq", Object, 24),
    field("list_reverseiterator", "it_index", Size, 16),
    field("list_reverseiterator", "it_seq", Object, 24),
    field("callable_iterator", "it_callable", Object, 16),
    field("callable_iterator", "it_sentinel", Object, 24),
    field("reversed", "index", Size, 16),
    field("reversed", "seq", Object, 24),
    field("enumerate", "en_index", Size, 16),
    field("enumerate", "en_sit", Object, 24),
    field("enumerate", "en_longindex", Object, 40),
    field("zip", "tuplesize", Size, 16),
    field("zip", "ittuple", Object, 24),
    field("zip", "result", Object, 32),
    field("map", "iters", Object, 16),
    field("map", "func", Object, 24),
    field("filter", "func", Object, 16),
    field("filter", "it", Object, 24),
    field("dict_iterator", "di_dict", Object, 16),
    field("dict_iterator", "di_used", Size, 24),
    field("dict_iterator", "di_pos", Size, 32),
    field("dict_iterator", "len", Size, 48),
    field("set_iterator", "si_set", Object, 16),
    field("set_iterator", "si_used", Size, 24),
    field("set_iterator", "si_pos", Size, 32),
    field("set_iterator", "len", Size, 40),
    field("odict_iterator", "kind", Int, 16),
    field("odict_iterator", "di_odict", Object, 24),
    field("odict_iterator", "di_size", Size, 32),
    field("odict_iterator", "di_state", Size, 40),
    field("odict_iterator", "di_current", Object, 48),
    // `itertools`.
    field("count", "cnt", Size, 16),
    field("count", "long_cnt", Object, 24),
    field("count", "long_step", Object, 32),
    field("cycle", "it", Object, 16),
    field("cycle", "saved", Object, 24),
    field("cycle", "index", Size, 32),
    field("repeat", "element", Object, 16),
    field("repeat", "cnt", Size, 24),
    field("accumulate", "total", Object, 16),
    field("accumulate", "it", Object, 24),
    field("accumulate", "binop", Object, 32),
    field("accumulate", "initial", Object, 40),
    field("chain", "source", Object, 16),
    field("chain", "active", Object, 24),
    field("compress", "data", Object, 16),
    field("compress", "selectors", Object, 24),
    field("dropwhile", "func", Object, 16),
    field("dropwhile", "it", Object, 24),
    field("dropwhile", "start", Size, 32),
    field("takewhile", "func", Object, 16),
    field("takewhile", "it", Object, 24),
    field("takewhile", "stop", Size, 32),
    field("filterfalse", "func", Object, 16),
    field("filterfalse", "it", Object, 24),
    field("starmap", "func", Object, 16),
    field("starmap", "it", Object, 24),
    field("groupby", "it", Object, 16),
    field("groupby", "keyfunc", Object, 24),
    field("groupby", "tgtkey", Object, 32),
    field("groupby", "currkey", Object, 40),
    field("groupby", "currvalue", Object, 48),
    field("groupby", "currgrouper", Borrowed, 56),
    field("_grouper", "parent", Object, 16),
    field("_grouper", "tgtkey", Object, 24),
    field("islice", "it", Object, 16),
    field("islice", "next", Size, 24),
    field("islice", "stop", Size, 32),
    field("islice", "step", Size, 40),
    field("islice", "cnt", Size, 48),
    field("_tee", "dataobj", Object, 16),
    field("_tee", "index", Int, 24),
    field("_tee_dataobject", "it", Object, 16),
    field("_tee_dataobject", "nextlink", Object, 32),
    field("_tee_dataobject", "values", Values(24), 40),
    field("zip_longest", "tuplesize", Size, 16),
    field("zip_longest", "numactive", Size, 24),
    field("zip_longest", "ittuple", Holey, 32),
    field("zip_longest", "result", Object, 40),
    field("zip_longest", "fillvalue", Object, 48),
    field("product", "pools", Object, 16),
    field("product", "indices", Sizes(Count::Length(16)), 24),
    field("product", "result", Object, 32),
    field("product", "stopped", Int, 40),
    field("permutations", "pool", Object, 16),
    field("permutations", "indices", Sizes(Count::Length(16)), 24),
    field("permutations", "cycles", Sizes(Count::Field(48)), 32),
    field("permutations", "result", Object, 40),
    field("permutations", "r", Size, 48),
    field("permutations", "stopped", Int, 56),
    field("combinations", "pool", Object, 16),
    field("combinations", "indices", Sizes(Count::Field(40)), 24),
    field("combinations", "result", Object, 32),
    field("combinations", "r", Size, 40),
    field("combinations", "stopped", Int, 48),
    field("combinations_with_replacement", "pool", Object, 16),
    field(
        "combinations_with_replacement",
        "indices",
        Sizes(Count::Field(40)),
        24,
    ),
    field("combinations_with_replacement", "result", Object, 32),
    field("combinations_with_replacement", "r", Size, 40),
    field("combinations_with_replacement", "stopped", Int, 48),
    field("pairwise", "it", Object, 16),
    field("pairwise", "old", Object, 24),
    field("batched", "it", Object, 16),
    field("batched", "batch_size", Size, 24),
    // What the methods of async generators, coroutines and `anext` give to be awaited.
    field("async_generator_asend", "ags_gen", Object, 16),
    field("async_generator_asend", "ags_sendval", Object, 24),
    field("async_generator_asend", "ags_state", Int, 32),
    field("async_generator_athrow", "agt_gen", Object, 16),
    field("coroutine_wrapper", "cw_coroutine", Object, 16),
    field("anext_awaitable", "wrapped", Object, 16),
    field("anext_awaitable", "default_value", Object, 24),
];

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

/// Types that libpython exports and no module offers by a name.
fn static_kind(kind: &Bound<'_, PyType>) -> Option<&'static str> {
    let it = kind.as_type_ptr();
    let is = |one: *mut py_ffi::PyTypeObject| core::ptr::eq(it, one);
    let dicts = [
        &raw mut ffi::PyDictIterKey_Type,
        &raw mut ffi::PyDictIterValue_Type,
        &raw mut ffi::PyDictIterItem_Type,
        &raw mut ffi::PyDictRevIterKey_Type,
        &raw mut ffi::PyDictRevIterValue_Type,
        &raw mut ffi::PyDictRevIterItem_Type,
    ];
    if dicts.into_iter().any(is) {
        Some("dict_iterator")
    } else if is(&raw mut ffi::PySetIter_Type) {
        Some("set_iterator")
    } else if is(&raw mut ffi::PyODictIter_Type) {
        Some("odict_iterator")
    } else if is(&raw mut ffi::PySeqIter_Type) {
        Some("iterator")
    } else if is(&raw mut ffi::PyListIter_Type) {
        Some("list_iterator")
    } else if is(&raw mut ffi::PyListRevIter_Type) {
        Some("list_reverseiterator")
    } else if is(&raw mut ffi::PyCallIter_Type) {
        Some("callable_iterator")
    } else if is(&raw mut ffi::PyFunction_Type) {
        Some("function")
    } else if is(&raw mut py_ffi::PyCoro_Type) {
        Some("coroutine")
    } else if is(&raw mut py_ffi::PyAsyncGen_Type) {
        Some("async_generator")
    } else {
        None
    }
}

/// A class of the program may have the same name.
fn is_the_c_type(kind: &Bound<'_, PyType>, name: &str) -> PyResult<bool> {
    let py = kind.py();
    let made_by =
        |module: &str, maker: &str| -> PyResult<Bound<'_, PyAny>> { import(py, module)?.getattr(maker) };
    let one = match name {
        "_lru_cache_wrapper" => return Ok(kind.is(&made_by("_functools", name)?)),
        // Nobody can make or subclass one of these, they hang in a cache's ring.
        "_lru_list_elem" => return kind.getattr("__module__")?.eq("functools"),
        "async_generator_asend" | "async_generator_athrow" | "coroutine_wrapper" | "anext_awaitable" => {
            let is_static = !crate::boundary::is_python_class(kind);
            return Ok(is_static && kind.getattr("__module__")?.eq("builtins")?);
        }
        "reader" => made_by("_csv", "reader")?.call1((PyTuple::empty(py),))?,
        "memory_iterator" => {
            let view = made_by("builtins", "memoryview")?.call1((PyBytes::new(py, b""),))?;
            return Ok(kind.is(view.try_iter()?.get_type()));
        }
        "ContextManager" => made_by("_decimal", "localcontext")?.call0()?,
        "TypeVar" | "ParamSpec" | "TypeVarTuple" | "TypeAliasType" => {
            return Ok(kind.is(&made_by("_typing", name)?));
        }
        "reversed" | "enumerate" | "zip" | "map" | "filter" => {
            return Ok(kind.is(&made_by("builtins", name)?));
        }
        "TextIOWrapper" => return Ok(kind.is(&made_by("_io", name)?)),
        _ => return Ok(kind.is(&made_by("itertools", name)?)),
    };
    Ok(kind.is(one.get_type()))
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
            Holds::Int => size_of::<i32>(),
            Holds::Byte => 1,
            Holds::Values(_) => 0,
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
            Holds::Address => Some(at.get::<usize>(offset).into_pyobject(py)?.into_any()),
            Holds::Sizes(count) => Some(PyList::new(py, read_sizes(at, offset, count)?)?.into_any()),
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
            Holds::Address => at.set(offset, value.extract::<usize>()?),
            Holds::Sizes(count) => write_sizes(at, offset, count, &value.extract::<Vec<isize>>()?)?,
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
