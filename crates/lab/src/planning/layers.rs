//! The layers of settings that make the settings of a run.

use anyhow::{anyhow, bail};
use report::few;
use serde_json::Value;

use super::{
    architecture_search::{ArchitectureSearch, LAYER_KEYS},
    budget::Budget,
    checkpoint::CheckpointSettings,
    run_config::OF_ITSELF,
    search_space::{SearchSpace, TunedSetting},
};
use crate::{
    settings::{SettingTree, known_keys},
    spec::Selection,
};

/// The budget of `--smoke`.
const SMOKE: &str = "train = { steps = 6, batch = 8, accumulate = 1, warmup = 2, log_every = 2, \
                     eval_every = 0, checkpoint_every = 4 }";
/// Few local steps, so that workers synchronise within the few steps of a smoke test.
const SMOKE_WORKERS: &str = "train.workers = { local_steps = 2, warmup = 2 }";

/// Default plug-ins, written out so that a suite can tune their hyperparameters without naming them.
const DEFAULTS: &str = "moe = { router = 'top-k', expert = 'ffn', residual = 'add' }";

/// Keys of a method that only the suite reads.
pub(super) const OF_SUITE: [&str; 5] = ["name", "on", "free", "tune", "search"];

/// The keys of a task, and of `base`.
pub(super) const TASK_KEYS: [&str; 8] = LAYER_KEYS;

/// The layers of settings from which the config of a run is made.
pub(super) struct Layers<'a> {
    pub(super) defaults: SettingTree,
    pub(super) base: SettingTree,
    pub(super) methods: &'a [SettingTree],
    pub(super) smoke: bool,
    pub(super) set: Vec<SettingTree>,
    pub(super) budget: Option<Budget>,
    pub(super) tune: Option<SearchSpace>,
    pub(super) search: Option<ArchitectureSearch>,
}

impl Layers<'_> {
    /// The settings of a method of a task, with tried settings laid on top.
    pub(super) fn of(
        &self,
        task: &SettingTree,
        method: &SettingTree,
        tried: &[SettingTree],
    ) -> anyhow::Result<SettingTree> {
        let kind = kind_of(task.value().get("task"));
        let on = method.table().and_then(|table| table.get("on")?.table()?.get(&kind));
        let own = std::iter::once(method).chain(on);
        if let Some(after) = method.table().and_then(|table| table.get("after")) {
            let start = self.whole(task, ("after", after), method, tried)?;
            let mut settings = start.without(&OF_ITSELF);
            settings.lay(&SettingTree::built_in("after", "train.steps = 0")?);
            own.for_each(|layer| settings.lay(&layer.without(&["after"])));
            if self.smoke {
                smoke(&mut settings)?;
            }
            self.names_to_settings(task, method, &mut settings)?;
            settings.put("after", start);
            return Ok(settings);
        }
        let mut settings = self.defaults.clone();
        let own = [&self.base, task].into_iter().chain(own);
        let own: Vec<&SettingTree> = own.collect();
        let checkpoint = CheckpointSettings::of(own.iter().copied().chain(&self.set))?;
        if let Some(checkpoint) = &checkpoint {
            checkpoint.lay_network(&mut settings);
        }
        own.into_iter().for_each(|layer| settings.lay(layer));
        if let Some(checkpoint) = &checkpoint {
            checkpoint.complete(&mut settings);
        }
        if self.smoke {
            smoke(&mut settings)?;
        }
        self.set.iter().chain(tried).for_each(|layer| settings.lay(layer));
        if let Some(checkpoint) = &checkpoint {
            checkpoint.complete(&mut settings);
        }
        self.names_to_settings(task, method, &mut settings)?;
        Ok(settings)
    }

    /// Replaces the names of methods in `parts` and `teacher` by the complete settings of these methods.
    fn names_to_settings(
        &self,
        task: &SettingTree,
        method: &SettingTree,
        settings: &mut SettingTree,
    ) -> anyhow::Result<()> {
        let SettingTree::Table(table, _) = settings else { return Ok(()) };
        if let Some(name) = table.get("teacher").cloned() {
            table.insert("teacher".into(), self.whole(task, ("teacher", &name), method, &[])?);
        }
        let Some(SettingTree::Tables(parts, _)) = table.get_mut("parts") else { return Ok(()) };
        for part in parts {
            if let Some(name) = part.table().and_then(|table| table.get("of")).cloned() {
                part.put("of", self.whole(task, ("of", &name), method, &[])?);
            }
        }
        Ok(())
    }

    /// The complete settings of the method that a key of `method` names, with tried settings laid on top.
    fn whole(
        &self,
        task: &SettingTree,
        named: (&str, &SettingTree),
        method: &SettingTree,
        tried: &[SettingTree],
    ) -> anyhow::Result<SettingTree> {
        let whole = self.of(task, self.named(named, method)?, tried)?;
        Ok(whole.without(&OF_SUITE).at(named.1.place()))
    }

    /// The method before `method` that a key, for example `after`, names.
    fn named(
        &self,
        (key, after): (&str, &SettingTree),
        method: &SettingTree,
    ) -> anyhow::Result<&SettingTree> {
        let mut before = self.methods.iter().take_while(|other| !std::ptr::eq(*other, method));
        let known = before.clone().filter_map(|other| name_of(other, Some(&self.base)));
        let known: Vec<String> = known.map(|name| format!("{name:?}")).collect();
        let wanted = after.value();
        let is_wanted = |other: &&SettingTree| {
            name_of(other, Some(&self.base))
                .is_some_and(|name| Some(name.as_str()) == wanted.as_str())
        };
        before.find(is_wanted).ok_or_else(|| {
            let (place, known) = (after.place(), few(known));
            anyhow!("{place}: {key} = {wanted}: no earlier method has this name; known: {known}")
        })
    }

    /// The settings that are tried for a method: a single one, the method as it is, if nothing is tuned or
    /// the method has `tune = false`. A method with `after` shares the settings of the method that it starts
    /// from.
    pub(super) fn settings(&self, method: &SettingTree) -> anyhow::Result<Vec<TunedSetting>> {
        let (first, _) = self.first(method)?;
        match &self.tune {
            Some(tune) if !is_stated(first) => tune.settings(first),
            _ => Ok(vec![TunedSetting::default()]),
        }
    }

    /// The method with which a chain of `after` begins, and the length of the chain.
    pub(super) fn first<'m>(
        &'m self,
        method: &'m SettingTree,
    ) -> anyhow::Result<(&'m SettingTree, usize)> {
        let (mut first, mut length) = (method, 0);
        while let Some(after) = first.table().and_then(|table| table.get("after")) {
            if self.tune.is_some()
                && let Some(own) = first.table().and_then(|table| table.get("tune"))
            {
                bail!(
                    "{}: tune: a method with `after` uses the setting that is chosen for {}: tune that \
                     method, or write `from` instead",
                    own.place(),
                    after.value()
                );
            }
            (first, length) = (self.named(("after", after), first)?, length + 1);
        }
        Ok((first, length))
    }
}

/// Whether a method has `tune = false`: it uses the settings that the suite states and has no trials.
fn is_stated(method: &SettingTree) -> bool {
    let own = method.table().and_then(|table| table.get("tune"));
    own.is_some_and(|own| own.value() == Value::Bool(false))
}

/// Makes a run tiny, and also the runs that it depends on. A run without steps stays unchanged.
pub(super) fn smoke(settings: &mut SettingTree) -> anyhow::Result<()> {
    let train = settings.value()["train"].clone();
    let (evaluates, has_workers) = (train["steps"] == 0, train["workers"].is_object());
    settings.lay(&SettingTree::built_in("--smoke", SMOKE)?);
    if has_workers {
        settings.lay(&SettingTree::built_in("--smoke", SMOKE_WORKERS)?);
    }
    if evaluates {
        settings.lay(&SettingTree::built_in("--smoke", "train.steps = 0")?);
    }
    let SettingTree::Table(table, _) = settings else { return Ok(()) };
    if let Some(from) = table.get_mut("from") {
        smoke(from)?;
    }
    match table.get_mut("groups") {
        Some(SettingTree::Table(groups, _)) => groups.get_mut("of").map_or(Ok(()), smoke),
        _ => Ok(()),
    }
}

/// The layers of a suite, without its tasks.
pub(super) fn layers<'a>(
    name: &str,
    settings: &SettingTree,
    methods: &'a [SettingTree],
    seeds: &[u64],
    wanted: &Selection,
) -> anyhow::Result<Layers<'a>> {
    let base = settings.table().and_then(|table| table.get("base")).cloned();
    let base = base.unwrap_or_else(|| SettingTree::empty(name));
    known_keys(&base, &TASK_KEYS)?;
    let set = wanted.set.iter().map(|text| {
        let mut setting = SettingTree::assignment(text)?;
        setting.rename_old_keys();
        anyhow::Ok(setting)
    });
    let set: Vec<SettingTree> = set.collect::<Result<_, _>>()?;
    let tune = SearchSpace::read(settings, seeds)?;
    if let Some(tune) = &tune {
        tune.refuse(&set)?;
    }
    Ok(Layers {
        defaults: SettingTree::built_in("the defaults", DEFAULTS)?,
        base,
        methods,
        smoke: wanted.smoke,
        set,
        budget: Budget::read(settings)?,
        tune,
        search: ArchitectureSearch::of_suite(settings, wanted.smoke)?,
    })
}

/// The name of a method in tables, if the suite has it: the one in its settings, or that of its router or of
/// the base's.
pub(super) fn name_of(method: &SettingTree, base: Option<&SettingTree>) -> Option<String> {
    let router = |settings: &SettingTree| {
        let router = kind_of(settings.value().get("moe").and_then(|moe| moe.get("router")));
        Some(router).filter(|router| !router.is_empty())
    };
    match method.value().get("name") {
        Some(name) => name.as_str().map(str::to_string),
        None => router(method).or_else(|| base.and_then(router)),
    }
}

/// The name of a plug-in that is written as a name or as a table with `kind`.
pub(super) fn kind_of(value: Option<&Value>) -> String {
    let name = value.and_then(|value| value.get("kind").unwrap_or(value).as_str());
    name.unwrap_or_default().to_string()
}
