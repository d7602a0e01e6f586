//! NetBox, 4.6 with its cursors and older ones with offsets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use inv_tui::model::labels;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::replay::{Asked, Replay, Reply};
use super::{fetch, is_not_believed, pass, says, source};
use crate::support::{World, wait_for};

pub(super) const TOKEN: &str = "nbt_abcdefghijkl.0123456789abcdef0123456789abcdef01234567";

/// What a NetBox has, and how it behaves.
pub(super) struct Stock {
    pub(super) devices: Vec<Value>,
    pub(super) machines: Vec<Value>,
    /// Whether it knows `start`.
    cursors: bool,
    /// Its `MAX_PAGE_SIZE`.
    pub(super) page: usize,
    authorization: String,
    /// Answers that come before those that are right.
    first: VecDeque<Reply>,
    /// Ids of devices that vanish after the first page of devices.
    vanish: Vec<u64>,
}

pub(super) fn device(id: u64) -> Value {
    json!({
        "id": id, "url": format!("https://nb.example.com/api/dcim/devices/{id}/"),
        "name": format!("web-{id}"), "display": format!("web-{id}"),
        "status": {"value": "active", "label": "Active"},
        "site": {"id": 1, "slug": "ams1", "name": "AMS1"}, "rack": null, "position": null,
        "role": {"id": 1, "slug": "web", "name": "Web"}, "platform": null, "tenant": null,
        "cluster": null, "serial": "", "asset_tag": null, "oob_ip": null, "primary_ip6": null,
        "primary_ip4": {"id": id, "family": 4, "address": format!("10.0.0.{}/24", id % 250)},
        "device_type": {"id": 1, "model": "R650", "slug": "r650", "manufacturer": {"id": 1, "name": "Dell"}},
        "tags": [], "custom_fields": {"owner": null}, "last_updated": "2026-01-01T00:00:00Z",
        "config_context": {"huge": "never asked for"},
    })
}

pub(super) fn stock() -> Stock {
    Stock {
        devices: (1..=7).map(device).collect(),
        machines: vec![
            json!({"id": 1, "name": null, "status": {"value": "offline"}, "site": null, "vcpus": 2.0,
                "memory": 4096, "tags": [], "custom_fields": {}, "last_updated": "2026-01-01T00:00:00Z"}),
        ],
        cursors: true,
        page: 3,
        authorization: format!("Bearer {TOKEN}"),
        first: VecDeque::new(),
        vanish: Vec::new(),
    }
}

impl Stock {
    fn answer(&mut self, asked: &Asked) -> Reply {
        if asked.authorization() != self.authorization {
            return Reply::error(403, &json!({"detail": "Invalid v2 token"}));
        }
        if let Some(reply) = self.first.pop_front() {
            return reply;
        }
        let items = match asked.path.as_str() {
            "/api/dcim/sites/" => vec![
                json!({"id": 1, "slug": "ams1", "name": "AMS1", "region": {"id": 1, "slug": "eu-west"}}),
                json!({"id": 2, "slug": "lab", "name": "Lab", "region": null}),
            ],
            "/api/dcim/devices/" => self.devices.clone(),
            "/api/virtualization/virtual-machines/" => self.machines.clone(),
            _ => return Reply::error(404, &json!({"detail": "Not found."})),
        };
        let reply = self.list(asked, items);
        let devices = asked.path == "/api/dcim/devices/" && asked.get("fields").contains("status");
        if devices && asked.query.contains_key("offset") {
            let vanish = std::mem::take(&mut self.vanish);
            self.devices.retain(|d| !vanish.contains(&d["id"].as_u64().unwrap()));
        }
        reply
    }

    fn list(&self, asked: &Asked, mut items: Vec<Value>) -> Reply {
        if let Ok(since) = asked.get("last_updated__gte").parse::<Timestamp>() {
            items.retain(|item| {
                item["last_updated"].as_str().unwrap().parse::<Timestamp>().unwrap() >= since
            });
        }
        let id = |item: &Value| item["id"].as_u64().unwrap();
        let cursor = asked.number("start").filter(|_| self.cursors);
        if cursor.is_some() || asked.get("ordering") == "id" {
            items.sort_by_key(id);
        } else {
            items.reverse(); // what an order that nobody asked for may be
        }
        let limit = usize::try_from(asked.number("limit").unwrap_or(50)).unwrap().min(self.page);
        let (count, next, page): (Value, _, Vec<Value>) = if let Some(start) = cursor {
            if asked.query.contains_key("offset") {
                return Reply::error(400, &json!({"detail": "start and offset"}));
            }
            items.retain(|item| id(item) >= start);
            let next = items.get(limit).map(|item| format!("start={}", id(item)));
            (Value::Null, next, items.into_iter().take(limit).collect())
        } else {
            let count = items.len();
            let offset = usize::try_from(asked.number("offset").unwrap_or(0)).unwrap();
            let next = (offset + limit < count).then(|| format!("offset={}", offset + limit));
            (count.into(), next, items.into_iter().skip(offset).take(limit).collect())
        };
        let fields: Vec<&str> = asked.get("fields").split(',').collect();
        let slim = |item: Value| -> Value {
            let Value::Object(map) = item else { unreachable!() };
            map.into_iter().filter(|(key, _)| fields.contains(&key.as_str())).collect()
        };
        let next = next.map(|n| format!("https://nb.example.com{}?limit={limit}&{n}", asked.path));
        let results: Vec<Value> = page.into_iter().map(slim).collect();
        let date = k8s_openapi::jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&Timestamp::now())
            .unwrap();
        let body = json!({"count": count, "next": next, "previous": null, "results": results});
        Reply::json(&body).header("date", date)
    }
}

pub(super) async fn begin(stock: Stock) -> (Arc<Mutex<Stock>>, Replay) {
    let stock = Arc::new(Mutex::new(stock));
    let shared = Arc::clone(&stock);
    (stock, Replay::begin(move |asked| shared.lock().unwrap().answer(asked)).await)
}

fn sources(url: &str) -> String {
    format!(
        "[[source]]\nname = \"dc\"\ntype = \"netbox\"\nurl = \"{url}\"\ncredentials = \"env:TOKEN\"\n\
         interval = \"1s\"\nmap = {{ team = \"cf/owner\" }}\nbreaker = {{ percent = 10, min = 1 }}\n"
    )
}

#[tokio::test]
async fn a_full_pass_a_quiet_one_a_change_and_a_sudden_end() {
    let Some(world) = World::begin("netbox").await else { return };
    let (stock, replay) = begin(stock()).await;
    let sources = sources(&replay.url);
    pass(&world, &sources, TOKEN).await.with(0).says(&["created=8", "seen=8"]);
    let host = world.json("nb-dev-3").await;
    assert_eq!(
        host["spec"]["providerID"].as_str().unwrap().split_once("/dcim").unwrap().1,
        "/devices/3"
    );
    let all = &host["metadata"]["labels"];
    assert_eq!((&all[labels::REGION], &all[labels::ZONE]), (&"eu-west".into(), &"ams1".into()));
    assert_eq!((&all[labels::PROVIDER], &all[labels::ROLE]), (&"netbox".into(), &"web".into()));
    assert_eq!(host["status"]["addresses"][0]["address"], "10.0.0.3");
    let machine = world.json("nb-vm-1").await;
    assert_eq!(machine["status"]["phase"], "Stopped");
    assert!(machine["metadata"]["labels"][labels::REGION].is_null());
    for asked in replay.asked() {
        assert!(!asked.get("fields").contains("config_context"));
        assert!(asked.headers["user-agent"].to_str().unwrap().starts_with("inv-tui/"));
    }

    pass(&world, &sources, TOKEN).await.with(0).says(&["created=0 changed=0", "writes=0"]);
    let status = source(&world, "dc").await["status"].clone();
    assert_eq!((&status["seen"], &status["errors"]), (&8.into(), &0.into()));
    assert!(status["durationMillis"].is_u64() && status["lastPass"].is_string());

    stock.lock().unwrap().devices[2]["custom_fields"]["owner"] = "infra".into();
    pass(&world, &sources, TOKEN).await.with(0).says(&["changed=1", "writes=1"]);
    assert_eq!(world.json("nb-dev-3").await["spec"]["team"], "infra");
    stock.lock().unwrap().devices[2]["name"] = "renamed".into();
    pass(&world, &sources, TOKEN).await.with(0).says(&["created=0 changed=1", "writes=1"]);
    let renamed = world.json("nb-dev-3").await;
    assert_eq!(renamed["metadata"]["annotations"][labels::DISPLAY_NAME], "renamed");

    let whole = stock.lock().unwrap().devices.clone();
    stock.lock().unwrap().devices.truncate(4);
    is_not_believed(&world, &sources, TOKEN, "dc").await;
    stock.lock().unwrap().devices.clear();
    stock.lock().unwrap().machines.clear();
    is_not_believed(&world, &sources, TOKEN, "dc").await;
    // one less is believed, and is missing, not gone
    stock.lock().unwrap().devices = whole;
    pass(&world, &sources, TOKEN).await.with(0).says(&["missing=1", "writes=1"]);
    assert_eq!(world.json("nb-vm-1").await["status"]["phase"], "Missing");
    assert_eq!(says(&world, "dc", "BreakerOpen").await.0, "False");
    world.end().await;
}

#[tokio::test]
async fn an_older_server_whose_list_moves_while_it_is_read() {
    let Some(world) = World::begin("netbox-old").await else { return };
    let token = "0123456789abcdef0123456789abcdef01234567";
    let mut old = stock();
    old.cursors = false;
    old.authorization = format!("Token {token}");
    old.vanish = vec![1, 2];
    let (_, replay) = begin(old).await;
    pass(&world, &sources(&replay.url), token).await.with(0);
    let names: Vec<String> =
        world.all_hosts().await.iter().map(kube::ResourceExt::name_any).collect();
    for id in 1..=7 {
        assert!(names.contains(&format!("nb-dev-{id}")), "{id} in {names:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn serial_numbers_name_hosts_and_never_two() {
    let Some(world) = World::begin("serials").await else { return };
    let mut with = stock();
    with.machines.clear();
    for (at, serial) in [(0, "ABC1"), (1, "TWIN"), (2, "twin")] {
        with.devices[at]["serial"] = serial.into();
    }
    let (stock, replay) = begin(with).await;
    let sources = sources(&replay.url);
    pass(&world, &sources, TOKEN).await.with(0).says(&["created=7"]);
    for name in ["dc-abc1", "nb-dev-2", "nb-dev-3", "nb-dev-4"] {
        world.host(name).await;
    }
    // a serial number that comes, goes or is corrected renames nobody
    {
        let mut stock = stock.lock().unwrap();
        stock.devices[0]["serial"] = "ABC2".into();
        stock.devices[2]["serial"] = "".into();
        stock.devices[3]["serial"] = "NEW".into();
    }
    pass(&world, &sources, TOKEN).await.with(0).says(&["created=0 changed=3 missing=0"]);
    // the number of a record that is no more: another record is another host while the old one stands
    {
        let mut stock = stock.lock().unwrap();
        stock.devices.remove(0);
        let mut new = device(99);
        new["serial"] = "ABC1".into();
        stock.devices.push(new);
    }
    pass(&world, &sources, TOKEN).await.with(0).says(&["created=1", "missing=1"]);
    world.host("nb-dev-99").await;
    let old = world.json("dc-abc1").await;
    assert!(old["spec"]["providerID"].as_str().unwrap().ends_with("/devices/1"));
    assert_eq!(old["status"]["phase"], "Missing");
    world.end().await;
}

#[tokio::test]
async fn trouble_is_waited_out_or_named_and_never_an_empty_list() {
    let Some(world) = World::begin("netbox-trouble").await else { return };
    let (stock, replay) = begin(stock()).await;
    let sources = sources(&replay.url);
    let page = json!({"count": null, "next": null, "previous": null, "results": [device(1)]});
    let busy =
        Reply::error(429, &json!({"detail": "Request was throttled."})).header("retry-after", 0);
    stock.lock().unwrap().first = [
        busy.clone(),
        Reply::error(500, &json!({"error": "<html>"})),
        Reply::json(&page).cut(),
        Reply::json(&page).broken(),
    ]
    .into();
    pass(&world, &sources, TOKEN).await.with(0).says(&["created=8"]);
    let before = world.versions().await;

    for (reply, words) in [
        (Reply::json(&page).cut(), "no whole JSON"),
        (Reply::json(&page).broken(), "broke off"),
        (Reply::error(503, &json!({"detail": "down for maintenance"})), "down for maintenance"),
        (busy.header("retry-after", 0), "429"),
        (Reply::json(&json!({"count": null, "next": null})), "no results"),
    ] {
        stock.lock().unwrap().first = vec![reply; 5].into();
        pass(&world, &sources, TOKEN).await.with(1).says(&[words, "nothing was marked missing"]);
        stock.lock().unwrap().first.clear();
        assert_eq!(world.versions().await, before, "{words}");
        let (healthy, message) = says(&world, "dc", "Healthy").await;
        assert!(healthy == "False" && message.contains(words), "{message}");
    }
    // more patience than we have: told at once
    let later = Reply::error(429, &json!({})).header("retry-after", 3600);
    stock.lock().unwrap().first = vec![later].into();
    replay.forget();
    pass(&world, &sources, TOKEN).await.with(1).says(&["429"]);
    assert_eq!(replay.asked().len(), 1);
    pass(&world, &sources, "nbt_wrong.wrong").await.with(1).says(&[
        "403",
        "Invalid v2 token",
        "may not read",
    ]);
    let mut none = fetch(&world, &sources, &["--once"], TOKEN);
    none.env_remove("TOKEN");
    crate::support::run(none).await.with(2).says(&["environment variable \"TOKEN\""]);
    world.end().await;
}

#[tokio::test]
async fn a_certificate_that_nobody_signed_is_refused() {
    let Some(world) = World::begin("netbox-tls").await else { return };
    let mut stock = stock();
    let (replay, pem) = Replay::begin_tls(move |asked| stock.answer(asked)).await;
    let sources = sources(&replay.url);
    pass(&world, &sources, TOKEN)
        .await
        .with(1)
        .says(&["certificate", "hint: name the certificate"]);
    assert!(replay.asked().is_empty() && world.all_hosts().await.is_empty());
    let ca = world.dir.path().join("ca.pem");
    std::fs::write(&ca, pem).unwrap();
    let trusting = format!("{sources}ca-file = \"{}\"\n", ca.display());
    pass(&world, &trusting, TOKEN).await.with(0).says(&["created=8"]);
    // through a proxy, which learns where to and not what
    let (proxy, asked) = super::replay::proxy().await;
    let mut through = fetch(&world, &trusting, &["--once"], TOKEN);
    through.env("HTTPS_PROXY", &proxy).env("NO_PROXY", "127.0.0.1");
    let ended = crate::support::run(through).await.with(0).says(&["writes=0", "seen=8"]);
    assert!(!ended.stderr.contains("pass-word"));
    let asked = asked.lock().unwrap().join("\n");
    assert!(asked.starts_with("CONNECT localhost:") && asked.contains("Basic "), "{asked}");
    assert!(!asked.contains(TOKEN) && !asked.contains("/api/"), "{asked}");
    world.end().await;
}

/// Between two full passes only changes are asked for, and what is not among them is not missing.
#[tokio::test]
async fn a_service_asks_for_changes_only() {
    let Some(world) = World::begin("netbox-since").await else { return };
    let (stock, replay) = begin(stock()).await;
    let words = ["--listen", "127.0.0.1:0"];
    let mut service = fetch(&world, &sources(&replay.url), &words, TOKEN).spawn().unwrap();
    let partial = || {
        let asked = replay.asked();
        let since =
            |a: &Asked| a.path == "/api/dcim/devices/" && a.query.contains_key("last_updated__gte");
        asked.iter().filter(|a| since(a)).count()
    };
    wait_for("a pass over changes", async || (partial() > 0).then_some(())).await;
    {
        let mut stock = stock.lock().unwrap();
        stock.devices[0]["role"]["slug"] = "db".into();
        stock.devices[0]["last_updated"] = Timestamp::now().to_string().into();
        // this one carries no new time: no pass over changes sees it
        stock.devices[1]["role"]["slug"] = "unseen".into();
        stock.devices.retain(|d| d["id"] != 5);
    }
    let changed = async || (world.json("nb-dev-1").await["spec"]["role"] == "db").then_some(());
    wait_for("the change", changed).await;
    let seen = partial();
    wait_for("two more passes", async || (partial() > seen + 1).then_some(())).await;
    assert_eq!(world.json("nb-dev-5").await["status"]["phase"], "Running");
    assert_eq!(world.json("nb-dev-2").await["spec"]["role"], "web");
    let full = |a: &&Asked| a.get("fields") == "id,serial" && a.get("start") == "0";
    assert_eq!(replay.asked().iter().filter(full).count(), 1, "one full pass");
    let counted = async || (source(&world, "dc").await["status"]["seen"] == 8).then_some(());
    wait_for("the count of the full pass", counted).await;
    service.kill().await.unwrap();
    world.end().await;
}
