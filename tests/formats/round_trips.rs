//! Base models: Hugging Face folders, GGUF files, and what quantisation makes of them.

use gander::formats::encoding::Encoding;
use gander::formats::gguf::{Array, Gguf, Value, from_huggingface_name, to_huggingface_name};
use gander::formats::quantize::Target;
use gander::formats::{Checkpoint, blocks, layout};
use gander::quant::{Matrix, Values};
use half::{bf16, f16};
use safetensors::Dtype;

use crate::build::{self, GATED, RELU};

const BLOCKS: &[u8] = include_bytes!("blocks.gguf");
const METADATA: &[u8] = include_bytes!("metadata.gguf");

/// Name, description of the shape, whether the head is a matrix of its own.
const MODELS: [(&str, &str, bool); 2] = [("gated, untied", GATED, true), ("relu, tied", RELU, false)];

fn folder(config: &str, tensors: &build::Tensors) -> Checkpoint {
    let file = build::safetensors(tensors);
    Checkpoint::from_huggingface(config.as_bytes(), &[("model.safetensors", &file)]).unwrap()
}

#[test]
fn a_folder_is_read_as_it_is() {
    for (name, config, with_head) in MODELS {
        let weights = build::weights(config, with_head);
        let checkpoint = folder(config, &weights);
        assert!(checkpoint.tensors.keys().eq(weights.keys()), "{name}: other tensors");
        for (tensor, (_, shape, bytes)) in &weights {
            let matrix = &checkpoint.tensors[tensor];
            assert_eq!(matrix.values, Values::F32(blocks::f32s(bytes)), "{name}: {tensor}");
            assert_eq!(
                (matrix.rows, matrix.cols),
                (shape[..shape.len() - 1].iter().product(), shape[shape.len() - 1])
            );
        }
    }
}

#[test]
fn shards_are_one_model() {
    let weights = build::weights(GATED, true);
    let whole = folder(GATED, &weights);
    let mut first = weights.clone();
    let second = first.split_off("decoder.block.1");
    let (first, second) = (build::safetensors(&first), build::safetensors(&second));
    let shards: [(&str, &[u8]); 2] = [("a.safetensors", &first), ("b.safetensors", &second)];
    assert_eq!(Checkpoint::from_huggingface(GATED.as_bytes(), &shards).unwrap(), whole);
}

#[test]
fn sixteen_bit_floats_stay_and_norms_become_f32() {
    let whole = folder(GATED, &build::weights(GATED, true));
    for dtype in [Dtype::F16, Dtype::BF16] {
        let mut weights = build::weights(GATED, true);
        for (kind, _, bytes) in weights.values_mut() {
            let bits = blocks::f32s(bytes).into_iter().map(|value| match dtype {
                Dtype::F16 => f16::from_f32(value).to_bits(),
                _ => bf16::from_f32(value).to_bits(),
            });
            (*kind, *bytes) = (dtype, bits.flat_map(u16::to_le_bytes).collect());
        }
        let checkpoint = folder(GATED, &weights);
        for (name, matrix) in &checkpoint.tensors {
            let stays_f32 = name.contains("norm") || name.contains("bias");
            let format = if stays_f32 { "F32" } else { ["F16", "BF16"][usize::from(dtype == Dtype::BF16)] };
            assert_eq!(matrix.values.format().name(), format, "{name}");
            let step = if dtype == Dtype::F16 { 2f32.powi(-12) } else { 2f32.powi(-9) };
            for (found, exact) in matrix.to_f32().iter().zip(whole.tensors[name].to_f32()) {
                // Half a unit in the last place of numbers below one half.
                assert!((found - exact).abs() <= step, "{name}: {found}, want {exact}");
            }
        }
    }
}

#[test]
fn the_embedding_may_have_the_name_of_its_user() {
    let mut weights = build::weights(RELU, false);
    let whole = folder(RELU, &weights);
    let embedding = weights.remove("shared.weight").unwrap();
    weights.insert("decoder.embed_tokens.weight".to_string(), embedding.clone());
    assert_eq!(folder(RELU, &weights), whole);
    // And where it has its own name, the copies count for nothing, not even if they differ.
    weights.insert("shared.weight".to_string(), embedding.clone());
    weights.insert(
        "encoder.embed_tokens.weight".to_string(),
        (embedding.0, embedding.1, vec![1; embedding.2.len()]),
    );
    assert_eq!(folder(RELU, &weights), whole);
}

#[test]
fn what_quantize_writes_is_the_model_rounded() {
    for (name, config, with_head) in MODELS {
        let weights = build::weights(config, with_head);
        let source = folder(config, &weights);
        for target in [Target::Q8_0, Target::Q4_0, Target::F16] {
            let (file, summary) = build::quantized(config, &weights, target).unwrap();
            let read = Checkpoint::from_gguf("base.gguf", &file).unwrap();
            assert_eq!(read.config, source.config, "{name} {target:?}");
            assert_eq!(read.fingerprint(), source.fingerprint(), "{name} {target:?}");
            assert_eq!(summary.tensors, weights.len());
            assert!(read.tensors.keys().eq(source.tensors.keys()), "{name} {target:?}: other tensors");
            for (tensor, matrix) in &read.tensors {
                let exact = source.tensors[tensor].to_f32();
                let expected = match target {
                    _ if tensor.contains("norm") || tensor.contains("bias") => Values::F32(exact),
                    Target::Q8_0 if matrix.cols % 32 == 0 => Values::q8_0_from(&exact),
                    Target::Q4_0 if matrix.cols % 32 == 0 => Values::q4_0_from(&exact),
                    _ => Values::f16_from(&exact),
                };
                assert_eq!(matrix.values, expected, "{name} {target:?}: {tensor}");
            }
        }
    }
}

#[test]
fn quantising_again_to_the_same_type_changes_nothing() {
    let weights = build::weights(GATED, true);
    for target in [Target::Q8_0, Target::Q4_0, Target::F16] {
        let (file, _) = build::quantized(GATED, &weights, target).unwrap();
        let (again, _) = build::requantized_gguf(&file, target).unwrap();
        assert!(again == file, "{target:?}");
    }
}

#[test]
fn rows_that_are_not_whole_blocks_become_f16() {
    // Three heads of 8: `o` has 24 columns.
    let (_, summary) = build::quantized(GATED, &build::weights(GATED, true), Target::Q8_0).unwrap();
    assert_eq!(summary.left_f16.len(), 5);
    assert!(summary.left_f16.iter().all(|name| name.ends_with("Attention.o.weight")));
}

#[test]
fn bases_of_one_shape_have_different_fingerprints() {
    let mut weights = build::weights(GATED, true);
    let one = folder(GATED, &weights).fingerprint();
    assert!(one.starts_with("sha256:") && one.len() == 71, "{one}");
    let norm = weights.get_mut("encoder.final_layer_norm.weight").unwrap();
    norm.2[0] ^= 1;
    assert_ne!(folder(GATED, &weights).fingerprint(), one);
}

#[test]
fn every_tensor_has_a_name_in_llama_cpp_and_back() {
    for (_, config, with_head) in MODELS {
        let config = gander::config::Config::from_json("config.json", config.as_bytes()).unwrap();
        for weight in layout::weights(&config, with_head) {
            let name = from_huggingface_name(&weight.name).unwrap_or_else(|| panic!("{}", weight.name));
            assert_eq!(to_huggingface_name(&name, config.feed_forward), Some(weight.name));
        }
    }
    for name in
        ["enc.blk.0.cross_attn_q.weight", "enc.blk.0.attn_q.bias", "blk.0.attn_q.weight", "shared.weight"]
    {
        assert_eq!(to_huggingface_name(name, gander::config::FeedForward::GatedGelu), None, "{name}");
    }
}

/// The tensors of `blocks.gguf`: bytes of one, f32 of another.
struct Reference {
    gguf: Gguf,
}

impl Reference {
    fn read() -> Self {
        Reference { gguf: Gguf::parse("blocks.gguf", BLOCKS).unwrap() }
    }

    fn bytes(&self, name: &str) -> &'static [u8] {
        let tensor = self.gguf.tensors.iter().find(|tensor| tensor.name == name);
        &BLOCKS[tensor.unwrap_or_else(|| panic!("no {name}")).range.clone()]
    }

    fn f32s(&self, name: &str) -> Vec<f32> {
        blocks::f32s(self.bytes(name))
    }
}

#[test]
fn blocks_are_dequantised_bit_for_bit_as_the_gguf_package_does() {
    let reference = Reference::read();
    let whole = |encoding: Encoding| {
        let bytes = reference.bytes(match encoding {
            Encoding::Q8_0 => "Q8_0",
            _ => "Q4_0",
        });
        encoding.decode(3, 256, bytes).to_f32()
    };
    let cases: [(&str, Vec<f32>); 8] = [
        ("Q8_0", whole(Encoding::Q8_0)),
        ("Q4_0", whole(Encoding::Q4_0)),
        ("Q4_1", blocks::dequantize_q4_1(reference.bytes("Q4_1"))),
        ("Q5_0", blocks::dequantize_q5_0(reference.bytes("Q5_0"))),
        ("Q5_1", blocks::dequantize_q5_1(reference.bytes("Q5_1"))),
        ("Q4_K", blocks::dequantize_q4_k(reference.bytes("Q4_K"))),
        ("Q5_K", blocks::dequantize_q5_k(reference.bytes("Q5_K"))),
        ("Q6_K", blocks::dequantize_q6_k(reference.bytes("Q6_K"))),
    ];
    for (name, found) in cases {
        let expected = reference.f32s(&format!("{name}.expected"));
        assert_eq!(found.len(), expected.len(), "{name}");
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found.to_bits(), expected.to_bits(), "{name}[{index}] = {found}, want {expected}");
        }
    }
}

#[test]
fn weights_are_quantised_bit_for_bit_as_the_gguf_package_does() {
    let reference = Reference::read();
    let weights = reference.f32s("weights");
    for (encoding, name, found) in [
        (Encoding::Q8_0, "weights.Q8_0", Values::q8_0_from(&weights)),
        (Encoding::Q4_0, "weights.Q4_0", Values::q4_0_from(&weights)),
    ] {
        let expected = encoding.decode(6, 64, reference.bytes(name));
        assert_eq!(Matrix { rows: 6, cols: 64, values: found }, expected, "{name}");
    }
}

#[test]
fn formats_that_gander_does_not_compute_with_become_f16() {
    let reference = Reference::read();
    for encoding in
        [Encoding::Q4_1, Encoding::Q5_0, Encoding::Q5_1, Encoding::Q4K, Encoding::Q5K, Encoding::Q6K]
    {
        let name = ["Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
            .into_iter()
            .find(|name| name.replace("_K", "K") == format!("{encoding:?}"))
            .unwrap();
        let matrix = encoding.decode(3, 256, reference.bytes(name));
        let exact = reference.f32s(&format!("{name}.expected"));
        assert!(matrix.values == Values::f16_from(&exact), "{name}");
    }
}

#[test]
fn metadata_of_every_type_is_read_as_the_gguf_package_wrote_it() {
    let gguf = Gguf::parse("metadata.gguf", METADATA).unwrap();
    let expected = [
        ("u8", Value::U8(200)),
        ("i8", Value::I8(-100)),
        ("u16", Value::U16(60000)),
        ("i16", Value::I16(-30000)),
        ("u32", Value::U32(4_000_000_000)),
        ("i32", Value::I32(-2_000_000_000)),
        ("u64", Value::U64(1 << 63)),
        ("i64", Value::I64(-(1 << 62))),
        ("f32", Value::F32(0.1)),
        ("f64", Value::F64(0.1)),
        ("bool", Value::Bool(true)),
        ("string", Value::String("▁gänder".to_string())),
        ("strings", Value::Array(Array::String(["▁a", "", "</s>"].map(str::to_string).into()))),
        ("f32s", Value::Array(Array::F32(vec![0.5, -2.0]))),
        ("i32s", Value::Array(Array::I32(vec![1, -2, 3]))),
        ("bools", Value::Array(Array::Bool(vec![true, false]))),
        ("bytes", Value::Array(Array::U8(vec![0, 127, 128, 255]))),
        ("general.architecture", Value::String("test".to_string())),
    ];
    assert_eq!(gguf.metadata.len(), expected.len());
    for (key, value) in expected {
        assert_eq!(gguf.metadata(key), Some(&value), "{key}");
    }
    assert_eq!(gguf.u32("u8").unwrap(), Some(200));
    assert_eq!(gguf.bytes("bytes").unwrap(), Some(vec![0, 127, 128, 255]));
    assert_eq!(gguf.u32("nothing").unwrap(), None);
    let error = gguf.u32("i8").unwrap_err().to_string();
    assert_eq!(error, "metadata.gguf: i8: is -100; expected a whole number below 2^32 [invalid-file]");
}
