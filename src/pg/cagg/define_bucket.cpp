// What is to be known of an aggregate's buckets: how wide they are, in what cells their times are
// noted, how to find the bucket of a time, and whether each holds whole buckets of the source.

#include "tsext/time_bucket.hpp"

#include "pg/base/boundary.hpp"
#include "pg/cagg/bucket.hpp"
#include "pg/cagg/define.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/date.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {
namespace {

constexpr int64_t kZoneStretchUs = 3 * USECS_PER_HOUR;  // by how much a day may be longer
constexpr int64_t kZoneCellUs = 15 * USECS_PER_MINUTE;  // divides the offsets in use
constexpr int kDaysOfMonth = 31;
constexpr int kBucketsToCompare = 64;
// Arguments of time_bucket().
constexpr int kWidth = 0;
constexpr int kTime = 1;
constexpr int kZone = 2;

Const *ConstantArgument(const FuncExpr *call, int index) {
  Node *argument = static_cast<Node *>(list_nth(call->args, index));
  if (!IsA(argument, Const))
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("arguments of time_bucket() other than the time must be constants in a "
                           "continuous aggregate"),
                    errdetail("All buckets are of one width and counted from one origin."),
                    errhint("Times are constant when their zone is: timestamptz "
                            "'2024-01-01 00:00+00'.")));
  return reinterpret_cast<Const *>(argument);
}

char *TextOfConstant(const Const *constant) {
  Oid output;
  bool is_varlena;
  getTypeOutputInfo(constant->consttype, &output, &is_varlena);
  return OidOutputFunctionCall(output, constant->constvalue);
}

/// 'public.time_bucket(''01:00:00''::interval, $1)'
char *TextOfCall(const FuncExpr *call) {
  StringInfoData text;
  initStringInfo(&text);
  appendStringInfo(&text, "%s(",
                   quote_qualified_identifier(get_namespace_name(get_func_namespace(call->funcid)),
                                              get_func_name(call->funcid)));
  for (int i = 0; i < list_length(call->args); ++i) {
    if (i > 0) appendStringInfoString(&text, ", ");
    if (i == kTime) {
      appendStringInfoString(&text, "$1");
      continue;
    }
    const Const *constant = ConstantArgument(call, i);
    appendStringInfo(&text, "%s::%s",
                     constant->constisnull ? "NULL" : quote_literal_cstr(TextOfConstant(constant)),
                     format_type_extended(constant->consttype, -1, FORMAT_TYPE_FORCE_QUALIFY));
  }
  appendStringInfoChar(&text, ')');
  return text.data;
}

/// Constants as every session reads them.
void WriteTexts(const FuncExpr *call, bool has_zone, ContinuousAggregate *defined) {
  const int nest_level = NewGUCNestLevel();
  const auto set = [](const char *name, const char *value) {
    (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                            false);
  };
  set("datestyle", "ISO, YMD");
  set("intervalstyle", "postgres");
  set("timezone", "UTC");
  defined->bucket_call = TextOfCall(call);
  defined->bucket_width = TextOfConstant(ConstantArgument(call, kWidth));
  defined->bucket_timezone = has_zone ? TextOfConstant(ConstantArgument(call, kZone)) : nullptr;
  AtEOXact_GUC(true, nest_level);
}

/// The bucket of a time; raises what time_bucket() raises.
int64_t BucketOf(const FuncExpr *call, int64_t time, Oid time_type) {
  auto *copy = static_cast<FuncExpr *>(copyObjectImpl(call));
  int16 length;
  bool by_value;
  get_typlenbyval(time_type, &length, &by_value);
  list_nth_cell(copy->args, kTime)->ptr_value =
      makeConst(time_type, -1, InvalidOid, length, DatumOfTime(time, time_type), false, by_value);
  Node *result = eval_const_expressions(nullptr, reinterpret_cast<Node *>(copy));
  if (!IsA(result, Const) || reinterpret_cast<Const *>(result)->constisnull)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("arguments of time_bucket() are NULL")));
  return TimeOfDatum(reinterpret_cast<Const *>(result)->constvalue, time_type);
}

int64_t IntegerConstant(const Const *constant) {
  return TimeOfDatum(constant->constvalue, constant->consttype);
}

/// Days and time, in microseconds; time_bucket() has checked the range.
int64_t FixedPart(const Interval &width) {
  return int64_t{width.day} * USECS_PER_DAY + width.time;
}

void DescribeMonths(const Interval &width, bool has_zone, ContinuousAggregate *defined) {
  const int64_t day = DayOfType(defined->time_type);
  // Wider than all of time: no bucket of its own for any time, then.
  if (__builtin_mul_overflow(int64_t{width.month} * kDaysOfMonth + 1, day, &defined->reach))
    defined->reach = kTimeMaximum / 2;
  if (has_zone) defined->reach += kZoneStretchUs;
  defined->cell_width = has_zone ? kZoneCellUs : day;
}

void DescribeInterval(const Interval &width, bool has_zone, ContinuousAggregate *defined) {
  defined->is_fixed = width.month == 0 && !has_zone;
  defined->margin = 0;
  if (width.month != 0) {
    DescribeMonths(width, has_zone, defined);
    return;
  }
  const int64_t width_us = FixedPart(width);
  if (has_zone && width_us < USECS_PER_DAY)
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("buckets of a time zone cannot be shorter than a day in a continuous "
                           "aggregate"),
                    errdetail("When clocks go back, hours of local time come twice."),
                    errhint("Leave the time zone out, or make the buckets a day wide or wider.")));
  // Dates count in days; a width that divides a day leaves each date alone.
  const int64_t unit = defined->time_type == DATEOID ? USECS_PER_DAY : 1;
  const int64_t width_units = Max(width_us / unit, 1);
  defined->reach = has_zone ? width_units + kZoneStretchUs : width_units;
  defined->cell_width = has_zone ? kZoneCellUs : width_units;
}

// ------------------------------------------------------------ buckets over buckets of the source

[[noreturn]] void RefuseWidth(const ContinuousAggregate &target, const ContinuousAggregate &source,
                              const char *why) {
  ereport(ERROR,
          (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
           errmsg("buckets of %s%s%s cannot be made of those of continuous aggregate \"%s\"",
                  target.bucket_width, target.bucket_timezone != nullptr ? " in time zone " : "",
                  target.bucket_timezone != nullptr ? target.bucket_timezone : "",
                  get_rel_name(source.view)),
           errdetail("Its buckets are %s%s%s wide. %s", source.bucket_width,
                     source.bucket_timezone != nullptr ? " in time zone " : "",
                     source.bucket_timezone != nullptr ? source.bucket_timezone : "", why),
           errhint("Choose a width and an origin so that each bucket holds whole ones of the "
                   "source, or aggregate the table itself.")));
}

Interval IntervalOfText(const char *text) {
  return *DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(text),
                                                ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/// Whether a bucket of the source starts at each of the first starts of the target's.
bool StartsMeet(const FuncExpr *call, const ContinuousAggregate &target,
                const ContinuousAggregate &source) {
  int64_t minimum;
  int64_t maximum;
  TimeTypeRange(target.time_type, &minimum, &maximum);
  int64_t start = target.cell_origin;
  for (int i = 0; i < kBucketsToCompare && start <= maximum - target.reach; ++i) {
    if (BucketStart(source, start) != start) return false;
    start = BucketOf(call, start + target.reach, target.time_type);
  }
  return true;
}

void CheckFixedOverFixed(const ContinuousAggregate &target, const ContinuousAggregate &source) {
  if (target.cell_width % source.cell_width != 0)
    RefuseWidth(target, source, "The width is no multiple of that.");
  if (BucketPhase(source.cell_width, target.cell_origin, 0) !=
      BucketPhase(source.cell_width, source.cell_origin, 0))
    RefuseWidth(target, source, "The buckets start between those of the source.");
}

/// A time zone over buckets without one. Those of the source may lie across a start then: a row
/// counts where its source bucket starts.
void CheckZoneOverFixed(ContinuousAggregate *target, const ContinuousAggregate &source) {
  if (!source.is_fixed || USECS_PER_HOUR % source.cell_width != 0)
    RefuseWidth(*target, source,
                "Days of a time zone start at any full hour, so only buckets that divide an hour "
                "fit into them.");
  target->margin = source.cell_width;
}

void CheckMonths(const ContinuousAggregate &target, const Interval &target_width,
                 const ContinuousAggregate &source, const Interval &source_width) {
  if (source_width.month != 0) {
    if (target_width.month == 0 || target_width.month % source_width.month != 0)
      RefuseWidth(target, source, "The width is no multiple of that.");
    return;
  }
  // Months have any number of days.
  if (USECS_PER_DAY % FixedPart(source_width) != 0)
    RefuseWidth(target, source, "Months hold whole days, so only buckets that divide a day fit.");
}

void CheckSourceBuckets(const FuncExpr *call, ContinuousAggregate *target,
                        const ContinuousAggregate &source) {
  target->margin = source.margin;
  if (target->is_fixed && source.is_fixed) {
    CheckFixedOverFixed(*target, source);
    return;
  }
  if (target->bucket_timezone != nullptr && source.bucket_timezone == nullptr) {
    CheckZoneOverFixed(target, source);
    return;
  }
  if (target->bucket_timezone == nullptr && source.bucket_timezone != nullptr)
    RefuseWidth(*target, source, "They need the same time zone.");
  if (target->bucket_timezone != nullptr &&
      strcmp(target->bucket_timezone, source.bucket_timezone) != 0)
    RefuseWidth(*target, source, "The time zones differ.");
  const Interval target_width = IntervalOfText(target->bucket_width);
  const Interval source_width = IntervalOfText(source.bucket_width);
  if (target_width.month != 0 || source_width.month != 0)
    CheckMonths(*target, target_width, source, source_width);
  else if (FixedPart(target_width) % FixedPart(source_width) != 0)
    RefuseWidth(*target, source, "The width is no multiple of that.");
  if (!StartsMeet(call, *target, source))
    RefuseWidth(*target, source, "The buckets start between those of the source.");
}

}  // namespace

void DescribeBucket(AggregateQuery *aggregate, const ContinuousAggregate *source) {
  const FuncExpr *call = aggregate->bucket;
  ContinuousAggregate *defined = &aggregate->defined;
  namestrcpy(&defined->bucket_column, aggregate->bucket_entry->resname);
  const bool has_zone = list_length(call->args) > kZone &&
                        exprType(static_cast<Node *>(list_nth(call->args, kZone))) == TEXTOID;
  for (int i = 0; i < list_length(call->args); ++i)
    if (i != kTime) (void)ConstantArgument(call, i);
  // The first call also checks all arguments.
  defined->cell_origin = BucketOf(call, 0, defined->time_type);
  WriteTexts(call, has_zone, defined);
  const Const *width = ConstantArgument(call, kWidth);
  if (width->consttype == INTERVALOID) {
    DescribeInterval(*DatumGetIntervalP(width->constvalue), has_zone, defined);
  } else {
    defined->is_fixed = true;
    defined->margin = 0;
    defined->reach = defined->cell_width = IntegerConstant(width);
  }
  if (source != nullptr) CheckSourceBuckets(call, defined, *source);
}

}  // namespace tsext::pg
