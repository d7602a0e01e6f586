//! The providers that speak to servers of other kinds than EC2, in the built program, against servers
//! that replay what the real ones send: their field names, their paging, their errors.

mod file;
mod ibm_classic;
mod ibm_vpc;
mod identity;
mod kubernetes;
mod netbox;
mod odd;
mod replay;
mod several;

use serde_json::Value;
use tokio::process::Command;

use crate::support::{Ended, LONGER_LEASES, World, run};

/// A fetch from the sources in this text, with a secret in `TOKEN`.
fn fetch(world: &World, sources: &str, words: &[&str], token: &str) -> Command {
    let path = world.dir.path().join("sources.toml");
    std::fs::write(&path, sources).unwrap();
    let mut all = vec!["fetch", "--sources", path.to_str().unwrap()];
    all.extend(words);
    let mut command = world.program(&all);
    command.env("TOKEN", token).env("NO_PROXY", "127.0.0.1,localhost");
    command.env(LONGER_LEASES.0, LONGER_LEASES.1);
    command
}

/// One pass, which never shows the secret.
async fn pass(world: &World, sources: &str, token: &str) -> Ended {
    let ended = run(fetch(world, sources, &["--once"], token)).await;
    assert!(!ended.stderr.contains(token) && !ended.stdout.contains(token), "{}", ended.stderr);
    ended
}

/// The Source as JSON.
async fn source(world: &World, name: &str) -> Value {
    serde_json::to_value(world.source(name).await).unwrap()
}

/// Status and message of a condition of a Source.
async fn says(world: &World, name: &str, type_: &str) -> (String, String) {
    let source = source(world, name).await;
    let all = source["status"]["conditions"].as_array().unwrap();
    let found = all.iter().find(|c| c["type"] == type_).unwrap();
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("status"), text("message"))
}

/// A listing that lost too much is not believed, and the Source says so.
async fn is_not_believed(world: &World, sources: &str, token: &str, name: &str) {
    let before = world.versions().await;
    pass(world, sources, token).await.with(1).says(&["breaker open", "--accept-loss"]);
    assert_eq!(world.versions().await, before, "nothing is marked");
    let (status, message) = says(world, name, "BreakerOpen").await;
    assert_eq!(status, "True");
    assert!(message.contains("hosts would be lost"), "{message}");
    assert_eq!(says(world, name, "Healthy").await.0, "False");
}
