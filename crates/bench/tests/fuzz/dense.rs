//! Dense files: a recipe of a few letters expands to a file of a megabyte, in an archive of a kilobyte.

use std::{fs, path::Path};

use moe::Choice;
use soccernet::{Judge, Source, format};

use super::{IMAGES, Target, gzip, idx, load, read_model, target, write};

/// The largest size in bytes of a file before it is packed.
const MOST: usize = 1 << 20;

const SPOT: &[u8] = br#"{"gameTime": "1 - 0:8", "label": "Foul", "position": "8500", "half": "1",
    "confidence": "0.0066"},"#;

/// Archives of images, sentences, samples, submissions, pictures and tensors.
pub(super) fn dense() -> Target {
    let images = idx(0x803, &[1000, 32, 32], &[]);
    let spots = br#"{"UrlLocal": "l/s/g", "predictions": ["#;
    let recipes = [
        recipe("images", 1_024_000, [&images, b"\0", b""]),
        recipe("pairs", 20_000, [b"", b"a cat sat\n", b""]),
        recipe("pairs", 500_000, [b"", b"a\n", b""]),
        recipe("raw", 1_000_000, [b"", b"\0", b""]),
        recipe("soccer", 100_000, [b"[", b"[[[]]],", b"[]]"]),
        recipe("soccer", 5_000, [spots, SPOT, b"{}]}"]),
        recipe("pictures", 1_000_000, [b"\x89PNG\r\n\x1a\n", b"\0", b""]),
        recipe("tensors", 1_000_000, [b"\x80\x02", b"]", b"."]),
    ];
    target("dense", 1, recipes.to_vec(), |folder, recipe| {
        if let Some((kind, content)) = cooked(recipe) {
            read(folder, kind, &content);
        }
    })
}

/// A recipe: the kind of an archive, the number of repetitions of the middle, and the start, middle and end
/// of the content.
fn recipe(kind: &str, times: usize, [start, middle, end]: [&[u8]; 3]) -> Vec<u8> {
    [kind.as_bytes(), times.to_string().as_bytes(), start, middle, end].join(&b'|')
}

/// The kind and the content of a recipe; none if it is no longer a valid one.
fn cooked(recipe: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let mut parts = recipe.splitn(5, |byte| *byte == b'|');
    let (kind, times) = (parts.next()?, std::str::from_utf8(parts.next()?).ok()?);
    let [start, middle, end] = [parts.next()?, parts.next()?, parts.next()?];
    let times = times.parse::<usize>().ok()?.min(MOST / middle.len().max(1));
    Some((kind, [start, &middle.repeat(times), end].concat()))
}

/// Packs the content according to the kind, and reads it.
fn read(folder: &Path, kind: &[u8], content: &[u8]) {
    match kind {
        b"images" => {
            let (packed, names) = (gzip(content), IMAGES.map(|name| format!("{name}.gz")));
            let files: Vec<(&str, &[u8])> =
                names.iter().map(|name| (&**name, &packed[..])).collect();
            load(folder, Choice::of("mnist"), &files);
        }
        b"pairs" => {
            let packed = gzip(content);
            let files = ["train.en.gz", "train.de.gz", "valid.en.gz", "valid.de.gz"];
            let task = Choice::of("translation").with("target", "de").with("tokens", "byte");
            let task = task.with("train", "train").with("valid", "valid").with("test", "valid");
            load(folder, task, &files.map(|name| (name, &packed[..])));
        }
        b"raw" => load(folder, Choice::of("rice"), &[("rice-raw.tar.gz", &gzip(content))]),
        b"soccer" => {
            let packed = zip(folder, &["l/s/g/results_spotting.json"], content);
            let Ok(source) = Source::zip("dense.zip", packed) else { return };
            for bytes in source.names().iter().filter_map(|name| source.read(name).ok()) {
                let mut judge = Judge::default();
                drop(format::spots::Spots::read(&bytes, "dense", &mut judge));
                drop(format::labels::Labels::read(&bytes, "dense", &mut judge));
            }
        }
        b"pictures" => {
            let name = |class: usize| format!("images/Latin/character{class:02}/0001_01.png");
            let packed = zip(folder, &[&name(1), &name(2)], content);
            let [one, two] = ["images_background_small1.zip", "images_background_small2.zip"];
            load(folder, Choice::of("omniglot"), &[(one, &packed), (two, &packed)]);
        }
        b"tensors" => {
            let config = include_bytes!("../../../interop/fixtures/llama3/config.json");
            let packed = zip(folder, &["archive/data.pkl", "archive/version"], content);
            write(folder, &[("config.json", config), ("pytorch_model.bin", &packed)]);
            read_model(folder);
        }
        _ => {}
    }
}

/// A deflated archive of this content under each name.
fn zip(folder: &Path, names: &[&str], content: &[u8]) -> Vec<u8> {
    let path = folder.join("dense.zip");
    let files: Vec<(String, Vec<u8>)> =
        names.iter().map(|name| (name.to_string(), content.to_vec())).collect();
    soccernet::write_files(&path, &files).expect("it can be written");
    fs::read(path).expect("it was written")
}
