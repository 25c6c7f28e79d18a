//! The sizes of a suite by tier: `--tier gpu` runs the suite with the settings of its `[tier.gpu]`.
//!
//! ```toml
//! [tier.gpu]
//! seeds = "0..10"                            # in the place of the suite's
//! backbone = { width = 512, depth = 12 }     # laid over the base and each task, below the methods
//! train = { steps = 50_000, batch = 64 }
//! [tier.gpu.method."dense"]                  # laid over the method of this name
//! backbone.dense.hidden = 1544
//! ```
//!
//! The suite without a tier is the tier `laptop`. The runs and results of another tier have separate names,
//! `SUITE-gpu`, so that no table mixes tiers.

use std::collections::BTreeMap;

use anyhow::bail;
use report::few;

use super::{layers::TASK_KEYS, source::Source};
use crate::{
    settings::{SettingTree, known_keys},
    spec::LAPTOP,
};

impl Source {
    /// The suite with the settings of a tier.
    ///
    /// # Errors
    /// If the suite has no tier of that name, which lists its tiers, or if a tier has an unknown key.
    pub(crate) fn at_tier(mut self, tier: &str) -> anyhow::Result<Self> {
        let tiers = tiers(&self.settings)?;
        let whole = self.settings.without(&["tier"]);
        if tier == LAPTOP {
            self.settings = whole;
            return Ok(self);
        }
        let Some(sizes) = tiers.get(tier) else {
            let known: Vec<&str> =
                std::iter::once(LAPTOP).chain(tiers.keys().map(String::as_str)).collect();
            bail!("--tier {tier}: unknown tier of {}; known: {}", self.asked, known.join(", "))
        };
        self.settings = laid(whole, sizes)?;
        self.name = format!("{}-{tier}", self.name);
        self.asked = format!("{} --tier {tier}", self.asked);
        Ok(self)
    }
}

/// `[tier.NAME]` of a suite, by name.
fn tiers(settings: &SettingTree) -> anyhow::Result<BTreeMap<String, SettingTree>> {
    let tiers = settings.table().and_then(|table| table.get("tier")?.table());
    let tiers = tiers.cloned().unwrap_or_default();
    for tier in tiers.values() {
        known_keys(tier, &[&OF_TIER[..], &TASK_KEYS[..]].concat())?;
    }
    Ok(tiers)
}

/// The keys of a tier that are not laid over each task.
const OF_TIER: [&str; 2] = ["seeds", "method"];

/// The settings of a suite with a tier: the tier's settings laid over each task, those of its methods over
/// the methods, and its seeds.
fn laid(mut settings: SettingTree, sizes: &SettingTree) -> anyhow::Result<SettingTree> {
    let own = sizes.without(&OF_TIER);
    if let SettingTree::Table(table, _) = &mut settings {
        if let Some(seeds) = sizes.table().and_then(|sizes| sizes.get("seeds")) {
            table.insert("seeds".into(), seeds.clone());
        }
        if let Some(SettingTree::Tables(tasks, _)) = table.get_mut("task") {
            tasks.iter_mut().for_each(|task| task.lay(&own));
        }
        if let Some(SettingTree::Tables(methods, _)) = table.get_mut("method") {
            lay_over_methods(methods, sizes)?;
        }
    }
    Ok(settings)
}

/// Lays `[tier.NAME.method."METHOD"]` over the method of that name.
fn lay_over_methods(methods: &mut [SettingTree], sizes: &SettingTree) -> anyhow::Result<()> {
    let Some(own) = sizes.table().and_then(|sizes| sizes.get("method")) else { return Ok(()) };
    let Some(named) = own.table() else {
        bail!("{}: method: expected a table of methods by name", own.place())
    };
    for (name, own) in named {
        let is_named = |method: &&mut SettingTree| method.value()["name"] == name.as_str();
        match methods.iter_mut().find(is_named) {
            Some(method) => method.lay(own),
            None => {
                let known = methods.iter().map(|method| method.value()["name"].clone());
                let known = few(known.filter(|name| !name.is_null()).map(|name| name.to_string()));
                bail!("{}: no method is named {name:?}; known: {known}", own.place())
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{
        spec::{RunSpec, Selection, SuitePlan},
        testing::plan_some,
    };

    const SUITE: &str = "seeds = '0..2'\n\
        [base]\ntrain = { steps = 10, lr = 1e-3 }\n\
        [tier.gpu]\nseeds = '0..3'\ntrain.steps = 500\nbackbone.width = 96\n\
        [[task]]\ntask = 'digits'\nbackbone = { kind = 'vit', width = 32 }\n\
        [[method]]\nmoe.router = 'top-k'\n\
        [[method]]\nmoe.router = 'switch'\ntrain.steps = 20\n";

    fn at(tier: &str, text: &str) -> anyhow::Result<SuitePlan> {
        plan_some(text, &Selection { tier: tier.into(), ..Selection::default() })
    }

    /// Name of the suite, number of runs, and the steps and widths of the first and the last run.
    fn sizes(plan: &SuitePlan) -> (&str, usize, [(usize, u64); 2]) {
        let of = |spec: &RunSpec| {
            let width = spec.config.backbone.options["width"].as_u64().unwrap();
            (spec.config.train.steps, width)
        };
        let specs = &plan.specs;
        (&plan.name, specs.len(), [of(&specs[0]), of(&specs[specs.len() - 1])])
    }

    #[test]
    fn a_tier_is_laid_over_the_tasks_and_under_the_methods() {
        assert_eq!(sizes(&at("laptop", SUITE).unwrap()), ("s", 4, [(10, 32), (20, 32)]));
        assert_eq!(sizes(&at("gpu", SUITE).unwrap()), ("s-gpu", 6, [(500, 96), (20, 96)]));
    }

    #[test]
    fn a_tier_can_lay_sizes_over_a_method() {
        let named = SUITE.replace("moe.router = 'switch'", "name = 'b'\nmoe.router = 'switch'");
        let of = |name: &str| format!("{named}[tier.gpu.method.'{name}']\ntrain.steps = 30\n");
        assert_eq!(sizes(&at("laptop", &of("b")).unwrap()), ("s", 4, [(10, 32), (20, 32)]));
        assert_eq!(sizes(&at("gpu", &of("b")).unwrap()), ("s-gpu", 6, [(500, 96), (30, 96)]));
        let err = at("gpu", &of("c")).err().unwrap().to_string();
        assert!(err.ends_with("no method is named \"c\"; known: \"b\""), "{err}");
    }

    #[test]
    fn a_tier_that_is_not_there_is_refused_with_those_that_are() {
        let err = at("tpu", SUITE).err().unwrap().to_string();
        assert_eq!(err, "--tier tpu: unknown tier of s; known: laptop, gpu");
        let wrong = SUITE.replace("train.steps = 500", "trian.steps = 500");
        let err = at("laptop", &wrong).err().unwrap().to_string();
        assert!(err.contains("unknown key \"trian\""), "{err}");
    }
}
