//! Reads of regular files only: reading a pipe or a device may block.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// The maximum size of a text in bytes: results of millions of runs.
const MOST_TEXT: u64 = 256 << 20;

/// The bytes of a regular file of at most `most` bytes.
///
/// # Errors
/// If the path is not a regular file, is larger, or cannot be read.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    let facts = fs::metadata(path)?;
    if !facts.is_file() {
        return Err(invalid("not a regular file".into()));
    }
    if facts.len() > most {
        return Err(invalid(format!("{} bytes; the limit is {most}", facts.len())));
    }
    let mut bytes = room(facts.len())?;
    // The file may have grown since.
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A buffer of `length` bytes, if there is enough memory.
fn room(length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match usize::try_from(length).map(|length| bytes.try_reserve_exact(length)) {
        Ok(Ok(())) => Ok(bytes),
        _ => Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!("{length} bytes do not fit in memory"),
        )),
    }
}

/// The text of a regular file of at most 256 MiB.
///
/// # Errors
/// If the path is not a regular file, is larger, cannot be read, or is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read_regular(path, MOST_TEXT)?;
    String::from_utf8(bytes).map_err(|err| io::Error::new(io::ErrorKind::InvalidData, err))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_the_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "four").unwrap();
        assert_eq!(read_regular(&path, 4).unwrap(), b"four");
        assert_eq!(read_text(&path).unwrap(), "four");
        let err = read_regular(&path, 3).unwrap_err().to_string();
        assert_eq!(err, "4 bytes; the limit is 3");
        let err = read_regular(folder.path(), 4).unwrap_err().to_string();
        assert_eq!(err, "not a regular file");
        assert!(read_regular(&folder.path().join("b"), 4).is_err());
        fs::write(&path, [0xff]).unwrap();
        assert_eq!(read_text(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_does_not_fit_in_memory_is_an_error() {
        assert_eq!(room(3).unwrap().capacity(), 3);
        let err = room(u64::MAX).unwrap_err();
        assert_eq!(err.to_string(), "18446744073709551615 bytes do not fit in memory");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        // It has no blocks on the disk.
        File::create(&path).unwrap().set_len(MOST_TEXT + 1).unwrap();
        let err = read_text(&path).unwrap_err().to_string();
        assert_eq!(err, "268435457 bytes; the limit is 268435456");
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(read_regular(&path, 4).is_err());
    }
}
