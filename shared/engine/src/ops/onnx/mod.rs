//! Operators of ONNX that tract lacks, or has in part.
//!
//! Three ways to write one, the first that fits:
//! - [`body`]: as a body of other ONNX operators, written when datatypes and shapes are known. It
//!   becomes tract's own operators, optimized like all others.
//! - [`kernel`]: as arithmetic on whole tensors, where no other operators say it.
//! - [`late`]: as a graph of tract's, where subgraphs are involved.

mod attention;
mod batch_norm;
mod body;
mod control;
mod cum_prod;
mod fused;
mod fused_attention;
mod integers;
mod kernel;
mod late;
mod linear_attention;
mod loss;
mod optimizers;
mod partial;
mod ports;
mod quantize;
mod quantized;
mod rearrange;
mod recurrent;
mod sampling;
mod scanned;
mod small;
mod values;
mod windows;

use tract_onnx::model::OnnxOpRegister;

use body::body;
use kernel::own;

/// Adds them to those that tract reads, or puts them in their place.
#[allow(clippy::too_many_lines)] // A line an operator.
pub(crate) fn register(registry: &mut OnnxOpRegister) {
    // What tract has stays, under a name of its own, for those that need more at times.
    for name in [
        "BatchNormalization",
        "DequantizeLinear",
        "Pad",
        "QLinearMatMul",
        "QuantizeLinear",
        "Range",
        "ReduceMax",
        "ReduceMin",
        "Swish",
    ] {
        if let Some(&theirs) = registry.0.get(name) {
            registry.0.insert(format!("tract.{name}"), theirs);
        }
    }
    for name in ["ReduceMax", "ReduceMin"] {
        registry.insert(name, |_, node| body(node, partial::Extreme::parse(node)?));
    }
    registry.insert("BatchNormalization", |_, node| {
        body(node, batch_norm::BatchNormalization::parse(node)?)
    });
    registry.insert("Swish", |_, node| body(node, partial::Swish::parse(node)?));
    registry.insert("OneHot", |_, node| {
        body(node, partial::OneHot::parse(node)?)
    });
    registry.insert("Pad", |_, node| body(node, partial::Pad::parse(node)?));
    registry.insert("Range", |_, node| body(node, partial::Range));
    registry.insert("QuantizeLinear", |_, node| {
        body(node, quantize::Quantize::parse(node)?)
    });
    registry.insert("DequantizeLinear", |_, node| {
        body(node, quantize::Dequantize::parse(node)?)
    });
    registry.insert("QLinearConv", |_, node| {
        body(node, quantized::QLinearConv::of(node))
    });
    registry.insert("QLinearMatMul", |_, node| {
        body(node, quantize::QLinearMatMul)
    });
    registry.insert("OptionalHasElement", |_, node| {
        body(node, partial::OptionalHasElement)
    });
    registry.insert("OptionalGetElement", |_, node| {
        body(node, partial::OptionalGetElement)
    });
    registry.insert("BitShift", |_, node| {
        own(node, integers::BitShift::parse(node)?)
    });
    registry.insert("Det", |_, node| own(node, integers::Det));
    // Losses and training steps.
    registry.insert("NegativeLogLikelihoodLoss", |_, node| {
        own(node, loss::Loss::parse(node, false)?)
    });
    registry.insert("SoftmaxCrossEntropyLoss", |_, node| {
        own(node, loss::Loss::parse(node, true)?)
    });
    for name in ["Adagrad", "Adam", "Momentum"] {
        registry.insert(name, |_, node| {
            own(node, optimizers::Optimizer::parse(node)?)
        });
    }
    registry.insert("If", control::condition);
    registry.insert("Loop", control::repetition);
    // Windows over pictures.
    registry.insert("LpPool", |_, node| own(node, windows::LpPool::parse(node)?));
    registry.insert("Col2Im", |_, node| own(node, windows::Col2Im::parse(node)?));
    registry.insert("MaxUnpool", |_, node| {
        own(node, windows::MaxUnpool::parse(node)?)
    });
    registry.insert("AffineGrid", |_, node| {
        own(node, sampling::AffineGrid::parse(node)?)
    });
    registry.insert("RoiAlign", |context, node| {
        own(
            node,
            sampling::RoiAlign::parse(node, context.onnx_operator_set_version)?,
        )
    });
    registry.insert("DeformConv", |_, node| {
        own(node, sampling::DeformConv::parse(node)?)
    });
    registry.insert("Upsample", |_, node| {
        body(node, small::Upsample::parse(node)?)
    });
    // Language models.
    registry.insert("Attention", |context, node| {
        body(
            node,
            attention::Attention::parse(node, context.onnx_operator_set_version)?,
        )
    });
    registry.insert("FlexAttention", |_, node| {
        body(node, attention::FlexAttention::parse(node)?)
    });
    registry.insert("LinearAttention", |_, node| {
        own(node, linear_attention::LinearAttention::parse(node)?)
    });
    registry.insert("CausalConvWithState", |_, node| {
        body(node, small::CausalConvWithState::parse(node)?)
    });
    registry.insert("SwiGLU", |_, node| body(node, small::SwiGlu::parse(node)?));
    for name in ["LSTM", "GRU", "RNN"] {
        registry.insert(name, recurrent::recurrent);
    }
    // Elements moved or counted.
    registry.insert("ReverseSequence", |_, node| {
        own(node, rearrange::ReverseSequence::parse(node)?)
    });
    registry.insert("TensorScatter", |_, node| {
        own(node, rearrange::TensorScatter::parse(node)?)
    });
    registry.insert("CenterCropPad", |_, node| {
        own(node, rearrange::CenterCropPad::parse(node)?)
    });
    registry.insert("BitCast", |_, node| {
        own(node, rearrange::BitCast::parse(node)?)
    });
    registry.insert("CumProd", |_, node| {
        own(node, cum_prod::CumProd::parse(node)?)
    });
    registry.insert("Celu", |_, node| body(node, small::Celu::parse(node)?));
    registry.insert("Binarizer", |_, node| {
        body(node, small::Binarizer::parse(node)?)
    });
    contrib(registry);
}

/// onnxruntime's own, under the name that [`crate::import`] gives them.
fn contrib(registry: &mut OnnxOpRegister) {
    registry.insert("com.microsoft.FusedMatMul", |_, node| {
        body(node, fused::FusedMatMul::parse(node)?)
    });
    registry.insert("com.microsoft.FusedConv", |_, node| {
        body(node, fused::Activated::parse(node, "Conv")?)
    });
    registry.insert("com.microsoft.FusedGemm", |_, node| {
        body(node, fused::Activated::parse(node, "Gemm")?)
    });
    registry.insert("com.microsoft.EmbedLayerNormalization", |_, node| {
        body(node, fused::EmbedLayerNormalization::parse(node)?)
    });
    registry.insert("com.microsoft.SkipLayerNormalization", |_, node| {
        body(node, fused::SkipLayerNormalization::parse(node)?)
    });
    registry.insert("com.microsoft.Attention", |_, node| {
        body(node, fused_attention::FusedAttention::parse(node)?)
    });
    for name in [
        "com.microsoft.QLinearAdd",
        "com.microsoft.QLinearMul",
        "com.microsoft.QLinearSigmoid",
        "com.microsoft.QLinearLeakyRelu",
        "com.microsoft.QLinearSoftmax",
        "com.microsoft.QLinearAveragePool",
        "com.microsoft.QLinearGlobalAveragePool",
    ] {
        registry.insert(name, |_, node| body(node, quantized::QLinear::parse(node)?));
    }
    registry.insert("com.microsoft.QLinearConcat", |_, node| {
        body(node, quantized::QLinearConcat::parse(node)?)
    });
    registry.insert("com.microsoft.QGemm", |_, node| {
        body(node, quantized::QGemm::parse(node)?)
    });
    registry.insert("com.microsoft.MatMulIntegerToFloat", |_, node| {
        body(node, quantized::MatMulIntegerToFloat)
    });
    registry.insert("com.microsoft.DynamicQuantizeMatMul", |_, node| {
        body(node, quantized::DynamicQuantizeMatMul)
    });
    registry.insert("com.microsoft.DynamicQuantizeLSTM", |_, node| {
        body(node, quantized::DynamicQuantizeLstm::of(node))
    });
}
