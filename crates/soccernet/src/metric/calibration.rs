//! Camera calibration: accuracy of the pitch's lines as the camera sees them, and completeness.
//!
//! The repository SoccerNet/sn-calibration as of 2022 and the package SoccerNet 0.1.62.
//! <https://github.com/SoccerNet/sn-calibration>

use std::collections::BTreeMap;

use serde::Serialize;

use super::images::{Counts, Image, better, images, mean, sides};
use crate::{
    Judge, Options, Result, Source,
    format::cameras,
    pitch::{
        Point,
        camera::Camera,
        model::Model,
        view::{distance_to, polylines},
    },
};

/// The result at one distance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// The distance in pixels within which a point is right.
    pub threshold: f64,
    /// Number of views.
    pub images: usize,
    /// Share of the images that have a camera.
    pub completeness: f64,
    /// The mean accuracy over the images that have a camera; 0 if no image has one, for which the official
    /// evaluator gives NaN.
    #[serde(rename = "meanAccuracies")]
    pub accuracy: f64,
    /// The mean precision.
    #[serde(rename = "meanPrecision")]
    pub precision: f64,
    /// The mean recall.
    #[serde(rename = "meanRecall")]
    pub recall: f64,
    /// Completeness times accuracy, the criterion of the challenge's ranking.
    #[serde(rename = "final")]
    pub ranking: f64,
    /// The scores of each class over all views, by points.
    pub per_class: BTreeMap<String, ClassScore>,
}

/// Shares of the annotated points of a class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    /// The share of right points among all.
    pub accuracy: f64,
    /// The share of right points among those that the camera sees; null if it sees none.
    pub precision: Option<f64>,
    /// The share of right points among those annotated; null if none is right or missed.
    pub recall: Option<f64>,
}

type Line<'a> = (&'a str, Vec<Point>);

/// Scores `camera_00000.json` at each distance.
///
/// # Errors
///
/// If a file is invalid or the judge refuses an entry.
pub fn score(
    truth: &Source,
    prediction: &Source,
    options: &Options,
    judge: &mut Judge,
) -> Result<Vec<Calibration>> {
    let images = images(truth, prediction, "camera_", options, judge)?;
    let model = Model::default();
    let mut views = Vec::new();
    for image in images.iter().filter(|image| image.prediction.is_some()) {
        views.push(View::new(image, prediction, &model, judge)?);
    }
    let at = |threshold: &f64| result(&views, images.len(), *threshold);
    Ok(options.thresholds.iter().map(at).collect())
}

/// The accuracy of one camera against one image's annotations, in pixels by class.
pub fn accuracy(camera: &Camera, truth: &[Line<'_>], threshold: f64) -> f64 {
    let distances = distances(truth, &polylines(camera, &Model::default()));
    counts(&distances, threshold).0.accuracy()
}

/// For each class, the distances of the annotated points to the projected lines.
#[derive(Debug)]
struct ClassDistances {
    class: String,
    /// The number of annotated points; 0 if only the camera sees the class.
    annotated: usize,
    /// A distance for each point, if the camera sees the class.
    distances: Option<Vec<f64>>,
}

#[derive(Debug)]
struct View {
    sides: [Vec<ClassDistances>; 2],
}

impl View {
    fn new(image: &Image, prediction: &Source, model: &Model, judge: &mut Judge) -> Result<Self> {
        let file = image.prediction.as_deref().unwrap_or_default();
        let camera = cameras::read(&prediction.read(file)?, file, judge)?;
        let seen = polylines(&camera, model);
        let sides = sides(&image.truth, &image.file)?;
        Ok(Self { sides: sides.map(|side| distances(&side, &seen)) })
    }
}

fn distances(truth: &[Line<'_>], seen: &[(&'static str, Vec<Point>)]) -> Vec<ClassDistances> {
    let mut all = Vec::new();
    for (class, points) in truth {
        let line = seen.iter().find(|(name, _)| name == class).map(|(_, line)| line);
        let to_line = |line: &Vec<Point>| points.iter().map(|p| distance_to(*p, line)).collect();
        let (class, annotated) = (class.to_string(), points.len());
        all.push(ClassDistances { class, annotated, distances: line.map(to_line) });
    }
    for (class, _) in seen.iter().filter(|(class, _)| !truth.iter().any(|(name, _)| name == class))
    {
        all.push(ClassDistances {
            class: class.to_string(),
            annotated: 0,
            distances: Some(vec![]),
        });
    }
    all
}

/// The classes that are right, wrong and missed; and by class the same counts of points.
fn counts(all: &[ClassDistances], threshold: f64) -> (Counts, Vec<(String, Counts)>) {
    let (mut classes, mut points) = (Counts::default(), Vec::new());
    for ClassDistances { class, annotated, distances } in all {
        let mut of_class = Counts::default();
        match distances {
            None => {
                classes.missed += 1;
                of_class.missed = *annotated as u64;
            }
            Some(_) if *annotated == 0 => {
                classes.wrong += 1;
                of_class.wrong = if class.contains("Circle") { 9 } else { 2 };
            }
            Some(distances) => {
                let right = distances.iter().filter(|distance| **distance < threshold).count();
                of_class.right = right as u64;
                of_class.wrong = (annotated - right) as u64;
                match of_class.wrong {
                    0 => classes.right += 1,
                    _ => classes.wrong += 1,
                }
            }
        }
        points.push((class.clone(), of_class));
    }
    (classes, points)
}

fn result(views: &[View], images: usize, threshold: f64) -> Calibration {
    let (mut accuracies, mut precisions, mut recalls) = (vec![], vec![], vec![]);
    let mut per_class: BTreeMap<String, Counts> = BTreeMap::new();
    for view in views {
        let ways = [0, 1].map(|side| counts(&view.sides[side], threshold));
        let (counts, by_class) = better(ways);
        accuracies.push(counts.accuracy());
        precisions.extend(counts.precision());
        recalls.extend(counts.recall());
        by_class.into_iter().for_each(|(class, of)| per_class.entry(class).or_default().add(of));
    }
    let completeness = views.len() as f64 / images as f64;
    let accuracy = mean(&accuracies).unwrap_or_default();
    let score = |counts: Counts| ClassScore {
        accuracy: counts.accuracy(),
        precision: counts.precision(),
        recall: counts.recall(),
    };
    Calibration {
        threshold,
        images,
        completeness,
        accuracy,
        precision: mean(&precisions).unwrap_or_default(),
        recall: mean(&recalls).unwrap_or_default(),
        ranking: completeness * accuracy,
        per_class: per_class.into_iter().map(|(class, counts)| (class, score(counts))).collect(),
    }
}
