//! Output: results to the standard output, messages to the standard error.

/// The result of a verb.
#[derive(Debug)]
pub struct Answer {
    /// The text for the standard output.
    pub text: String,
    /// An error besides the text, for the standard error.
    pub error: Option<anyhow::Error>,
    /// The exit code.
    pub code: u8,
}

impl From<String> for Answer {
    /// A success.
    fn from(text: String) -> Self {
        Self { text, error: None, code: 0 }
    }
}

impl Answer {
    /// A text with another exit code: 1 where what was checked does not hold.
    pub fn with_code(text: String, code: u8) -> Self {
        Self { text, error: None, code }
    }
}

/// An error and its causes, without those that the message before them has already named.
pub(super) fn error_text(err: &anyhow::Error) -> String {
    err.chain().map(ToString::to_string).fold(String::new(), |text, cause| {
        match (text.is_empty(), text.ends_with(&cause)) {
            (true, _) => cause,
            (false, true) => text,
            (false, false) => format!("{text}: {cause}"),
        }
    })
}

/// Results go to the standard output.
#[allow(clippy::print_stdout, reason = "this is the one place that prints results")]
pub(super) fn print(text: &str) {
    print!("{text}");
}

/// Messages go to the standard error.
#[allow(clippy::print_stderr, reason = "this is the one place that prints messages")]
pub(super) fn print_message(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_named_once() {
        let file = || std::io::Error::other("no such file");
        let twice = anyhow::Error::new(file()).context("runs.csv: no such file").context("table");
        assert_eq!(error_text(&twice), "table: runs.csv: no such file");
        assert_eq!(error_text(&anyhow::Error::new(file()).context("a.csv")), "a.csv: no such file");
    }
}
