//! Who asks, and what they may do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::status::{ApiError, ApiResult};
use authority::{Authority, Verified};
use tokens::Tokens;

pub mod authority;
mod der;
mod files;
pub mod kubeconfig;
pub mod request;
pub mod reviews;
pub mod roles;
pub mod tokens;
pub mod walls;

/// Group of everybody who said who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Group of those who did not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// User name of those who did not.
pub const ANONYMOUS: &str = "system:anonymous";

/// Who sends a request, as authentication found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// User name: the CN of a client certificate, or the name that a token stands for.
    pub name: String,
    /// Opaque id, if there is one.
    pub uid: String,
    /// Groups: each O of the certificate, plus `system:authenticated`.
    pub groups: Vec<String>,
    /// Anything else, for example the certificate's fingerprint.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// An authenticated user in these groups.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().chain(&[AUTHENTICATED]).map(|g| (*g).to_owned()).collect();
        Self { name: name.to_owned(), groups, ..Self::default() }
    }

    /// Whoever runs this server: requests from the same process, or from the owner of its socket.
    /// Their name is that of their login, so that others see who holds a host.
    pub fn owner() -> Self {
        let login = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
        let name = login.filter(|name| !name.is_empty() && !name.contains([':', '/']));
        Self::new(name.as_deref().unwrap_or("owner"), &[roles::ADMINS])
    }

    /// Nobody in particular.
    pub fn anonymous() -> Self {
        let groups = vec![UNAUTHENTICATED.to_owned()];
        Self { name: ANONYMOUS.to_owned(), groups, ..Self::default() }
    }

    /// Whether the user is in `group`.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

/// What a request wants to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or a
    /// special one (`approve`, `sign`). For a plain path: the HTTP method in lower case.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural of the resource. Empty: not about a resource but about `path`.
    pub resource: String,
    /// Subresource, or empty.
    pub subresource: String,
    /// Namespace, or empty for all of them and for what is in none.
    pub namespace: String,
    /// Name of the object, or empty. Of a `create`: the name in the body. Of a `list` or `watch`:
    /// what the field selector `metadata.name=` asks for.
    pub name: String,
    /// Path of a request that is about no resource.
    pub path: String,
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub enum Peer {
    /// A process on this machine, over a Unix socket.
    Unix {
        /// Its user.
        uid: u32,
        /// The user that owns the socket.
        owner: u32,
    },
    /// Somebody on the network.
    Tls(Arc<TlsPeer>),
}

/// Somebody on the network.
#[derive(Debug)]
pub struct TlsPeer {
    /// Where from.
    pub address: SocketAddr,
    /// The client certificate and what came with it. TLS made sure that the peer holds its key,
    /// and of nothing else.
    pub certificates: Vec<CertificateDer<'static>>,
    /// What [`Authority::verify`] said at the connection's first request.
    verified: OnceLock<ApiResult<Verified>>,
}

impl TlsPeer {
    /// Somebody at `address` who showed these certificates.
    pub fn new(address: SocketAddr, certificates: Vec<CertificateDer<'static>>) -> Self {
        Self { address, certificates, verified: OnceLock::new() }
    }
}

/// Finds out who sends a request.
#[derive(Debug)]
pub struct Authenticator {
    /// Whose client certificates count.
    pub authority: Arc<Authority>,
    /// Bearer tokens.
    pub tokens: Tokens,
}

impl Authenticator {
    /// Who sends a request with these headers over this connection. A valid client certificate
    /// comes first, then a valid bearer token; whoever offers neither is anonymous.
    ///
    /// # Errors
    ///
    /// 401 if something was offered and nothing of it is valid; 403 for impersonation, which this
    /// server cannot do and must not ignore.
    pub fn authenticate(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> ApiResult<User> {
        let transport = match peer {
            Peer::Unix { uid, owner } => (uid == owner || *uid == 0).then(|| Ok(User::owner())),
            Peer::Tls(peer) if peer.certificates.is_empty() => None,
            Peer::Tls(peer) => Some(self.certificate(peer, now)),
        };
        let user = match (transport, bearer(headers)) {
            (Some(Ok(user)), _) => user,
            (None, None) => User::anonymous(),
            (Some(Err(error)), None) => return Err(error),
            (_, Some(token)) => self.tokens.user(token).ok_or_else(ApiError::unauthorized)?,
        };
        if headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
            let message = format!(
                "forbidden: User {:?} cannot impersonate: this server does not support it",
                user.name
            );
            return Err(ApiError::new(403, "Forbidden", message));
        }
        Ok(user)
    }

    /// The signatures of a chain are checked once for a connection, its end for each request.
    fn certificate(&self, peer: &TlsPeer, now: Timestamp) -> ApiResult<User> {
        let verified = peer.verified.get_or_init(|| self.authority.verify(&peer.certificates, now));
        match verified {
            Ok(verified) if now <= verified.not_after => Ok(verified.user.clone()),
            Ok(_) => Err(ApiError::unauthorized()),
            Err(error) => Err(error.clone()),
        }
    }
}

/// The bearer token of a request. A value that is no text is a token that nobody has.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes().trim_ascii();
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests;
