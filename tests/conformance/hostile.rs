//! What a server must bear: bytes that make no sense, clients that do not go on, and very many of
//! them. The answer to each is a proper one or none, and nobody else waits.

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::client::PATIENCE;
use crate::world::{Case, case};

/// All that a connection says until it ends.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    // An end without a farewell is an end.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("an end");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The code of the answer to these bytes; 0 if the connection just ends.
async fn code(t: &Case, bytes: &[u8]) -> u16 {
    let mut stream = t.tls().await;
    let _ = stream.write_all(bytes).await;
    let answer = rest(&mut stream).await;
    answer.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
}

/// Someone else is served as ever.
async fn serves(t: &Case) {
    t.create("other").await;
    t.delete(&t.widget("other")).await.is(200);
}

#[test]
fn no_tls() {
    case(async |t| {
        for bytes in
            [&b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", &[0; 4096]]
        {
            let mut stream = t.tcp().await;
            // The server may have had enough by then.
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            let answer = rest(&mut stream).await;
            assert!(!answer.contains("200 OK"), "{answer}");
        }
        serves(&t).await;
    });
}

#[test]
fn no_http() {
    case(async |t| {
        for bytes in [
            &b"\0\0\0\0\r\n\r\n"[..],
            b"nonsense\r\n\r\n",
            b"GET /api HTTP/9.9\r\n\r\n",
            b"GET  HTTP/1.1\r\n\r\n",
        ] {
            let code = code(&t, bytes).await;
            assert!(code == 0 || (400..600).contains(&code), "{code}");
        }
        serves(&t).await;
    });
}

#[test]
fn heads_that_are_too_large() {
    case(async |t| {
        let value = "x".repeat(4 << 20);
        let bytes = format!("GET /version HTTP/1.1\r\nHost: x\r\nX: {value}\r\n\r\n");
        let code = code(&t, bytes.as_bytes()).await;
        assert!(code == 0 || (400..500).contains(&code), "{code}");
        serves(&t).await;
    });
}

#[test]
fn paths_that_are_none() {
    case(async |t| {
        let widgets = t.widgets();
        for path in [
            "/api/v1/namespaces/%ff",
            "/api/v1/namespaces/a%00b",
            "/api/v1/namespaces/%zz",
            "/api/v1/namespaces/..%2f..%2fsecrets",
            "/api/v1/namespaces//configmaps",
            "//api//v1",
            &format!("{widgets}?labelSelector=%ff"),
            &format!("{widgets}?fieldSelector=%00"),
            &format!("{widgets}?limit=%"),
            &format!("{widgets}?&&==&limit"),
            &format!("{widgets}/{}", "n".repeat(8000)),
        ] {
            let bytes = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            let code = code(&t, bytes.as_bytes()).await;
            assert!((200..500).contains(&code), "{path}: {code}");
        }
        serves(&t).await;
    });
}

#[test]
fn handshakes_that_never_end() {
    case(async |t| {
        let mut held = Vec::new();
        for number in 0..200 {
            let mut stream = t.tcp().await;
            if number % 2 == 0 {
                let _ = stream.write_all(b"\x16\x03\x01").await;
            }
            held.push(stream);
        }
        serves(&t).await;
        drop(held);
    });
}

#[test]
fn heads_and_bodies_that_never_end() {
    case(async |t| {
        let mut held = Vec::new();
        for number in 0..50 {
            let mut stream = t.tls().await;
            let head = format!("POST {} HTTP/1.1\r\nHost: x\r\n", t.widgets());
            let _ = stream.write_all(head.as_bytes()).await;
            if number % 2 == 0 {
                let body =
                    b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"kind\":";
                let _ = stream.write_all(body).await;
            }
            held.push(stream);
        }
        serves(&t).await;
        drop(held);
        let none: [&str; 0] = [];
        assert_eq!(t.get(&t.widgets()).await.is(200).names(), none);
    });
}

#[test]
fn a_body_that_ends_too_early_is_nothing() {
    case(async |t| {
        let body = t.new_widget("a").to_string();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            t.widgets(),
            body.len() + 10
        );
        let mut stream = t.tls().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let _ = stream.shutdown().await;
        let answer = rest(&mut stream).await;
        assert!(!answer.contains(" 201 "), "{answer}");
        t.get(&t.widget("a")).await.fails(404, "NotFound");
    });
}

#[test]
fn a_body_without_end_is_cut_off() {
    case(async |t| {
        let mut stream = t.tls().await;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
            t.widgets()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
        let mut sent = 0;
        let (mut answer, mut half) = tokio::io::split(stream);
        let write = async {
            // Until the other side has had enough, or much more than it may take.
            while sent < 64 << 20 && half.write_all(chunk.as_bytes()).await.is_ok() {
                sent += chunk.len();
            }
            half
        };
        let mut first = [0; 12];
        let (read, _half) = tokio::join!(timeout(PATIENCE, answer.read_exact(&mut first)), write);
        if read.expect("an end").is_ok() {
            assert_eq!(&first, b"HTTP/1.1 413");
        }
        serves(&t).await;
    });
}

#[test]
fn a_thousand_watches() {
    case(async |t| {
        let path = t.widgets();
        let mut watches = Vec::new();
        for _ in 0..20 {
            let server = t.http2();
            let some = (0..50).map(|_| server.watch(&path, &[]));
            watches.extend(futures::future::join_all(some).await);
        }
        t.create("a").await;
        for watch in &mut watches {
            watch.expect("ADDED", "a").await;
        }
        t.merge(&t.widget("a"), &json!({"spec": {"cpu": 3}})).await.is(200);
        for watch in &mut watches {
            watch.expect("MODIFIED", "a").await;
        }
    });
}
