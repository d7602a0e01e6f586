//! Several API servers in one tree: a real control plane and an embedded server, two contexts of
//! one kubeconfig.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use inv_tui::model::host::Host;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::pty::Pty;
use crate::support::{BINARY, World, connection, run_binary, serve};

const SIZE: (u16, u16) = (150, 30);

/// A server that is ours to stop, with the namespace of a world and one host in it.
struct Spare {
    child: Child,
    world: World,
    _folder: tempfile::TempDir,
}

impl Spare {
    async fn start(namespace: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (child, _) = serve(folder.path(), "127.0.0.1:0").await;
        let kubeconfig = folder.path().join("admin.kubeconfig");
        let client = connection(&kubeconfig).await.client;
        let metadata = ObjectMeta { name: Some(namespace.to_owned()), ..ObjectMeta::default() };
        let object = Namespace { metadata, ..Namespace::default() };
        Api::all(client.clone()).create(&PostParams::default(), &object).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let world = World { kubeconfig, namespace: namespace.to_owned(), client, dir };
        world.make_host("aws-i-1", "web-spare", "eu-west-1", "shop").await;
        Self { child, world, _folder: folder }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.unwrap().success());
    }
}

/// A kubeconfig with these contexts, each from another file.
fn merged(folder: &Path, contexts: &[(&str, &Path)]) -> PathBuf {
    let mut whole = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": contexts[0].0,
        "clusters": [], "users": [], "contexts": [],
    });
    for (name, path) in contexts {
        let text = std::fs::read_to_string(path).unwrap();
        let one: Value = serde_saphyr::from_str(&text).unwrap();
        for (list, entry) in [("clusters", "cluster"), ("users", "user")] {
            let found = json!({ "name": name, entry: one[list][0][entry] });
            whole[list].as_array_mut().unwrap().push(found);
        }
        let context = json!({ "name": name, "context": { "cluster": name, "user": name } });
        whole["contexts"].as_array_mut().unwrap().push(context);
    }
    let path = folder.join("kubeconfig");
    std::fs::write(&path, serde_json::to_string(&whole).unwrap()).unwrap();
    path
}

/// A way to a server that can be cut: while it is, every connection ends at once.
struct Road {
    address: SocketAddr,
    open: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Road {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, state) = watch::channel(true);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut travellers = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                while travellers.try_join_next().is_some() {}
                let mut state = state.clone();
                travellers.spawn(async move {
                    if !*state.borrow_and_update() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = state.changed() => {}
                    }
                });
            }
        });
        Self { address, open, _tasks: tasks }
    }

    /// A kubeconfig with this way to its server, made of another one.
    fn kubeconfig(&self, folder: &Path, original: &Path) -> PathBuf {
        let text = std::fs::read_to_string(original).unwrap();
        let mut whole: Value = serde_saphyr::from_str(&text).unwrap();
        whole["clusters"][0]["cluster"]["server"] = json!(format!("https://{}", self.address));
        let path = folder.join("by-road.kubeconfig");
        std::fs::write(&path, whole.to_string()).unwrap();
        path
    }
}

/// Where the server of a kubeconfig listens.
fn address(kubeconfig: &Path) -> SocketAddr {
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let whole: Value = serde_saphyr::from_str(&text).unwrap();
    let url = whole["clusters"][0]["cluster"]["server"].as_str().unwrap();
    url.trim_start_matches("https://").trim_end_matches('/').parse().unwrap()
}

fn explorer(kubeconfig: &Path, namespace: &str, more: &[&str]) -> Pty {
    explorer_with(kubeconfig, namespace, more, &[])
}

fn explorer_with(kubeconfig: &Path, namespace: &str, more: &[&str], env: &[(&str, &str)]) -> Pty {
    let kubeconfig = kubeconfig.to_str().unwrap();
    let mut args = vec!["--kubeconfig", kubeconfig, "-n", namespace, "--config", "/dev/null"];
    args.extend(more);
    Pty::start(BINARY, &args, env, SIZE)
}

async fn is_held(world: &World) -> bool {
    let hosts: Api<Host> = Api::namespaced(world.client.clone(), &world.namespace);
    !hosts.get("aws-i-1").await.unwrap().spec.maintenance.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_are_one_tree_and_one_that_hangs_or_dies_holds_up_nothing() {
    let Some(main) = World::begin("contexts").await else { return };
    let mut spare = Spare::start(&main.namespace).await;
    main.make_host("aws-i-1", "web-main", "eu-west-1", "shop").await;
    let contexts = [("main", main.kubeconfig.as_path()), ("spare", &spare.world.kubeconfig)];
    let kubeconfig = merged(main.dir.path(), &contexts);
    let mut pty = explorer(&kubeconfig, &main.namespace, &["--context", "main,spare"]);
    pty.shows("2 hosts · 2 servers · live");
    pty.send("zR");
    pty.shows("web-main");
    pty.shows("web-spare");

    // The last line is the host of the second server: what is done to it is done there only.
    pty.send("G");
    pty.send("m");
    pty.shows("put into maintenance");
    pty.send("y");
    pty.shows("web-spare is in maintenance until");
    assert!(is_held(&spare.world).await && !is_held(&main).await);
    // A page about it is read from its server, and so are its Events.
    pty.send("E");
    pty.shows("events  spare/web-spare");
    pty.shows("MaintenanceStarted");
    pty.send("y");
    pty.shows("name: aws-i-1");
    pty.send("q");
    pty.send("gg3jm");
    pty.shows("put into maintenance");
    pty.send("y");
    pty.shows("web-main is in maintenance until");
    assert!(is_held(&main).await);

    // One that hangs says nothing at all: the other goes on meanwhile, changes too.
    spare.signal("STOP");
    main.make_host("aws-i-2", "web-more", "eu-west-1", "shop").await;
    pty.shows("web-more");
    pty.send("u");
    pty.shows("take back the last change");
    pty.send("y");
    pty.shows("your maintenance of web-main has ended");
    assert!(!is_held(&main).await);
    pty.shows("spare: lost");
    spare.signal("CONT");
    pty.until("live again", |screen| screen.contains("2 servers · live"));

    spare.child.kill().await.unwrap();
    let screen = pty.shows("1 live · spare: lost");
    assert!(screen.contains("web-spare"), "the data stays\n{screen}");
    pty.send("Gm");
    pty.shows("spare: not connected: changes are refused");
    pty.send("\x1bvS");
    pty.shows("cannot be reached");
    pty.send("vfgg3jm");
    pty.shows("put into maintenance");
    pty.send("y");
    pty.shows("web-main is in maintenance until");
    pty.send(":q\r");
    assert_eq!(pty.ends(), 0);
    pty.given_back();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_away_at_the_start_is_shown_as_it_was_beside_the_other() {
    let Some(main) = World::begin("last-contexts").await else { return };
    let spare = Spare::start(&main.namespace).await;
    main.make_host("aws-i-1", "web-main", "eu-west-1", "shop").await;
    let road = Road::to(address(&spare.world.kubeconfig)).await;
    let by_road = road.kubeconfig(spare.world.dir.path(), &spare.world.kubeconfig);
    let contexts = [("main", main.kubeconfig.as_path()), ("spare", by_road.as_path())];
    let kubeconfig = merged(main.dir.path(), &contexts);
    let cache = tempfile::tempdir().unwrap();
    let env = [("XDG_CACHE_HOME", cache.path().to_str().unwrap())];
    let start = || explorer_with(&kubeconfig, &main.namespace, &["--context", "main,spare"], &env);
    let mut pty = start();
    pty.shows("2 hosts · 2 servers · live");
    pty.send(":q\r");
    assert_eq!(pty.ends(), 0);
    let kept = std::fs::read_dir(cache.path().join("inv-tui/fleet")).unwrap().count();
    assert_eq!(kept, 2, "a file for each server");

    // The next start finds one of them away, while the other goes on.
    road.open.send_replace(false);
    main.make_host("aws-i-2", "web-more", "eu-west-1", "shop").await;
    let mut pty = start();
    pty.shows("3 hosts · 2 servers · 1 live · spare: lost, as of");
    pty.send("zR");
    let screen = pty.shows("web-spare");
    assert!(screen.contains("web-more"), "{screen}");
    pty.send("Gm");
    pty.shows("spare: this is the last known fleet, as of");
    pty.send("\x1bgg3jm");
    pty.shows("put into maintenance");
    pty.send("y");
    pty.shows("web-main is in maintenance until");
    assert!(is_held(&main).await && !is_held(&spare.world).await);

    // It is back: its hosts are live, and can be changed.
    spare.world.make_host("aws-i-3", "web-zz", "eu-west-1", "shop").await;
    road.open.send_replace(true);
    pty.until("both are live", |screen| {
        screen.contains("4 hosts · 2 servers · live") && !screen.contains("as of")
    });
    pty.send("Gkm");
    pty.shows("put into maintenance");
    pty.send("y");
    pty.shows("web-spare is in maintenance until");
    assert!(is_held(&spare.world).await);
    pty.send(":q\r");
    assert_eq!(pty.ends(), 0);
    pty.given_back();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_contexts_begin_with_those_that_work_and_say_what_is_wrong_with_the_rest() {
    let Some(main) = World::begin("all-contexts").await else { return };
    main.make_host("aws-i-1", "web-main", "eu-west-1", "shop").await;
    let file = main.kubeconfig.as_path();
    let kubeconfig = merged(main.dir.path(), &[("main", file), ("again", file), ("wrong", file)]);
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    let mut whole: Value = serde_json::from_str(&text).unwrap();
    whole["contexts"][2]["context"]["cluster"] = json!("nowhere");
    std::fs::write(&kubeconfig, whole.to_string()).unwrap();

    let mut pty = explorer(&kubeconfig, &main.namespace, &["--all-contexts"]);
    pty.shows("1 host · 2 servers · 1 live · wrong: lost");
    pty.send("vS");
    pty.shows("the same server as main");
    pty.send("G");
    pty.shows("context \"wrong\" of");
    pty.send("vfzRG");
    pty.shows("web-main");
    pty.send(":q\r");
    assert_eq!(pty.ends(), 0);

    // A context that is not there is said at once, and tasks take one.
    let path = kubeconfig.to_str().unwrap();
    let (code, _, problem) = run_binary(&["--kubeconfig", path, "--context", "main,mian"]);
    assert_eq!(code, 2, "{problem}");
    assert!(problem.contains("no context \"mian\"") && problem.contains("main, again, wrong"));
    let several = ["--headless", "get", "--kubeconfig", path, "--context", "main,again"];
    let (code, _, problem) = run_binary(&several);
    assert_eq!(code, 2, "{problem}");
    assert!(problem.contains("one context is wanted here"), "{problem}");
}
