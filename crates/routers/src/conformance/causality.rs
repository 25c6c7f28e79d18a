//! Whether a unit's output depends on the units after it. A decoder with such a router would see the
//! tokens that it is to predict.

use burn::prelude::*;
use moe::{BlockInput, TokenIds};

use super::subject::{Setup, Subject, distance, values};

/// Units after a cut are changed. If outputs before it change, the router leaks, and must say so;
/// if they never do, it must not say so, or decoders would be denied it for nothing.
pub(super) fn agrees(subject: &Subject) -> Result<(), String> {
    let mut leak: Option<String> = None;
    for seed in 0..3 {
        for training in [false, true] {
            for cut in [1, 5, 9] {
                let gap = gap(subject, Setup { seed, ..Setup::PLAIN }, training, cut)?;
                if gap > 1e-5 && leak.is_none() {
                    let mode = if training { "training" } else { "evaluation" };
                    leak = Some(format!(
                        "changing units from {cut} on, in {mode}, changes outputs before them by {gap}"
                    ));
                }
            }
        }
    }
    match (subject.causal()?, leak) {
        (true, Some(leak)) => Err(format!("{leak}, but the router says CAUSAL = true")),
        (false, None) => {
            Err("the router says CAUSAL = false, but no output depends on a later unit".into())
        }
        _ => Ok(()),
    }
}

/// By how much outputs before `cut` change if units from there on do.
fn gap(subject: &Subject, setup: Setup, training: bool, cut: usize) -> Result<f32, String> {
    let run = |changed: bool| {
        let (mut pass, mut x) = subject.input(setup, training);
        if changed {
            let [b, t, d] = x.dims();
            let after = subject.noise("after", [b, t - cut, d]) * 3.0;
            x = Tensor::cat(vec![x.narrow(1, 0, cut), after], 1);
            pass.put(BlockInput(x.clone()));
            if let Some(TokenIds(ids)) = pass.take() {
                let other = ids.clone().narrow(1, cut, t - cut) + 31;
                pass.put(TokenIds(Tensor::cat(vec![ids.narrow(1, 0, cut), other], 1)));
            }
        }
        // A fresh layer each time: a training pass may move state.
        let y = subject.layer(setup)?.forward(&mut pass, x);
        Ok::<_, String>(values(y.narrow(1, 0, cut)))
    };
    Ok(distance(&run(false)?, &run(true)?))
}
