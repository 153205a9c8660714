//! The snapshot: stopped stacks as plain data, with no pointer and no Python type in it.
//!
//! Python objects are named by their place ([`ObjectId`]) in a list that travels beside the
//! snapshot, as one graph: what was one object stays one object. Everything else that makes up a
//! running frame is here, field by field, in the order in which `read` takes it and `morph` gives
//! it back.

use serde::{Deserialize, Serialize};

/// The place of a Python object in the list of objects that travels with a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectId(pub u32);

/// One local, cell or value-stack place of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slot {
    /// An empty place: an unbound local, or the NULL that CPython pushes beside a callable.
    Null,
    /// A reference to an object.
    Object(ObjectId),
    /// A small integer that CPython keeps in the slot itself (3.14 and later).
    Tagged(i64),
}

/// One entry of the block stack (CPython 3.8–3.10), with CPython's own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The opcode that set the block up, or 257 for a handler that is running.
    pub kind: i32,
    /// Where an exception goes on: CPython's unit of this release, -1 where there is none.
    pub handler: i32,
    /// The stack depth that an exception unwinds to.
    pub level: i32,
}

/// An exception that is being handled: `sys.exc_info()` of one level.
///
/// From CPython 3.11 on only `value` is kept by the interpreter; before, all three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handled {
    /// The exception's class.
    pub kind: Option<ObjectId>,
    /// The exception.
    pub value: Option<ObjectId>,
    /// Its traceback.
    pub traceback: Option<ObjectId>,
}

/// What the result of a frame's callee means to the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// The result is pushed where the operands were; those are left out of the snapshot.
    Value,
    /// A class was called and its `__init__` runs: what is pushed is the instance.
    Instance(ObjectId),
    /// The operands are left out too, and the result is dropped: the instruction stores something.
    Discard,
    /// `__enter__` runs: its result is pushed above the exit method, in a block of its own.
    WithEnter,
    /// `__exit__` was given an exception: its answer is pushed above everything.
    WithExit,
    /// The instruction runs again with its operands, and enters the callee again.
    Again,
    /// The same through a function that `functools.lru_cache` wraps: the object, which counts the
    /// call as a miss once more.
    AgainCached(ObjectId),
    /// The same of C code that goes through a source, a generator say.
    AgainOver {
        /// A list of what it has from it already, and gets again: the operand is an iterator over this
        /// list and then over the source.
        items: ObjectId,
        /// The source.
        source: ObjectId,
    },
    /// C code collects what a source in C gives, and the result decides on its next item, or is that: it is
    /// added to a list, and the instruction runs again with its operands. A StopIteration ends the source.
    Item {
        /// The list.
        items: ObjectId,
        /// An operand, which is an iterator over the list and then over the source, and the source; without,
        /// the operand on top is the source, and the list is where the items belong.
        over: Option<(ObjectId, ObjectId)>,
        /// The item, if the result is not it, and the truth that the result has to have.
        decides: Option<(bool, ObjectId)>,
    },
    /// The result goes into a list which an operand begins with, and the instruction runs again.
    First(ObjectId),
    /// The result takes the place of the operand on top, and the instruction runs again.
    OnTop,
    /// The result is the call's, as with `Value`; the callee goes on when None is sent to this object.
    Sent(ObjectId),
    /// A generator is closed: a tuple of the callee's, then of those that delegate to it, from the
    /// inside out. Each is closed when the one before it is.
    Closed(ObjectId),
    /// `raise` was given a class, and makes its instance, which runs its `__init__`: the instance is
    /// put in the class's place, and the instruction runs again.
    Raise(ObjectId),
    /// The result is dropped, and the instruction is done: a jump that was taken.
    Jumped,
    /// The result is dropped, and the instruction runs again with its operands: it finds done what
    /// the callee did.
    Repeat,
    /// The result is dropped, and the frame goes on at this unit: CPython has run a signal's handler between two
    /// instructions (up to 3.11). Unlike elsewhere, [`FrameState::instruction`] is the next one.
    Between(u32),
    /// A module is being imported: its result is dropped, and the instruction runs again with its
    /// operands, finds the module, and goes on from there. What an exception tells of the importing
    /// itself is taken out of its traceback.
    Import,
    /// The same at the end of an import: the result is pushed where the operands were.
    Imported,
    /// C code has this left to do, in this many steps from now on, with what is in this tuple.
    Rest {
        /// Which C code.
        rest: Rest,
        /// The step that the result belongs to.
        step: u8,
        /// What it works with.
        with: ObjectId,
    },
    /// If the result is as true as `when` says, `value` is pushed where the operands were;
    /// otherwise the instruction runs again with them.
    Either {
        /// The truth that ends the instruction.
        when: bool,
        /// What the instruction is worth then.
        value: ObjectId,
    },
    /// An iterator in C has called the callee for its next item, and keeps something of the result: its total, or
    /// that it has begun or has come to its end. Where that is no item the instruction runs again.
    Kept {
        /// The iterator.
        by: ObjectId,
        /// The item, if the result is not it but decides on it.
        item: Option<ObjectId>,
    },
}

/// What C code has left to do when its callee returns; how it is done is the hook's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rest {
    /// The call is worth an object that there is already: `(object,)`.
    Worth,
    /// `__build_class__`, from the end of the class's body on: `(metaclass, name, bases, bases as
    /// written or None, namespace, keyword arguments, cell of __class__, class)`.
    Class,
    /// A binary operator or a comparison: `(operator, left, right, methods that are left)`.
    Operator,
    /// `print`: `(texts that are left, file, whether it is flushed)`.
    Print,
    /// A `defaultdict` that lacks a key: `(dictionary, key, what it is set to, in a tuple, or an empty one)`.
    Missing,
}

impl Entry {
    /// Whether the instruction runs again to enter the callee again.
    pub fn is_again(&self) -> bool {
        matches!(
            self,
            Entry::Again | Entry::AgainCached(_) | Entry::AgainOver { .. }
        )
    }
}

/// One running call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameState {
    /// The code object.
    pub code: ObjectId,
    /// The function; CPython 3.8–3.10 keep none in a frame.
    pub function: Option<ObjectId>,
    /// The globals.
    pub globals: ObjectId,
    /// The namespace of a module's or a class's body, or one given to `exec`.
    pub namespace: Option<ObjectId>,
    /// The generator, coroutine or async generator that owns the frame.
    pub generator: Option<ObjectId>,
    /// The instruction in progress, in code units of two bytes; for a suspended frame the raw
    /// instruction pointer, which CPython keeps one instruction before or behind.
    pub instruction: i32,
    /// The code unit within that instruction which CPython names, and tracebacks after it: up to 3.12 it may be
    /// the last one, of a callee that the same evaluator entered.
    pub named: i32,
    /// Locals, cells and free variables.
    pub slots: Vec<Slot>,
    /// The value stack.
    pub stack: Vec<Slot>,
    /// The block stack (CPython 3.8–3.10).
    pub blocks: Vec<Block>,
    /// The exception handled by the generator that owns the frame.
    pub handled: Handled,
    /// How the callee was entered; for the innermost frame, the call that stopped the program.
    pub entry: Entry,
    /// The state of a suspended generator's frame, in CPython's number of this release.
    pub suspended: Option<i8>,
}

/// The stack of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// How many of the frames are its.
    pub frames: u32,
    /// The exception that its outermost frame runs under.
    pub handled: Handled,
}

/// The stopped stacks of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The frames of all stacks, one behind the other, each with its outermost first.
    pub frames: Vec<FrameState>,
    /// The stacks: first that of the thread that has stopped the program, then those of the others.
    pub stacks: Vec<Stack>,
}
