//! Evolutionary search.
//!
//! Jawahar et al. *AutoMoE*. 2022. <https://arxiv.org/abs/2210.07535>, section 3.3, after Wang et al.
//! *HAT*. ACL 2020. <https://arxiv.org/abs/2005.14187>
//!
//! pop = [draw until the limit is kept; population times]
//! iterations times:
//!   parents = the best of pop
//!   mutants = a random parent, each gene drawn anew with chance p, repaired, until the limit is kept
//!   children = each gene of one of two random parents, repaired, until the limit is kept
//!   pop = parents + mutants + children
//! answer: the best ever
//!
//! Differs from the published code: a member is never proposed twice (as in the code of
//! Mixture-of-Supernets), so each evaluation is of another member. If a thousand tries give no new member,
//! the population is smaller.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{Candidate, Found, Member, Search, SearchError, trials::Seen};

/// The settings of an evolution; the defaults are the paper's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evolution {
    /// The number of members before the first iteration.
    pub population: usize,
    /// The number of members that are kept, and from which others are made.
    pub parents: usize,
    /// The number of new members in each iteration that are changed parents.
    pub mutations: usize,
    /// The number of new members in each iteration that are mixed from two parents.
    pub crossovers: usize,
    /// The probability that a gene of a changed parent is drawn anew.
    pub mutation_chance: f64,
    /// The number of iterations.
    pub iterations: usize,
}

impl Default for Evolution {
    fn default() -> Self {
        Self {
            population: 125,
            parents: 25,
            mutations: 50,
            crossovers: 50,
            mutation_chance: 0.3,
            iterations: 15,
        }
    }
}

impl Evolution {
    /// Checks that the settings are consistent.
    ///
    /// # Errors
    /// Names the setting that is invalid.
    pub fn check(&self) -> Result<(), SearchError> {
        let wrong = |message: String| Err(SearchError::Settings(message));
        let Self { population, parents, mutations, crossovers, iterations, mutation_chance } = self;
        for (name, number) in [
            ("population", population),
            ("mutations", mutations),
            ("crossovers", crossovers),
            ("iterations", iterations),
        ] {
            if *number > MOST {
                return wrong(format!("{name} = {number}: must be at most {MOST}"));
            }
        }
        if *population == 0 {
            return wrong("population = 0: must be at least 1".into());
        }
        if !(1..=*population).contains(parents) {
            return wrong(format!(
                "parents = {parents}: must be from 1 to population = {population}"
            ));
        }
        if !(0.0..=1.0).contains(mutation_chance) {
            return wrong(format!("mutation_chance = {mutation_chance}: must be from 0 to 1"));
        }
        Ok(())
    }

    /// The largest number of members that are evaluated.
    pub fn evaluations(&self) -> usize {
        self.population + self.iterations * (self.mutations + self.crossovers)
    }
}

/// The maximum number of members of a population and of its offspring, and of iterations.
const MOST: usize = 100_000;

impl Search<'_> {
    /// Evolutionary search with these settings, as described at the head of this file.
    ///
    /// # Errors
    /// If the settings are invalid, if no member keeps the limit, or if one cannot be evaluated.
    pub fn evolution(&mut self, numbers: &Evolution) -> Result<Found, SearchError> {
        numbers.check()?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut seen = Seen::default();
        let mut found = Found { candidates: Vec::new(), populations: Vec::new() };
        let mut new = Vec::new();
        for _ in 0..numbers.population {
            new.extend(self.propose(&mut seen, &mut rng, |space, rng| space.draw(rng))?);
        }
        let mut population = self.evaluate_all(new, &mut found)?;
        found.populations.push(population.clone());
        for _ in 0..numbers.iterations {
            let parents = best(&population, numbers.parents, &found);
            let new = self.offspring(numbers, &parents, &found, (&mut seen, &mut rng))?;
            let new = self.evaluate_all(new, &mut found)?;
            population = [parents, new].concat();
            found.populations.push(population.clone());
        }
        Ok(found)
    }

    fn offspring(
        &mut self,
        numbers: &Evolution,
        parents: &[usize],
        found: &Found,
        (seen, rng): (&mut Seen, &mut ChaCha8Rng),
    ) -> Result<Vec<Candidate>, SearchError> {
        let any = |rng: &mut ChaCha8Rng| -> &Member {
            &found.candidates[parents[rng.random_range(0..parents.len())]].member
        };
        let mut new = Vec::new();
        for _ in 0..numbers.mutations {
            new.extend(self.propose(seen, rng, |space, rng| {
                let parent = any(rng);
                space.mutate(parent, numbers.mutation_chance, rng)
            })?);
        }
        for _ in 0..numbers.crossovers {
            new.extend(self.propose(seen, rng, |space, rng| {
                let (one, other) = (any(rng), any(rng));
                space.cross(one, other, rng)
            })?);
        }
        Ok(new)
    }
}

/// The best members of a population, better ones first, the earlier one among equals.
fn best(population: &[usize], n: usize, found: &Found) -> Vec<usize> {
    let mut sorted = population.to_vec();
    sorted.sort_by(|a, b| found.candidates[*a].compare(&found.candidates[*b]).then(a.cmp(b)));
    sorted.truncate(n);
    sorted
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::{Value, json};

    use super::*;
    use crate::{History, Limit, Space, space::tests::space};

    const NUMBERS: Evolution = Evolution {
        population: 12,
        parents: 4,
        mutations: 5,
        crossovers: 5,
        mutation_chance: 0.3,
        iterations: 4,
    };

    fn widths() -> Space {
        space(json!({
            "experts": { "each": [1, 2, 3], "length": 3 },
            "widths": { "each": [16, 32, 48, 64], "length": "experts" },
        }))
        .unwrap()
    }

    fn total(member: &Member) -> f64 {
        let layers = member.get("widths").unwrap().as_array().unwrap();
        let numbers = layers.iter().flat_map(|layer| layer.as_array().unwrap());
        numbers.map(|width| width.as_f64().unwrap()).sum()
    }

    /// The distance from the best member, which has a total width of 200.
    fn off(member: &Member) -> f64 {
        (total(member) - 200.0).abs()
    }

    /// Runs a search that is killed after `kill` evaluations.
    fn run(
        path: Option<&Path>,
        at_most: f64,
        kill: usize,
        at_once: usize,
        how: impl FnOnce(&mut Search) -> Result<Found, SearchError>,
    ) -> Result<(Found, usize), SearchError> {
        let (space, mut done) = (widths(), 0);
        let about = Search::about(&space, 7, Some(("width", at_most)), json!(NUMBERS), Value::Null);
        let history = match path {
            Some(path) => History::open(path, &about)?,
            None => History::default(),
        };
        let mut evaluate = |members: &[Member]| -> Result<Vec<Option<f64>>, crate::BoxError> {
            done += members.len();
            if done > kill {
                return Err("killed".into());
            }
            Ok(members.iter().map(|member| Some(off(member))).collect())
        };
        let limit = Limit { what: "width".into(), at_most, cost: &mut |member| Ok(total(member)) };
        let limit = Some(limit);
        let (evaluate, stop) = (&mut evaluate, &|| false);
        let mut search = Search { space: &space, seed: 7, limit, evaluate, at_once, history, stop };
        let found = how(&mut search)?;
        Ok((found, done))
    }

    fn evolve(path: Option<&Path>, kill: usize) -> Result<(Found, usize), SearchError> {
        run(path, 300.0, kill, 1, |search| search.evolution(&NUMBERS))
    }

    #[test]
    fn populations_are_made_as_the_paper_says() {
        let (found, done) = evolve(None, usize::MAX).unwrap();
        assert_eq!(found.candidates.len(), done);
        assert_eq!(done, NUMBERS.evaluations());
        let sizes: Vec<usize> = found.populations.iter().map(Vec::len).collect();
        assert_eq!(sizes, [12, 14, 14, 14, 14]);
        for pair in found.populations.windows(2) {
            assert_eq!(pair[1][..4], best(&pair[0], 4, &found), "the best stay");
            assert!(pair[1][4..].iter().all(|new| !pair[0].contains(new)), "the others are new");
        }
        assert!(found.candidates.iter().all(|candidate| candidate.cost.unwrap() <= 300.0));
        let progress = found.progress();
        assert!(progress.windows(2).all(|pair| pair[1] <= pair[0]));
        assert_eq!(found.best().value, progress.last().copied());
    }

    #[test]
    fn the_same_seed_gives_the_same_history_however_many_are_evaluated_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        let (first, _) = evolve(Some(&paths[0]), usize::MAX).unwrap();
        let together = |search: &mut Search| search.evolution(&NUMBERS);
        let (second, _) = run(Some(&paths[1]), 300.0, usize::MAX, 5, together).unwrap();
        assert_eq!(first, second);
        assert_eq!(fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
    }

    #[test]
    fn a_killed_search_goes_on_to_the_same_history_and_populations() {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("whole");
        let (expected, all) = evolve(Some(&whole), usize::MAX).unwrap();
        let text = fs::read(&whole).unwrap();
        // The cuts are within the first line, between lines, within a line, and near the end.
        for cut in (0..text.len()).step_by(97).chain([text.len() - 1]) {
            let path = folder.path().join("cut");
            fs::write(&path, &text[..cut]).unwrap();
            let (found, done) = evolve(Some(&path), usize::MAX).unwrap();
            assert_eq!(found, expected, "cut at {cut}");
            assert!(done <= all);
            assert_eq!(fs::read(&path).unwrap(), text, "cut at {cut}");
        }
        // A search that is complete evaluates nothing.
        assert_eq!(evolve(Some(&whole), 0).unwrap(), (expected.clone(), 0));
        let path = folder.path().join("killed");
        assert!(matches!(evolve(Some(&path), 20), Err(SearchError::Evaluation(_))));
        assert_eq!(evolve(Some(&path), usize::MAX).unwrap(), (expected, all - 20));
    }

    #[test]
    fn random_search_takes_as_many_different_members() {
        let (found, done) = run(None, 300.0, usize::MAX, 3, |search| search.random(30)).unwrap();
        assert_eq!((found.candidates.len(), done), (30, 30));
        let mut keys: Vec<String> = found.candidates.iter().map(|c| c.member.key()).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 30);
    }

    #[test]
    fn a_space_that_is_used_up_ends_the_search() {
        let space = space(json!({ "a": [1, 2, 3] })).unwrap();
        let mut evaluate = |members: &[Member]| Ok(vec![None; members.len()]);
        let mut search = Search {
            space: &space,
            seed: 0,
            limit: None,
            evaluate: &mut evaluate,
            at_once: 1,
            history: History::default(),
            stop: &|| false,
        };
        let found = search.evolution(&NUMBERS).unwrap();
        assert_eq!(found.candidates.len(), 3);
        assert_eq!(found.best().value, None, "none of them has a value");
        assert_eq!(search.random(10).unwrap().candidates.len(), 3);
    }

    #[test]
    fn a_search_ends_while_members_are_drawn() {
        let (space, drawn) = (widths(), std::cell::Cell::new(0));
        let stop = || drawn.replace(drawn.get() + 1) == 50;
        let mut evaluate = |_: &[Member]| -> Result<Vec<Option<f64>>, crate::BoxError> {
            panic!("nothing is evaluated before all are drawn")
        };
        let (evaluate, history) = (&mut evaluate, History::default());
        let mut search = Search {
            space: &space,
            seed: 7,
            limit: None,
            evaluate,
            at_once: 1,
            history,
            stop: &stop,
        };
        let many = Evolution { population: MOST, ..NUMBERS };
        assert!(matches!(search.evolution(&many), Err(SearchError::Interrupted)));
        assert_eq!(drawn.get(), 51);
    }

    #[test]
    fn a_limit_that_nothing_keeps_is_named() {
        let none = run(None, 40.0, 0, 1, |search| search.evolution(&NUMBERS)).unwrap_err();
        let text = none.to_string();
        assert!(
            text.starts_with("the space has no member with width of at most 40: the least of"),
            "{text}"
        );
        assert!(text.contains("that were drawn is 64, of experts=[1,1,1]"), "{text}");
        assert!(run(None, 40.0, 0, 1, |search| search.random(3)).is_err());
    }

    #[test]
    fn a_history_of_another_search_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        evolve(Some(&path), usize::MAX).unwrap();
        let other = run(Some(&path), 250.0, 0, 1, |search| search.random(3)).unwrap_err();
        assert!(other.to_string().ends_with("is the history of another search: limit differs"));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen("{\"value\"", "{\"valu\"", 1)).unwrap();
        let damaged = evolve(Some(&path), 0).unwrap_err().to_string();
        assert!(
            damaged.contains("history:") && damaged.contains("its check is wrong"),
            "{damaged}"
        );
    }

    #[test]
    fn a_flipped_bit_in_a_history_is_an_error_or_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let (expected, _) = evolve(Some(&path), usize::MAX).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut refused = 0;
        let bits = (0..whole.len() * 8).step_by(103);
        for bit in bits.clone() {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bytes).unwrap();
            match evolve(Some(&path), usize::MAX) {
                Ok((found, _)) => assert_eq!(found, expected, "bit {bit}"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused + 2 > bits.len(), "{refused} of {}: all but the last newline", bits.len());
    }

    #[test]
    fn numbers_that_do_not_fit() {
        let err = |numbers: Evolution| numbers.check().unwrap_err().to_string();
        assert_eq!(
            err(Evolution { population: 0, ..NUMBERS }),
            "population = 0: must be at least 1"
        );
        let text = err(Evolution { iterations: usize::MAX, ..NUMBERS });
        assert!(text.starts_with("iterations = ") && text.ends_with("at most 100000"), "{text}");
        let text = err(Evolution { parents: 13, ..NUMBERS });
        assert_eq!(text, "parents = 13: must be from 1 to population = 12");
        assert!(
            err(Evolution { mutation_chance: 1.5, ..NUMBERS }).starts_with("mutation_chance = 1.5")
        );
        assert_eq!(Evolution::default().evaluations(), 125 + 15 * 100);
    }
}
