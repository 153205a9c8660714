//! The variables of a frame: which slot is whose.

use super::Family;

/// The names of a frame's slots before its value stack: locals, cells, free variables.
///
/// From CPython 3.11 on a cell that has the name of a local shares its slot: a parameter that an
/// inner function uses, or, from 3.12 on, the variable of a comprehension that is evaluated in the
/// frame itself. Those have slots in the frames of modules and classes too. A free variable never
/// shares: a name may stand there twice.
pub fn slot_names<T: Clone + PartialEq>(family: Family, locals: &[T], cells: &[T], free: &[T]) -> Vec<T> {
    let shares = |cell: &T| match family {
        Family::SharedFinally | Family::BlockStack => false,
        Family::ExceptionTable => locals.contains(cell),
    };
    let mut names = locals.to_vec();
    names.extend(cells.iter().filter(|cell| !shares(cell)).cloned());
    names.extend_from_slice(free);
    names
}
