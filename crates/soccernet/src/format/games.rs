//! Lists of games: `{league: {season: [game, ...]}}`, one file per split.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{
    Error, Judge, Result,
    json::{self, Node},
};

/// Games by their paths `league/season/game`, in the file's order.
///
/// # Errors
///
/// If the file has another form, or a game twice.
pub fn read(bytes: &[u8], file: &str) -> Result<Vec<String>> {
    let value = json::parse(bytes, file, &mut Judge::strict())?;
    let (mut games, mut seen) = (Vec::new(), BTreeSet::new());
    for (league, seasons) in Node::root(&value, file).fields()? {
        for (season, list) in seasons.fields()? {
            let names: Option<Vec<&str>> =
                list.value.as_array().and_then(|all| all.iter().map(Value::as_str).collect());
            for name in names.ok_or_else(|| list.error("expected a list of names"))? {
                let game = format!("{league}/{season}/{name}");
                if !seen.insert(game.clone()) {
                    return Err(list.error(format!("{name} is listed twice")));
                }
                games.push(game);
            }
        }
    }
    Ok(games)
}

/// The file's content.
///
/// # Errors
///
/// If a game is not a path of three parts.
pub fn write(games: &[String]) -> Result<Vec<u8>> {
    let mut leagues = Map::new();
    for game in games {
        let [league, season, name] = game.split('/').collect::<Vec<_>>()[..] else {
            return Err(Error::entry("games", game, "expected league/season/game"));
        };
        let seasons = leagues.entry(league).or_insert_with(|| Map::new().into());
        if seasons.get(season).is_none() {
            seasons[season] = Value::Array(Vec::new());
        }
        if let Some(list) = seasons[season].as_array_mut() {
            list.push(name.into());
        }
    }
    Ok(json::render(&leagues.into()))
}

/// Refuses to train on games that are tested elsewhere: the splits of spotting and of camera shots
/// are different partitions of the same games.
///
/// # Errors
///
/// Names the first game that is in both lists, and the number of such games.
pub fn disjoint(train: (&str, &[String]), test: (&str, &[String])) -> Result<()> {
    let tested: BTreeSet<&String> = test.1.iter().collect();
    let both: Vec<&String> = train.1.iter().filter(|game| tested.contains(game)).collect();
    match both.first() {
        None => Ok(()),
        Some(first) => {
            let problem = format!("{} games are also in {}", both.len(), test.0);
            Err(Error::entry(train.0, *first, problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] =
        br#"{"epl": {"2014": ["b 1 - 1 a", "a"], "2015": ["a"]}, "liga": {"2014": ["a"]}}"#;

    #[test]
    fn what_is_read_is_written() {
        let games = read(FILE, "f").unwrap();
        assert_eq!(games, ["epl/2014/b 1 - 1 a", "epl/2014/a", "epl/2015/a", "liga/2014/a"]);
        assert_eq!(read(&write(&games).unwrap(), "again").unwrap(), games);
    }

    #[test]
    fn other_forms_are_refused() {
        let error = |text: &[u8]| read(text, "f").unwrap_err().to_string();
        assert_eq!(error(br#"{"a": {"b": [1]}}"#), "f: a.b: expected a list of names");
        assert!(error(br#"{"a": ["b"]}"#).contains("expected an object"));
        assert!(error(br#"{"a": {"b": ["c", "c"]}}"#).contains("c is listed twice"));
        assert!(write(&["a/b".into()]).is_err());
    }

    #[test]
    fn overlapping_splits_are_refused() {
        let [a, b, c] = ["l/s/a", "l/s/b", "l/s/c"].map(String::from);
        let train = [a, b.clone()];
        assert_eq!(disjoint(("train", &train), ("test", std::slice::from_ref(&c))), Ok(()));
        let error = disjoint(("camera train", &train), ("spotting test", &[c, b])).unwrap_err();
        let expected = "camera train: l/s/b: 1 games are also in spotting test";
        assert_eq!(error.to_string(), expected);
    }
}
