//! `docs`: regenerates the pages that are made from sources and results.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use files::write_atomic;
use lab::{Answer, Facts, Session, Verb, workspace};
use moe::Routers;
use serde_json::Value;

use crate::{
    blocks,
    speed::routers::{self as router_speed, EXPERTS, RouterCost},
    tour,
};

const PAGE: &str = "docs/routers.md";
const COSTS: &str = "docs/router-costs.csv";
const SOURCES: &str = "crates/routers/src";
const FIXTURES: &str = "crates/routers/fixtures";

/// Write the pages, or only compare them.
#[derive(Args)]
pub(crate) struct Docs {
    /// Only check that the pages are up to date; exits with 1 if not
    #[arg(long)]
    check: bool,
}

impl Verb for Docs {
    const NAME: &'static str = "docs";
    const ABOUT: &'static str = "Regenerate docs/routers.md, the tables of committed results in pages, and the line numbers of docs/tour.md";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let here = std::env::current_dir().context("the current folder")?;
        let Some(root) = workspace(&here) else {
            bail!("{} is not inside MoeLab's workspace, which has {SOURCES}", here.display())
        };
        let mut pages = blocks::pages(&root)?;
        pages.push((PAGE.into(), page(&root, &session.plugins.library.routers)?));
        pages.extend(tour::page(&root)?);
        let old = |path: &PathBuf| files::read_text(&root.join(path)).unwrap_or_default();
        let stale: Vec<_> = pages.into_iter().filter(|(path, new)| old(path) != *new).collect();
        if self.check {
            let line = |(path, _): &(PathBuf, String)| {
                format!("{} is out of date; `bench docs` updates it\n", path.display())
            };
            let text: String = stale.iter().map(line).collect();
            return Ok(Answer::with_code(text, u8::from(!stale.is_empty())));
        }
        for (path, text) in &stale {
            let path = root.join(path);
            write_atomic(&path, text.as_bytes()).with_context(|| path.display().to_string())?;
        }
        let written = stale.iter().map(|(path, _)| format!("wrote {}\n", path.display()));
        Ok(written.collect::<String>().into())
    }
}

fn page(root: &Path, routers: &Routers) -> anyhow::Result<String> {
    let costs = root.join(COSTS);
    let place = || costs.display().to_string();
    let costs = files::read_text(&costs).with_context(place)?;
    let costs = router_speed::parse(&costs).with_context(place)?;
    let mut entries = Vec::new();
    for (name, _) in routers.iter() {
        let path = root.join(SOURCES).join(format!("{}.rs", name.replace('-', "_")));
        // A router that an experiment adds has no file in this crate.
        if let Ok(source) = files::read_text(&path) {
            entries.push((name, source));
        }
    }
    let fixtures = fixtures(&root.join(FIXTURES))?;
    let table: String = entries.iter().map(|(name, _)| line(name, routers, &costs)).collect();
    let section = |(name, source): &(&str, String)| {
        format!("\n## {name}\n\n{}{}", head(source), held_to(name, &fixtures))
    };
    let sections: String = entries.iter().map(section).collect();
    Ok(format!("{}{HEADER}{table}{sections}", introduction(&costs)))
}

/// The router and the source of each fixture, in order.
fn fixtures(folder: &Path) -> anyhow::Result<BTreeSet<(String, String)>> {
    let place = || folder.display().to_string();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(place)?.flatten() {
        let text = files::read_text(&entry.path()).with_context(place)?;
        let fixture: Value =
            serde_json::from_str(&text).with_context(|| entry.path().display().to_string())?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        found.insert((text(&fixture["router"]["kind"]), text(&fixture["source"])));
    }
    Ok(found)
}

/// The published code against which a router is tested.
fn held_to(name: &str, fixtures: &BTreeSet<(String, String)>) -> String {
    let own = fixtures.iter().filter(|(router, _)| router == name);
    let lines: String = own.map(|(_, source)| format!("- {source}\n")).collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!("\nHeld to 1e-5 in weights, losses and gradients against:\n\n{lines}"),
    }
}

fn introduction(costs: &[RouterCost]) -> String {
    let of = |get: fn(&RouterCost) -> String| costs.first().map_or("?".into(), get);
    format!(
        "# Routers\n\nWritten by `bench docs` from the heads of the files in `{SOURCES}`; a test \
         holds it current.\n\nCost is the time of the router alone over that of `{}`: its decision \
         in evaluation, and in brackets decision and gradients in training. Each router has its \
         defaults; {} tokens of width {}; {}; the minimum of interleaved rounds.\n\
         The figures are those of one machine, in `{COSTS}`, by `cargo run --release -p bench -- speed \
         --routers --threads 1 --format csv`: they tell factors apart, not per cents.\n\n",
        router_speed::BASELINE,
        of(|row| row.tokens.to_string()),
        of(|row| row.width.to_string()),
        profiles(costs),
    )
}

/// The builds in which the costs were measured, with a warning if one is not a release build.
fn profiles(costs: &[RouterCost]) -> String {
    let profiles: BTreeSet<&str> = costs.iter().map(|row| row.profile.as_str()).collect();
    let names: Vec<String> = profiles.iter().map(|name| format!("`{name}`")).collect();
    let unlike = profiles.iter().any(|name| *name != "release");
    let warning =
        if unlike { " (**not a release build**: do not quote these figures)" } else { "" };
    format!("build profile {}{warning}", names.join(", "))
}

const HEADER: &str = "| router | plan | causal | state | trained | cost, 8 experts | cost, 64 experts |\n\
                      | --- | --- | --- | --- | --- | --- | --- |\n";

fn line(name: &str, routers: &Routers, costs: &[RouterCost]) -> String {
    let list = |paths: Vec<&str>| match paths.is_empty() {
        true => "none".to_string(),
        false => paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(" "),
    };
    let facts = match Facts::of(routers, name) {
        Some(facts) => format!(
            "{} | {} | {} | {}",
            facts.plan,
            if facts.causal { "yes" } else { "no" },
            list(facts.states()),
            list(facts.trained()),
        ),
        None => "? | ? | ? | ?".into(),
    };
    let costs = EXPERTS.map(|experts| cost(name, experts, costs)).join(" | ");
    format!("| [{name}](#{name}) | {facts} | {costs} |\n")
}

fn cost(name: &str, experts: usize, costs: &[RouterCost]) -> String {
    let known = costs.iter().find(|row| row.router == name && row.experts == experts);
    match known {
        Some(RouterCost { forward_ratio, forward_backward_ratio: Some(both), .. }) => {
            format!("{forward_ratio:.1} ({both:.1})")
        }
        Some(row) => format!("{:.1}", row.forward_ratio),
        None => "not measured".into(),
    }
}

/// The comment at the head of a file as Markdown; formulas are left unchanged.
fn head(source: &str) -> String {
    let lines = source.lines().take_while(|line| line.starts_with("//!"));
    let text = lines.map(|line| line.trim_start_matches("//!")).collect::<Vec<_>>();
    let text: Vec<&str> = text.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let paragraphs = text.split(|line| line.is_empty()).filter(|lines| !lines.is_empty());
    let written: Vec<String> = paragraphs.map(paragraph).collect();
    format!("{}\n", written.join("\n\n"))
}

fn paragraph(lines: &[&str]) -> String {
    match is_formula(lines) {
        true => format!("```text\n{}\n```", lines.join("\n")),
        false => lines.join("\n"),
    }
}

/// Whether lines are formulas: they contain several spaces in a row, or each line is an equation.
fn is_formula(lines: &[&str]) -> bool {
    let sentence = lines.last().is_some_and(|line| line.ends_with('.'));
    let spaced = lines.iter().any(|line| line.trim_start().contains("  "));
    spaced || (!sentence && lines.iter().any(|line| line.contains(" = ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_stay_as_they_stand_and_words_flow() {
        let source = "//! One line.\n//!\n//! s = x W      (1)\n//! y = s\n//!\n//! Differs: k = 2.\n\nuse x;\n";
        let expected = "One line.\n\n```text\ns = x W      (1)\ny = s\n```\n\nDiffers: k = 2.\n";
        assert_eq!(head(source), expected);
    }

    #[test]
    fn a_router_names_what_it_is_held_to() {
        let fixtures = [("a", "one 1.0"), ("b", "two 2.0")];
        let fixtures = fixtures.map(|(router, source)| (router.to_string(), source.to_string()));
        let text = held_to("b", &fixtures.into());
        assert!(text.ends_with("against:\n\n- two 2.0\n"), "{text}");
        assert_eq!(held_to("c", &BTreeSet::new()), "");
    }

    #[test]
    fn costs_that_were_not_measured_say_so() {
        assert_eq!(cost("top-k", 8, &[]), "not measured");
        let row = RouterCost {
            router: "hash".into(),
            experts: 8,
            tokens: 1,
            width: 1,
            forward_ms: 1.0,
            forward_ratio: 0.25,
            forward_backward_ms: None,
            forward_backward_ratio: None,
            profile: String::new(),
        };
        assert_eq!(cost("hash", 8, std::slice::from_ref(&row)), "0.2");
        let of = |profile: &str| RouterCost { profile: profile.into(), ..row.clone() };
        assert_eq!(profiles(&[of("release"), of("release")]), "build profile `release`");
        let mixed = profiles(&[of("release"), of("dev")]);
        assert!(mixed.starts_with("build profile `dev`, `release` (**not a release"), "{mixed}");
        let trained = RouterCost { forward_backward_ratio: Some(2.0), ..row };
        assert_eq!(cost("hash", 8, &[trained]), "0.2 (2.0)");
    }
}
