//! Payloads to test with.
#![allow(dead_code)] // each test file uses its part of this

use capture::payload::{BuildIdentity, Header, PayloadError, PayloadReader, PayloadWriter, Start};
use capture::snapshot::{Block, Entry, FrameState, Handled, ObjectId, Slot, Snapshot, Stack};

pub const MIB: usize = 1 << 20;
/// Magic, format, header length.
pub const FIXED: usize = 14;

pub fn header() -> Header {
    let build = BuildIdentity {
        implementation: "cpython".into(),
        version: (3, 11, 7),
        abi: "cpython-311".into(),
        platform: "linux".into(),
        machine: "x86_64".into(),
        word_bits: 64,
        byte_order: "little".into(),
        pyteleport: "0.4.0".into(),
    };
    Header {
        build,
        host: "home".into(),
        program: "prog.py".into(),
        frames: 1,
    }
}

pub fn snapshot() -> Snapshot {
    let frame = FrameState {
        code: ObjectId(0),
        function: Some(ObjectId(1)),
        globals: ObjectId(2),
        namespace: None,
        generator: None,
        instruction: 17,
        named: 17,
        slots: vec![Slot::Null, Slot::Object(ObjectId(3))],
        stack: vec![Slot::Tagged(-5), Slot::Object(ObjectId(u32::MAX))],
        blocks: vec![Block {
            kind: 122,
            handler: -1,
            level: 2,
        }],
        handled: Handled::default(),
        entry: Entry::Instance(ObjectId(5)),
        suspended: Some(-2),
    };
    Snapshot {
        frames: vec![frame],
        stacks: vec![Stack {
            frames: 1,
            handled: Handled {
                value: Some(ObjectId(4)),
                ..Handled::default()
            },
        }],
    }
}

/// Bytes that look like nothing in particular.
pub fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

pub fn payload(buffers: &[&[u8]], graph: &[&[u8]]) -> Vec<u8> {
    let writer = PayloadWriter::new(
        &header(),
        &Start::default(),
        &snapshot(),
        buffers.to_vec(),
        graph.to_vec(),
    )
    .unwrap();
    let mut bytes = Vec::new();
    writer.write_to(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, writer.len());
    bytes
}

/// A payload of a few hundred bytes, with buffers and a graph.
pub fn small() -> Vec<u8> {
    payload(
        &[b"first", b"", b"third buffer"],
        &[b"\x80\x05a graph", b"", b"in pieces."],
    )
}

pub type Parts = (Header, Snapshot, Vec<Vec<u8>>, Vec<u8>);

/// Reads all of a payload.
pub fn parts(bytes: &[u8], total: Option<u64>) -> Result<Parts, PayloadError> {
    let mut reader = PayloadReader::open(bytes, total)?;
    let header = reader.header().clone();
    let snapshot = reader.read_snapshot()?;
    let mut buffers = Vec::new();
    for length in reader.buffer_lengths().to_vec() {
        // What a length claims is believed only where the total is known.
        if total.is_none() && length > 1 << 30 {
            return Err(PayloadError::NotAPayload);
        }
        let mut buffer = vec![0; length as usize];
        reader.read_buffer_into(&mut buffer)?;
        buffers.push(buffer);
    }
    let graph = reader.into_graph()?.read(usize::MAX)?;
    Ok((header, snapshot, buffers, graph))
}

/// Reads with and without the total, which must agree, and gives the error.
pub fn refused(bytes: &[u8]) -> PayloadError {
    let with = parts(bytes, Some(bytes.len() as u64)).unwrap_err();
    let without = parts(bytes, None).unwrap_err();
    assert!(
        matches!(with, PayloadError::Total { .. }) || with.to_string() == without.to_string(),
        "{with:?} {without:?}"
    );
    without
}

/// Puts the right checksum behind a header that was changed.
pub fn seal(bytes: &mut [u8]) {
    let end = behind_header(bytes) - 4;
    let checksum = crc32fast::hash(&bytes[..end]).to_le_bytes();
    bytes[end..end + 4].copy_from_slice(&checksum);
}

pub fn behind_header(bytes: &[u8]) -> usize {
    FIXED + u32::from_le_bytes(bytes[10..14].try_into().unwrap()) as usize + 4
}
