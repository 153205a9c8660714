//! Ways to another process, and the hand-off of a program over them.
//!
//! There is no Python in this crate: a program is a stream of bytes here, and a Python signal
//! handler is a closure that says whether to give up. In the order of a move:
//!
//! | step | home | peer |
//! |---|---|---|
//! | start the peer | [`command`], `reach`, `spawn`, `side` | |
//! | Hello, both ways | [`handshake`] | [`handshake`] |
//! | Offer, Ready or Failed, Commit | [`home`] | [`peer`], `relay` |
//! | afterwards | [`pump`], `ward` | `relay`, `ward`, `keeper` |
//! | with copies of a program | [`copies`] | [`warden`] |
//! | with a peer that a server has started | [`warm`] | [`warm`] |
//! | with a guest, which comes back | [`guest`] | [`warden`] |
//!
//! [`handoff`] draws the sequence and says what each end may rely on. `packet` has the units on
//! the wire, `channel` the two byte halves that they travel over, `mux` the three streams of a
//! program that share one channel after Commit, `alive` what they ask each other over it. [`mod@file`] keeps a payload without any peer, and
//! [`folder`] removes what was put where no pyteleport was installed.
//!
//! Unsafe code is in `fd`, `signals`, `caught` and `fork`, and nowhere else.
#![deny(unsafe_code)]

mod alive;
#[allow(unsafe_code)]
mod caught;
mod channel;
pub mod command;
pub mod copies;
pub mod error;
#[allow(unsafe_code)]
mod fd;
pub mod file;
pub mod folder;
#[allow(unsafe_code)]
mod fork;
pub mod guest;
pub mod handoff;
pub mod handshake;
pub mod home;
mod keeper;
mod line;
mod mux;
mod packet;
pub mod peer;
mod port;
pub mod pump;
mod reach;
mod relay;
mod side;
#[allow(unsafe_code)]
mod signals;
mod spawn;
mod stream;
pub mod terminal;
mod wait;
mod ward;
pub mod warden;
pub mod warm;

pub use command::ReceiveCommand;
pub use error::TransportError;
pub use guest::Returned;
pub use handoff::{Going, PayloadSource};
pub use handshake::{BuildIdentity, Hello};
pub use home::{Committed, Peer, ReadyPeer};
pub use peer::{Arriving, HeldSignals, Receiver, Standby};
pub use signals::Quiet;
pub use spawn::Ending;
