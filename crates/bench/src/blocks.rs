//! The blocks of pages that show committed results.
//!
//! Between `<!-- BEGIN: SUITE OPTIONS -->` and `<!-- END: SUITE OPTIONS -->` is the output of `table SUITE
//! OPTIONS` for the newest committed results of the suite. Blocks that do not begin with such a suite are
//! left unchanged. A note of an earlier block on the page is not repeated. The heading of a page of results
//! is the title of the suite. An `overview.svg` beside such results is the output of `plot --name overview`
//! for them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, Command, FromArgMatches};
use lab::{QueryArgs, SettingTree, committed};
use report::{Format, Page, Runs, comparison, plots, render, splice};

/// The pages of a workspace with up-to-date blocks: paths relative to its root, and texts.
pub(crate) fn pages(root: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let folders = fs::read_dir(root.join("experiments")).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = folders
        .map(|folder| folder.path().join("README.md"))
        .filter(|path| path.exists())
        .collect();
    paths.push(root.join("README.md"));
    let newest = newest(root);
    paths.extend(newest.iter().map(|folder| folder.join("README.md")));
    paths.sort();
    let mut pages = Vec::new();
    for path in paths.into_iter().filter(|path| path.exists()) {
        let place = || path.display().to_string();
        let text = files::read_text(&path).with_context(place)?;
        let text = renewed(text, root).with_context(place)?;
        let text = match title(root, &path)? {
            Some(title) => with_heading(&text, &title),
            None => text,
        };
        pages.push((path.strip_prefix(root).unwrap_or(&path).to_path_buf(), text));
    }
    for path in newest.iter().map(|folder| folder.join("overview.svg")).filter(|path| path.exists())
    {
        let svg = overview(&path.with_file_name("runs.csv"))?;
        pages.push((path.strip_prefix(root).unwrap_or(&path).to_path_buf(), svg));
    }
    Ok(pages)
}

/// The folders of the newest committed results of each suite.
fn newest(root: &Path) -> Vec<PathBuf> {
    let suites = fs::read_dir(root.join("results")).into_iter().flatten().flatten();
    let csv = suites.filter_map(|suite| committed(root, suite.file_name().to_str()?));
    csv.filter_map(|csv| Some(csv.parent()?.to_path_buf())).collect()
}

/// The figure of all methods against the first.
fn overview(csv: &Path) -> anyhow::Result<String> {
    let runs = Runs::read(csv)?;
    let suite = runs.rows.first().map_or("results", |row| row.suite.as_str());
    let figures = plots(&Page::new(&format!("Suite {suite}"), &runs))?;
    let figure = figures.into_iter().find(|figure| figure.name == "overview");
    Ok(figure.with_context(|| csv.display().to_string())?.svg)
}

/// The title of the suite whose page of results is at `path`; none for other pages, and for suites without a
/// file of the same name.
fn title(root: &Path, path: &Path) -> anyhow::Result<Option<String>> {
    let Ok(path) = path.strip_prefix(root.join("results")) else { return Ok(None) };
    let suite = path.iter().next().unwrap_or_default().to_string_lossy();
    let experiments = root.join("experiments");
    let mut files = vec![
        root.join(format!("crates/bench/suites/{suite}.toml")),
        experiments.join(&*suite).join("suite.toml"),
    ];
    files.extend(
        suite.match_indices('-').map(|(at, _)| {
            experiments.join(&suite[..at]).join(format!("{}.toml", &suite[at + 1..]))
        }),
    );
    let Some(file) = files.into_iter().find(|file| file.exists()) else { return Ok(None) };
    let place = file.display().to_string();
    let text = files::read_text(&file).with_context(|| place.clone())?;
    let settings = SettingTree::parse(&place, &text)?;
    let title = settings.table().and_then(|table| table.get("title")).map(SettingTree::value);
    Ok(title.and_then(|title| Some(title.as_str()?.to_string())))
}

/// A page with another first heading.
fn with_heading(page: &str, title: &str) -> String {
    let mut found = false;
    let line = |line: &str| match line.starts_with("# ") && !std::mem::replace(&mut found, true) {
        true => format!("# {title}\n"),
        false => format!("{line}\n"),
    };
    page.lines().map(line).collect()
}

/// A page with its blocks regenerated.
fn renewed(mut page: String, root: &Path) -> anyhow::Result<String> {
    let blocks: Vec<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("<!-- BEGIN: ")?.strip_suffix(" -->"))
        .map(str::to_string)
        .collect();
    let mut notes = BTreeSet::new();
    for block in blocks {
        let mut words = block.split_whitespace();
        let Some(csv) = words.next().and_then(|suite| committed(root, suite)) else { continue };
        let tables = tables(&csv, words).with_context(|| format!("the block {block:?}"))?;
        page = splice(&page, &block, &without_repeated(&tables, &mut notes))?;
    }
    Ok(page)
}

/// Removes those notes below tables that are in `notes`, and adds the others to `notes`.
fn without_repeated(tables: &str, notes: &mut BTreeSet<String>) -> String {
    let is_table = |text: &str| text.starts_with('|') || text.starts_with("**");
    let kept = tables.trim_end().split("\n\n");
    let kept = kept.filter(|text| is_table(text) || notes.insert(text.to_string()));
    format!("{}\n", kept.collect::<Vec<_>>().join("\n\n"))
}

/// The tables of a csv file as Markdown, with the options of `table`.
fn tables<'a>(csv: &Path, options: impl Iterator<Item = &'a str>) -> anyhow::Result<String> {
    let command = QueryArgs::augment_args(Command::new("table").no_binary_name(true));
    let query = QueryArgs::from_arg_matches(&command.try_get_matches_from(options)?)?.query();
    Ok(render(&comparison(&Runs::read(csv)?, &query)?, Format::Markdown))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "suite,task,backbone,method,router,seed,split,metric,value,step,params,\
                       active_params,flops_per_token,seconds,device,revision,run\n\
                       s,t,n,a,r,0,test,accuracy,0.5,1,1,1,1,1,cpu,x,a0\n\
                       s,t,n,a,r,0,valid,loss,0.25,1,1,1,1,1,cpu,x,a0\n";

    #[test]
    fn blocks_of_suites_are_made_anew_and_others_left() {
        let root = tempfile::tempdir().unwrap();
        let results = root.path().join("results/s/2026-01-01");
        fs::create_dir_all(&results).unwrap();
        fs::write(results.join("runs.csv"), CSV).unwrap();
        let page = "<!-- BEGIN: claims -->\nkept\n<!-- END: claims -->\n\
                    <!-- BEGIN: s -->\n<!-- END: s -->\n\
                    <!-- BEGIN: s --split valid --metric loss -->\n\
                    <!-- END: s --split valid --metric loss -->\n";
        let new = renewed(page.to_string(), root.path()).unwrap();
        let (test, valid) = new.split_once("END: s -->").unwrap();
        assert!(test.contains("kept") && test.contains("| a | 0.500"), "{test}");
        assert!(valid.contains("| a | 0.250") && !test.contains("0.250"), "{valid}");
        assert_eq!(renewed(new.clone(), root.path()).unwrap(), new);
        let note = "mean ± half-width of the 95 % t interval";
        assert!(test.contains(note) && !valid.contains(note), "{new}");
        let wrong = page.replace("--metric", "--metrc");
        let err = format!("{:#}", renewed(wrong, root.path()).unwrap_err());
        assert!(err.contains("s --split valid --metrc loss") && err.contains("--metrc"), "{err}");
    }

    #[test]
    fn a_page_of_results_has_the_title_of_its_suite() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("experiments/a-b/suite.toml", "title = \"Whole\"\n");
        write("experiments/a-b/c-d.toml", "title = \"Part\"\n");
        let of = |path: &str| title(root.path(), &root.path().join(path)).unwrap();
        assert_eq!(of("results/a-b/2026-01-01/README.md").as_deref(), Some("Whole"));
        assert_eq!(of("results/a-b-c-d/2026-01-01/README.md").as_deref(), Some("Part"));
        assert_eq!(of("results/other/2026-01-01/README.md"), None);
        assert_eq!(of("experiments/a-b/README.md"), None);
        let page = with_heading("<!-- made -->\n\n# Old?\n\n# Kept\n", "New");
        assert_eq!(page, "<!-- made -->\n\n# New\n\n# Kept\n");
    }
}
