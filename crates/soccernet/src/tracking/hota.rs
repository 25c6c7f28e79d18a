//! Higher order tracking accuracy. One assignment a picture, by similarity times the overlap of the
//! whole tracks; then 19 thresholds of similarity.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{assignment::highest, sequence::Tracks};

const ALPHAS: usize = 19;

/// The measures, each the mean over the thresholds, and what they are made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Hota {
    /// The root of detection times association, threshold by threshold.
    #[serde(rename = "HOTA")]
    pub hota: f64,
    /// Accuracy of detections.
    #[serde(rename = "DetA")]
    pub det_a: f64,
    /// Accuracy of associations.
    #[serde(rename = "AssA")]
    pub ass_a: f64,
    /// Recall of detections.
    #[serde(rename = "DetRe")]
    pub det_re: f64,
    /// Precision of detections.
    #[serde(rename = "DetPr")]
    pub det_pr: f64,
    /// Recall of associations.
    #[serde(rename = "AssRe")]
    pub ass_re: f64,
    /// Precision of associations.
    #[serde(rename = "AssPr")]
    pub ass_pr: f64,
    /// Mean similarity of the pairs; 1 where there is none.
    #[serde(rename = "LocA")]
    pub loc_a: f64,
    /// HOTA at each threshold from 0.05 to 0.95.
    #[serde(rename = "HOTA_per_alpha")]
    pub per_alpha: [f64; ALPHAS],
    #[serde(skip)]
    sums: [Sums; ALPHAS],
}

/// What is added up over sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    hits: f64,
    missed: f64,
    wrong: f64,
    association: [f64; 3],
    similarity: f64,
}

/// Thresholds of similarity.
fn alpha(index: usize) -> f64 {
    0.05 + index as f64 * 0.05
}

impl Hota {
    /// Of a sequence.
    pub fn new(tracks: &Tracks) -> Self {
        let columns = tracks.tracks[1];
        let mut hota = Self::default();
        let mut pairs: BTreeMap<usize, [f64; ALPHAS]> = BTreeMap::new();
        let alignment = if tracks.is_one_sided() { vec![] } else { alignment(tracks) };
        for frame in &tracks.frames {
            let (truth, seen) = (frame.truth.len(), frame.seen.len());
            let at = |r: usize, c: usize| frame.truth[r] * columns + frame.seen[c];
            let score = |i: usize| alignment[at(i / seen, i % seen)] * frame.similarity[i];
            let matrix = (0..truth * seen).map(score).collect();
            let found = highest(truth, seen, &matrix);
            for (r, c) in found {
                let similarity = frame.similarity[r * seen + c];
                let counts = pairs.entry(at(r, c)).or_default();
                for (index, sums) in hota.sums.iter_mut().enumerate() {
                    if similarity >= alpha(index) - f64::EPSILON {
                        sums.hits += 1.0;
                        sums.similarity += similarity;
                        counts[index] += 1.0;
                    }
                }
            }
        }
        for sums in &mut hota.sums {
            sums.missed = tracks.boxes[0] as f64 - sums.hits;
            sums.wrong = tracks.boxes[1] as f64 - sums.hits;
        }
        let counts = counts(tracks);
        for (index, sums) in hota.sums.iter_mut().enumerate() {
            let pairs = pairs.iter().map(|(pair, counts)| (*pair, counts[index]));
            sums.association = association(pairs, &counts, columns);
        }
        hota.finish()
    }

    /// Adds the counts of a sequence; `finish` takes the measures.
    pub(crate) fn add(mut self, other: &Self) -> Self {
        for (a, b) in self.sums.iter_mut().zip(&other.sums) {
            a.hits += b.hits;
            a.missed += b.missed;
            a.wrong += b.wrong;
            a.association = [0, 1, 2].map(|i| a.association[i] + b.association[i]);
            a.similarity += b.similarity;
        }
        self
    }

    pub(crate) fn finish(mut self) -> Self {
        let sums = self.sums;
        let ratio = |a: f64, b: f64| a / b.max(1.0);
        let det_a = |s: &Sums| ratio(s.hits, s.hits + s.missed + s.wrong);
        let ass = |i: usize| move |s: &Sums| ratio(s.association[i], s.hits);
        let mean = |of: &dyn Fn(&Sums) -> f64| sums.iter().map(of).sum::<f64>() / ALPHAS as f64;
        self.per_alpha = sums.map(|s| (det_a(&s) * ass(0)(&s)).sqrt());
        self.hota = self.per_alpha.iter().sum::<f64>() / ALPHAS as f64;
        self.det_a = mean(&det_a);
        self.det_re = mean(&|s| ratio(s.hits, s.hits + s.missed));
        self.det_pr = mean(&|s| ratio(s.hits, s.hits + s.wrong));
        [self.ass_a, self.ass_re, self.ass_pr] = [mean(&ass(0)), mean(&ass(1)), mean(&ass(2))];
        self.loc_a = mean(&|s| s.similarity.max(1e-10) / s.hits.max(1e-10));
        self
    }
}

/// Numbers of pictures with each track, in truth and prediction.
fn counts(tracks: &Tracks) -> [Vec<f64>; 2] {
    let mut counts = tracks.tracks.map(|count| vec![0.0; count]);
    for frame in &tracks.frames {
        frame.truth.iter().for_each(|track| counts[0][*track] += 1.0);
        frame.seen.iter().for_each(|track| counts[1][*track] += 1.0);
    }
    counts
}

/// How much two whole tracks overlap.
fn alignment(tracks: &Tracks) -> Vec<f64> {
    let columns = tracks.tracks[1];
    let mut overlaps = vec![0.0; tracks.tracks[0] * columns];
    for frame in &tracks.frames {
        let seen = frame.seen.len();
        let similarity = |r: usize, c: usize| frame.similarity[r * seen + c];
        let of_rows: Vec<f64> =
            (0..frame.truth.len()).map(|r| (0..seen).map(|c| similarity(r, c)).sum()).collect();
        for c in 0..seen {
            let of_column: f64 = (0..frame.truth.len()).map(|r| similarity(r, c)).sum();
            for (r, of_row) in of_rows.iter().enumerate() {
                let union = of_column + of_row - similarity(r, c);
                if union > f64::EPSILON {
                    overlaps[frame.truth[r] * columns + frame.seen[c]] += similarity(r, c) / union;
                }
            }
        }
    }
    let [truth, seen] = counts(tracks);
    let share =
        |(i, overlap): (usize, &f64)| overlap / (truth[i / columns] + seen[i % columns] - overlap);
    overlaps.iter().enumerate().map(share).collect()
}

/// Sums over pairs of tracks of accuracy, recall and precision, each times the number of pairs.
fn association(
    pairs: impl Iterator<Item = (usize, f64)>,
    [truth, seen]: &[Vec<f64>; 2],
    columns: usize,
) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for (pair, count) in pairs.filter(|(_, count)| *count > 0.0) {
        let (truth, seen) = (truth[pair / columns], seen[pair % columns]);
        for (sum, all) in sums.iter_mut().zip([truth + seen - count, truth, seen]) {
            *sum += count * count / f64::max(all, 1.0);
        }
    }
    sums
}
