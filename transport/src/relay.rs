//! The relay: the far end of the channel once a program runs behind a command.
//!
//! A shell that started the peer reports its end in its own way, and a connection has no place
//! for signals; so the process that the command started stays as a relay, and the program is its
//! child. Until Commit the child has the channel to itself, and the relay only passes on what it
//! prints, to standard error. Afterwards the relay has it.

use crate::alive::{until, Asking, Moment};
use crate::channel::Channel;
use crate::error::ChannelError;
use crate::fd;
use crate::folder;
use crate::fork;
use crate::keeper::leads_session;
use crate::mux::{poll_all, At, Event, Mux};
use crate::packet::{ExitBody, Group, Kind, SignalBody, NO, YES};
use crate::port::{Moved, Port};
use crate::side::write_standard;
use crate::signals::{self, Came, Incoming};
use crate::spawn::{Child, Ending};
use crate::terminal;
use crate::wait::Wait;
use crate::ward::Ward;
use nix::poll::{PollFlags, PollTimeout};
use nix::unistd::{getpgid, getpgrp, Pid};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What the child says to the relay when it has read Commit, and waits to hear back: from there
/// on what it prints is the program's.
pub(crate) const COMMITTED: &[u8] = b"c";

/// Exit status of a relay that cannot do its work.
const TROUBLE: i32 = 255;

/// What the relay starts with, right after the fork.
pub(crate) struct Relay {
    pub child: Pid,
    /// A socket: the child says Commit, or it ends with the child.
    pub control: OwnedFd,
    pub input: OwnedFd,
    pub output: OwnedFd,
    /// Our ends of the child's 0, 1 and 2, unless it has home's.
    pub streams: Option<Streams>,
    /// Whether the program lives on when home is gone.
    pub detach: bool,
}

/// Our ends of what the program reads and writes.
pub(crate) struct Streams {
    /// 0.
    pub input: OwnedFd,
    /// What it writes, by its numbers.
    pub outputs: Vec<(u8, OwnedFd)>,
    /// Our side of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
}

/// Places that the relay waits at.
#[derive(Debug, Clone, Copy)]
enum Place {
    Signals,
    Control,
    Channel,
    Output(usize),
    Mux(At),
    /// The program has ended, if that is not told by SIGCHLD.
    End,
}

impl Relay {
    /// Does the work of this process, and ends it with the child's status.
    pub(crate) fn run(self) -> ! {
        let status = match self.work() {
            Ok(Some(ending)) => ending.status(),
            Ok(None) | Err(_) => TROUBLE,
        };
        folder::leave();
        signals::exit_now(status)
    }

    fn work(self) -> nix::Result<Option<Ending>> {
        let signals = Incoming::new()?;
        let mut child = Child::adopt(self.child);
        let control = self.control;
        let (mut input, mut outputs, mut terminal) = (None, Vec::new(), None);
        if let Some(streams) = self.streams {
            input = Some(Port::own(streams.input)?);
            for (number, output) in streams.outputs {
                outputs.push((number, Port::own(output)?));
            }
            terminal = streams.terminal;
        }
        if let Some(ending) = until_commit(&signals, &mut child, &control, &self.input, &outputs) {
            return Ok(ending);
        }

        let own = match input {
            None => Some(Channel::over_socket(fd::duplicate(&self.input)?)),
            Some(_) => None,
        };
        let mut mux = Mux::new(Port::shared_input(self.input), Port::shared_output(self.output));
        if input.is_some() {
            mux.keep_asking(Asking::since(Moment::now()));
            mux.add_sink(0, input);
            for number in [1, 2] {
                let place = outputs.iter().position(|(of, _)| *of == number);
                // Without one of its own it is on the terminal, with the other.
                mux.add_source(number, place.map(|place| outputs.swap_remove(place).1));
            }
        }
        let after = AfterCommit {
            signals,
            program: Ward::new(child, Some(control)),
            mux,
            terminal,
            detach: self.detach,
            own,
            told: false,
        };
        Ok(after.run())
    }
}

/// Waits for Commit. If there will be none, says how the child ended.
fn until_commit(
    signals: &Incoming,
    child: &mut Child,
    control: &OwnedFd,
    channel: &OwnedFd,
    outputs: &[(u8, Port)],
) -> Option<Option<Ending>> {
    let outputs: Vec<&Port> = outputs.iter().map(|(_, port)| port).collect();
    let mut open = vec![true; outputs.len()];
    let (mut may_commit, mut home_is_there) = (true, true);
    loop {
        let mut wanted = vec![(Place::Signals, signals.descriptor(), PollFlags::POLLIN)];
        if may_commit {
            wanted.push((Place::Control, control.as_fd(), PollFlags::POLLIN));
        }
        if home_is_there {
            // Its bytes are the child's to read; only its end matters here.
            wanted.push((Place::Channel, channel.as_fd(), PollFlags::empty()));
        }
        for (index, output) in outputs.iter().enumerate().filter(|(index, _)| open[*index]) {
            wanted.push((Place::Output(index), output.descriptor(), PollFlags::POLLIN));
        }
        for (place, _) in poll_all(&wanted, PollTimeout::NONE) {
            match place {
                Place::Output(index) => open[index] = pass_on(outputs[index]),
                Place::Control => {
                    let mut word = [0; COMMITTED.len()];
                    match nix::unistd::read(control, &mut word) {
                        Ok(length) if length > 0 => {
                            for output in &outputs {
                                pass_on(output);
                            }
                            let _ = nix::unistd::write(control, COMMITTED);
                            return None;
                        }
                        Ok(_) => may_commit = false,
                        Err(_) => {}
                    }
                }
                Place::Channel => {
                    // Home is gone: a child that waits for it sees that itself, one that is busy
                    // has nothing to be busy for.
                    home_is_there = false;
                    child.signal(libc::SIGKILL);
                }
                // Until Commit the program is at home, and so are its signals.
                Place::Signals => while signals.next().is_some() {},
                Place::Mux(_) | Place::End => {}
            }
        }
        if let Some(ending) = child.try_wait() {
            if may_commit && said_commit(control) {
                return None;
            }
            for output in &outputs {
                pass_on(output);
            }
            return Some(ending);
        }
    }
}

/// Whether the child, which has ended, had read Commit before.
fn said_commit(control: &OwnedFd) -> bool {
    nix::unistd::read(control, &mut [0; COMMITTED.len()]).is_ok_and(|length| length > 0)
}

/// Copies what is there to standard error; false at the end.
fn pass_on(output: &Port) -> bool {
    let mut block = [0; 16 << 10];
    loop {
        match output.read(&mut block) {
            Moved::Bytes(length) => write_standard(2, &block[..length]),
            Moved::Nothing => return true,
            Moved::Over => return false,
        }
    }
}

/// The relay once the program is there.
struct AfterCommit {
    signals: Incoming,
    program: Ward,
    mux: Mux,
    terminal: Option<OwnedFd>,
    detach: bool,
    /// Of a program that has home's descriptors, the channel once more.
    own: Option<Channel>,
    /// Whether home was told how the program has ended.
    told: bool,
}

impl AfterCommit {
    /// Runs the streams until the child has ended and home knows.
    fn run(mut self) -> Option<Ending> {
        let mut ending: Option<Option<Ending>> = None;
        loop {
            if ending.is_none() {
                ending = self.program.try_wait();
                fork::reap_others(self.program.pid());
            }
            if let Some(how) = ending {
                // What it wrote before its end is in the pipes. What a process that it left behind
                // still writes is not waited for.
                self.mux.drain_sources();
                if self.mux.is_read() && !self.told {
                    // Home ends when it knows, and nothing of ours must be left then.
                    folder::leave();
                    self.mux.send_exit(&exit_body(how));
                    self.told = true;
                }
                if self.told && self.mux.is_sent() {
                    return how;
                }
            }
            self.step();
            while let Some(event) = self.mux.event() {
                self.take(event);
            }
        }
    }

    /// Waits, and does what is to be done then.
    fn step(&mut self) {
        self.mux.ask();
        let mut wanted = vec![(Place::Signals, self.signals.descriptor(), PollFlags::POLLIN)];
        wanted.extend(
            self.program
                .line()
                .map(|line| (Place::Control, line, PollFlags::POLLIN)),
        );
        wanted.extend(
            self.program
                .end_line()
                .map(|line| (Place::End, line, PollFlags::POLLIN)),
        );
        wanted.extend(
            self.mux
                .wanted()
                .into_iter()
                .map(|(at, fd, flags)| (Place::Mux(at), fd, flags)),
        );
        for (place, flags) in poll_all(&wanted, until(self.mux.will_ask())) {
            match place {
                Place::Mux(at) => self.mux.serve(at, flags).unwrap_or_else(|_| self.mux.hang_up()),
                Place::Control => self.program.listen(),
                Place::Signals => {
                    while let Some(came) = self.signals.next() {
                        self.pass_on(came);
                    }
                }
                _ => {}
            }
        }
    }

    fn pass_on(&mut self, came: Came) {
        match (came, &self.terminal) {
            (Came::Child, Some(_)) if fork::has_stopped(self.program.pid()) => self.mux.send_stopped(),
            // The terminal that we have made has nothing to tell us that we don't tell the program.
            (Came::Signal { from_terminal, .. }, Some(_)) if from_terminal => {}
            _ => pass_on_signal(&mut self.program, came),
        }
    }

    fn take(&mut self, event: Event) {
        match (event, &self.terminal) {
            (Event::Signal(SignalBody { name, .. }), Some(_)) if name == signals::name(libc::SIGCONT) => {
                signals::send_to_group_of(self.program.pid(), libc::SIGCONT);
            }
            (Event::Signal(SignalBody { name, group }), _) => {
                if let Some(number) = signals::number(&name) {
                    pass_signal(&mut self.program, number, group.as_ref());
                }
            }
            (Event::Window(size), Some(terminal)) => terminal::resize(terminal, size),
            // The end is answer enough; home takes nothing else for one after it.
            (Event::Leave, _) if self.told => {}
            (Event::Leave, _) => self.leave(),
            (Event::Gone, _) if self.detach => self.live_on(),
            (Event::Gone, _) => self.home_is_gone(),
            _ => {}
        }
    }

    /// Home wants to leave, and has somebody who waits for the program in its place: so could we.
    fn leave(&mut self) {
        let is_alone = fork::has_only(self.program.pid()) && !folder::is_entered();
        let may = is_alone && !self.detach && !leads_session() && self.mux.is_sent();
        match self.hand_on(may) {
            Ok(Some(true)) => {
                // It is not ours to wait for any more.
                self.program = Ward::handed_on(self.program.pid());
                while let Some(came) = self.signals.next() {
                    self.pass_on(came);
                }
                signals::exit_now(0);
            }
            // If home is gone, that is an event of its own.
            Ok(Some(false)) | Err(_) => {}
            Ok(None) => self.mux.send_adopted(NO),
        }
    }

    /// Hands the program on, if it `may` and can be; whether home has taken it.
    fn hand_on(&mut self, may: bool) -> Result<Option<bool>, ChannelError> {
        let (Some(channel), Some((program, line)), true) = (&mut self.own, self.program.to_hand_on(), may)
        else {
            return Ok(None);
        };
        let never = &mut || false;
        let mut wait = Wait::new(never);
        let body = program.as_raw().to_le_bytes();
        channel.send_with(Kind::Moved, &body, &[line.as_raw_fd()], &mut wait)?;
        let packet = channel.receive(&mut wait)?;
        Ok(Some(packet.kind == Kind::Adopted && packet.body == [YES]))
    }

    /// As when a terminal hangs up: nobody reads what the program writes, nothing more comes in, and
    /// it is told.
    fn home_is_gone(&mut self) {
        self.mux.close_output();
        self.mux.close_sources();
        self.mux.end_sinks();
        self.terminal = None;
        self.program.signal(libc::SIGHUP);
        // One that is stopped is to hear of it.
        self.program.signal(libc::SIGCONT);
    }

    /// The program goes on: what it writes is kept, and nothing more comes in.
    fn live_on(&mut self) {
        if self.terminal.is_none() {
            self.mux.end_sinks();
        }
        self.mux.keep_in(output_file(self.program.pid()));
    }
}

/// Where the output of a program is kept that has nobody who reads it:
/// `~/.local/state/pyteleport/PROCESS.out`, for its user alone.
fn output_file(program: Pid) -> File {
    let open = || {
        let own = |name| std::env::var_os(name).filter(|path| Path::new(path).is_absolute());
        let state = own("XDG_STATE_HOME").map(PathBuf::from);
        let state = state.or_else(|| Some(PathBuf::from(own("HOME")?).join(".local/state")))?;
        let folder = state.join("pyteleport");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .ok()?;
        let mut options = File::options();
        options.append(true).create(true).mode(0o600);
        options.open(folder.join(format!("{program}.out"))).ok()
    };
    // Without a place for it, it goes where all output goes that nobody reads.
    open().unwrap_or_else(|| File::from(fd::nothing().unwrap_or_else(|_| signals::exit_now(TROUBLE))))
}

/// Sends a signal on that came to this process.
pub(crate) fn pass_on_signal(program: &mut Ward, came: Came) {
    if let Came::Signal {
        number,
        from_terminal,
    } = came
    {
        pass_signal(program, number, terminal_group(number, from_terminal).as_ref());
    }
}

/// Sends a signal on, unless the program is in the group that got it already.
pub(crate) fn pass_signal(program: &mut Ward, number: i32, group: Option<&Group>) {
    let has_it = group.is_some_and(|group| {
        !group.system.is_empty()
            && group.system == system()
            && getpgid(Some(program.pid())).is_ok_and(|theirs| theirs.as_raw() == group.number)
    });
    if !has_it {
        program.signal(number);
    }
}

/// The process group that got a signal together with this process. When a terminal hangs up the
/// kernel tells the leader of the session alone, who is to tell the others.
pub(crate) fn terminal_group(number: i32, from_terminal: bool) -> Option<Group> {
    let alone = [libc::SIGHUP, libc::SIGCONT].contains(&number) && leads_session();
    (from_terminal && !alone).then(|| Group {
        system: system(),
        number: getpgrp().as_raw(),
    })
}

/// Tells apart where a process number means which process.
fn system() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let numbers = std::fs::read_link("/proc/self/ns/pid");
    match (boot, numbers) {
        (Ok(boot), Ok(numbers)) => format!("{} {}", boot.trim(), numbers.display()),
        _ => String::new(),
    }
}

pub(crate) fn exit_body(ending: Option<Ending>) -> ExitBody {
    match ending {
        Some(Ending::Code(code)) => ExitBody::Code(code),
        Some(Ending::Signal(number)) => ExitBody::Signal(signals::name(number)),
        None => ExitBody::Code(TROUBLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fd::socket_pair;

    #[test]
    fn who_knows_of_the_end_needs_no_answer() {
        let (socket, _home) = socket_pair().unwrap();
        let mut process = std::process::Command::new("true").spawn().unwrap();
        let child = Child::adopt(Pid::from_raw(process.id() as i32));
        let input = Port::shared_input(fd::duplicate(&socket).unwrap());
        let mut relay = AfterCommit {
            signals: Incoming::new().unwrap(),
            program: Ward::new(child, None),
            mux: Mux::new(input, Port::shared_output(socket)),
            terminal: None,
            detach: false,
            own: None,
            told: true,
        };
        relay.take(Event::Leave);
        assert!(relay.mux.is_sent());
        relay.told = false;
        relay.take(Event::Leave);
        assert!(!relay.mux.is_sent());
        process.wait().unwrap();
    }
}
