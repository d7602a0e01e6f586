//! Completion, history and pin of the filter, facets, saved views, the frozen display, the last
//! known fleet.

use super::*;
use crate::config::views::{Edit, KnownView, SavedView};
use crate::model::record::HostRecord;
use crate::store::last::LastEvent;
use crate::ui::app::last::Keep;

fn items(model: &Model) -> Vec<(&str, Option<usize>)> {
    let items = model.filter.completion.items.iter();
    items.map(|one| (one.text.as_str(), one.count)).collect()
}

/// The fleet with roles and two environments.
fn varied() -> Model {
    let mut hosts = hosts();
    for (number, host) in hosts.iter_mut().enumerate() {
        let labels = &mut host["metadata"]["labels"];
        labels["role"] = json!(["web", "db", "cache dir"][number % 3]);
        if number < 2 {
            labels["inventory.inv-tui.dev/environment"] = json!("prod");
        }
    }
    crate::ui::testing::with_hosts(empty(120, 30), hosts)
}

#[test]
fn keys_and_values_complete_with_counts() {
    let mut model = varied();
    press(&mut model, "/envi");
    assert_eq!(items(&model), [("environment=", Some(9))]);
    press(&mut model, "<right>");
    assert_eq!(model.filter.input.text(), "environment=");
    assert_eq!(items(&model), [("test", Some(7)), ("prod", Some(2))]);
    assert!(screen(&model).contains("prod"), "{}", screen(&model));
    // Choosing puts it into the line, and the filter follows; esc brings back what was typed.
    press(&mut model, "<tab><tab>");
    assert_eq!(model.filter.input.text(), "environment=prod");
    assert_eq!(model.inventory.matched(), 2);
    press(&mut model, "<esc>");
    assert_eq!(model.filter.input.text(), "environment=");
    assert_eq!(model.overlay, Overlay::Filter);
    press(&mut model, "<tab><enter>");
    assert_eq!((model.filter.input.text(), model.inventory.matched()), ("environment=test", 7));
    assert_eq!(model.overlay, Overlay::None);
}

#[test]
fn a_key_alone_is_no_filter_and_enter_goes_on_to_its_values() {
    let mut model = varied();
    press(&mut model, "/db<enter>/ rol<down>");
    assert_eq!(model.filter.input.text(), "db role=");
    assert!(model.filter.error.is_none());
    press(&mut model, "<enter>");
    assert_eq!(model.overlay, Overlay::Filter);
    // What a filter cannot have without quotes gets them.
    assert!(items(&model).contains(&("\"cache dir\"", Some(3))), "{:?}", items(&model));
    press(&mut model, "cac<right><enter>");
    assert_eq!(model.filter.input.text(), "db role=\"cache dir\"");
    assert_eq!(model.overlay, Overlay::None);
}

#[test]
fn tab_on_an_empty_line_shows_what_there_is() {
    let mut model = varied();
    press(&mut model, "/");
    assert!(items(&model).is_empty());
    press(&mut model, "<tab>");
    assert!(items(&model).iter().any(|(text, _)| *text == "region:"));
    press(&mut model, "<esc>state:<backtab>");
    assert!(items(&model).contains(&("running", Some(9))), "{:?}", items(&model));
    assert_eq!(items(&model)[0].0, "inservice");
}

#[test]
fn what_is_expected_stands_behind_the_error() {
    let mut model = varied();
    press(&mut model, "/db ip:x");
    let text = screen(&model);
    assert!(text.contains("^ ") && text.contains("expected: 10.2.0.0/16"), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    let (line, caret) = (lines[1], lines[2].find('^').unwrap());
    assert_eq!(&line[caret..=caret], "x", "{text}");
}

#[test]
fn filters_that_were_typed_come_back() {
    let mut model = varied();
    assert_eq!(press(&mut model, "/"), [Command::ReadFilters]);
    send(&mut model, Msg::Filters(vec!["web".into(), "env=prod".into()]));
    press(&mut model, "<up>");
    assert_eq!(model.filter.input.text(), "web");
    press(&mut model, "<up><up>");
    assert_eq!((model.filter.input.text(), model.inventory.matched()), ("env=prod", 2));
    press(&mut model, "<down><down>");
    assert_eq!(model.filter.input.text(), "");
    let commands = press(&mut model, "db<enter>");
    assert!(commands.contains(&Command::KeepFilter("db".into())), "{commands:?}");
    press(&mut model, "0/<up>");
    assert_eq!(model.filter.input.text(), "db");
    // A filter that was wrong is not remembered.
    let commands = press(&mut model, "<esc>/a (<enter>");
    assert!(!commands.iter().any(|c| matches!(c, Command::KeepFilter(_))), "{commands:?}");
}

#[test]
fn a_pin_stays_whatever_else_is_chosen() {
    let mut model = varied();
    press(&mut model, "<ctrl-p>");
    assert!(screen(&model).contains("nothing is filtered"));
    press(&mut model, "/env=prod<enter><ctrl-p>");
    assert_eq!((model.filter.pinned.as_str(), model.inventory.matched()), ("env=prod", 2));
    press(&mut model, "/role=db<enter>");
    assert_eq!(model.inventory.matched(), 1);
    for keys in ["0", "vm", "vf", "<esc>", "<esc>"] {
        press(&mut model, keys);
        assert_eq!(model.filter.pinned, "env=prod", "{keys}");
        assert_eq!(model.inventory.matched(), 2, "{keys}");
        assert!(screen(&model).contains("pinned: env=prod"), "{}", screen(&model));
    }
    press(&mut model, "<ctrl-p>");
    assert_eq!((model.filter.pinned.as_str(), model.filter.input.text()), ("", "env=prod"));
    press(&mut model, "0");
    assert_eq!(model.inventory.matched(), 9);
}

#[test]
fn facets_go_into_the_filter_and_out_of_it() {
    let mut model = varied();
    press(&mut model, "f");
    let text = screen(&model);
    assert!(
        text.contains("Facets") && text.contains("environment") && text.contains("running"),
        "{text}"
    );
    // To the values of environment: test, prod.
    let at = |model: &Model, value: &str| {
        let lines = model.facet_lines();
        let wanted = lines
            .iter()
            .position(|line| matches!(line, facets::FacetLine::Value(_, v, ..) if *v == value));
        (wanted.unwrap(), model.facet_place(&lines))
    };
    let (wanted, _) = at(&model, "prod");
    press(&mut model, &format!("gg{wanted}j<space>"));
    assert_eq!((model.filter.input.text(), model.inventory.matched()), ("environment=prod", 2));
    let (prod, here) = at(&model, "prod");
    assert_eq!(prod, here, "the cursor stays on its value");
    // The other values are still there, with what they would add.
    let (second, _) = at(&model, "test");
    press(&mut model, &format!("gg{second}j<enter>"));
    assert_eq!(model.inventory.matched(), 9);
    assert_eq!(model.filter.input.text(), "environment in (prod,test)");
    press(&mut model, "<space>");
    assert_eq!(model.filter.input.text(), "environment=prod");
    // Counts follow the hosts at the next tick.
    let mut more = host(50, "db-new", "eu-west-1", "db");
    more["metadata"]["labels"]["inventory.inv-tui.dev/environment"] = json!("prod");
    fleet_event(&mut model, apply(more));
    send(&mut model, Msg::Tick(jiff::Timestamp::from_second(NOW + 1).unwrap()));
    let lines = model.facet_lines();
    assert!(lines.iter().any(|line| matches!(line, facets::FacetLine::Value(_, "prod", 3, true))));
    // Tab goes round the panes, f closes this one.
    press(&mut model, "<tab>");
    assert_eq!(model.pane, Pane::Tree);
    press(&mut model, "<tab>");
    assert_eq!(model.pane, Pane::Detail);
    press(&mut model, "<tab>");
    assert_eq!(model.pane, Pane::Facets);
    press(&mut model, "f");
    assert!(!model.facets.open && model.pane == Pane::Tree);
    assert_eq!(model.filter.input.text(), "environment=prod");
}

#[test]
fn facets_on_every_size_of_screen() {
    for (width, height) in [(20, 5), (40, 10), (80, 24), (120, 35), (160, 40)] {
        let mut model = varied();
        send(&mut model, Msg::Resize(width, height));
        press(&mut model, "fG<space>ggjj<space>");
        assert!(screen(&model).contains("Facets"), "{width}x{height}\n{}", screen(&model));
        press(&mut model, "<tab><tab><tab>f");
        assert!(!screen(&model).contains("Facets"), "{}", screen(&model));
    }
}

fn saved(name: &str, key: u8, filter: &str) -> KnownView {
    let view = SavedView {
        name: name.into(),
        key: Some(key),
        filter: filter.into(),
        ..SavedView::default()
    };
    KnownView { view, shared: None }
}

fn with_views() -> Model {
    let mut model = varied();
    model.saved.known = vec![saved("prod", 1, "env=prod"), saved("dbs", 2, "role=db")];
    model
}

#[test]
fn a_digit_is_a_view_or_a_count() {
    let mut model = with_views();
    press(&mut model, "zRgg2j");
    assert_eq!(model.inventory.matched(), 9, "a count");
    press(&mut model, "2");
    assert!(screen(&model).contains("view dbs, or a count: 2j"), "{}", screen(&model));
    send(&mut model, Msg::Pause);
    assert_eq!((model.filter.input.text(), model.inventory.matched()), ("role=db", 3));
    assert!(screen(&model).lines().next().unwrap().contains("dbs"), "{}", screen(&model));
    press(&mut model, "1<enter>");
    assert_eq!(model.filter.input.text(), "env=prod");
    // A digit without a view is a count, however long it takes; so is a number.
    press(&mut model, "3");
    assert!(model.pending_view().is_none());
    send(&mut model, Msg::Pause);
    assert_eq!(model.pending.count, Some(3));
    press(&mut model, "<esc>12");
    assert!(model.pending_view().is_none());
    press(&mut model, "<esc>0");
    assert_eq!(model.inventory.matched(), 9);
    assert!(model.shown_view().is_none());
}

#[test]
fn what_is_shown_is_saved_and_taken_out_again() {
    let mut model = with_views();
    press(&mut model, "/role=web<enter>:save-view<enter>");
    assert!(screen(&model).contains("save this view"), "{}", screen(&model));
    let commands = press(&mut model, "<enter>");
    assert!(commands.is_empty() && screen(&model).contains("1 to 64 characters"));
    let commands = press(&mut model, "webs<tab><enter>");
    let [Command::EditViews(Edit::Put(view))] = commands.as_slice() else { panic!("{commands:?}") };
    assert_eq!((view.name.as_str(), view.key, view.filter.as_str()), ("webs", Some(4), "role=web"));
    let own = vec![saved("prod", 1, "env=prod").view, (**view).clone()];
    send(&mut model, Msg::ViewsEdited(Ok(own)));
    assert_eq!(model.shown_view().map(|view| view.name.as_str()), Some("webs"));
    press(&mut model, "vv");
    assert!(screen(&model).contains("saved views") && screen(&model).contains("role=web"));
    let commands = press(&mut model, "d");
    assert!(commands.is_empty() && screen(&model).contains("y removes it"), "{}", screen(&model));
    assert!(press(&mut model, "j").is_empty());
    let commands = press(&mut model, "dy");
    assert_eq!(commands, [Command::EditViews(Edit::Remove("webs".into()))]);
    press(&mut model, "gg");
    press(&mut model, "k<enter>");
    assert_eq!(model.filter.input.text(), "env=prod");
    send(&mut model, Msg::ViewsEdited(Err("the disk is full".into())));
    assert!(screen(&model).contains("the disk is full"));
}

#[test]
fn shared_views_are_changed_in_their_file() {
    let mut model = with_views();
    model.saved.known[0].shared = Some("/team/views.toml".into());
    for key in ["d", "<tab>"] {
        let commands = press(&mut model, &format!("vv{key}"));
        assert!(commands.is_empty() && screen(&model).contains("/team/views.toml"), "{key}");
        press(&mut model, "<esc>");
    }
}

#[test]
fn a_frozen_picture_stays_and_says_so() {
    let mut model = on_host();
    press(&mut model, "F");
    let before = screen(&model);
    assert!(before.contains("FROZEN since"), "{before}");
    for version in 0..3 {
        let mut stopped = changed(2, &format!("50{version}"));
        stopped["status"]["phase"] = json!("Stopped");
        fleet_event(&mut model, apply(stopped));
    }
    fleet_event(&mut model, HostChange::Delete(Uid::new("uid-3")));
    assert_eq!(model.frozen.hosts(), 2, "of a host only the latest waits");
    assert!(screen(&model).contains("2 changed") && screen(&model).contains("db-eu-3"));
    assert_eq!(model.host().unwrap().phase().as_str(), "Running");
    // A change says how old the picture is; it is made against what the server has then.
    press(&mut model, "m");
    assert!(screen(&model).contains("the picture is frozen"), "{}", screen(&model));
    press(&mut model, "<esc>");
    // A listing that begins and ends meanwhile waits, too.
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Begin { expected: None }));
    let rest = hosts().into_iter().skip(6).map(apply).collect();
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(rest)));
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Synced));
    assert_eq!(model.inventory.len(), 9);
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Lost("refused".into())));
    assert!(screen(&model).contains("LOST"));
    press(&mut model, "F");
    assert_eq!(model.inventory.len(), 3);
    assert!(!screen(&model).contains("FROZEN"));
}

#[test]
fn a_freeze_ends_before_too_much_waits() {
    let mut model = fleet(120, 30);
    press(&mut model, "F");
    for n in 0..20_001 {
        let record = HostRecord {
            metadata: kube::core::ObjectMeta {
                uid: Some(format!("many-{n}")),
                name: Some(format!("many-{n}")),
                ..Default::default()
            },
            ..HostRecord::default()
        };
        fleet_event(&mut model, HostChange::Apply(Box::new(record)));
    }
    assert!(model.frozen.since.is_none());
    assert_eq!(model.inventory.len(), 20_010);
    assert!(screen(&model).contains("the display goes on"), "{}", screen(&model));
}

fn records(from: usize) -> LastEvent {
    let hosts = hosts().into_iter().skip(from);
    LastEvent::Hosts(hosts.map(|host| serde_json::from_value(host).unwrap()).collect())
}

fn at(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(NOW + seconds).unwrap()
}

#[test]
fn the_last_known_fleet_is_shown_until_the_list_is_whole() {
    let mut model = empty(140, 30);
    send(&mut model, Msg::User(ServerId::FIRST, Ok("ann".into())));
    send(&mut model, Msg::Last(ServerId::FIRST, LastEvent::Begin(at(-720))));
    send(&mut model, Msg::Last(ServerId::FIRST, records(0)));
    send(&mut model, Msg::Last(ServerId::FIRST, LastEvent::Done));
    let text = screen(&model);
    assert!(
        text.contains("connecting · as of 12m ago, 07:48") && text.contains("eu-west-1"),
        "{text}"
    );
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Lost("connection refused".into())));
    let text = screen(&model);
    assert!(text.contains("LOST · as of 12m ago") && text.contains("doctor"), "{text}");
    press(&mut model, "zRgg2jm");
    assert!(model.overlay == Overlay::None);
    assert!(screen(&model).contains("this is the last known fleet"), "{}", screen(&model));
    press(&mut model, "<esc>");
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Recovered));
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Begin { expected: Some(8) }));
    // What still comes from the disk is too late.
    send(&mut model, Msg::Last(ServerId::FIRST, records(0)));
    assert!(screen(&model).contains("loading · as of"), "{}", screen(&model));
    press(&mut model, "m");
    assert!(model.overlay == Overlay::None, "not before the list is whole");
    let rest = hosts().into_iter().skip(1).map(apply).collect();
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(rest)));
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Synced));
    assert_eq!(model.inventory.len(), 8);
    assert!(screen(&model).contains("8 hosts · live"), "{}", screen(&model));
    press(&mut model, "<esc>zRgg2jm");
    assert!(matches!(model.overlay, Overlay::Strip(_)));
}

#[test]
fn a_list_that_only_begins_does_not_keep_the_last_known_fleet_away() {
    let mut model = empty(140, 30);
    send(&mut model, Msg::Last(ServerId::FIRST, LastEvent::Begin(at(-720))));
    // The watch says that it begins before it knows whether the server is there.
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Begin { expected: None }));
    send(&mut model, Msg::Last(ServerId::FIRST, records(0)));
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Lost("connection refused".into())));
    send(&mut model, Msg::Last(ServerId::FIRST, LastEvent::Done));
    assert_eq!(model.inventory.len(), 9);
    assert!(screen(&model).contains("LOST · as of 12m ago"), "{}", screen(&model));
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Recovered));
    let rest = hosts().into_iter().skip(4).map(apply).collect();
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(rest)));
    // Too late.
    send(&mut model, Msg::Last(ServerId::FIRST, records(0)));
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Synced));
    assert_eq!(model.inventory.len(), 5, "what the list did not bring is gone");

    let mut model = empty(140, 30);
    send(&mut model, Msg::Last(ServerId::FIRST, LastEvent::Begin(at(-720))));
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Begin { expected: None }));
    send(&mut model, Msg::Last(ServerId::FIRST, records(0)));
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Synced));
    send(&mut model, Msg::Last(ServerId::FIRST, records(0)));
    assert!(model.inventory.is_empty(), "a list without hosts is a list too");
}

#[test]
fn a_damaged_file_is_said_and_leaves_nothing() {
    let mut model = empty(120, 30);
    send(&mut model, Msg::Last(ServerId::FIRST, LastEvent::Begin(at(-720))));
    send(&mut model, Msg::Last(ServerId::FIRST, records(0)));
    send(&mut model, Msg::Last(ServerId::FIRST, LastEvent::Damaged("it breaks off".into())));
    assert!(model.inventory.is_empty());
    assert!(screen(&model).contains("it breaks off") && screen(&model).contains("connecting"));
    assert!(!screen(&model).contains("as of"));
}

#[test]
fn the_fleet_is_kept_in_parts_when_it_is_time() {
    let mut model = fleet(120, 30);
    model.settings.keeps = true;
    assert!(send(&mut model, Msg::Tick(at(9))).is_empty());
    let commands = send(&mut model, Msg::Tick(at(10)));
    assert_eq!(commands, [Command::Keep(ServerId::FIRST, Keep::Begin(at(10)))]);
    let commands = send(&mut model, Msg::Kept(ServerId::FIRST, Ok(())));
    let [Command::Keep(ServerId::FIRST, Keep::Lines(lines))] = commands.as_slice() else {
        panic!("{commands:?}")
    };
    let lines = String::from_utf8(lines.clone()).unwrap();
    assert_eq!(lines.lines().count(), 9);
    assert!(lines.contains("\"db-eu-2\"") && !lines.contains("resourceVersion"), "{lines}");
    assert_eq!(
        send(&mut model, Msg::Kept(ServerId::FIRST, Ok(()))),
        [Command::Keep(ServerId::FIRST, Keep::End(9))]
    );
    assert!(send(&mut model, Msg::Kept(ServerId::FIRST, Ok(()))).is_empty());
    // Nothing has changed: it is not kept again.
    assert!(send(&mut model, Msg::Tick(at(1_000))).is_empty());
    assert_eq!(model.keeps_at_end(ServerId::FIRST), None);
    fleet_event(&mut model, HostChange::Delete(Uid::new("uid-1")));
    assert_eq!(model.keeps_at_end(ServerId::FIRST), Some(at(1_000)));
    let commands = send(&mut model, Msg::Tick(at(1_001)));
    assert_eq!(commands, [Command::Keep(ServerId::FIRST, Keep::Begin(at(1_001)))]);
    send(&mut model, Msg::Kept(ServerId::FIRST, Err("the disk is full".into())));
    assert!(screen(&model).contains("the disk is full"), "{}", screen(&model));
    // What is lost is kept as of when it was last right.
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Lost("refused".into())));
    send(&mut model, Msg::Tick(at(2_000)));
    assert_eq!(model.keeps_at_end(ServerId::FIRST), Some(at(1_001)));
}

#[test]
fn problems_are_a_view_of_their_own() {
    let mut model = fleet(120, 30);
    for (number, phase) in [(2, "Pending"), (4, "Unreachable")] {
        let mut bad = changed(number, "700");
        bad["status"]["phase"] = json!(phase);
        fleet_event(&mut model, apply(bad));
    }
    press(&mut model, "vp");
    let text = screen(&model);
    assert!(text.contains("Problems 2"), "{text}");
    let worst = text.find("web-eu-1").unwrap();
    assert!(worst < text.find("db-eu-2").unwrap(), "{text}");
    assert!(text.contains("unreachable") && text.contains("not ready yet"), "{text}");
}

#[test]
fn a_host_is_protected_while_the_program_runs_whatever_the_file_says_meanwhile() {
    let mut model = on_host();
    let now = |model: &Model| model.settings.config.maintenance.protected_labels.clone();
    let before = now(&model);
    let read = |text: &str| {
        let read = crate::config::Read { path: None, text: Some(text.to_owned()) };
        let config = crate::ui::configured::parse(&read, None).unwrap();
        Box::new(crate::ui::configured::Configured::new(config, "test", &<_>::default()))
    };
    let text = "[maintenance]\nprotected-labels = [\"tier=gold\"]\n";
    send(&mut model, Msg::Configured(Ok(read(text))));
    let both = [vec!["tier=gold".to_owned()], before].concat();
    assert_eq!(now(&model), both, "more are protected, and none less");
    assert!(screen(&model).contains("at the next start: protected-labels"), "{}", screen(&model));
    send(&mut model, Msg::Configured(Ok(read(text))));
    assert_eq!(now(&model), both);
}

#[test]
fn only_the_view_that_was_asked_about_is_removed() {
    let mut model = on_host();
    let own = |name: &str| SavedView { name: name.into(), ..SavedView::default() };
    send(&mut model, Msg::ViewsEdited(Ok(vec![own("a"), own("b")])));
    press(&mut model, "vvjd");
    send(&mut model, Msg::ViewsEdited(Ok(vec![own("a")])));
    assert!(press(&mut model, "y").is_empty(), "a was not asked about");
    assert_eq!(press(&mut model, "dy"), [Command::EditViews(Edit::Remove("a".into()))]);
}
