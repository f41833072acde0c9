// The ops of the test backend, each as "check now; poison and run later".
#include <algorithm>
#include <limits>

#include "test/host_backend_checks.h"

namespace mlit::test {

// --- row-wise ops ---------------------------------------------------------------------------------------------------------

void HostBackend::rmsNormForward(DevConstReal x, HeadRows xRows, DevConstF32 weight, float eps, DevReal y, int64_t ldy,
                                 DevConstF32 addTo, DevF32 invRms) {
  const int64_t rows = xRows.rows, width = int64_t{xRows.heads} * xRows.dim;
  const auto realX = matrix(x, rows, xRows.ld, width, "rmsNormForward x");
  const auto realWeight = array(weight, xRows.dim, "rmsNormForward weight");
  const auto realY = matrix(y, rows, ldy, width, "rmsNormForward y");
  const auto realAdd = matrix(addTo, rows, ldy, width, "rmsNormForward addTo", true);
  const auto realInverse = array(invRms, rows * xRows.heads, "rmsNormForward invRms", true);
  enqueue([=, this] {
    if (realY.floats() != realX.floats() && realY.floats() != realAdd.raw()) poison(realY, rows, ldy, width);
    poison(realInverse, rows * xRows.heads);
    inner_->rmsNormForward(realX, xRows, realWeight, eps, realY, ldy, realAdd, realInverse);
  });
}

void HostBackend::rmsNormBackward(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows xRows, DevConstF32 weight,
                                  DevConstF32 invRms, DevReal dx, int64_t lddx, bool accumulate) {
  const int64_t rows = xRows.rows, width = int64_t{xRows.heads} * xRows.dim;
  const auto realDy = matrix(dy, rows, lddy, width, "rmsNormBackward dy");
  const auto realX = matrix(x, rows, xRows.ld, width, "rmsNormBackward x");
  const auto realWeight = array(weight, xRows.dim, "rmsNormBackward weight");
  const auto realInverse = array(invRms, rows * xRows.heads, "rmsNormBackward invRms");
  const auto realDx = matrix(dx, rows, lddx, width, "rmsNormBackward dx");
  enqueue([=, this] {
    if (!accumulate && realDx.floats() != realDy.floats()) poison(realDx, rows, lddx, width);
    inner_->rmsNormBackward(realDy, lddy, realX, xRows, realWeight, realInverse, realDx, lddx, accumulate);
  });
}

void HostBackend::weightGradient(DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy, int64_t out,
                                 int64_t in, DevF32 dW) {
  const auto realX = matrix(x, rows, ldx, in, "weightGradient x");
  const auto realDy = matrix(dy, rows, lddy, out, "weightGradient dy");
  const auto realDW = array(dW, out * in, "weightGradient dW");
  enqueue([=, this] { inner_->weightGradient(realX, ldx, rows, realDy, lddy, out, in, realDW); });
}

void HostBackend::rmsNormWeightGradient(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows xRows,
                                        DevConstF32 invRms, DevF32 dWeight) {
  const int64_t rows = xRows.rows, width = int64_t{xRows.heads} * xRows.dim;
  const auto realDy = matrix(dy, rows, lddy, width, "rmsNormWeightGradient dy");
  const auto realX = matrix(x, rows, xRows.ld, width, "rmsNormWeightGradient x");
  const auto realInverse = array(invRms, rows * xRows.heads, "rmsNormWeightGradient invRms");
  const auto realDWeight = array(dWeight, xRows.dim, "rmsNormWeightGradient dWeight");
  enqueue([=, this] { inner_->rmsNormWeightGradient(realDy, lddy, realX, xRows, realInverse, realDWeight); });
}

void HostBackend::biasGradient(DevConstReal dy, int64_t lddy, int64_t rows, int64_t n, DevF32 dBias) {
  const auto realDy = matrix(dy, rows, lddy, n, "biasGradient dy");
  const auto realDBias = array(dBias, n, "biasGradient dBias");
  enqueue([=, this] { inner_->biasGradient(realDy, lddy, rows, n, realDBias); });
}

void HostBackend::gatherGradient(DevConstF32 dy, DevConstI32 ids, int64_t n, int64_t d, float scale, DevF32 dTable) {
  const auto realDy = matrix(dy, n, d, d, "gatherGradient dy");
  const auto realIds = array(ids, n, "gatherGradient ids");
  const auto realTable = array(dTable, d, "gatherGradient dTable");
  const int64_t rows = static_cast<int64_t>(place(dTable.raw(), "gatherGradient dTable").bytes / sizeof(float)) / d;
  enqueue([=, this] {
    checkBelow(realIds, n, rows, "gatherGradient ids");
    inner_->gatherGradient(realDy, realIds, n, d, scale, realTable);
  });
}

void HostBackend::rope(DevReal x, HeadRows rows, DevConstI32 positions, DevConstF32 table, int direction) {
  const auto realX = matrix(x, rows.rows, rows.ld, int64_t{rows.heads} * rows.dim, "rope x");
  const auto realPositions = array(positions, rows.rows, "rope positions");
  const auto realTable = array(table, rows.rows > 0 ? 1 : 0, "rope table");
  const int64_t entries =
      rows.rows > 0 ? static_cast<int64_t>(place(table.raw(), "rope table").bytes / sizeof(float)) / rows.dim : 0;
  enqueue([=, this] {
    checkBelow(realPositions, rows.rows, entries, "rope positions");
    inner_->rope(realX, rows, realPositions, realTable, direction);
  });
}

void HostBackend::gatedForward(GatedActivation act, DevConstReal gateUp, int64_t rows, int64_t f, DevReal h) {
  const auto realGateUp = array(gateUp, rows * 2 * f, "gatedForward gateUp");
  const auto realH = array(h, rows * f, "gatedForward h");
  enqueue([=, this] {
    poison(realH, rows * f);
    inner_->gatedForward(act, realGateUp, rows, f, realH);
  });
}

void HostBackend::gatedBackward(GatedActivation act, DevReal gateUp, int64_t rows, int64_t f, DevConstReal dh,
                                DevReal h) {
  const auto realGateUp = array(gateUp, rows * 2 * f, "gatedBackward gateUp");
  const auto realDh = array(dh, rows * f, "gatedBackward dh");
  const auto realH = array(h, rows * f, "gatedBackward h", true);
  enqueue([=, this] {
    if (realH.floats() != realDh.floats()) poison(realH, rows * f);
    inner_->gatedBackward(act, realGateUp, rows, f, realDh, realH);
  });
}

void HostBackend::add(DevF32 y, DevConstReal x, int64_t n) {
  const auto realY = array(y, n, "add y");
  const auto realX = array(x, n, "add x");
  enqueue([=, this] { inner_->add(realY, realX, n); });
}

void HostBackend::addToRows(DevReal y, int64_t ldy, int64_t rows, DevConstF32 x, int64_t n) {
  const auto realY = matrix(y, rows, ldy, n, "addToRows y");
  const auto realX = array(x, n, "addToRows x");
  enqueue([=, this] { inner_->addToRows(realY, ldy, rows, realX, n); });
}

void HostBackend::scale(DevF32 y, float factor, int64_t n) {
  const auto realY = array(y, n, "scale y");
  enqueue([=, this] { inner_->scale(realY, factor, n); });
}

void HostBackend::gatherRows(DevConstReal x, int64_t ldx, DevConstI32 rows, int64_t n, int64_t d, DevReal out) {
  if (n <= 0) return;
  const auto realX = array(x, d, "gatherRows x");
  const int64_t available = elementsFrom(x, "gatherRows x");
  const auto realRows = array(rows, n, "gatherRows rows");
  const auto realOut = matrix(out, n, d, d, "gatherRows out");
  enqueue([=, this] {
    checkBelow(realRows, n, (available - d) / ldx + 1, "gatherRows rows");
    poison(realOut, n, d, d);
    inner_->gatherRows(realX, ldx, realRows, n, d, realOut);
  });
}

void HostBackend::scatterRows(DevConstReal in, DevConstI32 rows, int64_t n, int64_t d, DevReal x, int64_t ldx,
                              bool accumulate) {
  if (n <= 0) return;
  const auto realIn = matrix(in, n, d, d, "scatterRows in");
  const auto realX = array(x, d, "scatterRows x");
  const int64_t available = elementsFrom(x, "scatterRows x");
  const auto realRows = array(rows, n, "scatterRows rows");
  enqueue([=, this] {
    checkBelow(realRows, n, (available - d) / ldx + 1, "scatterRows rows");
    std::vector<int32_t> sorted(realRows.raw(), realRows.raw() + n);
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) refuse("scatterRows rows", "not distinct");
    inner_->scatterRows(realIn, realRows, n, d, realX, ldx, accumulate);
  });
}

// --- attention ------------------------------------------------------------------------------------------------------------

void HostBackend::attentionForward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstReal q,
                                   int64_t ldq, DevConstReal k, DevConstReal v, int64_t ldkv, DevReal out, int64_t ldo,
                                   DevF32 lse) {
  const int64_t tokens = cuSeqlens.back(), width = int64_t{shape.heads} * shape.headDim,
                kvWidth = int64_t{shape.kvHeads} * shape.headDim;
  const auto realQ = matrix(q, tokens, ldq, width, "attentionForward q");
  const auto realK = matrix(k, tokens, ldkv, kvWidth, "attentionForward k");
  const auto realV = matrix(v, tokens, ldkv, kvWidth, "attentionForward v");
  const auto realOut = matrix(out, tokens, ldo, width, "attentionForward out");
  const auto realLse = array(lse, tokens * shape.heads, "attentionForward lse");
  enqueue([=, this, cu = std::vector<int32_t>(cuSeqlens.begin(), cuSeqlens.end())] {
    poison(realOut, tokens, ldo, width);
    poison(realLse, tokens * shape.heads);
    inner_->attentionForward(shape, cu, realQ, ldq, realK, realV, ldkv, realOut, ldo, realLse);
  });
}

void HostBackend::attentionBackward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstReal q,
                                    int64_t ldq, DevConstReal k, DevConstReal v, int64_t ldkv, DevConstReal out,
                                    DevConstReal dout, int64_t ldo, DevConstF32 lse, DevF32 delta, DevReal dq,
                                    int64_t lddq, DevReal dk, DevReal dv, int64_t lddkv) {
  const int64_t tokens = cuSeqlens.back(), width = int64_t{shape.heads} * shape.headDim,
                kvWidth = int64_t{shape.kvHeads} * shape.headDim;
  const auto realQ = matrix(q, tokens, ldq, width, "attentionBackward q");
  const auto realK = matrix(k, tokens, ldkv, kvWidth, "attentionBackward k");
  const auto realV = matrix(v, tokens, ldkv, kvWidth, "attentionBackward v");
  const auto realOut = matrix(out, tokens, ldo, width, "attentionBackward out");
  const auto realDout = matrix(dout, tokens, ldo, width, "attentionBackward dout");
  const auto realLse = array(lse, tokens * shape.heads, "attentionBackward lse");
  const auto realDelta = array(delta, tokens * shape.heads, "attentionBackward delta");
  const auto realDq = matrix(dq, tokens, lddq, width, "attentionBackward dq");
  const auto realDk = matrix(dk, tokens, lddkv, kvWidth, "attentionBackward dk");
  const auto realDv = matrix(dv, tokens, lddkv, kvWidth, "attentionBackward dv");
  enqueue([=, this, cu = std::vector<int32_t>(cuSeqlens.begin(), cuSeqlens.end())] {
    poison(realDelta, tokens * shape.heads);
    poison(realDq, tokens, lddq, width);
    poison(realDk, tokens, lddkv, kvWidth);
    poison(realDv, tokens, lddkv, kvWidth);
    inner_->attentionBackward(shape, cu, realQ, ldq, realK, realV, ldkv, realOut, realDout, ldo, realLse, realDelta,
                              realDq, lddq, realDk, realDv, lddkv);
  });
}

void HostBackend::kvStore(const AttentionShape& shape, DevConstReal k, DevConstReal v, int64_t ldkv, int64_t rows,
                          DevConstI32 rowPages, DevConstI32 rowSlots, DevReal pool) {
  if (rows <= 0) return;
  const int64_t width = int64_t{shape.kvHeads} * shape.headDim, pageFloats = 2 * kKvPageTokens * width;
  const auto realK = matrix(k, rows, ldkv, width, "kvStore k");
  const auto realV = matrix(v, rows, ldkv, width, "kvStore v");
  const auto realPages = array(rowPages, rows, "kvStore rowPages");
  const auto realSlots = array(rowSlots, rows, "kvStore rowSlots");
  const auto realPool = array(pool, pageFloats, "kvStore pool");
  const int64_t pages = elementsFrom(pool, "kvStore pool") / pageFloats;
  enqueue([=, this] {
    checkBelow(realPages, rows, pages, "kvStore rowPages");
    checkBelow(realSlots, rows, kKvPageTokens, "kvStore rowSlots");
    inner_->kvStore(shape, realK, realV, ldkv, rows, realPages, realSlots, realPool);
  });
}

void HostBackend::attentionCached(const AttentionShape& shape, DevConstReal q, int64_t ldq, int64_t rows,
                                  DevConstI32 positions, DevConstI32 rowTables, DevConstI32 pageTables,
                                  int32_t maxPosition, DevConstReal pool, DevReal out, int64_t ldo) {
  if (rows <= 0) return;
  const int64_t width = int64_t{shape.heads} * shape.headDim;
  const int64_t pageFloats = 2 * kKvPageTokens * int64_t{shape.kvHeads} * shape.headDim;
  const auto realQ = matrix(q, rows, ldq, width, "attentionCached q");
  const auto realPositions = array(positions, rows, "attentionCached positions");
  const auto realTables = array(rowTables, rows, "attentionCached rowTables");
  const auto realPages = array(pageTables, 1, "attentionCached pageTables");
  const auto realPool = array(pool, pageFloats, "attentionCached pool");
  const auto realOut = matrix(out, rows, ldo, width, "attentionCached out");
  const int64_t entries =
      static_cast<int64_t>(place(pageTables.raw(), "attentionCached pageTables").bytes / sizeof(int32_t));
  const int64_t pages = elementsFrom(pool, "attentionCached pool") / pageFloats;
  enqueue([=, this] {
    checkBelow(realPositions, rows, int64_t{maxPosition} + 1, "attentionCached positions");
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t position = realPositions.raw()[r], table = realTables.raw()[r];
      if (table < 0 || table + position / kKvPageTokens >= entries)
        refuse("attentionCached rowTables", "outside of pageTables");
      // Pages before the window may have been given back: only those that a row reads are looked at.
      const int64_t firstKey = shape.window > 0 ? std::max<int64_t>(0, position - shape.window + 1) : 0;
      for (int64_t page = firstKey / kKvPageTokens; page <= position / kKvPageTokens; ++page) {
        checkBelow(realPages + (table + page), 1, pages, "attentionCached pageTables");
      }
    }
    poison(realOut, rows, ldo, width);
    inner_->attentionCached(shape, realQ, ldq, rows, realPositions, realTables, realPages, maxPosition, realPool,
                            realOut, ldo);
  });
}

// --- loss, sampling, optimiser ----------------------------------------------------------------------------------------------

void HostBackend::crossEntropy(DevF32 logits, int64_t n, int64_t vocabulary, DevConstI32 targets, DevConstF32 weights,
                               DevF32 logprobs) {
  const auto realLogits = matrix(logits, n, vocabulary, vocabulary, "crossEntropy logits");
  const auto realTargets = array(targets, n, "crossEntropy targets");
  const auto realWeights = array(weights, n, "crossEntropy weights", true);
  const auto realLogprobs = array(logprobs, n, "crossEntropy logprobs");
  enqueue([=, this] {
    checkBelow(realTargets, n, vocabulary, "crossEntropy targets");
    poison(realLogprobs, n);
    inner_->crossEntropy(realLogits, n, vocabulary, realTargets, realWeights, realLogprobs);
  });
}

void HostBackend::sampleRows(DevF32 logits, int64_t n, int64_t vocabulary, int64_t usable,
                             std::span<const SampleParams> params, DevI32 tokens, DevF32 logprobs) {
  if (static_cast<int64_t>(params.size()) != n) refuse("sampleRows params", "not one a row");
  if (usable < 1 || usable > vocabulary) refuse("sampleRows usable", "not in [1, vocabulary]");
  const auto realLogits = matrix(logits, n, vocabulary, vocabulary, "sampleRows logits");
  const auto realTokens = array(tokens, n, "sampleRows tokens");
  const auto realLogprobs = array(logprobs, n, "sampleRows logprobs");
  enqueue([=, this, copied = std::vector<SampleParams>(params.begin(), params.end())] {
    std::fill_n(realTokens.raw(), n, std::numeric_limits<int32_t>::min());
    poison(realLogprobs, n);
    inner_->sampleRows(realLogits, n, vocabulary, usable, copied, realTokens, realLogprobs);
    poison(realLogits, n, vocabulary, vocabulary);  // "destroyed"
  });
}

void HostBackend::sumSquares(DevConstF32 x, int64_t n, DevF32 out) {
  const auto realX = array(x, n, "sumSquares x");
  const auto realOut = array(out, 1, "sumSquares out");
  enqueue([=, this] {
    poison(realOut, 1);
    inner_->sumSquares(realX, n, realOut);
  });
}

void HostBackend::adamW(DevF32 parameters, DevConstF32 gradients, DevF32 m, DevF32 v, int64_t n, DevConstF32 sumSquares,
                        const AdamWParams& params) {
  const auto realParameters = array(parameters, n, "adamW parameters");
  const auto realGradients = array(gradients, n, "adamW gradients");
  const auto realM = array(m, n, "adamW m");
  const auto realV = array(v, n, "adamW v");
  const auto realSquares = array(sumSquares, 1, "adamW sumSquares", params.maxGradNorm <= 0);
  enqueue([=, this] { inner_->adamW(realParameters, realGradients, realM, realV, n, realSquares, params); });
}

}  // namespace mlit::test
