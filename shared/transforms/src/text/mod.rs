//! Text to tokens: which of them fill which inputs of the model.
//!
//! - `tokenizer`: the file `tokenizer.json`.
//! - `body`: the texts of a request.
//! - `plan`: the declaration, held against the model.

mod body;
mod plan;
mod tokenizer;

pub(crate) use body::{Text, from_json, from_plain};
pub(crate) use plan::{MASK, TextPlan};
pub use tokenizer::Tokenizer;
