//! `gander eval` as researchers use it: on the pilot ocean, interrupted, gone on with, given nonsense; and what prepares for it.
#![cfg(not(target_arch = "wasm32"))]

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};

use program::{Output, gander};
use serde_json::{Value, json};

/// A folder of its own for a test, empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("eval").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn ocean(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("www/demo/ocean").join(path).display().to_string()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A file of lines.
fn set(folder: &Path, name: &str, lines: &[Value]) -> String {
    let file = folder.join(name);
    fs::write(&file, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    shown(&file)
}

/// A copy of the pilot ocean's catalogue that may be changed.
fn copy_of_ocean(folder: &Path) -> String {
    let copy = folder.join("ocean");
    fn copy_all(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            match entry.path().is_dir() {
                true => copy_all(&entry.path(), &to.join(entry.file_name())),
                false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
            }
        }
    }
    copy_all(Path::new(&ocean("")), &copy);
    shown(&copy)
}

/// Evaluates on the CPU.
fn eval(base: &str, experts: &str, data: &[&str], output: &Path, more: &[&str]) -> Output {
    let output = shown(output);
    let mut arguments = vec!["eval", "--device", "cpu", "--base", base, "--experts", experts, "-o", &output];
    arguments.push("--data");
    arguments.extend(data);
    arguments.extend(more);
    gander(&arguments)
}

fn eval_ocean(data: &[&str], output: &Path, more: &[&str]) -> Output {
    eval(&ocean("base.gguf"), &ocean(""), data, output, more)
}

fn summary(output: &Path) -> Value {
    serde_json::from_slice(&fs::read(output.join("summary.json")).unwrap()).unwrap()
}

/// The figures of a strategy in a block.
fn figures<'a>(summary: &'a Value, block: &str, strategy: &str) -> &'a Value {
    let named = |list: &'a Value, field: &str, name: &str| {
        list.as_array()
            .unwrap()
            .iter()
            .find(|item| item[field] == name)
            .unwrap_or_else(|| panic!("no {name}"))
    };
    named(&named(&summary["blocks"], "name", block)["results"], "strategy", strategy)
}

#[test]
fn strategies_are_compared_with_intervals_and_a_run_goes_on_where_it_was() {
    let folder = folder("goes-on");
    let sets = [&ocean("eval/date.jsonl")[..], &ocean("eval/mixed.jsonl")];
    let first = folder.join("first");
    let strategies = ["--strategy", "phatgoose", "none", "oracle", "--limit", "6"];
    let output = eval_ocean(&sets, &first, &strategies);
    assert!(output.success, "{}", output.errors);
    assert!(output.out.contains("| phatgoose |") && output.out.contains("whole-input"), "{}", output.out);
    let whole = summary(&first);
    let dates = |strategy: &str| figures(&whole, "date", strategy)["score"]["mean"].as_f64().unwrap();
    assert!(dates("phatgoose") > dates("none"), "{} {}", dates("phatgoose"), dates("none"));
    assert!(dates("oracle") >= dates("single:date") && dates("oracle-set") == dates("single:date"));
    let of = |field: &str| &figures(&whole, "date", "phatgoose")[field];
    let [low, high] = ["low", "high"].map(|end| of("score")[end].as_f64().unwrap());
    assert!(low <= dates("phatgoose") && dates("phatgoose") <= high);
    assert!(of("bytes").as_f64().unwrap() > 0.0 && of("pages").as_f64().unwrap() > 0.0);
    let usage = of("usage").as_object().unwrap().values().map(|share| share.as_f64().unwrap()).sum::<f64>();
    assert!((usage - 1.0).abs() < 1e-3, "{usage}");
    assert!(of("usage")["date"].as_f64().unwrap() > 0.3 && of("oracle_weight").as_f64().unwrap() > 0.3);
    let html = fs::read_to_string(first.join("report.html")).unwrap();
    assert!(html.contains("<svg") && !html.contains("<script") && !html.contains("src="));

    // As if it had been stopped in the middle of a line.
    let journal = first.join("results.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, &text[..text.len() / 2]).unwrap();
    let output = eval_ocean(&sets, &first, &strategies);
    assert!(output.success && output.errors.contains("answers are there already"), "{}", output.errors);
    let strip = |summary: &Value| {
        let mut summary = summary.clone();
        for block in summary["blocks"].as_array_mut().unwrap() {
            block["results"]
                .as_array_mut()
                .unwrap()
                .iter_mut()
                .for_each(|figures| figures["milliseconds"] = json!(0));
        }
        summary
    };
    assert!(strip(&summary(&first)) == strip(&whole), "more than the time differs");

    // More strategies and values of k: what is there stays.
    let more = ["--strategy", "phatgoose", "random", "--top-k", "1", "3", "--limit", "6", "--threads", "2"];
    let output = eval_ocean(&sets, &first, &more);
    assert!(output.success, "{}", output.errors);
    let k1 = figures(&summary(&first), "date", "phatgoose k=1").clone();
    assert_eq!(k1["weight_entropy_bits"], json!(0.0));
    assert!(figures(&summary(&first), "mixed", "random k=3")["weight_entropy_bits"].as_f64().unwrap() > 1.5);

    // Another run's results are not mixed in.
    let output = eval_ocean(&sets, &first, &["--limit", "6", "--exclude", "time"]);
    assert!(!output.success && output.errors.contains("options differs"), "{}", output.errors);
    let output = eval_ocean(&sets, &first, &["--limit", "6", "--exclude", "time", "--restart"]);
    assert!(output.success, "{}", output.errors);
}

#[test]
fn choices_are_ranked_and_experts_that_a_line_names_are_the_oracle_s() {
    let folder = folder("choices");
    let line = |year: &str, answer: usize| {
        json!({
            "input": format!("starts on 20 Sep. {year}. Thanks"),
            "choices": [format!("starts on {year}-09-20. Thanks"), "starts on 13:45. Thanks"],
            "answer": answer,
            "expert": "date",
        })
    };
    // The second is wrong on purpose.
    let data = set(&folder, "years.jsonl", &[line("1966", 0), line("2011", 1)]);
    let others = folder.join("p3");
    fs::create_dir(&others).unwrap();
    let p3 = json!({
        "inputs": [3, 4], "inputs_pretokenized": "starts on 1 May 2001", "targets": [5], "targets_pretokenized": "\nstarts on 2001-05-01",
        "answer_choices": ["starts on 2001-05-01", "no"],
    });
    let tasksource = json!({
        "inputs": "starts on 1 May 2001", "targets": ["starts on 2001-05-01"], "multiple_choice_targets": ["x", "starts on 2001-05-01"],
        "multiple_choice_scores": [0, 1], "idx": 0,
    });
    let shapes = set(&others, "shapes.jsonl", &[p3, tasksource]);
    let output =
        eval_ocean(&[&data, &shapes], &folder.join("out"), &["--strategy", "single:date", "phatgoose"]);
    assert!(output.success, "{}", output.errors);
    let summary = summary(&folder.join("out"));
    assert_eq!(figures(&summary, "years", "single:date")["score"]["mean"], 0.5);
    assert_eq!(figures(&summary, "shapes", "single:date")["score"]["mean"], 1.0);
    assert_eq!(figures(&summary, "years", "single:date")["oracle_weight"], 1.0);
    assert!(figures(&summary, "years", "phatgoose")["oracle_weight"].as_f64().unwrap() > 0.4);
    let same_name = set(&folder, "shapes.jsonl", &[line("1966", 0)]);
    let output = eval_ocean(&[&same_name, &shapes], &folder.join("names"), &["--strategy", "none"]);
    assert!(output.success && output.out.contains("p3/shapes (2)"), "{}{}", output.out, output.errors);
    let output = eval_ocean(&[&shapes, &shapes], &folder.join("twice"), &[]);
    assert!(!output.success && output.errors.contains("every name once"), "{}", output.errors);
    // Folders of sets have figures too.
    assert!(
        summary["blocks"]
            .as_array()
            .unwrap()
            .iter()
            .any(|block| block["name"] == "p3" && block["kind"] == "folder")
    );
}

#[test]
fn bad_sets_are_named_with_file_and_line() {
    let folder = folder("bad");
    let good = r#"{"input": "a", "targets": ["b"]}"#;
    let long = format!(r#"{{"input": "a", "targets": ["{}"]}}"#, "word ".repeat(80));
    for (name, text, expected, line) in [
        ("json", format!("{good}\n{{\n"), "[invalid-file]", 2),
        ("array", "[1]".to_owned(), "it is no object", 1),
        ("nan", format!("{good}\n\n{{\"input\": NaN, \"targets\": [\"b\"]}}"), "[invalid-file]", 3),
        ("input", r#"{"targets": ["b"]}"#.to_owned(), "there is no input", 1),
        ("blank", r#"{"input": " ", "targets": ["b"]}"#.to_owned(), "[empty-input]", 1),
        ("targets", format!("{good}\n{{\"input\": \"a\"}}"), "neither targets nor choices", 2),
        ("kind", r#"{"input": "a", "targets": ["b", 3]}"#.to_owned(), "no list of texts", 1),
        (
            "answer",
            r#"{"input": "a", "choices": ["b"], "answer": 1}"#.to_owned(),
            "index of one of the 1 choices",
            1,
        ),
        (
            "right",
            r#"{"input": "a", "choices": ["b"], "target": "c"}"#.to_owned(),
            "which choice is right",
            1,
        ),
        ("long", format!("{good}\n{long}"), "at most 64 (--max-new-tokens)", 2),
    ] {
        let file = folder.join(format!("{name}.jsonl"));
        fs::write(&file, text).unwrap();
        let output = eval_ocean(&[&shown(&file)], &folder.join("out"), &[]);
        let place = format!("{name}.jsonl:{line}: ");
        assert!(!output.success && output.errors.contains(&place), "{name}: {}", output.errors);
        assert!(
            output.errors.contains(expected) && output.errors.lines().count() == 1,
            "{name}: {}",
            output.errors
        );
    }
    fs::write(folder.join("bytes.jsonl"), b"{}\n\xff\n").unwrap();
    fs::write(folder.join("empty.jsonl"), "\n \n").unwrap();
    fs::create_dir(folder.join("none")).unwrap();
    let good_file = set(&folder, "good.jsonl", &[json!({"input": "a", "target": "b"})]);
    let [bytes, empty, none] = ["bytes.jsonl", "empty.jsonl", "none"].map(|name| shown(&folder.join(name)));
    for (data, more, expected) in [
        (&bytes, &[][..], "bytes.jsonl:2"),
        (&empty, &[], "there is no example"),
        (&none, &[], "there is no set"),
        (&good_file, &["--strategy", "best"], "\"best\" is not a strategy"),
        (&good_file, &["--strategy", "single:nobody"], "there is no expert \"nobody\""),
        (&good_file, &["--strategy", "arrow"], "[missing-tensor]"),
        (&good_file, &["--against", "merged"], "\"merged\" is not evaluated"),
        (&good_file, &["--top-k", "0"], "[invalid-option]"),
    ] {
        let output = eval_ocean(&[data], &folder.join("out"), more);
        assert!(!output.success && output.errors.contains(expected), "{data} {more:?}: {}", output.errors);
    }
    fs::write(folder.join("out/results.jsonl"), "{\"strategy\": 1}\n").unwrap();
    let output = eval_ocean(&[&good_file], &folder.join("out"), &[]);
    assert!(!output.success && output.errors.contains("results.jsonl"), "{}", output.errors);
}

#[test]
fn a_catalogue_gets_vectors_and_rivals_can_be_evaluated() {
    let folder = folder("vectors");
    let catalog = copy_of_ocean(&folder);
    let base = ocean("base.gguf");
    let kinds = ["date", "time", "phone", "money", "email", "roman"];
    let examples: Vec<String> =
        kinds.iter().map(|kind| format!("{kind}={}", ocean(&format!("eval/{kind}.jsonl")))).collect();
    let mut arguments = vec!["catalog", "vectors", &catalog, "--base", &base, "--most", "10", "--examples"];
    arguments.extend(examples.iter().map(String::as_str));
    let output = gander(&arguments);
    assert!(output.success, "{}", output.errors);
    let output = gander(&["catalog", "check", &catalog, "--base", &base]);
    assert!(output.success, "{}", output.errors);

    let data = ocean("eval/money.jsonl");
    let rivals = ["average-activation", "arrow", "retrieval", "spectr", "merged", "random", "single:money"];
    let mut more = vec!["--limit", "10", "--exclude", "roman", "--model"];
    let another = format!("again={base}");
    more.extend([another.as_str(), "--strategy", "none"]);
    more.extend(rivals);
    let output = eval(&base, &catalog, &[&data], &folder.join("out"), &more);
    assert!(output.success, "{}", output.errors);
    let summary = summary(&folder.join("out"));
    let score = |strategy: &str| figures(&summary, "money", strategy)["score"]["mean"].as_f64().unwrap();
    assert_eq!(score("again"), score("none"), "the base itself, as another model");
    assert_eq!(score("retrieval"), score("single:money"), "its lines are most like its own");
    assert_eq!(figures(&summary, "money", "retrieval")["usage"], json!({ "money": 1.0 }));
    assert!(score("single:money") > 0.5 && score("average-activation") > score("none"));
    let even = figures(&summary, "money", "merged")["usage"].clone();
    for expert in ["date", "time", "phone", "money", "email"] {
        assert!((even[expert].as_f64().unwrap() - 0.2).abs() < 1e-3, "{even}");
    }

    // A file that is not the one that the catalogue describes; a key of nobody's; another set of experts.
    let arrow = Path::new(&catalog).join("arrow.safetensors");
    let whole = fs::read(&arrow).unwrap();
    fs::write(&arrow, &whole[..whole.len() - 4]).unwrap();
    let ask = ["generate", "--base", &base, "--experts", &catalog, "--text", "a", "--strategy", "arrow"];
    let output = gander(&ask);
    assert!(!output.success && output.errors.contains("[page-mismatch]"), "{}", output.errors);
    let output = gander(&["catalog", "check", &catalog]);
    assert!(!output.success && output.errors.contains("arrow.safetensors"), "{}", output.errors);
    let output = gander(&["catalog", "remove", &catalog, "roman"]);
    assert!(
        output.success && output.errors.contains("gander catalog vectors makes new ones"),
        "{}",
        output.errors
    );
    let output = gander(&ask);
    assert!(!output.success && output.errors.contains("no vectors for it"), "{}", output.errors);
}

#[test]
fn vectors_that_cannot_be_made_are_named() {
    let folder = folder("no-vectors");
    let (catalog, base) = (copy_of_ocean(&folder), ocean("base.gguf"));
    let date = format!("date={}", ocean("eval/date.jsonl"));
    let nobody = date.replace("date=", "nobody=");
    for (more, expected) in [
        (&["--strategy", "retrieval", "--examples", &date][..], "no examples of the expert \"time\""),
        (&["--strategy", "merged"], "merged needs no vectors"),
        (&["--examples", &nobody], "there is no expert \"nobody\""),
        (&["--examples", "date"], "expected an expert's id"),
    ] {
        let output = gander(&[&["catalog", "vectors", &catalog, "--base", &base][..], more].concat());
        assert!(!output.success && output.errors.contains(expected), "{more:?}: {}", output.errors);
    }
    assert!(!Path::new(&catalog).join("retrieval.safetensors").exists());
}

#[test]
fn a_big_bench_task_becomes_a_set() {
    let folder = folder("big-bench");
    let task = folder.join("task.json");
    let write = |task_json: &Value| fs::write(&task, task_json.to_string()).unwrap();
    // Made up, in the form of BIG-bench's JSON tasks. The order of the choices is that of the file.
    let choices = r#""target_scores": {"zebra": 0, "ant": 1, "bee": 0.5}"#;
    let text = format!(
        r#"{{"name": "animals", "description": "d", "keywords": ["k"], "metrics": ["multiple_choice_grade"],
            "preferred_score": "multiple_choice_grade", "task_prefix": "Pick one.\n", "append_choices_to_input": true,
            "examples": [{{"input": "Which is small?", {choices}, "comment": "c"}},
                         {{"input": "Say a or b.", "target": ["a", "b"]}}, {{"input": "Say c.", "target": "c"}}]}}"#
    );
    fs::write(&task, text).unwrap();
    let file = shown(&folder.join("animals.jsonl"));
    let output = gander(&["convert", &shown(&task), "-o", &file]);
    assert!(output.success, "{}", output.errors);
    let lines: Vec<Value> =
        fs::read_to_string(&file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines[0],
        json!({
            "input": "Pick one.\n\nQ: Which is small?\n  choice: zebra\n  choice: ant\n  choice: bee\nA: ",
            "kind": "animals", "choices": ["zebra", "ant", "bee"], "answer": [1],
        })
    );
    assert_eq!(lines[1]["input"], "Pick one.\n\nQ: Say a or b.\nA: ");
    assert_eq!((&lines[1]["targets"], &lines[2]["targets"]), (&json!(["a", "b"]), &json!(["c"])));
    let output = gander(&["convert", &shown(&task), "-o", &file, "--suffix", "\nAnswer:"]);
    assert!(
        output.success && fs::read_to_string(&file).unwrap().contains("Say c.\\nAnswer:"),
        "{}",
        output.errors
    );
    let output = eval_ocean(&[&file], &folder.join("out"), &["--strategy", "none"]);
    assert!(output.success, "{}", output.errors);

    for (task_json, expected) in [
        (json!({"name": "x"}), "examples"),
        (json!({"name": "x", "examples": []}), "there is no example"),
        (json!({"name": "x", "examples": [{"input": "a"}]}), "example 0"),
        (
            json!({"name": "x", "examples": [{"input": "a", "target_scores": {"b": 0}}]}),
            "no choice has a score above 0",
        ),
        (json!({"name": "x", "examples": [{"input": "a", "target_scores": {"b": "c"}}]}), "[invalid-file]"),
    ] {
        write(&task_json);
        let output = gander(&["convert", &shown(&task), "-o", &file]);
        assert!(!output.success && output.errors.contains(expected), "{task_json}: {}", output.errors);
    }
}

/// Two contributors' experts over one base, on lines that neither can clean alone.
#[test]
fn the_experts_of_two_contributors_share_a_line() {
    let sixteen =
        |path: &str| shown(&Path::new(env!("CARGO_MANIFEST_DIR")).join("www/demo/sixteen").join(path));
    let (base, fields, words) =
        (sixteen("base.gguf"), sixteen("catalog.json"), sixteen("words/catalog.json"));
    let answer = |experts: &[&str], text: &str| {
        let arguments = [&["generate", "--base", &base, "--experts"], experts, &["--text", text]].concat();
        gander(&arguments).out.trim().to_owned()
    };
    let text = "made in Deutschland, see chapter XIV, thx";
    assert_eq!(answer(&[&fields, &words], text), "made in DE, see chapter 14, thanks");
    assert_ne!(answer(&[&fields], text), "made in DE, see chapter 14, thanks");
    for catalog in [&fields, &words] {
        let output = gander(&["catalog", "check", catalog, "--base", &base]);
        assert!(output.success, "{}", output.errors);
    }
    let folder = folder("sixteen");
    let data = sixteen("eval/composite/2.jsonl");
    let arguments = ["eval", "--base", &base, "--experts", &fields, &words, "--data", &data, "--limit", "40"];
    let more = ["--strategy", "phatgoose", "gated", "merged", "-o", &shown(&folder)];
    assert!(gander(&[&arguments[..], &more[..]].concat()).success);
    let summary: Value = serde_json::from_slice(&fs::read(folder.join("summary.json")).unwrap()).unwrap();
    let scores = summary["blocks"][0]["results"].as_array().unwrap();
    let [routed, gated, merged] = [0, 1, 2].map(|at| scores[at]["score"]["mean"].as_f64().unwrap());
    assert!(routed > 0.5 && gated > 0.5 && merged < 0.05, "{routed} {gated} {merged}");
}
