//! Vertices grouped by a degree that changes by one at a time, under two rules for ties.

use crate::graph::NONE;

/// Vertices by degree; a vertex leaves when it is popped.
pub(super) trait Buckets {
    /// Whether no vertex has this degree.
    fn is_empty(&self, degree: usize) -> bool;
    /// Takes out a vertex of this degree, which must not be empty.
    fn pop(&mut self, degree: usize) -> Option<u32>;
    /// Adds one to the degree of a vertex, if it is still here.
    fn increase(&mut self, v: u32);
    /// Subtracts one from the degree of a vertex, if it is still here.
    fn decrease(&mut self, v: u32);
}

/// One stack for each degree: taken from the end, moved to the end, the gap filled by the last.
pub(super) struct Stacks {
    cells: Vec<Cell>,
    by_degree: Vec<Vec<u32>>,
}

/// Degree of a vertex, `NONE` once it is taken, and its place in that stack: side by side, since both are read together.
#[derive(Clone, Copy)]
struct Cell {
    degree: u32,
    position: u32,
}

impl Stacks {
    pub(super) fn new(degrees: &[u32], max_degree: usize) -> Self {
        let mut by_degree = vec![Vec::new(); max_degree + 1];
        let cells = degrees
            .iter()
            .zip(0..)
            .map(|(&degree, v)| {
                let stack: &mut Vec<u32> = &mut by_degree[degree as usize];
                stack.push(v);
                Cell { degree, position: (stack.len() - 1) as u32 }
            })
            .collect();
        Self { cells, by_degree }
    }

    fn shift(&mut self, v: u32, to: impl Fn(u32) -> u32) {
        let Cell { degree, position } = self.cells[v as usize];
        if degree == NONE {
            return;
        }
        let stack = &mut self.by_degree[degree as usize];
        stack.swap_remove(position as usize);
        if let Some(&moved) = stack.get(position as usize) {
            self.cells[moved as usize].position = position;
        }
        let degree = to(degree);
        let stack = &mut self.by_degree[degree as usize];
        self.cells[v as usize] = Cell { degree, position: stack.len() as u32 };
        stack.push(v);
    }
}

impl Buckets for Stacks {
    fn is_empty(&self, degree: usize) -> bool {
        self.by_degree[degree].is_empty()
    }

    fn pop(&mut self, degree: usize) -> Option<u32> {
        let v = self.by_degree[degree].pop()?;
        self.cells[v as usize].degree = NONE;
        Some(v)
    }

    fn increase(&mut self, v: u32) {
        self.shift(v, |degree| degree + 1);
    }

    fn decrease(&mut self, v: u32) {
        self.shift(v, |degree| degree - 1);
    }
}

/// All degrees in one array, ascending: a vertex that moves up goes to the front of the next degree, one that moves
/// down to the end of the previous one; taken from the end.
pub(super) struct OneArray {
    degrees: Vec<u32>,
    positions: Vec<u32>,
    array: Vec<u32>,
    /// First place and end of each degree.
    low: Vec<u32>,
    high: Vec<u32>,
}

impl OneArray {
    pub(super) fn new(degrees: Vec<u32>, max_degree: usize) -> Self {
        let mut high = vec![0u32; max_degree + 1];
        for &d in &degrees {
            high[d as usize] += 1;
        }
        let mut low = Vec::with_capacity(max_degree + 1);
        let mut sum = 0;
        for count in &mut high {
            low.push(sum);
            sum += *count;
            *count = sum;
        }
        let mut next = low.clone();
        let mut array = vec![0; degrees.len()];
        let mut positions = vec![0; degrees.len()];
        for (v, &d) in degrees.iter().enumerate() {
            let slot = &mut next[d as usize];
            positions[v] = *slot;
            array[*slot as usize] = v as u32;
            *slot += 1;
        }
        Self { degrees, positions, array, low, high }
    }

    fn place(&mut self, v: u32, at: u32) {
        self.array[at as usize] = v;
        self.positions[v as usize] = at;
    }
}

impl Buckets for OneArray {
    fn is_empty(&self, degree: usize) -> bool {
        self.low[degree] == self.high[degree]
    }

    fn pop(&mut self, degree: usize) -> Option<u32> {
        if self.is_empty(degree) {
            return None;
        }
        self.high[degree] -= 1;
        let v = self.array[self.high[degree] as usize];
        self.degrees[v as usize] = NONE;
        Some(v)
    }

    fn increase(&mut self, v: u32) {
        let d = self.degrees[v as usize];
        if d != NONE {
            let d_idx = d as usize;
            let last = self.array[self.high[d_idx] as usize - 1];
            self.place(last, self.positions[v as usize]);
            self.high[d_idx] -= 1;
            self.low[d_idx + 1] -= 1;
            self.place(v, self.low[d_idx + 1]);
            self.degrees[v as usize] = d + 1;
        }
    }

    fn decrease(&mut self, v: u32) {
        let d = self.degrees[v as usize];
        if d != NONE {
            let d_idx = d as usize;
            let first = self.array[self.low[d_idx] as usize];
            self.place(first, self.positions[v as usize]);
            self.low[d_idx] += 1;
            self.place(v, self.high[d_idx - 1]);
            self.high[d_idx - 1] += 1;
            self.degrees[v as usize] = d - 1;
        }
    }
}
