//! The plug-ins that layers are built from, and checks of their settings.

use burn::{module::Param, prelude::*};

use super::{
    config::MoeConfig, placement::Placement, pruned::KeptExperts, residual::ResidualRules,
};
use crate::{
    experts::{AnyExperts, ExpertKinds},
    plugin::{ConfigError, Init, PathVisitor, visit_paths},
    routing::{Dims, Level, Routers},
};

/// Every router, expert and residual rule that a network can be built from.
#[derive(Clone)]
pub struct Library {
    /// Routers by name.
    pub routers: Routers,
    /// Kinds of experts by name.
    pub experts: ExpertKinds,
    /// Residual rules by name.
    pub residuals: ResidualRules,
}

impl Default for Library {
    /// An empty library.
    fn default() -> Self {
        Self {
            routers: Routers::new("router"),
            experts: ExpertKinds::new("expert"),
            residuals: ResidualRules::new("residual rule"),
        }
    }
}

impl Library {
    /// The config in which every default of its plug-ins is written out.
    pub fn complete(&self, config: &MoeConfig) -> Result<MoeConfig, ConfigError> {
        let shared = config.shared.as_ref();
        Ok(MoeConfig {
            shared: shared.map(|shared| shared.complete(&self.experts)).transpose()?,
            router: self.routers.complete(&config.router)?,
            expert: self.experts.complete(&config.expert)?,
            residual: self.residuals.complete(&config.residual)?,
            ..config.clone()
        })
    }

    /// Checks that the config fits a stream `[B, tokens, width]` through `depth` blocks. All errors in a
    /// user's settings are found here, before anything is built.
    pub fn check(
        &self,
        config: &MoeConfig,
        [tokens, width]: [usize; 2],
        depth: usize,
    ) -> Result<(), ConfigError> {
        let wrong = |message| ConfigError::Layer { table: "moe", message };
        config.layers.check(depth).map_err(wrong)?;
        config.level.check(width).map_err(wrong)?;
        config.capacity.check().map_err(wrong)?;
        if config.experts == 0 {
            return Err(wrong("experts = 0: at least one is needed".into()));
        }
        let (router, experts) = dims(config, [tokens, width]);
        (self.routers.get(&config.router.kind)?.build.check)(&config.router, router)?;
        (self.experts.get(&config.expert.kind)?.build.check)(&config.expert, experts)?;
        self.check_stack(config, experts)?;
        self.check_split(config, experts)?;
        if let Some(shared) = &config.shared {
            shared.check(&self.experts, experts)?;
        }
        (self.residuals.get(&config.residual.kind)?.build.check)(&config.residual)
    }

    /// Checks that the experts are stacks of equal matrices, if the router mixes parameters or the experts
    /// are in half precision.
    fn check_stack(&self, config: &MoeConfig, dims: Dims) -> Result<(), ConfigError> {
        let (router, expert) = (&config.router, &config.expert);
        let merges = self.routers.get(&router.kind)?.build.merges;
        if !merges && config.expert_dtype.is_f32() {
            return Ok(());
        }
        let build = self.experts.get(&expert.kind)?.build.init;
        let has_stack = build(expert, dims, &Init::new(0, &Device::flex()))?.stack().is_some();
        let dtype = config.expert_dtype.name();
        match (merges, has_stack) {
            (true, true) if !config.expert_dtype.is_f32() => Err(self.routers.invalid(
                &router.kind,
                format!(
                    "expert_dtype = {dtype}: the router mixes the matrices of experts only in f32"
                ),
            )),
            (_, true) => Ok(()),
            (true, false) => Err(self.routers.invalid(
                &router.kind,
                format!(
                    "the router mixes the matrices of experts, but expert {:?} has none",
                    expert.kind
                ),
            )),
            (false, false) => Err(self.experts.invalid(
                &expert.kind,
                format!(
                    "expert_dtype = {dtype}: requires experts of two or three matrices, such as ffn"
                ),
            )),
        }
    }

    /// Checks, if processes split the experts, that rows can be sent to the experts and that each expert
    /// has its own parameters.
    fn check_split(&self, config: &MoeConfig, dims: Dims) -> Result<(), ConfigError> {
        if !config.expert_parallel {
            return Ok(());
        }
        let (router, expert) = (&config.router, &config.expert);
        let build = self.routers.get(&router.kind)?.build;
        let mixed = [(build.mixes_units, "units"), (build.merges, "the matrices of experts")];
        if let Some((_, what)) = mixed.iter().find(|(mixes, _)| *mixes) {
            return Err(self.routers.invalid(
                &router.kind,
                format!(
                    "expert_parallel = true: requires a router that sends units to experts, such as top-k; \
                     this router mixes {what}"
                ),
            ));
        }
        let build = self.experts.get(&expert.kind)?.build.init;
        let experts = build(expert, dims, &Init::new(0, &Device::flex()))?;
        match experts.stack().is_some() && are_apart(&experts, dims.n_experts) {
            true => Ok(()),
            false => Err(self.experts.invalid(
                &expert.kind,
                "expert_parallel = true: requires experts of two or three matrices each, such as ffn",
            )),
        }
    }

    /// Whether the layers are causal: no unit depends on the units after it.
    pub fn causal(&self, config: &MoeConfig) -> Result<bool, ConfigError> {
        let router = (self.routers.get(&config.router.kind)?.build.causal)(&config.router)?;
        let level = matches!(config.level, Level::Token | Level::Heads(_));
        let no_layers = config.layers == Placement::NONE;
        Ok(no_layers || (router && level && !config.capacity.sees_later_units()))
    }
}

/// Whether the first axis of every parameter has one entry for each expert.
fn are_apart(experts: &AnyExperts, n_experts: usize) -> bool {
    let mut sides = Sides { n_experts, apart: true };
    visit_paths(experts, &mut sides);
    sides.apart
}

struct Sides {
    n_experts: usize,
    apart: bool,
}

impl PathVisitor for Sides {
    fn visit<const D: usize>(&mut self, _: &[String], param: &Param<Tensor<D>>) {
        self.apart &= D > 0 && param.lazy_shape()[0] == self.n_experts;
    }
}

/// The sizes that the router and the experts are built for.
pub(super) fn dims(config: &MoeConfig, [tokens, width]: [usize; 2]) -> (Dims, Dims) {
    let (level, kept) = (config.level, config.kept());
    let units = level.units(tokens);
    let of = |count: fn(&KeptExperts) -> usize| kept.as_ref().map_or(config.experts, count);
    let router =
        Dims { width: level.router_width(width), n_experts: of(KeptExperts::columns), units };
    let experts =
        Dims { width: level.expert_width(width), n_experts: of(|kept| kept.experts.len()), units };
    (router, experts)
}
