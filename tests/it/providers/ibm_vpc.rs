//! IBM Cloud VPC, with its tokens, tags and floating addresses.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use inv_tui::model::labels;
use serde_json::{Value, json};

use super::replay::{Asked, Replay, Reply};
use super::{is_not_believed, pass};
use crate::support::World;

const KEY: &str = "vpc-key-0123456789abcdef";

struct Stock {
    instances: Vec<Value>,
    /// Tokens that were given out.
    tokens: usize,
    /// Answers for which a token is good; then it has expired.
    good_for: usize,
    used: usize,
    /// What the searches say instead.
    search: VecDeque<Reply>,
    /// Tag of the first instance.
    tag: &'static str,
}

fn crn(id: usize) -> String {
    format!("crn:v1:bluemix:public:is:eu-de-1:a/123456::instance:0717_{id}")
}

fn instance(id: usize) -> Value {
    json!({
        "id": format!("0717_{id:08}-aaaa"), "crn": crn(id), "name": format!("vsi-{id}"),
        "status": "running", "health_state": "ok", "health_reasons": [], "status_reasons": [],
        "profile": {"name": "bx2-2x8"}, "vcpu": {"count": 2, "architecture": "amd64"}, "memory": 8,
        "zone": {"name": "eu-de-1"}, "vpc": {"name": "prod"}, "resource_group": {"name": "Default"},
        "primary_network_interface": {"id": format!("if-{id}"), "primary_ip": {"address": format!("10.2.0.{}", id % 250)}},
        "network_interfaces": null, "created_at": "2026-03-26T16:11:57Z",
    })
}

impl Stock {
    fn answer(&mut self, asked: &Asked) -> Reply {
        if asked.path == "/identity/token" {
            if !asked.body.contains(&format!("apikey={KEY}")) {
                return Reply::error(
                    400,
                    &json!({"errorCode": "BXNIM0415E",
                    "errorMessage": "Provided API key could not be found."}),
                );
            }
            (self.tokens, self.used) = (self.tokens + 1, 0);
            return Reply::json(&json!({"access_token": format!("token-{}", self.tokens),
                "expires_in": 3600, "token_type": "Bearer"}));
        }
        if asked.authorization() != format!("Bearer token-{}", self.tokens)
            || self.used >= self.good_for
        {
            return Reply::error(
                401,
                &json!({"errors": [{"code": "not_authorized",
                "message": "The token has expired"}]}),
            );
        }
        self.used += 1;
        if asked.path == "/v3/resources/search" {
            if let Some(reply) = self.search.pop_front() {
                return reply;
            }
            let query: Value = serde_json::from_str(&asked.body).unwrap();
            assert!(query["query"].as_str().unwrap().contains("region:eu-de"), "{query}");
            let items = json!([{"crn": crn(0), "tags": [self.tag, "edge"]}]);
            return Reply::json(&json!({"items": items, "limit": 100}));
        }
        if asked.get("generation") != "2" || asked.get("version").len() != 10 {
            return Reply::error(
                400,
                &json!({"errors": [{"code": "missing_version", "message": "no version"}]}),
            );
        }
        let list: Vec<Value> = match asked.path.as_str() {
            "/v1/instances" => self.instances.clone(),
            "/v1/bare_metal_servers" => Vec::new(),
            "/v1/floating_ips" => {
                vec![
                    json!({"address": "192.0.2.1", "target": {"id": "if-0"}}),
                    json!({"address": "192.0.2.2"}),
                ]
            }
            _ => return Reply::error(404, &json!({"errors": [{"message": "no such path"}]})),
        };
        let key = asked.path.rsplit('/').next().unwrap().to_owned();
        let start = usize::try_from(asked.number("start").unwrap_or(0)).unwrap();
        let page: Vec<Value> = list.iter().skip(start).take(100).cloned().collect();
        // as the real one, without version and generation
        let next = (start + 100 < list.len()).then(
            || json!({"href": format!("https://eu-de.iaas.cloud.ibm.com/v1/{key}?limit=100&start={}", start + 100)}),
        );
        Reply::json(
            &json!({"first": {}, "next": next, "limit": 100, "total_count": list.len(), key: page}),
        )
    }
}

async fn begin() -> (Arc<Mutex<Stock>>, Replay, String) {
    let stock = Arc::new(Mutex::new(Stock {
        instances: (0..120).map(instance).collect(),
        tokens: 0,
        good_for: usize::MAX,
        used: 0,
        search: VecDeque::new(),
        tag: "team:shop",
    }));
    let shared = Arc::clone(&stock);
    let replay = Replay::begin(move |asked| shared.lock().unwrap().answer(asked)).await;
    let url = &replay.url;
    let sources = format!(
        "[[source]]\nname = \"vpc\"\ntype = \"ibm-vpc\"\nregions = [\"eu-de\"]\ncredentials = \"env:TOKEN\"\n\
         iam-url = \"{url}\"\nsearch-url = \"{url}\"\nendpoints = {{ eu-de = \"{url}\" }}\n"
    );
    (stock, replay, sources)
}

#[tokio::test]
async fn a_full_pass_a_quiet_one_a_change_and_a_sudden_end() {
    let Some(world) = World::begin("vpc").await else { return };
    let (stock, replay, sources) = begin().await;
    pass(&world, &sources, KEY).await.with(0).says(&["created=120"]);
    let host = world.json("ibmv-00000000-aaaa").await;
    assert_eq!(host["spec"]["providerID"], "ibmcloud-vpc://123456/eu-de/0717_00000000-aaaa");
    assert_eq!(host["spec"]["team"], "shop");
    assert_eq!(host["metadata"]["labels"][labels::ACCOUNT], "123456");
    let addresses = host["status"]["addresses"].as_array().unwrap();
    assert!(addresses.iter().any(|a| a["address"] == "192.0.2.1" && a["type"] == "ExternalIP"));
    assert_eq!(stock.lock().unwrap().tokens, 1, "one token for all");
    for asked in replay.asked() {
        assert!(asked.path == "/identity/token" || !asked.body.contains(KEY));
        assert!(!asked.query.values().any(|value| value.contains(KEY)));
    }

    pass(&world, &sources, KEY).await.with(0).says(&["writes=0"]);
    stock.lock().unwrap().tag = "team:infra";
    pass(&world, &sources, KEY).await.with(0).says(&["changed=1", "writes=1"]);
    stock.lock().unwrap().instances.truncate(60);
    is_not_believed(&world, &sources, KEY, "vpc").await;
    stock.lock().unwrap().instances.clear();
    is_not_believed(&world, &sources, KEY, "vpc").await;
    world.end().await;
}

#[tokio::test]
async fn tokens_expire_in_the_middle_and_keys_are_wrong() {
    let Some(world) = World::begin("vpc-token").await else { return };
    let (stock, _, sources) = begin().await;
    stock.lock().unwrap().good_for = 2;
    pass(&world, &sources, KEY).await.with(0).says(&["created=120"]);
    assert!(stock.lock().unwrap().tokens >= 2, "a new one in the middle");
    stock.lock().unwrap().good_for = 0;
    let before = world.versions().await;
    pass(&world, &sources, KEY).await.with(2).says(&["The token has expired", "renew it"]);
    assert_eq!(world.versions().await, before);
    stock.lock().unwrap().good_for = usize::MAX;
    let run = pass(&world, &sources, "wrong-key-123456").await.with(2);
    run.says(&["cannot get a token", "could not be found", "locked or deleted"]);
    // without tags every host would look changed: the scope is not complete
    stock.lock().unwrap().search =
        vec![Reply::error(503, &json!({"message": "search is down"})); 5].into();
    pass(&world, &sources, KEY).await.with(1).says(&["cannot search the tags", "search is down"]);
    assert_eq!(world.versions().await, before);
    world.end().await;
}
