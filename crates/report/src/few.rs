//! Lists in messages, which give the first names and the number of the others.

use std::fmt::Display;

/// The largest number of names in a message.
const NAMED: usize = 20;
/// The largest number of names in a note below a table.
pub(crate) const NOTED: usize = 200;

/// The first of these names and the number of the others, for a message: `a, b, and 99998 more`.
pub fn few<T: Display>(all: impl IntoIterator<Item = T>) -> String {
    first(NAMED, all, ", ")
}

/// The same with the first `most` names and the separator `between`.
pub(crate) fn first<T: Display>(
    most: usize,
    all: impl IntoIterator<Item = T>,
    between: &str,
) -> String {
    let mut all = all.into_iter();
    let mut named: Vec<String> = all.by_ref().take(most).map(|one| one.to_string()).collect();
    let more = all.count();
    named.extend((more > 0).then(|| format!("and {more} more")));
    named.join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_counted() {
        assert_eq!((few(["a", "b"]), few([""; 0])), ("a, b".into(), String::new()));
        assert_eq!(few(0..20), first(20, 0..20, ", "));
        assert!(few(0..100_000).ends_with(", 18, 19, and 99980 more"));
        assert_eq!(first(1, ["a", "b"], "; "), "a; and 1 more");
    }
}
