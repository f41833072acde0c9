// Which one-token mistakes are made of a kernel's source: operators of values and no brackets of templates, constants, barriers; nothing in
// comments, texts and what only the compiler of the card reads.
import { describe, expect, it } from 'vitest';
import { applied, mutantsOf, sampled } from '../../scripts/cuda/mutants.mjs';

const of = (line: string) => mutantsOf('k.cu', line).map(({ mutated }) => mutated);

describe('mutants', () => {
  it.each([
    ['if (lane < s.dim) return;', ['if (lane <= s.dim) return;', 'if (lane > s.dim) return;']],
    ['sum += a * b;', ['sum = a * b;', 'sum -= a * b;', 'sum += a + b;']],
    ['__syncthreads();  // keys are there', [';  // keys are there']],
    ['  cpAsyncWait<0>();', [';', 'cpAsyncWait<1>();']],
    ['const int n = 32;', ['const int n = 33;', 'const int n = 31;']],
    ['float top = 0.0f;', ['float top = 1.0f;']],
    ['mask = 0xffffffffu;', ['mask = 0xfffffffeu;']],
    ['if (!last) go(true);', ['if (last) go(true);', 'if (!last) go(false);']],
    ['v = max(a, b);', ['v = min(a, b);']],
  ])('of %s', (line, expected) => expect(of(line)).toEqual(expected));

  it.each([
    'const std::vector<T>& values;',
    'template <class T> DEVICE float sum(const T* values);',
    '// a < b, 32 of them',
    '#include "a/b.cuh"',
    'static_assert(kRows == 32);',
    '__global__ void __launch_bounds__(32 * kRows)',
    'refuse("rows", rows, "at most 3");',
    'int* p = &value;',
  ])('none of %s', (line) => expect(of(line)).toEqual([]));

  it('stand where they are said to, and are told apart where a line repeats', () => {
    const source = 'a();\nb = c + d;\nb = c + d;\n';
    const [first, second] = mutantsOf('k.cu', source);
    expect(first?.line).toBe(2);
    expect(second?.line).toBe(3);
    expect(first?.key).not.toBe(second?.key);
    expect(applied(source, second)).toBe('a();\nb = c + d;\nb = c - d;\n');
  });

  it('keep their keys where lines move, so that results and explanations stay', () => {
    const keys = (source: string) => mutantsOf('k.cu', source).map(({ key }) => key);
    expect(keys('x();\n\n  b = c + 2;')).toEqual(keys('b = c + 2;'));
  });

  it('are sampled from every file by turns, the same for a seed', () => {
    const all = ['p.cu', 'q.cu', 'r.cu'].flatMap((file) =>
      mutantsOf(file, 'a = b + c;\nd = e + f;\ng = h - 2;\n'),
    );
    const chosen = sampled(all, '1', 6);
    expect(chosen.map(({ file }) => file)).toEqual(['p.cu', 'q.cu', 'r.cu', 'p.cu', 'q.cu', 'r.cu']);
    expect(sampled(all, '1', 6)).toEqual(chosen);
    expect(sampled(all, '2', 6)).not.toEqual(chosen);
    expect(sampled(all, '1')).toHaveLength(all.length);
  });
});
