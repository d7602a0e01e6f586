//! Definitions, and what their schemas do to objects.

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::{PATIENCE, query};
use crate::world::{Case, DEFINITIONS, case, definition, discovered, served};

/// A definition of one version with these properties of `spec`, under a name of the case's own.
fn thing(t: &Case, properties: Value) -> Value {
    let schema = json!({"openAPIV3Schema": {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": properties}},
    }});
    definition(&format!("{}.example.com", t.ns), "Thing", "Namespaced", json!({"schema": schema}))
}

fn path_of(definition: &Value) -> String {
    format!("{DEFINITIONS}/{}", definition["metadata"]["name"].as_str().unwrap())
}

/// The collection of a `thing`, in the case's namespace.
fn things(t: &Case) -> String {
    format!("/apis/{}.example.com/v1/namespaces/{}/things", t.ns, t.ns)
}

fn new_thing(t: &Case, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": format!("{}.example.com/v1", t.ns),
        "kind": "Thing",
        "metadata": {"name": name},
        "spec": spec,
    })
}

async fn create(t: &Case, definition: &Value) {
    t.post(DEFINITIONS, definition).await.is(201);
    served(t.server(), definition).await;
}

fn schema(definition: &mut Value) -> &mut Value {
    &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

#[test]
fn lifecycle() {
    case(async |t| {
        let wanted = thing(&t, json!({}));
        let path = path_of(&wanted);
        let created = t.post(DEFINITIONS, &wanted).await.is(201).json;
        assert_eq!(created["spec"]["conversion"]["strategy"], "None");
        assert_eq!(created["spec"]["names"]["listKind"], "ThingList");
        assert_eq!(created["metadata"]["generation"], 1);
        served(t.server(), &wanted).await;
        let status = t.get(&path).await.is(200).json["status"].clone();
        for kind in ["NamesAccepted", "Established"] {
            let conditions = status["conditions"].as_array().unwrap();
            let found = conditions.iter().find(|condition| condition["type"] == kind).unwrap();
            assert_eq!(found["status"], "True", "{found}");
        }
        assert_eq!(status["acceptedNames"]["plural"], "things");
        assert_eq!(status["acceptedNames"]["kind"], "Thing");
        assert_eq!(status["storedVersions"], json!(["v1"]));
        t.post(DEFINITIONS, &wanted).await.fails(409, "AlreadyExists");
        t.post(&things(&t), &new_thing(&t, "a", json!({}))).await.is(201);
        t.delete(&path).await.is(200);
        t.until(&path, |answer| answer.status == 404).await;
        t.until(&things(&t), |answer| answer.status == 404).await;
        // A new one begins with nothing.
        create(&t, &wanted).await;
        let none: [&str; 0] = [];
        assert_eq!(t.get(&things(&t)).await.is(200).names(), none);
        t.delete(&path).await.is(200);
    });
}

/// Definitions that come and go at the same moment: each that is established is served.
#[test]
fn many_at_once() {
    case(async |t| {
        let schema = json!({"schema": {"openAPIV3Schema": {"type": "object"}}});
        let mut old: Vec<Value> = Vec::new();
        for round in 0..6 {
            let new: Vec<_> = (0..6)
                .map(|number| format!("r{round}.g{number}.{}.example.com", t.ns))
                .map(|group| definition(&group, "Thing", "Cluster", schema.clone()))
                .collect();
            let come = new.iter().map(async |new| {
                t.post(DEFINITIONS, new).await.is(201);
            });
            let go = old.iter().map(async |old| {
                t.delete(&path_of(old)).await.is(200);
            });
            tokio::join!(futures::future::join_all(come), futures::future::join_all(go));
            // What is stored is seen, too.
            futures::future::join_all(new.iter().map(async |new| {
                served(t.server(), new).await;
                let group = new["spec"]["group"].as_str().unwrap();
                let path = format!("/apis/{group}/v1/things");
                let version = format!("{group}/v1");
                let object =
                    json!({"apiVersion": version, "kind": "Thing", "metadata": {"name": "a"}});
                t.post(&path, &object).await.is(201);
                assert_eq!(t.get(&path).await.is(200).names(), ["a"]);
            }))
            .await;
            old = new;
        }
        for old in &old {
            t.delete(&path_of(old)).await.is(200);
        }
    });
}

#[test]
fn deletion_waits_for_finalizers_of_objects() {
    case(async |t| {
        let wanted = thing(&t, json!({}));
        create(&t, &wanted).await;
        let mut object = new_thing(&t, "a", json!({}));
        object["metadata"]["finalizers"] = json!(["example.com/f"]);
        t.post(&things(&t), &object).await.is(201);
        let deleted = t.delete(&path_of(&wanted)).await.is(200).json;
        assert_eq!(
            deleted["metadata"]["finalizers"],
            json!(["customresourcecleanup.apiextensions.k8s.io"])
        );
        let one = format!("{}/a", things(&t));
        t.until(&one, |answer| answer.json["metadata"]["deletionTimestamp"].is_string()).await;
        let answer = t.get(&path_of(&wanted)).await.is(200);
        assert!(answer.json["metadata"]["deletionTimestamp"].is_string());
        t.merge(&one, &json!({"metadata": {"finalizers": null}})).await.is(200);
        t.until(&path_of(&wanted), |answer| answer.status == 404).await;
    });
}

/// A definition with this change must be refused, with a cause that has this text.
async fn refused(t: &Case, says: &str, change: impl FnOnce(&mut Value)) {
    let mut wanted = thing(t, json!({"a": {"type": "string"}}));
    change(&mut wanted);
    let answer = t.post(&query(DEFINITIONS, &[("dryRun", "All")]), &wanted).await;
    assert_eq!(answer.status, 422, "{says}: {answer}");
    let answer = answer.fails(422, "Invalid");
    let causes = answer.json["details"]["causes"].to_string();
    assert!(causes.contains(says), "no {says} in {causes}");
}

/// The schema of `spec.a` of such a definition.
fn field_of(definition: &mut Value) -> &mut Value {
    &mut schema(definition)["properties"]["spec"]["properties"]["a"]
}

#[test]
fn definitions_are_checked() {
    case(async |t| {
        refused(&t, "metadata.name", |d| d["metadata"]["name"] = json!("other.example.com")).await;
        refused(&t, "spec.versions", |d| d["spec"]["versions"][0]["storage"] = json!(false)).await;
        refused(&t, "spec.scope", |d| d["spec"]["scope"] = json!("Nowhere")).await;
        let preserve = |d: &mut Value| d["spec"]["preserveUnknownFields"] = json!(true);
        refused(&t, "spec.preserveUnknownFields", preserve).await;
        let no_schema = |d: &mut Value| {
            d["spec"]["versions"][0].as_object_mut().unwrap().remove("schema");
        };
        refused(&t, "schema", no_schema).await;
    });
}

#[test]
fn schemas_are_structural() {
    case(async |t| {
        let at = "spec.validation.openAPIV3Schema.properties[spec].properties[a]";
        refused(&t, &format!("{at}.type"), |d| *field_of(d) = json!({})).await;
        refused(&t, "$ref", |d| field_of(d)["$ref"] = json!("#/x")).await;
        refused(&t, "default", |d| field_of(d)["default"] = json!(5)).await;
        refused(&t, "pattern", |d| field_of(d)["pattern"] = json!("[")).await;
        refused(&t, "uniqueItems", |d| field_of(d)["uniqueItems"] = json!(true)).await;
        refused(&t, at, |d| *field_of(d) = json!({"type": "array"})).await;
        let set = json!({"type": "string", "x-kubernetes-list-type": "set"});
        refused(&t, at, |d| *field_of(d) = set).await;
    });
}

async fn rule_is_refused(t: &Case, rule: &str) {
    let rules = json!([{"rule": rule}]);
    refused(t, "x-kubernetes-validations[0].rule", |d| {
        schema(d)["properties"]["spec"]["x-kubernetes-validations"] = rules;
    })
    .await;
}

#[test]
fn rules_are_parsed() {
    case(async |t| {
        for rule in ["self.a ==", "(self.a", ""] {
            rule_is_refused(&t, rule).await;
        }
    });
}

#[test]
fn rules_are_type_checked() {
    case(async |t| {
        for rule in ["self.nope == 1", "self.a + 1 == 2", "'text'", "nope(self.a)"] {
            rule_is_refused(&t, rule).await;
        }
    });
}

#[test]
fn applied_and_changed() {
    case(async |t| {
        let wanted = thing(&t, json!({"a": {"type": "string"}}));
        let path = path_of(&wanted);
        t.apply(&path, "crds", &wanted).await.is(201);
        served(t.server(), &wanted).await;
        let again = t.apply(&path, "crds", &wanted).await.is(200).json;
        assert_eq!(again["metadata"]["generation"], 1);
        let object = new_thing(&t, "a", json!({"a": "x", "b": "y"}));
        let stored = t.post(&things(&t), &object).await.is(201).json;
        assert_eq!(stored["spec"], json!({"a": "x"}));
        // A field more, and one with a default that old objects have when they are read.
        let mut changed = wanted.clone();
        let properties = json!({"a": {"type": "string"}, "b": {"type": "string"}, "c": {"type": "integer", "default": 7}});
        schema(&mut changed)["properties"]["spec"]["properties"] = properties;
        t.apply(&path, "crds", &changed).await.is(200);
        let one = format!("{}/a", things(&t));
        let read = t.until(&one, |answer| answer.json["spec"]["c"] == 7).await;
        assert_eq!(read.json["metadata"]["resourceVersion"], stored["metadata"]["resourceVersion"]);
        // A changed definition has its cache filled anew: 429 until then.
        let list = t.until(&things(&t), |answer| answer.status == 200).await;
        assert_eq!(list.json["items"][0]["spec"]["c"], 7);
        let answer = t.merge(&one, &json!({"spec": {"b": "y"}})).await.is(200).json;
        assert_eq!(answer["spec"], json!({"a": "x", "b": "y", "c": 7}));
        // The scope stays as it is.
        changed["spec"]["scope"] = json!("Cluster");
        t.force(&path, "crds", &changed).await.invalid("FieldValueInvalid", "spec.scope");
        t.delete(&path).await.is(200);
    });
}

#[test]
fn invalid_values_of_before_are_tolerated() {
    case(async |t| {
        let properties = json!({"a": {"type": "string"}, "b": {"type": "integer"}});
        let wanted = thing(&t, properties);
        create(&t, &wanted).await;
        let object = new_thing(&t, "a", json!({"a": "long enough"}));
        t.post(&things(&t), &object).await.is(201);
        let mut tighter = wanted.clone();
        schema(&mut tighter)["properties"]["spec"]["properties"]["a"]["maxLength"] = json!(3);
        t.force(&path_of(&wanted), "crds", &tighter).await.is(200);
        // Asked without writing, until the new schema is in force.
        let path = query(&things(&t), &[("dryRun", "All")]);
        let object = new_thing(&t, "b", json!({"a": "long enough"}));
        let refused = async { while t.post(&path, &object).await.status != 422 {} };
        timeout(PATIENCE, refused).await.expect("the new schema");
        let one = format!("{}/a", things(&t));
        let answer = t.merge(&one, &json!({"spec": {"b": 5}})).await.is(200).json;
        assert_eq!(answer["spec"], json!({"a": "long enough", "b": 5}));
        let answer = t.merge(&one, &json!({"spec": {"a": "also too long"}})).await;
        answer.invalid("FieldValueTooLong", "spec.a");
        t.delete(&path_of(&wanted)).await.is(200);
    });
}

#[test]
fn versions() {
    case(async |t| {
        let mut wanted = thing(&t, json!({"a": {"type": "string"}}));
        let mut beta = wanted["spec"]["versions"][0].clone();
        beta["name"] = json!("v1beta1");
        beta["storage"] = json!(false);
        beta["deprecated"] = json!(true);
        wanted["spec"]["versions"].as_array_mut().unwrap().push(beta);
        create(&t, &wanted).await;
        discovered(t.server(), &wanted).await;
        let object = new_thing(&t, "a", json!({"a": "x"}));
        let stored = t.post(&things(&t), &object).await.is(201).json;
        let path = format!("{}/a", things(&t).replace("/v1/", "/v1beta1/"));
        let other = t.get(&path).await.is(200);
        assert!(other.header("warning").contains("deprecated"), "{:?}", other.headers);
        assert_eq!(other.json["apiVersion"], format!("{}.example.com/v1beta1", t.ns));
        assert_eq!(other.json["spec"], stored["spec"]);
        assert_eq!(
            other.json["metadata"]["resourceVersion"],
            stored["metadata"]["resourceVersion"]
        );
        let group = t.get(&format!("/apis/{}.example.com", t.ns)).await.is(200).json;
        assert_eq!(group["preferredVersion"]["version"], "v1");
        assert_eq!(group["versions"].as_array().unwrap().len(), 2);
        t.delete(&path_of(&wanted)).await.is(200);
    });
}

#[test]
fn defaults() {
    case(async |t| {
        let spec = json!({"region": "eu-west", "nics": [{"name": "eth0"}, {"name": "eth1", "speed": 100}]});
        let stored = t.post(&t.widgets(), &t.with_spec("a", spec)).await.is(201).json;
        assert_eq!(stored["spec"]["cpu"], 2);
        assert_eq!(stored["spec"]["color"], "red");
        assert_eq!(stored["spec"]["note"], "none");
        assert_eq!(
            stored["spec"]["nics"],
            json!([{"name": "eth0", "speed": 10}, {"name": "eth1", "speed": 100}])
        );
        // Null is nothing where it is not a value.
        let spec = json!({"region": "eu-west", "color": null, "note": null, "cpu": null});
        let stored = t.post(&t.widgets(), &t.with_spec("b", spec)).await.is(201).json;
        assert_eq!((&stored["spec"]["color"], &stored["spec"]["cpu"]), (&json!("red"), &json!(2)));
        assert_eq!(stored["spec"].get("note"), Some(&Value::Null));
    });
}

#[test]
fn pruning() {
    case(async |t| {
        let mut widget = t.with_spec(
            "a",
            json!({
                "region": "eu-west",
                "unknown": {"a": 1},
                "nics": [{"name": "eth0", "unknown": 1}],
                "raw": {"anything": {"at": ["all"]}},
                "template": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": "x", "unknown": "y"},
                    "spec": {"anything": 1},
                },
                "settings": {"any": "key"},
            }),
        );
        widget["unknown"] = json!("top");
        let stored = t.post(&t.widgets(), &widget).await.is(201).json;
        assert_eq!(stored.get("unknown"), None);
        assert_eq!(stored["spec"].get("unknown"), None);
        assert_eq!(stored["spec"]["nics"], json!([{"name": "eth0", "speed": 10}]));
        assert_eq!(stored["spec"]["raw"], widget["spec"]["raw"]);
        assert_eq!(stored["spec"]["settings"], widget["spec"]["settings"]);
        let template = &stored["spec"]["template"];
        assert_eq!(template["spec"], json!({"anything": 1}));
        assert_eq!(template["metadata"], json!({"name": "x"}));
        t.get(&t.widget("a")).await.is(200);
    });
}

#[test]
fn int_or_string() {
    case(async |t| {
        for (name, port) in [("a", json!(80)), ("b", json!("http"))] {
            let spec = json!({"region": "eu-west", "port": port});
            let stored = t.post(&t.widgets(), &t.with_spec(name, spec)).await.is(201).json;
            assert_eq!(stored["spec"]["port"], port);
        }
        let spec = json!({"region": "eu-west", "port": true});
        let answer = t.post(&t.widgets(), &t.with_spec("c", spec)).await;
        answer.fails(422, "Invalid");
    });
}

#[test]
fn values_are_validated() {
    case(async |t| {
        for (spec, reason, field) in [
            (json!({}), "FieldValueRequired", "spec.region"),
            (json!({"region": "mars"}), "FieldValueNotSupported", "spec.region"),
            (json!({"region": 1}), "FieldValueTypeInvalid", "spec.region"),
            (json!({"cpu": 0}), "FieldValueInvalid", "spec.cpu"),
            (json!({"cpu": 1025}), "FieldValueInvalid", "spec.cpu"),
            (json!({"cpu": 1.5}), "FieldValueTypeInvalid", "spec.cpu"),
            (json!({"cpu": "4"}), "FieldValueTypeInvalid", "spec.cpu"),
            (json!({"label": "abcdefghijk"}), "FieldValueTooLong", "spec.label"),
            (json!({"label": "UPPER"}), "FieldValueInvalid", "spec.label"),
            (json!({"ip": "300.0.0.1"}), "FieldValueTypeInvalid", "spec.ip"),
            (json!({"paused": "yes"}), "FieldValueTypeInvalid", "spec.paused"),
            (json!({"parts": ["a", "b", "c", "d"]}), "FieldValueTooMany", "spec.parts"),
            (json!({"parts": "a"}), "FieldValueTypeInvalid", "spec.parts"),
            (json!({"parts": [1]}), "FieldValueTypeInvalid", "spec.parts[0]"),
            (json!({"settings": {"a": 1}}), "FieldValueTypeInvalid", "spec.settings.a"),
            (json!({"nics": [{"mac": "x"}]}), "FieldValueRequired", "spec.nics[0].name"),
            (
                json!({"nics": [{"name": "a"}, {"name": "a"}]}),
                "FieldValueDuplicate",
                "spec.nics[1]",
            ),
            (json!({"tags": ["a", "b", "a"]}), "FieldValueDuplicate", "spec.tags[2]"),
        ] {
            let mut widget = t.with_spec("a", spec.clone());
            if field != "spec.region" {
                widget["spec"]["region"] = json!("eu-west");
            }
            t.post(&t.widgets(), &widget).await.invalid(reason, field);
        }
        let spec =
            json!({"region": "eu-west", "cpu": 1024.0, "price": 3, "label": "", "ip": "10.0.0.1"});
        let answer = t.post(&t.widgets(), &t.with_spec("b", spec)).await;
        // Rules come after the schema: this many CPUs are not for this region.
        answer.invalid("FieldValueInvalid", "spec");
        let mut widget = t.new_widget("c");
        widget.as_object_mut().unwrap().remove("spec");
        t.post(&t.widgets(), &widget).await.invalid("FieldValueRequired", "spec");
        widget["spec"] = json!("text");
        t.post(&t.widgets(), &widget).await.invalid("FieldValueTypeInvalid", "spec");
    });
}

#[test]
fn rules() {
    case(async |t| {
        let spec = json!({"region": "eu-west", "cpu": 600});
        let answer = t.post(&t.widgets(), &t.with_spec("a", spec)).await;
        let answer = answer.invalid("FieldValueInvalid", "spec");
        let message = answer.json["details"]["causes"][0]["message"].as_str().unwrap();
        assert!(message.contains("only us-east has such machines"), "{message}");
        let spec = json!({"region": "us-east", "cpu": 600});
        t.post(&t.widgets(), &t.with_spec("a", spec)).await.is(201);
        let answer = t.merge(&t.widget("a"), &json!({"spec": {"region": "eu-west"}})).await;
        answer.invalid("FieldValueInvalid", "spec");
        // A reason, a path and a text of its own.
        let spec = json!({"region": "eu-west", "paused": true});
        let answer = t.post(&t.widgets(), &t.with_spec("b", spec)).await;
        let answer = answer.invalid("FieldValueRequired", "spec.serial");
        let message = answer.json["details"]["causes"][0]["message"].as_str().unwrap();
        assert!(message.contains("a paused one in eu-west needs a serial"), "{message}");
    });
}

#[test]
fn transition_rules() {
    case(async |t| {
        t.create("a").await;
        // Set once is no transition.
        let serial = |value: Value| json!({"spec": {"serial": value}});
        t.merge(&t.widget("a"), &serial(json!("x"))).await.is(200);
        let answer = t.merge(&t.widget("a"), &serial(json!("y"))).await;
        let answer = answer.invalid("FieldValueInvalid", "spec.serial");
        assert!(answer.text().contains("serial is immutable"), "{answer}");
        t.merge(&t.widget("a"), &json!({"spec": {"cpu": 5}})).await.is(200);
        t.merge(&t.widget("a"), &serial(Value::Null)).await.is(200);
    });
}

#[test]
fn rules_of_many_kinds() {
    case(async |t| {
        let mut wanted = thing(
            &t,
            json!({
                "name": {"type": "string", "maxLength": 50},
                "min": {"type": "integer"},
                "max": {"type": "integer"},
                "since": {"type": "string", "format": "date-time"},
                "list": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 20}},
                "map": {"type": "object", "maxProperties": 5, "additionalProperties": {"type": "integer"}},
                "net": {"type": "string", "maxLength": 50},
            }),
        );
        schema(&mut wanted)["properties"]["spec"]["x-kubernetes-validations"] = json!([
            {"rule": "!has(self.min) || !has(self.max) || self.min <= self.max", "message": "min above max"},
            {"rule": "!has(self.list) || self.list.all(x, x.startsWith('a'))", "message": "list"},
            {"rule": "!has(self.map) || self.map.all(k, self.map[k] > 0)", "message": "map"},
            {"rule": "!has(self.name) || self.name.matches('^[a-z]+$')", "message": "name"},
            {"rule": "!has(self.since) || self.since < timestamp('2030-01-01T00:00:00Z')", "message": "since"},
            {"rule": "!has(self.net) || isCIDR(self.net)", "message": "net"},
        ]);
        schema(&mut wanted)["x-kubernetes-validations"] =
            json!([{"rule": "self.metadata.name.size() < 20", "message": "long name"}]);
        create(&t, &wanted).await;
        let path = query(&things(&t), &[("dryRun", "All")]);
        for (spec, says) in [
            (json!({"min": 2, "max": 1}), "min above max"),
            (json!({"list": ["a", "b"]}), "list"),
            (json!({"map": {"x": 0}}), "map"),
            (json!({"name": "UPPER"}), "name"),
            (json!({"since": "2031-01-01T00:00:00Z"}), "since"),
            (json!({"net": "10.0.0.0"}), "net"),
        ] {
            let answer = t.post(&path, &new_thing(&t, "a", spec)).await;
            let answer = answer.invalid("FieldValueInvalid", "spec");
            assert!(answer.text().contains(says), "{answer}");
        }
        let good = json!({
            "min": 1, "max": 1, "list": ["a"], "map": {"x": 1}, "name": "x",
            "since": "2029-01-01T00:00:00Z", "net": "10.0.0.0/8",
        });
        t.post(&path, &new_thing(&t, "a", good)).await.is(201);
        let answer = t.post(&path, &new_thing(&t, &"a".repeat(20), json!({}))).await;
        assert!(answer.is(422).text().contains("long name"));
        t.delete(&path_of(&wanted)).await.is(200);
    });
}

#[test]
fn objects_of_cluster_scope_need_no_namespace() {
    case(async |t| {
        let mut wanted = thing(&t, json!({}));
        wanted["spec"]["scope"] = json!("Cluster");
        create(&t, &wanted).await;
        let path = format!("/apis/{}.example.com/v1/things", t.ns);
        t.post(&path, &new_thing(&t, "a", json!({}))).await.is(201);
        t.get(&format!("{path}/a")).await.is(200);
        t.delete(&path_of(&wanted)).await.is(200);
    });
}

#[test]
fn a_version_that_is_not_served() {
    case(async |t| {
        let mut wanted = thing(&t, json!({}));
        let mut old = wanted["spec"]["versions"][0].clone();
        old["name"] = json!("v1alpha1");
        old["served"] = json!(false);
        old["storage"] = json!(false);
        create(&t, &wanted).await;
        wanted["spec"]["versions"].as_array_mut().unwrap().push(old);
        t.force(&path_of(&wanted), "crds", &wanted).await.is(200);
        t.get(&things(&t).replace("/v1/", "/v1alpha1/")).await.is(404);
        t.delete(&path_of(&wanted)).await.is(200);
    });
}
