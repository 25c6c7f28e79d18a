//! Average precision as in the official evaluators: precision and recall at 200 thresholds, then the mean
//! over eleven recalls of the best precision at this recall or a higher one.

const THRESHOLDS: usize = 200;

/// Detections by the highest threshold that they reach.
#[derive(Clone, Debug)]
pub struct Curve {
    /// For each threshold, the number of detections that have it as their highest, and the number of hits
    /// among them.
    counts: Vec<[u64; 2]>,
}

impl Default for Curve {
    fn default() -> Self {
        Self { counts: vec![[0; 2]; THRESHOLDS] }
    }
}

/// The thresholds of `numpy.linspace(0, 1, 200)`.
fn threshold(index: usize) -> f64 {
    if index == THRESHOLDS - 1 { 1.0 } else { index as f64 * (1.0 / (THRESHOLDS - 1) as f64) }
}

impl Curve {
    /// Adds a detection with its score. A negative score or NaN reaches no threshold.
    pub fn add(&mut self, score: f64, is_hit: bool) {
        if score.is_nan() || score < 0.0 {
            return;
        }
        let mut index = ((score * (THRESHOLDS - 1) as f64) as usize).min(THRESHOLDS - 1);
        while index > 0 && threshold(index) > score {
            index -= 1;
        }
        while index + 1 < THRESHOLDS && threshold(index + 1) <= score {
            index += 1;
        }
        self.counts[index][0] += 1;
        self.counts[index][1] += u64::from(is_hit);
    }

    /// The average precision for a ground truth with `actions` actions; 0 if there are none.
    pub fn average_precision(&self, actions: u64) -> f64 {
        let points = self.points(actions);
        let best = |recall: f64| {
            let from_there = points.iter().filter(|point| point[1] >= recall);
            from_there.map(|point| point[0]).fold(0.0, f64::max)
        };
        (0..=10).map(|tenth| best(f64::from(tenth) / 10.0)).sum::<f64>() / 11.0
    }

    /// Precision and recall at each threshold, the highest first.
    fn points(&self, actions: u64) -> Vec<[f64; 2]> {
        let ratio = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
        let (mut count, mut hits) = (0, 0);
        let point = |[more, more_hits]: &[u64; 2]| {
            count += more;
            hits += more_hits;
            [ratio(hits, count), ratio(hits, actions)]
        };
        self.counts.iter().rev().map(point).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn average_precision(detections: &[(f64, bool)], actions: u64) -> f64 {
        let mut curve = Curve::default();
        detections.iter().for_each(|(score, hit)| curve.add(*score, *hit));
        curve.average_precision(actions)
    }

    #[test]
    fn values_of_the_official_evaluator() {
        assert_eq!(average_precision(&[], 3), 0.0);
        assert_eq!(average_precision(&[(0.5, true), (0.9, false)], 1), 0.5);
        assert_eq!(average_precision(&[(0.0, true)], 1), 1.0);
        assert_eq!(average_precision(&[(-0.2, true), (f64::NAN, true)], 1), 0.0);
        let ties = [(0.5, true), (0.5, true), (0.5, false)];
        assert!((average_precision(&ties, 2) - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(average_precision(&[(0.51, true), (0.50, false)], 1), 1.0);
        assert_eq!(average_precision(&[(0.502, true), (0.501, false)], 1), 0.5, "one threshold");
        assert_eq!(average_precision(&[(7.0, true), (1.0, false)], 1), 0.5, "above 1 all is equal");
    }

    #[test]
    fn a_score_on_a_threshold_reaches_it() {
        for index in 0..THRESHOLDS {
            let mut curve = Curve::default();
            curve.add(threshold(index), true);
            assert_eq!(curve.counts[index], [1, 1], "{index}");
        }
    }
}
