//! The keys of a `config.json`: each is read by its family, or refused by its name.

use std::collections::BTreeSet;

use anyhow::{anyhow, bail};
use backbones::YarnConfig;
use serde_json::{Map, Value, json};

/// Keys that change nothing that a network computes from its weights: names and versions, numbers of special
/// tokens, the random start of training, and what other programs shall return or keep.
const NO_MATTER: [&str; 23] = [
    "_name_or_path",
    "architectures",
    "auto_map",
    "bos_token_id",
    "decoder_start_token_id",
    "dtype",
    "eos_token_id",
    "initializer_factor",
    "initializer_range",
    "is_encoder_decoder",
    "model_type",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "pad_token_id",
    "pretraining_tp",
    "return_dict",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "unk_token_id",
    "use_cache",
];

/// The keys of a config, of which a family reads those that it knows.
#[derive(Debug)]
pub struct Keys<'a> {
    config: &'a Map<String, Value>,
    used: BTreeSet<String>,
}

impl<'a> Keys<'a> {
    /// The keys of a config.
    pub fn new(config: &'a Map<String, Value>) -> Self {
        Self { config, used: NO_MATTER.iter().map(|key| key.to_string()).collect() }
    }

    /// The value of a key, unless it is null.
    fn value(&mut self, key: &str) -> Option<&'a Value> {
        self.used.insert(key.to_string());
        self.config.get(key).filter(|value| !value.is_null())
    }

    /// Whether there is such a key, not null.
    pub fn has(&self, key: &str) -> bool {
        self.config.get(key).is_some_and(|value| !value.is_null())
    }

    /// A number of things.
    ///
    /// # Errors
    /// If it is missing or no whole number.
    pub fn size(&mut self, key: &str) -> anyhow::Result<usize> {
        self.maybe_size(key)?.ok_or_else(|| anyhow!("config.json: {key} is missing"))
    }

    /// A number of things, if it is there.
    pub fn maybe_size(&mut self, key: &str) -> anyhow::Result<Option<usize>> {
        let read = |value: &Value| {
            let size = value.as_u64().map(|size| size as usize);
            size.ok_or_else(|| anyhow!("config.json: {key} = {value}: it is a whole number"))
        };
        self.value(key).map(read).transpose()
    }

    /// A number, or the default of the family.
    pub fn number(&mut self, key: &str, default: f64) -> anyhow::Result<f64> {
        Ok(self.maybe_number(key)?.unwrap_or(default))
    }

    /// A number, if it is there.
    pub fn maybe_number(&mut self, key: &str) -> anyhow::Result<Option<f64>> {
        let read = |value: &Value| {
            value.as_f64().ok_or_else(|| anyhow!("config.json: {key} = {value}: it is a number"))
        };
        self.value(key).map(read).transpose()
    }

    /// Yes or no, or the default of the family.
    pub fn flag(&mut self, key: &str, default: bool) -> anyhow::Result<bool> {
        match self.value(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => bail!("config.json: {key} = {other}: it is true or false"),
        }
    }

    /// A list of whole numbers; empty if it is not there.
    pub fn sizes(&mut self, key: &str) -> anyhow::Result<Vec<usize>> {
        match self.value(key) {
            None => Ok(Vec::new()),
            Some(list) => serde_json::from_value(list.clone())
                .map_err(|err| anyhow!("config.json: {key} = {list}: {err}")),
        }
    }

    /// A list of texts, if it is there.
    pub fn texts(&mut self, key: &str) -> anyhow::Result<Option<Vec<String>>> {
        let read = |list: &Value| {
            serde_json::from_value(list.clone())
                .map_err(|err| anyhow!("config.json: {key} = {list}: {err}"))
        };
        self.value(key).map(read).transpose()
    }

    /// A text, or the default of the family.
    pub fn text(&mut self, key: &str, default: &str) -> anyhow::Result<String> {
        match self.value(key) {
            None => Ok(default.to_string()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => bail!("config.json: {key} = {other}: it is a text"),
        }
    }

    /// Refuses a key that has another value than one of these; it may be missing or null.
    pub fn only(&mut self, key: &str, known: &[Value]) -> anyhow::Result<()> {
        let Some(value) = self.value(key) else { return Ok(()) };
        let same = |known: &Value| match (known.as_f64(), value.as_f64()) {
            (Some(known), Some(value)) => known == value,
            _ => known == value,
        };
        if known.iter().any(same) {
            return Ok(());
        }
        let known = known.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        bail!("config.json: {key} = {value}: this network does not do that; it has {known}")
    }

    /// The base of rotary positions, and how they are stretched: `rope_parameters`, or as older versions
    /// have it `rope_theta` and `rope_scaling`.
    pub fn rotary(&mut self, default: f64) -> anyhow::Result<(f64, Option<Map<String, Value>>)> {
        let theta = self.number("rope_theta", default)?;
        let scaling = self.value("rope_scaling").and_then(Value::as_object);
        let table = self.value("rope_parameters").and_then(Value::as_object).or(scaling);
        let Some(table) = table else { return Ok((theta, None)) };
        let theta = table.get("rope_theta").and_then(Value::as_f64).unwrap_or(theta);
        let kind = table.get("rope_type").or(table.get("type"));
        match kind.and_then(Value::as_str).unwrap_or("default") {
            "default" => {
                known(table, &["rope_theta", "rope_type", "type"])?;
                Ok((theta, None))
            }
            "yarn" => Ok((theta, Some(table.clone()))),
            other => {
                bail!(
                    "config.json: rope_type = {other:?}: this network does not do that; it has \
                       \"default\", \"yarn\""
                )
            }
        }
    }

    /// Checks that the family has read all keys.
    ///
    /// # Errors
    /// Names those that the network does not honour.
    pub fn finish(self) -> anyhow::Result<()> {
        let left = |(key, value): &(&String, &Value)| !value.is_null() && !self.used.contains(*key);
        let left: Vec<String> =
            self.config.iter().filter(left).map(|(k, v)| format!("{k} = {v}")).collect();
        match left.is_empty() {
            true => Ok(()),
            false => bail!("config.json: this network does not honour {}", left.join(", ")),
        }
    }
}

fn known(table: &Map<String, Value>, known: &[&str]) -> anyhow::Result<()> {
    match table.iter().find(|(key, value)| !value.is_null() && !known.contains(&key.as_str())) {
        Some((key, value)) => {
            bail!("config.json: rope_parameters: this network does not honour {key} = {value}")
        }
        None => Ok(()),
    }
}

/// The stretch of rotary positions that a table describes. The factor on attention of DeepSeek's
/// `mscale_all_dim` is the second of the two.
pub(crate) fn yarn(table: &Map<String, Value>) -> anyhow::Result<(YarnConfig, f64)> {
    known(
        table,
        &[
            "rope_theta",
            "rope_type",
            "type",
            "factor",
            "attention_factor",
            "mscale",
            "mscale_all_dim",
            "beta_fast",
            "beta_slow",
            "truncate",
            "original_max_position_embeddings",
        ],
    )?;
    let number = |key: &str| table.get(key).and_then(Value::as_f64);
    let needed = |key: &str| {
        number(key).ok_or_else(|| anyhow!("config.json: rope_parameters.{key} is missing"))
    };
    let factor = needed("factor")?;
    let grown = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
    let (m, all) = (number("mscale").unwrap_or(0.0), number("mscale_all_dim").unwrap_or(0.0));
    let magnitude = match number("attention_factor") {
        Some(given) => given,
        None if m != 0.0 && all != 0.0 => grown(m) / grown(all),
        None => grown(1.0),
    };
    let config = YarnConfig {
        factor,
        original_length: needed("original_max_position_embeddings")? as usize,
        beta_fast: number("beta_fast").unwrap_or(32.0),
        beta_slow: number("beta_slow").unwrap_or(1.0),
        truncate: table.get("truncate").unwrap_or(&json!(true)) != &json!(false),
        magnitude: Some(magnitude),
    };
    Ok((config, if all != 0.0 { grown(all).powi(2) } else { 1.0 }))
}

#[cfg(test)]
mod tests {
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
        assert!(keys.flag("deep", false).unwrap() && !keys.flag("none", false).unwrap());
        let said = |err: anyhow::Error| err.to_string();
        assert_eq!(said(keys.size("depth").unwrap_err()), "config.json: depth is missing");
        assert!(said(keys.size("half").unwrap_err()).contains("half = 1.5: it is a whole number"));
        let err = said(keys.only("hidden_act", &[json!("silu")]).unwrap_err());
        assert!(err.contains("hidden_act = \"gelu\"") && err.ends_with("it has \"silu\""), "{err}");
        keys.only("width", &[json!(3.0)]).unwrap();
        let err = said(keys.finish().unwrap_err());
        assert_eq!(err, "config.json: this network does not honour other = [1]");
    }

    #[test]
    fn rotary_positions_of_old_and_new_configs() {
        let read = |value: Value| {
            Keys::new(&config(value)).rotary(1e4).map(|(theta, yarn)| (theta, yarn.is_some()))
        };
        assert_eq!(read(json!({})).unwrap(), (1e4, false));
        assert_eq!(read(json!({ "rope_theta": 5e5, "rope_scaling": null })).unwrap(), (5e5, false));
        let new = json!({ "rope_parameters": { "rope_theta": 7.0, "rope_type": "yarn" } });
        assert_eq!(read(new).unwrap(), (7.0, true));
        let err = read(json!({ "rope_scaling": { "rope_type": "llama3" } })).unwrap_err();
        assert!(err.to_string().contains("rope_type = \"llama3\""), "{err}");
        let err = read(json!({ "rope_parameters": { "partial_rotary_factor": 0.5 } })).unwrap_err();
        assert!(err.to_string().contains("does not honour partial_rotary_factor = 0.5"), "{err}");
    }
}
