//! The official measures of tracks.

use std::collections::BTreeMap;

use soccernet::{
    Measured, Options, Source, Task as Official,
    format::mot::{self, TrackedBox},
    tracking::Measures,
};

use super::sequences::Clip;
use crate::Score;

/// Adds the measures that the challenge names.
pub(super) fn add_official(found: &Measures, score: &mut Score) {
    let Measures { hota, clear, identity } = found;
    for (name, value) in [
        ("HOTA", hota.hota),
        ("DetA", hota.det_a),
        ("AssA", hota.ass_a),
        ("MOTA", clear.mota),
        ("IDF1", identity.f1),
    ] {
        score.add(name, value, 1);
    }
}

/// The measures of all clips together; `identify` gives the identities of the boxes of each frame of one.
pub(super) fn measures(
    clips: &[Clip],
    identify: &mut dyn FnMut(&Clip) -> Vec<Vec<i64>>,
) -> Option<Measures> {
    let (mut truth, mut seen) = (BTreeMap::new(), BTreeMap::new());
    for clip in clips {
        seen.insert(format!("{}.txt", clip.name), mot::write(&rows(clip, &identify(clip))));
        truth.insert(format!("{}/gt/gt.txt", clip.name), clip.files[0].clone());
        truth.insert(format!("{}/seqinfo.ini", clip.name), clip.files[1].clone());
    }
    let (truth, seen) = (Source::memory("truth", truth), Source::memory("tracks", seen));
    let official = Official::Tracking2022;
    match soccernet::score(official, &truth, &seen, &Options::of(official)).ok()?.result {
        Measured::Tracking(found) => Some(found.combined),
        _ => None,
    }
}

/// The rows of a submission.
fn rows(clip: &Clip, identities: &[Vec<i64>]) -> Vec<TrackedBox> {
    let mut rows = Vec::new();
    for (at, (boxes, ids)) in clip.boxes().iter().zip(identities).enumerate() {
        let row = |(rect, id): (&[f64; 4], &i64)| TrackedBox {
            frame: at + 1,
            id: *id,
            rect: *rect,
            confidence: 1.0,
            class: -1,
        };
        rows.extend(boxes.iter().zip(ids).map(row));
    }
    rows
}
