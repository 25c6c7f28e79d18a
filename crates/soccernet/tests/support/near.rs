//! Numbers of results.

use serde_json::Value;

/// A number of a result.
pub(crate) fn at(result: &Value, path: &str) -> f64 {
    result.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} of {result}"))
}

pub(crate) fn assert_near(value: f64, expected: f64, what: &str) {
    assert!((value - expected).abs() < 1e-6, "{what}: {value}, expected {expected}");
}
