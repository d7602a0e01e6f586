use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::SignedDuration;
use proptest::prelude::*;

use super::testing::*;
use super::*;
use crate::model::host::{Operation, Phase, ServiceState};

const NS: &str = "inventory";
const NAME: &str = "web-1";
/// What openssl makes; the subject is that of inventory/web-1.
const P256: &str = include_str!("vectors/p256.pem");
const P384: &str = include_str!("vectors/p384.pem");
const P521: &str = include_str!("vectors/p521.pem");
const ED25519: &str = include_str!("vectors/ed.pem");
const RSA_2048: &str = include_str!("vectors/rsa2048.pem");
const RSA_1024: &str = include_str!("vectors/rsa1024.pem");
/// One with every kind of extension and alternative name.
const EVERYTHING: &str = include_str!("vectors/all.pem");
/// As `openssl pkey -pubin -outform DER | sha256sum` says it of that one.
const FINGERPRINT: &str = "fc33d97b8d6b3fe3e3f30f2bacff87f86154eb17987d67e30ea50b62c90f1c9f";

fn strict() -> Policy {
    Policy { deny: true, ..Policy::default() }
}

fn decode(object: &CertificateSigningRequest) -> Request {
    Request::decode(object).unwrap_or_else(|problem| panic!("{}", problem.why))
}

fn forged(forge: &Forge) -> Request {
    decode(&object(pem(&forge.der())))
}

fn honest() -> Request {
    forged(&Forge::of(NS, NAME))
}

fn verdict(request: &Request) -> Verdict {
    judge(request, Some(&host(NS, NAME)), &History::default(), &strict())
}

#[track_caller]
fn denied(request: &Request, reason: &str, word: &str) {
    match verdict(request) {
        Verdict::Deny { reason: code, message } => {
            assert_eq!(code, reason, "{message}");
            assert!(message.contains(word), "no {word:?} in {message:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn left(verdict: &Verdict, reason: &str, word: &str) {
    match verdict {
        Verdict::Leave { reason: code, message } => {
            assert_eq!(*code, reason, "{message}");
            assert!(message.contains(word), "no {word:?} in {message:?}");
        }
        other => panic!("{other:?}"),
    }
}

fn problem(der: &[u8]) -> String {
    Request::decode(&object(pem(der))).expect_err("it can be read").why
}

#[test]
fn what_openssl_makes_is_read() {
    for (text, key) in [
        (P256, Key::EcdsaP256),
        (P384, Key::EcdsaP384),
        (ED25519, Key::Ed25519),
        (RSA_2048, Key::Rsa(2048)),
        (RSA_1024, Key::Rsa(1024)),
    ] {
        let request = decode(&object(text));
        assert_eq!(request.asks.key, key);
        assert_eq!(request.host(), Some((NS, NAME)));
        assert_eq!(request.asks.subject_text(), "CN=inv:host:inventory:web-1, O=inv:hosts");
        assert_eq!(request.asks.signature_fits, key != Key::Rsa(1024), "{key}");
        let approved = matches!(verdict(&request), Verdict::Approve { reason: "HostMatched", .. });
        assert_eq!(approved, key != Key::Rsa(1024), "{key}");
    }
    denied(&decode(&object(RSA_1024)), "KeyTooWeak", "RSA 1024");
    denied(&decode(&object(P521)), "KeyTooWeak", "1.3.132.0.35");
}

#[test]
fn everything_in_a_request_is_seen() {
    let request = decode(&object(EVERYTHING));
    let asks = &request.asks;
    assert!(asks.authority && asks.signature_fits);
    assert_eq!(asks.key_usage, ["digital signature", "cert sign"]);
    assert_eq!(asks.fingerprint, FINGERPRINT);
    assert_eq!(asks.extended_usage, ["1.3.6.1.5.5.7.3.1"]);
    let sans: Vec<String> = asks.sans.iter().map(ToString::to_string).collect();
    let wanted = [
        "DNS:web-2",
        "URI:https://a/b",
        "IP:10.0.0.1",
        "email:a@b.c",
        "otherName:1.2.3.4=inv:host:inventory:web-2",
        "directoryName:O=system:masters",
        "registeredID:1.2.3.4",
    ];
    assert_eq!(sans, wanted);
    assert!(asks.extensions.iter().any(|e| e.oid == "1.2.3.4.5" && !e.critical));
    assert!(asks.extensions.iter().any(|e| e.oid == BASIC_CONSTRAINTS && e.critical));
    let found = mismatches(&request, Some(&host(NS, NAME)), &strict());
    let reasons: Vec<&str> = found.iter().map(|mismatch| mismatch.reason).collect();
    let wanted = [
        "CaNotAllowed",
        "SanNotAllowed",
        "ExtensionNotAllowed",
        "UsageNotAllowed",
        "UsageNotAllowed",
    ];
    assert_eq!(reasons, wanted);
}

#[test]
fn an_honest_request_is_approved() {
    let request = honest();
    assert_eq!(mismatches(&request, Some(&host(NS, NAME)), &strict()), []);
    assert!(matches!(verdict(&request), Verdict::Approve { reason: "HostMatched", .. }));

    let mut renewal = object(P256);
    renewal.spec.username = Some("inv:host:inventory:web-1".into());
    renewal.spec.groups = Some(vec![HOSTS.into()]);
    assert!(matches!(verdict(&decode(&renewal)), Verdict::Approve { reason: "Renewal", .. }));
}

#[test]
fn every_other_subject_is_denied() {
    let user = "inv:host:inventory:web-1".as_bytes();
    let cn = || part(CN, 0x0c, user);
    let group = |text: &str| part(O, 0x0c, text.as_bytes());
    for (subject, word) in [
        (vec![cn(), group("inv:hosts"), group("system:masters")], "\"system:masters\""),
        (vec![cn(), group("inv:hosts"), group("inv:hosts")], "exactly one \"inv:hosts\""),
        (vec![cn(), group("system:masters")], "\"system:masters\""),
        (vec![cn()], "subject O: nothing"),
        (vec![cn(), cn(), group("inv:hosts")], "exactly one"),
        (vec![group("inv:hosts")], "subject CN: nothing"),
        (vec![cn(), group("inv:hosts"), part(&[0x55, 4, 11], 0x0c, b"x")], "OU=x"),
        (vec![cn(), group("inv:hosts"), part(&[0x2a, 3, 4], 0x0c, b"x")], "1.2.3.4=x"),
        (vec![part(CN, 0x1e, b"\0a"), group("inv:hosts")], "#1e:0061"),
        (vec![cn(), part(O, 0x14, b"inv:hosts")], "#14:"),
        (vec![part(CN, 0x0c, b"inv:host:inventory:web-1\0x"), group("inv:hosts")], "\u{FFFD}"),
        (vec![part(CN, 0x0c, b"inv:host:a:b:c"), group("inv:hosts")], "inv:host:a:b:c"),
        (vec![part(CN, 0x0c, b"inv:host:a:B"), group("inv:hosts")], "inv:host:a:B"),
        (vec![part(CN, 0x0c, b"inv:svc:a"), group("inv:hosts")], "inv:svc:a"),
        (vec![], "subject CN: nothing"),
    ] {
        denied(&forged(&Forge { subject, ..Forge::of(NS, NAME) }), "SubjectNotAllowed", word);
    }
    let twice = element(0x30, &[&element(6, &[O]), &element(0x0c, &[b"a"])]);
    let subject = vec![cn(), element(0x31, &[&twice, &twice])];
    assert!(problem(&Forge { subject, ..Forge::of(NS, NAME) }.der()).contains("several values"));
}

#[test]
fn every_alternative_name_is_denied() {
    let inner = part(O, 0x0c, b"inv:hosts");
    for (name, word) in [
        (element(0x82, &[b"web-2"]), "DNS:web-2"),
        (element(0x82, &[b"inv:host:inventory:web-1"]), "DNS:inv:host:inventory:web-1"),
        (element(0x87, &[&[10, 0, 0, 1]]), "IP:10.0.0.1"),
        (element(0x87, &[&[0; 16]]), "IP:::"),
        (element(0x86, &[b"spiffe://a"]), "URI:spiffe://a"),
        (element(0xa4, &[&element(0x30, &[&inner])]), "directoryName:O=inv:hosts"),
        (
            element(
                0xa0,
                &[&element(6, &[&[0x2a, 3]]), &element(0xa0, &[&element(0x0c, &[b"u"])])],
            ),
            "otherName:1.2.3=u",
        ),
        (element(0xa5, &[&[]]), "ediPartyName"),
        (element(0xa3, &[&[]]), "x400Address"),
    ] {
        let extensions = vec![extension(SAN_ID, &element(0x30, &[&name]))];
        let request = forged(&Forge { extensions, ..Forge::of(NS, NAME) });
        denied(&request, "SanNotAllowed", word);
    }
    for name in [element(0x89, &[b"x"]), element(0x87, &[&[1, 2, 3]]), element(0x82, &[&[0xff]])] {
        let extensions = vec![extension(SAN_ID, &element(0x30, &[&name]))];
        problem(&Forge { extensions, ..Forge::of(NS, NAME) }.der());
    }
}

#[test]
fn other_attributes_extensions_and_usages_are_denied() {
    let attribute =
        element(0x30, &[&element(6, &[&[0x2a, 5]]), &element(0x31, &[&element(0x0c, &[b"x"])])]);
    let request = forged(&Forge { attributes: vec![attribute.clone()], ..Forge::of(NS, NAME) });
    denied(&request, "ExtensionNotAllowed", "1.2.5");
    let twice = Forge { attributes: vec![attribute.clone(), attribute], ..Forge::of(NS, NAME) };
    assert!(problem(&twice.der()).contains("twice"));

    let unknown = extension(&[0x2a, 6], &[5, 0]);
    let request = forged(&Forge { extensions: vec![unknown], ..Forge::of(NS, NAME) });
    denied(&request, "ExtensionNotAllowed", "1.2.6");

    for usages in
        [&["server auth"][..], &["client auth", "server auth"], &["digital signature"], &[]]
    {
        let mut object = object(P256);
        object.spec.usages = Some(usages.iter().map(|usage| (*usage).to_owned()).collect());
        denied(&decode(&object), "UsageNotAllowed", "usages");
    }
    let mut less = object(P256);
    less.spec.usages = Some(vec!["client auth".into()]);
    assert!(matches!(verdict(&decode(&less)), Verdict::Approve { .. }));
}

#[test]
fn what_two_readers_could_read_in_two_ways_is_no_request() {
    let der = Forge::of(NS, NAME).der();
    assert!(problem(&[&der[..], &[0]].concat()).contains("follows"));
    assert!(problem(&der[..der.len() - 1]).contains("longer than the rest"));
    // The same length in a longer form.
    let mut long = der.clone();
    let at = usize::from(long[1] & 0x7f) + 1;
    long[1] += 1;
    long.insert(2, 0);
    assert!(at > 1 && problem(&long).contains("shortest"));
    assert!(problem(&Forge { version: 1, ..Forge::of(NS, NAME) }.der()).contains("version"));
    let tail = Forge { tail: vec![5, 0], ..Forge::of(NS, NAME) };
    assert!(problem(&tail.der()).contains("follows the attributes"));
    let san = extension(SAN_ID, &element(0x30, &[&element(0x82, &[b"a"])]));
    let twice = Forge { extensions: vec![san.clone(), san], ..Forge::of(NS, NAME) };
    assert!(problem(&twice.der()).contains("twice"));
    let behind = [element(0x30, &[&element(0x82, &[b"a"])]), vec![5, 0]].concat();
    let behind = Forge { extensions: vec![extension(SAN_ID, &behind)], ..Forge::of(NS, NAME) };
    assert!(problem(&behind.der()).contains("follows"));

    let text = |text: &str| Request::decode(&object(text)).expect_err("it can be read").why;
    for odd in [
        String::new(),
        format!("{P256}{EVERYTHING}"),
        format!("x\n{P256}"),
        P256.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
        P256.replace("REQUEST-----\nM", "REQUEST-----\nProc-Type: 4\n\nM"),
        "-".repeat(walk::LONGEST + 1),
    ] {
        text(&odd);
    }
}

#[test]
fn a_foreign_signature_is_denied() {
    let mut der = Forge::of(NS, NAME).der();
    let at = der.windows(5).position(|part| part == b"web-1").unwrap();
    der[at + 4] = b'2';
    let request = decode(&object(pem(&der)));
    assert_eq!(request.host(), Some((NS, "web-2")));
    denied(&request, "BadSignature", "signature");
}

#[test]
fn only_the_host_itself_or_a_bootstrapper_may_ask() {
    let ask = |user: &str, groups: &[&str]| {
        let mut object = object(P256);
        object.spec.username = Some(user.into());
        object.spec.groups = Some(groups.iter().map(|group| (*group).to_owned()).collect());
        decode(&object)
    };
    let other = "inv:host:inventory:web-2";
    denied(&ask(other, &[HOSTS]), "RequesterMismatch", "web-2");
    denied(&ask(other, &[HOSTS, BOOTSTRAPPERS]), "RequesterMismatch", "web-2");
    denied(&ask("inv:host:inventory:web-1", &[]), "RequesterMismatch", "web-1");
    denied(&ask("anna", &["system:authenticated"]), "RequesterMismatch", "anna");
}

#[test]
fn what_is_not_ours_is_skipped() {
    let mut people = object(pem(&Forge {
        subject: vec![part(CN, 0x0c, b"anna"), part(O, 0x0c, b"inv:operators")],
        ..Forge::of(NS, NAME)
    }
    .der()));
    people.spec.username = Some("anna".into());
    people.spec.groups = Some(vec!["system:authenticated".into()]);
    assert_eq!(verdict(&decode(&people)), Verdict::Skip);
    // A bootstrapper asks for hosts only.
    people.spec.groups = Some(vec![BOOTSTRAPPERS.into()]);
    denied(&decode(&people), "SubjectNotAllowed", "anna");

    let mut decided = object(P256);
    for type_ in ["Approved", "Denied", "Failed"] {
        decided.status = Some(status(type_, None));
        assert_eq!(verdict(&decode(&decided)), Verdict::Skip, "{type_}");
    }
    let mut foreign = object("nonsense");
    foreign.spec.groups = None;
    assert_eq!(Request::decode(&foreign).unwrap_err().judge(&strict()), Verdict::Skip);
    let ours = Request::decode(&object("nonsense")).unwrap_err();
    assert_eq!(ours.judge(&strict()).reason(), "Malformed");
    assert!(matches!(ours.judge(&strict()), Verdict::Deny { .. }));
    assert!(matches!(ours.judge(&Policy::default()), Verdict::Leave { .. }));
}

fn status(type_: &str, certificate: Option<&[u8]>) -> CertificateSigningRequestStatus {
    CertificateSigningRequestStatus {
        certificate: certificate.map(|bytes| ByteString(bytes.to_vec())),
        conditions: Some(vec![CertificateSigningRequestCondition {
            type_: type_.into(),
            status: "True".into(),
            reason: Some("HostMatched".into()),
            message: Some("by inv-tui-approve: fine".into()),
            last_update_time: Some(Time(now())),
            last_transition_time: None,
        }]),
    }
}

#[test]
fn what_may_become_right_is_left_pending() {
    let request = honest();
    let with =
        |facts: Option<HostFacts>| judge(&request, facts.as_ref(), &History::default(), &strict());
    left(&with(None), "HostUnknown", "not in the inventory");
    left(&with(Some(host(NS, "web-2"))), "HostUnknown", "web-1");
    let base = || host(NS, NAME);
    for (facts, word) in [
        (HostFacts { deleting: true, ..base() }, "deleted"),
        (HostFacts { service_state: ServiceState::Retired, ..base() }, "Retired"),
        (HostFacts { service_state: ServiceState::Quarantined, ..base() }, "Quarantined"),
        (HostFacts { phase: Some(Phase::Stopped), ..base() }, "Stopped"),
        (HostFacts { phase: Some(Phase::Missing), ..base() }, "Missing"),
        (HostFacts { phase: None, ..base() }, "without a phase"),
        (
            HostFacts { phase: Some(Phase::Unreachable), listed_as_running: false, ..base() },
            "Unreach",
        ),
    ] {
        left(&with(Some(facts)), "HostNotRunning", word);
    }
    for phase in [Phase::Maintenance, Phase::Unreachable] {
        let verdict = with(Some(HostFacts { phase: Some(phase), ..base() }));
        assert!(matches!(verdict, Verdict::Approve { .. }), "{phase:?}");
    }

    let mut object = object(P256);
    object.spec.expiration_seconds = Some(31 * 86_400);
    left(&verdict(&decode(&object)), "ValidityTooLong", "31d");
    object.spec.expiration_seconds = None;
    left(&verdict(&decode(&object)), "ValidityTooLong", "as the signer gives");
    object.spec.expiration_seconds = Some(30 * 86_400);
    assert!(matches!(verdict(&decode(&object)), Verdict::Approve { .. }));
    object.spec.signer_name = "example.com/other".into();
    left(&verdict(&decode(&object)), "SignerNotAllowed", "example.com/other");

    let elsewhere = Policy { namespaces: vec!["eu".into()], ..strict() };
    let verdict = judge(&request, Some(&base()), &History::default(), &elsewhere);
    assert_eq!(verdict, Verdict::Skip, "another approver's");
    let found = mismatches(&request, Some(&base()), &elsewhere);
    assert_eq!(found.first().map(|m| m.reason), Some("NamespaceNotAllowed"));
    // Without deny, what is wrong for good waits for a person too.
    let weak = decode(&super::testing::object(RSA_1024));
    left(
        &judge(&weak, Some(&base()), &History::default(), &Policy::default()),
        "KeyTooWeak",
        "1024",
    );
}

#[test]
fn a_living_certificate_makes_a_bootstrap_a_takeover() {
    let hour = SignedDuration::from_hours(1);
    let mut other = honest();
    other.about.uid = "u-0".into();
    other.about.requester = "bootstrap-b".into();
    let request = honest();
    let history = |other: &Request| History::of(&request, [other, &request], &[], now());
    assert_eq!(history(&other), History { live_until: None, recent: 1 });
    other.about.state = State::Approved;
    let suspect = history(&other);
    left(
        &judge(&request, Some(&host(NS, NAME)), &suspect, &strict()),
        "TakeoverSuspected",
        "lives",
    );
    other.about.state = State::Issued;
    other.about.issued = Some(Issued { serial: "1".into(), not_after: now() + hour });
    assert_eq!(history(&other).live_until, Some(now() + hour));
    other.about.issued = Some(Issued { serial: "1".into(), not_after: now() });
    assert_eq!(history(&other).live_until, None, "it has ended");

    // The operations of the host remember longer than the requests are there.
    other.about.issued = Some(Issued { serial: "0a".into(), not_after: now() + hour });
    other.about.decision = Some(Decision {
        reason: "HostMatched".into(),
        message: "by inv-tui-approve: fine".into(),
        at: Some(now()),
    });
    let operation = operation(&other.about).unwrap();
    assert_eq!((operation.id.as_str(), operation.by.as_str()), ("csr-host-1", "inv-tui-approve"));
    assert!(operation.result.as_ref().unwrap().contains("serial 0a"));
    let remembered = History::of(&request, [&request], std::slice::from_ref(&operation), now());
    assert_eq!(remembered.live_until, Some(now() + hour));
    let silent = Operation { result: Some("approved".into()), ..operation.clone() };
    let believed = History::of(&request, [&request], &[silent], now());
    assert_eq!(believed.live_until, Some(now() + 720 * hour));
    let lenient = Policy { leave_takeovers: false, ..strict() };
    let verdict = judge(&request, Some(&host(NS, NAME)), &remembered, &lenient);
    assert!(matches!(verdict, Verdict::Approve { .. }));
    let mut renewal = request.clone();
    renewal.about.requester = "inv:host:inventory:web-1".into();
    renewal.about.requester_groups = vec![HOSTS.into()];
    let verdict = judge(&renewal, Some(&host(NS, NAME)), &remembered, &strict());
    assert!(matches!(verdict, Verdict::Approve { reason: "Renewal", .. }), "{verdict:?}");
}

#[test]
fn too_many_requests_wait() {
    let request = honest();
    let ago = |minutes| {
        let mut other = request.clone();
        other.about.created = Some(now() - SignedDuration::from_mins(minutes));
        other
    };
    let mut foreign = ago(1);
    foreign.about.requester = "somebody".into();
    let all = [ago(70), ago(50), ago(40), foreign.clone(), request.clone()];
    let history = History::of(&request, &all, &[], now());
    assert_eq!(history.recent, 3);
    let facts = host(NS, NAME);
    assert!(matches!(judge(&request, Some(&facts), &history, &strict()), Verdict::Approve { .. }));
    let all = [ago(50), ago(40), ago(30), request.clone()];
    let history = History::of(&request, &all, &[], now());
    left(
        &judge(&request, Some(&facts), &history, &strict()),
        "TooManyRequests",
        "4 within an hour",
    );
}

#[test]
fn the_state_and_the_certificate_are_read() {
    let mut object = object(P256);
    let state = |object: &CertificateSigningRequest| decode(object).about.state;
    assert_eq!(state(&object), State::Pending);
    for (type_, wanted) in
        [("Approved", State::Approved), ("Denied", State::Denied), ("Failed", State::Failed)]
    {
        object.status = Some(status(type_, None));
        assert_eq!(state(&object), wanted);
    }
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.not_after = rcgen::date_time_ymd(2030, 1, 2);
    params.serial_number = Some(vec![0x0a, 0xbc].into());
    let certificate = params.self_signed(&authority).unwrap();
    object.status = Some(status("Approved", Some(certificate.pem().as_bytes())));
    let about = decode(&object).about;
    assert_eq!(about.state, State::Issued);
    let issued = about.issued.unwrap();
    assert_eq!(issued.serial, "0abc");
    assert_eq!(issued.not_after.to_string(), "2030-01-02T00:00:00Z");
    assert_eq!(about.decision.unwrap().reason, "HostMatched");
    object.status = Some(status("Approved", Some(b"nonsense")));
    assert_eq!(decode(&object).about.issued, None);
}

#[test]
fn hostile_text_is_cleaned() {
    let subject = vec![part(CN, 0x0c, b"\x1b[31minv"), part(O, 0x0c, "\u{202e}x".as_bytes())];
    let mut object = object(pem(&Forge { subject, ..Forge::of(NS, NAME) }.der()));
    object.spec.username = Some("\u{1b}]0;x\u{7}".into());
    object.spec.signer_name = "a\nb".into();
    let request = decode(&object);
    let verdict = verdict(&request);
    let shown = format!("{request:?} {} {}", request.asks.subject_text(), verdict.message());
    assert!(!shown.chars().any(crate::model::text::is_hostile), "{shown}");
}

#[test]
fn a_policy_is_read_from_toml() {
    let policy: Policy = toml::from_str(
        "signers = [\"a.b/c\"]\nmax-validity = \"7d\"\nkeys = [\"ecdsa-p256\", \"ed25519\"]\ndeny = true\n",
    )
    .unwrap();
    assert_eq!(policy.max_validity.as_secs(), 7 * 86_400);
    assert_eq!(policy.keys, [KeyKind::EcdsaP256, KeyKind::Ed25519]);
    assert!(policy.deny && policy.leave_takeovers);
    assert_eq!(toml::from_str::<Policy>("").unwrap(), Policy::default());
    assert!(toml::from_str::<Policy>("max_validity = \"7d\"").is_err());
    assert!(toml::from_str::<Policy>("keys = [\"dsa\"]").is_err());
}

proptest! {
    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = walk::walk(&bytes);
        let _ = Request::decode(&object(bytes.clone()));
        let _ = Request::decode(&object(pem(&bytes)));
    }

    /// A request that was changed at any place is either no longer read, or no longer approved, or
    /// asks for the very same.
    #[test]
    fn no_changed_request_is_approved_for_something_else(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        kind in 0..3_u8,
        vector in prop::sample::select(vec![P256, P384, ED25519, RSA_2048, EVERYTHING]),
    ) {
        let original = walk::unwrap(vector.as_bytes()).unwrap();
        let mut der = original.clone();
        let at = place.index(der.len());
        match kind {
            0 => der[at] = byte,
            1 => der.insert(at, byte),
            _ => { der.remove(at); }
        }
        let before = walk::walk(&original).unwrap();
        if let Ok(request) = Request::decode(&object(pem(&der))) {
            let named = request.host().map(|(namespace, name)| host(namespace, name));
            let verdict = judge(&request, named.as_ref(), &History::default(), &strict());
            if matches!(verdict, Verdict::Approve { .. }) {
                prop_assert_eq!(&request.asks, &before);
                prop_assert_eq!(request.host(), Some((NS, NAME)));
            }
        }
    }
}
