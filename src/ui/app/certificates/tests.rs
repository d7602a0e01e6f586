use serde_json::{Value, json};

use super::*;
use crate::model::csr::testing::{Forge, O, object, part, pem};
use crate::model::key::ServerId;
use crate::store::watch::{FleetEvent, HostChange};
use crate::ui::app::detail::Detail;
use crate::ui::msg::Msg;
use crate::ui::testing::{NOW, apply, fleet, hosts, press, screen, send};

/// A request for the certificate of this host as it is read, `ago` seconds old.
pub(crate) fn request(name: &str, ago: i64, forge: &Forge) -> Box<Decoded> {
    let mut object = object(pem(&forge.der()));
    object.metadata.name = Some(format!("inv-host-{name}"));
    object.metadata.uid = Some(format!("csr-{name}"));
    let at = Timestamp::from_second(NOW - ago).unwrap();
    object.metadata.creation_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at));
    Box::new(Request::decode(&object))
}

pub(crate) fn honest(name: &str, ago: i64) -> Box<Decoded> {
    request(name, ago, &Forge::of("inventory", name))
}

/// With a second organisation.
pub(crate) fn greedy(name: &str, ago: i64) -> Box<Decoded> {
    let mut forge = Forge::of("inventory", name);
    forge.subject.push(part(O, 0x0c, b"system:masters"));
    request(name, ago, &forge)
}

fn at(read: Box<Decoded>, version: &str, state: State) -> Box<Decoded> {
    let mut request = read.unwrap();
    request.about.resource_version = version.to_owned();
    request.about.state = state;
    Box::new(Ok(request))
}

/// Two requests that fit, one that wants too much, one that cannot be read.
pub(crate) fn events() -> Vec<CsrEvent> {
    let mut broken = object(b"no request".to_vec());
    broken.metadata.name = Some("broken".into());
    broken.metadata.uid = Some("csr-broken".into());
    vec![
        CsrEvent::Begin,
        CsrEvent::Apply(honest("aws-i-0001", 30)),
        CsrEvent::Apply(honest("aws-i-0002", 600)),
        CsrEvent::Apply(greedy("aws-i-0003", 300)),
        CsrEvent::Apply(Box::new(Request::decode(&broken))),
        CsrEvent::Synced,
    ]
}

pub(crate) fn shown(width: u16, height: u16) -> Model {
    let mut model = fleet(width, height);
    send(&mut model, Msg::Certificates(ServerId::FIRST, events()));
    press(&mut model, "vc");
    model
}

fn on(model: &mut Model, name: &str) {
    model.certificates.spot.cursor = Some(Uid::new(format!("csr-{name}")));
    press(model, "jk");
    model.certificates.spot.cursor = Some(Uid::new(format!("csr-{name}")));
    // Nobody has answered what was asked before.
    model.detail = Detail::default();
    let commands = model.wanted_detail();
    answer(model, &commands, &[]);
}

/// Answers what is asked of hosts, each with these operations; whether anything was asked.
fn answer(model: &mut Model, commands: &[Command], operations: &[Value]) -> bool {
    let mut asked = false;
    for command in commands {
        let Command::ReadHost { generation, uid, .. } = command else { continue };
        let mut host = hosts().into_iter().find(|host| host["metadata"]["uid"] == uid.as_str());
        if let Some(host) = &mut host {
            host["status"]["operations"] = json!(operations);
        }
        let host = host.map(|host| Box::new(serde_json::from_value(host).unwrap()));
        send(model, Msg::HostRead { generation: *generation, result: Ok(host) });
        asked = true;
    }
    asked
}

fn sent(commands: &[Command]) -> Option<&Decision> {
    commands.iter().find_map(|command| match command {
        Command::Decide(_, decision) => Some(&**decision),
        _ => None,
    })
}

#[test]
fn a_request_that_fits_is_one_key_and_y() {
    let mut model = shown(100, 30);
    on(&mut model, "aws-i-0001");
    assert!(sent(&press(&mut model, "a")).is_none());
    let text = screen(&model);
    assert!(text.contains("cannot be undone") && text.contains("inv-host-aws-i-0001"), "{text}");
    let commands = press(&mut model, "y");
    let decision = sent(&commands).unwrap();
    assert!(decision.approve && !decision.regardless);
    assert_eq!(
        (decision.seen.name.as_str(), decision.seen.resource_version.as_str()),
        ("inv-host-aws-i-0001", "7")
    );
    assert_eq!(decision.host.as_ref().map(|host| host.1.as_str()), Some("aws-i-0001"));
    press(&mut model, "a");
    assert!(screen(&model).contains("a decision is on its way"));
    let name = decision.seen.name.clone();
    send(&mut model, Msg::Decided { name, approve: true, result: Decided::Done });
    assert!(screen(&model).contains("is approved"), "{}", screen(&model));
    let issued = at(honest("aws-i-0001", 30), "8", State::Issued);
    send(&mut model, Msg::Certificates(ServerId::FIRST, vec![CsrEvent::Apply(issued)]));
    assert!(screen(&model).contains("● Issued"), "{}", screen(&model));
    assert_eq!(model.certificates.len(), (4, 3));
    on(&mut model, "aws-i-0001");
    press(&mut model, "a");
    assert!(model.overlay == Overlay::None && screen(&model).contains("is Issued already"));
}

#[test]
fn nothing_is_approved_before_its_host_is_looked_at() {
    let issued = json!({
        "id": "csr-before", "verb": "certificate-approve", "by": "ann",
        "at": Timestamp::from_second(NOW - 600).unwrap().to_string(),
    });
    // So narrow that the pane is not shown: nobody else would have asked for the host.
    for (width, why) in [(60, None), (60, Some("the server refused it")), (140, None)] {
        let mut model = shown(width, 30);
        model.certificates.spot.cursor = Some(Uid::new("csr-aws-i-0001"));
        model.detail = Detail::default();
        let commands = press(&mut model, "a");
        assert!(sent(&press(&mut model, "y")).is_none(), "{width}");
        assert!(screen(&model).contains("still being read"), "{}", screen(&model));
        match why {
            None => {
                assert!(answer(&mut model, &commands, std::slice::from_ref(&issued)), "{width}");
            }
            Some(why) => {
                let Some(Command::ReadHost { generation, .. }) = commands.first() else {
                    panic!("{commands:?}");
                };
                let (generation, result) = (*generation, Err(why.to_owned()));
                send(&mut model, Msg::HostRead { generation, result });
            }
        }
        assert!(sent(&press(&mut model, "y<enter>y")).is_none(), "{width}");
        let commands = press(&mut model, "<ctrl-u>aws-i-0001<enter>y");
        let decision = sent(&commands).unwrap();
        let found = why.unwrap_or("lives until");
        assert!(decision.regardless && decision.reason.contains(found), "{decision:?}");
    }
    // A host that goes is waited for no longer.
    let mut model = shown(60, 30);
    model.certificates.spot.cursor = Some(Uid::new("csr-aws-i-0001"));
    press(&mut model, "a");
    let host = model.claimed_host().unwrap().uid().clone();
    let gone = FleetEvent::Changes(vec![HostChange::Delete(host)]);
    send(&mut model, Msg::Fleet(ServerId::FIRST, gone));
    assert!(sent(&press(&mut model, "y<enter>y")).is_none());
    assert!(screen(&model).contains("which is not in"), "{}", screen(&model));
}

#[test]
fn nothing_else_approves() {
    for keys in [
        "a<enter>",
        "a<space>",
        "aa",
        "aY",
        "a<tab>y<esc>",
        "a<ctrl-c>y",
        "a<esc>y",
        "any",
        "D<enter>y",
    ] {
        let mut model = shown(100, 30);
        on(&mut model, "aws-i-0001");
        assert!(sent(&press(&mut model, keys)).is_none(), "{keys}");
    }
    let mut model = shown(100, 30);
    on(&mut model, "aws-i-0001");
    press(&mut model, "a");
    assert!(sent(&send(&mut model, Msg::Paste("y\ny".into()))).is_none());
}

#[test]
fn one_that_does_not_fit_wants_the_name_typed() {
    let mut model = shown(120, 30);
    on(&mut model, "aws-i-0003");
    press(&mut model, "a");
    let text = screen(&model);
    assert!(text.contains("subject O is") && text.contains("system:masters"), "{text}");
    assert!(sent(&press(&mut model, "<enter>y")).is_none());
    assert!(screen(&model).contains("type aws-i-0003 to approve it all the same"));
    send(&mut model, Msg::Paste("aws-i-0003".into()));
    assert!(screen(&model).contains("typed, not pasted"), "{}", screen(&model));
    assert!(sent(&press(&mut model, "<enter>y")).is_none());
    assert!(sent(&press(&mut model, "aws-i-0004<enter>y")).is_none());
    let commands = press(&mut model, "<ctrl-u>aws-i-0003<enter>y");
    let decision = sent(&commands).unwrap();
    assert!(decision.regardless && decision.reason.contains("system:masters"), "{decision:?}");

    // What cannot be read is never approved.
    let mut model = shown(120, 30);
    on(&mut model, "broken");
    press(&mut model, "a");
    assert!(model.overlay == Overlay::None && screen(&model).contains("cannot be approved"));
    let commands = press(&mut model, "<esc>Dno request at all<enter>y");
    assert_eq!(sent(&commands).map(|decision| decision.reason.as_str()), Some("no request at all"));
}

#[test]
fn a_denial_wants_a_reason() {
    let mut model = shown(120, 30);
    on(&mut model, "aws-i-0003");
    assert!(sent(&press(&mut model, "D<enter>y")).is_none());
    assert!(screen(&model).contains("a reason of at least 3"), "{}", screen(&model));
    let commands = press(&mut model, "wants too much<enter>y");
    let decision = sent(&commands).unwrap();
    assert!(!decision.approve && !decision.regardless);
    assert_eq!(decision.reason, "wants too much");
}

#[test]
fn a_request_that_changes_while_it_is_looked_at_is_not_decided() {
    let mut model = shown(120, 30);
    on(&mut model, "aws-i-0001");
    press(&mut model, "a");
    let newer = at(honest("aws-i-0001", 30), "9", State::Pending);
    send(&mut model, Msg::Certificates(ServerId::FIRST, vec![CsrEvent::Apply(newer)]));
    assert!(screen(&model).contains("has changed since you opened this"), "{}", screen(&model));
    assert!(sent(&press(&mut model, "y")).is_none());
    press(&mut model, "<esc>a");
    let commands = press(&mut model, "y");
    assert_eq!(sent(&commands).unwrap().seen.resource_version, "9");
    let name = "inv-host-aws-i-0001".to_owned();
    send(
        &mut model,
        Msg::Decided { name, approve: true, result: Decided::Conflict("it has changed".into()) },
    );
    assert!(screen(&model).contains("look at it again"), "{}", screen(&model));

    // Decided by somebody else, or gone: the strip closes and says so.
    press(&mut model, "<esc>a");
    let denied = at(honest("aws-i-0001", 30), "10", State::Denied);
    send(&mut model, Msg::Certificates(ServerId::FIRST, vec![CsrEvent::Apply(denied)]));
    assert!(model.overlay == Overlay::None);
    assert!(screen(&model).contains("is Denied already"), "{}", screen(&model));
    on(&mut model, "aws-i-0002");
    press(&mut model, "a");
    send(
        &mut model,
        Msg::Certificates(ServerId::FIRST, vec![CsrEvent::Delete("csr-aws-i-0002".into())]),
    );
    assert!(model.overlay == Overlay::None && screen(&model).contains("is gone"));
}

#[test]
fn in_the_fleet_it_is_the_request_of_the_host_under_the_cursor() {
    let mut model = shown(120, 30);
    press(&mut model, "vfzRgg2ja");
    assert!(screen(&model).contains("approve the certificate of aws-i-0001"), "{}", screen(&model));
    press(&mut model, "<esc>Ga");
    assert!(model.overlay == Overlay::None);
    assert!(
        screen(&model).contains("web-us-3 has no request for a certificate that waits"),
        "{}",
        screen(&model)
    );
    press(&mut model, "gga");
    assert!(screen(&model).contains("vc shows them"), "{}", screen(&model));
}

#[test]
fn the_verdict_follows_the_host() {
    let mut model = fleet(120, 30);
    send(
        &mut model,
        Msg::Certificates(ServerId::FIRST, vec![CsrEvent::Apply(honest("aws-i-0099", 5))]),
    );
    press(&mut model, "vc");
    let check = |model: &Model| {
        let Ok(request) = &model.certificates.item().unwrap().read else { panic!("unreadable") };
        model.certificates.check(&model.inventory, (ServerId::FIRST, request), &[], model.now)
    };
    assert_eq!(check(&model).first().map(|found| found.reason), Some("HostUnknown"));
    let mut host = hosts().remove(0);
    host["metadata"]["name"] = json!("aws-i-0099");
    host["metadata"]["uid"] = json!("uid-99");
    let event = |host| Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(vec![host]));
    send(&mut model, event(apply(host.clone())));
    assert!(check(&model).is_empty());
    host["metadata"]["resourceVersion"] = json!("77");
    host["status"]["phase"] = json!("Stopped");
    send(&mut model, event(apply(host.clone())));
    assert_eq!(check(&model).first().map(|found| found.reason), Some("HostNotRunning"));
    send(&mut model, event(HostChange::Delete(Uid::new("uid-99"))));
    assert_eq!(check(&model).first().map(|found| found.reason), Some("HostUnknown"));
    // A host of that name that is made again is found again.
    host["metadata"]["uid"] = json!("uid-100");
    host["status"]["phase"] = json!("Running");
    send(&mut model, event(apply(host)));
    assert!(check(&model).is_empty());
}

#[test]
fn what_may_not_be_done_is_said() {
    let mut model = shown(120, 30);
    send(
        &mut model,
        Msg::MayDecide(ServerId::FIRST, Some("update certificatesigningrequests/approval".into())),
    );
    press(&mut model, "a");
    assert!(model.overlay == Overlay::None);
    assert!(
        screen(&model).contains("the permission to update certificatesigningrequests/approval")
    );
    send(&mut model, Msg::MayDecide(ServerId::FIRST, None));
    press(&mut model, "<esc>a");
    assert!(matches!(model.overlay, Overlay::Decide(_)));
    // Lost while the strip is open: the confirmation is refused.
    on(&mut model, "aws-i-0001");
    press(&mut model, "<esc><esc>a");
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Lost("connection refused".into())));
    assert!(sent(&press(&mut model, "y")).is_none());

    let mut model = fleet(120, 30);
    let refused = "cannot follow certificate requests: the server refused it (403)";
    send(&mut model, Msg::Certificates(ServerId::FIRST, vec![CsrEvent::Refused(refused.into())]));
    press(&mut model, "vc");
    assert!(screen(&model).contains(refused), "{}", screen(&model));
}

#[test]
fn a_listing_drops_what_is_gone_and_others_requests_are_none_of_ours() {
    let mut model = shown(120, 30);
    let mut kubelet = object(pem(&Forge { subject: Vec::new(), ..Forge::of("a", "b") }.der()));
    kubelet.spec.signer_name = "kubernetes.io/kubelet-serving".into();
    kubelet.metadata.uid = Some("k".into());
    let again = vec![
        CsrEvent::Begin,
        CsrEvent::Apply(honest("aws-i-0002", 600)),
        CsrEvent::Apply(Box::new(Request::decode(&kubelet))),
        CsrEvent::Synced,
    ];
    send(&mut model, Msg::Certificates(ServerId::FIRST, again));
    assert_eq!(model.certificates.len(), (1, 1));
    assert_eq!(model.certificates.claims.len(), 1);
    press(&mut model, "vf");
    assert!(screen(&model).contains("1 request pending"), "{}", screen(&model));
}

#[test]
fn the_list_is_in_order_however_requests_come_and_change() {
    let mut model = shown(100, 30);
    let order = |model: &Model| -> Vec<String> {
        let list = &model.certificates;
        assert_eq!(list.order.len(), list.items.len());
        assert_eq!(list.pending, list.items.values().filter(|item| item.is_pending()).count());
        let all: Vec<Uid> = (0..list.order.len()).filter_map(|at| Listed::nth(&list, at)).collect();
        for (at, uid) in all.iter().enumerate() {
            assert_eq!(Listed::rank(&list, uid), Some(at));
        }
        all.iter().map(|uid| uid.as_str().trim_start_matches("csr-aws-i-000").to_owned()).collect()
    };
    assert_eq!(order(&model), ["1", "3", "2", "csr-broken"]);
    let tell = |model: &mut Model, event| {
        send(model, Msg::Certificates(ServerId::FIRST, vec![event]));
    };
    tell(&mut model, CsrEvent::Apply(at(honest("aws-i-0001", 30), "8", State::Issued)));
    assert_eq!(order(&model), ["3", "2", "csr-broken", "1"]);
    tell(&mut model, CsrEvent::Apply(honest("aws-i-0004", 400)));
    tell(&mut model, CsrEvent::Apply(honest("aws-i-0004", 400)));
    assert_eq!(order(&model), ["3", "4", "2", "csr-broken", "1"]);
    tell(&mut model, CsrEvent::Delete("csr-aws-i-0003".into()));
    assert_eq!(order(&model), ["4", "2", "csr-broken", "1"]);
    model.certificates.spot.top = Some(Uid::new("csr-aws-i-0002"));
    let shown: Vec<&str> = model.certificates.lines().map(|(uid, _)| uid.as_str()).collect();
    assert_eq!(shown, ["csr-aws-i-0002", "csr-broken", "csr-aws-i-0001"]);
    model.certificates.forget(ServerId::FIRST);
    assert_eq!((order(&model).len(), model.certificates.len()), (0, (0, 0)));
}

#[test]
fn a_host_that_nobody_knows_is_looked_for_once() {
    let mut model = shown(100, 30);
    let nobody = |ago| CsrEvent::Apply(honest("aws-i-nobody", ago));
    send(&mut model, Msg::Certificates(ServerId::FIRST, vec![nobody(10)]));
    let host = |model: &Model| {
        let claims = &model.certificates.claims["aws-i-nobody"];
        claims[0].host.clone()
    };
    assert_eq!((host(&model), model.certificates.new_claims), (None, false));
    // What comes of it later makes nobody go through the fleet again.
    let list = &mut model.certificates;
    list.put(ServerId::FIRST, *honest("aws-i-nobody", 5));
    assert!(!list.new_claims);
    list.put(ServerId::FIRST, *honest("aws-i-somebody", 5));
    assert!(list.new_claims);
    // The host itself says that it has come.
    let mut known = hosts().remove(0);
    (known["metadata"]["name"], known["metadata"]["uid"]) = ("aws-i-nobody".into(), "u-99".into());
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(vec![apply(known)])));
    assert!(host(&model).is_some());
}
