//! A channel: two byte halves to the other end.

use crate::error::{ChannelError, PacketError};
use crate::fd::{claim, duplicate, is_socket, set_nonblocking};
use crate::packet::{self, Kind, Packet, HEADER};
use crate::signals::without_sigpipe;
use crate::wait::Wait;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{recv, recvmsg, sendmsg, ControlMessage, ControlMessageOwned, MsgFlags};
use nix::sys::uio::writev;
use nix::unistd::read;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Two byte halves; a socket is both.
#[derive(Debug)]
pub(crate) struct Channel {
    input: OwnedFd,
    output: Option<OwnedFd>,
    output_is_socket: bool,
    /// Bytes that were read together with the noise before them; taken from the end.
    ahead: Vec<u8>,
}

/// What stopped a write.
pub(crate) enum Unwritten {
    /// The other end has something to say first.
    PeerSpoke,
    Error(ChannelError),
}

impl From<ChannelError> for Unwritten {
    fn from(error: ChannelError) -> Self {
        Unwritten::Error(error)
    }
}

impl Channel {
    /// Over one socket.
    pub(crate) fn over_socket(socket: OwnedFd) -> Channel {
        Channel {
            input: socket,
            output: None,
            output_is_socket: true,
            ahead: Vec::new(),
        }
    }

    /// Over two descriptors. `ahead` was read from `input` already.
    pub(crate) fn over_halves(input: OwnedFd, output: OwnedFd, mut ahead: Vec<u8>) -> Channel {
        ahead.reverse();
        let output_is_socket = is_socket(&output);
        Channel {
            input,
            output: Some(output),
            output_is_socket,
            ahead,
        }
    }

    /// Puts bytes back that were read too far; nothing else was.
    pub(crate) fn give_back(&mut self, mut bytes: Vec<u8>) {
        bytes.reverse();
        bytes.splice(0..0, std::mem::take(&mut self.ahead));
        self.ahead = bytes;
    }

    /// Makes every operation return to its [`Wait`] rather than block in the kernel.
    pub(crate) fn set_nonblocking(&self) -> nix::Result<()> {
        set_nonblocking(self.input())?;
        set_nonblocking(self.output())
    }

    pub(crate) fn input(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }

    /// The socket, or the half that is read.
    pub(crate) fn into_input(self) -> OwnedFd {
        self.input
    }

    pub(crate) fn output(&self) -> BorrowedFd<'_> {
        self.output.as_ref().unwrap_or(&self.input).as_fd()
    }

    /// Copies of the halves (of a socket, twice the same) for the other process after a fork.
    pub(crate) fn copy_halves(&self) -> nix::Result<(OwnedFd, OwnedFd)> {
        Ok((duplicate(self.input())?, duplicate(self.output())?))
    }

    /// Whether the other end has said something or closed.
    pub(crate) fn is_readable(&self, wait: &mut Wait<'_>) -> Result<bool, ChannelError> {
        use nix::poll::{poll, PollFd, PollTimeout};
        wait.ask()?;
        let mut polled = [PollFd::new(self.input(), PollFlags::POLLIN)];
        Ok(!self.ahead.is_empty() || poll(&mut polled, PollTimeout::ZERO).is_ok_and(|count| count > 0))
    }

    /// Reads what there is, at least one byte; zero at the end.
    pub(crate) fn read(&mut self, into: &mut [u8], wait: &mut Wait<'_>) -> Result<usize, ChannelError> {
        if !self.ahead.is_empty() {
            let length = into.len().min(self.ahead.len());
            for byte in &mut into[..length] {
                *byte = self.ahead.pop().unwrap_or(0);
            }
            return Ok(length);
        }
        loop {
            match read(&self.input, into) {
                Ok(length) => return Ok(length),
                Err(Errno::EINTR) => wait.ask()?,
                Err(Errno::EAGAIN) => {
                    wait.until([(self.input(), PollFlags::POLLIN)])?;
                }
                Err(Errno::ECONNRESET | Errno::EIO) => return Ok(0),
                Err(errno) => return Err(ChannelError::Io(errno.into())),
            }
        }
    }

    /// Fills `into`. The end of the channel is `Gone` before its first byte, and a cut-off packet
    /// after it.
    pub(crate) fn read_exact(&mut self, into: &mut [u8], wait: &mut Wait<'_>) -> Result<(), ChannelError> {
        let mut done = 0;
        while done < into.len() {
            match self.read(&mut into[done..], wait)? {
                0 if done == 0 => return Err(ChannelError::Gone),
                0 => return Err(PacketError::CutOff.into()),
                length => done += length,
            }
        }
        Ok(())
    }

    /// The kind of the next packet of a socket, which stays there; none for what is none, or at the end.
    pub(crate) fn peek(&mut self, wait: &mut Wait<'_>) -> Result<Option<Kind>, ChannelError> {
        let mut first = [0];
        loop {
            match recv(
                self.input.as_raw_fd(),
                &mut first,
                MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT,
            ) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Kind::ALL.into_iter().find(|kind| *kind as u8 == first[0])),
                Err(Errno::EINTR) => wait.ask()?,
                Err(Errno::EAGAIN) => drop(wait.until([(self.input(), PollFlags::POLLIN)])?),
                Err(errno) => return Err(ChannelError::Io(errno.into())),
            }
        }
    }

    /// Takes the next packet off the channel, and not one byte more.
    pub(crate) fn receive(&mut self, wait: &mut Wait<'_>) -> Result<Packet, ChannelError> {
        let mut header = [0; HEADER];
        self.read_exact(&mut header, wait)?;
        self.receive_body(&header, wait)
    }

    /// Takes the next packet off a socket, with the descriptors attached to it.
    pub(crate) fn receive_with(
        &mut self,
        wait: &mut Wait<'_>,
    ) -> Result<(Packet, Vec<OwnedFd>), ChannelError> {
        let mut header = [0; HEADER];
        let (length, attached) = loop {
            match receive_attached(self.input.as_raw_fd(), &mut header) {
                Ok(received) => break received,
                Err(Errno::EINTR) => wait.ask()?,
                Err(Errno::EAGAIN) => drop(wait.until([(self.input(), PollFlags::POLLIN)])?),
                Err(Errno::ECONNRESET) => return Err(ChannelError::Gone),
                Err(errno) => return Err(ChannelError::Io(errno.into())),
            }
        };
        if length == 0 {
            return Err(ChannelError::Gone);
        }
        self.read_exact(&mut header[length..], wait)?;
        Ok((self.receive_body(&header, wait)?, attached))
    }

    /// The rest of a packet whose header was read.
    fn receive_body(&mut self, header: &[u8; HEADER], wait: &mut Wait<'_>) -> Result<Packet, ChannelError> {
        let (kind, length) = packet::read_header(header)?;
        let mut body = vec![0; length];
        match self.read_exact(&mut body, wait) {
            Err(ChannelError::Gone) => Err(PacketError::CutOff.into()),
            outcome => outcome.map(|()| Packet { kind, body }),
        }
    }

    /// Writes some of `blocks`. If `listen`, stops as soon as it would have to wait while the other
    /// end has something to say.
    pub(crate) fn write_some(
        &mut self,
        blocks: &[IoSlice<'_>],
        listen: bool,
        wait: &mut Wait<'_>,
    ) -> Result<usize, Unwritten> {
        loop {
            let written = match self.output_is_socket {
                true => send(self.output().as_raw_fd(), blocks, &[]),
                false => without_sigpipe(|| writev(self.output(), blocks)),
            };
            match written {
                Ok(length) => return Ok(length),
                Err(Errno::EINTR) => wait.ask()?,
                Err(Errno::EAGAIN) => {
                    let output = (self.output(), PollFlags::POLLOUT);
                    match listen {
                        false => drop(wait.until([output])?),
                        true => {
                            let input = (self.input(), PollFlags::POLLIN);
                            let [_, said] = wait.until([output, input])?;
                            if !said.is_empty() {
                                return Err(Unwritten::PeerSpoke);
                            }
                        }
                    }
                }
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(ChannelError::Gone.into()),
                Err(errno) => return Err(ChannelError::Io(errno.into()).into()),
            }
        }
    }

    /// Writes all of `bytes`.
    pub(crate) fn write_all(&mut self, mut bytes: &[u8], wait: &mut Wait<'_>) -> Result<(), ChannelError> {
        while !bytes.is_empty() {
            match self.write_some(&[IoSlice::new(bytes)], false, wait) {
                Ok(length) => bytes = &bytes[length..],
                Err(Unwritten::Error(error)) => return Err(error),
                Err(Unwritten::PeerSpoke) => {}
            }
        }
        Ok(())
    }

    /// Sends a packet whose body is these bytes.
    pub(crate) fn send(&mut self, kind: Kind, body: &[u8], wait: &mut Wait<'_>) -> Result<(), ChannelError> {
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        packet::append(&mut bytes, kind, |out| out.extend(body))?;
        self.write_all(&bytes, wait)
    }

    /// Sends a packet with descriptors attached to its first byte.
    pub(crate) fn send_with(
        &mut self,
        kind: Kind,
        body: &[u8],
        descriptors: &[RawFd],
        wait: &mut Wait<'_>,
    ) -> Result<(), ChannelError> {
        let mut bytes = Vec::new();
        packet::append(&mut bytes, kind, |out| out.extend(body))?;
        let attached = [ControlMessage::ScmRights(descriptors)];
        let attached = if descriptors.is_empty() {
            &[]
        } else {
            &attached[..]
        };
        loop {
            match send(self.output().as_raw_fd(), &[IoSlice::new(&bytes)], attached) {
                Ok(length) => return self.write_all(&bytes[length..], wait),
                Err(Errno::EINTR) => wait.ask()?,
                Err(Errno::EAGAIN) => drop(wait.until([(self.output(), PollFlags::POLLOUT)])?),
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(ChannelError::Gone),
                Err(errno) => return Err(ChannelError::Io(errno.into())),
            }
        }
    }
}

fn send(socket: RawFd, blocks: &[IoSlice<'_>], attached: &[ControlMessage<'_>]) -> nix::Result<usize> {
    sendmsg::<()>(socket, blocks, attached, MsgFlags::MSG_NOSIGNAL, None)
}

fn receive_attached(socket: RawFd, into: &mut [u8]) -> nix::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; 3]);
    let mut blocks = [IoSliceMut::new(into)];
    let message = recvmsg::<()>(socket, &mut blocks, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut attached = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            attached.extend(numbers.into_iter().map(claim));
        }
    }
    Ok((message.bytes, attached))
}
