//! What the kernel says of a thread that does not run: which system call it is in, and until when.

use std::collections::HashMap;
use std::fs::{read_link, read_to_string, File};
use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::cpython::modules::{import, loaded};
use pyo3::prelude::*;

/// What a thread does, to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It runs, or is about to, or it cannot be told.
    Running,
    /// It waits in a system call.
    Waits(SystemCall),
}

/// A system call in which a thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SystemCall {
    number: i64,
    arguments: [u64; 6],
    /// Where the thread's stack ends.
    stack: u64,
}

/// What a thread of this process does.
pub(crate) fn doing(native_id: u64) -> Doing {
    let text = read_to_string(format!("/proc/self/task/{native_id}/syscall"));
    text.ok()
        .and_then(|text| parse(&text))
        .map_or(Doing::Running, Doing::Waits)
}

fn parse(text: &str) -> Option<SystemCall> {
    let mut words = text.split_ascii_whitespace();
    let number = words.next()?.parse().ok().filter(|number| *number >= 0)?;
    let mut hex = words.map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = hex.next()??;
    }
    Some(SystemCall {
        number,
        arguments,
        stack: hex.next()??,
    })
}

/// `FUTEX_WAIT_BITSET`, whose time is absolute.
const FUTEX_WAIT_BITSET: u64 = 9;
/// The bits of a futex operation that say which.
const FUTEX_COMMAND: u64 = 0x7f;
/// By the clock of the day rather than the monotonic one.
const FUTEX_CLOCK_REALTIME: u64 = 0x100;
/// `TIMER_ABSTIME`.
const ABSOLUTE: u64 = 1;
/// More than the struct of the GIL has, with its locks.
const GIL_SIZE: u64 = 256;
/// How much of a stack the function takes that sleeps.
const SLEEPER_WORDS: usize = 512;

impl SystemCall {
    /// Whether it is the GIL that is waited for.
    pub(crate) fn is_for_gil(&self, gil: u64) -> bool {
        self.number == libc::SYS_futex && self.arguments[0].abs_diff(gil) < GIL_SIZE
    }

    /// How many seconds are left until the wait ends by itself, if it does and that can be told; `longest` is
    /// what it was begun with.
    pub(crate) fn seconds_left(&self, py: Python<'_>, longest: f64) -> PyResult<Option<f64>> {
        let (clock, place) = match self.number {
            libc::SYS_futex
                if self.arguments[1] & FUTEX_COMMAND == FUTEX_WAIT_BITSET && self.arguments[3] != 0 =>
            {
                let is_real = self.arguments[1] & FUTEX_CLOCK_REALTIME != 0;
                (if is_real { "time" } else { "monotonic" }, self.arguments[3])
            }
            libc::SYS_clock_nanosleep if self.arguments[1] & ABSOLUTE != 0 => {
                let is_real = self.arguments[0] == libc::CLOCK_REALTIME as u64;
                (if is_real { "time" } else { "monotonic" }, self.arguments[2])
            }
            libc::SYS_pselect6 => return self.left_of_select(py, longest),
            _ => return Ok(None),
        };
        let Some([seconds, nanoseconds]) = words::<2>(place) else {
            return Ok(None);
        };
        let until = seconds as f64 + nanoseconds as f64 / 1e9;
        let now: f64 = import(py, "time")?.call_method0(clock)?.extract()?;
        Ok(Some((until - now).clamp(0.0, longest)))
    }

    /// `time.sleep` tells the kernel how long, and keeps until when, in nanoseconds, on its stack (up to 3.10).
    fn left_of_select(&self, py: Python<'_>, longest: f64) -> PyResult<Option<f64>> {
        let now: i64 = import(py, "time")?.call_method0("monotonic_ns")?.extract()?;
        let latest = now.saturating_add((longest * 1e9) as i64);
        let stack = words::<SLEEPER_WORDS>(self.stack).unwrap_or([0; SLEEPER_WORDS]);
        let found = stack
            .iter()
            .map(|word| *word as i64)
            .find(|word| (now..=latest).contains(word));
        Ok(found.map(|until| (until - now) as f64 / 1e9))
    }
}

/// Words of this process's memory, if they can be read.
fn words<const COUNT: usize>(place: u64) -> Option<[u64; COUNT]> {
    let memory = File::open("/proc/self/mem").ok()?;
    let mut found = [0; COUNT];
    for (index, word) in found.iter_mut().enumerate() {
        let mut bytes = [0; 8];
        memory.read_exact_at(&mut bytes, place + 8 * index as u64).ok()?;
        *word = u64::from_ne_bytes(bytes);
    }
    Some(found)
}

/// An address in the struct of the GIL, which the caller has: where a thread waits that wants it. `None` if the
/// kernel does not tell.
pub(crate) fn gil_place() -> Option<u64> {
    static PLACE: OnceLock<u64> = OnceLock::new();
    if let Some(place) = PLACE.get() {
        return Some(*place);
    }
    let (tell, told) = mpsc::channel();
    // It ends as soon as it has had the GIL, for which nobody waits here: others may come first.
    let _probe = std::thread::spawn(move || {
        // `/proc/thread-self` leads to PID/task/TID.
        let own = read_link("/proc/thread-self").ok();
        let native = own.and_then(|own| own.file_name()?.to_str()?.parse::<u64>().ok());
        if tell.send(native).is_ok() && native.is_some() {
            Python::attach(|_| ());
        }
    });
    let native = told.recv().ok().flatten();
    let begun = Instant::now();
    let mut found = None;
    while let Some(native) = native.filter(|_| found.is_none() && begun.elapsed() < PATIENCE) {
        match doing(native) {
            Doing::Waits(call) if call.number == libc::SYS_futex => found = Some(call.arguments[0]),
            _ => std::thread::yield_now(),
        }
    }
    found.map(|place| *PLACE.get_or_init(|| place))
}

/// How long a thread takes to come as far as the GIL.
const PATIENCE: Duration = Duration::from_secs(2);

/// The kernel's numbers of the threads that `threading` knows, by their idents.
pub(crate) fn native_ids(py: Python<'_>) -> PyResult<HashMap<u64, u64>> {
    let Some(threading) = loaded(py, "threading")? else {
        return Ok(HashMap::new());
    };
    let mut found = HashMap::new();
    for pair in threading.getattr("_active")?.call_method0("items")?.try_iter()? {
        let (ident, thread) = pair?.extract::<(u64, Bound<'_, PyAny>)>()?;
        if let Ok(native) = thread.getattr("_native_id").and_then(|native| native.extract()) {
            found.insert(ident, native);
        }
    }
    Ok(found)
}
