//! One row of `runs.csv`: one number of one run.

use std::borrow::Cow;

use csv::StringRecord;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    columns::{COLUMNS, NEEDED},
    field::read,
    metric::{in_words, range},
    number::{LARGEST, is_measure},
};

/// One number of one run. An empty numeric field is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The suite that requested the run.
    pub suite: String,
    /// The task: data, loss and metrics.
    pub task: String,
    /// The network.
    pub backbone: String,
    /// The name of a row in the suite's table.
    pub method: String,
    /// The kind of router, or of what replaces it.
    pub router: String,
    /// The seed. Runs with equal seeds are paired: they have the same data order, and the same initial values
    /// for equal shapes.
    pub seed: u64,
    /// `train`, `valid` or `test`.
    pub split: String,
    /// The metric; `failed` or `refused` for a run without a result, with an empty value and the reason in
    /// `note`.
    pub metric: String,
    /// The number.
    pub value: Option<f64>,
    /// The training step at which it was measured.
    pub step: Option<u64>,
    /// The number of all parameters.
    pub params: Option<u64>,
    /// The number of parameters used for one token.
    pub active_params: Option<u64>,
    /// Active FLOPs of one forward pass, per token.
    pub flops_per_token: Option<f64>,
    /// Wall time of the run.
    pub seconds: Option<f64>,
    /// The device.
    pub device: String,
    /// The revision of the code.
    pub revision: String,
    /// The id of the run.
    pub run: String,
    /// The reason why a run failed or was refused; otherwise empty.
    #[serde(default)]
    pub note: String,
    /// The number of parameters in routers.
    pub router_params: Option<u64>,
    /// The number of tokens seen in training.
    pub tokens: Option<u64>,
    /// Active FLOPs of the whole training: forward and backward passes together count as three forward
    /// passes.
    pub train_flops: Option<f64>,
    /// The peak memory of the program during the run, in bytes; concurrent runs in one program share it.
    pub peak_memory: Option<u64>,
    /// The quantity that the suite holds equal, for example "active FLOPs per token"; empty if none.
    pub budget: String,
    /// The deviation from the budget of the reference method, as a share: 0.1 is 10 % more.
    pub budget_off: Option<f64>,
    /// The tolerance of the deviation, as a share.
    pub budget_limit: Option<f64>,
    /// The number of settings tried for the method on the validation split; empty if none.
    pub trials: Option<u64>,
    /// The setting that was chosen.
    pub tuned: String,
    /// The largest learning rate.
    pub lr: Option<f64>,
    /// The number of examples in a step.
    pub batch: Option<u64>,
}

impl Row {
    /// Whether this row marks a run without a result.
    pub fn is_gap(&self) -> bool {
        matches!(self.metric.as_str(), "failed" | "refused")
    }

    /// The value, if statistics accept it: a larger number, like NaN, comes from a network that has diverged.
    pub(crate) fn measure(&self) -> Option<f64> {
        self.value.filter(|value| is_measure(*value))
    }

    /// All text fields.
    pub(crate) fn texts_mut(&mut self) -> [&mut String; 13] {
        let Self { suite, task, backbone, method, router, split, metric, .. } = self;
        let Self { device, revision, run, note, budget, tuned, .. } = self;
        [
            suite, task, backbone, method, router, split, metric, device, revision, run, note,
            budget, tuned,
        ]
    }

    /// The field of a documented column, as text.
    pub fn field(&self, column: &str) -> Result<Cow<'_, str>, Error> {
        fn text<T: ToString>(number: &Option<T>) -> Cow<'_, str> {
            Cow::Owned(number.as_ref().map(T::to_string).unwrap_or_default())
        }
        Ok(match column {
            "suite" => Cow::from(&self.suite),
            "task" => Cow::from(&self.task),
            "backbone" => Cow::from(&self.backbone),
            "method" => Cow::from(&self.method),
            "router" => Cow::from(&self.router),
            "seed" => Cow::from(self.seed.to_string()),
            "split" => Cow::from(&self.split),
            "metric" => Cow::from(&self.metric),
            "value" => text(&self.value),
            "step" => text(&self.step),
            "params" => text(&self.params),
            "active_params" => text(&self.active_params),
            "flops_per_token" => text(&self.flops_per_token),
            "seconds" => text(&self.seconds),
            "device" => Cow::from(&self.device),
            "revision" => Cow::from(&self.revision),
            "run" => Cow::from(&self.run),
            "note" => Cow::from(&self.note),
            "router_params" => text(&self.router_params),
            "tokens" => text(&self.tokens),
            "train_flops" => text(&self.train_flops),
            "peak_memory" => text(&self.peak_memory),
            "budget" => Cow::from(&self.budget),
            "budget_off" => text(&self.budget_off),
            "budget_limit" => text(&self.budget_limit),
            "trials" => text(&self.trials),
            "tuned" => Cow::from(&self.tuned),
            "lr" => text(&self.lr),
            "batch" => text(&self.batch),
            other => return Err(Error::unknown("column", other, COLUMNS)),
        })
    }
}

/// The positions of the documented columns in a file.
pub(crate) struct Header {
    file: String,
    at: [Option<usize>; COLUMNS.len()],
}

impl Header {
    /// Finds the columns; the error names a missing one.
    pub(crate) fn new(file: &str, names: &StringRecord) -> Result<Self, Error> {
        let at = COLUMNS.map(|column| names.iter().position(|name| name.trim() == column));
        match NEEDED.iter().zip(at).find(|(_, at)| at.is_none()) {
            Some((column, _)) => Err(Error::NoColumn { file: file.into(), column }),
            None => Ok(Self { file: file.into(), at }),
        }
    }

    /// Reads one row.
    pub(crate) fn row(&self, line: u64, record: &StringRecord) -> Result<Row, Error> {
        let fields = Fields { header: self, line, record };
        Ok(Row {
            suite: fields.text(0),
            task: fields.text(1),
            backbone: fields.text(2),
            method: fields.text(3),
            router: fields.text(4),
            seed: fields.whole(5)?.ok_or_else(|| fields.bad(5, WHOLE))?,
            split: fields.text(6),
            metric: fields.text(7),
            value: fields.value()?,
            step: fields.whole(9)?,
            params: fields.whole(10)?,
            active_params: fields.whole(11)?,
            flops_per_token: fields.not_negative(12)?,
            seconds: fields.not_negative(13)?,
            device: fields.text(14),
            revision: fields.text(15),
            run: fields.text(16),
            note: fields.text(17),
            router_params: fields.whole(18)?,
            tokens: fields.whole(19)?,
            train_flops: fields.not_negative(20)?,
            peak_memory: fields.whole(21)?,
            budget: fields.text(22),
            budget_off: fields.number(23)?,
            budget_limit: fields.not_negative(24)?,
            trials: fields.whole(25)?,
            tuned: fields.text(26),
            lr: fields.not_negative(27)?,
            batch: fields.whole(28)?,
        })
    }
}

/// The numbers of columns without fractions.
const WHOLE: &str = "a whole number from 0 to 18446744073709551615";

/// The largest number of letters of a value in a message.
const SHOWN: usize = 40;

/// A value for a message, truncated if it is long.
fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}... ({} characters)", &value[..end], value.chars().count()),
        None => value.into(),
    }
}

/// The fields of one record, by the position of their column in [`COLUMNS`].
struct Fields<'a> {
    header: &'a Header,
    line: u64,
    record: &'a StringRecord,
}

impl Fields<'_> {
    fn str(&self, column: usize) -> &str {
        self.header.at[column].and_then(|at| self.record.get(at)).unwrap_or("").trim()
    }

    fn text(&self, column: usize) -> String {
        read(self.str(column)).into_owned()
    }

    /// A number that statistics accept.
    fn number(&self, column: usize) -> Result<Option<f64>, Error> {
        match self.finite(column)? {
            Some(number) if !is_measure(number) => {
                Err(self.bad(column, format!("a number up to {LARGEST:e}")))
            }
            number => Ok(number),
        }
    }

    fn finite(&self, column: usize) -> Result<Option<f64>, Error> {
        match self.str(column) {
            "" => Ok(None),
            text => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Some(number)),
                Ok(_) => Err(self.bad(column, "a finite number")),
                Err(_) => Err(self.bad(column, "a number")),
            },
        }
    }

    fn not_negative(&self, column: usize) -> Result<Option<f64>, Error> {
        match self.number(column)? {
            Some(number) if number < 0.0 => Err(self.bad(column, "a number of at least 0")),
            number => Ok(number),
        }
    }

    /// The value of the metric, which must lie in the metric's range up to rounding. The value of a network
    /// that has diverged can be larger than statistics accept.
    fn value(&self) -> Result<Option<f64>, Error> {
        const ROUNDING: f64 = 1e-6;
        let [low, high] = range(self.str(7));
        match self.finite(8)? {
            Some(x) if !(low - ROUNDING..=high + ROUNDING).contains(&x) => {
                Err(self.bad(8, in_words([low, high])))
            }
            value => Ok(value),
        }
    }

    /// A whole number; other programs write a column of whole numbers with gaps as `12.0`.
    fn whole(&self, column: usize) -> Result<Option<u64>, Error> {
        const EXACT: f64 = (1_u64 << 53) as f64;
        let text = self.str(column);
        if let Ok(whole) = text.parse() {
            return Ok(Some(whole));
        }
        match self.number(column) {
            Ok(None) => Ok(None),
            Ok(Some(x)) if x.fract() == 0.0 && (0.0..=EXACT).contains(&x) => Ok(Some(x as u64)),
            _ => Err(self.bad(column, WHOLE)),
        }
    }

    fn bad(&self, column: usize, wanted: impl Into<String>) -> Error {
        let place = format!("{}:{}", self.header.file, self.line);
        let value = shown(&self.text(column));
        Error::BadNumber { place, column: COLUMNS[column], value, wanted: wanted.into() }
    }
}
