//! The file: `SQLite` in WAL mode.
//!
//! `object` holds what is; `log` holds, for the newest changes, what was before each of them. From
//! both the events of the past are made again after a start, so that a client goes on watching from
//! where it was.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, params};

use super::object::Stored;
use super::shelf::{Event, Key, RING_EVENTS};
use super::{ResourceId, Shared};
use crate::error::{Error, Result};

/// Marks the file as ours: "invt".
const APPLICATION: u32 = 0x696e_7674;
/// Version of the tables below. A change adds a step to [`MIGRATIONS`].
const VERSION: u32 = 1;
/// `MIGRATIONS[n]` makes version n + 1 of version n.
const MIGRATIONS: [&str; VERSION as usize] = ["
    CREATE TABLE object (
        id INTEGER PRIMARY KEY,
        resource TEXT NOT NULL,
        key TEXT NOT NULL,
        revision INTEGER NOT NULL,
        value BLOB NOT NULL,
        UNIQUE (resource, key)
    );
    CREATE TABLE log (
        revision INTEGER PRIMARY KEY,
        resource TEXT NOT NULL,
        key TEXT NOT NULL,
        before BLOB,
        deleted INTEGER NOT NULL
    );
    CREATE TABLE fact (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO fact VALUES ('compacted', 1);
"];
/// This many changes more than are kept may gather before old ones are deleted.
const SLACK: usize = 10_000;

/// Name of the store's file in a data folder.
pub fn default_file(folder: &Path) -> PathBuf {
    folder.join("inventory.db")
}

/// An open store file.
pub(super) struct Disk {
    connection: Connection,
    log_rows: usize,
}

fn unusable(file: &Path, why: &str) -> Error {
    Error::new(format!("cannot use the store \"{}\": {why}", file.display()))
}

fn broken(file: &Path) -> impl Fn(rusqlite::Error) -> Error + use<> {
    let file = file.to_owned();
    move |cause| {
        use rusqlite::ErrorCode::{
            DatabaseBusy, DatabaseCorrupt, DiskFull, NotADatabase, ReadOnly,
        };
        let code = cause.sqlite_error_code();
        let (why, hint) = match code {
            Some(DatabaseCorrupt | NotADatabase) => (
                "it is damaged",
                "it was left as it is; put a backup in its place (\"inv-tui --headless serve --backup FILE\" makes them), or move it away to begin anew",
            ),
            Some(DiskFull) => ("the disk is full", "make room and start again"),
            Some(ReadOnly) => {
                ("it cannot be written", "check the permissions of the file and its folder")
            }
            Some(DatabaseBusy) => ("another program holds it", "end that program and start again"),
            _ => ("SQLite refuses it", "check the permissions of the file and its folder"),
        };
        unusable(&file, why).because(cause).hint(hint)
    }
}

fn damaged(file: &Path, key: &str, cause: serde_json::Error) -> Error {
    unusable(file, &format!("the object {key} in it is damaged"))
        .because(cause)
        .hint("it was left as it is; put a backup in its place")
}

/// Looks at the file's first bytes, which costs nothing and changes nothing.
fn version(file: &Path) -> Result<Option<u32>> {
    let mut head = [0_u8; 100];
    let mut opened = match fs::File::open(file) {
        Ok(opened) => opened,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(unusable(file, "it cannot be read").because(cause)),
    };
    let size = opened
        .metadata()
        .map_err(|cause| unusable(file, "it cannot be read").because(cause))?
        .len();
    if size == 0 {
        return Ok(None);
    }
    let word = |head: &[u8; 100], at: usize| {
        head.get(at..at + 4).and_then(|w| w.try_into().ok()).map_or(0, u32::from_be_bytes)
    };
    let whole = opened.read_exact(&mut head).is_ok() && head.starts_with(b"SQLite format 3\0");
    if !whole || word(&head, 68) != APPLICATION {
        return Err(unusable(file, "it is damaged, or not a store of inv-tui")
            .hint("it was left as it is; put a backup in its place, or name another folder with --data-dir"));
    }
    match word(&head, 60) {
        found if found > VERSION => Err(unusable(
            file,
            &format!("it has version {found}, this program knows up to {VERSION}"),
        )
        .hint("it was left as it is; use the newer inv-tui that wrote it")),
        found => Ok(Some(found)),
    }
}

impl Disk {
    /// Opens or makes the file.
    pub(super) fn open(file: &Path) -> Result<Self> {
        let found = version(file)?;
        let broken = broken(file);
        if found.is_some() {
            let look = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
                .map_err(&broken)?;
            let verdict: String =
                look.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(&broken)?;
            if verdict != "ok" {
                return Err(unusable(file, "it is damaged")
                    .because(std::io::Error::other(verdict))
                    .hint("it was left as it is; put a backup in its place, or move it away to begin anew"));
            }
        } else {
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(file)
                .map_err(|cause| unusable(file, "it cannot be made").because(cause))?;
        }
        let mut connection = Connection::open(file).map_err(&broken)?;
        connection
            .execute_batch(
                // FULL: a commit is on the disk before anybody hears of it. TRUNCATE would be as
                // safe and slower; NORMAL would lose the last commits in a power cut, and with them
                // revisions that clients have seen.
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;
                 PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;",
            )
            .map_err(&broken)?;
        connection.set_prepared_statement_cache_capacity(16);
        for step in MIGRATIONS.iter().enumerate().skip(found.unwrap_or(0) as usize) {
            let transaction = connection.transaction().map_err(&broken)?;
            transaction.execute_batch(step.1).map_err(&broken)?;
            transaction
                .execute_batch(&format!(
                    "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {}",
                    step.0 + 1
                ))
                .map_err(&broken)?;
            transaction.commit().map_err(&broken)?;
        }
        // The head of the file tells who it belongs to (see `version`): it must not stay in the log.
        connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(()))
            .map_err(&broken)?;
        Ok(Self { connection, log_rows: 0 })
    }

    /// Reads everything into memory.
    pub(super) fn load(&mut self, shared: &Shared) -> Result<()> {
        let file = PathBuf::from(self.connection.path().unwrap_or_default());
        let broken = broken(&file);
        let damaged = |key: &str, cause| damaged(&file, key, cause);
        let floor: i64 = self
            .connection
            .query_row("SELECT value FROM fact WHERE name = 'compacted'", [], |row| row.get(0))
            .map_err(&broken)?;
        let floor = floor.cast_unsigned();
        let mut newest = floor;
        let mut names: HashMap<String, ResourceId> = HashMap::new();

        let mut query = self
            .connection
            .prepare("SELECT resource, key, revision, value FROM object")
            .map_err(&broken)?;
        let mut rows = query.query([]).map_err(&broken)?;
        while let Some(row) = rows.next().map_err(&broken)? {
            let (name, key, revision, value) = (|| {
                let value: Vec<u8> = row.get(3)?;
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, i64>(2)?,
                    value,
                ))
            })()
            .map_err(&broken)?;
            let resource = names.entry(name).or_insert_with_key(|name| resource(name));
            let object = Stored::read(revision.cast_unsigned(), value.into())
                .map_err(|cause| damaged(&key, cause))?;
            newest = newest.max(object.revision);
            shared.shelf_or_new(resource, floor).load(key.into(), Arc::new(object));
        }

        // From the newest change to the oldest: what is after a change is what was before the next.
        let mut after: HashMap<(String, String), Option<Arc<Stored>>> = HashMap::new();
        let mut past: Vec<(ResourceId, Event)> = Vec::new();
        let mut query = self
            .connection
            .prepare(
                "SELECT revision, resource, key, before, deleted FROM log ORDER BY revision DESC",
            )
            .map_err(&broken)?;
        let mut rows = query.query([]).map_err(&broken)?;
        while let Some(row) = rows.next().map_err(&broken)? {
            let (revision, name, key, value, deleted) = (|| {
                let before: Option<Vec<u8>> = row.get(3)?;
                let (revision, deleted): (i64, bool) = (row.get(0)?, row.get(4)?);
                Ok((
                    revision.cast_unsigned(),
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    before,
                    deleted,
                ))
            })()
            .map_err(&broken)?;
            newest = newest.max(revision);
            let before = match value {
                None => None,
                Some(bytes) => Some(Arc::new(before(bytes).map_err(|cause| damaged(&key, cause))?)),
            };
            let resource = names.entry(name).or_insert_with_key(|name| resource(name)).clone();
            let place = (resource.to_string(), key);
            let current = || shared.shelf(&resource).and_then(|shelf| shelf.get(&place.1));
            let now = after.get(&place).cloned().unwrap_or_else(current);
            let object = match (deleted, now, &before) {
                (true, _, Some(before)) => Some(Arc::new(before.moved_to(revision))),
                (false, Some(now), _) => Some(now),
                _ => None,
            };
            let key: Key = place.1.as_str().into();
            after.insert(place, before.clone());
            if let Some(object) = object {
                past.push((resource, Event::new(key, before, object, deleted)));
            }
        }
        self.log_rows = past.len();
        for (resource, event) in past.into_iter().rev() {
            shared.shelf_or_new(&resource, floor).publish(event, true);
        }
        shared.revision.store(newest, Ordering::Release);
        Ok(())
    }

    /// Writes changes, all or none, and returns when they are on the disk.
    pub(super) fn write<'a>(
        &mut self,
        changes: impl Iterator<Item = (&'a ResourceId, &'a Event)>,
    ) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let mut rows = 0;
        {
            let mut put = transaction.prepare_cached(
                "INSERT INTO object (resource, key, revision, value) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (resource, key) DO UPDATE SET revision = ?3, value = ?4",
            )?;
            let mut delete = transaction
                .prepare_cached("DELETE FROM object WHERE resource = ?1 AND key = ?2")?;
            let mut log =
                transaction.prepare_cached("INSERT INTO log VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for (resource, event) in changes {
                let (resource, key) = (resource.to_string(), &*event.key);
                let revision = event.revision.cast_signed();
                if event.deleted {
                    delete.execute(params![resource, key])?;
                } else {
                    put.execute(params![resource, key, revision, &*event.object.bytes])?;
                }
                let before = event.before.as_ref().map(|before| &*before.bytes);
                log.execute(params![revision, resource, key, before, event.deleted])?;
                rows += 1;
            }
        }
        transaction.commit()?;
        self.log_rows += rows;
        if self.log_rows > RING_EVENTS + SLACK {
            // Old history that could not be deleted now is deleted another time.
            if let Err(cause) = self.compact() {
                tracing::warn!(%cause, "cannot compact the store");
            }
        }
        Ok(())
    }

    /// Forgets the changes before the newest ones.
    fn compact(&mut self) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let floor: i64 = transaction.query_row(
            "SELECT revision FROM log ORDER BY revision DESC LIMIT 1 OFFSET ?1",
            [i64::try_from(RING_EVENTS).unwrap_or(i64::MAX)],
            |row| row.get(0),
        )?;
        let gone = transaction.execute("DELETE FROM log WHERE revision <= ?1", [floor])?;
        transaction.execute("UPDATE fact SET value = ?1 WHERE name = 'compacted'", [floor])?;
        transaction.commit()?;
        self.log_rows = self.log_rows.saturating_sub(gone);
        Ok(())
    }

    /// Puts everything into the one file.
    pub(super) fn close(self) {
        if let Err(cause) =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(()))
        {
            // Nothing is lost: the log beside the file is read at the next start.
            tracing::warn!(%cause, "cannot tidy the store");
        }
    }
}

fn resource(name: &str) -> ResourceId {
    let (plural, group) = name.split_once('.').unwrap_or((name, ""));
    ResourceId::new(group, plural)
}

/// What was before a change, at the revision that its own text says.
fn before(bytes: Vec<u8>) -> std::result::Result<Stored, serde_json::Error> {
    let mut stored = Stored::read(0, Bytes::from(bytes))?;
    stored.revision = stored.version();
    Ok(stored)
}

/// Copies the store in `file` into the new file `copy`, consistently, while others use it.
///
/// # Errors
/// There is no store, the copy exists already, or it cannot be written.
pub fn backup(file: &Path, copy: &Path) -> Result<()> {
    if version(file)?.is_none() {
        return Err(unusable(file, "there is none").hint("name its folder with --data-dir"));
    }
    let refuse =
        |why: &str| Error::new(format!("cannot write the backup \"{}\": {why}", copy.display()));
    OpenOptions::new().create_new(true).write(true).mode(0o600).open(copy).map_err(|cause| {
        refuse("the file cannot be made").because(cause).hint("name a file that does not exist yet")
    })?;
    let result = (|| {
        let from = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        from.busy_timeout(std::time::Duration::from_secs(5))?;
        let mut to = Connection::open(copy)?;
        // All pages in one step: one moment of the store.
        rusqlite::backup::Backup::new(&from, &mut to)?.step(-1)?;
        to.execute_batch("PRAGMA journal_mode = DELETE")?;
        Ok::<_, rusqlite::Error>(())
    })();
    let synced =
        result.map_err(|cause| refuse("SQLite refuses it").because(cause)).and_then(|()| {
            fs::set_permissions(copy, fs::Permissions::from_mode(0o600))
                .and_then(|()| fs::File::open(copy)?.sync_all())
                .map_err(|cause| refuse("it cannot be put on the disk").because(cause))
        });
    if synced.is_err() {
        let _ = fs::remove_file(copy);
    }
    synced
}
