//! `results_grounding.json`, also called `Detection-replays.json`: the actions that replays show.

use serde_json::json;

use crate::{
    Judge, Result,
    json::{self, Node},
};

/// A moment at which the action may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Seconds since the half of the action began.
    pub time: f64,
    /// Between 0 and 1 in a valid file.
    pub score: f64,
}

/// One replay with its candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The half of the *action*, to which the candidates belong.
    pub half: i64,
    /// The second at which the replay begins.
    pub start: i64,
    /// The second at which the replay ends.
    pub end: i64,
    /// The candidates for the moment of the action.
    pub detection: Vec<Candidate>,
    /// The place of the replay in the file, for messages.
    pub entry: String,
}

/// The replays of a game, in the file's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replays {
    /// The game's path.
    pub url_local: String,
    /// Lengths of the halves in seconds.
    pub half_times: [i64; 2],
    /// The replays.
    pub replays: Vec<Replay>,
}

impl Replays {
    /// Reads a file. Oddities: half 3, an end that is before the start, a negative time, and a score outside
    /// of 0 to 1.
    ///
    /// # Errors
    ///
    /// If the official evaluator cannot read the file, and for an oddity that the judge refuses.
    pub fn read(bytes: &[u8], file: &str, judge: &mut Judge) -> Result<Self> {
        let value = json::parse(bytes, file, judge)?;
        let root = Node::root(&value, file);
        let replays = root.items("Replays")?;
        let replays = replays.iter().enumerate();
        let replays = replays.map(|(i, entry)| replay(i, entry, judge)).collect::<Result<_>>()?;
        let half = |key| root.int(key).unwrap_or_default();
        Ok(Self {
            url_local: root.text_or("UrlLocal", "").to_string(),
            half_times: [half("half1_time"), half("half2_time")],
            replays,
        })
    }

    /// The file's content.
    pub fn write(&self) -> Vec<u8> {
        let candidate = |c: &Candidate| json!({"time": c.time, "score": c.score});
        let replay = |replay: &Replay| {
            let detection: Vec<_> = replay.detection.iter().map(candidate).collect();
            let (start, end) = (replay.start, replay.end);
            json!({"half": replay.half, "start": start, "end": end, "detection": detection})
        };
        let replays: Vec<_> = self.replays.iter().map(replay).collect();
        json::render(&json!({"UrlLocal": self.url_local, "half1_time": self.half_times[0],
            "half2_time": self.half_times[1], "Replays": replays}))
    }
}

fn replay(index: usize, entry: &Node<'_>, judge: &mut Judge) -> Result<Replay> {
    let (half, start, end) = (entry.int("half")?, entry.int("start")?, entry.int("end")?);
    if !(1..=2).contains(&half) {
        judge.odd(entry.fault("half", format!("{half}; expected 1 or 2")))?;
    }
    // Four of the published replays begin and end within one second.
    if start > end {
        judge.odd(entry.fault("end", format!("{end}; expected at least {start}, the start")))?;
    }
    let detection = entry.items("detection")?;
    let detection = detection.iter().map(|c| candidate(c, judge)).collect::<Result<_>>()?;
    Ok(Replay { half, start, end, detection, entry: format!("Replays[{index}]") })
}

fn candidate(entry: &Node<'_>, judge: &mut Judge) -> Result<Candidate> {
    let (time, score) = (entry.number("time")?, entry.float("score")?);
    if time < 0.0 {
        judge.odd(entry.fault("time", format!("{time}; expected 0 or more seconds")))?;
    }
    if !(0.0..=1.0).contains(&score) {
        judge.odd(entry.fault("score", format!("{score}; expected 0 to 1")))?;
    }
    Ok(Candidate { time, score })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] =
        br#"{"UrlLocal": "l/s/g", "half1_time": 2700, "half2_time": 3043, "Replays":
        [{"half": 1, "start": 346, "end": 357, "detection": [{"time": 81.0, "score": 0.0045}]}]}"#;

    #[test]
    fn what_is_read_is_written() {
        let replays = Replays::read(FILE, "f", &mut Judge::strict()).unwrap();
        assert_eq!((replays.half_times, replays.replays[0].end), ([2700, 3043], 357));
        assert_eq!(Replays::read(&replays.write(), "again", &mut Judge::strict()), Ok(replays));
    }

    #[test]
    fn wrong_entries_are_named() {
        let read = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(FILE).replacen(from, to, 1);
            Replays::read(text.as_bytes(), "f", &mut Judge::strict()).unwrap_err().to_string()
        };
        assert_eq!(read("\"half\": 1", "\"half\": 3"), "f: Replays[0].half: 3; expected 1 or 2");
        assert!(read("357", "345").contains("Replays[0].end: 345; expected at least 346"));
        assert!(read("81.0", "-1").contains("Replays[0].detection[0].time: -1"));
        assert!(read("0.0045", "NaN").contains("score: NaN; expected 0 to 1"));
        assert!(read("\"detection\"", "\"det\"").contains("detection: it is missing"));
    }
}
