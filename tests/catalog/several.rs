//! Several catalogues at once: whose names and whose defaults count.

use std::path::PathBuf;

use gander::ErrorCode;
use gander::session::{Request, Session};
use serde_json::{Value, json};

use crate::folders::{CASE, base, build, expert, gander, gates, golden, json, parse, session};
use crate::support::{Case, answer};

/// Two catalogues that both have arithmetic.
fn two(test: &str) -> [PathBuf; 2] {
    let (arithmetic, chemistry) = (expert("arithmetic"), expert("chemistry"));
    [
        build(&format!("{test}-sums"), "sums", &[&arithmetic, &chemistry]),
        build(&format!("{test}-school"), "school", &[&arithmetic, &expert("late_blocks")]),
    ]
}

fn ids(session: &Session) -> Vec<&str> {
    session.experts().iter().map(|expert| expert.id.as_str()).collect()
}

/// Provides every page from the expert's own folder, whatever its expert is called here.
fn provide_all(session: &mut Session) {
    for page in 0..session.page_count() {
        let (id, description) = session.page(page).unwrap();
        let own = id.rsplit('/').next().unwrap();
        let file = golden(&format!("{CASE}/experts/{own}/adapter_model.safetensors"));
        let range = description.range.start as usize..description.range.end as usize;
        session.provide(page, &std::fs::read(file).unwrap()[range]).unwrap();
    }
}

#[test]
fn an_id_that_is_there_once_is_short_and_one_that_is_there_twice_has_its_catalogue_before_it() {
    let mut session = session();
    let [sums, school] = two("names");
    session.add_catalog(&parse(&json(&sums)).unwrap(), &gates(&sums)).unwrap();
    assert_eq!(ids(&session), ["arithmetic", "chemistry"]);
    session.add_catalog(&parse(&json(&school)).unwrap(), &gates(&school)).unwrap();
    assert_eq!(ids(&session), ["sums/arithmetic", "chemistry", "school/arithmetic", "late_blocks"]);
    let case = Case::load(CASE);
    let include = |id: &str| Request { include: vec![id.to_owned()], ..case.request(2) };
    // A full name is always taken, a short one where it is one expert's alone.
    for id in ["sums/arithmetic", "school/late_blocks", "sums/chemistry", "chemistry"] {
        session.start(include(id)).unwrap();
        session.start(Request { bias: [(id.to_owned(), 1.0)].into(), ..case.request(2) }).unwrap();
    }
    for id in ["arithmetic", "school/chemistry", "sums/", "/arithmetic"] {
        let error = session.start(include(id)).unwrap_err();
        assert_eq!(error.code, ErrorCode::UnknownExpert);
        assert!(error.expected.contains("sums/arithmetic, chemistry, school/arithmetic"), "{error}");
    }
}

#[test]
fn experts_of_two_catalogues_answer_as_those_of_one() {
    let [arithmetic, chemistry, late] = ["arithmetic", "chemistry", "late_blocks"].map(expert);
    let one = build("one", "all", &[&arithmetic, &chemistry, &late]);
    let two = [build("two-a", "a", &[&arithmetic]), build("two-b", "b", &[&chemistry, &late])];
    let case = Case::load(CASE);
    let answer_of = |folders: &[PathBuf]| {
        let mut session = session();
        for folder in folders {
            session.add_catalog(&parse(&json(folder)).unwrap(), &gates(folder)).unwrap();
        }
        provide_all(&mut session);
        answer(&mut session, case.request(2))
    };
    let (found, expected) = (answer_of(&two), answer_of(&[one]));
    assert_eq!(found.output_ids, expected.output_ids);
    assert_eq!(found.routing, expected.routing);
    assert_eq!(found.values["logits"], expected.values["logits"]);
}

#[test]
fn a_folder_s_expert_keeps_its_id() {
    let mut session = session();
    let [sums, _] = two("folder");
    session.add_experts(vec![crate::support::expert(&format!("{CASE}/experts/arithmetic"))]).unwrap();
    session.add_catalog(&parse(&json(&sums)).unwrap(), &gates(&sums)).unwrap();
    assert_eq!(ids(&session), ["arithmetic", "sums/arithmetic", "chemistry"]);
}

#[test]
fn the_same_catalogue_twice_is_refused_and_changes_nothing() {
    let mut session = session();
    let [sums, _] = two("twice");
    let (catalog, gates) = (parse(&json(&sums)).unwrap(), gates(&sums));
    session.add_catalog(&catalog, &gates).unwrap();
    let error = session.add_catalog(&catalog, &gates).unwrap_err();
    assert!(error.code == ErrorCode::InvalidFile && error.place.contains("sums/arithmetic"), "{error}");
    assert_eq!(ids(&session), ["arithmetic", "chemistry"]);
}

#[test]
fn the_first_catalogue_s_k_counts() {
    let [sums, school] = two("defaults");
    let with_k = |folder: &PathBuf, k: usize| {
        let mut catalog = json(folder);
        catalog["router"]["top_k"] = json!(k);
        (parse(&catalog).unwrap(), gates(folder))
    };
    for (first, second) in [(1, 2), (2, 1)] {
        let mut session = session();
        session.add_experts(vec![crate::support::expert(&format!("{CASE}/experts/Paraphrase"))]).unwrap();
        for (catalog, gates) in [with_k(&sums, first), with_k(&school, second)] {
            session.add_catalog(&catalog, &gates).unwrap();
        }
        provide_all(&mut session);
        let case = Case::load(CASE);
        let found = answer(&mut session, Request { top_k: None, ..case.request(2) });
        let most = found.routing.iter().map(|choice| choice.experts.len()).max();
        assert_eq!(most, Some(first));
    }
}

#[test]
fn the_command_line_takes_catalogues_and_folders_together() {
    let [sums, school] = two("command-line");
    let (base, folder, file) = (base(), expert("Paraphrase"), school.join("catalog.json"));
    let paths = [&base, &sums, &file, &folder].map(|path| path.to_str().unwrap());
    let [base, sums, school, folder] = paths;
    let arguments = ["generate", "--base", base, "--experts", sums, "--experts", school, folder];
    let rest = ["--input-ids", "5,9,1", "--top-k", "9", "--json", "--trace", "--device", "cpu"];
    let report: Value = serde_json::from_str(&gander(arguments.iter().chain(&rest)).good()).unwrap();
    let mut chosen: Vec<&str> = (report["routing"].as_array().unwrap().iter())
        .flat_map(|choice| choice["experts"].as_array().unwrap())
        .map(|id| id.as_str().unwrap())
        .collect();
    chosen.sort_unstable();
    chosen.dedup();
    assert_eq!(chosen, ["Paraphrase", "chemistry", "late_blocks", "school/arithmetic", "sums/arithmetic"]);
}

#[test]
fn the_catalogue_that_is_for_another_base_is_named() {
    let [sums, _] = two("other-base");
    let one = crate::folders::fresh("other-base-one");
    let (base_one, only) = (golden("v11_one/base"), golden("v11_one/experts/only"));
    let build: [&dyn AsRef<std::ffi::OsStr>; 7] =
        [&"catalog", &"build", &"--base", &base_one, &only, &"-o", &one];
    gander(build).good();
    let base = base();
    let paths = [&base, &sums, &one].map(|path| path.to_str().unwrap());
    let arguments = ["generate", "--base", paths[0], "--input-ids", "1", "--experts", paths[1], paths[2]];
    let errors = gander(arguments).bad();
    assert!(errors.contains("[wrong-base]") && errors.contains(paths[2]), "{errors}");
    assert!(!errors.contains(paths[1]), "{errors}");
}
