// PTX to C++: forms that are easily read wrongly, and that nothing unknown passes. What the C++ computes is tested by
// mlit_ptx_tests.

import { describe, expect, it } from 'vitest';
import { emitModule, hostName } from '../../scripts/cuda/ptx/emit.mjs';
import { parseModule } from '../../scripts/cuda/ptx/parse.mjs';

const registers = `.reg .pred %p<9>; .reg .b16 %rs<9>; .reg .f32 %f<9>; .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .f64 %fd<9>;`;

/** The C++ lines of a kernel with this body. */
function translated(body: string, before = '') {
  const kernel = `.entry k(.param .u64 k_param_0, .param .align 8 .b8 k_param_1[24], .param .u8 k_param_2)\n.maxntid 128, 1, 1\n{\n${registers}\n${body}\nret;\n}`;
  const source = `.version 9.5\n.target sm_80\n.address_size 64\n${before}\n${kernel}\n.file 1 "/a/b/k.cu"\n.file 2 "/a/warp.cuh"\n`;
  return emitModule(parseModule(source), 'k.cu');
}

describe('instructions', () => {
  it.each([
    ['add.s32 %r1, %r2, -1;', 'R_r1 = static_cast<uint32_t>(R_r2 + static_cast<uint32_t>(0xffffffffu));'],
    ['mov.f32 %f1, 0f3F800000;', 'R_f1 = bits<float>(0x3F800000u);'],
    ['mov.b32 %f1, %r1;', 'R_f1 = bits<float>(R_r1);'],
    [
      '@!%p1 st.global.f32 [%rd1+-4], %f1;',
      'if (!R_p1) { ptx::store<uint32_t>((R_rd1 + static_cast<uint64_t>(-4)), ptx::Space::kGlobal, bits<uint32_t>(R_f1)); }',
    ],
    // Narrow values in wider registers: by their sign where they have one.
    ['ld.param.s8 %rs1, [k_param_2];', 'R_rs1 = static_cast<uint16_t>(static_cast<int8_t>('],
    ['ld.shared.u16 %rs1, [%r1];', 'R_rs1 = ptx::load<uint16_t>(R_r1, ptx::Space::kShared);'],
    [
      'ld.global.nc.L1::no_allocate.v2.f32 {%f1, %f2}, [%rd1];',
      'uint32_t v[2]; ptx::loadVector(v, R_rd1, ptx::Space::kGlobal, 8, true); R_f1 = bits<float>(v[0]); R_f2 = bits<float>(v[1]);',
    ],
    ['ld.param.u32 %r1, [k_param_1+20];', 'static_cast<const char*>(parameters[1]) + 20'],
    // A NaN makes the ordered comparison false and the unordered one true.
    ['setp.ne.f32 %p1, %f1, %f2;', 'R_p1 = (ptx::orderedAndUnequal(R_f1, R_f2));'],
    ['setp.geu.f32 %p1, %f1, %f2;', 'R_p1 = (!(R_f1 < R_f2));'],
    ['setp.lo.u32 %p1, %r1, %r2;', 'R_p1 = (R_r1 < R_r2);'],
    [
      'setp.lt.and.s32 %p1|%p2, %r1, %r2, !%p3;',
      'p = (static_cast<int32_t>(R_r1) < static_cast<int32_t>(R_r2)) && !R_p3',
    ],
    [
      'mul.wide.s32 %rd1, %r1, 4;',
      'static_cast<int64_t>(static_cast<int32_t>(R_r1)) * static_cast<int64_t>(',
    ],
    ['fma.rm.f32 %f1, %f2, %f3, %f4;', 'ptx::fmaToward<ptx::Toward::kDown>(R_f2, R_f3, R_f4)'],
    // The first of two sources goes to the upper half.
    ['cvt.rn.bf16x2.f32 %r1, %f1, %f2;', 'R_r1 = ptx::toBf16x2(R_f1, R_f2);'],
    ['cvt.rzi.s32.f32 %r1, %f1;', 'ptx::toInteger<int32_t>(std::trunc(R_f1))'],
    ['mov.b32 {%rs1, _}, %r1;', 'R_rs1 = static_cast<uint16_t>(whole >> 0);'],
    ['mov.b64 %rd1, {%r1, %r2};', 'static_cast<uint64_t>(static_cast<uint64_t>(R_r2) << 32)'],
    [
      'shfl.sync.up.b32 %r1|%p1, %r2, 2, 0, -1;',
      'ptx::shuffle(ShuffleKind::kUp, static_cast<uint32_t>(0xffffffffu), R_r2,',
    ],
    ['vote.sync.all.pred %p1, %p2, -1;', 'ballot(static_cast<uint32_t>(0xffffffffu), !R_p2'],
    ['bar.red.popc.u32 %r1, 0, %p1;', 'blockBarrier(R_p1 ? 1 : 0, Site{"k.ptx"'],
    [
      'cp.async.cg.shared.global.L2::128B [%r1], [%rd1], 16, %r2;',
      'copyAsync(ptx::sharedAt(R_r1), ptx::pointer(R_rd1), 16, static_cast<int>(R_r2));',
    ],
    [
      'ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r1, %r2}, [%r3];',
      'ldmatrix(ptx::sharedAt(R_r3), 2, true, Site',
    ],
    [
      'atom.shared.add.u32 %r1, [%r2+4], %r3;',
      'R_r1 = atomicAdd(reinterpret_cast<uint32_t*>(ptx::sharedAt((R_r2 + static_cast<uint32_t>(4)))), R_r3);',
    ],
    ['atom.add.u32 %r1, [%rd1], %r3;', 'R_r1 = atomicAdd(reinterpret_cast<uint32_t*>(R_rd1), R_r3);'],
  ])('%s', (ptx, cpp) => {
    expect(translated(ptx)).toContain(cpp);
  });

  it('keeps the operands of a product in their places', () => {
    const mma =
      'mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1,%f2,%f3,%f4}, {%r1,%r2,%r3,%r4}, {%r5,%r6}, {%f5,%f6,%f7,%f8};';
    expect(translated(mma)).toContain(
      'mmaM16N8K16(F32x4{R_f5, R_f6, R_f7, R_f8}, U32x4{R_r1, R_r2, R_r3, R_r4}, static_cast<uint64_t>(R_r6) << 32 | R_r5,',
    );
  });

  it('lets a block in braces have registers of its own', () => {
    const cpp = translated(
      'mov.u32 %r1, 1; { .reg .b32 tmp; mov.u32 tmp, %r1; mov.u32 %r2, tmp; } { .reg .b16 tmp; mov.u16 tmp, 3; }',
    );
    expect(cpp).toContain('R_tmp_block1 = R_r1;');
    expect(cpp).toContain('R_r2 = R_tmp_block1;');
    expect(cpp).toContain('R_tmp_block2 = static_cast<uint16_t>(0x3u);');
  });

  it('names the source line, and what it was inlined into', () => {
    const cpp = translated(
      '.loc 1 7 3\n.loc 2 20 5, function_name $L__info_string0, inlined_at 1 7 3\nbar.sync 0;',
    );
    expect(cpp).toContain('#line 20 "k.cu:7 < warp.cuh"');
    expect(cpp).toMatch(/blockBarrier\(0, Site\{"k\.cu:7, k\.ptx", 11\}\);/);
  });

  it('places variables in their memory', () => {
    const before =
      '.extern .shared .align 1024 .b8 bytes[];\n.shared .align 4 .b8 room[32];\n.const .align 4 .b8 table[8] = {0, 0, 128, 63};';
    const cpp = translated(
      'mov.u32 %r1, bytes;\nld.shared.f32 %f1, [room+4];\nld.const.f32 %f2, [table];',
      before,
    );
    expect(cpp).toContain('V_bytes = ptx::dynamicSharedOffset();');
    expect(cpp).toContain('V_room = ptx::sharedOffset(&K_V_room, 32, 4);');
    expect(cpp).toContain('static uint8_t V_table[8] = {0, 0, 128, 63};');
  });

  it('jumps by tables and leaves out labels that nothing jumps to', () => {
    const cpp = translated('ts: .branchtargets $a, $b;\nbrx.idx %r1, ts;\n$a:\nret;\n$b:\n$c:\n');
    expect(cpp).toContain('case 0: goto L__a; case 1: goto L__b;');
    expect(cpp).not.toContain('L__c');
  });
});

describe('what is refused, with line and kernel', () => {
  it.each([
    ['frobnicate.b32 %r1;', 'frobnicate.b32: unknown instruction'],
    ['add.wild.s32 %r1, %r2, %r3;', 'unknown .wild'],
    ['ld.global.acquire.u32 %r1, [%rd1];', 'unknown .acquire'],
    ['atom.shared.max.u32 %r1, [%r2], %r3;', '.add is missing'],
    ['atom.shared.add.f32 %f1, [%r2], %f3;', 'an atomic that the emulator lacks'],
    ['atom.global.add.u32 %r1, [%rd1], %r3;', 'unknown .global'],
    ['atom.acq_rel.shared.add.u32 %r1, [%r2], %r3;', 'unknown .acq_rel'],
    ['membar.gl;', 'unknown instruction'],
    [
      'mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%f1,%f2,%f3,%f4}, {%r1,%r2}, {%r3}, {%f1,%f2,%f3,%f4};',
      'a product that the emulator lacks',
    ],
    ['mov.b32 %r1, %rd1;', 'a uint64_t as a uint32_t'],
    ['add.f32 %f1, %r9, %f2;', 'unknown name %r9'],
    ['mov.f32 %f1, %fd1;', 'a double as a float'],
    ['bar.sync 1;', 'a barrier other than'],
    ['bra $nowhere;', 'unknown label $nowhere'],
    ['ld.param.u64 %rd1, [k_param_1+20];', 'past the parameter’s end'],
  ])('%s', (ptx, message) => {
    expect(() => translated(ptx)).toThrow(message);
    expect(() => translated(ptx)).toThrow(/line 9 \(k\): /);
  });

  it('a function that is called', () => {
    expect(() => translated('', '.func f() { ret; }')).toThrow('line 4: a function that is called');
  });
});

it('gives kernels of unnamed namespaces the name that g++ gives them', () => {
  expect(hostName('_ZN4mlit4cuda39_GLOBAL__N__853aa3aa_7_norm_cu_949406771kEPNS1_9NormShapeE')).toBe(
    '_ZN4mlit4cuda12_GLOBAL__N_11kEPNS1_9NormShapeE',
  );
  expect(hostName('_Z1kPf')).toBe('_Z1kPf');
});
