#include "pg/exec/footer_source.hpp"

#include <cmath>

namespace tsext::pg {

namespace {

/// Whether a column's sum is known, and finite. The writer starts from 0, so that of nothing but -0
/// it is not: its sum is -0.
bool HasSum(const ColumnFooter &footer) {
  if (!footer.has_sum || IsInteger(footer.type)) return footer.has_sum;
  if (footer.has_nan || !std::isfinite(footer.real_sum)) return false;
  return !(footer.min.real == 0 && footer.max.real == 0 && std::signbit(footer.min.real));
}

}  // namespace

void FooterSource::ReadSegment(const ColumnFooter &footer, FooterColumn *column) const {
  column->footer = &footer;
  column->has_null_count = true;
  column->nulls = footer.null_count;
  column->has_range = footer.min.valid && footer.max.valid;
  column->min_integer = footer.min.integer;
  column->max_integer = footer.max.integer;
  column->min_real = footer.min.real;
  column->max_real = footer.max.real;
  column->has_sum = HasSum(footer);
  column->integer_sum = footer.integer_sum;
  column->real_sum = footer.real_sum;
  // Of NULLs it knows no times.
  column->has_ends = footer.first.valid && footer.last.valid && footer.null_count == 0;
  column->first_integer = footer.first.integer;
  column->last_integer = footer.last.integer;
  column->first_real = footer.first.real;
  column->last_real = footer.last.real;
  column->first_time = footer.first_time;
  column->last_time = footer.last_time;
}

void FooterSource::ReadVector(const ColumnFooter &footer, const VectorFooter &vector,
                              FooterColumn *column) const {
  column->has_null_count = footer.null_count == 0 || !vector.any_null || vector.all_null;
  column->nulls = footer.null_count != 0 && vector.all_null ? rows() : 0;
  column->has_range = vector.has_range;
  column->min_integer = vector.min_integer;
  column->max_integer = vector.max_integer;
  column->min_real = vector.min_real;
  column->max_real = vector.max_real;
}

bool FooterSource::Column(AttrNumber attribute, FooterColumn *column) const {
  *column = FooterColumn{};
  const int index = head_.FindColumn(attribute);
  if (index < 0) return false;
  const ColumnFooter &footer = head_.columns()[static_cast<size_t>(index)];
  column->type = footer.type;
  if (vector_ == kWholeSegment)
    ReadSegment(footer, column);
  else
    ReadVector(footer, head_.Vector(static_cast<uint32_t>(index), static_cast<uint32_t>(vector_)),
               column);
  return true;
}

}  // namespace tsext::pg
