//! The seal of a run: `result.json`, which is written last and has the checksums of itself and of every other
//! file of the run.
//!
//! The seal has the id of the run, its end, the SHA-256 of each file in its folder, and in its last line the
//! SHA-256 of all bytes before that line. Every reader of a file of a finished run compares it with the seal,
//! so that a flipped bit or a truncation of any file is an error, and never a wrong number.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::Path,
};

use anyhow::{Context, bail};
use files::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    checksum::{is_intact, is_older, with_checksum},
    record::Ended,
    run_files,
};

/// The file of the seal.
pub(super) const RESULT: &str = "result.json";
/// Files that the seal does not include: itself, and the lock, which is empty.
const LEFT_OUT: [&str; 2] = [RESULT, "lock"];
/// The folder of images, which may be made from a run at any time.
const IMAGES: &str = "analysis/";
/// The file that has a checksum of its own and is large.
const CHECKPOINT: &str = "checkpoint.bin";

/// The content of `result.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Seal {
    /// The id of the run; none if an older version wrote the seal.
    run: Option<String>,
    /// The end of the run: finished or failed.
    #[serde(flatten)]
    pub(super) ended: Ended,
    /// The SHA-256 of each file of the run; none if an older version wrote the seal.
    files: Option<BTreeMap<String, String>>,
}

impl Seal {
    /// The seal of a run with this end, over the files that are now in its folder.
    pub(super) fn of(id: &str, ended: &Ended, folder: &Path) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        for name in run_files::names(folder)? {
            if !LEFT_OUT.contains(&name.as_str()) && !name.starts_with(IMAGES) {
                files.insert(name.clone(), digest(&folder.join(&name))?);
            }
        }
        Ok(Self { run: Some(id.into()), ended: ended.clone(), files: Some(files) })
    }

    /// Adds files that were written later, and updates the digests of those that the seal already includes.
    pub(super) fn add(&mut self, folder: &Path, names: &[String]) -> anyhow::Result<()> {
        for name in names {
            let digest = digest(&folder.join(name))?;
            self.files.get_or_insert_default().insert(name.clone(), digest);
        }
        Ok(())
    }

    /// The content of its file.
    pub(super) fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        Ok(with_checksum(serde_json::to_string_pretty(self)?))
    }

    /// The seal of a run's folder, if it has one.
    ///
    /// # Errors
    /// If it is damaged, or belongs to another run.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        run_files::is_folder(folder)?;
        let path = folder.join(RESULT);
        let Some(bytes) = run_files::read(&path)? else { return Ok(None) };
        let place = || path.display();
        let seal = Self::parse(&bytes).map_err(|why| {
            anyhow::anyhow!("{} is damaged: {why}; remove it to train the run again", place())
        })?;
        let id = folder.file_name().map(|name| name.to_string_lossy());
        match &seal.run {
            Some(run) if id.as_deref() != Some(run) => {
                bail!(
                    "{} belongs to the run {run}; give the folder this name, or remove the file to train \
                     this run again",
                    place()
                )
            }
            _ => Ok(Some(seal)),
        }
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let seal: Self = serde_json::from_slice(bytes).map_err(|err| err.to_string())?;
        let whole = seal.run.is_some() && seal.files.is_some() && is_intact(bytes);
        (whole || is_older(bytes)).then_some(seal).ok_or_else(|| "its checksum is wrong".into())
    }

    /// Whether the seal includes a file; if an older version wrote the seal, whether the file exists.
    pub(super) fn knows(&self, folder: &Path, name: &str) -> anyhow::Result<bool> {
        match &self.files {
            Some(files) => Ok(files.contains_key(name)),
            None => run_files::is_file(&folder.join(name)),
        }
    }

    /// The names of all files that the seal includes.
    pub(super) fn names(&self, folder: &Path) -> anyhow::Result<Vec<String>> {
        match &self.files {
            Some(files) => Ok(files.keys().cloned().collect()),
            None => run_files::names(folder),
        }
    }

    /// The content of a file that the seal includes; none for other files: a later file that was not
    /// completed does not count.
    ///
    /// # Errors
    /// If the file is missing, or has changed.
    pub(super) fn read_file(&self, folder: &Path, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let path = folder.join(name);
        if !self.knows(folder, name)? {
            return Ok(None);
        }
        let bytes = run_files::read(&path)?;
        let known = self.files.as_ref().and_then(|files| files.get(name));
        let wrong = match (known, &bytes) {
            (None, _) => return Ok(bytes),
            (Some(known), Some(got)) if *known == hex(&Sha256::digest(got)) => return Ok(bytes),
            (Some(_), Some(_)) => "is damaged: its SHA-256 differs from that in result.json",
            (Some(_), None) => "is missing, but result.json has its SHA-256",
        };
        let (path, folder) = (path.display(), folder.display());
        bail!("{path} {wrong}; remove {folder} to train the run again")
    }

    /// Checks all files of the run except the checkpoint, whose own checksum is checked when it is read.
    pub(super) fn check_all(&self, folder: &Path) -> anyhow::Result<()> {
        let names = self.files.iter().flat_map(BTreeMap::keys).filter(|name| *name != CHECKPOINT);
        names.map(|name| self.read_file(folder, name)).try_for_each(|read| read.map(drop))
    }
}

/// The SHA-256 of a file.
fn digest(path: &Path) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    let hashed = fs::File::open(path).and_then(|file| {
        let mut reader = BufReader::with_capacity(1 << 16, file);
        loop {
            let part = reader.fill_buf()?;
            if part.is_empty() {
                return Ok(());
            }
            hash.update(part);
            let length = part.len();
            reader.consume(length);
        }
    });
    hashed.with_context(|| path.display().to_string())?;
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("abc");
        fs::create_dir_all(folder.join("trace")).unwrap();
        fs::write(folder.join("config.json"), "{}").unwrap();
        fs::write(folder.join("trace/step-0.safetensors"), "trace").unwrap();
        fs::write(folder.join("lock"), "").unwrap();
        (root, folder)
    }

    fn ended() -> Ended {
        Ended::Failed { step: 3, cause: "the loss is NaN".into() }
    }

    #[test]
    fn any_flipped_bit_and_any_cut_of_the_seal_is_an_error() {
        let (_root, folder) = folder();
        let seal = Seal::of("abc", &ended(), &folder).unwrap();
        let whole = seal.to_bytes().unwrap();
        assert_eq!(Seal::parse(&whole).unwrap(), seal);
        let _json: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Seal::parse(&bytes).is_err(), "bit {bit}");
        }
        for cut in 0..whole.len() {
            assert!(Seal::parse(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn all_files_are_vouched_for() {
        let (_root, folder) = folder();
        let seal = Seal::of("abc", &ended(), &folder).unwrap();
        let known: Vec<&String> = seal.files.as_ref().unwrap().keys().collect();
        assert_eq!(known, ["config.json", "trace/step-0.safetensors"]);
        seal.check_all(&folder).unwrap();
        let wrong = |name: &str| {
            let err = seal.check_all(&folder).unwrap_err().to_string();
            assert!(err.contains(name), "{err}");
            err
        };
        fs::write(folder.join("trace/step-0.safetensors"), "trade").unwrap();
        assert!(wrong("step-0.safetensors").contains("is damaged"));
        fs::remove_file(folder.join("config.json")).unwrap();
        assert!(wrong("config.json").contains("is missing"));
        fs::write(folder.join("pruned.json"), "{").unwrap();
        assert_eq!(seal.read_file(&folder, "pruned.json").unwrap(), None, "it came later");
    }

    #[test]
    fn a_seal_is_of_one_run_and_those_of_older_versions_are_read() {
        let (_root, folder) = folder();
        assert!(Seal::read(&folder).unwrap().is_none());
        let seal = Seal::of("abd", &ended(), &folder).unwrap();
        fs::write(folder.join(RESULT), seal.to_bytes().unwrap()).unwrap();
        let err = Seal::read(&folder).unwrap_err().to_string();
        assert!(err.contains("belongs to the run abd; give the folder this name"), "{err}");
        let older = r#"{"status":"failed","step":3,"cause":"the loss is NaN"}"#;
        fs::write(folder.join(RESULT), older).unwrap();
        let seal = Seal::read(&folder).unwrap().unwrap();
        assert_eq!(seal.ended, ended());
        assert_eq!(seal.read_file(&folder, "config.json").unwrap().unwrap(), b"{}");
    }
}
