//! What the wire may bring from EC2: pages that break off, pages that are no answer, tokens that go
//! round in circles, limits, credentials that expire in the middle.

use crate::support::World;
use crate::support::scripted::{Page, Scripted, instances, page};

const REGION: [&str; 2] = ["--region", "eu-north-1"];

#[tokio::test]
async fn no_half_listing_is_taken_for_a_whole_one() {
    let Some(world) = World::begin("ec2-odd").await else { return };
    let ec2 = Scripted::begin().await;
    ec2.hosts("eu-north-1", instances(0..6));
    world.fetch(&ec2.url, &REGION).await.with(0).says(&["created=6"]);
    let before = world.versions().await;
    let whole = page(&instances(0..3), Some("1"));
    let cut = |at: &str| Page::Raw(200, whole.split_once(at).unwrap().0.to_owned());
    let html = "<!doctype html><html><body>It is us.</body></html>".to_owned();
    let first = || Page::Hosts(instances(0..3));
    for (pages, code, words) in [
        // what is left of the first page is XML that says nothing of a second one
        (vec![cut("<nextToken>"), Page::Hosts(instances(3..6))], 1, "does not speak as EC2"),
        (
            vec![cut("</DescribeInstancesResponse>"), Page::Hosts(instances(3..6))],
            1,
            "does not speak as EC2",
        ),
        (vec![first(), Page::Raw(200, html)], 1, "does not speak as EC2"),
        (vec![first(), Page::Raw(200, String::new())], 1, "does not speak as EC2"),
        (
            vec![first(), Page::Raw(200, "{\"Reservations\": []}".to_owned())],
            1,
            "does not speak as EC2",
        ),
        (vec![first(), Page::Raw(200, page(&[], Some("1")))], 1, "same page token twice"),
        (
            vec![first(), Page::Hosts(Vec::new()), Page::Raw(200, page(&[], Some("1")))],
            1,
            "same page token twice",
        ),
        (vec![first(), Page::Error(400, "ExpiredToken")], 2, "has expired; renew it"),
        (vec![first(), Page::Error(403, "UnauthorizedOperation")], 1, "ec2:DescribeInstances"),
        (vec![first(), Page::Error(503, "RequestLimitExceeded")], 1, "fetch less often"),
    ] {
        ec2.list("eu-north-1", pages);
        let ended = world.fetch(&ec2.url, &REGION).await.with(code);
        ended.says(&[words, "nothing was marked missing"]);
        assert_eq!(world.versions().await, before, "{words}");
    }
    // the same instance on two pages, because the list moved: one host, and nothing is written
    ec2.list("eu-north-1", vec![Page::Hosts(instances(0..4)), Page::Hosts(instances(2..6))]);
    let ended = world.fetch(&ec2.url, &REGION).await.with(0);
    ended.says(&["seen=6", "created=0 changed=0", "missing=0", "writes=0"]);
    assert_eq!(world.versions().await, before);
    world.end().await;
}
