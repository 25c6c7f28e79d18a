//! Parameters and states have descriptive names, since checkpoints and files contain them.

use moe::{Dims, parameters};

use super::subject::{EXPERTS, Subject, WIDTH};

/// Checks that names are words in lower case, of three letters or more.
pub(super) fn are_words(subject: &Subject) -> Result<(), String> {
    let router = subject.router(Dims { width: WIDTH, n_experts: EXPERTS, units: 10 })?;
    let known = parameters(&router);
    let word =
        |part: &str| part.len() >= 3 && part.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    match known.iter().find(|known| !known.path.split('.').all(word)) {
        Some(known) => Err(format!(
            "{:?} is not a valid name: expected lower-case words of at least 3 letters",
            known.path
        )),
        None => Ok(()),
    }
}
