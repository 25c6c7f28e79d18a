//! The reports of a pass. Reports on plans of a device are computed when they are read, in training after
//! the backward pass, so that no layer waits for the device.

use std::cell::{OnceCell, RefCell};

use super::LayerReport;

/// A report that is computed when it is read.
pub(super) type Later = Box<dyn FnOnce() -> LayerReport>;

/// The reports in the order of layers.
#[derive(Default)]
pub(super) struct Reports {
    /// The reports that were read; they precede the others.
    made: OnceCell<Vec<LayerReport>>,
    later: RefCell<Vec<Later>>,
}

impl Reports {
    pub(super) fn add(&mut self, report: Later) {
        self.all().push(report);
    }

    pub(super) fn len(&self) -> usize {
        self.made.get().map_or(0, Vec::len) + self.later.borrow().len()
    }

    /// All reports, computed if necessary.
    pub(super) fn look(&self) -> &[LayerReport] {
        self.made.get_or_init(|| self.later.take().into_iter().map(|make| make()).collect())
    }

    /// Joins the reports from `first` on to one.
    pub(super) fn join(&mut self, first: usize) {
        let all = self.all();
        let mut parts = all.split_off(first).into_iter();
        if let Some(one) = parts.next() {
            all.push(Box::new(move || {
                let mut sum = one();
                parts.for_each(|part| sum.add(&part()));
                sum
            }));
        }
    }

    /// All reports, as if none had been computed.
    fn all(&mut self) -> &mut Vec<Later> {
        let later = self.later.get_mut();
        if let Some(made) = self.made.take() {
            let made = made.into_iter().map(|report| Box::new(move || report) as Later);
            later.splice(0..0, made);
        }
        later
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    #[test]
    fn reports_are_made_when_they_are_looked_at_and_once() {
        let made = Rc::new(Cell::new(0));
        let report = |units| {
            let made = made.clone();
            Box::new(move || {
                made.set(made.get() + 1);
                LayerReport { units, ..LayerReport::default() }
            })
        };
        let units = |reports: &Reports| reports.look().iter().map(|r| r.units).collect::<Vec<_>>();
        let mut reports = Reports::default();
        (1..=3).for_each(|units| reports.add(report(units)));
        reports.join(1);
        assert_eq!((reports.len(), made.get()), (2, 0));
        assert_eq!(units(&reports), [1, 5]);
        assert_eq!((units(&reports), made.get()), (vec![1, 5], 3));
        // A report that is added after the reports were read follows them.
        reports.add(report(7));
        assert_eq!((reports.len(), made.get()), (3, 3));
        reports.join(2);
        assert_eq!((units(&reports), made.get()), (vec![1, 5, 7], 4));
        reports.join(3);
        assert_eq!(units(&reports), [1, 5, 7]);
    }
}
