//! The start of a task: whether the server is there, serves hosts and lets us read them.

use std::time::Duration;

use kube::api::{Api, ListParams};
use tokio::sync::watch;

use crate::error::{EXIT_USAGE, Error, Result, chain};
use crate::model::diff::StoredHost;
use crate::store::client::{Connection, DEADLINE, explain, stays};

/// First and longest pause between two tries to reach the server.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Runs the checks of a task's start. A service tries again for ever while the server is out of
/// reach; false: a stop was asked for meanwhile. Each check has a deadline of its own.
///
/// # Errors
/// What the server says no to, which has the exit code for usage; of a single pass, whatever is in
/// the way.
pub(super) async fn until_reachable(
    service: bool,
    stop: watch::Receiver<bool>,
    checks: impl AsyncFn() -> Result<()>,
) -> Result<bool> {
    tries(RETRY, service, stop, checks).await
}

async fn tries(
    (mut pause, longest): (Duration, Duration),
    service: bool,
    mut stop: watch::Receiver<bool>,
    checks: impl AsyncFn() -> Result<()>,
) -> Result<bool> {
    loop {
        let checked = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Ok(false),
            checked = checks() => checked,
        };
        match checked {
            Ok(()) => return Ok(true),
            Err(problem) if !service => return Err(problem),
            Err(problem) => passes(problem)?,
        }
        let jittered = pause.mul_f64(fastrand::f64().mul_add(0.5, 0.5));
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return Ok(false),
            () = tokio::time::sleep(jittered) => {}
        }
        pause = (pause * 2).min(longest);
    }
}

/// Says in the log that it is tried again, if the problem may pass.
///
/// # Errors
/// The problem, if it stays until somebody mends it.
pub(super) fn passes(problem: Error) -> Result<()> {
    if problem.exit_code() == EXIT_USAGE {
        return Err(problem);
    }
    tracing::warn!(error = chain(&problem), hint = problem.next_step(), "tries again");
    Ok(())
}

/// Asks for one host of the namespace, of those that the selector chooses if there is one.
///
/// # Errors
/// Whatever is in the way, in words; with the exit code for usage what stays so: no definitions, no
/// permission, a selector that the server does not understand.
pub(super) async fn hosts(
    connection: &Connection,
    namespace: &str,
    selector: Option<&str>,
) -> Result<()> {
    let hosts: Api<StoredHost> = Api::namespaced(connection.client.clone(), namespace);
    let mut one = ListParams::default().limit(1);
    one.label_selector = selector.map(ToOwned::to_owned);
    let what = format!("cannot list hosts on {}", connection.server);
    match tokio::time::timeout(DEADLINE, hosts.list(&one)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(cause)) if stays(&cause) => Err(explain(what, "list hosts", cause).as_usage()),
        Ok(Err(cause)) => Err(explain(what, "list hosts", cause)),
        Err(_) => Err(Error::new(format!("{what}: no answer after {} s", DEADLINE.as_secs()))
            .hint("the server is overloaded or out of reach")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What the checks answer one after another, from the last.
    type Answers = RefCell<Vec<Result<()>>>;

    async fn reached(
        pause: Duration,
        service: bool,
        stop: watch::Receiver<bool>,
        answers: &Answers,
    ) -> Result<bool> {
        let next = async || answers.borrow_mut().pop().unwrap();
        tries((pause, pause), service, stop, next).await
    }

    fn away() -> Result<()> {
        Err(Error::new("the server cannot be reached"))
    }

    #[tokio::test]
    async fn a_service_waits_for_the_server_and_a_single_pass_does_not() {
        let (_keep, stop) = watch::channel(false);
        let answers = Answers::new(vec![Ok(()), away(), away()]);
        let error = reached(Duration::ZERO, false, stop.clone(), &answers).await.unwrap_err();
        assert_eq!(error.to_string(), "the server cannot be reached");
        assert_eq!(answers.borrow().len(), 2);
        assert!(reached(Duration::ZERO, true, stop, &answers).await.unwrap());
        assert!(answers.borrow().is_empty());
    }

    #[tokio::test]
    async fn what_the_server_says_no_to_ends_a_service() {
        let (_keep, stop) = watch::channel(false);
        let answers = Answers::new(vec![Err(Error::usage("no definitions")), away()]);
        let error = reached(Duration::ZERO, true, stop, &answers).await.unwrap_err();
        assert_eq!(error.exit_code(), EXIT_USAGE);
        assert!(answers.borrow().is_empty());
    }

    #[tokio::test]
    async fn a_stop_ends_the_waiting() {
        let (tell, stop) = watch::channel(false);
        let answers = Answers::new(vec![away()]);
        let tells = async || {
            tell.send(true).unwrap();
            answers.borrow_mut().pop().unwrap()
        };
        let pause = Duration::from_hours(1);
        assert!(!tries((pause, pause), true, stop.clone(), tells).await.unwrap());
        // A question that nobody answers is not waited for either.
        let silent = async || std::future::pending().await;
        assert!(!tries((pause, pause), true, stop, silent).await.unwrap());
    }
}
