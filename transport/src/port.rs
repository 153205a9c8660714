//! Ports: descriptors that a pump reads and writes without ever blocking in one.

use crate::fd::{is_socket, set_nonblocking};
use nix::errno::Errno;
use nix::fcntl::{open, OFlag};
use nix::sys::socket::{recv, send, shutdown, MsgFlags, Shutdown};
use nix::sys::stat::Mode;
use nix::unistd::{getpgrp, isatty, read, tcgetpgrp, write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What a write to a pipe that `poll` finds writable never blocks on (PIPE_BUF).
const SMALL: usize = 4096;

/// A descriptor and how it is kept from blocking.
#[derive(Debug)]
pub(crate) struct Port {
    fd: OwnedFd,
    gate: Gate,
    tty: bool,
}

/// How a descriptor is kept from blocking. Its mode belongs to everybody who shares it (home's
/// standard output may be the shell's), so it is only changed where nobody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    /// Nobody else uses it: non-blocking mode.
    Own,
    /// A flag on each call.
    Socket,
    /// Only used after `poll` found it ready, and written in small pieces.
    Shared,
}

/// What became of a read or write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    Bytes(usize),
    /// Not now.
    Nothing,
    /// Never again: the end of what is read, or nobody there to read what is written.
    Over,
}

impl Port {
    /// For a descriptor that nobody else uses.
    pub(crate) fn own(fd: OwnedFd) -> nix::Result<Port> {
        set_nonblocking(&fd)?;
        Ok(Port {
            fd,
            gate: Gate::Own,
            tty: false,
        })
    }

    /// For a descriptor to read that others may share.
    pub(crate) fn shared_input(fd: OwnedFd) -> Port {
        let gate = if is_socket(&fd) {
            Gate::Socket
        } else {
            Gate::Shared
        };
        let tty = isatty(&fd).unwrap_or(false);
        Port { fd, gate, tty }
    }

    /// For a descriptor to write that others may share. A terminal is opened again: even a small
    /// write blocks on it while its output is stopped.
    pub(crate) fn shared_output(fd: OwnedFd) -> Port {
        let port = Port::shared_input(fd);
        if !port.tty {
            return port;
        }
        let path = format!("/proc/self/fd/{}", port.fd.as_raw_fd());
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        match open(path.as_str(), flags, Mode::empty()) {
            Ok(again) => Port {
                fd: again,
                gate: Gate::Own,
                tty: true,
            },
            Err(_) => port,
        }
    }

    /// Closes it: who reads at the other end of a socket that is only ours sees that nothing more comes,
    /// even if we go on to read from it by another copy.
    pub(crate) fn finish(self) {
        if self.gate == Gate::Own {
            let _ = shutdown(self.fd.as_raw_fd(), Shutdown::Write); // not a socket: closed with the value
        }
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether `poll` must be asked before each use.
    pub(crate) fn needs_poll(&self) -> bool {
        self.gate == Gate::Shared
    }

    /// Whether it is a terminal that a read would be punished for (SIGTTIN stops us), since this
    /// process is in the background.
    pub(crate) fn in_background(&self) -> bool {
        self.tty && tcgetpgrp(&self.fd).is_ok_and(|group| group != getpgrp())
    }

    /// Reads some bytes; to be called when `poll` found it ready, or for an own descriptor.
    pub(crate) fn read(&self, into: &mut [u8]) -> Moved {
        let outcome = match self.gate {
            Gate::Socket => recv(self.fd.as_raw_fd(), into, MsgFlags::MSG_DONTWAIT),
            Gate::Own | Gate::Shared => read(&self.fd, into),
        };
        match outcome {
            Ok(0) => Moved::Over,
            Ok(length) => Moved::Bytes(length),
            Err(Errno::EAGAIN | Errno::EINTR) => Moved::Nothing,
            Err(_) => Moved::Over,
        }
    }

    /// Writes some bytes; to be called when `poll` found it ready. SIGPIPE is ignored by now.
    pub(crate) fn write(&self, bytes: &[u8]) -> Moved {
        let outcome = match self.gate {
            Gate::Socket => send(
                self.fd.as_raw_fd(),
                bytes,
                MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            ),
            Gate::Own => write(&self.fd, bytes),
            Gate::Shared => write(&self.fd, &bytes[..bytes.len().min(SMALL)]),
        };
        match outcome {
            Ok(length) => Moved::Bytes(length),
            Err(Errno::EAGAIN | Errno::EINTR) => Moved::Nothing,
            Err(_) => Moved::Over,
        }
    }
}
