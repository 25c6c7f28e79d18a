//! Rules for scoring the experts of a layer; the experts with the smallest scores are pruned.

use moe::stable_hash;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::LayerNorms;

/// A rule for scoring experts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PruningRule {
    /// The paper's rule: the growth of the norm of the router's vector in fine-tuning. It is signed: the
    /// difference of two norms, not the norm of the difference.
    #[default]
    RouterNormChange,
    /// `router-norm-change` with the opposite sign: the experts that the paper keeps are pruned first. A
    /// control.
    ReversedRouterNormChange,
    /// The absolute value of the change, a common misreading.
    AbsRouterNormChange,
    /// The norm of the router's vector after fine-tuning.
    RouterNorm,
    /// The growth of the norm of the expert's weights in fine-tuning.
    ExpertNormChange,
    /// The norm of the expert's weights after fine-tuning.
    ExpertNorm,
    /// The load of the expert on the validation split.
    Load,
    /// The sum of its weights in the plan times the share of units that it processes, on the validation
    /// split (Chen et al., *Task-Specific Expert Pruning*, 2022, <https://arxiv.org/abs/2206.00277>).
    Importance,
    /// Random numbers.
    Random,
    /// No expert is dropped: experts with similar outputs on the validation split become one
    /// (`pruning/src/merge.rs`). The score is the load.
    Merge,
}

/// The statistics of one layer's experts from which rules compute scores.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The norms before fine-tuning, if the network was fine-tuned.
    pub before: Option<LayerNorms>,
    /// The norms of the network that is pruned.
    pub now: LayerNorms,
    /// The number of units routed to each expert.
    pub load: Vec<f64>,
    /// The sum of the weights of these units for each expert.
    pub weight: Vec<f64>,
    /// The number of units.
    pub units: usize,
    /// The seed of [`PruningRule::Random`].
    pub seed: u64,
}

const ROUTER: &str = "the router has no matrix `gate.weight` with a vector for each expert";
const EXPERTS: &str = "the experts differ in size";
const BEFORE: &str = "no earlier network to compare with: the rule requires a run that started from the \
                      weights of another run (`from`); rules without this requirement: router-norm, \
                      expert-norm, load, importance, random, merge";

impl PruningRule {
    /// Whether the rule needs an evaluation on data.
    pub fn needs_data(self) -> bool {
        matches!(self, PruningRule::Load | PruningRule::Importance | PruningRule::Merge)
    }

    /// A score for each expert.
    ///
    /// # Errors
    /// If the rule requires statistics that are missing.
    pub fn scores(self, layer: &Evidence) -> Result<Vec<f64>, String> {
        let before = layer.before.as_ref().ok_or(BEFORE);
        let router = |norms: &LayerNorms| norms.router.clone().ok_or(ROUTER);
        let experts = |norms: &LayerNorms| norms.experts.clone().ok_or(EXPERTS);
        let grown = |of: &dyn Fn(&LayerNorms) -> Result<Vec<f64>, &'static str>| {
            let (now, before) = (of(&layer.now)?, of(before?)?);
            Ok(now.iter().zip(before).map(|(now, before)| now - before).collect::<Vec<f64>>())
        };
        let scores: Result<Vec<f64>, &'static str> = match self {
            PruningRule::RouterNormChange => grown(&router),
            PruningRule::ReversedRouterNormChange => {
                grown(&router).map(|grown| grown.into_iter().map(|change| -change).collect())
            }
            PruningRule::AbsRouterNormChange => {
                grown(&router).map(|grown| grown.into_iter().map(f64::abs).collect())
            }
            PruningRule::RouterNorm => router(&layer.now),
            PruningRule::ExpertNormChange => grown(&experts),
            PruningRule::ExpertNorm => experts(&layer.now),
            PruningRule::Load | PruningRule::Merge => Ok(layer.load.clone()),
            PruningRule::Importance => {
                let of = |(weight, load): (&f64, &f64)| weight * load / layer.units as f64;
                Ok(layer.weight.iter().zip(&layer.load).map(of).collect())
            }
            PruningRule::Random => Ok(lots(layer.seed, layer.load.len())),
        };
        scores.map_err(String::from)
    }
}

fn lots(seed: u64, n: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(stable_hash(&format!("prune/{seed}")));
    (0..n).map(|_| rng.random()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{carry::tests::fill, ratio::keep};
    use burn::prelude::*;

    fn lengths(columns: Tensor<2>) -> LayerNorms {
        let lengths = columns.square().sum_dim(0).sqrt().into_data();
        LayerNorms { router: Some(lengths.iter::<f32>().map(f64::from).collect()), experts: None }
    }

    /// The values that the published rule gives for these inputs, in double precision.
    fn evidence() -> Evidence {
        let before = fill(2, [6, 4], 2.0);
        let now = before.clone() * 0.9 + fill(8, [6, 4], 1.0);
        Evidence { before: Some(lengths(before)), now: lengths(now), ..Evidence::default() }
    }

    /// The order in which experts are pruned.
    fn order(scores: &[f64]) -> Vec<usize> {
        let left = |n| keep(scores, n);
        let goes = |n| left(n).into_iter().find(|expert| !left(n + 1).contains(expert)).unwrap();
        (0..scores.len()).map(goes).collect()
    }

    #[test]
    fn the_change_is_signed() {
        let scores = PruningRule::RouterNormChange.scores(&evidence()).unwrap();
        let expected = [0.1289730, 0.1009511, -0.0837791, -0.0901580];
        assert!(scores.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{scores:?}");
        assert_eq!(order(&scores), [3, 2, 1, 0]);
        let order = |rule: PruningRule| order(&rule.scores(&evidence()).unwrap());
        assert_eq!(order(PruningRule::AbsRouterNormChange), [2, 3, 1, 0]);
        assert_eq!(order(PruningRule::RouterNorm), [2, 1, 0, 3]);
        assert_eq!(order(PruningRule::ReversedRouterNormChange), [0, 1, 2, 3]);
    }

    #[test]
    fn load_and_importance_by_hand() {
        let layer = Evidence {
            load: vec![4.0, 1.0, 3.0],
            weight: vec![1.0, 0.9, 2.0],
            units: 4,
            ..Evidence::default()
        };
        assert_eq!(PruningRule::Load.scores(&layer).unwrap(), [4.0, 1.0, 3.0]);
        assert_eq!(PruningRule::Importance.scores(&layer).unwrap(), [1.0, 0.225, 1.5]);
    }

    #[test]
    fn lots_follow_from_the_seed() {
        let draw = |seed| {
            let layer = Evidence { load: vec![0.0; 8], seed, ..Evidence::default() };
            PruningRule::Random.scores(&layer).unwrap()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn what_is_missing_is_named() {
        let fresh = Evidence { before: None, ..evidence() };
        assert!(
            PruningRule::RouterNormChange
                .scores(&fresh)
                .unwrap_err()
                .contains("no earlier network")
        );
        assert!(PruningRule::ExpertNorm.scores(&fresh).unwrap_err().contains("differ in size"));
        let hash = Evidence::default();
        assert!(
            PruningRule::RouterNorm.scores(&hash).unwrap_err().contains("no matrix `gate.weight`")
        );
    }
}
