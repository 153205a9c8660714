//! Warm peers: processes that a server of this user has started before anybody asked (`serve.py`).
//!
//! ```text
//!  home                       server                        spare
//!   │ ── what it has to be ────▶ │ ◀────── what it is ─────── │
//!   │ ◀── its pid, a pidfd ───── │                            │
//!   │                            │ ── the socket to home ───▶ │   in home's process group from here on
//!   │ ◀═════════════════ as any peer ═══════════════════════▶ │
//!   │ ◀── how it ended ───────── │ ◀────────── ends ───────── │
//! ```
//!
//! What a spare is: everything that a child of home would have had from home by fork and exec, and that
//! does not come with the program. It is compared as a text; nothing that differs is made up for.

use crate::channel::Channel;
use crate::error::TransportError;
use crate::fd;
use crate::spawn::{Child, Ending};
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{
    connect, getsockopt, recvmsg, socket, sockopt, AddressFamily, ControlMessageOwned, MsgFlags, SockFlag,
    SockType, UnixAddr,
};
use nix::unistd::{geteuid, getpgid, getpgrp, getsid, setpgid, write, Pid};
use std::ffi::{OsStr, OsString};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a server may take to answer, and to say how a process ended that has.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a server is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Ask {
    /// A spare, now.
    Spare = b's',
    /// To start one; it answers when there is one, or cannot be.
    Prepare = b'p',
}

/// What a spare has to be, and how one is started.
#[derive(Debug)]
pub struct Wanted {
    /// What its own [`situation`] has to be, with what the interpreter adds.
    pub key: Vec<u8>,
    /// The words of the command, in which `{fd}` stands for its line to the server.
    pub argv: Vec<OsString>,
    /// Its environment.
    pub env: Vec<(OsString, OsString)>,
}

impl Wanted {
    fn bytes(&self, ask: Ask) -> Vec<u8> {
        let mut out = vec![ask as u8];
        let mut part = |bytes: &[u8]| {
            out.extend((bytes.len() as u32).to_le_bytes());
            out.extend(bytes);
        };
        part(&self.key);
        part(&(self.argv.len() as u32).to_le_bytes());
        for word in &self.argv {
            part(word.as_bytes());
        }
        for (name, value) in &self.env {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        let mut all = (out.len() as u32).to_le_bytes().to_vec();
        all.extend(out);
        all
    }
}

/// A spare that is ours now.
#[derive(Debug)]
pub(crate) struct Spare {
    pub child: Child,
    pub channel: Channel,
}

/// Where the server listens that processes of this session ask which have these in common: in the folder that the
/// session has for such things, or one of this user in `/tmp`.
pub fn path_for(what: &[&OsStr]) -> PathBuf {
    if let Some(path) = std::env::var_os("PYTELEPORT_SOCKET").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    let folder = match runtime {
        Some(folder) => Path::new(&folder).join("pyteleport"),
        None => format!("/tmp/pyteleport-{}.run", geteuid()).into(),
    };
    // FNV-1a: a name has to be short.
    let bytes = what.iter().flat_map(|part| part.as_bytes().iter().chain(&[0]));
    let number = bytes.fold(0xcbf2_9ce4_8422_2325, |number: u64, byte| {
        (number ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let session = getsid(None).map_or(0, Pid::as_raw);
    folder.join(format!("{session}-{number:016x}"))
}

/// Takes a spare of the server that listens at `path`, if there is one that fits.
pub(crate) fn take(path: &Path, wanted: &Wanted) -> Option<Spare> {
    let server = reach(path)?;
    write_all(&server, &wanted.bytes(Ask::Spare)).ok()?;
    let (answer, mut attached) = receive(&server, PATIENCE).ok()?;
    let (b'y', Some(status)) = (answer[0], attached.pop()) else {
        return None;
    };
    let pid = Pid::from_raw(i32::from_le_bytes(answer[1..].try_into().ok()?));
    let process = fd::open_process(pid).ok()?;
    let channel = Channel::over_socket(server);
    channel.set_nonblocking().ok()?;
    Some(Spare {
        child: Child::foreign(pid, process, status),
        channel,
    })
}

/// Has the server start one, and waits for that; whether there is one then.
pub fn prepare(path: &Path, wanted: &Wanted, patience: Duration) -> bool {
    let Some(server) = reach(path) else { return false };
    write_all(&server, &wanted.bytes(Ask::Prepare)).is_ok()
        && receive(&server, patience).is_ok_and(|(answer, _)| answer[0] == b'y')
}

/// Connects to a server of this user.
fn reach(path: &Path) -> Option<OwnedFd> {
    let address = UnixAddr::new(path).ok()?;
    let server = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .ok()?;
    connect(server.as_raw_fd(), &address).ok()?;
    let server = fd::duplicate(server).ok()?;
    let whose = getsockopt(&server, sockopt::PeerCredentials).ok()?;
    (whose.uid() == geteuid().as_raw()).then_some(server)
}

fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> nix::Result<()> {
    crate::signals::without_sigpipe(|| {
        while !bytes.is_empty() {
            match write(to, bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    })
}

/// Five bytes, and what is attached.
fn receive(from: &OwnedFd, patience: Duration) -> nix::Result<([u8; 5], Vec<OwnedFd>)> {
    await_readable(from.as_fd(), patience)?;
    let mut answer = [0; 5];
    let mut space = nix::cmsg_space!([RawFd; 2]);
    let mut blocks = [IoSliceMut::new(&mut answer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_WAITALL;
    let message = recvmsg::<()>(from.as_raw_fd(), &mut blocks, Some(&mut space), flags)?;
    let mut attached = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            attached.extend(numbers.into_iter().map(fd::claim));
        }
    }
    match message.bytes {
        5 => Ok((answer, attached)),
        _ => Err(Errno::ECONNRESET),
    }
}

fn await_readable(fd: BorrowedFd<'_>, patience: Duration) -> nix::Result<()> {
    let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout)? {
        0 => Err(Errno::ETIMEDOUT),
        _ => Ok(()),
    }
}

/// Whether a process that was opened has ended.
pub(crate) fn is_over(process: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// How a process has ended that is none of our children, as its server says.
pub(crate) fn ending_of(status: &OwnedFd) -> Option<Ending> {
    let (answer, _) = receive(status, PATIENCE).ok()?;
    let number = i32::from_le_bytes(answer[1..].try_into().ok()?);
    match answer[0] {
        b'c' => Some(Ending::Code(number)),
        b's' => Some(Ending::Signal(number)),
        _ => None,
    }
}

/// In a spare: waits for a home, and joins its process group. None if the server has ended first.
pub fn await_home(server: RawFd, key: &[u8]) -> Result<Option<OwnedFd>, TransportError> {
    let failed = TransportError::io("wait for a program");
    let waits = || {
        let server = fd::inherited(server)?;
        write_all(&server, &(key.len() as u32).to_le_bytes())?;
        write_all(&server, key)?;
        let attached = loop {
            match receive(&server, Duration::MAX) {
                Err(Errno::EINTR | Errno::ETIMEDOUT) => {}
                received => break received?.1,
            }
        };
        let Some(home) = attached.into_iter().next() else {
            return Ok(None);
        };
        let process = getsockopt(&home, sockopt::PeerCredentials)?;
        let group = getpgid(Some(Pid::from_raw(process.pid())))?;
        if group != getpgrp() {
            setpgid(Pid::from_raw(0), group)?;
        }
        fd::duplicate_above(&home, fd::HIGH).or(Ok(home)).map(Some)
    };
    match waits() {
        // The server has ended.
        Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(None),
        waited => waited.map_err(failed),
    }
}

/// What a process has from who started it, and a program does not take along.
///
/// None if there is more of it than can be said: descriptors that it would hand on to a child.
pub fn situation() -> Option<Vec<u8>> {
    if hands_on_descriptors()? {
        return None;
    }
    let mut out = Vec::new();
    let mut part = |name: &str, value: &[u8]| {
        out.extend(name.as_bytes());
        out.push(b'=');
        out.extend(value);
        out.push(b'\n');
    };
    for link in [
        "exe",
        "root",
        "ns/cgroup",
        "ns/ipc",
        "ns/mnt",
        "ns/net",
        "ns/pid",
        "ns/user",
        "ns/uts",
    ] {
        let target = std::fs::read_link(format!("/proc/self/{link}"));
        part(
            link,
            target
                .map_or_else(|_| Vec::new(), |target| target.as_os_str().as_bytes().to_vec())
                .as_slice(),
        );
    }
    for file in [
        "cgroup",
        "limits",
        "oom_score_adj",
        "timerslack_ns",
        "personality",
    ] {
        part(
            file,
            &std::fs::read(format!("/proc/self/{file}")).unwrap_or_default(),
        );
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    for line in status.lines() {
        let name = line.split(':').next().unwrap_or("");
        if STATUS.contains(&name) {
            part("status", line.as_bytes());
        }
    }
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Counted from the state, which is the third: nice, real-time priority, policy.
    for at in [16, 37, 38] {
        part("schedule", fields.get(at)?.as_bytes());
    }
    part("session", getsid(None).ok()?.to_string().as_bytes());
    for (name, value) in sorted_environment() {
        part(&name.to_string_lossy(), value.as_bytes());
    }
    Some(out)
}

/// Lines of `/proc/self/status` that a child has from its parent.
const STATUS: [&str; 12] = [
    "Uid",
    "Gid",
    "Groups",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Cpus_allowed",
    "Mems_allowed",
];

/// Variables that decide how an interpreter starts, and of which its later value decides nothing.
fn sorted_environment() -> Vec<(OsString, OsString)> {
    const BEGINNINGS: [&str; 7] = [
        "PYTHON",
        "LC_",
        "LANG",
        "LD_",
        "MALLOC_",
        "GLIBC_",
        "PYTELEPORT_LOG",
    ];
    let mut found: Vec<_> = std::env::vars_os()
        .filter(|(name, _)| {
            let name = name.as_bytes();
            BEGINNINGS.iter().any(|begin| name.starts_with(begin.as_bytes())) && name != b"PYTHONHASHSEED"
        })
        .collect();
    found.sort();
    found
}

/// Whether a child would have descriptors beside the standard ones.
fn hands_on_descriptors() -> Option<bool> {
    for entry in std::fs::read_dir("/proc/self/fd").ok()? {
        let number: RawFd = entry.ok()?.file_name().to_str()?.parse().ok()?;
        if number > 2 && fd::is_handed_on(number) {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    fn wanted() -> Wanted {
        Wanted {
            key: b"key".to_vec(),
            argv: vec!["python".into(), "{fd}".into()],
            env: vec![("A".into(), "".into())],
        }
    }

    #[test]
    fn a_request_has_its_parts_by_their_lengths() {
        let bytes = wanted().bytes(Ask::Spare);
        let parts: [&[u8]; 7] = [
            b"s\x03\0\0\0key",
            b"\x04\0\0\0\x02\0\0\0",
            b"\x06\0\0\0python",
            b"\x04\0\0\0{fd}",
            b"\x01\0\0\0A",
            b"\0\0\0\0",
            b"",
        ];
        let expected = parts.concat();
        assert_eq!(bytes[..4], (expected.len() as u32).to_le_bytes());
        assert_eq!(bytes[4..], expected);
    }

    #[test]
    fn a_server_that_has_none_or_says_nonsense_gives_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert!(take(&path, &wanted()).is_none());
        let listening = UnixListener::bind(&path).unwrap();
        for answer in [&b"n\0\0\0\0"[..], b"y\x01\0\0\0", b"y", b"?????", b""] {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut home, _) = listening.accept().unwrap();
                    let mut length = [0; 4];
                    home.read_exact(&mut length).unwrap();
                    let mut request = vec![0; u32::from_le_bytes(length) as usize];
                    home.read_exact(&mut request).unwrap();
                    home.write_all(answer).unwrap();
                });
                assert!(take(&path, &wanted()).is_none(), "{answer:?}");
            });
        }
    }

    #[test]
    fn a_situation_is_the_same_as_long_as_nothing_changes() {
        let (Some(one), Some(other)) = (situation(), situation()) else {
            return; // whoever runs the tests has handed descriptors down
        };
        assert_eq!(String::from_utf8_lossy(&one), String::from_utf8_lossy(&other));
    }
}
