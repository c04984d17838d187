//! Labelled series, each of them an example: rows of a long table that have an id in common, or a list
//! in a row of its own.

use std::collections::HashMap;
use std::fmt::Write as _;

use bytes::Bytes;
use dunlin_registry::Digest;
use dunlin_storage::ObjectMeta;
use rayon::prelude::*;
use serde_json::Value;

use super::{SERIES, moments};
use crate::data::dataset::{Look, Sorted};
use crate::data::source::known_label;
use crate::data::tables::{self, Column};
use crate::data::{
    Census, Content, Dataset, Decoder, Form, Found, GatherOptions, Part, Source, Task,
};
use crate::recipes::LabelledSeriesShape;
use crate::{Error, Result};

/// What is learned from series, and where their labels are.
#[derive(Debug, Clone)]
pub struct LabelledSeriesOptions {
    /// The columns that are seen. Default: all that hold numbers, but for those of ids and labels.
    pub columns: Vec<String>,
    /// The column that tells which series a row is of.
    pub id: String,
    /// The column of the labels.
    pub label: String,
    /// Rows that are seen, the last ones. Default: as many as the shortest series has.
    pub length: Option<usize>,
}

/// A series as it is read.
struct Series {
    /// Where it begins.
    name: String,
    label: String,
    part: Option<Part>,
    rows: usize,
    /// What it is sliced by.
    values: Vec<String>,
    /// Its rows, as CSV.
    csv: String,
    /// What is wrong with it.
    fault: Option<String>,
}

impl Dataset {
    /// Reads every series once: leaves out those that are damaged or too short, and copies of what is
    /// held out.
    pub fn labelled_series(
        source: Source,
        options: &GatherOptions,
        series: &LabelledSeriesOptions,
    ) -> Result<Self> {
        let mut census = Census {
            unit: "series",
            source: format!("{}, {}", source.url(), Form::Tables),
            ..Census::default()
        };
        let (mut all, mut columns) = (Vec::new(), series.columns.clone());
        let slice_by = &options.slice_by[..];
        for file in source.tables() {
            if tables::names(&source, file)?
                .iter()
                .any(|name| name == SERIES)
            {
                read_lists(&source, file, series, slice_by, &mut columns, &mut all)?;
            } else {
                if columns.is_empty() {
                    columns = columns_of_numbers(&source, file, series)?;
                }
                let given = [&columns[..], slice_by];
                read_rows(&source, file, series, given, &mut all, &mut census)?;
            }
        }
        let sound = all.iter().filter(|series| series.fault.is_none());
        let Some(shortest) = sound.map(|series| series.rows).min() else {
            for series in &all {
                census.damage(&series.name, series.fault.as_deref().unwrap_or_default());
            }
            let (url, damaged) = (source.url(), census.damaged_files.join("\n  "));
            return Err(Error::data(format!(
                "{url} holds no labelled series\n  {damaged}"
            )));
        };
        let length = series.length.unwrap_or(shortest);
        let (mean, std) = (vec![0.0; columns.len()], vec![1.0; columns.len()]);
        let plain = Decoder::series(source.clone(), &columns, length, &mean, &std)?;
        let looks = all.par_iter().map(|series| series.look(&plain, &columns));
        let looks = looks.collect();
        let names = source.class_names("labels.txt")?;
        let found = all.into_iter().map(|series| series.found(&names, &columns));
        let found = found.collect::<Result<_>>()?;
        let parts = Sorted::sort(found, looks, census, options)?;
        let train = parts.parts[Part::Train as usize].par_iter();
        let train = train.map(|example| plain.numbers(example));
        let train: Vec<f32> = train.collect::<Result<Vec<_>>>()?.concat();
        let moments = |column| {
            let values = train.iter().skip(column).step_by(columns.len());
            moments(values.map(|&value| f64::from(value)))
        };
        let (mean, std): (Vec<f64>, Vec<f64>) = (0..columns.len()).map(moments).unzip();
        let decoder = Decoder::series(source, &columns, length, &mean, &std)?;
        Ok(Self::new(Task::SeriesClassification, parts, decoder))
    }

    /// What a network that names these series must take and give.
    pub fn labelled_series_shape(&self) -> Result<LabelledSeriesShape> {
        let [length, columns] = self.decoder.sizes()[..] else {
            return Err(Error::data("these are no series"));
        };
        Ok(LabelledSeriesShape {
            length,
            columns,
            classes: self.labels.len(),
        })
    }
}

/// All columns that hold a number in the first row.
fn columns_of_numbers(
    source: &Source,
    file: &ObjectMeta,
    series: &LabelledSeriesOptions,
) -> Result<Vec<String>> {
    let mut names = tables::names(source, file)?;
    names.retain(|name| *name != series.id && *name != series.label);
    let first = tables::rows(source, file, &wanted(&names))?.next();
    let first = first.transpose()?.and_then(|row| row.cells.ok());
    let cells = first.unwrap_or_default();
    let is_number = |at: usize| cells.get(at).and_then(tables::number).is_some();
    let kept = (0..names.len()).filter(|&at| is_number(at));
    let kept: Vec<String> = kept.map(|at| names[at].clone()).collect();
    if kept.is_empty() {
        let key = &file.key;
        return Err(Error::data(format!("{key} has no column of numbers")));
    }
    Ok(kept)
}

fn wanted(columns: &[String]) -> Vec<Column<'_>> {
    let column = |name| Column {
        name,
        option: "--columns",
    };
    columns.iter().map(|name| column(name)).collect()
}

/// Series whose rows have an id in common; in the order of the file. They are sliced by what their
/// first row says.
fn read_rows(
    source: &Source,
    file: &ObjectMeta,
    series: &LabelledSeriesOptions,
    [columns, slice_by]: [&[String]; 2],
    all: &mut Vec<Series>,
    census: &mut Census,
) -> Result<()> {
    let key = file.key.as_str();
    let fixed = [(&series.id, "--id"), (&series.label, "--label")];
    let fixed = fixed.map(|(name, option)| Column { name, option });
    let mut wanted = [&fixed[..], &wanted(columns)].concat();
    wanted.extend(tables::slicing(slice_by));
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in tables::rows(source, file, &wanted)? {
        let row = row?;
        let name = format!("{key}:{}", row.number);
        let read = row.cells.and_then(|cells| {
            let id = tables::text(&cells[0], &series.id)?;
            Ok((id, tables::label(&cells[1], &series.label)?, cells))
        });
        let (id, label, cells) = match read {
            Ok(read) => read,
            Err(why) => {
                census.damage(&name, &why);
                continue;
            }
        };
        let place = *places.entry(id).or_insert_with(|| {
            let mut one = Series::new(name.clone(), label.clone(), tables::part(key));
            one.values = tables::slice_values(&cells[2 + columns.len()..]);
            all.push(one);
            all.len() - 1
        });
        let numbers = cells[2..].iter().zip(columns).map(|(cell, column)| {
            tables::number(cell).ok_or_else(|| format!("{name}: \"{column}\" is no number"))
        });
        let numbers = numbers.collect::<Result<Vec<f64>, String>>();
        let one = &mut all[place];
        if one.label != label {
            let message = format!("it has two labels, \"{}\" and \"{label}\"", one.label);
            one.fault.get_or_insert(message);
        }
        one.add(numbers);
    }
    Ok(())
}

/// Series that are a list of rows each, or of numbers, as serving takes them.
fn read_lists(
    source: &Source,
    file: &ObjectMeta,
    series: &LabelledSeriesOptions,
    slice_by: &[String],
    columns: &mut Vec<String>,
    all: &mut Vec<Series>,
) -> Result<()> {
    let key = file.key.as_str();
    let wanted = [(SERIES, "--columns"), (series.label.as_str(), "--label")];
    let mut wanted = wanted
        .map(|(name, option)| Column { name, option })
        .to_vec();
    wanted.extend(tables::slicing(slice_by));
    for row in tables::rows(source, file, &wanted)? {
        let row = row?;
        let mut one = Series::new(
            format!("{key}:{}", row.number),
            String::new(),
            tables::part(key),
        );
        let read = row.cells.and_then(|cells| {
            one.label = tables::label(&cells[1], &series.label)?;
            one.values = tables::slice_values(&cells[2..]);
            match &cells[0] {
                Value::Array(rows) if !rows.is_empty() => Ok(rows.clone()),
                _ => Err(format!(
                    "\"{SERIES}\" is no list of numbers, nor of rows of them"
                )),
            }
        });
        match read {
            Err(why) => one.fault = Some(why),
            Ok(rows) => {
                for row in &rows {
                    let numbers = match row {
                        Value::Array(cells) => cells.iter().map(tables::number).collect(),
                        cell => tables::number(cell).map(|number| vec![number]),
                    };
                    let numbers = numbers.unwrap_or_default();
                    if columns.is_empty() {
                        *columns = (1..=numbers.len())
                            .map(|at| format!("value_{at}"))
                            .collect();
                    }
                    let (rows, want) = (one.rows + 1, columns.len());
                    one.add(if numbers.len() == want && want > 0 {
                        Ok(numbers)
                    } else {
                        Err(format!(
                            "row {rows} is not of {want} numbers, as the others"
                        ))
                    });
                }
            }
        }
        all.push(one);
    }
    Ok(())
}

impl Series {
    fn new(name: String, label: String, part: Option<Part>) -> Self {
        Self {
            name,
            label,
            part,
            rows: 0,
            values: Vec::new(),
            csv: String::new(),
            fault: None,
        }
    }

    /// Adds a row; of what is wrong, the first is told.
    fn add(&mut self, numbers: Result<Vec<f64>, String>) {
        self.rows += 1;
        match numbers {
            Err(why) => {
                self.fault.get_or_insert(why);
            }
            Ok(numbers) => {
                for (at, number) in numbers.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    // Writing to a string can't fail.
                    let _ = write!(self.csv, "{comma}{number}");
                }
                self.csv.push('\n');
            }
        }
    }

    /// The body of a request: names, then rows.
    fn body(&self, columns: &[String]) -> [Bytes; 2] {
        let mut header = csv::Writer::from_writer(Vec::new());
        header.write_record(columns).expect("memory takes all");
        let header = header.into_inner().expect("memory takes all");
        [header.into(), self.csv.clone().into()]
    }

    /// As serving will see it: two that have the same window are copies.
    fn look(&self, decoder: &Decoder, columns: &[String]) -> Look {
        if let Some(fault) = &self.fault {
            return Look::Damaged(fault.clone());
        }
        let body = self.body(columns).concat().into();
        match decoder
            .decode(&body)
            .and_then(|inputs| crate::data::decoder::floats(&inputs))
        {
            Ok(window) => {
                let bytes = window.into_iter().flat_map(f32::to_le_bytes);
                Look::Sound(Digest::of(&bytes.collect::<Vec<u8>>()))
            }
            Err(error) => Look::Damaged(error.to_string()),
        }
    }

    fn found(self, names: &[String], columns: &[String]) -> Result<Found> {
        Ok(Found {
            content: Content::Rows(self.body(columns)),
            label: Some(known_label(names, self.label, &self.name)?),
            name: self.name,
            part: self.part,
            values: self.values,
        })
    }
}
