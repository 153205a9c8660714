//! Generators that C code asks for their items.
//!
//! A `for`, a `yield from` and an `await` keep nothing in C, so in the recording mode their generators
//! are only looked at: whose frame it is, and which opcode its caller stands at. What else resumes a
//! generator is a C function, and may be one that collects; a [`Watcher`] is told of it.

use super::codeobject::CodeInfo;
use super::frame::RunningFrame;
use super::thread::ThreadState;
use super::{CurrentFrame, Instruction, Owner, CURRENT};
use crate::code::Op;
use core::cell::Cell;
use core::ffi::{c_char, c_int, c_void};
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, Ordering};
use pyo3::ffi;
use pyo3::prelude::*;

/// Who wants to know what generators give to C code.
pub trait Watcher {
    /// The answer of [`asked`](Self::asked), if it is known from before.
    fn known(frame: RunningFrame<'_>, caller: RunningFrame<'_>) -> Option<bool>;
    /// Generator frame `frame` is asked by C code that `caller` has called. Whether to be told what it gives.
    fn asked<'py>(py: Python<'py>, frame: RunningFrame<'py>, caller: RunningFrame<'py>) -> bool;
    /// It has given an item.
    fn gave<'py>(frame: RunningFrame<'py>, item: &Bound<'py, PyAny>);
    /// It is over, or an exception is thrown into it.
    fn ended(py: Python<'_>, frame: RunningFrame<'_>);
}

/// Opcodes, by their number in code that runs, which have turned out to be those of an evaluator that
/// asks a generator itself. Specialised ones have numbers of their own.
static ASKS_ITSELF: [AtomicBool; 256] = [const { AtomicBool::new(false) }; 256];

thread_local! {
    /// Whether the calling thread looks at an opcode or at what a frame calls.
    static LOOKS: Cell<bool> = const { Cell::new(false) };
}

/// From here on numbers are of instrumented opcodes, some of which stand for any other.
const INSTRUMENTED: u8 = 230;

/// Whether this is the frame of a generator that C code asks for an item.
///
/// # Safety
/// The arguments are those that CPython gave its evaluator, and the GIL is held.
#[inline(always)]
pub(super) unsafe fn is_asked_by_c(thread: *mut ffi::PyThreadState, frame: *mut c_void) -> bool {
    // SAFETY: the frame and the thread state are live, laid out as the checked layout says.
    unsafe {
        let frame = frame.cast::<u8>();
        let is_generator = match CURRENT.frame.owner {
            Owner::Field { generator, .. } => !frame.add(generator).cast::<*mut u8>().read().is_null(),
            Owner::Byte { offset, .. } => frame.add(offset).cast::<c_char>().read() == 1,
        };
        is_generator && !asks_itself(thread)
    }
}

/// Whether the current frame stands at an opcode that asks its generator itself.
///
/// # Safety
/// As above.
#[inline(always)]
unsafe fn asks_itself(thread: *mut ffi::PyThreadState) -> bool {
    // SAFETY: the current frame of a thread is live, and points into the code that it runs.
    unsafe {
        let thread = match thread.is_null() {
            true => ffi::PyThreadState_Get().cast::<u8>(), // 3.8 does not give it
            false => thread.cast::<u8>(),
        };
        let caller: *mut u8 = match CURRENT.thread.current {
            CurrentFrame::Direct(offset) => thread.add(offset).cast::<*mut u8>().read(),
            CurrentFrame::Through { pointer, field } => {
                let holder = thread.add(pointer).cast::<*mut u8>().read();
                holder.add(field).cast::<*mut u8>().read()
            }
        };
        if caller.is_null() {
            return true; // nobody is there whose C code could be resumed
        }
        let opcode = match CURRENT.frame.instruction {
            Instruction::LastByte(offset) => in_bytes(caller, caller.add(offset).cast::<c_int>().read()),
            Instruction::LastNumber(offset) => {
                in_bytes(caller, 2 * caller.add(offset).cast::<c_int>().read())
            }
            Instruction::LastUnit(offset) | Instruction::InProgress(offset) => {
                caller.add(offset).cast::<*const u8>().read()
            }
        };
        ASKS_ITSELF[usize::from(opcode.read())].load(Ordering::Relaxed)
    }
}

/// Where the opcode is at a byte of the code that a frame runs, up to 3.10.
///
/// # Safety
/// The frame is live, and stands at an instruction.
#[inline(always)]
unsafe fn in_bytes(frame: *mut u8, at: c_int) -> *const u8 {
    let Some(code_bytes) = CURRENT.code_object.bytes else {
        unreachable!("frames have numbers where code is a bytes object")
    };
    // SAFETY: the code and its bytes live as long as the frame that runs it.
    unsafe {
        let code = frame.add(CURRENT.frame.code).cast::<*mut u8>().read();
        let bytes = code.add(code_bytes).cast::<*mut u8>().read();
        bytes
            .add(offset_of!(ffi::PyBytesObject, ob_sval))
            .offset(at.max(0) as isize)
    }
}

/// Learns what the caller's opcode is; whether it asks its generator itself.
fn learn(caller: RunningFrame<'_>) -> Option<bool> {
    let info = CodeInfo::of(&caller.code()).ok()?;
    let unit = u32::try_from(caller.raw_instruction()).ok()?;
    let instruction = info.facts.instruction_covering(unit)?;
    let asks_itself = matches!(instruction.op, Op::ForIter | Op::Send | Op::YieldFrom);
    // SAFETY: a frame of the program's, as this is, stands at an instruction of its code.
    let opcode = unsafe {
        let frame: *mut u8 = caller.address.raw().cast();
        match CURRENT.frame.instruction {
            Instruction::LastByte(_) | Instruction::LastNumber(_) => *in_bytes(frame, 2 * unit as c_int),
            Instruction::LastUnit(offset) | Instruction::InProgress(offset) => {
                *frame.add(offset).cast::<*const u8>().read()
            }
        }
    };
    // At the prefix of an instruction with a long argument there is another opcode.
    if asks_itself && opcode < INSTRUMENTED && instruction.unit == unit {
        ASKS_ITSELF[usize::from(opcode)].store(true, Ordering::Relaxed);
    }
    Some(asks_itself)
}

/// Whether the watcher wants to know what this frame gives.
pub(super) fn enter<W: Watcher>(py: Python<'_>, frame: RunningFrame<'_>, throw: bool) -> bool {
    if throw {
        W::ended(py, frame);
        return false;
    }
    let Some(caller) = ThreadState::current(py).frame() else {
        return false;
    };
    W::known(frame, caller).unwrap_or_else(|| {
        // To look takes Python code, whose generators are of no interest.
        let is_nested = LOOKS.replace(true);
        let is_asked = !is_nested && learn(caller) == Some(false) && W::asked(py, frame, caller);
        LOOKS.set(is_nested);
        is_asked
    })
}

/// Tells the watcher what came: an item, the end or an exception.
///
/// # Safety
/// The result is what the evaluator gave for the frame, which is one of a generator that somebody holds.
pub(super) unsafe fn leave<W: Watcher>(py: Python<'_>, frame: RunningFrame<'_>, result: *mut ffi::PyObject) {
    // SAFETY: as the caller promises.
    let item = unsafe { Bound::from_borrowed_ptr_or_opt(py, result) };
    match item.filter(|_| frame.is_suspended()) {
        Some(item) => W::gave(frame, &item),
        None => {
            // What goes with the items may run code of the program.
            let raised = PyErr::take(py);
            W::ended(py, frame);
            if let Some(raised) = raised {
                raised.restore(py);
            }
        }
    }
}
