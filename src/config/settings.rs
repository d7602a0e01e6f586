//! The one table of settings. The commented file, the README's block and the descriptions in the
//! schema come from it; tests compare it with the types that are read.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::Config;

/// When a change of a setting is taken in by an explorer that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// At once.
    Live,
    /// At the next start.
    Start,
    /// At once where it makes things stricter, else at the next start.
    Stricter,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its section; empty: none.
    pub section: &'static str,
    /// Its name.
    pub key: &'static str,
    /// Its default, or an example where it has none; as TOML.
    pub value: &'static str,
    /// The value is the default; else an example, which is shown commented out.
    pub set: bool,
    /// When it is taken in.
    pub takes: Takes,
    /// What it does.
    pub help: &'static str,
}

const fn set(
    section: &'static str,
    key: &'static str,
    value: &'static str,
    takes: Takes,
    help: &'static str,
) -> Setting {
    Setting { section, key, value, set: true, takes, help }
}

const fn example(
    section: &'static str,
    key: &'static str,
    value: &'static str,
    takes: Takes,
    help: &'static str,
) -> Setting {
    Setting { section, key, value, set: false, takes, help }
}

/// The sections in the order of the file, with what each is for. A name in capitals stands for any.
pub const SECTIONS: [(&str, &str); 7] = [
    ("", ""),
    ("maintenance", "what a maintenance begins with"),
    ("ansible", "what a run is chosen from"),
    ("ansible.inventory", "what --headless ansible-inventory gives; its options stand above this"),
    ("browser", "what b opens; beside these any name; false takes one away"),
    ("keys", "any action of the table of keys: its keys instead of the default ones; [] for none"),
    ("contexts.NAME", "for one context of the kubeconfig; stands above the rest of the file"),
];

/// Every setting, in the order of the file.
pub const SETTINGS: &[Setting] = &[
    set("", "theme", "\"auto\"", Takes::Live, "auto follows the terminal; or a name"),
    set("", "theme-dark", "\"night\"", Takes::Start, "what auto takes on a dark background"),
    set("", "theme-light", "\"day\"", Takes::Start, "and on a light one"),
    example("", "context", "\"staging\"", Takes::Start, "of the kubeconfig; none: its current one"),
    example("", "namespace", "\"inventory\"", Takes::Start, "none: all"),
    example("", "filter", "\"env=prod\"", Takes::Start, "to begin with"),
    set("", "read-only", "false", Takes::Stricter, "begin with writing disarmed"),
    set(
        "",
        "production-contexts",
        "[]",
        Takes::Stricter,
        "contexts that begin disarmed and say PROD",
    ),
    set("", "ascii", "false", Takes::Live, "draw with ASCII characters only"),
    set("", "mouse", "true", Takes::Start, "take the mouse; ctrl-g gives it back"),
    set("", "reduced-motion", "false", Takes::Live, "two pictures a second unless you type"),
    set("", "arm-for", "\"15m\"", Takes::Live, "how long W arms writing"),
    set(
        "",
        "ssh",
        "\"ssh {address}\"",
        Takes::Live,
        "what s runs: words, or [\"ssh\", \"{address}\"]; no shell",
    ),
    set("", "views", "[]", Takes::Start, "files with saved views that are shared"),
    set("", "last-fleet", "true", Takes::Start, "keep the last known fleet for the next start"),
    set("maintenance", "for", "\"4h\"", Takes::Live, "at most 30d"),
    set("maintenance", "reason", "\"maintenance\"", Takes::Live, "of the first hold"),
    set(
        "maintenance",
        "protected-labels",
        "[\"inventory.inv-tui.dev/environment=prod\"]",
        Takes::Stricter,
        "hosts that want a reason typed by hand",
    ),
    set(
        "ansible",
        "playbooks",
        "[]",
        Takes::Live,
        "offered by r where the Cluster offers none, such as [\"site.yml\"]",
    ),
    example("ansible.inventory", "filter", "\"env=prod\"", Takes::Start, "only these hosts"),
    set(
        "ansible.inventory",
        "include",
        "[]",
        Takes::Start,
        "such as [\"maintenance\", \"stopped\"], or [\"all\"]",
    ),
    set(
        "ansible.inventory",
        "groups",
        "[\"region\", \"zone\", \"cluster\", \"role\", \"team\", \"environment\", \"provider\", \"state\", \"service\", \"maintenance\"]",
        Takes::Start,
        "also \"label:KEY\", \"annotation:KEY\", \"PREFIX=region\"",
    ),
    set(
        "ansible.inventory",
        "annotations",
        "[]",
        Takes::Start,
        "that become variables; \"example.com/*\"",
    ),
    set(
        "ansible.inventory",
        "addresses",
        "[\"InternalIP\", \"ExternalIP\", \"InternalDNS\", \"ExternalDNS\", \"Hostname\"]",
        Takes::Start,
        "for ansible_host, the best first",
    ),
    set(
        "ansible.inventory",
        "cache",
        "\"4h\"",
        Takes::Start,
        "how old it may be while the API server is away; \"off\"",
    ),
    set("ansible.inventory", "allow-empty", "false", Takes::Start, "no host is no error"),
    set(
        "browser",
        "aws",
        "{ for = \"aws:///*\", url = \"https://{region}.console.aws.amazon.com/ec2/home?region={region}#InstanceDetails:instanceId={id}\" }",
        Takes::Live,
        "for: what the provider id looks like",
    ),
    set(
        "browser",
        "ibm-bare-metal",
        "{ for = \"ibmcloud-classic://*/hardware/*\", url = \"https://cloud.ibm.com/gen1/infrastructure/bare-metal/{id}/details\" }",
        Takes::Live,
        "IBM Cloud Classic, hardware",
    ),
    set(
        "browser",
        "ibm-classic",
        "{ for = \"ibmcloud-classic://*/virtual_guest/*\", url = \"https://cloud.ibm.com/gen1/infrastructure/virtual-server/{id}/details\" }",
        Takes::Live,
        "IBM Cloud Classic, virtual",
    ),
    set(
        "browser",
        "ibm-vpc",
        "{ for = \"ibmcloud-vpc://*\", url = \"https://cloud.ibm.com/infrastructure/compute/vs/{region}~{id}/overview\" }",
        Takes::Live,
        "IBM Cloud VPC",
    ),
    example(
        "browser",
        "netbox",
        "{ for = \"netbox://*/dcim/devices/*\", url = \"https://netbox.example.com/dcim/devices/{id}/\" }",
        Takes::Live,
        "your NetBox",
    ),
    example(
        "browser",
        "dashboard",
        "\"https://grafana.example.com/d/host?var-host={name}\"",
        Takes::Live,
        "for every host",
    ),
    example(
        "keys",
        "problems",
        "[\"P\", \"f2\"]",
        Takes::Live,
        "a space makes a sequence: \"g p\"",
    ),
    example("keys", "repeat", "[]", Takes::Live, "no key: only in the palette"),
    example("contexts.NAME", "theme", "\"dusk\"", Takes::Live, "a theme of its own"),
    example("contexts.NAME", "read-only", "true", Takes::Stricter, "begin with writing disarmed"),
    example("contexts.NAME", "production", "true", Takes::Stricter, "begin disarmed and say PROD"),
    example("contexts.NAME", "filter", "\"env=prod\"", Takes::Start, "to begin with"),
    example("contexts.NAME", "namespace", "\"inventory\"", Takes::Start, "of the hosts"),
    example(
        "contexts.NAME",
        "ssh",
        "[\"ssh\", \"-J\", \"bastion\", \"{address}\"]",
        Takes::Live,
        "what s runs",
    ),
    example(
        "contexts.NAME",
        "browser",
        "{ wiki = \"https://wiki.example.com/{name}\" }",
        Takes::Live,
        "more links",
    ),
    example(
        "contexts.NAME",
        "protected-labels",
        "[\"tier=gold\"]",
        Takes::Stricter,
        "instead of the ones in [maintenance]",
    ),
];

/// Columns after which the comments stand, where a line leaves room for one.
const COMMENT_AT: usize = 34;

/// The default file with its comments. With `examples` those are in force too, which shows that
/// they can be read.
pub fn text(examples: bool) -> String {
    let mut out = String::new();
    for (section, help) in SECTIONS {
        let rows = || SETTINGS.iter().filter(|setting| setting.section == section);
        if !section.is_empty() {
            // A section of examples alone would mean something by itself.
            let open = examples || !section.contains("NAME");
            let header = format!("{}[{section}]", if open { "" } else { "# " });
            let _ = writeln!(out, "\n{header:<COMMENT_AT$}# {help}");
        }
        for setting in rows() {
            let off = if setting.set || examples { "" } else { "# " };
            let line = format!("{off}{} = {}", setting.key, setting.value);
            if line.len() < COMMENT_AT {
                let _ = writeln!(out, "{line:<COMMENT_AT$}# {}", setting.help);
            } else {
                let _ = writeln!(out, "# {}:\n{line}", setting.help);
            }
        }
    }
    out
}

/// The JSON schema of the file (draft 2020-12), every setting described.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .for_deserialize()
        .into_generator();
    let mut schema = generator.into_root_schema_for::<Config>().to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), json!("inv-tui configuration"));
    }
    for (section, help) in SECTIONS {
        if let Some(place) = at(&mut schema, section)
            && !section.is_empty()
        {
            place.insert("description".to_owned(), json!(sentence(help)));
        }
    }
    for setting in SETTINGS {
        let Some(section) = at(&mut schema, setting.section) else { continue };
        let Some(property) = section.get_mut("properties").and_then(|all| all.get_mut(setting.key))
        else {
            continue; // one of any names, as links and keys are
        };
        let Some(property) = property.as_object_mut() else { continue };
        property.insert("description".to_owned(), json!(sentence(setting.help)));
        let value = toml::from_str::<Value>(&format!("value = {}", setting.value));
        if let Some(value) =
            value.ok().and_then(|mut table| table.get_mut("value").map(Value::take))
        {
            let (name, value) =
                if setting.set { ("default", value) } else { ("examples", json!([value])) };
            property.remove("default");
            property.insert(name.to_owned(), value);
        }
    }
    schema
}

/// The schema of a section.
fn at<'a>(schema: &'a mut Value, section: &str) -> Option<&'a mut serde_json::Map<String, Value>> {
    let mut place = schema;
    for word in section.split('.').filter(|word| !word.is_empty()) {
        place = if word == "NAME" {
            place.get_mut("additionalProperties")?
        } else {
            place.get_mut("properties")?.get_mut(word)?
        };
    }
    place.as_object_mut()
}

fn sentence(help: &str) -> String {
    let mut letters = help.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

#[cfg(test)]
mod tests;
