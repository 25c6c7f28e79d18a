//! The nearest names to a misspelt one, and shortened lists of names.

/// The `most` names with the smallest edit distance, nearest first, among those that differ in at most a
/// third of the name.
pub(crate) fn nearest<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    most: usize,
) -> Vec<&'a str> {
    let far = name.len() / 3 + 1;
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|known| (distance(name.as_bytes(), known.as_bytes()), known))
        .filter(|(distance, _)| *distance <= far)
        .collect();
    near.sort();
    near.into_iter().take(most).map(|(_, known)| known).collect()
}

/// The part of an error that lists the names nearest to one; empty if none is near.
pub(crate) fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known, 2).as_slice() {
        [] => String::new(),
        near => format!("; nearest: {}", near.join(", ")),
    }
}

/// The lines on the first items of one kind, and the number of the others.
pub(crate) fn some<T>(
    mut items: impl Iterator<Item = T>,
    line: impl Fn(T) -> String,
) -> Vec<String> {
    const SHOWN: usize = 20;
    let mut lines: Vec<String> = items.by_ref().take(SHOWN).map(line).collect();
    let more = items.count();
    lines.extend((more > 0).then(|| format!("and {more} more of these")));
    lines
}

/// The smallest number of insertions, deletions and replacements between two texts (Levenshtein).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let (mut corner, mut left) = (i, i + 1);
        for (j, y) in b.iter().enumerate() {
            let next = (corner + usize::from(x != y)).min(left + 1).min(row[j + 1] + 1);
            (corner, row[j + 1], left) = (row[j + 1], next, next);
        }
        row[0] = i + 1;
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_by_hand() {
        let of = |a: &str, b: &str| distance(a.as_bytes(), b.as_bytes());
        assert_eq!((of("kitten", "sitting"), of("", "abc"), of("abc", "abc")), (3, 3, 0));
        assert_eq!((of("flaw", "lawn"), of("abc", "")), (2, 3));
    }

    #[test]
    fn long_lists_are_cut() {
        let lines = |n: usize| some(0..n, |i| i.to_string());
        assert_eq!(lines(2), ["0", "1"]);
        assert_eq!((lines(20).len(), lines(25)[20].as_str()), (20, "and 5 more of these"));
    }

    #[test]
    fn the_nearest_come_first_and_strangers_not_at_all() {
        let known = ["model.norm.weight", "model.norms.weight", "lm_head.weight"];
        assert_eq!(nearest("model.norm.weigth", known, 2), [known[0], known[1]]);
        assert!(nearest("x", known, 2).is_empty());
    }
}
