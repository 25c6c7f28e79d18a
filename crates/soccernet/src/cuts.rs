//! Shot boundaries without learning: the difference between a frame and the next one.
//!
//! Deliège et al. *SoccerNet-v2*. CVPR Workshops 2021. <https://arxiv.org/abs/2011.13367> compares such detectors
//! on pixels: those of scikit-video by intensity and by histogram, beside PySceneDetect, which needs the
//! three channels of a colour image. Frames are rows of numbers here, pixels or features.

/// The number of bins of a histogram, over the values of all frames: a choice of this project.
const BINS: usize = 16;

/// A measure of the difference of two frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameChange {
    /// The distance of the rows.
    Distance,
    /// The mean absolute difference of their numbers.
    Intensity,
    /// The sum of absolute differences of their histograms, which have 16 bins between the least and the
    /// largest number of all frames.
    Histogram,
}

impl FrameChange {
    /// All measures.
    pub const ALL: [Self; 3] = [Self::Distance, Self::Intensity, Self::Histogram];

    /// For each frame the difference to the next one, divided by the largest difference: a confidence from 0
    /// to 1 that a shot ends. `frames` are rows of `width` numbers; the last frame has 0.
    pub fn of(self, frames: &[f32], width: usize) -> Vec<f64> {
        let rows: Vec<&[f32]> = frames.chunks_exact(width.max(1)).collect();
        let mut changes: Vec<f64> = match self {
            Self::Distance => between(&rows, |a, b| sum(a, b, |x| x * x).sqrt()),
            Self::Intensity => between(&rows, |a, b| sum(a, b, f64::abs)),
            Self::Histogram => {
                let histograms = histograms(&rows);
                between(&histograms, |a, b| sum(a, b, f64::abs))
            }
        };
        changes.extend((!rows.is_empty()).then_some(0.0));
        let most = changes.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        changes.iter().map(|change| change / most).collect()
    }
}

/// The change from each row to the next one.
fn between<R: AsRef<[f32]>>(rows: &[R], change: impl Fn(&[f32], &[f32]) -> f64) -> Vec<f64> {
    rows.windows(2).map(|pair| change(pair[0].as_ref(), pair[1].as_ref())).collect()
}

fn sum(a: &[f32], b: &[f32], of: impl Fn(f64) -> f64) -> f64 {
    a.iter().zip(b).map(|(a, b)| of(f64::from(*a) - f64::from(*b))).sum()
}

/// The number of values of each row in each bin.
fn histograms(rows: &[&[f32]]) -> Vec<Vec<f32>> {
    let all = || rows.iter().copied().flatten().copied();
    let [low, high] =
        [all().fold(f32::INFINITY, f32::min), all().fold(f32::NEG_INFINITY, f32::max)];
    let of = |row: &&[f32]| {
        let mut counts = vec![0.0; BINS];
        for value in *row {
            // If all numbers are equal, or one is NaN, they are in the first bin.
            let bin = (value - low) / (high - low) * BINS as f32;
            counts[(bin as usize).min(BINS - 1)] += 1.0;
        }
        counts
    };
    rows.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Two numbers a frame; distances 0, 5 and 10, absolute differences 0, 7 and 14.
        let frames = [0.0, 0.0, 0.0, 0.0, 3.0, 4.0, 9.0, 12.0];
        assert_eq!(FrameChange::Distance.of(&frames, 2), [0.0, 0.5, 1.0, 0.0]);
        assert_eq!(FrameChange::Intensity.of(&frames, 2), [0.0, 0.5, 1.0, 0.0]);
        // 3 and 4 of 12 are in other bins than 0, and so are 9 and 12: both differences are 4.
        assert_eq!(FrameChange::Histogram.of(&frames, 2), [0.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn numbers_that_change_places_are_no_change_of_the_histogram() {
        let frames = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
        assert_eq!(FrameChange::Histogram.of(&frames, 2), [0.0, 1.0, 0.0]);
        assert_eq!(FrameChange::Intensity.of(&frames, 2), [1.0, 0.5, 0.0]);
    }

    #[test]
    fn frames_without_a_change_have_none() {
        for change in FrameChange::ALL {
            assert_eq!(change.of(&[2.0; 6], 2), [0.0; 3]);
            assert_eq!(change.of(&[], 2), [0.0; 0]);
        }
    }
}
