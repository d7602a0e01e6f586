//! The event loop: takes what happens, updates the state, draws when something visible changed,
//! and runs the commands outside.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::Backend;
use ratatui::crossterm::event::{Event, MouseEventKind};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use super::app::{Model, journal, update};
use super::clipboard::{self, Place};
use super::configured::Looks;
use super::line::{Line, Opening, ask_who};
use super::msg::{Command, Decided, JournalRead, Msg};
use super::reload::{self, Reload};
use super::theme::Theme;
use super::{outside, save, terminal, view};
use crate::act::certificates::{self as decisions, Decision};
use crate::act::{self, Actor, Order, Step};
use crate::config::views::{self, SavedView};
use crate::error::{self, Error, Result};
use crate::journal::{Journal, filters};
use crate::model::change::Target;
use crate::model::key::ServerId;
use crate::model::yaml;
use crate::store::certificates;
use crate::store::client::{Connection, same_counter};
use crate::store::{read, told, write};

/// Time between two frames while nobody types: 30 a second.
const FRAME: Duration = Duration::from_millis(33);
/// Time between two frames after a key: nobody waits for the frame that a change has just had.
const KEY_FRAME: Duration = Duration::from_millis(8);
/// How long the frame after a key waits for the pass of a filter over the fleet. A longer pass has a
/// frame of its own: what was typed, above what is still shown.
const PASS: Duration = Duration::from_millis(8);
/// Without another key for this long after it, a digit was no count.
const PAUSE: Duration = Duration::from_millis(500);
/// Messages taken together before the keyboard gets its turn. Each can hold a batch of 512 hosts,
/// at about 2 µs each.
const BATCH: usize = 8;
/// Messages that wait at most: the watch is held back before memory grows. Each can hold a batch
/// of 512 hosts.
pub const QUEUE: usize = 64;

/// Pause until two servers of which one did not answer are compared again.
const COMPARE_AGAIN: Duration = Duration::from_secs(30);

/// Lists of Events that wait at most: each has all there are.
const TOLD: usize = 1;

/// Runs commands. Each ends in one message.
pub trait Executor {
    /// Begins a command; its message comes through the queue.
    fn start(&mut self, command: Command);

    /// Told after each frame, with what it showed.
    fn drawn(&mut self, _model: &Model) {}
}

/// The clock that the loop reads; tests bring their own.
pub trait Clock {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Time between two frames while nobody types and nothing is to move.
const STILL_FRAME: Duration = Duration::from_millis(500);

/// Runs the explorer until it is left, or has to give the terminal to another program
/// ([`Model::outside`]). Returns the state that it ended with.
///
/// # Errors
/// The terminal cannot be read or written, or a task behind the screen has ended.
pub async fn run<B: Backend>(
    screen: &mut Terminal<B>,
    mut model: Model,
    theme: &mut Theme,
    events: impl Stream<Item = io::Result<Event>>,
    messages: &mut mpsc::Receiver<Msg>,
    executor: &mut impl Executor,
    clock: &impl Clock,
) -> Result<Model>
where
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let fail = |cause: B::Error| Error::new("cannot draw on the terminal").because(cause);
    let mut events = std::pin::pin!(events.fuse());
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Vec::with_capacity(BATCH);
    let mut last_frame = Instant::now() - FRAME;
    let (mut typing, mut resized) = (false, false);
    let mut last_key = Instant::now();
    loop {
        if let Some(next) = model.new_theme.take() {
            *theme = *next;
        }
        let gap = match (typing, model.settings.config.reduced_motion) {
            (true, _) => KEY_FRAME,
            (false, true) => STILL_FRAME,
            (false, false) => FRAME,
        };
        let mut due = last_frame + gap;
        if model.filter.running {
            due = due.max(last_key + PASS);
        }
        if model.dirty && Instant::now() >= due {
            if std::mem::take(&mut resized) {
                // Even to the size that it had: sizes in between may have cut the picture, and of
                // several that come quickly only the last one is seen.
                let size = screen.size().map_err(fail)?;
                screen.resize(size.into()).map_err(fail)?;
            }
            let mut cursor = None;
            screen
                .draw(|frame| {
                    let area = frame.area();
                    cursor = view::draw(&model, theme, area, frame.buffer_mut());
                    if let Some(position) = cursor {
                        frame.set_cursor_position(position);
                    }
                })
                .map_err(fail)?;
            model.dirty = false;
            executor.drawn(&model);
            // What a filter finds is waited for like the key itself.
            typing &= model.filter.running;
            last_frame = Instant::now();
        }
        let commands = tokio::select! {
            biased;
            // First of all, so that what is said to the person in answer to a key has the time of
            // now, even if the program stood still until now.
            _ = tick.tick() => update(&mut model, Msg::Tick(clock.now())),
            event = events.next() => match event {
                Some(Ok(event)) => {
                    let Some(msg) = terminal_event(event) else { continue };
                    if matches!(msg, Msg::Key(_) | Msg::Paste(_)) {
                        (typing, last_key) = (true, Instant::now());
                    }
                    resized |= matches!(msg, Msg::Resize(..));
                    update(&mut model, msg)
                }
                Some(Err(cause)) => return Err(Error::new("cannot read the terminal").because(cause)),
                None => return Ok(model),
            },
            () = tokio::time::sleep_until(due), if model.dirty => continue,
            () = tokio::time::sleep_until(last_key + PAUSE), if model.pending_view().is_some() => {
                update(&mut model, Msg::Pause)
            }
            () = std::future::ready(()), if model.filtering() => model.filter_step(),
            () = std::future::ready(()), if model.counting() => {
                model.count_step();
                Vec::new()
            }
            count = messages.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return Ok(model);
                }
                batch.drain(..).flat_map(|msg| update(&mut model, msg)).collect()
            }
        };
        for command in commands {
            match command {
                Command::Quit => {
                    return match model.broken.take() {
                        Some(why) => Err(Error::new(why)),
                        None => Ok(model),
                    };
                }
                Command::Outside(words) => model.outside = Some(words),
                other => executor.start(other),
            }
        }
        if model.outside.is_some() {
            return Ok(model);
        }
    }
}

/// What a terminal event means to us; releases of keys and the like mean nothing.
fn terminal_event(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) if !key.is_release() => Some(Msg::Key(key)),
        Event::Paste(text) => Some(Msg::Paste(text)),
        // Where it only moves nothing happens, and no picture is due.
        Event::Mouse(mouse) => {
            let moves = matches!(mouse.kind, MouseEventKind::Moved | MouseEventKind::Drag(_));
            (!moves).then_some(Msg::Mouse(mouse))
        }
        Event::Resize(width, height) => Some(Msg::Resize(width, height)),
        _ => None,
    }
}

/// Runs commands against the API servers and the clipboard.
pub struct Effects {
    /// By the server's number.
    lines: Vec<Line>,
    messages: mpsc::Sender<Msg>,
    /// Stops an order that is on its way, by the order's id.
    stops: BTreeMap<String, watch::Sender<bool>>,
    journal: Option<Arc<Journal>>,
    /// The task that follows Events.
    following: Option<AbortHandle>,
    tasks: JoinSet<()>,
    /// How themes are found.
    looks: Option<Looks>,
}

impl Effects {
    /// The same, and it finds themes.
    #[must_use]
    pub fn with_looks(mut self, looks: Looks) -> Self {
        self.looks = Some(looks);
        self
    }

    /// Looks for changes of the files of the configuration from now on.
    pub fn look_at_files(&mut self, reload: Reload) {
        self.tasks.spawn(reload::follow(reload, self.messages.clone()));
    }

    /// Starts what runs behind the screen for each server: the watches, and the questions who we are
    /// and what we may do. What was kept of their fleets comes first.
    pub fn start(servers: Vec<Opening>, messages: mpsc::Sender<Msg>) -> Self {
        let alone = servers.len() < 2;
        let ids = (0..).map_while(ServerId::new);
        let line = |(id, opening)| Line::start(id, opening, alone, messages.clone());
        let lines = ids.zip(servers).map(line).collect();
        let journal = Journal::own().map(Arc::new);
        let (stops, tasks) = (BTreeMap::new(), JoinSet::new());
        Self { lines, messages, stops, journal, following: None, tasks, looks: None }
    }

    /// Keeps the fleets as they are at the end, where that is worth while.
    ///
    /// # Errors
    /// One of them cannot be written; the others are.
    pub fn keep_at_end(&self, model: &Model) -> io::Result<()> {
        let keep = |(id, _): (ServerId, _)| {
            let line = self.lines.get(id.index());
            line.map_or(Ok(()), |line| line.keeper.keep_at_end(id, model))
        };
        let kept: Vec<io::Result<()>> = model.servers.iter().map(keep).collect();
        kept.into_iter().collect()
    }

    /// The connection to a server.
    fn connection(&self, server: ServerId) -> std::result::Result<Connection, String> {
        let line = self.lines.get(server.index());
        line.and_then(Line::connection).ok_or_else(|| "not connected yet".to_owned())
    }

    fn carry_out(&mut self, server: ServerId, user: String, order: Order) {
        let (id, messages) = (order.id.clone(), self.messages.clone());
        let connection = match self.connection(server) {
            Ok(connection) => connection,
            Err(why) => {
                self.tasks.spawn(async move {
                    let _ = messages.send(Msg::Act { id, step: Step::Ended(Some(why)) }).await;
                });
                return;
            }
        };
        let journal = self.journal.clone();
        let Some(line) = self.lines.get_mut(server.index()) else { return };
        let actor = line.actor.take().filter(|actor| actor.user == user);
        let actor = actor.unwrap_or_else(|| Actor::new(connection, user, journal));
        line.actor = Some(actor.clone());
        self.stops.retain(|_, stop| !stop.is_closed());
        let (stop, stopped) = watch::channel(false);
        self.stops.insert(id, stop);
        self.tasks.spawn(carry_out(actor, order, stopped, messages));
    }
}

impl Executor for Effects {
    #[expect(clippy::too_many_lines, reason = "one arm for each command")]
    fn start(&mut self, command: Command) {
        while self.tasks.try_join_next().is_some() {}
        let messages = self.messages.clone();
        match command {
            Command::ReadHost { generation, uid, namespace, name } => {
                let connection = self.connection(uid.server());
                self.tasks.spawn(async move {
                    let result = match connection {
                        Ok(connection) => write::read_host(&connection, &namespace, &name)
                            .await
                            .map(|host| host.map(Box::new))
                            .map_err(|error| error::chain(&error)),
                        Err(why) => Err(why),
                    };
                    let _ = messages.send(Msg::HostRead { generation, result }).await;
                });
            }
            Command::ReadHosts { generation, hosts } => {
                let mut parts: BTreeMap<ServerId, Vec<Target>> = BTreeMap::new();
                for host in hosts {
                    parts.entry(host.uid.server()).or_default().push(host);
                }
                let parts = parts.into_iter().map(|(id, hosts)| (self.connection(id), hosts));
                let parts: Vec<_> = parts.collect();
                self.tasks.spawn(async move {
                    let read = parts.into_iter().map(|(connection, hosts)| async move {
                        let known = read::known(&connection?, &hosts, Timestamp::now()).await;
                        known.map_err(|error| error::chain(&error))
                    });
                    let result = try_join_all(read).await.map(|parts| parts.concat());
                    let _ = messages.send(Msg::HostsRead { generation, result }).await;
                });
            }
            Command::ReadObject { generation, at } => {
                let connection = self.connection(at.server);
                self.tasks.spawn(async move {
                    let result = match connection {
                        Ok(connection) => read::object(&connection, &at)
                            .await
                            .map(|object| object.map(Box::new))
                            .map_err(|error| error::chain(&error)),
                        Err(why) => Err(why),
                    };
                    let _ = messages.send(Msg::ObjectRead { generation, result }).await;
                });
            }
            Command::FollowEvents { generation, about } => {
                if let Some(following) = self.following.take() {
                    following.abort();
                }
                self.following = about.map(|(namespace, uid)| {
                    let (out, mut told) = mpsc::channel(TOLD);
                    let connection = self.connection(uid.server());
                    self.tasks.spawn(async move {
                        let connection = match connection {
                            Ok(connection) => connection,
                            Err(why) => {
                                let result = Err(why);
                                let _ = messages.send(Msg::Told { generation, result }).await;
                                return;
                            }
                        };
                        let uid = uid.as_str().to_owned();
                        let follow = told::follow(connection, namespace, uid, out);
                        let forward = async {
                            while let Some(result) = told.recv().await {
                                let _ = messages.send(Msg::Told { generation, result }).await;
                            }
                        };
                        tokio::join!(follow, forward);
                    })
                });
            }
            Command::CopyObject(at) => {
                let connection = self.connection(at.server);
                self.tasks.spawn(async move {
                    let result = match connection {
                        Ok(connection) => copied(&connection, &at).await,
                        Err(why) => Err(why),
                    };
                    let _ = messages.send(Msg::Fetched(result)).await;
                });
            }
            Command::Save { name, text } => {
                self.tasks.spawn_blocking(move || {
                    let result = save::save(&name, &text).map_err(|error| error::chain(&error));
                    let _ = messages.blocking_send(Msg::Saved(result));
                });
            }
            Command::Mouse(ours) => terminal::mouse(ours),
            Command::Decide(server, decision) => {
                let (connection, journal) = (self.connection(server), self.journal.clone());
                self.tasks.spawn(async move {
                    let result = match connection {
                        Ok(connection) => decide(connection, journal, &decision).await,
                        Err(why) => Decided::Failed(why),
                    };
                    let (name, approve) = (decision.seen.name, decision.approve);
                    let _ = messages.send(Msg::Decided { name, approve, result }).await;
                });
            }
            Command::ReadJournal => {
                self.tasks.spawn_blocking(move || {
                    let _ = messages.blocking_send(Msg::Journal(read_journal()));
                });
            }
            Command::Keep(server, part) => {
                if let Some(line) = self.lines.get(server.index()) {
                    let keeper = Arc::clone(&line.keeper);
                    self.tasks.spawn_blocking(move || {
                        let result = keeper.keep(part).map_err(|cause| cause.to_string());
                        let _ = messages.blocking_send(Msg::Kept(server, result));
                    });
                }
            }
            Command::EditViews(edit) => {
                self.tasks.spawn_blocking(move || {
                    let _ = messages.blocking_send(Msg::ViewsEdited(edit_views(edit)));
                });
            }
            Command::ReadFilters => {
                self.tasks.spawn_blocking(move || {
                    let read = filters::own().and_then(|file| filters::read(&file).ok());
                    let _ = messages.blocking_send(Msg::Filters(read.unwrap_or_default()));
                });
            }
            Command::KeepFilter(filter) => {
                self.tasks.spawn_blocking(move || {
                    // A filter that cannot be remembered is typed again.
                    let _ = filters::own().map(|file| filters::keep(&file, &filter));
                });
            }
            Command::Act { server, user, order } => self.carry_out(server, user, *order),
            Command::Stop(orders) => {
                for stop in orders.iter().filter_map(|id| self.stops.get(id)) {
                    stop.send_replace(true);
                }
            }
            Command::Copy(text) => match clipboard::place(|name| std::env::var(name).ok()) {
                Place::Terminal => self.start(Command::CopyToTerminal(text)),
                Place::Desktop => {
                    self.tasks.spawn_blocking(move || {
                        let msg = match clipboard::to_desktop(&text) {
                            Ok(place) => Msg::Copied(Ok(place)),
                            Err(_) => Msg::NoDesktop(text),
                        };
                        let _ = messages.blocking_send(msg);
                    });
                }
            },
            // Written here, between two frames, so that it never lands inside a sequence of theirs.
            Command::CopyToTerminal(text) => {
                let tmux = std::env::var("TMUX").is_ok_and(|v| !v.is_empty());
                let result = clipboard::to_terminal(&text, tmux, &mut io::stdout());
                self.tasks.spawn(async move {
                    let _ = messages.send(Msg::Copied(result)).await;
                });
            }
            Command::Theme { generation, name } => {
                let looks = self.looks.clone();
                self.tasks.spawn_blocking(move || {
                    let folder = looks.as_ref().and_then(|looks| looks.folder.clone());
                    let found = match looks {
                        Some(looks) => looks.find(&name),
                        None => Theme::load(&name, None),
                    };
                    let short = |why: &Error| reload::short(&error::chain(why), folder.as_deref());
                    let result = found.map(Box::new).map_err(|why| short(&why));
                    let _ = messages.blocking_send(Msg::Theme { generation, name, result });
                });
            }
            Command::Browse(url) => {
                self.tasks.spawn(async move {
                    let result = outside::open(&url, |name| std::env::var(name).ok()).await;
                    let _ = messages.send(Msg::Browsed { url, result }).await;
                });
            }
            Command::AskWho(server) => {
                let line = self.lines.get(server.index());
                let asked =
                    line.and_then(|line| Some((line.connection()?, line.namespace.clone())));
                if let Some((connection, namespace)) = asked {
                    self.tasks.spawn(ask_who(connection, namespace, messages));
                }
            }
            Command::Reconnect(server) => {
                let lines = (0..).zip(&self.lines);
                for (_, line) in
                    lines.filter(|(number, _)| server.is_none_or(|s| s.index() == *number))
                {
                    line.reconnect();
                }
            }
            Command::Compare(one, other) => {
                let both = self.connection(one).and_then(|a| Ok((a, self.connection(other)?)));
                if let Ok((a, b)) = both {
                    self.tasks.spawn(async move {
                        let servers = (one, other);
                        loop {
                            if let Some(same) = same_counter(&a, &b).await {
                                let _ = messages.send(Msg::Compared { servers, same }).await;
                                return;
                            }
                            tokio::time::sleep(COMPARE_AGAIN).await;
                        }
                    });
                }
            }
            Command::Leave(server) => {
                if let Some(line) = self.lines.get_mut(server.index()) {
                    line.leave();
                }
            }
            // The loop itself does these.
            Command::Quit | Command::Outside(_) => {}
        }
    }
}

/// An object as it is copied: as YAML.
async fn copied(connection: &Connection, at: &read::Place) -> std::result::Result<String, String> {
    match read::object(connection, at).await {
        Ok(Some(object)) => Ok(yaml::text(&yaml::lines(&without_managers(object), false))),
        Ok(None) => Err(format!("{} is gone", at.name)),
        Err(error) => Err(error::chain(&error)),
    }
}

/// The object without its managed fields, which nobody wants copied.
fn without_managers(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// Carries out a decision in the name that the server knows us by.
async fn decide(
    connection: Connection,
    journal: Option<Arc<Journal>>,
    decision: &Decision,
) -> Decided {
    let said = |error: &Error| {
        let hint = error.next_step().map(|hint| format!(" · {hint}")).unwrap_or_default();
        Decided::Failed(format!("{}{hint}", error::chain(error)))
    };
    let user = match write::user(&connection).await {
        Ok(user) => user,
        Err(error) => return said(&error),
    };
    let actor = Actor::new(connection, user, journal);
    let decision = Decision { id: act::order_id(), ..decision.clone() };
    let outcome = decisions::decide(&actor, &decision).await;
    let (_, detail) = decisions::said(&outcome);
    match outcome {
        certificates::Outcome::Done(_) => Decided::Done,
        certificates::Outcome::Conflict(_) => Decided::Conflict(detail),
        certificates::Outcome::Gone => Decided::Gone,
        certificates::Outcome::Failed(_) => Decided::Failed(detail),
    }
}

/// Changes one's own saved views.
fn edit_views(edit: views::Edit) -> std::result::Result<Vec<SavedView>, String> {
    let file = views::own_file().ok_or("there is no home folder to keep views in")?;
    views::edit(&file, edit).map_err(|error| error::chain(&error))
}

/// The newest part of this person's journal.
fn read_journal() -> std::result::Result<JournalRead, String> {
    let journal = Journal::own().ok_or("there is no home folder to keep a journal in")?;
    let recent = journal.newest(journal::LINES).map_err(|error| error::chain(&error))?;
    Ok(JournalRead { records: recent.orders(), more: recent.more, skipped: recent.skipped })
}

/// Carries out an order and passes its steps on. The last one is always that it has ended, even if
/// the engine breaks.
async fn carry_out(
    actor: Actor,
    order: Order,
    stop: watch::Receiver<bool>,
    messages: mpsc::Sender<Msg>,
) {
    let (steps, mut taken) = mpsc::channel(QUEUE);
    let id = order.id.clone();
    let engine = tokio::spawn(async move { act::carry_out(&actor, &order, &steps, stop).await });
    let mut ended = false;
    while let Some(step) = taken.recv().await {
        ended |= matches!(step, Step::Ended(_));
        if messages.send(Msg::Act { id: id.clone(), step }).await.is_err() {
            return;
        }
    }
    let broke = engine.await.err().map(|cause| format!("it broke off: {cause}"));
    if !ended {
        let why = broke.or_else(|| Some("it broke off".to_owned()));
        let _ = messages.send(Msg::Act { id, step: Step::Ended(why) }).await;
    }
}

/// Ends when the program is asked to end from outside: SIGTERM, SIGHUP, SIGINT or SIGQUIT.
/// Returns the signal's number.
///
/// # Errors
/// The handlers cannot be installed.
#[cfg(unix)]
pub fn ended_from_outside() -> io::Result<impl Future<Output = u8>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    Ok(async move {
        loop {
            let number = tokio::select! {
                _ = terminate.recv() => 15,
                _ = hangup.recv() => 1,
                _ = interrupt.recv() => 2,
                _ = quit.recv() => 3,
            };
            // Keys of another program that has the terminal reach all that runs in it.
            if !(terminal::is_lent() && matches!(number, 2 | 3)) {
                return number;
            }
        }
    })
}
