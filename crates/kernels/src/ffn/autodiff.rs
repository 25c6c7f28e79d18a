//! The feed-forward networks as an extension of Burn's back ends.

use burn::backend::{
    Autodiff, Backend, Flex, TensorMetadata,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    backend_extension,
    flex::FlexTensor,
    tensor::FloatTensor,
};

use super::{
    backward::{self, PerRow},
    forward::forward,
    params::{self, Params, Sums},
    problem::{Inputs, KernelArgs, Problem},
};
use crate::flex::{slice, zeros};

/// The fused feed-forward networks, see [`super::grouped_ffn`].
#[backend_extension(Flex, Autodiff)]
pub(crate) trait GroupedFfn: Backend {
    /// Inputs that are absent according to `args` are empty tensors.
    #[allow(clippy::too_many_arguments, reason = "one tensor each")]
    fn grouped_ffn(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        w1: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        w2: FloatTensor<Self>,
        bias1: FloatTensor<Self>,
        bias2: FloatTensor<Self>,
        args: KernelArgs,
    ) -> FloatTensor<Self>;
}

/// The forward and backward passes of a training step.
pub(crate) trait FfnTraining: Backend {
    /// The output, and the values saved for backward: the input of the activation, `[rows, H]`, and the
    /// other factor of a gated network.
    fn train(
        inputs: Inputs<FloatTensor<Self>>,
        args: &KernelArgs,
    ) -> (FloatTensor<Self>, SavedTensors<Self>);
    /// The gradients of all inputs, from the gradient of the output.
    fn backward(
        inputs: Inputs<FloatTensor<Self>>,
        kept: SavedTensors<Self>,
        dy: FloatTensor<Self>,
        args: &KernelArgs,
    ) -> Inputs<FloatTensor<Self>>;
}

/// The input of the activation, and the other factor of a gated network; the latter is empty without a
/// gate.
type SavedTensors<B> = [FloatTensor<B>; 2];

impl GroupedFfn for Flex {
    fn grouped_ffn(
        x: FlexTensor,
        weights: FlexTensor,
        w1: FlexTensor,
        gate: FlexTensor,
        w2: FlexTensor,
        bias1: FlexTensor,
        bias2: FlexTensor,
        args: KernelArgs,
    ) -> FlexTensor {
        let inputs = Inputs { x, weights, w1, gate, w2, bias1, bias2 }.contiguous();
        let mut out = zeros(inputs.x.shape());
        forward(&Problem::new(&inputs, &args), out.storage_mut(), None);
        out
    }
}

impl FfnTraining for Flex {
    fn train(inputs: Inputs<FlexTensor>, args: &KernelArgs) -> (FlexTensor, [FlexTensor; 2]) {
        let inputs = inputs.contiguous();
        let problem = Problem::new(&inputs, args);
        let (h, n) = (problem.h, args.rows.len());
        let mut out = zeros(inputs.x.shape());
        let mut inner = zeros([n, h]);
        let mut other = zeros([if args.gated { n } else { 0 }, h]);
        let pieces = args.rows.cut(inner.storage_mut(), h);
        let others = args.gated.then(|| args.rows.cut(other.storage_mut(), h));
        forward(&problem, out.storage_mut(), Some((pieces, others)));
        (out, [inner, other])
    }

    fn backward(
        inputs: Inputs<FlexTensor>,
        [mut inner, mut other]: [FlexTensor; 2],
        dy: FlexTensor,
        args: &KernelArgs,
    ) -> Inputs<FlexTensor> {
        let (inputs, dy) = (inputs.contiguous(), dy.to_contiguous());
        let problem = Problem::new(&inputs, args);
        let (h, rows) = (problem.h, &args.rows);
        let like = |t: &FlexTensor| zeros(t.shape());
        let mut grads = Inputs {
            x: like(&inputs.x),
            weights: like(&inputs.weights),
            w1: like(&inputs.w1),
            gate: like(&inputs.gate),
            w2: like(&inputs.w2),
            bias1: like(&inputs.bias1),
            bias2: like(&inputs.bias2),
        };
        let (mut hidden, mut weight) = (zeros([rows.len(), h]), zeros([rows.len()]));
        let per_row = PerRow {
            inner: rows.cut(inner.storage_mut(), h),
            other: args.gated.then(|| rows.cut(other.storage_mut(), h)),
            hidden: rows.cut(hidden.storage_mut(), h),
            weight: rows.cut(weight.storage_mut(), 1),
        };
        backward::rows(&problem, slice(&dy), grads.x.storage_mut(), per_row);
        let sums = Sums {
            inner: slice(&inner),
            other: args.gated.then(|| slice(&other)),
            hidden: slice(&hidden),
        };
        let pieces = Params {
            w1: grads.w1.storage_mut(),
            gate: grads.gate.storage_mut(),
            w2: grads.w2.storage_mut(),
            bias1: grads.bias1.storage_mut(),
            bias2: grads.bias2.storage_mut(),
        };
        params::params(&problem, slice(&dy), &sums, pieces);
        if args.weighted {
            // Several rows may share a weight; they are added in order, so that the sum is always the
            // same.
            let grad: &mut [f32] = grads.weights.storage_mut();
            for (choice, ds) in rows.choice.iter().zip(slice(&weight)) {
                grad[*choice as usize] += ds;
            }
        }
        grads
    }
}

impl<B: GroupedFfn + FfnTraining, C: CheckpointStrategy> GroupedFfn for Autodiff<B, C> {
    fn grouped_ffn(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        w1: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        w2: FloatTensor<Self>,
        bias1: FloatTensor<Self>,
        bias2: FloatTensor<Self>,
        args: KernelArgs,
    ) -> FloatTensor<Self> {
        let nodes = [&x, &weights, &w1, &gate, &w2, &bias1, &bias2].map(|t| t.node());
        match Step.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let [x, weights, w1, gate, w2, bias1, bias2] =
                    [x, weights, w1, gate, w2, bias1, bias2].map(|t| t.into_primitive());
                let inputs = Inputs { x, weights, w1, gate, w2, bias1, bias2 };
                let (out, kept) = B::train(inputs.clone(), &args);
                prep.finish((inputs, kept, args), out)
            }
            OpsKind::UnTracked(prep) => {
                let [x, weights, w1, gate, w2, bias1, bias2] =
                    [x, weights, w1, gate, w2, bias1, bias2].map(|t| t.into_primitive());
                prep.finish(B::grouped_ffn(x, weights, w1, gate, w2, bias1, bias2, args))
            }
        }
    }
}

/// The backward step.
#[derive(Debug)]
struct Step;

impl<B: FfnTraining> Backward<B, 7> for Step {
    type State = (Inputs<FloatTensor<B>>, SavedTensors<B>, KernelArgs);

    fn backward(
        self,
        ops: Ops<Self::State, 7>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let (inputs, kept, args) = ops.state;
        let d = B::backward(inputs, kept, dy, &args);
        let all = [d.x, d.weights, d.w1, d.gate, d.w2, d.bias1, d.bias2];
        for (node, grad) in ops.parents.into_iter().zip(all) {
            if let Some(node) = node {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}
