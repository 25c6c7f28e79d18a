//! Layers from which experts were removed, and the treatment of choices of removed experts.

use burn::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{plugin::Choice, routing::Plan};

/// The treatment of a choice of a removed expert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gone {
    /// The choice gives 0. The router is unchanged: the removed expert keeps its share of the softmax and
    /// can still be chosen, and the weights of the other experts are unchanged.
    #[default]
    Zero,
    /// As `zero`, but the weights of a unit's other choices are scaled up, so that their sum is unchanged.
    Renormalize,
    /// The router loses the expert too, and chooses among the experts that are left.
    Remove,
}

/// The experts that the MoE layers of a network still have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pruned {
    /// The treatment of a choice of a removed expert.
    pub gone: Gone,
    /// For each layer, the indices before pruning of the experts that are left.
    pub kept: Vec<Vec<usize>>,
}

/// The experts that one MoE layer still has.
#[derive(Clone, Debug)]
pub(crate) struct KeptExperts {
    pub(crate) gone: Gone,
    pub(crate) experts: Vec<usize>,
    /// The number of experts before pruning.
    pub(crate) of: usize,
}

impl KeptExperts {
    /// The number of columns of the router: all of them, unless the columns of removed experts are removed
    /// too.
    pub(crate) fn columns(&self) -> usize {
        if self.gone == Gone::Remove { self.experts.len() } else { self.of }
    }

    /// The config of the router that is built for the remaining experts. If experts choose, each takes as
    /// many units as before: `factor`, which is relative to units over experts, is reduced in proportion
    /// to the number of experts.
    pub(crate) fn router(&self, choice: &Choice) -> Choice {
        let factor = choice.options.get("factor").and_then(serde_json::Value::as_f64);
        match factor.filter(|_| self.gone == Gone::Remove) {
            Some(factor) => {
                let share = self.experts.len() as f64 / self.of as f64;
                choice.clone().with("factor", factor * share)
            }
            None => choice.clone(),
        }
    }

    /// The plan over the experts that are left, with their new indices.
    pub(crate) fn apply(&self, plan: Plan) -> Plan {
        if self.gone == Gone::Remove {
            return plan;
        }
        match plan {
            Plan::TokenChoice { experts, weights, .. } => self.token_choice(experts, weights),
            Plan::ExpertChoice { units, weights, n_units } => {
                let left = self.left(&units.device());
                let (units, weights) = (units.select(1, left.clone()), weights.select(1, left));
                Plan::ExpertChoice { units, weights, n_units }
            }
            Plan::Soft { dispatch, combine } => {
                let left = self.left(&dispatch.device().inner());
                let (dispatch, combine) =
                    (dispatch.select(2, left.clone()), combine.select(2, left));
                Plan::Soft { dispatch, combine }
            }
            Plan::Merged { weights, n_units, segment } => {
                let left = self.left(&weights.device().inner());
                Plan::Merged { weights: weights.select(2, left), n_units, segment }
            }
            Plan::Dense { weights } => {
                let left = self.left(&weights.device().inner());
                Plan::Dense { weights: weights.select(2, left) }
            }
        }
    }

    fn token_choice(&self, experts: Tensor<3, Int>, weights: Tensor<3>) -> Plan {
        let (shape, device, n_experts) = (experts.dims(), experts.device(), self.experts.len());
        // Maps the old index of an expert to the new one, or to the null expert.
        let mut new = vec![n_experts as i32; self.of + 1];
        self.experts.iter().enumerate().for_each(|(place, old)| new[*old] = place as i32);
        let new = Tensor::<1, Int>::from_data(TensorData::from(new.as_slice()), &device);
        let left = new.select(0, experts.clone().reshape([-1])).reshape(shape);
        let weights = match self.gone {
            Gone::Renormalize => {
                let before = weighed(&experts, &weights, self.of);
                let after = weighed(&left, &weights, n_experts).clamp_min(f32::MIN_POSITIVE);
                weights * (before / after)
            }
            _ => weights,
        };
        Plan::TokenChoice { experts: left, weights, n_experts }
    }

    fn left(&self, device: &Device) -> Tensor<1, Int> {
        let left: Vec<i32> = self.experts.iter().map(|expert| *expert as i32).collect();
        Tensor::from_data(TensorData::from(left.as_slice()), device)
    }
}

/// `[G, U, 1]`: the sum of a unit's weights without those of null choices.
fn weighed(experts: &Tensor<3, Int>, weights: &Tensor<3>, n_experts: usize) -> Tensor<3> {
    let null = experts.clone().greater_equal_scalar(n_experts as i64);
    weights.clone().mask_fill(null, 0.0).sum_dim(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::to_host;

    fn kept(gone: Gone) -> KeptExperts {
        KeptExperts { gone, experts: vec![0, 2], of: 4 }
    }

    fn token_choice(gone: Gone) -> (Vec<usize>, Vec<f32>) {
        let device = Device::flex();
        // Two units, two choices of four experts; 4 is the null expert.
        let experts = Tensor::<3, Int>::from_ints([[[1, 2], [0, 4]]], &device);
        let weights = Tensor::<3>::from_floats([[[0.6, 0.2], [0.5, 0.3]]], &device);
        let plan = kept(gone).apply(Plan::TokenChoice { experts, weights, n_experts: 4 });
        let Plan::TokenChoice { experts, weights, n_experts: 2 } = plan else { panic!("2 left") };
        (to_host(&experts), weights.into_data().try_to_vec().unwrap())
    }

    #[test]
    fn a_choice_of_an_expert_that_is_gone_goes_to_no_one() {
        assert_eq!(token_choice(Gone::Zero), (vec![2, 1, 0, 2], vec![0.6, 0.2, 0.5, 0.3]));
    }

    #[test]
    fn or_its_weight_goes_to_the_others() {
        let (experts, weights) = token_choice(Gone::Renormalize);
        assert_eq!(experts, [2, 1, 0, 2]);
        assert!((weights[1] - 0.8).abs() < 1e-6, "{weights:?}"); // 0.2 (0.6 + 0.2) / 0.2
        assert_eq!(weights[2], 0.5); // the null choice never counted
    }

    #[test]
    fn experts_that_choose_go_with_their_choices() {
        let device = Device::flex();
        let units = Tensor::<3, Int>::from_ints([[[0, 1], [1, 2], [2, 0], [1, 0]]], &device);
        let weights = units.clone().float();
        let plan = kept(Gone::Zero).apply(Plan::ExpertChoice { units, weights, n_units: 3 });
        let Plan::ExpertChoice { units, weights, .. } = plan else { panic!("experts choose") };
        assert_eq!(to_host(&units), [0, 1, 2, 0]);
        assert_eq!(weights.into_data().try_to_vec::<f32>().unwrap(), [0.0, 1.0, 2.0, 0.0]);
    }

    #[test]
    fn the_smaller_router_gives_each_expert_as_many_units() {
        let choice = Choice::of("any").with("factor", 1.5).with("k", 2);
        assert_eq!(kept(Gone::Remove).router(&choice), choice.clone().with("factor", 0.75));
        assert_eq!(kept(Gone::Zero).router(&choice), choice);
        assert_eq!((kept(Gone::Remove).columns(), kept(Gone::Zero).columns()), (2, 4));
    }
}
