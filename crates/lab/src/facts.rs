//! Facts about a router, found by building it with its defaults for a small input.

use burn::{module::Module, prelude::*};
use moe::{Choice, Dims, Init, Parameter, Pass, Plan, Routers, parameters};
use serde_json::{Value, json};

/// The form of a router's plans, and its parameters and states.
pub struct Facts {
    /// The form of the plans, for example `token-choice`.
    pub plan: &'static str,
    /// Whether a decoder may use it.
    pub causal: bool,
    /// Parameters and states, the trained ones first.
    pub parameters: Vec<Parameter>,
}

impl Facts {
    /// The facts of a router; none if its defaults do not fit eight experts.
    pub fn of(routers: &Routers, name: &str) -> Option<Self> {
        let dims = Dims { width: 8, n_experts: 8, units: 8 };
        let device = Device::flex();
        let build = routers.get(name).ok()?.build;
        let init = Init::new(0, &device.clone().autodiff());
        let router = (build.init)(&Choice::of(name), dims, &init).ok()?;
        let x = Init::new(0, &device).normal("x", [2, dims.units, dims.width], 1.0).val();
        let plan = form(&router.valid().route(&mut Pass::eval(), x));
        let causal = (build.causal)(&Choice::of(name)).ok()?;
        Some(Self { plan, causal, parameters: parameters(&router) })
    }

    /// The paths of the parameters that gradients train.
    pub fn trained(&self) -> Vec<&str> {
        self.paths(true)
    }

    /// The paths of the states, which a rule updates or which keep their drawn values.
    pub fn states(&self) -> Vec<&str> {
        self.paths(false)
    }

    fn paths(&self, trained: bool) -> Vec<&str> {
        let found = self.parameters.iter().filter(|known| known.trained == trained);
        found.map(|known| known.path.as_str()).collect()
    }

    /// A short text: `token-choice, causal, state bias, trains gate.weight`.
    pub fn words(&self) -> String {
        let or_none = |paths: Vec<&str>| match paths.is_empty() {
            true => "nothing".to_string(),
            false => paths.join(" "),
        };
        let causal = if self.causal { "causal" } else { "not causal" };
        let state = match self.states().is_empty() {
            true => "no state".to_string(),
            false => format!("state {}", self.states().join(" ")),
        };
        format!("{}, {causal}, {state}, trains {}", self.plan, or_none(self.trained()))
    }

    /// The facts as JSON.
    pub fn to_json(&self) -> Value {
        json!({ "plan": self.plan, "parameters": self.trained(), "states": self.states() })
    }
}

/// The name of a plan's form.
pub(crate) fn form(plan: &Plan) -> &'static str {
    match plan {
        Plan::TokenChoice { .. } => "token-choice",
        Plan::ExpertChoice { .. } => "expert-choice",
        Plan::Soft { .. } => "soft",
        Plan::Merged { .. } => "merged",
        Plan::Dense { .. } => "dense",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(name: &str) -> String {
        Facts::of(&routers::all(), name).unwrap().words()
    }

    #[test]
    fn routers_are_told_apart() {
        assert_eq!(words("top-k"), "token-choice, causal, no state, trains gate.weight");
        let loss_free = "token-choice, causal, state bias.bias bias.loads, trains gate.weight";
        assert_eq!(words("loss-free"), loss_free);
        assert_eq!(words("soft"), "soft, not causal, no state, trains phi scale");
        assert_eq!(words("random"), "token-choice, causal, no state, trains nothing");
    }

    #[test]
    fn every_router_of_the_library_has_facts() {
        let routers = routers::all();
        let without: Vec<&str> = routers
            .iter()
            .map(|(name, _)| name)
            .filter(|name| Facts::of(&routers, name).is_none())
            .collect();
        assert!(without.is_empty(), "{without:?}");
    }
}
