//! Asking for lines of memory ahead of time: functions made of machine code, as Cranelift has no such instruction.
//!
//! # Problem
//! What is read ahead is there when it is needed. But a read is an instruction like others: a processor that finishes instructions in order
//! stands still behind it until memory has answered. A prefetch is finished at once, and cannot fail, whatever the address; though one where there
//! is no memory takes long.
//!
//! # Method
//! A function for each kind of request ([`Ask`]), which has nothing but prefetches and a return. It is called under a convention by which the
//! callee keeps all registers: it overwrites none, and an address may stay in the register in which it is handed over.
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

/// Most addresses that one call takes.
pub(crate) const ADDRESSES: usize = 2;

/// What a call asks for: so many lines, from so many bytes behind each of so many addresses on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Ask {
    pub(crate) addresses: usize,
    pub(crate) lines: usize,
    /// A multiple of 8.
    pub(crate) behind: usize,
}

/// How many lines so many bytes are, at most [`MOST`].
pub(crate) fn lines(bytes: usize) -> usize {
    bytes.div_ceil(LINE).min(MOST)
}

/// Takes the addresses.
pub(crate) fn signature(ask: Ask) -> Signature {
    let mut signature = Signature::new(CallConv::PreserveAll);
    signature.params.extend((0..ask.addresses).map(|_| AbiParam::new(types::I64)));
    signature
}

/// The machine code that asks.
pub(crate) fn code(architecture: Architecture, ask: Ask) -> Option<Vec<u8>> {
    let offsets = || (0..ask.lines).map(|n| (ask.behind + n * LINE) as u32);
    let places = (0..ask.addresses.min(ADDRESSES)).flat_map(|n| offsets().map(move |offset| (n, offset)));
    match architecture {
        Architecture::X86_64 => {
            // prefetcht0 offset(register)
            let one = |(n, offset): (usize, u32)| {
                let [rdi, rsi] = [0x8f, 0x8e];
                let mut bytes = vec![0x0f, 0x18, [rdi, rsi][n]];
                bytes.extend(offset.to_le_bytes());
                bytes
            };
            let ret = [0xc3];
            Some(places.flat_map(one).chain(ret).collect())
        }
        Architecture::Aarch64(_) => {
            // prfm pstl1keep, [register, offset]: x0 and the next ones; offsets count words of 8 bytes.
            let one = |(n, offset): (usize, u32)| {
                (0xf980_0010 | (offset / 8) << 10 | (n as u32) << 5).to_le_bytes()
            };
            let ret = 0xd65f_03c0_u32.to_le_bytes();
            Some(places.flat_map(one).chain(ret).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Ask, MOST, code, lines};
    use target_lexicon::{Aarch64Architecture, Architecture};

    #[test]
    fn bytes_are_whole_lines_up_to_the_most() {
        assert_eq!([1, 64, 65, 512, 10_000].map(lines), [1, 1, 2, MOST, MOST]);
    }

    /// As assemblers write `prefetcht0 512(%rdi); prefetcht0 576(%rdi); prefetcht0 512(%rsi); ..; ret`, and the like for `AArch64`.
    #[test]
    fn code_is_prefetches_and_a_return() {
        let ask = Ask { addresses: 2, lines: 2, behind: 512 };
        let intel = code(Architecture::X86_64, ask).expect("it is known");
        let (prefetches, ret) = intel.as_chunks::<7>();
        let expected = [(0x8f, 0), (0x8f, 0x40), (0x8e, 0), (0x8e, 0x40)];
        assert_eq!(prefetches, expected.map(|(register, low)| [0x0f, 0x18, register, low, 2, 0, 0]));
        assert_eq!(ret, [0xc3]);
        let arm = code(Architecture::Aarch64(Aarch64Architecture::Aarch64), ask).expect("it is known");
        let words: Vec<u32> = arm.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect();
        assert_eq!(words, [0xf981_0010, 0xf981_2010, 0xf981_0030, 0xf981_2030, 0xd65f_03c0]);
        assert_eq!(code(Architecture::S390x, ask), None);
    }
}
