//! tract's reader of ONNX, set up once a process.

use std::sync::LazyLock;

use tract_onnx::Onnx;

/// The reader. Declared shapes of inner values are ignored: several real models only load so,
/// and with concrete input shapes nothing needs them.
pub(crate) fn onnx() -> &'static Onnx {
    static ONNX: LazyLock<Onnx> = LazyLock::new(|| tract_onnx::onnx().with_ignore_value_info(true));
    &ONNX
}

/// Whether tract reads this operator.
pub(crate) fn has_operator(op: &str) -> bool {
    onnx().op_register.0.contains_key(op)
}
