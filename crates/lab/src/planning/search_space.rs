//! `[tune]` of a suite: the same number of settings is tried for every method, on the validation split. The
//! best one is trained with the seeds of the suite, and only then is the network evaluated on the test split.
//!
//! ```toml
//! [tune]
//! trials = 6                # settings for each method
//! search = "grid"           # or "random"
//! seeds = [100]             # other seeds than the suite's
//! metric = "loss"           # the task's first if left out
//! seed = 0                  # of what is drawn
//! halving = { rungs = 3, factor = 2 }   # if left out, all settings are tried in full
//! [tune.keys]               # what is tried for every method
//! train.lr = [1e-3, 3e-3, 1e-2]
//! train.weight_decay = { from = 1e-3, to = 1e-1, scale = "log" }   # for a random search
//!
//! [[method]]
//! tune.moe.router.balance = [0.01, 0.1]                            # for this one only
//! ```
//!
//! Values in a method's own `tune` replace those that the suite has for the same setting.
//!
//! A method with `after` has no trials: it uses the setting that is chosen for the method from which it
//! starts. Runs that are named in `parts` and `teacher` use the settings that the suite states, and none from
//! the trials. A method with `tune = false`, for example a teacher that all methods share, has no trials and
//! uses the settings that the suite states. A gate does not require that it is tuned, and claims about it are
//! not testable.
//!
//! A grid with more points than trials is sampled without replacement; one with fewer is an error, because a
//! method with a smaller grid would be tuned less than the others.
//!
//! With `halving`, all settings are first tried with 1 / factor^(rungs - 1) of the steps and of the warm-up;
//! the best 1 / factor of each method, rounded up, advance to the next rung with `factor` times as many, and
//! the last rung has all steps. If a single setting of a method remains, it is not tried again. All methods
//! use the same rungs, so each is given the same steps. Each rung trains anew, so that settings are compared
//! at the end of a whole schedule of the learning rate; continuing from the previous rung would save at most
//! the steps of that rung, and would compare settings whose rate has not decayed.
//!
//! Jamieson, Talwalkar. *Non-stochastic Best Arm Identification and Hyperparameter Optimization*.
//! AISTATS 2016. <https://arxiv.org/abs/1502.07943> (successive halving)
//! Bergstra, Bengio. *Random Search for Hyper-Parameter Optimization*. JMLR 2012.
//! <https://www.jmlr.org/papers/v13/bergstra12a.html>
//! That a comparison without equal tuning says little: Melis, Dyer, Blunsom. *On the State of the
//! Art of Evaluation in Neural Language Models*. ICLR 2018. <https://arxiv.org/abs/1707.05589>

use anyhow::{bail, ensure};
use moe::stable_hash;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use report::direction;
use serde::Deserialize;
use serde_json::Value;

use super::search_key::{Key, Values, keys_of};
use crate::{
    settings::{SettingTree, at, typed_table},
    spec::Halving,
};

/// The largest number of settings that are tried for a method.
const MOST_TRIALS: usize = 10_000;

/// The largest number of points of a grid from which settings are sampled.
const MOST_POINTS: usize = 100_000;

/// `[tune]` of a suite.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchSpace {
    trials: usize,
    #[serde(default)]
    search: Strategy,
    #[serde(default)]
    seed: u64,
    #[serde(default = "a_hundred")]
    /// The seeds of the trials.
    pub(crate) seeds: Vec<u64>,
    /// The metric by which settings are chosen; if none, the task's first metric.
    pub(crate) metric: Option<String>,
    /// Early stopping of bad settings.
    #[serde(default)]
    pub(crate) halving: Halving,
    #[serde(default, rename = "keys")]
    _keys: Value,
    /// The hyperparameters that are searched for every method.
    #[serde(skip)]
    shared: Vec<Key>,
    #[serde(skip)]
    place: String,
}

fn a_hundred() -> Vec<u64> {
    vec![100]
}

/// The search strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Strategy {
    #[default]
    Grid,
    Random,
}

/// One setting to try.
#[derive(Clone, Debug, Default)]
pub(crate) struct TunedSetting {
    /// The setting as text: `train.lr=0.003, moe.router.k=2`.
    pub(crate) text: String,
    /// The settings that override the method's own.
    pub(crate) layer: Vec<SettingTree>,
}

impl SearchSpace {
    /// Reads the `[tune]` of a suite, if it has one. `seeds` are the suite's.
    pub(crate) fn read(settings: &SettingTree, seeds: &[u64]) -> anyhow::Result<Option<Self>> {
        let Some(table) = settings.table().and_then(|table| table.get("tune")) else {
            return Ok(None);
        };
        let wrong = |key: &str, message: String| {
            at(settings, &format!("tune.{key}"), format!("tune: {message}"))
        };
        let mut tune: Self = typed_table(table, "tune")?;
        if !(1..=MOST_TRIALS).contains(&tune.trials) {
            let message = format!("trials = {}: must be from 1 to {MOST_TRIALS}", tune.trials);
            return Err(wrong("trials", message));
        }
        if tune.seeds.is_empty() || tune.seeds.iter().any(|seed| seeds.contains(seed)) {
            let message = format!(
                "seeds = {:?}: at least one is needed, and none may be a seed of the suite, {seeds:?}: \
                 settings must not be chosen on the runs that they are judged by",
                tune.seeds
            );
            return Err(wrong("seeds", message));
        }
        let Halving { rungs, factor } = tune.halving;
        if rungs == 0 || factor < 2 {
            let message = format!("rungs = {rungs}, factor = {factor}: must be at least 1 and 2");
            return Err(wrong("halving", message));
        }
        if let Some(metric) = tune.metric.as_deref().filter(|metric| direction(metric).is_none()) {
            let message = format!("metric = {metric:?}: unknown whether higher or lower is better");
            return Err(wrong("metric", message));
        }
        if let Some(keys) = table.table().and_then(|table| table.get("keys")) {
            tune.shared = keys_of(keys, "")?;
        }
        tune.place = table.place().to_string();
        Ok(Some(tune))
    }

    /// Refuses settings of `--set` whose value would never be used, because the suite tries its own values.
    pub(crate) fn refuse(&self, set: &[SettingTree]) -> anyhow::Result<()> {
        for Key { path, place, .. } in &self.shared {
            let pointer = format!("/{}", path.replace('.', "/"));
            if set.iter().any(|setting| setting.value().pointer(&pointer).is_some()) {
                bail!(
                    "--set {path}: the suite tunes this setting ({place}); to set it, remove the key from \
                     [tune] in a copy of the suite"
                );
            }
        }
        Ok(())
    }

    /// The settings that are tried for a method. Values of hyperparameters that all methods share are drawn
    /// identically for all of them.
    pub(crate) fn settings(&self, method: &SettingTree) -> anyhow::Result<Vec<TunedSetting>> {
        let own = match method.table().and_then(|table| table.get("tune")) {
            Some(own) => keys_of(own, "")?,
            None => Vec::new(),
        };
        let shared = self.shared.iter().filter(|key| own.iter().all(|own| own.path != key.path));
        let keys: Vec<&Key> = shared.chain(&own).collect();
        if keys.is_empty() {
            bail!("{}: tune: there is nothing to tune; list settings in [tune.keys]", self.place);
        }
        let points = match self.search {
            Strategy::Grid => self.grid(&keys, method)?,
            Strategy::Random => (0..self.trials).map(|trial| self.drawn(&keys, trial)).collect(),
        };
        Ok(points.into_iter().map(|point| setting(&keys, point)).collect())
    }

    fn grid(&self, keys: &[&Key], method: &SettingTree) -> anyhow::Result<Vec<Vec<Value>>> {
        let (mut points, mut n) = (vec![Vec::new()], 1_usize);
        for key in keys {
            let Values::List(values) = &key.values else {
                let (place, path) = (&key.place, &key.path);
                bail!(
                    "{place}: tune: {path}: a grid needs a list of values; a range is for search = \"random\""
                )
            };
            n = n.saturating_mul(values.len());
            ensure!(
                n <= MOST_POINTS,
                "{}: tune: the grid has {n} points or more; at most {MOST_POINTS} are allowed: \
                 search = \"random\" tries only some of them",
                key.place
            );
            let longer = |point: &Vec<Value>| {
                let point = point.clone();
                values.iter().map(move |value| [&point[..], std::slice::from_ref(value)].concat())
            };
            points = points.iter().flat_map(longer).collect();
        }
        let trials = self.trials;
        ensure!(
            n >= trials,
            "{}: tune: the grid has {n} points, but trials = {trials}: list more values, or reduce \
             trials",
            method.place()
        );
        if n > trials {
            let mut rng = ChaCha8Rng::seed_from_u64(stable_hash(&format!("tune/{}", self.seed)));
            let mut order: Vec<usize> = (0..n).collect();
            order.shuffle(&mut rng);
            order.truncate(trials);
            order.sort_unstable();
            points = order.into_iter().map(|at| points[at].clone()).collect();
        }
        Ok(points)
    }

    fn drawn(&self, keys: &[&Key], trial: usize) -> Vec<Value> {
        let draw = |key: &&Key| {
            let stream = format!("tune/{}/{trial}/{}", self.seed, key.path);
            key.values.draw(&mut ChaCha8Rng::seed_from_u64(stable_hash(&stream)))
        };
        keys.iter().map(draw).collect()
    }
}

fn setting(keys: &[&Key], point: Vec<Value>) -> TunedSetting {
    let mut setting = TunedSetting::default();
    let mut said = Vec::new();
    for (key, value) in keys.iter().zip(point) {
        said.push(format!("{}={value}", key.path));
        setting.layer.push(SettingTree::nested(&key.path, value, &key.place));
    }
    setting.text = said.join(", ");
    setting
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::{
        spec::{Halving, SuitePlan},
        testing::plan,
    };

    const SUITE: &str = r#"
seeds = [0, 1]
[[task]]
task = "digits"
backbone = "vit"
[[method]]
moe.router = { kind = "top-k", weights = "softmax" }
tune.moe.router.k = [1, 2]
[[method]]
moe.router = "switch"
tune."moe.router.balance" = [0.01, 0.1]
"#;
    pub(crate) const GRID: &str = "[tune]\ntrials = 4\nmetric = \"loss\"\nseeds = [7]\n[tune.keys]\ntrain.lr = [1e-3, 3e-3]\n";

    pub(crate) fn loaded(tune: &str) -> anyhow::Result<SuitePlan> {
        plan(&format!("{SUITE}{tune}"))
    }

    fn texts(tune: &str) -> Vec<Vec<String>> {
        let tuning = loaded(tune).unwrap().tuning.unwrap();
        tuning.texts()
    }

    #[test]
    fn every_method_gets_the_same_number_of_trials() {
        let texts = texts(GRID);
        assert_eq!(texts[0][0], "train.lr=0.001, moe.router.k=1");
        assert_eq!(texts[0][3], "train.lr=0.003, moe.router.k=2");
        assert_eq!(texts[1][1], "train.lr=0.001, moe.router.balance=0.1");
        assert_eq!([texts[0].len(), texts[1].len()], [4, 4]);
        let fewer = super::tests::texts(&GRID.replace("trials = 4", "trials = 3"));
        assert_eq!([fewer[0].len(), fewer[1].len()], [3, 3]);
    }

    /// The second method replaces the learning rates of the suite, and keeps its own other setting.
    #[test]
    fn values_of_a_method_replace_those_of_the_suite() {
        let own = "tune.\"moe.router.balance\" = [0.01, 0.1]\n";
        let text =
            format!("{SUITE}{GRID}").replace(own, &format!("{own}tune.train.lr = [5e-3, 7e-3]\n"));
        let texts = plan(&text).unwrap().tuning.unwrap().texts();
        assert_eq!(texts[0][0], "train.lr=0.001, moe.router.k=1");
        let second = ["0.005", "0.007"].map(|lr| {
            ["0.01", "0.1"].map(|balance| format!("moe.router.balance={balance}, train.lr={lr}"))
        });
        let [mut expected, mut given] = [second.concat(), texts[1].clone()];
        expected.sort();
        given.sort();
        assert_eq!(given, expected);
    }

    #[test]
    fn what_methods_share_is_drawn_alike() {
        let random = "[tune]\ntrials = 3\nsearch = \"random\"\n[tune.keys]\ntrain.lr = { from = 1e-4, to = 1e-2, scale = \"log\" }\n";
        let texts = texts(random);
        let lr = |text: &String| text.split(',').next().unwrap().to_string();
        for (a, b) in texts[0].iter().zip(&texts[1]) {
            assert_eq!(lr(a), lr(b));
            let value: f64 = lr(a).strip_prefix("train.lr=").unwrap().parse().unwrap();
            assert!((1e-4..=1e-2).contains(&value), "{a}");
        }
        assert_ne!(lr(&texts[0][0]), lr(&texts[0][1]));
    }

    #[test]
    fn a_rung_has_a_share_of_the_steps() {
        let halving = Halving { rungs: 3, factor: 2 };
        assert_eq!([0, 1, 2].map(|rung| halving.steps(600, rung)), [150, 300, 600]);
        assert_eq!([5, 4, 1].map(|n| halving.left(n)), [3, 2, 1]);
        assert_eq!(Halving::default().steps(600, 0), 600);
        assert_eq!(Halving { rungs: 90, factor: 9 }.steps(600, 0), 1);
    }

    #[test]
    fn errors_name_place_value_and_alternatives() {
        let error = |tune: &str| loaded(tune).err().unwrap().to_string();
        let err = error(&GRID.replace("trials = 4", "trials = 5"));
        assert!(err.starts_with("s.toml:6: tune: the grid has 4 points, but trials = 5"), "{err}");
        let err = error(&GRID.replace("[7]", "[1]"));
        assert!(
            err.contains("tune: seeds = [1]: at least one is needed, and none may be"),
            "{err}"
        );
        let err = error(&GRID.replace("metric = \"loss\"", "metric = \"joy\""));
        assert!(
            err.contains("metric = \"joy\": unknown whether higher or lower is better"),
            "{err}"
        );
        let err = error(&GRID.replace("[1e-3, 3e-3]", "{ from = 1, to = 2 }"));
        assert!(err.contains("train.lr: a grid needs a list of values"), "{err}");
        let err = error(&GRID.replace("train.lr", "train.lrr"));
        assert!(err.contains("unknown key `lrr`"), "{err}");
        let err = error(&GRID.replace("[1e-3, 3e-3]", "3"));
        assert!(err.contains("train.lr = 3: expected a list of values"), "{err}");
        let err = error(&GRID.replace("seeds = [7]", "halving = { rungs = 3, factor = 1 }"));
        assert!(
            err.starts_with("s.toml:15: tune: rungs = 3, factor = 1: must be at least 1 and 2"),
            "{err}"
        );
        let err = error(&GRID.replace("trials = 4", "trails = 4"));
        assert!(err.contains("tune: unknown key `trails`"), "{err}");
    }
}
