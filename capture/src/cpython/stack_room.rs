//! How much of the C stack is left for calls that an evaluator of our own makes nest in C.
//!
//! With such an evaluator every call of the program recurses in C, also where CPython itself would
//! not (3.11 and later). So a program may come to the end of the stack before it comes to its
//! recursion limit (up to 3.13; from 3.14 on CPython looks itself), or to the end of a small budget
//! for calls in C, which CPython charges with every frame (3.12: 1,500 in some micro releases, 3.13:
//! 10,000, each frame counting two). The budget stands for the stack; here the stack itself is looked
//! at, and the budget is set to what it still has room for.

use super::{CStack, CURRENT};
use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use pyo3::prelude::*;

/// So much above its end the stack counts as used up: room for C code that is called last, and for
/// the exception.
const RESERVE: usize = 256 << 10;

/// What one call of CPython's budget may take of the stack: 8 MB are the budget of 3.13.
const PER_CALL: usize = 1 << 10;

/// Whether it is us who look, with an evaluator of our own.
const OURS_TO_WATCH: bool = !matches!(CURRENT.thread.c_stack, CStack::Measured);

/// The part that may be used of the stack that was looked at last: where it begins, and its size.
/// Threads take turns; an address tells whether it is on this stack or on another one. Only touched
/// with the GIL held.
static LOW: AtomicUsize = AtomicUsize::new(0);
/// See [`LOW`].
static SPAN: AtomicUsize = AtomicUsize::new(0);

/// The most that was seen of CPython's budget, which is what a thread begins with.
static BUDGET: AtomicI32 = AtomicI32::new(0);

thread_local! {
    /// The thread's stack, its two ends; worked out once, it takes reading a file of the kernel's.
    static STACK: Cell<Option<(usize, usize)>> = const { Cell::new(None) };
}

/// Looks at the calling thread's stack anew, as when its limit has changed, and at its budget. How
/// many bytes of the stack are left.
pub(super) fn look(py: Python<'_>) -> usize {
    STACK.set(None);
    let here = stack_pointer();
    is_left_on_this(here);
    let end = STACK.get().map_or(0, |(end, _)| end);
    match CURRENT.thread.c_stack {
        CStack::Counted(offset) => {
            // SAFETY: the GIL is held, so the thread has a state, with the field where the layout says.
            let now = unsafe {
                let thread = pyo3::ffi::PyThreadState_Get().cast::<u8>();
                thread.add(offset).cast::<c_int>().read()
            };
            BUDGET.fetch_max(now, Ordering::Relaxed);
        }
        CStack::Measured => tell(py),
        CStack::CountedWithAll => {}
    }
    here.saturating_sub(end + RESERVE)
}

/// Tells CPython how far the stack goes now: it looked when the thread began (3.14 and later).
fn tell(_py: Python<'_>) {
    type SetStackProtection =
        unsafe extern "C" fn(*mut pyo3::ffi::PyThreadState, *mut c_void, usize) -> c_int;
    let Some((end, top)) = STACK.get() else { return };
    // SAFETY: the name ends with NUL. The function is not in the first micro releases of 3.14, which
    // is why it is asked for by name; it has this type, the GIL is held, and the memory named is the
    // calling thread's stack.
    unsafe {
        let name = c"PyUnstable_ThreadState_SetStackProtection";
        let found = libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
        if !found.is_null() {
            let set = core::mem::transmute::<*mut c_void, SetStackProtection>(found);
            set(pyo3::ffi::PyThreadState_Get(), end as *mut c_void, top - end);
        }
    }
}

/// Whether there is room at this address; "no" also means that it is on another stack.
#[inline(always)]
pub(super) fn is_left(here: usize) -> bool {
    !OURS_TO_WATCH || here.wrapping_sub(LOW.load(Ordering::Relaxed)) < SPAN.load(Ordering::Relaxed)
}

/// Whether there is room at this address of the calling thread's stack, which is the one that is
/// looked at from now on.
#[inline(never)]
pub(super) fn is_left_on_this(here: usize) -> bool {
    let stack = STACK.get().or_else(bounds);
    STACK.set(stack);
    // An address on no stack of a thread is on one that a library made; nobody knows its end.
    let Some((end, top)) = stack.filter(|(end, top)| (*end..*top).contains(&here)) else {
        return true;
    };
    let low = end + RESERVE;
    LOW.store(low, Ordering::Relaxed);
    SPAN.store(top.saturating_sub(low), Ordering::Relaxed);
    here > low
}

/// Sets CPython's budget to what the stack has room for.
///
/// # Safety
/// `thread` is the state of the calling thread, which holds the GIL.
#[inline(always)]
pub(super) unsafe fn grant(thread: *mut c_void) {
    if let CStack::Counted(offset) = CURRENT.thread.c_stack {
        let room = stack_pointer().wrapping_sub(LOW.load(Ordering::Relaxed)) / PER_CALL;
        let most = BUDGET.load(Ordering::Relaxed);
        let calls = if room < most as usize { room as c_int } else { most };
        // SAFETY: a field of the live thread state, by the checked layout.
        unsafe { thread.cast::<u8>().add(offset).cast::<c_int>().write(calls) };
    }
}

/// The ends of the calling thread's stack, the lower one first.
fn bounds() -> Option<(usize, usize)> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut end, mut size) = (core::ptr::null_mut(), 0);
    // SAFETY: the first call fills the attributes, which the others read and free.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let got = libc::pthread_attr_getstack(attributes.as_ptr(), &mut end, &mut size);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        (got == 0).then_some((end as usize, end as usize + size))
    }
}

/// Where the stack stands. (The address of a local would do, but a function that takes one keeps a
/// stack frame, and the evaluator is entered by a jump without.)
#[inline(always)]
pub(super) fn stack_pointer() -> usize {
    let here: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: copies a register.
    unsafe {
        core::arch::asm!("mov {}, rsp", out(reg) here, options(nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: copies a register.
    unsafe {
        core::arch::asm!("mov {}, sp", out(reg) here, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let local = 0u8;
        here = core::ptr::addr_of!(local) as usize;
    }
    here
}
