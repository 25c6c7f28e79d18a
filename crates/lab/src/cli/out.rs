//! Files that the user names with `--out`.

use std::{
    fs::File,
    io,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use files::{create_folder, write_atomic_with, write_files};
use report::Figure;

use crate::store::is_folder;

/// Files beside `config.json` in the folder of a run, one of which exists from the start or the end of the
/// run on.
const OF_A_RUN: [&str; 2] = ["environment.json", "result.json"];

/// Whether a folder is the folder of a run, or lies directly inside one.
fn is_of_a_run(folder: &Path) -> bool {
    let has = |folder: &Path, name: &str| folder.join(name).exists();
    folder
        .ancestors()
        .take(2)
        .any(|folder| has(folder, "config.json") && OF_A_RUN.iter().any(|name| has(folder, name)))
}

/// Refuses to write into the folder of a run or into a folder inside it: `result.json` has the digests of the
/// files there.
///
/// # Errors
/// If the file would lie in such a folder; the error names the file.
pub(super) fn not_of_a_run(out: &Path) -> anyhow::Result<()> {
    refuse(out.parent().is_some_and(is_of_a_run), out)
}

/// Refuses to replace a file that the verb reads.
///
/// # Errors
/// If `out` is one of the inputs, also under another path; the error names it.
pub(super) fn not_an_input<P: AsRef<Path>>(
    out: &Path,
    inputs: impl IntoIterator<Item = P>,
) -> anyhow::Result<()> {
    let Ok(real) = out.canonicalize() else { return Ok(()) };
    let is_out = |input: P| input.as_ref().canonicalize().is_ok_and(|input| input == real);
    ensure!(
        !inputs.into_iter().any(is_out),
        "--out {}: this is the input; choose another file",
        out.display()
    );
    Ok(())
}

fn refuse(is_of_a_run: bool, out: &Path) -> anyhow::Result<()> {
    let out = out.display();
    ensure!(!is_of_a_run, "--out {out}: this is the folder of a run; choose another one");
    Ok(())
}

/// Creates a folder that the user names, unless it is the folder of a run or lies inside one.
///
/// # Errors
/// If the folder cannot be created; the error names it.
pub(super) fn create_out(folder: &Path) -> anyhow::Result<()> {
    refuse(is_of_a_run(folder), folder)?;
    create_folder(folder).with_context(|| folder.display().to_string())
}

/// The folder that the user names, or else the folder of this name in the folder of runs.
///
/// # Errors
/// If the entry of this name in the folder of runs is a link, or is not a folder.
pub(super) fn out_or_in_runs(
    named: Option<&PathBuf>,
    runs: &Path,
    name: &str,
) -> anyhow::Result<PathBuf> {
    let folder = named.cloned().unwrap_or_else(|| runs.join(name));
    if named.is_none() {
        is_folder(&folder)?;
    }
    Ok(folder)
}

/// The files of figures in a folder, with their content.
pub(super) fn svg_files<'a>(folder: &Path, figures: &'a [Figure]) -> Vec<(PathBuf, &'a [u8])> {
    let file =
        |figure: &'a Figure| (folder.join(format!("{}.svg", figure.name)), figure.svg.as_bytes());
    figures.iter().map(file).collect()
}

/// Writes files that the user names, each completely or not at all, and never into the folder of a run.
///
/// # Errors
/// If a file cannot be written; the error names the file and the cause.
pub(super) fn write_outs(files: &[(PathBuf, &[u8])]) -> anyhow::Result<()> {
    files.iter().try_for_each(|(path, _)| not_of_a_run(path))?;
    Ok(write_files(files)?)
}

/// Writes a file that the user names, completely or not at all, and never into the folder of a run.
///
/// # Errors
/// If the file cannot be written; the error names the file and the cause.
pub fn write_out(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    write_out_with(path, |file| file.write_all(content))
}

/// The same as [`write_out`] for content that `write` writes in parts.
pub(super) fn write_out_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> anyhow::Result<()> {
    not_of_a_run(path)?;
    write_atomic_with(path, write).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn files_of_runs_are_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let place = |path: &str| folder.path().join(path);
        fs::create_dir_all(place("runs/a/trace")).unwrap();
        fs::create_dir_all(place("runs/b")).unwrap();
        for file in ["a/config.json", "a/result.json", "b/config.json", "b/environment.json"] {
            fs::write(place("runs").join(file), "{}").unwrap();
        }
        for path in ["runs/a/x", "runs/a/result.json", "runs/a/trace/x", "runs/b/x"] {
            let err = write_out(&place(path), b"x").unwrap_err().to_string();
            assert!(err.ends_with("this is the folder of a run; choose another one"), "{err}");
        }
        for folder in ["runs/a", "runs/b/new"] {
            let err = create_out(&place(folder)).unwrap_err().to_string();
            assert!(err.contains("this is the folder of a run"), "{err}");
        }
        assert!(!place("runs/b/new").exists());
        create_out(&place("runs/plots")).unwrap();
        write_out(&place("runs/x"), b"x").unwrap();
        assert_eq!(fs::read(place("runs/x")).unwrap(), b"x");
        let err = write_out(&place("no/x"), b"x").unwrap_err().to_string();
        assert_eq!(err, place("no/x").display().to_string());
    }

    #[test]
    #[cfg(unix)]
    fn links_in_the_folder_of_runs_are_not_followed_but_those_of_a_person_are() {
        let folder = tempfile::tempdir().unwrap();
        let [runs, other] = ["runs", "other"].map(|name| folder.path().join(name));
        [&runs, &other].into_iter().for_each(|folder| fs::create_dir(folder).unwrap());
        assert_eq!(out_or_in_runs(None, &runs, "plots").unwrap(), runs.join("plots"));
        let link = runs.join("s-plots");
        std::os::unix::fs::symlink(&other, &link).unwrap();
        let err = out_or_in_runs(None, &runs, "s-plots").unwrap_err().to_string();
        assert!(err.ends_with("s-plots is a link, not a folder; remove it"), "{err}");
        assert_eq!(out_or_in_runs(Some(&link), &runs, "s-plots").unwrap(), link);
    }
}
