//! Output: results to the standard output, messages to the standard error.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use anyhow::Context;

/// The result of a verb.
#[derive(Debug)]
pub struct Answer {
    /// The text for the standard output.
    pub text: String,
    /// An error in addition to the text, for the standard error.
    pub error: Option<anyhow::Error>,
    /// The exit code.
    pub code: u8,
}

impl From<String> for Answer {
    /// The answer of a verb that succeeded.
    fn from(text: String) -> Self {
        Self { text, error: None, code: 0 }
    }
}

impl Answer {
    /// A text with another exit code: 1 if the checked condition does not hold, 130 if the user interrupted
    /// the verb.
    pub fn with_code(text: String, code: u8) -> Self {
        Self { text, error: None, code }
    }
}

/// The message of an error and its causes, without causes whose text the message before them already
/// contains.
pub(super) fn error_text(err: &anyhow::Error) -> String {
    err.chain().map(ToString::to_string).fold(String::new(), |text, cause| {
        let named = text.ends_with(&cause) || text.contains(&format!(": {cause}; "));
        match (text.is_empty(), named) {
            (true, _) => cause,
            (false, true) => text,
            (false, false) => format!("{text}: {cause}"),
        }
    })
}

/// Prints a result to the standard output, without the characters that control a terminal. A reader that
/// closes its end early, such as `head`, is no error.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    // Line by line, so that a long text is not in memory twice.
    let mut lines = text.split_inclusive('\n').map(|line| out.write_all(visible(line).as_bytes()));
    let written = lines.try_for_each(|line| line).and_then(|()| out.flush());
    match written {
        Err(err) if err.kind() != io::ErrorKind::BrokenPipe => Err(err).context("standard output"),
        _ => Ok(()),
    }
}

/// Prints a message to the standard error, without the characters that control a terminal, and with very long
/// lines shortened in the middle.
pub(super) fn print_message(text: &str) {
    let lines: Vec<Cow<str>> = text.split('\n').map(readable).collect();
    // There is no other stream on which to report that this one cannot be written.
    let _ = writeln!(io::stderr(), "{}", visible(&lines.join("\n")));
}

/// The largest number of letters of a line of a message. A longer line keeps its beginning, which names the
/// place, and its end, which names the fault.
const LONGEST: usize = 4000;

/// A line, with its middle removed if it is too long.
fn readable(line: &str) -> Cow<'_, str> {
    let place = |at: usize| line.char_indices().nth(at).map(|(place, _)| place);
    if place(LONGEST).is_none() {
        return line.into();
    }
    let letters = line.chars().count();
    let (start, end) = (place(LONGEST / 2), place(letters - LONGEST / 2));
    let [start, end] = [&line[..start.unwrap_or(0)], &line[end.unwrap_or(0)..]];
    format!("{start} ... ({} characters omitted) ... {end}", letters - LONGEST).into()
}

/// The text with line breaks and tabs, without all other control characters.
fn visible(text: &str) -> String {
    let letter =
        |letter| if matches!(letter, '\n' | '\t') { letter } else { report::visible(letter) };
    text.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_command_the_terminal() {
        assert_eq!(visible("a\tb\n\u{1b}[2Jc\r"), "a\tb\n\u{fffd}[2Jc\u{fffd}");
    }

    #[test]
    fn long_lines_lose_their_middle() {
        assert_eq!(readable("é"), "é");
        let whole = "é".repeat(LONGEST);
        assert_eq!(readable(&whole), whole);
        let line = readable(&format!("a{whole}{whole}b")).into_owned();
        assert!(line.starts_with("aé") && line.ends_with("éb"), "{line}");
        assert!(line.contains("é ... (4002 characters omitted) ... é"), "{line}");
    }

    #[test]
    fn a_cause_is_named_once() {
        let file = || std::io::Error::other("no such file");
        let twice = anyhow::Error::new(file()).context("runs.csv: no such file").context("table");
        assert_eq!(error_text(&twice), "table: runs.csv: no such file");
        assert_eq!(error_text(&anyhow::Error::new(file()).context("a.csv")), "a.csv: no such file");
        let hint = "cannot read a: no such file; the folder comes from --data-dir";
        assert_eq!(error_text(&anyhow::Error::new(file()).context(hint)), hint);
    }
}
