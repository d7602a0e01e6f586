//! `Status` objects: what a client can tell from them.

use serde_json::json;

use crate::client::{Identity, query};
use crate::world::case;

#[test]
fn shape() {
    case(async |t| {
        let answer = t.get(&t.widget("a")).await.fails(404, "NotFound");
        let answer = answer.about("a", &t.group, "widgets");
        let status = answer.json.as_object().unwrap();
        assert_eq!(status["metadata"], json!({}));
        assert_eq!(status["message"], format!("widgets.{} \"a\" not found", t.group));
        let answer = t.get(&format!("{}/a", t.core("configmaps"))).await.is(404);
        assert_eq!(answer.json["message"], "configmaps \"a\" not found");
    });
}

#[test]
fn unauthorized() {
    case(async |t| {
        let stranger = t.with(Identity::Token("nonsense".to_owned()));
        for path in [t.widgets(), "/api".to_owned(), "/version".to_owned()] {
            let answer = stranger.get(&path).await.fails(401, "Unauthorized");
            assert_eq!(answer.json["message"], "Unauthorized");
        }
    });
}

#[test]
fn forbidden() {
    case(async |t| {
        let user = t.with(t.user(&t.ns, &[]).await);
        let group = &t.group;
        let answer = user.get(&t.widget("a")).await.fails(403, "Forbidden");
        let message = answer.json["message"].as_str().unwrap().to_owned();
        let wanted = format!(
            "widgets.{group} \"a\" is forbidden: User \"{}\" cannot get resource \"widgets\" in API group \"{group}\" in the namespace \"{}\"",
            t.ns, t.ns
        );
        assert!(message.starts_with(&wanted), "{message}");
        drop(answer.about("a", group, "widgets"));
        let answer = user.get(&t.zones()).await.fails(403, "Forbidden");
        let message = answer.json["message"].as_str().unwrap();
        assert!(
            message.contains("cannot list resource \"zones\" in API group")
                && message.contains("at the cluster scope"),
            "{message}"
        );
        let answer = user.merge(&format!("{}/status", t.widget("a")), &json!({})).await;
        let answer = answer.fails(403, "Forbidden");
        let message = answer.json["message"].as_str().unwrap();
        assert!(message.contains("cannot patch resource \"widgets/status\""), "{message}");
        let answer = user.get("/nope").await.fails(403, "Forbidden");
        let message = answer.json["message"].as_str().unwrap();
        assert!(message.contains("cannot get path \"/nope\""), "{message}");
        let answer = user.post(&t.core("configmaps"), &json!({"metadata": {"name": "a"}})).await;
        let answer = answer.fails(403, "Forbidden");
        let message = answer.json["message"].as_str().unwrap();
        assert!(
            message.contains("cannot create resource \"configmaps\" in API group \"\""),
            "{message}"
        );
    });
}

#[test]
fn invalid_names_each_cause() {
    case(async |t| {
        let spec = json!({"region": "mars", "cpu": 0, "ip": 1, "label": "UPPER and long", "parts": ["a", "b", "c", "d"]});
        let answer = t.post(&t.widgets(), &t.with_spec("a", spec)).await;
        let answer = answer.fails(422, "Invalid").about("a", &t.group, "Widget");
        let causes = answer.json["details"]["causes"].as_array().unwrap();
        for (reason, field) in [
            ("FieldValueNotSupported", "spec.region"),
            ("FieldValueInvalid", "spec.cpu"),
            ("FieldValueTypeInvalid", "spec.ip"),
            ("FieldValueTooLong", "spec.label"),
            ("FieldValueTooMany", "spec.parts"),
        ] {
            let found =
                causes.iter().any(|cause| cause["reason"] == reason && cause["field"] == field);
            assert!(found, "no {reason} {field} in {answer}");
        }
        // Rules are not asked about a value that has not even its types.
        assert!(causes.iter().any(|cause| cause["field"] == "<nil>"), "{answer}");
        for cause in causes {
            assert!(!cause["message"].as_str().unwrap().is_empty(), "{answer}");
        }
        let message = answer.json["message"].as_str().unwrap();
        assert!(
            message.starts_with(&format!("Widget.{} \"a\" is invalid: ", t.group)),
            "{message}"
        );
    });
}

#[test]
fn errors_are_json_whatever_is_asked_for() {
    case(async |t| {
        let answer = t.get_as(&t.widget("a"), crate::client::TABLE).await;
        answer.fails(404, "NotFound");
        let answer = t.get_as(&query(&t.widget("a"), &[]), "application/yaml").await.is(404);
        assert!(answer.text().contains("NotFound"), "{answer}");
    });
}
