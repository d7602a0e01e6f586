//! Playbooks that come from a repository: ansible-pull, before each run.

use std::path::Path;

use super::*;

fn git(folder: &Path, args: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=test", "-c", "user.email=test@example.com"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Commits a playbook that writes a word, and gives its revision.
fn commit(repository: &Path, word: &str) -> String {
    let task = format!("printf '{word}\\n' >> \"{{{{ marker }}}}\"");
    let playbook = format!(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Write {word}\n      ansible.builtin.shell: {task}\n"
    );
    std::fs::write(repository.join("site.yml"), playbook).unwrap();
    git(repository, &["add", "site.yml"]);
    git(repository, &["commit", "-q", "-m", word]);
    git(repository, &["rev-parse", "--short=12", "HEAD"])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_repository_is_brought_up_to_date_before_each_run() {
    let Some((world, ansible)) = begin("agentpull").await else { return };
    let machine = Machine::new(&world, &ansible, "web-1").await;
    let repository = machine.path("repository");
    std::fs::create_dir(&repository).unwrap();
    git(&repository, &["init", "-q", "-b", "main"]);
    let first = commit(&repository, "first");
    git(&repository, &["tag", "release-1"]);
    let config = format!(
        "heartbeat = \"1s\"\n[ansible]\nprogram = {ansible:?}\nroot = \"{}\"\ntimeout = \"5m\"\n\
         git = {{ url = \"{}\", revision = \"main\", revisions = [\"release-*\"] }}\n\
         [[ansible.playbook]]\npath = \"site.yml\"\n",
        machine.path("ansible").display(),
        repository.display(),
    );
    std::fs::write(machine.path("agent.toml"), config).unwrap();
    let agent = machine.agent(None);
    let text = || std::fs::read_to_string(machine.marker()).unwrap_or_default();

    machine.ask("r1", "site.yml", json!({})).await;
    let run = machine.ends("r1").await;
    assert_eq!((run.state, run.rc), (RunState::Succeeded, Some(0)), "{run:?}");
    assert_eq!((run.ok, run.changed, run.failed), (Some(1), Some(1), Some(0)), "{run:?}");
    assert_eq!((run.revision, text()), (Some(first.clone()), "first\n".to_owned()));

    let second = commit(&repository, "second");
    machine.ask("r2", "site.yml", json!({})).await;
    let run = machine.ends("r2").await;
    assert_eq!((run.state, run.revision), (RunState::Succeeded, Some(second)));
    assert_eq!(text(), "first\nsecond\n");

    machine.ask("r3", "site.yml", json!({"revision": "release-1"})).await;
    let run = machine.ends("r3").await;
    assert_eq!((run.state, run.revision), (RunState::Succeeded, Some(first)));
    assert_eq!(text(), "first\nsecond\nfirst\n");

    // Check mode reports what would change, and a revision that is not listed is not even fetched.
    machine.ask("r4", "site.yml", json!({"check": true, "revision": null})).await;
    let run = machine.ends("r4").await;
    assert_eq!((run.state, run.rc), (RunState::Succeeded, Some(0)), "{run:?}");
    machine.ask("r5", "site.yml", json!({"revision": "main --upload-pack=x"})).await;
    let run = machine.ends("r5").await;
    assert_eq!((run.state, run.rc), (RunState::Failed, None));
    assert!(run.message.unwrap().contains("revision"), "nothing ran");
    assert_eq!(text(), "first\nsecond\nfirst\n");
    // Neither of the two says anything of how the host is.
    let converged = condition(&world.host("web-1").await, condition::CONVERGED).unwrap();
    assert_eq!(converged, ("True".to_owned(), "RunSucceeded".to_owned()));
    drop(agent);
    world.end().await;
}
