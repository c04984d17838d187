//! The one error type of this room.

use std::fmt;

/// What went wrong, in a word to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are no sound ONNX model.
    InvalidModel,
    /// A sound model that this engine can't run rightly.
    Unsupported,
    /// A limit was passed.
    TooLarge,
    /// The inputs of a run don't fit the model.
    InvalidInput,
    /// The run itself failed: a defect of the engine or of the model's arithmetic.
    Failed,
}

/// An error with its place: the model, where known the node and its operator, and the cure.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Details>);

#[derive(Debug, thiserror::Error)]
#[error("{}", Text(self))]
struct Details {
    kind: ErrorKind,
    model: String,
    node: Option<String>,
    op: Option<String>,
    message: String,
    cure: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What every fallible function of this room returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind,
            model: String::new(),
            node: None,
            op: None,
            message: message.into(),
            cure: None,
            source: None,
        }))
    }

    pub(crate) fn invalid_model(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidModel, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, message)
    }

    pub(crate) fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// Puts tract's words under an error of ours, with the node where they name one.
    pub(crate) fn from_tract(
        kind: ErrorKind,
        message: impl Into<String>,
        source: tract_onnx::prelude::TractError,
    ) -> Self {
        let place = source.chain().find_map(|cause| place(&cause.to_string()));
        let error = Self::new(kind, message).caused_by(source);
        match place {
            Some((node, op)) => error.at(&node, &op),
            None => error,
        }
    }

    /// Names the node, unless a place closer to the cause is already known.
    pub(crate) fn at(mut self, node: &str, op: &str) -> Self {
        if self.0.node.is_none() {
            self.0.node = (!node.is_empty()).then(|| node.to_owned());
            self.0.op = (!op.is_empty()).then(|| op.to_owned());
        }
        self
    }

    pub(crate) fn with_cure(mut self, cure: impl Into<String>) -> Self {
        self.0.cure = Some(cure.into());
        self
    }

    pub(crate) fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn in_model(mut self, model: &str) -> Self {
        model.clone_into(&mut self.0.model);
        self
    }

    /// What went wrong, in a word.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The model, by the name it was loaded under.
    pub fn model(&self) -> &str {
        &self.0.model
    }

    /// The graph's node at fault, where known.
    pub fn node(&self) -> Option<&str> {
        self.0.node.as_deref()
    }

    /// The operator of that node, where known.
    pub fn op(&self) -> Option<&str> {
        self.0.op.as_deref()
    }

    /// What the model's owner can do about it.
    pub fn cure(&self) -> Option<&str> {
        self.0.cure.as_deref()
    }
}

/// The message: place, what happened, the causes of tract in one line, the cure.
struct Text<'a>(&'a Details);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details {
            model,
            node,
            op,
            message,
            cure,
            source,
            ..
        } = self.0;
        if !model.is_empty() {
            write!(f, "model {model}: ")?;
        }
        match (node, op) {
            (Some(node), Some(op)) => write!(f, "\"{node}\" ({op}): ")?,
            (Some(node), None) => write!(f, "\"{node}\": ")?,
            (None, Some(op)) => write!(f, "{op}: ")?,
            (None, None) => {}
        }
        f.write_str(message)?;
        // The innermost cause says most; the chain in between is in `source()`.
        let root = source.as_deref().map(|source| {
            let mut cause: &(dyn std::error::Error + 'static) = source;
            while let Some(next) = cause.source() {
                cause = next;
            }
            one_line(&cause.to_string())
        });
        if let Some(root) = root {
            write!(f, ": {root}")?;
        }
        if let Some(cure) = cure {
            write!(f, "; {cure}")?;
        }
        Ok(())
    }
}

/// One line of at most 300 characters: tract prints whole tensors and stacks.
fn one_line(text: &str) -> String {
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(300) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// The node and operator in a context of tract's, which writes `… #12 "name" Op …`.
fn place(text: &str) -> Option<(String, String)> {
    let (_, rest) = text.split_once(" #")?;
    let (number, rest) = rest.split_once(" \"")?;
    number.parse::<usize>().ok()?;
    let (node, rest) = rest.split_once('"')?;
    let op = rest.split_whitespace().next().unwrap_or_default();
    Some((node.to_owned(), op.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_place_cause_and_cure() {
        let error = Error::unsupported("no such operator")
            .at("conv_1", "DeformConv")
            .with_cure("export with opset 18")
            .in_model("net");
        assert_eq!(
            error.to_string(),
            "model net: \"conv_1\" (DeformConv): no such operator; export with opset 18"
        );
    }

    #[test]
    fn finds_the_place_in_the_words_of_tract() {
        assert_eq!(
            place("Failed analyse for node #12 \"add one\" Add"),
            Some(("add one".into(), "Add".into()))
        );
        assert_eq!(place("Infering facts"), None);
    }
}
