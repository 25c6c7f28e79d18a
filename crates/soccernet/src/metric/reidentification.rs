//! Re-identification of players: mean average precision and rank-1.
//!
//! The package SoccerNet 0.1.62. <https://github.com/SoccerNet/sn-reid>

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use crate::{
    Error, Judge, Result, Source,
    format::{
        bodies::{Bodies, Body},
        ranking::Ranking,
    },
};

/// The result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reidentification {
    /// Number of queries.
    pub queries: usize,
    /// Mean over queries of the average precision, not interpolated.
    #[serde(rename = "mAP")]
    pub average: f64,
    /// Share of the queries whose first answer is right.
    #[serde(rename = "rank-1")]
    pub rank_1: f64,
}

/// Scores the only `.json` file of the submission against the only `...bbox_info.json` of the truth.
///
/// # Errors
///
/// If a query has no ranking; if a ranking lacks a box of its action, has one twice or has one of another
/// action; if a person is not in the gallery; or if the judge refuses an entry.
pub fn score(truth: &Source, prediction: &Source, judge: &mut Judge) -> Result<Reidentification> {
    let file = truth.only("bbox_info.json").or_else(|_| truth.only(".json"))?;
    let bodies = Bodies::read(&truth.read(file)?, file, judge)?;
    let ranking_file = prediction.only(".json")?;
    let ranking = Ranking::read(&prediction.read(ranking_file)?, ranking_file, judge)?;
    compare(&bodies, &ranking, ranking_file, judge)
}

fn compare(
    bodies: &Bodies,
    ranking: &Ranking,
    file: &str,
    judge: &mut Judge,
) -> Result<Reidentification> {
    let rankings: HashMap<&str, &Vec<i64>> =
        ranking.queries.iter().map(|(query, ranked)| (query.as_str(), ranked)).collect();
    let known: HashSet<&str> = bodies.query.iter().map(|(query, _)| query.as_str()).collect();
    for (query, _) in &ranking.queries {
        if !known.contains(query.as_str()) {
            judge.odd(Error::entry(
                file,
                query,
                "the truth does not have this query; it is ignored",
            ))?;
        }
    }
    let gallery: HashMap<&str, &Body> =
        bodies.gallery.iter().map(|(key, body)| (key.as_str(), body)).collect();
    let actions = bodies.gallery_by_action();
    let (mut precisions, mut first) = (Vec::new(), 0);
    for (key, query) in &bodies.query {
        let missing = || Error::entry(file, key, "it is missing; each query needs a ranking");
        let ranked = rankings.get(key.as_str()).ok_or_else(missing)?;
        let fault = |problem: String| Error::entry(file, key, problem);
        let hits = hits(query, ranked, &gallery, &actions).map_err(fault)?;
        first += usize::from(hits[0]);
        precisions.push(average_precision(&hits));
    }
    if precisions.is_empty() {
        return Err(Error::file(file, "the truth has no queries"));
    }
    let queries = precisions.len();
    Ok(Reidentification {
        queries,
        average: precisions.iter().sum::<f64>() / queries as f64,
        rank_1: first as f64 / queries as f64,
    })
}

/// Whether a box shows the person, rank by rank.
fn hits(
    query: &Body,
    ranked: &[i64],
    gallery: &HashMap<&str, &Body>,
    actions: &BTreeMap<&str, Vec<i64>>,
) -> std::result::Result<Vec<bool>, String> {
    let (mut seen, mut hits) = (BTreeSet::new(), Vec::new());
    for index in ranked {
        if !seen.insert(*index) {
            return Err(format!("gallery box {index} is listed twice"));
        }
        let body = gallery.get(index.to_string().as_str());
        let body = body.ok_or_else(|| format!("the gallery has no box {index}"))?;
        if body.action != query.action {
            let (theirs, ours) = (&body.action, &query.action);
            return Err(format!("gallery box {index} belongs to action {theirs}; expected {ours}"));
        }
        hits.push(body.person == query.person);
    }
    let expected = actions.get(query.action.as_str()).map_or(&[][..], Vec::as_slice);
    if let Some(index) = expected.iter().find(|index| !seen.contains(index)) {
        return Err(format!("gallery box {index} of its action is missing"));
    }
    match hits.contains(&true) {
        true => Ok(hits),
        false => Err(format!("person {} is not in the gallery", query.person)),
    }
}

/// The mean of the precision at the ranks that show the person.
fn average_precision(hits: &[bool]) -> f64 {
    let ranks = hits.iter().enumerate().filter(|(_, hit)| **hit).map(|(rank, _)| rank + 1);
    let precisions: Vec<f64> = ranks.zip(1..).map(|(rank, n)| f64::from(n) / rank as f64).collect();
    precisions.iter().sum::<f64>() / precisions.len() as f64
}
