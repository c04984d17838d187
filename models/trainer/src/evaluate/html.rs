//! `report.html`: the report for people, in one file.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dunlin_publishing::Trial;

use super::{
    Evaluation, ForecastMetrics, Interval, Metrics, Report, RetrievalMetrics, Verdict, charts,
    slices,
};
use crate::data::{Forecasting, Part};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#222}\
h1{margin-bottom:0}h2{margin-top:2em}table{border-collapse:collapse}td,th{padding:.2em .7em;text-align:right}\
th{font-weight:600}tbody th,td.text{text-align:left}tr+tr{border-top:1px solid #eee}.charts{display:flex;flex-wrap:wrap;gap:1em}\
.confusion td{min-width:2em;text-align:center;border:1px solid #fff}.mistakes{display:flex;flex-wrap:wrap;gap:1em}\
figure{margin:0;width:120px}figure.text{width:480px}figure.text pre{white-space:pre-wrap;font-size:12px;margin:0}figure img{width:112px;height:112px;object-fit:contain;image-rendering:pixelated;background:#eee}\
figcaption{font-size:12px;line-height:1.3}pre{background:#f6f6f6;padding:1em;overflow:auto}";

/// An example that was named wrong.
#[derive(Debug, Clone)]
pub struct Mistake {
    /// Where it came from.
    pub name: String,
    /// Its label.
    pub truth: String,
    /// What was answered.
    pub answer: String,
    /// How sure the answer was, 0 to 1.
    pub confidence: f32,
    /// What it looks like.
    pub shown: Shown,
}

/// An example for people.
#[derive(Debug, Clone)]
pub enum Shown {
    /// A picture's file.
    Picture(Bytes),
    /// The beginning of a text.
    Text(String),
}

/// The page. `mistakes`: the worst ones, worst first.
pub fn html(report: &Report, mistakes: &[Mistake]) -> String {
    let name = escape(&report.name);
    let hyper = serde_json::to_string_pretty(&report.training).unwrap_or_default();
    let losses = charts::losses(&report.history);
    let evaluation = match &report.evaluation {
        Evaluation::Classes {
            metrics,
            labels,
            accuracy_interval,
            ..
        } => {
            let charts = charts::accuracies(&report.history) + &charts::reliability(metrics);
            format!(
                "{figures}<div class=\"charts\">{losses}{charts}</div><h2>Classes</h2>{classes}\
                 <h2>Confusion</h2><p>Rows: the true class; columns: the answer.</p>{confusion}\
                 <h2>Worst mistakes</h2>{mistakes}",
                figures = figures(report, class_rows(metrics, accuracy_interval)),
                classes = classes(report, metrics),
                confusion = confusion(metrics, labels),
                mistakes = mistakes_html(mistakes),
            )
        }
        Evaluation::Forecast {
            metrics,
            forecasting,
            forecasts,
        } => {
            let charts = charts::forecast(forecasts, forecasting) + &charts::by_step(metrics);
            let figures = figures(report, forecast_rows(metrics, forecasting));
            format!("{figures}<div class=\"charts\">{charts}{losses}</div>")
        }
        Evaluation::Retrieval { metrics, .. } => {
            let accuracies = charts::accuracies(&report.history);
            let figures = figures(report, retrieval_rows(metrics));
            format!(
                "{figures}<div class=\"charts\">{losses}{accuracies}</div><p>Accuracy here: the share of first \
                 texts that find theirs, in training among those of a batch.</p>"
            )
        }
    };
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{name}: evaluation</title><style>{STYLE}</style>\
         <h1>{name}</h1>{summary}{gates}{precisions}{evaluation}{slices}<h2>Data</h2><pre>{data}</pre><h2>Training</h2><pre>{hyper}</pre></html>\n",
        summary = summary(report),
        gates = gates(&report.gates),
        precisions = precisions(report),
        slices = slices::table(&report.slices),
        data = escape(&report.data.to_string()),
        hyper = escape(&hyper),
    )
}

fn summary(report: &Report) -> String {
    let Report {
        machine,
        device,
        versions,
        ..
    } = report;
    let energy = report.energy_wh.map_or(String::new(), |energy| {
        format!(" It took about {energy:.4} Wh, an estimate from the time of the processor.")
    });
    let cost = report.cost.map_or(String::new(), |cost| {
        format!(" Its time cost {cost:.4}, by the price of an hour.")
    });
    format!(
        "<p>Recipe {}, {} weights, epoch {} of {}; trained for {:.0} s on {} ({}), {}.{energy}{cost}</p>",
        escape(&report.training.recipe),
        report.parameters,
        report.epoch,
        report.history.len(),
        report.spent.seconds,
        escape(machine),
        escape(device),
        escape(versions)
    )
}

fn gates(verdicts: &[Verdict]) -> String {
    if verdicts.is_empty() {
        return String::new();
    }
    let row = |verdict: &Verdict| {
        let met = if verdict.met { "met" } else { "<b>not met</b>" };
        format!(
            "<tr><th>{}</th><td>{met}</td><td class=\"text\">{}</td></tr>",
            escape(&verdict.gate),
            escape(&verdict.why)
        )
    };
    let rows: String = verdicts.iter().map(row).collect();
    format!("<table><tbody>{rows}</tbody></table>")
}

fn precisions(report: &Report) -> String {
    if report.precisions.is_empty() {
        return String::new();
    }
    let at = report.precision().map_or(String::new(), |precision| {
        format!("<p>Chosen: {precision}. All figures here are of that.</p>")
    });
    let table = escape(&Trial::table(&report.precisions));
    format!("<h2>Precision</h2>{at}<pre>{table}</pre>")
}

type Row = (&'static str, String);

fn class_rows(metrics: &Metrics, accuracy: &Interval) -> Vec<Row> {
    let percent = |value: f64| format!("{:.2} %", value * 100.0);
    let mut rows = vec![(
        "accuracy",
        format!(
            "{} (95 %: {} to {})",
            percent(metrics.accuracy),
            percent(accuracy.low),
            percent(accuracy.high)
        ),
    )];
    let top5 = metrics.top5;
    rows.extend(top5.map(|top5| ("among the five likeliest", percent(top5))));
    rows.extend([
        ("precision, mean of the classes", percent(metrics.precision)),
        ("recall, mean of the classes", percent(metrics.recall)),
        ("F1, mean of the classes", percent(metrics.f1)),
        (
            "area under the ROC curve",
            format!("{:.4}", metrics.roc_auc),
        ),
        ("calibration error (ECE)", percent(metrics.ece)),
        ("cross-entropy", format!("{:.4}", metrics.loss)),
    ]);
    rows
}

fn forecast_rows(metrics: &ForecastMetrics, forecasting: &Forecasting) -> Vec<Row> {
    let unit = forecasting.unit.as_deref().map(escape).unwrap_or_default();
    let within = |value: f64, interval: &Interval, unit: &str| {
        let Interval { low, high } = interval;
        format!("{value:.4} {unit} (95 %: {low:.4} to {high:.4})")
    };
    vec![
        (
            "error beside the naive one of the training part (MASE)",
            within(metrics.mase, &metrics.mase_interval, ""),
        ),
        (
            "mean absolute error (MAE)",
            within(metrics.mae, &metrics.mae_interval, &unit),
        ),
        (
            "root of the mean squared error (RMSE)",
            within(metrics.rmse, &metrics.rmse_interval, &unit),
        ),
        (
            "MAE of the naive forecast on the same windows",
            format!("{:.4} {unit}", metrics.naive_mae),
        ),
        (
            "RMSE of the naive forecast on the same windows",
            format!("{:.4} {unit}", metrics.naive_rmse),
        ),
        (
            "MAE beside that of the naive forecast",
            format!("{:.4}", metrics.mae_to_naive),
        ),
    ]
}

fn retrieval_rows(metrics: &RetrievalMetrics) -> Vec<Row> {
    let within = |value: f64, Interval { low, high }: &Interval| {
        format!("{value:.4} (95 %: {low:.4} to {high:.4})")
    };
    vec![
        (
            "share that is found first (recall@1)",
            within(metrics.recall_at_1, &metrics.recall_at_1_interval),
        ),
        (
            "share that is found among the first ten (recall@10)",
            within(metrics.recall_at_10, &metrics.recall_at_10_interval),
        ),
        (
            "mean reciprocal rank (MRR)",
            within(metrics.mrr, &metrics.mrr_interval),
        ),
    ]
}

fn figures(report: &Report, mut rows: Vec<Row>) -> String {
    rows.push((
        "largest difference of the exported model",
        format!("{:.1e}", report.export_difference),
    ));
    let (test, unit) = (report.data.size(Part::Test), report.data.unit);
    let mut table = format!("<p>On {test} {unit} that it has never seen:</p><table><tbody>");
    for (name, value) in rows {
        // Writing to a string can't fail.
        let _ = write!(table, "<tr><th>{name}</th><td>{value}</td></tr>");
    }
    table + "</tbody></table>"
}

fn classes(report: &Report, metrics: &Metrics) -> String {
    let mut table = "<table><thead><tr><th>class</th><th>train</th><th>valid</th><th>test</th><th>precision</th>\
                     <th>recall</th><th>F1</th><th>ROC AUC</th></tr></thead><tbody>"
        .to_owned();
    for ((label, counts), class) in report.data.classes.iter().zip(&metrics.classes) {
        let [train, valid, test] = counts;
        let auc = class
            .roc_auc
            .map_or("–".to_owned(), |auc| format!("{auc:.4}"));
        let _ = write!(
            table,
            "<tr><th>{}</th><td>{train}</td><td>{valid}</td><td>{test}</td><td>{:.4}</td><td>{:.4}</td><td>{:.4}</td><td>{auc}</td></tr>",
            escape(label),
            class.precision,
            class.recall,
            class.f1
        );
    }
    table + "</tbody></table>"
}

fn confusion(metrics: &Metrics, labels: &[String]) -> String {
    let mut table = "<table class=\"confusion\"><tr><td></td>".to_owned();
    for label in labels {
        let _ = write!(table, "<th>{}</th>", escape(label));
    }
    for (truth, row) in metrics.confusion.iter().enumerate() {
        let _ = write!(table, "</tr><tr><th>{}</th>", escape(&labels[truth]));
        let total = row.iter().sum::<usize>().max(1) as f64;
        for (answer, count) in row.iter().enumerate() {
            let rgb = if truth == answer {
                "31,119,180"
            } else {
                "214,60,20"
            };
            let share = *count as f64 / total;
            let strength = if *count == 0 { 0.0 } else { 0.12 + 0.6 * share };
            let _ = write!(
                table,
                "<td style=\"background:rgba({rgb},{strength:.2})\">{count}</td>"
            );
        }
    }
    table + "</tr></table>"
}

fn mistakes_html(mistakes: &[Mistake]) -> String {
    if mistakes.is_empty() {
        return "<p>None.</p>".to_owned();
    }
    let mut list = "<p>The surest of the wrong answers.</p><div class=\"mistakes\">".to_owned();
    for mistake in mistakes {
        let (class, shown) = match &mistake.shown {
            Shown::Picture(file) => {
                let (media, data) = (media(file), STANDARD.encode(file));
                (
                    "",
                    format!("<img alt=\"\" src=\"data:{media};base64,{data}\">"),
                )
            }
            Shown::Text(text) => ("text", format!("<pre>{}</pre>", escape(text))),
        };
        let _ = write!(
            list,
            "<figure class=\"{class}\" title=\"{}\">{shown}<figcaption>{}, taken for <b>{}</b>, {:.0} %</figcaption></figure>",
            escape(&mistake.name),
            escape(&mistake.truth),
            escape(&mistake.answer),
            mistake.confidence * 100.0
        );
    }
    list + "</div>"
}

fn media(file: &[u8]) -> &'static str {
    image::guess_format(file).map_or("application/octet-stream", |format| format.to_mime_type())
}

/// Labels and file names come from outside.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
