//! Checks of a table's keys, and errors with the place of a setting.

use anyhow::{anyhow, bail};
use moe::typed;
use serde::de::DeserializeOwned;

use super::tree::SettingTree;

/// Refuses unknown keys.
pub fn known_keys(settings: &SettingTree, known: &[&str]) -> anyhow::Result<()> {
    let table =
        settings.table().ok_or_else(|| anyhow!("{}: expected a table", settings.place()))?;
    match table.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        Some((key, value)) => {
            bail!("{}: unknown key {key:?}; known: {}", value.place(), known.join(", "))
        }
        None => Ok(()),
    }
}

/// The tables of `[[key]]`.
pub fn tables<'a>(settings: &'a SettingTree, key: &str) -> anyhow::Result<&'a [SettingTree]> {
    match settings.table().and_then(|table| table.get(key)) {
        Some(SettingTree::Tables(tables, _)) => Ok(tables),
        Some(other) => bail!("{}: {key}: expected a list of tables, [[{key}]]", other.place()),
        None => bail!("{}: expected at least one [[{key}]]", settings.place()),
    }
}

/// The tables of `[[key]]` as values of a type; none if there is no such key.
///
/// # Errors
/// If a table does not fit; names its place.
pub fn typed_tables<T: DeserializeOwned>(
    settings: &SettingTree,
    key: &str,
) -> anyhow::Result<Vec<T>> {
    if !settings.table().is_some_and(|table| table.contains_key(key)) {
        return Ok(Vec::new());
    }
    tables(settings, key)?.iter().map(|table| typed_table(table, key)).collect()
}

/// A table as a value of a type; `key` is its name in errors.
///
/// # Errors
/// If a value does not fit; names its place.
pub fn typed_table<T: DeserializeOwned>(table: &SettingTree, key: &str) -> anyhow::Result<T> {
    typed(table.value()).map_err(|(path, why)| at(table, &path, format!("{key}: {why}")))
}

/// An error with the place of the setting that caused it.
pub(crate) fn at(settings: &SettingTree, path: &str, message: impl ToString) -> anyhow::Error {
    anyhow!("{}: {}", settings.place_of(path), message.to_string())
}
