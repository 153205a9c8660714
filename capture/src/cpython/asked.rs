//! Generators that C code asks for their items.
//!
//! A `for`, a `yield from` and an `await` keep nothing in C, so in the recording mode their generators
//! are only looked at: whose frame it is, and which opcode its caller stands at. What else resumes a
//! generator is a C function, and may be one that collects; a [`Watcher`] is told of it.

use super::codeobject::CodeInfo;
use super::frame::RunningFrame;
use super::thread::ThreadState;
use super::{CurrentFrame, Executing, GeneratorFrame, Instruction, Owner, CURRENT};
use crate::code::Op;
use core::cell::Cell;
use core::ffi::{c_char, c_int, c_void};
use core::mem::offset_of;
use core::ptr::{null_mut, slice_from_raw_parts_mut};
use core::sync::atomic::{AtomicBool, Ordering};
use pyo3::ffi;
use pyo3::prelude::*;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::OnceLock;

/// A generator and who asks it, by addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asking {
    /// The generator's frame.
    pub generator: usize,
    /// The frame that has called the C code.
    pub caller: usize,
    /// The opcode that the caller stands at.
    pub at: usize,
}

impl Asking {
    /// That a generator's frame is asked by C code which this caller is calling.
    pub fn between(generator: RunningFrame<'_>, caller: RunningFrame<'_>) -> Self {
        // SAFETY: a frame of the program's, which waits, stands at an instruction of its code.
        let at = unsafe { opcode_of(caller.address.raw().cast()) };
        Self {
            generator: generator.id(),
            caller: caller.id(),
            at: at as usize,
        }
    }
}

/// Who wants to know what generators give to C code. What it is asked often must not panic, and runs no
/// code of the program's.
pub trait Watcher: Sync {
    /// From now on it is asked, or no longer. These frames wait meanwhile, of whatever they have called.
    fn begins(&self, waiting: Vec<Asking>);
    /// Whether it wants to know what the generator gives, if that is known from before.
    fn known(&self, asking: Asking) -> Option<bool>;
    /// The same, to be found out.
    fn wants<'py>(
        &self,
        py: Python<'py>,
        asking: Asking,
        generator: RunningFrame<'py>,
        caller: RunningFrame<'py>,
    ) -> bool;
    /// A generator, by its frame, has given these items.
    fn gave(&self, py: Python<'_>, generator: usize, items: Vec<Py<PyAny>>);
    /// It is over, or an exception is thrown into it; code of the program's may run.
    fn ended(&self, py: Python<'_>, generator: usize);
}

/// The one there is, from the first time that the recording mode is on.
static WATCHER: OnceLock<&'static dyn Watcher> = OnceLock::new();

/// The recording mode is on from now on, or no longer.
pub(super) fn begin(py: Python<'_>, watcher: &'static dyn Watcher) {
    let watcher = *WATCHER.get_or_init(|| watcher);
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

    fn wants<'py>(&self, _: Python<'py>, _: Asking, _: RunningFrame<'py>, _: RunningFrame<'py>) -> bool {
        false
    }

    fn gave(&self, _: Python<'_>, _: usize, _: Vec<Py<PyAny>>) {}

    fn ended(&self, _: Python<'_>, _: usize) {}
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

/// The frames that wait on all threads, with the opcodes that they stand at.
fn waiting_frames(py: Python<'_>) -> Vec<Asking> {
    let mut waiting = Vec::new();
    for thread in ThreadState::all(py) {
        let mut next = thread.frame();
        while let Some(frame) = next {
            waiting.push(Asking::between(frame, frame));
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

/// Who asks for the items of the generator with this frame, if C code does.
///
/// # Safety
/// The arguments are those that CPython gave its evaluator, and the GIL is held.
#[inline(always)]
pub(super) unsafe fn asked_by_c(thread: *mut ffi::PyThreadState, frame: *mut c_void) -> Option<Asking> {
    // SAFETY: as the caller promises; the opcode is one of code that runs.
    unsafe {
        let asking = asked_by(thread, frame)?;
        let opcode = (asking.at as *const u8).read();
        let itself = ASKS_ITSELF[usize::from(opcode)].load(Ordering::Relaxed);
        (!itself).then_some(asking)
    }
}

/// Who asks for the items of the generator with this frame. `None` if nobody is there whose C code could
/// be run again.
///
/// # Safety
/// As above; the thread state may be NULL.
#[inline(always)]
unsafe fn asked_by(thread: *mut ffi::PyThreadState, frame: *mut c_void) -> Option<Asking> {
    // SAFETY: the thread state is live, laid out as the checked layout says; the current frame is live
    // too, and stands at an instruction.
    unsafe {
        let caller = match CURRENT.frame.owner {
            // Set by gen_send_ex before it calls the evaluator (up to 3.10).
            Owner::Field { .. } => frame
                .cast::<u8>()
                .add(CURRENT.frame.back)
                .cast::<*mut u8>()
                .read(),
            Owner::Byte { .. } => current_frame(thread),
        };
        (!caller.is_null()).then(|| Asking {
            generator: frame as usize,
            caller: caller as usize,
            at: opcode_of(caller) as usize,
        })
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

/// The items that the generator gave which was asked last, until the page is full or somebody wants to
/// know. To write one down must take next to no time, and so must it to hand over a full page.
struct Page {
    /// Which generator, as in [`Asking`]: all zero for none.
    generator: Cell<usize>,
    caller: Cell<usize>,
    at: Cell<usize>,
    /// A box's memory for [`PAGE_SIZE`] items, of which the first `count` are there; null for none yet.
    items: Cell<*mut Py<PyAny>>,
    count: Cell<usize>,
}

/// So many items are written down before they are handed over.
pub const PAGE_SIZE: usize = 256;

// SAFETY: it is only touched with the GIL held, and no code of the program's runs meanwhile.
unsafe impl Sync for Page {}

static PAGE: Page = Page {
    generator: Cell::new(0),
    caller: Cell::new(0),
    at: Cell::new(0),
    items: Cell::new(null_mut()),
    count: Cell::new(0),
};

impl Page {
    #[inline(always)]
    fn is_of(&self, asking: Asking) -> bool {
        self.generator.get() == asking.generator
            && self.at.get() == asking.at
            && self.caller.get() == asking.caller
    }

    /// Turns it, taken before, into an empty one.
    fn begin(&self, asking: Asking) {
        if self.items.get().is_null() {
            let memory = Box::into_raw(Box::<[Py<PyAny>]>::new_uninit_slice(PAGE_SIZE));
            self.items.set(memory.cast());
        }
        self.count.set(0);
        self.generator.set(asking.generator);
        self.caller.set(asking.caller);
        self.at.set(asking.at);
    }

    /// What is on it; it is nobody's then. The memory goes with the items if they fill it.
    fn take(&self, _py: Python<'_>) -> Vec<Py<PyAny>> {
        self.generator.set(0);
        let memory = self.items.get();
        if memory.is_null() {
            return Vec::new();
        }
        let count = self.count.replace(0);
        // SAFETY: the memory is a box's, which nobody else has, and so many items have been written to
        // it, each a reference of its own; they are given up here, and so is the memory of a full one.
        unsafe {
            if count == PAGE_SIZE {
                self.items.set(null_mut());
                return Box::from_raw(slice_from_raw_parts_mut(memory, count)).into_vec();
            }
            let mut items: Vec<Py<PyAny>> = Vec::with_capacity(count);
            items.as_mut_ptr().copy_from_nonoverlapping(memory, count);
            items.set_len(count);
            items
        }
    }

    /// Writes an item down.
    ///
    /// # Safety
    /// The page has begun, and is not full; the object is live.
    #[inline(always)]
    unsafe fn note(&self, item: *mut ffi::PyObject) {
        let count = self.count.get();
        // SAFETY: as the caller promises; a `Py` is a pointer to an object, and owns a reference.
        unsafe {
            ffi::Py_INCREF(item);
            self.items
                .get()
                .cast::<*mut ffi::PyObject>()
                .add(count)
                .write(item);
        }
        self.count.set(count + 1);
    }
}

/// Hands over what is on the page.
pub fn turn_page(py: Python<'_>) {
    let generator = PAGE.generator.get();
    let items = PAGE.take(py);
    if !items.is_empty() {
        watcher().gave(py, generator, items);
    }
}

/// Gives up references at once, as an evaluator is not known to hold the GIL. Code of the program's may run.
pub fn let_go(py: Python<'_>, items: Vec<Py<PyAny>>) {
    for item in items {
        drop(item.into_bound(py));
    }
}

/// A generator is over: what it gave is of no interest any more.
fn end(py: Python<'_>, generator: usize) {
    let raised = PyErr::take(py);
    let given = match PAGE.generator.get() == generator {
        true => PAGE.take(py),
        false => Vec::new(),
    };
    watcher().ended(py, generator);
    let_go(py, given);
    if let Some(raised) = raised {
        raised.restore(py);
    }
}

/// Whether what the generator gives is being written down.
#[inline(always)]
pub(super) fn is_noted(asking: Asking) -> bool {
    PAGE.is_of(asking)
}

/// Whether the watcher wants to know what the generator gives that is asked.
#[inline(never)]
pub(super) fn enter(asking: Asking, throw: bool) -> bool {
    match watcher().known(asking) {
        Some(wanted) if !throw => wanted,
        _ => look(asking, throw),
    }
}

#[cold]
fn look(asking: Asking, throw: bool) -> bool {
    // SAFETY: an evaluator is called with the GIL held.
    let py = unsafe { Python::assume_attached() };
    let looked = catch_unwind(AssertUnwindSafe(|| {
        if throw {
            end(py, asking.generator);
            return false;
        }
        // SAFETY: both are live, and cannot return while we run.
        let (generator, current) = unsafe {
            (
                RunningFrame::from_raw(asking.generator as *mut c_void),
                RunningFrame::from_raw(asking.caller as *mut c_void),
            )
        };
        let caller = current.filter(|frame| frame.or_below() == current);
        let (Some(generator), Some(caller)) = (generator, caller) else {
            return false;
        };
        learn(caller) == Some(false) && watcher().wants(py, asking, generator, caller)
    }));
    looked.unwrap_or(false)
}

/// Learns what the caller's opcode is; whether it asks its generator itself. `None` if that is not known,
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

/// Writes down what came: an item, or tells the watcher that it was the end or an exception.
///
/// # Safety
/// The result is what the evaluator gave for the frame of this generator, which somebody holds who is on
/// the stack, and the GIL is held.
#[inline(always)]
pub(super) unsafe fn leave(generator: *mut c_void, result: *mut ffi::PyObject) {
    // SAFETY: as the caller promises; the page gets a reference of its own, at a place that it has.
    unsafe {
        if result.is_null() || !is_suspended(generator.cast()) {
            return over(generator as usize);
        }
        if PAGE.generator.get() != generator as usize || PAGE.count.get() >= PAGE_SIZE {
            turn_to(generator);
        }
        PAGE.note(result);
    }
}

/// Another page, for this generator.
///
/// # Safety
/// As above.
#[cold]
unsafe fn turn_to(generator: *mut c_void) {
    // SAFETY: as the caller promises: whoever asked is what the thread runs again.
    let (py, asking) = unsafe { (Python::assume_attached(), asked_by(null_mut(), generator)) };
    turn_page(py);
    // With nobody there, which cannot be, it is nobody's page.
    PAGE.begin(asking.unwrap_or(Asking {
        generator: 0,
        caller: 0,
        at: 0,
    }));
}

#[cold]
fn over(generator: usize) {
    // SAFETY: an evaluator is called with the GIL held.
    let py = unsafe { Python::assume_attached() };
    // What is not noted is missed when the program is to move, and nowhere else.
    let _panicked = catch_unwind(AssertUnwindSafe(|| end(py, generator)));
}

/// Whether a generator's frame has come to a yield, and waits there.
///
/// # Safety
/// The frame is live, and so is its generator.
#[inline(always)]
unsafe fn is_suspended(frame: *const u8) -> bool {
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
