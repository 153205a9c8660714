//! The stacks of all threads: walked, and read one after the other.

use crate::cpython::codeobject::CodeInfo;
use crate::cpython::frame::RunningFrame;
use crate::cpython::generator::Generator;
use crate::cpython::lost_frames::frames_on_stack;
use crate::cpython::modules::loaded;
use crate::cpython::thread::{HandledItem, ThreadState};
use crate::delegation;
use crate::entry::call::thrower;
use crate::error::CaptureError;
use crate::position::{site_of, Position};
use crate::read::{read_standing, read_waiting, Captured, ObjectTable, Read};
use crate::snapshot::{Snapshot, Stack};
use crate::threads::{Stand, Stopped};
use pyo3::prelude::*;

/// One stack, walked.
struct Walked<'py> {
    inner_first: Vec<Read<'py>>,
    base: HandledItem,
    /// The innermost frame of the calling thread's, which is ours; else how the thread stands.
    top: Top<'py>,
}

/// What is above a stack.
enum Top<'py> {
    Ours(RunningFrame<'py>),
    Stands(Stand),
}

/// Reads the calling thread's stack, below the innermost frames that `ours` knows as pyteleport's, and those of
/// the other threads, which stand; those that run no Python are left out. The calling thread's ends with `bottom`,
/// if that is given: the frames that have called that one are the prompt's at home, and stay there.
pub fn read_stacks<'py>(
    py: Python<'py>,
    others: Option<&Stopped<'py>>,
    bottom: Option<RunningFrame<'py>>,
    ours: impl Fn(&RunningFrame<'py>) -> bool,
) -> Result<Captured<'py>, CaptureError> {
    let thread = ThreadState::current(py);
    let mut above = None;
    let mut next = thread.frame();
    while let Some(frame) = next.filter(&ours) {
        above = Some(frame);
        next = frame.back();
    }
    let Some(above) = above else {
        return Err(CaptureError::NoFrame);
    };
    let mut walked = vec![walk(py, thread, next, bottom, Top::Ours(above))?];
    let mut threads = vec![thread];
    for other in others.map_or(&[][..], |others| &others.threads) {
        if let Some(frame) = other.thread.frame() {
            walked.push(walk(
                py,
                other.thread,
                Some(frame),
                None,
                Top::Stands(other.stand),
            )?);
            threads.push(other.thread);
        }
    }
    let mut table = ObjectTable::default();
    let (mut states, mut running, mut stacks) = (Vec::new(), Vec::new(), Vec::new());
    for stack in &walked {
        let first = states.len();
        let count = stack.inner_first.len();
        for index in 0..count {
            // Outermost first.
            let at = count - 1 - index;
            let read = &stack.inner_first[at];
            let state = match (at.checked_sub(1), &stack.top) {
                (Some(callee), _) => read_waiting(
                    py,
                    read,
                    stack.inner_first[callee].frame,
                    &mut table,
                    first + index,
                )?,
                (None, Top::Ours(above)) => read_waiting(py, read, *above, &mut table, first + index)?,
                (None, Top::Stands(stand)) => read_standing(py, read, *stand, &mut table, first + index)?,
            };
            states.push(state);
            running.push(read.frame);
        }
        let handled = table.handled(py, stack.base.read(py), first);
        stacks.push(Stack {
            frames: count as u32,
            handled,
        });
    }
    let main = ThreadState::main(py).map(ThreadState::id);
    let main = threads.iter().position(|thread| Some(thread.id()) == main);
    Ok(Captured {
        snapshot: Snapshot {
            frames: states,
            stacks,
        },
        table,
        frames: running,
        main: main.ok_or(CaptureError::NoFrame)?,
        threads,
    })
}

/// Walks from a frame outwards.
fn walk<'py>(
    py: Python<'py>,
    thread: ThreadState<'py>,
    innermost: Option<RunningFrame<'py>>,
    bottom: Option<RunningFrame<'py>>,
    top: Top<'py>,
) -> Result<Walked<'py>, CaptureError> {
    let mut inner_first = Vec::new();
    let mut next = innermost;
    while let Some(frame) = next {
        link_standing(py, frame, &mut inner_first)?;
        inner_first.push(Read::new(frame)?);
        if Some(frame) == bottom {
            break;
        }
        next = match (frame.back(), &top) {
            (None, Top::Ours(_)) => lost_caller(py, &mut inner_first)?,
            (back, _) => back,
        };
    }
    let Some(outermost) = inner_first.last() else {
        return Err(CaptureError::NoFrame);
    };
    if outermost.stands {
        // 3.9 has lost sight of everything outside of it, and so has its C stack.
        return Err(thrown_through(
            &inner_first[inner_first.len().saturating_sub(2)],
            outermost,
        ));
    }
    let is_bottom = Some(outermost.frame) == bottom;
    if !is_bottom
        && !begins_program(outermost)
        && !ends_program(py, outermost, thread)?
        && !begins_thread(py, outermost, thread)?
    {
        let callee = Box::new(site_of(outermost.frame, &outermost.info));
        return Err(CaptureError::CalledByInterpreter { callee });
    }
    let base = base_handled(py, thread, &inner_first)?;
    Ok(Walked {
        inner_first,
        base,
        top,
    })
}

/// Whether a frame is where the main thread, whose program is over, waits for the others.
fn ends_program<'py>(
    py: Python<'py>,
    outermost: &Read<'py>,
    thread: ThreadState<'py>,
) -> Result<bool, CaptureError> {
    let is_main = ThreadState::main(py).is_some_and(|main| main.id() == thread.id());
    let Some(threading) = loaded(py, "threading")?.filter(|_| is_main) else {
        return Ok(false);
    };
    // Up to 3.10 it may have come with an earlier move.
    let shutdown = threading.getattr("_shutdown")?.getattr_opt("__code__")?;
    Ok(shutdown.map_or(Ok(false), |shutdown| shutdown.eq(outermost.frame.code()))?)
}

/// Whether a frame is where a thread begins that the program has started.
fn begins_thread<'py>(
    py: Python<'py>,
    outermost: &Read<'py>,
    thread: ThreadState<'py>,
) -> Result<bool, CaptureError> {
    // In the main thread CPython calls functions of the program's at its end.
    if ThreadState::main(py).is_some_and(|main| main.id() == thread.id()) {
        return Ok(false);
    }
    let Some(threading) = loaded(py, "threading")? else {
        return Ok(true);
    };
    if threading
        .getattr("_main_thread")?
        .getattr("_ident")?
        .eq(thread.ident())?
    {
        return Ok(false);
    }
    let bootstrap = threading
        .getattr("Thread")?
        .getattr("_bootstrap")?
        .getattr("__code__")?;
    // Threads of `_thread.start_new_thread` begin anywhere; those of `threading` here.
    let is_known = threading.getattr("_active")?.contains(thread.ident())?
        && !threading
            .getattr("_active")?
            .get_item(thread.ident())?
            .is_instance(&threading.getattr("_DummyThread")?)?;
    // Up to 3.10 it may have come with an earlier move.
    Ok(!is_known || bootstrap.eq(outermost.frame.code())?)
}

/// The refusal of a capture that is asked for while another one, or an arrival, has not come to its end.
pub fn meanwhile<'py>(py: Python<'py>, ours: impl Fn(&RunningFrame<'py>) -> bool) -> CaptureError {
    let mut next = ThreadState::current(py).frame();
    let mut called = None;
    while let Some(frame) = next {
        match (ours(&frame), called) {
            (false, _) => called = Some(frame),
            (true, Some(_)) => break,
            (true, None) => {}
        }
        next = frame.back();
    }
    let Some(called) = called else {
        return CaptureError::NoFrame;
    };
    match CodeInfo::of(&called.code()) {
        Ok(info) => CaptureError::Meanwhile {
            callee: Box::new(site_of(called, &info)),
        },
        Err(error) => error.into(),
    }
}

/// Whether CPython runs nothing of the program's after this frame but what it does at exit: the body of the main
/// module, the function that `python -m` finds that with, or the prompt that is made in Python.
fn begins_program(outermost: &Read<'_>) -> bool {
    if !outermost.info.is_function() {
        return true;
    }
    let is = |object: PyResult<Bound<'_, PyAny>>, text: &str| {
        object.is_ok_and(|name| name.eq(text).unwrap_or(false))
    };
    let begins_in = |module, function| {
        is(outermost.frame.globals().get_item("__name__"), module)
            && is(outermost.frame.code().getattr("co_name"), function)
    };
    begins_in("runpy", "_run_module_as_main") || begins_in("_pyrepl.main", "interactive_console")
}

/// The frame that something was thrown from, where CPython has lost sight of all that is outside of a generator which
/// that has passed through: the innermost one on the C stack whose call of `throw` leads through there.
fn lost_caller<'py>(
    py: Python<'py>,
    inner_first: &mut Vec<Read<'py>>,
) -> Result<Option<RunningFrame<'py>>, CaptureError> {
    if !inner_first.last().is_some_and(|outermost| outermost.stands) {
        return Ok(None);
    }
    for frame in frames_on_stack(py) {
        let is_known = inner_first.iter().any(|read| read.frame == frame);
        if !is_known && link_standing(py, frame, inner_first)? {
            return Ok(Some(frame));
        }
    }
    Ok(None)
}

/// Puts the frames between a caller of `throw` and the innermost generator that it goes through into
/// their order, where CPython leaves some of them off the chain; whether it is such a caller.
fn link_standing<'py>(
    py: Python<'py>,
    caller: RunningFrame<'py>,
    inner_first: &mut Vec<Read<'py>>,
) -> Result<bool, CaptureError> {
    if inner_first
        .last()
        .and_then(|read| read.frame.generator())
        .is_none()
    {
        return Ok(false);
    }
    let info = CodeInfo::of(&caller.code())?;
    let Ok(position) = Position::of(caller, &info) else {
        return Ok(false);
    };
    let caller = position.caller(py, caller, &info);
    let Some(path) = thrower(&caller)?.and_then(|owner| delegation::path(&owner)) else {
        return Ok(false);
    };
    let frames: Vec<_> = path.iter().filter_map(Generator::frame).collect();
    // The innermost of them runs, and whatever it has called lies further in.
    let innermost = frames.last().copied();
    let Some(place) = inner_first.iter().rposition(|read| Some(read.frame) == innermost) else {
        return Ok(false);
    };
    let linked = &inner_first[place + 1..];
    if !linked
        .iter()
        .all(|read| read.stands && frames.contains(&read.frame))
    {
        return Ok(false);
    }
    inner_first.truncate(place + 1);
    for frame in frames.iter().rev().skip(1) {
        inner_first.push(Read::new(*frame)?);
    }
    Ok(true)
}

/// The refusal of what was thrown through a generator.
fn thrown_through(callee: &Read<'_>, generator: &Read<'_>) -> CaptureError {
    CaptureError::Boundary {
        callee: Box::new(site_of(callee.frame, &callee.info)),
        c_function: "generator.throw, through a generator that delegates".into(),
        caller: Box::new(site_of(generator.frame, &generator.info)),
    }
}

/// The item of handled exceptions that the outermost frame runs under: the chain has one for each
/// generator that runs, and that one.
fn base_handled<'py>(
    py: Python<'py>,
    thread: ThreadState<'py>,
    inner_first: &[Read<'py>],
) -> Result<HandledItem, CaptureError> {
    let mut item = thread.handled();
    for (index, read) in inner_first.iter().enumerate() {
        let Some(generator) = read.frame.generator().and_then(|object| Generator::new(&object)) else {
            continue;
        };
        if read.stands {
            // Its exception is not seen from further in, as it will be when it runs.
            match generator.handled().read(py).value {
                Some(handled) if !handled.is_none(py) => {
                    return Err(thrown_through(&inner_first[index - 1], read))
                }
                _ => continue,
            }
        }
        if generator.handled() != item {
            return Err(CaptureError::HandledMismatch);
        }
        item = item.previous().ok_or(CaptureError::HandledMismatch)?;
    }
    Ok(item)
}
