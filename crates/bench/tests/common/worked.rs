//! Worked numbers: the results of a test beside those that others computed for the same inputs, and the
//! tables of them in `docs/worked-numbers.md`.
//!
//! Crates include this file in their tests. If `MOELAB_WRITE` is set, the tests write the tables.

#![allow(dead_code, unused_imports, unused_macros, reason = "each crate uses a part of it")]

use std::{cell::RefCell, fs, path::Path, sync::Mutex};

/// The largest allowed difference of two numbers.
const TOLERANCE: f32 = 2e-5;

/// A quantity of one or more numbers.
struct Quantity {
    name: String,
    given: Vec<f32>,
    found: Vec<f32>,
}

thread_local! {
    /// The quantities that the test of this thread has compared.
    static COMPARED: RefCell<Vec<Quantity>> = const { RefCell::new(Vec::new()) };
}

/// The lock of the page, held by a test that reads or writes it.
static PAGE: Mutex<()> = Mutex::new(());

/// Numbers that depend only on the salt and their indices, between `-scale / 2` and `scale / 2`, the same as
/// those of the reference implementations.
pub(crate) fn fill(salt: u64, n: usize, scale: f64) -> Vec<f32> {
    let mix = |x: u64| {
        let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let value = |i: u64| {
        let unit = (mix((salt << 32) + i) >> 11) as f64 * 2_f64.powi(-53) - 0.5;
        (unit * scale) as f32
    };
    (0..n as u64).map(value).collect()
}

/// Checks a quantity to a tolerance of 2e-5, and records it for its table.
pub(crate) fn agrees(name: &str, found: &[f32], given: &[f32]) {
    assert_eq!(found.len(), given.len(), "{name}");
    let fits = |(a, b): (&f32, &f32)| a == b || (a - b).abs() < TOLERANCE;
    assert!(found.iter().zip(given).all(fits), "{name}: {found:?}, not {given:?}");
    let (name, given, found) = (name.to_string(), given.to_vec(), found.to_vec());
    COMPARED.with_borrow_mut(|all| all.push(Quantity { name, given, found }));
}

/// Tests with their paths, for `table`.
macro_rules! named_tests {
    ($($test:path),* $(,)?) => { [$((stringify!($test), $test as fn())),*] };
}
pub(crate) use named_tests;

/// Runs tests, and returns the table of their comparisons.
pub(crate) fn table(tests: &[(&str, fn())]) -> String {
    let mut text = String::from(
        "| quantity | given | ours | largest deviation | test |\n| --- | --- | --- | ---: | --- |\n",
    );
    let (mut most, mut count) = (0.0_f32, 0);
    for (test, run) in tests {
        COMPARED.take();
        run();
        let compared = COMPARED.take();
        assert!(!compared.is_empty(), "{test} compares no numbers");
        let test = test.trim_start_matches("crate::");
        for Quantity { name, given, found } in compared {
            let far = |(a, b): (&f32, &f32)| if a == b { 0.0 } else { (a - b).abs() };
            let deviation = found.iter().zip(&given).map(far).fold(0.0, f32::max);
            (most, count) = (most.max(deviation), count + given.len());
            let given = list(&given, |x| format!("{x}"));
            let found = list(&found, |x| format!("{x:.7}"));
            text += &format!("| {name} | {given} | {found} | {deviation:.1e} | `{test}` |\n");
        }
    }
    text + &format!("\nNumbers: {count}. Largest deviation: {most:.1e}\n")
}

fn list(numbers: &[f32], written: impl Fn(&f32) -> String) -> String {
    numbers.iter().map(written).collect::<Vec<_>>().join(", ")
}

/// Checks that the page has this table between the marks of this name, or writes it.
pub(crate) fn page_has(name: &str, table: &str) {
    let _held = PAGE.lock();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/worked-numbers.md");
    let page = fs::read_to_string(&path).expect("the page can be read");
    let [begin, end] = ["BEGIN", "END"].map(|mark| format!("<!-- {mark}: {name} -->\n"));
    let (head, rest) = page.split_once(&begin).expect("the page has the first mark");
    let (old, tail) = rest.split_once(&end).expect("the page has the second mark");
    if std::env::var_os("MOELAB_WRITE").is_some() {
        let page = format!("{head}{begin}\n{table}\n{end}{tail}");
        return fs::write(&path, page).expect("the page can be written");
    }
    assert!(
        alike(old, table),
        "docs/worked-numbers.md is out of date; `MOELAB_WRITE=1 cargo test -p backbones -p tasks -p \
         training worked_numbers` writes it. The table {name}:\n\n{table}"
    );
}

/// Whether tables have the same words, and numbers that differ by less than 1e-6: the last digits depend on
/// the kind of processor.
fn alike(a: &str, b: &str) -> bool {
    let [a, b] = [a, b].map(|text| {
        let words = text.split([' ', ',', '|', '\n']).filter(|word| !word.is_empty());
        words.map(str::to_string).collect::<Vec<_>>()
    });
    let near = |a: &str, b: &str| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() < 1e-6,
        _ => false,
    };
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a == b || near(a, b))
}

#[test]
fn numbers_of_salts_are_the_given_ones() {
    let first = [0.266301757339086, -0.3739689795790129, 0.200931241870707].map(|x: f64| x as f32);
    assert_eq!(fill(1, 3, 1.0), first);
    assert_eq!(fill(7, 6, 1.0)[5], 0.4727512416820995_f64 as f32);
}

#[test]
fn tables_that_differ_are_told_apart() {
    let table = "| y | 0.5, -inf | 0.5000001 | 1.0e-7 | `t` |\n";
    assert!(alike(table, "\n| y | 0.5, -inf | 0.5000002 | 2.0e-7 | `t` |\n\n"));
    for [from, to] in [["0.5,", "0.6,"], ["-inf", "inf"], ["`t`", "`u`"], ["| 1.0e-7", ""]] {
        assert!(!alike(table, &table.replace(from, to)), "{from} {to}");
    }
}
