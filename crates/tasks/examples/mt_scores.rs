//! Scores cases from standard input as BLEU and chrF, for `scripts/golden/sacrebleu_scores.py`.

use std::io;

use serde::Deserialize;
use serde_json::json;
use tasks::text::{Bleu, Chrf};

#[derive(Deserialize)]
struct Case {
    hypotheses: Vec<String>,
    references: Vec<String>,
    bleu: Vec<(String, String, f64, String)>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cases: Vec<Case> = serde_json::from_reader(io::stdin())?;
    let mut found = Vec::new();
    for case in &cases {
        let pairs = || case.hypotheses.iter().zip(&case.references);
        let mut bleu = Vec::new();
        for (separation, smoothing, ..) in &case.bleu {
            let of = Bleu { separation: separation.parse()?, smoothing: smoothing.parse()? };
            bleu.push(of.score(pairs()).score);
        }
        found.push(json!({ "bleu": bleu, "chrf": Chrf.score(pairs()) }));
    }
    serde_json::to_writer(io::stdout(), &found)?;
    Ok(())
}
