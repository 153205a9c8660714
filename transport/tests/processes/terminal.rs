//! A terminal stays a terminal.

use crate::each_way;
use crate::run::{home, Talk};
use libtest_mimic::Trial;
use nix::fcntl::{open, OFlag};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::process::Command;

pub fn trials() -> Vec<Trial> {
    each_way![
        a_terminal_is_one_there_and_its_interrupt_comes_once,
        a_terminal_that_hangs_up_ends_the_program
    ]
}

/// A home in a session of its own on a new terminal, and the terminal's other end.
fn on_terminal(way: &str, script: &str) -> (Talk, BufReader<File>, File) {
    // Not by `openpty`: other tests start processes meanwhile, which must not inherit it.
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let options = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let slave = File::from(open(ptsname_r(&master).unwrap().as_str(), options, Mode::empty()).unwrap());

    let original = home(way, script);
    let mut command = Command::new("setsid");
    command
        .args(["--ctty", "--wait"])
        .arg(original.get_program())
        .args(original.get_args());
    command
        .stdin(slave.try_clone().unwrap())
        .stdout(slave.try_clone().unwrap())
        .stderr(slave);
    let talk = Talk::start(&mut command);
    drop(command); // and its copies of the slave
    let master = File::from(OwnedFd::from(master));
    (talk, BufReader::new(master.try_clone().unwrap()), master)
}

fn line(terminal: &mut BufReader<File>) -> String {
    let mut line = String::new();
    // EIO is how the end of a terminal reads.
    let _ = terminal.read_line(&mut line);
    line.trim_end().to_owned()
}

fn a_terminal_is_one_there_and_its_interrupt_comes_once(way: &str) {
    let script = "
        [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo terminal || echo pipes
        trap 'echo interrupt' INT
        trap 'kill $!; exit 4' TERM
        sleep 1000 & stty -echo 2>/dev/null; echo ready
        while :; do wait; done";
    let (mut talk, mut terminal, mut keys) = on_terminal(way, script);
    // A relay makes one.
    assert_eq!(line(&mut terminal), "terminal");
    assert_eq!(line(&mut terminal), "ready");
    for _ in 0..3 {
        keys.write_all(b"\x03").unwrap();
        assert!(line(&mut terminal).ends_with("interrupt"));
    }
    talk.signal("TERM");
    assert_eq!(line(&mut terminal), "");
    assert_eq!(talk.child.wait().unwrap().code(), Some(4));
}

fn a_terminal_that_hangs_up_ends_the_program(way: &str) {
    let (mut talk, mut terminal, keys) = on_terminal(way, "echo ready; exec sleep 1000");
    assert_eq!(line(&mut terminal), "ready");
    drop((terminal, keys));
    let status = talk.child.wait().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(libc::SIGHUP),
        "{status:?}"
    );
}
