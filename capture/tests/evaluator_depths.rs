//! The depths that the analysis gives, held against those that the evaluator itself has: while a
//! tracing function is called, CPython up to 3.11 stores each frame's.

use capture::code::{Op, Peek, Progress, Stacks};
use capture::cpython::codeobject::CodeInfo;
use capture::cpython::frame::RunningFrame;
use capture::cpython::thread::ThreadState;
use capture::snapshot::Block;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyModule};
use std::cell::Cell;

/// Goes through `try`, `with` and loops in all ways, and leaves them in all ways.
const PROGRAM: &std::ffi::CStr = cr#"
import asyncio, sys

class Manager:
    def __init__(self, swallows=False): self.swallows = swallows
    def __enter__(self): return self
    def __exit__(self, *what): return self.swallows
    async def __aenter__(self): return self
    async def __aexit__(self, *what): return self.swallows

def value(*given):
    return given or 5

def ways(k):
    try:
        if k == 0: return value(1)
        if k == 1: return 7
        if k == 2: raise ValueError
        value(k)
    finally:
        value(1, value(2)) + value()
    return value(k)

def nested(k):
    for each in range(3):
        try:
            try:
                if k == 0: continue
                if k == 1: return value(each)
                if k == 2: raise KeyError(k)
                if k == 3: break
            finally:
                try:
                    if each == 1: raise IndexError
                    if k == 4: return value()
                except IndexError as error:
                    value(error, each)
                finally:
                    value(each, value())
                    with Manager(): value([*value(k)], **{})
        except (KeyError, TypeError) as error:
            if each: return value(error)
            value(error)
        else:
            value(k)

def leaving(k):
    for each in range(3):
        try:
            if k < 2: return value(each)
            if k < 4: raise ValueError(k)
            value(each)
        finally:
            if k % 2: break
            if each == 1: continue
            value(k)
    while True:
        try:
            return value(k)
        finally:
            return value()

def managed(k):
    with Manager(k % 2) as one, Manager():
        for each in value(k):
            with Manager():
                if k == 0: return value(one)
                if k == 1: raise ValueError
                if k == 2: break
                try:
                    value(each)
                    if k == 3: continue
                finally:
                    value(1)
            value(2)
    return value(3)

def generated(k):
    try:
        with Manager():
            got = yield value(k)
            yield from (each for each in value(got, k))
            if k: return (yield value())
    except ValueError as error:
        yield value(error)
    finally:
        value((yield k), k)

async def later(k):
    async with Manager(k % 2) as one:
        try:
            async with Manager():
                async for each in items():
                    if k == 0: return await result(k)
                    if k == 1: raise ValueError
                    if k == 2: continue
                    value(await result(each))
        finally:
            value(await result(k), await result(one))
    return [each async for each in items()]

async def items():
    try:
        for each in range(2):
            yield each
    finally:
        await result(1)

async def result(k):
    await asyncio.sleep(0)
    return k

class Body:
    for each in range(2):
        try:
            size = value(each)
        finally:
            size += (each < 1, value())

def main():
    for k in range(6):
        for each in (ways, nested, leaving, managed):
            try:
                each(k)
            except Exception:
                pass
        try:
            made = generated(k)
            next(made)
            if k == 1:
                made.throw(ValueError)
            for each in made:
                value(each)
        except ValueError:
            pass
        try:
            asyncio.run(later(k))
        except ValueError:
            pass

def run(look):
    def trace(frame, event, argument):
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return look
    before = sys.gettrace()
    # 3.12.1 hears only of those frames that ask before the function is set.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    try:
        main()
    finally:
        sys.settrace(before)
"#;

struct Running<'py> {
    frame: RunningFrame<'py>,
    slots: usize,
}

impl Stacks for Running<'_> {
    fn blocks(&self) -> Vec<Block> {
        self.frame.blocks()
    }

    fn peek(&self, place: usize) -> Peek {
        self.frame.read_slot(self.slots + place).peek()
    }
}

thread_local! {
    static SEEN: Cell<usize> = const { Cell::new(0) };
    static UNTOLD: Cell<usize> = const { Cell::new(0) };
    static NOT_STORED: Cell<usize> = const { Cell::new(0) };
}

/// Looks at the traced frame, which is the innermost one: the function that looks is none of Python's.
fn look(py: Python<'_>) {
    let frame = ThreadState::current(py).frame().unwrap();
    let info = CodeInfo::of(&frame.code()).unwrap();
    let Some(stored) = frame.stored_depth(info.slots) else {
        NOT_STORED.set(NOT_STORED.get() + 1);
        return;
    };
    let raw = u32::try_from(frame.raw_instruction()).unwrap();
    let instruction = info.facts.instruction_covering(raw).unwrap();
    let stacks = Running {
        frame,
        slots: info.slots,
    };
    let found = info
        .facts
        .depth_at(&instruction, Progress::Begun, &stacks)
        .map(usize::from);
    let place = || format!("{} {instruction:?} {:?}", frame.code(), frame.blocks());
    match instruction.op {
        // What it has in progress is not yet so.
        Op::WithCleanupStart => {}
        // The instruction itself may not have a value above what tells how a `finally` was entered.
        _ if found.is_none() => {
            assert!(!calls(instruction.op), "{}", place());
            UNTOLD.set(UNTOLD.get() + 1);
        }
        _ => assert_eq!(found, Some(stored), "{}", place()),
    }
    SEEN.set(SEEN.get() + 1);
}

fn calls(op: Op) -> bool {
    matches!(
        op,
        Op::CallFunction | Op::CallFunctionKw | Op::CallFunctionEx | Op::CallMethod | Op::YieldFrom
    )
}

#[test]
fn the_evaluator_has_the_depths_that_the_analysis_gives() {
    Python::initialize();
    Python::attach(|py| {
        let program = PyModule::from_code(py, PROGRAM, c"program.py", c"program").unwrap();
        let look = PyCFunction::new_closure(py, None, None, |arguments, _: Option<&Bound<'_, PyDict>>| {
            let event = arguments.get_item(1)?.extract::<String>()?;
            if event == "opcode" {
                look(arguments.py());
            }
            Ok::<_, PyErr>(arguments.py().None())
        });
        let run = program.getattr("run").unwrap();
        run.call1((look.unwrap(),)).unwrap();
    });
    let (seen, untold, not_stored) = (SEEN.get(), UNTOLD.get(), NOT_STORED.get());
    eprintln!("{seen} depths, {untold} that the frame does not tell, {not_stored} not stored");
    assert!(seen > 5_000 || not_stored > 5_000);
    assert!(untold <= seen / 100);
}
