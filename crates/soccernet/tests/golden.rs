//! A sample of the random submissions of `scripts/golden/soccernet.py`, against the numbers of the
//! official packages. The example `golden` compares all of them.

#[path = "support/cases.rs"]
mod cases;

use std::path::Path;

#[test]
fn every_metric_equals_the_official_package() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("there are fixtures").flatten() {
        let found = cases::compare(&entry.path());
        let name = entry.file_name();
        assert!(found.cases >= 5 && found.values > 0, "{name:?}: {found:?}");
        assert_eq!(found.disagreements, [""; 0], "{name:?}");
        assert!(found.largest < 1e-6, "{name:?}: {}", found.place);
        files += 1;
    }
    assert_eq!(files, 10);
}
