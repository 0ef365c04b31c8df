#include "pg/ingest/router.hpp"

#include <algorithm>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/read_only.hpp"
#include "pg/ingest/router_state.hpp"

extern "C" {
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "port.h"
#include "tcop/utility.h"
}

namespace tsext::pg {
namespace {

constexpr int64_t kSliceLines = 50000;
constexpr size_t kSliceBytes = size_t{8} << 20;
constexpr size_t kArenaBlock = size_t{256} << 10;
constexpr int kMostAttempts = 5;

/// Where reading stands.
struct Position {
  int request = 0;
  size_t offset = 0;
};

void Forget(Router *router) {
  MemoryContextReset(router->known);
  for (ByteMap *map : {&router->series, &router->table_map}) {
    *map = ByteMap();
    map->context = router->known;
    map->seed = router->seed;
  }
  router->nowhere = {};
  router->last = &router->nowhere;
  router->series_count = 0;
  router->tables = nullptr;
  router->must_forget = false;
}

/// Tables that changed since the last batch: when only their statistics did, all is well.
bool AreTablesAsKnown(Router *router) {
  for (LineTable *table = router->tables; table != nullptr; table = table->next)
    if (table->is_stale && !IsTableAsKnown(router, table)) return false;
  return true;
}

void StartBatch(Router *router) {
  MemoryContextReset(router->batch);
  router->arena = router->arena_end = nullptr;
  router->batch_number++;
  router->touched = nullptr;
  router->touched_count = router->touched_capacity = 0;
  router->rejected = nullptr;
  router->rejected_count = router->rejected_capacity = 0;
  router->line_count = 0;
  router->table_total = -1;
  if (router->must_forget ||
      MemoryContextMemAllocated(router->known, true) > router->options.cache_bytes ||
      !AreTablesAsKnown(router)) {
    if (router->tables != nullptr) router->stats.cache_resets++;
    Forget(router);
  }
}

/// Reads a slice. `reading`: where the reader stands; it goes on there when that is `at`.
void Collect(Router *router, const LineRequest *requests, int count, Position *at,
             Position *reading) {
  size_t bytes = 0;
  while (at->request < count && router->line_count < kSliceLines && bytes < kSliceBytes) {
    const LineRequest &request = requests[at->request];
    if (reading->request != at->request || reading->offset != at->offset) {
      router->reader->Start(request.lines.substr(at->offset), request.precision,
                            {FindSeries, router});
      *reading = *at;
    }
    const size_t base = reading->offset - router->reader->position();
    const int64_t receive_time = TruncateTime(request.receive_time_ns, request.precision);
    LinePoint point;
    bool is_more = false;
    while (router->line_count < kSliceLines && bytes < kSliceBytes &&
           (is_more = router->reader->Next(&point))) {
      bytes += point.line.size();
      router->line_count++;
      if (point.error == LineError::kNone) {
        CollectPoint(router, at->request, receive_time, point);
        continue;
      }
      Reject reject;
      reject.reason = static_cast<RejectReason>(static_cast<int>(point.error) - 1);
      reject.message = MemoryContextStrdup(
          router->batch, psprintf("%s at byte %u", point.message, point.error_offset + 1));
      RejectLine(router, at->request, point.line, reject);
    }
    at->offset = base + router->reader->position();
    *reading = *at;
    if (!is_more) {
      at->request++;
      at->offset = 0;
    }
    CHECK_FOR_INTERRUPTS();
  }
}

/// Counts the batch's lines and tells of the rejected ones.
void Settle(Router *router, LineRequest *requests, const RejectSink &sink) {
  RejectedLine *const end = router->rejected + router->rejected_count;
  std::sort(router->rejected, end, [](const RejectedLine &a, const RejectedLine &b) {
    return a.request != b.request ? a.request < b.request : a.line.data() < b.line.data();
  });
  for (const RejectedLine *one = router->rejected; one != end; one++) {
    LineRequest &request = requests[one->request];
    request.rejected[static_cast<int>(one->reject.reason)]++;
    router->stats.rejected[static_cast<int>(one->reject.reason)]++;
    if (request.first_message == nullptr) {
      request.first_reason = one->reject.reason;
      request.first_line = one->line;
      request.first_line_number =
          LineNumberAt(request.lines, static_cast<size_t>(one->line.data() - request.lines.data()));
      request.first_message = pstrdup(one->reject.message);
    }
    if (sink.take != nullptr)
      sink.take(sink.context, {one->request, one->line, one->reject.reason, one->reject.message,
                               one->reject.retry});
  }
  for (int i = 0; i < router->touched_count; i++) {
    const LineTable *table = router->touched[i];
    for (uint32_t unit = 0; unit < table->unit_count; unit++) {
      const LineRow *row = &table->rows[table->units[unit]];
      router->stats.widened += row->first_member == 0 ? row->layout->widened : 0;
      if (row->first_member == 0) {
        requests[row->request].stored++;
        router->stats.stored++;
        continue;
      }
      router->stats.merged--;
      for (uint32_t member = row->first_member; member != 0;) {
        const LineRow &line = table->rows[member - 1];
        requests[line.request].stored++;
        router->stats.stored++;
        router->stats.merged++;
        router->stats.widened += line.layout->widened;
        member = line.next_member;
      }
    }
  }
  router->stats.lines += router->line_count;
  router->stats.batches++;
  router->stats.series = router->series_count;
  const int64_t most = router->options.max_series;
  if (most > 0 && router->series_count > most && !router->warned) {
    router->warned = true;
    ereport(WARNING, (errmsg("line protocol has brought more than %lld series into schema \"%s\"",
                             static_cast<long long>(most), router->schema),
                      errhint("A tag with ever new values makes ever new series: send it as a "
                              "field.")));
  }
}

void FindSchema(Router *router) {
  const Oid id = LookupExplicitNamespace(router->schema, false);
  if (IsCatalogNamespace(id) || IsToastNamespace(id))
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("cannot write lines into schema \"%s\"", router->schema),
                    errdetail("It is one of the server's own.")));
  if (id != router->schema_id) router->must_forget = true;
  router->schema_id = id;
}

void FindConversion(Router *router) {
  const int encoding = GetDatabaseEncoding();
  router->conversion = InvalidOid;
  if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII) return;
  router->conversion = FindDefaultConversionProc(PG_UTF8, encoding);
  if (!OidIsValid(router->conversion))
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
                    errmsg("cannot write lines: there is no conversion from UTF8 to %s",
                           GetDatabaseEncodingName())));
}

}  // namespace

const char *RejectReasonName(RejectReason reason) {
  static constexpr const char *kNames[kRejectReasonCount] = {
      "syntax", "range",         "encoding", "duplicate_tag", "reserved",
      "name",   "type_conflict", "limit",    "permission",    "failed"};
  return kNames[static_cast<int>(reason)];
}

void *BatchAllocateSlow(Router *router, size_t size) {
  if (size > kArenaBlock / 8)
    return MemoryContextAllocExtended(router->batch, size, MCXT_ALLOC_HUGE);
  router->arena = static_cast<char *>(MemoryContextAlloc(router->batch, kArenaBlock));
  router->arena_end = router->arena + kArenaBlock;
  return BatchAllocate(router, size);
}

std::string_view CopyText(MemoryContext context, std::string_view text) {
  auto *copy = static_cast<char *>(MemoryContextAlloc(context, text.size() + 1));
  memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return {copy, text.size()};
}

void RejectLine(Router *router, int request, std::string_view line, const Reject &reject) {
  if (router->rejected_count == router->rejected_capacity) {
    const int64_t capacity = std::max<int64_t>(64, router->rejected_capacity * 2);
    auto *grown = static_cast<RejectedLine *>(MemoryContextAllocHuge(
        router->batch, static_cast<size_t>(capacity) * sizeof(RejectedLine)));
    std::copy_n(router->rejected, router->rejected_count, grown);
    if (router->rejected != nullptr) pfree(router->rejected);
    router->rejected = grown;
    router->rejected_capacity = capacity;
  }
  router->rejected[router->rejected_count++] = {request, line, reject};
}

void RejectRow(Router *router, const LineTable *table, uint32_t row, const Reject &reject) {
  const LineRow &unit = table->rows[row];
  if (unit.first_member == 0) {
    RejectLine(router, unit.request, unit.line, reject);
    return;
  }
  for (uint32_t member = unit.first_member; member != 0;) {
    const LineRow &line = table->rows[member - 1];
    RejectLine(router, line.request, line.line, reject);
    member = line.next_member;
  }
}

Router *RouterCreate(MemoryContext parent, const char *schema, const RouterOptions &options) {
  const MemoryContext context = AllocSetContextCreate(parent, "tsext router", ALLOCSET_SMALL_SIZES);
  auto *router = static_cast<Router *>(MemoryContextAllocZero(context, sizeof(Router)));
  router->context = context;
  router->known = AllocSetContextCreate(context, "tsext router known", ALLOCSET_DEFAULT_SIZES);
  router->batch = AllocSetContextCreate(context, "tsext router batch", ALLOCSET_DEFAULT_SIZES);
  router->memory = New<ContextResource>(context, context);
  router->reader = New<LineReader>(context, router->memory);
  strlcpy(router->schema, schema, sizeof router->schema);
  router->options = options;
  if (!pg_strong_random(&router->seed, sizeof router->seed))
    elog(ERROR, "could not generate a random seed");
  Forget(router);
  WatchTables(router);
  return router;
}

void RouterSetOptions(Router *router, const RouterOptions &options) {
  router->options = options;
  // Some refusals are remembered.
  router->must_forget = true;
}

const RouterStats *RouterGetStats(const Router *router) {
  return &router->stats;
}

void RouterDestroy(Router *router) {
  MemoryContextDelete(router->context);
}

void RouterWrite(Router *router, LineRequest *requests, int count, const RejectSink &sink) {
  if (!IsTransactionState()) elog(ERROR, "lines are written outside a transaction");
  RefuseReadOnly("write_lines()");
  PreventCommandIfParallelMode("write_lines()");
  // The last write ended in an error: what was made in its transaction is gone.
  if (router->is_writing) router->must_forget = true;
  FindSchema(router);
  FindConversion(router);
  router->is_writing = true;
  const MemoryContext caller = CurrentMemoryContext;
  Position at, reading{-1, 0};
  int attempts = 0;
  while (at.request < count) {
    const Position start = at;
    StartBatch(router);
    MemoryContextSwitchTo(router->batch);
    Collect(router, requests, count, &at, &reading);
    for (int i = 0; i < router->touched_count; i++) {
      MakeTableAndColumns(router, router->touched[i]);
      MergeRows(router, router->touched[i]);
    }
    if (InsertRows(router)) {
      MemoryContextSwitchTo(caller);
      Settle(router, requests, sink);
      attempts = 0;
      continue;
    }
    if (++attempts == kMostAttempts)
      ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                      errmsg("tables of schema \"%s\" change faster than lines can be written",
                             router->schema)));
    router->must_forget = true;
    at = start;
    reading.request = -1;
  }
  MemoryContextSwitchTo(caller);
  MemoryContextReset(router->batch);
  router->is_writing = false;
}

}  // namespace tsext::pg
