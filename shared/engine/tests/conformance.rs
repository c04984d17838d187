//! ONNX's backend node suite against the engine.
//!
//! ```text
//! cargo test --release -p dunlin-engine --test conformance -- CASES EXCEPTIONS [--write]
//! ```
//!
//! `CASES` is a folder that `tests/conformance/make.py` wrote, `EXCEPTIONS` the list of the cases
//! that are known to fail, one a line: `name: kind  reason`. The run fails where a case fails that
//! is not listed, where a listed one passes or fails in another way, and where any answer is wrong:
//! what the engine can't compute it must refuse. `--write` writes the list anew instead.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use bytes::Bytes;
use dunlin_engine::{LoadOptions, Model};
use dunlin_protocol::{Datatype, NamedTensor, Tensor};
use half::{bf16, f16};
use serde::Deserialize;

/// No case needs a second.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// A case as `make.py` wrote it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Case {
    Unsayable { unsayable: String },
    Sayable(Described),
}

#[derive(Deserialize)]
struct Described {
    rtol: f64,
    atol: f64,
    inputs: Vec<Description>,
    outputs: Vec<Description>,
}

/// A tensor: what it is, and how many bytes it takes of `tensors.bin`.
#[derive(Deserialize)]
struct Description {
    name: String,
    datatype: Datatype,
    shape: Vec<usize>,
    bytes: usize,
}

/// How a case fails.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    /// The protocol has no words for its inputs or outputs.
    Unsayable,
    /// The model does not load.
    Refused,
    /// The run ends in an error.
    Failed,
    /// The run takes too long.
    Hung,
    /// The run gives a wrong answer.
    Wrong,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsayable => "unsayable",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Hung => "hung",
            Self::Wrong => "wrong",
        })
    }
}

type Outcome = Result<(), (Kind, String)>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let paths: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let [cases, exceptions] = paths[..] else {
        eprintln!("usage: conformance CASES EXCEPTIONS [--write]");
        return ExitCode::from(2);
    };
    let outcomes = run_all(Path::new(cases));
    let failed: BTreeMap<&str, &(Kind, String)> = outcomes
        .iter()
        .filter_map(|(name, outcome)| Some((name.as_str(), outcome.as_ref().err()?)))
        .collect();
    println!(
        "{cases}: {} of {} cases pass",
        outcomes.len() - failed.len(),
        outcomes.len()
    );
    let listed = std::fs::read_to_string(exceptions).unwrap_or_default();
    if arguments.iter().any(|argument| argument == "--write") {
        std::fs::write(exceptions, list(&failed, &listed)).expect("the list can be written");
        return ExitCode::SUCCESS;
    }
    let complaints = judge(&failed, &listed);
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    if complaints.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs every case of the folder, on all cores.
fn run_all(folder: &Path) -> BTreeMap<String, Outcome> {
    let entries = std::fs::read_dir(folder).expect("the folder of the cases; see make.py");
    let folders: Vec<PathBuf> = entries.map(|entry| entry.expect("a case").path()).collect();
    assert!(!folders.is_empty(), "no cases in {}", folder.display());
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut outcomes = BTreeMap::new();
    std::thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            while let Some(folder) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                let name = folder.file_name().expect("a name").to_string_lossy();
                done.push((name.into_owned(), limited(folder.clone())));
            }
            done
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            outcomes.extend(worker.join().expect("no panic"));
        }
    });
    outcomes
}

/// Runs one case within the time limit. A hung one keeps its thread until the process ends.
fn limited(folder: PathBuf) -> Outcome {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(run(&folder)));
    receiver.recv_timeout(TIME_LIMIT).unwrap_or_else(|error| {
        Err(match error {
            RecvTimeoutError::Timeout => (Kind::Hung, format!("more than {TIME_LIMIT:?}")),
            RecvTimeoutError::Disconnected => (Kind::Failed, "a panic came through".into()),
        })
    })
}

fn run(folder: &Path) -> Outcome {
    let read = |name: &str| std::fs::read(folder.join(name)).expect("a file of the case");
    let case = serde_json::from_slice(&read("case.json")).expect("a case");
    let case: Described = match case {
        Case::Unsayable { unsayable } => return Err((Kind::Unsayable, unsayable)),
        Case::Sayable(case) => case,
    };
    let mut bytes = Bytes::from(read("tensors.bin"));
    let mut tensors = |descriptions: Vec<Description>| -> Vec<NamedTensor> {
        let tensor = |description: Description| {
            let data = bytes.split_to(description.bytes);
            let tensor = Tensor::new(description.datatype, description.shape, data);
            NamedTensor::new(description.name, tensor.expect("a sound tensor"))
        };
        descriptions.into_iter().map(tensor).collect()
    };
    let (inputs, wanted) = (tensors(case.inputs), tensors(case.outputs));
    let model = Model::load("case", read("model.onnx").into(), &LoadOptions::default())
        .map_err(|error| (Kind::Refused, error.to_string()))?;
    let got = model
        .run(inputs)
        .map_err(|error| (Kind::Failed, error.to_string()))?;
    assert_eq!(got.len(), wanted.len(), "all outputs come");
    for (got, wanted) in got.iter().zip(&wanted) {
        same(got, wanted, case.rtol, case.atol).map_err(|says| (Kind::Wrong, says))?;
    }
    Ok(())
}

/// Compares an output: datatype, shape, and values; those of floats within the tolerances.
fn same(got: &NamedTensor, wanted: &NamedTensor, rtol: f64, atol: f64) -> Result<(), String> {
    let name = &wanted.name;
    let kind = |named: &NamedTensor| (named.tensor.datatype(), named.tensor.shape().to_vec());
    if kind(got) != kind(wanted) {
        return Err(format!(
            "{name} is {:?} instead of {:?}",
            kind(got),
            kind(wanted)
        ));
    }
    let (Some((got, epsilon)), Some((wanted, _))) = (floats(&got.tensor), floats(&wanted.tensor))
    else {
        let same = got.tensor == wanted.tensor;
        return if same {
            Ok(())
        } else {
            Err(format!("{name} has other values"))
        };
    };
    // What cancels in a sum is known to the precision of its terms, which the result alone does
    // not tell: the largest value around, and the gates' 1, stand for them.
    let finite = wanted.iter().filter(|value| value.is_finite());
    let largest = finite.fold(0.0, |most: f64, value| most.max(value.abs()));
    let noise = if epsilon <= f64::from(f32::EPSILON) {
        atol.max(8.0 * epsilon * largest.max(1.0))
    } else {
        // Half floats are the rounding of what was computed in float32.
        atol.max(epsilon * largest)
    };
    let near = |got: f64, wanted: f64| {
        got == wanted
            || got.is_nan() && wanted.is_nan()
            || (got - wanted).abs() <= noise + rtol * wanted.abs()
    };
    match (0..wanted.len()).find(|&at| !near(got[at], wanted[at])) {
        Some(at) => Err(format!(
            "{name} holds {} instead of {} at {at}",
            got[at], wanted[at]
        )),
        None => Ok(()),
    }
}

/// The values of a tensor of floats, and the step after 1 of its datatype.
fn floats(tensor: &Tensor) -> Option<(Vec<f64>, f64)> {
    Some(match tensor.datatype() {
        Datatype::Fp16 => {
            let values = tensor.to_vec::<f16>().expect("FP16");
            let values = values.into_iter().map(f64::from).collect();
            (values, f16::EPSILON.to_f64())
        }
        Datatype::Bf16 => {
            let bits = tensor.data().chunks_exact(2);
            let value = |bits: &[u8]| f64::from(bf16::from_le_bytes([bits[0], bits[1]]));
            (bits.map(value).collect(), bf16::EPSILON.to_f64())
        }
        Datatype::Fp32 => {
            let values = tensor.to_vec::<f32>().expect("FP32");
            let values = values.into_iter().map(f64::from).collect();
            (values, f64::from(f32::EPSILON))
        }
        Datatype::Fp64 => (tensor.to_vec().expect("FP64"), f64::EPSILON),
        _ => return None,
    })
}

/// An answer that differs, and that the list defends.
const DISPUTED: &str = "disputed";

/// The list of exceptions, as a file; disputed ones stay as they are in the old list.
fn list(failed: &BTreeMap<&str, &(Kind, String)>, old: &str) -> String {
    let mut list = String::new();
    for (name, (kind, reason)) in failed {
        let mark = format!("{name}: {DISPUTED}  ");
        let disputed = old.lines().find(|line| line.starts_with(&mark));
        let reason = reason.strip_prefix("model case: ").unwrap_or(reason);
        match disputed.filter(|_| *kind == Kind::Wrong) {
            Some(line) => list.push_str(line),
            None => list.push_str(&format!("{name}: {kind}  {reason}")),
        }
        list.push('\n');
    }
    list
}

/// What is not as the list says.
fn judge(failed: &BTreeMap<&str, &(Kind, String)>, listed: &str) -> Vec<String> {
    let listed: BTreeMap<&str, &str> = listed
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(": ")?;
            Some((name, rest.split_whitespace().next()?))
        })
        .collect();
    let mut complaints = Vec::new();
    for (name, (kind, reason)) in failed {
        let known = listed.get(name);
        if *kind == Kind::Wrong {
            if known != Some(&DISPUTED) {
                complaints.push(format!("{name}: a wrong answer: {reason}"));
            }
        } else if known.is_none() {
            complaints.push(format!("{name}: {kind}, and not listed: {reason}"));
        } else if known.is_some_and(|listed| *listed != kind.to_string()) {
            complaints.push(format!("{name}: {kind}, listed otherwise: {reason}"));
        }
    }
    for name in listed.keys().filter(|name| !failed.contains_key(*name)) {
        complaints.push(format!("{name}: passes or is gone, and is still listed"));
    }
    complaints
}
