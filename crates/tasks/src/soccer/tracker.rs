//! A tracker: boxes of the next frame are matched to tracks by their overlap with predicted positions.
//!
//! Bewley et al. *Simple Online and Realtime Tracking*. ICIP 2016. <https://arxiv.org/abs/1602.00763>: predict,
//! assign by intersection over union, end tracks that found nothing for some frames.
//!
//! Differs from the paper: where a track should be comes from any model of motion, not from a Kalman
//! filter; pairs are chosen greedily, the largest overlap first; boxes that do not overlap are paired
//! by the distance of their centres, as far as `REACH` box heights, after those that do.

/// Left, top, width and height in pixels.
pub(super) type Rect = [f64; 4];

/// Frames without a box after which a track ends.
const PATIENCE: usize = 3;
/// Heights of a box within which the centre of the next one may lie.
const REACH: f64 = 1.5;

/// A track: its boxes, one a frame, those it did not find as they were expected.
pub(super) struct Track {
    pub(super) id: i64,
    pub(super) boxes: Vec<Rect>,
    missed: usize,
}

/// The next box of each track.
pub(super) type Motion<'a> = dyn FnMut(&[&[Rect]]) -> Vec<Rect> + 'a;

/// Identities of the boxes of each frame, from 1.
pub(super) fn track(frames: &[Vec<Rect>], motion: &mut Motion<'_>) -> Vec<Vec<i64>> {
    let (mut tracks, mut born) = (Vec::<Track>::new(), 0);
    let mut identities = Vec::new();
    for boxes in frames {
        let before: Vec<&[Rect]> = tracks.iter().map(|track| &*track.boxes).collect();
        let expected = if tracks.is_empty() { vec![] } else { motion(&before) };
        let found = assign(&expected, boxes);
        let mut ids = vec![0; boxes.len()];
        for ((track, expected), found) in tracks.iter_mut().zip(expected).zip(&found) {
            track.boxes.push(found.map_or(expected, |at| boxes[at]));
            track.missed = if found.is_some() { 0 } else { track.missed + 1 };
            found.iter().for_each(|at| ids[*at] = track.id);
        }
        for (id, rect) in ids.iter_mut().zip(boxes).filter(|(id, _)| **id == 0) {
            born += 1;
            *id = born;
            tracks.push(Track { id: born, boxes: vec![*rect], missed: 0 });
        }
        tracks.retain(|track| track.missed <= PATIENCE);
        identities.push(ids);
    }
    identities
}

/// The box that each expectation is given.
fn assign(expected: &[Rect], boxes: &[Rect]) -> Vec<Option<usize>> {
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (track, a) in expected.iter().enumerate() {
        for (at, b) in boxes.iter().enumerate() {
            let value = match overlap(*a, *b) {
                0.0 => -distance(*a, *b) / a[3].max(1.0),
                overlap => overlap,
            };
            pairs.extend((value >= -REACH).then_some((value, track, at)));
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let (mut found, mut taken) = (vec![None; expected.len()], vec![false; boxes.len()]);
    for (_, track, at) in pairs {
        if found[track].is_none() && !taken[at] {
            found[track] = Some(at);
            taken[at] = true;
        }
    }
    found
}

fn overlap(a: Rect, b: Rect) -> f64 {
    let side = |i: usize| ((a[i] + a[i + 2]).min(b[i] + b[i + 2]) - a[i].max(b[i])).max(0.0);
    let common = side(0) * side(1);
    let union = a[2] * a[3] + b[2] * b[3] - common;
    if union > 0.0 { common / union } else { 0.0 }
}

/// The distance of centres.
fn distance(a: Rect, b: Rect) -> f64 {
    let center = |i: usize| a[i] + a[i + 2] / 2.0 - b[i] - b[i + 2] / 2.0;
    center(0).hypot(center(1))
}

/// Where a track stays: its last box.
pub(super) fn standing(tracks: &[&[Rect]]) -> Vec<Rect> {
    tracks.iter().map(|boxes| boxes[boxes.len() - 1]).collect()
}

/// Where a track gets by its last step.
pub(super) fn straight(tracks: &[&[Rect]]) -> Vec<Rect> {
    let next = |boxes: &&[Rect]| {
        let last = boxes[boxes.len() - 1];
        let before = boxes[boxes.len().saturating_sub(2)];
        [2.0 * last[0] - before[0], 2.0 * last[1] - before[1], last[2], last[3]]
    };
    tracks.iter().map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64) -> Rect {
        [x, 0.0, 10.0, 20.0]
    }

    #[test]
    fn crossing_players_keep_their_identities_if_motion_is_known() {
        // One goes from 0 to 80, the other back from 76, 8 pixels a frame.
        let frames: Vec<Vec<Rect>> =
            (0..11).map(|t| vec![at(8.0 * f64::from(t)), at(76.0 - 8.0 * f64::from(t))]).collect();
        let moving = track(&frames, &mut straight);
        assert!(moving.iter().all(|ids| *ids == [1, 2]), "{moving:?}");
        let still = track(&frames, &mut standing);
        assert_ne!(still[10], [1, 2], "they are swapped where they meet");
    }

    #[test]
    fn a_track_waits_for_a_box_and_ends() {
        let gap = |missing: usize| {
            let mut frames = vec![vec![at(0.0)]; 2];
            frames.extend(vec![vec![]; missing]);
            frames.push(vec![at(0.0)]);
            track(&frames, &mut standing).pop().unwrap()
        };
        assert_eq!((gap(PATIENCE), gap(PATIENCE + 1)), (vec![1], vec![2]));
        let far = track(&[vec![at(0.0)], vec![at(500.0)]], &mut standing);
        assert_eq!(far, [[1], [2]]);
    }
}
