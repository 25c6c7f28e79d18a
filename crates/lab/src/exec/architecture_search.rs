//! Searches the space of a suite. Candidates are runs of the store, so none is trained twice. Their results
//! are also kept in a history file, so that a search that was killed continues as it would have without the
//! interruption.

use std::{collections::HashMap, fs, sync::atomic::Ordering};

use anyhow::{Context, bail, ensure};
use backbones::AnyBackbone;
use burn::{module::Module, prelude::Device};
use files::hex;
use moe::Pass;
use report::{Better, stats::spearman};
use search::{BoxError, Found, History, Limit, Member, Search};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tasks::{Split, Task};
use training::{Timing, evaluate_some, latency};

use super::{model_builder::ModelBuilder, predicted_latency::PredictedLatency, runner::Runner};
use crate::{
    planning::{ArchitectureSearch, Base, Costs, How, MostCost, Role, Searcher},
    spec::{RunSpec, Tuned},
    store::Ended,
};

/// The result of a search, for the table.
pub(crate) struct SearchResult {
    /// The run that represents the result: the method's own run, under the name of the search.
    pub(crate) spec: RunSpec,
    /// Names and values of the measures, on the validation split.
    pub(crate) numbers: Vec<(String, f64)>,
    /// A summary as text.
    pub(crate) said: String,
    /// The run whose weights the candidates have, if the result is about that run.
    pub(crate) network: Option<RunSpec>,
}

/// The results of all searches of a suite.
#[derive(Default)]
pub(crate) struct Searched {
    /// The runs of the best members, to be trained.
    pub(crate) specs: Vec<RunSpec>,
    /// The result of each search.
    pub(crate) results: Vec<SearchResult>,
}

/// One method of a task with one seed.
struct SearchedMethod<'r, 's, 'a> {
    runner: &'r Runner<'r>,
    searcher: &'s mut Searcher<'a>,
    base: Base,
    spec: RunSpec,
    metric: String,
    better: Better,
    /// The predictor, if latency is predicted.
    predicted: Option<PredictedLatency>,
    /// The member that was evaluated.
    seen: Option<Member>,
}

impl Runner<'_> {
    /// Searches for all methods of a suite that are to be searched.
    pub(crate) fn search(&self, searcher: &mut Searcher) -> anyhow::Result<Searched> {
        let mut searched = Searched::default();
        for (base, spec) in searcher.bases()? {
            let (metric, better) = searcher.search(base).metric(&spec);
            let limit = searcher.search(base).limit.clone();
            let limit = limit.filter(|limit| limit.what == Costs::PredictedLatency);
            let mut subject = SearchedMethod {
                runner: self,
                searcher,
                base,
                spec,
                metric,
                better,
                predicted: None,
                seen: None,
            };
            subject.predicted = limit.map(|limit| subject.learn_latency(&limit)).transpose()?;
            subject.search(&mut searched)?;
            subject.rank(&mut searched)?;
            searched.results.extend(subject.network()?);
        }
        Ok(searched)
    }

    /// The value of this metric on the validation split at the end of a run; none if the run failed.
    fn valid(&self, spec: &RunSpec, metric: &str) -> anyhow::Result<Option<f64>> {
        let found = self.valid_if_there(spec, metric)?;
        let failed = || matches!(self.store.ended(&spec.id), Ok(Some(Ended::Failed { .. })));
        ensure!(found.is_some() || failed(), "search: no metric is named {metric:?}");
        Ok(found)
    }

    /// The same; also none if the run has no such metric.
    fn valid_if_there(&self, spec: &RunSpec, metric: &str) -> anyhow::Result<Option<f64>> {
        match self.store.ended(&spec.id)? {
            Some(Ended::Done(numbers)) => {
                let mut rows = numbers.metrics.iter();
                let row = rows.find(|(split, name, _)| split == "valid" && name == metric);
                Ok(row.map(|(.., value)| *value))
            }
            Some(Ended::Failed { .. }) => Ok(None),
            None => bail!("stopped"),
        }
    }
}

impl SearchedMethod<'_, '_, '_> {
    fn settings(&self) -> &ArchitectureSearch {
        self.searcher.search(self.base)
    }

    /// Searches with every strategy that the suite names.
    fn search(&mut self, searched: &mut Searched) -> anyhow::Result<()> {
        let mut evaluations = self.settings().evolution.evaluations();
        for how in self.settings().by.clone() {
            let found = self.found(how, evaluations)?;
            if how == How::Evolution {
                evaluations = found.candidates.len();
            }
            let name = format!("{}, {}", self.spec.method, how.word());
            let best = found.best();
            let chosen = self.searcher.tuned(self.base, Role::Found);
            let tuned = Some(tuned(&found, self.spec.config.train.lr, chosen));
            self.seen = Some(best.member.clone());
            let seed = self.spec.seed;
            let run = self.searcher.retrained(self.base, &best.member, (seed, false))?;
            searched.specs.push(RunSpec { method: name.clone(), tuned: tuned.clone(), ..run });
            searched.results.push(self.result(name, &found, tuned));
        }
        Ok(())
    }

    fn result(&self, name: String, found: &Found, tuned: Option<Tuned>) -> SearchResult {
        let (best, n) = (found.best(), found.candidates.len());
        let value = best.value.map(|value| self.better.oriented(-value));
        let limit = self.settings().limit.as_ref();
        let cost = best.cost.zip(limit).map(|(cost, limit)| (limit.what.word(), cost));
        let mut numbers = vec![("evaluations".to_string(), n as f64)];
        numbers.extend(value.map(|value| (format!("best_{}", self.metric), value)));
        numbers.extend(cost.map(|(what, cost)| (format!("best_{what}"), cost)));
        if let Some(predicted) = &self.predicted {
            numbers.push(("predictor_mae".into(), predicted.error));
            numbers.push(("predictor_skill".into(), predicted.skill));
        }
        let shown = value.map_or_else(|| "failed".into(), |value| format!("{value:.4}"));
        let cost = cost.map_or_else(String::new, |(what, cost)| format!(", {what} {cost:.4}"));
        let (seed, metric, member) = (self.spec.seed, &self.metric, &best.member);
        let said = format!(
            "{name}, seed {seed}: best of {n} candidates: {member}, {metric} {shown} (valid){cost}"
        );
        let spec = RunSpec { method: name, tuned, ..self.spec.clone() };
        SearchResult { spec, numbers, said, network: None }
    }

    /// The run whose weights all candidates share, if they share any; this run is not one of the suite's.
    fn network(&mut self) -> anyhow::Result<Option<SearchResult>> {
        let Some(member) = self.seen.clone() else { return Ok(None) };
        let (base, spec) = (self.base, self.spec.clone());
        let run = self.searcher.network(base, &member, spec.seed)?;
        if run.id == self.searcher.candidate(base, &member, spec.seed)?.id {
            return Ok(None);
        }
        let tuned = self.searcher.tuned(base, Role::Candidates).cloned();
        let said = format!(
            "{}, seed {}: candidates use the weights of the run {}",
            spec.method, spec.seed, run.id
        );
        let network = Some(RunSpec { tuned: tuned.clone(), ..run });
        Ok(Some(SearchResult {
            spec: RunSpec { tuned, ..spec },
            numbers: Vec::new(),
            said,
            network,
        }))
    }

    /// Trains random members both as candidates and alone, and computes the rank correlation of both results.
    fn rank(&mut self, searched: &mut Searched) -> anyhow::Result<()> {
        let count = self.settings().rank;
        if count == 0 {
            return Ok(());
        }
        let found = self.found_at_random(count, false)?;
        let mut runs = Vec::new();
        for candidate in &found.candidates {
            let seed = self.spec.seed;
            runs.push(self.searcher.retrained(self.base, &candidate.member, (seed, true))?);
        }
        self.runner.train(&runs.iter().collect::<Vec<_>>())?;
        let mut pairs = Vec::new();
        self.seen = found.candidates.first().map(|candidate| candidate.member.clone());
        for (candidate, run) in found.candidates.iter().zip(&runs) {
            let alone = self.runner.valid(run, &self.metric)?;
            let shared = candidate.value.map(|value| self.better.oriented(-value));
            pairs.extend(shared.zip(alone));
        }
        let mean = |of: fn(&(f64, f64)) -> f64| {
            pairs.iter().map(of).sum::<f64>() / pairs.len().max(1) as f64
        };
        let mut numbers = vec![
            ("rank_gap".to_string(), mean(|(shared, alone)| shared - alone)),
            ("rank_mae".to_string(), mean(|(shared, alone)| (shared - alone).abs())),
        ];
        numbers.extend(spearman(&pairs).map(|rho| ("rank_spearman".to_string(), rho)));
        for measure in self.settings().measures.clone() {
            numbers.extend(self.mean_of_candidates(&found, &measure)?);
        }
        let (method, seed, n) = (&self.spec.method, self.spec.seed, pairs.len());
        let words: Vec<String> =
            numbers.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        let said = format!("{method}, seed {seed}, {n} random members: {}", words.join(", "));
        let spec = RunSpec { tuned: None, ..self.spec.clone() };
        searched.results.push(SearchResult { spec, numbers, said, network: None });
        Ok(())
    }

    /// A measure of the candidates, averaged over those that have it.
    fn mean_of_candidates(
        &mut self,
        found: &Found,
        measure: &str,
    ) -> anyhow::Result<Option<(String, f64)>> {
        let mut values = Vec::new();
        for candidate in &found.candidates {
            let run = self.searcher.candidate(self.base, &candidate.member, self.spec.seed)?;
            values.extend(self.runner.valid_if_there(&run, measure)?);
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Ok((!values.is_empty()).then(|| (measure.to_string(), mean)))
    }

    fn found(&mut self, how: How, evaluations: usize) -> anyhow::Result<Found> {
        match how {
            How::Random => self.found_at_random(evaluations, true),
            How::Evolution => {
                let numbers = self.settings().evolution;
                self.by(json!(numbers), true, |search| search.evolution(&numbers))
            }
        }
    }

    fn found_at_random(&mut self, evaluations: usize, limited: bool) -> anyhow::Result<Found> {
        self.by(json!({ "random": evaluations }), limited, |search| search.random(evaluations))
    }

    fn by(
        &mut self,
        settings: Value,
        limited: bool,
        run: impl FnOnce(&mut Search) -> Result<Found, search::SearchError>,
    ) -> anyhow::Result<Found> {
        let limit = self.settings().limit.clone().filter(|_| limited);
        let words = limit.as_ref().map(|limit| (limit.what.word(), limit.at_most));
        let about = self.about(words, settings);
        let Self { runner, base, spec, metric, better, predicted, .. } = self;
        let (runner, base, better) = (*runner, *base, *better);
        let history = history(runner, &about)?;
        let space = self.searcher.search(base).space().clone();
        // Both closures need the searcher to make runs.
        let searcher = std::cell::RefCell::new(&mut *self.searcher);
        let run_of = |member: &Member| {
            searcher.borrow_mut().candidate(base, member, spec.seed).map_err(boxed)
        };
        let mut evaluate = |members: &[Member]| -> Result<Vec<Option<f64>>, BoxError> {
            let runs = members.iter().map(run_of).collect::<Result<Vec<_>, _>>()?;
            runner.train(&runs.iter().collect::<Vec<_>>()).map_err(boxed)?;
            let value = |run: &RunSpec| {
                let value = runner.valid(run, metric).map_err(boxed)?;
                Ok(value.map(|value| -better.oriented(value)))
            };
            runs.iter().map(value).collect()
        };
        let mut cost = |member: &Member| {
            let run = run_of(member)?;
            let cost = match predicted {
                Some(predicted) => predicted.milliseconds(&run),
                None => runner.cost(&run, limit.as_ref().map_or(Costs::Params, |limit| limit.what)),
            };
            cost.map_err(boxed)
        };
        let limit = limit.as_ref().map(|limit| Limit {
            what: limit.what.word().into(),
            at_most: limit.at_most,
            cost: &mut cost,
        });
        let (seed, at_once) = (spec.seed, usize::MAX);
        let (evaluate, stop) = (&mut evaluate, &|| stopped(runner));
        let mut search = Search { space: &space, seed, limit, evaluate, at_once, history, stop };
        run(&mut search).with_context(|| format!("search: {}", spec.method))
    }

    /// The description of the search that a history file belongs to.
    fn about(&self, limit: Option<(&str, f64)>, settings: Value) -> Value {
        let search = self.settings();
        let of = json!({ "run": self.spec.id, "on": search.of_candidates() });
        Search::about(search.space(), self.spec.seed, limit, settings, of)
    }

    /// Measures members of the space, and trains a predictor of the latency of others.
    fn learn_latency(&mut self, limit: &MostCost) -> anyhow::Result<PredictedLatency> {
        let (runner, base, seed) = (self.runner, self.base, self.spec.seed);
        let about = self.about(None, json!({ "measured": limit.samples() }));
        let history = history(runner, &about)?;
        let space = self.searcher.search(base).space().clone();
        let searcher = &mut *self.searcher;
        let mut planned = HashMap::new();
        let mut time = |member: &Member| -> anyhow::Result<Option<f64>> {
            let run = searcher.candidate(base, member, seed)?;
            let time = runner.cost(&run, Costs::Latency)?;
            planned.insert(member.to_string(), run);
            Ok(Some(time))
        };
        let mut evaluate = |members: &[Member]| {
            members.iter().map(&mut time).collect::<Result<_, _>>().map_err(boxed)
        };
        let (evaluate, stop) = (&mut evaluate, &|| stopped(runner));
        // One at a time, so that each is in the history as soon as it is measured.
        let at_once = 1;
        let mut search =
            Search { space: &space, seed, limit: None, evaluate, at_once, history, stop };
        let measured = search.random(limit.samples())?.candidates;
        let mut pairs = Vec::new();
        for candidate in measured {
            // Members that an earlier process has measured are only in the history.
            let run = match planned.remove(&candidate.member.to_string()) {
                Some(run) => run,
                None => self.searcher.candidate(base, &candidate.member, seed)?,
            };
            pairs.extend(candidate.value.map(|time| (run, time)));
        }
        PredictedLatency::learn(&limit.predictor(), &pairs, seed, runner.device)
    }
}

/// The setting that was found, with the number of settings tried. `own` is the learning rate of members that
/// do not set one, and `chosen` is the setting that tuning chose for all members.
fn tuned(found: &Found, own: f64, chosen: Option<&Tuned>) -> Tuned {
    if let Some(chosen) = chosen {
        let text = format!("{}, {}", found.best().member, chosen.text);
        return Tuned { text, settings: found.candidates.len(), ..chosen.clone() };
    }
    let rate = |member: &Member| member.get("train.lr").and_then(Value::as_f64).unwrap_or(own);
    let best = found.best();
    let mut rates: Vec<f64> =
        found.candidates.iter().map(|candidate| rate(&candidate.member)).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let lr = rate(&best.member);
    Tuned {
        text: best.member.to_string(),
        settings: found.candidates.len(),
        rates: rates.len(),
        rate_at_edge: rates.first() == Some(&lr) || rates.last() == Some(&lr),
    }
}

fn boxed(err: anyhow::Error) -> BoxError {
    err.into()
}

/// The history file of a search, named after the description of the search.
fn history(runner: &Runner, about: &Value) -> anyhow::Result<History> {
    let folder = runner.store.root().join("searches");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let digest = hex(&Sha256::digest(about.to_string()));
    let path = folder.join(format!("{}.jsonl", &digest[..16]));
    Ok(History::open_unless(&path, about, &|| stopped(runner))?)
}

/// Whether a signal has asked the program to stop.
fn stopped(runner: &Runner) -> bool {
    runner.stop.load(Ordering::Relaxed)
}

impl Runner<'_> {
    /// The cost of a run, computed before it is trained.
    fn cost(&self, spec: &RunSpec, what: Costs) -> anyhow::Result<f64> {
        /// The number of examples over which FLOPs are averaged: a router may choose more experts for one
        /// example than for another.
        const PROBE: usize = 16;
        let Self { plugins, store, device, .. } = self;
        let builder = ModelBuilder { plugins, store, device };
        let model = builder.build(spec, &spec.config.moe, false)?;
        // The task without groups and folds is enough, as for a budget: the groups of a run are only made
        // when it begins.
        let probe = || evaluate_some(&model, &*spec.data, Split::Train, PROBE, device);
        Ok(match what {
            Costs::FlopsPerToken => probe().flops_per_token,
            Costs::ActiveParams => probe().active_params,
            Costs::Params => model.num_params() as f64,
            // The latency is predicted by the caller; the samples for the predictor are measured.
            Costs::Latency | Costs::PredictedLatency => answer_time(&model, &*spec.data, device),
        })
    }
}

/// Milliseconds for the answer to one training example: its translation, token by token, as for `latency_ms`,
/// or one forward pass for a network that does not translate.
fn answer_time(model: &AnyBackbone, task: &dyn Task, device: &Device) -> f64 {
    if let (Some(network), Some(translation)) =
        (model.sequence_to_sequence(), task.as_translation())
    {
        let source = translation.source(Split::Train, 0);
        return latency(network, &source, Timing::SEARCH.timed, device);
    }
    let input = task.batch(Split::Train, &[0], device).input;
    Timing::SEARCH.milliseconds(|| {
        let answer = model.forward(&mut Pass::eval(), input.clone());
        drop(answer.into_data());
    })
}

#[cfg(test)]
mod tests;
