//! `results_spotting.json`: the spotted actions of a submission.

use serde_json::json;

use crate::{
    Judge, Result,
    clock::{GameTime, LabelTime},
    json::{self, Node},
};

/// One action that a submission predicts.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    /// 1 or 2 in a valid file.
    pub half: i64,
    /// Milliseconds since the half began.
    pub position: i64,
    /// The class of the action, as written.
    pub label: String,
    /// Between 0 and 1 in a valid file.
    pub confidence: f64,
}

/// The predictions for a game, in the file's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spots {
    /// The game's path.
    pub url_local: String,
    /// The actions.
    pub predictions: Vec<Spot>,
}

impl Spots {
    /// Reads a file. Oddities: an invalid half, a position outside of 120 minutes, and a confidence outside
    /// of 0 to 1.
    ///
    /// # Errors
    ///
    /// If the official evaluator cannot read the file, and for an oddity that the judge refuses.
    pub fn read(bytes: &[u8], file: &str, judge: &mut Judge) -> Result<Self> {
        let value = json::parse(bytes, file, judge)?;
        let root = Node::root(&value, file);
        let items = root.items("predictions")?;
        let predictions = items.iter().map(|entry| spot(entry, judge)).collect::<Result<_>>()?;
        Ok(Self { url_local: root.text_or("UrlLocal", "").to_string(), predictions })
    }

    /// The file's content.
    pub fn write(&self) -> Vec<u8> {
        let entry = |spot: &Spot| {
            let time = GameTime { half: spot.half, seconds: spot.position / 1000 };
            json!({
                "gameTime": time.to_string(),
                "label": spot.label,
                "position": spot.position.to_string(),
                "half": spot.half.to_string(),
                "confidence": spot.confidence.to_string(),
            })
        };
        let predictions: Vec<_> = self.predictions.iter().map(entry).collect();
        json::render(&json!({"UrlLocal": self.url_local, "predictions": predictions}))
    }
}

fn spot(entry: &Node<'_>, judge: &mut Judge) -> Result<Spot> {
    let spot = Spot {
        position: entry.int("position")?,
        label: entry.text("label")?.to_string(),
        half: entry.int("half")?,
        confidence: entry.float("confidence")?,
    };
    if !(1..=2).contains(&spot.half) {
        judge.odd(entry.fault("half", format!("{}; expected 1 or 2", spot.half)))?;
    }
    let longest = LabelTime::PositionMs.frames() * 500;
    if !(0..longest).contains(&spot.position) {
        let problem = format!("{}; expected 0 to {longest} milliseconds", spot.position);
        judge.odd(entry.fault("position", problem))?;
    }
    if !(0.0..=1.0).contains(&spot.confidence) {
        let problem = format!("{}; expected 0 to 1", spot.confidence);
        judge.odd(entry.fault("confidence", problem))?;
    }
    Ok(spot)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = br#"{"UrlLocal": "l/s/g", "predictions": [
        {"gameTime": "1 - 0:8", "label": "Foul", "position": "8500", "half": "1", "confidence": "0.0066"},
        {"label": "Goal", "position": 60000, "half": 2, "confidence": 1}]}"#;

    #[test]
    fn texts_and_numbers_are_read_and_written() {
        let spots = Spots::read(FILE, "f", &mut Judge::strict()).unwrap();
        assert_eq!(
            (spots.predictions[0].position, spots.predictions[0].confidence),
            (8500, 0.0066)
        );
        assert_eq!((spots.predictions[1].half, spots.predictions[1].confidence), (2, 1.0));
        assert_eq!(Spots::read(&spots.write(), "again", &mut Judge::strict()), Ok(spots));
    }

    #[test]
    fn wrong_entries_are_named() {
        let read = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(FILE).replace(from, to);
            Spots::read(text.as_bytes(), "f", &mut Judge::strict()).unwrap_err().to_string()
        };
        assert_eq!(read("\"1\"", "3"), "f: predictions[0].half: 3; expected 1 or 2");
        assert!(read("\"8500\"", "-500").contains("predictions[0].position: -500"));
        assert!(read("\"0.0066\"", "NaN").contains("predictions[0].confidence: NaN"));
        assert!(read("\"0.0066\"", "1.5").contains("expected 0 to 1"));
        assert!(read("8500", "8500.5").contains("expected a whole number"));
        assert!(read("\"half\": 2,", "").contains("predictions[1].half: it is missing"));
        assert!(read("\"predictions\"", "\"results\"").contains("predictions: it is missing"));
    }
}
