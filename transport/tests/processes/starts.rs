//! Peers that never say Hello, or not the right one: one clear error each, and the program goes on.

use crate::run::{finish, home};
use crate::{each, each_way};
use libtest_mimic::Trial;
use std::os::unix::fs::PermissionsExt;
use transport::handshake::PROTOCOL;

pub fn trials() -> Vec<Trial> {
    let mut trials = each![
        a_missing_python_is_named,
        a_missing_package_says_to_install_it,
        a_refused_connection_has_the_words_of_ssh,
        a_program_that_is_not_there_is_named,
        a_shell_that_fails_has_its_status_and_its_last_words,
        something_else_that_answers_is_quoted,
        another_version_of_the_protocol_is_named,
        a_kind_of_packet_that_is_none_is_refused,
        noise_before_the_peer_is_passed_on_whole,
        noise_of_a_local_shell_is_passed_on,
        variables_are_set_and_unset_for_a_direct_peer,
    ];
    trials.extend(each_way![
        a_peer_that_fails_before_hello_says_why,
        a_peer_that_does_not_fit_is_refused,
        a_failing_peer_says_why,
        a_bad_source_is_an_error
    ]);
    trials
}

fn a_missing_python_is_named() {
    let outcome = finish(home("own", "").env("PYTHON", "no-such-python"), b"");
    assert!(
        outcome
            .refusal()
            .contains("there is no `no-such-python` at the far end"),
        "{outcome:?}"
    );
    assert!(outcome.refusal().contains("not found"), "{outcome:?}");
    assert!(outcome.stderr.contains("not found"), "{outcome:?}");
}

fn a_missing_package_says_to_install_it() {
    let python = "sh -c 'echo /usr/bin/python: No module named pyteleport >&2; exit 1' python";
    let outcome = finish(home("stdio", "").env("PYTHON", python), b"");
    assert!(
        outcome.refusal().contains("-m pip install pyteleport"),
        "{outcome:?}"
    );
}

fn a_refused_connection_has_the_words_of_ssh() {
    let folder = tempfile::tempdir().unwrap();
    let ssh = folder.path().join("ssh");
    std::fs::write(
        &ssh,
        "#!/bin/sh\necho 'ssh: connect to host nowhere port 22: Connection refused' >&2\nexit 255\n",
    )
    .unwrap();
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let outcome = finish(
        home("stdio", "").env("ARGV", format!("{}|nowhere", ssh.display())),
        b"",
    );
    assert!(
        outcome
            .refusal()
            .contains("could not connect (exit status 255): ssh: connect to host"),
        "{outcome:?}"
    );
    assert!(outcome.refusal().contains("kind: Unreachable"), "{outcome:?}");
}

fn a_program_that_is_not_there_is_named() {
    for way in ["direct", "stdio"] {
        let outcome = finish(home(way, "").env("ARGV", "no-such-program|x"), b"");
        assert!(
            outcome
                .refusal()
                .contains("`no-such-program` could not be started <- No such file"),
            "{outcome:?}"
        );
    }
}

fn a_shell_that_fails_has_its_status_and_its_last_words() {
    let outcome = finish(home("own", "").env("BEFORE", "echo the reason >&2; exit 3"), b"");
    let text = "the peer ended before it said Hello (exit status 3): the reason";
    assert!(outcome.refusal().contains(text), "{outcome:?}");
    assert_eq!(outcome.stderr, "the reason\n");
}

fn garbage(text: &str) -> String {
    let this = std::env::current_exe().unwrap();
    format!("{}|actor|garbage|{{fd}}|{text}", this.display())
}

fn something_else_that_answers_is_quoted() {
    let outcome = finish(
        home("direct", "").env("ARGV", garbage("HTTP/1.1 400 Bad Request")),
        b"",
    );
    assert!(
        outcome
            .refusal()
            .contains("not pyteleport: its first bytes are HTTP/1.1 400 Bad"),
        "{outcome:?}"
    );
}

/// A preamble of this version of the protocol, as `printf` takes it.
fn preamble(version: u16) -> String {
    let [low, high] = version.to_le_bytes();
    format!(r"\000\377pyteleport\r\n\{low:03o}\{high:03o}")
}

fn another_version_of_the_protocol_is_named() {
    let outcome = finish(
        home("direct", "").env("ARGV", garbage(&preamble(PROTOCOL + 1))),
        b"",
    );
    assert!(
        outcome.refusal().contains(&format!(
            "speaks version {} of the protocol, this one {PROTOCOL}",
            PROTOCOL + 1
        )),
        "{outcome:?}"
    );
}

fn a_kind_of_packet_that_is_none_is_refused() {
    for (bytes, reason) in [
        (r"\000\001\000\000\000x", "there is no packet kind 0"),
        (
            r"\004\000\000\000\000",
            "a Ready packet where Hello or Failed was due",
        ),
        (
            r"\001\377\377\377\377",
            "a Hello packet of 4294967295 bytes; 65536 is the most",
        ),
        (
            r"\001\003\000\000\000abc",
            "a Hello packet with a body that cannot be read",
        ),
        (r"\001\003\000\000\000a", "the channel ended inside a packet"),
        (r"\001\003\000", "the channel ended inside a packet"),
    ] {
        let outcome = finish(
            home("direct", "").env("ARGV", garbage(&format!("{}{bytes}", preamble(PROTOCOL)))),
            b"",
        );
        assert!(outcome.refusal().contains(reason), "{reason}: {outcome:?}");
    }
}

fn noise_before_the_peer_is_passed_on_whole() {
    let noise = "Welcome\r\n\u{1b}[1m*** not pyteleport\r\n ***\u{ff}";
    let outcome = finish(home("stdio", "printf moved").env("NOISE", noise), b"");
    assert_eq!(outcome.text(), format!("{noise}moved"));
    assert_eq!(outcome.ending(), 0);
}

fn noise_of_a_local_shell_is_passed_on() {
    let outcome = finish(
        home("own", "printf moved").env("BEFORE", "echo banner; echo warning >&2;"),
        b"",
    );
    assert_eq!(
        (outcome.text(), outcome.stderr.as_str()),
        ("banner\nmoved", "warning\n")
    );
}

fn variables_are_set_and_unset_for_a_direct_peer() {
    let outcome = finish(
        home("direct", "echo $ADDED ${REMOVED-none} $KEPT")
            .env("REMOVED", "x")
            .env("KEPT", "y"),
        b"",
    );
    assert_eq!(outcome.text(), "by home none y\n");
}

fn a_peer_that_does_not_fit_is_refused(way: &str) {
    let outcome = finish(home(way, "echo moved").env("REFUSE", "another release"), b"");
    assert_eq!(outcome.refusal(), "at home: another release\nkind: Misfit\n");
}

fn a_failing_peer_says_why(way: &str) {
    // Also while home is still sending, to a peer that reads no more.
    for megabytes in ["0", "16"] {
        let text = "no module named numpy, là-bas";
        let outcome = finish(
            home(way, "echo moved")
                .env("FAIL", text)
                .env("MEGABYTES", megabytes),
            b"",
        );
        assert_eq!(outcome.refusal(), format!("at home: {text}\nkind: PeerFailed\n"));
    }
}

fn a_peer_that_fails_before_hello_says_why(way: &str) {
    let outcome = finish(home(way, "echo moved").env("FAIL_FIRST", "another layout"), b"");
    assert_eq!(outcome.refusal(), "at home: another layout\nkind: PeerFailed\n");
}

fn a_bad_source_is_an_error(way: &str) {
    for (how, reason) in [
        ("long", "not as long as it said"),
        ("short", "not as long"),
        ("broken", "the source broke"),
    ] {
        let outcome = finish(home(way, "echo moved").env("PAYLOAD", how), b"");
        assert!(
            outcome
                .refusal()
                .starts_with("at home: the payload could not be sent <- "),
            "{outcome:?}"
        );
        assert!(outcome.refusal().contains(reason), "{how}: {outcome:?}");
    }
}
