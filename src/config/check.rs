//! Everything that is wrong with a configuration file, at once, and where.

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error as TomlError};

use super::Config;
use crate::error::{Error, Result};

/// One thing that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Wrong {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, on one line.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// What mends most of it.
const HINT: &str =
    "\"inv-tui --headless config --schema\" describes every setting, as GUIDE.md does";

/// Reads a configuration.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn parse(text: &str) -> std::result::Result<Config, Vec<Wrong>> {
    let (table, problems) = DeTable::parse_recoverable(text);
    if !problems.is_empty() {
        return Err(problems.iter().map(|problem| wrong(text, problem)).collect());
    }
    let whole = match Config::deserialize(Deserializer::from(table.clone())) {
        Ok(config) => return Ok(config),
        Err(problem) => problem,
    };
    // It names one problem; each part by itself names its own.
    let mut found = Vec::new();
    each_part(table.get_ref(), &mut Vec::new(), &mut |part| {
        let document = Spanned::new(table.span(), part);
        if let Err(problem) = Config::deserialize(Deserializer::from(document)) {
            found.push(wrong(text, &problem));
        }
    });
    if found.is_empty() {
        found.push(wrong(text, &whole));
    }
    found.sort_by_key(|wrong| (wrong.line, wrong.column));
    Err(found)
}

/// Whether a table is a section, whose settings mean something one by one.
fn is_section(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let path = path.as_slice();
    matches!(path, ["maintenance" | "ansible" | "browser" | "keys" | "contexts"])
        || matches!(path, ["ansible", "inventory"] | ["contexts", _] | ["contexts", _, "browser"])
}

/// Hands out documents of one setting each.
fn each_part<'a>(table: &DeTable<'a>, path: &mut Vec<String>, take: &mut dyn FnMut(DeTable<'a>)) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) if is_section(path) => each_part(inner, path, &mut |part| {
                let value = Spanned::new(value.span(), DeValue::Table(part));
                take(DeTable::from_iter([(key.clone(), value)]));
            }),
            _ => take(DeTable::from_iter([(key.clone(), value.clone())])),
        }
        path.pop();
    }
}

fn wrong(text: &str, problem: &TomlError) -> Wrong {
    let (line, column) = place(text, problem.span().map_or(0, |span| span.start));
    Wrong { line, column, what: problem.message().replace('\n', " "), hint: HINT.to_owned() }
}

/// Line and column, from 1, of a byte of a text.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    (line, before.chars().rev().take_while(|c| *c != '\n').count() + 1)
}

/// Line and column, from 1, of a value in a text that can be read; of its nearest table, if it is
/// not there.
pub fn find(text: &str, path: &[&str]) -> (usize, usize) {
    let Ok(table) = DeTable::parse(text) else { return (1, 1) };
    let (mut at, mut table) = (0, Some(table.get_ref()));
    for word in path {
        let entry = table.and_then(|table| table.iter().find(|(key, _)| key.get_ref() == word));
        let Some((_, value)) = entry else { break };
        at = value.span().start;
        table = match value.get_ref() {
            DeValue::Table(inner) => Some(inner),
            _ => None,
        };
    }
    place(text, at)
}

/// All that is wrong with a file as one error.
///
/// # Errors
/// There is anything wrong.
pub fn whole(path: &std::path::Path, wrong: &[Wrong]) -> Result<()> {
    let path = path.display();
    match wrong {
        [] => Ok(()),
        [Wrong { line, column, what, hint }] => Err(Error::usage(format!(
            "configuration file \"{path}:{line}:{column}\" is malformed: {what}"
        ))
        .hint(hint.clone())),
        all => {
            let all: Vec<String> = all
                .iter()
                .map(|wrong| format!("{}:{}: {}", wrong.line, wrong.column, wrong.what))
                .collect();
            Err(Error::usage(format!(
                "configuration file \"{path}\" has {} mistakes: {}",
                all.len(),
                all.join(" · ")
            ))
            .hint("\"inv-tui --headless config --check\" says what to do about each"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_said_at_once_with_its_place() {
        let text = "read-only = 3\n\n[maintenance]\nreason = \"x\"\nfor = \"31d\"\n\n[contexts.prod]\nfilter = \"a && (\"\ntheme = \"day\"\nnope = 1\n[contexts.prod.browser]\nx = \"y\"\n";
        let wrong = parse(text).unwrap_err();
        let places: Vec<(usize, usize)> = wrong.iter().map(|w| (w.line, w.column)).collect();
        assert_eq!(places.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 4, 5, 8, 10, 12]);
        for (wrong, part) in wrong.iter().zip([
            "boolean",
            "3 to 256",
            "at most 30d",
            "the filter \"a && (\" is malformed",
            "unknown field `nope`",
            "no web address",
        ]) {
            assert!(wrong.what.contains(part), "{wrong:?}");
        }
        let error = whole(std::path::Path::new("/x/config.toml"), &wrong).unwrap_err();
        assert!(error.to_string().contains("\"/x/config.toml\" has 6 mistakes: 1:13: "), "{error}");
    }

    #[test]
    fn broken_toml_says_where() {
        let wrong = parse("theme = \"day\nread-only = tru\n").unwrap_err();
        assert_eq!(wrong[0].line, 1);
        assert!(wrong.iter().any(|wrong| wrong.line == 2), "{wrong:?}");
    }

    #[test]
    fn places_of_values() {
        let text = "theme = \"day\"\n[contexts]\na.theme = \"x\"\n[keys]\nrun = [\"r\"]\n";
        assert_eq!(find(text, &["theme"]), (1, 9));
        assert_eq!(find(text, &["contexts", "a", "theme"]), (3, 11));
        assert_eq!(find(text, &["keys", "run"]), (5, 7));
        assert_eq!(find(text, &["keys", "nope"]).0, 4);
        assert_eq!(find("", &["nope"]), (1, 1));
    }
}
