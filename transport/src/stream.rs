//! The ends of a stream that shares a channel with others: what [`crate::mux`] reads and writes.

use crate::packet::STREAM_BLOCK;
use crate::port::Port;
use std::os::fd::RawFd;

/// How much of a stream may be under way, and is buffered at most by its sink.
pub(crate) const WINDOW: usize = 256 << 10;

/// A line of this length is not waited for to end.
const LONG_LINE: usize = WINDOW / 2;

/// Bytes that are appended at one end and taken from the other.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub bytes: Vec<u8>,
    taken: usize,
}

impl Buffer {
    pub(crate) fn left(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    pub(crate) fn take(&mut self, length: usize) {
        self.taken += length;
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        } else if self.taken > STREAM_BLOCK {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.take(self.left().len());
    }
}

/// Where a stream is read.
#[derive(Debug)]
pub(crate) struct Source {
    pub stream: u8,
    pub port: Option<Port>,
    /// So many bytes more may be sent.
    pub credit: usize,
}

/// Where a stream is written.
#[derive(Debug)]
pub(crate) struct Sink {
    pub stream: u8,
    pub port: Option<Port>,
    pub pending: Buffer,
    /// Written, and not yet granted again.
    pub owed: usize,
    pub ended: bool,
    pub lines: Option<Lines>,
}

/// How a sink shares its descriptor with others: whole lines at a time.
#[derive(Debug)]
pub(crate) struct Lines {
    /// The same for all that share one.
    pub group: RawFd,
    /// Whether the last that was written was not the end of a line.
    pub midline: bool,
}

impl Sink {
    /// Closes it once all is written that came.
    pub(crate) fn close_if_done(&mut self) {
        if self.ended && self.pending.left().is_empty() {
            if let Some(port) = self.port.take() {
                port.finish();
            }
        }
    }

    /// What may be written now, if no other sink is in the way.
    pub(crate) fn writable(&self) -> &[u8] {
        let pending = self.pending.left();
        let Some(lines) = &self.lines else { return pending };
        match pending.iter().rposition(|byte| *byte == b'\n') {
            Some(last) => &pending[..=last],
            // The rest of a line, or one that is as long as all that may wait.
            None if self.ended || lines.midline || pending.len() >= LONG_LINE => pending,
            None => &[],
        }
    }

    /// Whether this one has written half a line where the other one wants to write.
    pub(crate) fn is_in_the_way_of(&self, other: &Sink) -> bool {
        let (Some(ours), Some(theirs)) = (&self.lines, &other.lines) else {
            return false;
        };
        self.port.is_some() && ours.midline && !theirs.midline && ours.group == theirs.group
    }
}
