//! A page over the list: describe, YAML, Events, history, explain, messages. It stays with the object
//! that it was opened for, follows it as it changes, and keeps its place while it does.

use ratatui::crossterm::event::{KeyCode, KeyEvent};
use serde_json::Value;

use super::input::Input;
use super::palette::Palette;
use super::views::View;
use super::{Model, Overlay};
use crate::model::host::Host;
use crate::model::key::{NodeKey, ServerId, Uid};
use crate::model::shape::Level;
use crate::store::read::{Kind as ObjectKind, Place};
use crate::store::told::Told;
use crate::ui::actions::{self, Action, Group};
use crate::ui::msg::Command;
use crate::ui::view::page::{self as view, Laid};

/// Seconds after which an object is read again that nobody watches.
const AGAIN: i64 = 10;

/// What a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The object for people.
    Describe,
    /// The object as the server has it.
    Yaml,
    /// Events about it.
    Events,
    /// What happened to it.
    History,
    /// Why it is not well.
    Explain,
    /// What this program has said.
    Messages,
    /// The user guide.
    Guide,
}

impl Kind {
    /// Its name on the screen.
    pub fn title(self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Yaml => "YAML",
            Self::Events => "events",
            Self::History => "history",
            Self::Explain => "explain",
            Self::Messages => "messages",
            Self::Guide => "guide",
        }
    }
}

/// An open page.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// What it shows.
    pub kind: Kind,
    /// The object; none for the messages and the guide.
    pub place: Option<Place>,
    /// Its uid, as soon as it is known.
    pub uid: Option<Uid>,
    /// What people call it.
    pub title: String,
    /// First line that is shown.
    pub scroll: usize,
    /// Managed fields are shown too.
    pub managed: bool,
    /// What is looked for.
    pub search: Input,
    /// The line that was found last.
    pub found: Option<usize>,
    /// The object as the server has it.
    pub object: Option<Box<Value>>,
    /// The object as a Host, where it is one and can be read as one.
    pub host: Option<Box<Host>>,
    /// The object is no longer there: what is shown is what it was.
    pub gone: bool,
    /// Why it could not be read.
    pub problem: Option<String>,
    /// Events about it, the newest first, or why there are none to show; none while they are read.
    pub events: Option<Result<Vec<Told>, String>>,
    /// The version that was asked for last.
    asked: Option<String>,
    generation: u64,
    waiting: bool,
}

impl Page {
    fn new(kind: Kind, place: Option<Place>, uid: Option<Uid>, title: String) -> Self {
        Self {
            kind,
            place,
            uid,
            title,
            scroll: 0,
            managed: false,
            search: Input::default(),
            found: None,
            object: None,
            host: None,
            gone: false,
            problem: None,
            events: None,
            asked: None,
            generation: 0,
            waiting: false,
        }
    }

    fn is_of_host(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.kind == ObjectKind::Host)
    }

    /// Whether something of it is still to come.
    pub(super) fn is_waiting(&self) -> bool {
        self.place.is_some()
            && (self.waiting
                || self.asked.is_none()
                || self.events.is_none() && self.wants_events())
    }

    /// The server of its object is another one under a second name: it goes on there.
    pub(super) fn go_to_server(&mut self, from: ServerId, to: ServerId) {
        if let Some(place) = self.place.as_mut().filter(|place| place.server == from) {
            place.server = to;
            self.uid = self.uid.take().map(|uid| Uid::on(to, uid.as_str()));
        }
    }

    fn wants_events(&self) -> bool {
        matches!(self.kind, Kind::Describe | Kind::Events | Kind::History)
            && self.uid.is_some()
            && !self.gone
    }
}

impl Model {
    /// The object under the cursor: its place, its uid, and what people call it.
    fn subject(&self) -> Option<(Place, Option<Uid>, String)> {
        let place = |server, kind, namespace: &str, name: &str| Place {
            server,
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        match self.views.now {
            View::Certificates => {
                let uid = self.certificates.spot.cursor.clone()?;
                let about = self.certificates.get(&uid)?.about();
                let place = place(uid.server(), ObjectKind::Request, "", &about.name);
                return Some((place, Some(uid), about.name.clone()));
            }
            View::Sources => {
                let (_, source) = self.sources.source()?;
                let (server, ..) = self.sources.spot.cursor.as_ref()?;
                let meta = &source.metadata;
                let name = meta.name.clone().unwrap_or_default();
                let namespace = meta.namespace.as_deref().unwrap_or_default();
                let uid = meta.uid.as_deref().map(|uid| Uid::on(*server, uid));
                return Some((place(*server, ObjectKind::Source, namespace, &name), uid, name));
            }
            _ => {}
        }
        let node = self.node()?;
        match &node {
            NodeKey::Host(uid) => {
                let row = self.inventory.get(uid)?;
                let place = place(uid.server(), ObjectKind::Host, row.namespace(), row.name());
                Some((place, Some(uid.clone()), row.display().to_owned()))
            }
            NodeKey::Group(_) => match self.inventory.level_of(&node)? {
                (Level::Region, name) => {
                    let server = self.server_of_group(&node)?;
                    Some((place(server, ObjectKind::Region, "", name), None, name.to_owned()))
                }
                (Level::Cluster, name) => {
                    let server = self.server_of_group(&node)?;
                    let namespace = self.inventory.rows_under(&node).next()?.namespace();
                    let place = place(server, ObjectKind::Cluster, namespace, name);
                    Some((place, None, name.to_owned()))
                }
                // Other groups are what hosts say, and no objects.
                _ => None,
            },
        }
    }

    /// Opens a page, or shows the object of the open one in another way.
    pub(super) fn open_page(&mut self, kind: Kind) {
        if matches!(kind, Kind::Messages | Kind::Guide) {
            let page = Page::new(kind, None, None, String::new());
            self.page = Some(Box::new(page));
            return;
        }
        let for_hosts = matches!(kind, Kind::History | Kind::Explain);
        if let Some(page) = self.page.as_mut().filter(|page| page.place.is_some()) {
            if for_hosts && !page.is_of_host() {
                let text = format!(
                    "{} is for hosts: {} leaves this page",
                    kind.title(),
                    self.key(Action::Back)
                );
                return self.say(text);
            }
            if page.kind != kind {
                page.kind = kind;
                (page.scroll, page.found) = (0, None);
                page.search = Input::default();
            }
            return;
        }
        let Some((place, uid, title)) = self.subject() else {
            let of_several = self.servers.several() && self.here().is_none();
            return self.say(if of_several {
                "these hosts are on several servers: move the cursor to a host or a group of one"
            } else {
                "there is no object here: move the cursor to a host, a region or a cluster"
            });
        };
        if for_hosts && place.kind != ObjectKind::Host {
            return self.say(format!("{} is for hosts: move the cursor to one", kind.title()));
        }
        if place.name.is_empty() {
            return self.say(
                "these hosts name none: there is no object, open the group and look at a host",
            );
        }
        self.page = Some(Box::new(Page::new(kind, Some(place), uid, title)));
    }

    /// Says which keys open a page.
    pub(super) fn say_opens_pages(&mut self) {
        let opens = [
            (Action::Describe, "describe"),
            (Action::Yaml, "YAML"),
            (Action::Events, "events"),
            (Action::History, "history"),
            (Action::Explain, "explain"),
        ];
        let opens = opens.map(|(action, what)| format!("{} {what}", self.key(action)));
        self.say(format!("this is for pages: {}", opens.join(", ")));
    }

    /// Shows managed fields, or folds them.
    fn toggle_managed(&mut self) {
        if let Some(page) = &mut self.page {
            page.managed = !page.managed;
            page.found = None;
        }
    }

    /// What an open guide does in a way of its own; false: nothing.
    fn in_guide(&mut self, action: Action) -> bool {
        match action {
            Action::Open => self.overlay = Overlay::Palette(Palette::of_topics()),
            Action::NextPane => self.next_heading(false),
            Action::PreviousPane => self.next_heading(true),
            _ => return false,
        }
        true
    }

    /// Opens the guide at the heading that is this block of it.
    pub(super) fn open_guide(&mut self, block: usize) {
        if self.page.as_ref().is_none_or(|page| page.kind != Kind::Guide) {
            self.open_page(Kind::Guide);
        }
        self.show_block(block);
    }

    /// The guide in the columns that the screen has, and the last line that can be the first.
    fn guide_laid(&self) -> (Laid, usize) {
        let area = view::body(self.areas().body);
        let laid = view::laid(self, usize::from(area.width));
        let last = laid.lines.len().saturating_sub(usize::from(area.height).max(1));
        (laid, last)
    }

    fn show_block(&mut self, block: usize) {
        let (laid, last) = self.guide_laid();
        if let Some(page) = &mut self.page {
            page.scroll = laid.line_of(block).min(last);
        }
    }

    /// The next heading of the guide becomes the first line, or the one before.
    fn next_heading(&mut self, back: bool) {
        let (laid, last) = self.guide_laid();
        let Some(page) = &mut self.page else { return };
        let at = page.scroll.min(last);
        let next = if back {
            laid.headings().rfind(|line| *line < at).or(Some(0))
        } else {
            laid.headings().find(|line| *line > at)
        };
        page.scroll = next.unwrap_or(at).min(last);
    }

    /// The part of the guide on the first line, so that it stays there when the width changes.
    pub(super) fn guide_place(&self) -> Option<usize> {
        let page = self.page.as_ref().filter(|page| page.kind == Kind::Guide)?;
        let (laid, last) = self.guide_laid();
        laid.blocks.get(page.scroll.min(last)).copied()
    }

    /// Shows that part again.
    pub(super) fn guide_stays(&mut self, block: Option<usize>) {
        if let Some(block) = block {
            self.show_block(block);
            if let Some(page) = &mut self.page {
                page.found = None;
            }
        }
    }

    /// The host that the open page is about.
    pub fn page_host(&self) -> Option<&Uid> {
        self.page.as_ref().filter(|page| page.is_of_host())?.uid.as_ref()
    }

    /// The version of the page's object that is known here; what nobody watches has a new one every
    /// few seconds.
    fn page_version(&self, page: &Page) -> Option<String> {
        let place = page.place.as_ref()?;
        let version = match place.kind {
            ObjectKind::Host => {
                let row = self.inventory.get(page.uid.as_ref()?);
                row.map(|row| row.resource_version().to_owned())
            }
            ObjectKind::Cluster => self
                .clusters
                .get((place.server, &place.namespace, &place.name))
                .and_then(|cluster| cluster.metadata.resource_version.clone()),
            ObjectKind::Source => self
                .sources
                .of(place.server, &place.namespace, &place.name)
                .and_then(|(_, source)| source.metadata.resource_version.clone()),
            ObjectKind::Request => {
                let item = self.certificates.get(page.uid.as_ref()?);
                item.map(|item| item.about().resource_version.clone())
            }
            ObjectKind::Region => None,
        };
        Some(version.unwrap_or_else(|| format!("at {}", self.now.as_second() / AGAIN)))
    }

    /// What the open page needs: its object when it has changed, and its Events while they are shown.
    pub(super) fn wanted_page(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        let page = self.page.as_ref();
        let about = page.filter(|page| page.wants_events()).and_then(|page| {
            let namespace = page.place.as_ref()?.namespace.clone();
            Some((namespace, page.uid.clone()?))
        });
        if about != self.followed {
            self.followed.clone_from(&about);
            self.asking += 1;
            if let Some(page) = &mut self.page {
                page.events = None;
            }
            commands.push(Command::FollowEvents { generation: self.asking, about });
        }
        let Some(page) = &self.page else { return commands };
        if page.place.as_ref().is_some_and(|place| self.servers.get(place.server).is_lost()) {
            return commands;
        }
        let Some(version) = self.page_version(page).filter(|_| !page.waiting && !page.gone) else {
            return commands;
        };
        if page.asked.as_ref() == Some(&version) {
            return commands;
        }
        self.looking += 1;
        let generation = self.looking;
        if let Some(page) = &mut self.page
            && let Some(at) = page.place.clone()
        {
            page.asked = Some(version);
            page.generation = generation;
            page.waiting = true;
            commands.push(Command::ReadObject { generation, at });
        }
        commands
    }

    /// The object of the page has been read.
    pub(super) fn object_read(
        &mut self,
        generation: u64,
        result: Result<Option<Box<Value>>, String>,
    ) {
        let Some(page) = self.page.as_mut().filter(|page| page.generation == generation) else {
            return;
        };
        page.waiting = false;
        page.problem = None;
        let server = page.place.as_ref().map(|place| place.server).unwrap_or_default();
        let uid = |object: &Value| {
            let text = object.pointer("/metadata/uid").and_then(Value::as_str);
            text.map(|text| Uid::on(server, text))
        };
        match result {
            Ok(Some(object)) if page.uid.is_some() && uid(&object) != page.uid => page.gone = true,
            Ok(Some(object)) => {
                page.uid = uid(&object);
                // A field of a wrong type is no reason to show nothing of the rest.
                page.host = page
                    .is_of_host()
                    .then(|| serde_json::from_value((*object).clone()).ok())
                    .flatten();
                page.object = Some(object);
            }
            Ok(None) if page.object.is_some() || page.uid.is_some() => page.gone = true,
            Ok(None) => {
                let place = page.place.as_ref();
                let kind = place.map(|place| place.kind.as_str()).unwrap_or_default();
                page.problem = Some(format!(
                    "there is no {kind} of this name: the tree makes its groups of what hosts say"
                ));
            }
            Err(problem) => page.problem = Some(problem),
        }
    }

    /// Events about the page's object have come.
    pub(super) fn told(&mut self, generation: u64, result: Result<Vec<Told>, String>) {
        if generation != self.asking {
            return;
        }
        if let Some(page) = &mut self.page {
            // What is known stays when the server goes away; the header says that it has.
            match (&page.events, result) {
                (Some(Ok(known)), Err(_)) if !known.is_empty() => {}
                (_, result) => page.events = Some(result),
            }
        }
    }

    /// Lines of the page, and how many of them the screen has room for.
    fn page_size(&self, page: &Page) -> (usize, usize) {
        let area = view::body(self.areas().body);
        let lines = view::lines(self, page, usize::from(area.width)).len();
        (lines, usize::from(area.height).max(1))
    }

    fn scroll_page(&mut self, lines: isize) {
        let Some(page) = self.page.as_deref() else { return };
        let (all, height) = self.page_size(page);
        let last = all.saturating_sub(height);
        if let Some(page) = &mut self.page {
            page.scroll = page.scroll.min(last).saturating_add_signed(lines).min(last);
        }
    }

    /// Goes to the next line with what is looked for, round the end; a new search begins where the
    /// screen begins.
    fn find_in_page(&mut self, back: bool, fresh: bool) {
        let Some(page) = self.page.as_deref() else { return };
        if page.search.text().is_empty() {
            let text =
                format!("nothing is looked for: {} begins a search", self.key(Action::Filter));
            return self.say(text);
        }
        let area = view::body(self.areas().body);
        let lines = view::lines(self, page, usize::from(area.width));
        let hits: Vec<usize> = (0..lines.len())
            .filter(|at| {
                let line = lines.get(*at);
                line.is_some_and(|line| !view::matches(line, page.search.text()).is_empty())
            })
            .collect();
        let from = if fresh { None } else { page.found };
        let start = page.scroll;
        let next = match (from, back) {
            (None, false) => hits.iter().find(|at| **at >= start).or_else(|| hits.first()),
            (Some(from), false) => hits.iter().find(|at| **at > from).or_else(|| hits.first()),
            (from, true) => {
                let from = from.unwrap_or(start);
                hits.iter().rev().find(|at| **at < from).or_else(|| hits.last())
            }
        };
        let next = next.copied();
        let height = usize::from(area.height).max(1);
        let missing = format!("\"{}\" is not on this page", page.search.text());
        if let Some(page) = &mut self.page {
            page.found = next;
            if let Some(at) = next
                && !(page.scroll..page.scroll + height).contains(&at)
            {
                page.scroll = at.saturating_sub(height / 3).min(lines.len().saturating_sub(height));
            }
        }
        if next.is_none() && !fresh {
            self.say(missing);
        }
    }

    /// The whole page as text, as it is copied and written.
    fn page_text(&self, page: &Page) -> String {
        view::text(self, page)
    }
}

/// A key while what is looked for is typed.
pub(super) fn search_key(model: &mut Model, key: KeyEvent) -> Vec<Command> {
    let Some(page) = &mut model.page else { return Vec::new() };
    match key.code {
        KeyCode::Enter => {
            if page.found.is_none() && !page.search.text().is_empty() {
                let text = format!("\"{}\" is not on this page", page.search.text());
                model.say(text);
            }
        }
        KeyCode::Esc => {
            page.search = Input::default();
            page.found = None;
        }
        _ => {
            let changed = page.search.key(key);
            model.overlay = Overlay::Search;
            if changed {
                search_again(model);
            }
        }
    }
    Vec::new()
}

/// Pasted text goes into what is looked for.
pub(super) fn search_paste(model: &mut Model, text: &str) {
    if let Some(page) = &mut model.page {
        page.search.insert(text);
        search_again(model);
    }
}

fn search_again(model: &mut Model) {
    let empty = model.page.as_ref().is_none_or(|page| page.search.text().is_empty());
    if empty {
        if let Some(page) = &mut model.page {
            page.found = None;
        }
    } else {
        model.find_in_page(false, true);
    }
}

/// What an open page does in another way than what lies under it; none: the action is the same
/// everywhere.
pub(super) fn run(model: &mut Model, action: Action, times: isize) -> Option<Vec<Command>> {
    if model.page.as_deref()?.kind == Kind::Guide && model.in_guide(action) {
        return Some(Vec::new());
    }
    let page = model.page.as_deref()?;
    let height = isize::try_from(model.page_size(page).1).unwrap_or(1);
    match action {
        Action::Down => model.scroll_page(times),
        Action::Up => model.scroll_page(-times),
        Action::Top => model.scroll_page(isize::MIN),
        Action::Bottom => model.scroll_page(isize::MAX),
        Action::HalfPageDown => model.scroll_page(times * (height / 2).max(1)),
        Action::HalfPageUp => model.scroll_page(-times * (height / 2).max(1)),
        Action::PageDown => model.scroll_page(times * (height - 1).max(1)),
        Action::PageUp => model.scroll_page(-times * (height - 1).max(1)),
        Action::Filter => {
            if let Some(page) = &mut model.page {
                page.search = Input::default();
                page.found = None;
            }
            model.overlay = Overlay::Search;
        }
        Action::NextMatch => model.find_in_page(times < 0, false),
        Action::PreviousMatch => model.find_in_page(times > 0, false),
        Action::ManagedFields => model.toggle_managed(),
        Action::CopyName => return Some(vec![Command::Copy(model.page_text(page))]),
        Action::Save => {
            let name =
                if page.title.is_empty() { "inv-tui".to_owned() } else { page.title.clone() };
            let name = format!("{name}-{}", page.kind.title().to_lowercase());
            return Some(vec![Command::Save { name, text: model.page_text(page) }]);
        }
        Action::Back | Action::Fold => back(model),
        Action::SaveView => return None,
        Action::ColumnLeft
        | Action::ColumnRight
        | Action::Sort
        | Action::InvertSort
        | Action::Wide => {}
        Action::Facets | Action::Everything | Action::Problems => {
            model.page = None;
            return None;
        }
        other => match actions::find(other)?.group {
            // They are for the lines under it.
            Group::Move | Group::Tree | Group::Mark => {}
            // They show something else.
            Group::View | Group::Shape => {
                model.page = None;
                return None;
            }
            _ => return None,
        },
    }
    Some(Vec::new())
}

/// One step back: what is looked for, an error, then the page.
fn back(model: &mut Model) {
    if model.notice.as_ref().is_some_and(|notice| notice.error) {
        model.notice = None;
        return;
    }
    let Some(page) = &mut model.page else { return };
    if page.search.text().is_empty() {
        model.page = None;
    } else {
        page.search = Input::default();
        page.found = None;
    }
}

#[cfg(test)]
mod tests;
