#pragma once

// Rows of one statement on their way to segments, with the hot heap for those that do not make one:
// what COPY, INSERT … SELECT and rewrites have in common.

#include "pg/base/postgres.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "nodes/execnodes.h"
#include "nodes/pg_list.h"
}

namespace tsext::pg {

struct BulkWriter;

struct BulkWriterOptions {
  CommandId cid = 0;
  /// table_tuple_insert's options for rows of the hot heap.
  int insert_options = 0;
  /// For index entries of hot rows; both or none. None: the table has no indexes yet.
  ResultRelInfo *result_relation = nullptr;
  EState *executor_state = nullptr;
  /// Whose options hold, when it is not the relation written to: a rewrite fills a transient one.
  Relation owner = nullptr;
  /// All rows go to the hot heap.
  bool stays_hot = false;
  /// The rows stand for others that go: whoever follows the table does not hear of them.
  bool is_replacement = false;
};

/// Memory lives in a child of `parent`.
BulkWriter *BulkWriterCreate(Relation relation, const BulkWriterOptions &options,
                             MemoryContext parent);
/// Adds a row. Writes segments when tsext.bulk_memory is used up.
void BulkWriterAppend(BulkWriter *writer, TupleTableSlot *slot);
/// Writes everything: chunks of 4,096 rows (16 MB, when rows are wide) and more as segments, other
/// rows to the hot heap.
void BulkWriterFinish(BulkWriter *writer);
void BulkWriterDestroy(BulkWriter *writer);

/// Whether a table's rows may be written as segments by a statement of the current user: a plain
/// permanent tsext table that need not stay hot, without row triggers, transition tables and row
/// security. Foreign keys from it are row triggers; unique indexes, references to it, decoding and
/// subscriptions make it stay hot.
bool MayWriteBulk(Relation relation);

/// True when an expression or query may run SQL that reads what the statement has written so far:
/// it calls a volatile function that is not one of the server's own.
bool MayReadOwnRows(Node *node);
/// The same for expressions that are evaluated for each row: CHECK constraints, and the defaults of
/// columns that are not in `given` (attribute numbers; for COPY).
bool RowExpressionsMayReadOwnRows(Relation relation);
bool DefaultsMayReadOwnRows(Relation relation, const List *given);

}  // namespace tsext::pg
