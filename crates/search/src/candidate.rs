//! The evaluated candidates of a search.

use std::cmp::Ordering;

use serde::Serialize;

use crate::Member;

/// A member whose value is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// The member.
    pub member: Member,
    /// The value, lower is better; none if it could not be determined (a training that diverged).
    pub value: Option<f64>,
    /// The cost, if there is a limit.
    pub cost: Option<f64>,
}

impl Candidate {
    /// Orders the better candidate first; one without a value is last.
    pub fn compare(&self, other: &Self) -> Ordering {
        let value = |candidate: &Self| candidate.value.unwrap_or(f64::INFINITY);
        value(self).total_cmp(&value(other))
    }
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// All candidates, in the order in which they were evaluated; at least one.
    pub candidates: Vec<Candidate>,
    /// The populations of an evolution, the first one before the first iteration: indices into `candidates`.
    pub populations: Vec<Vec<usize>>,
}

impl Found {
    /// The best candidate, the first among equals.
    pub fn best(&self) -> &Candidate {
        let best = self.candidates.iter().min_by(|a, b| a.compare(b));
        best.expect("a search has looked at one candidate at least")
    }

    /// The best value after each evaluation; infinite as long as there is no value.
    pub fn progress(&self) -> Vec<f64> {
        let mut best = f64::INFINITY;
        let mut after = |candidate: &Candidate| {
            best = best.min(candidate.value.unwrap_or(f64::INFINITY));
            best
        };
        self.candidates.iter().map(&mut after).collect()
    }
}
