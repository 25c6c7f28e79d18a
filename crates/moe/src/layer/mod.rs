//! The MoE layer: view, route, capacity, dispatch, experts, combine.

mod config;
mod library;
mod padding;
mod placement;
mod pruned;
mod residual;
mod routing_probe;
mod shared;
mod split;

use burn::prelude::*;
use library::dims;
use padding::on_real_tokens;
use pruned::KeptExperts;

pub use config::MoeConfig;
pub use library::Library;
pub use padding::RealTokens;
pub use placement::Placement;
pub use pruned::{Gone, Pruned};
pub use residual::{
    AnyResidual, BuildResidual, DynResidual, ResidualRule, ResidualRules, ResidualSocket, Visit,
};
pub use routing_probe::{LayerCapture, RoutingProbe};
pub use shared::{Shared, SharedConfig};
pub use split::expert_parameters;

use crate::{
    capacity::Capacity,
    engine::{Engine, ExpertCall},
    experts::{AnyExperts, ExpertDtype},
    plugin::{ConfigError, Init},
    routing::{AnyRouter, LayerReport, Level, Pass, Plan, RouterLogits},
};

/// A layer of experts preceded by a router.
#[derive(Module, Debug)]
pub struct MoeLayer {
    /// The router.
    pub router: AnyRouter,
    /// The routed experts.
    pub experts: AnyExperts,
    /// The shared expert, which processes every unit.
    pub shared: Option<Shared>,
    /// The rule by which the output is added to the stream.
    pub residual: AnyResidual,
    width: usize,
    #[module(skip)]
    level: Level,
    #[module(skip)]
    capacity: Capacity,
    #[module(skip)]
    engine: Engine,
    #[module(skip)]
    expert_dtype: ExpertDtype,
    #[module(skip)]
    kept: Option<KeptExperts>,
}

impl MoeLayer {
    /// A fresh layer in a stream `[B, tokens, width]`. For a pruned network, see [`MoeConfig::of_layer`].
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
            engine: config.engine,
            expert_dtype: config.expert_dtype,
            kept,
        })
    }

    /// `[B, T, D] -> [B, T, D]`: the output of the experts for `x`, 0 at padding
    /// ([`crate::RealTokens`]), before the residual rule of [`MoeLayer::step`].
    pub fn forward(&self, pass: &mut Pass, x: Tensor<3>) -> Tensor<3> {
        let [b, t, _] = x.dims();
        let further = self.further_exchanges(pass, [b, t]);
        let input = (further > 0).then(|| x.clone());
        let mut y = on_real_tokens(pass, x, |pass, x| self.forward_real(pass, x));
        for x in input.iter().flat_map(|x| std::iter::repeat_n(x, further)) {
            y = self.exchange_nothing(pass, x, y);
        }
        y
    }

    /// [`MoeLayer::forward`] if every token is real.
    fn forward_real(&self, pass: &mut Pass, x: Tensor<3>) -> Tensor<3> {
        let shape = x.dims();
        if shape.contains(&0) {
            // If there are no units, neither router nor experts are called.
            pass.next_layer();
            return x;
        }
        let (units, payload) = self.level.view(pass, x);
        let capacity = self.capacity.at(pass.training());
        let plan = self.router.route(pass, units);
        pass.take::<RouterLogits>();
        let plan = capacity.apply(pass, plan);
        let slots = match &plan {
            Plan::TokenChoice { experts, n_experts, .. } => {
                capacity.most_slots(experts.dims(), *n_experts)
            }
            _ => None,
        };
        // After the capacity, so that the experts left after pruning have as many slots as before.
        let plan = match &self.kept {
            Some(kept) => kept.apply(plan),
            None => plan,
        };
        let row = self.level.expert_width(self.width);
        let plan = self.show(pass, plan, &payload, row);
        self.report(pass, &plan, payload.dims()[2]);
        let work = ExpertCall { experts: &self.experts, dtype: self.expert_dtype, row, slots };
        let output = self.engine.run(&plan, &work, pass, payload.clone());
        match &self.shared {
            Some(shared) => {
                let visited = shared.forward(pass, payload, row);
                shared.join(output, visited)
            }
            None => output,
        }
        .reshape(shape)
    }

    /// One residual step of the stream `x` `[B, T, D]`. The residual rule calls the layer on `input`
    /// `[B, T, D]` (`x` after a norm, for example), passes its output through `branch`, and returns the
    /// new stream.
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
        let (layer, level) = (pass.next_layer(), self.level);
        pass.report_later(|| {
            let costs = self.costs(plan, payload_width);
            let of = move |plan: &Plan| costs.add_to(layer, LayerReport::of_inputs(plan, level));
            match plan {
                Plan::TokenChoice { experts, weights, n_experts } => {
                    // Detached from the graph of the gradients, which the report would keep in memory.
                    let weights = weights.clone().detach().inner();
                    let (experts, n_experts) = (experts.clone(), *n_experts);
                    Box::new(move || of(&Plan::TokenChoice { experts, weights, n_experts }))
                }
                plan => {
                    let report = of(plan);
                    Box::new(move || report)
                }
            }
        });
    }

    fn costs(&self, plan: &Plan, payload_width: usize) -> Costs {
        let rows = (payload_width / self.level.expert_width(self.width)) as f64;
        let shared = self.shared.as_ref().map_or(0.0, Shared::flops_per_row) * rows;
        let params = self.experts.num_params();
        let mixing = match plan {
            Plan::Merged { weights, .. } => {
                let [g, s, _] = weights.dims();
                2.0 * (g * s * params) as f64
            }
            _ => 0.0,
        };
        Costs {
            experts: (0..plan.n_experts()).map(|expert| self.experts.flops_of(expert)).collect(),
            rows,
            mixing,
            unit: shared + self.router.flops_per_unit(),
            params: params as f64,
        }
    }
}

/// The costs of a layer, which its report contains.
struct Costs {
    /// FLOPs of each expert on one row.
    experts: Vec<f64>,
    /// Rows in a slot.
    rows: f64,
    /// FLOPs of mixing parameters.
    mixing: f64,
    /// FLOPs of one unit besides its experts.
    unit: f64,
    /// Parameters of all experts together.
    params: f64,
}

impl Costs {
    /// Adds the layer's index and costs to the report.
    fn add_to(&self, layer: usize, found: LayerReport) -> LayerReport {
        let experts = found.load.iter().zip(&self.experts).map(|(load, flops)| load * flops);
        let experts = experts.sum::<f64>() * self.rows;
        let flops = experts + self.mixing + found.units as f64 * self.unit;
        let expert_params = self.params / found.load.len() as f64;
        LayerReport { layer, flops, expert_params, ..found }
    }
}
