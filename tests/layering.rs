//! The lines that ARCHITECTURE.md draws, held by reading the source.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|end| end == extension) {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join(folder), extension, &mut found);
    assert!(!found.is_empty(), "no {extension} files in {folder}");
    found.sort();
    let name = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// Lines of code, without comments and without tests at a file's end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The first parts of all `crate::` paths in some code.
fn uses(code: &str) -> BTreeSet<&str> {
    code.match_indices("crate::")
        .map(|(at, found)| {
            let rest = &code[at + found.len()..];
            &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())]
        })
        .collect()
}

#[test]
fn only_web_rs_names_the_browser() {
    for (name, text) in files("src", "rs") {
        if name == "src/web.rs" || name.starts_with("src/web/") {
            continue;
        }
        for word in ["wasm_bindgen", "js_sys", "web_sys", "serde_wasm_bindgen"] {
            assert!(!code(&text).contains(word), "{name} names {word}; only src/web.rs and src/web/ may");
        }
    }
}

#[test]
fn only_the_gpu_device_names_wgpu() {
    for (name, text) in files("src", "rs") {
        assert!(name.starts_with("src/device/gpu/") || !code(&text).contains("wgpu"), "{name} names wgpu");
    }
}

/// Imports run one way: web → session → t5 → router → kernels → recording → tensor.
#[test]
fn imports_run_one_way() {
    let order = ["tensor", "recording", "kernels", "router", "t5", "session", "web"];
    for (name, text) in files("src", "rs") {
        let module = name.trim_start_matches("src/").split(['/', '.']).next().unwrap();
        let Some(level) = order.iter().position(|layer| *layer == module) else { continue };
        for above in &order[level + 1..] {
            assert!(!uses(&code(&text)).contains(above), "{name} uses {above}, which is above it");
        }
    }
}

#[test]
fn the_model_knows_no_device_s_kind_and_the_device_knows_no_model() {
    for (name, text) in files("src", "rs") {
        let code = code(&text);
        if name == "src/device.rs" || name.starts_with("src/device/") {
            for model in ["t5", "router", "session", "experts", "formats", "kernels"] {
                assert!(!uses(&code).contains(model), "{name} uses {model}");
            }
        }
        if name.starts_with("src/t5") || name == "src/router.rs" || name.starts_with("src/kernels") {
            assert!(!code.contains("Cpu") && !code.contains("Gpu"), "{name} asks which device it is on");
        }
    }
}

/// Rust never fetches; files are read in few places, none of which is built for the browser.
#[test]
fn only_the_command_line_and_the_opening_of_bases_read_files() {
    for (name, text) in files("src", "rs") {
        let may = name.starts_with("src/cli") || name == "src/formats/open.rs";
        assert!(may || !code(&text).contains("std::fs"), "{name} reads files");
        assert!(!code(&text).contains("std::net"), "{name} uses the network");
    }
}

/// TypeScript never computes: no arithmetic on tensors, so no typed arrays of floats are made there but those of a trace,
/// whose weights people ask for as numbers.
#[test]
fn typescript_makes_no_tensors() {
    let of_traces = [
        "www/src/packed_routing.ts",
        "www/src/trace_data.ts",
        "www/src/trace_files.ts",
        "www/src/routing_table.ts",
    ];
    for (name, text) in files("www/src", "ts") {
        if of_traces.contains(&name.as_str()) {
            continue;
        }
        for word in ["Float32Array", "Float64Array", "Float16Array"] {
            assert!(!code(&text).contains(word), "{name} computes with {word}");
        }
    }
}

/// The demo shows what a stranger could build: it imports the public entries alone.
#[test]
fn the_demo_uses_the_public_api_alone() {
    for (name, text) in files("www/demo", "ts") {
        for line in text.lines().filter(|line| line.contains(" from \"")) {
            let from = line.split(" from \"").nth(1).unwrap().trim_end_matches("\";");
            let own = from.starts_with("./");
            assert!(own || from == "gander" || from.starts_with("gander/"), "{name} imports {from}");
        }
    }
}

/// Nothing forbids unsafe code better than the compiler; this holds the line that asks it to, and its two exceptions.
#[test]
fn unsafe_code_is_denied_but_where_processors_and_threads_are_told_what_to_do() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"deny\""));
    for (name, text) in files("src", "rs") {
        let code = code(&text);
        let may = ["src/processor.rs", "src/threads/pool.rs"].contains(&name.as_str());
        assert!(may || !code.contains("unsafe"), "{name} has unsafe code");
        assert!(!code.contains("allow(unsafe_code"), "{name} allows unsafe code");
    }
}
