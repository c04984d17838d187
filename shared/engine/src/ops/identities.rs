//! The pass that takes out nodes which do nothing: they stand between operators that belong together.

use tract_onnx::prelude::{TractResult, TypedModel};
use tract_onnx::tract_core::internal::TypedModelPatch;
use tract_onnx::tract_core::ops::identity::Identity;

/// Has the readers of an `Identity` read what it reads.
pub(crate) fn drop_identities(mut model: TypedModel) -> TractResult<TypedModel> {
    for id in model.eval_order()? {
        let node = model.node(id);
        if node.op_is::<Identity>()
            && let Some(patch) = TypedModelPatch::shunt_one_op(&model, node)?
        {
            patch.apply(&mut model)?;
        }
    }
    Ok(model)
}
