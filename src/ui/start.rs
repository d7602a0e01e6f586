//! Starts the explorer: checks everything that can be wrong before the screen is taken, and gives
//! the screen back on every way out.

use std::io;

use futures::{StreamExt, stream};
use jiff::tz::TimeZone;
use ratatui::crossterm::event::{Event, EventStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::app::{Model, ServerSettings, Settings, update, with_auto};
use super::background::{self, Answer, Swallow};
use super::configured::{self, Configured, Given, Looks};
use super::line::{Opening, Way};
use super::msg::Msg;
use super::outside;
use super::reload::{Reload, Shown};
use super::run::{Clock, Effects, Executor, QUEUE, SystemClock, ended_from_outside, run};
use super::snapshot::{self, Keys, Patience, Size};
use super::terminal::{Abilities, Screen, give_back};
use super::theme::{self, Theme};
use crate::config::{self, AUTO, Config, Overrides, views};
use crate::error::{EXIT_DONE, Error, Result};
use crate::journal::first;
use crate::model::filter::Filter;
use crate::model::text::clean;
use crate::store::client::{ConnectOptions, Connection, connect, connect_unasked, several};
use crate::store::last::Place;
use crate::store::watch;
use crate::tasks::demo::Demo;

/// What the explorer shows, and where.
#[derive(Default)]
pub struct Show {
    /// The demo fleet instead of the one that the options lead to.
    pub demo: Option<Demo>,
    /// Every context of the kubeconfig, instead of one or those that are named.
    pub all_contexts: bool,
    /// The saved view to begin with.
    pub view: Option<String>,
    /// A picture on standard output instead of the terminal, after these keys.
    pub snapshot: Option<(Size, Keys)>,
}

/// Runs the explorer until it is left; the exit code. A signal ends it with 128 and its number.
///
/// # Errors
/// An unknown theme, a malformed filter, a server that cannot be used: all before the screen is
/// taken and with the exit code for set-up; afterwards a terminal that cannot be used.
#[allow(clippy::too_many_lines, reason = "the order in which a start can fail, read from above")]
pub async fn explore(given: Given, mut options: ConnectOptions, show: Show) -> Result<u8> {
    let abilities = Abilities::read(|name| std::env::var(name).ok());
    let config = configured::load(given.file.as_deref())?;
    let mut looks = Looks {
        abilities,
        dark: abilities.dark,
        pair: (config.theme_dark.clone(), config.theme_light.clone()),
        folder: config::themes_folder(),
    };
    if let Some(name) = &given.overrides.theme {
        looks.find(name)?;
    }
    if let Some(text) = &given.overrides.filter {
        Filter::parse(text).map_err(|problem| {
            Error::usage(format!(
                "the filter \"{text}\" is malformed at column {}: {problem}",
                column(text, problem.at.start)
            ))
            .hint("in the explorer, ? while filtering shows the grammar")
        })?;
    }
    let shared = views::shared_files(&config.views);
    let (saved, problems) = views::load(views::own_file().as_deref(), &shared);
    let wrong_views = problems.first().map(ToString::to_string);
    let view = match &show.view {
        Some(name) => Some(views::find(&saved, problems, name)?),
        None => None,
    };
    options.context = options.context.or_else(|| config.context.clone());
    // Dropped, and thereby ended, with this function.
    let mut background = JoinSet::new();
    let is_demo = show.demo.is_some();
    let contexts = if show.demo.is_some() { None } else { several(&options, show.all_contexts)? };
    let (mut note, mut alone) = (None, None);
    let servers: Vec<Way> = if let Some(contexts) = contexts {
        // The screen comes at once: each of them is connected to behind it, and says there what is
        // in the way.
        let named = |context| {
            let options = ConnectOptions { context: Some(context), ..options.clone() };
            Way::Named(Box::new(options))
        };
        contexts.into_iter().map(named).collect()
    } else {
        let connection = if let Some(demo) = show.demo {
            demo.install().await?;
            let connection = demo.connection();
            if show.snapshot.is_some() {
                demo.fill().await?; // and then it stands still
            } else {
                background.spawn(async move { Box::pin(demo.run()).await });
            }
            connection
        } else {
            match known(&config, &given, &options, show.snapshot.is_some()).await? {
                Some(connection) => connection,
                None => connect(&options).await?,
            }
        };
        note.clone_from(&connection.note);
        alone = Some(connection.clone());
        vec![Way::Ready(Box::new(connection))]
    };
    // Of several contexts each has what is said of it, and the screen what is said of none.
    let (context, shown) = match servers.as_slice() {
        [Way::Ready(connection)] => {
            (connection.context.clone(), Shown::One(connection.context.clone()))
        }
        ways => (String::new(), Shown::Several(ways.iter().map(Way::context).collect())),
    };
    // What is wrong from now on is wrong with what was read above, so mistakes are told there.
    let reload = Reload::new(given.clone(), shown);
    let keeps = config.last_fleet && !is_demo && show.snapshot.is_none();
    let opening = |way| open(way, &config, &given.overrides, keeps);
    let (settings_of, openings): (Vec<ServerSettings>, Vec<Opening>) =
        servers.into_iter().map(opening).unzip();
    let Configured { config, keymap, .. } = Configured::new(config, &context, &given.overrides);
    // Where a fleet is known it is shown, and what is wrong with the server is said beside it.
    if let Some(connection) = &alone
        && !(keeps && is_kept(connection, config.namespace.as_deref()))
    {
        watch::check(connection, config.namespace.as_deref()).await?;
    }

    let settings = Settings {
        servers: settings_of,
        theme: config.theme.clone(),
        ascii: config.ascii || abilities.ascii,
        only_ascii: abilities.ascii,
        keymap,
        themes: with_auto(theme::names(looks.folder.as_deref())),
        time_zone: TimeZone::system(),
        seed: uuid::Uuid::new_v4().as_u128(),
        saved,
        keeps: keeps && config::cache_folder().is_some(),
        view,
        config,
    };
    let (sender, messages) = mpsc::channel(QUEUE);
    if let Some((Size { width, height }, keys)) = show.snapshot {
        let mut messages = messages;
        let theme = looks.find(&settings.theme)?;
        let model = Model::new(settings, SystemClock.now(), (width, height));
        let effects = Effects::start(openings, sender).with_looks(looks);
        let to = (&mut std::io::stdout(), &mut std::io::stderr());
        let patience = Patience::default();
        let picture = (model, theme, keys);
        let taken = snapshot::take(picture, &mut messages, effects, &SystemClock, patience, to);
        return Box::pin(taken).await;
    }

    let mut screen = Screen::take()?;
    let follows = settings.config.theme == AUTO && abilities.true_colour && !abilities.no_colour;
    let answer =
        if follows && abilities.answers { background::ask().await } else { Answer::default() };
    looks.dark = answer.dark.or(looks.dark);
    let theme = looks.find(&settings.theme)?;
    let mut model = Model::new(settings, SystemClock.now(), size(&screen)?);
    // Everything that can be wrong has been looked at: now it can be seen.
    if first::is_first() {
        model.greet();
    }
    if let Some(note) = note.or(wrong_views) {
        model.fail(note);
    }
    super::terminal::mouse(model.mouse);
    let mut effects = Effects::start(openings, sender).with_looks(looks);
    effects.look_at_files(reload);
    let ended = ended_from_outside()
        .map_err(|cause| Error::new("cannot listen for signals").because(cause))?;
    let result = tokio::select! {
        result = sessions(&mut screen, model, theme, answer, messages, &mut effects) => result,
        signal = ended => {
            give_back();
            return Ok(128 + signal);
        }
    };
    give_back();
    if let Ok(model) = &result {
        effects.keep_at_end(model).map_err(|cause| {
            Error::new("cannot keep the fleet for the next start")
                .because(cause)
                .hint("last-fleet = false in the configuration leaves it")
        })?;
    }
    result.map(|_| EXIT_DONE)
}

/// The server whose fleet was kept, without asking it anything: it may be away, and what is known
/// is to be on the screen at once.
async fn known(
    config: &Config,
    given: &Given,
    options: &ConnectOptions,
    picture: bool,
) -> Result<Option<Connection>> {
    if !config.last_fleet || picture {
        return Ok(None);
    }
    let connection = connect_unasked(options).await?;
    Ok(connection.filter(|connection| {
        let laid = Configured::new(config.clone(), &connection.context, &given.overrides);
        is_kept(connection, laid.config.namespace.as_deref())
    }))
}

/// Whether the fleet of a server and namespace was kept.
fn is_kept(connection: &Connection, namespace: Option<&str>) -> bool {
    Place::own(&connection.identity, namespace).is_some_and(|place| place.is_kept())
}

/// What is known of a server before anything is heard of it, and how it is reached.
fn open(
    way: Way,
    config: &Config,
    overrides: &Overrides,
    keeps: bool,
) -> (ServerSettings, Opening) {
    let context = way.context();
    let url = match &way {
        Way::Ready(connection) => connection.server.clone(),
        Way::Named(_) => String::new(),
    };
    let Configured { config, production, .. } =
        Configured::new(config.clone(), &context, overrides);
    let namespace = config.namespace.clone();
    let settings = ServerSettings {
        production,
        read_only: config.read_only,
        namespace: namespace.clone(),
        context: clean(&context).into_owned(),
        url: clean(&url).into_owned(),
        own: matches!(way, Way::Named(_)).then(|| Box::new(config)),
    };
    (settings, Opening { way, namespace, keeps })
}

/// Runs the explorer until it is left; in between the terminal may go to other programs.
async fn sessions(
    screen: &mut Screen,
    mut model: Model,
    mut theme: Theme,
    answer: Answer,
    mut messages: mpsc::Receiver<Msg>,
    effects: &mut Effects,
) -> Result<Model> {
    let typed = answer.typed.iter().map(|key| Ok(Event::Key(*key)));
    let mut early = stream::iter(typed.collect::<Vec<io::Result<Event>>>());
    let mut swallow = Swallow::new(&answer);
    loop {
        // Made anew each time: while another program has the terminal nobody else may read it.
        let keys = EventStream::new().flat_map(|event| {
            stream::iter(match event {
                Ok(event) => swallow.take(event).into_iter().map(Ok).collect(),
                Err(cause) => vec![Err(cause)],
            })
        });
        let events = early.by_ref().chain(keys);
        let clock = &SystemClock;
        model = run(&mut screen.terminal, model, &mut theme, events, &mut messages, effects, clock)
            .await?;
        let Some(words) = model.outside.take() else { return Ok(model) };
        screen.lend();
        let ended = outside::run(&words, &mut model, &mut messages, effects, clock).await;
        screen.retake()?;
        if model.leaving {
            return model.broken.take().map_or(Ok(model), |why| Err(Error::new(why)));
        }
        let (width, height) = size(screen)?;
        let program = words.first().map_or("the program", String::as_str);
        let told = Msg::Returned(outside::said(program, ended));
        for msg in [Msg::Resize(width, height), told] {
            for command in update(&mut model, msg) {
                effects.start(command);
            }
        }
    }
}

fn size(screen: &Screen) -> Result<(u16, u16)> {
    let size = screen.terminal.size();
    let size = size.map_err(|cause| Error::usage("cannot read the terminal's size").because(cause));
    size.map(|size| (size.width, size.height))
}

fn column(text: &str, at: usize) -> usize {
    text.get(..at).map_or(0, |before| before.chars().count()) + 1
}
