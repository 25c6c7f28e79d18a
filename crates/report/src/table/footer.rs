//! Notes of several tables, with shared notes printed once.

use super::Table;

/// The notes of each table that no other one has, and those that several have, each once.
pub(super) fn footers(tables: &[Table], mark: &str) -> (Vec<Vec<String>>, Vec<String>) {
    let all: Vec<Vec<String>> = tables.iter().map(|table| table.notes(mark)).collect();
    let count = |note: &String| all.iter().filter(|notes| notes.contains(note)).count();
    let mut shared: Vec<String> = Vec::new();
    for note in all.iter().flatten().filter(|note| count(note) > 1) {
        if !shared.contains(note) {
            shared.push(note.clone());
        }
    }
    let own =
        |notes: &Vec<String>| notes.iter().filter(|note| !shared.contains(note)).cloned().collect();
    (all.iter().map(own).collect(), shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, render};

    #[test]
    fn what_is_shared_stands_once() {
        let table = |title: &str, notes: &[&str]| Table {
            title: title.into(),
            bold: Some("the best".into()),
            notes: notes.iter().map(|note| note.to_string()).collect(),
            ..Table::default()
        };
        let tables = [table("one", &["same", "mine"]), table("two", &["same", "yours"])];
        let (own, shared) = footers(&tables, "Bold");
        assert_eq!(own, [["mine"], ["yours"]]);
        assert_eq!(shared, ["Bold: the best", "same"]);
        for format in [Format::Text, Format::Markdown] {
            let text = render(&tables, format);
            assert_eq!(text.matches("the best").count(), 1, "{text}");
            let places: Vec<_> =
                ["one", "mine", "two", "yours", "the best"].map(|word| text.find(word)).into();
            assert!(places.is_sorted(), "{text}");
        }
        // One table keeps all of its notes.
        assert_eq!(footers(&tables[..1], "*").0, [["*: the best", "same", "mine"]]);
    }
}
