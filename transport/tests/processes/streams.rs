//! Standard input, output and error of a moved program, byte for byte and in time.

use crate::run::{finish, home, Talk};
use crate::{each, each_way};
use libtest_mimic::Trial;
use std::io::{Read, Write};
use std::process::Stdio;

pub fn trials() -> Vec<Trial> {
    let mut trials = each_way![
        bytes_pass_both_ways_unchanged,
        both_outputs_are_whole,
        lines_come_in_time,
        the_end_of_input_is_seen_and_output_goes_on,
        a_program_whose_output_nobody_reads_ends_by_sigpipe,
        a_writer_whose_reader_the_program_closed_is_told,
        an_output_that_the_program_closes_is_at_its_end,
        closed_descriptors_are_closed_there,
        what_a_process_left_behind_holds_open_is_not_waited_for,
    ];
    trials.extend(each![the_pump_is_small_whatever_passes]);
    trials
}

/// Bytes without a pattern that a wrong block size would hide.
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let step = |_| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..length).map(step).collect()
}

fn bytes_pass_both_ways_unchanged(way: &str) {
    let input = bytes(3_000_001);
    let outcome = finish(&mut home(way, "cat"), &input);
    assert!(
        outcome.stdout == input,
        "{} bytes, {}",
        outcome.stdout.len(),
        outcome.stderr
    );
    assert_eq!(outcome.ending(), 0);
}

fn both_outputs_are_whole(way: &str) {
    let script = "head -c 2000000 /dev/zero | tr '\\0' e >&2 & head -c 2000000 /dev/zero | tr '\\0' o; wait";
    let outcome = finish(&mut home(way, script), b"");
    assert_eq!(outcome.stdout, vec![b'o'; 2_000_000]);
    assert_eq!(outcome.stderr, "e".repeat(2_000_000));
}

fn lines_come_in_time(way: &str) {
    let mut talk = Talk::start(&mut home(
        way,
        "while read line; do echo \"<$line>\"; done; echo end; exit 3",
    ));
    for number in 0..100 {
        writeln!(talk.stdin.as_mut().unwrap(), "{number}").unwrap();
        assert_eq!(talk.line(), format!("<{number}>"));
    }
    let outcome = talk.finish();
    assert_eq!((outcome.text(), outcome.ending()), ("end\n", 3));
}

fn the_end_of_input_is_seen_and_output_goes_on(way: &str) {
    let outcome = finish(&mut home(way, "wc -c; echo after"), &[b'x'; 100_000]);
    assert_eq!(
        outcome.text().split_whitespace().collect::<Vec<_>>(),
        ["100000", "after"]
    );
}

fn a_program_whose_output_nobody_reads_ends_by_sigpipe(way: &str) {
    let mut talk = Talk::start(&mut home(way, "exec yes"));
    assert_eq!(talk.line(), "y");
    talk.stdout = None;
    assert_eq!(talk.finish().ending(), -libc::SIGPIPE);
}

fn a_writer_whose_reader_the_program_closed_is_told(way: &str) {
    let mut talk = Talk::start(&mut home(way, "exec 0<&-; echo closed; exec sleep 1000"));
    assert_eq!(talk.line(), "closed");
    let block = vec![0; 1 << 20];
    let mut stdin = talk.stdin.take().unwrap();
    let error = (0..100).find_map(|_| stdin.write_all(&block).err()).unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    talk.signal("TERM");
    assert_eq!(talk.finish().ending(), -libc::SIGTERM);
}

fn an_output_that_the_program_closes_is_at_its_end(way: &str) {
    if way == "own" {
        return; // home keeps it, for what the command may still print
    }
    let mut talk = Talk::start(&mut home(way, "echo last; exec >&-; exec sleep 1000"));
    assert_eq!(talk.line(), "last");
    assert_eq!(talk.stdout.as_mut().unwrap().read(&mut [0]).unwrap(), 0);
    talk.signal("TERM");
    assert_eq!(talk.finish().ending(), -libc::SIGTERM);
}

fn closed_descriptors_are_closed_there(way: &str) {
    // Started by a shell with 0 and 1 closed.
    let script =
        "if read line; then echo input >&2; else echo none >&2; fi; echo x || echo closed >&2; exit 5";
    let this = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "exec \"$0\" actor home \"$1\" \"$2\" <&- >&-"])
        .arg(this)
        .args([way, script]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let outcome = finish(&mut command, b"");
    assert_eq!(outcome.ending(), 5, "{outcome:?}");
    assert!(outcome.stderr.contains("none"), "{outcome:?}");
    assert_eq!(outcome.text(), "");
}

fn what_a_process_left_behind_holds_open_is_not_waited_for(way: &str) {
    if way != "stdio" {
        return; // there it holds home's own, and nobody could tell
    }
    let mut talk = Talk::start(&mut home(way, "sleep 1000 & echo $!; exit 6"));
    let left: u32 = talk.line().parse().unwrap();
    assert_eq!(talk.finish().ending(), 6);
    crate::run::signal(left, "KILL");
}

fn the_pump_is_small_whatever_passes() {
    let mut talk = Talk::start(&mut home(
        "stdio",
        "head -c 50000000 /dev/zero; echo; echo done; read line",
    ));
    let mut block = vec![0; 1 << 16];
    let mut left = 50_000_001;
    while left > 0 {
        let length = block.len().min(left);
        left -= talk.stdout.as_mut().unwrap().read(&mut block[..length]).unwrap();
    }
    assert_eq!(talk.line(), "done");
    let status = std::fs::read_to_string(format!("/proc/{}/status", talk.child.id())).unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    let kilobytes: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kilobytes < 20_000, "{peak}");
    assert_eq!(talk.finish().ending(), 1);
}
