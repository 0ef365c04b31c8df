#pragma once

// How long ago something must be for a policy to apply to it: '30 days', or a number for integer
// times. Argument of add_…_policy(), text in a job's config, a time when the job runs.

#include <cstdint>

#include "pg/base/postgres.hpp"

extern "C" {
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"
}

namespace tsext::pg {

struct PolicyOffset {
  bool is_null;
  bool is_integer;
  Interval interval;
  int64_t integer;
};

enum class OffsetSign { kPositive, kNotNegative };

/// Argument `index` of type "any" for a time column of this type. Errors with 22023: another type,
/// or not of this sign in all its parts.
PolicyOffset OffsetArgument(FunctionCallInfo fcinfo, int index, Oid time_type, const char *name,
                            OffsetSign sign);

/// `"key": value` for the config of a job, whatever IntervalStyle is.
void AppendOffset(StringInfo json, const char *key, const PolicyOffset &offset);
/// The inverse, with the checks of an argument; a missing key or null is the NULL offset.
PolicyOffset OffsetOfConfig(const Jsonb *config, const char *key, Oid time_type, OffsetSign sign);

/// The check of a config by itself, without its table: an object with these keys and no others,
/// each an interval or integer of its sign, or null if that may be.
struct ConfigKey {
  const char *name;
  OffsetSign sign;
  bool may_be_null;
};
void CheckPolicyConfig(const Jsonb *config, const ConfigKey *keys, int count);

/// Now less the offset, in time units of `base`, whose time column or integer_now function counts.
/// Integers stop at the ends of int64. Needs an active snapshot. Errors: 22008 when the time is
/// before all times, those of IntegerNow().
int64_t TimeBeforeNow(Relation base, const PolicyOffset &offset, const char *name);

}  // namespace tsext::pg
