//! Whether a network that was trained for one task can be used in a run on another one.

use moe::Domain;
use tasks::Task;

/// Checks that a network of a run that `key` names takes inputs of the same kind, and tokens of the same
/// vocabulary.
pub(super) fn same_inputs(key: &str, there: &dyn Task, here: &dyn Task) -> Result<(), String> {
    match (vocabulary(there), vocabulary(here)) {
        (Some(there), Some(here)) if there.len() != here.len() => Err(format!(
            "{key}: that network has a vocabulary of {} tokens, but this run one of {}",
            there.len(),
            here.len()
        )),
        (Some(there), Some(here)) => {
            match there.iter().zip(&here).position(|(there, here)| there != here) {
                Some(id) => Err(format!(
                    "{key}: token {id} is {:?} in that network's vocabulary and {:?} in that of this run",
                    there[id], here[id]
                )),
                None => Ok(()),
            }
        }
        (None, None) => Ok(()),
        _ => Err(other_inputs(key, there, here)),
    }
}

fn other_inputs(key: &str, there: &dyn Task, here: &dyn Task) -> String {
    let [seen, asked] = [there, here].map(|task| words(task.domain()));
    format!("{key}: that network takes {seen}, but this run has {asked}")
}

/// Checks that the network of one run can be the teacher of another run's network.
pub(super) fn teaches(there: &dyn Task, here: &dyn Task) -> Result<(), String> {
    same_inputs("teacher", there, here)?;
    if there.domain() != here.domain() {
        return Err(other_inputs("teacher", there, here));
    }
    let answers = [there.outputs(), here.outputs()];
    if answers[0] != answers[1] {
        return Err(format!("teacher: it has {} outputs, but this run {}", answers[0], answers[1]));
    }
    match here.is_classification() {
        true => Ok(()),
        false => Err("teacher: only for tasks whose answers are classes".into()),
    }
}

/// A description of the inputs of a task.
fn words(domain: Domain) -> String {
    match domain {
        Domain::Image { channels, height, width } => {
            format!("images of {channels} by {height} by {width} numbers")
        }
        Domain::Text { vocab, length } => format!("texts of {length} tokens from {vocab}"),
        Domain::Pair { vocab, source, target } => {
            format!("pairs of texts of {source} and {target} tokens from {vocab}")
        }
    }
}

/// The text of each token of a task on text; none for other tasks.
fn vocabulary(task: &dyn Task) -> Option<Vec<String>> {
    let vocab = match task.domain() {
        Domain::Image { .. } => return None,
        Domain::Text { vocab, .. } | Domain::Pair { vocab, .. } => vocab,
    };
    let tokens = task.as_text().map(|text| text.tokenizer());
    let known = |id: &usize| tokens.filter(|tokens| *id < tokens.vocab());
    let show = |id: usize| known(&id).map_or_else(String::new, |tokens| tokens.show(id));
    Some((0..vocab).map(show).collect())
}
