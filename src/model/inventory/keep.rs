//! The fleet as lines for the disk, in steps, so that nobody waits for it.

use super::Inventory;
use crate::model::key::ServerId;

impl Inventory {
    /// Writes the hosts of a server among the `rows` slots from `next` on, which it moves on, as
    /// lines of JSON. How many it wrote; none when there is none left. Hosts that come or go between
    /// two steps may be missing, or be there once too often.
    pub fn keep_step(
        &self,
        server: ServerId,
        next: &mut u32,
        rows: u32,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let slots = u32::try_from(self.rows.slots()).unwrap_or(u32::MAX);
        if *next >= slots {
            return None;
        }
        let end = next.saturating_add(rows.max(1)).min(slots);
        let mut written = 0;
        let all = (*next..end).filter_map(|slot| self.rows.get(slot));
        for row in all.filter(|row| row.uid().server() == server) {
            if let Ok(line) = serde_json::to_vec(&row.to_kept(self.labels(row))) {
                out.extend(line);
                out.push(b'\n');
                written += 1;
            }
        }
        *next = end;
        Some(written)
    }
}
