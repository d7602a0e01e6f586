use std::time::Duration;

use http::HeaderValue;
use rustls::pki_types::pem::PemObject;

use super::*;

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn authenticator() -> (Authenticator, tempfile::TempDir) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    std::fs::write(&path, "s3cret,ann,u1,inv:viewers\n").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let authority = Arc::new(Authority::in_memory(now()).unwrap());
    (Authenticator { authority, tokens: Tokens::open(&path).unwrap() }, folder)
}

fn peer(authority: &Authority, hours: u64) -> Peer {
    let life = Duration::from_hours(hours);
    let made = authority.client_certificate("eve", &["inv:viewers"], life, now()).unwrap();
    let der = CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap();
    Peer::Tls(Arc::new(TlsPeer::new(([127, 0, 0, 1], 1).into(), vec![der])))
}

fn nobody() -> Peer {
    Peer::Tls(Arc::new(TlsPeer::new(([127, 0, 0, 1], 1).into(), Vec::new())))
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(k, v)| (k.parse().unwrap(), HeaderValue::from_static(v))).collect()
}

#[test]
fn certificate_then_token_then_nobody() {
    let (who, _folder) = authenticator();
    let name = |peer: &Peer, pairs: &[_]| {
        who.authenticate(peer, &headers(pairs), now()).map(|user| user.name).map_err(|e| e.code)
    };
    let good = ("authorization", "Bearer s3cret");
    let bad = ("authorization", "Bearer wrong");
    let foreign = peer(&Authority::in_memory(now()).unwrap(), 1);
    let known = peer(&who.authority, 1);
    assert_eq!(name(&nobody(), &[]), Ok(ANONYMOUS.to_owned()));
    assert_eq!(name(&nobody(), &[good]), Ok("ann".to_owned()));
    assert_eq!(name(&nobody(), &[("authorization", "bEARER  s3cret ")]), Ok("ann".to_owned()));
    assert_eq!(name(&nobody(), &[bad]), Err(401));
    assert_eq!(name(&nobody(), &[("authorization", "Basic YTpi")]), Ok(ANONYMOUS.to_owned()));
    assert_eq!(name(&nobody(), &[("authorization", "Bearer ")]), Ok(ANONYMOUS.to_owned()));
    assert_eq!(name(&known, &[]), Ok("eve".to_owned()));
    assert_eq!(name(&known, &[bad]), Ok("eve".to_owned()));
    assert_eq!(name(&foreign, &[]), Err(401));
    assert_eq!(name(&foreign, &[good]), Ok("ann".to_owned()));
    assert_eq!(name(&foreign, &[bad]), Err(401));
}

#[test]
fn a_certificate_that_ends_while_its_connection_stands_ends_the_user() {
    let (who, _folder) = authenticator();
    let peer = peer(&who.authority, 1);
    let at = |minutes: i64| {
        let now = now() + jiff::SignedDuration::from_mins(minutes);
        who.authenticate(&peer, &HeaderMap::new(), now).map(|user| user.name)
    };
    assert_eq!(at(59).unwrap(), "eve");
    assert_eq!(at(61).unwrap_err().code, 401);
}

#[test]
fn the_owner_of_the_socket_is_the_owner_of_the_server() {
    let (who, _folder) = authenticator();
    let name = |uid| {
        who.authenticate(&Peer::Unix { uid, owner: 1000 }, &HeaderMap::new(), now()).unwrap().name
    };
    assert_eq!(name(1000), User::owner().name);
    assert_eq!(name(0), User::owner().name);
    assert_eq!(name(1001), ANONYMOUS);
}

#[test]
fn impersonation_is_refused_and_never_ignored() {
    let (who, _folder) = authenticator();
    for name in ["impersonate-user", "Impersonate-Group", "impersonate-extra-scopes"] {
        let headers = headers(&[(name, "bob")]);
        let error = who.authenticate(&peer(&who.authority, 1), &headers, now()).unwrap_err();
        assert_eq!((error.code, error.reason), (403, "Forbidden"), "{name}");
        assert!(error.message.contains("eve"), "{error}");
    }
}
