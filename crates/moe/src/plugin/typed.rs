//! Deserialization of settings, with errors in the terms of settings (keys, numbers, lists and tables)
//! rather than the types of this program.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a value.
///
/// # Errors
/// The path of the key that is wrong, and why.
pub fn typed<T: DeserializeOwned>(value: Value) -> Result<T, (String, String)> {
    serde_path_to_error::deserialize(value)
        .map_err(|err| (err.path().to_string(), in_words(&err.inner().to_string())))
}

/// Rewrites a message of serde in the terms of settings; other messages are unchanged.
fn in_words(message: &str) -> String {
    let mismatch = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.rsplit_once(", expected "));
    if let Some((found, expected)) = mismatch {
        return format!("expected {}, not {}", wanted(expected), given(found));
    }
    if let Some(name) = message.strip_prefix("missing field `") {
        return format!("the key {} is missing", name.trim_end_matches('`'));
    }
    message.replacen("unknown field ", "unknown key ", 1).replacen(
        "unknown variant ",
        "unknown value ",
        1,
    )
}

/// The expected value, in the terms of settings.
fn wanted(expected: &str) -> &str {
    match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number, 0 or larger",
        "a nonzero usize" | "a nonzero u64" | "a nonzero u32" => "a whole number, 1 or larger",
        "isize" | "i64" | "i32" | "i16" | "i8" => "a whole number",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        "a string" => "text",
        "map with a single key" | "string or map" | "enum" => "a name",
        other if other.starts_with("struct ") => "a table",
        other if other.starts_with("enum ") => "a name",
        other => other,
    }
}

/// The given value, in the terms of settings.
fn given(found: &str) -> String {
    let quoted = found.split_once('`').and_then(|(_, rest)| rest.strip_suffix('`'));
    match (found, quoted) {
        ("sequence", _) => "a list".into(),
        ("map", _) => "a table".into(),
        ("null" | "unit value", _) => "nothing".into(),
        (text, None) if text.starts_with("string ") => text["string ".len()..].into(),
        (_, Some(number)) => number.into(),
        (other, None) => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    enum Choice {
        Add,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only errors are looked at")]
    struct Settings {
        k: usize,
        #[serde(default)]
        rate: f64,
        #[serde(default)]
        list: Vec<i32>,
        #[serde(default)]
        at: Option<Box<Settings>>,
        #[serde(default)]
        choice: Option<Choice>,
    }

    #[test]
    fn errors_are_in_the_words_of_settings() {
        let wrong = |value: Value| typed::<Settings>(value).unwrap_err();
        for (value, path, why) in [
            (json!({ "k": "a" }), "k", "expected a whole number, 0 or larger, not \"a\""),
            (json!({ "k": -3 }), "k", "expected a whole number, 0 or larger, not -3"),
            (json!({ "k": 1.5 }), "k", "expected a whole number, 0 or larger, not 1.5"),
            (json!({ "k": [1] }), "k", "expected a whole number, 0 or larger, not a list"),
            (json!({ "k": true }), "k", "expected a whole number, 0 or larger, not true"),
            (json!({ "k": 1, "rate": {} }), "rate", "expected a number, not a table"),
            (json!({ "k": 1, "list": 3 }), "list", "expected a list, not 3"),
            (json!({ "k": 1, "list": ["x"] }), "list[0]", "expected a whole number, not \"x\""),
            (json!({ "k": 1, "at": 3 }), "at", "expected a table, not 3"),
            (json!({ "k": 1, "at": {} }), "at", "the key k is missing"),
            (json!({ "k": 1, "choice": 3 }), "choice", "expected a name, not 3"),
            (json!({ "k": 1, "choice": "ad" }), "choice", "unknown value `ad`, expected `add`"),
        ] {
            assert_eq!(wrong(value), (path.to_string(), why.to_string()));
        }
        let (path, why) = wrong(json!({ "kk": 1 }));
        assert!(path == "kk" && why.starts_with("unknown key `kk`, expected one of `k`"), "{why}");
    }

    #[test]
    fn other_messages_are_left_as_they_are() {
        for message in ["layers = 3: too many", "expected a folder, not a file", ""] {
            assert_eq!(in_words(message), message);
        }
    }
}
