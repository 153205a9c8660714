//! A snapshot into bytes and back.

mod payload_parts;

use std::io::{self, Cursor, Write};

use capture::payload::{PayloadError, PayloadReader, PayloadWriter, Section, Start};
use payload_parts::*;

#[test]
fn what_goes_in_comes_out() {
    let bytes = small();
    for total in [None, Some(bytes.len() as u64)] {
        let (head, snap, buffers, graph) = parts(&bytes, total).unwrap();
        assert_eq!((head, snap), (header(), snapshot()));
        assert_eq!(buffers, [&b"first"[..], b"", b"third buffer"]);
        assert_eq!(graph, b"\x80\x05a graphin pieces.");
    }
    let (_, _, buffers, graph) = parts(&payload(&[], &[]), None).unwrap();
    assert!(buffers.is_empty() && graph.is_empty());
}

#[test]
fn sections_of_every_size_around_a_block_come_out() {
    for length in [1, MIB - 1, MIB, MIB + 1, 3 * MIB, 3 * MIB + 5] {
        let noise = noise(length, 7);
        let bytes = payload(&[&noise, b"x"], &[&noise[..length / 2], &noise[length / 2..]]);
        let (_, _, buffers, graph) = parts(&bytes, Some(bytes.len() as u64)).unwrap();
        assert!(buffers[0] == noise && graph == noise, "{length}");
    }
}

#[test]
fn a_payload_can_be_written_again() {
    let writer = PayloadWriter::new(
        &header(),
        &Start::default(),
        &snapshot(),
        vec![b"buffer"],
        vec![b"graph"],
    )
    .unwrap();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    writer.write_to(&mut first).unwrap();
    writer.write_to(&mut second).unwrap();
    assert_eq!(first, second);
}

#[test]
fn big_parts_are_written_from_where_they_are() {
    struct Spy(Vec<(usize, usize)>);
    impl Write for Spy {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push((bytes.as_ptr() as usize, bytes.len()));
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let noise = noise(3 * MIB, 3);
    let writer = PayloadWriter::new(&header(), &Start::default(), &snapshot(), vec![&noise], vec![]).unwrap();
    let mut spy = Spy(Vec::new());
    writer.write_to(&mut spy).unwrap();
    let start = noise.as_ptr() as usize;
    let borrowed: Vec<_> = spy
        .0
        .into_iter()
        .filter(|it| (start..start + 3 * MIB).contains(&it.0))
        .collect();
    assert_eq!(
        borrowed,
        [(start, MIB), (start + MIB, MIB), (start + 2 * MIB, MIB)]
    );
}

#[test]
fn a_writer_that_fails_is_heard() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.0);
            self.0 -= count;
            Ok(count)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let writer = PayloadWriter::new(
        &header(),
        &Start::default(),
        &snapshot(),
        vec![b"buffer"],
        vec![b"graph"],
    )
    .unwrap();
    for room in 0..writer.len() as usize {
        let error = writer.write_to(&mut Full(room)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
    writer.write_to(&mut Full(writer.len() as usize)).unwrap();
}

#[test]
fn the_graph_is_read_in_pieces_of_any_size() {
    let noise = noise(2 * MIB + 777, 11);
    let bytes = payload(&[], &[&noise]);
    for step in [1, 3, 4095, 65_536, MIB - 1, MIB, MIB + 1, 5 * MIB] {
        let mut reader = PayloadReader::open(&bytes[..], None).unwrap();
        reader.read_snapshot().unwrap();
        let mut graph = reader.into_graph().unwrap();
        let mut got = Vec::new();
        let mut place = vec![0; step];
        for round in 0.. {
            assert_eq!(graph.remaining() as usize, noise.len() - got.len());
            let before = got.len();
            if round % 2 == 0 {
                got.extend(graph.read(step).unwrap());
            } else {
                let count = graph.read_into(&mut place).unwrap();
                got.extend(&place[..count]);
            }
            if got.len() == before {
                break;
            }
            assert!(got.len() == noise.len() || got.len() == before + step);
        }
        assert!(got == noise, "{step}");
    }
}

#[test]
fn nothing_behind_the_payload_is_read() {
    let mut bytes = small();
    let total = bytes.len() as u64;
    bytes.extend(b"what comes next");
    let mut input = Cursor::new(&bytes);
    let mut reader = PayloadReader::open(&mut input, Some(total)).unwrap();
    reader.read_snapshot().unwrap();
    for length in reader.buffer_lengths().to_vec() {
        reader.read_buffer_into(&mut vec![0; length as usize]).unwrap();
    }
    reader.into_graph().unwrap().read(usize::MAX).unwrap();
    assert_eq!(input.position(), total);
}

#[test]
fn fields_that_a_later_version_appends_to_the_header_are_passed_over() {
    let bytes = small();
    let end = behind_header(&bytes) - 4;
    let mut later = bytes[..end].to_vec();
    later.extend(b"\x01later fields\xff");
    let length = (later.len() - FIXED) as u32;
    later[10..14].copy_from_slice(&length.to_le_bytes());
    later.extend([0; 4]);
    seal(&mut later);
    later.extend(&bytes[end + 4..]);
    let (head, snap, ..) = parts(&later, Some(later.len() as u64)).unwrap();
    assert_eq!((head, snap), (header(), snapshot()));
}

#[test]
fn sections_are_read_in_their_turn() {
    let bytes = small();
    let open = || PayloadReader::open(&bytes[..], None).unwrap();
    assert!(matches!(
        open().read_buffer_into(&mut [0; 5]),
        Err(PayloadError::Order { .. })
    ));
    assert!(matches!(
        open().into_graph(),
        Err(PayloadError::Order {
            section: Section::Graph
        })
    ));
    let mut reader = open();
    reader.read_snapshot().unwrap();
    assert!(matches!(
        reader.read_snapshot(),
        Err(PayloadError::Order {
            section: Section::Frames
        })
    ));
    let error = reader.read_buffer_into(&mut [0; 4]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the payload's buffer 0 has 5 bytes, and the place for it 4"
    );
    reader.read_buffer_into(&mut [0; 5]).unwrap();
    reader.read_buffer_into(&mut []).unwrap();
    assert!(matches!(
        reader.into_graph(),
        Err(PayloadError::Order {
            section: Section::Graph
        })
    ));
    let mut reader = open();
    reader.read_snapshot().unwrap();
    for length in [5, 0, 12] {
        reader.read_buffer_into(&mut vec![0; length]).unwrap();
    }
    assert!(matches!(
        reader.read_buffer_into(&mut []),
        Err(PayloadError::Order { .. })
    ));
    assert_eq!(reader.into_graph().unwrap().read(3).unwrap(), b"\x80\x05a");
}
