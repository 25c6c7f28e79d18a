//! Layers whose experts are split among processes.

use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    prelude::*,
};

use super::{MoeLayer, padding};
use crate::{
    engine::ExpertCall,
    routing::{Pass, Plan},
};

impl MoeLayer {
    /// The number of exchanges that other processes make in this layer and for which this process has no
    /// rows. There is one exchange for each length of the sequences of a batch, and the batches of the
    /// processes differ in them.
    pub(super) fn further_exchanges(&self, pass: &mut Pass, shape: [usize; 2]) -> usize {
        let Some(own) = padding::lengths(pass, shape) else { return 0 };
        let Some(split) = pass.split_experts() else { return 0 };
        let own = own as u64;
        let all = split.world().all_gather("lengths in a layer", &own.to_le_bytes());
        let all = all.iter().filter_map(|bytes| Some(u64::from_le_bytes(*bytes.first_chunk()?)));
        (all.max().unwrap_or(own) - own) as usize
    }

    /// Takes part in an exchange without any row. Returns `y` with its values unchanged; its gradient
    /// includes the exchange.
    pub(super) fn exchange_nothing(
        &self,
        pass: &mut Pass,
        x: &Tensor<3>,
        y: Tensor<3>,
    ) -> Tensor<3> {
        let Some(split) = pass.split_experts() else { return y };
        let processes = split.world().size();
        let own = self.experts.stack().map_or(0, |stack| stack.w1.dims()[0]);
        let (n_experts, row) = (own * processes, self.level.expert_width(self.width));
        // One unit, whose choice is the null expert. It is tracked by autodiff like the units of the other
        // processes.
        let unit = x.clone().slice([0..1, 0..1, 0..row]) * 0.0;
        let experts = Tensor::<3, Int>::full([1, 1, 1], n_experts as i64, &x.device().inner());
        let weights = Tensor::<3>::zeros([1, 1, 1], &x.device());
        let plan = Plan::TokenChoice { experts, weights, n_experts };
        let work =
            ExpertCall { experts: &self.experts, dtype: self.expert_dtype, row, slots: None };
        let output = self.engine.run(&plan, &work, pass, unit);
        y + output.slice([0..1, 0..1, 0..1]) * 0.0
    }
}

/// The parameters of the routed experts of all MoE layers of a network, which processes can split.
pub fn expert_parameters(network: &impl Module) -> Vec<ParamId> {
    let mut found = InExperts { depth: 0, ids: Vec::new() };
    network.visit(&mut found);
    found.ids
}

struct InExperts {
    /// The number of modules entered since the experts of a layer; 0 outside of experts.
    depth: usize,
    ids: Vec<ParamId>,
}

impl ModuleVisitor for InExperts {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.depth > 0 {
            self.ids.push(param.id);
        }
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        if self.depth > 0 || (name == "experts" && container == "Struct:MoeLayer") {
            self.depth += 1;
        }
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.depth = self.depth.saturating_sub(1);
    }
}
