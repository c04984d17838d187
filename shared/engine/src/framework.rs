//! tract's reader of ONNX with our operators, set up once a process.

use std::sync::LazyLock;

use tract_onnx::Onnx;

use crate::ops;

/// The reader. Declared shapes of inner values are ignored: several real models only load so,
/// and with concrete input shapes nothing needs them.
pub(crate) fn onnx() -> &'static Onnx {
    static ONNX: LazyLock<Onnx> = LazyLock::new(|| {
        let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
        ops::onnx::register(&mut onnx.op_register);
        onnx
    });
    &ONNX
}

/// Whether tract reads this operator.
pub(crate) fn has_operator(op: &str) -> bool {
    onnx().op_register.0.contains_key(op)
}
