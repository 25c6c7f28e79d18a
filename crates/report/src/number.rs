//! Display of numbers, and the limit on numbers in statistics.

/// The largest absolute value of a number that statistics accept. Sums of fourth powers of such numbers, as
/// in degrees of freedom, do not overflow.
pub(crate) const LARGEST: f64 = 1e60;

/// Whether statistics accept a number.
pub(crate) fn is_measure(x: f64) -> bool {
    x.abs() <= LARGEST
}

/// The number of decimals that show two digits of a typical half-width; 3 without half-widths.
pub(crate) fn decimals(halves: impl IntoIterator<Item = f64>) -> usize {
    let mut halves: Vec<f64> = halves.into_iter().filter(|half| *half > 0.0).collect();
    halves.sort_by(f64::total_cmp);
    match halves.get(halves.len() / 2) {
        Some(half) => (1.0 - half.log10().floor()).clamp(0.0, 6.0) as usize,
        None => 3,
    }
}

/// A number with three digits and a suffix: `12.3 k`.
pub(crate) fn short(x: f64) -> String {
    let (scale, letter) = scale(x);
    format!("{:.*}{letter}", places(x / scale), x / scale)
}

/// Two numbers with the suffix of the first: `12.3 ± 0.4 k`.
pub(crate) fn short_pair(x: f64, half: f64) -> String {
    let (scale, letter) = scale(x);
    let (x, half) = (x / scale, half / scale);
    let for_half = if half > 0.0 { (-half.log10().floor()).clamp(0.0, 3.0) as usize } else { 0 };
    let places = places(x).max(for_half);
    format!("{x:.places$} ± {half:.places$}{letter}")
}

fn scale(x: f64) -> (f64, &'static str) {
    const SCALES: [(f64, &str); 5] =
        [(1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    let large = |(scale, _): &&(f64, &str)| x.abs() >= 0.9995 * scale;
    SCALES.iter().find(large).copied().unwrap_or((1.0, ""))
}

fn places(x: f64) -> usize {
    match x.abs() {
        whole if whole < 999.5 && x.fract() == 0.0 => 0,
        small if small < 9.995 => 2,
        middle if middle < 99.95 => 1,
        _ => 0,
    }
}

/// A number with two significant digits: `0.039`, `1.2`, `140`.
pub(crate) fn two_digits(x: f64) -> String {
    let digits = if x == 0.0 { 0.0 } else { 1.0 - x.abs().log10().floor() };
    format!("{x:.*}", digits.clamp(0.0, 12.0) as usize)
}

/// `1 seed`, `2 seeds`, `0 seeds`.
pub(crate) fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// A p value; a tiny one is shown as an upper bound, since its size is not known more precisely.
pub(crate) fn p_value(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { format!("{p:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_letter() {
        let shown = [0.0, 64.0, 1.5, 12.34, 999.4, 999.6, 24_586.0, 999_700.0, 1.5e9, -2e6];
        let shown = shown.map(short);
        let wanted =
            ["0", "64", "1.50", "12.3", "999", "1.00 k", "24.6 k", "1.00 M", "1.50 G", "-2 M"];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_pair_shares_its_letter() {
        assert_eq!(short_pair(12_500.0, 196.0), "12.5 ± 0.2 k");
        assert_eq!(short_pair(1.32, 0.0196), "1.32 ± 0.02");
        assert_eq!(short_pair(2.0, 0.0), "2 ± 0");
    }

    #[test]
    fn two_digits_of_the_half_width() {
        assert_eq!(decimals([0.0042, 0.0051, 0.2]), 4);
        assert_eq!(decimals([0.53]), 2);
        assert_eq!(decimals([12.0]), 0);
        assert_eq!(decimals([0.0]), 3);
    }

    #[test]
    fn two_digits_that_count() {
        let shown = [0.038_85, 0.001_2, 1.24, 137.0, 0.0].map(two_digits);
        assert_eq!(shown, ["0.039", "0.0012", "1.2", "137", "0"]);
    }

    #[test]
    fn small_p_values_are_small() {
        assert_eq!((p_value(0.0004), p_value(0.04)), ("< 0.001".into(), "0.040".into()));
    }
}
