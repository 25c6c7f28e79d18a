//! The pruning of the network that a run starts from.

use moe::{Gone, config};
use pruning::{PruningRule, Ratio};

config! {
    /// The experts that a run prunes from the network that it starts from.
    pub struct PruneConfig {
        /// The share of each layer's experts that goes: one number, or one for each MoE layer.
        pub ratio: Ratio = Ratio::All(0.5),
        /// The rule that ranks the experts.
        pub rule: PruningRule = PruningRule::RouterNormChange,
        /// What becomes of their choices. None is as in the paper: they give 0 where units choose, and
        /// the router loses them too where experts choose.
        pub gone: Option<Gone> = None,
    }
}
