//! Real files: submissions of NetVLAD, replay labels, game lists, tracks of TUD-Campus. They are in
//! `soccernet-format` of the folder that `MOELAB_DATA` names.

use std::{collections::BTreeMap, path::PathBuf};

use soccernet::{
    Judge, Options, Source, Task,
    format::{games, shots::Shots, spots::Spots},
    score,
};

/// The folder of the files.
fn folder() -> PathBuf {
    let folder = std::env::var_os("MOELAB_DATA").expect("MOELAB_DATA is the data folder");
    PathBuf::from(folder).join("soccernet-format")
}

fn open(name: &str) -> Source {
    Source::open(&folder().join(name)).unwrap_or_else(|err| panic!("{err}"))
}

#[test]
#[ignore = "needs soccernet-format in MOELAB_DATA"]
fn submissions_of_netvlad_are_read_and_written_back() {
    let cases = [
        ("netvlad_v1_results_spotting_test.zip", 100, 1588),
        ("netvlad_v2_results_spotting_challenge.zip", 50, 13060),
    ];
    for (name, games, predictions) in cases {
        let zip = open(name);
        let (mut judge, mut count) = (Judge::default(), 0);
        for file in zip.names() {
            let spots = Spots::read(&zip.read(file).unwrap(), file, &mut judge).unwrap();
            assert_eq!(Spots::read(&spots.write(), file, &mut judge), Ok(spots.clone()));
            count += spots.predictions.len();
        }
        assert_eq!((zip.folders_with("results_spotting.json").len(), count), (games, predictions));
        assert_eq!(judge.notes(), [], "{name}");
    }
}

#[test]
#[ignore = "needs soccernet-format in MOELAB_DATA"]
fn replay_labels_are_read_and_written_back() {
    let zip = open("replay_labels_challenge.zip");
    let (mut judge, mut count) = (Judge::strict(), 0);
    let names = zip.names().into_iter().filter(|name| name.ends_with(".json"));
    for file in names {
        let shots = Shots::read(&zip.read(file).unwrap(), file, &mut judge).unwrap();
        assert_eq!(Shots::read(&shots.write(), file, &mut judge).as_ref(), Ok(&shots));
        assert!(shots.annotations.iter().all(|shot| shot.link.is_none()));
        count += shots.annotations.len();
    }
    assert_eq!(count, 6105);
}

#[test]
#[ignore = "needs soccernet-format in MOELAB_DATA"]
fn the_splits_of_two_tasks_overlap() {
    let list = |name: &str| {
        let file = format!("SoccerNet{name}.json");
        games::read(&open("splits").read(&file).unwrap(), &file).unwrap()
    };
    let counts = |task: &str| {
        ["Train", "Valid", "Test", "Challenge"].map(|split| list(&format!("{task}{split}")).len())
    };
    assert_eq!(counts("Games"), [300, 100, 100, 50]);
    assert_eq!(counts("CameraChanges"), [120, 40, 40, 50]);
    let [train, test] = ["GamesTrain", "CameraChangesTest"].map(list);
    let error = games::disjoint(("spotting train", &train), ("camera test", &test)).unwrap_err();
    assert_eq!(error.problem, "22 games are also in camera test");
}

#[test]
#[ignore = "needs soccernet-format in MOELAB_DATA"]
fn tracks_of_a_real_sequence_have_the_official_measures() {
    let files = open("mot/TUD-Campus");
    let [gt, seen] = ["gt.txt", "test.txt"].map(|name| files.read(name).unwrap());
    let info = b"[Sequence]\nname=TUD\nseqLength=71\n".to_vec();
    let truth = [("TUD/gt/gt.txt".to_string(), gt), ("TUD/seqinfo.ini".to_string(), info)];
    let truth = Source::memory("truth", BTreeMap::from(truth));
    let seen = Source::memory("seen", [("TUD.txt".to_string(), seen)].into());
    let task = Task::Tracking2022;
    let result = score(task, &truth, &seen, &Options::of(task)).unwrap().json()["result"].clone();
    let expected = [
        ("HOTA", 0.3913974378451139),
        ("DetA", 0.418047030142763),
        ("AssA", 0.36912068120832836),
        ("LocA", 0.770052227022172),
        ("MOTA", 0.5264623955431755),
        ("MOTP", 0.7227989153605385),
        ("IDSW", 7.0),
        ("Frag", 7.0),
        ("IDF1", 0.5576592082616179),
    ];
    for (name, value) in expected {
        let ours = result[name].as_f64().unwrap();
        assert!((ours - value).abs() < 1e-12, "{name}: {ours}, expected {value}");
    }
}
