//! Waiting that can be interrupted, and that serves the side streams meanwhile.

use crate::error::ChannelError;
use crate::side::SideStreams;
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// How long a wait sleeps before it asks `interrupted()` without having been woken. A signal can
/// arrive just before the sleep, or on another thread, and would otherwise wait with us.
const SLICE_MS: u16 = 100;

/// What a wait does besides waiting.
pub(crate) struct Wait<'a> {
    pub side: Option<&'a mut SideStreams>,
    interrupted: &'a mut dyn FnMut() -> bool,
    asked: Instant,
}

impl<'a> Wait<'a> {
    pub(crate) fn new(interrupted: &'a mut dyn FnMut() -> bool) -> Wait<'a> {
        Wait {
            side: None,
            interrupted,
            asked: Instant::now(),
        }
    }

    pub(crate) fn beside(side: &'a mut SideStreams, interrupted: &'a mut dyn FnMut() -> bool) -> Wait<'a> {
        Wait {
            side: Some(side),
            interrupted,
            asked: Instant::now(),
        }
    }
    /// Waits until one of the descriptors is ready or a slice of time is over; returns what each
    /// is ready for.
    pub(crate) fn once<const N: usize>(
        &mut self,
        wanted: [(BorrowedFd<'_>, PollFlags); N],
    ) -> Result<[PollFlags; N], ChannelError> {
        let side: &[_] = match &self.side {
            Some(side) => &side.streams,
            None => &[],
        };
        let mut polled: Vec<PollFd> = wanted
            .iter()
            .map(|(fd, flags)| PollFd::new(*fd, *flags))
            .collect();
        polled.extend(
            side.iter()
                .map(|stream| PollFd::new(stream.descriptor(), PollFlags::POLLIN)),
        );
        let outcome = poll(&mut polled, PollTimeout::from(SLICE_MS));
        let ready: Vec<PollFlags> = polled
            .iter()
            .map(|fd| fd.revents().unwrap_or(PollFlags::empty()))
            .collect();
        match outcome {
            Ok(0) | Err(Errno::EINTR) => {
                self.ask()?;
                return Ok([PollFlags::empty(); N]);
            }
            Ok(_) => {}
            Err(errno) => return Err(ChannelError::Io(errno.into())),
        }
        if let Some(side) = &mut self.side {
            side.serve(&ready[N..]);
        }
        let mut result = [PollFlags::empty(); N];
        result.copy_from_slice(&ready[..N]);
        Ok(result)
    }

    /// Waits until one of the descriptors is ready.
    pub(crate) fn until<const N: usize>(
        &mut self,
        wanted: [(BorrowedFd<'_>, PollFlags); N],
    ) -> Result<[PollFlags; N], ChannelError> {
        loop {
            let ready = self.once(wanted)?;
            if ready.iter().any(|flags| !flags.is_empty()) {
                return Ok(ready);
            }
        }
    }

    /// Asks if it has not been asked lately: for work that never has to wait.
    pub(crate) fn ask_now_and_then(&mut self) -> Result<(), ChannelError> {
        match self.asked.elapsed() > Duration::from_millis(SLICE_MS.into()) {
            true => self.ask(),
            false => Ok(()),
        }
    }

    /// Whether to give up.
    pub(crate) fn ask(&mut self) -> Result<(), ChannelError> {
        self.asked = Instant::now();
        match (self.interrupted)() {
            true => Err(ChannelError::Interrupted),
            false => Ok(()),
        }
    }
}
