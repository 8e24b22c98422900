//! Functions that are called aside: by code that hardly ever needs them, and that keeps its registers.
//!
//! # Problem
//! Large angles go to libm. A call of a C function overwrites most registers, all vectors among them: whatever a loop holds in one across
//! the place of such a call is written to the stack first and read again, in every iteration, though no call happens.
//!
//! # Method
//! The call goes through a function of our own under a convention by which the callee restores every register. It finds the argument in
//! memory, and puts the result there.

use crate::error::{CodegenError, Result};
use crate::symbols::{Symbol, symbol};
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{AbiParam, FuncRef, InstBuilder, MemFlagsData, Signature, types};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_frontend::FunctionBuilder;
use spadina_ir::math::elementary::LARGEST_ANGLE;
use spadina_ir::op::Op;

/// Bytes from an angle to its result: two angles lie side by side.
pub(crate) const RESULT: i32 = 16;
/// Bytes for two angles and their results.
pub(crate) const ROOM: u32 = 32;
/// The functions that are called aside. Callers name one by its place here: the address of a function would take a register.
pub(crate) const FUNCTIONS: [Op; 2] = [Op::Sin, Op::Cos];

/// True for the functions that are called aside.
pub(crate) fn calls(wanted: Symbol) -> bool {
    FUNCTIONS.into_iter().filter_map(symbol).any(|symbol| symbol.name == wanted.name)
}

/// Takes the address of an angle, and the number of the function.
pub(crate) fn signature() -> Signature {
    let mut signature = Signature::new(CallConv::PreserveAll);
    signature.params.extend([AbiParam::new(types::I64); 2]);
    signature
}

/// Overwrites the result of an angle that is too large for the short reduction (or is none) by what one of [`FUNCTIONS`] gives.
pub(crate) fn build(
    mut b: FunctionBuilder<'_>,
    functions: &[FuncRef],
    frontend: TargetFrontendConfig,
) -> Result<()> {
    let [entry, large, first, second, done] = [(); 5].map(|()| b.create_block());
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let (&[place, number], &[sin, cos]) = (b.block_params(entry), functions) else {
        return Err(CodegenError::malformed("a function that is called aside without arguments"));
    };
    let angle = b.ins().load(types::F64, MemFlagsData::trusted(), place, 0);
    let magnitude = b.ins().fabs(angle);
    let largest = b.ins().f64const(LARGEST_ANGLE);
    let small = b.ins().fcmp(FloatCC::LessThanOrEqual, magnitude, largest);
    b.ins().brif(small, done, &[], large, &[]);
    b.switch_to_block(large);
    b.ins().brif(number, second, &[], first, &[]);
    for (block, function) in [(first, sin), (second, cos)] {
        b.switch_to_block(block);
        let call = b.ins().call(function, &[angle]);
        let result = b.inst_results(call)[0];
        b.ins().store(MemFlagsData::trusted(), result, place, RESULT);
        b.ins().jump(done, &[]);
    }
    b.switch_to_block(done);
    b.ins().return_(&[]);
    b.seal_all_blocks();
    b.finalize(frontend);
    Ok(())
}
