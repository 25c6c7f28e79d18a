//! Operations on one tensor in Burn's automatic differentiation: the values that they save in the forward
//! pass, and the gradient that is computed from the saved values.

use std::{fmt::Debug, marker::PhantomData};

use burn::backend::{
    Autodiff, Backend,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind, unary},
    },
    tensor::FloatTensor,
};

/// The values that an operation saves in its forward pass.
pub(crate) trait SavedForBackward<B: Backend>: Clone + Debug + Send + 'static {
    /// The gradient of the input, from the gradient of the output.
    fn gradient(self, dy: FloatTensor<B>) -> FloatTensor<B>;
}

/// Applies an operation to `x`. `tracked` returns the output and the values saved for the gradient;
/// `untracked`, which is called if no gradient is required, returns only the output.
pub(crate) fn differentiable<B: Backend, C: CheckpointStrategy, K: SavedForBackward<B>>(
    x: FloatTensor<Autodiff<B, C>>,
    tracked: impl FnOnce(FloatTensor<B>) -> (FloatTensor<B>, K),
    untracked: impl FnOnce(FloatTensor<B>) -> FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    match Step(PhantomData::<K>).prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (y, kept) = tracked(x.into_primitive());
            prep.finish(kept, y)
        }
        OpsKind::UnTracked(prep) => prep.finish(untracked(x.into_primitive())),
    }
}

#[derive(Debug)]
struct Step<K>(PhantomData<K>);

impl<B: Backend, K: SavedForBackward<B>> Backward<B, 1> for Step<K> {
    type State = K;

    fn backward(self, ops: Ops<K, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let kept = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |dy| kept.gradient(dy));
    }
}
