//! Shots and per-frame predictions of a half, for the two tasks on camera shots.

use super::track::place;
use crate::{
    Error, Judge, Result, Source,
    format::shots::{Shot, Shots},
    npy::{self, Array},
    source::join,
};

/// What a submission says of each frame of a half: `1_NAME.npy`, `2_NAME.npy`.
pub(crate) fn half(
    prediction: &Source,
    game: &str,
    half: i64,
    end: &str,
) -> Result<(Array, String)> {
    let file = join(game, &format!("{half}_{end}"));
    let array = npy::read(&prediction.read(&file)?, &file)?;
    if array.data.is_empty() {
        return Err(Error::file(file, "no frames"));
    }
    Ok((array, file))
}

/// The shots of a game with the entry in the file.
pub(crate) fn shots(truth: &Source, file: &str, judge: &mut Judge) -> Result<Shots> {
    Shots::read(&truth.read(file)?, file, judge)
}

/// The shots of a half with their index and their last frame in a half of `frames` frames: two a
/// second, less one. So a shot that ends at 00:00 ends at frame -1, which is the last frame of the
/// half for the official evaluator and the first one for a strict reading.
pub(crate) fn ends<'a>(
    shots: &'a Shots,
    half: i64,
    frames: usize,
    judge: &mut Judge,
    file: &str,
) -> Result<Vec<(usize, &'a Shot, usize)>> {
    let of_half = shots.annotations.iter().enumerate().filter(|(_, shot)| shot.time.half == half);
    let mut ends = Vec::new();
    for (i, shot) in of_half {
        let frame = shot.time.frame() - 1;
        if frame < 0 && !judge.is_strict() {
            let problem = "a shot that ends at 00:00; it counts as the end of the half";
            judge.odd(Error::entry(file, format!("annotations[{i}]"), problem))?;
        }
        let frame = if judge.is_strict() { frame.max(0) } else { frame };
        let frame = place(frame, frames as i64).unwrap_or_default();
        ends.push((i, shot, frame as usize));
    }
    Ok(ends)
}
