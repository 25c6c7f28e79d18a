//! Comparison of the engine of expert parallelism on the present processes with the results of one process.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use burn::prelude::*;
use distributed::{Alone, Communicator};
use kernels::{Activation, Ffn};
use moe::{ExpertShard, Init, Plan, expert_parallel};
use report::trace::Layer;

use super::measured::{largest, plan};

/// The largest number of tokens of a process, and the width of rows and experts.
const TOKENS: usize = 256;
const WIDTH: usize = 8;
/// The scale below which differences are due to rounding: differences are relative to at least this number.
const SMALL: f64 = 1e-2;

/// The largest difference between these processes and one process with all experts and all tokens, relative
/// to the largest number: for the outputs and for the gradients of units and experts. All processes must call
/// it.
pub(super) fn difference(
    world: &Arc<dyn Communicator>,
    layer: &Layer,
    tokens: usize,
) -> Result<f64> {
    let (tokens, rank, one) = (tokens.min(TOKENS), world.rank(), Arc::new(Alone) as Arc<_>);
    let shards = [world, &one].map(|world| ExpertShard::new(world, layer.n_experts));
    let [shard, whole] = shards.map(|shard| shard.map_err(|err| anyhow!(err)));
    let (shard, whole, all) = (shard?, whole?, Case::new(layer.n_experts, world.size() * tokens));
    let own = Case {
        experts: shard.of(&all.experts),
        units: part(&all.units, rank, tokens).detach().require_grad(),
        goal: part(&all.goal, rank, tokens),
    };
    let found = own.numbers(&shard, &plan(layer, rank, tokens))?;
    let [y, dx, dw1, dw2] = all.numbers(&whole, &plan(layer, 0, world.size() * tokens))?;
    let [y, dx] = [y, dx].map(|of_all| part(&of_all, rank, tokens));
    let [dw1, dw2] = [dw1, dw2].map(|of_all| of_all.slice([shard.own()]));
    let gaps = found.into_iter().zip([y, dx, dw1, dw2]).map(|(a, b)| gap(a, b));
    Ok(largest(world, "difference", Some(gaps.fold(0.0, f64::max))).unwrap_or(f64::INFINITY))
}

/// The rows of a process.
fn part(of_all: &Tensor<3>, rank: usize, tokens: usize) -> Tensor<3> {
    of_all.clone().narrow(1, rank * tokens, tokens)
}

/// Experts, the units on which they work, and the weight of each number of the output in the loss.
struct Case {
    experts: Ffn,
    units: Tensor<3>,
    goal: Tensor<3>,
}

impl Case {
    /// The same case on every process.
    fn new(experts: usize, tokens: usize) -> Self {
        let init = Init::new(0, &Device::flex().autodiff());
        let of = |name, shape| init.normal(name, shape, 1.0).val();
        let matrices = [experts, WIDTH, WIDTH];
        let (w1, w2) = (of("w1", matrices), of("w2", matrices));
        let activation = Activation::Gelu;
        Self {
            experts: Ffn { w1, gate: None, w2, bias1: None, bias2: None, activation },
            units: of("units", [1, tokens, WIDTH]),
            goal: of("goal", [1, tokens, WIDTH]).detach(),
        }
    }

    /// The output, and the gradients of the units and of both matrices of the experts.
    fn numbers(self, shard: &ExpertShard, plan: &Plan) -> Result<[Tensor<3>; 4]> {
        let Self { experts, units, goal } = self;
        let (w1, w2) = (experts.w1.clone(), experts.w2.clone());
        let y = expert_parallel(shard, plan, experts, units.clone()).map_err(|err| anyhow!(err))?;
        let grads = (y.clone() * goal).sum().backward();
        let of = |x: Tensor<3>| x.grad(&grads).ok_or_else(|| anyhow!("a part has no gradient"));
        Ok([y.inner(), of(units)?, of(w1)?, of(w2)?])
    }
}

/// The largest difference relative to the largest number; infinite if a value is not finite.
fn gap(a: Tensor<3>, b: Tensor<3>) -> f64 {
    let [a, b] = [a, b].map(|x| x.into_data().iter::<f64>().collect::<Vec<_>>());
    let most = b.iter().fold(SMALL, |most, x| most.max(x.abs()));
    let one = |(a, b): (&f64, &f64)| {
        let gap = (a - b).abs() / most;
        if gap.is_finite() { gap } else { f64::INFINITY }
    };
    let same = a.len() == b.len();
    if same { a.iter().zip(&b).map(one).fold(0.0, f64::max) } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;
    use distributed::threads;
    use std::thread;

    #[test]
    fn several_processes_have_the_numbers_of_one() {
        let choices = [vec![(0, 0.5), (3, 0.5)], vec![(3, 0.75)], vec![(1, 0.25), (2, 0.75)]];
        let layer = Layer::new(4, &choices);
        for size in [2, 4] {
            let gaps: Vec<f64> = thread::scope(|scope| {
                let of_rank = |rank| {
                    let (world, layer) = (Arc::new(rank) as Arc<dyn Communicator>, &layer);
                    scope.spawn(move || difference(&world, layer, 7).unwrap())
                };
                let ranks: Vec<_> = threads(size).into_iter().map(of_rank).collect();
                ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
            });
            assert!(gaps.iter().all(|gap| *gap < 1e-5 && *gap == gaps[0]), "{gaps:?}");
        }
    }

    #[test]
    fn a_gap_is_relative_and_what_is_no_number_is_infinite() {
        let of = |x: [f32; 2]| Tensor::<3>::from_floats([[x]], &Device::flex());
        assert_eq!(gap(of([1.0, 4.0]), of([2.0, 4.0])), 0.25);
        assert_eq!(gap(of([f32::NAN, 4.0]), of([1.0, 4.0])), f64::INFINITY);
        assert_eq!(gap(of([1.0, 4.0]), of([1.0, f32::NAN])), f64::INFINITY);
    }
}
