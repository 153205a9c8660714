//! How much of the C stack is left for calls that an evaluator of our own makes nest in C.
//!
//! With such an evaluator every call of the program recurses in C, also where CPython itself would
//! not (3.11 and later). So a program may come to the end of the stack before it comes to its
//! recursion limit, in a thread with a small stack very soon, or to the end of a small budget
//! for calls in C, which CPython charges with every frame (3.12: 1,500 in some micro releases, 3.13:
//! 10,000, each frame counting two). The budget stands for the stack; here the stack itself is looked
//! at, and the budget is set to what it still has room for. Where no more of a stack is left than C code
//! should have, the calls go on on a further one.

use super::further_stack::{self, Further};
use super::{CStack, CURRENT};
use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use pyo3::prelude::*;
use std::sync::OnceLock;

/// So much above its end a stack counts as used up where there is no further one: room for C code that
/// is called last, and for the exception. A quarter of a small one.
const RESERVE: usize = 256 << 10;

/// What one call of CPython's budget may take of the stack: 8 MB are the budget of 3.13.
const PER_CALL: usize = 1 << 10;

/// So much of a stack is C code's, if there is a further one for the calls above: half of it, and no
/// less than this or what CPython's budget stands for.
const LEAST_FOR_C: usize = 2 << 20;

/// After so much more of a stack CPython's budget is set anew when a call returns: each call gives back on
/// its return what it was charged, which the calls inside of it were not.
const SEGMENT: usize = 128 << 10;

/// What CPython itself needs to look at a stack (`_PyOS_MIN_STACK_SIZE`; 3.14 and later).
const LEAST_MEASURED: usize = 48 << 10;

/// The part that may be used of the stack that was looked at last: where it begins, and its size.
/// Threads take turns; an address tells whether it is on this stack or on another one. Only touched
/// with the GIL held.
static LOW: AtomicUsize = AtomicUsize::new(0);
/// See [`LOW`].
static SPAN: AtomicUsize = AtomicUsize::new(0);
/// Where the same stack counts as used up, for C code.
static FLOOR: AtomicUsize = AtomicUsize::new(0);

/// The most that was seen of CPython's budget, which is what a thread begins with.
static BUDGET: AtomicI32 = AtomicI32::new(0);

thread_local! {
    /// The thread's own stack; worked out once, it takes reading a file of the kernel's.
    static OWN: Cell<Option<Stack>> = const { Cell::new(None) };

    /// The further stack that the thread is on.
    static FURTHER: Cell<Option<Stack>> = const { Cell::new(None) };
}

/// The two ends of a stack, the lower one first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack {
    pub(super) end: usize,
    pub(super) top: usize,
}

impl Stack {
    fn has(self, address: usize) -> bool {
        (self.end..self.top).contains(&address)
    }

    fn floor(self) -> usize {
        self.end + RESERVE.min((self.top - self.end) / 4)
    }

    /// Where another one takes over.
    fn low(self) -> usize {
        let budget = BUDGET.load(Ordering::Relaxed) as usize * PER_CALL;
        (self.floor() + budget.max(LEAST_FOR_C)).max(self.end + (self.top - self.end) / 2)
    }

    /// The one that the calling thread is on at this address. An address on none of a thread's is on one
    /// that a library made; nobody knows its end.
    fn of(here: usize) -> Option<Self> {
        let further = FURTHER.get().filter(|stack| stack.has(here));
        further.or_else(|| {
            let own = OWN.get().or_else(bounds);
            OWN.set(own);
            own.filter(|stack| stack.has(here))
        })
    }
}

/// Looks at the calling thread's stack anew, as when its limit has changed, and at its budget. How
/// many bytes of the stack are left.
pub(super) fn look(py: Python<'_>) -> usize {
    OWN.set(None);
    let here = stack_pointer();
    let stack = Stack::of(here);
    match CURRENT.thread.c_stack {
        CStack::Counted(offset) => {
            // SAFETY: the GIL is held, so the thread has a state, with the field where the layout says.
            let now = unsafe {
                let thread = pyo3::ffi::PyThreadState_Get().cast::<u8>();
                thread.add(offset).cast::<c_int>().read()
            };
            BUDGET.fetch_max(now, Ordering::Relaxed);
        }
        CStack::Measured => {
            if let (Some(stack), Some(tell)) = (stack, tell(py)) {
                tell(stack);
            }
        }
        CStack::CountedWithAll => {}
    }
    is_left_on_this(here);
    here.saturating_sub(stack.map_or(0, |stack| stack.end + RESERVE))
}

/// What tells CPython how far the stack goes that the calling thread is on: it looked when the thread
/// began (3.14 and later). Not in the first micro releases of 3.14, which is why it is asked for by name.
fn tell(_py: Python<'_>) -> Option<impl Fn(Stack)> {
    type SetStackProtection =
        unsafe extern "C" fn(*mut pyo3::ffi::PyThreadState, *mut c_void, usize) -> c_int;
    static FOUND: OnceLock<Option<SetStackProtection>> = OnceLock::new();
    let set = (*FOUND.get_or_init(|| {
        // SAFETY: the name ends with NUL, and the function of this name has this type.
        unsafe {
            let found = libc::dlsym(
                libc::RTLD_DEFAULT,
                c"PyUnstable_ThreadState_SetStackProtection".as_ptr(),
            );
            (!found.is_null()).then(|| core::mem::transmute::<*mut c_void, SetStackProtection>(found))
        }
    }))?;
    Some(move |stack: Stack| {
        if stack.top - stack.end >= LEAST_MEASURED {
            // SAFETY: the GIL is held, and the memory named is a stack of the calling thread.
            unsafe {
                set(
                    pyo3::ffi::PyThreadState_Get(),
                    stack.end as *mut c_void,
                    stack.top - stack.end,
                )
            };
        }
    })
}

/// Whether there is room at this address; "no" also means that it is on another stack.
#[inline(always)]
pub(super) fn is_left(here: usize) -> bool {
    here.wrapping_sub(LOW.load(Ordering::Relaxed)) < SPAN.load(Ordering::Relaxed)
}

/// Whether there is room at this address of the calling thread's stack, which is the one that is
/// looked at from now on: as far as it should be used, and no further than one segment.
#[inline(never)]
pub(super) fn is_left_on_this(here: usize) -> bool {
    let Some(stack) = Stack::of(here) else {
        return true;
    };
    let segment = match CURRENT.thread.c_stack {
        CStack::Counted(_) => SEGMENT,
        CStack::CountedWithAll | CStack::Measured => usize::MAX,
    };
    let low = stack.low().max(here.saturating_sub(segment));
    LOW.store(low, Ordering::Relaxed);
    SPAN.store(stack.top.saturating_sub(low), Ordering::Relaxed);
    FLOOR.store(stack.floor(), Ordering::Relaxed);
    here > stack.low()
}

/// Whether the stack that was looked at last has room at this address for what has to stay on it.
pub(super) fn is_left_for_the_last(here: usize) -> bool {
    matches!(CURRENT.thread.c_stack, CStack::Measured) || here > FLOOR.load(Ordering::Relaxed)
}

/// Calls a function with an evaluator's arguments on a further stack; `None` where there can be none.
///
/// # Safety
/// The function takes these arguments, and the thread state, where it is not null, is the calling thread's.
pub(super) unsafe fn call_on_further(
    function: further_stack::Function,
    thread: *mut pyo3::ffi::PyThreadState,
    frame: *mut c_void,
    throw: c_int,
) -> Option<*mut pyo3::ffi::PyObject> {
    // SAFETY: the evaluator is called with the GIL held.
    let py = unsafe { Python::assume_attached() };
    let before = Stack::of(stack_pointer())?;
    let tell = match CURRENT.thread.c_stack {
        CStack::Measured if before.top - before.end < LEAST_MEASURED => return None,
        CStack::Measured => Some(tell(py)?),
        CStack::Counted(_) | CStack::CountedWithAll => None,
    };
    if stacks_are_moved(py) {
        return None;
    }
    let further = Further::new()?;
    let outer = FURTHER.replace(Some(further.bounds()));
    is_left_on_this(further.bounds().top - 1);
    tell.iter().for_each(|tell| tell(further.bounds()));
    // SAFETY: as the caller promises; the stack is a new one.
    let result = unsafe { further.call(function, thread, frame, throw) };
    FURTHER.set(outer);
    tell.iter().for_each(|tell| tell(before));
    if stacks_are_moved(py) {
        // Something that began on it may have been set aside, to go on there later.
        further.leak();
    }
    Some(result)
}

/// Whether there is somebody who sets pieces of the C stack aside and lays them back: they reach from
/// one address to another, which has to be the same stack.
#[allow(deprecated)] // what comes after PyErr_Fetch is not in 3.11
fn stacks_are_moved(_py: Python<'_>) -> bool {
    // SAFETY: the GIL is held; an exception may be set, which is kept from the look into the dict.
    unsafe {
        let (mut kind, mut value, mut traceback) = (null_mut(), null_mut(), null_mut());
        pyo3::ffi::PyErr_Fetch(&mut kind, &mut value, &mut traceback);
        let modules = pyo3::ffi::PyImport_GetModuleDict();
        let found =
            !modules.is_null() && !pyo3::ffi::PyDict_GetItemString(modules, c"greenlet".as_ptr()).is_null();
        pyo3::ffi::PyErr_Restore(kind, value, traceback);
        found
    }
}

/// Sets CPython's budget to what the stack has room for.
///
/// # Safety
/// `thread` is the state of the calling thread, which holds the GIL.
pub(super) unsafe fn grant(thread: *mut c_void) {
    let room = stack_pointer().wrapping_sub(FLOOR.load(Ordering::Relaxed)) / PER_CALL;
    let most = BUDGET.load(Ordering::Relaxed);
    let calls = if room < most as usize { room as c_int } else { most };
    // SAFETY: as the caller promises.
    unsafe { set_budget(thread, calls) };
}

/// Sets CPython's budget to all of it, for which there is room where [`is_left`] says so.
///
/// # Safety
/// As for [`grant`].
#[inline(always)]
pub(super) unsafe fn grant_all(thread: *mut c_void) {
    // SAFETY: as the caller promises.
    unsafe { set_budget(thread, BUDGET.load(Ordering::Relaxed)) };
}

#[inline(always)]
unsafe fn set_budget(thread: *mut c_void, calls: c_int) {
    if let CStack::Counted(offset) = CURRENT.thread.c_stack {
        // SAFETY: a field of the live thread state, by the checked layout.
        unsafe { thread.cast::<u8>().add(offset).cast::<c_int>().write(calls) };
    }
}

/// The calling thread's own stack.
fn bounds() -> Option<Stack> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut end, mut size) = (null_mut(), 0);
    // SAFETY: the first call fills the attributes, which the others read and free.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let got = libc::pthread_attr_getstack(attributes.as_ptr(), &mut end, &mut size);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        (got == 0).then_some(Stack {
            end: end as usize,
            top: end as usize + size,
        })
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
