use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::server::status::Cause;

fn schema(raw: Value) -> Schema {
    structural::read(&raw, "s").unwrap()
}

fn crd(name: &str) -> Value {
    let path = format!("{}/crds/{name}.yaml", "/work/wt/schema");
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn own() {
    for name in ["hosts", "clusters", "regions", "sources"] {
        let crd = crd(name);
        let raw = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        println!("{name} {:?}", structural::read(raw, "s").err());
    }
    let s = schema(json!({"type":"object","properties":{"spec":{"type":"object","properties":{"m":{"x-kubernetes-int-or-string":true}},
      "x-kubernetes-validations":[{"rule":"type(self.m) == int ? self.m >= 1 : self.m.matches('^a$')"}]}}}));
    println!("{:?}", validate(&s, &json!({"spec":{"m":0}}), None));
    println!("{:?}", validate(&s, &json!({"spec":{"m":"a"}}), None));
    println!("{:?}", validate(&s, &json!({"spec":{"m":"b"}}), None));
}
