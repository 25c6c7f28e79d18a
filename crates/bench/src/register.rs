//! `register`: records the claims and runs of a suite before its first full run.
//!
//! ```toml
//! [registration]
//! date = "2026-11-28"
//! digest = "0123456789abcdef"     # of all that the suite says but for title, notes and expectations
//! amended = ["2026-12-01"]        # when it was changed afterwards
//! ```

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use files::write_atomic;
use jiff::{Timestamp, civil::Date};
use lab::{Answer, Session, SettingTree, Verb, typed_table};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::suite_claims;

/// Which suite.
#[derive(Args)]
pub(crate) struct Register {
    /// The file of a suite with claims
    file: PathBuf,
}

impl Verb for Register {
    const NAME: &'static str = "register";
    const ABOUT: &'static str = "Register the claims of a suite, before its first full run";

    fn run(&self, _session: &Session) -> anyhow::Result<Answer> {
        let place = || self.file.display().to_string();
        let text = files::read_text(&self.file).with_context(place)?;
        let settings = SettingTree::parse(&place(), &text)?;
        suite_claims::check(&settings)?;
        let today = Timestamp::now().strftime("%Y-%m-%d").to_string().parse()?;
        let (text, said) = registered(&place(), &text, &settings, today)?;
        write_atomic(&self.file, text.as_bytes()).with_context(place)?;
        Ok(Answer::from(said))
    }
}

/// The registration of a suite's claims.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    /// The date of the first registration.
    date: Date,
    /// The digest of the suite at the last registration.
    digest: String,
    /// The dates of later registrations with a different digest.
    #[serde(default)]
    amended: Vec<Date>,
}

/// The registration of a suite; none if it is not registered.
pub(crate) fn registration(settings: &SettingTree) -> anyhow::Result<Option<Registration>> {
    let Some(table) = settings.table().and_then(|table| table.get("registration")) else {
        return Ok(None);
    };
    typed_table(table, "registration").map(Some)
}

impl Registration {
    /// A description for results of a given date, with the digest of the registration under which they were
    /// made if it is recorded.
    pub(crate) fn words(
        &self,
        settings: &SettingTree,
        results: Option<Date>,
        made: Option<&str>,
    ) -> String {
        let mut words = format!("Registered {}", self.date);
        if !self.amended.is_empty() {
            let days: Vec<String> = self.amended.iter().map(Date::to_string).collect();
            words += &format!(", amended {}", days.join(", "));
        }
        if self.digest != digest(settings) {
            words += ", and changed since";
        }
        let last = self.amended.last().unwrap_or(&self.date);
        match (made, results) {
            (Some(made), _) if made == self.digest => {
                words += "; these results were made under this registration";
            }
            (Some(_), Some(day)) => {
                words += &format!("; these results, of {day}, were made under an earlier text");
            }
            (None, Some(day)) if day < *last => {
                words += &format!("; these results, of {day}, are older");
            }
            _ => {}
        }
        words + "."
    }
}

/// The text of a suite with its registration, and a message about the change.
fn registered(
    place: &str,
    text: &str,
    settings: &SettingTree,
    today: Date,
) -> anyhow::Result<(String, String)> {
    if !settings.table().is_some_and(|table| table.contains_key("claim")) {
        bail!("{place}: expected at least one [[claim]] to register");
    }
    let digest = digest(settings);
    let (registration, said) = match registration(settings)? {
        Some(old) if old.digest == digest => {
            return Ok((text.into(), format!("{place} is registered, and unchanged since\n")));
        }
        Some(mut old) => {
            old.amended.push(today);
            (Registration { digest, ..old }, format!("amended {place}\n"))
        }
        None => {
            let amended = Vec::new();
            (Registration { date: today, digest, amended }, format!("registered {place}\n"))
        }
    };
    Ok((with_registration(text, &registration), said))
}

/// The text with the table at its end, replacing an old one.
fn with_registration(text: &str, registration: &Registration) -> String {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with('[') {
            inside = line.trim() == "[registration]";
        }
        if !inside {
            lines.push(line);
        }
    }
    let Registration { date, digest, amended } = registration;
    let mut text = lines.join("\n").trim_end().to_string();
    text += &format!("\n\n[registration]\ndate = \"{date}\"\ndigest = \"{digest}\"\n");
    if !amended.is_empty() {
        let days: Vec<String> = amended.iter().map(|day| format!("\"{day}\"")).collect();
        text += &format!("amended = [{}]\n", days.join(", "));
    }
    text
}

/// A digest of the runs and claims of a suite. Title, expectations and the notes of claims, which are written
/// after results, are left out.
fn digest(settings: &SettingTree) -> String {
    let mut value = settings.without(&["title", "about", "expect", "registration", "tier"]).value();
    if let Some(claims) = value.get_mut("claim").and_then(Value::as_array_mut) {
        for claim in claims.iter_mut().filter_map(Value::as_object_mut) {
            claim.remove("note");
        }
    }
    let bytes = Sha256::digest(value.to_string());
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUITE: &str = "title = 'A'\nseeds = [0]\n\n[[claim]]\nclaim = 'so'\nabove = 0.0\n\n\
                         [[expect]]\nmetric = 'x'\n";

    fn day(day: i8) -> Date {
        Date::new(2026, 12, day).unwrap()
    }

    fn read(text: &str) -> (SettingTree, Registration) {
        let settings = SettingTree::parse("s.toml", text).unwrap();
        let registration = registration(&settings).unwrap().unwrap();
        (settings, registration)
    }

    fn register(text: &str, today: Date) -> anyhow::Result<(String, String)> {
        registered("s.toml", text, &SettingTree::parse("s.toml", text)?, today)
    }

    #[test]
    fn a_change_after_the_registration_shows() {
        let (text, said) = register(SUITE, day(1)).unwrap();
        assert!(text.starts_with(SUITE.trim_end()) && said.starts_with("registered"));
        let (settings, first) = read(&text);
        let words = |results, made| first.words(&settings, Some(results), made);
        assert_eq!(words(day(1), None), "Registered 2026-12-01.");
        let older = words(Date::new(2026, 11, 2).unwrap(), None);
        assert_eq!(older, "Registered 2026-12-01; these results, of 2026-11-02, are older.");
        // On the same day, the recorded digest shows which was first.
        let under = words(day(1), Some(&first.digest));
        assert_eq!(
            under,
            "Registered 2026-12-01; these results were made under this registration."
        );
        assert!(
            words(day(1), Some("another"))
                .ends_with("of 2026-12-01, were made under an earlier text.")
        );
        // A second registration without changes changes nothing.
        assert_eq!(register(&text, day(2)).unwrap().0, text);
        // A note and a title do not change the digest; a bound and a seed do.
        for (more, same) in [
            (text.replace("claim = 'so'", "claim = 'so'\nnote = 'seen'"), true),
            (text.replace("title = 'A'", "title = 'B'"), true),
            (text.replace("above = 0.0", "above = 0.1"), false),
            (text.replace("seeds = [0]", "seeds = [0, 1]"), false),
        ] {
            let (settings, kept) = read(&more);
            let words = kept.words(&settings, None, None);
            assert_eq!(!words.contains("changed since"), same, "{more}");
            let (again, said) = register(&more, day(3)).unwrap();
            assert_eq!(said.starts_with("amended"), !same);
            let (settings, last) = read(&again);
            assert!(!last.words(&settings, None, None).contains("changed since"));
            assert_eq!(last.amended, if same { vec![] } else { vec![day(3)] });
        }
    }

    #[test]
    fn what_cannot_be_registered_is_named() {
        let err = register("seeds = [0]\n", day(1)).unwrap_err().to_string();
        assert_eq!(err, "s.toml: expected at least one [[claim]] to register");
        let damaged = format!("{SUITE}\n[registration]\ndate = 'today'\ndigest = ''\n");
        let err = register(&damaged, day(1)).unwrap_err().to_string();
        assert!(err.starts_with("s.toml:12: registration: "), "{err}");
    }
}
