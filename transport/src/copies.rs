//! Home's end of a fork: a process of its own carries what the copies write, and what home and they
//! tell each other, while home goes on.
//!
//! It speaks with home in lines of text:
//!
//! ```text
//!  home ──▶  signal COPY NAME [terminal]
//!  home ◀──  exit COPY code NUMBER   |   exit COPY signal NAME   |   lost COPY
//! ```

use crate::alive::{until, Moment};
use crate::error::TransportError;
use crate::fd::{self, duplicate_standard, inherited};
use crate::mux::{poll_all, At, Event, Mux};
use crate::packet::{CopyExit, CopySignal, ExitBody};
use crate::port::{Moved, Port};
use crate::pump::{let_go, number, numbers, say};
use crate::reach::Link;
use crate::relay::terminal_group;
use crate::side::{SideStream, SideStreams};
use crate::signals::{self, Incoming};
use crate::spawn::{Child, Plan};
use crate::warden::Streams;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::unistd::Pid;
use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// The first word for a process of this kind.
pub(crate) const WORD: &str = "copies";

/// The most copies that one fork makes.
pub const MOST: u8 = Streams::MOST;

/// The line to home, and the same if home waits for a guest; its lease.
const CONTROL: &str = "control";
const GUEST: &str = "guest";
const LEASE: &str = "lease";

/// Copies that run.
#[derive(Debug)]
pub struct CommittedCopies {
    pids: Vec<i32>,
    /// Of a guest, its lease in milliseconds.
    guest: Option<u32>,
    /// The process that home started: the one that made the copies, or a command that leads to it.
    leader: Pid,
    link: Link,
    side: Vec<SideStream>,
}

/// What home keeps of copies.
#[derive(Debug)]
pub struct Carried {
    /// The processes of the copies, where they run.
    pub pids: Vec<i32>,
    /// To the process that carries for them.
    pub control: OwnedFd,
    /// To each copy.
    pub talks: Vec<OwnedFd>,
    /// Children of this process that are to be waited for once the copies have ended.
    pub children: [i32; 2],
}

impl CommittedCopies {
    pub(crate) fn new(
        pids: Vec<i32>,
        guest: Option<u32>,
        leader: Pid,
        link: Link,
        side: Vec<SideStream>,
    ) -> CommittedCopies {
        CommittedCopies {
            pids,
            guest,
            leader,
            link,
            side,
        }
    }

    /// Starts the process that carries for them. `command` with more words behind it has to call
    /// [`crate::pump::run`] with those.
    pub fn carry(self, command: &[OsString]) -> Result<Carried, TransportError> {
        let failed = TransportError::io("start what carries for the copies");
        let (input, output) = match &self.link {
            Link::Direct(channel) | Link::Stdio(channel) | Link::Own { channel, .. } => channel.copy_halves(),
            Link::Unknown(_) | Link::Closed => Err(Errno::ENOTCONN),
        }
        .map_err(TransportError::io("copy the channel"))?;
        let (control, its_control) = fd::socket_pair().map_err(TransportError::io("make a socket"))?;
        let mut given: Vec<OwnedFd> = vec![input, output, its_control];
        let mut talks = Vec::new();
        for _ in &self.pids {
            let (ours, theirs) = fd::socket_pair().map_err(TransportError::io("make a socket"))?;
            talks.push(ours);
            given.push(theirs);
        }
        let mut words: Vec<OsString> = command.to_vec();
        let numbers: Vec<RawFd> = given.iter().map(|fd| fd.as_raw_fd()).collect();
        words.push(WORD.into());
        words.push(format!("channel={},{}", numbers[0], numbers[1]).into());
        let kind = if self.guest.is_some() { GUEST } else { CONTROL };
        words.push(format!("{kind}={}", numbers[2]).into());
        words.extend(self.guest.map(|lease| format!("{LEASE}={lease}").into()));
        words.extend(numbers[3..].iter().map(|talk| format!("talk={talk}").into()));
        for stream in self.side {
            let (from, to) = stream.into_parts();
            words.push(format!("side={},{to}", from.as_raw_fd()).into());
            given.push(from);
        }
        let copies: nix::Result<Vec<OwnedFd>> = given.iter().map(fd::duplicate).collect();
        let copies = copies.map_err(failed)?;
        let descriptors: Vec<(&OwnedFd, RawFd)> = copies
            .iter()
            .zip(&given)
            .map(|(copy, fd)| (copy, fd.as_raw_fd()))
            .collect();
        let carrier = Child::start(&Plan {
            argv: &words,
            env: &[],
            descriptors: &descriptors,
            holds_signals: true,
        })?;
        Ok(Carried {
            pids: self.pids,
            control,
            talks,
            children: [carrier.pid().as_raw(), self.leader.as_raw()],
        })
    }
}

/// The work of that process; ends it.
pub(crate) fn run(words: &[OsString]) -> ! {
    let done = Carrier::from_words(words).map(Carrier::work);
    if done.is_err() {
        say("what carries for the copies of a program cannot work");
    }
    signals::exit_now(done.map_or(255, |()| 0))
}

struct Carrier {
    mux: Mux,
    side: SideStreams,
    signals: Incoming,
    guest: bool,
    /// How long a guest may live on when it hears nothing of us, and when we began.
    lease: Duration,
    since: Moment,
    /// When no copy can be there any more: the line broke.
    lost: Option<Moment>,
    /// None when home has closed its end.
    control: Option<Port>,
    heard: Vec<u8>,
    unsaid: Vec<u8>,
    /// Of each copy, whether it still runs.
    running: Vec<bool>,
    /// Copies that have ended, and how: home hears of it once all is written that they wrote.
    exits: Vec<(u8, String)>,
}

/// Places that it waits at.
#[derive(Debug, Clone, Copy)]
enum Place {
    Signals,
    Control,
    Side(usize),
    Mux(At),
}

impl Carrier {
    fn from_words(words: &[OsString]) -> nix::Result<Carrier> {
        let (mut channel, mut control, mut talks, mut side) =
            (None, None, Vec::new(), SideStreams::default());
        let (mut guest, mut lease) = (false, Duration::ZERO);
        let since = Moment::now();
        for word in words {
            let (name, value) = word
                .to_str()
                .and_then(|word| word.split_once('='))
                .ok_or(Errno::EINVAL)?;
            match name {
                "channel" => {
                    let (first, second) = numbers(value)?;
                    let output = inherited(second)?;
                    let input = match first == second {
                        true => fd::duplicate(&output)?,
                        false => inherited(first)?,
                    };
                    channel = Some((input, output));
                }
                CONTROL | GUEST => {
                    guest = name == GUEST;
                    control = Some(Port::own(inherited(number(value)?)?)?);
                }
                LEASE => lease = Duration::from_millis(value.parse().map_err(|_| Errno::EINVAL)?),
                "talk" => talks.push(inherited(number(value)?)?),
                "side" => {
                    let (from, to) = numbers(value)?;
                    side.add(inherited(from)?, to)?;
                }
                _ => return Err(Errno::EINVAL),
            }
        }
        let (input, output) = channel.ok_or(Errno::EINVAL)?;
        let signals = Incoming::new()?;
        let mut mux = Mux::new(Port::own(input)?, Port::own(output)?);
        let running = vec![true; talks.len()];
        for (copy, talk) in talks.into_iter().enumerate() {
            let streams = Streams { copy: copy as u8 };
            let shared = |number| duplicate_standard(number).ok().map(Port::shared_output);
            mux.add_line_sink(streams.output(), shared(1), 1);
            mux.add_line_sink(streams.errors(), shared(2), 2);
            mux.add_sink(streams.talk(), Some(Port::own(fd::duplicate(&talk)?)?));
            mux.add_source(streams.talk(), Some(Port::own(talk)?));
        }
        // Home's input is its own. The others stay, for as long as a copy may write to them.
        let_go(0)?;
        Ok(Carrier {
            mux,
            side,
            signals,
            guest,
            lease,
            since,
            lost: None,
            control,
            heard: Vec::new(),
            unsaid: Vec::new(),
            running,
            exits: Vec::new(),
        })
    }

    fn work(mut self) {
        let mut over = false;
        while !(over && self.mux.is_written() && (self.unsaid.is_empty() || self.control.is_none())) {
            self.step();
            while let Some(event) = self.mux.event() {
                match event {
                    Event::CopyExit(CopyExit { copy, ending }) => {
                        let how = match ending {
                            ExitBody::Code(code) => format!("code {code}"),
                            ExitBody::Signal(name) => format!("signal {name}"),
                        };
                        self.exits.push((copy, format!("exit {copy} {how}\n")));
                    }
                    Event::Gone => {
                        self.mux.end_sinks();
                        self.mux.close_sources();
                        // Home goes on when it hears of it: there must be no guest then.
                        let heard = self.mux.was_asked().unwrap_or(self.since);
                        self.lost = Some(heard.after(self.lease));
                    }
                    _ => {}
                }
            }
            let is_over = |end: Moment| end.away().is_none();
            if self.lost.is_some_and(is_over) || (self.lost.is_some() && self.control.is_none()) {
                // What they have written may not have been written on yet.
                for copy in 0..self.running.len() as u8 {
                    if !self.exits.iter().any(|(known, _)| *known == copy) {
                        self.exits.push((copy, format!("lost {copy}\n")));
                    }
                }
            }
            self.tell_exits();
            over = !self.running.contains(&true);
        }
    }

    /// Tells home of the copies that have ended, once everything is written that they wrote.
    fn tell_exits(&mut self) {
        for (copy, line) in std::mem::take(&mut self.exits) {
            let talk = Streams { copy }.talk();
            let is_output = |stream| Streams { copy }.has(stream) && stream != talk;
            match self.mux.have_written(is_output) {
                true => self.ended(copy.into(), &line),
                false => self.exits.push((copy, line)),
            }
        }
    }

    fn ended(&mut self, copy: usize, line: &str) {
        if let Some(running) = self.running.get_mut(copy) {
            if std::mem::replace(running, false) {
                self.unsaid.extend(line.as_bytes());
            }
        }
    }

    /// Waits, and does what is to be done then.
    fn step(&mut self) {
        let mut wanted = vec![(Place::Signals, self.signals.descriptor(), PollFlags::POLLIN)];
        if let Some(control) = &self.control {
            let flags = match self.unsaid.is_empty() {
                true => PollFlags::POLLIN,
                false => PollFlags::POLLIN | PollFlags::POLLOUT,
            };
            wanted.push((Place::Control, control.descriptor(), flags));
        }
        for (index, stream) in self.side.streams.iter().enumerate() {
            wanted.push((Place::Side(index), stream.descriptor(), PollFlags::POLLIN));
        }
        let places = self.mux.wanted().into_iter();
        wanted.extend(places.map(|(at, fd, flags)| (Place::Mux(at), fd, flags)));
        let mut side = vec![PollFlags::empty(); self.side.streams.len()];
        for (place, flags) in poll_all(&wanted, until(self.lost)) {
            match place {
                // Home tells copies what it wants to tell them; a terminal reaches those that it has.
                Place::Signals => while self.signals.next().is_some() {},
                Place::Control => self.converse(),
                Place::Side(index) => side[index] = flags,
                Place::Mux(at) => {
                    if let Err(error) = self.mux.serve(at, flags) {
                        say(&format!("{error}"));
                        self.mux.hang_up();
                    }
                }
            }
        }
        self.side.serve(&side);
    }

    /// Hears what home says, and says what there is to say.
    fn converse(&mut self) {
        let mut block = [0; 1 << 10];
        let Some(control) = &self.control else { return };
        let mut gone = false;
        match control.read(&mut block) {
            Moved::Bytes(length) => self.heard.extend(&block[..length]),
            Moved::Nothing => {}
            Moved::Over => gone = true,
        }
        if !gone && !self.unsaid.is_empty() {
            match control.write(&self.unsaid) {
                Moved::Bytes(length) => drop(self.unsaid.drain(..length)),
                Moved::Nothing => {}
                Moved::Over => gone = true,
            }
        }
        while let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.heard.drain(..=end).collect();
            let text = String::from_utf8_lossy(&line);
            let words: Vec<&str> = text.split_whitespace().collect();
            if let ["signal", copy, name, from @ ..] = words.as_slice() {
                if let Ok(copy) = copy.parse() {
                    let name = (*name).to_owned();
                    let number = signals::number(&name).unwrap_or(0);
                    let group = terminal_group(number, from == ["terminal"]);
                    self.mux.send_copy_signal(&CopySignal { copy, name, group });
                }
            }
        }
        if gone {
            self.control = None;
            if self.guest {
                // A guest is the program itself: it ends with its home.
                self.mux.hang_up();
            }
        }
    }
}
