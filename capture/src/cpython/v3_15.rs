//! CPython 3.15 (v3.15.0, Include/internal/pycore_interpframe_structs.h, Include/cpython/pystate.h). Against
//! 3.14:
//! - an iterator that a loop goes through takes two words: itself and NULL, or a list or tuple and
//!   the number of the next item, for which no iterator is made;
//! - the states of generators have other numbers.

use super::fields::{field, Field, Holds};
use super::v3_14::Frame;
use super::{
    v3_10, v3_11, v3_12, v3_13, v3_14, Atexit, CStack, CurrentFrame, GeneratorFrame, GeneratorLayout,
    GeneratorStates, Layout, OperandLayout, Recursion, Release, Stopping, ThreadLayout, ThreadLocals,
};
use core::mem::offset_of;

/// Fields of `PyThreadState`, printed by a program compiled against the headers.
mod thread {
    pub const RECURSION_REMAINING: usize = 52;
    pub const RECURSION_LIMIT: usize = 56;
    pub const CURRENT_FRAME: usize = 72;
    pub const EXC_INFO: usize = 144;
}

/// The numbers of `gi_frame_state`.
const STATES: GeneratorStates = GeneratorStates {
    created: 0,
    suspended: 1,
    delegating: 2,
    executing: 4,
};

/// Since this release an alias has a qualified name.
const ALIAS: &[Field] = &[
    field("TypeAliasType", "qualname", Holds::Object, 24),
    field("TypeAliasType", "type_params", Holds::Object, 32),
    field("TypeAliasType", "compute_value", Holds::Object, 40),
    field("TypeAliasType", "value", Holds::Object, 48),
    field("TypeAliasType", "module", Holds::Object, 56),
];

/// What `athrow` and `aclose` give to be awaited has no tuple of arguments any more.
const ATHROW: &[Field] = &[
    field("async_generator_athrow", "agt_typ", Holds::Object, 24),
    field("async_generator_athrow", "agt_tb", Holds::Object, 32),
    field("async_generator_athrow", "agt_val", Holds::Object, 40),
    field("async_generator_athrow", "agt_state", Holds::Int, 48),
];

/// Connections of `sqlite3` keep less of their cursors.
const DATABASE: &[Field] = &[
    field("Connection", "detect_types", Holds::Int, 32),
    field("Connection", "check_same_thread", Holds::Int, 52),
    field("Connection", "trace", Holds::Address, 104),
    field("Connection", "progress", Holds::Address, 112),
    field("Connection", "authorizer", Holds::Address, 120),
    field("Cursor", "statement", Holds::Address, 72),
];

/// What CPython 3.15 answers.
pub const LAYOUT: Layout = Layout {
    release: Release { major: 3, minor: 15 },
    operands: OperandLayout {
        iterator_words: 2,
        import_shift: 2, // whether it is lazy
        ..v3_14::LAYOUT.operands
    },
    generator: GeneratorLayout {
        frame: match v3_13::LAYOUT.generator.frame {
            GeneratorFrame::Inside { frame, state, .. } => GeneratorFrame::Inside {
                frame,
                state,
                states: STATES,
            },
            pointer => pointer,
        },
        ..v3_13::LAYOUT.generator
    },
    thread: ThreadLayout {
        current: CurrentFrame::Direct(thread::CURRENT_FRAME),
        exc_info: thread::EXC_INFO,
        recursion: Recursion::Remaining {
            count: thread::RECURSION_REMAINING,
            limit: thread::RECURSION_LIMIT,
        },
        c_stack: CStack::Measured,
        ident: 176,
        native_id: Some(184),
        context: 232,
        coroutines: 208,
        locals: ThreadLocals::Key(328),
        stopping: Stopping::Monitoring { function: 112 },
    },
    atexit: Atexit::InterpreterList(10768 + v3_13::MUTEXES),
    fields: &[
        v3_10::ZIP,
        v3_10::PROPERTY,
        v3_11::SCANNER,
        v3_12::RANGES,
        v3_12::TYPE_PARAMETERS,
        ALIAS,
        v3_13::DEFAULTS,
        v3_13::BATCHED,
        v3_14::MAP,
        v3_14::FUNCTION,
        v3_12::COROUTINES,
        ATHROW,
        DATABASE,
        v3_14::TASKS,
    ],
    published: &[
        ("current_frame", 26, thread::CURRENT_FRAME),
        ("previous", 40, offset_of!(Frame, previous)),
        ("f_executable", 41, offset_of!(Frame, f_executable)),
        ("instr_ptr", 42, offset_of!(Frame, instr_ptr)),
        ("localsplus", 43, offset_of!(Frame, localsplus)),
        ("owner", 44, offset_of!(Frame, owner)),
        ("stackpointer", 45, offset_of!(Frame, stackpointer)),
        ("co_name", 49, v3_13::LAYOUT.code_object.name),
        ("co_code_adaptive", 56, v3_14::CO_CODE_ADAPTIVE),
        ("gi_iframe", 101, v3_12::GENERATOR_FRAME),
        ("gi_frame_state", 102, v3_12::GENERATOR_STATE),
    ],
    ..v3_14::LAYOUT
};
