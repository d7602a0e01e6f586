//! All that can happen to the explorer, and all that it can ask for.

use jiff::Timestamp;
use ratatui::crossterm::event::{KeyEvent, MouseEvent};
use serde_json::Value;

use crate::act::certificates::Decision;
use crate::act::{Order, Step};
use crate::config::views::{Edit, SavedView};
use crate::journal::Record;
use crate::model::change::Target;
use crate::model::cluster::Cluster;
use crate::model::host::Host;
use crate::model::key::{ServerId, Uid};
use crate::model::source::Source;
use crate::store::certificates::CsrEvent;
use crate::store::last::LastEvent;
use crate::store::objects::ObjectEvent;
use crate::store::read::{Known, Place};
use crate::store::told::Told;
use crate::store::watch::FleetEvent;
use crate::ui::app::last::Keep;
use crate::ui::configured::Configured;
use crate::ui::theme::Theme;

/// One thing that has happened. Plain data; no secret ever travels in it.
#[derive(Debug)]
pub enum Msg {
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted; it never confirms anything.
    Paste(String),
    /// The terminal has another size.
    Resize(u16, u16),
    /// Time has passed.
    Tick(Timestamp),
    /// A server of several is connected to.
    Connected {
        /// Which one.
        server: ServerId,
        /// Its URL.
        url: String,
        /// What no other server has, but one that was made from the same backup; if it tells.
        instance: Option<String>,
    },
    /// An answer to [`Command::Compare`].
    Compared {
        /// The two servers.
        servers: (ServerId, ServerId),
        /// They are one.
        same: bool,
    },
    /// A server of several cannot be connected to; attempts go on.
    Unusable {
        /// Which one.
        server: ServerId,
        /// Why.
        reason: String,
        /// What to do next, where that is known.
        hint: Option<String>,
    },
    /// Something happened to the fleet.
    Fleet(ServerId, FleetEvent),
    /// An answer to [`Command::ReadHost`].
    HostRead {
        /// The question's number; late answers are dropped by it.
        generation: u64,
        /// The object, or that it is gone, or why it could not be read.
        result: Result<Option<Box<Host>>, String>,
    },
    /// An answer to [`Command::ReadObject`].
    ObjectRead {
        /// The question's number; late answers are dropped by it.
        generation: u64,
        /// The object as it came, or that it is gone, or why it could not be read.
        result: Result<Option<Box<Value>>, String>,
    },
    /// What is known of Events, see [`Command::FollowEvents`].
    Told {
        /// The question's number.
        generation: u64,
        /// All of them, the newest first, or why they cannot be followed.
        result: Result<Vec<Told>, String>,
    },
    /// An answer to [`Command::Save`]: the file, or why there is none.
    Saved(Result<String, String>),
    /// The mouse did something.
    Mouse(MouseEvent),
    /// Something happened to the Clusters.
    Clusters(ServerId, ObjectEvent<Cluster>),
    /// Something happened to the Sources.
    Sources(ServerId, ObjectEvent<Source>),
    /// An answer to [`Command::ReadHosts`].
    HostsRead {
        /// The question's number; late answers are dropped by it.
        generation: u64,
        /// The hosts that are still there, or why they could not be read.
        result: Result<Vec<Known>, String>,
    },
    /// A step of an order, see [`Command::Act`].
    Act {
        /// The order's id.
        id: String,
        /// The step.
        step: Step,
    },
    /// The name under which the server knows us.
    User(ServerId, Result<String, String>),
    /// Whether we may do something.
    May {
        /// On which server.
        server: ServerId,
        /// The verb, for example `patch`.
        verb: &'static str,
        /// The resource, for example `hosts`.
        resource: &'static str,
        /// The answer.
        result: Result<bool, String>,
    },
    /// Something happened to the requests for certificates.
    Certificates(ServerId, Vec<CsrEvent>),
    /// An answer to [`Command::Decide`].
    Decided {
        /// Name of the request.
        name: String,
        /// It was to be approved; else denied.
        approve: bool,
        /// What came of it.
        result: Decided,
    },
    /// What we may not do of what a decision needs; none: everything.
    MayDecide(ServerId, Option<String>),
    /// An answer to [`Command::ReadJournal`].
    Journal(Result<JournalRead, String>),
    /// An answer to [`Command::CopyObject`]: what is to be copied, or why it could not be read.
    Fetched(Result<String, String>),
    /// Something of the fleet of a server that was kept on disk.
    Last(ServerId, LastEvent),
    /// An answer to [`Command::Keep`].
    Kept(ServerId, Result<(), String>),
    /// No key has come for a moment after a digit.
    Pause,
    /// An answer to [`Command::EditViews`]: one's own views as they are now.
    ViewsEdited(Result<Vec<SavedView>, String>),
    /// An answer to [`Command::ReadFilters`]: the latest first.
    Filters(Vec<String>),
    /// An answer to [`Command::Copy`]: there is no desktop after all, the text comes back.
    NoDesktop(String),
    /// An answer to [`Command::Copy`] and [`Command::CopyToTerminal`]: where the text went, or why it could not be copied.
    Copied(Result<&'static str, String>),
    /// The configuration file has changed: what it says now, or everything that is wrong with it.
    Configured(Result<Box<Configured>, String>),
    /// A person's own themes have changed: the names of all themes.
    Themes(Vec<String>),
    /// An answer to [`Command::Theme`].
    Theme {
        /// The number of the question.
        generation: u64,
        /// The name that was asked for.
        name: String,
        /// The theme, or why there is none.
        result: Result<Box<Theme>, String>,
    },
    /// An answer to [`Command::Browse`].
    Browsed {
        /// The address.
        url: String,
        /// Whether it was opened.
        result: Result<(), String>,
    },
    /// An answer to [`Command::Outside`]: the terminal is ours again, and what the program ended
    /// with; the error is one to look at.
    Returned(Result<String, String>),
    /// A task behind the screen has ended that never should.
    TaskEnded {
        /// Which one.
        name: &'static str,
        /// Why, where that is known.
        problem: String,
    },
}

/// What came of a decision.
#[derive(Debug)]
pub enum Decided {
    /// Done.
    Done,
    /// Not done: the request has changed or was decided since it was shown; how.
    Conflict(String),
    /// Not done: the request is gone.
    Gone,
    /// Not done, and why, and what to do next.
    Failed(String),
}

/// The newest part of the journal.
#[derive(Clone, Debug, Default)]
pub struct JournalRead {
    /// Orders, the newest first.
    pub records: Vec<Record>,
    /// There are older ones.
    pub more: bool,
    /// Lines that could not be read.
    pub skipped: usize,
}

/// One thing that the explorer asks for. Each runs outside and ends in one message, but for
/// `AskWho` (three), `Act` (one for each step), `FollowEvents` (one for each change), `Stop`, `Mouse`,
/// `KeepFilter`, `Reconnect`, `Leave` and `Quit` (none).
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Read the whole object under the cursor.
    ReadHost {
        /// Number of the question.
        generation: u64,
        /// Identity of the object.
        uid: Uid,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Read an object as the server has it.
    ReadObject {
        /// Number of the question.
        generation: u64,
        /// Where it is.
        at: Place,
    },
    /// Follow the Events about one object instead of any other; none: no longer.
    FollowEvents {
        /// Number of the question.
        generation: u64,
        /// Namespace and uid of the object; the uid says on which server.
        about: Option<(String, Uid)>,
    },
    /// Write a text into a file of its own.
    Save {
        /// What the file's name begins with.
        name: String,
        /// The text.
        text: String,
    },
    /// Take the mouse from the terminal, or give it back.
    Mouse(bool),
    /// Read what the server knows of hosts.
    ReadHosts {
        /// Number of the question.
        generation: u64,
        /// The hosts.
        hosts: Vec<Target>,
    },
    /// Carry out an order; its last step is [`Step::Ended`].
    Act {
        /// The server of all its hosts.
        server: ServerId,
        /// The name under which the server knows us.
        user: String,
        /// The order.
        order: Box<Order>,
    },
    /// Let the orders with these ids begin nothing further.
    Stop(Vec<String>),
    /// Approve or deny a request for a certificate.
    Decide(ServerId, Box<Decision>),
    /// Read the journal.
    ReadJournal,
    /// Keep a part of the fleet of a server on disk.
    Keep(ServerId, Keep),
    /// Change one's own saved views.
    EditViews(Edit),
    /// Read the filters that were typed before.
    ReadFilters,
    /// Remember a filter that was typed.
    KeepFilter(String),
    /// Put text on the clipboard.
    Copy(String),
    /// Read an object, to be copied as YAML.
    CopyObject(Place),
    /// Hand text to the terminal's clipboard.
    CopyToTerminal(String),
    /// Read a theme.
    Theme {
        /// Number of the question.
        generation: u64,
        /// Its name.
        name: String,
    },
    /// Open an address in a browser.
    Browse(String),
    /// Give the terminal to a program, named word by word, until it ends.
    Outside(Vec<String>),
    /// Ask a server who we are and what we may do.
    AskWho(ServerId),
    /// Try to reach a server now; none: all of them.
    Reconnect(Option<ServerId>),
    /// Look whether two servers are one.
    Compare(ServerId, ServerId),
    /// Have nothing to do with a server any more.
    Leave(ServerId),
    /// Leave.
    Quit,
}
