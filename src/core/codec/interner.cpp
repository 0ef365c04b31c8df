#include "core/codec/interner.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "tsext/bytes.hpp"

namespace tsext {

namespace {

constexpr uint32_t kUnused = UINT32_MAX;

bool Equal(ByteView left, ByteView right) noexcept {
  return left.size == right.size && (left.size == 0 || left.data == right.data ||
                                     std::memcmp(left.data, right.data, left.size) == 0);
}

uint64_t Mix(uint64_t left, uint64_t right) noexcept {
  const unsigned __int128 product = static_cast<unsigned __int128>(left) * right;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

/// Eight bytes a step, the last step overlapping the one before; no protection against chosen
/// collisions, which only cost time (bounded by max_distinct probes a value).
uint64_t Hash(ByteView value) noexcept {
  constexpr uint64_t kFirst = 0xA0761D6478BD642Fu, kSecond = 0xE7037ED1A0B428DBu;
  uint64_t hash = kFirst ^ value.size;
  if (value.size < 8) {
    uint64_t word = 0;
    if (value.size != 0) std::memcpy(&word, value.data, value.size);
    return Mix(hash ^ word, kSecond);
  }
  uint32_t at = 0;
  for (; at + 8 < value.size; at += 8)
    hash = Mix(hash ^ LoadUnaligned<uint64_t>(value.data + at), kSecond);
  return Mix(hash ^ LoadUnaligned<uint64_t>(value.data + value.size - 8), kSecond);
}

/// Brings `distinct` into memcmp order, drops equal entries, and maps `codes` to the new places.
void SortDistinct(InternedColumn &column) {
  std::pmr::memory_resource *memory = column.distinct.get_allocator().resource();
  const uint32_t count = static_cast<uint32_t>(column.distinct.size());
  std::pmr::vector<uint32_t> order(count, memory);
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t left, uint32_t right) {
    return CompareBytes(column.distinct[left], column.distinct[right]) < 0;
  });
  std::pmr::vector<ByteView> sorted(memory);
  sorted.reserve(count);
  std::pmr::vector<uint32_t> place(count, memory);
  for (uint32_t entry : order) {
    if (sorted.empty() || !Equal(sorted.back(), column.distinct[entry]))
      sorted.push_back(column.distinct[entry]);
    place[entry] = static_cast<uint32_t>(sorted.size() - 1);
  }
  for (uint32_t &code : column.codes) code = place[code];
  column.distinct = std::move(sorted);
}

}  // namespace

uint32_t DistinctCounter::Estimate(uint32_t values) const noexcept {
  uint32_t marked = 0;
  for (uint64_t word : bits_) marked += static_cast<uint32_t>(std::popcount(word));
  if (values == 0 || marked == 0) return 0;
  if (marked == kBits) return values;
  const double estimate = kBits * std::log(double{kBits} / (kBits - marked));
  return std::clamp(static_cast<uint32_t>(std::llround(estimate)), 1u, values);
}

int CompareBytes(ByteView left, ByteView right) noexcept {
  const uint32_t common = std::min(left.size, right.size);
  const int order = common == 0 ? 0 : std::memcmp(left.data, right.data, common);
  if (order != 0) return order;
  return left.size < right.size ? -1 : left.size > right.size ? 1 : 0;
}

bool Intern(std::span<const ByteView> values, uint32_t max_distinct, InternedColumn &out,
            DistinctCounter *counter) {
  struct Slot {
    uint64_t hash;
    uint32_t code;
  };
  const size_t slot_count = std::bit_ceil(size_t{max_distinct} * 2 + 2);
  std::pmr::vector<Slot> slots(slot_count, Slot{0, kUnused}, out.codes.get_allocator());
  out.distinct.clear();
  out.codes.clear();
  out.codes.reserve(values.size());
  size_t row = 0;
  for (; row < values.size(); row++) {
    const ByteView &value = values[row];
    if (row > 0 && Equal(value, values[row - 1])) {
      out.codes.push_back(out.codes.back());
      continue;
    }
    const uint64_t hash = Hash(value);
    if (counter != nullptr) counter->Add(hash);
    size_t at = hash & (slot_count - 1);
    while (slots[at].code != kUnused &&
           !(slots[at].hash == hash && Equal(out.distinct[slots[at].code], value)))
      at = (at + 1) & (slot_count - 1);
    if (slots[at].code == kUnused) {
      if (out.distinct.size() == max_distinct) break;
      slots[at] = {hash, static_cast<uint32_t>(out.distinct.size())};
      out.distinct.push_back(value);
    }
    out.codes.push_back(slots[at].code);
  }
  if (row < values.size()) {
    for (; counter != nullptr && row < values.size(); row++) counter->Add(Hash(values[row]));
    return false;
  }
  SortDistinct(out);
  return true;
}

bool InternCodes(std::span<const uint32_t> codes, std::span<const ByteView> dictionary,
                 uint32_t max_distinct, InternedColumn &out, uint32_t &distinct_count) {
  std::pmr::vector<uint32_t> place(dictionary.size(), kUnused, out.codes.get_allocator());
  out.distinct.clear();
  out.codes.resize(codes.size());
  for (size_t row = 0; row < codes.size(); row++) {
    uint32_t &code = place[codes[row]];
    if (code == kUnused) {
      code = static_cast<uint32_t>(out.distinct.size());
      out.distinct.push_back(dictionary[codes[row]]);
    }
    out.codes[row] = code;
  }
  SortDistinct(out);
  distinct_count = static_cast<uint32_t>(out.distinct.size());
  return distinct_count <= max_distinct;
}

}  // namespace tsext
