//! For tests: a model with a small fleet, keys as text, and the screen as text.

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyEvent;
use ratatui::layout::Rect;
use serde_json::{Value, json};

use super::actions::parse_key;
use super::app::{Model, Settings, update};
use super::msg::{Command, Msg};
use super::snapshot::plain;
use super::theme::Theme;
use super::view;
use crate::config::Config;
use crate::model::host::Host;
use crate::model::key::{ServerId, Uid};
use crate::model::record::HostRecord;
use crate::store::objects::ObjectEvent;
use crate::store::watch::{FleetEvent, HostChange};

pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

pub(crate) fn settings(config: Config) -> Settings {
    Settings::new(config, "test", "https://127.0.0.1:6443")
}

pub(crate) fn empty(width: u16, height: u16) -> Model {
    Model::new(settings(Config::default()), now(), (width, height))
}

/// A host object: `n` makes name, uid and address; one hour old.
pub(crate) fn host(n: usize, display: &str, region: &str, cluster: &str) -> Value {
    json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1",
        "kind": "Host",
        "metadata": {
            "name": format!("aws-i-{n:04}"),
            "namespace": "inventory",
            "uid": format!("uid-{n}"),
            "resourceVersion": format!("{}", 100 + n),
            "creationTimestamp": Timestamp::from_second(NOW - 3_600).unwrap().to_string(),
            "labels": {
                "topology.kubernetes.io/region": region,
                "inventory.inv-tui.dev/cluster": cluster,
                "inventory.inv-tui.dev/environment": "test",
            },
            "annotations": { "inventory.inv-tui.dev/display-name": display },
        },
        "spec": { "providerID": format!("aws:///{region}a/i-{n:04}"), "cluster": cluster, "role": "web" },
        "status": {
            "phase": "Running",
            "addresses": [{ "type": "InternalIP", "address": format!("10.0.{}.{}", n / 250, n % 250) }],
        },
    })
}

pub(crate) fn apply(host: Value) -> HostChange {
    HostChange::Apply(Box::new(serde_json::from_value::<HostRecord>(host).unwrap()))
}

/// Two regions, three clusters, nine hosts; everything has been listed.
pub(crate) fn fleet(width: u16, height: u16) -> Model {
    with_hosts(empty(width, height), hosts())
}

pub(crate) fn hosts() -> Vec<Value> {
    let mut hosts = Vec::new();
    for (region, cluster) in [("eu-west-1", "db"), ("eu-west-1", "web"), ("us-east-1", "web")] {
        for i in 1..=3 {
            let n = hosts.len() + 1;
            hosts.push(host(n, &format!("{cluster}-{}-{i}", &region[..2]), region, cluster));
        }
    }
    hosts
}

pub(crate) fn with_hosts(mut model: Model, hosts: Vec<Value>) -> Model {
    send(&mut model, Msg::User(ServerId::FIRST, Ok("ann".into())));
    send(
        &mut model,
        Msg::May { server: ServerId::FIRST, verb: "patch", resource: "hosts", result: Ok(true) },
    );
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Begin { expected: None }));
    send(
        &mut model,
        Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(hosts.into_iter().map(apply).collect())),
    );
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Synced));
    send(&mut model, Msg::Sources(ServerId::FIRST, ObjectEvent::Synced));
    model
}

/// Sends a message and lets the filter finish.
pub(crate) fn send(model: &mut Model, msg: Msg) -> Vec<Command> {
    let mut commands = update(model, msg);
    while model.filtering() {
        commands.extend(model.filter_step());
    }
    while model.counting() {
        model.count_step();
    }
    commands
}

/// The names of keys in a text like `jjm<tab>`, one after the other.
pub(crate) fn key_names(keys: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = keys;
    while let Some(first) = rest.chars().next() {
        let (name, after) = match rest.strip_prefix('<').and_then(|r| r.split_once('>')) {
            Some((name, after)) => (name.to_owned(), after),
            None => (first.to_string(), &rest[first.len_utf8()..]),
        };
        rest = after;
        names.push(name);
    }
    names
}

/// Presses keys: `jjm<tab>`, with names in angle brackets.
pub(crate) fn press(model: &mut Model, keys: &str) -> Vec<Command> {
    let names = key_names(keys).into_iter();
    names.flat_map(|name| send(model, Msg::Key(key(&name)))).collect()
}

/// The same change, on this server.
pub(crate) fn on(server: ServerId, change: HostChange) -> HostChange {
    match change {
        HostChange::Apply(mut record) => {
            record.server = server;
            HostChange::Apply(record)
        }
        HostChange::Delete(uid) => HostChange::Delete(Uid::on(server, uid.as_str())),
    }
}

pub(crate) fn key(name: &str) -> KeyEvent {
    parse_key(name).unwrap()
}

/// The whole object that a host value describes.
pub(crate) fn object(host: Value) -> Box<Host> {
    Box::new(serde_json::from_value(host).unwrap())
}

pub(crate) fn frame(model: &Model) -> Buffer {
    let area = Rect::new(0, 0, model.size.0, model.size.1);
    let mut buffer = Buffer::empty(area);
    view::draw(model, &Theme::load(&model.settings.theme, None).unwrap(), area, &mut buffer);
    buffer
}

/// The screen as text, lines without trailing spaces.
pub(crate) fn screen(model: &Model) -> String {
    plain(&frame(model))
}

/// The fleet of [`hosts`] with holds and Ansible runs of every kind on it.
pub(crate) fn busy() -> Vec<Value> {
    let at = |seconds: i64| Timestamp::from_second(NOW + seconds).unwrap().to_string();
    let hold = |reason: &str, since: i64, until: i64| json!({ "reason": reason, "since": at(since), "until": at(until), "mode": "Drain" });
    let request = |id: &str, playbook: &str, check: bool| json!({ "requestID": id, "playbook": playbook, "check": check, "requestedBy": "ann", "reason": "patch day" });
    let mut hosts = hosts();
    hosts[0]["spec"]["maintenance"] = json!({ "ann": hold("disk swap", -3_600, 12_000) });
    hosts[1]["spec"]["maintenance"] = json!({
        "bob": hold("kernel", -7_200, 600), "ann": hold("memory test 日本語", -100, 7_200),
    });
    hosts[2]["spec"]["maintenance"] = json!({ "carol": hold("forgotten", -90_000, -7_300) });
    hosts[3]["spec"]["maintenance"] = json!({ "dave": hold("tonight", 20_000, 40_000) });
    hosts[3]["spec"]["ansible"] = request("q-1", "site.yml", false);
    hosts[4]["spec"]["ansible"] = request("r-1", "web.yml", false);
    hosts[4]["status"]["ansible"] = json!({
        "requestID": "r-1", "state": "Running", "executor": "agent", "startedAt": at(-75),
        "ok": 12, "changed": 3, "failed": 0, "task": "install nginx", "tail": "TASK [install nginx]\n",
    });
    hosts[5]["spec"]["ansible"] = request("f-1", "site.yml", true);
    hosts[5]["status"]["ansible"] = json!({
        "requestID": "f-1", "state": "Failed", "executor": "runner-1", "startedAt": at(-700),
        "finishedAt": at(-640), "rc": 2, "ok": 3, "changed": 0, "failed": 1, "unreachable": 0,
        "task": "apt update", "message": "1 task failed",
        "tail": "TASK [apt update] ****\nfatal: [localhost]: FAILED! => \u{1b}[31mno mirror\u{1b}[0m\n",
    });
    hosts[5]["status"]["operations"] = json!([
        { "id": "f-1", "verb": "ansible", "by": "ann", "at": at(-640), "reason": "patch day", "result": "failed" },
        { "id": "on-bob-1", "verb": "maintenance-on", "by": "bob", "at": at(-9_000) },
    ]);
    hosts[6]["status"]["ansible"] = json!({ "requestID": "s-1", "state": "Succeeded", "startedAt": at(-7_000), "finishedAt": at(-6_900), "ok": 42, "changed": 0, "failed": 0 });
    hosts[7]["status"]["ansible"] = json!({ "requestID": "u-1", "state": "Unknown", "startedAt": at(-900), "message": "the agent was restarted" });
    hosts
}
