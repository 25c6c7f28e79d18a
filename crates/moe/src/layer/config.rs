//! The settings of the MoE layers of a network.

use super::{
    placement::Placement,
    pruned::{KeptExperts, Pruned},
    shared::SharedConfig,
};
use crate::{
    capacity::Capacity, engine::Engine, experts::ExpertDtype, plugin::Choice, routing::Level,
};

crate::config! {
    /// The MoE layers of a network.
    pub struct MoeConfig {
        /// The blocks that have a MoE layer.
        pub layers: Placement = Placement::Every(2),
        /// The number of experts, E.
        pub experts: usize = 8,
        /// The unit of routing: token, sequence, batch, or slice of a token.
        pub level: Level = Level::Token,
        /// The routing algorithm.
        pub router: Choice = Choice::of("top-k"),
        /// The kind of the routed experts.
        pub expert: Choice = Choice::of("ffn"),
        /// An expert that processes every unit, in addition to the routed ones; none by default.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub shared: Option<SharedConfig> = None,
        /// The rule by which the output is added to the stream.
        pub residual: Choice = Choice::of("add"),
        /// The capacity of the experts, and the policy for overflow.
        pub capacity: Capacity = Capacity::default(),
        /// The engine that executes plans.
        pub engine: Engine = Engine::Auto,
        /// Whether the processes of a run split the experts instead of each having all of them. A single
        /// process has all of them.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        pub expert_parallel: bool = false,
        /// The number format of the matrices of routed experts.
        #[serde(skip_serializing_if = "ExpertDtype::is_f32", alias = "storage")]
        pub expert_dtype: ExpertDtype = ExpertDtype::F32,
        /// The experts left after pruning. Not a setting: it is recorded from a trained network.
        #[serde(skip)]
        pub pruned: Option<Pruned> = None,
    }
}

impl MoeConfig {
    /// The config of MoE layer number `layer` alone: layers differ in the experts that are left.
    pub fn of_layer(&self, layer: usize) -> Self {
        let one = |pruned: &Pruned| Pruned {
            gone: pruned.gone,
            kept: pruned.kept.get(layer).cloned().into_iter().collect(),
        };
        Self { pruned: self.pruned.as_ref().map(one), ..self.clone() }
    }

    /// The experts left in the first layer, if the network is pruned.
    pub(super) fn kept(&self) -> Option<KeptExperts> {
        let pruned = self.pruned.as_ref()?;
        let experts = pruned.kept.first()?.clone();
        Some(KeptExperts { gone: pruned.gone, experts, of: self.experts })
    }
}
