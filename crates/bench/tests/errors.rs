//! Every user error ends with one clear message and exit code 2, and does no harm.

mod common;

use std::fs;

use common::{Place, ended, error};

#[test]
fn unknown_names_list_the_known_ones() {
    let place = Place::new();
    let run = ["run", "tiny.toml"];
    for (more, expected) in [
        (["--set", "moe.router=swich"], "no router is named \"swich\"; known: top-k, switch"),
        (["--set", "task=digit"], "no task is named \"digit\"; known: digits, tanaka-lm"),
        (["--set", "backbone=vitt"], "no backbone is named \"vitt\"; known: vit"),
        (["--set", "moe.expert=fnn"], "no expert is named \"fnn\"; known: ffn"),
        (["--set", "moe.residual=ad"], "no residual rule is named \"ad\"; known: add"),
        (["--set", "train.stps=1"], "unknown key `stps`, expected one of `steps`"),
        (["--set", "moe.router.kk=1"], "kk: unknown key `kk`, expected"),
        (["--set", "train.steps=many"], "expected a whole number, 0 or larger, not \"many\""),
        (["--set", "train.schedule=cos"], "unknown value `cos`, expected one of `constant`"),
        (["--set", "moe.layers=evry 2"], "expected \"every N\", \"last N\""),
        (["--set", "backbone.heads=3"], "heads = 3 does not divide width = 8"),
        (
            ["--device", "tpu"],
            "no device is named \"tpu\"; known: flex, flex:fast, wgpu, vulkan, cuda:0",
        ),
        (["--only", "router=soft"], "no run matches; known: switch, random, loss-free"),
        (["--shard", "3/2"], "expected K/N"),
        (["--threads", "0"], "'--threads <N>': must be from 1 to 1024"),
        (["--seeds", "0,3,0"], "--seeds: seed 0 is listed twice"),
        (["--seeds", "5..5"], "\"5..5\" is empty"),
    ] {
        let err = error(&place, &[&run[..], &more].concat());
        assert!(err.contains(expected), "{more:?}: {err}");
    }
    let merging = ["--set", "moe.router=lory", "--set", "moe.expert={kind='low-rank', hidden=8}"];
    let err = error(&place, &[&run[..], &merging].concat());
    assert!(err.contains("expert \"low-rank\" has none"), "{err}");
    let half = ["--set", "moe.expert_dtype=bf16", "--set"];
    for (what, expected) in [
        (
            "moe.expert={kind='low-rank', hidden=8}",
            "expert_dtype = bf16: requires experts of two or three matrices",
        ),
        ("moe.router=lory", "the router mixes the matrices of experts only in f32"),
        ("moe.expert_dtype=f8", "unknown value `f8`, expected one of `f32`, `bf16`, `f16`"),
    ] {
        let err = error(&place, &[&run[..], &half, &[what]].concat());
        assert!(err.contains(expected), "{what}: {err}");
    }
    let err = error(&place, &[&run[..], &["--set", "moe.router={kind='top-k', k=5}"]].concat());
    assert!(err.contains("k = 5") && err.contains("experts = 4"), "{err}");
    assert!(error(&place, &["run", "defalt"]).contains("known: default, smoke"));
    assert!(place.runs("runs").is_empty(), "nothing was begun");
}

#[test]
fn options_without_effect_are_refused() {
    let place = Place::new();
    for (call, option) in [
        (&["table", "--jobs", "2"][..], "--jobs"),
        (&["cmp", "a", "b", "--trace"], "--trace"),
        (&["budget", "--jobs", "2"], "--jobs"),
        (&["prune", "x", "--ratio", "0.5", "--publish"], "--publish"),
        (&["claims", "--runs", "x"], "--runs"),
        (&["--smoke", "claims"], "claims"),
    ] {
        let err = error(&place, call);
        assert!(err.contains(option) && err.contains("Usage: "), "{call:?}: {err}");
    }
    let missing = error(&place, &["table", "none.csv"]);
    assert_eq!(missing.matches("No such file").count(), 1, "{missing}");
}

#[test]
fn a_misspelt_key_is_named_with_file_and_line() {
    let place = Place::with_suite(
        "[[task]]\ntask = \"digits\"\nbackbone = \"vit\"\n\n[[method]]\nmoe.router = \"top-k\"\n\
         moe.expertz = 3\n",
    );
    let err = error(&place, &["run", "tiny.toml"]);
    assert!(err.starts_with("error: tiny.toml:7: unknown key `expertz`, expected one of"), "{err}");
    let twice = "seeds = [1, 1]\n[[task]]\ntask = \"digits\"\nbackbone = \"vit\"\n[[method]]\nname = \"a\"\n";
    fs::write(place.path("tiny.toml"), twice).unwrap();
    let err = error(&place, &["run", "tiny.toml"]);
    assert!(err.contains("tiny.toml:1: seed 1 is listed twice"), "{err}");
    fs::write(place.path("tiny.toml"), "seeds = [0\n").unwrap();
    assert!(error(&place, &["run", "tiny.toml"]).starts_with("error: tiny.toml:1: "));
}

#[test]
fn a_damaged_checkpoint_is_refused_and_the_others_are_intact() {
    let place = Place::new();
    ended(&place.run(&["run", "tiny.toml"]), 0);
    let (before, runs) = (place.outcomes("runs"), place.runs("runs"));
    // The state after the first run was interrupted and its checkpoint truncated.
    fs::remove_file(runs[0].join("result.json")).unwrap();
    let checkpoint = runs[0].join("checkpoint.bin");
    let bytes = fs::read(&checkpoint).unwrap();
    fs::write(&checkpoint, &bytes[..bytes.len() / 2]).unwrap();
    let (table, err) = ended(&place.run(&["run", "tiny.toml"]), 2);
    assert!(err.contains("checkpoint.bin is damaged: its checksum is wrong; remove it"), "{err}");
    let lacking = "the table lacks 1 of 3 runs, because of the error that is printed last";
    assert!(err.contains(lacking), "{err}");
    let rows = ["switch", "random", "loss-free"].iter().filter(|name| table.contains(**name));
    assert_eq!(rows.count(), 2, "the others have their rows: {table}");
    fs::remove_file(&checkpoint).unwrap();
    ended(&place.run(&["run", "tiny.toml"]), 0);
    assert_eq!(place.outcomes("runs"), before);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let place = Place::new();
    fs::write(place.path("file"), "").unwrap();
    let err = error(&place, &["run", "tiny.toml", "--runs", "file/runs"]);
    assert!(err.contains("runs folder file/runs"), "{err}");
}

#[test]
#[cfg(unix)]
fn a_full_disk_leaves_nothing_half_written() {
    let place = Place::new();
    ended(&place.run(&["run", "tiny.toml", "--only", "router=switch"]), 0);
    let before = place.outcomes("runs");
    // No file may exceed 8 blocks: the checkpoint of the next run does not fit.
    let program = env!("CARGO_BIN_EXE_bench");
    let script = format!("trap '' XFSZ; ulimit -f 8; exec {program} run tiny.toml");
    let mut command = std::process::Command::new("sh");
    let command = command.args(["-c", &script]).current_dir(place.path("."));
    let (_, err) = ended(&command.output().unwrap(), 2);
    assert!(err.contains("checkpoint.bin: File too large"), "{err}");
    for run in place.runs("runs") {
        for file in fs::read_dir(run).unwrap().flatten() {
            assert!(!file.file_name().to_string_lossy().ends_with(".part"), "{file:?}");
        }
    }
    ended(&place.run(&["run", "tiny.toml"]), 0);
    let after = place.outcomes("runs");
    assert!(before.iter().all(|run| after.contains(run)));
    ended(&place.run(&["run", "tiny.toml", "--runs", "whole"]), 0);
    assert_eq!(after, place.outcomes("whole"));
}

#[test]
fn a_run_that_diverges_is_a_gap_and_the_others_go_on() {
    let place = Place::with_suite(
        r#"
seeds = [0]
[base]
train = { steps = 30, batch = 8, warmup = 0, clip = 0.0, log_every = 5 }
[[task]]
task = "digits"
backbone = { kind = "vit", patch = 4, width = 8, depth = 2, heads = 2 }
[[method]]
name = "wild"
train.lr = 1e30
[[method]]
name = "tame"
"#,
    );
    let (table, err) = ended(&place.run(&["run", "tiny.toml"]), 0);
    assert!(err.starts_with("wild, digits, seed 0: failed at step "), "{err}");
    assert!(err.contains("the loss is"), "{err}");
    assert!(table.contains("failed") && table.contains("tame"), "{table}");
    let (again, _) = ended(&place.run(&["run", "tiny.toml"]), 0);
    assert_eq!(table, again);
    let (_, err) = ended(&place.run(&["run", "tiny.toml", "--only", "method=wild"]), 2);
    assert!(err.contains("error: all 1 runs have failed"), "{err}");
    let (_, err) = ended(&place.run(&["table", "tiny.toml", "--method", "tme"]), 2);
    assert!(err.contains("no method is named \"tme\"; known: wild, tame"), "{err}");
}

#[test]
fn results_without_rows_and_committed_ones_are_named() {
    let place = Place::new();
    let head = "suite,task,backbone,method,router,seed,split,metric,value,step,params,active_params,\
                flops_per_token,seconds,device,revision,run\n";
    std::fs::write(place.path("empty.csv"), head).unwrap();
    let (_, err) = ended(&place.run(&["table", "empty.csv"]), 2);
    assert!(err.contains("error: empty.csv: no run has ended yet"), "{err}");
    let folder = place.path("results/default/2026-01-01");
    std::fs::create_dir_all(&folder).unwrap();
    let row = "default,t,n,a,r,0,test,accuracy,0.5,1,1,1,1,1,cpu,x,a0\n";
    std::fs::write(folder.join("runs.csv"), format!("{head}{row}")).unwrap();
    let (_, err) = ended(&place.run(&["table"]), 0);
    assert_eq!(err, "committed results: results/default/2026-01-01/runs.csv\n");
}

#[test]
fn a_measure_that_is_no_number_is_a_failed_run_and_the_others_go_on() {
    let place = Place::with_suite(
        r#"
seeds = [0, 1]
[base]
train = { steps = 1, batch = 8, warmup = 0 }
[[task]]
task = "digits"
backbone = { kind = "vit", patch = 4, width = 8, depth = 2, heads = 2 }
[[method]]
name = "wild"
train.lr = 1e30
[[method]]
name = "tame"
"#,
    );
    let cause = "wild, digits, seed 1: failed at step 1, loss on the valid split is NaN";
    for _ in 0..2 {
        let (table, err) = ended(&place.run(&["run", "tiny.toml", "--format", "md"]), 0);
        assert!(err.contains(cause), "{err}");
        let row = |name: &str| table.lines().find(|line| line.starts_with(&format!("| {name} |")));
        assert!(row("wild").unwrap().contains("failed"), "{table}");
        assert!(row("tame").unwrap().contains("0."), "{table}");
    }
    // In the ranking it has the last rank, and is not missing.
    let (ranking, _) = ended(&place.run(&["rank", "tiny.toml", "--format", "csv"]), 0);
    let rows: Vec<Vec<&str>> =
        ranking.lines().skip(1).map(|line| line.split(',').take(2).collect()).collect();
    assert_eq!(rows, [["tame", "1"], ["wild", "2"]], "{ranking}");
    // A setting that fails is ranked last, and is not missing.
    let tuned = "[tune]\ntrials = 2\nmetric = \"loss\"\n[tune.keys]\ntrain.lr = [1e30, 1e-3]\n";
    let suite = fs::read_to_string(place.path("tiny.toml")).unwrap().replace("train.lr = 1e30", "");
    fs::write(place.path("tiny.toml"), suite + tuned).unwrap();
    let (_, err) = ended(&place.run(&["run", "tiny.toml"]), 0);
    assert!(err.contains("digits, wild: best of 2 settings: train.lr=0.001"), "{err}");
}

#[test]
fn data_that_are_not_there_are_named() {
    let place = Place::new();
    let text = ["run", "tiny.toml", "--set", "task=text-lm", "--set", "backbone=transformer-lm"];
    assert!(error(&place, &text).contains("give the data folder with --data-dir"));
    let err = error(&place, &[&text[..], &["--data-dir", "nowhere"]].concat());
    assert!(err.contains("cannot read nowhere/tinyshakespeare/input.txt"), "{err}");
    let images = ["run", "tiny.toml", "--data-dir", "nowhere", "--set"];
    for (task, expected) in [
        (
            "task=mnist",
            "mnist needs train-images-idx3-ubyte or train-images-idx3-ubyte.gz, which is",
        ),
        ("task=cifar-10", "not in nowhere/cifar-10-batches-bin or nowhere/cifar-10 or"),
        ("task=omniglot", "get python/images_background_small1.zip and small2.zip from"),
        ("task=image-folder", "cannot read nowhere/images"),
    ] {
        let err = error(&place, &[&images[..], &[task]].concat());
        assert!(err.contains(expected), "{task}: {err}");
    }
    assert!(place.runs("runs").is_empty(), "nothing was begun");
}

#[test]
fn settings_of_images_that_do_not_fit_are_named() {
    let place = Place::new();
    for (setting, expected) in [
        ("task.train=5000", "train = 5000: class 0 has only 108 images in this split"),
        ("task.side=0", "side = 0: must be from 1 to"),
        ("task.classes=[3, 12]", "classes: 12: must be below 10, and listed once"),
        ("task.augment.crop=8", "augment.crop = 8: images have only 8 x 8 pixels"),
        ("task.augment.flpi=true", "unknown key `flpi`"),
        ("task.corrupt=contrast 6", "expected a name and a severity of 1 to 5"),
    ] {
        let err = error(&place, &["run", "tiny.toml", "--set", setting]);
        assert!(err.contains(expected), "{setting}: {err}");
    }
}

#[test]
fn a_text_has_as_many_windows_as_rows() {
    let place = Place::with_suite(
        "[[task]]\ntask = { kind = \"tanaka-lm\", stream = \"contiguous\" }\n\
         backbone = \"transformer-lm\"\n[[method]]\nmoe.router = \"top-k\"\n",
    );
    let err = error(&place, &["run", "tiny.toml", "--set", "train.batch=1000000"]);
    let expected = "batch = 1000000: must be at most ";
    assert!(err.contains(expected), "{err}");
}

/// A network of `ranks` ranks as TOML.
fn network(ranks: &str, alpha: &str) -> String {
    format!(
        "[[rank]]\nflops = 1e12\n[[level]]\nname = \"all\"\nranks = {ranks}\nalpha = {alpha}\nbeta = 1e9\n"
    )
}

#[test]
fn numbers_that_cannot_be_simulated_are_refused() {
    let place = Place::new();
    fs::write(place.path("huge.toml"), network("9000000000000000000", "1e-6")).unwrap();
    let call = ["simulate", "--trace", "runs/none", "--topology", "huge.toml", "--ranks"];
    for (more, expected) in [
        (&["0"][..], "--ranks 0: must be from 1 to 65536"),
        (&["8,1000000"], "--ranks 1000000: must be from 1 to 65536"),
        (&["9000000000000000000"], "--ranks 9000000000000000000: must be from 1 to 65536"),
        (&["8", "--copies", "100000000000"], "--copies 100000000000: must be at most 65536"),
        (&["8", "--copies", "18446744073709551615"], "18446744073709551615: must be at most 65536"),
        (&["8", "--tokens", "0"], "--tokens 0: must be from 1 to 4294967296"),
        (&["8", "--tokens", "100000000000"], "--tokens 100000000000: must be from 1 to 4294967296"),
        (&["8", "--tokens", "18446744073709551615"], "must be from 1 to 4294967296"),
        (&["8", "--width", "18446744073709551615"], "must be from 1 to 1048576"),
        (&["8", "--hidden", "18446744073709551615"], "must be from 1 to 1048576"),
        (&["8", "--repeat", "18446744073709551615"], "must be from 1 to 10000"),
        (&["8", "--gain", "1"], "--gain 1: must be from 0 to below 1"),
        (&["8", "--gain", "nan"], "--gain NaN: must be from 0 to below 1"),
        (&["8"], "runs/none/trace: no traces; train the run with --trace"),
    ] {
        let err = error(&place, &[&call[..], more].concat());
        assert!(err.contains(expected), "{more:?}: {err}");
    }
    let err = error(&place, &["simulate", "--trace", "runs/none", "--ranks", "8"]);
    assert!(err.contains("--topology FILE is required"), "{err}");
    fs::write(place.path("small.toml"), network("4", "1e-6")).unwrap();
    fs::write(place.path("endless.toml"), network("4", "inf")).unwrap();
    for (file, expected) in [
        ("small.toml", "--ranks 8: must be from 1 to 4, the ranks of small.toml"),
        ("endless.toml", "endless.toml:6: inf is not a finite number"),
    ] {
        let call = ["simulate", "--trace", "runs/none", "--topology", file, "--ranks", "8"];
        let err = error(&place, &call);
        assert!(err.contains(expected), "{file}: {err}");
    }
}

#[test]
fn routers_without_a_choice_are_not_simulated_and_ranks_without_an_engine_are_noted() {
    let place = Place::with_suite(
        r#"
seeds = [0]
[base]
moe = { layers = "last 1", experts = 4, expert = { kind = "ffn", hidden = 8 } }
train = { steps = 2, batch = 8, warmup = 0 }
[[task]]
task = "digits"
backbone = { kind = "vit", patch = 4, width = 8, depth = 2, heads = 2 }
[[method]]
moe.router = "switch"
[[method]]
moe.router = "soft"
"#,
    );
    ended(&place.run(&["run", "tiny.toml", "--trace"]), 0);
    fs::write(place.path("t.toml"), network("65536", "1e-6")).unwrap();
    let of = |router: &str| {
        let is = |run: &std::path::PathBuf| {
            let config = fs::read_to_string(run.join("config.json")).unwrap();
            config.contains(&format!("\"method\": \"{router}\""))
        };
        place.runs("runs").into_iter().find(is).unwrap().to_string_lossy().to_string()
    };
    let (soft, switch) = (of("soft"), of("switch"));
    let call = |run: &str, ranks: &str| {
        ["simulate", "--trace", run, "--topology", "t.toml", "--gain", "0.1", "--ranks", ranks]
            .map(str::to_string)
    };
    let args = call(&soft, "8");
    let err = error(&place, &args.each_ref().map(|arg| &**arg));
    assert!(err.contains("layer 0 has all 4 experts for each unit"), "{err}");
    // The largest number of ranks takes little time.
    let args = call(&switch, "2,3,65536");
    let (out, _) = ended(&place.run(&args.each_ref().map(|arg| &**arg)), 0);
    assert!(
        out.contains("\n3 ranks cannot share the experts equally: the engine does not"),
        "{out}"
    );
    assert!(
        out.contains("\n65536 ranks are more than the experts, so experts are copied"),
        "{out}"
    );
    for placement in ["contiguous", "round-robin", "load-aware", "replicated", "the best placement"]
    {
        assert!(out.contains(&format!("\n{placement}: the skew costs ")), "{placement}: {out}");
    }
}

#[test]
fn large_plans_and_deep_keys_are_refused_at_once() {
    let place = Place::new();
    let err = error(&place, &["run", "tiny.toml", "--seeds", "0..100000"]);
    assert!(err.contains("are 300000 runs; at most 20000 are allowed"), "{err}");
    // Only the selected seeds are planned.
    let err = error(
        &place,
        &["run", "tiny.toml", "--seeds", "0..100000", "--only", "seed=5", "--only", "router=nope"],
    );
    assert!(err.contains("--only router=nope: no run matches"), "{err}");
    let deep = format!("{}=1", vec!["a"; 60_000].join("."));
    let err = error(&place, &["budget", "tiny.toml", "--set", &deep]);
    assert!(err.contains("the key has 60000 parts; at most 64 are allowed"), "{err}");
}

#[test]
#[cfg(unix)]
fn pipes_in_the_place_of_files_are_refused() {
    let place = Place::new();
    let pipe = |name: &str| {
        let made = std::process::Command::new("mkfifo").arg(place.path(name)).status();
        assert!(made.expect("mkfifo starts").success());
    };
    pipe("pipe.toml");
    let err = error(&place, &["budget", "pipe.toml"]);
    assert!(err.contains("suite pipe.toml: not a regular file"), "{err}");
    pipe("page.md");
    fs::write(
        place.path("one.csv"),
        "suite,task,backbone,method,router,seed,split,metric,value,step,params,active_params,\
         flops_per_token,seconds,device,revision,run\ns,t,b,m,r,0,test,loss,1,1,1,1,1,1,flex,a,0\n",
    )
    .unwrap();
    let err = error(&place, &["report", "one.csv", "--splice", "page.md"]);
    assert!(err.contains("page.md: not a regular file"), "{err}");
}

#[test]
fn settings_reach_the_wanted_task_alone() {
    let suite = format!(
        "{}[[task]]\ntask = {{ kind = \"tanaka-lm\", length = 8 }}\n\
         backbone = {{ kind = \"transformer-lm\", width = 8, depth = 1, heads = 2 }}\n",
        common::SUITE
    );
    let place = Place::with_suite(&suite);
    let set = ["--set", "task.tokens=\"byte\""];
    let err = error(&place, &[&["budget", "tiny.toml"][..], &set].concat());
    assert!(err.contains("unknown key"), "{err}");
    let only = ["budget", "tiny.toml", "--only", "task=tanaka-lm"];
    let (out, _) = ended(&place.run(&[&only[..], &set].concat()), 0);
    assert!(out.contains("tanaka-lm") && !out.contains("digits"), "{out}");
}

#[test]
fn networks_answer_as_often_as_tasks_ask() {
    let games = "games = { train = 2, valid = 1, test = 1, minutes = 2, width = 4 }";
    let spotting =
        |loss: &str| format!("task={{ kind = \"action-spotting\", loss = {loss:?}, {games} }}");
    let place = Place::new();
    let refused = |task: &str, backbone: &str| {
        let set = ["moe.layers=none", task, &format!("backbone={backbone}")];
        let set = set.into_iter().flat_map(|assignment| ["--set", assignment]);
        let args: Vec<&str> = ["run", "tiny.toml"].into_iter().chain(set).collect();
        error(&place, &args)
    };
    let err = refused("task=digits", "temporal-transformer");
    let one = "backbone \"temporal-transformer\": the task needs one answer per image, but \
               the network gives 8";
    assert!(err.contains(one), "{err}");
    let err = refused(&spotting("bce"), "vit");
    let many = "backbone \"vit\": the task needs 200 answers per piece of a game, one for each \
                frame, but the network gives 1; ";
    assert!(err.contains(many), "{err}");
    let err = refused(&spotting("calf"), "temporal-transformer");
    assert!(
        err.contains("the loss calf needs spots in addition to frames; use the backbone calf"),
        "{err}"
    );
    assert!(place.runs("runs").is_empty(), "nothing is trained");
}
