//! Sets and frozen sets by their tables: their order, and what they will do with what is added to them, depend on
//! where their members lie, which depends on all that was ever in them.
//!
//! The struct is the same on CPython 3.8–3.15 (Objects/setobject.c), printed by programs compiled against each, and
//! so is the way in which a table is searched.

use super::ffi::_PySet_Dummy;
use super::frame::Address;
use pyo3::exceptions::{PyMemoryError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PySet};

/// `PySetObject`, of sets and frozen sets alike.
mod set {
    pub const FILL: usize = 16;
    pub const USED: usize = 24;
    pub const MASK: usize = 32;
    pub const TABLE: usize = 40;
    pub const HASH: usize = 48;
    pub const FINGER: usize = 56;
    pub const SMALL_TABLE: usize = 64;
    /// Eight entries of a key and its hash.
    pub const SMALL_WORDS: usize = 16;
}

/// A key, and its hash.
const ENTRY: usize = 2 * size_of::<usize>();
/// The mask of the table that lies in the object.
const SMALL_MASK: usize = 7;
/// How many entries are looked at one after the other (`LINEAR_PROBES`).
const PROBES: usize = 9;
/// `PERTURB_SHIFT`.
const SHIFT: u32 = 5;

/// Where the members of a set lie in its table, and where some lay that were taken out.
#[derive(Debug, PartialEq, Eq)]
pub struct Places {
    /// One less than the table has entries, which are a power of two.
    pub mask: usize,
    /// From where `pop` goes on.
    pub finger: usize,
    /// The entries in use, and whether a member is there.
    pub used: Vec<(usize, bool)>,
}

impl Places {
    /// Those of a set or frozen set. Its members are in the order in which it gives them.
    pub fn of(set: &Bound<'_, PyAny>) -> Self {
        let at = Address::of(set);
        let mask: usize = at.get(set::MASK);
        let used = (0..=mask).filter_map(|slot| {
            let key = entry(at, slot);
            (key != 0).then(|| (slot, key != dummy()))
        });
        Self {
            mask,
            finger: at.get(set::FINGER),
            used: used.collect(),
        }
    }

    /// How many members there are.
    pub fn members(&self) -> usize {
        self.used.iter().filter(|(_, is_member)| *is_member).count()
    }

    /// Whether there is a table like this. None is made for far more than it will hold.
    fn is_possible(&self) -> bool {
        if self.mask / 64 > self.used.len() {
            return false;
        }
        let in_order = self.used.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let within = self.used.last().is_none_or(|(slot, _)| *slot <= self.mask);
        self.mask >= SMALL_MASK
            && (self.mask + 1).is_power_of_two()
            && in_order
            && within
            && self.used.len() <= self.mask
    }
}

/// The key of an entry.
fn entry(set: Address, slot: usize) -> usize {
    let table = Address::new(set.get(set::TABLE)).expect("a set has a table");
    table.get(slot * ENTRY)
}

/// What lies where a member was taken out.
fn dummy() -> usize {
    // SAFETY: a pointer that is set once, when the interpreter is compiled.
    unsafe { _PySet_Dummy as usize }
}

/// Puts members into an empty set, where they were in another. False if they would not be found there, because their
/// hashes are not what they were; then the set is still empty.
pub fn put(set: &Bound<'_, PyAny>, members: &[Bound<'_, PyAny>], places: &Places) -> PyResult<bool> {
    if !places.is_possible() || places.members() != members.len() {
        return Ok(false);
    }
    // This may run code of the program.
    let hashes = members
        .iter()
        .map(|member| member.hash())
        .collect::<PyResult<Vec<_>>>()?;
    let mut table = vec![(0, 0); places.mask + 1];
    let mut rest = members.iter().zip(&hashes);
    for &(slot, is_member) in &places.used {
        let member = if is_member { rest.next() } else { None };
        table[slot] = member.map_or((dummy(), -1), |(member, &hash)| (member.as_ptr() as usize, hash));
    }
    let mut found = places
        .used
        .iter()
        .filter(|(_, is_member)| *is_member)
        .zip(&hashes);
    if !found.all(|(&(slot, _), &hash)| is_found(&table, hash, slot)) {
        return Ok(false);
    }
    lay(set, members, &table, places)
}

/// Whether the search for this hash comes by this entry before it ends.
fn is_found(table: &[(usize, isize)], hash: isize, slot: usize) -> bool {
    let mask = table.len() - 1;
    let mut perturb = hash as usize;
    let mut at = perturb & mask;
    loop {
        let more = if at + PROBES <= mask { PROBES } else { 0 };
        for (probed, (key, _)) in table.iter().enumerate().skip(at).take(1 + more) {
            if probed == slot {
                return true;
            }
            if *key == 0 {
                return false;
            }
        }
        perturb >>= SHIFT;
        at = at.wrapping_mul(5).wrapping_add(1).wrapping_add(perturb) & mask;
    }
}

/// A set that gives its members in this order, for an iterator to go through: whether it has one, it would not know.
pub fn in_order<'py>(py: Python<'py>, members: &[Bound<'py, PyAny>]) -> PyResult<Bound<'py, PySet>> {
    let made = PySet::empty(py)?;
    let mut mask = SMALL_MASK;
    while mask < members.len() + 1 {
        mask = 2 * mask + 1;
    }
    let mut table = vec![(0, 0); mask + 1];
    for (entry, member) in table.iter_mut().zip(members) {
        *entry = (member.as_ptr() as usize, 0);
    }
    let used = (0..members.len()).map(|slot| (slot, true)).collect();
    lay(
        &made,
        members,
        &table,
        &Places {
            mask,
            finger: 0,
            used,
        },
    )?;
    Ok(made)
}

/// Lets an empty set have this table, in which there are these members.
fn lay(
    set: &Bound<'_, PyAny>,
    members: &[Bound<'_, PyAny>],
    table: &[(usize, isize)],
    places: &Places,
) -> PyResult<bool> {
    let at = Address::of(set);
    if at.get::<usize>(set::FILL) != 0 || at.get::<usize>(set::MASK) != SMALL_MASK {
        return Ok(false);
    }
    if places.mask > SMALL_MASK {
        // SAFETY: gives so much memory of the kind that sets use, or NULL.
        let memory = unsafe { ffi::PyMem_Malloc(table.len() * ENTRY) };
        if memory.is_null() {
            return Err(PyMemoryError::new_err(()));
        }
        at.set(set::TABLE, memory);
    }
    let to = Address::new(at.get(set::TABLE)).expect("a set has a table");
    for (slot, &(key, hash)) in table.iter().enumerate() {
        to.set::<usize>(slot * ENTRY, key);
        to.set::<isize>(slot * ENTRY + size_of::<usize>(), hash);
    }
    for member in members {
        // The table has a reference of its own.
        let _ = member.clone().into_ptr();
    }
    at.set::<usize>(set::MASK, places.mask);
    at.set::<usize>(set::FILL, places.used.len());
    at.set::<usize>(set::USED, members.len());
    at.set::<usize>(set::FINGER, places.finger);
    Ok(true)
}

/// A frozen set that holds nothing yet, and is no other's: the empty one is shared on old releases.
pub fn unfilled_frozenset(py: Python<'_>) -> PyResult<Bound<'_, PyFrozenSet>> {
    let made = PyFrozenSet::new(py, [0])?;
    let nothing = PySet::empty(py)?;
    exchange(&made, &nothing);
    Ok(made)
}

/// Puts what a set holds into such a frozen set. The set is empty then.
pub fn fill_frozenset(target: &Bound<'_, PyAny>, items: &Bound<'_, PySet>) -> PyResult<()> {
    let target = target.cast_exact::<PyFrozenSet>()?;
    if !target.is_empty() {
        return Err(PyTypeError::new_err("a frozen set that is filled already"));
    }
    exchange(target, items);
    Ok(())
}

/// Has the members of a set, frozen set or one of a class that derives from them lie where they did in another. False
/// if they are not these, or would not be found there; then nothing has changed.
pub fn rearrange(set: &Bound<'_, PyAny>, members: &[Bound<'_, PyAny>], places: &Places) -> PyResult<bool> {
    let py = set.py();
    let is_set = set.is_instance_of::<PySet>() || set.is_instance_of::<PyFrozenSet>();
    if !is_set || Places::of(set).members() != members.len() {
        return Ok(false);
    }
    let arranged = PySet::empty(py)?;
    if !put(&arranged, members, places)? {
        return Ok(false);
    }
    exchange(set, &arranged);
    Ok(true)
}

/// Lets two sets, frozen or not, hold each what the other one held.
fn exchange(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) {
    let (one, other) = (Address::of(one), Address::of(other));
    for at in [one, other] {
        // The tables that lie in the objects are copied, so that these are told by NULL meanwhile.
        if at.get::<usize>(set::TABLE) == at.at::<usize>(set::SMALL_TABLE) as usize {
            at.set::<usize>(set::TABLE, 0);
        }
    }
    let words = [set::FILL, set::USED, set::MASK, set::TABLE, set::FINGER];
    let small = (0..set::SMALL_WORDS).map(|word| set::SMALL_TABLE + word * size_of::<usize>());
    for offset in words.into_iter().chain(small) {
        let (a, b) = (one.get::<usize>(offset), other.get::<usize>(offset));
        one.set(offset, b);
        other.set(offset, a);
    }
    for at in [one, other] {
        if at.get::<usize>(set::TABLE) == 0 {
            at.set(set::TABLE, at.at::<usize>(set::SMALL_TABLE) as usize);
        }
        // what was remembered is that of the other contents
        at.set::<isize>(set::HASH, -1);
    }
}
