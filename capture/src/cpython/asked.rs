//! Sources that C code asks for their items: generators, iterators with a `__next__` of the program's, and
//! those in C that ask or call something of it, `zip` and `map` say.
//!
//! A `for`, a `yield from` and an `await` keep nothing in C, so in the recording mode their sources
//! are only looked at: which opcode the caller stands at. What else asks a source is a C function, and may be
//! one that collects; a [`Watcher`] is told of it.

use super::activations::Activations;
use super::codeobject::{self, CodeInfo};
use super::frame::RunningFrame;
use super::page::PAGE;
use super::thread::ThreadState;
use super::{CurrentFrame, Executing, GeneratorFrame, Instruction, Owner, CURRENT};
use crate::code::Op;
use core::cell::Cell;
use core::ffi::{c_char, c_int, c_void};
use core::mem::offset_of;
use core::ptr::{null_mut, NonNull};
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use pyo3::ffi;
use pyo3::prelude::*;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::OnceLock;

/// A source and who asks it, by addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asking {
    /// The frame of a generator, or another iterator.
    pub source: usize,
    /// The frame that has called the C code.
    pub caller: usize,
    /// The opcode that the caller stands at.
    pub at: usize,
}

impl Asking {
    /// That a source is asked by C code which this caller is calling.
    pub fn between(source: usize, caller: RunningFrame<'_>) -> Self {
        // SAFETY: a frame of the program's, which waits, stands at an instruction of its code.
        let at = unsafe { opcode_of(caller.address.raw().cast()) };
        Self {
            source,
            caller: caller.id(),
            at: at as usize,
        }
    }
}

/// Who wants to know what sources give to C code. What it is asked often must not panic, and runs no
/// code of the program's.
pub trait Watcher: Sync {
    /// From now on it is asked, or no longer. These frames wait meanwhile, of whatever they have called.
    fn begins(&self, waiting: Vec<Asking>);
    /// Whether it wants to know what the source gives, if that is known from before.
    fn known(&self, asking: Asking) -> Option<bool>;
    /// The same, to be found out; whether the source is known to be asked for its first item.
    fn wants<'py>(&self, py: Python<'py>, asking: Asking, begins: bool, caller: RunningFrame<'py>) -> bool;
    /// A source has given these items.
    fn gave(&self, py: Python<'_>, source: usize, items: Vec<Py<PyAny>>);
    /// It is over, or an exception is thrown into it; code of the program's may run.
    fn ended(&self, py: Python<'_>, source: usize);
}

/// The one there is, from the first time that the recording mode is on.
static WATCHER: OnceLock<&'static dyn Watcher> = OnceLock::new();

/// The recording mode is on from now on, or no longer.
pub(super) fn begin(py: Python<'_>, watcher: &'static dyn Watcher) {
    let watcher = *WATCHER.get_or_init(|| watcher);
    let made = codeobject::opcode_table(py)
        .ok()
        .and_then(|table| table.opcode(Op::ReturnGenerator));
    RETURN_GENERATOR.store(made.unwrap_or(0), Ordering::Relaxed);
    turn_page(py);
    watcher.begins(waiting_frames(py));
}

/// Frames are only watched while there is somebody who does.
fn watcher() -> &'static dyn Watcher {
    WATCHER.get().copied().unwrap_or(&Nobody)
}

/// Wants to know nothing.
struct Nobody;

impl Watcher for Nobody {
    fn begins(&self, _waiting: Vec<Asking>) {}

    fn known(&self, _asking: Asking) -> Option<bool> {
        Some(false)
    }

    fn wants<'py>(&self, _: Python<'py>, _: Asking, _: bool, _: RunningFrame<'py>) -> bool {
        false
    }

    fn gave(&self, _: Python<'_>, _: usize, _: Vec<Py<PyAny>>) {}

    fn ended(&self, _: Python<'_>, _: usize) {}
}

/// Opcodes, by their number in code that runs, which have turned out to be those of an evaluator that
/// asks a source itself. Specialised ones have numbers of their own.
static ASKS_ITSELF: [AtomicBool; 256] = [const { AtomicBool::new(false) }; 256];

thread_local! {
    /// Whether the calling thread looks at an opcode or at what a frame calls.
    static LOOKS: Cell<bool> = const { Cell::new(false) };
}

/// From here on numbers are of instrumented opcodes, some of which stand for any other.
const INSTRUMENTED: u8 = 230;

/// The frames that wait on all threads, with the opcodes that they stand at.
fn waiting_frames(py: Python<'_>) -> Vec<Asking> {
    let mut waiting = Vec::new();
    for thread in ThreadState::all(py) {
        let mut next = thread.frame();
        while let Some(frame) = next {
            waiting.push(Asking::between(frame.id(), frame));
            next = frame.back();
        }
    }
    waiting
}

/// Whether a frame is that of a generator.
///
/// # Safety
/// It is one that CPython gave its evaluator.
#[inline(always)]
pub(super) unsafe fn is_of_generator(frame: *mut c_void) -> bool {
    // SAFETY: the frame is live, laid out as the checked layout says.
    unsafe {
        match CURRENT.frame.owner {
            Owner::Field { generator, .. } => {
                let owner = frame.cast::<u8>().add(generator).cast::<*mut u8>();
                !owner.read().is_null()
            }
            Owner::Byte { offset, .. } => frame.cast::<u8>().add(offset).cast::<c_char>().read() == 1,
        }
    }
}

/// The frame that a frame which is to be evaluated returns to, if there is one.
///
/// # Safety
/// The arguments are those that CPython gave its evaluator, and the GIL is held.
#[inline(always)]
pub(super) unsafe fn caller_of(thread: *mut ffi::PyThreadState, frame: *mut c_void) -> Option<NonNull<u8>> {
    // SAFETY: the thread state and the frame are live, laid out as the checked layout says.
    unsafe {
        NonNull::new(match CURRENT.frame.owner {
            // Set before the evaluator is called, gen_send_ex does so for a generator (up to 3.10).
            Owner::Field { .. } => frame
                .cast::<u8>()
                .add(CURRENT.frame.back)
                .cast::<*mut u8>()
                .read(),
            Owner::Byte { .. } => current_frame(thread),
        })
    }
}

/// That the caller asks a source, if it is C code that does.
///
/// # Safety
/// The caller is live, stands at an instruction, and the GIL is held.
#[inline(always)]
pub(super) unsafe fn asked_by_c(caller: NonNull<u8>, source: usize) -> Option<Asking> {
    // SAFETY: as the caller promises; the opcode is one of code that runs.
    unsafe {
        let at = opcode_of(caller.as_ptr());
        let itself = ASKS_ITSELF[usize::from(at.read())].load(Ordering::Relaxed);
        (!itself).then_some(Asking {
            source,
            caller: caller.as_ptr() as usize,
            at: at as usize,
        })
    }
}

/// The frame that the calling thread runs.
///
/// # Safety
/// The GIL is held.
pub(super) unsafe fn running() -> Option<NonNull<u8>> {
    // SAFETY: as the caller promises.
    NonNull::new(unsafe { current_frame(null_mut()) })
}

/// `RETURN_GENERATOR`, once it is known (3.11 and later).
static RETURN_GENERATOR: AtomicU8 = AtomicU8::new(0);

/// Whether a generator that is to be evaluated has not begun yet.
///
/// # Safety
/// The frame is that of a generator which CPython gave its evaluator.
#[inline(always)]
pub(super) unsafe fn begins(frame: *mut c_void) -> bool {
    let frame = frame.cast::<u8>();
    let is_made = |opcode: u8| opcode == RETURN_GENERATOR.load(Ordering::Relaxed);
    // SAFETY: the frame is live, laid out as the checked layout says; before the instruction that comes next
    // there is the one that has made the generator.
    unsafe {
        match CURRENT.frame.instruction {
            Instruction::LastByte(offset) | Instruction::LastNumber(offset) => {
                frame.add(offset).cast::<c_int>().read() < 0
            }
            Instruction::LastUnit(offset) => is_made(frame.add(offset).cast::<*const u8>().read().read()),
            Instruction::InProgress(offset) => {
                is_made(frame.add(offset).cast::<*const u8>().read().sub(2).read())
            }
        }
    }
}

/// The frame that a thread has as its current one.
///
/// # Safety
/// The thread state is live, NULL stands for the calling thread's, and the GIL is held.
#[inline(always)]
unsafe fn current_frame(thread: *mut ffi::PyThreadState) -> *mut u8 {
    // SAFETY: as the caller promises.
    unsafe {
        let thread = match thread.is_null() {
            true => ffi::PyThreadState_Get().cast::<u8>(), // 3.8 does not give it
            false => thread.cast::<u8>(),
        };
        match CURRENT.thread.current {
            CurrentFrame::Direct(offset) => thread.add(offset).cast::<*mut u8>().read(),
            CurrentFrame::Through { pointer, field } => {
                let holder = thread.add(pointer).cast::<*mut u8>().read();
                holder.add(field).cast::<*mut u8>().read()
            }
        }
    }
}

/// Where the opcode is that a frame stands at.
///
/// # Safety
/// The frame is live, and stands at an instruction of its code.
#[inline(always)]
unsafe fn opcode_of(frame: *mut u8) -> *const u8 {
    // SAFETY: the code lives as long as the frame that runs it.
    unsafe {
        match CURRENT.frame.instruction {
            Instruction::LastByte(offset) => in_bytes(frame, frame.add(offset).cast::<c_int>().read()),
            Instruction::LastNumber(offset) => in_bytes(frame, 2 * frame.add(offset).cast::<c_int>().read()),
            Instruction::LastUnit(offset) | Instruction::InProgress(offset) => {
                frame.add(offset).cast::<*const u8>().read()
            }
        }
    }
}

/// Where a byte is of the code that a frame runs, up to 3.10.
///
/// # Safety
/// As above.
#[inline(always)]
unsafe fn in_bytes(frame: *mut u8, at: c_int) -> *const u8 {
    let Some(code_bytes) = CURRENT.code_object.bytes else {
        unreachable!("frames have numbers where code is a bytes object")
    };
    // SAFETY: the code and its bytes live as long as the frame that runs it.
    unsafe {
        let code = frame.add(CURRENT.frame.code).cast::<*mut u8>().read();
        let bytes = code.add(code_bytes).cast::<*mut u8>().read();
        let text = bytes.add(offset_of!(ffi::PyBytesObject, ob_sval));
        text.add(at.max(0) as usize)
    }
}

/// Hands over what is on the page.
pub fn turn_page(py: Python<'_>) {
    let source = PAGE.source();
    let items = PAGE.take(py);
    if !items.is_empty() {
        watcher().gave(py, source, items);
    }
}

/// Gives up references at once, as an evaluator is not known to hold the GIL. Code of the program's may run.
pub fn let_go(py: Python<'_>, items: Vec<Py<PyAny>>) {
    for item in items {
        drop(item.into_bound(py));
    }
}

/// A source is over: what it gave is of no interest any more.
fn end(py: Python<'_>, source: usize) {
    let raised = PyErr::take(py);
    let given = match PAGE.source() == source {
        true => PAGE.take(py),
        false => Vec::new(),
    };
    watcher().ended(py, source);
    let_go(py, given);
    if let Some(raised) = raised {
        raised.restore(py);
    }
}

/// Whether what the source gives is being written down.
#[inline(always)]
pub(super) fn is_noted(asking: Asking) -> bool {
    PAGE.is_of(asking)
}

/// The same, or whether the watcher wants it to be, of a source that does not tell when it begins.
#[inline(always)]
pub(super) fn is_to_be_noted(asking: Asking) -> bool {
    is_noted(asking) || enter(asking, Does::GoesOn)
}

/// What a source does that is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// It gives its first item.
    Begins,
    /// It gives one, perhaps the first.
    GoesOn,
    /// It has an exception thrown into it.
    Throws,
}

/// Sources in C that are being asked, which may ask others for what they give.
static INSIDE: Activations<Asking> = Activations::new();

/// Asks a source in C for its next item; what it asks itself is of no interest.
///
/// # Safety
/// It is an object that whoever asks holds. The GIL is held, before and after.
pub(super) unsafe fn inside<T>(asking: Asking, ask: impl FnOnce() -> T) -> T {
    // SAFETY: as the caller promises.
    unsafe { INSIDE.during(asking, ask) }
}

/// Who asks a source in C by this caller's C code.
///
/// # Safety
/// The GIL is held.
unsafe fn asking_inside(caller: usize) -> Option<Asking> {
    // SAFETY: as the caller promises.
    unsafe { INSIDE.find(|asking| asking.caller == caller) }
}

/// The source in C that a caller's C code asks, if what it gives is written down.
pub fn source_asked<'py>(py: Python<'py>, caller: RunningFrame<'py>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: the GIL is held; whoever asks holds the object, and has not returned.
    unsafe { Bound::from_borrowed_ptr_or_opt(py, asking_inside(caller.id())?.source as *mut ffi::PyObject) }
}

/// Whether the watcher wants to know what the source gives that is asked.
#[inline(never)]
pub(super) fn enter(asking: Asking, does: Does) -> bool {
    // SAFETY: an evaluator is called with the GIL held.
    if unsafe { asking_inside(asking.caller) }.is_some() {
        return false;
    }
    match watcher().known(asking) {
        Some(wanted) if does == Does::GoesOn || !wanted && does == Does::Begins => wanted,
        _ => look(asking, does),
    }
}

#[cold]
fn look(asking: Asking, does: Does) -> bool {
    // SAFETY: an evaluator is called with the GIL held.
    let py = unsafe { Python::assume_attached() };
    let looked = catch_unwind(AssertUnwindSafe(|| {
        if does != Does::GoesOn {
            // Another one of before, perhaps, which had the same address.
            end(py, asking.source);
        }
        if does == Does::Throws {
            return false;
        }
        // SAFETY: the caller is live, and cannot return while we run.
        let current = unsafe { RunningFrame::from_raw(asking.caller as *mut c_void) };
        let Some(caller) = current.filter(|frame| frame.or_below() == current) else {
            return false;
        };
        learn(caller) == Some(false) && watcher().wants(py, asking, does == Does::Begins, caller)
    }));
    looked.unwrap_or(false)
}

/// Learns what the caller's opcode is; whether it asks its source itself. `None` if that is not known,
/// or if we look at another one: to look takes Python code, whose generators are of no interest.
fn learn(caller: RunningFrame<'_>) -> Option<bool> {
    if LOOKS.replace(true) {
        return None;
    }
    let learnt = || {
        let info = CodeInfo::of(&caller.code()).ok()?;
        let unit = u32::try_from(caller.raw_instruction()).ok()?;
        let instruction = info.facts.instruction_covering(unit)?;
        let asks_itself = matches!(instruction.op, Op::ForIter | Op::Send | Op::YieldFrom);
        // SAFETY: a frame of the program's, as this is, stands at an instruction of its code.
        let opcode = unsafe { opcode_of(caller.address.raw().cast()).read() };
        // At the prefix of an instruction with a long argument there is another opcode.
        if asks_itself && opcode < INSTRUMENTED && instruction.unit == unit {
            ASKS_ITSELF[usize::from(opcode)].store(true, Ordering::Relaxed);
        }
        Some(asks_itself)
    };
    let learnt = learnt();
    LOOKS.set(false);
    learnt
}

/// Writes an item down that a source has given, to whom [`running`] is now; NULL is its end, or that it has
/// failed.
///
/// # Safety
/// The object is live, and the GIL is held.
#[inline(always)]
pub(super) unsafe fn note(source: usize, item: *mut ffi::PyObject) {
    if item.is_null() {
        return over(source);
    }
    // SAFETY: as the caller promises; the page gets a reference of its own, at a place that it has.
    unsafe {
        if PAGE.source() != source || PAGE.is_full() {
            turn_to(source);
        }
        PAGE.note(item);
    }
}

/// Another page, for this source.
///
/// # Safety
/// The GIL is held.
#[cold]
unsafe fn turn_to(source: usize) {
    // SAFETY: as the caller promises; whoever asked stands at an instruction.
    let (py, asking) = unsafe {
        let asking = running().map(|caller| Asking {
            source,
            caller: caller.as_ptr() as usize,
            at: opcode_of(caller.as_ptr()) as usize,
        });
        (Python::assume_attached(), asking)
    };
    turn_page(py);
    // With nobody there, which cannot be, it is nobody's page.
    PAGE.begin(asking.unwrap_or(Asking {
        source: 0,
        caller: 0,
        at: 0,
    }));
}

/// A source has come to its end, or has failed.
#[cold]
fn over(source: usize) {
    // SAFETY: an evaluator is called with the GIL held.
    let py = unsafe { Python::assume_attached() };
    // What is not noted is missed when the program is to move, and nowhere else.
    let _panicked = catch_unwind(AssertUnwindSafe(|| end(py, source)));
}

/// Whether a generator's frame has come to a yield, and waits there.
///
/// # Safety
/// The frame is live, and so is its generator.
#[inline(always)]
pub(super) unsafe fn is_suspended(frame: *const u8) -> bool {
    // SAFETY: as the caller promises; a frame with an owner byte lies inside its generator.
    unsafe {
        match (CURRENT.frame.owner, CURRENT.generator.frame) {
            (
                Owner::Field {
                    executing: Executing::State { offset, states },
                    ..
                },
                _,
            ) => frame.add(offset).cast::<i8>().read() == states.suspended,
            // The place of the top is stored for as long as the frame waits, and no longer.
            (Owner::Field { .. }, _) => {
                let super::Depth::Top(offset) = CURRENT.frame.depth else {
                    return false;
                };
                frame.add(offset).cast::<usize>().read() != 0
            }
            (
                _,
                GeneratorFrame::Inside {
                    frame: inside,
                    state,
                    states,
                },
            ) => {
                let now = frame.sub(inside).add(state).cast::<i8>().read();
                now == states.suspended || now == states.delegating
            }
            _ => false,
        }
    }
}
