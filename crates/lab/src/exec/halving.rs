//! Successive halving: selects the trials to run next, and the settings to use by their results.

use std::collections::HashSet;

use anyhow::anyhow;

use crate::{
    spec::{Candidate, Group, RunSpec, TuningPlan, once},
    store::{Ended, Store},
};

impl TuningPlan {
    /// The runs of a rung; none while some of the previous rung are missing. A group with a single remaining
    /// setting has no runs: the setting is already chosen.
    pub(crate) fn rung(&self, rung: usize, store: &Store) -> anyhow::Result<Option<Vec<&RunSpec>>> {
        let mut specs = Vec::new();
        for group in &self.groups {
            let Some(left) = group.left(rung, store)? else { return Ok(None) };
            if rung > 0 && left.len() == 1 {
                continue;
            }
            specs.extend(left.into_iter().flat_map(|at| &group.options[at].rungs[rung]));
        }
        Ok(Some(once(specs)))
    }

    /// The runs to train with the best settings, seed by seed; none while trials are missing.
    pub(crate) fn choose(&self, store: &Store) -> anyhow::Result<Option<Vec<RunSpec>>> {
        let mut chosen = Vec::new();
        for group in &self.groups {
            match group.choose(store)? {
                Some(best) => chosen.extend(group.options[best].finals.iter().cloned()),
                None => return Ok(None),
            }
        }
        chosen.sort_by_key(|spec| spec.seed);
        Ok(Some(chosen))
    }

    /// The index of the best setting of each group; none while trials are missing.
    pub(crate) fn best(&self, store: &Store) -> anyhow::Result<Option<Vec<usize>>> {
        let best = self.groups.iter().map(|group| group.choose(store));
        Ok(best.collect::<anyhow::Result<Vec<_>>>()?.into_iter().collect())
    }

    /// A line of text on the chosen setting of each method that has trials of its own.
    pub(crate) fn said(&self, store: &Store) -> anyhow::Result<Vec<String>> {
        let (mut lines, mut seen) = (Vec::new(), HashSet::new());
        for group in &self.groups {
            let (Some(best), Some(first)) = (group.choose(store)?, group.options.first()) else {
                continue;
            };
            // Without trials nothing was chosen.
            let trial = first.rungs.iter().flatten().next();
            if trial.is_none_or(|trial| !seen.insert(&trial.id)) {
                continue;
            }
            let Some(spec) = first.any().filter(|spec| spec.refused.is_none()) else {
                continue;
            };
            let (text, n) = (&group.options[best].text, group.options.len());
            let value = group.last_value(best, store)?;
            let value = value.map_or_else(|| "failed".into(), |value| format!("{value:.4}"));
            let (task, method, metric) = (&spec.config.task.kind, &spec.method, &group.metric);
            lines.push(format!(
                "{task}, {method}: best of {n} settings: {text}, {metric} {value} (valid)"
            ));
        }
        Ok(lines)
    }
}

impl Group {
    /// The index of the best setting, the first among equals; none while trials are missing. A setting with a
    /// failed trial is chosen only if there is no other.
    fn choose(&self, store: &Store) -> anyhow::Result<Option<usize>> {
        let last = self.halving.rungs as usize - 1;
        let Some(left) = self.left(last, store)? else { return Ok(None) };
        Ok(self.best_first(last, left, store)?.and_then(|order| order.first().copied()))
    }

    /// Whether the suite states the setting, so that nothing is tried.
    fn is_stated(&self) -> bool {
        self.options.iter().all(|option| option.rungs.iter().all(Vec::is_empty))
    }

    /// The value of a setting on the highest rung on which it was tried; none if it failed there.
    fn last_value(&self, option: usize, store: &Store) -> anyhow::Result<Option<f64>> {
        for rung in (0..self.halving.rungs as usize).rev() {
            if let Some(value) = self.options[option].value(rung, self, store)? {
                return Ok(value);
            }
        }
        Ok(None)
    }

    /// The indices of the settings that reach a rung; none while trials before it are missing.
    fn left(&self, rung: usize, store: &Store) -> anyhow::Result<Option<Vec<usize>>> {
        let mut left: Vec<usize> = (0..self.options.len()).collect();
        for below in 0..rung {
            let keep = self.halving.left(left.len());
            let Some(mut order) = self.best_first(below, left, store)? else { return Ok(None) };
            order.truncate(keep);
            order.sort_unstable();
            left = order;
        }
        Ok(Some(left))
    }

    /// These settings, ordered by their values on a rung, best first; equals keep their order. None while
    /// trials are missing.
    fn best_first(
        &self,
        rung: usize,
        places: Vec<usize>,
        store: &Store,
    ) -> anyhow::Result<Option<Vec<usize>>> {
        if places.len() == 1 && (rung > 0 || self.is_stated()) {
            return Ok(Some(places));
        }
        let mut valued = Vec::new();
        for at in places {
            let Some(value) = self.options[at].value(rung, self, store)? else { return Ok(None) };
            valued.push((at, value.map_or(f64::NEG_INFINITY, |value| self.better.oriented(value))));
        }
        valued.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        Ok(Some(valued.into_iter().map(|(at, _)| at).collect()))
    }
}

impl Candidate {
    /// The mean over the trials of a rung. The outer option is none while one is missing, and the inner one
    /// if one failed or is refused.
    fn value(
        &self,
        rung: usize,
        group: &Group,
        store: &Store,
    ) -> anyhow::Result<Option<Option<f64>>> {
        let mut values = Vec::new();
        for spec in &self.rungs[rung] {
            match store.ended(&spec.id)? {
                _ if spec.refused.is_some() => values.push(None),
                Some(Ended::Done(numbers)) => {
                    let of = |(split, metric, _): &&(String, String, f64)| {
                        split == "valid" && *metric == group.metric
                    };
                    let value = numbers.metrics.iter().find(of).map(|(.., value)| *value);
                    let known = || anyhow!("tune: no metric is named {:?}", group.metric);
                    values.push(Some(value.ok_or_else(known)?).filter(|value| value.is_finite()));
                }
                Some(Ended::Failed { .. }) => values.push(None),
                None => return Ok(None),
            }
        }
        let all: Option<Vec<f64>> = values.into_iter().collect();
        Ok(Some(all.map(|all| all.iter().sum::<f64>() / all.len() as f64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        planning::search_space_tests::{GRID, loaded},
        store::Numbers,
        testing::plan,
    };
    use report::Row;

    const AFTER: &str = "[tune]\ntrials=3\nmetric='loss'\nseeds=[7]\n[tune.keys]\n\
                         train.lr=[1e-3,2e-3,4e-3]\n[[task]]\ntask='digits'\nbackbone='vit'\n\
                         [[method]]\nname='whole'\nmoe.router='v-moe'\n\
                         [[method]]\nname='half'\nafter='whole'\nmoe.capacity.eval_factor=0.5\n\
                         [[method]]\nname='twice'\nafter='half'\nmoe.capacity.eval_factor=2.0\n";

    /// Writes the end of a trial: a loss, or a failure if there is none.
    fn end(store: &Store, spec: &RunSpec, loss: Option<f64>) {
        drop(store.lock(&spec.id).unwrap());
        let ended = loss.map_or(Ended::Failed { step: 3, cause: String::new() }, |loss| {
            let metrics = ["accuracy", "loss"].map(|name| ("valid".into(), name.into(), loss));
            Ended::Done(Numbers { metrics: metrics.into(), ..Numbers::default() })
        });
        store.end(&spec.id, &ended).unwrap();
    }

    #[test]
    fn who_does_badly_is_given_up_early() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let halving = GRID.replace("seeds", "halving = { rungs = 3 }\nseeds");
        let tuning = loaded(&halving).unwrap().tuning.unwrap();
        let mut steps = Vec::new();
        for rung in 0..2 {
            assert!(tuning.choose(&store).unwrap().is_none(), "trials are missing");
            let specs = tuning.rung(rung, &store).unwrap().unwrap();
            steps.push((specs.len(), specs[0].config.train.steps));
            for (at, spec) in specs.into_iter().enumerate() {
                // The last setting is the best on every rung, and the first one fails on the first rung.
                let loss = 1.0 / (1.0 + at as f64);
                end(&store, spec, (rung > 0 || at > 0).then_some(loss));
            }
            if rung == 0 {
                assert!(tuning.rung(2, &store).unwrap().is_none(), "rung 1 is missing");
            }
        }
        assert_eq!(tuning.rung(2, &store).unwrap().unwrap().len(), 0, "one is left");
        let all = tuning.groups[0].options[0].finals[0].config.train.steps;
        assert_eq!(steps, [(8, all / 4), (4, all / 2)]);
        let chosen = tuning.choose(&store).unwrap().unwrap();
        let text = |spec: &RunSpec| spec.tuned.clone().unwrap().text;
        assert_eq!(text(&chosen[0]), "train.lr=0.003, moe.router.k=2");
        assert!(chosen.iter().all(|spec| !spec.trial && spec.config.train.steps == all));
        let rows = tuning.rows(|_| Row::default(), &store).unwrap();
        let tried = |row: &&Row| row.method.ends_with(&format!("{} steps]", all / 4));
        assert_eq!(rows.iter().filter(tried).count(), 2 * 7 + 1);
    }

    #[test]
    fn the_best_on_the_validation_split_is_trained() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let tuning = loaded(GRID).unwrap().tuning.unwrap();
        let trials = tuning.trials();
        assert_eq!(trials.len(), 8);
        assert!(trials.iter().all(|spec| spec.trial && spec.seed == 7));
        // Losses by setting; the third setting of the first method fails.
        let losses = [[0.5, 0.3, 0.1, 0.4], [0.2, 0.9, 0.2, 0.8]].concat();
        for (at, (spec, loss)) in trials.iter().zip(losses).enumerate() {
            assert!(tuning.choose(&store).unwrap().is_none(), "trials are missing");
            end(&store, spec, (at != 2).then_some(loss));
        }
        let chosen = tuning.choose(&store).unwrap().unwrap();
        let tuned: Vec<_> = chosen
            .iter()
            .map(|spec| (spec.seed, spec.tuned.as_ref().unwrap().text.as_str()))
            .collect();
        let (first, second) =
            ("train.lr=0.001, moe.router.k=2", "train.lr=0.001, moe.router.balance=0.01");
        let expected = [(0, first), (0, second), (1, first), (1, second)];
        assert_eq!(tuned, expected);
        let settings = chosen.iter().map(|spec| spec.tuned.clone().unwrap());
        let counted = settings.map(|tuned| (tuned.settings, tuned.rates, tuned.rate_at_edge));
        assert_eq!(counted.collect::<Vec<_>>(), [(4, 2, true); 4]);
        assert_eq!(chosen[0].config.moe.router.options["k"], 2);
        assert!(chosen.iter().all(|spec| !spec.trial));
        let said = tuning.said(&store).unwrap();
        assert_eq!(
            said[0],
            "digits, top-k: best of 4 settings: train.lr=0.001, moe.router.k=2, loss 0.3000 (valid)"
        );
        let row = |spec: &RunSpec| Row { seed: spec.seed, ..Row::default() };
        let rows = tuning.rows(row, &store).unwrap();
        assert_eq!(rows.len(), 2 * 7 + 1);
        assert_eq!(rows.iter().filter(|row| row.split == "test").count(), 0);
    }

    /// A method with `after` evaluates the network with the setting that the trials of the other method
    /// chose, and has no trials itself.
    #[test]
    fn what_starts_after_a_method_shares_its_choice() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let tuning = plan(AFTER).unwrap().tuning.unwrap();
        let trials = tuning.trials();
        assert_eq!(trials.len(), 3, "one for each rate");
        assert_eq!(tuning.rung(0, &store).unwrap().unwrap().len(), 3);
        for (spec, loss) in trials.iter().zip([0.3, 0.1, 0.2]) {
            end(&store, spec, Some(loss));
        }
        let chosen = tuning.choose(&store).unwrap().unwrap();
        let rates: Vec<f64> = chosen.iter().map(|spec| spec.trained().config.train.lr).collect();
        assert_eq!(rates, [2e-3; 3]);
        let start = |spec: &RunSpec| spec.from.as_ref().map(|from| from.id.clone());
        let [whole, half, tuned] = [&chosen[0], &chosen[1], &chosen[2]];
        assert_eq!([start(half), start(tuned)], [Some(whole.id.clone()), Some(half.id.clone())]);
        let counted = |spec: &RunSpec| {
            let tuned = spec.tuned.clone().unwrap();
            (tuned.settings, tuned.rates, tuned.rate_at_edge)
        };
        assert_eq!([counted(whole), counted(half)], [(3, 3, false); 2]);
        assert_eq!(tuning.said(&store).unwrap().len(), 1);
        let row = |spec: &RunSpec| Row { seed: spec.seed, ..Row::default() };
        assert_eq!(tuning.rows(row, &store).unwrap().len(), 3 * 2);
    }

    /// The teacher has the rate that the suite states, both in its own row and as the teacher of others.
    #[test]
    fn what_the_suite_states_has_no_trials() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let teacher = "[[method]]\nname='teacher'\ntune=false\ntrain.lr=5e-3\n\
                       [[method]]\nname='looked at'\nafter='teacher'\n\
                       moe.capacity.eval_factor=0.5\n[[method]]\nname='whole'\nteacher='teacher'\n";
        let text = AFTER.replace("[[method]]\nname='whole'\n", teacher);
        for halving in ["", "halving={rungs=2,factor=3}\n"] {
            let text = text.replace("trials=3\n", &format!("trials=3\n{halving}"));
            let tuning = plan(&text).unwrap().tuning.unwrap();
            let trials = tuning.trials();
            assert_eq!(trials.len(), 3, "those of one method");
            assert!(trials.iter().all(|spec| spec.method == "whole"));
            let rate = |spec: &RunSpec| spec.trained().config.train.lr;
            for (spec, loss) in trials.iter().zip([0.3, 0.1, 0.2]) {
                assert_eq!(rate(spec.teacher.as_ref().unwrap()), 5e-3);
                end(&store, spec, Some(loss));
            }
            let chosen = tuning.choose(&store).unwrap().unwrap();
            assert_eq!(chosen.iter().map(rate).collect::<Vec<_>>(), [5e-3, 5e-3, 2e-3, 2e-3, 2e-3]);
            assert_eq!(chosen[2].teacher.as_ref().unwrap().id, chosen[0].id);
            let counted = chosen.iter().map(|spec| spec.tuned.as_ref().unwrap().rates);
            assert_eq!(counted.collect::<Vec<_>>(), [0, 0, 3, 3, 3]);
            let stated = |spec: &RunSpec| spec.chosen().is_none();
            assert_eq!(chosen.iter().filter(|spec| stated(spec)).count(), 2);
            let said = tuning.said(&store).unwrap();
            assert!(
                said.len() == 1 && said[0].contains("whole: best of 3 settings: train.lr=0.002"),
                "{said:?}"
            );
        }
        let err = plan(&text.replace("tune=false", "tune=true")).err().unwrap().to_string();
        assert!(
            err.contains("tune = true: expected a table of settings to try, or false"),
            "{err}"
        );
    }

    #[test]
    fn what_trains_on_at_a_rate_of_its_own_has_tried_one() {
        let tuning = plan(&AFTER.replace("after='half'", "after='half'\ntrain={steps=5,lr=1e-2}"));
        let groups = tuning.unwrap().tuning.unwrap().groups;
        let tuned = groups[2].options[1].finals[0].tuned.clone().unwrap();
        assert_eq!((tuned.rates, tuned.rate_at_edge), (1, true));
    }

    #[test]
    fn what_starts_after_a_method_is_not_tuned_itself() {
        let text = AFTER.replace("after='whole'", "after='whole'\ntune.moe.router.k=[1,2]");
        let err = plan(&text).err().unwrap().to_string();
        let expected = "tune: a method with `after` uses the setting that is chosen for \"whole\"";
        assert!(err.contains(expected), "{err}");
    }
}
