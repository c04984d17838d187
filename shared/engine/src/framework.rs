//! tract's reader of ONNX with our operators, and what tract must know first, set up once a process.

use std::sync::{LazyLock, Once};

use tract_onnx::Onnx;
use tract_onnx::tract_core::tract_linalg::knobs::TRACT_AVX512_FMA_UNITS;

use crate::ops;

/// The reader. Declared shapes of inner values are ignored: several real models only load so,
/// and with concrete input shapes nothing needs them.
pub(crate) fn onnx() -> &'static Onnx {
    static ONNX: LazyLock<Onnx> = LazyLock::new(|| {
        settle();
        let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
        ops::onnx::register(&mut onnx.op_register);
        onnx
    });
    &ONNX
}

/// Tells tract which of two widths its integer products have on AVX-512, where it would find out by 5 ms of measuring,
/// in each process. A plan holds operands packed for one width: hosts of one target must not differ. 256 bits suit all.
/// Who sets tract's own variable decides for himself.
pub(crate) fn settle() {
    static SETTLED: Once = Once::new();
    SETTLED.call_once(|| {
        if TRACT_AVX512_FMA_UNITS.get().is_none() {
            TRACT_AVX512_FMA_UNITS.set(Some("1".to_owned()));
        }
    });
}

/// Whether tract reads this operator.
pub(crate) fn has_operator(op: &str) -> bool {
    onnx().op_register.0.contains_key(op)
}
