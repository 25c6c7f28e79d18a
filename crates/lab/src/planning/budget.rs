//! The budget that all methods of a task share, and the sizes that follow from it.
//!
//! ```toml
//! [budget]
//! equal = "active-flops"        # or "params", "steps", "tokens", "wall-time"
//! tolerance = 0.02              # how far a method may be off, as a share
//! reference = "dense baseline"      # whose budget it is; the first method if left out
//! free = "moe.expert.hidden"    # the size that is solved for; a method may name another, or "none"
//! ```
//!
//! The reference keeps its sizes. For every other method the free size is solved for: the value that comes
//! closest to the reference's budget becomes part of the config of its runs. A method that no size brings
//! within the tolerance is refused. Quantities that only a trained network shows (the number of choices of a
//! router without a fixed number, the time) are measured, and deviations are flagged in the table.
//!
//! Wall time is never solved for: another machine would then train other networks under the same name.

use anyhow::{anyhow, bail, ensure};
use burn::{module::Module, prelude::*};
use moe::{Init, Placement};
use report::few;
use serde::Deserialize;
use serde_json::Value;
use tasks::Split;
use training::evaluate_some;

use super::{
    memory,
    sizes::{nearest, size, sizes, with_size},
};
use crate::{
    Plugins,
    settings::{SettingTree, at, typed_table},
    spec::{BudgetOutcome, Equal, RunConfig, RunSpec},
};

/// `[budget]` of a suite.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Budget {
    equal: Equal,
    #[serde(default = "two_percent")]
    tolerance: f64,
    reference: Option<String>,
    free: Option<String>,
    /// The place of the setting that names the reference, for messages.
    #[serde(skip)]
    place: String,
}

fn two_percent() -> f64 {
    0.02
}

impl Equal {
    /// The cost of a run of this config, as far as it is known before training.
    fn ahead(self, spec: &RunSpec, config: &RunConfig, plugins: &Plugins) -> anyhow::Result<f64> {
        /// The number of examples over which the FLOPs are averaged: a router may choose more experts for one
        /// example than for another.
        const PROBE: usize = 16;
        let (train, device) = (&config.train, Device::flex());
        let model = || {
            let backbone = plugins.backbones.get(&config.backbone.kind)?;
            let backbone_spec = config.backbone_spec(plugins, &*spec.data);
            (backbone.build.init)(&config.backbone, &backbone_spec, &Init::new(0, &device))
        };
        Ok(match self {
            Equal::ActiveFlops => {
                let model = model()?;
                memory::check_weights(&model)?;
                evaluate_some(&model, &*spec.data, Split::Train, PROBE, &device).flops_per_token
            }
            Equal::Params => model()?.num_params() as f64,
            Equal::Steps => train.steps as f64,
            Equal::Tokens => (train.examples_before(train.steps) * model()?.tokens()) as f64,
            Equal::WallTime => f64::NAN,
        })
    }

    /// The path of the size that is solved for by default.
    fn free(self, config: &RunConfig) -> &'static str {
        match self {
            Equal::Steps | Equal::Tokens => "train.steps",
            _ if config.moe.layers == Placement::NONE => "backbone.dense.hidden",
            _ => "moe.expert.hidden",
        }
    }
}

impl Budget {
    /// The `[budget]` of a suite, if it has one.
    pub(crate) fn read(settings: &SettingTree) -> anyhow::Result<Option<Self>> {
        let Some(table) = settings.table().and_then(|table| table.get("budget")) else {
            return Ok(None);
        };
        let wrong = |key: &str, message: &dyn std::fmt::Display| {
            at(settings, &format!("budget.{key}"), format!("budget: {message}"))
        };
        let mut budget: Self = typed_table(table, "budget")?;
        let tolerance = budget.tolerance;
        if !(tolerance > 0.0 && tolerance < 1.0) {
            return Err(wrong(
                "tolerance",
                &format!("tolerance = {tolerance}: must be between 0 and 1"),
            ));
        }
        if budget.equal == Equal::WallTime && budget.free.is_some() {
            return Err(wrong("free", &"no size can be found for wall-time: it is measured"));
        }
        budget.place = settings.place_of("budget.reference").to_string();
        Ok(Some(budget))
    }

    /// The budget of a task, computed from its methods with the settings of the suite.
    pub(crate) fn target(
        &self,
        specs: &[RunSpec],
        plugins: &Plugins,
    ) -> anyhow::Result<BudgetTarget<'_>> {
        let reference = &specs[self.reference(specs)?];
        let target = self.equal.ahead(reference, &reference.config, plugins)?;
        let target = target.is_finite().then_some(target);
        Ok(BudgetTarget { budget: self, reference: reference.method.clone(), target })
    }

    fn reference(&self, specs: &[RunSpec]) -> anyhow::Result<usize> {
        let Some(name) = &self.reference else { return Ok(0) };
        let known: Vec<&str> = specs.iter().map(|spec| spec.method.as_str()).collect();
        known.iter().position(|known| known == name).ok_or_else(|| {
            let (place, known) = (&self.place, few(&known));
            anyhow!("{place}: budget: reference: no method is named {name:?}; known: {known}")
        })
    }

    /// The path of the size that is solved for in a method; none if the method has `free = "none"` or starts
    /// from given weights.
    fn free(&self, spec: &RunSpec, method: &SettingTree) -> anyhow::Result<Option<String>> {
        let free = match method.table().and_then(|table| table.get("free")).map(SettingTree::value)
        {
            Some(Value::String(path)) => path,
            Some(other) => {
                bail!("{}: free = {other}: expected the path of a size", method.place_of("free"))
            }
            None => match &self.free {
                // A network without MoE layers has no size of experts.
                Some(path)
                    if !(path.starts_with("moe.") && spec.config.moe.layers == Placement::NONE) =>
                {
                    path.clone()
                }
                _ => self.equal.free(&spec.config).into(),
            },
        };
        // The sizes of weights from another run are fixed.
        let fixed = spec.config.from.is_some() && !free.starts_with("train.");
        Ok((free != "none" && !fixed).then_some(free))
    }
}

/// The budget of one task.
pub(crate) struct BudgetTarget<'a> {
    budget: &'a Budget,
    reference: String,
    target: Option<f64>,
}

impl BudgetTarget<'_> {
    /// Sets the budget of a run; `method` has the settings of its method.
    pub(crate) fn apply(
        &self,
        spec: &mut RunSpec,
        method: &SettingTree,
        plugins: &Plugins,
    ) -> anyhow::Result<()> {
        let mut given = BudgetOutcome {
            equal: self.budget.equal,
            tolerance: self.budget.tolerance,
            reference: self.reference.clone(),
            target: self.target,
            solved: None,
            off: None,
        };
        if let (Some(target), None) = (self.target, &spec.refused) {
            self.solve(spec, method, &mut given, target, plugins)?;
        }
        spec.budget = Some(given);
        Ok(())
    }

    /// Solves for the free size of a run, and records the remaining deviation.
    fn solve(
        &self,
        spec: &mut RunSpec,
        method: &SettingTree,
        given: &mut BudgetOutcome,
        target: f64,
        plugins: &Plugins,
    ) -> anyhow::Result<()> {
        let place = method.place_of("free");
        let Budget { equal, tolerance, .. } = self.budget;
        ensure!(
            target > 0.0,
            "budget: equal {}: the reference {:?} takes none in {:?}",
            equal.words(),
            self.reference,
            spec.config.task.kind
        );
        let gives_way = |_: &String| spec.method != self.reference;
        let cost = match self.budget.free(spec, method)?.filter(gives_way) {
            None => equal.ahead(spec, &spec.config, plugins)?,
            Some(path) => {
                let was = size(&spec.config, &path).ok_or_else(|| {
                    let known = sizes(&spec.config).into_keys().collect::<Vec<_>>().join(", ");
                    let name = &spec.method;
                    anyhow!("{place}: {name}: free = {path:?} is not a size; known: {known}, none")
                })?;
                let (is, cost) = nearest(was, target, |size| {
                    let config = with_size(&spec.config, &path, size)?;
                    equal.ahead(spec, &config, plugins)
                })
                .map_err(|err| anyhow!("{place}: {}: free = {path:?}: {err}", spec.method))?;
                spec.config = with_size(&spec.config, &path, is)?;
                spec.config.check(method, plugins, &*spec.data)?;
                given.solved = Some((path, was, is));
                cost
            }
        };
        let off = cost / target - 1.0;
        given.off = Some(off);
        if off.abs() > *tolerance {
            let (words, off) = (equal.words(), 100.0 * off);
            spec.refused = Some(format!("off the budget of equal {words}, {off:+.1} %"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;

    const SUITE: &str = r#"
[base]
moe = { layers = "every 2", experts = 8, expert = { kind = "ffn", hidden = 64 } }
train = { steps = 10, batch = 8 }
[[task]]
task = "digits"
backbone = { kind = "vit", patch = 2, width = 48, depth = 2, heads = 4, dense = { kind = "ffn", hidden = 128 } }
"#;
    const METHODS: &str = r#"
[[method]]
name = "dense baseline"
moe.layers = "none"
[[method]]
moe.router = { kind = "top-k", k = 2 }
[[method]]
moe.router = { kind = "hash", k = 2 }
[[method]]
moe.router = "dense"
"#;

    fn specs(budget: &str, methods: &str) -> anyhow::Result<Vec<RunSpec>> {
        Ok(plan(&format!("{SUITE}{methods}{budget}"))?.specs)
    }

    fn solved(budget: &str) -> Vec<(String, Option<u64>, f64)> {
        let given = |spec: &RunSpec| spec.budget.clone().unwrap();
        let is = |spec: &RunSpec| given(spec).solved.map(|(_, _, is)| is);
        let specs = specs(budget, METHODS).unwrap();
        specs.iter().map(|c| (c.method.clone(), is(c), given(c).off.unwrap())).collect()
    }

    #[test]
    fn active_flops_by_hand() {
        let found = solved("[budget]\nequal = \"active-flops\"\n");
        // By hand, per token of the one MoE layer: 4 * 48 * 128 = 24,576 of the dense.
        // top-k: 2 * 48 * 8 = 768 for the gate, 2 * 4 * 48 = 384 a hidden unit: 62 exactly.
        // hash needs no gate: 64. dense: 768 and 8 * 192 = 1,536 a unit: 15.5, so 15 or 16.
        let sizes: Vec<Option<u64>> = found.iter().map(|(_, size, _)| *size).collect();
        assert_eq!(sizes[..3], [None, Some(62), Some(64)]);
        assert!(matches!(sizes[3], Some(15 | 16)), "{found:?}");
        assert!(found[..3].iter().all(|(.., off)| off.abs() < 1e-9), "{found:?}");
        // 16 patches of 4 pixels each, two attentions, two ffn, and a head with 10 classes for one token.
        let attention = 8.0 * 48.0 * 48.0 + 4.0 * 16.0 * 48.0;
        let dense = 2.0 * 4.0 * 48.0 + 2.0 * (attention + 24_576.0) + 2.0 * 48.0 * 10.0 / 16.0;
        let specs = specs("[budget]\nequal = \"active-flops\"\n", METHODS).unwrap();
        assert_eq!(specs[0].budget.as_ref().unwrap().target, Some(dense));
        assert!(
            (found[3].2 - 768.0 / dense).abs() < 1e-9 || (found[3].2 + 768.0 / dense).abs() < 1e-9
        );
    }

    #[test]
    fn parameters_and_steps() {
        let found =
            solved("[budget]\nequal = \"params\"\ntolerance = 0.05\nreference = \"top-k\"\n");
        // top-k has 384 of its gate and 8 experts of 2 * 48 * 64 + 64 + 48; the dense has two
        // networks of one width, so half of one unit of 97 is the most that it is off.
        assert_eq!(found[1].1, None);
        let top_k: f64 = 384.0 + 8.0 * (2.0 * 48.0 * 64.0 + 64.0 + 48.0);
        let one = 2.0 * 48.0 * 128.0 + 128.0 + 48.0;
        let dense = ((top_k - 48.0 + one - 48.0) / (2.0 * 97.0)).round() as u64;
        assert_eq!(found[0].1, Some(dense), "{found:?}");
        let methods = METHODS.replacen(
            "[[method]]\nmoe.router = { kind = \"hash\"",
            "[[method]]\ntrain.batch = 4\nmoe.router = { kind = \"hash\"",
            1,
        );
        let steps = specs("[budget]\nequal = \"tokens\"\n", &methods).unwrap();
        let steps: Vec<usize> = steps.iter().map(|spec| spec.config.train.steps).collect();
        assert_eq!(steps, [10, 10, 20, 10]);
    }

    #[test]
    fn what_no_size_can_mend_is_refused() {
        let methods = format!("{METHODS}free = \"none\"\n");
        let specs = specs("[budget]\nequal = \"active-flops\"\n", &methods).unwrap();
        let refused: Vec<bool> = specs.iter().map(|spec| spec.refused.is_some()).collect();
        assert_eq!(refused, [false, false, false, true]);
        let why = specs[3].refused.clone().unwrap();
        assert!(why.starts_with("off the budget of equal active FLOPs per token, +"), "{why}");
    }

    #[test]
    fn errors_name_place_value_and_alternatives() {
        let error = |budget: &str| specs(budget, METHODS).err().unwrap().to_string();
        let err = error("[budget]\nequal = \"flops\"\n");
        assert!(err.starts_with("s.toml:19: budget: unknown value `flops`, expected"), "{err}");
        let err = error("[budget]\nequal = \"params\"\ntolerance = 3\n");
        assert!(err.starts_with("s.toml:20: budget: tolerance = 3"), "{err}");
        let err = error("[budget]\nequal = \"params\"\nreference = \"twin\"\n");
        assert!(err.contains("no method is named \"twin\"; known: dense baseline"), "{err}");
        let err = error("[budget]\nequal = \"params\"\nfree = \"moe.expert.hiden\"\n");
        assert!(
            err.contains("\"moe.expert.hiden\" is not a size; known: ")
                && err.contains("moe.expert.hidden"),
            "{err}"
        );
        let err = error("[budget]\nequal = \"params\"\nfree = \"train.warmup\"\n");
        assert!(err.contains("has no effect on the budget"), "{err}");
        let idle = format!("{METHODS}[budget]\nequal = \"steps\"\n");
        let err = specs(&idle.replace("moe.layers = \"none\"", "train.steps = 0"), "").err();
        let err = err.unwrap().to_string();
        assert_eq!(
            err,
            "budget: equal steps: the reference \"dense baseline\" takes none in \"digits\""
        );
    }
}
