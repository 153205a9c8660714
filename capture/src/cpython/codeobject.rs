//! What is known of a code object, worked out once and kept with it.

use super::modules::import;
use super::CURRENT;
use crate::code::{slot_names, CodeError, CodeFacts, OpcodeModule, OpcodeTable, StackEffect};
use core::ffi::{c_int, c_void};
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyCode, PyMapping};
use std::sync::Arc;

/// A code object, as far as its frames are concerned.
#[derive(Debug)]
pub struct CodeInfo {
    /// Instructions, depths, handlers.
    pub facts: CodeFacts,
    /// How many locals, cells and free variables a frame of it has, before the value stack.
    pub slots: usize,
    /// How many of the slots, the last ones, are free variables.
    pub free: usize,
    /// `co_flags`.
    pub flags: u32,
    /// The names of positional parameters, and of keyword-only ones behind them.
    pub positional: usize,
    /// How many parameters are keyword-only.
    pub keyword_only: usize,
    /// How deep the value stack can get.
    pub stack_size: usize,
}

/// `CO_OPTIMIZED | CO_NEWLOCALS`: the code of a function rather than of a module or a class.
const CO_FUNCTION: u32 = 0x1 | 0x2;

impl CodeInfo {
    /// Whether frames of this code keep their variables in slots, as functions do.
    pub fn is_function(&self) -> bool {
        self.flags & CO_FUNCTION == CO_FUNCTION
    }

    /// What is known of `code`.
    pub fn of(code: &Bound<'_, PyCode>) -> PyResult<Arc<CodeInfo>> {
        let py = code.py();
        let index = extra_index(py)?;
        let mut kept: *mut c_void = core::ptr::null_mut();
        // SAFETY: `code` is a live code object and `index` one that the interpreter gave out.
        if unsafe { ffi::PyUnstable_Code_GetExtra(code.as_ptr(), index, &mut kept) } != 0 {
            return Err(PyErr::fetch(py));
        }
        if !kept.is_null() {
            // SAFETY: only we write under this index, and only the result of `Arc::into_raw`; the
            // code object, which is held, keeps its share.
            return Ok(unsafe {
                Arc::increment_strong_count(kept.cast::<CodeInfo>());
                Arc::from_raw(kept.cast::<CodeInfo>())
            });
        }
        let info = Arc::new(Self::work_out(code)?);
        let share = Arc::into_raw(info.clone()).cast_mut().cast::<c_void>();
        // SAFETY: as above; the share is given to the code object, which ends it with `forget`.
        if unsafe { ffi::PyUnstable_Code_SetExtra(code.as_ptr(), index, share) } != 0 {
            // SAFETY: the share was not taken.
            unsafe { drop(Arc::from_raw(share.cast::<CodeInfo>())) };
            return Err(PyErr::fetch(py));
        }
        Ok(info)
    }

    fn work_out(code: &Bound<'_, PyCode>) -> PyResult<Self> {
        let py = code.py();
        let number = |name: &str| code.getattr(name)?.extract::<usize>();
        let bytes = code.getattr("co_code")?.cast_into::<PyBytes>()?;
        let table = match code.getattr_opt("co_exceptiontable")? {
            Some(table) => Some(table.cast_into::<PyBytes>()?),
            None => None,
        };
        let free = code.getattr("co_freevars")?.len()?;
        let facts = CodeFacts::analyse(
            &CURRENT.code,
            opcode_table(py)?,
            &AskCPython,
            bytes.as_bytes(),
            table.as_ref().map_or(&[][..], |table| table.as_bytes()),
        )
        .map_err(|error: CodeError| PyRuntimeError::new_err(error.to_string()))?;
        Ok(Self {
            facts,
            slots: slot_names_of(code)?.len(),
            free,
            flags: number("co_flags")? as u32,
            positional: number("co_argcount")?,
            keyword_only: number("co_kwonlyargcount")?,
            stack_size: number("co_stacksize")?,
        })
    }
}

/// The names of the slots that a frame of `code` has before its value stack.
pub fn slot_names_of(code: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let names = |name: &str| code.getattr(name)?.extract::<Vec<String>>();
    Ok(slot_names(
        CURRENT.code.family,
        &names("co_varnames")?,
        &names("co_cellvars")?,
        &names("co_freevars")?,
    ))
}

/// The compiler's own account of what an instruction does to the stack.
struct AskCPython;

impl StackEffect for AskCPython {
    fn effect(&self, opcode: u8, argument: Option<u32>, jump: bool) -> Option<i32> {
        // SAFETY: a pure function of three numbers, exported by every libpython.
        let effect = unsafe {
            ffi::PyCompile_OpcodeStackEffectWithJump(
                opcode.into(),
                argument.unwrap_or(0) as c_int,
                jump.into(),
            )
        };
        (effect != INVALID_STACK_EFFECT).then_some(effect)
    }
}

/// `PY_INVALID_STACK_EFFECT`.
const INVALID_STACK_EFFECT: c_int = c_int::MAX;

/// The opcodes of the running interpreter, as its `opcode` module lists them.
pub fn opcode_table(py: Python<'_>) -> PyResult<&'static OpcodeTable> {
    static TABLE: PyOnceLock<OpcodeTable> = PyOnceLock::new();
    TABLE.get_or_try_init(py, || read_opcode_table(py))
}

/// Asks by feature: which opcodes take an argument is listed from 3.12 on (before, all from a certain
/// number on do), and the caches are listed by number on 3.11 and 3.12, by name after, not at all before.
/// Numbers beyond a byte are the compiler's own and never in code.
fn read_opcode_table(py: Python<'_>) -> PyResult<OpcodeTable> {
    let module = import(py, "opcode")?;
    let bytes_of = |numbers: Bound<'_, PyAny>| -> PyResult<Vec<u8>> {
        let numbers = numbers.extract::<Vec<u32>>()?;
        Ok(numbers
            .into_iter()
            .filter_map(|number| number.try_into().ok())
            .collect())
    };
    let names = module.getattr("opname")?.extract::<Vec<String>>()?;
    let with_argument = match module.getattr_opt("hasarg")? {
        Some(listed) => bytes_of(listed)?,
        None => (module.getattr("HAVE_ARGUMENT")?.extract::<u8>()?..=u8::MAX).collect(),
    };
    let caches: Vec<u8> = match module.getattr_opt("_inline_cache_entries")? {
        None => Vec::new(),
        Some(listed) => match listed.cast::<PyMapping>() {
            Ok(by_name) => {
                let units = |name: &String| match by_name.contains(name)? {
                    true => by_name.get_item(name)?.extract::<u8>(),
                    false => Ok(0),
                };
                names.iter().map(units).collect::<PyResult<_>>()?
            }
            Err(_) => listed.extract()?,
        },
    };
    OpcodeTable::new(&OpcodeModule {
        names,
        relative_jumps: bytes_of(module.getattr("hasjrel")?)?,
        absolute_jumps: bytes_of(module.getattr("hasjabs")?)?,
        with_argument,
        caches: (0..=u8::MAX)
            .zip(caches)
            .filter(|(_, units)| *units > 0)
            .collect(),
    })
    .map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

extern "C" fn forget(share: *mut c_void) {
    if !share.is_null() {
        // SAFETY: CPython gives back what `CodeInfo::of` stored, once, when the code object goes.
        unsafe { drop(Arc::from_raw(share.cast::<CodeInfo>())) };
    }
}

/// The place that the interpreter gave us in every code object (PEP 523's `co_extra`), and the address
/// of the function that it keeps for it.
pub(super) fn extra_place(py: Python<'_>) -> PyResult<(usize, usize)> {
    Ok((extra_index(py)? as usize, forget as *const () as usize))
}

fn extra_index(py: Python<'_>) -> PyResult<ffi::Py_ssize_t> {
    static INDEX: PyOnceLock<ffi::Py_ssize_t> = PyOnceLock::new();
    INDEX
        .get_or_try_init(py, || {
            // SAFETY: the GIL is held; `forget` lives as long as the process.
            match unsafe { ffi::PyUnstable_Eval_RequestCodeExtraIndex(forget) } {
                index if index < 0 => Err(PyRuntimeError::new_err(
                    "CPython has no room left for extra data in code objects",
                )),
                index => Ok(index),
            }
        })
        .copied()
}
