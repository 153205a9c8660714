//! Side streams: what a peer's command prints beside the channel.
//!
//! It is passed on byte for byte, to the standard descriptor of the same number, and its end is
//! remembered for error texts.

use crate::error::Words;
use crate::fd::{set_nonblocking, standard};
use crate::signals::without_sigpipe;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::unistd::{read, write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

/// How much of the end is remembered, and how many lines of it are shown.
const TAIL: usize = 4 << 10;
const TAIL_LINES: usize = 8;

/// A stream of the command and the standard descriptor that it goes to.
#[derive(Debug)]
pub(crate) struct SideStream {
    from: OwnedFd,
    to: RawFd,
}

impl SideStream {
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.from.as_fd()
    }

    /// The stream, and the standard descriptor that it goes to.
    pub(crate) fn into_parts(self) -> (OwnedFd, RawFd) {
        (self.from, self.to)
    }
}

/// The side streams that are still open.
#[derive(Debug, Default)]
pub(crate) struct SideStreams {
    pub streams: Vec<SideStream>,
    tail: Vec<u8>,
}

impl SideStreams {
    /// Passes `from` on to standard descriptor `to` from now on.
    pub(crate) fn add(&mut self, from: OwnedFd, to: RawFd) -> nix::Result<()> {
        set_nonblocking(&from)?;
        self.streams.push(SideStream { from, to });
        Ok(())
    }

    /// Passes on what is there; `ready` says of each stream what `poll` said.
    pub(crate) fn serve(&mut self, ready: &[PollFlags]) {
        let mut ready = ready.iter();
        let tail = &mut self.tail;
        self.streams
            .retain(|stream| ready.next().is_none_or(|flags| flags.is_empty()) || pass_on(stream, tail));
    }

    /// Passes on all that is there now.
    pub(crate) fn drain(&mut self) {
        let tail = &mut self.tail;
        self.streams.retain(|stream| pass_on(stream, tail));
    }

    /// Whether the last lines on standard error contain one of these.
    pub(crate) fn mentions(&self, texts: &[&str]) -> bool {
        let tail = String::from_utf8_lossy(&self.tail);
        texts.iter().any(|text| tail.contains(text))
    }

    /// The last lines on standard error.
    pub(crate) fn words(&self) -> Words {
        let tail = String::from_utf8_lossy(&self.tail).replace('\r', "");
        let lines: Vec<&str> = tail
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .collect();
        Words(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
    }
}

/// Copies until the stream is empty for now; false at its end.
fn pass_on(stream: &SideStream, tail: &mut Vec<u8>) -> bool {
    let mut block = [0; 16 << 10];
    loop {
        match read(&stream.from, &mut block) {
            Ok(0) => return false,
            Ok(length) => {
                if stream.to == 2 {
                    tail.extend(&block[..length]);
                    tail.drain(..tail.len().saturating_sub(TAIL));
                }
                write_standard(stream.to, &block[..length]);
            }
            Err(Errno::EAGAIN) => return true,
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Writes to a standard descriptor. If nobody reads it the bytes are lost, as they would be had
/// the command been started with it.
pub(crate) fn write_standard(number: RawFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match without_sigpipe(|| write(standard(number), bytes)) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => wait_writable(number),
            Err(_) => return,
        }
    }
}

/// Somebody made our standard descriptor non-blocking.
fn wait_writable(number: RawFd) {
    use nix::poll::{poll, PollFd, PollTimeout};
    let _ = poll(
        &mut [PollFd::new(standard(number), PollFlags::POLLOUT)],
        PollTimeout::NONE,
    );
}
