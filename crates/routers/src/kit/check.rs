//! Validation of hyperparameters that several routers share.

use moe::Dims;

use crate::kit::Balance;

/// Checks that `k` is between 1 and the number of experts.
pub fn k(k: usize, dims: Dims) -> Result<(), String> {
    match k {
        0 => Err("k = 0: must be at least 1".into()),
        _ if k > dims.n_experts => {
            Err(format!("k = {k} is larger than experts = {}", dims.n_experts))
        }
        _ => Ok(()),
    }
}

/// Checks that the gate gets a gradient from the task. A single choice whose weight is `constant`, 1 after
/// division by its own sum, gives it none, and a balance loss does not depend on which expert is right. A
/// single expert is accepted, since there is nothing to learn. `instead` is advice for the error.
pub fn gate_learns(k: usize, constant: bool, dims: Dims, instead: &str) -> Result<(), String> {
    match k == 1 && constant && dims.n_experts > 1 {
        true => Err(format!(
            "k = 1 has a constant weight, so that the gate gets no gradient from the task; {instead}"
        )),
        false => Ok(()),
    }
}

/// Checks that a coefficient is 0 or larger.
pub fn coefficient(name: &str, value: f64) -> Result<(), String> {
    if value >= 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(format!("{name} = {value}: must be 0 or larger"))
    }
}

/// Checks that the value is larger than 0.
pub fn positive(name: &str, value: f64) -> Result<(), String> {
    if value > 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(format!("{name} = {value}: must be larger than 0"))
    }
}

/// Checks that the value is larger than 0 and at most 1.
pub fn share(name: &str, value: f64) -> Result<(), String> {
    if value > 0.0 && value <= 1.0 {
        Ok(())
    } else {
        Err(format!("{name} = {value}: must be larger than 0 and at most 1"))
    }
}

/// Checks that the balance loss supports units with varying numbers of choices: shares of all choices of a
/// pass, or of first choices, would count places without a choice.
pub fn balance_of_a_varying_number(balance: Balance) -> Result<(), String> {
    match balance {
        Balance::Units | Balance::Step => Ok(()),
        other => Err(format!(
            "balance_of = {}: not supported, since units have different numbers of experts; \
             possible: \"units\", \"step\"",
            serde_json::to_value(other).unwrap_or_default()
        )),
    }
}

/// Checks the factor of slots over units: larger than 0, and at most one slot for each unit and expert,
/// which is the number of experts.
pub fn factor(factor: f64, dims: Dims) -> Result<(), String> {
    if !(factor > 0.0 && factor.is_finite()) {
        Err(format!("factor = {factor}: must be larger than 0"))
    } else if factor > dims.n_experts as f64 {
        Err(format!("factor = {factor} is larger than experts = {}", dims.n_experts))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: Dims = Dims { width: 4, n_experts: 8, units: 6 };

    #[test]
    fn complaints_name_the_value() {
        assert_eq!(k(9, DIMS).unwrap_err(), "k = 9 is larger than experts = 8");
        assert!(k(0, DIMS).unwrap_err().starts_with("k = 0"));
        assert_eq!(coefficient("z", -1.0).unwrap_err(), "z = -1: must be 0 or larger");
        assert!(coefficient("z", f64::NAN).is_err());
        assert!(share("threshold", 1.5).unwrap_err().contains("threshold = 1.5"));
        assert!(share("threshold", 0.0).is_err() && share("threshold", 1.0).is_ok());
        assert!(positive("scale", -0.5).unwrap_err().contains("scale = -0.5"));
        assert_eq!(factor(9.0, DIMS).unwrap_err(), "factor = 9 is larger than experts = 8");
        assert!(factor(0.0, DIMS).is_err());
        let err = balance_of_a_varying_number(Balance::FirstChoices).unwrap_err();
        assert!(err.starts_with("balance_of = \"first-choices\": "), "{err}");
        assert!(balance_of_a_varying_number(Balance::Step).is_ok());
        assert_eq!(
            (k(8, DIMS), coefficient("z", 0.0), factor(8.0, DIMS)),
            (Ok(()), Ok(()), Ok(()))
        );
    }

    #[test]
    fn one_choice_of_constant_weight_is_refused() {
        let refused = gate_learns(1, true, DIMS, "k must be at least 2").unwrap_err();
        assert!(
            refused.starts_with("k = 1 ") && refused.ends_with("k must be at least 2"),
            "{refused}"
        );
        assert_eq!(gate_learns(1, false, DIMS, ""), Ok(()));
        assert_eq!(gate_learns(2, true, DIMS, ""), Ok(()));
        assert_eq!(gate_learns(1, true, Dims { n_experts: 1, ..DIMS }, ""), Ok(()));
    }
}
