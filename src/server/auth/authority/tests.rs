use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::server::auth::request::tests::make;

const HOUR: Duration = Duration::from_hours(1);

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn later(hours: i64) -> Timestamp {
    now() + SignedDuration::from_hours(hours)
}

fn authority() -> Authority {
    Authority::in_memory(now()).unwrap()
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn client(authority: &Authority, user: &str, groups: &[&str]) -> CertificateDer<'static> {
    der(&authority.client_certificate(user, groups, HOUR, now()).unwrap().certificate)
}

#[test]
fn a_client_certificate_names_its_user_and_groups() {
    let authority = authority();
    let der = client(&authority, "inv:host:ns:web-1", &["inv:hosts", "zwei", "drei"]);
    let Verified { user, not_after } = authority.verify(std::slice::from_ref(&der), now()).unwrap();
    assert_eq!(user.name, "inv:host:ns:web-1");
    assert_eq!(user.groups, ["inv:hosts", "zwei", "drei", AUTHENTICATED]);
    assert_eq!(not_after, later(1));
    let credential = &user.extra[CREDENTIAL][0];
    assert!(credential.starts_with("X509SHA256=") && credential.len() == 11 + 64, "{credential}");
}

#[test]
fn a_uid_is_read_from_the_subject() {
    let authority = authority();
    let key = new_key().unwrap();
    let subject = der::name(&[(USER_ID, "u-1"), (der::COMMON_NAME, "a")]);
    let leaf = Leaf {
        subject,
        key: key.subject_public_key_info(),
        alt_names: &[],
        key_usage: 0,
        purposes: vec![der::CLIENT_AUTH],
    };
    let der = authority.issue(&leaf, SignedDuration::from_hours(1), now()).unwrap().into();
    assert_eq!(authority.verify(&[der], now()).unwrap().user.uid, "u-1");
}

#[test]
fn certificates_of_others_and_of_other_times_are_refused() {
    let (ours, other) = (authority(), authority());
    let refused = |chain: &[CertificateDer<'_>], at| {
        let error = ours.verify(chain, at).unwrap_err();
        assert_eq!((error.code, error.reason), (401, "Unauthorized"));
    };
    let good = client(&ours, "a", &[]);
    refused(&[], now());
    refused(&[client(&other, "a", &[])], now());
    // A certificate of ours beside it changes nothing.
    refused(&[client(&other, "a", &[]), good.clone(), ours.der.clone()], now());
    refused(std::slice::from_ref(&good), later(2));
    refused(std::slice::from_ref(&good), later(-1));
    refused(&[CertificateDer::from(vec![0x30, 0x80, 0, 0])], now());
    refused(&[client(&ours, "", &["inv:admins"])], now());
    // The authority itself is no client.
    refused(std::slice::from_ref(&ours.der), now());
    let mut changed = good.to_vec();
    let at = changed.len() - 1;
    changed[at] ^= 1;
    refused(&[changed.into()], now());
    assert!(ours.verify(&[good, ours.der.clone()], now()).is_ok());
}

#[test]
fn a_certificate_for_servers_or_for_nothing_is_no_client_certificate() {
    let authority = authority();
    let (pem, _) = make("a", "b", &["a.example"]);
    let request = Request::parse(pem.as_bytes()).unwrap();
    let with = |usages: &[&str]| {
        let pem = authority.sign(&request, usages, HOUR, now()).unwrap();
        authority.verify(&[der(&pem)], now()).map(|verified| verified.user.name)
    };
    assert_eq!(with(&["client auth", "digital signature"]).unwrap(), "a");
    assert!(with(&["server auth"]).is_err());
    assert!(with(&["digital signature"]).is_err());
    assert!(with(&[]).is_err());
}

#[test]
fn a_signed_request_keeps_its_names_and_gets_only_what_was_granted() {
    let authority = authority();
    let (pem, key) = make("inv:host:ns:web-1", "inv:hosts", &["web-1.example", "10.0.0.1"]);
    let request = Request::parse(pem.as_bytes()).unwrap();
    let usages = ["client auth", "digital signature", "key encipherment"];
    let der = der(&authority.sign(&request, &usages, HOUR, now()).unwrap());
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(parsed.public_key().raw, key.subject_public_key_info());
    assert_eq!(parsed.subject().to_string(), "CN=inv:host:ns:web-1, O=inv:hosts");
    assert!(!parsed.is_ca());
    let usage = parsed.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
    let purpose = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(purpose.client_auth && !purpose.server_auth && !purpose.any);
    let names = parsed.subject_alternative_name().unwrap().unwrap().value;
    assert_eq!(names.general_names.len(), 2);
    assert_eq!(validity(&parsed).unwrap(), (now() - BACKDATE, later(1)));

    let again = self::der(&authority.sign(&request, &usages, HOUR, now()).unwrap());
    let (_, again) = X509Certificate::from_der(&again).unwrap();
    assert_ne!(again.raw_serial(), parsed.raw_serial());
    assert!(authority.sign(&request, &["cert sign"], HOUR, now()).is_err());
}

#[test]
fn nothing_outlives_the_authority() {
    let authority = authority();
    let der =
        der(&authority.client_certificate("a", &[], HOUR * 24 * 36500, now()).unwrap().certificate);
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(validity(&parsed).unwrap().1, authority.not_after);
    let end = authority.not_after;
    assert!(authority.client_certificate("a", &[], HOUR, end).is_err());
}

#[test]
fn an_authority_is_made_once_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = Authority::open(folder.path(), now()).unwrap();
    let mode = std::fs::metadata(folder.path().join("ca.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = Authority::open(folder.path(), later(1)).unwrap();
    assert_eq!(first.certificate(), second.certificate());
    assert!(second.verify(&[client(&first, "a", &[])], now()).is_ok());
}

#[test]
fn a_stop_between_the_two_files_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let first = Authority::open(folder.path(), now()).unwrap();
    std::fs::remove_file(folder.path().join("ca.crt")).unwrap();
    let second = Authority::open(folder.path(), now()).unwrap();
    assert!(second.verify(&[client(&first, "a", &[])], now()).is_ok());
}

#[test]
fn damaged_files_are_named_and_left_alone() {
    let other = tempfile::tempdir().unwrap();
    Authority::open(other.path(), now()).unwrap();
    let other_key = std::fs::read(other.path().join("ca.key")).unwrap();
    let leaf = authority().client_certificate("a", &[], HOUR, now()).unwrap();
    let big_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem();
    for (file, content, part) in [
        ("ca.key", b"".to_vec(), "PKCS#8"),
        ("ca.key", big_key.into_bytes(), "P-256"),
        ("ca.key", other_key, "does not belong"),
        ("ca.crt", b"-----BEGIN CERTIFICATE-----\n".to_vec(), "PEM"),
        ("ca.crt", der::pem("CERTIFICATE", b"x").into_bytes(), "X.509"),
        ("ca.crt", leaf.certificate.into_bytes(), "does not belong"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        Authority::open(folder.path(), now()).unwrap();
        std::fs::write(folder.path().join(file), &content).unwrap();
        let error = Authority::open(folder.path(), now()).unwrap_err();
        let text = crate::error::report(&error);
        assert!(text.contains(part) && text.contains("hint: restore"), "{text}");
        assert_eq!(std::fs::read(folder.path().join(file)).unwrap(), content);
    }
}

#[test]
fn a_lost_key_a_leaf_and_an_ended_authority_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = |at| Authority::open(folder.path(), at).map_err(|e| crate::error::chain(&e));
    open(now()).unwrap();
    assert!(open(later(24 * 3651)).unwrap_err().contains("it ended at 2036-"));
    let key = folder.path().join("ca.key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(open(now()).unwrap_err().contains("open to others"));
    std::fs::remove_file(&key).unwrap();
    assert!(open(now()).unwrap_err().contains("missing"));
    assert!(!key.exists());

    let ours = authority();
    let made = ours.client_certificate("a", &[], HOUR, now()).unwrap();
    let error = Authority::new(&made.certificate, KeyPair::from_pem(&made.key).unwrap(), now());
    assert!(error.unwrap_err().contains("may not sign"));
}

#[test]
fn the_servers_certificate_is_renewed_before_its_end() {
    use std::sync::atomic::{AtomicI64, Ordering};
    static HOURS: AtomicI64 = AtomicI64::new(0);
    fn clock() -> Timestamp {
        later(HOURS.load(Ordering::SeqCst))
    }
    let authority = Arc::new(authority());
    let server = ServerCertificate::new(authority, &["Localhost", "::1"], clock).unwrap();
    let end = || {
        let current = server.current();
        let (_, parsed) = X509Certificate::from_der(&current.cert[0]).unwrap();
        let names = parsed.subject_alternative_name().unwrap().unwrap().value.general_names.len();
        (validity(&parsed).unwrap().1, names)
    };
    assert_eq!(end(), (later(90 * 24), 2));
    HOURS.store(59 * 24, Ordering::SeqCst);
    assert_eq!(end(), (later(90 * 24), 2));
    HOURS.store(60 * 24, Ordering::SeqCst);
    assert_eq!(end(), (later(150 * 24), 2));
}

#[test]
fn a_servers_name_must_be_one() {
    let authority = Arc::new(authority());
    for name in ["", "a b", "a/b", "1.2.3.4:5", "*"] {
        assert!(ServerCertificate::new(Arc::clone(&authority), &[name], now).is_err(), "{name}");
    }
}

#[test]
fn keys_are_not_shown() {
    let authority = authority();
    let made = authority.client_certificate("a", &[], HOUR, now()).unwrap();
    let shown = format!("{authority:?} {made:?}");
    assert!(!shown.contains("BEGIN") && !shown.contains("key:"), "{shown}");
}
