//! One class in one half: the true actions, and the detections of a submission.

use std::collections::BTreeMap;

use super::curve::Curve;
use crate::{Error, Result};

/// True actions and detections by frame, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    /// Whether the action at a frame is on the screen.
    pub(crate) truth: BTreeMap<i64, bool>,
    /// The scores; those below 0 and NaN count as no detection.
    pub(crate) seen: BTreeMap<i64, f64>,
}

/// The index of a frame in a vector of `frames` frames: later frames are its last one, negative ones count
/// from its end, as in NumPy. `None` if there is no such frame.
pub(crate) fn place(frame: i64, frames: i64) -> Option<i64> {
    let frame = frame.min(frames - 1);
    let wrapped = if frame < 0 { frame + frames } else { frame };
    (wrapped >= 0).then_some(wrapped)
}

/// As `place`, with an error that names the entry.
pub(crate) fn place_or(frame: i64, frames: i64, file: &str, entry: &str) -> Result<i64> {
    let outside = || {
        Error::entry(
            file,
            entry,
            format!("frame {frame} is more than a half before the start of the half"),
        )
    };
    place(frame, frames).ok_or_else(outside)
}

/// A detection, and whether it hits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Detection {
    pub(crate) score: f64,
    pub(crate) is_hit: bool,
    /// Whether the nearest action is on the screen; false if the half has no such action.
    pub(crate) is_visible: bool,
}

impl Track {
    /// The numbers of actions on the screen and off it.
    pub(crate) fn actions(&self) -> [u64; 2] {
        let visible = self.truth.values().filter(|visible| **visible).count();
        [visible as u64, (self.truth.len() - visible) as u64]
    }

    /// The detections, each with whether it hits: in the order of time, each action takes the best score
    /// within `reach` frames that no other action has taken.
    pub(crate) fn detections(&self, reach: i64) -> Vec<Detection> {
        let seen: Vec<(i64, f64)> =
            self.seen.iter().filter(|(_, score)| **score >= 0.0).map(|(f, s)| (*f, *s)).collect();
        let mut hits = vec![false; seen.len()];
        for action in self.truth.keys() {
            let first = seen.partition_point(|(frame, _)| *frame < action - reach);
            let near = (first..seen.len()).take_while(|i| seen[*i].0 <= action + reach);
            let free = near.filter(|i| !hits[*i]);
            let best = free.reduce(|best, i| if seen[i].1 > seen[best].1 { i } else { best });
            if let Some(best) = best {
                hits[best] = true;
            }
        }
        let midpoints = self.midpoints();
        let visible: Vec<bool> = self.truth.values().copied().collect();
        let nearest = |frame: i64| {
            let index = midpoints.partition_point(|midpoint| *midpoint <= frame);
            visible.get(index).copied().unwrap_or(false)
        };
        let detection = |((frame, score), is_hit): (&(i64, f64), bool)| Detection {
            score: *score,
            is_hit,
            is_visible: nearest(*frame),
        };
        seen.iter().zip(hits).map(detection).collect()
    }

    /// The positions at which the nearest action changes.
    fn midpoints(&self) -> Vec<i64> {
        let frames: Vec<i64> = self.truth.keys().copied().collect();
        frames.windows(2).map(|pair| (pair[0] + pair[1]).div_euclid(2)).collect()
    }
}

/// Average precisions of one class over all its tracks: of all actions, of those on the screen and of those
/// off it.
pub(crate) fn average_precisions<'a>(
    tracks: impl Iterator<Item = &'a Track>,
    reach: i64,
) -> [f64; 3] {
    let mut curves = [(); 3].map(|()| Curve::default());
    let mut actions = [0; 2];
    for track in tracks {
        actions = [0, 1].map(|i| actions[i] + track.actions()[i]);
        for Detection { score, is_hit, is_visible } in track.detections(reach) {
            curves[0].add(score, is_hit);
            curves[if is_visible { 1 } else { 2 }].add(score, is_hit);
        }
    }
    let [visible, unshown] = actions;
    let totals = [visible + unshown, visible, unshown];
    [0, 1, 2].map(|i| curves[i].average_precision(totals[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(truth: &[(i64, bool)], seen: &[(i64, f64)]) -> Track {
        Track { truth: truth.iter().copied().collect(), seen: seen.iter().copied().collect() }
    }

    #[test]
    fn an_action_takes_the_best_score_that_is_free() {
        let track = track(&[(10, true), (12, false)], &[(9, 0.2), (11, 0.9), (13, 0.1)]);
        let hits: Vec<bool> = track.detections(1).iter().map(|d| d.is_hit).collect();
        assert_eq!(hits, [false, true, true]);
        let visible: Vec<bool> = track.detections(1).iter().map(|d| d.is_visible).collect();
        assert_eq!(visible, [true, false, false], "the midpoint belongs to the later one");
    }

    #[test]
    fn ties_go_to_the_first_in_time_and_negatives_vanish() {
        let track = track(&[(10, true)], &[(9, 0.5), (10, 0.5), (11, -0.5)]);
        let hits: Vec<bool> = track.detections(1).iter().map(|d| d.is_hit).collect();
        assert_eq!(hits, [true, false]);
    }

    #[test]
    fn frames_wrap_as_in_numpy() {
        assert_eq!([place(-1, 100), place(100, 100), place(-101, 100)], [Some(99), Some(99), None]);
    }
}
