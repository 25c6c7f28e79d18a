//! How a config stretches rotary positions: `rope_parameters`, or as older versions have it `rope_theta` and
//! `rope_scaling`.

use anyhow::{anyhow, bail};
use backbones::{AttentionParts, Llama3Config, YarnConfig};
use serde_json::{Map, Value, json};

use crate::keys::Keys;

/// A stretch of rotary positions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stretch {
    /// None.
    No,
    /// All positions are closer together by a factor.
    Linear(f64),
    /// That of Llama 3.1.
    Llama3(Llama3Config),
    /// YaRN, and the factor on attention of DeepSeek's `mscale_all_dim`.
    Yarn(YarnConfig, f64),
}

impl Stretch {
    /// The base of rotary positions, and how they are stretched.
    ///
    /// # Errors
    /// If it is of a kind that the network does not have, or a key of it is not honoured.
    pub(crate) fn read(keys: &mut Keys, theta: f64) -> anyhow::Result<(f64, Self)> {
        let theta = keys.number("rope_theta", theta)?;
        let scaling = keys.value("rope_scaling").and_then(Value::as_object);
        let table = keys.value("rope_parameters").and_then(Value::as_object).or(scaling);
        let Some(table) = table else { return Ok((theta, Self::No)) };
        let theta = table.get("rope_theta").and_then(Value::as_f64).unwrap_or(theta);
        let kind = table.get("rope_type").or(table.get("type"));
        let stretch = match kind.and_then(Value::as_str).unwrap_or("default") {
            "default" => known(table, &[]).map(|()| Self::No),
            "linear" => linear(table),
            "llama3" => llama3(table),
            "yarn" => yarn(table),
            other => bail!(
                "config.json: rope_type = {other:?}: not supported; known: \"default\", \
                 \"linear\", \"llama3\", \"yarn\""
            ),
        };
        Ok((theta, stretch?))
    }

    /// Sets the parts of attention.
    pub(crate) fn put(self, parts: &mut AttentionParts) {
        match self {
            Self::No => {}
            Self::Linear(factor) => parts.interpolation = Some(factor),
            Self::Llama3(config) => parts.llama3 = Some(config),
            Self::Yarn(config, _) => parts.yarn = Some(config),
        }
    }
}

fn known(table: &Map<String, Value>, own: &[&str]) -> anyhow::Result<()> {
    let known = [&["rope_theta", "rope_type", "type"], own].concat();
    match table.iter().find(|(key, value)| !value.is_null() && !known.contains(&key.as_str())) {
        Some((key, value)) => {
            bail!("config.json: rope_parameters: this network does not honour {key} = {value}")
        }
        None => Ok(()),
    }
}

fn number(table: &Map<String, Value>, key: &str) -> Option<f64> {
    table.get(key).and_then(Value::as_f64)
}

fn needed(table: &Map<String, Value>, key: &str) -> anyhow::Result<f64> {
    number(table, key).ok_or_else(|| anyhow!("config.json: rope_parameters.{key} is missing"))
}

fn linear(table: &Map<String, Value>) -> anyhow::Result<Stretch> {
    known(table, &["factor"])?;
    Ok(Stretch::Linear(needed(table, "factor")?))
}

fn llama3(table: &Map<String, Value>) -> anyhow::Result<Stretch> {
    let length = "original_max_position_embeddings";
    known(table, &["factor", "low_freq_factor", "high_freq_factor", length])?;
    Ok(Stretch::Llama3(Llama3Config {
        factor: needed(table, "factor")?,
        original_length: needed(table, length)? as usize,
        low: needed(table, "low_freq_factor")?,
        high: needed(table, "high_freq_factor")?,
    }))
}

fn yarn(table: &Map<String, Value>) -> anyhow::Result<Stretch> {
    known(
        table,
        &[
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
    let number = |key: &str| number(table, key);
    let factor = needed(table, "factor")?;
    let grown = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
    let (m, all) = (number("mscale").unwrap_or(0.0), number("mscale_all_dim").unwrap_or(0.0));
    let magnitude = match number("attention_factor") {
        Some(given) => given,
        None if m != 0.0 && all != 0.0 => grown(m) / grown(all),
        None => grown(1.0),
    };
    let config = YarnConfig {
        factor,
        original_length: needed(table, "original_max_position_embeddings")? as usize,
        beta_fast: number("beta_fast").unwrap_or(32.0),
        beta_slow: number("beta_slow").unwrap_or(1.0),
        truncate: table.get("truncate").unwrap_or(&json!(true)) != &json!(false),
        magnitude: Some(magnitude),
    };
    Ok(Stretch::Yarn(config, if all != 0.0 { grown(all).powi(2) } else { 1.0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotary_positions_of_old_and_new_configs() {
        let read = |value: Value| {
            let config = value.as_object().cloned().unwrap();
            Stretch::read(&mut Keys::new(&config), 1e4)
        };
        assert_eq!(read(json!({})).unwrap(), (1e4, Stretch::No));
        let old = json!({ "rope_theta": 5e5, "rope_scaling": null });
        assert_eq!(read(old).unwrap(), (5e5, Stretch::No));
        let new = json!({ "rope_parameters": {
            "rope_theta": 7.0, "rope_type": "yarn", "factor": 2.0,
            "original_max_position_embeddings": 16,
        } });
        assert!(matches!(
            read(new).unwrap(),
            (7.0, Stretch::Yarn(YarnConfig { factor: 2.0, .. }, _))
        ));
        let linear = json!({ "rope_scaling": { "type": "linear", "factor": 4 } });
        assert_eq!(read(linear).unwrap(), (1e4, Stretch::Linear(4.0)));
        let said = |value: Value| read(json!({ "rope_scaling": value })).unwrap_err().to_string();
        let err = said(json!({ "rope_type": "llama3", "factor": 8.0 }));
        assert!(err.ends_with("original_max_position_embeddings is missing"), "{err}");
        let err = said(json!({ "rope_type": "longrope" }));
        assert!(err.contains("rope_type = \"longrope\""), "{err}");
        let err = said(json!({ "partial_rotary_factor": 0.5 }));
        assert!(err.contains("does not honour partial_rotary_factor = 0.5"), "{err}");
    }
}
