//! CPython 3.9 (v3.9.0, Include/cpython/pystate.h). Against 3.8:
//! - an evaluator is given the thread state, and is set through a function;
//! - a function sets the trace function of any thread;
//! - the body of a `finally` is compiled once for every way into it.

use super::fields::{field, Field, Holds};
use super::{v3_8, Configuration, EvalFrame, Layout, Release, Stopping, ThreadLayout};
use crate::code::{CodeRules, Family};

/// Futures and tasks of asyncio (Modules/_asynciomodule.c), found by their addresses in a task of known parts.
pub(super) const TASKS: &[Field] = &[
    field("Future", "fut_cancelled_exc_type", Holds::Object, 112),
    field("Future", "fut_cancelled_exc", Holds::Object, 120),
    field("Future", "fut_cancelled_exc_traceback", Holds::Object, 128),
    field("Task", "fut_cancelled_exc_type", Holds::Object, 112),
    field("Task", "fut_cancelled_exc", Holds::Object, 120),
    field("Task", "fut_cancelled_exc_traceback", Holds::Object, 128),
    field("Task", "task_fut_waiter", Holds::Object, 144),
    field("Task", "task_coro", Holds::Object, 152),
    field("Task", "task_name", Holds::Object, 160),
    field("Task", "task_context", Holds::Object, 168),
    field("Task", "task_must_cancel", Holds::Int, 176),
];

/// What CPython 3.9 answers.
pub const LAYOUT: Layout = Layout {
    release: Release { major: 3, minor: 9 },
    code: CodeRules {
        family: Family::BlockStack,
        ..v3_8::LAYOUT.code
    },
    eval_frame: EvalFrame::Functions,
    configuration: Configuration::Function,
    fields: &[
        v3_8::CYCLE,
        v3_8::COROUTINES,
        v3_8::ATHROW,
        v3_8::SCANNER,
        v3_8::PROPERTY,
        v3_8::RANGES,
        v3_8::DATABASE,
        TASKS,
    ],
    thread: ThreadLayout {
        stopping: Stopping::Function { function: 64 },
        ..v3_8::LAYOUT.thread
    },
    ..v3_8::LAYOUT
};
