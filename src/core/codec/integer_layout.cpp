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
  uint64_t value = 0;
  if (width > 0) std::memcpy(&value, array.data() + index * width, width);
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
void SplitBytes(std::span<const uint64_t> values, uint64_t base, unsigned width, bool rows,
                std::byte *to) {
  const size_t count = values.size();
  for (unsigned plane = 0; plane < width; plane++) {
    const size_t begin = rows ? plane : plane * count;
    const size_t stride = rows ? width : 1;
    for (size_t i = 0; i < count; i++)
      to[begin + i * stride] = static_cast<std::byte>((values[i] - base) >> (8 * plane));
  }
}

bool AppendGroup(ByteBuffer &heads, ByteBuffer &frames, std::span<const int64_t> values) {
  const auto *source = reinterpret_cast<const uint64_t *>(values.data());
  const size_t count = values.size();
  std::pmr::vector<uint64_t> deltas(count, heads.get_allocator());
  for (size_t i = 1; i < count; i++) deltas[i] = source[i] - source[i - 1];
  if (count > 1) deltas[0] = deltas[1];  // not used by readers
  ByteBuffer bytes(heads.get_allocator());
  ByteBuffer best(heads.get_allocator());
  ByteBuffer frame(heads.get_allocator());
  uint8_t best_mode = 0;
  uint64_t best_base = 0;
  unsigned best_width = 0;
  for (const uint8_t mode : {uint8_t{0}, kGroupDelta, kGroupRows}) {
    const std::span<const uint64_t> stored =
        (mode & kGroupDelta) != 0 ? std::span<const uint64_t>(deltas) : std::span(source, count);
    const auto less = [](uint64_t a, uint64_t b) {
      return static_cast<int64_t>(a) < static_cast<int64_t>(b);
    };
    const auto [low, high] = std::minmax_element(stored.begin(), stored.end(), less);
    const bool rows = (mode & kGroupRows) != 0;
    const uint64_t base = *low;
    const unsigned width = ByteWidth(*high - base);
    if (rows && width < 3) continue;  // long repeats are what rows are for
    bytes.resize(count * width);
    SplitBytes(stored, base, width, rows, bytes.data());
    frame.clear();
    if (width > 0 && AppendZstdFrame(frame, bytes, kColdZstdLevel) == 0) return false;
    if (mode == 0 || frame.size() < best.size()) {
      best.swap(frame);
      best_mode = mode;
      best_base = base;
      best_width = width;
    }
    if (best.empty()) break;
  }
  Append(heads, best_mode);
  Append(heads, static_cast<uint8_t>(best_width));
  Append(heads, static_cast<uint32_t>(best.size()));
  Append(heads, best_base);
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
