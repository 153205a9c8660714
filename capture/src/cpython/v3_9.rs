//! CPython 3.9 (v3.9.0, Include/cpython/pystate.h). Against 3.8:
//! - an evaluator is given the thread state, and is set through a function;
//! - a function sets the trace function of any thread;
//! - the body of a `finally` is compiled once for every way into it.

use super::{v3_8, EvalFrame, Layout, Release, Stopping, ThreadLayout};
use crate::code::{CodeRules, Family};

/// What CPython 3.9 answers.
pub const LAYOUT: Layout = Layout {
    release: Release { major: 3, minor: 9 },
    code: CodeRules {
        family: Family::BlockStack,
        ..v3_8::LAYOUT.code
    },
    eval_frame: EvalFrame::Functions,
    thread: ThreadLayout {
        stopping: Stopping::Function { function: 64 },
        ..v3_8::LAYOUT.thread
    },
    ..v3_8::LAYOUT
};
