//! Notes of several tables, with shared notes printed once.

use std::collections::{HashMap, HashSet};

use super::Table;

/// The notes that only one table has, for each table, and the notes that several tables share, each once.
pub(super) fn footers(tables: &[Table], mark: &str) -> (Vec<Vec<String>>, Vec<String>) {
    let all: Vec<Vec<String>> = tables.iter().map(|table| table.notes(mark)).collect();
    // The number of tables with each note; a note that a table has twice counts once.
    let mut count: HashMap<&String, usize> = HashMap::new();
    for notes in &all {
        let each: HashSet<&String> = notes.iter().collect();
        each.into_iter().for_each(|note| *count.entry(note).or_default() += 1);
    }
    let is_shared = |note: &&String| count[*note] > 1;
    let mut seen = HashSet::new();
    let shared = all.iter().flatten().filter(is_shared).filter(|note| seen.insert(*note));
    let shared = shared.cloned().collect();
    let own = |notes: &Vec<String>| notes.iter().filter(|note| !is_shared(note)).cloned().collect();
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
        // A single table keeps all of its notes.
        assert_eq!(footers(&tables[..1], "*").0, [["*: the best", "same", "mine"]]);
    }
}
