//! The exported model, run as hosts will run it.

use bytes::Bytes;
use dunlin_engine::{LoadOptions, Model};
use dunlin_protocol::Datatype;
use dunlin_transforms::InputSpec;
use rayon::prelude::*;

use crate::data::{Dataset, Decoder, Part, stack};
use crate::export::Graph;
use crate::package::output_name;
use crate::recipes::Network;
use crate::{Error, ErrorKind, Result};

/// Examples that the engine is asked about at once.
const BATCH: usize = 32;

/// A network that became an ONNX file, loaded by the engine, and the way examples come to it.
#[derive(Debug)]
pub(crate) struct Served {
    onnx: Bytes,
    model: Model,
    /// Where the graph takes something else than the network does.
    plain: Option<Decoder>,
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
        let mut graph = Graph::new(name);
        let mut inputs = Vec::new();
        for input in data.decoder.metadata() {
            let sizes: Vec<usize> = input.shape[1..].iter().map(|&size| size as usize).collect();
            inputs.push(match input.datatype {
                Datatype::Int64 => graph.tokens(&input.name),
                _ => graph.input(&input.name, &sizes),
            });
        }
        let mut plain = None;
        if normalize_in_graph {
            let [mean, std] = data
                .decoder
                .normalization()
                .ok_or_else(|| Error::usage("--normalize-in-graph is for pictures"))?;
            inputs[0] = graph.normalize(&inputs[0], mean, std);
            plain = Some(data.decoder.plain()?);
        }
        let output = network.draw(&mut graph, &inputs);
        let outputs = [(output_name(data.task), &output, &[network.outputs()][..])];
        let onnx: Bytes = graph.finish(&outputs).into();
        let model = Model::load(name, onnx.clone(), &LoadOptions::default())?;
        Ok(Self { onnx, model, plain })
    }

    /// The same at another precision: with this file.
    pub(crate) fn at(self, name: &str, onnx: Bytes) -> Result<Self> {
        let model = Model::load(name, onnx.clone(), &LoadOptions::default())?;
        Ok(Self {
            onnx,
            model,
            ..self
        })
    }

    /// The file.
    pub(crate) fn onnx(&self) -> &Bytes {
        &self.onnx
    }

    /// How an example becomes its input.
    pub(crate) fn input<'a>(&'a self, data: &'a Dataset) -> &'a InputSpec {
        self.decoder(data).spec()
    }

    fn decoder<'a>(&'a self, data: &'a Dataset) -> &'a Decoder {
        self.plain.as_ref().unwrap_or(&data.decoder)
    }

    /// Outputs for the first test examples, `[examples × outputs]`.
    pub(crate) fn outputs(&self, data: &Dataset, count: usize) -> Result<Vec<f32>> {
        let decoder = self.decoder(data);
        let batches = data.part(Part::Test)[..count].par_chunks(BATCH);
        let outputs = batches.map(|examples| {
            let rows = examples.iter().map(|example| decoder.inputs(example));
            let inputs = stack(&rows.collect::<Result<Vec<_>>>()?)?;
            let outputs = self.model.run(inputs)?;
            outputs[0].tensor.to_vec::<f32>().map_err(unfit)
        });
        Ok(outputs.collect::<Result<Vec<_>>>()?.concat())
    }
}

fn unfit(error: dunlin_protocol::Error) -> Error {
    Error::new(ErrorKind::Failed, "a tensor of the exported model").because(error)
}
