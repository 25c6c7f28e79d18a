//! Keys that occur twice in an object of a JSON file, of which readers silently take the last.

use std::{collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The place of the first key that occurs twice in an object; none if there is none, or if the bytes are no
/// JSON.
pub fn repeated_key(bytes: &[u8]) -> Option<String> {
    let mut found = None;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    KeyWalk(&mut found).deserialize(&mut reader).ok()?;
    found
}

/// Walks through a value, and records the first key that occurs twice.
struct KeyWalk<'a>(&'a mut Option<String>);

impl KeyWalk<'_> {
    /// Puts the place of an inner value before the place that was found in it.
    fn inside(&mut self, was_known: bool, place: impl fmt::Display) {
        if let (false, Some(found)) = (was_known, &mut *self.0) {
            *found = match found.starts_with('[') {
                true => format!("{place}{found}"),
                false => format!("{place}.{found}"),
            };
        }
    }
}

impl<'de> DeserializeSeed<'de> for KeyWalk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for KeyWalk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        for at in 0.. {
            let was_known = self.0.is_some();
            if items.next_element_seed(KeyWalk(self.0))?.is_none() {
                break;
            }
            self.inside(was_known, format_args!("[{at}]"));
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = fields.next_key::<String>()? {
            if seen.contains(&key) {
                self.0.get_or_insert_with(|| key.clone());
            }
            let was_known = self.0.is_some();
            fields.next_value_seed(KeyWalk(self.0))?;
            self.inside(was_known, &key);
            seen.insert(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_repeated_key_is_found_with_its_place() {
        let found = |text: &str| repeated_key(text.as_bytes());
        assert_eq!(found(r#"{"a": 1, "b": {"a": [true, null, "a", 1.5, -1]}}"#), None);
        assert_eq!(found(r#"{"a": 1, "a": 2}"#).as_deref(), Some("a"));
        assert_eq!(
            found(r#"{"x": [{"b": {}}, {"b": 1, "b": 2}], "x": 0}"#).as_deref(),
            Some("x[1].b")
        );
        assert_eq!(found(r#"[[{"c": 1, "c": 2}]]"#).as_deref(), Some("[0][0].c"));
        assert_eq!(found("{\"a\": 1, \"a\""), None);
    }
}
