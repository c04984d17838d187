//! The declaration of a text input, held against the model's inputs and filled in.

use dunlin_protocol::{Datatype, NamedTensor, Tensor, TensorMetadata};
use tokenizers::Encoding;

use super::Text;
use super::tokenizer::{Padding, Tokenizer};
use crate::pipeline::{Asked, Decoded, find};
use crate::{Error, Limits, Result, TextSpec};

/// The input for the ids of tokens, unless the declaration names another.
const IDS: &str = "input_ids";
/// The input that tells tokens (1) from padding (0).
pub(crate) const MASK: &str = "attention_mask";
/// The input that tells the first text of a pair (0) from the second (1).
const TYPES: &str = "token_type_ids";

/// Tokens of a text, where neither the declaration, the model nor the tokenizer says how many.
const MAX_TOKENS: usize = 512;

/// How texts become the tensors of up to three inputs.
#[derive(Debug)]
pub(crate) struct TextPlan {
    tokenizer: Tokenizer,
    padding: Padding,
    ids: Column,
    mask: Option<Column>,
    types: Option<Column>,
    /// Tokens that the model takes, where it takes no other number.
    length: Option<usize>,
    /// Whether the model takes one text at a time.
    single: bool,
}

/// An input of whole numbers, one a token.
#[derive(Debug)]
struct Column {
    name: String,
    datatype: Datatype,
}

impl TextPlan {
    pub(crate) fn new(
        spec: &TextSpec,
        inputs: &[TensorMetadata],
        tokenizer: Option<Tokenizer>,
    ) -> Result<Self> {
        let mut tokenizer = tokenizer.ok_or_else(|| {
            let file = spec.tokenizer_file();
            Error::spec(format!(
                "kind = \"text\" needs the tokenizer's file {file:?}"
            ))
        })?;
        let named = |name: &str| inputs.iter().find(|input| input.name == name);
        let ids = match (&spec.tensor, named(IDS)) {
            (None, Some(ids)) => ids,
            (name, _) => find("input", name.as_deref(), inputs)?,
        };
        let others = inputs.iter().filter(|input| input.name != ids.name);
        if let Some(other) = others.clone().find(|i| ![MASK, TYPES].contains(&&*i.name)) {
            return Err(Error::spec(format!(
                "a text fills {:?}, {MASK:?} and {TYPES:?}, and the model has an input {:?} too; \
                 export it without",
                ids.name, other.name
            )));
        }
        let column = |name: &str| {
            let input = others.clone().find(|input| input.name == name);
            input.map(Column::of).transpose()
        };
        let length = usize::try_from(ids.shape.get(1).copied().unwrap_or(-1)).ok();
        let max = spec.max_tokens.or(length);
        let max = max.or(tokenizer.declared_max()).unwrap_or(MAX_TOKENS);
        if let Some(length) = length.filter(|&length| max > length) {
            return Err(Error::spec(format!(
                "`max_tokens` is {max}, and input {:?} takes {length}",
                ids.name
            )));
        }
        let padding = tokenizer.padding()?;
        tokenizer.cut_at(max)?;
        Ok(Self {
            padding,
            tokenizer,
            ids: Column::of(ids)?,
            mask: column(MASK)?,
            types: column(TYPES)?,
            length,
            single: ids.shape.first() == Some(&1),
        })
    }

    /// Texts as the model's inputs, filled up to the longest of them.
    pub(crate) fn decode(&self, texts: &[Text], list: bool, limits: &Limits) -> Result<Decoded> {
        self.check(texts, limits)?;
        let encodings = texts.iter().map(|text| self.tokenizer.encode(text));
        let encodings: Vec<Encoding> = encodings.collect::<Result<_>>()?;
        let longest = encodings.iter().map(Encoding::len).max().unwrap_or(0);
        if longest == 0 {
            return Err(Error::input("the text has no tokens"));
        }
        let length = self.length.unwrap_or(longest);
        let shape = [texts.len(), length];
        if texts.len().saturating_mul(length) > limits.tokens {
            return Err(Error::too_large(format!(
                "{} texts of up to {length} tokens; the limit is {} tokens in all",
                texts.len(),
                limits.tokens
            )));
        }
        let pad = self.padding;
        let real = self.rows(&encodings, shape, Encoding::get_attention_mask, 0);
        let mut inputs = vec![self.ids.fill(
            shape,
            &self.rows(&encodings, shape, Encoding::get_ids, pad.id),
        )?];
        if let Some(mask) = &self.mask {
            inputs.push(mask.fill(shape, &real)?);
        }
        if let Some(types) = &self.types {
            let values = self.rows(&encodings, shape, Encoding::get_type_ids, pad.type_id);
            inputs.push(types.fill(shape, &values)?);
        }
        let real = real.into_iter().map(|real| real == 1).collect();
        Ok(Decoded {
            inputs,
            asked: Asked::texts(list, real),
        })
    }

    /// One row of tokens that are all the last of the vocabulary, and its id.
    pub(crate) fn last_token(&self) -> Result<(Vec<NamedTensor>, u32)> {
        let id = self.tokenizer.largest();
        let shape = [1, self.length.unwrap_or(1)];
        let mut inputs = vec![self.ids.fill(shape, &vec![id; shape[1]])?];
        for (column, value) in [(&self.mask, 1), (&self.types, 0)] {
            if let Some(column) = column {
                inputs.push(column.fill(shape, &vec![value; shape[1]])?);
            }
        }
        Ok((inputs, id))
    }

    fn check(&self, texts: &[Text], limits: &Limits) -> Result<()> {
        let bytes: usize = texts.iter().map(Text::bytes).sum();
        if texts.is_empty() {
            return Err(Error::input("there are no texts"));
        }
        if self.single && texts.len() > 1 {
            return Err(Error::input(format!(
                "{} texts; this model takes one at a time (it is exported without a dynamic batch)",
                texts.len()
            )));
        }
        if texts.len() > limits.texts {
            return Err(Error::too_large(format!(
                "{} texts; the limit is {}",
                texts.len(),
                limits.texts
            )));
        }
        if bytes > limits.text_bytes {
            return Err(Error::too_large(format!(
                "{bytes} bytes of text; the limit is {}",
                limits.text_bytes
            )));
        }
        Ok(())
    }

    /// One value a token, `pad` where a text has none.
    fn rows(
        &self,
        encodings: &[Encoding],
        [_, length]: [usize; 2],
        values: impl Fn(&Encoding) -> &[u32],
        pad: u32,
    ) -> Vec<u32> {
        let mut rows = Vec::with_capacity(encodings.len() * length);
        for encoding in encodings {
            let values = values(encoding);
            let padding = std::iter::repeat_n(pad, length - values.len());
            if self.padding.left {
                rows.extend(padding);
                rows.extend_from_slice(values);
            } else {
                rows.extend_from_slice(values);
                rows.extend(padding);
            }
        }
        rows
    }
}

impl Column {
    fn of(input: &TensorMetadata) -> Result<Self> {
        let whole = matches!(input.datatype, Datatype::Int64 | Datatype::Int32);
        let [batch, _] = input.shape[..] else {
            return Err(Self::unfit(input));
        };
        if !whole || batch > 1 || batch == 0 {
            return Err(Self::unfit(input));
        }
        Ok(Self {
            name: input.name.clone(),
            datatype: input.datatype,
        })
    }

    fn unfit(input: &TensorMetadata) -> Error {
        Error::spec(format!(
            "input {:?} is {} of shape {:?}; tokens are INT64 or INT32 of [batch, length], with a \
             batch that is dynamic or 1",
            input.name, input.datatype, input.shape
        ))
    }

    fn fill(&self, shape: [usize; 2], values: &[u32]) -> Result<NamedTensor> {
        let shape = shape.to_vec();
        let tensor = if self.datatype == Datatype::Int32 {
            Tensor::from_vec(shape, values.iter().map(|&value| value as i32).collect())
        } else {
            Tensor::from_vec(
                shape,
                values.iter().map(|&value| i64::from(value)).collect(),
            )
        };
        let tensor =
            tensor.map_err(|error| Error::input("tokens do not fill a tensor").because(error))?;
        Ok(NamedTensor::new(&self.name, tensor))
    }
}
