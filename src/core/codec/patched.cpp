#include "core/codec/patched.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "core/codec/bit_stream.hpp"
#include "core/codec/kernel_table.hpp"
#include "core/vector/vector_kernels.hpp"

namespace tsext {

namespace {

constexpr size_t kPositionBits = 8;
constexpr size_t kExceptionHeadBits = 24;
constexpr unsigned kBucketBits = 8;
constexpr uint32_t kBuckets = 1U << kBucketBits;
/// Windows are placed to a quarter of their size or better.
constexpr unsigned kPlacementBits = 2;
/// Decoding differences takes longer than decoding codes: they must save this much, or a quarter of
/// a bit a value.
constexpr size_t kDeltaBiasPercent = 10;

/// Cumulated counts of values by bucket of 2^shift from `low` on; others are not counted.
struct Histogram {
  std::array<int16_t, kBuckets + 1> before;

  Histogram(std::span<const int64_t> values, uint64_t low, unsigned shift) noexcept {
    // Four counters a bucket: equal neighbours would otherwise wait for each other's store.
    std::array<std::array<uint16_t, kBuckets + 1>, 4> counts{};
    size_t i = 0;
    const auto bucket = [&](size_t at) {
      return std::min<uint64_t>((static_cast<uint64_t>(values[at]) - low) >> shift, kBuckets);
    };
    for (; i + 4 <= values.size(); i += 4) {
      counts[0][bucket(i)]++;
      counts[1][bucket(i + 1)]++;
      counts[2][bucket(i + 2)]++;
      counts[3][bucket(i + 3)]++;
    }
    for (; i < values.size(); i++) counts[0][bucket(i)]++;
    int sum = 0;
    before[0] = 0;
    for (uint32_t b = 0; b < kBuckets; b++) {
      sum += counts[0][b] + counts[1][b] + counts[2][b] + counts[3][b];
      before[b + 1] = static_cast<int16_t>(sum);
    }
  }

  /// The largest number of values in `size` adjacent buckets.
  uint32_t MostIn(uint32_t size) const noexcept {
    int16_t most = 0;
    for (uint32_t b = 0; b + size <= kBuckets; b++) {
      const auto count = static_cast<int16_t>(before[b + size] - before[b]);
      most = count > most ? count : most;
    }
    return static_cast<uint32_t>(most);
  }
  /// The middle one of the first run of places where `size` buckets hold `count` values.
  uint32_t PlaceOf(uint32_t count, uint32_t size) const noexcept {
    uint32_t first = 0;
    while (static_cast<uint32_t>(before[first + size] - before[first]) != count) first++;
    return first;
  }
};

unsigned HighWidth(uint64_t value, uint64_t base, unsigned width) noexcept {
  if (width >= 64) return 0;
  const auto high = static_cast<uint64_t>(static_cast<int64_t>(value - base) >> width);
  return static_cast<unsigned>(std::bit_width(ZigZag(high)));
}

}  // namespace

Window ChooseWindow(std::span<const int64_t> values, int64_t min, int64_t max) noexcept {
  const auto rows = static_cast<uint32_t>(values.size());
  const uint64_t range = static_cast<uint64_t>(max) - static_cast<uint64_t>(min);
  const auto full_width = static_cast<unsigned>(std::bit_width(range));
  Window best{.base = static_cast<uint64_t>(min),
              .width = full_width,
              .cost_bits = PackedSize(rows, full_width) * 8};
  uint64_t low = static_cast<uint64_t>(min);
  unsigned region_width = full_width;
  while (region_width > 0) {
    const unsigned shift = region_width > kBucketBits ? region_width - kBucketBits : 0;
    const unsigned narrowest = shift == 0 ? 0 : shift + kPlacementBits;
    const Histogram histogram(values, low, shift);
    uint64_t narrowest_base = low;
    size_t narrowest_patches = 0;
    for (unsigned width = region_width; width-- > narrowest;) {
      const uint32_t buckets = 1U << (width - shift);
      const uint32_t inside = histogram.MostIn(buckets);
      const uint32_t outside = rows - inside;
      const size_t least =
          PackedSize(rows, width) * 8 + outside * (kPositionBits + 1) + kExceptionHeadBits;
      narrowest_patches = outside * (kPositionBits + 1);
      if (least >= best.cost_bits && width != narrowest) {
        if (narrowest_patches >= best.cost_bits) break;
        continue;
      }
      const uint64_t base = low + (uint64_t{histogram.PlaceOf(inside, buckets)} << shift);
      narrowest_base = base;
      const unsigned high_width = std::max(HighWidth(static_cast<uint64_t>(min), base, width),
                                           HighWidth(static_cast<uint64_t>(max), base, width));
      const size_t cost = PackedSize(rows, width) * 8 + outside * (kPositionBits + high_width) +
                          (outside > 0 ? kExceptionHeadBits : 0);
      if (cost < best.cost_bits) {
        best = {.base = base, .width = width, .exception_count = outside, .cost_bits = cost};
      }
    }
    // A narrower window leaves even more values outside.
    if (shift == 0 || narrowest_patches >= best.cost_bits) break;
    low = narrowest_base;
    region_width = narrowest;
  }
  return best;
}

VectorPlan PlanVector(const int64_t *values, uint32_t rows) noexcept {
  const KernelTable &kernels = Kernels();
  int64_t min;
  int64_t max;
  kernels.minmax(values, &min, &max);
  const Window window = ChooseWindow({values, rows}, min, max);
  VectorPlan plan{.width = window.width,
                  .base = window.base,
                  .min = static_cast<uint64_t>(min),
                  .max = static_cast<uint64_t>(max),
                  .cost_bits = window.cost_bits};
  if (rows < 2 || min == max) return plan;

  // Padding would count as differences of 0: take the real ones only for the extremes, too.
  alignas(64) int64_t deltas[kVectorSize];
  int64_t delta_min;
  int64_t delta_max;
  kernels.delta_minmax(values, deltas, &delta_min, &delta_max);
  if (rows < kVectorSize) {
    const auto [low, high] = std::minmax_element(deltas, deltas + rows);
    delta_min = *low;
    delta_max = *high;
  }
  const Window delta = ChooseWindow({deltas + 1, rows - 1}, delta_min, delta_max);
  const size_t bias = std::min<size_t>(window.cost_bits * kDeltaBiasPercent / 100, rows / 4);
  if (delta.cost_bits + bias < window.cost_bits) {
    plan.delta = true;
    plan.width = delta.width;
    plan.base = static_cast<uint64_t>(values[0]);
    plan.delta_base = delta.base;
    plan.cost_bits = delta.cost_bits;
  }
  return plan;
}

namespace {

void AppendExceptions(ByteBuffer &out, const uint64_t *values, uint32_t rows, uint64_t base,
                      unsigned width) {
  if (width >= 64) return;
  uint16_t positions[kVectorSize];
  uint64_t highs[kVectorSize];
  uint32_t count = 0;
  for (uint32_t i = 0; i < rows; i++) {
    positions[count] = static_cast<uint16_t>(i);
    highs[count] = values[i] - base;
    count += (highs[count] >> width) != 0 ? 1U : 0U;
  }
  if (count == 0) return;
  uint64_t all = 0;
  for (uint32_t i = 0; i < count; i++) {
    highs[i] = ZigZag(static_cast<uint64_t>(static_cast<int64_t>(highs[i]) >> width));
    all |= highs[i];
  }
  const auto high_width = static_cast<unsigned>(std::bit_width(all));
  size_t position_bytes;
  const PositionForm form = ChoosePositionForm({positions, count}, rows, position_bytes);
  Append(out, static_cast<uint16_t>(count));
  Append(out, static_cast<uint8_t>(high_width | (form == PositionForm::kBitmap ? 0x80U : 0U)));
  AppendPositions(out, {positions, count}, rows, form);
  AppendBits(out, {highs, count}, high_width);
}

}  // namespace

void AppendVector(ByteBuffer &out, const int64_t *values, uint32_t rows, VectorPlan &plan) {
  alignas(64) uint64_t codes[kVectorSize];
  const auto *source = reinterpret_cast<const uint64_t *>(values);
  uint64_t base = plan.base;
  if (plan.delta) {
    base = plan.delta_base;
    codes[0] = base;  // the first value is in the directory
    for (uint32_t i = 1; i < kVectorSize; i++) codes[i] = source[i] - source[i - 1];
    for (uint32_t i = rows; i < kVectorSize; i++) codes[i] = base;
    source = codes;
  }
  const size_t begin = out.size();
  const size_t packed_size = PackedSize(rows, plan.width);
  if (rows == kVectorSize) {
    out.resize(begin + packed_size);
    Kernels().pack[plan.width](source, base, out.data() + begin);
  } else {
    alignas(64) std::byte packed[kVectorSize * sizeof(uint64_t)];
    Kernels().pack[plan.width](source, base, packed);
    AppendBytes(out, {packed, packed_size});
  }
  const size_t exceptions_begin = out.size();
  AppendExceptions(out, source, rows, base, plan.width);
  plan.exception_bytes = out.size() - exceptions_begin;
}

Status ReadPatches(const PackedVector &vector, Patches &patches) noexcept {
  ByteReader reader(vector.exceptions);
  uint16_t count;
  uint8_t form;
  if (vector.width >= 64 || !reader.Read(count) || !reader.Read(form) || count == 0 ||
      count > vector.rows || (form & 0x7F) > 64) {
    return Status::Corrupt("the exceptions of a vector have a wrong head");
  }
  patches.count = count;
  const unsigned high_width = form & 0x7F;
  const PositionForm position_form =
      (form & 0x80) != 0 ? PositionForm::kBitmap : PositionForm::kGaps;
  if (!ReadPositions(reader, position_form, vector.rows, {patches.positions, count}))
    return Status::Corrupt("the exceptions of a vector have wrong positions");
  ByteSpan highs;
  if (!reader.ReadBytes(BitsSize(count, high_width), highs) || reader.remaining() != 0)
    return Status::Corrupt("the exceptions of a vector have a wrong length");
  ReadAllBits(highs, count, high_width, patches.highs);
  for (uint32_t i = 0; i < count; i++) patches.highs[i] = UnZigZag(patches.highs[i]);
  return Status::Ok();
}

const std::byte *WholeWords(const PackedVector &vector, std::byte *buffer) noexcept {
  const size_t whole = PackedSize(kVectorSize, vector.width);
  if (vector.words.size() >= whole) return vector.words.data();
  if (!vector.words.empty()) std::memcpy(buffer, vector.words.data(), vector.words.size());
  std::memset(buffer + vector.words.size(), 0, whole - vector.words.size());
  return buffer;
}

uint64_t SingleCode(const PackedVector &vector, uint32_t row) noexcept {
  const unsigned width = vector.width;
  if (width == 0) return 0;
  const uint32_t lanes = width <= 32 ? 32 : 16;
  const unsigned word_bits = 1024 / lanes;
  const unsigned bit = row / lanes * width;
  const auto word = [&](unsigned index) {
    const size_t at = (size_t{index} * lanes + row % lanes) * (word_bits / 8);
    return word_bits == 32 ? uint64_t{LoadUnaligned<uint32_t>(vector.words.data() + at)}
                           : LoadUnaligned<uint64_t>(vector.words.data() + at);
  };
  const unsigned shift = bit % word_bits;
  uint64_t code = word(bit / word_bits) >> shift;
  if (shift + width > word_bits) code |= word(bit / word_bits + 1) << (word_bits - shift);
  return code & LowBits(width);
}

namespace {

/// The least and greatest high part; 0 is among them.
struct HighRange {
  int64_t min = 0;
  int64_t max = 0;

  explicit HighRange(const Patches &patches) noexcept {
    for (uint32_t i = 0; i < patches.count; i++) {
      const auto high = static_cast<int64_t>(patches.highs[i]);
      min = std::min(min, high);
      max = std::max(max, high);
    }
  }
};

/// Unpacks codes in 32-bit lanes and adds their high parts modulo 2^32.
void UnpackPatched(const PackedVector &vector, const std::byte *words, const Patches &patches,
                   uint32_t *codes) noexcept {
  Kernels().unpack[vector.width](words, codes);
  for (uint32_t i = 0; i < patches.count; i++)
    codes[patches.positions[i]] += static_cast<uint32_t>(patches.highs[i] << vector.width);
}

/// Differences within this add up to less than 2^31 over a vector.
constexpr int64_t kMaxSummedStep = (int64_t{1} << 31) / kVectorSize - 1;

/// True when the sums of a vector's differences fit 32 bits with a sign.
bool SumsFit(const PackedVector &vector, const HighRange &highs) noexcept {
  const auto base = static_cast<int64_t>(vector.delta_base);
  if (vector.width > 20 || base < -kMaxSummedStep || base > kMaxSummedStep ||
      highs.min < -kMaxSummedStep || highs.max > kMaxSummedStep)
    return false;
  const int64_t code_end = int64_t{1} << vector.width;
  return base + highs.min * code_end >= -kMaxSummedStep &&
         base + highs.max * code_end + code_end - 1 <= kMaxSummedStep;
}

void DecodeSums(const PackedVector &vector, const std::byte *words, const Patches &patches,
                uint32_t *sums) noexcept {
  UnpackPatched(vector, words, patches, sums);
  CurrentVectorKernels().sum_steps(sums, static_cast<uint32_t>(vector.delta_base));
}

/// Decodes differences in 32-bit lanes; false when the patched codes need more.
bool DecodeNarrowDelta(const PackedVector &vector, const std::byte *words, const Patches &patches,
                       uint64_t *out) noexcept {
  if (vector.width > kMaxLane32Width) return false;
  alignas(64) uint32_t codes[kVectorSize];
  const HighRange highs(patches);
  if (SumsFit(vector, highs)) {
    DecodeSums(vector, words, patches, codes);
    Kernels().widen(codes, vector.base, out);
    return true;
  }
  // Codes count from the lowest patched one: none is negative then.
  const uint64_t range = static_cast<uint64_t>(highs.max) - static_cast<uint64_t>(highs.min);
  if (range >= uint64_t{1} << (kMaxLane32Width - vector.width)) return false;
  UnpackPatched(vector, words, patches, codes);
  const uint64_t shift = (uint64_t{0} - static_cast<uint64_t>(highs.min)) << vector.width;
  if (shift != 0)
    for (uint32_t &code : codes) code += static_cast<uint32_t>(shift);
  Kernels().delta_sum(codes, vector.base, vector.delta_base - shift, out);
  return true;
}

}  // namespace

Status DecodeDeltaSums(const PackedVector &vector, uint32_t *sums, bool &fits) noexcept {
  fits = false;
  if (!vector.delta || vector.width > kMaxLane32Width) return Status::Ok();
  Patches patches;
  if (!vector.exceptions.empty()) TSEXT_RETURN_IF_ERROR(ReadPatches(vector, patches));
  if (!SumsFit(vector, HighRange(patches))) return Status::Ok();
  alignas(64) std::byte buffer[kVectorSize * sizeof(uint64_t)];
  DecodeSums(vector, WholeWords(vector, buffer), patches, sums);
  fits = true;
  return Status::Ok();
}

Status DecodeVector(const PackedVector &vector, int64_t *out) noexcept {
  const KernelTable &kernels = Kernels();
  alignas(64) std::byte buffer[kVectorSize * sizeof(uint64_t)];
  const std::byte *words = WholeWords(vector, buffer);
  auto *values = reinterpret_cast<uint64_t *>(out);
  Patches patches;
  if (!vector.exceptions.empty()) TSEXT_RETURN_IF_ERROR(ReadPatches(vector, patches));
  if (vector.delta && DecodeNarrowDelta(vector, words, patches, values)) return Status::Ok();

  kernels.unpack_for[vector.width](words, vector.delta ? vector.delta_base : vector.base, values);
  for (uint32_t i = 0; i < patches.count; i++)
    values[patches.positions[i]] += patches.highs[i] << vector.width;
  if (vector.delta) {
    values[0] = vector.base;
    kernels.running_sum(values);
  }
  return Status::Ok();
}

}  // namespace tsext
