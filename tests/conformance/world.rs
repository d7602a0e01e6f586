//! What a case stands on: three kinds of our own, and a namespace of its own.

use std::ops::Deref;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::client::{Answer, Identity, Server};
use crate::differences::{DIFFERENCES, Difference, Target};
use crate::discovery::AGGREGATED;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// The kinds of this run; gone with the last case that uses them.
static WORLD: Mutex<Weak<World>> = Mutex::new(Weak::new());

struct World {
    server: Server,
    group: String,
}

/// What a case has: the server, asked by an administrator, and names.
pub(crate) struct Case {
    server: Server,
    pub(crate) target: Target,
    /// The group of `Widget`, `Gadget` and `Zone`.
    pub(crate) group: String,
    /// The namespace of this case, which is also a name that no other case uses.
    pub(crate) ns: String,
}

/// Runs one case, unless there is no server or the case is not for it.
#[track_caller]
pub(crate) fn case<F: AsyncFnOnce(Case)>(body: F) {
    let full = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    let name = full.split_once("::").map_or(full, |(_, name)| name);
    let Some(kubeconfig) = std::env::var_os("INV_TUI_TEST_KUBECONFIG").filter(|v| !v.is_empty())
    else {
        let required = std::env::var_os("INV_TUI_REQUIRE_ALL").is_some_and(|v| !v.is_empty());
        assert!(!required, "INV_TUI_TEST_KUBECONFIG is not set, and INV_TUI_REQUIRE_ALL is");
        eprintln!("{name} skipped: INV_TUI_TEST_KUBECONFIG is not set");
        return;
    };
    let target = Target::of_this_run();
    if let Some(Difference { reason, .. }) =
        DIFFERENCES.iter().find(|difference| difference.case == name && difference.target == target)
    {
        eprintln!("{name} skipped on {target:?}: {reason}");
        return;
    }
    let kubeconfig = kubeconfig.to_str().expect("UTF-8");
    let mut guard = Guard { world: World::get(kubeconfig), namespace: String::new() };
    let server = guard.world.server.clone();
    let ns = format!("conformance-{:08x}", fastrand::u32(..));
    let case = Case { server, target, group: guard.world.group.clone(), ns: ns.clone() };
    RUNTIME.block_on(async {
        case.post("/api/v1/namespaces", &json!({"metadata": {"name": ns}})).await.is(201);
        guard.namespace = ns;
        body(case).await;
    });
}

/// Deletes the namespace of a case, and the kinds after the last one.
struct Guard {
    world: Arc<World>,
    namespace: String,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        let _ = RUNTIME.block_on(self.world.server.send("DELETE", &path, &[], ""));
    }
}

impl World {
    fn get(kubeconfig: &str) -> Arc<Self> {
        let mut world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(world) = world.upgrade() {
            return world;
        }
        let group = format!("r{:08x}.conformance.inv-tui.dev", fastrand::u32(..));
        // Made first, so that a failure below deletes what is there by then.
        let made = Arc::new(Self { server: Server::from_kubeconfig(kubeconfig), group });
        RUNTIME.block_on(async {
            let definitions = definitions(&made.group);
            for definition in &definitions {
                made.server.post(DEFINITIONS, definition).await.is(201);
            }
            for definition in &definitions {
                served(&made.server, definition).await;
                discovered(&made.server, definition).await;
            }
        });
        *world = Arc::downgrade(&made);
        made
    }
}

impl Drop for World {
    fn drop(&mut self) {
        RUNTIME.block_on(async {
            for definition in definitions(&self.group) {
                let name = definition["metadata"]["name"].as_str().expect("a name");
                self.server.send("DELETE", &format!("{DEFINITIONS}/{name}"), &[], "").await;
            }
        });
    }
}

pub(crate) const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
pub(crate) const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// Waits until a definition is established and each of its versions answers a list.
pub(crate) async fn served(server: &Server, definition: &Value) {
    let name = definition["metadata"]["name"].as_str().expect("a name");
    server.until(&format!("{DEFINITIONS}/{name}"), established).await;
    let spec = &definition["spec"];
    let (group, plural) = (spec["group"].as_str(), spec["names"]["plural"].as_str());
    for version in spec["versions"].as_array().expect("versions") {
        let version = version["name"].as_str().expect("a name");
        let path = format!("/apis/{}/{version}/{}", group.expect("text"), plural.expect("text"));
        server.until(&path, |answer| answer.status == 200).await;
    }
}

/// Waits until a definition that is served is told of too: a server does that in its own time.
pub(crate) async fn discovered(server: &Server, definition: &Value) {
    let spec = &definition["spec"];
    let (group, plural) = (spec["group"].as_str().expect("text"), &spec["names"]["plural"]);
    let versions = spec["versions"].as_array().expect("versions");
    for version in versions {
        let path = format!("/apis/{group}/{}", version["name"].as_str().expect("a name"));
        server.until(&path, |answer| has(&answer.json["resources"], "name", plural)).await;
    }
    let all = |list: &Value| list.as_array().is_some_and(|list| list.len() == versions.len());
    server.until(&format!("/apis/{group}"), |answer| all(&answer.json["versions"])).await;
    let listed = |answer: &Answer| {
        let mut groups = answer.json["groups"].as_array().expect("groups").iter();
        groups.any(|one| one["name"] == group && all(&one["versions"]))
    };
    server.until("/apis", listed).await;
    let listed = |answer: &Answer| {
        let mut items = answer.json["items"].as_array().expect("groups").iter();
        items.any(|item| {
            let told = item["metadata"]["name"] == group && all(&item["versions"]);
            let mut told_of = item["versions"].as_array().into_iter().flatten();
            told && told_of.all(|version| has(&version["resources"], "resource", plural))
        })
    };
    server.until_as("/apis", AGGREGATED, listed).await;
}

/// Whether a list has an entry with this value under this key.
fn has(list: &Value, key: &str, value: &Value) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|entry| entry[key] == *value))
}

fn established(answer: &Answer) -> bool {
    let conditions = answer.json["status"]["conditions"].as_array();
    conditions
        .is_some_and(|all| all.iter().any(|c| c["type"] == "Established" && c["status"] == "True"))
}

/// A definition of one version, with this schema for the whole object.
pub(crate) fn definition(group: &str, kind: &str, scope: &str, version: Value) -> Value {
    let singular = kind.to_lowercase();
    let mut version = version;
    for (name, value) in [("name", json!("v1")), ("served", json!(true)), ("storage", json!(true))]
    {
        let fields = version.as_object_mut().expect("a map");
        fields.entry(name).or_insert(value);
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{singular}s.{group}")},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {
                "kind": kind,
                "plural": format!("{singular}s"),
                "singular": singular,
                "shortNames": [format!("{}x", &singular[..2])],
                "categories": ["conformance"],
            },
            "versions": [version],
        },
    })
}

/// `Widget` has everything, `Gadget` has no status subresource, no schema to speak of and no
/// columns, `Zone` is in no namespace.
fn definitions(group: &str) -> [Value; 3] {
    let loose = json!({"openAPIV3Schema": {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
    }});
    let zone = json!({"schema": loose, "subresources": {"status": {}}});
    [
        definition(group, "Widget", "Namespaced", widget_version()),
        definition(group, "Gadget", "Namespaced", json!({"schema": loose})),
        definition(group, "Zone", "Cluster", zone),
    ]
}

fn widget_version() -> Value {
    json!({
        "subresources": {"status": {}},
        "selectableFields": [{"jsonPath": ".spec.region"}, {"jsonPath": ".spec.cpu"}],
        "additionalPrinterColumns": [
            {"name": "Region", "type": "string", "jsonPath": ".spec.region", "description": "where it is"},
            {"name": "CPU", "type": "integer", "jsonPath": ".spec.cpu"},
            {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
            {"name": "Serial", "type": "string", "jsonPath": ".spec.serial", "priority": 1},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "schema": {"openAPIV3Schema": {
            "description": "Widget is a thing to test with.",
            "type": "object",
            "required": ["spec"],
            "properties": {
                "spec": {
                    "description": "What it is to be.",
                    "type": "object",
                    "required": ["region"],
                    "x-kubernetes-validations": [
                        {"rule": "self.cpu <= 512 || self.region == 'us-east'", "message": "only us-east has such machines"},
                        {
                            "rule": "!has(self.paused) || !self.paused || has(self.serial)",
                            "messageExpression": "'a paused one in ' + self.region + ' needs a serial'",
                            "reason": "FieldValueRequired",
                            "fieldPath": ".serial",
                        },
                    ],
                    "properties": {
                        "region": {"description": "Where it is.", "type": "string", "enum": ["eu-west", "us-east", "ap-south"]},
                        "cpu": {"type": "integer", "minimum": 1, "maximum": 1024, "default": 2},
                        "label": {"type": "string", "maxLength": 10, "pattern": "^[a-z]*$"},
                        "ip": {"type": "string", "format": "ipv4"},
                        "port": {"x-kubernetes-int-or-string": true},
                        "paused": {"type": "boolean"},
                        "price": {"type": "number"},
                        "serial": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "serial is immutable"}]},
                        "color": {"type": "string", "default": "red"},
                        "note": {"type": "string", "nullable": true, "default": "none"},
                        "nics": {
                            "type": "array",
                            "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["name"],
                            "items": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "mac": {"type": "string"},
                                    "speed": {"type": "integer", "default": 10},
                                },
                            },
                        },
                        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                        "parts": {"type": "array", "maxItems": 3, "items": {"type": "string"}},
                        "settings": {"type": "object", "additionalProperties": {"type": "string"}},
                        "blob": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
                        "raw": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                        "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
                    },
                },
                "status": {
                    "type": "object",
                    "properties": {
                        "phase": {"type": "string", "enum": ["Running", "Stopped"]},
                        "observedGeneration": {"type": "integer"},
                        "conditions": {
                            "type": "array",
                            "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["type"],
                            "items": {
                                "type": "object",
                                "required": ["type", "status"],
                                "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
                            },
                        },
                    },
                },
            },
        }},
    })
}

impl Deref for Case {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Case {
    /// The server, as itself.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The collection of a namespaced kind of ours, in the case's namespace.
    pub(crate) fn custom(&self, plural: &str) -> String {
        format!("/apis/{}/v1/namespaces/{}/{plural}", self.group, self.ns)
    }

    pub(crate) fn widgets(&self) -> String {
        self.custom("widgets")
    }

    pub(crate) fn widget(&self, name: &str) -> String {
        format!("{}/{name}", self.widgets())
    }

    pub(crate) fn gadgets(&self) -> String {
        self.custom("gadgets")
    }

    pub(crate) fn zones(&self) -> String {
        format!("/apis/{}/v1/zones", self.group)
    }

    /// The collection of a kind of the core group, in the case's namespace.
    pub(crate) fn core(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.ns)
    }

    /// A new object of ours, with this spec.
    pub(crate) fn object(&self, kind: &str, name: &str, spec: Value) -> Value {
        json!({
            "apiVersion": format!("{}/v1", self.group),
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        })
    }

    /// A new `Widget` in `eu-west`.
    pub(crate) fn new_widget(&self, name: &str) -> Value {
        self.object("Widget", name, json!({"region": "eu-west"}))
    }

    /// A new `Widget` with this spec.
    pub(crate) fn with_spec(&self, name: &str, spec: Value) -> Value {
        self.object("Widget", name, spec)
    }

    /// A stored `Widget` in `eu-west`.
    pub(crate) async fn create(&self, name: &str) -> Value {
        self.post(&self.widgets(), &self.new_widget(name)).await.is(201).json
    }

    /// A stored `Widget` with this metadata besides its name.
    pub(crate) async fn create_with(&self, name: &str, metadata: Value) -> Value {
        let mut object = self.new_widget(name);
        for (name, value) in metadata.as_object().expect("a map") {
            object["metadata"][name] = value.clone();
        }
        self.post(&self.widgets(), &object).await.is(201).json
    }

    /// A client certificate of this user, signed by the server's own signer.
    pub(crate) async fn user(&self, name: &str, groups: &[&str]) -> Identity {
        let (request, key) = request(name, groups);
        let csr = format!("{}-{:08x}", self.ns, fastrand::u32(..));
        let object = new_csr(&csr, &request, "kubernetes.io/kube-apiserver-client");
        self.post(CSRS, &object).await.is(201);
        self.approve(&csr).await.is(200);
        let path = format!("{CSRS}/{csr}");
        let signed = self.until(&path, |a| a.json["status"]["certificate"].is_string()).await;
        let certificate = signed.json["status"]["certificate"].as_str().expect("base64");
        self.delete(&path).await.is(200);
        Identity::Certificate(STANDARD.decode(certificate).expect("base64"), key.into_bytes())
    }

    /// Approves a request for a certificate, as `kubectl certificate approve` does.
    pub(crate) async fn approve(&self, csr: &str) -> Answer {
        let path = format!("{CSRS}/{csr}");
        let mut object = self.get(&path).await.is(200).json;
        object["status"]["conditions"] = json!([
            {"type": "Approved", "status": "True", "reason": "Conformance", "message": "approved"}
        ]);
        self.put(&format!("{path}/approval"), &object).await
    }
}

/// A certificate request and its key, both PEM.
pub(crate) fn request(name: &str, groups: &[&str]) -> (String, String) {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    // One organization a certificate is all that rcgen writes.
    for group in groups {
        params.distinguished_name.push(rcgen::DnType::OrganizationName, *group);
    }
    let key = rcgen::KeyPair::generate().expect("a key");
    let request = params.serialize_request(&key).expect("a request");
    (request.pem().expect("PEM"), key.serialize_pem())
}

/// A `CertificateSigningRequest` for a client certificate.
pub(crate) fn new_csr(name: &str, request: &str, signer: &str) -> Value {
    json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": STANDARD.encode(request),
            "signerName": signer,
            "usages": ["digital signature", "client auth"],
        },
    })
}
