//! Reads and writes zip archives: the list at the end, then file after file.
//!
//! PKWARE. *.ZIP File Format Specification*. <https://support.pkware.com/pkzip/appnote>
//!
//! Of our own because the crate for it changes dependencies far below. No encryption, no archives
//! in parts, no more than 65,535 files; what is there is stored or deflated.

use std::io::{Read, Write};

use flate2::{Compression, Crc, read::DeflateDecoder, write::DeflateEncoder};

const END: &[u8] = b"PK\x05\x06";
const ENTRY: &[u8] = b"PK\x01\x02";
const FILE: &[u8] = b"PK\x03\x04";
/// Names are UTF-8.
const UTF8: u16 = 1 << 11;
/// The first day that the format knows: 1 January 1980.
const DATE: u16 = 1 << 5 | 1;

type Problem<T> = std::result::Result<T, String>;

/// Is this the beginning of an archive?
pub(crate) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(FILE) || bytes.starts_with(END)
}

/// One line of the list.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    method: usize,
    checksum: usize,
    packed: usize,
    size: usize,
    start: usize,
    next: usize,
}

/// The list of an archive, folders left out.
pub(crate) fn entries(archive: &[u8]) -> Problem<Vec<Entry>> {
    let end = archive.windows(END.len()).rposition(|bytes| bytes == END);
    let end = end.ok_or("it is no whole zip archive: it has no list of files at its end")?;
    slice(archive, end, 22)?;
    let count = short(archive, end + 10)?;
    let mut at = long(archive, end + 16)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let entry = Entry::read(archive, at)?;
        at = entry.next;
        if !entry.name.ends_with('/') {
            entries.push(entry);
        }
    }
    Ok(entries)
}

impl Entry {
    fn read(archive: &[u8], at: usize) -> Problem<Self> {
        if slice(archive, at, 4)? != ENTRY {
            return Err("its list of files is damaged".into());
        }
        let [name, extra, comment] =
            [short(archive, at + 28)?, short(archive, at + 30)?, short(archive, at + 32)?];
        Ok(Self {
            name: String::from_utf8_lossy(slice(archive, at + 46, name)?).to_string(),
            method: short(archive, at + 10)?,
            checksum: long(archive, at + 16)?,
            packed: long(archive, at + 20)?,
            size: long(archive, at + 24)?,
            start: long(archive, at + 42)?,
            next: at + 46 + name + extra + comment,
        })
    }

    /// The file's content.
    pub(crate) fn content(&self, archive: &[u8]) -> Problem<Vec<u8>> {
        if slice(archive, self.start, 4)? != FILE {
            return Err("it is not where the archive's list says".into());
        }
        let names = short(archive, self.start + 26)? + short(archive, self.start + 28)?;
        let packed = slice(archive, self.start + 30 + names, self.packed)?;
        let bytes = match self.method {
            0 => packed.to_vec(),
            8 => {
                let mut bytes = Vec::new();
                let mut limited = DeflateDecoder::new(packed).take(self.size as u64 + 1);
                limited.read_to_end(&mut bytes).map_err(|err| err.to_string())?;
                bytes
            }
            other => return Err(format!("compression method {other}; known are 0 and 8")),
        };
        if bytes.len() != self.size || checksum(&bytes) as usize != self.checksum {
            return Err("it is damaged: its checksum or size is wrong".into());
        }
        Ok(bytes)
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut checksum = Crc::new();
    checksum.update(bytes);
    checksum.sum()
}

fn slice(archive: &[u8], at: usize, length: usize) -> Problem<&[u8]> {
    let end = at.checked_add(length).ok_or("it is cut off")?;
    archive.get(at..end).ok_or_else(|| "it is cut off".into())
}

fn short(archive: &[u8], at: usize) -> Problem<usize> {
    let bytes = slice(archive, at, 2)?;
    Ok(usize::from(bytes[0]) | usize::from(bytes[1]) << 8)
}

fn long(archive: &[u8], at: usize) -> Problem<usize> {
    Ok(short(archive, at)? | short(archive, at + 2)? << 16)
}

/// An archive of these files, deflated, the same bytes each time.
pub(crate) fn write(files: &[(String, Vec<u8>)]) -> Problem<Vec<u8>> {
    let count = u16::try_from(files.len()).map_err(|_| "more than 65,535 files")?;
    let (mut archive, mut list) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let start = u32::try_from(archive.len()).map_err(|_| "more than 4 GiB")?;
        let head = head(name)?;
        let packed = deflate(content).map_err(|err| err.to_string())?;
        let mut sizes = checksum(content).to_le_bytes().to_vec();
        for size in [packed.len(), content.len()] {
            let size = u32::try_from(size).map_err(|_| "a file of more than 4 GiB")?;
            sizes.extend(size.to_le_bytes());
        }
        let length = (name.len() as u16).to_le_bytes();
        archive.extend([FILE, &head, &sizes, &length, &[0; 2], name.as_bytes(), &packed].concat());
        list.extend([ENTRY, &[20, 0], &head, &sizes, &length, &[0; 12]].concat());
        list.extend(start.to_le_bytes());
        list.extend(name.as_bytes());
    }
    let at = u32::try_from(archive.len()).map_err(|_| "more than 4 GiB")?;
    archive.extend(&list);
    archive.extend([END, &[0; 4], &count.to_le_bytes(), &count.to_le_bytes()].concat());
    archive.extend((list.len() as u32).to_le_bytes());
    archive.extend(at.to_le_bytes());
    archive.extend([0; 2]);
    Ok(archive)
}

/// Version, flags, method, time and date, which the file and its line in the list share.
fn head(name: &str) -> Problem<Vec<u8>> {
    if u16::try_from(name.len()).is_err() {
        return Err("a name of more than 65,535 bytes".into());
    }
    Ok([20, UTF8, 8, 0, DATE].into_iter().flat_map(u16::to_le_bytes).collect())
}

fn deflate(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<(String, Vec<u8>)> {
        vec![("a/b.json".into(), b"{}".to_vec()), ("Atlético.txt".into(), vec![7; 5000])]
    }

    #[test]
    fn what_is_written_is_read_back() {
        let archive = write(&files()).unwrap();
        let read = entries(&archive).unwrap();
        let read: Vec<(String, Vec<u8>)> =
            read.iter().map(|e| (e.name.clone(), e.content(&archive).unwrap())).collect();
        assert_eq!(read, files());
        assert!(archive.len() < 1000, "it is deflated");
    }

    #[test]
    fn every_cut_and_many_damages_are_refused_without_a_panic() {
        let archive = write(&files()).unwrap();
        for end in 0..archive.len() {
            assert!(entries(&archive[..end]).is_err(), "cut at {end}");
        }
        for at in 0..archive.len() {
            let mut damaged = archive.clone();
            damaged[at] ^= 0x55;
            if let Ok(entries) = entries(&damaged) {
                let _ = entries.iter().map(|entry| entry.content(&damaged)).collect::<Vec<_>>();
            }
        }
        let mut damaged = archive;
        damaged[45] ^= 1;
        let entries = entries(&damaged).unwrap();
        assert!(entries.iter().any(|entry| entry.content(&damaged).is_err()));
    }
}
