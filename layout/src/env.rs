//! The environment of one call: the array of words that every compiled function takes.

use crate::abi::{AHEAD_ROOM, EnvLayout};
use alloc::vec;
use alloc::vec::Vec;

/// What is read ahead where nothing is to be.
static NOTHING: [u64; AHEAD_ROOM / 8] = [0; AHEAD_ROOM / 8];

/// The words of one call, laid out by [`EnvLayout`]; all zero (null) at first, but for what is read ahead: nothing.
///
/// Addresses are kept as integers: whoever fills them in promises that they stay valid while functions run, and
/// only the code that calls compiled functions turns them into pointers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Env {
    layout: EnvLayout,
    words: Vec<u64>,
}

impl Env {
    /// An environment of zeros, in which nothing is read ahead.
    pub fn new(layout: EnvLayout) -> Env {
        let mut env = Env { layout, words: vec![0; layout.words()] };
        env.read_ahead(&[], 1);
        env
    }

    /// Where things are.
    pub fn layout(&self) -> EnvLayout {
        self.layout
    }

    /// The words, as compiled functions take them.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// One word; 0 beyond the end.
    pub fn get(&self, word: usize) -> u64 {
        self.words.get(word).copied().unwrap_or(0)
    }

    /// Sets one word; words beyond the end are ignored.
    pub fn set(&mut self, word: usize, value: u64) {
        if let Some(place) = self.words.get_mut(word) {
            *place = value;
        }
    }

    /// Sets one word to the address of the first element of an array that compiled code reads.
    pub fn set_slice<T>(&mut self, word: usize, data: &[T]) {
        self.set(word, data.as_ptr().expose_provenance() as u64);
    }

    /// Sets one word to the address of the first element of an array that compiled code writes. The array must not be
    /// touched through any other reference between this call and the end of the function that is called.
    pub fn set_slice_mut<T>(&mut self, word: usize, data: &mut [T]) {
        self.set(word, data.as_mut_ptr().expose_provenance() as u64);
    }

    /// Has the next so many iterations read these values, spread over all of them; nothing where they are few.
    pub fn read_ahead(&mut self, values: &[f64], iterations: usize) {
        let first = values.as_ptr().expose_provenance() as u64;
        let nothing = NOTHING.as_ptr().expose_provenance() as u64;
        let bytes = size_of_val(values);
        let (first, last, step) = match bytes.checked_sub(AHEAD_ROOM) {
            Some(before) => (first, first + before as u64, bytes.div_ceil(iterations.max(1)) as u64),
            None => (nothing, nothing, 0),
        };
        self.set(self.layout.ahead(), first);
        self.set(self.layout.ahead_last(), last);
        self.set(self.layout.ahead_step(), step);
    }

    /// Takes over all words of another environment of the same layout, without allocating.
    pub fn copy_from(&mut self, other: &Env) {
        if self.words.len() == other.words.len() {
            self.words.copy_from_slice(&other.words);
            self.layout = other.layout;
        } else {
            self.clone_from(other);
        }
    }
}
