#pragma once

// The text of a table's security label of provider "tsext": its options as people read them.
//
//   time_column=time, chunk_interval=1 day, segment_by={host,"odd, name"}, order_by={time}
//
//   time_column      a column; "" = none, the table is one chunk
//   chunk_interval   auto, an integer, or an integer and a unit: day, hour, minute, second,
//                    microsecond (singular or plural)
//   segment_by       columns the user named
//   auto_segment_by  columns that were chosen from a sample; not together with segment_by
//   order_by         columns of the sort key after segment_by
//   decoded          on or off: off compacts the table although its changes may be decoded
//
// A value stands in double quotes, quotes inside doubled, when it holds anything but letters,
// digits, blanks, - and _. Columns are written by name: a label must mean the same after a restore.

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "nodes/pg_list.h"
}

namespace tsext::pg {

inline constexpr char kLabelProvider[] = "tsext";

enum class SegmentByOrigin { kOpen, kGiven, kAutomatic };
enum class Decoded { kUnset, kOn, kOff };

struct Label {
  char *time_column = nullptr;     // nullptr = by default; "" = none
  char *chunk_interval = nullptr;  // nullptr = auto
  SegmentByOrigin segment_by_origin = SegmentByOrigin::kOpen;
  List *segment_by = nullptr;  // of char *
  List *order_by = nullptr;    // of char *
  Decoded decoded = Decoded::kUnset;
};

/// Parses a label. nullptr and a palloc'd phrase in *problem ("unknown option \"x\"") when the text
/// is no label.
Label *ParseLabel(const char *text, char **problem);
/// The text of a label; nullptr when every option is at its default.
char *FormatLabel(const Label *label);

/// Parses the text of a chunk interval for a time type into time units. False when it is not one,
/// not positive, or does not suit the type. 'auto' is none.
bool ParseWidth(const char *text, Oid time_type, int64_t *width);
/// The inverse: the largest unit that divides the width.
char *WidthText(int64_t width, Oid time_type);

/// The label of a relation, never nullptr; a label that cannot be parsed counts as an empty one.
Label *ReadLabel(Oid relation_id);
/// Stores a label, or removes it when everything is at its default. The caller has locked it
/// (LockLabel) or holds AccessExclusiveLock, and advances the command counter before the next
/// write.
void WriteLabel(Oid relation_id, const Label *label);
/// What the label means for these columns; names that do not exist or do not suit are left out.
void ResolveLabel(const Label *label, TupleDesc columns, TableOptions *options);

enum class LabelLock { kWait, kTry };
/// Takes the lock that writers of a label hold to the end of their transaction. kTry: false when
/// another transaction has it.
bool LockLabel(Oid relation_id, LabelLock how);

}  // namespace tsext::pg
