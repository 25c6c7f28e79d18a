//! The hyperparameters of `[tune]`, and the values that are tried for them.

use anyhow::{bail, ensure};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde_json::Value;

use crate::settings::{Place, SettingTree, typed_table};

/// A hyperparameter, and the values that are tried for it.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) path: String,
    pub(super) values: Values,
    pub(super) place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Values {
    List(Vec<Value>),
    Range(Range),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    from: f64,
    to: f64,
    #[serde(default)]
    scale: Scale,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Scale {
    #[default]
    Linear,
    Log,
}

/// The hyperparameters in a table whose keys are quoted or bare dotted names.
pub(super) fn keys_of(table: &SettingTree, path: &str) -> anyhow::Result<Vec<Key>> {
    let place = table.place();
    ensure!(
        !path.is_empty() || table.table().is_some(),
        "{place}: tune = {}: expected a table of settings to try, or false for a method with the settings that \
         the suite states",
        table.value()
    );
    let key = |values| vec![Key { path: path.into(), values, place: place.clone() }];
    match table {
        SettingTree::Table(inner, _) if inner.contains_key("from") || inner.contains_key("to") => {
            let range: Range = typed_table(table, &format!("tune: {path}"))?;
            let least = if range.scale == Scale::Log { 0.0 } else { f64::NEG_INFINITY };
            ensure!(
                least < range.from && range.from < range.to && range.to.is_finite(),
                "{place}: tune: {path}: from = {}, to = {}: `from` must be less than `to`, and above 0 on a \
                 log scale",
                range.from,
                range.to
            );
            Ok(key(Values::Range(range)))
        }
        SettingTree::Table(inner, _) => {
            let deeper = inner.iter().map(|(name, inner)| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                keys_of(inner, &path)
            });
            Ok(deeper.collect::<Result<Vec<_>, _>>()?.concat())
        }
        other => match other.value() {
            Value::Array(values) if !values.is_empty() => Ok(key(Values::List(values))),
            other => {
                bail!("{place}: tune: {path} = {other}: expected a list of values, or from and to")
            }
        },
    }
}

impl Values {
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Value {
        let share = rng.random::<f64>();
        match self {
            Values::List(values) => values[(share * values.len() as f64) as usize].clone(),
            Values::Range(Range { from, to, scale: Scale::Linear }) => {
                digits(from + share * (to - from))
            }
            Values::Range(Range { from, to, scale: Scale::Log }) => {
                digits((from.ln() + share * (to.ln() - from.ln())).exp())
            }
        }
    }
}

/// Rounds a value to four digits, which are precise enough and readable.
fn digits(x: f64) -> Value {
    format!("{x:.3e}").parse().unwrap_or(x).into()
}
