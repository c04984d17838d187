//! The exported model, run as hosts will run it.

use bytes::Bytes;
use dunlin_engine::{LoadOptions, Model};
use dunlin_protocol::{NamedTensor, Tensor};
use dunlin_transforms::InputSpec;
use rayon::prelude::*;

use crate::data::{Dataset, Decoder, INPUT, Part};
use crate::export::Graph;
use crate::package::OUTPUT;
use crate::recipes::Network;
use crate::{Error, ErrorKind, Result};

/// Pictures that the engine is asked about at once.
const BATCH: usize = 32;

/// A network that became an ONNX file, loaded by the engine, and the way pictures come to it.
#[derive(Debug)]
pub(crate) struct Served {
    onnx: Bytes,
    model: Model,
    decoder: Decoder,
}

impl Served {
    /// Exports a network. `normalize_in_graph`: whether the graph takes pixels of 0 to 1, and not
    /// those that are normalized already.
    pub(crate) fn export<N: Network>(
        network: &N,
        data: &Dataset,
        name: &str,
        normalize_in_graph: bool,
    ) -> Result<Self> {
        let [mean, std] = data.decoder.normalization();
        let mut graph = Graph::new(name);
        let input = graph.input(INPUT, &data.decoder.shape());
        let (pictures, decoder) = if normalize_in_graph {
            (graph.normalize(&input, mean, std), data.decoder.plain()?)
        } else {
            (input, data.decoder.copy()?)
        };
        let scores = network.draw(&mut graph, &pictures);
        let onnx: Bytes = graph
            .finish(&[(OUTPUT, &scores, &[data.labels.len()])])
            .into();
        let model = Model::load(name, onnx.clone(), &LoadOptions::default())?;
        Ok(Self {
            onnx,
            model,
            decoder,
        })
    }

    /// The file.
    pub(crate) fn onnx(&self) -> &Bytes {
        &self.onnx
    }

    /// How a picture becomes its input.
    pub(crate) fn input(&self) -> &InputSpec {
        self.decoder.spec()
    }

    /// Scores of the first test pictures, `[pictures × classes]`.
    pub(crate) fn scores(&self, data: &Dataset, count: usize) -> Result<Vec<f32>> {
        let batches = data.part(Part::Test)[..count].par_chunks(BATCH);
        let scores = batches.map(|examples| {
            let [channels, height, width] = self.decoder.shape();
            let mut pictures = Vec::new();
            for example in examples {
                pictures.extend(self.decoder.picture(example)?);
            }
            let shape = vec![examples.len(), channels, height, width];
            let pictures = Tensor::from_vec(shape, pictures).map_err(unfit)?;
            let outputs = self.model.run(vec![NamedTensor::new(INPUT, pictures)])?;
            outputs[0].tensor.to_vec::<f32>().map_err(unfit)
        });
        Ok(scores.collect::<Result<Vec<_>>>()?.concat())
    }
}

fn unfit(error: dunlin_protocol::Error) -> Error {
    Error::new(ErrorKind::Failed, "a tensor of the exported model").because(error)
}
