//! The program as several processes of MPI, on this machine.
//!
//! This test is a separate program, like `killed`: with arguments of a suite it is `bench` with a task that
//! ends a process at a chosen access to its data. It needs OpenMPI, and the feature `mpi`.

mod common;
#[path = "common/fatal.rs"]
mod fatal;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
    time::{Duration, Instant},
};

use common::{Place, SUITE, ended};
use fatal::{COUNT, KILL_AFTER, KILL_AT, KILL_RANK, program};

/// OpenMPI over the loopback device, with more processes than processors.
const MPIRUN: [&str; 10] = [
    "--allow-run-as-root",
    "--oversubscribe",
    "--bind-to",
    "none",
    "--mca",
    "btl",
    "self,tcp",
    "--mca",
    "btl_tcp_if_include",
    "lo",
];

/// The time within which the other processes must end when one has died.
const SOON: Duration = Duration::from_secs(20);

/// The keys that make the last method of a suite a searched one.
const SEARCH: &str = r#"
name = "searched"
[search]
rank = 2
metric = "loss"
evolution = { population = 3, parents = 2, mutations = 2, crossovers = 1, iterations = 2 }
limit = { what = "params", at_most = 5000 }
[search.keys]
"moe.expert.hidden" = [4, 8, 12, 16]
"moe.experts" = [2, 3, 4]
[search.candidate]
train.steps = 5
"#;

/// A supernet of small decoders.
const SUPERNET: &str = r#"
seeds = [0]
[base]
moe.layers = "none"
train = { steps = 6, batch = 8, accumulate = 4, lr = 3e-3, warmup = 2, log_every = 2 }
[[task]]
task = { kind = "tanaka-lm", length = 32 }
[task.backbone]
kind = "supernet"
paths = "sandwich"
inner = 8
balance = 0.1
space = { decoder_width = [8, 12], decoder_layers = [1, 2], heads = [2, 4], experts = [1, 2], hidden = [6, 10] }
[[method]]
name = "sandwich"
"#;

fn this() -> PathBuf {
    std::env::current_exe().expect("this program has a path")
}

/// `mpirun` in the folder of a suite, without the command to start.
fn mpirun(place: &Place) -> Command {
    let mut command = Command::new("mpirun");
    command.args(MPIRUN).current_dir(place.path(""));
    command
}

/// The arguments of a run, with results in a folder.
fn run(runs: &str) -> Vec<String> {
    let args = ["run", "tiny.toml", "--threads", "1", "--runs", runs];
    args.iter().map(ToString::to_string).collect()
}

/// `count` processes on the suite.
fn ranks(place: &Place, count: usize, args: &[String]) -> Command {
    let mut command = mpirun(place);
    command.args(["-np", &count.to_string()]).arg(this()).args(args);
    command
}

fn output(mut command: Command) -> Output {
    command.output().expect("mpirun starts")
}

/// One process on the suite.
fn alone(place: &Place, args: &[String]) -> Output {
    let mut command = Command::new(this());
    output({
        command.args(args).current_dir(place.path(""));
        command
    })
}

/// A suite of one method, with shorter runs.
fn short(router: &str) -> String {
    let (head, _) = SUITE.split_once("[[method]]").expect("it has methods");
    let head = head.replace("\"digits\"", "\"fatal\"").replace("steps = 40", "steps = 16");
    let head = head.replace("eval_every = 20", "eval_every = 8");
    format!("{head}[[method]]\nmoe.router = \"{router}\"\n")
}

fn processes_have_the_bits_of_one() {
    let place = Place::with_suite(
        &SUITE.replace("\"digits\"", "\"fatal\"").replace("steps = 40", "steps = 20"),
    );
    ended(&alone(&place, &run("one")), 0);
    let (out, err) = ended(&output(ranks(&place, 2, &run("two"))), 0);
    assert_eq!(place.outcomes("two"), place.outcomes("one"));
    assert_eq!(out.matches("loss-free").count(), 1, "only one process prints: {out}");
    assert!(!err.contains("--set"), "two parts are there: {err}");
}

/// The network is wide enough that parameters are split; smaller parameters are not split.
fn moments_are_split_with_the_bits_of_one() {
    let wide = short("loss-free").replace("width = 8", "width = 24");
    let wide =
        wide.replace("hidden = 8", "hidden = 24").replace("accumulate = 2", "accumulate = 4");
    let place = Place::with_suite(&wide);
    ended(&alone(&place, &run("one")), 0);
    let split = |runs: &str| [&run(runs)[..], &["--split-moments".to_string()]].concat();
    for (count, runs) in [(2, "two"), (4, "four")] {
        ended(&output(ranks(&place, count, &split(runs))), 0);
        assert_eq!(place.outcomes(runs), place.outcomes("one"), "{count}");
    }
    // Killed, and resumed with another number of processes.
    let mut killed = ranks(&place, 4, &split("killed"));
    killed.env(KILL_AT, "7").env(KILL_RANK, "2");
    assert!(!output(killed).status.success());
    ended(&output(ranks(&place, 2, &split("killed"))), 0);
    assert_eq!(place.outcomes("killed"), place.outcomes("one"));
    // Moments are not split without other processes, nor for an optimizer without moments.
    let (_, err) = ended(&alone(&place, &split("one")), 2);
    assert!(err.contains("--split-moments: there is one process"), "{err}");
    let sgd = [&split("sgd")[..], &["--set".into(), "train.optimizer=\"sgd\"".into()]].concat();
    let (_, err) = ended(&output(ranks(&place, 2, &sgd)), 2);
    assert!(err.contains("no moments to split"), "{err}");
}

/// The error of a run that cannot begin affects only this run: all processes continue with the next.
fn after_a_run_that_cannot_begin_comes_the_next() {
    let (head, method) = short("loss-free").split_once("[[method]]").map_or_else(
        || panic!("it has a method"),
        |(head, method)| (head.to_string(), method.to_string()),
    );
    let wrong = format!("[[method]]\nname = \"wrong\"\ntrain.only = [\"nope\"]{method}");
    let place = Place::with_suite(&format!("{head}{wrong}[[method]]{method}"));
    let started = Instant::now();
    let (_, err) = ended(&output(ranks(&place, 2, &run("two"))), 2);
    assert!(started.elapsed() < 3 * SOON, "{:?}", started.elapsed());
    assert!(err.contains("\"nope\" has no trained parameters"), "{err}");
    let ended = |run: &&PathBuf| run.join("result.json").exists();
    assert_eq!(place.runs("two").iter().filter(ended).count(), 1, "the run behind it is trained");
}

fn without_a_flag_each_process_has_a_part() {
    let place = Place::with_suite(&short("loss-free").replace("accumulate = 2, ", ""));
    let (_, err) = ended(&output(ranks(&place, 4, &run("four"))), 0);
    assert!(err.contains("4 processes: adding --set train.accumulate=4"), "{err}");
    let parts = [&run("one")[..], &["--set".into(), "train.accumulate=4".into()]].concat();
    ended(&alone(&place, &parts), 0);
    assert_eq!(place.outcomes("four"), place.outcomes("one"));
}

/// The settings that advance depend on the results in the first process.
fn settings_are_tried_and_chosen_together() {
    let tune = "\n[tune]\ntrials = 3\nsearch = \"grid\"\nmetric = \"loss\"\nseeds = [100]\n\
                halving = { rungs = 2, factor = 2 }\n[tune.keys]\ntrain.lr = [1e-3, 3e-3, 1e-2]\n";
    let place = Place::with_suite(&format!("{}{tune}", short("loss-free")));
    let (one, _) = ended(&alone(&place, &run("one")), 0);
    let (two, _) = ended(&output(ranks(&place, 2, &run("two"))), 0);
    assert_eq!(place.runs("two").len(), 6, "three trials, two of them again, and the chosen one");
    assert_eq!(place.outcomes("two"), place.outcomes("one"));
    assert_eq!(tuned(&two), tuned(&one));
}

/// The line below a table that names the chosen settings.
fn tuned(text: &str) -> Option<&str> {
    let line = text.lines().find(|line| line.starts_with("Tuned on"));
    assert!(line.is_some(), "{text}");
    line
}

fn workers_are_shared_out() {
    for (penalty, counts) in [("edit", &[2, 4][..]), ("mean", &[2])] {
        let workers = format!(
            "workers = {{ count = 4, local_steps = 3, warmup = 4, ewma_warmup = 2, penalty = {penalty:?} }}, "
        );
        let place = Place::with_suite(&short("loss-free").replace("accumulate = 2, ", &workers));
        ended(&alone(&place, &run("one")), 0);
        for count in counts {
            let runs = format!("on-{count}");
            ended(&output(ranks(&place, *count, &run(&runs))), 0);
            assert_eq!(place.outcomes(&runs), place.outcomes("one"), "{penalty}, {count}");
        }
        // Killed during the run, and resumed.
        let mut killed = ranks(&place, 2, &run("killed"));
        killed.env(KILL_AT, "9").env(KILL_RANK, "1");
        assert!(!output(killed).status.success());
        ended(&output(ranks(&place, 4, &run("killed"))), 0);
        assert_eq!(place.outcomes("killed"), place.outcomes("one"), "{penalty}");
    }
}

fn a_process_that_dies_ends_the_others_and_the_run_goes_on() {
    let place = Place::with_suite(&short("deepseek-v3"));
    let count = place.path("count");
    let mut whole = ranks(&place, 2, &run("whole"));
    whole.env(COUNT, &count);
    ended(&output(whole), 0);
    let accesses: usize = fs::read_to_string(&count).unwrap().parse().expect("a count");
    assert!(accesses >= 16, "{accesses}");
    for (rank, at) in [(1, 3), (1, 11), (0, 9), (0, 15)] {
        let runs = format!("killed-{rank}-{at}");
        let mut killed = ranks(&place, 2, &run(&runs));
        killed.env(KILL_AT, at.to_string()).env(KILL_RANK, rank.to_string());
        let started = Instant::now();
        let output = output(killed);
        let text = String::from_utf8_lossy(&output.stderr).to_string();
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        assert!(!output.status.success() && text.contains("signal 9"), "{text}");
        assert!(place.runs(&runs).iter().all(|run| !run.join("result.json").exists()));
        ended(&self::output(ranks(&place, 2, &run(&runs))), 0);
        assert_eq!(place.outcomes(&runs), place.outcomes("whole"), "{runs}");
    }
}

/// Kills one of two processes at moments spread over a run, wherever it is, even in an exchange.
#[allow(clippy::print_stdout, reason = "there is no harness that says what was tested")]
fn killed_at_any_time_the_run_goes_on(rounds: u32) {
    let place = Place::with_suite(&short("deepseek-v3"));
    let started = Instant::now();
    ended(&output(ranks(&place, 2, &run("whole"))), 0);
    let (whole, mut kills) = (started.elapsed(), 0);
    for round in 1..=rounds {
        let runs = format!("killed-{round}");
        let mut killed = ranks(&place, 2, &run(&runs));
        let after = (whole * round / (rounds + 1)).as_millis();
        killed.env(KILL_AFTER, after.to_string()).env(KILL_RANK, (round % 2).to_string());
        let started = Instant::now();
        let output = output(killed);
        assert!(started.elapsed() < whole + SOON, "{:?}", started.elapsed());
        kills += usize::from(!output.status.success());
        ended(&self::output(ranks(&place, 2, &run(&runs))), 0);
        assert_eq!(place.outcomes(&runs), place.outcomes("whole"), "{runs}: after {after} ms");
    }
    assert!(kills > 0, "no process was killed within {whole:?}");
    println!("{kills} of {rounds} were killed");
}

/// Two processes with different arguments, programs or folders.
fn two(place: &Place, first: (&Path, &[String]), second: (&Path, &[String], &str)) -> String {
    let mut command = mpirun(place);
    command.args(["-np", "1"]).arg(first.0).args(first.1);
    command.args([":", "-np", "1", "-wdir", second.2]).arg(second.0).args(second.1);
    let (out, err) = ended(&output(command), 2);
    assert!(out.is_empty(), "{out}");
    assert_eq!(err.matches("error: ").count(), 1, "one process speaks: {err}");
    err
}

fn processes_that_differ_are_refused() {
    let place = Place::with_suite(&short("loss-free"));
    let (here, this) = (place.path(""), this());
    let here = here.to_string_lossy();
    let args = run("runs");
    let other = [&args[..], &["--set".into(), "train.lr=0.01".into()]].concat();
    let err = two(&place, (&this, &args), (&this, &other, &here));
    assert!(
        err.contains("settings (SHA-256): process 0 has") && err.contains("process 1 has"),
        "{err}"
    );

    let mut program = fs::read(&this).expect("this program can be read");
    program.push(0);
    let copy = place.path("copy");
    fs::write(&copy, program).expect("a program can be written");
    ended(
        &output({
            let mut command = Command::new("chmod");
            command.arg("+x").arg(&copy);
            command
        }),
        0,
    );
    let err = two(&place, (&this, &args), (&copy, &args, &here));
    assert!(err.contains("program (SHA-256): process 0 has"), "{err}");

    let elsewhere = place.path("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder");
    fs::copy(place.path("tiny.toml"), elsewhere.join("tiny.toml")).expect("a copy");
    let err = two(&place, (&this, &args), (&this, &args, &elsewhere.to_string_lossy()));
    assert!(
        err.contains("error: process 1: --runs ") && err.contains("/elsewhere/runs: "),
        "{err}"
    );
    let err = two(&place, (&this, &args), (&this, &run("other"), &here));
    assert!(
        err.contains("error: process 1: --runs ") && err.contains("/other: process 0 "),
        "{err}"
    );
    assert!(err.contains("/runs; all processes need the same folder"), "{err}");
    let split = [&args[..], &["--split-moments".into()]].concat();
    let err = two(&place, (&this, &args), (&this, &split, &here));
    assert!(err.contains("--split-moments: process 0 has false, process 1 has true"), "{err}");

    fs::remove_file(elsewhere.join("tiny.toml")).expect("it is there");
    let err = two(&place, (&this, &args), (&this, &args, &elsewhere.to_string_lossy()));
    assert!(err.contains("process 1: suite tiny.toml"), "{err}");
    assert!(!place.path("runs").exists() && !place.path("other").exists(), "nothing was made");
}

fn processes_with_other_data_are_refused() {
    let suite = "[base]\nmoe.layers = \"none\"\ntrain = { steps = 4, batch = 4, accumulate = 2, warmup = 1 }\n\
                 [[task]]\ntask = { kind = \"text-lm\", file = \"a.txt\", length = 8 }\n\
                 backbone = { kind = \"transformer-lm\", width = 8, depth = 1, heads = 2 }\n[[method]]\n";
    let place = Place::with_suite(suite);
    let with = |folder: &str, text: &str| {
        fs::create_dir(place.path(folder)).expect("a folder");
        fs::write(place.path(folder).join("a.txt"), text.repeat(200)).expect("a text");
        [&run("runs")[..], &["--data-dir".into(), folder.into()]].concat()
    };
    let (here, this) = (place.path(""), this());
    let (first, second) = (with("one", "experts agree. "), with("two", "experts differ. "));
    let err = two(&place, (&this, &first), (&this, &second, &here.to_string_lossy()));
    assert!(err.contains("data (SHA-256): process 0 has"), "{err}");
}

fn what_cannot_be_shared_out_is_refused() {
    let place = Place::with_suite(&short("loss-free"));
    let few = "train.batch = 2: 4 processes are more than the examples of a step; possible: 1 or 2 \
               processes";
    let uneven = "train.batch = 6: 4 processes cannot share the examples of a step equally; possible: \
                  1, 2, 3 or 6 processes";
    let parts = "train.accumulate = 2: 4 processes cannot share the parts equally; possible: 1 or 2 \
                 processes, or accumulate = 4 or 8";
    for (sets, expected) in [
        (&["train.batch=2"][..], few),
        (&["train.batch=2", "train.accumulate=1"], few),
        (&["train.batch=6"], uneven),
        (&["train.batch=6", "train.accumulate=1"], uneven),
        (&["train.batch=8"], parts),
    ] {
        let sets = sets.iter().flat_map(|set| ["--set".to_string(), set.to_string()]);
        let args: Vec<String> = run("runs").into_iter().chain(sets).collect();
        let (out, err) = ended(&output(ranks(&place, 4, &args)), 2);
        assert!(err.contains(&format!("method \"loss-free\": {expected}")), "{args:?}: {err}");
        assert!(out.is_empty() && err.matches("error: ").count() == 1, "one process speaks: {err}");
    }
    assert!(!place.path("runs").exists(), "nothing was made");
}

/// The next candidates of a search depend on the previous ones.
fn a_search_is_for_one_process() {
    let place = Place::with_suite(&format!("{}{SEARCH}", short("loss-free")));
    let (out, err) = ended(&output(ranks(&place, 2, &run("runs"))), 2);
    assert!(out.is_empty() && err.matches("error: ").count() == 1, "one process speaks: {err}");
    let expected =
        "error: 2 processes: suite \"tiny.toml\" has [search], where each candidate depends";
    assert!(err.contains(expected), "{err}");
    assert!(!place.path("runs").exists(), "nothing was made");
    let shard = [&run("runs")[..], &["--shard".into(), "1/2".into()]].concat();
    let (_, err) = ended(&alone(&place, &shard), 2);
    assert!(err.contains("error: --shard: suite \"tiny.toml\" has [search]"), "{err}");
}

/// A supernet that is trained with the sandwich rule: three passes over the examples of each part.
fn a_supernet_has_the_bits_of_one_process() {
    let place = Place::with_suite(SUPERNET);
    ended(&alone(&place, &run("one")), 0);
    for (count, runs) in [(2, "two"), (4, "four")] {
        ended(&output(ranks(&place, count, &run(runs))), 0);
        assert_eq!(place.outcomes(runs), place.outcomes("one"), "{count}");
    }
}

/// The engine of expert parallelism, on the routing of a run, with one expert for each of four processes.
fn expert_parallelism_has_the_numbers_of_one_process() {
    let place = Place::with_suite(&short("switch"));
    ended(&alone(&place, &[run("one"), vec!["--trace".to_string()]].concat()), 0);
    let traced = place.runs("one").remove(0);
    for count in [2, 4] {
        let mut command = mpirun(&place);
        command.args(["-np", &count.to_string(), env!("CARGO_BIN_EXE_bench"), "simulate"]);
        command.args(["--json", "--tokens", "64", "--width", "8", "--hidden", "8"]);
        command.args(["--repeat", "1", "--trace"]).arg(&traced);
        let (out, _) = ended(&output(command), 0);
        let found: serde_json::Value = serde_json::from_str(&out).expect("one process prints");
        let difference = found["measured"]["difference"].as_f64();
        assert!(difference.is_some_and(|gap| gap < 1e-5), "{count}: {out}");
    }
}

/// A measure of the only run in a folder, by its split and name.
fn measure(place: &Place, runs: &str, name: [&str; 2]) -> f64 {
    let outcome = &place.outcomes(runs)[0].2;
    let metrics = outcome["metrics"].as_array().expect("it has measures");
    let found =
        metrics.iter().find(|metric| [0, 1].map(|at| metric[at].as_str()) == name.map(Some));
    found.and_then(|metric| metric[2].as_f64()).expect("it is measured")
}

/// A run whose experts are split among processes has the same numbers as in one process, up to rounding.
fn experts_are_split_with_the_numbers_of_one() {
    let suite = short("loss-free").replace("experts = 4,", "experts = 4, expert_parallel = true,");
    let place = Place::with_suite(&suite.replace("lr = 3e-3", "lr = 3e-3, epsilon = 1e-3"));
    ended(&alone(&place, &run("one")), 0);
    let near = |runs: &str| {
        for name in [["valid", "loss"], ["test", "loss"]] {
            let gap = (measure(&place, runs, name) - measure(&place, "one", name)).abs();
            assert!(gap < 1e-3, "{runs}, {name:?}: {gap}");
        }
        let flops = |runs: &str| place.outcomes(runs)[0].2["forward_flops"].as_f64();
        assert_eq!(flops(runs), flops("one"), "every unit goes where it goes in one process");
    };
    ended(&output(ranks(&place, 2, &run("two"))), 0);
    near("two");
    // Killed, and resumed with one process: the checkpoint has all experts.
    let mut killed = ranks(&place, 2, &run("killed"));
    killed.env(KILL_AT, "11").env(KILL_RANK, "1");
    assert!(!output(killed).status.success());
    ended(&alone(&place, &run("killed")), 0);
    near("killed");
    let uneven = [&run("refused")[..], &["--set".into(), "moe.experts=3".into()]].concat();
    let (out, err) = ended(&output(ranks(&place, 2, &uneven)), 2);
    assert!(out.is_empty() && err.matches("error: ").count() == 1, "one process speaks: {err}");
    let expected =
        "moe.experts = 3: 2 processes cannot share them equally; possible: 1 or 3 processes";
    assert!(err.contains(expected), "{err}");
    assert!(!place.path("refused").exists(), "nothing was made");
}

#[allow(clippy::print_stdout, reason = "there is no harness that says what was tested")]
fn main() -> ExitCode {
    let rounds = match std::env::args().nth(1).as_deref() {
        Some("run") => return program(),
        Some("--list") => return ExitCode::SUCCESS,
        rounds => rounds.and_then(|rounds| rounds.parse().ok()),
    };
    if let Some(rounds) = rounds {
        killed_at_any_time_the_run_goes_on(rounds);
        return ExitCode::SUCCESS;
    }
    let tests: [(&str, fn()); 15] = [
        ("processes_have_the_bits_of_one", processes_have_the_bits_of_one),
        ("moments_are_split_with_the_bits_of_one", moments_are_split_with_the_bits_of_one),
        (
            "after_a_run_that_cannot_begin_comes_the_next",
            after_a_run_that_cannot_begin_comes_the_next,
        ),
        ("without_a_flag_each_process_has_a_part", without_a_flag_each_process_has_a_part),
        ("settings_are_tried_and_chosen_together", settings_are_tried_and_chosen_together),
        ("workers_are_shared_out", workers_are_shared_out),
        (
            "a_process_that_dies_ends_the_others_and_the_run_goes_on",
            a_process_that_dies_ends_the_others_and_the_run_goes_on,
        ),
        ("killed_at_any_time_the_run_goes_on", || killed_at_any_time_the_run_goes_on(4)),
        ("processes_that_differ_are_refused", processes_that_differ_are_refused),
        ("processes_with_other_data_are_refused", processes_with_other_data_are_refused),
        ("what_cannot_be_shared_out_is_refused", what_cannot_be_shared_out_is_refused),
        ("a_search_is_for_one_process", a_search_is_for_one_process),
        ("a_supernet_has_the_bits_of_one_process", a_supernet_has_the_bits_of_one_process),
        (
            "expert_parallelism_has_the_numbers_of_one_process",
            expert_parallelism_has_the_numbers_of_one_process,
        ),
        ("experts_are_split_with_the_numbers_of_one", experts_are_split_with_the_numbers_of_one),
    ];
    for (name, test) in tests {
        let started = Instant::now();
        test();
        println!("test {name} ... ok, {:.1} s", started.elapsed().as_secs_f64());
    }
    ExitCode::SUCCESS
}
