//! The service is killed at each of its steps, and another one takes over.

use serde_json::json;

use super::{Site, annotation, state};
use crate::support::{World, wait_for};

const ANSWER: &str = "inventory.inv-tui.dev/decommission-answer";
const BOTH: &str = "hooks = \"HOOKS\"\n[[step]]\nname = \"a\"\nhook = \"a\"\n[[step]]\nname = \"b\"\nhook = \"b\"\n";
const ONCE: &str = "hooks = \"HOOKS\"\n[[step]]\nname = \"b\"\nhook = \"b\"\nonce = true\n";

/// Kills one that works at this step; gives the site with another one at work.
async fn killed(name: &str, steps: &str, stop_at: &str) -> Option<(Site, tokio::process::Child)> {
    let site = Site::new(World::begin(name).await?, steps).await;
    let mut first = site.serve(Some(stop_at));
    site.known("web-1").await;
    // It works already, so this one waits until the other one is dead.
    let second = site.serve(None);
    if stop_at != "marked" {
        site.delete("web-1").await;
    }
    let dead = tokio::time::timeout(crate::support::PATIENCE, first.wait()).await;
    let dead = dead.expect("it dies").unwrap();
    assert!(!dead.success(), "{stop_at}: {dead}");
    if stop_at == "marked" {
        site.delete("web-1").await;
    }
    Some((site, second))
}

async fn an_idempotent_one(stop_at: &str) {
    let Some((site, second)) = killed("decom-kill", BOTH, stop_at).await else { return };
    site.gone("web-1").await;
    let mut ran = site.ran();
    // The one that was killed between the end of a step and its record has it begun again.
    assert_eq!(ran.len(), if stop_at == "ran" { 3 } else { 2 }, "{stop_at}: {ran:?}");
    ran.dedup();
    assert_eq!(ran, ["a", "b"], "{stop_at}");
    site.end([second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_at_whatever_step_another_one_goes_on() {
    let steps = ["marked", "recorded", "ran", "told", "swept", "removed"];
    futures::future::join_all(steps.map(an_idempotent_one)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_run_once_is_not_begun_again_unasked() {
    let before = async {
        let Some((site, second)) = killed("decom-before", ONCE, "recorded").await else { return };
        let host = site.says("web-1", "StepUnknown").await;
        assert_eq!((state(&host, "b"), site.ran().len()), ("Unknown", 0));
        // An answer about something else is none.
        site.world.edit("web-1", "ann", annotation(ANSWER, json!("b/2=done"))).await;
        site.world.edit("web-1", "ann", annotation(ANSWER, json!("b/1=again"))).await;
        site.gone("web-1").await;
        assert_eq!(site.ran(), ["b"]);
        site.end([second]).await;
    };
    let after = async {
        let Some((site, second)) = killed("decom-after", ONCE, "ran").await else { return };
        site.says("web-1", "StepUnknown").await;
        let told = wait_for("the warning", async || {
            site.told("web-1").await.into_iter().find(|(_, reason, _)| reason == "StepUnknown")
        })
        .await;
        assert_eq!(told.0, "Warning");
        assert_eq!(site.ran(), ["b"]);
        site.world.edit("web-1", "ann", annotation(ANSWER, json!("b/1=done"))).await;
        site.gone("web-1").await;
        assert_eq!(site.ran(), ["b"]);
        site.end([second]).await;
    };
    tokio::join!(before, after);
}
