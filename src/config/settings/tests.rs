use super::*;
use crate::config::check;

/// Whether a value is as a schema says, as far as our own schema uses JSON Schema.
fn complaints(schema: &Value, value: &Value, at: &str, out: &mut Vec<String>) {
    let any = schema.get("anyOf").or_else(|| schema.get("oneOf"));
    if let Some(any) = any.and_then(Value::as_array) {
        let fits = any.iter().any(|one| {
            let mut out = Vec::new();
            complaints(one, value, at, &mut out);
            out.is_empty()
        });
        if !fits {
            out.push(format!("{at}: {value} is nothing of {any:?}"));
        }
        return;
    }
    if let Some(wanted) = schema.get("const") {
        if wanted != value {
            out.push(format!("{at}: {value} is not {wanted}"));
        }
        return;
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec![kind],
    };
    if !kinds.contains(&kind) {
        out.push(format!("{at}: {value} is no {kinds:?}"));
    }
    if let (Some(pattern), Some(text)) =
        (schema.get("pattern").and_then(Value::as_str), value.as_str())
        && !regex::Regex::new(pattern).unwrap().is_match(text)
    {
        out.push(format!("{at}: {text} does not match {pattern}"));
    }
    if let Some(wanted) = schema.get("enum").and_then(Value::as_array)
        && !wanted.contains(value)
    {
        out.push(format!("{at}: {value} is none of {wanted:?}"));
    }
    if let Some(list) = value.as_array() {
        for (n, item) in list.iter().enumerate() {
            complaints(
                schema.get("items").unwrap_or(&Value::Null),
                item,
                &format!("{at}[{n}]"),
                out,
            );
        }
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        match schema.get("properties").and_then(|all| all.get(key)) {
            Some(property) => complaints(property, inner, &at, out),
            None => match schema.get("additionalProperties") {
                Some(Value::Bool(false)) => out.push(format!("{at}: not known")),
                Some(any) => complaints(any, inner, &at, out),
                None => {}
            },
        }
    }
}

fn against_the_schema(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    complaints(&schema(), &toml::from_str(text).unwrap(), "", &mut out);
    out
}

#[test]
fn the_default_file_is_the_default_and_the_examples_can_be_read() {
    assert_eq!(check::parse(&text(false)).unwrap(), Config::default());
    let all = check::parse(&text(true)).unwrap();
    assert_eq!(all.context.as_deref(), Some("staging"));
    assert_eq!(all.contexts["NAME"].theme.as_deref(), Some("dusk"));
    assert_eq!(all.keys["problems"], ["P", "f2"]);
    assert!(all.browser.contains_key("netbox") && all.browser.contains_key("aws"));
}

#[test]
fn the_schema_fits_the_default_and_the_examples_and_nothing_wrong() {
    for examples in [false, true] {
        assert_eq!(against_the_schema(&text(examples)), Vec::<String>::new());
    }
    for wrong in [
        "them = \"day\"",
        "read-only = \"yes\"",
        "arm-for = \"soon\"",
        "[maintenance]\nfor = 4",
        "[browser]\nx = \"ftp://x\"",
        "[keys]\nrun = \"r\"",
        "[contexts.a]\nnope = 1",
        "ssh = 3",
        "[ansible.inventory]\naddresses = [\"IP\"]",
        "[maintenance]\nprotected-labels = [\"prod\"]",
    ] {
        assert!(!against_the_schema(wrong).is_empty(), "{wrong}");
        assert!(check::parse(wrong).is_err(), "{wrong}");
    }
}

/// Every setting of the types is in the table, and the other way round; each is described.
#[test]
fn types_and_table_have_the_same_settings() {
    fn walk(schema: &Value, section: &str, found: &mut Vec<(String, String)>) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
            assert!(
                property["description"].as_str().is_some_and(|text| text.ends_with('.')),
                "{path} is not described"
            );
            if SECTIONS.iter().any(|(name, _)| *name == path) {
                walk(property, &path, found);
            } else if path == "contexts" {
                walk(&property["additionalProperties"], "contexts.NAME", found);
            } else {
                found.push((section.to_owned(), key.clone()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&schema(), "", &mut found);
    found.sort();
    let free = ["browser", "keys"];
    let mut table: Vec<(String, String)> = SETTINGS
        .iter()
        .filter(|setting| !free.contains(&setting.section))
        .map(|setting| (setting.section.to_owned(), setting.key.to_owned()))
        .collect();
    table.sort();
    assert_eq!(found, table);
}

#[test]
fn what_waits_for_the_next_start_says_so() {
    let old = Config::default();
    let others = ["\"other\"", "\"name=other\"", "\"7m\"", "[\"other\"]", "true", "false"];
    for setting in SETTINGS.iter().filter(|setting| setting.section.is_empty()) {
        let other = others.iter().find_map(|value| {
            let text = format!("{} = {value}", setting.key);
            toml::from_str(&text).ok().filter(|new| *new != old)
        });
        let told = old.at_next_start(&other.unwrap(), "");
        match setting.takes {
            Takes::Start => assert_eq!(told, [setting.key]),
            // These have been made stricter.
            Takes::Live | Takes::Stricter => assert_eq!(told, [""; 0], "{}", setting.key),
        }
    }
}

#[test]
fn the_guide_has_the_table() {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/GUIDE.md")).unwrap();
    let block = format!("```toml\n{}```", text(false));
    assert!(guide.contains(&block), "put this into GUIDE.md:\n{block}");
}

#[test]
fn built_in_links_are_as_they_stand() {
    for (name, link) in Config::default().browser {
        let row = SETTINGS.iter().find(|row| row.section == "browser" && row.key == name).unwrap();
        assert_eq!(row.value, link.to_toml());
    }
}
