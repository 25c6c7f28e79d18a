//! `Labels-cameras.json` and `Labels-replays.json`: the shots of a game. The time of an entry is the end of
//! its shot.

use serde_json::{Map, Value, json};

use crate::{
    Judge, Result,
    clock::{GameTime, check_position, game_time},
    json::{self, Node},
};

/// The action that a replay shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The action's half.
    pub half: i64,
    /// The action's class, as written.
    pub label: String,
    /// The action's second within its half.
    pub seconds: i64,
    /// The action's position in milliseconds, if the file has it.
    pub position: Option<i64>,
    /// `home`, `away` or `not applicable`.
    pub team: String,
    /// `visible` or `not shown`.
    pub visibility: String,
}

/// One shot, by its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Shot {
    /// Half and second of its end.
    pub time: GameTime,
    /// The position of its end in milliseconds.
    pub position: Option<i64>,
    /// The kind of camera, as written.
    pub label: String,
    /// The transition to the next shot: `abrupt`, `smooth`, `logo` or `other`.
    pub change: String,
    /// `real-time`, `replay` or `other`.
    pub replay: String,
    /// For a replay, the action that it shows, if known.
    pub link: Option<Link>,
}

/// The shots of a game, in the file's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shots {
    /// The file's data on the game.
    pub game: Map<String, Value>,
    /// The shots.
    pub annotations: Vec<Shot>,
}

impl Shots {
    /// Reads a file. Oddities: half 3, a position in another second than the time, and shots of a half that
    /// are not in the order of time.
    ///
    /// # Errors
    ///
    /// If the official evaluators cannot read the file, and for an oddity that the judge refuses.
    pub fn read(bytes: &[u8], file: &str, judge: &mut Judge) -> Result<Self> {
        let value = json::parse(bytes, file, judge)?;
        let root = Node::root(&value, file);
        let mut annotations: Vec<Shot> = Vec::new();
        for entry in root.items("annotations")? {
            let shot = shot(&entry, judge)?;
            let last = annotations.iter().rev().find(|last| last.time.half == shot.time.half);
            if last.is_some_and(|last| last.time > shot.time) {
                judge.odd(
                    entry.fault("gameTime", "it is before the previous shot of the same half"),
                )?;
            }
            annotations.push(shot);
        }
        let mut game = value.as_object().cloned().unwrap_or_default();
        game.shift_remove("annotations");
        Ok(Self { game, annotations })
    }

    /// The file's content.
    pub fn write(&self) -> Vec<u8> {
        let mut object = self.game.clone();
        object.insert("annotations".into(), self.annotations.iter().map(entry).collect());
        json::render(&object.into())
    }
}

fn shot(entry: &Node<'_>, judge: &mut Judge) -> Result<Shot> {
    let time = game_time(entry)?;
    if !(1..=2).contains(&time.half) {
        judge.odd(entry.fault("gameTime", format!("half {}; must be 1 or 2", time.half)))?;
    }
    let position = entry.get("position").map(|_| entry.int("position")).transpose()?;
    check_position(entry, time, position, judge)?;
    Ok(Shot {
        time,
        position,
        label: entry.text_or("label", "").to_string(),
        change: entry.text_or("change_type", "").to_string(),
        replay: entry.text_or("replay", "").to_string(),
        link: link(entry)?,
    })
}

/// The link of an entry. Files of the challenge have `""` for an unknown link.
fn link(entry: &Node<'_>) -> Result<Option<Link>> {
    if entry.get("link").is_none_or(|link| link == "") {
        return Ok(None);
    }
    let link = entry.child("link")?;
    let time = link.text("time")?;
    let seconds = || {
        let (minutes, seconds) = (time.get(..2)?, time.get(3..)?);
        let number = |text: &str| text.trim().parse::<i32>().ok().map(i64::from);
        Some(60 * number(minutes)? + number(seconds)?)
    };
    let wrong = || link.fault("time", format!("{time:?}; expected \"MM:SS\""));
    Ok(Some(Link {
        half: link.int("half")?,
        label: link.text("label")?.to_string(),
        seconds: seconds().ok_or_else(wrong)?,
        position: link.get("position").map(|_| link.int("position")).transpose()?,
        team: link.text_or("team", "").to_string(),
        visibility: link.text_or("visibility", "").to_string(),
    }))
}

fn entry(shot: &Shot) -> Value {
    let mut entry = json!({"gameTime": shot.time.to_string(), "label": shot.label,
        "change_type": shot.change, "replay": shot.replay});
    if let Some(position) = shot.position {
        entry["position"] = position.to_string().into();
    }
    if let Some(link) = &shot.link {
        let time = format!("{:02}:{:02}", link.seconds / 60, link.seconds % 60);
        entry["link"] = json!({"half": link.half.to_string(), "label": link.label, "time": time,
            "team": link.team, "visibility": link.visibility});
        if let Some(position) = link.position {
            entry["link"]["position"] = position.to_string().into();
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = br#"{"annotations": [
        {"change_type": "abrupt", "gameTime": "1 - 01:00", "label": "Main camera center",
         "position": "60000", "replay": "real-time"},
        {"change_type": "logo", "gameTime": "1 - 01:20", "label": "Public", "position": "80000",
         "replay": "replay", "link": {"half": "1", "label": "Goal", "position": "50000",
         "team": "home", "time": "00:50", "visibility": "visible"}},
        {"change_type": "", "gameTime": "2 - 00:10", "label": "", "replay": "replay", "link": ""}]}"#;

    #[test]
    fn what_is_read_is_written() {
        let shots = Shots::read(FILE, "f", &mut Judge::strict()).unwrap();
        let link = shots.annotations[1].link.as_ref().unwrap();
        assert_eq!((link.half, link.seconds, link.position), (1, 50, Some(50000)));
        assert_eq!(shots.annotations[2].link, None);
        assert_eq!(Shots::read(&shots.write(), "again", &mut Judge::strict()), Ok(shots));
    }

    #[test]
    fn wrong_entries_are_named() {
        let read = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(FILE).replacen(from, to, 1);
            Shots::read(text.as_bytes(), "f", &mut Judge::strict()).unwrap_err().to_string()
        };
        assert_eq!(read("2 - 00", "3 - 00"), "f: annotations[2].gameTime: half 3; must be 1 or 2");
        assert!(read("00:50", "0:50").contains("annotations[1].link.time: \"0:50\""));
        let expected = "annotations[1].position: 80000 milliseconds, but gameTime is second 20";
        assert!(read("1 - 01:20", "1 - 00:20").contains(expected));
        let [later, earlier] =
            [["1 - 01:20", "80000"], ["1 - 00:20", "20000"]].map(|[time, ms]| {
                format!("\"gameTime\": \"{time}\", \"label\": \"Public\", \"position\": \"{ms}\"")
            });
        assert!(read(&later, &earlier).contains("annotations[1].gameTime: it is before"));
        assert!(
            read("{\"half\": \"1\", ", "{").contains("annotations[1].link.half: it is missing")
        );
    }
}
