//! Panics that are an error of one request, or of one piece of work, and not the end of the program.
//!
//! The panic hook of a process knows neither of them: it would give the terminal back in the middle
//! of an explorer's session and print over it. So whoever catches a panic says so beforehand, by
//! working inside [`guarded`], and the hook asks.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::pin;
use std::sync::Once;
use std::task::Poll;

use futures::Stream;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Something panicked. The log says where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// Whether a panic on this thread will be caught now.
pub fn is_guarded() -> bool {
    GUARDED.try_with(Cell::get).unwrap_or(false)
}

/// Does `work`; a panic in it is logged and nothing else. What it leaves half done must not be used.
///
/// # Errors
/// It panicked.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let before = GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    done.map_err(|_said_by_the_hook| Panicked)
}

/// The same for a future.
///
/// # Errors
/// It panicked.
pub async fn guarded_future<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| match guarded(|| future.as_mut().poll(context)) {
        Ok(poll) => poll.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

/// The same for a stream, which ends where it panics.
pub fn guarded_stream<S: Stream>(stream: S) -> impl Stream<Item = S::Item> {
    let mut stream = Some(Box::pin(stream));
    futures::stream::poll_fn(move |context| {
        let Some(alive) = &mut stream else { return Poll::Ready(None) };
        let poll = guarded(|| alive.as_mut().poll_next(context)).unwrap_or(Poll::Ready(None));
        if matches!(poll, Poll::Ready(None)) {
            stream = None;
        }
        poll
    })
}

/// Makes the panic hook of this process know about guarded work. To be called first of all.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| std::panic::set_hook(Box::new(hook(std::panic::take_hook()))));
}

/// A hook that logs what is guarded, and hands everything else to `other`.
pub(crate) fn hook(
    other: impl Fn(&PanicHookInfo<'_>) + Send + Sync + 'static,
) -> impl Fn(&PanicHookInfo<'_>) + Send + Sync + 'static {
    move |info| {
        if is_guarded() {
            // The place is enough to find the fault. The text may quote what somebody sent.
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(%place, "a panic was caught: this is a fault of inv-tui, please report it");
        } else {
            other(info);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use futures::StreamExt;

    use super::*;

    thread_local! {
        static PRINTED: Cell<u32> = const { Cell::new(0) };
    }

    /// Does `work` while `ours` is the hook for panics of this thread.
    pub(crate) fn with_hook(
        ours: impl Fn(&PanicHookInfo<'_>) + Send + Sync + 'static,
        work: impl FnOnce(),
    ) {
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let before = Arc::new(std::panic::take_hook());
        let (others, thread) = (before.clone(), std::thread::current().id());
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == thread { ours(info) } else { others(info) }
        }));
        let done = catch_unwind(AssertUnwindSafe(work));
        std::panic::set_hook(Box::new(move |info| before(info)));
        done.unwrap();
    }

    /// What is logged on this thread while `work` runs under our hook.
    fn logged(work: impl FnOnce()) -> String {
        let log = Arc::new(Mutex::new(Vec::new()));
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || Log(writer.clone())).finish();
        with_hook(hook(|_| PRINTED.set(PRINTED.get() + 1)), || {
            tracing::subscriber::with_default(subscriber, work);
        });
        let log = log.lock().unwrap();
        String::from_utf8(log.clone()).unwrap()
    }

    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_guarded_panic_is_logged_by_its_place_and_not_printed() {
        let log = logged(|| {
            assert_eq!(guarded(|| 1), Ok(1));
            assert_eq!(guarded(|| panic!("a secret")), Err::<(), _>(Panicked));
            // One inside the other: the outer one is still guarded afterwards.
            let outer = guarded(|| {
                assert_eq!(guarded(|| panic!("inner")), Err::<(), _>(Panicked));
                panic!("outer")
            });
            assert_eq!(outer, Err::<(), _>(Panicked));
        });
        assert_eq!(PRINTED.get(), 0);
        assert_eq!(log.matches("src/guard.rs:").count(), 3, "{log}");
        assert!(!log.contains("secret"), "{log}");
        assert!(!is_guarded());
    }

    #[test]
    fn any_other_panic_is_printed() {
        let log = logged(|| assert!(catch_unwind(|| panic!("printed")).is_err()));
        assert_eq!((PRINTED.get(), log.as_str()), (1, ""));
    }

    #[test]
    fn futures_and_streams_are_guarded_while_they_are_polled() {
        let log = logged(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let work = guarded_future(async {
                    assert!(is_guarded());
                    tokio::task::yield_now().await;
                    panic!("late")
                });
                let work = pin!(work);
                assert_eq!(work.await, Err::<(), _>(Panicked));
                assert!(!is_guarded());
                let stream =
                    futures::stream::iter(0..5).map(|n| if n < 2 { n } else { panic!("two") });
                assert_eq!(guarded_stream(stream).collect::<Vec<_>>().await, [0, 1]);
            });
        });
        assert_eq!((PRINTED.get(), log.matches("src/guard.rs:").count()), (0, 2), "{log}");
    }
}
