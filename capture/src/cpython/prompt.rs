//! The interpreter's own prompt, as `python` has it without a script (Python/pythonrun.c), and `sys.flags`.

use super::ffi::{PyInterpreterState_Get, STANDARD_INPUT};
use super::{Configuration, CURRENT};
use core::ffi::c_int;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Reads statements from standard input and runs them, each as a program of its own, until that ends. `exit()`
/// ends the process out of it.
///
/// `features` are those of `from __future__` that were chosen at the prompt, as code has them in its flags.
pub fn run_prompt(py: Python<'_>, features: c_int) {
    let mut flags = flags(py, features);
    // SAFETY: the GIL is held; the stream is the process's own, open or not, for as long as it lives; the name is
    // a text that ends with NUL, and the flags live for the call. What is raised meanwhile is printed there.
    unsafe {
        ffi::PyRun_InteractiveLoopFlags(STANDARD_INPUT, c"<stdin>".as_ptr(), &raw mut flags);
        ffi::PyErr_Clear();
    }
}

/// Has `exit()` end the process from here on, as CPython does before the prompt that `-i` asks for: while a script
/// runs it does not (Modules/main.c, `pymain_repl`). `sys.flags` stays as it is, as there.
pub fn let_exit(py: Python<'_>) -> PyResult<()> {
    let optimized: c_int = py
        .import("sys")?
        .getattr("flags")?
        .getattr("optimize")?
        .extract()?;
    // SAFETY: the GIL is held, under which these are read and written. If the names are known, they are those of
    // CPython: a variable, and from 3.9 on a function without arguments that points to the interpreter's
    // configuration; up to then that is in its state. The layout of it is pyo3's for this release; a field next to
    // the one that is written is looked at first.
    unsafe {
        let flag = libc::dlsym(libc::RTLD_DEFAULT, c"Py_InspectFlag".as_ptr()).cast::<c_int>();
        if !flag.is_null() {
            *flag = 0;
        }
        let config = match CURRENT.configuration {
            Configuration::Field(offset) => PyInterpreterState_Get().cast::<u8>().add(offset).cast(),
            Configuration::Function => {
                let function = libc::dlsym(libc::RTLD_DEFAULT, c"_Py_GetConfig".as_ptr());
                if function.is_null() {
                    return Ok(());
                }
                let function: extern "C" fn() -> *mut ffi::PyConfig = core::mem::transmute(function);
                function()
            }
        };
        if (*config).optimization_level == optimized {
            (*config).inspect = 0;
        }
    }
    Ok(())
}

/// The flags that statements are compiled with.
fn flags(py: Python<'_>, features: c_int) -> ffi::PyCompilerFlags {
    ffi::PyCompilerFlags {
        cf_flags: features,
        cf_feature_version: py.version_info().minor.into(),
    }
}

/// Runs statements at a prompt that do nothing, out of memory: the interpreter numbers what is typed.
pub fn run_empty_statements(py: Python<'_>, number: usize) -> std::io::Result<()> {
    let mut text = "pass\n".repeat(number).into_bytes();
    let mut flags = flags(py, 0);
    // SAFETY: the GIL is held. The stream reads the text, which outlives it: it is closed before either goes. The
    // name ends with NUL.
    unsafe {
        let stream = libc::fmemopen(text.as_mut_ptr().cast(), text.len(), c"r".as_ptr());
        if stream.is_null() {
            return Err(std::io::Error::last_os_error());
        }
        ffi::PyRun_InteractiveLoopFlags(stream, c"<stdin>".as_ptr(), &raw mut flags);
        ffi::PyErr_Clear();
        libc::fclose(stream);
    }
    Ok(())
}

/// Takes back what C's library has read ahead of standard input, which is a file.
pub fn sync_input() {
    // SAFETY: the stream is the process's own.
    unsafe { libc::fflush(STANDARD_INPUT) };
}

/// Has C's library read no more of standard input than it is asked for. Nothing was read through it before.
pub fn read_by_the_byte() {
    // SAFETY: the stream is the process's own, and needs no memory for a buffer.
    unsafe { libc::setvbuf(STANDARD_INPUT, core::ptr::null_mut(), libc::_IONBF, 0) };
}

/// The like of `sys.flags` with some of its fields changed, given by their places.
pub fn with_fields<'py>(
    flags: &Bound<'py, PyTuple>,
    changes: &[(usize, Bound<'py, PyAny>)],
) -> PyResult<Bound<'py, PyAny>> {
    let py = flags.py();
    let fields: usize = flags.getattr("n_fields")?.extract()?;
    // SAFETY: the type is that of a live struct sequence, and each of its fields is filled with a reference of its
    // own: those that a tuple shows, and the hidden ones behind them, which are read by their places in the same
    // memory. A new one is not seen by anybody before it is full.
    unsafe {
        let new = ffi::PyStructSequence_New(ffi::Py_TYPE(flags.as_ptr()));
        let new = Bound::from_owned_ptr_or_err(py, new)?;
        for place in 0..fields {
            let changed = changes.iter().find(|(changed, _)| *changed == place);
            let value = match changed {
                Some((_, value)) => value.as_ptr(),
                None => ffi::PyStructSequence_GetItem(flags.as_ptr(), place as ffi::Py_ssize_t),
            };
            ffi::Py_XINCREF(value);
            ffi::PyStructSequence_SetItem(new.as_ptr(), place as ffi::Py_ssize_t, value);
        }
        Ok(new)
    }
}
