//! The keys of a `config.json`: each is read by its family, or refused by its name.

use std::{collections::BTreeSet, fmt::Display};

use anyhow::anyhow;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Keys that do not affect the output that a network computes from its weights: names and versions, numbers
/// of special tokens, the random initialisation of training, and options for the outputs and the cache of
/// other programs.
const WITHOUT_EFFECT: [&str; 27] = [
    "_attn_implementation_autoset",
    "_name_or_path",
    "architectures",
    "auto_map",
    "bos_token_id",
    "decoder_start_token_id",
    "dtype",
    "eos_token_id",
    "initializer_factor",
    "initializer_range",
    "model_type",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_router_logits",
    "pad_token_id",
    "pretraining_tp",
    "return_dict",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
];

/// The largest value of a size: there are contexts of ten million tokens.
const MOST: usize = 1 << 24;

/// The keys of a config; a family reads those that it knows.
#[derive(Debug)]
pub struct Keys<'a> {
    config: &'a Map<String, Value>,
    /// The prefix of errors.
    place: String,
    used: BTreeSet<String>,
}

impl<'a> Keys<'a> {
    /// The keys of a config.
    pub fn new(config: &'a Map<String, Value>) -> Self {
        let used = WITHOUT_EFFECT.iter().map(|key| key.to_string()).collect();
        Self { config, place: "config.json".into(), used }
    }

    /// The keys of a table of a config.
    pub(crate) fn of_table(name: &str, table: &'a Map<String, Value>) -> Self {
        Self { place: format!("config.json: {name}"), ..Self::new(table) }
    }

    /// The value of a key, unless it is null.
    pub(crate) fn value(&mut self, key: &str) -> Option<&'a Value> {
        self.used.insert(key.to_string());
        self.config.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key exists and is not null.
    pub fn has(&self, key: &str) -> bool {
        self.config.get(key).is_some_and(|value| !value.is_null())
    }

    /// Whether the key exists and is null.
    fn is_null(&self, key: &str) -> bool {
        self.config.get(key).is_some_and(Value::is_null)
    }

    /// Refuses a null value of a key; the key may be missing.
    pub(crate) fn not_null(&self, key: &str) -> anyhow::Result<()> {
        match self.is_null(key) {
            true => Err(self.error(format!("{key} = null: leave it out, or give it a value"))),
            false => Ok(()),
        }
    }

    /// Refuses a config without a key, whose value may be null: transformers would use an unusual default.
    pub(crate) fn needs(&self, key: &str) -> anyhow::Result<()> {
        match self.config.contains_key(key) {
            true => Ok(()),
            false => Err(self.error(format!("{key} is missing"))),
        }
    }

    /// Reads a size.
    ///
    /// # Errors
    /// If the key is missing, or its value is not a whole number.
    pub fn size(&mut self, key: &str) -> anyhow::Result<usize> {
        self.maybe_size(key)?.ok_or_else(|| self.error(format!("{key} is missing")))
    }

    /// Reads a size, if it exists.
    pub fn maybe_size(&mut self, key: &str) -> anyhow::Result<Option<usize>> {
        let read = |value: &Value| {
            let size = value.as_u64().map(|size| size as usize).filter(|size| *size <= MOST);
            let wrong = || anyhow!("{key} = {value}: expected a whole number up to {MOST}");
            size.ok_or_else(wrong)
        };
        self.read(key, read)
    }

    /// Reads a size, or returns the default of the family.
    ///
    /// # Errors
    /// If the value is null, which the library does not treat as missing, or not a whole number.
    pub fn size_or(&mut self, key: &str, default: usize) -> anyhow::Result<usize> {
        self.not_null(key)?;
        Ok(self.maybe_size(key)?.unwrap_or(default))
    }

    /// Reads a number, or returns the default of the family.
    ///
    /// # Errors
    /// If the value is null, which the library does not treat as missing, or not a number.
    pub fn number(&mut self, key: &str, default: f64) -> anyhow::Result<f64> {
        self.not_null(key)?;
        Ok(self.maybe_number(key)?.unwrap_or(default))
    }

    /// Reads a number, if it exists.
    pub fn maybe_number(&mut self, key: &str) -> anyhow::Result<Option<f64>> {
        let read = |value: &Value| {
            value.as_f64().ok_or_else(|| anyhow!("{key} = {value}: must be a number"))
        };
        self.read(key, read)
    }

    /// Reads a number.
    ///
    /// # Errors
    /// If the key is missing, or its value is not a number.
    pub fn needed_number(&mut self, key: &str) -> anyhow::Result<f64> {
        self.maybe_number(key)?.ok_or_else(|| self.error(format!("{key} is missing")))
    }

    /// Reads a table, if it exists.
    pub fn table(&mut self, key: &str) -> anyhow::Result<Option<&'a Map<String, Value>>> {
        let read = |value: &'a Value| {
            value.as_object().ok_or_else(|| anyhow!("{key} = {value}: expected a table"))
        };
        self.read(key, read)
    }

    /// Reads a boolean, or returns the default of the family; null is false, as in Python.
    pub fn flag(&mut self, key: &str, default: bool) -> anyhow::Result<bool> {
        let read = |value: &Value| {
            value.as_bool().ok_or_else(|| anyhow!("{key} = {value}: expected true or false"))
        };
        let default = default && !self.is_null(key);
        Ok(self.read(key, read)?.unwrap_or(default))
    }

    /// Reads a list of whole numbers; empty if the key is missing.
    pub fn sizes(&mut self, key: &str) -> anyhow::Result<Vec<usize>> {
        Ok(self.list(key)?.unwrap_or_default())
    }

    /// Reads a list of texts, if it exists.
    pub fn texts(&mut self, key: &str) -> anyhow::Result<Option<Vec<String>>> {
        self.list(key)
    }

    /// Reads a text, or returns the default of the family.
    pub fn text(&mut self, key: &str, default: &str) -> anyhow::Result<String> {
        let read = |value: &Value| {
            let text = value.as_str().map(str::to_string);
            text.ok_or_else(|| anyhow!("{key} = {value}: expected a string"))
        };
        Ok(self.read(key, read)?.unwrap_or_else(|| default.to_string()))
    }

    /// Refuses any other value than these. The key may be missing; null is accepted unless the only known
    /// value is true.
    pub fn only(&mut self, key: &str, known: &[Value]) -> anyhow::Result<()> {
        let contrary = self.is_null(key) && known == [Value::Bool(true)];
        let value = self.value(key).or(contrary.then_some(&Value::Null));
        let Some(value) = value else { return Ok(()) };
        let same = |known: &Value| match (known.as_f64(), value.as_f64()) {
            (Some(known), Some(value)) => known == value,
            _ => known == value,
        };
        if known.iter().any(same) {
            return Ok(());
        }
        let known = known.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        Err(self.error(format!("{key} = {value}: not supported; known: {known}")))
    }

    /// Checks that the family has read all keys.
    ///
    /// # Errors
    /// If keys remain that the network does not honour; names them.
    pub fn finish(self) -> anyhow::Result<()> {
        let left = |(key, value): &(&String, &Value)| !value.is_null() && !self.used.contains(*key);
        let left: Vec<String> =
            self.config.iter().filter(left).map(|(k, v)| format!("{k} = {v}")).collect();
        match left.is_empty() {
            true => Ok(()),
            false => Err(self.error(format!("this network does not support {}", left.join(", ")))),
        }
    }

    /// Reads the value of a key as another type, if it exists.
    fn read<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&'a Value) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        let read = self.value(key).map(read).transpose();
        read.map_err(|why| self.error(why))
    }

    fn list<T: DeserializeOwned>(&mut self, key: &str) -> anyhow::Result<Option<Vec<T>>> {
        self.read(key, |list| {
            serde_json::from_value(list.clone()).map_err(|err| anyhow!("{key} = {list}: {err}"))
        })
    }

    /// Makes an error about these keys.
    pub(crate) fn error(&self, why: impl Display) -> anyhow::Error {
        anyhow!("{}: {why}", self.place)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn keys_are_read_or_refused() {
        let config = config(json!({
            "model_type": "x", "width": 3, "half": 1.5, "deep": true, "none": null,
            "hidden_act": "gelu", "other": [1],
        }));
        let mut keys = Keys::new(&config);
        assert_eq!(keys.size("width").unwrap(), 3);
        assert_eq!(keys.number("half", 0.0).unwrap(), 1.5);
        assert_eq!((keys.size_or("width", 5).unwrap(), keys.size_or("depth", 5).unwrap()), (3, 5));
        let null = "config.json: none = null: leave it out, or give it a value";
        assert_eq!(keys.number("none", 1.0).unwrap_err().to_string(), null);
        assert_eq!(keys.size_or("none", 1).unwrap_err().to_string(), null);
        assert!(keys.flag("deep", false).unwrap() && !keys.flag("none", false).unwrap());
        let said = |err: anyhow::Error| err.to_string();
        assert_eq!(said(keys.size("depth").unwrap_err()), "config.json: depth is missing");
        assert!(
            said(keys.size("half").unwrap_err()).contains("half = 1.5: expected a whole number")
        );
        let err = said(keys.only("hidden_act", &[json!("silu")]).unwrap_err());
        assert!(err.contains("hidden_act = \"gelu\"") && err.ends_with("known: \"silu\""), "{err}");
        keys.only("width", &[json!(3.0)]).unwrap();
        // Null means false, not the default.
        assert!(!keys.flag("none", true).unwrap());
        keys.only("none", &[json!(false)]).unwrap();
        let err = said(keys.only("none", &[json!(true)]).unwrap_err());
        assert_eq!(err, "config.json: none = null: not supported; known: true");
        let err = said(keys.finish().unwrap_err());
        assert_eq!(err, "config.json: this network does not support other = [1]");
    }
}
