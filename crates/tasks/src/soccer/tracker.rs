//! A tracker: boxes of the next frame are assigned to tracks by their costs (`association.rs`).
//!
//! Bewley et al. *Simple Online and Realtime Tracking*. ICIP 2016. <https://arxiv.org/abs/1602.00763>:
//! predict, assign, begin tracks for unassigned boxes, end tracks that found no box for some frames.
//! Wojke, Bewley, Paulus. *Simple Online and Realtime Tracking with a Deep Association Metric*. ICIP 2017.
//! <https://arxiv.org/abs/1703.07402>: tracks that are lost are remembered, and found again by appearance.
//!
//! Differs from both papers: the expected box of a track comes from any model of motion, not from a Kalman
//! filter, and a track that found no box continues with the expected one; a track waits three frames, not
//! one; boxes are those of the truth, so a new track needs no confirmation. Differs from DeepSORT: in place
//! of a cascade over the ages of tracks there are two assignments, first of the waiting tracks by (4) of
//! `association.rs`, then of the lost tracks by appearance alone, within a gate; so only a tracker with
//! appearance remembers lost tracks.

use super::association::{Descriptor, Rect, appearance_distance, assign, cost, motion_distance};

/// The number of frames without a box after which a track is lost.
const PATIENCE: usize = 3;
/// The number of frames for which a lost track is remembered: A_max of DeepSORT.
pub(super) const MEMORY: usize = 30;

/// The margin by which a distance equal to the gate is accepted, as in the code of DeepSORT.
const WITHIN: f64 = 1e-5;

/// A model of motion: the next box of each track.
pub(super) type Motion<'a> = dyn FnMut(&[&[Rect]]) -> Vec<Rect> + 'a;

/// The descriptors of boxes, and their use.
#[derive(Clone, Copy)]
pub(super) struct Appearance<'a> {
    /// The descriptors of the boxes of each frame.
    pub(super) of: &'a [Vec<Descriptor>],
    /// The weight of motion, lambda of (4).
    pub(super) lambda: f64,
    /// The distance (3) up to which a lost track is found again.
    pub(super) gate: f64,
    /// The number of frames for which a lost track is remembered.
    pub(super) memory: usize,
}

/// A track: one box per frame without gaps; the expected box where none was found.
struct Track<'a> {
    id: i64,
    boxes: Vec<Rect>,
    gallery: Vec<&'a [f32]>,
    missed: usize,
}

impl<'a> Track<'a> {
    fn find(&mut self, rect: Rect, look: Option<&'a [f32]>) {
        self.boxes.push(rect);
        self.gallery.extend(look);
        self.missed = 0;
    }
}

/// Identities of the boxes of each frame, from 1.
pub(super) fn track(
    frames: &[Vec<Rect>],
    motion: &mut Motion<'_>,
    appearance: Option<Appearance<'_>>,
) -> Vec<Vec<i64>> {
    let mut tracker = Tracker { tracks: vec![], lost: vec![], born: 0, appearance };
    let step = |(at, boxes): (usize, &Vec<Rect>)| {
        let looks = appearance.map_or(&[][..], |appearance| &appearance.of[at]);
        tracker.step(&Frame { boxes, looks }, motion)
    };
    frames.iter().enumerate().map(step).collect()
}

/// Boxes and their descriptors, if there are any.
struct Frame<'a, 'b> {
    boxes: &'b [Rect],
    looks: &'a [Descriptor],
}

impl<'a> Frame<'a, '_> {
    fn look(&self, at: usize) -> Option<&'a [f32]> {
        self.looks.get(at).map(Vec::as_slice)
    }
}

struct Tracker<'a> {
    tracks: Vec<Track<'a>>,
    lost: Vec<Track<'a>>,
    born: i64,
    appearance: Option<Appearance<'a>>,
}

impl<'a> Tracker<'a> {
    fn step(&mut self, frame: &Frame<'a, '_>, motion: &mut Motion<'_>) -> Vec<i64> {
        let mut ids = vec![0; frame.boxes.len()];
        self.follow(frame, motion, &mut ids);
        self.recall(frame, &mut ids);
        self.begin(frame, &mut ids);
        self.retire();
        ids
    }

    /// Assigns boxes to the waiting tracks.
    fn follow(&mut self, frame: &Frame<'a, '_>, motion: &mut Motion<'_>, ids: &mut [i64]) {
        let before: Vec<&[Rect]> = self.tracks.iter().map(|track| &*track.boxes).collect();
        let expected = if before.is_empty() { vec![] } else { motion(&before) };
        let lambda = self.appearance.map_or(1.0, |appearance| appearance.lambda);
        let of = |row: usize, column: usize| {
            let near = motion_distance(expected[row], frame.boxes[column]);
            let like = |look| appearance_distance(&self.tracks[row].gallery, look);
            (near < 1.0).then(|| cost(near, frame.look(column).and_then(like), lambda))
        };
        let found = assign([self.tracks.len(), frame.boxes.len()], 1.0, &of);
        for ((track, expected), found) in self.tracks.iter_mut().zip(expected).zip(found) {
            match found {
                Some(at) => {
                    ids[at] = track.id;
                    track.find(frame.boxes[at], frame.look(at));
                }
                None => {
                    track.boxes.push(expected);
                    track.missed += 1;
                }
            }
        }
    }

    /// Assigns the remaining boxes to lost tracks of similar appearance.
    fn recall(&mut self, frame: &Frame<'a, '_>, ids: &mut [i64]) {
        let Some(appearance) = self.appearance else { return };
        let left: Vec<usize> = (0..ids.len()).filter(|at| ids[*at] == 0).collect();
        let of = |row: usize, column: usize| {
            appearance_distance(&self.lost[row].gallery, frame.look(left[column])?)
        };
        let found = assign([self.lost.len(), left.len()], appearance.gate + WITHIN, &of);
        for (row, column) in found.into_iter().enumerate().rev() {
            self.lost[row].missed += 1;
            if let Some(at) = column.map(|column| left[column]) {
                let mut track = self.lost.remove(row);
                ids[at] = track.id;
                track.boxes.clear();
                track.find(frame.boxes[at], frame.look(at));
                self.tracks.push(track);
            }
        }
    }

    /// Begins tracks for the remaining boxes.
    fn begin(&mut self, frame: &Frame<'a, '_>, ids: &mut [i64]) {
        for (at, id) in ids.iter_mut().enumerate().filter(|(_, id)| **id == 0) {
            self.born += 1;
            *id = self.born;
            let mut track = Track { id: *id, boxes: vec![], gallery: vec![], missed: 0 };
            track.find(frame.boxes[at], frame.look(at));
            self.tracks.push(track);
        }
    }

    /// Ends tracks that found no box for too long.
    fn retire(&mut self) {
        let memory = self.appearance.map_or(0, |appearance| appearance.memory);
        self.lost.extend(self.tracks.extract_if(.., |track| track.missed > PATIENCE));
        self.lost.retain(|track| track.missed <= memory);
    }
}

/// The predicted place of a track that does not move: its last box.
pub(super) fn standing(tracks: &[&[Rect]]) -> Vec<Rect> {
    tracks.iter().map(|boxes| boxes[boxes.len() - 1]).collect()
}

/// The predicted place of a track that repeats its last step.
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
        let moving = track(&frames, &mut straight, None);
        assert!(moving.iter().all(|ids| *ids == [1, 2]), "{moving:?}");
        let still = track(&frames, &mut standing, None);
        assert_ne!(still[10], [1, 2], "they are swapped where they meet");
        let of = vec![vec![vec![1.0, 0.0], vec![0.0, 1.0]]; 11];
        let appearance = Appearance { of: &of, lambda: 0.5, gate: 0.2, memory: 0 };
        let seen = track(&frames, &mut standing, Some(appearance));
        assert!(seen.iter().all(|ids| *ids == [1, 2]), "{seen:?}");
    }

    #[test]
    fn players_in_a_row_keep_their_identities_where_the_nearest_is_the_next_one() {
        // Each walks 6 pixels to the right, and the next one stood 10 pixels before him.
        let frames = [vec![at(0.0), at(10.0)], vec![at(6.0), at(16.0)]];
        assert_eq!(track(&frames, &mut standing, None), [[1, 2], [1, 2]]);
    }

    #[test]
    fn a_track_waits_for_a_box_and_ends() {
        let gap = |missing: usize| {
            let mut frames = vec![vec![at(0.0)]; 2];
            frames.extend(vec![vec![]; missing]);
            frames.push(vec![at(0.0)]);
            track(&frames, &mut standing, None).pop().unwrap()
        };
        assert_eq!((gap(PATIENCE), gap(PATIENCE + 1)), (vec![1], vec![2]));
        let far = track(&[vec![at(0.0)], vec![at(500.0)]], &mut standing, None);
        assert_eq!(far, [[1], [2]]);
    }

    #[test]
    fn a_lost_track_is_found_elsewhere_by_its_looks_while_it_is_remembered() {
        let back = |missing: usize, look: Descriptor| {
            let mut frames = vec![vec![at(0.0)]];
            let mut of = vec![vec![vec![1.0, 0.0]]];
            frames.extend(vec![vec![]; missing]);
            of.extend(vec![vec![]; missing]);
            frames.extend([vec![at(500.0)], vec![at(501.0)]]);
            of.extend(vec![vec![look]; 2]);
            let appearance = Appearance { of: &of, lambda: 0.5, gate: 0.25, memory: MEMORY };
            track(&frames, &mut standing, Some(appearance)).split_off(missing + 1)
        };
        assert_eq!(back(10, vec![0.8, 0.6]), [[1], [1]]);
        assert_eq!(back(10, vec![0.75, 0.66]), [[1], [1]], "a distance equal to the gate");
        assert_eq!(back(10, vec![0.6, 0.8]), [[2], [2]], "it is not within the gate");
        assert_eq!(back(MEMORY, vec![1.0, 0.0]), [[1], [1]]);
        assert_eq!(back(MEMORY + 1, vec![1.0, 0.0]), [[2], [2]]);
        assert_eq!(back(2, vec![1.0, 0.0]), [[2], [2]], "it still waits where it was");
    }
}
