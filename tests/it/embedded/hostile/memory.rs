//! Clients that hold on to much and take nothing.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// As many files as a test of many connections needs.
fn many_files() {
    let _ = inv_tui::server::listen::Limits::of_this_process();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_connects_and_says_nothing_keeps_nobody_out() {
    many_files();
    let victim = Victim::start().await;
    let address = victim.serving.address();
    let (before, _) = victim.memory();
    let mut half_open = Vec::new();
    for n in 0..3000 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if n % 2 == 0 {
            // A TLS record that says it is longer than what comes.
            let _ = stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await;
        }
        half_open.push(stream);
        if n % 500 == 0 {
            victim.serves_others().await;
        }
    }
    // Complete handshakes without a certificate, and heads that do not end.
    let nobody = victim.admin.nobody(&victim);
    let mut idle = Vec::new();
    for n in 0..300 {
        let mut stream = nobody.connect("http/1.1").await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nx: ").await.unwrap();
        idle.push(stream);
        if n % 100 == 0 {
            victim.serves_others().await;
        }
    }
    victim.serves_others().await;
    let (after, _) = victim.memory();
    assert!(after < before + 100, "{before} MiB became {after} MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_may_come_byte_by_byte() {
    let victim = Victim::start().await;
    let body = config_map("slow").to_string();
    let head = format!(
        "POST {CONFIG_MAPS} HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = victim.admin.connect("http/1.1").await;
    for (at, byte) in head.bytes().chain(body.bytes()).enumerate() {
        stream.write_all(&[byte]).await.unwrap();
        stream.flush().await.unwrap();
        if at % 50 == 0 {
            victim.serves_others().await;
        }
    }
    let mut answer = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 201");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_takes_nothing_costs_little() {
    const OBJECTS: usize = 20;
    let victim = Victim::start().await;
    let admin = &victim.admin;
    let text = |n: usize| n.to_string().repeat(500_000);
    for n in 0..OBJECTS {
        let mut object = config_map(&format!("c{n}"));
        object["data"] = json!({"x": text(0)});
        admin.post(CONFIG_MAPS, &object).await.is(201);
    }
    let (before, _) = victim.memory();
    let mut held = Vec::new();
    for query in ["", "?limit=1000", "?watch=1&resourceVersion=1"] {
        for _ in 0..10 {
            let mut sender = admin.http1().await;
            let asked = request("GET", &format!("{CONFIG_MAPS}{query}"), "", Bytes::new());
            held.push((sender.send_request(asked).await.unwrap(), None));
            drop(sender);
        }
        let mut sender = admin.http2().await;
        for _ in 0..20 {
            let asked = request("GET", &format!("{CONFIG_MAPS}{query}"), "", Bytes::new());
            held.push((sender.send_request(asked).await.unwrap(), Some(sender.clone())));
        }
    }
    // Each of them sees a piece of a past of its own; what is written now does not add to it.
    victim
        .meanwhile(async {
            for round in 1..8 {
                for n in 0..OBJECTS {
                    let change = json!({"data": {"x": text(round)}}).to_string();
                    let path = format!("{CONFIG_MAPS}/c{n}");
                    admin.send("PATCH", &path, MERGE, change).await.is(200);
                }
            }
        })
        .await;
    let (after, _) = victim.memory();
    eprintln!("{before} MiB, then {after} MiB with {} readers", held.len());
    // 10 MiB of objects: twice 64 MiB of the past in the ring, and a piece for each reader.
    assert!(after < before + 250, "{before} MiB became {after} MiB");
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_watches_see_each_change_and_cost_little() {
    const WATCHES: usize = 1000;
    const CHANGES: u64 = 50;
    let victim = Victim::start().await;
    let admin = &victim.admin;
    admin.post(CONFIG_MAPS, &config_map("a")).await.is(201);
    let (before, _) = victim.memory();
    let mut watches = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..WATCHES / 200 {
        let mut sender = admin.http2().await;
        for _ in 0..200 {
            let asked = request("GET", &format!("{CONFIG_MAPS}?watch=1"), "", Bytes::new());
            watches.push(sender.send_request(asked).await.unwrap());
        }
        senders.push(sender);
    }
    let readers: Vec<_> = watches
        .into_iter()
        .map(|watch| {
            tokio::spawn(async move {
                let (mut body, mut text, mut seen) =
                    (watch.into_body(), Vec::new(), BTreeMap::new());
                while let Some(frame) = body.frame().await {
                    text.extend_from_slice(&frame.unwrap().into_data().unwrap());
                    while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                        let event: Value =
                            serde_json::from_slice(&text.drain(..=end).collect::<Vec<_>>())
                                .unwrap();
                        if let Some(n) = event["object"]["data"]["n"].as_str() {
                            *seen.entry(n.parse::<u64>().unwrap()).or_insert(0) += 1;
                        }
                    }
                    if seen.contains_key(&CHANGES) {
                        break;
                    }
                }
                seen
            })
        })
        .collect();
    victim
        .meanwhile(async {
            for n in 1..=CHANGES {
                let patch = json!({"data": {"n": n.to_string()}}).to_string();
                admin.send("PATCH", &format!("{CONFIG_MAPS}/a"), MERGE, patch).await.is(200);
            }
        })
        .await;
    let all: BTreeMap<u64, i32> = (1..=CHANGES).map(|n| (n, 1)).collect();
    for reader in readers {
        assert_eq!(timeout(PATIENCE, reader).await.expect("each change").unwrap(), all);
    }
    let (after, _) = victim.memory();
    eprintln!("{before} MiB, then {after} MiB with {WATCHES} watches");
    assert!(after < before + 100, "{before} MiB became {after} MiB");
}
