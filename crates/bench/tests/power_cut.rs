//! After a power cut at any moment, runs end with the same bits as if there had been none.
//!
//! A library between the program and the system, `power_cut/shim.c`, records the content of the disk at the
//! moment of the cut: only what was synced. Real file systems may keep more than that, in any order, so three
//! of them are simulated: one that keeps nothing more, one that has the names of files before their contents,
//! and one that has a part of the contents in addition.
#![cfg(target_os = "linux")]

mod common;

use std::{
    collections::HashMap,
    fs,
    os::unix::{fs::MetadataExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::Command,
};

use common::{Place, SUITE, ended, numbers};

/// The data that a file system has on the disk in addition to what was synced.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Keeps {
    Nothing,
    Names,
    NamesAndHalfOfTheContents,
}

const ALL: [Keeps; 3] = [Keeps::Nothing, Keeps::Names, Keeps::NamesAndHalfOfTheContents];

/// The command of the program on the suite, with its files below `disk`, and with the library loaded before
/// the system's.
fn call(place: &Place, library: &Path) -> Command {
    let args = ["run", "tiny.toml", "--runs", "disk/runs", "--threads", "1", "--trace"];
    let mut command = place.bench(&args);
    command.env("LD_PRELOAD", library);
    command.env("SHIM_ROOT", real(place).join("disk")).env("SHIM_DISK", place.path("record"));
    command
}

/// The path of the test's folder, without links.
fn real(place: &Place) -> PathBuf {
    place.path("").canonicalize().expect("the folder is there")
}

/// Builds the library.
fn library(place: &Place) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/power_cut/shim.c");
    let library = place.path("shim.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).args([source, "-ldl"]);
    assert!(compiler.status().expect("a C compiler is there, Rust needs one").success());
    library
}

/// The content of the disk after the cut, in a separate folder.
struct Image<'a> {
    record: &'a Path,
    keeps: Keeps,
}

impl Image<'_> {
    /// Writes a folder with its content.
    fn folder(&self, from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        let inode = from.metadata().unwrap().ino();
        for (kind, inode, name) in self.names(from, inode) {
            let (from, to) = (from.join(&name), to.join(&name));
            match kind {
                'd' => self.folder(&from, &to),
                _ => fs::write(to, self.content(&from, inode)).unwrap(),
            }
        }
    }

    /// Kind, inode and name of all entries of a folder.
    fn names(&self, folder: &Path, inode: u64) -> Vec<(char, u64, String)> {
        if self.keeps == Keeps::Nothing {
            let text =
                fs::read_to_string(self.record.join(format!("d{inode}"))).unwrap_or_default();
            let name = |line: &str| {
                let mut parts = line.splitn(3, ' ');
                let kind = parts.next()?.chars().next()?;
                Some((kind, parts.next()?.parse().ok()?, parts.next()?.to_string()))
            };
            return text.lines().map(|line| name(line).expect("a line of the record")).collect();
        }
        let entries = fs::read_dir(folder).unwrap().flatten();
        let entry = |entry: fs::DirEntry| {
            let facts = entry.metadata().unwrap();
            let kind = if facts.is_dir() { 'd' } else { 'f' };
            (kind, facts.ino(), entry.file_name().to_string_lossy().to_string())
        };
        entries.map(entry).collect()
    }

    fn content(&self, file: &Path, inode: u64) -> Vec<u8> {
        let synced = fs::read(self.record.join(format!("f{inode}"))).unwrap_or_default();
        match (self.keeps, fs::read(file)) {
            (Keeps::NamesAndHalfOfTheContents, Ok(now)) if now.starts_with(&synced) => {
                now[..synced.len() + (now.len() - synced.len()) / 2].to_vec()
            }
            _ => synced,
        }
    }
}

/// Cuts the power at some of the calls that write, and continues each time from the remaining files.
fn cut_the_power(times: usize) {
    let suite = SUITE.replace("steps = 40", "steps = 12").replace("log_every = 3", "log_every = 2");
    let suite = suite.replace("eval_every = 20", "eval_every = 5");
    let suite = suite.replace("checkpoint_every = 7", "checkpoint_every = 3");
    let suite = suite.replace("[[method]]\nmoe.router = \"random\"\n", "");
    let place = Place::with_suite(&suite);
    let library = library(&place);
    for folder in ["disk", "record"] {
        fs::create_dir(place.path(folder)).unwrap();
    }
    let count = place.path("count");
    ended(&call(&place, &library).env("SHIM_COUNT", &count).output().unwrap(), 0);
    let (expected, csv) = (place.outcomes("disk/runs"), numbers(&place, "disk/runs"));
    assert_eq!(expected.len(), 2);
    let calls: usize = fs::read_to_string(&count).unwrap().parse().unwrap();
    assert!(calls > 60, "{calls} calls");

    let (mut finished, mut unfinished) = (0, 0);
    for time in 0..times {
        let (cut, keeps) = (1 + time * (calls - 1) / times, ALL[time % ALL.len()]);
        for folder in ["disk", "record", "image"] {
            fs::remove_dir_all(place.path(folder)).ok();
        }
        for folder in ["disk", "record"] {
            fs::create_dir(place.path(folder)).unwrap();
        }
        let output = call(&place, &library).env("SHIM_CUT", cut.to_string()).output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "cut at call {cut} of {calls}");
        let image = Image { record: &place.path("record"), keeps };
        image.folder(&real(&place).join("disk"), &place.path("image"));

        let results: HashMap<PathBuf, Vec<u8>> = results(&place);
        finished += results.len();
        unfinished += 2 - results.len();
        let at = format!("cut at call {cut} of {calls}, the disk keeps {keeps:?}");
        let args = ["run", "tiny.toml", "--runs", "image/runs", "--threads", "1", "--trace"];
        let (_, err) = ended(&place.run(&args), 0);
        assert_eq!(err, "", "{at}");
        assert_eq!(place.outcomes("image/runs"), expected, "{at}");
        assert_eq!(numbers(&place, "image/runs"), csv, "{at}");
        for (path, before) in results {
            assert_eq!(fs::read(&path).unwrap(), before, "{at}: a finished run is trained again");
        }
    }
    assert!(finished > times / 4 && unfinished > times / 4, "{finished} and {unfinished}");
}

/// The results of runs that have ended according to the disk.
fn results(place: &Place) -> HashMap<PathBuf, Vec<u8>> {
    let paths = place.runs("image/runs").into_iter().map(|run| run.join("result.json"));
    paths.filter_map(|path| fs::read(&path).ok().map(|bytes| (path, bytes))).collect()
}

#[test]
fn after_a_power_cut_runs_end_with_the_same_bits() {
    cut_the_power(51);
}

#[test]
#[ignore = "takes minutes: 300 cuts"]
fn after_many_power_cuts_runs_end_with_the_same_bits() {
    cut_the_power(300);
}
