//! What a session takes from a catalogue, and what is refused.

use std::fs;

use gander::ErrorCode;
use gander::catalog::Catalog;
use gander::session::Request;
use serde_json::{Value, json};

use crate::folders::{CASE, base, build_all, gander, gates, json, make_resident, parse, session};
use crate::support::{self, Case, answer};

#[test]
fn a_catalogue_answers_as_its_folders_do() {
    let folder = build_all("answers");
    let case = Case::load(CASE);
    let mut session = session();
    session.add_catalog(&parse(&json(&folder)).unwrap(), &gates(&folder)).unwrap();
    let mut direct = case.session("base");
    assert_eq!(session.page_count(), direct.page_count());
    make_resident(&mut session, &folder);
    let (from_catalogue, from_folders) =
        (answer(&mut session, case.request(2)), answer(&mut direct, case.request(2)));
    assert_eq!(from_catalogue.output_ids, from_folders.output_ids);
    assert_eq!(from_catalogue.routing, from_folders.routing);
    assert_eq!(from_catalogue.values["logits"], from_folders.values["logits"]);
}

#[test]
fn a_catalogue_s_k_counts_where_a_request_says_none() {
    let folder = build_all("top-k");
    let mut catalog = json(&folder);
    catalog["router"]["top_k"] = json!(1);
    let mut session = session();
    session.add_catalog(&parse(&catalog).unwrap(), &gates(&folder)).unwrap();
    make_resident(&mut session, &folder);
    let case = Case::load(CASE);
    let found = answer(&mut session, Request { top_k: None, ..case.request(2) });
    assert!(found.routing.iter().all(|choice| choice.experts.len() == 1));
}

#[test]
fn altered_pages_are_refused() {
    let folder = build_all("altered");
    let mut session = session();
    session.add_experts(parse(&json(&folder)).unwrap().experts(&gates(&folder)).unwrap()).unwrap();
    let (_, page) = session.page(0).unwrap();
    let file = fs::read(folder.join(&page.file)).unwrap();
    let mut bytes = file[page.range.start as usize..page.range.end as usize].to_vec();
    bytes[7] ^= 1;
    let error = session.provide(0, &bytes).unwrap_err();
    assert!(error.code == ErrorCode::PageMismatch && error.problem.contains("SHA-256"), "{error}");
    bytes[7] ^= 1;
    session.provide(0, &bytes).unwrap();
}

#[test]
fn a_catalogue_for_another_base_is_refused() {
    let mut catalog = json(&build_all("base"));
    let fingerprint = support::checkpoint("v11_one/base").fingerprint();
    assert_eq!(parse(&catalog).unwrap().check_base(&fingerprint).unwrap_err().code, ErrorCode::WrongBase);
    catalog["base"]["fingerprint"] = json!(fingerprint);
    parse(&catalog).unwrap().check_base(&fingerprint).unwrap();
}

#[test]
fn what_contradicts_itself_is_named() {
    use ErrorCode::{InvalidFile, PageMismatch, Unsupported};
    type Change = fn(&mut Value);
    // A word of the error, beside its code.
    let cases: [(&str, ErrorCode, Change); 41] = [
        ("format", InvalidFile, |c| c["format"] = json!("something")),
        ("version 2.0", Unsupported, |c| c["version"] = json!("2.0")),
        ("version 10", Unsupported, |c| c["version"] = json!("10")),
        ("version \"1.x\"", InvalidFile, |c| c["version"] = json!("1.x")),
        ("`version`", InvalidFile, |c| drop(c.as_object_mut().unwrap().remove("version"))),
        ("`experts`", InvalidFile, |c| drop(c.as_object_mut().unwrap().remove("experts"))),
        ("invalid type: string", InvalidFile, |c| c["experts"] = json!("none")),
        ("name", InvalidFile, |c| c["name"] = json!("")),
        ("name", InvalidFile, |c| c["name"] = json!("a\u{1b}[2J")),
        ("base.fingerprint", InvalidFile, |c| c["base"]["fingerprint"] = json!("sha256:abc")),
        ("router.top_k", InvalidFile, |c| c["router"]["top_k"] = json!(0)),
        ("two experts of this id", InvalidFile, |c| c["experts"][1]["id"] = c["experts"][0]["id"].clone()),
        ("malformed id", InvalidFile, |c| c["experts"][0]["id"] = json!("a/b")),
        ("malformed id", InvalidFile, |c| c["experts"][0]["id"] = json!("")),
        ("malformed id", InvalidFile, |c| c["experts"][0]["id"] = json!("a\nb")),
        ("another expert says otherwise", InvalidFile, |c| {
            c["experts"][1]["adapter"]["url"] = c["experts"][0]["adapter"]["url"].clone()
        }),
        // Sizes.
        ("3 bytes, as the catalogue says", PageMismatch, |c| c["gates"]["bytes"] = json!(3)),
        ("gates of all the experts' modules", InvalidFile, |c| c["gates"]["bytes"] = json!(1u64 << 30)),
        ("gates: bytes: is 0", InvalidFile, |c| c["gates"]["bytes"] = json!(0)),
        ("invalid value", InvalidFile, |c| c["gates"]["bytes"] = json!(-1)),
        ("adapter", InvalidFile, |c| c["experts"][0]["adapter"]["bytes"] = json!(1u64 << 60)),
        ("a range within the file", InvalidFile, |c| c["experts"][0]["adapter"]["bytes"] = json!(100)),
        ("a range within the file", InvalidFile, |c| page(c)["offset"] = json!(u64::MAX)),
        ("a range within the file", InvalidFile, |c| page(c)["bytes"] = json!(0)),
        ("what its factors and their gates take", InvalidFile, |c| {
            c["experts"][0]["adapter"]["bytes"] = json!(1u64 << 40);
            let last = c["experts"][0]["pages"].as_array_mut().unwrap().last_mut().unwrap();
            last["bytes"] = json!(1u64 << 39);
        }),
        ("do not overlap", InvalidFile, |c| {
            c["experts"][0]["pages"][1]["offset"] = page(c)["offset"].clone()
        }),
        // Hashes.
        ("00, as the catalogue says", PageMismatch, |c| c["gates"]["sha256"] = json!("00".repeat(32))),
        ("gates: sha256", InvalidFile, |c| c["gates"]["sha256"] = json!("00")),
        ("sha256", InvalidFile, |c| page(c)["sha256"] = json!("z".repeat(64))),
        ("sha256", InvalidFile, |c| page(c)["sha256"] = json!("é".repeat(32))),
        ("sha256", InvalidFile, |c| c["experts"][0]["adapter"]["sha256"] = json!("+0".repeat(32))),
        // Pages and modules.
        ("a linear layer in \"decoder.block.9\"", InvalidFile, |c| {
            page(c)["block"] = json!("decoder.block.9")
        }),
        ("none of this page's layers", InvalidFile, |c| {
            module(c)["module"] = json!("decoder.block.0.layer.0.x")
        }),
        ("every module once", InvalidFile, |c| {
            let again = module(c).clone();
            page(c)["modules"].as_array_mut().unwrap().push(again);
        }),
        ("pages", InvalidFile, |c| c["experts"][0]["pages"] = json!([])),
        ("modules", InvalidFile, |c| page(c)["modules"] = json!([])),
        ("dtype", InvalidFile, |c| module(c)["a"]["dtype"] = json!("I8")),
        ("values within the page", InvalidFile, |c| {
            module(c)["a"]["shape"] = json!([1u64 << 60, 1u64 << 60])
        }),
        ("of one rank", InvalidFile, |c| module(c)["b"]["shape"][1] = json!(7)),
        ("values within the page", InvalidFile, |c| module(c)["b"]["offset"] = json!(1u64 << 40)),
        ("do not overlap", InvalidFile, |c| module(c)["b"]["offset"] = module(c)["a"]["offset"].clone()),
    ];
    let folder = build_all("contradictions");
    let (good, gates) = (json(&folder), gates(&folder));
    assert!(parse(&good).and_then(|catalog| catalog.experts(&gates)).is_ok());
    for (word, code, change) in cases {
        let mut catalog = good.clone();
        change(&mut catalog);
        let error = parse(&catalog).and_then(|catalog| catalog.experts(&gates).map(drop)).expect_err(word);
        assert_eq!(error.code, code, "{word}: {error}");
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
}

#[test]
fn a_scale_that_is_no_number_is_named() {
    let folder = build_all("scale");
    let mut catalog = parse(&json(&folder)).unwrap();
    catalog.experts[0].pages[0].modules[0].scale = f32::NAN;
    let problems = catalog.problems();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].code, ErrorCode::NotFinite, "{}", problems[0]);
}

#[test]
fn unknown_fields_and_minor_versions_are_taken() {
    let mut catalog = json(&build_all("future"));
    catalog["version"] = json!("1.7");
    catalog["extra"] = json!({ "colour": "blue" });
    catalog["experts"][0]["extra"] = json!([1, 2]);
    module(&mut catalog)["extra"] = json!(null);
    parse(&catalog).unwrap();
}

#[test]
fn what_is_only_for_people_may_be_absent() {
    let mut catalog = json(&build_all("silent"));
    for field in ["title", "description", "licence", "tags", "source", "evaluation"] {
        catalog["experts"][0].as_object_mut().unwrap().remove(field);
    }
    catalog.as_object_mut().unwrap().remove("router");
    let catalog = parse(&catalog).unwrap();
    assert_eq!((catalog.experts[0].title.as_str(), catalog.router.top_k), ("", 2));
}

#[test]
fn every_problem_is_told_and_not_only_the_first() {
    let mut catalog = parse(&json(&build_all("problems"))).unwrap();
    catalog.router.top_k = 0;
    catalog.experts[0].adapter.url = "file:///etc/passwd".to_owned();
    catalog.experts[1].pages[0].sha256 = "short".to_owned();
    catalog.experts[2].id = "a/b".to_owned();
    let problems: Vec<String> = catalog.problems().iter().map(ToString::to_string).collect();
    for word in ["router.top_k", "file:///etc/passwd", "\"short\"", "\"a/b\""] {
        assert!(problems.iter().any(|problem| problem.contains(word)), "{word} is not in {problems:#?}");
    }
    assert_eq!(problems.len(), 4);
}

/// A gates file as a catalogue's, with its size and hash in the catalogue.
fn experts_with_gates(catalog: &Value, gates: &[u8]) -> gander::Result<Vec<gander::experts::Expert>> {
    let mut catalog = catalog.clone();
    catalog["gates"]["bytes"] = json!(gates.len());
    catalog["gates"]["sha256"] = json!(gander::experts::hex(&gander::experts::sha256(gates)));
    parse(&catalog)?.experts(gates)
}

#[test]
fn gates_that_are_nobody_s_or_of_another_shape_are_refused() {
    let folder = build_all("gates");
    let catalog = json(&folder);
    let id = catalog["experts"][0]["id"].as_str().unwrap();
    let known = catalog["experts"][0]["pages"][0]["modules"][0].clone();
    let (name, inputs) =
        (known["module"].as_str().unwrap(), known["a"]["shape"][1].as_u64().unwrap() as usize);
    let file = |key: &str, values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![values.len()], &bytes);
        safetensors::serialize([(key, view.unwrap())], None).unwrap()
    };
    let own = format!("{id}/{name}.lora_gate.weight");
    assert!(experts_with_gates(&catalog, &file(&own, &vec![1.0; inputs])).is_ok());
    for (key, values, code) in [
        (format!("nobody/{name}.lora_gate.weight"), vec![1.0; inputs], ErrorCode::InvalidFile),
        (
            format!("{id}/encoder.block.99.layer.0.SelfAttention.q.lora_gate.weight"),
            vec![1.0; inputs],
            ErrorCode::InvalidFile,
        ),
        (format!("{id}/{name}"), vec![1.0; inputs], ErrorCode::InvalidFile),
        (own.clone(), vec![1.0; inputs + 1], ErrorCode::ShapeMismatch),
        (own.clone(), vec![f32::NAN; inputs], ErrorCode::NotFinite),
    ] {
        let error = experts_with_gates(&catalog, &file(&key, &values)).unwrap_err();
        assert!(error.code == code && error.place.contains(&key), "{error}");
    }
    let zeros = experts_with_gates(&catalog, &file(&own, &vec![0.0; inputs])).unwrap();
    assert!(zeros[0].gates.is_empty(), "a gate of zeros is not trained");
    assert_eq!(
        experts_with_gates(&catalog, &gates(&folder)[..100]).unwrap_err().code,
        ErrorCode::InvalidFile
    );
}

#[test]
fn every_truncation_of_a_catalogue_is_an_error_and_never_a_panic() {
    let json = json(&build_all("truncated")).to_string();
    for end in (0..json.len()).step_by(7) {
        let error = Catalog::parse("catalog.json", &json.as_bytes()[..end]).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidFile, "{error}");
    }
}

/// Natively the files are at hand: what the catalogue says of them is looked at before they are read.
#[test]
fn the_command_line_reads_no_other_file_and_no_other_size() {
    let folder = build_all("native");
    let good = fs::read(folder.join("catalog.json")).unwrap();
    let (base, path) = (base(), folder.to_str().unwrap().to_owned());
    let generate = || {
        let arguments =
            ["generate", "--base", base.to_str().unwrap(), "--experts", &path, "--input-ids", "5,9,1"];
        gander(arguments).bad()
    };
    // A file that is there, above the catalogue's folder.
    let mut catalog = json(&folder);
    fs::copy(folder.join("gates.safetensors"), folder.with_file_name("outside.safetensors")).unwrap();
    for url in
        ["../outside.safetensors", "%2e%2e/outside.safetensors", "/etc/hostname", "file:///etc/hostname"]
    {
        catalog["gates"]["url"] = json!(url);
        fs::write(folder.join("catalog.json"), catalog.to_string()).unwrap();
        let errors = generate();
        assert!(errors.contains("[invalid-file]") && errors.contains(url), "{errors}");
    }
    catalog["gates"]["url"] = json!("https://host/gates.safetensors");
    fs::write(folder.join("catalog.json"), catalog.to_string()).unwrap();
    assert!(generate().contains("[unsupported]"));

    fs::write(folder.join("catalog.json"), good).unwrap();
    let gates = gates(&folder);
    fs::write(folder.join("gates.safetensors"), [&gates[..], b"more"].concat()).unwrap();
    let errors = generate();
    assert!(
        errors.contains("[page-mismatch]") && errors.contains("bytes, as the catalogue says"),
        "{errors}"
    );
    fs::write(folder.join("gates.safetensors"), &gates).unwrap();
    for expert in catalog["experts"].as_array().unwrap() {
        fs::write(folder.join(expert["adapter"]["url"].as_str().unwrap()), b"short").unwrap();
    }
    let errors = generate();
    assert!(errors.contains("[io]") && errors.contains("adapter_model.safetensors"), "{errors}");
}

fn page(catalog: &mut Value) -> &mut Value {
    &mut catalog["experts"][0]["pages"][0]
}

fn module(catalog: &mut Value) -> &mut Value {
    &mut page(catalog)["modules"][0]
}
