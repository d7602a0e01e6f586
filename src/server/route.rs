//! What a path asks for.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The thing that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `/healthz`, `/livez`, `/readyz` and what is below them.
    Health,
    /// `/version`.
    Version,
    /// `/api` or `/apis`: what there is. True: the core group's.
    Root(bool),
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1` or `/apis/GROUP/VERSION`: group (empty for core) and version.
    GroupVersion(String, String),
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`.
    OpenApiIndex,
    /// `/openapi/v3/PATH`.
    OpenApi(String),
    /// A resource, or one object of it.
    Resource(Resource),
    /// Nothing that this server has.
    Unknown,
}

/// A resource in a path. Empty strings: not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// API group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Namespace.
    pub namespace: String,
    /// Plural.
    pub plural: String,
    /// Name of the object.
    pub name: String,
    /// Subresource of the object.
    pub subresource: String,
}

impl Target {
    /// Reads a path.
    pub fn of(path: &str) -> Self {
        let Some(rest) = path.strip_prefix('/') else { return Self::Unknown };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let mut parts = Vec::new();
        for part in rest.split('/') {
            match percent_decode_str(part).decode_utf8() {
                // An encoded slash would make another path of it.
                Ok(part) if !part.contains('/') => parts.push(part),
                _ => return Self::Unknown,
            }
        }
        let parts: Vec<&str> = parts.iter().map(Cow::as_ref).collect();
        match parts.as_slice() {
            ["healthz" | "livez" | "readyz", ..] => Self::Health,
            ["version"] => Self::Version,
            ["api"] => Self::Root(true),
            ["apis"] => Self::Root(false),
            ["api", version] => Self::GroupVersion(String::new(), (*version).to_owned()),
            ["apis", group] => Self::Group((*group).to_owned()),
            ["apis", group, version] => {
                Self::GroupVersion((*group).to_owned(), (*version).to_owned())
            }
            ["openapi", "v2"] => Self::OpenApiV2,
            ["openapi", "v3"] => Self::OpenApiIndex,
            ["openapi", "v3", path @ ..] => Self::OpenApi(path.join("/")),
            ["api", version, rest @ ..] => resource("", version, rest),
            ["apis", group, version, rest @ ..] => resource(group, version, rest),
            _ => Self::Unknown,
        }
    }
}

fn resource(group: &str, version: &str, rest: &[&str]) -> Target {
    let (namespace, rest) = match rest {
        // `/namespaces/NAME` and its own subresources are about the namespace itself.
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, rest @ ..] => (*namespace, rest),
        _ => ("", rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, "", ""),
        [plural, name] => (*plural, *name, ""),
        [plural, name, subresource] => (*plural, *name, *subresource),
        _ => return Target::Unknown,
    };
    if plural.is_empty() || (rest.len() > 1 && name.is_empty()) {
        return Target::Unknown;
    }
    let owned = ToOwned::to_owned;
    Target::Resource(Resource {
        group: owned(group),
        version: owned(version),
        namespace: owned(namespace),
        plural: owned(plural),
        name: owned(name),
        subresource: owned(subresource),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> [String; 6] {
        match Target::of(path) {
            Target::Resource(r) => {
                [r.group, r.version, r.namespace, r.plural, r.name, r.subresource]
            }
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn paths_name_resources() {
        for (path, want) in [
            ("/api/v1/namespaces", ["", "v1", "", "namespaces", "", ""]),
            ("/api/v1/namespaces/x", ["", "v1", "", "namespaces", "x", ""]),
            ("/api/v1/namespaces/x/finalize", ["", "v1", "", "namespaces", "x", "finalize"]),
            ("/api/v1/namespaces/x/events/", ["", "v1", "x", "events", "", ""]),
            ("/apis/g.io/v1/hosts", ["g.io", "v1", "", "hosts", "", ""]),
            ("/apis/g.io/v1/hosts/a/status", ["g.io", "v1", "", "hosts", "a", "status"]),
            (
                "/apis/g.io/v1/namespaces/n/hosts/a%2eb/status",
                ["g.io", "v1", "n", "hosts", "a.b", "status"],
            ),
        ] {
            assert_eq!(found(path), want, "{path}");
        }
    }

    #[test]
    fn other_paths() {
        for (path, want) in [
            ("/healthz/ping", Target::Health),
            ("/api", Target::Root(true)),
            ("/apis/", Target::Root(false)),
            ("/apis/a.b", Target::Group("a.b".into())),
            ("/api/v1", Target::GroupVersion(String::new(), "v1".into())),
            ("/openapi/v3/apis/a.b/v1", Target::OpenApi("apis/a.b/v1".into())),
        ] {
            assert_eq!(Target::of(path), want, "{path}");
        }
        for path in [
            "",
            "x",
            "/",
            "/foo",
            "/api/v1/a/b/c/d",
            "/api/v1//x",
            "/api/v1/pods/a%2Fb",
            "/api/v1/x/%ff",
        ] {
            assert_eq!(Target::of(path), Target::Unknown, "{path}");
        }
    }
}
