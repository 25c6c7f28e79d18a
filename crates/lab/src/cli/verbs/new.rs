//! `new`: writes a plug-in or an experiment that compiles and runs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use files::write_atomic;
use moe::Registry;

use crate::{
    Plugins,
    cli::{Answer, Session, Verb},
};

/// Arguments of `new`.
#[derive(Args)]
pub(crate) struct New {
    /// Kind of item to write
    what: What,
    /// The name, in lower case with dashes
    name: String,
}

impl Verb for New {
    const NAME: &'static str = "new";
    const ABOUT: &'static str = "Write a new plug-in or experiment that compiles and runs";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let taken = self.what.taken(session.plugins);
        ensure!(
            !taken.contains(&self.name.as_str()),
            "{:?} is already the name of a plug-in; choose another name",
            self.name
        );
        new(self.what, &self.name).map(Answer::from)
    }
}

/// The kinds of plug-ins and programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// A router: in MoeLab's workspace a file in crates/routers, registered in its lib.rs; elsewhere an
    /// experiment
    Router,
    /// A kind of experts, in an experiment
    Expert,
    /// A residual rule, in an experiment
    Residual,
    /// A task, in an experiment
    Task,
    /// A backbone, in an experiment
    Backbone,
    /// A crate with a router, a suite and the command line of MoeLab
    Experiment,
}

/// The program and the suite of an experiment from the template folder of this name.
macro_rules! template {
    ($kind:literal) => {
        [
            include_str!(concat!("../../../templates/", $kind, "/src/main.rs")),
            include_str!(concat!("../../../templates/", $kind, "/suite.toml")),
        ]
    };
}

const LIBRARY_ROUTER: &str = include_str!("../../../templates/library_router.rs");
const README: &str = include_str!("../../../templates/readme.md");
const MEMBER: &str = include_str!("../../../templates/member.toml");
const ALONE: &str = include_str!("../../../templates/alone.toml");

impl What {
    /// The program and the suite of an experiment with a plug-in of this kind.
    fn template(self) -> [&'static str; 2] {
        match self {
            What::Router | What::Experiment => template!("router"),
            What::Expert => template!("expert"),
            What::Residual => template!("residual"),
            What::Task => template!("task"),
            What::Backbone => template!("backbone"),
        }
    }

    /// The names of the existing plug-ins of this kind.
    fn taken(self, plugins: &Plugins) -> Vec<&'static str> {
        fn names<B>(of: &Registry<B>) -> Vec<&'static str> {
            of.iter().map(|(name, _)| name).collect()
        }
        let library = &plugins.library;
        match self {
            What::Router | What::Experiment => names(&library.routers),
            What::Expert => names(&library.experts),
            What::Residual => names(&library.residuals),
            What::Task => names(&plugins.tasks),
            What::Backbone => names(&plugins.backbones),
        }
    }
}

/// Writes the files, and returns the instructions for their use.
pub(crate) fn new(what: What, name: &str) -> anyhow::Result<String> {
    check_name(name)?;
    let here = std::env::current_dir().context("the current folder")?;
    match (what, workspace(&here)) {
        (What::Router, Some(root)) => router(&root, name),
        (_, Some(root)) if root.join("crates").join(name).exists() => {
            bail!("{name:?} is already the name of a package of the workspace")
        }
        (what, Some(root)) => experiment(what, &root.join("experiments"), name, true),
        (what, None) => experiment(what, &here, name, false),
    }
}

/// Checks that a name consists of lower-case words joined by dashes: it becomes the name of files and types.
fn check_name(name: &str) -> anyhow::Result<()> {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    ensure!(
        name.split('-').all(word),
        "{name:?} is not a valid name; expected lower-case words with dashes, for example my-router"
    );
    // A file is a module and a package is a crate: neither may have the name of a keyword or of a crate that
    // it uses.
    ensure!(!TAKEN.contains(&name), "{name:?} is reserved by Rust or MoeLab");
    let title = title(name);
    let prelude = include_str!("../../prelude.rs").lines().filter(|line| !line.starts_with("//"));
    let mut words =
        prelude.chain([OF_BURN]).flat_map(|line| line.split(|c: char| !c.is_alphanumeric()));
    ensure!(
        !words.any(|word| word == title),
        "{name:?}: its type would be {title}, which the prelude has; try my-{name}"
    );
    Ok(())
}

/// Keywords of Rust, and crates that the code of a plug-in refers to by name.
const TAKEN: [&str; 62] = [
    "abstract", "alloc", "as", "async", "await", "become", "box", "break", "burn", "const",
    "continue", "core", "crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn",
    "for", "gen", "if", "impl", "in", "kernels", "lab", "let", "lib", "loop", "macro", "main",
    "match", "mod", "moe", "move", "mut", "override", "priv", "proc", "pub", "ref", "return",
    "routers", "self", "static", "std", "struct", "super", "test", "trait", "true", "try", "type",
    "typeof", "unsafe", "unsized", "use", "virtual", "where", "while",
];

/// Types of the preludes of Burn and of Rust.
const OF_BURN: &str =
    " Bool Box Device Float Int Option Result Shape Some String Tensor TensorData Vec";

/// The workspace that contains a folder.
pub fn workspace(here: &Path) -> Option<PathBuf> {
    let is_root = |folder: &&Path| folder.join("crates/routers/src/lib.rs").is_file();
    here.ancestors().find(is_root).map(Path::to_path_buf)
}

fn router(root: &Path, name: &str) -> anyhow::Result<String> {
    let (stem, title) = (name.replace('-', "_"), title(name));
    let source = root.join("crates/routers/src");
    let contents = source.join("lib.rs");
    let module = source.join(&stem);
    ensure!(!module.exists(), "{name:?}: {} already exists", module.display());
    let old = fs::read_to_string(&contents).with_context(|| contents.display().to_string())?;
    let text = insert(&old, "mod ", &format!("mod {stem};"))
        .and_then(|text| insert(&text, "pub use ", &format!("pub use {stem}::{title};")))
        .and_then(|text| append(&text, ".with::<", &format!("        .with::<{title}>()")))
        .with_context(|| format!("{}: unexpected structure", contents.display()))?;
    write_new(&source.join(format!("{stem}.rs")), &fill(LIBRARY_ROUTER, name))?;
    write_atomic(&contents, text.as_bytes()).with_context(|| contents.display().to_string())?;
    let suite = root.join("crates/bench/suites/routers.toml");
    if let Ok(old) = fs::read_to_string(&suite) {
        let text = format!("{old}\n[[method]]\nmoe.router = \"{name}\"\n");
        write_atomic(&suite, text.as_bytes()).with_context(|| suite.display().to_string())?;
    }
    Ok(format!(
        "wrote crates/routers/src/{stem}.rs, its lines in lib.rs, and its method in the suite of \
         routers; now:\n  \
         cargo test -p routers {stem}\n  \
         cargo run -p bench -- docs\n  \
         cargo run --release -p bench -- run routers --only router={name} --only router=top-k\n"
    ))
}

/// Inserts a line in alphabetical order into the last block of lines with this beginning.
fn insert(text: &str, start: &str, line: &str) -> anyhow::Result<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().rposition(|line| line.starts_with(start));
    let last = last.with_context(|| format!("no line starts with {start:?}"))?;
    let block = lines[..=last].iter().rposition(|line| !line.starts_with(start));
    let first = block.map_or(0, |before| before + 1);
    let place = lines[first..=last].iter().position(|known| *known > line);
    lines.insert(place.map_or(last + 1, |place| first + place), line);
    Ok(lines.join("\n") + "\n")
}

/// Inserts a line after the last line that contains `part`.
fn append(text: &str, part: &str, line: &str) -> anyhow::Result<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().rposition(|line| line.contains(part));
    lines.insert(last.with_context(|| format!("no line has {part:?}"))? + 1, line);
    Ok(lines.join("\n") + "\n")
}

fn experiment(what: What, parent: &Path, name: &str, member: bool) -> anyhow::Result<String> {
    let [program, suite] = what.template();
    let folder = parent.join(name);
    ensure!(!folder.exists(), "{} already exists", folder.display());
    let source = folder.join("src");
    fs::create_dir_all(&source).with_context(|| source.display().to_string())?;
    let lab = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = match member {
        true => fill(MEMBER, name),
        false => fill(ALONE, name).replace("{lab}", &lab.display().to_string()),
    };
    write_new(&folder.join("Cargo.toml"), &manifest)?;
    write_new(&folder.join("suite.toml"), &fill(suite, name))?;
    write_new(&folder.join("README.md"), &fill(README, name))?;
    write_new(&source.join("main.rs"), &fill(program, name))?;
    if !member {
        // The experiment pins the same versions of all dependencies as MoeLab.
        let lock = lab.join("../../Cargo.lock");
        if lock.exists() {
            fs::copy(&lock, folder.join("Cargo.lock")).context("the lock file")?;
        }
    }
    let run = match member {
        true => format!("cargo run --release -p {name} -- --smoke"),
        false => format!("cd {name} && cargo run --release -- --smoke"),
    };
    Ok(format!("wrote {}; now:\n  {run}\n", folder.display()))
}

/// The template with its placeholders `Sample` and `sample` replaced by the name.
fn fill(template: &str, name: &str) -> String {
    template.replace("Sample", &title(name)).replace("sample", name)
}

/// `my-router` as a type, `MyRouter`.
fn title(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').map(capital).collect()
}

fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    ensure!(!path.exists(), "{} already exists", path.display());
    write_atomic(path, text.as_bytes()).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENTS: &str = "mod check;\n\nmod a;\nmod c;\n\npub use a::A;\npub use c::C;\n\n\
                            pub fn all() -> Routers {\n    x\n        .with::<A>()\n        .with::<C>()\n}\n";

    #[test]
    fn a_router_gets_its_lines_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("crates/routers/src");
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join("lib.rs"), CONTENTS).unwrap();
        let suites = folder.path().join("crates/bench/suites");
        fs::create_dir_all(&suites).unwrap();
        fs::write(suites.join("routers.toml"), "seeds = [0]\n").unwrap();
        router(folder.path(), "b-two").unwrap();
        let suite = fs::read_to_string(suites.join("routers.toml")).unwrap();
        assert_eq!(suite, "seeds = [0]\n\n[[method]]\nmoe.router = \"b-two\"\n");
        let text = fs::read_to_string(source.join("lib.rs")).unwrap();
        assert!(text.contains("mod a;\nmod b_two;\nmod c;"), "{text}");
        assert!(text.contains("pub use a::A;\npub use b_two::BTwo;\npub use c::C;"), "{text}");
        assert!(text.contains(".with::<C>()\n        .with::<BTwo>()\n}"), "{text}");
        let file = fs::read_to_string(source.join("b_two.rs")).unwrap();
        assert!(file.contains("const NAME: &'static str = \"b-two\";") && !file.contains("Sample"));
        assert!(router(folder.path(), "b-two").unwrap_err().to_string().contains("already"));
    }

    #[test]
    fn an_experiment_has_its_plug_in_suite_and_manifest() {
        for what in [What::Expert, What::Residual, What::Task, What::Backbone, What::Experiment] {
            let folder = tempfile::tempdir().unwrap();
            experiment(what, folder.path(), "b-two", false).unwrap();
            let read =
                |file: &str| fs::read_to_string(folder.path().join("b-two").join(file)).unwrap();
            let program = read("src/main.rs");
            assert!(program.contains("const NAME: &'static str = \"b-two\";"), "{what:?}");
            assert!(program.contains("lab::suite!(\"b-two\", \"../suite.toml\")"), "{what:?}");
            for file in ["src/main.rs", "suite.toml", "README.md", "Cargo.toml"] {
                let text = read(file).to_lowercase();
                assert!(text.contains("b-two") || text.contains("btwo"), "{what:?}: {file}");
                assert!(!text.contains("sample"), "{what:?}: {file}");
            }
            let again = experiment(what, folder.path(), "b-two", false).unwrap_err().to_string();
            assert!(again.contains("already"), "{again}");
        }
    }

    #[test]
    fn the_page_on_experiments_shows_what_is_written() {
        let page = include_str!("../../../../../docs/add-an-experiment.md");
        let after = page.split_once("```rust,ignore\n").expect("it has the block").1;
        let block = after.split_once("```").expect("the block ends").0;
        assert!(include_str!("../../../templates/router/src/main.rs").contains(block));
    }

    #[test]
    fn bad_names_are_refused() {
        for name in
            ["", "Sticky", "a_b", "-a", "a-", "1a", "mod", "for", "kernels", "linear", "task"]
        {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("top-k2").is_ok());
    }
}
