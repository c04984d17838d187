//! Publishing: at the precision that is asked for, and only what passes the gates.

use std::fmt::Write as _;

use dunlin_publishing::{
    Candidate, Choice, Evaluation as Inputs, Fate, GivenExample, Precision, Trial, WeighOptions,
    Weighed,
};
use dunlin_registry::{Registry, Role};

use super::Job;
use crate::data::{Example, Part, Target};
use crate::evaluate::{Evaluation, Report};
use crate::served::Served;
use crate::{Error, ErrorKind, Result};

/// So many test examples, and bytes of them, are compared at most: they are held in memory.
const INPUTS: usize = 20_000;
const BYTES: usize = 1 << 30;

impl Job<'_> {
    pub(super) fn publish(
        &self,
        registry: &Registry,
        served: Served,
        report: &Report,
        page: String,
    ) -> Result<()> {
        let mut candidate = Candidate::read(&self.folder(), Some(&self.about.name))?;
        let json = serde_json::to_vec(report).map_err(|error| {
            Error::new(ErrorKind::Failed, "the report can't be written").because(error)
        })?;
        candidate.attach(Role::Other("report".to_owned()), "json", json.into());
        candidate.attach(Role::Other("report".to_owned()), "html", page.into());
        let choice = self.cli.precision.unwrap_or_default();
        let evaluation = if choice == Choice::Source {
            Inputs::default()
        } else {
            self.test_inputs()?
        };
        let options = WeighOptions {
            choice: Some(choice),
            evaluation,
            ..WeighOptions::default()
        };
        let Weighed { verified, trials } = candidate.weigh(&options, |_| ())?;
        print!("{}", table(&trials));
        let chosen = trials.iter().find(|trial| trial.fate == Fate::Chosen);
        if let Some(chosen) = chosen.filter(|trial| trial.precision != Precision::Source) {
            let served = served.at(&self.about.name, verified.candidate().onnx().clone())?;
            self.judge_again(&served, chosen.precision, report)?;
        }
        let published = self.runtime.block_on(verified.publish(registry, None))?;
        println!(
            "published {}@{}",
            published.manifest.name, published.manifest.version
        );
        Ok(())
    }

    /// The gates, of what is published instead of what was trained.
    fn judge_again(&self, served: &Served, precision: Precision, report: &Report) -> Result<()> {
        let outputs = served.outputs(self.data, self.data.part(Part::Test).len())?;
        let evaluation = Evaluation::new(self.data, outputs);
        let slicings = self.data.by_columns();
        let gates = self.cli.gates.iter();
        let verdicts =
            gates.map(|gate| gate.judge(&evaluation, report.production.as_ref(), &slicings));
        self.pass_gates(&verdicts.collect::<Vec<_>>(), &format!("{precision}: "))
    }

    /// The test part, as requests would send it.
    fn test_inputs(&self) -> Result<Inputs> {
        let (mut examples, mut bytes) = (Vec::new(), 0);
        for example in self.data.part(Part::Test).iter().take(INPUTS) {
            let given = self.given(example)?;
            bytes += given.body.len();
            if bytes > BYTES {
                break;
            }
            examples.push(given);
        }
        Ok(Inputs::given(&examples))
    }

    fn given(&self, example: &Example) -> Result<GivenExample> {
        let label = match example.target {
            Target::Class(class) => Some(self.data.labels[class].clone()),
            Target::Values { .. } | Target::Pair => None,
        };
        Ok(GivenExample {
            name: example.name.clone(),
            content_type: self.data.decoder.media().map(str::to_owned),
            header_length: None,
            label,
            body: self.data.decoder.body(example)?,
        })
    }
}

/// One row a precision, as `dunlin push` has it; nothing where only one was wanted.
fn table(trials: &[Trial]) -> String {
    let mut text = String::new();
    let Some(source) = trials.first() else {
        return text;
    };
    let judged = if source.accuracy.is_some() {
        "accuracy"
    } else {
        "agreement"
    };
    // Writing to a string can't fail.
    let _ = writeln!(
        text,
        "{:<10} {:>10} {:>10} {:>10} {:>10} {:>12}",
        "precision", "size MB", "load ms", "run ms", judged, "difference"
    );
    for trial in trials {
        let measured = &trial.measured;
        let good = trial.accuracy.or(trial.agreement);
        let _ = writeln!(
            text,
            "{:<10} {:>10.2} {:>10.2} {:>10.2} {:>10.4} {:>12.1e}  {}",
            trial.precision,
            trial.size.map_or(f64::NAN, |bytes| bytes as f64 / 1e6),
            measured.load_ms.unwrap_or(f64::NAN),
            measured.latency_ms.unwrap_or(f64::NAN),
            good.unwrap_or(f64::NAN),
            measured.max_difference.unwrap_or(f64::NAN),
            trial.fate,
        );
    }
    let _ = writeln!(text, "compared on {} inputs", source.inputs);
    text
}
