//! Terminals: a program behind a relay has one there if it has one here.
//!
//! ```text
//!  home's terminal ── keys ──▶ pump ── Data ──▶ relay ──▶ the program's terminal
//!   (raw by now)   ◀─ bytes ──      ◀─ Data ──        ◀── (echo, ^C, ^Z, lines: all there)
//! ```
//!
//! The relay leads the session of that terminal and the program is its foreground group, so it can be stopped and
//! goes on as under a shell, and is told when the connection breaks.

use crate::fd::{duplicate, duplicate_standard};
use crate::signals;
use nix::pty::{openpty, Winsize};
use nix::sys::termios::{cfmakeraw, tcgetattr, tcsetattr, SetArg, Termios};
use nix::unistd::{getpgrp, getpid, getsid, isatty, setpgid, setsid, tcgetpgrp, tcsetpgrp, Pid};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, OwnedFd};

/// Rows, columns, and pixels across and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Size {
    numbers: [u16; 4],
}

impl Size {
    fn of(terminal: impl AsFd) -> nix::Result<Size> {
        let size = signals::window_size(terminal.as_fd())?;
        Ok(Size {
            numbers: [size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel],
        })
    }

    fn window(self) -> Winsize {
        let [ws_row, ws_col, ws_xpixel, ws_ypixel] = self.numbers;
        Winsize {
            ws_row,
            ws_col,
            ws_xpixel,
            ws_ypixel,
        }
    }
}

/// That home has a terminal, on standard input and output at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HasTerminal {
    size: Size,
    /// On standard error, too.
    errors: bool,
}

impl HasTerminal {
    /// Of this process.
    pub(crate) fn here() -> Option<HasTerminal> {
        let [input, output, errors] = [0, 1, 2].map(|number| {
            duplicate_standard(number)
                .ok()
                .filter(|fd| isatty(fd).unwrap_or(false))
        });
        let (input, _) = (input?, output?);
        Some(HasTerminal {
            size: Size::of(&input).ok()?,
            errors: errors.is_some(),
        })
    }

    /// As a word of a command.
    pub(crate) fn word(self) -> String {
        let [rows, columns, across, down] = self.size.numbers;
        format!("{rows},{columns},{across},{down},{}", u8::from(self.errors))
    }

    /// From such a word.
    pub fn of_word(word: &str) -> Option<HasTerminal> {
        let numbers: Option<Vec<u16>> = word.split(',').map(|number| number.parse().ok()).collect();
        match numbers?.as_slice() {
            &[rows, columns, across, down, errors @ 0..=1] => Some(HasTerminal {
                size: Size {
                    numbers: [rows, columns, across, down],
                },
                errors: errors == 1,
            }),
            _ => None,
        }
    }
}

/// A terminal that was made for a program.
#[derive(Debug)]
pub(crate) struct Made {
    /// Our side of it.
    pub ours: OwnedFd,
    /// The program's.
    pub theirs: OwnedFd,
    /// Whether standard error is on it, too.
    pub errors: bool,
    /// Whether this process leads its session.
    leads: bool,
}

impl Made {
    /// To be called before the process forks.
    pub(crate) fn new(home: HasTerminal) -> nix::Result<Made> {
        let pair = openpty(&home.size.window(), None)?;
        let (ours, theirs) = (duplicate(&pair.master)?, duplicate(&pair.slave)?);
        drop(pair);
        // It may lead one already; if that has a terminal, as under `ssh -t`, the program gets one of its own.
        let _ = setsid();
        let leads = getsid(None) == Ok(getpid()) && signals::take_terminal(theirs.as_fd()).is_ok();
        Ok(Made {
            ours,
            theirs,
            errors: home.errors,
            leads,
        })
    }

    /// In the process that forked: the other is what is typed to.
    pub(crate) fn give_to(&self, child: Pid) {
        if self.leads {
            // Whichever of the two comes first; the child may have ended.
            let _ = setpgid(child, child);
            let _ = tcsetpgrp(&self.theirs, child);
        }
    }

    /// In the process that was forked.
    pub(crate) fn take(&self) -> nix::Result<()> {
        if self.leads {
            let own = Pid::from_raw(0);
            return setpgid(own, own);
        }
        setsid()?;
        signals::take_terminal(self.theirs.as_fd())
    }
}

/// Sets the size of a terminal, by our side of it; the program is told.
pub(crate) fn resize(ours: &OwnedFd, size: Size) {
    let _ = signals::set_window_size(ours.as_fd(), &size.window());
}

/// Home's terminal, while the program has another.
#[derive(Debug)]
pub(crate) struct Kept {
    fd: OwnedFd,
    /// How it was set before, while it is raw.
    before: Option<Termios>,
}

impl Kept {
    /// That on standard input.
    pub(crate) fn new() -> nix::Result<Kept> {
        let fd = duplicate_standard(0)?;
        Ok(Kept { fd, before: None })
    }

    fn in_foreground(&self) -> bool {
        tcgetpgrp(&self.fd).is_ok_and(|group| group == getpgrp())
    }

    /// Has it pass on whatever is typed, once this process is in the foreground.
    pub(crate) fn pass_on(&mut self) {
        if self.before.is_some() || !self.in_foreground() {
            return;
        }
        if let Ok(before) = tcgetattr(&self.fd) {
            let mut raw = before.clone();
            cfmakeraw(&mut raw);
            if tcsetattr(&self.fd, SetArg::TCSADRAIN, &raw).is_ok() {
                self.before = Some(before);
            }
        }
    }

    /// Sets it as it was.
    pub(crate) fn put_back(&mut self) {
        let in_foreground = self.in_foreground();
        if let Some(before) = self.before.take().filter(|_| in_foreground) {
            let _ = tcsetattr(&self.fd, SetArg::TCSADRAIN, &before);
        }
    }

    pub(crate) fn size(&self) -> Option<Size> {
        Size::of(&self.fd).ok()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.put_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_by_a_word() {
        let home = HasTerminal {
            size: Size {
                numbers: [24, 80, 0, 65535],
            },
            errors: true,
        };
        assert_eq!(home.word(), "24,80,0,65535,1");
        assert_eq!(HasTerminal::of_word(&home.word()), Some(home));
        for wrong in [
            "",
            "1,2,3,4",
            "1,2,3,4,2",
            "1,2,3,4,1,0",
            "-1,2,3,4,1",
            "65536,2,3,4,1",
        ] {
            assert_eq!(HasTerminal::of_word(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_terminal_has_the_size_that_it_is_set_to() {
        let pair = openpty(None, None).unwrap();
        let size = Size {
            numbers: [31, 97, 1, 2],
        };
        resize(&pair.master, size);
        assert_eq!(Size::of(&pair.slave), Ok(size));
    }
}
