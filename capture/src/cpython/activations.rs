//! What is known of C activations for as long as they run.

use core::ptr::{null_mut, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

/// A list whose links lie on the C stacks, the newest first. Threads take turns, so links need not go in
/// the order they came: it is linked both ways. Only touched with the GIL held.
pub(super) struct Activations<T>(AtomicPtr<Link<T>>);

struct Link<T> {
    known: T,
    older: *mut Link<T>,
    newer: *mut Link<T>,
}

impl<T: Copy> Activations<T> {
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// Runs `activation`, while this is known of it.
    ///
    /// # Safety
    /// The GIL is held, before and after; it does not unwind.
    #[inline(always)]
    pub(super) unsafe fn during<R>(&self, known: T, activation: impl FnOnce() -> R) -> R {
        let older = self.0.load(Ordering::Relaxed);
        let mut link = Link {
            known,
            older,
            newer: null_mut(),
        };
        let here: *mut Link<T> = &mut link;
        // SAFETY: the links are on the stacks of activations that have not returned; the GIL is held at
        // every change of the list.
        unsafe {
            if let Some(mut older) = NonNull::new(older) {
                older.as_mut().newer = here;
            }
            self.0.store(here, Ordering::Relaxed);
            let result = activation();
            let (older, newer) = ((*here).older, (*here).newer);
            match NonNull::new(newer) {
                Some(mut newer) => newer.as_mut().older = older,
                None => self.0.store(older, Ordering::Relaxed),
            }
            if let Some(mut older) = NonNull::new(older) {
                older.as_mut().newer = newer;
            }
            result
        }
    }

    /// What is known of the newest activation that is of this kind.
    ///
    /// # Safety
    /// The GIL is held.
    #[inline(always)]
    pub(super) unsafe fn find(&self, is_it: impl Fn(T) -> bool) -> Option<T> {
        let mut link = self.0.load(Ordering::Relaxed);
        // SAFETY: the links are alive, and do not change while the GIL is held.
        while let Some(Link { known, older, .. }) = unsafe { link.as_ref() } {
            if is_it(*known) {
                return Some(*known);
            }
            link = *older;
        }
        None
    }
}
