//! The relay: the far end of the channel once a program runs behind a command.
//!
//! A shell that started the peer reports its end in its own way, and a connection has no place
//! for signals; so the process that the command started stays as a relay, and the program is its
//! child. Until Commit the child has the channel to itself, and the relay only passes on what it
//! prints, to standard error. Afterwards the relay has it.

use crate::folder;
use crate::fork;
use crate::mux::{poll_all, At, Event, Mux};
use crate::packet::{ExitBody, Group, SignalBody};
use crate::port::{Moved, Port};
use crate::side::write_standard;
use crate::signals::{self, Came, Incoming};
use crate::spawn::{Child, Ending};
use crate::ward::Ward;
use nix::poll::{PollFlags, PollTimeout};
use nix::unistd::{getpgid, getpgrp, getpid, getsid, Pid};
use std::os::fd::{AsFd, OwnedFd};

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
    pub streams: Option<[OwnedFd; 3]>,
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
        let mut streams = match self.streams {
            None => None,
            Some([stdin, stdout, stderr]) => {
                Some([Port::own(stdin)?, Port::own(stdout)?, Port::own(stderr)?])
            }
        };
        if let Some(ending) = until_commit(&signals, &mut child, &control, &self.input, &mut streams) {
            return Ok(ending);
        }

        let mut mux = Mux::new(Port::shared_input(self.input), Port::shared_output(self.output));
        if let Some([stdin, stdout, stderr]) = streams {
            mux.add_sink(0, Some(stdin));
            mux.add_source(1, Some(stdout));
            mux.add_source(2, Some(stderr));
        }
        Ok(after_commit(&signals, &mut Ward::new(child, Some(control)), mux))
    }
}

/// Waits for Commit. If there will be none, says how the child ended.
fn until_commit(
    signals: &Incoming,
    child: &mut Child,
    control: &OwnedFd,
    channel: &OwnedFd,
    streams: &mut Option<[Port; 3]>,
) -> Option<Option<Ending>> {
    let outputs: &[Port] = streams.as_ref().map_or(&[], |streams| &streams[1..]);
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
                Place::Output(index) => open[index] = pass_on(&outputs[index]),
                Place::Control => {
                    let mut word = [0; COMMITTED.len()];
                    match nix::unistd::read(control, &mut word) {
                        Ok(length) if length > 0 => {
                            for output in outputs {
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
            for output in outputs {
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

/// Runs the streams until the child has ended and home knows.
fn after_commit(signals: &Incoming, program: &mut Ward, mut mux: Mux) -> Option<Ending> {
    let mut ending: Option<Option<Ending>> = None;
    let mut told = false;
    loop {
        if ending.is_none() {
            ending = program.try_wait();
            fork::reap_others(program.pid());
        }
        if let Some(how) = ending {
            // What it wrote before its end is in the pipes. What a process that it left behind
            // still writes is not waited for.
            mux.drain_sources();
            if mux.is_read() && !told {
                // Home ends when it knows, and nothing of ours must be left then.
                folder::leave();
                mux.send_exit(&exit_body(how));
                told = true;
            }
            if told && mux.is_sent() {
                return how;
            }
        }
        let mut wanted = vec![(Place::Signals, signals.descriptor(), PollFlags::POLLIN)];
        wanted.extend(
            program
                .line()
                .map(|line| (Place::Control, line, PollFlags::POLLIN)),
        );
        wanted.extend(
            program
                .end_line()
                .map(|line| (Place::End, line, PollFlags::POLLIN)),
        );
        wanted.extend(
            mux.wanted()
                .into_iter()
                .map(|(at, fd, flags)| (Place::Mux(at), fd, flags)),
        );
        for (place, flags) in poll_all(&wanted, PollTimeout::NONE) {
            match place {
                Place::Mux(at) => mux.serve(at, flags).unwrap_or_else(|_| mux.hang_up()),
                Place::Control => program.listen(),
                Place::Signals => {
                    while let Some(came) = signals.next() {
                        pass_on_signal(program, came);
                    }
                }
                _ => {}
            }
        }
        while let Some(event) = mux.event() {
            match event {
                Event::Signal(SignalBody { name, group }) => {
                    if let Some(number) = signals::number(&name) {
                        pass_signal(program, number, group.as_ref());
                    }
                }
                Event::Exit(_) | Event::CopyExit(_) | Event::CopySignal(_) => {}
                Event::Gone => home_is_gone(program, &mut mux),
            }
        }
    }
}

/// As when a terminal hangs up: nobody reads what the program writes, nothing more comes in, and
/// it is told.
fn home_is_gone(program: &mut Ward, mux: &mut Mux) {
    mux.close_output();
    mux.close_sources();
    mux.end_sinks();
    program.signal(libc::SIGHUP);
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
    let leads_session = || getsid(None).is_ok_and(|session| session == getpid());
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
