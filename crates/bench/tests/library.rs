//! What is said of the library is true of all of it.

mod common;

use std::collections::BTreeSet;

use common::{Place, ended};
use serde_json::Value;

/// All routers by name.
fn routers(place: &Place) -> BTreeSet<String> {
    let (out, _) = ended(&place.run(&["list", "routers", "--json"]), 0);
    let list: Value = serde_json::from_str(&out).unwrap();
    let name = |entry: &Value| entry["name"].as_str().unwrap().to_string();
    list.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn the_suite_of_routers_has_all_of_them() {
    let suite: toml::Table = include_str!("../suites/routers.toml").parse().unwrap();
    let methods = suite["method"].as_array().unwrap().iter();
    let router = |method: &toml::Value| {
        let router = method.get("moe")?.get("router")?;
        router.get("kind").unwrap_or(router).as_str().map(str::to_string)
    };
    assert_eq!(methods.filter_map(router).collect::<BTreeSet<_>>(), routers(&Place::new()));
}
