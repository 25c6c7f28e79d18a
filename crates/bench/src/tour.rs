//! The line numbers of links in docs/tour.md.
//!
//! A link `` [`text`](../path#L12) `` points to the first line of the file that contains its text.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

const PAGE: &str = "docs/tour.md";
/// The beginning of every link of a tour, and the text before its line number.
const START: &str = "[`";
const LINE: &str = "#L";

/// The up-to-date page of the workspace at `root`, if it has one.
pub(crate) fn page(root: &Path) -> anyhow::Result<Option<(PathBuf, String)>> {
    let path = root.join(PAGE);
    if !path.exists() {
        return Ok(None);
    }
    let text = files::read_text(&path).with_context(|| path.display().to_string())?;
    Ok(Some((PAGE.into(), with_lines(&text, root)?)))
}

/// The page with line numbers updated from the files. Fails if a link's text is not in its file.
fn with_lines(page: &str, root: &Path) -> anyhow::Result<String> {
    let mut parts = page.split(START);
    let mut text = parts.next().unwrap_or_default().to_string();
    for part in parts {
        text += START;
        text += &match linked(part) {
            Some((words, path, rest)) => {
                format!("{words}`](../{path}{LINE}{}){rest}", line_of(words, &root.join(path))?)
            }
            None => part.to_string(),
        };
    }
    Ok(text)
}

/// The words, the path and the rest of `` words`](../path#L12) and so on ``.
fn linked(part: &str) -> Option<(&str, &str, &str)> {
    let (words, after) = part.split_once("`](../")?;
    let (target, rest) = after.split_once(')')?;
    let (path, _) = target.split_once(LINE)?;
    Some((words, path, rest))
}

/// The number, from 1, of the first line that contains the words.
fn line_of(words: &str, path: &Path) -> anyhow::Result<usize> {
    let text = files::read_text(path).with_context(|| path.display().to_string())?;
    match text.lines().position(|line| line.contains(words)) {
        Some(at) => Ok(at + 1),
        None => bail!("{} has no line with `{words}`, to which {PAGE} links", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_lines_that_they_name() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.rs"), "use x;\n\nfn run() {}\n").unwrap();
        let page = "1. See [`fn run`](../a.rs#L0), `code` and [a page](b.md).\n";
        let current = with_lines(page, root.path()).unwrap();
        assert_eq!(current, page.replace("#L0", "#L3"));
        assert_eq!(with_lines(&current, root.path()).unwrap(), current);
        let err = with_lines("[`fn walk`](../a.rs#L1)", root.path()).unwrap_err().to_string();
        assert!(err.contains("no line with `fn walk`"), "{err}");
    }
}
