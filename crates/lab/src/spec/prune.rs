//! The pruning of the network that a run starts from.

use moe::{Gone, config, stable_hash};
use pruning::{PruningRule, Ratio};

config! {
    /// The experts that a run prunes from the network that it starts from.
    pub struct PruneConfig {
        /// The share of each layer's experts that is pruned: one number, or one for each MoE layer.
        pub ratio: Ratio = Ratio::All(0.5),
        /// The rule that ranks the experts.
        pub rule: PruningRule = PruningRule::RouterNormChange,
        /// The treatment of the choices of pruned experts. None means as in the paper: they give 0 if units
        /// choose, and are also removed from the router if experts choose.
        pub gone: Option<Gone> = None,
        /// The number of the draw of the rule `random`, so that several draws with one seed can be compared.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub draw: Option<u64> = None,
    }
}

impl PruneConfig {
    /// The seed of the random draws for a layer.
    pub(crate) fn seed_of(&self, seed: u64, layer: usize) -> u64 {
        let draw = self.draw.map_or_else(String::new, |draw| format!("/{draw}"));
        stable_hash(&format!("{seed}/{layer}{draw}"))
    }

    /// Checks that the number of a draw is given only for a rule that draws.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.draw {
            Some(draw) if self.rule != PruningRule::Random => {
                Err(format!("draw = {draw}: only for the rule \"random\", not {:?}", self.rule))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_has_a_seed_of_its_own() {
        let plain = PruneConfig { rule: PruningRule::Random, ..PruneConfig::default() };
        let drawn = PruneConfig { draw: Some(1), ..plain.clone() };
        // Without the key, the numbers and names of runs are the same as before it existed.
        assert_eq!(plain.seed_of(3, 1), stable_hash("3/1"));
        assert_ne!(drawn.seed_of(3, 1), plain.seed_of(3, 1));
        let written =
            |prune: &PruneConfig| serde_json::to_value(prune).unwrap().get("draw").cloned();
        assert_eq!([written(&plain), written(&drawn)], [None, Some(1.into())]);
        assert_eq!([plain.check(), drawn.check()], [Ok(()), Ok(())]);
        let wrong = PruneConfig { rule: PruningRule::Load, ..drawn };
        assert_eq!(wrong.check().unwrap_err(), "draw = 1: only for the rule \"random\", not Load");
    }
}
