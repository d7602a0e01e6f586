use super::super::auth::request::tests::make;
use super::super::auth::roles::{ADMINS, APPROVERS, HOSTS};
use super::*;

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn user() -> User {
    User { uid: "u1".into(), ..User::new("inv:host:ns:web-1", &[HOSTS]) }
}

fn object(group: &str) -> Value {
    let (pem, _) = make("inv:host:ns:web-1", group, &[]);
    json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": KIND, "metadata": {"name": "csr-1"},
        "spec": {
            "request": STANDARD.encode(pem), "signerName": CLIENT_SIGNER,
            "usages": ["client auth", "digital signature"],
        },
    })
}

fn approved() -> Value {
    let mut object = object(HOSTS);
    on_create(&user(), &mut object).unwrap();
    decide(&object, APPROVED).unwrap()
}

fn decide(old: &Value, kind: &str) -> ApiResult<Value> {
    let mut new = old.clone();
    let mut list = conditions(old).to_vec();
    list.push(json!({"type": kind, "status": "True", "reason": "x"}));
    set_conditions(&mut new, list.into());
    on_approval(&User::new("anna", &[APPROVERS]), old, &mut new, now())?;
    Ok(new)
}

/// Code, and each cause's reason and field.
fn wrong(result: ApiResult<()>) -> (u16, Vec<(&'static str, String)>) {
    let error = result.unwrap_err();
    (error.code, error.details.causes.into_iter().map(|c| (c.reason, c.field)).collect())
}

#[test]
fn a_new_request_says_who_asks_whatever_it_said_itself() {
    let mut object = object(HOSTS);
    object["spec"]["username"] = "root".into();
    object["spec"]["uid"] = "0".into();
    object["spec"]["groups"] = json!([MASTERS]);
    object["spec"]["extra"] = json!({"a": ["b"]});
    object["status"] = json!({"certificate": "eA=="});
    on_create(&user(), &mut object).unwrap();
    let spec = &object["spec"];
    assert_eq!((&spec["username"], &spec["uid"]), (&json!("inv:host:ns:web-1"), &json!("u1")));
    assert_eq!(spec["groups"], json!([HOSTS, "system:authenticated"]));
    assert_eq!(spec.get("extra"), None);
    assert_eq!(object["status"], json!({}));
    assert!(is_own(&user(), &object));
    assert!(!is_own(&User::new("other", &[]), &object));
    assert!(!is_own(&User::default(), &json!({})));
}

#[test]
fn every_rule_of_a_new_request() {
    let (pem, _) = make("a", "b", &[]);
    let cut = STANDARD.encode(&pem[..80]);
    #[rustfmt::skip]
    let table: &[(&str, Value, &str, &str)] = &[
        ("request", Value::Null, "FieldValueRequired", "spec.request"),
        ("request", json!("***"), "FieldValueInvalid", "spec.request"),
        ("request", json!(cut), "FieldValueInvalid", "spec.request"),
        ("signerName", Value::Null, "FieldValueRequired", "spec.signerName"),
        ("signerName", json!("kubernetes.io/legacy-unknown"), "FieldValueInvalid", "spec.signerName"),
        ("signerName", json!("no-slash"), "FieldValueInvalid", "spec.signerName"),
        ("signerName", json!("nodots/x"), "FieldValueInvalid", "spec.signerName"),
        ("signerName", json!("a.b/c/d"), "FieldValueInvalid", "spec.signerName"),
        ("signerName", json!("a.b/"), "FieldValueInvalid", "spec.signerName"),
        ("signerName", json!("a.B/x"), "FieldValueInvalid", "spec.signerName"),
        ("signerName", json!("a.b/-x"), "FieldValueInvalid", "spec.signerName"),
        ("signerName", json!(format!("a.b/{}", "x".repeat(600))), "FieldValueInvalid", "spec.signerName"),
        ("usages", json!([]), "FieldValueRequired", "spec.usages"),
        ("usages", Value::Null, "FieldValueRequired", "spec.usages"),
        ("usages", json!(["client auth", "dancing"]), "FieldValueNotSupported", "spec.usages[1]"),
        ("usages", json!([7]), "FieldValueNotSupported", "spec.usages[0]"),
        ("usages", json!(["any", "any"]), "FieldValueDuplicate", "spec.usages[1]"),
        ("expirationSeconds", json!(599), "FieldValueInvalid", "spec.expirationSeconds"),
        ("expirationSeconds", json!("1h"), "FieldValueInvalid", "spec.expirationSeconds"),
    ];
    for (key, value, reason, field) in table {
        let mut object = object(HOSTS);
        object["spec"][*key] = value.clone();
        let wanted = (422, vec![(*reason, (*field).to_owned())]);
        assert_eq!(wrong(on_create(&user(), &mut object)), wanted, "{key} {value}");
    }
    for (key, value) in [
        ("expirationSeconds", json!(600)),
        ("signerName", json!("inventory.inv-tui.dev/agent")),
        ("usages", json!(USAGES)),
    ] {
        let mut object = object(HOSTS);
        object["spec"][key] = value;
        on_create(&user(), &mut object).unwrap();
    }
    let (code, causes) = wrong(on_create(&user(), &mut json!({"metadata": {}})));
    assert_eq!((code, causes.len()), (422, 3));
    for odd in [json!([]), json!({"spec": 1})] {
        assert_eq!(wrong(on_create(&user(), &mut odd.clone())).0, 400);
    }
}

#[test]
fn line_ends_in_base64_do_not_matter() {
    let mut object = object(HOSTS);
    let text = object["spec"]["request"].as_str().unwrap();
    let (a, b) = text.split_at(60);
    object["spec"]["request"] = format!("{a}\r\n{b}\n").into();
    on_create(&user(), &mut object).unwrap();
}

#[test]
fn nobody_gets_a_client_certificate_of_a_master() {
    let mut object = object(MASTERS);
    let error = on_create(&user(), &mut object).unwrap_err();
    assert_eq!((error.code, error.reason), (403, "Forbidden"));
    assert!(error.message.contains("system:masters"), "{error}");
    object["spec"]["signerName"] = "example.com/other".into();
    on_create(&user(), &mut object).unwrap();
}

#[test]
fn an_update_changes_neither_spec_nor_status() {
    let old = approved();
    let mut new = old.clone();
    new["spec"]["usages"] = json!(["any"]);
    new["status"] = json!({"conditions": []});
    new["metadata"]["labels"] = json!({"a": "b"});
    on_update(&old, &mut new);
    assert_eq!((&new["spec"], &new["status"]), (&old["spec"], &old["status"]));
    assert_eq!(new["metadata"]["labels"]["a"], "b");
}

#[test]
fn an_approval_is_stamped_and_touches_conditions_only() {
    let mut old = object(HOSTS);
    on_create(&user(), &mut old).unwrap();
    let mut new = old.clone();
    new["spec"]["usages"] = json!(["any"]);
    new["status"] = json!({
        "certificate": "eA==", "conditions": [{"type": APPROVED, "status": "True"}],
    });
    on_approval(&User::new("anna", &[APPROVERS]), &old, &mut new, now()).unwrap();
    assert_eq!(new["spec"], old["spec"]);
    assert_eq!(new["status"].get("certificate"), None);
    let condition = &new["status"]["conditions"][0];
    assert_eq!(condition["lastUpdateTime"], "2026-11-20T12:00:00Z");
    assert_eq!(condition["lastTransitionTime"], "2026-11-20T12:00:00Z");

    // A later change of the text keeps the time of the decision.
    let old = new;
    let mut new = old.clone();
    new["status"]["conditions"] = json!([{"type": APPROVED, "status": "True", "message": "y"}]);
    let later = now() + SignedDuration::from_mins(1);
    on_approval(&User::owner(), &old, &mut new, later).unwrap();
    let condition = &new["status"]["conditions"][0];
    assert_eq!(condition["lastUpdateTime"], "2026-11-20T12:01:00Z");
    assert_eq!(condition["lastTransitionTime"], "2026-11-20T12:00:00Z");
}

#[test]
fn approval_needs_the_right_to_approve_for_the_old_signer() {
    let mut old = object(HOSTS);
    old["spec"]["signerName"] = "example.com/x".into();
    let mut new = old.clone();
    new["spec"]["signerName"] = CLIENT_SIGNER.into();
    let error = on_approval(&User::new("anna", &[APPROVERS]), &old, &mut new, now()).unwrap_err();
    assert_eq!(error.code, 403);
    let text = "user not permitted to approve requests with signerName \"example.com/x\"";
    assert!(error.message.ends_with(text), "{error}");
    assert!(on_approval(&User::new("root", &[ADMINS]), &old, &mut new, now()).is_ok());
}

#[test]
fn every_rule_of_conditions() {
    let approved = approved();
    let anna = User::new("anna", &[APPROVERS]);
    let causes = |list: Value| {
        let mut new = approved.clone();
        set_conditions(&mut new, list);
        wrong(on_approval(&anna, &approved, &mut new, now())).1
    };
    let (list, yes) = ("status.conditions", &approved["status"]["conditions"][0]);
    let one = |reason, field: &str| vec![(reason, field.to_owned())];
    assert_eq!(causes(json!([])), one("FieldValueForbidden", list));
    assert_eq!(causes(Value::Null), one("FieldValueForbidden", list));
    let denied = json!({"type": DENIED, "status": "True"});
    assert_eq!(causes(json!([yes, denied])), one("FieldValueInvalid", list));
    let failed = json!({"type": FAILED, "status": "True"});
    assert_eq!(causes(json!([yes, failed])), one("FieldValueForbidden", list));
    let odd = "status.conditions[1].type";
    assert_eq!(causes(json!([yes, yes])), one("FieldValueDuplicate", odd));
    let not = json!([{"type": APPROVED, "status": "False"}]);
    assert_eq!(causes(not), one("FieldValueInvalid", "status.conditions[0].status"));
    let none = json!([{"type": APPROVED}]);
    assert_eq!(causes(none), one("FieldValueRequired", "status.conditions[0].status"));
    assert_eq!(causes(json!("x")), one("FieldValueTypeInvalid", list));
    assert!(causes(json!([yes, 7])).contains(&("FieldValueRequired", odd.to_owned())));
    assert!(decide(&object(HOSTS), DENIED).is_ok());
}

#[test]
fn status_takes_a_certificate_once_and_no_decision() {
    let authority = Authority::in_memory(now()).unwrap();
    let old = approved();
    let admin = User::owner();
    let set = |old: &Value, text: &str| {
        let mut new = old.clone();
        new["status"]["certificate"] = STANDARD.encode(text).into();
        on_status(&admin, old, &mut new, now()).map(|()| new)
    };
    let field = |result: ApiResult<Value>| wrong(result.map(|_| ())).1;
    let bad = vec![("FieldValueInvalid", "status.certificate".to_owned())];
    assert_eq!(field(set(&old, "nothing")), bad);
    assert_eq!(
        field(set(&old, "-----BEGIN CERTIFICATE-----\neA==\n-----END CERTIFICATE-----\n")),
        bad
    );
    let signed = set(&old, authority.certificate()).unwrap();
    let other = Authority::in_memory(now()).unwrap();
    let modified = vec![("FieldValueForbidden", "status.certificate".to_owned())];
    assert_eq!(field(set(&signed, other.certificate())), modified);

    let mut new = old.clone();
    new["status"]["conditions"][0]["message"] = "changed".into();
    let conditions = vec![("FieldValueForbidden", "status.conditions".to_owned())];
    assert_eq!(wrong(on_status(&admin, &old, &mut new, now())).1, conditions);
    let pending = object(HOSTS);
    let mut new = old.clone();
    assert_eq!(wrong(on_status(&admin, &pending, &mut new, now())).1, conditions);

    let mut new = old.clone();
    new["spec"] = json!({});
    let list = new["status"]["conditions"].as_array_mut().unwrap();
    list.push(json!({"type": FAILED, "status": "True"}));
    list.push(json!({"type": "Checked", "status": "Unknown"}));
    on_status(&admin, &old, &mut new, now()).unwrap();
    assert_eq!(new["spec"], old["spec"]);
    assert!(new["status"]["conditions"][1]["lastUpdateTime"].is_string());
}

#[test]
fn signing_by_hand_needs_the_right_to_sign() {
    let old = approved();
    let anna = User::new("anna", &[APPROVERS]);
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({"a": "b"});
    assert!(on_status(&anna, &old, &mut new, now()).is_ok(), "nothing is signed");
    new["status"]["certificate"] = "eA==".into();
    assert_eq!(on_status(&anna, &old, &mut new, now()).unwrap_err().code, 403);
}

#[test]
fn an_approved_request_is_signed_and_accepted_by_its_own_server() {
    let authority = Authority::in_memory(now()).unwrap();
    let mut object = approved();
    object["spec"]["expirationSeconds"] = 3600.into();
    let status = sign(&authority, &object, now()).unwrap();
    assert_eq!(status["conditions"], object["status"]["conditions"]);
    let pem = decode(status["certificate"].as_str().unwrap()).unwrap();
    let der = CertificateDer::from_pem_slice(&pem).unwrap();
    let verified = authority.verify(&[der], now()).unwrap();
    assert_eq!(verified.user.name, "inv:host:ns:web-1");
    assert!(verified.user.is_in(HOSTS));
    assert_eq!(verified.not_after, now() + SignedDuration::from_hours(1));
    let mut new = object.clone();
    new["status"] = status;
    on_status(&User::owner(), &object, &mut new, now()).unwrap();
    assert_eq!(sign(&authority, &new, now()), None, "once is enough");
}

#[test]
fn what_is_not_to_be_signed_is_left_alone() {
    let authority = Authority::in_memory(now()).unwrap();
    let mut pending = object(HOSTS);
    on_create(&user(), &mut pending).unwrap();
    assert_eq!(sign(&authority, &pending, now()), None);
    assert_eq!(sign(&authority, &decide(&pending, DENIED).unwrap(), now()), None);
    let mut other = approved();
    other["spec"]["signerName"] = "example.com/x".into();
    assert_eq!(sign(&authority, &other, now()), None);
    assert_eq!(sign(&authority, &Value::Null, now()), None);
}

#[test]
fn what_cannot_be_signed_fails_with_a_reason_and_only_once() {
    let authority = Authority::in_memory(now()).unwrap();
    let with = |key: &str, value: Value| {
        let mut object = approved();
        object["spec"][key] = value;
        object
    };
    let (nameless, _) = make("", "g", &[]);
    let (master, _) = make("a", MASTERS, &[]);
    for object in [
        with("usages", json!(["digital signature"])),
        with("usages", json!(["client auth", "server auth"])),
        with("request", json!("eA==")),
        with("request", STANDARD.encode(nameless).into()),
        with("request", STANDARD.encode(master).into()),
    ] {
        let status = sign(&authority, &object, now()).unwrap();
        assert_eq!(status.get("certificate"), None);
        let failed = &status["conditions"][1];
        assert_eq!((&failed["type"], &failed["status"]), (&json!(FAILED), &json!("True")));
        assert_eq!(failed["reason"], "SignerValidationFailure");
        assert_eq!(
            sign(&authority, &json!({"spec": object["spec"], "status": status}), now()),
            None
        );
    }
}

#[test]
fn old_requests_are_cleaned_away() {
    let at = |minutes| now() + SignedDuration::from_mins(minutes);
    let mut pending = object(HOSTS);
    pending["metadata"]["creationTimestamp"] = time(now());
    assert!(!expired(&pending, at(24 * 60)));
    assert!(expired(&pending, at(24 * 60 + 1)));
    for kind in FINAL {
        let mut decided = pending.clone();
        let condition = json!({"type": kind, "status": "True", "lastUpdateTime": time(at(100))});
        decided["status"] = json!({"conditions": [condition]});
        assert!(!expired(&decided, at(160)), "{kind}");
        assert!(expired(&decided, at(161)), "{kind}");
    }
    assert!(!expired(&json!({}), at(100_000)));
}
