//! What a wire may bring, for each provider that speaks JSON: answers that fail once or for good in the
//! middle of a list, lists that move or never end, items with odd values. The providers themselves,
//! without the program: a listing either has every host once, or ends with an error.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use inv_tui::model::host::Phase;
use inv_tui::providers::credentials::Reference;
use inv_tui::providers::ibm_classic::{Classic, ClassicOptions};
use inv_tui::providers::ibm_vpc::{Vpc, VpcOptions};
use inv_tui::providers::kubernetes::{Kind, Kubernetes, KubernetesOptions};
use inv_tui::providers::netbox::{NetBox, NetBoxOptions, RegionFrom};
use inv_tui::providers::{
    ItemProblem, Observed, Provider, ProviderError, ProviderErrorKind, guarded,
};
use serde_json::{Value, json};

use super::replay::{Asked, Replay, Reply};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// NetBox before 4.6: tokens of version 1, pages by offset.
    NetBox1,
    /// NetBox since 4.6: tokens of version 2, pages by cursor.
    NetBox2,
    Classic,
    Vpc,
    Machines,
    Nodes,
}

const ALL: [Who; 6] =
    [Who::NetBox1, Who::NetBox2, Who::Classic, Who::Vpc, Who::Machines, Who::Nodes];
/// Those whose requests our own HTTP client sends.
const OURS: [Who; 4] = [Who::NetBox1, Who::NetBox2, Who::Classic, Who::Vpc];
/// What each has.
const HOSTS: u64 = 130;

impl Who {
    fn token(self) -> &'static str {
        match self {
            Self::NetBox1 => "0123456789abcdef0123456789abcdef01234567",
            Self::NetBox2 => "nbt_abcdefghijkl.0123456789abcdef0123456789abcdef01234567",
            _ => "a-secret-0123456789abcdef",
        }
    }

    fn scope(self) -> &'static str {
        if self == Self::Vpc { "eu-de" } else { "all" }
    }

    fn provider(self, url: &str, dir: &Path) -> Box<dyn Provider> {
        let path = dir.join(format!("{self:?}.token"));
        std::fs::write(&path, self.token()).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let (url, credentials) = (url.to_owned(), Reference::File(path));
        match self {
            Self::NetBox1 | Self::NetBox2 => Box::new(
                NetBox::new(NetBoxOptions {
                    url,
                    credentials,
                    ca_file: None,
                    prefix: "nb".to_owned(),
                    devices: true,
                    virtual_machines: false,
                    filters: Vec::new(),
                    region_from: RegionFrom::Region,
                })
                .unwrap(),
            ),
            Self::Classic => Box::new(
                Classic::new(ClassicOptions {
                    url,
                    user: "SL1".to_owned(),
                    credentials,
                    ca_file: None,
                    virtual_machines: true,
                    bare_metal: false,
                    tags: Vec::new(),
                })
                .unwrap(),
            ),
            Self::Vpc => Box::new(
                Vpc::new(VpcOptions {
                    regions: vec!["eu-de".to_owned()],
                    named: true,
                    credentials,
                    ca_file: None,
                    endpoints: [("eu-de".to_owned(), url.clone())].into(),
                    iam: url.clone(),
                    search: url,
                    tags: true,
                    bare_metal: false,
                    resource_group: None,
                })
                .unwrap(),
            ),
            Self::Machines | Self::Nodes => {
                let kubeconfig = dir.join(format!("{self:?}.kubeconfig"));
                let config = json!({
                    "apiVersion": "v1", "kind": "Config", "current-context": "other",
                    "clusters": [{"name": "other", "cluster": {"server": url}}],
                    "users": [{"name": "u", "user": {"token": self.token()}}],
                    "contexts": [{"name": "other", "context": {"cluster": "other", "user": "u"}}],
                });
                std::fs::write(&kubeconfig, config.to_string()).unwrap();
                let kind = if self == Self::Nodes { Kind::Nodes } else { Kind::Machines };
                let (context, namespace, prefix) = (None, None, "k".to_owned());
                Box::new(Kubernetes::new(KubernetesOptions {
                    kubeconfig,
                    context,
                    kind,
                    namespace,
                    prefix,
                }))
            }
        }
    }

    fn item(self, n: u64) -> Value {
        match self {
            Self::NetBox1 | Self::NetBox2 => json!({
                "id": n, "name": format!("web-{n}"), "status": {"value": "active"},
                "primary_ip4": {"address": format!("10.0.0.{}/24", n % 250)},
            }),
            Self::Classic => json!({
                "id": n, "accountId": 1, "fullyQualifiedDomainName": format!("web-{n}.example.com"),
                "primaryBackendIpAddress": format!("10.0.0.{}", n % 250),
                "powerState": {"keyName": "RUNNING"}, "status": {"keyName": "ACTIVE"},
            }),
            Self::Vpc => json!({
                "id": format!("0717_{n}"), "name": format!("web-{n}"), "status": "running",
                "primary_network_interface": {"id": "i", "primary_ip": {"address": format!("10.0.0.{}", n % 250)}},
            }),
            Self::Machines => json!({
                "metadata": {"name": format!("web-{n}"), "namespace": "fleet", "uid": format!("u-{n}")},
                "spec": {"clusterName": "shop"},
                "status": {"phase": "Running", "addresses": [{"type": "InternalIP", "address": format!("10.0.0.{}", n % 250)}]},
            }),
            Self::Nodes => json!({
                "metadata": {"name": format!("web-{n}"), "uid": format!("u-{n}")}, "spec": {},
                "status": {"conditions": [{"type": "Ready", "status": "True"}],
                    "addresses": [{"type": "InternalIP", "address": format!("10.0.0.{}", n % 250)}]},
            }),
        }
    }

    /// Whether it is asked for the list of hosts, and not for what comes before or is joined to it.
    fn is_list(self, asked: &Asked) -> bool {
        match self {
            Self::NetBox1 | Self::NetBox2 => {
                asked.path == "/api/dcim/devices/" && asked.get("fields").contains("status")
            }
            Self::Classic => true,
            Self::Vpc => asked.path == "/v1/instances",
            Self::Machines => asked.path == "/apis/cluster.x-k8s.io/v1beta2/machines",
            Self::Nodes => asked.path == "/api/v1/nodes",
        }
    }

    /// What a server of this kind says, with 50 items in a page (Classic: 100).
    fn answer(self, asked: &Asked, items: &[Value]) -> Reply {
        let number = |key: &str| usize::try_from(asked.number(key).unwrap_or(0)).unwrap();
        match self {
            Self::NetBox1 | Self::NetBox2 => {
                let items = if asked.path.ends_with("sites/") { &[] } else { items };
                netbox(self, asked, items)
            }
            Self::Classic => {
                let (offset, limit) = asked.get("resultLimit").split_once(',').unwrap();
                let (offset, limit) = (offset.parse().unwrap(), limit.parse().unwrap());
                let page: Vec<&Value> = items.iter().skip(offset).take(limit).collect();
                Reply::json(&json!(page)).header("softlayer-total-items", items.len())
            }
            Self::Vpc => match asked.path.as_str() {
                "/identity/token" => {
                    Reply::json(&json!({"access_token": "an-access-token", "expires_in": 3600}))
                }
                "/v3/resources/search" => Reply::json(&json!({"items": []})),
                "/v1/floating_ips" => Reply::json(&json!({"floating_ips": []})),
                _ => {
                    let start = number("start");
                    let page: Vec<&Value> = items.iter().skip(start).take(50).collect();
                    let next = start + 50;
                    let next = (next < items.len())
                        .then(|| json!({"href": format!("https://eu-de.iaas.cloud.ibm.com/v1/instances?start={next}")}));
                    Reply::json(
                        &json!({"instances": page, "next": next, "total_count": items.len()}),
                    )
                }
            },
            Self::Machines | Self::Nodes => {
                if asked.path == "/apis" {
                    let version =
                        json!({"groupVersion": "cluster.x-k8s.io/v1beta2", "version": "v1beta2"});
                    return Reply::json(
                        &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [
                        {"name": "cluster.x-k8s.io", "versions": [version], "preferredVersion": version}]}),
                    );
                }
                let start = number("continue");
                let page: Vec<&Value> = items.iter().skip(start).take(50).collect();
                let next =
                    if start + 50 < items.len() { (start + 50).to_string() } else { String::new() };
                Reply::json(&json!({"kind": "List", "apiVersion": "v1",
                    "metadata": {"resourceVersion": "7", "continue": next}, "items": page}))
            }
        }
    }

    /// The list in a body.
    fn list(self, body: &mut Value) -> &mut Vec<Value> {
        let list = match self {
            Self::NetBox1 | Self::NetBox2 => &mut body["results"],
            Self::Classic => body,
            Self::Vpc => &mut body["instances"],
            Self::Machines | Self::Nodes => &mut body["items"],
        };
        list.as_array_mut().unwrap()
    }
}

fn netbox(who: Who, asked: &Asked, items: &[Value]) -> Reply {
    let id = |item: &Value| item["id"].as_u64().unwrap_or(0);
    let link = |at: String| format!("https://nb.example.com{}?limit=50&{at}", asked.path);
    if who == Who::NetBox2 {
        let start = asked.number("start").unwrap();
        let mut rest = items.iter().filter(|item| id(item) >= start || item["id"].is_null());
        let page: Vec<&Value> = rest.by_ref().take(50).collect();
        let next = rest.next().map(|item| link(format!("start={}", id(item))));
        return Reply::json(&json!({"count": null, "next": next, "results": page}));
    }
    let offset = usize::try_from(asked.number("offset").unwrap_or(0)).unwrap();
    let page: Vec<&Value> = items.iter().skip(offset).take(50).collect();
    let next = offset + page.len();
    let next = (next < items.len()).then(|| link(format!("offset={next}")));
    Reply::json(&json!({"count": items.len(), "next": next, "results": page}))
}

/// What came of a listing.
struct Found {
    hosts: Vec<Observed>,
    problems: Vec<ItemProblem>,
    error: Option<ProviderError>,
    /// Requests for the list of hosts.
    asked: usize,
}

/// Lists everything from a server that has `items`, whose answers to requests for the list of hosts
/// go through `bend`, with their number.
async fn list(
    who: Who,
    items: Vec<Value>,
    mut bend: impl FnMut(usize, Reply) -> Reply + Send + 'static,
) -> Found {
    let dir = tempfile::tempdir().unwrap();
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    let replay = Replay::begin(move |asked| {
        let reply = who.answer(asked, &items);
        if !who.is_list(asked) {
            return reply;
        }
        // an older NetBox is asked by cursor first, at its first list, which is another one
        let mut count = counted.lock().unwrap();
        *count += 1;
        bend(*count - 1, reply)
    })
    .await;
    let provider = who.provider(&replay.url, dir.path());
    let mut pages = guarded(who.scope(), provider.list(who.scope()));
    let mut found = Found { hosts: Vec::new(), problems: Vec::new(), error: None, asked: 0 };
    while let Some(page) = pages.next().await {
        assert!(found.error.is_none(), "nothing follows an error");
        match page {
            Ok(page) => {
                found.hosts.extend(page.hosts);
                found.problems.extend(page.problems);
            }
            Err(problem) => {
                let text = inv_tui::error::report(&problem.error);
                assert!(!text.contains(who.token()) && !text.contains("an-access-token"), "{text}");
                found.error = Some(problem);
            }
        }
    }
    found.asked = *count.lock().unwrap();
    found
}

fn items(who: Who) -> Vec<Value> {
    (1..=HOSTS).map(|n| who.item(n)).collect()
}

/// Every host, once.
fn is_whole(found: &Found, who: Who, case: &str) {
    let error = found.error.as_ref().map(|e| inv_tui::error::report(&e.error));
    assert_eq!(error, None, "{who:?}, {case}");
    assert!(found.problems.is_empty(), "{who:?}, {case}: {:?}", found.problems);
    let names: BTreeSet<&str> = found.hosts.iter().map(|host| host.name.as_str()).collect();
    let count = usize::try_from(HOSTS).unwrap();
    assert_eq!((names.len(), found.hosts.len()), (count, count), "{who:?}, {case}");
}

/// Ended by this error, before everything was read.
fn is_broken(found: &Found, who: Who, case: &str, kind: ProviderErrorKind, words: &str) {
    let error = found.error.as_ref().unwrap_or_else(|| panic!("{who:?}, {case}: no error"));
    let text = inv_tui::error::report(&error.error);
    assert!(text.contains(words), "{who:?}, {case}: no {words:?} in {text}");
    assert_eq!(error.kind, kind, "{who:?}, {case}: {text}");
}

fn no(status: u16) -> Reply {
    let reason = match status {
        401 => "Unauthorized",
        403 => "Forbidden",
        410 => "Expired",
        _ => "InternalError",
    };
    let status_object = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": status, "reason": reason, "message": "said so", "detail": "said so"});
    Reply::error(status, &status_object)
}

/// An answer that fails once, in the middle of a list.
#[tokio::test]
async fn what_fails_once_is_asked_for_again() {
    type Bend = fn(Reply) -> Reply;
    const CASES: [(&str, Bend); 8] = [
        ("429 with Retry-After", |_| no(429).header("retry-after", 0)),
        ("429 without", |_| no(429)),
        ("500", |_| no(500)),
        ("502 of a proxy", |_| Reply::html(502)),
        ("503 with a date", |_| no(503).header("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")),
        ("half a body", Reply::cut),
        ("a broken connection", Reply::broken),
        ("a page for people", |_| Reply::html(200)),
    ];
    let all = OURS.iter().flat_map(|who| CASES.iter().map(move |case| (*who, case)));
    let runs = all.map(|(who, (name, bent))| async move {
        let found =
            list(who, items(who), |n, reply| if n == 1 { bent(reply) } else { reply }).await;
        is_whole(&found, who, name);
    });
    futures::future::join_all(runs).await;
    // kube's own client tries again after these
    for who in [Who::Machines, Who::Nodes] {
        let found = list(who, items(who), |n, reply| if n == 1 { no(503) } else { reply }).await;
        if found.error.is_none() {
            is_whole(&found, who, "503");
        }
    }
}

/// An answer that fails for good, in the middle of a list: the listing ends with the reason.
#[tokio::test]
async fn what_fails_for_good_is_no_end_of_a_list() {
    use ProviderErrorKind as Kind;
    type Case = (&'static str, fn(Reply) -> Reply, Kind, &'static str);
    const CASES: [Case; 13] = [
        ("429 for an hour", |_| no(429).header("retry-after", 3600), Kind::Throttled, "429"),
        ("429 without end", |_| no(429), Kind::Throttled, "after 5 attempts"),
        ("500 without end", |_| no(500), Kind::Other, "said so"),
        ("half a body", Reply::cut, Kind::Other, "no whole JSON"),
        ("a broken connection", Reply::broken, Kind::Unreachable, "broke off"),
        ("a page for people", |_| Reply::html(200), Kind::Other, "no whole JSON"),
        ("a token that expired", |_| no(401), Kind::Credentials, "renew it"),
        ("a token that lost its rights", |_| no(403), Kind::Denied, "said so"),
        ("404", |_| Reply::html(404), Kind::Other, "404"),
        (
            "nothing",
            |_| Reply::text(200, "application/json", String::new()),
            Kind::Other,
            "no whole JSON",
        ),
        ("another shape", |_| Reply::json(&json!({})), Kind::Other, "the answer"),
        ("null", |_| Reply::json(&Value::Null), Kind::Other, "the answer"),
        (
            "a huge page",
            |_| Reply::text(200, "application/json", " ".repeat(33 * 1024 * 1024)),
            Kind::Other,
            "longer than 32 MiB",
        ),
    ];
    let all = OURS.iter().flat_map(|who| CASES.iter().map(move |case| (*who, case)));
    let runs = all.map(|(who, (name, bent, kind, words))| async move {
        let found = list(who, items(who), |n, reply| if n > 0 { bent(reply) } else { reply }).await;
        is_broken(&found, who, name, *kind, words);
        assert!(found.hosts.len() < items(who).len(), "{who:?}, {name}");
        let once = name.ends_with("hour") || name.ends_with("huge page");
        assert!(!once || found.asked == 2, "{who:?}, {name}: asked {}", found.asked);
    });
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn another_cluster_fails_in_the_middle() {
    use ProviderErrorKind as Kind;
    type Case = (&'static str, fn(Reply) -> Reply, Kind, &'static str);
    const CASES: [Case; 7] = [
        ("410", |_| no(410), Kind::Other, "said so"),
        ("a token that expired", |_| no(401), Kind::Credentials, "or has expired"),
        ("a token that lost its rights", |_| no(403), Kind::Denied, "(403)"),
        ("500", |_| no(500), Kind::Other, "said so"),
        ("half a body", Reply::cut, Kind::Other, "cannot list"),
        ("a page for people", |_| Reply::html(200), Kind::Other, "cannot list"),
        ("another shape", |_| Reply::json(&json!({})), Kind::Other, "cannot list"),
    ];
    for who in [Who::Machines, Who::Nodes] {
        let runs = CASES.iter().map(|(name, bent, kind, words)| async move {
            let bend = |n, reply| if n > 0 { bent(reply) } else { reply };
            let found = list(who, items(who), bend).await;
            is_broken(&found, who, name, *kind, words);
            assert_eq!(found.hosts.len(), 50, "{who:?}, {name}");
        });
        futures::future::join_all(runs).await;
        let found = list(who, items(who), |n, r| if n > 0 { r.broken() } else { r }).await;
        assert!(found.error.is_some() && found.hosts.len() == 50, "{who:?}, a broken connection");
    }
}

/// Whatever an answer says of another place, nobody but the server that was named is asked.
#[tokio::test]
async fn credentials_go_nowhere_else() {
    let other = Replay::begin(|_| Reply::json(&json!({"results": [], "items": []}))).await;
    for who in ALL {
        let place = other.url.clone();
        let elsewhere = move |reply: Reply| {
            let place = place.clone();
            reply.with(|body| match who {
                Who::NetBox1 | Who::NetBox2 => {
                    if let Some(next) = body["next"].as_str() {
                        body["next"] = next.replace("https://nb.example.com", &place).into();
                    }
                }
                Who::Vpc => {
                    if let Some(next) = body["next"]["href"].as_str() {
                        let next = next.replace("https://eu-de.iaas.cloud.ibm.com", &place);
                        body["next"]["href"] = next.into();
                    }
                }
                _ => {}
            })
        };
        let found = list(who, items(who), move |_, reply| elsewhere(reply)).await;
        is_whole(&found, who, "a next page at another host");
        for status in [301, 302, 307, 308] {
            let place = format!("{}/elsewhere", other.url);
            let moved = move |_, _| no(status).header("location", &place);
            let found = list(who, items(who), moved).await;
            assert!(found.error.is_some() && found.hosts.is_empty(), "{who:?}, {status}");
        }
    }
    assert!(other.asked().is_empty(), "{:?}", other.asked());
}

/// Lists that go round in circles, repeat themselves, or never end.
#[tokio::test]
async fn lists_that_move_or_never_end() {
    // a host that moved into the next page is there once
    for who in ALL {
        let again = who.item(50);
        let found = list(who, items(who), move |n, reply| {
            // Classic is read by offset: its second page begins with the last item of the first
            if n == 1 && who != Who::Classic && who != Who::NetBox1 {
                reply.with(|body| who.list(body).insert(0, again.clone()))
            } else {
                reply
            }
        })
        .await;
        is_whole(&found, who, "an item of the page before");
    }
    let always = |who: Who, what: &'static str, bend: fn(Reply) -> Reply| async move {
        let found = list(who, items(who), move |_, reply| bend(reply)).await;
        is_broken(&found, who, "without an end", ProviderErrorKind::Other, what);
        assert!(found.asked < 20, "{who:?}: asked {} times", found.asked);
    };
    // the same link again and again
    let same = |reply: Reply| reply.with(|body| body["next"] = "https://nb/?start=51".into());
    always(Who::NetBox2, "does not come after", same).await;
    // a link to what lies before
    let back = |reply: Reply| reply.with(|body| body["next"] = "https://nb/?start=2".into());
    always(Who::NetBox2, "does not come after", back).await;
    // a server that does not heed the cursor, and says that there is always more
    let deaf = |who: Who| {
        move |n: usize, reply: Reply| {
            reply.with(|body| {
                *who.list(body) = (1..=50).map(|n| who.item(n)).collect();
                body["next"] = format!("https://nb/?start={}", 51 + n * 50).into();
            })
        }
    };
    let found = list(Who::NetBox2, items(Who::NetBox2), deaf(Who::NetBox2)).await;
    is_broken(
        &found,
        Who::NetBox2,
        "deaf",
        ProviderErrorKind::Other,
        "other items than those asked for",
    );
    // pages without items that promise more
    let empty = |n: usize, reply: Reply| {
        reply.with(|body| {
            body["results"] = json!([]);
            body["next"] = format!("https://nb/?start={}", 51 + n * 50).into();
        })
    };
    let found = list(Who::NetBox2, items(Who::NetBox2), empty).await;
    is_broken(&found, Who::NetBox2, "empty", ProviderErrorKind::Other, "does not send it");
    let more = |reply: Reply| reply.with(|body| body["next"] = "https://nb/?offset=50".into());
    always(Who::NetBox1, "there is more", more).await;
    // a page that lost half its items on the way: the count says so
    let lost = |reply: Reply| {
        reply.with(|body| {
            body["results"] = json!([]);
            body["next"] = Value::Null;
        })
    };
    always(Who::NetBox1, "does not send it", lost).await;
    let long = |reply: Reply| {
        reply.without("softlayer-total-items").header("softlayer-total-items", 1_000_000)
    };
    always(Who::Classic, "there is more", long).await;
    for length in [None, Some("0"), Some("soon")] {
        let bend = move |_, reply: Reply| {
            let reply = reply.without("softlayer-total-items");
            match length {
                Some(length) => reply.header("softlayer-total-items", length),
                None => reply,
            }
        };
        is_whole(&list(Who::Classic, items(Who::Classic), bend).await, Who::Classic, "no length");
    }
    // circles
    let circle =
        |reply: Reply| reply.with(|body| body["next"] = json!({"href": "https://x/?start=50"}));
    always(Who::Vpc, "does not come after", circle).await;
    let nowhere = |reply: Reply| reply.with(|body| body["next"] = json!({"href": "https://x/"}));
    always(Who::Vpc, "does not come after", nowhere).await;
    let short = |reply: Reply| reply.with(|body| body["next"] = Value::Null);
    always(Who::Vpc, "does not send it", short).await;
    for who in [Who::Machines, Who::Nodes] {
        let turn = |n: usize, reply: Reply| {
            reply.with(|body| body["metadata"]["continue"] = ["50", "100", "51"][n % 3].into())
        };
        let found = list(who, items(who), turn).await;
        is_broken(&found, who, "circle", ProviderErrorKind::Other, "same page token twice");
    }
}

/// Items with odd values: read as far as they can be, or named; the others are not touched by them.
#[tokio::test]
async fn odd_items() {
    const HOSTILE: &str = "a\u{1b}]0;x\u{7}\u{202e}\u{200b}\n日本 💥";
    for who in ALL {
        // nothing but what identifies it
        let bare = match who {
            Who::NetBox1 | Who::NetBox2 => {
                json!({"id": 1000, "name": null, "status": null, "site": null,
                "primary_ip4": null, "tags": null, "custom_fields": null, "serial": null})
            }
            Who::Classic => {
                json!({"id": 1000, "hostname": null, "powerState": null, "tagReferences": null,
                "primaryBackendIpAddress": null, "datacenter": null, "status": null})
            }
            Who::Vpc => {
                json!({"id": "0717_1000", "name": null, "status": null, "vcpu": null, "memory": null,
                "network_interfaces": null, "primary_network_interface": null, "zone": null})
            }
            Who::Machines | Who::Nodes => {
                json!({"metadata": {"name": "bare", "uid": "u-1000", "namespace": "x"},
                "spec": null, "status": null})
            }
        };
        // odd words, no address, hostile names
        let mut odd = who.item(1001);
        match who {
            Who::NetBox1 | Who::NetBox2 => {
                odd["name"] = HOSTILE.into();
                odd["status"] = json!({"value": "on-fire"});
                odd["primary_ip4"] = json!({"address": "-oProxyCommand=id"});
                odd["display_url"] = "https://x/\u{1b}[2J".into();
            }
            Who::Classic => {
                odd["fullyQualifiedDomainName"] = HOSTILE.into();
                odd["powerState"] = json!({"keyName": "ON_FIRE"});
                odd["primaryBackendIpAddress"] = "-oProxyCommand=id".into();
            }
            Who::Vpc => {
                odd["name"] = HOSTILE.into();
                odd["status"] = "on-fire".into();
                odd["primary_network_interface"]["primary_ip"]["address"] =
                    "-oProxyCommand=id".into();
            }
            Who::Machines | Who::Nodes => {
                odd["metadata"]["labels"] = json!({"team": HOSTILE});
                odd["status"] = json!({"phase": "OnFire", "conditions": [{"type": "Ready", "status": "OnFire"}],
                    "addresses": [{"type": "Hostname", "address": "-oProxyCommand=id"}, {"type": "Odd", "address": "x"}, {}]});
            }
        }
        let nameless = match who {
            Who::Machines | Who::Nodes => json!({"metadata": {}}),
            _ => json!({"name": "no id"}),
        };
        let wrong = match who {
            Who::NetBox1 | Who::NetBox2 => json!({"id": 1002, "status": "active"}),
            Who::Classic => json!({"id": 1002, "powerState": 7}),
            _ => json!({"id": "0717_1002", "vcpu": "two"}),
        };
        let mut stock = vec![who.item(1), bare, odd];
        if !matches!(who, Who::Machines | Who::Nodes) {
            stock.push(wrong);
        }
        stock.push(nameless);
        stock.push(who.item(2000));
        let found = list(who, stock, |_, reply| reply).await;
        let error = found.error.as_ref().map(|e| inv_tui::error::report(&e.error));
        assert_eq!(error, None, "{who:?}");
        assert_eq!(found.hosts.len(), 4, "{who:?}: {:?}", found.problems);
        let [_, bare, odd, _] = found.hosts.as_slice() else { unreachable!() };
        assert!(bare.addresses.is_empty(), "{who:?}: {:?}", bare.addresses);
        let unreachable = who == Who::Nodes;
        let unknown = if unreachable { Phase::Unreachable } else { Phase::Unknown };
        assert_eq!((bare.state, odd.state), (unknown, unknown), "{who:?}");
        assert!(odd.addresses.is_empty(), "{who:?}: {:?}", odd.addresses);
        assert!(odd.url.as_deref().is_none_or(|url| !url.contains('\u{1b}')), "{who:?}");
        for host in &found.hosts {
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(!host.name.is_empty() && host.name.len() <= 63, "{who:?}: {}", host.name);
            assert!(host.name.chars().all(legal), "{who:?}: {}", host.name);
        }
        assert!(found.problems.iter().any(|p| p.name.is_none()), "{who:?}: {:?}", found.problems);
        let named = found.problems.iter().filter(|p| p.name.is_some()).count();
        assert_eq!(named, usize::from(!matches!(who, Who::Machines | Who::Nodes)), "{who:?}");
    }
}

/// The tokens of IBM's IAM are another request: its outage says nothing of the key.
#[tokio::test]
async fn an_outage_of_iam_is_no_wrong_key() {
    use ProviderErrorKind as Kind;
    for (reply, kind, words) in [
        (no(400), Kind::Credentials, "locked or deleted"),
        (no(403), Kind::Credentials, "locked or deleted"),
        (no(429).header("retry-after", 3600), Kind::Throttled, "429"),
        (no(501), Kind::Other, "501"),
        (Reply::json(&json!({})), Kind::Other, "no token"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let replay =
            Replay::begin(
                move |asked| {
                    if asked.path == "/identity/token" { reply.clone() } else { no(500) }
                },
            )
            .await;
        let provider = Who::Vpc.provider(&replay.url, dir.path());
        let mut pages = guarded("eu-de", provider.list("eu-de"));
        let problem = pages.next().await.unwrap().unwrap_err();
        let text = inv_tui::error::report(&problem.error);
        assert!(text.contains(words) && problem.kind == kind, "{kind:?}: {text}");
        assert!(!text.contains(Who::Vpc.token()), "{text}");
    }
}
