//! `test_bbox_info.json` and the names of thumbnails: the person on each image.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    Error, Judge, Result,
    json::{self, Node},
};

/// A box with a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// The index of the box among the queries or in the gallery.
    pub index: i64,
    /// The action of the box. Identities are valid within one action.
    pub action: String,
    /// The person.
    pub person: String,
}

/// Queries and gallery, each by the key that rankings use, in the file's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bodies {
    /// The boxes of persons to find.
    pub query: Vec<(String, Body)>,
    /// The boxes to search.
    pub gallery: Vec<(String, Body)>,
}

impl Bodies {
    /// Reads a file. An index that differs from the key is odd.
    ///
    /// # Errors
    ///
    /// If a field is missing, and for an oddity that the judge refuses.
    pub fn read(bytes: &[u8], file: &str, judge: &mut Judge) -> Result<Self> {
        let value = json::parse(bytes, file, judge)?;
        let root = Node::root(&value, file);
        let mut part = |name: &str| -> Result<Vec<(String, Body)>> {
            let entries = root.child(name)?.fields()?;
            entries
                .into_iter()
                .map(|(key, entry)| Ok((key.into(), body(key, &entry, judge)?)))
                .collect()
        };
        Ok(Self { query: part("query")?, gallery: part("gallery")? })
    }

    /// The file's content.
    pub fn write(&self) -> Vec<u8> {
        let number = |text: &str| text.parse::<i64>().map_or_else(|_| text.into(), Value::from);
        let part = |entries: &[(String, Body)]| -> Value {
            let entry = |(key, body): &(String, Body)| {
                let [action, person] = [&body.action, &body.person].map(|text| number(text));
                let entry =
                    json!({"bbox_idx": body.index, "action_idx": action, "person_uid": person});
                (key.clone(), entry)
            };
            Value::Object(entries.iter().map(entry).collect())
        };
        json::render(&json!({"query": part(&self.query), "gallery": part(&self.gallery)}))
    }

    /// Indices of the gallery's boxes by action.
    pub fn gallery_by_action(&self) -> BTreeMap<&str, Vec<i64>> {
        let mut actions: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for (_, body) in &self.gallery {
            actions.entry(&body.action).or_default().push(body.index);
        }
        actions
    }
}

fn body(key: &str, entry: &Node<'_>, judge: &mut Judge) -> Result<Body> {
    let text = |field: &str| match entry.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        _ => Err(entry.fault(field, "expected a number or a string")),
    };
    let body = Body {
        index: entry.int("bbox_idx")?,
        action: text("action_idx")?,
        person: text("person_uid")?,
    };
    if body.index.to_string() != key {
        judge.odd(entry.fault("bbox_idx", format!("{}; expected its key, {key}", body.index)))?;
    }
    Ok(body)
}

/// The fields in the name of a thumbnail. Names of the challenge set have three fields only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// The box.
    pub index: u64,
    /// The action.
    pub action: u64,
    /// Person, frame, class, number or letter of the shirt and identifier, if they are known.
    pub known: Option<[String; 5]>,
    /// Height and width in pixels.
    pub size: [u32; 2],
}

impl Thumbnail {
    /// Reads `INDEX-ACTION-PERSON-FRAME-CLASS-ID-UAI-HxW.png` or `INDEX-ACTION-HxW.png`.
    ///
    /// # Errors
    ///
    /// If the name has another form.
    pub fn parse(name: &str) -> Result<Self> {
        let expected = || {
            let forms = "INDEX-ACTION-PERSON-FRAME-CLASS-ID-UAI-HxW.png or INDEX-ACTION-HxW.png";
            Error::file(name, format!("expected {forms}"))
        };
        let fields: Vec<&str> =
            name.strip_suffix(".png").ok_or_else(expected)?.split('-').collect();
        let (index, action, known, size) = match fields[..] {
            [index, action, person, frame, class, id, uai, size] => {
                (index, action, Some([person, frame, class, id, uai].map(String::from)), size)
            }
            [index, action, size] => (index, action, None, size),
            _ => return Err(expected()),
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_| expected());
        let size = size.split_once('x').ok_or_else(expected)?;
        let side = |text: &str| text.parse::<u32>().map_err(|_| expected());
        let size = [side(size.0)?, side(size.1)?];
        Ok(Self { index: number(index)?, action: number(action)?, known, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = br#"{"query": {"0": {"bbox_idx": 0, "action_idx": 4, "person_uid": 7}},
        "gallery": {"0": {"bbox_idx": 0, "action_idx": 4, "person_uid": 7},
                    "1": {"bbox_idx": 1, "action_idx": 5, "person_uid": 8}}}"#;

    #[test]
    fn what_is_read_is_written() {
        let bodies = Bodies::read(FILE, "f", &mut Judge::strict()).unwrap();
        assert_eq!(bodies.gallery_by_action(), [("4", vec![0]), ("5", vec![1])].into());
        assert_eq!(Bodies::read(&bodies.write(), "again", &mut Judge::strict()), Ok(bodies));
    }

    #[test]
    fn wrong_entries_are_named() {
        let read = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(FILE).replacen(from, to, 1);
            Bodies::read(text.as_bytes(), "f", &mut Judge::strict()).unwrap_err().to_string()
        };
        assert_eq!(
            read("\"bbox_idx\": 0", "\"bbox_idx\": 9"),
            "f: query.0.bbox_idx: 9; expected its key, 0"
        );
        assert!(
            read("\"person_uid\": 7", "\"person\": 7")
                .contains("query.0.person_uid: expected a number")
        );
        assert!(read("\"gallery\"", "\"galery\"").contains("gallery: it is missing"));
    }

    #[test]
    fn names_of_thumbnails_have_eight_or_three_fields() {
        let name = "54404-1940-33397-5089-Player_team_right-9-014r002_00858c3b0003-775x449.png";
        let thumbnail = Thumbnail::parse(name).unwrap();
        assert_eq!((thumbnail.index, thumbnail.action, thumbnail.size), (54404, 1940, [775, 449]));
        assert_eq!(thumbnail.known.unwrap()[2], "Player_team_right");
        assert_eq!(Thumbnail::parse("1-2-30x40.png").unwrap().known, None);
        for wrong in ["1-2-3.png", "1-2-30x40.jpg", "1_2_30x40.png", "a-2-30x40.png", ""] {
            assert!(Thumbnail::parse(wrong).is_err(), "{wrong}");
        }
    }
}
