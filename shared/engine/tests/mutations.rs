//! Both decoders on the cases and their plans, damaged at random: what `fuzz/` does, on every run of the tests and
//! without instrumentation. The engine catches its own panics, so what fails here would reach a caller.
//!
//! `DUNLIN_FUZZ_FILES` sets how many (2,000), `DUNLIN_FUZZ_SEED` which damage.

mod cases;
#[path = "../fuzz/targets/probe.rs"]
#[allow(unreachable_pub)]
mod probe;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_engine::{Model, inspect};
use fastrand::Rng;

/// What one file may take before it is a hang, on a machine that does other things, too.
const HANG: Duration = Duration::from_mins(1);

#[test]
fn damaged_onnx_files_do_no_harm() {
    mutate("onnx", &onnx_files(), |onnx| {
        let _ = inspect("damaged", &onnx, &probe::options().limits);
        if let Ok(model) = Model::load("damaged", onnx, &probe::options()) {
            probe::run(&model);
        }
    });
}

#[test]
fn damaged_plans_do_no_harm() {
    let plans = onnx_files().into_iter().filter_map(|(name, onnx)| {
        let model = Model::load(&name, onnx, &probe::options()).ok()?;
        probe::run(&model);
        // Some cases have no plan.
        Some((name, model.compile().ok()?))
    });
    mutate("plan", &plans.collect::<Vec<_>>(), |plan| {
        if let Ok(model) = Model::load_plan("damaged", &plan, None, &probe::options()) {
            probe::run(&model);
        }
    });
}

fn onnx_files() -> Vec<(String, Bytes)> {
    let file = |name: String| {
        let path = cases::folder().join(format!("{name}.onnx"));
        (name, std::fs::read(path).expect("a case").into())
    };
    cases::names().into_iter().map(file).collect()
}

/// Gives `decode` one damaged file after the other.
fn mutate(decoder: &str, files: &[(String, Bytes)], decode: impl Fn(Bytes)) {
    assert!(files.len() > 50, "only {} files to damage", files.len());
    let count: u64 = variable("DUNLIN_FUZZ_FILES").unwrap_or(2000);
    let seed = variable("DUNLIN_FUZZ_SEED").unwrap_or(0);
    let mut random = Rng::with_seed(seed);
    // What ends the process leaves its file behind.
    let place = std::env::temp_dir().join(format!("dunlin-{decoder}-{}", std::process::id()));
    for number in 0..count {
        let (name, whole) = &files[random.usize(..files.len())];
        let (_, other) = &files[random.usize(..files.len())];
        let damaged = Bytes::from(damage(whole, other, &mut random));
        std::fs::write(&place, &damaged).expect("a temporary file");
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| decode(damaged)));
        let taken = started.elapsed();
        assert!(
            outcome.is_ok() && taken < HANG,
            "file {number} of seed {seed}, {name} damaged, {taken:?}: {}",
            place.display()
        );
    }
    std::fs::remove_file(place).expect("it is there");
}

/// One to four changes of the kinds that find most: bits, bytes at their bounds, lengths, parts of other files.
fn damage(whole: &[u8], other: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(..=bytes.len());
        let end = (at + random.usize(..=16)).min(bytes.len());
        match random.u8(..6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 if at < bytes.len() => {
                bytes[at] = *random.choice(&[0, 1, 0x7f, 0x80, 0xff]).expect("a byte");
            }
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let from = random.usize(..=other.len());
                let part = &other[from..(from + random.usize(..=64)).min(other.len())];
                bytes.splice(at..end, part.iter().copied());
            }
        }
    }
    bytes
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value} is no number")),
    )
}
