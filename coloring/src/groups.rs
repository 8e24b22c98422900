//! Which rows or columns have each color.

/// Members of each color, ascending, in one array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    ptr: Vec<u32>,
    members: Vec<u32>,
}

impl Groups {
    pub(crate) fn new(colors: &[u32], n_colors: usize) -> Self {
        let mut ptr = vec![0u32; n_colors + 1];
        for &c in colors.iter().filter(|&&c| c != 0) {
            ptr[c as usize] += 1;
        }
        for k in 0..n_colors {
            ptr[k + 1] += ptr[k];
        }
        let mut next = ptr.clone();
        let mut members = vec![0; ptr[n_colors] as usize];
        for (v, &c) in colors.iter().enumerate().filter(|&(_, &c)| c != 0) {
            let slot = &mut next[c as usize - 1];
            members[*slot as usize] = v as u32;
            *slot += 1;
        }
        Self { ptr, members }
    }

    /// Number of colors.
    pub fn len(&self) -> usize {
        self.ptr.len() - 1
    }

    /// Whether there are no colors.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Members of a color (from 1); empty when it does not exist.
    pub fn group(&self, color: usize) -> &[u32] {
        if color == 0 || color > self.len() {
            return &[];
        }
        &self.members[self.ptr[color - 1] as usize..self.ptr[color] as usize]
    }

    /// The groups, from color 1 on.
    pub fn iter(&self) -> impl Iterator<Item = &[u32]> + '_ {
        (1..=self.len()).map(|color| self.group(color))
    }
}
