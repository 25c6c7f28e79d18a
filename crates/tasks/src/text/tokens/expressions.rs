//! The regular expressions of a `tokenizer.json` that are accepted.
//!
//! The crate tokenizers looks for matches by backtracking, from each position of a text, so a file can be
//! made that keeps its reader busy forever. Accepted are expressions that take linear time in the length of
//! the text: alternatives of letters, classes and groups in which no required part follows an unbounded one.
//! Such an alternative fails after a few letters, or consumes everything that it has examined. The
//! alternatives for spaces of published tokenisers fail later, and are accepted if an alternative for all
//! spaces is the last.

use serde_json::Value;

/// The maximum number of expressions of a file. Each is matched against the whole text.
const MOST: usize = 64;
/// The maximum length of an expression in bytes. That of DeepSeek-V2 for letters has about a thousand.
const LONGEST: usize = 4096;
/// The maximum number of letters, with repetitions, that an expression may examine before it fails at a
/// position of a text.
const LOOKS: usize = 256;
/// The maximum number of letters of an expression in a message.
const SHOWN: usize = 80;

/// Alternatives that may examine all spaces before they fail.
const SPACES: [&str; 5] = [r"\s+(?!\S)", r"\s*[\r\n]+", r"\s*[\r\n]", "\\s*[\r\n]+", "\\s*[\r\n]"];
/// The alternative after them, which consumes all spaces, so that these are not examined from each of them.
const ALL_SPACES: &str = r"\s+";

/// Expressions of published tokenisers that need more than a few letters too, and have been examined: those of
/// GPT-4o, Tekken, Ling, BLOOM, and one of DeepSeek-V2.
const PUBLISHED: [&str; 5] = [
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r" ?[^(\s|[.,!?…。，、।۔،])]+",
    r"\s+$",
];

/// The error for an expression that is not accepted.
const KNOWN: &str = "supported are those of published tokenisers, and alternatives of characters, classes \
                     and groups in which an unbounded repetition is last";

/// Checks the regular expressions of a file; `members` are the members of the file that may have some.
///
/// # Errors
/// Names the member, the expression, and the part of it that is not accepted.
pub(super) fn check(members: [(&'static str, &Value); 4]) -> Result<(), String> {
    let mut all = Vec::new();
    for (member, value) in members {
        collect(member, value, &mut all);
    }
    if all.len() > MOST {
        return Err(format!("{} regular expressions; the limit is {MOST}", all.len()));
    }
    all.into_iter().try_for_each(|(member, expression)| {
        is_read(expression).map_err(|why| {
            let shown = shown(expression);
            format!("{member}: the regular expression {shown} is not supported: {why}; {KNOWN}")
        })
    })
}

/// Collects the expressions of a member, wherever they are in it.
fn collect<'a>(member: &'static str, value: &'a Value, all: &mut Vec<(&'static str, &'a str)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(member, item, all)),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| match value {
            Value::String(text) if key == "Regex" => all.push((member, text.as_str())),
            other => collect(member, other, all),
        }),
        _ => {}
    }
}

/// An expression for a message, cut where it is long.
fn shown(expression: &str) -> String {
    match expression.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}...", &expression[..end]),
        None => format!("{expression:?}"),
    }
}

/// Checks that an expression takes linear time in the length of the text.
///
/// # Errors
/// Names the part that is not accepted.
fn is_read(expression: &str) -> Result<(), String> {
    if PUBLISHED.contains(&expression) {
        return Ok(());
    }
    if expression.len() > LONGEST {
        return Err(format!("it has {} bytes; the limit is {LONGEST}", expression.len()));
    }
    let mut reader = Reader { left: expression };
    let (mut looks, mut spaces) = (0_usize, None);
    let last = loop {
        let start = reader.left;
        match reader.spaces() {
            Some(found) => spaces = Some(found),
            None => looks = looks.saturating_add(reader.alternative(false)?.looks),
        }
        let read = reader.since(start);
        if let (Some(spaces), false) = (spaces, read == ALL_SPACES || SPACES.contains(&read)) {
            return Err(format!("{read:?} is not supported after {spaces:?}"));
        }
        if !reader.takes("|") {
            break read;
        }
    };
    match spaces {
        _ if !reader.left.is_empty() => Err(reader.unknown()),
        _ if looks > LOOKS => {
            Err(format!("it examines more than {LOOKS} characters before it fails"))
        }
        Some(spaces) if last != ALL_SPACES => {
            Err(format!("{spaces:?} without {ALL_SPACES:?} as the last alternative"))
        }
        _ => Ok(()),
    }
}

/// The cost of matching a part of an expression, or a row of parts.
struct Cost {
    /// The maximum number of letters that it examines, with repetitions.
    looks: usize,
    /// The ways in which it can match.
    ways: usize,
}

/// The unread rest of an expression.
struct Reader<'a> {
    left: &'a str,
}

impl<'a> Reader<'a> {
    /// The text that was read since the rest was `start`.
    fn since(&self, start: &'a str) -> &'a str {
        &start[..start.len() - self.left.len()]
    }

    /// Consumes this text, if it comes next.
    fn takes(&mut self, text: &str) -> bool {
        let rest = self.left.strip_prefix(text);
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }

    /// Consumes the next letter.
    fn letter(&mut self) -> Option<char> {
        let mut letters = self.left.chars();
        let letter = letters.next();
        self.left = letters.as_str();
        letter
    }

    /// The message that the next text is not known there.
    fn unknown(&self) -> String {
        let next: String = self.left.chars().take(8).collect();
        format!("{next:?} is not supported there")
    }

    /// Consumes an alternative of `SPACES`, if it comes next.
    fn spaces(&mut self) -> Option<&'static str> {
        let ends = |rest: &str| rest.is_empty() || rest.starts_with('|');
        let found =
            SPACES.into_iter().find(|spaces| self.left.strip_prefix(spaces).is_some_and(ends))?;
        self.left = &self.left[found.len()..];
        Some(found)
    }

    /// Consumes an alternative, up to a bar or the end of its group.
    fn alternative(&mut self, grouped: bool) -> Result<Cost, String> {
        let mut all = Cost { looks: 0, ways: 1 };
        let mut endless = None;
        while !self.left.is_empty() && !self.left.starts_with(['|', ')']) {
            let start = self.left;
            let is_group = self.takes("(");
            let one = match is_group {
                true => self.group(grouped)?,
                false => self.one_letter()?,
            };
            let (least, most) = self.times()?;
            let read = self.since(start);
            if is_group && most != Some(1) {
                return Err(format!("{read:?} repeats a group"));
            }
            if grouped && most.is_none() {
                return Err(format!("{read:?} is an unbounded repetition in a group"));
            }
            if let (Some(before), true) = (endless, least > 0) {
                return Err(format!(
                    "{read:?} follows {before:?}, which is an unbounded repetition"
                ));
            }
            endless = endless.or(most.is_none().then_some(read));
            let times = most.unwrap_or(least.max(1));
            let looks = one.looks.saturating_mul(times).saturating_mul(all.ways);
            let ways = one.ways.saturating_add(most.unwrap_or(least).saturating_sub(least));
            all.looks = all.looks.saturating_add(looks);
            all.ways = all.ways.saturating_mul(ways);
        }
        Ok(all)
    }

    /// Reads the rest of a group, after its bracket; the group may ignore case.
    fn group(&mut self, grouped: bool) -> Result<Cost, String> {
        if grouped {
            return Err("nested groups are not supported".into());
        }
        if !self.takes("?:") && !self.takes("?i:") && self.left.starts_with('?') {
            return Err(format!("the group {}", self.unknown()));
        }
        let mut all = Cost { looks: 0, ways: 0 };
        loop {
            let one = self.alternative(true)?;
            all.looks = all.looks.saturating_add(one.looks);
            all.ways = all.ways.saturating_add(one.ways);
            if !self.takes("|") {
                break;
            }
        }
        match self.takes(")") {
            true => Ok(all),
            false => Err("a group is not closed".into()),
        }
    }

    /// Reads a letter, or a class of letters.
    fn one_letter(&mut self) -> Result<Cost, String> {
        let start = self.left;
        match self.letter() {
            Some('[') => self.class()?,
            Some('\\') => self.escape()?,
            Some('*' | '+' | '?' | '{' | '}' | ']' | '^' | '$') | None => {
                self.left = start;
                return Err(self.unknown());
            }
            Some(_) => {}
        }
        Ok(Cost { looks: 1, ways: 1 })
    }

    /// Reads the rest of a class, after its bracket.
    fn class(&mut self) -> Result<(), String> {
        self.takes("^");
        if self.left.starts_with(']') {
            return Err(self.unknown());
        }
        loop {
            match self.letter() {
                Some(']') => return Ok(()),
                Some('\\') => self.escape()?,
                Some('[') => return Err("nested classes are not supported".into()),
                Some(_) => {}
                None => return Err("a class is not closed".into()),
            }
        }
    }

    /// Reads the rest of a class or a letter that is written with a backslash, after the backslash.
    fn escape(&mut self) -> Result<(), String> {
        match self.letter() {
            Some('s' | 'S' | 'd' | 'D' | 'w' | 'W' | 'r' | 'n' | 't') => Ok(()),
            Some('p' | 'P') => self.category(),
            Some('<' | '>') => Err("word boundaries are not supported".into()),
            Some(mark) if mark.is_ascii_punctuation() => Ok(()),
            Some(other) => Err(format!("\\{other} is not supported")),
            None => Err("a backslash is the last character".into()),
        }
    }

    /// Reads the name of a category of letters.
    fn category(&mut self) -> Result<(), String> {
        if !self.takes("{") {
            return match self.letter() {
                Some(letter) if letter.is_ascii_alphabetic() => Ok(()),
                _ => Err("a category has no name".into()),
            };
        }
        let name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '=');
        self.left = self.left.trim_start_matches(name);
        match self.takes("}") {
            true => Ok(()),
            false => Err(format!("in the name of a category: {}", self.unknown())),
        }
    }

    /// The minimum and the maximum number of repetitions of a part; without a maximum it is unbounded.
    fn times(&mut self) -> Result<(usize, Option<usize>), String> {
        let start = self.left;
        let times = match self.letter() {
            Some('?') => (0, Some(1)),
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('{') => self.counts()?,
            _ => {
                self.left = start;
                return Ok((1, Some(1)));
            }
        };
        match self.left.starts_with(['?', '+']) {
            true => Err("lazy or possessive repetitions are not supported".into()),
            false => Ok(times),
        }
    }

    /// Reads the numbers of a repetition, after its bracket.
    fn counts(&mut self) -> Result<(usize, Option<usize>), String> {
        let Some(least) = self.number() else {
            return Err(format!("in the count of a repetition: {}", self.unknown()));
        };
        let most = if self.takes(",") { self.number() } else { Some(least) };
        match self.takes("}") {
            true => Ok((least, most)),
            false => Err(format!("in the count of a repetition: {}", self.unknown())),
        }
    }

    fn number(&mut self) -> Option<usize> {
        let rest = self.left.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let digits = &self.left[..self.left.len() - rest.len()];
        self.left = rest;
        digits.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_published_tokenisers_are_read() {
        let gpt_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
        let llama = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
        let deepseek = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
        let clip = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
        let more = [
            gpt_2,
            llama,
            deepseek,
            clip,
            " {2,}",
            r"\s+",
            "[一-龥぀-ゟ゠-ヿ]+",
            r"\p{N}{1,3}",
            "``",
            "[0-9][0-9][0-9]",
            "[\r\n]",
            r"\s?\p{L}+",
            "",
            "b*",
            "a(b|c)?d+e*f?",
            ".",
            r"\pL+",
        ];
        for expression in more.into_iter().chain(PUBLISHED) {
            assert_eq!(is_read(expression), Ok(()), "{expression}");
        }
    }

    #[test]
    fn expressions_that_may_take_for_ever_are_refused() {
        let many = "a?".repeat(20) + "b";
        for (expression, why) in [
            ("(a+)+", "\"a+\" is an unbounded repetition in a group"),
            ("(?:a|a)*b", "\"(?:a|a)*\" repeats a group"),
            ("(?:ab){3}", "repeats a group"),
            (r"\w*x|\w", "\"x\" follows \"\\\\w*\", which is an unbounded repetition"),
            (r"\s+\s+", "which is an unbounded repetition"),
            (r"(?=.*x)a", "the group \"?=.*x)a\" is not supported there"),
            (r"(?<!a)b", "is not supported there"),
            (r"(a)\1", r"\1 is not supported"),
            (r"\bword", r"\b is not supported"),
            (r"a\<", "word boundaries are not supported"),
            ("a+?", "lazy or possessive"),
            ("a?+b", "lazy or possessive"),
            ("((a)b)", "nested groups are not supported"),
            ("[a[b]]", "nested classes are not supported"),
            ("[]a]", "\"]a]\" is not supported there"),
            (r"[\p{]}]+x", "in the name of a category: \"]}]+x\" is not supported there"),
            ("(?x) a", "the group \"?x) a\" is not supported there"),
            ("(?#x)a", "the group"),
            ("a{,3}", "in the count of a repetition: \",3}\" is not supported there"),
            ("a{0,300}b", "it examines more than 256 characters before it fails"),
            (&many, "it examines more than 256 characters before it fails"),
            (r"\s+(?!\S)", "without \"\\\\s+\" as the last alternative"),
            (r"\s*[\r\n]+| |\s+", "\" \" is not supported after"),
            (r"\s+(?!\S)|\s+|\s*[\r\n]", "as the last alternative"),
            ("a)b", "\")b\" is not supported there"),
            ("(a", "a group is not closed"),
            ("[a", "a class is not closed"),
            ("a\\", "a backslash is the last character"),
            ("^a", "\"^a\" is not supported there"),
            (&"a".repeat(5000), "it has 5000 bytes; the limit is 4096"),
        ] {
            let said = is_read(expression).unwrap_err();
            assert!(said.contains(why), "{expression}: {said}");
        }
    }

    #[test]
    fn the_place_and_the_expression_are_named() {
        let split = |regex: &str| serde_json::json!({ "pattern": { "Regex": regex } });
        let check = |all: Vec<Value>| {
            let (all, none) = (serde_json::json!({ "pretokenizers": all }), Value::Null);
            check([("a", &none), ("pre_tokenizer", &all), ("b", &none), ("c", &none)])
        };
        let said = check(vec![split("a"), split("(a*)*")]).unwrap_err();
        let start =
            "pre_tokenizer: the regular expression \"(a*)*\" is not supported: \"a*\" is an";
        assert!(said.starts_with(start) && said.ends_with(KNOWN), "{said}");
        let long = format!("{}(a*)*", "é".repeat(100));
        let said = check(vec![split(&long)]).unwrap_err();
        assert!(said.contains(&format!("{:?}... is not supported", "é".repeat(80))), "{said}");
        let said = check(vec![split("a"); 65]).unwrap_err();
        assert_eq!(said, "65 regular expressions; the limit is 64");
        assert_eq!(check(vec![serde_json::json!({ "Regex": 1 })]), Ok(()));
    }
}
