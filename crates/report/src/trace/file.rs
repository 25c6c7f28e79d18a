//! The bytes of a trace.

use serde_json::{Map, Value, json};

use super::{About, Layer, Pixels, Property, Trace};

/// The file of a trace.
pub(super) fn encode(trace: &Trace) -> Vec<u8> {
    let mut writer = Writer::default();
    let n = trace.len();
    for (name, values) in [
        ("example", &trace.example),
        ("position", &trace.position),
        ("token", &trace.token),
        ("label", &trace.label),
    ] {
        writer.ints(name, &[n], values);
    }
    for (at, layer) in trace.layers.iter().enumerate() {
        writer.ints(&format!("layer.{at}.experts"), &[n, layer.k], &layer.experts);
        writer.floats(&format!("layer.{at}.weights"), &[n, layer.k], &layer.weights);
    }
    if !trace.text.is_empty() {
        writer.ints("text", &[n], &trace.text);
    }
    if let Some(Pixels { shape, grey }) = &trace.pixels {
        writer.floats("pixels", shape, grey);
    }
    let about = json!({ "trace": json!(trace.about).to_string() });
    writer.header.insert("__metadata__".into(), about);
    let mut header = Value::Object(writer.header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' '); // the format wants numbers aligned
    [&(header.len() as u64).to_le_bytes()[..], &header, &writer.numbers].concat()
}

#[derive(Default)]
struct Writer {
    header: Map<String, Value>,
    numbers: Vec<u8>,
}

impl Writer {
    fn ints(&mut self, name: &str, shape: &[usize], values: &[i32]) {
        self.add(name, "I32", shape, values.iter().flat_map(|x| x.to_le_bytes()));
    }

    fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.add(name, "F32", shape, values.iter().flat_map(|x| x.to_le_bytes()));
    }

    fn add(&mut self, name: &str, kind: &str, shape: &[usize], bytes: impl Iterator<Item = u8>) {
        let start = self.numbers.len();
        self.numbers.extend(bytes);
        let place = [start, self.numbers.len()];
        let entry = json!({ "dtype": kind, "shape": shape, "data_offsets": place });
        self.header.insert(name.into(), entry);
    }
}

/// The trace of a file, or what is wrong with it.
pub(super) fn decode(bytes: &[u8]) -> Result<Trace, String> {
    let reader = Reader::new(bytes)?;
    let about = reader.header["__metadata__"]["trace"].as_str().unwrap_or_default();
    let about: About = serde_json::from_str(about).map_err(|err| format!("its header: {err}"))?;
    let column = |name| Ok::<_, String>(reader.ints(name)?.1);
    let (example, position) = (column("example")?, column("position")?);
    let (token, label) = (column("token")?, column("label")?);
    let n = example.len();
    let text = match reader.header.get("text") {
        Some(_) => column("text")?,
        None => Vec::new(),
    };
    let known = |property: &Property| {
        let value = |of: &usize| *of < property.values.len();
        let one = |text: &i32| usize::try_from(*text).is_ok_and(|text| text < property.of.len());
        property.of.iter().all(value) && text.iter().all(one)
    };
    if !about.properties.iter().all(known) {
        return Err("its properties do not fit its texts".into());
    }
    let whole = |column: &Vec<i32>| column.len() == n;
    if ![&position, &token, &label].into_iter().all(whole)
        || !(whole(&text) || text.is_empty() && about.properties.is_empty())
    {
        return Err("its columns are not equally long".into());
    }
    let mut layers = Vec::new();
    for (at, n_experts) in about.experts.iter().enumerate() {
        let (shape, experts) = reader.ints(&format!("layer.{at}.experts"))?;
        let (_, weights) = reader.floats(&format!("layer.{at}.weights"))?;
        let &[units, k] = &shape[..] else { return Err(format!("layer {at} is {shape:?}")) };
        let known = |expert: &i32| (-1..*n_experts as i32).contains(expert);
        if units != n || k == 0 || weights.len() != experts.len() || !experts.iter().all(known) {
            return Err(format!("layer {at} does not fit {n} units and {n_experts} experts"));
        }
        layers.push(Layer { n_experts: *n_experts, k, experts, weights });
    }
    let pixels = match reader.header.get("pixels") {
        Some(_) => Some(pixels(reader.floats("pixels")?)?),
        None => None,
    };
    Ok(Trace { about, layers, example, position, token, label, text, pixels })
}

fn pixels((shape, grey): (Vec<usize>, Vec<f32>)) -> Result<Pixels, String> {
    let shape = shape.try_into().map_err(|shape| format!("pixels are {shape:?}"))?;
    Ok(Pixels { shape, grey })
}

struct Reader<'a> {
    header: Value,
    numbers: &'a [u8],
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let short = || "it is too short".to_string();
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| short())?;
        let (header, numbers) = rest.split_at_checked(length).ok_or_else(short)?;
        let header = serde_json::from_slice(header).map_err(|err| err.to_string())?;
        Ok(Self { header, numbers })
    }

    fn ints(&self, name: &str) -> Result<(Vec<usize>, Vec<i32>), String> {
        self.get(name, "I32", i32::from_le_bytes)
    }

    fn floats(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
        self.get(name, "F32", f32::from_le_bytes)
    }

    fn get<T>(
        &self,
        name: &str,
        kind: &str,
        from: fn([u8; 4]) -> T,
    ) -> Result<(Vec<usize>, Vec<T>), String> {
        let entry = self.header.get(name).ok_or_else(|| format!("there is no {name:?}"))?;
        let wrong = || format!("{name:?} is not what it should be");
        let list = |key: &str| serde_json::from_value::<Vec<usize>>(entry[key].clone()).ok();
        let (shape, place) = (list("shape"), list("data_offsets"));
        let (Some(shape), Some([start, end])) = (shape, place.as_deref()) else {
            return Err(wrong());
        };
        let bytes = self.numbers.get(*start..*end).ok_or_else(wrong)?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        let count = shape.iter().try_fold(1_usize, |n, side| n.checked_mul(*side));
        if entry["dtype"] != kind || !rest.is_empty() || count != Some(numbers.len()) {
            return Err(wrong());
        }
        Ok((shape, numbers.iter().map(|number| from(*number)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::trace;

    #[test]
    fn what_is_written_is_read() {
        let mut trace = trace();
        trace.pixels = Some(Pixels { shape: [1, 2, 2], grey: vec![0.0, 0.5, 0.25, 1.0] });
        trace.about.letters = vec!["a".into(), "\n".into()];
        let of = |of: Vec<usize>| Property {
            name: "party".into(),
            values: vec!["a".into(), "b".into()],
            of,
        };
        trace.text = vec![0, 0, 1, 1];
        trace.about.properties = vec![of(vec![1, 0])];
        let bytes = trace.to_bytes();
        assert_eq!(decode(&bytes).unwrap(), trace);
        for wrong in [vec![1], vec![1, 2]] {
            trace.about.properties = vec![of(wrong)];
            let err = decode(&trace.to_bytes()).unwrap_err();
            assert_eq!(err, "its properties do not fit its texts");
        }
        let length = u64::from_le_bytes(*bytes.first_chunk().unwrap());
        assert_eq!(length % 8, 0);
    }

    #[test]
    fn damage_is_no_panic() {
        let bytes = trace().to_bytes();
        for length in [0, 7, 20, bytes.len() - 1] {
            assert!(decode(&bytes[..length]).is_err());
        }
        let mut wrong = trace();
        wrong.layers[0].experts[0] = 9;
        let err = decode(&wrong.to_bytes()).unwrap_err();
        assert_eq!(err, "layer 0 does not fit 4 units and 3 experts");
    }
}
