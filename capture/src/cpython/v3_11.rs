//! CPython 3.11 (v3.11.0, Include/internal/pycore_frame.h, Include/cpython/{code,pystate}.h).
//! Against 3.10:
//! - a running frame is a struct on the thread's data stack, or inside its generator; a frame
//!   object is made only when somebody asks;
//! - blocks are gone, an exception table in the code says who handles what;
//! - a Python function called from Python is evaluated by the same activation of the evaluator;
//! - of a handled exception only the value is kept.

use super::fields::{field, Field, Holds};
use super::{
    v3_10, v3_8, v3_9, Activation, Atexit, Blocks, CStack, CodeObjectLayout, CurrentFrame, Depth,
    FrameLayout, GeneratorFrame, GeneratorLayout, GeneratorStates, HandledLayout, Instruction, Layout,
    OperandLayout, Owner, Recursion, Release, SignalChecks, Stopping, ThreadLayout, ThreadLocals, Words,
};
use crate::code::{CodeRules, Family};
use core::ffi::{c_char, c_int, c_void};
use core::mem::{offset_of, size_of};

#[repr(C)]
struct Frame {
    f_func: *mut c_void,
    f_globals: *mut c_void,
    f_builtins: *mut c_void,
    f_locals: *mut c_void,
    f_code: *mut c_void,
    frame_obj: *mut c_void,
    previous: *mut Frame,
    prev_instr: *mut u16,
    stacktop: c_int,
    is_entry: bool,
    owner: c_char,
    localsplus: [*mut c_void; 0],
}

#[repr(C)]
pub(super) struct Handled {
    exc_value: *mut c_void,
    previous_item: *mut c_void,
}

#[repr(C)]
struct Generator {
    ob_base: v3_8::Head,
    gi_code: *mut c_void,
    gi_weakreflist: *mut c_void,
    gi_name: *mut c_void,
    gi_qualname: *mut c_void,
    gi_exc_state: Handled,
    gi_origin_or_finalizer: *mut c_void,
    gi_hooks_inited: c_char,
    gi_closed: c_char,
    gi_running_async: c_char,
    gi_frame_state: i8,
    gi_iframe: [*mut c_void; 1],
}

#[repr(C)]
struct CFrame {
    use_tracing: u8,
    current_frame: *mut Frame,
    previous: *mut CFrame,
}

/// The first fields of `PyThreadState`, as far as `exc_info`.
#[repr(C)]
struct Thread {
    prev: *mut c_void,
    next: *mut c_void,
    interp: *mut c_void,
    flags: [c_int; 2], // _initialized, _static
    recursion_remaining: c_int,
    recursion_limit: c_int,
    recursion_headroom: c_int,
    tracing: c_int,
    tracing_what: c_int,
    cframe: *mut CFrame,
    c_profilefunc: *mut c_void,
    c_tracefunc: *mut c_void,
    c_profileobj: *mut c_void,
    c_traceobj: *mut c_void,
    curexc: [*mut c_void; 3],
    exc_info: *mut Handled,
}

/// `co_name` and `co_code_adaptive` as printed by a program compiled against the headers; what
/// lies between has no use here.
const CO_NAME: usize = 120;
const CO_CODE_ADAPTIVE: usize = 184;

/// Whether a scanner for a regular expression looks for no empty match where it stands.
pub(super) const SCANNER: &[Field] = &[field("SRE_Scanner", "must_advance", Holds::Int, 172)];

/// Fields of coroutines and async generators behind those that they share with generators.
const COROUTINES: &[Field] = &[
    field("coroutine", "cr_origin", Holds::Object, 64),
    field("async_generator", "ag_finalizer", Holds::Object, 64),
    field("async_generator", "ag_hooks_inited", Holds::Byte, 72),
    field("async_generator", "ag_closed", Holds::Byte, 73),
    field("async_generator", "ag_running_async", Holds::Byte, 74),
];

/// Connections of `sqlite3`, and what their cursors are executing.
pub(super) const DATABASE: &[Field] = &[
    field("Connection", "detect_types", Holds::Int, 32),
    field("Connection", "check_same_thread", Holds::Int, 48),
    field("Connection", "trace", Holds::Address, 112),
    field("Connection", "progress", Holds::Address, 120),
    field("Connection", "authorizer", Holds::Address, 128),
    field("Cursor", "statement", Holds::Address, 72),
];

/// Futures and tasks of asyncio (Modules/_asynciomodule.c), found by their addresses in a task of known parts.
pub(super) const TASKS: &[Field] = &[
    field("Future", "fut_cancelled_exc", Holds::Object, 120),
    field("Task", "fut_cancelled_exc", Holds::Object, 120),
    field("Future", "fut_exception_tb", Holds::Object, 56),
    field("Task", "fut_exception_tb", Holds::Object, 56),
    field("Task", "task_fut_waiter", Holds::Object, 128),
    field("Task", "task_coro", Holds::Object, 136),
    field("Task", "task_name", Holds::Object, 144),
    field("Task", "task_context", Holds::Object, 152),
    field("Task", "task_must_cancel", Holds::Int, 160),
    field("Task", "task_num_cancels_requested", Holds::Int, 168),
];

/// What CPython 3.11 answers.
pub const LAYOUT: Layout = Layout {
    release: Release { major: 3, minor: 11 },
    code: CodeRules {
        family: Family::ExceptionTable,
        jump_bytes: 2,
    },
    operands: OperandLayout {
        above_exit: 3, // the instruction's offset, the exception handled before, the exception
        ..v3_9::LAYOUT.operands
    },
    code_object: CodeObjectLayout {
        name: CO_NAME,
        instructions: Some(CO_CODE_ADAPTIVE),
        bytes: None,
    },
    frame: FrameLayout {
        code: offset_of!(Frame, f_code),
        back: offset_of!(Frame, previous),
        function: Some(offset_of!(Frame, f_func)),
        globals: offset_of!(Frame, f_globals),
        namespace: offset_of!(Frame, f_locals),
        instruction: Instruction::LastUnit(offset_of!(Frame, prev_instr)),
        depth: Depth::CountWithLocals(offset_of!(Frame, stacktop)),
        slots: offset_of!(Frame, localsplus),
        words: Words::Pointers,
        blocks: Blocks::ExceptionTable,
        owner: Owner::Byte {
            offset: offset_of!(Frame, owner),
            shim: None,
        },
        activation: Activation::Flag(offset_of!(Frame, is_entry)),
        builtins: offset_of!(Frame, f_builtins),
        frame_object: Some(offset_of!(Frame, frame_obj)),
    },
    generator: GeneratorLayout {
        frame: GeneratorFrame::Inside {
            frame: offset_of!(Generator, gi_iframe),
            state: offset_of!(Generator, gi_frame_state),
            states: GeneratorStates {
                created: -2,
                suspended: -1,
                delegating: -1,
                executing: 0,
            },
        },
        handled: offset_of!(Generator, gi_exc_state),
        ..v3_10::LAYOUT.generator
    },
    handled: HandledLayout {
        triple: None,
        value: offset_of!(Handled, exc_value),
        previous: offset_of!(Handled, previous_item),
        size: size_of::<Handled>(),
    },
    thread: ThreadLayout {
        current: CurrentFrame::Through {
            pointer: offset_of!(Thread, cframe),
            field: offset_of!(CFrame, current_frame),
        },
        exc_info: offset_of!(Thread, exc_info),
        recursion: Recursion::Remaining {
            count: offset_of!(Thread, recursion_remaining),
            limit: offset_of!(Thread, recursion_limit),
        },
        c_stack: CStack::CountedWithAll,
        ident: 152,
        native_id: Some(160),
        context: 224,
        coroutines: 200,
        locals: ThreadLocals::ByAddress(128),
        stopping: Stopping::Function { function: 72 },
    },
    eval_frame: v3_9::LAYOUT.eval_frame,
    configuration: v3_9::LAYOUT.configuration,
    signals: SignalChecks::Behind,
    atexit: Atexit::Interpreter(3536),
    fields: &[
        v3_8::CYCLE,
        v3_8::ATHROW,
        v3_8::RANGES,
        v3_10::ZIP,
        v3_10::PROPERTY,
        COROUTINES,
        SCANNER,
        DATABASE,
        TASKS,
    ],
    published: &[],
};
