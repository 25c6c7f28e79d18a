//! Images of pitch localisation and calibration: annotations with the predictions for them.

use crate::{
    Error, Judge, Options, Result, Source,
    format::lines::Lines,
    pitch::{Point, class::mirrored},
    source::{base, join},
};

/// Counts of elements that are right, predicted wrongly, and missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) right: u64,
    pub(crate) wrong: u64,
    pub(crate) missed: u64,
}

impl Counts {
    /// The share of right elements among all; 0 if there are none.
    pub(crate) fn accuracy(self) -> f64 {
        ratio(self.right, self.right + self.wrong + self.missed).unwrap_or_default()
    }

    /// The share of right elements among the predicted ones.
    pub(crate) fn precision(self) -> Option<f64> {
        ratio(self.right, self.right + self.wrong)
    }

    /// The share of right elements among the right and the missed ones.
    pub(crate) fn recall(self) -> Option<f64> {
        ratio(self.right, self.right + self.missed)
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.missed += other.missed;
    }
}

fn ratio(a: u64, b: u64) -> Option<f64> {
    (b > 0).then(|| a as f64 / b as f64)
}

/// The mean; `None` without values.
pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Annotations of an image, and the name of the prediction for it, if there is one.
pub(crate) struct Image {
    pub(crate) truth: Lines,
    pub(crate) file: String,
    pub(crate) prediction: Option<String>,
}

/// The images of the truth: files whose names are digits, `00000.json`. Predictions are `PREFIX_00000.json`,
/// in any folder.
pub(crate) fn images(
    truth: &Source,
    prediction: &Source,
    prefix: &str,
    options: &Options,
    judge: &mut Judge,
) -> Result<Vec<Image>> {
    let names = truth_names(truth, options.split.as_deref())?;
    let mut found = std::collections::BTreeMap::new();
    for name in predicted_names(prediction, options.split.as_deref()) {
        let Some(digits) = base(name).strip_prefix(prefix).filter(|name| name.ends_with(".json"))
        else {
            continue;
        };
        if let Some(other) = found.insert(digits, name) {
            let problem = format!("{other} has the same name; expected one file for each image");
            return Err(Error::entry(prediction.name(), name, problem));
        }
    }
    for (digits, name) in &found {
        if !names.iter().any(|known| base(known) == *digits) {
            let problem = "the truth has no image of this name; it is ignored";
            judge.odd(Error::entry(prediction.name(), *name, problem))?;
        }
    }
    let is_there = |file: &String| found.contains_key(base(file));
    if !names.is_empty() && !names.iter().any(is_there) {
        let n = names.len();
        let problem =
            format!("no {prefix}NUMBER.json for any of {n} images; each counts as missing");
        judge.odd(Error::file(prediction.name(), problem))?;
    }
    let image = |file: String| {
        let truth = Lines::read(&truth.read(&file)?, &file, judge)?;
        let prediction = found.get(base(&file)).map(|name| name.to_string());
        Ok(Image { truth, file, prediction })
    };
    names.into_iter().map(image).collect()
}

/// The files of a submission: those in folders of the split's name, if there are such folders.
fn predicted_names<'a>(prediction: &'a Source, split: Option<&str>) -> Vec<&'a str> {
    let all = prediction.names();
    let of_split: Vec<&str> = all
        .iter()
        .copied()
        .filter(|name| split.is_some_and(|split| folder(name) == split))
        .collect();
    if of_split.is_empty() { all } else { of_split }
}

/// The name of the folder of a file.
fn folder(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| base(folder))
}

fn truth_names(truth: &Source, split: Option<&str>) -> Result<Vec<String>> {
    let is_image = |name: &&str| {
        let digits = base(name).strip_suffix(".json").unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let of_split = |name: &&str| split.is_none_or(|split| split == folder(name));
    let names = truth.names().into_iter().filter(is_image).filter(of_split);
    let names: Vec<String> = names.map(str::to_string).collect();
    let mut bases: Vec<(&str, &String)> = names.iter().map(|name| (base(name), name)).collect();
    bases.sort_unstable();
    if let Some(pair) = bases.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let problem = format!(
            "{} and {} have the same name; give the folder of a single split",
            pair[0].1, pair[1].1
        );
        return Err(Error::file(truth.name(), problem));
    }
    if names.is_empty() {
        let wanted = join(split.unwrap_or(""), "00000.json");
        return Err(Error::file(truth.name(), format!("found no annotations such as {wanted}")));
    }
    Ok(names)
}

/// The annotations in pixels, and the same with the classes of the other side of the pitch.
pub(crate) type Sides<'a> = [Vec<(&'a str, Vec<Point>)>; 2];

/// # Errors
///
/// At a class that has no other side, where the official evaluators fail.
pub(crate) fn sides<'a>(truth: &'a Lines, file: &str) -> Result<Sides<'a>> {
    let direct = truth.in_pixels();
    let mut other = Vec::new();
    for (class, points) in &direct {
        let unknown = || Error::entry(file, *class, "unknown class; the official evaluator fails");
        other.push((mirrored(class).ok_or_else(unknown)?, points.clone()));
    }
    Ok([direct, other])
}

/// The better of two assignments of classes to the image; the second one for a tie.
pub(crate) fn better<T>(ways: [(Counts, T); 2]) -> (Counts, T) {
    let [direct, mirrored] = ways;
    if direct.0.accuracy() > mirrored.0.accuracy() { direct } else { mirrored }
}
