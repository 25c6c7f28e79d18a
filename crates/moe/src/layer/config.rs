//! The settings of the MoE layers of a network.

use super::{
    placement::Placement,
    pruned::{Kept, Pruned},
    shared::SharedConfig,
};
use crate::{
    capacity::Capacity, engine::Engine, experts::ExpertDtype, plugin::Choice, routing::Level,
};

crate::config! {
    /// The MoE layers of a network.
    pub struct MoeConfig {
        /// Which blocks have one.
        pub layers: Placement = Placement::Every(2),
        /// The number of experts, E.
        pub experts: usize = 8,
        /// What is routed as one piece.
        pub level: Level = Level::Token,
        /// Who decides.
        pub router: Choice = Choice::of("top-k"),
        /// Who works.
        pub expert: Choice = Choice::of("ffn"),
        /// Who works on every unit, beside those that the router chooses; none unless given.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub shared: Option<SharedConfig> = None,
        /// How the output joins the stream.
        pub residual: Choice = Choice::of("add"),
        /// How many units an expert may take.
        pub capacity: Capacity = Capacity::default(),
        /// Who carries the plan out.
        pub engine: Engine = Engine::Auto,
        /// The number format of the matrices of routed experts.
        #[serde(skip_serializing_if = "ExpertDtype::is_f32", alias = "storage")]
        pub expert_dtype: ExpertDtype = ExpertDtype::F32,
        /// The experts that are left after pruning; not a setting, it follows from a trained network.
        #[serde(skip)]
        pub pruned: Option<Pruned> = None,
    }
}

impl MoeConfig {
    /// The config of MoE layer number `layer` alone: they differ in the experts that are left.
    pub fn of_layer(&self, layer: usize) -> Self {
        let one = |pruned: &Pruned| Pruned {
            gone: pruned.gone,
            kept: pruned.kept.get(layer).cloned().into_iter().collect(),
        };
        Self { pruned: self.pruned.as_ref().map(one), ..self.clone() }
    }

    /// What is left of the first layer.
    pub(super) fn kept(&self) -> Option<Kept> {
        let pruned = self.pruned.as_ref()?;
        let experts = pruned.kept.first()?.clone();
        Some(Kept { gone: pruned.gone, experts, of: self.experts })
    }
}
