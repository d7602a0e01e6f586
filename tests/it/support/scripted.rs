//! An EC2 that says what a test wants: listings that lack hosts (moto lists terminated instances
//! for ever), pages that are empty, endpoints that fail in the middle. It speaks the query
//! protocol: a form in, XML out, the region in the signature's credential scope.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;

/// One page of a region's listing, or the error code that comes in its place.
#[derive(Clone, Debug)]
pub(crate) enum Page {
    Hosts(Vec<Instance>),
    Error(u16, &'static str),
    /// This text with this code.
    Raw(u16, String),
}

/// An instance, as far as these tests care.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) state: (i32, &'static str),
    pub(crate) owner: &'static str,
    pub(crate) tags: BTreeMap<String, String>,
}

/// A running instance with this number.
pub(crate) fn instance(number: usize) -> Instance {
    Instance {
        id: format!("i-{number:017x}"),
        state: (16, "running"),
        owner: "111122223333",
        tags: [("Name".to_owned(), format!("host-{number}"))].into(),
    }
}

/// Running instances with these numbers.
pub(crate) fn instances(numbers: impl IntoIterator<Item = usize>) -> Vec<Instance> {
    numbers.into_iter().map(instance).collect()
}

/// The name of the Host of the instance with this number.
pub(crate) fn name(number: usize) -> String {
    format!("aws-{}", instance(number).id)
}

/// What it says, and from which page of a listing on it keeps its clients waiting.
#[derive(Clone)]
struct Says {
    regions: Arc<Mutex<BTreeMap<String, Vec<Page>>>>,
    gate: watch::Sender<usize>,
}

/// A running server; it ends with the test's runtime.
pub(crate) struct Scripted {
    pub(crate) url: String,
    says: Says,
}

impl Scripted {
    pub(crate) async fn begin() -> Self {
        let says = Says { regions: Arc::default(), gate: watch::Sender::new(usize::MAX) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(says.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, says }
    }

    /// What the region lists from now on.
    pub(crate) fn list(&self, region: &str, pages: Vec<Page>) {
        self.says.regions.lock().unwrap().insert(region.to_owned(), pages);
    }

    /// From this page of a listing on, counted from 0, nothing is answered until this is said anew.
    pub(crate) fn wait_from(&self, page: usize) {
        self.says.gate.send_replace(page);
    }

    /// One page with these hosts.
    pub(crate) fn hosts(&self, region: &str, hosts: Vec<Instance>) {
        self.list(region, vec![Page::Hosts(hosts)]);
    }
}

async fn answer(State(says): State<Says>, headers: HeaderMap, form: String) -> Response {
    let field = |key: &str| {
        form.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')).unwrap_or("")
    };
    let signature = headers[header::AUTHORIZATION].to_str().unwrap();
    let region = signature.split('/').nth(2).unwrap().to_owned();
    let at: usize = field("NextToken").parse().unwrap_or(0);
    if field("Action") == "DescribeInstances" {
        says.gate.subscribe().wait_for(|from| at < *from).await.unwrap();
    }
    let regions = says.regions.lock().unwrap();
    match field("Action") {
        "DescribeRegions" => {
            let mut items = String::new();
            for name in regions.keys() {
                let _ = write!(items, "<item><regionName>{name}</regionName></item>");
            }
            xml("DescribeRegions", &format!("<regionInfo>{items}</regionInfo>"))
        }
        "DescribeInstanceStatus" => xml("DescribeInstanceStatus", "<instanceStatusSet/>"),
        "DescribeInstances" => {
            let pages = regions.get(&region).cloned().unwrap_or_default();
            match pages.get(at) {
                None => xml("DescribeInstances", "<reservationSet/>"),
                Some(Page::Error(code, name)) => error(*code, name),
                Some(Page::Raw(code, text)) => {
                    let code = StatusCode::from_u16(*code).unwrap();
                    (code, [(header::CONTENT_TYPE, "text/xml")], text.clone()).into_response()
                }
                Some(Page::Hosts(hosts)) => {
                    let next = (at + 1 < pages.len()).then(|| (at + 1).to_string());
                    let text = page(hosts, next.as_deref());
                    ([(header::CONTENT_TYPE, "text/xml")], text).into_response()
                }
            }
        }
        other => error(400, if other.is_empty() { "MissingAction" } else { "InvalidAction" }),
    }
}

fn reservations(hosts: &[Instance]) -> String {
    let mut body = String::from("<reservationSet>");
    for host in hosts {
        let Instance { id, state: (code, state), owner, tags: all } = host;
        let mut tags = String::new();
        for (key, value) in all {
            let _ = write!(tags, "<item><key>{key}</key><value>{value}</value></item>");
        }
        let _ = write!(
            body,
            "<item><reservationId>r-{id}</reservationId><ownerId>{owner}</ownerId><instancesSet><item>\
             <instanceId>{id}</instanceId><instanceState><code>{code}</code><name>{state}</name></instanceState>\
             <instanceType>m5.large</instanceType><architecture>x86_64</architecture>\
             <privateIpAddress>10.0.0.1</privateIpAddress>\
             <placement><availabilityZone>zone-a</availabilityZone></placement>\
             <tagSet>{tags}</tagSet></item></instancesSet></item>"
        );
    }
    body.push_str("</reservationSet>");
    body
}

/// A whole page of instances as EC2 writes it.
pub(crate) fn page(hosts: &[Instance], next: Option<&str>) -> String {
    let mut body = reservations(hosts);
    if let Some(next) = next {
        let _ = write!(body, "<nextToken>{next}</nextToken>");
    }
    document("DescribeInstances", &body)
}

fn document(action: &str, body: &str) -> String {
    format!(
        "<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>1</requestId>{body}</{action}Response>"
    )
}

fn xml(action: &str, body: &str) -> Response {
    ([(header::CONTENT_TYPE, "text/xml")], document(action, body)).into_response()
}

fn error(code: u16, name: &str) -> Response {
    let text = format!(
        "<Response><Errors><Error><Code>{name}</Code><Message>said so</Message></Error></Errors>\
         <RequestID>1</RequestID></Response>"
    );
    (StatusCode::from_u16(code).unwrap(), [(header::CONTENT_TYPE, "text/xml")], text)
        .into_response()
}
