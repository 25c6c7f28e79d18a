//! Creates the runs of a suite with `[search]`: candidates, and runs with the best of them.

use anyhow::{Context, anyhow, bail};
use search::Member;
use serde_json::{Value, json};

use super::{
    architecture_search::ArchitectureSearch,
    layers::{Layers, layers, smoke},
    loader::Reader,
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
    tasks: &'a [SettingTree],
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
        if layers.search.is_none() {
            return Ok(None);
        }
        Ok(Some(Self { reader, layers, tasks, seeds, wanted: wanted.only.clone() }))
    }

    /// What is searched.
    pub(crate) fn search(&self) -> &ArchitectureSearch {
        self.layers.search.as_ref().expect("it was there when this was made")
    }

    /// What is searched, for each seed: the method of a task, its own run, the seed.
    ///
    /// # Errors
    /// If a value of the space is none that the method's settings can have.
    pub(crate) fn bases(&mut self) -> anyhow::Result<Vec<(Base, RunSpec)>> {
        let mut bases = Vec::new();
        let members = self.search().space().every_value();
        for task in 0..self.tasks.len() {
            for method in 0..self.layers.methods.len() {
                let base = Base { task, method };
                let spec = self.run(base, &[], 0, true)?;
                if self.search().has(&spec.method) {
                    for member in &members {
                        let refused = || format!("search: {}, {member}", spec.method);
                        self.candidate(base, member, 0).with_context(refused)?;
                    }
                    for seed in self.seeds.clone() {
                        bases.push((base, self.run(base, &[], seed, true)?));
                    }
                }
            }
        }
        bases.retain(|(_, spec)| only(vec![spec.clone()], &self.wanted).is_ok());
        Ok(bases)
    }

    /// What else than the space and the method's own run the values of candidates depend on.
    pub(crate) fn on(&self, base: Base) -> Value {
        let (search, own) = (self.search(), self.own_candidate(base));
        let own = own.map(|own| own.value());
        json!({ "search": search.of_candidates(), "own": own })
    }

    /// What a method sets for its own candidates.
    fn own_candidate(&self, base: Base) -> Option<SettingTree> {
        self.layers.methods[base.method].table()?.get("candidate").cloned()
    }

    /// A run that evaluates a member.
    pub(crate) fn candidate(
        &mut self,
        base: Base,
        member: &Member,
        seed: u64,
    ) -> anyhow::Result<RunSpec> {
        let own = self.own_candidate(base);
        let layers = self.search().candidate.iter().cloned().chain(own).collect();
        self.member(base, member, layers, (seed, true))
    }

    /// A run with the settings of a member that is not for the search. `trial` is whether the test split
    /// stays closed.
    pub(crate) fn retrained(
        &mut self,
        base: Base,
        member: &Member,
        (seed, trial): (u64, bool),
    ) -> anyhow::Result<RunSpec> {
        let layers = self.search().retrained.iter().cloned().collect();
        self.member(base, member, layers, (seed, trial))
    }

    fn member(
        &mut self,
        base: Base,
        member: &Member,
        layers: Vec<SettingTree>,
        (seed, trial): (u64, bool),
    ) -> anyhow::Result<RunSpec> {
        let mut over = self.search().layers(member);
        over.extend(layers);
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
        let mut settings = self.layers.of(&self.tasks[base.task], method, over)?;
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
