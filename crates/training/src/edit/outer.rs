//! The outer step of one layer, in plain numbers; see `mod.rs` for the formulas.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{Penalty, WorkersConfig};

/// Added to the length of an anomalous pseudo-gradient, so that its weight becomes 0.
const ANOMALOUS: f64 = 1e6;

/// A detector of unusually large numbers in a sequence, by its moving mean and deviation.
///
/// Mean and deviation start at 0, as published: for about 1 / `share` numbers they are too small.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    share: f64,
    warmup: usize,
    threshold: f64,
    seen: usize,
    mean: f64,
    square: f64,
    window: VecDeque<f64>,
}

impl Detector {
    /// Makes a detector that moves its mean towards each number by `share` of the difference, and judges
    /// numbers after `warmup` of them, with a threshold of `threshold` deviations.
    pub fn new(share: f64, warmup: usize, threshold: f64) -> Self {
        let window = VecDeque::with_capacity(warmup);
        Self { share, warmup, threshold, seen: 0, mean: 0.0, square: 0.0, window }
    }

    /// Whether the number is unusually large. Small numbers are never outliers.
    pub fn is_outlier(&self, x: f64) -> bool {
        self.seen >= self.warmup && self.score(x) > self.threshold * self.spread().max(1.0)
    }

    /// Updates the mean and the deviation with the number.
    pub fn update(&mut self, x: f64) {
        self.seen += 1;
        let before = x - self.mean;
        self.mean += self.share * before;
        let after = x - self.mean;
        self.square = (1.0 - self.share) * (self.square + self.share * before * after);
        if self.window.len() == self.warmup {
            self.window.pop_front();
        }
        self.window.push_back(self.score(x));
    }

    /// The number of deviations above the mean.
    fn score(&self, x: f64) -> f64 {
        match self.seen < self.warmup || self.square == 0.0 {
            true => 0.0,
            false => (x - self.mean) / self.square.sqrt(),
        }
    }

    /// The standard deviation of the last scores, over n - 1.
    fn spread(&self) -> f64 {
        let n = self.window.len() as f64;
        let mean = self.window.iter().sum::<f64>() / n;
        let squares: f64 = self.window.iter().map(|score| (score - mean).powi(2)).sum();
        (squares / (n - 1.0)).sqrt()
    }
}

/// softmax(-norms / temperature): longer ones have smaller weights.
pub fn weights(norms: &[f64], temperature: f64) -> Vec<f64> {
    let least = norms.iter().copied().fold(f64::INFINITY, f64::min);
    let shares: Vec<f64> = norms.iter().map(|norm| ((least - norm) / temperature).exp()).collect();
    let sum: f64 = shares.iter().sum();
    shares.iter().map(|share| share / sum).collect()
}

/// Nesterov's step with a pseudo-gradient: m = momentum m + D; anchor -= lr (D + momentum m).
pub fn outer_step(anchor: &mut [f64], moved: &mut [f64], delta: &[f64], lr: f64, momentum: f64) {
    for ((x, m), d) in anchor.iter_mut().zip(moved).zip(delta) {
        *m = momentum * *m + d;
        *x -= lr * (d + momentum * *m);
    }
}

/// sqrt(sum of squares).
fn length(numbers: &[f64]) -> f64 {
    numbers.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The outer state of one layer, which persists over the rounds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OuterState {
    /// The detectors, one for each worker.
    pub(crate) detectors: Vec<Detector>,
    /// Nesterov's m.
    pub(crate) moved: Vec<f64>,
}

/// The outcome of a synchronisation for a layer.
#[derive(Debug)]
pub(crate) struct Met {
    /// The weight of each worker; 0 for all if the anchor does not change.
    pub(crate) weights: Vec<f64>,
    /// Whether each worker is anomalous.
    pub(crate) anomalous: Vec<bool>,
}

impl OuterState {
    pub(crate) fn new(config: &WorkersConfig, numbers: usize) -> Self {
        let detector = Detector::new(config.ewma, config.ewma_warmup, config.threshold);
        Self { detectors: vec![detector; config.count], moved: vec![0.0; numbers] }
    }

    /// Updates the anchor of a layer from the layers of the workers.
    pub(crate) fn meet(
        &mut self,
        config: &WorkersConfig,
        anchor: &mut [f64],
        workers: &[Vec<f64>],
    ) -> Met {
        let from = |worker: &Vec<f64>| anchor.iter().zip(worker).map(|(a, w)| a - w).collect();
        let mut deltas: Vec<Vec<f64>> = workers.iter().map(from).collect();
        let mut norms: Vec<f64> = deltas.iter().map(|delta| length(delta)).collect();
        let anomalous = match config.penalty {
            Penalty::Edit => self.judge(&norms),
            Penalty::Mean | Penalty::Softmax => vec![false; norms.len()],
        };
        if anomalous.iter().all(|bad| *bad) {
            return Met { weights: vec![0.0; norms.len()], anomalous };
        }
        for (worker, _) in anomalous.iter().enumerate().filter(|(_, bad)| **bad) {
            deltas[worker].fill(0.0);
            norms[worker] = if norms[worker].is_finite() { norms[worker] } else { 0.0 } + ANOMALOUS;
        }
        let weights = match config.penalty {
            Penalty::Mean => vec![1.0 / norms.len() as f64; norms.len()],
            Penalty::Softmax | Penalty::Edit => weights(&norms, config.temperature),
        };
        let mut delta = merged(&deltas, &weights);
        if config.clip > 0.0 {
            let factor = (config.clip / (length(&delta) + 1e-6)).min(1.0);
            delta.iter_mut().for_each(|d| *d *= factor);
        }
        outer_step(anchor, &mut self.moved, &delta, config.outer_lr, config.outer_momentum);
        Met { weights, anomalous }
    }

    /// Whether each worker is anomalous. The detectors are updated with the lengths of the other workers.
    fn judge(&mut self, norms: &[f64]) -> Vec<bool> {
        let judge = |(detector, norm): (&mut Detector, &f64)| {
            let bad = !norm.is_finite() || detector.is_outlier(*norm);
            if !bad {
                detector.update(*norm);
            }
            bad
        };
        self.detectors.iter_mut().zip(norms).map(judge).collect()
    }
}

/// The weighted sum of the deltas.
pub(crate) fn merged(deltas: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; deltas.first().map_or(0, Vec::len)];
    for (delta, weight) in deltas.iter().zip(weights) {
        sum.iter_mut().zip(delta).for_each(|(sum, d)| *sum += weight * d);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (a, b) in got.iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{got:?} {expected:?}");
        }
    }

    #[test]
    fn the_published_detector_flags_the_same() {
        // The published class on this sequence, with outliers not fed back; its deviation is over n - 1.
        let mut detector = Detector::new(0.1, 5, 3.0);
        let (mut means, mut squares, mut flagged) = (vec![], vec![], vec![]);
        for x in [1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 5.0, 1.0, 1.01] {
            match detector.is_outlier(x) {
                true => flagged.push(x),
                false => detector.update(x),
            }
            means.push(detector.mean);
            squares.push(detector.square);
        }
        assert_eq!(flagged, [5.0]);
        near(&means[..7], &[0.1, 0.2, 0.27, 0.348, 0.4082, 0.46938, 0.520442]);
        near(&squares[..5], &[0.081, 0.1539, 0.1782, 0.209_660_4, 0.218_049_084]);
        near(&[means[9], squares[9]], &[0.612_558_02, 0.214_831_93]);
        let window: Vec<f64> = detector.window.into();
        near(&window, &[1.160_277_5, 1.156_799_4, 0.968_778_4, 0.917_781_2, 0.857_480_6]);
        assert!(!Detector::new(0.1, 5, 3.0).is_outlier(1e9), "nobody is judged at first");
    }

    #[test]
    fn small_numbers_are_no_outliers() {
        let mut detector = Detector::new(0.1, 40, 3.0);
        (0..60).for_each(|i| detector.update(1.0 + 0.01 * f64::from(i % 3)));
        assert!(!detector.is_outlier(0.0) && detector.is_outlier(3.0));
    }

    const CONFIG: fn() -> WorkersConfig =
        || WorkersConfig { count: 3, clip: 1.0, ..WorkersConfig::default() };

    #[test]
    fn the_outer_step_of_three_workers() {
        let deltas = [vec![0.1, -0.2, 0.3], vec![0.2, -0.1, 0.2], vec![4.0, 4.0, -4.0]];
        let norms: Vec<f64> = deltas.iter().map(|delta| length(delta)).collect();
        near(&norms, &[0.374166, 0.3, 6.928203]);
        let mut memory = OuterState::new(&CONFIG(), 3);
        let mut anchor = vec![0.0; 3];
        let step = |memory: &mut OuterState, anchor: &mut Vec<f64>| {
            let at = |delta: &Vec<f64>| anchor.iter().zip(delta).map(|(a, d)| a - d).collect();
            let workers: Vec<Vec<f64>> = deltas.iter().map(at).collect();
            memory.meet(&CONFIG(), anchor, &workers)
        };
        let met = step(&mut memory, &mut anchor);
        near(&met.weights, &[0.481137, 0.518178, 0.000685]);
        near(&memory.moved, &[0.154490, -0.145304, 0.245235]);
        near(&anchor, &[-0.194658, 0.183083, -0.308997]);
        step(&mut memory, &mut anchor);
        near(&anchor, &[-0.458528, 0.431262, -0.727859]); // by numpy
    }

    #[test]
    fn a_long_pseudo_gradient_is_clipped() {
        let config = WorkersConfig { count: 1, penalty: Penalty::Mean, ..CONFIG() };
        let mut anchor = vec![0.0, 0.0];
        let mut memory = OuterState::new(&config, 2);
        memory.meet(&config, &mut anchor, &[vec![-3.0, -4.0]]);
        near(&memory.moved, &[0.6, 0.8]);
    }

    /// Workers with one number each, at the given distances from the anchor, round by round.
    fn rounds(config: &WorkersConfig, distances: &[&[f64]]) -> (f64, Vec<Met>) {
        let (mut memory, mut anchor) = (OuterState::new(config, 1), vec![0.0]);
        let mut meet = |distances: &&[f64]| {
            let workers: Vec<Vec<f64>> = distances.iter().map(|d| vec![anchor[0] - d]).collect();
            memory.meet(config, &mut anchor, &workers)
        };
        let met = distances.iter().map(&mut meet).collect();
        (anchor[0], met)
    }

    #[test]
    fn an_outlier_counts_for_nothing_and_all_outliers_keep_the_anchor() {
        let plain = WorkersConfig {
            count: 2,
            outer_lr: 1.0,
            outer_momentum: 0.0,
            ewma: 0.3,
            ewma_warmup: 8,
            ..CONFIG()
        };
        let mut distances: Vec<&[f64]> = vec![&[0.1, 0.1]; 12];
        distances.extend([&[0.1, 2.0][..], &[2.0, 2.0], &[f64::NAN, 0.1]]);
        let (anchor, met) = rounds(&plain, &distances);
        assert!(met[..12].iter().all(|met| !met.anomalous.contains(&true)));
        assert_eq!(met[12].anomalous, [false, true]);
        near(&met[12].weights, &[1.0, 0.0]);
        assert_eq!((&met[13].anomalous[..], &met[13].weights[..]), (&[true; 2][..], &[0.0; 2][..]));
        assert_eq!(met[14].anomalous, [true, false]);
        // 14 rounds of 0.1 each, since one was skipped.
        near(&[anchor], &[-1.4]);
    }

    #[test]
    fn frequent_faults_are_caught_and_a_worker_that_goes_further_for_good_is_locked_out() {
        let flagged = |after: &[f64]| {
            let config = WorkersConfig { count: 1, ewma: 0.1, ewma_warmup: 20, ..CONFIG() };
            let mut memory = OuterState::new(&config, 1);
            // Lengths of about 1, then the lengths under test.
            let early: Vec<f64> = (0..40).map(|i| 1.0 + 0.05 * f64::from(i % 3)).collect();
            early.iter().for_each(|norm| drop(memory.judge(&[*norm])));
            after.iter().filter(|norm| memory.judge(&[**norm])[0]).count()
        };
        // A fault in every third round.
        let faults: Vec<f64> = (0..60).map(|i| if i % 3 == 0 { 5.0 } else { 1.0 }).collect();
        assert_eq!(flagged(&faults), 20);
        // The plateau changes: five times as far, from here on.
        assert_eq!(flagged(&[5.0; 60]), 60);
    }

    #[test]
    fn workers_that_are_alike_are_one_worker() {
        for penalty in [Penalty::Mean, Penalty::Softmax, Penalty::Edit] {
            let many = WorkersConfig { count: 4, penalty, ..CONFIG() };
            let one = WorkersConfig { count: 1, ..many.clone() };
            let four = rounds(&many, &[&[0.3; 4], &[0.1; 4]]).0;
            assert_eq!(four, rounds(&one, &[&[0.3], &[0.1]]).0);
        }
    }

    #[test]
    fn one_worker_that_is_taken_at_its_word_is_where_it_went() {
        let plain = WorkersConfig {
            count: 1,
            outer_lr: 1.0,
            outer_momentum: 0.0,
            penalty: Penalty::Mean,
            clip: 0.0,
            ..CONFIG()
        };
        // 32-bit numbers of similar size: their difference is exact in 64 bits.
        let (before, after) = (f64::from(0.123_456_79_f32), f64::from(-7.654_321_f32));
        let mut anchor = vec![before];
        OuterState::new(&plain, 1).meet(&plain, &mut anchor, &[vec![after]]);
        assert_eq!(anchor, [after]);
    }
}
