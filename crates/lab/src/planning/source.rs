//! A suite that is looked up by its name or path.

use std::path::{Component, Path};

use anyhow::{Context, bail};
use report::{Expect, SuiteGate};
use tasks::DataDir;

use super::{loader::Reader, searcher::Searcher, statements};
use crate::{
    Plugins,
    settings::SettingTree,
    spec::{Program, Selection, Suite, SuitePlan},
    store::Request,
};

/// A suite that was found by its name or path.
pub(crate) struct Source {
    /// The name under which results are kept.
    pub(crate) name: String,
    /// The name or path as it was typed.
    pub(crate) asked: String,
    pub(crate) settings: SettingTree,
    pub(crate) program: Program,
    /// Warnings about the settings.
    warnings: Vec<String>,
}

/// The largest size of a suite's file in bytes.
const LARGEST: u64 = 16 << 20;

impl Source {
    /// Finds the suite `name`: a suite of the program, or a file.
    pub(crate) fn find(name: &str, suites: &[Suite]) -> anyhow::Result<Self> {
        let asked = name.to_string();
        if let Some(suite) = suites.iter().find(|suite| suite.name == name) {
            let file = Path::new(suite.file).file_name().unwrap_or_default();
            let settings = SettingTree::parse(&file.to_string_lossy(), suite.text)?;
            return Ok(Self::new(name.into(), asked, settings, suite.program));
        }
        let path = Path::new(name);
        if path.extension().is_some_and(|extension| extension == "toml")
            || path.components().count() > 1
        {
            let text = files::read_regular(path, LARGEST).map(String::from_utf8);
            let text = text.with_context(|| format!("suite {name}"))?;
            let text = text.with_context(|| format!("suite {name}"))?;
            let settings = SettingTree::parse(name, &text)?;
            let program = suites.first().map_or(Program::NONE, |suite| suite.program);
            return Ok(Self::new(name_of(path), asked, settings, program));
        }
        let known: Vec<&str> = suites.iter().map(|suite| suite.name).collect();
        let known = known.join(", ");
        bail!("no suite is named {name:?}; known: {known}, or the path of a TOML file")
    }

    fn new(name: String, asked: String, mut settings: SettingTree, program: Program) -> Self {
        let warnings = settings.rename_old_keys();
        Self { name, asked, settings, program, warnings }
    }

    /// Warnings about the settings of the suite and about those of `--set`.
    pub(crate) fn warnings(&self, wanted: &Selection) -> anyhow::Result<Vec<String>> {
        let mut warnings = self.warnings.clone();
        for text in &wanted.set {
            warnings.extend(SettingTree::assignment(text)?.rename_old_keys());
        }
        Ok(warnings)
    }

    /// The request for the selected runs of the suite.
    pub(crate) fn request(&self, wanted: &Selection) -> Request {
        Request::new([&self.name, &self.asked], &self.settings, wanted)
    }

    /// The intervals in which the suite expects its results, `[[expect]]`.
    pub(crate) fn expects(&self) -> anyhow::Result<Vec<Expect>> {
        match self.settings.table().and_then(|table| table.get("expect")) {
            Some(_) => statements::expects_of(&self.settings),
            None if self.has("gate") => Ok(Vec::new()),
            None => bail!("{} has nothing to check: no [[expect]] and no [[gate]]", self.asked),
        }
    }

    fn has(&self, key: &str) -> bool {
        self.settings.table().is_some_and(|table| table.contains_key(key))
    }

    /// The conditions of its claims, `[[gate]]`; empty if it has none.
    pub(crate) fn gates(&self) -> anyhow::Result<Vec<SuiteGate>> {
        statements::gates_of(&self.settings)
    }

    /// Every selected run of the suite, completely checked, so that no setting of the user fails later.
    pub(crate) fn plan(
        &self,
        plugins: &Plugins,
        data: &DataDir,
        wanted: &Selection,
    ) -> anyhow::Result<SuitePlan> {
        statements::check_statements(&self.settings)?;
        let reader = Reader::new(plugins, data, self.program, &wanted.device);
        reader.read(self.name.clone(), &self.settings, wanted)
    }

    /// The searcher of the suite's architectures; none in a suite that does not search.
    pub(crate) fn searcher<'a>(
        &'a self,
        plugins: &'a Plugins,
        data: &'a DataDir,
        wanted: &Selection,
    ) -> anyhow::Result<Option<Searcher<'a>>> {
        let reader = Reader::new(plugins, data, self.program, &wanted.device);
        Searcher::read(reader, &self.name, &self.settings, wanted)
    }
}

/// The name of a suite in a file: its relative path without the extension, with dashes. So `a/suite.toml` and
/// `b/suite.toml` are two suites.
fn name_of(path: &Path) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let from_here = here.ok().and_then(|here| whole.strip_prefix(here).ok()).unwrap_or(&whole);
    let parts = from_here.with_extension("");
    let parts = parts.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().to_string()),
        _ => None,
    });
    parts.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{spec::RunSpec, testing::plan_some};

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

    fn load(text: &str, wanted: &Selection) -> anyhow::Result<SuitePlan> {
        plan_some(text, wanted)
    }

    fn specs(wanted: Selection) -> Vec<RunSpec> {
        load(TEXT, &wanted).unwrap().specs
    }

    #[test]
    fn a_suite_is_methods_times_tasks_times_seeds() {
        let specs = specs(Selection::default());
        assert_eq!(specs.len(), 8);
        assert_eq!(specs[0].method, "top-k");
        assert_eq!(specs[1].method, "ec");
        assert_eq!([specs[0].seed, specs[7].seed], [0, 1]);
        let experts = [&specs[0], &specs[1], &specs[2]].map(|spec| spec.config.moe.experts);
        assert_eq!(experts, [2, 4, 4]);
        let mut ids: Vec<&str> = specs.iter().map(|spec| spec.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 8);
    }

    #[test]
    fn a_router_that_looks_ahead_is_refused_where_that_would_be_cheating() {
        let refused: Vec<bool> =
            specs(Selection::default())[..4].iter().map(|spec| spec.refused.is_some()).collect();
        assert_eq!(refused, [false, false, false, true]);
    }

    #[test]
    fn runs_can_be_selected_and_changed() {
        let wanted = Selection {
            seeds: Some(vec![7]),
            only: vec!["router=top-k".into(), "task=digits".into()],
            set: vec!["train.lr=0.5".into()],
            smoke: true,
            ..Selection::default()
        };
        let specs = specs(wanted);
        assert_eq!(specs.len(), 1);
        assert_eq!((specs[0].seed, specs[0].config.train.steps), (7, 6));
        assert_eq!(specs[0].config.train.lr, 0.5);
    }

    #[test]
    fn what_is_misspelt_is_named_with_its_place() {
        let wrong = |text, wanted: &Selection| load(text, wanted).err().unwrap().to_string();
        let err = wrong("title = \"a\"\nsed = [0]", &Selection::default());
        assert!(err.starts_with("s.toml:2: unknown key \"sed\"; known: title"), "{err}");
        let err = wrong("seeds = [0]", &Selection::default());
        assert!(err.contains("expected at least one [[task]]"), "{err}");
        let only = |text: &str| Selection { only: vec![text.into()], ..Selection::default() };
        let err = wrong(TEXT, &only("router=swich"));
        assert_eq!(err, "--only router=swich: no run matches; known: top-k, expert-choice");
        let err = wrong(TEXT, &only("colour=red"));
        assert!(
            err.starts_with("--only colour=red: unknown key \"colour\"; known keys: method"),
            "{err}"
        );
        let wanted = vec!["router=top-k".into(), "router=expert-choice".into()];
        let err = wrong(TEXT, &Selection { only: wanted, ..Selection::default() });
        assert!(
            err.ends_with("known among the runs that match the ones before it: top-k"),
            "{err}"
        );
        let set = Selection { set: vec!["train.stps=3".into()], ..Selection::default() };
        let err = wrong(TEXT, &set);
        assert!(err.starts_with("--set train.stps=3: unknown key `stps`"), "{err}");
        let err = Source::find("nope", &[]).err().unwrap().to_string();
        assert!(err.contains("no suite is named \"nope\""), "{err}");
    }

    #[test]
    fn a_vocabulary_that_does_not_fit_the_checkpoint_is_refused_before_anything_is_trained() {
        let wrong = |text: &str| load(text, &Selection::default()).err().unwrap().to_string();
        let translation = |start: &str| {
            format!(
                "[[task]]\ntask = {{ kind = \"translation\", pairs = 40, length = 64, \
                 tokens = {{ kind = \"bpe\", vocab = 300 }} }}\nbackbone = \"transformer-seq2seq\"\n\
                 [[method]]\nname = \"dense\"\nmoe.layers = \"none\"\nfrom = {{ {start} }}\n"
            )
        };
        let err = wrong(&translation("task.tokens = { kind = \"bpe\", vocab = 280 }"));
        assert!(err.starts_with("s.toml:"), "{err}");
        assert!(err.contains("from: that network has a vocabulary of 28"), "{err}");
        assert!(err.contains(" tokens, but this run one of 30"), "{err}");
        // The same size, but made from other sentences.
        let err = wrong(&translation("task.pairs = 30"));
        assert!(err.contains("from: token 2") && err.contains("in that of this run"), "{err}");
        // The same holds for a part of a network.
        let parts = |other: &str| {
            format!(
                "{}[[method]]\nname = \"whole\"\nmoe.layers = \"none\"\nparts = [{{ of = \"dense\" }}]\n{other}\n",
                translation("").replace("from = {  }\n", "")
            )
        };
        assert!(load(&parts(""), &Selection::default()).is_ok());
        let err = wrong(&parts("task.pairs = 30"));
        assert!(err.contains("parts: token 2") && err.contains("in that of this run"), "{err}");
        let err = wrong(
            "[[task]]\ntask = \"tanaka-lm\"\nbackbone = \"transformer-lm\"\n[[method]]\n\
             moe.router = \"top-k\"\nfrom = { task = \"digits\", backbone = \"vit\" }\n",
        );
        assert!(err.contains("from: that network takes images of"), "{err}");
    }

    #[test]
    fn what_would_share_a_row_is_refused_before_it_is_trained() {
        const TWICE: &str = "[[task]]\ntask = \"digits\"\nbackbone = \"vit\"\n[[task]]\n\
                             task = { kind = \"digits\", augment = { crop = 1 } }\nbackbone = \"vit\"\n\
                             [[method]]\nmoe.router = \"top-k\"\n";
        let err = load(TWICE, &Selection::default()).err().unwrap().to_string();
        assert!(err.starts_with("two methods are named \"top-k\" on digits and vit;"), "{err}");
    }

    #[test]
    fn a_trained_network_is_looked_at_again() {
        const AFTER: &str = r#"
[[task]]
task = "digits"
backbone = "vit"
train.steps = 9
[[method]]
name = "one"
moe.router = "v-moe"
[[method]]
name = "few slots"
after = "one"
moe.capacity = { eval_factor = 0.5 }
[[method]]
name = "few slots, tuned"
after = "few slots"
train.steps = 3
[[method]]
name = "five shots"
after = "one"
task.classes = [1, 2]
few_shot.shots = 5
"#;
        let specs = load(AFTER, &Selection::default()).unwrap().specs;
        let steps: Vec<usize> = specs.iter().map(|spec| spec.config.train.steps).collect();
        assert_eq!(steps, [9, 0, 3, 0]);
        let from = |spec: &RunSpec| spec.from.as_ref().map(|from| from.id.clone());
        // Settings of the later run alone are not in the run from which it starts.
        assert_eq!(from(&specs[1]), Some(specs[0].id.clone()));
        assert_eq!(from(&specs[2]), Some(specs[1].id.clone()));
        assert_eq!(from(&specs[3]), Some(specs[0].id.clone()));
        assert_eq!(specs[2].config.moe.capacity.eval_factor, Some(0.5));
        assert_eq!(specs[2].config.moe.router.kind, "v-moe");
        let set = Selection { set: vec!["train.steps=7".into()], ..Selection::default() };
        let specs = load(AFTER, &set).unwrap().specs;
        let steps: Vec<usize> = specs.iter().map(|spec| spec.config.train.steps).collect();
        assert_eq!(steps, [7, 0, 3, 0]);

        let wrong = |text: &'static str| load(text, &Selection::default()).err().unwrap();
        let err = wrong(
            "[[task]]\ntask='digits'\nbackbone='vit'\n[[method]]\nname='a'\n[[method]]\nafter='b'\n",
        );
        let expected = "s.toml:7: after = \"b\": no earlier method has this name; known: \"a\"";
        assert_eq!(err.to_string(), expected);
        // A method without a name has the name of its router, as in tables.
        const BY_ROUTER: &str = "[[task]]\ntask='digits'\nbackbone='vit'\n[[method]]\n\
                                 moe.router='switch'\n[[method]]\nname='b'\nafter='switch'\n";
        let specs = load(BY_ROUTER, &Selection::default()).unwrap().specs;
        assert_eq!(from(&specs[1]), Some(specs[0].id.clone()));
        let err = wrong(
            "[[task]]\ntask='digits'\nbackbone='vit'\n[[method]]\nmoe.router='switch'\n\
             [[method]]\nafter='b'\n",
        );
        assert!(err.to_string().ends_with("known: \"switch\""), "{err}");
        let err = wrong("[[task]]\ntask='digits'\nbackbone='vit'\n[[method]]\nfew_shot.shots=1\n");
        assert!(err.to_string().contains("few_shot: needs train.steps = 0, not 1000"), "{err}");
    }

    #[test]
    fn two_methods_of_one_name_are_refused() {
        let text = "[[task]]\ntask=\"digits\"\nbackbone=\"vit\"\n[[method]]\n[[method]]\n";
        let err = load(text, &Selection::default()).err().unwrap().to_string();
        assert!(err.contains("two methods are named \"top-k\""), "{err}");
    }

    #[test]
    fn a_name_and_a_title_are_a_line_of_text() {
        let wrong = |head: &str, name: &str| {
            let text = format!(
                "{head}\n[[task]]\ntask='digits'\nbackbone='vit'\n[[method]]\nname={name}\n"
            );
            load(&text, &Selection::default()).err().unwrap().to_string()
        };
        for (name, value) in [("5", "5"), ("' '", "\" \""), ("\"a\\nb\"", "\"a\\nb\"")] {
            let expected = format!("s.toml:6: name = {value}: expected a line of text");
            assert_eq!(wrong("", name), expected);
            let expected = format!("s.toml:1: title = {value}: expected a line of text");
            assert_eq!(wrong(&format!("title = {name}"), "'a'"), expected);
        }
        assert!(wrong("about = 7", "'a'").starts_with("s.toml:1: about = 7: expected a line"));
    }
}
