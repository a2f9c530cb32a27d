//! Catalogues in folders of their own, made by the program from a golden case.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gander::catalog::Catalog;
use serde_json::Value;

use crate::support::{self, Case};

/// A base with five experts, each with its own rank, layers and options.
pub const CASE: &str = "v11_gated";

pub fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(path)
}

pub fn base() -> PathBuf {
    golden(CASE).join("base")
}

/// The PEFT folder of one of the case's experts.
pub fn expert(id: &str) -> PathBuf {
    golden(CASE).join("experts").join(id)
}

/// A path that does not exist yet.
pub fn fresh(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("catalog-{name}"));
    let _ = fs::remove_dir_all(&folder);
    folder
}

/// What the program said.
pub struct Output {
    pub success: bool,
    pub out: String,
    pub errors: String,
}

/// Runs the program; its arguments are separated by line ends or given one by one.
pub fn gander<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_gander"))
        .args(arguments)
        .env("XDG_RUNTIME_DIR", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Output { success: output.status.success(), out: text(output.stdout), errors: text(output.stderr) }
}

impl Output {
    /// The output of a program that succeeded.
    #[track_caller]
    pub fn good(self) -> String {
        assert!(self.success, "{}", self.errors);
        self.out
    }

    /// The errors of a program that failed.
    #[track_caller]
    pub fn bad(self) -> String {
        assert!(!self.success, "{}", self.out);
        self.errors
    }
}

/// `gander catalog COMMAND --base …` on the case's base.
pub fn catalog(command: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    let base = base();
    let start: [&dyn AsRef<std::ffi::OsStr>; 4] = [&"catalog", &command, &"--base", &base];
    gander(start.iter().chain(arguments))
}

/// A catalogue of experts in a new folder.
pub fn build(test: &str, name: &str, experts: &[&Path]) -> PathBuf {
    let folder = fresh(test);
    let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"--name", &name, &"-o", &folder];
    for expert in experts {
        arguments.push(expert);
    }
    catalog("build", &arguments).good();
    folder
}

/// A catalogue of all the case's experts.
pub fn build_all(test: &str) -> PathBuf {
    let experts: Vec<PathBuf> = Case::load(CASE).experts.iter().map(|path| golden(CASE).join(path)).collect();
    let experts: Vec<&Path> = experts.iter().map(PathBuf::as_path).collect();
    build(test, "experts", &experts)
}

pub fn json(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("catalog.json")).unwrap()).unwrap()
}

pub fn gates(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("gates.safetensors")).unwrap()
}

pub fn parse(catalog: &Value) -> gander::Result<Catalog> {
    Catalog::parse("catalog.json", catalog.to_string().as_bytes())
}

/// A session over the case's base, without experts.
pub fn session() -> gander::session::Session {
    let base = support::base_without_text(support::checkpoint(&format!("{CASE}/base")));
    gander::session::Session::new(base).unwrap()
}

/// Provides every page of a session from the files of one folder.
pub fn make_resident(session: &mut gander::session::Session, folder: &Path) {
    for page in 0..session.page_count() {
        let (_, description) = session.page(page).unwrap();
        let file = fs::read(folder.join(&description.file)).unwrap();
        let bytes = &file[description.range.start as usize..description.range.end as usize];
        session.provide(page, bytes).unwrap();
    }
}

/// The files of a folder and below, by their paths in it.
pub fn contents(folder: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut std::collections::BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(root, &path, found),
                false => {
                    found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
                }
            }
        }
    }
    let mut found = std::collections::BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// Copies a folder of files.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for (name, bytes) in contents(from) {
        fs::write(to.join(name), bytes).unwrap();
    }
}
