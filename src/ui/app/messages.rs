//! What was said to the person, kept for a while, errors whole.

use super::{Model, Notice};

/// Messages that are kept.
const KEPT: usize = 200;

impl Model {
    /// Keeps a message; the same one again is counted.
    pub(super) fn keep_message(&mut self, notice: &Notice) {
        match self.messages.back_mut() {
            Some(last) if last.text == notice.text && last.error == notice.error => {
                last.times = last.times.saturating_add(1);
                last.at = notice.at;
            }
            _ => {
                if self.messages.len() >= KEPT {
                    self.messages.pop_front();
                }
                self.messages.push_back(Notice { times: 1, ..notice.clone() });
            }
        }
    }
}
