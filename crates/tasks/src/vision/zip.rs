//! Reads a zip archive: the list at its end, then file after file.
//!
//! PKWARE. *.ZIP File Format Specification*. <https://support.pkware.com/pkzip/appnote>
//!
//! Of our own because the crate for it changes dependencies far below. No encryption, no archives
//! in parts, no more than 65,535 files; what is there is stored or deflated.

use std::io::Read;

use flate2::{Crc, read::DeflateDecoder};

const END: &[u8] = b"PK\x05\x06";
const ENTRY: &[u8] = b"PK\x01\x02";
const FILE: &[u8] = b"PK\x03\x04";

/// The files of an archive by name, folders left out.
pub(crate) fn read(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let end = archive.windows(END.len()).rposition(|bytes| bytes == END);
    let end = end.ok_or("it is no whole zip archive: it has no list of files at its end")?;
    let count = short(archive, end + 10)?;
    let mut at = long(archive, end + 16)?;
    let mut files = Vec::with_capacity(count);
    for _ in 0..count {
        let entry = Entry::read(archive, at)?;
        at = entry.next;
        if !entry.name.ends_with('/') {
            let bytes = entry.file(archive).map_err(|err| format!("{}: {err}", entry.name))?;
            files.push((entry.name, bytes));
        }
    }
    Ok(files)
}

/// One line of the list.
struct Entry {
    name: String,
    method: usize,
    checksum: usize,
    packed: usize,
    size: usize,
    start: usize,
    next: usize,
}

impl Entry {
    fn read(archive: &[u8], at: usize) -> Result<Self, String> {
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

    fn file(&self, archive: &[u8]) -> Result<Vec<u8>, String> {
        if slice(archive, self.start, 4)? != FILE {
            return Err("it is not where the list says".into());
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
        let mut checksum = Crc::new();
        checksum.update(&bytes);
        if bytes.len() != self.size || checksum.sum() as usize != self.checksum {
            return Err("its checksum is wrong".into());
        }
        Ok(bytes)
    }
}

fn slice(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], String> {
    let end = at.checked_add(length);
    end.and_then(|end| bytes.get(at..end)).ok_or_else(|| "the archive is cut off".into())
}

fn short(bytes: &[u8], at: usize) -> Result<usize, String> {
    slice(bytes, at, 2).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])))
}

fn long(bytes: &[u8], at: usize) -> Result<usize, String> {
    slice(bytes, at, 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
}

#[cfg(test)]
pub(crate) mod testing {
    use std::io::Write;

    use flate2::{Compression, Crc, write::DeflateEncoder};

    /// An archive of these files; every second one is stored as it is.
    pub(crate) fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
        let (mut archive, mut list) = (Vec::new(), Vec::new());
        for (i, (name, bytes)) in files.iter().enumerate() {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            let packed = encoder.finish().unwrap();
            let (method, packed) = if i % 2 == 0 { (8_u16, packed) } else { (0, bytes.clone()) };
            let mut checksum = Crc::new();
            checksum.update(bytes);
            let mut facts = Vec::new();
            facts.extend([20, 0, 0, 0]); // version, flags
            facts.extend(method.to_le_bytes());
            facts.extend([0; 4]); // time, date
            for number in [checksum.sum(), packed.len() as u32, bytes.len() as u32] {
                facts.extend(number.to_le_bytes());
            }
            facts.extend((name.len() as u16).to_le_bytes());
            facts.extend([0; 2]); // no extra field
            let start = archive.len() as u32;
            archive.extend([super::FILE, &facts, name.as_bytes(), &packed].concat());
            list.extend([super::ENTRY, &[20, 0], &facts, &[0; 10]].concat());
            list.extend(start.to_le_bytes());
            list.extend(name.as_bytes());
        }
        let count = (files.len() as u16).to_le_bytes();
        let (start, length) = (archive.len() as u32, list.len() as u32);
        archive.extend(list);
        archive.extend([super::END, &[0; 4], &count, &count].concat());
        archive.extend([length.to_le_bytes(), start.to_le_bytes()].concat());
        archive.extend([0; 2]);
        archive
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
        assert!(error(&whole[..whole.len() / 2]).contains("no list of files at its end"));
        assert!(error(&whole[20..]).contains("damaged"));
        let mut changed = whole;
        let at = changed.windows(3).position(|bytes| bytes == [7; 3]).unwrap();
        changed[at] = 8;
        assert_eq!(error(&changed), "a/one: its checksum is wrong");
    }
}
