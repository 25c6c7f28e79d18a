//! Pitch localisation: accuracy of the ends of lines.
//!
//! The repository SoccerNet/sn-calibration as of 2022.
//! <https://github.com/SoccerNet/sn-calibration>

use serde::Serialize;
use serde_json::{Map, Value};

use super::images::{Counts, better, images, mean, sides};
use crate::{
    Error, Judge, Options, Result, Source,
    format::lines::Lines,
    pitch::{Point, distance},
};

const IGNORED: &str = "Circle central";

/// The result at one distance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Localization {
    /// The distance in pixels within which a point is right.
    pub threshold: f64,
    /// Number of images.
    pub images: usize,
    /// The number of images without a prediction, which count 0.
    pub missing: usize,
    /// The mean accuracy over images.
    pub accuracy: f64,
    /// The mean precision over images.
    pub precision: f64,
    /// The mean recall over images.
    pub recall: f64,
    /// Accuracy by class over all images, null for a class without points.
    pub per_class: Map<String, Value>,
}

/// Scores `extremities_00000.json` at each distance.
///
/// # Errors
///
/// If a file is invalid or the judge refuses an entry.
pub fn score(
    truth: &Source,
    prediction: &Source,
    options: &Options,
    judge: &mut Judge,
) -> Result<Vec<Localization>> {
    let images = images(truth, prediction, "extremities_", options, judge)?;
    let mut pairs = Vec::new();
    for image in &images {
        let seen = image.prediction.as_ref().map(|file| {
            let lines = Lines::read(&prediction.read(file)?, file, judge)?;
            let wrong = lines.lines.iter().find(|(_, points)| points.len() != 2);
            if let Some((class, points)) = wrong.filter(|(class, _)| class != IGNORED) {
                let problem = format!("{} points; expected 2, the ends of the line", points.len());
                judge.odd(Error::entry(file, class, problem))?;
            }
            Ok(lines)
        });
        pairs.push((sides(&image.truth, &image.file)?, seen.transpose()?));
    }
    let at = |threshold: &f64| {
        let (mut result, mut classes) = (Means::default(), Map::new());
        let mut per_class: std::collections::BTreeMap<String, Counts> = Default::default();
        for (sides, seen) in &pairs {
            let Some(seen) = seen else {
                result.missing();
                continue;
            };
            let seen = seen.in_pixels();
            let (counts, by_class) =
                better([0, 1].map(|side| compare(&sides[side], &seen, *threshold)));
            result.add(counts);
            by_class
                .iter()
                .for_each(|(c, counts)| per_class.entry(c.clone()).or_default().add(*counts));
        }
        classes.extend(per_class.iter().map(|(class, c)| (class.clone(), c.accuracy().into())));
        result.finish(*threshold, pairs.len(), classes)
    };
    Ok(options.thresholds.iter().map(at).collect())
}

#[derive(Default)]
struct Means {
    accuracies: Vec<f64>,
    precisions: Vec<f64>,
    recalls: Vec<f64>,
    missing: usize,
}

impl Means {
    fn missing(&mut self) {
        self.missing += 1;
        self.accuracies.push(0.0);
        self.precisions.push(0.0);
        self.recalls.push(0.0);
    }

    fn add(&mut self, counts: Counts) {
        self.accuracies.push(counts.accuracy());
        self.precisions.extend(counts.precision());
        self.recalls.extend(counts.recall());
    }

    fn finish(self, threshold: f64, images: usize, per_class: Map<String, Value>) -> Localization {
        let mean = |values: &[f64]| mean(values).unwrap_or_default();
        Localization {
            threshold,
            images,
            missing: self.missing,
            accuracy: mean(&self.accuracies),
            precision: mean(&self.precisions),
            recall: mean(&self.recalls),
            per_class,
        }
    }
}

type Line<'a> = (&'a str, Vec<Point>);

/// The points that are right, wrong and missed, in total and by class.
fn compare(
    truth: &[Line<'_>],
    seen: &[Line<'_>],
    threshold: f64,
) -> (Counts, Vec<(String, Counts)>) {
    let mut by_class = Vec::new();
    for (class, points) in truth.iter().filter(|(class, _)| *class != IGNORED) {
        let counts = match seen.iter().find(|(name, _)| name == class) {
            None => Counts { missed: points.len() as u64, ..Default::default() },
            Some((_, found)) => ends(points, found, threshold),
        };
        by_class.push((class.to_string(), counts));
    }
    for (class, found) in seen.iter().filter(|(class, _)| *class != IGNORED) {
        if !truth.iter().any(|(name, _)| name == class) {
            let counts = Counts { wrong: found.len() as u64, ..Default::default() };
            by_class.push((class.to_string(), counts));
        }
    }
    let mut all = Counts::default();
    by_class.iter().for_each(|(_, counts)| all.add(*counts));
    (all, by_class)
}

/// Compares the first and the last points; in reverse order if neither distance is larger then.
fn ends(truth: &[Point], found: &[Point], threshold: f64) -> Counts {
    let [truth, found] = [truth, found].map(|points| [points[0], points[points.len() - 1]]);
    let direct = [distance(truth[0], found[0]), distance(truth[1], found[1])];
    let reversed = [distance(truth[1], found[0]), distance(truth[0], found[1])];
    let is_reversed = reversed[0] <= direct[0] && reversed[1] <= direct[1];
    let distances = if is_reversed { reversed } else { direct };
    let right = distances.iter().filter(|distance| **distance < threshold).count() as u64;
    Counts { right, wrong: 2 - right, missed: 0 }
}
