//! Threads that prepare together.

use rayon::ThreadPool;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

/// How many threads share the work of preparing, and where they come from. What is prepared does not depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Team<'a> {
    /// Beyond the first.
    further: usize,
    /// The global pool if there is none.
    pool: Option<&'a ThreadPool>,
}

impl<'a> Team<'a> {
    /// So many threads (at least one) of a pool, or of the global one.
    pub fn new(threads: usize, pool: Option<&'a ThreadPool>) -> Team<'a> {
        Team { further: threads.saturating_sub(1), pool }
    }

    /// Number of threads.
    pub fn members(self) -> usize {
        1 + self.further
    }

    /// Does something with every item; results in order.
    pub(crate) fn map<T: Send, R: Send>(self, items: Vec<T>, work: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
        if self.further == 0 || items.len() < 2 {
            return items.into_iter().map(work).collect();
        }
        let all = || items.into_par_iter().map(work).collect();
        match self.pool {
            Some(pool) => pool.install(all),
            None => all(),
        }
    }
}
