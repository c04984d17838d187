//! Parquet, record by record; of each column only what is wanted is fetched and decoded.

use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader as _, Length, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;
use serde_json::{Number, Value};

use super::super::file::{File, Pieces};
use super::{Column, Row, Rows};
use crate::{Error, Result};

/// Records that are decoded at one time: their values are held for each column.
const AT_ONCE: usize = 64;

/// Bytes of a row group, decoded: a page of it may be as large.
const GROUP_LIMIT: i64 = 1 << 30;

impl Length for File {
    fn len(&self) -> u64 {
        self.meta.size
    }
}

impl ChunkReader for File {
    type T = Pieces;

    fn get_read(&self, start: u64) -> Result<Pieces, ParquetError> {
        Ok(self.read_from(start))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.piece(start, length as u64)?;
        if bytes.len() != length {
            let message = format!(
                "wanted {length} bytes from {start}, there are {}",
                bytes.len()
            );
            return Err(ParquetError::EOF(message));
        }
        Ok(bytes)
    }
}

pub(super) fn rows(file: File, wanted: &[Column<'_>]) -> Result<Rows> {
    let table = file.name().to_owned();
    let reader = open(file)?;
    let metadata = reader.metadata();
    for (group, described) in metadata.row_groups().iter().enumerate() {
        let bytes = described.total_byte_size();
        if bytes > GROUP_LIMIT {
            return Err(Error::data(format!(
                "{table}: row group {group} has {bytes} bytes; the limit is {GROUP_LIMIT}"
            )));
        }
    }
    let schema = metadata.file_metadata().schema();
    let names = names_of(schema);
    let places = wanted.iter().map(|column| column.place(&table, &names));
    let mut places = places.collect::<Result<Vec<usize>>>()?;
    // Cells come in the order of the file.
    let asked: Vec<String> = wanted.iter().map(|column| column.name.to_owned()).collect();
    places.sort_unstable();
    places.dedup();
    let fields = places
        .iter()
        .map(|&place| Arc::clone(&schema.get_fields()[place]));
    let damaged = |error| unread(&table, error);
    let projection = Type::group_type_builder(schema.name())
        .with_fields(fields.collect())
        .build()
        .map_err(damaged)?;
    let records = RowIter::from_file_into(Box::new(reader))
        .project(Some(projection))
        .map_err(damaged)?
        .with_batch_size(AT_ONCE);
    Ok(Box::new(records.zip(1..).map(move |(record, number)| {
        let record = record.map_err(|error| unread(&format!("{table}:{number}"), error))?;
        let fields = record.into_columns();
        let cell = |name: &String| {
            let found = fields.iter().find(|(known, _)| known == name);
            let value = found.map_or(Ok(Value::Null), |(_, field)| value(field));
            value.map_err(|what| format!("\"{name}\": {what}"))
        };
        let cells = asked.iter().map(cell).collect();
        Ok(Row { number, cells })
    })))
}

pub(super) fn names(file: File) -> Result<Vec<String>> {
    let reader = open(file)?;
    Ok(names_of(reader.metadata().file_metadata().schema()))
}

fn open(file: File) -> Result<SerializedFileReader<File>> {
    let table = file.name().to_owned();
    SerializedFileReader::new(file).map_err(|error| unread(&table, error))
}

fn names_of(schema: &Type) -> Vec<String> {
    let fields = schema.get_fields().iter();
    fields.map(|field| field.name().to_owned()).collect()
}

fn value(field: &Field) -> Result<Value, String> {
    let float = |value: f64| Number::from_f64(value).map_or(Value::Null, Value::Number);
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        Field::Float16(value) => float(f64::from(value.to_f32())),
        Field::Float(value) => float(f64::from(*value)),
        Field::Double(value) => float(*value),
        Field::Str(text) => text.as_str().into(),
        Field::ListInternal(list) => {
            let values = list.elements().iter().map(value);
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        // Dates and times, as they are written.
        Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => field.to_string().into(),
        _ => return Err("it is neither text nor number nor a list of them".to_owned()),
    })
}

fn unread(table: &str, error: ParquetError) -> Error {
    Error::data(format!("{table} can't be read as Parquet")).because(error)
}
