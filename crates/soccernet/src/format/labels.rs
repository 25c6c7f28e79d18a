//! `Labels-v2.json` and `Labels.json`: the actions of a game.

use serde_json::{Map, Value, json};

use crate::{
    Judge, Result,
    clock::{GameTime, check_position, game_time},
    json::{self, Node},
};

/// One action.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Half and second.
    pub time: GameTime,
    /// Milliseconds since the half began; files of version 1 may lack it.
    pub position: Option<i64>,
    /// The class of the action, as written.
    pub label: String,
    /// `home`, `away` or `not applicable`; empty in files of version 1.
    pub team: String,
    /// Whether the action was on the screen.
    pub visible: bool,
}

/// The actions of a game, in the file's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labels {
    /// The file's data on the game: its names, date and score.
    pub game: Map<String, Value>,
    /// The actions.
    pub annotations: Vec<Label>,
}

impl Labels {
    /// Reads a file. Oddities: half 3, a position outside of 120 minutes, and a position in another second
    /// than the time.
    ///
    /// # Errors
    ///
    /// If the official evaluator cannot read the file, and for an oddity that the judge refuses.
    pub fn read(bytes: &[u8], file: &str, judge: &mut Judge) -> Result<Self> {
        let value = json::parse(bytes, file, judge)?;
        let root = Node::root(&value, file);
        let items = root.items("annotations")?;
        let annotations = items.iter().map(|entry| label(entry, judge)).collect::<Result<_>>()?;
        let mut game = value.as_object().cloned().unwrap_or_default();
        game.shift_remove("annotations");
        Ok(Self { game, annotations })
    }

    /// The file's content.
    pub fn write(&self) -> Vec<u8> {
        let entry = |label: &Label| {
            let mut entry = json!({"gameTime": label.time.to_string(), "label": label.label});
            if let Some(position) = label.position {
                entry["position"] = position.to_string().into();
            }
            if !label.team.is_empty() {
                entry["team"] = label.team.clone().into();
                entry["visibility"] = if label.visible { "visible" } else { "not shown" }.into();
            }
            entry
        };
        let mut object = self.game.clone();
        object.insert("annotations".into(), self.annotations.iter().map(entry).collect());
        json::render(&object.into())
    }
}

fn label(entry: &Node<'_>, judge: &mut Judge) -> Result<Label> {
    let time = game_time(entry)?;
    let position = entry.get("position").map(|_| entry.int("position")).transpose()?;
    if !(1..=2).contains(&time.half) {
        judge.odd(entry.fault("gameTime", format!("half {}; must be 1 or 2", time.half)))?;
    }
    check_position(entry, time, position, judge)?;
    let visibility = entry.text_or("visibility", "visible");
    if !["visible", "not shown"].contains(&visibility) {
        let problem = format!("{visibility:?}; expected \"visible\" or \"not shown\"");
        judge.odd(entry.fault("visibility", problem))?;
    }
    Ok(Label {
        time,
        position,
        label: entry.text("label")?.to_string(),
        team: entry.text_or("team", "").to_string(),
        visible: visibility != "not shown",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = br#"{"UrlLocal": "l/s/g", "gameScore": "1 - 1", "annotations": [
        {"gameTime": "1 - 00:29", "label": "Foul", "position": "29049", "team": "home",
         "visibility": "not shown"},
        {"gameTime": "2 - 00:39", "label": "soccer-ball"}]}"#;

    #[test]
    fn what_is_read_is_written() {
        let labels = Labels::read(FILE, "Labels-v2.json", &mut Judge::strict()).unwrap();
        assert_eq!(
            (labels.annotations[0].position, labels.annotations[0].visible),
            (Some(29049), false)
        );
        assert_eq!((labels.annotations[1].position, labels.annotations[1].visible), (None, true));
        assert_eq!(Labels::read(&labels.write(), "again", &mut Judge::strict()), Ok(labels));
    }

    #[test]
    fn wrong_entries_are_named() {
        let read = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(FILE).replace(from, to);
            Labels::read(text.as_bytes(), "f", &mut Judge::strict()).unwrap_err().to_string()
        };
        assert_eq!(read("1 - 00", "3 - 00"), "f: annotations[0].gameTime: half 3; must be 1 or 2");
        assert_eq!(
            read("\"29049\"", "-5"),
            "f: annotations[0].position: -5; expected 0 to 7200000 milliseconds"
        );
        assert_eq!(
            read("1 - 00:29", "1 - 02:29"),
            "f: annotations[0].position: 29049 milliseconds, but gameTime is second 149"
        );
        assert!(
            read("\"29049\"", "7200000").contains("position: 7200000; expected 0 to 7200000 milli")
        );
        assert!(read("00:39", "0:8").contains("annotations[1].gameTime: \"2 - 0:8\""));
        assert!(read("29049", "29.5").contains("expected a whole number"));
        assert!(read("not shown", "hidden").contains("\"visible\" or \"not shown\""));
    }

    #[test]
    fn official_reading_notes_what_strict_refuses() {
        let text = String::from_utf8_lossy(FILE).replace("1 - 00", "3 - 00");
        let mut judge = Judge::default();
        Labels::read(text.as_bytes(), "f", &mut judge).unwrap();
        assert_eq!(judge.notes().len(), 1);
    }
}
