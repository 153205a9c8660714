//! CPython 3.10 (v3.10.0, Include/cpython/frameobject.h, Include/genobject.h). Against 3.9:
//! - the depth of the value stack is a number, and so is the last instruction, in code units;
//! - the frame has a state, and tells for its generator whether that runs;
//! - `atexit` keeps its callbacks in the interpreter state.

use super::fields::{field, Field, Holds};
use super::v3_8::{Block, Handled, Head, VarHead};
use super::{
    v3_8, v3_9, Atexit, Blocks, Depth, Executing, FrameLayout, GeneratorFrame, GeneratorLayout,
    GeneratorStates, Instruction, Layout, Owner, Release,
};
use crate::code::{CodeRules, Family};
use core::ffi::{c_char, c_int, c_void};
use core::mem::offset_of;

#[repr(C)]
struct Frame {
    ob_base: VarHead,
    f_back: *mut c_void,
    f_code: *mut c_void,
    f_builtins: *mut c_void,
    f_globals: *mut c_void,
    f_locals: *mut c_void,
    f_valuestack: *mut *mut c_void,
    f_trace: *mut c_void,
    f_stackdepth: c_int,
    f_trace_lines: c_char,
    f_trace_opcodes: c_char,
    f_gen: *mut c_void,
    f_lasti: c_int,
    f_lineno: c_int,
    f_iblock: c_int,
    f_state: i8,
    f_blockstack: [Block; 20],
    f_localsplus: [*mut c_void; 0],
}

#[repr(C)]
struct Generator {
    ob_base: Head,
    gi_frame: *mut c_void,
    gi_code: *mut c_void,
    gi_weakreflist: *mut c_void,
    gi_name: *mut c_void,
    gi_qualname: *mut c_void,
    gi_exc_state: Handled,
}

/// Since this release the lengths may be held against each other.
pub(super) const ZIP: &[Field] = &[field("zip", "strict", Holds::Int, 40)];

/// Since this release properties know their names.
pub(super) const PROPERTY: &[Field] = &[
    field("property", "prop_name", Holds::Object, 48),
    field("property", "getter_doc", Holds::Int, 56),
];

/// Fields of coroutines and async generators behind those that they share with generators.
const COROUTINES: &[Field] = &[
    field("coroutine", "cr_origin", Holds::Object, 88),
    field("async_generator", "ag_finalizer", Holds::Object, 88),
    field("async_generator", "ag_hooks_inited", Holds::Int, 96),
    field("async_generator", "ag_closed", Holds::Int, 100),
    field("async_generator", "ag_running_async", Holds::Int, 104),
];

/// Futures and tasks of asyncio (Modules/_asynciomodule.c), found by their addresses in a task of known parts.
pub(super) const TASKS: &[Field] = &[
    field("Future", "fut_cancelled_exc_type", Holds::Object, 120),
    field("Future", "fut_cancelled_exc", Holds::Object, 128),
    field("Future", "fut_cancelled_exc_traceback", Holds::Object, 136),
    field("Task", "fut_cancelled_exc_type", Holds::Object, 120),
    field("Task", "fut_cancelled_exc", Holds::Object, 128),
    field("Task", "fut_cancelled_exc_traceback", Holds::Object, 136),
    field("Future", "fut_exception_tb", Holds::Object, 56),
    field("Task", "fut_exception_tb", Holds::Object, 56),
    field("Task", "task_fut_waiter", Holds::Object, 152),
    field("Task", "task_coro", Holds::Object, 160),
    field("Task", "task_name", Holds::Object, 168),
    field("Task", "task_context", Holds::Object, 176),
    field("Task", "task_must_cancel", Holds::Int, 184),
];

/// What CPython 3.10 answers.
pub const LAYOUT: Layout = Layout {
    release: Release { major: 3, minor: 10 },
    code: CodeRules {
        family: Family::BlockStack,
        jump_bytes: 2,
    },
    frame: FrameLayout {
        instruction: Instruction::LastNumber(offset_of!(Frame, f_lasti)),
        depth: Depth::Count(offset_of!(Frame, f_stackdepth)),
        slots: offset_of!(Frame, f_localsplus),
        blocks: Blocks::InFrame {
            count: offset_of!(Frame, f_iblock),
            array: offset_of!(Frame, f_blockstack),
        },
        owner: Owner::Field {
            generator: offset_of!(Frame, f_gen),
            executing: Executing::State {
                offset: offset_of!(Frame, f_state),
                states: GeneratorStates {
                    created: -2,
                    suspended: -1,
                    delegating: -1,
                    executing: 0,
                },
            },
        },
        ..v3_9::LAYOUT.frame
    },
    generator: GeneratorLayout {
        frame: GeneratorFrame::Pointer {
            frame: offset_of!(Generator, gi_frame),
            running: None,
        },
        handled: offset_of!(Generator, gi_exc_state),
        ..v3_9::LAYOUT.generator
    },
    atexit: Atexit::Interpreter(3488),
    fields: &[
        v3_8::CYCLE,
        v3_8::ATHROW,
        v3_8::RANGES,
        v3_8::SCANNER,
        ZIP,
        COROUTINES,
        PROPERTY,
        v3_8::DATABASE,
        TASKS,
    ],
    ..v3_9::LAYOUT
};
