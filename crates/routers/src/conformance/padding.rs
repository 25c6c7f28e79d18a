//! Outputs, losses, metrics, loads and states of the real tokens do not depend on the number of padding
//! tokens after them.

use burn::prelude::*;
use moe::{BlockInput, Clusters, LayerReport, Pass, RealTokens, TokenIds};

use super::subject::{LEVELS, Setup, Subject, values};

/// The number of real tokens of each sequence.
const REAL: usize = 10;

/// The results of a layer for the real tokens: the output in training and in an evaluation after it, losses
/// and metrics, and the report.
type Found = (Vec<f32>, Vec<f32>, Vec<(String, f64)>, Vec<LayerReport>);

/// Checks that no number changes by a bit with 1 or 20 tokens of padding. If sequences have different
/// lengths, padding has the output 0 and is in no report.
pub(super) fn takes_no_part(subject: &Subject) -> Result<(), String> {
    for level in LEVELS {
        let setup = Setup { level, shape: [3, REAL + 20], ..Setup::PLAIN };
        let without = padded_by(subject, setup, 0)?;
        for padding in [1, 20] {
            if padded_by(subject, setup, padding)? != without {
                return Err(format!(
                    "{padding} tokens of padding change the results of real tokens, at level {level:?}"
                ));
            }
        }
        different_lengths(subject, setup)?;
    }
    Ok(())
}

/// Runs a training pass on the real tokens with this number of padding tokens, and then an evaluation.
fn padded_by(subject: &Subject, setup: Setup, padding: usize) -> Result<Found, String> {
    let layer = subject.layer(setup)?;
    let run = |training: bool| {
        let (pass, x) = subject.input(setup, training);
        let (mut pass, x) = cut(pass, x, REAL + padding, vec![REAL; 3]);
        // A preceding layer, since some routers use the scores of the previous one.
        layer.forward(&mut pass, x.clone());
        let y = layer.forward(&mut pass, x);
        (values(y.narrow(1, 0, REAL)), pass)
    };
    let (trained, pass) = run(true);
    let scalars = pass.scalars();
    let (evaluated, pass) = run(false);
    Ok((trained, evaluated, scalars, pass.reports().to_vec()))
}

/// The first `tokens` tokens of an input, of which `real` are real in each sequence. The tokens after them
/// are made large, so that a router that reads them gives other results.
fn cut(mut pass: Pass, x: Tensor<3>, tokens: usize, real: Vec<usize>) -> (Pass, Tensor<3>) {
    let device = x.device();
    let [_, _, d] = x.dims();
    let rows = real.iter().map(|count| {
        let large = Tensor::full([1, tokens - count, d], 50.0, &device);
        Tensor::cat(vec![Tensor::<3>::ones([1, *count, d], &device), large], 1)
    });
    let x = x.narrow(1, 0, tokens) * Tensor::cat(rows.collect(), 0);
    let ids = pass.take::<TokenIds>().map(|TokenIds(ids)| ids.narrow(1, 0, tokens));
    if let Some(ids) = ids {
        pass.put(Clusters(ids.clone()));
        pass.put(TokenIds(ids));
    }
    pass.put(BlockInput(x.clone()));
    pass.put(RealTokens(real));
    (pass.with_reports(), x)
}

/// Checks sequences of different lengths, one of which has no token.
fn different_lengths(subject: &Subject, setup: Setup) -> Result<(), String> {
    let layer = subject.layer(setup)?;
    let lengths = vec![REAL, 0, 4];
    let (pass, x) = subject.input(setup, false);
    let (mut pass, x) = cut(pass, x, REAL, lengths.clone());
    layer.forward(&mut pass, x.clone());
    let y = layer.forward(&mut pass, x);
    for (row, length) in lengths.into_iter().enumerate() {
        let y = y.clone().narrow(0, row, 1);
        let [_, t, d] = y.dims();
        let y = values(y);
        if y.iter().any(|y| !y.is_finite()) || y[length * d..t * d].iter().any(|y| *y != 0.0) {
            return Err(format!(
                "the output is not finite, or not 0 for padding, at level {:?}",
                setup.level
            ));
        }
    }
    let flops = |report: &LayerReport| report.flops;
    let tokens = REAL + 4;
    let units = match setup.level {
        moe::Level::Token => tokens,
        moe::Level::Heads(heads) => tokens * heads,
        // Two sequences, or two parts of a batch.
        moe::Level::Sequence | moe::Level::Batch(_) => 2,
    };
    match pass.reports() {
        [first, second] if [first, second].iter().all(|r| r.units == units && flops(r) > 0.0) => {
            Ok(())
        }
        reports => Err(format!(
            "at level {:?}: expected two reports of {units} units, found {reports:?}",
            setup.level
        )),
    }
}
