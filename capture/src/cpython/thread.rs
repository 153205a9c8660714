//! A thread: its chain of frames, its handled exceptions, its recursion count.

use super::ffi::PyInterpreterState_Get;
use super::frame::{Address, RunningFrame, Shim};
use super::{CurrentFrame, Recursion, ThreadLocals, CURRENT};
use core::ffi::{c_int, c_ulong, c_void};
use core::marker::PhantomData;
use pyo3::ffi;
use pyo3::prelude::*;

/// What is called for each new asynchronous generator, and for each that is dropped; how much is kept of where
/// coroutines are made.
pub type CoroutineHooks = (Option<Py<PyAny>>, Option<Py<PyAny>>, c_int);

/// The state of a thread.
#[derive(Clone, Copy)]
pub struct ThreadState<'py> {
    address: Address,
    held: PhantomData<Python<'py>>,
}

impl<'py> ThreadState<'py> {
    /// The calling thread's.
    pub fn current(_py: Python<'py>) -> Self {
        // SAFETY: the GIL is held, so the thread has a state, and it lives as long as the thread.
        let raw = unsafe { ffi::PyThreadState_Get() };
        let address = Address::new(raw.cast()).expect("a thread that holds the GIL has a state");
        Self {
            address,
            held: PhantomData,
        }
    }

    pub(super) fn raw(self) -> *mut ffi::PyThreadState {
        self.address.raw().cast()
    }

    /// Those of all threads of this interpreter.
    pub fn all(_py: Python<'py>) -> Vec<Self> {
        let mut all = Vec::new();
        // SAFETY: the GIL is held, so no thread state comes or goes during the walk.
        unsafe {
            let mut thread = ffi::PyInterpreterState_ThreadHead(PyInterpreterState_Get());
            while let Some(address) = Address::new(thread.cast()) {
                all.push(Self {
                    address,
                    held: PhantomData,
                });
                thread = ffi::PyThreadState_Next(thread);
            }
        }
        all
    }

    /// How many threads have a state in this interpreter.
    pub fn count_threads(py: Python<'py>) -> usize {
        Self::all(py).len()
    }

    /// An address that the state holds.
    pub(super) fn word(self, offset: usize) -> *mut c_void {
        self.address.get(offset)
    }

    /// Tells thread states apart for as long as they live.
    pub fn id(self) -> usize {
        self.address.raw() as usize
    }

    /// What `threading.get_ident` gives in the thread.
    pub fn ident(self) -> u64 {
        self.address.get::<c_ulong>(CURRENT.thread.ident)
    }

    /// The kernel's number of the thread, where its state has it.
    pub fn native_id(self) -> Option<u64> {
        let number = self.address.get::<c_ulong>(CURRENT.thread.native_id?);
        (number != 0).then_some(number)
    }

    /// The context that is in force, if the thread has had one yet.
    pub fn context(self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.address.object(py, CURRENT.thread.context)
    }

    /// What `sys.get_asyncgen_hooks` and `sys.get_coroutine_origin_tracking_depth` give in the thread.
    pub fn coroutine_hooks(self, py: Python<'py>) -> CoroutineHooks {
        let depth = CURRENT.thread.coroutines;
        let hook = |place| {
            let at = depth + place * size_of::<*mut c_void>();
            self.address.object(py, at).map(Bound::unbind)
        };
        (hook(1), hook(2), self.address.get::<c_int>(depth))
    }

    /// The key of the thread's part among the parts of a `threading.local`.
    pub fn key_of_local(self, local: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = local.py();
        match CURRENT.thread.locals {
            ThreadLocals::Key(offset) => Ok(self.address.object(py, offset)),
            ThreadLocals::ByAddress(offset) => match self.address.object(py, offset) {
                Some(dictionary) => {
                    let name = format!("thread.local.{:p}", local.as_ptr());
                    dictionary
                        .call_method1("get", (name,))
                        .map(|key| (!key.is_none()).then_some(key))
                }
                None => Ok(None),
            },
        }
    }

    /// That of the thread which the interpreter was started in: its first.
    pub fn main(py: Python<'py>) -> Option<Self> {
        Self::all(py).last().copied()
    }

    /// That of the thread with this ident.
    pub fn of_ident(py: Python<'py>, ident: u64) -> Option<Self> {
        Self::all(py).into_iter().find(|thread| thread.ident() == ident)
    }

    /// Whether the thread runs in the main interpreter.
    pub fn in_main_interpreter(self) -> bool {
        // SAFETY: the GIL is held.
        unsafe { PyInterpreterState_Get() == ffi::PyInterpreterState_Main() }
    }

    fn current_field(self) -> (Address, usize) {
        match CURRENT.thread.current {
            CurrentFrame::Direct(offset) => (self.address, offset),
            CurrentFrame::Through { pointer, field } => {
                let holder = Address::new(self.address.get(pointer)).expect("a thread has a cframe");
                (holder, field)
            }
        }
    }

    /// The innermost frame of the program's.
    pub fn frame(self) -> Option<RunningFrame<'py>> {
        self.current_raw()?.or_below()
    }

    /// What the thread has for its current frame.
    fn current_raw(self) -> Option<RunningFrame<'py>> {
        let (holder, offset) = self.current_field();
        // SAFETY: the current frame is alive until it returns, and it cannot while we run.
        unsafe { RunningFrame::from_raw(holder.get(offset)) }
    }

    fn set_frame(self, frame: Option<RunningFrame<'py>>) {
        let (holder, offset) = self.current_field();
        let raw: *mut c_void = frame.map_or(core::ptr::null_mut(), |frame| frame.address.raw());
        holder.set(offset, raw);
    }

    /// Runs `work` as if no frame were below: what it starts is an outermost frame.
    pub fn with_empty_stack<T>(self, work: impl FnOnce() -> T) -> T {
        let (holder, offset) = self.current_field();
        let below = self.current_raw();
        self.set_frame(None);
        let (count, empty) = match CURRENT.thread.recursion {
            Recursion::Depth(offset) => (offset, 0),
            Recursion::Remaining { count, limit } => (count, self.address.get::<c_int>(limit)),
        };
        let before: c_int = self.address.get(count);
        self.address.set(count, empty);
        let result = work();
        self.address.set(count, before);
        // The holder may be another one by now only if an evaluator was entered and not left.
        holder.set(
            offset,
            below.map_or(core::ptr::null_mut(), |frame| frame.address.raw()),
        );
        result
    }

    /// Runs `work` above `frame`, which waits for it like a caller: its place in the chain, its
    /// share of the recursion count, its looks.
    pub fn with_waiting<T>(self, frame: RunningFrame<'py>, work: impl FnOnce() -> T) -> T {
        let below = self.current_raw();
        let mut shim = Shim::new(frame);
        frame.set_back(match &mut shim {
            Some(shim) => Some(shim.lay(below)),
            None => below,
        });
        frame.mark_waiting(true);
        self.set_frame(Some(frame));
        self.count_call(1);
        let result = work();
        self.count_call(-1);
        self.set_frame(below);
        frame.mark_waiting(false);
        result
    }

    fn count_call(self, calls: c_int) {
        let (offset, change) = match CURRENT.thread.recursion {
            Recursion::Depth(offset) => (offset, calls),
            Recursion::Remaining { count, .. } => (count, -calls),
        };
        self.address
            .set(offset, self.address.get::<c_int>(offset) + change);
    }

    /// The innermost item of the stack of handled exceptions.
    pub fn handled(self) -> HandledItem {
        let raw = self.address.get(CURRENT.thread.exc_info);
        HandledItem(Address::new(raw).expect("a thread has an exc_info"))
    }

    /// Runs `work` with a stack of handled exceptions that holds one empty item.
    ///
    /// `sys.exc_info()` looks through empty items, so the new one hangs below nothing.
    pub fn with_own_handled<T>(self, work: impl FnOnce(HandledItem) -> T) -> T {
        let mut memory = [0usize; 4];
        assert!(CURRENT.handled.size <= core::mem::size_of_val(&memory));
        let item = Address::new(memory.as_mut_ptr().cast()).expect("a local has an address");
        let before: *mut c_void = self.address.get(CURRENT.thread.exc_info);
        self.address.set(CURRENT.thread.exc_info, item.raw());
        let result = work(HandledItem(item));
        self.address.set(CURRENT.thread.exc_info, before);
        // SAFETY: the GIL is still held; what the item still refers to is released.
        let py = unsafe { Python::assume_attached() };
        HandledItem(item).write(py, HandledValues::default());
        result
    }
}

/// One level of `sys.exc_info()`, as the interpreter keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HandledItem(pub(super) Address);

/// The objects of a [`HandledItem`]; up to 3.10 all three, from 3.11 on the value alone.
#[derive(Default)]
pub struct HandledValues {
    /// The class.
    pub kind: Option<Py<PyAny>>,
    /// The exception.
    pub value: Option<Py<PyAny>>,
    /// The traceback.
    pub traceback: Option<Py<PyAny>>,
}

impl HandledItem {
    /// What is being handled.
    pub fn read(self, py: Python<'_>) -> HandledValues {
        let take = |offset| self.0.object(py, offset).map(Bound::unbind);
        let layout = &CURRENT.handled;
        HandledValues {
            kind: layout.triple.and_then(|(kind, _)| take(kind)),
            value: take(layout.value),
            traceback: layout.triple.and_then(|(_, traceback)| take(traceback)),
        }
    }

    /// Replaces what is being handled.
    pub fn write(self, py: Python<'_>, values: HandledValues) {
        let layout = &CURRENT.handled;
        if let Some((kind, traceback)) = layout.triple {
            self.0.replace(py, kind, values.kind);
            self.0.replace(py, traceback, values.traceback);
        }
        self.0.replace(py, layout.value, values.value);
    }

    /// The item below.
    pub fn previous(self) -> Option<Self> {
        Address::new(self.0.get(CURRENT.handled.previous)).map(Self)
    }
}
