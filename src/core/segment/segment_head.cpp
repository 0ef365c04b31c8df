// The head of a segment from bytes that are not trusted.

#include <algorithm>
#include <array>
#include <cstring>

#include "tsext/crc32c.hpp"
#include "tsext/float_codec.hpp"
#include "tsext/integer_codec.hpp"
#include "tsext/segment.hpp"

#include "core/codec/bytes_codec.hpp"
#include "core/codec/compressed_bytes.hpp"
#include "core/segment/segment_format.hpp"
#include "core/segment/varint.hpp"

namespace tsext {

namespace {

constexpr Status kTooShort = Status::Corrupt("the head ends too early");
constexpr Status kTooLong = Status::Corrupt("the head has bytes after its end");

Status ReadPrefix(ByteSpan bytes, SegmentPrefix &prefix) {
  if (bytes.size() < sizeof prefix) return kTooShort;
  std::memcpy(&prefix, bytes.data(), sizeof prefix);
  if (prefix.magic != kSegmentMagic)
    return Status::Corrupt("the head does not begin with its mark");
  if (prefix.prefix_checksum != Crc32c(bytes.first(offsetof(SegmentPrefix, prefix_checksum))))
    return Status::Corrupt("the head's first bytes do not match their checksum");
  if (prefix.major != kFormatMajor)
    return Status::Unsupported("the segment was written by another version of tsext");
  if (prefix.head_size < sizeof prefix || prefix.head_size - sizeof prefix > kMaxHeadBody)
    return Status::Corrupt("the head's size is out of range");
  return Status::Ok();
}

bool WidthFits(PhysicalType type, uint32_t width) noexcept {
  if (type == PhysicalType::kUuid) return width == kUuidWidth;
  if (type == PhysicalType::kFixed) return width >= 1 && width <= kMaxFixedWidth;
  return width == 0;
}

bool ReadStatistic(ByteReader &reader, PhysicalType type, Statistic &statistic) {
  statistic.valid = true;
  if (IsInteger(type)) return ReadSignedVarint64(reader, statistic.integer);
  if (IsFloat(type)) return reader.Read(statistic.real);
  uint8_t size = 0, truncated = 0;
  ByteSpan bytes;
  if (!reader.Read(size) || !reader.Read(truncated) || size > Statistic::kStatisticBytes ||
      truncated > 1 || !reader.ReadBytes(size, bytes))
    return false;
  statistic.bytes.assign(reinterpret_cast<const char *>(bytes.data()), bytes.size());
  statistic.truncated = truncated != 0;
  return true;
}

/// A distance from `from`, stored unsigned: the difference of two times may overflow int64.
bool ReadTime(ByteReader &reader, uint64_t &distance) noexcept {
  Unsigned128 wide = 0;
  if (!ReadVarint(reader, wide) || wide > UINT64_MAX) return false;
  distance = static_cast<uint64_t>(wide);
  return true;
}

template <typename Stream, typename T>
Status DecodeRanges(std::pmr::memory_resource *memory, ByteSpan bytes, uint32_t count,
                    std::array<T, kVectorSize> &values) {
  Stream stream(memory);
  TSEXT_RETURN_IF_ERROR(stream.Open(bytes, count));
  return stream.Decode(0, values.data());
}

}  // namespace

Status SegmentHead::HeadSize(ByteSpan prefix_bytes, uint64_t &size) {
  SegmentPrefix prefix;
  TSEXT_RETURN_IF_ERROR(ReadPrefix(prefix_bytes, prefix));
  size = prefix.head_size;
  return Status::Ok();
}

Status SegmentHead::Parse(ByteSpan bytes) {
  body_.clear();
  sections_.clear();
  columns_.clear();
  sort_key_.clear();
  vectors_.clear();
  TSEXT_RETURN_IF_ERROR(ParsePrefix(bytes));
  TSEXT_RETURN_IF_ERROR(ParseSections());
  const auto section = [this](SectionType type) { return Section(static_cast<uint16_t>(type)); };
  std::pmr::vector<uint8_t> flags(columns_.get_allocator());
  TSEXT_RETURN_IF_ERROR(ParseTable(section(SectionType::kTable)));
  TSEXT_RETURN_IF_ERROR(ParseColumns(section(SectionType::kColumns), flags));
  TSEXT_RETURN_IF_ERROR(ParseStatistics(section(SectionType::kStatistics), flags));
  return ParseZoneMaps(section(SectionType::kZoneMaps), flags);
}

Status SegmentHead::ParsePrefix(ByteSpan bytes) {
  SegmentPrefix prefix;
  TSEXT_RETURN_IF_ERROR(ReadPrefix(bytes, prefix));
  if (bytes.size() != prefix.head_size)
    return Status::Corrupt("the head's size is not what it says");
  const ByteSpan stored = bytes.subspan(sizeof prefix);
  if (prefix.body_checksum != Crc32c(stored))
    return Status::Corrupt("the head does not match its checksum");
  if (prefix.flags > kBodyIsFrame || prefix.level < static_cast<uint8_t>(Level::kHot) ||
      prefix.level > static_cast<uint8_t>(Level::kCold))
    return Status::Unsupported("the segment was written by a newer version of tsext");
  if (prefix.row_count == 0 || prefix.row_count > kMaxSegmentRows)
    return Status::Corrupt("the row count is out of range");
  head_size_ = prefix.head_size;
  value_id_ = prefix.value_id;
  row_count_ = prefix.row_count;
  level_ = static_cast<Level>(prefix.level);

  if (prefix.flags != kBodyIsFrame) {
    if (stored.size() != prefix.body_size)
      return Status::Corrupt("the head's size is not what it says");
    body_.assign(stored.begin(), stored.end());
    return Status::Ok();
  }
  uint64_t size = 0;
  TSEXT_RETURN_IF_ERROR(CompressedContentSize(stored, kMaxHeadBody, size));
  if (size != prefix.body_size) return Status::Corrupt("the head's size is not what it says");
  body_.resize(size);
  return Decompress(stored, body_);
}

Status SegmentHead::ParseSections() {
  ByteReader reader(body_);
  while (reader.remaining() > 0) {
    SegmentSection section;
    uint16_t zero = 0;
    uint32_t length = 0;
    if (!reader.Read(section.type) || !reader.Read(zero) || !reader.Read(length) ||
        !reader.ReadBytes(length, section.bytes))
      return kTooShort;
    for (const SegmentSection &other : sections_)
      if (other.type == section.type) return Status::Corrupt("the head has two parts of one type");
    // Bounds the search above; writers make fewer than ten.
    if (sections_.size() >= 256) return Status::Corrupt("the head has too many parts");
    sections_.push_back(section);
  }
  return Status::Ok();
}

Status SegmentHead::ParseTable(ByteSpan bytes) {
  ByteReader reader(bytes);
  uint16_t column_count = 0, sort_key_count = 0;
  if (!reader.Read(attribute_count_) || !reader.Read(time_attribute_) ||
      !reader.Read(column_count) || !reader.Read(sort_key_count) || !reader.Read(least_time_) ||
      !reader.Read(greatest_time_))
    return kTooShort;
  if (attribute_count_ < 1 || attribute_count_ > kMaxAttributes || column_count < 1 ||
      column_count > attribute_count_ || sort_key_count > column_count)
    return Status::Corrupt("the number of columns is out of range");
  if (reader.remaining() != sort_key_count * sizeof(int16_t))
    return Status::Corrupt("the sort key does not fill its part of the head");
  columns_.reserve(column_count);
  for (uint16_t i = 0; i < column_count; i++)
    columns_.emplace_back(columns_.get_allocator().resource());
  sort_key_.resize(sort_key_count);
  for (int16_t &attribute : sort_key_)
    if (!reader.Read(attribute)) return kTooShort;
  return Status::Ok();
}

Status SegmentHead::ParseColumns(ByteSpan bytes, std::pmr::vector<uint8_t> &flags) {
  ByteReader reader(bytes);
  flags.resize(columns_.size());
  bool ok = true;
  for (ColumnFooter &column : columns_) ok = ok && reader.Read(column.attribute);
  for (ColumnFooter &column : columns_) ok = ok && reader.Read(column.type);
  for (uint8_t &flag : flags) ok = ok && reader.Read(flag);
  for (ColumnFooter &column : columns_) {
    uint16_t width = 0;
    ok = ok && reader.Read(width);
    column.width = width;
  }
  for (ColumnFooter &column : columns_) {
    uint32_t length = 0;
    ok = ok && reader.Read(length);
    column.length = length;
  }
  for (ColumnFooter &column : columns_) ok = ok && reader.Read(column.checksum);
  for (ColumnFooter &column : columns_)
    ok = ok && ReadVarint32(reader, row_count_, column.null_count);
  for (ColumnFooter &column : columns_)
    ok = ok && ReadVarint32(reader, row_count_, column.distinct_estimate);
  if (!ok) return kTooShort;
  if (reader.remaining() != 0) return kTooLong;

  int16_t last = 0;
  uint64_t end = head_size_;
  for (size_t i = 0; i < columns_.size(); i++) {
    ColumnFooter &column = columns_[i];
    if (column.attribute <= last || column.attribute > attribute_count_)
      return Status::Corrupt("the attribute numbers are out of order");
    last = column.attribute;
    if (!IsKnown(column.type) || flags[i] > kKnownColumnFlags)
      return Status::Unsupported("a column was written by a newer version of tsext");
    if (!WidthFits(column.type, column.width))
      return Status::Corrupt("a column's width does not fit its type");
    column.has_nan = (flags[i] & kHasNan) != 0;
    column.offset = AlignUp(end, 8);
    end = column.offset + column.length;
    if (column.length < kBlockHeadSize || end > kMaxSegmentSize)
      return Status::Corrupt("a column's length is out of range");
  }
  segment_size_ = end;

  for (int16_t attribute : sort_key_)
    if (FindColumn(attribute) < 0) return Status::Corrupt("a column of the sort key is missing");
  if (time_attribute_ != 0) {
    const int time = FindColumn(time_attribute_);
    if (time < 0 || !IsInteger(columns_[static_cast<size_t>(time)].type))
      return Status::Corrupt("the time column is missing or not of an integer class");
  }
  return Status::Ok();
}

Status SegmentHead::ParseStatistics(ByteSpan bytes, const std::pmr::vector<uint8_t> &flags) {
  ByteReader reader(bytes);
  for (size_t i = 0; i < columns_.size(); i++) {
    ColumnFooter &column = columns_[i];
    const bool is_number = IsInteger(column.type) || IsFloat(column.type);
    const bool has_numbers = (flags[i] & (kHasSum | kHasFirstLast | kHasZoneStream)) != 0;
    if ((has_numbers && !is_number) ||
        ((flags[i] & kHasRange) != 0 && !is_number && column.type != PhysicalType::kText))
      return Status::Corrupt("a column has statistics that its type cannot have");
    bool ok = true;
    if ((flags[i] & kHasRange) != 0) {
      ok = ReadStatistic(reader, column.type, column.min) &&
           ReadStatistic(reader, column.type, column.max);
    }
    if (ok && (flags[i] & kHasSum) != 0) {
      column.has_sum = true;
      ok = IsInteger(column.type) ? ReadSignedVarint(reader, column.integer_sum)
                                  : reader.Read(column.real_sum);
    }
    if (ok && (flags[i] & kHasFirstLast) != 0) {
      uint64_t after = 0, before = 0;
      ok = ReadStatistic(reader, column.type, column.first) &&
           ReadStatistic(reader, column.type, column.last) && ReadTime(reader, after) &&
           ReadTime(reader, before);
      column.first_time = static_cast<int64_t>(static_cast<uint64_t>(least_time_) + after);
      column.last_time = static_cast<int64_t>(static_cast<uint64_t>(greatest_time_) - before);
    }
    if (!ok) return kTooShort;
  }
  return reader.remaining() == 0 ? Status::Ok() : kTooLong;
}

Status SegmentHead::ParseZoneMaps(ByteSpan bytes, const std::pmr::vector<uint8_t> &flags) {
  ByteReader reader(bytes);
  const uint32_t vectors = vector_count();
  const uint64_t all_vectors = (uint64_t{1} << vectors) - 1;  // vectors <= 60
  vectors_.resize(columns_.size() * vectors);
  std::pmr::memory_resource *memory = columns_.get_allocator().resource();
  for (size_t i = 0; i < columns_.size(); i++) {
    const ColumnFooter &column = columns_[i];
    VectorFooter *footers = vectors_.data() + i * vectors;
    uint64_t any_null = 0, all_null = 0;
    if (column.null_count == row_count_) {
      any_null = all_null = all_vectors;
    } else if (column.null_count != 0) {
      if (!reader.Read(any_null) || !reader.Read(all_null)) return kTooShort;
      if ((any_null & ~all_vectors) != 0 || (all_null & ~any_null) != 0)
        return Status::Corrupt("the null flags of vectors are out of range");
    }
    const bool has_range =
        (flags[i] & kHasRange) != 0 && (IsInteger(column.type) || IsFloat(column.type));
    uint32_t ranges = 0;
    for (uint32_t v = 0; v < vectors; v++) {
      footers[v].any_null = ((any_null >> v) & 1) != 0;
      footers[v].all_null = ((all_null >> v) & 1) != 0;
      footers[v].has_range = has_range && !footers[v].all_null;
      ranges += footers[v].has_range ? 1 : 0;
      footers[v].min_integer = column.min.integer;
      footers[v].max_integer = column.max.integer;
      footers[v].min_real = column.min.real;
      footers[v].max_real = column.max.real;
    }
    if ((flags[i] & kHasZoneStream) == 0) continue;

    uint32_t size = 0;
    ByteSpan stream;
    if (!ReadVarint32(reader, kMaxHeadBody, size) || !reader.ReadBytes(size, stream))
      return kTooShort;
    if (ranges == 0) return Status::Corrupt("a column without values has ranges");
    const auto assign = [&](const auto &values, auto min, auto max) {
      uint32_t at = 0;
      for (uint32_t v = 0; v < vectors; v++) {
        if (!footers[v].has_range) continue;
        footers[v].*min = values[at];
        footers[v].*max = values[ranges + at];
        at++;
      }
    };
    if (column.type == PhysicalType::kFloat64) {
      std::array<double, kVectorSize> values;
      TSEXT_RETURN_IF_ERROR(
          (DecodeRanges<FloatStream<double>>(memory, stream, 2 * ranges, values)));
      assign(values, &VectorFooter::min_real, &VectorFooter::max_real);
    } else if (column.type == PhysicalType::kFloat32) {
      std::array<float, kVectorSize> values;
      TSEXT_RETURN_IF_ERROR((DecodeRanges<FloatStream<float>>(memory, stream, 2 * ranges, values)));
      assign(values, &VectorFooter::min_real, &VectorFooter::max_real);
    } else {
      std::array<int64_t, kVectorSize> values;
      TSEXT_RETURN_IF_ERROR((DecodeRanges<IntegerStream>(memory, stream, 2 * ranges, values)));
      assign(values, &VectorFooter::min_integer, &VectorFooter::max_integer);
    }
  }
  return reader.remaining() == 0 ? Status::Ok() : kTooLong;
}

int SegmentHead::FindColumn(int16_t attribute) const noexcept {
  const auto found = std::lower_bound(
      columns_.begin(), columns_.end(), attribute,
      [](const ColumnFooter &column, int16_t wanted) { return column.attribute < wanted; });
  return found == columns_.end() || found->attribute != attribute
             ? -1
             : static_cast<int>(found - columns_.begin());
}

VectorFooter SegmentHead::Vector(uint32_t column, uint32_t vector) const noexcept {
  return vectors_[size_t{column} * vector_count() + vector];
}

ByteSpan SegmentHead::Section(uint16_t type) const noexcept {
  for (const SegmentSection &section : sections_)
    if (section.type == type) return section.bytes;
  return {};
}

}  // namespace tsext
