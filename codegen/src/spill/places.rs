//! Places on the stack for floats that wait.

use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Type, Value};

/// Where floats wait.
#[derive(Default)]
pub(super) struct Places {
    /// In the order in which they were found.
    pub(super) floats: Vec<Value>,
    /// In bytes.
    pub(super) offset: SecondaryMap<Value, Option<i32>>,
    pub(super) bytes: u32,
    /// Places that nobody uses any more: where, how many bytes, and from which instruction of the block on.
    pub(super) free: Vec<(i32, u32, u32)>,
}

impl Places {
    /// The place of a float, which it has from now on. One that only its block uses takes what is free `since` its definition.
    pub(super) fn of(&mut self, value: Value, ty: Type, since: Option<u32>) -> i32 {
        if let Some(known) = self.offset[value] {
            return known;
        }
        let bytes = ty.bytes().next_multiple_of(8);
        let fits =
            |&(_, room, from): &(i32, u32, u32)| room == bytes && since.is_some_and(|since| from <= since);
        let place = if let Some(n) = self.free.iter().position(fits) {
            self.free.swap_remove(n).0
        } else {
            let start = self.bytes.next_multiple_of(bytes);
            self.bytes = start + bytes;
            start as i32
        };
        self.offset[value] = Some(place);
        self.floats.push(value);
        place
    }
}
