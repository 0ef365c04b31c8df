#include "core/codec/integer_layout.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "core/codec/bit_stream.hpp"
#include "core/codec/patched.hpp"
#include "core/codec/zstd_frame.hpp"

namespace tsext {

namespace {

constexpr int kColdZstdLevel = 12;
constexpr uint32_t kGroupRowsMax = 8 * kVectorSize;

void AppendScaling(ByteBuffer &out, Scaling scaling) {
  if (scaling.scale == 1) return;
  Append(out, scaling.scale);
  Append(out, scaling.offset);
}

}  // namespace

unsigned ByteWidth(uint64_t value) noexcept {
  return static_cast<unsigned>(std::bit_width(value) + 7) / 8;
}

void AppendNarrow(ByteBuffer &out, uint64_t value, unsigned width) {
  for (unsigned i = 0; i < width; i++) out.push_back(static_cast<std::byte>(value >> (8 * i)));
}

uint64_t LoadNarrow(ByteSpan array, size_t index, unsigned width) noexcept {
  if (width == 0) return 0;
  const size_t at = index * width;
  if (at + sizeof(uint64_t) <= array.size())  // a copy of fixed size is one instruction
    return LoadUnaligned<uint64_t>(array.data() + at) & LowBits(width * 8);
  uint64_t value = 0;
  std::memcpy(&value, array.data() + at, width);
  return value;
}

void AppendVectors(ByteBuffer &out, std::span<const int64_t> values, uint32_t count,
                   Scaling scaling) {
  const uint32_t vectors = (count + kVectorSize - 1) / kVectorSize;
  const auto rows = [&](uint32_t v) { return std::min(kVectorSize, count - v * kVectorSize); };
  std::array<VectorPlan, kMaxVectorsPerSegment> plans;
  ByteBuffer payload(out.get_allocator());
  bool any_delta = false;
  for (uint32_t v = 0; v < vectors; v++) {
    const int64_t *vector = values.data() + size_t{v} * kVectorSize;
    plans[v] = PlanVector(vector, rows(v));
    AppendVector(payload, vector, rows(v), plans[v]);
    any_delta = any_delta || plans[v].delta;
  }

  // The directory's fields count from their minimum and are as narrow as the segment allows.
  uint64_t base_min = plans[0].base;
  uint64_t delta_base_min = 0;
  bool first_delta = true;
  size_t exception_bytes = 0;
  for (uint32_t v = 0; v < vectors; v++) {
    const VectorPlan &plan = plans[v];
    if (static_cast<int64_t>(plan.base) < static_cast<int64_t>(base_min)) base_min = plan.base;
    if (plan.delta && (first_delta || static_cast<int64_t>(plan.delta_base) <
                                          static_cast<int64_t>(delta_base_min))) {
      delta_base_min = plan.delta_base;
      first_delta = false;
    }
    exception_bytes |= plan.exception_bytes;
  }
  uint64_t bases = 0;
  uint64_t delta_bases = 0;
  for (uint32_t v = 0; v < vectors; v++) {
    bases |= plans[v].base - base_min;
    if (plans[v].delta) delta_bases |= plans[v].delta_base - delta_base_min;
  }
  const unsigned exception_width = ByteWidth(exception_bytes);
  const unsigned base_width = ByteWidth(bases);
  const unsigned delta_width = ByteWidth(delta_bases);

  Append(out, IntegerLayout::kVectors);
  Append(out, static_cast<uint8_t>(scaling.scale != 1 ? kScaledFlag : 0));
  Append(out, static_cast<uint8_t>(exception_width));
  Append(out, static_cast<uint8_t>(base_width));
  Append(out, static_cast<uint8_t>(delta_width));
  AppendScaling(out, scaling);
  Append(out, base_min);
  Append(out, delta_base_min);
  for (uint32_t v = 0; v < vectors; v++)
    Append(out, static_cast<uint8_t>(plans[v].width | (plans[v].delta ? kDeltaMode : 0U)));
  for (uint32_t v = 0; v < vectors; v++)
    AppendNarrow(out, plans[v].exception_bytes, exception_width);
  for (uint32_t v = 0; v < vectors; v++) AppendNarrow(out, plans[v].base - base_min, base_width);
  for (uint32_t v = 0; v < vectors; v++)
    AppendNarrow(out, plans[v].delta ? plans[v].delta_base - delta_base_min : 0, delta_width);
  AppendBytes(out, payload);
}

bool AppendRuns(ByteBuffer &out, std::span<const int64_t> values, uint32_t count,
                uint32_t max_jumps) {
  const auto at = [&](uint32_t i) { return static_cast<uint64_t>(values[i]); };
  // The step of the majority, if there is one, survives this vote on the first vector.
  uint64_t step = 0;
  uint32_t votes = 0;
  for (uint32_t i = 1; i < std::min(count, kVectorSize); i++) {
    const uint64_t delta = at(i) - at(i - 1);
    if (votes == 0) step = delta;
    votes = delta == step ? votes + 1 : votes - 1;
  }
  uint32_t jumps = 0;
  constexpr uint32_t kStride = 1024;
  for (uint32_t i = 1; i < count; i += kStride) {
    const uint32_t end = std::min(i + kStride, count);
    for (uint32_t j = i; j < end; j++) jumps += at(j) - at(j - 1) != step ? 1U : 0U;
    if (jumps > max_jumps) return false;
  }
  std::pmr::vector<uint16_t> positions(out.get_allocator());
  std::pmr::vector<uint64_t> sizes(out.get_allocator());
  uint64_t all = 0;
  for (uint32_t i = 1; i < count && positions.size() < jumps; i++) {
    const uint64_t jump = at(i) - at(i - 1) - step;
    if (jump == 0) continue;
    positions.push_back(static_cast<uint16_t>(i));
    sizes.push_back(ZigZag(jump));
    all |= sizes.back();
  }
  const unsigned width = ByteWidth(all);
  Append(out, IntegerLayout::kRuns);
  Append(out, static_cast<uint8_t>(width));
  Append(out, static_cast<uint16_t>(jumps));
  Append(out, values[0]);
  Append(out, step);
  for (const uint16_t position : positions) Append(out, position);
  for (const uint64_t size : sizes) AppendNarrow(out, size, width);
  return true;
}

namespace {

/// A group's values as bytes: plane by plane, or row by row.
void SplitBytes(std::span<const uint64_t> codes, unsigned width, bool rows, std::byte *to) {
  const size_t count = codes.size();
  for (unsigned plane = 0; plane < width; plane++) {
    const size_t begin = rows ? plane : plane * count;
    const size_t stride = rows ? width : 1;
    for (size_t i = 0; i < count; i++)
      to[begin + i * stride] = static_cast<std::byte>(codes[i] >> (8 * plane));
  }
}

/// Codes of a group, all of them small if possible.
struct GroupCodes {
  std::pmr::vector<uint64_t> codes;
  uint64_t base = 0;
  uint64_t all = 0;  ///< bits set in some code
};

GroupCodes ValuesLessMinimum(std::span<const int64_t> values, std::pmr::memory_resource *memory) {
  GroupCodes group{.codes = std::pmr::vector<uint64_t>(values.size(), memory)};
  group.base = static_cast<uint64_t>(*std::min_element(values.begin(), values.end()));
  for (size_t i = 0; i < values.size(); i++) {
    group.codes[i] = static_cast<uint64_t>(values[i]) - group.base;
    group.all |= group.codes[i];
  }
  return group;
}

/// Differences; codes[0] is 0 and not used. Signed ones around their median suit symmetric steps,
/// those less the minimum suit times.
GroupCodes Differences(std::span<const int64_t> values, bool zigzag,
                       std::pmr::memory_resource *memory) {
  GroupCodes group{.codes = std::pmr::vector<uint64_t>(values.size(), memory)};
  if (values.size() < 2) return group;
  std::pmr::vector<int64_t> deltas(values.size() - 1, memory);
  for (size_t i = 1; i < values.size(); i++) {
    deltas[i - 1] = static_cast<int64_t>(static_cast<uint64_t>(values[i]) -
                                         static_cast<uint64_t>(values[i - 1]));
    group.codes[i] = static_cast<uint64_t>(deltas[i - 1]);
  }
  auto base = deltas.begin() + static_cast<ptrdiff_t>(deltas.size() / 2);
  if (zigzag) {
    std::nth_element(deltas.begin(), base, deltas.end());
  } else {
    base = std::min_element(deltas.begin(), deltas.end());
  }
  group.base = static_cast<uint64_t>(*base);
  for (size_t i = 1; i < values.size(); i++) {
    group.codes[i] -= group.base;
    if (zigzag) group.codes[i] = ZigZag(group.codes[i]);
    group.all |= group.codes[i];
  }
  return group;
}

bool AppendGroup(ByteBuffer &heads, ByteBuffer &frames, std::span<const int64_t> values) {
  std::pmr::memory_resource *memory = heads.get_allocator().resource();
  struct Candidate {
    uint8_t mode;
    GroupCodes codes;
  };
  const Candidate candidates[] = {
      {0, ValuesLessMinimum(values, memory)},
      {kGroupDelta | kGroupZigZag, Differences(values, true, memory)},
      {kGroupDelta, Differences(values, false, memory)},
      {kGroupRows, ValuesLessMinimum(values, memory)},
  };
  ByteBuffer bytes(memory);
  ByteBuffer best(memory);
  ByteBuffer frame(memory);
  const Candidate *chosen = nullptr;
  for (const Candidate &candidate : candidates) {
    const unsigned width = ByteWidth(candidate.codes.all);
    // Long repeats are what rows are for; a step of one byte is found by the signed ones.
    if ((candidate.mode == kGroupRows && width < 3) || (candidate.mode == kGroupDelta && width < 2))
      continue;
    bytes.resize(values.size() * width);
    SplitBytes(candidate.codes.codes, width, candidate.mode == kGroupRows, bytes.data());
    frame.clear();
    if (width > 0 && AppendZstdFrame(frame, bytes, kColdZstdLevel) == 0) return false;
    if (chosen == nullptr || frame.size() < best.size()) {
      best.swap(frame);
      chosen = &candidate;
    }
    if (best.empty()) break;
  }
  Append(heads, chosen->mode);
  Append(heads, static_cast<uint8_t>(ByteWidth(chosen->codes.all)));
  Append(heads, static_cast<uint32_t>(best.size()));
  Append(heads, chosen->codes.base);
  Append(heads, values[0]);
  AppendBytes(frames, best);
  return true;
}

}  // namespace

bool AppendPlanes(ByteBuffer &out, std::span<const int64_t> values, uint32_t count,
                  Scaling scaling) {
  ByteBuffer heads(out.get_allocator());
  ByteBuffer frames(out.get_allocator());
  for (uint32_t begin = 0; begin < count; begin += kGroupRowsMax) {
    const uint32_t rows = std::min(kGroupRowsMax, count - begin);
    if (!AppendGroup(heads, frames, values.subspan(begin, rows))) return false;
  }
  Append(out, IntegerLayout::kPlanes);
  Append(out, static_cast<uint8_t>(scaling.scale != 1 ? kScaledFlag : 0));
  AppendScaling(out, scaling);
  AppendBytes(out, heads);
  AppendBytes(out, frames);
  return true;
}

}  // namespace tsext
