//! Probes of the layers of a pass: their plans, the output of every expert on every unit, and the effect
//! of other plans.

use burn::prelude::*;

use crate::{
    layer::MoeLayer,
    routing::{Pass, Plan, to_host},
};

/// A probe of the MoE layers. Put it into a pass before the forward pass, and take it out afterwards. A
/// pass without a probe has no extra cost.
#[derive(Default)]
pub struct RoutingProbe {
    /// The captures of the MoE layers, in order.
    pub layers: Vec<LayerCapture>,
    /// Whether every expert is applied to every unit.
    pub with_outputs: bool,
    /// Returns the plan that a layer executes, from the layer's number and the plan that its router made.
    #[allow(clippy::type_complexity, reason = "it is a function of two arguments")]
    pub plan_override: Option<Box<dyn Fn(usize, Plan) -> Plan>>,
}

/// The capture of one layer.
#[derive(Clone, Debug)]
pub struct LayerCapture {
    /// The plan that was executed, after capacity.
    pub plan: Plan,
    /// The output of every expert for every row, `[E, S, row]`, with [`RoutingProbe::with_outputs`].
    pub outputs: Option<Tensor<3>>,
}

impl MoeLayer {
    /// Records the plan if the pass has a probe, and returns the plan to execute. The payload is
    /// `[G, U, P]`, in rows of width `row`.
    pub(crate) fn show(
        &self,
        pass: &mut Pass,
        plan: Plan,
        payload: &Tensor<3>,
        row: usize,
    ) -> Plan {
        let Some(mut look) = pass.take::<RoutingProbe>() else { return plan };
        let plan = match &look.plan_override {
            Some(plan_override) => plan_override(look.layers.len(), plan),
            None => plan,
        };
        let outputs = look.with_outputs.then(|| {
            let rows = payload.clone().reshape([1, -1, row as i64]);
            let [_, s, _] = rows.dims();
            self.experts.forward(pass, rows.expand([plan.n_experts(), s, row]))
        });
        look.layers.push(LayerCapture { plan: plan.clone(), outputs });
        pass.put(look);
        plan
    }
}

impl Plan {
    /// The experts of each unit with their weights, in order of descending absolute weight, without the
    /// null expert. In a soft plan, the weight of an expert is the sum over its slots.
    pub fn choices(&self) -> Vec<Vec<(usize, f32)>> {
        let mut choices = match self {
            Plan::TokenChoice { experts, weights, n_experts } => {
                let k = experts.dims()[2];
                let chosen = to_host(experts).into_iter().zip(floats(weights));
                let chosen: Vec<_> = chosen.collect();
                let real = |(expert, _): &&(usize, f32)| expert < n_experts;
                chosen.chunks(k).map(|unit| unit.iter().filter(real).copied().collect()).collect()
            }
            Plan::ExpertChoice { units, weights, n_units } => {
                let [_, e, c] = units.dims();
                let mut choices: Vec<Vec<(usize, f32)>> = vec![Vec::new(); self.n_units()];
                for (at, (unit, weight)) in
                    to_host(units).into_iter().zip(floats(weights)).enumerate()
                {
                    let (group, expert) = (at / (e * c), at / c % e);
                    choices[group * n_units + unit].push((expert, weight));
                }
                choices
            }
            Plan::Soft { combine, .. } => {
                let [g, u, e, _] = combine.dims();
                of_all(&combine.clone().sum_dim(3).reshape([g, u, e]))
            }
            Plan::Dense { weights } => of_all(weights),
            Plan::Merged { weights, n_units, segment } => {
                let [g, s, e] = weights.dims();
                let each = weights.clone().unsqueeze_dim::<4>(2).expand([g, s, *segment, e]);
                of_all(&each.reshape([g, s * segment, e]).narrow(1, 0, *n_units))
            }
        };
        choices.iter_mut().for_each(|unit| unit.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs())));
        choices
    }
}

/// The choices for weights `[G, U, E]`: every unit has every expert.
fn of_all(weights: &Tensor<3>) -> Vec<Vec<(usize, f32)>> {
    let e = weights.dims()[2];
    let weights: Vec<f32> = floats(weights).collect();
    weights.chunks(e).map(|unit| unit.iter().copied().enumerate().collect()).collect()
}

fn floats(tensor: &Tensor<3>) -> impl Iterator<Item = f32> {
    kernels::read_back(tensor.clone()).iter::<f32>().collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_plan_says_who_works_on_a_unit() {
        let device = Device::flex();
        let ints = |data: [[i32; 2]; 2]| Tensor::<3, Int>::from_ints([data], &device);
        let floats = |data: [[f32; 2]; 2]| Tensor::<3>::from_floats([data], &device);
        let weights = floats([[0.25, 0.75], [0.5, 0.5]]);
        let plan = Plan::TokenChoice {
            experts: ints([[0, 1], [2, 1]]),
            weights: weights.clone(),
            n_experts: 2,
        };
        assert_eq!(plan.choices(), [vec![(1, 0.75), (0, 0.25)], vec![(1, 0.5)]]);
        let plan = Plan::ExpertChoice {
            units: ints([[0, 2], [2, 1]]),
            weights: weights.clone(),
            n_units: 3,
        };
        assert_eq!(plan.choices(), [vec![(0, 0.25)], vec![(1, 0.5)], vec![(0, 0.75), (1, 0.5)]]);
        let all = [vec![(1, 0.75), (0, 0.25)], vec![(0, 0.5), (1, 0.5)]];
        assert_eq!(Plan::Dense { weights: weights.clone() }.choices(), all);
        let merged = Plan::Merged { weights: weights.clone(), n_units: 3, segment: 2 };
        let twice = [&all[..1], &all[..1], &all[1..]].concat();
        assert_eq!(merged.choices(), twice);
        let combine = weights.unsqueeze_dim::<4>(3);
        assert_eq!(Plan::Soft { dispatch: combine.clone(), combine }.choices(), all);
    }
}
