//! Pairs of sentences: from two parallel files, or built in.

use std::{io::Read, path::PathBuf};

use flate2::read::MultiGzDecoder;
use moe::ConfigError;
use tanaka::data::EXAMPLES_SUBSET;

use super::super::tanaka_lm;
use crate::{DataDir, DataError, Split, data::most_unpacked};

/// A sentence and its translation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) source: String,
    pub(super) target: String,
}

/// The pairs of `STEM.SOURCE` and `STEM.TARGET`, or of files with `.gz` after these names: line by line.
///
/// # Errors
/// If a file cannot be read, is empty, has an empty line or one that is not UTF-8, or if their numbers of lines
/// differ.
pub(super) fn read(
    data: &DataDir,
    stem: &str,
    [source, target]: [&str; 2],
) -> Result<Vec<Pair>, DataError> {
    let (source_path, sources) = lines(data, &format!("{stem}.{source}"))?;
    let (target_path, targets) = lines(data, &format!("{stem}.{target}"))?;
    if sources.len() != targets.len() {
        let (n, m) = (sources.len(), targets.len());
        let of = source_path.display();
        let message =
            format!("it has {m} lines, but {of} has {n}: expected one line for each pair");
        return Err(DataError::Content { path: target_path, message });
    }
    let pair = |(source, target)| Pair { source, target };
    Ok(sources.into_iter().zip(targets).map(pair).collect())
}

/// The lines of a file, or of a file with `.gz` after its name.
fn lines(data: &DataDir, name: &str) -> Result<(PathBuf, Vec<String>), DataError> {
    let packed = data.path(&format!("{name}.gz"))?;
    let plain = data.path(name)?;
    let (path, bytes) = match packed.exists() && !plain.exists() {
        true => {
            let bytes = unpacked(&data.read_path(&packed)?);
            let wrong = |err| DataError::Content {
                path: packed.clone(),
                message: format!("it cannot be unpacked: {err}"),
            };
            (packed.clone(), bytes.map_err(wrong)?)
        }
        false => (plain.clone(), data.read_path(&plain)?),
    };
    match sentences(&bytes) {
        Ok(lines) => Ok((path, lines)),
        Err(message) => Err(DataError::Content { path, message }),
    }
}

/// The lines of a text, each of them a sentence.
fn sentences(bytes: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|err| {
        let before = bytes[..err.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        format!("line {} is not UTF-8 text", before + 1)
    })?;
    let lines: Vec<String> = text.lines().map(|line| line.trim().to_string()).collect();
    if lines.is_empty() {
        return Err("it is empty: each line must be a sentence".into());
    }
    match lines.iter().position(String::is_empty) {
        Some(at) => Err(format!("line {} is empty: each line must be a sentence", at + 1)),
        None => Ok(lines),
    }
}

/// The number of lines that are read from any compressed file; one more is read for each byte of the file. A
/// line takes far more memory than its letters.
const LINES: usize = 100_000;

fn unpacked(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let (mut text, most) = (Vec::new(), most_unpacked(bytes.len() as u64));
    MultiGzDecoder::new(bytes).take(most + 1).read_to_end(&mut text)?;
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    let most_lines = LINES + bytes.len();
    let wrong = std::io::Error::other;
    match (text.len() as u64 > most, lines > most_lines) {
        (true, _) => Err(wrong(format!("it has more than {most} bytes unpacked"))),
        (_, true) => Err(wrong(format!(
            "it has {lines} lines unpacked; the limit for {} bytes is {most_lines}",
            bytes.len()
        ))),
        _ => Ok(text),
    }
}

/// The built-in pairs of the Tanaka Corpus of a split, from one of `en` and `ja` to the other. Blocks of
/// neighbours are in one split, as in the task `tanaka-lm`; pairs with a side that also occurs in training
/// are left out of the other splits.
pub(super) fn built_in(
    data: &DataDir,
    [source, target]: [&str; 2],
) -> Result<[Vec<Pair>; 3], DataError> {
    let turned = match [source, target] {
        ["en", "ja"] => false,
        ["ja", "en"] => true,
        _ => {
            let message = format!(
                "source = {source:?}, target = {target:?}: the built-in pairs are in \"en\" and \
                 \"ja\"; for other languages set train, valid and test"
            );
            return Err(
                ConfigError::Invalid { what: "task", name: super::NAME.into(), message }.into()
            );
        }
    };
    data.embedded("tanaka", EXAMPLES_SUBSET.as_bytes());
    let mut parts: [Vec<Pair>; 3] = Default::default();
    for (block, members) in tanaka_lm::pairs().chunks(100).enumerate() {
        let pair = |(japanese, english): &(&str, &str)| {
            let [english, japanese] = [english, japanese].map(|text| text.trim().to_string());
            match turned {
                false => Pair { source: english, target: japanese },
                true => Pair { source: japanese, target: english },
            }
        };
        parts[tanaka_lm::split_of(block) as usize].extend(members.iter().map(pair));
    }
    let [train, ..] = &parts;
    let side = |of: fn(&Pair) -> &String| train.iter().map(|pair| of(pair).clone()).collect();
    let known: [std::collections::HashSet<String>; 2] =
        [side(|pair| &pair.source), side(|pair| &pair.target)];
    for split in [Split::Valid, Split::Test] {
        parts[split as usize]
            .retain(|pair| !known[0].contains(&pair.source) && !known[1].contains(&pair.target));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::{fs, io::Write};

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn files_are_read_line_by_line_packed_or_not() {
        let place = tempfile::tempdir().unwrap();
        let data = DataDir::new(Some(place.path().into()));
        let write = |name: &str, bytes: &[u8]| fs::write(place.path().join(name), bytes).unwrap();
        write("t.en", b"a dog\r\n two cats \n");
        write("t.de.gz", &packed("ein Hund\nzwei Katzen\n"));
        let pairs = read(&data, "t", ["en", "de"]).unwrap();
        assert_eq!(pairs[1].source, "two cats");
        assert_eq!(pairs[1].target, "zwei Katzen");
        assert_eq!(pairs.len(), 2);
        let names: Vec<String> = data.digest().iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["t.de.gz", "t.en"]);

        let wrong = || read(&data, "t", ["en", "de"]).unwrap_err().to_string();
        write("t.de", b"ein Hund\n");
        let err = wrong();
        assert!(err.contains("t.de: it has 1 lines, but ") && err.contains("t.en has 2"), "{err}");
        write("t.de", b"ein Hund\n \n");
        assert!(wrong().ends_with("t.de: line 2 is empty: each line must be a sentence"));
        write("t.de", b"x\nein H\xfcnd\n");
        assert!(wrong().ends_with("t.de: line 2 is not UTF-8 text"));
        write("t.de", b"");
        assert!(wrong().ends_with("t.de: it is empty: each line must be a sentence"));
        fs::remove_file(place.path().join("t.de")).unwrap();
        write("t.de.gz", b"no gzip");
        assert!(wrong().contains("t.de.gz: it cannot be unpacked"));
        write("t.de.gz", &packed(&"a\n".repeat(150_000)));
        let err = wrong();
        assert!(err.contains("it has 150000 lines unpacked; the limit for "), "{err}");
        fs::remove_file(place.path().join("t.de.gz")).unwrap();
        let err = wrong();
        assert!(err.contains("cannot read") && err.contains("t.de:"), "{err}");
    }

    #[test]
    fn built_in_pairs_go_both_ways_and_no_side_leaks() {
        let data = DataDir::default();
        let [train, valid, test] = built_in(&data, ["en", "ja"]).unwrap();
        let turned = built_in(&data, ["ja", "en"]).unwrap();
        assert_eq!(
            (&train[0].source, &train[0].target),
            (&turned[0][0].target, &turned[0][0].source)
        );
        assert!(train[0].source.is_ascii() && !train[0].target.is_ascii());
        assert!(train.len() > 20_000 && valid.len() > 500 && test.len() > 500);
        let known: std::collections::HashSet<_> = train.iter().map(|pair| &pair.target).collect();
        assert!(valid.iter().chain(&test).all(|pair| !known.contains(&pair.target)));
        assert!(train.iter().all(|pair| !pair.source.is_empty() && !pair.target.is_empty()));
        let err = built_in(&data, ["en", "de"]).unwrap_err().to_string();
        assert!(
            err.contains("target = \"de\": the built-in pairs are in \"en\" and \"ja\""),
            "{err}"
        );
    }
}
