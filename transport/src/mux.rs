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
mod tests {
    use super::*;
    use crate::fd::{pipe, socket_pair};
    use nix::unistd::{read, write};
    use std::os::fd::OwnedFd;

    /// A mux with one stream to the other end, and one from it.
    struct End {
        mux: Mux,
        /// Where the test writes what the mux reads, and the other way round.
        feed: OwnedFd,
        drain: Option<OwnedFd>,
    }

    fn ends() -> [End; 2] {
        let (one, other) = socket_pair().unwrap();
        [(one, 0, 1), (other, 1, 0)].map(|(socket, source, sink)| {
            let input = crate::fd::duplicate(&socket).unwrap();
            let mut mux = Mux::new(Port::own(input).unwrap(), Port::own(socket).unwrap());
            let (reading, feed) = pipe().unwrap();
            let (drain, writing) = pipe().unwrap();
            for end in [&feed, &drain] {
                crate::fd::set_nonblocking(end).unwrap();
            }
            mux.add_source(source, Some(Port::own(reading).unwrap()));
            mux.add_sink(sink, Some(Port::own(writing).unwrap()));
            End {
                mux,
                feed,
                drain: Some(drain),
            }
        })
    }

    /// Runs both until neither has anything to do.
    fn settle(ends: &mut [End; 2]) {
        loop {
            let mut quiet = true;
            for end in ends.iter_mut() {
                let ready = poll_all(&end.mux.wanted(), PollTimeout::ZERO);
                quiet &= ready.is_empty();
                for (at, flags) in ready {
                    end.mux.serve(at, flags).unwrap();
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn fill(end: &End) -> usize {
        let mut length = 0;
        while let Ok(written) = write(&end.feed, &[7; 4096]) {
            length += written;
        }
        length
    }

    fn take(end: &End) -> usize {
        let (mut length, mut block) = (0, [0; 4096]);
        while let Ok(taken @ 1..) = read(end.drain.as_ref().unwrap(), &mut block) {
            length += taken;
        }
        length
    }

    #[test]
    fn a_stream_that_nobody_reads_stops_at_its_source_and_holds_up_nothing() {
        let mut ends = ends();
        let mut written = 0;
        loop {
            let more = fill(&ends[0]);
            written += more;
            settle(&mut ends);
            if more == 0 {
                break;
            }
        }
        assert!(ends[1].mux.sinks[0].pending.bytes.capacity() <= 4 * WINDOW);
        assert!(ends[0].mux.unsent.left().is_empty());

        let signal = SignalBody {
            name: "SIGINT".into(),
            group: None,
        };
        ends[0].mux.send_signal(&signal);
        ends[1].mux.send_exit(&ExitBody::Code(3));
        write(&ends[1].feed, b"other way").unwrap();
        settle(&mut ends);
        assert_eq!(ends[1].mux.event(), Some(Event::Signal(signal)));
        assert_eq!(ends[0].mux.event(), Some(Event::Exit(ExitBody::Code(3))));
        assert_eq!(take(&ends[0]), 9);

        let mut taken = 0;
        loop {
            let more = take(&ends[1]);
            taken += more;
            settle(&mut ends);
            if more == 0 {
                break;
            }
        }
        assert_eq!(taken, written);
    }

    #[test]
    fn a_question_is_answered_and_the_lease_counts_from_it() {
        let mut ends = ends();
        settle(&mut ends);
        let before = Moment::now();
        let long_ago = Moment::default();
        ends[1].mux.keep_asking(Asking::since(long_ago));
        let lease = Asking::since(long_ago).lease();
        ends[1].mux.ask();
        assert_eq!(ends[1].mux.will_ask(), None);
        assert_eq!(ends[1].mux.lease_end(), Some(long_ago.after(lease)));
        settle(&mut ends);
        assert!(ends[0].mux.was_asked() >= Some(before));
        assert!(ends[1].mux.lease_end() >= Some(before.after(lease)));
        assert!(ends[1].mux.will_ask().is_some_and(|next| next.away().is_some()));

        ends[1].mux.close_output();
        assert_eq!((ends[1].mux.will_ask(), ends[1].mux.lease_end()), (None, None));
    }

    #[test]
    fn ends_and_closings_are_passed_on() {
        let mut ends = ends();
        write(&ends[0].feed, b"last").unwrap();
        ends[0].feed = pipe().unwrap().1;
        settle(&mut ends);
        assert_eq!(take(&ends[1]), 4);
        assert_eq!(read(ends[1].drain.as_ref().unwrap(), &mut [0]), Ok(0));
        assert!(ends[0].mux.is_read() && ends[1].mux.is_written());

        ends[0].drain = None;
        settle(&mut ends);
        assert!(ends[1].mux.is_read());
    }

    #[test]
    fn the_end_of_the_channel_is_an_event_whatever_was_cut_off() {
        let mut ends = ends();
        let whole = {
            let mut bytes = Vec::new();
            packet::append_value(&mut bytes, Kind::Exit, &ExitBody::Code(1)).unwrap();
            bytes
        };
        ends[0].mux.unsent.bytes.extend(&whole[..whole.len() - 1]);
        settle(&mut ends);
        let [first, mut second] = ends;
        drop(first);
        while second.mux.input.is_some() {
            second.mux.serve(At::Input, PollFlags::POLLIN).unwrap();
        }
        assert_eq!(second.mux.event(), Some(Event::Gone));
    }

    #[test]
    fn an_end_that_breaks_the_rules_is_refused() {
        let mut over = Vec::new();
        for _ in 0..=WINDOW / STREAM_BLOCK {
            let body = [&[0][..], &[0; STREAM_BLOCK]].concat();
            packet::append(&mut over, Kind::Data, |out| out.extend(body)).unwrap();
        }
        let one = |kind, body: &[u8]| {
            let mut bytes = Vec::new();
            packet::append(&mut bytes, kind, |out| out.extend(body)).unwrap();
            bytes
        };
        for (bytes, what) in [
            (over, "no credit"),
            (one(Kind::Data, &[]), "no stream"),
            (one(Kind::Data, &[9, 1]), "unknown stream"),
            (one(Kind::Data, &[1, 1]), "a stream that goes the other way"),
            (one(Kind::Credit, &[1, 0, 0]), "half a number"),
            (one(Kind::Exit, &[9]), "no ending"),
            (one(Kind::Commit, &[]), "out of turn"),
            (vec![0; HEADER], "no kind"),
        ] {
            let [mut liar, mut end] = ends();
            liar.mux.unsent.bytes.extend(bytes);
            let mut outcome = Ok(());
            while outcome.is_ok() {
                liar.mux.write_channel();
                // Never written out, so no credit is ever given back.
                outcome = end.mux.serve(At::Input, PollFlags::POLLIN);
            }
            assert!(outcome.is_err(), "{what}");
        }
    }
}
