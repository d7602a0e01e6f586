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
use rusqlite::backup::{Backup, StepResult};
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
/// What was before the changes that are kept is at most this long in all, nearly: a start reads it.
const LOG_BYTES: usize = if cfg!(test) { 1 << 20 } else { 256 << 20 };
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
    log_bytes: usize,
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

/// A file that `SQLite` keeps beside another one.
fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Puts the names in the file's folder on the disk: a new file must survive a power cut too.
fn sync_folder(file: &Path) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Whether there is a store, as far as the file's first bytes tell, which to read changes nothing.
///
/// # Errors
/// It is none of ours, or too new, or the log beside it is another store's.
fn is_there(file: &Path) -> Result<bool> {
    let mut head = [0_u8; 100];
    let unreadable = |cause| unusable(file, "it cannot be read").because(cause);
    let opened = match fs::File::open(file) {
        Ok(opened) => Some(opened),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => None,
        Err(cause) => return Err(unreadable(cause)),
    };
    let size = opened.as_ref().map_or(Ok(0), |opened| opened.metadata().map(|data| data.len()));
    let there = size.map_err(unreadable)? > 0;
    if let Some(mut opened) = opened.filter(|_| there) {
        let whole = opened.read_exact(&mut head).is_ok() && head.starts_with(b"SQLite format 3\0");
        if !whole || word(&head, 68) != APPLICATION {
            return Err(unusable(file, "it is damaged, or not a store of inv-tui")
                .hint("it was left as it is; put a backup in its place, or name another folder with --data-dir"));
        }
        known(file, word(&head, 60))?;
    }
    // SQLite would write a log into whatever file it lies beside. A store that is in use says in its
    // head that it has a log (2); a backup does not, and a missing store cannot.
    let log = beside(file, "-wal");
    let logged = head.get(18) == Some(&2);
    if !logged && fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(unusable(file, "beside it is the log of a store that was there before").hint(
            format!(
                "move \"{}\" away: it belongs to that store, whose last changes it may hold",
                log.display()
            ),
        ));
    }
    Ok(there)
}

fn word(head: &[u8; 100], at: usize) -> u32 {
    head.get(at..at + 4).and_then(|w| w.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// Refuses a version that a newer program wrote.
fn known(file: &Path, found: u32) -> Result<()> {
    if found <= VERSION {
        return Ok(());
    }
    let why = format!("it has version {found}, this program knows up to {VERSION}");
    Err(unusable(file, &why).hint("it was left as it is; use the newer inv-tui that wrote it"))
}

/// Looks through the whole file without changing it. Returns its version.
fn check(file: &Path) -> Result<u32> {
    let broken = broken(file);
    // What a change of the journal mode left unfinished can only be read by who may undo it.
    let flags = if beside(file, "-journal").exists() {
        OpenFlags::SQLITE_OPEN_READ_WRITE
    } else {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    };
    let look = Connection::open_with_flags(file, flags).map_err(&broken)?;
    let verdict: String =
        look.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(&broken)?;
    if verdict != "ok" {
        return Err(unusable(file, "it is damaged").because(std::io::Error::other(verdict)).hint(
            "it was left as it is; put a backup in its place, or move it away to begin anew",
        ));
    }
    // The head of the file may be older than what the log beside it says.
    let found = look.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(&broken)?;
    known(file, found)?;
    Ok(found)
}

fn migrate(connection: &mut Connection, from: u32) -> rusqlite::Result<()> {
    for (version, step) in (1..).zip(MIGRATIONS).skip(from as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Opens a file in the way that commits are safe.
fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.execute_batch(
        // FULL: a commit is on the disk before anybody hears of it. TRUNCATE would be as
        // safe and slower; NORMAL would lose the last commits in a power cut, and with them
        // revisions that clients have seen.
        "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;",
    )?;
    connection.set_prepared_statement_cache_capacity(16);
    Ok(connection)
}

/// Makes an empty store. It is made whole under another name: a power cut or a kill in the middle
/// leaves nothing behind that looks like a damaged store.
fn make(file: &Path) -> Result<()> {
    let new = beside(file, ".new");
    let fail = |cause| unusable(file, "it cannot be made").because(cause);
    for old in ["", "-wal", "-shm", "-journal"] {
        match fs::remove_file(beside(&new, old)) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(fail(cause)),
            _ => {}
        }
    }
    OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new).map_err(fail)?;
    let broken = broken(file);
    let mut connection = connect(&new).map_err(&broken)?;
    migrate(&mut connection, 0).map_err(&broken)?;
    // Everything goes into the one file, and the log is removed.
    connection.close().map_err(|(_, cause)| broken(cause))?;
    fs::rename(&new, file).and_then(|()| sync_folder(file)).map_err(fail)
}

impl Disk {
    /// Opens or makes the file.
    pub(super) fn open(file: &Path) -> Result<Self> {
        if !is_there(file)? {
            make(file)?;
        }
        let found = check(file)?;
        let broken = broken(file);
        let mut connection = connect(file).map_err(&broken)?;
        migrate(&mut connection, found).map_err(&broken)?;
        // What a kill left in the log: read once now instead of at each start.
        connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(()))
            .map_err(&broken)?;
        Ok(Self { connection, log_rows: 0, log_bytes: 0 })
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
        shared.floor.store(floor, Ordering::Release);
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
            shared.shelf_or_new(resource).load(key.into(), Arc::new(object));
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
                Some(bytes) => {
                    self.log_bytes += bytes.len();
                    Some(Arc::new(before(bytes).map_err(|cause| damaged(&key, cause))?))
                }
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
            shared.shelf_or_new(&resource).publish(event, true);
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
        let (mut rows, mut bytes) = (0, 0);
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
                bytes += before.map_or(0, <[u8]>::len);
            }
        }
        transaction.commit()?;
        self.log_rows += rows;
        self.log_bytes += bytes;
        if self.log_rows > RING_EVENTS + SLACK || self.log_bytes > LOG_BYTES + LOG_BYTES / 4 {
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
        let (mut rows, mut bytes, mut floor) = (0, 0, None);
        {
            let mut query = transaction.prepare(
                "SELECT revision, coalesce(length(before), 0) FROM log ORDER BY revision DESC",
            )?;
            let mut found = query.query([])?;
            while let Some(row) = found.next()? {
                let size = bytes + usize::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
                // One change at least stays, however long: the floor is the revision before it.
                if rows >= RING_EVENTS || rows > 0 && size > LOG_BYTES {
                    floor = Some(row.get::<_, i64>(0)?);
                    break;
                }
                (rows, bytes) = (rows + 1, size);
            }
        }
        if let Some(floor) = floor {
            transaction.execute("DELETE FROM log WHERE revision <= ?1", [floor])?;
            transaction.execute("UPDATE fact SET value = ?1 WHERE name = 'compacted'", [floor])?;
        }
        transaction.commit()?;
        (self.log_rows, self.log_bytes) = (rows, bytes);
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
    if !is_there(file)? {
        return Err(unusable(file, "there is none").hint("name its folder with --data-dir"));
    }
    check(file)?;
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
        if Backup::new(&from, &mut to)?.step(-1)? != StepResult::Done {
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
                None,
            ));
        }
        to.execute_batch("PRAGMA journal_mode = DELETE")?;
        Ok::<_, rusqlite::Error>(())
    })();
    let synced =
        result.map_err(|cause| refuse("SQLite refuses it").because(cause)).and_then(|()| {
            fs::set_permissions(copy, fs::Permissions::from_mode(0o600))
                .and_then(|()| fs::File::open(copy)?.sync_all())
                .and_then(|()| sync_folder(copy))
                .map_err(|cause| refuse("it cannot be put on the disk").because(cause))
        });
    if synced.is_err() {
        let _ = fs::remove_file(copy);
    }
    synced
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;

    use super::*;

    #[test]
    fn commits_are_on_the_disk_before_anybody_hears_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(&default_file(folder.path())).unwrap();
        let ask =
            |name| disk.connection.pragma_query_value(None, name, |row| row.get::<_, Value>(0));
        let (mode, synchronous) = (ask("journal_mode").unwrap(), ask("synchronous").unwrap());
        // 2: FULL (sqlite.org/pragma.html#pragma_synchronous).
        assert_eq!((mode, synchronous), (Value::Text("wal".to_owned()), Value::Integer(2)));
    }

    #[test]
    fn a_newer_version_that_only_the_log_tells_of_is_refused_too() {
        let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = default_file(folder.path());
        let disk = Disk::open(&file).unwrap();
        disk.connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        let copied = default_file(copy.path());
        for suffix in ["", "-wal"] {
            fs::copy(beside(&file, suffix), beside(&copied, suffix)).unwrap();
        }
        assert!(is_there(&copied).unwrap(), "its head is an old one");
        let error = Disk::open(&copied).err().unwrap();
        assert!(error.to_string().contains("it has version 2"), "{error}");
        assert_eq!(
            fs::read(beside(&copied, "-wal")).unwrap(),
            fs::read(beside(&file, "-wal")).unwrap()
        );
    }
}
