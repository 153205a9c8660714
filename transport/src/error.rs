//! What can go wrong between two processes.

use crate::spawn::Ending;
use std::fmt;
use std::io;

/// Why a program could not be handed to another process.
///
/// At home nothing has moved when one of these is returned: the peer is gone, or will be as soon
/// as the value that stood for it is dropped, and the program goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The local program that leads to the peer did not start.
    #[error("`{program}` could not be started")]
    Spawn {
        /// The first word of the command.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The shell at the far end found no such Python.
    #[error("there is no `{python}` at the far end (exit status 127){words}")]
    PythonNotFound {
        /// The Python that the command asks for.
        python: String,
        /// What was printed on the way.
        words: Words,
    },

    /// Python runs at the far end but has no pyteleport.
    #[error(
        "`{python}` at the far end has no pyteleport; \
         install it there with `{python} -m pip install pyteleport`{words}"
    )]
    PackageNotFound {
        /// The Python that the command asks for.
        python: String,
        /// What was printed on the way.
        words: Words,
    },

    /// The package that was sent to a Python without pyteleport does not run there.
    #[error(
        "`{python}` at the far end has no pyteleport, and the one that was sent along does not run there ({ending}); \
         install it there with `{python} -m pip install pyteleport`{words}"
    )]
    PackageUnfit {
        /// The Python that the command asks for.
        python: String,
        /// How it ended.
        ending: Fate,
        /// What was printed on the way.
        words: Words,
    },

    /// ssh came back without having reached anything.
    #[error("`{program}` could not connect (exit status 255){words}")]
    Unreachable {
        /// The program that was to connect.
        program: String,
        /// Its own words.
        words: Words,
    },

    /// The peer ended without a word that explains it.
    #[error("the peer ended before it said Hello ({ending}){words}")]
    EndedEarly {
        /// How it ended.
        ending: Fate,
        /// What was printed on the way.
        words: Words,
    },

    /// The peer went away in the middle of the hand-off.
    #[error("the peer went away {during} ({ending}){words}")]
    Vanished {
        /// The step of the hand-off.
        during: &'static str,
        /// How it ended.
        ending: Fate,
        /// What was printed on the way.
        words: Words,
    },

    /// The peer is alive and well, and not what is needed.
    #[error("{0}")]
    Misfit(String),

    /// Something else than pyteleport answered.
    #[error("what answered is not pyteleport: its first bytes are {found}")]
    NotPyteleport {
        /// The first bytes, escaped.
        found: String,
    },

    /// The other end speaks another version of the protocol.
    #[error("pyteleport at the far end speaks version {theirs} of the protocol, this one {ours}; install the same version at both ends")]
    Protocol {
        /// Version of the other end.
        theirs: u16,
        /// Version of this end.
        ours: u16,
    },

    /// Bytes that are no packet, or not one that fits here.
    #[error("the other end broke the protocol")]
    Packet(#[from] PacketError),

    /// The peer could not take the program in, and said why.
    #[error("{text}")]
    PeerFailed {
        /// What kind of failure; the name of an error class.
        kind: String,
        /// The error in words.
        text: String,
    },

    /// The source of the payload gave up, or did not keep to its own length.
    #[error("the payload could not be sent")]
    Payload(#[source] io::Error),

    /// `interrupted()` said so.
    #[error("interrupted")]
    Interrupted,

    /// At the peer only: home gave up, so there is nothing to do here.
    #[error("home gave up the move")]
    HomeGaveUp,

    /// The system refused something.
    #[error("could not {what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl TransportError {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(nix::Error) -> TransportError {
        move |errno| TransportError::Io {
            what,
            source: errno.into(),
        }
    }
}

/// Why bytes from the other end are not a packet that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// No packet kind has this number.
    #[error("there is no packet kind {0}")]
    UnknownKind(u8),
    /// Longer than a packet of this kind can be.
    #[error("a {kind} packet of {length} bytes; {limit} is the most")]
    TooLarge {
        /// Name of the kind.
        kind: &'static str,
        /// Length that was announced.
        length: u64,
        /// The limit that it breaks.
        limit: u64,
    },
    /// The body does not say what such a body says.
    #[error("a {kind} packet with a body that cannot be read")]
    Body {
        /// Name of the kind.
        kind: &'static str,
    },
    /// A packet out of turn.
    #[error("a {found} packet where {expected} was due")]
    OutOfTurn {
        /// Name of the kind that came.
        found: &'static str,
        /// Names of the kinds that could have come.
        expected: &'static str,
    },
    /// More bytes of a stream than there was credit for.
    #[error("more bytes of a stream than there was credit for")]
    NoCredit,
    /// The channel ended inside a packet.
    #[error("the channel ended inside a packet")]
    CutOff,
}

/// How a process that may still run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate(pub Option<Ending>);

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ending) => ending.fmt(f),
            None => f.write_str("exit status unknown"),
        }
    }
}

/// The last lines that came on standard error; displayed after a colon, or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(pub String);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.trim() {
            "" => Ok(()),
            words => write!(f, ": {words}"),
        }
    }
}

/// What ends an operation on a channel; the ends turn it into a [`TransportError`] that says when.
#[derive(Debug)]
pub(crate) enum ChannelError {
    /// The other end is closed.
    Gone,
    Interrupted,
    Packet(PacketError),
    Io(io::Error),
}

impl From<PacketError> for ChannelError {
    fn from(error: PacketError) -> Self {
        ChannelError::Packet(error)
    }
}
