//! How good the model is, and whether that is enough.

use super::Job;
use crate::data::Part;
use crate::evaluate::{Evaluation, Gate, Production, Report, Slice, Verdict, html};
use crate::fit::{self, Fitted, Plan};
use crate::package::Files;
use crate::recipes::Network;
use crate::served::Served;
use crate::{Error, ErrorKind, Result, machine, mistakes, production};

/// Test examples whose outputs are compared between the network and what was exported from it.
const COMPARED: usize = 256;

/// Outputs may differ by so much: they are sums of thousands of FP32 products, in another order.
const TOLERANCE: f32 = 1e-3;

impl Job<'_> {
    /// `production`: the version that serves, if there is one; `None` if that is not known, so that no gate can be
    /// judged.
    pub(super) fn evaluate<N: Network>(
        &self,
        fitted: &Fitted<N>,
        served: &Served,
        plan: &Plan,
        parameters: usize,
        production: Option<&Option<Production>>,
    ) -> Result<Report> {
        let difference = self.difference(&fitted.network, served, plan)?;
        let (evaluation, slices) = self.evaluation(served)?;
        let judge = |production: &Option<Production>| self.judge(&evaluation, production.as_ref());
        Ok(Report {
            name: self.about.name.to_string(),
            gates: production.map_or_else(Vec::new, judge),
            slices,
            evaluation,
            production: production.cloned().flatten(),
            precisions: Vec::new(),
            export_difference: difference,
            data: self.data.census.clone(),
            training: plan.fingerprint.clone(),
            history: fitted.history.clone(),
            epoch: fitted.epoch,
            parameters,
            spent: fitted.spent,
            energy_wh: self.cli.cost.energy_wh(&self.cli.device, &fitted.spent),
            cost: self.cli.cost.cost(&fitted.spent),
            device: self.cli.device.clone(),
            machine: machine::describe(),
            versions: machine::versions(),
            revision: machine::revision(),
        })
    }

    /// How a model does on the test part, and on slices of it.
    pub(super) fn evaluation(&self, served: &Served) -> Result<(Evaluation, Vec<Slice>)> {
        let outputs = served.outputs(self.data, self.data.part(Part::Test).len())?;
        let evaluation = Evaluation::new(self.data, outputs);
        let slices = evaluation.slices(&self.data.slicings()?);
        Ok((evaluation, slices))
    }

    /// What becomes of the gates.
    pub(super) fn judge(
        &self,
        evaluation: &Evaluation,
        production: Option<&Production>,
    ) -> Vec<Verdict> {
        let columns = self.data.by_columns();
        let gates = self.cli.gates.iter();
        gates
            .map(|gate| gate.judge(evaluation, production, &columns))
            .collect()
    }

    /// The reports as files, for programs and for people.
    pub(super) fn reports(&self, report: &Report) -> Result<Files> {
        let json = serde_json::to_vec_pretty(report).map_err(|error| {
            Error::new(ErrorKind::Failed, "report.json can't be written").because(error)
        })?;
        let answers = report.evaluation.answers();
        let mistakes = answers.map(|answers| mistakes::worst(self.data, answers));
        let page = html(report, &mistakes.transpose()?.unwrap_or_default());
        let reports = [("json", json), ("html", page.into_bytes())];
        let file = |(format, bytes): (&str, Vec<u8>)| (format!("report.{format}"), bytes.into());
        Ok(reports.into_iter().map(file).collect())
    }

    /// The largest difference of an output between the network and the exported model. One that is too
    /// large is an error: something else would be served than was trained.
    pub(super) fn difference<N: Network>(
        &self,
        network: &N,
        served: &Served,
        plan: &Plan,
    ) -> Result<f32> {
        let count = self.data.part(Part::Test).len().min(COMPARED);
        let trained = fit::outputs(network, self.data, Part::Test, count, plan)?;
        let exported = served.outputs(self.data, count)?;
        let pairs = trained.iter().zip(&exported);
        let difference = pairs
            .map(|(one, other)| (one - other).abs())
            .fold(0.0, f32::max);
        let largest = trained
            .iter()
            .fold(1.0_f32, |largest, output| largest.max(output.abs()));
        if difference.is_nan() || difference > TOLERANCE * largest {
            let message = format!(
                "the exported model's outputs differ from the network's by up to {difference:.1e}: the export is wrong"
            );
            return Err(Error::new(ErrorKind::Failed, message));
        }
        Ok(difference)
    }

    /// The version that serves, if a gate asks for it and there is one.
    pub(super) fn production(&self) -> Result<Option<Production>> {
        match &self.registry {
            Some(registry) if self.cli.gates.iter().any(Gate::asks_production) => {
                production::evaluate(registry, &self.about.name, self.data, self.runtime)
            }
            _ => Ok(None),
        }
    }

    /// The version that serves after the training, which may be another one than `before`; if there is none any
    /// more, it is the store that is lost, and no gate holds for that.
    pub(super) fn production_after(&self, before: Option<&str>) -> Result<Option<Production>> {
        let now = self.production()?;
        match before {
            Some(before) if now.is_none() => {
                let message = format!(
                    "{before} served before the training, and is not in the store any more"
                );
                Err(Error::new(ErrorKind::Store, message))
            }
            _ => Ok(now),
        }
    }

    /// Tells what became of the gates, and fails if one is not met. `what`: what was judged, if not the model as
    /// it was trained.
    pub(super) fn pass_gates(&self, verdicts: &[Verdict], what: &str) -> Result<()> {
        for verdict in verdicts {
            println!("gate       {what}{verdict}");
        }
        let faults: Vec<String> = verdicts.iter().filter_map(Verdict::fault).collect();
        if faults.is_empty() {
            return Ok(());
        }
        let faults = faults.join("; ");
        let so = if self.cli.publish.is_some() {
            ": nothing was published"
        } else {
            ""
        };
        Err(Error::new(ErrorKind::Gate, format!("{what}{faults}{so}")))
    }
}
