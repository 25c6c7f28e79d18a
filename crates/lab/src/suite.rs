//! A suite: which methods are compared on which tasks, with which seeds.
//!
//! ```toml
//! title = "Default suite"
//! seeds = [0, 1, 2]
//!
//! [base]                          # what all runs share
//! moe = { experts = 8, layers = "every 2" }
//!
//! [[task]]                        # columns: where the methods are tried
//! task = "digits"
//! backbone = { kind = "vit", width = 48 }
//! train = { steps = 600 }
//!
//! [[method]]                      # rows: what is compared; `name` defaults to the router's
//! moe.router = { kind = "top-k", k = 2 }
//! ```
//!
//! A `[budget]` says what all methods of a task are given alike, see [`Budget`].
//!
//! A run's config is `base`, then its `[[task]]`, then its `[[method]]`, then `--set`, each laid
//! over the one before. `from = { train.steps = 600 }` starts a run with the weights that another one
//! ends with: the run of the same settings with those laid over them. A method may say what it does differently for one task in a table `on`:
//! `on.digits.moe.experts = 4`.

use std::{collections::HashMap, path::Path, sync::Arc};

use anyhow::{Context, anyhow, bail, ensure};
use report::Expect;
use serde_json::Value;
use tasks::{DataDir, Task};

use crate::{
    Plugins, RunConfig,
    budget::Budget,
    cell::{Cell, distinct, distinct_methods, only},
    code,
    config::{seeds, settings_of_start},
    located::Located,
};

/// A suite file that is part of a program; [`suite!`](crate::suite) makes one.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// The name it is called by.
    pub name: &'static str,
    /// The file, for messages.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
    /// The source of the program it comes with, where an experiment's plug-ins are.
    pub program: &'static str,
}

/// A suite file as part of the program: `lab::suite!("name", "../suite.toml")`.
#[macro_export]
macro_rules! suite {
    ($name:expr, $path:expr) => {
        $crate::Suite {
            name: $name,
            file: $path,
            text: include_str!($path),
            program: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/main.rs")),
        }
    };
}

/// What a person wants of a suite.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Other seeds than the suite's.
    pub(crate) seeds: Option<Vec<u64>>,
    /// Only runs with these properties, `key=value`.
    pub(crate) only: Vec<String>,
    /// Settings laid over all others, `a.b=c`.
    pub(crate) set: Vec<String>,
    /// A tiny budget, to see whether everything works.
    pub(crate) smoke: bool,
}

/// The budget of `--smoke`.
const SMOKE: &str = "train = { steps = 6, batch = 8, accumulate = 1, warmup = 2, log_every = 2, \
                     eval_every = 0, checkpoint_every = 4 }";

/// Named here so that a suite can tune them without naming them.
const DEFAULTS: &str = "moe = { router = 'top-k', expert = 'ffn', residual = 'add' }";

/// The keys of a suite file, of a task and of a method.
const KEYS: [&str; 10] =
    ["title", "about", "seeds", "base", "budget", "task", "method", "expect", "paper", "claim"];
const TASK_KEYS: [&str; 6] = ["task", "backbone", "moe", "train", "from", "prune"];
const METHOD_KEYS: [&str; 9] =
    ["name", "free", "on", "task", "backbone", "moe", "train", "from", "prune"];

/// A suite that was read, with the runs that are asked for.
pub(crate) struct Loaded {
    /// The name under which results are kept.
    pub(crate) name: String,
    /// What the table is headed with.
    pub(crate) title: String,
    /// All runs asked for, seed by seed.
    pub(crate) cells: Vec<Cell>,
}

/// Reads the suite that is called `name`: one of the program's, or a file. Every run is checked,
/// so that nothing that a person typed fails later.
pub(crate) fn load(
    name: &str,
    suites: &[Suite],
    plugins: &Plugins,
    data: &DataDir,
    wanted: &Selection,
) -> anyhow::Result<Loaded> {
    let (name, file, text, program) = find(name, suites)?;
    let settings = Located::parse(&file, &text)?;
    let reader = Reader { plugins, data, program, loaded: HashMap::new() };
    reader.read(name, &settings, wanted)
}

/// Where a suite expects its results to lie, `[[expect]]`.
pub(crate) fn expects(name: &str, suites: &[Suite]) -> anyhow::Result<Vec<Expect>> {
    let (_, file, text, _) = find(name, suites)?;
    let settings = Located::parse(&file, &text)?;
    let read = |expect: &Located| {
        serde_json::from_value(expect.value())
            .map_err(|err| anyhow!("{}: expect: {err}", expect.place()))
    };
    match settings.table().and_then(|table| table.get("expect")) {
        Some(_) => tables(&settings, "expect")?.iter().map(read).collect(),
        None => bail!("{file} expects nothing: it has no [[expect]]"),
    }
}

/// Name, file, text and program of a suite.
fn find(name: &str, suites: &[Suite]) -> anyhow::Result<(String, String, String, &'static str)> {
    if let Some(suite) = suites.iter().find(|suite| suite.name == name) {
        let file = Path::new(suite.file).file_name().unwrap_or_default();
        let file = file.to_string_lossy().to_string();
        return Ok((name.into(), file, suite.text.into(), suite.program));
    }
    let path = Path::new(name);
    if path.extension().is_some_and(|extension| extension == "toml")
        || path.components().count() > 1
    {
        let text = std::fs::read_to_string(path).with_context(|| format!("suite {name}"))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_string();
        let program = suites.first().map_or("", |suite| suite.program);
        return Ok((stem, name.into(), text, program));
    }
    let known: Vec<&str> = suites.iter().map(|suite| suite.name).collect();
    bail!("no suite is named {name:?}; known: {}, or the path of a TOML file", known.join(", "))
}

struct Reader<'a> {
    plugins: &'a Plugins,
    data: &'a DataDir,
    program: &'static str,
    /// Data sets are loaded once.
    loaded: HashMap<String, Arc<dyn Task>>,
}

impl Reader<'_> {
    fn read(
        mut self,
        name: String,
        settings: &Located,
        wanted: &Selection,
    ) -> anyhow::Result<Loaded> {
        known_keys(settings, &KEYS)?;
        let (empty, defaults) = (Located::empty(&name), Located::parse("defaults", DEFAULTS)?);
        let base = settings.table().and_then(|table| table.get("base")).unwrap_or(&empty);
        known_keys(base, &TASK_KEYS)?;
        let (tasks, methods) = (tables(settings, "task")?, tables(settings, "method")?);
        let set = wanted.set.iter().map(|text| Located::assignment(text));
        let set: Vec<Located> = set.collect::<Result<_, _>>()?;
        let seeds = self.seeds(settings, wanted)?;
        let mut cells = Vec::new();
        for task in tasks {
            known_keys(task, &TASK_KEYS)?;
            for method in methods {
                known_keys(method, &METHOD_KEYS)?;
                let mut layers = vec![&defaults, base, task, method];
                let kind = kind_of(task.value().get("task"));
                let on = method.table().and_then(|table| table.get("on")?.table()?.get(&kind));
                layers.extend(on);
                let mut settings = Located::empty(&name);
                layers.iter().for_each(|layer| settings.lay(layer));
                if wanted.smoke {
                    smoke(&mut settings)?;
                }
                set.iter().for_each(|layer| settings.lay(layer));
                cells.push(self.cell(settings, method)?);
            }
        }
        unknown_task_in_on(methods, &cells)?;
        distinct_methods(&cells)?;
        if let Some(budget) = Budget::read(settings)? {
            for of_task in cells.chunks_mut(methods.len()) {
                budget.spend(of_task, methods, self.plugins)?;
            }
        }
        let cells = seeds
            .iter()
            .flat_map(|seed| cells.iter().map(|cell| self.with_seed(cell.clone(), *seed)));
        let cells = only(cells.collect(), &wanted.only)?;
        let title = settings.value()["title"].as_str().unwrap_or(&name).to_string();
        Ok(Loaded { name, title, cells })
    }

    fn seeds(&self, settings: &Located, wanted: &Selection) -> anyhow::Result<Vec<u64>> {
        let place = settings.place_of("seeds");
        let own = match &settings.value()["seeds"] {
            Value::Null => vec![0],
            Value::String(text) => seeds(text).with_context(|| place.to_string())?,
            list => serde_json::from_value(list.clone())
                .map_err(|err| anyhow!("{place}: seeds: {err}; they are [0, 1, 2], or \"0..3\""))?,
        };
        ensure!(!own.is_empty(), "{place}: seeds = []: there is at least one");
        Ok(match &wanted.seeds {
            Some(seeds) => seeds.clone(),
            None if wanted.smoke => own[..1].to_vec(),
            None => own,
        })
    }

    /// The run of a method with these settings, with seed 0.
    fn cell(&mut self, mut settings: Located, method: &Located) -> anyhow::Result<Cell> {
        let name = match &mut settings {
            Located::Table(table, _) => {
                table.remove("on");
                table.remove("free");
                table.remove("name").map(|name| name.value())
            }
            _ => None,
        };
        let cell = self.run(&settings)?;
        match name {
            Some(Value::String(method)) => Ok(Cell { method, ..cell }),
            Some(other) => bail!("{}: name = {other}: it is a text", method.place_of("name")),
            None => Ok(cell),
        }
    }

    /// The run of these settings, named by its router, and the run that it starts from.
    fn run(&mut self, settings: &Located) -> anyhow::Result<Cell> {
        let config = RunConfig::read(settings, self.plugins)?;
        let data = self.task(&config, settings)?;
        config.check(settings, self.plugins, &*data)?;
        let refused = config.refusal(self.plugins, &*data)?.map(String::from);
        let from = settings_of_start(settings).map(|from| self.run(&from)).transpose()?;
        Ok(Cell {
            method: config.moe.router.kind.clone(),
            seed: 0,
            config,
            data,
            refused,
            from: from.map(Box::new),
            budget: None,
            id: String::new(),
        })
    }

    fn task(&mut self, config: &RunConfig, settings: &Located) -> anyhow::Result<Arc<dyn Task>> {
        let key = serde_json::to_string(&config.task)?;
        if let Some(task) = self.loaded.get(&key) {
            return Ok(task.clone());
        }
        let task = config.load_task(settings, self.plugins, self.data)?;
        self.loaded.insert(key, task.clone());
        Ok(task)
    }

    fn with_seed(&self, cell: Cell, seed: u64) -> Cell {
        let id = code::run_id(&cell.config, seed, self.plugins, self.program);
        let from = cell.from.map(|from| Box::new(self.with_seed(*from, seed)));
        Cell { seed, id, from, ..cell }
    }
}

/// Makes a run tiny, and those that it starts from. One of no steps stays as it is.
fn smoke(settings: &mut Located) -> anyhow::Result<()> {
    let evaluates = settings.value()["train"]["steps"] == 0;
    settings.lay(&Located::parse("--smoke", SMOKE)?);
    if evaluates {
        settings.lay(&Located::parse("--smoke", "train.steps = 0")?);
    }
    match settings {
        Located::Table(table, _) => table.get_mut("from").map_or(Ok(()), smoke),
        _ => Ok(()),
    }
}

/// The name of a plug-in that is written as a name or as a table with `kind`.
fn kind_of(value: Option<&Value>) -> String {
    let name = value.and_then(|value| value.get("kind").unwrap_or(value).as_str());
    name.unwrap_or_default().to_string()
}

/// Refuses keys that are none.
pub(crate) fn known_keys(settings: &Located, known: &[&str]) -> anyhow::Result<()> {
    let table = settings.table().ok_or_else(|| anyhow!("{}: it is a table", settings.place()))?;
    match table.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        Some((key, value)) => {
            bail!("{}: unknown key {key:?}; known: {}", value.place(), known.join(", "))
        }
        None => Ok(()),
    }
}

/// The tables of `[[key]]`.
pub(crate) fn tables<'a>(settings: &'a Located, key: &str) -> anyhow::Result<&'a [Located]> {
    match settings.table().and_then(|table| table.get(key)) {
        Some(Located::Tables(tables, _)) => Ok(tables),
        Some(other) => bail!("{}: {key} is a list of tables, [[{key}]]", other.place()),
        None => bail!("{}: there is no [[{key}]]", settings.place()),
    }
}

/// `on.TASK` of a task that the suite does not have is a misspelling.
fn unknown_task_in_on(methods: &[Located], cells: &[Cell]) -> anyhow::Result<()> {
    let known: Vec<&str> = distinct(cells.iter().map(|cell| cell.config.task.kind.as_str()));
    for on in methods.iter().filter_map(|method| method.table()?.get("on")) {
        known_keys(on, &known)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
title = "Two methods on two tasks"
seeds = [0, 1]
[base]
moe.experts = 4
[[task]]
task = "digits"
backbone = "vit"
[[task]]
task = "tanaka-lm"
backbone = "transformer-lm"
[[method]]
moe.router = "top-k"
on.digits.moe.experts = 2
[[method]]
name = "ec"
moe.router = "expert-choice"
"#;

    fn load(text: &'static str, wanted: &Selection) -> anyhow::Result<Loaded> {
        let suite = Suite { name: "s", file: "../s.toml", text, program: "" };
        super::load("s", &[suite], &Plugins::default(), &DataDir::default(), wanted)
    }

    fn cells(wanted: Selection) -> Vec<Cell> {
        load(TEXT, &wanted).unwrap().cells
    }

    #[test]
    fn a_suite_is_methods_times_tasks_times_seeds() {
        let cells = cells(Selection::default());
        assert_eq!(cells.len(), 8);
        assert_eq!(cells[0].method, "top-k");
        assert_eq!(cells[1].method, "ec");
        assert_eq!([cells[0].seed, cells[7].seed], [0, 1]);
        let experts = [&cells[0], &cells[1], &cells[2]].map(|cell| cell.config.moe.experts);
        assert_eq!(experts, [2, 4, 4]);
        let mut ids: Vec<&str> = cells.iter().map(|cell| cell.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 8);
    }

    #[test]
    fn a_router_that_looks_ahead_is_refused_where_that_would_be_cheating() {
        let refused: Vec<bool> =
            cells(Selection::default())[..4].iter().map(|cell| cell.refused.is_some()).collect();
        assert_eq!(refused, [false, false, false, true]);
    }

    #[test]
    fn runs_can_be_selected_and_changed() {
        let wanted = Selection {
            seeds: Some(vec![7]),
            only: vec!["router=top-k".into(), "task=digits".into()],
            set: vec!["train.lr=0.5".into()],
            smoke: true,
        };
        let cells = cells(wanted);
        assert_eq!(cells.len(), 1);
        assert_eq!((cells[0].seed, cells[0].config.train.steps), (7, 6));
        assert_eq!(cells[0].config.train.lr, 0.5);
    }

    #[test]
    fn what_is_misspelt_is_named_with_its_place() {
        let wrong = |text, wanted: &Selection| load(text, wanted).err().unwrap().to_string();
        let err = wrong("title = \"a\"\nsed = [0]", &Selection::default());
        assert!(err.starts_with("s.toml:2: unknown key \"sed\"; known: title"), "{err}");
        let err = wrong("seeds = [0]", &Selection::default());
        assert!(err.contains("there is no [[task]]"), "{err}");
        let only = |text: &str| Selection { only: vec![text.into()], ..Selection::default() };
        let err = wrong(TEXT, &only("router=swich"));
        assert_eq!(err, "--only router=swich: there is none; known: top-k, expert-choice");
        assert!(wrong(TEXT, &only("colour=red")).contains("known keys: method"));
        let set = Selection { set: vec!["train.stps=3".into()], ..Selection::default() };
        let err = wrong(TEXT, &set);
        assert!(err.starts_with("--set train.stps=3: unknown field `stps`"), "{err}");
        let err = super::find("nope", &[]).unwrap_err().to_string();
        assert!(err.contains("no suite is named \"nope\""), "{err}");
    }

    #[test]
    fn two_methods_of_one_name_are_refused() {
        let text = "[[task]]\ntask=\"digits\"\nbackbone=\"vit\"\n[[method]]\n[[method]]\n";
        let err = load(text, &Selection::default()).err().unwrap().to_string();
        assert!(err.contains("two methods are named \"top-k\""), "{err}");
    }
}
