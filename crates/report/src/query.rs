//! The selection of results: metrics, split, methods.

use std::collections::BTreeMap;

use crate::{
    Better, Error, Runs, Setting, few,
    metric::{direction, quality},
    number::LARGEST,
    setting::distinct,
};

/// The selection of results. The default is the primary metrics on the test split.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The metrics; empty means the quality metrics that the runs have.
    pub metrics: Vec<String>,
    /// The split; if none, `test`, or else `valid`, or else any split with results.
    pub split: Option<String>,
    /// The methods in the order of the rows; empty means all, in order of appearance.
    pub methods: Vec<String>,
    /// Directions of metrics for which no direction is known.
    pub better: BTreeMap<String, Better>,
    /// Whether runs of several code revisions may be compared with each other.
    pub mix_revisions: bool,
    /// Whether intervals and tests cover the choice of test examples in addition to the seeds, if the values
    /// of single examples are known.
    pub examples: bool,
}

impl Query {
    /// The settings that have some of the requested results.
    pub fn settings<'a>(&self, runs: &'a Runs) -> Result<Vec<Setting<'a>>, Error> {
        let mut settings = Setting::all(runs, self.mix_revisions)?;
        let metrics = distinct(settings.iter().flat_map(|s| s.metrics.iter().copied()));
        known("metric", &self.metrics, &metrics)?;
        let splits = distinct(settings.iter().flat_map(Setting::splits));
        known("split", self.split.as_slice(), &splits)?;
        let methods = distinct(settings.iter().flat_map(|s| s.methods.iter().copied()));
        known("method", &self.methods, &methods)?;
        if !self.metrics.is_empty() {
            settings.retain(|s| self.metrics.iter().any(|m| s.metrics.contains(&m.as_str())));
        }
        Ok(settings)
    }

    /// The split that is used for comparisons.
    pub fn split<'a>(&'a self, setting: &Setting<'a>) -> &'a str {
        let asked = self.split.as_deref();
        asked.or_else(|| setting.splits().first().copied()).unwrap_or("test")
    }

    /// The metrics that are used for comparisons.
    pub fn metrics<'a>(&'a self, setting: &Setting<'a>) -> Vec<&'a str> {
        let split = self.split(setting);
        let there = setting.metrics.iter().copied().filter(|metric| setting.has(metric, split));
        if self.metrics.is_empty() {
            quality(&there.collect::<Vec<_>>())
        } else {
            self.metrics.iter().map(String::as_str).collect()
        }
    }

    /// The reason why no comparison is possible in some settings: none of their metrics is known to measure
    /// quality, or none has a number that statistics accept. None if a comparison is possible.
    pub fn unjudged(&self, settings: &[Setting]) -> Option<String> {
        if settings.iter().any(|setting| !self.metrics(setting).is_empty()) {
            return None;
        }
        let there = distinct(settings.iter().flat_map(|s| s.metrics.iter().copied()));
        Some(match there.is_empty() {
            true => "the results have no values of any metric".into(),
            false => format!(
                "no metric is known to measure quality and has values up to {LARGEST:e}; select one \
                 with --metric; known: {}",
                few(there)
            ),
        })
    }

    /// The methods, including those without a run in this setting.
    pub fn methods<'a>(&'a self, setting: &Setting<'a>) -> Vec<&'a str> {
        if self.methods.is_empty() {
            setting.methods.clone()
        } else {
            self.methods.iter().map(String::as_str).collect()
        }
    }

    /// The direction of a metric, if it is known.
    pub fn better(&self, metric: &str) -> Option<Better> {
        self.better.get(metric).copied().or_else(|| direction(metric))
    }
}

/// Checks that all requested names are known.
pub(crate) fn known(what: &'static str, names: &[String], known: &[&str]) -> Result<(), Error> {
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(Error::unknown(what, name, known.iter().copied())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_default_is_what_a_suite_is_judged_by() {
        let runs = fixture::runs();
        let query = Query::default();
        let settings = query.settings(&runs).unwrap();
        assert_eq!(query.split(&settings[0]), "test");
        assert_eq!(query.metrics(&settings[0]), ["accuracy"]);
    }

    #[test]
    fn a_misspelt_metric_is_named() {
        let query = Query { metrics: vec!["acuracy".into()], ..Query::default() };
        let err = query.settings(&fixture::runs()).unwrap_err().to_string();
        assert_eq!(
            err,
            "no metric is named \"acuracy\"; known: accuracy, loss, tokens_per_second, \
             max_over_mean_load, dropped_share"
        );
    }

    #[test]
    fn a_misspelt_method_is_named() {
        let query = Query { methods: vec!["topk".into()], ..Query::default() };
        let err = query.settings(&fixture::runs()).unwrap_err().to_string();
        assert!(err.starts_with("no method is named \"topk\"; known: "), "{err}");
    }

    #[test]
    fn what_cannot_be_judged_is_told() {
        let runs = |metric, value| Runs::of([fixture::row("a", 0, metric, value)]);
        let said = |runs: &Runs, query: Query| query.unjudged(&query.settings(runs).unwrap());
        assert_eq!(said(&runs("loss", 1.0), Query::default()), None);
        let strange = runs("surprise", 1.0);
        let why = said(&strange, Query::default()).unwrap();
        assert!(why.ends_with("up to 1e60; select one with --metric; known: surprise"), "{why}");
        let named = Query { metrics: vec!["surprise".into()], ..Query::default() };
        assert_eq!(said(&strange, named), None);
        assert!(said(&runs("loss", 1e61), Query::default()).is_some());
    }

    #[test]
    fn a_direction_can_be_given() {
        let better = [("surprise".to_string(), Better::Higher)].into();
        let query = Query { better, ..Query::default() };
        assert_eq!(query.better("surprise"), Some(Better::Higher));
        assert_eq!(query.better("loss"), Some(Better::Lower));
        assert_eq!(query.better("entropy"), None);
    }
}
