//! Values separated by commas, as RFC 4180 has them: quotes double inside quotes, and a quoted value
//! may go over several lines.

use serde_json::{Map, Value};

/// Begin of the name of a column that is a tag.
const TAG: &str = "tag:";

/// The rows after the first one as objects, each with the number of its first line. Empty values are
/// left out, and so are empty lines.
pub(super) fn rows(text: &str) -> Result<Vec<(usize, Value)>, String> {
    let mut records = records(text.strip_prefix('\u{feff}').unwrap_or(text))?.into_iter();
    let Some((_, names)) = records.next() else {
        return Err("the first line with the names of the columns is missing".to_owned());
    };
    let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
    for (at, name) in names.iter().enumerate() {
        if names.iter().skip(at + 1).any(|other| other == name) {
            return Err(format!("two columns are named \"{name}\""));
        }
    }
    if !names.iter().any(|name| name == "id") {
        return Err("there is no column \"id\"".to_owned());
    }
    Ok(records.map(|(line, values)| (line, row(&names, values))).collect())
}

fn row(names: &[String], values: Vec<String>) -> Value {
    // what is beyond the columns has no name, so that it cannot be read
    let extra = values.len() > names.len();
    let mut map = Map::new();
    let mut tags = Map::new();
    for (name, value) in names.iter().zip(values) {
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        match name.strip_prefix(TAG) {
            Some(tag) => tags.insert(tag.to_owned(), value.into()),
            None => map.insert(name.clone(), value.into()),
        };
    }
    if !tags.is_empty() {
        map.insert("tags".to_owned(), tags.into());
    }
    if extra {
        map.insert("more values than columns".to_owned(), true.into());
    }
    Value::Object(map)
}

fn records(text: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
    let mut records = Vec::new();
    let mut record: Vec<String> = Vec::new();
    let mut value = String::new();
    let (mut quoted, mut was_quoted) = (false, false);
    let (mut line, mut begin) = (1, 1);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\n' {
            line += 1;
        }
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                value.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if value.trim().is_empty() && !was_quoted => {
                value.clear();
                (quoted, was_quoted) = (true, true);
            }
            '"' => {
                return Err(format!(
                    "line {line}: a quote inside a value that does not begin with one"
                ));
            }
            ',' if !quoted => {
                record.push(std::mem::take(&mut value));
                was_quoted = false;
            }
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                record.push(std::mem::take(&mut value));
                was_quoted = false;
                let full = std::mem::take(&mut record);
                if full.iter().any(|value| !value.trim().is_empty()) {
                    records.push((begin, full));
                }
                begin = line;
            }
            c => value.push(c),
        }
    }
    if quoted {
        return Err(format!("line {begin}: a quote is never closed"));
    }
    record.push(value);
    if record.iter().any(|value| !value.trim().is_empty()) {
        records.push((begin, record));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quotes_lines_and_tags() {
        let text = "\u{feff}id, name,tag:Cost Centre\r\n1,\"a, \"\"b\"\"\nc\",4100\r\n\r\n2,,\n3";
        assert_eq!(
            rows(text).unwrap(),
            [
                (2, json!({"id": "1", "name": "a, \"b\"\nc", "tags": {"Cost Centre": "4100"}})),
                (5, json!({"id": "2"})),
                (6, json!({"id": "3"})),
            ]
        );
    }

    #[test]
    fn what_is_no_csv_is_refused() {
        for (text, why) in [
            ("", "names of the columns"),
            ("name\nx", "no column \"id\""),
            ("id,id\n1,2", "two columns"),
            ("id\n\"1", "never closed"),
            ("id\n1\"2\"", "line 2"),
        ] {
            let said = rows(text).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        let (_, row) = &rows("id\n1,2").unwrap()[0];
        assert!(row.get("more values than columns").is_some());
    }
}
