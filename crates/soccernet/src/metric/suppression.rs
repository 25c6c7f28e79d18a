//! Non-maximum suppression over the detections of a half.

use std::collections::BTreeMap;

/// Keeps the best detection and drops those within `reach` frames before it and less than `reach` frames
/// after it, then continues with the best of the rest. A single NaN score ends the official loop at once, so
/// that nothing is kept.
pub(crate) fn suppress(seen: &BTreeMap<i64, f64>, reach: i64) -> BTreeMap<i64, f64> {
    if seen.values().any(|score| score.is_nan()) {
        return BTreeMap::new();
    }
    let mut order: Vec<(i64, f64)> = seen.iter().map(|(frame, score)| (*frame, *score)).collect();
    order.retain(|(_, score)| *score >= 0.0);
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut left: BTreeMap<i64, f64> = order.iter().copied().collect();
    let mut kept = BTreeMap::new();
    for (frame, score) in order {
        if left.contains_key(&frame) {
            kept.insert(frame, score);
            let near: Vec<i64> =
                left.range(frame - reach..frame + reach).map(|(f, _)| *f).collect();
            for frame in near {
                left.remove(&frame);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_half_open() {
        let seen = BTreeMap::from([(9, 0.5), (10, 0.9), (11, 0.5), (12, 0.4)]);
        assert_eq!(suppress(&seen, 1), [(10, 0.9), (11, 0.5), (12, 0.4)].into(), "9 is gone");
        assert_eq!(suppress(&seen, 2), [(10, 0.9), (12, 0.4)].into());
    }

    /// The frames of a half are given by the file of predictions, so a half can be long: a walk over all
    /// frames for each kept one would take hours.
    #[test]
    fn a_long_half_takes_no_longer_than_sorting_it() {
        let frames = 1_000_000;
        let seen = (0..frames).map(|frame| (frame, (frame * 7919 % 100_003) as f64)).collect();
        let started = std::time::Instant::now();
        let kept = suppress(&seen, 1);
        assert!(started.elapsed().as_secs() < 60);
        let frames: Vec<i64> = kept.keys().copied().collect();
        assert!(frames.windows(2).all(|pair| pair[1] - pair[0] >= 1));
        assert!(kept.len() > 300_000, "{}", kept.len());
    }

    #[test]
    fn negatives_vanish_and_a_missing_number_takes_all() {
        assert_eq!(suppress(&[(1, -0.5), (2, 0.0)].into(), 1), [(2, 0.0)].into());
        assert_eq!(suppress(&[(1, f64::NAN), (9, 0.5)].into(), 1), [].into());
    }
}
