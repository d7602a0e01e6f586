//! `Table` and `PartialObjectMetadata`.

use serde_json::{Value, json};

use crate::client::{TABLE, query};
use crate::world::{CSRS, Case, DEFINITIONS, case, new_csr, request};

const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const PARTIAL_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

#[track_caller]
fn columns(table: &Value) -> Vec<&str> {
    let columns = table["columnDefinitions"].as_array().expect("columns");
    columns.iter().map(|column| column["name"].as_str().unwrap()).collect()
}

/// A cell of a row by the name of its column.
#[track_caller]
fn cell<'a>(table: &'a Value, row: usize, column: &str) -> &'a Value {
    let at = columns(table).iter().position(|name| *name == column).expect("the column");
    &table["rows"][row]["cells"][at]
}

#[test]
fn of_a_list() {
    case(async |t| {
        let spec = json!({"region": "eu-west", "cpu": 4, "serial": "x"});
        t.post(&t.widgets(), &t.with_spec("a", spec)).await.is(201);
        t.create("b").await;
        let status = json!({"status": {"conditions": [{"type": "Other", "status": "x"}, {"type": "Ready", "status": "True"}]}});
        t.merge(&format!("{}/status", t.widget("a")), &status).await.is(200);
        let table = t.get_as(&t.widgets(), TABLE).await.is(200).json;
        assert_eq!(
            (&table["kind"], &table["apiVersion"]),
            (&json!("Table"), &json!("meta.k8s.io/v1"))
        );
        assert!(table["metadata"]["resourceVersion"].is_string());
        assert_eq!(columns(&table), ["Name", "Region", "CPU", "Ready", "Serial", "Age"]);
        let definitions = table["columnDefinitions"].as_array().unwrap();
        assert_eq!(
            (&definitions[0]["type"], &definitions[0]["format"]),
            (&json!("string"), &json!("name"))
        );
        let priorities: Vec<_> =
            definitions.iter().map(|column| column["priority"].clone()).collect();
        assert_eq!(priorities, [0, 0, 0, 0, 1, 0]);
        assert_eq!(definitions[1]["description"], "where it is");
        assert_eq!(definitions[2]["type"], "integer");
        let cells = table["rows"][0]["cells"].as_array().unwrap();
        assert_eq!(cells[..5], [json!("a"), json!("eu-west"), json!(4), json!("True"), json!("x")]);
        // An age, not a time.
        let age = cells[5].as_str().unwrap();
        assert!(age.ends_with('s') && age.len() <= 4, "{age}");
        let cells = table["rows"][1]["cells"].as_array().unwrap();
        assert_eq!(cells[3..5], [Value::Null, Value::Null]);
        // By default the rows carry metadata.
        let object = &table["rows"][0]["object"];
        assert_eq!(object["kind"], "PartialObjectMetadata");
        assert_eq!(object["apiVersion"], "meta.k8s.io/v1");
        assert_eq!(object["metadata"]["namespace"], t.ns);
        assert_eq!(object.get("spec"), None);
    });
}

#[test]
fn include_object() {
    case(async |t| {
        let stored = t.create("a").await;
        let table = async |include: &str| {
            let path = query(&t.widgets(), &[("includeObject", include)]);
            t.get_as(&path, TABLE).await
        };
        let rows = table("Object").await.is(200).json;
        assert_eq!(rows["rows"][0]["object"], stored);
        let rows = table("None").await.is(200).json;
        assert!(rows["rows"][0].get("object").is_none_or(Value::is_null), "{rows}");
        let rows = table("Metadata").await.is(200).json;
        assert_eq!(rows["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        table("Nonsense").await.fails(400, "BadRequest");
    });
}

#[test]
fn of_one_object() {
    case(async |t| {
        t.create("a").await;
        let table = t.get_as(&t.widget("a"), TABLE).await.is(200).json;
        assert_eq!(table["kind"], "Table");
        assert_eq!(table["rows"].as_array().unwrap().len(), 1);
        assert_eq!(cell(&table, 0, "Name"), "a");
        // An error is a Status all the same.
        t.get_as(&t.widget("b"), TABLE).await.fails(404, "NotFound");
    });
}

#[test]
fn without_columns_of_its_own() {
    case(async |t| {
        t.post(&t.gadgets(), &t.object("Gadget", "a", json!({}))).await.is(201);
        let table = t.get_as(&t.gadgets(), TABLE).await.is(200).json;
        assert_eq!(columns(&table), ["Name", "Age"]);
        assert_eq!(cell(&table, 0, "Name"), "a");
    });
}

#[test]
fn of_nothing_has_columns_all_the_same() {
    case(async |t| {
        let table = t.get_as(&t.widgets(), TABLE).await.is(200).json;
        assert_eq!(columns(&table).len(), 6);
        assert!(table["rows"].as_array().unwrap().is_empty());
    });
}

#[test]
fn pages() {
    case(async |t| {
        for name in ["a", "b", "c"] {
            t.create(name).await;
        }
        let path = query(&t.widgets(), &[("limit", "2")]);
        let page = t.get_as(&path, TABLE).await.is(200);
        assert_eq!(page.json["rows"].as_array().unwrap().len(), 2);
        assert_eq!(page.json["metadata"]["remainingItemCount"], 1);
        let token = page.meta("continue");
        let path = query(&t.widgets(), &[("limit", "2"), ("continue", &token)]);
        let page = t.get_as(&path, TABLE).await.is(200).json;
        assert_eq!(cell(&page, 0, "Name"), "c");
    });
}

#[test]
fn the_first_type_that_fits() {
    case(async |t| {
        t.create("a").await;
        let beta = "application/json;as=Table;v=v1beta1;g=meta.k8s.io";
        let answer =
            t.get_as(&t.widgets(), &format!("{TABLE},{beta},application/json")).await.is(200);
        assert_eq!(answer.json["kind"], "Table");
        let answer = t.get_as(&t.widgets(), &format!("application/json,{TABLE}")).await.is(200);
        assert_eq!(answer.json["kind"], "WidgetList");
        let unknown = "application/json;as=Table;v=v7;g=meta.k8s.io";
        t.get_as(&t.widgets(), unknown).await.is(406);
        let answer = t.get_as(&t.widgets(), &format!("{unknown},application/json")).await.is(200);
        assert_eq!(answer.json["kind"], "WidgetList");
    });
}

#[test]
fn watched() {
    case(async |t| {
        t.create("a").await;
        let mut watch = t.watch_as(&t.widgets(), &[], TABLE).await;
        let first = watch.next().await.unwrap();
        assert_eq!((&first["type"], &first["object"]["kind"]), (&json!("ADDED"), &json!("Table")));
        assert_eq!(columns(&first["object"]).len(), 6);
        assert_eq!(cell(&first["object"], 0, "Name"), "a");
        assert_eq!(first["object"]["rows"][0]["object"]["metadata"]["name"], "a");
        t.merge(&t.widget("a"), &json!({"spec": {"cpu": 9}})).await.is(200);
        let second = watch.next().await.unwrap();
        assert_eq!(second["type"], "MODIFIED");
        // Columns come once.
        let definitions = &second["object"]["columnDefinitions"];
        assert!(definitions.as_array().is_none_or(Vec::is_empty), "{second}");
        assert_eq!(second["object"]["rows"][0]["cells"][2], 9);
        t.delete(&t.widget("a")).await.is(200);
        assert_eq!(watch.next().await.unwrap()["type"], "DELETED");
    });
}

#[test]
fn watched_with_bookmarks() {
    case(async |t| {
        let parameters = [
            ("allowWatchBookmarks", "true"),
            ("sendInitialEvents", "true"),
            ("resourceVersionMatch", "NotOlderThan"),
        ];
        let mut watch = t.watch_as(&t.widgets(), &parameters, TABLE).await;
        let event = watch.next().await.unwrap();
        assert_eq!(
            (&event["type"], &event["object"]["kind"]),
            (&json!("BOOKMARK"), &json!("Table"))
        );
        let meta = &event["object"]["rows"][0]["object"]["metadata"];
        assert!(meta["resourceVersion"].is_string(), "{event}");
        assert_eq!(meta["annotations"]["k8s.io/initial-events-end"], "true", "{event}");
    });
}

#[test]
fn metadata_only() {
    case(async |t| {
        let stored = t.create_with("a", json!({"labels": {"app": "web"}})).await;
        let one = t.get_as(&t.widget("a"), PARTIAL).await.is(200).json;
        let kind = (json!("PartialObjectMetadata"), json!("meta.k8s.io/v1"));
        assert_eq!((&one["kind"], &one["apiVersion"]), (&kind.0, &kind.1));
        assert_eq!(one["metadata"], stored["metadata"]);
        assert_eq!((one.get("spec"), one.get("status")), (None, None));
        let list = t.get_as(&t.widgets(), PARTIAL_LIST).await.is(200).json;
        assert_eq!(list["kind"], "PartialObjectMetadataList");
        assert!(list["metadata"]["resourceVersion"].is_string());
        assert_eq!(list["items"][0]["metadata"], stored["metadata"]);
        assert_eq!(list["items"][0].get("spec"), None);
        t.get_as(&t.widgets(), PARTIAL).await.is(406);
        let headers = [("content-type", "application/merge-patch+json"), ("accept", PARTIAL)];
        let patch = json!({"spec": {"cpu": 9}}).to_string();
        let patched = t.send("PATCH", &t.widget("a"), &headers, patch).await.is(200).json;
        assert_eq!((&patched["kind"], patched.get("spec")), (&kind.0, None));
    });
}

#[test]
fn metadata_only_watched() {
    case(async |t| {
        t.create("a").await;
        let parameters = [
            ("allowWatchBookmarks", "true"),
            ("sendInitialEvents", "true"),
            ("resourceVersionMatch", "NotOlderThan"),
        ];
        let mut watch = t.watch_as(&t.widgets(), &parameters, PARTIAL).await;
        let added = watch.expect("ADDED", "a").await;
        assert_eq!(
            (&added["kind"], &added["apiVersion"]),
            (&json!("PartialObjectMetadata"), &json!("meta.k8s.io/v1"))
        );
        assert_eq!(added.get("spec"), None);
        let end = watch.initial_events_end().await;
        assert_eq!(end["kind"], "PartialObjectMetadata");
    });
}

#[test]
fn built_in_kinds() {
    case(async |t| {
        t.post(
            &t.core("configmaps"),
            &json!({"metadata": {"name": "a"}, "data": {"x": "1", "y": "2"}}),
        )
        .await
        .is(201);
        t.post(&t.core("secrets"), &json!({"metadata": {"name": "a"}, "data": {"x": ""}}))
            .await
            .is(201);
        let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", t.ns);
        t.post(&leases, &json!({"metadata": {"name": "a"}, "spec": {"holderIdentity": "me"}}))
            .await
            .is(201);
        let table = async |t: &Case, path: &str| t.get_as(path, TABLE).await.is(200).json;

        let maps = table(&t, &format!("{}/a", t.core("configmaps"))).await;
        assert_eq!(columns(&maps), ["Name", "Data", "Age"]);
        assert_eq!(cell(&maps, 0, "Data"), 2);

        let secrets = table(&t, &format!("{}/a", t.core("secrets"))).await;
        assert_eq!(columns(&secrets), ["Name", "Type", "Data", "Age"]);
        assert_eq!(
            (cell(&secrets, 0, "Type"), cell(&secrets, 0, "Data")),
            (&json!("Opaque"), &json!(1))
        );

        let leases = table(&t, &format!("{leases}/a")).await;
        assert_eq!(columns(&leases), ["Name", "Holder", "Age"]);
        assert_eq!(cell(&leases, 0, "Holder"), "me");

        let namespace = table(&t, &format!("/api/v1/namespaces/{}", t.ns)).await;
        assert_eq!(columns(&namespace), ["Name", "Status", "Age"]);
        assert_eq!(cell(&namespace, 0, "Status"), "Active");

        let definitions = table(&t, &format!("{DEFINITIONS}/widgets.{}", t.group)).await;
        assert_eq!(columns(&definitions), ["Name", "Created At"]);
    });
}

#[test]
fn certificate_signing_requests() {
    case(async |t| {
        let (pem, _) = request("someone", &[]);
        t.post(CSRS, &new_csr(&t.ns, &pem, "conformance.inv-tui.dev/nobody")).await.is(201);
        let path = format!("{CSRS}/{}", t.ns);
        let table = t.get_as(&path, TABLE).await.is(200).json;
        let wanted = ["Name", "Age", "SignerName", "Requestor", "RequestedDuration", "Condition"];
        assert_eq!(columns(&table), wanted);
        assert_eq!(cell(&table, 0, "SignerName"), "conformance.inv-tui.dev/nobody");
        assert_eq!(cell(&table, 0, "RequestedDuration"), "<none>");
        assert_eq!(cell(&table, 0, "Condition"), "Pending");
        t.approve(&t.ns).await.is(200);
        let table = t.get_as(&path, TABLE).await.is(200).json;
        assert_eq!(cell(&table, 0, "Condition"), "Approved");
        t.delete(&path).await.is(200);
    });
}

#[test]
fn events() {
    case(async |t| {
        let event = json!({
            "metadata": {"name": "a.1"},
            "involvedObject": {"kind": "Widget", "namespace": t.ns, "name": "a"},
            "reason": "Tested",
            "message": "a message",
            "type": "Normal",
            "count": 3,
            "source": {"component": "suite"},
            "firstTimestamp": "2026-01-01T00:00:00Z",
            "lastTimestamp": "2026-01-01T00:00:00Z",
        });
        t.post(&t.core("events"), &event).await.is(201);
        let table = t.get_as(&t.core("events"), TABLE).await.is(200).json;
        let wanted = [
            "Last Seen",
            "Type",
            "Reason",
            "Object",
            "Subobject",
            "Source",
            "Message",
            "First Seen",
            "Count",
            "Name",
        ];
        assert_eq!(columns(&table), wanted);
        assert_eq!(cell(&table, 0, "Object"), "widget/a");
        assert_eq!(cell(&table, 0, "Message"), "a message");
        assert_eq!(cell(&table, 0, "Count"), 3);
        assert_eq!(cell(&table, 0, "Name"), "a.1");
    });
}
