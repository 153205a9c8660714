//! Which C type an object is of: a class of the program may have the same name.

use super::ffi;
use super::modules::import;
use pyo3::ffi as py_ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString, PyTuple, PyType};

/// Types that libpython exports and no module offers by a name.
pub(super) fn static_kind(kind: &Bound<'_, PyType>) -> Option<&'static str> {
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
    } else if is(&raw mut py_ffi::_PyWeakref_RefType)
        || is(&raw mut ffi::_PyWeakref_ProxyType)
        || is(&raw mut ffi::_PyWeakref_CallableProxyType)
    {
        Some("weakref")
    } else {
        None
    }
}

/// Whether a type is the one in C that has this name.
pub(super) fn is_the_c_type(kind: &Bound<'_, PyType>, name: &str) -> PyResult<bool> {
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
        "memory_iterator" => made_by("builtins", "memoryview")?
            .call1((PyBytes::new(py, b""),))?
            .try_iter()?
            .into_any(),
        "tuple_iterator" => PyTuple::empty(py).into_any().try_iter()?.into_any(),
        "range_iterator" => made_by("builtins", "range")?.call1((0,))?.try_iter()?.into_any(),
        "longrange_iterator" => made_by("builtins", "range")?
            .call1((u128::MAX,))?
            .try_iter()?
            .into_any(),
        "str_iterator" => PyString::new(py, "\u{20ac}").try_iter()?.into_any(),
        "str_ascii_iterator" => PyString::new(py, "a").try_iter()?.into_any(),
        "bytes_iterator" => PyBytes::new(py, b"").try_iter()?.into_any(),
        "bytearray_iterator" => PyByteArray::new(py, b"").try_iter()?.into_any(),
        "arrayiterator" => made_by("array", "array")?.call1(("b",))?.try_iter()?.into_any(),
        "unpack_iterator" => made_by("_struct", "iter_unpack")?.call1(("b", PyBytes::new(py, b"")))?,
        "generic_alias_iterator" => made_by("types", "GenericAlias")?
            .call1((py.get_type::<PyTuple>(), PyTuple::empty(py)))?
            .try_iter()?
            .into_any(),
        "TemplateIter" => made_by("string.templatelib", "Template")?
            .call0()?
            .try_iter()?
            .into_any(),
        "KeyWrapper" => made_by("_functools", "cmp_to_key")?.call1((py.None(),))?,
        "SRE_Scanner" => made_by("re", "compile")?
            .call1(("",))?
            .call_method1("scanner", ("",))?,
        "TextIOWrapper" => return Ok(kind.is(&made_by("_io", name)?)),
        "Match" => return Ok(kind.is(&made_by("re", name)?)),
        "Token" => return Ok(kind.is(&made_by("_contextvars", name)?)),
        "deque" => return Ok(kind.is(&made_by("_collections", name)?)),
        "_deque_iterator" => made_by("_collections", "deque")?.call0()?.try_iter()?.into_any(),
        "_deque_reverse_iterator" => {
            made_by("builtins", "reversed")?.call1((made_by("_collections", "deque")?.call0()?,))?
        }
        "ContextManager" => made_by("_decimal", "localcontext")?.call0()?,
        "TypeVar" | "ParamSpec" | "TypeVarTuple" | "TypeAliasType" => {
            return Ok(kind.is(&made_by("_typing", name)?));
        }
        "Connection" | "Cursor" | "Row" => return Ok(kind.is(&made_by("_sqlite3", name)?)),
        "Context" => return Ok(kind.is(&made_by("_contextvars", name)?)),
        "Future" | "Task" => return Ok(kind.is(&made_by("_asyncio", name)?)),
        "FutureIter" | "TaskStepMethWrapper" | "TaskWakeupMethWrapper" => {
            let specimens = import(py, "pyteleport.tasks")?;
            return Ok(kind.is(&specimens.call_method1("type_of", (name,))?));
        }
        "reversed" | "enumerate" | "zip" | "map" | "filter" | "property" | "classmethod" | "staticmethod"
        | "super" | "memoryview" => {
            return Ok(kind.is(&made_by("builtins", name)?));
        }
        _ => return Ok(kind.is(&made_by("itertools", name)?)),
    };
    Ok(kind.is(one.get_type()))
}
