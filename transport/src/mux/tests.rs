use super::*;
use crate::fd::{pipe, socket_pair};
use nix::unistd::{read, write};
use std::os::fd::OwnedFd;

/// A mux with one stream to the other end, and one from it.
struct End {
    mux: Mux,
    /// Where the test writes what the mux reads, and the other way round.
    feed: OwnedFd,
    drain: Option<OwnedFd>,
}

fn ends() -> [End; 2] {
    let (one, other) = socket_pair().unwrap();
    [(one, 0, 1), (other, 1, 0)].map(|(socket, source, sink)| {
        let input = crate::fd::duplicate(&socket).unwrap();
        let mut mux = Mux::new(Port::own(input).unwrap(), Port::own(socket).unwrap());
        let (reading, feed) = pipe().unwrap();
        let (drain, writing) = pipe().unwrap();
        for end in [&feed, &drain] {
            crate::fd::set_nonblocking(end).unwrap();
        }
        mux.add_source(source, Some(Port::own(reading).unwrap()));
        mux.add_sink(sink, Some(Port::own(writing).unwrap()));
        End {
            mux,
            feed,
            drain: Some(drain),
        }
    })
}

/// Runs both until neither has anything to do.
fn settle(ends: &mut [End; 2]) {
    loop {
        let mut quiet = true;
        for end in ends.iter_mut() {
            let ready = poll_all(&end.mux.wanted(), PollTimeout::ZERO);
            quiet &= ready.is_empty();
            for (at, flags) in ready {
                end.mux.serve(at, flags).unwrap();
            }
        }
        if quiet {
            return;
        }
    }
}

fn fill(end: &End) -> usize {
    let mut length = 0;
    while let Ok(written) = write(&end.feed, &[7; 4096]) {
        length += written;
    }
    length
}

fn take(end: &End) -> usize {
    let (mut length, mut block) = (0, [0; 4096]);
    while let Ok(taken @ 1..) = read(end.drain.as_ref().unwrap(), &mut block) {
        length += taken;
    }
    length
}

#[test]
fn a_stream_that_nobody_reads_stops_at_its_source_and_holds_up_nothing() {
    let mut ends = ends();
    let mut written = 0;
    loop {
        let more = fill(&ends[0]);
        written += more;
        settle(&mut ends);
        if more == 0 {
            break;
        }
    }
    assert!(ends[1].mux.sinks[0].pending.bytes.capacity() <= 4 * WINDOW);
    assert!(ends[0].mux.unsent.left().is_empty());

    let signal = SignalBody {
        name: "SIGINT".into(),
        group: None,
    };
    ends[0].mux.send_signal(&signal);
    ends[1].mux.send_exit(&ExitBody::Code(3));
    write(&ends[1].feed, b"other way").unwrap();
    settle(&mut ends);
    assert_eq!(ends[1].mux.event(), Some(Event::Signal(signal)));
    assert_eq!(ends[0].mux.event(), Some(Event::Exit(ExitBody::Code(3))));
    assert_eq!(take(&ends[0]), 9);

    let mut taken = 0;
    loop {
        let more = take(&ends[1]);
        taken += more;
        settle(&mut ends);
        if more == 0 {
            break;
        }
    }
    assert_eq!(taken, written);
}

#[test]
fn a_question_is_answered_and_the_lease_counts_from_it() {
    let mut ends = ends();
    settle(&mut ends);
    let before = Moment::now();
    let long_ago = Moment::default();
    ends[1].mux.keep_asking(Asking::since(long_ago));
    let lease = Asking::since(long_ago).lease();
    ends[1].mux.ask();
    assert_eq!(ends[1].mux.will_ask(), None);
    assert_eq!(ends[1].mux.lease_end(), Some(long_ago.after(lease)));
    settle(&mut ends);
    assert!(ends[0].mux.was_asked() >= Some(before));
    assert!(ends[1].mux.lease_end() >= Some(before.after(lease)));
    assert!(ends[1].mux.will_ask().is_some_and(|next| next.away().is_some()));

    ends[1].mux.close_output();
    assert_eq!((ends[1].mux.will_ask(), ends[1].mux.lease_end()), (None, None));
}

#[test]
fn ends_and_closings_are_passed_on() {
    let mut ends = ends();
    write(&ends[0].feed, b"last").unwrap();
    ends[0].feed = pipe().unwrap().1;
    settle(&mut ends);
    assert_eq!(take(&ends[1]), 4);
    assert_eq!(read(ends[1].drain.as_ref().unwrap(), &mut [0]), Ok(0));
    assert!(ends[0].mux.is_read() && ends[1].mux.is_written());

    ends[0].drain = None;
    settle(&mut ends);
    assert!(ends[1].mux.is_read());
}

#[test]
fn the_end_of_the_channel_is_an_event_whatever_was_cut_off() {
    let mut ends = ends();
    let whole = {
        let mut bytes = Vec::new();
        packet::append_value(&mut bytes, Kind::Exit, &ExitBody::Code(1)).unwrap();
        bytes
    };
    ends[0].mux.unsent.bytes.extend(&whole[..whole.len() - 1]);
    settle(&mut ends);
    let [first, mut second] = ends;
    drop(first);
    while second.mux.input.is_some() {
        second.mux.serve(At::Input, PollFlags::POLLIN).unwrap();
    }
    assert_eq!(second.mux.event(), Some(Event::Gone));
}

#[test]
fn an_end_that_breaks_the_rules_is_refused() {
    let mut over = Vec::new();
    for _ in 0..=WINDOW / STREAM_BLOCK {
        let body = [&[0][..], &[0; STREAM_BLOCK]].concat();
        packet::append(&mut over, Kind::Data, |out| out.extend(body)).unwrap();
    }
    let one = |kind, body: &[u8]| {
        let mut bytes = Vec::new();
        packet::append(&mut bytes, kind, |out| out.extend(body)).unwrap();
        bytes
    };
    for (bytes, what) in [
        (over, "no credit"),
        (one(Kind::Data, &[]), "no stream"),
        (one(Kind::Data, &[9, 1]), "unknown stream"),
        (one(Kind::Data, &[1, 1]), "a stream that goes the other way"),
        (one(Kind::Credit, &[1, 0, 0]), "half a number"),
        (one(Kind::Exit, &[9]), "no ending"),
        (one(Kind::Commit, &[]), "out of turn"),
        (vec![0; HEADER], "no kind"),
    ] {
        let [mut liar, mut end] = ends();
        liar.mux.unsent.bytes.extend(bytes);
        let mut outcome = Ok(());
        while outcome.is_ok() {
            liar.mux.write_channel();
            // Never written out, so no credit is ever given back.
            outcome = end.mux.serve(At::Input, PollFlags::POLLIN);
        }
        assert!(outcome.is_err(), "{what}");
    }
}
