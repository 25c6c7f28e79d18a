//! Tables of JSON from files of unknown origin.

use anyhow::{bail, ensure};
use files::{json_memory, repeated_key};
use serde_json::{Map, Value};

/// The largest memory that the values of a JSON text may take, in bytes.
const MOST_MEMORY: u64 = 1 << 30;

/// Parses the table of a JSON text.
///
/// # Errors
/// If it is not a table, has a key twice, or would take too much memory.
pub(crate) fn json_table(text: &[u8]) -> anyhow::Result<Map<String, Value>> {
    let memory = json_memory(text);
    ensure!(
        memory <= MOST_MEMORY,
        "its JSON could take {memory} bytes of memory; the limit is {MOST_MEMORY}"
    );
    if let Some(key) = repeated_key(text) {
        bail!("{key} occurs twice");
    }
    Ok(serde_json::from_slice(text)?)
}
