//! One sequence: who is where in each picture, in truth and prediction.

use std::collections::{BTreeSet, HashMap};

use crate::format::mot::Row;

/// One picture.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Tracks of the truth, from 0.
    pub truth: Vec<usize>,
    /// Tracks of the prediction, from 0.
    pub seen: Vec<usize>,
    /// Intersection over union of each of the first with each of the second, row by row.
    pub similarity: Vec<f64>,
}

/// A sequence, its tracks numbered from 0.
#[derive(Clone, Debug, Default)]
pub struct Tracks {
    /// The pictures.
    pub frames: Vec<Frame>,
    /// Number of tracks in truth and prediction.
    pub tracks: [usize; 2],
    /// Number of boxes in truth and prediction.
    pub boxes: [usize; 2],
}

impl Tracks {
    /// A sequence of so many pictures. Boxes of the truth with a confidence that is cut to 0 are
    /// left out.
    pub fn new(truth: &[Row], seen: &[Row], length: usize) -> Self {
        let truth: Vec<&Row> = truth.iter().filter(|row| row.confidence.trunc() != 0.0).collect();
        let seen: Vec<&Row> = seen.iter().collect();
        let mut rows = vec![[Vec::new(), Vec::new()]; length];
        for (side, all) in [&truth, &seen].into_iter().enumerate() {
            for row in all.iter().filter(|row| (1..=length).contains(&row.frame)) {
                rows[row.frame - 1][side].push(*row);
            }
        }
        let numbers = [numbered(&truth), numbered(&seen)];
        let frame = |[truth, seen]: &[Vec<&Row>; 2]| Frame {
            truth: truth.iter().map(|row| numbers[0][&row.id]).collect(),
            seen: seen.iter().map(|row| numbers[1][&row.id]).collect(),
            similarity: truth
                .iter()
                .flat_map(|a| seen.iter().map(|b| overlap(a.rect, b.rect)))
                .collect(),
        };
        Self {
            frames: rows.iter().map(frame).collect(),
            tracks: [numbers[0].len(), numbers[1].len()],
            boxes: [truth.len(), seen.len()],
        }
    }

    /// Has one of the sides no box at all?
    pub(crate) fn is_one_sided(&self) -> bool {
        self.boxes.contains(&0)
    }
}

fn numbered(rows: &[&Row]) -> HashMap<i64, usize> {
    let ids: BTreeSet<i64> = rows.iter().map(|row| row.id).collect();
    ids.into_iter().zip(0..).collect()
}

/// Intersection over union of two boxes, given by left, top, width and height.
pub(crate) fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let corners = |[x, y, w, h]: [f64; 4]| [x, y, x + w, y + h];
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
        let row = |frame, id, confidence| Row {
            frame,
            id,
            rect: [0.0, 0.0, 1.0, 1.0],
            confidence,
            class: -1,
        };
        let tracks = Tracks::new(&[row(1, 5, 1.0), row(2, 9, 0.0)], &[row(2, 7, 0.0)], 3);
        assert_eq!((tracks.tracks, tracks.boxes, tracks.frames.len()), ([1, 1], [1, 1], 3));
        assert_eq!(tracks.frames[1].seen, [0]);
    }
}
