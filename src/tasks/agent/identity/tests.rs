use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestSpec,
};
use kube::config::Cluster;
use rcgen::{CertificateParams, DnType, KeyPair};

use super::ask::{Asked, pending};
use super::files::{Pending, Stored};
use super::*;
use crate::model::csr::{Key, Request};

fn options(folder: &Path) -> Options {
    Options {
        namespace: "inventory".to_owned(),
        host: "web-1".to_owned(),
        folder: folder.to_owned(),
        bootstrap: None,
        life: LIFE,
    }
}

fn stop() -> watch::Receiver<bool> {
    watch::channel(false).1
}

/// An identity on disk whose certificate lives from `begin` to `end`, in seconds from now.
fn store(options: &Options, user: &str, begin: i64, end: i64) -> Result<Stored> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, user);
    let at = |seconds: i64| {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let seconds = Timestamp::now().as_second() + seconds;
        epoch + Duration::from_secs(u64::try_from(seconds).unwrap())
    };
    (params.not_before, params.not_after) = (at(begin), at(end));
    let pem = params.self_signed(&key).unwrap().pem();
    let cluster = Cluster {
        server: Some("https://127.0.0.1:1".to_owned()),
        certificate_authority_data: Some(STANDARD.encode(&pem)),
        ..Cluster::default()
    };
    Stored::write(options, cluster, &pem, &key.serialize_pem())
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_identity_on_disk_is_used_while_it_lives() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(&dir.path().join("state"));
    files::make_folder(&options.folder).unwrap();
    assert_eq!(mode(&options.folder), 0o700);
    let stored = store(&options, "inv:host:inventory:web-1", -60, 3_540).unwrap();
    assert_eq!(mode(&stored.path), 0o600);
    let held = obtain(options.clone(), stop()).await.unwrap().unwrap();
    assert_eq!(held.user(), "inv:host:inventory:web-1");
    assert_eq!(held.connection().server, "https://127.0.0.1:1");
    let after = held.renewal().duration_since(held.not_before).as_secs();
    assert!((2_040..=2_400).contains(&after), "{after} of 3600 seconds");
    assert!(!held.renew_due(Timestamp::now()));
    assert!(held.renew_due(held.renewal()));
}

#[tokio::test]
async fn without_a_living_certificate_there_must_be_a_bootstrap_kubeconfig() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let said = async || obtain(options.clone(), stop()).await.err().unwrap().to_string();
    assert!(said().await.contains("no certificate yet"));
    store(&options, "inv:host:inventory:web-1", -600, -60).unwrap();
    assert!(said().await.contains("has ended at"));
}

#[test]
fn another_hosts_identity_and_one_that_is_open_to_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let error = store(&options, "inv:host:inventory:web-2", -60, 60).err().unwrap();
    assert!(error.to_string().contains("is of \"inv:host:inventory:web-2\""), "{error}");
    let path = store(&options, "inv:host:inventory:web-1", -60, 60).unwrap().path;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let error = Stored::read(&options).err().unwrap();
    assert!(error.to_string().contains("open to others (640)"), "{error}");
}

#[test]
fn a_restart_goes_on_with_the_same_request() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let first = pending(&options, Asked::First).unwrap();
    assert_eq!(mode(&dir.path().join("pending.json")), 0o600);
    let again = pending(&options, Asked::First).unwrap();
    assert_eq!((&first.name, &first.key), (&again.name, &again.key));
    let renewal = pending(&options, Asked::Renewal).unwrap();
    assert_ne!(first.key, renewal.key, "other credentials, another key");
    Pending::remove(&options).unwrap();
    Pending::remove(&options).unwrap();
    assert_ne!(pending(&options, Asked::Renewal).unwrap().key, renewal.key);
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 1, "nothing but the one file");
}

#[test]
fn what_is_asked_for_is_what_policies_want() {
    let dir = tempfile::tempdir().unwrap();
    let pending = pending(&options(dir.path()), Asked::First).unwrap();
    let object = CertificateSigningRequest {
        spec: CertificateSigningRequestSpec {
            request: ByteString(pending.request.into_bytes()),
            ..CertificateSigningRequestSpec::default()
        },
        ..CertificateSigningRequest::default()
    };
    let request = Request::decode(&object).map_err(|problem| problem.why).unwrap();
    assert_eq!(request.asks.subject_text(), "CN=inv:host:inventory:web-1, O=inv:hosts");
    assert_eq!(
        (request.host(), &request.asks.key),
        (Some(("inventory", "web-1")), &Key::EcdsaP256)
    );
    assert!(request.asks.signature_fits && request.asks.sans.is_empty());
    assert!(request.asks.attributes.is_empty() && request.asks.extensions.is_empty());
}

#[test]
fn a_bootstrap_kubeconfig_gives_server_and_authority() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bootstrap");
    let write = |cluster: &str| {
        let text = format!(
            "{{current-context: a, contexts: [{{name: a, context: {{cluster: c, user: u}}}}], \
             clusters: [{{name: c, cluster: {{server: \"https://s\", {cluster}}}}}]}}"
        );
        std::fs::write(&file, text).unwrap();
    };
    std::fs::write(dir.path().join("ca.pem"), "the authority").unwrap();
    write("certificate-authority: ca.pem");
    let cluster = files::cluster_of(&file).unwrap();
    assert_eq!(cluster.server.as_deref(), Some("https://s"));
    assert_eq!(cluster.certificate_authority, None);
    assert_eq!(cluster.certificate_authority_data, Some(STANDARD.encode("the authority")));
    write("insecure-skip-tls-verify: true");
    assert!(files::cluster_of(&file).err().unwrap().to_string().contains("does not check"));
    write("certificate-authority: nowhere.pem");
    assert!(files::cluster_of(&file).is_err());
}
