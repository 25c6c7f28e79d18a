//! The report of a MoE layer on one pass. It is computed from the plan, in the same way for every router.

use burn::prelude::*;

use crate::routing::{Level, Plan, by_input, to_host};

/// The routing of one batch by a layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerReport {
    /// Index among the MoE layers of the network.
    pub layer: usize,
    /// Units routed.
    pub units: usize,
    /// For each expert, the number of slots that it processed.
    pub load: Vec<f64>,
    /// For each expert, the sum of the weights of its choices.
    pub weight: Vec<f64>,
    /// The number of units that no expert processed, because of overflow or because none was chosen.
    pub dropped: usize,
    /// The number of experts that contribute to a unit's output, on average.
    pub touched: f64,
    /// The number of inputs: whole sequences or images.
    pub inputs: usize,
    /// The number of experts that contribute to one whole input, on average. They have to be in memory.
    pub by_input: f64,
    /// Floating-point operations of router and experts, without padding.
    pub flops: f64,
    /// Parameters of one expert, on average.
    pub expert_params: f64,
}

impl LayerReport {
    /// The values that follow from the plan alone: units, load, weight, dropped, touched. The other values
    /// are 0.
    pub fn of_plan(plan: &Plan) -> Self {
        Self::of_choices(plan, &choices(plan))
    }

    /// The report of [`LayerReport::of_plan`], with the values for whole inputs.
    pub(crate) fn of_inputs(plan: &Plan, level: Level) -> Self {
        // One read-back: on a graphics card the processor waits at each.
        let chosen = choices(plan);
        let report = Self::of_choices(plan, &chosen);
        let (inputs, by_input) = by_input(plan, &chosen, level, report.touched);
        Self { inputs, by_input, ..report }
    }

    fn of_choices(plan: &Plan, chosen: &[usize]) -> Self {
        let (load, dropped, touched) = served(plan, chosen);
        let weight = match plan {
            // The shares are both load and weight.
            Plan::Merged { .. } => load.clone(),
            _ => weights_of(plan, chosen),
        };
        Self { units: plan.n_units(), load, weight, dropped, touched, ..Self::default() }
    }

    /// The largest load over the mean load: 1 is perfect balance, E is collapse.
    pub fn max_over_mean(&self) -> f64 {
        let mean = self.load.iter().sum::<f64>() / self.load.len() as f64;
        let max = self.load.iter().copied().fold(0.0, f64::max);
        if mean > 0.0 { max / mean } else { 1.0 }
    }

    /// The number of parameters that do not contribute to a unit's output, on average.
    pub fn idle_params(&self) -> f64 {
        (self.load.len() as f64 - self.touched) * self.expert_params
    }

    /// The number of parameters that one whole input does not require, on average.
    pub fn params_unneeded(&self) -> f64 {
        (self.load.len() as f64 - self.by_input) * self.expert_params
    }

    /// Adds the report on another batch of the same layer, with all experts of both.
    pub fn add(&mut self, other: &LayerReport) {
        self.touched = mean([(self.touched, self.units), (other.touched, other.units)]);
        self.by_input = mean([(self.by_input, self.inputs), (other.by_input, other.inputs)]);
        self.units += other.units;
        self.inputs += other.inputs;
        self.dropped += other.dropped;
        self.flops += other.flops;
        add_each(&mut self.load, &other.load);
        add_each(&mut self.weight, &other.weight);
    }
}

fn add_each(sums: &mut Vec<f64>, more: &[f64]) {
    sums.resize(sums.len().max(more.len()), 0.0);
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

/// The mean of two means, each with its number of values; 0 if there are no values.
fn mean(parts: [(f64, usize); 2]) -> f64 {
    let n = parts[0].1 + parts[1].1;
    let sum: f64 = parts.iter().map(|(mean, n)| mean * *n as f64).sum();
    if n > 0 { sum / n as f64 } else { 0.0 }
}

/// The plan's indices on the host: of experts if units choose, of units if experts choose.
fn choices(plan: &Plan) -> Vec<usize> {
    match plan {
        Plan::TokenChoice { experts: chosen, .. } | Plan::ExpertChoice { units: chosen, .. } => {
            to_host(chosen)
        }
        Plan::Soft { .. } | Plan::Merged { .. } | Plan::Dense { .. } => Vec::new(),
    }
}

/// The sum of the weights of each expert.
fn weights_of(plan: &Plan, chosen: &[usize]) -> Vec<f64> {
    let e = plan.n_experts();
    let sums = |by_expert: Tensor<2>| host(by_expert.sum_dim(0).reshape([-1]));
    match plan {
        Plan::TokenChoice { weights, .. } => {
            let mut sums = vec![0.0; e + 1];
            let weights = host(weights.clone().reshape([-1]));
            chosen.iter().zip(weights).for_each(|(expert, w)| sums[*expert] += w);
            sums.truncate(e);
            sums
        }
        Plan::ExpertChoice { weights, .. } => {
            let [g, e, c] = weights.dims();
            sums(weights.clone().swap_dims(1, 2).reshape([g * c, e]))
        }
        Plan::Soft { combine, .. } => {
            let [g, u, e, c] = combine.dims();
            sums(combine.clone().swap_dims(2, 3).reshape([g * u * c, e]))
        }
        Plan::Merged { weights, n_units, segment } => shares(weights, *n_units, *segment),
        Plan::Dense { weights } => {
            let [g, u, e] = weights.dims();
            sums(weights.clone().reshape([g * u, e]))
        }
    }
}

fn host(values: Tensor<1>) -> Vec<f64> {
    kernels::read_back(values.detach()).iter::<f32>().map(f64::from).collect()
}

/// The values load, dropped and touched.
fn served(plan: &Plan, chosen: &[usize]) -> (Vec<f64>, usize, f64) {
    let (units, e) = (plan.n_units(), plan.n_experts());
    match plan {
        Plan::TokenChoice { experts, .. } => {
            let k = experts.dims()[2];
            let mut load = vec![0.0; e + 1];
            chosen.iter().for_each(|&expert| load[expert] += 1.0);
            load.truncate(e);
            let dropped = chosen.chunks(k).filter(|unit| unit.iter().all(|&x| x == e)).count();
            let touched = load.iter().sum::<f64>() / units as f64;
            (load, dropped, touched)
        }
        Plan::ExpertChoice { units: of_experts, n_units, .. } => {
            let [g, _, c] = of_experts.dims();
            let mut seen = vec![false; units];
            for (group, chosen) in chosen.chunks(e * c).enumerate() {
                chosen.iter().for_each(|unit| seen[group * n_units + unit] = true);
            }
            let dropped = seen.iter().filter(|seen| !**seen).count();
            (vec![(g * c) as f64; e], dropped, (g * e * c) as f64 / units as f64)
        }
        Plan::Soft { dispatch, .. } => {
            let [g, _, _, c] = dispatch.dims();
            (vec![(g * c) as f64; e], 0, e as f64)
        }
        // Each unit is processed by one merged expert, in which each of the experts has its share.
        Plan::Merged { weights, n_units, segment } => {
            (shares(weights, *n_units, *segment), 0, e as f64)
        }
        Plan::Dense { .. } => (vec![units as f64; e], 0, e as f64),
    }
}

/// The sum over the units of the shares `[G, S, E]` of their segments.
fn shares(weights: &Tensor<3>, n_units: usize, segment: usize) -> Vec<f64> {
    let [g, s, e] = weights.dims();
    let mut sums = vec![0.0; e];
    for (at, share) in host(weights.clone().reshape([g * s * e])).into_iter().enumerate() {
        let first = at / e % s * segment;
        sums[at % e] += share * segment.min(n_units - first) as f64;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::read_backs_of;

    /// The values load, dropped, touched and weight.
    fn numbers(plan: &Plan) -> (Vec<f64>, usize, f64, Vec<f64>) {
        let LayerReport { load, dropped, touched, weight, .. } = LayerReport::of_plan(plan);
        (load, dropped, touched, weight)
    }

    #[test]
    fn token_choice_counts_slots_and_the_unserved() {
        let device = Device::flex();
        // Three units, two choices, two experts; 2 is the null expert.
        let experts = Tensor::<3, Int>::from_ints([[[0, 1], [0, 2], [2, 2]]], &device);
        let weights = Tensor::<3>::ones([1, 3, 2], &device);
        let plan = Plan::TokenChoice { experts, weights, n_experts: 2 };
        assert_eq!(numbers(&plan), (vec![2.0, 1.0], 1, 1.0, vec![2.0, 1.0]));
        // One read-back each for experts and weights, whatever is computed from them.
        let (report, reads) = read_backs_of(|| LayerReport::of_inputs(&plan, Level::Token));
        assert_eq!((report.inputs, report.by_input, reads), (1, 2.0, 2));
    }

    #[test]
    fn expert_choice_counts_units_that_nobody_wants() {
        let device = Device::flex();
        let units = Tensor::<3, Int>::from_ints([[[0, 1], [1, 0]], [[2, 1], [2, 0]]], &device);
        let weights = Tensor::<3>::ones([2, 2, 2], &device);
        let plan = Plan::ExpertChoice { units, weights, n_units: 3 };
        assert_eq!(numbers(&plan), (vec![4.0, 4.0], 1, 8.0 / 6.0, vec![4.0, 4.0]));
    }

    #[test]
    fn merged_experts_have_their_shares_of_the_units() {
        // Two segments, of two units and of one unit.
        let weights = Tensor::<3>::from_floats([[[0.75, 0.25], [0.5, 0.5]]], &Device::flex());
        let plan = Plan::Merged { weights, n_units: 3, segment: 2 };
        assert_eq!(numbers(&plan), (vec![2.0, 1.0], 0, 2.0, vec![2.0, 1.0]));
    }

    #[test]
    fn reports_of_batches_add_up() {
        let report = |load: [f64; 2], touched| LayerReport {
            layer: 0,
            units: 4,
            load: load.to_vec(),
            weight: load.map(|load| load / 2.0).to_vec(),
            dropped: 1,
            touched,
            inputs: 2,
            by_input: 2.0 * touched / 3.0 + 1.0,
            flops: 10.0,
            expert_params: 5.0,
        };
        let mut sum = report([3.0, 1.0], 1.0);
        assert_eq!(sum.max_over_mean(), 1.5);
        sum.add(&report([1.0, 3.0], 2.0));
        assert_eq!((sum.units, sum.dropped, sum.touched), (8, 2, 1.5));
        assert_eq!(sum.max_over_mean(), 1.0);
        assert_eq!(sum.idle_params(), 2.5); // (2 experts - 1.5 touched) * 5
        assert_eq!((sum.inputs, sum.weight.clone()), (4, vec![2.0, 2.0]));
        assert!(sum.params_unneeded().abs() < 1e-9, "{sum:?}"); // by input 5/3 and 7/3, mean 2
    }
}
