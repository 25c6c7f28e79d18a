//! Compares all cases that `scripts/golden/soccernet.py` wrote to a folder with the official numbers:
//! `cargo run -p soccernet --example golden -- FOLDER`.
#![allow(clippy::print_stdout)]

#[path = "../tests/support/cases.rs"]
mod cases;

use std::path::PathBuf;

fn main() {
    let folder = std::env::args().nth(1).expect("usage: golden FOLDER");
    let entries = std::fs::read_dir(folder).expect("cannot read the folder").flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    println!("| metric | cases | refused | values | largest deviation | official s | ours s |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for file in files {
        let found = cases::compare(&file);
        let name = file.file_stem().unwrap_or_default().to_string_lossy().to_string();
        let counts = format!("{} | {} | {}", found.cases, found.refused, found.values);
        let times = format!("{:.2} | {:.3}", found.official, found.ours);
        println!("| {name} | {counts} | {:.1e} | {times} |", found.largest);
        if found.largest > 1e-6 {
            println!("  {}", found.place);
        }
        found.disagreements.iter().for_each(|case| println!("  {case}"));
    }
}
