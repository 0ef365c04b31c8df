#include "core/segment/null_section.hpp"

#include <algorithm>
#include <bit>

namespace tsext {

namespace {

constexpr uint32_t BitmapSize(uint32_t rows) noexcept {
  return (rows + 7) / 8;
}

/// Number of positions stored for a vector; 0 = it stores a bitmap (or nothing).
constexpr uint32_t PositionCount(uint32_t rows, uint32_t null_count) noexcept {
  const uint32_t rarer = std::min(null_count, rows - null_count);
  return rarer * sizeof(uint16_t) < BitmapSize(rows) ? rarer : 0;
}

constexpr bool IsMixed(uint32_t rows, uint32_t null_count) noexcept {
  return null_count != 0 && null_count != rows;
}

/// Sets the first `rows` bits and clears the others.
void SetFirst(uint32_t rows, NullWords &words) noexcept {
  for (uint32_t i = 0; i < words.size(); i++) {
    const uint32_t from = i * 64;
    words[i] = from >= rows        ? 0
               : rows - from >= 64 ? ~uint64_t{0}
                                   : (uint64_t{1} << (rows - from)) - 1;
  }
}

}  // namespace

void AppendNullSection(const uint64_t *nulls, uint32_t row_count, ByteBuffer &out) {
  const uint32_t vectors = (row_count + kVectorSize - 1) / kVectorSize;
  const size_t counts = out.size();
  out.resize(counts + vectors * sizeof(uint16_t));
  for (uint32_t v = 0; v < vectors; v++) {
    const uint32_t rows = std::min(kVectorSize, row_count - v * kVectorSize);
    const uint64_t *words = nulls + v * (kVectorSize / 64);
    uint32_t null_count = 0;
    for (uint32_t i = 0; i < (rows + 63) / 64; i++)
      null_count += static_cast<uint32_t>(std::popcount(words[i]));
    const uint16_t stored = static_cast<uint16_t>(null_count);
    std::memcpy(out.data() + counts + v * sizeof stored, &stored, sizeof stored);
    if (!IsMixed(rows, null_count)) continue;
    if (PositionCount(rows, null_count) == 0) {
      AppendBytes(out, {reinterpret_cast<const std::byte *>(words), BitmapSize(rows)});
      continue;
    }
    const bool list_nulls = null_count <= rows - null_count;
    for (uint32_t row = 0; row < rows; row++) {
      const bool is_null = ((words[row / 64] >> (row % 64)) & 1) != 0;
      if (is_null == list_nulls) Append(out, static_cast<uint16_t>(row));
    }
  }
}

Status NullSection::Open(ByteSpan bytes, uint32_t row_count) noexcept {
  const uint32_t vectors = (row_count + kVectorSize - 1) / kVectorSize;
  bytes_ = bytes;
  total_ = 0;
  size_t at = vectors * sizeof(uint16_t);
  if (vectors > kMaxVectorsPerSegment || bytes.size() < at)
    return Status::Corrupt("the null section is too short");
  uint32_t rank = 0;
  for (uint32_t v = 0; v < vectors; v++) {
    Entry &entry = entries_[v];
    const uint32_t rows = std::min(kVectorSize, row_count - v * kVectorSize);
    entry.rows = static_cast<uint16_t>(rows);
    entry.null_count = LoadUnaligned<uint16_t>(bytes.data() + v * sizeof(uint16_t));
    entry.rank = rank;
    entry.offset = static_cast<uint32_t>(at);
    if (entry.null_count > rows) return Status::Corrupt("a null count is out of range");
    total_ += entry.null_count;
    rank += rows - entry.null_count;
    if (!IsMixed(rows, entry.null_count)) continue;

    const uint32_t positions = PositionCount(rows, entry.null_count);
    const size_t size = positions != 0 ? positions * sizeof(uint16_t) : BitmapSize(rows);
    if (bytes.size() - at < size) return Status::Corrupt("the null section is too short");
    if (positions != 0) {
      uint32_t least = 0;
      for (uint32_t i = 0; i < positions; i++) {
        const uint32_t row = LoadUnaligned<uint16_t>(bytes.data() + at + i * sizeof(uint16_t));
        if (row < least || row >= rows) return Status::Corrupt("a null position is out of range");
        least = row + 1;
      }
    } else {
      NullWords words;
      Read(v, words);
      uint32_t found = 0;
      for (uint64_t word : words) found += static_cast<uint32_t>(std::popcount(word));
      NullWords all;
      SetFirst(rows, all);
      bool inside = true;
      for (uint32_t i = 0; i < words.size(); i++) inside = inside && (words[i] & ~all[i]) == 0;
      if (found != entry.null_count || !inside)
        return Status::Corrupt("a null bitmap does not match its count");
    }
    at += size;
  }
  if (at != bytes.size()) return Status::Corrupt("the null section is too long");
  return Status::Ok();
}

void NullSection::Read(uint32_t index, NullWords &words) const noexcept {
  const Entry &entry = entries_[index];
  if (!IsMixed(entry.rows, entry.null_count)) {
    SetFirst(entry.null_count, words);
    return;
  }
  const std::byte *from = bytes_.data() + entry.offset;
  const uint32_t positions = PositionCount(entry.rows, entry.null_count);
  if (positions == 0) {
    words.fill(0);
    std::memcpy(words.data(), from, BitmapSize(entry.rows));
    return;
  }
  const bool list_nulls = entry.null_count <= entry.rows - entry.null_count;
  SetFirst(list_nulls ? 0 : entry.rows, words);
  for (uint32_t i = 0; i < positions; i++) {
    const uint32_t row = LoadUnaligned<uint16_t>(from + i * sizeof(uint16_t));
    words[row / 64] ^= uint64_t{1} << (row % 64);
  }
}

}  // namespace tsext
