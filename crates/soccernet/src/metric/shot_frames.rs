//! Shots and per-frame predictions of a half, for the two tasks on camera shots.

use super::{spotting::foreign_games, track::place};
use crate::{
    Error, Judge, Result, Source,
    format::shots::{Shot, Shots},
    npy::{self, Array},
    source::join,
};

/// The values of a submission for each frame of a half: `1_NAME.npy`, `2_NAME.npy`.
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

/// The shots of a game.
pub(crate) fn shots(truth: &Source, file: &str, judge: &mut Judge) -> Result<Shots> {
    Shots::read(&truth.read(file)?, file, judge)
}

/// Applies [`foreign_games`] to the files of first halves: `1_NAME.npy`.
pub(crate) fn foreign_halves(
    prediction: &Source,
    end: &str,
    games: &[String],
    judge: &mut Judge,
) -> Result<()> {
    foreign_games(prediction, &format!("1_{end}"), games, judge)
}

/// The number of frames by which a half may be shorter than its labels: ten seconds. The official code moves
/// labels after the last frame to that frame, since features may end a little earlier.
const SHORTER: i64 = 20;
/// The number of frames by which a half may be longer than twice its labels.
const LONGER: i64 = 1200;

/// Reports a half with another rate than two frames per second, or one that is cut off: if frames are
/// missing, all later shots end at the last frame, and a single frame finds them all.
pub(crate) fn check_length(
    shots: &Shots,
    half: i64,
    frames: usize,
    file: &str,
    judge: &mut Judge,
) -> Result<()> {
    let of_half = shots.annotations.iter().filter(|shot| shot.time.half == half);
    let Some(last) = of_half.map(|shot| shot.time.frame()).max() else { return Ok(()) };
    let (count, most) = (frames as i64, last.saturating_mul(2).saturating_add(LONGER));
    if last.saturating_sub(count) > SHORTER || count > most {
        let problem = format!(
            "{frames} frames; expected about {last}: two per second up to the end of the last shot"
        );
        judge.odd(Error::file(file, problem))?;
    }
    Ok(())
}

/// The shots of a half with their index and their last frame in a half of `frames` frames: two frames per
/// second, less one. So a shot that ends at 00:00 ends at frame -1, which is the last frame of the half for
/// the official evaluator and the first one for a strict reading.
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
            let problem = "the shot ends at 00:00, which counts as the end of the half";
            judge.odd(Error::entry(file, format!("annotations[{i}]"), problem))?;
        }
        let frame = if judge.is_strict() { frame.max(0) } else { frame };
        let frame = place(frame, frames as i64).unwrap_or_default();
        ends.push((i, shot, frame as usize));
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_another_length_are_odd() {
        let text = br#"{"annotations": [{"gameTime": "1 - 00:30"}, {"gameTime": "1 - 45:00"}]}"#;
        let shots = Shots::read(text, "f", &mut Judge::strict()).unwrap();
        let check =
            |half, frames| check_length(&shots, half, frames, "1.npy", &mut Judge::strict());
        for fits in [5400, 5380, 6000, 12_000] {
            assert_eq!(check(1, fits), Ok(()), "{fits}");
        }
        // One frame, one frame per second, and 25 frames per second.
        for wrong in [1, 2700, 5379, 67_500] {
            let error = check(1, wrong).unwrap_err().to_string();
            let expected = format!("1.npy: {wrong} frames; expected about 5400");
            assert!(error.starts_with(&expected), "{error}");
        }
        assert_eq!(check(2, 1), Ok(()), "no shot says how long it is");
    }
}
