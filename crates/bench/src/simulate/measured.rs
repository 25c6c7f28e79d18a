//! Measurements on the processes of this machine for the same layers: the engine itself, and the constants of
//! the model for these processes.

use std::{hint::black_box, sync::Arc, time::Instant};

use anyhow::anyhow;
use burn::{prelude::*, tensor::Distribution};
use distributed::Communicator;
use kernels::{Activation, ExpertRow, Ffn, Rows, grouped_ffn};
use lab::resident_memory;
use moe::{ExpertShard, Plan, expert_parallel};
use report::trace::{Layer, Trace};

use super::{
    model::Sizes,
    topology::{Level, Rank, Topology},
};

/// The size in bytes of the messages with which the speed of the network is measured.
const BYTES: usize = 1 << 20;

/// The measurements.
pub(crate) struct Measured {
    /// The constants of these processes.
    pub(crate) topology: Topology,
    /// Seconds of a step in all layers: the slowest rank, median of the repetitions.
    pub(crate) seconds: f64,
    /// The growth of a process's memory in bytes due to its experts of all layers: the largest of all ranks;
    /// none if the system does not report it.
    pub(crate) expert_bytes: Option<f64>,
}

/// Measures the layers of a trace. All processes must call it.
pub(crate) fn measure(
    world: &Arc<dyn Communicator>,
    trace: &Trace,
    sizes: Sizes,
    repeat: usize,
) -> anyhow::Result<Measured> {
    let shard =
        |layer: &Layer| ExpertShard::new(world, layer.n_experts).map_err(|err| anyhow!(err));
    let shards = trace.layers.iter().map(shard).collect::<anyhow::Result<Vec<_>>>()?;
    let before = resident_memory();
    let of_layers: Vec<Ffn> = shards.iter().map(|s| experts(s.own().len(), sizes)).collect();
    let grown = resident_memory().zip(before).map(|(after, before)| after - before);
    let expert_bytes = largest(world, "memory", grown);
    let topology = constants(world, trace, sizes, repeat);
    let mut seconds = 0.0;
    for ((layer, shard), experts) in trace.layers.iter().zip(&shards).zip(of_layers) {
        let (plan, units) = (plan(layer, world.rank(), sizes.tokens), units(sizes));
        let pass = || {
            let y = expert_parallel(shard, &plan, experts.clone(), units.clone());
            y.map(|y| drop(y.sum().backward()))
        };
        pass().map_err(|err| anyhow!(err))?;
        seconds += slowest(world, repeat, || drop(black_box(pass())));
    }
    Ok(Measured { topology, seconds, expert_bytes })
}

/// The largest number of all ranks; none if one rank has none.
pub(super) fn largest(world: &Arc<dyn Communicator>, label: &str, own: Option<f64>) -> Option<f64> {
    let all = world.all_gather(label, &own.unwrap_or(f64::NAN).to_le_bytes());
    let number = |bytes: &Vec<u8>| bytes.first_chunk().map_or(f64::NAN, |b| f64::from_le_bytes(*b));
    let all: Vec<f64> = all.iter().map(number).collect();
    all.iter().all(|bytes| bytes.is_finite()).then(|| all.into_iter().fold(0.0, f64::max))
}

fn units(sizes: Sizes) -> Tensor<3> {
    let shape = [1, sizes.tokens, sizes.width];
    Tensor::random(shape, Distribution::Default, &Device::flex().autodiff()).require_grad()
}

fn experts(count: usize, Sizes { width, hidden, .. }: Sizes) -> Ffn {
    let matrices = |shape: [usize; 3]| {
        let even = Distribution::Uniform(-0.1, 0.1);
        Tensor::<3>::random(shape, even, &Device::flex().autodiff()).require_grad()
    };
    let (w1, w2) = (matrices([count, width, hidden]), matrices([count, hidden, width]));
    Ffn { w1, gate: None, w2, bias1: None, bias2: None, activation: Activation::Gelu }
}

/// The choices of the tokens of a rank, in the same order as in `model::Rows`.
pub(super) fn plan(layer: &Layer, rank: usize, tokens: usize) -> Plan {
    let (k, e, all) = (layer.k, layer.n_experts, layer.experts.len() / layer.k);
    let choices = (rank * tokens..(rank + 1) * tokens).flat_map(|token| {
        let unit = token % all;
        unit * k..(unit + 1) * k
    });
    let (mut experts, mut weights) = (Vec::new(), Vec::new());
    for choice in choices {
        experts.push(
            i32::try_from(e)
                .ok()
                .filter(|_| layer.experts[choice] < 0)
                .unwrap_or(layer.experts[choice]),
        );
        weights.push(layer.weights[choice]);
    }
    let device = Device::flex();
    let experts = Tensor::from_data(TensorData::new(experts, [1, tokens, k]), &device);
    let weights = Tensor::from_data(TensorData::new(weights, [1, tokens, k]), &device.autodiff());
    Plan::TokenChoice { experts, weights, n_experts: e }
}

/// alpha, beta and the speed of the experts, with as many rows as a rank has on average.
fn constants(
    world: &Arc<dyn Communicator>,
    trace: &Trace,
    sizes: Sizes,
    repeat: usize,
) -> Topology {
    let others = (world.size() - 1).max(1) as f64;
    let swap = |bytes: usize| {
        let messages =
            || (0..world.size()).map(|to| vec![0; if to == world.rank() { 0 } else { bytes }]);
        slowest(world, repeat, || {
            drop(black_box(world.all_to_all("measure", messages().collect())))
        })
    };
    let (short, long) = (swap(1), swap(BYTES));
    let alpha = short / others;
    let beta = BYTES as f64 / ((long - short).max(1e-9) / others);
    let level = Level { name: "these processes".into(), ranks: world.size(), alpha, beta };
    let chosen = trace.layers.iter().flat_map(|layer| &layer.experts).filter(|e| **e >= 0).count();
    let units: usize = trace.layers.iter().map(|layer| layer.experts.len() / layer.k).sum();
    let rows = (sizes.tokens * chosen / units.max(1)).max(1);
    let count = trace.layers.first().map_or(1, |layer| layer.n_experts / world.size()).max(1);
    let (experts, x) = (experts(count, sizes), units_of(rows, sizes.width));
    let entry = |token| ExpertRow { expert: token % count, token, choice: 0 };
    let of = Arc::new(Rows::new(rows, count, 1, (0..rows).map(entry)));
    let seconds = slowest(world, repeat, || {
        drop(grouped_ffn(x.clone(), &of, None, experts.clone()).sum().backward());
    });
    Topology {
        levels: vec![level],
        rank: Rank { flops: 3.0 * rows as f64 * sizes.flops() / seconds },
    }
}

fn units_of(rows: usize, width: usize) -> Tensor<2> {
    Tensor::random([rows, width], Distribution::Default, &Device::flex().autodiff()).require_grad()
}

/// Seconds of the slowest rank, median of the repetitions. The ranks start together.
fn slowest(world: &Arc<dyn Communicator>, repeat: usize, mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..repeat)
        .map(|_| {
            world.all_gather("begin together", &[]);
            let started = Instant::now();
            work();
            let own = started.elapsed().as_secs_f64();
            let all = world.all_gather("seconds", &own.to_le_bytes());
            let seconds =
                |bytes: &Vec<u8>| bytes.first_chunk().map_or(0.0, |b| f64::from_le_bytes(*b));
            all.iter().map(seconds).fold(0.0, f64::max)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
