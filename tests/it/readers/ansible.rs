//! The inventory as real Ansible reads it.

use std::path::{Path, PathBuf};

use inv_tui::store::list::each_host;
use serde_json::{Value, json};

use super::{clean, make};
use crate::support::{BINARY, Ended, World, connection, needed, patient, run, serve, worlds};

/// A template that shows in the file PROOF that it was run.
const EVIL: &str = "{{ lookup('pipe', 'touch $PROOF') }}";

/// `ansible-inventory` or `ansible-playbook` of the tests.
fn tool(name: &str) -> Option<PathBuf> {
    let playbook = PathBuf::from(needed("INV_TUI_TEST_ANSIBLE")?);
    Some(playbook.with_file_name(name))
}

/// What Ansible says when all is well: nothing but what it was asked for.
#[track_caller]
fn without_a_word(ended: Ended) -> String {
    let ended = ended.with(0);
    assert_eq!(ended.stderr, "", "{}", ended.stdout);
    for word in ["[WARNING]", "[ERROR]", "[DEPRECATION"] {
        assert!(!ended.stdout.contains(word), "{}", ended.stdout);
    }
    ended.stdout
}

/// Writes the file that Ansible calls.
async fn wrapper(world: &World, words: &[&str]) -> PathBuf {
    let path = world.dir.path().join(format!("inventory-{:08x}", fastrand::u32(..)));
    let mut all = vec!["ansible-inventory", "--write-wrapper", path.to_str().unwrap()];
    all.extend(words);
    let said = run(world.program(&all)).await.with(0).stdout;
    assert!(said.contains("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=1"), "{said}");
    path
}

#[tokio::test]
async fn hostile_labels_load_without_a_word_and_none_is_a_template() {
    let (Some(inventory), Some(playbook)) = (tool("ansible-inventory"), tool("ansible-playbook"))
    else {
        return;
    };
    for world in worlds("ansible").await {
        let proof = world.dir.path().join("proof");
        let evil = EVIL;
        let tags = json!({"Name": evil, "日本": "é"}).to_string();
        let long = "x".repeat(63);
        let hosts = [
            (
                "web-1",
                json!({"env": "a.b", "1x.example/2-z": "9", "class": ""}),
                json!({"role": evil, "team": "import", "cluster": "hosts"}),
            ),
            (
                "web-2",
                json!({"env": "a-b", "1x.example/2-z": long, "class": "none"}),
                json!({"role": "日本", "team": "all", "environment": "  "}),
            ),
            (
                "web-3",
                json!({"env": "A_b", "class": "1.2"}),
                json!({"role": "日木", "team": "import", "cluster": "vars"}),
            ),
        ];
        for (name, labels, spec) in hosts {
            let meta = json!({"labels": labels,
                "annotations": {"evil": evil, "inventory.inv-tui.dev/tags": tags}});
            let status = json!({"phase": "Running", "hardware": {"model": evil},
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]});
            make(&world.hosts(), name, meta, spec, status).await;
        }
        // Names that mean something to Ansible.
        for name in ["all", "ungrouped", "localhost"] {
            make(&world.hosts(), name, json!({}), json!({}), json!({"phase": "Running"})).await;
        }
        let groups = "region,role,team,cluster,environment,state,label:env,label:class,label:1x.example/2-z,annotation:evil";
        let file = wrapper(&world, &["--group", groups, "--annotation", "evil"]).await;
        let file = file.to_str().unwrap();
        let home = world.dir.path();
        let strict =
            [("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", "1"), ("PROOF", proof.to_str().unwrap())];

        let graph = clean(&inventory, home, &strict, &["-i", file, "--graph"]).await;
        let graph = without_a_word(graph);
        assert!(graph.contains("@team_import:") && graph.contains("@cluster_hosts:"), "{graph}");
        assert!(graph.contains("@label_1x_example_2_z_9:"), "{graph}");
        let list = clean(&inventory, home, &strict, &["-i", file, "--list"]).await;
        let list: Value = serde_json::from_str(&without_a_word(list)).unwrap();
        let names: Vec<&String> = list["_meta"]["hostvars"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["web-1", "web-2", "web-3"], "no phantom hosts, and none missing");
        let of = |begin: &str| -> Vec<Vec<&str>> {
            let groups = list.as_object().unwrap().iter();
            let groups = groups.filter(|(name, _)| name.starts_with(begin));
            let mut hosts: Vec<Vec<&str>> = groups
                .map(|(_, group)| group["hosts"].as_array().unwrap())
                .map(|hosts| hosts.iter().map(|host| host.as_str().unwrap()).collect())
                .collect();
            hosts.sort();
            hosts
        };
        let each = [vec!["web-1"], vec!["web-2"], vec!["web-3"]];
        assert_eq!(of("label_env_"), each, "values that look alike are groups of their own");
        assert_eq!(of("label_class_"), each);
        assert_eq!(of("role_"), each);
        assert_eq!(of("team_"), [vec!["web-1", "web-3"], vec!["web-2"]]);
        assert_eq!(of("environment_"), [["web-2"]]);

        let text = r#"
- hosts: all
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - ansible.builtin.copy:
        dest: "{{ playbook_dir }}/{{ inventory_hostname }}.txt"
        content: "{{ inv_role }}\n{{ inv_annotations['evil'] }}\n{{ inv_tags['Name'] }}\n{{ inv_hardware.model }}\n{{ ansible_host }}\n{{ inv_team }}\n"
"#;
        let book = home.join("book.yml");
        std::fs::write(&book, text).unwrap();
        let words = ["-i", file, "--limit", "team_import", book.to_str().unwrap()];
        let ran = clean(&playbook, home, &strict, &words).await;
        without_a_word(ran);
        let written = std::fs::read_to_string(home.join("web-1.txt")).unwrap();
        assert_eq!(written, format!("{evil}\n{evil}\n{evil}\n{evil}\n10.0.0.1\nimport\n"));
        assert!(home.join("web-3.txt").exists() && !home.join("web-2.txt").exists());
        assert!(!proof.exists(), "a text of a host was run as a template");
        world.end().await;
    }
}

#[tokio::test]
async fn hosts_out_of_service_are_left_out_unless_asked_for() {
    for world in worlds("leftout").await {
        let hosts = world.hosts();
        let running = json!({"phase": "Running"});
        let over = json!({"me": {"reason": "disk swap", "since": "2026-01-01T00:00:00Z",
            "until": "2026-01-02T00:00:00Z"}});
        let now = jiff::Timestamp::now();
        let soon = now + jiff::SignedDuration::from_hours(2);
        let held = json!({"me": {"reason": "disk swap", "since": now.to_string(),
            "until": soon.to_string()}});
        for (name, spec, status) in [
            ("fine", json!({"role": "web", "maintenance": over}), running.clone()),
            ("other", json!({"role": "db"}), running.clone()),
            ("held", json!({"role": "web", "maintenance": held}), running.clone()),
            ("out", json!({"role": "web", "serviceState": "OutOfService"}), running.clone()),
            ("gone", json!({"role": "web"}), json!({"phase": "Gone"})),
        ] {
            make(&hosts, name, json!({}), spec, status).await;
        }
        let list = async |words: &[&str]| {
            let all = [&["ansible-inventory", "--list"], words].concat();
            let ended = run(world.program(&all)).await.with(0);
            assert_eq!(ended.stderr, "");
            let list: Value = serde_json::from_str(&ended.stdout).unwrap();
            let names = list["_meta"]["hostvars"].as_object().unwrap();
            let names: Vec<String> = names.keys().cloned().collect();
            (names.join(" "), list)
        };
        let (names, whole) = list(&[]).await;
        assert_eq!(names, "fine other");
        let left = json!({"out-of-service": 1, "gone": 1, "maintenance": 1});
        assert_eq!(whole["_meta"]["inv"], json!({"hosts": 2, "left_out": left}));
        assert_eq!(whole["all"]["vars"]["inv_left_out"], left);
        assert_eq!(list(&["--include", "maintenance,gone"]).await.0, "fine gone held other");
        assert_eq!(list(&["--include", "all"]).await.0, "fine gone held other out");
        assert_eq!(list(&["--filter", "role:web"]).await.0, "fine");
        let (_, held) = list(&["--filter", "name:held", "--include", "maintenance"]).await;
        assert_eq!(held["maintenance_on"]["hosts"], json!(["held"]));

        let told = run(world.program(&["ansible-inventory", "--list", "-v"])).await.with(0);
        told.says(&["2 hosts in ", "left out: 1 out-of-service, 1 gone, 1 maintenance"]);
        let one = run(world.program(&["ansible-inventory", "--host", "fine"])).await.with(0);
        let one: Value = serde_json::from_str(&one.stdout).unwrap();
        assert_eq!(one, whole["_meta"]["hostvars"]["fine"]);
        for (words, why) in [
            (&["--host", "held"][..], "\"held\" is left out: maintenance"),
            (&["--host", "nobody"], "there is no host \"nobody\""),
            (&["--list", "--filter", "role:nothing"], "there is no host in service"),
        ] {
            let ended = run(world.program(&[&["ansible-inventory"], words].concat())).await;
            assert_eq!(ended.with(4).says(&[why]).stdout, "");
        }
        let all = ["ansible-inventory", "--list", "--filter", "role:nothing", "--allow-empty"];
        let empty = run(world.program(&all)).await.with(0).stdout;
        let empty: Value = serde_json::from_str(&empty).unwrap();
        assert_eq!(empty["_meta"]["hostvars"], json!({}));
        for words in [
            &["ansible-inventory"][..],
            &["ansible-inventory", "--list", "--filter", "("],
            &["ansible-inventory", "--list", "--group", "colour"],
            &["ansible-inventory", "--host", "../x"],
        ] {
            run(world.program(words)).await.with(2);
        }
        // Ansible, told to, does not go on without hosts.
        if let Some(inventory) = tool("ansible-inventory") {
            let file = wrapper(&world, &["--filter", "role:nothing"]).await;
            let strict = [("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", "1")];
            let words = ["-i", file.to_str().unwrap(), "--graph"];
            let ended = clean(&inventory, world.dir.path(), &strict, &words).await;
            assert_ne!(ended.code, 0, "{}", ended.stdout);
        }
        world.end().await;
    }
}

#[tokio::test]
async fn many_pages_are_one_list() {
    for world in worlds("pages").await {
        let names: Vec<String> = (0..25).map(|number| format!("h-{number:02}")).collect();
        for name in &names {
            make(&world.hosts(), name, json!({}), json!({}), json!({"phase": "Running"})).await;
        }
        let connection = connection(&world.kubeconfig).await;
        for page in [1, 7, 25, 100] {
            let mut listed = Vec::new();
            each_host(&connection, &world.namespace, page, |json| {
                let host: Value = serde_json::from_slice(json).unwrap();
                listed.push(host["metadata"]["name"].as_str().unwrap().to_owned());
                Ok(())
            })
            .await
            .unwrap();
            assert_eq!(listed, names, "{page}");
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_file_of_somebody_else_is_not_replaced_and_ours_is() {
    let Some(world) = World::begin("wrapper").await else { return };
    let path = world.dir.path().join("theirs");
    std::fs::write(&path, "[all]\n").unwrap();
    let words = ["ansible-inventory", "--write-wrapper", path.to_str().unwrap()];
    run(world.program(&words)).await.with(2).says(&["is there already"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "[all]\n");
    std::fs::remove_file(&path).unwrap();
    run(world.program(&words)).await.with(0);
    let again = [&words[..], &["--filter", "it's"]].concat();
    run(world.program(&again)).await.with(0);
    assert!(std::fs::read_to_string(&path).unwrap().contains(r"'--filter=it'\''s'"));
    world.end().await;
}

#[tokio::test]
async fn while_the_server_is_away_the_last_inventory_is_given_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("server");
    std::fs::create_dir(&folder).unwrap();
    let (mut server, _) = serve(&folder, "127.0.0.1:0").await;
    let kubeconfig = folder.join("admin.kubeconfig");
    let client = patient(&kubeconfig).await;
    let hosts = kube::Api::namespaced(client, "inventory");
    make(&hosts, "web-1", json!({}), json!({"role": "web"}), json!({"phase": "Running"})).await;

    let file = kubeconfig.to_str().unwrap();
    let ask = async |words: &[&str]| {
        let all = [&["--headless", "ansible-inventory", "--kubeconfig", file], words].concat();
        clean(Path::new(BINARY), dir.path(), &[], &all).await
    };
    let live = ask(&["--list"]).await.with(0);
    assert_eq!(live.stderr, "");
    let live: Value = serde_json::from_str(&live.stdout).unwrap();
    assert_eq!(live["all"]["vars"].get("inv_inventory_cached"), None);
    ask(&["--list", "--cache", "off", "--filter", "web"]).await.with(0);

    server.kill().await.unwrap();
    let kept = ask(&["--list"]).await.with(0).says(&["the API server is away"]);
    let mut kept: Value = serde_json::from_str(&kept.stdout).unwrap();
    let vars = kept["all"]["vars"].as_object_mut().unwrap();
    let made = vars.remove("inv_inventory_cached").unwrap();
    assert!(made.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{made}");
    assert!(vars.remove("inv_inventory_age").unwrap().is_i64());
    assert_eq!(kept, live, "it is the inventory that was");
    let one = ask(&["--host", "web-1"]).await.with(0).stdout;
    let one: Value = serde_json::from_str(&one).unwrap();
    assert_eq!((&one["inv_role"], &one["inv_inventory_cached"]), (&"web".into(), &made));

    // What was never asked for, is too old, or was not to be kept, is not there.
    for words in [
        &["--list", "--cache", "off"][..],
        &["--list", "--cache", "0s"],
        &["--list", "--filter", "web"],
        &["--list", "-n", "other"],
        &["--list", "--include", "all"],
    ] {
        assert_eq!(ask(words).await.with(1).stdout, "", "{words:?}");
    }
    // Another user of the same server has nothing of it.
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    let other = dir.path().join("other.kubeconfig");
    std::fs::write(
        &other,
        text.replace("current-context: ", "current-context: other-")
            .replace("name: ", "name: other-")
            .replace("user: ", "user: other-")
            .replace("cluster: ", "cluster: other-"),
    )
    .unwrap();
    let words =
        ["--headless", "ansible-inventory", "--list", "--kubeconfig", other.to_str().unwrap()];
    let stranger = clean(Path::new(BINARY), dir.path(), &[], &words).await;
    assert_ne!(stranger.code, 0, "{}", stranger.stdout);
    assert_eq!(stranger.stdout, "");
}
