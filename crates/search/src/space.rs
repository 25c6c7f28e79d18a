//! A space: names with their possible values; drawing of members, mutation, crossover and repair.

use std::collections::HashSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};

use crate::{Gene, Length, ListGene, Member, SearchError};

/// The maximum length of a list, so that a mistyped length takes no memory.
const LONGEST: usize = 10_000;

/// Names, and the possible choices under each.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    /// The genes; those whose length is set by another gene come last.
    genes: Vec<(String, Gene)>,
}

impl Space {
    /// A space of these genes.
    ///
    /// # Errors
    /// If there are no genes, if a gene has no values or has one of them twice, or if its length is not
    /// known.
    pub fn new(genes: Vec<(String, Gene)>) -> Result<Self, SearchError> {
        let wrong = |message: String| Err(SearchError::Space(message));
        if genes.is_empty() {
            return wrong("the space is empty: at least one name is needed".into());
        }
        for (name, gene) in &genes {
            let values = gene.values();
            let mut seen = HashSet::new();
            if values.is_empty() {
                return wrong(format!("{name} = []: at least one value is needed"));
            }
            if let Some(twice) = values.iter().find(|value| !seen.insert(value.to_string())) {
                return wrong(format!("{name}: the value {twice} is listed twice"));
            }
            match gene {
                Gene::List(ListGene { length: Length::Fixed(n), .. })
                    if !(1..=LONGEST).contains(n) =>
                {
                    return wrong(format!("{name}: length = {n}: must be from 1 to {LONGEST}"));
                }
                Gene::List(ListGene { length: Length::Gene(of), .. }) => {
                    check_length(name, of, &genes)?;
                }
                _ => {}
            }
        }
        let (follow, lead): (Vec<_>, Vec<_>) =
            genes.into_iter().partition(|(_, gene)| gene.length_gene().is_some());
        Ok(Self { genes: [lead, follow].concat() })
    }

    /// Names and genes.
    pub fn genes(&self) -> impl Iterator<Item = (&str, &Gene)> {
        self.genes.iter().map(|(name, gene)| (name.as_str(), gene))
    }

    /// The space as it is stored.
    pub(crate) fn to_value(&self) -> Value {
        let pair = |(name, gene): &(String, Gene)| (name.clone(), serde_json::json!(gene));
        Value::Object(self.genes.iter().map(pair).collect())
    }

    /// Draws a member: each choice uniformly and independently.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> Member {
        let mut member = Member::default();
        for (name, gene) in &self.genes {
            let value = match gene {
                Gene::One(values) => pick(values, rng),
                Gene::List(list) => drawn_list(list, lengths(list, &member), rng),
            };
            member.0.insert(name.clone(), value);
        }
        member
    }

    /// A list of members in which every value of every gene is chosen at least once.
    pub fn every_value(&self) -> Vec<Member> {
        let most = self.genes.iter().map(|(_, gene)| gene.values().len()).max().unwrap_or(0);
        let member = |number: usize| {
            let mut rng = ChaCha8Rng::seed_from_u64(number as u64);
            let drawn = self.draw(&mut rng);
            let chosen = |(name, gene): &(String, Gene)| {
                let value = &gene.values()[number % gene.values().len()];
                let all = changed(&drawn.0[name], self.depth(gene), &mut |_| value.clone());
                (name.clone(), all)
            };
            let mut member = Member(self.genes.iter().map(chosen).collect());
            self.repair(&mut member, &mut rng);
            member
        };
        (0..most).map(member).collect()
    }

    /// A repaired copy in which each choice is drawn anew with this probability.
    pub fn mutate(&self, member: &Member, chance: f64, rng: &mut ChaCha8Rng) -> Member {
        let change = |(name, gene): &(String, Gene)| {
            let value = changed(&member.0[name], self.depth(gene), &mut |old| match rng
                .random_bool(chance)
            {
                true => pick(gene.values(), rng),
                false => old.clone(),
            });
            (name.clone(), value)
        };
        let mut mutant = Member(self.genes.iter().map(change).collect());
        self.repair(&mut mutant, rng);
        mutant
    }

    /// Takes each choice from either parent with equal probability, and repairs the result.
    pub fn cross(&self, a: &Member, b: &Member, rng: &mut ChaCha8Rng) -> Member {
        let mixed = |(name, gene): &(String, Gene)| {
            (name.clone(), mixed(&a.0[name], &b.0[name], self.depth(gene), rng))
        };
        let mut child = Member(self.genes.iter().map(mixed).collect());
        self.repair(&mut child, rng);
        child
    }

    /// Cuts lists to the length that their gene sets, and draws missing elements.
    pub fn repair(&self, member: &mut Member, rng: &mut ChaCha8Rng) {
        for (name, gene) in &self.genes {
            let (Gene::List(list), Some(_)) = (gene, gene.length_gene()) else { continue };
            let wanted = lengths(list, member);
            let old = member.0.get(name).cloned().unwrap_or_default();
            let fitted = match wanted {
                Lengths::One(n) => fitted(&old, n, &list.each, rng),
                Lengths::Each(all) => {
                    let part = |i: usize| old.get(i).cloned().unwrap_or_default();
                    let lists = all.iter().enumerate();
                    lists.map(|(i, n)| fitted(&part(i), *n, &list.each, rng)).collect()
                }
            };
            member.0.insert(name.clone(), fitted);
        }
    }

    /// Checks that this is a member of the space.
    ///
    /// # Errors
    /// Names the choice, and the known values.
    pub fn check(&self, member: &Member) -> Result<(), SearchError> {
        let foreign = |message: String| Err(SearchError::Foreign(message));
        let known: Vec<&str> = self.genes().map(|(name, _)| name).collect();
        if let Some((name, _)) = member.iter().find(|(name, _)| !known.contains(name)) {
            return foreign(format!("unknown name {name:?}; known: {}", known.join(", ")));
        }
        for (name, gene) in &self.genes {
            let Some(value) = member.get(name) else {
                return foreign(format!("{name} is missing; the space has {}", known.join(", ")));
            };
            let right = match gene {
                Gene::One(values) => values.contains(value),
                Gene::List(list) => match lengths(list, member) {
                    Lengths::One(n) => is_list(value, n, &list.each),
                    Lengths::Each(all) => {
                        let parts = value.as_array().map_or(&[][..], Vec::as_slice);
                        let pairs = parts.iter().zip(&all);
                        parts.len() == all.len() && { pairs }
                            .all(|(part, n)| is_list(part, *n, &list.each))
                    }
                },
            };
            if !right {
                let known = serde_json::to_string(gene).unwrap_or_default();
                return foreign(format!("{name} = {value}; known: {known}"));
            }
        }
        Ok(())
    }

    /// The depth of lists of choices.
    fn depth(&self, gene: &Gene) -> usize {
        let of = |name: &str| self.genes.iter().find(|(known, _)| known == name);
        match gene {
            Gene::One(_) => 0,
            Gene::List(_) => 1 + gene.length_gene().and_then(of).map_or(0, |(_, g)| self.depth(g)),
        }
    }
}

/// Checks that the length of `name`, which the gene `of` determines, is at least 1 in every case.
fn check_length(name: &str, of: &str, genes: &[(String, Gene)]) -> Result<(), SearchError> {
    let Some((_, gene)) = genes.iter().find(|(known, _)| known == of) else {
        let known: Vec<&str> = genes.iter().map(|(name, _)| name.as_str()).collect();
        let known = known.join(", ");
        return Err(SearchError::Space(format!(
            "{name}: length = {of:?} is not a name; known: {known}"
        )));
    };
    let counts = |value: &Value| value.as_u64().is_some_and(|n| (1..=LONGEST as u64).contains(&n));
    match gene.length_gene().is_none() && gene.values().iter().all(counts) {
        true => Ok(()),
        false => Err(SearchError::Space(format!(
            "{name}: length = {of:?}: its values are numbers from 1 to {LONGEST}, and its own length is \
             a number"
        ))),
    }
}

/// The lengths of a list or of the lists in it.
enum Lengths {
    One(usize),
    Each(Vec<usize>),
}

fn lengths(list: &ListGene, member: &Member) -> Lengths {
    let count = |value: &Value| value.as_u64().unwrap_or(0) as usize;
    match &list.length {
        Length::Fixed(n) => Lengths::One(*n),
        Length::Gene(name) => match member.get(name) {
            Some(Value::Array(all)) => Lengths::Each(all.iter().map(count).collect()),
            Some(one) => Lengths::One(count(one)),
            None => Lengths::One(0),
        },
    }
}

fn pick(values: &[Value], rng: &mut ChaCha8Rng) -> Value {
    values[rng.random_range(0..values.len())].clone()
}

fn drawn_list(list: &ListGene, lengths: Lengths, rng: &mut ChaCha8Rng) -> Value {
    let mut one = |n: usize| -> Value { (0..n).map(|_| pick(&list.each, rng)).collect() };
    match lengths {
        Lengths::One(n) => one(n),
        Lengths::Each(all) => all.into_iter().map(one).collect(),
    }
}

/// A list of `n` elements: the first of `old`, then drawn ones.
fn fitted(old: &Value, n: usize, each: &[Value], rng: &mut ChaCha8Rng) -> Value {
    let mut list = old.as_array().cloned().unwrap_or_default();
    list.truncate(n);
    while list.len() < n {
        list.push(pick(each, rng));
    }
    list.into()
}

fn is_list(value: &Value, n: usize, each: &[Value]) -> bool {
    let elements = value.as_array();
    elements.is_some_and(|list| list.len() == n && list.iter().all(|value| each.contains(value)))
}

/// The same value with each choice, at this depth of lists, changed.
fn changed(value: &Value, depth: usize, change: &mut dyn FnMut(&Value) -> Value) -> Value {
    match value {
        Value::Array(list) if depth > 0 => {
            list.iter().map(|inner| changed(inner, depth - 1, change)).collect()
        }
        _ => change(value),
    }
}

/// Takes each choice, at this depth of lists, from either value; from the longer list where the other has
/// ended.
fn mixed(a: &Value, b: &Value, depth: usize, rng: &mut ChaCha8Rng) -> Value {
    let (Value::Array(first), Value::Array(second), true) = (a, b, depth > 0) else {
        return if rng.random_bool(0.5) { a.clone() } else { b.clone() };
    };
    let longest = first.len().max(second.len());
    let element = |i: usize| match (first.get(i), second.get(i)) {
        (Some(a), Some(b)) => mixed(a, b, depth - 1, rng),
        (one, other) => one.or(other).cloned().unwrap_or_default(),
    };
    (0..longest).map(element).collect()
}

/// A space written as JSON: `{"name": [1, 2], "list": {"each": [1, 2], "length": 3}}`.
impl TryFrom<Map<String, Value>> for Space {
    type Error = SearchError;

    fn try_from(table: Map<String, Value>) -> Result<Self, SearchError> {
        let gene = |(name, value): (String, Value)| match serde_json::from_value(value.clone()) {
            Ok(gene) => Ok((name, gene)),
            Err(_) => Err(SearchError::Space(format!(
                "{name} = {value}: expected a list of values, or each = [values] and length = a number or \
                 a name"
            ))),
        };
        Self::new(table.into_iter().map(gene).collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn space(value: Value) -> Result<Space, SearchError> {
        Space::try_from(value.as_object().unwrap().clone())
    }

    fn automoe() -> Space {
        // Widths come before the gene that sets their number.
        space(json!({
            "widths": { "each": [1024, 2048, 3072], "length": "experts" },
            "d": [512, 640],
            "experts": { "each": [1, 2, 3], "length": 4 },
        }))
        .unwrap()
    }

    fn member(value: Value) -> Member {
        Member(value.as_object().unwrap().clone())
    }

    #[test]
    fn what_is_drawn_mutated_and_crossed_stays_in_the_space() {
        let (space, mut rng) = (automoe(), ChaCha8Rng::seed_from_u64(3));
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let (a, b) = (space.draw(&mut rng), space.draw(&mut rng));
            let mutant = space.mutate(&a, 0.3, &mut rng);
            let child = space.cross(&a, &b, &mut rng);
            for member in [&a, &b, &mutant, &child] {
                space.check(member).unwrap();
            }
            seen.extend(a.get("experts").unwrap().as_array().unwrap().iter().map(Value::to_string));
        }
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn every_value_is_chosen_by_some_member() {
        let space = automoe();
        let members = space.every_value();
        assert_eq!(members.len(), 3);
        for (name, gene) in space.genes() {
            let chosen: String = members.iter().map(|m| m.get(name).unwrap().to_string()).collect();
            assert!(
                gene.values().iter().all(|value| chosen.contains(&value.to_string())),
                "{name}"
            );
        }
        members.iter().for_each(|member| space.check(member).unwrap());
    }

    #[test]
    fn repair_cuts_and_fills_up_the_widths() {
        let space = space(json!({ "n": [1, 2, 3], "f": { "each": [7], "length": "n" } })).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for (n, widths, expected) in
            [(1, json!([7, 7]), json!([7])), (3, json!([7]), json!([7, 7, 7]))]
        {
            let mut broken = member(json!({ "n": n, "f": widths }));
            space.repair(&mut broken, &mut rng);
            assert_eq!(broken.get("f"), Some(&expected));
        }
    }

    #[test]
    fn a_chance_of_none_or_all() {
        let (space, mut rng) = (automoe(), ChaCha8Rng::seed_from_u64(1));
        let a = space.draw(&mut rng);
        assert_eq!(space.mutate(&a, 0.0, &mut rng), a);
        assert_eq!(space.cross(&a, &a, &mut rng), a);
        assert!((0..20).any(|_| space.mutate(&a, 1.0, &mut rng) != a));
    }

    #[test]
    fn a_member_of_another_space_is_named() {
        let space = automoe();
        let good = json!({ "d": 512, "experts": [1, 1, 2, 1], "widths": [[1024], [1024], [1024, 2048], [3072]] });
        space.check(&member(good.clone())).unwrap();
        let err = |key: &str, value: Value| {
            let mut wrong = good.clone();
            wrong[key] = value;
            space.check(&member(wrong)).unwrap_err().to_string()
        };
        assert_eq!(
            err("d", json!(600)),
            "the architecture is not in this space: d = 600; known: [512,640]"
        );
        assert!(
            err("experts", json!([1, 1])).contains("experts = [1,1]; known: {\"each\":[1,2,3]")
        );
        assert!(
            err("widths", json!([[1024], [1024], [1024], [1024]])).contains("widths = [[1024]")
        );
        assert!(err("h", json!(3)).contains("unknown name \"h\"; known: d, experts, widths"));
        let err = space.check(&member(json!({ "d": 512 }))).unwrap_err().to_string();
        assert!(err.contains("experts is missing"), "{err}");
    }

    #[test]
    fn spaces_that_make_no_sense() {
        let err = |value| space(value).unwrap_err().to_string();
        assert!(err(json!({})).contains("the space is empty"));
        assert!(err(json!({ "a": [] })).contains("a = []: at least one value is needed"));
        assert!(err(json!({ "a": [1, 1] })).contains("the value 1 is listed twice"));
        assert!(err(json!({ "a": 3 })).contains("a = 3: expected a list of values"));
        assert!(
            err(json!({ "a": { "each": [1], "length": 0 } }))
                .contains("length = 0: must be from 1")
        );
        assert!(
            err(json!({ "a": { "each": [1], "length": "b" } }))
                .contains("\"b\" is not a name; known: a")
        );
        let text = json!({ "a": { "each": [1], "length": "b" }, "b": ["x"] });
        assert!(err(text).contains("its values are numbers from 1"));
    }
}
