//! Tables of JSON from files that anyone may have written.

use anyhow::{bail, ensure};
use files::{json_memory, repeated_key};
use serde_json::{Map, Value};

/// The most memory that the values of a JSON text may take.
const MOST_MEMORY: u64 = 1 << 30;

/// The table of a JSON text.
///
/// # Errors
/// If it is none, has a key twice, of which one would be passed over, or would take much memory.
pub(crate) fn json_table(text: &[u8]) -> anyhow::Result<Map<String, Value>> {
    let memory = json_memory(text);
    ensure!(
        memory <= MOST_MEMORY,
        "its JSON could take {memory} bytes of memory; at most {MOST_MEMORY} are taken"
    );
    if let Some(key) = repeated_key(text) {
        bail!("{key} is there twice");
    }
    Ok(serde_json::from_slice(text)?)
}
