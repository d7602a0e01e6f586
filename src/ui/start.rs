//! Starts the explorer: checks everything that can be wrong before the screen is taken, and gives
//! the screen back on every way out.

use jiff::tz::TimeZone;
use ratatui::crossterm::event::EventStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::app::{Model, Settings};
use super::run::{
    Clock, Effects, Look, QUEUE, SystemClock, ended_from_outside, keep_at_end, run,
};
use super::snapshot::{self, Keys, Patience, Size};
use super::terminal::{Abilities, Screen, give_back};
use super::theme::Theme;
use crate::config::{self, Config, views};
use crate::error::{EXIT_DONE, Error, Result};
use crate::model::filter::Filter;
use crate::store::client::{ConnectOptions, Connection, connect, connect_unasked};
use crate::store::last::Place;
use crate::store::watch;
use crate::tasks::demo::Demo;

/// What the explorer shows, and where.
#[derive(Default)]
pub struct Show {
    /// The demo fleet instead of the one that the options lead to.
    pub demo: Option<Demo>,
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
pub async fn explore(config: Config, mut options: ConnectOptions, show: Show) -> Result<u8> {
    let abilities = Abilities::read(|name| std::env::var(name).ok());
    let name = config
        .theme
        .clone()
        .unwrap_or_else(|| if abilities.true_colour { "night" } else { "terminal" }.to_owned());
    let load = move |name: &str| {
        let folder = config::themes_folder();
        Theme::load(name, folder.as_deref())
            .map(|theme| if abilities.no_colour { theme.without_colour() } else { theme })
    };
    let theme = load(&name)?;
    if let Some(text) = &config.filter {
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
    // Dropped, and thereby ended, with this function.
    let mut background = JoinSet::new();
    let is_demo = show.demo.is_some();
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
        options.context = options.context.or_else(|| config.context.clone());
        match known(&config, &options, show.snapshot.is_some()).await? {
            Some(connection) => connection,
            None => connect(&options).await?,
        }
    };
    let note = connection.note.clone();
    let namespace = config.namespace.clone();
    let keeps = config.last_fleet && !is_demo && show.snapshot.is_none();
    let place = keeps.then(|| Place::own(&connection, namespace.as_deref())).flatten();
    // Where a fleet is known it is shown, and what is wrong with the server is said beside it.
    if !place.as_ref().is_some_and(Place::is_kept) {
        watch::check(&connection, namespace.as_deref()).await?;
    }

    let settings = Settings {
        production: config.production_contexts.contains(&connection.context),
        context: connection.context.clone(),
        server: connection.server.clone(),
        theme: theme.name.clone(),
        ascii: config.ascii || abilities.ascii,
        time_zone: TimeZone::system(),
        seed: uuid::Uuid::new_v4().as_u128(),
        saved,
        keeps: place.is_some(),
        view,
        config,
    };
    let look = Look { theme, find: Box::new(move |name| load(name).ok()) };
    let (sender, mut messages) = mpsc::channel(QUEUE);
    if let Some((Size { width, height }, keys)) = show.snapshot {
        let model = Model::new(settings, SystemClock.now(), (width, height));
        let effects = Effects::start(connection, namespace, sender, None);
        let to = (&mut std::io::stdout(), &mut std::io::stderr());
        let patience = Patience::default();
        let picture = (model, look, keys);
        let taken = snapshot::take(picture, &mut messages, effects, &SystemClock, patience, to);
        return Box::pin(taken).await;
    }

    let mut screen = Screen::take()?;
    let size = screen
        .terminal
        .size()
        .map_err(|cause| Error::usage("cannot read the terminal's size").because(cause))?;
    let mut model = Model::new(settings, SystemClock.now(), (size.width, size.height));
    if let Some(note) = note.or(wrong_views) {
        model.fail(note);
    }
    let mut effects = Effects::start(connection, namespace, sender, place.clone());
    let ended = ended_from_outside()
        .map_err(|cause| Error::new("cannot listen for signals").because(cause))?;
    let result = tokio::select! {
        result = run(&mut screen.terminal, model, look, EventStream::new(), &mut messages, &mut effects, &SystemClock) => {
            result
        }
        signal = ended => {
            give_back();
            return Ok(128 + signal);
        }
    };
    give_back();
    if let (Ok(model), Some(place)) = (&result, &place) {
        keep_at_end(model, place).map_err(|cause| {
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
    options: &ConnectOptions,
    picture: bool,
) -> Result<Option<Connection>> {
    if !config.last_fleet || picture {
        return Ok(None);
    }
    let connection = connect_unasked(options).await?;
    Ok(connection.filter(|connection| {
        Place::own(connection, config.namespace.as_deref()).is_some_and(|place| place.is_kept())
    }))
}

fn column(text: &str, at: usize) -> usize {
    text.get(..at).map_or(0, |before| before.chars().count()) + 1
}
