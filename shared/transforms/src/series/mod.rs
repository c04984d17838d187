//! Numbers over time to a tensor: the last rows of a table, scaled.
//!
//! - `table`: the rows of a body, CSV or JSON.
//! - `plan`: the declaration, held against the model.

mod plan;
mod table;

pub(crate) use plan::SeriesPlan;
pub(crate) use table::{from_csv, from_json};
