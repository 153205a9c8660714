//! Slots that may dangle.
//!
//! Up to CPython 3.13 a frame that waits for a call does not say how deep its stack is: nobody knows
//! whether the instruction in progress still waits, or gives its operands up already, one of which runs
//! the program's code while it goes, as a `__del__`. The words that it has given up are still there. So
//! such a word is looked at before it is followed: memory is read through the kernel, which refuses
//! where none is mapped, and what is there has to be an object from its count of references to the type
//! of its type. Memory that was let go is not: allocators keep a link where the count was, and an object
//! that is kept for later has none.

use core::mem::offset_of;
use core::ptr::addr_of;
use pyo3::ffi;

/// The words with which every object begins.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Head {
    count: usize,
    kind: usize,
}

const _: () = assert!(offset_of!(Head, kind) == core::mem::size_of::<isize>());

/// An object's type, that one's metaclass, and one more: `type`.
const MOST_TYPES: usize = 4;

/// Whether there is an object at this address, as far as its memory tells.
pub(super) fn looks_alive(address: usize) -> bool {
    // The address of a static alone: nothing is read.
    let last = addr_of!(ffi::PyType_Type) as usize;
    let mut at = address;
    for _ in 0..MOST_TYPES {
        let Some(head) = head_at(at).filter(Head::is_counted) else {
            return false;
        };
        if head.kind == last {
            return true;
        }
        at = head.kind;
    }
    false
}

impl Head {
    /// Whether somebody has a reference. The counts of immortal objects are of 32 bits (PEP 683).
    fn is_counted(&self) -> bool {
        (1..=u32::MAX as usize).contains(&self.count)
    }
}

/// The head of what may be an object.
fn head_at(address: usize) -> Option<Head> {
    if address == 0 || address % core::mem::align_of::<Head>() != 0 {
        return None;
    }
    let mut head = Head::default();
    let size = core::mem::size_of::<Head>();
    let here = libc::iovec {
        iov_base: (&raw mut head).cast(),
        iov_len: size,
    };
    let there = libc::iovec {
        iov_base: address as *mut _,
        iov_len: size,
    };
    // SAFETY: the kernel writes at most `size` bytes to `head`, any bits of which are a value of its
    // type, and reads of our own memory at `there`, or says that it is none.
    let read = unsafe { libc::process_vm_readv(libc::getpid(), &here, 1, &there, 1, 0) };
    if read == size as isize {
        return Some(head);
    }
    // Some sandboxes do not have the call.
    let is_refused = std::io::Error::last_os_error().raw_os_error() != Some(libc::EFAULT);
    (is_refused && is_mapped(address, size)).then(|| {
        // SAFETY: the memory is there, and aligned; the GIL is held, so nobody writes to it.
        unsafe { (address as *const Head).read_volatile() }
    })
}

/// Whether memory is mapped.
fn is_mapped(address: usize, size: usize) -> bool {
    const LEAST_PAGE: usize = 4096;
    let page = address & !(LEAST_PAGE - 1);
    // SAFETY: the call reads nothing, and fails where there is no memory; without write-back pending
    // of private memory it has no effect.
    unsafe { libc::msync(page as *mut _, address - page + size, libc::MS_ASYNC) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_does_not_look_alive() {
        let words = [1usize, 0x10, 0, 0];
        assert!(!looks_alive(0));
        assert!(!looks_alive(3));
        assert!(!looks_alive(8)); // not mapped
        assert!(!looks_alive(words.as_ptr() as usize));
    }
}
