//! Creates the runs of a suite with `[search]`: candidates, and runs with the best of them.

use std::collections::HashMap;

use anyhow::{Context, anyhow, bail, ensure};
use backbones::Backbone;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use report::direction;
use search::Member;
use training::supernet::Supernet;

use super::{
    architecture_search::{ArchitectureSearch, Costs},
    layers::{Layers, layers, name_of, smoke},
    loader::{Reader, wanted_tasks},
    selection::only,
    tuning::MethodSetting,
};
use crate::{
    settings::{SettingTree, tables},
    spec::{RunSpec, Selection, Tuned, TuningPlan},
};

/// A method of a task that is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Base {
    task: usize,
    method: usize,
}

/// The networks of a searched method that have separate settings, if the suite tunes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// The network whose weights the candidates have, or the candidates if each is trained.
    Candidates,
    /// The network that was found, trained alone.
    Found,
}

/// The setting that was chosen for a role.
struct Chosen {
    layer: Vec<SettingTree>,
    /// None while settings are being tried.
    tuned: Option<Tuned>,
}

/// Makes the runs of a suite with a search.
pub(crate) struct Searcher<'a> {
    reader: Reader<'a>,
    layers: Layers<'a>,
    tasks: Vec<&'a SettingTree>,
    /// For each method its search, if it is searched.
    searches: Vec<Option<ArchitectureSearch>>,
    seeds: Vec<u64>,
    wanted: Vec<String>,
    /// The chosen settings, if the suite tunes.
    chosen: HashMap<(Base, Role), Chosen>,
}

impl<'a> Searcher<'a> {
    /// Reads the searcher of a suite; none if the suite does not search.
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
            let searched =
                name_of(method, Some(&layers.base)).is_some_and(|name| search.has(&name));
            searched.then(|| ArchitectureSearch::of_method(suite, method, wanted.smoke)).transpose()
        };
        let searches = methods.iter().map(of_method).collect::<Result<_, _>>()?;
        let tasks = wanted_tasks(tasks, methods, &wanted.only);
        let wanted = wanted.only.clone();
        let chosen = HashMap::new();
        Ok(Some(Self { reader, layers, tasks, searches, seeds, wanted, chosen }))
    }

    /// The search of a method.
    pub(crate) fn search(&self, base: Base) -> &ArchitectureSearch {
        self.searches[base.method].as_ref().expect("a base is of a method that is searched")
    }

    /// The searched methods, for each seed: the method of a task, its own run, the seed.
    ///
    /// # Errors
    /// If a value of the space is not valid for the method's settings, or the task lacks the metric.
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
                let over = self.layer(base, Role::Candidates);
                for seed in self.seeds.clone() {
                    bases.push((base, self.run(base, &over, seed, true)?));
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
            "search: {}: metric = {metric:?}: not a metric of task {:?}; known: {}",
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
                "search: limit: what = \"predicted_latency\": only for the backbone {:?}; method \
                 {method:?} has {backbone:?}, which supports \"latency\", \"flops_per_token\", \
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
        let over = self.layer(base, Role::Candidates);
        self.member((base, over), member, layer, (seed, true))
    }

    /// A run with the settings of a member, outside of the search. `trial` is true if the run is not
    /// evaluated on the test split.
    pub(crate) fn retrained(
        &mut self,
        base: Base,
        member: &Member,
        (seed, trial): (u64, bool),
    ) -> anyhow::Result<RunSpec> {
        let layer = self.search(base).retrained.clone();
        let over = self.layer(base, Role::Found);
        self.member((base, over), member, layer, (seed, trial))
    }

    /// The run whose weights a candidate has; the candidate itself if it is trained.
    pub(crate) fn network(
        &mut self,
        base: Base,
        member: &Member,
        seed: u64,
    ) -> anyhow::Result<RunSpec> {
        let candidate = self.candidate(base, member, seed)?;
        Ok(match candidate.from {
            Some(from) if candidate.config.train.steps == 0 => *from,
            _ => candidate,
        })
    }

    /// The run of a member: the tuned settings, then the member's own ones, then `layer`.
    fn member(
        &mut self,
        (base, mut over): (Base, Vec<SettingTree>),
        member: &Member,
        layer: Option<SettingTree>,
        (seed, trial): (u64, bool),
    ) -> anyhow::Result<RunSpec> {
        over.extend(self.search(base).layers(member));
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

    fn layer(&self, base: Base, role: Role) -> Vec<SettingTree> {
        self.chosen.get(&(base, role)).map_or_else(Vec::new, |chosen| chosen.layer.clone())
    }
}

/// Tuning of searched methods: the network of the candidates and the network that was found are tuned
/// separately.
impl Searcher<'_> {
    /// The setting that was chosen for a role; none if the suite does not tune.
    pub(crate) fn tuned(&self, base: Base, role: Role) -> Option<&Tuned> {
        self.chosen.get(&(base, role))?.tuned.as_ref()
    }

    /// Adds the trials of searched methods to those of a suite, two groups for each method. Returns the
    /// method and role of each group.
    pub(crate) fn add_trials(
        &mut self,
        tuning: &mut TuningPlan,
    ) -> anyhow::Result<Vec<(Base, Role)>> {
        let Some(tune) = self.layers.tune.clone() else { return Ok(Vec::new()) };
        let mut roles = Vec::new();
        for (base, _) in self.bases()? {
            let both = [Role::Candidates, Role::Found].map(|role| (base, role));
            roles.extend(both.into_iter().filter(|role| !roles.contains(role)).collect::<Vec<_>>());
        }
        let mut choices = Vec::new();
        for (base, role) in &roles {
            let mut of_role = Vec::new();
            for setting in tune.settings(&self.layers.methods[base.method])? {
                let chosen = Chosen { layer: setting.layer, tuned: None };
                self.chosen.insert((*base, *role), chosen);
                of_role.push(MethodSetting::new(setting.text, self.trial(*base, *role)?, 0));
            }
            self.chosen.remove(&(*base, *role));
            choices.push(of_role);
        }
        let with_seeds = |spec: &RunSpec, seeds: &[u64]| self.reader.with_seeds([spec], seeds);
        tuning.groups.extend(TuningPlan::new(&tune, choices, &[], with_seeds).groups);
        Ok(roles)
    }

    /// The run on which the settings of a role are tried: that of a randomly drawn member.
    fn trial(&mut self, base: Base, role: Role) -> anyhow::Result<RunSpec> {
        let member = self.search(base).space().draw(&mut ChaCha8Rng::seed_from_u64(0));
        let method = self.run(base, &[], 0, true)?.method;
        let (spec, what) = match role {
            Role::Candidates => (self.network(base, &member, 0)?, "candidates"),
            Role::Found => (self.retrained(base, &member, (0, true))?, "alone"),
        };
        Ok(RunSpec { method: format!("{method}, {what}"), ..spec })
    }

    /// Chooses settings for `roles`: for each of the last groups of `tuning`, the one at its index in `best`.
    pub(crate) fn settle(
        &mut self,
        roles: &[(Base, Role)],
        tuning: &TuningPlan,
        best: &[usize],
    ) -> anyhow::Result<()> {
        let Some(tune) = &self.layers.tune else { return Ok(()) };
        let first = tuning.groups.len() - roles.len();
        for ((role, group), at) in roles.iter().zip(&tuning.groups[first..]).zip(&best[first..]) {
            let settings = tune.settings(&self.layers.methods[role.0.method])?;
            let tuned = group.options[*at].any().and_then(|spec| spec.tuned.clone());
            let layer = settings.into_iter().nth(*at).map(|setting| setting.layer);
            self.chosen.insert(*role, Chosen { layer: layer.unwrap_or_default(), tuned });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use search::Member;
    use serde_json::json;
    use tasks::DataDir;

    use super::Role;
    use crate::{
        Plugins,
        spec::Selection,
        testing::{plan, source},
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

    /// The last value of `k` is larger than the number of experts.
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
        let searched = source(SUITE).unwrap();
        let (plugins, data, wanted) =
            (Plugins::default(), DataDir::default(), Selection::default());
        let mut searcher = searched.searcher(&plugins, &data, &wanted).unwrap().unwrap();
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
        // An invalid value of the space is found before anything is trained.
        let wrong = source(WRONG).unwrap();
        let mut other = wrong.searcher(&plugins, &data, &wanted).unwrap().unwrap();
        let err = format!("{:#}", other.bases().err().unwrap());
        assert!(err.starts_with("search: searched, ") && err.contains("k = 9"), "{err}");
        // The same is true of a metric that the task does not have.
        let wrong = source(&SUITE.replace("[search]\n", "[search]\nmetric = \"bleu\"\n")).unwrap();
        let mut other = wrong.searcher(&plugins, &data, &wanted).unwrap().unwrap();
        let err = other.bases().err().unwrap().to_string();
        let expected = "search: searched: metric = \"bleu\": not a metric of task \"digits\"; known: accuracy, loss";
        assert_eq!(err, expected);
        let foreign = Member(json!({ "moe.router.k": 9 }).as_object().unwrap().clone());
        let err = searcher.candidate(base, &foreign, 4).err().unwrap().to_string();
        assert!(err.starts_with("s.toml:") && err.contains("k = 9"), "{err}");
    }

    #[test]
    fn a_method_that_is_named_by_its_router_is_searched_too() {
        let text = SUITE.replace("name = \"searched\"\n", "").replace("\"searched\"", "\"top-k\"");
        let searched = source(&text).unwrap();
        let (plugins, data, wanted) =
            (Plugins::default(), DataDir::default(), Selection::default());
        let mut searcher = searched.searcher(&plugins, &data, &wanted).unwrap().unwrap();
        let bases = searcher.bases().unwrap();
        let methods: Vec<&str> = bases.iter().map(|(_, spec)| spec.method.as_str()).collect();
        assert_eq!(methods, ["top-k", "top-k"]);
    }

    /// All candidates share the weights of one network.
    const TUNED: &str = r#"
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
"moe.router.k" = [1, 2]
[search.candidate]
train.steps = 0
from = { moe.router = { kind = "top-k", k = 2 }, train.steps = 80 }
[tune]
trials = 3
metric = "loss"
seeds = [100]
halving = { rungs = 2, factor = 4 }
[tune.keys]
train.lr = [1e-3, 2e-3, 4e-3]
"#;

    #[test]
    fn candidates_and_what_is_found_are_tuned_each_by_itself() {
        let searched = source(TUNED).unwrap();
        let (plugins, data, wanted) =
            (Plugins::default(), DataDir::default(), Selection::default());
        let mut tuning = plan(TUNED).unwrap().tuning.unwrap();
        assert_eq!(tuning.groups.len(), 1, "the searcher tries what is searched");
        let mut searcher = searched.searcher(&plugins, &data, &wanted).unwrap().unwrap();
        let roles = searcher.add_trials(&mut tuning).unwrap();
        let names: Vec<&str> = tuning.groups.iter().map(|group| group.method().unwrap()).collect();
        assert_eq!(names, ["switch", "searched, candidates", "searched, alone"]);
        // A rung has a quarter of the steps, both for the network of the candidates and for the network that
        // was found.
        for (group, steps) in tuning.groups[1..].iter().zip([80, 40]) {
            let tried = group.options.iter().map(|option| &option.rungs[0][0]);
            for (spec, lr) in tried.zip([1e-3, 2e-3, 4e-3]) {
                let train = &spec.config.train;
                assert_eq!((train.lr, train.steps, spec.seed), (lr, steps / 4, 100));
                assert!(spec.trial && spec.from.is_none());
            }
            assert!(group.options.iter().all(|option| option.finals.is_empty()));
        }
        searcher.settle(&roles, &tuning, &[0, 1, 2]).unwrap();
        let (base, own) = searcher.bases().unwrap().remove(0);
        assert_eq!(own.config.train.lr, 2e-3);
        let member = Member(json!({ "moe.router.k": 1 }).as_object().unwrap().clone());
        let candidate = searcher.candidate(base, &member, 3).unwrap();
        let network = searcher.network(base, &member, 3).unwrap();
        assert_eq!(candidate.from.unwrap().id, network.id);
        assert_eq!((network.config.train.lr, network.config.train.steps), (2e-3, 80));
        let found = searcher.retrained(base, &member, (3, false)).unwrap();
        assert_eq!((found.config.train.lr, found.config.train.steps), (4e-3, 40));
        let tuned = [Role::Candidates, Role::Found].map(|role| searcher.tuned(base, role).unwrap());
        assert_eq!(tuned.map(|tuned| (tuned.rates, tuned.rate_at_edge)), [(3, false), (3, true)]);
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
        assert!(
            err.contains("metric = \"joy\": unknown whether higher or lower is better"),
            "{err}"
        );
        let err = error("[search]\n", "[search]\nevolution.parents = 200\n");
        assert!(err.contains("parents = 200: must be from 1 to population = 125"), "{err}");
        let err = error("[search]\n", "[search]\nlimit = { what = \"flop\", at_most = 1 }\n");
        assert!(err.contains("unknown value `flop`, expected one of `flops_per_token`"), "{err}");
        let err = error("train.steps = 5", "trian.steps = 5");
        assert!(err.contains("unknown key \"trian\"; known: task, backbone"), "{err}");
    }
}
