//! `[search]` of a suite: methods whose settings are searched for, on the validation split.
//!
//! ```toml
//! [search]
//! methods = ["supernet"]            # which of the suite's are searched; all if left out
//! by = ["evolution", "random"]      # random search makes as many evaluations as evolution did
//! evolution = { population = 8, parents = 3, mutations = 3, crossovers = 3, iterations = 4 }
//! metric = "loss"                   # on the validation split; the task's first if left out
//! limit = { what = "flops_per_token", at_most = 2e5 }   # or params, active_params, latency, and of supernets
//!                                   # predicted_latency, with samples = 100 that are measured and
//!                                   # predictor = { steps = 5000, unit = 200 } that learns from them
//! rank = 8                          # random members that are trained again, to see whether their
//!                                   # ranks as candidates are those of their training
//! measures = ["mixture_shift"]      # further measures of those candidates, whose mean is a result
//! [search.keys]                     # the space: lists of values by the paths of settings
//! "moe.expert.hidden" = [16, 32, 64]
//! "backbone.encoder_experts" = { each = [1, 2, 3], length = 4 }
//! "backbone.encoder_hidden" = { each = [32, 64], length = "backbone.encoder_experts" }
//! [search.candidate]                # settings for the time of the search: a short training, or
//! from.train.steps = 2000           # none at all, with the weights of a supernet
//! train.steps = 0
//! [search.retrained]                # settings for what is trained with what was found
//!
//! [[method]]
//! search.candidate.from.train.steps = 500   # over those of [search], for this one only
//! search.keys."moe.expert.hidden" = [16]    # its own space, in the place of [search.keys]
//! ```
//!
//! A suite that searches trains its other methods as usual. For each method that is searched, and each seed,
//! the best member is then trained as a method of the same name with the suffix `, evolution` or `, random`,
//! and evaluated on the test split. Candidates are trained with the seed of the search.
//!
//! With `[tune]` the settings of searched methods are tuned too. The setting for candidates is tuned on the
//! network whose weights the candidates have, or on a candidate if each is trained; the setting for the
//! network that was found is tuned on a randomly drawn member, trained alone.
//!
//! Paper and algorithm: crate `search`.

use anyhow::ensure;
use report::{Better, direction};
use search::{Evolution, Member, Space};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use training::supernet::PredictorConfig;

use crate::{
    settings::{Place, SettingTree, at, known_keys, typed_table},
    spec::RunSpec,
};

/// The keys of a layer of settings, which are those of a task.
pub(super) const LAYER_KEYS: [&str; 8] =
    ["task", "backbone", "moe", "train", "from", "prune", "groups", "few_shot"];

/// Keys that a method may set for itself.
const OF_METHOD: [&str; 9] =
    ["by", "evolution", "metric", "limit", "rank", "measures", "keys", "candidate", "retrained"];

/// The method of search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum How {
    /// Evolution.
    Evolution,
    /// Random search with as many evaluations.
    Random,
}

impl How {
    /// The name of the method in suites.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Evolution => "evolution",
            Self::Random => "random",
        }
    }
}

/// The limited quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Costs {
    /// Floating-point operations of one token in a forward pass.
    FlopsPerToken,
    /// Parameters.
    Params,
    /// Parameters that take part in computing the output of one token.
    ActiveParams,
    /// Milliseconds for the answer to one example, measured on this machine.
    Latency,
    /// The latency, predicted from the sizes of a supernet's architecture.
    PredictedLatency,
}

impl Costs {
    /// The name of the quantity in suites.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::FlopsPerToken => "flops_per_token",
            Self::Params => "params",
            Self::ActiveParams => "active_params",
            Self::Latency => "latency",
            Self::PredictedLatency => "predicted_latency",
        }
    }
}

/// The limit on the cost of a member.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MostCost {
    pub(crate) what: Costs,
    pub(crate) at_most: f64,
    samples: Option<usize>,
    predictor: Option<PredictorConfig>,
}

impl MostCost {
    /// The number of members that are measured for a predictor.
    pub(crate) fn samples(&self) -> usize {
        self.samples.unwrap_or(SAMPLES)
    }

    /// The settings for training a predictor.
    pub(crate) fn predictor(&self) -> PredictorConfig {
        self.predictor.clone().unwrap_or_default()
    }

    fn check(&self) -> Result<(), String> {
        if self.what != Costs::PredictedLatency {
            let foreign =
                [("samples", self.samples.is_some()), ("predictor", self.predictor.is_some())];
            let foreign = foreign.iter().find(|(_, given)| *given);
            return foreign.map_or(Ok(()), |(key, _)| {
                Err(format!("{key}: only for what = \"predicted_latency\""))
            });
        }
        match self.samples() {
            5..=MOST_SAMPLES => Ok(()),
            samples => Err(format!("samples = {samples}: must be from 5 to {MOST_SAMPLES}")),
        }
    }
}

/// The number of members that are measured for a predictor if a suite does not give one, and its maximum.
const SAMPLES: usize = 100;
const MOST_SAMPLES: usize = 10_000;

/// `[search]` of a suite.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArchitectureSearch {
    methods: Option<Vec<String>>,
    #[serde(default = "both")]
    pub(crate) by: Vec<How>,
    #[serde(default)]
    pub(crate) evolution: Evolution,
    metric: Option<String>,
    pub(crate) limit: Option<MostCost>,
    #[serde(default)]
    pub(crate) rank: usize,
    #[serde(default)]
    pub(crate) measures: Vec<String>,
    #[serde(default, rename = "keys")]
    _keys: Value,
    #[serde(default, rename = "candidate")]
    _candidate: Value,
    #[serde(default, rename = "retrained")]
    _retrained: Value,
    #[serde(skip)]
    space: Option<Space>,
    #[serde(skip)]
    places: Vec<(String, Place)>,
    #[serde(skip)]
    pub(super) candidate: Option<SettingTree>,
    #[serde(skip)]
    pub(super) retrained: Option<SettingTree>,
}

fn both() -> Vec<How> {
    vec![How::Evolution, How::Random]
}

impl ArchitectureSearch {
    /// Reads the `[search]` of a suite, if it has one; `smoke` makes it tiny.
    pub(super) fn of_suite(settings: &SettingTree, smoke: bool) -> anyhow::Result<Option<Self>> {
        let table = settings.table();
        let Some(search) = table.and_then(|table| table.get("search")) else {
            return Ok(None);
        };
        Self::read(search, smoke).map(Some)
    }

    /// The search of a method: `suite`, which is `[search]`, with the keys that the method sets for itself.
    pub(super) fn of_method(
        suite: &SettingTree,
        method: &SettingTree,
        smoke: bool,
    ) -> anyhow::Result<Self> {
        let Some(own) = method.table().and_then(|table| table.get("search")) else {
            return Self::read(suite, smoke);
        };
        known_keys(own, &OF_METHOD)?;
        let has_space = own.table().is_some_and(|table| table.contains_key("keys"));
        let mut whole = if has_space { suite.without(&["keys"]) } else { suite.clone() };
        whole.lay(own);
        Self::read(&whole, smoke)
    }

    fn read(table: &SettingTree, smoke: bool) -> anyhow::Result<Self> {
        let wrong = |key: &str, message: String| at(table, key, format!("search: {message}"));
        let mut read: Self = typed_table(table, "search")?;
        read.evolution.check().map_err(|err| wrong("evolution", err.to_string()))?;
        let limit = read.limit.as_ref().map_or(Ok(()), MostCost::check);
        limit.map_err(|why| wrong("limit", format!("limit: {why}")))?;
        if read.by.is_empty() && read.rank == 0 {
            return Err(wrong("by", "by = []: expected \"evolution\", \"random\" or both".into()));
        }
        if let Some(metric) = read.metric.as_deref().filter(|metric| direction(metric).is_none()) {
            let message = format!("metric = {metric:?}: unknown whether higher or lower is better");
            return Err(wrong("metric", message));
        }
        let mut genes = Map::new();
        if let Some(keys) = table.table().and_then(|table| table.get("keys")) {
            genes_of(keys, "", &mut genes, &mut read.places);
        }
        let space = Space::try_from(genes).map_err(|err| wrong("keys", err.to_string()))?;
        read.space = Some(space);
        for (name, layer) in
            [("candidate", &mut read.candidate), ("retrained", &mut read.retrained)]
        {
            *layer = table.table().and_then(|table| table.get(name)).cloned();
            layer.as_ref().map_or(Ok(()), |layer| known_keys(layer, &LAYER_KEYS))?;
        }
        if smoke {
            read.evolution = Evolution {
                population: 2,
                parents: 1,
                mutations: 1,
                crossovers: 0,
                iterations: 1,
                ..read.evolution
            };
            read.rank = read.rank.min(3);
            if let Some(limit) = &mut read.limit {
                limit.samples = limit.samples.map(|samples| samples.min(5));
            }
        }
        Ok(read)
    }

    /// Whether the method of this name is searched.
    pub(super) fn has(&self, method: &str) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.iter().any(|known| known == method))
    }

    /// Checks that all methods that it names exist.
    pub(super) fn check(&self, specs: &[RunSpec]) -> anyhow::Result<()> {
        for name in self.methods.iter().flatten() {
            let known: Vec<&str> = specs.iter().map(|spec| spec.method.as_str()).collect();
            ensure!(
                known.contains(&name.as_str()),
                "search: methods: no method is named {name:?}; known: {}",
                known.join(", ")
            );
        }
        Ok(())
    }

    /// The space.
    pub(crate) fn space(&self) -> &Space {
        self.space.as_ref().expect("it is read with the suite")
    }

    /// The metric that candidates are judged by, and its direction.
    pub(crate) fn metric(&self, spec: &RunSpec) -> (String, Better) {
        let metric = self.metric.clone().unwrap_or_else(|| spec.data.metrics()[0].into());
        let better = direction(&metric).unwrap_or(Better::Lower);
        (metric, better)
    }

    /// The settings of candidates that are not part of the space.
    pub(crate) fn of_candidates(&self) -> Value {
        json!({ "candidate": self._candidate, "metric": self.metric })
    }

    /// The settings of a member.
    pub(super) fn layers(&self, member: &Member) -> Vec<SettingTree> {
        let place = |path: &str| {
            let known = self.places.iter().find(|(known, _)| known == path);
            &known.expect("each name has a place").1
        };
        let setting =
            |(path, value): (&str, &Value)| SettingTree::nested(path, value.clone(), place(path));
        member.iter().map(setting).collect()
    }
}

/// Collects the genes in a table whose keys are quoted or bare dotted names.
fn genes_of(
    table: &SettingTree,
    path: &str,
    genes: &mut Map<String, Value>,
    places: &mut Vec<(String, Place)>,
) {
    match table {
        SettingTree::Table(inner, _) if path.is_empty() || !inner.contains_key("each") => {
            for (name, inner) in inner {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                genes_of(inner, &path, genes, places);
            }
        }
        gene => {
            genes.insert(path.into(), gene.value());
            places.push((path.into(), gene.place().clone()));
        }
    }
}
