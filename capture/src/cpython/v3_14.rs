//! CPython 3.14 (v3.14.0, Include/internal/{pycore_interpframe_structs,pycore_stackref}.h,
//! Include/cpython/pystate.h). Against 3.13:
//! - a slot is a word with tags, and not all references in slots are owned;
//! - the depth of the value stack is a pointer, which is right whenever C code is called;
//! - C code nests as deep as the C stack is, nobody counts;
//! - a `with` statement loads the two methods and calls `__enter__` like anything else.

use super::fields::{field, Field, Holds};
use super::{
    v3_10, v3_11, v3_12, v3_13, v3_8, Atexit, CStack, CallShape, CodeObjectLayout, CurrentFrame, Depth,
    Entering, FrameLayout, Layout, OperandLayout, Owner, Recursion, Release, SignalChecks, Stopping,
    ThreadLayout, ThreadLocals, Words,
};
use core::ffi::{c_char, c_void};
use core::mem::offset_of;

#[repr(C)]
pub(super) struct Frame {
    pub(super) f_executable: usize,
    pub(super) previous: *mut Frame,
    f_funcobj: usize,
    f_globals: *mut c_void,
    f_builtins: *mut c_void,
    f_locals: *mut c_void,
    frame_obj: *mut c_void,
    pub(super) instr_ptr: *mut u16,
    pub(super) stackpointer: *mut usize,
    return_offset: u16,
    pub(super) owner: c_char,
    visited: u8,
    pub(super) localsplus: [usize; 0],
}

/// `co_code_adaptive`, as printed by a program compiled against the headers.
pub(super) const CO_CODE_ADAPTIVE: usize = 208;

/// Fields of `PyThreadState`, printed in the same way.
mod thread {
    pub const RECURSION_REMAINING: usize = 48;
    pub const RECURSION_LIMIT: usize = 52;
    pub const CURRENT_FRAME: usize = 72;
    pub const EXC_INFO: usize = 120;
}

/// `FRAME_OWNED_BY_INTERPRETER`.
const OWNED_BY_INTERPRETER: i8 = 3;

/// Since this release the lengths may be held against each other.
pub(super) const MAP: &[Field] = &[field("map", "strict", Holds::Int, 32)];

/// The annotations once they were evaluated, which asking for them would do.
pub(super) const FUNCTION: &[Field] = &[field("function", "func_annotations", Holds::Object, 112)];

/// Futures and tasks of asyncio (Modules/_asynciomodule.c), found by their addresses in a task of known parts.
pub(super) const TASKS: &[Field] = &[
    field("Future", "fut_cancelled_exc", Holds::Object, 88),
    field("Task", "fut_cancelled_exc", Holds::Object, 88),
    field("Future", "fut_exception_tb", Holds::Object, 56),
    field("Task", "fut_exception_tb", Holds::Object, 56),
    field("Task", "task_fut_waiter", Holds::Object, 120),
    field("Task", "task_coro", Holds::Object, 128),
    field("Task", "task_name", Holds::Object, 136),
    field("Task", "task_context", Holds::Object, 144),
    field("Task", "task_must_cancel", Holds::Bit(18), 108),
    field("Task", "task_num_cancels_requested", Holds::Int, 112),
];

/// What CPython 3.14 answers.
pub const LAYOUT: Layout = Layout {
    release: Release { major: 3, minor: 14 },
    operands: OperandLayout {
        calls: CallShape::CallableFirstKeywordsLast,
        entering: Entering::Call,
        above_exit: 4, // the receiver of the exit method or NULL, and the three
        ..v3_13::LAYOUT.operands
    },
    code_object: CodeObjectLayout {
        instructions: Some(CO_CODE_ADAPTIVE),
        ..v3_13::LAYOUT.code_object
    },
    frame: FrameLayout {
        depth: Depth::Top(offset_of!(Frame, stackpointer)),
        slots: offset_of!(Frame, localsplus),
        words: Words::StackRefs,
        owner: Owner::Byte {
            offset: offset_of!(Frame, owner),
            shim: Some(OWNED_BY_INTERPRETER),
        },
        ..v3_13::LAYOUT.frame
    },
    thread: ThreadLayout {
        current: CurrentFrame::Direct(thread::CURRENT_FRAME),
        exc_info: thread::EXC_INFO,
        recursion: Recursion::Remaining {
            count: thread::RECURSION_REMAINING,
            limit: thread::RECURSION_LIMIT,
        },
        c_stack: CStack::Measured,
        ident: 152,
        native_id: Some(160),
        context: 208,
        coroutines: 184,
        locals: ThreadLocals::Key(288),
        stopping: Stopping::Monitoring { function: 88 },
    },
    signals: SignalChecks::BehindStored,
    atexit: Atexit::InterpreterList(10792 + v3_13::MUTEXES),
    fields: &[
        v3_10::ZIP,
        v3_10::PROPERTY,
        v3_11::SCANNER,
        v3_12::RANGES,
        v3_12::TYPE_PARAMETERS,
        v3_12::ALIAS,
        v3_13::DEFAULTS,
        v3_13::BATCHED,
        MAP,
        FUNCTION,
        v3_8::ATHROW,
        v3_12::COROUTINES,
        v3_12::DATABASE,
        TASKS,
    ],
    published: &[
        ("current_frame", 26, thread::CURRENT_FRAME),
        ("previous", 32, offset_of!(Frame, previous)),
        ("f_executable", 33, offset_of!(Frame, f_executable)),
        ("instr_ptr", 34, offset_of!(Frame, instr_ptr)),
        ("localsplus", 35, offset_of!(Frame, localsplus)),
        ("owner", 36, offset_of!(Frame, owner)),
        ("stackpointer", 37, offset_of!(Frame, stackpointer)),
        ("co_name", 41, v3_13::LAYOUT.code_object.name),
        ("co_code_adaptive", 48, CO_CODE_ADAPTIVE),
        ("gi_iframe", 85, v3_12::GENERATOR_FRAME),
        ("gi_frame_state", 86, v3_12::GENERATOR_STATE),
    ],
    ..v3_13::LAYOUT
};
