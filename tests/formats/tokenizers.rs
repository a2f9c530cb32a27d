//! A folder's tokenizer in a GGUF file, and back.

use gander::base::gguf_tokenizer;
use gander::formats::Checkpoint;
use gander::formats::gguf::{Gguf, Value};
use gander::formats::quantize::Target;
use gander::formats::vocabulary::{TokenizerFiles, keys, of_folder};
use gander::tokenizer::sentencepiece::{PieceKind, SentencePieceModel};

use crate::build::{self, GATED};

/// Six tokens and one that was added; `GATED` has ten rows.
const TOKENIZER_JSON: &str = r#"{
    "version": "1.0",
    "added_tokens": [
        {"id": 0, "content": "<pad>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
        {"id": 1, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
        {"id": 2, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
        {"id": 6, "content": "<extra_id_0>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
    ],
    "normalizer": null,
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}
    ]},
    "post_processor": {"type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        "pair": [], "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
    "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
    "model": {"type": "Unigram", "unk_id": 2, "byte_fallback": false,
        "vocab": [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], ["▁a", -1.5], ["▁", -2.5], ["b", -3.0]]}
}"#;

fn folder(vocab_size: usize) -> Result<SentencePieceModel, String> {
    let files =
        TokenizerFiles { tokenizer_json: Some(TOKENIZER_JSON.as_bytes()), ..TokenizerFiles::default() };
    of_folder(files, vocab_size).map(|model| model.expect("a tokenizer")).map_err(|error| error.to_string())
}

#[test]
fn every_row_of_the_embedding_has_a_token() {
    let model = folder(10).unwrap();
    assert_eq!(model.pieces.len(), 10);
    assert_eq!(model.pieces[6].text, "<extra_id_0>");
    assert!(model.pieces[7..].iter().all(|piece| piece.kind == PieceKind::Unused));
    let error = folder(6).unwrap_err();
    assert_eq!(
        error,
        "tokenizer.json: has 7 tokens; expected at most 6, the rows of the model's embedding [wrong-base]"
    );
    assert_eq!(of_folder(TokenizerFiles::default(), 10).unwrap(), None);
}

#[test]
fn the_tokenizer_of_a_folder_is_in_the_gguf_and_survives_quantising_again() {
    let model = folder(10).unwrap();
    let weights = build::weights(GATED, true);
    let mut metadata = keys(&model);
    metadata.push(("general.name".to_string(), Value::String("tiny".to_string())));
    let (file, _) = build::quantized_with(GATED, &weights, metadata, Target::F16).unwrap();
    let (again, _) = build::requantized_gguf(&file, Target::Q8_0).unwrap();
    for file in [file, again] {
        let gguf = Gguf::parse("base.gguf", &file).unwrap();
        let fields = gguf_tokenizer(&gguf).unwrap();
        assert_eq!(SentencePieceModel::from_gguf(fields).unwrap(), model);
        assert_eq!(gguf.text("general.name").unwrap(), Some("tiny"));
        Checkpoint::from_gguf("base.gguf", &file).unwrap();
    }
}
