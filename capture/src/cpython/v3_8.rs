//! CPython 3.8 (v3.8.0, Include/{frameobject,code,genobject}.h, Include/cpython/pystate.h): frames are
//! objects, each with a stack of blocks, and every call recurses in C.

use super::fields::{field, Field, Holds};
use super::{
    Activation, Atexit, Blocks, CStack, CallShape, CodeObjectLayout, Configuration, CurrentFrame, Depth,
    Entering, EvalFrame, Executing, FrameLayout, GeneratorFrame, GeneratorLayout, HandledLayout, Instruction,
    Layout, OperandLayout, Owner, Recursion, Release, SignalChecks, Stopping, ThreadLayout, ThreadLocals,
    Words,
};
use crate::code::{CodeRules, Family};
use core::ffi::{c_char, c_int, c_void};
use core::mem::{offset_of, size_of};

/// `PyObject_HEAD`.
#[repr(C)]
pub(super) struct Head {
    ob_refcnt: isize,
    ob_type: *mut c_void,
}

/// `PyObject_VAR_HEAD`.
#[repr(C)]
pub(super) struct VarHead {
    ob_base: Head,
    ob_size: isize,
}

#[repr(C)]
pub(super) struct Block {
    b_type: c_int,
    b_handler: c_int,
    b_level: c_int,
}

#[repr(C)]
struct Frame {
    ob_base: VarHead,
    f_back: *mut c_void,
    f_code: *mut c_void,
    f_builtins: *mut c_void,
    f_globals: *mut c_void,
    f_locals: *mut c_void,
    f_valuestack: *mut *mut c_void,
    f_stacktop: *mut *mut c_void,
    f_trace: *mut c_void,
    f_trace_lines: c_char,
    f_trace_opcodes: c_char,
    f_gen: *mut c_void,
    f_lasti: c_int,
    f_lineno: c_int,
    f_iblock: c_int,
    f_executing: c_char,
    f_blockstack: [Block; 20],
    f_localsplus: [*mut c_void; 0],
}

#[repr(C)]
struct Code {
    ob_base: Head,
    counts: [c_int; 7],        // co_argcount … co_firstlineno
    objects: [*mut c_void; 6], // co_code, co_consts, co_names, co_varnames, co_freevars, co_cellvars
    co_cell2arg: *mut isize,
    co_filename: *mut c_void,
    co_name: *mut c_void,
}

#[repr(C)]
pub(super) struct Handled {
    exc_type: *mut c_void,
    exc_value: *mut c_void,
    exc_traceback: *mut c_void,
    previous_item: *mut c_void,
}

#[repr(C)]
struct Generator {
    ob_base: Head,
    gi_frame: *mut c_void,
    gi_running: c_char,
    gi_code: *mut c_void,
    gi_weakreflist: *mut c_void,
    gi_name: *mut c_void,
    gi_qualname: *mut c_void,
    gi_exc_state: Handled,
}

#[repr(C)]
struct Thread {
    prev: *mut c_void,
    next: *mut c_void,
    interp: *mut c_void,
    frame: *mut c_void,
    recursion_depth: c_int,
    overflowed: c_char,
    recursion_critical: c_char,
    stackcheck_counter: c_int,
    tracing: c_int,
    use_tracing: c_int,
    c_profilefunc: *mut c_void,
    c_tracefunc: *mut c_void,
    c_profileobj: *mut c_void,
    c_traceobj: *mut c_void,
    curexc: [*mut c_void; 3],
    exc_state: Handled,
    exc_info: *mut Handled,
}

/// `eval_frame` in `PyInterpreterState` as printed by a program compiled against the headers.
const EVAL_FRAME: usize = 568;

/// The interpreter's `PyConfig` (Include/internal/pycore_pystate.h).
const CONFIGURATION: usize = 176;

/// Whether `cycle` need not keep what it reads.
pub(super) const CYCLE: &[Field] = &[field("cycle", "firstpass", Holds::Int, 40)];

/// Iterators over ranges, which keep where these began.
pub(super) const RANGES: &[Field] = &[
    field("range_iterator", "index", Holds::Size, 16),
    field("range_iterator", "start", Holds::Size, 24),
    field("range_iterator", "step", Holds::Size, 32),
    field("range_iterator", "len", Holds::Size, 40),
    field("longrange_iterator", "index", Holds::Object, 16),
    field("longrange_iterator", "start", Holds::Object, 24),
    field("longrange_iterator", "step", Holds::Object, 32),
    field("longrange_iterator", "len", Holds::Object, 40),
];

/// Whether a scanner for a regular expression looks for no empty match where it stands.
pub(super) const SCANNER: &[Field] = &[field("SRE_Scanner", "must_advance", Holds::Int, 196)];

/// Whether a property's text is that of its getter.
pub(super) const PROPERTY: &[Field] = &[field("property", "getter_doc", Holds::Int, 48)];

/// Fields of coroutines and async generators behind those that they share with generators.
pub(super) const COROUTINES: &[Field] = &[
    field("coroutine", "cr_origin", Holds::Object, 96),
    field("async_generator", "ag_finalizer", Holds::Object, 96),
    field("async_generator", "ag_hooks_inited", Holds::Int, 104),
    field("async_generator", "ag_closed", Holds::Int, 108),
    field("async_generator", "ag_running_async", Holds::Int, 112),
];

/// The rest of what `athrow` and `aclose` give to be awaited.
pub(super) const ATHROW: &[Field] = &[
    field("async_generator_athrow", "agt_args", Holds::Object, 24),
    field("async_generator_athrow", "agt_state", Holds::Int, 32),
];

/// Connections of `sqlite3`, and whether cursors have a row that nobody has asked for yet.
pub(super) const DATABASE: &[Field] = &[
    field("Connection", "detect_types", Holds::Int, 24),
    field("Connection", "check_same_thread", Holds::Int, 64),
    field("Connection", "trace", Holds::Address, 128),
    field("Connection", "progress", Holds::Address, 136),
    field("Connection", "authorizer", Holds::Address, 144),
    field("Cursor", "next_row", Holds::Address, 96),
];

/// Futures and tasks of asyncio (Modules/_asynciomodule.c), found by their addresses in a task of known parts.
pub(super) const TASKS: &[Field] = &[
    field("Task", "task_fut_waiter", Holds::Object, 104),
    field("Task", "task_coro", Holds::Object, 112),
    field("Task", "task_name", Holds::Object, 120),
    field("Task", "task_context", Holds::Object, 128),
    field("Task", "task_must_cancel", Holds::Int, 136),
];

/// What CPython 3.8 answers.
pub const LAYOUT: Layout = Layout {
    release: Release { major: 3, minor: 8 },
    code: CodeRules {
        family: Family::SharedFinally,
        jump_bytes: 1,
    },
    operands: OperandLayout {
        calls: CallShape::MethodFirst,
        entering: Entering::Exit,
        above_exit: 6, // the exception and the one handled before, three values each
        iterator_words: 1,
        attribute_shift: 0,
        import_shift: 0,
        compare_shift: 0,
        notes_set_name: false,
    },
    code_object: CodeObjectLayout {
        name: offset_of!(Code, co_name),
        instructions: None,
        bytes: Some(offset_of!(Code, objects)),
    },
    frame: FrameLayout {
        code: offset_of!(Frame, f_code),
        back: offset_of!(Frame, f_back),
        function: None,
        globals: offset_of!(Frame, f_globals),
        namespace: offset_of!(Frame, f_locals),
        instruction: Instruction::LastByte(offset_of!(Frame, f_lasti)),
        depth: Depth::Top(offset_of!(Frame, f_stacktop)),
        slots: offset_of!(Frame, f_localsplus),
        words: Words::Pointers,
        blocks: Blocks::InFrame {
            count: offset_of!(Frame, f_iblock),
            array: offset_of!(Frame, f_blockstack),
        },
        owner: Owner::Field {
            generator: offset_of!(Frame, f_gen),
            executing: Executing::Flag(offset_of!(Frame, f_executing)),
        },
        activation: Activation::Always,
        builtins: offset_of!(Frame, f_builtins),
        frame_object: None,
    },
    generator: GeneratorLayout {
        frame: GeneratorFrame::Pointer {
            frame: offset_of!(Generator, gi_frame),
            running: Some(offset_of!(Generator, gi_running)),
        },
        handled: offset_of!(Generator, gi_exc_state),
        close_gives_value: false,
    },
    handled: HandledLayout {
        triple: Some((offset_of!(Handled, exc_type), offset_of!(Handled, exc_traceback))),
        value: offset_of!(Handled, exc_value),
        previous: offset_of!(Handled, previous_item),
        size: size_of::<Handled>(),
    },
    thread: ThreadLayout {
        current: CurrentFrame::Direct(offset_of!(Thread, frame)),
        exc_info: offset_of!(Thread, exc_info),
        recursion: Recursion::Depth(offset_of!(Thread, recursion_depth)),
        c_stack: CStack::CountedWithAll,
        ident: 176,
        native_id: None,
        context: 240,
        coroutines: 216,
        locals: ThreadLocals::ByAddress(152),
        stopping: Stopping::Fields {
            use_tracing: offset_of!(Thread, use_tracing),
            function: offset_of!(Thread, c_tracefunc),
            object: offset_of!(Thread, c_traceobj),
            possible: 588,
        },
    },
    eval_frame: EvalFrame::Field(EVAL_FRAME),
    configuration: Configuration::Field(CONFIGURATION),
    signals: SignalChecks::AtTop,
    atexit: Atexit::ModuleState,
    fields: &[
        CYCLE, COROUTINES, ATHROW, SCANNER, PROPERTY, RANGES, DATABASE, TASKS,
    ],
    published: &[],
};
