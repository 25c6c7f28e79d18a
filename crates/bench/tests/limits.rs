//! Sizes and files in the arguments of verbs have limits: beyond them there is a message with exit code 2,
//! and no memory is taken.

mod common;

use std::fs;

use common::{Place, ended, error, model::tokenizer};

/// A file of tensors with `x` of four units of width 8.
fn units(place: &Place) {
    let header = r#"{"x":{"dtype":"F32","shape":[1,4,8],"data_offsets":[0,128]}}"#;
    let length = (header.len() as u64).to_le_bytes();
    fs::write(place.path("x"), [&length[..], header.as_bytes(), &[0; 128]].concat()).unwrap();
}

#[test]
fn sizes_of_measurements_and_routers_have_limits() {
    let place = Place::new();
    units(&place);
    let route = ["route", "--router", "top-k", "--input", "x", "--out", "o"];
    for (args, expected) in [
        (&["speed", "--tokens", "99999999999"][..], "--tokens 99999999999: must be from 1 to"),
        (&["speed", "--width", "4294967296"], "--width 4294967296: must be from 1 to"),
        (&["speed", "--experts", "0"], "--experts 0: must be from 1 to"),
        (&["speed", "--hidden", "100000", "--width", "100000"], "numbers; at most 1e9"),
        (&[&route[..], &["--experts", "99999999999"]].concat(), "must be from 1 to 100000"),
        (&["run", "tiny.toml", "--threads", "18446744073709551615"], "must be from 1 to 1024"),
    ] {
        let err = error(&place, args);
        assert!(err.contains(expected), "{args:?}: {err}");
    }
    assert!(!place.path("o").exists() && !place.path("runs").exists());
}

#[test]
fn numbers_of_an_evolution_have_limits() {
    let search = "[search]\nmetric = \"accuracy\"\nkeys = { train.lr = [1e-3, 2e-3] }\nevolution = { population = 200000 }\n";
    let place = Place::with_suite(&format!("{}{search}", common::SUITE));
    let err = error(&place, &["run", "tiny.toml"]);
    assert!(err.contains("population = 200000: must be at most 100000"), "{err}");
}

#[test]
fn plans_have_limits_that_are_looked_at_first() {
    let keys: String = (0..8).map(|at| format!("k{at} = [1, 2, 3, 4, 5, 6, 7, 8]\n")).collect();
    let grid = format!("[tune]\ntrials = 2\nmetric = \"loss\"\nseeds = [9]\n[tune.keys]\n{keys}");
    let method = "[[method]]\nname = \"m\"\nmoe.router = \"switch\"\n";
    let methods: String =
        (0..20_000).map(|at| method.replace("\"m\"", &format!("\"m{at}\""))).collect();
    for (more, expected) in [
        (grid, "tune: the grid has 262144 points or more; at most 100000 are allowed"),
        (methods, "methods; at most 2000 are allowed"),
    ] {
        let place = Place::with_suite(&format!("{}{more}", common::SUITE));
        let err = error(&place, &["budget", "tiny.toml"]);
        assert!(err.contains(expected), "{err}");
    }
}

#[test]
fn options_without_effect_are_refused() {
    let place = Place::new();
    ended(&place.run(&["run", "tiny.toml", "--only", "router=random"]), 0);
    let csv = fs::read_dir(place.path("runs")).unwrap().flatten().map(|entry| entry.path());
    let csv =
        csv.into_iter().find(|path| path.extension().is_some_and(|end| end == "csv")).unwrap();
    let csv = csv.to_str().unwrap();
    for (args, expected) in [
        (&["table", csv, "--seeds", "0"][..], "has no effect on csv files"),
        (&["rank", csv, "--tier", "gpu"], "--tier gpu: selects results of a suite"),
        (&["cmp", "a", "b", csv, "--method", "a"], "unexpected argument '--method'"),
        (&["speed", "--routers", "--hidden", "8"], "'--routers' cannot be used with"),
        (&["speed", "--format", "md"], "speed prints text or json"),
        (&["list", "-v"], "unexpected argument '-v'"),
    ] {
        let err = error(&place, args);
        assert!(err.contains(expected), "{args:?}: {err}");
    }
}

#[test]
fn long_lists_in_messages_are_counted() {
    let place = Place::new();
    let row = |method: usize| format!("s,t,n,m{method},r,0,test,accuracy,0.5,1,1,1,1,1,flex,x,\n");
    let csv = common::HEAD.to_string() + &(0..5000).map(row).collect::<String>();
    fs::write(place.path("many.csv"), csv).unwrap();
    for (args, expected) in [
        (
            &["table", "tiny.toml", "--seeds", "0..100000"][..],
            "no results of tiny.toml --seeds 0..100000: runs/tiny@",
        ),
        (&["run", "tiny.toml", "--seeds", "0..500", "--only", "seed=600"], "18, 19, and 480 more"),
        (
            &["table", "many.csv", "--seeds", "0..100000"],
            "--seeds 0..100000: selects results of a suite",
        ),
        (&["table", "many.csv", "--method", "x"], "known: m0, m1, m2"),
    ] {
        let err = error(&place, args);
        assert!(err.contains(expected) && err.len() < 1000, "{args:?}: {err}");
    }
}

#[test]
fn negative_numbers_are_values() {
    let place = Place::new();
    for (args, expected) in [
        (["run", "--memory", "-1"], "invalid value '-1' for '--memory <GB>': must be above 0"),
        (["run", "--seeds", "-1"], "\"-1\": expected seeds, 0..5 or 0,2,4"),
        (["run", "--threads", "-1"], "invalid value '-1' for '--threads <N>'"),
    ] {
        let err = error(&place, &args);
        assert!(err.contains(expected), "{args:?}: {err}");
    }
}

#[test]
fn results_that_cannot_be_judged_say_why() {
    let place = Place::new();
    let write = |file: &str, seeds: &[String], metric: &str| {
        let row = |method: &str, seed: &String| {
            format!("s,t,n,{method},r,{seed},test,{metric},0.5,1,1,1,1,1,flex,x,\n")
        };
        let rows = seeds.iter().flat_map(|seed| ["a", "b"].map(|method| row(method, seed)));
        let csv = common::HEAD.to_string() + &rows.collect::<String>();
        fs::write(place.path(file), csv).unwrap();
    };
    let seeds = [0, 1, 2].map(|seed| seed.to_string());
    write("foo.csv", &seeds, "foo");
    for call in [&["power"][..], &["plot"], &["rank"], &["cmp", "a", "b"]] {
        let err = error(&place, &[call, &["foo.csv"]].concat());
        assert!(err.contains("select one with --metric; known: foo"), "{call:?}: {err}");
    }
    let before = fs::read(place.path("foo.csv")).unwrap();
    let err = error(&place, &["report", "foo.csv", "--out", "foo.csv"]);
    assert!(err.contains("--out foo.csv: this is the input"), "{err}");
    assert_eq!(fs::read(place.path("foo.csv")).unwrap(), before);
    let (table, _) = ended(&place.run(&["table", "foo.csv", "--format", "md"]), 0);
    assert!(table.contains("Without a column of quality: no metric is known"), "{table}");
    // The page is written even if its folder does not exist yet.
    write("fine.csv", &seeds, "accuracy");
    ended(&place.run(&["report", "fine.csv"]), 0);
    assert!(place.path("runs/fine.html").is_file());
    write("long.csv", &["1".repeat(300)], "accuracy");
    let err = error(&place, &["table", "long.csv"]);
    assert!(err.contains("... (300 characters)\" is not a whole number from 0 to"), "{err}");
    assert!(err.len() < 400, "{err}");
}

#[test]
fn texts_that_are_too_large_are_not_read() {
    let place = Place::new();
    for (file, call) in [("huge.csv", "table"), ("huge.toml", "register")] {
        // The file takes no blocks on the disk.
        fs::File::create(place.path(file)).unwrap().set_len(1 << 32).unwrap();
        let err = error(&place, &[call, file]);
        let expected = format!("{file}: 4294967296 bytes; the limit is 268435456");
        assert!(err.contains(&expected), "{err}");
    }
}

#[test]
fn nothing_is_written_among_the_files_of_a_run() {
    let place = Place::new();
    units(&place);
    fs::create_dir_all(place.path("runs/a")).unwrap();
    for file in ["config.json", "environment.json"] {
        fs::write(place.path("runs/a").join(file), "{}").unwrap();
    }
    let row = "s,t,n,m,r,0,test,accuracy,0.5,1,1,1,1,1,flex,x,\n";
    fs::write(place.path("one.csv"), format!("{}{row}", common::HEAD)).unwrap();
    for args in [
        &["route", "--router", "top-k", "--input", "x", "--out", "runs/a/config.json"][..],
        &["report", "one.csv", "--out", "runs/a/page.html"],
        &["plot", "one.csv", "--out", "runs/a/trace"],
    ] {
        let err = error(&place, args);
        let out = args.last().unwrap();
        assert!(err.contains(&format!("--out {out}: this is the folder of a run")), "{err}");
    }
    assert_eq!(fs::read_dir(place.path("runs/a")).unwrap().count(), 2);
}

#[test]
fn a_regular_expression_that_may_take_for_ever_is_refused() {
    let task = "task = { kind = \"tanaka-lm\", tokens = { kind = \"bpe\", file = \"made.json\" } }";
    let place = Place::with_suite(&format!(
        "[[task]]\n{task}\nbackbone = \"transformer-lm\"\n[[method]]\nmoe.router = \"top-k\"\n"
    ));
    let whole = tokenizer(40);
    let split = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?=(.*.*)+x)|.\"},\
                 \"behavior\":\"Isolated\",\"invert\":false}";
    let made = whole.replace("{\"type\":\"Whitespace\"}", split);
    assert_ne!(made, whole);
    fs::write(place.path("made.json"), made).unwrap();
    let err = error(&place, &["budget", "tiny.toml", "--data-dir", "."]);
    let expected =
        "made.json: pre_tokenizer: the regular expression \"(?=(.*.*)+x)|.\" is not supported: ";
    assert!(err.contains(expected) && err.contains("those of published tokenisers"), "{err}");
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_not_read_or_followed() {
    let place = Place::new();
    let pipe = place.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for file in ["pipe", "/dev/zero"] {
        let err = error(&place, &["register", file]);
        assert!(err.contains(&format!("{file}: not a regular file")), "{err}");
    }
    let only = ["tiny.toml", "--only", "router=random"];
    ended(&place.run(&[&["run"][..], &only].concat()), 0);
    let board = [&["tensorboard"][..], &only, &["--out", "board"]].concat();
    ended(&place.run(&board), 0);
    let written: Vec<_> = fs::read_dir(place.path("board")).unwrap().flatten().collect();
    assert!(!written.is_empty());
    // The folder that it wrote is replaced by a link to another folder.
    let elsewhere = place.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for entry in written {
        fs::remove_dir_all(entry.path()).unwrap();
        std::os::unix::fs::symlink(&elsewhere, entry.path()).unwrap();
    }
    let err = error(&place, &board);
    assert!(err.contains("link"), "{err}");
    // The same holds for folders that a verb makes in the folder of runs.
    let run = place.runs("runs").remove(0);
    let name = run.file_name().unwrap().to_string_lossy().to_string();
    let link = |at: &std::path::Path| std::os::unix::fs::symlink(&elsewhere, at).unwrap();
    let csv = fs::read_dir(place.path("runs")).unwrap().flatten().map(|entry| entry.file_name());
    let csv = csv.map(|file| file.to_string_lossy().to_string());
    let csv = csv.filter(|file| file.ends_with(".csv") && !file.ends_with(".examples.csv"));
    let stem = csv.last().unwrap().trim_end_matches(".csv").to_string();
    for end in ["plots", "tensorboard"] {
        link(&place.path("runs").join(format!("{stem}-{end}")));
    }
    link(&run.join("analysis"));
    for call in [
        &[&["plot"][..], &only].concat()[..],
        &[&["tensorboard"][..], &only].concat(),
        &["analyse", &name],
    ] {
        let err = error(&place, call);
        assert!(err.contains(" is a link, not a folder; remove it"), "{call:?}: {err}");
    }
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}
