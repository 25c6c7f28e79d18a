//! Measures of identity: each track of the truth is assigned at most one track of the prediction, for the
//! whole sequence.
//!
//! Ristani et al. *Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking*.
//! <https://arxiv.org/abs/1609.01775>

use std::collections::HashMap;

use serde::Serialize;

use super::{assignment::highest, sequence::Tracks};

/// The minimum intersection over union of a pair.
const THRESHOLD: f64 = 0.5;

/// The measures and their counts.
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
    /// Boxes of the truth without the right identity.
    #[serde(rename = "IDFN")]
    pub missed: u64,
    /// Boxes of the prediction without the right identity.
    #[serde(rename = "IDFP")]
    pub wrong: u64,
}

impl Identity {
    /// The measures of a sequence.
    pub fn new(tracks: &Tracks) -> Self {
        let [truth, seen] = tracks.boxes.map(|count| count as u64);
        let hits = if tracks.is_one_sided() { 0 } else { hits(tracks) };
        Self { hits, missed: truth - hits, wrong: seen - hits, ..Self::default() }.finish()
    }

    /// Adds the counts of a sequence; `finish` computes the measures.
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

/// The number of boxes that are paired when tracks are assigned to tracks, or to none, with the fewest
/// errors. A pair of tracks saves two errors with each of its boxes, so the fewest errors are the most boxes.
fn hits(tracks: &Tracks) -> u64 {
    let mut boxes = vec![0.0; tracks.pairs.len()];
    let near = tracks.frames.iter().flat_map(|frame| &frame.near);
    near.filter(|near| near.similarity >= THRESHOLD).for_each(|near| boxes[near.pair] += 1.0);
    let worth = |(pair, boxes): (&[usize; 2], &f64)| (pair[0], pair[1], *boxes);
    let worths = tracks.pairs.iter().zip(&boxes).map(worth).filter(|worth| worth.2 > 0.0);
    let worths: Vec<(usize, usize, f64)> = worths.collect();
    let of: HashMap<(usize, usize), f64> = worths.iter().map(|w| ((w.0, w.1), w.2)).collect();
    highest(&worths).iter().map(|pair| of[pair]).sum::<f64>() as u64
}
