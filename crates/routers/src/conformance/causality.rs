//! Checks whether a unit's output depends on the units after it. A decoder with such a router would have
//! access to the tokens that it predicts.

use burn::prelude::*;
use moe::{BlockInput, TokenIds};

use super::subject::{Setup, Subject, distance, values};

/// Changes the units from a cut on. If outputs before the cut change, the router must declare that it is
/// not causal; if they never do, it must declare that it is causal, since decoders would otherwise refuse
/// it without reason.
pub(super) fn agrees(subject: &Subject) -> Result<(), String> {
    let mut leak: Option<String> = None;
    for seed in 0..3 {
        for training in [false, true] {
            for cut in [1, 5, 9] {
                let gap = gap(subject, Setup { seed, ..Setup::PLAIN }, training, cut)?;
                if gap > 1e-5 && leak.is_none() {
                    let mode = if training { "training" } else { "evaluation" };
                    leak = Some(format!(
                        "in {mode}, changing the units from {cut} on changes earlier outputs by {gap}"
                    ));
                }
            }
        }
    }
    match (subject.causal()?, leak) {
        (true, Some(leak)) => Err(format!("{leak}, but the router declares CAUSAL = true")),
        (false, None) => {
            Err("the router declares CAUSAL = false, but no output depends on a later unit".into())
        }
        _ => Ok(()),
    }
}

/// The largest change of outputs before `cut` when the units from `cut` on change.
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
        // A new layer for each run: a training pass may change state.
        let y = subject.layer(setup)?.forward(&mut pass, x);
        Ok::<_, String>(values(y.narrow(1, 0, cut)))
    };
    Ok(distance(&run(false)?, &run(true)?))
}
