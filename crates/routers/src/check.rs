//! Complaints about hyperparameters that several routers share.

use moe::Dims;

/// Is `k` a number of experts to choose?
pub(crate) fn k(k: usize, dims: Dims) -> Result<(), String> {
    match k {
        0 => Err("k = 0: a unit visits at least 1 expert".into()),
        _ if k > dims.n_experts => {
            Err(format!("k = {k} is larger than experts = {}", dims.n_experts))
        }
        _ => Ok(()),
    }
}

/// Is the value a coefficient: 0 or larger?
pub(crate) fn coefficient(name: &str, value: f64) -> Result<(), String> {
    if value >= 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(format!("{name} = {value}: it is 0 or larger"))
    }
}

/// Is the value larger than 0?
pub(crate) fn positive(name: &str, value: f64) -> Result<(), String> {
    if value > 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(format!("{name} = {value}: it is larger than 0"))
    }
}

/// Is the value larger than 0 and at most 1?
pub(crate) fn share(name: &str, value: f64) -> Result<(), String> {
    if value > 0.0 && value <= 1.0 {
        Ok(())
    } else {
        Err(format!("{name} = {value}: it is larger than 0 and at most 1"))
    }
}

/// Are the slots over the units a sensible factor: larger than 0, and no more than one slot for
/// each unit and expert?
pub(crate) fn factor(factor: f64, dims: Dims) -> Result<(), String> {
    if !(factor > 0.0 && factor.is_finite()) {
        Err(format!("factor = {factor}: it is larger than 0"))
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
        assert_eq!(coefficient("z", -1.0).unwrap_err(), "z = -1: it is 0 or larger");
        assert!(coefficient("z", f64::NAN).is_err());
        assert!(share("threshold", 1.5).unwrap_err().contains("threshold = 1.5"));
        assert!(share("threshold", 0.0).is_err() && share("threshold", 1.0).is_ok());
        assert!(positive("scale", -0.5).unwrap_err().contains("scale = -0.5"));
        assert_eq!(factor(9.0, DIMS).unwrap_err(), "factor = 9 is larger than experts = 8");
        assert!(factor(0.0, DIMS).is_err());
        assert_eq!(
            (k(8, DIMS), coefficient("z", 0.0), factor(8.0, DIMS)),
            (Ok(()), Ok(()), Ok(()))
        );
    }
}
