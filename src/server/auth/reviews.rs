//! Answers to `SelfSubjectAccessReview` and its kin (authorization.k8s.io/v1 and
//! authentication.k8s.io/v1): who am I, what may I do.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::roles::{allows, rules};
use super::{Action, User};
use crate::server::status::{ApiError, ApiResult, Cause};

/// The `status` of a review of this kind with this `spec`, asked for by `user`.
///
/// # Errors
///
/// If the question is not complete, or `kind` is no review.
pub fn review(kind: &str, spec: &Value, user: &User) -> ApiResult<Value> {
    match kind {
        "SelfSubjectReview" => Ok(json!({"userInfo": user_info(user)})),
        "SelfSubjectAccessReview" => access(kind, spec, user),
        "SubjectAccessReview" => access(kind, spec, &subject(kind, spec)?),
        "SelfSubjectRulesReview" => {
            let namespace = text(spec, "namespace");
            if namespace.is_empty() {
                return Err(ApiError::bad_request("no namespace on request"));
            }
            let (resource, path) = rules(user, namespace);
            Ok(json!({"resourceRules": resource, "nonResourceRules": path, "incomplete": false}))
        }
        _ => Err(ApiError::internal(format!("{kind} is no review"))),
    }
}

fn access(kind: &str, spec: &Value, user: &User) -> ApiResult<Value> {
    let given = |key: &str| spec.get(key).filter(|value| !value.is_null());
    let action = match (given("resourceAttributes"), given("nonResourceAttributes")) {
        (Some(about), None) => Action {
            verb: text(about, "verb").to_owned(),
            group: text(about, "group").to_owned(),
            resource: text(about, "resource").to_owned(),
            subresource: text(about, "subresource").to_owned(),
            namespace: text(about, "namespace").to_owned(),
            name: text(about, "name").to_owned(),
            path: String::new(),
        },
        (None, Some(about)) => Action {
            verb: text(about, "verb").to_owned(),
            path: text(about, "path").to_owned(),
            ..Action::default()
        },
        (both, _) => {
            let value = if both.is_some() { spec } else { &Value::Null };
            let why =
                "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            let cause = Cause::invalid("spec.resourceAttributes", value, why);
            return Err(ApiError::invalid("authorization.k8s.io", kind, "", vec![cause]));
        }
    };
    let about_a_resource = given("resourceAttributes").is_some();
    if about_a_resource && action.resource.is_empty() {
        // Not a question about the empty path.
        return Ok(json!({"allowed": false}));
    }
    let decision = allows(user, &action);
    Ok(if decision.reason.is_empty() {
        json!({"allowed": decision.allowed})
    } else {
        json!({"allowed": decision.allowed, "reason": decision.reason})
    })
}

/// The user whom a `SubjectAccessReview` asks about. Groups are only those that it names.
fn subject(kind: &str, spec: &Value) -> ApiResult<User> {
    let user = User {
        name: text(spec, "user").to_owned(),
        uid: text(spec, "uid").to_owned(),
        groups: texts(spec.get("groups")),
        extra: extra(spec.get("extra")),
    };
    if user.name.is_empty() && user.groups.is_empty() {
        let why = "at least one of user or group must be specified";
        let cause = Cause::invalid("spec.user", &Value::from(""), why);
        return Err(ApiError::invalid("authorization.k8s.io", kind, "", vec![cause]));
    }
    Ok(user)
}

/// A user as `authentication.k8s.io/v1` writes it.
pub fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    info.insert("username".to_owned(), user.name.as_str().into());
    info.insert("groups".to_owned(), json!(user.groups));
    if !user.uid.is_empty() {
        info.insert("uid".to_owned(), user.uid.as_str().into());
    }
    if !user.extra.is_empty() {
        info.insert("extra".to_owned(), json!(user.extra));
    }
    info.into()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn extra(value: Option<&Value>) -> BTreeMap<String, Vec<String>> {
    let map = value.and_then(Value::as_object).into_iter().flatten();
    map.map(|(key, value)| (key.clone(), texts(Some(value)))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{AUTHENTICATED, roles};
    use super::*;

    fn viewer() -> User {
        User { uid: "u1".into(), ..User::new("vera", &[roles::VIEWERS]) }
    }

    fn can(verb: &str, resource: &str) -> Value {
        json!({"resourceAttributes": {
            "verb": verb, "group": "inventory.inv-tui.dev", "resource": resource, "namespace": "a",
        }})
    }

    #[test]
    fn may_i() {
        let answer = |spec| review("SelfSubjectAccessReview", &spec, &viewer()).unwrap();
        let yes = answer(can("get", "hosts"));
        assert_eq!(yes["allowed"], true);
        assert_eq!(yes["reason"], "allowed to group \"inv:viewers\"");
        assert_eq!(answer(can("delete", "hosts")), json!({"allowed": false}));
        assert_eq!(answer(can("*", "*")), json!({"allowed": false}));
        assert_eq!(answer(can("get", "")), json!({"allowed": false}));
        let path = json!({"nonResourceAttributes": {"verb": "get", "path": "/apis"}});
        assert_eq!(answer(path)["allowed"], true);
    }

    #[test]
    fn a_question_has_exactly_one_subject_matter() {
        let both = json!({"resourceAttributes": {}, "nonResourceAttributes": {}});
        for spec in [json!({}), Value::Null, both, json!({"resourceAttributes": null})] {
            let error = review("SelfSubjectAccessReview", &spec, &viewer()).unwrap_err();
            assert_eq!((error.code, error.reason), (422, "Invalid"), "{spec}");
            assert_eq!(error.details.causes[0].field, "spec.resourceAttributes");
        }
    }

    #[test]
    fn may_somebody_else() {
        let mut spec = can("patch", "hosts");
        let error = review("SubjectAccessReview", &spec, &viewer()).unwrap_err();
        assert_eq!(error.details.causes[0].field, "spec.user");
        spec["user"] = "otto".into();
        let answer = |spec: &Value| review("SubjectAccessReview", spec, &viewer()).unwrap();
        assert_eq!(answer(&spec)["allowed"], false);
        spec["groups"] = json!([roles::OPERATORS]);
        assert_eq!(answer(&spec)["allowed"], true);
    }

    #[test]
    fn who_am_i() {
        let answer = review("SelfSubjectReview", &Value::Null, &viewer()).unwrap();
        let groups = [roles::VIEWERS, AUTHENTICATED];
        let wanted = json!({"username": "vera", "uid": "u1", "groups": groups});
        assert_eq!(answer["userInfo"], wanted);
    }

    #[test]
    fn what_may_i() {
        let spec = json!({"namespace": "a"});
        let answer = review("SelfSubjectRulesReview", &spec, &viewer()).unwrap();
        assert_eq!(answer["incomplete"], false);
        assert!(answer["resourceRules"].as_array().unwrap().len() > 3);
        assert!(!answer["nonResourceRules"].as_array().unwrap().is_empty());
        let error = review("SelfSubjectRulesReview", &json!({}), &viewer()).unwrap_err();
        assert_eq!(error.code, 400);
    }
}
