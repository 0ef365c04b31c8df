#pragma once

// Changing a table's options: what set_options(), create_hypertable(), WITH (tsext.…) and
// SET (tsext.…) have in common.

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/catalog/label.hpp"

namespace tsext::pg {

enum class Change { kKeep, kReset, kSet };

/// What a user asks for, not yet checked against the table. Values count where the change is kSet.
struct OptionChanges {
  Change time_column = Change::kKeep;
  char *time_column_name = nullptr;  // "" = no time column
  Change chunk_interval = Change::kKeep;
  char *chunk_interval_text = nullptr;  // as in the label; nullptr = auto
  Change segment_by = Change::kKeep;
  List *segment_by_names = nullptr;
  Change order_by = Change::kKeep;
  List *order_by_names = nullptr;
  Change decoded = Change::kKeep;
  bool decoded_on = true;
};

/// A chunk interval given as a value of some type, in the label's form: interval, integer, 'auto',
/// or text of one of these; nullptr = auto. Errors with 22023 when it is not positive or of another
/// type. Months count 30 days.
char *ChunkIntervalText(Datum value, Oid type);

/// The changes as a label, on top of nothing.
void ApplyChanges(const OptionChanges *changes, Label *label);
/// Errors unless every option of the label suits the relation's columns: 42703 no such column,
/// 42701 named twice, 22023 wrong type or interval.
void CheckOptions(Relation relation, const Label *label);
/// Changes the options of a table in this transaction, after all checks but that of ownership. The
/// caller holds ShareUpdateExclusiveLock or more. Refuses to move the time column of a table that
/// has segments (55000). The time column in force is written out, so that a column added later
/// cannot become it.
void ChangeOptions(Relation relation, const OptionChanges *changes);

/// Opens a table that the current user owns with this lock. Errors: 42501 not the owner.
Relation OpenOwnedTable(Oid relation_id, LOCKMODE lock);
/// 42809 unless the relation is a tsext table.
void RequireTsext(Relation relation);

}  // namespace tsext::pg
