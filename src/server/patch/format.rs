//! Which kind of patch a body is.

use serde_json::Value;

use super::{json, merge, strategic};
use crate::server::body;
use crate::server::status::ApiResult;

/// A format of patches, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Merge with Kubernetes' rules for lists; only for built-in kinds.
    Strategic,
    /// Server-side apply.
    Apply,
}

const MEDIA_TYPES: [(&str, Format); 4] = [
    ("application/json-patch+json", Format::Json),
    ("application/merge-patch+json", Format::Merge),
    ("application/apply-patch+yaml", Format::Apply),
    ("application/strategic-merge-patch+json", Format::Strategic),
];

impl Format {
    /// The format that a content type names. `custom`: the kind is defined by a CRD.
    ///
    /// # Errors
    /// 415: none that this kind takes.
    pub fn of(content_type: Option<&str>, custom: bool) -> ApiResult<Self> {
        let taken = || MEDIA_TYPES.iter().filter(|(_, f)| !custom || *f != Self::Strategic);
        let name = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let found = taken().find(|(media, _)| media.eq_ignore_ascii_case(name));
        found.map(|(_, format)| *format).ok_or_else(|| {
            let names: Vec<&str> = taken().map(|(media, _)| *media).collect();
            body::unsupported(content_type, &names)
        })
    }
}

/// The object that a patch (not of server-side apply) makes of another.
///
/// # Errors
/// The patch is malformed or does not fit the object.
pub fn patched(format: Format, object: &Value, patch: &Value) -> ApiResult<Value> {
    match format {
        Format::Json => json(object, patch),
        Format::Strategic => strategic(object, patch),
        Format::Merge | Format::Apply => merge(object, patch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_kinds_take_no_strategic_patches() {
        let strategic = Some("application/strategic-merge-patch+json");
        assert_eq!(Format::of(strategic, false).unwrap(), Format::Strategic);
        let error = Format::of(strategic, true).unwrap_err();
        assert_eq!((error.code, error.reason), (415, "UnsupportedMediaType"));
        assert!(error.message.contains("merge-patch+json"), "kubernetes.core reads the list");
        assert_eq!(
            Format::of(Some("application/apply-patch+yaml; charset=utf-8"), true).unwrap(),
            Format::Apply
        );
        for other in [None, Some("application/json"), Some("")] {
            assert_eq!(Format::of(other, false).unwrap_err().code, 415);
        }
    }
}
