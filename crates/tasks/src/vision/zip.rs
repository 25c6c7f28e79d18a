//! Reads a zip archive, by the crate `zip`: stored or deflated files, not encrypted.

use std::io::{Cursor, Read};

use ::zip::{ZipArchive, result::ZipError};

use crate::data::most_unpacked;

/// The files of an archive by name, folders left out.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(problem)?;
    if archive.has_duplicate_names() {
        return Err("the archive has two files of the same name".into());
    }
    check_size(&archive, bytes.len() as u64)?;
    let mut files = Vec::with_capacity(archive.len());
    for at in 0..archive.len() {
        let name = archive.by_index_data(at).and_then(|file| Ok(file.name()?.into_owned()));
        let name = name.map_err(problem)?;
        if !name.ends_with('/') {
            let bytes = content(&mut archive, at).map_err(|err| format!("{name}: {err}"))?;
            files.push((name, bytes));
        }
    }
    Ok(files)
}

/// Refuses an archive whose listed sizes are too large, before anything is unpacked.
fn check_size(archive: &ZipArchive<Cursor<&[u8]>>, packed: u64) -> Result<(), String> {
    let size = |at| archive.by_index_data(at).map(|file| u128::from(file.size()));
    let sizes: Result<u128, ZipError> = (0..archive.len()).map(size).sum();
    let (unpacked, most) = (sizes.map_err(problem)?, most_unpacked(packed));
    match unpacked > u128::from(most) {
        true => Err(format!(
            "its files take {unpacked} bytes unpacked; the limit for an archive of {packed} bytes \
             is {most}"
        )),
        false => Ok(()),
    }
}

fn content(archive: &mut ZipArchive<Cursor<&[u8]>>, at: usize) -> Result<Vec<u8>, String> {
    let mut file = archive.by_index(at).map_err(problem)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|err| format!("it is damaged: {err}"))?;
    match bytes.len() as u64 == file.size() {
        true => Ok(bytes),
        false => Err(format!("it is damaged: {} of {} bytes", bytes.len(), file.size())),
    }
}

/// The message of an error in an archive or in a file of it.
fn problem(err: ZipError) -> String {
    match err {
        ZipError::InvalidArchive(why) => format!("damaged or incomplete zip archive: {why}"),
        ZipError::Io(err) => format!("damaged or incomplete zip archive: {err}"),
        ZipError::CompressionMethodNotSupported(id) => {
            format!("compression method {id}; known: 0 (stored), 8 (deflated)")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::io::{Cursor, Write};

    use ::zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

    /// An archive of these files; every second one is stored as it is.
    pub(crate) fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (i, (name, bytes)) in files.iter().enumerate() {
            let method = [CompressionMethod::Deflated, CompressionMethod::Stored][i % 2];
            let options = SimpleFileOptions::default().compression_method(method);
            writer.start_file(name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::zip, *};

    fn files() -> Vec<(String, Vec<u8>)> {
        vec![
            ("a/".into(), vec![]),
            ("a/one".into(), vec![7; 300]),
            ("a/two".into(), (0..99).collect()),
        ]
    }

    #[test]
    fn stored_and_deflated_files_are_read() {
        assert_eq!(read(&zip(&files())).unwrap(), files()[1..]);
    }

    #[test]
    fn damage_is_noticed() {
        let whole = zip(&files());
        let error = |bytes: &[u8]| read(bytes).unwrap_err();
        assert!(error(&whole[..whole.len() / 2]).starts_with("damaged or incomplete zip archive"));
        assert!(error(&whole[40..]).starts_with("damaged or incomplete zip archive"));
        let mut changed = whole;
        let at = changed.windows(3).position(|bytes| bytes == [7; 3]).unwrap();
        changed[at] = 8;
        assert_eq!(error(&changed), "a/one: it is damaged: Invalid checksum");
    }

    #[test]
    fn what_a_list_promises_is_limited() {
        let mut archive = zip(&files());
        let entry = archive.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
        archive[entry + 24..entry + 28].copy_from_slice(&u32::MAX.to_le_bytes());
        let most = 1032 * archive.len();
        let err = read(&archive).unwrap_err();
        let packed = archive.len();
        let expected = format!(
            "its files take 4294967595 bytes unpacked; the limit for an archive of {packed} bytes \
             is {most}"
        );
        assert!(err.starts_with(&expected), "{err}");
        // A listed size that is smaller than the true one does not evade the limit.
        archive[entry + 24..entry + 28].copy_from_slice(&98_u32.to_le_bytes());
        let err = read(&archive).unwrap_err();
        assert!(err.contains("larger than its declared uncompressed size"), "{err}");
    }
}
