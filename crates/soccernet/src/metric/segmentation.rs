//! Camera-shot segmentation: mean intersection over union of 13 kinds of camera, and F1.
//!
//! Deliège et al. *SoccerNet-v2*. <https://arxiv.org/abs/2011.13367>; its development kit, the basic
//! model of task 2.

use serde::Serialize;
use serde_json::{Map, Value};

use super::shot_frames::{check_length, ends, foreign_halves, half, shots};
use crate::{
    Error, Judge, Options, Result, Source,
    classes::{CAMERAS, camera, camera_trimmed},
    format::shots::Shots,
    npy::Array,
    source::join,
};

const CLASSES: usize = CAMERAS.len();

/// The result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Segmentation {
    /// Number of games.
    pub games: usize,
    /// Number of frames.
    pub frames: u64,
    /// The mean over classes: smoothed in the official mode, not smoothed in the strict one.
    #[serde(rename = "mIoU")]
    pub mean: f64,
    /// The mean with 1 added to each intersection and union of each half: a class that neither occurs nor is
    /// predicted has 1.
    #[serde(rename = "mIoU_smoothed")]
    pub smoothed: f64,
    /// The mean over the classes that occur or are predicted.
    #[serde(rename = "mIoU_unsmoothed")]
    pub unsmoothed: f64,
    /// By class, smoothed.
    #[serde(rename = "IoU_per_class_smoothed")]
    pub per_class_smoothed: Map<String, Value>,
    /// By class, not smoothed; null for a class that does not occur and is not predicted.
    #[serde(rename = "IoU_per_class_unsmoothed")]
    pub per_class_unsmoothed: Map<String, Value>,
    /// The mean of F1 over the classes that occur.
    pub f1_macro: f64,
    /// F1 over all frames, which is the accuracy.
    pub f1_micro: f64,
}

/// Scores `1_segmentation.npy` and `2_segmentation.npy` of each game of the truth: one class per frame, or 13
/// scores per frame, of which the highest counts.
///
/// # Errors
///
/// If a game is missing, a file is invalid, or the judge refuses an entry.
pub fn score(
    truth: &Source,
    prediction: &Source,
    options: &Options,
    judge: &mut Judge,
) -> Result<Segmentation> {
    let label_file = options.label_file.as_deref().unwrap_or("Labels-cameras.json");
    let end = options.prediction_file.as_deref().unwrap_or("segmentation.npy");
    let games = options.games(truth, label_file)?;
    foreign_halves(prediction, end, &games, judge)?;
    let mut halves = Vec::new();
    for game in &games {
        let labels = join(game, label_file);
        let shots = shots(truth, &labels, judge)?;
        for number in 1..=2 {
            let (array, file) = half(prediction, game, number, end)?;
            if let Some(at) = array.data.iter().position(|score| score.is_nan()) {
                let frame = at / array.shape.get(1).copied().unwrap_or(1).max(1);
                let problem = format!("frame {frame} has a score that is not a number");
                judge.odd(Error::file(&file, problem))?;
            }
            let seen = classes(&array, &file)?;
            check_length(&shots, number, seen.len(), &file, judge)?;
            let truth = segments(&shots, number, seen.len(), judge, &labels)?;
            halves.push(Confusion::new(&truth, &seen));
        }
    }
    Ok(result(&halves, games.len(), judge))
}

/// The class of each frame.
fn classes(array: &Array, file: &str) -> Result<Vec<usize>> {
    let fault = |problem: String| Error::file(file, problem);
    match array.shape[..] {
        [_] | [_, 1] => {
            let class = |(frame, value): (usize, &f64)| {
                let class = *value as usize;
                let wrong = || fault(format!("frame {frame}: class {value}; expected 0 to 12"));
                (class as f64 == *value && class < CLASSES).then_some(class).ok_or_else(wrong)
            };
            array.data.iter().enumerate().map(class).collect()
        }
        [_, CLASSES] => {
            let best = |scores: &[f64]| {
                let first_best = |best, i: usize| if scores[i] > scores[best] { i } else { best };
                (1..CLASSES).fold(0, first_best)
            };
            Ok(array.data.chunks_exact(CLASSES).map(best).collect())
        }
        _ => {
            let shape = &array.shape;
            Err(fault(format!("shape {shape:?}; expected (frames,) or (frames, 13)")))
        }
    }
}

/// The class of each frame: a shot extends back to the end of the previous one; frames after the last shot
/// have class 0.
pub fn segments(
    shots: &Shots,
    half: i64,
    frames: usize,
    judge: &mut Judge,
    file: &str,
) -> Result<Vec<usize>> {
    let mut at: Vec<Option<usize>> = vec![None; frames];
    for (i, shot, frame) in ends(shots, half, frames, judge, file)? {
        let known = if judge.is_strict() { camera_trimmed } else { camera };
        match known(&shot.label) {
            Some(class) => at[frame] = Some(at[frame].map_or(class, |other| other.min(class))),
            None => {
                let problem = format!("{:?} is not a kind of camera and is ignored", shot.label);
                judge.odd(Error::entry(file, format!("annotations[{i}].label"), problem))?;
            }
        }
    }
    Ok(spread(&at))
}

/// The class of each frame, from the classes of the shots that end at each frame.
fn spread(ends: &[Option<usize>]) -> Vec<usize> {
    let mut class = 0;
    let backward = ends.iter().rev().map(|end| {
        class = end.unwrap_or(class);
        class
    });
    let mut segments: Vec<usize> = backward.collect();
    segments.reverse();
    segments
}

/// Frames by class in truth and prediction.
struct Confusion {
    both: [u64; CLASSES],
    truth: [u64; CLASSES],
    seen: [u64; CLASSES],
}

impl Confusion {
    fn new(truth: &[usize], seen: &[usize]) -> Self {
        let mut counts = Self { both: [0; CLASSES], truth: [0; CLASSES], seen: [0; CLASSES] };
        for (a, b) in truth.iter().zip(seen) {
            counts.truth[*a] += 1;
            counts.seen[*b] += 1;
            counts.both[*a] += u64::from(a == b);
        }
        counts
    }

    fn union(&self, class: usize) -> u64 {
        self.truth[class] + self.seen[class] - self.both[class]
    }
}

fn result(halves: &[Confusion], games: usize, judge: &Judge) -> Segmentation {
    let sum = |of: &dyn Fn(&Confusion) -> u64| halves.iter().map(of).sum::<u64>();
    let ratio = |a: u64, b: u64| (b > 0).then(|| a as f64 / b as f64);
    let counts = |c: usize| [sum(&|half| half.both[c]), sum(&|half| half.union(c))];
    let more = halves.len() as u64;
    let smoothed: Vec<_> =
        (0..CLASSES).map(counts).map(|[i, u]| ratio(i + more, u + more)).collect();
    let unsmoothed: Vec<_> = (0..CLASSES).map(counts).map(|[i, u]| ratio(i, u)).collect();
    let f1 = |c: usize| {
        let size = sum(&|half| half.truth[c]) + sum(&|half| half.seen[c]);
        ratio(2 * sum(&|half| half.both[c]), size)
    };
    let frames = sum(&|half| half.truth.iter().sum());
    let right = sum(&|half| half.both.iter().sum());
    let (smooth, honest) = (mean(&smoothed), mean(&unsmoothed));
    Segmentation {
        games,
        frames,
        mean: if judge.is_strict() { honest } else { smooth },
        smoothed: smooth,
        unsmoothed: honest,
        per_class_smoothed: named(&smoothed),
        per_class_unsmoothed: named(&unsmoothed),
        f1_macro: mean(&(0..CLASSES).map(f1).collect::<Vec<_>>()),
        f1_micro: ratio(right, frames).unwrap_or_default(),
    }
}

/// The mean of the values that are not `None`.
fn mean(values: &[Option<f64>]) -> f64 {
    let there: Vec<f64> = values.iter().flatten().copied().collect();
    there.iter().sum::<f64>() / there.len().max(1) as f64
}

fn named(values: &[Option<f64>]) -> Map<String, Value> {
    CAMERAS.iter().zip(values).map(|(name, value)| (name.to_string(), (*value).into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shots_go_back_to_the_one_before() {
        let mut ends = vec![None; 20];
        [(5, 1), (9, 2), (14, 3)].into_iter().for_each(|(frame, class)| ends[frame] = Some(class));
        let expected = [[1].repeat(6), [2].repeat(4), [3].repeat(5), [0].repeat(5)].concat();
        assert_eq!(spread(&ends), expected);
    }

    #[test]
    fn values_of_the_official_code() {
        let frames = |counts: &[(usize, usize)]| {
            counts.iter().flat_map(|(class, n)| vec![*class; *n]).collect::<Vec<_>>()
        };
        let halves = [
            Confusion::new(&frames(&[(0, 10), (1, 10)]), &frames(&[(0, 8), (1, 12)])),
            Confusion::new(&frames(&[(0, 5), (2, 15)]), &frames(&[(0, 20)])),
        ];
        let found = result(&halves, 1, &Judge::default());
        let near = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-6, "{value}");
        near(found.mean, 0.880272);
        near(found.unsmoothed, 0.422222);
        near(found.f1_macro, 0.504581);
        near(found.f1_micro, 0.575);
        assert_eq!(found.per_class_smoothed["Main camera center"], 0.46875);
        assert_eq!(result(&halves, 1, &Judge::strict()).mean, found.unsmoothed);
    }

    #[test]
    fn classes_or_scores_a_frame() {
        let array = |shape: &[usize], data: Vec<f64>| Array { shape: shape.to_vec(), data };
        assert_eq!(classes(&array(&[2], vec![3.0, 12.0]), "f"), Ok(vec![3, 12]));
        let mut scores = vec![0.0; 26];
        [scores[4], scores[13 + 2], scores[13 + 7]] = [1.0; 3];
        assert_eq!(classes(&array(&[2, 13], scores), "f"), Ok(vec![4, 2]), "the first of equals");
        for wrong in [13.0, -1.0, 0.5, f64::NAN] {
            let error = classes(&array(&[1], vec![wrong]), "f").unwrap_err().to_string();
            assert!(error.contains("expected 0 to 12"), "{error}");
        }
        let error = classes(&array(&[2, 12], vec![0.0; 24]), "f").unwrap_err().to_string();
        assert!(error.contains("(frames, 13)"), "{error}");
    }
}
