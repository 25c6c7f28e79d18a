//! Reading settings from TOML, with their places.

use std::{collections::BTreeMap, fmt, rc::Rc};

use anyhow::{anyhow, bail, ensure};
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::tree::{Place, SettingTree};

/// The largest number of parts of a key.
const DEEPEST: usize = 64;

impl SettingTree {
    /// Reads TOML; `source` is its name in errors.
    pub fn parse(source: &str, text: &str) -> anyhow::Result<Self> {
        let reader = TomlReader::new(source.into(), text);
        let table = DeTable::parse(text).map_err(|err| {
            let line = reader.place(err.span().map_or(0, |span| span.start)).line.unwrap_or(1);
            anyhow!("{source}:{line}: {}", err.message())
        })?;
        reader.table(table.get_ref(), reader.place(0))
    }

    /// Reads TOML that is part of the program, without line numbers; `source` is its name in errors.
    pub(crate) fn built_in(source: &str, text: &str) -> anyhow::Result<Self> {
        Ok(Self::plain(Self::parse(source, text)?.value(), source))
    }

    /// Parses the setting `a.b.c = value` into nested tables.
    pub fn assignment(text: &str) -> anyhow::Result<Self> {
        let (path, value) = text.split_once('=').ok_or_else(|| {
            anyhow!("{text:?} is not a setting; expected key=value, for example train.lr=0.001")
        })?;
        let place = Place { source: format!("--set {text}").as_str().into(), line: None };
        let parts = path.split('.').count();
        ensure!(
            parts <= DEEPEST,
            "--set: the key has {parts} parts; at most {DEEPEST} are allowed"
        );
        let toml = format!("value = {value}");
        let value = match DeTable::parse(&toml) {
            Ok(table) => {
                let reader = TomlReader::new(place.source.clone(), "");
                let value = table.get_ref().values().next();
                let value = value.map(|value| reader.leaf(value.get_ref(), &place));
                value.transpose()?.unwrap_or_default()
            }
            Err(_) => Value::String(value.trim().to_string()), // a name needs no quotes
        };
        Ok(Self::nested(path, value, &place))
    }
}

struct TomlReader {
    source: Rc<str>,
    /// The ends of the lines of the text; none for settings without a text, from the command line.
    ends: Option<Vec<usize>>,
}

impl TomlReader {
    fn new(source: Rc<str>, text: &str) -> Self {
        let ends = || text.match_indices('\n').map(|(at, _)| at).collect();
        Self { source, ends: (!text.is_empty()).then(ends) }
    }

    fn place(&self, offset: usize) -> Place {
        let before = |ends: &Vec<usize>| ends.partition_point(|end| *end < offset);
        let line = self.ends.as_ref().map(|ends| before(ends) + 1);
        Place { source: self.source.clone(), line }
    }

    fn table(&self, table: &DeTable, place: Place) -> anyhow::Result<SettingTree> {
        let mut settings = BTreeMap::new();
        for (key, value) in table {
            let inner = self.node(value.get_ref(), self.place(key.span().start))?;
            settings.insert(key.get_ref().to_string(), inner);
        }
        Ok(SettingTree::Table(settings, place))
    }

    fn node(&self, value: &DeValue, place: Place) -> anyhow::Result<SettingTree> {
        match value {
            DeValue::Table(table) => self.table(table, place),
            DeValue::Array(items)
                if !items.is_empty()
                    && items.iter().all(|item| matches!(item.get_ref(), DeValue::Table(_))) =>
            {
                let tables = items
                    .iter()
                    .map(|item| self.node(item.get_ref(), self.place(item.span().start)));
                Ok(SettingTree::Tables(tables.collect::<Result<_, _>>()?, place))
            }
            other => Ok(SettingTree::Leaf(self.leaf(other, &place)?, place)),
        }
    }

    fn leaf(&self, value: &DeValue, place: &Place) -> anyhow::Result<Value> {
        let bad = |text: &dyn fmt::Display| anyhow!("{place}: {text} is not a number");
        // Configs are stored as JSON, which has no infinity: it would be read as a missing value.
        let finite = |text: &str| match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number.into()),
            Ok(_) => {
                bail!("{place}: {text} is not a finite number; leave the key out for its default")
            }
            Err(_) => Err(bad(&text)),
        };
        Ok(match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(yes) => Value::Bool(*yes),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| bad(&number.as_str()))?
                .into(),
            DeValue::Float(number) => finite(number.as_str())?,
            DeValue::Array(items) => items
                .iter()
                .map(|item| self.leaf(item.get_ref(), place))
                .collect::<anyhow::Result<_>>()?,
            DeValue::Table(_) => self.node(value, place.clone())?.value(),
            DeValue::Datetime(time) => Value::String(time.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SUITE: &str = "a = 1\n[moe]\nexperts = 8\nrouter = { kind = \"top-k\", k = 2 }\n";

    #[test]
    fn settings_know_their_lines() {
        let settings = SettingTree::parse("s.toml", SUITE).unwrap();
        assert_eq!(settings.place_of("moe.experts").to_string(), "s.toml:3");
        assert_eq!(settings.place_of("moe.router.kk").to_string(), "s.toml:4");
        assert_eq!(settings.value()["moe"]["router"], json!({ "kind": "top-k", "k": 2 }));
    }

    #[test]
    fn tables_are_joined_and_plug_ins_replaced() {
        let mut settings = SettingTree::parse("s.toml", SUITE).unwrap();
        settings.lay(&SettingTree::parse("b", "moe.experts = 4\nmoe.router.k = 1").unwrap());
        let moe = json!({ "experts": 4, "router": { "kind": "top-k", "k": 1 } });
        assert_eq!(settings.value()["moe"], moe);
        settings.lay(&SettingTree::assignment("moe.router={kind = \"switch\"}").unwrap());
        assert_eq!(settings.value()["moe"]["router"], json!({ "kind": "switch" }));
        assert_eq!(
            settings.place_of("moe.router").to_string(),
            "--set moe.router={kind = \"switch\"}"
        );
    }

    #[test]
    fn a_bare_name_takes_hyperparameters() {
        let mut settings = SettingTree::parse("s.toml", "router = \"top-k\"").unwrap();
        settings.lay(&SettingTree::assignment("router.k=1").unwrap());
        assert_eq!(settings.value(), json!({ "router": { "kind": "top-k", "k": 1 } }));
        settings.lay(&SettingTree::assignment("router=switch").unwrap());
        assert_eq!(settings.value(), json!({ "router": "switch" }));
    }

    #[test]
    fn assignments_take_toml_values_and_bare_names() {
        let value = |text| SettingTree::assignment(text).unwrap().value();
        assert_eq!(value("train.lr=1e-3"), json!({ "train": { "lr": 1e-3 } }));
        assert_eq!(value("moe.layers=every 2"), json!({ "moe": { "layers": "every 2" } }));
        assert_eq!(value("moe.layers=[1, 3]"), json!({ "moe": { "layers": [1, 3] } }));
        assert!(SettingTree::assignment("train.lr").unwrap_err().to_string().contains("key=value"));
    }

    #[test]
    fn what_json_cannot_hold_is_refused_with_its_place() {
        for number in ["inf", "-inf", "nan", "+nan", "1e999"] {
            let err = SettingTree::parse("s.toml", &format!("a = 1\nb = {number}")).unwrap_err();
            let err = err.to_string();
            assert!(err.starts_with("s.toml:2: ") && err.contains("is not a finite"), "{err}");
            for text in
                [format!("b={number}"), format!("b=[1, {number}]"), format!("b={{c={number}}}")]
            {
                let err = SettingTree::assignment(&text).unwrap_err().to_string();
                let place = format!("--set {text}: ");
                assert!(err.starts_with(&place) && err.contains("is not a finite"), "{err}");
            }
        }
        for number in ["-0.0", "1e300", "5e-324"] {
            let value = SettingTree::assignment(&format!("b={number}")).unwrap().value();
            let expected: f64 = number.parse().unwrap();
            assert_eq!(value["b"].as_f64().unwrap().to_bits(), expected.to_bits());
        }
    }

    #[test]
    fn broken_toml_has_a_line() {
        let err = SettingTree::parse("s.toml", "a = 1\nb = = 2\n").unwrap_err().to_string();
        assert!(err.starts_with("s.toml:2: "), "{err}");
    }
}
