//! The rules about the source itself: imports never point upwards, and what is generated is current.

use std::fs;
use std::path::{Path, PathBuf};

/// Rows of ARCHITECTURE.md: a module may import from its own row and from those before it.
const ROWS: [&[&str]; 6] = [
    &["model", "error", "guard", "files"],
    &["config", "journal", "telemetry"],
    &["store", "providers", "server"],
    &["act"],
    &["tasks", "ui"],
    &["cli", "lib", "main"],
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn row(module: &str) -> usize {
    ROWS.iter()
        .position(|row| row.contains(&module))
        .unwrap_or_else(|| panic!("src/{module} is in no row of ARCHITECTURE.md and of this test"))
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn imports_never_point_upwards() {
    let src = root().join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 20);
    let mut wrong = Vec::new();
    for file in files {
        let place = file.strip_prefix(&src).unwrap();
        let module = place
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs");
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            for (at, _) in line.match_indices("crate::") {
                let name: String = line[at + 7..]
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let is_module = ROWS.iter().any(|row| row.contains(&name.as_str()));
                if is_module && row(&name) > row(module) {
                    wrong.push(format!("src/{}:{}: {}", place.display(), number + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports that point upwards:\n{}", wrong.join("\n"));
}

#[test]
fn the_model_is_pure() {
    let mut files = Vec::new();
    sources(&root().join("src/model"), &mut files);
    for file in files.iter().filter(|f| !f.ends_with("tests.rs")) {
        let text = fs::read_to_string(file).unwrap();
        for word in [
            "tokio",
            "std::fs",
            "kube::Client",
            "Timestamp::now",
            "Instant::now",
            "std::env",
            "kube::runtime",
        ] {
            assert!(!text.contains(word), "{} uses {word}", file.display());
        }
    }
}

#[test]
fn the_readme_has_the_table_of_keys() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let table = inv_tui::ui::actions::markdown();
    let begin =
        text.find("<!-- keys").and_then(|at| text[at..].find('\n').map(|n| at + n + 1)).unwrap();
    let end = text.find("<!-- end of keys -->").unwrap();
    assert_eq!(
        text[begin..end].trim(),
        table.trim(),
        "put the table of the action list into README.md"
    );
}
