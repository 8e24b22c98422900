//! Threads that work together: the caller takes the first piece of the work, threads of a pool the others.
//!
//! The caller does not hand everything over and sleep: a sleeping thread takes tens of microseconds to wake, and one that is woken by a
//! thread about to sleep is often put on the same core behind it. For the same reason the threads of a pool of our own look out for
//! the next piece for a moment before they sleep (`LINGER`), and the caller for the last one to be done.

use crate::partition::MOST;
use rayon::{Scope, ThreadPool, ThreadPoolBuilder};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a thread looks out for more before it sleeps. Evaluations in a loop follow each other faster than a thread wakes.
const LINGER: Duration = Duration::from_micros(100);

/// Threads that share the work of evaluations. Clones are the same threads.
#[derive(Clone, Debug)]
pub struct Pool {
    threads: Arc<ThreadPool>,
    /// How often work was handed to a pool of our own. Threads of somebody else's do not linger.
    called: Option<Arc<AtomicU64>>,
}

impl Pool {
    /// Starts threads for evaluations on so many, 1 to [`MOST`]: the caller is one of them.
    ///
    /// # Errors
    /// A message for other numbers, and where the system refuses a thread.
    pub fn start(threads: usize) -> Result<Pool, String> {
        if !(1..=MOST).contains(&threads) {
            return Err(format!("the number of threads must be 1 to {MOST}, not {threads}"));
        }
        let built = ThreadPoolBuilder::new().num_threads(threads.saturating_sub(1).max(1)).build();
        let built = built.map_err(|error| format!("cannot start {threads} threads: {error}"))?;
        Ok(Pool { threads: Arc::new(built), called: Some(Arc::default()) })
    }

    /// Runs `work` on every item: the first here, the others on threads of the pool.
    fn spread<'a, T: Send + 'a>(
        &self,
        items: &mut dyn Iterator<Item = T>,
        open: &'a AtomicUsize,
        work: &'a (impl Fn(T) + Sync),
    ) {
        if let Some(called) = &self.called {
            called.fetch_add(1, Ordering::Release);
        }
        self.threads.in_place_scope(|scope| share(scope, items, open, work, self.called.as_ref()));
    }
}

impl From<Arc<ThreadPool>> for Pool {
    fn from(threads: Arc<ThreadPool>) -> Pool {
        Pool { threads, called: None }
    }
}

/// The same threads.
impl PartialEq for Pool {
    fn eq(&self, other: &Pool) -> bool {
        Arc::ptr_eq(&self.threads, &other.threads)
    }
}

impl Eq for Pool {}

/// How many threads share the work of preparing, and where they come from. What is prepared does not depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Team<'a> {
    /// Beyond the first.
    further: usize,
    /// The global pool if there is none.
    pool: Option<&'a Pool>,
}

impl<'a> Team<'a> {
    /// So many threads (at least one) of a pool, or of the global one.
    pub fn new(threads: usize, pool: Option<&'a Pool>) -> Team<'a> {
        Team { further: threads.saturating_sub(1), pool }
    }

    /// Number of threads.
    pub fn members(self) -> usize {
        1 + self.further
    }

    /// Does something with every item; results in order.
    pub(crate) fn map<T: Send, R: Send>(self, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
        if self.further == 0 || items.len() < 2 {
            return items.into_iter().map(work).collect();
        }
        let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
        spread(self.pool, results.iter_mut().zip(items), |(result, item)| *result = Some(work(item)));
        results.into_iter().flatten().collect()
    }
}

/// Does something with every item: the first here, the others on threads of the pool, or of the global one. A single item starts nothing.
pub(crate) fn spread<T: Send>(
    pool: Option<&Pool>,
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) + Sync,
) {
    let mut items = items.into_iter();
    let Some(first) = items.next() else { return };
    let Some(second) = items.next() else { return work(first) };
    let (mut items, open) = ([first, second].into_iter().chain(items), AtomicUsize::new(0));
    match pool {
        Some(pool) => pool.spread(&mut items, &open, &work),
        None => rayon::in_place_scope(|scope| share(scope, &mut items, &open, &work, None)),
    }
}

fn share<'a, T: Send + 'a>(
    scope: &Scope<'a>,
    items: &mut dyn Iterator<Item = T>,
    open: &'a AtomicUsize,
    work: &'a (impl Fn(T) + Sync),
    called: Option<&Arc<AtomicU64>>,
) {
    let Some(first) = items.next() else { return };
    for item in items {
        open.fetch_add(1, Ordering::Relaxed);
        let called = called.cloned();
        scope.spawn(move |_| {
            work(item);
            if let Some(called) = called {
                let before = called.load(Ordering::Acquire);
                rayon::spawn(move || look_out(|| called.load(Ordering::Acquire) != before));
            }
            open.fetch_sub(1, Ordering::Release);
        });
    }
    work(first);
    look_out(|| open.load(Ordering::Acquire) == 0);
}

/// Waits for something to happen, but not long.
fn look_out(happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() && start.elapsed() < LINGER {
        std::hint::spin_loop();
    }
}
