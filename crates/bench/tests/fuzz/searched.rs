//! Histories of searches.

use std::fs;

use search::{BoxError, Gene, History, Limit, Member, Search, Space};
use serde_json::{Value, json};

use super::{Target, target};

/// A history is opened unchanged, and with valid checks after a valid first line; a search continues from its
/// content.
pub(super) fn searched() -> Target {
    let lines = "{\"cost\":3.0,\"member\":{\"a\":1,\"b\":true}}\n\
                 {\"value\":0.5,\"member\":{\"a\":1,\"b\":true}}\n\
                 {\"value\":null,\"member\":{\"a\":2,\"b\":false}}\n\
                 {\"cost\":4.5,\"value\":-2.5,\"member\":{\"a\":3,\"b\":[1,null]}}\n";
    let head = format!("{}\n", about());
    let whole = checked([head.as_str(), lines].concat().lines());
    target("search", 2, vec![whole.into_bytes(), lines.into()], |folder, bytes| {
        let path = folder.join("history.jsonl");
        fs::write(&path, bytes).expect("the folder can be written");
        drop(History::open(&path, &about()));
        let text = String::from_utf8_lossy(bytes);
        let head = about().to_string();
        let lines = text.lines().filter(|line| !line.starts_with("{\"seed\""));
        fs::write(&path, checked(std::iter::once(head.as_str()).chain(lines)))
            .expect("the folder can be written");
        if let Ok(history) = History::open(&path, &about()) {
            on(history);
        }
    })
}

fn about() -> Value {
    json!({ "seed": 1 })
}

/// The lines with valid checks at their ends.
fn checked<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let checked = |line: &str| {
        let object = line.rsplit_once(",\"check\"").map(|(object, _)| object);
        let object = object.unwrap_or_else(|| line.strip_suffix('}').unwrap_or(line));
        let digest = <sha2::Sha256 as sha2::Digest>::digest(object);
        let digits: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{object},\"check\":\"{digits}\"}}\n")
    };
    lines.map(checked).collect()
}

/// A search of six members with this history.
fn on(history: History) {
    let genes = [("a", json!([1, 2, 3])), ("b", json!([true, false]))];
    let genes = genes.map(|(name, values)| {
        (name.to_string(), serde_json::from_value::<Gene>(values).expect("a list of values"))
    });
    let space = Space::new(genes.into()).expect("a space");
    let mut evaluate = |members: &[Member]| -> Result<Vec<Option<f64>>, BoxError> {
        Ok(vec![Some(1.0); members.len()])
    };
    let limit = Limit { what: "cost".into(), at_most: 4.0, cost: &mut |_| Ok(1.0) };
    let mut search = Search {
        space: &space,
        seed: 1,
        limit: Some(limit),
        evaluate: &mut evaluate,
        at_once: 2,
        history,
        stop: &|| false,
    };
    if let Ok(found) = search.random(4) {
        found.best();
    }
}
