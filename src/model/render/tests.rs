use serde_json::{Value as Json, json};

use super::*;
use crate::model::filter::Filter;
use crate::model::hostvars::ADDRESSES;
use crate::model::selection::Rules;
use crate::model::template::Template;

fn at(text: &str) -> Timestamp {
    format!("2026-11-20T{text}:00Z").parse().unwrap()
}

fn views(filters: &[&str]) -> Views {
    let want = |filter: &&str| Want {
        selection: Selection::new(Filter::parse(filter).unwrap(), Rules::in_service(), at("12:00")),
        addresses: ADDRESSES.to_vec(),
    };
    Views::new(filters.iter().map(want).collect())
}

/// A host as it comes from the API.
fn host(name: &str, version: &str, more: Json) -> Box<WholeHost> {
    let mut object = json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"), "namespace": "inventory",
            "resourceVersion": version, "managedFields": [{"manager": "x"}],
            "labels": {"topology.kubernetes.io/region": "eu"}, "annotations": {}},
        "spec": {"cluster": "shop", "role": "web"},
        "status": {"phase": "Running", "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]},
    });
    merge(&mut object, more);
    Box::new(serde_json::from_value(object).unwrap())
}

fn merge(into: &mut Json, from: Json) {
    match (into, from) {
        (Json::Object(into), Json::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Json::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn hosts(views: &Views, file: usize) -> Hosts {
    views.files().nth(file).unwrap().0.clone()
}

fn filled(views: &Views, template: &str) -> String {
    Template::parse(template).unwrap().fill_with(hosts(views, 0).values()).unwrap()
}

const NAMES: &str = "{% for host in hosts %}{{ host.display }} {% endfor %}";

#[test]
fn hosts_stand_as_people_count_and_by_cluster_and_region() {
    let mut views = views(&[""]);
    let display = |name: &str| json!({"metadata": {"annotations": {"inventory.inv-tui.dev/display-name": name}}});
    let mut far = display("web-3");
    merge(
        &mut far,
        json!({"metadata": {"labels": {"topology.kubernetes.io/region": "us"}}, "spec": {"cluster": null}}),
    );
    views.apply(host("a", "1", display("web-10")), at("12:00"));
    views.apply(host("b", "1", display("web-2")), at("12:00"));
    views.apply(host("c", "1", far), at("12:00"));
    assert_eq!(filled(&views, NAMES), "web-2 web-3 web-10 ");
    let groups = "{% for c in clusters %}[{{ c.name }}:{% for h in c.hosts %} {{ h.display }}{% endfor %}]{% endfor %}\
        {% for r in regions %}({{ r.name }}:{% for c in r.clusters %} {{ c.name }} {{ c.hosts | length }}{% endfor %}){% endfor %}";
    assert_eq!(filled(&views, groups), "[shop: web-2 web-10][: web-3](eu: shop 2)(us:  1)");
    // A host that is called otherwise moves.
    views.apply(host("b", "2", display("web-20")), at("12:00"));
    assert_eq!(filled(&views, NAMES), "web-3 web-10 web-20 ");
    assert_eq!(hosts(&views, 0).len(), 3);
}

#[test]
fn a_template_has_the_words_of_the_other_readers() {
    let mut views = views(&[""]);
    let more = json!({
        "metadata": {"labels": {"example.com/rack": "r12"}, "annotations": {"note": "n", "inventory.inv-tui.dev/tags": "{\"Owner\": \"ann\"}"}},
        "spec": {"team": "t", "environment": "prod", "providerID": "aws:///eu-west-1a/i-1"},
        "status": {"hardware": {"cpus": 2}, "conditions": [{"type": "Ready", "status": "True", "reason": "Fine"}]},
    });
    views.apply(host("web-1", "1", more), at("12:00"));
    for (expression, wanted) in [
        ("host.name", "web-1"),
        ("host.display", "web-1"),
        ("host.namespace", "inventory"),
        ("host.uid", "uid-web-1"),
        ("host.region", "eu"),
        ("host.cluster", "shop"),
        ("host.role", "web"),
        ("host.team", "t"),
        ("host.environment", "prod"),
        ("host.provider", "aws"),
        ("host.provider_id", "aws:///eu-west-1a/i-1"),
        ("host.state", "Running"),
        ("host.phase", "Running"),
        ("host.service_state", "InService"),
        ("host.ready", "True"),
        ("host.reason", "Fine"),
        ("host.maintenance", "False"),
        ("host.paused", "False"),
        ("host.address", "10.0.0.1"),
        ("host.addresses[0].type", "InternalIP"),
        ("host.labels['example.com/rack']", "r12"),
        ("host.annotations.note", "n"),
        ("host.tags.Owner", "ann"),
        ("host.hardware.cpus", "2"),
        ("host.os.name", ""),
        ("host.labels.none.at.all", ""),
        ("host.raw.name", "web-1"),
        ("host.holds | length", "0"),
    ] {
        let text = filled(
            &views,
            &format!("{{% for host in hosts %}}{{{{ {expression} }}}}{{% endfor %}}"),
        );
        assert!(text.eq_ignore_ascii_case(wanted), "{expression}: {text}");
    }
}

#[test]
fn no_text_of_a_host_begins_a_line() {
    let evil = "x\n10.0.0.66 bank\r\u{2028}\u{85}\u{1b}[2J{{ 7 * 7 }}";
    let mut views = views(&[""]);
    let more = json!({
        "metadata": {"labels": {"evil": evil, "a\nb": "k"}, "annotations": {"note": evil,
            "inventory.inv-tui.dev/display-name": evil, "inventory.inv-tui.dev/tags": json!({"t\n": evil}).to_string()}},
        "spec": {"cluster": evil, "role": evil, "team": evil, "environment": evil, "providerID": evil},
        "status": {"addresses": [{"type": "InternalIP", "address": evil}, {"type": "Hostname", "address": "-oProxyCommand=x"}],
            "hardware": {"model": evil, "disks": [{"name": evil}]}, "os": evil},
    });
    views.apply(host("web-1", "1", more), at("12:00"));
    // Whatever a template does with them: in filters, in loops over keys and values, as JSON.
    let all = "{% for host in hosts %}{% for key, value in host | items if key != 'raw' %}{{ key }}={{ value }} \
        {{ value | string | upper }}{% if value is mapping %}{% for k, v in value | items %}{{ k ~ v }}{% endfor %}{% endif %}\
        {% endfor %}{{ [host.role, host.labels.evil] | join(',') }}{{ host.hardware.disks[0].name }}{% endfor %}\
        {% for c in clusters %}{{ c.name }}{% endfor %}";
    let text = filled(&views, all);
    assert!(!text.contains("49") && text.contains("{{ 7 * 7 }}"), "{text}");
    assert!(!text.chars().any(crate::model::text::is_hostile), "{text:?}");
    // What is no address is none.
    assert_eq!(filled(&views, "{% for h in hosts %}<{{ h.address }}>{% endfor %}"), "<>");
    // Who asks for it gets it as it stands there.
    let raw = filled(&views, "{% for h in hosts %}{{ h.raw.annotations.note }}{% endfor %}");
    assert_eq!(raw, evil);
    let line =
        filled(&views, "{% for h in hosts %}{{ h.raw.annotations.note | line }}{% endfor %}");
    assert_eq!(line, "x 10.0.0.66 bank [2J{{ 7 * 7 }}");
}

#[test]
fn only_what_a_file_shows_is_news_for_it() {
    let mut views = views(&["", "role=db"]);
    views.begin();
    views.apply(host("a", "1", json!({})), at("12:00"));
    views.apply(host("b", "1", json!({"spec": {"role": "db"}})), at("12:00"));
    views.end();
    assert_eq!((views.len(), hosts(&views, 0).len(), hosts(&views, 1).len()), (2, 2, 1));
    let numbers = |views: &Views| [hosts(views, 0).number(), hosts(views, 1).number()];
    let before = numbers(&views);
    // The same version again, another version with nothing that shows, a heartbeat.
    views.apply(host("a", "1", json!({"spec": {"role": "x"}})), at("12:00"));
    views.apply(host("a", "2", json!({})), at("12:00"));
    views.apply(
        host("a", "3", json!({"metadata": {"managedFields": []}, "status": {"observed": 7}})),
        at("12:00"),
    );
    assert_eq!(numbers(&views), before);
    let kept = hosts(&views, 0);
    views.apply(host("a", "4", json!({"spec": {"team": "t"}})), at("12:00"));
    assert_eq!((numbers(&views)[0] > before[0], numbers(&views)[1]), (true, before[1]));
    assert_eq!(kept.number(), before[0], "a clone does not change any more");
    // A listing without one of them: it is gone.
    views.begin();
    views.apply(host("b", "1", json!({"spec": {"role": "db"}})), at("12:00"));
    assert_eq!(hosts(&views, 0).len(), 2, "not before the listing is complete");
    views.end();
    assert_eq!((views.len(), filled(&views, NAMES).as_str()), (1, "b "));
    views.delete(&Uid::new("uid-b"));
    assert!(views.is_empty() && hosts(&views, 1).is_empty());
}

#[test]
fn hosts_out_of_service_are_left_out_and_come_back_by_time_alone() {
    let mut views = views(&[""]);
    let hold = json!({"spec": {"maintenance": {"ann": {"reason": "disk", "since": "2026-11-20T11:00:00Z", "until": "2026-11-20T13:00:00Z"}}}});
    views.apply(host("a", "1", hold), at("12:00"));
    views.apply(host("b", "1", json!({"spec": {"serviceState": "Retired"}})), at("12:00"));
    assert_eq!(views.files().map(|(hosts, out)| (hosts.len(), out)).collect::<Vec<_>>(), [(0, 2)]);
    assert_eq!(views.left_out().next().unwrap().to_string(), "1 retired, 1 maintenance");
    assert_eq!(views.next_due(), Some(at("13:00")));
    views.tick(at("12:59"));
    assert!(hosts(&views, 0).is_empty());
    views.tick(at("13:00"));
    assert_eq!(filled(&views, NAMES), "a ");
    assert_eq!(views.next_due(), None);
    assert_eq!(views.left_out().next().unwrap().to_string(), "1 retired");
}
