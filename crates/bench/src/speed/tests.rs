use super::*;

fn setting() -> Speed {
    Speed {
        tokens: 12,
        width: 4,
        hidden: 3,
        experts: 4,
        k: 2,
        kind: "swiglu".into(),
        expert_dtype: ExpertDtype::Bf16,
        engines: Vec::new(),
        whole: true,
        repeat: 2,
        step: None,
        depth: 4,
        routers: false,
        syncs: false,
        json: true,
        format: FormatArgs::default(),
        device: DeviceArgs::default(),
        threads: ThreadsArgs::default(),
    }
}

#[test]
fn every_engine_has_a_row_with_times() {
    let device = Device::flex();
    let (rows, peak) = measure(&setting(), 1, &Plugins::default(), &device).unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row.engine).collect();
    assert_eq!(names, ["dense", "reference", "dropless", "padded", "whole"]);
    assert!(peak > 0.0);
    for row in rows {
        assert!(0.0 < row.forward_min_ms && row.forward_min_ms <= row.forward_ms);
        assert!(row.forward_backward_min_ms <= row.forward_backward_ms && row.gflops > 0.0);
    }
}

#[test]
fn both_networks_make_steps() {
    let engines = vec!["dropless".to_string()];
    let setting = Speed { tokens: 64, width: 8, engines, ..setting() };
    for step in [Step::Vit, Step::Decoder] {
        let engines: Vec<_> = wanted(&setting, false).collect();
        let (plugins, device) = (Plugins::default(), Device::flex());
        let rows = step_speed::measure(step, &setting, &engines, &plugins, &device).unwrap();
        let names: Vec<_> = rows.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["dense", "dropless"]);
        assert!(rows.iter().all(|(_, times)| times.both.len() == 2));
    }
}

#[test]
fn flops_and_medians_by_hand() {
    assert_eq!(flops(&setting()), (2 * 3 * 12 * 2 * 4 * 3) as f64);
    assert_eq!((median(&[1.0, 2.0, 4.0]), median(&[1.0, 2.0])), (2.0, 1.5));
}

#[test]
fn unknown_kinds_are_named() {
    let wrong = Speed { kind: "fnf".into(), ..setting() };
    let err = variants(&wrong, &Plugins::default().library, &Device::flex());
    assert!(err.err().unwrap().to_string().contains("\"fnf\""));
}
