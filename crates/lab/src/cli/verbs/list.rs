//! `list`: the names that a suite can use.

use clap::{Args, ValueEnum};
use console::Term;
use serde_json::{Value, json};

use crate::{
    Plugins,
    cli::{Answer, JsonArgs, Session, Verb},
    facts::Facts,
    spec::Suite,
};

/// Arguments of `list`.
#[derive(Args)]
pub(crate) struct List {
    /// Kind of items to list; all if left out
    kind: Option<Kind>,
    #[command(flatten)]
    json: JsonArgs,
}

/// The kinds of things to list.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
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

    /// The items of this kind, as JSON.
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

/// The routers, each with the facts found by building it.
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

impl Verb for List {
    const NAME: &'static str = "list";
    const ABOUT: &'static str =
        "List routers, experts, residual rules, backbones, tasks and suites";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let entries = |kind: &Kind| kind.entries(session.plugins, session.suites);
        let all = Kind::value_variants().iter();
        let text = match (self.kind, self.json.is_json()) {
            (Some(kind), true) => format!("{:#}\n", entries(&kind)),
            (None, true) => {
                let all: Value = all.map(|kind| (kind.name(), entries(kind))).collect();
                format!("{all:#}\n")
            }
            (Some(kind), false) => lines(&entries(&kind), columns()),
            (None, false) => {
                let one =
                    |kind: &Kind| format!("{}\n{}", kind.name(), lines(&entries(kind), columns()));
                all.map(one).collect::<Vec<_>>().join("\n")
            }
        };
        Ok(text.into())
    }
}

/// The width of the terminal in columns, or a default width.
fn columns() -> usize {
    const PAGE: usize = 100;
    Term::stdout().size_checked().map_or(PAGE, |(_, columns)| columns.into())
}

/// The entries as text: names on the left, and beside each its description, the facts found by building it,
/// and its paper.
fn lines(entries: &Value, columns: usize) -> String {
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_string();
    let entries: Vec<&Value> = entries.as_array().into_iter().flatten().collect();
    let width = entries.iter().map(|entry| text(entry, "name").chars().count()).max().unwrap_or(0);
    let room = columns.saturating_sub(width + 4).max(20);
    let of = |entry: &&Value| {
        let beside = ["about", "words", "paper"].map(|key| wrapped(&text(entry, key), room));
        let beside = beside.concat();
        let name = |line: usize| if line == 0 { text(entry, "name") } else { String::new() };
        let line = |(at, line): (usize, &String)| format!("  {:width$}  {line}\n", name(at));
        beside.iter().enumerate().map(line).collect::<String>()
    };
    entries.iter().map(of).collect()
}

/// The words of a text in lines of at most `room` letters; no line for an empty text.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    match text.is_empty() {
        true => Vec::new(),
        false => report::wrapped(text, room as f64, "", |text| text.chars().count() as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_the_terminal() {
        let entries = json!([
            { "name": "top-k", "about": "the k best experts by a gate", "words": "causal", "paper": "https://x" },
            { "name": "a", "about": "b" },
        ]);
        let expected = "  top-k  the k best experts\n         by a gate\n         causal\n         https://x\n  a      b\n";
        assert_eq!(lines(&entries, 29), expected);
        let all = lines(&Kind::Routers.entries(&Plugins::default(), &[]), 100);
        assert!(all.lines().all(|line| line.chars().count() <= 100), "{all}");
    }

    #[test]
    fn a_word_is_not_broken() {
        assert_eq!(wrapped("a bc def", 4), ["a bc", "def"]);
        assert_eq!(wrapped("https://a.very.long/one b", 5), ["https://a.very.long/one", "b"]);
        assert!(wrapped("", 5).is_empty());
    }
}
