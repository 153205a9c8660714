//! Home's end of a program that runs elsewhere as a guest and comes back: home waits for what it sends.
//!
//! ```text
//!  home                      what carries for it            the guest
//!    │  ◀── bytes of its payload ──────────────────────────────  │   then it ends
//!    │  ◀── exit 0 code 0 ───────  │   once all that it wrote has come out
//!    ╵
//! ```
//!
//! What it sends counts once it has ended: there are never two. Before that it may send messages, each behind its
//! length, which are heard at once.

use crate::caught::Caught;
use crate::error::TransportError;
use crate::packet::ExitBody;
use crate::signals;
use crate::spawn::Ending;
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{send, MsgFlags};
use nix::unistd::{read, write};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

/// Begins a message, before its length in eight bytes; anything else begins the payload.
const MESSAGE: u8 = 1;

/// How much is before a message.
const HEAD: usize = 9;

/// How much is read at once.
const BLOCK: usize = 256 << 10;

/// How a guest has ended, and what it sent before.
#[derive(Debug)]
pub struct Returned {
    /// All that it sent, which may be cut off if it did not end by itself.
    pub payload: Vec<u8>,
    /// Its end; none if the way to it broke.
    pub ending: Option<Ending>,
    /// The signal that ended it, if it came through here, and would have ended home.
    pub ended_by: Option<i32>,
}

/// The lines to a guest, and what has come on them and is not used yet.
#[derive(Debug)]
pub struct Lines {
    control: OwnedFd,
    talk: OwnedFd,
    come: Vec<u8>,
    said: Vec<u8>,
}

impl Lines {
    /// Takes the line to what carries for it, and that to the guest itself.
    pub fn new(control: OwnedFd, talk: OwnedFd) -> Lines {
        let (come, said) = (Vec::new(), Vec::new());
        Lines {
            control,
            talk,
            come,
            said,
        }
    }

    /// Tells the guest something, behind its length in eight bytes. If it has ended, the next wait says so.
    pub fn tell(&self, message: &[u8]) {
        let _ = send_all(
            self.talk.as_raw_fd(),
            &(message.len() as u64).to_le_bytes(),
            message,
        );
    }
}

/// What a wait has come to.
#[derive(Debug)]
pub enum Waited {
    /// The guest has told something that home goes on at, and waits itself.
    Paused(Lines),
    /// It has ended.
    Returned(Returned),
}

/// A process that is going to wait for a guest: from here on signals are for that, and timers stand.
#[derive(Debug)]
pub struct Waiting {
    caught: Caught,
}

impl Waiting {
    /// Begins, before the guest is told to go on. Dropping it lets signals that came come again.
    pub fn new() -> Result<Waiting, TransportError> {
        let caught = Caught::new().map_err(TransportError::io("catch signals"))?;
        signals::stop_timers();
        Ok(Waiting { caught })
    }

    /// Waits until the guest has ended and all that it has written has come out, or until what hears its messages
    /// says of one that this is enough. Signals for the program are passed on meanwhile.
    pub fn wait(self, lines: Lines, hear: impl FnMut(&[u8]) -> bool) -> Result<Waited, TransportError> {
        wait(&self.caught, lines, hear)
    }
}

fn wait(
    caught: &Caught,
    mut lines: Lines,
    mut hear: impl FnMut(&[u8]) -> bool,
) -> Result<Waited, TransportError> {
    let failed = TransportError::io("wait for the program to come back");
    let mut passed_on = Vec::new();
    let (mut control_open, mut talk_open) = (true, true);
    while control_open || talk_open {
        let mut wanted = vec![PollFd::new(caught.descriptor().as_fd(), PollFlags::POLLIN)];
        if control_open {
            wanted.push(PollFd::new(lines.control.as_fd(), PollFlags::POLLIN));
        }
        if talk_open {
            wanted.push(PollFd::new(lines.talk.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut wanted, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let ready: Vec<bool> = wanted.iter().map(|fd| fd.any() == Some(true)).collect();
        let talk_ready = talk_open && ready.last() == Some(&true);
        if control_open && ready.get(1) == Some(&true) {
            control_open = take(&lines.control, &mut lines.said);
        }
        if talk_ready {
            talk_open = take(&lines.talk, &mut lines.come);
            while let Some(message) = take_message(&mut lines.come) {
                if hear(&message) {
                    return Ok(Waited::Paused(lines));
                }
            }
        }
        while let Some(signal) = caught.next() {
            let from = if signal.from_terminal { " terminal" } else { "" };
            let line = format!("signal 0 {}{from}\n", signals::name(signal.number));
            // If nobody is there to hear it, the guest has ended.
            let _ = signals::without_sigpipe(|| write(&lines.control, line.as_bytes()));
            passed_on.push(signal.number);
        }
    }
    let ending = ending_of(&lines.said);
    let ended_by = match ending {
        Some(Ending::Signal(number)) if passed_on.contains(&number) && caught.would_end(number) => {
            Some(number)
        }
        _ => None,
    };
    Ok(Waited::Returned(Returned {
        payload: lines.come,
        ending,
        ended_by,
    }))
}

/// The message that what has come begins with, taken out of it, once all of it is there.
fn take_message(come: &mut Vec<u8>) -> Option<Vec<u8>> {
    let head = come.first_chunk::<HEAD>().filter(|head| head[0] == MESSAGE)?;
    let length = u64::from_le_bytes(head.last_chunk().copied()?);
    let end = HEAD.checked_add(usize::try_from(length).ok()?)?;
    if come.len() < end {
        return None;
    }
    let rest = come.split_off(end);
    let mut message = std::mem::replace(come, rest);
    message.drain(..HEAD);
    Some(message)
}

/// In a guest: sends home a message, all of it, whatever signals come meanwhile.
pub fn tell(line: RawFd, message: &[u8]) -> io::Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock();
    let mut head = [MESSAGE; HEAD];
    head[1..].copy_from_slice(&(message.len() as u64).to_le_bytes());
    Ok(send_all(line, &head, message)?)
}

fn send_all(line: RawFd, head: &[u8], message: &[u8]) -> nix::Result<()> {
    let whole = [head, message].concat();
    let mut rest = &whole[..];
    while !rest.is_empty() {
        match send(line, rest, MsgFlags::MSG_NOSIGNAL) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Takes what there is; whether more may come.
fn take(from: &OwnedFd, into: &mut Vec<u8>) -> bool {
    let before = into.len();
    into.resize(before + BLOCK, 0);
    let read = read(from, &mut into[before..]);
    into.truncate(before + *read.as_ref().unwrap_or(&0));
    match read {
        Ok(0) => false,
        Ok(_) => true,
        Err(errno) => matches!(errno, Errno::EINTR | Errno::EAGAIN),
    }
}

/// How the guest has ended, by the words of what carries for it.
fn ending_of(said: &[u8]) -> Option<Ending> {
    let text = String::from_utf8_lossy(said);
    let words: Vec<&str> = text.lines().next()?.split_whitespace().collect();
    let ending = match words.as_slice() {
        ["exit", _, "code", code] => ExitBody::Code(code.parse().ok()?),
        ["exit", _, "signal", name] => ExitBody::Signal((*name).to_owned()),
        _ => return None,
    };
    match ending {
        ExitBody::Code(code) => Some(Ending::Code(code)),
        ExitBody::Signal(name) => signals::number(&name).map(Ending::Signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_was_said_tells_the_ending() {
        assert!(matches!(ending_of(b"exit 0 code 3\n"), Some(Ending::Code(3))));
        let killed = ending_of(b"exit 0 signal SIGKILL\n");
        assert!(matches!(killed, Some(Ending::Signal(libc::SIGKILL))));
        assert!(ending_of(b"lost 0\n").is_none() && ending_of(b"").is_none());
    }

    #[test]
    fn what_a_guest_sends_is_whole_once_both_lines_have_ended() {
        let _alone = crate::caught::ALONE.lock();
        let (control, mut carrier) = UnixStream::pair().unwrap();
        let (talk, mut guest) = UnixStream::pair().unwrap();
        let sender = std::thread::spawn(move || {
            for _ in 0..10 {
                guest.write_all(&[7; 100_000]).unwrap();
            }
            drop(guest);
            carrier.write_all(b"exit 0 code 0\n").unwrap();
        });
        let waiting = Waiting::new().unwrap();
        let waited = waiting.wait(Lines::new(control.into(), talk.into()), |_| unreachable!());
        let Ok(Waited::Returned(returned)) = waited else {
            unreachable!()
        };
        sender.join().unwrap();
        assert_eq!(returned.payload.len(), 1_000_000);
        assert!(matches!(returned.ending, Some(Ending::Code(0))) && returned.ended_by.is_none());
    }

    #[test]
    fn messages_are_heard_before_the_payload_and_home_may_go_on_meanwhile() {
        let _alone = crate::caught::ALONE.lock();
        let (control, mut carrier) = UnixStream::pair().unwrap();
        let (talk, mut guest) = UnixStream::pair().unwrap();
        let sender = std::thread::spawn(move || {
            tell(guest.as_raw_fd(), b"hello").unwrap();
            tell(guest.as_raw_fd(), &[3; 300_000]).unwrap();
            tell(guest.as_raw_fd(), b"").unwrap();
            let mut told = [0; 11];
            guest.read_exact(&mut told).unwrap();
            guest.write_all(&[0, 1, 1, 1]).unwrap();
            drop(guest);
            carrier.write_all(b"exit 0 code 0\n").unwrap();
            told
        });
        let mut messages = Vec::new();
        let lines = Lines::new(control.into(), talk.into());
        let waited = Waiting::new().unwrap().wait(lines, |message| {
            messages.push(message.to_vec());
            message.is_empty()
        });
        let Ok(Waited::Paused(lines)) = waited else {
            unreachable!()
        };
        lines.tell(b"on!");
        let waited = Waiting::new().unwrap().wait(lines, |_| unreachable!());
        let Ok(Waited::Returned(returned)) = waited else {
            unreachable!()
        };
        assert_eq!(sender.join().unwrap(), *b"\x03\0\0\0\0\0\0\0on!");
        assert_eq!(returned.payload, [0, 1, 1, 1]);
        assert_eq!(messages, [b"hello".to_vec(), vec![3; 300_000], Vec::new()]);
    }
}
