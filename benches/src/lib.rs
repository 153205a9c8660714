//! Snapshots to measure with.

use capture::payload::{BuildIdentity, Header};
use capture::snapshot::{Entry, FrameState, Handled, ObjectId, Slot, Snapshot, Stack};

/// The header of a payload with so many frames.
pub fn header(frames: u32) -> Header {
    let build = BuildIdentity {
        implementation: "cpython".into(),
        version: (3, 11, 7),
        abi: "cpython-311".into(),
        platform: "linux".into(),
        machine: "x86_64".into(),
        word_bits: 64,
        byte_order: "little".into(),
        pyteleport: env!("CARGO_PKG_VERSION").into(),
    };
    Header {
        build,
        host: "home".into(),
        program: "program.py".into(),
        frames,
    }
}

/// A stack of so many frames, each with eight locals and three values, as ordinary functions have.
pub fn snapshot(frames: u32) -> Snapshot {
    let frame = |depth: u32| {
        let object = |place: u32| Slot::Object(ObjectId(depth * 8 + place));
        FrameState {
            code: ObjectId(0),
            function: Some(ObjectId(1)),
            globals: ObjectId(2),
            namespace: None,
            generator: None,
            instruction: 40 + (depth % 50) as i32,
            named: 40 + (depth % 50) as i32,
            slots: (0..8)
                .map(|place| if place == 5 { Slot::Null } else { object(place) })
                .collect(),
            stack: vec![Slot::Null, object(6), object(7)],
            blocks: Vec::new(),
            handled: Handled::default(),
            entry: Entry::Value,
            suspended: None,
        }
    };
    Snapshot {
        frames: (0..frames).map(frame).collect(),
        stacks: vec![Stack {
            frames,
            handled: Handled::default(),
        }],
    }
}
