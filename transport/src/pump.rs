//! The pump: what home is once the program is somewhere else.
//!
//! It stands for the program to everybody who knows home by its pid or holds the other ends of
//! its descriptors: signals go on to the program, and it ends as the program ends. With a direct
//! child, or one that was given home's descriptors, that is all. With a program elsewhere it also
//! carries standard input, output and error, with bounded memory and byte for byte.

use crate::copies;
use crate::error::Fate;
use crate::fd::{self, duplicate, duplicate_standard, inherited, keep_on_exec};
use crate::fork;
use crate::mux::{poll_all, At, Event, Mux};
use crate::packet::{ExitBody, SignalBody};
use crate::port::Port;
use crate::reach::Link;
use crate::relay::{pass_on_signal, terminal_group};
use crate::side::{write_standard, SideStream, SideStreams};
use crate::signals::{self, Came, Incoming};
use crate::spawn::{Child, Ending};
use crate::terminal::Kept;
use crate::ward::Ward;
use nix::errno::Errno;
use nix::poll::{PollFlags, PollTimeout};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, Pid};
use std::ffi::OsString;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Exit status when the program's own is not known.
const LOST: i32 = 255;

/// How long the command may take to end once the program has.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a pump in the background looks whether it may read the terminal.
const BACKGROUND_MS: u16 = 200;

/// Goes on with what [`crate::home::Committed::into_pump_args`] returned, in the same process or
/// in what replaced it by exec. Ends the process.
pub fn run(args: &[OsString]) -> ! {
    if args.first().is_some_and(|word| word == copies::WORD) {
        copies::run(&args[1..]);
    }
    let ending = match PumpArgs::from_words(args) {
        Ok(pump) => pump.work(),
        Err(_) => {
            say("its arguments cannot be used");
            Ending::Code(LOST)
        }
    };
    signals::end_like(ending)
}

pub(crate) fn say(text: &str) {
    write_standard(2, format!("pyteleport: {text}\n").as_bytes());
}

/// All that a pump needs to know.
#[derive(Debug)]
pub(crate) struct PumpArgs {
    /// The program, or the command that leads to it.
    child: Child,
    way: Way,
    side: Vec<(OwnedFd, RawFd)>,
    /// Whether the program has a terminal of its own for home's.
    terminal: bool,
    /// Whether it lives on without home.
    detach: bool,
}

/// How the program is connected.
#[derive(Debug)]
enum Way {
    Direct {
        line: OwnedFd,
    },
    /// The relay and home share the streams.
    Stdio {
        input: OwnedFd,
        output: OwnedFd,
    },
    /// The program has home's descriptors; the command's standard input only stays open.
    Own {
        socket: OwnedFd,
        stdin: OwnedFd,
    },
}

impl PumpArgs {
    pub(crate) fn new(
        child: Child,
        link: Link,
        side: Vec<SideStream>,
        (terminal, detach): (bool, bool),
    ) -> nix::Result<PumpArgs> {
        let way = match link {
            Link::Direct(channel) => Way::Direct {
                line: channel.copy_halves()?.0,
            },
            Link::Stdio(channel) => {
                let (input, output) = channel.copy_halves()?;
                Way::Stdio { input, output }
            }
            Link::Own { channel, stdin } => Way::Own {
                socket: channel.copy_halves()?.0,
                stdin,
            },
            Link::Unknown(_) | Link::Closed => return Err(Errno::ENOTCONN),
        };
        Ok(PumpArgs {
            child,
            way,
            side: side.into_iter().map(SideStream::into_parts).collect(),
            terminal,
            detach,
        })
    }

    /// As words; the descriptors in them live on through exec.
    pub(crate) fn into_words(self) -> nix::Result<Vec<OsString>> {
        let mut words = vec![format!("child={}", self.child.pid())];
        if let Some(foreign) = self.child.into_foreign() {
            let (process, status) = (keep(foreign.process)?, keep(foreign.status)?);
            words.push(format!("served={process},{status}"));
        }
        match self.way {
            Way::Direct { line } => words.push(format!("direct={}", keep(line)?)),
            Way::Stdio { input, output } => {
                words.push(format!("stdio={},{}", keep(input)?, keep(output)?));
            }
            Way::Own { socket, stdin } => words.push(format!("own={},{}", keep(socket)?, keep(stdin)?)),
        }
        for (from, to) in self.side {
            words.push(format!("side={},{to}", keep(from)?));
        }
        let kinds = [("terminal", self.terminal), ("detach", self.detach)];
        words.extend(
            kinds
                .iter()
                .filter(|(_, is)| *is)
                .map(|(name, _)| format!("{name}=1")),
        );
        Ok(words.into_iter().map(OsString::from).collect())
    }

    fn from_words(words: &[OsString]) -> nix::Result<PumpArgs> {
        let (mut child, mut served, mut way, mut side) = (None, None, None, Vec::new());
        let (mut terminal, mut detach) = (false, false);
        for word in words {
            let word = word.to_str().ok_or(Errno::EINVAL)?;
            match word.split_once('=') {
                Some(("direct", line)) => {
                    way = Some(Way::Direct {
                        line: inherited(number(line)?)?,
                    });
                }
                Some(("terminal", "1")) => terminal = true,
                Some(("detach", "1")) => detach = true,
                Some(("child", pid)) => child = Some(Pid::from_raw(number(pid)?)),
                Some(("served", pair)) => {
                    let (process, status) = numbers(pair)?;
                    served = Some((inherited(process)?, inherited(status)?));
                }
                Some(("stdio", pair)) => {
                    let (input, output) = numbers(pair)?;
                    way = Some(Way::Stdio {
                        input: inherited(input)?,
                        output: inherited(output)?,
                    });
                }
                Some(("own", pair)) => {
                    let (socket, stdin) = numbers(pair)?;
                    way = Some(Way::Own {
                        socket: inherited(socket)?,
                        stdin: inherited(stdin)?,
                    });
                }
                Some(("side", pair)) => {
                    let (from, to) = numbers(pair)?;
                    if !(1..=2).contains(&to) {
                        return Err(Errno::EINVAL);
                    }
                    side.push((inherited(from)?, to));
                }
                _ => return Err(Errno::EINVAL),
            }
        }
        match (child, way) {
            (Some(child), Some(way)) if child.as_raw() > 0 => {
                let child = match served {
                    Some((process, status)) => Child::foreign(child, process, status),
                    None => Child::adopt(child),
                };
                Ok(PumpArgs {
                    child,
                    way,
                    side,
                    terminal,
                    detach,
                })
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn work(self) -> Ending {
        match self.try_work() {
            Ok(ending) => ending,
            Err(errno) => {
                say(&format!(
                    "what is left of the moved program here cannot go on: {errno}"
                ));
                Ending::Code(LOST)
            }
        }
    }

    fn try_work(self) -> nix::Result<Ending> {
        let signals = Incoming::new()?;
        let child = self.child;
        let mut side = SideStreams::default();
        for (from, to) in self.side {
            side.add(from, to)?;
        }
        match self.way {
            Way::Direct { line } => {
                for number in 0..=2 {
                    let_go(number)?;
                }
                Ok(accompany(Ward::new(child, Some(line)), &signals))
            }
            Way::Own { socket, stdin } => {
                let_go(0)?;
                let mux = Mux::new(Port::own(duplicate(&socket)?)?, Port::own(socket)?);
                Ok(Carrier {
                    mux,
                    side,
                    child,
                    signals,
                    stdin: Some(stdin),
                    terminal: None,
                    detach: self.detach,
                }
                .work())
            }
            Way::Stdio { input, output } => {
                let terminal = match self.terminal {
                    true => Some(Kept::new()?),
                    false => None,
                };
                let mut mux = Mux::new(Port::own(input)?, Port::own(output)?);
                mux.add_source(0, take_standard(0)?.map(Port::shared_input));
                mux.add_sink(1, take_standard(1)?.map(Port::shared_output));
                // Standard error itself stays, for what the command says.
                mux.add_sink(2, duplicate_standard(2).ok().map(Port::shared_output));
                Ok(Carrier {
                    mux,
                    side,
                    child,
                    signals,
                    stdin: None,
                    terminal,
                    detach: self.detach,
                }
                .work())
            }
        }
    }
}

fn keep(fd: OwnedFd) -> nix::Result<RawFd> {
    keep_on_exec(&fd, true)?;
    Ok(fd.into_raw_fd())
}

pub(crate) fn number(text: &str) -> nix::Result<i32> {
    text.parse().map_err(|_| Errno::EINVAL)
}

pub(crate) fn numbers(pair: &str) -> nix::Result<(RawFd, RawFd)> {
    let (first, second) = pair.split_once(',').ok_or(Errno::EINVAL)?;
    Ok((number(first)?, number(second)?))
}

/// A standard descriptor, if it is open, in another place; what holds its own is nothing.
fn take_standard(number: RawFd) -> nix::Result<Option<OwnedFd>> {
    let taken = match duplicate_standard(number) {
        Ok(fd) => Some(fd),
        Err(Errno::EBADF) => None,
        Err(errno) => return Err(errno),
    };
    let_go(number)?;
    Ok(taken)
}

/// Holds a standard descriptor no longer: the program has it, and who is at its other end must
/// see when the program closes it.
pub(crate) fn let_go(number: RawFd) -> nix::Result<()> {
    let nothing = fd::nothing()?;
    match number {
        0 => dup2_stdin(nothing),
        1 => dup2_stdout(nothing),
        _ => dup2_stderr(nothing),
    }
}

/// What has something to say to who goes with a direct child.
#[derive(Debug, Clone, Copy)]
enum Heard {
    Signals,
    Program,
    /// It has ended.
    End,
}

/// Goes with a direct child until it ends.
fn accompany(mut program: Ward, signals: &Incoming) -> Ending {
    loop {
        if let Some(ending) = program.try_wait() {
            return ending.unwrap_or(Ending::Code(LOST));
        }
        fork::reap_others(program.pid());
        let mut wanted = vec![(Heard::Signals, signals.descriptor(), PollFlags::POLLIN)];
        wanted.extend(
            program
                .line()
                .map(|line| (Heard::Program, line, PollFlags::POLLIN)),
        );
        wanted.extend(
            program
                .end_line()
                .map(|line| (Heard::End, line, PollFlags::POLLIN)),
        );
        for (heard, _) in poll_all(&wanted, PollTimeout::NONE) {
            match heard {
                Heard::Program => program.listen(),
                Heard::Signals => {
                    while let Some(came) = signals.next() {
                        pass_on_signal(&mut program, came);
                    }
                }
                Heard::End => {}
            }
        }
    }
}

/// A pump for a program behind a relay.
struct Carrier {
    mux: Mux,
    side: SideStreams,
    child: Child,
    signals: Incoming,
    /// Standard input of the command, if it is not the channel.
    stdin: Option<OwnedFd>,
    /// Home's, while the program has another.
    terminal: Option<Kept>,
    /// Whether the program lives on without us.
    detach: bool,
}

/// Places that a carrier waits at.
#[derive(Debug, Clone, Copy)]
enum Place {
    Signals,
    Side(usize),
    Mux(At),
}

/// Why a carrier has nothing more to carry.
enum Done {
    Exit(ExitBody),
    /// The channel ended without Exit.
    Gone,
}

impl Carrier {
    fn work(mut self) -> Ending {
        let mut done: Option<Done> = None;
        self.send_window();
        while done.is_none() || !self.mux.is_written() {
            let signals = self.step();
            for (number, from_terminal) in signals {
                match done {
                    // The relay sees that we are gone, and keeps what the program writes.
                    None if self.detach && number == libc::SIGHUP => return Ending::Signal(number),
                    None if self.terminal.is_some() && number == libc::SIGWINCH => self.send_window(),
                    // Only the reader of our output keeps us here.
                    Some(_)
                        if [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT].contains(&number) =>
                    {
                        return Ending::Signal(number);
                    }
                    Some(_) => {}
                    None => {
                        let group = terminal_group(number, from_terminal);
                        self.mux.send_signal(&SignalBody {
                            name: signals::name(number),
                            group,
                        });
                    }
                }
            }
            while let Some(event) = self.mux.event() {
                match (event, &done) {
                    (Event::Exit(body), None) => done = Some(Done::Exit(body)),
                    (Event::Gone, None) => done = Some(Done::Gone),
                    (Event::Stopped, None) => self.stop(),
                    _ => {}
                }
            }
        }
        self.terminal = None;
        let fate = self.see_off();
        match done {
            Some(Done::Exit(ExitBody::Code(code))) => Ending::Code(code),
            Some(Done::Exit(ExitBody::Signal(name))) => {
                signals::number(&name).map_or(Ending::Code(LOST), Ending::Signal)
            }
            Some(Done::Gone) | None if self.detach => {
                say(&format!(
                    "the connection broke, and the program goes on there ({fate})"
                ));
                Ending::Code(LOST)
            }
            Some(Done::Gone) | None => {
                say(&format!("the peer went away, and the program with it ({fate})"));
                Ending::Code(LOST)
            }
        }
    }

    fn send_window(&mut self) {
        if let Some(size) = self.terminal.as_ref().and_then(Kept::size) {
            self.mux.send_window(size);
        }
    }

    /// The program was stopped at its terminal: so are we, and whoever is with us.
    fn stop(&mut self) {
        let Some(terminal) = &mut self.terminal else {
            return;
        };
        terminal.put_back();
        signals::stop_group();
        terminal.pass_on();
        self.send_window();
        if !signals::is_pending(libc::SIGCONT) {
            // There is no shell that could have us go on.
            self.mux.send_signal(&SignalBody {
                name: signals::name(libc::SIGCONT),
                group: None,
            });
        }
    }

    /// Waits, and does what is to be done then; returns the signals that came.
    fn step(&mut self) -> Vec<(i32, bool)> {
        if let Some(terminal) = &mut self.terminal {
            terminal.pass_on();
        }
        let mut wanted: Vec<_> = self
            .mux
            .wanted()
            .into_iter()
            .map(|(at, fd, flags)| (Place::Mux(at), fd, flags))
            .collect();
        if !self.mux.is_full() {
            wanted.push((Place::Signals, self.signals.descriptor(), PollFlags::POLLIN));
        }
        for (index, stream) in self.side.streams.iter().enumerate() {
            wanted.push((Place::Side(index), stream.descriptor(), PollFlags::POLLIN));
        }
        let timeout = match self.mux.is_put_off() {
            true => PollTimeout::from(BACKGROUND_MS),
            false => PollTimeout::NONE,
        };

        let (mut came, mut side) = (Vec::new(), vec![PollFlags::empty(); self.side.streams.len()]);
        for (place, flags) in poll_all(&wanted, timeout) {
            match place {
                Place::Mux(at) => {
                    if let Err(error) = self.mux.serve(at, flags) {
                        say(&format!("{error}"));
                        self.mux.hang_up();
                    }
                }
                Place::Side(index) => side[index] = flags,
                Place::Signals => {
                    while let Some(signal) = self.signals.next() {
                        if let Came::Signal {
                            number,
                            from_terminal,
                        } = signal
                        {
                            came.push((number, from_terminal));
                        }
                    }
                }
            }
        }
        self.side.serve(&side);
        came
    }

    /// The program has ended: lets the command end, and passes on its last words.
    fn see_off(&mut self) -> Fate {
        self.mux.close_output();
        self.stdin = None;
        let start = std::time::Instant::now();
        while self.child.try_wait().is_none() && start.elapsed() < PATIENCE {
            self.side.drain();
            self.child.wait_within(Duration::from_millis(10));
        }
        self.child.end(true);
        self.side.drain();
        Fate(self.child.try_wait().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn the_arguments_lead_to_the_same_descriptors() {
        let (socket, stdin) = crate::fd::socket_pair().unwrap();
        let (side, _writing) = crate::fd::pipe().unwrap();
        let raw = [socket.as_raw_fd(), stdin.as_raw_fd(), side.as_raw_fd()];
        let args = PumpArgs {
            child: Child::adopt(Pid::from_raw(77)),
            way: Way::Own { socket, stdin },
            side: vec![(side, 2)],
            terminal: true,
            detach: false,
        };
        let words = args.into_words().unwrap();
        assert_eq!(
            words,
            [
                "child=77".into(),
                format!("own={},{}", raw[0], raw[1]),
                format!("side={},2", raw[2]),
                "terminal=1".into(),
            ]
            .map(OsString::from)
        );
        let again = PumpArgs::from_words(&words).unwrap();
        assert!(matches!(&again.way, Way::Own { socket, stdin }
            if socket.as_raw_fd() == raw[0] && stdin.as_raw_fd() == raw[1]));
    }

    #[test]
    fn arguments_that_say_nothing_are_refused() {
        for words in [
            &[][..],
            &["child=1"],
            &["child=1", "direct"],
            &["child=1", "direct=-1"],
            &["child=1", "stdio=3"],
            &["child=1", "side=-1,2"],
            &["child=1", "x"],
            &["child=1", "terminal=2"],
        ] {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            assert!(PumpArgs::from_words(&words).is_err(), "{words:?}");
        }
    }
}
