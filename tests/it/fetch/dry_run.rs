//! A dry run prints what would change, and changes nothing.

use inv_tui::model::labels;
use inv_tui::model::text::is_hostile;
use serde_json::{Value, json};

use crate::support::scripted::{Instance, Scripted, instance, name};
use crate::support::{Ended, World, run};

const GONE: (i32, &str) = (48, "terminated");

async fn dry(world: &World, ec2: &Scripted, words: &[&str]) -> Ended {
    let mut all = vec!["fetch", "--dry-run", "--endpoint-url", &ec2.url, "--region", "eu-north-1"];
    all.extend(words);
    run(world.program(&all)).await
}

fn tagged(number: usize, tags: &[(&str, &str)]) -> Instance {
    let mut instance = instance(number);
    instance.tags.extend(tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    instance
}

#[tokio::test]
async fn the_diff_is_what_the_pass_then_does() {
    let Some(world) = World::begin("dry-diff").await else { return };
    let ec2 = Scripted::begin().await;
    let hosts = |team: &str| (0..6).map(|n| tagged(n, &[("Team", team)])).collect::<Vec<_>>();
    ec2.hosts("eu-north-1", hosts("shop"));
    let new = dry(&world, &ec2, &[]).await.with(0);
    assert!(
        new.stdout.starts_with(&format!("+ {}  host-0 (eu-north-1)\n", name(0))),
        "{}",
        new.stdout
    );
    assert!(new.stdout.contains("\n  + spec.team: shop\n"), "{}", new.stdout);
    assert!(new.stdout.contains("\n  + status.addresses[InternalIP 10.0.0.1]\n"), "{}", new.stdout);
    assert!(
        new.stdout.ends_with("\naws: 6 listed, 6 new, 0 changed, 0 missing, 0 gone, 0 removed\n")
    );
    assert!(!new.stdout.contains("since") && !new.stdout.contains("lastTransitionTime"));
    assert!(!new.stdout.contains('\u{1b}'), "no colours where no terminal is");
    assert!(world.all_hosts().await.is_empty());
    let sources: kube::Api<inv_tui::model::source::Source> =
        kube::Api::namespaced(world.client.clone(), &world.namespace);
    assert!(sources.get_opt("aws").await.unwrap().is_none(), "the Source neither");

    let once = ["--region", "eu-north-1"];
    world.fetch(&ec2.url, &once).await.with(0);
    let same = dry(&world, &ec2, &[]).await.with(0);
    assert_eq!(same.stdout, "aws: 6 listed, 0 new, 0 changed, 0 missing, 0 gone, 0 removed\n");

    // 0 is tagged anew, 1 was given to another team by a person, 2 is terminated, 3 is not listed
    world.edit(&name(1), "kubectl-edit", json!({"spec": {"team": "bakery"}})).await;
    let mut changed = hosts("infra");
    changed[2] = Instance { state: GONE, ..tagged(2, &[("Team", "shop")]) };
    changed.retain(|i| i.id != instance(3).id && i.id != instance(4).id && i.id != instance(5).id);
    changed.extend([tagged(4, &[("Team", "shop")]), tagged(5, &[("Team", "shop")])]);
    ec2.hosts("eu-north-1", changed);
    let before = world.versions().await;
    let ended = dry(&world, &ec2, &[]).await.with(0);
    let label = format!("labels.{}", labels::TEAM);
    let [zero, first, two, three] = [0, 1, 2, 3].map(name);
    let expected = format!(
        "~ {zero}  host-0 (eu-north-1)\n\
         \x20 tags.Team: shop → infra\n\
         \x20 {label}: shop → infra\n\
         \x20 spec.team: shop → infra\n\
         ~ {first}  host-1 (eu-north-1)\n\
         \x20 tags.Team: shop → infra\n"
    );
    assert!(ended.stdout.starts_with(&expected), "{}", ended.stdout);
    for line in [
        format!("\n! {two}  host-2 (eu-north-1): Gone\n"),
        format!("\n! {three}  host-3 (eu-north-1): Missing\n"),
        "\n  status.phase: Running → Missing\n".to_owned(),
        "\n  status.conditions[Seen].status: True → False\n".to_owned(),
        "\naws: 5 listed, 0 new, 2 changed, 1 missing, 1 gone, 0 removed\n".to_owned(),
    ] {
        assert!(ended.stdout.contains(&line), "no {line:?} in\n{}", ended.stdout);
    }
    assert_eq!(world.versions().await, before);
    world.fetch(&ec2.url, &once).await.with(0).says(&["changed=3 missing=1"]);
    let found = world.json(&first).await;
    assert_eq!(found["spec"]["team"], "bakery");
    // long enough gone: the object would be removed
    let ended = dry(&world, &ec2, &["--grace", "0s"]).await.with(0);
    assert!(
        ended.stdout.contains(&format!("\n- {two}  host-2 (eu-north-1)\n"))
            || ended.stdout.starts_with(&format!("- {two}")),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.ends_with(" 1 removed\n"), "{}", ended.stdout);
    assert!(world.hosts().get_opt(&two).await.unwrap().is_some());
    world.end().await;
}

#[tokio::test]
async fn lines_of_json_for_programs_and_a_source_that_fails() {
    let Some(world) = World::begin("dry-json").await else { return };
    let path = world.dir.path().join("hosts.json");
    let hostile = "w\u{1b}[31m\u{202e}x\n- nb-dev-1";
    // as JSON escapes them: a reader of YAML takes no control characters
    let hosts = r#"[{"id": "lab-1", "name": "w\u001b[31m\u202ex\n- nb-dev-1", "tags": {"k\u009b": "v\u0007"}},
        {"id": "lab-2"}]"#;
    std::fs::write(&path, hosts).unwrap();
    let sources = world.dir.path().join("sources.toml");
    let text = format!(
        "[[source]]\nname = \"lab\"\ntype = \"file\"\npath = \"{}\"\n\
         [[source]]\nname = \"none\"\ntype = \"file\"\npath = \"/nonexistent/hosts.json\"\n",
        path.display()
    );
    std::fs::write(&sources, text).unwrap();
    let words = ["fetch", "--dry-run", "--sources", sources.to_str().unwrap()];
    let ended = run(world.program(&words)).await.with(1);
    assert!(!ended.stdout.chars().any(|c| c != '\n' && is_hostile(c)), "{:?}", ended.stdout);
    assert!(ended.stdout.contains("\nlab: 2 listed, 2 new,"), "{}", ended.stdout);
    assert!(ended.stdout.lines().last().unwrap().starts_with("none: 0 listed"), "{}", ended.stdout);
    assert!(
        ended.stdout.ends_with("(not everything was read, see the error)\n"),
        "{}",
        ended.stdout
    );

    let words = [&words[..], &["-o", "json"]].concat();
    let ended = run(world.program(&words)).await.with(1);
    assert!(!ended.stdout.chars().any(|c| c != '\n' && is_hostile(c)), "{:?}", ended.stdout);
    let lines: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, second, lab, none] = lines.as_slice() else { panic!("{}", ended.stdout) };
    assert_eq!((&first["host"], &second["host"]), (&"lab-1".into(), &"lab-2".into()));
    assert_eq!((&first["source"], &first["change"]), (&"lab".into(), &"create".into()));
    assert_eq!(first["display"], hostile, "whole, as an escape");
    assert_eq!((&lab["totals"]["new"], &lab["done"]), (&2.into(), &true.into()));
    assert_eq!((&none["totals"]["listed"], &none["done"]), (&0.into(), &false.into()));
    let wrong = ["fetch", "--once", "-o", "json", "--sources", sources.to_str().unwrap()];
    run(world.program(&wrong)).await.with(2).says(&["--dry-run"]);
    assert!(world.all_hosts().await.is_empty());
    world.end().await;
}
