//! Signals that have come and whose handlers wait for another handler to return.
//!
//! CPython notes each signal that came in a table beside its handler, goes through that between two instructions, and
//! calls the handlers one after the other. While one of them runs, what is behind it in the table is known there
//! alone. The table has no name that a running program could look up (Modules/signalmodule.c, up to 3.11 `Handlers`,
//! then `_PyRuntime.signals.handlers`), but looks like nothing else: it has all handlers, in order.

use super::modules::import;
use core::ffi::{c_int, c_void};
use pyo3::ffi;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Signals that an interpreter knows, without 0.
const SIGNALS: usize = 64;

/// An item of the table: `tripped`, `func`.
const ITEM: usize = 16;
const FUNCTION: usize = 8;

/// Where the item of signal 0 lies: 0 as long as nobody has looked, 1 if it was not found.
static TABLE: AtomicUsize = AtomicUsize::new(0);
const NOWHERE: usize = 1;

/// Whether it can be told which signals have come.
pub fn are_known(py: Python<'_>) -> PyResult<bool> {
    table(py).map(|table| table.is_some())
}

/// The numbers of the signals whose handlers wait, in the order in which they will be called.
pub fn waiting(py: Python<'_>) -> PyResult<Vec<c_int>> {
    let Some(table) = table(py)? else {
        return Ok(Vec::new());
    };
    let is_tripped = |number: &usize| table.tripped(*number) != 0;
    Ok((1..=SIGNALS)
        .filter(is_tripped)
        .map(|number| number as c_int)
        .collect())
}

/// Has the handlers of these signals wait, or no longer; whether that could be done.
pub fn set_waiting(py: Python<'_>, numbers: &[c_int], wait: bool) -> PyResult<bool> {
    let Some(table) = table(py)?.filter(|_| !numbers.is_empty()) else {
        return Ok(numbers.is_empty());
    };
    for number in numbers {
        if let Some(number) = usize::try_from(*number)
            .ok()
            .filter(|number| (1..=SIGNALS).contains(number))
        {
            table.set_tripped(number, wait);
        }
    }
    Ok(true)
}

/// Does something as if no handler waited.
pub fn with_none_waiting<T>(py: Python<'_>, work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let numbers = waiting(py)?;
    set_waiting(py, &numbers, false)?;
    let done = work();
    set_waiting(py, &numbers, true)?;
    done
}

/// The table, which is there as long as the process.
#[derive(Clone, Copy)]
struct Table(usize);

impl Table {
    fn tripped(self, number: usize) -> c_int {
        // SAFETY: a word of the table; C code that runs when a signal comes may write it.
        unsafe { ((self.0 + ITEM * number) as *const c_int).read_volatile() }
    }

    fn set_tripped(self, number: usize, tripped: bool) {
        // SAFETY: as above; the GIL is held, and a signal that comes meanwhile only sets what it finds set or not.
        unsafe { ((self.0 + ITEM * number) as *mut c_int).write_volatile(tripped.into()) }
    }

    /// Whether there are these handlers, and marks as CPython makes them.
    fn has(self, handlers: &[usize]) -> bool {
        // SAFETY: only made where so many items are in memory that can be read.
        let function =
            |number: usize| unsafe { ((self.0 + ITEM * number + FUNCTION) as *const usize).read_volatile() };
        // SAFETY: takes an address. What has no handler is said to have None.
        let none = unsafe { ffi::Py_None() } as usize;
        handlers.iter().enumerate().all(|(index, handler)| {
            let found = function(index + 1);
            found == *handler || (found == 0 && *handler == none)
        }) && (1..=SIGNALS).all(|number| matches!(self.tripped(number), 0 | 1))
    }
}

fn table(py: Python<'_>) -> PyResult<Option<Table>> {
    let known = TABLE.load(Ordering::Relaxed);
    if known == NOWHERE || !import(py, "sys")?.getattr("modules")?.contains("_signal")? {
        return Ok(None);
    }
    let signals = import(py, "_signal")?;
    // Two of the numbers belong to the C library; there is nothing for them.
    let handlers: Vec<usize> = (1..=SIGNALS)
        .map(|number| match signals.call_method1("getsignal", (number,)) {
            Ok(handler) => handler.as_ptr() as usize,
            // SAFETY: takes an address.
            Err(_) => unsafe { ffi::Py_None() as usize },
        })
        .collect();
    if known > NOWHERE {
        return Ok(Some(Table(known)).filter(|table| table.has(&handlers)));
    }
    let mut found = Vec::new();
    for (start, end) in writable_parts() {
        let last = end.saturating_sub(ITEM * (SIGNALS + 1));
        let places = (start..=last).step_by(core::mem::size_of::<usize>()).map(Table);
        found.extend(places.filter(|table| table.has(&handlers)));
    }
    match found.as_slice() {
        [table] => {
            TABLE.store(table.0, Ordering::Relaxed);
            Ok(Some(*table))
        }
        _ => {
            TABLE.store(NOWHERE, Ordering::Relaxed);
            Ok(None)
        }
    }
}

/// The parts of memory that the interpreter's own library, or program, has for its variables.
fn writable_parts() -> Vec<(usize, usize)> {
    struct Search {
        address: usize,
        parts: Vec<(usize, usize)>,
    }

    unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _size: usize, search: *mut c_void) -> c_int {
        // SAFETY: the loader gives the headers of a loaded object; `search` is what was passed below.
        let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
        let headers = match info.dlpi_phnum {
            0 => &[],
            // SAFETY: as above.
            count => unsafe { core::slice::from_raw_parts(info.dlpi_phdr, count.into()) },
        };
        let parts: Vec<_> = headers
            .iter()
            .filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W != 0)
            .map(|header| {
                let start = info.dlpi_addr as usize + header.p_vaddr as usize;
                (start.next_multiple_of(8), start + header.p_memsz as usize)
            })
            .collect();
        let has = |part: &(usize, usize)| (part.0..part.1).contains(&search.address);
        if !parts.iter().any(has) {
            return 0;
        }
        search.parts = parts;
        1
    }

    let mut search = Search {
        address: (&raw const ffi::PyType_Type) as usize,
        parts: Vec::new(),
    };
    // SAFETY: `look` gets what it takes for a `Search`, and keeps nothing.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    search.parts
}
