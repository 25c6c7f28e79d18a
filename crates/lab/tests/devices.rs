//! Tests that another device gives the same numbers as the processor.
//!
//! ```text
//! MOELAB_DEVICE=wgpu cargo test -p lab --features wgpu --test devices -- --ignored --nocapture
//! ```

#![allow(clippy::print_stdout)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use burn::{prelude::*, tensor::Gradients};
use kernels::{
    Activation, AttentionForm, AttentionPositions, ExpertRow, Ffn, Rows, attention,
    attention_after, cross_entropy, gelu, grouped_ffn, layer_norm, permute, rms_norm,
    rms_norm_parts, slotwise, unpermute,
};
use moe::{Choice, Init};

/// The tolerance of single precision, relative to the largest number of a tensor.
const NEAR: f32 = 1e-4;
/// Routers that equalise the experts of a batch: if whole batches or sequences are routed there are fewer
/// units than experts, experts tie, and the last bit decides.
const TIED: [&str; 2] = ["quantile-balancing", "sinkhorn"];
/// A router for which the two choices of one unit share a key: the gradient of one half's keys is zero, so
/// that only rounding would be compared. Whole batches, one unit each, are routed to all of the eight experts
/// instead.
const ZERO: &str = "peer";
const WHY: &str = "set MOELAB_DEVICE to the device to compare with the processor";

fn other() -> Device {
    let name = std::env::var("MOELAB_DEVICE").expect(WHY);
    lab::device(&name).expect("MOELAB_DEVICE names a device of this program and machine")
}

/// Prints a table of gaps, and fails if one is too large.
fn compare<'a>(
    names: impl Iterator<Item = &'a str>,
    gap: impl Fn(&str) -> Result<(f32, String), String>,
) {
    let mut failed = Vec::new();
    for name in names {
        let started = Instant::now();
        let found = catch_unwind(AssertUnwindSafe(|| gap(name)));
        let found = found.unwrap_or_else(|_| Err("panicked".into()));
        let seconds = started.elapsed().as_secs_f64();
        match found {
            Ok((gap, _)) if gap <= NEAR => println!("{name:<24} ok      {gap:.1e}  {seconds:.1} s"),
            Ok((gap, at)) => {
                println!("{name:<24} DIFFERS {gap:.1e}  {seconds:.1} s  {at}");
                failed.push(name);
            }
            Err(why) => {
                println!("{name:<24} FAILED  {why}");
                failed.push(name);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
#[ignore = "compares with the device that MOELAB_DEVICE names"]
fn every_router() {
    let (routers, flex, other) = (routers::all(), Device::flex(), other());
    let gap = |name: &str| {
        let gaps = |choice| routers::conformance::gaps(&routers, &choice, [&flex, &other]);
        let mut found = gaps(Choice::of(name))?;
        found.retain(|(_, at)| compared(name, at));
        if name == ZERO {
            found.extend(gaps(Choice::of(name).with("k", 8))?);
        }
        Ok(found.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default())
    };
    compare(routers.iter().map(|(name, _)| name), gap);
}

/// Whether the results for a router's defaults are meaningful at this level.
fn compared(name: &str, at: &str) -> bool {
    let [batch, sequence] = ["level Batch", "level Sequence"].map(|level| at.contains(level));
    !(TIED.contains(&name) && (batch || sequence) || name == ZERO && batch)
}

#[test]
fn peer_is_compared_at_every_level() {
    let gaps = |choice| {
        let flex = Device::flex();
        routers::conformance::gaps(&routers::all(), &choice, [&flex, &flex]).unwrap()
    };
    let by_default = gaps(Choice::of(ZERO));
    let left = by_default.iter().filter(|(_, at)| compared(ZERO, at)).count();
    assert_eq!([by_default.len(), left], [8, 6]);
    assert_eq!(gaps(Choice::of(ZERO).with("k", 8)).len(), by_default.len());
}

#[test]
#[ignore = "compares with the device that MOELAB_DEVICE names"]
fn every_operation() {
    let (flex, other) = (Device::flex(), other());
    let gap =
        |name: &str| Ok((relative(&numbers(name, &flex), &numbers(name, &other)), String::new()));
    compare(OPERATIONS.into_iter(), gap);
}

#[test]
fn two_operations_are_told_apart() {
    let flex = Device::flex();
    for name in OPERATIONS {
        let found = numbers(name, &flex);
        assert_eq!(relative(&found, &numbers(name, &flex)), 0.0, "{name}");
        assert!(found.iter().all(|x| x.iter().any(|x| *x != 0.0)), "{name}");
    }
    assert!(relative(&numbers("layer norm", &flex), &numbers("rms norm", &flex)) > 1e-2);
    // A value that is not a number counts as a difference at any position.
    let of = |first| [vec![first, 4.0, 4.0]];
    assert_eq!(relative(&of(1.0), &of(1.0)), 0.0);
    assert_eq!(relative(&of(1.0), &of(f32::NAN)), f32::INFINITY);
    assert_eq!(relative(&of(f32::INFINITY), &of(1.0)), f32::INFINITY);
}

/// The largest difference relative to the largest number of each tensor; infinite if a value is not a number.
fn relative(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let of = |(a, b): (&Vec<f32>, &Vec<f32>)| {
        let largest = a.iter().fold(1e-2_f32, |most, x| most.max(x.abs()));
        let gaps = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        let gaps = gaps.map(|gap| if gap.is_finite() { gap } else { f32::INFINITY });
        let gap = gaps.fold(0.0, f32::max);
        if a.len() == b.len() && gap.is_finite() { gap / largest } else { f32::INFINITY }
    };
    a.iter().zip(b).map(of).fold(0.0, f32::max)
}

const OPERATIONS: [&str; 14] = [
    "grouped ffn",
    "grouped ffn, gated",
    "slotwise",
    "attention",
    "attention, rotary",
    "attention, window",
    "attention after",
    "layer norm",
    "rms norm",
    "rms norm of parts",
    "cross entropy",
    "gelu",
    "permute",
    "unpermute",
];

/// The output of an operation and the gradients of all its inputs.
fn numbers(name: &str, device: &Device) -> Vec<Vec<f32>> {
    let of = Inputs { init: Init::new(3, &device.clone().autodiff()) };
    let (x, q) = (of.of::<2>("x", [20, 6]), of.of::<3>("qkv", [2, 9, 24]));
    let form = AttentionForm::full(2, AttentionPositions::ROTARY);
    let window = AttentionForm { span: 3, ..form };
    match name {
        "grouped ffn" => {
            let (ffn, inputs) = of.ffn(Activation::Gelu, false);
            let w = of.of::<1>("weights", [40]);
            let y = grouped_ffn(x.clone(), &rows(), Some(w.clone()), ffn);
            of.with_gradients(y, |g| [vec![grad(&x, g), grad(&w, g)], grads(&inputs, g)].concat())
        }
        "grouped ffn, gated" => {
            let (ffn, inputs) = of.ffn(Activation::Silu, true);
            let y = grouped_ffn(x.clone(), &rows(), None, ffn);
            of.with_gradients(y, |g| [vec![grad(&x, g)], grads(&inputs, g)].concat())
        }
        "slotwise" => {
            let ((ffn, inputs), x) = (of.ffn(Activation::Relu, false), of.of::<3>("s", [4, 7, 6]));
            let y = slotwise(x.clone(), ffn);
            of.with_gradients(y, |g| [vec![grad(&x, g)], grads(&inputs, g)].concat())
        }
        "attention" => {
            let y = attention(q.clone(), AttentionForm::full(2, AttentionPositions::Unordered));
            of.with_gradients(y, |g| vec![grad(&q, g)])
        }
        "attention, rotary" => of.with_gradients(attention(q.clone(), form), |g| vec![grad(&q, g)]),
        "attention, window" => {
            of.with_gradients(attention(q.clone(), window), |g| vec![grad(&q, g)])
        }
        "attention after" => {
            let mut memory = None;
            let parts = [(0, 4), (4, 5)].map(|(start, n)| {
                attention_after(q.clone().narrow(1, start, n), window, &mut memory)
            });
            of.with_gradients(Tensor::cat(parts.into(), 1), |g| vec![grad(&q, g)])
        }
        "layer norm" => {
            let (a, b) = (of.of::<1>("gamma", [6]), of.of::<1>("beta", [6]));
            let y = layer_norm(x.clone(), a.clone(), Some(b.clone()), 1e-5);
            of.with_gradients(y, |g| vec![grad(&x, g), grad(&a, g), grad(&b, g)])
        }
        "rms norm" => {
            let a = of.of::<1>("gamma", [6]);
            let y = rms_norm(x.clone(), a.clone(), 1e-5);
            of.with_gradients(y, |g| vec![grad(&x, g), grad(&a, g)])
        }
        "rms norm of parts" => {
            let scales = [of.of::<1>("a", [5]), of.of::<1>("b", [3])];
            let y = rms_norm_parts(q.clone(), scales.clone(), [3, 2], 1e-5);
            let [a, b] = scales;
            of.with_gradients(y, |g| vec![grad(&q, g), grad(&a, g), grad(&b, g)])
        }
        "cross entropy" => {
            let labels: Vec<i32> = (0..20).map(|i| i * 7 % 6).collect();
            let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [20]), device);
            let y = cross_entropy(x.clone(), labels);
            of.with_gradients(y, |g| vec![grad(&x, g)])
        }
        "gelu" => of.with_gradients(gelu(x.clone()), |g| vec![grad(&x, g)]),
        "permute" => of.with_gradients(permute(x.clone(), &rows()), |g| vec![grad(&x, g)]),
        "unpermute" => {
            let y = of.of::<2>("rows", [rows().len(), 6]);
            of.with_gradients(unpermute(y.clone(), &rows()), |g| vec![grad(&y, g)])
        }
        _ => unreachable!("{name}"),
    }
}

/// 20 tokens with two choices among 4 experts; every third choice has no expert.
fn rows() -> Arc<Rows> {
    let choices = (0..40_usize).filter(|choice| choice % 3 != 2);
    let entry = |choice| ExpertRow { expert: choice * 5 % 4, token: choice / 2, choice };
    Arc::new(Rows::new(20, 4, 40, choices.map(entry)))
}

struct Inputs {
    init: Init,
}

impl Inputs {
    fn of<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        self.init.normal(name, shape, 1.0).val()
    }

    fn ffn(&self, activation: Activation, gated: bool) -> (Ffn, Vec<Tensor<3>>) {
        let [w1, w2] = [("w1", [4, 6, 5]), ("w2", [4, 5, 6])].map(|(n, shape)| self.of(n, shape));
        let [b1, b2] = [("b1", [4, 1, 5]), ("b2", [4, 1, 6])].map(|(n, shape)| self.of(n, shape));
        let gate = gated.then(|| self.of::<3>("gate", [4, 6, 5]));
        let all = [w1.clone(), w2.clone(), b1.clone(), b2.clone()].into_iter().chain(gate.clone());
        let all = all.collect();
        (Ffn { w1, gate, w2, bias1: Some(b1), bias2: Some(b2), activation }, all)
    }

    /// The gradients of a weighted sum in which every number has a different weight.
    fn with_gradients<const D: usize>(
        &self,
        y: Tensor<D>,
        inputs: impl Fn(&Gradients) -> Vec<Vec<f32>>,
    ) -> Vec<Vec<f32>> {
        let goal = self.of::<D>("goal", y.dims()).detach();
        let found = inputs(&(y.clone() * goal).sum().backward());
        [vec![y.into_data().iter::<f32>().collect()], found].concat()
    }
}

fn grad<const D: usize>(x: &Tensor<D>, grads: &Gradients) -> Vec<f32> {
    x.grad(grads).map(|grad| grad.into_data().iter::<f32>().collect()).unwrap_or_default()
}

fn grads(all: &[Tensor<3>], grads: &Gradients) -> Vec<Vec<f32>> {
    all.iter().map(|x| grad(x, grads)).collect()
}
