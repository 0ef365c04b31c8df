// What EXPLAIN says of a TsextScan.

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/catalog/options.hpp"
#include "pg/exec/scan_state.hpp"
#include "pg/exec/vector_filter_run.hpp"

extern "C" {
#include "nodes/makefuncs.h"
#include "utils/ruleutils.h"
}

namespace tsext::pg {

namespace {

void ExplainColumns(ScanState *node, ExplainState *explain) {
  Bitmapset *attributes = bms_copy(node->attributes);
  if (node->filters != nullptr) attributes = bms_union(attributes, FilterAttributes(node->filters));
  TupleDesc descriptor = RelationGetDescr(node->custom.ss.ss_currentRelation);
  List *names = NIL;
  for (int attribute = 0; (attribute = bms_next_member(attributes, attribute)) > 0;)
    names = lappend(names, NameStr(TupleDescAttr(descriptor, attribute - 1)->attname));
  if (names != NIL) ExplainPropertyList("Columns", names, explain);
}

void ExplainFilters(ScanState *node, List *ancestors, ExplainState *explain) {
  const auto *plan = reinterpret_cast<const CustomScan *>(node->custom.ss.ps.plan);
  if (node->vector_clauses != NIL) {
    List *context =
        set_deparse_context_plan(explain->deparse_cxt, node->custom.ss.ps.plan, ancestors);
    char *text =
        deparse_expression(reinterpret_cast<Node *>(make_ands_explicit(node->vector_clauses)),
                           context, explain->verbose, false);
    ExplainPropertyText("Vector Filter", text, explain);
  }
  List *reasons = NIL;
  ListCell *cell;
  foreach (cell, LeftReasons(plan)) reasons = lappend(reasons, strVal(lfirst(cell)));
  if (reasons != NIL) ExplainPropertyList("Row by Row Because", reasons, explain);
}

void ExplainTimes(ScanState *node, ExplainState *explain) {
  int64_t from;
  int64_t to;
  BatchScanTimes(node->scan, &from, &to);
  const Oid type = GetTableOptions(node->custom.ss.ss_currentRelation)->time_type;
  if (from > to) return;
  if (from != kTimeMinimum) ExplainPropertyText("Time From", TimeText(from, type), explain);
  if (to != kTimeMaximum) ExplainPropertyText("Time To", TimeText(to, type), explain);
}

struct NamedCount {
  const char *name;  // for structured formats
  const char *text;  // behind the number
  uint64_t count;
};

/// One line of text, or a property each.
void ExplainCounts(const char *label, const NamedCount *counts, int count, ExplainState *explain) {
  if (explain->format != EXPLAIN_FORMAT_TEXT) {
    for (int i = 0; i < count; i++)
      ExplainPropertyUInteger(counts[i].name, nullptr, counts[i].count, explain);
    return;
  }
  StringInfoData line;
  initStringInfo(&line);
  for (int i = 0; i < count; i++) {
    if (i > 0 && counts[i].count == 0) continue;
    appendStringInfo(&line, "%s" UINT64_FORMAT "%s", i > 0 ? ", " : "", counts[i].count,
                     counts[i].text);
  }
  ExplainPropertyText(label, line.data, explain);
}

void ExplainCounters(ScanState *node, ExplainState *explain) {
  // Of all participants when the scan was parallel; the leader need not be one.
  const BatchCounters counters = node->parallel != nullptr || node->scan == nullptr
                                     ? node->total
                                     : BatchScanCounters(node->scan);
  Relation relation = node->custom.ss.ss_currentRelation;
  const StoreTotal total =
      GetStoreTotal(relation->rd_rel->reltoastrelid, node->custom.ss.ps.state->es_snapshot);
  const int64_t out_of_time =
      node->scan == nullptr ? 0 : total.segments - BatchScanSegmentsInTime(node->scan);
  const uint64_t skipped_time = out_of_time > 0 ? static_cast<uint64_t>(out_of_time) : 0;
  const NamedCount segments[] = {
      {"Segments", "", counters.segments + skipped_time},
      {"Segments Skipped by Time", " skipped by time", skipped_time},
      {"Segments Skipped by Key", " skipped by key", counters.segments_skipped_key},
      {"Segments Skipped by Range", " skipped by range", counters.segments_skipped_range},
      {"Segments from Footer", " answered from the footer", counters.segments_answered}};
  ExplainCounts("Segments", segments, lengthof(segments), explain);
  const NamedCount vectors[] = {
      {"Vectors", "", counters.vectors},
      {"Vectors Skipped", " skipped", counters.vectors_skipped},
      {"Vectors from Footer", " answered from the footer", counters.vectors_answered}};
  ExplainCounts("Vectors", vectors, lengthof(vectors), explain);
  const NamedCount rows[] = {
      {"Rows Visited", "", counters.rows},
      {"Hot Rows", " hot", counters.hot_rows},
      {"Rows Filtered in Vectors", " filtered in vectors", counters.rows_filtered}};
  ExplainCounts("Rows Visited", rows, lengthof(rows), explain);
  const NamedCount decoded[] = {{"Values Decoded", "", counters.values_decoded},
                                {"Bytes Read", " bytes read", counters.bytes_read}};
  ExplainCounts("Values Decoded", decoded, lengthof(decoded), explain);
}

}  // namespace

void ExplainScan(CustomScanState *state, List *ancestors, ExplainState *explain) {
  Enter([&] {
    ScanState *node = StateOf(state);
    ExplainColumns(node, explain);
    if (node->ordered != nullptr)
      ExplainPropertyText(
          "Order", node->order == BatchOrder::kNewest ? "newest first" : "oldest first", explain);
    ExplainFilters(node, ancestors, explain);
    if (!explain->analyze || (node->scan == nullptr && node->parallel == nullptr)) return;
    if (node->scan != nullptr) ExplainTimes(node, explain);
    ExplainCounters(node, explain);
  });
}

}  // namespace tsext::pg
