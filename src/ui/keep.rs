//! Where the last known fleet of one server is kept, behind the screen.

use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::sync::mpsc;

use super::app::Model;
use super::app::last::Keep;
use super::msg::Msg;
use crate::model::key::ServerId;
use crate::store::last::{Place, Writer};

/// Slots that are written together at the end.
const PART: u32 = 4_096;

/// The place of a server's fleet, once it is known, and what is on its way there.
#[derive(Default)]
pub(super) struct Keeper {
    place: OnceLock<Place>,
    writer: Mutex<Option<Writer>>,
}

impl Keeper {
    /// The fleet is kept there from now on, unless it has a place already.
    pub(super) fn put_at(&self, place: Option<Place>) {
        if let Some(place) = place {
            let _ = self.place.set(place);
        }
    }

    /// Hands on what is kept of the server, if there is anything. Takes its time.
    pub(super) fn read(&self, id: ServerId, messages: &mpsc::Sender<Msg>) {
        if let Some(place) = self.place.get().filter(|place| place.is_kept()) {
            place.read(|event| messages.blocking_send(Msg::Last(id, event)).is_ok());
        }
    }

    /// Keeps a part of the fleet. Parts come one after the other.
    ///
    /// # Errors
    /// It cannot be written; what was on its way is forgotten.
    pub(super) fn keep(&self, part: Keep) -> io::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let none = || io::Error::other("there is no place for it");
        let done = match part {
            Keep::Begin(made) => {
                let place = self.place.get().ok_or_else(none)?;
                place.begin(made).map(|new| *writer = Some(new))
            }
            Keep::Lines(lines) => writer.as_mut().ok_or_else(none)?.write(&lines),
            Keep::End(hosts) => writer.take().ok_or_else(none)?.keep(hosts),
        };
        if done.is_err() {
            *writer = None;
        }
        done
    }

    /// Keeps the whole fleet as it is at the end, if that is worth while.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn keep_at_end(&self, id: ServerId, model: &Model) -> io::Result<()> {
        let (Some(made), Some(place)) = (model.keeps_at_end(id), self.place.get()) else {
            return Ok(());
        };
        let mut writer = place.begin(made)?;
        let (mut slot, mut hosts, mut lines) = (0, 0, Vec::new());
        while let Some(written) = model.inventory.keep_step(id, &mut slot, PART, &mut lines) {
            writer.write(&lines)?;
            lines.clear();
            hosts += written;
        }
        writer.keep(hosts)
    }
}
