//! Catalogues: what `gander catalog build` writes, the session takes; what contradicts itself is refused by name.
#![cfg(not(target_arch = "wasm32"))]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use gander::ErrorCode;
use gander::catalog::Catalog;
use serde_json::{Value, json};
use support::{Case, answer};

const CASE: &str = "v11_gated";

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

fn gander(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gander")).args(arguments).output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), text)
}

/// A catalogue of the case's experts in a new folder, and its two files.
fn built(test: &str) -> (PathBuf, Value, Vec<u8>) {
    let case = Case::load(CASE);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("catalog-{test}"));
    let _ = std::fs::remove_dir_all(&folder);
    let base = goldens().join(CASE).join("base");
    let experts: Vec<String> =
        (case.experts.iter()).map(|path| goldens().join(CASE).join(path).display().to_string()).collect();
    let mut arguments =
        vec!["catalog", "build", "--base", base.to_str().unwrap(), "-o", folder.to_str().unwrap()];
    arguments.extend(experts.iter().map(String::as_str));
    let (success, text) = gander(&arguments);
    assert!(success, "{text}");
    let catalog = serde_json::from_slice(&std::fs::read(folder.join("catalog.json")).unwrap()).unwrap();
    let gates = std::fs::read(folder.join("gates.safetensors")).unwrap();
    (folder, catalog, gates)
}

fn parse(catalog: &Value) -> gander::Result<Catalog> {
    Catalog::parse("catalog.json", catalog.to_string().as_bytes())
}

#[test]
fn a_catalogue_answers_as_its_folders_do() {
    let (folder, catalog, gates) = built("answers");
    let case = Case::load(CASE);
    let catalog = parse(&catalog).unwrap();
    let base = support::base_without_text(support::checkpoint(&format!("{CASE}/base")));
    let mut session = gander::session::Session::new(base).unwrap();
    session.add_catalog(&catalog, &gates).unwrap();
    let mut direct = case.session("base");
    assert_eq!(session.page_count(), direct.page_count());
    for page in 0..session.page_count() {
        let (_, description) = session.page(page).unwrap();
        let file = std::fs::read(folder.join(&description.file)).unwrap();
        let bytes = file[description.range.start as usize..description.range.end as usize].to_vec();
        session.provide(page, &bytes).unwrap();
    }
    let (from_catalogue, from_folders) =
        (answer(&mut session, case.request(2)), answer(&mut direct, case.request(2)));
    assert_eq!(from_catalogue.output_ids, from_folders.output_ids);
    assert_eq!(from_catalogue.routing, from_folders.routing);
    assert_eq!(from_catalogue.values["logits"], from_folders.values["logits"]);
}

#[test]
fn the_command_line_reads_a_catalogue_and_only_the_pages_it_wants() {
    let (folder, catalog, _) = built("command-line");
    let base = goldens().join(CASE).join("base");
    let all: u64 =
        catalog["experts"].as_array().unwrap().iter().map(|e| e["adapter"]["bytes"].as_u64().unwrap()).sum();
    let (base, folder) = (base.to_str().unwrap(), folder.to_str().unwrap());
    let common = ["generate", "--base", base, "--experts", folder, "--input-ids", "5,9,1", "--json"];
    let (success, text) = gander(&[&common[..], &["--include", "arithmetic"]].concat());
    assert!(success, "{text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    let bytes = report["pages"]["bytes"].as_u64().unwrap();
    assert!(bytes > 0 && bytes < all, "{bytes} of {all}");
}

#[test]
fn a_catalogue_s_k_counts_where_a_request_says_none() {
    let (_, mut catalog, gates) = built("top-k");
    catalog["router"]["top_k"] = json!(1);
    let base = support::base_without_text(support::checkpoint(&format!("{CASE}/base")));
    let mut session = gander::session::Session::new(base).unwrap();
    session.add_catalog(&parse(&catalog).unwrap(), &gates).unwrap();
    for page in 0..session.page_count() {
        let (id, description) = session.page(page).unwrap();
        let file = support::golden(&format!("{CASE}/experts/{id}/adapter_model.safetensors"));
        let bytes = &file[description.range.start as usize..description.range.end as usize];
        session.provide(page, bytes).unwrap();
    }
    let case = Case::load(CASE);
    let found = answer(&mut session, gander::session::Request { top_k: None, ..case.request(2) });
    assert!(found.routing.iter().all(|choice| choice.experts.len() == 1));
}

#[test]
fn altered_pages_are_refused() {
    let (folder, catalog, gates) = built("altered");
    let base = support::base_without_text(support::checkpoint(&format!("{CASE}/base")));
    let mut session = gander::session::Session::new(base).unwrap();
    session.add_experts(parse(&catalog).unwrap().experts(&gates).unwrap()).unwrap();
    let (_, page) = session.page(0).unwrap();
    let file = std::fs::read(folder.join(&page.file)).unwrap();
    let mut bytes = file[page.range.start as usize..page.range.end as usize].to_vec();
    bytes[7] ^= 1;
    let error = session.provide(0, &bytes).unwrap_err();
    assert!(error.code == ErrorCode::PageMismatch && error.problem.contains("SHA-256"), "{error}");
    bytes[7] ^= 1;
    session.provide(0, &bytes).unwrap();
}

#[test]
fn a_catalogue_for_another_base_is_refused() {
    let (_, mut catalog, _) = built("base");
    let fingerprint = support::checkpoint("v11_one/base").fingerprint();
    assert_eq!(parse(&catalog).unwrap().check_base(&fingerprint).unwrap_err().code, ErrorCode::WrongBase);
    catalog["base"]["fingerprint"] = json!(fingerprint);
    parse(&catalog).unwrap().check_base(&fingerprint).unwrap();
}

#[test]
fn what_contradicts_itself_is_named() {
    type Change = fn(&mut Value);
    let cases: [(&str, ErrorCode, Change); 15] = [
        ("k of 0", ErrorCode::InvalidFile, |c| c["router"]["top_k"] = json!(0)),
        ("format", ErrorCode::InvalidFile, |c| c["format"] = json!("something")),
        ("version 2", ErrorCode::Unsupported, |c| c["version"] = json!("2.0")),
        ("no experts", ErrorCode::InvalidFile, |c| drop(c.as_object_mut().unwrap().remove("experts"))),
        ("same id twice", ErrorCode::InvalidFile, |c| c["experts"][1]["id"] = c["experts"][0]["id"].clone()),
        ("slash in id", ErrorCode::InvalidFile, |c| c["experts"][0]["id"] = json!("a/b")),
        ("gates' size", ErrorCode::PageMismatch, |c| c["gates"]["bytes"] = json!(3)),
        ("gates' hash", ErrorCode::PageMismatch, |c| c["gates"]["sha256"] = json!("00".repeat(32))),
        ("page's end", ErrorCode::InvalidFile, |c| c["experts"][0]["pages"][0]["offset"] = json!(u64::MAX)),
        ("page's hash", ErrorCode::InvalidFile, |c| c["experts"][0]["pages"][0]["sha256"] = json!("zz")),
        ("page's block", ErrorCode::InvalidFile, |c| {
            c["experts"][0]["pages"][0]["block"] = json!("decoder.block.9")
        }),
        ("dtype", ErrorCode::InvalidFile, |c| module(c)["a"]["dtype"] = json!("I8")),
        ("shape", ErrorCode::InvalidFile, |c| module(c)["a"]["shape"] = json!([1u64 << 60, 1u64 << 60])),
        ("rank", ErrorCode::InvalidFile, |c| module(c)["b"]["shape"][1] = json!(7)),
        ("tensor's place", ErrorCode::InvalidFile, |c| module(c)["b"]["offset"] = json!(1u64 << 40)),
    ];
    let (_, good, gates) = built("contradictions");
    assert!(parse(&good).and_then(|catalog| catalog.experts(&gates)).is_ok());
    for (name, code, change) in cases {
        let mut catalog = good.clone();
        change(&mut catalog);
        let error = parse(&catalog).and_then(|catalog| catalog.experts(&gates).map(drop)).expect_err(name);
        assert_eq!(error.code, code, "{name}: {error}");
    }
    let unknown_fields = json!({ "colour": "blue" });
    let mut catalog = good.clone();
    catalog["extra"] = unknown_fields.clone();
    catalog["experts"][0]["extra"] = unknown_fields;
    assert!(parse(&catalog).is_ok(), "unknown fields are ignored");
}

fn module(catalog: &mut Value) -> &mut Value {
    &mut catalog["experts"][0]["pages"][0]["modules"][0]
}

#[test]
fn every_truncation_of_a_catalogue_is_an_error_and_never_a_panic() {
    let (_, catalog, _) = built("truncated");
    let json = catalog.to_string();
    for end in (0..json.len()).step_by(7) {
        let error = Catalog::parse("catalog.json", &json.as_bytes()[..end]).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidFile, "{error}");
    }
}

#[test]
fn an_expert_without_gates_cannot_be_catalogued() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("expert-without-gates");
    std::fs::create_dir_all(&folder).unwrap();
    let source = goldens().join("v10_tied/experts/history");
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        std::fs::copy(source.join(file), folder.join(file)).unwrap();
    }
    let base = goldens().join("v10_tied/base");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("catalog-without-gates");
    let paths = [base.to_str().unwrap(), folder.to_str().unwrap(), out.to_str().unwrap()];
    let (success, text) = gander(&["catalog", "build", "--base", paths[0], paths[1], "-o", paths[2]]);
    assert!(!success && text.contains("no trained gate"), "{text}");
}
