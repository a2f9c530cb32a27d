//! `config.json` means what transformers takes it to mean.

mod support;

use gander::ErrorCode;
use gander::config::{Config, FeedForward};
use serde_json::Value;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

#[test]
fn every_form_of_config_means_what_transformers_makes_of_it() {
    let cases: Vec<Value> = serde_json::from_slice(support::golden("configs.json")).unwrap();
    assert!(cases.len() >= 14);
    for case in &cases {
        let (name, means) = (&case["name"], &case["means"]);
        let found = Config::from_json("config.json", case["config"].to_string().as_bytes());
        let form = match (means["is_gated_act"].as_bool().unwrap(), means["dense_act_fn"].as_str().unwrap()) {
            (false, "relu") => FeedForward::Relu,
            (true, "gelu_new") => FeedForward::GatedGelu,
            _ => {
                let error = found.expect_err(&format!("{name} has no form that gander computes"));
                assert_eq!(error.code, ErrorCode::Unsupported, "{name}: {error}");
                continue;
            }
        };
        let config = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(config.feed_forward, form, "{name}");
        assert_eq!(Some(config.scale_decoder_outputs), means["scale_decoder_outputs"].as_bool(), "{name}");
        assert_eq!(config.layer_norm_epsilon, means["layer_norm_epsilon"].as_f64().unwrap() as f32, "{name}");
        let numbers = [
            ("d_model", config.d_model),
            ("d_kv", config.d_kv),
            ("d_ff", config.d_ff),
            ("num_heads", config.num_heads),
            ("num_layers", config.num_layers),
            ("num_decoder_layers", config.num_decoder_layers),
            ("vocab_size", config.vocab_size),
            ("relative_attention_num_buckets", config.relative_attention_num_buckets),
            ("relative_attention_max_distance", config.relative_attention_max_distance),
            ("decoder_start_token_id", config.decoder_start_token_id as usize),
            ("pad_token_id", config.pad_token_id as usize),
        ];
        for (field, found) in numbers {
            assert_eq!(Some(found as u64), means[field].as_u64(), "{name}: {field}");
        }
        let eos = match &means["eos_token_id"] {
            Value::Array(ids) => ids.iter().map(|id| id.as_u64().unwrap() as u32).collect(),
            id => vec![id.as_u64().unwrap() as u32],
        };
        assert_eq!(config.eos_token_ids, eos, "{name}");
    }
}
