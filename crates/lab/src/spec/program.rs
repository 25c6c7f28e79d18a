//! The program that contains a suite: an experiment, or `bench`.

use files::hex;
use include_dir::{Dir, DirEntry};
use sha2::{Digest, Sha256};

/// A program: the name of its package, and the source of its own plug-ins.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The package, for `cargo run -p`.
    pub package: &'static str,
    /// The folder `src` with all of its files.
    pub source: &'static Dir<'static>,
}

impl Program {
    /// A program without its own source.
    pub const NONE: Self = {
        static EMPTY: Dir<'static> = Dir::new("", &[]);
        Self { package: "", source: &EMPTY }
    };

    /// SHA-256 of the names and contents of all files, ordered by name.
    pub(crate) fn digest(&self) -> String {
        let mut files = Vec::new();
        collect(self.source, &mut files);
        files.sort_unstable();
        let mut hash = Sha256::new();
        for (name, content) in files {
            hash.update(name.len().to_le_bytes());
            hash.update(name);
            hash.update(content.len().to_le_bytes());
            hash.update(content);
        }
        hex(&hash.finalize())
    }

    /// The command that trains a suite of this program.
    pub(crate) fn command(&self, suite: &str) -> String {
        format!("cargo run --release -p {} -- run {suite}", self.package)
    }
}

/// Name and content of all files below a folder.
fn collect<'a>(folder: &'a Dir<'a>, files: &mut Vec<(String, &'a [u8])>) {
    for entry in folder.entries() {
        match entry {
            DirEntry::Dir(inner) => collect(inner, files),
            DirEntry::File(file) => {
                files.push((file.path().to_string_lossy().into_owned(), file.contents()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use include_dir::File;

    #[test]
    fn every_file_at_any_depth_counts() {
        let digest = |entries: &'static [DirEntry<'static>]| {
            let source: &'static Dir<'static> = Box::leak(Box::new(Dir::new("", entries)));
            Program { package: "p", source }.digest()
        };
        const MAIN: DirEntry = DirEntry::File(File::new("main.rs", b"mod a;"));
        const A: DirEntry = DirEntry::File(File::new("a/mod.rs", b"1"));
        const B: DirEntry = DirEntry::File(File::new("a/mod.rs", b"2"));
        const ONE: &[DirEntry] = &[MAIN, DirEntry::Dir(Dir::new("a", &[A]))];
        const OTHER: &[DirEntry] = &[MAIN, DirEntry::Dir(Dir::new("a", &[B]))];
        const TURNED: &[DirEntry] = &[DirEntry::Dir(Dir::new("a", &[A])), MAIN];
        assert_ne!(digest(ONE), digest(OTHER));
        assert_eq!(digest(ONE), digest(TURNED));
    }

    #[test]
    fn the_macro_takes_the_whole_folder() {
        // This program is the source of `lab` itself.
        let suite = crate::suite!("s", "../../../bench/suites/smoke.toml");
        let mut files = Vec::new();
        collect(suite.program.source, &mut files);
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.contains(&"lib.rs") && names.contains(&"spec/program.rs"), "{names:?}");
        assert_eq!(suite.program.command("s"), "cargo run --release -p lab -- run s");
    }
}
