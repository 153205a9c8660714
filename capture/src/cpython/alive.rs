//! Slots that may dangle.
//!
//! Up to CPython 3.13 a frame that waits for a call does not say how deep its stack is: nobody knows
//! whether the instruction in progress still waits, or gives its operands up already, one of which runs
//! the program's code while it goes, as a `__del__`. The words that it has given up are still there. So
//! such a word is looked at before it is followed: the kernel is asked whether memory is there, and what
//! is there has to be an object from its count of references to the type of its type. Memory that was let
//! go is not: allocators keep a link where the count was, and an object that is kept for later has none.

use core::mem::{align_of, offset_of, size_of};
use core::ptr::{addr_of, null};
use core::sync::atomic::{AtomicUsize, Ordering};
use pyo3::ffi;
use std::sync::OnceLock;

/// The words with which every object begins.
#[repr(C)]
#[derive(Clone, Copy)]
struct Head {
    count: usize,
    kind: usize,
}

const _: () = assert!(offset_of!(Head, kind) == size_of::<isize>());

/// An object's type, that one's metaclass, and one more: `type`.
const MOST_TYPES: usize = 4;

/// Static types that were found, each at its hash: they live as long as the process does.
static STATIC_TYPES: [AtomicUsize; 256] = [const { AtomicUsize::new(0) }; 256];

/// Whether there is an object at this address, as far as its memory tells.
pub(super) fn looks_alive(address: usize) -> bool {
    // The address of a static alone: nothing is read.
    let last = addr_of!(ffi::PyType_Type) as usize;
    let mut types = [last; MOST_TYPES];
    let mut at = address;
    for place in &mut types {
        let Some(head) = head_at(at).filter(Head::is_counted) else {
            return false;
        };
        if head.kind == last || place_of(head.kind).load(Ordering::Relaxed) == head.kind {
            types.into_iter().for_each(keep_in_mind);
            return true;
        }
        *place = head.kind;
        at = head.kind;
    }
    false
}

/// Keeps a type in mind that lives, if it is a static one.
fn keep_in_mind(kind: usize) {
    // SAFETY: what has a type, whose type has one, up to `type`, is a type.
    let flags = unsafe { ffi::PyType_GetFlags(kind as *mut ffi::PyTypeObject) };
    if flags & ffi::Py_TPFLAGS_HEAPTYPE == 0 {
        place_of(kind).store(kind, Ordering::Relaxed);
    }
}

fn place_of(kind: usize) -> &'static AtomicUsize {
    &STATIC_TYPES[(kind >> 5) % STATIC_TYPES.len()]
}

impl Head {
    /// Whether somebody has a reference. The counts of immortal objects are of 32 bits (PEP 683).
    fn is_counted(&self) -> bool {
        (1..=u32::MAX as usize).contains(&self.count)
    }
}

/// The head of what may be an object.
fn head_at(address: usize) -> Option<Head> {
    if address == 0 || address % align_of::<Head>() != 0 {
        return None;
    }
    let words = [address, address.checked_add(offset_of!(Head, kind))?];
    words.into_iter().all(is_mapped).then(|| {
        // SAFETY: the memory is there, and aligned; the GIL is held, so nobody writes to it.
        unsafe { (address as *const Head).read_volatile() }
    })
}

/// Whether the word at this address can be read.
pub(super) fn is_mapped(address: usize) -> bool {
    /// No memory is ever mapped there.
    const NOWHERE: usize = size_of::<Head>();
    static HERE: AtomicUsize = AtomicUsize::new(0);
    static TELLS: OnceLock<bool> = OnceLock::new();
    match TELLS.get_or_init(|| is_copied(addr_of!(HERE) as usize) && !is_copied(NOWHERE)) {
        true => is_copied(address),
        false => is_in_mapped_page(address),
    }
}

/// Whether the kernel can copy the word at this address.
fn is_copied(address: usize) -> bool {
    const NO_ACTION: usize = usize::MAX;
    // SAFETY: the kernel copies a signal set of one word, or fails where there is none (EFAULT), before it
    // finds that it is to do nothing known with it (EINVAL).
    let failed = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            NO_ACTION,
            address,
            null::<usize>(),
            size_of::<usize>(),
        )
    };
    failed == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL)
}

/// Whether memory is mapped, for whatever stands in the kernel's place and does otherwise, as QEMU does.
fn is_in_mapped_page(address: usize) -> bool {
    const LEAST_PAGE: usize = 4096;
    let page = address & !(LEAST_PAGE - 1);
    // SAFETY: the call reads nothing, and fails where there is no memory; without write-back pending
    // of private memory it has no effect.
    unsafe { libc::msync(page as *mut _, LEAST_PAGE, libc::MS_ASYNC) == 0 }
}

#[cfg(test)]
mod tests {
    use super::super::{Words, CURRENT};
    use super::*;

    #[test]
    fn what_is_no_object_does_not_look_alive() {
        let words = [1usize, 0x10, 0, 0];
        assert!(!looks_alive(0));
        assert!(!looks_alive(3));
        assert!(!looks_alive(8)); // not mapped
        assert!(!looks_alive(usize::MAX - 7));
        assert!(!looks_alive(words.as_ptr() as usize));
        // Later releases keep flags beside the count, and do not ask.
        if CURRENT.frame.words == Words::Pointers {
            assert!(looks_alive(addr_of!(ffi::PyLong_Type) as usize));
        }
    }
}
