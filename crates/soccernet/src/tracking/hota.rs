//! Higher order tracking accuracy: one assignment per frame, by similarity times the overlap of the whole
//! tracks; then 19 thresholds of similarity.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    assignment::highest,
    sequence::{Frame, Near, Tracks},
};

const ALPHAS: usize = 19;

/// The measures, each the mean over the thresholds, and their sums.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Hota {
    /// The root of detection times association accuracy, averaged over the thresholds.
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
    /// Mean similarity of the pairs; 1 if there are none.
    #[serde(rename = "LocA")]
    pub loc_a: f64,
    /// HOTA at each threshold from 0.05 to 0.95.
    #[serde(rename = "HOTA_per_alpha")]
    pub per_alpha: [f64; ALPHAS],
    #[serde(skip)]
    sums: [Sums; ALPHAS],
}

/// Sums over sequences.
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
    /// The measures of a sequence.
    pub fn new(tracks: &Tracks) -> Self {
        let mut hota = Self::default();
        let lengths = tracks.lengths();
        let alignment = alignment(tracks, &lengths);
        // Counts only for the pairs that are assigned in some frame, which are few.
        let mut counts = BTreeMap::<usize, [f64; ALPHAS]>::new();
        for frame in &tracks.frames {
            for near in pairs(frame, &alignment) {
                let passed = |alpha: &f64| near.similarity >= alpha - f64::EPSILON;
                for index in (0..ALPHAS).take_while(|index| passed(&alpha(*index))) {
                    hota.sums[index].hits += 1.0;
                    hota.sums[index].similarity += near.similarity;
                    counts.entry(near.pair).or_default()[index] += 1.0;
                }
            }
        }
        for (index, sums) in hota.sums.iter_mut().enumerate() {
            sums.missed = tracks.boxes[0] as f64 - sums.hits;
            sums.wrong = tracks.boxes[1] as f64 - sums.hits;
            let pairs = counts.iter().map(|(pair, all)| (tracks.pairs[*pair], all[index]));
            sums.association = association(pairs, &lengths);
        }
        hota.finish()
    }

    /// Adds the counts of a sequence; `finish` computes the measures.
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

/// The pairs of a frame, by similarity times the overlap of the whole tracks.
fn pairs<'a>(frame: &'a Frame, alignment: &[f64]) -> Vec<&'a Near> {
    let worth = |near: &Near| (near.row, near.column, alignment[near.pair] * near.similarity);
    let worths: Vec<_> = frame.near.iter().map(worth).filter(|worth| worth.2 > 0.0).collect();
    let mut partner = vec![None; frame.truth.len()];
    highest(&worths).into_iter().for_each(|(row, column)| partner[row] = Some(column));
    frame.near.iter().filter(|near| partner[near.row] == Some(near.column)).collect()
}

/// The overlap of the two whole tracks of each pair.
fn alignment(tracks: &Tracks, [truth, seen]: &[Vec<f64>; 2]) -> Vec<f64> {
    let mut overlaps = vec![0.0; tracks.pairs.len()];
    for frame in &tracks.frames {
        let (mut rows, mut columns) = (vec![0.0; frame.truth.len()], vec![0.0; frame.seen.len()]);
        for near in &frame.near {
            rows[near.row] += near.similarity;
            columns[near.column] += near.similarity;
        }
        for near in &frame.near {
            let union = columns[near.column] + rows[near.row] - near.similarity;
            if union > f64::EPSILON {
                overlaps[near.pair] += near.similarity / union;
            }
        }
    }
    let share =
        |(pair, overlap): (&[usize; 2], &f64)| overlap / (truth[pair[0]] + seen[pair[1]] - overlap);
    tracks.pairs.iter().zip(&overlaps).map(share).collect()
}

/// Sums over pairs of tracks of accuracy, recall and precision, each times the number of pairs.
fn association(
    pairs: impl Iterator<Item = ([usize; 2], f64)>,
    [truth, seen]: &[Vec<f64>; 2],
) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for (pair, count) in pairs.filter(|(_, count)| *count > 0.0) {
        let (truth, seen) = (truth[pair[0]], seen[pair[1]]);
        for (sum, all) in sums.iter_mut().zip([truth + seen - count, truth, seen]) {
            *sum += count * count / f64::max(all, 1.0);
        }
    }
    sums
}
