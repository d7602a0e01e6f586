//! The certificates view: requests for certificates, decoded, compared with the hosts that they
//! claim to be, approved or denied.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound::{Included, Unbounded};

use jiff::Timestamp;

use super::decide::{Decide, OfHost};
use super::views::{Listed, Spot, View};
use super::{Model, Overlay};
use crate::act::certificates::Decision;
use crate::model::csr::{
    About, HOST_PREFIX, HOSTS, History, HostFacts, Mismatch, Policy, Request, State, mismatches,
    suspicions,
};
use crate::model::host::Operation;
use crate::model::inventory::Inventory;
use crate::model::key::{ServerId, Uid};
use crate::model::row::HostRow;
use crate::store::certificates::{CsrEvent, Decoded, about};
use crate::ui::actions::{Action, Needs};
use crate::ui::msg::{Command, Decided};

/// What every decision needs.
const DECIDE: Needs = Needs::Write("update", "certificatesigningrequests/approval");

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What was read.
    pub read: Decoded,
    /// It has come with the listing that goes on.
    listed: bool,
}

impl Item {
    /// The object around the request.
    pub fn about(&self) -> &About {
        about(&self.read)
    }

    fn is_pending(&self) -> bool {
        self.about().state == State::Pending
    }
}

/// A name that requests claim to be, in one namespace of one server.
#[derive(Clone, Debug, Default)]
struct Claimed {
    server: ServerId,
    namespace: String,
    /// The host of that name that was seen last.
    host: Option<Uid>,
    requests: HashSet<Uid>,
}

/// Where a request stands in the list: those that wait first, the newest first.
type Place = (bool, Reverse<Option<Timestamp>>, String);

/// Server, namespace and name that a request claims to be of.
type Claim<'a> = (ServerId, &'a str, &'a str);

impl Claimed {
    fn is_of(&self, server: ServerId, namespace: &str) -> bool {
        self.server == server && self.namespace == namespace
    }
}

/// The requests for certificates.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    items: HashMap<Uid, Item>,
    /// Those that wait first, each the newest first.
    order: BTreeSet<(Place, Uid)>,
    pending: usize,
    /// By the name that they claim.
    claims: HashMap<String, Vec<Claimed>>,
    /// There are new claims, whose hosts have not been looked for. Of a host that comes later its
    /// event tells.
    new_claims: bool,
    policy: Policy,
    /// Where one is in the list.
    pub spot: Spot,
    /// The servers whose list has been complete once.
    synced: BTreeSet<ServerId>,
    /// Why those of a server cannot be followed.
    problems: BTreeMap<ServerId, String>,
    /// A decision is on its way.
    pub sending: bool,
}

impl Listed for &Certificates {
    type Key = Uid;

    fn len(&self) -> usize {
        self.order.len()
    }

    fn rank(&self, key: &Uid) -> Option<usize> {
        Some(self.order.range(..self.entry(key)?).count())
    }

    fn nth(&self, rank: usize) -> Option<Uid> {
        self.order.iter().nth(rank).map(|(_, uid)| uid.clone())
    }
}

impl Certificates {
    /// How many there are, and how many of them wait.
    pub fn len(&self) -> (usize, usize) {
        (self.order.len(), self.pending)
    }

    /// Whether the list of any server has been complete once.
    pub fn synced(&self) -> bool {
        !self.synced.is_empty()
    }

    /// Why those of a server cannot be followed, if so.
    pub fn problem(&self, server: ServerId) -> Option<&str> {
        self.problems.get(&server).map(String::as_str)
    }

    /// Why those of the first server of which they cannot be followed are not, if there is one.
    pub fn any_problem(&self) -> Option<&str> {
        self.problems.values().next().map(String::as_str)
    }

    /// Forgets a server.
    pub(super) fn forget(&mut self, server: ServerId) {
        let gone: Vec<Uid> =
            self.items.keys().filter(|uid| uid.server() == server).cloned().collect();
        for uid in &gone {
            self.take_out(uid);
        }
        self.synced.remove(&server);
        self.problems.remove(&server);
    }

    /// The request with this uid.
    pub fn get(&self, uid: &Uid) -> Option<&Item> {
        self.items.get(uid)
    }

    /// The request under the cursor.
    pub fn item(&self) -> Option<&Item> {
        self.get(self.spot.cursor.as_ref()?)
    }

    /// The lines from the first one of the screen on.
    pub fn lines(&self) -> impl Iterator<Item = (&Uid, &Item)> {
        let top = self.spot.top.as_ref().and_then(|top| self.entry(top));
        let shown = self.order.range((top.map_or(Unbounded, Included), Unbounded));
        shown.filter_map(|(_, uid)| Some((uid, self.items.get(uid)?)))
    }

    /// The newest request of this host that waits.
    pub fn pending_of(&self, row: &HostRow) -> Option<&Uid> {
        let claimed = self.claimed((row.uid().server(), row.namespace(), row.name()))?;
        let waits = |uid: &&Uid| self.items.get(*uid).is_some_and(Item::is_pending);
        claimed.requests.iter().filter(waits).max_by_key(|uid| self.place(uid).map(Reverse))
    }

    /// The newest request of this host, whatever came of it; one that waits before any other.
    pub fn newest_of(&self, row: &HostRow) -> Option<&Item> {
        if let Some(pending) = self.pending_of(row) {
            return self.get(pending);
        }
        let claimed = self.claimed((row.uid().server(), row.namespace(), row.name()))?;
        let items = claimed.requests.iter().filter_map(|uid| self.items.get(uid));
        items.max_by_key(|item| item.about().created)
    }

    fn claimed(&self, (server, namespace, name): Claim<'_>) -> Option<&Claimed> {
        let mut claims = self.claims.get(name)?.iter();
        claims.find(|claimed| claimed.is_of(server, namespace))
    }

    /// Where a request stands in the list.
    fn place(&self, uid: &Uid) -> Option<Place> {
        let item = self.items.get(uid)?;
        let about = item.about();
        let at = about.decision.as_ref().and_then(|decision| decision.at).or(about.created);
        Some((!item.is_pending(), Reverse(at), about.name.clone()))
    }

    fn entry(&self, uid: &Uid) -> Option<(Place, Uid)> {
        Some((self.place(uid)?, uid.clone()))
    }

    /// Takes a request out of the list, where it still stands as it was.
    fn unlist(&mut self, uid: &Uid) {
        if let Some(entry) = self.entry(uid).filter(|entry| self.order.remove(entry)) {
            let (waits_not, ..) = entry.0;
            self.pending = self.pending.saturating_sub(usize::from(!waits_not));
        }
    }

    fn put(&mut self, server: ServerId, read: Decoded) -> Option<Uid> {
        let uid = Uid::on(server, about(&read).uid.as_str());
        if !is_shown(&read, &self.policy) {
            return self.take_out(&uid).then_some(uid);
        }
        if let Ok(request) = &read
            && let Some((namespace, name)) = request.host()
        {
            let claims = self.claims.entry(name.to_owned()).or_default();
            let known = claims.iter_mut().find(|claimed| claimed.is_of(server, namespace));
            if let Some(claimed) = known {
                claimed.requests.insert(uid.clone());
            } else {
                self.new_claims = true;
                claims.push(Claimed {
                    server,
                    namespace: namespace.to_owned(),
                    host: None,
                    requests: HashSet::from([uid.clone()]),
                });
            }
        }
        self.unlist(&uid);
        let item = Item { read, listed: true };
        self.pending += usize::from(item.is_pending());
        self.items.insert(uid.clone(), item);
        self.order.extend(self.entry(&uid));
        Some(uid)
    }

    fn take_out(&mut self, uid: &Uid) -> bool {
        self.unlist(uid);
        let Some(item) = self.items.remove(uid) else { return false };
        if let Ok(request) = &item.read
            && let Some((namespace, name)) = request.host()
            && let Some(claims) = self.claims.get_mut(name)
        {
            for claimed in
                claims.iter_mut().filter(|claimed| claimed.is_of(uid.server(), namespace))
            {
                claimed.requests.remove(uid);
            }
            claims.retain(|claimed| !claimed.requests.is_empty());
            if claims.is_empty() {
                self.claims.remove(name);
            }
        }
        true
    }

    /// Finds the hosts of new claims. One pass over the fleet, and only when a claim is new: most
    /// hosts that are not there now never come.
    fn find_hosts(&mut self, inventory: &Inventory) {
        if !std::mem::take(&mut self.new_claims) {
            return;
        }
        for row in inventory.rows() {
            self.host_seen((row.uid().server(), row.namespace(), row.name()), row.uid());
        }
    }

    /// A host has come or changed.
    pub(super) fn host_seen(&mut self, (server, namespace, name): Claim<'_>, uid: &Uid) {
        let Some(claims) = self.claims.get_mut(name) else { return };
        for claimed in claims.iter_mut().filter(|claimed| claimed.is_of(server, namespace)) {
            claimed.host = Some(uid.clone());
        }
    }

    /// The host that a request of a server claims to be, if there is one of that name.
    pub fn host<'a>(
        &self,
        inventory: &'a Inventory,
        server: ServerId,
        read: &Decoded,
    ) -> Option<&'a HostRow> {
        let (namespace, name) = read.as_ref().ok()?.host()?;
        inventory.get(self.claimed((server, namespace, name))?.host.as_ref()?)
    }

    /// What does not fit in a request of a server, with the host that it claims to be, and in the light of what
    /// was asked for before. `operations` are those of the host, where they are known.
    pub fn check(
        &self,
        inventory: &Inventory,
        (server, request): (ServerId, &Request),
        operations: &[Operation],
        now: Timestamp,
    ) -> Vec<Mismatch> {
        let claimed = request.host().and_then(|(ns, name)| self.claimed((server, ns, name)));
        let row = claimed.and_then(|claimed| inventory.get(claimed.host.as_ref()?));
        let mut found = mismatches(request, row.map(facts).as_ref(), &self.policy);
        let all = claimed.into_iter().flat_map(|claimed| &claimed.requests);
        let all = all.filter_map(|uid| self.items.get(uid)?.read.as_ref().ok());
        let history = History::of(request, all, operations, now);
        found.extend(suspicions(request, &history, &self.policy));
        found
    }

    /// Takes what has happened on a server; which requests it was about.
    fn take(&mut self, server: ServerId, events: Vec<CsrEvent>, inventory: &Inventory) -> Vec<Uid> {
        let mut touched = Vec::new();
        for event in events {
            match event {
                CsrEvent::Begin => {
                    for (uid, item) in &mut self.items {
                        item.listed &= uid.server() != server;
                    }
                }
                CsrEvent::Apply(read) => touched.extend(self.put(server, *read)),
                CsrEvent::Delete(uid) => {
                    let uid = Uid::on(server, uid);
                    self.take_out(&uid);
                    touched.push(uid);
                }
                CsrEvent::Synced => {
                    let old = self
                        .items
                        .iter()
                        .filter(|(uid, item)| !item.listed && uid.server() == server);
                    let old: Vec<Uid> = old.map(|(uid, _)| uid.clone()).collect();
                    for uid in old {
                        self.take_out(&uid);
                        touched.push(uid);
                    }
                    self.synced.insert(server);
                    self.problems.remove(&server);
                }
                CsrEvent::Lost(problem) | CsrEvent::Refused(problem) => {
                    self.problems.insert(server, problem);
                }
            }
        }
        self.find_hosts(inventory);
        touched
    }
}

/// What a row knows of its host for this.
fn facts(row: &HostRow) -> HostFacts {
    HostFacts {
        namespace: row.namespace().to_owned(),
        name: row.name().to_owned(),
        phase: Some(row.phase()),
        listed_as_running: row.is_listed_as_running(),
        service_state: row.service_state(),
        deleting: row.is_deleting(),
    }
}

/// Whether a request is any business of ours: for a signer that signs hosts, or it claims to be of
/// a host. Those of a kubelet are not.
fn is_shown(read: &Decoded, policy: &Policy) -> bool {
    let claims = read.as_ref().is_ok_and(|request| {
        request.users().any(|user| user.starts_with(HOST_PREFIX))
            || request.groups().any(|group| group == HOSTS)
    });
    claims || policy.signers.contains(&about(read).signer)
}

impl Model {
    /// Takes what happened to the requests.
    pub(super) fn certificates_changed(&mut self, server: ServerId, events: Vec<CsrEvent>) {
        if !self.servers.get(server).is_used() {
            return;
        }
        let touched = self.certificates.take(server, events, &self.inventory);
        self.dirty = true;
        let Overlay::Decide(strip) = &mut self.overlay else { return };
        let uid = Uid::on(strip.server, strip.about.uid.as_str());
        if !touched.contains(&uid) {
            return;
        }
        let name = strip.about.name.clone();
        let gone = match self.certificates.get(&uid) {
            None => Some(format!("{name} is gone: nothing was decided")),
            Some(item) if !item.is_pending() => {
                Some(format!("{name} is {} already", item.about().state.as_str()))
            }
            Some(item) => {
                if item.about().resource_version != strip.about.resource_version {
                    strip.moved = true;
                }
                None
            }
        };
        if let Some(text) = gone {
            self.overlay = Overlay::None;
            self.fail(text);
        }
    }

    /// The host whose whole object is read for the detail pane: the one under the cursor, or the
    /// one that the request under the cursor claims to be.
    pub(super) fn detail_host(&self) -> Option<&HostRow> {
        if self.views.now == View::Certificates {
            let server = self.certificates.spot.cursor.as_ref()?.server();
            return self.certificates.host(
                &self.inventory,
                server,
                &self.certificates.item()?.read,
            );
        }
        self.host()
    }

    /// Why nothing can be decided now, if so, on the server of what is under the cursor.
    pub fn cannot_decide(&self) -> Option<String> {
        match self.here() {
            Some(here) => self.cannot_decide_on(here),
            None => self.cannot(DECIDE),
        }
    }

    /// Why nothing can be decided on a server now, if so.
    fn cannot_decide_on(&self, server: ServerId) -> Option<String> {
        if self.certificates.sending {
            return Some("a decision is on its way: try again when it has been made".to_owned());
        }
        self.cannot_on(server, DECIDE).or_else(|| {
            let missing = self.servers.get(server).missing.as_ref()?;
            let text =
                format!("your user lacks the permission to {missing}; ask for the approver role");
            Some(self.about_server(server, &text))
        })
    }

    /// Opens the strip that approves or denies: the request under the cursor, or that of the host
    /// under the cursor.
    pub(super) fn decide(&mut self, approve: bool) {
        let uid = match self.views.now {
            View::Certificates => self.certificates.spot.cursor.clone(),
            _ => match self.host() {
                None => {
                    let (approve, deny) = (self.key(Action::Approve), self.key(Action::Deny));
                    let text = format!(
                        "{approve} and {deny} are for a request for a certificate: {} shows them",
                        self.key(Action::ViewCertificates)
                    );
                    return self.say(text);
                }
                Some(row) => {
                    let Some(uid) = self.certificates.pending_of(row) else {
                        let text = match self.certificates.problem(row.uid().server()) {
                            Some(problem) => problem.to_owned(),
                            None => format!(
                                "{} has no request for a certificate that waits",
                                row.display()
                            ),
                        };
                        return self.say(text);
                    };
                    Some(uid.clone())
                }
            },
        };
        let found = uid.and_then(|uid| Some((uid.server(), self.certificates.get(&uid)?.clone())));
        let Some((server, item)) = found else {
            return self.say("there is no request here: the list is empty");
        };
        if let Some(problem) = self.cannot_decide_on(server) {
            return self.fail(problem);
        }
        let about = item.about();
        if !item.is_pending() {
            let state = about.state.as_str();
            let text = format!("{} is {state} already: that cannot be changed", about.name);
            return self.say(text);
        }
        let found = match &item.read {
            Ok(request) => {
                let operations = self.operations_of(server, &item.read);
                let request = (server, request);
                self.certificates.check(&self.inventory, request, operations, self.now)
            }
            Err(problem) if approve => {
                let text = format!("{} cannot be approved: {}", about.name, problem.why);
                return self.fail(text);
            }
            Err(_) => Vec::new(),
        };
        self.notice = None;
        let row = self.certificates.host(&self.inventory, server, &item.read);
        let host = row.map(|row| (row.namespace().to_owned(), row.name().to_owned()));
        let claimed = match row {
            Some(row) if approve => match self.detail.answered(row) {
                Some(Ok(())) => OfHost::Known,
                Some(Err(problem)) => OfHost::Unread(problem.to_owned()),
                None => OfHost::Asked(row.uid().clone()),
            },
            _ => OfHost::Known,
        };
        let strip = Decide { server, claimed, ..Decide::new(approve, item.read, host, found) };
        self.overlay = Overlay::Decide(Box::new(strip));
    }

    /// The host that is to be read before the open strip approves its request.
    pub(super) fn claimed_host(&self) -> Option<&HostRow> {
        let Overlay::Decide(strip) = &self.overlay else { return None };
        let OfHost::Asked(uid) = &strip.claimed else { return None };
        self.inventory.get(uid)
    }

    /// Tells the strip that waits for its host when that has been read, or is gone.
    pub(super) fn look_at_claimed(&mut self) {
        let Overlay::Decide(strip) = &self.overlay else { return };
        let OfHost::Asked(host) = &strip.claimed else { return };
        let claimed = match self.inventory.get(host).map(|row| self.detail.answered(row)) {
            Some(None) => return,
            Some(Some(Err(problem))) => OfHost::Unread(problem.to_owned()),
            Some(Some(Ok(()))) | None => OfHost::Known,
        };
        let uid = Uid::on(strip.server, strip.about.uid.as_str());
        let Some(item) = self.certificates.get(&uid) else { return };
        let Ok(request) = &item.read else { return };
        let operations = self.operations_of(uid.server(), &item.read);
        let request = (uid.server(), request);
        let found = self.certificates.check(&self.inventory, request, operations, self.now);
        if let Overlay::Decide(strip) = &mut self.overlay {
            strip.host_read(claimed, found);
        }
    }

    /// What was done lately to the host that a request of a server claims to be, if its object is at
    /// hand.
    pub fn operations_of(&self, server: ServerId, read: &Decoded) -> &[Operation] {
        let row = self.certificates.host(&self.inventory, server, read);
        let host = row.and_then(|row| self.detail.of(row.uid()));
        let status = host.and_then(|host| host.status.as_ref());
        status.map_or(&[], |status| &status.operations)
    }

    /// Sends what the strip has confirmed.
    pub(super) fn send_decision(&mut self, server: ServerId, decision: Decision) -> Vec<Command> {
        if let Some(problem) = self.cannot_decide_on(server) {
            self.fail(problem);
            return Vec::new();
        }
        self.overlay = Overlay::None;
        self.certificates.sending = true;
        self.say("sent, waiting for the server");
        vec![Command::Decide(server, Box::new(decision))]
    }

    /// Takes what came of a decision.
    pub(super) fn decided(&mut self, name: &str, approve: bool, result: Decided) {
        self.certificates.sending = false;
        match result {
            Decided::Done if approve => self.say(format!("{name} is approved")),
            Decided::Done => self.say(format!("{name} is denied")),
            Decided::Conflict(why) => {
                self.fail(format!("{name}: {why}; nothing was decided, look at it again"));
            }
            Decided::Gone => self.fail(format!("{name} is gone: nothing was decided")),
            Decided::Failed(problem) => self.fail(problem),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
