//! The file that tells kubectl and other clients where the server is and who they are.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::authority::Credentials;
use super::files;
use crate::error::{Error, Result};

/// The first line of each file that we wrote, and may write again.
const MARK: &str = "# written by inv-tui serve; it is written again at each start\n";

/// One server and one user of it.
pub struct Kubeconfig<'a> {
    /// `https://127.0.0.1:6443`.
    pub server: &'a str,
    /// Name of the context, the cluster and the user.
    pub context: &'a str,
    /// Certificate of the authority, in PEM.
    pub authority: &'a str,
    /// The user.
    pub credentials: &'a Credentials,
}

impl Kubeconfig<'_> {
    /// Writes the file whole or not at all, with mode 0600.
    ///
    /// # Errors
    ///
    /// If the address is none of an HTTPS server; if the file cannot be written, or is there and
    /// was not written by us: a person's own kubeconfig must not be lost.
    pub fn write(&self, path: &Path) -> Result<()> {
        let uri: Option<http::Uri> = self.server.parse().ok();
        if !uri.is_some_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some()) {
            let what = format!("{:?} is not the address of an HTTPS server", self.server);
            return Err(Error::usage(what));
        }
        if files::read(path)?.is_some_and(|text| !text.is_empty() && !text.starts_with(MARK)) {
            let what = format!("\"{}\" is there already and not ours", path.display());
            return Err(Error::usage(what).hint(
                "name another file; KUBECONFIG can list several, with a colon between them",
            ));
        }
        files::write_private(path, &self.text())
    }

    /// The text of the file. A JSON string is a YAML string too.
    fn text(&self) -> String {
        let string = |text: &str| serde_json::Value::from(text).to_string();
        let data = |pem: &str| STANDARD.encode(pem);
        format!(
            "{MARK}apiVersion: v1\n\
             kind: Config\n\
             clusters:\n\
             - name: {name}\n\
             \x20 cluster:\n\
             \x20   server: {server}\n\
             \x20   certificate-authority-data: {authority}\n\
             users:\n\
             - name: {name}\n\
             \x20 user:\n\
             \x20   client-certificate-data: {certificate}\n\
             \x20   client-key-data: {key}\n\
             contexts:\n\
             - name: {name}\n\
             \x20 context:\n\
             \x20   cluster: {name}\n\
             \x20   user: {name}\n\
             current-context: {name}\n",
            name = string(self.context),
            server = string(self.server),
            authority = data(self.authority),
            certificate = data(&self.credentials.certificate),
            key = data(&self.credentials.key),
        )
    }
}

impl fmt::Debug for Kubeconfig<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Kubeconfig");
        shown.field("server", &self.server).field("context", &self.context).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use kube::config::Kubeconfig as Read;

    use super::*;

    fn credentials() -> Credentials {
        Credentials { certificate: "CERT".to_owned(), key: "KEY".to_owned() }
    }

    fn config(credentials: &Credentials) -> Kubeconfig<'_> {
        let (server, context) = ("https://127.0.0.1:6443", "inv: \"x\"");
        Kubeconfig { server, context, authority: "CA", credentials }
    }

    #[test]
    fn a_client_reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let credentials = credentials();
        config(&credentials).write(&path).unwrap();
        config(&credentials).write(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Read::read_from(&path).unwrap();
        assert_eq!(read.current_context.as_deref(), Some("inv: \"x\""));
        let cluster = read.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://127.0.0.1:6443"));
        assert_eq!(cluster.certificate_authority_data.as_deref(), Some("Q0E="));
        let user = read.auth_infos[0].auth_info.as_ref().unwrap();
        assert_eq!(user.client_certificate_data.as_deref(), Some("Q0VSVA=="));
        assert!(user.client_key_data.is_some());
        let context = read.contexts[0].context.as_ref().unwrap();
        assert_eq!(
            (context.cluster.as_str(), context.user.as_deref()),
            ("inv: \"x\"", Some("inv: \"x\""))
        );
    }

    #[test]
    fn the_kubeconfig_of_a_person_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, "apiVersion: v1\nkind: Config\n").unwrap();
        let error = config(&credentials()).write(&path).unwrap_err();
        assert!(error.to_string().ends_with("not ours"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "apiVersion: v1\nkind: Config\n");
    }

    #[test]
    fn a_wrong_address_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        for server in ["http://x", "127.0.0.1:6443", "https://", "", "https://a b"] {
            let credentials = credentials();
            let config = Kubeconfig { server, ..config(&credentials) };
            assert!(config.write(&path).is_err(), "{server}");
        }
        assert!(!path.exists());
    }

    #[test]
    fn keys_are_not_shown() {
        let credentials = credentials();
        let shown = format!("{:?} {credentials:?}", config(&credentials));
        assert!(!shown.contains("KEY"), "{shown}");
    }
}
