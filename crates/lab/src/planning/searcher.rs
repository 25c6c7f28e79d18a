//! Creates the runs of a suite with `[search]`: candidates, and runs with the best of them.

use anyhow::{Context, anyhow, bail, ensure};
use backbones::Backbone;
use report::direction;
use search::Member;
use training::supernet::Supernet;

use super::{
    architecture_search::{ArchitectureSearch, Costs},
    layers::{Layers, layers, smoke},
    loader::{Reader, wanted_tasks},
    selection::only,
};
use crate::{
    settings::{SettingTree, tables},
    spec::{RunSpec, Selection},
};

/// A method of a task that is searched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Base {
    task: usize,
    method: usize,
}

/// Makes the runs of a suite that searches.
pub(crate) struct Searcher<'a> {
    reader: Reader<'a>,
    layers: Layers<'a>,
    tasks: Vec<&'a SettingTree>,
    /// For each method what is searched, if it is searched.
    searches: Vec<Option<ArchitectureSearch>>,
    seeds: Vec<u64>,
    wanted: Vec<String>,
}

impl<'a> Searcher<'a> {
    /// That of a suite; none if it does not search.
    pub(super) fn read(
        reader: Reader<'a>,
        name: &str,
        settings: &'a SettingTree,
        wanted: &Selection,
    ) -> anyhow::Result<Option<Self>> {
        let (tasks, methods) = (tables(settings, "task")?, tables(settings, "method")?);
        let seeds = reader.seeds(settings, wanted)?;
        let layers = layers(name, settings, methods, &seeds, wanted)?;
        let suite = settings.table().and_then(|table| table.get("search"));
        let (Some(suite), Some(search)) = (suite, &layers.search) else {
            return Ok(None);
        };
        let of_method = |method: &SettingTree| {
            let name = method.value()["name"].clone();
            let searched = search.has(name.as_str().unwrap_or_default());
            searched.then(|| ArchitectureSearch::of_method(suite, method, wanted.smoke)).transpose()
        };
        let searches = methods.iter().map(of_method).collect::<Result<_, _>>()?;
        let tasks = wanted_tasks(tasks, methods, &wanted.only);
        let wanted = wanted.only.clone();
        Ok(Some(Self { reader, layers, tasks, searches, seeds, wanted }))
    }

    /// What is searched of a method.
    pub(crate) fn search(&self, base: Base) -> &ArchitectureSearch {
        self.searches[base.method].as_ref().expect("a base is of a method that is searched")
    }

    /// What is searched, for each seed: the method of a task, its own run, the seed.
    ///
    /// # Errors
    /// If a value of the space is none that the method's settings can have, or the task has no such metric.
    pub(crate) fn bases(&mut self) -> anyhow::Result<Vec<(Base, RunSpec)>> {
        let mut bases = Vec::new();
        for task in 0..self.tasks.len() {
            for method in 0..self.searches.len() {
                if self.searches[method].is_none() {
                    continue;
                }
                let base = Base { task, method };
                self.check_metric(base)?;
                self.check_space(base)?;
                for seed in self.seeds.clone() {
                    bases.push((base, self.run(base, &[], seed, true)?));
                }
            }
        }
        bases.retain(|(_, spec)| only(vec![spec.clone()], &self.wanted).is_ok());
        Ok(bases)
    }

    /// Checks that the task has the metric by which candidates are judged.
    fn check_metric(&mut self, base: Base) -> anyhow::Result<()> {
        let own = self.run(base, &[], 0, true)?;
        let (metric, _) = self.search(base).metric(&own);
        let metrics = own.data.metrics();
        let known = metrics.iter().copied().filter(|name| direction(name).is_some());
        ensure!(
            metrics.iter().any(|name| *name == metric),
            "search: {}: metric = {metric:?}: task {:?} has no such metric; known: {}",
            own.method,
            own.config.task.kind,
            known.collect::<Vec<_>>().join(", ")
        );
        Ok(())
    }

    /// Checks every value of the space of a method.
    fn check_space(&mut self, base: Base) -> anyhow::Result<()> {
        let own = self.run(base, &[], 0, true)?;
        let (method, backbone) = (own.method, own.config.backbone.kind);
        let limit = self.search(base).limit.as_ref();
        if limit.is_some_and(|limit| limit.what == Costs::PredictedLatency) {
            ensure!(
                backbone == Supernet::NAME,
                "search: limit: what = \"predicted_latency\": is for the backbone {:?}, and method \
                 {method:?} has {backbone:?}; known for it: \"latency\", \"flops_per_token\", \
                 \"params\", \"active_params\"",
                Supernet::NAME
            );
        }
        for member in self.search(base).space().every_value() {
            let refused = || format!("search: {method}, {member}");
            self.candidate(base, &member, 0).with_context(refused)?;
        }
        Ok(())
    }

    /// A run that evaluates a member.
    pub(crate) fn candidate(
        &mut self,
        base: Base,
        member: &Member,
        seed: u64,
    ) -> anyhow::Result<RunSpec> {
        let layer = self.search(base).candidate.clone();
        self.member(base, member, layer, (seed, true))
    }

    /// A run with the settings of a member that is not for the search. `trial` is whether the test split
    /// stays closed.
    pub(crate) fn retrained(
        &mut self,
        base: Base,
        member: &Member,
        (seed, trial): (u64, bool),
    ) -> anyhow::Result<RunSpec> {
        let layer = self.search(base).retrained.clone();
        self.member(base, member, layer, (seed, trial))
    }

    fn member(
        &mut self,
        base: Base,
        member: &Member,
        layer: Option<SettingTree>,
        (seed, trial): (u64, bool),
    ) -> anyhow::Result<RunSpec> {
        let mut over = self.search(base).layers(member);
        over.extend(layer);
        let spec = self.run(base, &over, seed, trial)?;
        match &spec.refused {
            None => Ok(spec),
            Some(why) => bail!("{}, {member}: refused: {why}", spec.method),
        }
    }

    fn run(
        &mut self,
        base: Base,
        over: &[SettingTree],
        seed: u64,
        trial: bool,
    ) -> anyhow::Result<RunSpec> {
        let method = &self.layers.methods[base.method];
        let mut settings = self.layers.of(self.tasks[base.task], method, over)?;
        if self.layers.smoke {
            smoke(&mut settings)?;
        }
        let spec = RunSpec { trial, ..self.reader.spec(settings, method)? };
        let specs = self.reader.with_seeds([&spec], &[seed]);
        specs.into_iter().next().ok_or_else(|| anyhow!("one seed makes one run"))
    }
}

#[cfg(test)]
mod tests {
    use search::Member;
    use serde_json::json;
    use tasks::DataDir;

    use crate::{
        Plugins,
        planning::Source,
        spec::{Program, Selection, Suite},
        testing::plan,
    };

    const SUITE: &str = r#"
seeds = [3, 4]
[[task]]
task = "digits"
backbone = "vit"
train.steps = 40
[[method]]
moe.router = "switch"
[[method]]
name = "searched"
moe.router = { kind = "top-k", k = 1, weights = "softmax" }
[search]
methods = ["searched"]
[search.keys]
moe.expert.hidden = [16, 32]
"moe.router.k" = [1, 2]
[search.candidate]
train.steps = 5
"#;

    /// The last value of `k` is more than there are experts.
    const WRONG: &str = r#"
seeds = [3]
[[task]]
task = "digits"
backbone = "vit"
[[method]]
name = "searched"
moe.router = { kind = "top-k", k = 1, weights = "softmax" }
[search.keys]
"moe.router.k" = [1, 2, 9]
"#;

    #[test]
    fn other_methods_are_trained_as_always_and_members_are_settings() {
        let suite = plan(SUITE).unwrap();
        let methods: Vec<&str> = suite.specs.iter().map(|spec| spec.method.as_str()).collect();
        assert_eq!(methods, ["switch", "switch"]);
        let text: &'static str = SUITE;
        let suite = Suite { name: "s", file: "../s.toml", text, program: Program::NONE };
        let source = Source::find("s", &[suite]).unwrap();
        let (plugins, data, wanted) =
            (Plugins::default(), DataDir::default(), Selection::default());
        let mut searcher = source.searcher(&plugins, &data, &wanted).unwrap().unwrap();
        let bases = searcher.bases().unwrap();
        assert_eq!(bases.iter().map(|(_, spec)| spec.seed).collect::<Vec<_>>(), [3, 4]);
        let member = json!({ "moe.expert.hidden": 32, "moe.router.k": 2 });
        let member = Member(member.as_object().unwrap().clone());
        let (base, _) = bases[1];
        let candidate = searcher.candidate(base, &member, 4).unwrap();
        assert_eq!((candidate.config.train.steps, candidate.trial, candidate.seed), (5, true, 4));
        assert_eq!(candidate.config.moe.expert.options["hidden"], 32);
        assert_eq!(candidate.config.moe.router.options["k"], 2);
        let retrained = searcher.retrained(base, &member, (4, false)).unwrap();
        assert_eq!((retrained.config.train.steps, retrained.trial), (40, false));
        // A value that no member may have is found before anything is trained.
        let wrong = Suite { name: "s", file: "../s.toml", text: WRONG, program: Program::NONE };
        let source = Source::find("s", &[wrong]).unwrap();
        let mut other = source.searcher(&plugins, &data, &wanted).unwrap().unwrap();
        let err = format!("{:#}", other.bases().err().unwrap());
        assert!(err.starts_with("search: searched, ") && err.contains("k = 9"), "{err}");
        // So is a metric that the task does not have.
        let text: &'static str =
            SUITE.replace("[search]\n", "[search]\nmetric = \"bleu\"\n").leak();
        let suite = Suite { name: "s", file: "../s.toml", text, program: Program::NONE };
        let source = Source::find("s", &[suite]).unwrap();
        let mut other = source.searcher(&plugins, &data, &wanted).unwrap().unwrap();
        let err = other.bases().err().unwrap().to_string();
        let expected = "search: searched: metric = \"bleu\": task \"digits\" has no such metric; known: accuracy, loss";
        assert_eq!(err, expected);
        let foreign = Member(json!({ "moe.router.k": 9 }).as_object().unwrap().clone());
        let err = searcher.candidate(base, &foreign, 4).err().unwrap().to_string();
        assert!(err.starts_with("s.toml:") && err.contains("k = 9"), "{err}");
    }

    #[test]
    fn errors_name_place_value_and_alternatives() {
        let error =
            |from: &str, to: &str| plan(&SUITE.replace(from, to)).err().unwrap().to_string();
        let err = error("[\"searched\"]", "[\"serched\"]");
        assert!(err.contains("no method is named \"serched\"; known: switch, searched"), "{err}");
        let err = error("[16, 32]", "[]");
        assert!(
            err.contains("search: moe.expert.hidden = []: at least one value is needed"),
            "{err}"
        );
        let err = error("[search]\n", "[search]\nby = [\"luck\"]\n");
        assert!(err.starts_with("s.toml:12: search: unknown value `luck`"), "{err}");
        let err = error("[search]\n", "[search]\nmetric = \"joy\"\n");
        assert!(err.contains("metric = \"joy\": unknown direction, higher or lower"), "{err}");
        let err = error("[search]\n", "[search]\nevolution.parents = 200\n");
        assert!(err.contains("parents = 200: must be from 1 to population = 125"), "{err}");
        let err = error("[search]\n", "[search]\nlimit = { what = \"flop\", at_most = 1 }\n");
        assert!(err.contains("unknown value `flop`, expected one of `flops_per_token`"), "{err}");
        let err = error("train.steps = 5", "trian.steps = 5");
        assert!(err.contains("unknown key \"trian\"; known: task, backbone"), "{err}");
    }
}
