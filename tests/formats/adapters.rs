//! PEFT adapters: as PEFT reads them, or refused by name.

use std::collections::BTreeMap;

use gander::config::Config;
use gander::formats::peft::{Adapter, LoraPart};
use gander::formats::safetensors::Header;
use gander::tensor::DType;

use crate::build::{self, GATED, Tensors};

/// Saved by PEFT: rslora, rank_pattern, alpha_pattern.
const CONFIG: &[u8] = include_bytes!("adapter/adapter_config.json");
const WEIGHTS: &[u8] = include_bytes!("adapter/adapter_model.safetensors");
const BASE: &[u8] = include_bytes!("adapter/config.json");
const SCALES: &[u8] = include_bytes!("adapter/scales.json");

/// Two modules of the model `GATED`.
const MODULES: [&str; 2] =
    ["encoder.block.0.layer.0.SelfAttention.q", "decoder.block.1.layer.2.DenseReluDense.wo"];
const PLAIN: &str = r#"{ "peft_type": "LORA", "r": 2, "lora_alpha": 3, "bias": "none" }"#;

fn key(module: &str, part: &str) -> String {
    format!("base_model.model.{module}.lora_{part}.weight")
}

/// A and B of both modules, rank 2.
fn factors() -> Tensors {
    let ones = |rows: usize, cols: usize| build::f32_tensor(&[rows, cols], vec![1.0; rows * cols]);
    [
        (key(MODULES[0], "A"), ones(2, 32)),
        (key(MODULES[0], "B"), ones(24, 2)),
        (key(MODULES[1], "A"), ones(2, 64)),
        (key(MODULES[1], "B"), ones(32, 2)),
    ]
    .into()
}

fn gate(values: impl IntoIterator<Item = f32>) -> (safetensors::Dtype, Vec<usize>, Vec<u8>) {
    let values: Vec<f32> = values.into_iter().collect();
    build::f32_tensor(&[values.len()], values)
}

fn read(config: &str, weights: &Tensors, gates: Option<&Tensors>) -> Result<Adapter, String> {
    let gates = gates.map(build::safetensors);
    Adapter::from_files(config.as_bytes(), &build::safetensors(weights), gates.as_deref())
        .map_err(|error| error.to_string())
}

#[test]
fn an_adapter_means_what_peft_takes_it_to_mean() {
    let adapter = Adapter::from_files(CONFIG, WEIGHTS, None).unwrap();
    let expected: BTreeMap<String, f64> = serde_json::from_slice(SCALES).unwrap();
    assert!(adapter.scales.keys().eq(expected.keys()));
    for (module, scale) in expected {
        assert_eq!(adapter.scales[&module], scale as f32, "{module}");
    }
    assert_eq!(adapter.tensors.len(), 2 * adapter.scales.len());
    check(adapter, &Config::from_json("config.json", BASE).unwrap()).unwrap();
}

#[test]
fn factors_are_where_the_file_has_them() {
    let weights = factors();
    let file = build::safetensors(&weights);
    let adapter = read(PLAIN, &weights, None).unwrap();
    assert_eq!(adapter.scales[MODULES[0]], 1.5);
    for tensor in &adapter.tensors {
        assert_eq!(tensor.dtype, DType::F32);
        let part = if tensor.part == LoraPart::A { "A" } else { "B" };
        let (_, shape, bytes) = &weights[&key(&tensor.module, part)];
        assert_eq!(tensor.shape.as_slice(), shape);
        assert_eq!(&file[tensor.range.clone()], bytes);
    }
    let config = Config::from_json("config.json", GATED.as_bytes()).unwrap();
    check(adapter, &config).unwrap();
}

#[test]
fn the_header_alone_is_enough() {
    let mut weights = factors();
    let whole = read(PLAIN, &weights, None).unwrap();
    let file = build::safetensors(&weights);
    let length = Header::length("adapter", &file[..8]).unwrap();
    let header = Header::read("adapter", &file[..length], None).unwrap();
    assert_eq!(Adapter::from_header(PLAIN.as_bytes(), &header, None).unwrap(), whole);

    // Gates in the same file are then named, and left for later.
    weights.insert(key(MODULES[0], "gate"), gate([1.0; 32]));
    let file = build::safetensors(&weights);
    let header = Header::of_file("adapter", &file).unwrap();
    let adapter = Adapter::from_header(PLAIN.as_bytes(), &header, None).unwrap();
    assert!(adapter.gates.is_empty());
    assert_eq!(adapter.unread_gates[0].module, MODULES[0]);
    assert_eq!(file[adapter.unread_gates[0].range.clone()], weights[&key(MODULES[0], "gate")].2);
}

#[test]
fn gates_come_from_either_file_and_zeros_mean_untrained() {
    let mut weights = factors();
    weights.insert(key(MODULES[0], "gate"), gate((0..32).map(|i| i as f32)));
    let beside: Tensors = [(key(MODULES[1], "gate"), gate([0.0; 64]))].into();
    let adapter = read(PLAIN, &weights, Some(&beside)).unwrap();
    assert_eq!(adapter.gates.keys().collect::<Vec<_>>(), [MODULES[0]]);
    assert_eq!(adapter.gates[MODULES[0]][31], 31.0);
    assert_eq!(adapter.untrained, [MODULES[1]]);
    assert!(adapter.unread_gates.is_empty());
}

#[test]
fn wrong_gates_are_named() {
    let with = |module: &str, values: Vec<f32>| {
        let gates: Tensors = [(key(module, "gate"), gate(values))].into();
        read(PLAIN, &factors(), Some(&gates)).unwrap_err()
    };
    let short = with(MODULES[0], vec![1.0; 31]);
    assert!(
        short.contains("gates.safetensors: base_model.model.encoder.block.0") && short.contains("31"),
        "{short}"
    );
    assert!(short.ends_with("has 31 numbers; expected 32, the module's inputs [shape-mismatch]"), "{short}");
    let mut values = vec![1.0; 32];
    values[7] = f32::NAN;
    let nan = with(MODULES[0], values);
    assert!(nan.ends_with("is NaN at 7; expected finite numbers [not-finite]"), "{nan}");
    let stray = with("encoder.block.0.layer.0.SelfAttention.k", vec![1.0; 32]);
    assert!(stray.contains("is the gate of a module without LoRA factors"), "{stray}");
}

fn check(adapter: Adapter, config: &Config) -> gander::Result<()> {
    gander::experts::Expert::from_adapter("expert", "adapter_model.safetensors", adapter)
        .check_against(config)
}

#[test]
fn an_adapter_of_another_base_is_named() {
    let gated = Config::from_json("config.json", GATED.as_bytes()).unwrap();
    let adapter = read(PLAIN, &factors(), None).unwrap();
    let error = |config: &Config| check(adapter.clone(), config).unwrap_err().to_string();
    let shallow = error(&Config { num_decoder_layers: 1, ..gated.clone() });
    assert!(shallow.contains(MODULES[1]) && shallow.ends_with("[wrong-base]"), "{shallow}");
    let wide = error(&Config { d_model: 64, ..gated.clone() });
    assert!(
        wide.contains("expected 64 rows, the layer's outputs") && wide.ends_with("[wrong-base]"),
        "{wide}"
    );
    let narrow = error(&Config { num_heads: 2, ..gated });
    assert!(narrow.contains("expected 16 rows") && narrow.ends_with("[wrong-base]"), "{narrow}");
}

#[test]
fn what_is_not_plain_lora_is_refused_by_name() {
    for (field, value) in [
        ("peft_type", r#""LOHA""#),
        ("use_dora", "true"),
        ("lora_bias", "true"),
        ("fan_in_fan_out", "true"),
        ("use_qalora", "true"),
        ("bias", r#""all""#),
        ("modules_to_save", r#"["lm_head"]"#),
        ("trainable_token_indices", "[1]"),
        ("layer_replication", "[[0, 1]]"),
        ("target_parameters", r#"["x"]"#),
        ("alora_invocation_tokens", "[1]"),
        ("init_lora_weights", r#""pissa_niter_4""#),
        ("init_lora_weights", r#""loftq""#),
    ] {
        let config = PLAIN
            .replacen('{', "{ ", 1)
            .replace(r#""peft_type": "LORA", "#, "")
            .replace(r#", "bias": "none""#, "");
        let kind = if field == "peft_type" { "" } else { r#""peft_type": "LORA", "# };
        let config = config.replacen('{', &format!("{{ {kind}\"{field}\": {value}, "), 1);
        let error = read(&config, &factors(), None).unwrap_err();
        assert!(error.starts_with(&format!("adapter_config.json: {field}: is ")), "{error}");
        assert!(error.ends_with("[unsupported]"), "{error}");
    }
    for (config, expected) in [
        (r#"{}"#, "peft_type: is absent"),
        (r#"{ "peft_type": "LORA", "r": 0 }"#, "r: is 0"),
        (r#"{ "peft_type": "LORA", "r": -2 }"#, "r: is -2"),
        (
            r#"{ "peft_type": "LORA", "r": 2, "rank_pattern": { "q": "many" } }"#,
            "invalid type: string \"many\"",
        ),
        (r#"{ "peft_type": "LORA", "r": 2, "rank_pattern": { "(?<=x)q": 2 } }"#, "rank_pattern: (?<=x)q"),
        (r#"{ "peft_type": "LORA", "r": 2, "lora_alpha": 1e300 }"#, "lora_alpha: gives"),
    ] {
        let error = read(config, &factors(), None).unwrap_err();
        assert!(error.starts_with("adapter_config.json: ") && error.contains(expected), "{error}");
    }
}

#[test]
fn what_is_not_a_factor_is_refused_by_name() {
    let module = MODULES[0];
    for (name, expected) in [
        (format!("base_model.model.{module}.lora_magnitude_vector"), "is part of DoRA"),
        ("base_model.model.shared.lora_embedding_A".to_string(), "adapts an embedding"),
        (format!("base_model.model.{module}.lora_B.bias"), "is a bias"),
        (
            "base_model.model.lm_head.modules_to_save.weight".to_string(),
            "is a whole layer of modules_to_save",
        ),
        (key("lm_head", "A"), "adapts something other than a linear layer"),
        (key("shared", "A"), "adapts something other than a linear layer"),
        (key("encoder.block.0.layer.1.EncDecAttention.q", "A"), "adapts something other than a linear layer"),
        (key("encoder.block.256.layer.0.SelfAttention.k", "A"), "adapts something other than a linear layer"),
        (key("encoder.block.00.layer.0.SelfAttention.k", "A"), "adapts something other than a linear layer"),
        (format!("{module}.lora_A.weight"), "is not a key of PEFT"),
        (format!("base_model.model.{module}.lora_A.default.weight"), "is not known"),
        ("x".to_string(), "is not known"),
    ] {
        let mut weights = factors();
        weights.insert(name.clone(), build::f32_tensor(&[2, 32], vec![0.0; 64]));
        let error = read(PLAIN, &weights, None).unwrap_err();
        assert!(error.starts_with(&format!("adapter_model.safetensors: {name}: {expected}")), "{error}");
        assert!(error.ends_with("[unsupported]"), "{error}");
    }
}

#[test]
fn factors_that_do_not_fit_each_other_are_named() {
    let error = |change: &dyn Fn(&mut Tensors)| {
        let mut weights = factors();
        change(&mut weights);
        read(PLAIN, &weights, None).unwrap_err()
    };
    let (a, b) = (key(MODULES[0], "A"), key(MODULES[0], "B"));
    let zeros = |shape: &[usize]| build::f32_tensor(shape, vec![0.0; shape.iter().product()]);
    let cases: [(String, &str); 6] = [
        (error(&|weights| drop(weights.remove(&b))), "[missing-tensor]"),
        (error(&|weights| drop(weights.remove(&a))), "[missing-tensor]"),
        (
            error(&|weights| drop(weights.insert(b.clone(), zeros(&[24, 3])))),
            "has 3 columns, and A has 2 rows",
        ),
        (
            error(&|weights| {
                weights.insert(a.clone(), zeros(&[4, 32]));
                weights.insert(b.clone(), zeros(&[24, 4]));
            }),
            "has 4 rows; expected 2, its rank by adapter_config.json [shape-mismatch]",
        ),
        (
            error(&|weights| drop(weights.insert(a.clone(), zeros(&[64])))),
            "has shape [64]; expected a matrix",
        ),
        (
            error(&|weights| {
                drop(weights.insert(a.clone(), (safetensors::Dtype::I8, vec![2, 32], vec![0; 64])));
            }),
            "dtype: is I8; expected F32, F16 or BF16 [unsupported]",
        ),
    ];
    for (error, expected) in cases {
        assert!(error.contains(MODULES[0]) && error.contains(expected), "{error}\n  wanted {expected}");
    }
}
