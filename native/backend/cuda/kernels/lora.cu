// Groups and segments become slices, slices become launches. Host code only: the kernels are those of slice_products.h.
#include "backend/cuda/kernels/lora.h"

#include <cstring>
#include <map>
#include <string>

#include "backend/cuda/kernels/slice_products.h"
#include "core/dropout.h"
#include "core/error.h"

namespace mlit::cuda {

namespace {

constexpr int64_t kSlotsBytes = kSlots * kSlotBytes;

[[noreturn]] void refuse(const std::string& why) { throw Error(ErrorCode::kInternal, "LoRA on the device: " + why); }

// One gradient and all the rows that add to it.
struct Gradient {
  Slice slice;
  ElementType type;  // of what is wide
  std::vector<RowRange> ranges;
};

// A call in the making. Batches come in two kinds, by the type of what is wide: float, bf16.
struct Call {
  SliceBatch intoRank[2], outOfRank, overRows[2];
  std::vector<RowRange> ranges;
  const RowRange* uploadedRanges = nullptr;
  std::vector<Gradient> gradients;
  std::map<const float*, size_t> gradientAt;
};

size_t kind(ElementType type) { return type == ElementType::kF32 ? 0 : 1; }

int64_t largestRank(std::span<const LoraGroup> groups) {
  int32_t rank = 0;
  for (const LoraGroup& group : groups) rank = std::max(rank, group.rankTotal);
  return rank;
}

bool counts(const LoraGroup& group) { return group.rowEnd > group.rowBegin && group.rankTotal > 0; }
bool counts(const LoraSegment& segment) { return segment.rank > 0 && segment.outEnd > segment.outBegin; }

void check(std::span<const LoraGroup> groups, int64_t rows, DevConstReal p) {
  if (p && p.type() != ElementType::kBF16) refuse("p and u have to be bf16");
  int64_t row = 0;
  for (const LoraGroup& group : groups) {
    if (!counts(group)) continue;
    const std::string where =
        "the group of rows [" + std::to_string(group.rowBegin) + ", " + std::to_string(group.rowEnd) + ")";
    if (group.rowBegin < row || group.rowEnd > rows) {
      refuse(where + " is not behind the one before it and within the " + std::to_string(rows) + " rows");
    }
    if (!p) refuse(where + " has no p");
    row = group.rowEnd;
    int64_t column = 0;
    int32_t rank = 0;
    for (const LoraSegment& segment : group.segments) {
      if (segment.outBegin < column || segment.rankBegin < 0 || segment.rankBegin + segment.rank > group.rankTotal) {
        refuse("a segment of " + where + " is not behind the one before it and within the group's rank");
      }
      column = segment.outEnd;
      rank += segment.rank;
    }
    if (rank != group.rankTotal) refuse("the segments of " + where + " are not all of its rank");
  }
}

Slice sliceOf(const LoraGroup& group, const float* matrix, int64_t width, int32_t column, int32_t rank,
              int32_t rankBegin) {
  Slice s;
  s.matrix = const_cast<float*>(matrix);  // NOLINT: only sums over rows write to it, and they are given gradients
  s.begin = group.rowBegin;
  s.end = group.rowEnd;
  s.column = column;
  s.width = static_cast<int32_t>(width);
  s.rank = rank;
  s.rankBegin = rankBegin;
  return s;
}

// Segments between bT and y's or dy's columns.
Slice outerSlice(const LoraGroup& group, const LoraSegment& segment, const float* matrix) {
  return sliceOf(group, matrix, segment.outEnd - segment.outBegin, segment.outBegin, segment.rank, segment.rankBegin);
}

// Slices between A (or its gradient) and x or dx: one for the group, or behind dropout one for each segment.
// add(slice, dropout's scale)
template <class Add>
void innerSlices(const LoraGroup& group, const float* matrix, int64_t in, Add add) {
  if (group.dropout.probability <= 0) {
    add(sliceOf(group, matrix, in, 0, group.rankTotal, 0), 1.0f);
    return;
  }
  for (const LoraSegment& segment : group.segments) {
    if (segment.rank <= 0) continue;
    Slice s = sliceOf(group, matrix + segment.rankBegin * in, in, 0, segment.rank, segment.rankBegin);
    s.records = group.dropout.records.raw();
    s.positions = group.dropout.positions.raw();
    s.key = group.dropout.key;
    s.module = segment.module;
    s.threshold = dropoutThreshold(group.dropout.probability);
    add(s, dropoutScale(group.dropout.probability));
  }
}

void addInto(Call& call, Slice s, float factor, int8_t wide, int8_t thin, ElementType type) {
  s.factor = factor, s.wide = wide, s.thin = thin;
  call.intoRank[kind(type)].slices.push_back(s);
}

// Rows of one adapter that lie apart add to one gradient in the order of the groups: they are ranges of one slice.
void addGradient(Call& call, Slice s, float factor, int8_t wide, int8_t thin, ElementType type) {
  s.factor = factor, s.wide = wide, s.thin = thin;
  const RowRange range{s.begin, s.end, 0};
  const auto [at, isNew] = call.gradientAt.try_emplace(s.matrix, call.gradients.size());
  if (isNew) {
    call.gradients.push_back({s, type, {range}});
    return;
  }
  Gradient& gradient = call.gradients[at->second];
  const Slice& first = gradient.slice;
  const auto same = [&](auto member) { return first.*member == s.*member; };
  if (!same(&Slice::width) || !same(&Slice::rank) || !same(&Slice::rankBegin) || !same(&Slice::column) ||
      !same(&Slice::wide) || !same(&Slice::thin) || !same(&Slice::factor) || !same(&Slice::records) ||
      !same(&Slice::positions) || !same(&Slice::key) || !same(&Slice::module) || !same(&Slice::threshold)) {
    refuse("groups that share a gradient differ in more than their rows and scale");
  }
  const RowRange& before = gradient.ranges.back();
  gradient.ranges.push_back({range.begin, range.end, before.before + before.end - before.begin});
}

void placeGradients(Call& call) {
  for (const Gradient& gradient : call.gradients) {
    Slice s = gradient.slice;
    s.begin = static_cast<int32_t>(call.ranges.size());
    call.ranges.insert(call.ranges.end(), gradient.ranges.begin(), gradient.ranges.end());
    s.end = static_cast<int32_t>(call.ranges.size());
    call.overRows[kind(gradient.type)].slices.push_back(s);
  }
}

// Numbers the tiles and, where a list does not fit into a parameter, lays all of them behind the slots. The slots' address.
float* prepare(Call& call, DevicePtr<std::byte> workspace, int64_t workspaceBytes, Staging& staging, Stream& stream) {
  for (SliceBatch& batch : call.intoRank) batch.numberTiles(Product::kIntoRank);
  call.outOfRank.numberTiles(Product::kOutOfRank);
  for (SliceBatch& batch : call.overRows) batch.numberTiles(Product::kOverRows);
  SliceBatch* const batches[] = {&call.intoRank[0], &call.intoRank[1], &call.outOfRank, &call.overRows[0],
                                 &call.overRows[1]};
  size_t slices = 0;
  bool fits = call.ranges.size() <= size_t{RangeList::kMost};
  for (const SliceBatch* batch : batches) {
    slices += batch->slices.size();
    fits &= batch->slices.size() <= size_t{SliceList::kMost};
  }
  const int64_t tables =
      fits ? 0 : static_cast<int64_t>(slices * sizeof(Slice) + call.ranges.size() * sizeof(RowRange));
  if (workspaceBytes < kSlotsBytes + tables) {
    refuse("a workspace of " + std::to_string(workspaceBytes) + " bytes; " + std::to_string(kSlotsBytes + tables) +
           " are needed");
  }
  auto* const slots = reinterpret_cast<float*>(workspace.raw());
  if (fits) return slots;
  std::vector<std::byte> bytes(static_cast<size_t>(tables));
  std::byte* const device = workspace.raw() + kSlotsBytes;
  size_t at = 0;
  const auto lay = [&]<class T>(const std::vector<T>& items) {
    const T* const place = reinterpret_cast<const T*>(device + at);
    std::memcpy(bytes.data() + at, items.data(), items.size() * sizeof(T));
    at += items.size() * sizeof(T);
    return place;
  };
  for (SliceBatch* batch : batches) batch->uploaded = lay(batch->slices);
  call.uploadedRanges = lay(call.ranges);
  staging.upload(device, bytes.data(), bytes.size(), stream);
  return slots;
}

ThinMatrices thinOf(DevReal p, DevReal u, int64_t ld) {
  return {{reinterpret_cast<__nv_bfloat16*>(p.bytes().raw()), ld},
          {reinterpret_cast<__nv_bfloat16*>(u.bytes().raw()), ld}};
}
WideMatrices wideOf(DevConstReal a, int64_t lda, DevConstReal b = {}, int64_t ldb = 0) {
  return {{const_cast<std::byte*>(a.bytes().raw()), lda}, {const_cast<std::byte*>(b.bytes().raw()), ldb}};  // NOLINT
}

constexpr ElementType kTypes[] = {ElementType::kF32, ElementType::kBF16};

}  // namespace

int64_t loraWorkspaceBytes(int64_t groups, int64_t segments) {
  // Each segment at most once into p, once into u, once out of the rank and twice over rows; as many ranges as gradients.
  const auto slice = static_cast<int64_t>(sizeof(Slice)), range = static_cast<int64_t>(sizeof(RowRange));
  return kSlotsBytes + (groups + segments) * (5 * slice + 2 * range);
}

void loraForward(DevConstReal x, int64_t ldx, int64_t rows, int64_t in, DevReal y, int64_t ldy,
                 std::span<const LoraGroup> groups, DevReal p, DevicePtr<std::byte> workspace, int64_t workspaceBytes,
                 Staging& staging, Stream& stream) {
  check(groups, rows, p);
  Call call;
  for (const LoraGroup& group : groups) {
    if (!counts(group)) continue;
    innerSlices(group, group.a.raw(), in,
                [&](const Slice& s, float dropped) { addInto(call, s, group.scale * dropped, 0, 0, x.type()); });
    for (const LoraSegment& segment : group.segments) {
      if (counts(segment)) call.outOfRank.slices.push_back(outerSlice(group, segment, segment.bT.raw()));
    }
  }
  float* const slots = prepare(call, workspace, workspaceBytes, staging, stream);
  const ThinMatrices thin = thinOf(p, {}, largestRank(groups));
  for (const ElementType type : kTypes) {
    intoRank(call.intoRank[kind(type)], type, wideOf(x, ldx), thin, slots, stream);
  }
  outOfRank(call.outOfRank, y.type(), wideOf(y, ldy), thin, stream);
}

void loraBackward(DevConstReal x, int64_t ldx, int64_t rows, int64_t in, DevConstReal dy, int64_t lddy, DevReal dx,
                  int64_t lddx, std::span<const LoraGroup> groups, DevReal p, DevReal u, DevicePtr<std::byte> workspace,
                  int64_t workspaceBytes, Staging& staging, Stream& stream) {
  check(groups, rows, p);
  check(groups, rows, u);
  Call call;
  for (const LoraGroup& group : groups) {
    if (!counts(group)) continue;
    bool needsP = false;
    for (const LoraSegment& segment : group.segments) {
      if (!counts(segment)) continue;
      if (dx || group.dA) addInto(call, outerSlice(group, segment, segment.bT.raw()), group.scale, 1, 1, dy.type());
      if (!segment.dbT) continue;
      needsP = true;
      addGradient(call, outerSlice(group, segment, segment.dbT.raw()), 1, 1, 0, dy.type());
    }
    if (needsP) {
      innerSlices(group, group.a.raw(), in,
                  [&](const Slice& s, float dropped) { addInto(call, s, group.scale * dropped, 0, 0, x.type()); });
    }
    if (group.dA) {
      innerSlices(group, group.dA.raw(), in,
                  [&](const Slice& s, float dropped) { addGradient(call, s, dropped, 0, 1, x.type()); });
    }
    if (dx) {
      std::vector<Slice>& slices = call.outOfRank.slices;
      const size_t first = slices.size();
      innerSlices(group, group.a.raw(), in, [&](Slice s, float dropped) {
        s.factor = dropped, s.thin = 1, s.parts = 0;
        slices.push_back(s);
      });
      if (slices.size() > first) slices[first].parts = static_cast<int32_t>(slices.size() - first);
    }
  }
  placeGradients(call);
  float* const slots = prepare(call, workspace, workspaceBytes, staging, stream);
  const ThinMatrices thin = thinOf(p, u, largestRank(groups));
  const WideMatrices inputs = wideOf(x, ldx, dy, lddy);
  for (const ElementType type : kTypes) intoRank(call.intoRank[kind(type)], type, inputs, thin, slots, stream);
  outOfRank(call.outOfRank, dx.type(), wideOf(dx, lddx), thin, stream);
  for (const ElementType type : kTypes) {
    overRows(call.overRows[kind(type)], call.ranges, call.uploadedRanges, type, inputs, thin, slots, stream);
  }
}

}  // namespace mlit::cuda
