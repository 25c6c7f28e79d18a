//! The losses of CALF: a context-aware loss on the segmentation of frames, and a loss of spots.
//!
//! Cioppa et al. *A Context-Aware Loss Function for Action Spotting in Soccer Videos*. CVPR 2020.
//! <https://arxiv.org/abs/1912.01326>
//!
//! p is the segmentation's score of a class at a frame, s how many frames the action lies back (negative
//! before it), m = 0.9, and K1 < K2 < 0 < K3 < K4 are the borders of contexts:
//!
//! far before, long after (s < K1, s >= K4):  max(0, ln m - ln(1 - p))                               (1)
//! K1 <= s < K2:                              max(0, ln m - ln(1 - p + p (s - K1) / (K2 - K1)))      (2)
//! just before (K2 <= s < 0):                 0                                                     (3)
//! just after (0 <= s < K3):                  max(0, ln m - ln(p + (1 - p) s / K3))                  (4)
//! K3 <= s < K4:                              max(0, ln m - ln(1 - p + p (s - K4) / (K3 - K4)))      (5)
//!
//! Each term is max(0, ln m - ln(a + b p)) with numbers a and b that depend on s alone. The network also
//! predicts N spots per chunk, each with a confidence, a place between 0 and 1 and shares of the classes.
//! True actions and spots are matched, nearest pairs first, and
//!
//! L = sum over matched spots of 5 (place - true place)² + (confidence - 1)² + |classes - true class|²
//!     + sum over the others of 0.5 confidence²                                                     (6)
//!
//! An output has the columns confidence, place, 17 classes. Rows of frames use the classes, as
//! p; rows of spots follow them.

use burn::prelude::*;
use soccernet::classes::ACTIONS;

use super::{
    chunks::{Chunk, Chunks},
    games::Game,
};
use crate::score::constant;

/// Confidence, place and the classes.
pub(super) const COLUMNS: usize = 2 + ACTIONS.len();
const CLASSES: usize = ACTIONS.len();
/// a, b, and whether an action is there, for each class.
pub(super) const TARGETS: usize = 3 * CLASSES;
const MARGIN: f64 = 0.9;
/// The least argument of a logarithm, which keeps it finite.
const LEAST: f64 = 1e-5;

/// K1 to K4 of each action in seconds, as published.
const PUBLISHED: [[f64; 4]; CLASSES] = [
    [-100.0, -50.0, 50.0, 100.0],
    [-98.0, -49.0, 49.0, 98.0],
    [-20.0, -10.0, 60.0, 90.0],
    [-40.0, -20.0, 10.0, 20.0],
    [-96.0, -48.0, 48.0, 96.0],
    [-5.0, -3.0, 3.0, 5.0],
    [-8.0, -4.0, 4.0, 8.0],
    [-93.0, -46.0, 46.0, 93.0],
    [-99.0, -50.0, 50.0, 99.0],
    [-31.0, -15.0, 15.0, 31.0],
    [-75.0, -37.0, 37.0, 75.0],
    [-10.0, -5.0, 5.0, 10.0],
    [-97.0, -49.0, 49.0, 97.0],
    [-75.0, -38.0, 38.0, 75.0],
    [-10.0, -5.0, 5.0, 10.0],
    [-10.0, -5.0, 5.0, 10.0],
    [-10.0, -5.0, 5.0, 10.0],
];

/// The actions of a chunk's half: class, and position in frames from the first frame that counts.
pub(super) type Near = Vec<(usize, i64)>;

/// Borders of contexts in frames, and the weight of the context-aware loss.
pub(super) struct CalfLoss {
    borders: [[f64; 4]; CLASSES],
    weight: f64,
}

impl CalfLoss {
    /// The losses with the same borders in seconds for all classes, or with the published ones.
    pub(super) fn new(borders: Option<[f64; 4]>, weight: f64) -> Self {
        let seconds = borders.map_or(PUBLISHED, |same| [same; CLASSES]);
        Self { borders: seconds.map(|class| class.map(|border| 2.0 * border)), weight }
    }

    /// The targets, `[B, length, 3 x 17]`: a, b, and whether an action is there.
    pub(super) fn targets(&self, near: &[Near], length: usize) -> Vec<f32> {
        let mut targets = vec![0.0; near.len() * length * TARGETS];
        for (rows, near) in targets.chunks_mut(length * TARGETS).zip(near) {
            for class in 0..CLASSES {
                let mut at: Vec<i64> =
                    near.iter().filter(|(of, _)| *of == class).map(|(_, at)| *at).collect();
                at.sort_unstable();
                for (frame, row) in rows.chunks_mut(TARGETS).enumerate() {
                    let [a, b] = coefficients(
                        shift(frame as i64, &at, self.borders[class]),
                        self.borders[class],
                    );
                    row[class] = a as f32;
                    row[CLASSES + class] = b as f32;
                    row[2 * CLASSES + class] = f32::from(at.contains(&(frame as i64)));
                }
            }
        }
        targets
    }

    /// The loss of frames `[B, length, 19]` and spots `[B, N, 19]` against the targets.
    pub(super) fn loss(
        &self,
        frames: Tensor<3>,
        spots: Tensor<3>,
        targets: Tensor<3>,
    ) -> Tensor<1> {
        let spots = spot_loss(spots, &targets);
        if self.weight == 0.0 {
            return spots;
        }
        let part = |at: usize| constant(&frames, targets.clone().narrow(2, at * CLASSES, CLASSES));
        let p = frames.clone().narrow(2, 2, CLASSES);
        let inside = (part(0) + part(1) * p).clamp_min(LEAST);
        let context = (inside.log().neg() + MARGIN.ln()).clamp_min(0.0); // (1) to (5)
        kernels::mean(context) * self.weight + spots
    }
}

/// The coefficients a and b of a frame.
fn coefficients(shift: Option<f64>, [k1, k2, k3, k4]: [f64; 4]) -> [f64; 2] {
    match shift {
        Some(s) if s >= k1 && s < k2 => [1.0, (s - k1) / (k2 - k1) - 1.0], // (2)
        Some(s) if s >= k2 && s < 0.0 => [1.0, 0.0],                       // (3)
        Some(s) if s >= 0.0 && s < k3 => [s / k3, 1.0 - s / k3],           // (4)
        Some(s) if s >= k3 && s < k4 => [1.0, (s - k4) / (k3 - k4) - 1.0], // (5)
        _ => [1.0, -1.0],                                                  // (1)
    }
}

/// The signed frames since the action that a frame belongs to: the previous action if it is less than K3
/// back; otherwise the previous or the next one, by the frame's positions in their contexts.
fn shift(frame: i64, at: &[i64], [k1, k2, k3, k4]: [f64; 4]) -> Option<f64> {
    let next = at.partition_point(|at| *at <= frame);
    let since = |place: usize| (frame - at[place]) as f64;
    match (next.checked_sub(1).map(since), (next < at.len()).then(|| since(next))) {
        (Some(before), None) => Some(before),
        (None, after) => after,
        (Some(before), Some(_)) if before < k3 => Some(before),
        (Some(before), Some(after)) if before < k4 => {
            let left = (before - k3) / (k4 - k3);
            let still = (k1 - after) / (k1 - k2);
            Some(if after > k1 && left > 1.0 - still { after } else { before })
        }
        (_, after) => after,
    }
}

/// True actions of a chunk as class and place; for each, the spot that it is matched with, if any is left.
fn matched(truth: &[(usize, f32)], places: &[f32]) -> Vec<Option<usize>> {
    let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
    for (number, (_, place)) in truth.iter().enumerate() {
        pairs
            .extend(places.iter().enumerate().map(|(spot, at)| ((place - at).abs(), number, spot)));
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let (mut found, mut taken) = (vec![None; truth.len()], vec![false; places.len()]);
    for (_, number, spot) in pairs {
        if found[number].is_none() && !taken[spot] {
            found[number] = Some(spot);
            taken[spot] = true;
        }
    }
    found
}

/// The loss (6), the mean over the chunks.
fn spot_loss(spots: Tensor<3>, targets: &Tensor<3>) -> Tensor<1> {
    let [b, n, _] = spots.dims();
    let [_, length, _] = targets.dims();
    let there = targets.clone().narrow(2, 2 * CLASSES, CLASSES).into_data();
    let there: Vec<f32> = there.iter::<f32>().collect();
    let places = spots.clone().narrow(2, 1, 1).into_data();
    let places: Vec<f32> = places.iter::<f32>().collect();
    let (mut goals, mut weights) = (vec![0.0; b * n * COLUMNS], vec![0.0; b * n * COLUMNS]);
    for chunk in 0..b {
        let rows = there[chunk * length * CLASSES..(chunk + 1) * length * CLASSES].chunks(CLASSES);
        let truth = rows.enumerate().flat_map(|(frame, row)| {
            let place = frame as f32 / length as f32;
            row.iter().enumerate().filter(|(_, x)| **x > 0.0).map(move |(class, _)| (class, place))
        });
        let truth: Vec<(usize, f32)> = truth.collect();
        let spots = matched(&truth, &places[chunk * n..(chunk + 1) * n]);
        (0..n).for_each(|spot| weights[(chunk * n + spot) * COLUMNS] = 0.5);
        for ((class, place), spot) in truth.iter().zip(spots) {
            let Some(spot) = spot else { continue };
            let row = (chunk * n + spot) * COLUMNS;
            weights[row..row + COLUMNS].fill(1.0);
            weights[row + 1] = 5.0;
            goals[row] = 1.0;
            goals[row + 1] = *place;
            goals[row + 2 + class] = 1.0;
        }
    }
    let device = targets.device();
    let of = |values: Vec<f32>| {
        let values = Tensor::<3>::from_data(TensorData::new(values, [b, n, COLUMNS]), &device);
        constant(&spots, values)
    };
    let (goals, weights) = (of(goals), of(weights));
    kernels::sum((spots - goals).square() * weights) / b as f64
}

/// Confidences by game and half, `[frames, 17]`, from the spots of chunks.
pub(super) fn confidences(
    games: &[Game],
    chunks: &[Chunk],
    outputs: &[Vec<f32>],
    shape: &Chunks,
) -> Vec<[Vec<f32>; 2]> {
    let of = |game: &Game| [0, 1].map(|half: usize| vec![0.0; game.halves[half].frames * CLASSES]);
    let mut all: Vec<[Vec<f32>; 2]> = games.iter().map(of).collect();
    for (chunk, output) in chunks.iter().zip(outputs) {
        let half = &mut all[chunk.game][chunk.half];
        let frames = half.len() / CLASSES;
        for spot in output.chunks(COLUMNS).skip(shape.rows()) {
            let frame = chunk.start + (spot[1] * shape.length as f32) as usize;
            if frame >= frames {
                continue;
            }
            for (class, share) in spot[2..].iter().enumerate() {
                let best = &mut half[frame * CLASSES + class];
                *best = best.max(spot[0] * share);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: [f64; 4] = [-8.0, -4.0, 4.0, 8.0];

    #[test]
    fn contexts_by_hand() {
        let value = |s: f64, p: f64| {
            let [a, b] = coefficients(Some(s), K);
            (MARGIN.ln() - (a + b * p).ln()).max(0.0)
        };
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        near(value(-9.0, 0.5), (0.9_f64 / 0.5).ln());
        near(value(8.0, 0.5), (0.9_f64 / 0.5).ln());
        // Half of the way: 1 - p + p / 2 = 0.75.
        near(value(-6.0, 0.5), (0.9_f64 / 0.75).ln());
        near(value(6.0, 0.5), (0.9_f64 / 0.75).ln());
        near(value(-1.0, 0.5), 0.0);
        near(value(0.0, 0.5), (0.9_f64 / 0.5).ln());
        near(value(2.0, 0.2), (0.9_f64 / 0.6).ln());
        near(value(0.0, 0.95), 0.0);
        assert_eq!(coefficients(None, K), [1.0, -1.0]);
    }

    #[test]
    fn a_frame_belongs_to_the_action_just_over_and_then_to_the_next() {
        let at = [10, 30];
        let shift = |frame| shift(frame, &at, K);
        assert_eq!(shift(5), Some(-5.0));
        assert_eq!(shift(13), Some(3.0));
        // Long after the first and far before the second.
        assert_eq!(shift(17), Some(7.0));
        assert_eq!(shift(20), Some(-10.0));
        assert_eq!(shift(40), Some(10.0));
        assert_eq!(super::shift(3, &[], K), None);
    }

    #[test]
    fn nearest_pairs_are_matched_first() {
        assert_eq!(matched(&[(0, 0.1), (1, 0.2)], &[0.18, 0.9]), [Some(1), Some(0)]);
        assert_eq!(matched(&[(0, 0.1), (1, 0.2)], &[0.18]), [None, Some(0)]);
        assert_eq!(matched(&[], &[0.5]), []);
    }

    #[test]
    fn a_loss_by_hand() {
        let calf = CalfLoss::new(Some([-4.0, -2.0, 2.0, 4.0]), 2.0);
        let device = Device::flex();
        // One action of class 3 at frame 2 of 4; two spots.
        let targets = calf.targets(&[vec![(3, 2)]], 4);
        let targets = Tensor::<3>::from_data(TensorData::new(targets, [1, 4, TARGETS]), &device);
        let mut spots = vec![0.0_f32; 2 * COLUMNS];
        (spots[0], spots[1], spots[2 + 3]) = (0.8, 0.6, 0.5);
        (spots[COLUMNS], spots[COLUMNS + 1]) = (0.4, 0.0);
        let spots = Tensor::<3>::from_data(TensorData::new(spots, [1, 2, COLUMNS]), &device);
        let frames = Tensor::<3>::zeros([1, 4, COLUMNS], &device);
        let loss = calf.loss(frames, spots, targets).into_scalar::<f32>();
        let expected_spots = 5.0 * 0.01 + 0.04 + 0.25 + 0.5 * 0.16;
        // p = 0 everywhere: (1) is 0; of class 3 the frames 2 and 3 have (4), a = 0 (cut off) and 1 / 4.
        let context = [LEAST, 0.25].map(|a| MARGIN.ln() - a.ln()).iter().sum::<f64>();
        let expected = expected_spots + 2.0 * context / (4.0 * 17.0);
        assert!((f64::from(loss) - expected).abs() < 1e-5, "{loss} {expected}");
    }
}
