use super::*;

fn serve<const K: usize>(
    capacity: &Capacity,
    pass: &mut Pass,
    experts: &[[i32; K]],
    weights: &[[f32; K]],
) -> Vec<usize> {
    let (device, shape) = (Device::flex(), [1, experts.len(), K]);
    let experts = TensorData::new(experts.concat(), shape);
    let weights = TensorData::new(weights.concat(), shape);
    let plan = Plan::TokenChoice {
        experts: Tensor::from_data(experts, &device),
        weights: Tensor::from_data(weights, &device),
        n_experts: 3,
    };
    let plan = capacity.apply(pass, plan);
    let Plan::TokenChoice { experts, .. } = plan else { unreachable!("the form is kept") };
    to_host(&experts)
}

fn capacity(factor: f64, drop: DropPolicy) -> Capacity {
    Capacity { factor: Some(factor), drop, ..Capacity::default() }
}

/// V-MoE's example: four units, three experts, two choices, two slots for each expert; the
/// weights are the two largest gates of each unit.
fn v_moe(drop: DropPolicy) -> Vec<usize> {
    let experts = [[0, 1], [0, 2], [0, 1], [1, 0]];
    let weights = [[0.5, 0.3], [0.6, 0.35], [0.7, 0.2], [0.4, 0.35]];
    serve(&capacity(0.75, drop), &mut Pass::eval(), &experts, &weights)
}

#[test]
fn a_number_of_slots_is_that_for_any_group() {
    let capacity = Capacity { slots: Some(2), ..Capacity::default() };
    assert_eq!([1, 2, 5, 500].map(|units| capacity.slots(units, 1, 4)), [1, 2, 2, 2].map(Some));
    let served = serve(&capacity, &mut Pass::eval(), &[[0], [0], [1], [0], [1]], &[[1.0]; 5]);
    assert_eq!(served, [0, 0, 1, 3, 1], "the third choice of expert 0 is dropped");
    assert!(!capacity.sees_later_units());
    let said = |capacity: Capacity| capacity.check().unwrap_err();
    assert!(said(Capacity { slots: Some(0), ..Capacity::default() }).contains("slots = 0"));
    let both = Capacity { factor: Some(1.0), ..capacity };
    assert!(said(both).contains("capacity.slots = 2: cannot be combined with factor"));
    let plain = serde_json::to_value(Capacity::default()).unwrap();
    assert!(plain.get("slots").is_none(), "the settings of runs without it stay as they were");
}

#[test]
fn slots_are_rounded_up() {
    let capacity = Capacity { factor: Some(1.25), multiple: 8, ..Capacity::default() };
    // 1.25 * 16 * 2 / 8 = 5, up to a multiple of 8.
    assert_eq!(capacity.slots(16, 2, 8), Some(8));
    assert_eq!(Capacity { multiple: 1, ..capacity }.slots(10, 1, 8), Some(2)); // 1.5625
    assert_eq!(Capacity::default().slots(16, 2, 8), None);
}

#[test]
fn noise_of_floating_point_is_no_slot_more() {
    // 1.1 * 50 * 4 / 4 is 55.00000000000001 in double precision.
    let slots = |factor, units, k, e| capacity(factor, DropPolicy::InOrder).slots(units, k, e);
    assert_eq!(slots(1.1, 50, 4, 4), Some(55));
    assert_eq!(slots(1.1, 51, 4, 4), Some(57)); // 56.1
    // All factors with two digits, for example 0.07 * 100 / 1 = 7.000000000000001.
    for hundredths in 1..=400_usize {
        for (units, experts) in [(100, 1), (200, 4), (4096, 8), (96, 7)] {
            let exact = (hundredths * units).div_ceil(100 * experts).clamp(1, units);
            let found = slots(hundredths as f64 / 100.0, units, 1, experts);
            assert_eq!(found, Some(exact), "{hundredths} {units} {experts}");
        }
    }
}

#[test]
fn there_are_no_more_slots_than_choices() {
    let all = |factor| capacity(factor, DropPolicy::InOrder).slots(16, 2, 8);
    for factor in [16.0, 16384.0, 1e18, 1e300, f64::MAX] {
        assert_eq!(all(factor), Some(32), "{factor}");
    }
    for factor in [0.25, 1e-9, 1e-300, f64::MIN_POSITIVE] {
        assert_eq!(all(factor), Some(1), "{factor}");
    }
    let shared = Capacity { group: 2, ..capacity(1e300, DropPolicy::InOrder) };
    assert_eq!(shared.most_slots([4, 16, 2], 8), Some(32));
}

#[test]
fn slots_of_v_moe() {
    // Twelve units, two choices, four experts, C = 1.05 and 0.5: 6.3 and 3 slots, up to multiples of 4.
    let slots = |factor| {
        let capacity = capacity(factor, DropPolicy::Position);
        Capacity { multiple: 4, ..capacity }.slots(12, 2, 4)
    };
    assert_eq!([1.05, 0.5].map(slots), [Some(8), Some(4)]);
}

#[test]
fn sequences_may_share_their_slots() {
    // All choices are of expert 0, in two sequences of two units. C = 0.75 * 4 / 3 = 1 for both together.
    let served = |group, g: usize, u: usize| {
        let weights = TensorData::new(vec![0.1_f32, 0.2, 0.4, 0.3], [g, u, 1]);
        let plan = Plan::TokenChoice {
            experts: Tensor::zeros([g, u, 1], &Device::flex()),
            weights: Tensor::from_data(weights, &Device::flex()),
            n_experts: 3,
        };
        let capacity = Capacity { group, ..capacity(0.75, DropPolicy::Priority) };
        match capacity.apply(&mut Pass::eval(), plan) {
            Plan::TokenChoice { experts, .. } => to_host(&experts),
            _ => unreachable!("the form is kept"),
        }
    };
    assert_eq!(served(2, 2, 2), [3, 3, 0, 3]);
    assert_eq!(served(2, 2, 2), served(1, 1, 4));
    assert_eq!(served(1, 2, 2), [3, 0, 0, 3]);
    // Three sequences are not divided into pairs: each has slots of its own.
    let together = |group, groups| Capacity { group, ..Capacity::default() }.together(groups);
    assert_eq!([(2, 3), (2, 4), (4, 6), (64, 7)].map(|(a, b)| together(a, b)), [1, 2, 3, 7]);
}

#[test]
fn units_of_least_priority_may_be_left_out() {
    // Half of four units is routed: units 2 and 1 by their largest weight. There are slots for all.
    let half = Capacity { keep_fraction: 0.5, ..capacity(3.0, DropPolicy::Priority) };
    let experts = [[0, 1], [0, 2], [0, 1], [1, 0]];
    let weights = [[0.5, 0.3], [0.6, 0.35], [0.7, 0.2], [0.4, 0.35]];
    let found = serve(&half, &mut Pass::eval(), &experts, &weights);
    assert_eq!(found, [3, 3, 0, 2, 0, 1, 3, 3]);
    let err = Capacity { drop: DropPolicy::Position, ..half }.check().unwrap_err();
    assert!(err.contains("needs capacity.factor, and drop = \"priority\""), "{err}");
    let check = |capacity: Capacity| capacity.check().unwrap_err();
    assert!(
        check(Capacity { keep_fraction: 0.0, ..Capacity::default() }).contains("keep_fraction = 0")
    );
    assert!(check(Capacity { group: 0, ..Capacity::default() }).contains("group = 0"));
}

#[test]
fn evaluation_may_have_a_factor_of_its_own() {
    let capacity = Capacity { eval_factor: Some(2.0), ..capacity(1.0, DropPolicy::InOrder) };
    assert_eq!(capacity.at(true).slots(8, 1, 4), Some(2));
    assert_eq!(capacity.at(false).slots(8, 1, 4), Some(4));
    let same = Capacity { eval_factor: None, ..capacity };
    assert_eq!(same.at(false).slots(8, 1, 4), Some(2));
    let wrong = Capacity { eval_factor: Some(-1.0), ..Capacity::default() };
    assert!(wrong.check().unwrap_err().contains("eval_factor = -1"));
}

#[test]
fn dropless_drops_nothing() {
    let plan = [[0], [0], [1], [0]];
    let found = serve(&Capacity::default(), &mut Pass::eval(), &plan, &[[1.0]; 4]);
    assert_eq!(found, [0, 0, 1, 0]);
}

// C = 0.75 * 4 * 2 / 3 = 2 slots. Worked by hand from the paper's rules.

#[test]
fn by_position_first_choices_come_first() {
    // Units 0 and 1 fill expert 0. Unit 2 has no expert, since units 3 and 0 fill expert 1.
    assert_eq!(v_moe(DropPolicy::Position), [0, 1, 0, 2, 3, 3, 1, 3]);
}

#[test]
fn by_priority_the_least_certain_goes() {
    // Order 2, 1, 0, 3 by the largest weight: both choices of unit 0 are dropped.
    assert_eq!(v_moe(DropPolicy::Priority), [3, 3, 0, 2, 0, 1, 1, 3]);
}

#[test]
fn by_the_sum_of_weights() {
    // Sums 0.8, 0.95, 0.9, 0.75: order 1, 2, 0, 3, which serves the same first choices.
    assert_eq!(v_moe(DropPolicy::SumPriority), [3, 3, 0, 2, 0, 1, 1, 3]);
    // By the largest weights unit 0 is first, by the sums unit 1.
    let serve = |drop| {
        let weights = [[0.6, 0.1], [0.5, 0.4]];
        serve(&capacity(0.75, drop), &mut Pass::eval(), &[[0, 1], [0, 1]], &weights)
    };
    assert_eq!(serve(DropPolicy::Priority), [0, 1, 3, 3]); // C = 1
    assert_eq!(serve(DropPolicy::SumPriority), [3, 3, 0, 1]);
}

#[test]
fn choice_by_choice() {
    // Expert 0: 0.7, 0.6 before 0.5, 0.35. Expert 1: 0.4, 0.3 before 0.2.
    assert_eq!(v_moe(DropPolicy::ChoicePriority), [3, 1, 0, 2, 0, 3, 1, 3]);
}

#[test]
fn unit_by_unit_nothing_depends_on_later_units() {
    // Unit 2's second choice is served before unit 3's first.
    assert_eq!(v_moe(DropPolicy::InOrder), [0, 1, 0, 2, 3, 1, 3, 3]);
    assert!(!capacity(1.0, DropPolicy::InOrder).sees_later_units());
    assert!(capacity(1.0, DropPolicy::Position).sees_later_units());
}

#[test]
fn the_old_name_of_keep_fraction_is_still_read() {
    let read = |text: &str| serde_json::from_str::<Capacity>(text).unwrap();
    assert_eq!(read(r#"{"served": 0.5}"#), read(r#"{"keep_fraction": 0.5}"#));
    let written = serde_json::to_string(&read(r#"{"served": 0.5}"#)).unwrap();
    assert!(written.contains(r#""keep_fraction":0.5"#), "{written}");
}

#[test]
fn shuffled_is_fair_and_repeatable() {
    let capacity = capacity(0.75, DropPolicy::Shuffled);
    let serve = |pass: &mut Pass| serve(&capacity, pass, &[[0]; 4], &[[1.0]; 4]); // C = 1
    let mut served = [0; 4];
    for step in 0..400 {
        let found = serve(&mut Pass::train(0, step, 0.0));
        assert_eq!(found, serve(&mut Pass::train(0, step, 0.0)));
        served[found.iter().position(|expert| *expert == 0).unwrap()] += 1;
    }
    // 100 each; the standard deviation is sqrt(400 * 3 / 16) = 9.
    assert!(served.iter().all(|n: &i32| (n - 100).abs() < 4 * 9), "{served:?}");
}
