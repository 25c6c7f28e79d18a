//! Matrix products of tensors, whose bits are the same on every processor.
//!
//! Burn's own product chooses the order of its sums by the vector width and the cache sizes of the
//! processor, so that a training run gives different numbers on another processor; see [`crate::product`].
//!
//! ```text
//! y = a b        da = dy b^T        db = a^T dy
//! ```

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex, TensorMetadata,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind, binary},
        },
        backend_extension,
        flex::FlexTensor,
        tensor::FloatTensor,
    },
    module::Param,
    nn::Linear,
    tensor::{Shape, Tensor},
};
use rayon::prelude::*;

use crate::{
    flex::{slice, takes, zeros},
    product::{Old, View, product},
    transpose::transpose,
};

/// `[.., M, K] x [.., K, N] -> [.., M, N]`, like [`Tensor::matmul`]: the other axes are equal, or 1 in one
/// of the two tensors.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    if D < 2 || !(takes(&a) && takes(&b)) {
        return a.matmul(b);
    }
    let (of_a, of_b) = (a.dims(), b.dims());
    let shared = of_b[..D - 2].iter().all(|n| *n == 1);
    if D == 2 || !shared {
        let y = <Dispatch as Products>::matrix_product(a.into_dispatch(), b.into_dispatch());
        return Tensor::from_dispatch(y);
    }
    // One matrix `b` for all matrices of `a`: the rows of all are those of one product.
    let [k, n] = [of_b[D - 2], of_b[D - 1]];
    let mut shape = of_a;
    shape[D - 1] = n;
    let rows = of_a[..D - 1].iter().product();
    matmul(a.reshape([rows, of_a[D - 1]]), b.reshape([k, n])).reshape(shape)
}

/// `x w + b` for the last axis of x: `[.., D]` and `[D, H]` to `[.., H]`.
///
/// # Panics
/// If the widths differ.
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    let y = matmul(x, weight.unsqueeze());
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}

/// The output of a linear layer for `[.., D]`, as [`Linear::forward`], by [`matmul`].
///
/// # Panics
/// If the widths differ.
pub fn linear_layer<const D: usize>(layer: &Linear, x: Tensor<D>) -> Tensor<D> {
    linear(x, layer.weight.val(), layer.bias.as_ref().map(Param::val))
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Products: Backend {
    /// See [`matmul`].
    fn matrix_product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl Products for Flex {
    fn matrix_product(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        let (a, b) = (Stack::new(a), Stack::new(b).row_by_row());
        let ([m, k], [k2, n]) = (a.shape, b.shape);
        assert_eq!(k, k2, "the inner widths of a product");
        let outer = broadcast(&a.outer, &b.outer);
        let mut shape = outer.clone();
        shape.extend([m, n]);
        let mut y = zeros(Shape::from(shape));
        let out: &mut [f32] = y.storage_mut();
        if out.is_empty() {
            return y;
        }
        let rows = rows_of_a_task(m, n, k);
        let together = (WORTH_IT / (m * n * k).max(1)).max(1);
        let one = |index: usize, out: &mut [f32]| {
            let (a, b) = (a.matrix(index, &outer), b.matrix(index, &outer));
            out.par_chunks_mut(rows * n).enumerate().for_each(|(task, out)| {
                product(out, Old::Forget, a.rows(task * rows, out.len() / n), b);
            });
        };
        let matrices = out.par_chunks_mut(m * n).with_min_len(together).enumerate();
        matrices.for_each(|(index, out)| one(index, out));
        y
    }
}

/// The number of multiplications from which on a task for a thread pays off. Dividing the work changes no
/// sum.
const WORTH_IT: usize = 1 << 20;

/// The number of rows of the result in one task: enough for the task to pay off, but not too many tasks,
/// since each reads all of the second factor.
fn rows_of_a_task(m: usize, n: usize, k: usize) -> usize {
    const TASKS: usize = 16;
    let worth_it = WORTH_IT / (n * k).max(1);
    worth_it.max(m / TASKS).next_multiple_of(12).clamp(12, m.max(12))
}

/// The shape of a stack of products, each axis the larger of two that are equal or 1.
fn broadcast(a: &[usize], b: &[usize]) -> Vec<usize> {
    assert_eq!(a.len(), b.len(), "the factors of a product must have equal ranks");
    let axis = |(a, b): (&usize, &usize)| {
        assert!(a == b || *a == 1 || *b == 1, "outer axes of a product do not fit: {a} and {b}");
        if *a == 1 { *b } else { *a }
    };
    a.iter().zip(b).map(axis).collect()
}

/// A tensor as a stack of matrices, one after the other.
struct Stack {
    numbers: FlexTensor,
    outer: Vec<usize>,
    shape: [usize; 2],
    /// Whether the matrices are stored in column-major order.
    turned: bool,
}

impl Stack {
    fn new(x: FlexTensor) -> Self {
        let shape = x.shape();
        let axes = shape.num_dims();
        let outer = (0..axes - 2).map(|axis| shape[axis]).collect();
        let turned = x.transpose(axes - 2, axes - 1);
        let (numbers, turned) = match x.is_contiguous() {
            true => (x, false),
            false if turned.is_contiguous() => (turned, true),
            false => (x.to_contiguous(), false),
        };
        Self { numbers, outer, shape: [shape[axes - 2], shape[axes - 1]], turned }
    }

    /// The same stack with the matrices stored in row-major order.
    fn row_by_row(self) -> Self {
        if !self.turned {
            return self;
        }
        let ([rows, columns], size) = (self.shape, self.shape[0] * self.shape[1]);
        let mut numbers = zeros([slice(&self.numbers).len()]);
        let out: &mut [f32] = numbers.storage_mut();
        out.par_chunks_mut(size.max(1))
            .zip(slice(&self.numbers).par_chunks(size.max(1)))
            .for_each(|(to, from)| transpose(to, from, [columns, rows], rows));
        Self { numbers, turned: false, ..self }
    }

    /// The matrix with this index in a stack with these outer axes.
    fn matrix(&self, index: usize, outer: &[usize]) -> View<'_> {
        let (mut index, mut place, mut step) = (index, 0, 1);
        for (all, own) in outer.iter().zip(&self.outer).rev() {
            place += (index % all) % own * step;
            (index, step) = (index / all, step * own);
        }
        let ([rows, columns], size) = (self.shape, self.shape[0] * self.shape[1]);
        let numbers = &slice(&self.numbers)[place * size..(place + 1) * size];
        match self.turned {
            true => View::new(numbers, columns, rows).t(),
            false => View::new(numbers, rows, columns),
        }
    }
}

impl<B: Products, C: CheckpointStrategy> Products for Autodiff<B, C> {
    fn matrix_product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let needed = [b.is_tracked(), a.is_tracked()];
        let nodes = [a.node(), b.node()];
        let [a, b] = [a, b].map(|x| x.into_primitive());
        match Step.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let factors = [needed[0].then(|| a.clone()), needed[1].then(|| b.clone())];
                let state = (factors, [a.shape(), b.shape()]);
                prep.finish(state, B::matrix_product(a, b))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::matrix_product(a, b)),
        }
    }
}

#[derive(Debug)]
struct Step;

impl<B: Products> Backward<B, 2> for Step {
    /// Each factor, if the other one requires a gradient; and their shapes.
    type State = ([Option<FloatTensor<B>>; 2], [Shape; 2]);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([a, b], [of_a, of_b]) = ops.state;
        let turned = |x: Option<FloatTensor<B>>| {
            B::float_transpose(x.expect("kept for the other factor's gradient"))
        };
        binary::<B, _, _>(
            ops.parents,
            ops.node,
            grads,
            |dy| narrowed::<B>(B::matrix_product(dy, turned(b)), &of_a),
            |dy| narrowed::<B>(B::matrix_product(turned(a), dy), &of_b),
        );
    }
}

/// The gradient summed over the axes that were 1 before the product.
fn narrowed<B: Backend>(gradient: FloatTensor<B>, shape: &Shape) -> FloatTensor<B> {
    let axes = 0..shape.num_dims();
    axes.fold(gradient, |gradient, axis| match gradient.shape()[axis] == shape[axis] {
        true => gradient,
        false => B::float_sum_dim(gradient, axis),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::width::testing::at_each_width;
    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;

    fn values(seed: usize, n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1013) as f32 / 500.0 - 1.0).collect()
    }

    fn tensor(seed: usize, shape: [usize; 4], turned: bool) -> Tensor<4> {
        let [a, b, m, n] = shape;
        let stored = if turned { [a, b, n, m] } else { shape };
        let data = TensorData::new(values(seed, a * b * m * n), stored);
        let x = Tensor::from_data(data, &Device::flex().autodiff()).require_grad();
        if turned { x.transpose() } else { x }
    }

    type Of = fn(Tensor<4>, Tensor<4>) -> Tensor<4>;

    /// The product and both gradients.
    fn run(f: Of, a: &Tensor<4>, b: &Tensor<4>) -> [Vec<f32>; 3] {
        let (a, b) = (a.clone().detach().require_grad(), b.clone().detach().require_grad());
        let y = f(a.clone(), b.clone());
        let shape = y.dims();
        let weights = TensorData::new(values(3, shape.iter().product()), shape);
        let grads = (y.clone() * Tensor::from_data(weights, &y.device())).sum().backward();
        [y, a.grad(&grads).unwrap(), b.grad(&grads).unwrap()]
            .map(|x| x.into_data().iter::<f32>().collect())
    }

    proptest! {
        #[test]
        fn it_is_burns_product_with_its_gradients(
            outer in prop::sample::select(vec![[[2, 3], [2, 3]], [[1, 3], [2, 1]], [[2, 2], [1, 1]]]),
            m in 1_usize..40,
            k in 1_usize..40,
            n in 1_usize..40,
            turned in any::<[bool; 2]>(),
        ) {
            let [[a0, a1], [b0, b1]] = outer;
            let (a, b) = (tensor(1, [a0, a1, m, k], turned[0]), tensor(2, [b0, b1, k, n], turned[1]));
            let (ours, burns) = (run(matmul, &a, &b), run(Tensor::matmul, &a, &b));
            for (x, y) in ours.iter().flatten().zip(burns.iter().flatten()) {
                prop_assert!((x - y).abs() < 1e-4, "{x} {y}");
            }
        }

        #[test]
        fn every_width_of_registers_gives_the_same_bits(
            m in 1_usize..30,
            k in 1_usize..600,
            n in 1_usize..70,
        ) {
            let (a, b) = (tensor(1, [1, 2, m, k], false), tensor(2, [1, 2, k, n], true));
            let all = at_each_width(|| run(matmul, &a, &b));
            prop_assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
        }
    }

    #[test]
    fn a_linear_layer_is_burns() {
        let device = Device::flex();
        let layer = burn::nn::LinearConfig::new(5, 3).init(&device);
        let x = Tensor::<3>::from_data(TensorData::new(values(1, 40), [2, 4, 5]), &device);
        let (ours, burns) = (linear_layer(&layer, x.clone()), layer.forward(x));
        let difference = (ours - burns).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-6, "{difference}");
    }

    #[test]
    #[should_panic(expected = "the inner widths of a product")]
    fn widths_that_differ_are_refused() {
        let ones = |shape: [usize; 2]| Tensor::<2>::ones(shape, &Device::flex());
        matmul(ones([2, 3]), ones([2, 3]));
    }
}
