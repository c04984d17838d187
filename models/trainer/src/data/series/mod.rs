//! Series: numbers over time, in tables.
//!
//! A window of some rows is what a network sees, the rows after it are what it should foretell. Parts
//! follow one another in time: the last rows are for the test, those before them for validation. A
//! window may reach back into the part before, as it will when it is served; what it should foretell
//! lies in its own part.

mod labelled;
mod table;

pub use labelled::LabelledSeriesOptions;

use bytes::Bytes;
use dunlin_protocol::{Datatype, TensorMetadata};
use dunlin_registry::Digest;
use dunlin_storage::ObjectMeta;
use dunlin_transforms::{InputSpec, PerChannel, SeriesSpec};
use serde::Serialize;
use serde_json::Value;

use super::dataset::Sorted;
use super::source::ending;
use super::tables::Column;
use super::{
    Census, Content, Dataset, Decoder, Example, Form, GatherOptions, Part, Source, Target, Task,
    tables,
};
use crate::recipes::SeriesShape;
use crate::{Error, Result};
use table::Table;

/// The name of the network's input, `[batch, length, columns]`.
pub(crate) const SERIES: &str = "series";

/// What is foretold from what.
#[derive(Debug, Clone)]
pub struct SeriesOptions {
    /// The columns that are seen. Default: all that hold numbers.
    pub columns: Vec<String>,
    /// The column that is foretold. Default: the first of them.
    pub target: Option<String>,
    /// Rows that are seen.
    pub length: usize,
    /// Rows that are foretold.
    pub steps: usize,
    /// Rows after which things repeat themselves. Default: `steps`.
    pub season: Option<usize>,
    /// What is measured: `°F`.
    pub unit: Option<String>,
    /// What a row is: `hour`.
    pub step: Option<String>,
}

/// How values are foretold.
#[derive(Debug, Clone, Serialize)]
pub struct Forecasting {
    /// The columns that are seen.
    pub columns: Vec<String>,
    /// Which of them is foretold.
    pub target: usize,
    /// Rows that are seen.
    pub length: usize,
    /// Rows that are foretold.
    pub steps: usize,
    /// Rows after which things repeat themselves: the naive forecast.
    pub season: usize,
    /// Mean of the foretold column in the training part.
    pub mean: f64,
    /// Its deviation.
    pub std: f64,
    /// Mean distance of a value from that a season before, in the training part, scaled as the
    /// values are: what MASE divides by.
    pub seasonal: f64,
    /// What is measured.
    pub unit: Option<String>,
    /// What a row is.
    pub step: Option<String>,
}

impl Dataset {
    /// Reads every row once, and makes windows of them.
    pub fn series(source: Source, options: &GatherOptions, series: &SeriesOptions) -> Result<Self> {
        options.without_columns()?;
        let mut census = Census {
            unit: "windows",
            source: format!("{}, {}", source.url(), Form::Tables),
            ..Census::default()
        };
        let mut all: Vec<Table> = Vec::new();
        for file in source.tables() {
            let bytes = csv_of(&source, file)?;
            let columns = all.first().map_or(&series.columns, |first| &first.columns);
            all.push(Table::read(
                file.key.as_str(),
                &bytes,
                columns,
                &mut census,
            )?);
        }
        let Some(first) = all.first() else {
            return Err(Error::data(format!("{} holds no table", source.url())));
        };
        let rows = all.iter().map(|table| table.rows.len()).sum();
        census.check_damage(rows, "rows", options)?;
        let columns = first.columns.clone();
        let ranges: Vec<[usize; 4]> = all.iter().map(|table| ranges(table, options)).collect();
        let training = |column: usize| {
            let each = all.iter().zip(&ranges);
            each.map(move |(table, range)| &table.rows[range[0]..range[1]])
                .flat_map(move |rows| rows.iter().map(move |row| row.values[column]))
                .filter(|value| value.is_finite())
        };
        let (mean, std): (Vec<f64>, Vec<f64>) = (0..columns.len())
            .map(|column| moments(training(column)))
            .unzip();
        let mut forecasting = Forecasting::new(series, columns, &mean, &std)?;
        let mut parts = Sorted {
            census,
            ..Sorted::default()
        };
        for (table, range) in all.iter().zip(&ranges) {
            for part in Part::ALL {
                let rows = range[part as usize]..range[part as usize + 1];
                let examples = &mut parts.parts[part as usize];
                forecasting.windows(table, rows, part, examples);
            }
        }
        forecasting.seasonal = seasonal(&parts.parts[Part::Train as usize]);
        parts.count();
        for part in [Part::Train, Part::Test] {
            if parts.census.size(part) == 0 {
                return Err(Error::data(format!(
                    "no window of {} and {} rows is left to {}: there are {rows} rows",
                    forecasting.length,
                    forecasting.steps,
                    part.name()
                )));
            }
        }
        let decoder = Decoder::series(
            source,
            &forecasting.columns,
            forecasting.length,
            &mean,
            &std,
        )?;
        let mut data = Self::new(Task::Forecasting, parts, decoder);
        data.forecasting = Some(forecasting);
        Ok(data)
    }

    /// What a network for these series must take and give.
    pub fn series_shape(&self) -> Result<SeriesShape> {
        let forecasting = self.forecasting.as_ref();
        let forecasting = forecasting.ok_or_else(|| Error::data("these are no series"))?;
        Ok(SeriesShape {
            length: forecasting.length,
            columns: forecasting.columns.len(),
            target: forecasting.target,
            steps: forecasting.steps,
            season: forecasting.season,
            // A series that repeats itself exactly has nothing to scale.
            scale: if forecasting.seasonal > 0.0 {
                forecasting.seasonal
            } else {
                1.0
            },
        })
    }
}

/// A table as CSV: windows are slices of it.
fn csv_of(source: &Source, file: &ObjectMeta) -> Result<Bytes> {
    if ending(file.key.as_str()) == Some("csv") {
        return source.read_unpacked(&file.key);
    }
    let names = tables::names(source, file)?;
    let wanted: Vec<Column<'_>> = names
        .iter()
        .map(|name| Column {
            name,
            option: "--columns",
        })
        .collect();
    let unwritten =
        |error: csv::Error| Error::data(format!("{} can't be kept", file.key)).because(error);
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(&names).map_err(unwritten)?;
    for row in tables::rows(source, file, &wanted)? {
        // A row that can't be read is one without numbers.
        let cells = row?
            .cells
            .unwrap_or_else(|_| vec![Value::Null; names.len()]);
        let texts = cells
            .iter()
            .map(|cell| tables::text(cell, "").unwrap_or_default());
        table.write_record(texts).map_err(unwritten)?;
    }
    let bytes = table
        .into_inner()
        .map_err(|error| unwritten(error.into_error().into()))?;
    Ok(bytes.into())
}

/// The rows at which the parts of a table begin, and its end.
fn ranges(table: &Table, options: &GatherOptions) -> [usize; 4] {
    let rows = table.rows.len();
    match table.part {
        Some(Part::Test) => [0, 0, 0, rows],
        Some(Part::Valid) => [0, 0, rows, rows],
        Some(Part::Train) => [0, rows, rows, rows],
        None => {
            let share = |share: f64| (share * rows as f64).round() as usize;
            let test = rows - share(options.split.test);
            [0, test - share(options.split.valid), test, rows]
        }
    }
}

impl Forecasting {
    fn new(
        series: &SeriesOptions,
        columns: Vec<String>,
        mean: &[f64],
        std: &[f64],
    ) -> Result<Self> {
        let target = match &series.target {
            None => 0,
            Some(name) => columns
                .iter()
                .position(|column| column == name)
                .ok_or_else(|| {
                    let known = columns.join(", ");
                    Error::usage(format!(
                        "--target {name}: it is none of the columns, {known}"
                    ))
                })?,
        };
        let season = series.season.unwrap_or(series.steps);
        if season >= series.length {
            return Err(Error::usage(format!(
                "--length {}: a window must be longer than a season, {season} rows (--season)",
                series.length
            )));
        }
        Ok(Self {
            columns,
            target,
            length: series.length,
            steps: series.steps,
            season,
            mean: mean[target],
            std: std[target],
            seasonal: 0.0,
            unit: series.unit.clone(),
            step: series.step.clone(),
        })
    }

    /// Adds the windows whose last rows, those to foretell, lie in a range. For training each row
    /// begins one. What is held out is foretold once: windows are one row further apart than they
    /// are long, so that each begins at another time of the day.
    fn windows(
        &self,
        table: &Table,
        rows: std::ops::Range<usize>,
        part: Part,
        examples: &mut Vec<Example>,
    ) {
        let stride = if part == Part::Train {
            1
        } else {
            self.steps + 1
        };
        let first = rows.start.max(self.length);
        for at in (first..(rows.end + 1).saturating_sub(self.steps)).step_by(stride) {
            let (seen, ahead) = (
                &table.rows[at - self.length..at],
                &table.rows[at..at + self.steps],
            );
            let sound = |row: &table::Row| row.values.iter().all(|value| value.is_finite());
            if !seen.iter().chain(ahead).all(sound) {
                continue;
            }
            let scaled =
                |row: &table::Row| ((row.values[self.target] - self.mean) / self.std) as f32;
            let body = [table.header.clone(), table.slice(at - self.length..at)];
            let season = &seen[self.length - self.season..];
            let values: Vec<f32> = ahead.iter().map(scaled).collect();
            let naive = season.iter().cycle().take(self.steps).map(scaled).collect();
            let whole = [
                &body[0][..],
                &table.slice(at - self.length..at + self.steps)[..],
            ]
            .concat();
            examples.push(Example {
                name: format!("{}:{}", table.name, seen[0].line),
                target: Target::Values { values, naive },
                digest: Digest::of(&whole),
                values: Vec::new(),
                content: Content::Rows(body),
            });
        }
    }
}

/// Mean and deviation, to four digits after the point: they are written into `model.toml`.
fn moments(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let round = |value: f64| (value * 1e4).round() / 1e4;
    let [count, sum, squares] = values.fold([0.0_f64; 3], |[count, sum, squares], value| {
        [count + 1.0, sum + value, squares + value * value]
    });
    let mean = sum / count.max(1.0);
    let variance = (squares / count.max(1.0) - mean * mean).max(0.0);
    // A column of one value: nothing to divide by.
    let std = round(variance.sqrt());
    (round(mean), if std > 0.0 { std } else { 1.0 })
}

/// The mean distance of values from those of the season before.
fn seasonal(examples: &[Example]) -> f64 {
    let distances = examples.iter().filter_map(|example| match &example.target {
        Target::Values { values, naive } => Some(f64::from((values[0] - naive[0]).abs())),
        Target::Class(_) | Target::Pair => None,
    });
    distances.sum::<f64>() / examples.len().max(1) as f64
}

impl Decoder {
    fn series(
        source: Source,
        columns: &[String],
        length: usize,
        mean: &[f64],
        std: &[f64],
    ) -> Result<Self> {
        let spec = InputSpec::Series(SeriesSpec {
            tensor: Some(SERIES.to_owned()),
            columns: Some(columns.to_vec()),
            length: Some(length),
            mean: Some(PerChannel::Each(mean.to_vec())),
            std: Some(PerChannel::Each(std.to_vec())),
        });
        let input = TensorMetadata {
            name: SERIES.to_owned(),
            datatype: Datatype::Fp32,
            shape: vec![-1, length as i64, columns.len() as i64],
        };
        Self::new(source, spec, vec![input], Some("text/csv"), None)
    }
}
