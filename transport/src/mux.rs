//! The streams of a program that share one channel after Commit.
//!
//! Data flows on credit: the end that writes a stream out grants as many bytes as it has written,
//! so a stream that nobody reads stops at its source, and never holds up the others, the signals
//! or the exit status. Both ends of the channel run one of these, home's with standard input as a
//! source and the others as sinks, the relay's the other way round.
//!
//! ```text
//!  source ──Data──▶ sink        bytes
//!  source ──End───▶ sink        no more will come: the sink is closed when all is written
//!  source ◀─Credit─ sink        room for more
//!  source ◀─Closed─ sink        nobody reads any more: the source is closed
//! ```

use crate::alive::{Asking, Moment};
use crate::error::PacketError;
use crate::packet::{self, CopyExit, CopySignal, ExitBody, Kind, SignalBody, HEADER, STREAM_BLOCK};
use crate::port::{Moved, Port};
use crate::stream::{Buffer, Lines, Sink, Source, WINDOW};
use crate::terminal::Size;
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::fd::{BorrowedFd, RawFd};

/// With this much waiting for the channel, sources are not read.
const ENOUGH: usize = 256 << 10;

/// The program's streams over one channel.
#[derive(Debug)]
pub(crate) struct Mux {
    input: Option<Port>,
    output: Option<Port>,
    unsent: Buffer,
    received: Buffer,
    sources: Vec<Source>,
    sinks: Vec<Sink>,
    events: VecDeque<Event>,
    /// What the sources have goes there instead.
    kept_in: Option<File>,
    /// What it asks the other end, if that is this one's part.
    asking: Option<Asking>,
    /// When the other end has asked last.
    asked: Option<Moment>,
}

/// What came that is not for a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Signal(SignalBody),
    Exit(ExitBody),
    CopyExit(CopyExit),
    CopySignal(CopySignal),
    Window(Size),
    Stopped,
    Leave,
    /// The channel has ended.
    Gone,
}

/// A descriptor of this mux, as `poll` sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Input,
    Output,
    Source(usize),
    Sink(usize),
}

/// Asks `poll` about all of these; says which are ready for what.
pub(crate) fn poll_all<T: Copy>(
    wanted: &[(T, BorrowedFd<'_>, PollFlags)],
    timeout: PollTimeout,
) -> Vec<(T, PollFlags)> {
    let mut polled: Vec<PollFd> = wanted
        .iter()
        .map(|(_, fd, flags)| PollFd::new(*fd, *flags))
        .collect();
    while let Err(Errno::EINTR) = poll(&mut polled, timeout) {}
    let ready = polled.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
    wanted
        .iter()
        .zip(ready)
        .filter(|(_, flags)| !flags.is_empty())
        .map(|(want, flags)| (want.0, flags))
        .collect()
}

impl Mux {
    /// Over this channel; streams are added afterwards.
    pub(crate) fn new(input: Port, output: Port) -> Mux {
        Mux {
            input: Some(input),
            output: Some(output),
            unsent: Buffer::default(),
            received: Buffer::default(),
            sources: Vec::new(),
            sinks: Vec::new(),
            events: VecDeque::new(),
            kept_in: None,
            asking: None,
            asked: None,
        }
    }

    /// A stream that is read here; without a port, one that is at its end.
    pub(crate) fn add_source(&mut self, stream: u8, port: Option<Port>) {
        if port.is_none() {
            self.send(Kind::End, &[stream]);
        }
        self.sources.push(Source {
            stream,
            port,
            credit: WINDOW,
        });
    }

    /// A stream that is written here; without a port, one that nobody reads.
    pub(crate) fn add_sink(&mut self, stream: u8, port: Option<Port>) {
        self.add(stream, port, None);
    }

    /// A stream that is written whole lines at a time, between those of others with the same `group`.
    pub(crate) fn add_line_sink(&mut self, stream: u8, port: Option<Port>, group: RawFd) {
        let midline = false;
        self.add(stream, port, Some(Lines { group, midline }));
    }

    fn add(&mut self, stream: u8, port: Option<Port>, lines: Option<Lines>) {
        if port.is_none() {
            self.send(Kind::Closed, &[stream]);
        }
        self.sinks.push(Sink {
            stream,
            port,
            pending: Buffer::default(),
            owed: 0,
            ended: false,
            lines,
        });
    }

    /// What to wait for. Reading a terminal from the background is put off, so while
    /// [`Mux::is_put_off`] the wait should be a short one.
    pub(crate) fn wanted(&self) -> Vec<(At, BorrowedFd<'_>, PollFlags)> {
        let mut wanted = Vec::new();
        if let Some(port) = &self.input {
            wanted.push((At::Input, port.descriptor(), PollFlags::POLLIN));
        }
        if let (Some(port), false) = (&self.output, self.unsent.left().is_empty()) {
            wanted.push((At::Output, port.descriptor(), PollFlags::POLLOUT));
        }
        for (index, source) in self.sources.iter().enumerate() {
            if let (Some(port), true) = (&source.port, self.may_read(source)) {
                wanted.push((At::Source(index), port.descriptor(), PollFlags::POLLIN));
            }
        }
        for (index, sink) in self.sinks.iter().enumerate() {
            if let Some(port) = &sink.port {
                let flags = if self.writable(index).is_empty() {
                    PollFlags::empty()
                } else {
                    PollFlags::POLLOUT
                };
                wanted.push((At::Sink(index), port.descriptor(), flags));
            }
        }
        wanted
    }

    /// What of a sink's bytes may be written now.
    fn writable(&self, index: usize) -> &[u8] {
        let sink = &self.sinks[index];
        match self.sinks.iter().any(|other| other.is_in_the_way_of(sink)) {
            true => &[],
            false => sink.writable(),
        }
    }

    fn may_read(&self, source: &Source) -> bool {
        if self.kept_in.is_some() {
            return true;
        }
        let in_background = source.port.as_ref().is_some_and(Port::in_background);
        source.credit > 0 && self.unsent.left().len() < ENOUGH && !in_background
    }

    /// Whether a source waits for this process to come to the foreground.
    pub(crate) fn is_put_off(&self) -> bool {
        self.sources
            .iter()
            .filter_map(|source| source.port.as_ref())
            .any(Port::in_background)
    }

    /// Does what is to be done at a place that `poll` found ready.
    pub(crate) fn serve(&mut self, at: At, flags: PollFlags) -> Result<(), PacketError> {
        match at {
            At::Input => return self.read_channel(),
            At::Output => self.write_channel(),
            At::Source(index) => drop(self.read_source(index)),
            At::Sink(index) => self.write_sink(index, flags),
        }
        Ok(())
    }

    /// The next thing that came.
    pub(crate) fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Asks the other end now and then whether it is there, from here on.
    pub(crate) fn keep_asking(&mut self, asking: Asking) {
        self.asking = Some(asking);
    }

    /// Asks, if it is time to.
    pub(crate) fn ask(&mut self) {
        let asking = self.asking.as_mut().filter(|_| self.output.is_some());
        if let Some(number) = asking.and_then(Asking::next) {
            self.send(Kind::Ask, &number);
        }
    }

    /// When it will be time to ask.
    pub(crate) fn will_ask(&self) -> Option<Moment> {
        let asking = self.asking.as_ref().filter(|_| self.output.is_some());
        asking.and_then(Asking::due)
    }

    /// Until when the other end may be thought to be there.
    pub(crate) fn lease_end(&self) -> Option<Moment> {
        let asking = self.asking.as_ref().filter(|_| self.output.is_some());
        asking.map(Asking::lease_end)
    }

    /// When the other end has asked last.
    pub(crate) fn was_asked(&self) -> Option<Moment> {
        self.asked
    }

    pub(crate) fn send_signal(&mut self, signal: &SignalBody) {
        // The name of a signal is far below the limit.
        let _ = packet::append_value(&mut self.unsent.bytes, Kind::Signal, signal);
    }

    pub(crate) fn send_exit(&mut self, exit: &ExitBody) {
        let _ = packet::append_value(&mut self.unsent.bytes, Kind::Exit, exit);
    }

    pub(crate) fn send_window(&mut self, size: Size) {
        let _ = packet::append_value(&mut self.unsent.bytes, Kind::Window, &size);
    }

    pub(crate) fn send_stopped(&mut self) {
        self.send(Kind::Stopped, &[]);
    }

    /// From here on what the sources have goes to a file: nobody else is there.
    pub(crate) fn keep_in(&mut self, file: File) {
        self.close_output();
        self.kept_in = Some(file);
    }

    pub(crate) fn send_adopted(&mut self, answer: u8) {
        self.send(Kind::Adopted, &[answer]);
    }

    pub(crate) fn send_copy_signal(&mut self, signal: &CopySignal) {
        let _ = packet::append_value(&mut self.unsent.bytes, Kind::CopySignal, signal);
    }

    pub(crate) fn send_copy_exit(&mut self, exit: &CopyExit) {
        let _ = packet::append_value(&mut self.unsent.bytes, Kind::CopyExit, exit);
    }

    fn send(&mut self, kind: Kind, body: &[u8]) {
        let appended = packet::append(&mut self.unsent.bytes, kind, |out| out.extend(body));
        debug_assert!(appended.is_ok());
    }

    /// Whether so much waits for the channel that signals had better wait too.
    pub(crate) fn is_full(&self) -> bool {
        self.output.is_some() && self.unsent.left().len() >= ENOUGH
    }

    /// Whether nothing waits for the channel, as far as anything still can.
    pub(crate) fn is_sent(&self) -> bool {
        self.output.is_none() || self.unsent.left().is_empty()
    }

    /// Whether all sinks have written all that came.
    pub(crate) fn is_written(&self) -> bool {
        self.have_written(|_| true)
    }

    /// Whether the sinks of these streams have.
    pub(crate) fn have_written(&self, streams: impl Fn(u8) -> bool) -> bool {
        let mut sinks = self.sinks.iter().filter(|sink| streams(sink.stream));
        sinks.all(|sink| sink.port.is_none() || sink.pending.left().is_empty())
    }

    /// Whether all sources are at their end.
    pub(crate) fn is_read(&self) -> bool {
        self.sources.iter().all(|source| source.port.is_none())
    }

    /// Takes no more from the channel, as if it had ended.
    pub(crate) fn hang_up(&mut self) {
        self.input = None;
        self.close_output();
        self.events.push_back(Event::Gone);
    }

    /// Closes our direction of the channel.
    pub(crate) fn close_output(&mut self) {
        self.output = None;
        self.unsent.clear();
    }

    /// Closes the sources, as when nobody wants what they have.
    pub(crate) fn close_sources(&mut self) {
        self.sources.iter_mut().for_each(|source| source.port = None);
    }

    /// Closes each sink when it has written all that came.
    pub(crate) fn end_sinks(&mut self) {
        for sink in &mut self.sinks {
            sink.ended = true;
            sink.close_if_done();
        }
    }

    /// Reads what the sources have now, as far as there is credit, and closes those that have
    /// nothing more: the program that wrote to them has ended.
    pub(crate) fn drain_sources(&mut self) {
        self.drain(|_| true);
    }

    /// As [`Mux::drain_sources`], for these streams; whether all of them are closed.
    pub(crate) fn drain(&mut self, streams: impl Fn(u8) -> bool) -> bool {
        for index in 0..self.sources.len() {
            while streams(self.sources[index].stream)
                && self.sources[index].port.is_some()
                && self.may_read(&self.sources[index])
            {
                if self.read_source(index) == Moved::Nothing {
                    self.end_source(index);
                }
            }
        }
        self.sources
            .iter()
            .all(|source| source.port.is_none() || !streams(source.stream))
    }

    fn read_source(&mut self, index: usize) -> Moved {
        let source = &mut self.sources[index];
        let Some(port) = &source.port else {
            return Moved::Over;
        };
        let mut block = [0; STREAM_BLOCK];
        let room = match self.kept_in {
            Some(_) => STREAM_BLOCK,
            None => source.credit.min(STREAM_BLOCK),
        };
        let moved = port.read(&mut block[..room]);
        if let (Some(file), &Moved::Bytes(length)) = (&mut self.kept_in, &moved) {
            // A full disk is no reason to hold the program up.
            let _ = file.write_all(&block[..length]);
            return moved;
        }
        match moved {
            Moved::Bytes(length) => {
                source.credit -= length;
                let stream = source.stream;
                let appended = packet::append(&mut self.unsent.bytes, Kind::Data, |out| {
                    out.push(stream);
                    out.extend(&block[..length]);
                });
                debug_assert!(appended.is_ok());
            }
            Moved::Over => self.end_source(index),
            Moved::Nothing => {}
        }
        moved
    }

    fn end_source(&mut self, index: usize) {
        self.sources[index].port = None;
        self.send(Kind::End, &[self.sources[index].stream]);
    }

    fn write_channel(&mut self) {
        while let (Some(port), false) = (&self.output, self.unsent.left().is_empty()) {
            match port.write(self.unsent.left()) {
                Moved::Bytes(length) => self.unsent.take(length),
                Moved::Nothing => return,
                Moved::Over => self.close_output(),
            }
            if self.output.as_ref().is_some_and(Port::needs_poll) {
                return;
            }
        }
    }

    fn write_sink(&mut self, index: usize, flags: PollFlags) {
        let length = self.writable(index).len();
        let sink = &mut self.sinks[index];
        let Some(port) = &sink.port else { return };
        let hung_up = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
        let moved = match flags.intersects(hung_up) {
            true => Moved::Over,
            false if length == 0 => Moved::Nothing,
            false => port.write(&sink.pending.left()[..length]),
        };
        match moved {
            Moved::Bytes(length) => {
                if let Some(lines) = &mut sink.lines {
                    lines.midline = sink.pending.left()[..length].last() != Some(&b'\n');
                }
                sink.pending.take(length);
                sink.owed += length;
                if sink.owed >= WINDOW / 4 || sink.pending.left().is_empty() {
                    let [a, b, c, d] = (std::mem::take(&mut sink.owed) as u32).to_le_bytes();
                    let body = [sink.stream, a, b, c, d];
                    sink.close_if_done();
                    self.send(Kind::Credit, &body);
                }
            }
            Moved::Nothing => {}
            Moved::Over => {
                sink.port = None;
                sink.pending.clear();
                let body = [sink.stream];
                self.send(Kind::Closed, &body);
            }
        }
    }

    fn read_channel(&mut self) -> Result<(), PacketError> {
        let Some(port) = &self.input else { return Ok(()) };
        let mut block = [0; STREAM_BLOCK];
        match port.read(&mut block) {
            Moved::Nothing => return Ok(()),
            Moved::Bytes(length) => self.received.bytes.extend(&block[..length]),
            Moved::Over => {
                self.input = None;
                self.events.push_back(Event::Gone);
                return Ok(());
            }
        }
        while let Some(header) = self.received.left().first_chunk::<HEADER>() {
            let (kind, length) = packet::read_header(header)?;
            let Some(body) = self.received.left().get(HEADER..HEADER + length) else {
                break;
            };
            let body = body.to_vec();
            self.received.take(HEADER + length);
            self.take_packet(kind, &body)?;
        }
        Ok(())
    }

    fn take_packet(&mut self, kind: Kind, body: &[u8]) -> Result<(), PacketError> {
        match kind {
            Kind::Signal => self
                .events
                .push_back(Event::Signal(packet::read_body(kind, body)?)),
            Kind::Exit => self.events.push_back(Event::Exit(packet::read_body(kind, body)?)),
            Kind::Window => self
                .events
                .push_back(Event::Window(packet::read_body(kind, body)?)),
            Kind::Stopped => self.events.push_back(Event::Stopped),
            Kind::Leave => self.events.push_back(Event::Leave),
            Kind::CopyExit => self
                .events
                .push_back(Event::CopyExit(packet::read_body(kind, body)?)),
            Kind::CopySignal => self
                .events
                .push_back(Event::CopySignal(packet::read_body(kind, body)?)),
            Kind::Data => {
                let (sink, bytes) = self.sink(kind, body)?;
                if sink.pending.left().len() + sink.owed + bytes.len() > WINDOW {
                    return Err(PacketError::NoCredit);
                }
                if sink.port.is_some() && !sink.ended {
                    sink.pending.bytes.extend(bytes);
                }
            }
            Kind::End => {
                let (sink, _) = self.sink(kind, body)?;
                sink.ended = true;
                sink.close_if_done();
            }
            Kind::Closed => self.source(kind, body)?.0.port = None,
            Kind::Ask => {
                self.asked = Some(Moment::now());
                self.send(Kind::Answer, body);
            }
            Kind::Answer => self.asking.iter_mut().for_each(|asking| asking.hear(body)),
            Kind::Credit => {
                let (source, amount) = self.source(kind, body)?;
                let amount: [u8; 4] = amount
                    .try_into()
                    .map_err(|_| PacketError::Body { kind: kind.name() })?;
                source.credit = (source.credit + u32::from_le_bytes(amount) as usize).min(WINDOW);
            }
            kind => {
                return Err(crate::handshake::out_of_turn(
                    kind,
                    "a packet of the running program",
                ))
            }
        }
        Ok(())
    }

    fn sink<'b>(&mut self, kind: Kind, body: &'b [u8]) -> Result<(&mut Sink, &'b [u8]), PacketError> {
        let error = PacketError::Body { kind: kind.name() };
        let Some((stream, rest)) = body.split_first() else {
            return Err(error);
        };
        let sink = self.sinks.iter_mut().find(|sink| sink.stream == *stream);
        sink.map(|sink| (sink, rest)).ok_or(error)
    }

    fn source<'b>(&mut self, kind: Kind, body: &'b [u8]) -> Result<(&mut Source, &'b [u8]), PacketError> {
        let error = PacketError::Body { kind: kind.name() };
        let Some((stream, rest)) = body.split_first() else {
            return Err(error);
        };
        let source = self.sources.iter_mut().find(|source| source.stream == *stream);
        source.map(|source| (source, rest)).ok_or(error)
    }
}

#[cfg(test)]
mod tests;
