use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn crd() -> Value {
    let mut crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "hosts.inv.example.com"},
        "spec": {
            "group": "inv.example.com", "scope": "Namespaced",
            "names": {"plural": "hosts", "kind": "Host", "shortNames": ["hst"], "categories": ["inv"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                    "type": "object", "properties": {"a": {"type": "string"}, "n": {"type": "number"}},
                }}}},
                "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".spec.a"}],
                "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".spec.a", "priority": 1}],
            }],
        },
    });
    default(&mut crd);
    crd
}

fn at<'a>(crd: &'a mut Value, pointer: &str) -> &'a mut Value {
    crd.pointer_mut(pointer).unwrap()
}

fn short(causes: &[Cause]) -> Vec<(String, &'static str)> {
    let word = |c: &Cause| c.reason.strip_prefix("FieldValue").unwrap_or(c.reason);
    causes.iter().map(|c| (c.field.clone(), word(c))).collect()
}

fn now() -> jiff::Timestamp {
    "2026-11-20T10:00:00.5Z".parse().unwrap()
}

#[test]
fn our_own_crds_pass_and_stay_what_they_are() {
    for text in [
        include_str!("../../../crds/hosts.yaml"),
        include_str!("../../../crds/clusters.yaml"),
        include_str!("../../../crds/regions.yaml"),
        include_str!("../../../crds/sources.yaml"),
    ] {
        let file: Value = serde_saphyr::from_str(text).unwrap();
        let mut stored = file.clone();
        default(&mut stored);
        assert_eq!(check(&stored), []);
        establish(&mut stored, &[], now());
        assert!(established(&stored));
        assert_eq!(stored["spec"]["versions"], file["spec"]["versions"]);
        let kinds = kinds(&stored).unwrap();
        assert_eq!(kinds.len(), 1);
        assert!(kinds[0].custom && kinds[0].has_status() && !kinds[0].schema.properties.is_empty());
        assert_eq!(establish_again(&stored), stored);
    }
}

fn establish_again(crd: &Value) -> Value {
    let mut again = crd.clone();
    let taken = kinds(crd).unwrap();
    establish(&mut again, &taken, "2027-01-01T00:00:00Z".parse().unwrap());
    again
}

#[test]
fn what_is_left_out_is_filled_in() {
    let names = &crd()["spec"]["names"];
    assert_eq!((&names["singular"], &names["listKind"]), (&json!("host"), &json!("HostList")));
    assert_eq!(crd()["spec"]["conversion"], json!({"strategy": "None"}));
    let mut twice = crd();
    default(&mut twice);
    assert_eq!(twice, crd());
}

#[test]
fn each_rule_names_its_field() {
    let column = |c: Value| json!([c]);
    let nine: Vec<Value> = (0..9).map(|_| json!({"jsonPath": ".spec.a"})).collect();
    for (pointer, value, field, reason) in [
        ("/metadata/name", json!("host.inv.example.com"), "metadata.name", "Invalid"),
        ("/spec/scope", json!("Galaxy"), "spec.scope", "NotSupported"),
        ("/spec/scope", json!(""), "spec.scope", "Required"),
        ("/spec/names/kind", json!("H_st"), "spec.names.kind", "Invalid"),
        ("/spec/names/kind", json!(""), "spec.names.kind", "Required"),
        ("/spec/names/listKind", json!("Host"), "spec.names.listKind", "Invalid"),
        ("/spec/names/singular", json!("Host"), "spec.names.singular", "Invalid"),
        ("/spec/names/shortNames", json!(["hst", "h.t"]), "spec.names.shortNames[1]", "Invalid"),
        ("/spec/names/categories", json!(["1"]), "spec.names.categories[0]", "Invalid"),
        ("/spec/preserveUnknownFields", json!(true), "spec.preserveUnknownFields", "Invalid"),
        ("/spec/conversion/strategy", json!("Webhook"), "spec.conversion.strategy", "Invalid"),
        ("/spec/conversion/strategy", json!("Magic"), "spec.conversion.strategy", "NotSupported"),
        ("/spec/versions", json!([]), "spec.versions", "Required"),
        ("/spec/versions", json!(5), "spec", "TypeInvalid"),
        ("/spec/versions/0/name", json!("V1"), "spec.versions[0].name", "Invalid"),
        ("/spec/versions/0/storage", json!(false), "spec.versions", "Invalid"),
        ("/spec/versions/0/served", json!(false), "spec.versions", "Invalid"),
        (
            "/spec/versions/0/schema",
            json!(null),
            "spec.versions[0].schema.openAPIV3Schema",
            "Required",
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/a",
            json!({}),
            "spec.validation.openAPIV3Schema.properties[spec].properties[a].type",
            "Required",
        ),
        (
            "/spec/versions/0/selectableFields",
            json!([{"jsonPath": ".spec.b"}]),
            "spec.versions[0].selectableFields[0].jsonPath",
            "Invalid",
        ),
        (
            "/spec/versions/0/selectableFields",
            json!([{"jsonPath": ".spec.n"}]),
            "spec.versions[0].selectableFields[0].jsonPath",
            "Invalid",
        ),
        (
            "/spec/versions/0/selectableFields",
            json!([{"jsonPath": ".metadata.name"}]),
            "spec.versions[0].selectableFields[0].jsonPath",
            "Invalid",
        ),
        (
            "/spec/versions/0/selectableFields",
            json!([{"jsonPath": ""}]),
            "spec.versions[0].selectableFields[0].jsonPath",
            "Required",
        ),
        (
            "/spec/versions/0/selectableFields",
            nine.into(),
            "spec.versions[0].selectableFields",
            "TooMany",
        ),
        (
            "/spec/versions/0/additionalPrinterColumns",
            column(json!({"name": "", "type": "string", "jsonPath": ".a"})),
            "spec.versions[0].additionalPrinterColumns[0].name",
            "Required",
        ),
        (
            "/spec/versions/0/additionalPrinterColumns",
            column(json!({"name": "A", "type": "text", "jsonPath": ".a"})),
            "spec.versions[0].additionalPrinterColumns[0].type",
            "NotSupported",
        ),
        (
            "/spec/versions/0/additionalPrinterColumns",
            column(json!({"name": "A", "type": "string", "jsonPath": "a"})),
            "spec.versions[0].additionalPrinterColumns[0].jsonPath",
            "Invalid",
        ),
        (
            "/spec/versions/0/additionalPrinterColumns",
            column(json!({"name": "A", "type": "string", "format": "x", "jsonPath": ".a"})),
            "spec.versions[0].additionalPrinterColumns[0].format",
            "NotSupported",
        ),
        (
            "/spec/versions/0/subresources/scale",
            json!({"specReplicasPath": ".status.n", "statusReplicasPath": ".status.n"}),
            "spec.versions[0].subresources.scale.specReplicasPath",
            "Invalid",
        ),
    ] {
        let mut crd = crd();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        at(&mut crd, parent)[name] = value;
        let causes = check(&crd);
        assert!(short(&causes).contains(&(field.to_owned(), reason)), "{pointer} {causes:?}");
        if !matches!(reason, "TooMany") {
            assert_eq!(causes.len(), 1, "{pointer} {causes:?}");
        }
    }
}

#[test]
fn groups_of_the_kubernetes_project_need_an_approval() {
    let mut crd = crd();
    crd["spec"]["group"] = "inv.k8s.io".into();
    crd["metadata"]["name"] = "hosts.inv.k8s.io".into();
    let field = "metadata.annotations[api-approved.kubernetes.io]".to_owned();
    assert_eq!(short(&check(&crd)), [(field, "Required")]);
    crd["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "https://x"});
    assert_eq!(check(&crd), []);
    crd["spec"]["group"] = "local".into();
    crd["metadata"]["name"] = "hosts.local".into();
    assert_eq!(short(&check(&crd)), [("spec.group".to_owned(), "Invalid")]);
}

#[test]
fn a_schema_that_versions_do_not_share_has_the_path_of_its_version() {
    let mut crd = crd();
    let mut second = crd["spec"]["versions"][0].clone();
    second["name"] = "v2".into();
    second["storage"] = false.into();
    *at(&mut second, "/schema/openAPIV3Schema/type") = "array".into();
    at(&mut crd, "/spec/versions").as_array_mut().unwrap().push(second);
    let fields = short(&check(&crd)).into_iter().map(|(f, _)| f).collect::<Vec<_>>();
    assert!(
        fields.contains(&"spec.versions[1].schema.openAPIV3Schema.type".to_owned()),
        "{fields:?}"
    );
    *at(&mut crd, "/spec/versions/1/name") = "v1".into();
    *at(&mut crd, "/spec/versions/1/schema/openAPIV3Schema/type") = "object".into();
    assert_eq!(short(&check(&crd)), [("spec.versions[1].name".to_owned(), "Invalid")]);
}

#[test]
fn a_schema_that_versions_share_is_refused_once() {
    let mut crd = crd();
    at(&mut crd, "/spec/versions/0").as_object_mut().unwrap().remove("selectableFields");
    *at(&mut crd, "/spec/versions/0/schema/openAPIV3Schema") = json!({"type": "array"});
    let mut second = crd["spec"]["versions"][0].clone();
    second["name"] = "v2".into();
    second["storage"] = false.into();
    at(&mut crd, "/spec/versions").as_array_mut().unwrap().push(second);
    let path = "spec.validation.openAPIV3Schema";
    let wanted = [(format!("{path}.type"), "Invalid"), (format!("{path}.items"), "Required")];
    assert_eq!(short(&check(&crd)), wanted);
}

#[test]
fn scope_and_kind_of_an_established_crd_stay_and_stored_versions_too() {
    let mut old = crd();
    establish(&mut old, &[], now());
    let mut new = old.clone();
    new["spec"]["scope"] = "Cluster".into();
    assert_eq!(short(&check_update(&new, &old)), [("spec.scope".to_owned(), "Invalid")]);
    assert_eq!(check_update(&new, &crd()), []);
    let mut new = old.clone();
    *at(&mut new, "/spec/versions/0/name") = "v2".into();
    assert_eq!(
        short(&check_update(&new, &old)),
        [("status.storedVersions[0]".to_owned(), "Invalid")]
    );
}

#[test]
fn names_are_accepted_and_the_crd_is_established() {
    let mut crd = crd();
    establish(&mut crd, &[], now());
    assert_eq!(crd["status"]["acceptedNames"], crd["spec"]["names"]);
    assert_eq!(crd["status"]["storedVersions"], json!(["v1"]));
    let conditions = &crd["status"]["conditions"];
    for (i, name, reason) in
        [(0, "NamesAccepted", "NoConflicts"), (1, "Established", "InitialNamesAccepted")]
    {
        assert_eq!(conditions[i]["type"], name);
        assert_eq!(conditions[i]["status"], "True");
        assert_eq!(conditions[i]["reason"], reason);
        assert_eq!(conditions[i]["lastTransitionTime"], "2026-11-20T10:00:00Z");
    }
    assert_eq!(establish_again(&crd), crd);
}

#[test]
fn a_name_is_not_given_twice() {
    let taken = kinds(&crd()).unwrap();
    let mut other = crd();
    other["metadata"]["name"] = "machines.inv.example.com".into();
    other["spec"]["names"] = json!({
        "plural": "machines", "singular": "machine", "kind": "Host", "listKind": "MachineList",
        "shortNames": ["hst", "m"],
    });
    let fresh = other.clone();
    establish(&mut other, &taken, now());
    assert!(!established(&other));
    let names = &other["status"]["acceptedNames"];
    assert_eq!((&names["kind"], &names["shortNames"]), (&json!(""), &json!(["m"])));
    let conditions = &other["status"]["conditions"];
    assert_eq!(
        (&conditions[0]["status"], &conditions[0]["reason"]),
        (&json!("False"), &json!("KindConflict"))
    );
    assert_eq!(
        (&conditions[1]["status"], &conditions[1]["reason"]),
        (&json!("False"), &json!("NotAccepted"))
    );
    // The name becomes free, and then the CRD is established and stays so.
    establish(&mut other, &[], now());
    assert!(established(&other));
    establish(&mut other, &taken, now());
    assert!(established(&other));
    assert_eq!(other["status"]["conditions"][0]["status"], "False");
    // The same names in another group are no conflict.
    let mut elsewhere = fresh;
    elsewhere["spec"]["group"] = "other.example.com".into();
    establish(&mut elsewhere, &taken, now());
    assert!(established(&elsewhere));
}

#[test]
fn storage_versions_are_remembered() {
    let mut crd = crd();
    establish(&mut crd, &[], now());
    *at(&mut crd, "/spec/versions/0/name") = "v2".into();
    establish(&mut crd, &[], now());
    assert_eq!(crd["status"]["storedVersions"], json!(["v1", "v2"]));
}

#[test]
fn each_served_version_is_a_kind_and_the_stable_newest_is_preferred() {
    let mut crd = crd();
    let first = crd["spec"]["versions"][0].clone();
    for (name, served) in
        [("v2beta1", true), ("v2", true), ("v3alpha1", true), ("next", true), ("v9", false)]
    {
        let mut version = first.clone();
        version["name"] = name.into();
        version["served"] = served.into();
        version["storage"] = false.into();
        version.as_object_mut().unwrap().remove("additionalPrinterColumns");
        at(&mut crd, "/spec/versions").as_array_mut().unwrap().push(version);
    }
    assert_eq!(check(&crd), []);
    let kinds = kinds(&crd).unwrap();
    let versions: Vec<&str> = kinds.iter().map(|k| k.version.as_str()).collect();
    assert_eq!(versions, ["v2", "v1", "v2beta1", "v3alpha1", "next"]);
    assert_eq!(kinds.iter().filter(|k| k.deprecated).count(), 4);
    assert!(!kinds[0].deprecated);
    let columns = |kind: &Kind| kind.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    assert_eq!(
        (columns(&kinds[0]), columns(&kinds[1])),
        (vec!["Age".to_owned()], vec!["A".to_owned()])
    );
    assert_eq!(
        (kinds[1].columns[0].priority, kinds[1].columns[0].json_path.as_str()),
        (1, ".spec.a")
    );
    assert_eq!(kinds[0].selectable, ["spec.a"]);
    assert_eq!(kinds[0].subresources, ["status"]);
    assert_eq!(kinds[0].api_version(), "inv.example.com/v2");
    assert!(kinds[0].namespaced);
}

#[test]
fn deep_schemas_do_not_use_up_the_stack() {
    let mut text = r#"{"type":"object"}"#.to_owned();
    for _ in 0..58 {
        text = format!(r#"{{"type":"object","properties":{{"a":{text}}}}}"#);
    }
    let mut crd = crd();
    *at(&mut crd, "/spec/versions/0/schema/openAPIV3Schema") = serde_json::from_str(&text).unwrap();
    at(&mut crd, "/spec/versions/0").as_object_mut().unwrap().remove("selectableFields");
    assert_eq!(check(&crd), []);
    assert_eq!(kinds(&crd).unwrap().len(), 1);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "(v1|None|hosts|[a-z.]{0,5})".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(
                "(name|type|status|strategy|plural|[a-z]{0,4})",
                inner,
                0..4
            )
            .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_json_makes_anything_panic(value in any_json(), which in 0_usize..14) {
        let pointers = ["", "/metadata", "/spec", "/spec/names", "/spec/names/kind", "/spec/versions",
            "/spec/versions/0", "/spec/versions/0/schema", "/spec/conversion", "/status",
            "/status/conditions", "/status/storedVersions", "/spec/versions/0/selectableFields", "/spec/group"];
        let mut odd = crd();
        establish(&mut odd, &[], now());
        *at(&mut odd, pointers[which]) = value;
        default(&mut odd);
        let _ = (check(&odd), check_update(&odd, &crd()), check_update(&crd(), &odd), kinds(&odd));
        establish(&mut odd, &kinds(&crd()).unwrap(), now());
        set_condition(&mut odd, "Terminating", ("True", "InstanceDeletionPending", String::new()), now());
    }
}
