//! Tables as pandas writes them.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// The cells of a column, one a row.
pub(crate) enum Column {
    Texts(Vec<String>),
    Numbers(Vec<f64>),
}

/// Rows that a row group has.
const GROUP: usize = 50;

pub(crate) fn write(path: &Path, columns: &[(&str, Column)]) {
    let field = |(name, column): &(&str, Column)| match column {
        Column::Texts(_) => format!("REQUIRED BYTE_ARRAY {name} (UTF8);"),
        Column::Numbers(_) => format!("REQUIRED DOUBLE {name};"),
    };
    let fields: String = columns.iter().map(field).collect();
    let schema = parse_message_type(&format!("message schema {{ {fields} }}")).unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), properties).unwrap();
    let rows = match &columns[0].1 {
        Column::Texts(cells) => cells.len(),
        Column::Numbers(cells) => cells.len(),
    };
    for start in (0..rows).step_by(GROUP) {
        let rows = start..(start + GROUP).min(rows);
        let mut group = writer.next_row_group().unwrap();
        for (_, column) in columns {
            let mut into = group.next_column().unwrap().unwrap();
            match column {
                Column::Texts(cells) => {
                    let cells = cells[rows.clone()].iter();
                    let cells: Vec<ByteArray> = cells.map(|cell| cell.as_str().into()).collect();
                    into.typed::<ByteArrayType>()
                        .write_batch(&cells, None, None)
                }
                Column::Numbers(cells) => {
                    let cells = &cells[rows.clone()];
                    into.typed::<DoubleType>().write_batch(cells, None, None)
                }
            }
            .unwrap();
            into.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}
