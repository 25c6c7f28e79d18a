//! Assignment of the boxes of a frame to tracks: the cost of a pair, and the assignment of least cost.
//!
//! Bewley et al. *Simple Online and Realtime Tracking*. ICIP 2016. <https://arxiv.org/abs/1602.00763>: the
//! Hungarian method on the intersection over union of expected and seen boxes.
//! Wojke, Bewley, Paulus. *Simple Online and Realtime Tracking with a Deep Association Metric*. ICIP 2017.
//! <https://arxiv.org/abs/1703.07402>: the cost is a weighted sum of motion and appearance.
//!
//! v(i, j) = IoU(i, j), or NEAR (1 - |centre i - centre j| / (REACH height i)) where they do not overlap   (1)
//! d1(i, j) = 1 - v(i, j)                                                                                (2)
//! d2(i, j) = min over the last GALLERY boxes k of track i of 1 - r_ik . r_j, r of length 1              (3)
//! c(i, j) = lambda d1(i, j) + (1 - lambda) d2(i, j), or d1(i, j) without appearance                     (4)
//!
//! Pairs with d1 < 1 and c < 1 are admissible; the assignment has the largest sum of 1 - c: without
//! appearance the largest sum of overlaps, as in SORT.
//!
//! Differs from SORT: boxes that do not overlap may be paired too, by (1), since frames may be a third of a
//! second apart. Such a pair is worth at most NEAR, so for each one the overlaps of the other pairs lose at most
//! NEAR. There is no least overlap. Differs from DeepSORT, whose equations (3) and (5) are (3) and (4)
//! here: d1 is (2), not a Mahalanobis distance, so that it needs no covariances of a Kalman filter; d1 alone
//! is gated here, d2 only where a lost track is found again (`tracker.rs`).

use soccernet::tracking::{Worth, highest, overlap};

/// Left, top, width and height in pixels.
pub(super) type Rect = [f64; 4];

/// The appearance of a box, of length 1.
pub(super) type Descriptor = Vec<f32>;

/// The maximum distance between the centres of a box and the next one, in heights of the box.
const REACH: f64 = 1.5;
/// The value, as an overlap, of boxes that only just do not overlap.
const NEAR: f64 = 0.01;
/// The number of boxes of a track with which a box is compared, as in DeepSORT.
pub(super) const GALLERY: usize = 100;

/// The distance (2), at least 0; pairs of 1 or more are not admissible.
pub(super) fn motion_distance(expected: Rect, seen: Rect) -> f64 {
    let near = || NEAR * (1.0 - distance(expected, seen) / (REACH * expected[3].max(1.0)));
    1.0 - match overlap(expected, seen) {
        0.0 => near(),
        overlap => overlap,
    }
}

/// The distance of centres.
fn distance(a: Rect, b: Rect) -> f64 {
    let center = |i: usize| a[i] + a[i + 2] / 2.0 - b[i] - b[i + 2] / 2.0;
    center(0).hypot(center(1))
}

/// The distance (3), from 0 to 2; none without a box to compare with.
pub(super) fn appearance_distance(gallery: &[&[f32]], seen: &[f32]) -> Option<f64> {
    let last = &gallery[gallery.len().saturating_sub(GALLERY)..];
    let product = |a: &&[f32]| -> f32 { a.iter().zip(seen).map(|(a, b)| a * b).sum() };
    last.iter().map(|known| f64::from(1.0 - product(known))).min_by(f64::total_cmp)
}

/// The cost (4).
pub(super) fn cost(motion: f64, appearance: Option<f64>, lambda: f64) -> f64 {
    appearance.map_or(motion, |distance| lambda * motion + (1.0 - lambda) * distance)
}

/// The column assigned to each of `rows` rows, among the pairs with a cost below `limit`.
pub(super) fn assign(
    [rows, columns]: [usize; 2],
    limit: f64,
    cost: &dyn Fn(usize, usize) -> Option<f64>,
) -> Vec<Option<usize>> {
    let pairs = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let worth = |(row, column)| Some((row, column, limit - cost(row, column)?));
    let worths: Vec<Worth> = pairs.filter_map(worth).filter(|worth| worth.2 > 0.0).collect();
    let mut found = vec![None; rows];
    highest(&worths).into_iter().for_each(|(row, column)| found[row] = Some(column));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64) -> Rect {
        [x, 0.0, 10.0, 20.0]
    }

    #[test]
    fn the_best_pair_is_not_part_of_the_best_assignment() {
        // Boxes at 0 and 7, expected at 4 and 12: 4 is nearest to 7, which leaves 12 and 0 for each other.
        let (expected, seen) = ([at(4.0), at(12.0)], [at(0.0), at(7.0)]);
        let of = |i: usize, j: usize| Some(motion_distance(expected[i], seen[j]));
        assert!(of(0, 1) < of(0, 0) && of(0, 1) < of(1, 1), "a greedy choice begins with it");
        assert_eq!(assign([2, 2], 1.0, &of), [Some(0), Some(1)]);
    }

    #[test]
    fn distances_by_hand() {
        assert!((motion_distance(at(0.0), at(0.0))).abs() < 1e-12);
        // A third of overlap, and centres that are three quarters of a height and 1.5 heights apart.
        assert!((motion_distance(at(0.0), at(5.0)) - 2.0 / 3.0).abs() < 1e-12);
        assert!((motion_distance(at(0.0), at(15.0)) - (1.0 - NEAR / 2.0)).abs() < 1e-12);
        assert!((motion_distance(at(0.0), at(30.0)) - 1.0).abs() < 1e-12);
        assert_eq!(assign([1, 1], 1.0, &|_, _| Some(motion_distance(at(0.0), at(31.0)))), [None]);
        let gallery: [&[f32]; 2] = [&[1.0, 0.0], &[0.6, 0.8]];
        let nearest = appearance_distance(&gallery, &[0.0, 1.0]).unwrap();
        assert!((nearest - 0.2).abs() < 1e-6);
        assert_eq!(appearance_distance(&[], &[0.0, 1.0]), None);
        assert!((cost(0.4, Some(0.2), 0.25) - 0.25).abs() < 1e-12);
        assert_eq!(cost(0.4, None, 0.25), 0.4);
    }

    #[test]
    fn two_pairs_that_do_not_overlap_are_worth_less_than_one_that_does() {
        // Boxes at 2 and -12, expected at 0 and 16: 0 and 2 overlap; 0 and -12, 16 and 2 are near.
        let (expected, seen) = ([at(0.0), at(16.0)], [at(2.0), at(-12.0)]);
        let of = |i: usize, j: usize| Some(motion_distance(expected[i], seen[j]));
        assert!(of(0, 1) < Some(1.0) && of(1, 0) < Some(1.0));
        assert_eq!(assign([2, 2], 1.0, &of), [Some(0), Some(1)], "16 and -12 are 28 apart");
        let far = |i: usize, j: usize| of(i, j).filter(|_| (i, j) != (1, 1));
        assert_eq!(assign([2, 2], 1.0, &far), [Some(0), None]);
    }

    #[test]
    fn only_the_last_boxes_of_a_track_count() {
        let (old, new): (&[f32], &[f32]) = (&[1.0, 0.0], &[0.0, 1.0]);
        let mut gallery = vec![old];
        gallery.extend(vec![new; GALLERY - 1]);
        assert_eq!(appearance_distance(&gallery, old), Some(0.0));
        gallery.push(new);
        assert_eq!(appearance_distance(&gallery, old), Some(1.0));
    }

    #[test]
    fn appearance_decides_where_motion_does_not() {
        let looks: [&[f32]; 2] = [&[1.0, 0.0], &[0.0, 1.0]];
        // Both boxes are as near to both tracks; they look as the other one's.
        let of = |i: usize, j: usize| {
            Some(cost(0.3, appearance_distance(&[looks[i]], looks[1 - j]), 0.5))
        };
        assert_eq!(assign([2, 2], 1.0, &of), [Some(1), Some(0)]);
    }
}
