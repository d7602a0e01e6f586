//! Work that goes on beside the rest of a service, for its whole life. A fault in it must not leave the
//! service half alive: a runner that no more says that it lives, a monitor that makes no more silences.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::guard::guarded_future;

/// First and longest pause before work that broke off is begun again.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// Begins work and gives what it comes to. Work that panics is begun again after a pause, which grows;
/// `broke_off` counts it. None: a stop was asked for meanwhile.
pub(super) async fn tended<F: Future>(
    what: &'static str,
    stop: watch::Receiver<bool>,
    broke_off: impl Fn(),
    begin: impl FnMut() -> F,
) -> Option<F::Output> {
    again(AGAIN, what, stop, broke_off, begin).await
}

async fn again<F: Future>(
    (first, longest): (Duration, Duration),
    what: &'static str,
    mut stop: watch::Receiver<bool>,
    broke_off: impl Fn(),
    mut begin: impl FnMut() -> F,
) -> Option<F::Output> {
    let mut pause = first;
    loop {
        let start = Instant::now();
        if let Ok(done) = guarded_future(begin()).await {
            return Some(done);
        }
        broke_off();
        tracing::error!(what, "broke off; this is a fault of inv-tui; begins again");
        if start.elapsed() > longest {
            pause = first;
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return None,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(longest);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn what_panics_is_begun_again_and_counted() {
        let (times, counted) = (Cell::new(0), Cell::new(0));
        let (_keep, stop) = watch::channel(false);
        let begin = || async {
            times.set(times.get() + 1);
            assert!(times.get() > 2, "a fault");
            times.get()
        };
        let pauses = (Duration::ZERO, Duration::ZERO);
        let done = again(pauses, "work", stop, || counted.set(counted.get() + 1), begin).await;
        assert_eq!((done, counted.get()), (Some(3), 2));
    }

    #[tokio::test]
    async fn a_stop_ends_the_pause() {
        let (tell, stop) = watch::channel(false);
        let counted = Cell::new(0);
        let broke_off = || {
            counted.set(counted.get() + 1);
            tell.send_replace(true);
        };
        let pauses = (Duration::from_hours(1), Duration::from_hours(1));
        let begin = || async { panic!("a fault") };
        let done: Option<()> = again(pauses, "work", stop, broke_off, begin).await;
        assert_eq!((done, counted.get()), (None, 1));
    }
}
