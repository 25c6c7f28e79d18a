//! Settings with their sources and lines, so that an error can name the file and the line.

use std::{collections::BTreeMap, fmt, rc::Rc};

use serde_json::Value;

/// The place of a setting: source and line.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub(super) source: Rc<str>,
    pub(super) line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.source),
            None => f.write_str(&self.source),
        }
    }
}

/// A setting, or a table of settings.
#[derive(Clone, Debug)]
pub enum SettingTree {
    /// A value, or a list.
    Leaf(Value, Place),
    /// A table.
    Table(BTreeMap<String, SettingTree>, Place),
    /// A list of tables, `[[method]]` for example.
    Tables(Vec<SettingTree>, Place),
}

impl SettingTree {
    /// An empty table.
    pub fn empty(source: &str) -> Self {
        SettingTree::Table(BTreeMap::new(), Place { source: source.into(), line: None })
    }

    /// A tree of plain data; `source` is its name in errors.
    pub fn plain(value: Value, source: &str) -> Self {
        Self::from_value(value, &Place { source: source.into(), line: None })
    }

    /// The setting of a dotted path as nested tables.
    pub fn nested(path: &str, value: Value, place: &Place) -> Self {
        let leaf = SettingTree::from_value(value, place);
        path.trim().rsplit('.').fold(leaf, |inner, key| {
            SettingTree::Table(BTreeMap::from([(key.to_string(), inner)]), place.clone())
        })
    }

    fn from_value(value: Value, place: &Place) -> Self {
        match value {
            Value::Object(table) => {
                let inner = |(key, value)| (key, Self::from_value(value, place));
                SettingTree::Table(table.into_iter().map(inner).collect(), place.clone())
            }
            other => SettingTree::Leaf(other, place.clone()),
        }
    }

    /// Lays `over` on top. Tables are merged key by key, except that a table with a `kind` replaces the table
    /// below: another plug-in has other hyperparameters.
    pub fn lay(&mut self, over: &SettingTree) {
        self.name_to_table();
        match (self, over) {
            (SettingTree::Table(under, _), SettingTree::Table(over, _))
                if !over.contains_key("kind") =>
            {
                for (key, value) in over {
                    match under.get_mut(key) {
                        Some(known) => known.lay(value),
                        None => drop(under.insert(key.clone(), value.clone())),
                    }
                }
            }
            (under, over) => *under = over.clone(),
        }
    }

    /// Turns the bare name of a plug-in into a table, so that hyperparameters can be laid over it.
    fn name_to_table(&mut self) {
        if let SettingTree::Leaf(Value::String(_), place) = self {
            let place = place.clone();
            let kind = std::mem::replace(self, SettingTree::Table(BTreeMap::new(), place.clone()));
            *self = SettingTree::Table(BTreeMap::from([("kind".to_string(), kind)]), place);
        }
    }

    /// Puts a setting into a table, replacing an existing one.
    pub fn put(&mut self, key: &str, value: SettingTree) {
        if let SettingTree::Table(table, _) = self {
            table.insert(key.to_string(), value);
        }
    }

    /// A table without some of its keys.
    pub fn without(&self, keys: &[&str]) -> Self {
        let mut rest = self.clone();
        if let SettingTree::Table(table, _) = &mut rest {
            table.retain(|key, _| !keys.contains(&key.as_str()));
        }
        rest
    }

    /// The same table with the place of the key that refers to it.
    pub fn at(mut self, at: &Place) -> Self {
        if let SettingTree::Table(_, place) = &mut self {
            *place = at.clone();
        }
        self
    }

    /// The settings of a table; none if this is not a table.
    pub fn table(&self) -> Option<&BTreeMap<String, SettingTree>> {
        match self {
            SettingTree::Table(table, _) => Some(table),
            _ => None,
        }
    }

    /// The settings as plain data.
    pub fn value(&self) -> Value {
        match self {
            SettingTree::Leaf(value, _) => value.clone(),
            SettingTree::Table(table, _) => {
                table.iter().map(|(key, value)| (key.clone(), value.value())).collect()
            }
            SettingTree::Tables(tables, _) => tables.iter().map(SettingTree::value).collect(),
        }
    }

    /// The place of this setting.
    pub fn place(&self) -> &Place {
        match self {
            SettingTree::Leaf(_, place)
            | SettingTree::Table(_, place)
            | SettingTree::Tables(_, place) => place,
        }
    }

    /// The place of the setting of a dotted path, or of the innermost existing table around it.
    pub fn place_of(&self, path: &str) -> &Place {
        let mut at = self;
        for key in path.split('.') {
            match at.table().and_then(|table| table.get(key)) {
                Some(inner) => at = inner,
                None => break,
            }
        }
        at.place()
    }
}
