//! The peer's side of the hand-off.

use crate::alive;
use crate::channel::Channel;
use crate::error::{ChannelError, TransportError};
use crate::fd::{self, duplicate_standard, inherited};
use crate::fork::{self, Side};
use crate::handshake::{expect_hello, expect_preamble, out_of_turn, say_hello, Hello};
use crate::keeper;
use crate::line::{own_socket, Line, Way};
use crate::packet::{Kind, OfferBody, ReadyBody};
use crate::relay::{Relay, Streams, COMMITTED};
use crate::signals::{self, Held};
use crate::terminal::{HasTerminal, Made};
use crate::wait::Wait;
use crate::warden::Splitting;
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, read, write, Pid};
use std::io::{self, BufReader, Read, Take};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// Reads below this are served from a buffer; larger ones go straight where they are wanted.
const GATHER: usize = 128 << 10;

/// A fresh process that is to become a program, before Hello.
#[derive(Debug)]
pub struct Receiver {
    line: Line,
}

impl Receiver {
    /// Over a socket that home's child inherited under this number.
    ///
    /// Signals for the program are held in this thread from here on.
    pub fn from_fd(number: RawFd) -> Result<Receiver, TransportError> {
        let socket = inherited(number).map_err(TransportError::io("use the inherited descriptor"))?;
        Receiver::new(Channel::over_socket(socket), Way::Direct)
    }

    /// Over descriptor `number` if it is the socket with this inode, as it is behind a local
    /// shell; else over standard input and output. [`Receiver::split_off_relay`] must follow.
    pub fn from_stdio_or_fd(number: RawFd, inode: u64) -> Result<Receiver, TransportError> {
        if let Some(socket) = own_socket(number, inode) {
            return Receiver::new(Channel::over_socket(socket), Way::Own);
        }
        let half =
            |number| duplicate_standard(number).map_err(TransportError::io("use standard input and output"));
        let channel = Channel::over_halves(half(0)?, half(1)?, Vec::new());
        Receiver::new(channel, Way::Stdio)
    }

    /// Over a socket that a server has handed to this process, which it has started before
    /// ([`crate::warm::await_home`]).
    pub fn from_server(socket: OwnedFd) -> Result<Receiver, TransportError> {
        Receiver::new(Channel::over_socket(socket), Way::Warm)
    }

    fn new(channel: Channel, way: Way) -> Result<Receiver, TransportError> {
        alive::look();
        let held = Held::new().map_err(TransportError::io("hold signals"))?;
        Ok(Receiver {
            line: Line {
                channel,
                way,
                held,
                opened: false,
                relay: None,
            },
        })
    }

    /// Behind a command, forks: the parent becomes the relay between home and the program and
    /// never returns; this returns in the child, with 0, 1 and 2 that lead to the relay. Not
    /// behind a command this does nothing; true says that a fork took place.
    ///
    /// To be called while the process has one thread and holds nothing that must not be forked.
    ///
    /// With a `terminal` the program has one there. With `detach` it lives on when home is gone.
    pub fn split_off_relay(
        &mut self,
        terminal: Option<HasTerminal>,
        detach: bool,
    ) -> Result<bool, TransportError> {
        let line = &mut self.line;
        if matches!(line.way, Way::Direct | Way::Warm) {
            return Ok(false);
        }
        let pipe = || fd::pipe().map_err(TransportError::io("make a pipe"));
        let (control, told) = fd::socket_pair().map_err(TransportError::io("make a socket"))?;
        let stdio = match (line.way, terminal) {
            (Way::Stdio, None) => Some(Stdio::Pipes([pipe()?, pipe()?, pipe()?])),
            (Way::Stdio, Some(home)) => {
                let made = Made::new(home).map_err(TransportError::io("make a terminal"))?;
                let errors = (!made.errors).then(pipe).transpose()?;
                Some(Stdio::Terminal(made, errors))
            }
            _ => None,
        };
        let (input, output) = line
            .channel
            .copy_halves()
            .map_err(TransportError::io("copy the channel"))?;
        match fork::split().map_err(TransportError::io("fork"))? {
            Side::Parent { child } => {
                drop(told);
                let streams = stdio.map(|stdio| stdio.ours(child)).transpose();
                Relay {
                    child,
                    control,
                    input,
                    output,
                    streams: streams.map_err(TransportError::io("use the terminal"))?,
                    detach,
                }
                .run()
            }
            Side::Child => {
                if let Some(stdio) = stdio {
                    stdio
                        .take()
                        .map_err(TransportError::io("put the relay's streams in place"))?;
                }
                line.relay = Some(told);
                // Home started the command with these ignored, lest ^C at its terminal end ssh.
                // (SIGINT is Python's to set.)
                let _ = signals::set_disposition(Signal::SIGQUIT, SigHandler::SigDfl);
                Ok(true)
            }
        }
    }

    /// In place of [`Receiver::split_off_relay`], where copies are to be made: this process will go with
    /// them by itself. What it prints goes to standard error.
    pub fn stand_alone(&mut self) -> Result<(), TransportError> {
        if self.line.way == Way::Stdio {
            let nothing = fd::nothing().map_err(TransportError::io("open /dev/null"))?;
            dup2_stdin(nothing)
                .and_then(|()| dup2_stdout(fd::standard(2)))
                .map_err(TransportError::io("keep the channel to ourselves"))?;
        }
        Ok(())
    }

    /// Says Hello and waits for home's. Behind a local shell, 0, 1 and 2 are home's afterwards.
    pub fn hello(&mut self, ours: &Hello) -> Result<Hello, TransportError> {
        let line = &mut self.line;
        line.opened = true;
        line.act(|channel, wait| say_hello(channel, ours, wait))?;
        line.act(expect_preamble)?.check()?;
        let theirs = line.act(expect_hello)?;
        if matches!(line.way, Way::Own | Way::Warm) {
            line.take_stdio()?;
        }
        Ok(theirs)
    }

    /// Has `replace` put another process in the place of this one, by exec, that goes on after
    /// Hello with the words that it gets, in [`Receiver::from_words`]. It returns if it could not.
    pub fn hand_on(self, replace: impl FnOnce(Vec<String>)) -> Result<Receiver, TransportError> {
        let line = &self.line;
        let own = [
            Some(line.channel.input()),
            Some(line.channel.output()),
            line.relay.as_ref().map(AsFd::as_fd),
        ];
        let keep = |keep| {
            own.iter()
                .flatten()
                .try_for_each(|fd| fd::keep_on_exec(fd, keep))
                .map_err(TransportError::io("keep the channel"))
        };
        keep(true)?;
        let mut words = vec![line.way.word().to_owned()];
        words.extend(
            own.iter()
                .map(|fd| fd.map_or(-1, |fd| fd.as_raw_fd()).to_string()),
        );
        // Those that came until now are home's, as before Ready.
        line.held.discard();
        line.held
            .without(|| replace(words))
            .map_err(TransportError::io("hold signals"))?;
        keep(false)?;
        Ok(self)
    }

    /// Goes on after Hello, with the words of [`Receiver::hand_on`].
    pub fn from_words(words: &[String]) -> Result<Receiver, TransportError> {
        let wrong = || TransportError::io("take over the channel")(Errno::EINVAL);
        let [way, rest @ ..] = words else {
            return Err(wrong());
        };
        let way = Way::of(way).ok_or_else(wrong)?;
        let numbers: Vec<RawFd> = rest.iter().filter_map(|word| word.parse().ok()).collect();
        let &[input, output, relay] = numbers.as_slice() else {
            return Err(wrong());
        };
        let take = |number| inherited(number).map_err(TransportError::io("take over the channel"));
        let channel = match input == output {
            true => Channel::over_socket(take(input)?),
            false => Channel::over_halves(take(input)?, take(output)?, Vec::new()),
        };
        let mut receiver = Receiver::new(channel, way)?;
        receiver.line.opened = true;
        receiver.line.relay = (relay >= 0).then(|| take(relay)).transpose()?;
        Ok(receiver)
    }

    /// Waits for Offer. What follows is the payload.
    pub fn offer(mut self) -> Result<Arriving, TransportError> {
        let packet = self.line.act(Channel::receive)?;
        if packet.kind != Kind::Offer {
            return Err(out_of_turn(packet.kind, "Offer").into());
        }
        let OfferBody {
            length,
            copies,
            guest,
        } = packet.read()?;
        let bytes = Bytes { line: self.line }.take(length);
        Ok(Arriving {
            length,
            copies,
            guest,
            bytes: BufReader::with_capacity(GATHER, bytes),
        })
    }

    /// Tells home that it cannot be done, also before Hello: the name of an error class, and its
    /// text.
    pub fn failed(self, kind: &str, text: &str) -> Result<(), TransportError> {
        self.line.failed(kind, text)
    }
}

/// What is between a program and its relay.
enum Stdio {
    /// For 0, 1 and 2: reading end, writing end.
    Pipes([(OwnedFd, OwnedFd); 3]),
    /// For all of them but 2, perhaps.
    Terminal(Made, Option<(OwnedFd, OwnedFd)>),
}

impl Stdio {
    /// The relay's ends.
    fn ours(self, child: Pid) -> nix::Result<Streams> {
        Ok(match self {
            Stdio::Pipes([stdin, stdout, stderr]) => Streams {
                input: stdin.1,
                outputs: vec![(1, stdout.0), (2, stderr.0)],
                terminal: None,
            },
            Stdio::Terminal(made, errors) => {
                made.give_to(child);
                let mut outputs = vec![(1, fd::duplicate(&made.ours)?)];
                outputs.extend(errors.map(|errors| (2, errors.0)));
                Streams {
                    input: fd::duplicate(&made.ours)?,
                    outputs,
                    terminal: Some(made.ours),
                }
            }
        })
    }

    /// Puts the program's ends in their places.
    fn take(self) -> nix::Result<()> {
        let (stdin, stdout, stderr) = match &self {
            Stdio::Pipes([stdin, stdout, stderr]) => (&stdin.0, &stdout.1, &stderr.1),
            Stdio::Terminal(made, errors) => {
                made.take()?;
                let on_it = &made.theirs;
                (on_it, on_it, errors.as_ref().map_or(on_it, |errors| &errors.1))
            }
        };
        dup2_stdin(stdin)
            .and_then(|()| dup2_stdout(stdout))
            .and_then(|()| dup2_stderr(stderr))
    }
}

/// The payload on its way in. Reading it yields its bytes; if home gives up in the middle, an
/// [`io::ErrorKind::UnexpectedEof`].
#[derive(Debug)]
pub struct Arriving {
    length: u64,
    copies: u8,
    guest: bool,
    bytes: BufReader<Take<Bytes>>,
}

/// The channel as something to read.
#[derive(Debug)]
struct Bytes {
    line: Line,
}

impl Read for Bytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        match self.line.channel.read(into, &mut Wait::new(&mut || false)) {
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "home gave up the move",
            )),
            Ok(length) => Ok(length),
            Err(ChannelError::Io(error)) => Err(error),
            Err(_) => Err(io::Error::other("the channel cannot be read")),
        }
    }
}

impl Read for Arriving {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(into)
    }

    fn read_exact(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.bytes.read_exact(into)
    }
}

impl Arriving {
    /// Length of the whole payload.
    pub fn payload_len(&self) -> u64 {
        self.length
    }

    /// How many copies are to be made of the program; none if it moves.
    pub fn copies(&self) -> u8 {
        self.copies
    }

    /// Whether the one copy is a guest, which goes back to home.
    pub fn is_guest(&self) -> bool {
        self.guest
    }

    /// Begins to make the copies, of what this process is by then.
    pub fn split(self) -> Result<Splitting, TransportError> {
        let (copies, guest) = (self.copies, self.guest);
        self.read_on().map(|line| Splitting::new(line, copies, guest))
    }

    /// Skips what was not read.
    fn read_on(mut self) -> Result<Line, TransportError> {
        let skipped = io::copy(&mut self.bytes, &mut io::sink());
        match skipped {
            Ok(_) => Ok(self.bytes.into_inner().into_inner().line),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(TransportError::HomeGaveUp),
            Err(source) => Err(TransportError::Io {
                what: "read the payload",
                source,
            }),
        }
    }

    /// Tells home that everything is here. Bytes of the payload that were not read are skipped.
    pub fn ready(self) -> Result<Standby, TransportError> {
        let mut line = self.read_on()?;
        line.ready(&ReadyBody::default())?;
        Ok(Standby { line })
    }

    /// Tells home that it cannot be done: the name of an error class, and its text.
    pub fn failed(self, kind: &str, text: &str) -> Result<(), TransportError> {
        self.bytes.into_inner().into_inner().line.failed(kind, text)
    }
}

/// Everything is here; home decides.
#[derive(Debug)]
pub struct Standby {
    line: Line,
}

impl Standby {
    /// Waits for Commit, after which the program is here. [`TransportError::HomeGaveUp`] if home
    /// closed the channel instead: the program is there, and this process has nothing to do.
    pub fn wait_commit(mut self) -> Result<HeldSignals, TransportError> {
        self.line.committed()?;
        match self.line.relay.take() {
            Some(relay) => {
                // If the relay is gone, so are 0, 1 and 2; the program will notice like any other.
                let told = signals::without_sigpipe(|| write(&relay, COMMITTED));
                while told.is_ok() && read(&relay, &mut [0; COMMITTED.len()]) == Err(Errno::EINTR) {}
                keeper::remember(relay);
            }
            None => keeper::remember(self.line.channel.into_input()),
        }
        Ok(HeldSignals { held: self.line.held })
    }
}

/// Signals that came for the program since Commit and wait until it runs.
#[derive(Debug)]
#[must_use = "signals stay held until they are released"]
pub struct HeldSignals {
    pub(crate) held: Held,
}

impl HeldSignals {
    /// Lets them come, in this thread; to be called when the program's handlers are in place.
    pub fn release(self) {
        self.held.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::PacketError;
    use crate::handshake::preamble;
    use crate::packet;
    use std::io::Write;
    use std::os::fd::IntoRawFd;
    use std::os::unix::net::UnixStream;

    fn hello() -> Hello {
        Hello {
            build: crate::BuildIdentity {
                implementation: "test".into(),
                version: (1, 2, 3),
                cache_tag: "test-12".into(),
                platform: "linux".into(),
                machine: "any".into(),
                pyteleport: "0".into(),
            },
            host: "here".into(),
            pid: 7,
            hashes: vec![1, 2],
            options: vec!["-O".into()],
        }
    }

    /// A receiver to which home has said this, and home's end.
    fn told(bytes: &[u8]) -> (Receiver, UnixStream) {
        let (mut home, peer) = UnixStream::pair().unwrap();
        home.write_all(bytes).unwrap();
        (Receiver::from_fd(peer.into_raw_fd()).unwrap(), home)
    }

    /// All that a home says, in its order: preamble and Hello, Offer, payload, Commit.
    fn steps() -> [Vec<u8>; 4] {
        let mut opening = preamble().to_vec();
        packet::append_value(&mut opening, Kind::Hello, &hello()).unwrap();
        let (mut offer, mut commit) = (Vec::new(), Vec::new());
        let body = OfferBody {
            length: 5,
            copies: 0,
            guest: false,
        };
        packet::append_value(&mut offer, Kind::Offer, &body).unwrap();
        packet::append(&mut commit, Kind::Commit, |_| ()).unwrap();
        [opening, offer, b"bytes".to_vec(), commit]
    }

    fn receive(mut receiver: Receiver) -> Result<String, TransportError> {
        assert_eq!(receiver.hello(&hello())?, hello());
        let mut arriving = receiver.offer()?;
        let mut text = String::new();
        match arriving.read_to_string(&mut text) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            outcome => assert_eq!(outcome.unwrap(), 5),
        }
        arriving.ready()?.wait_commit()?.release();
        Ok(text)
    }

    #[test]
    fn a_program_arrives() {
        let (receiver, _home) = told(&steps().concat());
        assert_eq!(receive(receiver).unwrap(), "bytes");
    }

    #[test]
    fn wherever_home_stops_the_peer_knows_that_it_gave_up() {
        let all = steps().concat();
        for length in 0..all.len() {
            let (receiver, home) = told(&all[..length]);
            home.shutdown(std::net::Shutdown::Write).unwrap();
            let error = receive(receiver).unwrap_err();
            assert!(
                matches!(error, TransportError::HomeGaveUp),
                "after {length} bytes: {error}"
            );
        }
    }

    #[test]
    fn wherever_a_byte_is_wrong_nothing_starts_or_the_program_is_another() {
        let all = steps().concat();
        for place in 0..all.len() {
            for flip in [1u8, 0x80] {
                let mut wrong = all.clone();
                wrong[place] ^= flip;
                let (mut receiver, home) = told(&wrong);
                home.shutdown(std::net::Shutdown::Write).unwrap();
                let Ok(_) = receiver.hello(&hello()) else { continue };
                let Ok(arriving) = receiver.offer() else { continue };
                let Ok(standby) = arriving.ready() else { continue };
                match standby.wait_commit() {
                    Ok(held) => held.release(),
                    Err(TransportError::HomeGaveUp | TransportError::Packet(_)) => {}
                    Err(error) => panic!("byte {place}: {error}"),
                }
            }
        }
    }

    #[test]
    fn what_is_handed_on_goes_on_after_hello() {
        let (mut receiver, _home) = told(&steps().concat());
        receiver.hello(&hello()).unwrap();
        let mut words = Vec::new();
        let receiver = receiver.hand_on(|given| words = given).unwrap();
        std::mem::forget(receiver); // a process that is replaced closes nothing
        let mut arriving = Receiver::from_words(&words).unwrap().offer().unwrap();
        let mut bytes = Vec::new();
        arriving.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"bytes");
        arriving.ready().unwrap().wait_commit().unwrap().release();
        for wrong in [
            &["direct"][..],
            &["elsewhere", "3", "3", "-1"],
            &["direct", "-1", "-1", "-1"],
        ] {
            let wrong: Vec<String> = wrong.iter().map(|word| (*word).to_owned()).collect();
            assert!(Receiver::from_words(&wrong).is_err());
        }
    }

    #[test]
    fn bytes_of_the_payload_that_were_not_read_are_skipped() {
        let (mut receiver, _home) = told(&steps().concat());
        receiver.hello(&hello()).unwrap();
        let mut arriving = receiver.offer().unwrap();
        arriving.read_exact(&mut [0; 2]).unwrap();
        assert_eq!(arriving.payload_len(), 5);
        arriving.ready().unwrap().wait_commit().unwrap().release();
    }

    #[test]
    fn a_packet_out_of_turn_is_named() {
        let [opening, _, _, commit] = steps();
        let (receiver, _home) = told(&[opening, commit].concat());
        let error = receive(receiver).unwrap_err();
        assert!(matches!(
            error,
            TransportError::Packet(PacketError::OutOfTurn {
                found: "Commit",
                expected: "Offer"
            })
        ));
    }

    #[test]
    fn a_failure_before_hello_has_the_preamble_before_it() {
        let (receiver, mut home) = told(&[]);
        receiver.failed("ImportError", "no").unwrap();
        let mut said = Vec::new();
        home.read_to_end(&mut said).unwrap();
        let body = said.strip_prefix(&preamble()).unwrap();
        assert_eq!(body[0], Kind::Failed as u8);
    }
}
