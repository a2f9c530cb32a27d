//! A base that comes piece by piece is the base that is read whole, whatever its files, their order and the pieces; and
//! loading it takes little memory beside the model.

mod support;

#[path = "formats/build.rs"]
#[allow(dead_code, reason = "the formats' tests use all of it")]
mod build;

use build::{GATED, RELU};
use gander::device::{Device, Devices};
use gander::formats::Checkpoint;
use gander::formats::quantize::Target;
use gander::session::{Loading, Request, Session};
use gander::{ErrorCode, Result};
use half::f16;
use safetensors::Dtype;
use support::{GOLDENS, answer_on_any, async_test, base_without_text, close, now, split, test_on};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

/// A base's files, its small ones by name and those of weights in order.
struct Files {
    small: Vec<(String, Vec<u8>)>,
    weights: Vec<(String, Vec<u8>)>,
}

impl Files {
    fn folder(config: &str, weights: Vec<(String, Vec<u8>)>) -> Files {
        let small = vec![("config.json".to_owned(), config.as_bytes().to_vec())];
        Files { small, weights }
    }

    fn gguf(bytes: &[u8]) -> Files {
        Files { small: Vec::new(), weights: vec![("base.gguf".to_owned(), bytes.to_vec())] }
    }

    fn is_gguf(&self) -> bool {
        self.small.is_empty()
    }

    fn whole(&self) -> Result<Checkpoint> {
        if self.is_gguf() {
            return Checkpoint::from_gguf(&self.weights[0].0, &self.weights[0].1);
        }
        let shards: Vec<(&str, &[u8])> =
            self.weights.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        Checkpoint::from_huggingface(&self.small[0].1, &shards)
    }

    /// In pieces of at most so many bytes.
    fn in_pieces(
        &self,
        devices: impl Into<Devices>,
        most: usize,
        random: &mut fastrand::Rng,
    ) -> Result<Session> {
        let mut loading = match self.is_gguf() {
            true => Loading::gguf(devices),
            false => Loading::folder(devices, &self.small, self.weights.len())?,
        };
        for (name, bytes) in &self.weights {
            let length = random.bool().then_some(bytes.len());
            loading.begin_file(name, length, true);
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(random.usize(0..=most.min(rest.len())));
                loading.push(piece)?;
                rest = behind;
            }
            assert_eq!(loading.end_file()?, Some(sha256(bytes)));
        }
        loading.finish()
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bases of every format: those of the goldens, and some in several files.
fn bases() -> Vec<(String, Files)> {
    let mut bases = Vec::new();
    for case in GOLDENS.dirs() {
        for file in case.files().filter(|file| file.path().extension().is_some_and(|end| end == "gguf")) {
            bases.push((file.path().display().to_string(), Files::gguf(file.contents())));
        }
        for folder in case.dirs() {
            let file = |name: &str| folder.get_file(folder.path().join(name)).map(|file| file.contents());
            if let (Some(config), Some(weights)) = (file("config.json"), file("model.safetensors")) {
                let config = std::str::from_utf8(config).unwrap();
                let weights = vec![("model.safetensors".to_owned(), weights.to_vec())];
                bases.push((folder.path().display().to_string(), Files::folder(config, weights)));
            }
        }
    }
    for (name, config, with_head) in [("gated", GATED, true), ("relu", RELU, false)] {
        let mut weights = build::weights(config, with_head);
        // What is joined is of several formats.
        for (name, (dtype, _, bytes)) in &mut weights {
            if name.contains(".q.")
                || name.contains("wi_1")
                || name.contains("block.1.layer.1.EncDecAttention.v")
            {
                let floats = gander::formats::blocks::f32s(bytes);
                *bytes = floats.into_iter().flat_map(|float| f16::from_f32(float).to_le_bytes()).collect();
                *dtype = Dtype::F16;
            }
        }
        for shards in [2, 3, 7] {
            let mut random = fastrand::Rng::with_seed(shards as u64);
            let mut parts = vec![build::Tensors::new(); shards];
            for (name, tensor) in &weights {
                parts[random.usize(..shards)].insert(name.clone(), tensor.clone());
            }
            let files = parts.iter().enumerate();
            let files =
                files.map(|(number, part)| (format!("{number}.safetensors"), build::safetensors(part)));
            bases.push((format!("{name} in {shards} files"), Files::folder(config, files.collect())));
        }
        for target in [Target::Q8_0, Target::Q4_0, Target::F16] {
            let (file, _) = build::quantized(config, &build::weights(config, with_head), target).unwrap();
            bases.push((format!("{name} as {target:?}"), Files::gguf(&file)));
        }
    }
    assert!(bases.len() > 25, "only {} bases", bases.len());
    bases
}

test_on! {
    async fn a_base_in_pieces_is_the_base(device) {
        let mut random = fastrand::Rng::with_seed(11);
        for (name, files) in bases() {
            let whole = base_without_text(files.whole().expect("a base"));
            let mut whole = Session::on(device().await, whole).expect("a base");
            let request = || Request { input_ids: Some(vec![3, 4, 5, 1]), max_new_tokens: 4, ..Request::default() };
            let expected = answer_on_any(&mut whole, request()).await;
            let fingerprint = whole.fingerprint().to_owned();
            close(whole);
            let most = [7, 100, 1 << 20][random.usize(..3)];
            let mut pieces = files.in_pieces(device().await, most, &mut random).expect("a base");
            assert_eq!(pieces.fingerprint(), fingerprint, "{name}");
            let found = answer_on_any(&mut pieces, request()).await;
            assert_eq!(found.output_ids, expected.output_ids, "{name}");
            assert!(found.values == expected.values, "{name}: other values");
            close(pieces);
        }
    }
}

async_test! {
    /// Between a GPU and the CPU the host keeps what the GPU alone has, and takes the rest back from the CPU when the GPU goes away.
    async fn a_base_that_loses_one_of_two_devices_is_still_the_base() {
        let mut random = fastrand::Rng::with_seed(12);
        let request = || Request { input_ids: Some(vec![3, 4, 5, 1]), max_new_tokens: 4, ..Request::default() };
        // Chromium plays the GPU much more slowly than Mesa does, and gets some of each kind.
        let step = if cfg!(target_arch = "wasm32") { 7 } else { 1 };
        for (name, files) in bases().into_iter().step_by(step) {
            let mut alone = files.in_pieces(Device::cpu(), 1 << 20, &mut random).expect("a base");
            let on_cpu = answer_on_any(&mut alone, request()).await;
            let mut session = files.in_pieces(split().await, 1 << 20, &mut random).expect("a base");
            let on_both = answer_on_any(&mut session, request()).await;
            for _ in 0..2 {
                session.reopen(split().await).await.expect("as before");
                let found = answer_on_any(&mut session, request()).await;
                assert!(found.values == on_both.values, "{name}: other values on both");
            }
            for _ in 0..2 {
                session.reopen(Device::cpu()).await.expect("the CPU");
                let found = answer_on_any(&mut session, request()).await;
                assert_eq!(found.output_ids, on_cpu.output_ids, "{name}");
                assert!(found.values == on_cpu.values, "{name}: other values on the CPU");
            }
        }
    }
}

/// What is wrong with a base that comes in pieces.
fn refusal(files: &Files, random: &mut fastrand::Rng) -> gander::Error {
    files.in_pieces(Device::cpu(), 1 << 12, random).map(|_| "accepted").expect_err("a broken base")
}

#[test]
fn a_file_that_ends_too_early_is_refused_with_its_name() {
    let mut random = fastrand::Rng::with_seed(5);
    let (gguf, _) = build::quantized(GATED, &build::weights(GATED, true), Target::Q8_0).unwrap();
    let safetensors = build::safetensors(&build::weights(RELU, false));
    for length in (0..gguf.len()).step_by(97) {
        let error = refusal(&Files::gguf(&gguf[..length]), &mut random);
        assert_eq!(error.code, ErrorCode::InvalidFile, "{length}: {error}");
        assert!(error.place.starts_with("base.gguf"), "{length}: {error}");
    }
    for length in (0..safetensors.len()).step_by(997) {
        let weights = vec![("model.safetensors".to_owned(), safetensors[..length].to_vec())];
        let error = refusal(&Files::folder(RELU, weights), &mut random);
        assert_eq!(error.code, ErrorCode::InvalidFile, "{length}: {error}");
        assert!(error.place.starts_with("model.safetensors"), "{length}: {error}");
    }
}

#[test]
fn what_is_wrong_shows_as_soon_as_it_can() {
    let html = b"<!doctype html>".repeat(1000);
    let mut loading = Loading::gguf(Device::cpu());
    loading.begin_file("base.gguf", None, false);
    assert!(loading.push(&html[..3]).is_ok(), "it could still be GGUF's first letters");
    let error = loading.push(&html[3..4]).unwrap_err();
    assert_eq!(error.to_string(), "base.gguf: magic: is \"<!do\"; expected \"GGUF\" [invalid-file]");

    // A header that claims more than its file has, and a weight that is no number.
    let (mut gguf, _) = build::quantized(GATED, &build::weights(GATED, true), Target::F16).unwrap();
    let mut loading = Loading::gguf(Device::cpu());
    loading.begin_file("base.gguf", Some(5000), false);
    assert_eq!(loading.push(&gguf[..gguf.len() / 2]).unwrap_err().code, ErrorCode::InvalidFile);
    let last = gguf.len() - 64;
    gguf[last..last + 2].copy_from_slice(&f16::NAN.to_le_bytes());
    let mut random = fastrand::Rng::with_seed(6);
    assert_eq!(refusal(&Files::gguf(&gguf), &mut random).code, ErrorCode::NotFinite);
}

#[test]
fn a_folder_without_all_its_files_and_a_tensor_twice_are_refused() {
    let mut random = fastrand::Rng::with_seed(7);
    let weights = build::weights(GATED, true);
    let mut first = weights.clone();
    let mut second = first.split_off("decoder.block.1");
    let shard = |name: &str, tensors: &build::Tensors| (name.to_owned(), build::safetensors(tensors));
    let files = Files::folder(GATED, vec![shard("a.safetensors", &first)]);
    assert_eq!(refusal(&files, &mut random).code, ErrorCode::MissingTensor);

    let Files { small, weights: shards } = &files;
    let mut loading = Loading::folder(Device::cpu(), small, 2).unwrap();
    loading.begin_file(&shards[0].0, None, false);
    loading.push(&shards[0].1).unwrap();
    loading.end_file().unwrap();
    assert!(loading.finish().is_err(), "the second file has not come");

    second.insert("shared.weight".to_owned(), weights["shared.weight"].clone());
    first.insert("shared.weight".to_owned(), weights["shared.weight"].clone());
    let twice = vec![shard("a.safetensors", &first), shard("b.safetensors", &second)];
    let error = refusal(&Files::folder(GATED, twice), &mut random);
    assert!(error.to_string().contains("is in a.safetensors too"), "{error}");
}

#[test]
fn a_base_that_is_begun_again_is_the_second_alone() {
    let mut random = fastrand::Rng::with_seed(8);
    let (one, _) = build::quantized(GATED, &build::weights(GATED, true), Target::Q8_0).unwrap();
    let (other, _) = build::quantized(RELU, &build::weights(RELU, false), Target::Q4_0).unwrap();
    let mut loading = Loading::gguf(Device::cpu());
    loading.begin_file("base.gguf", Some(one.len()), false);
    loading.push(&one[..one.len() - 100]).unwrap();
    let files = Files::gguf(&other);
    let mut session = files.in_pieces(loading.into_devices(), 1000, &mut random).unwrap();
    let mut whole = Session::new(base_without_text(files.whole().unwrap())).unwrap();
    let request = || Request { input_ids: Some(vec![3, 4, 1]), max_new_tokens: 4, ..Request::default() };
    let [found, expected] = [&mut session, &mut whole].map(|session| now(answer_on_any(session, request())));
    assert!(found.values == expected.values);
}
