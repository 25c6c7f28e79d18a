//! Tracking of several objects: HOTA, CLEAR and identity measures over sequences.
//!
//! Luiten et al. *HOTA*. <https://arxiv.org/abs/2009.07736>; the package sn-trackeval 0.4.0, without
//! preprocessing, as the challenge uses it.

mod assignment;
mod clear;
mod hota;
mod identity;
mod sequence;

use std::collections::BTreeMap;

use serde::Serialize;

pub use assignment::{Worth, highest};
pub use clear::Clear;
pub use hota::Hota;
pub use identity::Identity;
pub use sequence::{Frame, Near, Tracks, overlap};

use crate::{
    Error, Judge, Options, Result, Source,
    format::{
        ini::{Ini, LONGEST},
        mot::{self, TrackedBox},
    },
    source::base,
};

/// The maximum number of overlapping pairs of boxes of a sequence; in the challenge, with 25 boxes in a
/// frame, there are 470,000 if all overlap.
const NEAR: usize = 2_000_000;
/// The maximum number of pairs of a track of the truth and one of the prediction.
const PAIRS: usize = 4_000_000;

/// The measures of a sequence, or of all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Measures {
    /// Higher order tracking accuracy and its parts.
    #[serde(flatten)]
    pub hota: Hota,
    /// CLEAR MOT.
    #[serde(flatten)]
    pub clear: Clear,
    /// Measures of identity.
    #[serde(flatten)]
    pub identity: Identity,
}

/// The result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tracking {
    /// The measures over all sequences, computed from the sums of their counts.
    #[serde(flatten)]
    pub combined: Measures,
    /// The measures of each sequence.
    pub per_sequence: BTreeMap<String, Measures>,
}

impl Measures {
    /// The measures of a sequence.
    pub fn new(tracks: &Tracks) -> Self {
        Self { hota: Hota::new(tracks), clear: Clear::new(tracks), identity: Identity::new(tracks) }
    }

    /// The measures of several sequences together.
    pub fn combine<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        let (mut hota, mut clear, mut identity) = Default::default();
        for one in all {
            hota = Hota::add(hota, &one.hota);
            clear = Clear::add(clear, &one.clear);
            identity = Identity::add(identity, &one.identity);
        }
        Self { hota: hota.finish(), clear: clear.finish(), identity: identity.finish() }
    }
}

/// Scores `SEQUENCE.txt` for each `SEQUENCE/gt/gt.txt` of the truth, which has a `seqinfo.ini`.
///
/// # Errors
///
/// If there is no sequence, one has no prediction, a file is invalid, or the judge refuses an entry.
pub fn score(
    truth: &Source,
    prediction: &Source,
    options: &Options,
    judge: &mut Judge,
) -> Result<Tracking> {
    let sequences = sequences(truth, options.split.as_deref())?;
    let mut files = BTreeMap::new();
    for name in prediction.names().into_iter().filter(|name| name.ends_with(".txt")) {
        if let Some(other) = files.insert(base(name), name) {
            return Err(Error::entry(
                prediction.name(),
                name,
                format!("{other} has the same name"),
            ));
        }
    }
    for (file, name) in &files {
        if !sequences.iter().any(|folder| base(folder) == file.trim_end_matches(".txt")) {
            let problem = "the truth does not have this sequence; it is ignored";
            judge.odd(Error::entry(prediction.name(), *name, problem))?;
        }
    }
    let mut per_sequence = BTreeMap::new();
    for folder in &sequences {
        let name = base(folder);
        let file = format!("{name}.txt");
        let found = files.get(file.as_str()).copied().unwrap_or(&file);
        let seen = prediction.read(found)?;
        let tracks = tracks(truth, folder, &seen, found, judge)?;
        if per_sequence.insert(name.to_string(), Measures::new(&tracks)).is_some() {
            let problem =
                format!("two sequences are named {name}; give the folder of a single split");
            return Err(Error::file(truth.name(), problem));
        }
    }
    Ok(Tracking { combined: Measures::combine(per_sequence.values()), per_sequence })
}

fn sequences(truth: &Source, split: Option<&str>) -> Result<Vec<String>> {
    let folders = truth.folders_with("gt/gt.txt").into_iter();
    let folders = folders.filter_map(|folder| folder.strip_suffix("/gt"));
    let of_split = |folder: &&str| split.is_none_or(|split| folder.split('/').any(|f| f == split));
    let sequences: Vec<String> = folders.filter(of_split).map(str::to_string).collect();
    match sequences.is_empty() {
        true => Err(Error::file(truth.name(), "found no SEQUENCE/gt/gt.txt")),
        false => Ok(sequences),
    }
}

fn tracks(
    truth: &Source,
    folder: &str,
    seen: &[u8],
    seen_file: &str,
    judge: &mut Judge,
) -> Result<Tracks> {
    let info = format!("{folder}/seqinfo.ini");
    let length = Ini::read(&truth.read(&info)?, &info)?.get("Sequence", "seqLength")?;
    if length > LONGEST {
        let problem = format!("{length}; expected at most {LONGEST} frames");
        return Err(Error::entry(info, "[Sequence] seqLength", problem));
    }
    let file = format!("{folder}/gt/gt.txt");
    let truth = mot::read(&truth.read(&file)?, &file, length, mot::Kind::Truth, judge)?;
    let seen = mot::read(seen, seen_file, length, mot::Kind::Tracks, judge)?;
    few(&truth, &seen, length).map_err(|problem| Error::file(seen_file, problem))
}

/// The tracks, if there are not too many to compare.
fn few(
    truth: &[TrackedBox],
    seen: &[TrackedBox],
    length: usize,
) -> std::result::Result<Tracks, String> {
    let crowded = || format!("more than {NEAR} pairs of its boxes and those of the truth overlap");
    let tracks = Tracks::within(truth, seen, length, NEAR).ok_or_else(crowded)?;
    let [there, found] = tracks.tracks;
    match there.saturating_mul(found) > PAIRS {
        true => Err(format!(
            "{found} tracks, and {there} in the truth; expected at most {PAIRS} pairs of them"
        )),
        false => Ok(tracks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The boxes of `frames` frames, `count` at one place in each; identities continue across frames if they
    /// are new.
    fn boxes(frames: usize, count: usize, new: bool) -> Vec<TrackedBox> {
        let one = |(frame, at): (usize, usize)| TrackedBox {
            frame,
            id: (at + if new { count * (frame - 1) } else { 0 }) as i64,
            rect: [at as f64, 0.0, 9000.0, 10.0],
            confidence: 1.0,
            class: 1,
        };
        (1..=frames).flat_map(|frame| (0..count).map(move |at| (frame, at))).map(one).collect()
    }

    #[test]
    fn crowds_are_refused_before_they_take_the_memory() {
        let all = boxes(3, 1000, false);
        let expected = "more than 2000000 pairs of its boxes and those of the truth overlap";
        assert_eq!(few(&all, &all, 3).unwrap_err(), expected);
        let many = boxes(300, 10, true);
        let expected = "3000 tracks, and 3000 in the truth; expected at most 4000000 pairs of them";
        assert_eq!(few(&many, &many, 300).unwrap_err(), expected);
        let measures = Measures::new(&few(&boxes(1, 300, true), &boxes(1, 300, true), 1).unwrap());
        assert_eq!((measures.identity.hits, measures.clear.hits), (300, 300));
    }
}
