//! `report.html`: the report for people, in one file.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Metrics, Report, charts};
use crate::data::Part;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#222}\
h1{margin-bottom:0}h2{margin-top:2em}table{border-collapse:collapse}td,th{padding:.2em .7em;text-align:right}\
th{font-weight:600}tbody th,td.text{text-align:left}tr+tr{border-top:1px solid #eee}.charts{display:flex;flex-wrap:wrap;gap:1em}\
.confusion td{min-width:2em;text-align:center;border:1px solid #fff}.mistakes{display:flex;flex-wrap:wrap;gap:1em}\
figure{margin:0;width:120px}figure img{width:112px;height:112px;object-fit:contain;image-rendering:pixelated;background:#eee}\
figcaption{font-size:12px;line-height:1.3}pre{background:#f6f6f6;padding:1em;overflow:auto}";

/// A picture that was named wrong.
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
    /// Its file.
    pub file: Bytes,
}

/// The page. `mistakes`: the worst ones, worst first.
pub fn html(report: &Report, mistakes: &[Mistake]) -> String {
    let name = escape(&report.name);
    let history = &report.history;
    let charts = [
        charts::losses(history),
        charts::accuracies(history),
        charts::reliability(&report.metrics),
    ]
    .concat();
    let hyper = serde_json::to_string_pretty(&report.training).unwrap_or_default();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{name}: evaluation</title><style>{STYLE}</style>\
         <h1>{name}</h1>{summary}{figures}<div class=\"charts\">{charts}</div>\
         <h2>Classes</h2>{classes}<h2>Confusion</h2><p>Rows: the true class; columns: the answer.</p>{confusion}\
         <h2>Worst mistakes</h2>{mistakes}<h2>Data</h2><pre>{data}</pre><h2>Training</h2><pre>{hyper}</pre></html>\n",
        summary = summary(report),
        figures = figures(report),
        classes = classes(report),
        confusion = confusion(&report.metrics, &report.labels),
        mistakes = mistakes_html(mistakes),
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
    format!(
        "<p>Recipe {}, {} weights, epoch {} of {}; trained for {:.0} s on {} ({}), {}.</p>",
        escape(&report.training.recipe),
        report.parameters,
        report.epoch,
        report.history.len(),
        report.seconds,
        escape(machine),
        escape(device),
        escape(versions)
    )
}

fn figures(report: &Report) -> String {
    let metrics = &report.metrics;
    let interval = report.accuracy_interval;
    let percent = |value: f64| format!("{:.2} %", value * 100.0);
    let mut rows = vec![(
        "accuracy",
        format!(
            "{} (95 %: {} to {})",
            percent(metrics.accuracy),
            percent(interval.low),
            percent(interval.high)
        ),
    )];
    rows.extend(
        metrics
            .top5
            .map(|top5| ("among the five likeliest", percent(top5))),
    );
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
        (
            "largest difference of the exported model",
            format!("{:.1e}", report.export_difference),
        ),
    ]);
    let test = report.data.size(Part::Test);
    let mut table = format!("<p>On {test} pictures that it has never seen:</p><table><tbody>");
    for (name, value) in rows {
        // Writing to a string can't fail.
        let _ = write!(table, "<tr><th>{name}</th><td>{value}</td></tr>");
    }
    table + "</tbody></table>"
}

fn classes(report: &Report) -> String {
    let mut table = "<table><thead><tr><th>class</th><th>train</th><th>valid</th><th>test</th><th>precision</th>\
                     <th>recall</th><th>F1</th><th>ROC AUC</th></tr></thead><tbody>"
        .to_owned();
    for ((label, counts), class) in report.data.classes.iter().zip(&report.metrics.classes) {
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
        let _ = write!(
            list,
            "<figure title=\"{}\"><img alt=\"\" src=\"data:{};base64,{}\"><figcaption>{}, taken for <b>{}</b>, {:.0} %</figcaption></figure>",
            escape(&mistake.name),
            media(&mistake.file),
            STANDARD.encode(&mistake.file),
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
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
