//! CLEAR MOT. A pair of the previous frame is kept as long as it overlaps enough.
//!
//! Bernardin and Stiefelhagen. *Evaluating Multiple Object Tracking Performance*.
//! <https://doi.org/10.1155/2008/246309>

use serde::Serialize;

use super::{
    assignment::highest,
    sequence::{Frame, Near, Tracks},
};

/// The minimum intersection over union of a pair.
const THRESHOLD: f64 = 0.5;

/// The measures and their counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Clear {
    /// Accuracy: hits minus wrong boxes minus switches, divided by all boxes of the truth.
    #[serde(rename = "MOTA")]
    pub mota: f64,
    /// Mean similarity of the pairs.
    #[serde(rename = "MOTP")]
    pub motp: f64,
    /// Accuracy without switches.
    #[serde(rename = "MODA")]
    pub moda: f64,
    /// Recall.
    #[serde(rename = "CLR_Re")]
    pub recall: f64,
    /// Precision.
    #[serde(rename = "CLR_Pr")]
    pub precision: f64,
    /// Switches of identity.
    #[serde(rename = "IDSW")]
    pub switches: u64,
    /// Hits.
    #[serde(rename = "CLR_TP")]
    pub hits: u64,
    /// Missed boxes.
    #[serde(rename = "CLR_FN")]
    pub missed: u64,
    /// Wrong boxes.
    #[serde(rename = "CLR_FP")]
    pub wrong: u64,
    /// Tracks that are followed in more than 80 % of their frames.
    #[serde(rename = "MT")]
    pub mostly_tracked: u64,
    /// Tracks that are followed in 20 to 80 % of their frames.
    #[serde(rename = "PT")]
    pub partly_tracked: u64,
    /// Tracks that are followed in less than 20 % of their frames.
    #[serde(rename = "ML")]
    pub mostly_lost: u64,
    /// The number of times that a track is found again.
    #[serde(rename = "Frag")]
    pub fragments: u64,
    #[serde(skip)]
    similarity: f64,
}

/// The state of the tracks of the truth.
struct TrackHistory {
    /// The number of frames with the track, and of those with a pair of it.
    frames: Vec<[u64; 2]>,
    /// The last partner.
    last: Vec<Option<usize>>,
    /// The partner in the last earlier frame that had boxes on both sides.
    before: Vec<Option<usize>>,
    /// The number of frames in which each track was found.
    found: Vec<u64>,
}

impl Clear {
    /// The measures of a sequence.
    pub fn new(tracks: &Tracks) -> Self {
        let count = tracks.tracks[0];
        let mut clear = Self::default();
        if tracks.is_one_sided() {
            clear.missed = tracks.boxes[0] as u64;
            clear.wrong = tracks.boxes[1] as u64;
            clear.mostly_lost = count as u64;
            return clear; // the official package leaves the measures of such a sequence at 0
        }
        let none = vec![None; count];
        let mut memory = TrackHistory {
            frames: vec![[0; 2]; count],
            last: none.clone(),
            before: none,
            found: vec![0; count],
        };
        tracks.frames.iter().for_each(|frame| clear.frame(frame, &mut memory));
        for [there, followed] in &memory.frames {
            let share = *followed as f64 / *there as f64;
            match share {
                _ if share > 0.8 => clear.mostly_tracked += 1,
                _ if share >= 0.2 => clear.partly_tracked += 1,
                _ => clear.mostly_lost += 1,
            }
        }
        clear.fragments = memory.found.iter().map(|found| found.saturating_sub(1)).sum();
        clear.finish()
    }

    fn frame(&mut self, frame: &Frame, memory: &mut TrackHistory) {
        frame.truth.iter().for_each(|track| memory.frames[*track][0] += 1);
        let pairs = pairs(frame, &memory.before);
        self.hits += pairs.len() as u64;
        self.missed += (frame.truth.len() - pairs.len()) as u64;
        self.wrong += (frame.seen.len() - pairs.len()) as u64;
        if frame.truth.is_empty() || frame.seen.is_empty() {
            return;
        }
        let before = std::mem::replace(&mut memory.before, vec![None; memory.last.len()]);
        for near in pairs {
            let (track, partner) = (frame.truth[near.row], frame.seen[near.column]);
            self.similarity += near.similarity;
            memory.frames[track][1] += 1;
            memory.found[track] += u64::from(before[track].is_none());
            let last = memory.last[track].replace(partner);
            self.switches += u64::from(last.is_some_and(|last| last != partner));
            memory.before[track] = Some(partner);
        }
    }

    /// Adds the counts of a sequence; `finish` computes the measures.
    pub(crate) fn add(mut self, other: &Self) -> Self {
        self.switches += other.switches;
        self.hits += other.hits;
        self.missed += other.missed;
        self.wrong += other.wrong;
        self.mostly_tracked += other.mostly_tracked;
        self.partly_tracked += other.partly_tracked;
        self.mostly_lost += other.mostly_lost;
        self.fragments += other.fragments;
        self.similarity += other.similarity;
        self
    }

    pub(crate) fn finish(mut self) -> Self {
        let [hits, missed, wrong, switches] =
            [self.hits, self.missed, self.wrong, self.switches].map(|count| count as f64);
        let truth = (hits + missed).max(1.0);
        self.mota = (hits - wrong - switches) / truth;
        self.moda = (hits - wrong) / truth;
        self.motp = self.similarity / hits.max(1.0);
        self.recall = hits / truth;
        self.precision = hits / (hits + wrong).max(1.0);
        self
    }
}

/// Pairs that overlap enough, those of the previous frame first.
fn pairs<'a>(frame: &'a Frame, before: &[Option<usize>]) -> Vec<&'a Near> {
    let near: Vec<&Near> =
        frame.near.iter().filter(|near| near.similarity >= THRESHOLD - f64::EPSILON).collect();
    let worth = |near: &&Near| {
        let is_same = before[frame.truth[near.row]] == Some(frame.seen[near.column]);
        let more = if is_same { 1000.0 } else { 0.0 };
        (near.row, near.column, more + near.similarity)
    };
    let found = highest(&near.iter().map(worth).collect::<Vec<_>>());
    let mut partner = vec![None; frame.truth.len()];
    found.into_iter().for_each(|(row, column)| partner[row] = Some(column));
    near.into_iter().filter(|near| partner[near.row] == Some(near.column)).collect()
}
