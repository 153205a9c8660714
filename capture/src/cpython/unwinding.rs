//! The C stack as whoever unwinds it sees it: libgcc's unwinder, which the standard library brings along.
//!
//! It is asked for more than the `backtrace` crate tells: what the registers of an outer activation held
//! that its callees have to preserve.

use core::ffi::{c_int, c_void};

/// The registers that a callee preserves, by the numbers that unwinders know them under.
#[cfg(target_arch = "x86_64")]
const PRESERVED: [c_int; 6] = [3, 6, 12, 13, 14, 15]; // rbx, rbp, r12–r15
/// The registers that a callee preserves, by the numbers that unwinders know them under.
#[cfg(target_arch = "aarch64")]
const PRESERVED: [c_int; 11] = [19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29]; // x19–x29

const WORD: usize = core::mem::size_of::<usize>();

/// More words than an evaluator has of the stack for itself.
const MOST_WORDS: usize = 512;

/// A C function that has been called and has not returned.
#[derive(Clone, Copy, Debug)]
pub(super) struct CActivation {
    /// Where it goes on when what it has called returns.
    pub returns_to: usize,
    /// Where the function begins, or the part of it that this is in: a compiler may lay rare ones elsewhere.
    pub function: usize,
    /// Where its part of the stack begins.
    pub stack: usize,
    /// What it will find in the preserved registers then.
    registers: [usize; PRESERVED.len()],
}

impl CActivation {
    /// Whether it has not gone on since.
    pub(super) fn is_as_was(&self, then: &Self) -> bool {
        (self.returns_to, self.stack) == (then.returns_to, then.stack)
    }
}

/// A place where an activation keeps a value while it waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// One of the preserved registers.
    Register(usize),
    /// A word of its part of the stack, counted from where that begins.
    Word(usize),
}

/// The activations on the calling thread's stack, innermost first, as far as they were looked at. All of them
/// are callers of who has this, and stay where they are.
pub(super) struct CallStack(Vec<CActivation>);

impl CallStack {
    /// Runs `work` with the stack: outwards from here, until `is_enough` says so of what there is so far.
    pub(super) fn look<T>(mut is_enough: impl FnMut(&Self) -> bool, work: impl FnOnce(&Self) -> T) -> T {
        struct Walk<'a> {
            stack: CallStack,
            is_enough: &'a mut dyn FnMut(&CallStack) -> bool,
        }

        extern "C" fn step(context: *mut Context, walk: *mut c_void) -> c_int {
            // SAFETY: the unwinder hands on the pointer that `look` gives it, which nobody else uses meanwhile;
            // the context is that of an activation whose preserved registers the unwinder has found.
            let (walk, activation) = unsafe {
                let walk = &mut *walk.cast::<Walk<'_>>();
                let activation = CActivation {
                    returns_to: _Unwind_GetIP(context),
                    function: _Unwind_GetRegionStart(context),
                    stack: _Unwind_GetCFA(context),
                    registers: PRESERVED.map(|number| _Unwind_GetGR(context, number)),
                };
                (walk, activation)
            };
            walk.stack.0.push(activation);
            match (walk.is_enough)(&walk.stack) {
                true => STOP,
                false => GO_ON,
            }
        }

        let mut walk = Walk {
            stack: Self(Vec::new()),
            is_enough: &mut is_enough,
        };
        // SAFETY: `step` does not unwind, and gets what it takes for a `Walk`.
        unsafe { _Unwind_Backtrace(step, (&raw mut walk).cast()) };
        work(&walk.stack)
    }

    pub(super) fn activations(&self) -> &[CActivation] {
        &self.0
    }

    /// Whether an address lies in an activation's part of the stack; no if that of its caller is not known.
    pub(super) fn has(&self, index: usize, address: usize) -> bool {
        let end = self.0.get(index + 1).map_or(0, |caller| caller.stack);
        (self.0[index].stack..end).contains(&address)
    }

    /// What an activation keeps in a place.
    pub(super) fn kept(&self, index: usize, place: Place) -> usize {
        let activation = &self.0[index];
        match place {
            Place::Register(number) => activation.registers[number],
            // SAFETY: a word between the start of a running activation's part of the stack and the top of the
            // stack, as only `places` makes them, of an activation that returns to the same instruction.
            Place::Word(word) => unsafe { (activation.stack as *const usize).add(word).read_volatile() },
        }
    }

    /// Where an activation keeps this value.
    pub(super) fn places(&self, index: usize, value: usize) -> Vec<Place> {
        let end = self.0.get(index + 1).map_or(0, |caller| caller.stack);
        let words = (end.saturating_sub(self.0[index].stack) / WORD).min(MOST_WORDS);
        let registers = (0..PRESERVED.len()).map(Place::Register);
        let places = registers.chain((0..words).map(Place::Word));
        places.filter(|place| self.kept(index, *place) == value).collect()
    }
}

#[repr(C)]
struct Context {
    private: [u8; 0],
}

/// `_URC_NO_REASON`.
const GO_ON: c_int = 0;
/// `_URC_NORMAL_STOP`.
const STOP: c_int = 4;

extern "C" {
    fn _Unwind_Backtrace(
        step: extern "C" fn(*mut Context, *mut c_void) -> c_int,
        argument: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIP(context: *mut Context) -> usize;
    fn _Unwind_GetRegionStart(context: *mut Context) -> usize;
    fn _Unwind_GetCFA(context: *mut Context) -> usize;
    fn _Unwind_GetGR(context: *mut Context, register: c_int) -> usize;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn inner(depth: usize) -> (usize, bool) {
        CallStack::look(
            |stack| stack.activations().len() > depth,
            |stack| {
                let grows = stack
                    .activations()
                    .windows(2)
                    .all(|pair| pair[0].stack <= pair[1].stack);
                (stack.activations().len(), grows)
            },
        )
    }

    #[test]
    fn walks_outwards_as_far_as_it_is_told() {
        assert_eq!(inner(2), (3, true));
        let (all, grows) = inner(usize::MAX);
        assert!(all > 3 && grows);
    }
}
