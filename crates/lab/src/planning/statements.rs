//! Statements of a suite about its results: `[[expect]]`, `[[claim]]` and `[[gate]]`. They are checked before
//! anything is trained, since they are evaluated only after all runs.

use anyhow::{anyhow, ensure};
use report::{Claim, Expect, SuiteGate, few};
use serde_json::Value;

use crate::settings::{SettingTree, tables, typed_table};

/// Checks all statements of a suite.
///
/// # Errors
/// If one cannot be evaluated on any results; the error names its place.
pub(super) fn check_statements(settings: &SettingTree) -> anyhow::Result<()> {
    expects_of(settings)?;
    claims_of(settings)?;
    gates_of(settings)?;
    Ok(())
}

/// The intervals in which a suite expects its results, `[[expect]]`.
///
/// # Errors
/// If a key is unknown or missing, an interval is empty, or no method has the name in `where`; the error
/// names the place.
pub(super) fn expects_of(settings: &SettingTree) -> anyhow::Result<Vec<Expect>> {
    each(settings, "expect", |table, expect: &Expect| {
        let [low, high] = expect.between;
        let place = table.place_of("between");
        ensure!(low <= high, "{place}: expect: between = [{low}, {high}]: no number is in between");
        let method = expect.place.get("method").and_then(Value::as_str);
        method.map_or(Ok(()), |method| known(settings, table, "expect", method))
    })
}

/// The claims of a suite, `[[claim]]`.
///
/// # Errors
/// If a key is unknown or missing, a claim has no criterion or several, or no method has one of its names;
/// the error names the place.
pub fn claims_of(settings: &SettingTree) -> anyhow::Result<Vec<Claim>> {
    each(settings, "claim", |table, claim: &Claim| {
        let name = format!("claim {:?}", claim.claim);
        claim.methods().try_for_each(|method| known(settings, table, &name, method))?;
        claim.check().map_err(|err| anyhow!("{}: {err}", table.place()))
    })
}

/// The conditions of a suite's claims, `[[gate]]`.
///
/// # Errors
/// If a key is unknown or missing, or no method has one of its names; the error names the place.
pub fn gates_of(settings: &SettingTree) -> anyhow::Result<Vec<SuiteGate>> {
    each(settings, "gate", |table, gate: &SuiteGate| {
        [&gate.reference, &gate.control]
            .into_iter()
            .try_for_each(|method| known(settings, table, "gate", method))
    })
}

/// The tables of `[[key]]` as values of a type, each checked.
fn each<T: serde::de::DeserializeOwned>(
    settings: &SettingTree,
    key: &str,
    check: impl Fn(&SettingTree, &T) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<T>> {
    if !settings.table().is_some_and(|table| table.contains_key(key)) {
        return Ok(Vec::new());
    }
    let read = |table: &SettingTree| {
        let statement = typed_table(table, key)?;
        check(table, &statement).map(|()| statement)
    };
    tables(settings, key)?.iter().map(read).collect()
}

/// Refuses a name that no method of the suite has.
fn known(
    settings: &SettingTree,
    table: &SettingTree,
    of: &str,
    method: &str,
) -> anyhow::Result<()> {
    let methods = methods(settings);
    // A search adds its strategy to the name: "supernet, evolution".
    let is_of = |known: &String| {
        method.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(", "))
    };
    ensure!(
        methods.is_empty() || methods.iter().any(is_of),
        "{}: {of}: no method is named {method:?}; known: {}",
        table.place(),
        few(&methods)
    );
    Ok(())
}

/// The names of the methods of a suite: those that are given, or else those of the routers.
fn methods(settings: &SettingTree) -> Vec<String> {
    let methods = settings.value().get("method").and_then(Value::as_array).cloned();
    let name = |method: &Value| {
        let router = &method["moe"]["router"];
        let named = method["name"].as_str().or(router.as_str()).or(router["kind"].as_str());
        named.map(String::from)
    };
    methods.iter().flatten().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHODS: &str = "[[method]]\nname = 'n'\n[[method]]\nmoe.router = 'top-k'\n";

    fn wrong(text: &str) -> String {
        let settings = SettingTree::parse("s.toml", &format!("{METHODS}{text}")).unwrap();
        format!("{:#}", check_statements(&settings).err().unwrap())
    }

    #[test]
    fn statements_that_no_results_can_fulfil_are_refused() {
        let claim = "[[claim]]\nclaim = 'a'\neffect = 'b'\nmetric = 'accuracy'\n";
        let gate = "[[gate]]\nmetric = 'accuracy'\nreference = 'top-k'\n";
        let expect = "[[expect]]\nmetric = 'accuracy'\n";
        for (text, expected) in [
            (format!("{claim}methd = 'm'\n"), "s.toml:9: claim: unknown key `methd`"),
            (format!("{claim}method = 'm'\nabove = 0\n"), "claim \"a\": no method is named \"m\""),
            (format!("{claim}method = 'n'\n"), "s.toml:5: claim \"a\": expected `above` or"),
            (format!("{claim}method = 'n'\nagainst = 'n'\nwithin = -1\n"), "within = -1: must be"),
            (
                format!("{gate}control = 'dense'\n"),
                "s.toml:5: gate: no method is named \"dense\"; known: n, top-k",
            ),
            ("[[gate]]\n".into(), "s.toml:5: gate: the key metric is missing"),
            (
                format!("{expect}between = [1, 0]\n"),
                "s.toml:7: expect: between = [1, 0]: no number",
            ),
            (format!("{expect}between = [0, 1]\nwhere.method = 'm'\n"), "no method is named \"m\""),
        ] {
            let err = wrong(&text);
            assert!(err.contains(expected), "{text}: {err}");
        }
        let found = format!("{METHODS}{gate}control = 'n, evolution'\n");
        assert!(check_statements(&SettingTree::parse("s.toml", &found).unwrap()).is_ok());
    }
}
