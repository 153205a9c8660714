//! Either end killed at every step: the program is at home or at the peer, and never both.

use crate::each_way;
use crate::run::{finish, home, signal, Outcome, Talk};
use libtest_mimic::Trial;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;

pub fn trials() -> Vec<Trial> {
    each_way![
        a_peer_killed_before_commit_leaves_the_program_at_home,
        a_peer_killed_after_commit_ends_home_and_nothing_runs_twice,
        a_peer_is_gone_when_home_is_killed_before_commit,
        a_peer_is_gone_when_home_gives_up,
        an_interrupted_wait_gives_up,
        a_peer_that_prints_more_than_a_pipe_holds_goes_on,
        a_program_is_told_when_home_is_killed,
        a_relay_killed_under_its_program_is_told_at_home,
    ]
}

/// A pipe that processes hold open while they are there.
struct Alive {
    folder: tempfile::TempDir,
}

impl Alive {
    fn new() -> Alive {
        let alive = Alive {
            folder: tempfile::tempdir().unwrap(),
        };
        mkfifo(&alive.path(), Mode::S_IRWXU).unwrap();
        alive
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("alive")
    }

    /// Returns when somebody has had it open and nobody has any more; what was written to it.
    fn wait_until_gone(&self) -> String {
        let mut text = String::new();
        File::open(self.path())
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }
}

fn a_peer_killed_before_commit_leaves_the_program_at_home(way: &str) {
    for step in ["start", "split", "hello", "offer", "half", "decoded"] {
        let outcome = finish(
            home(way, "echo moved").env("DIE_AT", step).env("MEGABYTES", "4"),
            b"",
        );
        let refusal = outcome.refusal();
        let expected = if ["start", "split"].contains(&step) {
            "EndedEarly"
        } else {
            "Vanished"
        };
        assert!(
            refusal.ends_with(&format!("kind: {expected}\n")),
            "{step}: {outcome:?}"
        );
        assert!(
            refusal.contains("SIGKILL") || refusal.contains("exit status 137"),
            "{step}: {outcome:?}"
        );
        assert!(!outcome.text().contains("moved"), "{step}: {outcome:?}");
    }
}

fn a_peer_killed_after_commit_ends_home_and_nothing_runs_twice(way: &str) {
    // Killed when it has said Ready it may or may not die before home says Commit: the program
    // is at home, or lost with the peer, but never at both.
    for step in ["ready", "commit"] {
        let outcome = finish(home(way, "echo moved").env("DIE_AT", step), b"");
        assert!(!outcome.text().contains("moved"), "{step}: {outcome:?}");
        match outcome.ending() {
            crate::actors::AT_HOME => assert!(outcome.refusal().contains("kind: Vanished"), "{outcome:?}"),
            // As the program ended; or, of a relay that never became one, its status.
            -9 | 255 => assert!(!outcome.text().contains("at home"), "{outcome:?}"),
            other => panic!("{other}: {outcome:?}"),
        }
    }
    let outcome = finish(home(way, "echo moved").env("DIE_AT", "commit"), b"");
    assert_eq!(outcome.ending(), -9, "{outcome:?}");
}

fn a_peer_is_gone_when_home_is_killed_before_commit(way: &str) {
    for step in ["start", "hello", "payload", "ready"] {
        let alive = Alive::new();
        let mut command = home(way, "echo moved");
        command
            .env("HOME_DIES_AT", step)
            .env("ALIVE", alive.path())
            .env("MEGABYTES", "4");
        let talk = Talk::start(&mut command);
        alive.wait_until_gone();
        let outcome = talk.finish();
        assert_eq!(
            (outcome.ending(), outcome.text()),
            (-9, ""),
            "{step}: {outcome:?}"
        );
    }
}

fn a_peer_is_gone_when_home_gives_up(way: &str) {
    let alive = Alive::new();
    let talk = Talk::start(
        home(way, "echo moved")
            .env("REFUSE", "no")
            .env("ALIVE", alive.path()),
    );
    alive.wait_until_gone();
    assert!(talk.finish().refusal().starts_with("at home: no\n"));
}

fn an_interrupted_wait_gives_up(way: &str) {
    // A peer that never answers.
    let mut command = home(way, "echo moved");
    command.env("INTERRUPT", "yes");
    match way {
        "direct" => command.env("ARGV", "sh|-c|exec sleep 1000"),
        _ => command.env("PYTHON", "exec sleep 1000 #"),
    };
    let folder = tempfile::tempdir().unwrap();
    command.env("PEER_PID", folder.path().join("pid"));
    let outcome: Outcome = finish(&mut command, b"");
    assert!(
        outcome.refusal().starts_with("at home: interrupted\n"),
        "{outcome:?}"
    );
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    assert!(!Command::new("kill")
        .args(["-0", &pid])
        .output()
        .unwrap()
        .status
        .success());
}

fn a_peer_that_prints_more_than_a_pipe_holds_goes_on(way: &str) {
    let outcome = finish(home(way, "echo moved").env("CHATTY", "yes"), b"");
    assert_eq!(outcome.ending(), 0);
    // Behind a relay it is known what belongs to the program.
    let printed = if way == "stdio" {
        &outcome.stderr
    } else {
        outcome.text().strip_suffix("moved\n").unwrap()
    };
    assert_eq!(printed.len(), 4 << 20);
    assert!(outcome.text().ends_with("moved\n"));
}

fn a_program_is_told_when_home_is_killed(way: &str) {
    if way == "direct" {
        return; // nothing is between them that could tell
    }
    let alive = Alive::new();
    let script = "trap 'echo told >\"$ALIVE\"; kill $!; exit' HUP; sleep 1000 & echo ready; wait";
    let mut command = home(way, script);
    // The peer itself does not open it: only the program does, at its end.
    command.env("ALIVE", alive.path()).env("HOLD", "no");
    let mut talk = Talk::start(&mut command);
    assert_eq!(talk.line(), "ready");
    signal(talk.child.id(), "KILL");
    assert_eq!(alive.wait_until_gone(), "told\n");
    talk.child.wait().unwrap();
}

fn a_relay_killed_under_its_program_is_told_at_home(way: &str) {
    if way == "direct" {
        return; // there is none
    }
    let mut talk = Talk::start(&mut home(way, "echo $$ $PPID; exec sleep 1000"));
    let line = talk.line();
    let (program, relay) = line.split_once(' ').unwrap();
    signal(relay.parse().unwrap(), "KILL");
    signal(program.parse().unwrap(), "KILL");
    let outcome = talk.finish();
    assert_eq!(outcome.ending(), 255, "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("pyteleport: the peer went away, and the program with it"),
        "{outcome:?}"
    );
}
