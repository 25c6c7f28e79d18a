//! No reader panics, hangs or takes much memory for any small input.
//!
//! Each reader gets its valid files with small deterministic changes, in a separate process with limited
//! memory. `cargo test -p bench --test fuzz` makes 100,000 inputs; `cargo test -p bench --test fuzz --
//! 1000000` that number, and `-- 1000000 dng` that number for one reader. Inputs for which a reader once
//! failed are in `fuzz/regressions`, `READER_WHAT`, and are read first. `fuzz/` at the root of the repository
//! has the same readers for `cargo fuzz`, which start from the files of `cargo test -p bench --test fuzz --
//! corpus fuzz/corpus`.

#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/targets.rs"]
mod targets;

use std::{
    fs,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use mutate::{Random, mutated};
use targets::Target;

/// Inputs for which a reader once failed.
const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/regressions");
/// The number of inputs of all readers.
const INPUTS: usize = 100_000;
/// The longest time that a reader may take for an input.
const MOST_TIME: Duration = Duration::from_secs(5);
/// The largest memory that a reader may take in addition to that of the process, in KiB.
const MOST_MEMORY: u64 = 200 << 10;
/// The largest memory of the process in total, in KiB.
const LIMIT: u64 = 4 << 20;

/// Reads `count` inputs with the reader of this process.
fn read(name: &str, count: usize) -> ExitCode {
    let all = targets::all();
    let target = all.iter().find(|target| target.name == name).expect("a known reader");
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Random(17);
    let mut slowest = Duration::ZERO;
    std::panic::set_hook(Box::new(|_| {}));
    let before = regressions(name).into_iter().chain(target.files.iter().cloned());
    let made = (0..count).map(|_| mutated(&mut random, &target.files));
    for (at, bytes) in before.chain(made).enumerate() {
        match one(target, folder.path(), &bytes) {
            Ok(time) => slowest = slowest.max(time),
            Err(why) => {
                say(&format!("{name}: input {at}: {why}"));
                let path = std::env::temp_dir().join(format!("fuzz-{name}-{at}"));
                if fs::write(&path, &bytes).is_ok() {
                    say(&format!("{name}: it is in {}", path.display()));
                }
                return ExitCode::FAILURE;
            }
        }
        if at % 64 == 0 {
            say(&format!("at {at}"));
        }
    }
    say(&format!("slowest {:.1} ms, memory {} MiB", 1e3 * slowest.as_secs_f64(), peak() >> 10));
    ExitCode::SUCCESS
}

/// Reads one input.
fn one(target: &Target, folder: &Path, bytes: &[u8]) -> Result<Duration, String> {
    let (memory, started) = (peak(), Instant::now());
    catch_unwind(AssertUnwindSafe(|| (target.read)(folder, bytes))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        format!("it panics: {}", text.unwrap_or_default())
    })?;
    let (time, taken) = (started.elapsed(), peak() - memory);
    match (time > MOST_TIME, taken > MOST_MEMORY) {
        (true, _) => Err(format!("it takes {:.1} s", time.as_secs_f64())),
        (_, true) => Err(format!("it takes {} MiB", taken >> 10)),
        _ => Ok(time),
    }
}

/// The peak of the memory that this process has requested, in KiB; 0 if the system does not report it.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(0)
}

/// The names of inputs for which a reader once failed, in order: `READER_WHAT`.
fn regression_names() -> Vec<String> {
    let entries = fs::read_dir(REGRESSIONS).expect("the folder is there").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().to_string()).collect();
    names.sort();
    names
}

/// The name of the reader to which an input belongs.
fn reader_of(file: &str) -> &str {
    file.split_once('_').map_or("", |(reader, _)| reader)
}

/// The inputs for which a reader once failed.
fn regressions(name: &str) -> Vec<Vec<u8>> {
    let names = regression_names();
    let ours = names.iter().filter(|file| reader_of(file) == name);
    ours.map(|file| fs::read(Path::new(REGRESSIONS).join(file)).expect("it is there")).collect()
}

/// Inputs that belong to no reader.
fn unread(all: &[Target]) -> Vec<String> {
    let known = |file: &String| all.iter().any(|target| target.name == reader_of(file));
    regression_names().into_iter().filter(|file| !known(file)).collect()
}

/// Writes the valid files of each reader, and the inputs for which it once failed, as the initial corpus of
/// `cargo fuzz`.
fn corpus(folder: &Path) -> ExitCode {
    for target in targets::all() {
        let place = folder.join(target.name);
        fs::create_dir_all(&place).expect("the folder can be made");
        let inputs = target.files.into_iter().chain(regressions(target.name));
        for (at, bytes) in inputs.enumerate() {
            fs::write(place.join(at.to_string()), bytes).expect("the file can be written");
        }
    }
    ExitCode::SUCCESS
}

/// Prints a line for the process that started this one.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).expect("somebody listens");
}

/// Runs a reader on `count` inputs in a separate process, and returns how the process ended.
fn in_a_process(target: &Target, count: usize) -> Result<String, String> {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {LIMIT}; exec \"$0\" \"$@\"")]).arg(program);
    command.args(["read", target.name, &count.to_string()]);
    // With an arena for each thread, address space would be reserved in proportion to the number of
    // processors.
    command.env("MALLOC_ARENA_MAX", "1");
    let output = command.stderr(Stdio::piped()).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).to_string();
    let (at, said): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("at "));
    let said = said.join("; ");
    match output.status.success() {
        true => Ok(said),
        false => {
            let at = at.last().unwrap_or(&"at 0");
            let err = String::from_utf8_lossy(&output.stderr).to_string();
            Err(format!("{}: {said} (after {at})\n{err}", output.status))
        }
    }
}

#[allow(clippy::print_stdout, reason = "there is no harness that says what was tested")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &&str| text.parse::<usize>().ok();
    match args[..] {
        ["read", name, count] => return read(name, number(&count).expect("a number")),
        ["corpus", folder] => return corpus(Path::new(folder)),
        ["--list", ..] => return ExitCode::SUCCESS,
        _ => {}
    }
    let inputs = args.iter().find_map(number).unwrap_or(INPUTS);
    let all = targets::all();
    assert_eq!(unread(&all), Vec::<String>::new(), "regressions of no reader");
    let chosen = |target: &&Target| {
        let named = args.contains(&target.name);
        named || !all.iter().any(|target| args.contains(&target.name))
    };
    let chosen: Vec<&Target> = all.iter().filter(chosen).collect();
    let shares: usize = chosen.iter().map(|target| target.share).sum();
    let mut code = ExitCode::SUCCESS;
    for target in chosen {
        let count = (inputs * target.share).div_ceil(shares);
        let name = target.name;
        match in_a_process(target, count) {
            Ok(said) => println!("test {name} ... ok, {count} inputs, {said}"),
            Err(why) => {
                println!("test {name} ... FAILED, {count} inputs, {why}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
