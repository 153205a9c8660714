//! Every way of being a bad payload.

mod payload_parts;

use std::io::{self, Read};

use capture::payload::{PayloadError, PayloadReader, Section, FORMAT};
use payload_parts::*;

#[test]
fn other_bytes_are_not_a_payload() {
    for bytes in [
        &b""[..],
        b"\x89tport",
        b"#!/usr/bin/env python\n",
        b"\x80\x05\x95aaaaaaaaaaaaa",
        b"\x89tport\n\n\0",
    ] {
        assert!(matches!(refused(bytes), PayloadError::NotAPayload));
    }
    assert_eq!(refused(b"").to_string(), "this is not a pyteleport payload");
}

#[test]
fn another_format_is_refused_but_says_who_made_it() {
    let mut bytes = small();
    bytes[8..10].copy_from_slice(&(FORMAT + 1).to_le_bytes());
    assert!(matches!(
        refused(&bytes),
        PayloadError::Checksum {
            section: Section::Header
        }
    ));
    seal(&mut bytes);
    let mut reader = PayloadReader::open(&bytes[..], None).unwrap();
    assert_eq!((reader.header(), reader.format()), (&header(), FORMAT + 1));
    let other = FORMAT + 1;
    let words = format!(
        "the payload has format {other}, made by pyteleport 0.4.0; this version reads format {FORMAT}"
    );
    assert_eq!(reader.read_snapshot().unwrap_err().to_string(), words);
    assert!(matches!(refused(&bytes), PayloadError::Version { found, .. } if found == other));
}

#[test]
fn a_header_that_cannot_be_decoded_is_refused() {
    let mut bytes = small();
    bytes[FIXED] = 200; // the implementation's name is longer than the header
    seal(&mut bytes);
    assert!(matches!(
        refused(&bytes),
        PayloadError::Decode {
            section: Section::Header,
            ..
        }
    ));
    assert_eq!(
        refused(&bytes).to_string(),
        "the payload's header cannot be decoded"
    );
}

#[test]
fn a_payload_cut_short_anywhere_is_refused_and_says_where() {
    let bytes = small();
    let mut words = Vec::new();
    for length in 0..bytes.len() {
        let error = refused(&bytes[..length]);
        let cut_early = matches!(error, PayloadError::NotAPayload) && length < 8;
        assert!(
            cut_early || matches!(error, PayloadError::Truncated { .. }),
            "{length} {error:?}"
        );
        words.push(error.to_string());
    }
    words.dedup();
    assert_eq!(
        words[1..],
        ["header", "frames section", "buffer 0", "buffer 2", "object graph"]
            .map(|section| format!("the payload ends within its {section}"))
    );
}

#[test]
fn a_bit_changed_anywhere_is_noticed() {
    let bytes = small();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let error = refused(&changed);
            let section = match error {
                PayloadError::NotAPayload if at < 8 => continue,
                PayloadError::TooLarge { section, .. } if (10..14).contains(&at) => section,
                PayloadError::Truncated { section } | PayloadError::Checksum { section } => section,
                other => panic!("{at} {other:?}"),
            };
            let in_header = at < behind_header(&bytes);
            assert_eq!(section == Section::Header, in_header, "{at} {error:?}");
        }
    }
}

#[test]
fn damage_is_told_by_section() {
    let bytes = payload(&[b"buffer 0", b"buffer 1"], &[b"the graph"]);
    let damaged = |needle: &[u8]| {
        let mut bytes = bytes.clone();
        let at = bytes.windows(needle.len()).position(|it| it == needle).unwrap();
        bytes[at] ^= 0x20;
        refused(&bytes).to_string()
    };
    assert_eq!(damaged(b"prog.py"), "the payload's header is damaged");
    assert_eq!(damaged(b"buffer 0"), "the payload's buffer 0 is damaged");
    assert_eq!(damaged(b"buffer 1"), "the payload's buffer 1 is damaged");
    assert_eq!(damaged(b"the graph"), "the payload's object graph is damaged");
    let mut bytes = bytes;
    let frames = behind_header(&bytes) + 8;
    bytes[frames] ^= 1;
    assert_eq!(
        refused(&bytes).to_string(),
        "the payload's frames section is damaged"
    );
}

#[test]
fn damage_in_a_later_block_stops_there_and_for_good() {
    let noise = noise(2 * MIB + 9, 5);
    let mut bytes = payload(&[], &[&noise]);
    let at = bytes.len() - 9 - 8 - 1; // the last byte of the second block
    bytes[at] ^= 1;
    for step in [1000, 3 * MIB] {
        let mut reader = PayloadReader::open(&bytes[..], None).unwrap();
        reader.read_snapshot().unwrap();
        let mut graph = reader.into_graph().unwrap();
        let mut good = 0;
        let error = loop {
            match graph.read(step) {
                Ok(some) => good += some.len(),
                Err(error) => break error,
            }
        };
        assert!(good <= MIB && good + step > MIB, "{good}");
        assert!(matches!(
            error,
            PayloadError::Checksum {
                section: Section::Graph
            }
        ));
        assert!(matches!(graph.read(1), Err(PayloadError::Order { .. })));
        assert!(graph.read(1).is_err() && graph.read_into(&mut [0; 9]).is_err());
    }
}

/// A payload's beginning whose header claims these section lengths.
fn claiming(frames: u64, buffers: &[u64], graph: u64) -> Vec<u8> {
    let mut bytes = small()[..FIXED].to_vec();
    bytes = postcard::to_extend(&header(), bytes).unwrap();
    bytes = postcard::to_extend(&(frames, buffers, graph), bytes).unwrap();
    let length = (bytes.len() - FIXED) as u32;
    bytes[10..14].copy_from_slice(&length.to_le_bytes());
    bytes.extend([0; 4]);
    seal(&mut bytes);
    bytes
}

#[test]
fn lengths_are_not_believed() {
    let mut long_header = small();
    long_header[10..14].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(
        refused(&long_header),
        PayloadError::TooLarge {
            section: Section::Header,
            ..
        }
    ));

    let bytes = claiming(1 << 40, &[], 0);
    assert!(matches!(
        refused(&bytes),
        PayloadError::TooLarge {
            section: Section::Frames,
            ..
        }
    ));
    let bytes = claiming(0, &[u64::MAX], 0);
    assert!(matches!(
        refused(&bytes),
        PayloadError::TooLarge {
            section: Section::Buffer(0),
            ..
        }
    ));
    let bytes = claiming(0, &[1 << 63], 1 << 63);
    assert!(matches!(
        refused(&bytes),
        PayloadError::TooLarge {
            section: Section::Graph,
            ..
        }
    ));

    // Sane, but more than there is: said at once where the total is known, and met without
    // taking the memory where it is not.
    for bytes in [
        claiming(1 << 29, &[], 0),
        claiming(0, &[1 << 50], 0),
        claiming(0, &[], 1 << 50),
    ] {
        let found = bytes.len() as u64;
        let error = parts(&bytes, Some(found)).unwrap_err();
        assert!(
            matches!(error, PayloadError::Total { declared, .. } if declared > 1 << 29),
            "{error:?}"
        );
    }
    assert!(matches!(
        parts(&claiming(1 << 29, &[], 0), None).unwrap_err(),
        PayloadError::Truncated {
            section: Section::Frames
        }
    ));
    let mut frames = postcard::to_stdvec(&snapshot()).unwrap();
    let mut bytes = claiming(frames.len() as u64, &[], 1 << 50);
    bytes.extend((frames.len() as u32).to_le_bytes());
    bytes.extend(crc32fast::hash(&frames).to_le_bytes());
    bytes.append(&mut frames);
    assert!(matches!(
        parts(&bytes, None).unwrap_err(),
        PayloadError::Truncated {
            section: Section::Graph
        }
    ));
}

#[test]
fn a_wrong_total_is_refused() {
    let mut bytes = small();
    let right = bytes.len() as u64;
    bytes.push(0);
    let error = parts(&bytes, Some(right + 1)).unwrap_err();
    let words = format!(
        "the payload's header claims {right} bytes in all, but there are {}",
        right + 1
    );
    assert_eq!(error.to_string(), words);
}

/// A payload whose frames section is these bytes, rightly checked.
fn with_frames(frames: &[u8]) -> Vec<u8> {
    let mut bytes = claiming(frames.len() as u64, &[], 0);
    bytes.extend((frames.len() as u32).to_le_bytes());
    bytes.extend(crc32fast::hash(frames).to_le_bytes());
    bytes.extend(frames);
    bytes
}

#[test]
fn a_snapshot_that_arrives_whole_but_makes_no_sense_is_refused() {
    let mut frames = postcard::to_stdvec(&snapshot()).unwrap();
    assert!(parts(&with_frames(&frames), None).is_ok());
    let cut = refused(&with_frames(&frames[..frames.len() - 1]));
    assert!(matches!(
        cut,
        PayloadError::Decode {
            section: Section::Frames,
            ..
        }
    ));
    frames.extend([0, 0]);
    let long = refused(&with_frames(&frames));
    assert_eq!(
        long.to_string(),
        "the payload's frames section has 2 bytes too many"
    );
    // A count of frames beyond all memory.
    let many = refused(&with_frames(&[
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
    ]));
    assert!(matches!(
        many,
        PayloadError::Decode {
            section: Section::Frames,
            ..
        }
    ));
}

#[test]
fn a_source_that_fails_or_dribbles_is_no_surprise() {
    struct Dribble<'a>(&'a [u8]);
    impl Read for Dribble<'_> {
        fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else {
                return Err(io::Error::other("the line went dead"));
            };
            self.0 = rest;
            place[0] = *first;
            Ok(1)
        }
    }
    let bytes = small();
    let mut reader = PayloadReader::open(Dribble(&bytes), None).unwrap();
    assert_eq!(reader.read_snapshot().unwrap(), snapshot());
    let mut reader = PayloadReader::open(Dribble(&bytes[..behind_header(&bytes) + 2]), None).unwrap();
    let error = reader.read_snapshot().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the payload's frames section could not be read"
    );
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "the line went dead"
    );
    // Once it failed, nothing is read on as if nothing had been.
    assert!(matches!(reader.read_snapshot(), Err(PayloadError::Order { .. })));
    assert!(matches!(reader.into_graph(), Err(PayloadError::Order { .. })));
}

#[test]
fn random_bytes_are_refused() {
    let good = small();
    let end = behind_header(&good) - 4;
    for seed in 1..6000 {
        let random = noise(seed as usize % 300, seed);
        refused(&random);
        let mut framed = good[..FIXED].to_vec();
        framed.extend(&random);
        refused(&framed);
        // A header of random bytes with the right checksum: as far as decoding goes.
        let mut framed = good[..8].to_vec();
        framed.extend(FORMAT.to_le_bytes());
        framed.extend((random.len() as u32).to_le_bytes());
        framed.extend(&random);
        framed.extend([0; 4]);
        seal(&mut framed);
        refused(&framed);
        // Section lengths of random bytes behind a good header.
        let lengths = postcard::to_stdvec(&header()).unwrap().len();
        let mut framed = good[..FIXED + lengths].to_vec();
        framed.extend(&random);
        let length = (framed.len() - FIXED) as u32;
        framed[10..14].copy_from_slice(&length.to_le_bytes());
        framed.extend([0; 4]);
        seal(&mut framed);
        framed.extend(&good[end + 4..]);
        let _ = parts(&framed, None);
        let _ = parts(&framed, Some(framed.len() as u64));
        // A snapshot of random bytes with the right checksum.
        let _ = parts(&with_frames(&random), None);
    }
}
