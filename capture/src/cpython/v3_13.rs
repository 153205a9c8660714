//! CPython 3.13 (v3.13.0, Include/internal/pycore_frame.h, Include/cpython/{code,pystate}.h). Against 3.12:
//! - a frame points at the instruction in progress, not behind the last one done;
//! - the thread state holds the current frame;
//! - a generator tells whether it is suspended at a yield of its own or within `yield from`;
//! - a call's operands begin with the callable, then comes a receiver or NULL;
//! - a simple `__init__` runs in the activation of the call of its class, above a trampoline frame.

use super::fields::{field, Field, Holds};
use super::{
    v3_10, v3_11, v3_12, v3_8, Atexit, CStack, CallShape, CodeObjectLayout, CurrentFrame, FrameLayout,
    GeneratorFrame, GeneratorLayout, GeneratorStates, Instruction, Layout, OperandLayout, Owner, Recursion,
    Release, Stopping, ThreadLayout, ThreadLocals,
};
use core::ffi::{c_int, c_void};
use core::mem::{offset_of, size_of};

/// The first fields of `PyThreadState`, as far as `exc_info`.
#[repr(C)]
struct Thread {
    prev: *mut c_void,
    next: *mut c_void,
    interp: *mut c_void,
    eval_breaker: usize,
    status: u32,
    whence: c_int,
    state: c_int,
    py_recursion_remaining: c_int,
    py_recursion_limit: c_int,
    c_recursion_remaining: c_int,
    recursion_headroom: c_int,
    tracing: c_int,
    what_event: c_int,
    current_frame: *mut c_void,
    c_profilefunc: *mut c_void,
    c_tracefunc: *mut c_void,
    c_profileobj: *mut c_void,
    c_traceobj: *mut c_void,
    current_exception: *mut c_void,
    exc_info: *mut c_void,
}

/// `prev_instr` of 3.12 became `instr_ptr` in the same place.
const INSTR_PTR: usize = 56;

/// `owner` stayed in its place.
const OWNER: usize = match v3_12::LAYOUT.frame.owner {
    Owner::Byte { offset, .. } => offset,
    Owner::Field { generator, .. } => generator,
};

/// `co_code_adaptive`, as printed by a program compiled against the headers.
const CO_CODE_ADAPTIVE: usize = 200;

/// The numbers of `gi_frame_state`.
pub(super) const STATES: GeneratorStates = GeneratorStates {
    created: -3,
    suspended: -2,
    delegating: -1,
    executing: 0,
};

/// Since this release type parameters may have defaults, evaluated when somebody asks.
pub(super) const DEFAULTS: &[Field] = &[
    field("TypeVar", "default_value", Holds::Object, 56),
    field("TypeVar", "evaluate_default", Holds::Object, 64),
    field("TypeVarTuple", "default_value", Holds::Object, 24),
    field("TypeVarTuple", "evaluate_default", Holds::Object, 32),
    field("ParamSpec", "default_value", Holds::Object, 32),
    field("ParamSpec", "evaluate_default", Holds::Object, 40),
];

/// Since this release the last batch may be held against the size.
pub(super) const BATCHED: &[Field] = &[field("batched", "strict", Holds::Byte, 32)];

/// The GIL's two mutexes lie before the callbacks of `atexit`: by how much they are bigger than on x86-64.
pub(super) const MUTEXES: usize = 2 * (size_of::<libc::pthread_mutex_t>() - 40);

/// Futures and tasks of asyncio (Modules/_asynciomodule.c), found by their addresses in a task of known parts.
pub(super) const TASKS: &[Field] = &[
    field("Future", "fut_cancelled_exc", Holds::Object, 88),
    field("Task", "fut_cancelled_exc", Holds::Object, 88),
    field("Future", "fut_exception_tb", Holds::Object, 56),
    field("Task", "fut_exception_tb", Holds::Object, 56),
    field("Task", "task_fut_waiter", Holds::Object, 112),
    field("Task", "task_coro", Holds::Object, 120),
    field("Task", "task_name", Holds::Object, 128),
    field("Task", "task_context", Holds::Object, 136),
    field("Task", "task_must_cancel", Holds::Bit(2), 100),
    field("Task", "task_num_cancels_requested", Holds::Int, 104),
];

/// What CPython 3.13 answers.
pub const LAYOUT: Layout = Layout {
    release: Release { major: 3, minor: 13 },
    operands: OperandLayout {
        calls: CallShape::CallableFirst,
        compare_shift: 5,
        ..v3_12::LAYOUT.operands
    },
    code_object: CodeObjectLayout {
        instructions: Some(CO_CODE_ADAPTIVE),
        ..v3_12::LAYOUT.code_object
    },
    frame: FrameLayout {
        instruction: Instruction::InProgress(INSTR_PTR),
        ..v3_12::LAYOUT.frame
    },
    generator: GeneratorLayout {
        frame: match v3_12::LAYOUT.generator.frame {
            GeneratorFrame::Inside { frame, state, .. } => GeneratorFrame::Inside {
                frame,
                state,
                states: STATES,
            },
            pointer => pointer,
        },
        close_gives_value: true,
        ..v3_12::LAYOUT.generator
    },
    thread: ThreadLayout {
        current: CurrentFrame::Direct(offset_of!(Thread, current_frame)),
        exc_info: offset_of!(Thread, exc_info),
        recursion: Recursion::Remaining {
            count: offset_of!(Thread, py_recursion_remaining),
            limit: offset_of!(Thread, py_recursion_limit),
        },
        c_stack: CStack::Counted(offset_of!(Thread, c_recursion_remaining)),
        ident: 152,
        native_id: Some(160),
        context: 208,
        coroutines: 184,
        locals: ThreadLocals::Key(288),
        stopping: Stopping::Monitoring { function: 88 },
    },
    atexit: Atexit::Interpreter(10712 + MUTEXES),
    fields: &[
        v3_8::CYCLE,
        v3_10::ZIP,
        v3_10::PROPERTY,
        v3_11::SCANNER,
        v3_12::RANGES,
        v3_12::TYPE_PARAMETERS,
        v3_12::ALIAS,
        DEFAULTS,
        BATCHED,
        v3_8::ATHROW,
        v3_12::COROUTINES,
        v3_12::DATABASE,
        TASKS,
    ],
    published: &[
        ("current_frame", 23, offset_of!(Thread, current_frame)),
        ("previous", 29, v3_12::LAYOUT.frame.back),
        ("f_executable", 30, v3_12::LAYOUT.frame.code),
        ("instr_ptr", 31, INSTR_PTR),
        ("localsplus", 32, v3_12::LAYOUT.frame.slots),
        ("owner", 33, OWNER),
        ("co_name", 36, v3_12::LAYOUT.code_object.name),
        ("co_code_adaptive", 43, CO_CODE_ADAPTIVE),
    ],
    ..v3_12::LAYOUT
};
