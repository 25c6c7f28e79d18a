//! The file format of a trace, based on safetensors.

use safetensors::{Dtype, SafeTensorError, SafeTensors, serialize, tensor::TensorView};

use super::{About, Layer, Pixels, Property, Trace};

/// The largest number of experts of all layers together. A file needs no byte for an expert, so it could
/// otherwise declare enough to fill the memory.
const MOST_EXPERTS: usize = 1 << 20;

/// A tensor's name, kind, shape and numbers.
type NamedTensor = (String, Dtype, Vec<usize>, Vec<u8>);

/// The content of the file of a trace.
pub(super) fn encode(trace: &Trace) -> Result<Vec<u8>, String> {
    check(&trace.about)?;
    let n = trace.len();
    let Trace { about, example, position, token, label, text, .. } = trace;
    let columns =
        [("example", example), ("position", position), ("token", token), ("label", label)];
    let mut columns: Vec<NamedTensor> =
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

fn ints<const D: usize>(name: String, shape: [usize; D], values: &[i32]) -> NamedTensor {
    (name, Dtype::I32, shape.into(), values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

fn floats<const D: usize>(name: String, shape: [usize; D], values: &[f32]) -> NamedTensor {
    (name, Dtype::F32, shape.into(), values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

/// The trace in a file, or the fault of the file.
pub(super) fn decode(bytes: &[u8]) -> Result<Trace, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|err| err.to_string())?;
    let file = SafeTensors::deserialize(bytes).map_err(|err| err.to_string())?;
    let about = header.metadata().as_ref().and_then(|entries| entries.get("trace"));
    let about = about.ok_or("its header has no entry \"trace\"")?;
    let about: About = serde_json::from_str(about).map_err(|err| format!("its header: {err}"))?;
    check(&about)?;
    let column = |name| Ok::<_, String>(values(&file, name, Dtype::I32, i32::from_le_bytes)?.1);
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
        return Err("its columns have different lengths".into());
    }
    let layers = about.experts.iter().enumerate();
    let layers =
        layers.map(|(at, experts)| layer(&file, at, n, *experts)).collect::<Result<_, _>>()?;
    let pixels = match header.info("pixels") {
        Some(_) => Some(pixels(values(&file, "pixels", Dtype::F32, f32::from_le_bytes)?)?),
        None => None,
    };
    Ok(Trace { about, layers, example, position, token, label, text, pixels })
}

/// Checks sizes for which the file has no tensors.
fn check(about: &About) -> Result<(), String> {
    let experts = about.experts.iter().fold(0, |sum: usize, n| sum.saturating_add(*n));
    if experts > MOST_EXPERTS {
        return Err(format!(
            "its layers have {experts} experts; at most {MOST_EXPERTS} are allowed"
        ));
    }
    match about.patches {
        Some([rows, columns]) if rows == 0 || columns == 0 => {
            Err(format!("it has {rows} rows and {columns} columns of patches; expected 1 or more"))
        }
        _ => Ok(()),
    }
}

/// Reads one layer with `n` units and `n_experts` experts.
fn layer(file: &SafeTensors, at: usize, n: usize, n_experts: usize) -> Result<Layer, String> {
    let (shape, experts) =
        values(file, &format!("layer.{at}.experts"), Dtype::I32, i32::from_le_bytes)?;
    let (_, weights) =
        values(file, &format!("layer.{at}.weights"), Dtype::F32, f32::from_le_bytes)?;
    let &[units, k] = &shape[..] else {
        return Err(format!("layer {at} has the shape {shape:?}; expected two dimensions"));
    };
    let is_known = |expert: &i32| match usize::try_from(*expert) {
        Ok(expert) => expert < n_experts,
        Err(_) => *expert == -1,
    };
    if units != n || k == 0 || weights.len() != experts.len() || !experts.iter().all(is_known) {
        return Err(format!("layer {at} does not fit {n} units and {n_experts} experts"));
    }
    Ok(Layer { n_experts, k, experts, weights })
}

fn pixels((shape, grey): (Vec<usize>, Vec<f32>)) -> Result<Pixels, String> {
    match shape[..] {
        [n, height, width] if n > 0 && height > 0 && width > 0 => {
            Ok(Pixels { shape: [n, height, width], grey })
        }
        _ => {
            Err(format!("pixels are {shape:?}; expected images, rows and columns, 1 or more each"))
        }
    }
}

/// The shape and the numbers of a tensor with this dtype.
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
    use serde_json::Value;

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

    /// A trace whose header was modified by `change`.
    fn with(change: fn(&mut Value)) -> Vec<u8> {
        let bytes = trace().to_bytes().unwrap();
        let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let about = &mut header["__metadata__"]["trace"];
        let mut changed: Value = serde_json::from_str(about.as_str().unwrap()).unwrap();
        change(&mut changed);
        *about = changed.to_string().into();
        let mut header = header.to_string();
        header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + length..]].concat()
    }

    #[test]
    fn sizes_without_bytes_are_bounded() {
        assert_eq!(decode(&with(|_| ())).unwrap(), trace());
        let many = [
            with(|about| about["experts"][1] = 2_147_483_647_u64.into()),
            with(|about| about["experts"][1] = ((1_u64 << 32) + 3).into()),
            with(|about| about["experts"] = vec![u64::MAX; 2].into()),
        ];
        for (bytes, sum) in many.iter().zip([2_147_483_650, 4_294_967_302, usize::MAX]) {
            let said = format!("its layers have {sum} experts; at most 1048576 are allowed");
            assert_eq!(decode(bytes), Err(said));
        }
        assert!(decode(&with(|about| about["experts"][1] = ((1 << 20) - 3).into())).is_ok());
        let none = [
            with(|about| about["patches"] = vec![1, 0].into()),
            with(|about| about["patches"] = vec![0, 1].into()),
        ];
        for patches in &none {
            assert!(decode(patches).unwrap_err().contains("of patches; expected 1 or more"));
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_written() {
        let mut large = trace();
        large.about.experts[0] = MOST_EXPERTS + 1;
        assert!(large.to_bytes().unwrap_err().to_string().contains("at most 1048576 are allowed"));
    }

    #[test]
    fn images_have_rows_and_columns() {
        for shape in [[1, 0, 0], [1, 2, 0], [0, 2, 2], [1 << 62, 0, 4]] {
            let mut trace = trace();
            trace.pixels = Some(Pixels { shape, grey: Vec::new() });
            let err = decode(&trace.to_bytes().unwrap()).unwrap_err();
            let [n, height, width] = shape;
            assert_eq!(
                err,
                format!(
                    "pixels are [{n}, {height}, {width}]; expected images, rows and columns, 1 or more each"
                )
            );
        }
    }
}
