//! Statements of a suite about its results: `[[expect]]`, `[[claim]]` and `[[gate]]`. They are checked before
//! anything is trained, since they are evaluated only after all runs.

use std::collections::BTreeMap;

use anyhow::{anyhow, ensure};
use report::{COLUMNS, Claim, Expect, SuiteGate, direction, few};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::layers::name_of;
use crate::settings::{SettingTree, tables, typed_tables};

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
/// If a key is unknown or missing, an interval is empty, `where` has an unknown column, or no method has the
/// name in it; the error names the place.
pub(super) fn expects_of(settings: &SettingTree) -> anyhow::Result<Vec<Expect>> {
    let methods = methods(settings);
    each(settings, "expect", |table, expect: &Expect| {
        let [low, high] = expect.between;
        let place = table.place_of("between");
        ensure!(low <= high, "{place}: expect: between = [{low}, {high}]: no number is in between");
        columns(table, "expect", &expect.place)?;
        let method = expect.place.get("method").and_then(Value::as_str);
        method.map_or(Ok(()), |method| known(&methods, table, "expect", method))
    })
}

/// The claims of a suite, `[[claim]]`.
///
/// # Errors
/// If a key is unknown or missing, a claim has no criterion or several, `where` has an unknown column, or no
/// method has one of its names; the error names the place.
pub fn claims_of(settings: &SettingTree) -> anyhow::Result<Vec<Claim>> {
    let methods = methods(settings);
    each(settings, "claim", |table, claim: &Claim| {
        let name = format!("claim {:?}", claim.claim);
        claim.methods().try_for_each(|method| known(&methods, table, &name, method))?;
        columns(table, &name, &claim.place)?;
        claim.check().map_err(|err| anyhow!("{}: {err}", table.place()))
    })
}

/// The conditions of a suite's claims, `[[gate]]`.
///
/// # Errors
/// If a key is unknown or missing, the direction of the metric is unknown, `where` has an unknown column, or no
/// method has one of its names; the error names the place.
pub fn gates_of(settings: &SettingTree) -> anyhow::Result<Vec<SuiteGate>> {
    let methods = methods(settings);
    each(settings, "gate", |table, gate: &SuiteGate| {
        let place = table.place_of("metric");
        ensure!(
            direction(&gate.metric).is_some(),
            "{place}: gate: the direction of metric {:?} is unknown",
            gate.metric
        );
        columns(table, "gate", &gate.place)?;
        known(&methods, table, "gate", &gate.reference)?;
        known(&methods, table, "gate", &gate.control)
    })
}

/// The tables of `[[key]]` as values of a type, each checked.
fn each<T: DeserializeOwned>(
    settings: &SettingTree,
    key: &str,
    check: impl Fn(&SettingTree, &T) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<T>> {
    let statements: Vec<T> = typed_tables(settings, key)?;
    if !statements.is_empty() {
        let mut all = tables(settings, key)?.iter().zip(&statements);
        all.try_for_each(|(table, statement)| check(table, statement))?;
    }
    Ok(statements)
}

/// Refuses a `where` with a column that results do not have.
fn columns(table: &SettingTree, of: &str, place: &BTreeMap<String, Value>) -> anyhow::Result<()> {
    let unknown = place.keys().find(|key| !COLUMNS.contains(&key.as_str()));
    let Some(unknown) = unknown else { return Ok(()) };
    let known = few(COLUMNS);
    Err(anyhow!(
        "{}: {of}: where: unknown column {unknown:?}; known: {known}",
        table.place_of("where")
    ))
}

/// Refuses a name that no method has; `methods` is empty if the names are not known.
fn known(methods: &[String], table: &SettingTree, of: &str, method: &str) -> anyhow::Result<()> {
    // A search adds its strategy to the name: "supernet, evolution".
    let is_of = |known: &String| {
        method.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(", "))
    };
    ensure!(
        methods.is_empty() || methods.iter().any(is_of),
        "{}: {of}: no method is named {method:?}; known: {}",
        table.place(),
        few(methods)
    );
    Ok(())
}

/// The names of the methods of a suite; empty if one has the name of a checkpoint or of the default router,
/// which the suite does not have.
fn methods(settings: &SettingTree) -> Vec<String> {
    let base = settings.table().and_then(|table| table.get("base"));
    let list = |key| tables(settings, key).unwrap_or_default();
    let has_checkpoint = |of: &SettingTree| of.value().pointer("/from/checkpoint").is_some();
    let from_checkpoint = base.into_iter().chain(list("task")).any(has_checkpoint);
    let name = |method: &SettingTree| {
        let is_named = method.value().get("name").is_some();
        match is_named || !(from_checkpoint || has_checkpoint(method)) {
            true => name_of(method, base),
            false => None,
        }
    };
    list("method").iter().map(name).collect::<Option<_>>().unwrap_or_default()
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
                "[[gate]]\nmetric = 'colour'\nreference = 'n'\ncontrol = 'n'\n".into(),
                "s.toml:6: gate: the direction of metric \"colour\" is unknown",
            ),
            (
                format!("{gate}control = 'n'\nwhere = {{ tsk = 'digits' }}\n"),
                "s.toml:9: gate: where: unknown column \"tsk\"; known: ",
            ),
            (
                format!("{claim}method = 'n'\nabove = 0\nwhere = {{ tsk = 'digits' }}\n"),
                "s.toml:11: claim \"a\": where: unknown column \"tsk\"",
            ),
            (
                format!("{expect}between = [0, 1]\nwhere = {{ tsk = 'digits' }}\n"),
                "s.toml:8: expect: where: unknown column \"tsk\"",
            ),
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

    #[test]
    fn names_that_the_suite_does_not_write_are_known_or_not_judged() {
        let gate = "[[gate]]\nmetric = 'accuracy'\nreference = 'hash'\ncontrol = 'n'\n";
        let all = |methods: &str| {
            let settings = SettingTree::parse("s.toml", &format!("{methods}{gate}")).unwrap();
            gates_of(&settings).map(drop)
        };
        let two = "[[method]]\nname = 'n'\n[[method]]\ntrain.lr = 0.1\n";
        assert!(all(&format!("[base]\nmoe.router = 'hash'\n{two}")).is_ok());
        assert!(all(&format!("[base]\nmoe.router = 'random'\n{two}")).is_err());
        assert!(all(two).is_ok(), "the default router's name is not in the suite");
        let checkpoint = "[base]\nmoe.router = 'random'\nfrom.checkpoint = 'hash'\n";
        assert!(all(&format!("{checkpoint}{two}")).is_ok());
    }
}
