//! Signals, closed pipes and full disks end the program as they end others.
#![cfg(unix)]

mod common;

use std::{
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use common::{Place, SUITE, ended};

/// The program with these words, from a shell in the folder of the test.
fn shell(place: &Place, script: &str) -> Command {
    let mut command = Command::new("sh");
    let script = script.replace("BENCH", env!("CARGO_BIN_EXE_bench"));
    command.args(["-c", &script]).current_dir(place.path(""));
    command
}

/// Sends a signal to a child once it has written a file with this end, and waits for it.
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
        assert!(err.contains("the same command goes on"), "{err}");
    }
    let place = Place::with_suite(&SUITE.replace("steps = 40", "steps = 60"));
    // As nohup does.
    let ignoring = shell(&place, "trap '' HUP; exec BENCH run tiny.toml --threads 1");
    let (table, err) = ended(&signalled(&place, ignoring, "-HUP"), 0);
    assert!(table.contains("loss-free") && err.is_empty(), "{err}");
}

/// Whether programs that this one starts ignore a signal; bit 0 of the mask is signal 1, HUP; `man 5 proc`:
/// SigIgn.
fn ignores(signal: u32) -> bool {
    let bit = 1 << (signal - 1);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & bit > 0)
}

#[test]
fn verbs_that_train_nothing_end_on_the_first_signal() {
    let place = Place::new();
    // A script starts programs in the background with INT ignored, and they stay so.
    let signals = if ignores(2) { &["-TERM"][..] } else { &["-INT", "-TERM"] };
    for signal in signals {
        // It takes minutes, and reads no input.
        let mut command = place.bench(&["speed"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("the program starts");
        sleep(Duration::from_millis(400));
        assert!(child.try_wait().expect("it is asked").is_none(), "it has ended already");
        let sent = Instant::now();
        kill(child.id(), signal);
        let status = child.wait().expect("it ends");
        assert!(status.signal().is_some() && sent.elapsed() < Duration::from_secs(20), "{status}");
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
    let csv = "suite,task,backbone,method,router,seed,split,metric,value,step,params,active_params,\
               flops_per_token,seconds,device,revision,run\n";
    std::fs::write(place.path("evil.csv"), format!("{csv}{row}")).expect("it can be written");
    for format in ["text", "md", "tex", "csv", "json"] {
        let (out, _) = ended(&place.run(&["table", "evil.csv", "--format", format]), 0);
        assert!(out.contains("evil") && !out.contains('\u{1b}'), "{format}: {out:?}");
    }
    let (_, err) = ended(&place.run(&["cmp", "evil.csv", "\u{1b}[2Ja", "b"]), 2);
    assert!(!err.contains('\u{1b}'), "{err:?}");
    ended(&place.run(&["report", "evil.csv", "--out", "evil.html"]), 0);
    let html = std::fs::read_to_string(place.path("evil.html")).expect("it was written");
    assert!(!html.chars().any(|letter| letter.is_control() && letter != '\n' && letter != '\t'));
}
