//! The program as scripts use it: the JSON's fields, exit statuses, and one line for each error.
#![cfg(not(target_arch = "wasm32"))]

#[path = "support/program.rs"]
mod program;
mod support;

use std::path::{Path, PathBuf};

use program::{Output, gander};
use serde_json::Value;
use support::Case;

fn golden(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(path).display().to_string()
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn ids(values: &[u32]) -> String {
    values.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// `gander generate` on a golden case with k = 2, and more arguments.
fn generate(case: &Case, base: &str, more: &[&str]) -> Output {
    let experts: Vec<String> =
        case.experts.iter().map(|path| golden(&format!("{}/{path}", case.name))).collect();
    let (input, length) = (ids(&case.input_ids), case.max_new_tokens.to_string());
    let mut arguments = vec!["generate", "--base", base, "--input-ids", &input, "--max-new-tokens", &length];
    for expert in &experts {
        arguments.extend(["--experts", expert]);
    }
    arguments.extend(more);
    gander(&arguments)
}

#[test]
fn the_json_has_the_documented_fields_and_the_reference_s_answer_on_all_devices() {
    for device in ["cpu", "gpu", "gpu+cpu"] {
        check_json(device);
    }
}

fn check_json(device: &str) {
    let case = Case::load("v11_gated");
    let base = golden("v11_gated/base");
    let output = generate(&case, &base, &["--json", "--logits", "--trace", "--device", device]);
    assert!(output.success, "{}", output.errors);
    assert_eq!(output.out.lines().count(), 1);
    let report: Value = serde_json::from_str(&output.out).unwrap();
    let run = case.runs.iter().find(|run| run.top_k == 2).unwrap();
    assert_eq!(report["input_ids"], serde_json::json!(case.input_ids));
    assert_eq!(report["output_ids"], serde_json::json!(run.output_ids));
    assert_eq!(
        (&report["text"], &report["finish"], &report["device"]),
        (&Value::Null, &"eos".into(), &device.into())
    );
    let reason = report["device_reason"].as_str().unwrap();
    match device {
        "cpu" => assert_eq!(reason, "asked for"),
        // What a trial of them took, or that there are none.
        _ => {
            assert!(reason.starts_with("asked for; ") && reason.contains("integer dot products"), "{reason}")
        }
    }
    for count in ["count", "bytes", "passes"] {
        assert!(report["pages"][count].as_u64().unwrap() > 0, "pages.{count}");
    }
    let logits: Vec<f32> = serde_json::from_value(report["first_logits"].clone()).unwrap();
    let expected = &case.tensors()["first_logits"];
    assert_eq!(logits.len(), expected.len());
    assert!(logits.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-3));
    let routing = report["routing"].as_array().unwrap();
    assert_eq!(routing.len(), run.routing.as_ref().unwrap().len());
    let fields: Vec<&String> = routing[0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["experts", "module", "token", "weights"]);
}

#[test]
fn without_json_and_without_a_tokenizer_the_ids_are_printed() {
    let case = Case::load("v11_gated");
    let output = generate(&case, &golden("v11_gated/base"), &[]);
    let run = case.runs.iter().find(|run| run.top_k == 2).unwrap();
    assert_eq!(output.out, format!("{}\n", ids(&run.output_ids)), "{}", output.errors);
}

/// Weights that are multiples of a block's scale survive Q8_0; these do not, so only F16 is compared by its answer.
#[test]
fn quantised_bases_answer_and_a_half_precision_one_as_before() {
    let case = Case::load("q8");
    let run = case.runs.iter().find(|run| run.top_k == 2).unwrap();
    for kind in ["f16", "q8_0", "q4_0"] {
        let file = scratch(&format!("quantised-{kind}.gguf")).display().to_string();
        let output = gander(&["quantize", &golden("q8/base"), "-o", &file, "--type", kind]);
        assert!(output.success, "{kind}: {}", output.errors);
        let output = generate(&case, &file, &["--json"]);
        assert!(output.success, "{kind}: {}", output.errors);
        let report: Value = serde_json::from_str(&output.out).unwrap();
        assert_eq!(report["output_ids"].as_array().unwrap().len(), run.output_ids.len(), "{kind}");
        if kind == "f16" {
            assert_eq!(report["output_ids"], serde_json::json!(run.output_ids));
        }
    }
}

#[test]
fn an_error_is_one_line_with_place_expectation_and_code_and_exit_status_1() {
    let base = golden("v10_tied/base");
    let foreign = golden("v11_one/experts/only");
    let truncated = scratch("truncated.gguf");
    let whole = std::fs::read(golden("q8_gguf_q8_0/base.gguf")).unwrap();
    std::fs::write(&truncated, &whole[..whole.len() / 2]).unwrap();
    let truncated = truncated.display().to_string();
    let cases: [(&[&str], &str); 8] = [
        (&["--base", &base, "--text", "hello"], "[no-tokenizer]"),
        (&["--base", &base, "--text", ""], "[empty-input]"),
        (&["--base", &base, "--input-ids", "1,97"], "[token-out-of-range]"),
        (&["--base", &base, "--input-ids", "1", "--top-k", "0"], "[invalid-option]"),
        (&["--base", &base, "--input-ids", "1", "--strategy", "best"], "[invalid-option]"),
        (&["--base", &base, "--input-ids", "1", "--experts", &foreign], "[wrong-base]"),
        (&["--base", &truncated, "--input-ids", "1"], "[invalid-file]"),
        (&["--base", "/nowhere", "--input-ids", "1"], "[io]"),
    ];
    for (arguments, code) in cases {
        let output = gander(&[&["generate"], arguments].concat());
        assert!(!output.success && output.out.is_empty(), "{arguments:?}: {}", output.out);
        let line = output.errors.trim_end();
        assert!(
            line.starts_with("gander: ") && line.ends_with(code) && !line.contains('\n'),
            "{arguments:?}: {line}"
        );
        assert!(line.contains("; expected "), "{arguments:?}: {line}");
    }
}

#[test]
fn score_ranks_choices_by_their_mean_and_prints_a_table_or_json() {
    let case = Case::load("v11_gated");
    let base = golden("v11_gated/base");
    let input = ids(&case.input_ids);
    let greedy = ids(&case.runs.iter().find(|run| run.top_k == 2).unwrap().output_ids);
    let experts: Vec<String> = case.experts.iter().map(|path| golden(&format!("v11_gated/{path}"))).collect();
    let mut arguments = vec!["score", "--base", &base, "--input-ids", &input, "--device", "cpu"];
    arguments.extend(["--choice-ids", "9,8,7,6", "--choice-ids", &greedy, "--experts"]);
    arguments.extend(experts.iter().map(String::as_str));
    let Output { success, out: table, errors } = gander(&arguments);
    assert!(success, "{errors}");
    let likeliest: Vec<&str> = table.lines().filter(|line| line.starts_with('>')).collect();
    assert!(likeliest.len() == 1 && likeliest[0].ends_with(&greedy), "{table}");
    arguments.push("--json");
    let report: Value = serde_json::from_str(&gander(&arguments).out).unwrap();
    assert_eq!((&report["best"], &report["device"]), (&Value::from(1), &Value::from("cpu")));
    let choice = &report["choices"][1];
    let terms: Vec<f64> = serde_json::from_value(choice["log_likelihoods"].clone()).unwrap();
    let sum: f64 = terms.iter().sum();
    assert!((choice["log_likelihood"].as_f64().unwrap() - sum).abs() < 1e-12);
    assert!((choice["per_token"].as_f64().unwrap() - sum / terms.len() as f64).abs() < 1e-12);
}

#[test]
fn a_text_may_begin_with_a_hyphen() {
    let base = golden("v11_gated/base");
    let output = gander(&["generate", "--base", &base, "--device", "cpu", "--text", "- one of a list"]);
    assert!(!output.success && output.errors.contains("no-tokenizer"), "{}", output.errors);
}
