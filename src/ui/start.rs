//! Starts the explorer: checks everything that can be wrong before the screen is taken, and gives
//! the screen back on every way out.

use jiff::tz::TimeZone;
use ratatui::crossterm::event::EventStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::app::{Model, ServerSettings, Settings};
use super::line::{Opening, Way};
use super::run::{Clock, Effects, Look, QUEUE, SystemClock, ended_from_outside, run};
use super::snapshot::{self, Keys, Patience, Size};
use super::terminal::{Abilities, Screen, give_back};
use super::theme::Theme;
use crate::config::{self, Config};
use crate::error::{EXIT_DONE, Error, Result};
use crate::model::filter::Filter;
use crate::model::text::clean;
use crate::store::client::{ConnectOptions, connect, several};
use crate::store::watch;
use crate::tasks::demo::Demo;

/// What the explorer shows, and where.
#[derive(Default)]
pub struct Show {
    /// The demo fleet instead of the one that the options lead to.
    pub demo: Option<Demo>,
    /// Every context of the kubeconfig, instead of one or those that are named.
    pub all_contexts: bool,
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
    options.context = options.context.or_else(|| config.context.clone());
    // Dropped, and thereby ended, with this function.
    let mut background = JoinSet::new();
    let contexts = if show.demo.is_some() { None } else { several(&options, show.all_contexts)? };
    let mut note = None;
    let servers = if let Some(contexts) = contexts {
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
            connect(&options).await?
        };
        note.clone_from(&connection.note);
        watch::check(&connection, config.namespace.as_deref()).await?;
        vec![Way::Ready(Box::new(connection))]
    };
    let openings = |way| Opening { way, namespace: config.namespace.clone() };
    let openings: Vec<Opening> = servers.into_iter().map(openings).collect();

    let settings = Settings {
        servers: openings.iter().map(|opening| server_settings(&config, opening)).collect(),
        theme: theme.name.clone(),
        ascii: config.ascii || abilities.ascii,
        time_zone: TimeZone::system(),
        seed: uuid::Uuid::new_v4().as_u128(),
        config,
    };
    let look = Look { theme, find: Box::new(move |name| load(name).ok()) };
    let (sender, mut messages) = mpsc::channel(QUEUE);
    if let Some((Size { width, height }, keys)) = show.snapshot {
        let model = Model::new(settings, SystemClock.now(), (width, height));
        let effects = Effects::start(openings, sender);
        let to = (&mut std::io::stdout(), &mut std::io::stderr());
        let patience = Patience::default();
        let picture = (model, look, keys);
        return snapshot::take(picture, &mut messages, effects, &SystemClock, patience, to).await;
    }

    let mut screen = Screen::take()?;
    let size = screen
        .terminal
        .size()
        .map_err(|cause| Error::usage("cannot read the terminal's size").because(cause))?;
    let mut model = Model::new(settings, SystemClock.now(), (size.width, size.height));
    if let Some(note) = note {
        model.fail(note);
    }
    let mut effects = Effects::start(openings, sender);
    let ended = ended_from_outside()
        .map_err(|cause| Error::new("cannot listen for signals").because(cause))?;
    let result = tokio::select! {
        result = run(&mut screen.terminal, model, look, EventStream::new(), &mut messages, &mut effects, &SystemClock) => {
            result.map(|_| EXIT_DONE)
        }
        signal = ended => Ok(128 + signal),
    };
    give_back();
    result
}

/// What is known of a server before anything is heard of it.
fn server_settings(config: &Config, opening: &Opening) -> ServerSettings {
    let (context, url) = match &opening.way {
        Way::Ready(connection) => (connection.context.clone(), connection.server.clone()),
        Way::Named(options) => (options.context.clone().unwrap_or_default(), String::new()),
    };
    ServerSettings {
        production: config.production_contexts.contains(&context),
        read_only: config.read_only,
        namespace: opening.namespace.clone(),
        context: clean(&context).into_owned(),
        url: clean(&url).into_owned(),
    }
}

fn column(text: &str, at: usize) -> usize {
    text.get(..at).map_or(0, |before| before.chars().count()) + 1
}
