// Columns to bytes: checks the input, writes the blocks, then the head in front of them.

#include <algorithm>
#include <bit>
#include <vector>

#include "tsext/crc32c.hpp"
#include "tsext/float_codec.hpp"
#include "tsext/integer_codec.hpp"
#include "tsext/segment.hpp"

#include "core/codec/bytes_codec.hpp"
#include "core/codec/compressed_bytes.hpp"
#include "core/segment/block_writer.hpp"
#include "core/segment/column_statistics.hpp"
#include "core/segment/segment_format.hpp"
#include "core/segment/varint.hpp"

namespace tsext {

namespace {

using Summaries = std::pmr::vector<ColumnSummary>;

const SegmentColumn *FindColumn(const SegmentInput &input, int16_t attribute) noexcept {
  for (const SegmentColumn &column : input.columns)
    if (column.attribute == attribute) return &column;
  return nullptr;
}

Status CheckWidth(const ColumnView &column) {
  const bool is_valid = column.type == PhysicalType::kUuid ? column.width == kUuidWidth
                        : column.type == PhysicalType::kFixed
                            ? column.width >= 1 && column.width <= kMaxFixedWidth
                            : column.width == 0;
  return is_valid ? Status::Ok() : Status::Invalid("a column's width does not fit its type");
}

/// Fixed-length values must be so long.
Status CheckSizes(const ColumnView &column) {
  if (column.width == 0) return Status::Ok();
  bool fits = true;
  if (column.dictionary.empty()) {
    for (uint32_t row = 0; row < column.count; row++)
      fits = fits && (column.bytes[row].size == column.width || column.IsNull(row));
  } else {
    for (uint32_t row = 0; row < column.count; row++)
      fits =
          fits && (column.IsNull(row) || column.dictionary[column.codes[row]].size == column.width);
  }
  return fits ? Status::Ok() : Status::Invalid("a value's size is not its column's width");
}

bool IsAllNull(const ColumnView &column) noexcept {
  for (uint32_t row = 0; row < column.count; row++)
    if (!column.IsNull(row)) return false;
  return true;
}

Status CheckColumn(const ColumnView &column, uint32_t row_count) {
  if (!IsKnown(column.type)) return Status::Invalid("a column's type is unknown");
  if (column.count != row_count) return Status::Invalid("the columns have different row counts");
  TSEXT_RETURN_IF_ERROR(CheckWidth(column));
  if (column.nulls != nullptr && row_count % 64 != 0 &&
      (column.nulls[row_count / 64] >> (row_count % 64)) != 0)
    return Status::Invalid("a null bitmap has bits past the last row");

  // Nobody looks at the values of NULLs; a caller that interns has an empty dictionary then.
  if (IsAllNull(column)) return Status::Ok();
  size_t values = 0;
  if (IsInteger(column.type))
    values = column.integers.size();
  else if (column.type == PhysicalType::kFloat64)
    values = column.doubles.size();
  else if (column.type == PhysicalType::kFloat32)
    values = column.floats.size();
  else
    values = column.dictionary.empty() ? column.bytes.size() : column.codes.size();
  if (values != row_count) return Status::Invalid("a column's values do not match its row count");
  if (IsBytes(column.type) && !column.dictionary.empty()) {
    for (uint32_t row = 0; row < row_count; row++)
      if (column.codes[row] >= column.dictionary.size() && !column.IsNull(row))
        return Status::Invalid("a code lies outside the dictionary");
  }
  return CheckSizes(column);
}

Status CheckInput(const SegmentInput &input) {
  if (input.columns.empty()) return Status::Invalid("a segment needs a column");
  const uint32_t row_count = input.columns[0].values.count;
  if (row_count == 0 || row_count > kMaxSegmentRows)
    return Status::Invalid("a segment's row count is out of range");
  if (input.level != Level::kHot && input.level != Level::kCold)
    return Status::Invalid("a segment's level is unknown");
  if (input.attribute_count < 1 || input.attribute_count > kMaxAttributes)
    return Status::Invalid("a segment's attribute count is out of range");
  int16_t last = 0;
  for (const SegmentColumn &column : input.columns) {
    if (column.attribute <= last || column.attribute > input.attribute_count)
      return Status::Invalid("the attribute numbers of a segment are not ascending");
    last = column.attribute;
    TSEXT_RETURN_IF_ERROR(CheckColumn(column.values, row_count));
  }
  if (input.time_attribute != 0) {
    const SegmentColumn *time = FindColumn(input, input.time_attribute);
    if (time == nullptr || !IsInteger(time->values.type))
      return Status::Invalid("the time column is missing or not of an integer class");
  }
  if (input.sort_key.size() > input.columns.size())
    return Status::Invalid("the sort key has more columns than the segment");
  for (int16_t attribute : input.sort_key)
    if (FindColumn(input, attribute) == nullptr)
      return Status::Invalid("a column of the sort key is missing");
  for (size_t i = 0; i < input.sections.size(); i++) {
    if (input.sections[i].type < SegmentSection::kFirstFreeType)
      return Status::Invalid("a section's type is reserved");
    for (size_t j = 0; j < i; j++)
      if (input.sections[j].type == input.sections[i].type)
        return Status::Invalid("two sections have one type");
  }
  return Status::Ok();
}

template <typename Write>
void AppendSection(uint16_t type, ByteBuffer &body, const Write &write) {
  Append(body, type);
  Append(body, uint16_t{0});
  const size_t length_at = body.size();
  Append(body, uint32_t{0});
  write();
  const uint32_t length = static_cast<uint32_t>(body.size() - length_at - sizeof(uint32_t));
  std::memcpy(body.data() + length_at, &length, sizeof length);
}

void AppendTable(const SegmentInput &input, const TimeColumn &time, ByteBuffer &body) {
  Append(body, input.attribute_count);
  Append(body, input.time_attribute);
  Append(body, static_cast<uint16_t>(input.columns.size()));
  Append(body, static_cast<uint16_t>(input.sort_key.size()));
  Append(body, time.first_time);
  Append(body, time.last_time);
  for (int16_t attribute : input.sort_key) Append(body, attribute);
}

/// Bits of the vectors for which `test` holds.
template <typename Test>
uint64_t VectorBits(const ColumnSummary &summary, uint32_t vectors, const Test &test) {
  uint64_t bits = 0;
  for (uint32_t v = 0; v < vectors; v++)
    if (test(summary.vectors[v])) bits |= uint64_t{1} << v;
  return bits;
}

/// Bit-equality of the vector's range with the column's: equal ranges are not stored.
bool HasColumnRange(const VectorFooter &vector, const ColumnFooter &footer) noexcept {
  if (IsInteger(footer.type))
    return vector.min_integer == footer.min.integer && vector.max_integer == footer.max.integer;
  const auto same = [](double left, double right) {
    return std::bit_cast<uint64_t>(left) == std::bit_cast<uint64_t>(right);
  };
  return same(vector.min_real, footer.min.real) && same(vector.max_real, footer.max.real);
}

bool NeedsZoneStream(const ColumnSummary &summary, uint32_t vectors) noexcept {
  if (!IsInteger(summary.footer.type) && !IsFloat(summary.footer.type)) return false;
  for (uint32_t v = 0; v < vectors; v++)
    if (summary.vectors[v].has_range && !HasColumnRange(summary.vectors[v], summary.footer))
      return true;
  return false;
}

uint8_t FlagsOf(const ColumnSummary &summary, uint32_t vectors) noexcept {
  const ColumnFooter &footer = summary.footer;
  unsigned flags = 0;
  if (footer.has_nan) flags |= kHasNan;
  if (footer.min.valid) flags |= kHasRange;
  if (footer.has_sum) flags |= kHasSum;
  if (footer.first.valid) flags |= kHasFirstLast;
  if (NeedsZoneStream(summary, vectors)) flags |= kHasZoneStream;
  return static_cast<uint8_t>(flags);
}

/// One array a field: they compress better than one record a column.
void AppendColumns(const Summaries &summaries, uint32_t vectors, ByteBuffer &body) {
  for (const ColumnSummary &column : summaries) Append(body, column.footer.attribute);
  for (const ColumnSummary &column : summaries) Append(body, column.footer.type);
  for (const ColumnSummary &column : summaries) Append(body, FlagsOf(column, vectors));
  for (const ColumnSummary &column : summaries)
    Append(body, static_cast<uint16_t>(column.footer.width));
  for (const ColumnSummary &column : summaries)
    Append(body, static_cast<uint32_t>(column.footer.length));
  for (const ColumnSummary &column : summaries) Append(body, column.footer.checksum);
  for (const ColumnSummary &column : summaries) AppendVarint(body, column.footer.null_count);
  for (const ColumnSummary &column : summaries) AppendVarint(body, column.footer.distinct_estimate);
}

void AppendStatistic(const Statistic &statistic, PhysicalType type, ByteBuffer &body) {
  if (IsInteger(type)) {
    AppendSignedVarint(body, statistic.integer);
  } else if (IsFloat(type)) {
    Append(body, statistic.real);
  } else {
    Append(body, static_cast<uint8_t>(statistic.bytes.size()));
    Append(body, static_cast<uint8_t>(statistic.truncated));
    AppendBytes(body, std::as_bytes(std::span(statistic.bytes)));
  }
}

void AppendStatistics(const Summaries &summaries, const TimeColumn &time, ByteBuffer &body) {
  for (const ColumnSummary &column : summaries) {
    const ColumnFooter &footer = column.footer;
    if (footer.min.valid) {
      AppendStatistic(footer.min, footer.type, body);
      AppendStatistic(footer.max, footer.type, body);
    }
    if (footer.has_sum) {
      if (IsInteger(footer.type))
        AppendSignedVarint(body, footer.integer_sum);
      else
        Append(body, footer.real_sum);
    }
    if (footer.first.valid) {
      AppendStatistic(footer.first, footer.type, body);
      AppendStatistic(footer.last, footer.type, body);
      AppendVarint(
          body, static_cast<uint64_t>(footer.first_time) - static_cast<uint64_t>(time.first_time));
      AppendVarint(body,
                   static_cast<uint64_t>(time.last_time) - static_cast<uint64_t>(footer.last_time));
    }
  }
}

/// The minima of all vectors that have one, then the maxima.
template <typename T, typename Min, typename Max>
std::pmr::vector<T> Ranges(const ColumnSummary &summary, uint32_t vectors, const Min &min,
                           const Max &max, std::pmr::memory_resource *memory) {
  std::pmr::vector<T> values(memory);
  for (uint32_t v = 0; v < vectors; v++)
    if (summary.vectors[v].has_range) values.push_back(static_cast<T>(summary.vectors[v].*min));
  for (uint32_t v = 0; v < vectors; v++)
    if (summary.vectors[v].has_range) values.push_back(static_cast<T>(summary.vectors[v].*max));
  return values;
}

void AppendZoneStream(const ColumnSummary &summary, uint32_t vectors, ByteBuffer &body) {
  std::pmr::memory_resource *memory = body.get_allocator().resource();
  ByteBuffer stream(memory);
  switch (summary.footer.type) {
    case PhysicalType::kFloat64:
      EncodeDoubles(Ranges<double>(summary, vectors, &VectorFooter::min_real,
                                   &VectorFooter::max_real, memory),
                    Level::kHot, stream);
      break;
    case PhysicalType::kFloat32:
      EncodeFloats(
          Ranges<float>(summary, vectors, &VectorFooter::min_real, &VectorFooter::max_real, memory),
          Level::kHot, stream);
      break;
    default:
      EncodeIntegers(Ranges<int64_t>(summary, vectors, &VectorFooter::min_integer,
                                     &VectorFooter::max_integer, memory),
                     Level::kHot, stream);
      break;
  }
  AppendVarint(body, stream.size());
  AppendBytes(body, stream);
}

void AppendZoneMaps(const Summaries &summaries, uint32_t row_count, uint32_t vectors,
                    ByteBuffer &body) {
  for (const ColumnSummary &column : summaries) {
    if (column.footer.null_count != 0 && column.footer.null_count != row_count) {
      Append(body, VectorBits(column, vectors, [](const VectorFooter &v) { return v.any_null; }));
      Append(body, VectorBits(column, vectors, [](const VectorFooter &v) { return v.all_null; }));
    }
    if (NeedsZoneStream(column, vectors)) AppendZoneStream(column, vectors, body);
  }
}

void AppendBody(const SegmentInput &input, const TimeColumn &time, const Summaries &summaries,
                ByteBuffer &body) {
  const uint32_t row_count = input.columns[0].values.count;
  const uint32_t vectors = VectorCount(row_count);
  const auto type = [](SectionType section) { return static_cast<uint16_t>(section); };
  AppendSection(type(SectionType::kTable), body, [&] { AppendTable(input, time, body); });
  AppendSection(type(SectionType::kColumns), body,
                [&] { AppendColumns(summaries, vectors, body); });
  AppendSection(type(SectionType::kStatistics), body,
                [&] { AppendStatistics(summaries, time, body); });
  AppendSection(type(SectionType::kZoneMaps), body,
                [&] { AppendZoneMaps(summaries, row_count, vectors, body); });
  for (const SegmentSection &section : input.sections)
    AppendSection(section.type, body, [&] { AppendBytes(body, section.bytes); });
}

Status AppendHead(const SegmentInput &input, const TimeColumn &time, const Summaries &summaries,
                  ByteBuffer &out) {
  ByteBuffer body(out.get_allocator());
  AppendBody(input, time, summaries, body);
  if (body.size() > kMaxHeadBody) return Status::TooLarge("a segment's head is longer than 32 MiB");

  SegmentPrefix prefix;
  out.resize(sizeof prefix);
  const bool is_frame = AppendCompressed(body, ZstdLevel(input.level), out);
  if (!is_frame) AppendBytes(out, body);
  prefix.level = static_cast<uint8_t>(input.level);
  prefix.flags = is_frame ? kBodyIsFrame : 0;
  prefix.head_size = static_cast<uint32_t>(out.size());
  prefix.body_size = static_cast<uint32_t>(body.size());
  prefix.value_id = input.value_id;
  prefix.row_count = input.columns[0].values.count;
  prefix.body_checksum = Crc32c(ByteSpan(out).subspan(sizeof prefix));
  std::memcpy(out.data(), &prefix, sizeof prefix);
  prefix.prefix_checksum = Crc32c(ByteSpan(out).first(offsetof(SegmentPrefix, prefix_checksum)));
  std::memcpy(out.data(), &prefix, sizeof prefix);
  return Status::Ok();
}

}  // namespace

Status WriteSegment(const SegmentInput &input, ByteBuffer &out) {
  TSEXT_RETURN_IF_ERROR(CheckInput(input));
  std::pmr::memory_resource *memory = out.get_allocator().resource();
  const SegmentColumn *time_column = FindColumn(input, input.time_attribute);
  const TimeColumn time(time_column == nullptr ? nullptr : &time_column->values);

  Summaries summaries(memory);
  summaries.reserve(input.columns.size());
  ByteBuffer blocks(memory);
  for (const SegmentColumn &column : input.columns) {
    ColumnSummary &summary = summaries.emplace_back(memory);
    ColumnFooter &footer = summary.footer;
    footer.attribute = column.attribute;
    Summarize(column.values, time, summary);
    AlignBuffer(blocks, 8);
    const size_t start = blocks.size();
    TSEXT_RETURN_IF_ERROR(AppendBlock(column.values, input.level, footer, blocks));
    if (blocks.size() > kMaxSegmentSize)
      return Status::TooLarge("a segment would be longer than 1 GiB");
    footer.length = blocks.size() - start;
    footer.checksum = Crc32c(ByteSpan(blocks).subspan(start));
  }
  TSEXT_RETURN_IF_ERROR(AppendHead(input, time, summaries, out));
  AlignBuffer(out, 8);
  if (out.size() + blocks.size() > kMaxSegmentSize)
    return Status::TooLarge("a segment would be longer than 1 GiB");
  AppendBytes(out, blocks);
  return Status::Ok();
}

}  // namespace tsext
