//! The rules for URLs in a catalogue.

use gander::ErrorCode;
use gander::catalog::location::Location;

#[test]
fn files_in_the_catalogue_s_folder_and_below_are_beside_it() {
    for (url, names) in [
        ("gates.safetensors", vec!["gates.safetensors"]),
        ("experts/date/adapter_model.safetensors", vec!["experts", "date", "adapter_model.safetensors"]),
        ("a%20b/%C3%A9.safetensors", vec!["a b", "é.safetensors"]),
        ("file.safetensors?download=true", vec!["file.safetensors"]),
        ("...", vec!["..."]),
        ("100%25/x", vec!["100%", "x"]),
    ] {
        assert_eq!(
            Location::of(url),
            Ok(Location::Beside(names.iter().map(|name| name.to_string()).collect()))
        );
    }
}

#[test]
fn http_and_https_lead_anywhere() {
    for url in [
        "https://cdn.example/x/adapter_model.safetensors",
        "HTTP://localhost:8000/x",
        "https://huggingface.co/o/r/resolve/main/adapter_model.safetensors?download=true",
        "https://[::1]/x",
        "https://cdn.example/a@b",
    ] {
        assert_eq!(Location::of(url), Ok(Location::Web), "{url}");
    }
}

#[test]
fn everything_else_is_refused_by_name() {
    for url in [
        "",
        " gates",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "data:,x",
        "blob:https://x/y",
        "javascript:alert(1)",
        "ftp://host/x",
        "C:/Windows/x",
        "https:gates",
        "https:///etc/passwd",
        "https://?x",
        "https://name:password@host/x",
        "https://name@host/x",
        "//host/x",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/./x",
        "a//x",
        "a/",
        "%2e%2e/x",
        "a/%2E%2E/%2e%2e/x",
        "a%2Fb/x",
        "..%2f..%2fx",
        "..\\x",
        "a%5C..%5Cx",
        "a%00b",
        "%ff",
        "a#b",
        "a b",
        "a\nb",
        "é",
        "a%3Ab",
    ] {
        let error = Location::of(url).expect_err(url);
        assert_eq!(error.code, ErrorCode::InvalidFile, "{error}");
        assert!(error.place.contains(&format!("{url:?}")), "{error}");
    }
}

#[test]
fn names_of_any_kind_survive_their_url() {
    for name in ["plain", "with space", "é", "100%", "a#b?c", "a&b=c", "%2e%2e"] {
        let url = Location::relative_url(&["experts", name, "adapter_model.safetensors"]);
        let names = ["experts", name, "adapter_model.safetensors"].map(str::to_owned).to_vec();
        assert_eq!(Location::of(&url), Ok(Location::Beside(names)), "{url}");
    }
}
