//! Key and certificate on disk: files that nobody else may read, written whole or not at all.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use kube::config::{
    AuthInfo, Cluster, Context, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use serde::{Deserialize, Serialize};
use x509_parser::pem::parse_x509_pem;

use super::Options;
use crate::error::{Error, Result};
use crate::files;

/// Server, authority, certificate and key, as a kubeconfig that other programs can use, too.
const IDENTITY: &str = "identity.kubeconfig";
/// A key that waits for its certificate.
const PENDING: &str = "pending.json";
/// Nothing that is read here is longer.
const LONGEST: u64 = 1 << 20;
/// Name of the context, cluster and user in the file.
const CONTEXT: &str = "inventory";

/// An identity on disk.
pub(super) struct Stored {
    pub(super) path: PathBuf,
    pub(super) cluster: Cluster,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

/// A key that waits for its certificate. It has no `Debug`: it must not get into a log.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pending {
    /// Name of the request.
    pub(super) name: String,
    /// With which credentials it was asked for.
    pub(super) asked: String,
    /// For whom.
    pub(super) user: String,
    /// The request in PEM.
    pub(super) request: String,
    /// The key in PEM.
    pub(super) key: String,
}

/// What a certificate says.
pub(super) struct Certificate {
    pub(super) user: String,
    pub(super) key: Vec<u8>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Certificate {
    /// Reads the first certificate of a PEM text.
    pub(super) fn read(pem: &[u8]) -> Option<Self> {
        let (_, pem) = parse_x509_pem(pem).ok()?;
        let certificate = pem.parse_x509().ok()?;
        let mut users = certificate.subject().iter_common_name();
        let time =
            |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
        Some(Self {
            user: users.next()?.as_str().ok()?.to_owned(),
            key: certificate.public_key().raw.to_vec(),
            not_before: time(certificate.validity().not_before)?,
            not_after: time(certificate.validity().not_after)?,
        })
    }
}

impl Stored {
    /// The identity of this host; none if there is none yet.
    pub(super) fn read(options: &Options) -> Result<Option<Self>> {
        let path = options.folder.join(IDENTITY);
        let Some(text) = read_private(&path)? else { return Ok(None) };
        let wrong = |why: &str| {
            Error::usage(format!("\"{}\" {why}", path.display()))
                .hint("remove it, and give --bootstrap-kubeconfig, so that the host gets a new certificate")
        };
        let kubeconfig = Kubeconfig::from_yaml(&text)
            .map_err(|cause| wrong("is no kubeconfig").because(cause))?;
        let cluster = kubeconfig.clusters.into_iter().find_map(|named| named.cluster);
        let user = kubeconfig.auth_infos.into_iter().find_map(|named| named.auth_info);
        let certificate = user
            .and_then(|user| user.client_certificate_data)
            .and_then(|data| STANDARD.decode(data).ok())
            .and_then(|pem| Certificate::read(&pem));
        let (Some(cluster), Some(certificate)) = (cluster, certificate) else {
            return Err(wrong("holds no certificate"));
        };
        if certificate.user != options.user() {
            let other = crate::model::text::clean(&certificate.user);
            return Err(wrong(&format!("is of \"{other}\" and not of \"{}\"", options.user())));
        }
        let Certificate { not_before, not_after, .. } = certificate;
        Ok(Some(Self { path, cluster, not_before, not_after }))
    }

    /// Writes an identity, in place of the one before it.
    pub(super) fn write(
        options: &Options,
        cluster: Cluster,
        certificate: &str,
        key: &str,
    ) -> Result<Self> {
        let user = AuthInfo {
            client_certificate_data: Some(STANDARD.encode(certificate)),
            client_key_data: Some(STANDARD.encode(key).into()),
            ..AuthInfo::default()
        };
        let name = || CONTEXT.to_owned();
        let context = Context {
            cluster: name(),
            user: Some(name()),
            namespace: Some(options.namespace.clone()),
            ..Context::default()
        };
        let kubeconfig = Kubeconfig {
            clusters: vec![NamedCluster {
                name: name(),
                cluster: Some(cluster),
                ..NamedCluster::default()
            }],
            auth_infos: vec![NamedAuthInfo {
                name: name(),
                auth_info: Some(user),
                ..NamedAuthInfo::default()
            }],
            contexts: vec![NamedContext {
                name: name(),
                context: Some(context),
                ..NamedContext::default()
            }],
            current_context: Some(name()),
            kind: Some("Config".to_owned()),
            api_version: Some("v1".to_owned()),
            ..Kubeconfig::default()
        };
        let path = options.folder.join(IDENTITY);
        // JSON is YAML.
        let text = serde_json::to_string_pretty(&kubeconfig).map_err(|cause| {
            Error::new(format!("cannot write \"{}\"", path.display())).because(cause)
        })?;
        write_private(&path, &text)?;
        Self::read(options)?.ok_or_else(|| Error::new(format!("\"{}\" has gone", path.display())))
    }
}

impl Pending {
    pub(super) fn read(options: &Options) -> Result<Option<Self>> {
        let text = read_private(&options.folder.join(PENDING))?;
        // What cannot be read is worth nothing: another key is made.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    pub(super) fn write(&self, options: &Options) -> Result<()> {
        let path = options.folder.join(PENDING);
        let text = serde_json::to_string(self).map_err(|cause| {
            Error::new(format!("cannot write \"{}\"", path.display())).because(cause)
        })?;
        write_private(&path, &text)
    }

    pub(super) fn remove(options: &Options) -> Result<()> {
        let path = options.folder.join(PENDING);
        match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                Err(Error::new(format!("cannot remove \"{}\"", path.display())).because(cause))
            }
            _ => Ok(()),
        }
    }
}

/// Address and authority of the server that a bootstrap kubeconfig leads to, with the authority's
/// certificate in it instead of the name of its file.
pub(super) fn cluster_of(bootstrap: &Path) -> Result<Cluster> {
    let place = format!("bootstrap kubeconfig \"{}\"", bootstrap.display());
    let kubeconfig = Kubeconfig::read_from(bootstrap)
        .map_err(|cause| Error::usage(format!("cannot read {place}")).because(cause))?;
    let current = kubeconfig.current_context.unwrap_or_default();
    let context = kubeconfig.contexts.into_iter().find(|named| named.name == current);
    let wanted = context.and_then(|named| named.context).map(|context| context.cluster);
    let cluster =
        kubeconfig.clusters.into_iter().find(|named| Some(&named.name) == wanted.as_ref());
    let Some(mut cluster) = cluster.and_then(|named| named.cluster) else {
        return Err(Error::usage(format!("{place} has no cluster for its current context")));
    };
    if cluster.insecure_skip_tls_verify == Some(true) {
        return Err(Error::usage(format!("{place} does not check who the server is"))
            .hint("replace insecure-skip-tls-verify by certificate-authority-data"));
    }
    if let Some(file) = cluster.certificate_authority.take()
        && cluster.certificate_authority_data.is_none()
    {
        let pem = std::fs::read(&file).map_err(|cause| {
            Error::usage(format!("cannot read \"{file}\", which {place} names")).because(cause)
        })?;
        cluster.certificate_authority_data = Some(STANDARD.encode(pem));
    }
    Ok(cluster)
}

pub(super) fn make_folder(folder: &Path) -> Result<()> {
    files::make_folder(folder).map_err(|cause| {
        Error::usage(format!("cannot make the folder \"{}\"", folder.display()))
            .because(cause)
            .hint("name one that the agent may write with --state-dir")
    })
}

/// The text of a file that nobody else may read; none if it is not there.
fn read_private(path: &Path) -> Result<Option<String>> {
    let fail = |cause: std::io::Error| {
        Error::usage(format!("cannot read \"{}\"", path.display())).because(cause)
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(fail(cause)),
    };
    // Of the file that is read, not of one that had its name a moment ago.
    let mode = file.metadata().map_err(fail)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let shown = path.display();
        return Err(Error::usage(format!(
            "\"{shown}\" holds a key and is open to others ({mode:03o})"
        ))
        .hint(format!("chmod 600 {shown}, and think of the key as known to others")));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(fail)?;
    Ok(Some(text))
}

/// Writes a file whole or not at all, with mode 0600; it survives a power cut.
fn write_private(path: &Path, text: &str) -> Result<()> {
    files::write_safely(path, text.as_bytes())
        .map_err(|cause| Error::new(format!("cannot write \"{}\"", path.display())).because(cause))
}
