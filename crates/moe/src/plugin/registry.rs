//! Plug-ins by name. A registry is a value, which a program can extend.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::plugin::{Choice, Hyper, typed};

/// An error in a name, in its hyperparameters or in a setting of the MoE layer, with a message for the user.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// No plug-in has that name.
    #[error("no {what} is named {name:?}; known: {known}")]
    Unknown {
        /// The kind of plug-in: "router", for example.
        what: &'static str,
        /// The given name.
        name: String,
        /// The alternatives, comma separated.
        known: String,
    },
    /// A hyperparameter is misspelt, or of the wrong type.
    #[error("{what} {name:?}: {key}: {message}")]
    Key {
        /// The kind of plug-in: "router", for example.
        what: &'static str,
        /// Its name.
        name: String,
        /// The hyperparameter.
        key: String,
        /// The problem, and the allowed values.
        message: String,
    },
    /// The hyperparameters do not fit: a value out of range, sizes that do not match.
    #[error("{what} {name:?}: {message}")]
    Invalid {
        /// The kind of plug-in: "router", for example.
        what: &'static str,
        /// Its name.
        name: String,
        /// The problem.
        message: String,
    },
    /// A setting of the MoE layer itself is out of range, or does not fit the network.
    #[error("{table}.{message}")]
    Layer {
        /// The table that has the setting: "moe", for example.
        table: &'static str,
        /// The key, and the problem.
        message: String,
    },
}

/// One registered plug-in: its description and its constructor.
#[derive(Clone)]
pub struct Entry<B> {
    /// A one-line description.
    pub about: &'static str,
    /// URL of the paper; empty if there is none.
    pub paper: &'static str,
    /// Properties other than the name, as shown by `bench list`.
    pub facts: Value,
    /// Fills in the defaults, or returns the wrong key and the reason.
    complete: fn(Value) -> Result<Value, (String, String)>,
    /// The constructor.
    pub build: B,
}

impl<B> Entry<B> {
    /// An entry whose hyperparameters have the type `C`.
    pub fn new<C: Hyper>(about: &'static str, paper: &'static str, facts: Value, build: B) -> Self {
        let complete = |options| {
            let config = typed::<C>(options)?;
            serde_json::to_value(config).map_err(|err| (String::new(), err.to_string()))
        };
        Self { about, paper, facts, complete, build }
    }
}

/// The beginning of the message for an unknown key.
const NO_KEY: &str = "unknown key ";

/// Plug-ins of one kind by name, in the order in which they were added.
#[derive(Clone)]
pub struct Registry<B> {
    what: &'static str,
    entries: IndexMap<&'static str, Entry<B>>,
}

impl<B> Registry<B> {
    /// An empty registry of `what` ("router", "task", ...: the word used in messages).
    pub fn new(what: &'static str) -> Self {
        Self { what, entries: IndexMap::new() }
    }

    /// Adds a plug-in.
    ///
    /// # Panics
    /// If the name is taken: two plug-ins with one name are a programming error.
    pub fn add(&mut self, name: &'static str, entry: Entry<B>) {
        let clash = self.entries.insert(name, entry);
        assert!(clash.is_none(), "two plug-ins of kind {} are named {name:?}", self.what);
    }

    /// All names with their entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Entry<B>)> {
        self.entries.iter().map(|(name, entry)| (*name, entry))
    }

    /// The entry of a name; the error lists the known names.
    pub fn get(&self, name: &str) -> Result<&Entry<B>, ConfigError> {
        self.entries.get(name).ok_or_else(|| ConfigError::Unknown {
            what: self.what,
            name: name.to_string(),
            known: self.entries.keys().copied().collect::<Vec<_>>().join(", "),
        })
    }

    /// The choice with every default written out: a run records it, and the run's id is computed from it.
    pub fn complete(&self, choice: &Choice) -> Result<Choice, ConfigError> {
        let entry = self.get(&choice.kind)?;
        let options = (entry.complete)(Value::Object(choice.options.clone()))
            .map_err(|(key, why)| wrong_key(self.what, &choice.kind, self.with_others(key, why)))?;
        match options {
            Value::Object(options) => Ok(Choice { kind: choice.kind.clone(), options }),
            other => Err(self.invalid(
                &choice.kind,
                format!("expected a table of hyperparameters, not {other}"),
            )),
        }
    }

    /// The wrong key and the reason; for an unknown key, with the names of the plug-ins that have it.
    fn with_others(&self, key: String, why: String) -> (String, String) {
        if !why.starts_with(NO_KEY) {
            return (key, why);
        }
        let alone: Map<String, Value> = [(key.clone(), Value::Null)].into_iter().collect();
        let has = |(_, entry): &(&'static str, &Entry<B>)| {
            let read = (entry.complete)(Value::Object(alone.clone()));
            !read.is_err_and(|(_, why)| why.starts_with(NO_KEY))
        };
        let others: Vec<&str> = self.iter().filter(has).map(|(name, _)| name).collect();
        let why = match others.is_empty() {
            true => why,
            false => format!("{why}; {}s that have it: {}", self.what, others.join(", ")),
        };
        (key, why)
    }

    /// The error for hyperparameters of `name` that do not fit.
    pub fn invalid(&self, name: &str, message: impl ToString) -> ConfigError {
        let (what, name) = (self.what, name.to_string());
        ConfigError::Invalid { what, name, message: message.to_string() }
    }

    /// All entries as JSON.
    pub fn to_json(&self) -> Value {
        let line = |(name, entry): (&'static str, &Entry<B>)| {
            let defaults = (entry.complete)(json!({})).unwrap_or(Value::Null);
            json!({ "name": name, "about": entry.about, "paper": entry.paper, "facts": entry.facts, "defaults": defaults })
        };
        self.iter().map(line).collect()
    }
}

/// Reads the hyperparameters of a choice; the error for a misspelt or ill-typed one names it.
pub fn read<C: Hyper>(what: &'static str, choice: &Choice) -> Result<C, ConfigError> {
    typed(Value::Object(choice.options.clone()))
        .map_err(|wrong| wrong_key(what, &choice.kind, wrong))
}

fn wrong_key(what: &'static str, name: &str, (key, message): (String, String)) -> ConfigError {
    ConfigError::Key { what, name: name.to_string(), key, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, serde::Serialize, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Two {
        k: usize,
    }

    impl Default for Two {
        fn default() -> Self {
            Self { k: 2 }
        }
    }

    fn registry() -> Registry<()> {
        let mut registry = Registry::new("router");
        registry.add("top-k", Entry::new::<Two>("", "", Value::Null, ()));
        registry.add("soft", Entry::new::<Two>("", "", Value::Null, ()));
        registry
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let err = registry().complete(&Choice::of("swich")).unwrap_err();
        assert_eq!(err.to_string(), r#"no router is named "swich"; known: top-k, soft"#);
    }

    #[test]
    fn a_misspelt_key_names_the_right_ones() {
        let err = registry().complete(&Choice::of("top-k").with("kk", 1)).unwrap_err();
        assert_eq!(err.to_string(), r#"router "top-k": kk: unknown key `kk`, expected `k`"#);
        let err = registry().complete(&Choice::of("top-k").with("k", "two")).unwrap_err();
        let expected = r#"router "top-k": k: expected a whole number, 0 or larger, not "two""#;
        assert_eq!(err.to_string(), expected);
    }

    #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct One {
        #[serde(skip_serializing_if = "Option::is_none")]
        scale: Option<f64>,
    }

    #[test]
    fn a_key_of_other_plug_ins_is_told_with_their_names() {
        let mut registry = registry();
        registry.add("sharp", Entry::new::<One>("", "", Value::Null, ()));
        let wrong = |choice: &Choice| registry.complete(choice).unwrap_err().to_string();
        let expected = "router \"sharp\": k: unknown key `k`, expected `scale`; routers that have it: \
                        top-k, soft";
        assert_eq!(wrong(&Choice::of("sharp").with("k", 1)), expected);
        let expected = "router \"soft\": scale: unknown key `scale`, expected `k`; routers that have it: \
                        sharp";
        assert_eq!(wrong(&Choice::of("soft").with("scale", 1)), expected);
    }

    #[test]
    fn defaults_are_written_out() {
        let full = registry().complete(&Choice::of("top-k")).unwrap();
        assert_eq!(full, Choice::of("top-k").with("k", 2));
    }
}
