//! Engines execute a plan: dispatch, experts, combine. All compute the same result; each is a file of this
//! folder.

mod dropless;
mod expert_parallel;
mod merged;
mod padded;
mod reference;

use burn::prelude::*;
pub use expert_parallel::{ExpertShard, expert_parallel};
use kernels::slotwise;
use serde::{Deserialize, Serialize};

use crate::{
    experts::{AnyExperts, ExpertDtype},
    routing::{Pass, Plan},
};

/// The engine that executes a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Dispatch and combine as einsum over `[G, U, E, C]`. Slow, and simple enough to be checked by
    /// reading.
    Reference,
    /// Sorts by expert, and fuses dispatch, experts and combine. It reads the choices back; for the
    /// processor.
    Dropless,
    /// A fixed number of slots. It reads nothing back; for graphics cards.
    Padded,
    /// Dropless on the processor, padded elsewhere.
    #[default]
    Auto,
}

/// The inputs of an engine besides the plan: the experts, the width of their rows, and their slots.
pub(crate) struct ExpertCall<'a> {
    pub(crate) experts: &'a AnyExperts,
    pub(crate) dtype: ExpertDtype,
    pub(crate) row: usize,
    /// C, if units choose and the layer has a capacity.
    pub(crate) slots: Option<usize>,
}

impl ExpertCall<'_> {
    /// Applies the experts to slots `[E, S, P]`, each of which is an integer number of rows.
    fn forward(&self, pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        let [e, s, p] = slots.dims();
        let rows = slots.reshape([e, s * p / self.row, self.row]);
        let outputs = match self.dtype {
            ExpertDtype::F32 => self.experts.forward(pass, rows),
            _ => {
                slotwise(rows, self.stack().expect("half precision requires experts with matrices"))
            }
        };
        outputs.reshape([e, s, p])
    }

    /// The matrices of the experts in their number format, if they expose any.
    fn stack(&self) -> Option<kernels::Ffn> {
        self.experts.stack().map(|stack| self.dtype.of(stack))
    }
}

impl Engine {
    /// `[G, U, P] -> [G, U, P]`: the plan's mixture of the experts' outputs.
    pub(crate) fn run(
        self,
        plan: &Plan,
        work: &ExpertCall,
        pass: &mut Pass,
        payload: Tensor<3>,
    ) -> Tensor<3> {
        if let Some(split) = pass.split_experts() {
            return expert_parallel::of_layer(split, plan, work, payload);
        }
        if let Plan::Merged { weights, segment, .. } = plan {
            return merged::run(weights, *segment, work, payload);
        }
        match self {
            Engine::Reference => reference::run(plan, work, pass, payload),
            Engine::Dropless => dropless::run(plan, work, pass, payload),
            Engine::Padded => padded::run(plan, work, pass, payload),
            Engine::Auto if kernels::on_flex(&payload.device()) => {
                dropless::run(plan, work, pass, payload)
            }
            Engine::Auto => padded::run(plan, work, pass, payload),
        }
    }
}

#[cfg(test)]
mod tests;
