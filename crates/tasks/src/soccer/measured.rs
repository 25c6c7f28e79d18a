//! The official measures of tracks.

use std::collections::BTreeMap;

use soccernet::{
    Measured, Options, Source, Task as Official,
    format::mot::{self, TrackedBox},
    tracking::Measures,
};

use super::sequences::Clip;
use crate::{Score, official::official_measures};

/// The measures that the challenge names: HOTA, DetA, AssA, MOTA and IDF1.
pub(super) type TrackMeasures = [f64; 5];

/// Adds the measures to a score.
pub(super) fn add_official(found: TrackMeasures, score: &mut Score) {
    for (name, value) in ["HOTA", "DetA", "AssA", "MOTA", "IDF1"].into_iter().zip(found) {
        score.add(name, value, 1);
    }
}

/// The measures of all clips together; `identify` returns the identities of the boxes of each frame of a
/// clip.
pub(super) fn measures(
    clips: &[Clip],
    identify: &mut dyn FnMut(&Clip) -> Vec<Vec<i64>>,
) -> TrackMeasures {
    let (mut truth, mut seen) = (BTreeMap::new(), BTreeMap::new());
    for clip in clips {
        seen.insert(format!("{}.txt", clip.name), mot::write(&rows(clip, &identify(clip))));
        truth.insert(format!("{}/gt/gt.txt", clip.name), clip.files[0].clone());
        truth.insert(format!("{}/seqinfo.ini", clip.name), clip.files[1].clone());
    }
    let (truth, seen) = (Source::memory("truth", truth), Source::memory("tracks", seen));
    let official = Official::Tracking2022;
    let of = |found: Measured| match found {
        Measured::Tracking(found) => {
            let Measures { hota, clear, identity } = &found.combined;
            Some([hota.hota, hota.det_a, hota.ass_a, clear.mota, identity.f1])
        }
        _ => None,
    };
    official_measures(official, &Options::of(official), [&truth, &seen], of)
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
