//! `config.json` as transformers 4 and 5 write it, and as they never would.

use gander::config::{Config, FeedForward};

use crate::build::{GATED, RELU};

fn read(json: &str) -> Result<Config, String> {
    Config::from_json("config.json", json.as_bytes()).map_err(|error| error.to_string())
}

/// `RELU` with further fields; later ones win.
fn with(fields: &str) -> Result<Config, String> {
    read(&RELU.replacen('{', &format!("{{ {fields},"), 1))
}

/// `RELU` with one of its fields changed.
fn changed(from: &str, to: &str) -> Result<Config, String> {
    assert!(RELU.contains(from));
    read(&RELU.replace(from, to))
}

#[test]
fn a_silent_file_means_what_transformers_takes_it_to_mean() {
    let config = read(RELU).unwrap();
    assert_eq!(config.num_decoder_layers, 2);
    assert_eq!(config.relative_attention_num_buckets, 32);
    assert_eq!(config.relative_attention_max_distance, 128);
    assert_eq!(config.layer_norm_epsilon, 1e-6);
    assert_eq!(config.feed_forward, FeedForward::Relu);
    assert!(config.scale_decoder_outputs);
    assert_eq!((config.decoder_start_token_id, config.pad_token_id), (0, 0));
    assert_eq!(config.eos_token_ids, [1]);
    let gated = read(GATED).unwrap();
    assert_eq!(gated.feed_forward, FeedForward::GatedGelu);
    assert!(!gated.scale_decoder_outputs);
    assert_eq!(gated.inner_size(), 24);
}

/// As T5Config of transformers 5.23 decides it, tried with every combination of the two fields.
#[test]
fn the_head_is_scaled_as_transformers_scales_it() {
    for (fields, scaled) in [
        (r#""tie_word_embeddings": true"#, true),
        (r#""tie_word_embeddings": null"#, true),
        (r#""tie_word_embeddings": false"#, false),
        (r#""tie_word_embeddings": true, "scale_decoder_outputs": false"#, false),
        (r#""tie_word_embeddings": false, "scale_decoder_outputs": true"#, true),
        (r#""scale_decoder_outputs": false"#, false),
    ] {
        assert_eq!(with(fields).unwrap().scale_decoder_outputs, scaled, "{fields}");
    }
}

#[test]
fn tokens_may_be_absent_null_one_or_many() {
    assert_eq!(with(r#""eos_token_id": [1, 3]"#).unwrap().eos_token_ids, [1, 3]);
    assert!(with(r#""eos_token_id": null"#).unwrap().eos_token_ids.is_empty());
    let padded = with(r#""pad_token_id": 5, "decoder_start_token_id": null"#).unwrap();
    assert_eq!(padded.decoder_start_token_id, 5);
}

#[test]
fn activations_are_those_of_t5_or_refused_by_name() {
    for (fields, expected) in [
        (r#""feed_forward_proj": "relu""#, FeedForward::Relu),
        (r#""feed_forward_proj": "gated-gelu""#, FeedForward::GatedGelu),
        (
            r#""feed_forward_proj": "gated-gelu", "is_gated_act": true, "dense_act_fn": "gelu_new""#,
            FeedForward::GatedGelu,
        ),
    ] {
        assert_eq!(with(fields).unwrap().feed_forward, expected, "{fields}");
    }
    for (fields, named) in [
        (r#""feed_forward_proj": "gated-silu""#, "gated-silu"),
        (r#""feed_forward_proj": "gelu""#, "gelu"),
        (r#""feed_forward_proj": "gated-relu""#, "gated-relu"),
        // The exact gelu, asked for by hand: not the tanh approximation.
        (r#""feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu""#, "activation \"gelu\""),
    ] {
        let error = with(fields).unwrap_err();
        assert!(error.contains("feed_forward_proj") && error.contains(named), "{error}");
        assert!(error.ends_with("[unsupported]"), "{error}");
    }
}

#[test]
fn what_no_t5_has_is_refused_with_the_field_s_name() {
    let cases = [
        (changed(r#""d_model": 64"#, r#""d_model": 0"#), "d_model: is 0; expected 1 to 16384"),
        (changed(r#""d_model": 64"#, r#""d_model": "64""#), "d_model: is \"64\"; expected a whole number"),
        (changed(r#""d_model": 64"#, r#""d_model": -1"#), "d_model: is -1; expected a whole number"),
        (
            changed(r#""vocab_size": 12"#, r#""vocab_size": 18446744073709551615"#),
            "vocab_size: is 18446744073709551615",
        ),
        (changed(r#""num_heads": 4"#, r#""num_heads": 1e9"#), "num_heads"),
        (
            changed(r#""num_layers": 2"#, r#""num_layers": 4000000000"#),
            "num_layers: is 4000000000; expected 1 to 256",
        ),
        (
            with(r#""relative_attention_num_buckets": 2"#),
            "relative_attention_num_buckets: is 2; expected 4 to 4096",
        ),
        (
            with(r#""relative_attention_max_distance": 16"#),
            "relative_attention_max_distance: is 16; expected more than",
        ),
        (with(r#""layer_norm_epsilon": 0"#), "layer_norm_epsilon: is 0"),
        (with(r#""eos_token_id": 12"#), "eos_token_id: is 12; expected less than vocab_size, 12"),
        (with(r#""eos_token_id": [-1]"#), "eos_token_id: holds -1"),
        (with(r#""pad_token_id": 4294967296"#), "pad_token_id: is 4294967296; expected a token id"),
        (with(r#""tie_word_embeddings": "no""#), "tie_word_embeddings: is \"no\"; expected true or false"),
        (
            with(r#""model_type": "umt5""#),
            "model_type: is \"umt5\"; expected \"t5\" or \"mt5\" [unsupported]",
        ),
        (read("{"), "config.json: EOF"),
        (read("[]"), "config.json: is JSON, but an array; expected an object"),
        (read("\u{0}"), "config.json: expected value"),
        (read(&"[".repeat(100_000)), "config.json: recursion limit exceeded"),
    ];
    for (result, expected) in cases {
        let error = result.expect_err(expected);
        assert!(error.starts_with("config.json") && error.contains(expected), "{error}\n  wanted {expected}");
    }
}
