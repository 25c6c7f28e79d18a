//! AdamW, in place: three passes over a parameter instead of about a dozen tensor operations.
//!
//! Loshchilov, Hutter. *Decoupled Weight Decay Regularization*. ICLR 2019.
//! <https://arxiv.org/abs/1711.05101>
//!
//! ```text
//! m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2
//! w = (1 - lr decay) w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
//! ```

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex, autodiff::checkpoint::strategy::CheckpointStrategy,
        backend_extension, flex::FlexTensor, tensor::FloatTensor,
    },
    tensor::Tensor,
};
use rayon::prelude::*;

use crate::{
    flex::{slice, takes},
    simd::vectorized,
};

/// The arguments of a step of AdamW other than tensors.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// b1, b2.
    pub betas: [f32; 2],
    /// Keeps the divisor above 0.
    pub epsilon: f32,
    /// The learning rate.
    pub lr: f64,
    /// The weight decay.
    pub decay: f64,
    /// t, the number of the step, from 1.
    pub time: i32,
}

/// Updates a parameter from its gradient and its moments m and v, and returns the parameter and the
/// moments. All have the same shape and are not tracked by autodiff.
pub fn adamw<const D: usize>(
    w: Tensor<D>,
    g: Tensor<D>,
    [m, v]: [Tensor<D>; 2],
    by: AdamW,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    if ![&w, &g, &m, &v].into_iter().all(takes) {
        return portable(w, g, [m, v], by);
    }
    let [b1, b2] = by.betas;
    let (w, g) = (w.into_dispatch(), g.into_dispatch());
    let m = <Dispatch as Moments>::moment(m.into_dispatch(), g.clone(), b1, false);
    let v = <Dispatch as Moments>::moment(v.into_dispatch(), g, b2, true);
    let w = <Dispatch as Moments>::moved(w, m.clone(), v.clone(), Move::of(by));
    (Tensor::from_dispatch(w), [m, v].map(Tensor::from_dispatch))
}

fn portable<const D: usize>(
    w: Tensor<D>,
    g: Tensor<D>,
    [m, v]: [Tensor<D>; 2],
    by: AdamW,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let ([b1, b2], of) = (by.betas, Move::of(by));
    let m = m * b1 + g.clone() * (1.0 - b1);
    let v = v * b2 + g.square() * (1.0 - b2);
    let step = m.clone() / of.divisors[0] / ((v.clone() / of.divisors[1]).sqrt() + by.epsilon);
    (w * of.keep - step * of.lr, [m, v])
}

/// The constants of a parameter's update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    keep: f32,
    lr: f32,
    divisors: [f32; 2],
    epsilon: f32,
}

impl Move {
    fn of(by: AdamW) -> Self {
        Self {
            keep: (1.0 - by.lr * by.decay) as f32,
            lr: by.lr as f32,
            divisors: by.betas.map(|beta| 1.0 - beta.powi(by.time)),
            epsilon: by.epsilon,
        }
    }
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Moments: Backend {
    /// The moment `b m + (1 - b) g`, or with `g^2` in place of `g`.
    fn moment(
        m: FloatTensor<Self>,
        g: FloatTensor<Self>,
        beta: f32,
        squared: bool,
    ) -> FloatTensor<Self>;
    /// The parameter after its step.
    fn moved(
        w: FloatTensor<Self>,
        m: FloatTensor<Self>,
        v: FloatTensor<Self>,
        by: Move,
    ) -> FloatTensor<Self>;
}

/// The number of elements of a piece of work.
const PIECE: usize = 1 << 14;

impl Moments for Flex {
    fn moment(m: FlexTensor, g: FlexTensor, beta: f32, squared: bool) -> FlexTensor {
        let (mut out, g) = (owned(m), g.to_contiguous());
        let m: &mut [f32] = out.storage_mut();
        m.par_chunks_mut(PIECE)
            .zip(slice(&g).par_chunks(PIECE))
            .for_each(|(m, g)| blend(m, g, beta, squared));
        out
    }

    fn moved(w: FlexTensor, m: FlexTensor, v: FlexTensor, by: Move) -> FlexTensor {
        let (mut out, m, v) = (owned(w), m.to_contiguous(), v.to_contiguous());
        let w: &mut [f32] = out.storage_mut();
        w.par_chunks_mut(PIECE)
            .zip(slice(&m).par_chunks(PIECE))
            .zip(slice(&v).par_chunks(PIECE))
            .for_each(|((w, m), v)| walk(w, m, v, by));
        out
    }
}

/// The tensor in row-major order. The original handle is dropped, so that storage that is not shared is
/// changed in place.
fn owned(x: FlexTensor) -> FlexTensor {
    let contiguous = x.to_contiguous();
    drop(x);
    contiguous
}

vectorized! {
    fn blend(m: &mut [f32], g: &[f32], beta: f32, squared: bool) {
        let new = 1.0 - beta;
        for (m, g) in m.iter_mut().zip(g) {
            let g = if squared { *g * *g } else { *g };
            *m = *m * beta + g * new;
        }
    }
}

vectorized! {
    fn walk(w: &mut [f32], m: &[f32], v: &[f32], by: Move) {
        for ((w, m), v) in w.iter_mut().zip(m).zip(v) {
            let step = *m / by.divisors[0] / ((*v / by.divisors[1]).sqrt() + by.epsilon);
            *w = *w * by.keep - step * by.lr;
        }
    }
}

impl<B: Moments, C: CheckpointStrategy> Moments for Autodiff<B, C> {
    fn moment(
        _m: FloatTensor<Self>,
        _g: FloatTensor<Self>,
        _beta: f32,
        _squared: bool,
    ) -> FloatTensor<Self> {
        panic!("{NOT_TRACKED}")
    }

    fn moved(
        _w: FloatTensor<Self>,
        _m: FloatTensor<Self>,
        _v: FloatTensor<Self>,
        _by: Move,
    ) -> FloatTensor<Self> {
        panic!("{NOT_TRACKED}")
    }
}

const NOT_TRACKED: &str = "a step of the optimizer cannot be differentiated";

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn it_is_the_composition_to_the_last_bits() {
        let by = AdamW { betas: [0.9, 0.99], epsilon: 1e-8, lr: 0.01, decay: 0.1, time: 3 };
        let n = 2 * PIECE + 5;
        let values = |seed: usize, least: f32| {
            let value = |i: usize| ((i * 7919 + seed * 104_729) % 1013) as f32 / 500.0 + least;
            let values: Vec<f32> = (0..n).map(value).collect();
            Tensor::<2>::from_data(TensorData::new(values, [1, n]), &Device::flex())
        };
        type Of = fn(Tensor<2>, Tensor<2>, [Tensor<2>; 2], AdamW) -> (Tensor<2>, [Tensor<2>; 2]);
        let run = |f: Of| {
            let (w, [m, v]) =
                f(values(1, -1.0), values(2, -1.0), [values(3, -1.0), values(4, 0.1)], by);
            [w, m, v].map(|t| t.into_data().iter::<f32>().collect::<Vec<_>>())
        };
        for (a, b) in run(adamw).iter().flatten().zip(run(portable).iter().flatten()) {
            assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{a} {b}");
        }
    }

    #[test]
    fn other_handles_keep_their_numbers() {
        let by = AdamW { betas: [0.9, 0.99], epsilon: 1e-8, lr: 0.5, decay: 0.0, time: 1 };
        let one = || Tensor::<1>::ones([3], &Device::flex());
        let (w, m) = (one(), one());
        let (moved, _) = adamw(w.clone(), one(), [m.clone(), one()], by);
        let sum = |x: Tensor<1>| x.sum().into_scalar::<f32>();
        assert!(sum(moved) < 3.0);
        assert_eq!((sum(w), sum(m)), (3.0, 3.0));
    }
}
