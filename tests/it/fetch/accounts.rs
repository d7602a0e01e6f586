//! Several accounts of AWS, the second by a role that the credentials of the first take on.

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::config::Credentials;
use inv_tui::model::labels;

use crate::support::ec2::{Moto, name};
use crate::support::{LONGER_LEASES, World, run};

#[tokio::test]
async fn each_account_is_a_source() {
    let Some(moto) = Moto::begin("il-central-1").await else { return };
    let Some(world) = World::begin("accounts").await else { return };
    let own = moto.start(2, &[("Name", "own")]).await;
    let role = "arn:aws:iam::210987654321:role/inventory";
    let http = aws_smithy_http_client::Builder::new().build_http();
    let base = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::new(moto.region))
        .endpoint_url(&moto.url)
        .http_client(http)
        .credentials_provider(Credentials::for_tests())
        .load()
        .await;
    let assumed = AssumeRoleProvider::builder(role).session_name("test").configure(&base);
    let config = aws_sdk_ec2::config::Builder::from(&base)
        .credentials_provider(assumed.build().await)
        .build();
    let other = aws_sdk_ec2::Client::from_conf(config);
    let made = other.run_instances().image_id("ami-12c6146b").min_count(1).max_count(1);
    let made = made.send().await.unwrap();
    let foreign = made.instances()[0].instance_id().unwrap().to_owned();

    let path = world.dir.path().join("sources.toml");
    let source = |name: &str, more: &str| {
        format!(
            "[[source]]\nname = \"{name}\"\ntype = \"aws\"\nregions = [\"{}\"]\n{more}\n",
            moto.region
        )
    };
    let text = format!(
        "{}{}",
        source("first", ""),
        source("second", &format!("role = \"{role}\"\nexternal-id = \"x-1\""))
    );
    std::fs::write(&path, text).unwrap();
    let mut fetch = world.program(&["fetch", "--once", "--sources", path.to_str().unwrap()]);
    fetch.env("AWS_ENDPOINT_URL", &moto.url).env(LONGER_LEASES.0, LONGER_LEASES.1);
    run(fetch).await.with(0);
    for (id, source, account) in
        [(&own[0], "first", "123456789012"), (&foreign, "second", "210987654321")]
    {
        let host = world.json(&name(id)).await;
        let all = &host["metadata"]["labels"];
        assert_eq!(
            (&all[labels::SOURCE], &all[labels::ACCOUNT]),
            (&source.into(), &account.into())
        );
    }
    let ids = std::slice::from_ref(&foreign);
    other.terminate_instances().set_instance_ids(Some(ids.to_vec())).send().await.unwrap();
    world.end().await;
}
