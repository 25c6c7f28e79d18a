//! Times of a game: a half and a time within it.

use crate::{Judge, Result, json::Node};

/// Frames of features and of the metrics in a second.
pub const FRAMES_PER_SECOND: i64 = 2;

/// A half and whole seconds within it, as in `"1 - 00:29"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GameTime {
    /// The digit before the dash: 1 or 2 in a valid file.
    pub half: i64,
    /// Seconds since the half began.
    pub seconds: i64,
}

impl GameTime {
    /// Reads a text at the positions that the official evaluators use: the half is the first character, the
    /// minutes are the fifth and fourth characters from the end, the seconds the last two. So `"1 - 100:05"`
    /// is minute 0.
    pub fn parse(text: &str) -> Option<Self> {
        let chars: Vec<char> = text.chars().collect();
        let number = |from: usize, to: usize| {
            let part: String = chars.get(from..to.max(from))?.iter().collect();
            part.trim().parse::<i64>().ok()
        };
        let length = chars.len();
        let minutes = number(length.saturating_sub(5), length.saturating_sub(3))?;
        let seconds = number(length.saturating_sub(2), length)?;
        Some(Self { half: number(0, 1.min(length))?, seconds: 60 * minutes + seconds })
    }

    /// The frame of this second, at two frames a second.
    pub fn frame(self) -> i64 {
        FRAMES_PER_SECOND * self.seconds
    }
}

impl std::fmt::Display for GameTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} - {:02}:{:02}", self.half, self.seconds / 60, self.seconds % 60)
    }
}

/// The game time of an entry.
pub(crate) fn game_time(entry: &Node<'_>) -> Result<GameTime> {
    let text = entry.text("gameTime")?;
    let expected = || entry.fault("gameTime", format!("{text:?}; expected \"HALF - MM:SS\""));
    GameTime::parse(text).ok_or_else(expected)
}

/// Checks that the position of an entry, if it has one, is in the second of its game time or next to it.
pub(crate) fn check_position(
    entry: &Node<'_>,
    time: GameTime,
    position: Option<i64>,
    judge: &mut Judge,
) -> Result<()> {
    let Some(position) = position else { return Ok(()) };
    let longest = LabelTime::PositionMs.frames() * 500;
    if !(0..longest).contains(&position) {
        let problem = format!("{position}; expected 0 to {longest} milliseconds");
        judge.odd(entry.fault("position", problem))?;
    }
    if position.div_euclid(1000).abs_diff(time.seconds) > 1 {
        let seconds = time.seconds;
        let problem = format!("{position} milliseconds, but gameTime is second {seconds}");
        judge.odd(entry.fault("position", problem))?;
    }
    Ok(())
}

/// The frame of a position in milliseconds, at two frames a second, cut towards zero.
pub fn frame_of(position: i64) -> i64 {
    (FRAMES_PER_SECOND as f64 * (position as f64 / 1000.0)) as i64
}

/// The time of a label that is evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LabelTime {
    /// The position in milliseconds, in halves of 120 minutes: packages since 0.1.39 of 2023.
    #[default]
    PositionMs,
    /// The whole second of the game time, in halves of 90 minutes: the challenge of 2022.
    GameTime,
}

impl LabelTime {
    /// Names on the command line.
    pub const NAMES: [&str; 2] = ["position", "game-time"];

    /// The time with this name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "position" => Some(Self::PositionMs),
            "game-time" => Some(Self::GameTime),
            _ => None,
        }
    }

    /// The number of frames of a half, for labels and predictions.
    pub fn frames(self) -> i64 {
        let minutes = if self == Self::PositionMs { 120 } else { 90 };
        minutes * 60 * FRAMES_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_are_those_of_the_official_slices() {
        let seconds = |text| GameTime::parse(text).map(|time| (time.half, time.seconds));
        assert_eq!(seconds("1 - 00:29"), Some((1, 29)));
        assert_eq!(seconds("2 - 45:07"), Some((2, 2707)));
        assert_eq!(seconds("1 - 100:05"), Some((1, 5)));
        for wrong in ["1 - 0:8", "", "x - 01:00", "1 - 0a:00", "Ü"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
        assert_eq!(GameTime { half: 2, seconds: 75 }.to_string(), "2 - 01:15");
    }

    #[test]
    fn positions_are_cut_towards_zero() {
        let frames = [100_999, 100_000, -200, -500, 499].map(frame_of);
        assert_eq!(frames, [201, 200, 0, -1, 0]);
        assert_eq!(GameTime::parse("1 - 01:40").unwrap().frame(), 200);
    }

    #[test]
    fn conventions_have_names_and_lengths() {
        let frames = LabelTime::NAMES.map(|name| LabelTime::parse(name).unwrap().frames());
        assert_eq!(frames, [14_400, 10_800]);
    }
}
