//! The templates of `deploy/`: what comes out of them, with hosts of hostile texts, and what the readers of
//! such files make of it.

use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;

use regex::Regex;
use serde_json::json;
use tokio::process::Command;

use super::Scene;
use crate::support::{World, run, worlds};

/// Texts that want to be more than a text.
const EVIL: [&str; 6] = [
    "x\nHost *\n  ProxyCommand touch /tmp/x\n10.0.0.66 bank\n  server evil 10.6.6.6:80",
    "\"; object User \"evil\" { } \"",
    "* !bank {{ 7 * 7 }} $host.vars.secret$ # %h",
    "a\\\r\u{2028}\u{85}\u{1b}[2J",
    "-oProxyCommand=x",
    "web-2",
];

async fn rendered(world: &World, template: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/templates").join(template);
    let words = ["render", "--include", "maintenance", "--template", path.to_str().unwrap()];
    run(world.program(&words)).await.with(0).stdout
}

/// Two good hosts, and one for each evil text that is called so wherever it can be.
async fn fleet(world: &World) {
    world.put("web-1", "10.0.0.1").await;
    world.put("web-2", "10.0.0.2").await;
    world.put("web-6", "fd00::6").await;
    world.held("web-1", true).await;
    for (number, evil) in EVIL.iter().enumerate() {
        let name = format!("evil-{number}");
        world.put(&name, &format!("10.6.6.{number}")).await;
        let patch = json!({
            "metadata": {"annotations": {"inventory.inv-tui.dev/display-name": evil, "example.com/port": evil}},
        });
        world.edit(&name, "kubectl-edit", patch).await;
        // What a field may be is for the server to say; what it takes comes in.
        for field in ["cluster", "role", "environment"] {
            let params = kube::api::PatchParams::default();
            let patch = kube::api::Patch::Merge(json!({"spec": {field: evil}}));
            let _ = world.hosts().patch(&name, &params, &patch).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readers_of_the_example_files_find_what_they_want_and_no_more() {
    for world in worlds("render-readers").await {
        fleet(&world).await;
        let scene = Scene::begin(world.as_renderer().await, "", "");
        for template in ["ssh_config.j2", "hosts.j2", "icinga.conf.j2", "haproxy.cfg.j2"] {
            let text = rendered(&scene.world, template).await;
            let control = |c: char| c != '\n' && inv_tui::model::text::is_hostile(c);
            assert!(!text.chars().any(control), "{template}: {text:?}");
            match template {
                "ssh_config.j2" => ssh(&scene, &text).await,
                "hosts.j2" => hosts(&text),
                "icinga.conf.j2" => icinga(&text),
                _ => haproxy(&text),
            }
        }
        world.end().await;
    }
}

/// What ssh itself makes of it.
async fn ssh(scene: &Scene, text: &str) {
    let file = scene.path("ssh.conf");
    std::fs::write(&file, text).unwrap();
    for (name, address) in [
        ("web-1", "10.0.0.1"),
        ("web-2", "10.0.0.2"),
        ("web-6", "fd00::6"),
        ("evil-5", "10.6.6.5"),
        ("_-oProxyCommand_x", "10.6.6.4"),
        ("bank", "bank"),
        ("anything.example.com", "anything.example.com"),
    ] {
        let mut ssh = Command::new("ssh");
        ssh.arg("-G").arg("-F").arg(&file).arg(name);
        ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let said = run(ssh).await.with(0).stdout;
        let setting = |key: &str| {
            said.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
                .unwrap_or("none")
        };
        assert_eq!(setting("hostname"), address, "{name}\n{text}");
        assert_eq!(setting("proxycommand"), "none", "{name}\n{text}");
        let alias = if name.starts_with(['w', 'e']) { name } else { setting("hostkeyalias") };
        assert_eq!(setting("hostkeyalias"), alias, "{name}\n{text}");
    }
}

/// Each line is an address and a name, and the first line of a name is that of its host.
fn hosts(text: &str) {
    let mut first = std::collections::BTreeMap::new();
    for line in text.lines() {
        let (address, name) = line.split_once(' ').unwrap();
        let _: IpAddr = address.parse().unwrap();
        assert!(!name.is_empty() && !name.contains(char::is_whitespace), "{line}");
        first.entry(name).or_insert(address);
    }
    assert_eq!(
        (first["web-1"], first["web-2"], first["web-6"]),
        ("10.0.0.1", "10.0.0.2", "fd00::6")
    );
    assert_eq!(first.get("bank"), None, "{text}");
}

/// Every line is one that the template has, and every string ends where it should.
fn icinga(text: &str) {
    let line = Regex::new(concat!(
        r#"^(?:object (?:Host|HostGroup) "(?P<object>[A-Za-z0-9._:-]+)" \{|  import "generic-host""#,
        r#"|  (?:display_name|address6?|vars\.inv_[a-z]+) = "(?:[^"\\]|\\["\\nrt])*""#,
        r#"|  groups = \[ (?:"inv-[A-Za-z0-9._:-]*")? \]|\}|)$"#,
    ))
    .unwrap();
    let mut objects = Vec::new();
    for one in text.lines() {
        let found = line.captures(one).unwrap_or_else(|| panic!("{one}\n{text}"));
        objects.extend(found.name("object").map(|name| name.as_str().to_owned()));
    }
    for name in ["web-1", "web-2", "web-6", "evil-0", "evil-1", "inv-shop"] {
        assert_eq!(objects.iter().filter(|one| *one == name).count(), 1, "{name}\n{text}");
    }
    assert!(!objects.iter().any(|name| name == "evil"), "{text}");
    assert!(text.contains("address6 = \"fd00::6\""), "{text}");
    let macros = Regex::new(r"(?m)^  vars\.[^\n]*[^$\n]\$[^$\n]").unwrap();
    assert!(!macros.is_match(text), "{text}");
}

fn haproxy(text: &str) {
    let line = Regex::new(
        r"^(?:backend [A-Za-z0-9._:-]+|  balance roundrobin|  server (?P<name>[A-Za-z0-9._:-]+) (?:[0-9.]+|\[[0-9a-f:]+\]):[A-Za-z0-9._:-]+ check(?: disabled)?|)$",
    )
    .unwrap();
    for one in text.lines() {
        assert!(line.is_match(one), "{one}\n{text}");
    }
    for wanted in [
        "  server web-1 10.0.0.1:8080 check disabled\n",
        "  server web-2 10.0.0.2:8080 check\n",
        "  server web-6 [fd00::6]:8080 check\n",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert!(!text.contains("server evil 10.6.6.6"), "{text}");
}
