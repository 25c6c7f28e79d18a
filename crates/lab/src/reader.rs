//! From the text of a suite to its runs.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::Value;
use tasks::{DataDir, Task};

use crate::{
    Plugins, Program, RunConfig,
    budget::Budget,
    code::Origin,
    config::{seeds, settings_of_confused, settings_of_start},
    run_spec::{RunSpec, distinct, distinct_methods, only},
    setting_tree::SettingTree,
    suite::{Selection, SuitePlan, known_keys, tables},
    tune::{Setting, Tune},
    tuning::Tuning,
};

/// The budget of `--smoke`.
const SMOKE: &str = "train = { steps = 6, batch = 8, accumulate = 1, warmup = 2, log_every = 2, \
                     eval_every = 0, checkpoint_every = 4 }";
/// So that workers meet within it.
const SMOKE_WORKERS: &str = "train.workers = { local_steps = 2, warmup = 2 }";
/// So that steps grow within it.
const SMOKE_GROWTH: &str = "train.batch_warmup = { from = 2, over = 3 }";

/// Named here so that a suite can tune them without naming them.
const DEFAULTS: &str = "moe = { router = 'top-k', expert = 'ffn', residual = 'add' }";

/// The keys of a suite file, of a task and of a method.
const KEYS: [&str; 11] = [
    "title", "about", "seeds", "base", "budget", "tune", "task", "method", "expect", "paper",
    "claim",
];
const TASK_KEYS: [&str; 8] =
    ["task", "backbone", "moe", "train", "from", "prune", "groups", "few_shot"];
const METHOD_KEYS: [&str; 13] = [
    "name", "free", "tune", "on", "task", "backbone", "moe", "train", "from", "prune", "groups",
    "few_shot", "after",
];

/// What only a suite reads of a method.
const OF_SUITE: [&str; 4] = ["name", "on", "free", "tune"];

/// What is laid over one another to make the config of a run.
struct Layers<'a> {
    defaults: SettingTree,
    base: SettingTree,
    methods: &'a [SettingTree],
    smoke: bool,
    set: Vec<SettingTree>,
    budget: Option<Budget>,
    tune: Option<Tune>,
}

impl Layers<'_> {
    /// The settings of a method of a task, with some that are tried on top.
    fn of(
        &self,
        task: &SettingTree,
        method: &SettingTree,
        tried: &[SettingTree],
    ) -> anyhow::Result<SettingTree> {
        let kind = kind_of(task.value().get("task"));
        let on = method.table().and_then(|table| table.get("on")?.table()?.get(&kind));
        let own = std::iter::once(method).chain(on);
        if let Some(after) = method.table().and_then(|table| table.get("after")) {
            let start = self.of(task, self.named(after, method)?, &[])?.without(&OF_SUITE);
            let mut settings = start.without(&["after", "from", "prune", "few_shot"]);
            settings.lay(&SettingTree::parse("after", "train.steps = 0")?);
            own.for_each(|layer| settings.lay(&layer.without(&["after"])));
            if self.smoke {
                smoke(&mut settings)?;
            }
            tried.iter().for_each(|layer| settings.lay(layer));
            settings.put("after", start);
            return Ok(settings);
        }
        let mut settings = self.defaults.clone();
        let own = [&self.base, task].into_iter().chain(own);
        own.for_each(|layer| settings.lay(layer));
        if self.smoke {
            smoke(&mut settings)?;
        }
        self.set.iter().chain(tried).for_each(|layer| settings.lay(layer));
        Ok(settings)
    }

    /// The method before `method` that `after` names.
    fn named(&self, after: &SettingTree, method: &SettingTree) -> anyhow::Result<&SettingTree> {
        let before = self.methods.iter().take_while(|other| !std::ptr::eq(*other, method));
        let name = |other: &&SettingTree| other.value().get("name").cloned().unwrap_or_default();
        let known: Vec<String> = before.clone().map(|other| name(&other).to_string()).collect();
        before.clone().find(|other| name(other) == after.value()).ok_or_else(|| {
            let (place, wanted, known) = (after.place(), after.value(), known.join(", "));
            anyhow!("{place}: after = {wanted}: no method before it is named so; known: {known}")
        })
    }

    /// The settings that are tried for a method; one, as it is, if nothing is tuned.
    fn settings(&self, method: &SettingTree) -> anyhow::Result<Vec<Setting>> {
        match &self.tune {
            Some(tune) => tune.settings(method),
            None => Ok(vec![Setting::default()]),
        }
    }
}

/// Reads suites.
pub(crate) struct Reader<'a> {
    plugins: &'a Plugins,
    data: &'a DataDir,
    /// The digest of the program's source.
    program: String,
    device: String,
    /// Data sets are loaded once.
    loaded: HashMap<String, Arc<dyn Task>>,
}

impl<'a> Reader<'a> {
    /// A reader for the suites of a program.
    pub(crate) fn new(
        plugins: &'a Plugins,
        data: &'a DataDir,
        program: Program,
        device: &str,
    ) -> Self {
        let (program, device) = (program.digest(), device.to_string());
        Self { plugins, data, program, device, loaded: HashMap::new() }
    }

    /// The runs of a suite that are wanted.
    pub(crate) fn read(
        mut self,
        name: String,
        settings: &SettingTree,
        wanted: &Selection,
    ) -> anyhow::Result<SuitePlan> {
        known_keys(settings, &KEYS)?;
        let (tasks, methods) = (tables(settings, "task")?, tables(settings, "method")?);
        methods.iter().try_for_each(|method| known_keys(method, &METHOD_KEYS))?;
        let seeds = self.seeds(settings, wanted)?;
        let layers = layers(&name, settings, methods, &seeds, wanted)?;
        // Of each task and method, the settings to choose from with their runs, for seed 0.
        let (mut cells, mut choices) = (Vec::new(), Vec::new());
        for task in tasks {
            known_keys(task, &TASK_KEYS)?;
            let (own, of_task) = self.of_task(&layers, task)?;
            cells.extend(own);
            choices.extend(of_task);
        }
        unknown_task_in_on(methods, &cells)?;
        distinct_methods(&cells)?;
        let title = settings.value()["title"].as_str().unwrap_or(&name).to_string();
        let mut suite = SuitePlan { name, title, cells: Vec::new(), tuning: None };
        match layers.tune {
            None => {
                let chosen = choices.iter().filter_map(|of_method| Some(&of_method.first()?.1));
                suite.cells = only(self.with_seeds(chosen, &seeds), &wanted.only)?;
            }
            Some(tune) => {
                let with_seeds = |cell: &RunSpec, seeds: &[u64]| self.with_seeds([cell], seeds);
                let tuning = Tuning::new(&tune, choices, &seeds, with_seeds);
                suite.tuning = Some(tuning.only(&wanted.only)?);
            }
        }
        Ok(suite)
    }

    /// The methods of a task as they are, and with each of their settings and their budget.
    #[expect(clippy::type_complexity, reason = "it is what is said above")]
    fn of_task(
        &mut self,
        layers: &Layers,
        task: &SettingTree,
    ) -> anyhow::Result<(Vec<RunSpec>, Vec<Vec<(String, RunSpec)>>)> {
        let own = layers.methods.iter();
        let own = own.map(|method| self.cell(layers.of(task, method, &[])?, method));
        let own: Vec<RunSpec> = own.collect::<Result<_, _>>()?;
        let purse = layers.budget.as_ref().map(|budget| budget.purse(&own, self.plugins));
        let purse = purse.transpose()?;
        let mut choices = Vec::new();
        for method in layers.methods {
            let mut of_method = Vec::new();
            for setting in layers.settings(method)? {
                let settings = layers.of(task, method, &setting.layer)?;
                let mut cell = self.cell(settings, method)?;
                if let Some(purse) = &purse {
                    purse.give(&mut cell, method, self.plugins)?;
                }
                of_method.push((setting.text, cell));
            }
            choices.push(of_method);
        }
        Ok((own, choices))
    }

    fn seeds(&self, settings: &SettingTree, wanted: &Selection) -> anyhow::Result<Vec<u64>> {
        let place = settings.place_of("seeds");
        let own = match &settings.value()["seeds"] {
            Value::Null => vec![0],
            Value::String(text) => seeds(text).with_context(|| place.to_string())?,
            list => serde_json::from_value(list.clone())
                .map_err(|err| anyhow!("{place}: seeds: {err}; they are [0, 1, 2], or \"0..3\""))?,
        };
        ensure!(!own.is_empty(), "{place}: seeds = []: there is at least one");
        let (place, seeds) = match &wanted.seeds {
            Some(seeds) => ("--seeds".to_string(), seeds.clone()),
            None if wanted.smoke => (place.to_string(), own[..1].to_vec()),
            None => (place.to_string(), own),
        };
        match seeds.iter().enumerate().find(|(at, seed)| seeds[..*at].contains(seed)) {
            Some((_, seed)) => bail!("{place}: seed {seed} is there twice; it is one run"),
            None => Ok(seeds),
        }
    }

    /// The run of a method with these settings, with seed 0.
    fn cell(&mut self, mut settings: SettingTree, method: &SettingTree) -> anyhow::Result<RunSpec> {
        let name = match &mut settings {
            SettingTree::Table(table, _) => {
                let name = table.remove("name").map(|name| name.value());
                OF_SUITE.iter().for_each(|key| drop(table.remove(*key)));
                name
            }
            _ => None,
        };
        let cell = self.run(&settings)?;
        match name {
            Some(Value::String(method)) => Ok(RunSpec { method, ..cell }),
            Some(other) => bail!("{}: name = {other}: it is a text", method.place_of("name")),
            None => Ok(cell),
        }
    }

    /// The run of these settings, named by its router, and the run that it starts from.
    fn run(&mut self, settings: &SettingTree) -> anyhow::Result<RunSpec> {
        let config = RunConfig::read(settings, self.plugins)?;
        let data = self.task(&config, settings)?;
        config.check(settings, self.plugins, &*data)?;
        let refused = config.refusal(self.plugins, &*data)?.map(String::from);
        let from = settings_of_start(settings).map(|from| self.run(&from)).transpose()?;
        let confused = settings_of_confused(settings).map(|of| self.run(&of)).transpose()?;
        Ok(RunSpec {
            method: config.moe.router.kind.clone(),
            seed: 0,
            config,
            data,
            refused,
            from: from.map(Box::new),
            confused: confused.map(Box::new),
            budget: None,
            trial: false,
            tuned: None,
            id: String::new(),
        })
    }

    fn task(
        &mut self,
        config: &RunConfig,
        settings: &SettingTree,
    ) -> anyhow::Result<Arc<dyn Task>> {
        let key = serde_json::to_string(&config.task)?;
        if let Some(task) = self.loaded.get(&key) {
            return Ok(task.clone());
        }
        let task = config.load_task(settings, self.plugins, self.data)?;
        self.loaded.insert(key, task.clone());
        Ok(task)
    }

    /// The runs with each seed, seed by seed.
    fn with_seeds<'c>(
        &self,
        cells: impl IntoIterator<Item = &'c RunSpec> + Clone,
        seeds: &[u64],
    ) -> Vec<RunSpec> {
        let of = |seed: &u64| {
            let seed = *seed;
            cells.clone().into_iter().map(move |cell| self.with_seed(cell.clone(), seed))
        };
        seeds.iter().flat_map(of).collect()
    }

    /// A run, and those that it starts from, with a seed.
    fn with_seed(&self, cell: RunSpec, seed: u64) -> RunSpec {
        let trial = cell.trial;
        let Self { plugins, program, device, .. } = self;
        let id = Origin { plugins, program, device }.run_id(&cell.config, seed, trial);
        let before = |run: Box<RunSpec>| Box::new(self.with_seed(RunSpec { trial, ..*run }, seed));
        let (from, confused) = (cell.from.map(before), cell.confused.map(before));
        RunSpec { seed, id, from, confused, ..cell }
    }
}

/// Makes a run tiny, and those that come before it. One of no steps stays as it is.
fn smoke(settings: &mut SettingTree) -> anyhow::Result<()> {
    let evaluates = settings.value()["train"]["steps"] == 0;
    let given = |key: &str| settings.value()["train"][key].is_object();
    let parts = [("workers", SMOKE_WORKERS), ("batch_warmup", SMOKE_GROWTH)];
    let parts = parts.map(|(key, text)| given(key).then_some(text));
    settings.lay(&SettingTree::parse("--smoke", SMOKE)?);
    for text in parts.into_iter().flatten() {
        settings.lay(&SettingTree::parse("--smoke", text)?);
    }
    if evaluates {
        settings.lay(&SettingTree::parse("--smoke", "train.steps = 0")?);
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

/// Everything of a suite but its tasks.
fn layers<'a>(
    name: &str,
    settings: &SettingTree,
    methods: &'a [SettingTree],
    seeds: &[u64],
    wanted: &Selection,
) -> anyhow::Result<Layers<'a>> {
    let base = settings.table().and_then(|table| table.get("base")).cloned();
    let base = base.unwrap_or_else(|| SettingTree::empty(name));
    known_keys(&base, &TASK_KEYS)?;
    let set = wanted.set.iter().map(|text| SettingTree::assignment(text));
    Ok(Layers {
        defaults: SettingTree::parse("defaults", DEFAULTS)?,
        base,
        methods,
        smoke: wanted.smoke,
        set: set.collect::<Result<_, _>>()?,
        budget: Budget::read(settings)?,
        tune: Tune::read(settings, seeds)?,
    })
}

/// The name of a plug-in that is written as a name or as a table with `kind`.
fn kind_of(value: Option<&Value>) -> String {
    let name = value.and_then(|value| value.get("kind").unwrap_or(value).as_str());
    name.unwrap_or_default().to_string()
}

/// `on.TASK` of a task that the suite does not have is a misspelling.
fn unknown_task_in_on(methods: &[SettingTree], cells: &[RunSpec]) -> anyhow::Result<()> {
    let known: Vec<&str> = distinct(cells.iter().map(|cell| cell.config.task.kind.as_str()));
    for on in methods.iter().filter_map(|method| method.table()?.get("on")) {
        known_keys(on, &known)?;
    }
    Ok(())
}
