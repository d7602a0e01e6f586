//! IBM Cloud Classic.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use inv_tui::model::labels;
use serde_json::{Value, json};

use super::replay::{Asked, Replay, Reply};
use super::{is_not_believed, pass};
use crate::support::World;

const KEY: &str = "classic-key-0123456789";

struct Stock {
    guests: Vec<Value>,
    metal: Vec<Value>,
    /// Answers that come before those that are right.
    first: VecDeque<Reply>,
    /// How many items of a page are lost on the way.
    lose: usize,
}

fn guest(id: u64) -> Value {
    json!({
        "id": id, "accountId": 307_608, "hostname": format!("vs{id}"),
        "fullyQualifiedDomainName": format!("vs{id}.example.com"), "globalIdentifier": format!("g-{id}"),
        "primaryBackendIpAddress": format!("10.1.0.{}", id % 250), "primaryIpAddress": null,
        "powerState": {"keyName": "RUNNING"}, "status": {"keyName": "ACTIVE"},
        "datacenter": {"name": "ams03"}, "maxCpu": 2, "maxMemory": 4096,
        "tagReferences": [{"tag": {"name": "team:shop"}}],
    })
}

impl Stock {
    fn new() -> Self {
        Self {
            guests: (1..=130).map(guest).collect(),
            metal: vec![
                json!({"id": 7, "accountId": 307_608, "hardwareStatus": {"status": "ACTIVE"},
                "datacenter": {"name": "dal10"}, "memoryCapacity": 64, "networkManagementIpAddress": "10.9.0.7"}),
            ],
            first: VecDeque::new(),
            lose: 0,
        }
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        if !asked.authorization().starts_with("Basic ") {
            return Reply::error(
                401,
                &json!({"error": "Invalid API token.", "code": "SoftLayer_Exception_Public"}),
            );
        }
        if let Some(reply) = self.first.pop_front() {
            return reply;
        }
        assert!(!asked.get("objectMask").contains("password"));
        let (list, property) = match asked.path.as_str() {
            "/rest/v3.1/SoftLayer_Account/getVirtualGuests.json" => (&self.guests, "virtualGuests"),
            "/rest/v3.1/SoftLayer_Account/getHardware.json" => (&self.metal, "hardware"),
            _ => return Reply::error(404, &json!({"error": "no such service"})),
        };
        let filter: Value = serde_json::from_str(asked.get("objectFilter")).unwrap();
        let mut list = list.clone();
        if filter[property]["id"]["operation"] == "orderBy" {
            list.sort_by_key(|item| item["id"].as_u64());
        } else {
            list.reverse();
        }
        let (offset, limit) = asked.get("resultLimit").split_once(',').unwrap();
        let (offset, limit): (usize, usize) = (offset.parse().unwrap(), limit.parse().unwrap());
        let mut page: Vec<&Value> = list.iter().skip(offset).take(limit).collect();
        page.truncate(page.len().saturating_sub(self.lose));
        Reply::json(&json!(page)).header("softlayer-total-items", list.len())
    }
}

async fn begin() -> (Arc<Mutex<Stock>>, Replay, String) {
    let stock = Arc::new(Mutex::new(Stock::new()));
    let shared = Arc::clone(&stock);
    let replay = Replay::begin(move |asked| shared.lock().unwrap().answer(asked)).await;
    let sources = format!(
        "[[source]]\nname = \"classic\"\ntype = \"ibm-classic\"\nurl = \"{}/rest/v3.1\"\n\
         user = \"SL307608\"\ncredentials = \"env:TOKEN\"\n",
        replay.url
    );
    (stock, replay, sources)
}

#[tokio::test]
async fn a_full_pass_a_quiet_one_a_change_and_a_sudden_end() {
    let Some(world) = World::begin("classic").await else { return };
    let (stock, replay, sources) = begin().await;
    pass(&world, &sources, KEY).await.with(0).says(&["created=131", "seen=131"]);
    let host = world.json("ibmc-vs-120").await;
    assert_eq!(host["spec"]["providerID"], "ibmcloud-classic://307608/virtual_guest/120");
    assert_eq!(host["spec"]["team"], "shop");
    let all = &host["metadata"]["labels"];
    assert_eq!((&all[labels::REGION], &all[labels::ACCOUNT]), (&"ams03".into(), &"307608".into()));
    assert_eq!(world.json("ibmc-hw-7").await["status"]["hardware"]["memoryMiB"], 65_536);
    assert_eq!(replay.asked().len(), 3, "two pages of guests, one of bare metal");

    pass(&world, &sources, KEY).await.with(0).says(&["writes=0"]);
    stock.lock().unwrap().guests[4]["tagReferences"][0]["tag"]["name"] = "team:infra".into();
    pass(&world, &sources, KEY).await.with(0).says(&["changed=1", "writes=1"]);

    stock.lock().unwrap().guests.truncate(60);
    is_not_believed(&world, &sources, KEY, "classic").await;
    stock.lock().unwrap().guests.clear();
    is_not_believed(&world, &sources, KEY, "classic").await;
    world.end().await;
}

#[tokio::test]
async fn a_page_that_lost_items_is_no_end() {
    let Some(world) = World::begin("classic-short").await else { return };
    let (stock, _, sources) = begin().await;
    // the header says that there is more, so the next page begins where this one ended
    stock.lock().unwrap().lose = 1;
    stock.lock().unwrap().guests.truncate(20);
    let run = pass(&world, &sources, KEY).await.with(1);
    run.says(&["there is more, and does not send it", "nothing was marked missing"]);
    stock.lock().unwrap().lose = 0;
    let refused = json!({"error": "Rate limit exceeded", "code": "SoftLayer_Exception_WebService_RateLimitExceeded"});
    stock.lock().unwrap().first = [
        Reply::error(429, &refused).header("retry-after", 0),
        Reply::error(500, &json!({"error": "Internal", "code": "SoftLayer_Exception"})),
    ]
    .into();
    pass(&world, &sources, KEY).await.with(0).says(&["seen=21"]);
    stock.lock().unwrap().first =
        [Reply::error(401, &json!({"error": "Invalid API token."}))].into();
    pass(&world, &sources, KEY).await.with(2).says(&["Invalid API token.", "renew it"]);
    world.end().await;
}
