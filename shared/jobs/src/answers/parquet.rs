//! Answers as a Parquet file of one row group.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use super::{Answered, COLUMNS, Record};
use crate::{Error, Result};

pub(super) fn write(answers: &[Answered]) -> Result<Bytes> {
    let records: Vec<Record<'_>> = answers
        .iter()
        .map(Answered::record)
        .collect::<Result<_>>()?;
    file(&records).map_err(|error| Error::internal(format!("no Parquet: {error}")))
}

fn schema() -> Result<TypePtr, ParquetError> {
    let columns = COLUMNS.iter().map(|name| {
        let (physical, logical, repetition) = match *name {
            "row" => (Physical::INT64, None, Repetition::REQUIRED),
            "score" => (Physical::DOUBLE, None, Repetition::OPTIONAL),
            _ => (
                Physical::BYTE_ARRAY,
                Some(LogicalType::String),
                Repetition::OPTIONAL,
            ),
        };
        Type::primitive_type_builder(name, physical)
            .with_logical_type(logical)
            .with_repetition(repetition)
            .build()
            .map(Arc::new)
    });
    let columns = columns.collect::<Result<_, _>>()?;
    Type::group_type_builder("answers")
        .with_fields(columns)
        .build()
        .map(Arc::new)
}

fn file(records: &[Record<'_>]) -> Result<Bytes, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by("dunlin".to_owned())
        .build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema()?, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let rows: Vec<Option<i64>> = records
        .iter()
        .map(|record| Some(record.row as i64))
        .collect();
    let scores: Vec<Option<f64>> = records.iter().map(|record| record.score).collect();
    let text =
        |of: fn(&Record<'_>) -> Option<ByteArray>| records.iter().map(of).collect::<Vec<_>>();
    column::<Int64Type>(&mut group, rows, false)?;
    column::<ByteArrayType>(
        &mut group,
        text(|r| r.id.as_deref().map(ByteArray::from)),
        true,
    )?;
    column::<ByteArrayType>(
        &mut group,
        text(|r| r.label.as_deref().map(ByteArray::from)),
        true,
    )?;
    column::<DoubleType>(&mut group, scores, true)?;
    column::<ByteArrayType>(&mut group, text(|r| r.answer.map(ByteArray::from)), true)?;
    column::<ByteArrayType>(&mut group, text(|r| r.kind.map(ByteArray::from)), true)?;
    column::<ByteArrayType>(&mut group, text(|r| r.reason.map(ByteArray::from)), true)?;
    group.close()?;
    writer.close()?;
    Ok(bytes.into())
}

/// Writes the next column. Optional ones have a level for each row, and the values that are there.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, &mut Vec<u8>>,
    cells: Vec<Option<T::T>>,
    optional: bool,
) -> Result<(), ParquetError> {
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    let values: Vec<T::T> = cells.into_iter().flatten().collect();
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("a column too many".to_owned()));
    };
    let levels = optional.then_some(&levels[..]);
    column.typed::<T>().write_batch(&values, levels, None)?;
    column.close()
}
