//! Measures of identity: each track of the truth has at most one of the prediction, for the whole
//! sequence.
//!
//! Ristani et al. *Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking*.
//! <https://arxiv.org/abs/1609.01775>

use serde::Serialize;

use super::{assignment::lowest, sequence::Tracks};

/// Intersection over union from which a pair counts.
const THRESHOLD: f64 = 0.5;
/// The cost of what must not be.
const NEVER: f64 = 1e10;

/// The measures and the counts that they are made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Identity {
    /// F1.
    #[serde(rename = "IDF1")]
    pub f1: f64,
    /// Recall.
    #[serde(rename = "IDR")]
    pub recall: f64,
    /// Precision.
    #[serde(rename = "IDP")]
    pub precision: f64,
    /// Boxes with the right identity.
    #[serde(rename = "IDTP")]
    pub hits: u64,
    /// Boxes of the truth without it.
    #[serde(rename = "IDFN")]
    pub missed: u64,
    /// Boxes of the prediction without it.
    #[serde(rename = "IDFP")]
    pub wrong: u64,
}

impl Identity {
    /// Of a sequence.
    pub fn new(tracks: &Tracks) -> Self {
        let [truth, seen] = tracks.boxes.map(|count| count as u64);
        let hits = if tracks.is_one_sided() { 0 } else { hits(tracks) };
        Self { hits, missed: truth - hits, wrong: seen - hits, ..Self::default() }.finish()
    }

    /// Adds the counts of a sequence; `finish` takes the measures.
    pub(crate) fn add(mut self, other: &Self) -> Self {
        self.hits += other.hits;
        self.missed += other.missed;
        self.wrong += other.wrong;
        self
    }

    pub(crate) fn finish(mut self) -> Self {
        let [hits, missed, wrong] = [self.hits, self.missed, self.wrong].map(|count| count as f64);
        self.recall = hits / (hits + missed).max(1.0);
        self.precision = hits / (hits + wrong).max(1.0);
        self.f1 = hits / (hits + 0.5 * missed + 0.5 * wrong).max(1.0);
        self
    }
}

/// Boxes that pair up when tracks are assigned to tracks, or to none, with the fewest errors.
fn hits(tracks: &Tracks) -> u64 {
    let [rows, columns] = tracks.tracks;
    let mut pairs = vec![0.0; rows * columns];
    let (mut truth, mut seen) = (vec![0.0; rows], vec![0.0; columns]);
    for frame in &tracks.frames {
        frame.truth.iter().for_each(|track| truth[*track] += 1.0);
        frame.seen.iter().for_each(|track| seen[*track] += 1.0);
        let near = frame.similarity.iter().enumerate().filter(|(_, s)| **s >= THRESHOLD);
        for (i, _) in near {
            let (r, c) = (i / frame.seen.len(), i % frame.seen.len());
            pairs[frame.truth[r] * columns + frame.seen[c]] += 1.0;
        }
    }
    let size = rows + columns;
    let errors = |r: usize, c: usize| match (r < rows, c < columns) {
        (true, true) => truth[r] + seen[c] - 2.0 * pairs[r * columns + c],
        (true, false) if c - columns == r => truth[r],
        (false, true) if r - rows == c => seen[c],
        (false, false) => 0.0,
        _ => NEVER,
    };
    let costs = (0..size * size).map(|i| errors(i / size, i % size)).collect();
    let is_pair = |(r, c): &(usize, usize)| *r < rows && *c < columns;
    let found = lowest(size, size, &costs).into_iter().filter(is_pair);
    found.map(|(r, c)| pairs[r * columns + c]).sum::<f64>() as u64
}
