//! Zip archives in memory, by the crate `zip`: stored or deflated files, not encrypted.

use std::{
    io::{Cursor, Read, Write},
    sync::Arc,
};

use ::zip::{
    CompressionMethod, ZipArchive, ZipWriter,
    result::{ZipError, ZipResult},
    write::SimpleFileOptions,
};
use files::{json_memory, most_unpacked};

/// Unpacked data are refused if they have more bytes than the first number, and more than the second number
/// times the packed size.
const LARGE: [u64; 2] = [4 << 20, 32];
/// The same limits for the memory that the values of a JSON file take. Files of the formats take up to 40
/// times their size; brackets alone would take a hundred thousand times their packed size.
const JSON: [u64; 2] = [128 << 20, 256];

type Problem<T> = std::result::Result<T, String>;

/// Whether bytes begin like an archive.
pub(crate) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06")
}

/// An archive whose sizes are within the limits and whose files have distinct names.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    list: ZipArchive<Cursor<Arc<[u8]>>>,
    packed: u64,
}

impl Archive {
    /// Reads the list of files.
    pub(crate) fn open(bytes: Vec<u8>) -> Problem<Self> {
        let packed = bytes.len() as u64;
        let archive = ZipArchive::new(Cursor::new(bytes.into())).map_err(problem)?;
        if archive.has_duplicate_names() {
            return Err("the archive has two files of the same name".into());
        }
        check_size(unpacked(&archive).map_err(problem)?, packed)?;
        Ok(Self { list: archive, packed })
    }

    /// The names of all files, without folders, each with its index in the list.
    pub(crate) fn files(&self) -> Problem<Vec<(String, usize)>> {
        let names = self.list.file_names().enumerate();
        let names = names.map(|(at, name)| name.map(|name| (name.into_owned(), at)));
        let names: Vec<_> = names.collect::<ZipResult<_>>().map_err(problem)?;
        Ok(names.into_iter().filter(|(name, _)| !name.ends_with('/')).collect())
    }

    /// The content of the file with this index in the list.
    pub(crate) fn read(&self, at: usize) -> Problem<Vec<u8>> {
        let mut archive = self.list.clone(); // shares the bytes and the list
        let mut file = archive.by_index(at).map_err(problem)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|err| format!("it is damaged: {err}"))?;
        if bytes.len() as u64 != file.size() {
            return Err(format!("it is damaged: {} of {} bytes", bytes.len(), file.size()));
        }
        check_json(&bytes, file.compressed_size().min(self.packed))?;
        Ok(bytes)
    }
}

/// The sum of the sizes in the list.
fn unpacked<R: Read + std::io::Seek>(archive: &ZipArchive<R>) -> ZipResult<u64> {
    let sizes = (0..archive.len()).map(|at| Ok(u128::from(archive.by_index_data(at)?.size())));
    sizes.sum::<ZipResult<u128>>().map(|sum| u64::try_from(sum).unwrap_or(u64::MAX))
}

fn check_size(unpacked: u64, packed: u64) -> Problem<()> {
    let most = most_unpacked(packed, LARGE);
    match unpacked > most {
        true => Err(format!(
            "its files take {unpacked} bytes unpacked; the limit for an archive of {packed} bytes \
             is {most}"
        )),
        false => Ok(()),
    }
}

/// Refuses JSON whose values would take much more memory than the packed file.
fn check_json(bytes: &[u8], packed: u64) -> Problem<()> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if !matches!(first, Some(b'[' | b'{')) {
        return Ok(());
    }
    let (memory, most) = (json_memory(bytes), JSON[0].max(packed.saturating_mul(JSON[1])));
    match memory > most {
        true => Err(format!(
            "its JSON could take {memory} bytes of memory; the limit for {packed} packed \
             bytes is {most}"
        )),
        false => Ok(()),
    }
}

/// The message of an error in an archive or a file of it.
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

/// An archive of these files, deflated, the same bytes each time.
pub(crate) fn write(files: &[(String, Vec<u8>)]) -> Problem<Vec<u8>> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        let written = writer.start_file(name, options);
        written
            .and_then(|()| Ok(writer.write_all(content)?))
            .map_err(|e| format!("{name}: {e}"))?;
    }
    let archive = writer.finish().map_err(|err| err.to_string())?;
    Ok(archive.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<(String, Vec<u8>)> {
        vec![("a/b.json".into(), b"{}".to_vec()), ("Atlético.txt".into(), vec![7; 5000])]
    }

    fn contents(archive: Vec<u8>) -> Problem<Vec<(String, Vec<u8>)>> {
        let archive = Archive::open(archive)?;
        archive.files()?.into_iter().map(|(name, at)| Ok((name, archive.read(at)?))).collect()
    }

    /// The position of the n-th occurrence of these bytes.
    fn find(archive: &[u8], bytes: &[u8], n: usize) -> usize {
        let places = archive.windows(bytes.len()).enumerate().filter(|(_, there)| *there == bytes);
        places.map(|(at, _)| at).nth(n).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let archive = write(&files()).unwrap();
        assert!(archive.len() < 1000, "it is deflated");
        assert_eq!(write(&files()).unwrap(), archive);
        assert_eq!(contents(archive).unwrap(), files());
        assert_eq!(contents(write(&[]).unwrap()).unwrap(), []);
    }

    #[test]
    fn every_cut_and_many_damages_are_refused_without_a_panic() {
        let archive = write(&files()).unwrap();
        for end in 0..archive.len() {
            let err = Archive::open(archive[..end].to_vec()).unwrap_err();
            assert!(err.starts_with("damaged or incomplete zip archive: "), "cut at {end}: {err}");
        }
        for at in 0..archive.len() {
            let mut damaged = archive.clone();
            damaged[at] ^= 0x55;
            let _ = contents(damaged);
        }
        let mut damaged = archive;
        let at = find(&damaged, b"a/b.json", 0) + "a/b.json".len();
        damaged[at + 1] ^= 1;
        assert!(contents(damaged).unwrap_err().starts_with("it is damaged: "));
    }

    #[test]
    fn a_file_is_not_unpacked_beyond_the_size_in_the_list() {
        let mut archive = write(&[("a".into(), vec![7; 5000])]).unwrap();
        let entry = find(&archive, b"PK\x01\x02", 0);
        archive[entry + 24..entry + 28].copy_from_slice(&100_u32.to_le_bytes());
        let err = contents(archive).unwrap_err();
        assert_eq!(err, "it is damaged: File is larger than its declared uncompressed size");
    }

    #[test]
    fn too_large_archives_are_refused_before_anything_is_unpacked() {
        let mut archive = write(&[("a".into(), vec![7; 5000])]).unwrap();
        let entry = find(&archive, b"PK\x01\x02", 0);
        archive[entry + 24..entry + 28].copy_from_slice(&(3_u32 << 30).to_le_bytes());
        let (most, packed) = (1032 * archive.len(), archive.len());
        let expected = format!(
            "its files take 3221225472 bytes unpacked; the limit for an archive of {packed} \
             bytes is {most}"
        );
        assert_eq!(contents(archive).unwrap_err(), expected);
        const MOST: u64 = 4 << 30;
        assert!(check_size(MOST, MOST).is_ok());
        assert!(check_size(MOST + 1, MOST).is_err());
    }

    #[test]
    fn json_of_brackets_is_refused_before_its_values_are_made() {
        let brackets = |n: usize| format!("[{}[]]", "[[[]]],".repeat(n)).into_bytes();
        let archive = write(&[("a.json".into(), brackets(500_000))]).unwrap();
        assert!(archive.len() < 20_000, "it is small");
        let err = contents(archive).unwrap_err();
        let start = "its JSON could take 511000";
        assert!(err.starts_with(start) && err.contains(" packed bytes is 134217728"), "{err}");
        assert!(contents(write(&[("a.json".into(), brackets(1000))]).unwrap()).is_ok());
        // A file that begins otherwise is no JSON, and a file that is as large on the disk may take more
        // memory.
        let text = [&b"x"[..], &brackets(500_000)].concat();
        assert!(contents(write(&[("a.txt".into(), text)]).unwrap()).is_ok());
        assert!(check_json(&brackets(500_000), 3_000_000).is_ok());
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused() {
        let mut archive = write(&[("a".into(), vec![]), ("b".into(), vec![])]).unwrap();
        let entry = find(&archive, b"PK\x01\x02", 1);
        archive[entry + 46] = b'a';
        assert_eq!(contents(archive).unwrap_err(), "the archive has two files of the same name");
    }
}
