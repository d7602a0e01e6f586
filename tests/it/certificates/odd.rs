//! Requests that must not be approved: each says why.

use kube::ResourceExt;
use kube::api::DeleteParams;

use super::forge::{Forge, O, SAN_ID, element, extension, part, pem};
use super::{ask, decision, object};
use crate::support::World;

const CLIENT: &[&str] = &["client auth", "digital signature"];
/// By openssl, with a key of 1,024 bits; it claims to be inventory/web-1.
const WEAK: &str = include_str!("../../../src/model/csr/vectors/rsa1024.pem");

#[tokio::test]
async fn what_is_wrong_for_good_is_never_approved_and_says_why() {
    let Some(world) = World::begin("odd").await else { return };
    for host in ["web-1", "web-2"] {
        world.make_host(host, host, "eu", "web").await;
    }
    let honest = || Forge::of(&world.namespace, "web-1");
    let name = |what: &str| format!("{}-{what}", world.namespace);
    let other = format!("web-2.{}.example", world.namespace);
    let san = extension(SAN_ID, &element(0x30, &[&element(0x82, &[other.as_bytes()])]));
    let with_group = |group: &str| {
        let mut forge = honest();
        forge.subject.push(part(O, 0x0c, group.as_bytes()));
        forge
    };
    let authority = extension(&[0x55, 0x1d, 19], &element(0x30, &[&element(1, &[&[0xff]])]));

    // kube-apiserver itself refuses this group for this signer; so does the embedded server.
    let masters = object(&name("masters"), pem(&with_group("system:masters").der()), CLIENT);
    let refused = ask(&world, &masters).await.unwrap_err();
    assert!(refused.to_string().contains("system:masters"), "{refused}");

    let honest_pem = pem(&honest().der());
    let san = Forge { extensions: vec![san], ..honest() };
    let authority = Forge { extensions: vec![authority], ..honest() };
    let mut nobody = honest();
    nobody.subject.truncate(1);
    let table = [
        ("san", "SanNotAllowed", pem(&san.der()), CLIENT, "web-2"),
        (
            "group",
            "SubjectNotAllowed",
            pem(&with_group("inv:operators").der()),
            CLIENT,
            "inv:operators",
        ),
        ("server", "UsageNotAllowed", honest_pem.clone(), &["server auth"][..], "server auth"),
        ("weak", "KeyTooWeak", WEAK.into(), CLIENT, "RSA 1024"),
        ("authority", "CaNotAllowed", pem(&authority.der()), CLIENT, "authority"),
        ("nobody", "SubjectNotAllowed", pem(&nobody.der()), CLIENT, "subject O: nothing"),
    ];
    let mut names = Vec::new();
    for (what, reason, pem, usages, word) in table {
        match ask(&world, &object(&name(what), pem, usages)).await {
            Ok(name) => names.push((name, reason, word)),
            // The embedded server does not even take a signature by so short a key.
            Err(refused) if what == "weak" => assert!(refused.to_string().contains("signature")),
            Err(refused) => panic!("{what}: {refused}"),
        }
    }
    let versions = async || {
        let mut versions = Vec::new();
        for (name, ..) in &names {
            versions.push(world.request(name).await.resource_version());
        }
        versions
    };

    // A dry run says it all and changes nothing.
    let before = versions().await;
    let more = format!("namespaces = [\"{}\", \"inventory\"]", world.namespace);
    let policy = world.dir.path().join("policy.toml");
    std::fs::write(&policy, format!("{more}\ndeny = true\n")).unwrap();
    let dry = world.approve_once(&policy, &["--dry-run"]).await.with(0);
    for (name, reason, word) in &names {
        let line = dry.stderr.lines().find(|line| line.contains(name.as_str()));
        let line = line.unwrap_or_else(|| panic!("nothing of {name} in:\n{}", dry.stderr));
        assert!(line.contains("would be denied") && line.contains(reason), "{line}");
        assert!(line.contains(word), "{line}");
    }
    assert_eq!(versions().await, before);

    // Without deny they are left pending, each with its reason in an Event.
    let lenient = world.dir.path().join("lenient.toml");
    std::fs::write(&lenient, more).unwrap();
    world.approve_once(&lenient, &[]).await.with(0);
    for (name, reason, word) in &names {
        let note = world.told(name, reason).await;
        assert!(note.starts_with("left pending") && note.contains(word), "{note}");
    }
    assert_eq!(versions().await, before);
    assert!(world.told("web-1", "SanNotAllowed").await.contains(&name("san")), "on the host, too");

    world.approve_once(&policy, &[]).await.with(0);
    for (name, reason, word) in &names {
        let (type_, why, message) = decision(&world.request(name).await).unwrap();
        assert_eq!((&*type_, &*why), ("Denied", *reason), "{name}: {message}");
        assert!(message.starts_with("by the-approver: ") && message.contains(word), "{message}");
    }
    for (name, ..) in &names {
        world.requests().delete(name, &DeleteParams::default()).await.unwrap();
    }
    world.end().await;
}
