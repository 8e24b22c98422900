//! The environment of one call: the array of words that every compiled function takes.

use crate::abi::EnvLayout;
use alloc::vec;
use alloc::vec::Vec;

/// The words of one call, laid out by [`EnvLayout`]; all zero (null) at first.
///
/// Addresses are kept as integers: whoever fills them in promises that they stay valid while functions run, and
/// only the code that calls compiled functions turns them into pointers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Env {
    layout: EnvLayout,
    words: Vec<u64>,
}

impl Env {
    /// An environment of zeros.
    pub fn new(layout: EnvLayout) -> Env {
        Env { layout, words: vec![0; layout.words()] }
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

    /// Has the next so many iterations ask memory for these values, each for its share.
    pub fn ask_ahead(&mut self, values: &[f64], iterations: usize) {
        self.set_slice(self.layout.ahead(), values);
        let step = size_of_val(values).div_ceil(iterations.max(1));
        self.set(self.layout.ahead_step(), step as u64);
    }

    /// Has iterations ask for nothing new: for the first of these values, again and again. Where there is no memory, finding that out
    /// would take long.
    pub fn ask_nothing(&mut self, values: &[f64]) {
        self.set_slice(self.layout.ahead(), values);
        self.set(self.layout.ahead_step(), 0);
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
