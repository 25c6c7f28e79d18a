//! Norms over the last axis, each a pass over the lines instead of a dozen tensor operations.
//!
//! Ba, Kiros, Hinton. *Layer Normalization*. 2016. <https://arxiv.org/abs/1607.06450>
//! Zhang, Sennrich. *Root Mean Square Layer Normalization*. NeurIPS 2019.
//! <https://arxiv.org/abs/1910.07467>
//!
//! With m the mean of a line (0 for the root mean square), r = 1 / sqrt(mean((x - m)^2) + epsilon)
//! and n = r (x - m):
//!
//! ```text
//! y = gamma n + beta
//! dn = gamma dy    dx = r (dn - [mean(dn)] - n mean(n dn))    dgamma = sum(n dy)    dbeta = sum(dy)
//! ```

use std::ops::Range;

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex, TensorMetadata,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        flex::FlexTensor,
        tensor::FloatTensor,
    },
    tensor::Tensor,
};
use rayon::prelude::*;

use crate::{
    flex::{slice, takes, zeros},
    simd::{dot, sum, sum_of, vectorized},
};

/// Normalises the last axis to mean 0 and variance 1, then scales and shifts it: `gamma`, `beta`, each
/// `[D]`.
///
/// # Panics
/// If the widths differ.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Option<Tensor<1>>,
    epsilon: f64,
) -> Tensor<D> {
    norm(x, gamma, beta, epsilon, true)
}

/// Normalises the last axis to root mean square 1, then scales it: `gamma`, `[D]`.
///
/// # Panics
/// If the widths differ.
pub fn rms_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, epsilon: f64) -> Tensor<D> {
    norm(x, gamma, None, epsilon, false)
}

/// Normalises parts of the last axis to root mean square 1 each: first `counts[0]` parts, which are as wide as
/// the first scale and scaled by it, then `counts[1]` parts with the second scale. The rest of the axis stays.
///
/// # Panics
/// If the parts are longer than the axis.
pub fn rms_norm_parts<const D: usize>(
    x: Tensor<D>,
    scales: [Tensor<1>; 2],
    counts: [usize; 2],
    epsilon: f64,
) -> Tensor<D> {
    let width = |i: usize| scales[i].dims()[0];
    let groups = [0, 1].map(|i| Parts { count: counts[i], width: width(i) });
    let args = NormArgs { epsilon: epsilon as f32, centred: false, shifted: false, groups };
    assert!(args.covered() <= x.dims()[D - 1], "the parts are longer than the line");
    if !(takes(&x) && scales.iter().all(takes)) {
        return portable_parts(x, scales, groups, epsilon);
    }
    fused(x, Tensor::cat(scales.into(), 0), None, args)
}

fn norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Option<Tensor<1>>,
    epsilon: f64,
    centred: bool,
) -> Tensor<D> {
    let width = x.dims()[D - 1];
    assert_eq!(gamma.dims(), [width], "the scale");
    assert!(beta.as_ref().is_none_or(|beta| beta.dims() == [width]), "the shift");
    if !(takes(&x) && takes(&gamma)) {
        return portable(x, gamma, beta, epsilon, centred);
    }
    let groups = [Parts { count: 1, width }, Parts { count: 0, width: 0 }];
    let args = NormArgs { epsilon: epsilon as f32, centred, shifted: beta.is_some(), groups };
    fused(x, gamma, beta, args)
}

fn fused<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Option<Tensor<1>>,
    args: NormArgs,
) -> Tensor<D> {
    // An operation has a fixed number of inputs, so an empty tensor represents an absent one.
    let device = x.device().inner();
    let beta = beta.unwrap_or_else(|| Tensor::zeros([0], &device));
    Tensor::from_dispatch(<Dispatch as Norm>::norm(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        args,
    ))
}

fn portable<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Option<Tensor<1>>,
    epsilon: f64,
    centred: bool,
) -> Tensor<D> {
    let x = if centred { x.clone() - x.mean_dim(D - 1) } else { x };
    let rms = (x.clone().square().mean_dim(D - 1) + epsilon).sqrt();
    let y = x / rms * gamma.unsqueeze();
    beta.map_or(y.clone(), |beta| y + beta.unsqueeze())
}

/// [`rms_norm_parts`], composed.
fn portable_parts<const D: usize>(
    x: Tensor<D>,
    scales: [Tensor<1>; 2],
    groups: [Parts; 2],
    epsilon: f64,
) -> Tensor<D> {
    let (mut done, mut first, all) = (Vec::new(), 0, x.dims()[D - 1]);
    for (scale, group) in scales.into_iter().zip(groups).filter(|(_, group)| group.len() > 0) {
        let parts = x.clone().narrow(D - 1, first, group.len());
        let shape = parts.dims();
        let lines = shape.iter().product::<usize>() / group.width;
        let parts = portable(parts.reshape([lines, group.width]), scale, None, epsilon, false);
        done.push(parts.reshape(shape));
        first += group.len();
    }
    if first < all {
        done.push(x.narrow(D - 1, first, all - first));
    }
    Tensor::cat(done, D - 1)
}

/// Neighbouring parts of a line that are normalised each by itself, with the same scale.
#[derive(Clone, Copy, Debug)]
struct Parts {
    count: usize,
    width: usize,
}

impl Parts {
    fn len(&self) -> usize {
        self.count * self.width
    }
}

/// The arguments of a norm other than tensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormArgs {
    epsilon: f32,
    centred: bool,
    shifted: bool,
    /// The parts of a line; what follows them stays.
    groups: [Parts; 2],
}

impl NormArgs {
    /// The length of all parts of a line.
    fn covered(&self) -> usize {
        self.groups.iter().map(Parts::len).sum()
    }

    /// The places of all parts, within a line and within the scale.
    fn parts(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let (mut all, mut at, mut scale) = (Vec::new(), 0, 0);
        for Parts { count, width } in self.groups {
            for _ in 0..count {
                all.push((at..at + width, scale..scale + width));
                at += width;
            }
            scale += width;
        }
        all
    }
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Norm: Backend {
    /// Applies the norm; `beta` is empty if there is no shift.
    fn norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        args: NormArgs,
    ) -> FloatTensor<Self>;
}

/// Its backward pass.
pub(crate) trait NormBackward: Backend {
    /// The gradients of input, scale and shift.
    fn backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        args: NormArgs,
    ) -> [FloatTensor<Self>; 3];
}

/// The number of lines of a piece of work. Sums over lines are computed within pieces, then over pieces.
const LINES: usize = 128;

impl Norm for Flex {
    fn norm(x: FlexTensor, gamma: FlexTensor, beta: FlexTensor, args: NormArgs) -> FlexTensor {
        let (x, gamma, beta) = (x.to_contiguous(), gamma.to_contiguous(), beta.to_contiguous());
        let mut y = zeros(x.shape());
        let (width, parts, covered) = (last(&x), args.parts(), args.covered());
        let (gamma, beta) = (slice(&gamma), args.shifted.then(|| slice(&beta)));
        let piece = (LINES * width).max(1);
        let out: &mut [f32] = y.storage_mut();
        out.par_chunks_mut(piece).zip(slice(&x).par_chunks(piece)).for_each(|(y, x)| {
            for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                for (at, scale) in &parts {
                    let beta = beta.map(|beta| &beta[scale.clone()]);
                    line(&mut y[at.clone()], &x[at.clone()], &gamma[scale.clone()], beta, args);
                }
                y[covered..].copy_from_slice(&x[covered..]);
            }
        });
        y
    }
}

impl NormBackward for Flex {
    fn backward(
        x: FlexTensor,
        gamma: FlexTensor,
        dy: FlexTensor,
        args: NormArgs,
    ) -> [FlexTensor; 3] {
        let (x, gamma, dy) = (x.to_contiguous(), gamma.to_contiguous(), dy.to_contiguous());
        let mut dx = zeros(x.shape());
        let (width, parts, covered) = (last(&x), args.parts(), args.covered());
        let gamma = slice(&gamma);
        let shifts = if args.shifted { gamma.len() } else { 0 };
        let piece = (LINES * width).max(1);
        let out: &mut [f32] = dx.storage_mut();
        let sums: Vec<[Vec<f32>; 2]> = out
            .par_chunks_mut(piece)
            .zip(slice(&x).par_chunks(piece))
            .zip(slice(&dy).par_chunks(piece))
            .map(|((dx, x), dy)| {
                let mut sums = [vec![0.0; gamma.len()], vec![0.0; shifts]];
                let lines = dx.chunks_exact_mut(width).zip(x.chunks_exact(width));
                for ((dx, x), dy) in lines.zip(dy.chunks_exact(width)) {
                    for (at, scale) in &parts {
                        let [dgamma, dbeta] = &mut sums;
                        let dgamma = &mut dgamma[scale.clone()];
                        let dbeta = if args.shifted { &mut dbeta[scale.clone()] } else { dbeta };
                        let (at, gamma) = (at.clone(), &gamma[scale.clone()]);
                        line_back(
                            &mut dx[at.clone()],
                            &x[at.clone()],
                            &dy[at],
                            gamma,
                            dgamma,
                            dbeta,
                            args,
                        );
                    }
                    dx[covered..].copy_from_slice(&dy[covered..]);
                }
                sums
            })
            .collect();
        let mut grads = [zeros([gamma.len()]), zeros([shifts])];
        for (i, grad) in grads.iter_mut().enumerate() {
            let grad: &mut [f32] = grad.storage_mut();
            for sum in &sums {
                grad.iter_mut().zip(&sum[i]).for_each(|(grad, sum)| *grad += sum);
            }
        }
        let [dgamma, dbeta] = grads;
        [dx, dgamma, dbeta]
    }
}

/// The length of the last axis.
fn last(x: &FlexTensor) -> usize {
    let shape = x.shape();
    shape[shape.rank() - 1]
}

/// m and r of a line.
#[inline(always)]
fn moments(x: &[f32], args: NormArgs) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = if args.centred { sum(x) / n } else { 0.0 };
    let square = sum_of(x, |x| (x - mean) * (x - mean));
    (mean, 1.0 / (square / n + args.epsilon).sqrt())
}

vectorized! {
    fn line(y: &mut [f32], x: &[f32], gamma: &[f32], beta: Option<&[f32]>, args: NormArgs) {
        let (mean, r) = moments(x, args);
        for ((y, x), gamma) in y.iter_mut().zip(x).zip(gamma) {
            *y = r * (*x - mean) * *gamma;
        }
        if let Some(beta) = beta {
            for (y, beta) in y.iter_mut().zip(beta) {
                *y += *beta;
            }
        }
    }
}

vectorized! {
    fn line_back(
        dx: &mut [f32],
        x: &[f32],
        dy: &[f32],
        gamma: &[f32],
        dgamma: &mut [f32],
        dbeta: &mut [f32],
        args: NormArgs,
    ) {
        let (mean, r) = moments(x, args);
        let n = x.len() as f32;
        // dx holds dn at first.
        for ((dx, dy), gamma) in dx.iter_mut().zip(dy).zip(gamma) {
            *dx = *dy * *gamma;
        }
        let along = r * (dot(dx, x) - mean * sum(dx)) / n;
        let shift = if args.centred { sum(dx) / n } else { 0.0 };
        for (dx, x) in dx.iter_mut().zip(x) {
            *dx = r * (*dx - shift - r * (*x - mean) * along);
        }
        for ((dgamma, dy), x) in dgamma.iter_mut().zip(dy).zip(x) {
            *dgamma += r * (*x - mean) * *dy;
        }
        for (dbeta, dy) in dbeta.iter_mut().zip(dy) {
            *dbeta += *dy;
        }
    }
}

impl<B: Norm + NormBackward, C: CheckpointStrategy> Norm for Autodiff<B, C> {
    fn norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        args: NormArgs,
    ) -> FloatTensor<Self> {
        let nodes = [&x, &gamma, &beta].map(|t| t.node());
        let tensors = [x, gamma, beta].map(|t| t.into_primitive());
        match Step.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let [x, gamma, beta] = tensors;
                let y = B::norm(x.clone(), gamma.clone(), beta, args);
                prep.finish((x, gamma, args), y)
            }
            OpsKind::UnTracked(prep) => {
                let [x, gamma, beta] = tensors;
                prep.finish(B::norm(x, gamma, beta, args))
            }
        }
    }
}

#[derive(Debug)]
struct Step;

impl<B: NormBackward> Backward<B, 3> for Step {
    type State = (FloatTensor<B>, FloatTensor<B>, NormArgs);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let (x, gamma, args) = ops.state;
        for (node, grad) in ops.parents.into_iter().zip(B::backward(x, gamma, dy, args)) {
            if let Some(node) = node {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution, TensorData};

    fn near(a: &TensorData, b: &TensorData) {
        for (a, b) in a.iter::<f32>().zip(b.iter::<f32>()) {
            assert!((a - b).abs() <= 2e-5 * b.abs().max(1.0), "{a} {b}");
        }
    }

    /// The output and the gradients, by the kernel or by the composition.
    fn run(lines: usize, width: usize, centred: bool, fast: bool) -> Vec<TensorData> {
        let device = Device::flex().autodiff();
        let values = |seed: usize, shape: [usize; 2]| {
            let value = |i: usize| ((i * 7919 + seed * 104_729) % 1013) as f32 / 300.0 - 1.5;
            let values: Vec<f32> = (0..shape[0] * shape[1]).map(value).collect();
            Tensor::<2>::from_data(TensorData::new(values, shape), &device)
        };
        let leaf = |seed| values(seed, [1, width]).reshape([width]).require_grad();
        let (x, gamma, beta) = (values(1, [lines, width]).require_grad(), leaf(2), leaf(3));
        let shift = centred.then(|| beta.clone());
        let f = if fast { norm } else { portable };
        let y = f(x.clone(), gamma.clone(), shift, 1e-5, centred);
        let grads = (y.clone() * values(4, [lines, width])).sum().backward();
        let mut all = vec![y.into_data(), x.grad(&grads).unwrap().into_data()];
        all.push(gamma.grad(&grads).unwrap().into_data());
        all.extend(centred.then(|| beta.grad(&grads).unwrap().into_data()));
        all
    }

    #[test]
    fn both_are_their_compositions_forward_and_backward() {
        for (lines, width) in [(300, 37), (1, 16), (5, 64)] {
            for centred in [true, false] {
                let pairs = run(lines, width, centred, true);
                let slow = run(lines, width, centred, false);
                assert_eq!(pairs.len(), slow.len());
                pairs.iter().zip(&slow).for_each(|(a, b)| near(a, b));
            }
        }
    }

    #[test]
    fn parts_of_a_line_are_normalised_each_by_itself() {
        let device = Device::flex().autodiff();
        let random =
            |shape: [usize; 3]| Tensor::<3>::random(shape, Distribution::Normal(0.5, 2.0), &device);
        // Two parts of 4 and one of 3; 2 numbers stay. Then no second part, and none that stay.
        for (widths, counts, line) in [([4, 3], [2, 1], 13), ([5, 1], [3, 0], 15)] {
            let (x, weights) = (random([2, 70, line]), random([2, 70, line]));
            let scales = widths.map(|width| random([1, 1, width]).reshape([width]));
            let run = |fast: bool| {
                let x = x.clone().detach().require_grad();
                let scales = scales.clone().map(|scale| scale.detach().require_grad());
                let groups = [0, 1].map(|i| Parts { count: counts[i], width: widths[i] });
                let y = match fast {
                    true => rms_norm_parts(x.clone(), scales.clone(), counts, 1e-5),
                    false => portable_parts(x.clone(), scales.clone(), groups, 1e-5),
                };
                let grads = (y.clone() * weights.clone()).sum().backward();
                let of_scales = scales.iter().zip(counts).filter(|(_, count)| *count > 0);
                let mut all = vec![y.into_data(), x.grad(&grads).unwrap().into_data()];
                all.extend(of_scales.map(|(scale, _)| scale.grad(&grads).unwrap().into_data()));
                all
            };
            run(true).iter().zip(&run(false)).for_each(|(a, b)| near(a, b));
        }
    }

    #[test]
    fn they_are_burns_norms() {
        let device = Device::flex();
        let x = Tensor::<3>::random([2, 3, 20], Distribution::Normal(1.0, 3.0), &device);
        let layer = burn::nn::LayerNormConfig::new(20).init(&device);
        let ours =
            layer_norm(x.clone(), layer.gamma.val(), layer.beta.as_ref().map(|b| b.val()), 1e-5);
        near(&ours.into_data(), &layer.forward(x.clone()).into_data());
        let rms = burn::nn::RmsNormConfig::new(20).init(&device);
        let ours = rms_norm(x.clone(), rms.gamma.val(), rms.epsilon);
        near(&ours.into_data(), &rms.forward(x).into_data());
    }
}
