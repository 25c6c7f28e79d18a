//! The scaling of rotary positions in a config: `rope_parameters`, or in older versions `rope_theta` and
//! `rope_scaling`.

use anyhow::bail;
use backbones::{AttentionParts, Llama3Config, YarnConfig};

use crate::keys::Keys;

/// The key of the table of rotary positions, and its key in older versions.
const NEW: &str = "rope_parameters";
const OLD: &str = "rope_scaling";
/// The key of the context length of the original training.
const LENGTH: &str = "original_max_position_embeddings";

/// A scaling of rotary positions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RopeScaling {
    /// No scaling.
    No,
    /// All positions are divided by a factor.
    Linear(f64),
    /// The scaling of Llama 3.1.
    Llama3(Llama3Config),
    /// YaRN, with the factor on attention from DeepSeek's `mscale_all_dim`.
    Yarn(YarnConfig, f64),
}

impl RopeScaling {
    /// Reads the base of rotary positions, and their scaling.
    ///
    /// # Errors
    /// If the kind of scaling is not supported, if a key is not honoured, or if there are two different
    /// tables.
    pub(crate) fn read(keys: &mut Keys, theta: f64) -> anyhow::Result<(f64, Self)> {
        let outside = keys.has("rope_theta");
        let theta = keys.number("rope_theta", theta)?;
        // An empty table of the old form counts as missing.
        let tables = [keys.table(NEW)?, keys.table(OLD)?.filter(|old| !old.is_empty())];
        let (name, table) = match tables {
            [None, None] => return Ok((theta, Self::No)),
            [Some(new), Some(old)] if new != old => {
                bail!("config.json: {NEW} and {OLD} are both set, but differ")
            }
            [Some(new), _] => (NEW, new),
            [None, Some(old)] => (OLD, old),
        };
        let mut own = Keys::of_table(name, table);
        let scaling = Self::of(&mut own, theta)?;
        own.finish()?;
        if outside && scaling.0 != theta {
            bail!("config.json: rope_theta = {theta}, but {name} has {}", scaling.0);
        }
        Ok(scaling)
    }

    /// Reads a table.
    fn of(table: &mut Keys, theta: f64) -> anyhow::Result<(f64, Self)> {
        let theta = table.number("rope_theta", theta)?;
        let kinds = [table.text("rope_type", "")?, table.text("type", "")?];
        let kind = match kinds.each_ref().map(String::as_str) {
            ["", ""] => "default",
            ["", kind] | [kind, ""] => kind,
            [new, old] if new != old => {
                return Err(table.error(format!("rope_type = {new:?}, but type = {old:?}")));
            }
            [kind, _] => kind,
        };
        let scaling = match kind {
            "default" => Self::No,
            "linear" => Self::Linear(table.needed_number("factor")?),
            "llama3" => llama3(table)?,
            "yarn" => yarn(table)?,
            other => {
                let known = "known: \"default\", \"linear\", \"llama3\", \"yarn\"";
                return Err(table.error(format!("rope_type = {other:?}: not supported; {known}")));
            }
        };
        Ok((theta, scaling))
    }

    /// Sets the scaling in the parts of attention.
    pub(crate) fn put(self, parts: &mut AttentionParts) {
        match self {
            Self::No => {}
            Self::Linear(factor) => parts.interpolation = Some(factor),
            Self::Llama3(config) => parts.llama3 = Some(config),
            Self::Yarn(config, _) => parts.yarn = Some(config),
        }
    }
}

fn llama3(table: &mut Keys) -> anyhow::Result<RopeScaling> {
    Ok(RopeScaling::Llama3(Llama3Config {
        factor: table.needed_number("factor")?,
        original_length: table.size(LENGTH)?,
        low: table.needed_number("low_freq_factor")?,
        high: table.needed_number("high_freq_factor")?,
    }))
}

fn yarn(table: &mut Keys) -> anyhow::Result<RopeScaling> {
    let factor = table.needed_number("factor")?;
    let grown = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
    // The library replaces null by the default in this table.
    let mut number =
        |key: &str, default: f64| anyhow::Ok(table.maybe_number(key)?.unwrap_or(default));
    let (m, all) = (number("mscale", 0.0)?, number("mscale_all_dim", 0.0)?);
    let (beta_fast, beta_slow) = (number("beta_fast", 32.0)?, number("beta_slow", 1.0)?);
    let magnitude = match table.maybe_number("attention_factor")? {
        Some(given) => given,
        None if m != 0.0 && all != 0.0 => grown(m) / grown(all),
        None => grown(1.0),
    };
    let config = YarnConfig {
        factor,
        original_length: table.size(LENGTH)?,
        beta_fast,
        beta_slow,
        truncate: table.flag("truncate", true)?,
        magnitude: Some(magnitude),
    };
    Ok(RopeScaling::Yarn(config, if all != 0.0 { grown(all).powi(2) } else { 1.0 }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn rotary_positions_of_old_and_new_configs() {
        let read = |value: Value| {
            let config = value.as_object().cloned().unwrap();
            RopeScaling::read(&mut Keys::new(&config), 1e4)
        };
        assert_eq!(read(json!({})).unwrap(), (1e4, RopeScaling::No));
        let old = json!({ "rope_theta": 5e5, "rope_scaling": null });
        assert_eq!(read(old).unwrap(), (5e5, RopeScaling::No));
        let both = json!({
            "rope_theta": 7.0, "rope_scaling": {},
            "rope_parameters": { "rope_type": "linear", "factor": 2.0 },
        });
        assert_eq!(read(both).unwrap(), (7.0, RopeScaling::Linear(2.0)));
        let new = json!({ "rope_parameters": {
            "rope_theta": 7.0, "rope_type": "yarn", "factor": 2.0,
            "original_max_position_embeddings": 16,
        } });
        assert!(matches!(
            read(new).unwrap(),
            (7.0, RopeScaling::Yarn(YarnConfig { factor: 2.0, .. }, _))
        ));
        let linear = json!({ "rope_scaling": { "type": "linear", "factor": 4 } });
        assert_eq!(read(linear).unwrap(), (1e4, RopeScaling::Linear(4.0)));
        let both = json!({
            "rope_parameters": { "rope_theta": 1e4, "rope_type": "default" },
            "rope_scaling": { "type": "linear", "factor": 8.0 },
        });
        let err = read(both).unwrap_err().to_string();
        assert!(err.ends_with("rope_parameters and rope_scaling are both set, but differ"));
        let said =
            |value: Value| format!("{:#}", read(json!({ "rope_scaling": value })).unwrap_err());
        let err = said(json!({ "rope_type": "llama3", "factor": 8.0 }));
        assert_eq!(err, "config.json: rope_scaling: original_max_position_embeddings is missing");
        let err = said(json!({ "rope_type": "longrope" }));
        assert!(err.contains("rope_type = \"longrope\""), "{err}");
        let err = said(json!({ "partial_rotary_factor": 0.5 }));
        assert!(err.contains("does not support partial_rotary_factor = 0.5"), "{err}");
        for (wrong, part) in [
            (json!("linear"), "rope_scaling = \"linear\": expected a table"),
            (json!({ "rope_theta": "big" }), "rope_theta = \"big\": must be a number"),
            (json!({ "rope_type": 5 }), "rope_type = 5: expected a string"),
            (json!({ "rope_type": "yarn", "type": "linear" }), "but type = \"linear\""),
            (
                json!({ "type": "yarn", "factor": 2, LENGTH: 8, "beta_fast": "x" }),
                "beta_fast = \"x\"",
            ),
            (
                json!({ "type": "yarn", "factor": 2, LENGTH: 8, "truncate": "no" }),
                "truncate = \"no\"",
            ),
        ] {
            assert!(said(wrong.clone()).contains(part), "{}", said(wrong));
        }
    }
}
