//! The sizes of a suite by tier: `--tier gpu` runs the suite with the settings of its `[tier.gpu]`.
//!
//! ```toml
//! [tier.gpu]
//! seeds = "0..10"                            # in the place of the suite's
//! backbone = { width = 512, depth = 12 }     # laid over the base and each task, below the methods
//! train = { steps = 50_000, batch = 64 }
//! [tier.gpu.tasks."digits"]                  # laid over the tasks of this kind, over what is laid over each
//! train.steps = 20_000
//! [tier.gpu.method."dense"]                  # laid over the method of this name
//! backbone.dense.hidden = 1544
//! [tier.gpu.search]                          # laid over the suite's
//! evolution.population = 125
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
const OF_TIER: [&str; 4] = ["seeds", "tasks", "method", "search"];

/// The settings of a suite with a tier: the tier's settings laid over each task, those of its tasks, methods
/// and search over them, and its seeds.
fn laid(mut settings: SettingTree, sizes: &SettingTree) -> anyhow::Result<SettingTree> {
    let SettingTree::Table(table, _) = &mut settings else { return Ok(settings) };
    let own = |key: &str| sizes.table().and_then(|sizes| sizes.get(key));
    if let Some(seeds) = own("seeds") {
        table.insert("seeds".into(), seeds.clone());
    }
    if let Some(search) = own("search") {
        match table.get_mut("search") {
            Some(of_suite) => of_suite.lay(search),
            None => bail!("{}: search: the suite has no [search]", search.place()),
        }
    }
    if let Some(SettingTree::Tables(tasks, _)) = table.get_mut("task") {
        let of_each = sizes.without(&OF_TIER);
        tasks.iter_mut().for_each(|task| task.lay(&of_each));
        lay_over_named(tasks, sizes, "tasks", "task is of kind", kind_of)?;
    }
    if let Some(SettingTree::Tables(methods, _)) = table.get_mut("method") {
        let name_of = |method: &SettingTree| text(&method.value()["name"]);
        lay_over_named(methods, sizes, "method", "method is named", name_of)?;
    }
    Ok(settings)
}

/// `task = "KIND"` or `task.kind = "KIND"` of a task.
fn kind_of(task: &SettingTree) -> Option<String> {
    let task = &task.value()["task"];
    text(task).or_else(|| text(&task["kind"]))
}

fn text(value: &serde_json::Value) -> Option<String> {
    value.as_str().map(String::from)
}

/// Lays each table of `key` of a tier over the tables that `name_of` gives its name.
fn lay_over_named(
    tables: &mut [SettingTree],
    sizes: &SettingTree,
    key: &str,
    one: &str,
    name_of: impl Fn(&SettingTree) -> Option<String>,
) -> anyhow::Result<()> {
    let Some(own) = sizes.table().and_then(|sizes| sizes.get(key)) else { return Ok(()) };
    let Some(named) = own.table() else {
        bail!("{}: {key}: expected a table by name", own.place())
    };
    for (name, own) in named {
        let known: Vec<String> = tables.iter().filter_map(&name_of).collect();
        if !known.contains(name) {
            let known = few(known.iter().map(|known| format!("{known:?}")));
            bail!("{}: no {one} {name:?}; known: {known}", own.place())
        }
        let of_name = tables.iter_mut().filter(|table| name_of(table).as_ref() == Some(name));
        of_name.for_each(|table| table.lay(own));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{SettingTree, laid};
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
    fn a_tier_can_lay_sizes_over_the_tasks_of_one_kind_whether_it_is_named_or_a_table() {
        for task in ["'digits'", "{ kind = 'digits' }"] {
            let suite = SUITE.replace("task = 'digits'", &format!("task = {task}"));
            let of = |kind: &str| format!("{suite}[tier.gpu.tasks.'{kind}']\ntrain.steps = 30\n");
            let sizes_of_it = ("s-gpu", 6, [(30, 96), (20, 96)]);
            assert_eq!(sizes(&at("gpu", &of("digits")).unwrap()), sizes_of_it);
            let err = at("gpu", &of("faces")).err().unwrap().to_string();
            assert!(err.ends_with("no task is of kind \"faces\"; known: \"digits\""), "{err}");
        }
    }

    #[test]
    fn a_tier_can_lay_settings_over_the_search() {
        let search = "[tier.gpu.search]\nevolution.population = 9\n";
        let err = at("gpu", &format!("{SUITE}{search}")).err().unwrap().to_string();
        assert!(err.ends_with("search: the suite has no [search]"), "{err}");
        let parse = |text: &str| SettingTree::parse("s.toml", text).unwrap();
        let suite = parse("[search]\nevolution = { population = 3, parents = 2 }\n");
        let sizes = parse("search.evolution.population = 9");
        let evolution = laid(suite, &sizes).unwrap().value()["search"]["evolution"].clone();
        assert_eq!(evolution, serde_json::json!({ "population": 9, "parents": 2 }));
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
