//! The MoE layer: view, route, capacity, dispatch, experts, combine.

use burn::prelude::*;

use crate::{
    AnyExperts, AnyResidual, AnyRouter, Capacity, Choice, ConfigError, Dims, Engine, ExpertDtype,
    ExpertKinds, Init, LayerReport, Level, Pass, Placement, Plan, Pruned, ResidualRules,
    RouterLogits, Routers, Shared, SharedConfig, diversity, engine::ExpertCall,
    layer_report::by_input, padding::on_real_tokens, pruned::Kept,
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
        /// Coefficient of the loss for experts of one unit that say the same.
        pub diversity: f64 = 0.0,
        /// Who carries the plan out.
        pub engine: Engine = Engine::Auto,
        /// The numbers that the matrices of routed experts are kept in.
        #[serde(skip_serializing_if = "ExpertDtype::is_f32")]
        pub storage: ExpertDtype = ExpertDtype::F32,
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
    fn kept(&self) -> Option<Kept> {
        let pruned = self.pruned.as_ref()?;
        let experts = pruned.kept.first()?.clone();
        Some(Kept { gone: pruned.gone, experts, of: self.experts })
    }
}

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
    /// The config with every default of its plug-ins written out.
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

    /// Does the config fit a stream `[B, tokens, width]` through `depth` blocks? Everything that a
    /// person can get wrong is found here, before anything is built.
    pub fn check(
        &self,
        config: &MoeConfig,
        [tokens, width]: [usize; 2],
        depth: usize,
    ) -> Result<(), ConfigError> {
        let wrong = |message| ConfigError::Invalid { what: "moe", name: "config".into(), message };
        config.layers.check(depth).map_err(wrong)?;
        config.level.check(width).map_err(wrong)?;
        config.capacity.check().map_err(wrong)?;
        if !(config.diversity >= 0.0 && config.diversity.is_finite()) {
            return Err(wrong(format!("diversity = {}: it is 0 or larger", config.diversity)));
        }
        if config.experts == 0 {
            return Err(wrong("experts = 0: there is at least one".into()));
        }
        let (router, experts) = dims(config, [tokens, width]);
        (self.routers.get(&config.router.kind)?.build.check)(&config.router, router)?;
        (self.experts.get(&config.expert.kind)?.build.check)(&config.expert, experts)?;
        self.check_stack(config, experts)?;
        if let Some(shared) = &config.shared {
            shared.check(&self.experts, experts)?;
        }
        (self.residuals.get(&config.residual.kind)?.build.check)(&config.residual)
    }

    /// A router that mixes parameters, and half precision, need experts that are stacks of equal matrices.
    fn check_stack(&self, config: &MoeConfig, dims: Dims) -> Result<(), ConfigError> {
        let (router, expert) = (&config.router, &config.expert);
        let merges = self.routers.get(&router.kind)?.build.merges;
        if !merges && config.storage.is_f32() {
            return Ok(());
        }
        let build = self.experts.get(&expert.kind)?.build.init;
        let has_stack = build(expert, dims, &Init::new(0, &Device::flex()))?.stack().is_some();
        let storage = config.storage.name();
        match (merges, has_stack) {
            (true, true) if !config.storage.is_f32() => Err(self.routers.invalid(
                &router.kind,
                format!("storage = {storage}: it mixes the matrices of experts, in f32"),
            )),
            (_, true) => Ok(()),
            (true, false) => Err(self.routers.invalid(
                &router.kind,
                format!(
                    "it mixes the matrices of experts, and expert {:?} has none to show",
                    expert.kind
                ),
            )),
            (false, false) => Err(self.experts.invalid(
                &expert.kind,
                format!("storage = {storage}: it has no two or three matrices to keep so"),
            )),
        }
    }

    /// May the layers be used where a unit must not see the units after it?
    pub fn causal(&self, config: &MoeConfig) -> Result<bool, ConfigError> {
        let router = (self.routers.get(&config.router.kind)?.build.causal)(&config.router)?;
        let level = matches!(config.level, Level::Token | Level::Heads(_));
        let no_layers = config.layers == Placement::NONE;
        Ok(no_layers || (router && level && !config.capacity.sees_later_units()))
    }
}

/// The sizes that the router and the experts are built for.
fn dims(config: &MoeConfig, [tokens, width]: [usize; 2]) -> (Dims, Dims) {
    let (level, kept) = (config.level, config.kept());
    let units = level.units(tokens);
    let of = |count: fn(&Kept) -> usize| kept.as_ref().map_or(config.experts, count);
    let router = Dims { width: level.router_width(width), n_experts: of(Kept::columns), units };
    let experts =
        Dims { width: level.expert_width(width), n_experts: of(|kept| kept.experts.len()), units };
    (router, experts)
}

/// A layer of experts with a router before it.
#[derive(Module, Debug)]
pub struct MoeLayer {
    /// Who decides.
    pub router: AnyRouter,
    /// Who works.
    pub experts: AnyExperts,
    /// Who works on every unit.
    pub shared: Option<Shared>,
    /// How the output joins the stream.
    pub residual: AnyResidual,
    width: usize,
    #[module(skip)]
    level: Level,
    #[module(skip)]
    capacity: Capacity,
    diversity: f64,
    #[module(skip)]
    engine: Engine,
    #[module(skip)]
    storage: ExpertDtype,
    #[module(skip)]
    kept: Option<Kept>,
}

impl MoeLayer {
    /// A fresh layer in a stream `[B, tokens, width]`; of a pruned network, see
    /// [`MoeConfig::of_layer`].
    pub fn new(
        config: &MoeConfig,
        library: &Library,
        [tokens, width]: [usize; 2],
        init: &Init,
    ) -> Result<Self, ConfigError> {
        let (router, experts) = dims(config, [tokens, width]);
        let build_router = library.routers.get(&config.router.kind)?.build.init;
        let build_experts = library.experts.get(&config.expert.kind)?.build.init;
        let build_residual = library.residuals.get(&config.residual.kind)?.build.init;
        let kept = config.kept();
        let choice = library.routers.complete(&config.router)?;
        let choice = kept.as_ref().map_or(choice.clone(), |kept| kept.router(&choice));
        Ok(Self {
            router: build_router(&choice, router, &init.at("router"))?,
            experts: build_experts(&config.expert, experts, &init.at("experts"))?,
            shared: match &config.shared {
                Some(shared) => {
                    Some(Shared::new(shared, &library.experts, experts, &init.at("shared"))?)
                }
                None => None,
            },
            residual: build_residual(&config.residual, width, &init.at("residual"))?,
            width,
            level: config.level,
            capacity: config.capacity.clone(),
            diversity: config.diversity,
            engine: config.engine,
            storage: config.storage,
            kept,
        })
    }

    /// `[B, T, D] -> [B, T, D]`: what the experts make of `x`, 0 at padding ([`crate::RealTokens`]).
    /// It is not joined yet, see [`MoeLayer::step`].
    pub fn forward(&self, pass: &mut Pass, x: Tensor<3>) -> Tensor<3> {
        on_real_tokens(pass, x, |pass, x| self.forward_real(pass, x))
    }

    /// The same where every token is real.
    fn forward_real(&self, pass: &mut Pass, x: Tensor<3>) -> Tensor<3> {
        let shape = x.dims();
        if shape.contains(&0) {
            // No unit, no decision: neither routers nor experts see it.
            pass.next_layer();
            return x;
        }
        let (units, payload) = self.level.view(pass, x);
        let capacity = self.capacity.at(pass.training());
        let plan = self.router.route(pass, units);
        let scores = pass.take::<RouterLogits>().map(|RouterLogits(scores)| scores);
        let plan = capacity.apply(pass, plan, scores);
        let slots = match &plan {
            Plan::TokenChoice { experts, n_experts, .. } => {
                capacity.most_slots(experts.dims(), *n_experts)
            }
            _ => None,
        };
        // After the capacity: those that are left have as many slots as before.
        let plan = match &self.kept {
            Some(kept) => kept.apply(plan),
            None => plan,
        };
        let row = self.level.expert_width(self.width);
        let plan = self.show(pass, plan, &payload, row);
        self.report(pass, &plan, payload.dims()[2]);
        let work = ExpertCall { experts: &self.experts, storage: self.storage, row, slots };
        let output = self.run(&plan, &work, pass, payload.clone());
        match &self.shared {
            Some(shared) => {
                let visited = shared.forward(pass, payload, row);
                shared.join(output, visited)
            }
            None => output,
        }
        .reshape(shape)
    }

    /// `[G, U, P] -> [G, U, P]`: the plan's mixture of the experts' outputs.
    fn run(
        &self,
        plan: &Plan,
        work: &ExpertCall,
        pass: &mut Pass,
        payload: Tensor<3>,
    ) -> Tensor<3> {
        if self.diversity > 0.0
            && pass.training()
            && let Some((output, loss)) =
                diversity::run(self.engine, plan, work, pass, payload.clone())
        {
            pass.loss("diversity", loss * self.diversity);
            return output;
        }
        self.engine.run(plan, work, pass, payload)
    }

    /// The stream `x` and what the layer is to see of it, its norm say, both `[B, T, D]`, to the new
    /// stream: its residual rule has the layer go `forward`, and joins the outputs, which `branch` may
    /// change before.
    pub fn step(
        &self,
        pass: &mut Pass,
        x: Tensor<3>,
        input: Tensor<3>,
        branch: impl Fn(&mut Pass, Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        let visit = |pass: &mut Pass, input| {
            let output = self.forward(pass, input);
            branch(pass, output)
        };
        self.residual.step(pass, x, input, &visit)
    }

    fn report(&self, pass: &mut Pass, plan: &Plan, payload_width: usize) {
        let layer = pass.next_layer();
        pass.report(|| {
            let found = LayerReport::of_plan(plan);
            let (inputs, by_input) = by_input(plan, self.level, found.touched);
            let rows = payload_width / self.level.expert_width(self.width);
            let of = |(expert, load): (usize, &f64)| load * self.experts.flops_of(expert);
            let expert = found.load.iter().enumerate().map(of).sum::<f64>() * rows as f64;
            let shared = self.shared.as_ref().map_or(0.0, Shared::flops_per_row) * rows as f64;
            let mixing = match plan {
                Plan::Merged { weights, .. } => {
                    let [g, s, _] = weights.dims();
                    2.0 * (g * s * self.experts.num_params()) as f64
                }
                _ => 0.0,
            };
            let flops =
                expert + mixing + found.units as f64 * (shared + self.router.flops_per_unit());
            let expert_params = self.experts.num_params() as f64 / found.load.len() as f64;
            LayerReport { layer, inputs, by_input, flops, expert_params, ..found }
        });
    }
}
