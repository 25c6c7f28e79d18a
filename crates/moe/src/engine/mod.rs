//! Engines carry a plan out: dispatch, experts, combine. All give the same result; a faster one is
//! one more file here.

mod dropless;
mod reference;

use burn::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{AnyExperts, Pass, Plan};

/// Which engine carries a plan out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Dispatch and combine as einsum over `[G, U, E, C]`. Slow and obviously right.
    Reference,
    /// Sorts by expert; one batched product over the experts. Reads the choices back.
    #[default]
    Dropless,
}

/// What an engine needs beside the plan: the experts, and how wide their rows are.
pub(crate) struct Work<'a> {
    pub(crate) experts: &'a AnyExperts,
    pub(crate) row: usize,
}

impl Work<'_> {
    /// Lets the experts work on slots `[E, S, P]`, each a whole number of rows.
    fn forward(&self, pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        let [e, s, p] = slots.dims();
        let rows = slots.reshape([e, s * p / self.row, self.row]);
        self.experts.forward(pass, rows).reshape([e, s, p])
    }
}

impl Engine {
    /// `[G, U, P] -> [G, U, P]`: the plan's mixture of the experts' outputs.
    pub(crate) fn run(
        self,
        plan: &Plan,
        work: &Work,
        pass: &mut Pass,
        payload: Tensor<3>,
    ) -> Tensor<3> {
        match self {
            Engine::Reference => reference::run(plan, work, pass, payload),
            Engine::Dropless => dropless::run(plan, work, pass, payload),
        }
    }
}
