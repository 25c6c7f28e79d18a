//! A flipped bit or a truncation in any file of a run is an error that names the file, and never a wrong
//! number.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{Place, SUITE, ended};

/// All files of a folder and its subfolders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there").flatten();
    let mut found: Vec<PathBuf> = entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => files(&path),
            path => vec![path],
        })
        .collect();
    found.sort();
    found
}

/// Damages the file in `ways` ways, and calls the program each time.
fn damage(place: &Place, file: &Path, call: &[&str], ways: usize) {
    let whole = fs::read(file).unwrap();
    let name = file.file_name().unwrap().to_string_lossy();
    let refused = |bytes: &[u8], way: &str| {
        fs::write(file, bytes).unwrap();
        let output = place.run(call);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}, {way}: {err}");
        assert!(err.contains(&*name) && err.contains("remove"), "{name}, {way}: {err}");
        assert!(!err.contains("panicked"), "{name}, {way}: {err}");
    };
    for way in 0..ways {
        // The positions are spread over the file, and over the bits of a byte.
        let bit = (whole.len() * 8 - 1) * way / ways.max(2) + way % 8;
        let bit = bit.min(whole.len() * 8 - 1);
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        refused(&bytes, &format!("bit {bit} of {}", whole.len() * 8));
        let cut = whole.len() * way / ways;
        refused(&whole[..cut], &format!("cut at {cut} of {}", whole.len()));
    }
    fs::write(file, whole).unwrap();
}

/// Damages every file of a finished run, and of an interrupted one.
fn damage_all(ways: usize) {
    let suite = SUITE.replace("steps = 40", "steps = 8").replace("\"random\"", "\"hash\"");
    let place = Place::with_suite(&suite);
    let only = ["--only", "router=switch", "--threads", "1"];
    let run = [&["run", "tiny.toml", "--trace"], &only[..]].concat();
    ended(&place.run(&run), 0);
    let folder = place.runs("runs").remove(0);
    let id = folder.file_name().unwrap().to_string_lossy().to_string();
    let found = files(&folder);
    let names: Vec<String> =
        found.iter().map(|file| file.file_name().unwrap().to_string_lossy().to_string()).collect();
    for expected in ["checkpoint.bin", "config.json", "environment.json", "metrics.csv"] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
    assert!(names.iter().filter(|name| name.ends_with(".safetensors")).count() > 1, "{names:?}");
    for (file, name) in found.iter().zip(&names).filter(|(_, name)| *name != "lock") {
        match name.as_str() {
            "checkpoint.bin" => damage(&place, file, &["analyse", &id, "--what", "drop"], ways),
            _ => damage(&place, file, &run, ways),
        }
    }
    let csv = files(&place.path("runs"));
    let csv = csv.iter().filter(|path| path.parent() == Some(&place.path("runs")));
    let results: Vec<&PathBuf> =
        csv.filter(|path| !path.to_string_lossy().ends_with("lock")).collect();
    assert_eq!(results.len(), 3, "{results:?}");
    let table = [&["table", "tiny.toml"], &only[..2]].concat();
    for file in results {
        let whole = fs::read(file).unwrap();
        for bytes in [&whole[..whole.len() / 2], &[&whole[..9], b"?", &whole[10..]].concat()] {
            fs::write(file, bytes).unwrap();
            let (out, err) = ended(&place.run(&table), 2);
            assert!(out.is_empty() && err.contains("recreate it with run"), "{err}");
        }
        fs::write(file, whole).unwrap();
    }
    // The log and the checkpoint of an interrupted run are read.
    fs::remove_file(folder.join("result.json")).unwrap();
    for name in ["metrics.csv", "checkpoint.bin"] {
        let file = folder.join(name);
        let (whole, rows) = (fs::read(&file).unwrap(), b"8,valid,");
        // Rows after the checkpoint do not count.
        let kept = whole.windows(rows.len()).position(|part| part == rows).unwrap_or(whole.len());
        fs::write(&file, &whole[..kept]).unwrap();
        damage(&place, &file, &run, ways);
        fs::write(&file, whole).unwrap();
    }
    ended(&place.run(&run), 0);
}

#[test]
fn damage_in_any_file_of_a_run_is_an_error() {
    damage_all(2);
}

#[test]
#[ignore = "takes minutes"]
fn damage_in_many_places_of_any_file_of_a_run_is_an_error() {
    damage_all(50);
}
