//! Signals, closed pipes and full disks end the program like any other program.
#![cfg(unix)]

mod common;

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use common::{HEAD, Place, SUITE, ended};

/// The program with these arguments, started from a shell in the folder of the test.
fn shell(place: &Place, script: &str) -> Command {
    let mut command = Command::new("sh");
    let script = script.replace("BENCH", env!("CARGO_BIN_EXE_bench"));
    command.args(["-c", &script]).current_dir(place.path(""));
    command
}

/// Sends a signal to a child once it has written a file with this ending, and waits for the child.
fn signalled(place: &Place, mut command: Command, signal: &str) -> std::process::Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the program starts");
    let begun = Instant::now();
    while !place.runs("runs").iter().any(|run| run.join("checkpoint.bin").exists()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not begin");
        sleep(Duration::from_millis(5));
    }
    kill(child.id(), signal);
    child.wait_with_output().expect("it ends")
}

fn kill(id: u32, signal: &str) {
    Command::new("kill").args([signal, &id.to_string()]).status().expect("kill is there");
}

#[test]
fn a_hangup_stops_a_training_unless_it_is_ignored() {
    let place = Place::with_suite(&SUITE.replace("steps = 40", "steps = 60"));
    let args = ["run", "tiny.toml", "--threads", "1"];
    // Tests that run under nohup start programs with HUP ignored.
    if !ignores(1) {
        let (_, err) = ended(&signalled(&place, place.bench(&args), "-HUP"), 130);
        assert!(err.contains("the same command resumes from here"), "{err}");
    }
    let place = Place::with_suite(&SUITE.replace("steps = 40", "steps = 60"));
    // The same as nohup does.
    let ignoring = shell(&place, "trap '' HUP; exec BENCH run tiny.toml --threads 1");
    let (table, err) = ended(&signalled(&place, ignoring, "-HUP"), 0);
    assert!(table.contains("loss-free") && err.is_empty(), "{err}");
}

/// Whether programs that this one starts ignore a signal; bit 0 of the mask is signal 1, HUP. See SigIgn in
/// `man 5 proc`.
fn ignores(signal: u32) -> bool {
    let bit = 1 << (signal - 1);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & bit > 0)
}

#[test]
fn verbs_that_train_nothing_end_on_the_first_signal() {
    let place = Place::new();
    for signal in signals() {
        // The verb takes minutes, and reads no input.
        ends(silent(&place, &["speed"]), Duration::from_millis(400), *signal);
    }
}

/// The signals that end programs. A script starts programs in the background with INT ignored, which stays
/// so.
fn signals() -> &'static [(&'static str, i32)] {
    let all = &[("-TERM", 15), ("-INT", 2)];
    if ignores(2) { &all[..1] } else { all }
}

/// The program with these arguments and discarded output.
fn silent(place: &Place, args: &[&str]) -> Child {
    let mut command = place.bench(args);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.expect("the program starts")
}

/// Checks that a signal ends a program that is still running after a while.
fn ends(mut child: Child, after: Duration, (name, number): (&str, i32)) {
    sleep(after);
    assert!(child.try_wait().expect("it is asked").is_none(), "it has ended already");
    let sent = Instant::now();
    kill(child.id(), name);
    let status = child.wait().expect("it ends");
    let (by, took) = (status.signal(), sent.elapsed());
    assert!(by == Some(number) && took < Duration::from_secs(20), "{status} after {took:?}");
}

/// Results of two methods on `tasks` tasks with `seeds` seeds.
fn results(tasks: usize, seeds: usize) -> String {
    let row = |task: usize, seed: usize, method: char| {
        let value = 0.5 + (task * 31 + seed * 7919) as f64 % 97.0 / 1000.0;
        format!("s,t{task},n,{method},r,{seed},test,accuracy,{value},1,1,1,1,1,flex,x,\n")
    };
    let all = (0..tasks).flat_map(|task| (0..seeds).map(move |seed| (task, seed)));
    let rows = all.flat_map(|(task, seed)| ['a', 'b'].map(|method| row(task, seed, method)));
    HEAD.to_string() + &rows.collect::<String>()
}

#[test]
fn report_and_claims_end_on_the_first_signal() {
    let place = Place::new();
    fs::write(place.path("wide.csv"), results(200, 50)).unwrap();
    let claims = "[paper]\nname = \"A paper\"\n[[claim]]\nclaim = \"It is so\"\neffect = \"a lot\"\n\
                  metric = \"accuracy\"\nmethod = \"a\"\nagainst = \"b\"\nabove = 0.0\n";
    fs::create_dir_all(place.path("experiments/one")).unwrap();
    let long = results(1, 10_000);
    for at in 0..10 {
        fs::write(place.path(&format!("experiments/one/{at}.toml")), claims).unwrap();
        let folder = place.path(&format!("results/one-{at}/2026-01-01"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("runs.csv"), &long).unwrap();
    }
    for args in [&["report", "wide.csv", "--out", "page.html"][..], &["claims", "--out", "page.md"]]
    {
        for signal in signals() {
            ends(silent(&place, args), Duration::from_millis(50), *signal);
        }
    }
    let pages = ["page.html", "page.md"].map(|page| place.path(page).exists());
    assert_eq!((pages, parts(&place.path(""))), ([false; 2], Vec::<String>::new()));
}

/// The incomplete files in a folder.
fn parts(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().to_string());
    names.filter(|name| name.ends_with(".part")).collect()
}

#[test]
fn what_a_signal_interrupts_leaves_nothing_half_written() {
    let place = Place::new();
    fs::write(place.path("many.csv"), results(600, 2)).unwrap();
    for round in 0..10 {
        let out = format!("plots-{round}");
        let mut child = silent(&place, &["plot", "many.csv", "--out", &out]);
        let begun = Instant::now();
        let written = || fs::read_dir(place.path(&out)).into_iter().flatten().count();
        while written() < 20 && child.try_wait().expect("it is asked").is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not begin");
            sleep(Duration::from_millis(1));
        }
        kill(child.id(), "-TERM");
        child.wait().expect("it ends");
        assert_eq!(parts(&place.path(&out)), Vec::<String>::new(), "round {round}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new();
    for script in ["BENCH list | true", "BENCH --help | true", "BENCH budget default | head -1"] {
        let script = format!("{script}; exit $?");
        let output = shell(&place, &script).output().expect("a shell is there");
        let err = String::from_utf8_lossy(&output.stderr).to_string();
        assert!(output.status.success() && !err.contains("panicked"), "{script}: {err}");
    }
    let output = shell(&place, "BENCH list >&-").output().expect("a shell is there");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_behind_the_output_is_an_error() {
    let place = Place::new();
    for args in ["list", "--help", "--version", "table --help"] {
        let command = format!("BENCH {args} > /dev/full");
        let (_, err) = ended(&shell(&place, &command).output().expect("a shell"), 2);
        assert!(err.contains("error: standard output: No space left"), "{args}: {err}");
    }
    let output = shell(&place, "BENCH table nothing.csv 2> /dev/full").output().expect("a shell");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn names_do_not_command_the_terminal() {
    let place = Place::new();
    let row = "s,digits,vit,\u{1b}[2Jevil,r,0,test,accuracy,0.9,1,1,1,1,1,flex,a,0\n";
    fs::write(place.path("evil.csv"), format!("{HEAD}{row}")).expect("it can be written");
    for format in ["text", "md", "tex", "csv", "json"] {
        let (out, _) = ended(&place.run(&["table", "evil.csv", "--format", format]), 0);
        assert!(out.contains("evil") && !out.contains('\u{1b}'), "{format}: {out:?}");
    }
    for args in [
        &["cmp", "evil.csv", "\u{1b}[2Ja", "b"][..],
        &["list", "--\u{9b}2J\u{202e}"],
        &["\u{9b}2J\u{202e}"],
        &["table", "--format", "\u{9b}2J\u{202e}"],
    ] {
        let (_, err) = ended(&place.run(args), 2);
        assert!(!err.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{args:?}: {err:?}");
    }
    ended(&place.run(&["report", "evil.csv", "--out", "evil.html"]), 0);
    let html = fs::read_to_string(place.path("evil.html")).expect("it was written");
    assert!(!html.chars().any(|letter| letter.is_control() && letter != '\n' && letter != '\t'));
}
