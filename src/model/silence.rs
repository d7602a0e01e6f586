//! Which silences Alertmanager must have for hosts in maintenance, and what is to be done so that it
//! has them.
//!
//! One silence for each host that is held, with all its holders. Alertmanager keeps it, and is asked for
//! it after a restart: the comment ends with a mark, `[inv-tui OWNER/UID HOLD,HOLD]`, that says of which
//! inventory, host and holds it is. What has no mark of our owner does not exist here.
//!
//! A silence that a person expires by hand stays expired as long as the same holds last. Alertmanager
//! does not say who ended a silence; but one that runs out was changed before its end, and one that is
//! ended is changed at its end, and what we end ourselves is marked `ended` before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::labels::short_hash;
use super::record::{HoldRecord, HostRecord};
use super::row::CLOCK_SLACK;
use super::text;

mod template;

pub use template::{Names, Template};

/// A silence begins this much before now: whatever clock is ahead, it is in force at once.
/// Alertmanager makes its own now of a begin in the past.
const BEGIN: SignedDuration = SignedDuration::from_mins(5);
/// Two ends that are no further apart are the same.
const SAME: SignedDuration = SignedDuration::from_secs(1);

/// Everything about silences that is set once.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which inventory they belong to: letters, digits and `._-`.
    pub owner: String,
    /// What a silence matches, all of it.
    pub matchers: Vec<MatcherRule>,
    /// How far ahead a silence ends at most. It is renewed when half of that is left.
    pub ahead: SignedDuration,
}

/// One matcher of a rule.
#[derive(Clone, Debug)]
pub struct MatcherRule {
    /// Label of the alert.
    pub name: String,
    /// Its value, with the host's own names in it.
    pub value: Template,
    /// The value is a regular expression.
    pub regex: bool,
}

/// A matcher as Alertmanager has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Matcher {
    /// Label of the alert.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The value is a regular expression.
    pub is_regex: bool,
    /// The alert's value must be it; else it must not. An old Alertmanager does not say.
    #[serde(default = "yes")]
    pub is_equal: bool,
}

fn yes() -> bool {
    true
}

/// A host that is held.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// How alerts may call it.
    pub names: Names,
    /// Its holds, those to come too, in the order of their holders.
    pub holds: Vec<Hold>,
}

/// One hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Who holds the host, clean.
    pub holder: String,
    /// Why, clean.
    pub reason: String,
    /// From when it counts.
    pub begin: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// Which hold it is: another one of the same holder has another id.
    pub id: String,
}

impl Hold {
    /// The hold; none where it has no end that could be read.
    pub fn of(holder: &str, hold: &HoldRecord) -> Option<Self> {
        let since = hold.since.unwrap_or(Timestamp::MIN);
        Some(Self {
            holder: text::clean(holder).into_owned(),
            reason: text::clean(hold.reason.as_deref().unwrap_or_default().trim()).into_owned(),
            begin: since.saturating_sub(CLOCK_SLACK).unwrap_or(Timestamp::MIN),
            until: hold.until?,
            id: short_hash(&format!("{holder}\n{since}")),
        })
    }

    /// Whether it is in force.
    pub fn is_current(&self, now: Timestamp) -> bool {
        self.begin <= now && now < self.until
    }
}

/// The holds of a host, those to come too.
pub fn holds(record: &HostRecord) -> Vec<Hold> {
    record.spec.maintenance.iter().filter_map(|(holder, hold)| Hold::of(holder, hold)).collect()
}

impl Held {
    /// The host, if it has a hold at all.
    pub fn of(record: &HostRecord) -> Option<Self> {
        let holds = holds(record);
        (!holds.is_empty()).then(|| Self { names: Names::of(record), holds })
    }

    /// When a hold begins or ends next.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.holds.iter().flat_map(|hold| [hold.begin, hold.until]);
        times.filter(|time| *time > now).min()
    }
}

/// A silence as Alertmanager tells of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Silence {
    /// Its id.
    pub id: String,
    /// How it is.
    pub status: Status,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Its begin.
    pub starts_at: Timestamp,
    /// Its end.
    pub ends_at: Timestamp,
    /// What it matches.
    pub matchers: Vec<Matcher>,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
}

/// How a silence is.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// `active`, `pending` or `expired`.
    pub state: String,
}

impl Silence {
    /// Whether it is in force or will be.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.status.state != "expired" && self.ends_at > now
    }

    /// Somebody ended it before its time, and not we.
    fn is_ended_by_hand(&self, mark: &Mark) -> bool {
        self.status.state == "expired" && self.updated_at >= self.ends_at && !mark.ended
    }
}

/// A silence as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Post {
    /// The silence that is changed; none: a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it matches.
    pub matchers: Vec<Matcher>,
    /// Its begin.
    pub starts_at: Timestamp,
    /// Its end.
    pub ends_at: Timestamp,
    /// Who made it: the holders.
    pub created_by: String,
    /// The reasons, and the mark.
    pub comment: String,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A silence is made.
    Create(Post),
    /// A silence is changed; the id is in it.
    Change(Post),
    /// A silence is marked as ended by us and then ended.
    End(Post),
}

/// The end of a comment that says whose silence it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which inventory.
    pub owner: String,
    /// Uid of the host.
    pub uid: String,
    /// Ids of the holds.
    pub holds: BTreeSet<String>,
    /// We ended it.
    pub ended: bool,
}

impl Mark {
    const BEGIN: &str = "[inv-tui ";

    /// The mark at the end of a comment.
    pub fn find(comment: &str) -> Option<Self> {
        let (_, mark) = comment.trim_end().strip_suffix(']')?.rsplit_once(Self::BEGIN)?;
        let mut words = mark.split(' ');
        let (owner, uid) = words.next()?.split_once('/')?;
        let holds = words.next()?.split(',').map(str::to_owned).collect();
        let ended = match words.next() {
            None => false,
            Some("ended") => true,
            Some(_) => return None,
        };
        let complete = !owner.is_empty() && !uid.is_empty() && words.next().is_none();
        complete.then(|| Self { owner: owner.to_owned(), uid: uid.to_owned(), holds, ended })
    }

    fn write(&self, comment: &mut String) {
        let holds: Vec<&str> = self.holds.iter().map(String::as_str).collect();
        let ended = if self.ended { " ended" } else { "" };
        let _ = write!(
            comment,
            "{}{}/{} {}{ended}]",
            Self::BEGIN,
            self.owner,
            self.uid,
            holds.join(",")
        );
    }
}

/// Why a host that is held has no silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// Somebody ended it by hand.
    EndedByHand,
    /// A name that the matchers want is not known of the host, so they would match others too.
    Nameless,
}

/// What a look at one host comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is to be done, in this order.
    pub acts: Vec<Act>,
    /// When to look again, if nothing else happens before.
    pub next: Option<Timestamp>,
    /// It is held and is to have no silence.
    pub without: Option<Without>,
}

impl Rule {
    /// What is to be done for one host. `found` are the silences that have its mark, `held` is none for
    /// a host without holds or one that is gone.
    pub fn plan(&self, held: Option<&Held>, found: &[(Silence, Mark)], now: Timestamp) -> Plan {
        let mut live: Vec<&(Silence, Mark)> =
            found.iter().filter(|(silence, _)| silence.is_live(now)).collect();
        live.sort_by(|(a, _), (b, _)| (a.starts_at, &a.id).cmp(&(b.starts_at, &b.id)));
        let current: Vec<&Hold> =
            held.iter().flat_map(|held| &held.holds).filter(|hold| hold.is_current(now)).collect();
        let wanted: Vec<&Hold> =
            current.iter().copied().filter(|hold| !is_declined(&hold.id, found, now)).collect();
        let mut plan =
            Plan { next: held.and_then(|held| held.next_change(now)), ..Plan::default() };
        let matchers = held.filter(|_| !wanted.is_empty()).map(|held| self.matchers(&held.names));
        let (Some(held), Some(Some(matchers))) = (held, &matchers) else {
            plan.without = match matchers {
                Some(None) => Some(Without::Nameless),
                _ if current.is_empty() => None,
                _ => Some(Without::EndedByHand),
            };
            plan.acts = live.into_iter().map(end).collect();
            return plan;
        };
        let until = wanted.iter().map(|hold| hold.until).max().unwrap_or(now);
        let most = now.saturating_add(self.ahead).unwrap_or(Timestamp::MAX);
        let mut post = Post {
            id: None,
            matchers: matchers.clone(),
            starts_at: now.saturating_sub(BEGIN).unwrap_or(now),
            ends_at: until.min(most),
            created_by: holders(&wanted),
            comment: self.comment(&held.names.uid, &wanted),
        };
        let mut live = live.into_iter();
        match live.next() {
            None => plan.acts.push(Act::Create(post.clone())),
            Some((silence, _)) => {
                post.id = Some(silence.id.clone());
                post.starts_at = silence.starts_at;
                let late = silence.ends_at > until.saturating_add(SAME).unwrap_or(until);
                let same = silence.matchers == post.matchers
                    && silence.created_by == post.created_by
                    && silence.comment == post.comment;
                if late || !same || self.is_due(silence.ends_at, until, now) {
                    plan.acts.push(Act::Change(post.clone()));
                } else {
                    post.ends_at = silence.ends_at;
                }
            }
        }
        plan.acts.extend(live.map(end));
        if post.ends_at.saturating_add(SAME).unwrap_or(until) < until {
            let renew = post.ends_at.saturating_sub(self.ahead / 2).unwrap_or(now);
            plan.next = Some(plan.next.map_or(renew, |next| next.min(renew)));
        }
        plan
    }

    /// Whether a silence with this end must be renewed: less than half of its time is left.
    fn is_due(&self, ends: Timestamp, until: Timestamp, now: Timestamp) -> bool {
        ends.saturating_add(SAME).unwrap_or(until) < until
            && ends.duration_since(now) <= self.ahead / 2
    }

    /// None: a name is missing.
    fn matchers(&self, names: &Names) -> Option<Vec<Matcher>> {
        let matcher = |rule: &MatcherRule| {
            Some(Matcher {
                name: rule.name.clone(),
                value: rule.value.fill(names, rule.regex)?,
                is_regex: rule.regex,
                is_equal: true,
            })
        };
        self.matchers.iter().map(matcher).collect()
    }

    fn comment(&self, uid: &str, holds: &[&Hold]) -> String {
        let mut comment = String::new();
        for hold in holds {
            let Hold { holder, reason, until, .. } = hold;
            let _ = write!(comment, "{reason} ({holder}, until {until}) ");
        }
        let mark = Mark {
            owner: self.owner.clone(),
            uid: uid.to_owned(),
            holds: holds.iter().map(|hold| hold.id.clone()).collect(),
            ended: false,
        };
        mark.write(&mut comment);
        comment
    }
}

/// Whether the last silence for this hold was ended by hand.
fn is_declined(hold: &str, found: &[(Silence, Mark)], now: Timestamp) -> bool {
    let carrying = found.iter().filter(|(_, mark)| mark.holds.contains(hold));
    // One that was changed into another has the earlier begin.
    let last = carrying.max_by_key(|(silence, _)| (silence.is_live(now), silence.starts_at));
    last.is_some_and(|(silence, mark)| silence.is_ended_by_hand(mark))
}

fn end((silence, mark): &(Silence, Mark)) -> Act {
    let mut comment = match silence.comment.rsplit_once(Mark::BEGIN) {
        Some((reasons, _)) => reasons.to_owned(),
        None => String::new(),
    };
    Mark { ended: true, ..mark.clone() }.write(&mut comment);
    Act::End(Post {
        id: Some(silence.id.clone()),
        matchers: silence.matchers.clone(),
        starts_at: silence.starts_at,
        ends_at: silence.ends_at,
        created_by: silence.created_by.clone(),
        comment,
    })
}

fn holders(holds: &[&Hold]) -> String {
    let names: Vec<&str> = holds.iter().map(|hold| hold.holder.as_str()).collect();
    names.join(", ")
}

/// The silences of this owner by the uid of their host; those of others are left out.
pub fn by_host(owner: &str, all: Vec<Silence>) -> BTreeMap<String, Vec<(Silence, Mark)>> {
    let mut found: BTreeMap<String, Vec<(Silence, Mark)>> = BTreeMap::new();
    for silence in all {
        let Some(mark) = Mark::find(&silence.comment).filter(|mark| mark.owner == owner) else {
            continue;
        };
        found.entry(mark.uid.clone()).or_default().push((silence, mark));
    }
    found
}

#[cfg(test)]
mod tests;
