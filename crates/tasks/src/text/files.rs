//! Plain text from the data folder: a file, or all files of a folder.

use std::path::{Path, PathBuf};

use crate::{DataDir, DataError, data::files_below};

/// The text of a file, or of all `.txt` files of a folder and its subfolders, concatenated in the order of
/// their names; and its full path.
///
/// # Errors
/// If there is no such file, if it is empty, or if it is not UTF-8 although UTF-8 is required.
pub(super) fn text(
    data: &DataDir,
    name: &str,
    utf8: bool,
) -> Result<(PathBuf, Vec<u8>), DataError> {
    let path = data.path(name)?;
    let text = match path.is_dir() {
        true => joined(data, &path, utf8)?,
        false => data.read_path(&path)?,
    };
    let wrong = |message: String| Err(DataError::Content { path: path.clone(), message });
    match (text.is_empty(), utf8) {
        (true, _) => wrong("it is empty".into()),
        (_, true) => checked(&path, &text).map(|()| (path, text)),
        (_, false) => Ok((path, text)),
    }
}

/// Checks that the text of a file is UTF-8.
pub(super) fn checked(path: &Path, text: &[u8]) -> Result<(), DataError> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(err) => Err(DataError::Content {
            path: path.into(),
            message: format!(
                "not UTF-8 text at byte {}; tokens = \"ascii\" and \"byte\" accept any file",
                err.valid_up_to()
            ),
        }),
    }
}

fn joined(data: &DataDir, folder: &Path, utf8: bool) -> Result<Vec<u8>, DataError> {
    let mut paths = files_below(folder)?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "txt"));
    if paths.is_empty() {
        let message = "no .txt file; a folder of text needs at least one".into();
        return Err(DataError::Content { path: folder.into(), message });
    }
    let mut all = Vec::new();
    for path in paths {
        let text = data.read_path(&path)?;
        if utf8 {
            checked(&path, &text)?;
        }
        all.extend(&text);
        if !text.is_empty() && !text.ends_with(b"\n") {
            all.push(b'\n');
        }
    }
    Ok(all)
}

/// The first position from `at` on that does not divide a character of several bytes.
pub(super) fn whole_letter(text: &[u8], at: usize) -> usize {
    let inside = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
    at + text[at..].iter().take_while(inside).count()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn letters_of_several_bytes_stay_whole() {
        assert_eq!([0, 1, 2, 3].map(|at| whole_letter("aäb".as_bytes(), at)), [0, 1, 3, 3]);
    }

    #[test]
    fn a_folder_is_read_by_name() {
        let place = tempfile::tempdir().unwrap();
        let data = DataDir::new(Some(place.path().into()));
        let write = |name: &str, text: &[u8]| fs::write(place.path().join(name), text).unwrap();
        let wrong = |name: &str| text(&data, name, true).err().unwrap().to_string();
        fs::create_dir_all(place.path().join("set/inner")).unwrap();
        assert!(wrong("set").contains("no .txt file"));
        write("set/b.txt", b"two");
        write("set/a.txt", b"one\n");
        write("set/inner/c.txt", b"three");
        write("set/readme.md", b"not this");
        assert_eq!(text(&data, "set", true).unwrap().1, b"one\ntwo\nthree\n");

        write("set/b.txt", b"tw\xff");
        let err = wrong("set");
        assert!(err.contains("b.txt: not UTF-8 text at byte 2"), "{err}");
        assert!(text(&data, "set", false).is_ok());
        write("empty.txt", b"");
        assert!(wrong("empty.txt").ends_with("empty.txt: it is empty"));
        assert!(wrong("none.txt").contains("cannot read"));
    }
}
