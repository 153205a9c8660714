//! Why a stack could not be captured, or brought back to life.

use std::fmt;

/// A place in the program, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The function's name.
    pub function: String,
    /// Its file.
    pub file: String,
    /// The line.
    pub line: u32,
}

impl fmt::Display for Site {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brackets = if self.function.starts_with('<') { "" } else { "()" };
        write!(
            out,
            "{}{brackets} ({}, line {})",
            self.function, self.file, self.line
        )
    }
}

/// Why a running stack could not be captured.
///
/// Nothing has been changed when one of these is returned: the program goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// C code stands between two frames and is not through.
    #[error(
        "{callee} was called by {c_function}, itself called in {caller}: that C code has work left \
         which cannot be moved; make the call that moves the program outside of it"
    )]
    Boundary {
        /// The frame above.
        callee: Box<Site>,
        /// The C function, or what the instruction does.
        c_function: String,
        /// The frame below.
        caller: Box<Site>,
    },

    /// The caller's instruction has nothing to do with the callee.
    #[error(
        "{callee} does not follow from what {caller} was doing ({instruction}): a finalizer, a signal \
         handler or another callback cannot be moved while it runs"
    )]
    Unexplained {
        /// The frame above.
        callee: Box<Site>,
        /// The frame below.
        caller: Box<Site>,
        /// What the caller was doing.
        instruction: String,
    },

    /// The outermost frame is not that of a program, but of a function that C code has called.
    #[error(
        "{callee} was called by the interpreter itself, as a hook, at exit, or by a program that it is part \
         of: what comes after it cannot be moved; make the call that moves the program outside of it"
    )]
    CalledByInterpreter {
        /// The frame.
        callee: Box<Site>,
    },

    /// The capture of a program, or its arrival, has called something that is to be moved.
    #[error(
        "{callee} was called by pyteleport, which is capturing the program or bringing it back: nothing else can \
         be moved meanwhile; make the call that moves the program outside of it"
    )]
    Meanwhile {
        /// What has been called.
        callee: Box<Site>,
    },

    /// The instance that an `__init__` makes is not known.
    #[error(
        "the instance made by {callee} cannot be told: the function binds its first parameter anew; \
         call pyteleport.install_hook() before the program makes it"
    )]
    Instance {
        /// The `__init__`.
        callee: Box<Site>,
    },

    /// CPython and the analysis of the code disagree.
    #[error("{site} holds {found} stack values where its code says {expected}")]
    DepthMismatch {
        /// The frame.
        site: Box<Site>,
        /// What was found.
        found: usize,
        /// What the code says.
        expected: usize,
    },

    /// The instruction in progress cannot be told.
    #[error("{site} stands at no instruction of its code that is ever reached")]
    Nowhere {
        /// The frame.
        site: Box<Site>,
    },

    /// The chain of handled exceptions is not that of the frames.
    #[error("the exceptions being handled do not match the generators on the stack")]
    HandledMismatch,

    /// A generator that cannot be captured as it stands.
    #[error("{generator} {reason}")]
    Generator {
        /// Its name.
        generator: String,
        /// Why.
        reason: &'static str,
    },

    /// Other threads do not come to a stand.
    #[error(
        "other threads could not be stopped within {seconds} s: {}; have them return from that before the move, or \
         give them more time (timeout=)", busy.join("; ")
    )]
    Threads {
        /// How long they had.
        seconds: f64,
        /// What each of them does.
        busy: Vec<String>,
    },

    /// A thread has gone on since it was found standing.
    #[error("the thread that runs {site} has gone on while it was looked at")]
    Moved {
        /// Where it is.
        site: Box<Site>,
    },

    /// Another thread is about to move the program, too.
    #[error("another thread is moving the program just now: only one can at a time")]
    MovedByAnother,

    /// Somebody traces another thread, with the means that it would be stopped by.
    #[error("{thread} is traced by a debugger or the like: it cannot be stopped for a move")]
    Traced {
        /// Its name.
        thread: String,
    },

    /// There is nothing to capture.
    #[error("there is no Python frame to capture")]
    NoFrame,

    /// CPython raised an exception.
    #[error("{0}")]
    Python(#[from] pyo3::PyErr),
}

/// Why a snapshot could not be turned into frames again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MorphError {
    /// An object is missing or of the wrong kind.
    #[error("frame {frame} asks for object {object} as its {what}, which it is not")]
    Object {
        /// The frame's index, outermost first.
        frame: usize,
        /// The object's place.
        object: u32,
        /// What it should have been.
        what: &'static str,
    },

    /// The frame does not fit its code.
    #[error("frame {frame} does not fit its code: {what}")]
    Misfit {
        /// The frame's index.
        frame: usize,
        /// What does not fit.
        what: String,
    },

    /// CPython raised an exception.
    #[error("{0}")]
    Python(#[from] pyo3::PyErr),
}
