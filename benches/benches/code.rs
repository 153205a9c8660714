//! Code analysis: from the bytes of a code object to its facts.
#![allow(missing_docs)] // criterion's macros make a public function without one

use std::hint::black_box;

use criterion::{criterion_group, criterion_main, Criterion, Throughput};

// the code objects that the tests of `capture` know the facts of
#[path = "../../capture/tests/golden_files/mod.rs"]
mod golden_files;

fn analyse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("analyse");
    for release in golden_files::Release::all() {
        let bytes: usize = release.codes.iter().map(|code| code.bytes.len()).sum();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(
            format!("{} code objects of {}", release.codes.len(), release.name),
            |bencher| {
                bencher.iter(|| {
                    for code in &release.codes {
                        black_box(release.facts(black_box(code)));
                    }
                })
            },
        );
    }
    group.finish();
}

criterion_group!(benches, analyse);
criterion_main!(benches);
