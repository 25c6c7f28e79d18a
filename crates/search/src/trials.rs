//! Shared parts of both searches: members within the limit, and their values.

use std::collections::HashSet;

use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::{BoxError, Candidate, Found, History, Member, SearchError, Space};

/// The maximum number of draws for a member that is new and keeps the limit.
pub(crate) const TRIES: usize = 1000;

/// A limit on the cost of members.
pub struct Limit<'a> {
    /// The limited quantity: `flops_per_token`, `latency`.
    pub what: String,
    /// The maximum of this quantity.
    pub at_most: f64,
    /// The cost of a member.
    pub cost: &'a mut dyn FnMut(&Member) -> Result<f64, BoxError>,
}

/// A search over a space.
pub struct Search<'a> {
    /// The space.
    pub space: &'a Space,
    /// The seed of all random draws.
    pub seed: u64,
    /// The limit on the cost of members, if there is one.
    pub limit: Option<Limit<'a>>,
    /// The values of members, lower is better; none for one whose value cannot be determined.
    #[expect(clippy::type_complexity, reason = "documented above")]
    pub evaluate: &'a mut dyn FnMut(&[Member]) -> Result<Vec<Option<f64>>, BoxError>,
    /// The largest number of members that are evaluated in one call; it changes no result.
    pub at_once: usize,
    /// The costs and values that are known already, to which new ones are added.
    pub history: History,
    /// Whether the search is to stop without an answer; called before each draw.
    pub stop: &'a dyn Fn() -> bool,
}

impl Search<'_> {
    /// The first line of the history of a search. `settings` are those of its evolution, or the number of its
    /// draws; `of` is everything else that its values depend on.
    pub fn about(
        space: &Space,
        seed: u64,
        limit: Option<(&str, f64)>,
        settings: Value,
        of: Value,
    ) -> Value {
        let limit = limit.map(|(what, at_most)| json!({ "what": what, "at_most": at_most }));
        json!({ "space": space.to_value(), "seed": seed, "limit": limit, "settings": settings, "of": of })
    }

    /// The cost of a member, from the history or measured; none if there is no limit.
    fn cost(&mut self, member: &Member) -> Result<Option<f64>, SearchError> {
        let Some(limit) = &mut self.limit else { return Ok(None) };
        if let Some(known) = self.history.cost(member) {
            return Ok(Some(known));
        }
        let cost = (limit.cost)(member).map_err(SearchError::Evaluation)?;
        self.history.note_cost(member, cost)?;
        Ok(Some(cost))
    }

    /// A member from `draw` that is not in `seen`, to which it is added, and that keeps the limit; none if
    /// the maximum number of tries gives none.
    ///
    /// # Errors
    /// If there is no member yet and no member that was drawn keeps the limit, or if the search is to stop.
    pub(crate) fn propose(
        &mut self,
        seen: &mut Seen,
        rng: &mut ChaCha8Rng,
        mut draw: impl FnMut(&Space, &mut ChaCha8Rng) -> Member,
    ) -> Result<Option<Candidate>, SearchError> {
        let mut least: Option<(f64, Member)> = None;
        for _ in 0..TRIES {
            if (self.stop)() {
                return Err(SearchError::Interrupted);
            }
            let member = draw(self.space, rng);
            if seen.has(&member) {
                continue;
            }
            let cost = self.cost(&member)?;
            let most = self.limit.as_ref().map_or(f64::INFINITY, |limit| limit.at_most);
            match cost {
                // A cost that is NaN does not keep the limit.
                Some(cost) if cost > most || cost.is_nan() => {
                    if least.as_ref().is_none_or(|(known, _)| cost < *known) {
                        least = Some((cost, member));
                    }
                }
                _ => {
                    seen.add(&member);
                    return Ok(Some(Candidate { member, value: None, cost }));
                }
            }
        }
        match (least, &self.limit) {
            (Some((least, member)), Some(limit)) if seen.is_empty() => Err(SearchError::NoMember {
                what: limit.what.clone(),
                at_most: limit.at_most,
                drawn: TRIES,
                least,
                member,
            }),
            _ => Ok(None),
        }
    }

    /// Determines the values of new candidates and adds these to `found`; returns their indices.
    pub(crate) fn evaluate_all(
        &mut self,
        new: Vec<Candidate>,
        found: &mut Found,
    ) -> Result<Vec<usize>, SearchError> {
        let first = found.candidates.len();
        let missing: Vec<Member> = new.iter().map(|candidate| candidate.member.clone()).collect();
        let missing = missing.into_iter().filter(|member| self.history.value(member).is_none());
        let missing: Vec<Member> = missing.collect();
        for members in missing.chunks(self.at_once.max(1)) {
            let values = (self.evaluate)(members).map_err(SearchError::Evaluation)?;
            assert_eq!(values.len(), members.len(), "one value for each member");
            for (member, value) in members.iter().zip(values) {
                self.history.note_value(member, value.filter(|value| value.is_finite()))?;
            }
            self.history.sync()?;
        }
        for candidate in new {
            let value = self.history.value(&candidate.member).flatten();
            found.candidates.push(Candidate { value, ..candidate });
        }
        Ok((first..found.candidates.len()).collect())
    }
}

/// The members that were already proposed.
#[derive(Default)]
pub(crate) struct Seen(HashSet<String>);

impl Seen {
    fn has(&self, member: &Member) -> bool {
        self.0.contains(&member.key())
    }

    fn add(&mut self, member: &Member) {
        self.0.insert(member.key());
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
