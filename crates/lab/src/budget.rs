//! What all methods of a task are given alike, and which sizes follow from it.
//!
//! ```toml
//! [budget]
//! equal = "active-flops"        # or "params", "steps", "tokens", "wall-time"
//! tolerance = 0.02              # how far a method may be off, as a share
//! reference = "dense baseline"      # whose budget it is; the first method if left out
//! free = "moe.expert.hidden"    # which size gives way; a method may name another, or "none"
//! ```
//!
//! The reference keeps its sizes. For every other method the free size is sought that comes
//! nearest to the reference's budget, and becomes part of the config of its runs. A method that
//! no size brings within the tolerance is refused. What only a trained network shows (the choices
//! of a router that takes as many as it likes, the time) is measured, and flagged in the table.
//!
//! Wall time is never solved for: another machine would train other networks under one name.

use std::collections::BTreeMap;

use anyhow::{anyhow, bail, ensure};
use burn::{module::Module, prelude::*};
use moe::{Init, Placement};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tasks::Split;
use training::evaluate_some;

use crate::{
    Plugins, RunConfig, config::at, run_spec::RunSpec, setting_tree::SettingTree, store::Numbers,
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
    /// Where the reference is named, for messages.
    #[serde(skip)]
    place: String,
}

fn two_percent() -> f64 {
    0.02
}

/// What is held equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Equal {
    /// Those of one forward pass, for one token.
    ActiveFlops,
    /// All parameters.
    Params,
    /// Steps of the optimizer.
    Steps,
    /// Tokens seen in training.
    Tokens,
    /// Seconds spent in training steps.
    WallTime,
}

impl Equal {
    /// In words, for tables.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Equal::ActiveFlops => "active FLOPs per token",
            Equal::Params => "parameters",
            Equal::Steps => "steps",
            Equal::Tokens => "tokens",
            Equal::WallTime => "seconds of training",
        }
    }

    /// What a run took of it.
    pub(crate) fn of(self, numbers: &Numbers) -> f64 {
        match self {
            Equal::ActiveFlops => numbers.flops_per_token,
            Equal::Params => numbers.params,
            Equal::Steps => numbers.step as f64,
            Equal::Tokens => numbers.tokens,
            Equal::WallTime => numbers.seconds,
        }
    }

    /// What a run of this config will take, as far as can be told beforehand.
    fn ahead(self, cell: &RunSpec, config: &RunConfig, plugins: &Plugins) -> anyhow::Result<f64> {
        /// Examples that tell the FLOPs: a router may choose more for one than for another.
        const PROBE: usize = 16;
        let (train, device) = (&config.train, Device::flex());
        let model = || {
            let backbone = plugins.backbones.get(&config.backbone.kind)?;
            let brief = config.brief(plugins, &*cell.data);
            (backbone.build.init)(&config.backbone, &brief, &Init::new(0, &device))
        };
        Ok(match self {
            Equal::ActiveFlops => {
                evaluate_some(&model()?, &*cell.data, Split::Train, PROBE, &device).flops_per_token
            }
            Equal::Params => model()?.num_params() as f64,
            Equal::Steps => train.steps as f64,
            Equal::Tokens => (train.examples_before(train.steps) * model()?.tokens()) as f64,
            Equal::WallTime => f64::NAN,
        })
    }

    /// The size that gives way unless the suite says otherwise.
    fn free(self, config: &RunConfig) -> &'static str {
        match self {
            Equal::Steps | Equal::Tokens => "train.steps",
            _ if config.moe.layers == Placement::NONE => "backbone.dense.hidden",
            _ => "moe.expert.hidden",
        }
    }
}

/// What a run is given, and how it was brought there.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BudgetOutcome {
    /// What is held equal.
    pub(crate) equal: Equal,
    /// How far it may be off.
    pub(crate) tolerance: f64,
    /// Whose budget it is.
    pub(crate) reference: String,
    /// The budget; none where it can only be measured.
    pub(crate) target: Option<f64>,
    /// The size that gave way: its path, what it was and what it is.
    pub(crate) solved: Option<(String, u64, u64)>,
    /// How far it is off, as far as can be told beforehand.
    pub(crate) off: Option<f64>,
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
        let mut budget: Self = serde_path_to_error::deserialize(table.value())
            .map_err(|err| wrong(&err.path().to_string(), err.inner()))?;
        let tolerance = budget.tolerance;
        if !(tolerance > 0.0 && tolerance < 1.0) {
            return Err(wrong(
                "tolerance",
                &format!("tolerance = {tolerance}: it is between 0 and 1"),
            ));
        }
        if budget.equal == Equal::WallTime && budget.free.is_some() {
            return Err(wrong("free", &"no size can be found for wall-time: it is measured"));
        }
        budget.place = settings.place_of("budget.reference").to_string();
        Ok(Some(budget))
    }

    /// The budget of a task, from its methods as the suite has them.
    pub(crate) fn purse(
        &self,
        cells: &[RunSpec],
        plugins: &Plugins,
    ) -> anyhow::Result<BudgetTarget<'_>> {
        let reference = &cells[self.reference(cells)?];
        let target = self.equal.ahead(reference, &reference.config, plugins)?;
        let target = target.is_finite().then_some(target);
        Ok(BudgetTarget { budget: self, reference: reference.method.clone(), target })
    }

    fn reference(&self, cells: &[RunSpec]) -> anyhow::Result<usize> {
        let Some(name) = &self.reference else { return Ok(0) };
        let known: Vec<&str> = cells.iter().map(|cell| cell.method.as_str()).collect();
        known.iter().position(|known| known == name).ok_or_else(|| {
            let (place, known) = (&self.place, known.join(", "));
            anyhow!("{place}: budget: no method is named {name:?}, the reference; known: {known}")
        })
    }

    /// The size that gives way for a method; none if it says so.
    fn free(&self, cell: &RunSpec, method: &SettingTree) -> anyhow::Result<Option<String>> {
        let free = match method.table().and_then(|table| table.get("free")).map(SettingTree::value)
        {
            Some(Value::String(path)) => path,
            Some(other) => {
                bail!("{}: free = {other}: it is the path of a size", method.place_of("free"))
            }
            None => match &self.free {
                // A network without MoE layers has no size of experts.
                Some(path)
                    if !(path.starts_with("moe.") && cell.config.moe.layers == Placement::NONE) =>
                {
                    path.clone()
                }
                _ => self.equal.free(&cell.config).into(),
            },
        };
        // Weights that are taken over have their sizes.
        let fixed = cell.config.from.is_some() && !free.starts_with("train.");
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
    /// Gives a run the reference's budget; `method` is where its settings are.
    pub(crate) fn give(
        &self,
        cell: &mut RunSpec,
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
        if let (Some(target), None) = (self.target, &cell.refused) {
            self.solve(cell, method, &mut given, target, plugins)?;
        }
        cell.budget = Some(given);
        Ok(())
    }

    /// Finds the free size of a run, and says how far off it is then.
    fn solve(
        &self,
        cell: &mut RunSpec,
        method: &SettingTree,
        given: &mut BudgetOutcome,
        target: f64,
        plugins: &Plugins,
    ) -> anyhow::Result<()> {
        let place = method.place_of("free");
        let Budget { equal, tolerance, .. } = self.budget;
        let gives_way = |_: &String| cell.method != self.reference;
        let cost = match self.budget.free(cell, method)?.filter(gives_way) {
            None => equal.ahead(cell, &cell.config, plugins)?,
            Some(path) => {
                let was = size(&cell.config, &path).ok_or_else(|| {
                    let known = sizes(&cell.config).into_keys().collect::<Vec<_>>().join(", ");
                    let name = &cell.method;
                    anyhow!("{place}: {name}: free = {path:?} is no size; known: {known}, none")
                })?;
                let (is, cost) = nearest(was, target, |size| {
                    let config = with_size(&cell.config, &path, size)?;
                    equal.ahead(cell, &config, plugins)
                })
                .map_err(|err| anyhow!("{place}: {}: free = {path:?}: {err}", cell.method))?;
                cell.config = with_size(&cell.config, &path, is)?;
                cell.config.check(method, plugins, &*cell.data)?;
                given.solved = Some((path, was, is));
                cost
            }
        };
        let off = cost / target - 1.0;
        given.off = Some(off);
        if off.abs() > *tolerance {
            let (words, off) = (equal.words(), 100.0 * off);
            cell.refused = Some(format!("off the budget of equal {words}, {off:+.1} %"));
        }
        Ok(())
    }
}

/// All whole numbers from 1 on in a config, by path.
fn sizes(config: &RunConfig) -> BTreeMap<String, u64> {
    fn collect(path: &str, value: &Value, found: &mut BTreeMap<String, u64>) {
        match value {
            Value::Object(table) => table.iter().for_each(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(&path, value, found);
            }),
            value => drop(value.as_u64().filter(|n| *n > 0).map(|n| found.insert(path.into(), n))),
        }
    }
    let mut found = BTreeMap::new();
    collect("", &serde_json::to_value(config).unwrap_or_default(), &mut found);
    found
}

fn size(config: &RunConfig, path: &str) -> Option<u64> {
    sizes(config).remove(path)
}

/// The config with another size.
fn with_size(config: &RunConfig, path: &str, size: u64) -> anyhow::Result<RunConfig> {
    let mut value = serde_json::to_value(config)?;
    let pointer = format!("/{}", path.replace('.', "/"));
    *value.pointer_mut(&pointer).ok_or_else(|| anyhow!("there is no {path}"))? = size.into();
    Ok(serde_json::from_value(value)?)
}

/// The size from 1 on whose cost comes nearest to the target, and its cost. More size costs more:
/// the size is enclosed by doubling, then sought where a line through the ends would have it, and
/// in the middle every other time, in case the cost is no line.
fn nearest(
    start: u64,
    target: f64,
    mut cost: impl FnMut(u64) -> anyhow::Result<f64>,
) -> anyhow::Result<(u64, f64)> {
    const MOST: u64 = 1 << 20;
    let mut low = (start, cost(start)?);
    let mut high = low;
    while high.1 < target {
        ensure!(high.0 < MOST, "even {} costs less than the budget of {target:.0}", high.0);
        low = high;
        high = (2 * high.0, cost(2 * high.0)?);
        ensure!(high.1 > low.1, "it does not change what is held equal");
    }
    while low.1 > target && low.0 > 1 {
        high = low;
        low = (low.0 / 2, cost(low.0 / 2)?);
        ensure!(low.1 < high.1, "it does not change what is held equal");
    }
    let mut in_the_middle = false;
    while high.0 - low.0 > 1 {
        let share = (target - low.1) / (high.1 - low.1);
        let share = if in_the_middle { 0.5 } else { share };
        in_the_middle = !in_the_middle;
        let guess = low.0 + (share * (high.0 - low.0) as f64).round() as u64;
        let guess = guess.clamp(low.0 + 1, high.0 - 1);
        let found = (guess, cost(guess)?);
        if found.1 < target { low = found } else { high = found }
    }
    let is_low = (low.1 - target).abs() <= (high.1 - target).abs();
    Ok(if is_low { low } else { high })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Suite,
        suite::{Selection, Source},
    };
    use tasks::DataDir;

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

    fn cells(budget: &str, methods: &str) -> anyhow::Result<Vec<RunSpec>> {
        let text: &'static str = format!("{SUITE}{methods}{budget}").leak();
        let suite = Suite { name: "s", file: "s.toml", text, program: crate::Program::NONE };
        let wanted = Selection::default();
        let source = Source::find("s", &[suite])?;
        Ok(source.plan(&Plugins::default(), &DataDir::default(), &wanted)?.cells)
    }

    fn solved(budget: &str) -> Vec<(String, Option<u64>, f64)> {
        let given = |cell: &RunSpec| cell.budget.clone().unwrap();
        let is = |cell: &RunSpec| given(cell).solved.map(|(_, _, is)| is);
        let cells = cells(budget, METHODS).unwrap();
        cells.iter().map(|c| (c.method.clone(), is(c), given(c).off.unwrap())).collect()
    }

    #[test]
    fn active_flops_by_hand() {
        let found = solved("[budget]\nequal = \"active-flops\"\n");
        // By hand, per token of the one MoE layer: 4 * 48 * 128 = 24,576 of the twin.
        // top-k: 2 * 48 * 8 = 768 for the gate, 2 * 4 * 48 = 384 a hidden unit: 62 exactly.
        // hash needs no gate: 64. dense: 768 and 8 * 192 = 1,536 a unit: 15.5, so 15 or 16.
        let sizes: Vec<Option<u64>> = found.iter().map(|(_, size, _)| *size).collect();
        assert_eq!(sizes[..3], [None, Some(62), Some(64)]);
        assert!(matches!(sizes[3], Some(15 | 16)), "{found:?}");
        assert!(found[..3].iter().all(|(.., off)| off.abs() < 1e-9), "{found:?}");
        // 16 patches: 4 pixels in, two attentions, two ffn, and a head for 10 classes of one token.
        let attention = 8.0 * 48.0 * 48.0 + 4.0 * 16.0 * 48.0;
        let twin = 2.0 * 4.0 * 48.0 + 2.0 * (attention + 24_576.0) + 2.0 * 48.0 * 10.0 / 16.0;
        let cells = cells("[budget]\nequal = \"active-flops\"\n", METHODS).unwrap();
        assert_eq!(cells[0].budget.as_ref().unwrap().target, Some(twin));
        assert!(
            (found[3].2 - 768.0 / twin).abs() < 1e-9 || (found[3].2 + 768.0 / twin).abs() < 1e-9
        );
    }

    #[test]
    fn parameters_and_steps() {
        let found =
            solved("[budget]\nequal = \"params\"\ntolerance = 0.05\nreference = \"top-k\"\n");
        // top-k has 384 of its gate and 8 experts of 2 * 48 * 64 + 64 + 48; the twin has two
        // networks of one width, so half of one unit of 97 is the most that it is off.
        assert_eq!(found[1].1, None);
        let top_k: f64 = 384.0 + 8.0 * (2.0 * 48.0 * 64.0 + 64.0 + 48.0);
        let one = 2.0 * 48.0 * 128.0 + 128.0 + 48.0;
        let twin = ((top_k - 48.0 + one - 48.0) / (2.0 * 97.0)).round() as u64;
        assert_eq!(found[0].1, Some(twin), "{found:?}");
        let methods = METHODS.replacen(
            "[[method]]\nmoe.router = { kind = \"hash\"",
            "[[method]]\ntrain.batch = 4\nmoe.router = { kind = \"hash\"",
            1,
        );
        let steps = cells("[budget]\nequal = \"tokens\"\n", &methods).unwrap();
        let steps: Vec<usize> = steps.iter().map(|cell| cell.config.train.steps).collect();
        assert_eq!(steps, [10, 10, 20, 10]);
    }

    #[test]
    fn what_no_size_can_mend_is_refused() {
        let methods = format!("{METHODS}free = \"none\"\n");
        let cells = cells("[budget]\nequal = \"active-flops\"\n", &methods).unwrap();
        let refused: Vec<bool> = cells.iter().map(|cell| cell.refused.is_some()).collect();
        assert_eq!(refused, [false, false, false, true]);
        let why = cells[3].refused.clone().unwrap();
        assert!(why.starts_with("off the budget of equal active FLOPs per token, +"), "{why}");
    }

    #[test]
    fn errors_name_place_value_and_alternatives() {
        let error = |budget: &str| cells(budget, METHODS).err().unwrap().to_string();
        let err = error("[budget]\nequal = \"flops\"\n");
        assert!(err.starts_with("s.toml:19: budget: unknown variant `flops`, expected"), "{err}");
        let err = error("[budget]\nequal = \"params\"\ntolerance = 3\n");
        assert!(err.starts_with("s.toml:20: budget: tolerance = 3"), "{err}");
        let err = error("[budget]\nequal = \"params\"\nreference = \"twin\"\n");
        assert!(
            err.contains("no method is named \"twin\", the reference; known: dense baseline"),
            "{err}"
        );
        let err = error("[budget]\nequal = \"params\"\nfree = \"moe.expert.hiden\"\n");
        assert!(
            err.contains("\"moe.expert.hiden\" is no size; known: ")
                && err.contains("moe.expert.hidden"),
            "{err}"
        );
        let err = error("[budget]\nequal = \"params\"\nfree = \"train.warmup\"\n");
        assert!(err.contains("it does not change what is held equal"), "{err}");
    }

    #[test]
    fn the_nearest_size_is_found_on_curves_too() {
        let find = |start, target| {
            let mut asked = 0;
            let cost = |n: u64| {
                asked += 1;
                Ok((n * n) as f64)
            };
            let found = nearest(start, target, cost).unwrap();
            (found.0, asked)
        };
        assert_eq!(find(1, 10_000.0).0, 100);
        assert_eq!(find(5000, 10_150.0).0, 101);
        assert_eq!(find(7, 0.5).0, 1);
        assert!(find(64, 1e9).1 < 40);
    }
}
