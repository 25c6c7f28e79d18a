//! The bytes of a trace, in the safetensors format.

use safetensors::{Dtype, SafeTensorError, SafeTensors, serialize, tensor::TensorView};

use super::{About, Layer, Pixels, Property, Trace};

/// A tensor's name, kind, shape and numbers.
type Column = (String, Dtype, Vec<usize>, Vec<u8>);

/// The file of a trace.
pub(super) fn encode(trace: &Trace) -> Result<Vec<u8>, String> {
    let n = trace.len();
    let Trace { about, example, position, token, label, text, .. } = trace;
    let columns =
        [("example", example), ("position", position), ("token", token), ("label", label)];
    let mut columns: Vec<Column> =
        columns.map(|(name, values)| ints(name.into(), [n], values)).into();
    for (at, layer) in trace.layers.iter().enumerate() {
        columns.push(ints(format!("layer.{at}.experts"), [n, layer.k], &layer.experts));
        columns.push(floats(format!("layer.{at}.weights"), [n, layer.k], &layer.weights));
    }
    if !text.is_empty() {
        columns.push(ints("text".into(), [n], text));
    }
    if let Some(Pixels { shape, grey }) = &trace.pixels {
        columns.push(floats("pixels".into(), *shape, grey));
    }
    let about = serde_json::to_string(about).map_err(|err| err.to_string())?;
    let views = columns.iter().map(|(name, dtype, shape, bytes)| {
        TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name, view))
    });
    let views: Result<Vec<_>, SafeTensorError> = views.collect();
    let file = views.and_then(|views| serialize(views, Some([("trace".into(), about)].into())));
    file.map_err(|err| err.to_string())
}

fn ints<const D: usize>(name: String, shape: [usize; D], values: &[i32]) -> Column {
    (name, Dtype::I32, shape.into(), values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

fn floats<const D: usize>(name: String, shape: [usize; D], values: &[f32]) -> Column {
    (name, Dtype::F32, shape.into(), values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

/// The trace of a file, or what is wrong with it.
pub(super) fn decode(bytes: &[u8]) -> Result<Trace, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|err| err.to_string())?;
    let file = SafeTensors::deserialize(bytes).map_err(|err| err.to_string())?;
    let about = header.metadata().as_ref().and_then(|entries| entries.get("trace"));
    let about = about.ok_or("its header has no entry \"trace\"")?;
    let about: About = serde_json::from_str(about).map_err(|err| format!("its header: {err}"))?;
    let ints = |name: &str| values(&file, name, Dtype::I32, i32::from_le_bytes);
    let floats = |name: &str| values(&file, name, Dtype::F32, f32::from_le_bytes);
    let column = |name| Ok::<_, String>(ints(name)?.1);
    let (example, position) = (column("example")?, column("position")?);
    let (token, label) = (column("token")?, column("label")?);
    let n = example.len();
    let text = match header.info("text") {
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
        let (shape, experts) = ints(&format!("layer.{at}.experts"))?;
        let (_, weights) = floats(&format!("layer.{at}.weights"))?;
        let &[units, k] = &shape[..] else { return Err(format!("layer {at} is {shape:?}")) };
        let known = |expert: &i32| (-1..*n_experts as i32).contains(expert);
        if units != n || k == 0 || weights.len() != experts.len() || !experts.iter().all(known) {
            return Err(format!("layer {at} does not fit {n} units and {n_experts} experts"));
        }
        layers.push(Layer { n_experts: *n_experts, k, experts, weights });
    }
    let pixels = match header.info("pixels") {
        Some(_) => Some(pixels(floats("pixels")?)?),
        None => None,
    };
    Ok(Trace { about, layers, example, position, token, label, text, pixels })
}

fn pixels((shape, grey): (Vec<usize>, Vec<f32>)) -> Result<Pixels, String> {
    let shape = shape.try_into().map_err(|shape| format!("pixels are {shape:?}"))?;
    Ok(Pixels { shape, grey })
}

/// The shape and the numbers of a tensor of this kind.
fn values<T>(
    file: &SafeTensors,
    name: &str,
    dtype: Dtype,
    from: fn([u8; 4]) -> T,
) -> Result<(Vec<usize>, Vec<T>), String> {
    let view = file.tensor(name).map_err(|err| err.to_string())?;
    if view.dtype() != dtype {
        return Err(format!("the numbers of {name:?} are {}; expected {dtype}", view.dtype()));
    }
    let (numbers, _) = view.data().as_chunks::<4>();
    Ok((view.shape().into(), numbers.iter().map(|number| from(*number)).collect()))
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
        let bytes = trace.to_bytes().unwrap();
        assert_eq!(decode(&bytes).unwrap(), trace);
        for wrong in [vec![1], vec![1, 2]] {
            trace.about.properties = vec![of(wrong)];
            let err = decode(&trace.to_bytes().unwrap()).unwrap_err();
            assert_eq!(err, "its properties do not fit its texts");
        }
        let length = u64::from_le_bytes(*bytes.first_chunk().unwrap());
        assert_eq!(length % 8, 0);
    }

    #[test]
    fn damage_is_no_panic() {
        let bytes = trace().to_bytes().unwrap();
        for length in [0, 7, 20, bytes.len() - 1] {
            assert!(decode(&bytes[..length]).is_err());
        }
        let mut wrong = trace();
        wrong.layers[0].experts[0] = 9;
        let err = decode(&wrong.to_bytes().unwrap()).unwrap_err();
        assert_eq!(err, "layer 0 does not fit 4 units and 3 experts");
    }
}
