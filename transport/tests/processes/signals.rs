//! Signals and ends: whoever started home cannot tell that the program is elsewhere.

use crate::each_way;
use crate::run::{finish, home, Talk};
use libtest_mimic::Trial;
use std::io::Write;
use std::process::Command;

pub fn trials() -> Vec<Trial> {
    each_way![
        exit_statuses_are_the_programs,
        a_signal_that_ends_the_program_ends_home,
        signals_reach_the_program,
        signals_reach_a_program_that_reads_nothing,
        a_signal_between_commit_and_pump_is_not_lost,
        home_ignoring_its_children_changes_nothing,
        the_program_starts_with_the_signals_it_would_have_had,
    ]
}

fn exit_statuses_are_the_programs(way: &str) {
    for status in [0, 1, 2, 127, 130, 255] {
        let outcome = finish(
            &mut home(way, &format!("echo out; echo err >&2; exit {status}")),
            b"",
        );
        assert_eq!(outcome.ending(), status);
        assert_eq!((outcome.text(), outcome.stderr.as_str()), ("out\n", "err\n"));
    }
}

fn a_signal_that_ends_the_program_ends_home(way: &str) {
    for number in [1, 2, 3, 6, 9, 11, 13, 15, 10, 34, 40, 64] {
        let outcome = finish(&mut home(way, &format!("echo out; kill -{number} $$")), b"");
        assert_eq!(outcome.ending(), -number, "{outcome:?}");
        assert_eq!(outcome.text(), "out\n");
        assert_eq!(outcome.stderr, "");
    }
}

/// The program that names its signals, as a script.
fn listener() -> String {
    let this = transport::command::quote_word(std::env::current_exe().unwrap().as_os_str());
    format!("exec {} actor listener", this.to_str().unwrap())
}

fn signals_reach_the_program(way: &str) {
    let mut talk = Talk::start(&mut home(way, &listener()));
    assert_eq!(talk.line(), "ready");
    for name in [
        "USR1", "HUP", "INT", "QUIT", "USR2", "ALRM", "VTALRM", "PROF", "IO", "WINCH",
    ] {
        talk.signal(name);
        assert_eq!(talk.line(), name);
    }
    talk.signal("TERM");
    let outcome = talk.finish();
    assert_eq!((outcome.text(), outcome.ending()), ("TERM\n", 4));
}

fn signals_reach_a_program_that_reads_nothing(way: &str) {
    let mut talk = Talk::start(&mut home(way, &listener()));
    assert_eq!(talk.line(), "ready");
    let mut stdin = talk.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&vec![0; 10 << 20]));
    talk.signal("USR1");
    assert_eq!(talk.line(), "USR1");
    talk.signal("TERM");
    assert_eq!(talk.finish().ending(), 4);
    assert!(writer.join().unwrap().is_err());
}

fn a_signal_between_commit_and_pump_is_not_lost(way: &str) {
    let outcome = finish(home(way, "exec sleep 1000").env("RAISE", "yes"), b"");
    assert_eq!(outcome.ending(), -libc::SIGUSR1, "{outcome:?}");
}

fn home_ignoring_its_children_changes_nothing(way: &str) {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new("bash");
    command
        .args(["-c", "trap '' CHLD; exec \"$0\" actor home \"$1\" 'exit 9'"])
        .arg(this)
        .arg(way);
    command.stdin(std::process::Stdio::piped());
    assert_eq!(finish(&mut command, b"").ending(), 9);
}

fn the_program_starts_with_the_signals_it_would_have_had(way: &str) {
    let script = "exec grep -E 'SigBlk|SigIgn' /proc/self/status";
    let straight = Command::new("sh").args(["-c", script]).output().unwrap();
    let outcome = finish(&mut home(way, script), b"");
    assert_eq!(outcome.stdout, straight.stdout, "{outcome:?}");
}
