//! The API servers whose hosts are shown together: how the connection to each one is, who we are
//! there and what we may do. What happens to one never touches the others.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::input::Input;
use super::last::LastFleet;
use super::views::{Listed, Spot, View};
use super::writing::PATCH_HOSTS;
use super::{Link, Model, Overlay};
use crate::config::Config;
use crate::model::change;
use crate::model::duration;
use crate::model::inventory::Line;
use crate::model::key::{NodeKey, ServerId, Uid};
use crate::model::shape::Level;
use crate::ui::actions::{Action, Needs};
use crate::ui::msg::Command;

/// What is known of a server before anything has been heard of it.
#[derive(Clone, Debug, Default)]
pub struct ServerSettings {
    /// Name of its context: what people call it.
    pub context: String,
    /// Its URL; empty: the connection tells.
    pub url: String,
    /// The context is marked as production.
    pub production: bool,
    /// Writing begins disarmed there.
    pub read_only: bool,
    /// The namespace of its hosts; none: all.
    pub namespace: Option<String>,
    /// The configuration laid over for its context; none: that of the screen is.
    pub own: Option<Box<Config>>,
}

/// One server.
#[derive(Clone, Debug)]
pub struct Server {
    /// What was said at the start; the URL comes later.
    pub settings: ServerSettings,
    /// How the connection is.
    pub link: Link,
    /// Since when it is like that.
    pub since: Timestamp,
    /// What can be done about it, where that is known.
    pub hint: Option<String>,
    /// Hosts that the running list will bring, where the server says so.
    pub expected: Option<usize>,
    /// The list has been complete once.
    pub synced: bool,
    /// Its last known fleet.
    pub last: LastFleet,
    /// Writing is armed.
    pub armed: bool,
    /// When it is disarmed again; none: it stays.
    pub armed_until: Option<Timestamp>,
    /// What the server lets us do, by verb and resource, as far as it has told.
    pub may: BTreeMap<(&'static str, &'static str), bool>,
    /// What we may not do of what a decision needs; none: everything, or it is not known yet.
    pub missing: Option<String>,
    /// The name under which the server knows us.
    pub user: Option<String>,
    /// The holder under which our holds stand, from that name.
    pub holder: Option<String>,
    /// Why the holder is not known.
    pub holder_problem: Option<String>,
    /// What no other server has, but one that was made from the same backup.
    instance: Option<String>,
}

impl Server {
    fn new(settings: ServerSettings, now: Timestamp) -> Self {
        Self {
            armed: !settings.read_only && !settings.production,
            settings,
            link: Link::Connecting,
            since: now,
            hint: None,
            expected: None,
            synced: false,
            last: LastFleet::default(),
            armed_until: None,
            may: BTreeMap::new(),
            missing: None,
            user: None,
            holder: None,
            holder_problem: None,
            instance: None,
        }
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.settings.context
    }

    /// Whether it is out of reach.
    pub fn is_lost(&self) -> bool {
        matches!(self.link, Link::Lost { .. })
    }

    /// Whether its hosts are shown: it is not another one under a second name.
    pub fn is_used(&self) -> bool {
        !matches!(self.link, Link::Same(_))
    }

    /// Whether it is known as whom we act there, or that this cannot be known.
    pub fn has_told_who(&self) -> bool {
        self.holder.is_some() || self.holder_problem.is_some()
    }

    /// The connection is like this now.
    pub(super) fn set_link(&mut self, link: Link, now: Timestamp) {
        if std::mem::discriminant(&self.link) != std::mem::discriminant(&link) {
            self.since = now;
        }
        if !matches!(link, Link::Lost { .. }) {
            self.hint = None;
        }
        self.link = link;
    }

    /// It is out of reach.
    pub(super) fn lost(&mut self, reason: String, now: Timestamp) {
        let (since, attempts) = match self.link {
            Link::Lost { since, attempts, .. } => (since, attempts + 1),
            _ => (now, 1),
        };
        self.set_link(Link::Lost { since, reason, attempts }, now);
    }

    pub(super) fn disarm(&mut self) {
        self.armed = false;
        self.armed_until = None;
    }

    /// The permission that is missing for these needs, such as `patch hosts`.
    fn lacks(&self, needs: Needs) -> Option<String> {
        let Needs::Write(verb, resource) = needs else { return None };
        let may = self.may.get(&(verb, resource)).copied();
        (may == Some(false)).then(|| format!("{verb} {resource}"))
    }

    /// Why nothing with these needs can be done there now, if so; keys stand in it by their actions.
    fn cannot(&self, needs: Needs) -> Option<String> {
        match &self.link {
            Link::Lost { .. } => {
                return Some("not connected: changes are refused until the server answers ({key:reconnect} tries now)".into());
            }
            Link::Connecting => {
                return Some("not connected yet: changes wait for the server".into());
            }
            Link::Same(_) => {
                return Some(
                    "this is another server under a second name: act on its hosts there".into(),
                );
            }
            Link::Listing | Link::Live => {}
        }
        if let Some(missing) = self.lacks(needs) {
            return Some(format!(
                "your user lacks the permission to {missing}; ask for the operator role"
            ));
        }
        (!self.armed).then(|| "writing is disarmed (read-only): {key:arm} arms it".to_owned())
    }
}

/// The servers; at least one.
#[derive(Clone, Debug)]
pub struct Servers {
    first: Server,
    more: Vec<Server>,
    /// Where one is in the list of them.
    pub spot: Spot<ServerId>,
}

impl Listed for &Servers {
    type Key = ServerId;

    fn len(&self) -> usize {
        self.more.len() + 1
    }

    fn rank(&self, key: &ServerId) -> Option<usize> {
        Some(key.index()).filter(|number| *number <= self.more.len())
    }

    fn nth(&self, rank: usize) -> Option<ServerId> {
        ServerId::new(rank).filter(|_| rank <= self.more.len())
    }
}

impl Servers {
    pub(super) fn new(settings: &[ServerSettings], now: Timestamp) -> Self {
        let mut all = settings.iter().take(ServerId::MOST);
        let first = all.next().cloned().unwrap_or_default();
        Self {
            first: Server::new(first, now),
            more: all.map(|settings| Server::new(settings.clone(), now)).collect(),
            spot: Spot::default(),
        }
    }

    /// A server; the first one for a number that none has.
    pub fn get(&self, id: ServerId) -> &Server {
        let other = id.index().checked_sub(1).and_then(|number| self.more.get(number));
        other.unwrap_or(&self.first)
    }

    pub(super) fn get_mut(&mut self, id: ServerId) -> &mut Server {
        let other = id.index().checked_sub(1).and_then(|number| self.more.get_mut(number));
        other.unwrap_or(&mut self.first)
    }

    /// The server of an object.
    pub fn of(&self, uid: &Uid) -> &Server {
        self.get(uid.server())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (ServerId, &Server)> {
        let all = std::iter::once(&self.first).chain(&self.more);
        (0..).zip(all).filter_map(|(number, server)| Some((ServerId::new(number)?, server)))
    }

    /// Those whose hosts are shown.
    pub fn used(&self) -> impl Iterator<Item = (ServerId, &Server)> {
        self.iter().filter(|(_, server)| server.is_used())
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Server> {
        std::iter::once(&mut self.first).chain(&mut self.more)
    }

    /// Whether what is shown of a server is what was kept of it.
    pub fn is_last(&self, id: ServerId) -> bool {
        self.get(id).last.shown.is_some()
    }

    /// Whether there are several.
    pub fn several(&self) -> bool {
        !self.more.is_empty()
    }

    /// The lines of the list from the first one of the screen on.
    pub fn lines(&self) -> impl Iterator<Item = (ServerId, &Server)> {
        let top = self.spot.top.map_or(0, ServerId::index);
        self.iter().skip(top)
    }

    /// Whether anything has been heard of any of them, the list for one.
    pub fn any_synced(&self) -> bool {
        self.used().any(|(_, server)| server.synced)
    }

    /// How all of them are, in one word: that of the one server, else of the best of them.
    pub fn link(&self) -> &Link {
        let rank = |link: &Link| match link {
            Link::Live => 0,
            Link::Listing => 1,
            Link::Connecting => 2,
            Link::Lost { .. } => 3,
            Link::Same(_) => 4,
        };
        let best = self.iter().map(|(_, server)| &server.link).min_by_key(|link| rank(link));
        best.unwrap_or(&self.first.link)
    }

    /// The first one that is out of reach.
    pub fn lost(&self) -> Option<&Server> {
        self.iter().map(|(_, server)| server).find(|server| server.is_lost())
    }

    /// Whether everything that can be heard of them has been heard.
    pub(super) fn settled(&self) -> bool {
        self.used().all(|(_, server)| {
            let live = server.synced && server.link == Link::Live && server.has_told_who();
            live || self.several() && server.is_lost()
        })
    }
}

impl Model {
    /// Names what belongs to a server, where there are several: `eu/web-1`.
    pub fn with_server(&self, server: ServerId, text: &str) -> String {
        if self.servers.several() {
            format!("{}/{text}", self.servers.get(server).name())
        } else {
            text.to_owned()
        }
    }

    /// Says which server a sentence is about, where there are several.
    pub fn about_server(&self, server: ServerId, text: &str) -> String {
        if self.servers.several() {
            format!("{}: {text}", self.servers.get(server).name())
        } else {
            text.to_owned()
        }
    }

    /// The server of what is under the cursor; none: it belongs to several, or there is nothing.
    pub fn here(&self) -> Option<ServerId> {
        if !self.servers.several() {
            return Some(ServerId::FIRST);
        }
        if let Some(page) = &self.page {
            return page.place.as_ref().map(|place| place.server);
        }
        match self.views.now {
            View::Certificates => self.certificates.spot.cursor.as_ref().map(Uid::server),
            View::Sources => self.sources.spot.cursor.as_ref().map(|(server, ..)| *server),
            View::Servers => self.servers.spot.cursor,
            View::Fleet
            | View::Maintenance
            | View::Runs
            | View::Problems
            | View::Journal
            | View::Changes => match self.node()? {
                NodeKey::Host(uid) => Some(uid.server()),
                node @ NodeKey::Group(_) => self.server_of_group(&node),
            },
        }
    }

    /// The server that a group belongs to; none: to several.
    pub(super) fn server_of_group(&self, node: &NodeKey) -> Option<ServerId> {
        let mut servers = self.inventory.rows_under(node).map(|row| row.uid().server());
        let first = servers.next()?;
        if self.inventory.grouping().first() == Some(&Level::Server) {
            return Some(first);
        }
        servers.all(|other| other == first).then_some(first)
    }

    /// The server of a group in a tree that has servers first; none where it has not, and for hosts.
    pub fn server_of_line(&self, line: &Line<'_>) -> Option<ServerId> {
        let first = self.inventory.grouping().first() == Some(&Level::Server);
        let node = Some(line.key()).filter(|node| first && matches!(node, NodeKey::Group(_)));
        self.server_of_group(&node?)
    }

    /// Why nothing with these needs can be done now, if so: on the server of what is under the
    /// cursor; where that is several, on any of them.
    pub fn cannot(&self, needs: Needs) -> Option<String> {
        if needs == Needs::Nothing {
            return None;
        }
        if let Some(here) = self.here() {
            return self.cannot_on(here, needs);
        }
        let mut first = None;
        for (id, _) in self.servers.used() {
            match self.cannot_on(id, needs) {
                None => return None,
                why => first = first.or(why),
            }
        }
        first
    }

    /// Why nothing with these needs can be done on a server now, if so.
    pub fn cannot_on(&self, server: ServerId, needs: Needs) -> Option<String> {
        if needs == Needs::Nothing {
            return None;
        }
        if let Some(why) = self.only_last(server) {
            return Some(self.about_server(server, &why));
        }
        if let Some(why) = self.servers.get(server).cannot(needs) {
            return Some(self.about_server(server, &self.settings.keymap.fill(&why)));
        }
        let busy = self.writing.going.iter().any(|going| going.is_on(server));
        let text = "a change is on its way: try again when it has ended";
        busy.then(|| self.about_server(server, text))
    }

    /// The permission that is missing for these needs, such as `patch hosts`.
    pub fn lacks(&self, needs: Needs) -> Option<String> {
        match self.here() {
            Some(here) => self.servers.get(here).lacks(needs),
            None => None,
        }
    }

    /// Why no host of this server can be changed now, if so: the server, or that we do not know
    /// who we are there.
    pub(super) fn cannot_act_on(&self, server: ServerId) -> Option<String> {
        if let Some(why) = self.cannot_on(server, PATCH_HOSTS) {
            return Some(why);
        }
        let here = self.servers.get(server);
        if here.holder.is_some() {
            return None;
        }
        let why = here.holder_problem.as_deref().unwrap_or("the server has not told yet");
        let text = format!("cannot hold a host without knowing who you are: {why}");
        Some(self.about_server(server, &text))
    }

    /// The configuration that is in force for what is on a server.
    pub fn config_on(&self, server: ServerId) -> &Config {
        self.servers.get(server).settings.own.as_deref().unwrap_or(&self.settings.config)
    }

    /// Disarms writing everywhere.
    pub(super) fn disarm_all(&mut self) {
        self.servers.iter_mut().for_each(Server::disarm);
    }

    /// The holder under which our holds on the server of this object stand.
    pub(super) fn holder(&self, uid: &Uid) -> &str {
        self.servers.of(uid).holder.as_deref().unwrap_or_default()
    }

    /// A server has told the name under which it knows us, or why it does not.
    pub(super) fn user_told(&mut self, server: ServerId, result: Result<String, String>) {
        let server = self.servers.get_mut(server);
        match result {
            Ok(user) => {
                server.holder = Some(change::holder(&user));
                server.user = Some(user);
            }
            Err(problem) => server.holder_problem = Some(problem),
        }
    }

    /// Arms or disarms writing on the server of what is under the cursor.
    pub(super) fn arm(&mut self) {
        let Some(here) = self.here() else {
            let (arm, servers) = (self.key(Action::Arm), self.key(Action::ViewServers));
            let text = format!(
                "{arm} is for one server: move the cursor to a host of it, or to it ({servers})"
            );
            return self.fail(text);
        };
        let length = self.settings.config.arm_for.as_secs();
        let seconds = i64::try_from(length).unwrap_or(i64::MAX / 2);
        let until = Timestamp::from_second(self.now.as_second().saturating_add(seconds)).ok();
        let disarmed = format!(
            "writing is disarmed: nothing can be changed ({} arms it)",
            self.key(Action::Arm)
        );
        let server = self.servers.get_mut(here);
        let text = if server.armed {
            server.disarm();
            disarmed
        } else {
            server.armed = true;
            server.armed_until = until;
            format!("writing is armed for {}", duration::short(seconds))
        };
        let text = self.about_server(here, &text);
        self.say(text);
    }

    /// Takes back what was armed until now.
    pub(super) fn disarm_in_time(&mut self) {
        let now = self.now;
        let mut over = None;
        for (id, server) in (0..).zip(self.servers.iter_mut()) {
            if server.armed_until.is_some_and(|until| until <= now) {
                server.disarm();
                over = ServerId::new(id);
            }
        }
        if let Some(id) = over {
            let text = format!("writing is disarmed again ({} arms it)", self.key(Action::Arm));
            let text = self.about_server(id, &text);
            self.say(text);
            self.dirty = true;
        }
    }

    /// A connection is there. Of two that lead to one server the first is used; where that cannot
    /// be told from the URL it is asked.
    pub(super) fn connected(
        &mut self,
        id: ServerId,
        url: String,
        instance: Option<String>,
    ) -> Vec<Command> {
        let server = self.servers.get_mut(id);
        server.settings.url = url;
        server.instance = instance;
        self.dirty = true;
        let mine = self.servers.get(id);
        let mut commands = Vec::new();
        let mut same = None;
        for (other, server) in self.servers.used().filter(|(other, _)| *other != id) {
            let (here, there) = (&mine.settings, &server.settings);
            let namespaces = here.namespace == there.namespace
                || here.namespace.is_none()
                || there.namespace.is_none();
            if !namespaces || there.url.is_empty() {
                continue;
            }
            match (&mine.instance, &server.instance) {
                (Some(a), Some(b)) if a != b => {}
                _ if here.url == there.url => same = same.or(Some(other)),
                (Some(_), Some(_)) => commands.push(Command::Compare(id.min(other), id.max(other))),
                _ => {}
            }
        }
        match same {
            Some(other) => self.leave(id.max(other), id.min(other)),
            None => commands,
        }
    }

    /// It is known whether two servers are one.
    pub(super) fn compared(
        &mut self,
        (one, other): (ServerId, ServerId),
        same: bool,
    ) -> Vec<Command> {
        let used = self.servers.get(one).is_used() && self.servers.get(other).is_used();
        if same && used { self.leave(other, one) } else { Vec::new() }
    }

    /// Shows nothing of a server any more, which is another one under a second name.
    fn leave(&mut self, left: ServerId, kept: ServerId) -> Vec<Command> {
        let now = self.now;
        let server = self.servers.get_mut(left);
        server.set_link(Link::Same(kept), now);
        server.last.forget();
        self.inventory.begin_resync(left);
        if self.removing(|inventory| inventory.end_resync(left)) > 0 {
            super::targets_gone(self);
        }
        self.clusters.forget(left);
        self.sources.forget(left);
        self.judge_sources();
        self.certificates.forget(left);
        self.changes.forget(left);
        if let Some(page) = &mut self.page {
            page.go_to_server(left, kept);
        }
        if let Overlay::Decide(strip) = &self.overlay
            && strip.server == left
        {
            self.overlay = Overlay::None;
        }
        self.dirty = true;
        let (name, other) = (self.servers.get(left).name(), self.servers.get(kept).name());
        let text = format!("{name} is the same server as {other}: its hosts are shown once");
        self.say(text);
        vec![Command::Leave(left)]
    }

    /// Tries to reach the server under the cursor of the list of servers now, else all of them.
    pub(super) fn reconnect(&mut self) -> Vec<Command> {
        let one = self.servers.spot.cursor.filter(|_| self.views.now == View::Servers);
        match one {
            Some(id) => {
                let text = format!("trying to reach {}", self.servers.get(id).name());
                self.say(text);
            }
            None if self.servers.several() => self.say("trying to reach the servers"),
            None => self.say("trying to reach the server"),
        }
        vec![Command::Reconnect(one)]
    }

    /// The filter that chooses the hosts of a server.
    pub(super) fn server_filter(&self, id: ServerId) -> String {
        let name = self.servers.get(id).name().to_lowercase();
        // The field finds parts of names: those that have this name in theirs are left out.
        let longer = self
            .servers
            .used()
            .filter(|(other, server)| *other != id && server.name().to_lowercase().contains(&name));
        let without = longer.map(|(_, server)| format!(" !server:{}", quoted(server.name())));
        format!("server:{}{}", quoted(&name), without.collect::<String>())
    }

    /// Shows the hosts of the server under the cursor in the tree, by the filter.
    pub(super) fn open_server(&mut self) {
        let Some(id) = self.servers.spot.cursor else { return };
        if let Link::Same(kept) = self.servers.get(id).link {
            let kept = self.servers.get(kept).name();
            let text = format!("this is {kept} under a second name: its hosts are shown once");
            return self.say(text);
        }
        let text = self.server_filter(id);
        self.filter.input = Input::new(text);
        self.filter.problems = false;
        self.apply_filter();
        self.go_to(View::Fleet);
    }
}

/// A text as a value of a filter.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests;
