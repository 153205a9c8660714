//! CPython 3.12 (v3.12.0, Include/internal/pycore_frame.h, Include/cpython/{code,pystate}.h). Against 3.11:
//! - each activation of the evaluator lays a shim frame below its first one, which no longer says so itself;
//! - generators and coroutines that are resumed by an instruction run in the same activation;
//! - calls that nest in C are counted by themselves, and those through an evaluator of one's own are among them.

use super::fields::{field, Field, Holds};
use super::{
    v3_10, v3_11, v3_8, Activation, Atexit, CStack, CodeObjectLayout, CurrentFrame, Depth, Entering,
    FrameLayout, GeneratorFrame, GeneratorLayout, GeneratorStates, Instruction, Layout, OperandLayout, Owner,
    Recursion, Release, Stopping, ThreadLayout, ThreadLocals,
};
use core::ffi::{c_char, c_int, c_void};
use core::mem::offset_of;

#[repr(C)]
struct Frame {
    f_code: *mut c_void,
    previous: *mut Frame,
    f_funcobj: *mut c_void,
    f_globals: *mut c_void,
    f_builtins: *mut c_void,
    f_locals: *mut c_void,
    frame_obj: *mut c_void,
    prev_instr: *mut u16,
    stacktop: c_int,
    return_offset: u16,
    owner: c_char,
    localsplus: [*mut c_void; 0],
}

/// `PyGenObject`; unlike before, the code is to be found in the frame alone.
#[repr(C)]
struct Generator {
    ob_base: v3_8::Head,
    gi_weakreflist: *mut c_void,
    gi_name: *mut c_void,
    gi_qualname: *mut c_void,
    gi_exc_state: v3_11::Handled,
    gi_origin_or_finalizer: *mut c_void,
    gi_hooks_inited: c_char,
    gi_closed: c_char,
    gi_running_async: c_char,
    gi_frame_state: i8,
    gi_iframe: [*mut c_void; 1],
}

#[repr(C)]
struct CFrame {
    current_frame: *mut Frame,
    previous: *mut CFrame,
}

/// The first fields of `PyThreadState`, as far as `exc_info`.
#[repr(C)]
struct Thread {
    prev: *mut c_void,
    next: *mut c_void,
    interp: *mut c_void,
    status: u32,
    py_recursion_remaining: c_int,
    py_recursion_limit: c_int,
    c_recursion_remaining: c_int,
    recursion_headroom: c_int,
    tracing: c_int,
    what_event: c_int,
    cframe: *mut CFrame,
    c_profilefunc: *mut c_void,
    c_tracefunc: *mut c_void,
    c_profileobj: *mut c_void,
    c_traceobj: *mut c_void,
    current_exception: *mut c_void,
    exc_info: *mut c_void,
}

/// Where a generator has its frame.
pub(super) const GENERATOR_FRAME: usize = offset_of!(Generator, gi_iframe);
/// Where it has its state.
pub(super) const GENERATOR_STATE: usize = offset_of!(Generator, gi_frame_state);

/// `co_code_adaptive`, as printed by a program compiled against the headers.
const CO_CODE_ADAPTIVE: usize = 192;

/// `FRAME_OWNED_BY_CSTACK`.
const OWNED_BY_C_STACK: i8 = 3;

/// What is evaluated when somebody asks, and the function that does (Objects/typevarobject.c).
pub(super) const TYPE_PARAMETERS: &[Field] = &[
    field("TypeVar", "name", Holds::Object, 16),
    field("TypeVar", "bound", Holds::Object, 24),
    field("TypeVar", "evaluate_bound", Holds::Object, 32),
    field("TypeVar", "constraints", Holds::Object, 40),
    field("TypeVar", "evaluate_constraints", Holds::Object, 48),
    field("TypeVarTuple", "name", Holds::Object, 16),
    field("ParamSpec", "name", Holds::Object, 16),
    field("ParamSpec", "bound", Holds::Object, 24),
];

pub(super) const ALIAS: &[Field] = &[
    field("TypeAliasType", "type_params", Holds::Object, 24),
    field("TypeAliasType", "compute_value", Holds::Object, 32),
    field("TypeAliasType", "value", Holds::Object, 40),
    field("TypeAliasType", "module", Holds::Object, 48),
];

/// Iterators over ranges, which begin where the iterators stand.
pub(super) const RANGES: &[Field] = &[
    field("range_iterator", "start", Holds::Size, 16),
    field("range_iterator", "step", Holds::Size, 24),
    field("range_iterator", "len", Holds::Size, 32),
    field("longrange_iterator", "start", Holds::Object, 16),
    field("longrange_iterator", "step", Holds::Object, 24),
    field("longrange_iterator", "len", Holds::Object, 32),
];

/// Fields of coroutines and async generators behind those that they share with generators.
pub(super) const COROUTINES: &[Field] = &[
    field("coroutine", "cr_origin", Holds::Object, 56),
    field("async_generator", "ag_finalizer", Holds::Object, 56),
    field("async_generator", "ag_hooks_inited", Holds::Byte, 64),
    field("async_generator", "ag_closed", Holds::Byte, 65),
    field("async_generator", "ag_running_async", Holds::Byte, 66),
];

/// Connections of `sqlite3` have `autocommit`, too.
pub(super) const DATABASE: &[Field] = &[
    field("Connection", "detect_types", Holds::Int, 32),
    field("Connection", "check_same_thread", Holds::Int, 52),
    field("Connection", "trace", Holds::Address, 120),
    field("Connection", "progress", Holds::Address, 128),
    field("Connection", "authorizer", Holds::Address, 136),
    field("Cursor", "statement", Holds::Address, 72),
];

/// What CPython 3.12 answers.
pub const LAYOUT: Layout = Layout {
    release: Release { major: 3, minor: 12 },
    operands: OperandLayout {
        entering: Entering::Manager,
        attribute_shift: 1,
        compare_shift: 4,
        notes_set_name: true,
        ..v3_11::LAYOUT.operands
    },
    code_object: CodeObjectLayout {
        instructions: Some(CO_CODE_ADAPTIVE),
        ..v3_11::LAYOUT.code_object
    },
    frame: FrameLayout {
        code: offset_of!(Frame, f_code),
        back: offset_of!(Frame, previous),
        function: Some(offset_of!(Frame, f_funcobj)),
        globals: offset_of!(Frame, f_globals),
        namespace: offset_of!(Frame, f_locals),
        instruction: Instruction::LastUnit(offset_of!(Frame, prev_instr)),
        depth: Depth::CountWithLocals(offset_of!(Frame, stacktop)),
        slots: offset_of!(Frame, localsplus),
        owner: Owner::Byte {
            offset: offset_of!(Frame, owner),
            shim: Some(OWNED_BY_C_STACK),
        },
        activation: Activation::Shim,
        builtins: offset_of!(Frame, f_builtins),
        frame_object: Some(offset_of!(Frame, frame_obj)),
        ..v3_11::LAYOUT.frame
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
        ..v3_11::LAYOUT.generator
    },
    thread: ThreadLayout {
        current: CurrentFrame::Through {
            pointer: offset_of!(Thread, cframe),
            field: offset_of!(CFrame, current_frame),
        },
        exc_info: offset_of!(Thread, exc_info),
        recursion: Recursion::Remaining {
            count: offset_of!(Thread, py_recursion_remaining),
            limit: offset_of!(Thread, py_recursion_limit),
        },
        c_stack: CStack::Counted(offset_of!(Thread, c_recursion_remaining)),
        ident: 136,
        native_id: Some(144),
        context: 208,
        coroutines: 184,
        locals: ThreadLocals::ByAddress(112),
        stopping: Stopping::Monitoring { function: 72 },
    },
    atexit: Atexit::Interpreter(3944),
    fields: &[
        v3_8::CYCLE,
        v3_8::ATHROW,
        v3_10::ZIP,
        v3_10::PROPERTY,
        v3_11::SCANNER,
        RANGES,
        TYPE_PARAMETERS,
        ALIAS,
        COROUTINES,
        DATABASE,
        v3_11::TASKS,
    ],
    ..v3_11::LAYOUT
};
