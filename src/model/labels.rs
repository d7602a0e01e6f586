//! Label and annotation keys, and how a foreign value becomes a legal label value.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};

/// Region of a host, the well-known key of `k8s.io/api/core/v1/well_known_labels.go`.
pub const REGION: &str = "topology.kubernetes.io/region";
/// Availability zone of a host.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// Machine type, for example `m5.large`.
pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
/// CPU architecture, for example `amd64`.
pub const ARCH: &str = "kubernetes.io/arch";
/// Operating system family, for example `linux`.
pub const OS: &str = "kubernetes.io/os";

/// Provider kind, for example `aws`.
pub const PROVIDER: &str = "inventory.inv-tui.dev/provider";
/// Name of the source that reported the host.
pub const SOURCE: &str = "inventory.inv-tui.dev/source";
/// Account or project at the provider.
pub const ACCOUNT: &str = "inventory.inv-tui.dev/account";
/// Mirror of `spec.cluster`.
pub const CLUSTER: &str = "inventory.inv-tui.dev/cluster";
/// Mirror of `spec.role`.
pub const ROLE: &str = "inventory.inv-tui.dev/role";
/// Mirror of `spec.team`.
pub const TEAM: &str = "inventory.inv-tui.dev/team";
/// Mirror of `spec.environment`.
pub const ENVIRONMENT: &str = "inventory.inv-tui.dev/environment";
/// Mirror of `spec.serviceState`.
pub const SERVICE_STATE: &str = "inventory.inv-tui.dev/service-state";
/// Present while a hold is in force.
pub const MAINTENANCE: &str = "inventory.inv-tui.dev/maintenance";

/// Annotation with the name people use for the host (a Name tag, a hostname). Never an identity.
pub const DISPLAY_NAME: &str = "inventory.inv-tui.dev/display-name";
/// Annotation with the provider's tags that did not become labels, as one JSON object.
pub const TAGS: &str = "inventory.inv-tui.dev/tags";
/// Annotation that protects a host from deletion and bulk changes; its value is the reason.
pub const PROTECT: &str = "inventory.inv-tui.dev/protect";

/// Finalizer that keeps a host until its decommissioning is done.
pub const FINALIZER: &str = "inventory.inv-tui.dev/decommission";
/// Beginning of an annotation by which an owner, named by the rest, keeps a host from being
/// decommissioned. The owner takes it off when it is done with the host.
pub const OWNER_HOOK: &str = "pre-decommission.hook.inventory.inv-tui.dev/";
/// Annotation with a person's answer about a step of a decommissioning: `STEP/ATTEMPT=done` or
/// `STEP/ATTEMPT=again`.
pub const STEP_ANSWER: &str = "inventory.inv-tui.dev/decommission-answer";

/// What the field manager of a fetcher begins with; the rest is its source.
const FETCHER: &str = "inv-tui-fetch-";
/// Longest label value in bytes (`apimachinery/pkg/api/validate/content`).
pub const MAX_VALUE: usize = 63;
/// Bytes of a value that is kept when it must be cut: cut, `-`, then ten characters of its hash.
const MAX_SLUG: usize = 52;

/// Whether `value` is a legal label value: at most 63 of `[A-Za-z0-9._-]`, alphanumeric at both
/// ends. The empty value is legal.
pub fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.len() <= MAX_VALUE
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && bytes.first().is_none_or(u8::is_ascii_alphanumeric)
        && bytes.last().is_none_or(u8::is_ascii_alphanumeric)
}

/// Whether `key` is a legal label key: an optional DNS prefix of at most 253 bytes and `/`, then a
/// non-empty name that follows the rules of a label value.
pub fn is_label_key(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let legal_prefix = |p: &str| {
        !p.is_empty()
            && p.len() <= 253
            && p.split('.').all(|part| {
                let b = part.as_bytes();
                !b.is_empty()
                    && b.iter().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'-')
                    && b.first() != Some(&b'-')
                    && b.last() != Some(&b'-')
            })
    };
    prefix.is_none_or(legal_prefix) && !name.is_empty() && is_label_value(name)
}

/// Domains whose labels mean something to Kubernetes or to us. Services write them and rules rely on
/// them; neither a tag of a provider nor a person makes one up.
pub const RESERVED: [&str; 3] = ["kubernetes.io", "k8s.io", "inv-tui.dev"];

/// Whether the key is in one of the domains [`RESERVED`], or in a domain below one.
pub fn is_reserved(key: &str) -> bool {
    key.split_once('/').is_some_and(|(domain, _)| {
        RESERVED
            .iter()
            .any(|r| domain == *r || domain.strip_suffix(r).is_some_and(|rest| rest.ends_with('.')))
    })
}

/// What is done to one label: its key, and its new value; none removes it.
pub type Edit = (String, Option<String>);

/// Reads an edit as people type it: `key=value` sets, `key-` removes.
///
/// # Errors
/// A sentence for the person who types.
pub fn parse_edit(text: &str) -> Result<Edit, String> {
    let text = text.trim();
    let (key, value) = match (text.split_once('='), text.strip_suffix('-')) {
        (Some((key, value)), _) => (key.trim(), Some(value.trim())),
        (None, Some(key)) => (key.trim(), None),
        (None, None) => return Err("write key=value to set a label, key- to remove it".to_owned()),
    };
    if !is_label_key(key) {
        return Err(format!(
            "\"{key}\" is no label key: letters, digits, - _ and . in at most 63, with a prefix and / at most before"
        ));
    }
    if let Some(value) = value.filter(|value| !is_label_value(value)) {
        return Err(format!(
            "\"{value}\" is no label value: at most {MAX_VALUE} letters, digits, - _ and ., and no such sign at its ends"
        ));
    }
    Ok((key.to_owned(), value.map(ToOwned::to_owned)))
}

/// Who writes labels of an object by server-side apply, by key. Such a label is theirs: the next
/// apply puts it back.
pub fn owners(metadata: &ObjectMeta) -> BTreeMap<String, String> {
    let mut owners = BTreeMap::new();
    for entry in metadata.managed_fields.iter().flatten() {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        let labels = fields.and_then(|fields| fields.pointer("/f:metadata/f:labels")?.as_object());
        if entry.operation.as_deref() != Some("Apply") {
            continue;
        }
        for key in labels.into_iter().flatten().filter_map(|(key, _)| key.strip_prefix("f:")) {
            let manager = entry.manager.clone().unwrap_or_default();
            owners.insert(key.to_owned(), owner_words(&manager));
        }
    }
    owners
}

/// A field manager in words: of a fetcher, its source.
fn owner_words(manager: &str) -> String {
    match manager {
        "inv-tui-lifecycle" => "the lifecycle service".to_owned(),
        "inv-tui-agent" => "the host's agent".to_owned(),
        _ => match manager.strip_prefix(FETCHER) {
            Some(source) => format!("the source {source}"),
            None => format!("the field manager {manager}"),
        },
    }
}

/// A label value for any text: the text itself where it is legal, else a slug, `-`, and ten
/// characters of the hash of the whole text, so that two texts never fall together unseen.
/// Text without any legal character becomes `x-<hash>`; the empty text stays empty.
pub fn to_label_value(text: &str) -> String {
    if is_label_value(text) {
        return text.to_owned();
    }
    let slug = slug(text, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    format!("{slug}-{}", short_hash(text))
}

/// An object name (a DNS-1123 label, at most 63 bytes) for any text. Text that is one already is
/// kept; any other is slugged and gets ten characters of the hash of `identity`.
pub fn to_object_name(text: &str, identity: &str) -> String {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = !text.is_empty()
        && text.len() <= MAX_VALUE
        && text.chars().all(legal)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if fits {
        return text.to_owned();
    }
    format!("{}-{}", slug(&text.to_lowercase(), legal), short_hash(identity))
}

/// Runs of illegal characters become one `-`; cut to 52 bytes; alphanumeric at both ends.
fn slug(text: &str, legal: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(MAX_SLUG);
    for c in text.chars() {
        if out.len() >= MAX_SLUG {
            break;
        }
        if legal(c) {
            out.push(c);
        } else if !out.ends_with('-') {
            out.push('-');
        }
    }
    let trimmed = out.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if trimmed.is_empty() { "x".to_owned() } else { trimmed.to_owned() }
}

/// Ten base32 characters (RFC 4648, lower case) of the SHA-256 of `text`: 50 bits.
pub(crate) fn short_hash(text: &str) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digest = Sha256::digest(text.as_bytes());
    let mut bits = digest.iter().take(8).fold(0_u64, |acc, byte| acc << 8 | u64::from(*byte));
    (0..10)
        .map(|_| {
            let index = usize::try_from(bits >> 59).unwrap_or(0);
            bits <<= 5;
            char::from(ALPHABET.get(index).copied().unwrap_or(b'a'))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn legal_values_are_kept() {
        for value in ["", "prod", "m5.large", "a_b-c.d", &"x".repeat(63)] {
            assert_eq!(to_label_value(value), value);
        }
    }

    #[test]
    fn illegal_values_keep_a_readable_part_and_differ() {
        let space = to_label_value("Cost Centre 12");
        assert!(space.starts_with("Cost-Centre-12-"), "{space}");
        assert_ne!(space, to_label_value("Cost/Centre/12"));
        assert!(to_label_value("日本").starts_with("x-"));
    }

    #[test]
    fn keys() {
        for good in ["team", "example.com/team", "a.b-c/d_e"] {
            assert!(is_label_key(good), "{good}");
        }
        for bad in ["", "/team", "Example.com/team", "a/b/c", "-team", "team-", "a b"] {
            assert!(!is_label_key(bad), "{bad}");
        }
    }

    #[test]
    fn edits_are_checked_as_they_are_typed() {
        let set = |key: &str, value: &str| Ok((key.to_owned(), Some(value.to_owned())));
        assert_eq!(parse_edit("team=web"), set("team", "web"));
        assert_eq!(parse_edit(" example.com/a = b "), set("example.com/a", "b"));
        assert_eq!(parse_edit("team="), set("team", ""));
        assert_eq!(parse_edit("team-"), Ok(("team".to_owned(), None)));
        assert_eq!(parse_edit("a=b-c"), set("a", "b-c"));
        for bad in ["team", "=x", "a b=c", "team=a b", "team=-a", "-", "Up.per/x/y=1"] {
            assert!(parse_edit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reserved_labels_are_known_by_their_domain() {
        for theirs in [CLUSTER, REGION, ARCH, INSTANCE_TYPE, "tags.inventory.inv-tui.dev/x"] {
            assert!(is_reserved(theirs), "{theirs}");
        }
        for free in ["team", "example.com/kubernetes.io", "notinv-tui.dev/x"] {
            assert!(!is_reserved(free), "{free}");
        }
    }

    #[test]
    fn who_applies_a_label_owns_it() {
        let metadata: ObjectMeta = serde_json::from_value(serde_json::json!({"managedFields": [
            {"manager": "inv-tui-fetch-aws", "operation": "Apply", "fieldsType": "FieldsV1",
             "fieldsV1": {"f:metadata": {"f:labels": {"f:env": {}, "f:a.b/c": {}}}}},
            {"manager": "inv-tui", "operation": "Update", "fieldsType": "FieldsV1",
             "fieldsV1": {"f:metadata": {"f:labels": {"f:mine": {}}}}},
        ]}))
        .unwrap();
        let owners = owners(&metadata);
        assert_eq!(owners.len(), 2);
        assert!(owners["env"].contains("aws"), "{owners:?}");
    }

    #[test]
    fn object_names() {
        assert_eq!(to_object_name("aws-i-0abc", "aws:///a/i-0abc"), "aws-i-0abc");
        let odd = to_object_name("dc-SN 12.B", "id");
        assert!(odd.starts_with("dc-sn-12-b-") && odd.len() == 21, "{odd}");
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_legal_value(text in ".{0,300}") {
            let value = to_label_value(&text);
            prop_assert!(is_label_value(&value), "{:?}", value);
        }

        #[test]
        fn any_text_becomes_a_legal_name(text in ".{0,300}") {
            let name = to_object_name(&text, &text);
            prop_assert!(name.len() <= 63 && !name.is_empty() && !name.contains('.'));
            prop_assert!(is_label_value(&name) && name == name.to_lowercase());
        }
    }
}
