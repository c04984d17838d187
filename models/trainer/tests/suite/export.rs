//! Each layer, in shapes drawn at random: what Burn computes, and what the engine computes from the
//! exported graph. `tests/check_exports.py` holds the same files against onnxruntime.

use std::fs;
use std::path::PathBuf;

use burn::module::Module as _;
use burn::nn::conv::Conv2dConfig;
use burn::nn::pool::MaxPool2dConfig;
use burn::nn::{BatchNormConfig, LayerNormConfig, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Distribution, Tensor};
use dunlin_engine::{LoadOptions, Model};
use dunlin_protocol::{Datatype, NamedTensor, Tensor as Served};
use dunlin_trainer::export::{Graph, Value};
use dunlin_trainer::recipes::{
    Cell, Cnn, Embed, Input as _, LabelledSeriesShape, Network, Resnet, Rnn, SeriesRnn,
    SeriesShape, Shape, TextRnn, TextShape, Tokens, Transformer,
};
use proptest::prelude::*;
use serde_json::json;

const TOLERANCE: f32 = 1e-5;

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().iter::<f32>().collect()
}

/// Draws a layer over `x`, and compares. `computed` is what Burn gave.
fn compare<const I: usize, const O: usize>(
    name: &str,
    x: &Tensor<I>,
    computed: &Tensor<O>,
    draw: impl FnOnce(&mut Graph, &Value) -> Value,
) -> Result<(), TestCaseError> {
    let served = Served::from_vec(x.dims().to_vec(), values(x)).expect("sound");
    let inputs = vec![NamedTensor::new("x", served)];
    compare_all(name, inputs, computed, |graph, inputs| {
        draw(graph, &inputs[0])
    })
}

/// Draws a network over its inputs, and compares.
fn compare_all<const O: usize>(
    name: &str,
    inputs: Vec<NamedTensor>,
    computed: &Tensor<O>,
    draw: impl FnOnce(&mut Graph, &[Value]) -> Value,
) -> Result<(), TestCaseError> {
    let mut graph = Graph::new(name);
    let mut drawn = Vec::new();
    for input in &inputs {
        drawn.push(match input.tensor.datatype() {
            Datatype::Int64 => graph.tokens(&input.name),
            _ => graph.input(&input.name, &input.tensor.shape()[1..]),
        });
    }
    let output = draw(&mut graph, &drawn);
    let onnx = graph.finish(&[("y", &output, &computed.dims()[1..])]);
    keep(name, &onnx, &inputs, computed);

    let model =
        Model::load(name, onnx.into(), &LoadOptions::default()).expect("the engine takes it");
    let outputs = model.run(inputs).expect("it runs");
    prop_assert_eq!(outputs[0].tensor.shape(), &computed.dims()[..]);
    let got: Vec<f32> = outputs[0].tensor.to_vec().expect("numbers");
    let want = values(computed);
    let scale = want
        .iter()
        .fold(1.0_f32, |scale, value| scale.max(value.abs()));
    for (got, want) in got.iter().zip(&want) {
        prop_assert!(
            (got - want).abs() <= TOLERANCE * scale,
            "{}: {} is not {}",
            name,
            got,
            want
        );
    }
    Ok(())
}

/// Keeps model, inputs and output for `tests/check_exports.py`, if it asks for them.
fn keep<const O: usize>(name: &str, onnx: &[u8], inputs: &[NamedTensor], y: &Tensor<O>) {
    let Some(folder) = std::env::var_os("DUNLIN_EXPORT_CASES").map(PathBuf::from) else {
        return;
    };
    let number = fs::read_dir(&folder).expect("a folder").count();
    let case = folder.join(format!("{name}-{number:04}"));
    fs::create_dir(&case).expect("a new folder");
    fs::write(case.join("model.onnx"), onnx).expect("written");
    let input = |input: &NamedTensor| {
        let (shape, tensor) = (input.tensor.shape(), &input.tensor);
        let values = match tensor.datatype() {
            Datatype::Int64 => json!(tensor.to_vec::<i64>().expect("whole numbers")),
            _ => json!(tensor.to_vec::<f32>().expect("numbers")),
        };
        json!({ "name": input.name, "type": tensor.datatype().to_string(), "shape": shape, "values": values })
    };
    let inputs: Vec<_> = inputs.iter().map(input).collect();
    let y = json!({ "type": "FP32", "shape": y.dims().to_vec(), "values": values(y) });
    let case_json = json!({ "inputs": inputs, "y": y });
    fs::write(case.join("case.json"), case_json.to_string()).expect("written");
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn conv2d(batch in 1..4_usize, groups in 1..3_usize, before in 1..4_usize, after in 1..4_usize,
              size in (8..14_usize, 8..14_usize), kernel in (1..5_usize, 1..5_usize), stride in (1..3_usize, 1..3_usize),
              pads in (0..3_usize, 0..3_usize), dilation in 1..3_usize, bias: bool) {
        let device = Device::default();
        let layer = Conv2dConfig::new([before * groups, after * groups], [kernel.0, kernel.1])
            .with_stride([stride.0, stride.1])
            .with_dilation([dilation, dilation])
            .with_groups(groups)
            .with_padding(PaddingConfig2d::Explicit(pads.0, pads.1, pads.0, pads.1))
            .with_bias(bias)
            .init(&device);
        let x = random([batch, before * groups, size.0, size.1], &device);
        compare("conv2d", &x, &layer.forward(x.clone()), |graph, x| graph.conv2d(x, &layer))?;
    }

    #[test]
    fn max_pool2d(batch in 1..4_usize, channels in 1..4_usize, size in (4..12_usize, 4..12_usize),
                  kernel in 1..4_usize, stride in 1..4_usize) {
        let device = Device::default();
        let layer = MaxPool2dConfig::new([kernel, kernel]).with_strides([stride, stride]).init();
        let x = random([batch, channels, size.0, size.1], &device);
        compare("max_pool2d", &x, &layer.forward(x.clone()), |graph, x| graph.max_pool2d(x, &layer))?;
    }

    #[test]
    fn batch_norm(batch in 1..4_usize, channels in 1..6_usize, size in (1..8_usize, 1..8_usize)) {
        let device = Device::default();
        // A few steps of training give it statistics of its own.
        let layer = BatchNormConfig::new(channels).init(&device).train();
        for _ in 0..3 {
            let seen = random([8, channels, size.0, size.1], &device.clone().autodiff());
            layer.forward(seen.mul_scalar(2.0).add_scalar(0.5));
        }
        let layer = layer.valid();
        let x = random([batch, channels, size.0, size.1], &device);
        compare("batch_norm", &x, &layer.forward(x.clone()), |graph, x| graph.batch_norm(x, &layer))?;
    }

    #[test]
    fn linear(batch in 1..5_usize, before in 1..40_usize, after in 1..20_usize, bias: bool) {
        let device = Device::default();
        let layer = LinearConfig::new(before, after).with_bias(bias).init(&device);
        let x = random([batch, before], &device);
        compare("linear", &x, &layer.forward(x.clone()), |graph, x| graph.linear(x, &layer))?;
    }

    #[test]
    fn element_wise_and_pooling(batch in 1..4_usize, channels in 1..4_usize, size in (1..8_usize, 1..8_usize),
                                mean in -1.0..1.0_f64, std in 0.1..2.0_f64) {
        let device = Device::default();
        let x = random([batch, channels, size.0, size.1], &device);
        let computed = ((x.clone() - mean) / std).mean_dim(2).mean_dim(3).flatten::<2>(1, 3);
        let (means, stds) = (vec![mean; channels], vec![std; channels]);
        compare("normalize", &x, &computed, |graph, x| {
            let x = graph.normalize(x, &means, &stds);
            let x = graph.global_average_pool(&x);
            graph.flatten(&x)
        })?;
        let computed = burn::tensor::activation::relu(x.clone()) + x.clone();
        compare("relu_add", &x, &computed, |graph, x| {
            let positive = graph.relu(x);
            graph.add(&positive, x)
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(6) })]

    #[test]
    fn whole_networks(batch in 1..4_usize, channels in prop::sample::select(vec![1_usize, 3]),
                      size in (8..30_usize, 8..30_usize), classes in 2..12_usize) {
        let device = Device::default();
        let shape = Shape { picture: [channels, size.0, size.1], classes };
        let x = random([batch, channels, size.0, size.1], &device);
        let cnn = Cnn::new(shape, 8, &device);
        compare("cnn", &x, &cnn.forward(x.clone()), |graph, x| cnn.draw(graph, std::slice::from_ref(x)))?;
        let resnet = Resnet::new(shape, 8, &device);
        compare("resnet", &x, &resnet.forward(x.clone()), |graph, x| resnet.draw(graph, std::slice::from_ref(x)))?;
    }

    #[test]
    fn layer_norm_gelu_and_dense(batch in 1..4_usize, length in 1..9_usize, width in 2..20_usize) {
        let device = Device::default();
        let (norm, dense) = (LayerNormConfig::new(width).init(&device), LinearConfig::new(width, 5).init(&device));
        let x = random([batch, length, width], &device);
        let computed = dense.forward(burn::tensor::activation::gelu(norm.forward(x.clone())));
        compare("layer_norm", &x, &computed, |graph, x| {
            let x = graph.layer_norm(x, &norm);
            let x = graph.gelu(&x);
            graph.dense(&x, &dense)
        })?;
    }

    #[test]
    fn networks_of_texts(batch in 1..4_usize, length in 2..40_usize, width in prop::sample::select(vec![8_usize, 16, 48]),
                         vocabulary in 5..60_usize, classes in 2..6_usize, seed: u64) {
        let device = Device::default();
        let shape = TextShape { vocabulary, length: length + 3, classes };
        // Texts of different lengths: one fills the batch, the others end earlier.
        let ids: Vec<i64> = (0..batch * length).map(|at| ((seed >> (at % 50)) as usize % vocabulary) as i64).collect();
        let present = |at: usize| i64::from(at % length < length - (at / length) % length);
        let mask = (0..batch * length).map(present).collect();
        let inputs = [("input_ids", ids), ("attention_mask", mask)].map(|(name, values): (&str, Vec<i64>)| {
            NamedTensor::new(name, Served::from_vec(vec![batch, length], values).expect("sound"))
        });
        compare_texts("transformer", &Transformer::new(shape, width, &device), &inputs)?;
        compare_texts("embed", &Embed::new(shape, width, &device), &inputs)?;
        compare_texts("gru_texts", &TextRnn::new(shape, Cell::Gru, width, &device), &inputs)?;
        compare_texts("lstm_texts", &TextRnn::new(shape, Cell::Lstm, width, &device), &inputs)?;
    }

    #[test]
    fn recurrent_networks(batch in 1..4_usize, season in 1..5_usize, more in 1..20_usize, columns in 1..4_usize,
                          steps in 1..9_usize, width in 1..20_usize) {
        let device = Device::default();
        let length = season + more;
        let foretold = SeriesShape { length, columns, target: columns - 1, steps, season, scale: 0.25 };
        let named = LabelledSeriesShape { length, columns, classes: steps + 1 };
        let x = random([batch, length, columns], &device);
        for (name, cell) in [("gru", Cell::Gru), ("lstm", Cell::Lstm)] {
            let network = Rnn::new(foretold, cell, width, &device);
            let name_of = |what: &str| format!("{name}_{what}");
            compare(&name_of("forecast"), &x, &network.forward(x.clone()), |graph, x| network.draw(graph, std::slice::from_ref(x)))?;
            let network = SeriesRnn::new(named, cell, width, &device);
            compare(&name_of("series"), &x, &network.forward(x.clone()), |graph, x| network.draw(graph, std::slice::from_ref(x)))?;
        }
    }
}

fn compare_texts<N: Network<Input = Tokens>>(
    name: &str,
    network: &N,
    inputs: &[NamedTensor],
) -> Result<(), TestCaseError> {
    let tokens = Tokens::on(&Device::default(), inputs).expect("tokens");
    let computed = network.forward(tokens);
    compare_all(name, inputs.to_vec(), &computed, |graph, inputs| {
        network.draw(graph, inputs)
    })
}
