//! Descriptors: made above 0, 1 and 2, closed on exec unless they are meant to go on.

use nix::errno::Errno;
use nix::fcntl::{fcntl, open, FcntlArg, FdFlag, OFlag};
use nix::sys::socket::{setsockopt, socketpair, sockopt, AddressFamily, SockFlag, SockType};
use nix::sys::stat::{fstat, FileStat, Mode, SFlag};
use nix::unistd::{pipe2, Pid};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// What a socket or pipe may hold; enough to keep both ends busy with large blocks.
const BUFFER: usize = 1 << 20;

/// Two connected sockets, closed on exec.
pub(crate) fn socket_pair() -> nix::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    for end in [&ours, &theirs] {
        // Beyond the system's limit where this is permitted, else up to it: only speed is at stake.
        if setsockopt(end, sockopt::SndBufForce, &BUFFER).is_err() {
            let _ = setsockopt(end, sockopt::SndBuf, &BUFFER);
        }
    }
    Ok((above_stdio(ours)?, above_stdio(theirs)?))
}

/// A pipe (reading end, writing end), closed on exec.
pub(crate) fn pipe() -> nix::Result<(OwnedFd, OwnedFd)> {
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC)?;
    Ok((above_stdio(reading)?, above_stdio(writing)?))
}

/// Lets a pipe hold more. Refused over the user's quota, and then it stays as it was.
pub(crate) fn widen(pipe: &OwnedFd) {
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(BUFFER as i32));
}

/// A process may be started with 0, 1 or 2 closed; what is opened then must not take their place.
fn above_stdio(fd: OwnedFd) -> nix::Result<OwnedFd> {
    match fd.as_raw_fd() > 2 {
        true => Ok(fd),
        false => duplicate(&fd),
    }
}

/// A copy above 2 that is closed on exec.
pub(crate) fn duplicate(fd: impl AsFd) -> nix::Result<OwnedFd> {
    duplicate_above(fd, 3)
}

/// A copy at `lowest` or above that is closed on exec.
pub(crate) fn duplicate_above(fd: impl AsFd, lowest: RawFd) -> nix::Result<OwnedFd> {
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(lowest))?;
    Ok(claim(copy))
}

/// A copy of the socket with this inode, if that is what the number means.
pub(crate) fn copy_of_socket(number: RawFd, expected: u64) -> Option<OwnedFd> {
    if number < 0 {
        return None;
    }
    // SAFETY: the number is not -1, and the borrow ends with this function, in which nothing
    // closes a descriptor. If it is not open the system calls fail with EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    let fits = is_socket(fd) && inode(fd).is_ok_and(|inode| inode == expected);
    fits.then(|| duplicate(fd).ok()).flatten()
}

/// A copy of standard descriptor `number`, or EBADF if it is closed.
pub(crate) fn duplicate_standard(number: RawFd) -> nix::Result<OwnedFd> {
    duplicate(standard(number))
}

/// `/dev/null`.
pub(crate) fn nothing() -> nix::Result<OwnedFd> {
    open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
}

/// Standard descriptor 0, 1 or 2, open or not.
pub(crate) fn standard(number: RawFd) -> BorrowedFd<'static> {
    assert!((0..=2).contains(&number));
    // SAFETY: the number is not -1, and nothing in this crate or in the standard library closes 0, 1
    // or 2, so what is behind it only changes by dup2; if the process was started with it closed, a
    // system call on it fails with EBADF.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Takes over a descriptor that this process was given by number, if it is open.
///
/// The number must come from whoever made this process, for this purpose: nothing else in it may
/// use or close that descriptor afterwards.
pub(crate) fn inherited(number: RawFd) -> nix::Result<OwnedFd> {
    if number < 0 {
        return Err(Errno::EBADF);
    }
    let fd = claim(number);
    if let Err(errno) = keep_on_exec(&fd, false) {
        std::mem::forget(fd); // not open, so not ours to close
        return Err(errno);
    }
    Ok(fd)
}

/// The descriptor of that number as a value that closes it.
pub(crate) fn claim(number: RawFd) -> OwnedFd {
    // SAFETY: callers pass a number that the kernel has just returned to them and that they keep
    // nowhere else (`duplicate`, received with a packet), or one that `inherited` was told is this
    // process's to use; in both cases nobody else closes it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Chooses whether a descriptor lives on through exec.
pub(crate) fn keep_on_exec(fd: impl AsFd, keep: bool) -> nix::Result<()> {
    let flags = if keep { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
    fcntl(fd, FcntlArg::F_SETFD(flags)).map(drop)
}

/// Makes reads and writes return at once. For descriptors whose description nobody else uses.
pub(crate) fn set_nonblocking(fd: impl AsFd) -> nix::Result<()> {
    let fd = fd.as_fd();
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}

/// Takes a lock (`flock(2)`), or gives EAGAIN where another has one that is in the way and `options` has
/// `LOCK_NB`.
pub(crate) fn lock(fd: impl AsFd, options: libc::c_int) -> nix::Result<()> {
    // SAFETY: `flock` has no memory effects.
    Errno::result(unsafe { libc::flock(fd.as_fd().as_raw_fd(), options) }).map(drop)
}

/// A process as something to poll, readable once that has ended (`pidfd_open(2)`).
pub(crate) fn open_process(process: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: `pidfd_open` has no memory effects; what it returns is a new descriptor, closed on exec.
    let number = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, process.as_raw(), 0) })?;
    above_stdio(claim(number as RawFd))
}

/// Sends a signal to a process that was opened.
pub(crate) fn send_signal(process: &OwnedFd, number: libc::c_int) {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: without information about the signal it has no memory effects.
    unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            number,
            no_info,
            0,
        )
    };
}

/// The number, here, of a process that was opened, from `/proc/self/fdinfo`.
pub(crate) fn number_of_process(process: &OwnedFd) -> Option<Pid> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd())).ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok().map(Pid::from_raw)
}

/// Whether a child would have this descriptor too.
pub(crate) fn is_handed_on(number: RawFd) -> bool {
    if number < 0 {
        return false;
    }
    // SAFETY: the number is not -1, and the borrow ends with this function, in which nothing closes a
    // descriptor. If it is not open the system call fails with EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(fd, FcntlArg::F_GETFD)
        .is_ok_and(|flags| !FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC))
}

/// Where descriptors of ours are put in a process of the program, so that its own files get the numbers that
/// they would have.
pub(crate) const HIGH: RawFd = 500;

/// Whether it is a socket.
pub(crate) fn is_socket(fd: impl AsFd) -> bool {
    fstat(fd).is_ok_and(|stat| file_type(&stat) == SFlag::S_IFSOCK)
}

/// The number that the kernel gave to this socket, the same in every process that has it.
pub(crate) fn inode(fd: impl AsFd) -> nix::Result<u64> {
    Ok(fstat(fd)?.st_ino)
}

fn file_type(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}
