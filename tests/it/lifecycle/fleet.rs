//! Clusters with their budget, and other writers beside the controller.

use inv_tui::model::labels;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{at, condition, hold, word};
use crate::support::scripted::{Scripted, instance, name};
use crate::support::{World, wait_for};

#[tokio::test]
async fn whoever_holds_around_the_budget_is_counted_and_named() {
    let Some(world) = World::begin("budget").await else { return };
    let mut controller = world.lifecycle();
    world.make_cluster("shop", json!({"disruption": {"maxUnavailable": 1}})).await;
    for number in 0..4 {
        world.make_member(&format!("h{number}"), "shop", "Running").await;
    }
    let until = async |what: &str, wanted: &dyn Fn(&serde_json::Value) -> bool| {
        wait_for(what, async || Some(world.cluster_json("shop").await).filter(wanted)).await
    };
    let budget = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "ready"];
    let is = |c: &serde_json::Value, wanted: [i64; 4]| {
        budget.map(|key| c["status"][key].as_i64().unwrap_or(-1)) == wanted
    };
    until("the numbers", &|c| is(c, [1, 4, 3, 4])).await;

    // One that asked, as the acts do: the grant first, then the hold.
    // The controller may write the status once more meanwhile.
    wait_for("the grant", async || {
        let version = world.cluster_json("shop").await["metadata"]["resourceVersion"].clone();
        let grant = json!({
            "metadata": {"resourceVersion": version},
            "status": {"disrupted": {"h0": at(0), "h3": at(-600)}, "disruptionsAllowed": 0},
        });
        let params = PatchParams::default();
        match world.clusters().patch_status("shop", &params, &Patch::Merge(grant)).await {
            Err(kube::Error::Api(status)) if status.is_conflict() => None,
            granted => {
                granted.unwrap();
                Some(())
            }
        }
    })
    .await;
    world.edit("h0", "inv-tui", json!({"spec": {"maintenance": {"ann": hold(0, 3_600)}}})).await;
    let cluster = until("the slot that is taken", &|c| is(c, [0, 3, 3, 3])).await;
    assert_eq!(word(&cluster, "BudgetExhausted").0, "True");
    assert_eq!(word(&cluster, "BudgetBypassed").0, "False");
    assert!(cluster["status"]["disrupted"]["h0"].is_string());
    until("the end of a grant that nobody used", &|c| {
        c["status"]["disrupted"].as_object().is_some_and(|all| all.len() == 1)
    })
    .await;

    // One that did not ask.
    world
        .edit("h1", "kubectl-edit", json!({"spec": {"maintenance": {"bob": hold(0, 3_600)}}}))
        .await;
    let cluster = until("the one who went around it", &|c| is(c, [0, 2, 3, 2])).await;
    assert_eq!(word(&cluster, "BudgetBypassed").0, "True");
    let message = condition(&cluster, "BudgetBypassed")["message"].as_str().unwrap();
    assert!(message.contains("h1") && !message.contains("h0"), "{message}");
    assert_eq!(word(&cluster, "Available").0, "False");
    let object = world.clusters().get("shop").await.unwrap();
    wait_for("the Event", async || {
        world.events(&object).await.contains(&"BudgetBypassed".to_owned()).then_some(())
    })
    .await;
    world.edit("h1", "kubectl-edit", json!({"spec": {"maintenance": {"bob": null}}})).await;
    let cluster = until("the numbers again", &|c| is(c, [0, 3, 3, 3])).await;
    assert_eq!(word(&cluster, "BudgetBypassed").0, "False");
    controller.kill().await.unwrap();
    world.end().await;
}

#[tokio::test]
async fn a_cluster_may_choose_its_hosts_by_labels() {
    let Some(world) = World::begin("selector").await else { return };
    let mut controller = world.lifecycle();
    for (number, cluster) in ["shop", "shop", "other"].into_iter().enumerate() {
        world.make_member(&format!("h{number}"), cluster, "Running").await;
    }
    let hosts = async |name: &str, count: i64| {
        wait_for("the count", async || {
            (world.cluster_json(name).await["status"]["hosts"] == count).then_some(())
        })
        .await;
    };
    world.make_cluster("shop", json!({})).await;
    hosts("shop", 2).await;
    let selector = json!({"matchLabels": {labels::REGION: "eu-west-1"}});
    world.make_cluster("shop", json!({"selector": selector})).await;
    hosts("shop", 3).await;
    let selector = json!({"matchExpressions": [
        {"key": labels::CLUSTER, "operator": "NotIn", "values": ["shop"]}]});
    world.make_cluster("shop", json!({"selector": selector})).await;
    hosts("shop", 1).await;
    controller.kill().await.unwrap();
    world.end().await;
}

#[tokio::test]
async fn a_fetcher_beside_it_settles() {
    let Some(world) = World::begin("beside").await else { return };
    let ec2 = Scripted::begin().await;
    let region = "eu-north-1";
    let tagged = |cluster: &str, state: (i32, &'static str)| {
        let mut one = instance(1);
        one.state = state;
        one.tags.insert("Cluster".into(), cluster.into());
        one.tags.insert("Role".into(), "web".into());
        vec![one, instance(2)]
    };
    let running = (16, "running");
    let words = ["--region", region];
    ec2.hosts(region, tagged("shop", running));
    world.fetch(&ec2.url, &words).await.with(0);
    world.lifecycle_once().await.with(0);
    let host = name(1);
    let settled = async |what: &str| {
        let before = world.versions().await;
        world.fetch(&ec2.url, &words).await.with(0).says(&["writes=0"]);
        world.lifecycle_once().await.with(0);
        assert_eq!(world.versions().await, before, "{what}");
    };
    settled("nothing new").await;
    let live = world.json(&host).await;
    assert_eq!(word(&live, "Ready"), ("True", "AllFine"));
    assert_eq!(live["metadata"]["labels"][labels::CLUSTER], "shop");
    assert_eq!(live["metadata"]["labels"][labels::SERVICE_STATE], "InService");

    // The provider says something new, then a person, then the fetcher's defaults change.
    ec2.hosts(region, tagged("shop", (80, "stopped")));
    for round in ["the fetcher writes", "the controller follows"] {
        world.fetch(&ec2.url, &words).await.with(0);
        world.lifecycle_once().await.with(0);
        assert_eq!(world.json(&host).await["status"]["phase"], "Stopped", "{round}");
    }
    settled("stopped").await;
    let holds = json!({"ann": hold(0, 3_600)});
    world.edit(&host, "kubectl-edit", json!({"spec": {"maintenance": holds}})).await;
    world.lifecycle_once().await.with(0);
    settled("held").await;
    ec2.hosts(region, tagged("shop", running));
    world.fetch(&ec2.url, &words).await.with(0);
    world.lifecycle_once().await.with(0);
    assert_eq!(world.json(&host).await["status"]["phase"], "Maintenance");
    settled("held and running").await;
    ec2.hosts(region, tagged("market", running));
    world.fetch(&ec2.url, &words).await.with(0);
    world.lifecycle_once().await.with(0);
    let live = world.json(&host).await;
    assert_eq!(live["spec"]["cluster"], "market");
    assert_eq!(live["metadata"]["labels"][labels::CLUSTER], "market");
    settled("moved by its tag").await;
    world.edit(&host, "kubectl-edit", json!({"spec": {"cluster": "mine"}})).await;
    world.lifecycle_once().await.with(0);
    world.fetch(&ec2.url, &words).await.with(0);
    world.lifecycle_once().await.with(0);
    let live = world.json(&host).await;
    assert_eq!(live["metadata"]["labels"][labels::CLUSTER], "mine");
    settled("moved by a person").await;
    world.end().await;
}
