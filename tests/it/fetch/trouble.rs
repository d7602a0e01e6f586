//! What goes wrong is named, with the reason and what to do, and never stops the rest.

use crate::support::http::Nobody;
use crate::support::scripted::{Page, Scripted, instance, instances, name};
use crate::support::{World, run};

#[tokio::test]
async fn a_failed_region_leaves_its_hosts_and_the_others_alone() {
    let Some(world) = World::begin("failed").await else { return };
    let ec2 = Scripted::begin().await;
    ec2.hosts("eu-north-1", instances(0..2));
    ec2.hosts("eu-south-1", instances(10..12));
    let both = ["--region", "eu-north-1,eu-south-1"];
    world.fetch(&ec2.url, &both).await.with(0);
    let before = world.versions().await;
    let mut changed = instance(0);
    changed.tags.insert("Role".into(), "db".into());
    ec2.hosts("eu-north-1", vec![changed, instance(1)]);
    let nobody = Nobody::begin();
    let dead = format!("eu-south-1=http://{}", nobody.address());
    let words = ["--region", "eu-north-1,eu-south-1", "--endpoint-url", &dead, "--gone-after", "1"];
    world.fetch(&ec2.url, &words).await.with(1).says(&[
        "cannot list the instances of region \"eu-south-1\"",
        "hint: nobody answers there",
        "1 of 2 scopes not fully done (eu-south-1)",
        "changed=1",
    ]);
    let after = world.versions().await;
    for (host, version) in &before {
        let same = after.contains(&(host.clone(), version.clone()));
        assert_eq!(same, *host != name(0), "{host}");
    }
    // denied, the same
    ec2.list("eu-south-1", vec![Page::Error(403, "UnauthorizedOperation")]);
    world
        .fetch(&ec2.url, &both)
        .await
        .with(1)
        .says(&["UnauthorizedOperation", "ec2:DescribeInstances"]);
    assert_eq!(world.versions().await, after);
    world.end().await;
}

#[tokio::test]
async fn wrong_credentials_are_a_matter_of_set_up() {
    let Some(world) = World::begin("credentials").await else { return };
    let ec2 = Scripted::begin().await;
    ec2.list("eu-north-1", vec![Page::Error(401, "AuthFailure")]);
    let words = ["--region", "eu-north-1"];
    world.fetch(&ec2.url, &words).await.with(2).says(&["AuthFailure", "hint: the access key"]);
    let mut none = world.program(&["fetch", "--once", "--region", "eu-north-1"]);
    none.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    run(none).await.with(2).says(&["no AWS credentials", "hint: set AWS_ACCESS_KEY_ID"]);
    let profile = ["fetch", "--once", "--region", "eu-north-1", "--profile", "nope"];
    run(world.program(&profile)).await.with(2).says(&["no AWS credentials from profile \"nope\""]);
    run(world.program(&["fetch", "--once"])).await.with(2).says(&["no AWS region", "--region"]);
    world.end().await;
}

#[tokio::test]
async fn an_item_that_cannot_be_read_does_not_fail_the_page() {
    let Some(world) = World::begin("items").await else { return };
    let ec2 = Scripted::begin().await;
    let mut nameless = instance(5);
    nameless.id = String::new();
    ec2.hosts("eu-north-1", instances(0..3));
    world.fetch(&ec2.url, &["--region", "eu-north-1"]).await.with(0);
    ec2.hosts("eu-north-1", vec![instance(0), nameless, instance(3)]);
    world.fetch(&ec2.url, &["--region", "eu-north-1"]).await.with(1).says(&[
        "created=1",
        "failed=1",
        "missing=0",
        "an instance without an id",
    ]);
    world.end().await;
}

#[tokio::test]
async fn the_namespace_is_missing() {
    let Some(world) = World::begin("nowhere").await else { return };
    let ec2 = Scripted::begin().await;
    let other = World { namespace: "does-not-exist".to_owned(), ..world };
    other
        .fetch(&ec2.url, &["--region", "eu-north-1"])
        .await
        .with(2)
        .says(&["there is no namespace \"does-not-exist\"", "hint: make it with"]);
}

#[tokio::test]
async fn a_user_without_permission_is_told_what_is_needed() {
    let Some(world) = World::begin("denied").await else { return };
    let ec2 = Scripted::begin().await;
    ec2.hosts("eu-north-1", instances(0..1));
    let mut config = kube::config::Kubeconfig::read_from(&world.kubeconfig).unwrap();
    for user in &mut config.auth_infos {
        user.auth_info.as_mut().unwrap().impersonate = Some("nobody".to_owned());
    }
    let path = world.dir.path().join("nobody.kubeconfig");
    // JSON is YAML
    std::fs::write(&path, serde_json::to_string(&config).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (client, namespace) = (world.client.clone(), world.namespace.clone());
    let nobody = World { kubeconfig: path, namespace, client, dir };
    nobody.fetch(&ec2.url, &["--region", "eu-north-1"]).await.with(2).says(&[
        "cannot list hosts",
        "refused it (403)",
        "hint: your user lacks the permission to list hosts",
    ]);
    world.end().await;
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_is_named() {
    let Some(world) = World::begin("no-server").await else { return };
    let ec2 = Scripted::begin().await;
    let path = world.dir.path().join("dead.kubeconfig");
    let nobody = Nobody::begin();
    let server = format!("http://{}", nobody.address());
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: dead\nclusters:\n- name: dead\n  cluster: {{server: \"{server}\"}}\n\
         users:\n- name: dead\n  user: {{}}\ncontexts:\n- name: dead\n  context: {{cluster: dead, user: dead}}\n"
    );
    std::fs::write(&path, text).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (client, namespace) = (world.client.clone(), world.namespace.clone());
    let dead = World { kubeconfig: path, namespace, client, dir };
    dead.fetch(&ec2.url, &["--region", "eu-north-1"]).await.with(1).says(&[
        "cannot list hosts",
        "cannot be reached",
        "hint: check that it runs",
    ]);
    world.end().await;
}
