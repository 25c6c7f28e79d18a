//! Multiple-choice questions, answered by the likelihoods of a language model.
//!
//! Gao et al. *A Framework for Few-shot Language Model Evaluation*. 2021.
//! <https://github.com/EleutherAI/lm-evaluation-harness>: the answer is the choice with the least
//! negative log-likelihood given the context, in total or for each character.
//! Brown et al. *Language Models are Few-Shot Learners*. NeurIPS 2020, section 2.4.
//! <https://arxiv.org/abs/2005.14165>: for each token.
//!
//! A file has one question per line, in JSON:
//!
//! ```json
//! {"context": "The cat sat on the", "choices": [" mat.", " moon."], "answer": 0}
//! ```
//!
//! A choice continues the context, so it begins with a space if there is one.

use std::path::Path;

use serde::Deserialize;

use super::{files, tokens::Tokenizer};
use crate::{AnswerChoice, DataDir, DataError, Question};

/// The measures of questions: the share of right answers if a choice is scored by its total likelihood, by
/// its likelihood per token, or by its likelihood per character.
pub const CHOICE_METRICS: [&str; 3] =
    ["choice_accuracy", "choice_accuracy_per_token", "choice_accuracy_per_character"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    context: String,
    choices: Vec<String>,
    answer: usize,
}

/// The questions of a file, for windows of `length` tokens.
pub(super) fn read(
    data: &DataDir,
    file: &str,
    tokenizer: &dyn Tokenizer,
    length: usize,
) -> Result<Vec<Question>, DataError> {
    let (path, text) = files::text(data, file, true)?;
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let questions: Vec<Question> = lines
        .map(|(nth, line)| {
            let wrong = |message: String| wrong(&path, nth + 1, message);
            let line: Line = serde_json::from_str(line).map_err(|err| wrong(err.to_string()))?;
            question(&line, tokenizer, length).map_err(wrong)
        })
        .collect::<Result<_, _>>()?;
    match questions.is_empty() {
        true => Err(wrong(&path, 1, "no questions in the file".into())),
        false => Ok(questions),
    }
}

fn wrong(path: &Path, line: usize, message: String) -> DataError {
    const EXPECTED: &str =
        r#"a line is {"context": "...", "choices": ["...", "..."], "answer": 0}"#;
    let message = format!("line {line}: {message}; {EXPECTED}");
    DataError::Content { path: path.into(), message }
}

fn question(line: &Line, tokenizer: &dyn Tokenizer, length: usize) -> Result<Question, String> {
    let n = line.choices.len();
    if n < 2 {
        return Err(format!("{n} choices; at least 2 are needed"));
    }
    if line.answer >= n {
        return Err(format!(
            "answer = {}: must be the number of a choice, 0 to {}",
            line.answer,
            n - 1
        ));
    }
    let candidate = |(nth, choice): (usize, &String)| {
        candidate(&line.context, choice, tokenizer, length)
            .map_err(|message| format!("choice {nth}: {message}"))
    };
    let candidates = line.choices.iter().enumerate().map(candidate).collect::<Result<_, _>>()?;
    Ok(Question { candidates, answer: line.answer })
}

/// Encodes context and choice together; tokens that reach into the choice belong to the choice.
fn candidate(
    context: &str,
    choice: &str,
    tokenizer: &dyn Tokenizer,
    length: usize,
) -> Result<AnswerChoice, String> {
    let all = tokenizer.encode(format!("{context}{choice}").as_bytes());
    let mut bytes = 0;
    let in_context = all.bytes.iter().take_while(|n| {
        bytes += **n as usize;
        bytes <= context.len()
    });
    let start = in_context.count();
    let n = all.ids.len() - start;
    match (start, n) {
        (0, _) => return Err("no token of the context before it".into()),
        (_, 0) => return Err("no token".into()),
        _ if n > length => {
            return Err(format!("it has {n} tokens, more than a window of length = {length}"));
        }
        _ => {}
    }
    let left_out = all.ids.len().saturating_sub(length + 1);
    let tokens = all.ids[left_out..].to_vec();
    Ok(AnswerChoice { tokens, start: start - left_out, characters: choice.chars().count() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tokens::{Ascii, Word, WordConfig};

    fn read(text: &str, tokenizer: &dyn Tokenizer) -> Result<Vec<Question>, String> {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("q.jsonl"), text).unwrap();
        let data = DataDir::new(Some(place.path().into()));
        super::read(&data, "q.jsonl", tokenizer, 4).map_err(|err| err.to_string())
    }

    const GOOD: &str = r#"{"context": "abcdef", "choices": [" g", "hij"], "answer": 1}"#;

    #[test]
    fn a_window_ends_with_the_choice() {
        let questions = read(&format!("{GOOD}\n\n{GOOD}\n"), &Ascii).unwrap();
        assert_eq!((questions.len(), questions[1].answer), (2, 1));
        let [first, second] = &questions[0].candidates[..] else { panic!("two choices") };
        assert_eq!((first.start, first.characters), (3, 2));
        assert_eq!(first.tokens, Ascii.encode(b"def g").ids);
        assert_eq!((second.start, second.tokens.len()), (2, 5));
    }

    #[test]
    fn words_are_told_apart_by_their_bytes() {
        let word = Word::new(&WordConfig::default(), b"a cat sat\n").unwrap();
        let line = r#"{"context": "a cat", "choices": [" sat", "cat a"], "answer": 0}"#;
        let questions = read(line, &word).unwrap();
        let starts: Vec<usize> = questions[0].candidates.iter().map(|c| c.start).collect();
        // "catcat" is one word, which reaches into the choice.
        assert_eq!(starts, [2, 1]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let wrong = |line: &str| read(&format!("{GOOD}\n{line}\n"), &Ascii).unwrap_err();
        let err = wrong(&GOOD.replace("\"answer\": 1", "\"answer\": 2"));
        assert!(
            err.contains("q.jsonl: line 2: answer = 2: must be the number of a choice, 0 to 1")
        );
        assert!(
            err.ends_with(
                r#"a line is {"context": "...", "choices": ["...", "..."], "answer": 0}"#
            )
        );
        assert!(wrong(&GOOD.replace("context", "contxt")).contains("unknown field `contxt`"));
        assert!(wrong(&GOOD.replace("1}", "-1}")).contains("line 2: invalid value"));
        assert!(wrong("not json").contains("line 2: expected ident"));
        assert!(wrong(&GOOD.replace(", \"hij\"", "")).contains("1 choices; at least 2 are needed"));
        assert!(wrong(&GOOD.replace("abcdef", "")).contains("choice 0: no token of the"));
        assert!(wrong(&GOOD.replace("hij", "")).contains("choice 1: no token"));
        assert!(wrong(&GOOD.replace("hij", "hijkl")).contains("choice 1: it has 5 tokens, more"));
        assert!(read("\n", &Ascii).unwrap_err().contains("line 1: no questions in the file"));
        assert!(read("", &Ascii).unwrap_err().ends_with("it is empty"));
    }
}
