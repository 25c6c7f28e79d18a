//! From the text of a suite to its runs.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::Value;
use tasks::{DataDir, LoadedTask};

use super::{
    compatibility::{same_inputs, teaches},
    layers::{Layers, OF_SUITE, TASK_KEYS, kind_of, layers},
    run_config::{settings_of_confused, settings_of_parts, settings_of_start, settings_of_teacher},
    selection::{distinct, distinct_methods, only, seeds},
    taken::takes_all,
    tuning::MethodSetting,
};
use crate::{
    Plugins,
    settings::{Place, SettingTree, at, known_keys, tables},
    spec::{Program, RunConfig, RunSpec, Selection, SuitePlan, TuningPlan},
    store::{Origin, after},
};

/// The keys of a suite file, and of a method.
const KEYS: [&str; 15] = [
    "title",
    "about",
    "seeds",
    "base",
    "budget",
    "tune",
    "search",
    "task",
    "tier",
    "method",
    "expect",
    "paper",
    "claim",
    "gate",
    "registration",
];
const METHOD_KEYS: [&str; 18] = [
    "name", "free", "tune", "search", "on", "task", "backbone", "moe", "train", "from", "prune",
    "upcycle", "groups", "few_shot", "after", "parts", "teacher", "distill",
];

/// The largest number of runs of a suite.
const MOST_RUNS: usize = 20_000;

/// The largest number of methods of a suite.
const MOST_METHODS: usize = 2_000;

/// Reads suites.
pub(crate) struct Reader<'a> {
    plugins: &'a Plugins,
    data: &'a DataDir,
    /// The digest of the program's source.
    program: String,
    device: String,
    /// Loaded data sets, so that each is loaded only once.
    loaded: HashMap<String, LoadedTask>,
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

    /// The selected runs of a suite.
    pub(crate) fn read(
        mut self,
        name: String,
        settings: &SettingTree,
        wanted: &Selection,
    ) -> anyhow::Result<SuitePlan> {
        known_keys(settings, &KEYS)?;
        let title = line(settings, "title")?.unwrap_or_else(|| name.clone());
        line(settings, "about")?;
        let (tasks, methods) = (tables(settings, "task")?, tables(settings, "method")?);
        methods.iter().try_for_each(|method| known_keys(method, &METHOD_KEYS))?;
        ensure!(
            methods.len() <= MOST_METHODS,
            "suite {name}: {} methods; at most {MOST_METHODS} are allowed",
            methods.len()
        );
        let seeds = self.seeds(settings, wanted)?;
        let layers = layers(&name, settings, methods, &seeds, wanted)?;
        // For each task and method, the settings to choose from with their runs, for seed 0.
        let (mut specs, mut choices) = (Vec::new(), Vec::new());
        for task in wanted_tasks(tasks, methods, &wanted.only) {
            known_keys(task, &TASK_KEYS)?;
            let (own, of_task) = self.of_task(&layers, task)?;
            specs.extend(own);
            choices.extend(of_task);
        }
        unknown_task_in_on(methods, tasks, &specs)?;
        distinct_methods(&specs)?;
        let planned = choices.iter().map(Vec::len).sum::<usize>().saturating_mul(seeds.len());
        ensure!(
            planned <= MOST_RUNS,
            "suite {name}: {} methods with {} seeds are {planned} runs; at most {MOST_RUNS} are allowed: \
             select some with --only and --seeds",
            choices.len(),
            seeds.len()
        );
        let gated = settings.table().is_some_and(|table| table.contains_key("gate"));
        let registration = settings.value()["registration"]["digest"].as_str().map(String::from);
        let mut suite =
            SuitePlan { name, title, gated, registration, specs: Vec::new(), tuning: None };
        match layers.tune {
            None => {
                let chosen = choices.iter().filter_map(|of_method| Some(&of_method.first()?.spec));
                suite.specs = only(self.with_seeds(chosen, &seeds), &wanted.only)?;
            }
            Some(tune) => {
                let with_seeds = |spec: &RunSpec, seeds: &[u64]| self.with_seeds([spec], seeds);
                let tuning = TuningPlan::new(&tune, choices, &seeds, with_seeds);
                suite.tuning = Some(tuning.only(&wanted.only)?);
            }
        }
        // The searcher makes the runs of searched methods, and the trials of these runs.
        if let Some(search) = &layers.search {
            search.check(&specs)?;
            suite.specs.retain(|spec| !search.has(&spec.method));
            if let Some(tuning) = &mut suite.tuning {
                tuning.groups.retain(|group| !group.method().is_some_and(|name| search.has(name)));
            }
        }
        Ok(suite)
    }

    /// The methods of a task with the settings of the suite, and with each tried setting and their budget.
    fn of_task(
        &mut self,
        layers: &Layers,
        task: &SettingTree,
    ) -> anyhow::Result<(Vec<RunSpec>, Vec<Vec<MethodSetting>>)> {
        let own = layers.methods.iter();
        let own = own.map(|method| self.spec(layers.of(task, method, &[])?, method));
        let own: Vec<RunSpec> = own.collect::<Result<_, _>>()?;
        let target = layers.budget.as_ref().map(|budget| budget.target(&own, self.plugins));
        let target = target.transpose()?;
        let mut choices = Vec::new();
        for method in layers.methods {
            let mut of_method = Vec::new();
            let (_, before) = layers.first(method)?;
            for setting in layers.settings(method)? {
                let settings = layers.of(task, method, &setting.layer)?;
                let mut spec = self.spec(settings, method)?;
                if let Some(target) = &target {
                    target.apply(&mut spec, method, self.plugins)?;
                }
                of_method.push(MethodSetting::new(setting.text, spec, before));
            }
            choices.push(of_method);
        }
        Ok((own, choices))
    }

    pub(super) fn seeds(
        &self,
        settings: &SettingTree,
        wanted: &Selection,
    ) -> anyhow::Result<Vec<u64>> {
        let place = settings.place_of("seeds");
        let own = match &settings.value()["seeds"] {
            Value::Null => vec![0],
            Value::String(text) => seeds(text).with_context(|| place.to_string())?,
            list => serde_json::from_value(list.clone())
                .map_err(|_| anyhow!("{place}: seeds = {list}: expected [0, 1, 2], or \"0..3\""))?,
        };
        ensure!(!own.is_empty(), "{place}: seeds = []: at least one is needed");
        listed_once(&own).with_context(|| place.to_string())?;
        let seeds = match &wanted.seeds {
            Some(seeds) => {
                listed_once(seeds).context("--seeds")?;
                seeds.clone()
            }
            None if wanted.smoke => own[..1].to_vec(),
            None => own,
        };
        Ok(wanted_seeds(seeds, &wanted.only))
    }

    /// The run of these settings alone, with seed 0 and this name.
    pub(crate) fn one(mut self, settings: &SettingTree, method: String) -> anyhow::Result<RunSpec> {
        let spec = self.run(settings)?;
        Ok(self.with_seed(RunSpec { method, ..spec }, 0))
    }

    /// The run of a method with these settings, with seed 0.
    pub(super) fn spec(
        &mut self,
        mut settings: SettingTree,
        method: &SettingTree,
    ) -> anyhow::Result<RunSpec> {
        let name = match &mut settings {
            SettingTree::Table(table, _) => {
                let name = table.remove("name").map(|name| name.value());
                OF_SUITE.iter().for_each(|key| drop(table.remove(*key)));
                name
            }
            _ => None,
        };
        let name = name.map(|name| line_of(&name, method.place_of("name"), "name")).transpose()?;
        let spec = self.run(&settings)?;
        match name {
            Some(method) => Ok(RunSpec { method, ..spec }),
            None => Ok(spec),
        }
    }

    /// The run of these settings, named after its checkpoint or its router, and the run from which it starts.
    fn run(&mut self, settings: &SettingTree) -> anyhow::Result<RunSpec> {
        let config = RunConfig::read(settings, self.plugins)?;
        let LoadedTask { task: data, data: digest } = self.task(&config, settings)?;
        config.check(settings, self.plugins, &*data)?;
        let refused = config.refusal(self.plugins, &*data)?.map(String::from);
        let note = config.note(self.plugins, &*data)?;
        let from = settings_of_start(settings).map(|from| self.run(&from)).transpose()?;
        if let Some(from) = &from {
            same_inputs("from", &*from.data, &*data).map_err(|why| at(settings, "from", why))?;
            takes_all(&config, &*data, from, self.plugins)
                .map_err(|why| at(settings, "from", format!("{why:#}")))?;
        }
        let confusion_run = settings_of_confused(settings).map(|of| self.run(&of)).transpose()?;
        let parts = settings_of_parts(settings)?;
        let parts = parts.into_iter().map(|of| self.run(of)).collect::<Result<Vec<_>, _>>()?;
        for part in &parts {
            same_inputs("parts", &*part.data, &*data).map_err(|why| at(settings, "parts", why))?;
        }
        let teacher = settings_of_teacher(settings).map(|of| self.run(of)).transpose()?;
        if let Some(teacher) = &teacher {
            teaches(&*teacher.data, &*data).map_err(|why| at(settings, "teacher", why))?;
        }
        Ok(RunSpec {
            method: own_name(&config),
            seed: 0,
            config,
            data,
            digest,
            note,
            refused,
            from: from.map(Box::new),
            parts,
            teacher: teacher.map(Box::new),
            confusion_run: confusion_run.map(Box::new),
            budget: None,
            trial: false,
            tuned: None,
            id: String::new(),
        })
    }

    fn task(&mut self, config: &RunConfig, settings: &SettingTree) -> anyhow::Result<LoadedTask> {
        let key = serde_json::to_string(&config.task)?;
        if let Some(task) = self.loaded.get(&key) {
            return Ok(task.clone());
        }
        let task = config.load_task(settings, self.plugins, self.data)?;
        self.loaded.insert(key, task.clone());
        Ok(task)
    }

    /// The runs with each seed, seed by seed.
    pub(super) fn with_seeds<'c>(
        &self,
        specs: impl IntoIterator<Item = &'c RunSpec> + Clone,
        seeds: &[u64],
    ) -> Vec<RunSpec> {
        let of = |seed: &u64| {
            let seed = *seed;
            specs.clone().into_iter().map(move |spec| self.with_seed(spec.clone(), seed))
        };
        seeds.iter().flat_map(of).collect()
    }

    /// A run with a seed, which the runs that it depends on get too.
    fn with_seed(&self, spec: RunSpec, seed: u64) -> RunSpec {
        let trial = spec.trial;
        let Self { plugins, program, device, .. } = self;
        let id =
            Origin { plugins, program, device }.run_id(&spec.config, &spec.digest, seed, trial);
        let before = |run: Box<RunSpec>| Box::new(self.with_seed(RunSpec { trial, ..*run }, seed));
        let (from, teacher) = (spec.from.map(before), spec.teacher.map(before));
        let confusion_run = spec.confusion_run.map(before);
        let parts = spec.parts.into_iter();
        let parts = parts.map(|part| self.with_seed(RunSpec { trial, ..part }, seed)).collect();
        let spec = RunSpec { seed, id, from, parts, teacher, confusion_run, ..spec };
        // The config includes the settings of these runs, but their data appear only in their identities.
        let id = spec.prerequisites().fold(spec.id.clone(), |id, before| after(&id, &before.id));
        RunSpec { id, ..spec }
    }
}

/// The name of a run that is not given one: that of its checkpoint's folder, or of its router.
fn own_name(config: &RunConfig) -> String {
    let checkpoint = config.checkpoint.as_ref();
    let folder = checkpoint.and_then(|known| Path::new(&known.folder).file_name());
    let folder = folder.map(|name| name.to_string_lossy().to_string());
    folder.unwrap_or_else(|| config.moe.router.kind.clone())
}

/// Refuses `on.TASK` if the suite has no such task: it is a misspelling.
fn unknown_task_in_on(
    methods: &[SettingTree],
    tasks: &[SettingTree],
    specs: &[RunSpec],
) -> anyhow::Result<()> {
    let named: Vec<String> = tasks.iter().map(kind_of_task).collect();
    let read = specs.iter().map(|spec| spec.config.task.kind.as_str());
    let known: Vec<&str> = distinct(read.chain(named.iter().map(String::as_str)));
    for on in methods.iter().filter_map(|method| method.table()?.get("on")) {
        known_keys(on, &known)?;
    }
    Ok(())
}

fn listed_once(seeds: &[u64]) -> anyhow::Result<()> {
    let mut seen = HashSet::new();
    match seeds.iter().find(|seed| !seen.insert(**seed)) {
        Some(seed) => bail!("seed {seed} is listed twice"),
        None => Ok(()),
    }
}

/// The seeds that `--only seed=N` selects; all of them if it selects none, which is reported later with the
/// known seeds.
fn wanted_seeds(seeds: Vec<u64>, wanted: &[String]) -> Vec<u64> {
    let is_wanted = |seed: &&u64| named(wanted, "seed=").all(|name| seed.to_string() == name);
    let left: Vec<u64> = seeds.iter().filter(is_wanted).copied().collect();
    if left.is_empty() { seeds } else { left }
}

/// The tasks that `--only task=NAME` selects, so that `--set` need not fit the others; all of them if a
/// method has a task of its own.
pub(super) fn wanted_tasks<'a>(
    tasks: &'a [SettingTree],
    methods: &[SettingTree],
    wanted: &[String],
) -> Vec<&'a SettingTree> {
    let own = |method: &SettingTree| !kind_of_task(method).is_empty();
    let is_wanted =
        |task: &&SettingTree| named(wanted, "task=").all(|name| kind_of_task(task) == name);
    let left: Vec<&SettingTree> = tasks.iter().filter(is_wanted).collect();
    // An unknown name is reported later, with the known tasks.
    match left.is_empty() || methods.iter().any(own) {
        true => tasks.iter().collect(),
        false => left,
    }
}

/// The values that `--only` gives for a property.
fn named<'a>(wanted: &'a [String], key: &'a str) -> impl Iterator<Item = &'a str> {
    wanted.iter().filter_map(move |text| text.strip_prefix(key))
}

fn kind_of_task(settings: &SettingTree) -> String {
    kind_of(settings.value().get("task"))
}

/// A text in a suite, if it is there.
///
/// # Errors
/// If it is not a line of text; the error names the place.
fn line(settings: &SettingTree, key: &str) -> anyhow::Result<Option<String>> {
    match &settings.value()[key] {
        Value::Null => Ok(None),
        value => line_of(value, settings.place_of(key), key).map(Some),
    }
}

/// The line of text in a value.
fn line_of(value: &Value, place: &Place, key: &str) -> anyhow::Result<String> {
    let text =
        value.as_str().filter(|text| !text.trim().is_empty() && !text.contains(char::is_control));
    let text = text.with_context(|| format!("{place}: {key} = {value}: expected a line of text"));
    text.map(str::to_string)
}
