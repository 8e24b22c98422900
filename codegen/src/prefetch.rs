//! Asking for lines of memory ahead of time: functions made of machine code, as Cranelift has no such instruction.
//!
//! # Problem
//! What is read ahead is there when it is needed. But a read is an instruction like others: a processor that finishes instructions in order
//! stands still behind it until memory has answered. A prefetch is finished at once, and cannot fail, whatever the address; though one where there
//! is no memory takes long.
//!
//! # Method
//! A function for each number of lines, which has nothing but prefetches and a return. It is called under a convention by which the callee
//! keeps all registers: it overwrites none.
//!
//! # Limits
//! x86-64 and `AArch64`. On other targets nothing is asked for.
//!
//! # References
//! Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, `PREFETCHh`; Arm Architecture Reference Manual for A-profile,
//! `PRFM (immediate)`.

use cranelift_codegen::ir::{AbiParam, Signature, types};
use cranelift_codegen::isa::CallConv;
use target_lexicon::Architecture;

/// Bytes of a line.
const LINE: usize = 64;
/// Most lines that one call asks for.
const MOST: usize = 8;

/// Where a function may start.
pub(crate) const ALIGNMENT: u64 = 16;

/// How many lines so many bytes are, at most [`MOST`].
pub(crate) fn lines(bytes: usize) -> usize {
    bytes.div_ceil(LINE).min(MOST)
}

/// Takes the address of the first line.
pub(crate) fn signature() -> Signature {
    let mut signature = Signature::new(CallConv::PreserveAll);
    signature.params.push(AbiParam::new(types::I64));
    signature
}

/// The machine code that asks for so many lines.
pub(crate) fn code(architecture: Architecture, lines: usize) -> Option<Vec<u8>> {
    let offsets = (0..lines).map(|n| n * LINE);
    match architecture {
        Architecture::X86_64 => {
            // prefetcht0 offset(%rdi): the register of the first argument.
            let one = |offset: usize| {
                let mut bytes = vec![0x0f, 0x18, 0x8f];
                bytes.extend((offset as u32).to_le_bytes());
                bytes
            };
            let ret = [0xc3];
            Some(offsets.flat_map(one).chain(ret).collect())
        }
        Architecture::Aarch64(_) => {
            // prfm pstl1keep, [x0, offset]: offsets count words of 8 bytes.
            let one = |offset: usize| (0xf980_0010 | (offset as u32 / 8) << 10).to_le_bytes();
            let ret = 0xd65f_03c0_u32.to_le_bytes();
            Some(offsets.flat_map(one).chain(ret).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, code, lines};
    use target_lexicon::{Aarch64Architecture, Architecture};

    #[test]
    fn bytes_are_whole_lines_up_to_the_most() {
        assert_eq!([1, 64, 65, 512, 10_000].map(lines), [1, 1, 2, MOST, MOST]);
    }

    /// As assemblers write `prefetcht0 0(%rdi); prefetcht0 64(%rdi); ret` (with wide offsets), and the like for `AArch64`.
    #[test]
    fn code_is_prefetches_and_a_return() {
        let expected = [0x0f, 0x18, 0x8f, 0, 0, 0, 0, 0x0f, 0x18, 0x8f, 0x40, 0, 0, 0, 0xc3];
        assert_eq!(code(Architecture::X86_64, 2).as_deref(), Some(&expected[..]));
        let arm = code(Architecture::Aarch64(Aarch64Architecture::Aarch64), 2).expect("it is known");
        let words: Vec<u32> = arm.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect();
        assert_eq!(words, [0xf980_0010, 0xf980_2010, 0xd65f_03c0]);
        assert_eq!(code(Architecture::S390x, 2), None);
    }
}
