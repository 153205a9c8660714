//! A running frame, field by field, through the layout of its release.

use super::slot::{self, SlotValue};
use super::{Activation, Blocks, Depth, Executing, GeneratorStates, Instruction, Owner, CURRENT};
use crate::snapshot::Block;
use core::ffi::{c_char, c_int, c_void};
use core::marker::PhantomData;
use core::ptr::NonNull;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyCode;

/// The address of one CPython struct, with typed reads and writes at byte offsets.
///
/// Whoever makes one promises that the struct is alive, and laid out as [`CURRENT`] says, for as
/// long as the value is used; the GIL, which every holder has, keeps others from changing it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Address(NonNull<u8>);

impl Address {
    pub(super) fn new(raw: *mut c_void) -> Option<Self> {
        NonNull::new(raw.cast()).map(Self)
    }

    /// Where an object lies, which must be held for as long as this is used.
    pub(super) fn of(object: &Bound<'_, PyAny>) -> Self {
        Self(NonNull::new(object.as_ptr().cast()).expect("an object has an address"))
    }

    pub(super) fn raw(self) -> *mut c_void {
        self.0.as_ptr().cast()
    }

    pub(super) fn at<T>(self, offset: usize) -> *mut T {
        // SAFETY: `offset` comes from the layout of the struct that this is the address of, so the
        // result stays within it.
        unsafe { self.0.as_ptr().add(offset).cast() }
    }

    pub(super) fn get<T: Copy>(self, offset: usize) -> T {
        // SAFETY: see `Address`: a live struct that holds a `T` at this offset, aligned by CPython.
        unsafe { self.at::<T>(offset).read() }
    }

    pub(super) fn set<T: Copy>(self, offset: usize, value: T) {
        // SAFETY: see `Address`; nobody else writes while the GIL is held.
        unsafe { self.at::<T>(offset).write(value) }
    }

    /// The object that the field refers to, if any.
    pub(super) fn object<'py>(self, py: Python<'py>, offset: usize) -> Option<Bound<'py, PyAny>> {
        let raw: *mut ffi::PyObject = self.get(offset);
        // SAFETY: the field holds NULL or a reference to a live object, owned by the struct or kept
        // alive by what owns it; we take a reference of our own.
        unsafe { Bound::from_borrowed_ptr_or_opt(py, raw) }
    }

    /// Puts an object in place of the one that the (owning) field refers to.
    pub(super) fn replace(self, py: Python<'_>, offset: usize, value: Option<Py<PyAny>>) {
        let old: *mut ffi::PyObject = self.get(offset);
        self.set(offset, value.map_or(core::ptr::null_mut(), Py::into_ptr));
        // SAFETY: the field owned the old reference, and gives it up: it holds the new one already,
        // so code that runs when the old object goes finds the struct whole.
        drop(unsafe { Bound::from_owned_ptr_or_opt(py, old) });
    }
}

/// A frame that has been entered and has not returned, or that lies in a suspended generator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunningFrame<'py> {
    pub(super) address: Address,
    held: PhantomData<Python<'py>>,
}

impl<'py> RunningFrame<'py> {
    /// The frame at an address, `None` for NULL.
    ///
    /// # Safety
    /// The address is NULL, or that of a frame of the running interpreter which stays alive for
    /// `'py`: on a thread's stack, handed to an evaluator, or in a generator that is held.
    pub(super) unsafe fn from_raw(raw: *mut c_void) -> Option<Self> {
        Address::new(raw).map(|address| Self {
            address,
            held: PhantomData,
        })
    }

    /// Where the frame lies; two frames are the same if this is.
    pub fn id(self) -> usize {
        self.address.raw() as usize
    }

    fn py(self) -> Python<'py> {
        // SAFETY: a `RunningFrame<'py>` is only made where a `Python<'py>` was at hand.
        unsafe { Python::assume_attached() }
    }

    /// The code object.
    pub fn code(self) -> Bound<'py, PyCode> {
        let code = slot::read(self.py(), self.address.get(CURRENT.frame.code));
        let code = code.object().expect("a frame has a code");
        // SAFETY: a frame of the program's, as this is, runs a code object on every release.
        unsafe { code.cast_into_unchecked() }
    }

    /// Where the code object lies.
    pub fn code_address(self) -> usize {
        slot::pointer(self.address.get(CURRENT.frame.code))
    }

    /// Whether the frame runs this very code object.
    pub fn runs(self, code: &Bound<'py, PyAny>) -> bool {
        self.code_address() == code.as_ptr() as usize
    }

    /// What the frame hangs above: its caller, or something that CPython lays between.
    fn previous(self) -> Option<Self> {
        // SAFETY: a frame's caller is alive as long as the frame is on a stack.
        unsafe { Self::from_raw(self.address.get(CURRENT.frame.back)) }
    }

    /// The frame itself, or the first one below it that is the program's.
    pub(super) fn or_below(self) -> Option<Self> {
        let mut frame = self;
        while frame.is_shim() || frame.is_trampoline() {
            frame = frame.previous()?;
        }
        Some(frame)
    }

    /// Whether it was laid below the first frame of an evaluator's activation.
    fn is_shim(self) -> bool {
        match CURRENT.frame.owner {
            Owner::Byte {
                offset,
                shim: Some(shim),
            } => self.address.get::<i8>(offset) >= shim,
            _ => false,
        }
    }

    /// Whether it stands for a class that was called, below the frame of the `__init__` (3.13 and
    /// later): the only frames whose function is None.
    fn is_trampoline(self) -> bool {
        // SAFETY: takes an address.
        let none = unsafe { ffi::Py_None() } as usize;
        let function = CURRENT.frame.function;
        function.is_some_and(|offset| slot::pointer(self.address.get(offset)) == none)
    }

    /// The frame that waits for this one.
    pub fn back(self) -> Option<Self> {
        self.previous()?.or_below()
    }

    /// The instance that a call of a class has made, if this is the frame of its `__init__` and both
    /// run in one activation of the evaluator.
    pub fn made_instance(self) -> Option<Bound<'py, PyAny>> {
        let below = self.previous()?;
        // Where CPython keeps it: the first slot of the trampoline.
        (!below.is_shim() && below.is_trampoline()).then(|| below.read_slot(0).object())?
    }

    /// The function, where frames keep it.
    pub fn function(self) -> Option<Bound<'py, PyAny>> {
        let offset = CURRENT.frame.function?;
        slot::read(self.py(), self.address.get(offset)).object()
    }

    /// The globals.
    pub fn globals(self) -> Bound<'py, PyAny> {
        self.address
            .object(self.py(), CURRENT.frame.globals)
            .expect("a frame has globals")
    }

    /// `f_locals`: the namespace of a module or a class body, or a function's cached `locals()`.
    pub fn namespace(self) -> Option<Bound<'py, PyAny>> {
        self.address.object(self.py(), CURRENT.frame.namespace)
    }

    /// Puts another one.
    pub fn set_namespace(self, namespace: Bound<'py, PyAny>) {
        let value = Some(namespace.unbind());
        self.address.replace(self.py(), CURRENT.frame.namespace, value);
    }

    /// The instruction pointer as it stands, in code units; -1 before the first.
    pub fn raw_instruction(self) -> i32 {
        match CURRENT.frame.instruction {
            Instruction::LastByte(offset) => {
                let byte = self.address.get::<c_int>(offset);
                if byte < 0 {
                    -1
                } else {
                    byte / 2
                }
            }
            Instruction::LastNumber(offset) => self.address.get::<c_int>(offset),
            Instruction::LastUnit(offset) | Instruction::InProgress(offset) => {
                let unit = self.address.get::<usize>(offset) as isize;
                ((unit - self.instructions() as isize) / 2) as i32
            }
        }
    }

    /// Where the code's instructions are, where frames point into them.
    fn instructions(self) -> usize {
        let offset = CURRENT
            .code_object
            .instructions
            .expect("frames point into the code");
        self.code_address() + offset
    }

    /// Where the first of the units lies that an evaluator runs.
    pub(super) fn first_unit(self) -> usize {
        match CURRENT.code_object.bytes {
            None => self.instructions(),
            Some(offset) => {
                let code = Address::new(self.code_address() as *mut c_void).expect("a frame has a code");
                code.get::<usize>(offset) + BYTES_HEADER
            }
        }
    }

    /// What the evaluator has laid below its first frame, if this runs in an activation that has done so.
    pub(super) fn shim_below(self) -> Option<usize> {
        let mut below = self.previous();
        while let Some(frame) = below.filter(|frame| !frame.is_shim()) {
            below = frame.previous();
        }
        below.map(|shim| shim.address.raw() as usize)
    }

    /// Makes `unit` the next instruction to run.
    pub fn run_at(self, unit: u32) {
        match CURRENT.frame.instruction {
            Instruction::LastByte(offset) => {
                let last = if unit == 0 { -1 } else { 2 * unit as c_int - 2 };
                self.address.set(offset, last);
            }
            Instruction::LastNumber(offset) => self.address.set::<c_int>(offset, unit as c_int - 1),
            Instruction::LastUnit(offset) => {
                self.address
                    .set(offset, self.instructions() + 2 * unit as usize - 2);
            }
            Instruction::InProgress(offset) => {
                self.address.set(offset, self.instructions() + 2 * unit as usize);
            }
        }
    }

    /// Makes the instruction at `unit`, which ends before `next`, the one that raises.
    ///
    /// From 3.13 on CPython takes the place as it stands for the traceback, and the unit before it
    /// to find the handler. Inline caches belong to their instruction, so the first of them is right
    /// for both. An instruction without any is taken itself, unless a region of the exception table
    /// begins or ends with it (`at_border`): then the handler matters more than the column.
    pub fn raise_at(self, unit: u32, next: u32, at_border: bool) {
        match CURRENT.frame.instruction {
            Instruction::InProgress(_) if next > unit + 1 || at_border => self.run_at(unit + 1),
            _ => self.stand_at(unit as i32),
        }
    }

    /// Makes `unit` the instruction in progress: the place of a frame that waits. -1 is the place
    /// before the first, where there is one.
    pub fn stand_at(self, unit: i32) {
        match CURRENT.frame.instruction {
            Instruction::LastByte(offset) => {
                self.address
                    .set::<c_int>(offset, if unit < 0 { -1 } else { 2 * unit });
            }
            Instruction::LastNumber(offset) => self.address.set::<c_int>(offset, unit),
            Instruction::LastUnit(offset) | Instruction::InProgress(offset) => {
                let place = self.instructions() as isize + 2 * unit as isize;
                self.address.set(offset, place as usize);
            }
        }
    }

    /// The depth of the value stack if CPython has stored it, given the number of locals and cells.
    pub fn stored_depth(self, locals: usize) -> Option<usize> {
        match CURRENT.frame.depth {
            Depth::Top(offset) => {
                let top = self.address.get::<usize>(offset);
                (top != 0).then(|| top.wrapping_sub(self.stack_base(locals) as usize) / 8)
            }
            Depth::Count(offset) => usize::try_from(self.address.get::<c_int>(offset)).ok(),
            Depth::CountWithLocals(offset) => {
                let count = self.address.get::<c_int>(offset);
                usize::try_from(count)
                    .ok()
                    .map(|count| count.saturating_sub(locals))
            }
        }
    }

    fn store_depth(self, locals: usize, depth: usize) {
        match CURRENT.frame.depth {
            Depth::Top(offset) => {
                self.address
                    .set(offset, self.stack_base(locals) as usize + 8 * depth);
            }
            Depth::Count(offset) => self.address.set(offset, depth as c_int),
            Depth::CountWithLocals(offset) => {
                self.address.set(offset, (locals + depth) as c_int);
            }
        }
    }

    fn slot(self, index: usize) -> usize {
        CURRENT.frame.slots + index * core::mem::size_of::<*mut ffi::PyObject>()
    }

    fn stack_base(self, locals: usize) -> *mut u8 {
        self.address.at(self.slot(locals))
    }

    /// The contents of slot `index`; the value stack begins behind the locals and cells.
    ///
    /// The slot must be live: a local, a cell, or below the depth that the code's analysis gives.
    pub fn read_slot(self, index: usize) -> SlotValue<'py> {
        slot::read(self.py(), self.address.get(self.slot(index)))
    }

    /// The contents of slot `index`, which may dangle; `None` if it does.
    pub fn read_slot_if_alive(self, index: usize) -> Option<SlotValue<'py>> {
        slot::read_if_alive(self.py(), self.address.get(self.slot(index)))
    }

    /// Whether slot `index`, which may dangle, refers to this object.
    pub fn slot_is(self, index: usize, object: &Bound<'_, PyAny>) -> bool {
        let word: usize = self.address.get(self.slot(index));
        slot::pointer(word) == object.as_ptr() as usize
    }

    /// Puts a value into a slot that is live; the old one goes.
    fn replace_slot(self, index: usize, value: SlotValue<'_>) {
        let old = self.address.get(self.slot(index));
        self.address.set(self.slot(index), slot::own(value));
        slot::release(self.py(), old);
    }

    /// Puts a value into a local or a cell; the old one goes.
    pub fn write_local(self, index: usize, value: SlotValue<'_>) {
        self.replace_slot(index, value);
    }

    /// Empties the value stack.
    pub fn clear_stack(self, locals: usize) {
        self.drop_to(locals, 0);
        self.store_depth(locals, 0);
    }

    /// Takes values off the stack until it is this deep.
    pub fn drop_to(self, locals: usize, depth: usize) {
        while self.stored_depth(locals).is_some_and(|now| now > depth) {
            self.pop(locals);
        }
    }

    /// Takes the topmost value off the stack, whose depth must be stored and not 0.
    pub fn pop(self, locals: usize) -> SlotValue<'py> {
        let top = self.stored_depth(locals).unwrap_or(0) - 1;
        let value = self.read_slot(locals + top);
        self.store_depth(locals, top);
        self.replace_slot(locals + top, SlotValue::Null);
        value
    }

    /// Pushes a value on the stack, whose depth must be stored.
    pub fn push(self, locals: usize, value: SlotValue<'_>) {
        let depth = self.stored_depth(locals).unwrap_or(0);
        // What lies above the depth is junk: it is written over, not released.
        self.address.set(self.slot(locals + depth), slot::own(value));
        self.store_depth(locals, depth + 1);
    }

    /// The block stack, innermost last; empty where frames have none.
    pub fn blocks(self) -> Vec<Block> {
        let Blocks::InFrame { count, array } = CURRENT.frame.blocks else {
            return Vec::new();
        };
        let depth = self.address.get::<c_int>(count).clamp(0, MAX_BLOCKS as c_int) as usize;
        (0..depth)
            .map(|index| {
                let [kind, handler, level] = self.address.get::<[c_int; 3]>(array + 12 * index);
                Block { kind, handler, level }
            })
            .collect()
    }

    /// Replaces the block stack.
    pub fn write_blocks(self, blocks: &[Block]) {
        let Blocks::InFrame { count, array } = CURRENT.frame.blocks else {
            return;
        };
        for (index, block) in blocks.iter().take(MAX_BLOCKS).enumerate() {
            self.address
                .set(array + 12 * index, [block.kind, block.handler, block.level]);
        }
        self.address.set(count, blocks.len().min(MAX_BLOCKS) as c_int);
    }

    /// The generator, coroutine or async generator that owns the frame.
    pub fn generator(self) -> Option<Bound<'py, PyAny>> {
        match CURRENT.frame.owner {
            Owner::Field { generator, .. } => self.address.object(self.py(), generator),
            Owner::Byte { offset, .. } => {
                if self.address.get::<c_char>(offset) != OWNED_BY_GENERATOR {
                    return None;
                }
                let raw = self.address.raw().cast::<u8>();
                // SAFETY: a frame with this owner lies inside its generator object, at the offset
                // that the layout gives, and the generator is alive as long as its frame is.
                unsafe {
                    let generator = raw.sub(super::generator::frame_offset()).cast();
                    Some(Bound::from_borrowed_ptr(self.py(), generator))
                }
            }
        }
    }

    /// Whether the frame was entered through C, not by a call within the same evaluator.
    pub fn entered_from_c(self) -> bool {
        match CURRENT.frame.activation {
            Activation::Always => true,
            Activation::Flag(offset) => self.address.get::<u8>(offset) != 0,
            Activation::Shim => {
                let mut below = self.previous();
                while let Some(frame) = below.filter(|frame| !frame.is_shim()) {
                    if !frame.is_trampoline() {
                        return false;
                    }
                    below = frame.previous();
                }
                true
            }
        }
    }

    /// The frame object if there is one: the frame itself, or the one made for it.
    pub fn frame_object(self) -> Option<Bound<'py, PyAny>> {
        match CURRENT.frame.frame_object {
            // SAFETY: where frames have no frame object of their own they are frame objects.
            None => Some(unsafe { Bound::from_borrowed_ptr(self.py(), self.address.raw().cast()) }),
            Some(offset) => self.address.object(self.py(), offset),
        }
    }

    /// Whether somebody holds the object of a frame that waits for another one, as hardly ever anybody does.
    pub fn is_held(self) -> bool {
        let owners = match CURRENT.frame.frame_object {
            // Who has called it, and who it has called.
            None => 2,
            // The frame, if there is an object of it yet.
            Some(_) => 1,
        };
        let ours = 1;
        self.frame_object().is_some_and(|object| {
            // SAFETY: a live object.
            unsafe { ffi::Py_REFCNT(object.as_ptr()) > owners + ours }
        })
    }

    /// The state that a frame object says it is in, by CPython's number, with the numbers there are.
    pub(super) fn state(self) -> Option<(i8, GeneratorStates)> {
        match CURRENT.frame.owner {
            Owner::Field {
                executing: Executing::State { offset, states },
                ..
            } => Some((self.address.get(offset), states)),
            _ => None,
        }
    }

    /// Puts that state.
    pub(super) fn set_state(self, state: i8) {
        if let Owner::Field {
            executing: Executing::State { offset, .. },
            ..
        } = CURRENT.frame.owner
        {
            self.address.set(offset, state);
        }
    }

    /// Marks the frame as one that is running though no evaluator has it now, or takes that back.
    pub(super) fn mark_waiting(self, waiting: bool) {
        match CURRENT.frame.owner {
            Owner::Field {
                executing: Executing::Flag(offset),
                ..
            } => {
                self.address.set::<c_char>(offset, waiting.into());
            }
            Owner::Field {
                executing: Executing::State { offset, states },
                ..
            } => {
                let state = if waiting {
                    states.executing
                } else {
                    states.suspended
                };
                self.address.set::<i8>(offset, state);
            }
            Owner::Byte { .. } => {}
        }
        if let (Activation::Flag(offset), true) = (CURRENT.frame.activation, waiting) {
            self.address.set::<u8>(offset, 1);
        }
    }

    /// Hangs the frame above another one. A frame that is an object owns its caller, and got it
    /// when it was made or resumed.
    pub(super) fn set_back(self, back: Option<Self>) {
        if CURRENT.frame.frame_object.is_none() {
            return;
        }
        let raw = back.map_or(core::ptr::null_mut(), |frame| frame.address.raw());
        self.address.set(CURRENT.frame.back, raw);
    }
}

/// A frame such as an activation of the evaluator lays below its first one (3.12 and later), for a
/// frame that waits without an activation.
pub(super) struct Shim([usize; SHIM_WORDS]);

/// More than a frame with no slots has on any release.
const SHIM_WORDS: usize = 16;

impl Shim {
    /// Where frames have shims, one between `first` and what it waits above.
    pub fn new(first: RunningFrame<'_>) -> Option<Self> {
        matches!(CURRENT.frame.activation, Activation::Shim).then(|| {
            let mut shim = Self([0; SHIM_WORDS]);
            shim.fill(first);
            shim
        })
    }

    fn address(&mut self) -> Address {
        Address::new(self.0.as_mut_ptr().cast()).expect("a local has an address")
    }

    fn fill(&mut self, first: RunningFrame<'_>) {
        let layout = &CURRENT.frame;
        let at = self.address();
        if let Owner::Byte {
            offset,
            shim: Some(shim),
        } = layout.owner
        {
            at.set::<i8>(offset, shim);
        }
        // Borrowed from `first`: nobody releases what a shim refers to.
        let start = first.instructions();
        match layout.instruction {
            // 3.12 knows a shim by a place before the first traceable instruction of some code.
            Instruction::LastUnit(offset) => {
                at.set(layout.code, first.code_address());
                at.set(offset, start - 2);
            }
            Instruction::InProgress(offset) => {
                // SAFETY: None is immortal where frames say so.
                let none = unsafe { Bound::from_borrowed_ptr(first.py(), ffi::Py_None()) };
                at.set(layout.code, slot::own(SlotValue::Object(none)));
                at.set(offset, start);
            }
            Instruction::LastByte(_) | Instruction::LastNumber(_) => {}
        }
        if let Depth::Top(offset) = layout.depth {
            at.set(offset, at.at::<usize>(layout.slots) as usize);
        }
    }

    /// Lays the shim above `below`; it has to stay where it is from now on.
    pub fn lay<'py>(&mut self, below: Option<RunningFrame<'py>>) -> RunningFrame<'py> {
        let raw = below.map_or(core::ptr::null_mut(), |frame| frame.address.raw());
        let address = self.address();
        address.set(CURRENT.frame.back, raw);
        RunningFrame {
            address,
            held: PhantomData,
        }
    }
}

/// Where the bytes of a `bytes` object begin.
const BYTES_HEADER: usize = core::mem::offset_of!(ffi::PyBytesObject, ob_sval);

/// `CO_MAXBLOCKS` of 3.8–3.10.
const MAX_BLOCKS: usize = 20;

/// `FRAME_OWNED_BY_GENERATOR`.
const OWNED_BY_GENERATOR: c_char = 1;
