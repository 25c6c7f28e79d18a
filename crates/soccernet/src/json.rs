//! JSON with places: every fault names its file and entry.

use std::borrow::Cow;

use serde_json::Value;

use files::repeated_key;

use crate::{Error, Judge, Result};

/// A JSON value with the place it has in its file.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    file: &'a str,
    at: String,
    pub(crate) value: &'a Value,
}

/// Reads a file. `NaN` and `Infinity`, which Python writes, become texts of that name. A key that an object
/// has twice is odd; the last one counts, as in Python.
///
/// # Errors
///
/// If the file is no JSON, and for an oddity that the judge refuses.
pub(crate) fn parse(bytes: &[u8], file: &str, judge: &mut Judge) -> Result<Value> {
    if bytes.starts_with("\u{feff}".as_bytes()) {
        let problem = "not JSON: it begins with a byte order mark; expected UTF-8 without one";
        return Err(Error::file(file, problem));
    }
    let mut bytes = Cow::Borrowed(bytes);
    let value = serde_json::from_slice(&bytes).or_else(|err| {
        bytes = quote_not_numbers(&bytes).into();
        serde_json::from_slice(&bytes).map_err(|_| Error::file(file, format!("not JSON: {err}")))
    })?;
    if let Some(key) = repeated_key(&bytes) {
        judge.odd(Error::entry(file, key, "the key occurs twice; the last one is used"))?;
    }
    Ok(value)
}

/// Puts quotes around `NaN` and `Infinity` outside of texts.
fn quote_not_numbers(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut at, mut in_text) = (0, false);
    while let Some(&byte) = bytes.get(at) {
        let words: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
        let word = words.into_iter().find(|word| !in_text && bytes[at..].starts_with(word));
        match word {
            Some(word) => out.extend([b"\"", word, b"\""].concat()),
            None if in_text && byte == b'\\' => out.extend(bytes[at..].iter().take(2)),
            None => out.push(byte),
        }
        in_text ^= byte == b'"';
        at += word.map_or(if in_text && byte == b'\\' { 2 } else { 1 }, <[u8]>::len);
    }
    out
}

/// A file as Python's `json.dump` with an indent of four would write it.
pub(crate) fn render(value: &Value) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text
}

/// A whole number as Python's `int(...)` takes it: a number, cut, or a text of digits.
pub(crate) fn python_int(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let cut = number.as_f64()?.trunc();
            (cut.abs() < 9e15).then_some(cut as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A number as Python's `float(...)` takes it: a number or a text, also `nan`.
pub(crate) fn python_float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A value for a message, shortened if it is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
}

impl<'a> Node<'a> {
    pub(crate) fn root(value: &'a Value, file: &'a str) -> Self {
        Self { file, at: String::new(), value }
    }

    fn place(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_string() } else { format!("{}.{key}", self.at) }
    }

    /// A fault of this entry.
    pub(crate) fn error(&self, problem: impl Into<String>) -> Error {
        Error::entry(self.file, &self.at, problem)
    }

    /// A fault of a field.
    pub(crate) fn fault(&self, key: &str, problem: impl Into<String>) -> Error {
        Error::entry(self.file, self.place(key), problem)
    }

    /// A field, if it exists.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.value.get(key)
    }

    fn need(&self, key: &str, what: &str) -> Result<&'a Value> {
        if !self.value.is_object() {
            let problem = format!("{}; expected an object with {key}", shown(self.value));
            return Err(self.error(problem));
        }
        self.get(key).ok_or_else(|| self.fault(key, format!("it is missing; expected {what}")))
    }

    fn convert<T>(&self, key: &str, what: &str, f: impl Fn(&'a Value) -> Option<T>) -> Result<T> {
        let value = self.need(key, what)?;
        f(value).ok_or_else(|| self.fault(key, format!("{}; expected {what}", shown(value))))
    }

    pub(crate) fn text(&self, key: &str) -> Result<&'a str> {
        self.convert(key, "a string", Value::as_str)
    }

    /// A text, or `other` if there is none.
    pub(crate) fn text_or(&self, key: &str, other: &'a str) -> &'a str {
        self.get(key).and_then(Value::as_str).unwrap_or(other)
    }

    pub(crate) fn int(&self, key: &str) -> Result<i64> {
        self.convert(key, "a whole number", python_int)
    }

    pub(crate) fn float(&self, key: &str) -> Result<f64> {
        self.convert(key, "a number", python_float)
    }

    /// A number that is not a text.
    pub(crate) fn number(&self, key: &str) -> Result<f64> {
        self.convert(key, "a number", Value::as_f64)
    }

    pub(crate) fn numbers<const N: usize>(&self, key: &str) -> Result<[f64; N]> {
        let all = |value: &Value| {
            let numbers: Option<Vec<f64>> = value.as_array()?.iter().map(Value::as_f64).collect();
            numbers?.try_into().ok()
        };
        self.convert(key, &format!("a list of {N} numbers"), all)
    }

    pub(crate) fn child(&self, key: &str) -> Result<Node<'a>> {
        let value = self.need(key, "an object")?;
        Ok(Node { file: self.file, at: self.place(key), value })
    }

    /// The entries of a list.
    pub(crate) fn items(&self, key: &str) -> Result<Vec<Node<'a>>> {
        let list = self.convert(key, "a list", Value::as_array)?;
        let node =
            |(i, value)| Node { file: self.file, at: self.place(&format!("{key}[{i}]")), value };
        Ok(list.iter().enumerate().map(node).collect())
    }

    /// The fields of this object.
    pub(crate) fn fields(&self) -> Result<Vec<(&'a str, Node<'a>)>> {
        let Some(object) = self.value.as_object() else {
            return Err(self.error(format!("{}; expected an object", shown(self.value))));
        };
        let node = |(key, value): (&'a String, _)| {
            (key.as_str(), Node { file: self.file, at: self.place(key), value })
        };
        Ok(object.iter().map(node).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_file_entry_and_expectation() {
        let value =
            parse(br#"{"a":[{"n":"12"},{"n":true},7],"x":[1,2]}"#, "f.json", &mut Judge::default())
                .unwrap();
        let root = Node::root(&value, "f.json");
        let items = root.items("a").unwrap();
        assert_eq!(items[0].int("n"), Ok(12));
        let message = |error: Error| error.to_string();
        let expected = "f.json: a[1].n: true; expected a whole number";
        assert_eq!(message(items[1].int("n").unwrap_err()), expected);
        let expected = "f.json: a[2]: 7; expected an object with n";
        assert_eq!(message(items[2].int("n").unwrap_err()), expected);
        let expected = "f.json: y: it is missing; expected a string";
        assert_eq!(message(root.text("y").unwrap_err()), expected);
        assert_eq!(root.numbers::<2>("x"), Ok([1.0, 2.0]));
        assert!(root.numbers::<3>("x").unwrap_err().problem.contains("3 numbers"));
    }

    #[test]
    fn numbers_are_taken_as_python_takes_them() {
        let value = parse(
            br#"["31500", 31500.7, -0.9, "x", " 7 ", "1.5", null]"#,
            "f",
            &mut Judge::default(),
        )
        .unwrap();
        let ints: Vec<Option<i64>> = value.as_array().unwrap().iter().map(python_int).collect();
        assert_eq!(ints, [Some(31500), Some(31500), Some(0), None, Some(7), None, None]);
        assert_eq!(python_float(&value[5]), Some(1.5));
    }

    #[test]
    fn python_writes_what_is_no_json() {
        let text = br#"{"NaN \" NaN": NaN, "b": [Infinity, -Infinity, 1]}"#;
        let value = parse(text, "f", &mut Judge::default()).unwrap();
        assert!(python_float(&value["NaN \" NaN"]).unwrap().is_nan());
        assert_eq!(python_float(&value["b"][1]), Some(f64::NEG_INFINITY));
        let error =
            parse(b"{\"a\": NaN, ", "cut.json", &mut Judge::default()).unwrap_err().to_string();
        assert!(error.starts_with("cut.json: not JSON: "), "{error}");
        let error = parse("\u{feff}{}".as_bytes(), "marked.json", &mut Judge::default());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("byte order mark; expected UTF-8 without one"), "{error}");
    }

    #[test]
    fn a_key_that_is_there_twice_is_odd() {
        let text = br#"{"a": NaN, "b": {"c": 1, "c": 2}}"#;
        let mut judge = Judge::default();
        assert_eq!(parse(text, "f", &mut judge).unwrap()["b"]["c"], 2);
        let note = judge.notes()[0].to_string();
        assert_eq!(note, "f: b.c: the key occurs twice; the last one is used");
        assert!(parse(text, "f", &mut Judge::strict()).is_err());
    }
}
