#include "core/segment/block_writer.hpp"

#include <algorithm>
#include <memory_resource>
#include <vector>

#include "tsext/float_codec.hpp"
#include "tsext/integer_codec.hpp"

#include "core/codec/bytes_codec.hpp"
#include "core/codec/compressed_bytes.hpp"
#include "core/codec/fixed_codec.hpp"
#include "core/codec/interner.hpp"
#include "core/codec/numeric_codec.hpp"
#include "core/codec/string_codec.hpp"
#include "core/segment/column_statistics.hpp"
#include "core/segment/null_section.hpp"
#include "core/segment/segment_format.hpp"

namespace tsext {

namespace {

NullForm ChooseNullForm(const ColumnView &column, uint32_t null_count) noexcept {
  if (null_count == 0) return NullForm::kNone;
  if (null_count == column.count) return NullForm::kAll;
  return uint64_t{null_count} * 2 > column.count ? NullForm::kDense : NullForm::kFilled;
}

/// The values of `column` that its stream holds: its rows, with NULLs filled or left out.
class StreamRows {
 public:
  StreamRows(const ColumnView &column, NullForm form, std::pmr::memory_resource *memory)
      : form_(form), rows_(memory) {
    if (form == NullForm::kNone) return;
    uint32_t last = 0;
    while (column.IsNull(last)) last++;  // leading NULLs repeat the first value
    rows_.reserve(column.count);
    for (uint32_t row = 0; row < column.count; row++) {
      if (!column.IsNull(row)) {
        last = row;
        rows_.push_back(row);
      } else if (form == NullForm::kFilled) {
        rows_.push_back(last);
      }
    }
  }

  /// `values` itself when there are no NULLs, else picked into `scratch`.
  template <typename T>
  std::span<const T> Pick(std::span<const T> values, std::pmr::vector<T> &scratch) const {
    if (form_ == NullForm::kNone) return values;
    scratch.reserve(rows_.size());
    for (uint32_t row : rows_) scratch.push_back(values[row]);
    return scratch;
  }

 private:
  NullForm form_;
  std::pmr::vector<uint32_t> rows_;
};

/// Encodes a bytes column; see EncodeStream.
class BytesEncoder {
 public:
  BytesEncoder(const ColumnView &column, const StreamRows &rows, Level level, ColumnFooter &footer,
               ByteBuffer &out)
      : column_(column),
        level_(level),
        footer_(footer),
        out_(out),
        interned_(out.get_allocator().resource()),
        code_scratch_(out.get_allocator()),
        value_scratch_(out.get_allocator()) {
    if (column.dictionary.empty()) {
      values_ = rows.Pick(column.bytes, value_scratch_);
    } else {
      codes_ = rows.Pick(column.codes, code_scratch_);
    }
  }

  Status Encode(BlockCodec &codec) {
    const bool repeats = FindDistinct();
    if (column_.type == PhysicalType::kText) SetRange(repeats);
    if (column_.type == PhysicalType::kNumeric && EncodeNumerics(Values(), level_, out_)) {
      codec = BlockCodec::kNumeric;
      return Status::Ok();
    }
    if (repeats) {
      codec = BlockCodec::kDictionary;
      return EncodeDictionary(interned_.distinct, interned_.codes, level_, out_);
    }
    const bool is_fixed =
        column_.type == PhysicalType::kUuid || column_.type == PhysicalType::kFixed;
    if (!is_fixed) {
      codec = BlockCodec::kFrames;
      return EncodeFrames(Values(), level_, out_);
    }
    if (column_.type == PhysicalType::kUuid && AreTimeUuids(Values())) {
      codec = BlockCodec::kUuidTime;
      EncodeTimeUuids(Values(), level_, out_);
    } else {
      codec = BlockCodec::kPlanes;
      EncodePlanes(Values(), column_.width, level_, out_);
    }
    return Status::Ok();
  }

 private:
  /// Interns the column and estimates its distinct values. Returns whether a dictionary pays.
  bool FindDistinct() {
    const uint32_t value_count = column_.count - footer_.null_count;
    const uint32_t max_distinct = std::max(1u, value_count / 4);
    if (!column_.dictionary.empty())
      return InternCodes(codes_, column_.dictionary, max_distinct, interned_,
                         footer_.distinct_estimate);
    DistinctCounter counter(out_.get_allocator().resource());
    const bool repeats = Intern(values_, max_distinct, interned_, &counter);
    footer_.distinct_estimate =
        repeats ? static_cast<uint32_t>(interned_.distinct.size()) : counter.Estimate(value_count);
    return repeats;
  }

  /// The values one by one, also when the caller gave codes.
  std::span<const ByteView> Values() {
    if (values_.empty()) {
      value_scratch_.reserve(codes_.size());
      for (uint32_t code : codes_) value_scratch_.push_back(column_.dictionary[code]);
      values_ = value_scratch_;
    }
    return values_;
  }

  void SetRange(bool repeats) {
    if (repeats) {
      SetBytes(interned_.distinct.front(), footer_.min);
      SetBytes(interned_.distinct.back(), footer_.max);
      return;
    }
    const auto [least, greatest] = std::minmax_element(
        Values().begin(), Values().end(),
        [](ByteView left, ByteView right) { return CompareBytes(left, right) < 0; });
    SetBytes(*least, footer_.min);
    SetBytes(*greatest, footer_.max);
  }

  const ColumnView &column_;
  Level level_;
  ColumnFooter &footer_;
  ByteBuffer &out_;
  InternedColumn interned_;
  std::pmr::vector<uint32_t> code_scratch_;
  std::pmr::vector<ByteView> value_scratch_;
  std::span<const uint32_t> codes_;
  std::span<const ByteView> values_;
};

Status AppendStream(const ColumnView &column, const StreamRows &rows, Level level,
                    ColumnFooter &footer, BlockCodec &codec, ByteBuffer &out) {
  if (IsInteger(column.type)) {
    std::pmr::vector<int64_t> scratch(out.get_allocator());
    codec = BlockCodec::kIntegers;
    EncodeIntegers(rows.Pick(column.integers, scratch), level, out);
    return Status::Ok();
  }
  if (column.type == PhysicalType::kFloat64) {
    std::pmr::vector<double> scratch(out.get_allocator());
    codec = BlockCodec::kDoubles;
    EncodeDoubles(rows.Pick(column.doubles, scratch), level, out);
    return Status::Ok();
  }
  if (column.type == PhysicalType::kFloat32) {
    std::pmr::vector<float> scratch(out.get_allocator());
    codec = BlockCodec::kFloats;
    EncodeFloats(rows.Pick(column.floats, scratch), level, out);
    return Status::Ok();
  }
  return BytesEncoder(column, rows, level, footer, out).Encode(codec);
}

/// Appends the null section, compressed in COLD when that is smaller. Returns whether it was.
bool AppendNulls(const ColumnView &column, Level level, ByteBuffer &out) {
  if (level == Level::kHot) {
    AppendNullSection(column.nulls, column.count, out);
    return false;
  }
  ByteBuffer raw(out.get_allocator());
  AppendNullSection(column.nulls, column.count, raw);
  if (AppendCompressed(raw, ZstdLevel(level), out)) return true;
  AppendBytes(out, raw);
  return false;
}

}  // namespace

Status AppendBlock(const ColumnView &column, Level level, ColumnFooter &footer, ByteBuffer &out) {
  const NullForm form = ChooseNullForm(column, footer.null_count);
  const size_t head = out.size();
  out.resize(head + kBlockHeadSize);
  bool nulls_are_frame = false;
  if (form == NullForm::kFilled || form == NullForm::kDense)
    nulls_are_frame = AppendNulls(column, level, out);
  const uint32_t null_size = static_cast<uint32_t>(out.size() - head - kBlockHeadSize);

  BlockCodec codec = BlockCodec::kNone;
  if (form != NullForm::kAll) {
    AlignBuffer(out, 8);
    const StreamRows rows(column, form, out.get_allocator().resource());
    TSEXT_RETURN_IF_ERROR(AppendStream(column, rows, level, footer, codec, out));
  }
  out[head] = static_cast<std::byte>(codec);
  out[head + 1] = static_cast<std::byte>(form);
  out[head + 2] = static_cast<std::byte>(nulls_are_frame ? kNullSectionIsFrame : 0);
  std::memcpy(out.data() + head + 4, &null_size, sizeof null_size);
  return Status::Ok();
}

}  // namespace tsext
