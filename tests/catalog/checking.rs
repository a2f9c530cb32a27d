//! `gander catalog check`: a good catalogue passes, and of a bad one every problem is named.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::folders::{base, build, build_all, catalog, copy, expert, fresh, gander, golden, json};

fn check(folder: &Path) -> crate::folders::Output {
    catalog("check", &[&folder])
}

fn write(folder: &Path, catalog: &Value) {
    fs::write(folder.join("catalog.json"), catalog.to_string()).unwrap();
}

#[test]
fn a_good_catalogue_passes_with_a_line_for_each_expert() {
    let folder = build_all("check-good");
    let out = check(&folder).good();
    for expert in json(&folder)["experts"].as_array().unwrap() {
        let line = out.lines().find(|line| line.starts_with(expert["id"].as_str().unwrap())).unwrap();
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells[1], expert["pages"].as_array().unwrap().len().to_string());
        assert_eq!(cells[2], expert["adapter"]["bytes"].to_string());
        let type_of_first = expert["pages"][0]["modules"][0]["a"]["dtype"].as_str().unwrap();
        assert_eq!([cells[3], cells[6], cells[7]], [type_of_first, "read", "0"], "{line}");
    }
    // Without a base all but that is checked.
    assert!(gander(["catalog", "check", folder.to_str().unwrap()]).good().contains("no --base"));
}

#[test]
fn the_shipped_ocean_passes() {
    let ocean = Path::new(env!("CARGO_MANIFEST_DIR")).join("www/demo/ocean");
    let (ocean, base) = (ocean.to_str().unwrap(), ocean.join("base.gguf"));
    gander(["catalog", "check", ocean, "--base", base.to_str().unwrap()]).good();
}

#[test]
fn a_catalogue_may_insist_on_one_base_file() {
    let folder = fresh("pinned");
    let base = base();
    let (base, expert) = (base.to_str().unwrap(), expert("arithmetic"));
    let build = |base: &str| {
        let (expert, folder) = (expert.to_str().unwrap(), folder.to_str().unwrap());
        gander(["catalog", "build", "--base", base, expert, "-o", folder, "--pin-base"])
    };
    assert!(build(base).bad().contains("--pin-base: the base is a folder"));

    let quantized = |name: &str, kind: &str| {
        let file = fresh(name).with_extension("gguf");
        gander(["quantize", base, "-o", file.to_str().unwrap(), "--type", kind]).good();
        file.to_str().unwrap().to_owned()
    };
    let (one, other) = (quantized("pinned-one", "f16"), quantized("pinned-other", "q8_0"));
    build(&one).good();
    assert_eq!(json(&folder)["base"]["sha256"].as_str().unwrap().len(), 64);
    let check = |base: &str| gander(["catalog", "check", folder.to_str().unwrap(), "--base", base]);
    check(&one).good();
    for wrong in [other.as_str(), base] {
        let errors = check(wrong).bad();
        assert!(errors.contains("in the file with SHA-256") && errors.contains("[wrong-base]"), "{errors}");
    }

    let mut catalogue = json(&folder);
    catalogue["base"]["sha256"] = json!("12");
    write(&folder, &catalogue);
    assert!(check(&one).bad().contains("base: sha256: is \"12\""));
}

#[test]
fn every_problem_is_a_line_of_its_own() {
    let folder = build_all("check-bad");
    let mut catalogue = json(&folder);
    let expert = |catalogue: &Value, at: usize| {
        folder.join(catalogue["experts"][at]["adapter"]["url"].as_str().unwrap())
    };
    // A file altered, one cut, one gone, one whose configuration says another scale.
    let altered = expert(&catalogue, 0);
    let mut bytes = fs::read(&altered).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&altered, bytes).unwrap();
    let cut = expert(&catalogue, 1);
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    fs::remove_file(expert(&catalogue, 2)).unwrap();
    let config = expert(&catalogue, 3).with_file_name("adapter_config.json");
    let mut fields: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    fields["lora_alpha"] = json!(77);
    fs::write(&config, fields.to_string()).unwrap();
    // And the catalogue itself.
    catalogue["router"]["top_k"] = json!(0);
    catalogue["experts"][4]["adapter"]["url"] = json!("../outside.safetensors");
    write(&folder, &catalogue);

    let output = check(&folder);
    let table = output.out.clone();
    let errors = output.bad();
    let id = |at: usize| catalogue["experts"][at]["id"].as_str().unwrap();
    let expected = [
        ("router.top_k", "[invalid-file]".to_owned()),
        ("SHA-256", format!("expert {:?}", id(0))),
        ("bytes, as the catalogue says", format!("expert {:?}", id(1))),
        ("[io]", format!("expert {:?}", id(2))),
        ("which adapter_config.json gives", format!("expert {:?}", id(3))),
        ("it leaves the catalogue's folder", format!("expert {:?}", id(4))),
        ("named above", "problems".to_owned()),
    ];
    for (word, other) in expected {
        let line = errors.lines().find(|line| line.contains(word) && line.contains(&other));
        let line = line.unwrap_or_else(|| panic!("{word:?} with {other:?} is not in:\n{errors}"));
        assert!(line.starts_with("gander: ") && line.contains("; expected "), "{line}");
    }
    for at in 0..5 {
        let line = table.lines().find(|line| line.starts_with(id(at))).unwrap();
        assert_ne!(line.split_whitespace().last(), Some("0"), "{line}");
    }
}

#[test]
fn missing_and_untrained_gates_are_named() {
    let folder = build("check-gates", "experts", &[&expert("arithmetic"), &expert("chemistry")]);
    let mut catalogue = json(&folder);
    let bytes = fs::read(folder.join("gates.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    // All of one expert's are gone, and one of the other's is zeros.
    let kept: Vec<(String, Vec<u8>)> = (file.iter())
        .filter(|(key, _)| key.starts_with("arithmetic/"))
        .map(|(key, view)| (key.to_owned(), view.data().to_vec()))
        .collect();
    let zeroed = kept.iter().map(|(key, _)| key.clone()).min().unwrap();
    let kept: Vec<(String, Vec<u8>)> = kept
        .into_iter()
        .map(|(key, bytes)| (key.clone(), if key == zeroed { vec![0; bytes.len()] } else { bytes }))
        .collect();
    let views = kept.iter().map(|(key, bytes)| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![bytes.len() / 4], bytes);
        (key, view.unwrap())
    });
    let gates = safetensors::serialize(views, None).unwrap();
    catalogue["gates"]["bytes"] = json!(gates.len());
    catalogue["gates"]["sha256"] = json!(gander::experts::hex(&gander::experts::sha256(&gates)));
    fs::write(folder.join("gates.safetensors"), gates).unwrap();
    write(&folder, &catalogue);
    let errors = check(&folder).bad();
    assert!(errors.contains("expert \"chemistry\": gates: there is none"), "{errors}");
    let module = zeroed.trim_start_matches("arithmetic/").trim_end_matches(".lora_gate.weight");
    assert!(errors.contains(&format!("expert \"arithmetic\": {module}, gate: it is all zeros")), "{errors}");
    assert_eq!(errors.lines().count(), 3, "{errors}");
}

#[test]
fn pages_that_lie_about_the_file_are_named() {
    let folder = build("check-lies", "experts", &[&expert("arithmetic")]);
    let mut catalogue = json(&folder);
    let page = &mut catalogue["experts"][0]["pages"][0];
    // A and B change places: the same bytes, the same hash, another meaning.
    let module = &mut page["modules"][0];
    let (a, b) = (module["a"]["offset"].clone(), module["b"]["offset"].clone());
    let bytes =
        |factor: &Value| 4 * factor["shape"][0].as_u64().unwrap() * factor["shape"][1].as_u64().unwrap();
    module["b"]["offset"] = a.clone();
    module["a"]["offset"] = json!(a.as_u64().unwrap() + bytes(&module["b"]));
    assert!(b.as_u64().unwrap() > 0);
    let last = catalogue["experts"][0]["pages"].as_array_mut().unwrap().pop().unwrap();
    write(&folder, &catalogue);
    let errors = check(&folder).bad();
    assert!(errors.contains("factor A") && errors.contains("as in the file"), "{errors}");
    let lost = last["modules"][0]["module"].as_str().unwrap();
    assert!(errors.contains(lost) && errors.contains("no page has it"), "{errors}");
}

#[test]
fn another_base_is_named() {
    let folder = build("check-base", "experts", &[&expert("arithmetic")]);
    let other = golden("v11_one/base");
    let arguments: [&dyn AsRef<std::ffi::OsStr>; 5] = [&"catalog", &"check", &folder, &"--base", &other];
    let errors = gander(arguments).bad();
    assert!(errors.contains("[wrong-base]") && errors.lines().count() == 2, "{errors}");
}

#[test]
fn what_is_elsewhere_is_said_to_be_unread_and_a_copy_is_compared() {
    let folder = fresh("check-elsewhere");
    let hosted = "arithmetic=https://host/adapter_model.safetensors";
    catalog("build", &[&expert("arithmetic"), &"-o", &folder, &"--url", &hosted]).good();
    let out = check(&folder).good();
    assert!(out.contains("elsewhere") && out.contains("--copies"), "{out}");
    let copied = fresh("check-copy").join("arithmetic");
    copy(&expert("arithmetic"), &copied);
    assert!(catalog("check", &[&folder, &"--copies", &copied]).good().contains("read"));
    let file = copied.join("adapter_model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    assert!(catalog("check", &[&folder, &"--copies", &copied]).bad().contains("SHA-256"));
}

#[test]
fn what_is_no_catalogue_is_one_line() {
    let folder = fresh("check-none");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("catalog.json"), "<!doctype html>").unwrap();
    for (path, code) in
        [(folder.clone(), "[invalid-file]"), (folder.join("absent"), "[io]"), (base(), "[io]")]
    {
        let errors = gander(["catalog", "check", path.to_str().unwrap()]).bad();
        assert!(errors.lines().count() == 1 && errors.trim_end().ends_with(code), "{errors}");
    }
}
