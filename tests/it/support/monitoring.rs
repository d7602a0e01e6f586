//! A real Prometheus and a real Alertmanager, and the monitor between them and the inventory.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use http::Method;
use inv_tui::providers::http::{Answer, Ask, Http};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::{World, needed, wait_for};

/// Where a program listens that says so in a line with `sign`, as `address=…`. The rest of its log is
/// read and kept.
pub(crate) async fn address(
    log: impl AsyncRead + Unpin + Send + 'static,
    sign: &str,
) -> (String, Arc<Mutex<String>>) {
    let kept = Arc::new(Mutex::new(String::new()));
    let mut lines = BufReader::new(log).lines();
    loop {
        let Some(line) = lines.next_line().await.unwrap() else {
            panic!("it ended:\n{}", kept.lock().unwrap());
        };
        let _ = writeln!(kept.lock().unwrap(), "{line}");
        if !line.contains(sign) {
            continue;
        }
        let (_, address) = line.split_once("address=").unwrap();
        let address = address.split(' ').next().unwrap().to_owned();
        let more = Arc::clone(&kept);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = writeln!(more.lock().unwrap(), "{line}");
            }
        });
        return (address, kept);
    }
}

/// Ends a program as a service manager does.
pub(crate) fn terminate(child: &Child) {
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    command
}

/// The answer to a request; none if there was none or it said no.
async fn ask(method: Method, url: &str, body: Option<Value>) -> Option<Answer> {
    let body = body.map(|body| ("application/json", body.to_string().into()));
    let ask = Ask { method, body, accept: &[404, 401, 503], ..Ask::get("cannot ask", url, None) };
    Http::new(None).unwrap().ask_once(&ask).await.ok()
}

/// A Prometheus with a configuration of its own.
pub(crate) struct Prometheus {
    address: String,
    _child: Child,
}

impl Prometheus {
    /// None: skipped.
    pub(crate) async fn begin(folder: &Path, config: &Path) -> Option<Self> {
        let program = needed("INV_TUI_TEST_PROMETHEUS")?;
        let mut child = command(&program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (address, _) = address(child.stderr.take().unwrap(), "msg=\"Listening on\"").await;
        Some(Self { address, _child: child })
    }

    /// The targets of a job: labels before relabelling, and after it.
    pub(crate) async fn targets(&self, job: &str) -> Option<Vec<(Value, Value)>> {
        let url = format!("http://{}/api/v1/targets?state=active", self.address);
        let all = ask(Method::GET, &url, None).await?.body["data"]["activeTargets"].clone();
        let all = all.as_array()?.iter().filter(|target| target["scrapePool"] == job);
        Some(all.map(|t| (t["discoveredLabels"].clone(), t["labels"].clone())).collect())
    }
}

/// An Alertmanager behind an address that stays, whatever becomes of it.
pub(crate) struct Alertmanager {
    program: String,
    folder: PathBuf,
    child: Option<Child>,
    /// Where it is now; empty: connections are closed.
    behind: Arc<Mutex<String>>,
    accepts: JoinHandle<()>,
    pub(crate) url: String,
}

impl Alertmanager {
    /// None: skipped.
    pub(crate) async fn begin(folder: &Path) -> Option<Self> {
        let program = needed("INV_TUI_TEST_ALERTMANAGER")?;
        let config = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
        std::fs::write(folder.join("alertmanager.yml"), config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let behind = Arc::new(Mutex::new(String::new()));
        let place = Arc::clone(&behind);
        let accepts = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let place = place.lock().unwrap().clone();
                tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(place).await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        let folder = folder.to_owned();
        let mut this = Self { program, folder, child: None, behind, accepts, url };
        this.start().await;
        Some(this)
    }

    /// Starts it, with what it knew when it was stopped.
    pub(crate) async fn start(&mut self) {
        let mut child = command(&self.program)
            .arg(format!("--config.file={}", self.folder.join("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", self.folder.join("alertmanager").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (address, _) = address(child.stderr.take().unwrap(), "msg=\"Listening on\"").await;
        *self.behind.lock().unwrap() = address;
        self.child = Some(child);
    }

    /// Ends it in good order.
    pub(crate) async fn stop(&mut self) {
        self.behind.lock().unwrap().clear();
        let mut child = self.child.take().unwrap();
        terminate(&child);
        child.wait().await.unwrap();
    }

    /// All silences, those that have expired too.
    pub(crate) async fn silences(&self) -> Vec<Value> {
        let url = format!("{}/api/v2/silences", self.url);
        let all = wait_for("Alertmanager", async || ask(Method::GET, &url, None).await).await;
        all.body.as_array().unwrap().clone()
    }

    /// The silences in force.
    pub(crate) async fn active(&self) -> Vec<Value> {
        let mut all = self.silences().await;
        all.retain(|silence| silence["status"]["state"] == "active");
        all
    }

    /// Waits for a silence.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, async || self.silences().await.into_iter().find(&wanted)).await
    }

    /// A silence as a person makes it; its id.
    pub(crate) async fn make(&self, silence: Value) -> String {
        let url = format!("{}/api/v2/silences", self.url);
        let answer = ask(Method::POST, &url, Some(silence)).await.unwrap();
        answer.body["silenceID"].as_str().unwrap().to_owned()
    }

    /// Ends a silence as a person does.
    pub(crate) async fn expire(&self, id: &str) {
        let url = format!("{}/api/v2/silence/{id}", self.url);
        ask(Method::DELETE, &url, None).await.unwrap();
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

/// The monitor as a service, until it is dropped.
pub(crate) struct Monitor {
    pub(crate) child: Child,
    address: String,
    log: Arc<Mutex<String>>,
}

impl Monitor {
    /// With this file, as the user that `world` has.
    pub(crate) async fn begin(world: &World, config: &Path) -> Self {
        let words = ["monitor", "--listen", "127.0.0.1:0", "--monitor-config"];
        let mut words = words.to_vec();
        words.push(config.to_str().unwrap());
        let mut child = world.program(&words).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (address, log) = address(stderr, "health and metrics").await;
        Self { child, address, log }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Code, headers and body of the answer to a GET.
    pub(crate) async fn get(&self, path: &str) -> (u16, String, String) {
        let what = format!("{path} of the monitor");
        wait_for(&what, async || super::http::get(&self.address, path).await).await
    }

    /// Waits until all hosts are known.
    pub(crate) async fn ready(&self) {
        let ready = async || (self.get("/readyz").await.0 == 200).then_some(());
        wait_for("the monitor to be ready", ready).await;
    }

    /// The list of a job.
    pub(crate) async fn list(&self, job: &str) -> Vec<Value> {
        let (code, head, body) = self.get(&format!("/sd/{job}")).await;
        assert_eq!(code, 200, "{body}\n{}", self.log());
        assert!(head.contains("content-type: application/json\r\n"), "{head}");
        serde_json::from_str(&body).unwrap()
    }

    /// Whether its metrics have this line.
    pub(crate) async fn counts(&self, line: &str) {
        let what = format!("{line} in the metrics");
        wait_for(&what, async || self.get("/metrics").await.2.contains(line).then_some(())).await;
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}
