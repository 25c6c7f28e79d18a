//! The blocks of pages that show committed results.
//!
//! Between `<!-- BEGIN: SUITE OPTIONS -->` and `<!-- END: SUITE OPTIONS -->` stands what
//! `table SUITE OPTIONS` prints of the newest results of the suite that are committed. Blocks that do not
//! begin with such a suite are left as they are. An `overview.svg` beside such results is what
//! `plot --name overview` draws of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, Command, FromArgMatches};
use lab::{QueryArgs, committed};
use report::{Format, Page, Runs, comparison, plots, render, splice};

/// The pages of a workspace with their blocks as they should be: paths from its root, and texts.
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
        let text = fs::read_to_string(&path).with_context(place)?;
        let text = renewed(text, root).with_context(place)?;
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

/// A page with its blocks made anew.
fn renewed(mut page: String, root: &Path) -> anyhow::Result<String> {
    let blocks: Vec<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("<!-- BEGIN: ")?.strip_suffix(" -->"))
        .map(str::to_string)
        .collect();
    for block in blocks {
        let mut words = block.split_whitespace();
        let Some(csv) = words.next().and_then(|suite| committed(root, suite)) else { continue };
        let tables = tables(&csv, words).with_context(|| format!("the block {block:?}"))?;
        page = splice(&page, &block, &tables)?;
    }
    Ok(page)
}

/// The tables of a csv file as Markdown, with options as those of `table`.
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
        let wrong = page.replace("--metric", "--metrc");
        let err = format!("{:#}", renewed(wrong, root.path()).unwrap_err());
        assert!(err.contains("s --split valid --metrc loss") && err.contains("--metrc"), "{err}");
    }
}
