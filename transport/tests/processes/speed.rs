//! Large payloads: no second copy at either end, at the speed of memory.

use crate::each;
use crate::run::{finish, home};
use libtest_mimic::Trial;
use std::time::Instant;

pub fn trials() -> Vec<Trial> {
    let mut trials = each![a_large_payload_arrives_without_being_held];
    // `cargo test --release -- --ignored --nocapture` says how fast.
    trials.extend(
        each![a_gigabyte_arrives]
            .into_iter()
            .map(|trial| trial.with_ignored_flag(true)),
    );
    trials
}

fn a_large_payload_arrives_without_being_held() {
    large(64);
}

fn a_gigabyte_arrives() {
    large(1024);
}

fn large(megabytes: u64) {
    for way in ["direct", "stdio"] {
        let script = "grep VmHWM /proc/$PPID/status";
        let start = Instant::now();
        let outcome = finish(home(way, script).env("MEGABYTES", megabytes.to_string()), b"");
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(outcome.ending(), 0, "{outcome:?}");
        // The parent is home, or the relay: it has seen the payload pass, or nothing.
        let kilobytes: u64 = outcome.text().split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(kilobytes < 20_000, "{outcome:?}");
        println!(
            "{way}: {megabytes} MB in {seconds:.2} s, {:.2} GB/s",
            megabytes as f64 / 1024.0 / seconds
        );
    }
}
