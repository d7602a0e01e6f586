//! Users with the rights of a role, on whichever server a test has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inv_tui::model::host::Host;
use inv_tui::server::auth::authority::Authority;
use inv_tui::server::auth::kubeconfig::Kubeconfig;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{
    Api, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams, TypeMeta,
};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{World, connection, patient, wait_for};

/// How long the certificates are good.
const LIFETIME: Duration = Duration::from_hours(24);

impl World {
    /// The kubeconfig of a user with a client certificate: this name, in these groups (`inv:viewers`,
    /// `inv:operators`, …), on a server that has `deploy/*.yaml`. It is there as long as the world is.
    pub(crate) async fn as_user(&self, name: &str, groups: &[&str]) -> PathBuf {
        deployed(&self.kubeconfig).await;
        user(&self.kubeconfig, self.dir.path(), name, groups).await
    }

    /// A client with the certificate of such a user.
    pub(crate) async fn client_as(&self, name: &str, groups: &[&str]) -> kube::Client {
        patient(&self.as_user(name, groups).await).await
    }

    /// The same namespace, as such a user sees it. The program runs in that name there.
    pub(crate) async fn seen_by(&self, name: &str, groups: &[&str]) -> Self {
        let kubeconfig = self.as_user(name, groups).await;
        let client = patient(&kubeconfig).await;
        let dir = tempfile::tempdir().unwrap();
        Self { kubeconfig, namespace: self.namespace.clone(), client, dir }
    }

    /// The user name of the agent on this host of the world.
    pub(crate) fn agent(&self, host: &str) -> String {
        format!("inv:host:{}:{host}", self.namespace)
    }

    /// Whether this is a real control plane and not the embedded server.
    pub(crate) fn is_real(&self) -> bool {
        pki(&self.kubeconfig).is_some()
    }
}

/// The folder of the authority of a real control plane.
fn pki(admin: &Path) -> Option<PathBuf> {
    Some(admin.parent()?.join("pki")).filter(|folder| folder.is_dir())
}

/// Writes the kubeconfig of a user into `folder`. `admin` is the kubeconfig that `serve` or
/// `tests/control-plane/run` has written; the keys of the server's authority are beside it.
pub(crate) async fn user(admin: &Path, folder: &Path, name: &str, groups: &[&str]) -> PathBuf {
    let authority = pki(admin).unwrap_or_else(|| admin.parent().expect("a folder").to_owned());
    let authority = Authority::open(&authority, Timestamp::now()).expect("the server's authority");
    let credentials =
        authority.client_certificate(name, groups, LIFETIME, Timestamp::now()).expect("it signs");
    let plain = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let file = folder.join(format!("{plain}-{:08x}.kubeconfig", fastrand::u32(..)));
    Kubeconfig {
        server: connection(admin).await.server.trim_end_matches('/'),
        context: name,
        authority: authority.certificate(),
        credentials: &credentials,
    }
    .write(&file)
    .expect("a kubeconfig");
    file
}

/// Sees to it that a real control plane has the roles and the rules of `deploy/`, and that they
/// are in force. The embedded server has its own.
pub(crate) async fn deployed(admin: &Path) {
    static DONE: Mutex<BTreeSet<PathBuf>> = Mutex::const_new(BTreeSet::new());
    let mut done = DONE.lock().await;
    if pki(admin).is_none() || done.contains(admin) {
        return;
    }
    let client = patient(admin).await;
    for file in ["rbac.yaml", "policies.yaml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        for one in text.split("\n---\n").skip(1) {
            let object: DynamicObject = serde_saphyr::from_str(one).unwrap();
            let TypeMeta { api_version, kind } = object.types.clone().unwrap();
            let (group, version) = api_version.split_once('/').unwrap();
            let plural = match kind.as_str() {
                "ValidatingAdmissionPolicy" => "validatingadmissionpolicies".to_owned(),
                other => format!("{}s", other.to_lowercase()),
            };
            let kind = GroupVersionKind::gvk(group, version, &kind);
            let api: Api<DynamicObject> =
                Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&kind, &plural));
            let name = object.metadata.name.clone().unwrap();
            let params = PatchParams::apply("kubectl").force();
            api.patch(&name, &params, &Patch::Apply(&object)).await.unwrap();
        }
    }
    // The last rule of the file is in force when all are, and so it is with the roles.
    let folder = tempfile::tempdir().unwrap();
    let runner = user(admin, folder.path(), "inv:svc:runner", &["inv:runners"]).await;
    let leases: Api<Lease> = Api::namespaced(patient(&runner).await, "default");
    let metadata = ObjectMeta { name: Some("web-1".to_owned()), ..ObjectMeta::default() };
    let (params, lease) =
        (PostParams { dry_run: true, ..PostParams::default() }, Lease { metadata, spec: None });
    wait_for("the rules to be in force", async || {
        let refused = leases.create(&params, &lease).await.err()?.to_string();
        refused.contains("whose name begins with inv-tui-").then_some(())
    })
    .await;
    let ada = user(admin, folder.path(), "ada", &["inv:admins"]).await;
    let hosts: Api<Host> = Api::all(connection(&ada).await.client);
    wait_for("the roles to be in force", async || hosts.list(&ListParams::default()).await.ok())
        .await;
    done.insert(admin.to_owned());
}

/// The warnings of the server about the rules' expressions, with the policy that they are about;
/// none before it has looked at all of them.
pub(crate) async fn warnings(admin: &Path) -> Option<Vec<String>> {
    let client = patient(admin).await;
    let kind =
        GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy");
    let resource = ApiResource::from_gvk_with_plural(&kind, "validatingadmissionpolicies");
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let mut found = Vec::new();
    let ours = |policy: &DynamicObject| {
        policy.metadata.name.as_deref().is_some_and(|name| name.ends_with(".inventory.inv-tui.dev"))
    };
    for policy in api.list(&ListParams::default()).await.unwrap().items.iter().filter(|p| ours(p)) {
        let status = &policy.data["status"];
        if status["observedGeneration"].as_i64() != policy.metadata.generation {
            return None;
        }
        let warnings = status.pointer("/typeChecking/expressionWarnings");
        let name = policy.metadata.name.as_deref().unwrap_or_default();
        found.extend(
            warnings
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|w| format!("{name}: {w}")),
        );
    }
    Some(found)
}
