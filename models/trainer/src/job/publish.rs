//! Publishing: at the precision that is asked for, and only what passes the gates.

use dunlin_publishing::{
    Candidate, Choice, Evaluation as Inputs, GivenExample, Trial, WeighOptions, Weighed,
};
use dunlin_registry::{Registry, Role};

use super::Job;
use super::keep::Kept;
use crate::data::{Example, Part, Target};
use crate::evaluate::Report;
use crate::served::Served;
use crate::{Error, Result};

/// So many test examples, and bytes of them, are compared at most: they are held in memory.
const INPUTS: usize = 20_000;
const BYTES: usize = 1 << 30;

impl Job<'_> {
    /// Gives the version's name, as in `flowers@3`.
    pub(super) fn publish(
        &self,
        registry: &Registry,
        served: Served,
        mut report: Report,
        kept: &mut Kept,
    ) -> Result<String> {
        let name = &self.about.name;
        let candidate = Candidate::from_files(name, &kept.files)?;
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
        let Weighed {
            mut verified,
            trials,
        } = candidate.weigh(&options, |_| ())?;
        print!("{}", Trial::table(&trials));
        report.precisions = trials;
        let precision = report.precision();
        if precision.is_some() {
            let served = served.at(name.as_str(), verified.candidate().onnx()?)?;
            (report.evaluation, report.slices) = self.evaluation(&served)?;
            report.gates = self.judge(&report.evaluation, report.production.as_ref());
            verified.set_metrics(report.manifest_metrics());
        }
        let reports = self.reports(&report)?;
        if !report.precisions.is_empty() {
            kept.rewrite(&reports);
        }
        if let Some(precision) = precision {
            self.pass_gates(&report.gates, &format!("{precision}: "))?;
        }
        for (file, bytes) in reports {
            let format = file.trim_start_matches("report.");
            verified.attach(Role::Other("report".to_owned()), format, bytes);
        }
        let published = self.runtime.block_on(verified.publish(registry, None));
        let manifest = published
            .map_err(|error| Error::from(error).with(&kept.cure()))?
            .manifest;
        let version = format!("{}@{}", manifest.name, manifest.version);
        println!("published {version}");
        Ok(version)
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
