// Segments from hostile bytes, with checksums put right so that the decoders see them.
//
// Input that begins with the segment's mark is a whole segment (the files in test/golden are
// seeds); other input is one block: u8 type, u16 rows, u8 width, the block's bytes.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <memory_resource>
#include <vector>

#include "tsext/crc32c.hpp"
#include "tsext/segment.hpp"

#include "core/codec/bytes_codec.hpp"
#include "core/segment/segment_format.hpp"
#include "core/segment/varint.hpp"

namespace tsext {
namespace {

/// Reads what a vector shows (long values: both ends), so that a sanitizer sees what lies outside.
uint64_t Touch(const Vector &vector) {
  uint64_t sum = 0;
  for (uint32_t row = 0; row < vector.count; row++) {
    if (vector.IsNull(row)) continue;
    if (IsInteger(vector.type)) sum += static_cast<uint64_t>(vector.integers[row]);
    if (IsBytes(vector.type)) {
      const ByteView value = vector.bytes[row];
      for (uint32_t i = 0; i < std::min(value.size, 32u); i++)
        sum = sum * 31 + static_cast<uint64_t>(value.data[i]) +
              static_cast<uint64_t>(value.data[value.size - 1 - i]);
    }
  }
  return sum;
}

/// Reads a vector as codes; they must lead to the values that Read gives.
void CheckCodes(BlockReader &reader, uint32_t index, const Vector &vector) {
  static CodeVector *codes = new CodeVector;
  const std::span<const ByteView> dictionary = reader.Dictionary();
  const bool ok = reader.ReadCodes(index, *codes).ok();
  if (ok == dictionary.empty() || (ok && codes->count != vector.count)) std::abort();
  for (uint32_t row = 0; ok && row < codes->count; row++) {
    const uint32_t code = codes->codes[row];
    if (code >= dictionary.size() || codes->IsNull(row) != vector.IsNull(row)) std::abort();
    const ByteView value = vector.IsNull(row) ? ByteView{} : dictionary[code];
    if (value.data != vector.bytes[row].data || value.size != vector.bytes[row].size) std::abort();
    if (vector.IsNull(row) && code != 0) std::abort();
  }
}

/// Runs, where there are any, must say what Read does.
void CheckRuns(BlockReader &reader, uint32_t rows, Vector &vector) {
  std::pmr::vector<ValueRun> runs;
  const bool ok = reader.ReadRuns(runs).ok();
  if (!ok || runs.empty()) return;
  const std::span<const ByteView> dictionary = reader.Dictionary();
  if (runs[0].begin != 0) std::abort();
  for (size_t i = 0; i < runs.size(); i++) {
    const uint32_t end = i + 1 < runs.size() ? runs[i + 1].begin : rows;
    if (runs[i].begin >= end || end > rows) std::abort();
    for (const uint32_t row : {runs[i].begin, end - 1}) {
      if (!reader.Read(row / kVectorSize, vector).ok()) return;
      const uint32_t at = row % kVectorSize;
      if (vector.IsNull(at)) std::abort();
      if (dictionary.empty()
              ? vector.integers[at] != runs[i].value
              : vector.bytes[at].data != dictionary[static_cast<size_t>(runs[i].value)].data)
        std::abort();
    }
  }
}

void ReadBlock(const SegmentHead &head, uint32_t column, ByteSpan block) {
  std::pmr::memory_resource *memory = std::pmr::get_default_resource();
  static Vector *vector = new Vector(std::pmr::get_default_resource());
  BlockReader reader(memory);
  const_cast<ColumnFooter &>(head.columns()[column]).checksum = Crc32c(block);
  if (!reader.Open(head, column, block).ok()) return;
  for (uint32_t v = 0; v < head.vector_count(); v++) {
    if (!reader.Read(v, *vector).ok()) {
      static CodeVector *codes = new CodeVector;
      if (reader.ReadCodes(v, *codes).ok()) std::abort();
      continue;
    }
    CheckCodes(reader, v, *vector);
    const uint64_t sum = Touch(*vector);
    // A second read gives the same.
    if (!reader.Read(v, *vector).ok() || Touch(*vector) != sum) std::abort();
  }
  CheckRuns(reader, head.row_count(), *vector);
}

void FuzzSegment(ByteSpan input) {
  if (input.size() < sizeof(SegmentPrefix)) return;
  std::vector<std::byte> bytes(input.begin(), input.end());
  SegmentPrefix prefix;
  std::memcpy(&prefix, bytes.data(), sizeof prefix);
  prefix.head_size = std::clamp(prefix.head_size, static_cast<uint32_t>(sizeof prefix),
                                static_cast<uint32_t>(bytes.size()));
  prefix.body_checksum =
      Crc32c(ByteSpan(bytes).subspan(sizeof prefix, prefix.head_size - sizeof prefix));
  std::memcpy(bytes.data(), &prefix, sizeof prefix);
  prefix.prefix_checksum = Crc32c(ByteSpan(bytes).first(offsetof(SegmentPrefix, prefix_checksum)));
  std::memcpy(bytes.data(), &prefix, sizeof prefix);

  SegmentHead head(std::pmr::get_default_resource());
  if (!head.Parse(ByteSpan(bytes).first(prefix.head_size)).ok()) return;
  for (uint32_t c = 0; c < std::min<size_t>(head.columns().size(), 64); c++) {
    const ColumnFooter &footer = head.columns()[c];
    if (footer.offset > bytes.size() || footer.length > bytes.size() - footer.offset) return;
    // A copy of exactly the block's size, so that a sanitizer sees reads past its end.
    const std::vector<std::byte> block(
        bytes.begin() + static_cast<ptrdiff_t>(footer.offset),
        bytes.begin() + static_cast<ptrdiff_t>(footer.offset + footer.length));
    ReadBlock(head, c, block);
  }
}

/// The head of a segment of one column without statistics.
ByteBuffer MakeHead(PhysicalType type, uint32_t width, uint32_t row_count, uint32_t length) {
  ByteBuffer body;
  const auto section = [&](SectionType section_type, const ByteBuffer &bytes) {
    Append(body, section_type);
    Append(body, uint16_t{0});
    Append(body, static_cast<uint32_t>(bytes.size()));
    AppendBytes(body, bytes);
  };
  ByteBuffer table, columns;
  Append(table, int16_t{1});
  Append(table, int16_t{0});
  Append(table, uint16_t{1});
  Append(table, uint16_t{0});
  Append(table, int64_t{0});
  Append(table, int64_t{0});
  Append(columns, int16_t{1});
  Append(columns, type);
  Append(columns, uint8_t{0});
  Append(columns, static_cast<uint16_t>(width));
  Append(columns, length);
  Append(columns, uint32_t{0});
  AppendVarint(columns, 0);
  AppendVarint(columns, 0);
  section(SectionType::kTable, table);
  section(SectionType::kColumns, columns);
  section(SectionType::kStatistics, {});
  section(SectionType::kZoneMaps, {});

  SegmentPrefix prefix;
  prefix.level = static_cast<uint8_t>(Level::kHot);
  prefix.head_size = static_cast<uint32_t>(sizeof prefix + body.size());
  prefix.body_size = static_cast<uint32_t>(body.size());
  prefix.row_count = row_count;
  prefix.body_checksum = Crc32c(body);
  ByteBuffer out(sizeof prefix);
  std::memcpy(out.data(), &prefix, sizeof prefix);
  prefix.prefix_checksum = Crc32c(ByteSpan(out).first(offsetof(SegmentPrefix, prefix_checksum)));
  std::memcpy(out.data(), &prefix, sizeof prefix);
  AppendBytes(out, body);
  return out;
}

void FuzzBlock(ByteSpan input) {
  ByteReader reader(input);
  uint8_t type_byte = 0, width_byte = 0;
  uint16_t rows = 0;
  ByteSpan rest;
  if (!reader.Read(type_byte) || !reader.Read(rows) || !reader.Read(width_byte) ||
      !reader.ReadBytes(reader.remaining(), rest) || rest.size() < kBlockHeadSize)
    return;
  const PhysicalType type = static_cast<PhysicalType>(type_byte % 12 + 1);
  const uint32_t width = type == PhysicalType::kUuid    ? kUuidWidth
                         : type == PhysicalType::kFixed ? width_byte % 100 + 1u
                                                        : 0;
  const uint32_t row_count = rows % kMaxSegmentRows + 1;
  SegmentHead head(std::pmr::get_default_resource());
  if (!head.Parse(MakeHead(type, width, row_count, static_cast<uint32_t>(rest.size()))).ok())
    std::abort();
  const std::vector<std::byte> block(rest.begin(), rest.end());
  ReadBlock(head, 0, block);
}

}  // namespace
}  // namespace tsext

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const tsext::ByteSpan input = std::as_bytes(std::span(data, size));
  tsext::ByteReader reader(input);
  uint32_t magic = 0;
  if (reader.Read(magic) && magic == tsext::kSegmentMagic)
    tsext::FuzzSegment(input);
  else
    tsext::FuzzBlock(input);
  return 0;
}
