//! Payloads: stacks of frames, and data beside them, into bytes and back.
#![allow(missing_docs)] // criterion's macros make a public function without one

use std::hint::black_box;

use capture::payload::{PayloadReader, PayloadWriter, Start};
use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use samples::{header, snapshot};

fn write(frames: u32, buffers: &[&[u8]], bytes: &mut Vec<u8>) {
    let graph: &[u8] = b"the graph of the objects";
    let writer = PayloadWriter::new(
        &header(frames),
        &Start::default(),
        &snapshot(frames),
        buffers.to_vec(),
        vec![graph],
    );
    let writer = writer.expect("a payload in memory");
    bytes.clear();
    writer.write_to(bytes).expect("writing to memory");
}

fn written(frames: u32, buffers: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(frames, buffers, &mut bytes);
    bytes
}

fn read(bytes: &[u8], into: &mut [u8]) {
    let mut reader = PayloadReader::open(bytes, Some(bytes.len() as u64)).expect("a payload");
    black_box(reader.read_snapshot().expect("its snapshot"));
    if !into.is_empty() {
        reader.read_buffer_into(into).expect("its buffer");
    }
    black_box(reader.into_graph().expect("its graph").remaining());
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frames");
    for frames in [1, 10, 100, 1000] {
        group.throughput(Throughput::Elements(frames.into()));
        group.bench_with_input(BenchmarkId::new("encode", frames), &frames, |bencher, &frames| {
            let mut bytes = Vec::new();
            bencher.iter(|| write(frames, black_box(&[]), &mut bytes))
        });
        let bytes = written(frames, &[]);
        group.bench_with_input(BenchmarkId::new("decode", frames), &bytes, |bencher, bytes| {
            bencher.iter(|| read(black_box(bytes), &mut []))
        });
    }
    group.finish();
}

fn data(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("data");
    for size in [1 << 10, 1 << 20, 64 << 20] {
        let mut data = vec![7_u8; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.sample_size(if size > 1 << 20 { 10 } else { 100 });
        group.bench_with_input(BenchmarkId::new("encode", size), &data, |bencher, data| {
            let mut bytes = Vec::new();
            bencher.iter(|| write(1, black_box(&[data.as_slice()]), &mut bytes))
        });
        let bytes = written(1, &[&data]);
        group.bench_function(BenchmarkId::new("decode", size), |bencher| {
            bencher.iter(|| read(black_box(&bytes), &mut data))
        });
    }
    group.finish();
}

criterion_group!(benches, frames, data);
criterion_main!(benches);
