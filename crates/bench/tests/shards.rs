//! The parts of a suite as separate processes on one folder of runs, as in a job array.

mod common;

use std::process::{Child, Stdio};

use common::{Place, SUITE, ended};

#[test]
fn eight_processes_at_once_on_one_folder_are_one_suite() {
    let suite =
        SUITE.replace("seeds = [0]", "seeds = [0, 1, 2]").replace("steps = 40", "steps = 12");
    let place = Place::with_suite(&suite);
    let run = |runs| ["run", "tiny.toml", "--threads", "1", "--runs", runs];
    ended(&place.run(&run("alone")), 0);
    let part = |k: usize| -> Child {
        let shard = format!("{k}/8");
        let mut command = place.bench(&run("runs"));
        command.args(["--shard", &shard]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    };
    let parts: Vec<Child> = (1..=8).map(part).collect();
    for part in parts {
        ended(&part.wait_with_output().expect("it ends"), 0);
    }
    // All runs exist: only the table remains to be made.
    let (out, err) = ended(&place.run(&run("runs")), 0);
    assert!(out.contains("loss-free") && !err.contains("the table lacks"), "{out}{err}");
    assert_eq!(place.outcomes("runs").len(), 9);
    assert_eq!(place.outcomes("runs"), place.outcomes("alone"));
    let left: Vec<_> =
        place.runs("runs").into_iter().flat_map(|run| std::fs::read_dir(run).unwrap()).collect();
    let names =
        left.into_iter().map(|entry| entry.unwrap().file_name().to_string_lossy().to_string());
    let parts: Vec<String> = names.filter(|name| name.contains(".part")).collect();
    assert!(parts.is_empty(), "{parts:?}");
}
