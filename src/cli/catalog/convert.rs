//! Adapters in fewer bits: the same PEFT file with factors of another type.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use gander::experts::block_of;
use gander::formats::encoding::Encoding;
use gander::formats::peft::WEIGHTS;
use gander::formats::safetensors::{Header, HeaderTensor};
use gander::tensor::DType;
use gander::{Error, ErrorCode, Result};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView};

/// An adapter file whose LoRA factors are all of one 16-bit type, block after block; the file itself if it is so. Gates in it
/// stay what they are: they are fetched once, and rounding them would change who is chosen.
///
/// # Errors
/// [`ErrorCode::NotFinite`] for a value that the type cannot hold.
pub fn convert(weights: &[u8], dtype: DType) -> Result<Cow<'_, [u8]>> {
    let target = match dtype {
        DType::F16 => Dtype::F16,
        _ => Dtype::BF16,
    };
    let header = Header::of_file(WEIGHTS, weights)?;
    if factors(&header).all(|(_, tensor)| tensor.dtype == target) && is_block_after_block(&header) {
        return Ok(Cow::Borrowed(weights));
    }
    let mut converted = BTreeMap::new();
    for (name, tensor) in &header.tensors {
        let bytes = &weights[tensor.range.clone()];
        let written = if tensor.dtype == target || !is_factor(name) {
            (tensor.dtype, Cow::Borrowed(bytes))
        } else {
            let values = Encoding::from_dtype(tensor.dtype)?.decode(1, tensor.shape.iter().product(), bytes);
            let bytes =
                round(&values.to_f32(), target).map_err(|error| error.inside(name).inside(WEIGHTS))?;
            (target, Cow::Owned(bytes))
        };
        converted.insert(name, (written, &tensor.shape));
    }
    let views = converted.iter().map(|(name, ((dtype, bytes), shape))| {
        let view = TensorView::new(*dtype, shape.to_vec(), bytes);
        (name, view.expect("as many bytes as the shape says"))
    });
    let metadata = (!header.metadata.is_empty()).then(|| header.metadata.into_iter().collect());
    Ok(Cow::Owned(safetensors::serialize(views, metadata).expect("names and shapes are in order")))
}

fn is_factor(name: &str) -> bool {
    name.ends_with(".lora_A.weight") || name.ends_with(".lora_B.weight")
}

fn factors(header: &Header) -> impl Iterator<Item = (&str, &HeaderTensor)> {
    header.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).filter(|(name, _)| is_factor(name))
}

/// Whether every block's factors lie together, as they do where one type's tensors are sorted by name.
pub fn is_block_after_block(header: &Header) -> bool {
    let block = |name: &str| block_of(name.trim_start_matches("base_model.model.")).to_owned();
    let mut places: Vec<(usize, String)> =
        factors(header).map(|(name, tensor)| (tensor.range.start, block(name))).collect();
    places.sort();
    places.dedup_by(|later, earlier| later.1 == earlier.1);
    let blocks: BTreeSet<&String> = places.iter().map(|(_, block)| block).collect();
    blocks.len() == places.len()
}

/// The nearest values of a 16-bit type.
fn round(values: &[f32], target: Dtype) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(2 * values.len());
    for (at, &value) in values.iter().enumerate() {
        let (written, rounded) = match target {
            Dtype::F16 => (f16::from_f32(value).to_le_bytes(), f16::from_f32(value).to_f32()),
            _ => (bf16::from_f32(value).to_le_bytes(), bf16::from_f32(value).to_f32()),
        };
        if !rounded.is_finite() {
            let (place, problem) = (format!("value {at}"), format!("{value} has no finite {target:?}"));
            return Err(Error::new(
                ErrorCode::NotFinite,
                place,
                problem,
                "values up to 65504 for f16; bf16 takes larger ones",
            ));
        }
        bytes.extend(written);
    }
    Ok(bytes)
}
