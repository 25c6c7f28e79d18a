//! A plot with a file name and a caption.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

/// A plot with a file name and a caption.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The name of its file, without an extension.
    pub name: String,
    /// The plot as SVG.
    pub svg: String,
    /// The caption.
    pub caption: String,
}

impl Figure {
    /// Makes a figure; the parts of its name are joined to a name that every file system accepts.
    pub(crate) fn new(name: &[&str], svg: String, caption: String) -> Self {
        let name = name.join("-").to_lowercase();
        let plain = |letter: char| if letter.is_alphanumeric() { letter } else { '-' };
        let name: String = name.chars().map(plain).collect();
        Self { name: of_file(name), svg, caption }
    }
}

/// Figures with distinct names: a repeated name gets a number, from 2 on.
pub(crate) fn distinct_names(mut figures: Vec<Figure>) -> Vec<Figure> {
    let (mut taken, mut counts) = (HashSet::new(), HashMap::new());
    for figure in &mut figures {
        let name = figure.name.clone();
        while !taken.insert(figure.name.clone()) {
            let count = counts.entry(name.clone()).or_insert(1);
            *count += 1;
            figure.name = format!("{name}-{count}");
        }
    }
    figures
}

/// A name that file systems accept: a name that is too long is cut, and gets a number that distinguishes it
/// from others.
fn of_file(name: String) -> String {
    const MOST: usize = 200;
    if name.len() <= MOST {
        return name;
    }
    let mut hash = DefaultHasher::new();
    name.hash(&mut hash);
    let mut end = MOST - 17;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{:016x}", &name[..end], hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_for_files() {
        let figure = Figure::new(&["digits", "valid/loss"], String::new(), String::new());
        assert_eq!(figure.name, "digits-valid-loss");
        let long = |end: &str| Figure::new(&[&"ä".repeat(300), end], String::new(), String::new());
        let (a, b) = (long("a").name, long("b").name);
        assert!(a != b && a.len() <= 200 && a == long("a").name, "{a}");
    }

    #[test]
    fn no_figure_has_the_name_of_another() {
        let figure = |name: &str| Figure::new(&[name], String::new(), String::new());
        let names = ["a b", "c", "a-b", "A/B", "a-b-2"].map(figure).to_vec();
        let names: Vec<String> = distinct_names(names).into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["a-b", "c", "a-b-2", "a-b-3", "a-b-2-2"]);
    }
}
