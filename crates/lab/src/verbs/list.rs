//! `list`: what a suite can name.

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::{Plugins, facts::Facts, spec::Suite};

/// What can be listed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Routers,
    Experts,
    Residuals,
    Backbones,
    Tasks,
    Suites,
}

impl Kind {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default()
    }

    /// All that there is, as JSON.
    fn entries(self, plugins: &Plugins, suites: &[Suite]) -> Value {
        match self {
            Kind::Routers => routers(plugins),
            Kind::Experts => plugins.library.experts.to_json(),
            Kind::Residuals => plugins.library.residuals.to_json(),
            Kind::Backbones => plugins.backbones.to_json(),
            Kind::Tasks => plugins.tasks.to_json(),
            Kind::Suites => suites
                .iter()
                .map(|suite| json!({ "name": suite.name, "about": about(suite) }))
                .collect(),
        }
    }
}

/// Routers, with what each turns out to be when it is built.
fn routers(plugins: &Plugins) -> Value {
    let routers = &plugins.library.routers;
    let mut entries = routers.to_json();
    for entry in entries.as_array_mut().into_iter().flatten() {
        let name = entry["name"].as_str().unwrap_or_default().to_string();
        if let Some(facts) = Facts::of(routers, &name) {
            entry["words"] = facts.words().into();
            entry["built"] = facts.to_json();
        }
    }
    entries
}

/// A suite's title.
fn about(suite: &Suite) -> String {
    let table = suite.text.parse::<toml::Table>().unwrap_or_default();
    table.get("title").and_then(toml::Value::as_str).unwrap_or_default().to_string()
}

/// One kind, or all, for people or for machines.
pub(crate) fn list(kind: Option<Kind>, json: bool, plugins: &Plugins, suites: &[Suite]) -> String {
    match (kind, json) {
        (Some(kind), true) => format!("{:#}\n", kind.entries(plugins, suites)),
        (None, true) => {
            let all = Kind::value_variants().iter();
            let all: Value = all.map(|kind| (kind.name(), kind.entries(plugins, suites))).collect();
            format!("{all:#}\n")
        }
        (Some(kind), false) => lines(&kind.entries(plugins, suites), ""),
        (None, false) => {
            let all = Kind::value_variants().iter();
            let one = |kind: &Kind| {
                format!("{}\n{}", kind.name(), lines(&kind.entries(plugins, suites), "  "))
            };
            all.map(one).collect::<Vec<_>>().join("\n")
        }
    }
}

/// Name, what it is, what it turns out to be, and the paper, one line each.
fn lines(entries: &Value, indent: &str) -> String {
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_string();
    let entries: Vec<&Value> = entries.as_array().into_iter().flatten().collect();
    let width = entries.iter().map(|entry| text(entry, "name").len()).max().unwrap_or(0);
    let line = |entry: &&Value| {
        let (name, about, paper) =
            (text(entry, "name"), text(entry, "about"), text(entry, "paper"));
        let words = text(entry, "words");
        let words = if words.is_empty() { words } else { format!("  ({words})") };
        let paper = if paper.is_empty() { paper } else { format!("  <{paper}>") };
        format!("{indent}{name:width$}  {about}{words}{paper}\n")
    };
    entries.iter().map(line).collect()
}
