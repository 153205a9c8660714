//! A further C stack, for calls that the one before has no room for.
//!
//! Without an evaluator of somebody's, calls of Python functions take nothing of the C stack from
//! 3.11 on: a program recurses in a thread of 64 KB as deep as in any. With ours they do take some, so
//! that where only what C code should have is left of a stack, the calls above go on on another one,
//! which is given back when they return.

use super::stack_room::Stack;
use core::arch::global_asm;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use pyo3::ffi::{PyObject, PyThreadState};

/// Memory only backs what is used. Half of it holds the budget of 3.13 for calls in C.
const SIZE: usize = 24 << 20;

/// So much at its end nobody may touch.
const GUARD: usize = 64 << 10;

/// The one that was given back last: a loop may call to and fro over the end of a stack. Only
/// touched with the GIL held.
static SPARE: AtomicPtr<u8> = AtomicPtr::new(null_mut());

/// A stack of our own; given back when dropped, which takes the GIL.
pub(super) struct Further(*mut u8);

impl Further {
    /// `None` if there is no memory for one.
    pub(super) fn new() -> Option<Self> {
        let spare = SPARE.swap(null_mut(), Ordering::Relaxed);
        if !spare.is_null() {
            return Some(Self(spare));
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
        // SAFETY: maps memory of our own, which nothing else knows of.
        unsafe {
            let base = libc::mmap(null_mut(), SIZE, libc::PROT_NONE, flags, -1, 0);
            if base == libc::MAP_FAILED {
                return None;
            }
            let usable = base.cast::<u8>().add(GUARD).cast();
            if libc::mprotect(usable, SIZE - GUARD, libc::PROT_READ | libc::PROT_WRITE) != 0 {
                libc::munmap(base, SIZE);
                return None;
            }
            // A page of 2 MB would be taken for the first byte.
            libc::madvise(usable, SIZE - GUARD, libc::MADV_NOHUGEPAGE);
            Some(Self(base.cast()))
        }
    }

    pub(super) fn bounds(&self) -> Stack {
        Stack {
            end: self.0 as usize + GUARD,
            top: self.0 as usize + SIZE,
        }
    }

    /// Calls a function with an evaluator's arguments on it.
    ///
    /// # Safety
    /// The function takes these arguments, and nothing runs on this stack yet.
    pub(super) unsafe fn call(
        &self,
        function: Function,
        thread: *mut PyThreadState,
        frame: *mut c_void,
        throw: c_int,
    ) -> *mut PyObject {
        // SAFETY: the end is that of memory of ours that nothing uses; it is aligned as a stack has to be.
        unsafe { pyteleport_call_on_stack(thread, frame, throw, function, self.0.add(SIZE)) }
    }

    /// Leaves it where it is, for good.
    pub(super) fn leak(self) {
        core::mem::forget(self);
    }
}

impl Drop for Further {
    fn drop(&mut self) {
        let before = SPARE.swap(self.0, Ordering::Relaxed);
        if !before.is_null() {
            // SAFETY: memory that was mapped by `new` and is in nobody's hands.
            unsafe { libc::munmap(before.cast(), SIZE) };
        }
    }
}

/// What can be called on a further stack.
pub(super) type Function = unsafe extern "C" fn(*mut PyThreadState, *mut c_void, c_int) -> *mut PyObject;

extern "C" {
    fn pyteleport_call_on_stack(
        thread: *mut PyThreadState,
        frame: *mut c_void,
        throw: c_int,
        function: Function,
        top: *mut u8,
    ) -> *mut PyObject;
}

// The frame pointer leads back to the stack before, for what unwinds as well: debuggers, and threads
// that CPython ends with pthread_exit.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".text",
    ".p2align 4",
    ".globl pyteleport_call_on_stack",
    ".hidden pyteleport_call_on_stack",
    ".type pyteleport_call_on_stack, @function",
    "pyteleport_call_on_stack:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "mov rsp, r8",
    "call rcx",
    "mov rsp, rbp",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
    ".size pyteleport_call_on_stack, . - pyteleport_call_on_stack",
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".text",
    ".p2align 4",
    ".globl pyteleport_call_on_stack",
    ".hidden pyteleport_call_on_stack",
    ".type pyteleport_call_on_stack, %function",
    "pyteleport_call_on_stack:",
    ".cfi_startproc",
    "stp x29, x30, [sp, #-16]!",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset x29, -16",
    ".cfi_offset x30, -8",
    "mov x29, sp",
    ".cfi_def_cfa x29, 16",
    "mov sp, x4",
    "blr x3",
    "mov sp, x29",
    ".cfi_def_cfa sp, 16",
    "ldp x29, x30, [sp], #16",
    ".cfi_def_cfa_offset 0",
    ".cfi_restore x29",
    ".cfi_restore x30",
    "ret",
    ".cfi_endproc",
    ".size pyteleport_call_on_stack, . - pyteleport_call_on_stack",
);

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("how to call a function on another stack is known for x86-64 and aarch64 only");
