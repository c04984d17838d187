//! Parquet, by its records: null, numbers, text, bytes and lists of them.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader as _, Length, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row as Record};
use serde_json::{Number, Value};

use super::{Cell, Fields, Row, Rows};
use crate::source::{Source, SourceRead};
use crate::{Error, Result};

/// Records that are decoded at one time: their values are held for each column.
const AT_ONCE: usize = 64;

/// Bytes of a row group, decoded; and of the description at a file's end.
const GROUP_LIMIT: i64 = 1 << 30;
const FOOTER_LIMIT: u32 = 16 << 20;

/// Bytes fetched at one time of a column's pages.
const PIECE: u64 = 256 << 10;

impl Length for Source {
    fn len(&self) -> u64 {
        self.size()
    }
}

impl ChunkReader for Source {
    type T = SourceRead;

    fn get_read(&self, start: u64) -> Result<SourceRead, ParquetError> {
        Ok(self.read_from(start, PIECE))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.piece(start, length as u64)?;
        if bytes.len() != length {
            return Err(ParquetError::EOF(format!(
                "wanted {length} bytes from {start}, there are {}",
                bytes.len()
            )));
        }
        Ok(bytes)
    }
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::invalid(format!(
        "the source is no Parquet file that can be read: {error}"
    ))
}

/// The records of a file.
pub(super) fn open(source: &Source, limit: usize) -> Result<Rows> {
    let mut tail = Vec::new();
    source
        .read_from(source.size().saturating_sub(8), 8)
        .read_to_end(&mut tail)
        .map_err(unreadable)?;
    // The length of the description, then the magic.
    let footer = match tail.get(..4).map(<[u8; 4]>::try_from) {
        Some(Ok(length)) => u32::from_le_bytes(length),
        _ => return Err(unreadable("it is too short")),
    };
    if footer > FOOTER_LIMIT {
        return Err(unreadable(format!(
            "its description has {footer} bytes; the limit is {FOOTER_LIMIT}"
        )));
    }
    let file = SerializedFileReader::new(source.clone()).map_err(unreadable)?;
    let metadata = file.metadata();
    for (group, described) in metadata.row_groups().iter().enumerate() {
        let bytes = described.total_byte_size();
        if bytes > GROUP_LIMIT {
            return Err(unreadable(format!(
                "row group {group} has {bytes} bytes; the limit is {GROUP_LIMIT}"
            )));
        }
    }
    let rows = metadata.file_metadata().num_rows().max(1) as u64;
    let columns = metadata.file_metadata().schema().get_fields();
    let columns: Vec<Arc<str>> = columns.iter().map(|column| column.name().into()).collect();
    let share = source.size() / rows;
    let records = RowIter::from_file_into(Box::new(file)).with_batch_size(AT_ONCE);
    Ok(Box::new((0..).zip(records).map(move |(number, record)| {
        let record = record.map_err(|error| {
            let record = number + 1;
            Error::invalid(format!(
                "cannot read record {record} of the source: {error}"
            ))
        })?;
        Ok(Row {
            number,
            bytes: share,
            fields: fields(&columns, record, limit),
        })
    })))
}

fn fields(columns: &[Arc<str>], record: Record, limit: usize) -> Result<Fields, String> {
    let mut bytes = 0;
    let cells = columns.iter().zip(record.into_columns());
    let cells = cells.map(|(name, (_, field))| {
        let cell = match field {
            Field::Bytes(array) => Cell::Bytes(Bytes::copy_from_slice(array.data())),
            field => Cell::Value(value(&field).map_err(|what| format!("column {name:?}: {what}"))?),
        };
        bytes += size(&cell);
        Ok((name.clone(), cell))
    });
    let cells = cells.collect::<Result<_, String>>()?;
    if bytes > limit {
        return Err(format!(
            "the record has {bytes} bytes; the limit is {limit}"
        ));
    }
    Ok(Fields::Columns(cells))
}

/// What it takes in a request, about.
fn size(cell: &Cell) -> usize {
    match cell {
        Cell::Bytes(bytes) => bytes.len(),
        Cell::Value(Value::String(text)) => text.len(),
        Cell::Value(Value::Array(values)) => 8 * values.len(),
        Cell::Value(_) => 8,
    }
}

fn value(field: &Field) -> Result<Value, String> {
    let float = |value: f64| {
        let number = Number::from_f64(value);
        number.map_or(Value::Null, Value::Number)
    };
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) | Field::Date(value) | Field::TimeMillis(value) => (*value).into(),
        Field::Long(value)
        | Field::TimeMicros(value)
        | Field::TimestampMillis(value)
        | Field::TimestampMicros(value) => (*value).into(),
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
        Field::Decimal(_) => return Err("decimals are not taken; cast them to double".into()),
        Field::Bytes(_) => return Err("a list of bytes is not taken".into()),
        Field::Group(_) | Field::MapInternal(_) => {
            return Err("structs and maps are not taken; make them columns of their own".into());
        }
    })
}
