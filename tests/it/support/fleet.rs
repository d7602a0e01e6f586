//! One fleet at three providers: EC2, a NetBox, and a file.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::scripted::{Instance, Page, Scripted, instance};

/// The region of the instances.
const REGION: &str = "eu-north-1";
/// Instances in one page.
const PAGE: usize = 1000;

/// Team of each device, by its number.
type Teams = Arc<Mutex<Vec<&'static str>>>;

/// Hosts at three providers, as many at each.
pub(crate) struct Fleet {
    ec2: Scripted,
    netbox: String,
    devices: Teams,
    file: PathBuf,
    each: usize,
}

impl Fleet {
    /// The names of the sources.
    pub(crate) const SOURCES: [&'static str; 3] = ["cloud", "dc", "lab"];
    /// The names of the hosts that [`Fleet::relabel`] changes.
    pub(crate) fn relabelled() -> [String; 3] {
        [super::scripted::name(3), "nb-dev-4".to_owned(), "lab-3".to_owned()]
    }

    /// So many hosts at each provider; `dir` is where the file is written.
    pub(crate) async fn begin(dir: &std::path::Path, each: usize) -> Self {
        let devices: Teams = Arc::new(Mutex::new(vec!["shop"; each]));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let netbox = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&devices));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let file = dir.join("fleet.yaml");
        let this = Self { ec2: Scripted::begin().await, netbox, devices, file, each };
        this.set("shop");
        this
    }

    /// One host of each provider goes to another team.
    pub(crate) fn relabel(&self, team: &'static str) {
        self.set(team);
    }

    fn set(&self, team: &'static str) {
        let team_of = |n: usize| if n == 3 { team } else { "shop" };
        let hosts: Vec<Instance> = (0..self.each)
            .map(|n| {
                let mut one = instance(n);
                for (key, value) in [
                    ("Team", team_of(n)),
                    ("Cluster", "shop-prod"),
                    ("Role", "web"),
                    ("Environment", "prod"),
                    ("CostCentre", "4100"),
                ] {
                    one.tags.insert(key.to_owned(), value.to_owned());
                }
                one
            })
            .collect();
        self.ec2.list(REGION, hosts.chunks(PAGE).map(|page| Page::Hosts(page.to_vec())).collect());
        *self.devices.lock().unwrap() = (0..self.each).map(team_of).collect();
        let mut text = String::from("hosts:\n");
        for n in 0..self.each {
            let _ = writeln!(
                text,
                "  - {{id: lab-{n}, name: Lab {n}, address: 10.3.{}.{}, region: lab, cluster: lab, role: test, team: {}}}",
                n / 250,
                n % 250,
                team_of(n)
            );
        }
        // At once: a fetcher never reads a part of it.
        let new = self.file.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }

    /// The file with the sources; `TOKEN` in the environment is any text.
    pub(crate) fn sources(&self) -> String {
        format!(
            "[[source]]\nname = \"cloud\"\ntype = \"aws\"\nregions = [\"{REGION}\"]\nurl = \"{}\"\n\
             [[source]]\nname = \"dc\"\ntype = \"netbox\"\nurl = \"{}\"\ncredentials = \"env:TOKEN\"\n\
             virtual-machines = false\nmap = {{ team = \"tenant\" }}\n\
             [[source]]\nname = \"lab\"\ntype = \"file\"\npath = \"{}\"\n",
            self.ec2.url,
            self.netbox,
            self.file.display()
        )
    }
}

fn device(id: usize, team: &str) -> Value {
    json!({
        "id": id, "name": format!("dc-{id}"), "status": {"value": "active"}, "serial": "",
        "site": {"id": 1, "slug": "ams1"}, "role": {"id": 1, "slug": "web"}, "tenant": {"id": 1, "slug": team},
        "cluster": {"id": 1, "name": "ams-web"}, "tags": [], "custom_fields": {"cost_centre": 4100},
        "primary_ip4": {"address": format!("10.2.{}.{}/16", id / 250, id % 250)},
        "device_type": {"model": "R650", "slug": "r650", "manufacturer": {"name": "Dell"}},
    })
}

async fn answer(State(devices): State<Teams>, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    let number = |key: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == key)?.1.parse::<usize>().ok()
    };
    let (start, limit) = (number("start").unwrap_or(0).max(1), number("limit").unwrap_or(50));
    let (page, next) = if uri.path().ends_with("/sites/") {
        (vec![json!({"id": 1, "slug": "ams1", "region": {"slug": "eu-west"}})], None)
    } else {
        let teams = devices.lock().unwrap();
        let ids = start..=teams.len().min(start + limit - 1);
        let next =
            (*ids.end() < teams.len()).then(|| format!("https://nb/?start={}", ids.end() + 1));
        (ids.map(|id| device(id, teams[id - 1])).collect(), next)
    };
    let body = json!({"count": null, "next": next, "results": page}).to_string();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
