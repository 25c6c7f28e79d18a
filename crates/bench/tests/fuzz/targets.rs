//! The readers of the workspace, each with small valid files to begin with.

#[path = "dense.rs"]
mod dense;
#[path = "loaded.rs"]
mod loaded;
#[path = "searched.rs"]
mod searched;
#[path = "tokenizers.rs"]
mod tokenizers;

use std::{collections::BTreeMap, fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use moe::Choice;
use soccernet::{Judge, Source, format};
use tasks::DataDir;

/// A reader.
pub(crate) struct Target {
    /// Its name.
    pub name: &'static str,
    /// Valid files from which inputs are made.
    pub files: Vec<Vec<u8>>,
    /// The number of inputs as a multiple of that of the slowest readers.
    pub share: usize,
    /// The function that reads an input. The folder is for readers of files.
    pub read: fn(&Path, &[u8]),
}

/// All readers.
pub(crate) fn all() -> Vec<Target> {
    let mut all = tables();
    all.extend(runs());
    all.extend(arrays());
    all.extend(soccer());
    all.extend(data());
    all.extend(models());
    all.extend(loaded::loaded());
    all.push(dense::dense());
    all
}

fn target(name: &'static str, share: usize, files: Vec<Vec<u8>>, read: fn(&Path, &[u8])) -> Target {
    Target { name, files, share, read }
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

const ROWS: &str = "suite,task,backbone,method,router,seed,split,metric,value,step,params,active_params,\
    flops_per_token,seconds,device,revision,run,note,budget,budget_off,budget_limit,lr\n\
    s,digits,vit,top-k,top-k,0,test,accuracy,0.91,600,82138,45722,90000,1.5,flex,abc,r0,,FLOPs,0.01,0.02,1e-3\n\
    s,digits,vit,top-k,top-k,1,test,accuracy,0.92,600,82138,45722,90000,1.5,flex,abc,r1,,FLOPs,0.01,0.02,1e-3\n\
    s,digits,vit,top-k,top-k,2,test,accuracy,0.93,600,82138,45722,90000,1.5,flex,abc,r2,,FLOPs,0.01,0.02,1e-3\n\
    s,digits,vit,hash,hash,0,test,accuracy,0.81,600,82138,45722,91000,2.5,flex,abc,r3,,FLOPs,0.01,0.02,1e-3\n\
    s,digits,vit,hash,hash,1,test,accuracy,0.83,600,82138,45722,91000,2.5,flex,abc,r4,,FLOPs,0.01,0.02,1e-3\n\
    s,digits,vit,hash,hash,2,test,failed,,600,,,,,flex,abc,r5,the loss is NaN,FLOPs,,0.02,1e-3\n\
    s,digits,vit,\"<b>|*,\",hash,0,valid,tokens_per_second,1e4,600,82138,45722,91000,2.5,flex,abc,r6,,,,,\n";

/// Readers of results, and everything that is made of results.
fn tables() -> Vec<Target> {
    let examples =
        "run,split,metric,sums,counts\nr0,test,accuracy,1 0 1 1,\nr1,test,loss,1.5 2,3 4\n";
    vec![
        target("results", 4, texts(&[ROWS]), |_, bytes| {
            let Ok(runs) = report::Runs::parse("fuzz.csv", bytes) else { return };
            let query = report::Query::default();
            if let Ok(tables) = report::comparison(&runs, &query) {
                for name in report::Format::NAMES {
                    report::render(&tables, name.parse().expect("a known name"));
                }
            }
            drop(report::rank(&runs, &query).map(|ranking| ranking.table()));
        }),
        target("report", 1, texts(&[ROWS]), |_, bytes| {
            let Ok(runs) = report::Runs::parse("fuzz.csv", bytes) else { return };
            drop(report::page(&report::Page::new("fuzz", &runs)));
        }),
        target("example-table", 10, texts(&[examples]), |_, bytes| {
            drop(report::ExampleScores::parse("fuzz.csv", bytes));
        }),
    ]
}

/// Readers of files of runs and of searches.
fn runs() -> Vec<Target> {
    let log = "step,split,metric,value\n3,train,loss,2.5\n3,train,lr,1e-3\n7,valid,load/0/1,0.25\n";
    let scores = "example,units,loss,correct,bytes\n0,3,1.5,2,7\n1,2,0.25,1,0\n";
    vec![
        target("log", 10, texts(&[log]), |_, bytes| drop(training::StepLog::parse(bytes))),
        target("example-scores", 10, texts(&[scores]), |_, bytes| {
            drop(training::ExampleScore::parse(bytes));
        }),
        target("trace", 10, vec![trace()], |_, bytes| {
            if let Ok(trace) = report::trace::Trace::parse("fuzz", bytes) {
                report::analysis::numbers(&[trace]);
            }
        }),
        target("checkpoint", 4, vec![checkpoint()], |folder, bytes| {
            let (network, optimizer) = learner(burn::prelude::Device::flex());
            drop(training::Checkpoint::parse_model(folder, bytes.to_vec(), network.clone()));
            fs::write(training::Checkpoint::path(folder), sealed(bytes)).expect("a folder");
            drop(training::Checkpoint::load(folder, network, optimizer));
        }),
        searched::searched(),
        target("suite", 4, texts(&[SUITE]), |_, bytes| {
            let text = String::from_utf8_lossy(bytes).to_string();
            drop(lab::SettingTree::parse("fuzz.toml", &text));
        }),
    ]
}

const SUITE: &str = "title = \"a\"\nseeds = [0, 1]\n[base]\nmoe = { layers = \"last 1\", experts = 4 }\n\
    train = { steps = 40, lr = 3e-3 }\n[[task]]\ntask = \"digits\"\nbackbone = { kind = \"vit\", width = 8 }\n\
    [[method]]\nmoe.router = { kind = \"switch\", jitter = 0.01 }\n[[method]]\nname = \"b\"\n\
    on.digits.moe.experts = 2\n";

fn trace() -> Vec<u8> {
    use report::trace::{About, Layer, Pixels, Trace};
    let choices = [vec![(0, 0.75), (1, 0.25)], vec![(2, 1.0)], vec![], vec![(1, 0.5)]];
    let about = About { experts: vec![3], patches: Some([2, 2]), ..About::default() };
    let trace = Trace {
        about,
        layers: vec![Layer::new(3, &choices)],
        example: vec![0, 0, 1, 1],
        position: vec![0, 1, 0, 1],
        token: vec![5, 6, 7, 8],
        label: vec![1, 1, 0, 0],
        text: vec![],
        pixels: Some(Pixels { shape: [1, 2, 2], grey: vec![0.0, 0.5, 1.0, 0.25] }),
    };
    trace.to_bytes().expect("a whole trace")
}

/// A network and its optimizer.
fn learner(device: burn::prelude::Device) -> (burn::nn::Linear, burn::optim::ModuleOptimizer) {
    let network = burn::nn::LinearConfig::new(3, 2).init(&device);
    let optimizer = training::adamw(&training::TrainConfig::default(), &network);
    (network, optimizer)
}

/// The checkpoint of a network after one step, so that its optimizer has moments.
fn checkpoint() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let (network, mut optimizer) = learner(burn::prelude::Device::flex().autodiff());
    let input = burn::tensor::Tensor::<2>::ones([1, 3], &network.weight.device());
    let loss = network.forward(input).sum();
    let grads = burn::optim::GradientsParams::from_grads(loss.backward(), &network);
    let network = optimizer.step(0.1, network, grads);
    let saved = training::Checkpoint::default().save(folder.path(), &network, &optimizer);
    saved.expect("it can be written");
    fs::read(training::Checkpoint::path(folder.path())).expect("it was written")
}

/// The same with a valid checksum, so that the content is read.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let body = &bytes[..bytes.len().saturating_sub(32)];
    [body, &Sha256::digest(body)[..]].concat()
}

/// Readers of arrays and raw images.
fn arrays() -> Vec<Target> {
    let floats = soccernet::npy::Array { shape: vec![2, 3], data: vec![0.5; 6] };
    let features = [true, false].map(|double| soccernet::npy::write(&floats, double));
    let whole = npy::write_u16(&[4, 4], &(0..16).collect::<Vec<_>>());
    vec![
        target("npy", 10, vec![whole.clone()], |_, bytes| drop(npy::read_u16(bytes))),
        target("npy-crop", 10, vec![whole], |_, bytes| {
            let mosaic = raw::npy_crop(bytes, "fuzz", raw::Cfa::GRBG, [64.0, 8000.0]);
            drop(mosaic);
        }),
        target("features", 10, features.to_vec(), |_, bytes| {
            drop(soccernet::npy::features(bytes, "fuzz"));
        }),
        target("dng", 10, vec![dng()], |_, bytes| drop(raw::dng::read(bytes, "fuzz"))),
    ]
}

fn dng() -> Vec<u8> {
    let values = (0..6 * 4).map(|i| i * 2700).collect();
    let dng = raw::dng::Dng {
        mosaic: raw::Mosaic::new([6, 4], raw::Cfa::GRBG, [64.0, 65000.0], values).expect("it fits"),
        make: "MoeLab".into(),
        model: "Test".into(),
        neutral: [0.5, 1.0, 0.6],
        matrix: [0.8, -0.2, -0.05, -0.4, 1.2, 0.2, -0.05, 0.15, 0.6],
    };
    raw::dng::write(&dng).expect("it can be written")
}

const BODIES: &str = r#"{"query": {"0": {"bbox_idx": 0, "action_idx": 4, "person_uid": 7}},
    "gallery": {"0": {"bbox_idx": 0, "action_idx": 4, "person_uid": 7}}}"#;
const CAMERA: &str = r#"{"pan_degrees": 1.0, "tilt_degrees": 80.0, "roll_degrees": 0.5,
    "position_meters": [0.0, 60.0, -12.0], "x_focal_length": 1200.0, "y_focal_length": 1200.0,
    "principal_point": [480.0, 270.0], "radial_distortion": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    "tangential_distortion": [0.0, 0.0], "thin_prism_distortion": [0.0, 0.0, 0.0, 0.0]}"#;
const GAMES: &str = r#"{"epl": {"2014": ["b 1 - 1 a", "a"]}, "liga": {"2014": ["a"]}}"#;
const LABELS: &str = r#"{"UrlLocal": "l/s/g", "annotations": [{"gameTime": "1 - 00:29", "label": "Foul",
    "position": "29049", "team": "home", "visibility": "not shown"}]}"#;
const LINES: &str = r#"{"Side line top": [{"x": 0.125, "y": 0.3}, {"x": 0.9, "y": 0.28}]}"#;
const TRACKS: &str = "1,7,399,182.5,121,229,1,-1,-1,-1\n3,7,1,2,3,4,0.5,-1,-1,-1\n";
const RANKING: &str = r#"{"0": [2, 1], "10": [3]}"#;
const REPLAYS: &str = r#"{"UrlLocal": "l/s/g", "half1_time": 2700, "half2_time": 3043, "Replays":
    [{"half": 1, "start": 346, "end": 357, "detection": [{"time": 81.0, "score": 0.0045}]}]}"#;
const SHOTS: &str = r#"{"annotations": [{"change_type": "logo", "gameTime": "1 - 01:20",
    "label": "Public", "position": "80000", "replay": "replay", "link": {"half": "1", "label": "Goal",
    "position": "50000", "team": "home", "time": "00:50", "visibility": "visible"}}]}"#;
const SPOTS: &str = r#"{"UrlLocal": "l/s/g", "predictions": [{"gameTime": "1 - 0:8", "label": "Foul",
    "position": "8500", "half": "1", "confidence": "0.0066"}]}"#;
const SEQUENCE: &str = "[Sequence]\nname=SNMOT-116\nimDir=img1\nframeRate=25\nseqLength=750\n\
    imWidth=1920\nimHeight=1080\nimExt=.jpg\n";
const VIDEO: &str = "[1_720p.mkv]\nstart_time_second = 12\nduration_second = 2750.5\n";

/// Readers of the formats of SoccerNet, in both modes.
fn soccer() -> Vec<Target> {
    let zip = |names: &[&str]| {
        let files: Vec<_> =
            names.iter().map(|name| (name.to_string(), SPOTS.as_bytes().repeat(9))).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.zip");
        soccernet::write_files(&path, &files).expect("it can be written");
        fs::read(path).expect("it was written")
    };
    vec![
        target(
            "soccernet-json",
            20,
            texts(&[BODIES, CAMERA, GAMES, LABELS, LINES, RANKING]),
            |_, x| {
                for mut judge in [Judge::default(), Judge::strict()] {
                    drop(format::bodies::Bodies::read(x, "fuzz", &mut judge));
                    drop(format::cameras::read(x, "fuzz", &mut judge));
                    drop(format::labels::Labels::read(x, "fuzz", &mut judge));
                    drop(format::lines::Lines::read(x, "fuzz", &mut judge));
                }
                drop(format::games::read(x, "fuzz"));
                drop(format::ranking::Ranking::read(x, "fuzz", &mut Judge::default()));
            },
        ),
        target("soccernet-video", 20, texts(&[REPLAYS, SHOTS, SPOTS, VIDEO, SEQUENCE]), |_, x| {
            for mut judge in [Judge::default(), Judge::strict()] {
                drop(format::replays::Replays::read(x, "fuzz", &mut judge));
                drop(format::shots::Shots::read(x, "fuzz", &mut judge));
                drop(format::spots::Spots::read(x, "fuzz", &mut judge));
            }
            drop(format::ini::Sequence::read(x, "fuzz"));
            drop(format::ini::Video::read(x, "fuzz"));
        }),
        target("soccernet-tracks", 20, texts(&[TRACKS]), |_, x| {
            for kind in [format::mot::Kind::Tracks, format::mot::Kind::Detections] {
                drop(format::mot::read(x, "fuzz", 3, kind, &mut Judge::default()));
            }
        }),
        target("soccernet-zip", 10, vec![zip(&["l/s/g/a.json", "b.json"])], |_, bytes| {
            let Ok(source) = Source::zip("fuzz.zip", bytes.to_vec()) else { return };
            for name in source.names() {
                drop(source.read(name));
            }
        }),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("a vector takes every byte");
    encoder.finish().expect("a vector takes every byte")
}

/// Loads a task from files in a folder.
fn load(folder: &Path, task: Choice, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder)).expect("the folder can be made");
        fs::write(path, bytes).expect("the folder can be written");
    }
    let all = tasks::all();
    let build = all.get(&task.kind).expect("a known task").build;
    drop(build(&task, &DataDir::new(Some(folder.into()))));
}

fn idx(magic: u32, sizes: &[u32], numbers: &[u8]) -> Vec<u8> {
    let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
    magic.to_be_bytes().into_iter().chain(sizes).chain(numbers.iter().copied()).collect()
}

fn png(side: u32) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    let image = image::RgbImage::from_fn(side, side, |x, y| [7, x as u8, y as u8].into());
    let written = image::DynamicImage::from(image).write_to(&mut file, image::ImageFormat::Png);
    written.expect("it can be written");
    file.into_inner()
}

/// The same with valid checksums, so that the content is read.
fn with_checksums(png: &[u8]) -> Vec<u8> {
    let mut bytes = png.to_vec();
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap_or_default()) as usize;
        let Some(end) = at.checked_add(8).and_then(|start| start.checked_add(length)) else {
            break;
        };
        if end + 4 > bytes.len() {
            break;
        }
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&crc.sum().to_be_bytes());
        at = end + 4;
    }
    bytes
}

fn tar(files: &BTreeMap<&str, Vec<u8>>) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, &bytes[..]).expect("a vector takes every byte");
    }
    archive.into_inner().expect("a vector takes every byte")
}

const IMAGES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// Readers of the data of tasks.
fn data() -> Vec<Target> {
    let n = 30;
    let pixels: Vec<u8> = (0..4 * n).map(|i| (i / 4) as u8).collect();
    let labels: Vec<u8> = (0..n).map(|i| (i % 10) as u8).collect();
    let images = vec![idx(0x803, &[n, 2, 2], &pixels), idx(0x801, &[n], &labels)];
    let values: Vec<u16> = (0..16).collect();
    let crop = npy::write_u16(&[4, 4], &values);
    let rice = tar(&BTreeMap::from([
        ("RAW/arborio/sample_arborio02398_1.npy", crop.clone()),
        ("RAW/brown/sample_brown02398_1.npy", crop),
        ("RGB/arborio/sample_arborio02398_1.png", png(4)),
        ("RGB/brown/sample_brown02398_1.png", png(4)),
    ]));
    let choices = r#"{"context": "It is", "choices": ["a cat", "a dog"], "answer": 1}"#;
    vec![
        target("idx", 1, images, |folder, bytes| {
            let files = IMAGES.map(|name| (name, bytes));
            load(folder, Choice::of("mnist"), &files);
        }),
        target("idx-gz", 1, vec![gzip(&idx(0x803, &[30, 2, 2], &pixels))], |folder, bytes| {
            for name in IMAGES {
                let _ = fs::remove_file(folder.join(name));
            }
            let names = IMAGES.map(|name| format!("{name}.gz"));
            let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, bytes)).collect();
            load(folder, Choice::of("mnist"), &files);
        }),
        target("png", 1, vec![png(8)], |folder, bytes| {
            let whole = png(8);
            let files = [
                ("pictures/cat/a.png", &with_checksums(bytes)[..]),
                ("pictures/dog/b.png", &whole[..]),
                ("pictures/dog/c.png", bytes),
            ];
            load(folder, Choice::of("image-folder").with("side", 8), &files);
        }),
        target("rice", 1, vec![rice], |folder, bytes| {
            load(folder, Choice::of("rice"), &[("rice-raw.tar.gz", &gzip(bytes))]);
        }),
        target("omniglot", 1, vec![zip_of_pictures()], |folder, bytes| {
            let [one, two] = ["images_background_small1.zip", "images_background_small2.zip"];
            load(folder, Choice::of("omniglot"), &[(one, bytes), (two, bytes)]);
        }),
        target("pairs", 1, texts(&["a cat sat\nthe dog ran\n"]), |folder, bytes| {
            let files = ["train.en", "train.de", "valid.en", "valid.de"].map(|name| (name, bytes));
            let task = Choice::of("translation").with("target", "de").with("tokens", "byte");
            let task = task.with("train", "train").with("valid", "valid").with("test", "valid");
            load(folder, task, &files);
        }),
        target("choices", 1, texts(&[choices]), |folder, bytes| {
            let text = b"It is a cat. It is a dog. ".repeat(40);
            let task = Choice::of("text-lm").with("file", "all.txt");
            let task = task.with("length", 8).with("choices", "q.jsonl");
            load(folder, task, &[("all.txt", &text), ("q.jsonl", bytes)]);
        }),
        tokenizers::tokenizer(),
    ]
}

fn zip_of_pictures() -> Vec<u8> {
    let name = |class: usize| format!("images/Latin/character{class:02}/0001_01.png");
    let files: Vec<(String, Vec<u8>)> = (1..3).map(|class| (name(class), png(8))).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.zip");
    soccernet::write_files(&path, &files).expect("it can be written");
    fs::read(path).expect("it was written")
}

/// A committed file of a small checkpoint.
macro_rules! fixture {
    ($file:literal) => {
        include_bytes!(concat!("../../../interop/fixtures/", $file))
    };
}

const CONFIG: &[u8] = fixture!("mixtral/config.json");
const SHARDS: [(&str, &[u8]); 2] = [
    ("model-00001-of-00002.safetensors", fixture!("mixtral/model-00001-of-00002.safetensors")),
    ("model-00002-of-00002.safetensors", fixture!("mixtral/model-00002-of-00002.safetensors")),
];

/// Readers of checkpoints of published models: configs of all families, tensors, indices, files of PyTorch,
/// GGUF.
fn models() -> Vec<Target> {
    let tensors = vec![SHARDS[0].1.to_vec(), fixture!("gpt-oss-mxfp4/model.safetensors").to_vec()];
    let ggufs = vec![
        fixture!("gguf-mixtral/model.gguf").to_vec(),
        fixture!("gguf-llama/model.gguf").to_vec(),
    ];
    let pickled = vec![
        fixture!("pytorch/pytorch_model.bin").to_vec(),
        fixture!("pytorch/old.pt").to_vec(),
        fixture!("pytorch/code.bin").to_vec(),
    ];
    let index = vec![fixture!("mixtral/model.safetensors.index.json").to_vec()];
    vec![
        target("model-config", 4, configs(), |folder, bytes| {
            write(folder, &[("config.json", bytes), ("model.safetensors", SHARDS[0].1)]);
            read_model(folder);
        }),
        target("model-tensors", 2, tensors, |folder, bytes| {
            write(folder, &[("config.json", CONFIG), ("model.safetensors", bytes)]);
            read_model(folder);
        }),
        target("model-index", 1, index, |folder, bytes| {
            write(folder, &SHARDS);
            write(folder, &[("config.json", CONFIG), ("model.safetensors.index.json", bytes)]);
            read_model(folder);
        }),
        target("model-pytorch", 2, pickled, |folder, bytes| {
            write(folder, &[("config.json", fixture!("llama3/config.json"))]);
            write(folder, &[("pytorch_model.bin", bytes)]);
            read_model(folder);
        }),
        target("model-gguf", 2, ggufs, |folder, bytes| {
            write(folder, &[("model.gguf", bytes)]);
            read_model(&folder.join("model.gguf"));
        }),
    ]
}

fn configs() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../interop/fixtures");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path().join("config.json")).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

fn write(folder: &Path, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).expect("the folder can be written");
    }
}

/// Reads everything in a checkpoint.
fn read_model(path: &Path) {
    let Ok(checkpoint) = interop::CheckpointFiles::open(path) else { return };
    drop(interop::describe(&checkpoint.config));
    for (name, stored) in checkpoint.tensors() {
        if let Ok(numbers) = checkpoint.numbers(name) {
            assert_eq!(numbers.len(), stored.len(), "{name}");
        }
    }
}
