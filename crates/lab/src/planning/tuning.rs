//! The trials of a suite that tunes its methods.

use report::{Better, direction};

use super::{
    search_space::SearchSpace,
    selection::{distinct, only},
};
use crate::spec::{Candidate, Group, Halving, RunSpec, Tuned, TuningPlan};

/// A setting of a method.
pub(crate) struct MethodSetting {
    text: String,
    /// The run with the setting.
    pub(super) spec: RunSpec,
    /// The run that tries the setting: the same run, or that of the method from which this one starts by
    /// `after`.
    tried: RunSpec,
}

impl MethodSetting {
    /// A setting as text, and its run, which is the last of `before` runs in a chain of `after`. A method
    /// that only evaluates a network differently uses the setting that is chosen for the network; otherwise
    /// the two would not be comparable.
    pub(super) fn new(text: String, spec: RunSpec, before: usize) -> Self {
        let tried = (0..before).try_fold(&spec, |run, _| run.from.as_deref());
        let tried = tried.unwrap_or(&spec).clone();
        Self { text, spec, tried }
    }

    /// Whether this is the setting that the suite states for a method with `tune = false`, so that nothing is
    /// tried.
    fn is_stated(&self) -> bool {
        self.text.is_empty()
    }
}

impl TuningPlan {
    /// The plan for the settings of each method and task. `with_seeds` makes runs of these seeds.
    pub(crate) fn new(
        tune: &SearchSpace,
        choices: Vec<Vec<MethodSetting>>,
        seeds: &[u64],
        with_seeds: impl Fn(&RunSpec, &[u64]) -> Vec<RunSpec>,
    ) -> Self {
        let group = |of_method: Vec<MethodSetting>| {
            let first = of_method.first().map_or("loss", |first| first.tried.data.metrics()[0]);
            let metric = tune.metric.clone().unwrap_or_else(|| first.into());
            let n = of_method.len();
            let rates = rates(&of_method);
            let candidate = |setting: MethodSetting| {
                let stated = setting.is_stated();
                let MethodSetting { text, spec, tried } = setting;
                let lr = spec.trained().config.train.lr;
                let tuned = match stated {
                    true => Tuned::stated(),
                    false => Tuned {
                        text: text.clone(),
                        settings: n,
                        rates: rates.len(),
                        rate_at_edge: rates.first() == Some(&lr) || rates.last() == Some(&lr),
                    },
                };
                let tried = RunSpec { tuned: Some(tuned.clone()), ..tried };
                let spec = RunSpec { tuned: Some(tuned), ..spec };
                let rung = |rung| match stated {
                    true => Vec::new(),
                    false => with_seeds(&on_rung(&tried, tune.halving, rung), &tune.seeds),
                };
                Candidate {
                    rungs: (0..tune.halving.rungs).map(rung).collect(),
                    finals: with_seeds(&spec, seeds),
                    text,
                }
            };
            Group {
                better: direction(&metric).unwrap_or(Better::Lower),
                halving: tune.halving,
                options: of_method.into_iter().map(candidate).collect(),
                metric,
            }
        };
        Self { groups: choices.into_iter().map(group).collect(), halving: tune.halving }
    }

    /// The plan with only the settings that lead to runs with these properties.
    pub(crate) fn only(mut self, wanted: &[String]) -> anyhow::Result<Self> {
        let options = self.groups.iter().flat_map(|group| &group.options);
        let all: Vec<RunSpec> = options.flat_map(|option| option.finals.clone()).collect();
        let left = distinct(only(all, wanted)?.into_iter().map(|spec| spec.id));
        for option in self.groups.iter_mut().flat_map(|group| &mut group.options) {
            option.finals.retain(|spec| left.contains(&spec.id));
        }
        self.groups.retain(|group| group.options.iter().any(|option| !option.finals.is_empty()));
        Ok(self)
    }
}

/// The distinct learning rates of settings, in order: those of the runs whose training made the networks.
fn rates(settings: &[MethodSetting]) -> Vec<f64> {
    let rate = |setting: &MethodSetting| setting.spec.trained().config.train.lr;
    let mut rates: Vec<f64> = settings.iter().map(rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    rates
}

/// The trial of a run on a rung.
fn on_rung(spec: &RunSpec, halving: Halving, rung: u32) -> RunSpec {
    let mut spec = RunSpec { trial: true, ..spec.clone() };
    let train = &mut spec.config.train;
    if train.steps > 0 {
        train.steps = halving.steps(train.steps, rung);
        train.warmup = train.warmup.min(halving.steps(train.warmup, rung));
    }
    spec
}
