//! What we know of CPython's insides, one release a file.
//!
//! A release is a value: [`Layout`] lists every question that is asked of an interpreter, and each
//! `v3_N.rs` answers them in one `const`, written as the difference from the release before. All
//! of them compile in every build; [`CURRENT`] is the one choice. To add a release, add its file
//! and its line in [`CURRENT`] and [`LAYOUTS`]; `check` then holds it against the interpreter.
//!
//! The rest of the folder turns addresses into safe types, and is the only place of the crate in
//! which `unsafe` stands: [`frame`] and [`generator`] for single frames, [`thread`] for the chain
//! they hang in, [`evalframe`] for the PEP 523 function, [`objects`] and [`fields`] for what is read
//! of others, [`making`] for what the object graph needs, [`pending`] for what only the C stack tells.

mod activations;
mod alive;
mod asked;
pub mod buffer;
pub mod c_iterators;
pub mod check;
pub mod codeobject;
pub mod evalframe;
pub mod ffi;
mod field_kinds;
mod field_table;
pub mod fields;
pub mod frame;
mod frame_objects;
mod further_stack;
pub mod generator;
pub mod hashes;
pub mod lifecycle;
pub(crate) mod lost_frames;
pub mod making;
pub mod modules;
pub mod objects;
mod page;
pub mod parking;
pub(crate) mod pending;
mod probe;
pub mod prompt;
pub mod sets;
mod signature;
pub mod slot;
pub mod stack_room;
pub mod thread;
pub mod tripped;
mod unwinding;
mod v3_10;
mod v3_11;
mod v3_12;
mod v3_13;
mod v3_14;
mod v3_15;
mod v3_8;
mod v3_9;
pub mod zipping;

use crate::code::CodeRules;

/// The layout of the interpreter that this build is for.
#[cfg(all(Py_3_8, not(Py_3_9)))]
pub const CURRENT: &Layout = &v3_8::LAYOUT;
/// The layout of the interpreter that this build is for.
#[cfg(all(Py_3_9, not(Py_3_10)))]
pub const CURRENT: &Layout = &v3_9::LAYOUT;
/// The layout of the interpreter that this build is for.
#[cfg(all(Py_3_10, not(Py_3_11)))]
pub const CURRENT: &Layout = &v3_10::LAYOUT;
/// The layout of the interpreter that this build is for.
#[cfg(all(Py_3_11, not(Py_3_12)))]
pub const CURRENT: &Layout = &v3_11::LAYOUT;
/// The layout of the interpreter that this build is for.
#[cfg(all(Py_3_12, not(Py_3_13)))]
pub const CURRENT: &Layout = &v3_12::LAYOUT;
/// The layout of the interpreter that this build is for.
#[cfg(all(Py_3_13, not(Py_3_14)))]
pub const CURRENT: &Layout = &v3_13::LAYOUT;
/// The layout of the interpreter that this build is for.
#[cfg(all(Py_3_14, not(Py_3_15)))]
pub const CURRENT: &Layout = &v3_14::LAYOUT;
/// The layout of the interpreter that this build is for.
#[cfg(all(Py_3_15, not(Py_3_16)))]
pub const CURRENT: &Layout = &v3_15::LAYOUT;

/// Every layout that is written down, oldest first.
pub const LAYOUTS: &[&Layout] = &[
    &v3_8::LAYOUT,
    &v3_9::LAYOUT,
    &v3_10::LAYOUT,
    &v3_11::LAYOUT,
    &v3_12::LAYOUT,
    &v3_13::LAYOUT,
    &v3_14::LAYOUT,
    &v3_15::LAYOUT,
];

/// All that we need to know of a CPython release. Offsets are in bytes from the struct's start.
#[derive(Debug)]
pub struct Layout {
    /// The minor release.
    pub release: Release,
    /// How its code is read.
    pub code: CodeRules,
    /// Where its instructions have their operands.
    pub operands: OperandLayout,
    /// Fields of code objects.
    pub code_object: CodeObjectLayout,
    /// The running frame.
    pub frame: FrameLayout,
    /// Generators, coroutines and async generators.
    pub generator: GeneratorLayout,
    /// One item of the stack of handled exceptions.
    pub handled: HandledLayout,
    /// The thread state.
    pub thread: ThreadLayout,
    /// Where the interpreter keeps its eval-frame function.
    pub eval_frame: EvalFrame,
    /// Where its configuration is.
    pub configuration: Configuration,
    /// Where its evaluator looks for signals.
    pub signals: SignalChecks,
    /// Where `atexit` keeps its callbacks.
    pub atexit: Atexit,
    /// Fields of objects that other releases lack, or have elsewhere.
    pub fields: &'static [&'static [fields::Field]],
    /// What the interpreter itself publishes of the above, for debuggers (3.13 and later): the
    /// field's name, its number among the 64-bit numbers of `_Py_DebugOffsets`, and its offset.
    pub published: &'static [(&'static str, usize, usize)],
}

/// A minor release of CPython.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// The first number.
    pub major: u8,
    /// The second number.
    pub minor: u8,
}

/// Where instructions have their operands, as far as their effect on the stack does not tell.
#[derive(Clone, Copy, Debug)]
pub struct OperandLayout {
    /// The operands of a call.
    pub calls: CallShape,
    /// What lies in the manager's place while its `__enter__` runs.
    pub entering: Entering,
    /// How many values lie above the exit method that WITH_EXCEPT_START calls.
    pub above_exit: usize,
    /// How many words an iterator takes that a loop goes through.
    pub iterator_words: usize,
    /// How far the number of the name is shifted in LOAD_ATTR's argument.
    pub attribute_shift: u32,
    /// How many bits below the name the argument of `IMPORT_NAME` has.
    pub import_shift: u32,
    /// How far the number of the operator is shifted in COMPARE_OP's argument.
    pub compare_shift: u32,
    /// An exception in `__set_name__` goes on as it is, with a note (3.12 and later), rather than as the cause
    /// of a RuntimeError.
    pub notes_set_name: bool,
}

/// How a call's operands lie on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallShape {
    /// A method and its receiver, or NULL and a callable (up to 3.12).
    MethodFirst,
    /// The callable, and a receiver or NULL (3.13).
    CallableFirst,
    /// The same; CALL_FUNCTION_EX always has a place for keyword arguments (3.14 and later).
    CallableFirstKeywordsLast,
}

/// What `with` leaves on the stack while `__enter__` runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entering {
    /// The bound `__exit__` in the manager's place (up to 3.11).
    Exit,
    /// The manager itself; its `__exit__` is in C (3.12, 3.13).
    Manager,
    /// All of it: `__enter__` is called by an ordinary CALL (3.14 and later).
    Call,
}

/// Fields of `PyCodeObject`.
#[derive(Clone, Copy, Debug)]
pub struct CodeObjectLayout {
    /// `co_name`.
    pub name: usize,
    /// `co_code_adaptive`, the instructions that frames point into (3.11 and later).
    pub instructions: Option<usize>,
    /// `co_code`, the bytes object that frames run (up to 3.10).
    pub bytes: Option<usize>,
}

/// Fields of `PyFrameObject` (up to 3.10) or `_PyInterpreterFrame`.
#[derive(Clone, Copy, Debug)]
pub struct FrameLayout {
    /// `f_code`, later `f_executable`.
    pub code: usize,
    /// `f_back`, later `previous`.
    pub back: usize,
    /// `f_func`, where a frame keeps its function.
    pub function: Option<usize>,
    /// `f_globals`.
    pub globals: usize,
    /// `f_locals`: a namespace, or a cache of one.
    pub namespace: usize,
    /// The instruction pointer.
    pub instruction: Instruction,
    /// The depth of the value stack.
    pub depth: Depth,
    /// `f_localsplus`, later `localsplus`.
    pub slots: usize,
    /// What a slot holds, and the fields for the code and the function.
    pub words: Words,
    /// The block stack.
    pub blocks: Blocks,
    /// Who owns the frame.
    pub owner: Owner,
    /// How a frame is told that was entered from C.
    pub activation: Activation,
    /// `f_builtins`.
    pub builtins: usize,
    /// `frame_obj`, where a frame is not an object itself.
    pub frame_object: Option<usize>,
}

/// How a frame keeps its place in the code.
#[derive(Clone, Copy, Debug)]
pub enum Instruction {
    /// An `int`, the byte offset of the last instruction done (3.8, 3.9).
    LastByte(usize),
    /// An `int`, the number of the last code unit done (3.10).
    LastNumber(usize),
    /// A pointer to the last code unit done (3.11, 3.12).
    LastUnit(usize),
    /// A pointer to the instruction in progress, or the next one to run (3.13 and later).
    InProgress(usize),
}

/// What a slot of a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// An owned reference or NULL (up to 3.13).
    Pointers,
    /// A `_PyStackRef`: a pointer whose low bits say whether it is owned, or an integer (3.14 and
    /// later).
    StackRefs,
}

/// How a frame keeps the depth of its value stack.
#[derive(Clone, Copy, Debug)]
pub enum Depth {
    /// A pointer behind the top; NULL while the frame is evaluated (3.8, 3.9), or right whenever C
    /// code is called (3.14 and later).
    Top(usize),
    /// An `int`, -1 while the frame is evaluated (3.10).
    Count(usize),
    /// An `int` that counts locals too, -1 while the frame is evaluated (3.11–3.13).
    CountWithLocals(usize),
}

/// Where the handlers that are open in a frame are found.
#[derive(Clone, Copy, Debug)]
pub enum Blocks {
    /// A stack of blocks in the frame: the offsets of `f_iblock` and `f_blockstack`.
    InFrame {
        /// `f_iblock`.
        count: usize,
        /// `f_blockstack`.
        array: usize,
    },
    /// The exception table of the code; nothing in the frame.
    ExceptionTable,
}

/// How a frame names the generator it belongs to.
#[derive(Clone, Copy, Debug)]
pub enum Owner {
    /// `f_gen`, a borrowed reference or NULL.
    Field {
        /// `f_gen`.
        generator: usize,
        /// How the frame says that it is evaluated.
        executing: Executing,
    },
    /// A `char`; 1 for a frame that lies inside its generator.
    Byte {
        /// `owner`.
        offset: usize,
        /// This and above: no frame of the program's, but a shim that an activation of the
        /// evaluator lays below its first one (3.12 and later).
        shim: Option<i8>,
    },
}

/// How a frame object says that it is evaluated.
#[derive(Clone, Copy, Debug)]
pub enum Executing {
    /// `f_executing`, a `char` (3.8, 3.9).
    Flag(usize),
    /// `f_state`, a signed `char` (3.10).
    State {
        /// `f_state`.
        offset: usize,
        /// The numbers that it takes.
        states: GeneratorStates,
    },
}

/// How a frame is told that was entered through C.
#[derive(Clone, Copy, Debug)]
pub enum Activation {
    /// All are: every call recurses in C (up to 3.10).
    Always,
    /// A `bool` (`is_entry`), true for the first frame of an evaluator's activation (3.11).
    Flag(usize),
    /// A shim frame lies between it and its caller (3.12 and later).
    Shim,
}

/// Fields of `PyGenObject`.
#[derive(Clone, Copy, Debug)]
pub struct GeneratorLayout {
    /// The frame.
    pub frame: GeneratorFrame,
    /// `gi_exc_state`.
    pub handled: usize,
    /// Whether `close` gives back what the generator returns (3.13 and later).
    pub close_gives_value: bool,
}

/// How a generator keeps its frame and its state.
#[derive(Clone, Copy, Debug)]
pub enum GeneratorFrame {
    /// A pointer to a frame object, NULL once finished (`gi_frame`).
    Pointer {
        /// `gi_frame`.
        frame: usize,
        /// `gi_running`, a `char`, where the frame does not tell.
        running: Option<usize>,
    },
    /// The frame itself (`gi_iframe`), and `gi_frame_state`.
    Inside {
        /// `gi_iframe`.
        frame: usize,
        /// `gi_frame_state`, a signed `char`.
        state: usize,
        /// The numbers that it takes.
        states: GeneratorStates,
    },
}

/// The numbers of `f_state`, later `gi_frame_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneratorStates {
    /// Not started.
    pub created: i8,
    /// Stopped at a yield.
    pub suspended: i8,
    /// Stopped at a yield within `yield from` or `await`: the same up to 3.12.
    pub delegating: i8,
    /// On a stack.
    pub executing: i8,
}

/// Fields of `_PyErr_StackItem`.
#[derive(Clone, Copy, Debug)]
pub struct HandledLayout {
    /// `exc_type` and `exc_traceback`, where they are kept.
    pub triple: Option<(usize, usize)>,
    /// `exc_value`.
    pub value: usize,
    /// `previous_item`.
    pub previous: usize,
    /// The item's size.
    pub size: usize,
}

/// Fields of `PyThreadState`.
#[derive(Clone, Copy, Debug)]
pub struct ThreadLayout {
    /// Where the current frame is.
    pub current: CurrentFrame,
    /// `exc_info`, a pointer to the innermost item of the stack of handled exceptions.
    pub exc_info: usize,
    /// The recursion count.
    pub recursion: Recursion,
    /// How CPython keeps the C stack from running over.
    pub c_stack: CStack,
    /// `thread_id`, what `threading.get_ident` gives.
    pub ident: usize,
    /// `native_thread_id`, the kernel's number (3.11 and later).
    pub native_id: Option<usize>,
    /// `context`, the context that is in force, or NULL.
    pub context: usize,
    /// `coroutine_origin_tracking_depth`; a word on follow `async_gen_firstiter` and `async_gen_finalizer`.
    pub coroutines: usize,
    /// Where a thread has what tells its part of a `threading.local`.
    pub locals: ThreadLocals,
    /// How another thread is asked to stop between two instructions.
    pub stopping: Stopping,
}

/// How a thread finds its part of a `threading.local`.
#[derive(Clone, Copy, Debug)]
pub enum ThreadLocals {
    /// `dict` of the thread, by the local's address, has the key in the local's dictionary (up to 3.12).
    ByAddress(usize),
    /// `threading_local_key` of the thread is the key (3.13 and later).
    Key(usize),
}

/// How a thread is made to call a function of ours between two instructions.
#[derive(Clone, Copy, Debug)]
pub enum Stopping {
    /// By the fields of a C trace function, as `_PyEval_SetTrace` of later releases sets them (3.8).
    Fields {
        /// `use_tracing`, an `int`.
        use_tracing: usize,
        /// `c_tracefunc`.
        function: usize,
        /// `c_traceobj`.
        object: usize,
        /// `ceval.tracing_possible` in `_PyRuntime`, an `int`: how many threads are traced.
        possible: usize,
    },
    /// By `_PyEval_SetTrace` (3.9–3.11).
    Function {
        /// `c_tracefunc`.
        function: usize,
    },
    /// By a tool of `sys.monitoring` (3.12 and later).
    Monitoring {
        /// `c_tracefunc`.
        function: usize,
    },
}

/// How CPython keeps the C stack from running over when calls nest in C.
#[derive(Clone, Copy, Debug)]
pub enum CStack {
    /// By the recursion count, which counts all calls (up to 3.11).
    CountedWithAll,
    /// By a count of its own, downwards: an `int` (`c_recursion_remaining`; 3.12, 3.13).
    Counted(usize),
    /// By looking how far it has come (3.14 and later).
    Measured,
}

/// Where a thread keeps its current frame.
#[derive(Clone, Copy, Debug)]
pub enum CurrentFrame {
    /// In the thread state.
    Direct(usize),
    /// In a struct of the evaluator's (`cframe`) that the thread state points to.
    Through {
        /// `cframe`.
        pointer: usize,
        /// `current_frame` in it.
        field: usize,
    },
}

/// How nested calls are counted; both are `int`s.
#[derive(Clone, Copy, Debug)]
pub enum Recursion {
    /// Upwards (`recursion_depth`).
    Depth(usize),
    /// Downwards (`recursion_remaining`), from a limit (`recursion_limit`).
    Remaining {
        /// `recursion_remaining`.
        count: usize,
        /// `recursion_limit`.
        limit: usize,
    },
}

/// Where an interpreter keeps its eval-frame function (PEP 523).
#[derive(Clone, Copy, Debug)]
pub enum EvalFrame {
    /// In the interpreter state, at this offset (3.8).
    Field(usize),
    /// Behind functions that read and set it (3.9 and later).
    Functions,
}

/// Where an interpreter keeps its configuration.
#[derive(Clone, Copy, Debug)]
pub enum Configuration {
    /// In the interpreter state, at this offset (3.8).
    Field(usize),
    /// Behind a function that points to it (3.9 and later).
    Function,
}

/// Where the evaluator itself looks for signals, and what tells that it is where their handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalChecks {
    /// At the top of its loop: behind nearly any instruction, and before the first. Where the frame goes on
    /// is in C alone (up to 3.10).
    AtTop,
    /// Behind calls and jumps back, and where a function begins. Nothing in the frame tells whether a call is
    /// over (3.11–3.13).
    Behind,
    /// The same, and the depth that is stored tells (3.14 and later).
    BehindStored,
}

/// Where the callbacks of `atexit` are.
#[derive(Clone, Copy, Debug)]
pub enum Atexit {
    /// In the state of the module: {array of pointers, count}.
    ModuleState,
    /// In the interpreter state, at this offset: {array of pointers, count}.
    Interpreter(usize),
    /// In the interpreter state, at this offset: a list of tuples, the newest first (3.14 and later).
    InterpreterList(usize),
}
