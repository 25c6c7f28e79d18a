//! What a MoE layer tells about one pass, taken from the plan: so every router is measured alike.

use crate::{Plan, plan::to_host};

/// How a layer routed one batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerReport {
    /// Index among the MoE layers of the network.
    pub layer: usize,
    /// Units routed.
    pub units: usize,
    /// For each expert, how many slots it worked on.
    pub load: Vec<f64>,
    /// Units on which no expert worked: turned away by a full expert, or chosen by none.
    pub unserved: usize,
    /// Experts that had a hand in a unit's output, on average.
    pub touched: f64,
    /// Floating-point operations of router and experts, padding not counted.
    pub flops: f64,
    /// Parameters of one expert, on average.
    pub expert_params: f64,
}

impl LayerReport {
    /// What follows from the plan alone: units, load, unserved, touched. The layer, its work and its
    /// parameters are left at 0.
    pub fn of_plan(plan: &Plan) -> Self {
        let (load, unserved, touched) = of_plan(plan);
        Self { units: plan.n_units(), load, unserved, touched, ..Self::default() }
    }

    /// The largest load over the mean load: 1 is perfect balance, E is collapse.
    pub fn max_over_mean(&self) -> f64 {
        let mean = self.load.iter().sum::<f64>() / self.load.len() as f64;
        let max = self.load.iter().copied().fold(0.0, f64::max);
        if mean > 0.0 { max / mean } else { 1.0 }
    }

    /// Parameters that had no hand in a unit's output, on average.
    pub fn idle_params(&self) -> f64 {
        (self.load.len() as f64 - self.touched) * self.expert_params
    }

    /// Joins the report of another batch of the same layer.
    pub fn add(&mut self, other: &LayerReport) {
        let units = self.units + other.units;
        let touched = self.touched * self.units as f64 + other.touched * other.units as f64;
        self.touched = if units > 0 { touched / units as f64 } else { 0.0 };
        self.units = units;
        self.unserved += other.unserved;
        self.flops += other.flops;
        self.load.iter_mut().zip(&other.load).for_each(|(load, more)| *load += more);
    }
}

/// Load, unserved, touched.
fn of_plan(plan: &Plan) -> (Vec<f64>, usize, f64) {
    let (units, e) = (plan.n_units(), plan.n_experts());
    match plan {
        Plan::TokenChoice { experts, .. } => {
            let k = experts.dims()[2];
            let chosen = to_host(experts);
            let mut load = vec![0.0; e + 1];
            chosen.iter().for_each(|&expert| load[expert] += 1.0);
            load.truncate(e);
            let unserved = chosen.chunks(k).filter(|unit| unit.iter().all(|&x| x == e)).count();
            let touched = load.iter().sum::<f64>() / units as f64;
            (load, unserved, touched)
        }
        Plan::ExpertChoice { units: chosen, n_units, .. } => {
            let [g, _, c] = chosen.dims();
            let mut seen = vec![false; units];
            let per_group = to_host(chosen);
            for (group, chosen) in per_group.chunks(e * c).enumerate() {
                chosen.iter().for_each(|unit| seen[group * n_units + unit] = true);
            }
            let unserved = seen.iter().filter(|seen| !**seen).count();
            (vec![(g * c) as f64; e], unserved, (g * e * c) as f64 / units as f64)
        }
        Plan::Soft { dispatch, .. } => {
            let [g, _, _, c] = dispatch.dims();
            (vec![(g * c) as f64; e], 0, e as f64)
        }
        Plan::Dense { .. } => (vec![units as f64; e], 0, e as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::prelude::*;

    #[test]
    fn token_choice_counts_slots_and_the_unserved() {
        let device = Device::flex();
        // Three units, two choices, two experts; 2 is the null expert.
        let experts = Tensor::<3, Int>::from_ints([[[0, 1], [0, 2], [2, 2]]], &device);
        let weights = Tensor::<3>::ones([1, 3, 2], &device);
        let plan = Plan::TokenChoice { experts, weights, n_experts: 2 };
        assert_eq!(of_plan(&plan), (vec![2.0, 1.0], 1, 1.0));
    }

    #[test]
    fn expert_choice_counts_units_that_nobody_wants() {
        let device = Device::flex();
        let units = Tensor::<3, Int>::from_ints([[[0, 1], [1, 0]], [[2, 1], [2, 0]]], &device);
        let weights = Tensor::<3>::ones([2, 2, 2], &device);
        let plan = Plan::ExpertChoice { units, weights, n_units: 3 };
        assert_eq!(of_plan(&plan), (vec![4.0, 4.0], 1, 8.0 / 6.0));
    }

    #[test]
    fn reports_of_batches_add_up() {
        let report = |load: [f64; 2], touched| LayerReport {
            layer: 0,
            units: 4,
            load: load.to_vec(),
            unserved: 1,
            touched,
            flops: 10.0,
            expert_params: 5.0,
        };
        let mut sum = report([3.0, 1.0], 1.0);
        assert_eq!(sum.max_over_mean(), 1.5);
        sum.add(&report([1.0, 3.0], 2.0));
        assert_eq!((sum.units, sum.unserved, sum.touched), (8, 2, 1.5));
        assert_eq!(sum.max_over_mean(), 1.0);
        assert_eq!(sum.idle_params(), 2.5); // (2 experts - 1.5 touched) * 5
    }
}
