//! Fields of C objects whose state no API shows, read and written by name.
//!
//! The offsets are the same on CPython 3.8–3.15 (Modules/_functoolsmodule.c, _csv.c,
//! _decimal/_decimal.c, Objects/memoryobject.c), printed by programs compiled against each.

use super::frame::Address;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// What a field holds.
#[derive(Clone, Copy)]
enum Holds {
    /// A reference that it owns, or NULL.
    Object,
    /// A `Py_ssize_t` or an `unsigned long`.
    Size,
    /// An `int`.
    Int,
}

/// One field.
struct Field {
    kind: &'static str,
    name: &'static str,
    holds: Holds,
    offset: usize,
}

const fn field(kind: &'static str, name: &'static str, holds: Holds, offset: usize) -> Field {
    Field {
        kind,
        name,
        holds,
        offset,
    }
}

const FIELDS: &[Field] = &[
    field("_lru_cache_wrapper", "next", Holds::Object, 24),
    field("_lru_cache_wrapper", "typed", Holds::Int, 64),
    field("_lru_cache_wrapper", "cache", Holds::Object, 72),
    field("_lru_cache_wrapper", "hits", Holds::Size, 80),
    field("_lru_cache_wrapper", "func", Holds::Object, 88),
    field("_lru_cache_wrapper", "maxsize", Holds::Size, 96),
    field("_lru_cache_wrapper", "misses", Holds::Size, 104),
    field("_lru_list_elem", "next", Holds::Object, 24),
    field("_lru_list_elem", "key", Holds::Object, 40),
    field("_lru_list_elem", "result", Holds::Object, 48),
    field("reader", "input_iter", Holds::Object, 16),
    field("reader", "line_num", Holds::Size, 80),
    field("memory_iterator", "it_index", Holds::Size, 16),
    field("memory_iterator", "it_seq", Holds::Object, 24),
    field("ContextManager", "local", Holds::Object, 16),
    field("ContextManager", "global", Holds::Object, 24),
];

/// The field of an object's type, which must be the C type of that name itself.
fn find(object: &Bound<'_, PyAny>, name: &str) -> PyResult<&'static Field> {
    let kind = object.get_type();
    let kind_name = kind.name()?.to_string();
    let found = FIELDS
        .iter()
        .find(|field| field.kind == kind_name && field.name == name);
    let found = found.filter(|_| is_the_c_type(&kind, &kind_name).unwrap_or(false));
    found.ok_or_else(|| PyTypeError::new_err(format!("no field {name} is known of a {kind_name}")))
}

/// A class of the program may have the same name.
fn is_the_c_type(kind: &Bound<'_, PyType>, name: &str) -> PyResult<bool> {
    let py = kind.py();
    let made_by =
        |module: &str, maker: &str| -> PyResult<Bound<'_, PyAny>> { py.import(module)?.getattr(maker) };
    let one = match name {
        "_lru_cache_wrapper" => return Ok(kind.is(&made_by("_functools", name)?)),
        // Nobody can make or subclass one of these, they hang in a cache's ring.
        "_lru_list_elem" => return kind.getattr("__module__")?.eq("functools"),
        "reader" => made_by("_csv", "reader")?.call1((pyo3::types::PyTuple::empty(py),))?,
        "memory_iterator" => {
            let view = made_by("builtins", "memoryview")?.call1((pyo3::types::PyBytes::new(py, b""),))?;
            return Ok(kind.is(view.try_iter()?.get_type()));
        }
        "ContextManager" => made_by("_decimal", "localcontext")?.call0()?,
        _ => return Ok(false),
    };
    Ok(kind.is(one.get_type()))
}

/// What a field holds; `None` for NULL.
pub fn read<'py>(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    let field = find(object, name)?;
    let at = Address::of(object);
    Ok(match field.holds {
        Holds::Object => at.object(py, field.offset),
        Holds::Size => Some(at.get::<isize>(field.offset).into_pyobject(py)?.into_any()),
        Holds::Int => Some(at.get::<i32>(field.offset).into_pyobject(py)?.into_any()),
    })
}

/// Puts an object or a number into a field.
pub fn write(object: &Bound<'_, PyAny>, name: &str, value: Bound<'_, PyAny>) -> PyResult<()> {
    let field = find(object, name)?;
    let at = Address::of(object);
    match field.holds {
        Holds::Object => at.replace(object.py(), field.offset, Some(value.unbind())),
        Holds::Size => at.set(field.offset, value.extract::<isize>()?),
        Holds::Int => at.set(field.offset, value.extract::<i32>()?),
    }
    Ok(())
}
