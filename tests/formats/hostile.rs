//! Files that are truncated, corrupt or made to harm: each gives its named error, none a panic.

use gander::formats::Checkpoint;
use gander::formats::gguf::Gguf;
use gander::formats::huggingface::shard_names;
use gander::formats::quantize::Target;

use crate::build::{self, GATED, RELU, RawGguf, Tensors, string};

fn gguf() -> Vec<u8> {
    build::quantized(GATED, &build::weights(GATED, true), Target::Q4_0).unwrap().0
}

fn read_folder(config: &str, file: &[u8]) -> String {
    let result = Checkpoint::from_huggingface(config.as_bytes(), &[("model.safetensors", file)]);
    result.map(|_| "accepted").unwrap_err().to_string()
}

fn read_gguf(file: &[u8]) -> String {
    Checkpoint::from_gguf("base.gguf", file).map(|_| "accepted").unwrap_err().to_string()
}

#[test]
fn a_gguf_cut_at_any_byte_is_refused_with_its_name() {
    let file = gguf();
    // Every byte of the header, then every few: tensors are all alike.
    let header = Gguf::parse("base.gguf", &file).unwrap().tensors[0].range.start;
    for length in (0..header).chain((header..file.len() - 32).step_by(61)) {
        let error = read_gguf(&file[..length]);
        assert!(error.starts_with("base.gguf: "), "{length}: {error}");
        assert!(error.ends_with("[invalid-file]"), "{length}: {error}");
    }
}

#[test]
fn a_safetensors_file_cut_at_any_byte_is_refused_with_its_name() {
    let file = build::safetensors(&build::weights(RELU, false));
    let header = 8 + u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    for length in (0..header + 64).chain((header..file.len()).step_by(997)) {
        let error = read_folder(RELU, &file[..length]);
        assert!(
            error.starts_with("model.safetensors: ") || error.starts_with("model.safetensors:"),
            "{error}"
        );
        assert!(error.ends_with("[invalid-file]"), "{length}: {error}");
    }
}

#[test]
fn no_changed_byte_of_a_header_makes_a_panic() {
    let file = gguf();
    let header = Gguf::parse("base.gguf", &file).unwrap().tensors[0].range.start;
    for at in 0..header {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = file.clone();
            changed[at] ^= change;
            // Some changes only rename a token; what matters is that the reader returns.
            let _ = Checkpoint::from_gguf("base.gguf", &changed);
        }
    }
    let file = build::safetensors(&build::weights(RELU, false));
    for at in 0..1000 {
        let mut changed = file.clone();
        changed[at] ^= 0x05;
        let _ = Checkpoint::from_huggingface(RELU.as_bytes(), &[("model.safetensors", &changed)]);
    }
}

#[test]
fn lies_in_a_gguf_header_are_named() {
    let huge = u64::MAX.to_le_bytes();
    let one = || RawGguf::new().tensor("t", &[32], 0, 0).data(128);
    let with_counts = |tensors: u64, keys: u64| {
        let mut file = one().bytes();
        file[8..16].copy_from_slice(&tensors.to_le_bytes());
        file[16..24].copy_from_slice(&keys.to_le_bytes());
        file
    };
    let with_version = |version: u32| RawGguf { version, ..one() }.bytes();
    let list = |kind: u32, count: u64| [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "magic: needs 4 bytes"),
        (b"GGML".to_vec(), "magic: is \"GGML\"; expected \"GGUF\""),
        (with_version(1), "version: is 1; expected 2 or 3 [unsupported]"),
        (with_version(4), "version: is 4; expected 2 or 3 [unsupported]"),
        (
            with_version(3u32.swap_bytes()),
            "version: is big-endian; expected a little-endian file [unsupported]",
        ),
        (with_counts(u64::MAX, 0), "tensor 1 of 18446744073709551615"),
        (with_counts(1, u64::MAX), ""),
        (one().key("k", 8, &huge).bytes(), "k: needs 18446744073709551615 bytes"),
        (one().key("k", 9, &list(8, u64::MAX)).bytes(), "k: string"),
        (one().key("k", 9, &list(4, u64::MAX)).bytes(), "k: needs 18446744073709551615 bytes"),
        (one().key("k", 9, &list(12, 1 << 61)).bytes(), "k: needs"),
        (one().key("k", 9, &list(9, 1)).bytes(), "k: is a list of lists"),
        (one().key("k", 9, &list(77, 1)).bytes(), "k: is a list of type number 77"),
        (one().key("k", 13, &[0]).bytes(), "k: has type number 13"),
        (one().key("k", 7, &[2]).bytes(), "k: has 2 for a truth value"),
        (one().key("k", 0, &[1]).key("k", 0, &[1]).bytes(), "k: appears twice"),
        (one().key("k", 8, &[1, 0, 0, 0, 0, 0, 0, 0, 0xff]).bytes(), "k: invalid utf-8"),
        (one().key("general.alignment", 4, &0u32.to_le_bytes()).bytes(), "general.alignment: is 0"),
        (one().key("general.alignment", 4, &33u32.to_le_bytes()).bytes(), "general.alignment: is 33"),
        (
            one().key("general.alignment", 4, &(1u32 << 31).to_le_bytes()).bytes(),
            "general.alignment: is 2147483648",
        ),
        (
            one().key("general.alignment", 8, &string("32")).bytes(),
            "general.alignment: is \"32\"; expected a u32",
        ),
        (one().tensor("t", &[1], 0, 32).data(256).bytes(), "t: appears twice"),
        (one().tensor("u", &[32], 0, 96).data(256).bytes(), "u: begins at byte"),
        (one().tensor("u", &[1], 0, 33).data(256).bytes(), "u: has offset 33; expected a multiple of 32"),
        (
            one().tensor("u", &[1], 0, 1 << 62).data(256).bytes(),
            "u: has 4 bytes from byte 4611686018427387904",
        ),
        (one().tensor("u", &[1], 0, u64::MAX - 31).data(256).bytes(), "u: has 4 bytes from byte"),
        (one().tensor("u", &[100], 0, 128).data(256).bytes(), "expected a tensor within the file"),
        (
            one().tensor("u", &[u64::MAX, 2], 0, 128).data(256).bytes(),
            "u: has shape [2, 18446744073709551615]",
        ),
        (
            one().tensor("u", &[33], 8, 128).data(256).bytes(),
            "u: has shape [33] in Q8_0; expected rows of a multiple of 32",
        ),
        (one().tensor("u", &[], 0, 128).data(256).bytes(), "u: has 0 dimensions"),
        (one().tensor("u", &[1; 5], 0, 128).data(256).bytes(), "u: has 5 dimensions"),
        (one().tensor("", &[1], 0, 128).data(256).bytes(), "tensor 1 of 2: has a name of 0 bytes"),
        (
            one().tensor("u", &[256], 10, 128).data(512).bytes(),
            "u: type: is Q2_K; expected F32, F16, BF16, Q8_0",
        ),
        (one().tensor("u", &[256], 99, 128).data(512).bytes(), "u: type: is number 99, unknown to gander"),
    ];
    for (file, expected) in cases {
        let error = Gguf::parse("x.gguf", &file).map(|_| expected).unwrap_err().to_string();
        assert!(error.starts_with("x.gguf: ") && error.contains(expected), "{error}\n  wanted {expected}");
    }
}

#[test]
fn a_gguf_that_is_no_t5_of_ours_is_named() {
    let file = gguf();
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = file.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut changed = file.clone();
        changed[at..at + to.len()].copy_from_slice(to.as_bytes());
        changed
    };
    let number = |key: &str, value: u32| {
        let at = file.windows(key.len()).position(|window| window == key.as_bytes()).unwrap() + key.len() + 4;
        let mut changed = file.clone();
        changed[at..at + 4].copy_from_slice(&value.to_le_bytes());
        changed
    };
    let cases = [
        (
            replaced("general.architecture", "general.architectura"),
            "general.architecture: is absent; expected \"t5\"",
        ),
        (replaced("t5.block_count", "t5.block_covnt"), "t5.block_count: is absent; expected a whole number"),
        (replaced("token_embd.weight", "token_embx.weight"), "token_embd.weight: is absent"),
        (
            replaced("enc.blk.0.attn_q.weight", "enc.blk.0.attn_x.weight"),
            "enc.blk.0.attn_x.weight: is a tensor that llama.cpp's T5 does not have",
        ),
        (
            replaced("enc.blk.0.attn_q.weight", "enc.blk.7.attn_q.weight"),
            "has no encoder.block.0.layer.0.SelfAttention.q.weight; expected that tensor, of shape [24, 32] [missing-tensor]",
        ),
        (number("t5.attention.value_length", 9), "t5.attention.value_length: is 9; expected 8"),
        (
            number("t5.embedding_length", 64),
            "has shape [10, 32]; expected [10, 64], by the model's configuration [shape-mismatch]",
        ),
        (number("t5.block_count", 0), "num_layers: is 0; expected 1 to 256"),
        (number("t5.block_count", u32::MAX), "num_layers: is 4294967295"),
        (number("t5.decoder_block_count", 1), "is a tensor that this T5 does not have"),
        (number("tokenizer.ggml.eos_token_id", 10), "eos_token_id: is 10; expected less than vocab_size, 10"),
        (number("t5.attention.layer_norm_rms_epsilon", f32::NAN.to_bits()), "layer_norm_epsilon: is NaN"),
    ];
    for (file, expected) in cases {
        let error = read_gguf(&file);
        assert!(error.starts_with("base.gguf: ") && error.contains(expected), "{error}\n  wanted {expected}");
    }
}

#[test]
fn lies_in_a_safetensors_header_are_named() {
    let huge_length = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    let long_length = [&1_000u64.to_le_bytes()[..], b"{}"].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "ends after 0 bytes"),
        (huge_length, "says its header has 18446744073709551615 bytes"),
        (long_length, "ends after 10 bytes; expected a header up to byte 1008"),
        (build::safetensors_with_header("{", 0), "header: EOF"),
        (build::safetensors_with_header("[]", 0), "header: invalid type"),
        (
            build::safetensors_with_header(r#"{"x":{"dtype":"F9","shape":[1],"data_offsets":[0,4]}}"#, 4),
            "x: unknown variant `F9`",
        ),
        (
            build::safetensors_with_header(r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4),
            "x: bytes 4 to 0",
        ),
        (
            build::safetensors_with_header(r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4),
            "x: bytes 0 to 4 hold shape [2] of F32",
        ),
        (
            build::safetensors_with_header(
                r#"{"x":{"dtype":"F32","shape":[18446744073709551615,4],"data_offsets":[0,4]}}"#,
                4,
            ),
            "x: bytes 0 to 4 hold",
        ),
        (
            build::safetensors_with_header(r#"{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4),
            "x: invalid value",
        ),
        (
            build::safetensors_with_header(r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8),
            "header: ",
        ),
        (
            build::safetensors_with_header(
                r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#,
                6,
            ),
            "header: ",
        ),
        (
            build::safetensors_with_header(r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 5),
            "has 67 bytes; expected 66",
        ),
        (
            build::safetensors_with_header(r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 3),
            "x: ends at byte 66, and the file at 65",
        ),
        (
            build::safetensors_with_header(r#"{"x":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#, 8),
            "x: dtype: is I64; expected F32, F16 or BF16 [unsupported]",
        ),
        (build::safetensors_with_header("\u{0}\u{0}", 0), "header: "),
    ];
    for (file, expected) in cases {
        let error = read_folder(RELU, &file);
        assert!(
            error.starts_with("model.safetensors: ") && error.contains(expected),
            "{error}\n  wanted {expected}"
        );
    }
}

#[test]
fn wrong_tensors_of_a_folder_are_named() {
    let error = |change: &dyn Fn(&mut Tensors)| {
        let mut weights = build::weights(GATED, true);
        change(&mut weights);
        read_folder(GATED, &build::safetensors(&weights))
    };
    let q = "encoder.block.0.layer.0.SelfAttention.q.weight";
    let zeros = |shape: &[usize]| build::f32_tensor(shape, vec![0.0; shape.iter().product()]);
    let with_value = |name: &'static str, value: f32| {
        error(&|weights| weights.get_mut(name).unwrap().2[4..8].copy_from_slice(&value.to_le_bytes()))
    };
    let cases: Vec<(String, &str)> = vec![
        (
            error(&|w| drop(w.remove(q))),
            "model.safetensors: has no encoder.block.0.layer.0.SelfAttention.q.weight",
        ),
        (error(&|w| drop(w.remove("shared.weight"))), "has no shared.weight"),
        (
            error(&|w| drop(w.insert(q.to_string(), zeros(&[32, 32])))),
            "SelfAttention.q.weight: has shape [32, 32]; expected [24, 32], by the model's configuration [shape-mismatch]",
        ),
        (
            error(&|w| drop(w.insert("encoder.final_layer_norm.weight".to_string(), zeros(&[1, 32])))),
            "encoder.final_layer_norm.weight: has shape [1, 32]; expected [32]",
        ),
        // umT5 has a position bias in every block.
        (
            error(&|w| {
                let name = "decoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight";
                drop(w.insert(name.to_string(), zeros(&[8, 3])));
            }),
            "is a tensor that this T5 does not have",
        ),
        (
            error(&|w| drop(w.insert("classifier.bias".to_string(), zeros(&[3])))),
            "classifier.bias: is a tensor that",
        ),
        (with_value("shared.weight", f32::NAN), "shared.weight: is NaN or infinite at row 0, column 1"),
        (
            with_value("lm_head.weight", f32::INFINITY),
            "lm_head.weight: is NaN or infinite at row 0, column 1",
        ),
    ];
    for (error, expected) in cases {
        assert!(
            error.starts_with("model.safetensors: ") && error.contains(expected),
            "{error}\n  wanted {expected}"
        );
    }
    let file = build::safetensors(&build::weights(GATED, true));
    let twice: [(&str, &[u8]); 2] = [("a.safetensors", &file), ("b.safetensors", &file)];
    let error = Checkpoint::from_huggingface(GATED.as_bytes(), &twice).unwrap_err().to_string();
    assert!(error.starts_with("b.safetensors: ") && error.contains("is in a.safetensors too"), "{error}");
}

#[test]
fn weights_that_do_not_fit_the_target_are_named() {
    let mut weights = build::weights(GATED, true);
    let name = "encoder.block.0.layer.0.SelfAttention.q.weight";
    weights.get_mut(name).unwrap().2[..4].copy_from_slice(&1e9f32.to_le_bytes());
    for target in [Target::Q8_0, Target::Q4_0, Target::F16] {
        let error = build::quantized(GATED, &weights, target).unwrap_err().to_string();
        assert!(error.starts_with(name) && error.ends_with("[not-finite]"), "{error}");
    }
}

#[test]
fn an_index_cannot_lead_out_of_its_folder() {
    let names = shard_names(
        br#"{"weight_map": {"a": "x-2.safetensors", "b": "x-1.safetensors", "c": "x-2.safetensors"}}"#,
    );
    assert_eq!(names.unwrap(), ["x-1.safetensors", "x-2.safetensors"]);
    for file in [
        r#""../x.safetensors""#,
        r#""/etc/x.safetensors""#,
        r#""a\\b.safetensors""#,
        r#""x.bin""#,
        "3",
        "null",
    ] {
        let json = format!(r#"{{"weight_map": {{"a": {file}}}}}"#);
        let error = shard_names(json.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("model.safetensors.index.json: weight_map: a: is "), "{error}");
    }
    let error = shard_names(b"{}").unwrap_err().to_string();
    assert!(error.contains("weight_map: is absent"), "{error}");
}
