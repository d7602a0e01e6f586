//! `serve` as a service: its files, its backups, what it does with a store that it cannot use, its end.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures::{StreamExt, TryStreamExt};
use inv_tui::server::storage::default_file;
use kube::api::{ListParams, WatchParams};

use super::{Serving, make_host, program};
use crate::support::{Ended, run};

const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];

async fn serve(folder: &Path) -> Ended {
    run(program(folder, &LISTEN)).await
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A folder with a store of some hosts, that nobody serves.
async fn stored(hosts: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = Serving::start(folder.path(), &[]).await;
    let api = server.hosts().await;
    for n in 0..hosts {
        make_host(&api, &format!("web-{n}"), "web").await;
    }
    assert_eq!(server.stop().await.code, 0);
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_for_the_owner_alone() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("new/data");
    let server = Serving::start(&folder, &[]).await;
    make_host(&server.hosts().await, "web-1", "web").await;
    assert_eq!(mode(&folder), 0o700);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        // A certificate is no secret.
        if name != "ca.crt" {
            assert_eq!(mode(&entry.path()), 0o600, "{name}");
        }
        names.push(name);
    }
    for name in ["admin.kubeconfig", "ca.key", "inventory.db", "inventory.db-wal", "lock", "socket"]
    {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }

    // A kubeconfig for a user can come before the first start; the folder is made the same way.
    let folder = above.path().join("other");
    let file = above.path().join("ann.kubeconfig");
    let words = ["--user", "ann", "--role", "viewer", "--write-kubeconfig", file.to_str().unwrap()];
    run(program(&folder, &words)).await.with(0);
    assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_listens_on_loopback_unless_told_otherwise() {
    let help = run(program(Path::new("/nonexistent"), &["--help"])).await.with(0).stdout;
    let listen = help.split("--listen").nth(1).unwrap();
    assert!(listen.contains("[default: 127.0.0.1:7443]"), "{listen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_said_and_the_store_is_free_again() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run(program(folder.path(), &["--listen", &address])).await.with(2);
    ended.says(&[&format!("cannot listen on {address}"), "in use", "--listen ADDR:PORT"]);
    Serving::start(folder.path(), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_written_is_said() {
    // Nobody can make a folder there, root included.
    let ended = serve(Path::new("/proc/inv-tui")).await.with(2);
    ended.says(&["cannot use the data folder \"/proc/inv-tui\"", "--data-dir DIR"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    serve(file.path()).await.with(2).says(&["cannot use the data folder", "--data-dir DIR"]);
    let above = tempfile::tempdir().unwrap();
    let long = above.path().join("a".repeat(100));
    serve(&long).await.with(2).says(&["cannot listen on", "name a folder with a shorter one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_it_cleanly_with_watches_open() {
    let folder = tempfile::tempdir().unwrap();
    let server = Serving::start(folder.path(), &[]).await;
    let hosts = server.hosts().await;
    make_host(&hosts, "web-1", "web").await;
    let mut watches = Vec::new();
    for _ in 0..20 {
        let mut watch = hosts.watch(&WatchParams::default(), "0").await.unwrap().boxed();
        watch.try_next().await.unwrap().expect("the host that is there");
        watches.push(watch);
    }
    let ended = server.stop().await.with(0);
    // Nothing had to be cut off: watches are ended, and in the way that clients expect.
    ended.says(&["stopping: requests may finish, watches end"]);
    for mut watch in watches {
        while let Some(event) = watch.try_next().await.expect("an end, not a broken stream") {
            drop(event);
        }
    }
    // Everything is in the one file.
    assert!(!folder.path().join("inventory.db-wal").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_server_is_served_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let server = Serving::start(folder.path(), &[]).await;
    let hosts = server.hosts().await;
    for n in 0..5 {
        make_host(&hosts, &format!("web-{n}"), "web").await;
    }
    let other = tempfile::tempdir().unwrap();
    let copy = default_file(other.path());
    let words = ["--backup", copy.to_str().unwrap()];
    // While somebody writes.
    let (backup, ()) = tokio::join!(run(program(folder.path(), &words)), async {
        for n in 5..10 {
            make_host(&hosts, &format!("web-{n}"), "web").await;
        }
    });
    backup.with(0);
    assert_eq!(mode(&copy), 0o600);
    let ended = run(program(folder.path(), &words)).await.with(1);
    ended.says(&["cannot write the backup", "does not exist yet"]);
    let newest = hosts.list(&ListParams::default()).await.unwrap();

    let restored = Serving::start(other.path(), &[]).await;
    let found = restored.hosts().await.list(&ListParams::default()).await.unwrap();
    assert!((5..=10).contains(&found.items.len()), "{}", found.items.len());
    for host in found.items.iter().take(5) {
        let original = newest.items.iter().find(|o| o.metadata.name == host.metadata.name).unwrap();
        assert_eq!(serde_json::to_value(host).unwrap(), serde_json::to_value(original).unwrap());
    }
    make_host(&restored.hosts().await, "later", "web").await;

    // And of one that nobody serves, killed in the middle of its life.
    server.kill().await;
    let third = tempfile::tempdir().unwrap();
    let copy = default_file(third.path());
    run(program(folder.path(), &["--backup", copy.to_str().unwrap()])).await.with(0);
    let restored = Serving::start(third.path(), &[]).await;
    assert_eq!(restored.hosts().await.list(&ListParams::default()).await.unwrap().items.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_used_is_said_and_left_as_it_is() {
    let folder = stored(20).await;
    let file = default_file(folder.path());
    let good = std::fs::read(&file).unwrap();
    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8192].fill(0xAA);
    let mut newer = good.clone();
    newer[60..64].copy_from_slice(&7_u32.to_be_bytes());
    let cases: [(&[u8], &[&str]); 4] = [
        (&damaged, &["it is damaged", "it was left as it is", "backup"]),
        (&newer, &["it has version 7, this program knows up to 1", "newer inv-tui"]),
        (&good[..good.len() / 2], &["it is damaged", "it was left as it is", "backup"]),
        (b"my diary", &["not a store of inv-tui", "it was left as it is"]),
    ];
    for (content, says) in cases {
        std::fs::write(&file, content).unwrap();
        serve(folder.path()).await.with(1).says(&["cannot use the store"]).says(says);
        assert!(std::fs::read(&file).unwrap() == content, "untouched: {says:?}");
        let copy = folder.path().join("copy.db");
        run(program(folder.path(), &["--backup", copy.to_str().unwrap()])).await.with(1);
        assert!(!copy.exists(), "no backup of it is left: {says:?}");
    }
    std::fs::write(&file, good).unwrap();
    let server = Serving::start(folder.path(), &[]).await;
    assert_eq!(server.hosts().await.list(&ListParams::default()).await.unwrap().items.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_killed_store_never_gets_into_a_backup_put_in_its_place() {
    let folder = stored(3).await;
    let file = default_file(folder.path());
    let backup = folder.path().join("backup.db");
    run(program(folder.path(), &["--backup", backup.to_str().unwrap()])).await.with(0);
    let server = Serving::start(folder.path(), &[]).await;
    make_host(&server.hosts().await, "later", "web").await;
    server.kill().await;
    let log = folder.path().join("inventory.db-wal");
    assert!(log.metadata().unwrap().len() > 0);

    for put in [true, false] {
        if put {
            std::fs::copy(&backup, &file).unwrap();
        } else {
            std::fs::remove_file(&file).unwrap();
        }
        let before = std::fs::read(&log).unwrap();
        let ended = serve(folder.path()).await.with(1);
        ended.says(&["the log of a store that was there before", "move", "inventory.db-wal"]);
        assert!(std::fs::read(&log).unwrap() == before, "untouched");
    }
    std::fs::copy(&backup, &file).unwrap();
    std::fs::rename(&log, folder.path().join("old-wal")).unwrap();
    let server = Serving::start(folder.path(), &[]).await;
    assert_eq!(server.hosts().await.list(&ListParams::default()).await.unwrap().items.len(), 3);
}
