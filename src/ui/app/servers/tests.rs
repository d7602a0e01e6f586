use serde_json::json;

use super::*;
use crate::act::{Order, Outcome, Step};
use crate::model::change::Change;
use crate::model::cluster::Cluster;
use crate::store::last::LastEvent;
use crate::store::objects::ObjectEvent;
use crate::store::watch::FleetEvent;
use crate::ui::app::last::Keep;
use crate::ui::configured::Configured;
use crate::ui::msg::Msg;
use crate::ui::testing::{apply, host, now, object, on, press, screen, send, settings};

const EU: ServerId = ServerId::FIRST;

fn us() -> ServerId {
    ServerId::new(1).unwrap()
}

fn named(context: &str) -> ServerSettings {
    ServerSettings { context: context.into(), ..ServerSettings::default() }
}

/// Two servers, of which nothing has been heard.
fn silent() -> Model {
    with(&[named("eu"), named("us")])
}

fn with(servers: &[ServerSettings; 2]) -> Model {
    let mut settings = settings(Config::default());
    settings.servers = servers.to_vec();
    Model::new(settings, now(), (140, 30))
}

/// Hosts of a server, by number; their uids are the same on every server.
fn lists(model: &mut Model, server: ServerId, hosts: std::ops::Range<usize>) {
    let name = model.servers.get(server).name().to_owned();
    let changes = hosts.map(|n| on(server, apply(host(n, &format!("{name}-{n}"), "r1", "web"))));
    send(model, Msg::Fleet(server, FleetEvent::Begin { expected: None }));
    send(model, Msg::Fleet(server, FleetEvent::Changes(changes.collect())));
    send(model, Msg::Fleet(server, FleetEvent::Synced));
    send(model, Msg::Sources(server, ObjectEvent::Synced));
}

fn tells(model: &mut Model, server: ServerId, user: &str) {
    send(model, Msg::User(server, Ok(user.into())));
    send(model, Msg::May { server, verb: "patch", resource: "hosts", result: Ok(true) });
}

/// Two servers with three hosts each, open and live.
fn both() -> Model {
    let mut model = silent();
    settle(&mut model);
    model
}

fn settle(model: &mut Model) {
    for (server, user) in [(EU, "ann"), (us(), "ann@us")] {
        tells(model, server, user);
        lists(model, server, 1..4);
    }
    press(model, "zRgg");
}

fn lose(model: &mut Model, server: ServerId) {
    send(model, Msg::Fleet(server, FleetEvent::Lost("connection refused".into())));
}

fn orders(commands: &[Command]) -> Vec<(ServerId, &str, &Order)> {
    let order = |command: &'_ Command| match command {
        Command::Act { server, user, order } => Some((*server, user.clone(), order.clone())),
        _ => None,
    };
    let count = commands.iter().filter_map(order).count();
    let found: Vec<_> = commands
        .iter()
        .filter_map(|command| match command {
            Command::Act { server, user, order } => Some((*server, user.as_str(), &**order)),
            _ => None,
        })
        .collect();
    assert_eq!(found.len(), count);
    found
}

fn names(order: &Order) -> Vec<(usize, String)> {
    let target =
        |change: &Change| (change.target().uid.server().index(), change.target().name.clone());
    order.changes.iter().map(target).collect()
}

/// Every host of an order is done.
fn does(model: &mut Model, order: &Order) {
    for (number, change) in order.changes.iter().enumerate() {
        let n = change.target().uid.as_str().trim_start_matches("uid-").parse().unwrap();
        let mut done = host(n, "x", "r1", "web");
        done["metadata"]["resourceVersion"] = json!(format!("9{n}"));
        let step = Step::Host(number, Outcome::Done(object(done)));
        send(model, Msg::Act { id: order.id.clone(), step });
    }
    send(model, Msg::Act { id: order.id.clone(), step: Step::Ended(None) });
}

fn cursor_to(model: &mut Model, server: ServerId, n: usize) {
    model.cursor = Some(NodeKey::Host(Uid::on(server, format!("uid-{n}"))));
}

#[test]
fn the_same_uids_of_two_servers_are_two_hosts_each_under_its_server() {
    let model = both();
    assert_eq!(model.inventory.len(), 6);
    let text = screen(&model);
    for line in ["eu ", "us ", "eu-1", "us-1", "6 hosts · 2 servers · live"] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let uid = Uid::on(us(), "uid-2");
    assert_eq!(model.inventory.get(&uid).unwrap().display(), "us-2");
}

#[test]
fn one_that_is_lost_leaves_the_others_as_they_are() {
    let mut model = both();
    lose(&mut model, us());
    let text = screen(&model);
    assert!(text.contains("1 live · us: lost"), "{text}");
    assert!(text.contains("us: attempt 1: connection refused"), "{text}");
    assert_eq!(model.inventory.len(), 6, "the data stays");
    cursor_to(&mut model, us(), 1);
    assert!(press(&mut model, "m").is_empty());
    let text = screen(&model);
    assert!(text.contains("us: not connected: changes are refused"), "{text}");
    press(&mut model, "<esc>");
    cursor_to(&mut model, EU, 1);
    press(&mut model, "m");
    let commands = press(&mut model, "y");
    let [(server, user, order)] = orders(&commands)[..] else { panic!("{commands:?}") };
    assert_eq!((server, user), (EU, "ann"));
    assert_eq!(names(order), [(0, "aws-i-0001".to_owned())]);
    // It comes back with a list of its own, which touches nothing of the other.
    lists(&mut model, us(), 2..3);
    assert_eq!((model.inventory.hosts_on(EU), model.inventory.hosts_on(us())), (3, 1));
    assert!(screen(&model).contains("4 hosts · 2 servers · live"), "{}", screen(&model));
}

#[test]
fn one_that_never_comes_holds_up_nothing() {
    let mut model = silent();
    tells(&mut model, EU, "ann");
    lists(&mut model, EU, 1..4);
    assert!(!model.settled());
    let hint = Some("look at the kubeconfig".to_owned());
    let reason = "context \"us\" cannot be used".to_owned();
    send(&mut model, Msg::Unusable { server: us(), reason, hint });
    assert!(model.settled(), "what can be heard has been heard");
    press(&mut model, "zRvSj");
    let text = screen(&model);
    for line in ["✖ lost", "context \"us\" cannot be used", "look at the kubeconfig", "● live"]
    {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let commands = press(&mut model, "<ctrl-r>");
    assert_eq!(commands, [Command::Reconnect(Some(us()))]);
    press(&mut model, "vf");
    assert_eq!(press(&mut model, "<ctrl-r>"), [Command::Reconnect(None)]);
}

#[test]
fn an_order_over_both_goes_to_each_and_is_one_result_and_one_step_back() {
    let mut model = both();
    for (server, n) in [(EU, 1), (EU, 2), (us(), 2)] {
        model.inventory.set_mark(&Uid::on(server, format!("uid-{n}")), true);
    }
    press(&mut model, "m");
    let text = screen(&model);
    for name in ["eu/eu-1", "eu/eu-2", "us/us-2"] {
        assert!(text.contains(name), "{name}\n{text}");
    }
    press(&mut model, "disk swap<enter>");
    let commands = press(&mut model, "y");
    let sent = orders(&commands);
    assert_eq!(sent.len(), 2);
    let [(first, ann, one), (second, other, two)] = sent[..] else { panic!() };
    assert_eq!(((first, ann), (second, other)), ((EU, "ann"), (us(), "ann@us")));
    assert_eq!(names(one), [(0, "aws-i-0001".to_owned()), (0, "aws-i-0002".to_owned())]);
    assert_eq!(names(two), [(1, "aws-i-0002".to_owned())]);
    assert_ne!(one.id, two.id);
    let holder = |order: &Order| match &order.changes[0] {
        Change::Hold(change) => change.holder.clone(),
        Change::Run(_) | Change::Labels(_) => panic!(),
    };
    assert_ne!(holder(one), holder(two), "each server knows us by its own name");
    // The second is done first: nothing is over before both are.
    does(&mut model, two);
    assert!(model.writing.going.len() == 1);
    does(&mut model, one);
    assert!(model.writing.going.is_empty());
    let results = model.writing.results.as_ref().unwrap();
    assert_eq!((results.lines.len(), results.left().len()), (3, 0));
    // One step back; what is on a server that is away waits for it.
    press(&mut model, "<esc>");
    lose(&mut model, us());
    press(&mut model, "u");
    let text = screen(&model);
    assert!(text.contains("1 on us: not connected"), "{text}");
    let commands = press(&mut model, "y");
    let [(server, _, order)] = orders(&commands)[..] else { panic!("{commands:?}") };
    assert_eq!((server, order.changes.len()), (EU, 2));
    does(&mut model, &order.clone());
    press(&mut model, "<esc>");
    send(&mut model, Msg::Fleet(us(), FleetEvent::Recovered));
    press(&mut model, "u");
    let commands = press(&mut model, "y");
    let [(server, _, order)] = orders(&commands)[..] else { panic!("{commands:?}") };
    assert_eq!((server, names(order)), (us(), vec![(1, "aws-i-0002".to_owned())]));
}

#[test]
fn a_part_that_breaks_off_says_which_server_it_was() {
    let mut model = both();
    for server in [EU, us()] {
        model.inventory.set_mark(&Uid::on(server, "uid-1"), true);
    }
    press(&mut model, "mdisk swap<enter>");
    let commands = press(&mut model, "y");
    let sent = orders(&commands);
    does(&mut model, sent[0].2);
    let step = Step::Ended(Some("it broke off".into()));
    send(&mut model, Msg::Act { id: sent[1].2.id.clone(), step });
    let results = model.writing.results.as_ref().unwrap();
    assert_eq!(results.ended.as_deref(), Some("us: it broke off"));
    let [line] = &results.lines[..1] else { panic!() };
    assert_eq!((line.uid.server(), line.detail.as_str()), (us(), "it broke off"));
}

#[test]
fn marks_on_a_lost_server_are_left_out_by_name() {
    let mut model = both();
    model.inventory.mark_matched();
    lose(&mut model, us());
    cursor_to(&mut model, us(), 1);
    press(&mut model, "m");
    let text = screen(&model);
    assert!(text.contains("3 on us: not connected"), "{text}");
    let Overlay::Strip(strip) = &model.overlay else { panic!("{text}") };
    assert!(strip.items.iter().all(|item| item.change.target().uid.server() == EU));
}

#[test]
fn production_disarms_its_own_hosts_only() {
    let prod = ServerSettings { production: true, ..named("prod") };
    let mut model = with(&[prod, named("test")]);
    settle(&mut model);
    cursor_to(&mut model, EU, 1);
    model.dirty = true;
    let text = screen(&model);
    assert!(text.contains(" PROD ") && text.contains("prod: READ-ONLY"), "{text}");
    press(&mut model, "m");
    assert!(screen(&model).contains("prod: writing is disarmed"), "{}", screen(&model));
    press(&mut model, "<esc>");
    cursor_to(&mut model, us(), 1);
    let text = screen(&model);
    assert!(!text.contains(" PROD ") && !text.contains("READ-ONLY"), "{text}");
    press(&mut model, "m");
    assert!(matches!(model.overlay, Overlay::Strip(_)));
    press(&mut model, "<esc>");
    // W is for the server of what is under the cursor.
    cursor_to(&mut model, EU, 1);
    press(&mut model, "W");
    let armed = |model: &Model, id| model.servers.get(id).armed;
    assert!(armed(&model, EU) && armed(&model, us()));
    press(&mut model, "W");
    assert!(!armed(&model, EU) && armed(&model, us()));
}

#[test]
fn two_names_of_one_server_show_its_hosts_once() {
    let told = |server, url: &str, instance: &str| Msg::Connected {
        server,
        url: url.into(),
        instance: Some(instance.into()),
    };
    let mut model = both();
    assert!(send(&mut model, told(us(), "https://a", "1")).is_empty());
    let commands = send(&mut model, told(EU, "https://a", "1"));
    assert!(commands.contains(&Command::Leave(us())), "{commands:?}");
    assert_eq!((model.inventory.len(), model.inventory.hosts_on(us())), (3, 0));
    assert!(screen(&model).contains("us is the same server as eu"), "{}", screen(&model));
    // What was on its way changes nothing any more.
    lists(&mut model, us(), 1..9);
    assert_eq!(model.inventory.len(), 3);
    press(&mut model, "vS");
    assert!(screen(&model).contains("not used"), "{}", screen(&model));

    // Another URL and the same instance: the servers are asked, for one may be a copy.
    let mut model = both();
    send(&mut model, told(EU, "https://a", "1"));
    let commands = send(&mut model, told(us(), "https://b", "1"));
    assert!(commands.contains(&Command::Compare(EU, us())), "{commands:?}");
    let servers = (EU, us());
    send(&mut model, Msg::Compared { servers, same: false });
    assert_eq!(model.inventory.len(), 6);
    send(&mut model, Msg::Compared { servers, same: true });
    assert_eq!(model.inventory.len(), 3);

    // Other instances behind one URL are two, and so are other namespaces of one.
    let mut model = both();
    send(&mut model, told(EU, "https://a", "1"));
    assert!(send(&mut model, told(us(), "https://a", "2")).is_empty());
    let inside = |namespace: &str, context| ServerSettings {
        namespace: Some(namespace.into()),
        ..named(context)
    };
    let mut model = with(&[inside("a", "eu"), inside("b", "us")]);
    settle(&mut model);
    send(&mut model, told(EU, "https://a", "1"));
    assert!(send(&mut model, told(us(), "https://a", "1")).is_empty());
    assert_eq!(model.inventory.len(), 6);
}

#[test]
fn what_still_comes_of_a_second_name_is_left() {
    let mut model = both();
    send(&mut model, Msg::Compared { servers: (EU, us()), same: true });
    let requests = crate::ui::app::certificates::tests::events();
    send(&mut model, Msg::Certificates(us(), requests));
    assert_eq!(model.certificates.len(), (0, 0));
    let reason = "connection refused".to_owned();
    send(&mut model, Msg::Unusable { server: us(), reason, hint: None });
    assert_eq!(model.servers.get(us()).link, Link::Same(EU));
    let source = crate::ui::app::sources::tests::fine("aws", 30);
    send(&mut model, Msg::Sources(us(), ObjectEvent::Apply(source)));
    assert!(model.sources.of(us(), "inventory", "aws").is_none());
}

#[test]
fn saved_views_group_by_server_where_they_say_nothing_else() {
    use crate::config::views::{Edit, KnownView, SavedView};
    let mut model = both();
    let view = SavedView { name: "all".into(), key: Some(1), ..SavedView::default() };
    model.saved.known = vec![KnownView { view, shared: None }];
    let usual = model.shape().group.clone();
    assert_eq!(usual.first(), Some(&Level::Server));
    press(&mut model, "gc1<enter>");
    assert_eq!((model.shape().group.clone(), model.shown_view().is_some()), (usual.clone(), true));
    press(&mut model, "gc0");
    assert_eq!(model.shape().group, usual, "as usual again");
    let saved = |model: &mut Model| {
        let commands = press(model, ":save-view<enter>mine<enter>");
        let edit = commands.into_iter().find_map(|command| match command {
            Command::EditViews(Edit::Put(view)) => Some(view),
            _ => None,
        });
        edit.unwrap_or_else(|| panic!("{}", screen(model))).group
    };
    assert_eq!(saved(&mut model), None);
    press(&mut model, ":group region,cluster<enter>");
    assert_eq!(saved(&mut model), Some(vec![Level::Region, Level::Cluster]));
}

#[test]
fn clusters_of_the_same_name_have_each_their_own_budget() {
    let mut model = both();
    for (server, most) in [(EU, 0), (us(), 2)] {
        let cluster: Cluster = serde_json::from_value(json!({
            "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Cluster",
            "metadata": {"name": "web", "namespace": "inventory"},
            "spec": {"disruption": {"maxUnavailable": most}},
        }))
        .unwrap();
        send(&mut model, Msg::Clusters(server, ObjectEvent::Apply(Box::new(cluster))));
    }
    let uids = [Uid::on(EU, "uid-1"), Uid::on(us(), "uid-1")];
    let stands = model.stands(&uids);
    let stands: Vec<_> =
        stands.iter().map(|stand| (stand.cluster.as_str(), stand.allowed, stand.wanted)).collect();
    assert_eq!(stands, [("eu/web", 0, 1), ("us/web", 2, 1)]);
}

#[test]
fn the_filter_and_the_list_of_servers_lead_to_the_hosts_of_one() {
    let mut model = with(&[named("eu"), named("eu-west")]);
    settle(&mut model);
    press(&mut model, "vS<enter>");
    assert_eq!(model.filter.input.text(), "server:\"eu\" !server:\"eu-west\"");
    assert_eq!(model.inventory.matched(), 3);
    assert!(model.inventory.matched_rows().all(|row| row.uid().server() == EU));
    press(&mut model, "0vSj<enter>");
    assert_eq!(model.filter.input.text(), "server:\"eu-west\"");
    assert_eq!(model.inventory.matched(), 3);
}

#[test]
fn a_server_that_does_not_answer_keeps_nobody_from_the_details_of_another() {
    let mut model = both();
    cursor_to(&mut model, us(), 1);
    let asks = |commands: &[Command], server| {
        commands.iter().any(
            |command| matches!(command, Command::ReadHost { uid, .. } if uid.server() == server),
        )
    };
    model.dirty = true;
    assert!(asks(&send(&mut model, Msg::Resize(140, 31)), us()));
    cursor_to(&mut model, EU, 1);
    let commands = send(&mut model, Msg::Resize(140, 30));
    assert!(asks(&commands, EU), "{commands:?}");
    let Some(Command::ReadHost { generation, .. }) = commands.first() else { panic!() };
    let read = Msg::HostRead {
        generation: *generation,
        result: Ok(Some(object(host(1, "eu-1", "r1", "web")))),
    };
    send(&mut model, read);
    assert!(model.detail.of(&Uid::on(EU, "uid-1")).is_some());
    assert!(model.detail.of(&Uid::on(us(), "uid-1")).is_none(), "it is another host");
}

/// The questions for an object and for Events among these commands.
fn asks(commands: &[Command]) -> Vec<(u64, ServerId)> {
    let ask = |command: &Command| match command {
        Command::ReadObject { generation, at } => Some((*generation, at.server)),
        Command::FollowEvents { generation, about: Some((_, uid)) } => {
            Some((*generation, uid.server()))
        }
        _ => None,
    };
    commands.iter().filter_map(ask).collect()
}

#[test]
fn a_page_asks_the_server_of_its_host() {
    let mut model = both();
    cursor_to(&mut model, us(), 2);
    let commands = press(&mut model, "d");
    let asked = asks(&commands);
    assert_eq!(asked.iter().map(|(_, server)| *server).collect::<Vec<_>>(), [us(), us()]);
    let Some(Command::ReadObject { generation, .. }) = commands.last() else {
        panic!("{commands:?}")
    };
    let object = host(2, "us-2", "r1", "web");
    let read = Msg::ObjectRead { generation: *generation, result: Ok(Some(Box::new(object))) };
    send(&mut model, read);
    let text = screen(&model);
    assert!(text.contains("describe  us/us-2") && !text.contains(" gone"), "{text}");
    assert!(press(&mut model, "m").is_empty());
    let Overlay::Strip(strip) = &model.overlay else { panic!("{}", screen(&model)) };
    assert_eq!(strip.servers().into_iter().collect::<Vec<_>>(), [us()]);
    press(&mut model, "<esc>");
    // The other server is away: that is not this page's.
    lose(&mut model, EU);
    assert!(!screen(&model).contains("not live"), "{}", screen(&model));
    lose(&mut model, us());
    assert!(screen(&model).contains("not live"), "{}", screen(&model));
}

#[test]
fn a_page_of_a_second_name_goes_on_under_the_first() {
    let mut model = both();
    cursor_to(&mut model, us(), 2);
    press(&mut model, "d");
    let servers = (EU, us());
    let commands = send(&mut model, Msg::Compared { servers, same: true });
    assert!(asks(&commands).iter().any(|(_, server)| *server == EU), "{commands:?}");
    assert_eq!(model.page_host(), Some(&Uid::on(EU, "uid-2")));
}

#[test]
fn a_cluster_of_several_servers_is_no_one_object() {
    let mut model = both();
    model.cursor = Some(NodeKey::group(["us", "r1", "web"]));
    assert_eq!(asks(&press(&mut model, "d")).first().map(|(_, server)| *server), Some(us()));
    press(&mut model, "<esc>");
    press(&mut model, "gcgg");
    assert!(matches!(model.cursor, Some(NodeKey::Group(_))), "{:?}", model.cursor);
    assert!(asks(&press(&mut model, "d")).is_empty());
    assert!(screen(&model).contains("on several servers"), "{}", screen(&model));
}

#[test]
fn what_changed_is_told_of_each_server_once_its_list_was_whole() {
    let mut model = silent();
    tells(&mut model, EU, "ann");
    tells(&mut model, us(), "ann@us");
    lists(&mut model, EU, 1..4);
    // The first list of the other one is nothing new.
    lists(&mut model, us(), 1..4);
    assert_eq!(model.changes.len().0, 0);
    let mut stopped = host(2, "us-2", "r1", "web");
    stopped["metadata"]["resourceVersion"] = json!("900");
    stopped["status"]["phase"] = json!("Stopped");
    let changes = vec![on(us(), apply(stopped))];
    send(&mut model, Msg::Fleet(us(), FleetEvent::Changes(changes)));
    press(&mut model, "vh");
    let text = screen(&model);
    assert!(text.contains("us/us-2") && text.contains("Running → Stopped"), "{text}");
    assert_eq!(model.here(), Some(us()));
    send(&mut model, Msg::Compared { servers: (EU, us()), same: true });
    assert_eq!(model.changes.len().0, 0);
}

#[test]
fn labels_of_hosts_of_both_go_to_each_and_a_lost_one_is_left_out() {
    let mut model = both();
    for server in [EU, us()] {
        model.inventory.set_mark(&Uid::on(server, "uid-1"), true);
    }
    let answer = |model: &mut Model, commands: &[Command]| {
        let [Command::ReadHosts { generation, hosts }, ..] = commands else {
            panic!("{commands:?}")
        };
        let known = |target: &crate::model::change::Target| crate::store::read::Known {
            target: target.clone(),
            facts: crate::model::policy::Facts::default(),
            request: None,
        };
        let result = Ok(hosts.iter().map(known).collect());
        send(model, Msg::HostsRead { generation: *generation, result });
    };
    let commands = press(&mut model, "e");
    answer(&mut model, &commands);
    press(&mut model, "atier=gold<enter>spring<enter>");
    let commands = press(&mut model, "y");
    let sent = orders(&commands);
    let of: Vec<_> =
        sent.iter().map(|(server, user, order)| (*server, *user, names(order))).collect();
    let name = "aws-i-0001".to_owned();
    assert_eq!(of, [(EU, "ann", vec![(0, name.clone())]), (us(), "ann@us", vec![(1, name)])]);
    does(&mut model, sent[0].2);
    does(&mut model, sent[1].2);
    press(&mut model, "<esc>");
    for server in [EU, us()] {
        model.inventory.set_mark(&Uid::on(server, "uid-3"), true);
    }
    lose(&mut model, us());
    let commands = press(&mut model, "e");
    answer(&mut model, &commands);
    press(&mut model, "atier=gold<enter>");
    let text = screen(&model);
    assert!(text.contains("1 on us: not connected"), "{text}");
}

/// What was kept of three hosts of a server, three hours ago.
fn kept(model: &mut Model, server: ServerId) {
    let name = model.servers.get(server).name().to_owned();
    let record = |n: usize| {
        let mut kept = host(n, &format!("{name}-{n}"), "r1", "web");
        kept["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        serde_json::from_value(kept).unwrap()
    };
    let made = Timestamp::from_second(now().as_second() - 3 * 3_600).unwrap();
    send(model, Msg::Last(server, LastEvent::Begin(made)));
    send(model, Msg::Last(server, LastEvent::Hosts((1..4).map(record).collect())));
    send(model, Msg::Last(server, LastEvent::Done));
}

#[test]
fn the_last_known_hosts_of_one_that_is_away_stand_beside_those_of_another() {
    let mut model = silent();
    tells(&mut model, EU, "ann");
    kept(&mut model, us());
    kept(&mut model, EU);
    let text = screen(&model);
    assert!(text.contains("0 live, 2 loading · eu: as of 3h ago"), "{text}");
    lists(&mut model, EU, 1..3);
    lose(&mut model, us());
    press(&mut model, "zRgg");
    let text = screen(&model);
    assert_eq!((model.inventory.hosts_on(EU), model.inventory.hosts_on(us())), (2, 3));
    assert!(text.contains("1 live · us: lost, as of 3h ago"), "{text}");
    let groups: Vec<&str> = text.lines().filter(|line| line.contains("as of 3h ago")).collect();
    assert!(groups.len() == 2 && groups[1].contains("us"), "{text}");
    press(&mut model, "vSj");
    let text = screen(&model);
    assert!(text.contains("hosts as of 3h ago"), "{text}");
    assert!(text.contains("the last known hosts, as of"), "{text}");
    press(&mut model, "vf");

    // Of both only the one that is live can be changed.
    for server in [EU, us()] {
        model.inventory.set_mark(&Uid::on(server, "uid-1"), true);
    }
    press(&mut model, "m");
    let text = screen(&model);
    assert!(text.contains("1 on us: this is the last known fleet, as of"), "{text}");
    press(&mut model, "disk swap<enter>");
    let commands = press(&mut model, "y");
    let [(server, _, order)] = orders(&commands)[..] else { panic!("{commands:?}") };
    assert_eq!((server, names(order)), (EU, vec![(0, "aws-i-0001".to_owned())]));
    does(&mut model, &order.clone());
    cursor_to(&mut model, us(), 1);
    assert!(press(&mut model, "m").is_empty());
    assert!(screen(&model).contains("us: this is the last known fleet"), "{}", screen(&model));
    press(&mut model, "<esc>");

    // It is back: what its list does not bring is gone, and nothing is old any more.
    send(&mut model, Msg::Fleet(us(), FleetEvent::Recovered));
    tells(&mut model, us(), "ann@us");
    lists(&mut model, us(), 2..3);
    assert_eq!((model.inventory.hosts_on(EU), model.inventory.hosts_on(us())), (2, 1));
    kept(&mut model, us());
    assert_eq!(model.inventory.hosts_on(us()), 1, "what still comes is too late");
    assert!(!screen(&model).contains("as of"), "{}", screen(&model));
    cursor_to(&mut model, us(), 2);
    press(&mut model, "m");
    assert!(matches!(model.overlay, Overlay::Strip(_)), "{}", screen(&model));
}

#[test]
fn what_was_kept_of_one_is_forgotten_alone() {
    let mut model = silent();
    kept(&mut model, EU);
    let made = Timestamp::from_second(now().as_second() - 60).unwrap();
    send(&mut model, Msg::Last(us(), LastEvent::Begin(made)));
    let record = serde_json::from_value(host(7, "us-7", "r1", "web")).unwrap();
    send(&mut model, Msg::Last(us(), LastEvent::Hosts(vec![record])));
    send(&mut model, Msg::Last(us(), LastEvent::Damaged("it breaks off".into())));
    assert_eq!((model.inventory.hosts_on(EU), model.inventory.hosts_on(us())), (3, 0));
    assert!(screen(&model).contains("us: it breaks off"), "{}", screen(&model));
    // A second name of the first has nothing of its own.
    let mut model = silent();
    lists(&mut model, EU, 1..4);
    kept(&mut model, us());
    send(&mut model, Msg::Compared { servers: (EU, us()), same: true });
    kept(&mut model, us());
    assert_eq!((model.inventory.hosts_on(EU), model.inventory.hosts_on(us())), (3, 0));
}

#[test]
fn each_is_kept_by_itself() {
    let mut model = both();
    model.settings.keeps = true;
    lose(&mut model, us());
    let later = |seconds| Timestamp::from_second(now().as_second() + seconds).unwrap();
    let begin = |server, at| Command::Keep(server, Keep::Begin(later(at)));
    assert_eq!(send(&mut model, Msg::Tick(later(10))), [begin(EU, 10)]);
    assert!(model.keeps_at_end(us()).is_some(), "as of when it was lost");
    send(&mut model, Msg::Fleet(us(), FleetEvent::Recovered));
    assert_eq!(send(&mut model, Msg::Tick(later(11))), [begin(us(), 11)]);
    for (server, name) in [(us(), "us"), (EU, "eu")] {
        let commands = send(&mut model, Msg::Kept(server, Ok(())));
        let [Command::Keep(to, Keep::Lines(lines))] = commands.as_slice() else {
            panic!("{commands:?}")
        };
        let lines = String::from_utf8(lines.clone()).unwrap();
        assert_eq!(*to, server);
        assert_eq!(lines.lines().filter(|line| line.contains(&format!("{name}-"))).count(), 3);
        assert_eq!(lines.lines().count(), 3);
        let commands = send(&mut model, Msg::Kept(server, Ok(())));
        assert_eq!(commands, [Command::Keep(server, Keep::End(3))]);
        send(&mut model, Msg::Kept(server, Ok(())));
    }
    assert_eq!((model.keeps_at_end(EU), model.keeps_at_end(us())), (None, None));
}

#[test]
fn the_table_has_a_column_of_servers_where_there_are_several() {
    let mut model = both();
    press(&mut model, "t");
    let text = screen(&model);
    let titles = text.lines().find(|line| line.contains("NAME")).unwrap();
    assert!(titles.contains("SERVER"), "{text}");
    let line = text.lines().find(|line| line.contains("us-2")).unwrap();
    assert!(line.split_whitespace().any(|word| word == "us"), "{text}");
    press(&mut model, ":sort -server<enter>");
    let rows: Vec<_> = model.table_rows(6).iter().map(|row| row.uid().server()).collect();
    assert_eq!(rows, [us(), us(), us(), EU, EU, EU]);
    press(&mut model, "t");
    assert!(!screen(&model).contains("SERVER"), "the groups say it: {}", screen(&model));
    press(&mut model, "C");
    let offered = |model: &Model| {
        let Overlay::Pick(picker) = &model.overlay else { panic!("{}", screen(model)) };
        picker.found().iter().any(|(_, item, _)| item.text == "server")
    };
    assert!(offered(&model));
    let mut one = Model::new(settings(Config::default()), now(), (140, 30));
    press(&mut one, "C");
    assert!(!offered(&one));
}

#[test]
fn what_is_said_of_each_context_is_in_force_at_once_as_far_as_it_can_be() {
    let contexts = ["eu".to_owned(), "us".to_owned()];
    let read = |text: &str| {
        let config: Config = toml::from_str(text).unwrap();
        Configured::of_several(&config, &contexts, &crate::config::Overrides::default())
    };
    let before = read("[contexts.us]\nnamespace = \"a\"\nread-only = true\n");
    let mut settings = settings(before.config.clone());
    settings.servers = contexts
        .iter()
        .zip(&before.own)
        .map(|(context, own)| ServerSettings {
            production: own.production,
            read_only: own.config.read_only,
            namespace: own.config.namespace.clone(),
            own: Some(Box::new(own.config.clone())),
            ..named(context)
        })
        .collect();
    let mut model = Model::new(settings, now(), (200, 30));
    settle(&mut model);
    let after = "[contexts.eu]\nproduction = true\nprotected-labels = [\"team=a\"]\n[contexts.us]\nnamespace = \"b\"\n";
    send(&mut model, Msg::Configured(Ok(Box::new(read(after)))));
    let said = screen(&model);
    let wanted = "and is in force; writing is disarmed on eu; at the next start: eu: protected-labels, us: namespace, us: read-only";
    assert!(said.contains(wanted), "{said}");
    let (eu, other) = (model.servers.get(EU), model.servers.get(us()));
    assert!(eu.settings.production && !eu.armed && !other.settings.production);
    let protected = |server| &model.config_on(server).maintenance.protected_labels;
    let prod = "inventory.inv-tui.dev/environment=prod";
    assert_eq!(*protected(EU), ["team=a", prod], "more are protected, and none less");
    assert_eq!(*protected(us()), [prod]);
    assert_eq!(model.config_on(us()).namespace.as_deref(), Some("a"), "what is shown");
    assert!(!other.armed && model.config_on(us()).read_only);
    // Taken back, it stays strict until the next start.
    send(&mut model, Msg::Configured(Ok(Box::new(read("namespace = \"c\"\n")))));
    let said = screen(&model);
    assert!(
        said.contains(
            "at the next start: namespace, eu: production, eu: protected-labels, us: read-only"
        ),
        "{said}"
    );
    assert!(model.servers.get(EU).settings.production);
}

/// Sends an order for the maintenance of one host.
fn holds(model: &mut Model, server: ServerId, n: usize) -> Order {
    cursor_to(model, server, n);
    press(model, "m");
    let commands = press(model, "y");
    let [(to, _, order)] = orders(&commands)[..] else { panic!("{}", screen(model)) };
    assert_eq!(to, server);
    order.clone()
}

#[test]
fn an_order_on_one_waits_for_none_on_another() {
    let mut model = both();
    let slow = holds(&mut model, us(), 1);
    // On the same server the next one waits, on the other it does not.
    cursor_to(&mut model, us(), 2);
    press(&mut model, "m");
    assert!(screen(&model).contains("us: a change is on its way"), "{}", screen(&model));
    press(&mut model, "<esc>");
    let quick = holds(&mut model, EU, 1);
    assert_eq!(model.writing.going.len(), 2);
    does(&mut model, &quick);
    assert!(screen(&model).contains("is in maintenance until"), "{}", screen(&model));
    // What was done last is taken back, and while that is on its way nothing else; what is done
    // elsewhere while one still looks changes nothing about it.
    press(&mut model, "u");
    does(&mut model, &slow);
    let commands = press(&mut model, "y");
    let [(server, _, back)] = orders(&commands)[..] else { panic!("{commands:?}") };
    assert_eq!((server, names(back)), (EU, vec![(0, "aws-i-0001".to_owned())]));
    let back = back.clone();
    press(&mut model, "u");
    let Overlay::Strip(strip) = &model.overlay else { panic!("{}", screen(&model)) };
    assert_eq!(strip.servers().into_iter().collect::<Vec<_>>(), [us()], "the other is taken");
    press(&mut model, "<esc>");
    // The first could not be taken back: it is there again, under the newer one.
    send(&mut model, Msg::Act { id: back.id, step: Step::Ended(Some("it broke off".into())) });
    for server in [us(), EU] {
        press(&mut model, "<esc>u");
        let commands = press(&mut model, "y");
        let [(to, _, order)] = orders(&commands)[..] else { panic!("{}", screen(&model)) };
        assert_eq!((to, names(order)[0].1.as_str()), (server, "aws-i-0001"));
        does(&mut model, &order.clone());
    }
    press(&mut model, "<esc>u");
    assert!(screen(&model).contains("nothing to take back"), "{}", screen(&model));
}

#[test]
fn an_order_over_both_leaves_the_one_that_is_done_free() {
    let mut model = both();
    for (server, n) in [(EU, 1), (us(), 1), (us(), 2)] {
        model.inventory.set_mark(&Uid::on(server, format!("uid-{n}")), true);
    }
    press(&mut model, "mdisk swap<enter>");
    let commands = press(&mut model, "y");
    let sent: Vec<Order> = orders(&commands).into_iter().map(|(.., order)| order.clone()).collect();
    assert!(screen(&model).contains("0 of 3 done"), "{}", screen(&model));
    does(&mut model, &sent[0]);
    let other = holds(&mut model, EU, 2);
    does(&mut model, &other);
    assert!(screen(&model).contains("eu-2 is in maintenance until"), "{}", screen(&model));
    // Both parts are stopped, each by its name; another order never wakes them again.
    let commands = press(&mut model, "<esc>");
    let ids: Vec<String> = sent.iter().map(|order| order.id.clone()).collect();
    assert_eq!(commands, [Command::Stop(ids)]);
    let step = Step::Ended(Some("stopped".into()));
    send(&mut model, Msg::Act { id: sent[1].id.clone(), step });
    let results = model.writing.results.as_ref().unwrap();
    assert_eq!((results.lines.len(), results.left().len()), (3, 2));
}
