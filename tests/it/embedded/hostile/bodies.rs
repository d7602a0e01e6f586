//! Bodies and queries that are small and would cost much.

use super::*;

/// What it is; method, path and content type; the body; the status that it gets.
type Case<'a> = (&'a str, (&'a str, &'a str, &'a str), String, u16);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_body_costs_more_than_its_size() {
    let mut victim = Victim::start().await;
    let admin = victim.admin.clone();
    let many = |n: usize, one: &str| vec![one; n].join(",");
    let map = |rest: &str| {
        format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}}{rest}}}"#)
    };
    let long = "k".repeat(700_000);
    let request = |spec: &str| {
        format!(
            r#"{{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{{"name":"a"}},"spec":{{"signerName":"a.b/c","request":"eA==",{spec}}}}}"#
        )
    };
    let unknown: Vec<String> = (0..60_000).map(|n| format!(r#""u{n}":0"#)).collect();
    let labels: Vec<String> = (0..150_000).map(|n| format!(r#""a b{n}":"""#)).collect();
    let aliases: Vec<String> =
        (1..30).map(|n| format!("a{n}: &a{n} [*a{m},*a{m},*a{m}]\n", m = n - 1)).collect();
    let bomb = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\na0: &a0 x\n{}",
        aliases.concat()
    );
    let deep = format!("apiVersion: v1\nkind: ConfigMap\nx: {}", "[".repeat(100_000));
    let entries: Vec<String> = (0..20_000)
        .map(|n| format!(r#"{{"manager":"m{n}","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{{"f:data":{{"f:x":{{}}}}}}}}"#))
        .collect();
    let data: Vec<String> = (0..60_000).map(|n| format!(r#""d{n}":"""#)).collect();
    let zipped = "\u{1f}\u{8b}\u{8}\0\0\0\0\0\0\u{3}";

    let create = ("POST", CONFIG_MAPS, JSON);
    let csr = ("POST", REQUESTS, JSON);
    let apply = ("PATCH", "/api/v1/namespaces/default/configmaps/y?fieldManager=m", APPLY);
    let cases: Vec<Case<'_>> = vec![
        // Half a million values under one name of 700 kB, whose place is not written down each time.
        ("long name", csr, request(&format!(r#""usages":["client auth"],"extra":{{"{long}":[{}]}}"#, many(300_000, r#""""#))), 422),
        ("usages", csr, request(&format!(r#""usages":[{},{}]"#, many(200_000, r#""x""#), many(200_000, r#""any""#))), 422),
        ("unknown fields", create, map(&format!(",{}", unknown.join(","))), 201),
        ("one long unknown field", create, map(&format!(r#","{long}":0"#)), 409),
        ("labels", create, map("").replace(r#""name":"a""#, &format!(r#""name":"b","labels":{{{}}}"#, labels.join(","))), 422),
        ("many small objects", create, map(&format!(r#","x":[{}]"#, many(400_000, r#"{"":0}"#))), 409),
        ("managed fields", create, map(&format!(r#","data":{{{}}}"#, data.join(","))).replace(r#""name":"a""#, &format!(r#""name":"m","managedFields":[{}]"#, entries.join(","))), 201),
        ("aliases", apply, bomb, 400),
        ("deep YAML", apply, deep, 400),
        ("gzip", create, zipped.to_owned(), 400),
        ("control characters", csr, request(r#""usages":["client auth"]"#).replace(r#""name":"a""#, r#""name":"a\n\u0000b""#), 422),
        ("data of another type", ("POST", SECRETS, JSON), r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"data":"x","stringData":{"a":"b"}}"#.to_owned(), 400),
    ];
    for (what, (method, path, content), body, status) in cases {
        let (sent, length) = (std::time::Instant::now(), body.len());
        let answer = victim.meanwhile(admin.send(method, path, content, body)).await;
        eprintln!("{what}: {length} bytes, {} after {:?}", answer.status, sent.elapsed());
        assert_eq!(answer.status, status, "{what}: {:.400}", String::from_utf8_lossy(&answer.body));
        assert!(answer.headers.get_all("warning").iter().count() <= 50, "{what}");
        assert!(answer.headers.values().all(|value| value.len() < 1000), "{what}");
        if status == 422 {
            let told = answer.json()["details"]["causes"].as_array().unwrap().len();
            assert!(told <= 200 && answer.body.len() < 1 << 20, "{what}: {told}");
        }
    }
    // Of a body of 3 MiB, at two places at a time.
    let (_, most) = victim.memory();
    assert!(most < 1536, "{most} MiB");
    let said = victim.log();
    assert!(!said.contains("panic") && !said.contains("ERROR"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_do_not_blow_up() {
    let victim = Victim::start().await;
    let admin = &victim.admin;
    let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    admin.post(DEFINITIONS, &definition("frees", &free)).await.is(201);
    let path = "/apis/hostile.example/v1/frees";
    let mut object =
        json!({"apiVersion": "hostile.example/v1", "kind": "Kfrees", "metadata": {"name": "a"}});
    object["spec"] = json!({"list": vec![0; 1_000_000], "x": "x".repeat(1000), "map": {}});
    admin.post(path, &object).await.is(201);
    let one = format!("{path}/a");
    let patches = [
        ("copies", json!({"op": "copy", "from": "/spec", "path": "/spec/map/x"}), 30),
        ("prepends", json!({"op": "add", "path": "/spec/list/0", "value": 1}), 10_000),
        ("moves", json!({"op": "move", "from": "/spec/list", "path": "/spec/list"}), 10_000),
    ];
    for (what, operation, times) in patches {
        let body = Value::Array(vec![operation; times]).to_string();
        let answer = victim.meanwhile(admin.send("PATCH", &one, JSON_PATCH, body)).await;
        assert_eq!(answer.status, 413, "{what}");
    }
    // Conflicts about a hundred thousand fields below one long name.
    let fields: serde_json::Map<String, Value> =
        (0..100_000).map(|n| (format!("f{n}"), json!(1))).collect();
    let wanted = |value: u8| {
        let text = serde_json::to_string(&fields).unwrap().replace(":1", &format!(":{value}"));
        let long = "k".repeat(500_000);
        format!(
            r#"{{"apiVersion":"hostile.example/v1","kind":"Kfrees","metadata":{{"name":"b"}},"spec":{{"{long}":{text}}}}}"#
        )
    };
    let apply = |manager: &str, value| {
        let path = format!("{path}/b?fieldManager={manager}");
        async move { admin.send("PATCH", &path, APPLY, wanted(value)).await }
    };
    victim.meanwhile(apply("one", 1)).await.is(201);
    let conflict = victim.meanwhile(apply("two", 2)).await.is(409);
    assert!(conflict.body.len() < 2 << 20, "{}", conflict.body.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_are_bounded_too() {
    let victim = Victim::start().await;
    let admin = &victim.admin;
    let string = |pattern: String| json!({"type": "string", "pattern": pattern});
    let mut nested = json!({"type": "object"});
    for _ in 0..5 {
        let item = json!({"type": "object", "properties": {"x": {
            "type": "array", "items": nested, "default": vec![json!({}); 100],
        }}});
        nested = item;
    }
    let properties: serde_json::Map<String, Value> =
        (0..10_000).map(|n| (format!("p{n}"), string(format!("^[a-z]{{{}}}$", n % 9)))).collect();
    let rule =
        |rule: String| json!({"type": "string", "x-kubernetes-validations": [{"rule": rule}]});
    let elements = |rule: &str| {
        json!({
            "type": "array", "items": {"type": "integer"}, "x-kubernetes-validations": [{"rule": rule}],
        })
    };
    let cases = [
        ("regexes", string("((a{0,1000}){0,1000}){0,1000}".to_owned()), 422),
        ("defaults", nested, 422),
        ("properties", json!({"type": "object", "properties": properties}), 201),
        ("nots", rule("!".repeat(16_000) + "true"), 201),
        ("members", rule(format!("self{}", ".a".repeat(8000))), 422),
        ("conditions", rule(format!("{}true{}", "true?".repeat(1500), ":true".repeat(1500))), 422),
        ("loops", elements("self.all(a, self.all(b, self.all(c, a + b + c > 0)))"), 201),
    ];
    for (plural, spec, status) in cases {
        let answer = victim.meanwhile(admin.post(DEFINITIONS, &definition(plural, &spec))).await;
        assert_eq!(
            answer.status,
            status,
            "{plural}: {:.600}",
            String::from_utf8_lossy(&answer.body)
        );
    }
    let object = json!({
        "apiVersion": "hostile.example/v1", "kind": "Kloops", "metadata": {"name": "a"},
        "spec": vec![1; 10_000],
    });
    let answer =
        victim.meanwhile(admin.post("/apis/hostile.example/v1/loops", &object)).await.is(422);
    assert!(String::from_utf8_lossy(&answer.body).contains("cost budget"));
    assert!(victim.memory().1 < 1024, "{:?}", victim.memory());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_cost_little() {
    let victim = Victim::start().await;
    let admin = &victim.admin;
    let mut sender = admin.http1().await;
    for n in 0..500 {
        sender.ready().await.unwrap();
        let body = config_map(&format!("c{n}")).to_string();
        let answer =
            sender.send_request(request("POST", CONFIG_MAPS, JSON, body.into())).await.unwrap();
        whole(answer).await.is(201);
    }
    let all = |one: fn(usize) -> String| (0..8000).map(one).collect::<Vec<_>>().join(",");
    let selectors = [
        format!("labelSelector=a+in+({})", all(|n| format!("v{n}"))),
        format!("labelSelector={}", all(|n| format!("!k{n}"))),
        format!("fieldSelector={}", vec!["metadata.name!=x"; 3000].join(",")),
    ];
    for selector in selectors {
        for kind in ["", "&limit=500", "&watch=1&timeoutSeconds=1"] {
            let path = format!("{CONFIG_MAPS}?{selector}{kind}");
            victim.meanwhile(admin.send("GET", &path, "", "")).await.is(200);
        }
    }
    for path in
        ["/api/v1/namespaces/default/configmaps/a%00", "/api/v1/namespaces/de%2ffault/configmaps"]
    {
        admin.send("GET", path, "", "").await.is(404);
    }
    // A token that somebody made up.
    let token = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        r#"{"v":"meta.k8s.io/v1","rv":100,"start":"zzz"}"#,
    );
    for limit in ["", "&limit=5"] {
        let path = format!("{CONFIG_MAPS}?continue={token}{limit}");
        let answer = admin.send("GET", &path, "", "").await.is(200);
        assert_eq!(answer.json()["items"], json!([]));
    }
}
