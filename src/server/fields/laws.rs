//! Laws that hold for any objects and sets.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::tests::{VERSION, at, host, schema};
use super::*;

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..3i64).prop_map(Value::from),
        (-3..3i32).prop_map(|n| json!(f64::from(n) / 2.0)),
        "[a-c$.:\"é]{0,2}".prop_map(Value::from),
    ]
}

/// Any JSON, with names that mean something here often among its keys.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        proptest::sample::select(vec![
            "apiVersion",
            "kind",
            "metadata",
            "spec",
            "status",
            "name",
            "labels",
            "managedFields",
            "finalizers",
            "ownerReferences",
            "uid",
            "manager",
            "operation",
            "fieldsV1",
            "cpu",
            "nics",
            "tags",
            "dns",
            "raw",
            "limits",
            "extra",
            "ports",
            "port",
            "$patch",
            "conditions",
        ])
        .prop_map(str::to_owned),
        "[a-c.:]{0,2}",
    ];
    scalar().prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// What the schema allows under `spec`.
fn any_spec() -> impl Strategy<Value = Value> {
    let letter = || "[a-c]";
    let map = |values| prop::collection::btree_map("[a-c]", values, 0..3);
    let nic = (letter(), prop::option::of(letter()), prop::option::of(0..3i64)).prop_map(
        |(name, mac, mtu)| {
            let mut nic = json!({"name": name});
            if let Some(mac) = mac {
                nic["mac"] = json!(mac);
            }
            if let Some(mtu) = mtu {
                nic["mtu"] = json!(mtu);
            }
            (name, nic)
        },
    );
    let fields: Vec<BoxedStrategy<(&'static str, Value)>> = vec![
        (0..3i64).prop_map(|n| ("cpu", json!(n))).boxed(),
        letter().prop_map(|s| ("region", json!(s))).boxed(),
        scalar().prop_map(|s| ("port", s)).boxed(),
        prop::collection::btree_set(letter(), 0..3).prop_map(|s| ("tags", json!(s))).boxed(),
        prop::collection::vec(letter(), 0..3).prop_map(|s| ("dns", json!(s))).boxed(),
        map(letter().boxed()).prop_map(|m| ("raw", json!(m))).boxed(),
        map(letter().boxed()).prop_map(|m| ("limits", json!(m))).boxed(),
        prop::collection::vec(nic, 0..3)
            .prop_map(|nics| {
                let mut seen = BTreeSet::new();
                let nics: Vec<_> = nics
                    .into_iter()
                    .filter(|(name, _)| seen.insert(name.clone()))
                    .map(|(_, n)| n)
                    .collect();
                ("nics", json!(nics))
            })
            .boxed(),
        prop::collection::btree_map("[a-c]", any_json(), 0..3)
            .prop_map(|v| ("extra", json!(v)))
            .boxed(),
    ];
    prop::collection::vec(proptest::strategy::Union::new(fields), 0..6).prop_map(|fields| {
        Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
    })
}

fn any_set() -> impl Strategy<Value = Set> {
    let element = prop_oneof![
        "[a-c]".prop_map(|name| Element::field(&name)),
        scalar().prop_map(|value| Element::value(&value)),
        scalar().prop_map(|v| Element::key(Map::from_iter([("name".to_owned(), v)]))),
    ];
    let path = prop::collection::vec(element, 1..4);
    prop::collection::vec(path, 0..8).prop_map(|paths| {
        let mut set = Set::default();
        for path in paths {
            set = set.union(&path.into_iter().rev().fold(Set::leaf(), |child, element| Set {
                here: false,
                children: [(element, child)].into(),
            }));
        }
        set
    })
}

fn apply_as(live: Option<&Value>, who: &str, config: &Value) -> Value {
    apply(live, config, &schema(), &at(who, 0), true).unwrap()
}

/// The order of elements of sets and list maps is not part of what they are.
fn sorted(mut spec: Value) -> Value {
    for name in ["tags", "nics"] {
        if let Some(list) = spec.get_mut(name).and_then(Value::as_array_mut) {
            list.sort_by_key(Value::to_string);
        }
    }
    spec
}

proptest! {
    #[test]
    fn fields_v1_round_trip(set in any_set()) {
        let json = set.clone().into_fields_v1();
        prop_assert_eq!(Set::from_fields_v1(json.clone()).unwrap(), set);
        // Canonical as text too.
        let text = json.to_string();
        let again = Set::from_fields_v1(serde_json::from_str(&text).unwrap()).unwrap();
        prop_assert_eq!(again.into_fields_v1().to_string(), text);
    }

    #[test]
    fn set_algebra(a in any_set(), b in any_set(), c in any_set()) {
        prop_assert_eq!(a.clone().union(&b), b.clone().union(&a));
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.clone().union(&a), a.clone());
        prop_assert_eq!(a.intersection(&a), a.clone());
        prop_assert!(a.difference(&a).is_empty());
        prop_assert_eq!(a.clone().union(&b).union(&c), a.clone().union(&b.clone().union(&c)));
        prop_assert_eq!(
            a.intersection(&b.clone().union(&c)),
            a.intersection(&b).union(&a.intersection(&c))
        );
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        let count = |set: &Set| set.paths().len();
        prop_assert_eq!(count(&a.clone().union(&b)) + count(&a.intersection(&b)), count(&a) + count(&b));
    }

    #[test]
    fn applying_twice_is_applying_once(first in any_spec(), other in any_spec(), config in any_spec()) {
        let live = apply_as(None, "one", &host(first));
        let live = apply_as(Some(&live), "two", &host(other));
        let once = apply_as(Some(&live), "one", &host(config.clone()));
        let twice = apply_as(Some(&once), "one", &host(config));
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn what_is_applied_is_there(first in any_spec(), config in any_spec()) {
        let live = apply_as(None, "one", &host(first));
        let after = apply_as(Some(&live), "one", &host(config.clone()));
        // A sole manager gets what it asked for. (Null leaves an object that it empties.)
        prop_assume!(!config.to_string().contains("null"));
        prop_assert_eq!(sorted(after["spec"].clone()), sorted(config));
    }

    #[test]
    fn disjoint_applies_commute(live in any_spec(), spec in any_spec(), mine in any::<u16>()) {
        let (mut a, mut b) = (Map::new(), Map::new());
        for (i, (name, value)) in spec.as_object().unwrap().clone().into_iter().enumerate() {
            if mine >> (i % 16) & 1 == 1 { a.insert(name, value); } else { b.insert(name, value); }
        }
        let (a, b) = (host(a.into()), host(b.into()));
        let live = apply_as(None, "zero", &host(live));
        let ab = apply_as(Some(&apply_as(Some(&live), "a", &a)), "b", &b);
        let ba = apply_as(Some(&apply_as(Some(&live), "b", &b)), "a", &a);
        prop_assert_eq!(ab, ba);
    }

    #[test]
    fn updates_leave_consistent_owners(before in any_spec(), after in any_spec()) {
        let mut live = host(before);
        record_update(None, &mut live, &schema(), &at("one", 0));
        let mut new = host(after);
        record_update(Some(&live), &mut new, &schema(), &at("two", 1));
        // Together they own what is there; each field has one owner.
        let entries = new["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        let sets: Vec<Set> =
            entries.iter().map(|e| Set::from_fields_v1(e["fieldsV1"].clone()).unwrap()).collect();
        let all = sets.iter().fold(Set::default(), Set::union);
        prop_assert_eq!(all.paths().len(), sets.iter().map(|s| s.paths().len()).sum::<usize>());
        let there = own_only(Type::resource(&schema()).fields(&new));
        prop_assert!(there.difference(&all).is_empty(), "{:?}", there.difference(&all).paths());
    }

    #[test]
    fn nothing_panics(live in any_json(), config in any_json(), spec in any_json(), force in any::<bool>()) {
        for schema in [schema(), Schema::default()] {
            let _ = apply(Some(&live), &config, &schema, &at("one", 0), force);
            let mut named = host(spec.clone());
            if let Some(metadata) = live.get("metadata") {
                named["metadata"] = metadata.clone();
            }
            named["apiVersion"] = json!(VERSION);
            let _ = apply(Some(&live), &named, &schema, &at("one", 0), force);
            let mut new = config.clone();
            record_update(Some(&live), &mut new, &schema, &at("one", 0));
            let _ = apply(Some(&new), &named, &schema, &at("two", 0), force);
            let _ = unchanged(&live, &config);
        }
    }
}
