//! `video.ini` and `seqinfo.ini`: sections of names and values.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// Sections by name, each with its values by name in lower case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ini {
    file: String,
    sections: BTreeMap<String, BTreeMap<String, String>>,
}

impl Ini {
    /// Reads a file; lines that begin with `#` or `;` are comments.
    ///
    /// # Errors
    ///
    /// At a line that is neither a section nor a value.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let mut ini = Self { file: file.to_string(), sections: BTreeMap::new() };
        let mut section = String::new();
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name.to_string();
                ini.sections.entry(section.clone()).or_default();
                continue;
            }
            let expected = || {
                let problem = format!("{line:?}; expected [section] or name = value");
                Error::entry(file, format!("line {}", number + 1), problem)
            };
            let (name, value) = line.split_once(['=', ':']).ok_or_else(expected)?;
            let values = ini.sections.get_mut(&section).ok_or_else(expected)?;
            values.insert(name.trim().to_lowercase(), value.trim().to_string());
        }
        Ok(ini)
    }

    /// A value.
    ///
    /// # Errors
    ///
    /// If the value is missing or of another type.
    pub fn get<T: std::str::FromStr>(&self, section: &str, name: &str) -> Result<T> {
        let entry = format!("[{section}] {name}");
        let value = self.sections.get(section).and_then(|all| all.get(&name.to_lowercase()));
        let value = value.ok_or_else(|| Error::entry(&self.file, &entry, "it is missing"))?;
        let wrong = |_| Error::entry(&self.file, &entry, format!("{value:?} is not a valid value"));
        value.parse().map_err(wrong)
    }
}

/// The most frames of a sequence; the challenge's have 750.
pub(crate) const LONGEST: usize = 1_000_000;

/// The fields of `seqinfo.ini` on a sequence of frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// The name of the sequence.
    pub name: String,
    /// The folder of the frames.
    pub folder: String,
    /// The number of frames per second.
    pub frame_rate: f64,
    /// Number of frames.
    pub length: usize,
    /// Width and height of a frame in pixels.
    pub size: [usize; 2],
    /// The end of the frames' names.
    pub extension: String,
}

impl Sequence {
    /// Reads `seqinfo.ini`.
    ///
    /// # Errors
    ///
    /// If a value is missing or of another type, or there is no frame, or more than 1,000,000.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self> {
        let ini = Ini::read(bytes, file)?;
        let get = |name: &str| ini.get::<String>("Sequence", name);
        let length = || -> Result<usize> {
            let length = ini.get("Sequence", "seqLength")?;
            let problem = match length {
                0 => "0; expected at least one frame".into(),
                1..=LONGEST => return Ok(length),
                _ => format!("{length}; expected at most {LONGEST} frames"),
            };
            Err(Error::entry(file, "[Sequence] seqLength", problem))
        };
        Ok(Self {
            name: get("name")?,
            folder: get("imDir")?,
            frame_rate: ini.get("Sequence", "frameRate")?,
            length: length()?,
            size: [ini.get("Sequence", "imWidth")?, ini.get("Sequence", "imHeight")?],
            extension: get("imExt")?,
        })
    }

    /// The file's content.
    pub fn write(&self) -> Vec<u8> {
        let [width, height] = self.size;
        format!(
            "[Sequence]\nname={}\nimDir={}\nframeRate={}\nseqLength={}\nimWidth={width}\n\
             imHeight={height}\nimExt={}\n",
            self.name, self.folder, self.frame_rate, self.length, self.extension
        )
        .into_bytes()
    }
}

/// The fields of `video.ini` on a half's video: start and length in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    /// The video's file name, for example `1_720p.mkv`.
    pub name: String,
    /// The second of the video at which the half begins.
    pub start: f64,
    /// The length of the half in seconds.
    pub duration: f64,
}

impl Video {
    /// Reads `video.ini`, one entry per video.
    ///
    /// # Errors
    ///
    /// If a value is missing or not a number.
    pub fn read(bytes: &[u8], file: &str) -> Result<Vec<Self>> {
        let ini = Ini::read(bytes, file)?;
        let video = |name: &String| {
            let get = |field: &str| ini.get::<f64>(name, field);
            let (start, duration) = (get("start_time_second")?, get("duration_second")?);
            Ok(Self { name: name.clone(), start, duration })
        };
        ini.sections.keys().map(video).collect()
    }

    /// The file's content.
    pub fn write(videos: &[Self]) -> Vec<u8> {
        let section = |video: &Self| {
            let (start, duration) = (video.start, video.duration);
            format!(
                "[{}]\nstart_time_second = {start}\nduration_second = {duration}\n\n",
                video.name
            )
        };
        videos.iter().map(section).collect::<String>().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_read_and_written() {
        let text = b"[Sequence]\nname=SNMOT-116\nimDir=img1\nframeRate=25\nseqLength=750\n\
                     imWidth=1920\nimHeight=1080\nimExt=.jpg\n";
        let sequence = Sequence::read(text, "seqinfo.ini").unwrap();
        assert_eq!((sequence.length, sequence.size), (750, [1920, 1080]));
        assert_eq!(sequence.write(), text);
        let error = Sequence::read(&text[..37], "seqinfo.ini").unwrap_err().to_string();
        assert_eq!(error, "seqinfo.ini: [Sequence] frameRate: it is missing");
        let text = String::from_utf8_lossy(text).replace("750", "many");
        let error = Sequence::read(text.as_bytes(), "s").unwrap_err().to_string();
        assert_eq!(error, "s: [Sequence] seqLength: \"many\" is not a valid value");
        let text = text.replace("many", "0");
        let error = Sequence::read(text.as_bytes(), "s").unwrap_err().to_string();
        assert_eq!(error, "s: [Sequence] seqLength: 0; expected at least one frame");
        let text = text.replace("=0\n", "=1000001\n");
        let error = Sequence::read(text.as_bytes(), "s").unwrap_err().to_string();
        assert_eq!(error, "s: [Sequence] seqLength: 1000001; expected at most 1000000 frames");
    }

    #[test]
    fn videos_are_read_and_written() {
        let videos = vec![
            Video { name: "1_720p.mkv".into(), start: 12.0, duration: 2750.5 },
            Video { name: "2_720p.mkv".into(), start: 0.0, duration: 2900.0 },
        ];
        assert_eq!(Video::read(&Video::write(&videos), "video.ini"), Ok(videos));
        assert!(Video::read(b"start = 1", "v").unwrap_err().to_string().contains("v: line 1"));
        assert!(Video::read(b"[1]\nrubbish", "v").unwrap_err().to_string().contains("line 2"));
    }
}
