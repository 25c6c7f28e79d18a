//! `scripts/device-check` with stand-ins for the program, the test of devices and PyTorch. It needs Python 3.

#![cfg(unix)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// A program that prints its arguments as one row of JSON, except in place of the test of devices, whose
/// lines it prints.
const STAND_IN: &str = r#"#!/bin/sh
case "$*" in
    *is_available*) echo cuda ;;
    *--ignored*) echo "top-k                    ok      1.0e-6  0.1 s" ;;
    *) echo "[\"$(echo "$*" | tr -d '"\n')\"]" ;;
esac
"#;

/// The JSON of the script for a device, with programs in its folder.
fn checked(folder: &Path, device: &str) -> Value {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/device-check");
    let mut command = Command::new("python3");
    command.arg(script).args(["--bench", "bench", "--test", "devices", "--python", "python"]);
    let command = command.args(["--device", device, "--limit", "300"]).current_dir(folder);
    let output = command.output().expect("this test needs python3");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn programs_are_found_where_they_lie_and_pytorch_has_the_precision_of_the_device() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["bench", "devices", "python"] {
        let path = folder.path().join(name);
        fs::write(&path, STAND_IN).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for (device, precision) in [("cuda:0", true), ("wgpu", false), ("flex", false)] {
        let found = checked(folder.path(), device);
        let parts = found["parts"].as_object().unwrap();
        assert_eq!(parts.len(), 8, "{parts:?}");
        for (name, part) in parts {
            assert_eq!(
                (&part["ran"], &part["error"]),
                (&Value::Bool(true), &Value::Null),
                "{name}"
            );
            let tf32 = part["found"].to_string().contains("--tf32");
            assert_eq!(tf32, precision && name.starts_with("PyTorch"), "{device}, {name}");
        }
        assert_eq!(parts["devices"]["found"].as_array().unwrap().len(), 1);
    }
}
