//! Is the interpreter the one that the layouts were written for?
//!
//! Asked once, before anything is read through a layout in earnest and before anything is written.
//! First what the interpreter says of itself, then every offset that something public can confirm:
//! what lies there must be what the public way gives. Nothing is followed that was not confirmed.

use super::ffi::{_PyRuntime, PyInterpreterState_Get};
use super::frame::Address;
use super::frame_objects::FRAME_OF_OBJECT;
use super::modules::import;
use super::thread::ThreadState;
use super::{
    codeobject, Activation, CurrentFrame, Depth, EvalFrame, Executing, GeneratorFrame, Instruction, Layout,
    Owner, Recursion, Words, CURRENT,
};
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCode, PyDict, PyModule};
use std::ffi::CString;

/// Why this interpreter is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// Another implementation, another release.
    #[error("this build of pyteleport is for CPython {wanted}, and this is {found}")]
    Release {
        /// What the build is for.
        wanted: String,
        /// What runs.
        found: String,
    },
    /// A kind of build whose structs differ.
    #[error("pyteleport does not work on a {kind} build of CPython")]
    Build {
        /// Which kind.
        kind: &'static str,
    },
    /// A field is not where it should be.
    #[error("the structs of this CPython are not those of {release}: {field} is not where it should be")]
    Layout {
        /// The release of the layout.
        release: String,
        /// The field.
        field: &'static str,
    },
    /// CPython raised an exception.
    #[error("{0}")]
    Python(#[from] PyErr),
}

/// Checks the running interpreter against [`CURRENT`], once.
pub fn interpreter(py: Python<'_>) -> Result<(), CheckError> {
    static CHECKED: PyOnceLock<()> = PyOnceLock::new();
    if CHECKED.get(py).is_none() {
        build(py, CURRENT)?;
        layout(py, CURRENT)?;
        // Somebody else may have checked meanwhile: with the same result.
        let _same = CHECKED.set(py, ());
    }
    Ok(())
}

/// What the interpreter says of itself.
fn build(py: Python<'_>, layout: &Layout) -> Result<(), CheckError> {
    let sys = import(py, "sys")?;
    let name = sys
        .getattr("implementation")?
        .getattr("name")?
        .extract::<String>()?;
    let version = py.version_info();
    let release = layout.release;
    if name != "cpython" || (version.major, version.minor) != (release.major, release.minor) {
        return Err(CheckError::Release {
            wanted: format!("{}.{}", release.major, release.minor),
            found: format!("{name} {}.{}.{}", version.major, version.minor, version.patch),
        });
    }
    if sys.hasattr("gettotalrefcount")? {
        return Err(CheckError::Build { kind: "debug" });
    }
    if sys.getattr("abiflags")?.extract::<String>()?.contains('t') {
        return Err(CheckError::Build {
            kind: "free-threaded",
        });
    }
    Ok(())
}

/// A generator that stands at its yield. No two of the things that are compared are equal by chance:
/// the name differs from the qualified one, the line from the offset.
const PROBE: &str = "




class Probe:
    def waits(argument):
        got = (argument, (yield argument))
";

/// What the public ways give, compared with what lies where the layout says.
pub fn layout(py: Python<'_>, layout: &Layout) -> Result<(), CheckError> {
    let release = format!("{}.{}", layout.release.major, layout.release.minor);
    let wrong = |field| CheckError::Layout {
        release: release.clone(),
        field,
    };
    let same = |field, found: usize, wanted: usize| match found == wanted {
        true => Ok(()),
        false => Err(wrong(field)),
    };

    published(layout, &wrong)?;
    eval_frame(py, layout, &wrong)?;

    // A suspended generator: everything in it is at rest, and public attributes name it all.
    let source = CString::new(PROBE).unwrap_or_default();
    let module = PyModule::from_code(py, &source, c"<probe>", c"pyteleport.probe")?;
    let argument = PyDict::new(py).into_any();
    let function = module.getattr("Probe")?.getattr("waits")?;
    let generator = function.call1((&argument,))?;
    generator.call_method0("__next__")?;
    let code = function
        .getattr("__code__")?
        .cast_into::<PyCode>()
        .map_err(PyErr::from)?;
    let at = Address::of(&generator);
    let frame = match layout.generator.frame {
        GeneratorFrame::Pointer { frame, running } => {
            same(
                "gi_frame",
                at.get(frame),
                address_of(&generator.getattr("gi_frame")?),
            )?;
            if let Some(running) = running {
                same("gi_running", at.get::<u8>(running).into(), 0)?;
            }
            Address::new(at.get::<*mut c_void>(frame)).ok_or_else(|| wrong("gi_frame"))?
        }
        GeneratorFrame::Inside { frame, state, states } => {
            same(
                "gi_frame_state",
                at.get::<i8>(state) as usize,
                states.suspended as usize,
            )?;
            Address::new(at.at(frame)).ok_or_else(|| wrong("gi_iframe"))?
        }
    };
    same(
        "gi_exc_state",
        at.get(layout.generator.handled + layout.handled.value),
        0,
    )?;
    same(
        "f_code",
        word(layout, frame, layout.frame.code),
        address_of(&code),
    )?;
    same(
        "f_globals",
        frame.get(layout.frame.globals),
        address_of(&function.getattr("__globals__")?),
    )?;
    if let Some(offset) = layout.frame.function {
        same("f_func", word(layout, frame, offset), address_of(&function))?;
    }
    same(
        "f_localsplus",
        word(layout, frame, layout.frame.slots),
        address_of(&argument),
    )?;
    match layout.frame.owner {
        Owner::Field {
            generator: field,
            executing,
        } => {
            same("f_gen", frame.get(field), address_of(&generator))?;
            match executing {
                Executing::Flag(offset) => same("f_executing", frame.get::<u8>(offset).into(), 0)?,
                Executing::State { offset, states } => {
                    same(
                        "f_state",
                        frame.get::<i8>(offset) as usize,
                        states.suspended as usize,
                    )?;
                }
            }
        }
        Owner::Byte { offset, .. } => same("owner", frame.get::<u8>(offset).into(), 1)?,
    }
    // `argument` and `got`; `argument` once more on the value stack.
    let (slots, depth) = (2, 1);
    match layout.frame.depth {
        Depth::Top(offset) => {
            let top = frame.at::<u8>(layout.frame.slots) as usize + 8 * (slots + depth);
            same("f_stacktop", frame.get(offset), top)?;
        }
        Depth::Count(offset) => same("f_stackdepth", frame.get::<c_int>(offset) as usize, depth)?,
        Depth::CountWithLocals(offset) => {
            same("stacktop", frame.get::<c_int>(offset) as usize, slots + depth)?;
        }
    }
    same(
        "co_name",
        Address::of(&code).get(layout.code_object.name),
        address_of(&code.getattr("co_name")?),
    )?;
    if let Some(offset) = layout.code_object.bytes {
        let bytes = address_of(&code.getattr("co_code")?);
        same("co_code", Address::of(&code).get(offset), bytes)?;
    }
    let last = generator
        .getattr("gi_frame")?
        .getattr("f_lasti")?
        .extract::<i32>()?;
    match layout.frame.instruction {
        Instruction::LastByte(offset) => {
            same("f_lasti", frame.get::<c_int>(offset) as usize, last as usize)?;
        }
        Instruction::LastNumber(offset) => {
            same("f_lasti", frame.get::<c_int>(offset) as usize, last as usize / 2)?;
        }
        Instruction::LastUnit(offset) | Instruction::InProgress(offset) => {
            let start = layout
                .code_object
                .instructions
                .ok_or_else(|| wrong("co_code_adaptive"))?;
            let place = address_of(&code) + start + last as usize;
            same("the instruction pointer", frame.get(offset), place)?;
        }
    }

    running(py, layout, &wrong)
}

/// The same for the thread and its innermost frame.
fn running(
    py: Python<'_>,
    layout: &Layout,
    wrong: &dyn Fn(&'static str) -> CheckError,
) -> Result<(), CheckError> {
    let thread = ThreadState::current(py);
    let state = Address::new(thread.raw().cast()).ok_or_else(|| wrong("the thread state"))?;
    let limit = import(py, "sys")?
        .call_method0("getrecursionlimit")?
        .extract::<c_int>()?;
    let (count, stored) = match layout.thread.recursion {
        Recursion::Depth(offset) => (state.get::<c_int>(offset), limit),
        Recursion::Remaining { count, limit } => (state.get(count), state.get(limit)),
    };
    if stored != limit || !(0..=limit).contains(&count) {
        return Err(wrong("the recursion count"));
    }

    // SAFETY: the GIL is held; the result is borrowed, NULL where no Python frame runs.
    let object = Address::new(unsafe { ffi::PyEval_GetFrame() }.cast());
    if let Some(object) = object {
        let current: usize = match layout.thread.current {
            CurrentFrame::Direct(offset) => state.get(offset),
            CurrentFrame::Through { pointer, field } => {
                let holder = plausible(state.get(pointer)).ok_or_else(|| wrong("cframe"))?;
                holder.get(field)
            }
        };
        let expected = match layout.frame.frame_object {
            None => object.raw() as usize,
            Some(_) => object.get(FRAME_OF_OBJECT),
        };
        if current != expected {
            return Err(wrong("the current frame"));
        }
        if let Activation::Flag(offset) = layout.frame.activation {
            let frame = Address::new(current as *mut c_void).ok_or_else(|| wrong("the frame"))?;
            if frame.get::<u8>(offset) > 1 {
                return Err(wrong("is_entry"));
            }
        }
    }

    // What is set as the handled exception must be found in the item that exc_info points to.
    let item = plausible(state.get(layout.thread.exc_info)).ok_or_else(|| wrong("exc_info"))?;
    // Made by its class: a `PyErr` would be made into one only where the interpreter says that it is
    // initialized, and 3.15 says so after the startup files have run, one of which may call us.
    let value = py.get_type::<PyRuntimeError>().call1(("probe",))?;
    let (mut kind, mut old, mut traceback) = (null_mut(), null_mut(), null_mut());
    // SAFETY: the GIL is held. The first call gives references, the others take them: what was
    // handled before is put back whole, the exception made here goes again.
    let found: usize = unsafe {
        ffi::PyErr_GetExcInfo(&mut kind, &mut old, &mut traceback);
        let class = value.get_type().into_any().into_ptr();
        ffi::PyErr_SetExcInfo(class, value.clone().into_ptr(), null_mut());
        let found = item.get(layout.handled.value);
        ffi::PyErr_SetExcInfo(kind, old, traceback);
        found
    };
    if found != address_of(&value) {
        return Err(wrong("exc_info"));
    }
    Ok(())
}

/// The address in a word that refers to an object.
fn word(layout: &Layout, frame: Address, offset: usize) -> usize {
    let word: usize = frame.get(offset);
    match layout.frame.words {
        Words::Pointers => word,
        Words::StackRefs => word & !0b11,
    }
}

/// What the interpreter publishes of its structs for debuggers (3.13 and later: `_Py_DebugOffsets`,
/// Include/internal/pycore_debug_offsets.h) must be what the layout says.
fn published(layout: &Layout, wrong: &dyn Fn(&'static str) -> CheckError) -> Result<(), CheckError> {
    if layout.published.is_empty() {
        return Ok(());
    }
    let Some(table) = Address::new((&raw mut _PyRuntime).cast()) else {
        return Err(wrong("_PyRuntime"));
    };
    let version: u64 = table.get(8);
    let release = (version >> 24, version >> 16 & 0xff);
    if table.get::<[u8; 8]>(0) != *b"xdebugpy"
        || release != (layout.release.major.into(), layout.release.minor.into())
    {
        return Err(wrong("the table of debug offsets"));
    }
    for &(field, number, offset) in layout.published {
        if table.get::<u64>(8 * number) != offset as u64 {
            return Err(wrong(field));
        }
    }
    Ok(())
}

/// Where the eval-frame function is kept. Anybody may have set another one, so what is confirmed is
/// what lies behind the field: how many places in code objects were given out, and the functions
/// that free what is there, one of them ours.
fn eval_frame(
    py: Python<'_>,
    layout: &Layout,
    wrong: &dyn Fn(&'static str) -> CheckError,
) -> Result<(), CheckError> {
    let confirmed = match layout.eval_frame {
        EvalFrame::Functions => {
            // SAFETY: looks a name up.
            let found = unsafe {
                libc::dlsym(
                    libc::RTLD_DEFAULT,
                    c"_PyInterpreterState_GetEvalFrameFunc".as_ptr(),
                )
            };
            !found.is_null()
        }
        EvalFrame::Field(offset) => {
            let (place, function) = codeobject::extra_place(py)?;
            // SAFETY: the GIL is held, so there is an interpreter.
            let interpreter = Address::new(unsafe { PyInterpreterState_Get() }.cast());
            let interpreter = interpreter.ok_or_else(|| wrong("the interpreter state"))?;
            let (count, functions) = (offset + 8, offset + 16);
            interpreter.get::<usize>(count) > place
                && interpreter.get::<usize>(functions + 8 * place) == function
        }
    };
    confirmed.then_some(()).ok_or_else(|| wrong("eval_frame"))
}

/// An address that could be one.
fn plausible(address: usize) -> Option<Address> {
    let aligned = address % core::mem::align_of::<usize>() == 0;
    Address::new(address as *mut c_void).filter(|_| aligned && address > 0xffff)
}

fn address_of(object: &Bound<'_, PyAny>) -> usize {
    object.as_ptr() as usize
}
