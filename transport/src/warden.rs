//! The far end of a fork: the process that took the program in makes the copies of itself, and stays
//! to go with them, as a relay does with one program.
//!
//! Each copy has a line to it, over which it says that it is ready, as a peer does to home, and
//! hears Commit; later it is the line of its keeper. Of its streams the channel to home has, with
//! numbers of their own, standard output and error, and what it and home tell each other.

use crate::alive::{until, Asking, Moment};
use crate::channel::Channel;
use crate::error::{ChannelError, TransportError};
use crate::fd;
use crate::folder;
use crate::fork::{self, Side};
use crate::handshake::out_of_turn;
use crate::keeper;
use crate::line::{Line, Way};
use crate::mux::{poll_all, At, Event, Mux};
use crate::packet::{self, CopyExit, CopySignal, Failed, Group, Kind, ReadyBody};
use crate::peer::HeldSignals;
use crate::port::Port;
use crate::pump::let_go;
use crate::relay::{exit_body, pass_signal};
use crate::signals::{self, Held, Incoming};
use crate::spawn::{Child, Ending};
use crate::wait::Wait;
use crate::ward::Ward;
use nix::poll::PollFlags;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, getpid, Pid};
use std::os::fd::{AsFd, OwnedFd};

/// The streams of the copy with this number: three each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams {
    pub copy: u8,
}

impl Streams {
    /// The most copies whose streams have numbers.
    pub(crate) const MOST: u8 = 84;

    pub(crate) fn output(self) -> u8 {
        self.copy * 3
    }

    pub(crate) fn errors(self) -> u8 {
        self.copy * 3 + 1
    }

    /// Both ways.
    pub(crate) fn talk(self) -> u8 {
        self.copy * 3 + 2
    }

    pub(crate) fn has(self, stream: u8) -> bool {
        stream / 3 == self.copy
    }
}

/// A process that is making copies of itself.
#[derive(Debug)]
pub struct Splitting {
    /// None in a copy.
    line: Option<Line>,
    guest: bool,
    left: u8,
    made: Vec<Made>,
}

/// A copy, as the process that made it has it.
#[derive(Debug)]
struct Made {
    pid: Pid,
    line: OwnedFd,
    output: OwnedFd,
    errors: OwnedFd,
    talk: OwnedFd,
}

impl Splitting {
    pub(crate) fn new(line: Line, copies: u8, guest: bool) -> Splitting {
        Splitting {
            line: Some(line),
            guest,
            left: copies,
            made: Vec::new(),
        }
    }

    /// Whether there are more to be made.
    pub fn has_more(&self) -> bool {
        self.left > 0
    }

    /// Makes one; returns it in the copy itself, and nothing here.
    ///
    /// To be called while this is the only thread of the process.
    pub fn split(&mut self) -> Result<Option<NewCopy>, TransportError> {
        let copy = self.made.len() as u8;
        let (line, its_line) = fd::socket_pair().map_err(TransportError::io("make a socket"))?;
        let (talk, its_talk) = fd::socket_pair().map_err(TransportError::io("make a socket"))?;
        let (output, its_output) = fd::pipe().map_err(TransportError::io("make a pipe"))?;
        let (errors, its_errors) = fd::pipe().map_err(TransportError::io("make a pipe"))?;
        let parent = getpid();
        match fork::split().map_err(TransportError::io("fork"))? {
            Side::Parent { child } => {
                self.left -= 1;
                self.made.push(Made {
                    pid: child,
                    line,
                    output,
                    errors,
                    talk,
                });
                Ok(None)
            }
            Side::Child => {
                self.left = 0;
                self.made.clear();
                let Some(Line { held, way, .. }) = self.line.take() else {
                    return Err(TransportError::HomeGaveUp);
                };
                if self.guest {
                    fork::end_with(parent)
                        .map_err(TransportError::io("end with the process that made us"))?;
                }
                // Nothing but a guest uses home's own while home does not.
                if !self.guest || way == Way::Stdio {
                    fd::nothing()
                        .and_then(dup2_stdin)
                        .and_then(|()| dup2_stdout(&its_output))
                        .and_then(|()| dup2_stderr(&its_errors))
                        .map_err(TransportError::io("put the streams of a copy in place"))?;
                }
                Ok(Some(NewCopy {
                    copy,
                    line: Channel::over_socket(its_line),
                    talk: its_talk,
                    held,
                }))
            }
        }
    }

    /// Goes with the copies until all have ended, and ends this process.
    pub fn stay(self) -> ! {
        let status = match self.try_stay() {
            Ok(()) => 0,
            Err(_) => 1,
        };
        folder::leave();
        signals::exit_now(status)
    }

    fn try_stay(self) -> Result<(), TransportError> {
        let Some(mut home) = self.line else { return Ok(()) };
        let (mut lines, mut copies): (Vec<Channel>, Vec<Made>) = (Vec::new(), self.made);
        for copy in &copies {
            let line = fd::duplicate(&copy.line).map_err(TransportError::io("copy a line"))?;
            lines.push(Channel::over_socket(line));
        }
        if let Some(failed) = lines.iter_mut().find_map(failure_of) {
            end_all(&copies);
            return home.failed(&failed.kind, &failed.text);
        }
        let asking = (home.way == Way::Stdio).then(|| Asking::since(Moment::now()));
        let lease = asking.as_ref().filter(|_| self.guest).map(Asking::lease);
        let body = ReadyBody {
            copies: copies.iter().map(|copy| copy.pid.as_raw()).collect(),
            lease: lease.map_or(0, |lease| lease.as_millis().try_into().unwrap_or(u32::MAX)),
        };
        let told = home.ready(&body).and_then(|()| home.committed());
        // One that hears too late has been given up.
        let told = told.and_then(|()| match &asking {
            Some(asking) if self.guest && asking.lease_end().away().is_none() => {
                Err(TransportError::HomeGaveUp)
            }
            _ => Ok(()),
        });
        if let Err(error) = told {
            end_all(&copies);
            return Err(error);
        }
        for line in &mut lines {
            // One that has died meanwhile is seen below.
            let _ = line.send(Kind::Commit, &[], &mut Wait::new(&mut || false));
        }
        let (input, output) = home
            .channel
            .copy_halves()
            .map_err(TransportError::io("copy the channel"))?;
        Warden::new(
            Port::shared_input(input),
            Port::shared_output(output),
            self.guest,
            asking,
            &mut copies,
        )
        .map_err(TransportError::io("go with the copies"))?
        .work();
        Ok(())
    }
}

fn end_all(copies: &[Made]) {
    for copy in copies {
        Child::adopt(copy.pid).end(false);
    }
}

/// Why a copy is not ready, if it is not.
fn failure_of(line: &mut Channel) -> Option<Failed> {
    let packet = match line.receive(&mut Wait::new(&mut || false)) {
        Ok(packet) if packet.kind == Kind::Ready => return None,
        Ok(packet) => packet.read().ok(),
        Err(_) => None,
    };
    Some(packet.unwrap_or_else(|| Failed {
        kind: "ResumeError".into(),
        text: "a copy ended before it was ready".into(),
    }))
}

/// A copy of a program, in its own process, before it goes on.
#[derive(Debug)]
pub struct NewCopy {
    copy: u8,
    line: Channel,
    talk: OwnedFd,
    held: Held,
}

impl NewCopy {
    /// Its number among the copies.
    pub fn number(&self) -> usize {
        self.copy.into()
    }

    /// Says that it can go on, and waits for Commit. Gives, with the signals, what leads to home.
    pub fn wait_commit(mut self) -> Result<(HeldSignals, OwnedFd), TransportError> {
        let never = &mut || false;
        let mut wait = Wait::new(never);
        let heard = self
            .line
            .send(Kind::Ready, &[], &mut wait)
            .and_then(|()| self.line.receive(&mut wait));
        match heard {
            Ok(packet) if packet.kind == Kind::Commit => {}
            Ok(packet) => return Err(out_of_turn(packet.kind, "Commit").into()),
            Err(ChannelError::Io(source)) => {
                return Err(TransportError::Io {
                    what: "wait for Commit",
                    source,
                })
            }
            Err(_) => return Err(TransportError::HomeGaveUp),
        }
        keeper::remember(self.line.into_input());
        Ok((HeldSignals { held: self.held }, self.talk))
    }

    /// Says that it cannot go on: the name of an error class, and its text.
    pub fn failed(mut self, kind: &str, text: &str) {
        let body = Failed {
            kind: kind.into(),
            text: text.into(),
        };
        let mut bytes = Vec::new();
        if packet::append_value(&mut bytes, Kind::Failed, &body).is_ok() {
            // Who made us sees at least that we end.
            let _ = self.line.write_all(&bytes, &mut Wait::new(&mut || false));
        }
    }
}

/// Goes with running copies.
struct Warden {
    mux: Mux,
    guest: bool,
    copies: Vec<Copy>,
    signals: Incoming,
}

/// A copy that runs, or has ended.
struct Copy {
    ward: Ward,
    streams: Streams,
    ending: Option<Option<Ending>>,
    told: bool,
}

/// Places that a warden waits at.
#[derive(Debug, Clone, Copy)]
enum Place {
    Signals,
    Line(usize),
    Mux(At),
    /// One has ended, if that is not told by SIGCHLD.
    End,
}

impl Warden {
    fn new(
        input: Port,
        output: Port,
        guest: bool,
        asking: Option<Asking>,
        made: &mut Vec<Made>,
    ) -> nix::Result<Warden> {
        let signals = Incoming::new()?;
        for number in 0..=1 {
            let_go(number)?;
        }
        let mut mux = Mux::new(input, output);
        if let Some(asking) = asking {
            mux.keep_asking(asking);
        }
        let mut copies = Vec::new();
        for (copy, made) in made.drain(..).enumerate() {
            let streams = Streams { copy: copy as u8 };
            let talk = fd::duplicate(made.talk.as_fd())?;
            mux.add_source(streams.output(), Some(Port::own(made.output)?));
            mux.add_source(streams.errors(), Some(Port::own(made.errors)?));
            mux.add_source(streams.talk(), Some(Port::own(talk)?));
            mux.add_sink(streams.talk(), Some(Port::own(made.talk)?));
            copies.push(Copy {
                ward: Ward::new(Child::adopt(made.pid), Some(made.line)),
                streams,
                ending: None,
                told: false,
            });
        }
        Ok(Warden {
            mux,
            guest,
            copies,
            signals,
        })
    }

    fn work(mut self) {
        loop {
            for copy in &mut self.copies {
                copy.look(&mut self.mux);
            }
            if self.copies.iter().all(|copy| copy.told) && self.mux.is_sent() {
                return;
            }
            self.step();
            while let Some(event) = self.mux.event() {
                match event {
                    Event::CopySignal(CopySignal { copy, name, group }) => {
                        let copy = self.copies.get_mut(usize::from(copy));
                        if let (Some(copy), Some(number)) = (copy, signals::number(&name)) {
                            copy.pass_signal(number, group.as_ref());
                        }
                    }
                    Event::Gone => {
                        // As when a terminal hangs up; but home goes on in a guest's place.
                        let number = if self.guest { libc::SIGKILL } else { libc::SIGHUP };
                        self.mux.close_output();
                        self.mux.close_sources();
                        self.mux.end_sinks();
                        self.copies.iter_mut().for_each(|copy| copy.signal(number));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Waits, and does what is to be done then.
    fn step(&mut self) {
        self.mux.ask();
        let lease_end = self.mux.lease_end().filter(|_| self.guest);
        let mut wanted = vec![(Place::Signals, self.signals.descriptor(), PollFlags::POLLIN)];
        for (index, copy) in self.copies.iter().enumerate() {
            wanted.extend(
                copy.ward
                    .line()
                    .map(|line| (Place::Line(index), line, PollFlags::POLLIN)),
            );
            if let (None, Some(line)) = (copy.ending, copy.ward.end_line()) {
                wanted.push((Place::End, line, PollFlags::POLLIN));
            }
        }
        let places = self.mux.wanted().into_iter();
        wanted.extend(places.map(|(at, fd, flags)| (Place::Mux(at), fd, flags)));
        let timeout = until(self.mux.will_ask().into_iter().chain(lease_end));
        for (place, flags) in poll_all(&wanted, timeout) {
            match place {
                // Those from a terminal have reached the copies too; others are for this process,
                // which is no part of the program.
                Place::Signals => while self.signals.next().is_some() {},
                Place::Line(index) => self.copies[index].ward.listen(),
                Place::End => {}
                Place::Mux(at) => self.mux.serve(at, flags).unwrap_or_else(|_| self.mux.hang_up()),
            }
        }
        let is_over = |end: Moment| end.away().is_none();
        if self.guest && self.mux.lease_end().is_some_and(is_over) {
            // Home may have gone on by now.
            self.mux.hang_up();
        }
    }
}

impl Copy {
    /// Tells home once it has ended and all that it wrote is on its way.
    fn look(&mut self, mux: &mut Mux) {
        if self.ending.is_none() {
            self.ending = self.ward.try_wait();
        }
        let (Some(ending), false) = (self.ending, self.told) else {
            return;
        };
        let streams = self.streams;
        if mux.drain(|stream| streams.has(stream)) {
            mux.send_copy_exit(&CopyExit {
                copy: streams.copy,
                ending: exit_body(ending),
            });
            self.told = true;
        }
    }

    fn signal(&mut self, number: i32) {
        if self.ending.is_none() {
            self.ward.signal(number);
        }
    }

    fn pass_signal(&mut self, number: i32, group: Option<&Group>) {
        if self.ending.is_none() {
            pass_signal(&mut self.ward, number, group);
        }
    }
}
