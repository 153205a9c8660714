//! Single fields of other objects, which no public function reads or writes.
//!
//! The offsets are the same on CPython 3.8–3.15 (Objects: Modules/_io/bufferedio.c, textio.c,
//! Python/traceback.c), printed by programs compiled against each.

use super::ffi::{
    _PyType_Lookup, PyFrame_New, PyInterpreterState_Get, PyMethod_Function, PyMethod_Type,
    PyPickleBuffer_Type,
};
use super::frame::Address;
use super::modules::import;
use super::thread::ThreadState;
use super::{Atexit, CURRENT};
use core::ffi::{c_int, c_void};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCode, PyDict, PyString, PyTuple, PyType};

/// `buffer`, `pos`, `read_end` and `raw_pos`… of `buffered`.
mod buffered {
    pub const BUFFER: usize = 56;
    pub const POSITION: usize = 64;
    pub const READ_END: usize = 80;
}

/// `decoded_chars` and `decoded_chars_used` of `textio`.
mod text {
    pub const DECODED: usize = 120;
    pub const USED: usize = 128;
    pub const READ_NEWLINE: usize = 64;
}

/// A frame object of this code that never ran and hangs below nothing.
pub fn new_frame<'py>(
    code: &Bound<'py, PyCode>,
    globals: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = code.py();
    let thread = ThreadState::current(py);
    thread.with_empty_stack(|| {
        // SAFETY: the types of the arguments are those that the function asks for; NULL locals let
        // it take the globals for a module's code and none for a function's.
        unsafe {
            let frame = PyFrame_New(
                thread.raw(),
                code.as_ptr(),
                globals.as_ptr(),
                core::ptr::null_mut(),
            );
            Bound::from_owned_ptr_or_err(py, frame)
        }
    })
}

/// The bytes that a buffered reader has read ahead.
pub fn buffered_unread<'py>(reader: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    check_type(reader, "BufferedReader")?;
    let reader_at = Address::of(reader);
    let start: isize = reader_at.get::<i64>(buffered::POSITION) as isize;
    let end: isize = reader_at.get::<i64>(buffered::READ_END) as isize;
    let buffer: *const u8 = reader_at.get(buffered::BUFFER);
    if buffer.is_null() || start < 0 || end <= start {
        return Ok(PyBytes::new(reader.py(), b""));
    }
    // SAFETY: CPython keeps `pos <= read_end <=` the buffer's size while there is something to
    // read, and the buffer is alive and unchanged while the GIL is held.
    let bytes = unsafe { core::slice::from_raw_parts(buffer.offset(start), (end - start) as usize) };
    Ok(PyBytes::new(reader.py(), bytes))
}

/// The text that a text stream has decoded ahead.
pub fn text_unread<'py>(stream: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    check_type(stream, "TextIOWrapper")?;
    let py = stream.py();
    let at = Address::of(stream);
    let Some(decoded) = at.object(py, text::DECODED) else {
        return Ok(PyString::new(py, ""));
    };
    let used = at.get::<isize>(text::USED);
    let unread = decoded.get_item(pyo3::types::PySlice::new(py, used, isize::MAX, 1))?;
    Ok(unread.cast_into::<PyString>()?)
}

/// Puts text back in front of a text stream, as if it had been decoded ahead.
pub fn text_give_back(stream: &Bound<'_, PyAny>, text: Bound<'_, PyString>) -> PyResult<()> {
    check_type(stream, "TextIOWrapper")?;
    let at = Address::of(stream);
    at.set::<isize>(text::USED, 0);
    at.replace(stream.py(), text::DECODED, Some(text.into_any().unbind()));
    Ok(())
}

/// The `newline` that a text stream was made with, `None` for universal newlines.
pub fn text_newline<'py>(stream: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    check_type(stream, "TextIOWrapper")?;
    Ok(Address::of(stream).object(stream.py(), text::READ_NEWLINE))
}

/// The type must be the C one itself or a Python subclass of it, which begins alike.
fn check_type(object: &Bound<'_, PyAny>, name: &str) -> PyResult<()> {
    let kind = import(object.py(), "_io")?.getattr(name)?;
    if object.is_instance(&kind)? {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!("not a {name}")))
}

/// An attribute as a type's MRO has it, with no descriptor asked and no code run.
pub fn lookup_on_type<'py>(kind: &Bound<'py, PyType>, name: &str) -> Option<Bound<'py, PyAny>> {
    let py = kind.py();
    let name = PyString::intern(py, name);
    // SAFETY: both are live; the function neither fails nor runs code for an interned string, and
    // returns a reference that the type keeps.
    unsafe { Bound::from_borrowed_ptr_or_opt(py, _PyType_Lookup(kind.as_type_ptr(), name.as_ptr())) }
}

/// Whether two types call in the same way: `tp_call` of the metaclass is `type.__call__`.
pub fn is_called_as_type(kind: &Bound<'_, PyType>) -> bool {
    // SAFETY: reads a slot of two live type objects.
    unsafe {
        let meta = ffi::Py_TYPE(kind.as_ptr());
        let plain = &raw mut ffi::PyType_Type;
        (*meta).tp_call.map(|call| call as usize) == (*plain).tp_call.map(|call| call as usize)
    }
}

/// Whether a method of this kind is called without being bound first (`Py_TPFLAGS_METHOD_DESCRIPTOR`).
pub fn is_method_descriptor(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: reads the flags of a live object's type.
    unsafe { ffi::PyType_HasFeature(ffi::Py_TYPE(object.as_ptr()), ffi::Py_TPFLAGS_METHOD_DESCRIPTOR) != 0 }
}

/// A callback of `atexit`: function, arguments, keywords.
pub type AtexitEntry<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

/// The callbacks registered with `atexit`, oldest first.
pub fn atexit_entries(py: Python<'_>) -> PyResult<Vec<AtexitEntry<'_>>> {
    // SAFETY: the GIL is held, so there is an interpreter, and it outlives this.
    let interpreter = unsafe { PyInterpreterState_Get() };
    let interpreter = Address::new(interpreter.cast()).expect("there is an interpreter");
    let (array, count): (*mut *mut c_void, c_int) = match CURRENT.atexit {
        Atexit::ModuleState => {
            let module = import(py, "atexit")?;
            // SAFETY: the module is live; its state is a struct that begins with the two fields.
            let state = unsafe { ffi::PyModule_GetState(module.as_ptr()) };
            let Some(state) = Address::new(state) else {
                return Ok(Vec::new());
            };
            (state.get(0), state.get(8))
        }
        Atexit::Interpreter(offset) => (interpreter.get(offset), interpreter.get(offset + 8)),
        Atexit::InterpreterList(offset) => {
            let Some(list) = interpreter.object(py, offset) else {
                return Ok(Vec::new());
            };
            let mut entries: Vec<AtexitEntry<'_>> = list.extract()?;
            entries.reverse();
            return Ok(entries);
        }
    };
    let mut entries = Vec::new();
    for index in 0..count.max(0) as usize {
        // SAFETY: the array has `count` pointers to entries {func, args, kwargs}, NULL for those
        // that were unregistered; nobody changes it while the GIL is held.
        let Some(entry) = Address::new(unsafe { array.add(index).read() }) else {
            continue;
        };
        let Some(function) = entry.object(py, 0) else {
            continue;
        };
        let arguments = entry
            .object(py, 8)
            .unwrap_or_else(|| PyTuple::empty(py).into_any());
        let keywords = entry.object(py, 16).unwrap_or_else(|| PyDict::new(py).into_any());
        entries.push((function, arguments, keywords));
    }
    Ok(entries)
}

/// The dictionary of an object, also where its type has no `__dict__` to show it; `None` if it has none.
pub fn own_attributes<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let py = object.py();
    // SAFETY: the object is live, and the function raises AttributeError where there is none.
    unsafe {
        let found = ffi::PyObject_GenericGetDict(object.as_ptr(), core::ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, found).ok()
    }
}

/// The function of a bound method.
pub fn function_of_method<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: checks the type before it reads the field; the reference is borrowed from the method.
    unsafe {
        (ffi::Py_TYPE(object.as_ptr()) == &raw mut PyMethod_Type)
            .then(|| Bound::from_borrowed_ptr(object.py(), PyMethod_Function(object.as_ptr())))
    }
}

/// `wr_object` of `PyWeakReference`, the same on 3.8–3.15.
const WEAK_OBJECT: usize = 16;

/// What a weak proxy stands for, `None` for another object. A dead proxy stands for None.
pub fn behind_proxy<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    let kind = object.get_type();
    let weakref = import(py, "_weakref")?;
    if !kind.is(weakref.getattr("ProxyType")?) && !kind.is(weakref.getattr("CallableProxyType")?) {
        return Ok(None);
    }
    Ok(Address::of(object).object(py, WEAK_OBJECT))
}

/// Whether an object offers a buffer to go out of band (`pickle.PickleBuffer`).
pub fn is_pickle_buffer(object: &Bound<'_, PyAny>) -> bool {
    core::ptr::eq(object.get_type_ptr(), &raw mut PyPickleBuffer_Type)
}

/// Whether an object is a cell.
pub fn is_cell(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: only looks at the object's type.
    unsafe { ffi::PyCell_Check(object.as_ptr()) != 0 }
}

/// Evaluates a code object that is no function's, as `exec` does; a class's body may have a closure.
pub fn eval_code<'py>(
    code: &Bound<'py, PyCode>,
    globals: &Bound<'py, PyDict>,
    namespace: &Bound<'py, PyAny>,
    closure: Option<Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    const NONE: *const *mut ffi::PyObject = core::ptr::null();
    // SAFETY: the types of the arguments are those that the function asks for, no array is longer than
    // what it points at, and the closure has as many cells as the code has free variables.
    unsafe {
        let result = match closure {
            None => ffi::PyEval_EvalCode(code.as_ptr(), globals.as_ptr(), namespace.as_ptr()),
            Some(closure) => ffi::PyEval_EvalCodeEx(
                code.as_ptr(),
                globals.as_ptr(),
                namespace.as_ptr(),
                NONE,
                0,
                NONE,
                0,
                NONE,
                0,
                core::ptr::null_mut(),
                closure.as_ptr(),
            ),
        };
        Bound::from_owned_ptr_or_err(code.py(), result)
    }
}
