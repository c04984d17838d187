//! What plans for new shapes are made from: the graph of the ONNX file.

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use tract_onnx::prelude::InferenceModel;

use crate::Limits;
use crate::error::{Error, Result};
use crate::source::{Decoded, Graph};

/// Gives the ONNX file that a plan was compiled from, for inputs of a shape that the plan wasn't
/// compiled for. It is called once at most, on the thread of the run that needs it.
pub type OnnxSource =
    Box<dyn Fn() -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// The graph, if there still is use for it.
pub(crate) enum Portable {
    /// Every plan there can be is made.
    Closed,
    Open(Box<Opened>),
    /// Read when it is needed.
    Later(Box<Later>),
}

pub(crate) struct Opened {
    pub(crate) graph: InferenceModel,
    /// Bytes of its weights.
    pub(crate) weights: u64,
}

pub(crate) struct Later {
    source: OnnxSource,
    opened: OnceLock<Opened>,
    opening: Mutex<()>,
}

impl Portable {
    pub(crate) fn open(graph: InferenceModel, weights: u64) -> Self {
        Self::Open(Box::new(Opened { graph, weights }))
    }

    pub(crate) fn later(source: OnnxSource) -> Self {
        Self::Later(Box::new(Later {
            source,
            opened: OnceLock::new(),
            opening: Mutex::new(()),
        }))
    }

    /// The graph, read first if need be; none where the model has no other plans.
    pub(crate) fn get(&self, limits: &Limits) -> Result<Option<&Opened>> {
        match self {
            Self::Closed => Ok(None),
            Self::Open(opened) => Ok(Some(opened)),
            Self::Later(later) => later.get(limits).map(Some),
        }
    }

    /// Bytes that it holds now.
    pub(crate) fn bytes(&self) -> u64 {
        let opened = match self {
            Self::Closed => None,
            Self::Open(opened) => Some(&**opened),
            Self::Later(later) => later.opened.get(),
        };
        opened.map_or(0, |opened| opened.weights)
    }
}

impl Opened {
    pub(crate) fn read(onnx: Bytes, limits: &Limits) -> Result<Self> {
        let decoded = Decoded::new(&onnx, limits)?;
        drop(onnx);
        let Graph { model, weights, .. } = decoded.check(limits)?.graph()?;
        Ok(Self {
            graph: model,
            weights,
        })
    }
}

impl Later {
    fn get(&self, limits: &Limits) -> Result<&Opened> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let onnx = (self.source)().map_err(|error| {
            Error::new(
                crate::ErrorKind::Failed,
                "the ONNX file, for inputs of another shape than the plan's, can't be had",
            )
            .caused_by(error)
        })?;
        let opened = Opened::read(onnx, limits)?;
        Ok(self.opened.get_or_init(|| opened))
    }
}

impl fmt::Debug for Portable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "Closed",
            Self::Open(_) => "Open",
            Self::Later(_) => "Later",
        })
    }
}
