//! The agent's hooks: programs in a folder that do what only this host can do. [`crate::tasks::hooks`]
//! says how they are run.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

pub(super) use crate::tasks::hooks::Done;
use crate::tasks::hooks::{Environment, start, trusted};

/// Runs a hook. One that is not there has nothing to do.
pub(super) async fn call(folder: Option<&Path>, name: &str, input: Value, limit: Duration) -> Done {
    let Some(path) = folder.map(|folder| folder.join(name)).filter(|path| path.exists()) else {
        return Done { fine: true, message: format!("there is no hook {name}"), ..Done::default() };
    };
    match trusted(&path) {
        Ok(()) => start(&path, Environment::Ours, input, limit).await,
        Err(why) => Done { message: format!("hook {name} is not run: {why}"), ..Done::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn hook(dir: &Path, name: &str, mode: u32, text: &str) {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    async fn run(dir: &Path, name: &str, limit: Duration) -> Done {
        call(Some(dir), name, serde_json::json!({"action": "enter; rm -rf /"}), limit).await
    }

    #[tokio::test]
    async fn a_hook_hears_and_answers() {
        let dir = tempfile::tempdir().unwrap();
        let hour = Duration::from_hours(1);
        hook(
            dir.path(),
            "good",
            0o700,
            "#!/bin/sh\ncat >\"$0.in\"\necho '{\"message\": \"done\\u001b[2J\", \"rebootRequired\": true}'\n",
        );
        let done = run(dir.path(), "good", hour).await;
        assert!(done.fine && done.message.starts_with("done") && !done.message.contains('\u{1b}'));
        assert_eq!(done.reboot_required, Some(true));
        let heard = std::fs::read_to_string(dir.path().join("good.in")).unwrap();
        assert_eq!(heard, r#"{"action":"enter; rm -rf /"}"#);
        hook(dir.path(), "bad", 0o700, "#!/bin/sh\necho words\nexit 3\n");
        let done = run(dir.path(), "bad", hour).await;
        assert!(!done.fine && done.message.contains("exit status: 3"), "{}", done.message);
        assert!(run(dir.path(), "none", hour).await.fine);
    }

    #[tokio::test]
    async fn a_hook_may_leave_something_behind() {
        let dir = tempfile::tempdir().unwrap();
        hook(
            dir.path(),
            "starts",
            0o700,
            "#!/bin/sh\n(while read -r a; do :; done <\"$0.fifo\") &\necho '{\"message\": \"started\"}'\n",
        );
        let hour = Duration::from_hours(1);
        let fifo = dir.path().join("starts.fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let done = run(dir.path(), "starts", hour).await;
        assert_eq!((done.fine, done.message.as_str()), (true, "started"));
        // What is left reads its end and goes.
        drop(std::fs::File::options().read(true).write(true).open(fifo).unwrap());
    }

    #[tokio::test]
    async fn what_others_may_write_is_not_run_and_what_hangs_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        hook(dir.path(), "open", 0o777, "#!/bin/sh\n");
        let done = run(dir.path(), "open", Duration::from_hours(1)).await;
        assert!(!done.fine && done.message.contains("others may write it"));
        hook(dir.path(), "text", 0o600, "");
        assert!(
            run(dir.path(), "text", Duration::from_hours(1)).await.message.contains("chmod +x")
        );
        hook(
            dir.path(),
            "hangs",
            0o700,
            "#!/bin/sh\nread -r a\nwhile :; do read -r a </dev/zero; done\n",
        );
        let done = run(dir.path(), "hangs", Duration::from_millis(50)).await;
        assert!(!done.fine && done.message.contains("was ended after"));
    }
}
