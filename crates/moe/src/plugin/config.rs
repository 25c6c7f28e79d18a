//! Hyperparameters, declared together with their defaults, and read from TOML or JSON.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// Declares hyperparameters together with their defaults.
///
/// A config file may leave any of them out; a misspelt one is an error.
///
/// ```
/// moe::config! {
///     /// How a router of yours is tuned.
///     pub struct StickyConfig {
///         /// Share of the previous layer's probabilities.
///         pub stick: f64 = 0.5,
///     }
/// }
/// assert_eq!(StickyConfig::default().stick, 0.5);
/// ```
#[macro_export]
macro_rules! config {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$doc:meta])* pub $field:ident: $ty:ty = $default:expr,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, $crate::serde::Serialize, $crate::serde::Deserialize)]
        #[serde(crate = "moe::serde", default, deny_unknown_fields)]
        pub struct $name { $($(#[$doc])* pub $field: $ty,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

/// Hyperparameters: readable, writable, with defaults. `config!` declares them.
pub trait Hyper: Serialize + DeserializeOwned + Default + Clone {}
impl<T: Serialize + DeserializeOwned + Default + Clone> Hyper for T {}

/// No hyperparameters at all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// A plug-in chosen by name, with its hyperparameters: `{ kind = "top-k", k = 2 }`, or `"top-k"` for all
/// defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct Choice {
    /// The name under which the plug-in is registered.
    pub kind: String,
    /// Its hyperparameters; those left out take their defaults.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

impl TryFrom<Value> for Choice {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(kind) => Ok(Self { kind, options: Map::new() }),
            Value::Object(mut options) => match options.shift_remove("kind") {
                Some(Value::String(kind)) => Ok(Self { kind, options }),
                Some(other) => Err(format!("kind = {other}: expected a name")),
                None => Err("`kind` is missing: expected the name of a plug-in".into()),
            },
            other => {
                Err(format!("{other} is not a plug-in: expected a name, or a table with `kind`"))
            }
        }
    }
}

impl Choice {
    /// The plug-in `kind` with all its defaults.
    pub fn of(kind: &str) -> Self {
        Self { kind: kind.to_string(), options: Map::new() }
    }

    /// The same plug-in with one hyperparameter set.
    ///
    /// # Panics
    /// If `value` cannot be written as JSON (numbers, text, lists and structs of those can).
    pub fn with(mut self, key: &str, value: impl Serialize) -> Self {
        let value =
            serde_json::to_value(value).expect("hyperparameters must be serializable as JSON");
        self.options.insert(key.to_string(), value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_keeps_its_options_beside_its_kind() {
        let choice: Choice = serde_json::from_str(r#"{"kind": "top-k", "k": 2}"#).unwrap();
        assert_eq!(choice, Choice::of("top-k").with("k", 2));
        assert_eq!(serde_json::to_string(&choice).unwrap(), r#"{"kind":"top-k","k":2}"#);
    }

    #[test]
    fn a_bare_name_is_a_choice_and_a_table_needs_a_kind() {
        let choice = |json: &str| serde_json::from_str::<Choice>(json);
        assert_eq!(choice(r#""top-k""#).unwrap(), Choice::of("top-k"));
        assert!(choice(r#"{"k": 2}"#).unwrap_err().to_string().contains("`kind` is missing"));
        assert!(choice("3").unwrap_err().to_string().contains("3 is not a plug-in"));
    }
}
