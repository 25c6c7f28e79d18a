//! One sequence: the boxes of each frame, in ground truth and prediction.

use std::collections::{BTreeSet, HashMap};

use crate::format::mot::TrackedBox;

/// One frame.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Tracks of the truth, from 0.
    pub truth: Vec<usize>,
    /// Tracks of the prediction, from 0.
    pub seen: Vec<usize>,
    /// Boxes that overlap, row by row.
    pub near: Vec<Near>,
}

/// A box of the truth and one of the prediction that overlap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// Index in [`Frame::truth`].
    pub row: usize,
    /// Index in [`Frame::seen`].
    pub column: usize,
    /// Index in [`Tracks::pairs`].
    pub pair: usize,
    /// Intersection over union, more than 0.
    pub similarity: f64,
}

/// A sequence, its tracks numbered from 0.
#[derive(Clone, Debug, Default)]
pub struct Tracks {
    /// The frames.
    pub frames: Vec<Frame>,
    /// The pairs of a track of the truth and one of the prediction that overlap in some frame.
    pub pairs: Vec<[usize; 2]>,
    /// Number of tracks in truth and prediction.
    pub tracks: [usize; 2],
    /// Number of boxes in truth and prediction.
    pub boxes: [usize; 2],
}

impl Tracks {
    /// A sequence of `length` frames. Boxes of the truth whose confidence is truncated to 0 are left
    /// out.
    pub fn new(truth: &[TrackedBox], seen: &[TrackedBox], length: usize) -> Self {
        Self::within(truth, seen, length, usize::MAX).unwrap_or_default()
    }

    /// The same; none if more than `most` pairs of boxes overlap.
    pub(crate) fn within(
        truth: &[TrackedBox],
        seen: &[TrackedBox],
        length: usize,
        most: usize,
    ) -> Option<Self> {
        let truth: Vec<&TrackedBox> =
            truth.iter().filter(|row| row.confidence.trunc() != 0.0).collect();
        let seen: Vec<&TrackedBox> = seen.iter().collect();
        let mut rows = vec![[Vec::new(), Vec::new()]; length];
        for (side, all) in [&truth, &seen].into_iter().enumerate() {
            for row in all.iter().filter(|row| (1..=length).contains(&row.frame)) {
                rows[row.frame - 1][side].push(*row);
            }
        }
        let numbers = [numbered(&truth), numbered(&seen)];
        let (mut pairs, mut frames, mut left) = (Pairs::default(), Vec::new(), most);
        for sides in &rows {
            let frame = frame(sides, &numbers, &mut pairs);
            left = left.checked_sub(frame.near.len())?;
            frames.push(frame);
        }
        Some(Self {
            frames,
            pairs: pairs.all,
            tracks: [numbers[0].len(), numbers[1].len()],
            boxes: [truth.len(), seen.len()],
        })
    }

    /// Numbers of frames with each track, in truth and prediction.
    pub(crate) fn lengths(&self) -> [Vec<f64>; 2] {
        let mut lengths = self.tracks.map(|count| vec![0.0; count]);
        for frame in &self.frames {
            frame.truth.iter().for_each(|track| lengths[0][*track] += 1.0);
            frame.seen.iter().for_each(|track| lengths[1][*track] += 1.0);
        }
        lengths
    }

    /// Whether the truth or the prediction has no box at all.
    pub(crate) fn is_one_sided(&self) -> bool {
        self.boxes.contains(&0)
    }
}

/// Pairs of tracks with their numbers.
#[derive(Default)]
struct Pairs {
    all: Vec<[usize; 2]>,
    numbers: HashMap<[usize; 2], usize>,
}

impl Pairs {
    fn number(&mut self, pair: [usize; 2]) -> usize {
        *self.numbers.entry(pair).or_insert_with(|| {
            self.all.push(pair);
            self.all.len() - 1
        })
    }
}

fn frame(
    [truth, seen]: &[Vec<&TrackedBox>; 2],
    numbers: &[HashMap<i64, usize>; 2],
    pairs: &mut Pairs,
) -> Frame {
    let track = |side: usize, rows: &[&TrackedBox]| -> Vec<usize> {
        rows.iter().map(|row| numbers[side][&row.id]).collect()
    };
    let mut frame = Frame { truth: track(0, truth), seen: track(1, seen), near: Vec::new() };
    for (row, a) in truth.iter().enumerate() {
        for (column, b) in seen.iter().enumerate() {
            let similarity = overlap(a.rect, b.rect);
            if similarity > 0.0 {
                let pair = pairs.number([frame.truth[row], frame.seen[column]]);
                frame.near.push(Near { row, column, pair, similarity });
            }
        }
    }
    frame
}

fn numbered(rows: &[&TrackedBox]) -> HashMap<i64, usize> {
    let ids: BTreeSet<i64> = rows.iter().map(|row| row.id).collect();
    ids.into_iter().zip(0..).collect()
}

/// Intersection over union of two boxes, given by left, top, width and height.
pub fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let corners = |[x, y, w, h]: [f64; 4]| [x, y, x + w, y + h];
    if a[0] + a[2] <= b[0] || b[0] + b[2] <= a[0] {
        return 0.0;
    }
    let (a, b) = (corners(a), corners(b));
    let area = |[x0, y0, x1, y1]: [f64; 4]| (x1 - x0) * (y1 - y0);
    let side = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
    let common = side(0) * side(1);
    let union = area(a) + area(b) - common;
    let is_empty = area(a) <= f64::EPSILON || area(b) <= f64::EPSILON || union <= f64::EPSILON;
    if is_empty { 0.0 } else { common / union }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps() {
        let square = [0.0, 0.0, 10.0, 10.0];
        assert_eq!(overlap(square, square), 1.0);
        assert_eq!(overlap(square, [5.0, 0.0, 10.0, 10.0]), 1.0 / 3.0);
        assert_eq!(overlap(square, [20.0, 0.0, 10.0, 10.0]), 0.0);
        assert_eq!(overlap(square, [0.0, 0.0, 0.0, 10.0]), 0.0);
        assert_eq!(overlap([0.0; 4], [0.0; 4]), 0.0);
    }

    #[test]
    fn rows_marked_zero_are_left_out() {
        let row = |frame, id, confidence| TrackedBox {
            frame,
            id,
            rect: [0.0, 0.0, 1.0, 1.0],
            confidence,
            class: -1,
        };
        let tracks = Tracks::new(&[row(1, 5, 1.0), row(2, 9, 0.0)], &[row(2, 7, 0.0)], 3);
        assert_eq!((tracks.tracks, tracks.boxes, tracks.frames.len()), ([1, 1], [1, 1], 3));
        assert_eq!(tracks.frames[1].seen, [0]);
        assert_eq!(tracks.pairs, [[0; 2]; 0], "no frame has boxes on both sides");
    }
}
