//! `gander catalog build`, `add` and `remove`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::folders::{
    base, build, build_all, catalog, contents, copy, expert, fresh, gander, gates, golden, json,
};

/// The files of a catalogue but for those that every change rewrites.
fn adapters(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let rewritten = ["catalog.json", "gates.safetensors"].map(std::path::PathBuf::from);
    contents(folder).into_iter().filter(|(path, _)| !rewritten.contains(path)).collect()
}

fn generate(experts: &Path, more: &[&str]) -> Value {
    let base = base();
    let paths = [base.to_str().unwrap(), experts.to_str().unwrap()];
    let arguments = ["generate", "--base", paths[0], "--experts", paths[1], "--input-ids", "5,9,1"];
    let rest = ["--json", "--trace", "--device", "cpu"];
    serde_json::from_str(&gander(arguments.iter().chain(&rest).chain(more)).good()).unwrap()
}

#[test]
fn the_command_line_reads_a_catalogue_and_only_the_pages_it_wants() {
    let folder = build_all("pages");
    let all: u64 = (json(&folder)["experts"].as_array().unwrap().iter())
        .map(|expert| expert["adapter"]["bytes"].as_u64().unwrap())
        .sum();
    let bytes = generate(&folder, &["--include", "arithmetic"])["pages"]["bytes"].as_u64().unwrap();
    assert!(bytes > 0 && bytes < all, "{bytes} of {all}");
}

#[test]
fn an_expert_more_and_an_expert_less_leave_the_other_files_alone() {
    let [one, two, three] = ["arithmetic", "chemistry", "late_blocks"].map(expert);
    let folder = build("change", "experts", &[&one, &two]);
    let before = contents(&folder);
    catalog("add", &[&folder, &three]).good();
    let after = contents(&folder);
    for (path, bytes) in adapters(&folder) {
        let is_new = path.starts_with("experts/late_blocks");
        assert_eq!(before.get(&path), (!is_new).then_some(&bytes), "{}", path.display());
    }
    // What was said of the others is said of them still, and all is as if made at once.
    let at_once = build("change-at-once", "experts", &[&one, &two, &three]);
    assert_eq!(after, contents(&at_once));

    gander(["catalog", "remove", folder.to_str().unwrap(), "late_blocks"]).good();
    let without = contents(&folder);
    for file in ["catalog.json", "gates.safetensors"] {
        assert_eq!(without[Path::new(file)], before[Path::new(file)], "{file}");
    }
    assert_eq!(
        adapters(&folder),
        adapters(&at_once),
        "adapter files stay for those who hold the old catalogue"
    );
    let chosen: BTreeSet<String> =
        (generate(&folder, &["--top-k", "9"])["routing"].as_array().unwrap().iter())
            .flat_map(|choice| choice["experts"].as_array().unwrap())
            .map(|id| id.as_str().unwrap().to_owned())
            .collect();
    assert_eq!(Vec::from_iter(chosen), ["arithmetic", "chemistry"]);
}

#[test]
fn a_catalogue_may_lose_its_last_expert_and_get_another() {
    let folder = build("empty", "experts", &[&expert("arithmetic")]);
    gander(["catalog", "remove", folder.to_str().unwrap(), "arithmetic"]).good();
    assert_eq!(json(&folder)["experts"], Value::Array(Vec::new()));
    catalog("add", &[&folder, &expert("chemistry")]).good();
    assert_eq!(json(&folder)["experts"][0]["id"], "chemistry");
}

#[test]
fn what_fails_leaves_the_catalogue_as_it_was() {
    let folder = build("unchanged", "experts", &[&expert("arithmetic"), &expert("chemistry")]);
    let before = contents(&folder);
    let without_gates = fresh("unchanged-without-gates");
    copy(&expert("late_blocks"), &without_gates);
    fs::remove_file(without_gates.join("gates.safetensors")).unwrap();
    let foreign = golden("v11_one/experts/only");
    let errors = catalog("add", &[&folder, &expert("late_blocks"), &expert("arithmetic")]).bad();
    assert!(errors.contains("the id is taken") && errors.contains("--replace"), "{errors}");
    assert!(
        catalog("add", &[&folder, &expert("late_blocks"), &without_gates]).bad().contains("no trained gate")
    );
    assert!(catalog("add", &[&folder, &foreign]).bad().contains("[wrong-base]"));
    let other_base = golden("v11_one/base");
    let add: [&dyn AsRef<std::ffi::OsStr>; 6] =
        [&"catalog", &"add", &"--base", &other_base, &folder, &foreign];
    assert!(gander(add).bad().contains("[wrong-base]"));
    let remove = ["catalog", "remove", folder.to_str().unwrap(), "chemistry", "nobody"];
    assert!(gander(remove).bad().contains("[unknown-expert]"));
    assert_eq!(contents(&folder), before);
    assert!(!folder.join("experts/late_blocks").exists());

    // Nor is a damaged one written over.
    let mut damaged = gates(&folder);
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(folder.join("gates.safetensors"), &damaged).unwrap();
    assert!(catalog("add", &[&folder, &expert("late_blocks")]).bad().contains("SHA-256"));
    assert_eq!(gates(&folder), damaged);
}

#[test]
fn a_new_version_takes_the_place_of_the_old_one() {
    let folder = build("replace", "experts", &[&expert("arithmetic"), &expert("chemistry")]);
    let version = fresh("replace-version").join("arithmetic");
    copy(&expert("late_blocks"), &version);
    fs::write(version.join("expert.json"), r#"{"title": "Sums", "evaluation": {"exact": 0.5}}"#).unwrap();
    catalog("add", &[&folder, &version, &"--replace"]).good();
    let catalog = json(&folder);
    let ids: Vec<&Value> =
        catalog["experts"].as_array().unwrap().iter().map(|expert| &expert["id"]).collect();
    assert_eq!(ids, ["arithmetic", "chemistry"], "its place, which decides ties, is the old one");
    assert_eq!(catalog["experts"][0]["title"], "Sums");
    assert_eq!(catalog["experts"][0]["evaluation"]["exact"], 0.5);
    let file = fs::read(folder.join("experts/arithmetic/adapter_model.safetensors")).unwrap();
    assert_eq!(file, fs::read(expert("late_blocks").join("adapter_model.safetensors")).unwrap());
}

#[test]
fn an_expert_without_gates_cannot_be_catalogued() {
    let folder = fresh("without-gates");
    copy(&expert("late_blocks"), &folder);
    fs::remove_file(folder.join("gates.safetensors")).unwrap();
    let output = fresh("without-gates-out");
    assert!(catalog("build", &[&folder, &"-o", &output]).bad().contains("no trained gate"));
    assert!(!output.exists());
}

#[test]
fn names_that_need_care_in_urls_are_read_again() {
    let folder = fresh("names").join("dates & more #1 100%");
    copy(&expert("arithmetic"), &folder);
    let output = build("names-out", "experts", &[&folder]);
    let url = json(&output)["experts"][0]["adapter"]["url"].clone();
    assert_eq!(url, "experts/dates%20%26%20more%20%231%20100%25/adapter_model.safetensors");
    assert!(generate(&output, &[])["pages"]["count"].as_u64().unwrap() > 0);
}

#[test]
fn an_expert_that_is_hosted_elsewhere_is_named_there_and_not_copied() {
    let folder = fresh("hosted");
    let url = "https://huggingface.co/someone/arithmetic/resolve/main/adapter_model.safetensors";
    let hosted = format!("arithmetic={url}");
    let (one, two) = (expert("arithmetic"), expert("chemistry"));
    catalog("build", &[&one, &two, &"-o", &folder, &"--url", &hosted]).good();
    let catalogue = json(&folder);
    let file = fs::read(one.join("adapter_model.safetensors")).unwrap();
    let adapter = &catalogue["experts"][0]["adapter"];
    assert_eq!(adapter["url"], url);
    assert_eq!(adapter["sha256"], gander::experts::hex(&gander::experts::sha256(&file)));
    assert!(!folder.join("experts/arithmetic").exists() && folder.join("experts/chemistry").exists());
    // Natively nothing is fetched: the expert is refused when it is wanted, and the others answer without it.
    generate(&folder, &["--exclude", "arithmetic"]);
    let base = base();
    let paths = [base.to_str().unwrap(), folder.to_str().unwrap()];
    let wanted = ["generate", "--base", paths[0], "--experts", paths[1], "--input-ids", "5,9,1"];
    let errors = gander(wanted.iter().chain(&["--include", "arithmetic"])).bad();
    assert!(errors.contains(url) && errors.contains("[unsupported]"), "{errors}");
}

#[test]
fn urls_outside_the_rules_are_refused() {
    let one = expert("arithmetic");
    for (hosted, word) in [
        ("arithmetic=file:///etc/passwd", "[invalid-file]"),
        ("arithmetic=https://name:word@host/x", "credentials"),
        ("arithmetic=experts/x", "an http or https URL"),
        ("nobody=https://host/x", "[unknown-expert]"),
        ("arithmetic", "expected an expert's id"),
    ] {
        let output = fresh("bad-urls");
        let errors = catalog("build", &[&one, &"-o", &output, &"--url", &hosted]).bad();
        assert!(errors.contains(word), "{hosted}: {errors}");
        assert!(!output.exists(), "{hosted}");
    }
}

/// The tensors of an adapter file: name, type, values.
fn tensors(file: &Path) -> Vec<(String, safetensors::Dtype, Vec<f32>)> {
    let bytes = fs::read(file).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let half = |bytes: &[u8]| u16::from_le_bytes(bytes.try_into().unwrap());
    let mut found: Vec<_> = (file.iter())
        .map(|(name, tensor)| {
            let data = tensor.data();
            let values = match tensor.dtype() {
                safetensors::Dtype::F32 => {
                    data.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
                }
                safetensors::Dtype::F16 => {
                    data.chunks(2).map(|bytes| half::f16::from_bits(half(bytes)).to_f32()).collect()
                }
                safetensors::Dtype::BF16 => {
                    data.chunks(2).map(|bytes| half::bf16::from_bits(half(bytes)).to_f32()).collect()
                }
                other => panic!("{other:?}"),
            };
            (name.to_owned(), tensor.dtype(), values)
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn half_precision_halves_an_adapter_and_stays_a_peft_folder() {
    let source = expert("arithmetic").join("adapter_model.safetensors");
    let before = tensors(&source);
    assert!(before.iter().all(|(_, dtype, _)| *dtype == safetensors::Dtype::F32));
    for (name, dtype, error) in
        [("f16", safetensors::Dtype::F16, 2f32.powi(-11)), ("bf16", safetensors::Dtype::BF16, 2f32.powi(-8))]
    {
        let folder = fresh(&format!("half-{name}"));
        catalog("build", &[&expert("arithmetic"), &"-o", &folder, &"--dtype", &name]).good();
        let file = folder.join("experts/arithmetic/adapter_model.safetensors");
        let after = tensors(&file);
        for ((name, was, old), (other, is, new)) in before.iter().zip(&after) {
            let is_factor = !name.ends_with(".lora_gate.weight");
            assert_eq!((name, *is), (other, if is_factor { dtype } else { *was }));
            assert!(
                old.iter().zip(new).all(|(old, new)| (old - new).abs() <= error * old.abs() + 1e-7),
                "{name}"
            );
        }
        assert_eq!(before.len(), after.len());
        let factor_bytes = |tensors: &[(String, safetensors::Dtype, Vec<f32>)]| -> usize {
            let factors = tensors.iter().filter(|(name, ..)| !name.ends_with(".lora_gate.weight"));
            factors.map(|(_, dtype, values)| values.len() * dtype.bitsize() / 8).sum()
        };
        assert_eq!(2 * factor_bytes(&after), factor_bytes(&before));
        let config = "experts/arithmetic/adapter_config.json";
        assert_eq!(
            fs::read(folder.join(config)).unwrap(),
            fs::read(source.with_file_name("adapter_config.json")).unwrap()
        );
        let metadata = |file: &Path| {
            let bytes = fs::read(file).unwrap();
            let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
            metadata.metadata().clone()
        };
        assert_eq!(metadata(&file), metadata(&source));
        // Pages and hashes are those of the new file.
        gander(["catalog", "check", folder.to_str().unwrap(), "--base", base().to_str().unwrap()]).good();
        // It is its own PEFT folder with gates, and a second conversion changes nothing.
        let again = fresh(&format!("half-{name}-again"));
        let converted = folder.join("experts/arithmetic");
        catalog("build", &[&converted, &"-o", &again, &"--dtype", &name]).good();
        assert_eq!(contents(&again), contents(&folder));
    }
}

#[test]
fn values_that_half_precision_cannot_hold_are_refused() {
    let folder = fresh("large").join("arithmetic");
    copy(&expert("arithmetic"), &folder);
    let file = folder.join("adapter_model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&1e6f32.to_le_bytes());
    fs::write(&file, bytes).unwrap();
    let output = fresh("large-out");
    let errors = catalog("build", &[&folder, &"-o", &output, &"--dtype", &"f16"]).bad();
    assert!(
        errors.contains("[not-finite]") && errors.contains("1000000") && errors.contains(".lora_"),
        "{errors}"
    );
    assert!(!output.exists());
    catalog("build", &[&folder, &"-o", &output, &"--dtype", &"bf16"]).good();
}

#[test]
fn an_expert_is_not_converted_over_itself_nor_away_from_where_it_is_hosted() {
    let folder = fresh("in-place");
    let inside = folder.join("experts/arithmetic");
    copy(&expert("arithmetic"), &inside);
    let before = contents(&inside);
    let errors = catalog("build", &[&inside, &"-o", &folder, &"--dtype", &"f16"]).bad();
    assert!(errors.contains("[invalid-option]"), "{errors}");
    let hosted = "arithmetic=https://host/adapter_model.safetensors";
    let errors = catalog("build", &[&inside, &"-o", &folder, &"--dtype", &"f16", &"--url", &hosted]).bad();
    assert!(errors.contains("[invalid-option]"), "{errors}");
    assert_eq!(contents(&folder).len(), before.len());
    catalog("build", &[&inside, &"-o", &folder]).good();
    assert_eq!(contents(&inside), before, "an expert in the folder is served where it is");
}

/// The arithmetic expert with all A before all B, which no sorting by name gives.
fn shuffled(test: &str) -> std::path::PathBuf {
    let folder = fresh(test).join("arithmetic");
    copy(&expert("arithmetic"), &folder);
    let path = folder.join("adapter_model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = file.iter().collect();
    tensors.sort_by_key(|(name, _)| (name.contains("lora_B"), name.to_string()));
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, tensor) in tensors {
        let start = data.len();
        data.extend(tensor.data());
        let place = [start, data.len()];
        let entry = serde_json::json!({ "dtype": "F32", "shape": tensor.shape(), "data_offsets": place });
        header.insert(name.to_owned(), entry);
    }
    let header = Value::Object(header).to_string();
    let written = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    fs::write(path, written).unwrap();
    folder
}

#[test]
fn a_file_that_cannot_be_cut_into_pages_is_refused_and_put_in_order_when_it_is_converted() {
    let (folder, output) = (shuffled("shuffled"), fresh("shuffled-out"));
    let errors = catalog("build", &[&folder, &"-o", &output]).bad();
    assert!(errors.contains("[unsupported]") && errors.contains("sorted by name"), "{errors}");
    catalog("build", &[&folder, &"-o", &output, &"--dtype", &"f16"]).good();
    let in_order = fresh("shuffled-in-order");
    catalog("build", &[&expert("arithmetic"), &"-o", &in_order, &"--dtype", &"f16"]).good();
    let factors = |folder: &Path| tensors(&folder.join("experts/arithmetic/adapter_model.safetensors"));
    assert_eq!(factors(&output), factors(&in_order));
    catalog("check", &[&output]).good();
}
