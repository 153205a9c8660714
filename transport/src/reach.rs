//! Reaching a peer: starting what leads to it, and finding out which way it answers.
//!
//! A direct child has one end of a socket. A command has three ways out, and only its peer knows
//! which of them reach home: standard input and output if it runs elsewhere, a socket left open
//! if all that is between is a local shell. The peer answers on one; home listens to both.

use crate::channel::Channel;
use crate::command::ReceiveCommand;
use crate::error::{ChannelError, Fate, TransportError};
use crate::fd::{self, set_nonblocking};
use crate::handshake::Scanner;
use crate::side::{write_standard, SideStreams};
use crate::signals;
use crate::spawn::{Child, Plan};
use crate::terminal::HasTerminal;
use crate::wait::Wait;
use crate::warm::Spare;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::unistd::read;
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

/// How long a process may take to end once its channel has.
const PATIENCE: Duration = Duration::from_secs(2);

/// A process that leads to a peer, and what we know of the way.
#[derive(Debug)]
pub(crate) struct Started {
    pub child: Child,
    pub side: SideStreams,
    pub link: Link,
    /// Whether the program is to have a terminal there, if it is not on this machine.
    pub terminal: bool,
    /// Whether it lives on there when the connection breaks.
    pub detach: bool,
    /// First word of the command, and the Python that it asks for; for error texts.
    program: String,
    python: String,
    /// Whether pyteleport was sent there.
    pub sent_package: bool,
}

/// How a peer is connected.
#[derive(Debug)]
pub(crate) enum Link {
    /// A direct child with its end of a socket.
    Direct(Channel),
    /// A command whose peer has not answered yet.
    Unknown(Candidates),
    /// Through a command, over its standard input and output.
    Stdio(Channel),
    /// Through a command, over the socket that was left open; its standard input stays open too.
    Own { channel: Channel, stdin: OwnedFd },
    /// No longer.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Candidates {
    socket: OwnedFd,
    stdin: OwnedFd,
    stdout: OwnedFd,
}

/// The way that a peer answered.
enum Answer {
    Socket,
    /// Its preamble starts these bytes.
    Stdout(Vec<u8>),
}

impl Link {
    pub(crate) fn channel(&mut self) -> Option<&mut Channel> {
        match self {
            Link::Direct(channel) | Link::Stdio(channel) | Link::Own { channel, .. } => Some(channel),
            Link::Unknown(_) | Link::Closed => None,
        }
    }
}

impl Started {
    /// Starts a direct child.
    pub(crate) fn direct(
        argv: &[OsString],
        env: &[(OsString, Option<OsString>)],
    ) -> Result<Started, TransportError> {
        let (ours, theirs) = fd::socket_pair().map_err(TransportError::io("make a socket"))?;
        let inherited = fd::duplicate(&theirs).map_err(TransportError::io("make a socket"))?;
        let number = theirs.as_raw_fd();
        let argv: Vec<OsString> = argv.iter().map(|word| with_number(word, number)).collect();
        let child = Child::start(&Plan {
            argv: &argv,
            env,
            descriptors: &[(&inherited, number)],
            holds_signals: false,
        })?;

        let channel = Channel::over_socket(ours);
        channel
            .set_nonblocking()
            .map_err(TransportError::io("set up a socket"))?;
        Ok(Started::new(child, Link::Direct(channel), &argv, String::new()))
    }

    /// Takes what a server has started.
    pub(crate) fn warm(spare: Spare) -> Started {
        Started::new(spare.child, Link::Direct(spare.channel), &[], String::new())
    }

    /// Starts a command.
    pub(crate) fn command(argv: &[OsString], command: &ReceiveCommand) -> Result<Started, TransportError> {
        let (ours, theirs) = fd::socket_pair().map_err(TransportError::io("make a socket"))?;
        let inherited = fd::duplicate(&theirs).map_err(TransportError::io("make a socket"))?;
        let number = theirs.as_raw_fd();
        let inode = fd::inode(&theirs).map_err(TransportError::io("make a socket"))?;
        let pipe = || fd::pipe().map_err(TransportError::io("make a pipe"));
        let (stdin, stdout, stderr) = (pipe()?, pipe()?, pipe()?);
        fd::widen(&stdin.1);
        fd::widen(&stdout.0);
        for ours in [&ours, &stdin.1, &stdout.0] {
            set_nonblocking(ours).map_err(TransportError::io("set up a pipe"))?;
        }

        let mut argv = argv.to_vec();
        let terminal = HasTerminal::here().filter(|_| !command.copies);
        argv.push(command.text(number, inode, terminal));
        let plan = Plan {
            argv: &argv,
            env: &[],
            holds_signals: false,
            descriptors: &[
                (&stdin.0, 0),
                (&stdout.1, 1),
                (&stderr.1, 2),
                (&inherited, number),
            ],
        };
        // ^C is meant for the program, and must not end the connection to it.
        let child = signals::ignoring_terminal(|| Child::start(&plan))
            .map_err(TransportError::io("set up signals"))??;

        let link = Link::Unknown(Candidates {
            socket: ours,
            stdin: stdin.1,
            stdout: stdout.0,
        });
        let python = command.python.to_string_lossy().into_owned();
        let mut started = Started::new(child, link, &argv, python);
        started.terminal = terminal.is_some();
        started.detach = command.detach;
        started
            .side
            .add(stderr.0, 2)
            .map_err(TransportError::io("set up a pipe"))?;
        Ok(started)
    }

    fn new(child: Child, link: Link, argv: &[OsString], python: String) -> Started {
        let program = argv
            .first()
            .map(|word| word.to_string_lossy().into_owned())
            .unwrap_or_default();
        Started {
            child,
            side: SideStreams::default(),
            link,
            terminal: false,
            detach: false,
            program,
            python,
            sent_package: false,
        }
    }

    /// Waits until the peer has begun to answer.
    pub(crate) fn find_way(&mut self, interrupted: &mut dyn FnMut() -> bool) -> Result<(), TransportError> {
        let Link::Unknown(candidates) = &self.link else {
            return Ok(());
        };
        let mut wait = Wait::beside(&mut self.side, interrupted);
        let answer = match listen(candidates, &mut self.child, &mut wait) {
            Ok(answer) => answer,
            Err(error) => return Err(self.explain_start(error)),
        };
        let Link::Unknown(Candidates {
            socket,
            stdin,
            stdout,
        }) = std::mem::replace(&mut self.link, Link::Closed)
        else {
            return Ok(());
        };
        self.link = match answer {
            Answer::Stdout(ahead) => Link::Stdio(Channel::over_halves(stdout, stdin, ahead)),
            Answer::Socket => {
                self.side
                    .add(stdout, 1)
                    .map_err(TransportError::io("set up a pipe"))?;
                Link::Own {
                    channel: Channel::over_socket(socket),
                    stdin,
                }
            }
        };
        Ok(())
    }

    /// Why there was no Hello.
    pub(crate) fn explain_start(&mut self, error: ChannelError) -> TransportError {
        self.explain(error, |started, ending| {
            let (python, program) = (started.python.clone(), started.program.clone());
            let words = started.side.words();
            let no_package = ["No module named pyteleport", "No module named 'pyteleport"];
            if python.is_empty() {
                return TransportError::EndedEarly { ending, words };
            }
            if started.sent_package {
                return TransportError::PackageUnfit {
                    python,
                    ending,
                    words,
                };
            }
            match ending.0.map(|ending| ending.status()) {
                _ if started.side.mentions(&no_package) => TransportError::PackageNotFound { python, words },
                Some(127) => TransportError::PythonNotFound { python, words },
                Some(255) if is_ssh(&program) => TransportError::Unreachable { program, words },
                _ => TransportError::EndedEarly { ending, words },
            }
        })
    }

    /// Why the peer went away in the middle.
    pub(crate) fn explain_loss(&mut self, error: ChannelError, during: &'static str) -> TransportError {
        self.explain(error, |started, ending| TransportError::Vanished {
            during,
            ending,
            words: started.side.words(),
        })
    }

    fn explain(
        &mut self,
        error: ChannelError,
        gone: impl FnOnce(&Started, Fate) -> TransportError,
    ) -> TransportError {
        match error {
            ChannelError::Gone => {
                self.link = Link::Closed;
                let ending = Fate(self.wait_for_end());
                gone(self, ending)
            }
            ChannelError::Interrupted => TransportError::Interrupted,
            ChannelError::Packet(error) => TransportError::Packet(error),
            ChannelError::Io(source) => TransportError::Io {
                what: "use the channel",
                source,
            },
        }
    }

    /// The channel is closed, so the process is about to end; its last words may still be coming.
    fn wait_for_end(&mut self) -> Option<crate::Ending> {
        let start = std::time::Instant::now();
        while self.child.try_wait().is_none() && start.elapsed() < PATIENCE {
            self.side.drain();
            self.child.wait_within(Duration::from_millis(10));
        }
        self.side.drain();
        self.child.try_wait().flatten()
    }

    /// Ends the process, and with it, or by the closed channel, the peer.
    pub(crate) fn end(&mut self) {
        let direct = matches!(self.link, Link::Direct(_));
        self.link = Link::Closed;
        self.child.end(!direct);
        self.side.drain();
    }
}

/// Listens to both ways until the peer's preamble begins on one; passes on the noise before it.
fn listen(candidates: &Candidates, child: &mut Child, wait: &mut Wait<'_>) -> Result<Answer, ChannelError> {
    let mut scanner = Scanner::default();
    let (mut socket_open, mut stdout_open) = (true, true);
    while socket_open || stdout_open {
        // Asked before the poll: what it wrote before its end is there by then.
        let ended = child.try_wait().is_some();
        let flags = |open| {
            if open {
                PollFlags::POLLIN
            } else {
                PollFlags::empty()
            }
        };
        let (socket, stdout) = (candidates.socket.as_fd(), candidates.stdout.as_fd());
        let ready = match (socket_open, stdout_open) {
            (true, true) => wait.once([(socket, flags(true)), (stdout, flags(true))])?,
            (true, false) => [wait.once([(socket, flags(true))])?[0], PollFlags::empty()],
            _ => [PollFlags::empty(), wait.once([(stdout, flags(true))])?[0]],
        };
        if !ready[0].is_empty() {
            let mut first = [0];
            match nix::sys::socket::recv(
                socket.as_raw_fd(),
                &mut first,
                nix::sys::socket::MsgFlags::MSG_PEEK,
            ) {
                Ok(0) => socket_open = false,
                Ok(_) => return Ok(Answer::Socket),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => socket_open = false,
            }
        }
        if !ready[1].is_empty() {
            let mut block = [0; 4 << 10];
            match read(stdout, &mut block) {
                Ok(0) => stdout_open = false,
                Ok(length) => {
                    let scanned = scanner.feed(&block[..length]);
                    write_standard(1, &scanned.noise);
                    if let Some(rest) = scanned.rest {
                        return Ok(Answer::Stdout(rest));
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => stdout_open = false,
            }
        }
        if ended && ready.iter().all(|flags| flags.is_empty()) {
            break;
        }
    }
    write_standard(1, &scanner.finish());
    Err(ChannelError::Gone)
}

fn with_number(word: &OsString, number: i32) -> OsString {
    let (text, number) = (word.as_bytes(), number.to_string());
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(4).position(|window| window == b"{fd}") {
        out.extend(&rest[..at]);
        out.extend(number.as_bytes());
        rest = &rest[at + 4..];
    }
    out.extend(rest);
    OsString::from_vec(out)
}

fn is_ssh(program: &str) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == "ssh")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_the_descriptor_takes_its_place_in_the_words() {
        let word = |text: &str| with_number(&text.into(), 12).into_string().unwrap();
        assert_eq!(word("{fd}"), "12");
        assert_eq!(word("--fd={fd},{fd}"), "--fd=12,12");
        assert_eq!(word("{f}d}"), "{f}d}");
    }
}
