//! The submission of re-identification: for each query the gallery of its action, best first.

use serde_json::{Map, Value};

use crate::{
    Judge, Result,
    json::{self, Node},
};

/// Gallery indices by query, in the file's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranking {
    /// Query and gallery.
    pub queries: Vec<(String, Vec<i64>)>,
}

impl Ranking {
    /// Reads a file. A query that occurs twice is odd.
    ///
    /// # Errors
    ///
    /// If an index is not a whole number, and for an oddity that the judge refuses.
    pub fn read(bytes: &[u8], file: &str, judge: &mut Judge) -> Result<Self> {
        let value = json::parse(bytes, file, judge)?;
        let mut queries = Vec::new();
        for (query, list) in Node::root(&value, file).fields()? {
            let items = list.value.as_array().ok_or_else(|| list.error("expected a list"))?;
            let mut ranked = Vec::new();
            for (rank, item) in items.iter().enumerate() {
                let wrong =
                    || list.error(format!("{item} at rank {rank}; expected a whole number"));
                ranked.push(item.as_i64().ok_or_else(wrong)?);
            }
            queries.push((query.to_string(), ranked));
        }
        Ok(Self { queries })
    }

    /// The file's content.
    pub fn write(&self) -> Vec<u8> {
        let line = |(query, ranked): &(String, Vec<i64>)| (query.clone(), ranked.clone().into());
        json::render(&Value::Object(self.queries.iter().map(line).collect::<Map<_, _>>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written() {
        let ranking =
            Ranking::read(br#"{"0": [2, 1], "10": [3]}"#, "f", &mut Judge::strict()).unwrap();
        assert_eq!(ranking.queries[0], ("0".into(), vec![2, 1]));
        assert_eq!(Ranking::read(&ranking.write(), "again", &mut Judge::strict()), Ok(ranking));
    }

    #[test]
    fn wrong_entries_are_named() {
        let error =
            |text: &[u8]| Ranking::read(text, "f", &mut Judge::default()).unwrap_err().to_string();
        assert_eq!(error(br#"{"4": [1, "2"]}"#), "f: 4: \"2\" at rank 1; expected a whole number");
        assert_eq!(error(br#"{"4": 1}"#), "f: 4: expected a list");
    }
}
