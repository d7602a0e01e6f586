//! The state of the explorer, and the one function that changes it.

pub mod certificates;
pub mod changes;
pub mod clusters;
pub mod columns;
pub mod complete;
mod configure;
pub mod decide;
pub mod detail;
pub mod explain;
pub mod facets;
pub mod filter;
pub mod freeze;
pub mod greeting;
pub mod history;
pub mod ids;
pub mod input;
pub mod journal;
pub mod jump;
mod keys;
pub mod labels;
pub mod last;
pub mod marks;
pub mod messages;
mod mouse;
pub mod orders;
pub mod page;
pub mod palette;
pub mod picker;
pub mod run_dialog;
pub mod saved;
pub mod servers;
pub mod shaping;
pub mod sources;
pub mod strip;
mod tree;
pub mod views;
mod writing;

use std::collections::VecDeque;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::layout::Rect;

use crate::config::Config;
use crate::config::views::{KnownView, SavedView};
use crate::model::changes::{Before, Changes};
use crate::model::inventory::{Folds, Inventory};
use crate::model::key::{NodeKey, ServerId, Uid};
use crate::model::row::HostRow;
use crate::model::shape::Shape;
use crate::store::watch::{FleetEvent, HostChange};
use crate::ui::actions::Action;
use crate::ui::keymap::Keymap;
use crate::ui::msg::{Command, Msg};
use crate::ui::theme::{self, Theme};
use crate::ui::view::layout::{self, Areas};

pub use certificates::Certificates;
pub use changes::ChangesView;
pub use clusters::Clusters;
pub use columns::Columns;
pub use configure::with_auto;
pub use decide::Decide;
pub use detail::Detail;
pub use facets::Facets;
pub use filter::FilterLine;
pub use freeze::Frozen;
pub use greeting::Greeting;
pub use journal::Journal;
pub use keys::copy_choices;
pub use labels::LabelDialog;
pub use last::LastFleet;
pub use page::Page;
pub use palette::Palette;
pub use picker::Picker;
pub use run_dialog::RunDialog;
pub use saved::{SaveDialog, Saved, SavedList};
pub use servers::{Server, ServerSettings, Servers};
pub use sources::Sources;
pub use strip::Strip;
pub use views::{View, Views};
pub use writing::Writing;

/// Rows that a filter pass tests before it looks at the keyboard again.
const FILTER_STEP: usize = 16_384;

/// What the explorer is told once, at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration with the command line laid over it.
    pub config: Config,
    /// The servers whose hosts are shown, at least one.
    pub servers: Vec<ServerSettings>,
    /// Name of the theme.
    pub theme: String,
    /// Draw with ASCII characters only.
    pub ascii: bool,
    /// The terminal can show nothing but ASCII, whatever the configuration says.
    pub only_ascii: bool,
    /// The keys in force.
    pub keymap: Keymap,
    /// Names of all themes, a person's own ones too.
    pub themes: Vec<String>,
    /// Zone of the times on the screen.
    pub time_zone: TimeZone,
    /// What names of orders are made from; no other program has it.
    pub seed: u128,
    /// The saved views that there are.
    pub saved: Vec<KnownView>,
    /// The fleet is kept on disk for the next start.
    pub keeps: bool,
    /// The one to begin with.
    pub view: Option<SavedView>,
}

impl Settings {
    /// For a server that a context names: the default theme, keys and zone (UTC), and nothing kept.
    pub fn new(config: Config, context: &str, server: &str) -> Self {
        Self {
            servers: vec![ServerSettings {
                context: context.to_owned(),
                url: server.to_owned(),
                read_only: config.read_only,
                ..ServerSettings::default()
            }],
            config,
            theme: "night".to_owned(),
            ascii: false,
            only_ascii: false,
            keymap: Keymap::default(),
            themes: with_auto(theme::names(None)),
            time_zone: TimeZone::UTC,
            seed: 7,
            saved: Vec::new(),
            keeps: false,
            view: None,
        }
    }
}

/// How the connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Nothing has come yet.
    Connecting,
    /// The list is on its way.
    Listing,
    /// Changes come as they happen.
    Live,
    /// The server is out of reach; the data is as old as `since`.
    Lost {
        /// When it was lost.
        since: Timestamp,
        /// Why.
        reason: String,
        /// Attempts so far.
        attempts: u32,
    },
    /// It is another server under a second name: its hosts are shown there.
    Same(ServerId),
}

/// Something that lies over the tree and takes the keys.
#[derive(Clone, Debug, PartialEq)]
pub enum Overlay {
    /// Nothing.
    None,
    /// The filter line is being edited; the second is true while its grammar is shown.
    Filter,
    /// The grammar of the filter, over the filter line.
    Grammar,
    /// The change strip.
    Strip(Box<Strip>),
    /// The strip that approves or denies a request for a certificate.
    Decide(Box<Decide>),
    /// The run dialog.
    Run(Box<RunDialog>),
    /// The dialog for labels.
    Labels(Box<LabelDialog>),
    /// What came of the last order for several hosts.
    Results,
    /// The palette.
    Palette(Palette),
    /// What is looked for on a page is being typed.
    Search,
    /// The choice of columns, or of what the tree is grouped by.
    Pick(Box<Picker>),
    /// The list of saved views.
    Saved(SavedList),
    /// The dialog that saves a view.
    SaveView(SaveDialog),
    /// The copy menu.
    Copy,
    /// The pages of a host, to choose from.
    Browse(Vec<jump::Page>),
    /// The help, scrolled down by lines.
    Help(usize),
}

/// Which pane has the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    /// The tree.
    Tree,
    /// The detail pane.
    Detail,
    /// The facets.
    Facets,
}

/// A line for the person. An error stays until it is dismissed or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The text.
    pub text: String,
    /// Whether it is an error.
    pub error: bool,
    /// When it came.
    pub at: Timestamp,
    /// How often the same text has come.
    pub times: u32,
}

/// The whole state.
pub struct Model {
    /// What was told at the start.
    pub settings: Settings,
    /// The time, as the last tick told it.
    pub now: Timestamp,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// The fleet.
    pub inventory: Inventory,
    /// Which nodes of the tree are open.
    pub folds: Folds,
    /// How hosts are shown.
    shape: Shape,
    /// The columns behind the name.
    columns: Columns,
    /// What was open under other groupings.
    memory: shaping::Memory,
    /// The node under the cursor.
    pub cursor: Option<NodeKey>,
    /// The node on the first line of the tree pane.
    pub top: Option<NodeKey>,
    /// The servers, with how the connection to each one is and what we may do there.
    pub servers: Servers,
    /// Which view is shown, and where one is in each.
    pub views: Views,
    /// Requests for certificates.
    pub certificates: Certificates,
    /// The Sources that are known.
    pub sources: Sources,
    /// What this person did.
    pub journal: Journal,
    /// What changed lately.
    pub changes: Changes,
    /// Where one is in that.
    pub changes_view: ChangesView,
    /// The page over the list, if one is open.
    pub page: Option<Box<Page>>,
    /// What was said to the person, the newest last.
    pub messages: VecDeque<Notice>,
    /// The mouse is ours; else the terminal's.
    pub mouse: bool,
    /// What lies over the tree.
    pub overlay: Overlay,
    /// Which pane has the keys.
    pub pane: Pane,
    /// The filter line.
    pub filter: FilterLine,
    /// The facets.
    pub facets: Facets,
    /// The saved views.
    pub saved: Saved,
    /// The frozen display.
    pub frozen: Frozen,
    /// The detail pane.
    pub detail: Detail,
    /// The line that says with which keys to begin.
    pub greeting: Option<Greeting>,
    /// The line for the person.
    pub notice: Option<Notice>,
    /// Whether and as whom we may write, and what was done.
    pub writing: Writing,
    /// The Clusters that are known.
    pub clusters: Clusters,
    /// The host that was marked last: where a range begins.
    mark_anchor: Option<Uid>,
    /// Number of the last question for what the server knows of hosts.
    reading: u64,
    /// Number of the last question for an object.
    looking: u64,
    /// Number of the last question for Events.
    asking: u64,
    /// Namespace and uid of the object whose Events are followed.
    followed: Option<(String, Uid)>,
    /// What the strip that is open would run.
    chosen_run: Option<run_dialog::Choice>,
    /// Names of orders and runs.
    ids: ids::Ids,
    /// Digits typed before a motion, and the begin of a key sequence.
    pub pending: keys::Pending,
    /// An action that waits until the server has told who we are.
    pub wanted: Option<Action>,
    /// When `ctrl-c` was pressed; again within three seconds quits.
    quit_armed: Option<Timestamp>,
    /// Number of the last question for a theme.
    theming: u64,
    /// The question for a theme whose answer has not come.
    theme_wanted: Option<u64>,
    /// A theme that was read, to draw with from now on.
    pub new_theme: Option<Box<Theme>>,
    /// A page that could not be opened and is being copied: the page, and why.
    copied_instead: Option<String>,
    /// A program to give the terminal to, word by word.
    pub outside: Option<Vec<String>>,
    /// It is over as soon as the terminal is ours again.
    pub leaving: bool,
    /// Something behind the screen broke: the reason to end with.
    pub broken: Option<String>,
    /// Something visible has changed since the last frame.
    pub dirty: bool,
}

impl Model {
    /// The state at the start.
    pub fn new(settings: Settings, now: Timestamp, size: (u16, u16)) -> Self {
        let text = settings.config.filter.clone().unwrap_or_default();
        let mut model = Self {
            now,
            size,
            inventory: Inventory::new(),
            folds: Folds::default(),
            memory: shaping::Memory::new(&Shape::default().group),
            shape: Shape::default(),
            columns: Columns::default(),
            cursor: None,
            top: None,
            servers: Servers::new(&settings.servers, now),
            views: Views::default(),
            certificates: Certificates::default(),
            sources: Sources::default(),
            journal: Journal::default(),
            changes: Changes::default(),
            changes_view: ChangesView::default(),
            page: None,
            messages: VecDeque::new(),
            mouse: settings.config.mouse,
            overlay: Overlay::None,
            pane: Pane::Tree,
            filter: FilterLine::new(&text),
            facets: Facets::default(),
            saved: Saved::default(),
            frozen: Frozen::default(),
            detail: Detail::default(),
            greeting: None,
            notice: None,
            writing: Writing::default(),
            clusters: Clusters::default(),
            mark_anchor: None,
            reading: 0,
            looking: 0,
            asking: 0,
            followed: None,
            chosen_run: None,
            ids: ids::Ids::new(settings.seed),
            pending: keys::Pending::default(),
            wanted: None,
            quit_armed: None,
            theming: 0,
            theme_wanted: None,
            new_theme: None,
            copied_instead: None,
            outside: None,
            leaving: false,
            broken: None,
            dirty: true,
            settings,
        };
        for (id, server) in model.servers.iter() {
            model.inventory.name_server(id, server.name());
        }
        if model.servers.several() {
            model.set_shape(Shape { group: model.default_group(), ..Shape::default() });
        }
        model.saved.known = std::mem::take(&mut model.settings.saved);
        match model.settings.view.take() {
            Some(view) => model.show_saved(&view),
            None => model.apply_filter(),
        }
        if !text.is_empty() && text != model.filter.input.text() {
            model.set_filter_text(&text);
        }
        model.reset_columns();
        model
    }

    /// Where everything is on the screen.
    pub fn areas(&self) -> Areas {
        layout::areas(self, Rect::new(0, 0, self.size.0, self.size.1))
    }

    /// The key of an action as people read it.
    pub fn key(&self, action: Action) -> String {
        self.settings.keymap.shown(action)
    }

    /// Shows a line of information.
    pub fn say(&mut self, text: impl Into<String>) {
        let notice = Notice { text: text.into(), error: false, at: self.now, times: 1 };
        self.keep_message(&notice);
        self.notice = Some(notice);
    }

    /// Shows an error; the same error again is counted.
    pub fn fail(&mut self, text: impl Into<String>) {
        let text = text.into();
        let times = match &self.notice {
            Some(old) if old.error && old.text == text => old.times + 1,
            _ => 1,
        };
        let notice = Notice { text, error: true, at: self.now, times };
        self.keep_message(&notice);
        self.notice = Some(notice);
    }

    /// Whether everything that was asked for is here: the list, the filter's matches, the detail,
    /// the sources, the answer to a change, and who we are.
    pub fn settled(&self) -> bool {
        self.servers.settled()
            && !self.filtering()
            && !self.counting()
            && !self.detail.is_waiting()
            && !self.journal.is_waiting()
            && self.theme_wanted.is_none()
            && !self.certificates.sending
            && !self.page.as_ref().is_some_and(|page| page.is_waiting())
            && self.sources_told()
            && self.writing.going.is_empty()
            && !matches!(&self.overlay, Overlay::Run(dialog) if dialog.known.is_none())
            && !matches!(&self.overlay, Overlay::Labels(dialog) if dialog.owners.is_none())
    }

    /// Whether a filter pass, another grouping or another order has to go on
    /// ([`Model::filter_step`]).
    pub fn filtering(&self) -> bool {
        self.filter.running || self.shaping()
    }

    /// Goes on with the filter pass, then with what else is to be made in steps; the frame is due
    /// when it is done.
    pub fn filter_step(&mut self) -> Vec<Command> {
        if self.filter.running {
            if !self.inventory.filter_step(FILTER_STEP) {
                return Vec::new();
            }
            self.filter.running = false;
            self.dirty = true;
            self.facets_are_stale();
            self.begin_count();
            self.settle();
            self.settle_view();
        } else {
            self.shape_step();
        }
        if self.dirty { self.wanted_detail() } else { Vec::new() }
    }
}

/// The server that a message tells of what is there.
fn told_by(msg: &Msg) -> Option<ServerId> {
    match msg {
        Msg::Clusters(server, _)
        | Msg::Sources(server, _)
        | Msg::Certificates(server, _)
        | Msg::Connected { server, .. }
        | Msg::Unusable { server, .. } => Some(*server),
        _ => None,
    }
}

/// Takes a message, changes the state, and returns what is to be done outside.
#[expect(clippy::too_many_lines, reason = "one arm for each message")]
pub fn update(model: &mut Model, msg: Msg) -> Vec<Command> {
    if told_by(&msg).is_some_and(|server| !model.servers.get(server).is_used()) {
        return Vec::new(); // on its way since before it was known to be another one under a second name
    }
    let mut commands = match msg {
        Msg::Key(key) => {
            model.dirty = true;
            keys::key(model, key)
        }
        Msg::Paste(text) => {
            model.dirty = true;
            keys::paste(model, &text);
            Vec::new()
        }
        Msg::Resize(width, height) => {
            model.dirty = true;
            let place = model.guide_place();
            model.size = (width, height);
            model.guide_stays(place);
            Vec::new()
        }
        Msg::Tick(now) => {
            tick(model, now);
            if !model.counting() {
                model.begin_count();
            }
            model.wanted_keep()
        }
        Msg::Last(server, event) => {
            model.last_read(server, event);
            Vec::new()
        }
        Msg::Connected { server, url, instance } => model.connected(server, url, instance),
        Msg::Compared { servers, same } => model.compared(servers, same),
        Msg::Unusable { server, reason, hint } => {
            let now = model.now;
            let server = model.servers.get_mut(server);
            server.lost(reason, now);
            server.hint = hint;
            model.dirty = true;
            Vec::new()
        }
        Msg::Kept(server, result) => model.part_kept(server, result),
        Msg::Fleet(server, event) => {
            let recovered = matches!(event, FleetEvent::Recovered);
            if let Some(event) = model.hold_back(server, event) {
                fleet(model, server, event);
            }
            let known = model.servers.get_mut(server);
            let unknown = known.holder.is_none() || known.may.is_empty();
            if recovered && unknown {
                // What it was when the server was away says nothing any more.
                known.holder_problem = None;
                vec![Command::AskWho(server)]
            } else {
                Vec::new()
            }
        }
        Msg::HostRead { generation, result } => {
            model.detail.read(generation, result);
            model.dirty = true;
            Vec::new()
        }
        Msg::HostsRead { generation, result } => {
            model.dirty = true;
            model.hosts_read(generation, result);
            Vec::new()
        }
        Msg::ObjectRead { generation, result } => {
            model.dirty = true;
            model.object_read(generation, result);
            Vec::new()
        }
        Msg::Told { generation, result } => {
            model.dirty = true;
            model.told(generation, result);
            Vec::new()
        }
        Msg::Mouse(event) => {
            model.dirty = true;
            mouse::mouse(model, event)
        }
        Msg::Saved(result) => {
            model.dirty = true;
            match result {
                Ok(path) => model.say(format!("written to {path}")),
                Err(problem) => model.fail(problem),
            }
            Vec::new()
        }
        Msg::Clusters(server, event) => {
            model.dirty |= model.page.is_some();
            model.clusters.apply(server, event);
            model.look_at_budgets();
            Vec::new()
        }
        Msg::Act { id, step } => {
            model.dirty = true;
            model.step_of_order(&id, step);
            Vec::new()
        }
        Msg::User(server, result) => {
            model.user_told(server, result);
            model.dirty = true;
            keys::go_on(model)
        }
        Msg::May { server, verb, resource, result } => {
            if let Ok(may) = result {
                model.servers.get_mut(server).may.insert((verb, resource), may);
            }
            model.dirty = true;
            Vec::new()
        }
        Msg::Sources(server, event) => {
            model.sources_changed(server, event);
            Vec::new()
        }
        Msg::Certificates(server, events) => {
            model.certificates_changed(server, events);
            Vec::new()
        }
        Msg::Decided { name, approve, result } => {
            model.dirty = true;
            model.decided(&name, approve, result);
            Vec::new()
        }
        Msg::MayDecide(server, missing) => {
            model.dirty = true;
            model.servers.get_mut(server).missing = missing;
            Vec::new()
        }
        Msg::Pause => {
            model.dirty |= model.show_pending();
            Vec::new()
        }
        Msg::ViewsEdited(result) => {
            model.dirty = true;
            model.views_edited(result);
            Vec::new()
        }
        Msg::Filters(filters) => {
            model.filters_read(filters);
            Vec::new()
        }
        Msg::Journal(result) => {
            model.dirty |= model.journal.take(result, model.now);
            Vec::new()
        }
        Msg::Fetched(result) => match result {
            Ok(text) => vec![Command::Copy(text)],
            Err(problem) => {
                model.dirty = true;
                model.fail(problem);
                Vec::new()
            }
        },
        Msg::NoDesktop(text) => vec![Command::CopyToTerminal(text)],
        Msg::Copied(result) => {
            let instead = model.copied_instead.take().map(|text| format!("{text} · "));
            let instead = instead.unwrap_or_default();
            match result {
                Ok(place) => model.say(format!("{instead}copied to {place}")),
                Err(problem) => model.fail(format!("{instead}cannot copy: {problem}")),
            }
            model.dirty = true;
            Vec::new()
        }
        Msg::Configured(result) => {
            model.dirty = true;
            model.configured(result)
        }
        Msg::Themes(names) => {
            model.dirty = true;
            model.themes_changed(names)
        }
        Msg::Theme { generation, name, result } => {
            model.dirty = true;
            model.theme_read(generation, name, result);
            Vec::new()
        }
        Msg::Browsed { url, result } => {
            model.dirty = true;
            model.browsed(url, result)
        }
        Msg::Returned(result) => {
            model.dirty = true;
            match result {
                Ok(text) => model.say(text),
                Err(text) => model.fail(text),
            }
            Vec::new()
        }
        Msg::TaskEnded { name, problem } => {
            model.broken = Some(format!("the {name} task ended: {problem}"));
            vec![Command::Quit]
        }
    };
    if model.dirty {
        model.facets_are_stale();
        model.settle();
        model.settle_view();
        model.look_at_claimed();
        commands.extend(model.wanted_detail());
    }
    commands.extend(model.wanted_journal());
    commands.extend(model.wanted_page());
    commands
}

/// Seconds after which a line of information goes away.
const NOTICE_SECONDS: i64 = 6;

/// Most hosts of an open strip for which the budgets are looked at every second: it is a pass over
/// the fleet. Of more, only a Cluster that changes is a reason; the engine asks the server anyway.
const LOOK_AGAIN: usize = 10_000;

fn tick(model: &mut Model, now: Timestamp) {
    let before = model.now;
    model.now = now;
    if model.frozen.since.is_none() {
        model.dirty |= model.inventory.tick(now);
    }
    model.judge_sources();
    model.dirty |= model.changes.tick(now) && model.views.now == View::Changes;
    // Ages on the screen move: every second while something counts down, else every ten.
    let counting = model.servers.lost().is_some()
        || matches!(model.overlay, Overlay::Strip(_))
        || model.views.now == View::Runs && model.inventory.runs_going().0 > 0
        || model.servers.iter().any(|(_, server)| server.armed_until.is_some())
        || model.servers.iter().any(|(id, _)| model.servers.is_last(id))
        || model.frozen.since.is_some();
    model.dirty |= counting || before.as_second() / 10 != now.as_second() / 10;
    if model
        .notice
        .as_ref()
        .is_some_and(|n| !n.error && now.as_second() - n.at.as_second() >= NOTICE_SECONDS)
    {
        model.notice = None;
        model.dirty = true;
    }
    if matches!(&model.overlay, Overlay::Strip(strip) if strip.items.len() <= LOOK_AGAIN) {
        model.look_at_budgets();
    }
    model.disarm_in_time();
}

fn fleet(model: &mut Model, id: ServerId, event: FleetEvent) {
    let now = model.now;
    if !model.servers.get(id).is_used() {
        return; // on its way since before it was known to be another one under a second name
    }
    match event {
        FleetEvent::Begin { expected } => {
            model.inventory.begin_resync(id);
            let server = model.servers.get_mut(id);
            server.expected = expected.or(server.expected);
            server.set_link(Link::Listing, now);
            model.dirty = true;
        }
        FleetEvent::Changes(changes) => {
            model.list_comes(id);
            model.servers.get_mut(id).last.changed = true;
            let mut gone = false;
            for change in changes {
                if let (HostChange::Delete(uid), Overlay::Strip(strip)) = (&change, &model.overlay)
                {
                    gone |= strip.is_for(uid);
                }
                model.dirty |= host_changed(model, change);
            }
            if gone {
                targets_gone(model);
            }
        }
        FleetEvent::Synced => {
            if model.removing(|inventory| inventory.end_resync(id)) > 0 {
                targets_gone(model);
            }
            model.list_is_whole(id);
            let server = model.servers.get_mut(id);
            server.expected = None;
            server.synced = true;
            server.set_link(Link::Live, now);
            model.dirty = true;
        }
        FleetEvent::Lost(reason) => {
            model.servers.get_mut(id).lost(reason, now);
            model.dirty = true;
        }
        FleetEvent::Recovered => {
            let server = model.servers.get_mut(id);
            if server.is_lost() {
                let link = if server.synced { Link::Live } else { Link::Listing };
                server.set_link(link, now);
                let text = model.about_server(id, "the server answers again");
                model.say(text);
            }
            model.dirty = true;
        }
    }
}

fn host_changed(model: &mut Model, change: HostChange) -> bool {
    match change {
        HostChange::Apply(record) => {
            let Some(uid) = record.uid() else {
                return model.inventory.apply(*record, model.now);
            };
            // The detail pane shows more of its host than the row does.
            let seen = model.detail_host().map(HostRow::uid) == Some(&uid)
                || model.page_host() == Some(&uid);
            let metadata = &record.metadata;
            if let Some(name) = &metadata.name {
                let namespace = metadata.namespace.as_deref().unwrap_or_default();
                model.certificates.host_seen((uid.server(), namespace, name), &uid);
            }
            let before = Before::of(&model.inventory, &uid);
            let writer = record.writer.clone();
            let changed = model.inventory.apply(*record, model.now);
            // What the first list brings is nothing new.
            if changed && model.servers.of(&uid).synced {
                let (inventory, now) = (&model.inventory, model.now);
                model.changes.host(before.as_ref(), inventory, &uid, writer.as_deref(), now);
            }
            if changed && let Overlay::Strip(strip) = &mut model.overlay {
                strip.target_moved(&uid);
            }
            // The detail pane shows more of the host under the cursor than its row does.
            changed || seen
        }
        HostChange::Delete(uid) => {
            if let Some(before) = Before::of(&model.inventory, &uid) {
                model.changes.gone(&before, model.now);
            }
            model.removing(|inventory| inventory.delete(&uid))
        }
    }
}

/// Targets of the strip are gone: they drop out of it, and with the last one it closes.
fn targets_gone(model: &mut Model) {
    let (inventory, overlay) = (&model.inventory, &mut model.overlay);
    let Overlay::Strip(strip) = overlay else { return };
    strip.keep(|uid| inventory.get(uid).is_some());
    if strip.items.is_empty() {
        let text = format!("{}: nothing was changed", strip.gone());
        model.overlay = Overlay::None;
        model.fail(text);
    }
}

#[cfg(test)]
mod tests;
