//! Small changes of valid files, as damage, other programs and attackers make them.

/// A generator of random numbers, with the same numbers for the same start (SplitMix64: Steele, Lea, Flood.
/// *Fast splittable pseudorandom number generators*. 2014).
pub(crate) struct Random(pub u64);

impl Random {
    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A random number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// The texts that replace a number in a text.
const WORDS: [&str; 18] = [
    "0",
    "-1",
    "1",
    "0.5",
    "-0.0",
    "1e308",
    "1e-320",
    "1e999",
    "NaN",
    "inf",
    "2147483648",
    "4294967295",
    "9007199254740993",
    "18446744073709551615",
    "99999999999999999999999",
    "null",
    "\"\"",
    "[]",
];

/// The values that replace a number in bytes.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    u64::MAX,
];

/// One of the files with one to four changes.
pub(crate) fn mutated(random: &mut Random, files: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.of(files).clone();
    for _ in 0..=random.below(4) {
        change(random, &mut bytes, files);
        bytes.truncate(1 << 19);
    }
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, files: &[Vec<u8>]) {
    let (at, to) = (random.below(bytes.len()), random.below(bytes.len() + 1));
    let part = at.min(to)..at.max(to).min(at.min(to) + 64);
    match random.below(10) {
        0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        2 if !bytes.is_empty() => bytes[at] = random.next() as u8,
        3 => bytes.truncate(to),
        4 => drop(bytes.drain(part)),
        5 => {
            let copy = bytes[part].to_vec();
            bytes.splice(to..to, copy);
        }
        6 => {
            let other = random.of(files);
            let from = random.below(other.len());
            let most = random.below(64);
            bytes.splice(to..to, other[from..].iter().copied().take(most));
        }
        7 => {
            let number = *random.of(&NUMBERS);
            let width = *random.of(&[1, 2, 4, 8]);
            let (little, big) = (number.to_le_bytes(), number.to_be_bytes());
            let number = if random.below(2) == 0 { &little[..width] } else { &big[8 - width..] };
            bytes.iter_mut().skip(at).zip(number).for_each(|(byte, other)| *byte = *other);
        }
        _ => number_in_text(random, bytes, at),
    }
}

/// Replaces the next number of a text.
fn number_in_text(random: &mut Random, bytes: &mut Vec<u8>, from: usize) {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let Some(start) = bytes.iter().skip(from).position(is_digit).map(|at| at + from) else {
        return;
    };
    let end =
        bytes[start..].iter().position(|byte| !is_digit(byte)).map_or(bytes.len(), |n| start + n);
    bytes.splice(start..end, random.of(&WORDS).bytes());
}
