//! Threads that are stopped between two instructions.
//!
//! A function of ours is called in the other threads, by each in its own time, where it stands at the first
//! unit of its next instruction and has its stack stored or told by its code: as a trace function (up to 3.11),
//! or as a tool of `sys.monitoring`. There it gives the GIL away and waits, until it is let go.

use super::ffi::_PyRuntime;
use super::frame::{Address, RunningFrame};
use super::modules::import;
use super::thread::ThreadState;
use super::{Stopping, CURRENT};
use core::ffi::{c_int, c_void};
use core::mem::size_of;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};
use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who is stopped.
struct Lot {
    /// The thread state of the one that has asked for it; none while all may run.
    keeper: Option<usize>,
    /// Those of the threads that wait here.
    parked: Option<HashSet<usize>>,
    /// How often one of them has come here.
    arrivals: u64,
}

/// Only held for moments, and never while the GIL is waited for.
static LOT: Mutex<Lot> = Mutex::new(Lot {
    keeper: None,
    parked: None,
    arrivals: 0,
});

/// Somebody came, or may go.
static CHANGED: Condvar = Condvar::new();

fn lot() -> MutexGuard<'static, Lot> {
    LOT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stops the calling thread if it is asked to, for as long as it is.
fn park(py: Python<'_>) {
    let me = ThreadState::current(py).id();
    {
        let mut lot = lot();
        if lot.keeper.is_none_or(|keeper| keeper == me) {
            return;
        }
        lot.parked.get_or_insert_with(HashSet::new).insert(me);
        lot.arrivals += 1;
        CHANGED.notify_all();
    }
    py.detach(|| {
        let mut lot = lot();
        while lot.keeper.is_some() {
            lot = CHANGED.wait(lot).unwrap_or_else(PoisonError::into_inner);
        }
        // While it waits for the GIL nobody may take it for parked.
        if let Some(parked) = lot.parked.as_mut() {
            parked.remove(&me);
        }
    });
}

/// What CPython calls in a thread that is traced.
unsafe extern "C" fn trace(
    _object: *mut ffi::PyObject,
    _frame: *mut ffi::PyFrameObject,
    what: c_int,
    _argument: *mut ffi::PyObject,
) -> c_int {
    if what == ffi::PyTrace_LINE || what == ffi::PyTrace_OPCODE {
        // SAFETY: CPython holds the GIL when it calls a trace function.
        park(unsafe { Python::assume_attached() });
    }
    0
}

/// A C trace function.
type Trace =
    unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyFrameObject, c_int, *mut ffi::PyObject) -> c_int;

/// `_PyEval_SetTrace`.
type SetTrace = unsafe extern "C" fn(*mut ffi::PyThreadState, Option<Trace>, *mut ffi::PyObject) -> c_int;

/// The other threads, asked to stop, for as long as this lives.
pub struct Parking {
    /// The frames whose instructions are traced one by one, and would not be otherwise.
    traced: Vec<Py<PyAny>>,
    /// The ids of the thread states that have our trace function.
    asked: HashSet<usize>,
    /// The number of our tool of `sys.monitoring`.
    tool: Option<u8>,
    /// The codes whose instructions are watched one by one.
    watched: Vec<Py<PyAny>>,
}

impl Parking {
    /// Asks all other threads to stop at their next instruction; none has yet. `None` where one of them has asked
    /// the same.
    pub fn begin(py: Python<'_>) -> PyResult<Option<Self>> {
        {
            let mut lot = lot();
            if lot.keeper.is_some() {
                return Ok(None);
            }
            lot.keeper = Some(ThreadState::current(py).id());
        }
        let mut parking = Self {
            traced: Vec::new(),
            asked: HashSet::new(),
            tool: None,
            watched: Vec::new(),
        };
        if let Stopping::Monitoring { .. } = CURRENT.thread.stopping {
            parking.monitor(py)?;
        }
        Ok(Some(parking))
    }

    /// Asks those of these threads that have not been asked: some may have begun since.
    pub fn ask(&mut self, py: Python<'_>, others: &[ThreadState<'_>]) -> PyResult<()> {
        if self.tool.is_some() {
            return Ok(());
        }
        for thread in others {
            if !self.asked.contains(&thread.id()) {
                set_trace(py, *thread, Some(trace))?;
                self.asked.insert(thread.id());
            }
            // A loop on one line would go round without a line's event.
            if let Some(frame) = thread.frame().filter(|_| !self.is_parked(*thread)) {
                self.trace_instructions(*thread, frame, py)?;
            }
        }
        Ok(())
    }

    fn trace_instructions(
        &mut self,
        thread: ThreadState<'_>,
        frame: RunningFrame<'_>,
        py: Python<'_>,
    ) -> PyResult<()> {
        let known = frame.frame_object();
        if known.is_some_and(|known| self.traced.iter().any(|traced| traced.is(&known))) {
            return Ok(());
        }
        // The public way makes the object of a frame that has none.
        let frames = import(py, "sys")?.call_method0("_current_frames")?;
        let Ok(object) = frames.get_item(thread.ident()) else {
            return Ok(());
        };
        if !object.getattr("f_trace_opcodes")?.is_truthy()? {
            object.setattr("f_trace_opcodes", true)?;
            self.traced.push(object.unbind());
        }
        Ok(())
    }

    fn monitor(&mut self, py: Python<'_>) -> PyResult<()> {
        let monitoring = import(py, "sys")?.getattr("monitoring")?;
        let events = monitoring.getattr("events")?;
        let instruction = events.getattr("INSTRUCTION")?;
        let mut free = None;
        for number in [4u8, 3, 5, 2, 1, 0] {
            if monitoring.call_method1("get_tool", (number,))?.is_none() {
                free = Some(number);
                break;
            }
        }
        let tool = free.ok_or_else(|| PyRuntimeError::new_err("all tools of sys.monitoring are in use"))?;
        monitoring.call_method1("use_tool_id", (tool, "pyteleport"))?;
        self.tool = Some(tool);
        let stop = |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| park(arguments.py());
        let stop = PyCFunction::new_closure(py, None, None, stop)?;
        monitoring.call_method1("register_callback", (tool, &instruction, stop))?;
        monitoring.call_method1("set_events", (tool, &instruction))?;
        Ok(())
    }

    /// Has these threads, which wait in C code, stop at their next instruction when they come back, and
    /// nobody else slowed down.
    pub fn watch(&mut self, py: Python<'_>, waiting: &[ThreadState<'_>]) -> PyResult<()> {
        let Some(tool) = self.tool else { return Ok(()) };
        let monitoring = import(py, "sys")?.getattr("monitoring")?;
        let instruction = monitoring.getattr("events")?.getattr("INSTRUCTION")?;
        for thread in waiting {
            let Some(frame) = thread.frame() else { continue };
            let code = frame.code().into_any();
            if self.watched.iter().any(|watched| watched.is(&code)) {
                continue;
            }
            monitoring.call_method1("set_local_events", (tool, &code, &instruction))?;
            self.watched.push(code.unbind());
        }
        monitoring.call_method1("set_events", (tool, 0))?;
        Ok(())
    }

    /// Whether a thread is stopped.
    pub fn is_parked(&self, thread: ThreadState<'_>) -> bool {
        lot()
            .parked
            .as_ref()
            .is_some_and(|parked| parked.contains(&thread.id()))
    }

    /// How often a thread has stopped so far.
    pub fn arrivals(&self) -> u64 {
        lot().arrivals
    }

    /// Lets other threads run until so many are stopped, or for so long.
    pub fn let_run(&self, py: Python<'_>, wanted: usize, most: Duration) {
        py.detach(|| {
            let few = |lot: &mut Lot| lot.parked.as_ref().map_or(0, HashSet::len) < wanted;
            // Whether it was long or enough makes no difference: who asks looks again.
            let _looked = CHANGED.wait_timeout_while(lot(), most, few);
        });
    }

    /// Takes back what was asked of other threads.
    fn stop_asking(&mut self, py: Python<'_>) -> PyResult<()> {
        if let Some(tool) = self.tool.take() {
            let monitoring = import(py, "sys")?.getattr("monitoring")?;
            let instruction = monitoring.getattr("events")?.getattr("INSTRUCTION")?;
            for code in self.watched.drain(..) {
                monitoring.call_method1("set_local_events", (tool, code, 0))?;
            }
            monitoring.call_method1("set_events", (tool, 0))?;
            monitoring.call_method1("register_callback", (tool, &instruction, py.None()))?;
            monitoring.call_method1("free_tool_id", (tool,))?;
        }
        for frame in self.traced.drain(..) {
            frame.setattr(py, "f_trace_opcodes", false)?;
        }
        for thread in ThreadState::all(py) {
            if self.asked.remove(&thread.id()) && traces(thread) == trace as *mut c_void {
                set_trace(py, thread, None)?;
            }
        }
        Ok(())
    }
}

impl Drop for Parking {
    fn drop(&mut self) {
        Python::attach(|py| {
            if let Err(error) = self.stop_asking(py) {
                error.write_unraisable(py, None);
            }
        });
        lot().keeper = None;
        CHANGED.notify_all();
    }
}

/// The address of a thread's trace function, null for none.
fn traces(thread: ThreadState<'_>) -> *mut c_void {
    match CURRENT.thread.stopping {
        Stopping::Fields { function, .. }
        | Stopping::Function { function }
        | Stopping::Monitoring { function } => thread.word(function),
    }
}

/// The address of a thread's profile function, null for none: `c_profilefunc` lies before `c_tracefunc`.
fn profiles(thread: ThreadState<'_>) -> *mut c_void {
    match CURRENT.thread.stopping {
        Stopping::Fields { function, .. }
        | Stopping::Function { function }
        | Stopping::Monitoring { function } => thread.word(function - size_of::<usize>()),
    }
}

/// Whether a debugger, a profiler or the like traces a thread.
pub fn is_traced(thread: ThreadState<'_>) -> bool {
    let traces = traces(thread);
    !profiles(thread).is_null() || !traces.is_null() && traces != trace as *mut c_void
}

/// Sets a thread's trace function, or takes it away.
fn set_trace(py: Python<'_>, thread: ThreadState<'_>, function: Option<Trace>) -> PyResult<()> {
    match CURRENT.thread.stopping {
        Stopping::Fields {
            use_tracing,
            function: place,
            object,
            possible,
        } => {
            // SAFETY: the static of the runtime, whose field the layout gives; the GIL is held.
            unsafe {
                let count = core::ptr::addr_of_mut!(_PyRuntime).add(possible).cast::<c_int>();
                *count += c_int::from(function.is_some()) - c_int::from(!traces(thread).is_null());
            }
            let address = Address::new(thread.raw().cast()).expect("a thread has a state");
            address.set::<Option<Trace>>(place, function);
            address.replace(py, object, function.map(|_| py.None()));
            address.set::<c_int>(use_tracing, function.is_some().into());
            Ok(())
        }
        Stopping::Function { .. } => {
            // SAFETY: looks a name up among what is loaded; the name ends with a zero.
            let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_PyEval_SetTrace".as_ptr()) };
            if found.is_null() {
                return Err(PyRuntimeError::new_err(
                    "this interpreter has no _PyEval_SetTrace",
                ));
            }
            // SAFETY: the function of that name has this signature on these releases.
            let set: SetTrace = unsafe { core::mem::transmute(found) };
            // SAFETY: the GIL is held, and the thread state is alive as long as it is.
            let status = unsafe { set(thread.raw(), function, ffi::Py_None()) };
            match status {
                0 => Ok(()),
                _ => Err(PyErr::fetch(py)),
            }
        }
        Stopping::Monitoring { .. } => Ok(()),
    }
}
