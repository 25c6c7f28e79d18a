//! Who is printed in bold: everyone who is not worse than the best, as far as the seeds can tell.

use crate::{
    Better, Setting,
    budget::is_off,
    stats::{holm, mean, paired_t},
};

/// The rule, in the words that stand under a table.
pub(crate) const RULE: &str = "not worse than the best mean at the 5 % level, by a two-sided \
     paired t test over shared seeds with Holm's correction; only methods with at least 3 seeds \
     and without a lost run, within the budget if there is one, take part.";

/// Of each method: is it in bold?
pub(crate) fn best(
    setting: &Setting,
    methods: &[&str],
    metric: &str,
    split: &str,
    better: Better,
) -> Vec<bool> {
    let value = |at: &usize| {
        let scores = setting.scores(methods[*at], metric, split);
        let values: Vec<f64> = scores.into_iter().flatten().map(|(_, value)| *value).collect();
        mean(&values).map_or(f64::NEG_INFINITY, |mean| better.oriented(mean.mean))
    };
    let enters = |at: &usize| {
        setting.scores(methods[*at], metric, split).is_some_and(|scores| scores.len() >= 3)
            && setting.gaps(methods[*at], metric, split).is_empty()
            && !is_off(setting, methods[*at])
    };
    let field: Vec<usize> = (0..methods.len()).filter(enters).collect();
    let mut bold = vec![false; methods.len()];
    let Some(top) = field.iter().copied().max_by(|a, b| value(a).total_cmp(&value(b))) else {
        return bold;
    };
    let tests = field.iter().filter(|at| **at != top).map(|at| {
        let differences = setting.differences(methods[top], methods[*at], metric, split);
        (*at, paired_t(&differences))
    });
    // Without 3 shared seeds nothing can be said, so neither that it is not worse.
    let (rivals, p_values): (Vec<_>, Vec<_>) =
        tests.filter_map(|(at, test)| Some((at, test?.p_value))).unzip();
    for (at, p) in rivals.into_iter().zip(holm(&p_values)) {
        bold[at] = p >= 0.05;
    }
    bold[top] = true;
    bold
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Runs, fixture};

    #[test]
    fn only_what_cannot_be_told_from_the_best() {
        let runs = fixture::runs();
        let setting = Setting::all(&runs, false).unwrap().remove(0);
        let bold = best(&setting, &setting.methods, "accuracy", "test", Better::Higher);
        let bold: Vec<&str> =
            setting.methods.iter().zip(bold).filter(|(_, b)| *b).map(|(m, _)| *m).collect();
        // soft has the best mean, of 2 seeds; the fourth has lost one.
        assert_eq!(bold, ["switch", "top-k"]);
    }

    #[test]
    fn lower_can_be_better() {
        let rows = |method: &str, values: [f64; 4]| {
            (0..).zip(values).map(|(seed, v)| fixture::row(method, seed, "loss", v)).collect()
        };
        let mut all: Vec<_> = rows("a", [1.0, 1.1, 1.2, 1.3]);
        all.extend::<Vec<_>>(rows("b", [1.5, 1.7, 1.6, 1.8]));
        let runs = Runs { rows: all };
        let setting = Setting::all(&runs, false).unwrap().remove(0);
        let bold = |better| best(&setting, &["a", "b"], "loss", "test", better);
        assert_eq!(bold(Better::Lower), [true, false]);
        assert_eq!(bold(Better::Higher), [false, true]);
    }
}
