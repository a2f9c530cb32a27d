//! Adapters in fewer bits: the same PEFT file with factors of another type.

use std::borrow::Cow;
use std::collections::BTreeMap;

use gander::formats::encoding::Encoding;
use gander::formats::peft::WEIGHTS;
use gander::formats::safetensors::Header;
use gander::tensor::DType;
use gander::{Error, ErrorCode, Result};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView};

/// An adapter file whose LoRA factors are all of one 16-bit type; the file itself if they are. Gates in it stay what they
/// are: they are fetched once, and rounding them would change who is chosen.
///
/// # Errors
/// [`ErrorCode::NotFinite`] for a value that the type cannot hold.
pub fn convert(weights: &[u8], dtype: DType) -> Result<Cow<'_, [u8]>> {
    let target = match dtype {
        DType::F16 => Dtype::F16,
        _ => Dtype::BF16,
    };
    let header = Header::of_file(WEIGHTS, weights)?;
    let is_factor = |name: &str| name.ends_with(".lora_A.weight") || name.ends_with(".lora_B.weight");
    if header.tensors.iter().all(|(name, tensor)| tensor.dtype == target || !is_factor(name)) {
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
